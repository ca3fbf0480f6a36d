//! `make bench-limits`: what limits cost, and whom.

use std::path::PathBuf;
use std::time::Duration;

use athena_perf::Result;
use athena_perf::bench::{LimitsPlan, run_limits};
use athena_perf::process::beside_this_program;
use clap::Parser;

/// Measures the throughput under a limit with all clients on one core beside that with clients on all cores, the latency of
/// one user while another floods, and the CPU of a limiter that limits nothing.
///
/// Builds nothing: the programs of a release build must be there (`make bench-limits` sees to it).
#[derive(Parser)]
struct Arguments {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// How often each is repeated.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The CPU of Athena's cores.
    #[arg(long, default_value = "0")]
    proxy_cpu: String,
    /// The CPUs of load and backend, as taskset takes them.
    #[arg(long, default_value = "1")]
    load_cpus: String,
    /// The Athena program; beside this one unless given.
    #[arg(long)]
    athena: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let plan = LimitsPlan {
        athena: beside_this_program("athena", arguments.athena)?,
        load: beside_this_program("load", None)?,
        null_backend: beside_this_program("null-backend", None)?,
        duration: Duration::from_secs(arguments.seconds.max(1)),
        rounds: arguments.rounds.max(1),
        proxy_cpu: arguments.proxy_cpu,
        load_cpus: arguments.load_cpus,
    };
    println!("{}", run_limits(&plan)?);
    Ok(())
}
