//! Transactions on several servers: whole, or gone on all of them.

use super::common::wire::{Connection, Value};
use super::common::{PATIENCE, TestResult, eventually, join};
use super::faults::{code, four_shards};
use super::servers::{Spread, assert_refused, in_transaction, on_each_spread, two_phase, users};

const REFUSED: u16 = 1235;
const DUPLICATE: u16 = 1062;
const DEADLOCK: u16 = 1213;
const LOCK_WAIT: u16 = 1205;
const DURING_COMMIT: u16 = 1180;
const NO_SAVEPOINT: u16 = 1305;

/// The names of all shards' rows, by their keys, as servers have them, and of the note at home.
fn names(stage: &Spread) -> TestResult<String> {
    let of = |shard: usize| {
        let sql = format!(
            "SELECT IFNULL(GROUP_CONCAT(name ORDER BY user_id SEPARATOR ''), '-') FROM users_{shard}"
        );
        stage.of(&stage.shards[shard % 2], &sql)
    };
    let shards = (0..4).map(of).collect::<TestResult<Vec<_>>>()?.concat();
    Ok(shards + &stage.of(&stage.home, "SELECT note FROM notes WHERE id = 1")?)
}

/// Nothing is prepared anywhere, and no decision is left.
fn assert_tidy(stage: &Spread) {
    eventually("nothing is left of transactions", PATIENCE, || {
        for server in stage.shards.iter().chain([&stage.home]) {
            let left = server.sql("XA RECOVER; SELECT gtrid FROM athena.xa_decisions");
            let left = left.map_err(|error| error.to_string())?;
            if !left.trim().is_empty() {
                return Err(left);
            }
        }
        Ok(())
    });
}

/// One statement for each server.
fn change(client: &mut Connection, name: &str) -> TestResult {
    for sql in [
        format!("UPDATE users SET name = '{name}' WHERE user_id = 1"),
        format!("UPDATE users SET name = '{name}' WHERE user_id = 2"),
        format!("UPDATE notes SET note = '{name}' WHERE id = 1"),
        format!("UPDATE users SET name = '{name}' WHERE user_id = 3"),
    ] {
        client.run(&sql)?;
    }
    Ok(())
}

#[test]
fn what_is_committed_is_so_on_all_servers() -> TestResult {
    on_each_spread(
        "xa_commit",
        |config| two_phase(four_shards(config)),
        |stage| {
            let mut client = users(stage)?;
            let mut other = stage.connect()?;
            assert_eq!(names(stage)?, "abcdn");
            for (begin, end, expected) in [
                ("BEGIN", "ROLLBACK", "abcdn"),
                ("BEGIN", "COMMIT", "axxxx"),
                ("SET autocommit = 0", "COMMIT", "ayyyy"),
                ("DO 0", "ROLLBACK", "ayyyy"),
                ("DO 0", "COMMIT", "azzzz"),
            ] {
                client.run(begin)?;
                let name =
                    if expected.starts_with("ab") { "q".to_owned() } else { expected[1..2].to_owned() };
                let before = names(stage)?;
                change(&mut client, &name)?;
                assert!(in_transaction(&mut client)?);
                assert_eq!(client.scalar("SELECT GROUP_CONCAT(name) FROM users WHERE user_id = 3")?, name);
                let all = client.query("SELECT name FROM users ORDER BY user_id")?.rows()?.rows;
                let all: Vec<_> = all.iter().map(|row| row[0].to_string()).collect();
                assert_eq!(all, ["a", &name, &name, &name], "it reads what it has written");
                assert_eq!(
                    other.scalar("SELECT note FROM notes WHERE id = 1")?,
                    before[4..],
                    "{begin}: nobody else does"
                );
                assert_eq!(names(stage)?, before);
                client.run(end)?;
                assert!(!in_transaction(&mut client)?);
                assert_eq!(names(stage)?, expected, "{begin} {end}");
            }
            client.run("SET autocommit = 1")?;
            assert_tidy(stage);
            let committed =
                stage.athena.metric("athena_cross_shard_transactions_total", &[("outcome", "committed")])?;
            assert_eq!(committed, 3.0);
            Ok(())
        },
    )
}

#[test]
fn a_statement_on_several_servers_is_all_or_nothing() -> TestResult {
    on_each_spread(
        "xa_statement",
        |config| two_phase(four_shards(config)),
        |stage| {
            let mut client = users(stage)?;
            let reply = client.query("UPDATE users SET name = 'x'")?;
            assert_eq!(reply.ok()?.affected_rows, 4);
            assert!(!in_transaction(&mut client)?);
            assert_eq!(names(stage)?, "xxxxn");
            let insert = "INSERT INTO users (user_id, name) VALUES (4, 'a'), (5, 'b'), (6, 'c'), (3, 'd')";
            let failed = client.query(insert);
            assert_eq!(code(&failed), Some(DUPLICATE), "{failed:?}");
            assert!(!in_transaction(&mut client)?);
            assert_eq!(names(stage)?, "xxxxn");
            client.run(
                "INSERT IGNORE INTO users (user_id, name) VALUES (0, 'a'), (1, 'b'), (2, 'c'), (3, 'd')",
            )?;
            assert_eq!(client.query("SHOW WARNINGS")?.rows()?.rows.len(), 4, "those of all servers");
            assert_eq!(client.scalar("SELECT @@warning_count")?, "4");
            client.run("CREATE TABLE drawn (id INT AUTO_INCREMENT PRIMARY KEY, n INT)")?;
            client.run("INSERT INTO drawn VALUES (41, 0)")?;
            client.run("INSERT INTO drawn (n) VALUES (1)")?;
            client.run("ALTER TABLE users MODIFY user_id BIGINT AUTO_INCREMENT")?;
            client.run("INSERT INTO users (user_id, name) VALUES (14, 'a'), (15, 'b')")?;
            assert_eq!(
                client.scalar("SELECT LAST_INSERT_ID()")?,
                "42",
                "ids that are given are none that were drawn"
            );
            client.run("DELETE FROM users WHERE user_id > 10")?;
            client.run("BEGIN")?;
            client.run("UPDATE users SET name = 'y' WHERE user_id = 2")?;
            let failed = client.query(insert);
            assert_eq!(code(&failed), Some(DUPLICATE), "{failed:?}");
            assert!(in_transaction(&mut client)?);
            assert_eq!(client.query("UPDATE users SET name = CONCAT(name, '!')")?.ok()?.affected_rows, 4);
            client.run("COMMIT")?;
            assert_eq!(names(stage)?, "x!x!y!x!n");
            let update = client.prepare("UPDATE users SET name = ? WHERE user_id < ?")?;
            let reply = client.execute(&update, &[Value::text("z"), Value::Int(3)])?;
            assert_eq!(reply.ok()?.affected_rows, 3);
            assert_eq!(names(stage)?, "zzzx!n");
            assert_eq!(client.query("DELETE FROM users")?.ok()?.affected_rows, 4);
            assert_eq!(names(stage)?, "----n");
            assert_tidy(stage);
            Ok(())
        },
    )
}

#[test]
fn what_ends_a_transaction_ends_it_on_all_servers() -> TestResult {
    on_each_spread(
        "xa_ends",
        |config| two_phase(four_shards(config)),
        |stage| {
            let mut client = users(stage)?;
            for sql in ["BEGIN", "CREATE TABLE more (a INT)", "ALTER TABLE users ADD COLUMN more INT"] {
                client.run("BEGIN")?;
                let name = &sql[..1];
                change(&mut client, name)?;
                client.run(sql)?;
                assert_eq!(names(stage)?, format!("a{}", name.repeat(4)), "{sql} commits");
            }
            client.run("ROLLBACK")?;
            client.run("BEGIN")?;
            change(&mut client, "q")?;
            for sql in ["SET autocommit = 0", "XA START 'x'", "COMMIT AND CHAIN", "COMMIT RELEASE"] {
                assert_refused(&client.query(sql), REFUSED, &["COMMIT first"]);
            }
            drop(client);
            let mut client = stage.connect()?;
            eventually("what the client had is rolled back", PATIENCE, || {
                change(&mut client, "r").map_err(|error| error.to_string())
            });
            assert_eq!(names(stage)?, "arrrr");
            client.run("START TRANSACTION READ ONLY")?;
            client.scalar("SELECT name FROM users WHERE user_id = 1")?;
            assert_refused(&client.query("SELECT * FROM notes"), REFUSED, &["characteristics"]);
            client.run("COMMIT")?;
            assert_tidy(stage);
            Ok(())
        },
    )
}

/// A savepoint is on all servers, also on those that the transaction comes to behind it.
#[test]
fn savepoints_are_those_of_one_transaction() -> TestResult {
    on_each_spread(
        "xa_savepoints",
        |config| two_phase(four_shards(config)),
        |stage| {
            let mut client = users(stage)?;
            let update = |client: &mut Connection, key: u32, name: &str| {
                client.run(&format!("UPDATE users SET name = '{name}' WHERE user_id = {key}"))
            };
            let now = |client: &mut Connection| -> TestResult<String> {
                Ok(client.scalar("SELECT GROUP_CONCAT(name ORDER BY user_id SEPARATOR '') FROM users")?)
            };
            client.run("BEGIN")?;
            client.run("SAVEPOINT first")?;
            update(&mut client, 0, "k")?;
            client.run("SAVEPOINT `second one`")?;
            update(&mut client, 1, "l")?;
            client.run("SAVEPOINT third")?;
            update(&mut client, 2, "m")?;
            client.run("UPDATE notes SET note = 'x' WHERE id = 1")?;
            assert_eq!(now(&mut client)?, "klmd");
            client.run("ROLLBACK TO SAVEPOINT third")?;
            assert_eq!(now(&mut client)?, "klcd");
            assert_eq!(client.scalar("SELECT note FROM notes")?, "n");
            update(&mut client, 3, "o")?;
            client.run("ROLLBACK TO `second one`")?;
            assert_eq!(now(&mut client)?, "kbcd");
            let gone = client.query("RELEASE SAVEPOINT third");
            assert_eq!(code(&gone), Some(NO_SAVEPOINT), "{gone:?}");
            assert!(in_transaction(&mut client)?);
            client.run("ROLLBACK TO first")?;
            assert_eq!(now(&mut client)?, "abcd");
            for round in 0..600 {
                client.run(&format!("SAVEPOINT s{round}"))?;
                client.run(&format!("RELEASE SAVEPOINT s{round}"))?;
            }
            update(&mut client, 1, "y")?;
            update(&mut client, 2, "z")?;
            client.run("RELEASE SAVEPOINT first")?;
            client.run("COMMIT")?;
            assert_eq!(names(stage)?, "ayzdn");
            let outside = client.query("ROLLBACK TO SAVEPOINT first");
            assert_eq!(code(&outside), Some(NO_SAVEPOINT), "{outside:?}");
            // Too many to be set on a further server.
            client.run("BEGIN")?;
            for number in 0..300 {
                client.run(&format!("SAVEPOINT s{number}"))?;
            }
            update(&mut client, 1, "b")?;
            assert_refused(
                &client.query("UPDATE users SET name = 'c' WHERE user_id = 2"),
                REFUSED,
                &["savepoints"],
            );
            client.run("ROLLBACK")?;
            assert_tidy(stage);
            Ok(())
        },
    )
}

/// A transaction stays whole, and where it is, when its next server can't be had.
#[test]
fn a_server_that_is_not_there_ends_no_transaction() -> TestResult {
    on_each_spread(
        "xa_absent",
        |config| two_phase(four_shards(config)),
        |stage| {
            let mut client = users(stage)?;
            client.run("UPDATE users SET name = 'u'")?;
            client.run("BEGIN")?;
            client.run("UPDATE users SET name = 'kept' WHERE user_id = 2")?;
            stage.shards[1].kill();
            for sql in [
                "UPDATE users SET name = 'x' WHERE user_id = 1",
                "EXPLAIN SELECT * FROM users WHERE user_id = 1",
                "UPDATE users SET name = 'x'",
            ] {
                let failed = client.query(sql);
                assert!(failed.is_err(), "{sql}");
                assert!(in_transaction(&mut client)?, "{sql}: {failed:?}");
            }
            client.run("UPDATE users SET name = CONCAT(name, '!') WHERE user_id = 2")?;
            client.run("COMMIT")?;
            let kept = stage.of(&stage.shards[0], "SELECT CONCAT(name) FROM users_2")?;
            assert_eq!(kept, "kept!");
            Ok(())
        },
    )
}

/// Without autocommit a question may begin a transaction, which is not the session's.
#[test]
fn questions_are_beside_the_transaction() -> TestResult {
    on_each_spread(
        "xa_questions",
        |config| two_phase(four_shards(config)),
        |stage| {
            let mut client = users(stage)?;
            client.run("SET autocommit = 0")?;
            for (name, keys) in [("p", &[2][..]), ("q", &[2, 1])] {
                for key in keys {
                    client.run(&format!("UPDATE users SET name = '{name}' WHERE user_id = {key}"))?;
                }
                for sql in
                    ["SELECT * FROM users", "SELECT * FROM users WHERE user_id = 3", "SELECT * FROM notes"]
                {
                    client.query(&format!("EXPLAIN {sql}"))?.rows()?;
                    client.query("DESCRIBE users")?.rows()?;
                    assert!(in_transaction(&mut client)?, "{sql}");
                }
                client.run("COMMIT")?;
                assert_eq!(stage.of(&stage.shards[0], "SELECT name FROM users_2")?, name);
            }
            assert_eq!(names(stage)?, "aqqdn");
            assert_tidy(stage);
            Ok(())
        },
    )
}

/// On the first server of a statement that is for several, before the transaction is on several.
#[test]
fn a_deadlock_before_the_second_server_is_told_of() -> TestResult {
    on_each_spread(
        "xa_first_deadlock",
        |config| two_phase(four_shards(config)),
        |stage| {
            let mut client = users(stage)?;
            client.run("BEGIN")?;
            client.run("UPDATE users SET name = 'x' WHERE user_id = 0")?;
            // The server ends the transaction that has changed less.
            let mut other = stage.direct(&stage.shards[0])?;
            other.run("CREATE TABLE heavy (id INT PRIMARY KEY)")?;
            other.run("BEGIN")?;
            let rows: Vec<_> = (0..200).map(|id| format!("({id})")).collect();
            other.run(&format!("INSERT INTO heavy VALUES {}", rows.join(",")))?;
            other.run("UPDATE users_2 SET name = 'y'")?;
            let outcome = std::thread::scope(|scope| {
                let waits = scope.spawn(|| client.query("UPDATE users SET name = 'z'"));
                std::thread::sleep(std::time::Duration::from_millis(300));
                let won = other.run("UPDATE users_0 SET name = 'y'");
                (join(waits), won)
            });
            assert_eq!((code(&outcome.0), outcome.1.is_ok()), (Some(DEADLOCK), true), "{outcome:?}");
            other.run("ROLLBACK")?;
            assert!(!in_transaction(&mut client)?);
            client.run("UPDATE users SET name = 'w'")?;
            assert_eq!(names(stage)?, "wwwwn");
            assert_tidy(stage);
            Ok(())
        },
    )
}

/// One has a row of each server, the other wants it.
#[test]
fn a_deadlock_on_one_server_rolls_back_on_all() -> TestResult {
    on_each_spread(
        "xa_deadlock",
        |config| two_phase(four_shards(config)),
        |stage| {
            let mut one = users(stage)?;
            let mut two = stage.connect()?;
            for (first, second) in [(1, 5), (5, 1)] {
                one.run("INSERT IGNORE INTO users (user_id, name) VALUES (5, 'e')")?;
                one.run("BEGIN")?;
                two.run("BEGIN")?;
                one.run("UPDATE notes SET note = 'one'")?;
                two.run("UPDATE users SET name = 'two' WHERE user_id = 2")?;
                one.run(&format!("UPDATE users SET name = 'one' WHERE user_id = {first}"))?;
                two.run(&format!("UPDATE users SET name = 'two' WHERE user_id = {second}"))?;
                let outcomes = std::thread::scope(|scope| {
                    let waits = scope.spawn(|| {
                        one.query(&format!("UPDATE users SET name = 'one' WHERE user_id = {second}"))
                    });
                    std::thread::sleep(std::time::Duration::from_millis(300));
                    let other = two.query(&format!("UPDATE users SET name = 'two' WHERE user_id = {first}"));
                    [join(waits), other]
                });
                let lost = outcomes.iter().position(|outcome| code(outcome) == Some(DEADLOCK));
                let lost = lost.unwrap_or_else(|| panic!("{outcomes:?}"));
                let [loser, winner] = if lost == 0 { [&mut one, &mut two] } else { [&mut two, &mut one] };
                assert!(!in_transaction(loser)?);
                assert_eq!(loser.scalar("SELECT 1 FROM users WHERE user_id = 0")?, "1");
                winner.run("COMMIT")?;
                let names = names(stage)?;
                assert!(!names.contains(["one", "two"][lost]), "{names}");
                winner.run("UPDATE notes SET note = 'n'")?;
                winner.run("UPDATE users SET name = 'u'")?;
            }
            assert_tidy(stage);
            Ok(())
        },
    )
}

#[test]
fn without_a_decision_everything_is_rolled_back() -> TestResult {
    on_each_spread(
        "xa_undecided",
        |config| two_phase(four_shards(config)),
        |stage| {
            let mut client = users(stage)?;
            client.run("UPDATE users SET name = 'x'")?;
            // As if somebody else had made it.
            let other = "DROP TABLE athena.xa_decisions; CREATE TABLE athena.xa_decisions (gtrid INT)";
            stage.shards[0].sql(other)?;
            for sql in
                ["UPDATE users SET name = 'y'", "INSERT INTO users (user_id, name) VALUES (4, 'a'), (5, 'b')"]
            {
                assert_refused(&client.query(sql), DURING_COMMIT, &["athena.xa_decisions", "INSERT"]);
                assert!(!in_transaction(&mut client)?);
                assert_eq!(names(stage)?, "xxxxn");
            }
            stage.shards[0].sql("DROP TABLE athena.xa_decisions")?;
            eventually("the table is made anew", PATIENCE, || {
                client.run("UPDATE users SET name = 'z'").map_err(|error| error.to_string())
            });
            assert_eq!(names(stage)?, "zzzzn");
            assert_tidy(stage);
            Ok(())
        },
    )
}

/// Sums stay as they are while many move parts of them between servers.
#[test]
fn money_is_neither_made_nor_lost() -> TestResult {
    on_each_spread(
        "xa_money",
        |config| two_phase(four_shards(config)),
        |stage| {
            let mut client = users(stage)?;
            client.run("ALTER TABLE users ADD COLUMN money INT NOT NULL DEFAULT 100")?;
            std::thread::scope(|scope| {
                let moves = |number: u64| {
                    move || -> TestResult {
                        let mut random = super::common::random::Random::new(number);
                        let mut client = stage.connect()?;
                        // Two that wait for each other on two servers are no deadlock to either.
                        client.run("SET innodb_lock_wait_timeout = 1")?;
                        for _ in 0..60 {
                            let (from, to) = (random.below(4), random.below(4));
                            client.run("BEGIN")?;
                            let moved = [(from, -1), (to, 1)].into_iter().try_for_each(|(key, by)| {
                                client.run(&format!(
                                    "UPDATE users SET money = money + {by} WHERE user_id = {key}"
                                ))
                            });
                            let ended = match moved {
                                Ok(()) if random.below(4) > 0 => client.run("COMMIT"),
                                Ok(()) => client.run("ROLLBACK"),
                                Err(error) => Err(error),
                            };
                            match ended {
                                Err(error) if ![Some(DEADLOCK), Some(LOCK_WAIT)].contains(&error.code()) => {
                                    return Err(error.into());
                                }
                                _ => {}
                            }
                            client.run("ROLLBACK")?;
                        }
                        Ok(())
                    }
                };
                let running: Vec<_> = (1..7).map(|number| scope.spawn(moves(number))).collect();
                running.into_iter().try_for_each(join)
            })?;
            assert_eq!(client.scalar("SELECT SUM(money) FROM users")?, "400");
            assert_tidy(stage);
            Ok(())
        },
    )
}
