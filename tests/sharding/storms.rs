//! Many faults at once, and servers that stop: what is answered is whole, and nothing is left behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use athena_perf::lab::APP_USER;
use athena_perf::process::Signal;
use athena_perf::proxy::AthenaConfig;

use super::SHARDED;
use super::common::random::Random;
use super::common::stage::{Stage, on_each_server};
use super::common::wire::{Connection, Reply, ResultSet, Value, command};
use super::common::{PATIENCE, TestResult, eventually, join};
use super::faults::{assert_gone, client, code, four_shards, users, wait_for_parts};

const INTERRUPTED: u16 = 1317;
const LOST: [u16; 4] = [1158, 1159, 1927, 2013];

/// What `users` counts, on each shard.
fn counters(client: &mut Connection) -> TestResult<Vec<String>> {
    let rows = client.query("SELECT n FROM counts ORDER BY user_id")?.rows()?.rows;
    assert_eq!(rows.len(), 4);
    Ok(rows.concat().iter().map(ToString::to_string).collect())
}

fn counted(stage: &Stage) -> TestResult<Connection> {
    let mut client = users(stage)?;
    client.run("CREATE TABLE counts (user_id BIGINT PRIMARY KEY, n INT NOT NULL)")?;
    client.run("INSERT INTO counts (user_id, n) VALUES (0, 0), (1, 0), (2, 0), (3, 0)")?;
    Ok(client)
}

/// A write that a KILL meets is undone on all shards, in a transaction and alone; one that is answered is done on all.
#[test]
fn kills_of_writes() -> TestResult {
    let configure = |config| {
        four_shards(config).text(
            "[[sharding]]\nname = \"counts\"\ntable_pattern = \"counts\"\nshard_column = \"user_id\"\n\
             algorithm = \"mod\"\nshard_count = 4\n",
        )
    };
    on_each_server("sharding_kill_writes", configure, |stage| {
        let mut client = counted(stage)?;
        let (id, over) = (client.greeting().connection_id, AtomicBool::new(false));
        let mut killer = self::client(stage)?;
        let (mut done, mut hits) = (0, 0);
        for begin in ["SELECT 1", "BEGIN", "SET autocommit = 0"] {
            client.run(begin)?;
            over.store(false, Ordering::Relaxed);
            thread::scope(|scope| -> TestResult {
                let over = &over;
                let killer = &mut killer;
                let kills = scope.spawn(move || -> TestResult {
                    for round in 0..250 {
                        killer.run(&format!("KILL QUERY {id}"))?;
                        thread::sleep(Duration::from_millis(round % 11));
                    }
                    over.store(true, Ordering::Relaxed);
                    Ok(())
                });
                while !over.load(Ordering::Relaxed) {
                    match client.query("UPDATE counts SET n = n + 1 + SLEEP(0.001)") {
                        Ok(reply) => {
                            assert_eq!(reply.ok()?.affected_rows, 4);
                            done += 1;
                        }
                        Err(error) => {
                            assert_eq!(error.code(), Some(INTERRUPTED), "{error}");
                            hits += 1;
                        }
                    }
                }
                join(kills)
            })?;
            assert_eq!(counters(&mut client)?, vec![done.to_string(); 4], "after {begin}, {hits} hits");
            client.run("COMMIT")?;
            assert_eq!(counters(&mut killer)?, vec![done.to_string(); 4], "after {begin}, {hits} hits");
        }
        assert!(hits > 0 && done > 0, "{hits} hits, {done} done");
        Ok(())
    })
}

fn assert_whole(rows: &ResultSet) {
    let mut ids: Vec<_> = rows.rows.iter().map(|row| row[0].to_string()).collect();
    ids.sort();
    assert_eq!(ids, ["0", "1", "2", "3"]);
}

/// Links die at any moment, of sessions that read, write and have transactions.
#[test]
fn links_die_at_any_moment() -> TestResult {
    on_each_server("sharding_dying", four_shards, |stage| {
        let mut other = users(stage)?;
        let before = stage.settled_census();
        let over = AtomicBool::new(false);
        thread::scope(|scope| -> TestResult {
            let over = &over;
            let working: Vec<_> =
                (0..4).map(|number| scope.spawn(move || reads_and_writes(stage, number, over))).collect();
            let mut random = Random::new(7);
            for _ in 0..60 {
                let sql = format!("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '{APP_USER}'");
                let list = stage.server.sql(&sql)?;
                let ids: Vec<_> = list.split_whitespace().collect();
                if !ids.is_empty() {
                    // It may have gone by itself.
                    let _ = stage.server.sql(&format!("KILL {}", ids[random.below(ids.len())]));
                }
                thread::sleep(Duration::from_millis(random.below(40) as u64));
            }
            over.store(true, Ordering::Relaxed);
            working.into_iter().try_for_each(join)
        })?;
        stage.assert_back_to(before);
        eventually("others are served", PATIENCE, || match other.query("SELECT user_id FROM users") {
            Ok(reply) => {
                assert_whole(&reply.rows().map_err(|error| error.to_string())?);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        });
        let open = stage.server.sql("SELECT COUNT(*) FROM information_schema.INNODB_TRX")?;
        assert_eq!(open, "0");
        stage.assert_serves()
    })
}

fn reads_and_writes(stage: &Stage, number: u64, over: &AtomicBool) -> TestResult {
    let mut random = Random::new(number);
    let mut session = client(stage);
    while !over.load(Ordering::Relaxed) {
        let Ok(client) = &mut session else {
            session = self::client(stage);
            continue;
        };
        let outcome = match random.below(4) {
            0 => client.query("BEGIN"),
            1 => client.query("COMMIT"),
            2 => client.query("UPDATE users SET name = CONCAT('x', SLEEP(0.002))"),
            _ => client.query("SELECT user_id, SLEEP(0.005) FROM users").inspect(|reply| {
                if let Reply::Rows(rows) = reply {
                    assert_whole(rows);
                }
            }),
        };
        match outcome {
            Ok(_) => {}
            Err(error) if error.is_close() => session = self::client(stage),
            Err(error) => match error.code() {
                // A deadlock or a lock's time-out is of the others' writes.
                Some(code) if LOST.contains(&code) || matches!(code, 1205 | 1213 | 1020 | 1317) => {}
                _ => return Err(format!("session {number}: {error}").into()),
            },
        }
    }
    Ok(())
}

/// The server stands still: the read ends with an error in its time, and is whole when it goes on.
#[test]
fn a_server_that_stands_still() -> TestResult {
    let configure = |config| {
        four_shards(config).set("pool", "query_timeout_ms", "700").set("pool", "query_kill_timeout_ms", "500")
    };
    on_each_server("sharding_still", configure, |stage| {
        let mut client = users(stage)?;
        let mut rows = client.query("SELECT user_id, SLEEP(0.1) FROM users")?.rows()?;
        assert_whole(&rows);
        stage.server.pause();
        let outcome = client.query("SELECT user_id FROM users");
        stage.server.resume();
        assert!(outcome.is_err(), "{outcome:?}");
        rows = eventually("it goes on", PATIENCE, || {
            let mut client = self::client(stage).map_err(|error| error.to_string())?;
            let reply = client.query("SELECT user_id FROM users").map_err(|error| error.to_string())?;
            reply.rows().map_err(|error| error.to_string())
        });
        assert_whole(&rows);
        Ok(())
    })
}

#[test]
fn a_server_that_starts_anew() -> TestResult {
    on_each_server("sharding_restart", four_shards, |stage| {
        let mut client = users(stage)?;
        let statement = client.prepare("SELECT user_id FROM users WHERE user_id < ?")?;
        for round in 0..2 {
            client.send(command::QUERY, b"SELECT user_id, SLEEP(30) FROM users")?;
            wait_for_parts(stage, "SLEEP(30)", 2);
            if round == 0 {
                stage.server.kill();
                stage.server.start()?;
            } else {
                stage.server.restart()?;
            }
            assert!(client.read_reply().is_err());
            let rows = eventually("it goes on", PATIENCE, || {
                let reply = client.execute(&statement, &[Value::Int(4)]);
                reply.and_then(Reply::rows).map_err(|error| error.to_string())
            });
            assert_whole(&rows);
            assert_whole(&client.query("SELECT user_id FROM users")?.rows()?);
        }
        Ok(())
    })
}

/// What waits for a link or permits has nothing on a server, and ends all the same, with its client or by a KILL.
#[test]
fn a_read_that_waits_is_ended_too() -> TestResult {
    for (name, links, permits) in [("sharding_waits_link", "1", "20"), ("sharding_waits_permit", "20", "1")] {
        let configure = |config| {
            four_shards(config)
                .set("pool", "max_connections", links)
                .set("circuit", "max_concurrent_per_user_shard", permits)
                .set("circuit", "queue_timeout_ms", "30000")
        };
        on_each_server(name, configure, |stage| {
            let mut owner = users(stage)?;
            let (mut client, mut killer) = (client(stage)?, client(stage)?);
            let before = stage.settled_census();
            let mut leaving = self::client(stage)?;
            owner.send(command::QUERY, b"SELECT user_id, SLEEP(0.7) FROM users WHERE user_id <> 9")?;
            wait_for_parts(stage, "SLEEP(0.7)", 1);
            client.send(command::QUERY, b"SELECT user_id FROM users")?;
            leaving.send(command::QUERY, b"SELECT user_id FROM users")?;
            thread::sleep(Duration::from_millis(200));
            drop(leaving);
            killer.run(&format!("KILL QUERY {}", client.greeting().connection_id))?;
            let outcome = client.read_reply();
            // It may have had its turn by then.
            match &outcome {
                Ok(_) => {}
                outcome => assert_eq!(code(outcome), Some(INTERRUPTED)),
            }
            assert_eq!(owner.read_reply()?.rows()?.rows.len(), 4);
            assert_gone(stage, "users_");
            assert_whole(&client.query("SELECT user_id FROM users")?.rows()?);
            stage.assert_back_to(before);
            Ok(())
        })?;
    }
    Ok(())
}

/// The server has time to take connections in, also where it is starved: without them parts don't run at the same time.
fn patient(config: AthenaConfig) -> AthenaConfig {
    four_shards(config).set("pool", "connect_timeout_ms", "20000").set("pool", "checkout_timeout_ms", "20000")
}

/// So many rows, each with a second value of this length.
fn assert_long(rows: &ResultSet, count: usize, len: usize) {
    let is_whole = |row: &Vec<Value>| matches!(&row[1], Value::Bytes(bytes) if bytes.len() == len);
    assert!(rows.rows.len() == count && rows.rows.iter().all(is_whole), "{count} rows of {len} bytes");
}

/// Rows, and values, that take several packets.
#[test]
fn rows_of_several_packets() -> TestResult {
    on_each_server("sharding_large", patient, |stage| {
        stage.server.sql("SET GLOBAL max_allowed_packet = 67108864")?;
        let mut client = users(stage)?;
        for len in [1_000_000, 16_777_205, 16_777_210, 16_777_211, 16_777_216, 17_000_000] {
            let sql = format!("SELECT user_id, REPEAT('x', {len}) FROM users WHERE user_id IN (1, 2)");
            let statement = client.prepare(&sql)?;
            assert_long(&client.query(&sql)?.rows()?, 2, len);
            assert_long(&client.execute(&statement, &[])?.rows()?, 2, len);
            client.close(&statement)?;
        }
        assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "4");
        assert_eq!(client.scalar(&format!("SELECT DATABASE() = '{SHARDED}'"))?, "1");
        Ok(())
    })
}

/// Four rows that are together more than `[sharding_defaults] max_merge_bytes` lets be kept.
const LARGE: &str = "SELECT user_id, REPEAT('x', 30000000) AS large";

/// In a transaction parts run one after the other: what has an order waits for all of them.
#[test]
fn rows_without_an_order_are_not_kept_beyond_the_budget() -> TestResult {
    on_each_server("sharding_budget", patient, |stage| {
        stage.server.sql("SET GLOBAL max_allowed_packet = 67108864")?;
        let mut client = users(stage)?;
        let (chained, sorted) =
            (format!("{LARGE} FROM users"), format!("{LARGE} FROM users ORDER BY user_id"));
        assert_long(&client.query(&chained)?.rows()?, 4, 30_000_000);
        assert_long(&client.query(&sorted)?.rows()?, 4, 30_000_000);
        let statement = client.prepare(&chained)?;
        client.run("BEGIN")?;
        assert_long(&client.query(&chained)?.rows()?, 4, 30_000_000);
        assert_long(&client.execute(&statement, &[])?.rows()?, 4, 30_000_000);
        let message = client.query(&sorted).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains("max_merge_bytes"), "{message}");
        // What the client has of it does not make an error of the last part less of one.
        let late = client.query(&format!("{LARGE}, EXP(user_id * 300) FROM users"));
        assert_eq!(code(&late), Some(1690));
        client.run("UPDATE users SET name = 'changed' WHERE user_id = 3")?;
        assert_long(&client.query(&chained)?.rows()?, 4, 30_000_000);
        client.run("COMMIT")?;
        assert_eq!(client.scalar("SELECT name FROM users WHERE user_id = 3")?, "changed");
        Ok(())
    })
}

/// With one connection for everybody no part gets one beside the session's.
#[test]
fn large_reads_of_a_pool_with_one_connection() -> TestResult {
    let one =
        |config| four_shards(config).set("pool", "max_connections", "1").set("runtime", "cpus", "\"0\"");
    on_each_server("sharding_one_connection", one, |stage| {
        stage.server.sql("SET GLOBAL max_allowed_packet = 67108864")?;
        let mut client = users(stage)?;
        for id in 4..100 {
            client.run(&format!("INSERT INTO users (user_id, name) VALUES ({id}, 'more')"))?;
        }
        let sql = "SELECT user_id, REPEAT('x', 1000000) FROM users";
        for (sql, count) in [(sql.to_owned(), 100), (format!("{sql} LIMIT 90"), 90)] {
            assert_long(&client.query(&sql)?.rows()?, count, 1_000_000);
        }
        assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "100");
        Ok(())
    })
}

/// Commands that are sent before the one in front is answered, and a client that leaves behind them.
#[test]
fn commands_that_are_sent_at_once() -> TestResult {
    on_each_server("sharding_pipelined", four_shards, |stage| {
        let mut client = users(stage)?;
        for _ in 0..20 {
            for sql in [
                "SELECT user_id, SLEEP(0.01) FROM users",
                "UPDATE users SET name = CONCAT('x', user_id)",
                "SELECT user_id FROM users ORDER BY user_id DESC",
            ] {
                client.send(command::QUERY, sql.as_bytes())?;
            }
            assert_whole(&client.read_pipelined_reply()?.rows()?);
            assert_eq!(client.read_pipelined_reply()?.status() & 1, 0);
            assert_whole(&client.read_pipelined_reply()?.rows()?);
        }
        // What was sent is done, as a server does it.
        client.send(command::QUERY, b"SELECT user_id, SLEEP(0.3) FROM users")?;
        client.send(command::QUERY, b"UPDATE users SET name = 'last'")?;
        client.send(command::QUIT, &[])?;
        drop(client);
        let mut other = self::client(stage)?;
        eventually("the write is done", PATIENCE, || {
            let count = other.scalar("SELECT COUNT(*) FROM users WHERE name = 'last'");
            match count.map_err(|error| error.to_string())?.as_str() {
                "4" => Ok(()),
                count => Err(count.to_owned()),
            }
        });
        Ok(())
    })
}

/// SIGTERM: what runs has its time, and no longer.
#[test]
fn athena_ends_in_the_middle_of_a_read() -> TestResult {
    for (name, slow, whole) in
        [("sharding_drain", "SLEEP(1.2)", true), ("sharding_drain_end", "SLEEP(60.9)", false)]
    {
        let configure = |config| four_shards(config).set("server", "drain_timeout_ms", "4000");
        on_each_server(name, configure, |stage| {
            let mut client = users(stage)?;
            client.send(command::QUERY, format!("SELECT user_id, {slow} FROM users").as_bytes())?;
            wait_for_parts(stage, slow, 2);
            stage.athena.signal(Signal::SIGTERM);
            match client.read_reply() {
                Ok(reply) => {
                    assert!(whole);
                    assert_whole(&reply.rows()?);
                }
                Err(error) => assert!(!whole, "{error}"),
            }
            assert!(stage.athena.wait(PATIENCE).is_some_and(|status| status.success()));
            Ok(())
        })?;
    }
    Ok(())
}
