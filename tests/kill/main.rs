//! KILL, the list of processes and CONNECTION_ID(): clients know Athena's ids, and an id means its session on every core.

#[path = "../common/mod.rs"]
mod common;
mod ids;
mod links;
mod list;
mod query;
mod rights;
mod sessions;
mod terminal;

use std::time::Duration;

use athena_perf::proxy::AthenaConfig;
use common::stage::{Stage, on_each_server as on_each_server_with};
use common::wire::{self, Connection};
use common::{TestResult, eventually};

const NO_SUCH_THREAD: u16 = 1094;
const KILL_DENIED: u16 = 1095;
const LOCK_WAIT_TIMEOUT: u16 = 1205;
const NOT_SUPPORTED_YET: u16 = 1235;
const UNSUPPORTED_PS: u16 = 1295;
const INTERRUPTED: u16 = 1317;
const CONNECTION_KILLED: u16 = 1927;

/// Cores of Athena in these tests: an id's remainder is its core.
const CORES: u32 = 2;

/// Where Athena's ids begin.
const FIRST_ID: u32 = 1 << 30;

/// What a statement takes to be seen at work.
const START_TIMEOUT: Duration = Duration::from_secs(10);

fn configure(config: AthenaConfig) -> AthenaConfig {
    config.set("runtime", "cpus", "\"0-1\"").set("pool", "max_connections", "40")
}

/// Runs `test` on a MariaDB, and on a MySQL where there is one.
fn on_each_server(name: &str, test: impl Fn(&Stage) -> TestResult) -> TestResult {
    on_each_server_with(name, configure, test)
}

fn id_of(client: &Connection) -> u32 {
    client.greeting().connection_id
}

/// A client whose session is on this core.
fn client_on(stage: &Stage, core: u32) -> TestResult<Connection> {
    // A client goes where the fewest are: those that came to another core stay until one has come to this.
    let mut elsewhere = Vec::new();
    for _ in 0..200 {
        let client = stage.connect()?;
        if id_of(&client) % CORES == core {
            return Ok(client);
        }
        elsewhere.push(client);
    }
    Err(format!("no client came to core {core}").into())
}

fn is_mariadb(client: &Connection) -> bool {
    client.greeting().version.contains("MariaDB")
}

/// Whether this is the end of a `SELECT SLEEP()` that was killed: an error on MariaDB, the value 1 on MySQL.
fn was_interrupted(outcome: &wire::Result<String>) -> bool {
    match outcome {
        Ok(value) => value == "1",
        Err(error) => error.code() == Some(INTERRUPTED),
    }
}

/// Waits until `count` statements with this text run on the server.
fn wait_until_running(stage: &Stage, text: &str, count: usize) {
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%{text}%' AND INFO NOT LIKE '%PROCESSLIST%'"
    );
    eventually("the statements run", START_TIMEOUT, || {
        let running = stage.server.sql(&sql).map_err(|error| error.to_string())?;
        if running == count.to_string() { Ok(()) } else { Err(format!("{running} of {count}")) }
    });
}
