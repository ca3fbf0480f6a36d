//! `make bench`: Athena beside HAProxy and beside no proxy at all; writes `perf/RESULTS.md`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use athena_perf::bench::{Plan, Workload, run};
use athena_perf::{Error, Result};
use clap::{Parser, ValueEnum};

/// Measures throughput, latency, CPU and system calls per query: direct, through HAProxy, through Athena.
///
/// Builds nothing: the programs of a release build must be there (`make bench` sees to it).
#[derive(Parser)]
struct Arguments {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How often each is repeated.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Numbers of clients.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    clients: Vec<usize>,
    /// Measures on one kind of backend only.
    #[arg(long)]
    only: Option<Only>,
    /// Athena's limit of backend connections.
    #[arg(long, default_value_t = 256)]
    pool: u32,
    /// The proxies' CPU; `any` for no pinning.
    #[arg(long, default_value = "0")]
    proxy_cpu: String,
    /// The CPUs of load and backend, as taskset takes them; `any` for no pinning.
    #[arg(long, default_value = "1")]
    load_cpus: String,
    /// The Athena program; beside this one unless given.
    #[arg(long)]
    athena: Option<PathBuf>,
    /// The report.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md"))]
    output: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Only {
    Null,
    Mariadb,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut own = std::env::current_exe().map_err(|source| Error::File { path: "bench".into(), source })?;
    own.pop();
    let workloads = match arguments.only {
        None => Workload::ALL.to_vec(),
        Some(Only::Null) => vec![Workload::NullText, Workload::NullPrepared],
        Some(Only::Mariadb) => vec![Workload::PointSelect, Workload::ReadOnly],
    };
    let plan = Plan {
        athena: program(arguments.athena.unwrap_or_else(|| own.join("athena")))?,
        load: program(own.join("load"))?,
        null_backend: program(own.join("null-backend"))?,
        duration: Duration::from_secs(arguments.seconds.max(1)),
        rounds: arguments.rounds.max(1),
        clients: arguments.clients,
        workloads,
        pool: arguments.pool,
        proxy_cpu: pinning(arguments.proxy_cpu),
        load_cpus: pinning(arguments.load_cpus),
        command_line: command_line(),
    };
    let report = run(&plan)?;
    fs::write(&arguments.output, &report).map_err(|source| Error::File { path: arguments.output, source })?;
    println!("{report}");
    Ok(())
}

fn program(path: PathBuf) -> Result<PathBuf> {
    if path.is_file() { Ok(path) } else { Err(Error::Missing(path.display().to_string())) }
}

fn pinning(cpus: String) -> Option<String> {
    (cpus != "any").then_some(cpus)
}

/// The arguments as given, without those that name files.
fn command_line() -> String {
    let is_file = |argument: &String| Path::new(argument).is_absolute() || argument.contains("=/");
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| !is_file(argument)).collect();
    let names_file = |argument: &&String| !matches!(argument.as_str(), "--athena" | "--output");
    let kept: Vec<_> = arguments.iter().filter(names_file).map(String::as_str).collect();
    if kept.is_empty() { "make bench".to_owned() } else { format!("make bench BENCH=\"{}\"", kept.join(" ")) }
}
