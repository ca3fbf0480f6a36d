//! Every workload of sysbench runs through Athena without an error, on few links, and leaves the data that it leaves
//! without Athena.

#[path = "../common/mod.rs"]
mod common;

use std::fs;
use std::time::Duration;

use athena_perf::lab::{Lab, ServerOptions};
use athena_perf::sysbench::Sysbench;
use common::TestResult;
use common::stage::Stage;

/// Workloads on the one table that `prepare` fills.
const TABLE_WORKLOADS: [&str; 10] = [
    "oltp_point_select",
    "oltp_read_only",
    "oltp_read_write",
    "oltp_write_only",
    "oltp_insert",
    "oltp_delete",
    "oltp_update_index",
    "oltp_update_non_index",
    "select_random_points",
    "select_random_ranges",
];
/// Those of them that change data.
const WRITE_WORKLOADS: [&str; 6] = [
    "oltp_read_write",
    "oltp_write_only",
    "oltp_insert",
    "oltp_delete",
    "oltp_update_index",
    "oltp_update_non_index",
];
const THREADS: [usize; 3] = [1, 16, 256];
const LINKS_MAX: u32 = 32;
const RUN_TIME: Duration = Duration::from_secs(1);
/// Bounds a run on a fast machine.
const EVENTS_MAX: u32 = 20_000;
/// Events of a run that is repeated, and a time that it never needs.
const REPEATED_EVENTS: u32 = 500;
const REPEATED_TIME: Duration = Duration::from_secs(120);

/// How sysbench sends its statements.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Prepared,
    Text,
}

impl Mode {
    fn sysbench(self, workload: &str, port: u16) -> athena_perf::Result<Sysbench> {
        let sysbench = Sysbench::new(workload, port)?;
        Ok(match self {
            Self::Prepared => sysbench,
            Self::Text => sysbench.argument("--db-ps-mode=disable"),
        })
    }
}

#[test]
fn every_workload_with_prepared_statements() -> TestResult {
    every_workload(Mode::Prepared)
}

#[test]
fn every_workload_with_text() -> TestResult {
    every_workload(Mode::Text)
}

#[test]
fn prepared_statements_leave_the_data_of_a_direct_run() -> TestResult {
    equal_data(Mode::Prepared)
}

#[test]
fn text_leaves_the_data_of_a_direct_run() -> TestResult {
    equal_data(Mode::Text)
}

fn every_workload(mode: Mode) -> TestResult {
    let stage = stage("sysbench")?;
    for workload in TABLE_WORKLOADS {
        let sysbench = bounded(mode, workload, &stage)?;
        watch(&stage, &format!("{workload} prepare"), || sysbench.prepare())?;
        for threads in THREADS {
            run(&stage, workload, &sysbench, threads)?;
        }
        watch(&stage, &format!("{workload} cleanup"), || sysbench.cleanup())?;
    }
    for threads in THREADS {
        bulk_insert(&stage, mode, threads)?;
    }
    assert_eq!(stage.server.sql("SHOW TABLES IN sbtest")?, "", "cleanup drops every table");
    assert!(stage.errors("internal")? < 1.0);
    Ok(())
}

/// Each thread of this workload has a table of its own, which `prepare` makes, and counts its keys from 1.
fn bulk_insert(stage: &Stage, mode: Mode, threads: usize) -> TestResult {
    let sysbench = bounded(mode, "bulk_insert", stage)?.argument(&format!("--threads={threads}"));
    watch(stage, "bulk_insert prepare", || sysbench.prepare())?;
    run(stage, "bulk_insert", &sysbench, threads)?;
    watch(stage, "bulk_insert cleanup", || sysbench.cleanup())
}

fn stage(name: &str) -> TestResult<Stage> {
    Stage::start_with(name, |config| {
        config
            .set("pool", "max_connections", &LINKS_MAX.to_string())
            // 256 threads on 32 links and a busy machine: waiting is the rule here, and no error.
            .set("pool", "checkout_timeout_ms", "60000")
            .set("circuit", "enabled", "false")
    })
}

fn bounded(mode: Mode, workload: &str, stage: &Stage) -> athena_perf::Result<Sysbench> {
    Ok(mode.sysbench(workload, stage.athena.port())?.argument(&format!("--events={EVENTS_MAX}")))
}

fn run(stage: &Stage, workload: &str, sysbench: &Sysbench, threads: usize) -> TestResult {
    let report =
        watch(stage, &format!("{workload} at {threads} threads"), || sysbench.run(threads, RUN_TIME))?;
    // Rows of bulk_insert share statements, so its one thread may come to very few.
    assert!(report.queries >= 1, "{workload} at {threads} threads: {}", report.output);
    Ok(())
}

/// Runs `work` and fails if the server had more connections meanwhile than Athena may have links.
fn watch<T>(stage: &Stage, what: &str, work: impl FnOnce() -> athena_perf::Result<T>) -> TestResult<T> {
    // FLUSH STATUS makes the number of connections of this moment the new maximum.
    stage.server.sql("FLUSH STATUS")?;
    let value = work().map_err(|error| format!("{what}: {error}"))?;
    let used: u32 = stage
        .server
        .sql("SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'Max_used_connections'")?
        .parse()?;
    // One is this test's own client.
    assert!(used <= LINKS_MAX + 1, "{what}: {used} connections");
    Ok(value)
}

/// Runs each workload that writes, single-threaded and with the same numbers, on two servers: directly on one, through
/// Athena on the other.
fn equal_data(mode: Mode) -> TestResult {
    let stage = stage("sysbench_data")?;
    let lab = Lab::new("sysbench_direct")?;
    let direct = lab.server(ServerOptions::default())?;
    for workload in WRITE_WORKLOADS {
        let script = repeatable(&lab, workload)?;
        for port in [direct.port(), stage.athena.port()] {
            let sysbench = mode.sysbench(&script, port)?.argument(&format!("--events={REPEATED_EVENTS}"));
            sysbench.prepare()?;
            sysbench.run(1, REPEATED_TIME)?;
        }
        let [expected, found] = [&direct, &stage.server].map(|server| {
            server.sql("SELECT COUNT(*), MAX(id) FROM sbtest.sbtest1; CHECKSUM TABLE sbtest.sbtest1")
        });
        assert_eq!(found?, expected?, "{workload}");
        for port in [direct.port(), stage.athena.port()] {
            mode.sysbench(&script, port)?.cleanup()?;
        }
    }
    Ok(())
}

/// A script that is the workload with numbers that repeat.
fn repeatable(lab: &Lab, workload: &str) -> TestResult<String> {
    let path = lab.folder().join(format!("{workload}_repeatable.lua"));
    fs::write(&path, include_str!("repeatable.lua").replace("@WORKLOAD@", workload))?;
    Ok(path.display().to_string())
}
