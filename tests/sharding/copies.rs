//! Global tables: each server has a copy, which is like all others whatever is written.

use athena_perf::lab::Flavor;
use athena_perf::proxy::AthenaConfig;

use super::SHARDED;
use super::batches::{Bulk, bulk};

use super::common::random::Random;
use super::common::wire::{Connection, Login, Value, capability};
use super::common::{PATIENCE, TestResult, eventually, join};
use super::faults::{code, four_shards};
use super::servers::{Spread, assert_refused, in_transaction, on_each_spread, two_phase, users};
use super::shows::column;

const REFUSED: u16 = 1235;
const DUPLICATE: u16 = 1062;
const LOCK_WAIT: u16 = 1205;
const DEADLOCK: u16 = 1213;
const DURING_COMMIT: u16 = 1180;

const ALL: &str =
    "SELECT IFNULL(GROUP_CONCAT(CONCAT_WS(':', id, code, rate, since) ORDER BY id), '-') FROM currencies";

fn with_global(config: AthenaConfig) -> AthenaConfig {
    four_shards(config).set("sharding_defaults", "global_tables", "[\"currencies\", \"rate_*\"]")
}

fn with_global_writes(config: AthenaConfig) -> AthenaConfig {
    two_phase(with_global(config))
}

/// `users`, `notes`, and `currencies` on all servers.
fn currencies(stage: &Spread) -> TestResult<Connection> {
    let mut client = users(stage)?;
    client.run(
        "CREATE TABLE currencies (id INT AUTO_INCREMENT PRIMARY KEY, code CHAR(3) NOT NULL UNIQUE, rate INT NOT NULL DEFAULT 1, since \
         DATETIME(6) DEFAULT CURRENT_TIMESTAMP(6))",
    )?;
    Ok(client)
}

/// What all copies have, which is the same.
fn copies(stage: &Spread) -> TestResult<String> {
    let home = stage.of(&stage.home, ALL)?;
    for server in &stage.shards {
        assert_eq!(stage.of(server, ALL)?, home);
    }
    Ok(home)
}

/// The same without their times.
fn codes(stage: &Spread) -> TestResult<String> {
    let copies = copies(stage)?;
    let code = |row: &str| row.splitn(4, ':').take(3).collect::<Vec<_>>().join(":");
    Ok(copies.split(',').map(code).collect::<Vec<_>>().join(","))
}

#[test]
fn what_is_written_is_on_every_server() -> TestResult {
    on_each_spread("copies_written", with_global_writes, |stage| {
        let mut client = currencies(stage)?;
        let reply =
            client.query("INSERT INTO currencies (code, rate) VALUES ('eur', 2), ('usd', 3)")?.ok()?;
        assert_eq!((reply.affected_rows, reply.last_insert_id), (2, 1));
        assert_eq!(client.scalar("SELECT LAST_INSERT_ID()")?, "1");
        assert_eq!(codes(stage)?, "1:eur:2,2:usd:3");
        let insert = client.prepare("INSERT INTO currencies (code, rate, since) VALUES (?, ?, NOW())")?;
        for (number, name) in ["chf", "jpy"].into_iter().enumerate() {
            let reply = client.execute(&insert, &[Value::text(name), Value::Int(number as i64)])?.ok()?;
            assert_eq!((reply.affected_rows, reply.last_insert_id), (1, 3 + number as u64));
        }
        assert_eq!(codes(stage)?, "1:eur:2,2:usd:3,3:chf:0,4:jpy:1");
        let changed = client.query("UPDATE currencies SET rate = rate * 10 WHERE rate > 1")?;
        assert_eq!(changed.ok()?.affected_rows, 2);
        client.run("REPLACE INTO currencies (id, code, rate) VALUES (3, 'chf', 9)")?;
        client.run("INSERT INTO currencies (code) VALUES ('usd') ON DUPLICATE KEY UPDATE rate = rate + 1")?;
        client.run("INSERT IGNORE INTO currencies (code) VALUES ('usd'), ('eur')")?;
        assert_eq!(client.query("SHOW WARNINGS")?.rows()?.rows.len(), 2, "one copy's");
        client.run("DELETE FROM currencies WHERE code = 'jpy'")?;
        assert_eq!(codes(stage)?, "1:eur:20,2:usd:31,3:chf:9");
        assert_eq!(client.scalar("SELECT SYSDATE(6) - NOW(6) < 1")?, "1", "the clock goes on");
        let plan = column(&mut client, "EXPLAIN ATHENA DELETE FROM currencies", 2)?;
        assert_eq!(plan[0], "the same on all servers, on [backend]");
        let plan = client.query("EXPLAIN ATHENA SELECT code FROM currencies")?.rows()?.rows;
        assert_eq!(plan[0][0].to_string(), "copy");
        let failed = client.query("INSERT INTO currencies (code) VALUES ('gbp'), ('eur')");
        assert_eq!(code(&failed), Some(DUPLICATE));
        assert!(!in_transaction(&mut client)?);
        client.run("BEGIN")?;
        client.run("UPDATE users SET name = 'x' WHERE user_id = 1")?;
        client.run("INSERT INTO currencies (code) VALUES ('gbp')")?;
        let failed = client.query("INSERT INTO currencies (code) VALUES ('sek'), ('eur')");
        assert_eq!(code(&failed), Some(DUPLICATE));
        let joined = "SELECT COUNT(*) FROM users JOIN currencies";
        assert_eq!(
            client.scalar(&format!("{joined} WHERE user_id = 1"))?,
            "4",
            "it reads what it has written"
        );
        assert_eq!(client.scalar(joined)?, "16");
        assert_eq!(client.scalar("SELECT COUNT(*) FROM currencies")?, "4");
        assert_eq!(stage.connect()?.scalar(joined)?, "12");
        client.run("ROLLBACK")?;
        assert_eq!(codes(stage)?, "1:eur:20,2:usd:31,3:chf:9");
        client.run("BEGIN")?;
        client.run("DELETE FROM currencies WHERE code = 'chf'")?;
        client.run("UPDATE users SET name = 'y' WHERE user_id = 2")?;
        client.run("COMMIT")?;
        assert_eq!(codes(stage)?, "1:eur:20,2:usd:31");
        assert_eq!(client.scalar("SELECT name FROM users WHERE user_id = 2")?, "y");
        Ok(())
    })
}

#[test]
fn any_server_answers_reads() -> TestResult {
    on_each_spread("copies_read", with_global, |stage| {
        let mut client = currencies(stage)?;
        for server in stage.shards.iter().chain([&stage.home]) {
            stage.of(server, "INSERT INTO currencies (code, rate) VALUES ('a', 1), ('b', 2)")?;
        }
        assert_eq!(column(&mut client, "SHOW TABLES", 0)?, ["currencies", "notes", "users"]);
        assert_eq!(client.query("DESCRIBE currencies")?.rows()?.rows.len(), 4);
        let joined = "SELECT users.name FROM users JOIN currencies ON code = users.name";
        assert_eq!(column(&mut client, &format!("{joined} ORDER BY 1"), 0)?, ["a", "b"]);
        assert_eq!(client.scalar(&format!("{joined} WHERE user_id = 1"))?, "b");
        let mixed = "SELECT COUNT(*) FROM notes JOIN currencies ON rate = notes.id";
        assert_eq!(client.scalar(mixed)?, "1");
        // A transaction that is on one server stays there, and so does what it sees.
        for (key, server) in [(0, &stage.shards[0]), (1, &stage.shards[1])] {
            let select = client.prepare("SELECT SUM(rate) FROM currencies WHERE rate < ?")?;
            client.run("BEGIN")?;
            client.run(&format!("UPDATE users SET name = 'x' WHERE user_id = {key}"))?;
            assert_eq!(client.scalar("SELECT SUM(rate) FROM currencies")?, "3");
            stage.of(server, "UPDATE currencies SET rate = rate + 10")?;
            assert_eq!(client.scalar("SELECT SUM(rate) FROM currencies")?, "3");
            assert_eq!(client.execute(&select, &[Value::Int(100)])?.rows()?.scalar()?.to_string(), "3");
            assert_refused(&client.query("SELECT * FROM currencies FOR UPDATE"), REFUSED, &["[backend]"]);
            assert!(client.query("EXPLAIN SELECT * FROM currencies")?.rows()?.rows.len() == 1);
            client.run("ROLLBACK")?;
        }
        assert_eq!(client.scalar("SELECT SUM(rate) FROM currencies")?, "3", "that of [backend]");
        for sql in ["DELETE FROM currencies", "INSERT INTO currencies (code) VALUES ('c')"] {
            assert_refused(
                &client.query(sql),
                REFUSED,
                &["`currencies`", "cross_shard_transactions = \"xa\""],
            );
        }
        let delete = client.prepare("DELETE FROM currencies WHERE code = ?")?;
        let refused = client.execute(&delete, &[Value::text("a")]);
        assert_refused(&refused, REFUSED, &["cross_shard_transactions = \"xa\""]);
        client.run("ALTER TABLE currencies ADD COLUMN more INT")?;
        client.run("RENAME TABLE currencies TO rate_old")?;
        for server in stage.shards.iter().chain([&stage.home]) {
            assert_eq!(stage.of(server, "SELECT COUNT(more) FROM rate_old")?, "0");
        }
        stage.of(&stage.shards[1], "DROP TABLE rate_old")?;
        let dropped = client.query("DROP TABLE rate_old");
        assert_refused(
            &dropped,
            1051,
            &["on the server \"s1\" of [[shards]]; done on [backend], the server \"s0\""],
        );
        Ok(())
    })
}

/// Counters of AUTO_INCREMENT part company when a write is taken back after some of the servers have it.
#[test]
fn all_copies_draw_the_same_ids() -> TestResult {
    on_each_spread("copies_ids", with_global_writes, |stage| {
        let mut client = currencies(stage)?;
        client.run("CREATE TABLE drawn (id INT AUTO_INCREMENT PRIMARY KEY, n INT)")?;
        for (server, ids) in [(&stage.shards[0], 3), (&stage.home, 7)] {
            for id in 0..ids {
                stage.of(server, &format!("INSERT INTO currencies (code) VALUES ('{id}')"))?;
            }
            stage.of(server, "DELETE FROM currencies")?;
        }
        let insert = client.prepare("INSERT INTO currencies (code) VALUES (?)")?;
        for (id, sql) in [(8, "a"), (9, "b")] {
            let reply = client.query(&format!("INSERT INTO currencies (code) VALUES ('{sql}')"))?;
            assert_eq!(reply.ok()?.last_insert_id, id);
            assert_eq!(client.query("INSERT INTO drawn (n) VALUES (0)")?.ok()?.last_insert_id, id - 7);
        }
        stage.of(&stage.shards[1], "ALTER TABLE currencies AUTO_INCREMENT = 100")?;
        client.run("BEGIN")?;
        let reply = client.execute(&insert, &[Value::text("c")])?;
        assert_eq!(reply.ok()?.last_insert_id, 10);
        client.run("INSERT INTO currencies (code) VALUES ('d'), ('e')")?;
        client.run("INSERT INTO currencies (id, code) VALUES (50, 'f')")?;
        client.run("INSERT INTO currencies (code) VALUES ('g')")?;
        client.run("COMMIT")?;
        assert_eq!(
            codes(stage)?,
            "8:a:1,9:b:1,10:c:1,11:d:1,12:e:1,50:f:1,51:g:1",
            "the first copy's ids, whatever the others would have drawn"
        );
        Ok(())
    })
}

#[test]
fn a_bulk_execution_is_on_every_server() -> TestResult {
    on_each_spread("copies_bulk", with_global_writes, |stage| {
        currencies(stage)?;
        if stage.home.flavor() == Flavor::MySql {
            return Ok(());
        }
        let login = Login::app().database(SHARDED).with_extended(capability::EXTENDED_STMT_BULK);
        let mut client = stage.login(&login)?;
        client.run("CREATE TABLE rate_now (code CHAR(3) PRIMARY KEY, rate INT)")?;
        let insert = client.prepare("INSERT INTO rate_now (code, rate) VALUES (?, ?)")?;
        let row = |code: &str, rate| vec![Bulk::Value(Value::text(code)), Bulk::Value(Value::Int(rate))];
        let reply = bulk(&mut client, &insert, &[row("a", 1), row("b", 2), row("c", 3)])?.ok()?;
        assert_eq!(reply.affected_rows, 3);
        assert_eq!(code(&bulk(&mut client, &insert, &[row("d", 1), row("b", 2)])), Some(DUPLICATE));
        for server in stage.shards.iter().chain([&stage.home]) {
            let all = "SELECT GROUP_CONCAT(code, rate ORDER BY code) FROM rate_now";
            assert_eq!(stage.of(server, all)?, "a1,b2,c3");
        }
        let insert = client.prepare("INSERT INTO currencies (code, rate) VALUES (?, ?)")?;
        let refused = bulk(&mut client, &insert, &[row("a", 1), row("b", 2)]);
        assert_refused(&refused, REFUSED, &["AUTO_INCREMENT", "`currencies`"]);
        assert_eq!(codes(stage)?, "-");
        Ok(())
    })
}

#[test]
fn copies_that_differ_are_told_of() -> TestResult {
    on_each_spread("copies_differ", with_global_writes, |stage| {
        let mut client = currencies(stage)?;
        client.run("INSERT INTO currencies (code, rate) VALUES ('a', 1), ('b', 1)")?;
        stage.of(&stage.shards[0], "DELETE FROM currencies WHERE code = 'b'")?;
        for begin in ["DO 0", "BEGIN"] {
            client.run(begin)?;
            let outcome = client.query("UPDATE currencies SET rate = 7");
            let words = ["`currencies`", "[backend] it changes 2", "the server \"s0\" of [[shards]] 1 rows"];
            assert_refused(&outcome, DURING_COMMIT, &words);
            assert_eq!(in_transaction(&mut client)?, begin == "BEGIN");
        }
        client.run("COMMIT")?;
        for server in stage.shards.iter().chain([&stage.home]) {
            assert_eq!(stage.of(server, "SELECT MAX(rate) FROM currencies")?, "1");
        }
        client.run("UPDATE currencies SET rate = 7 WHERE code = 'a'")?;
        Ok(())
    })
}

#[test]
fn a_write_that_may_differ_is_refused() -> TestResult {
    on_each_spread("copies_refused", with_global_writes, |stage| {
        let mut client = currencies(stage)?;
        let insert = "INSERT INTO currencies (code) VALUES ('a')";
        client.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")?;
        assert_refused(&client.query(insert), REFUSED, &["REPEATABLE READ"]);
        client.run("BEGIN")?;
        client.run("UPDATE users SET name = 'kept' WHERE user_id = 1")?;
        assert_refused(&client.query(insert), REFUSED, &["REPEATABLE READ"]);
        client.run("COMMIT")?;
        assert_eq!(client.scalar("SELECT name FROM users WHERE user_id = 1")?, "kept");
        client.run("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")?;
        client.run("SET timestamp = 1")?;
        assert_refused(&client.query(insert), REFUSED, &["timestamp", "DEFAULT"]);
        client.run("SET timestamp = DEFAULT")?;
        client.run(insert)?;
        for sql in ["INSERT INTO currencies (code) VALUES (UUID())", "DELETE FROM currencies LIMIT 1"] {
            assert_refused(&client.query(sql), REFUSED, &["`currencies`", "every server's copy"]);
        }
        assert_eq!(codes(stage)?, "1:a:1");
        Ok(())
    })
}

#[test]
fn a_write_waits_for_no_server_that_is_down() -> TestResult {
    on_each_spread("copies_down", with_global_writes, |stage| {
        let mut client = currencies(stage)?;
        client.run("INSERT INTO currencies (code) VALUES ('a')")?;
        stage.shards[1].kill();
        let outcome = client.query("INSERT INTO currencies (code) VALUES ('b')");
        assert_refused(&outcome, 3168, &["\"s1\""]);
        assert_eq!(client.scalar("SELECT COUNT(*) FROM currencies")?, "1");
        assert_eq!(client.scalar("SELECT COUNT(*) FROM users JOIN currencies WHERE user_id = 0")?, "1");
        stage.shards[1].start()?;
        eventually("it is written", PATIENCE, || {
            client.run("INSERT INTO currencies (code) VALUES ('c')").map_err(|error| error.to_string())
        });
        let codes = codes(stage)?;
        assert!(codes.starts_with("1:a:1,") && codes.ends_with(":c:1"), "{codes}");
        Ok(())
    })
}

/// Whatever many write at the same time, copies stay alike.
#[test]
fn copies_stay_alike_under_load() -> TestResult {
    on_each_spread("copies_load", with_global_writes, |stage| {
        currencies(stage)?;
        let written = std::thread::scope(|scope| {
            let writes = |number: u64| {
                move || -> TestResult<u32> {
                    let mut random = Random::new(number);
                    let mut client = stage.connect()?;
                    // Two that wait for each other on two servers are no deadlock to either.
                    client.run("SET innodb_lock_wait_timeout = 1")?;
                    let mut written = 0;
                    for round in 0..60 {
                        let (one, other) = (random.below(40), random.below(40));
                        let sql = match random.below(5) {
                            0 | 1 => format!("INSERT INTO currencies (code, rate) VALUES ('{one}', {other})"),
                            2 => format!("UPDATE currencies SET rate = rate + {one} WHERE rate < {other}"),
                            3 => format!("DELETE FROM currencies WHERE rate > {}", one + 20),
                            _ => format!(
                                "INSERT INTO currencies (code) VALUES ('{one}') ON DUPLICATE KEY UPDATE rate = {other}"
                            ),
                        };
                        let in_one = random.below(3) == 0;
                        if in_one {
                            client.run("BEGIN")?;
                            let own = format!(
                                "UPDATE users SET name = '{round}' WHERE user_id = {}",
                                random.below(4)
                            );
                            client.query(&own).map_or_else(|error| expected(&error), |_| Ok(()))?;
                        }
                        match client.query(&sql) {
                            Ok(_) => written += 1,
                            Err(error) => expected(&error)?,
                        }
                        if in_one {
                            let end = if random.below(4) == 0 { "ROLLBACK" } else { "COMMIT" };
                            client.query(end).map_or_else(|error| expected(&error), |_| Ok(()))?;
                        }
                    }
                    Ok(written)
                }
            };
            let running: Vec<_> = (1..7).map(|number| scope.spawn(writes(number))).collect();
            running.into_iter().map(join).sum::<TestResult<u32>>()
        })?;
        assert!(written > 60, "{written} of 360");
        copies(stage).map(drop)
    })
}

/// What may come about where others write.
fn expected(error: &super::common::wire::Error) -> TestResult {
    match error.code() {
        Some(DUPLICATE | LOCK_WAIT | DEADLOCK) => Ok(()),
        _ => Err(error.to_string().into()),
    }
}
