//! `make demo`: sysbench through Athena on a MariaDB of the lab.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use athena_perf::lab::{APP_PASSWORD, APP_USER, Lab, ServerOptions};
use athena_perf::proxy::{Athena, AthenaConfig};
use athena_perf::sysbench::{Sysbench, SysbenchReport, TABLE_SIZE};
use athena_perf::{Error, Result};
use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Metrics whose lines the demo shows.
const SHOWN: [&str; 4] = [
    "athena_connections_total",
    "athena_queries_total",
    "athena_queries_routed_total",
    "athena_rate_limit_rejected_total",
];

/// Starts a MariaDB and Athena in front of it, runs sysbench through it and shows what came of it.
#[derive(Parser)]
struct Arguments {
    /// Seconds of load.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Clients.
    #[arg(long, default_value_t = 16)]
    threads: usize,
    /// Keeps server and proxy running afterwards, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// The Athena program; beside this one unless given.
    #[arg(long)]
    athena: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let athena = match &arguments.athena {
        Some(athena) => athena.clone(),
        None => std::env::current_exe()
            .map_err(|source| Error::File { path: "demo".into(), source })?
            .with_file_name("athena"),
    };
    if !athena.is_file() {
        return Err(Error::Missing(athena.display().to_string()));
    }
    let lab = Lab::new("demo")?;
    let server = lab.server(ServerOptions::default())?;
    println!("== MariaDB {} on 127.0.0.1:{}", server.sql("SELECT VERSION()")?, server.port());

    let config = AthenaConfig::new(server.port()).set("circuit", "enabled", "false");
    let athena = Athena::start(&athena, lab.folder(), &config)?;
    println!("== Athena on 127.0.0.1:{} in front of it, configured by", athena.port());
    show(&fs::read_to_string(athena.config_path()).unwrap_or_default());

    let report = load(&athena, &arguments)?;
    println!("== sysbench's figures");
    show(&report.output);
    show_metrics(&athena)?;
    if arguments.keep {
        wait_for_interrupt(&athena)?;
    }
    match athena.terminate() {
        Some(status) if status.success() => {
            println!("== Athena drained and ended; the server and its files are gone");
            Ok(())
        }
        other => Err(Error::Unexpected(format!("Athena ended with {other:?}"))),
    }
}

fn load(athena: &Athena, arguments: &Arguments) -> Result<SysbenchReport> {
    let sysbench = Sysbench::new("oltp_read_write", athena.port())?;
    println!("== sysbench oltp_read_write through Athena: prepare ({TABLE_SIZE} rows)");
    sysbench.prepare()?;
    println!("== run: {} clients, {} seconds", arguments.threads, arguments.seconds);
    let report = sysbench.run(arguments.threads, Duration::from_secs(arguments.seconds))?;
    println!("== cleanup");
    sysbench.cleanup()?;
    Ok(report)
}

fn show_metrics(athena: &Athena) -> Result<()> {
    println!("== http://127.0.0.1:{}/metrics says", athena.metrics_port());
    let metrics = athena.metrics()?;
    let name = |line: &str| line.split(['{', ' ']).next().unwrap_or_default().to_owned();
    let shown = |line: &&str| SHOWN.contains(&name(line).as_str()) && !line.ends_with("} 0");
    let lines: Vec<_> = metrics.lines().filter(shown).collect();
    show(&lines.join("\n"));
    Ok(())
}

fn wait_for_interrupt(athena: &Athena) -> Result<()> {
    let port = athena.port();
    println!("== running until Ctrl-C: mariadb -h 127.0.0.1 -P {port} -u {APP_USER} -p{APP_PASSWORD} sbtest");
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|source| Error::Spawn { program: "signal handler".to_owned(), source })?;
    signals.forever().next();
    Ok(())
}

fn show(text: &str) {
    text.lines().filter(|line| !line.trim().is_empty()).for_each(|line| println!("   {line}"));
}
