//! LOAD DATA LOCAL INFILE: the file is the client's, and goes through Athena whatever its size.

use std::thread;
use std::time::Duration;

use crate::common::stage::Stage;
use crate::common::wire::{
    Connection, Error, Login, MAX_PAYLOAD, Result, capability, command, frame, status,
};
use crate::common::{TestResult, eventually};
use crate::on_each_server;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// What Athena may take for a file of any size.
const GROWTH_MAX: u64 = 4 * MIB as u64;
const LOAD: &str = "LOAD DATA LOCAL INFILE 'the file' INTO TABLE loaded";

fn login() -> Login {
    Login::app().with(capability::LOCAL_FILES | capability::MULTI_STATEMENTS)
}

/// The server takes files, and has a table for them.
fn prepare(stage: &Stage) -> TestResult {
    stage.server.sql("SET GLOBAL local_infile = 1")?;
    let table = "CREATE TABLE test.loaded (id INT PRIMARY KEY, content LONGTEXT)";
    stage.server.sql(table)?;
    Ok(())
}

/// Sends the statement and reads the server's request.
fn ask(client: &mut Connection, sql: &str) -> Result<()> {
    client.send(command::QUERY, sql.as_bytes())?;
    read_request(client)
}

fn read_request(client: &mut Connection) -> Result<()> {
    let request = client.stream().read_payload()?;
    match request.split_first() {
        Some((0xfb, b"the file")) => Ok(()),
        _ => Err(Error::Protocol(format!(
            "{:?} is no request for the file",
            String::from_utf8_lossy(&request)
        ))),
    }
}

/// Sends the file and its end.
fn give(client: &mut Connection, packets: &[&[u8]]) -> Result<()> {
    for packet in packets.iter().chain(&[&b""[..]]) {
        client.stream().write_payload(packet)?;
    }
    Ok(())
}

#[test]
fn a_file_arrives_whole() -> TestResult {
    on_each_server("infile_whole", |stage| {
        prepare(stage)?;
        let mut client = stage.login(&login())?;
        ask(&mut client, LOAD)?;
        give(&mut client, &[b"1\tone\n2\ttw", b"o\n", b"3\tthree\n"])?;
        assert_eq!(client.read_reply()?.ok()?.affected_rows, 3);
        assert_eq!(client.scalar("SELECT GROUP_CONCAT(content ORDER BY id) FROM loaded")?, "one,two,three");
        // Every byte by itself, with the end and another command in one piece.
        ask(&mut client, LOAD)?;
        for (byte, sequence) in b"4\tfour\n".iter().zip(2..) {
            for part in frame(sequence, &[*byte]) {
                client.stream().write_raw(&[part])?;
            }
        }
        let tail = [frame(9, b""), frame(0, b"\x03SELECT 'next'")].concat();
        client.stream().write_raw(&tail)?;
        client.stream().expect_sequence(10);
        assert_eq!(client.read_reply()?.ok()?.affected_rows, 1);
        assert_eq!(client.read_pipelined_reply()?.rows()?.scalar()?.to_string(), "next");
        Ok(())
    })
}

#[test]
fn a_file_that_is_empty_or_not_there() -> TestResult {
    on_each_server("infile_empty", |stage| {
        prepare(stage)?;
        let mut client = stage.login(&login())?;
        ask(&mut client, LOAD)?;
        give(&mut client, &[])?;
        assert_eq!(client.read_reply()?.ok()?.affected_rows, 0);
        assert_eq!(client.scalar("SELECT COUNT(*) FROM loaded")?, "0");
        Ok(())
    })
}

/// Whoever did not say that it has files is not asked for one, whatever links there are.
#[test]
fn a_client_without_files_is_refused_by_the_server() -> TestResult {
    on_each_server("infile_refused", |stage| {
        prepare(stage)?;
        let mut with = stage.login(&login())?;
        ask(&mut with, LOAD)?;
        give(&mut with, &[b"1\tone\n"])?;
        with.read_reply()?.ok()?;
        let mut without = stage.connect()?;
        let error = without.query(LOAD).expect_err("it has no files");
        assert!(matches!(error.code(), Some(1148 | 3948 | 4166)), "{error}");
        assert_eq!(without.scalar("SELECT COUNT(*) FROM loaded")?, "1");
        Ok(())
    })
}

/// The server reads on to the end of the file before it says what is wrong.
#[test]
fn an_error_in_the_middle() -> TestResult {
    on_each_server("infile_error", |stage| {
        prepare(stage)?;
        let mut client = stage.login(&login())?;
        client.run("INSERT INTO loaded VALUES (2, 'there')")?;
        let sql = "LOAD DATA LOCAL INFILE 'the file' REPLACE INTO TABLE loaded (id, nothing)";
        let error = client.query(sql).expect_err("no such column");
        assert_eq!(error.code(), Some(1054), "{error}");
        client.run(
            "CREATE TRIGGER refuses BEFORE INSERT ON loaded FOR EACH ROW \
             IF NEW.id = 3 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not three'; END IF",
        )?;
        client.run("DELETE FROM loaded")?;
        ask(&mut client, LOAD)?;
        let rows: Vec<u8> = (1..200_000).flat_map(|id| format!("{id}\tx\n").into_bytes()).collect();
        give(&mut client, &rows.chunks(8 * KIB).collect::<Vec<_>>())?;
        let error = client.read_reply().expect_err("the trigger refuses");
        assert_eq!(error.code(), Some(1644), "{error}");
        assert_eq!(client.scalar("SELECT 'next'")?, "next");
        Ok(())
    })
}

/// The ids of the packets are ahead of the link's where an old client has got more packets than were sent.
#[test]
fn a_file_among_other_results() -> TestResult {
    on_each_server("infile_multi", |stage| {
        prepare(stage)?;
        for login in [login(), login().without(capability::DEPRECATE_EOF)] {
            let mut client = stage.login(&login)?;
            client.send(
                command::QUERY,
                format!("SELECT 1; SELECT 2, 3; {LOAD}; SELECT 4; {LOAD}").as_bytes(),
            )?;
            for _ in 0..2 {
                assert_ne!(client.read_reply()?.status() & status::MORE_RESULTS, 0);
            }
            read_request(&mut client)?;
            give(&mut client, &[b"1\tone\n", b"2\ttwo\n"])?;
            assert_eq!(client.read_reply()?.ok()?.affected_rows, 2);
            assert_eq!(client.read_reply()?.rows()?.scalar()?.to_string(), "4");
            read_request(&mut client)?;
            give(&mut client, &[b"3\tthree\n"])?;
            let last = client.read_reply()?.ok()?;
            assert_eq!((last.affected_rows, last.status & status::MORE_RESULTS), (1, 0));
            assert_eq!(client.scalar("SELECT GROUP_CONCAT(id ORDER BY id) FROM loaded")?, "1,2,3");
            client.run("DELETE FROM loaded")?;
        }
        Ok(())
    })
}

#[test]
fn packets_of_sixteen_mebibytes() -> TestResult {
    on_each_server("infile_packets", |stage| {
        stage.server.sql("SET GLOBAL max_allowed_packet = 1073741824")?;
        prepare(stage)?;
        let mut client = stage.login(&login())?;
        for (id, length) in (1..).zip([MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1]) {
            let head = format!("{id}\t");
            let content = vec![b'x'; length - head.len() - 1];
            let packet = [head.as_bytes(), &content, b"\n"].concat();
            ask(&mut client, LOAD)?;
            give(&mut client, &[&packet, b"10\tten\n"])?;
            assert_eq!(client.read_reply()?.ok()?.affected_rows, 2, "{length}");
            let found = client.scalar(&format!("SELECT LENGTH(content) FROM loaded WHERE id = {id}"))?;
            assert_eq!(found, content.len().to_string());
            client.run("DELETE FROM loaded WHERE id = 10")?;
        }
        Ok(())
    })
}

#[test]
fn a_gibibyte_costs_no_memory() -> TestResult {
    let stage = Stage::start("infile_large")?;
    prepare(&stage)?;
    let mut client = stage.login(&login())?;
    client.set_read_timeout(Duration::from_secs(180))?;
    client.scalar("SELECT 1")?;
    let before = stage.athena.usage().rss_bytes();
    let mut highest = before;
    ask(
        &mut client,
        "LOAD DATA LOCAL INFILE 'the file' REPLACE INTO TABLE loaded (@line) SET id = 1, content = ''",
    )?;
    let mut line = vec![b'x'; 256 * KIB];
    *line.last_mut().expect("not empty") = b'\n';
    for number in 0..4096 {
        client.stream().write_payload(&line)?;
        if number % 64 == 0 {
            highest = highest.max(stage.athena.usage().rss_bytes());
        }
    }
    client.stream().write_payload(b"")?;
    assert_eq!(client.read_reply()?.ok()?.affected_rows, 4096);
    let growth = highest.saturating_sub(before);
    assert!(growth < GROWTH_MAX, "grew by {growth} bytes, from {before}");
    assert_eq!(client.scalar("SELECT 'next'")?, "next");
    Ok(())
}

/// A server that waits for a lock takes nothing: then the client waits, too, and Athena keeps nothing for it.
#[test]
fn a_server_that_takes_its_time() -> TestResult {
    let stage = Stage::start("infile_slow")?;
    prepare(&stage)?;
    let mut owner = stage.connect()?;
    owner.run("BEGIN")?;
    owner.run("INSERT INTO loaded VALUES (1, 'mine')")?;
    let mut client = stage.login(&login())?;
    let before = stage.athena.usage().rss_bytes();
    ask(&mut client, LOAD)?;
    let rows: Vec<u8> =
        (1..100).flat_map(|id| format!("{id}\t{}\n", "x".repeat(256 * KIB)).into_bytes()).collect();
    thread::scope(|scope| {
        let loading = scope.spawn(|| {
            give(&mut client, &rows.chunks(16 * KIB).collect::<Vec<_>>())?;
            client.read_reply()?.ok()
        });
        thread::sleep(Duration::from_secs(1));
        let growth = stage.athena.usage().rss_bytes().saturating_sub(before);
        assert!(growth < GROWTH_MAX, "grew by {growth} bytes, from {before}");
        owner.run("ROLLBACK")?;
        assert_eq!(crate::common::join(loading)?.affected_rows, 99);
        TestResult::Ok(())
    })
}

/// The client hears of it when it reads again: behind its file.
#[test]
fn a_link_that_is_killed_in_the_middle() -> TestResult {
    on_each_server("infile_killed", |stage| {
        prepare(stage)?;
        let mut client = stage.login(&login())?;
        ask(&mut client, LOAD)?;
        client.stream().write_payload(b"1\tone\n")?;
        let sql = "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'LOAD DATA%'";
        let id = eventually("the server loads", Duration::from_secs(10), || {
            let id = stage.server.sql(sql).map_err(|error| error.to_string())?;
            if id.is_empty() { Err("nobody does".to_owned()) } else { Ok(id) }
        });
        stage.server.sql(&format!("KILL {id}"))?;
        for _ in 0..100 {
            client.stream().write_payload(&vec![b'x'; 64 * KIB])?;
        }
        client.stream().write_payload(b"")?;
        let error = client.read_reply().expect_err("the link is gone");
        assert!(matches!(error.code(), Some(1158 | 1317 | 1927)), "{error}");
        // Nothing was on the link, so the session lives on.
        assert_eq!(client.scalar("SELECT COUNT(*) FROM loaded")?, "0");
        Ok(())
    })
}

#[test]
fn a_client_that_leaves_in_the_middle() -> TestResult {
    on_each_server("infile_left", |stage| {
        prepare(stage)?;
        let before = stage.settled_census();
        let mut client = stage.login(&login())?;
        ask(&mut client, LOAD)?;
        client.stream().write_payload(b"1\tone\n2\ttw")?;
        drop(client);
        stage.assert_back_to(before);
        assert_eq!(stage.connect()?.scalar("SELECT COUNT(*) FROM loaded")?, "0");
        Ok(())
    })
}

/// A file whose packets have wrong ids can't be followed: an error, and the end.
#[test]
fn packets_out_of_order() -> TestResult {
    let stage = Stage::start("infile_order")?;
    prepare(&stage)?;
    let mut client = stage.login(&login())?;
    ask(&mut client, LOAD)?;
    client.stream().write_raw(&frame(7, b"1\tone\n"))?;
    client.stream().expect_any_sequence();
    let error = client.read_reply().expect_err("out of order");
    assert_eq!(error.code(), Some(1156), "{error}");
    client.stream().read_to_close()?;
    assert_eq!(stage.connect()?.scalar("SELECT COUNT(*) FROM loaded")?, "0");
    Ok(())
}
