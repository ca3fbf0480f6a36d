//! Where statements run when reads are split from writes, on real servers that replicate, as the servers themselves tell it.

mod carried;
#[path = "../common/mod.rs"]
mod common;
mod context;
mod front;
mod log;
mod shares;
mod stale;
mod statements;
mod table;

use athena_perf::lab::Server;
use athena_perf::proxy::AthenaConfig;
use common::cluster::split;
use common::wire::{self, Connection, Login, Plugin, Statement, command, status};

/// Reads are split, and find whatever a replica has: these tests wait for replicas themselves where that matters.
fn split_at_once(config: AthenaConfig) -> AthenaConfig {
    split(config).set("routing", "read_your_writes", "\"off\"")
}

/// A number from the environment.
fn chosen<T: std::str::FromStr>(variable: &str, otherwise: T) -> T {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// A connection to a server for somebody who may do everything.
fn root(server: &Server) -> wire::Result<Connection> {
    Connection::login(server.port(), &Login::new("root", "").by(Plugin::CachingSha2Rsa))
}

/// Runs a text of one or several statements, and throws their results away.
fn run_all(client: &mut Connection, sql: &str) -> wire::Result<()> {
    let mut reply = client.command(command::QUERY, sql.as_bytes())?;
    while reply.status() & status::MORE_RESULTS != 0 {
        reply = client.read_reply()?;
    }
    Ok(())
}

/// Executes a statement without parameters, and throws its results away.
fn execute_all(client: &mut Connection, statement: &Statement) -> wire::Result<()> {
    let mut reply = client.execute(statement, &[])?;
    while reply.status() & status::MORE_RESULTS != 0 {
        reply = client.read_binary_reply()?;
    }
    Ok(())
}
