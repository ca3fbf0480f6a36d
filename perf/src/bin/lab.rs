//! Starts servers of the lab, says how to reach them, and keeps them until Ctrl-C.

use athena_perf::lab::{APP_PASSWORD, APP_USER, Lab, Server, ServerOptions};
use athena_perf::{Error, Result};
use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Starts throw-away database servers on free ports of 127.0.0.1 until Ctrl-C.
#[derive(Parser)]
struct Arguments {
    /// Replicas of the server.
    #[arg(long, default_value_t = 0)]
    replicas: usize,
    /// Further servers that know nothing of the first: for shards.
    #[arg(long, default_value_t = 0)]
    shards: usize,
    /// Also a real MySQL (see docs/LAB.md).
    #[arg(long)]
    mysql: bool,
    /// An argument for every server program, such as `--wait-timeout=3`; may be repeated.
    #[arg(long, allow_hyphen_values = true)]
    argument: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // Before the first server: an early Ctrl-C must not leave one behind.
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|source| Error::Spawn { program: "signal handler".to_owned(), source })?;
    let lab = Lab::new("interactive")?;
    let options = arguments
        .argument
        .iter()
        .fold(ServerOptions::default(), |options, argument| options.argument(argument));
    let replicated = lab.primary_with_replicas(arguments.replicas, &options)?;
    tell("primary", &replicated.primary);
    replicated.replicas.iter().for_each(|replica| tell("replica", replica));
    let shards = lab.shard_servers(arguments.shards, &options)?;
    shards.iter().for_each(|shard| tell("shard", shard));
    let mysql = if arguments.mysql { lab.mysql_server(options)? } else { None };
    match &mysql {
        Some(server) => tell("MySQL", server),
        None if arguments.mysql => println!("no real MySQL here: see docs/LAB.md"),
        None => {}
    }
    println!("files: {}\nCtrl-C stops the servers and removes their files.", lab.folder().display());
    signals.forever().next();
    Ok(())
}

fn tell(kind: &str, server: &Server) {
    let port = server.port();
    println!(
        "{kind:8} mariadb -h 127.0.0.1 -P {port} -u root    or    -u {APP_USER} -p{APP_PASSWORD}    log: {}",
        server.log_path().display()
    );
}
