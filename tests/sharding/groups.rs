//! Groups of several shards that a server computes the rest of: in transactions, in great numbers, with errors.

use super::common::TestResult;
use super::common::random::Random;
use super::common::stage::{Stage, on_each_server};
use super::common::wire::{Connection, Login, Value};
use super::{SHARDED, sharded};

const GROUPS: u64 = 3000;

fn client(stage: &Stage) -> TestResult<Connection> {
    stage.server.sql(&format!("CREATE DATABASE {SHARDED}"))?;
    let mut client = stage.login(&Login::app().database(SHARDED))?;
    client.run(
        "CREATE TABLE users (user_id BIGINT PRIMARY KEY, kind INT NOT NULL, size INT UNSIGNED NOT NULL, \
         name VARCHAR(20) NOT NULL) DEFAULT CHARSET utf8mb4",
    )?;
    for id in 0..8 {
        client.run(&format!(
            "INSERT INTO users (user_id, kind, size, name) VALUES ({id}, {}, {}, 'name {id}')",
            id % 3,
            id + 1
        ))?;
    }
    Ok(client)
}

fn on_four_shards(name: &str, test: fn(&Stage) -> TestResult) -> TestResult {
    on_each_server(name, |config| sharded(config, "mod", "shard_count = 4\n"), test)
}

fn texts(client: &mut Connection, sql: &str) -> TestResult<Vec<String>> {
    let rows = client.query(sql).map_err(|error| format!("{sql}: {error}"))?.rows()?.rows;
    Ok(rows.iter().map(|row| row.iter().map(Value::to_string).collect::<Vec<_>>().join(" ")).collect())
}

#[test]
fn a_transaction_finds_its_own_rows_in_what_is_computed() -> TestResult {
    on_four_shards("sharding_groups_transaction", |stage| {
        let mut client = client(stage)?;
        let sql = "SELECT kind, SUM(size) * 2 AS s FROM users GROUP BY kind HAVING s > 20 ORDER BY s";
        assert_eq!(texts(&mut client, sql)?, ["0 24", "1 30"]);
        client.run("BEGIN")?;
        client.run(
            "INSERT INTO users (user_id, kind, size, name) VALUES (100, 7, 50, 'x'), (101, 7, 1, 'y')",
        )?;
        assert_eq!(texts(&mut client, sql)?, ["0 24", "1 30", "7 102"]);
        client.run("ROLLBACK")?;
        assert_eq!(texts(&mut client, sql)?, ["0 24", "1 30"]);
        assert_eq!(client.scalar("SELECT FOUND_ROWS()")?, "2");
        stage.assert_serves()
    })
}

#[test]
fn an_error_of_what_is_computed_is_the_servers_own() -> TestResult {
    on_four_shards("sharding_groups_errors", |stage| {
        let mut client = client(stage)?;
        for (sql, code) in [
            ("SELECT MAX(size) - 9 FROM users", 1690),
            ("SELECT NO_SUCH_FUNCTION(COUNT(*)) FROM users", 1305),
            ("SELECT no_such_column, COUNT(*) + 1 FROM users GROUP BY no_such_column", 1054),
        ] {
            let error = client.run(sql).expect_err(sql);
            assert_eq!(error.code(), Some(code), "{sql}: {error}");
        }
        // No shard's own values decide.
        assert_eq!(client.scalar("SELECT MAX(size) - 7 FROM users WHERE user_id < 8")?, "1");
        assert_eq!(client.scalar("SELECT COUNT(*) + 1 FROM users WHERE user_id < 0")?, "1");
        stage.assert_serves()
    })
}

/// What differs in numbers only is not refused, or said, by the plan of another.
#[test]
fn plans_know_which_numbers_have_decided_something() -> TestResult {
    on_four_shards("sharding_groups_plans", |stage| {
        let mut client = client(stage)?;
        for (digits, expected) in [("2", Some("4.50")), ("8", None), ("1", Some("4.5")), ("2", Some("4.50"))]
        {
            let sql = format!("SELECT ROUND(AVG(size), {digits}) FROM users");
            match expected {
                Some(expected) => assert_eq!(client.scalar(&sql)?, expected),
                None => assert_eq!(client.run(&sql).expect_err("refused").code(), Some(1235)),
            }
        }
        for (least, expected) in [("2", "3"), ("4", "0"), ("3", "2")] {
            let sql =
                format!("SELECT kind, COUNT(*) AS c FROM users GROUP BY kind HAVING c + 1 > {least} LIMIT 5");
            let rows = texts(&mut client, &sql)?.len().to_string();
            assert_eq!(rows, expected, "{sql}");
        }
        for separator in [",", ";", ","] {
            let sql = format!(
                "SELECT GROUP_CONCAT(size ORDER BY size SEPARATOR '{separator}') FROM users WHERE user_id < 3"
            );
            assert_eq!(client.scalar(&sql)?, ["1", "2", "3"].join(separator));
        }
        stage.assert_serves()
    })
}

#[test]
fn a_text_that_would_be_cut_off_is_refused() -> TestResult {
    on_four_shards("sharding_groups_concat", |stage| {
        let mut client = client(stage)?;
        let all = "SELECT GROUP_CONCAT(name ORDER BY user_id SEPARATOR '/') FROM users";
        let expected: Vec<_> = (0..8).map(|id| format!("name {id}")).collect();
        assert_eq!(client.scalar(all)?, expected.join("/"));
        client.run("SET group_concat_max_len = 55")?;
        assert_eq!(client.scalar(all)?, expected.join("/"), "it has just these");
        client.run("SET group_concat_max_len = 54")?;
        for sql in
            [all, "SELECT GROUP_CONCAT(name) FROM users", "SELECT GROUP_CONCAT(DISTINCT name) FROM users"]
        {
            let error = client.run(sql).expect_err(sql);
            assert_eq!(error.code(), Some(1235), "{sql}");
            assert!(error.to_string().contains("group_concat_max_len"), "{error}");
        }
        client.run("SET group_concat_max_len = DEFAULT")?;
        assert_eq!(client.scalar(all)?, expected.join("/"));
        stage.assert_serves()
    })
}

#[test]
fn many_groups_are_computed_in_one_statement() -> TestResult {
    on_four_shards("sharding_groups_many", |stage| {
        let mut client = client(stage)?;
        let rows: Vec<_> =
            (100..100 + GROUPS).map(|id| format!("({id}, {id}, 1, 'größe \"{id}\\'')")).collect();
        client.run(&format!("INSERT INTO users (user_id, kind, size, name) VALUES {}", rows.join(", ")))?;
        let sql = "SELECT name, COUNT(*) + kind FROM users GROUP BY name, kind HAVING name LIKE 'gr_ße%' AND COUNT(*) = 1 \
                   ORDER BY kind DESC LIMIT 2, 2";
        let last = 100 + GROUPS - 3;
        let expected = [last, last - 1].map(|id| format!("größe \"{id}' {}", id + 1));
        assert_eq!(texts(&mut client, sql)?, expected);
        let sql = "SELECT COUNT(*), MAX(c) FROM users JOIN (SELECT 1 AS c) d GROUP BY kind HAVING COUNT(*) + kind > 0";
        assert_eq!(texts(&mut client, sql)?.len() as u64, GROUPS + 3);
        stage.assert_serves()
    })
}

#[test]
fn having_takes_parameters() -> TestResult {
    on_four_shards("sharding_groups_parameters", |stage| {
        let mut client = client(stage)?;
        let sql = "SELECT kind, COUNT(*) + 0 FROM users WHERE user_id >= ? GROUP BY kind HAVING COUNT(*) > ? AND kind <> ? \
                   ORDER BY kind";
        let statement = client.prepare(sql)?;
        for (parameters, expected) in [
            ([Value::Int(0), Value::Int(2), Value::Int(9)], 2),
            ([Value::Int(0), Value::Int(1), Value::Int(1)], 2),
            ([Value::Int(0), Value::text("1"), Value::Double(0.0)], 2),
            ([Value::Int(6), Value::Int(0), Value::Int(9)], 2),
            ([Value::Int(0), Value::Null, Value::Int(9)], 0),
            ([Value::Int(0), Value::text("it's"), Value::Int(9)], 3),
        ] {
            let rows = client
                .execute(&statement, &parameters)
                .map_err(|error| format!("{parameters:?}: {error}"))?;
            assert_eq!(rows.rows()?.rows.len(), expected, "{parameters:?}");
        }
        stage.assert_serves()
    })
}

/// The last digits of a variance depend on the order of rows.
fn is_near(one: &str, other: &str) -> bool {
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => (one - other).abs() <= other.abs() * 1e-12,
        _ => one == other,
    }
}

#[test]
fn variances_are_those_of_one_table() -> TestResult {
    on_four_shards("sharding_groups_variance", |stage| {
        let mut client = client(stage)?;
        let mut random = Random::new(7);
        let row = |random: &mut Random, id: u64| {
            format!("({id}, {}, {}, 'x')", random.below(3), random.below(1000))
        };
        let rows: Vec<_> = (100..400).map(|id| row(&mut random, id)).collect();
        client.run(&format!("INSERT INTO users (user_id, kind, size, name) VALUES {}", rows.join(", ")))?;
        client.run("CREATE TABLE plain LIKE users_0")?;
        client.run("INSERT INTO plain SELECT * FROM users_0 UNION ALL SELECT * FROM users_1 UNION ALL SELECT * FROM users_2 UNION ALL SELECT * FROM users_3")?;
        let what = "STD(size), VARIANCE(size), VAR_SAMP(size), STDDEV_SAMP(kind), STDDEV(size * 0.5), ROUND(STD(size), 2)";
        for shape in [
            format!("SELECT {what} FROM $t"),
            format!("SELECT {what} FROM $t WHERE user_id = 100"),
            format!("SELECT {what} FROM $t WHERE user_id IN (101, 102)"),
            format!("SELECT {what} FROM $t WHERE user_id < 0"),
            format!("SELECT kind, {what} FROM $t GROUP BY kind ORDER BY STD(size) DESC"),
            "SELECT kind, STD(size) FROM $t GROUP BY kind HAVING STD(size) > 290 ORDER BY kind".to_owned(),
        ] {
            let [ours, theirs] =
                ["users", "plain"].map(|table| texts(&mut client, &shape.replace("$t", table)));
            let (ours, theirs) = (ours?, theirs?);
            assert_eq!(ours.len(), theirs.len(), "{shape}");
            for (one, other) in ours.iter().zip(&theirs) {
                let mut pairs = one.split(' ').zip(other.split(' '));
                assert!(pairs.all(|(one, other)| is_near(one, other)), "{shape}: {one} and {other}");
            }
        }
        stage.assert_serves()
    })
}

#[test]
fn texts_of_other_character_sets_are_not_computed_with() -> TestResult {
    on_four_shards("sharding_groups_latin1", |stage| {
        let mut client = client(stage)?;
        let sql = "SELECT CONCAT(MAX(name), '!') FROM users";
        assert_eq!(client.scalar(sql)?, "name 7!");
        for set in ["SET character_set_results = latin1", "SET NAMES latin1"] {
            client.run("SET NAMES utf8mb4")?;
            client.run(set)?;
            let error = client.run(sql).expect_err(set);
            assert_eq!(error.code(), Some(1235), "{set}: {error}");
            assert_eq!(client.scalar("SELECT COUNT(*) + 1 FROM users")?, "9");
        }
        stage.assert_serves()
    })
}
