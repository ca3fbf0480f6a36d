//! What statements of several shards warn of: all of it, in the order of the shards.

use athena_perf::lab::Flavor;

use super::SHARDED;
use super::common::TestResult;
use super::common::stage::on_each_server;
use super::common::wire::{Connection, Login, Value};
use super::faults::{code, four_shards, users};

const DUPLICATE: u16 = 1062;
const CUT: &str = "1265";

/// The level, the code and the message of each.
fn listed(client: &mut Connection, sql: &str) -> TestResult<Vec<[String; 3]>> {
    let rows = client.query(sql)?.rows()?.rows;
    let row = |row: &Vec<Value>| [0, 1, 2].map(|at| row[at].to_string());
    let rows: Vec<_> = rows.iter().map(row).collect();
    assert!(!rows.iter().any(|row| row[2].contains("users_")), "{rows:?}");
    Ok(rows)
}

/// What is between the last quotes of each message.
fn quoted(client: &mut Connection, sql: &str) -> TestResult<String> {
    let of = |row: &[String; 3]| row[2].rsplit('\'').nth(1).unwrap_or_default().to_owned();
    Ok(listed(client, sql)?.iter().map(of).collect::<Vec<_>>().join(" "))
}

#[test]
fn warnings_of_all_parts() -> TestResult {
    on_each_server("sharding_warnings", four_shards, |stage| {
        if stage.server.flavor() == Flavor::MySql {
            // Who may set how many are listed.
            stage.server.sql("GRANT SESSION_VARIABLES_ADMIN ON *.* TO app")?;
        }
        let mut client = users(stage)?;
        // More links than one, which others have used.
        let mut other = stage.login(&Login::app().database(SHARDED))?;
        other.run("SELECT CAST('other' AS SIGNED) FROM users")?;
        let sql = "SELECT CAST(name AS SIGNED) FROM users";
        let statement = client.prepare(sql)?;
        for begin in ["SELECT 1", "BEGIN"] {
            for prepared in [false, true] {
                client.run(begin)?;
                let rows = match prepared {
                    true => client.execute(&statement, &[])?.rows()?.rows,
                    false => client.query(sql)?.rows()?.rows,
                };
                assert_eq!(rows.len(), 4);
                for _ in 0..2 {
                    assert_eq!(quoted(&mut client, "SHOW WARNINGS")?, "a b c d", "{begin}");
                    assert_eq!(quoted(&mut client, "SHOW WARNINGS LIMIT 1, 2")?, "b c");
                }
                assert_eq!(client.query("SHOW COUNT(*) WARNINGS")?.rows()?.rows, [[Value::text("4")]]);
                assert!(listed(&mut client, "SHOW ERRORS")?.is_empty());
                client.run("GET DIAGNOSTICS @n = NUMBER")?;
                client.run("GET DIAGNOSTICS CONDITION 3 @code = MYSQL_ERRNO, @message = MESSAGE_TEXT")?;
                assert_eq!(client.scalar("SELECT CONCAT(@n, '/', @code)")?, "4/1292");
                let message = client.scalar("SELECT @message")?;
                assert!(message.contains("'c'"), "{message}");
                client.run(sql)?;
                assert_eq!(client.scalar("SELECT @@warning_count")?, "4");
                client.run("COMMIT")?;
            }
        }
        // A statement without any leaves none.
        client.run("SELECT COUNT(*) FROM users")?;
        assert!(listed(&mut client, "SHOW WARNINGS")?.is_empty());
        // What one statement would keep of them.
        client.run("SET max_error_count = 3")?;
        client.run(sql)?;
        assert_eq!(quoted(&mut client, "SHOW WARNINGS")?, "a b c");
        assert_eq!(client.query("SHOW COUNT(*) WARNINGS")?.rows()?.rows, [[Value::text("4")]]);
        client.run("SET max_error_count = 0")?;
        client.run(sql)?;
        assert!(listed(&mut client, "SHOW WARNINGS")?.is_empty());
        client.run("SET max_error_count = DEFAULT")?;
        // What failed before has nothing to do with it.
        client.run("SELECT nothing FROM users").expect_err("no such column");
        client.run(sql)?;
        assert_eq!(client.scalar("SELECT @@error_count")?, "0");
        // FOUND_ROWS() is the statement's, not that of the questions in between.
        client.run(sql)?;
        assert_eq!(client.scalar("SELECT FOUND_ROWS()")?, "4");
        client.run("SELECT SQL_CALC_FOUND_ROWS name FROM users WHERE user_id = 2 LIMIT 1")?;
        client.run("INSERT IGNORE INTO users (user_id, name) VALUES (0, 'x'), (1, 'y')")?;
        assert_eq!(client.scalar("SELECT FOUND_ROWS()")?, "1");
        Ok(())
    })
}

#[test]
fn warnings_of_writes() -> TestResult {
    on_each_server("sharding_warnings_write", four_shards, |stage| {
        let mut client = users(stage)?;
        client.run("ALTER TABLE users MODIFY name VARCHAR(3)")?;
        for begin in ["SELECT 1", "BEGIN"] {
            client.run(begin)?;
            client.run("SET sql_mode = ''")?;
            let ok = client.query("INSERT IGNORE INTO users (user_id, name) VALUES (3, 'x'), (0, 'y'), (5, 'long'), (2, 'z')")?.ok()?;
            assert_eq!((ok.affected_rows, ok.warnings), (1, 4));
            let all = listed(&mut client, "SHOW WARNINGS")?;
            let codes: Vec<_> = all.iter().map(|row| row[1].as_str()).collect();
            assert_eq!(codes, ["1062", CUT, "1062", "1062"], "{all:?}");
            assert!(all[0][2].contains("'0'") && all[3][2].contains("'3'"), "{all:?}");
            assert_eq!(quoted(&mut client, "SHOW WARNINGS LIMIT 1")?.split('.').next_back(), Some("PRIMARY"));
            // One that fails: what was warned of before, and its error.
            let bad =
                "INSERT INTO users (user_id, name) VALUES (8, 'long'), (9, 'long'), (6, 'ok'), (2, 'there')";
            assert_eq!(code(&client.query(bad)), Some(DUPLICATE));
            let all = listed(&mut client, "SHOW WARNINGS")?;
            let codes: Vec<_> = all.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
            let last = ("Error", "1062");
            assert_eq!(codes[..2], [("Warning", CUT), ("Warning", CUT)], "{all:?}");
            assert_eq!(codes.last(), Some(&last), "{all:?}");
            assert_eq!(listed(&mut client, "SHOW ERRORS")?.len(), 1);
            client.run("GET DIAGNOSTICS CONDITION 1 @code = MYSQL_ERRNO")?;
            assert_eq!(client.scalar("SELECT @code")?, CUT);
            client.run("SET sql_mode = DEFAULT")?;
            client.run("UPDATE IGNORE users SET name = CONCAT('long', name) WHERE user_id IN (0, 1, 2)")?;
            assert_eq!(client.query("SHOW COUNT(*) WARNINGS")?.rows()?.rows, [[Value::text("3")]]);
            assert_eq!(listed(&mut client, "SHOW WARNINGS")?.len(), 3);
            client.run("ROLLBACK")?;
            client.run("DELETE FROM users WHERE user_id = 5")?;
        }
        client.run("DROP TABLE IF EXISTS orders")?;
        let all = listed(&mut client, "SHOW WARNINGS")?;
        assert_eq!(all.len(), 4);
        assert!(all.iter().all(|row| row[2].contains("orders'") && !row[2].contains("orders_")), "{all:?}");
        if !stage.server.sql("SELECT VERSION()")?.contains("MariaDB") {
            client.run("EXPLAIN FORMAT=TRADITIONAL SELECT name FROM users")?;
            assert_eq!(listed(&mut client, "SHOW WARNINGS")?.len(), 4);
        }
        stage.assert_serves()
    })
}
