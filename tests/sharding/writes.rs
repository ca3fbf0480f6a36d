//! Writes to several shards: all of it or nothing, and each row where its rule says.

use std::time::Duration;

use super::common::TestResult;
use super::common::stage::{Stage, on_each_server};
use super::common::wire::{Connection, Login, Value, capability};
use super::{SHARDED, sharded};

/// `ER_DUP_ENTRY`
const DUPLICATE: u16 = 1062;
/// `ER_NOT_SUPPORTED_YET`
const REFUSED: u16 = 1235;
/// `ER_TABLE_NOT_LOCKED`
const NOT_LOCKED: u16 = 1100;
/// `ER_LOCK_WAIT_TIMEOUT`
const LOCK_WAIT: u16 = 1205;
/// `ER_NO_SUCH_TABLE`
const NO_SUCH_TABLE: u16 = 1146;

fn stage_with_users(stage: &Stage) -> TestResult<Connection> {
    stage.server.sql(&format!("CREATE DATABASE {SHARDED}"))?;
    let mut client = stage.login(&Login::app().database(SHARDED))?;
    client.run("CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(20) UNIQUE)")?;
    client.run("INSERT INTO users (user_id, name) VALUES (0, 'a'), (1, 'b'), (2, 'c'), (-1, 'd')")?;
    Ok(client)
}

fn rows(stage: &Stage, shard: u32) -> TestResult<String> {
    Ok(stage
        .server
        .sql(&format!("SELECT GROUP_CONCAT(user_id ORDER BY user_id) FROM {SHARDED}.users_{shard}"))?)
}

fn code(client: &mut Connection, sql: &str) -> Option<u16> {
    client.run(sql).err().and_then(|error| error.code())
}

#[test]
fn rows_are_where_the_rule_says() -> TestResult {
    on_each_server(
        "sharding_rows",
        |config| sharded(config, "mod", "shard_count = 4\n"),
        |stage| {
            let mut client = stage_with_users(stage)?;
            let places = (0..4).map(|shard| rows(stage, shard)).collect::<Result<Vec<_>, _>>()?;
            assert_eq!(places, ["0", "1", "2", "-1"]);
            assert_eq!(client.scalar("SELECT name FROM users WHERE user_id = '-1'")?, "d");
            assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "4");
            Ok(())
        },
    )
}

#[test]
fn all_or_nothing() -> TestResult {
    on_each_server(
        "sharding_all",
        |config| sharded(config, "mod", "shard_count = 4\n"),
        |stage| {
            let mut client = stage_with_users(stage)?;
            let bad = "INSERT INTO users (user_id, name) VALUES (4, 'e'), (5, 'f'), (-1, 'g')";
            assert_eq!(code(&mut client, bad), Some(DUPLICATE));
            assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "4");
            client.run("BEGIN")?;
            client.run("INSERT INTO users (user_id, name) VALUES (8, 'h')")?;
            assert_eq!(code(&mut client, bad), Some(DUPLICATE));
            assert_eq!(
                client.scalar("SELECT COUNT(*) FROM users")?,
                "5",
                "of the transaction, and of it alone"
            );
            client.run("COMMIT")?;
            assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "5");
            client.run("SET autocommit = 0")?;
            assert_eq!(code(&mut client, bad), Some(DUPLICATE));
            client.run("UPDATE users SET name = CONCAT(name, '!')")?;
            client.run("ROLLBACK")?;
            assert_eq!(client.scalar("SELECT COUNT(*) FROM users WHERE name LIKE '%!'")?, "0");
            client.run("SET autocommit = 1")?;
            let ok = client.query("UPDATE users SET name = CONCAT(name, '!')")?.ok()?;
            assert_eq!(ok.affected_rows, 5);
            assert_eq!(client.scalar("SELECT COUNT(*) FROM users WHERE name LIKE '%!'")?, "5");
            // Characteristics of the next transaction are not the transaction.
            client.run("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")?;
            assert_eq!(code(&mut client, bad), Some(DUPLICATE));
            assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "5");
            // Nor are locks given up for one.
            client.run("CREATE TABLE places (place INT)")?;
            client.run("LOCK TABLES places WRITE")?;
            assert_eq!(code(&mut client, "UPDATE users SET name = 'x'"), Some(NOT_LOCKED));
            let mut other = stage.login(&Login::app().database(SHARDED))?;
            other.run("SET lock_wait_timeout = 1")?;
            assert_eq!(code(&mut other, "INSERT INTO places VALUES (1)"), Some(LOCK_WAIT));
            client.run("UNLOCK TABLES")?;
            assert_eq!(client.scalar("SELECT COUNT(*) FROM users WHERE name = 'x'")?, "0");
            // Nobody is left in a transaction.
            assert_eq!(stage.server.sql("SELECT COUNT(*) FROM information_schema.INNODB_TRX")?, "0");
            Ok(())
        },
    )
}

/// A read without autocommit begins a transaction on its link: on that of the session, and on no other, which somebody else would
/// find it on.
#[test]
fn a_read_begins_one_transaction() -> TestResult {
    on_each_server(
        "sharding_read",
        |config| sharded(config, "mod", "shard_count = 4\n"),
        |stage| {
            let mut client = stage_with_users(stage)?;
            let transactions = || {
                // The table is as old as that where somebody has just read it.
                std::thread::sleep(Duration::from_millis(200));
                stage.server.sql("SELECT COUNT(*) FROM information_schema.INNODB_TRX")
            };
            // There are links for all parts.
            for _ in 0..5 {
                assert_eq!(client.scalar("SELECT COUNT(*) FROM users WHERE SLEEP(0.05) = 0")?, "4");
            }
            client.run("SET autocommit = 0")?;
            for _ in 0..5 {
                assert_eq!(client.scalar("SELECT COUNT(*) FROM users WHERE SLEEP(0.05) = 0")?, "4");
                assert_eq!(transactions()?, "1");
                client.run("ROLLBACK")?;
                assert_eq!(transactions()?, "0");
            }
            // Others see what has been committed since.
            client.scalar("SELECT COUNT(*) FROM users")?;
            let mut other = stage.login(&Login::app().database(SHARDED))?;
            other.run("UPDATE users SET name = 'changed' WHERE user_id = 1")?;
            for _ in 0..8 {
                assert_eq!(other.scalar("SELECT COUNT(*) FROM users WHERE name = 'changed'")?, "1");
            }
            client.run("COMMIT")?;
            Ok(())
        },
    )
}

#[test]
fn what_is_refused_does_nothing() -> TestResult {
    on_each_server(
        "sharding_refused",
        |config| sharded(config, "mod", "shard_count = 4\n"),
        |stage| {
            let mut client = stage_with_users(stage)?;
            for sql in [
                "INSERT INTO users VALUES (9)",
                "INSERT INTO users (user_id, name) VALUES (NULL, 'i')",
                "INSERT INTO users (user_id, name) VALUES ('9x', 'i')",
                "INSERT INTO users (user_id, name) VALUES (9.5, 'i')",
                "INSERT INTO users (user_id, name) VALUES (1 + 8, 'i')",
                "INSERT INTO users (name) VALUES ('i')",
                "UPDATE users SET user_id = 9 WHERE user_id = 0",
                "DELETE FROM users LIMIT 1",
                "DELETE FROM users ORDER BY user_id LIMIT 1",
                "SELECT JSON_ARRAYAGG(name) FROM users",
                "SELECT name, ROW_NUMBER() OVER (ORDER BY name) FROM users",
                "SELECT * FROM users WHERE user_id = 0 UNION SELECT * FROM users WHERE user_id = 1",
                "LOCK TABLES users WRITE",
                "CREATE TEMPORARY TABLE users (user_id INT)",
                "CREATE VIEW v AS SELECT * FROM users",
                "SELECT * FROM users; DELETE FROM users",
            ] {
                let error = client.run(sql).expect_err(sql);
                assert_eq!(error.code(), Some(REFUSED), "{sql}: {error}");
                assert!(error.to_string().len() > 40, "{sql}: it says what to change: {error}");
            }
            let refused = stage.athena.metric("athena_sharded_statements_total", &[("shards", "refused")])?;
            assert!(refused >= 16.0, "{refused}");
            assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "4");
            // Each shard would give as many.
            client.run("SET sql_select_limit = 1")?;
            assert_eq!(code(&mut client, "SELECT name FROM users"), Some(REFUSED));
            let prepared = client.prepare("SELECT name FROM users WHERE user_id < ?")?;
            let error = client.execute(&prepared, &[Value::Int(3)]).expect_err("a limit of rows");
            assert_eq!(error.code(), Some(REFUSED));
            assert_eq!(client.scalar("SELECT name FROM users WHERE user_id = 1")?, "b");
            client.run("SET sql_select_limit = DEFAULT")?;
            assert_eq!(client.query("SELECT name FROM users")?.rows()?.rows.len(), 4);
            stage.assert_serves()
        },
    )
}

/// The order of the columns is the server's to say, also when somebody changes it behind Athena's back.
#[test]
fn an_insert_without_a_list_of_columns() -> TestResult {
    on_each_server(
        "sharding_unlisted",
        |config| sharded(config, "mod", "shard_count = 4\n"),
        |stage| {
            stage.server.sql(&format!("CREATE DATABASE {SHARDED}"))?;
            let mut client = stage.login(&Login::app().database(SHARDED))?;
            client.run(
                "CREATE TABLE users (a INT, hidden INT INVISIBLE DEFAULT 7, user_id BIGINT PRIMARY KEY, \
                 twice INT GENERATED ALWAYS AS (a * 2) STORED, `b``c` VARCHAR(10))",
            )?;
            let ok =
                client.query("INSERT INTO users VALUES (1, 0, DEFAULT, 'x'), (2, 1, DEFAULT, 'y')")?.ok()?;
            assert_eq!((ok.affected_rows, ok.warnings), (2, 0));
            client.run(&format!("REPLACE INTO {SHARDED} . users VALUE (3, 5, DEFAULT, 'z')"))?;
            let ok = client.query("INSERT IGNORE users VALUES (9, 5, DEFAULT, 'no')")?.ok()?;
            assert_eq!(ok.affected_rows, 0);
            client.run("INSERT INTO users VALUES (4, 7, DEFAULT, 'q') ON DUPLICATE KEY UPDATE a = 1")?;
            let prepared = client.prepare("INSERT INTO users VALUES (?, ?, DEFAULT, ?)")?;
            for id in 10..14 {
                client.execute(&prepared, &[Value::Int(1), Value::Int(id), Value::text("p")])?.ok()?;
            }
            client
                .run("INSERT INTO users SELECT a, user_id + 0, 1, 'no' FROM users")
                .expect_err("an expression");
            assert_eq!(rows(stage, 1)?, "1,5,13");
            assert_eq!(
                client.scalar(
                    "SELECT CONCAT_WS('/', a, hidden, user_id, twice, `b``c`) FROM users WHERE user_id = 5"
                )?,
                "3/7/5/6/z"
            );
            // Now the key is first, and the statements of before mean something else.
            for shard in 0..4 {
                stage.server.sql(&format!(
                    "ALTER TABLE {SHARDED}.users_{shard} DROP COLUMN twice, MODIFY user_id BIGINT FIRST"
                ))?;
            }
            for begin in ["SELECT 1", "BEGIN", "SET autocommit = 0"] {
                client.run(begin)?;
                client.run("INSERT INTO users VALUES (22, 1, 'x'), (23, 0, 'y')")?;
                assert_eq!(client.scalar("SELECT a FROM users WHERE user_id = 22")?, "1");
                assert_eq!(client.scalar("SELECT COUNT(*) FROM users WHERE user_id IN (22, 23)")?, "2");
                client.run("DELETE FROM users WHERE user_id > 20")?;
                client.run("COMMIT")?;
            }
            client.run("SET autocommit = 1")?;
            // What is asked in between is nobody's to see.
            client.run("SELECT SQL_CALC_FOUND_ROWS user_id FROM users WHERE user_id = 5 LIMIT 1")?;
            client.run("INSERT INTO users VALUES (30, 1, 'x')")?;
            assert_eq!(client.scalar("SELECT FOUND_ROWS()")?, "1");
            assert_eq!(code(&mut client, "INSERT INTO users VALUES (31, 1)"), Some(REFUSED));
            client.run("DROP TABLE users")?;
            let error = client.run("INSERT INTO users VALUES (1, 2, 'x')").expect_err("there is none");
            assert_eq!(error.code(), Some(NO_SUCH_TABLE));
            assert!(!error.to_string().contains("users_0"), "{error}");
            assert_eq!(stage.server.sql("SELECT COUNT(*) FROM information_schema.INNODB_TRX")?, "0");
            stage.assert_serves()
        },
    )
}

/// Each shard draws ids by itself; the client is told the first one, and that is LAST_INSERT_ID().
#[test]
fn the_id_of_an_insert_is_that_of_its_first_part() -> TestResult {
    on_each_server(
        "sharding_ids",
        |config| sharded(config, "mod", "shard_count = 4\n"),
        |stage| {
            stage.server.sql(&format!("CREATE DATABASE {SHARDED}"))?;
            let mut client = stage.login(&Login::app().database(SHARDED))?;
            client.run("CREATE TABLE users (user_id BIGINT, id INT PRIMARY KEY AUTO_INCREMENT)")?;
            for shard in 0..4 {
                let start = 1000 * (shard + 1);
                stage.server.sql(&format!("ALTER TABLE {SHARDED}.users_{shard} AUTO_INCREMENT = {start}"))?;
            }
            let prepared = client.prepare("INSERT INTO users (user_id) VALUES (?), (?), (?)")?;
            for begin in ["SELECT 1", "BEGIN"] {
                client.run(begin)?;
                for _ in 0..2 {
                    let ok = client.query("INSERT INTO users (user_id) VALUES (3), (1), (2)")?.ok()?;
                    assert_eq!(ok.last_insert_id / 1000, 2);
                    assert_eq!(client.scalar("SELECT LAST_INSERT_ID()")?, ok.last_insert_id.to_string());
                    let ok = client.execute(&prepared, &[3, 1, 2].map(Value::Int))?.ok()?;
                    assert_eq!(ok.last_insert_id / 1000, 2);
                    assert_eq!(client.scalar("SELECT LAST_INSERT_ID()")?, ok.last_insert_id.to_string());
                }
                client.run("COMMIT")?;
            }
            Ok(())
        },
    )
}

#[test]
fn definitions_are_for_all_shards() -> TestResult {
    on_each_server(
        "sharding_ddl",
        |config| sharded(config, "mod", "shard_count = 4\n"),
        |stage| {
            let mut client = stage_with_users(stage)?;
            client.run("ALTER TABLE users ADD COLUMN born DATE")?;
            client.run("CREATE INDEX by_born ON users (born)")?;
            for shard in 0..4 {
                let sql = format!(
                    "SELECT COUNT(*) FROM information_schema.STATISTICS WHERE TABLE_NAME = 'users_{shard}' AND INDEX_NAME = 'by_born'"
                );
                assert_eq!(stage.server.sql(&sql)?, "1");
            }
            // One of them is not as the others.
            stage.server.sql(&format!("DROP INDEX by_born ON {SHARDED}.users_2"))?;
            let error = client.run("DROP INDEX by_born ON users").expect_err("there is none on a shard");
            let message = error.to_string();
            assert!(
                message.contains("on shard 2; done on shard 0, shard 1, not tried on 1 more"),
                "{message}"
            );
            assert!(!message.contains("users_2"), "{message}");
            client.run("TRUNCATE TABLE users")?;
            assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "0");
            client.run("DROP TABLE users")?;
            assert_eq!(code(&mut client, "SELECT * FROM users"), Some(NO_SUCH_TABLE));
            Ok(())
        },
    )
}

/// A MariaDB tells clients that ask for it how far a long statement has come, in packets that look like errors.
#[test]
fn reports_of_progress_are_no_errors() -> TestResult {
    let stage = Stage::start_with("sharding_progress", |config| sharded(config, "mod", "shard_count = 4\n"))?;
    stage.server.sql(&format!("CREATE DATABASE {SHARDED}"))?;
    let login = Login::app().database(SHARDED).with_extended(capability::EXTENDED_PROGRESS);
    let mut client = stage.login(&login)?;
    client.run("CREATE TABLE users (user_id INT PRIMARY KEY, name VARCHAR(100))")?;
    stage.server.sql(&format!(
        "INSERT INTO {SHARDED}.users_1 SELECT seq * 4 + 1, REPEAT('x', 100) FROM {SHARDED}.seq_1_to_1200000"
    ))?;
    client.run("SET progress_report_time = 1")?;
    let ok = client.query("ALTER TABLE users MODIFY name VARCHAR(120), ALGORITHM=COPY")?.ok()?;
    assert_eq!(ok.affected_rows, 1_200_000);
    assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "1200000");
    Ok(())
}

#[test]
fn prepared_statements_find_their_shards() -> TestResult {
    on_each_server(
        "sharding_prepared",
        |config| sharded(config, "mod", "shard_count = 4\n"),
        |stage| {
            let mut client = stage_with_users(stage)?;
            let select = client.prepare("SELECT name FROM users WHERE user_id = ?")?;
            let between = client
                .prepare("SELECT user_id FROM users WHERE user_id BETWEEN ? AND ? ORDER BY user_id DESC")?;
            let insert = client.prepare("INSERT INTO users (user_id, name) VALUES (?, ?)")?;
            for round in 0..3 {
                for number in 10..20 {
                    let id = round * 100 + number;
                    let ok =
                        client.execute(&insert, &[Value::Int(id), Value::text(&format!("n{id}"))])?.ok()?;
                    assert_eq!(ok.affected_rows, 1);
                    let name = client.execute(&select, &[Value::Int(id)])?.rows()?.scalar()?;
                    assert_eq!(name, Value::text(&format!("n{id}")));
                    let as_text =
                        client.execute(&select, &[Value::text(&id.to_string())])?.rows()?.scalar()?;
                    assert_eq!(as_text, name);
                }
                let found = client.execute(&between, &[Value::Int(12), Value::Int(15)])?.rows()?.rows;
                let ids: Vec<_> = found.into_iter().map(|row| row[0].clone()).collect();
                assert_eq!(ids, [15, 14, 13, 12].map(Value::Int));
            }
            let none = client.execute(&select, &[Value::Null])?.rows()?.rows;
            assert!(none.is_empty());
            Ok(())
        },
    )
}
