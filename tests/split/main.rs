//! Packets may be cut anywhere, and commands may come many at once.
//!
//! Conversations of real clients, and of one that says what those never do, pass through a relay that writes them down
//! (`relay`, `conversation`). Then they are held again (`replay`), on Athena, with each packet of the client cut in
//! two at each of its bytes; with all commands at once; and with each packet of the *server* cut at each of its bytes,
//! by a relay between Athena and it. What Athena answers must be, byte for byte, what it answered before.
//!
//! A short one is also held through TLS and compression (`layers`), where records and compressed packets are cut; and
//! links have these layers in a test of their own. What was said without a layer is answered the same within.

#[path = "../drivers/clients.rs"]
#[allow(dead_code, unused_imports)]
mod clients;
#[path = "../common/mod.rs"]
mod common;
mod conversation;
mod layers;
mod raw;
mod relay;
mod replay;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use athena_perf::lab::{APP_PASSWORD, APP_USER, Certificates, Lab, Server, ServerOptions};
use athena_perf::proxy::{Athena, AthenaConfig};
use common::{TestResult, join};
use conversation::{BYTES, Conversation, WHOLE};
use layers::Way;
use relay::{Cut, Relay, Unit};
use replay::{Scene, replay, replay_at_once};

/// The programs whose conversations are held again, by their databases: all are held at the same time.
const PROGRAMS: [&str; 6] =
    ["split_cli", "split_pymysql", "split_mysql2", "split_go", "split_cli_packed", "split_mysql2_packed"];
/// MySQL's own client, where there is one: it compresses by zstd.
const MYSQL_PROGRAM: &str = "split_mysql_packed";
/// How far a segment reaches into the next command when all are sent at once; 0 sends them in a single one.
const OVERLAPS: [usize; 6] = [0, 1, 2, 3, 4, 5];
/// Time in which Athena notices that its links are closed.
const NOTICED: Duration = Duration::from_millis(60);

/// Athena in front of a server, with a relay between that cuts what the server sends. Dropped in this order.
struct Stage {
    athena: Athena,
    scene: Scene,
    behind: Relay,
    cut: Cut,
    server: Server,
    lab: Lab,
}

impl Stage {
    fn start(
        lab: Lab,
        server: Server,
        unit: Unit,
        configure: impl FnOnce(AthenaConfig) -> AthenaConfig,
    ) -> TestResult<Self> {
        let dialects = raw::dialects().map(|(name, _)| name).into_iter();
        let names = dialects.chain(raw::ways().map(|(name, _)| name)).chain(PROGRAMS).chain([MYSQL_PROGRAM]);
        for name in names {
            server.sql(&format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"))?;
        }
        server.sql("SET GLOBAL local_infile = 1")?;
        let certificates = certificates(&lab)?;
        let cut: Cut = Arc::new(AtomicUsize::new(WHOLE));
        let behind = Relay::cutting(server.port(), &cut, unit)?;
        // Byte by byte, a login takes seconds; a core lets only some of its links log in at a time.
        let config = AthenaConfig::new(behind.port())
            .set("pool", "connect_timeout_ms", "60000")
            .set("pool", "checkout_timeout_ms", "60000")
            .set("server", "command_buffer_bytes", "163840")
            .set("server.tls", "cert", &format!("{:?}", certificates.certificate("server")))
            .set("server.tls", "key", &format!("{:?}", certificates.key("server")))
            .set("circuit", "max_concurrent_per_user_shard", "100");
        let binary = env!("CARGO_BIN_EXE_athena").as_ref();
        let athena = Athena::start(binary, lab.folder(), &configure(config))?;
        let scene = Scene { port: athena.port(), tls: layers::trusting(&certificates.certificate("ca"))? };
        Ok(Self { athena, scene, behind, cut, server, lab })
    }

    fn on_mariadb(name: &str) -> TestResult<Self> {
        let lab = Lab::new(name)?;
        let server = lab.server(ServerOptions::default())?;
        Self::start(lab, server, Unit::Packet, |config| {
            config.set("server", "auth_plugin", "\"mysql_native_password\"")
        })
    }

    /// `None` where there is no MySQL.
    fn on_mysql(name: &str) -> TestResult<Option<Self>> {
        let lab = Lab::new(name)?;
        let Some(server) = lab.mysql_server(ServerOptions::default())? else { return Ok(None) };
        let started = Self::start(lab, server, Unit::Packet, |config| {
            config.set("server", "auth_plugin", "\"caching_sha2_password\"")
        });
        started.map(Some)
    }

    /// On a MariaDB whose links are encrypted and compressed.
    fn with_layers(name: &str) -> TestResult<Self> {
        let lab = Lab::new(name)?;
        let certificates = certificates(&lab)?;
        let options = ServerOptions::default()
            .argument(format!("--ssl-cert={}", certificates.certificate("server").display()))
            .argument(format!("--ssl-key={}", certificates.key("server").display()));
        let server = lab.server(options)?;
        Self::start(lab, server, Unit::Segment, |config| {
            config.set("backend", "tls", "\"required\"").set("backend", "compression", "\"zlib\"")
        })
    }

    /// Has every conversation held, and writes it down: the second time, when it finds what the first one has left.
    fn record(&self) -> TestResult<Vec<Arc<Conversation>>> {
        let mut all = Vec::new();
        for name in PROGRAMS.into_iter().chain([MYSQL_PROGRAM]) {
            let front = Relay::recording(self.athena.port())?;
            let Some(mut first) = self.program(name, self.athena.port()) else { continue };
            clients::succeed(&mut first);
            clients::succeed(&mut self.program(name, front.port()).expect("as before"));
            all.push(only_one(name, &front, Way::PLAIN)?);
        }
        all.extend(self.record_dialects()?);
        for (name, way) in raw::ways() {
            all.push(self.record_by(name, way, |port| raw::converse_shortly(port, &raw::short_login(name)))?);
        }
        Ok(all)
    }

    fn record_dialects(&self) -> TestResult<Vec<Arc<Conversation>>> {
        let record = |(name, login)| self.record_by(name, Way::PLAIN, |port| raw::converse(port, &login));
        raw::dialects().into_iter().map(record).collect()
    }

    fn record_by(
        &self,
        name: &str,
        way: Way,
        converse: impl Fn(u16) -> TestResult,
    ) -> TestResult<Arc<Conversation>> {
        let front = Relay::recording(self.athena.port())?;
        for port in [self.athena.port(), front.port()] {
            converse(port).map_err(|error| format!("{name}: {error}"))?;
        }
        only_one(name, &front, way)
    }

    /// Cuts what the server sends from now on by this number, on new links, so that their logins are cut, too.
    fn cut_server(&self, number: usize) -> TestResult {
        self.cut.store(number, Ordering::Relaxed);
        // A MySQL forgets whose password it has seen: one link gets in by the server's key.
        self.server.sql("FLUSH PRIVILEGES")?;
        self.behind.close_all();
        thread::sleep(NOTICED);
        Ok(())
    }

    /// The client whose conversation has this name; `None` if it is not there.
    fn program(&self, name: &str, port: u16) -> Option<Command> {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/split/clients"));
        let arguments = [port.to_string(), APP_USER.into(), APP_PASSWORD.into(), name.to_owned()];
        let mut command = match name {
            "split_cli" | "split_cli_packed" => {
                let mut command = clients::Target::new(port, name).mariadb("mariadb");
                command.args(["--default-character-set=utf8mb4", "--force", "--skip-ssl"]);
                command.args((name == "split_cli_packed").then_some("--compress"));
                command.arg(name).stdin(clients::open(&folder.join("batch.sql")));
                command
            }
            MYSQL_PROGRAM => {
                let mut command = self.lab.mysql_client()?;
                command.args(["--no-defaults", "--host=127.0.0.1", "--protocol=tcp", "--ssl-mode=DISABLED"]);
                command.args([format!("--port={port}"), format!("--user={APP_USER}")]);
                command.args([&format!("--password={APP_PASSWORD}"), "--compression-algorithms=zstd"]);
                command.args(["--default-character-set=utf8mb4", "--force", name]);
                command.stdin(clients::open(&folder.join("batch.sql")));
                command
            }
            "split_pymysql" => {
                let mut command = clients::timed("60", "/usr/bin/python3");
                command.arg(folder.join("pymysql_client.py")).args(arguments);
                command.env("PYTHONDONTWRITEBYTECODE", "1");
                command
            }
            "split_go" => {
                let mut command = clients::timed("60", go_program(folder));
                command.arg("127.0.0.1").args(arguments);
                command
            }
            _ => {
                let mut command = clients::timed("60", "node");
                command.arg(folder.join("mysql2_client.js")).args(arguments);
                command.args((name == "split_mysql2_packed").then_some("compress"));
                command.env("NODE_PATH", clients::node_modules());
                command
            }
        };
        command.env_remove("MYSQL_PWD");
        Some(command)
    }
}

/// Built once, though several tests want it.
fn go_program(folder: &Path) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| clients::go_build(&folder.join("go"), "split")).clone()
}

/// Made once for a lab.
fn certificates(lab: &Lab) -> TestResult<Certificates> {
    Ok(Certificates::new(&lab.folder().join("certificates"))?)
}

/// The one conversation that a relay has heard.
fn only_one(name: &str, front: &Relay, way: Way) -> TestResult<Arc<Conversation>> {
    let [passed] = &front.passed()[..] else { return Err(format!("{name}: not one connection").into()) };
    Conversation::new(name, passed, way)
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

/// Whether a client's packets are cut at this position in the conversation of this name. The long conversations in the
/// dialects have the same commands: beyond the headers each takes its share.
fn falls_to(name: &str, number: usize) -> bool {
    const HEADERS: usize = 6;
    let dialects = raw::dialects();
    let share = dialects.iter().position(|(dialect, _)| *dialect == name);
    number < HEADERS || share.is_none_or(|share| number % dialects.len() == share)
}

/// Everything that can be cut, on one server.
fn cut_everything(stage: &Stage) -> TestResult {
    let conversations = stage.record()?;
    let scene = &stage.scene;
    at_once(&conversations, |one| {
        replay(scene, one, WHOLE).map_err(|error| format!("{}, whole: {error}", one.name).into())
    })?;
    at_once(&conversations, |one| {
        let numbers = (0..one.positions()).filter(|number| falls_to(&one.name, *number));
        numbers.chain([BYTES]).try_for_each(|number| {
            replay(scene, one, number)
                .map_err(|error| format!("{}, client cut at {number}: {error}", one.name).into())
        })
    })?;
    at_once(&conversations, |one| {
        // The records of TLS can't be made beforehand.
        OVERLAPS.into_iter().filter(|_| !one.way.tls).try_for_each(|overlap| {
            replay_at_once(scene, one, overlap)
                .map_err(|error| format!("{}, at once with overlap {overlap}: {error}", one.name).into())
        })
    })?;
    // What lies between a client and Athena makes no difference to the link.
    let plain: Vec<_> = conversations.into_iter().filter(|one| !one.way.has_layers()).collect();
    for number in (0..conversation::POSITIONS).chain([BYTES]) {
        stage.cut_server(number)?;
        at_once(&plain, |one| {
            replay(scene, one, WHOLE)
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

/// On every way, what was said without layers, and in one piece, is answered the same.
#[test]
fn links_with_layers() -> TestResult {
    let stage = Stage::with_layers("split_layers")?;
    let conversations = stage.record_dialects()?;
    let ways = raw::ways().map(|(_, way)| way).into_iter().filter(|way| !way.by_key);
    for way in ways {
        at_once(&conversations, |one| {
            replay(&stage.scene, &one.on(way), WHOLE)
                .map_err(|error| format!("{}, {way:?}: {error}", one.name).into())
        })?;
    }
    for number in (0..conversation::POSITIONS).chain([BYTES]) {
        stage.cut_server(number)?;
        // The layers of a link know nothing of its client's dialect.
        at_once(&conversations[..1], |one| {
            replay(&stage.scene, one, WHOLE)
                .map_err(|error| format!("{}, server cut at {number}: {error}", one.name).into())
        })?;
    }
    Ok(())
}
