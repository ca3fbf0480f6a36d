//! Packets may be cut anywhere, and commands may come many at once.
//!
//! Conversations of real clients, and of one that says what those never do, pass through a relay that writes them down
//! (`relay`, `conversation`). Then they are held again (`replay`), on Athena, with each packet of the client cut in
//! two at each of its bytes; with all commands at once; and with each packet of the *server* cut at each of its bytes,
//! by a relay between Athena and it. What Athena answers must be, byte for byte, what it answered before.

#[path = "../drivers/clients.rs"]
#[allow(dead_code, unused_imports)]
mod clients;
#[path = "../common/mod.rs"]
mod common;
mod conversation;
mod raw;
mod relay;
mod replay;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use athena_perf::lab::{APP_PASSWORD, APP_USER, Lab, Server, ServerOptions};
use athena_perf::proxy::{Athena, AthenaConfig};
use common::{TestResult, join};
use conversation::Conversation;
use relay::{BYTES, Cut, Relay, WHOLE};
use replay::{Pieces, replay, replay_at_once};

/// The databases of the conversations: they are held at the same time.
const PROGRAMS: [&str; 3] = ["split_cli", "split_pymysql", "split_mysql2"];
/// How far a segment reaches into the next command when all are sent at once; 0 sends them in a single one.
const OVERLAPS: [usize; 6] = [0, 1, 2, 3, 4, 5];
/// Time in which Athena notices that its links are closed.
const NOTICED: Duration = Duration::from_millis(60);

/// Athena in front of a server, with a relay between that cuts what the server sends. Dropped in this order.
struct Stage {
    athena: Athena,
    behind: Relay,
    cut: Cut,
    _server: Server,
    _lab: Lab,
}

impl Stage {
    fn start(lab: Lab, server: Server, plugin: &str) -> TestResult<Self> {
        let names = PROGRAMS.into_iter().chain(raw::dialects().map(|(name, _)| name));
        for name in names {
            server.sql(&format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"))?;
        }
        let cut: Cut = Arc::new(AtomicUsize::new(WHOLE));
        let behind = Relay::cutting(server.port(), &cut)?;
        let config = AthenaConfig::new(behind.port())
            .set("server", "auth_plugin", &format!("{plugin:?}"))
            .set("server", "command_buffer_bytes", "163840")
            .set("circuit", "max_concurrent_per_user_shard", "100");
        let athena = Athena::start(env!("CARGO_BIN_EXE_athena").as_ref(), lab.folder(), &config)?;
        Ok(Self { athena, behind, cut, _server: server, _lab: lab })
    }

    fn on_mariadb(name: &str) -> TestResult<Self> {
        let lab = Lab::new(name)?;
        let server = lab.server(ServerOptions::default())?;
        Self::start(lab, server, "mysql_native_password")
    }

    /// `None` where there is no MySQL.
    fn on_mysql(name: &str) -> TestResult<Option<Self>> {
        let lab = Lab::new(name)?;
        let Some(server) = lab.mysql_server(ServerOptions::default())? else { return Ok(None) };
        Self::start(lab, server, "caching_sha2_password").map(Some)
    }

    /// Has every conversation held, and writes it down: the second time, when it finds what the first one has left.
    fn record(&self) -> TestResult<Vec<Arc<Conversation>>> {
        let mut all = Vec::new();
        for name in PROGRAMS {
            let front = Relay::recording(self.athena.port())?;
            clients::succeed(&mut program(name, self.athena.port()));
            clients::succeed(&mut program(name, front.port()));
            all.push(only_one(name, &front)?);
        }
        for (name, login) in raw::dialects() {
            let front = Relay::recording(self.athena.port())?;
            raw::converse(self.athena.port(), &login).map_err(|error| format!("{name}: {error}"))?;
            raw::converse(front.port(), &login).map_err(|error| format!("{name}: {error}"))?;
            all.push(only_one(name, &front)?);
        }
        Ok(all)
    }
}

/// The one conversation that a relay has heard.
fn only_one(name: &str, front: &Relay) -> TestResult<Arc<Conversation>> {
    let [passed] = &front.passed()[..] else { return Err(format!("{name}: not one connection").into()) };
    Conversation::new(name, passed)
}

fn program(database: &str, port: u16) -> Command {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/split/clients"));
    let arguments = [port.to_string(), APP_USER.into(), APP_PASSWORD.into(), database.to_owned()];
    match database {
        "split_cli" => {
            let mut command = clients::Target::new(port, database).mariadb("mariadb");
            command.args(["--default-character-set=utf8mb4", "--force", database]);
            command.stdin(clients::open(&folder.join("batch.sql")));
            command
        }
        "split_pymysql" => {
            let mut command = clients::timed("60", "/usr/bin/python3");
            command.arg(folder.join("pymysql_client.py")).args(arguments);
            command.env("PYTHONDONTWRITEBYTECODE", "1");
            command
        }
        _ => {
            let mut command = clients::timed("60", "node");
            command.arg(folder.join("mysql2_client.js")).args(arguments);
            command.env("NODE_PATH", clients::node_modules());
            command
        }
    }
}

/// Holds all conversations at the same time.
fn at_once(
    conversations: &[Arc<Conversation>],
    hold: impl Fn(&Conversation) -> TestResult + Sync,
) -> TestResult {
    thread::scope(|scope| {
        let running: Vec<_> = conversations.iter().map(|one| scope.spawn(|| hold(one))).collect();
        running.into_iter().try_for_each(join)
    })
}

/// Everything that can be cut, on one server.
fn cut_everything(stage: &Stage) -> TestResult {
    let conversations = stage.record()?;
    let port = stage.athena.port();
    at_once(&conversations, |one| {
        replay(port, one, Pieces::Whole).map_err(|error| format!("{}, whole: {error}", one.name).into())
    })?;
    at_once(&conversations, |one| {
        (0..one.positions()).try_for_each(|number| {
            replay(port, one, Pieces::CutAt(number))
                .map_err(|error| format!("{}, client cut at {number}: {error}", one.name).into())
        })
    })?;
    at_once(&conversations, |one| {
        OVERLAPS.into_iter().try_for_each(|overlap| {
            replay_at_once(port, one, overlap)
                .map_err(|error| format!("{}, at once with overlap {overlap}: {error}", one.name).into())
        })
    })?;
    for number in (0..conversation::POSITIONS).chain([BYTES]) {
        stage.cut.store(number, Ordering::Relaxed);
        // New links, so that their logins are cut, too.
        stage.behind.close_all();
        thread::sleep(NOTICED);
        at_once(&conversations, |one| {
            replay(port, one, Pieces::Whole)
                .map_err(|error| format!("{}, server cut at {number}: {error}", one.name).into())
        })?;
    }
    Ok(())
}

#[test]
fn every_cut_on_mariadb() -> TestResult {
    cut_everything(&Stage::on_mariadb("split")?)
}

#[test]
fn every_cut_on_mysql() -> TestResult {
    match Stage::on_mysql("split")? {
        Some(stage) => cut_everything(&stage),
        None => {
            eprintln!("skipped: no MySQL root (perf/mysql-root.sh makes one)");
            Ok(())
        }
    }
}
