//! The compressed protocol, towards clients and towards servers, each on its own.

use std::thread;

use athena_perf::lab::{APP_PASSWORD, Lab, ServerOptions, SqlClient};
use athena_perf::process::run;

use crate::common::stage::Stage;
use crate::common::wire::status::MORE_RESULTS;
use crate::common::wire::{Greeting, Login, PacketStream, capability, command, frame};
use crate::common::{TestResult, join};
use crate::{LARGE, OVER_A_PACKET, carry, stage, tls_client};

const COMPRESS: u32 = 1 << 5;
const ZSTD: u32 = 1 << 26;

/// What the server says of the link of this statement.
fn link_is_compressed(client: &SqlClient) -> TestResult<bool> {
    Ok(client.run("SHOW SESSION STATUS LIKE 'Compression'")?.ends_with("ON"))
}

/// Fails unless the client and the server see what they ought to.
fn assert_compressed(client: &SqlClient, by_client: bool, by_link: bool) -> TestResult {
    assert_eq!(client.run("status")?.contains("Compressed"), by_client, "the client's side");
    assert_eq!(link_is_compressed(client)?, by_link, "the server's side");
    Ok(())
}

#[test]
fn each_side_on_its_own() -> TestResult {
    for by_link in ["off", "zlib"] {
        let stage = Stage::start_with(&format!("zlib_{by_link}"), |config| {
            config.set("backend", "compression", &format!("{by_link:?}"))
        })?;
        let before = stage.settled_census();
        for by_client in [false, true] {
            let client = stage.athena.client();
            let client = if by_client { client.argument("--compress") } else { client };
            assert_compressed(&client, by_client, by_link == "zlib")?;
            if by_client || by_link == "zlib" {
                carry(&client, OVER_A_PACKET)?;
            }
        }
        stage.assert_back_to(before);
    }
    Ok(())
}

#[test]
fn inside_tls() -> TestResult {
    let (stage, certificates) =
        stage("zlib_tls", |config, _| config.set("backend", "compression", "\"zlib\""))?;
    let before = stage.settled_census();
    let client = tls_client(&stage, &certificates).argument("--compress");
    assert_compressed(&client, true, true)?;
    assert!(client.run("status")?.contains("Cipher in use"));
    carry(&client, LARGE)?;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|number| {
                let client = &client;
                scope.spawn(move || -> TestResult {
                    let rows = client.run(&format!("SELECT seq * {number} FROM test.seq_1_to_5000"))?;
                    assert_eq!(rows.lines().last(), Some((5000 * number).to_string().as_str()));
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(join)
    })?;
    stage.assert_back_to(before);
    Ok(())
}

#[test]
fn what_is_offered_is_what_is_allowed() -> TestResult {
    for (allowed, flags) in [("any", COMPRESS | ZSTD), ("zlib", COMPRESS), ("zstd", ZSTD), ("off", 0)] {
        let stage = Stage::start_with(&format!("compression_{allowed}"), |config| {
            config.set("server", "compression", &format!("{allowed:?}"))
        })?;
        let greeting = Greeting::read(&mut PacketStream::connect(stage.athena.port())?)?;
        assert_eq!(greeting.capabilities & (COMPRESS | ZSTD), flags, "{allowed}");
        let client = stage.athena.client().argument("--compress");
        assert_compressed(&client, flags & COMPRESS != 0, false)?;
    }
    Ok(())
}

#[test]
fn a_server_without_zstd_is_refused() -> TestResult {
    let stage = Stage::start_with("zstd_mariadb", |config| config.set("backend", "compression", "\"zstd\""))?;
    let error = stage.connect().expect_err("MariaDB has no zstd");
    assert_eq!(error.code(), Some(3168));
    assert!(error.to_string().contains("can't compress by zstd, which [backend] compression"), "{error}");
    Ok(())
}

/// MySQL's own client and server, which know zstd.
#[test]
fn zstd_on_both_sides() -> TestResult {
    for by_link in ["zlib", "zstd"] {
        let stage = Stage::start_on_mysql(&format!("zstd_{by_link}"), |config| {
            let config = config.set("backend", "compression", &format!("{by_link:?}"));
            config.set("server", "auth_plugin", "\"caching_sha2_password\"")
        })?;
        let Some(stage) = stage else {
            eprintln!("skipped: no MySQL here, see docs/LAB.md");
            return Ok(());
        };
        let before = stage.settled_census();
        for algorithm in ["zlib", "zstd", "uncompressed"] {
            let mysql = |sql: &str| -> TestResult<String> {
                let mut command = stage.lab.mysql_client().expect("beside the server");
                command.args(["--no-defaults", "--batch", "--raw", "--skip-column-names"]);
                command.args(["--host=127.0.0.1", "--protocol=tcp", "--user=app", "--max-allowed-packet=1G"]);
                command.arg(format!("--port={}", stage.athena.port()));
                command.arg(format!("--password={APP_PASSWORD}"));
                command.arg(format!("--compression-algorithms={algorithm}"));
                command.args(["--zstd-compression-level=7", "--loose-commands=ON", "--execute", sql]);
                run(&mut command).map_err(Into::into)
            };
            let status = mysql("\\s")?;
            assert_eq!(status.contains("Compressed"), algorithm != "uncompressed", "{status}");
            let link = mysql(
                "SELECT VARIABLE_VALUE FROM performance_schema.session_status \
                 WHERE VARIABLE_NAME = 'Compression_algorithm'",
            );
            // The lab's servers run without the performance schema, where there is nothing to be read.
            if let Ok(link) = link {
                assert!(link.trim().is_empty() || link.trim() == by_link, "{link}");
            }
            let large = mysql("SELECT REPEAT('x', 20 << 20)")?;
            assert_eq!(large.trim_end().len(), 20 << 20, "{algorithm}");
        }
        stage.assert_back_to(before);
    }
    Ok(())
}

/// A client whose compressed packets are made by hand.
struct ByHand(PacketStream);

impl ByHand {
    fn log_in(stage: &Stage) -> TestResult<Self> {
        Self::log_in_as(stage, &Login::app())
    }

    fn log_in_as(stage: &Stage, login: &Login) -> TestResult<Self> {
        let mut stream = PacketStream::connect(stage.athena.port())?;
        let greeting = Greeting::read(&mut stream)?;
        login.clone().with(COMPRESS).without(capability::PLUGIN_AUTH).run(&mut stream, &greeting)?;
        Ok(Self(stream))
    }

    /// Content that is not compressed, under the sequence id `id`.
    fn send(&mut self, id: u8, content: &[u8]) -> TestResult {
        self.0.write_raw(&stored(id, content))?;
        Ok(())
    }

    /// The id and the content of the next packet, which is too short to be compressed.
    fn receive(&mut self) -> TestResult<(u8, Vec<u8>)> {
        let mut header = [0; 7];
        self.0.read_raw(&mut header)?;
        let [a, b, c, id, d, e, f] = header;
        assert_eq!([d, e, f], [0; 3], "stored");
        let mut content = vec![0; u32::from_le_bytes([a, b, c, 0]) as usize];
        self.0.read_raw(&mut content)?;
        Ok((id, content))
    }
}

fn stored(id: u8, content: &[u8]) -> Vec<u8> {
    let [a, b, c, ..] = (content.len() as u64).to_le_bytes();
    [&[a, b, c, id, 0, 0, 0], content].concat()
}

#[test]
fn packets_and_commands_have_borders_of_their_own() -> TestResult {
    let stage = Stage::start("zlib_borders")?;
    let before = stage.settled_census();
    let mut client = ByHand::log_in(&stage)?;
    let ping = frame(0, &[command::PING]);
    let pings = ping.repeat(3);
    // Three commands in one compressed packet: the replies count on from it.
    client.send(0, &pings)?;
    for id in 1..=3 {
        let (found, reply) = client.receive()?;
        assert_eq!((found, &reply[3..5]), (id, &[1, 0][..]), "an OK packet");
    }
    // One command in two compressed packets, cut anywhere.
    let sql = frame(0, &[&[command::QUERY], &b"DO 1"[..]].concat());
    for cut in 1..sql.len() {
        client.send(0, &sql[..cut])?;
        client.send(1, &sql[cut..])?;
        let (found, reply) = client.receive()?;
        assert_eq!((found, &reply[3..5]), (2, &[1, 0][..]), "cut at {cut}");
    }
    // The bytes of a compressed packet, one at a time.
    for byte in stored(0, &ping) {
        client.0.write_raw(&[byte])?;
    }
    assert_eq!(client.receive()?.0, 1);
    drop(client);
    stage.assert_back_to(before);
    Ok(())
}

#[test]
fn nonsense_ends_the_session_and_nothing_else() -> TestResult {
    let stage = Stage::start("zlib_nonsense")?;
    let before = stage.settled_census();
    let ping = frame(0, &[command::PING]);
    let attempts: Vec<Vec<u8>> = vec![
        stored(7, &ping),                                          // out of order
        [&[20, 0, 0, 0, 100, 0, 0], &[0x55; 20][..]].concat(),     // not compressed by anything
        [&[20, 0, 0, 0, 0xff, 0xff, 0xff], &[1; 20][..]].concat(), // 16 MiB in 20 bytes
        ping.clone(),                                              // no compressed packet at all
        [stored(0, &ping), stored(5, &ping)].concat(),
        vec![0xff; 4096],
    ];
    for (number, attempt) in attempts.iter().enumerate() {
        let mut client = ByHand::log_in(&stage)?;
        client.0.write_raw(attempt)?;
        client.0.shutdown_write()?;
        let total = client.0.read_to_close()?;
        assert!(total < 1024, "attempt {number}: {total} bytes in answer to nonsense");
    }
    stage.assert_back_to(before);
    stage.assert_serves()
}

/// Idle links are looked over once a second; a compressed one is as quiet as any.
#[test]
fn compressed_links_are_used_again() -> TestResult {
    let lab = Lab::new("zlib_idle")?;
    let server = lab.server(ServerOptions::default())?;
    let stage = Stage::start_on(lab, server, |config| {
        config.set("backend", "compression", "\"zlib\"").set("runtime", "cpus", "\"0\"")
    })?;
    let client = stage.athena.client();
    client.run("SELECT REPEAT('x', 3000000)")?;
    let opened = stage.athena.metric("athena_links_opened_total", &[])?;
    for _ in 0..3 {
        thread::sleep(std::time::Duration::from_millis(1200));
        client.run("SELECT 1")?;
    }
    assert_eq!(stage.athena.metric("athena_links_opened_total", &[])?, opened);
    Ok(())
}

/// Servers and clients that compress keep no count of the packets inside. Those that don't must not notice.
#[test]
fn ids_are_right_for_those_who_look_at_them() -> TestResult {
    for by_link in ["off", "zlib"] {
        let stage = Stage::start_with(&format!("zlib_ids_{by_link}"), |config| {
            config.set("backend", "compression", &format!("{by_link:?}"))
        })?;
        stage.server.sql("SET GLOBAL local_infile = 1; CREATE TABLE test.t (id INT PRIMARY KEY, x TEXT)")?;
        // Several results of one command, with more packets than one compressed packet.
        let mut client = stage.login(&Login::app().with(capability::MULTI_STATEMENTS))?;
        let results = b"SELECT seq FROM seq_1_to_1000; DO 1; SELECT REPEAT('x', 100000); SELECT 2";
        for _ in 0..3 {
            client.send(command::QUERY, results)?;
            let first = client.read_reply()?;
            assert_ne!(first.status() & MORE_RESULTS, 0);
            assert_eq!(first.rows()?.rows.len(), 1000);
            client.read_reply()?;
            client.read_reply()?;
            assert_eq!(client.read_reply()?.rows()?.scalar()?.to_string(), "2");
        }
        // Files of so many packets that their ids wrap, and of some that come just before that.
        let file = stage.lab.folder().join("file.tsv");
        for by_client in [false, true] {
            let client = stage.athena.client().database("test").argument("--local-infile=1");
            let client = if by_client { client.argument("--compress") } else { client };
            for rows in [0, 1, 1000, 60_000] {
                let text: String = (0..rows).map(|row| format!("{row}\t{}\n", "x".repeat(90))).collect();
                std::fs::write(&file, text)?;
                let load = format!("LOAD DATA LOCAL INFILE '{}' INTO TABLE t", file.display());
                let count = client.run(&format!("DELETE FROM t; {load}; SELECT COUNT(*) FROM t"))?;
                assert_eq!(count, rows.to_string(), "link {by_link}, client {by_client}");
            }
        }
    }
    Ok(())
}

/// Only the end of a file says where commands come again: its ids may begin at 0, or come to it.
#[test]
fn an_id_of_0_within_a_file_is_no_command() -> TestResult {
    const LOAD: &str = "LOAD DATA LOCAL INFILE 'f' INTO TABLE t";
    let login = Login::app().with(capability::MULTI_STATEMENTS | capability::LOCAL_FILES);
    for by_link in ["off", "zlib"] {
        let stage = Stage::start_with(&format!("zlib_id_0_{by_link}"), |config| {
            config.set("backend", "compression", &format!("{by_link:?}"))
        })?;
        stage.server.sql("SET GLOBAL local_infile = 1; CREATE TABLE test.t (id INT PRIMARY KEY)")?;
        // The request has the id 255: a count, a column, the rows and their end come before it.
        let mut client = stage.login(&login)?;
        client.send(command::QUERY, format!("SELECT seq FROM seq_1_to_251; {LOAD}").as_bytes())?;
        assert_eq!(client.read_reply()?.rows()?.rows.len(), 251);
        client.stream().read_payload()?;
        client.stream().write_raw(&[frame(0, b"1\n"), frame(1, b"")].concat())?;
        client.stream().expect_sequence(2);
        assert_eq!(client.read_reply()?.ok()?.affected_rows, 1);
        assert_eq!(client.scalar("SELECT 'next'")?, "next");
        // A client whose packets inside have ids of their own.
        let mut client = ByHand::log_in_as(&stage, &login)?;
        client.send(0, &frame(0, format!("\x03{LOAD}").as_bytes()))?;
        assert_eq!(client.receive()?, (1, frame(1, b"\xfbf")));
        client.send(2, &frame(0, b"2\n"))?;
        client.send(3, &[frame(0, b"3\n"), frame(0, b"")].concat())?;
        let (id, reply) = client.receive()?;
        assert_eq!((id, &reply[3..6]), (4, &[5, 0, 2][..]), "an OK packet for two rows");
        client.send(0, &frame(0, &[command::PING]))?;
        assert_eq!(client.receive()?.0, 1);
    }
    Ok(())
}
