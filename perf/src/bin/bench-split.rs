//! `make bench-split`: what read/write splitting costs Athena, and where the reads go.

use athena_perf::Result;
use athena_perf::bench::{Pins, SplitPlan, run_split};
use clap::Parser;

/// Measures the CPU of a query of `oltp_read_only --skip-trx` with a primary and two replicas, beside that with the primary
/// alone, and counts on the servers where the reads go.
///
/// Builds nothing: the programs of a release build must be there (`make bench-split` sees to it).
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    pins: Pins,
    /// Clients.
    #[arg(long, default_value_t = 16)]
    clients: usize,
}

fn main() -> Result<()> {
    let Arguments { pins, clients } = Arguments::parse();
    let plan = SplitPlan {
        athena: pins.athena()?,
        duration: pins.duration(),
        rounds: pins.rounds(),
        clients: clients.max(1),
        proxy_cpu: pins.proxy_cpu,
        load_cpus: pins.load_cpus,
    };
    println!("{}", run_split(&plan)?);
    Ok(())
}
