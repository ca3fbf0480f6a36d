//! The commands of prepared statements, and what older clients get, where a statement is for several shards.

use super::common::TestResult;
use super::common::stage::on_each_server;
use super::common::wire::{Connection, Login, Value, capability, command};
use super::faults::{code, four_shards, users};
use super::{PLAIN, SHARDED};

const UNKNOWN_STATEMENT: u16 = 1243;
const REFUSED: u16 = 1235;
const NO_CURSOR: u16 = 1421;

const CURSOR_TYPE_READ_ONLY: u8 = 1;

/// Where an EXECUTE has its flags.
const FLAGS_AT: usize = 4;

fn ids(client: &mut Connection) -> TestResult<Vec<String>> {
    let rows = client.read_binary_reply()?.rows()?.rows;
    Ok(rows.iter().map(|row| row[0].to_string()).collect())
}

#[test]
fn cursors_are_declined() -> TestResult {
    on_each_server("sharding_cursor", four_shards, |stage| {
        let mut client = users(stage)?;
        let statement = client.prepare("SELECT user_id FROM users WHERE user_id >= ? ORDER BY user_id")?;
        for begin in ["SELECT 1", "BEGIN"] {
            client.run(begin)?;
            for from in 0..3 {
                let mut arguments = statement.execution(&[Value::Int(from)]);
                arguments[FLAGS_AT] = CURSOR_TYPE_READ_ONLY;
                client.send(command::STMT_EXECUTE, &arguments)?;
                let wanted: Vec<_> = (from..4).map(|id| id.to_string()).collect();
                assert_eq!(ids(&mut client)?, wanted);
                let fetch = [&statement.id.to_le_bytes()[..], &[10, 0, 0, 0]].concat();
                let outcome = client.command_binary(command::STMT_FETCH, &fetch);
                assert_eq!(code(&outcome), Some(NO_CURSOR), "{outcome:?}");
                // The same without one.
                let rows = client.execute(&statement, &[Value::Int(from)])?.rows()?.rows;
                assert_eq!(rows.len(), wanted.len());
                let rows = client.execute_as_before(&statement, &[Value::Int(3)])?.rows()?.rows;
                assert_eq!(rows.concat(), [Value::Int(3)]);
            }
            client.run("COMMIT")?;
        }
        Ok(())
    })
}

/// On one shard a cursor is the server's, and what the client has open there ends when the statement goes elsewhere.
#[test]
fn a_cursor_of_one_shard_and_then_several() -> TestResult {
    on_each_server("sharding_cursor_one", four_shards, |stage| {
        let mut client = users(stage)?;
        client.run("INSERT INTO users (user_id, name) VALUES (4, 'e'), (8, 'f')")?;
        let statement =
            client.prepare("SELECT user_id FROM users WHERE user_id IN (?, ?) ORDER BY user_id")?;
        for (pair, first) in [([0, 4], 2), ([0, 1], 2), ([4, 8], 2), ([2, 3], 2), ([1, 1], 1)] {
            let values = pair.map(Value::Int);
            let mut arguments = statement.execution(&values);
            arguments[FLAGS_AT] = CURSOR_TYPE_READ_ONLY;
            client.send(command::STMT_EXECUTE, &arguments)?;
            let rows = client.read_binary_reply()?.rows()?.rows;
            if rows.is_empty() {
                let fetch = [&statement.id.to_le_bytes()[..], &[1, 0, 0, 0]].concat();
                client.send(command::STMT_FETCH, &fetch)?;
                // A row and its end, or the end alone.
                client.stream().read_payload()?;
                client.stream().read_payload()?;
            } else {
                assert_eq!(rows.len(), first);
            }
            assert_eq!(client.execute(&statement, &values)?.rows()?.rows.len(), first);
        }
        Ok(())
    })
}

#[test]
fn types_of_before_and_others() -> TestResult {
    on_each_server("sharding_types", four_shards, |stage| {
        let mut client = users(stage)?;
        let statement = client.prepare("SELECT user_id, name FROM users WHERE name >= ? OR user_id = ?")?;
        for begin in ["SELECT 1", "BEGIN"] {
            client.run(begin)?;
            for _ in 0..3 {
                let rows = client.execute(&statement, &[Value::text("b"), Value::Int(0)])?.rows()?.rows;
                assert_eq!(rows.len(), 4);
                let again = [Value::text("d"), Value::Int(1)];
                assert_eq!(client.execute_as_before(&statement, &again)?.rows()?.rows.len(), 2);
                let others = [Value::text("c"), Value::text("0")];
                assert_eq!(client.execute(&statement, &others)?.rows()?.rows.len(), 3);
                assert_eq!(client.execute_as_before(&statement, &others)?.rows()?.rows.len(), 3);
                let null = [Value::Null, Value::Int(2)];
                assert_eq!(client.execute(&statement, &null)?.rows()?.rows.len(), 1);
            }
            client.run("COMMIT")?;
        }
        Ok(())
    })
}

#[test]
fn statements_keep_their_schema() -> TestResult {
    on_each_server("sharding_use", four_shards, |stage| {
        let mut client = users(stage)?;
        stage.server.sql(&format!("CREATE DATABASE {PLAIN}"))?;
        client.run(&format!("USE {PLAIN}"))?;
        client.run("CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(20))")?;
        client.run("INSERT INTO users (user_id, name) VALUES (7, 'plain')")?;
        client.run(&format!("USE {SHARDED}"))?;
        let read = client.prepare("SELECT name FROM users ORDER BY user_id")?;
        let write = client.prepare("UPDATE users SET name = CONCAT(name, ?)")?;
        for round in 0..4 {
            client.run(&format!("USE {}", [PLAIN, SHARDED][round % 2]))?;
            assert_eq!(client.execute(&write, &[Value::text("!")])?.ok()?.affected_rows, 4);
            let names = client.execute(&read, &[])?.rows()?.rows.concat();
            let marks = "!".repeat(round + 1);
            let wanted = ["a", "b", "c", "d"].map(|name| Value::text(&format!("{name}{marks}")));
            assert_eq!(names, wanted, "round {round}");
            let names = client.query("SELECT name FROM users ORDER BY user_id")?.rows()?.rows.concat();
            match round % 2 {
                0 => assert_eq!(names, [Value::text("plain")]),
                _ => assert_eq!(names, wanted),
            }
        }
        Ok(())
    })
}

#[test]
fn parameters_sent_ahead() -> TestResult {
    on_each_server("sharding_long_data", four_shards, |stage| {
        let mut client = users(stage)?;
        client.run("ALTER TABLE users MODIFY name LONGTEXT")?;
        for sql in [
            "SELECT user_id FROM users WHERE name = ?",
            "SELECT name FROM users WHERE user_id = 1 AND name <> ?",
        ] {
            let statement = client.prepare(sql)?;
            for _ in 0..3 {
                client.send_long_data(&statement, 0, b"a")?;
                let rows = client.execute(&statement, &[Value::LongData])?.rows()?.rows;
                assert_eq!(rows.len(), 1, "{sql}");
                // It is of one execution only.
                let rows = client.execute(&statement, &[Value::text("b")])?.rows()?.rows;
                assert_eq!(rows.len(), usize::from(sql.contains("SELECT user_id")), "{sql}");
                client.send_long_data(&statement, 0, b"x")?;
                client.command(command::STMT_RESET, &statement.id.to_le_bytes())?.ok()?;
                let rows = client.execute(&statement, &[Value::text("a")])?.rows()?.rows;
                assert_eq!(rows.len(), 1, "{sql}");
                // There is no such parameter.
                client.send_long_data(&statement, 1, b"x")?;
                assert!(client.execute(&statement, &[Value::text("a")]).is_err());
            }
        }
        // In pieces, for rows of several shards.
        let insert = client.prepare("INSERT INTO users (name, user_id) VALUES (?, ?), (?, ?)")?;
        for piece in 0..40 {
            client.send_long_data(&insert, 0, &vec![b'a'; 100_000 + piece])?;
            client.send_long_data(&insert, 2, b"z")?;
        }
        let values = [Value::LongData, Value::Int(10), Value::LongData, Value::Int(11)];
        assert_eq!(client.execute(&insert, &values)?.ok()?.affected_rows, 2);
        let sum = |shard: u32| {
            stage.server.sql(&format!(
                "SELECT CONCAT_WS(' ', user_id, LENGTH(name), LEFT(name, 1)) FROM {SHARDED}.users_{shard} WHERE user_id > 9"
            ))
        };
        assert_eq!([sum(2)?, sum(3)?], ["10 4000780 a", "11 40 z"]);
        // More than is collected.
        for _ in 0..5 {
            client.send_long_data(&insert, 0, &vec![b'a'; 4_000_000])?;
        }
        let outcome =
            client.execute(&insert, &[Value::LongData, Value::Int(20), Value::text("b"), Value::Int(21)]);
        assert_eq!(code(&outcome), Some(REFUSED), "{outcome:?}");
        assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "6");
        Ok(())
    })
}

#[test]
fn statements_end() -> TestResult {
    on_each_server("sharding_close", four_shards, |stage| {
        let mut client = users(stage)?;
        let sql = "SELECT user_id FROM users ORDER BY user_id";
        for begin in ["SELECT 1", "BEGIN"] {
            client.run(begin)?;
            let (kept, closed) = (client.prepare(sql)?, client.prepare(sql)?);
            for statement in [&kept, &closed, &kept] {
                assert_eq!(client.execute(statement, &[])?.rows()?.rows.len(), 4);
                client.command(command::STMT_RESET, &statement.id.to_le_bytes())?.ok()?;
            }
            client.close(&closed)?;
            assert_eq!(code(&client.execute(&closed, &[])), Some(UNKNOWN_STATEMENT));
            assert_eq!(client.execute(&kept, &[])?.rows()?.rows.len(), 4);
            client.command(command::RESET_CONNECTION, &[])?.ok()?;
            assert_eq!(code(&client.execute(&kept, &[])), Some(UNKNOWN_STATEMENT));
            let again = client.prepare(sql)?;
            assert_eq!(client.execute(&again, &[])?.rows()?.rows.len(), 4);
        }
        Ok(())
    })
}

#[test]
fn clients_that_know_no_other_end_than_eof() -> TestResult {
    on_each_server("sharding_eof", four_shards, |stage| {
        let mut modern = users(stage)?;
        let login = Login::app().database(SHARDED).without(capability::DEPRECATE_EOF);
        let mut client = stage.login(&login)?;
        for begin in ["SELECT 1", "BEGIN"] {
            client.run(begin)?;
            for sql in [
                "SELECT * FROM users ORDER BY user_id",
                "SELECT name, COUNT(*) FROM users GROUP BY name ORDER BY name",
                "SELECT user_id FROM users WHERE user_id < 0",
                "SELECT user_id FROM users ORDER BY user_id LIMIT 0",
                "SHOW TABLES",
                "SHOW TABLES LIKE 'u%'",
                "SHOW CREATE TABLE users",
                "SHOW COLUMNS FROM users",
                "DESCRIBE users",
            ] {
                let (theirs, ours) = (modern.query(sql)?.rows()?, client.query(sql)?.rows()?);
                assert_eq!((theirs.columns, theirs.rows), (ours.columns, ours.rows), "{sql}");
                assert_eq!(client.scalar("SELECT 'in step'")?, "in step", "{sql}");
                if sql.starts_with("SELECT") {
                    let (new, old) = (modern.prepare(sql)?, client.prepare(sql)?);
                    for _ in 0..2 {
                        let (theirs, ours) =
                            (modern.execute(&new, &[])?.rows()?, client.execute(&old, &[])?.rows()?);
                        assert_eq!((theirs.columns, theirs.rows), (ours.columns, ours.rows), "{sql}");
                    }
                }
            }
            let ok = client.query("UPDATE users SET name = CONCAT(name, '!')")?.ok()?;
            assert_eq!(ok.affected_rows, 4);
            client.run("ROLLBACK")?;
            client.run("UPDATE users SET name = REPLACE(name, '!', '')")?;
        }
        Ok(())
    })
}

/// What a session has set, and what it may ask about its statements before, is the same in all parts.
#[test]
fn all_parts_are_of_one_session() -> TestResult {
    on_each_server("sharding_session", four_shards, |stage| {
        let mut client = users(stage)?;
        client.run("CREATE TABLE drawn (id INT PRIMARY KEY AUTO_INCREMENT, a INT)")?;
        client.run("INSERT INTO users (user_id, name) VALUES (4, 'e'), (5, 'f'), (6, 'g'), (7, 'h')")?;
        // Links that others have used.
        let mut other = stage.login(&Login::app().database(SHARDED))?;
        other.run("SET @mine = 'theirs', time_zone = '-03:00'")?;
        other.run("INSERT INTO drawn (a) VALUES (1)")?;
        for round in 0..4 {
            other.scalar("SELECT COUNT(*) FROM users")?;
            client.run(&format!("SET @mine = 'ours{round}', time_zone = '+0{round}:00'"))?;
            client.run("INSERT INTO drawn (a) VALUES (1)")?;
            let id = client.scalar("SELECT LAST_INSERT_ID()")?;
            let sql = "SELECT user_id, LAST_INSERT_ID(), @mine, @@time_zone, DATABASE() FROM users";
            let statement = client.prepare(sql)?;
            for rows in [client.query(sql)?.rows()?, client.execute(&statement, &[])?.rows()?] {
                assert_eq!(rows.rows.len(), 8);
                for row in rows.rows {
                    let got = row[1..].iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
                    assert_eq!(got, format!("{id} ours{round} +0{round}:00 {SHARDED}"));
                }
            }
        }
        Ok(())
    })
}

/// A link keeps fewer statements than there are shards.
#[test]
fn links_that_keep_few_statements() -> TestResult {
    for (name, keeps) in [("sharding_keeps_1", "1"), ("sharding_keeps_3", "3")] {
        let few = |config| four_shards(config).set("pool", "max_prepared_statements", keeps);
        on_each_server(name, few, |stage| {
            let mut client = users(stage)?;
            let read = client.prepare("SELECT name FROM users WHERE user_id >= ? ORDER BY user_id")?;
            let write = client.prepare("UPDATE users SET name = CONCAT(name, ?)")?;
            for (round, begin) in ["SELECT 1", "BEGIN", "SELECT 1"].into_iter().enumerate() {
                client.run(begin)?;
                for _ in 0..2 {
                    let ok = client.execute(&write, &[Value::text("!")])?.ok()?;
                    assert_eq!(ok.affected_rows, 4);
                    assert_eq!(client.execute(&read, &[Value::Int(0)])?.rows()?.rows.len(), 4);
                    let names = client.execute_as_before(&read, &[Value::Int(2)])?.rows()?.rows;
                    assert_eq!(names.len(), 2, "round {round}");
                }
                client.run("COMMIT")?;
            }
            assert_eq!(client.scalar("SELECT name FROM users WHERE user_id = 3")?, "d!!!!!!");
            Ok(())
        })?;
    }
    Ok(())
}

/// What may be asked about a statement of several shards.
#[test]
fn questions_about_the_statement_before() -> TestResult {
    on_each_server("sharding_before", four_shards, |stage| {
        let mut client = users(stage)?;
        for begin in ["SELECT 1", "BEGIN"] {
            client.run(begin)?;
            client.run("UPDATE users SET name = CONCAT(name, '!') WHERE user_id <> 2")?;
            assert_eq!(client.scalar("SELECT ROW_COUNT()")?, "3");
            assert_eq!(client.query("SELECT user_id FROM users LIMIT 3")?.rows()?.rows.len(), 3);
            assert_eq!(client.scalar("SELECT FOUND_ROWS()")?, "3");
            client.run("SELECT user_id FROM users WHERE user_id > 0")?;
            assert_eq!(client.scalar("SELECT FOUND_ROWS()")?, "3");
            client.run("SELECT user_id FROM users")?;
            assert_eq!(client.scalar("SELECT ROW_COUNT()")?, "-1");
            assert!(client.query("SHOW WARNINGS")?.rows()?.rows.is_empty());
            client.run("SELECT CAST('x' AS SIGNED) FROM users")?;
            assert_eq!(client.scalar("SELECT @@warning_count")?, "4", "one of each shard");
            let error = client.query("UPDATE users SET name = REPEAT('x', 300)").expect_err("too long");
            let rows = client.query("SHOW WARNINGS")?.rows()?.rows;
            assert_eq!(rows.first().map(|row| row[1].to_string()), error.code().map(|code| code.to_string()));
            assert!(!rows.iter().any(|row| row[2].to_string().contains("users_")), "{rows:?}");
            client.run("ROLLBACK")?;
        }
        Ok(())
    })
}
