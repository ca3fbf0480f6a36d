//! One measurement: a load, a target, a number of clients.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Plan;
use super::stack::{Backend, Stack, Target};
use crate::error::{Error, Result};
use crate::sysbench::Sysbench;

/// A kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Point selects as text on the null backend.
    NullText,
    /// Prepared point selects on the null backend.
    NullPrepared,
    /// sysbench's `oltp_point_select` on MariaDB (prepared, its default).
    PointSelect,
    /// sysbench's `oltp_read_only` on MariaDB: transactions of 16 statements.
    ReadOnly,
}

impl Workload {
    /// All loads.
    pub const ALL: [Self; 4] = [Self::NullText, Self::NullPrepared, Self::PointSelect, Self::ReadOnly];

    /// The backend it runs on.
    pub fn backend(self) -> Backend {
        match self {
            Self::NullText | Self::NullPrepared => Backend::Null,
            Self::PointSelect | Self::ReadOnly => Backend::MariaDb,
        }
    }

    /// A heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::NullText => "Null backend, point select, text",
            Self::NullPrepared => "Null backend, point select, prepared",
            Self::PointSelect => "MariaDB, sysbench oltp_point_select",
            Self::ReadOnly => "MariaDB, sysbench oltp_read_only",
        }
    }
}

/// What a measurement came to.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The load.
    pub workload: Workload,
    /// What the load talked to.
    pub target: Target,
    /// How many clients.
    pub clients: usize,
    /// Which round.
    pub round: usize,
    /// Statements per second.
    pub queries_per_second: f64,
    /// 50th, 95th and 99th percentile, of a statement or (`oltp_read_only`) a transaction.
    pub percentiles: [Duration; 3],
    /// CPU time of the proxy per statement in µs; `None` without a proxy.
    pub cpu_us_per_query: Option<f64>,
}

impl fmt::Display for Sample {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (target, clients) = (self.target.to_string(), self.clients);
        write!(formatter, "round {} {:40} {clients:4} clients ", self.round + 1, self.workload.title())?;
        write!(formatter, "{target:8} {:9.0}/s p99 {:?}", self.queries_per_second, self.percentiles[2])?;
        self.cpu_us_per_query.map_or(Ok(()), |cpu| write!(formatter, " cpu {cpu:.1} us"))
    }
}

pub(super) fn measure(
    plan: &Plan,
    stack: &Stack,
    target: Target,
    workload: Workload,
    clients: usize,
    round: usize,
) -> Result<Sample> {
    let port = stack.port(target);
    let cpu_time = || stack.usage(target).map(|usage| usage.cpu_time());
    let mut before = cpu_time();
    let (queries, queries_per_second, percentiles) = match workload {
        Workload::NullText | Workload::NullPrepared => {
            let limit = LoadLimit::Duration(plan.duration);
            let report = load(plan, port, workload, clients, limit, || before = cpu_time())?;
            (report.queries, report.queries_per_second, report.percentiles)
        }
        Workload::PointSelect | Workload::ReadOnly => {
            let name = if workload == Workload::ReadOnly { "oltp_read_only" } else { "oltp_point_select" };
            let sysbench = Sysbench::new(name, port)?.on_cpus(plan.load_cpus.as_deref());
            let report = sysbench.run(clients, plan.duration)?;
            (report.queries, report.queries_per_second, report.percentiles)
        }
    };
    let spent = cpu_time().zip(before).map(|(after, before)| after.saturating_sub(before));
    let cpu_us_per_query = spent.map(|spent| spent.as_secs_f64() * 1e6 / queries.max(1) as f64);
    Ok(Sample { workload, target, clients, round, queries_per_second, percentiles, cpu_us_per_query })
}

/// When the load generator ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum LoadLimit {
    /// After this time, half a second of warming up before it.
    Duration(Duration),
    /// After this many statements, the first of them included.
    Queries(u64),
}

pub(super) struct LoadFigures {
    pub(super) queries: u64,
    queries_per_second: f64,
    percentiles: [Duration; 3],
}

/// Runs the load generator as a process of its own, on its own CPU.
pub(super) fn load(
    plan: &Plan,
    port: u16,
    workload: Workload,
    clients: usize,
    limit: LoadLimit,
    on_begin: impl FnOnce(),
) -> Result<LoadFigures> {
    let mut command = match &plan.load_cpus {
        Some(cpus) => {
            let mut command = Command::new("taskset");
            command.args(["-c", cpus]).arg(&plan.load);
            command
        }
        None => Command::new(&plan.load),
    };
    command.args(["--user", crate::lab::APP_USER, "--port", &port.to_string()]);
    command.args(["--connections", &clients.to_string()]);
    match limit {
        LoadLimit::Duration(duration) => command.args(["--seconds", &duration.as_secs_f64().to_string()]),
        LoadLimit::Queries(queries) => {
            command.args(["--warmup", "0", "--seconds", "120", "--queries", &queries.to_string()])
        }
    };
    if workload == Workload::NullPrepared {
        command.arg("--prepared");
    }
    let program = plan.load.display().to_string();
    let spawn_error = |source| Error::Spawn { program: program.clone(), source };
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(spawn_error)?;
    let mut lines = String::new();
    if let Some(output) = child.stdout.take() {
        let mut output = BufReader::new(output);
        output.read_line(&mut lines).map_err(spawn_error)?;
        on_begin();
        output.read_to_string(&mut lines).map_err(spawn_error)?;
    }
    let ended = child.wait_with_output().map_err(spawn_error)?;
    let failed = || Error::Failed {
        program: program.clone(),
        status: ended.status.to_string(),
        output: lines.clone() + String::from_utf8_lossy(&ended.stderr).trim(),
    };
    parse_load(&lines).filter(|_| ended.status.success()).ok_or_else(failed)
}

/// Reads `queries=… errors=0 qps=… p50_us=… p95_us=… p99_us=…`; `None` when there were errors.
fn parse_load(output: &str) -> Option<LoadFigures> {
    let line = output.lines().find(|line| line.starts_with("queries="))?;
    let field = |name: &str| {
        let words = line.split_whitespace();
        words.filter_map(|word| word.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let micros = |name| Some(Duration::from_secs_f64(field(name)?.parse::<f64>().ok()? / 1e6));
    (field("errors")? == "0").then_some(())?;
    Some(LoadFigures {
        queries: field("queries")?.parse().ok()?,
        queries_per_second: field("qps")?.parse().ok()?,
        percentiles: [micros("p50_us")?, micros("p95_us")?, micros("p99_us")?],
    })
}
