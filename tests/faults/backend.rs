//! The server dies, or stops answering.

use std::thread;
use std::time::Duration;

use crate::common::stage::Stage;
use crate::common::wire::{Connection, Error, Value};
use crate::common::{TestResult, eventually, join, timed};

/// An error that a dead server causes has to come at once; this allows for a busy machine.
const AT_ONCE: Duration = Duration::from_secs(5);
/// Time for a statement to get to the server.
const UNDER_WAY: Duration = Duration::from_millis(500);

#[test]
fn a_server_that_dies_before_the_reply() -> TestResult {
    let stage = stage("fault_before")?;
    let mut client = stage.connect()?;
    let (result, took) = kill_during(&stage, || client.run("SELECT SLEEP(20)"));
    let error = result.expect_err("the server is dead");
    assert!(error.code().is_some(), "an ERR packet, and the connection stays: {error}");
    assert!(took < AT_ONCE, "took {took:?}");
    assert!(stage.errors("link_lost")? >= 1.0);
    assert_works_again(&stage, &mut client)
}

#[test]
fn a_server_that_dies_between_results() -> TestResult {
    let stage = stage("fault_between")?;
    // The server sends what it has at the end of each result.
    let mut client = stage.connect()?;
    client.run("CREATE PROCEDURE slow() BEGIN SELECT 1; DO SLEEP(20); SELECT 2; END")?;
    let (result, took) = kill_during(&stage, || {
        client.start_rows("CALL slow()")?;
        let mut row = Vec::new();
        while client.next_row(&mut row)? {}
        client.read_reply()
    });
    let error = result.expect_err("the server is dead");
    assert!(error.code().is_some(), "an ERR packet in place of the second result: {error}");
    assert!(took < AT_ONCE, "took {took:?}");
    assert_works_again(&stage, &mut client)
}

/// Here the server's last bytes are most likely a part of a row. No ERR packet can follow that: a proxy may either fill the
/// row up or close.
#[test]
fn a_server_that_dies_in_mid_row() -> TestResult {
    let stage = stage("fault_row")?;
    for bytes in [100, 1 << 20] {
        let mut client = stage.connect()?;
        client.start_rows(&format!("SELECT REPEAT('x', {bytes}) FROM seq_1_to_{}", (256 << 20) / bytes))?;
        let mut row = Vec::new();
        for _ in 0..3 {
            assert!(client.next_row(&mut row)?);
        }
        stage.server.kill();
        let (error, took) = timed(|| read_to_error(&mut client));
        assert!(error.is_refusal(), "rows of {bytes}: {error}");
        assert!(took < AT_ONCE, "rows of {bytes}: took {took:?}");
        if error.is_close() {
            client = restart_and_connect(&stage)?;
        }
        assert_works_again(&stage, &mut client)?;
    }
    Ok(())
}

#[test]
fn a_server_that_dies_in_a_transaction() -> TestResult {
    let stage = stage("fault_transaction")?;
    stage.server.sql("CREATE TABLE test.t (a INT PRIMARY KEY)")?;
    let mut client = stage.connect()?;
    client.run("BEGIN")?;
    client.run("INSERT INTO t VALUES (1)")?;
    stage.server.kill();
    stage.server.start()?;
    // The transaction is gone: to run its next statement on another link would commit a half of it.
    let error = client.run("INSERT INTO t VALUES (2)").expect_err("the transaction is lost");
    assert!(error.code().is_none_or(|code| code == 1158), "{error}");
    // Nor may the rest of it run: whoever overlooked the error would commit each statement by itself.
    let error = client.run("INSERT INTO t VALUES (3)").expect_err("the session is over");
    assert!(error.is_close(), "{error}");
    assert_eq!(stage.server.sql("SELECT COUNT(*) FROM test.t")?, "0");
    let mut client = stage.connect()?;
    assert_works_again(&stage, &mut client)
}

/// The server closes the connection while nothing runs on it: idle_transaction_timeout, KILL, an end in order.
#[test]
fn a_client_whose_transaction_is_lost_learns_it_at_once() -> TestResult {
    let stage = stage("fault_idle_transaction")?;
    let mut client = stage.connect()?;
    client.run("BEGIN")?;
    let mut other = stage.connect()?;
    assert_eq!(other.scalar("SELECT 1")?, "1");
    stage.server.sql("KILL USER app")?;
    // As on a connection of its own, without a packet that it has not asked for.
    assert_eq!(client.stream().read_to_close()?, 0, "bytes");
    assert_works_again(&stage, &mut other)
}

/// The server itself says that it closes the connection: with it goes the transaction, and so must the session.
#[test]
fn a_connection_that_the_server_ends_in_a_transaction() -> TestResult {
    let stage = stage("fault_closed")?;
    stage.server.sql("CREATE TABLE test.t (a INT PRIMARY KEY); SET GLOBAL max_allowed_packet = 1048576")?;
    // It holds for connections that are opened from now on.
    stage.server.sql("KILL USER app")?;
    let mut client = stage.connect()?;
    client.run("BEGIN")?;
    client.run("INSERT INTO t VALUES (1)")?;
    let long = format!("SELECT LENGTH('{}')", "x".repeat(2 << 20));
    let error = client.run(&long).expect_err("longer than the server takes");
    assert!(error.is_refusal(), "{error}");
    let error = client.run("COMMIT").expect_err("there is nothing left to commit");
    assert!(error.is_refusal() && error.code().is_none_or(|code| code == 1158), "{error}");
    assert_eq!(stage.server.sql("SELECT COUNT(*) FROM test.t")?, "0");
    stage.assert_serves()
}

#[test]
fn a_server_that_dies_while_links_are_idle() -> TestResult {
    let stage = stage("fault_idle")?;
    let mut clients = (0..8).map(|_| stage.connect()).collect::<Result<Vec<_>, _>>()?;
    let doubled = clients[0].prepare("SELECT ? * 2 AS v")?;
    thread::scope(|scope| {
        let sleeping: Vec<_> =
            clients.iter_mut().map(|client| scope.spawn(|| client.run("SELECT SLEEP(0.3)"))).collect();
        sleeping.into_iter().try_for_each(join)
    })?;
    stage.server.kill();
    stage.server.start()?;
    // Every idle link is dead now, and no client may notice.
    for client in &mut clients {
        assert_eq!(client.scalar("SELECT 'back'")?, "back");
    }
    let value = clients[0].execute(&doubled, &[Value::Int(21)])?.rows()?.scalar()?;
    assert_eq!(value, Value::Int(42), "a statement outlives the link that it was prepared on");
    Ok(())
}

#[test]
fn a_server_that_is_not_there() -> TestResult {
    let stage = stage("fault_absent")?;
    let mut client = stage.connect()?;
    client.scalar("SELECT 1")?;
    stage.server.kill();
    for _ in 0..3 {
        let (result, took) = timed(|| client.run("SELECT 1"));
        let error = result.expect_err("there is no server");
        assert!(error.code().is_some(), "the connection stays: {error}");
        assert!(took < AT_ONCE, "took {took:?}");
    }
    assert!(stage.errors("unavailable")? + stage.errors("link_lost")? >= 3.0);
    client.ping()?;
    assert_works_again(&stage, &mut client)
}

#[test]
fn a_server_that_stops_answering() -> TestResult {
    let stage = Stage::start_with("fault_stopped", |config| {
        config.set("pool", "query_timeout_ms", "700").set("pool", "connect_timeout_ms", "700")
    })?;
    let mut client = stage.connect()?;
    client.scalar("SELECT 1")?;
    stage.server.pause();
    let (result, took) = timed(|| client.run("SELECT 1"));
    stage.server.resume();
    let error = result.expect_err("the server is stopped");
    assert!(error.code().is_some(), "an ERR packet, and the connection stays: {error}");
    assert!(took >= Duration::from_millis(600), "took {took:?}");
    assert!(took < Duration::from_millis(700) + AT_ONCE, "took {took:?}");
    assert!(stage.errors("backend_timeout")? >= 1.0);
    assert_works_again(&stage, &mut client)
}

#[test]
fn a_statement_that_takes_too_long() -> TestResult {
    let stage = Stage::start_with("fault_slow", |config| config.set("pool", "query_timeout_ms", "700"))?;
    let mut client = stage.connect()?;
    let (result, took) = timed(|| client.run("SELECT SLEEP(5)"));
    let error = result.expect_err("it takes longer than it may");
    assert!(error.code().is_some(), "an ERR packet, and the connection stays: {error}");
    assert!(took < Duration::from_millis(4500), "took {took:?}");
    assert_eq!(client.scalar("SELECT 'next'")?, "next");
    Ok(())
}

fn stage(name: &str) -> TestResult<Stage> {
    Stage::start_with(name, |config| config.set("pool", "connect_timeout_ms", "1000"))
}

/// Runs `work` and kills the server when it is under way; says how long it went on after that.
fn kill_during<T: Send>(stage: &Stage, work: impl FnOnce() -> T + Send) -> (T, Duration) {
    thread::scope(|scope| {
        let worker = scope.spawn(work);
        thread::sleep(UNDER_WAY);
        stage.server.kill();
        timed(|| join(worker))
    })
}

/// Reads rows until they end with an error.
///
/// # Panics
/// When they end as if nothing had happened.
fn read_to_error(client: &mut Connection) -> Error {
    let mut row = Vec::new();
    loop {
        match client.next_row(&mut row) {
            Ok(true) => {}
            Ok(false) => panic!("half a result looks like a whole one"),
            Err(error) => return error,
        }
    }
}

fn restart_and_connect(stage: &Stage) -> TestResult<Connection> {
    stage.server.start()?;
    let connect = || stage.connect().map_err(|error| error.to_string());
    Ok(eventually("clients get in again", AT_ONCE, connect))
}

/// The same client goes on once the server is back.
fn assert_works_again(stage: &Stage, client: &mut Connection) -> TestResult {
    stage.server.start()?;
    // Athena may have to find out first that the server is back.
    eventually("the next statement works", AT_ONCE, || match client.scalar("SELECT 'back'") {
        Ok(answer) if answer == "back" => Ok(()),
        Ok(other) => panic!("the reply to another statement: {other}"),
        Err(error) if error.code().is_some() => Err(error.to_string()),
        Err(error) => panic!("the connection is lost: {error}"),
    });
    stage.assert_serves()
}
