//! `make bench-split`: what read/write splitting costs Athena, and where the reads go.

use std::path::PathBuf;
use std::time::Duration;

use athena_perf::Result;
use athena_perf::bench::{SplitPlan, run_split};
use athena_perf::process::beside_this_program;
use clap::Parser;

/// Measures the CPU of a query of `oltp_read_only --skip-trx` with a primary and two replicas, beside that with the primary
/// alone, and counts on the servers where the reads go.
///
/// Builds nothing: the programs of a release build must be there (`make bench-split` sees to it).
#[derive(Parser)]
struct Arguments {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How often each is repeated.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Clients.
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// The CPU of Athena's cores.
    #[arg(long, default_value = "0")]
    proxy_cpu: String,
    /// The CPUs of load and servers, as taskset takes them.
    #[arg(long, default_value = "1")]
    load_cpus: String,
    /// The Athena program; beside this one unless given.
    #[arg(long)]
    athena: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let plan = SplitPlan {
        athena: beside_this_program("athena", arguments.athena)?,
        duration: Duration::from_secs(arguments.seconds.max(1)),
        rounds: arguments.rounds.max(1),
        clients: arguments.clients.max(1),
        proxy_cpu: arguments.proxy_cpu,
        load_cpus: arguments.load_cpus,
    };
    println!("{}", run_split(&plan)?);
    Ok(())
}
