//! What goes wrong in the middle of a statement of several shards: never a part of an answer, never something left behind.

use std::thread;
use std::time::Duration;

use athena_perf::proxy::AthenaConfig;

use super::common::stage::{Stage, on_each_server};
use super::common::wire::{self, Connection, Login, ResultSet, Value, command, status};
use super::common::{PATIENCE, TestResult, eventually, join};
use super::{SHARDED, sharded};

const INTERRUPTED: u16 = 1317;
const NO_SUCH_TABLE: u16 = 1146;
const STATEMENT_TIMEOUT: u16 = 1969;
const QUERY_TIMEOUT: u16 = 3024;
const REFUSED: u16 = 1235;

/// Much less than the statements would take. On a busy machine a KILL has to wait for its turn as well.
const GONE_WITHIN: Duration = Duration::from_secs(12);

/// `users` has four.
pub(super) fn four_shards(config: AthenaConfig) -> AthenaConfig {
    sharded(config, "mod", "shard_count = 4\n")
}

pub(super) fn client(stage: &Stage) -> wire::Result<Connection> {
    stage.login(&Login::app().database(SHARDED))
}

/// A client, and `users` with one row on each shard.
pub(super) fn users(stage: &Stage) -> TestResult<Connection> {
    stage.server.sql(&format!("CREATE DATABASE {SHARDED}"))?;
    let mut client = client(stage)?;
    client.run("CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(200))")?;
    client.run("INSERT INTO users (user_id, name) VALUES (0, 'a'), (1, 'b'), (2, 'c'), (3, 'd')")?;
    Ok(client)
}

/// The server's ids of the connections on which parts of a statement run.
fn parts_of(stage: &Stage, text: &str) -> Result<Vec<String>, String> {
    let sql = format!(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE '%{text}%' AND INFO NOT LIKE '%PROCESSLIST%'"
    );
    let list = stage.server.sql(&sql).map_err(|error| error.to_string())?;
    Ok(list.split_whitespace().map(str::to_owned).collect())
}

pub(super) fn wait_for_parts(stage: &Stage, text: &str, least: usize) -> Vec<String> {
    eventually("parts of the statement run", PATIENCE, || {
        let parts = parts_of(stage, text)?;
        if parts.len() >= least { Ok(parts) } else { Err(format!("{parts:?}")) }
    })
}

pub(super) fn assert_gone(stage: &Stage, text: &str) {
    eventually("no part of the statement runs", GONE_WITHIN, || {
        let parts = parts_of(stage, text)?;
        if parts.is_empty() { Ok(()) } else { Err(format!("{parts:?}")) }
    });
}

pub(super) fn code(outcome: &wire::Result<wire::Reply>) -> Option<u16> {
    outcome.as_ref().err().and_then(wire::Error::code)
}

/// All rows are there, and another statement has nothing of what was before.
fn assert_usable(client: &mut Connection) -> TestResult {
    assert_eq!(client.scalar("SELECT 'usable'")?, "usable");
    assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "4");
    assert_eq!(client.query("SELECT user_id FROM users")?.rows()?.rows.len(), 4);
    Ok(())
}

fn execution_of(client: &mut Connection, sql: &str) -> TestResult<Vec<u8>> {
    Ok(client.prepare(sql)?.execution(&[]))
}

#[test]
fn a_client_that_leaves_takes_its_parts_along() -> TestResult {
    on_each_server("sharding_leaves", four_shards, |stage| {
        let mut other = users(stage)?;
        assert_usable(&mut other)?;
        let before = stage.settled_census();
        for (round, in_transaction, prepared) in
            [(0, false, false), (1, true, false), (2, false, true), (3, false, false)]
        {
            let text = format!("SLEEP(60.{round})");
            let sql = format!("SELECT user_id, {text} FROM users");
            let mut client = client(stage)?;
            if in_transaction {
                client.run("BEGIN")?;
            }
            if prepared {
                let arguments = execution_of(&mut client, &sql)?;
                client.send(command::STMT_EXECUTE, &arguments)?;
            } else {
                client.send(command::QUERY, sql.as_bytes())?;
            }
            wait_for_parts(stage, &text, if in_transaction { 1 } else { 2 });
            drop(client);
            assert_gone(stage, &text);
            assert_usable(&mut other)?;
        }
        stage.assert_back_to(before);
        stage.assert_serves()
    })
}

#[test]
fn a_client_that_leaves_in_the_middle_of_large_results() -> TestResult {
    on_each_server("sharding_leaves_rows", four_shards, |stage| {
        let mut other = users(stage)?;
        let rows: Vec<_> = (4..2000).map(|id| format!("({id}, 'x')")).collect();
        other.run(&format!("INSERT INTO users (user_id, name) VALUES {}", rows.join(", ")))?;
        let before = stage.settled_census();
        for begin in ["SELECT 1", "BEGIN"] {
            let mut client = client(stage)?;
            client.run(begin)?;
            let sql = b"SELECT user_id, REPEAT('x', 30000), SLEEP(0.05) FROM users";
            client.send(command::QUERY, sql)?;
            wait_for_parts(stage, "SLEEP(0.05)", 1);
            thread::sleep(Duration::from_millis(700));
            drop(client);
            assert_gone(stage, "SLEEP(0.05)");
        }
        stage.assert_back_to(before);
        assert_eq!(other.scalar("SELECT COUNT(*) FROM users")?, "2000");
        stage.assert_serves()
    })
}

#[test]
fn parts_run_at_the_same_time() -> TestResult {
    on_each_server("sharding_at_once", four_shards, |stage| {
        let mut client = users(stage)?;
        for prepared in [false, true] {
            let text = if prepared { "SLEEP(2.2)" } else { "SLEEP(2.1)" };
            let sql = format!("SELECT user_id, {text} FROM users");
            if prepared {
                let arguments = execution_of(&mut client, &sql)?;
                client.send(command::STMT_EXECUTE, &arguments)?;
                wait_for_parts(stage, text, 2);
                assert_eq!(client.read_binary_reply()?.rows()?.rows.len(), 4);
            } else {
                client.send(command::QUERY, sql.as_bytes())?;
                wait_for_parts(stage, text, 2);
                assert_eq!(client.read_reply()?.rows()?.rows.len(), 4);
            }
        }
        Ok(())
    })
}

#[test]
fn kill_query_ends_all_parts() -> TestResult {
    on_each_server("sharding_kill_query", four_shards, |stage| {
        let mut client = users(stage)?;
        let mut killer = self::client(stage)?;
        let id = client.greeting().connection_id;
        for (round, begin) in ["SELECT 1", "BEGIN", "SELECT 1", "SELECT 1"].into_iter().enumerate() {
            client.run(begin)?;
            // Of the last two, all but one part end at once: that of the session's own link, or one beside it.
            let text = format!("SLEEP(30.{round})");
            let slow = match round {
                2 => format!("IF(user_id = 0, {text}, 0)"),
                3 => format!("IF(user_id = 3, {text}, 0)"),
                _ => text.clone(),
            };
            client.send(command::QUERY, format!("SELECT user_id, {slow} FROM users").as_bytes())?;
            wait_for_parts(stage, &text, 1);
            thread::sleep(Duration::from_millis(100 * round as u64));
            killer.run(&format!("KILL QUERY {id}"))?;
            let outcome = client.read_reply();
            assert_eq!(code(&outcome), Some(INTERRUPTED), "round {round}: {outcome:?}");
            assert_gone(stage, &text);
            assert_usable(&mut client)?;
            client.run("COMMIT")?;
        }
        Ok(())
    })
}

/// However many KILLs meet it, and whenever: a read has all of its rows or none, and nobody else is hit.
#[test]
fn late_kills_meet_nobody_else() -> TestResult {
    on_each_server("sharding_kill_storm", four_shards, |stage| {
        let mut client = users(stage)?;
        let (mut killer, mut other) = (self::client(stage)?, self::client(stage)?);
        let id = client.greeting().connection_id;
        let over = std::sync::atomic::AtomicBool::new(false);
        let (is_over, stop) = (|| over.load(std::sync::atomic::Ordering::Relaxed), &over);
        let hits = thread::scope(|scope| -> TestResult<usize> {
            let kills = scope.spawn(move || -> TestResult {
                for round in 0..600 {
                    killer.run(&format!("KILL QUERY {id}"))?;
                    thread::sleep(Duration::from_millis(round % 7));
                }
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
                Ok(())
            });
            let others = scope.spawn(|| -> TestResult {
                while !is_over() {
                    assert_slept(other.query("SELECT user_id, SLEEP(0.001) FROM users")?.rows()?);
                }
                Ok(())
            });
            let mut hits = 0;
            while !is_over() {
                match client.query("SELECT user_id, SLEEP(0.002) FROM users") {
                    Ok(reply) => assert_slept(reply.rows()?),
                    Err(error) => {
                        assert_eq!(error.code(), Some(INTERRUPTED), "{error}");
                        hits += 1;
                    }
                }
            }
            join(kills)?;
            join(others)?;
            Ok(hits)
        })?;
        assert!(hits > 0, "some met it");
        assert_usable(&mut client)?;
        stage.assert_serves()
    })
}

fn assert_slept(rows: ResultSet) {
    assert_eq!(rows.rows.len(), 4, "{rows:?}");
    assert!(rows.rows.iter().all(|row| row[1].to_string() == "0"), "{rows:?}");
}

#[test]
fn kill_ends_the_session_and_all_parts() -> TestResult {
    on_each_server("sharding_kill", four_shards, |stage| {
        let mut killer = users(stage)?;
        assert_usable(&mut killer)?;
        let before = stage.settled_census();
        for (round, begin) in ["SELECT 1", "BEGIN", "SELECT 1"].into_iter().enumerate() {
            let mut client = client(stage)?;
            client.run(begin)?;
            let text = format!("SLEEP(40.{round})");
            let slow = if round == 2 { format!("IF(user_id = 3, {text}, 0)") } else { text.clone() };
            client.send(command::QUERY, format!("SELECT user_id, {slow} FROM users").as_bytes())?;
            wait_for_parts(stage, &text, 1);
            killer.run(&format!("KILL {}", client.greeting().connection_id))?;
            assert!(client.read_reply().is_err());
            assert!(client.query("SELECT 1").is_err(), "it has ended");
            assert_gone(stage, &text);
        }
        stage.assert_back_to(before);
        assert_usable(&mut killer)
    })
}

#[test]
fn reads_that_take_too_long() -> TestResult {
    // A starved server may take a while to say that it has ended a statement.
    let limited = |config| {
        four_shards(config).set("pool", "query_timeout_ms", "900").set(
            "pool",
            "query_kill_timeout_ms",
            "20000",
        )
    };
    on_each_server("sharding_timeout", limited, |stage| {
        let mut client = users(stage)?;
        let mariadb = client.greeting().version.contains("MariaDB");
        let wanted = Some(if mariadb { STATEMENT_TIMEOUT } else { QUERY_TIMEOUT });
        for (round, begin, slow) in [
            (0, "SELECT 1", "SLEEP(50.0)"),
            (1, "BEGIN", "SLEEP(50.1)"),
            (2, "SELECT 1", "IF(user_id = 0, SLEEP(50.2), 0)"),
            (3, "SELECT 1", "IF(user_id = 3, SLEEP(50.3), 0)"),
            (4, "SELECT 1", "IF(user_id IN (1, 2), SLEEP(50.4), 0)"),
            // One after the other, each part is quick enough.
            (5, "BEGIN", "SLEEP(0.5)"),
        ] {
            client.run(begin)?;
            let sql = format!("SELECT user_id, {slow} FROM users");
            let outcome = client.query(&sql);
            assert_eq!(code(&outcome), wanted, "round {round}: {outcome:?}");
            let message = outcome.expect_err("it failed").to_string();
            assert!(message.contains("query_timeout_ms"), "{message}");
            assert_gone(stage, "SLEEP(50");
            assert_usable(&mut client)?;
            client.run("COMMIT")?;
            let statement = client.prepare(&sql)?;
            client.run(begin)?;
            let outcome = client.execute(&statement, &[]);
            assert_eq!(code(&outcome), wanted, "round {round}, prepared: {outcome:?}");
            assert_gone(stage, "SLEEP(50");
            assert_usable(&mut client)?;
            client.run("COMMIT")?;
        }
        Ok(())
    })
}

#[test]
fn writes_that_take_too_long_leave_nothing() -> TestResult {
    // A starved server may take a while to say that it has ended a statement.
    let limited = |config| {
        four_shards(config).set("pool", "query_timeout_ms", "900").set(
            "pool",
            "query_kill_timeout_ms",
            "20000",
        )
    };
    on_each_server("sharding_write_timeout", limited, |stage| {
        let mut client = users(stage)?;
        let mut other = self::client(stage)?;
        let mariadb = client.greeting().version.contains("MariaDB");
        let wanted = Some(if mariadb { STATEMENT_TIMEOUT } else { QUERY_TIMEOUT });
        other.run("BEGIN")?;
        other.run("UPDATE users SET name = 'locked' WHERE user_id = 2")?;
        let outcome = client.query("UPDATE users SET name = 'late'");
        assert_eq!(code(&outcome), wanted, "{outcome:?}");
        assert_eq!(client.query("SELECT 1")?.status() & status::IN_TRANSACTION, 0);
        client.run("BEGIN")?;
        client.run("UPDATE users SET name = 'mine' WHERE user_id = 0")?;
        let outcome = client.query("UPDATE users SET name = 'late'");
        assert_eq!(code(&outcome), wanted, "{outcome:?}");
        other.run("ROLLBACK")?;
        client.run("COMMIT")?;
        let names = client.query("SELECT name FROM users ORDER BY user_id")?.rows()?.rows;
        assert_eq!(names.concat(), ["mine", "b", "c", "d"].map(Value::text));
        Ok(())
    })
}

/// KILL QUERY while a write of several shards runs: all or nothing.
#[test]
fn kill_query_of_a_write_leaves_nothing() -> TestResult {
    on_each_server("sharding_kill_write", four_shards, |stage| {
        let mut client = users(stage)?;
        let mut killer = self::client(stage)?;
        let id = client.greeting().connection_id;
        for round in 0..12 {
            let sql = format!("UPDATE users SET name = CONCAT('round {round}', SLEEP(0.05))");
            client.send(command::QUERY, sql.as_bytes())?;
            thread::sleep(Duration::from_millis(20 * round));
            killer.run(&format!("KILL QUERY {id}"))?;
            let outcome = client.read_reply();
            let sql = format!("SELECT COUNT(*) FROM users WHERE name LIKE 'round {round}%'");
            let count = killer.scalar(&sql)?;
            match outcome {
                Ok(_) => assert_eq!(count, "4"),
                Err(error) => {
                    assert_eq!(error.code(), Some(INTERRUPTED), "{error}");
                    assert_eq!(count, "0", "round {round}: {error}");
                }
            }
            assert_eq!(client.query("SELECT 1")?.status() & status::IN_TRANSACTION, 0);
        }
        assert_usable(&mut client)
    })
}

#[test]
fn a_shard_without_its_table() -> TestResult {
    on_each_server("sharding_missing", four_shards, |stage| {
        let mut client = users(stage)?;
        stage.server.sql(&format!("RENAME TABLE {SHARDED}.users_2 TO {SHARDED}.away"))?;
        for begin in ["SELECT 1", "BEGIN"] {
            client.run(begin)?;
            for round in 0..20 {
                let sql = if round % 2 == 0 { "SELECT * FROM users" } else { "UPDATE users SET name = 'x'" };
                let error = client.query(sql).expect_err("there is no such table");
                assert_eq!(error.code(), Some(NO_SUCH_TABLE), "{error}");
                let message = error.to_string();
                assert!(message.contains("users'") && !message.contains("users_"), "{message}");
                assert_eq!(client.scalar("SELECT name FROM users WHERE user_id = 1")?, "b");
            }
            client.run("COMMIT")?;
        }
        stage.server.sql(&format!("RENAME TABLE {SHARDED}.away TO {SHARDED}.users_2"))?;
        assert_usable(&mut client)
    })
}

#[test]
fn a_shard_with_another_table() -> TestResult {
    on_each_server("sharding_altered", four_shards, |stage| {
        let mut client = users(stage)?;
        let statement = client.prepare("SELECT user_id, name FROM users")?;
        assert_eq!(client.execute(&statement, &[])?.rows()?.rows.len(), 4);
        for change in ["MODIFY name BIGINT", "DROP COLUMN name", "ADD COLUMN name INT, ADD COLUMN more INT"] {
            let sql =
                format!("UPDATE {SHARDED}.users_2 SET user_id = 2; ALTER TABLE {SHARDED}.users_2 {change}");
            stage.server.sql(&format!("SET sql_mode = ''; {sql}"))?;
            for begin in ["SELECT 1", "BEGIN"] {
                client.run(begin)?;
                for outcome in [client.query("SELECT * FROM users"), client.execute(&statement, &[])] {
                    let message = outcome.expect_err(change).to_string();
                    assert!(!message.contains("users_"), "{message}");
                    assert_eq!(client.scalar("SELECT user_id FROM users WHERE user_id = 1")?, "1");
                }
                client.run("COMMIT")?;
            }
        }
        assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "4");
        Ok(())
    })
}

#[test]
fn a_link_that_dies_in_the_middle_of_a_read() -> TestResult {
    on_each_server("sharding_dead_link", four_shards, |stage| {
        let mut other = users(stage)?;
        for round in 0..4 {
            let mut client = client(stage)?;
            let text = format!("SLEEP(20.{round})");
            client.send(command::QUERY, format!("SELECT user_id, {text} FROM users").as_bytes())?;
            let parts = wait_for_parts(stage, &text, 2);
            // The oldest one first, then others.
            let part = &parts[round % parts.len()];
            stage.server.sql(&format!("KILL {part}"))?;
            let outcome = client.read_reply();
            assert!(outcome.is_err(), "{outcome:?}");
            assert_gone(stage, &text);
            assert_usable(&mut client)?;
        }
        let mut client = client(stage)?;
        client.run("BEGIN")?;
        client.send(command::QUERY, b"SELECT user_id, SLEEP(20.5) FROM users")?;
        let parts = wait_for_parts(stage, "SLEEP(20.5)", 1);
        stage.server.sql(&format!("KILL {}", parts[0]))?;
        assert!(client.read_reply().is_err());
        assert_usable(&mut other)?;
        stage.assert_serves()
    })
}

#[test]
fn a_link_that_dies_in_the_middle_of_a_write() -> TestResult {
    on_each_server("sharding_dead_write", four_shards, |stage| {
        let mut other = users(stage)?;
        for (round, part) in ["users_0", "users_2", "users_3"].into_iter().enumerate() {
            let mut client = client(stage)?;
            let sql = format!("UPDATE users SET name = CONCAT('{round}', SLEEP(1))");
            client.send(command::QUERY, sql.as_bytes())?;
            let parts = wait_for_parts(stage, &format!("{part}%SLEEP(1)"), 1);
            stage.server.sql(&format!("KILL {}", parts[0]))?;
            assert!(client.read_reply().is_err());
            eventually("all is rolled back", PATIENCE, || {
                let open = stage.server.sql("SELECT COUNT(*) FROM information_schema.INNODB_TRX");
                let open = open.map_err(|error| error.to_string())?;
                if open == "0" { Ok(()) } else { Err(open) }
            });
            let names = other.query("SELECT name FROM users ORDER BY user_id")?.rows()?.rows;
            assert_eq!(names.concat(), ["a", "b", "c", "d"].map(Value::text));
        }
        assert_usable(&mut other)
    })
}

#[test]
fn rows_beyond_the_bound() -> TestResult {
    let bound = |config| four_shards(config).text("[sharding_defaults]\nmax_merge_rows = 10\n");
    on_each_server("sharding_bound", bound, |stage| {
        let mut client = users(stage)?;
        let rows: Vec<_> = (4..40).map(|id| format!("({id}, 'x')")).collect();
        client.run(&format!("INSERT INTO users (user_id, name) VALUES {}", rows.join(", ")))?;
        // Groups are kept; of rows, those of parts that can't run at the same time and that have an order.
        for (begin, sql) in [
            ("SELECT 1", "SELECT user_id * 2 AS n, COUNT(*) FROM users GROUP BY n"),
            ("BEGIN", "SELECT * FROM users ORDER BY name"),
            ("BEGIN", "SELECT * FROM users ORDER BY user_id DESC"),
        ] {
            let statement = client.prepare(sql)?;
            client.run(begin)?;
            client.run("UPDATE users SET name = 'kept' WHERE user_id = 4")?;
            for _ in 0..10 {
                for outcome in [client.query(sql), client.execute(&statement, &[])] {
                    assert_eq!(code(&outcome), Some(REFUSED), "{outcome:?}");
                    let message = outcome.expect_err("too many").to_string();
                    assert!(message.contains("max_merge_rows"), "{message}");
                    assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "40");
                    assert_eq!(client.scalar("SELECT name FROM users WHERE user_id = 4")?, "kept");
                }
            }
            let few = client.query("SELECT user_id FROM users ORDER BY user_id LIMIT 2")?.rows()?.rows;
            assert_eq!(few.concat(), ["0", "1"].map(Value::text));
            client.run("ROLLBACK")?;
        }
        Ok(())
    })
}
