//! SIGTERM: what has begun may end, and then Athena does.

use std::net::{Ipv4Addr, TcpStream};
use std::process::ExitStatus;
use std::thread;
use std::time::Duration;

use athena_perf::process::Signal;

use crate::common::stage::Stage;
use crate::common::wire::{Connection, Error, command};
use crate::common::{TestResult, join, timed};

const SERVER_SHUTDOWN: u16 = 1053;
/// Time for a statement or a signal to arrive.
const UNDER_WAY: Duration = Duration::from_millis(300);
/// From the moment that nothing is left to do to the end of the process.
const END: Duration = Duration::from_secs(3);

#[test]
fn a_running_statement_finishes() -> TestResult {
    let stage = stage("stop_statement", 20_000)?;
    let mut idle = stage.connect()?;
    idle.ping()?;
    let mut client = stage.connect()?;
    client.send(command::QUERY, b"SELECT SLEEP(1.5)")?;
    thread::sleep(UNDER_WAY);
    stage.athena.signal(Signal::SIGTERM);
    thread::sleep(UNDER_WAY);
    assert_eq!(stage.athena.exit_status(), None, "a statement still runs");
    assert_no_entry(&stage);
    assert_eq!(client.read_reply()?.rows()?.scalar()?.to_string(), "0");
    assert_said_goodbye(&mut idle);
    assert_said_goodbye(&mut client);
    assert_orderly_end(&stage, END);
    Ok(())
}

#[test]
fn an_open_transaction_goes_on_until_its_commit() -> TestResult {
    let stage = stage("stop_transaction", 20_000)?;
    let mut client = in_transaction(&stage)?;
    stage.athena.signal(Signal::SIGTERM);
    thread::sleep(UNDER_WAY);
    client.run("INSERT INTO t VALUES (2)")?;
    thread::sleep(UNDER_WAY);
    assert_eq!(stage.athena.exit_status(), None, "a transaction is open");
    client.run("COMMIT")?;
    assert_said_goodbye(&mut client);
    assert_orderly_end(&stage, END);
    assert_eq!(stage.server.sql("SELECT COUNT(*) FROM test.t")?, "2");
    Ok(())
}

#[test]
fn idle_clients_do_not_delay_the_end() -> TestResult {
    let stage = stage("stop_idle", 20_000)?;
    let mut clients = (0..20).map(|_| stage.connect()).collect::<Result<Vec<_>, _>>()?;
    clients.iter_mut().try_for_each(|client| client.run("SELECT 1"))?;
    stage.athena.signal(Signal::SIGTERM);
    assert_orderly_end(&stage, END);
    clients.iter_mut().for_each(assert_said_goodbye);
    Ok(())
}

#[test]
fn a_transaction_ends_with_the_time_to_drain() -> TestResult {
    let stage = stage("stop_late_transaction", 1000)?;
    let mut client = in_transaction(&stage)?;
    stage.athena.signal(Signal::SIGTERM);
    let ((), took) = timed(|| assert_orderly_end(&stage, Duration::from_secs(1) + END));
    assert!(took >= Duration::from_millis(900), "ended early, after {took:?}");
    assert_said_goodbye(&mut client);
    assert_eq!(stage.server.sql("SELECT COUNT(*) FROM test.t")?, "0", "it was not committed");
    Ok(())
}

#[test]
fn a_statement_ends_with_the_time_to_drain() -> TestResult {
    let stage = stage("stop_late_statement", 1000)?;
    let mut client = stage.connect()?;
    client.send(command::QUERY, b"SELECT SLEEP(30)")?;
    thread::sleep(UNDER_WAY);
    stage.athena.signal(Signal::SIGINT);
    let (reply, took) = timed(|| client.read_reply());
    let error = reply.expect_err("it was not over");
    assert_eq!(error.code(), Some(SERVER_SHUTDOWN), "{error}");
    assert!(error.to_string().contains("drain_timeout_ms"), "{error}");
    assert!((900..4000).contains(&took.as_millis()), "after {took:?}");
    assert_orderly_end(&stage, END);
    Ok(())
}

#[test]
fn a_client_that_does_not_read_does_not_delay_the_end() -> TestResult {
    let stage = stage("stop_reader", 1000)?;
    let mut client = stage.connect()?;
    client.start_rows("SELECT REPEAT('x', 1048576) FROM seq_1_to_1024")?;
    stage.athena.signal(Signal::SIGTERM);
    assert_orderly_end(&stage, Duration::from_secs(1) + END);
    Ok(())
}

#[test]
fn a_second_signal_ends_at_once() -> TestResult {
    for second in [Signal::SIGTERM, Signal::SIGINT] {
        let stage = stage("stop_twice", 60_000)?;
        let _client = in_transaction(&stage)?;
        stage.athena.signal(Signal::SIGTERM);
        thread::sleep(UNDER_WAY);
        assert_eq!(stage.athena.exit_status(), None, "a transaction is open");
        stage.athena.signal(second);
        let status = stage.athena.wait(Duration::from_secs(2));
        assert!(status.is_some(), "still there after a second signal, {second}");
        assert_eq!(stage.server.sql("SELECT COUNT(*) FROM test.t")?, "0");
    }
    Ok(())
}

#[test]
fn a_busy_proxy_ends_without_broken_replies() -> TestResult {
    let stage = stage("stop_busy", 20_000)?;
    let stage = &stage;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..16).map(|_| scope.spawn(move || ask_until_the_end(stage))).collect();
        thread::sleep(Duration::from_secs(1));
        stage.athena.signal(Signal::SIGTERM);
        clients.into_iter().try_for_each(join)
    })?;
    assert_orderly_end(stage, END);
    Ok(())
}

/// Asks and asks, and expects each answer to be whole and right until Athena says that it ends.
fn ask_until_the_end(stage: &Stage) -> TestResult {
    let mut client = stage.connect()?;
    for number in 0_u64.. {
        let numbers = format!("SELECT seq + {number} FROM seq_1_to_50");
        match client.query(&numbers) {
            Ok(reply) => {
                let rows = reply.rows()?.rows;
                assert_eq!(rows.len(), 50);
                assert_eq!(rows[49][0].to_string(), (number + 50).to_string());
            }
            Err(error) if is_goodbye(&error) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn stage(name: &str, drain_timeout_ms: u32) -> TestResult<Stage> {
    Stage::start_with(name, |config| config.set("server", "drain_timeout_ms", &drain_timeout_ms.to_string()))
}

/// A client with an open transaction that has written 1 into the table `t`.
fn in_transaction(stage: &Stage) -> TestResult<Connection> {
    stage.server.sql("CREATE TABLE test.t (a INT PRIMARY KEY)")?;
    let mut client = stage.connect()?;
    client.run("BEGIN")?;
    client.run("INSERT INTO t VALUES (1)")?;
    Ok(client)
}

/// An ERR packet may come before the close. When it crosses a command on its way, it looks like an answer with the
/// sequence id of a new conversation.
fn is_goodbye(error: &Error) -> bool {
    error.is_close()
        || error.code() == Some(SERVER_SHUTDOWN)
        || matches!(error, Error::Sequence { found: 0, .. })
}

/// Fails unless what the client reads next is a goodbye, and the end of the stream after that.
fn assert_said_goodbye(client: &mut Connection) {
    client.stream().expect_any_sequence();
    let error = client.read_reply().expect_err("nothing was asked");
    assert!(is_goodbye(&error), "{error}");
    assert_eq!(client.stream().read_to_close().expect("a close"), 0, "bytes after the goodbye");
}

/// Fails if a new client is let in.
fn assert_no_entry(stage: &Stage) {
    let port = stage.athena.port();
    if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        return;
    }
    let error = Connection::open(port).expect_err("no new clients");
    let refused = matches!(&error, Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused);
    assert!(refused || is_goodbye(&error), "{error}");
}

fn assert_orderly_end(stage: &Stage, timeout: Duration) {
    let status = stage.athena.wait(timeout).and_then(|status: ExitStatus| status.code());
    let log = stage.athena.log().unwrap_or_default();
    assert_eq!(status, Some(0), "exit code within {timeout:?}: {log}");
    let last = log.lines().last().unwrap_or_default();
    // The last words are not lost: whoever reads the log knows how it ended.
    assert!(last.contains("drained") || log.contains("drain_timeout_ms is over"), "{log}");
}
