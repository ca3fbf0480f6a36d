//! What sharding costs Athena.
//!
//! sysbench through an Athena whose tables are sharded by their ids, and through one whose tables are as they are, in turns
//! within seconds of each other.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::machine;
use super::median::Spread;
use crate::error::Result;
use crate::lab::{APP_PASSWORD, APP_USER, Lab, Server, ServerOptions};
use crate::process::run as run_program;
use crate::proxy::{Athena, AthenaConfig};
use crate::sysbench::Sysbench;

/// What to measure, and how long.
#[derive(Debug, Clone)]
pub struct ShardsPlan {
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
    /// The CPUs of load and server, as taskset takes them.
    pub load_cpus: String,
}

/// The schema whose tables are sharded.
const SHARDED: &str = "sharded";

/// Carries out the plan and returns a report, in Markdown. Says on standard error where it is.
///
/// # Errors
/// When a program is missing or fails, or any reply was an error.
pub fn run(plan: &ShardsPlan) -> Result<String> {
    let lab = Lab::new("bench_shards")?;
    let server = lab.server(ServerOptions::default())?;
    server.sql(&format!("CREATE DATABASE {SHARDED}"))?;
    let plain = Athena::start(&plan.athena, lab.folder(), &config(plan, &server))?;
    let rule = "[[sharding]]\nname = \"sysbench\"\ntable_pattern = \"sbtest*\"\nshard_column = \"id\"\nshard_count = 4\n";
    let sharded = Athena::start(&plan.athena, lab.folder(), &config(plan, &server).text(rule))?;
    for (athena, is_sharded) in [(&plain, false), (&sharded, true)] {
        sysbench("oltp_point_select", athena, is_sharded)?.prepare()?;
    }
    if let Some(pid) = server.pid() {
        run_program(Command::new("taskset").args(["-acp", &plan.load_cpus, &pid.to_string()]))?;
    }
    // Writing to a String can't fail.
    let mut text = String::from("# What sharding costs\n\n");
    for line in machine::describe(&plan.athena) {
        let _ = writeln!(text, "- {line}");
    }
    let _ = writeln!(text, "- {} rounds of {:?} for every cell\n", plan.rounds, plan.duration);
    let _ = writeln!(
        text,
        "`sbtest*` with four shards by `id` (`mod`), {} clients, one core of Athena.\n\n\
         | workload | statements | CPU per query, sharded / unsharded | queries/s, sharded / unsharded |\n|---|---|---|---|",
        plan.clients
    );
    for workload in ["oltp_point_select", "oltp_read_write"] {
        for (name, mode) in [("text", "disable"), ("prepared", "auto")] {
            let (mut cpu, mut rate) = (Vec::new(), Vec::new());
            for round in 0..plan.rounds {
                let mut sides = [(0.0, 0.0); 2];
                for number in [round % 2, (round + 1) % 2] {
                    sides[number] = measure(plan, workload, [&sharded, &plain][number], number == 0, mode)?;
                }
                let [with, without] = sides;
                eprintln!("{workload} {name}: {:.2} us sharded, {:.2} us unsharded", with.0, without.0);
                cpu.push(with.0 / without.0);
                rate.push(with.1 / without.1);
            }
            let _ = writeln!(text, "| {workload} | {name} | {} | {} |", Spread::of(cpu), Spread::of(rate));
        }
    }
    let (slowest, all) = scatter(&sharded)?;
    let _ = writeln!(
        text,
        "\nA read of four shards, whose parts take 0.1, 0.2, 0.3 and 0.4 s: {:.2} of the time of the slowest alone (the sum is 2.50).",
        all.as_secs_f64() / slowest.as_secs_f64()
    );
    Ok(text)
}

/// How long a read of the slowest of four shards takes, and of all of them. The best of some.
fn scatter(athena: &Athena) -> Result<(Duration, Duration)> {
    let client = athena.client();
    client.run(&format!("CREATE TABLE {SHARDED}.sbtest_sleep (id INT PRIMARY KEY)"))?;
    client.run(&format!("INSERT INTO {SHARDED}.sbtest_sleep (id) VALUES (1), (2), (3), (4)"))?;
    let best = |filter: &str| {
        let sql = format!("SELECT SLEEP(id / 10) FROM {SHARDED}.sbtest_sleep {filter}");
        let times = (0..5).map(|_| {
            let since = Instant::now();
            client.run(&sql).map(|_| since.elapsed())
        });
        Ok(times.collect::<Result<Vec<_>>>()?.into_iter().min().unwrap_or_default())
    };
    Ok((best("WHERE id = 4")?, best("")?))
}

fn sysbench(workload: &str, athena: &Athena, is_sharded: bool) -> Result<Sysbench> {
    // Rows of a sharded table come with their keys.
    let sysbench = Sysbench::new(workload, athena.port())?.argument("--auto_inc=off");
    Ok(if is_sharded { sysbench.argument(&format!("--mysql-db={SHARDED}")) } else { sysbench })
}

/// Microseconds of CPU that Athena spends on a query, and queries in a second.
fn measure(
    plan: &ShardsPlan,
    workload: &str,
    athena: &Athena,
    is_sharded: bool,
    mode: &str,
) -> Result<(f64, f64)> {
    let sysbench = sysbench(workload, athena, is_sharded)?
        .argument(&format!("--db-ps-mode={mode}"))
        // Several clients may write the same rows.
        .argument("--mysql-ignore-errors=1213,1205,1062")
        .on_cpus(Some(&plan.load_cpus));
    let before = athena.usage().cpu_time();
    let report = sysbench.run(plan.clients, plan.duration)?;
    let spent = athena.usage().cpu_time().saturating_sub(before);
    Ok((spent.as_secs_f64() * 1e6 / report.queries.max(1) as f64, report.queries_per_second))
}

fn config(plan: &ShardsPlan, server: &Server) -> AthenaConfig {
    AthenaConfig::new(server.port())
        .account(APP_USER, APP_PASSWORD)
        .set("runtime", "cpus", &format!("{:?}", plan.proxy_cpu))
        .set("log", "level", "\"warn\"")
}
