//! One measurement: a load, a target, a number of clients.

use std::fmt;
use std::time::Duration;

use super::Plan;
use super::loader::{LoadLimit, Loader};
use super::stack::{Backend, Stack, Target};
use crate::error::Result;
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
            let loader = loader(plan, workload, clients);
            let report = loader.run(port, LoadLimit::Duration(plan.duration), || before = cpu_time())?;
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

/// What runs a load on the null backend.
pub(super) fn loader(plan: &Plan, workload: Workload, clients: usize) -> Loader<'_> {
    Loader {
        program: &plan.load,
        cpus: plan.load_cpus.as_deref(),
        user: crate::lab::APP_USER,
        clients,
        prepared: workload == Workload::NullPrepared,
        setup: &[],
        arguments: &[],
    }
}
