//! The binary log through Athena: programs that read it, and replicas.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use athena_perf::lab::{Flavor, Lab, REPLICATION_PASSWORD, REPLICATION_USER, Server, ServerOptions};

use crate::common::stage::Stage;
use crate::common::wire::{Connection, Login, command};
use crate::common::{TestResult, eventually};

const MIB: usize = 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(30);

/// A server that writes a binary log, behind an Athena whose account may read it.
fn stage(name: &str, flavor: Flavor) -> TestResult<Option<Stage>> {
    let lab = Lab::new(name)?;
    let options = ServerOptions::default().binlog(true);
    let server = match flavor {
        Flavor::MariaDb => Some(lab.server(options)?),
        Flavor::MySql => lab.mysql_server(options)?,
    };
    let Some(server) = server else { return Ok(None) };
    let stage =
        Stage::start_on(lab, server, |config| config.account(REPLICATION_USER, REPLICATION_PASSWORD))?;
    fill(&stage.server)?;
    Ok(Some(stage))
}

/// Three logs, with small events and one of 20 MiB.
fn fill(server: &Server) -> TestResult {
    server.sql("CREATE TABLE test.logged (id INT AUTO_INCREMENT PRIMARY KEY, content LONGTEXT)")?;
    for _ in 0..50 {
        server.sql("INSERT INTO test.logged (content) VALUES ('a'), ('b')")?;
    }
    server.sql("FLUSH BINARY LOGS")?;
    server.sql(&format!("INSERT INTO test.logged (content) VALUES (REPEAT('x', {}))", 20 * MIB))?;
    server.sql("FLUSH BINARY LOGS")?;
    server.sql("INSERT INTO test.logged (content) VALUES ('last')")?;
    // A MariaDB notes in the log, a moment later, that earlier logs are not needed any more.
    let mut before = String::new();
    eventually("the logs are quiet", TIMEOUT, || {
        thread::sleep(Duration::from_millis(500));
        let now = server.sql("SHOW BINARY LOGS").map_err(|error| error.to_string())?;
        let quiet = now == before;
        before.clone_from(&now);
        if quiet { Ok(()) } else { Err(now) }
    });
    Ok(())
}

fn logs(server: &Server) -> TestResult<Vec<String>> {
    let rows = server.sql("SHOW BINARY LOGS")?;
    Ok(rows.lines().filter_map(|line| line.split('\t').next()).map(str::to_owned).collect())
}

/// The server family's own program, reading from a port.
fn reader(stage: &Stage, port: u16) -> Command {
    let arguments = [
        "--no-defaults".to_owned(),
        "--read-from-remote-server".to_owned(),
        "--host=127.0.0.1".to_owned(),
        format!("--port={port}"),
        format!("--user={REPLICATION_USER}"),
        format!("--password={REPLICATION_PASSWORD}"),
    ];
    let mut program = match stage.server.flavor() {
        Flavor::MariaDb => Command::new("mariadb-binlog"),
        Flavor::MySql => {
            let data = stage.server.data_folder();
            let root = data.ancestors().find(|folder| folder.join("usr/bin/mysqlbinlog").exists());
            let mut chroot = Command::new("chroot");
            chroot.arg(root.expect("the root that the server runs in")).arg("mysqlbinlog");
            chroot
        }
    };
    program.args(arguments);
    if stage.server.flavor() == Flavor::MySql {
        program.arg("--get-server-public-key");
    }
    program
}

fn output(program: &mut Command) -> TestResult<Vec<u8>> {
    let output = program.output()?;
    if !output.status.success() {
        return Err(format!("{program:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(output.stdout)
}

/// Links that replicas have, and clients.
fn dumps(stage: &Stage) -> TestResult<(f64, f64)> {
    let bound = stage.athena.metric("athena_links_bound", &[("reason", "replication")])?;
    Ok((bound, stage.athena.metric("athena_connections", &[])?))
}

fn assert_nobody_is_left(stage: &Stage) {
    eventually("links of replicas are closed", TIMEOUT, || match dumps(stage) {
        Ok((0.0, 0.0)) => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

fn on_each_flavor(name: &str, test: impl Fn(&Stage) -> TestResult) -> TestResult {
    for flavor in [Flavor::MariaDb, Flavor::MySql] {
        if let Some(stage) = stage(name, flavor)? {
            test(&stage).map_err(|error| format!("on {flavor:?}: {error}"))?;
        }
    }
    Ok(())
}

#[test]
fn a_program_reads_the_same_as_from_the_server() -> TestResult {
    on_each_flavor("binlog_read", |stage| {
        let logs = logs(&stage.server)?;
        assert!(logs.len() >= 3, "{logs:?}");
        let direct = output(reader(stage, stage.server.port()).args(&logs))?;
        let through = output(reader(stage, stage.athena.port()).args(&logs))?;
        assert!(direct.len() > 20 * MIB, "{} bytes", direct.len());
        assert!(direct == through, "{} bytes, not {}", through.len(), direct.len());
        // No such log: the server's error.
        let error =
            output(reader(stage, stage.athena.port()).arg("nothing.000001")).expect_err("no such log");
        assert!(error.to_string().contains("Could not find first log"), "{error}");
        assert_nobody_is_left(stage);
        Ok(())
    })
}

/// A folder that the program sees under another name where it runs in a root of its own.
fn folder(stage: &Stage, name: &str) -> TestResult<(PathBuf, PathBuf)> {
    let parent = match stage.server.flavor() {
        Flavor::MariaDb => stage.lab.folder().to_owned(),
        Flavor::MySql => stage.server.data_folder().parent().expect("the server's folder").to_owned(),
    };
    let folder = parent.join(name);
    fs::create_dir_all(&folder)?;
    let root = folder.ancestors().find(|folder| folder.join("usr/bin/mysqlbinlog").exists());
    let inside = match root.filter(|root| *root != Path::new("/")) {
        Some(root) => Path::new("/").join(folder.strip_prefix(root)?),
        None => folder.clone(),
    };
    Ok((folder, inside))
}

fn raw(stage: &Stage, port: u16, inside: &Path) -> Command {
    let mut program = reader(stage, port);
    program.args(["--raw".to_owned(), format!("--result-file={}/", inside.display())]);
    program
}

#[test]
fn logs_are_copied_byte_by_byte() -> TestResult {
    on_each_flavor("binlog_raw", |stage| {
        let logs = logs(&stage.server)?;
        let (direct, inside) = folder(stage, "direct")?;
        output(raw(stage, stage.server.port(), &inside).args(&logs))?;
        let (through, inside) = folder(stage, "through")?;
        output(raw(stage, stage.athena.port(), &inside).args(&logs))?;
        for log in &logs {
            let (direct, through) = (fs::read(direct.join(log))?, fs::read(through.join(log))?);
            assert!(!direct.is_empty(), "{log}");
            let differs = direct.iter().zip(&through).position(|(a, b)| a != b);
            assert!(direct == through, "{log}: {} bytes, {}, {differs:?}", direct.len(), through.len());
        }
        Ok(())
    })
}

/// A process that is killed when the test ends.
struct Follower(Child);

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_program_that_follows_the_log_is_noticed_when_it_leaves() -> TestResult {
    on_each_flavor("binlog_follow", |stage| {
        let logs = logs(&stage.server)?;
        let last = logs.last().expect("there is one").clone();
        let (copy, inside) = folder(stage, "copy")?;
        let mut program = raw(stage, stage.athena.port(), &inside);
        program.args(["--stop-never", &logs[0]]).stdout(Stdio::null()).stderr(Stdio::null());
        let follower = Follower(program.spawn()?);
        let grown = |least: usize| {
            eventually("the copy grows", TIMEOUT, || {
                let content = fs::read(copy.join(&last)).unwrap_or_default();
                if content.len() > least {
                    Ok(content.len())
                } else {
                    Err(format!("{} bytes", content.len()))
                }
            })
        };
        let first = grown(0);
        stage.server.sql("INSERT INTO test.logged (content) VALUES ('while it follows')")?;
        let second = grown(first);
        assert_eq!(dumps(stage)?, (1.0, 1.0));
        // It leaves while nothing is written; the server would notice only with its next event.
        thread::sleep(Duration::from_millis(300));
        drop(follower);
        assert_nobody_is_left(stage);
        assert!(second > first);
        // The account has its links again.
        let mut client = stage.login(&Login::new(REPLICATION_USER, REPLICATION_PASSWORD))?;
        assert_eq!(client.scalar("SELECT 1")?, "1");
        Ok(())
    })
}

#[test]
fn a_replica_replicates_through_athena() -> TestResult {
    on_each_flavor("binlog_replica", |stage| {
        let options = ServerOptions::default().binlog(true);
        let replica = match stage.server.flavor() {
            Flavor::MariaDb => stage.lab.server(options)?,
            Flavor::MySql => stage.lab.mysql_server(options)?.expect("there is one already"),
        };
        let port = stage.athena.port();
        replica.sql(&match replica.flavor() {
            Flavor::MariaDb => format!(
                "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = '{REPLICATION_USER}', \
                 MASTER_PASSWORD = '{REPLICATION_PASSWORD}', MASTER_CONNECT_RETRY = 1, MASTER_USE_GTID = slave_pos; \
                 START SLAVE"
            ),
            Flavor::MySql => format!(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, \
                 SOURCE_USER = '{REPLICATION_USER}', SOURCE_PASSWORD = '{REPLICATION_PASSWORD}', \
                 SOURCE_CONNECT_RETRY = 1, SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1, SOURCE_SSL = 0; \
                 START REPLICA"
            ),
        })?;
        let sum = "SELECT CONCAT(COUNT(*), '/', SUM(LENGTH(content))) FROM test.logged";
        let follows = |what: &str| {
            let expected = stage.server.sql(sum)?;
            eventually(what, TIMEOUT, || match replica.sql(sum) {
                Ok(found) if found == expected => Ok(()),
                other => {
                    let status =
                        replica.sql("SHOW SLAVE STATUS").or_else(|_| replica.sql("SHOW REPLICA STATUS"));
                    Err(format!("{other:?}, not {expected}: {status:?}"))
                }
            });
            TestResult::Ok(())
        };
        follows("the replica has what was there")?;
        for number in 0..20 {
            stage.server.sql(&format!("INSERT INTO test.logged (content) VALUES ('{number}')"))?;
        }
        follows("the replica has what was written since")?;
        // Its link breaks: it is told, and comes again.
        let sql = "SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'";
        stage.server.sql(&format!("KILL {}", stage.server.sql(sql)?))?;
        stage.server.sql("INSERT INTO test.logged (content) VALUES ('after the break')")?;
        follows("the replica has come again")?;
        drop(replica);
        assert_nobody_is_left(stage);
        Ok(())
    })
}

/// Whoever asks for the end gets it, and then the end of the connection, as servers do it.
#[test]
fn a_dump_that_ends() -> TestResult {
    on_each_flavor("binlog_ends", |stage| {
        let login = Login::new(REPLICATION_USER, REPLICATION_PASSWORD);
        // A MySQL knows the password of an account that has logged in before.
        output(reader(stage, stage.server.port()).arg(&logs(&stage.server)?[0]))?;
        let mut direct = Connection::login(stage.server.port(), &login)?;
        let mut client = stage.login(&login)?;
        let log = logs(&stage.server)?.remove(0);
        let dump = [&[4, 0, 0, 0, 1, 0, 77, 0, 0, 0][..], log.as_bytes()].concat();
        let error = client.command(command::BINLOG_DUMP, &[4, 0]).expect_err("it ends too early");
        assert_eq!(error.code(), Some(1835), "{error}");
        let mut events = Vec::new();
        for connection in [&mut direct, &mut client] {
            connection.run("SET @master_binlog_checksum = @@global.binlog_checksum")?;
            connection.run("SET @source_binlog_checksum = @@global.binlog_checksum")?;
            connection.send(command::BINLOG_DUMP, &dump)?;
            let mut count = 0;
            let end = loop {
                let event = connection.stream().read_payload()?;
                match event.first() {
                    Some(0) => count += 1,
                    _ => break event,
                }
            };
            assert_eq!(connection.stream().read_to_close()?, 0);
            events.push((count, end));
        }
        assert!(events[0].0 > 50 && events[0] == events[1], "{:?}, {:?}", events[0], events[1]);
        assert_nobody_is_left(stage);
        Ok(())
    })
}

#[test]
fn a_dump_that_is_not_allowed() -> TestResult {
    let stage = Stage::start("binlog_denied")?;
    let mut client = stage.connect()?;
    let dump = [&[4, 0, 0, 0, 1, 0, 77, 0, 0, 0][..], b"binlog.000001"].concat();
    for (byte, arguments) in [(command::BINLOG_DUMP, &dump[..]), (command::REGISTER_SLAVE, &[0; 18])] {
        let error = client.command(byte, arguments).expect_err("it is no replica");
        assert!(matches!(error.code(), Some(1227 | 1045)), "{error}");
        assert_eq!(client.scalar("SELECT 'next'")?, "next");
    }
    Ok(())
}

/// Whoever kills the session, or what it does, ends its dump, and its link goes to nobody.
#[test]
fn a_dump_that_is_killed() -> TestResult {
    on_each_flavor("binlog_killed", |stage| {
        let login = Login::new(REPLICATION_USER, REPLICATION_PASSWORD);
        let mut other = stage.login(&login)?;
        for scope in ["", "QUERY"] {
            let mut client = stage.login(&login)?;
            client.run("SET @master_binlog_checksum = @@global.binlog_checksum")?;
            client.run("SET @source_binlog_checksum = @@global.binlog_checksum")?;
            let log = logs(&stage.server)?.pop().expect("there is one");
            let dump = [&[4, 0, 0, 0, 0, 0, 77, 0, 0, 0][..], log.as_bytes()].concat();
            client.send(command::BINLOG_DUMP, &dump)?;
            assert_eq!(client.stream().read_payload()?.first(), Some(&0));
            other.run(&format!("KILL {scope} {}", client.greeting().connection_id))?;
            loop {
                match client.stream().read_payload() {
                    Ok(event) if event.first() == Some(&0) => {}
                    // 1927, or 1317 where there is no such error
                    Ok(_) if scope == "QUERY" => {}
                    Ok(end) => {
                        assert!(matches!(end[..], [0xff, 0x87, 0x07, ..] | [0xff, 0x25, 0x05, ..]), "{end:?}")
                    }
                    Err(error) if error.is_close() => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        other.quit()?;
        assert_nobody_is_left(stage);
        Ok(())
    })
}
