//! Runs the null backend on a port of 127.0.0.1.

use athena_perf::Result;
use athena_perf::null_backend::NullBackend;
use clap::Parser;

/// A MySQL-speaking server that answers every SELECT with the same row and everything else with OK.
#[derive(Parser)]
struct Arguments {
    /// Port on 127.0.0.1; any free one when 0.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

fn main() -> Result<()> {
    let backend = NullBackend::bind(Arguments::parse().port)?;
    println!("null backend on 127.0.0.1:{}", backend.port()?);
    backend.serve()
}
