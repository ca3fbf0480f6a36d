//! The rate limit, the wait for a link, and who may log in.

use std::thread;
use std::time::Duration;

use athena_perf::lab::{APP_PASSWORD, APP_USER};

use crate::common::stage::Stage;
use crate::common::wire::{Error, Login};
use crate::common::{TestResult, join, timed};

const CON_COUNT: u16 = 1040;
const ACCESS_DENIED: u16 = 1045;
const LOCK_WAIT_TIMEOUT: u16 = 1205;

#[test]
fn statements_above_the_rate_limit_wait_or_fail() -> TestResult {
    let stage = Stage::start_with("limit_rate", |config| {
        config
            .set("runtime", "cpus", "\"0\"")
            .set("circuit", "max_concurrent_per_user_shard", "2")
            .set("circuit", "queue_size", "2")
            .set("circuit", "queue_timeout_ms", "300")
    })?;
    let mut clients = (0..5).map(|_| stage.connect()).collect::<Result<Vec<_>, _>>()?;
    let outcomes: Vec<_> = thread::scope(|scope| {
        let sleepers: Vec<_> = clients
            .iter_mut()
            .map(|client| scope.spawn(|| timed(|| client.scalar("SELECT SLEEP(1)"))))
            .collect();
        sleepers.into_iter().map(join).collect()
    });
    let took = |wanted: Option<u16>| -> Vec<Duration> {
        let of_this_kind =
            |result: &Result<String, Error>| result.as_ref().err().and_then(Error::code) == wanted;
        outcomes.iter().filter(|(result, _)| of_this_kind(result)).map(|(_, took)| *took).collect()
    };
    let (run, refused, timed_out) = (took(None), took(Some(CON_COUNT)), took(Some(LOCK_WAIT_TIMEOUT)));
    assert_eq!((run.len(), refused.len(), timed_out.len()), (2, 1, 2), "{outcomes:?}");
    assert!(refused[0] < Duration::from_millis(250), "refused at once: {:?}", refused[0]);
    for wait in timed_out {
        assert!((280..900).contains(&wait.as_millis()), "timed out after {wait:?}");
    }
    for client in &mut clients {
        assert_eq!(client.scalar("SELECT 'usable'")?, "usable");
    }
    for (reason, count) in [("queue_full", 1.0), ("timeout", 2.0)] {
        let rejected = stage.athena.metric("athena_rate_limit_rejected_total", &[("reason", reason)])?;
        assert!((rejected - count).abs() < 0.5, "{reason}: {rejected}");
    }
    Ok(())
}

#[test]
fn queued_statements_run_in_their_turn() -> TestResult {
    let stage = Stage::start_with("limit_queue", |config| {
        config
            .set("runtime", "cpus", "\"0\"")
            .set("circuit", "max_concurrent_per_user_shard", "2")
            .set("circuit", "queue_size", "10")
            .set("circuit", "queue_timeout_ms", "10000")
    })?;
    let ((), took) = thread::scope(|scope| {
        let sleeper = || stage.connect()?.run("SELECT SLEEP(0.2)");
        let sleepers: Vec<_> = (0..10).map(|_| scope.spawn(sleeper)).collect();
        let (result, took) = timed(|| sleepers.into_iter().try_for_each(join));
        result.map(|done| (done, took))
    })?;
    // 10 statements of 200 ms, two at a time.
    assert!(took >= Duration::from_millis(950), "more than 2 ran at a time: {took:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    Ok(())
}

#[test]
fn the_wait_for_a_link_ends() -> TestResult {
    let stage = Stage::start_with("limit_links", |config| {
        config.set("runtime", "cpus", "\"0\"").set("pool", "max_connections", "1").set(
            "pool",
            "checkout_timeout_ms",
            "400",
        )
    })?;
    let mut holder = stage.connect()?;
    let mut waiter = stage.connect()?;
    holder.run("BEGIN")?;
    holder.scalar("SELECT COUNT(*) FROM information_schema.SCHEMATA")?;
    let (result, took) = timed(|| waiter.scalar("SELECT 1"));
    let error = result.expect_err("the only link is taken");
    assert!(matches!(&error, Error::Server { message, .. } if !message.is_empty()), "{error}");
    assert!((380..2000).contains(&took.as_millis()), "after {took:?}");
    assert!((stage.errors("checkout_timeout")? - 1.0).abs() < 0.5);
    holder.run("COMMIT")?;
    assert_eq!(waiter.scalar("SELECT 'usable'")?, "usable");
    Ok(())
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_the_same() -> TestResult {
    let stage = Stage::start("limit_login")?;
    let refusal = |user: &str, password: &str| -> TestResult<(u16, String, String)> {
        match stage.login(&Login::new(user, password)) {
            Err(Error::Server { code, state, message }) => Ok((code, state, message.replace(user, "USER"))),
            other => Err(format!("an ERR packet expected, not {other:?}").into()),
        }
    };
    let wrong = refusal(APP_USER, "not the password")?;
    assert_eq!((wrong.0, wrong.1.as_str()), (ACCESS_DENIED, "28000"));
    assert!(wrong.2.starts_with("Access denied for user 'USER'@"), "{}", wrong.2);
    assert_eq!(refusal("nobody", "not the password")?, wrong);
    // Without a password the server's own words end with NO.
    assert_eq!(refusal("nobody", "")?, refusal(APP_USER, "")?);
    let refused = stage.athena.metric("athena_connections_refused_total", &[("reason", "access_denied")])?;
    assert!((refused - 4.0).abs() < 0.5, "{refused}");
    stage.login(&Login::new(APP_USER, APP_PASSWORD))?.ping()?;
    Ok(())
}

#[test]
fn more_clients_than_allowed_are_refused() -> TestResult {
    let stage = Stage::start_with("limit_clients", |config| {
        config.set("runtime", "cpus", "\"0\"").set("server", "max_connections", "3")
    })?;
    // Athena's own start may have been seen by a client that is on its way out.
    stage.settled_census();
    let mut clients = (0..3).map(|_| stage.connect()).collect::<Result<Vec<_>, _>>()?;
    let error = stage.connect().expect_err("one too many");
    assert_eq!(error.code(), Some(CON_COUNT), "{error}");
    for client in &mut clients {
        client.ping()?;
    }
    clients.pop().expect("three").quit()?;
    let connect = || stage.connect().map_err(|error| error.to_string());
    crate::common::eventually("there is room again", Duration::from_secs(5), connect).ping()?;
    Ok(())
}
