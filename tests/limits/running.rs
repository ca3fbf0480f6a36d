//! Statements that run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use athena_perf::process::Signal;

use crate::common::stage::Stage;
use crate::common::wire::{Connection, Value};
use crate::common::{TestResult, eventually, join};
use crate::{CORES, Spread, clients, on_eight_cores};

const CLIENTS: usize = 200;
const LASTS: Duration = Duration::from_secs(2);

/// When it began and when it ended, by the server's own clock, in microseconds: between the two it is at work.
const STATEMENT: &str = "SELECT UNIX_TIMESTAMP(SYSDATE(6)), SLEEP(0.002), UNIX_TIMESTAMP(SYSDATE(6))";

/// Each client works until time is up. Returns how many statements the least lucky has had answered, and how many were at
/// work at a time, at most. Nothing is sampled: lists of processes are no snapshots, and `Threads_running` has threads whose
/// reply is sent already.
fn work(clients: &mut [Connection], lasts: Duration) -> TestResult<(usize, i64)> {
    let over = AtomicBool::new(false);
    let spans = thread::scope(|scope| {
        let working: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                scope.spawn(|| {
                    let mut spans = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        spans.push(span(client)?);
                    }
                    TestResult::Ok(spans)
                })
            })
            .collect();
        thread::sleep(lasts);
        over.store(true, Ordering::Relaxed);
        working.into_iter().map(join).collect::<TestResult<Vec<_>>>()
    })?;
    let least = spans.iter().map(Vec::len).min().unwrap_or(0);
    let changes = spans.concat().into_iter().flat_map(|(begin, end)| [(begin, 1), (end, -1)]);
    let mut changes: Vec<(i64, i64)> = changes.collect();
    // Who ends in the same microsecond in which another begins was before it.
    changes.sort_unstable();
    let (mut now, mut most) = (0, 0);
    for (_, change) in changes {
        now += change;
        most = most.max(now);
    }
    Ok((least, most))
}

fn span(client: &mut Connection) -> TestResult<(i64, i64)> {
    let rows = client.query(STATEMENT)?.rows()?.rows;
    let [row] = rows.as_slice() else { return Err("one row expected".into()) };
    let [Value::Bytes(begin), _, Value::Bytes(end)] = row.as_slice() else {
        return Err("two times expected".into());
    };
    let micros =
        |text: &[u8]| -> TestResult<i64> { Ok(String::from_utf8(text.to_vec())?.replace('.', "").parse()?) };
    Ok((micros(begin)?, micros(end)?))
}

fn keeps(stage: &Stage, limit: i64, spread: Spread) -> TestResult {
    let mut clients = clients(stage, CLIENTS, spread)?;
    let (least, most) = work(&mut clients, LASTS)?;
    assert_eq!(most, limit, "{spread:?}: so many ran at a time");
    assert!(least > 0, "{spread:?}: somebody waited all the time");
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
            let times = log.matches("are as the file has them now").count();
            if times == number + 1 { Ok(()) } else { Err(log) }
        });
        // Nothing runs that began before.
        thread::sleep(Duration::from_millis(100));
        let (_, most) = work(&mut clients, Duration::from_millis(700))?;
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
    let (_, most) = work(&mut clients, Duration::from_millis(700))?;
    assert_eq!(most, 8);
    Ok(())
}
