//! Runs sysbench and reads its figures.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::lab::{APP_PASSWORD, APP_USER};
use crate::process::{find_program, run};

/// Rows of the benchmark's one table.
pub const TABLE_SIZE: u32 = 10_000;

/// A sysbench command for one of its OLTP workloads.
#[derive(Debug, Clone)]
pub struct Sysbench {
    program: PathBuf,
    arguments: Vec<String>,
    /// The CPUs it may run on, as `taskset -c` takes them.
    cpus: Option<String>,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq)]
pub struct SysbenchReport {
    /// All statements, those of BEGIN and COMMIT among them.
    pub queries: u64,
    /// Queries per second.
    pub queries_per_second: f64,
    /// 50th, 95th and 99th percentile of an event (a transaction, which may be one query).
    pub percentiles: [Duration; 3],
    /// Everything it printed.
    pub output: String,
}

impl Sysbench {
    /// `workload` (`oltp_read_write`, …) against `port` of 127.0.0.1 as the lab's application.
    ///
    /// # Errors
    /// [`Error::Missing`] when sysbench is not installed.
    pub fn new(workload: &str, port: u16) -> Result<Self> {
        let program = find_program("sysbench").ok_or_else(|| Error::Missing("sysbench".to_owned()))?;
        let mut arguments = vec![workload.to_owned(), "--mysql-host=127.0.0.1".to_owned()];
        arguments.extend([
            format!("--mysql-port={port}"),
            format!("--mysql-user={APP_USER}"),
            format!("--mysql-password={APP_PASSWORD}"),
            "--mysql-db=sbtest".to_owned(),
            "--tables=1".to_owned(),
            format!("--table-size={TABLE_SIZE}"),
        ]);
        Ok(Self { program, arguments, cpus: None })
    }

    /// Adds an option of sysbench.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Runs on these CPUs only.
    #[must_use]
    pub fn on_cpus(mut self, cpus: Option<&str>) -> Self {
        self.cpus = cpus.map(str::to_owned);
        self
    }

    /// Creates and fills the table.
    ///
    /// # Errors
    /// When sysbench fails.
    pub fn prepare(&self) -> Result<()> {
        run(self.command().arg("prepare")).map(drop)
    }

    /// Drops the table.
    ///
    /// # Errors
    /// When sysbench fails.
    pub fn cleanup(&self) -> Result<()> {
        run(self.command().arg("cleanup")).map(drop)
    }

    /// Runs the workload.
    ///
    /// # Errors
    /// When sysbench fails (it does at the first error of a statement) or prints something unknown.
    pub fn run(&self, threads: usize, duration: Duration) -> Result<SysbenchReport> {
        let output = run(self
            .command()
            .arg(format!("--threads={threads}"))
            .arg(format!("--time={}", duration.as_secs().max(1)))
            .args(["--histogram", "run"]))?;
        SysbenchReport::parse(&output)
    }

    fn command(&self) -> Command {
        let mut command = match &self.cpus {
            None => Command::new(&self.program),
            Some(cpus) => {
                let mut command = Command::new("taskset");
                command.args(["-c", cpus]).arg(&self.program);
                command
            }
        };
        command.args(&self.arguments);
        command
    }
}

impl SysbenchReport {
    fn parse(output: &str) -> Result<Self> {
        let unknown = || Error::Unexpected(format!("sysbench printed: {output}"));
        // "    queries:                             266459 (88679.42 per sec.)"
        let line =
            output.lines().find_map(|line| line.trim().strip_prefix("queries:")).ok_or_else(unknown)?;
        let mut words = line.split_whitespace();
        let queries = words.next().and_then(|word| word.parse().ok()).ok_or_else(unknown)?;
        let rate = words.next().and_then(|word| word.trim_start_matches('(').parse().ok());
        let percentiles = percentiles(output).ok_or_else(unknown)?;
        let output = without_histogram(output);
        Ok(Self { queries, queries_per_second: rate.ok_or_else(unknown)?, percentiles, output })
    }
}

/// Lines such as `       0.123 |*****       17`: milliseconds and how many events took them.
fn percentiles(output: &str) -> Option<[Duration; 3]> {
    let buckets: Vec<(f64, u64)> = output.lines().filter_map(bucket).collect();
    let total: u64 = buckets.iter().map(|(_, count)| count).sum();
    let find = |percent: u64| {
        let mut seen = 0;
        let (millis, _) = buckets.iter().find(|(_, count)| {
            seen += count;
            seen * 100 >= total * percent
        })?;
        Some(Duration::from_secs_f64(millis / 1000.0))
    };
    Some([find(50)?, find(95)?, find(99)?])
}

fn bucket(line: &str) -> Option<(f64, u64)> {
    let (millis, rest) = line.split_once('|')?;
    Some((millis.trim().parse().ok()?, rest.split_whitespace().last()?.trim_start_matches('*').parse().ok()?))
}

fn without_histogram(output: &str) -> String {
    let lines = output.lines().filter(|line| bucket(line).is_none() && !line.contains("distribution"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "Latency histogram (values are in milliseconds)\n\
        \x20      value  ------------- distribution ------------- count\n\
        \x20      0.100 |****************************************  60\n\
        \x20      0.200 |***********                               38\n\
        \x20      9.000 |                                          2\n \n\
        SQL statistics:\n    queries performed:\n        total:   100\n\
        \x20   transactions:                        100 (50.00 per sec.)\n\
        \x20   queries:                             100 (50.25 per sec.)\n";

    #[test]
    fn reads_rates_and_percentiles() -> Result<()> {
        let report = SysbenchReport::parse(OUTPUT)?;
        assert_eq!((report.queries, report.queries_per_second), (100, 50.25));
        assert_eq!(report.percentiles, [100, 200, 9000].map(Duration::from_micros));
        assert!(!report.output.contains('|'));
        assert!(SysbenchReport::parse("FATAL: nothing").is_err());
        Ok(())
    }
}
