//! What read/write splitting costs Athena, and where the reads go.
//!
//! sysbench's `oltp_read_only` without transactions, through Athena with a primary and two replicas and through Athena with
//! the primary alone, in turns within seconds of each other.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::machine;
use super::median::Spread;
use crate::error::{Error, Result};
use crate::lab::{APP_PASSWORD, APP_USER, Lab, Replicated, Server, ServerOptions};
use crate::process::run as run_program;
use crate::proxy::{Athena, AthenaConfig};
use crate::sysbench::Sysbench;

/// What to measure, and how long.
#[derive(Debug, Clone)]
pub struct SplitPlan {
    /// The Athena program (a release build).
    pub athena: PathBuf,
    /// How long each measurement takes.
    pub duration: Duration,
    /// How often each is repeated.
    pub rounds: usize,
    /// Clients of sysbench.
    pub clients: usize,
    /// The CPU of Athena's cores.
    pub proxy_cpu: String,
    /// The CPUs of load and servers, as taskset takes them.
    pub load_cpus: String,
}

/// The weights of the two replicas.
const WEIGHTS: [u32; 2] = [3, 1];

/// Carries out the plan and returns a report, in Markdown. Says on standard error where it is.
///
/// # Errors
/// When a program is missing or fails, or any reply was an error.
pub fn run(plan: &SplitPlan) -> Result<String> {
    let lab = Lab::new("bench_split")?;
    let servers = lab.primary_with_replicas(2, &ServerOptions::default())?;
    Sysbench::new("oltp_read_only", servers.primary.port())?.prepare()?;
    servers.wait_for_replicas(Duration::from_secs(60))?;
    for server in servers.all() {
        if let Some(pid) = server.pid() {
            run_program(Command::new("taskset").args(["-acp", &plan.load_cpus, &pid.to_string()]))?;
        }
    }
    let unsplit = Athena::start(&plan.athena, lab.folder(), &config(plan, &servers.primary))?;
    let split = Athena::start(&plan.athena, lab.folder(), &split_config(plan, &servers))?;
    // Writing to a String can't fail.
    let mut text = String::from("# What read/write splitting costs\n\n");
    for line in machine::describe(&plan.athena) {
        let _ = writeln!(text, "- {line}");
    }
    let _ = writeln!(text, "- {} rounds of {:?} for every cell\n", plan.rounds, plan.duration);
    let _ = writeln!(
        text,
        "`oltp_read_only --skip-trx`, {} clients, one core of Athena. Replicas with weights {WEIGHTS:?}; the shares are of the \
         SELECTs that the servers counted.\n\n\
         | statements | CPU per query, split / unsplit | queries/s, split / unsplit | share of the primary | of the replicas |\n\
         |---|---|---|---|---|",
        plan.clients
    );
    for (name, mode) in [("text", "disable"), ("prepared", "auto")] {
        let (mut cpu, mut rate, mut shares) = (Vec::new(), Vec::new(), [0u64; 3]);
        for round in 0..plan.rounds {
            let mut sides = [(0.0, 0.0); 2];
            for number in [round % 2, (round + 1) % 2] {
                let before = selects(&servers)?;
                sides[number] = measure(plan, [&split, &unsplit][number], mode)?;
                let after = selects(&servers)?;
                if number == 0 {
                    for (share, (before, after)) in shares.iter_mut().zip(before.iter().zip(after)) {
                        *share += after - before;
                    }
                }
            }
            let [with, without] = sides;
            eprintln!("{name}: {:.2} us split, {:.2} us unsplit", with.0, without.0);
            cpu.push(with.0 / without.0);
            rate.push(with.1 / without.1);
        }
        let sum = shares.iter().sum::<u64>().max(1) as f64;
        let [primary, first, second] = shares.map(|share| share as f64 * 100.0 / sum);
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {primary:.2} % | {first:.1} %, {second:.1} % |",
            Spread::of(cpu),
            Spread::of(rate)
        );
    }
    Ok(text)
}

/// Microseconds of CPU that Athena spends on a query, and queries in a second.
fn measure(plan: &SplitPlan, athena: &Athena, mode: &str) -> Result<(f64, f64)> {
    let sysbench = Sysbench::new("oltp_read_only", athena.port())?
        .argument("--skip-trx=on")
        .argument(&format!("--db-ps-mode={mode}"))
        .on_cpus(Some(&plan.load_cpus));
    let before = athena.usage().cpu_time();
    let report = sysbench.run(plan.clients, plan.duration)?;
    let spent = athena.usage().cpu_time().saturating_sub(before);
    Ok((spent.as_secs_f64() * 1e6 / report.queries.max(1) as f64, report.queries_per_second))
}

/// The SELECTs that each server has counted, prepared ones too.
fn selects(servers: &Replicated) -> Result<Vec<u64>> {
    let count = |server: &Server| {
        let told = server.sql("SHOW GLOBAL STATUS LIKE 'Com_select'")?;
        let number = told.split_whitespace().last().and_then(|number| number.parse().ok());
        number.ok_or_else(|| Error::Unexpected(format!("a count, not {told}")))
    };
    servers.all().map(count).collect()
}

fn config(plan: &SplitPlan, primary: &Server) -> AthenaConfig {
    AthenaConfig::new(primary.port())
        .account(APP_USER, APP_PASSWORD)
        .set("runtime", "cpus", &format!("{:?}", plan.proxy_cpu))
        .set("log", "level", "\"warn\"")
}

fn split_config(plan: &SplitPlan, servers: &Replicated) -> AthenaConfig {
    let mut config = config(plan, &servers.primary)
        .set("routing", "read_write_split", "true")
        .set("health", "user", "\"root\"")
        .set("health", "password", "\"\"");
    for (replica, weight) in servers.replicas.iter().zip(WEIGHTS) {
        config = config.text(&format!(
            "[[backend.replicas]]\nhost = \"127.0.0.1\"\nport = {}\nweight = {weight}\n",
            replica.port()
        ));
    }
    config
}
