//! Statements and transactions that take longer than they may.

use std::thread;
use std::time::Duration;

use athena_perf::proxy::AthenaConfig;

use crate::common::random::Random;
use crate::common::stage::{Stage, on_each_server};
use crate::common::wire::{Connection, Error, Value};
use crate::common::{PATIENCE, TestResult, eventually, join, timed};

const CONNECTION_KILLED: u16 = 1927;
const STATEMENT_TIMEOUT: u16 = 1969;
const QUERY_TIMEOUT: u16 = 3024;

/// `[pool] query_timeout_ms` of these tests.
const LIMIT: Duration = Duration::from_millis(700);
/// For a KILL to reach the server and the end of the statement to come back.
const ENDED_BY: Duration = Duration::from_millis(2700);

/// Rows of 20 kB, 20 of them a second, as long as somebody wants them.
const SLOW_ROWS: &str = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
                         SELECT REPEAT('x', 20000), SLEEP(0.05) FROM n";

/// More than any socket takes in.
const MANY_ROWS: &str = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
                         SELECT REPEAT('x', 1000000) FROM n";

#[test]
fn a_statement_past_its_time_is_gone_from_the_server() -> TestResult {
    on_each_server("deadline_statement", limited, |stage| {
        let mut client = stage.connect()?;
        let (result, took) = timed(|| client.scalar("SELECT SLEEP(61)"));
        assert_out_of_time(&client, result.expect_err("it takes longer than it may"));
        assert!(took >= LIMIT && took < ENDED_BY, "took {took:?}");
        assert_gone(stage, "SLEEP(61)");
        let warnings = client.query("SHOW WARNINGS")?.rows()?.rows;
        assert_eq!(warnings[0][1].to_string(), code_of(&client).to_string(), "the error that the client got");
        assert_eq!(client.scalar("SELECT 'next'")?, "next");
        let slow = client.prepare("SELECT SLEEP(?)")?;
        let error = client.execute(&slow, &[Value::Int(62)]).expect_err("it takes longer than it may");
        assert_out_of_time(&client, error);
        assert_eq!(client.scalar("SELECT 'next'")?, "next");
        assert!((stage.errors("backend_timeout")? - 2.0).abs() < 0.5);
        eventually("no link is left that others must not get", PATIENCE, || {
            let killed = stage.athena.metric("athena_links_closed_total", &[("reason", "killed")]);
            match killed.map_err(|error| error.to_string())? {
                2.0 => Ok(()),
                killed => Err(format!("{killed}")),
            }
        });
        stage.assert_serves()
    })
}

#[test]
fn a_transaction_survives_the_time_out_of_its_statement() -> TestResult {
    on_each_server("deadline_transaction", limited, |stage| {
        stage
            .server
            .sql("CREATE TABLE test.kept (a INT PRIMARY KEY); INSERT INTO test.kept VALUES (1), (2)")?;
        let (mut client, mut other) = (stage.connect()?, stage.connect()?);
        other.run("BEGIN")?;
        other.run("UPDATE kept SET a = 20 WHERE a = 2")?;
        client.run("SET @mine = 'kept'")?;
        client.run("BEGIN")?;
        client.run("INSERT INTO kept VALUES (3)")?;
        let error = client.run("UPDATE kept SET a = 21 WHERE a = 2").expect_err("somebody else has the row");
        assert_out_of_time(&client, error);
        assert_gone(stage, "SET a = 21");
        other.run("ROLLBACK")?;
        assert_eq!(client.scalar("SELECT CONCAT(@mine, COUNT(*)) FROM kept")?, "kept3", "with its own row");
        client.run("COMMIT")?;
        assert_eq!(other.scalar("SELECT COUNT(*) FROM kept")?, "3");
        Ok(())
    })
}

#[test]
fn a_result_that_takes_too_long_ends_between_its_rows() -> TestResult {
    on_each_server("deadline_rows", limited, |stage| {
        let mut client = stage.connect()?;
        let (rows, took) = timed(|| rows_to_error(&mut client, SLOW_ROWS));
        let (rows, error) = rows?;
        assert!(rows > 2, "{rows} rows");
        assert_out_of_time(&client, error);
        assert!(took < LIMIT + ENDED_BY, "took {took:?}");
        assert_gone(stage, "SLEEP(0.05)");
        assert_eq!(client.scalar("SELECT 'next'")?, "next");
        Ok(())
    })
}

/// It is the server's time: a client that does not read does not stop the clock.
#[test]
fn a_client_that_does_not_read_keeps_no_statement_running() -> TestResult {
    on_each_server("deadline_unread", limited, |stage| {
        let mut client = stage.connect()?;
        client.start_rows(MANY_ROWS)?;
        // The server itself is blocked by what it can't send. Only when the client goes on does it see that it was killed, so
        // it is for Athena to close the link.
        thread::sleep(ENDED_BY);
        let mut row = Vec::new();
        let error = loop {
            match client.next_row(&mut row) {
                Ok(true) => {}
                Ok(false) => return Err("all rows came".into()),
                Err(error) => break error,
            }
        };
        assert!(error.is_close() || error.code().is_some(), "{error}");
        assert_gone(stage, "REPEAT('x', 1000000)");
        stage.assert_serves()
    })
}

/// Statements that take about as long as they may: most KILLs come too late. Those that do must meet nobody.
#[test]
fn a_time_out_that_comes_too_late_meets_nobody_else() -> TestResult {
    let tight = |config: AthenaConfig| config.set("pool", "query_timeout_ms", "150");
    on_each_server("deadline_late", tight, |stage| {
        let outcomes: Vec<TestResult<(u32, u32)>> = thread::scope(|scope| {
            let clients: Vec<_> = (0..6).map(|seed| scope.spawn(move || race(stage, seed))).collect();
            clients.into_iter().map(join).collect()
        });
        let mut sum = (0, 0);
        for outcome in outcomes {
            let (done, late) = outcome?;
            sum = (sum.0 + done, sum.1 + late);
        }
        assert!(sum.0 > 10 && sum.1 > 10, "{sum:?}");
        Ok(())
    })
}

/// How many of the statements got done, and how many took too long.
fn race(stage: &Stage, seed: u64) -> TestResult<(u32, u32)> {
    let mut random = Random::new(seed + 1);
    let mut client = stage.connect()?;
    let (mut done, mut late) = (0, 0);
    for round in 0..30 {
        let micros = 140_000 + random.below(15_000);
        match client.scalar(&format!("SELECT SLEEP({:.6})", micros as f64 / 1e6)) {
            Ok(value) => {
                assert_eq!(value, "0", "round {round}");
                done += 1;
            }
            Err(error) => {
                assert_out_of_time(&client, error);
                late += 1;
            }
        }
        // A short one, which no KILL may meet.
        assert_eq!(client.scalar(&format!("SELECT 'round {round}'"))?, format!("round {round}"));
    }
    Ok((done, late))
}

#[test]
fn a_server_that_does_not_end_a_statement_loses_its_link() -> TestResult {
    let impatient = |config| limited(config).set("pool", "query_kill_timeout_ms", "400");
    on_each_server("deadline_stuck", impatient, |stage| {
        let (mut client, mut holder) = (stage.connect()?, stage.connect()?);
        holder.run("BEGIN")?;
        assert_eq!(client.scalar("SELECT 1")?, "1");
        stage.server.pause();
        let ((free, took), bound) = thread::scope(|scope| {
            let bound = scope.spawn(|| holder.scalar("SELECT 1"));
            (timed(|| client.scalar("SELECT 1")), join(bound))
        });
        stage.server.resume();
        assert_eq!(free.err().and_then(|error| error.code()), Some(1159));
        assert!(took >= LIMIT && took < LIMIT + ENDED_BY, "took {took:?}");
        assert_eq!(bound.err().and_then(|error| error.code()), Some(1159));
        assert_eq!(client.scalar("SELECT 'next'")?, "next");
        assert!(holder.run("COMMIT").expect_err("its transaction is lost").is_close());
        stage.assert_serves()
    })
}

#[test]
fn waits_that_are_over_are_told_by_their_keys_and_counted_by_their_kinds() -> TestResult {
    let impatient = |config| {
        let config = limited(config).set("runtime", "cpus", "\"0\"").set("server", "write_timeout_ms", "900");
        let config =
            config.set("pool", "query_kill_timeout_ms", "100").set("circuit", "breaker_failures", "0");
        config.set("pool", "connect_timeout_ms", "800").set("server", "idle_timeout_ms", "6000")
    };
    on_each_server("deadline_kinds", impatient, |stage| {
        let (mut client, mut idle) = (stage.connect()?, stage.connect()?);
        stage.server.pause();
        // Links that are there already fail first, and the KILL of their statement may have another one for a while.
        eventually("no link can be opened", 2 * PATIENCE, || match client.run("SELECT 1") {
            Err(error) if error.to_string().contains("connect_timeout_ms") => Ok(()),
            other => Err(format!("{other:?}")),
        });
        stage.server.resume();
        assert!(stage.errors("connect_timeout")? > 0.5);

        let mut deaf = stage.connect()?;
        eventually("a result begins", PATIENCE, || {
            deaf.start_rows(MANY_ROWS).map_err(|error| error.to_string())
        });
        eventually("it is counted", PATIENCE, || match stage.errors("write_timeout") {
            Ok(1.0) => Ok(()),
            other => Err(format!("{other:?}")),
        });

        idle.stream().expect_sequence(0);
        let error = idle.read_reply().expect_err("the session has ended");
        assert!(
            error.code() == Some(4031) && error.to_string().contains("[server] idle_timeout_ms"),
            "{error}"
        );
        assert!(stage.errors("client_timeout")? > 0.5 && stage.errors("idle_transaction")? < 0.5);
        Ok(())
    })
}

#[test]
fn an_idle_transaction_ends_and_its_locks_are_free() -> TestResult {
    on_each_server("deadline_idle", idle_limited, |stage| {
        stage.server.sql(
            "CREATE TABLE test.locked (a INT PRIMARY KEY, b INT); INSERT INTO test.locked VALUES (1, 0)",
        )?;
        for (begin, then) in [
            (&["BEGIN", "UPDATE locked SET b = 1"][..], "UPDATE locked SET b = 2"),
            (&["SET autocommit = 0", "UPDATE locked SET b = 1"], "UPDATE locked SET b = 3"),
            (&["LOCK TABLES locked WRITE"], "UPDATE locked SET b = 4"),
            (&["DO GET_LOCK('mine', 0)"], "SELECT IF(GET_LOCK('mine', 20), RELEASE_LOCK('mine'), 1 / NULL)"),
        ] {
            let (mut client, mut other) = (stage.connect()?, stage.connect()?);
            begin.iter().try_for_each(|sql| client.run(sql))?;
            let (result, took) = timed(|| other.run(then));
            result?;
            assert!(took > LIMIT / 2 && took < LIMIT + ENDED_BY, "{then}: took {took:?}");
            client.stream().expect_sequence(0);
            let error = client.read_reply().expect_err("the session has ended");
            assert_eq!(error.code(), Some(CONNECTION_KILLED), "{error}");
            assert!(error.to_string().contains("idle_transaction_timeout_ms"), "{error}");
            assert!(client.run("COMMIT").expect_err("it is closed").is_close());
        }
        assert_eq!(stage.server.sql("SELECT b FROM test.locked")?, "4", "what was idle is rolled back");
        assert!((stage.errors("idle_transaction")? - 4.0).abs() < 0.5);
        stage.assert_serves()
    })
}

#[test]
fn who_keeps_nobody_waiting_may_be_idle() -> TestResult {
    on_each_server("deadline_idle_else", idle_limited, |stage| {
        stage.server.sql("CREATE TABLE test.free (a INT PRIMARY KEY)")?;
        let (mut client, mut busy) = (stage.connect()?, stage.connect()?);
        client.run("CREATE TEMPORARY TABLE mine (a INT)")?;
        client.run("BEGIN")?;
        client.run("INSERT INTO free VALUES (1)")?;
        client.run("COMMIT")?;
        busy.run("BEGIN")?;
        for value in 0..8 {
            // At work again and again, in the end for longer than it may be idle, and with a statement that takes so long.
            thread::sleep(LIMIT / 4);
            busy.run(&format!("INSERT INTO free VALUES (1{value})"))?;
        }
        busy.scalar("SELECT SLEEP(1)")?;
        busy.run("COMMIT")?;
        assert_eq!(client.scalar("SELECT COUNT(*) FROM mine")?, "0", "it is still there");
        assert!(stage.errors("idle_transaction")? < 0.5);
        Ok(())
    })
}

fn limited(config: AthenaConfig) -> AthenaConfig {
    config.set("pool", "query_timeout_ms", "700")
}

fn idle_limited(config: AthenaConfig) -> AthenaConfig {
    config.set("server", "idle_transaction_timeout_ms", "700")
}

fn code_of(client: &Connection) -> u16 {
    if client.greeting().version.contains("MariaDB") { STATEMENT_TIMEOUT } else { QUERY_TIMEOUT }
}

fn assert_out_of_time(client: &Connection, error: Error) {
    assert_eq!(error.code(), Some(code_of(client)), "{error}");
    assert!(error.to_string().contains("query_timeout_ms"), "{error}");
}

/// Fails unless no statement with this text runs on the server. It is told so before the client is, but the list has a
/// moment.
fn assert_gone(stage: &Stage, text: &str) {
    let text = text.replace('\'', "''");
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%{text}%' AND INFO NOT LIKE '%PROCESSLIST%'"
    );
    eventually("the statement is gone", ENDED_BY, || {
        match stage.server.sql(&sql).map_err(|error| error.to_string())?.as_str() {
            "0" => Ok(()),
            running => Err(format!("{running} run")),
        }
    });
}

/// Reads rows until they end with an error; says how many came before it.
fn rows_to_error(client: &mut Connection, sql: &str) -> TestResult<(usize, Error)> {
    client.start_rows(sql)?;
    let (mut row, mut rows) = (Vec::new(), 0);
    loop {
        match client.next_row(&mut row) {
            Ok(true) => rows += 1,
            Ok(false) => return Err("all rows came".into()),
            Err(error) => return Ok((rows, error)),
        }
    }
}
