//! Statements that wait: as many as may, in the whole process, and permits come back from whoever is gone.

use std::thread;
use std::time::Duration;

use crate::common::stage::Stage;
use crate::common::wire::{Connection, Error, command};
use crate::common::{TestResult, eventually, join, timed};
use crate::{CORES, Spread, clients, on_eight_cores};

const CON_COUNT: u16 = 1040;
const LOCK_WAIT_TIMEOUT: u16 = 1205;

fn small(name: &str) -> TestResult<Stage> {
    Stage::start_with(name, |config| {
        on_eight_cores(config)
            .set("circuit", "max_concurrent_per_user_shard", "2")
            .set("circuit", "queue_size", "3")
            .set("circuit", "queue_timeout_ms", "1000")
    })
}

fn codes(outcomes: &[(Result<String, Error>, Duration)], wanted: Option<u16>) -> usize {
    let code = |result: &Result<String, Error>| result.as_ref().err().and_then(Error::code);
    outcomes.iter().filter(|(result, _)| code(result) == wanted).count()
}

fn all_at_once(clients: &mut [Connection], sql: &str) -> Vec<(Result<String, Error>, Duration)> {
    thread::scope(|scope| {
        let running: Vec<_> =
            clients.iter_mut().map(|client| scope.spawn(|| timed(|| client.scalar(sql)))).collect();
        running.into_iter().map(join).collect()
    })
}

/// Two run, three wait, the others are refused, on whatever cores they are.
#[test]
fn the_queue_has_as_many_places_as_it_says() -> TestResult {
    let stage = small("queue_exact")?;
    for spread in [Spread::Evenly, Spread::OnOneCore, Spread::Evenly] {
        let mut clients = clients(&stage, 2 * CORES, spread)?;
        let outcomes = all_at_once(&mut clients, "SELECT SLEEP(0.4)");
        let counts = [None, Some(CON_COUNT), Some(LOCK_WAIT_TIMEOUT)].map(|code| codes(&outcomes, code));
        assert_eq!(counts, [5, 2 * CORES - 5, 0], "{spread:?}: {outcomes:?}");
        for (result, took) in &outcomes {
            let Err(Error::Server { message, .. }) = result else { continue };
            assert!(message.contains("'app'") && message.contains("shard 0"), "{message}");
            assert!(message.contains("[circuit] queue_size"), "{message}");
            assert!(*took < Duration::from_millis(350), "refused at once: {took:?}");
        }
    }
    Ok(())
}

#[test]
fn whoever_waits_too_long_is_told_so() -> TestResult {
    let stage = small("queue_timeout")?;
    let mut clients = clients(&stage, 5, Spread::Evenly)?;
    let outcomes = all_at_once(&mut clients, "SELECT SLEEP(1.8)");
    assert_eq!([None, Some(LOCK_WAIT_TIMEOUT)].map(|code| codes(&outcomes, code)), [2, 3], "{outcomes:?}");
    let error = outcomes.iter().find_map(|(result, _)| result.as_ref().err()).ok_or("an error")?;
    assert!(error.to_string().contains("1000 ms ([circuit] queue_timeout_ms)"), "{error}");
    all_come_back(&stage)
}

#[test]
fn clients_that_go_while_they_wait_leave_their_places() -> TestResult {
    let stage = small("queue_gone")?;
    for _ in 0..3 {
        let mut clients = clients(&stage, 5, Spread::Evenly)?;
        for client in &mut clients {
            client.send(command::QUERY, b"SELECT SLEEP(0.3)")?;
        }
        thread::sleep(Duration::from_millis(100));
        drop(clients);
    }
    all_come_back(&stage)
}

#[test]
fn a_server_that_dies_while_others_wait_takes_no_permits_along() -> TestResult {
    let stage = small("queue_server")?;
    let mut clients = clients(&stage, 5, Spread::Evenly)?;
    for client in &mut clients {
        client.send(command::QUERY, b"SELECT SLEEP(20)")?;
    }
    thread::sleep(Duration::from_millis(300));
    stage.server.kill();
    for client in &mut clients {
        client.read_reply().expect_err("there is no server");
    }
    stage.server.start()?;
    for client in &mut clients {
        eventually("it goes on", Duration::from_secs(15), || {
            client.scalar("SELECT 1").map_err(|error| error.to_string())
        });
    }
    all_come_back(&stage)
}

/// Five statements at a time have their place again, and two of them run.
fn all_come_back(stage: &Stage) -> TestResult {
    let gauge = |name| stage.athena.metric(name, &[]).map_err(|error| error.to_string());
    eventually("nobody runs, nobody waits", Duration::from_secs(10), || {
        let now = (gauge("athena_rate_limit_running")?, gauge("athena_rate_limit_queued")?);
        if now == (0.0, 0.0) { Ok(()) } else { Err(format!("{now:?}")) }
    });
    let mut clients = clients(stage, 5, Spread::Evenly)?;
    let (outcomes, took) = timed(|| all_at_once(&mut clients, "SELECT SLEEP(0.2)"));
    assert_eq!(codes(&outcomes, None), 5, "{outcomes:?}");
    assert!(took >= Duration::from_millis(590), "more than two ran at a time: {took:?}");
    Ok(())
}
