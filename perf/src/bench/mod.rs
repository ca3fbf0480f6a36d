//! `make bench`: the same load on a server directly, through HAProxy and through Athena, interleaved in one run.
//!
//! A machine with few, shared cores drifts by more than the differences that matter, so nothing is compared across time:
//! in each round every target gets its turn at the same load within seconds, the order changes from round to round, and
//! ratios are formed within a round before medians are taken over rounds. The proxies have one CPU to themselves; load and
//! backend share another.

mod idle;
mod limits;
mod loader;
mod machine;
mod measure;
mod median;
mod pins;
mod report;
mod shards;
mod split;
mod stack;
mod state;
mod syscalls;

use std::path::PathBuf;
use std::time::Duration;

pub use idle::IdleCost;
pub use limits::{LimitsPlan, run as run_limits};
pub use measure::{Sample, Workload};
pub use pins::Pins;
pub use shards::{ShardsPlan, run as run_shards};
pub use split::{SplitPlan, run as run_split};
pub use stack::{Backend, Target};
pub use state::{StatePlan, run as run_state};
pub use syscalls::SyscallCount;

use crate::error::Result;
use crate::lab::Lab;
use stack::Stack;

/// Clients at which system calls are counted.
const SYSCALL_CLIENTS: [usize; 2] = [1, 64];

/// What to measure, and how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The Athena program (a release build).
    pub athena: PathBuf,
    /// The load generator program.
    pub load: PathBuf,
    /// The null backend program.
    pub null_backend: PathBuf,
    /// How long each measurement takes.
    pub duration: Duration,
    /// How often each is repeated.
    pub rounds: usize,
    /// Numbers of clients.
    pub clients: Vec<usize>,
    /// The loads.
    pub workloads: Vec<Workload>,
    /// Athena's `[pool] max_connections`.
    pub pool: u32,
    /// The CPU of the proxies; anywhere, with a thread a CPU, when there is none.
    pub proxy_cpu: Option<String>,
    /// The CPUs of load and backend.
    pub load_cpus: Option<String>,
    /// The command line of this run, for the report.
    pub command_line: String,
}

/// Carries out the plan and returns the report, in Markdown. Says on standard error where it is.
///
/// # Errors
/// When a program is missing or fails, or any reply was an error: a benchmark with errors in it measures nothing.
pub fn run(plan: &Plan) -> Result<String> {
    let lab = Lab::new("bench")?;
    let mut samples = Vec::new();
    let mut syscalls = Vec::new();
    let mut idle = Vec::new();
    for backend in [Backend::Null, Backend::MariaDb] {
        let workloads: Vec<_> =
            plan.workloads.iter().copied().filter(|load| load.backend() == backend).collect();
        if workloads.is_empty() {
            continue;
        }
        let stack = Stack::start(plan, &lab, backend)?;
        if backend == Backend::Null {
            // While nothing else has made the proxies grow.
            idle = idle::measure(&stack)?;
        }
        for round in 0..plan.rounds {
            for &workload in &workloads {
                for &clients in &plan.clients {
                    samples.extend(measure_round(plan, &stack, workload, clients, round)?);
                }
            }
        }
        if backend == Backend::Null {
            for &workload in &workloads {
                for clients in SYSCALL_CLIENTS {
                    syscalls.extend(syscalls::count(plan, &lab, &stack, workload, clients)?);
                }
            }
        }
    }
    Ok(report::write(plan, &samples, &syscalls, &idle))
}

fn measure_round(
    plan: &Plan,
    stack: &Stack,
    workload: Workload,
    clients: usize,
    round: usize,
) -> Result<Vec<Sample>> {
    let mut targets = Target::ALL;
    targets.rotate_left(round % Target::ALL.len());
    let mut samples = Vec::new();
    for target in targets {
        let sample = measure::measure(plan, stack, target, workload, clients, round)?;
        eprintln!("{sample}");
        samples.push(sample);
    }
    Ok(samples)
}
