//! System calls per query, counted by `strace -c`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::Plan;
use super::loader::LoadLimit;
use super::measure::{Workload, loader};
use super::stack::{Stack, Target};
use crate::error::{Error, Result};
use crate::lab::Lab;
use crate::process::{Daemon, Signal};

/// Enough that logins and the odd timer vanish behind them.
const QUERIES: u64 = 20_000;
/// Time for strace to reach every thread.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(10);

/// System calls of a proxy per query.
#[derive(Debug, Clone)]
pub struct SyscallCount {
    /// The load.
    pub workload: Workload,
    /// The proxy.
    pub target: Target,
    /// How many clients.
    pub clients: usize,
    /// Calls per query by name.
    pub per_query: BTreeMap<String, f64>,
}

/// Counts for both proxies; nothing where strace may not attach.
pub(super) fn count(
    plan: &Plan,
    lab: &Lab,
    stack: &Stack,
    workload: Workload,
    clients: usize,
) -> Result<Vec<SyscallCount>> {
    let mut counts = Vec::new();
    for target in [Target::Haproxy, Target::Athena] {
        let Some(pid) = stack.pid(target) else { continue };
        let table = lab.folder().join(format!("strace-{target}-{clients}-{workload:?}"));
        let tracer = attach(pid, &table)?;
        let figures =
            loader(plan, workload, clients).run(stack.port(target), LoadLimit::Queries(QUERIES), || ())?;
        tracer.signal(Signal::SIGINT);
        tracer.wait(ATTACH_TIMEOUT).ok_or_else(|| Error::Timeout("strace does not end".to_owned()))?;
        let text = fs::read_to_string(&table).map_err(Error::file(&table))?;
        let per_query =
            parse(&text).map(|(name, calls)| (name, calls as f64 / figures.queries as f64)).collect();
        counts.push(SyscallCount { workload, target, clients, per_query });
    }
    Ok(counts)
}

fn attach(pid: u32, table: &Path) -> Result<Daemon> {
    let arguments =
        ["-c", "-f", "-o", &table.display().to_string(), "-p", &pid.to_string()].map(str::to_owned);
    let daemon = Daemon::start("strace".as_ref(), &arguments, &table.with_extension("log"))?;
    daemon.wait_ready(ATTACH_TIMEOUT, || traced(pid))?;
    Ok(daemon)
}

/// Whether every thread of `pid` has a tracer.
fn traced(pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    tasks.flatten().all(|task| {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
    })
}

/// Lines such as ` 44.22    0.103067          20      5003           sendto` (a column of errors may stand before the name).
fn parse(table: &str) -> impl Iterator<Item = (String, u64)> + '_ {
    table.lines().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let name = *words.last()?;
        let calls = words.get(3)?.parse().ok()?;
        (words.len() >= 5 && name != "total").then(|| (name.to_owned(), calls))
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_the_table() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            \x2044.22    0.103067          20      5003           sendto\n\
            \x20 0.01    0.000034          17         2         1 accept4\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            100.00    0.233082          15     15015         1 total\n";
        let found: Vec<_> = parse(table).collect();
        assert_eq!(found, [("sendto".to_owned(), 5003), ("accept4".to_owned(), 2)]);
    }
}
