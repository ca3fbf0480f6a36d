//! The login matrix: every way to prove a password on every transport, on both sides of Athena, against both servers.

use std::path::PathBuf;
use std::process::Command;

use athena_perf::lab::{Certificates, Flavor, Lab, Server, ServerOptions, SqlClient};
use athena_perf::proxy::{Athena, AthenaConfig};

use crate::common::TestResult;
use crate::common::stage::Stage;
use crate::common::wire::{Connection, Login, Plugin};
use crate::tls::Tls;
use crate::{SECRET_NATIVE, current_user};

/// A MySQL's hash of the password `s`, in hexadecimal digits.
const S_SHA2: &[u8] = b"$A$00A$'n|f\x19w\\\x03M8>*\\\x0bMS8+W ns9E3wmeXEqJuUpv956aaSZkFEPwLqmHBj7qVj7eoI6";
/// MariaDB's hash of the password `foo`.
const FOO_ED25519: &str = "vubFBzIrapbfHct1/J72dnUryz5VS7lA6XHH8sIx4TI";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Tcp,
    Tls,
    Socket,
}

const TRANSPORTS: [Transport; 3] = [Transport::Tcp, Transport::Tls, Transport::Socket];

/// What was tried, and what came of it.
struct Cell {
    what: String,
    transport: Transport,
    outcome: Outcome,
}

enum Outcome {
    Passed,
    Failed(String),
    /// There is no such thing, for this reason.
    None(&'static str),
}

#[derive(Default)]
struct Table(Vec<Cell>);

impl Table {
    fn note(&mut self, what: &str, transport: Transport, result: TestResult) {
        let outcome = result.map_or_else(|error| Outcome::Failed(error.to_string()), |()| Outcome::Passed);
        self.0.push(Cell { what: what.to_owned(), transport, outcome });
    }

    fn none(&mut self, what: &str, transports: &[Transport], reason: &'static str) {
        for transport in transports {
            self.0.push(Cell {
                what: what.to_owned(),
                transport: *transport,
                outcome: Outcome::None(reason),
            });
        }
    }

    /// Prints everything.
    ///
    /// # Panics
    /// If anything failed.
    fn conclude(self, title: &str) {
        let mut failures = 0;
        println!("{title}");
        for Cell { what, transport, outcome } in self.0 {
            let outcome = match outcome {
                Outcome::Passed => "passed".to_owned(),
                Outcome::Failed(error) => {
                    failures += 1;
                    format!("FAILED: {error}")
                }
                Outcome::None(reason) => format!("- ({reason})"),
            };
            println!("  {what:<58} {:<7} {outcome}", format!("{transport:?}"));
        }
        assert_eq!(failures, 0, "{title}");
    }
}

/// A server with everything that a login can need.
struct Scene {
    stage: Stage,
    certificates: Certificates,
    socket: PathBuf,
}

impl Scene {
    fn new(name: &str, flavor: Flavor) -> TestResult<Option<Self>> {
        let lab = Lab::new(name)?;
        let certificates = Certificates::new(&lab.folder().join("certificates"))?;
        let server = match flavor {
            Flavor::MySql => lab.mysql_server(ServerOptions::default())?,
            Flavor::MariaDb => {
                let mut options = ServerOptions::default()
                    .argument(format!("--ssl-cert={}", certificates.certificate("server").display()))
                    .argument(format!("--ssl-key={}", certificates.key("server").display()));
                if let Some(plugins) = lab.mariadb_plugins() {
                    options = options
                        .argument(format!("--plugin-dir={}", plugins.display()))
                        .argument("--plugin-load-add=auth_ed25519");
                }
                Some(lab.server(options)?)
            }
        };
        let Some(server) = server else { return Ok(None) };
        let socket = std::env::temp_dir().join(format!("athena-{name}-{}.sock", std::process::id()));
        let stage = Stage::start_on(lab, server, |config| config)?;
        Ok(Some(Self { stage, certificates, socket }))
    }

    fn server(&self) -> &Server {
        &self.stage.server
    }

    fn is_mariadb(&self) -> bool {
        self.server().flavor() == Flavor::MariaDb
    }

    fn has_ed25519(&self) -> bool {
        self.is_mariadb() && self.stage.lab.mariadb_plugins().is_some()
    }

    /// Puts an Athena of another configuration in the place of the one that runs.
    fn configure(
        &mut self,
        auth_plugin: &str,
        configure: impl Fn(AthenaConfig) -> AthenaConfig,
    ) -> TestResult {
        let quoted = |path: PathBuf| format!("{:?}", path.display().to_string());
        let config = AthenaConfig::new(self.server().port())
            .set("server", "auth_plugin", &format!("{auth_plugin:?}"))
            .set("server", "unix_socket", &quoted(self.socket.clone()))
            .set("server.tls", "cert", &quoted(self.certificates.certificate("server")))
            .set("server.tls", "key", &quoted(self.certificates.key("server")))
            .set("runtime", "cpus", "\"0\"");
        self.stage.athena.terminate();
        let binary = env!("CARGO_BIN_EXE_athena").as_ref();
        self.stage.athena = Athena::start(binary, self.stage.lab.folder(), &configure(config))?;
        Ok(())
    }

    fn login(&self, transport: Transport, login: &Login) -> TestResult<Connection> {
        Ok(match transport {
            Transport::Tcp => self.stage.login(login)?,
            Transport::Tls => Tls::new(&self.certificates, rustls::ALL_VERSIONS).login(&self.stage, login)?,
            Transport::Socket => Connection::login_unix(&self.socket, login)?,
        })
    }

    /// Logs in with the right password and with a wrong one.
    fn try_login(&self, transport: Transport, user: &str, password: &str, plugin: Plugin) -> TestResult {
        let login = Login::new(user, password).by(plugin);
        self.login(transport, &login)?.ping()?;
        let wrong = Login { password: "wrong".to_owned(), ..login };
        match self.login(transport, &wrong) {
            Ok(_) => Err("a wrong password was taken".into()),
            // The client that sends no password at all is asked for it.
            Err(error) if plugin == Plugin::CachingSha2 => {
                let text = error.to_string();
                if text.contains("wants the password itself") { Ok(()) } else { Err(error) }
            }
            Err(error) if error.to_string().starts_with("ERROR 1045") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Programs written by others.
    fn try_programs(&self, table: &mut Table, what: &str, user: &str, password: &str) {
        for transport in TRANSPORTS {
            let mariadb = match transport {
                Transport::Socket => SqlClient::on_socket(&self.socket, user, password),
                _ => self.stage.athena.client_of(user, password),
            };
            let ca = self.certificates.certificate("ca").display().to_string();
            let mariadb = match transport {
                Transport::Tls => mariadb
                    .argument("--ssl")
                    .argument("--ssl-verify-server-cert")
                    .argument(&format!("--ssl-ca={ca}")),
                _ => mariadb.argument("--skip-ssl"),
            };
            let run = || -> TestResult { expect("1", &mariadb.run("SELECT 1")?) };
            table.note(&format!("{what}: mariadb"), transport, run());
        }
    }

    fn try_pymysql(&self, table: &mut Table, what: &str, user: &str, password: &str) {
        for transport in TRANSPORTS {
            let to = match transport {
                Transport::Socket => format!("unix_socket={:?}", self.socket.display().to_string()),
                _ => format!("host='127.0.0.1', port={}", self.stage.athena.port()),
            };
            let tls = match transport {
                Transport::Tls => {
                    format!("ssl={{'ca': {:?}}}", self.certificates.certificate("ca").display().to_string())
                }
                _ => "ssl_disabled=True".to_owned(),
            };
            let script = format!(
                "import pymysql\nc = pymysql.connect({to}, user={user:?}, password={password:?}, {tls}).cursor()\n\
                 c.execute('SELECT 1')\nprint(c.fetchone()[0])"
            );
            let run = || succeed(Command::new("/usr/bin/python3").args(["-c", &script]));
            table.note(&format!("{what}: PyMySQL"), transport, run());
        }
    }

    fn try_mysql(&self, table: &mut Table, what: &str, user: &str, password: &str) {
        let what = format!("{what}: MySQL 9's client");
        for (transport, mode) in [(Transport::Tcp, "DISABLED"), (Transport::Tls, "REQUIRED")] {
            let Some(mut mysql) = self.stage.lab.mysql_client() else {
                return table.none(&what, &TRANSPORTS, "there is no MySQL");
            };
            let port = self.stage.athena.port();
            mysql.args([
                "--no-defaults",
                "--host=127.0.0.1",
                "--protocol=tcp",
                "--batch",
                "-N",
                "-e",
                "SELECT 1",
            ]);
            mysql.args([
                format!("--port={port}"),
                format!("--user={user}"),
                format!("--password={password}"),
            ]);
            mysql.args(["--get-server-public-key".to_owned(), format!("--ssl-mode={mode}")]);
            table.note(&what, transport, succeed(&mut mysql));
        }
        table.none(&what, &[Transport::Socket], "the program runs in a root of its own");
    }
}

fn expect(expected: &str, found: &str) -> TestResult {
    if found.trim() == expected { Ok(()) } else { Err(format!("{found:?}, not {expected:?}").into()) }
}

fn succeed(command: &mut Command) -> TestResult {
    let output = command.output()?;
    match output.status.success() {
        true => expect("1", &String::from_utf8_lossy(&output.stdout)),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into()),
    }
}

const NO_CLEAR_TEXT: &str = "without TLS no client sends its password as it is";
const NO_NATIVE: &str = "MySQL 9 has no mysql_native_password";
const NO_SHA2: &str = "MariaDB 10.11 has no caching_sha2_password";
const NO_ED25519: &str = "ed25519 is MariaDB's";
const NO_PLUGIN: &str = "the plugin is missing: make mysql-test";
const NO_SECRET: &str = "a signature gives away nothing that a link could log in with";
const NO_RSA: &str = "inside an encrypted connection Athena sends the password as it is";

/// The three ways of `caching_sha2_password`, of an account that has to send its password each time and of one that is
/// known after the first.
fn by_sha2(
    scene: &Scene,
    table: &mut Table,
    what: &str,
    (each_time, password): (&[&str], &str),
    cached: (&str, &str),
) {
    let mut each_time = each_time.iter().cycle();
    let mut next = || each_time.next().copied().unwrap_or_default();
    for transport in TRANSPORTS {
        let result = scene.try_login(transport, next(), password, Plugin::CachingSha2Rsa);
        table.note(&format!("{what}: caching_sha2 by RSA"), transport, result);
    }
    let clear = format!("{what}: caching_sha2 in clear text");
    table.none(&clear, &[Transport::Tcp], NO_CLEAR_TEXT);
    for transport in [Transport::Tls, Transport::Socket] {
        let result = scene.try_login(transport, next(), password, Plugin::CachingSha2Clear);
        table.note(&clear, transport, result);
    }
    let first = scene.try_login(Transport::Tcp, cached.0, cached.1, Plugin::CachingSha2Rsa);
    if let Err(error) = first {
        table.note(&format!("{what}: caching_sha2, the first time"), Transport::Tcp, Err(error));
    }
    for transport in TRANSPORTS {
        let result = scene.try_login(transport, cached.0, cached.1, Plugin::CachingSha2);
        table.note(&format!("{what}: caching_sha2 cached"), transport, result);
    }
}

/// `[[users]]`: the server behind is of no account.
fn clients_by_config(scene: &mut Scene, table: &mut Table) -> TestResult {
    let sha2: String = S_SHA2.iter().map(|byte| format!("{byte:02x}")).collect();
    let plain = "[[users]]\nname = \"plain\"\npassword = \"p\"\n";
    let native = format!("{plain}[[users]]\nname = \"native\"\npassword_hash = \"{SECRET_NATIVE}\"\n");
    let hashes = format!(
        "{native}[[users]]\nname = \"sha2\"\npassword_hash = \"0x{sha2}\"\n\
         [[users]]\nname = \"ed25519\"\npassword_hash = \"{FOO_ED25519}\"\n"
    );
    scene.configure("mysql_native_password", |config| config.text(&native))?;
    for transport in TRANSPORTS {
        for (user, password) in [("plain", "p"), ("native", "secret")] {
            let result = scene.try_login(transport, user, password, Plugin::Native);
            table.note(&format!("clients, config: native, {user}"), transport, result);
        }
    }
    scene.try_programs(table, "clients, config: native", "native", "secret");
    scene.try_pymysql(table, "clients, config: native", "native", "secret");

    scene.configure("caching_sha2_password", |config| config.text(&hashes))?;
    by_sha2(scene, table, "clients, config", (&["native"], "secret"), ("sha2", "s"));
    by_sha2(scene, table, "clients, config (ed25519 hash)", (&["ed25519"], "foo"), ("plain", "p"));
    scene.try_programs(table, "clients, config: caching_sha2", "native", "secret");
    scene.try_pymysql(table, "clients, config: caching_sha2", "native", "secret");
    scene.try_mysql(table, "clients, config: caching_sha2", "native", "secret");

    scene.configure("client_ed25519", |config| config.text(&hashes))?;
    for transport in TRANSPORTS {
        for (user, password) in [("plain", "p"), ("ed25519", "foo")] {
            let result = scene.try_login(transport, user, password, Plugin::Ed25519);
            table.note(&format!("clients, config: ed25519, {user}"), transport, result);
        }
        for (user, password, plugin) in
            [("native", "secret", Plugin::Native), ("sha2", "s", Plugin::CachingSha2Rsa)]
        {
            let result = scene.try_login(transport, user, password, plugin);
            table.note(&format!("clients, config: ed25519 offered, {user}"), transport, result);
        }
    }
    scene.try_programs(table, "clients, config: ed25519", "plain", "p");
    Ok(())
}

/// Accounts of the server that nobody has used: each is asked for its password once.
const FRESH: [&str; 5] = ["new0", "new1", "new2", "new3", "new4"];
const SIGNERS: [&str; 5] = ["sign0", "sign1", "sign2", "sign3", "sign4"];

/// `[auth] source = "backend"`.
fn clients_by_backend(scene: &mut Scene, table: &mut Table) -> TestResult {
    let of_server = |config: AthenaConfig| {
        config
            .set("auth", "source", "\"backend\"")
            .set("auth", "refresh_min_interval_ms", "50")
            .account("reader", "r")
    };
    let read = if scene.is_mariadb() { "mysql.global_priv" } else { "mysql.user" };
    scene.server().sql(&format!("CREATE USER reader IDENTIFIED BY 'r'; GRANT SELECT ON {read} TO reader"))?;
    for user in FRESH.iter().chain(&["one", "two"]) {
        scene.server().sql(&format!("CREATE USER {user} IDENTIFIED BY 'p'"))?;
    }
    if scene.is_mariadb() {
        scene.configure("mysql_native_password", of_server)?;
        for transport in TRANSPORTS {
            let result = scene.try_login(transport, "one", "p", Plugin::Native);
            table.note("clients, backend: native", transport, result);
        }
    } else {
        table.none("clients, backend: native", &TRANSPORTS, NO_NATIVE);
    }
    scene.configure("caching_sha2_password", of_server)?;
    by_sha2(scene, table, "clients, backend", (&FRESH, "p"), ("two", "p"));
    scene.try_programs(table, "clients, backend: caching_sha2", "one", "p");
    scene.try_mysql(table, "clients, backend: caching_sha2", "one", "p");
    if scene.has_ed25519() {
        for user in SIGNERS {
            scene.server().sql(&format!("CREATE USER {user} IDENTIFIED VIA ed25519 USING PASSWORD('p')"))?;
        }
        by_sha2(scene, table, "clients, backend (ed25519 account)", (&SIGNERS, "p"), (SIGNERS[0], "p"));
    } else {
        let why = if scene.is_mariadb() { NO_PLUGIN } else { NO_ED25519 };
        table.none("clients, backend (ed25519 account)", &TRANSPORTS, why);
    }
    table.none("clients, backend: ed25519", &TRANSPORTS, NO_SECRET);
    Ok(())
}

/// Links that log in as `user`, and what they are seen as.
fn link(scene: &Scene, transport: Transport, user: &str) -> TestResult {
    let mut client = scene.login(Transport::Tcp, &Login::new(user, "p"))?;
    expect(&format!("there_{user}@%"), &current_user(&mut client)?)?;
    let host = client.scalar("SELECT SUBSTRING_INDEX(USER(), '@', -1)")?;
    expect(if transport == Transport::Socket { "localhost" } else { "127.0.0.1" }, &host)?;
    let program = SqlClient::on_port(scene.stage.athena.port(), user, "p");
    let cipher = program.run("SHOW SESSION STATUS LIKE 'Ssl_cipher'")?;
    match (transport == Transport::Tls) == cipher.contains("TLS_") {
        true => Ok(()),
        false => Err(format!("cipher: {cipher:?}").into()),
    }
}

fn links(scene: &mut Scene, table: &mut Table) -> TestResult {
    let users: &[&str] = match (scene.is_mariadb(), scene.has_ed25519()) {
        (true, true) => &["native", "ed25519"],
        (true, false) => &["native"],
        (false, _) => &["sha2"],
    };
    let mut text = String::new();
    for user in users {
        let by = if *user == "ed25519" { "VIA ed25519 USING PASSWORD('b')" } else { "BY 'b'" };
        scene.server().sql(&format!("CREATE USER there_{user} IDENTIFIED {by}"))?;
        text += &format!(
            "[[users]]\nname = \"{user}\"\npassword = \"p\"\nbackend_user = \"there_{user}\"\nbackend_password = \"b\"\n"
        );
    }
    let socket = format!("{:?}", scene.server().socket_path().display().to_string());
    for transport in TRANSPORTS {
        let configure = |config: AthenaConfig| {
            let config = config.text(&text);
            match transport {
                Transport::Tcp => config.set("backend", "tls", "\"disabled\""),
                Transport::Tls => config.set("backend", "tls", "\"required\""),
                Transport::Socket => {
                    config.set("backend", "unix_socket", &socket).set("backend", "tls", "\"disabled\"")
                }
            }
        };
        if scene.is_mariadb() {
            scene.configure("mysql_native_password", configure)?;
            for user in users {
                table.note(&format!("links: {user}"), transport, link(scene, transport, user));
            }
            continue;
        }
        // A server forgets there whose password it has seen.
        scene.server().sql("FLUSH PRIVILEGES")?;
        scene.configure("mysql_native_password", configure)?;
        let first = if transport == Transport::Tcp { "by RSA" } else { "in clear text" };
        table.note(&format!("links: caching_sha2 {first}"), transport, link(scene, transport, "sha2"));
        scene.configure("mysql_native_password", configure)?;
        table.note("links: caching_sha2 cached", transport, link(scene, transport, "sha2"));
    }
    if scene.is_mariadb() {
        table.none("links: caching_sha2", &TRANSPORTS, NO_SHA2);
        if !scene.has_ed25519() {
            table.none("links: ed25519", &TRANSPORTS, NO_PLUGIN);
        }
    } else {
        table.none("links: caching_sha2 in clear text", &[Transport::Tcp], NO_CLEAR_TEXT);
        table.none("links: caching_sha2 by RSA", &[Transport::Tls, Transport::Socket], NO_RSA);
        table.none("links: native", &TRANSPORTS, NO_NATIVE);
        table.none("links: ed25519", &TRANSPORTS, NO_ED25519);
    }
    Ok(())
}

fn matrix(name: &str, flavor: Flavor) -> TestResult {
    let Some(mut scene) = Scene::new(name, flavor)? else {
        eprintln!("skipped: there is no such server");
        return Ok(());
    };
    let mut table = Table::default();
    clients_by_config(&mut scene, &mut table)?;
    clients_by_backend(&mut scene, &mut table)?;
    links(&mut scene, &mut table)?;
    scene.stage.athena.terminate();
    table.conclude(&format!("logins in front of {}", scene.server().sql("SELECT VERSION()")?));
    Ok(())
}

#[test]
fn every_login_in_front_of_a_mariadb() -> TestResult {
    matrix("matrix_mariadb", Flavor::MariaDb)
}

#[test]
fn every_login_in_front_of_a_mysql() -> TestResult {
    matrix("matrix_mysql", Flavor::MySql)
}
