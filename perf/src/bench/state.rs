//! What it costs that state is tracked: clients that have all set the same against clients that have set nothing, and
//! against an Athena of an older day.
//!
//! As in `make bench`, all sides take turns within seconds in each round, and ratios are formed within a round. The first two
//! sides are one process, so that chance in its layout can't tell them apart.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::loader::{LoadLimit, Loader};
use super::machine;
use super::median::{Spread, median};
use super::stack::{Backend, start_null};
use crate::error::Result;
use crate::lab::{APP_USER, Lab, ServerOptions};
use crate::process::run as run_program;
use crate::proxy::{Athena, AthenaConfig};
use crate::sysbench::Sysbench;

/// What to measure, and how long.
#[derive(Debug, Clone)]
pub struct StatePlan {
    /// The Athena program (a release build).
    pub athena: PathBuf,
    /// One to compare with.
    pub older: Option<PathBuf>,
    /// The load generator program.
    pub load: PathBuf,
    /// The null backend program.
    pub null_backend: PathBuf,
    /// What is behind Athena.
    pub backend: Backend,
    /// How long each measurement takes.
    pub duration: Duration,
    /// How often each is repeated.
    pub rounds: usize,
    /// Clients.
    pub clients: usize,
    /// Athena's links.
    pub links: usize,
    /// What each client sends first.
    pub setup: Vec<String>,
    /// The CPU of Athena.
    pub proxy_cpu: Option<String>,
    /// The CPUs of load and backend.
    pub load_cpus: Option<String>,
}

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// Clients that have set nothing.
    Plain,
    /// Clients that have all set the same.
    Equal,
    /// The first, through the older Athena.
    Older,
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Plain => "nothing set",
            Self::Equal => "equal state",
            Self::Older => "older, nothing set",
        })
    }
}

struct Sample {
    side: Side,
    prepared: bool,
    round: usize,
    queries_per_second: f64,
    cpu_us_per_query: f64,
}

/// Carries out the plan and returns a report, in Markdown. Says on standard error where it is.
///
/// # Errors
/// When a program is missing or fails, or any reply was an error.
pub fn run(plan: &StatePlan) -> Result<String> {
    let lab = Lab::new("bench_state")?;
    let cpus = plan.load_cpus.as_deref();
    let (_running, port) = match plan.backend {
        Backend::Null => {
            let (daemon, port) = start_null(&plan.null_backend, cpus, &lab)?;
            let number = port.number();
            (Running::Null { _daemon: daemon, _port: port }, number)
        }
        Backend::MariaDb => {
            let server = lab.server(ServerOptions::default())?;
            let port = server.port();
            Sysbench::new("oltp_read_only", port)?.prepare()?;
            server.sql(&format!("ALTER USER {APP_USER}@'%' IDENTIFIED BY ''"))?;
            if let (Some(cpus), Some(pid)) = (cpus, server.pid()) {
                run_program(Command::new("taskset").args(["-acp", cpus, &pid.to_string()]))?;
            }
            (Running::MariaDb { _server: server }, port)
        }
    };
    let start = |program: &Path| Athena::start(program, lab.folder(), &config(plan, port));
    let athena = start(&plan.athena)?;
    let older = plan.older.as_deref().map(start).transpose()?;
    let mut sides = vec![(Side::Plain, &athena), (Side::Equal, &athena)];
    sides.extend(older.as_ref().map(|older| (Side::Older, older)));

    let mut samples = Vec::new();
    for round in 0..plan.rounds {
        for prepared in [false, true] {
            sides.rotate_left(1);
            for &(side, athena) in &sides {
                let sample = measure(plan, side, athena, prepared, round)?;
                let (rate, cpu) = (sample.queries_per_second, sample.cpu_us_per_query);
                eprintln!("round {} {side:20} prepared {prepared:5} {rate:9.0}/s cpu {cpu:.2} us", round + 1);
                samples.push(sample);
            }
        }
    }
    Ok(report(plan, &samples))
}

enum Running {
    Null { _daemon: crate::process::Daemon, _port: crate::port::Port },
    MariaDb { _server: crate::lab::Server },
}

fn config(plan: &StatePlan, backend_port: u16) -> AthenaConfig {
    let config = AthenaConfig::new(backend_port)
        .account(APP_USER, "")
        .set("pool", "max_connections", &plan.links.to_string())
        .set("circuit", "enabled", "false")
        .set("log", "level", "\"warn\"");
    match &plan.proxy_cpu {
        Some(cpu) => config.set("runtime", "cpus", &format!("{cpu:?}")).restrict_cpus(cpu),
        None => config,
    }
}

fn measure(plan: &StatePlan, side: Side, athena: &Athena, prepared: bool, round: usize) -> Result<Sample> {
    let loader = Loader {
        program: &plan.load,
        cpus: plan.load_cpus.as_deref(),
        user: crate::lab::APP_USER,
        clients: plan.clients,
        prepared,
        setup: if side == Side::Equal { &plan.setup } else { &[] },
        arguments: &[],
    };
    let usage = athena.usage();
    let mut before = Duration::ZERO;
    let figures =
        loader.run(athena.port(), LoadLimit::Duration(plan.duration), || before = usage.cpu_time())?;
    let spent = usage.cpu_time().saturating_sub(before);
    let cpu_us_per_query = spent.as_secs_f64() * 1e6 / figures.queries.max(1) as f64;
    Ok(Sample { side, prepared, round, queries_per_second: figures.queries_per_second, cpu_us_per_query })
}

fn report(plan: &StatePlan, samples: &[Sample]) -> String {
    // Writing to a String can't fail.
    let mut text = String::from("# What it costs that state is tracked\n\n");
    for line in machine::describe(&plan.athena) {
        let _ = writeln!(text, "- {line}");
    }
    let (clients, links, rounds) = (plan.clients, plan.links, plan.rounds);
    let backend = match plan.backend {
        Backend::Null => "null backend",
        Backend::MariaDb => "MariaDB",
    };
    let _ = writeln!(
        text,
        "- {clients} clients, {links} links, {backend}, {rounds} rounds of {:?} for every cell; equal state is `{}`\n",
        plan.duration,
        plan.setup.join("; "),
    );
    text += "| statements | side | queries/s | CPU µs/query |\n|---|---|---|---|\n";
    for prepared in [false, true] {
        for side in [Side::Plain, Side::Equal, Side::Older] {
            let of =
                |value: &dyn Fn(&Sample) -> f64| median(select(samples, side, prepared).map(value).collect());
            let Some(rate) = of(&|sample| sample.queries_per_second) else { continue };
            let cpu = of(&|sample| sample.cpu_us_per_query).unwrap_or(f64::NAN);
            let _ = writeln!(text, "| {} | {side} | {rate:.0} | {cpu:.2} |", name(prepared));
        }
    }
    text +=
        "\n| statements | CPU per query | median of the rounds' ratios (least–greatest) |\n|---|---|---|\n";
    for prepared in [false, true] {
        for (side, other) in
            [(Side::Equal, Side::Plain), (Side::Equal, Side::Older), (Side::Plain, Side::Older)]
        {
            let ratios: Vec<f64> = select(samples, side, prepared)
                .filter_map(|sample| {
                    let mut others = select(samples, other, prepared);
                    let other = others.find(|other| other.round == sample.round)?;
                    Some(sample.cpu_us_per_query / other.cpu_us_per_query)
                })
                .collect();
            if !ratios.is_empty() {
                let _ = writeln!(text, "| {} | {side} / {other} | {} |", name(prepared), Spread::of(ratios));
            }
        }
    }
    text
}

fn select(samples: &[Sample], side: Side, prepared: bool) -> impl Iterator<Item = &Sample> {
    samples.iter().filter(move |sample| sample.side == side && sample.prepared == prepared)
}

fn name(prepared: bool) -> &'static str {
    if prepared { "prepared" } else { "text" }
}
