//! KILL QUERY: the statement that is meant ends, and no other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use athena_perf::proxy::AthenaConfig;

use crate::common::stage::Stage;
use crate::common::wire::{self, Connection};
use crate::common::{TestResult, eventually, join};
use crate::{
    CORES, INTERRUPTED, START_TIMEOUT, client_on, configure, id_of, on_each_server, on_each_server_with,
    wait_until_running, was_interrupted,
};

/// Sessions of which every second pair is killed.
const SLEEPERS: usize = 24;

/// How long short statements are killed.
const STORM: Duration = Duration::from_secs(4);

#[test]
fn the_statement_that_is_meant_ends_and_no_other() -> TestResult {
    on_each_server("kill_query", |stage| {
        let mut killers = (0..CORES).map(|core| client_on(stage, core)).collect::<TestResult<Vec<_>>>()?;
        let mut sleepers = Vec::new();
        for core in (0..CORES).cycle().take(SLEEPERS) {
            sleepers.push(client_on(stage, core)?);
        }
        let outcomes: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> = sleepers
                .iter_mut()
                .map(|sleeper| {
                    let id = id_of(sleeper);
                    (id, scope.spawn(|| sleeper.scalar("SELECT SLEEP(6)")))
                })
                .collect();
            wait_until_running(stage, "SLEEP(6)", SLEEPERS);
            // Every second pair: from each core to each core.
            for (number, (id, _)) in running.iter().enumerate().filter(|(number, _)| number / 2 % 2 == 0) {
                let killer = &mut killers[number / 4 % 2];
                killer.run(&format!("KILL QUERY {id}")).expect("KILL QUERY");
            }
            running.into_iter().map(|(_, thread)| join(thread)).collect()
        });
        for (number, outcome) in outcomes.iter().enumerate() {
            if number / 2 % 2 == 0 {
                assert!(was_interrupted(outcome), "{number} was killed: {outcome:?}");
            } else {
                assert_eq!(outcome.as_ref().ok().map(String::as_str), Some("0"), "{number}: {outcome:?}");
            }
        }
        for sleeper in &mut sleepers {
            assert_eq!(sleeper.scalar("SELECT 'usable'")?, "usable");
        }
        Ok(())
    })
}

/// Statements so short that most KILLs come too late. Those that do must meet nobody.
#[test]
fn a_kill_that_comes_too_late_meets_nobody_else() -> TestResult {
    on_each_server("kill_storm", |stage| {
        let mut targets = Vec::new();
        let mut others = Vec::new();
        for core in (0..CORES).cycle().take(4) {
            targets.push(client_on(stage, core)?);
            others.push(client_on(stage, core)?);
        }
        let ids: Vec<u32> = targets.iter().map(id_of).collect();
        let mut killers = (0..CORES).map(|core| client_on(stage, core)).collect::<TestResult<Vec<_>>>()?;
        let over = AtomicBool::new(false);
        let (kills, hits) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            let mut threads = Vec::new();
            for (number, client) in others.iter_mut().enumerate() {
                let over = &over;
                threads.push(scope.spawn(move || {
                    let mut round = 0;
                    while !over.load(Ordering::Relaxed) {
                        round += 1;
                        let outcome = statement(client, number, round);
                        assert!(matches!(outcome, Ok(true)), "nobody killed it: {outcome:?}");
                    }
                }));
            }
            for (number, client) in targets.iter_mut().enumerate() {
                let (over, hits) = (&over, &hits);
                threads.push(scope.spawn(move || {
                    let mut round = 0;
                    while !over.load(Ordering::Relaxed) {
                        round += 1;
                        match statement(client, number, round) {
                            Ok(true) => {}
                            Ok(false) => drop(hits.fetch_add(1, Ordering::Relaxed)),
                            Err(error) => {
                                assert_eq!(error.code(), Some(INTERRUPTED), "{error}");
                                hits.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                }));
            }
            let killing: Vec<_> = killers
                .iter_mut()
                .map(|killer| scope.spawn(|| kill_for_a_while(killer, &ids, &kills)))
                .collect();
            let outcomes: Vec<_> = killing.into_iter().map(join).collect();
            over.store(true, Ordering::Relaxed);
            threads.into_iter().for_each(join);
            for outcome in outcomes {
                outcome.expect("KILL QUERY");
            }
        });
        let (kills, hits) = (kills.into_inner(), hits.into_inner());
        assert!(kills > 100 && hits > 0, "{hits} of {kills} hit");
        for client in targets.iter_mut().chain(&mut others) {
            assert_eq!(client.scalar("SELECT 'usable'")?, "usable");
        }
        Ok(())
    })
}

fn kill_for_a_while(killer: &mut Connection, ids: &[u32], kills: &AtomicU64) -> wire::Result<()> {
    let start = Instant::now();
    while start.elapsed() < STORM {
        for id in ids {
            killer.run(&format!("KILL QUERY {id}"))?;
            kills.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// False if the server cut it short in its own way.
fn statement(client: &mut Connection, number: usize, round: u64) -> wire::Result<bool> {
    if !round.is_multiple_of(3) {
        let text = format!("{number}-{round}");
        assert_eq!(client.scalar(&format!("SELECT '{text}'"))?, text);
        return Ok(true);
    }
    Ok(client.scalar("SELECT SLEEP(0.002)")? == "0")
}

/// A server may be long about a KILL: a MariaDB tries for two seconds to wake a thread.
#[test]
fn a_kill_may_take_longer_than_a_connection() -> TestResult {
    let impatient = |config: AthenaConfig| {
        configure(config).set("runtime", "cpus", "\"0\"").set("pool", "connect_timeout_ms", "2000")
    };
    on_each_server_with("kill_slowly", impatient, |stage| {
        let (mut client, mut killer) = (stage.connect()?, stage.connect()?);
        let id = id_of(&client);
        thread::scope(|scope| -> TestResult {
            let running = scope.spawn(|| client.scalar("SELECT SLEEP(60)"));
            wait_until_running(stage, "SLEEP(60)", 1);
            // Another link is there, and idle.
            assert_eq!(killer.scalar("SELECT 'other'")?, "other");
            stage.server.pause();
            let killing = scope.spawn(|| killer.run(&format!("KILL QUERY {id}")));
            thread::sleep(Duration::from_secs(4));
            stage.server.resume();
            join(killing)?;
            let outcome = join(running);
            assert!(was_interrupted(&outcome), "{outcome:?}");
            Ok(())
        })
    })
}

/// What waits for a link or for a permit has no statement on the server, and ends all the same.
#[test]
fn a_statement_that_waits_is_ended_too() -> TestResult {
    let one_link = |config: AthenaConfig| {
        configure(config).set("runtime", "cpus", "\"0\"").set("pool", "max_connections", "1")
    };
    let one_permit = |config: AthenaConfig| {
        configure(config)
            .set("runtime", "cpus", "\"0\"")
            .set("circuit", "max_concurrent_per_user_shard", "1")
            .set("circuit", "queue_timeout_ms", "30000")
    };
    waits_and_is_ended(&Stage::start_with("kill_checkout", one_link)?)?;
    waits_and_is_ended(&Stage::start_with("kill_queue", one_permit)?)
}

fn waits_and_is_ended(stage: &Stage) -> TestResult {
    let (mut first, mut second, mut killer) = (stage.connect()?, stage.connect()?, stage.connect()?);
    let id = id_of(&second);
    thread::scope(|scope| -> TestResult {
        let sleeping = scope.spawn(|| first.scalar("SELECT SLEEP(4)"));
        wait_until_running(stage, "SLEEP(4)", 1);
        let waiting = scope.spawn(|| second.scalar("SELECT 'never'"));
        eventually("the statement waits", START_TIMEOUT, || {
            let list = killer.query("SHOW PROCESSLIST").and_then(wire::Reply::rows);
            let rows = list.map_err(|error| error.to_string())?.rows;
            let state =
                rows.iter().find(|row| row[0].to_string() == id.to_string()).map(|row| row[6].to_string());
            if state.as_deref() == Some("Waiting for a backend connection") {
                Ok(())
            } else {
                Err(format!("{state:?}"))
            }
        });
        killer.run(&format!("KILL QUERY {id}"))?;
        assert_eq!(join(waiting).err().and_then(|error| error.code()), Some(INTERRUPTED));
        assert_eq!(join(sleeping)?, "0");
        Ok(())
    })?;
    assert_eq!(second.scalar("SELECT 'usable'")?, "usable");
    Ok(())
}

/// A transaction goes on after KILL QUERY, on its own link.
#[test]
fn a_transaction_survives_the_kill_of_its_statement() -> TestResult {
    on_each_server("kill_transaction", |stage| {
        stage.server.sql("CREATE TABLE test.kept (a INT PRIMARY KEY)")?;
        let (mut client, mut killer) = (client_on(stage, 0)?, client_on(stage, 1)?);
        client.run("SET @mine = 'kept'")?;
        client.run("BEGIN")?;
        client.run("INSERT INTO kept VALUES (1)")?;
        let id = id_of(&client);
        thread::scope(|scope| -> TestResult {
            let running = scope.spawn(|| client.scalar("SELECT SLEEP(20)"));
            wait_until_running(stage, "SLEEP(20)", 1);
            killer.run(&format!("KILL QUERY {id}"))?;
            let outcome = join(running);
            assert!(was_interrupted(&outcome), "{outcome:?}");
            Ok(())
        })?;
        assert_eq!(client.scalar("SELECT CONCAT(@mine, COUNT(*)) FROM kept")?, "kept1");
        client.run("COMMIT")?;
        assert_eq!(killer.scalar("SELECT COUNT(*) FROM kept")?, "1");
        killer.run(&format!("KILL QUERY {id}"))?;
        assert_eq!(client.scalar("SELECT 'nothing ran'")?, "nothing ran");
        Ok(())
    })
}
