//! Statements that run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use athena_perf::lab::APP_USER;
use athena_perf::process::Signal;

use crate::common::stage::Stage;
use crate::common::wire::{Connection, Login};
use crate::common::{TestResult, eventually, join};
use crate::{CORES, Spread, clients, largest, on_eight_cores};

const CLIENTS: usize = 200;
const LASTS: Duration = Duration::from_secs(2);

/// How many statements are at work at a moment, as the server sees it: threads that sleep in `SLEEP()`. Its `Threads_running` also has
/// those whose reply is sent and that have not come to rest, as well as logins of links.
fn at_work(stage: &Stage) -> TestResult<impl FnMut() -> TestResult<i64> + Send> {
    let mut monitor = stage.direct(&Login::app())?;
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = '{APP_USER}' AND STATE = 'User sleep'"
    );
    Ok(move || Ok(monitor.scalar(&sql)?.parse()?))
}

/// Each client works until time is up. Returns how many statements each has had answered.
fn work(clients: &mut [Connection], lasts: Duration) -> TestResult<Vec<usize>> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let working: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                scope.spawn(|| {
                    let mut done = 0;
                    while !over.load(Ordering::Relaxed) {
                        client.scalar("SELECT SLEEP(0.002)")?;
                        done += 1;
                    }
                    TestResult::Ok(done)
                })
            })
            .collect();
        thread::sleep(lasts);
        over.store(true, Ordering::Relaxed);
        working.into_iter().map(join).collect()
    })
}

fn keeps(stage: &Stage, limit: i64, spread: Spread) -> TestResult {
    let mut clients = clients(stage, CLIENTS, spread)?;
    let (done, most) = largest(at_work(stage)?, || work(&mut clients, LASTS))?;
    let done = done?;
    let least = done.iter().min().copied().unwrap_or(0);
    assert!(most <= limit, "{spread:?}: {most} ran at a time, {limit} may");
    assert_eq!(most, limit, "{spread:?}: never more than that ran, of {limit}");
    assert!(least > 0, "{spread:?}: somebody waited all the time: {done:?}");
    Ok(())
}

fn keeps_limits(stage: &Stage, limit: i64) -> TestResult {
    keeps(stage, limit, Spread::OnOneCore)?;
    keeps(stage, limit, Spread::Evenly)?;
    // All permits are counted back: as many statements run at once as may.
    let gauge = |name| stage.athena.metric(name, &[]).map_err(|error| error.to_string());
    eventually("nobody runs, nobody waits", Duration::from_secs(5), || {
        let now = (gauge("athena_rate_limit_running")?, gauge("athena_rate_limit_queued")?);
        if now == (0.0, 0.0) { Ok(()) } else { Err(format!("{now:?}")) }
    });
    Ok(())
}

fn limited(name: &str, limit: i64) -> TestResult<Stage> {
    Stage::start_with(name, |config| {
        on_eight_cores(config).set("circuit", "max_concurrent_per_user_shard", &limit.to_string())
    })
}

#[test]
fn one_statement_at_a_time() -> TestResult {
    keeps_limits(&limited("limits_1", 1)?, 1)
}

#[test]
fn three_statements_at_a_time() -> TestResult {
    keeps_limits(&limited("limits_3", 3)?, 3)
}

#[test]
fn ten_statements_at_a_time() -> TestResult {
    keeps_limits(&limited("limits_10", 10)?, 10)
}

#[test]
fn three_statements_at_a_time_on_mysql() -> TestResult {
    let stage = Stage::start_on_mysql("limits_mysql", |config| {
        on_eight_cores(config).set("circuit", "max_concurrent_per_user_shard", "3")
    })?;
    match stage {
        Some(stage) => keeps_limits(&stage, 3),
        None => {
            eprintln!("skipped: no MySQL root (perf/mysql-root.sh makes one)");
            Ok(())
        }
    }
}

/// A statement in a transaction needs no permit of its own: it would wait behind those who wait for the transaction.
#[test]
fn a_transaction_goes_on_while_others_wait_for_its_place() -> TestResult {
    let stage = limited("limits_transaction", 1)?;
    let mut holder = stage.connect()?;
    holder.run("BEGIN")?;
    holder.run("CREATE TEMPORARY TABLE test.mine (a INT)")?;
    let mut waiting = clients(&stage, CORES, Spread::Evenly)?;
    for client in &mut waiting {
        client.send(crate::common::wire::command::QUERY, b"SELECT 'at last'")?;
    }
    thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    for number in 0..20 {
        holder.run(&format!("INSERT INTO test.mine VALUES ({number})"))?;
    }
    assert_eq!(holder.scalar("SELECT COUNT(*) FROM test.mine")?, "20");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    holder.run("COMMIT")?;
    for client in &mut waiting {
        client.read_reply()?;
    }
    Ok(())
}

/// SIGHUP: the limit gets smaller and larger under load, and holds each time.
#[test]
fn a_limit_changes_while_statements_run() -> TestResult {
    let lab_config = |limit: u32, port| {
        let config = on_eight_cores(athena_perf::proxy::AthenaConfig::new(port));
        config.set("pool", "connect_timeout_ms", "20000").set(
            "circuit",
            "max_concurrent_per_user_shard",
            &limit.to_string(),
        )
    };
    let stage = limited("limits_reload", 8)?;
    let mut clients = clients(&stage, 40, Spread::Evenly)?;
    for (number, limit) in [(0, 2), (1, 12), (2, 1), (3, 8)] {
        stage.athena.rewrite_config(&lab_config(limit, stage.server.port()))?;
        stage.athena.signal(Signal::SIGHUP);
        eventually("the log says so", Duration::from_secs(5), || {
            let log = stage.athena.log().map_err(|error| error.to_string())?;
            let times = log.matches("limits are changed").count();
            if times == number + 1 { Ok(()) } else { Err(log) }
        });
        // Nothing runs that began before.
        thread::sleep(Duration::from_millis(100));
        let (done, most) = largest(at_work(&stage)?, || work(&mut clients, Duration::from_millis(700)))?;
        done?;
        assert_eq!(most, i64::from(limit));
    }
    // A file with a mistake changes nothing.
    let broken = lab_config(3, stage.server.port()).set("circuit", "queue_size", "-1");
    stage.athena.rewrite_config(&broken)?;
    stage.athena.signal(Signal::SIGHUP);
    eventually("the log says so", Duration::from_secs(5), || {
        let log = stage.athena.log().map_err(|error| error.to_string())?;
        if log.contains("limits stay as they were") { Ok(()) } else { Err(log) }
    });
    let (done, most) = largest(at_work(&stage)?, || work(&mut clients, Duration::from_millis(700)))?;
    done?;
    assert_eq!(most, 8);
    Ok(())
}
