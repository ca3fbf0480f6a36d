//! `make bench-shards`: what sharding costs Athena.

use athena_perf::Result;
use athena_perf::bench::{Pins, ShardsPlan, run_shards};
use clap::Parser;

/// Measures the CPU of a query of sysbench's workloads with tables that are sharded by their ids, beside that with tables that
/// are not.
///
/// Builds nothing: the programs of a release build must be there (`make bench-shards` sees to it).
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
    let plan = ShardsPlan {
        athena: pins.athena()?,
        duration: pins.duration(),
        rounds: pins.rounds(),
        clients: clients.max(1),
        proxy_cpu: pins.proxy_cpu,
        load_cpus: pins.load_cpus,
    };
    println!("{}", run_shards(&plan)?);
    Ok(())
}
