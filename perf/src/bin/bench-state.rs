//! `make bench-state`: what it costs Athena that clients have set something.

use std::path::PathBuf;
use std::time::Duration;

use athena_perf::Result;
use athena_perf::bench::{Backend, StatePlan, run_state};
use athena_perf::process::beside_this_program;
use clap::Parser;

/// Measures the CPU of a query for clients that have set nothing and for clients that have all set the same, which Athena
/// tracks and no link has to be given again; and through an older Athena, where one is given.
///
/// Builds nothing: the programs of a release build must be there (`make bench-state` sees to it).
#[derive(Parser)]
struct Arguments {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How often each is repeated.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Clients.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Athena's links.
    #[arg(long, default_value_t = 16)]
    links: usize,
    /// On the null backend instead of a MariaDB.
    #[arg(long)]
    null: bool,
    /// What each client sends first; may be repeated. What many frameworks send, unless given.
    #[arg(long)]
    setup: Vec<String>,
    /// The CPU of Athena; `any` for no pinning.
    #[arg(long, default_value = "0")]
    proxy_cpu: String,
    /// The CPUs of load and backend, as taskset takes them; `any` for no pinning.
    #[arg(long, default_value = "1")]
    load_cpus: String,
    /// The Athena program; beside this one unless given.
    #[arg(long)]
    athena: Option<PathBuf>,
    /// An older Athena to compare with.
    #[arg(long)]
    older: Option<PathBuf>,
}

const SETUP: [&str; 4] = [
    "SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci",
    "SET time_zone = '+00:00'",
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO', wait_timeout = 2147483",
    "SET autocommit = 1",
];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let pinning = |cpus: String| (cpus != "any").then_some(cpus);
    let setup = match arguments.setup {
        none if none.is_empty() => SETUP.map(str::to_owned).to_vec(),
        given => given,
    };
    let plan = StatePlan {
        athena: beside_this_program("athena", arguments.athena)?,
        older: arguments.older.map(|older| beside_this_program("athena", Some(older))).transpose()?,
        load: beside_this_program("load", None)?,
        null_backend: beside_this_program("null-backend", None)?,
        backend: if arguments.null { Backend::Null } else { Backend::MariaDb },
        duration: Duration::from_secs(arguments.seconds.max(1)),
        rounds: arguments.rounds.max(1),
        clients: arguments.clients,
        links: arguments.links,
        setup,
        proxy_cpu: pinning(arguments.proxy_cpu),
        load_cpus: pinning(arguments.load_cpus),
    };
    println!("{}", run_state(&plan)?);
    Ok(())
}
