//! Large results, rows and packets: whole, and never in Athena's memory.

mod common;

use std::time::Duration;
use std::{fmt::Write as _, thread};

use common::TestResult;
use common::random::Random;
use common::stage::Stage;
use common::wire::{Connection, Value, command};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// What Athena may take for a result of any size.
const GROWTH_MAX: u64 = 4 * MIB as u64;
/// Around the longest packet (16 MiB - 1), and its double, which ends with an empty packet too.
const PAYLOADS: [usize; 4] = [16 * MIB - 2, 16 * MIB - 1, 16 * MIB, 32 * MIB - 2];

#[test]
fn a_gibibyte_to_a_slow_reader_costs_no_memory() -> TestResult {
    let stage = Stage::start("large_result")?;
    let mut client = stage.connect()?;
    client.scalar("SELECT 1")?;
    let before = stage.athena.usage().rss_bytes();
    let mut highest = before;
    client.start_rows(&format!("SELECT REPEAT('x', {MIB}) FROM seq_1_to_1024"))?;
    let mut row = Vec::new();
    let mut rows = 0;
    while client.next_row(&mut row)? {
        assert_row_of(b'x', &row);
        if rows % 64 == 0 {
            // Long enough for whatever is between server and client to fill up.
            thread::sleep(Duration::from_millis(if rows == 0 { 2000 } else { 200 }));
        }
        highest = highest.max(stage.athena.usage().rss_bytes());
        rows += 1;
    }
    assert_eq!(rows, 1024);
    let growth = highest.saturating_sub(before);
    assert!(growth < GROWTH_MAX, "grew by {growth} bytes, from {before}");
    assert_eq!(client.scalar("SELECT 2")?, "2");
    Ok(())
}

#[test]
fn slow_readers_do_not_hold_up_others() -> TestResult {
    let stage = Stage::start_with("large_others", |config| config.set("runtime", "cpus", "\"0\""))?;
    let mut slow = (0..4).map(|_| stage.connect()).collect::<Result<Vec<_>, _>>()?;
    for client in &mut slow {
        client.start_rows(&format!("SELECT REPEAT('x', {MIB}) FROM seq_1_to_64"))?;
    }
    let mut quick = stage.connect()?;
    quick.set_read_timeout(Duration::from_secs(2))?;
    for number in 0..200 {
        assert_eq!(quick.scalar(&format!("SELECT {number}"))?, number.to_string());
    }
    for client in &mut slow {
        let mut row = Vec::new();
        let mut rows = 0;
        while client.next_row(&mut row)? {
            assert_row_of(b'x', &row);
            rows += 1;
        }
        assert_eq!(rows, 64);
    }
    Ok(())
}

#[test]
fn a_row_of_40_mib_arrives_whole_both_ways() -> TestResult {
    let stage = Stage::start("large_row")?;
    let content = binary_content(40 * MIB);
    stage.server.sql("CREATE TABLE test.large (id INT PRIMARY KEY, content LONGBLOB)")?;
    let mut client = stage.connect()?;
    let insert = [b"INSERT INTO large VALUES (1, _binary'", content.as_slice(), b"')"].concat();
    assert_eq!(client.query_bytes(&insert)?.ok()?.affected_rows, 1);
    let mut direct = Connection::open(stage.server.port())?;
    for reader in [&mut direct, &mut client] {
        let found = reader.query("SELECT content FROM large")?.rows()?.scalar()?;
        // Not assert_eq: it would print 80 MiB.
        assert!(found == Value::Bytes(content.clone()), "the row has changed");
    }
    assert_eq!(client.scalar("SELECT LENGTH(content) FROM large")?, content.len().to_string());
    Ok(())
}

#[test]
fn a_parameter_of_40_mib_arrives_whole() -> TestResult {
    let stage = Stage::start("large_parameter")?;
    stage.server.sql("CREATE TABLE test.large (id INT PRIMARY KEY, content LONGBLOB)")?;
    let content = Random::new(2).bytes(40 * MIB);
    let mut client = stage.connect()?;
    let insert = client.prepare("INSERT INTO large VALUES (?, ?)")?;
    client.execute(&insert, &[Value::Int(1), Value::Bytes(content.clone())])?.ok()?;
    // The same in pieces, which have no reply of their own.
    for piece in content.chunks(3 * MIB) {
        client.send_long_data(&insert, 1, piece)?;
    }
    client.execute(&insert, &[Value::Int(2), Value::LongData])?.ok()?;
    let select = client.prepare("SELECT content FROM large WHERE id = ?")?;
    for id in [1, 2] {
        let found = client.execute(&select, &[Value::Int(id)])?.rows()?.scalar()?;
        assert!(found == Value::Bytes(content.clone()), "row {id} has changed");
    }
    Ok(())
}

/// One link, on which the server knows statements by other numbers than the session does.
#[test]
fn large_parameters_reach_their_own_statement() -> TestResult {
    let stage = Stage::start_with("large_ids", |config| {
        config.set("runtime", "cpus", "\"0\"").set("pool", "max_connections", "1").set(
            "pool",
            "max_connecting",
            "1",
        )
    })?;
    let mut other = stage.connect()?;
    for text in ["SELECT 'another one', ?", "SELECT 'yet another', ?, ?", "SELECT 'the last', ?"] {
        other.prepare(text)?;
    }
    let content = Random::new(3).bytes(17 * MIB);
    let mut client = stage.connect()?;
    let length = client.prepare("SELECT LENGTH(?) AS v")?;
    let length_of = |client: &mut Connection, parameter: Value| {
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
            client.execute(&length, &[parameter])?.rows()?.scalar()?.to_string(),
        )
    };
    assert_eq!(length_of(&mut client, Value::Bytes(content.clone()))?, content.len().to_string());
    client.send_long_data(&length, 0, &content)?;
    client.send_long_data(&length, 0, b"tail")?;
    assert_eq!(length_of(&mut client, Value::LongData)?, (content.len() + 4).to_string());
    assert_eq!(client.scalar("SELECT 'next'")?, "next");
    Ok(())
}

/// A large command that is turned away is turned away once, and is not run later.
#[test]
fn a_large_statement_that_is_refused_is_over() -> TestResult {
    let stage = Stage::start_with("large_refused", |config| {
        let config =
            config.set("runtime", "cpus", "\"0\"").set("circuit", "max_concurrent_per_user_shard", "1");
        config.set("circuit", "enabled", "true").set("circuit", "queue_size", "0")
    })?;
    stage.server.sql("CREATE TABLE test.refused (content LONGBLOB)")?;
    let mut busy = stage.connect()?;
    let mut client = stage.connect()?;
    busy.send(command::QUERY, b"SELECT SLEEP(3)")?;
    std::thread::sleep(Duration::from_millis(300));
    let insert = [b"INSERT INTO refused VALUES ('".as_slice(), &vec![b'x'; 34 * MIB], b"')"].concat();
    let error = client.query_bytes(&insert).expect_err("the limit is one");
    assert_eq!(error.code(), Some(1040), "{error}");
    let kill = [b"KILL 1 -- ".as_slice(), &vec![b'x'; 17 * MIB]].concat();
    let error = client.query_bytes(&kill).expect_err("KILL is refused");
    assert_eq!(error.code(), Some(1235), "{error}");
    busy.read_reply()?.rows()?;
    assert_eq!(client.scalar("SELECT COUNT(*) FROM refused")?, "0");
    assert_eq!(client.scalar("SELECT 'next'")?, "next");
    Ok(())
}

#[test]
fn statements_around_the_longest_packet() -> TestResult {
    let stage = Stage::start("large_statements")?;
    let mut client = stage.connect()?;
    let mut direct = Connection::open(stage.server.port())?;
    for (seed, payload) in PAYLOADS.into_iter().enumerate() {
        let (before, after) = ("SELECT LENGTH(t), MD5(t) FROM (SELECT '", "' AS t) AS one");
        // The command byte is part of the payload.
        let length = payload - 1 - before.len() - after.len();
        let literal = Random::new(seed as u64).literal(length);
        let statement = [before.as_bytes(), &literal, after.as_bytes()].concat();
        let row = client.query_bytes(&statement)?.rows()?.rows.remove(0);
        assert_eq!(row[0], Value::text(&length.to_string()), "payload of {payload}");
        assert_eq!(vec![row], direct.query_bytes(&statement)?.rows()?.rows, "payload of {payload}");
        assert_eq!(client.scalar("SELECT 'next'")?, "next");
    }
    Ok(())
}

#[test]
fn rows_around_the_longest_packet() -> TestResult {
    let stage = Stage::start("large_rows")?;
    let mut client = stage.connect()?;
    for payload in PAYLOADS {
        // A length of 3 bytes has one byte before it, as has one of 8.
        let length = if payload - 4 < 1 << 24 { payload - 4 } else { payload - 9 };
        let sql = format!("SELECT LEFT(REPEAT('{PATTERN}', {}), {length}) AS v", length / PATTERN.len() + 1);
        client.start_rows(&sql)?;
        let mut row = Vec::new();
        assert!(client.next_row(&mut row)?, "a row of {payload}");
        assert_eq!(row.len(), payload);
        let content = &row[payload - length..];
        let whole = content.chunks(PATTERN.len()).all(|part| *part == PATTERN.as_bytes()[..part.len()]);
        assert!(whole, "the row of {payload} has changed");
        assert!(!client.next_row(&mut row)?, "only one row of {payload}");
        assert_eq!(client.scalar("SELECT 'next'")?, "next");
    }
    Ok(())
}

#[test]
fn many_small_rows_arrive_in_order() -> TestResult {
    let stage = Stage::start("large_many")?;
    let mut client = stage.connect()?;
    client.start_rows("SELECT seq FROM seq_1_to_1000000")?;
    let (mut row, mut expected, mut count) = (Vec::new(), String::new(), 0_u32);
    while client.next_row(&mut row)? {
        count += 1;
        expected.clear();
        write!(expected, "{count}")?;
        assert_eq!(row[1..], *expected.as_bytes());
    }
    assert_eq!(count, 1_000_000);
    Ok(())
}

/// A length that shares no factor with any buffer, so that bytes that are lost, doubled or swapped show.
const PATTERN: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXY";

/// Fails unless `row` is one value of 1 MiB that consists of `letter`.
fn assert_row_of(letter: u8, row: &[u8]) {
    // The length: a byte that says how long it is, and 3 bytes.
    assert_eq!(row.len(), MIB + 4);
    // Comparing slices is quick in a debug build, too; a loop over bytes is not.
    let expected = [letter; 64 * KIB];
    assert!(row[4..].chunks(expected.len()).all(|part| part == expected), "the row has changed");
}

/// Bytes of every value but the two that a string literal can't hold as they are.
fn binary_content(length: usize) -> Vec<u8> {
    let mut content = Random::new(1).bytes(length);
    content.iter_mut().filter(|byte| matches!(byte, b'\'' | b'\\')).for_each(|byte| *byte = 0);
    content
}
