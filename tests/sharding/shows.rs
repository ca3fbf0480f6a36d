//! What is said of tables speaks of those that the application knows.

use super::common::TestResult;
use super::common::stage::{Stage, on_each_server};
use super::common::wire::{Connection, Login, Value, command};
use super::{SHARDED, sharded};

pub(super) fn column(client: &mut Connection, sql: &str, at: usize) -> TestResult<Vec<String>> {
    let rows = client.query(sql)?.rows()?.rows;
    Ok(rows.iter().map(|row| row[at].to_string()).collect())
}

fn with_tables(stage: &Stage) -> TestResult<Connection> {
    stage.server.sql(&format!("CREATE DATABASE {SHARDED}"))?;
    let mut client = stage.login(&Login::app().database(SHARDED))?;
    client.run("CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(20), KEY by_name (name))")?;
    client.run(
        "CREATE TABLE orders (user_id BIGINT, nr INT, PRIMARY KEY (user_id, nr), CONSTRAINT of_user FOREIGN KEY (user_id) REFERENCES users (user_id))",
    )?;
    client.run("CREATE TABLE places (place INT PRIMARY KEY)")?;
    client.run("CREATE TABLE users_9 (place INT PRIMARY KEY)")?;
    client.run("INSERT INTO users (user_id, name) VALUES (1, 'a'), (2, 'b')")?;
    Ok(client)
}

#[test]
fn tables_are_listed_once() -> TestResult {
    on_each_server(
        "sharding_show",
        |config| sharded(config, "mod", "shard_count = 4\n"),
        |stage| {
            let mut client = with_tables(stage)?;
            assert_eq!(column(&mut client, "SHOW TABLES", 0)?, ["orders", "places", "users", "users_9"]);
            assert_eq!(
                column(&mut client, "SHOW FULL TABLES FROM sharded LIKE 'user%'", 0)?,
                ["users", "users_9"]
            );
            assert_eq!(column(&mut client, "SHOW TABLES LIKE 'users'", 0)?, ["users"]);
            let rows = client.query("SHOW TABLES LIKE 'o%'")?.rows()?;
            assert_eq!(rows.columns[0].name, "Tables_in_sharded (o%)");
            assert_eq!(column(&mut client, "DESCRIBE users", 0)?, ["user_id", "name"]);
            client.send(command::FIELD_LIST, b"users\0")?;
            let mut fields = 0;
            while client.stream().read_payload()?.first() != Some(&0xFE) {
                fields += 1;
            }
            assert_eq!(fields, 2);
            assert_eq!(column(&mut client, "SHOW COLUMNS FROM users LIKE 'n%'", 0)?, ["name"]);
            assert_eq!(column(&mut client, "SHOW INDEX FROM users", 0)?, ["users", "users"]);
            assert_eq!(column(&mut client, "SHOW CREATE TABLE orders", 0)?, ["orders"]);
            let text = column(&mut client, "SHOW CREATE TABLE orders", 1)?.remove(0);
            assert!(
                text.starts_with("CREATE TABLE `orders` (") && text.contains("REFERENCES `users` ("),
                "{text}"
            );
            client.run("ANALYZE TABLE users")?;
            let status = client.query("SHOW TABLE STATUS LIKE 'user_'")?.rows()?;
            assert_eq!(status.rows.len(), 1);
            assert_eq!(
                (status.rows[0][0].to_string(), status.rows[0][4].to_string()),
                ("users".into(), "2".into())
            );
            assert_eq!(
                column(&mut client, "SHOW TABLE STATUS", 0)?,
                ["orders", "places", "users", "users_9"]
            );
            let names =
                "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1";
            assert_eq!(column(&mut client, names, 0)?, ["orders", "places", "users", "users_9"]);
            let columns = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'sharded' AND table_name IN ('users', 'places') ORDER BY 1, 2";
            assert_eq!(column(&mut client, columns, 0)?, ["places", "users", "users"]);
            assert_eq!(column(&mut client, columns, 1)?, ["place", "name", "user_id"]);
            let plan = client.query("EXPLAIN SELECT * FROM users WHERE user_id = 1")?.rows()?;
            assert!(!plan.rows.is_empty());
            Ok(())
        },
    )
}

/// The plans of all shards that a statement would run on.
#[test]
fn plans_of_several_shards() -> TestResult {
    on_each_server(
        "sharding_plans",
        |config| sharded(config, "mod", "shard_count = 4\n"),
        |stage| {
            let mut client = with_tables(stage)?;
            let mut tables = |sql: &str| -> TestResult<Vec<String>> {
                let plan = client.query(&format!("EXPLAIN FORMAT=TRADITIONAL {sql}"))?.rows()?;
                let at =
                    plan.columns.iter().position(|column| column.name == "table").ok_or("no such column")?;
                Ok(plan.rows.iter().map(|row| row[at].to_string()).collect())
            };
            let of_all = ["users_0", "users_1", "users_2", "users_3"];
            assert_eq!(tables("SELECT * FROM users")?, of_all);
            assert_eq!(tables("SELECT name FROM users ORDER BY name LIMIT 2")?, of_all);
            assert_eq!(
                tables("SELECT u.name FROM users u WHERE u.name > 'a'")?,
                ["u_0", "u_1", "u_2", "u_3"]
            );
            assert_eq!(tables("UPDATE users SET name = 'x'")?, of_all);
            assert_eq!(tables("DELETE FROM users WHERE name = 'x'")?, of_all);
            assert_eq!(
                tables("SELECT COUNT(*) FROM users WHERE name < 'x' AND user_id IN (1, 6)")?,
                ["users_1", "users_2"]
            );
            let mut joined = tables(
                "SELECT u.name, p.place FROM users u, places p WHERE u.user_id IN (1, 2) AND p.place > u.user_id",
            )?;
            joined.sort();
            assert_eq!(joined, ["p", "p", "u_1", "u_2"]);
            assert_eq!(
                tables("INSERT INTO users (user_id, name) VALUES (1, 'x'), (3, 'y')")?,
                ["users_1", "users_3"]
            );
            assert_eq!(tables("INSERT INTO users VALUES (5, 'x'), (8, 'y')")?, ["users_0", "users_1"]);
            // On the shard of its values, and no other.
            let rows =
                client.query("EXPLAIN FORMAT=TRADITIONAL DELETE FROM users WHERE user_id = 7")?.rows()?.rows;
            assert!(rows[0].iter().any(|value| value.to_string() == "users_3"), "{rows:?}");
            let documents =
                client.query("EXPLAIN FORMAT=JSON SELECT * FROM users WHERE name > 'a'")?.rows()?;
            assert_eq!((documents.rows.len(), documents.columns.len()), (4, 1));
            for sql in ["SELECT JSON_ARRAYAGG(name) FROM users", "DELETE FROM users LIMIT 1"] {
                let error = client.run(&format!("EXPLAIN {sql}")).expect_err("it would not run");
                assert_eq!(error.code(), Some(1235), "{sql}: {error}");
            }
            stage.server.sql(&format!("SET foreign_key_checks = 0; DROP TABLE {SHARDED}.users_2"))?;
            let error = client.run("EXPLAIN SELECT * FROM users").expect_err("a shard has no table");
            assert_eq!(error.code(), Some(1146));
            assert!(!error.to_string().contains("users_2"), "{error}");
            let prepared = client.prepare("EXPLAIN SELECT * FROM users WHERE user_id >= ?")?;
            let error = client.execute(&prepared, &[Value::Int(1)]).expect_err("on several shards");
            assert_eq!(error.code(), Some(1235), "{error}");
            assert!(!client.execute(&prepared, &[Value::Null])?.rows()?.rows.is_empty());
            stage.assert_serves()
        },
    )
}

#[test]
fn athena_says_what_it_would_do() -> TestResult {
    on_each_server(
        "sharding_explain",
        |config| sharded(config, "mod", "shard_count = 4\n"),
        |stage| {
            let mut client = with_tables(stage)?;
            let mut explain = |sql: &str| -> TestResult<Vec<[String; 3]>> {
                let rows = client.query(&format!("EXPLAIN ATHENA {sql}"))?.rows()?.rows;
                let row = |row: &Vec<Value>| [0, 1, 2].map(|at| row[at].to_string());
                Ok(rows.iter().map(row).collect())
            };
            let home = explain("SELECT * FROM places")?;
            assert_eq!(home, [["home", "SELECT * FROM places", "as it is"]]);
            let one = explain("SELECT name FROM users WHERE user_id = 7")?;
            assert_eq!(one, [["3", "SELECT name FROM `users_3` AS `users` WHERE user_id = 7", "alone"]]);
            let several = explain("DELETE FROM users WHERE user_id IN (1, 2)")?;
            assert_eq!(
                several.iter().map(|[shard, _, how]| (shard.as_str(), how.as_str())).collect::<Vec<_>>(),
                [("1", "one transaction"), ("2", "one transaction")]
            );
            let read = explain("SELECT name FROM users ORDER BY name LIMIT 3")?;
            assert_eq!(read.len(), 4);
            assert_eq!(read[0][2], "merged: all rows, ordered by 1 columns, limited");
            let finished = explain("SELECT COUNT(*) + 1 FROM users")?;
            assert_eq!(finished[3][2], "merged: one row of all, finished by a query");
            assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "2", "nothing was done");
            let error =
                client.run("EXPLAIN ATHENA SELECT JSON_ARRAYAGG(name) FROM users").expect_err("refused");
            assert_eq!(error.code(), Some(1235));
            Ok(())
        },
    )
}

#[test]
fn columns_and_errors_have_the_names_that_are_known() -> TestResult {
    on_each_server(
        "sharding_names",
        |config| sharded(config, "mod", "shard_count = 4\n"),
        |stage| {
            let mut client = with_tables(stage)?;
            for sql in [
                "INSERT INTO users (user_id) VALUES (1)",
                "INSERT INTO users (user_id) VALUES (1), (3)",
                "SELECT nothing FROM users WHERE user_id = 1",
                "SELECT users.nothing FROM users",
                "DROP INDEX nothing ON users",
            ] {
                let message = client.run(sql).expect_err(sql).to_string();
                assert!(!message.contains("users_"), "{sql}: {message}");
            }
            stage.server.sql(&format!("DROP TABLE {SHARDED}.orders_2"))?;
            let message = client.run("SELECT * FROM orders").expect_err("one is gone").to_string();
            assert!(message.contains("orders'") && !message.contains("orders_2"), "{message}");
            Ok(())
        },
    )
}
