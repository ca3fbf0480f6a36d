//! `make bench-limits`: what limits cost, and whom.

use athena_perf::Result;
use athena_perf::bench::{LimitsPlan, Pins, run_limits};
use athena_perf::process::beside_this_program;
use clap::Parser;

/// Measures the throughput under a limit with all clients on one core beside that with clients on all cores, the latency of
/// one user while another floods, and the CPU of a limiter that limits nothing.
///
/// Builds nothing: the programs of a release build must be there (`make bench-limits` sees to it).
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    pins: Pins,
}

fn main() -> Result<()> {
    let Arguments { pins } = Arguments::parse();
    let plan = LimitsPlan {
        athena: pins.athena()?,
        load: beside_this_program("load", None)?,
        null_backend: beside_this_program("null-backend", None)?,
        duration: pins.duration(),
        rounds: pins.rounds(),
        proxy_cpu: pins.proxy_cpu,
        load_cpus: pins.load_cpus,
    };
    println!("{}", run_limits(&plan)?);
    Ok(())
}
