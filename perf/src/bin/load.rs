//! Runs the load generator and prints what came of it.

use std::time::Duration;

use athena_perf::Result;
use athena_perf::load::{LoadOptions, Mode, run};
use clap::Parser;

/// Point selects in a closed loop on many connections, from one thread. Prints `begin` when counting begins.
#[derive(Parser)]
struct Arguments {
    /// Port of the server or proxy on 127.0.0.1.
    #[arg(long)]
    port: u16,
    /// An account with an empty password.
    #[arg(long, default_value = "root")]
    user: String,
    /// Default database.
    #[arg(long, default_value = "sbtest")]
    database: String,
    /// Connections, each with one statement in flight.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// A statement that each connection sends first; may be repeated.
    #[arg(long)]
    setup: Vec<String>,
    /// Use prepared statements.
    #[arg(long)]
    prepared: bool,
    /// Send this text (shorter than 250 bytes) each time, not a point select.
    #[arg(long, conflicts_with = "prepared")]
    statement: Option<String>,
    /// Only connections of this core of Athena; with --cores.
    #[arg(long, requires = "cores")]
    core: Option<u32>,
    /// How many cores Athena has.
    #[arg(long)]
    cores: Option<u32>,
    /// Seconds before counting begins.
    #[arg(long, default_value_t = 0.5)]
    warmup: f64,
    /// Seconds of counting.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Ends after this many replies at the latest.
    #[arg(long, default_value_t = u64::MAX)]
    queries: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let options = LoadOptions {
        port: arguments.port,
        user: arguments.user,
        database: arguments.database,
        connections: arguments.connections,
        setup: arguments.setup,
        statement: arguments.statement,
        core: arguments.core.zip(arguments.cores.filter(|cores| *cores > 0)),
        mode: if arguments.prepared { Mode::Prepared } else { Mode::Text },
        warmup: Duration::from_secs_f64(arguments.warmup),
        duration: Duration::from_secs_f64(arguments.seconds),
        queries_max: arguments.queries,
    };
    let report = run(&options, || println!("begin"))?;
    let queries = report.latencies.total();
    let micros = |percent| report.latencies.percentile(percent).as_secs_f64() * 1e6;
    let per_second = queries as f64 / report.elapsed.as_secs_f64();
    println!(
        "queries={queries} errors={} qps={per_second:.0} p50_us={:.1} p95_us={:.1} p99_us={:.1}",
        report.errors,
        micros(50),
        micros(95),
        micros(99)
    );
    Ok(())
}
