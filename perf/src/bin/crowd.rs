//! `make crowd`: many clients with states of their own on few links.

use std::path::PathBuf;
use std::time::Duration;

use athena_perf::crowd::{self, CrowdOptions};
use athena_perf::lab::{APP_USER, Lab, ServerOptions};
use athena_perf::proxy::{Athena, AthenaConfig, sum_metric};
use athena_perf::{Error, Result};
use clap::Parser;

/// Starts a server and Athena in front of it, lets clients with different time zones, modes, character sets and user
/// variables work, checks that each sees its own, and says how often a link had to be given another state.
#[derive(Parser)]
struct Arguments {
    /// Clients.
    #[arg(long, default_value_t = 2000)]
    clients: usize,
    /// Athena's links, in all.
    #[arg(long, default_value_t = 16)]
    links: usize,
    /// Seconds of work.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// A real MySQL instead of MariaDB (see docs/LAB.md).
    #[arg(long)]
    mysql: bool,
    /// Athena's CPUs, which share the links.
    #[arg(long, default_value = "0")]
    cpus: String,
    /// The Athena program; beside this one unless given.
    #[arg(long)]
    athena: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let beside = std::env::current_exe().map_err(|source| Error::File { path: "crowd".into(), source })?;
    let program = arguments.athena.unwrap_or_else(|| beside.with_file_name("athena"));
    let lab = Lab::new("crowd")?;
    // Most servers have a binary log, and tell more of what is written then.
    let options = ServerOptions::default().binlog(true);
    let server = if arguments.mysql {
        lab.mysql_server(options)?.ok_or_else(|| Error::Missing("a real MySQL".to_owned()))?
    } else {
        lab.server(options)?
    };
    let table = |statement: &&str| server.sql(&format!("USE test; {statement}"));
    crowd::SCHEMA.iter().try_for_each(|statement| table(statement).map(drop))?;
    server.sql(&format!("ALTER USER {APP_USER}@'%' IDENTIFIED BY ''"))?;
    let config = AthenaConfig::new(server.port())
        .account(APP_USER, "")
        .set("runtime", "cpus", &format!("{:?}", arguments.cpus))
        .set("pool", "max_connections", &arguments.links.to_string())
        .set("pool", "checkout_timeout_ms", "60000")
        .set("circuit", "enabled", "false")
        .set("log", "level", "\"warn\"");
    let athena = Athena::start(&program, lab.folder(), &config)?;
    let options = CrowdOptions {
        port: athena.port(),
        user: APP_USER.to_owned(),
        database: "test".to_owned(),
        clients: arguments.clients,
        duration: Duration::from_secs(arguments.seconds),
    };
    let mut before = (String::new(), Duration::ZERO);
    let report = crowd::run(&options, || {
        before = (athena.metrics().unwrap_or_default(), athena.usage().cpu_time());
    })?;
    let (page, cpu) = (athena.metrics()?, athena.usage().cpu_time().saturating_sub(before.1));
    let grown = |name: &str| sum_metric(&page, name, &[]) - sum_metric(&before.0, name, &[]);
    let queries = report.queries.max(1) as f64;
    println!("{} clients on {} links: {report}", arguments.clients, arguments.links);
    for (what, name) in [
        ("needed a replay", "athena_state_replays_total"),
        ("needed a read-out", "athena_state_readouts_total"),
        ("were prepared again", "athena_statements_reprepared_total"),
        ("opened a link", "athena_links_opened_total"),
    ] {
        println!("{:7.3} % {what} ({name})", grown(name) / queries * 100.0);
    }
    println!("{:7.1} µs of Athena's CPU for a query", cpu.as_secs_f64() * 1e6 / queries);
    let wrong_rows = server.sql(&format!("USE test; {}", crowd::WRONG_ROWS))?;
    if report.wrong > 0 || wrong_rows != "0" {
        return Err(Error::Unexpected(format!(
            "{} answers and the rows of {wrong_rows} clients are wrong",
            report.wrong
        )));
    }
    Ok(())
}
