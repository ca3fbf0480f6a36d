//! Results of several shards that go to the client while the shards still answer: in little memory, in order, and with an end
//! that everybody knows of, however it comes.

use std::thread;
use std::time::{Duration, Instant};

use athena_perf::proxy::AthenaConfig;

use super::SHARDED;
use super::common::stage::{Stage, on_each_server};
use super::common::wire::{Connection, Error, Login, Value, capability, command};
use super::common::{PATIENCE, TestResult, eventually, timed};
use super::faults::{assert_gone, client, code, four_shards, users, wait_for_parts};

const INTERRUPTED: u16 = 1317;
const STATEMENT_TIMEOUT: u16 = 1969;
const QUERY_TIMEOUT: u16 = 3024;
const OUT_OF_RANGE: u16 = 1690;
const LOST: [u16; 4] = [1158, 1159, 1927, 2013];

const MIB: u64 = 1 << 20;

/// Rows of `users` in [`many`], evenly on all shards.
const MANY: usize = 4000;

/// `users` with many rows.
fn many(stage: &Stage) -> TestResult<Connection> {
    let mut client = users(stage)?;
    let rows: Vec<_> = (4..MANY).map(|id| format!("({id}, 'x')")).collect();
    client.run(&format!("INSERT INTO users (user_id, name) VALUES {}", rows.join(", ")))?;
    Ok(client)
}

/// All rows are there, and nothing of what was before.
fn assert_clean(stage: &Stage, clients: &mut [&mut Connection]) -> TestResult {
    let mut new = client(stage)?;
    for client in clients.iter_mut().map(|client| &mut **client).chain([&mut new]) {
        for _ in 0..3 {
            assert_eq!(client.scalar("SELECT 'usable'")?, "usable");
            assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, MANY.to_string());
            let rows =
                client.query("SELECT user_id FROM users WHERE user_id < 8 ORDER BY user_id")?.rows()?.rows;
            assert_eq!(rows.concat(), (0..8).map(|id| Value::text(&id.to_string())).collect::<Vec<_>>());
        }
    }
    Ok(())
}

/// The number in the first column.
fn id_of(row: &[u8]) -> usize {
    let digits = &row[1..1 + usize::from(row[0])];
    std::str::from_utf8(digits).expect("digits").parse().expect("a number")
}

/// The rest of a result: its numbers, and the error that it ends with.
fn rest(client: &mut Connection) -> (Vec<usize>, Option<Error>) {
    let (mut ids, mut row) = (Vec::new(), Vec::new());
    loop {
        match client.next_row(&mut row) {
            Ok(true) => ids.push(id_of(&row)),
            Ok(false) => return (ids, None),
            Err(error) => return (ids, Some(error)),
        }
    }
}

/// 400 MB through four shards to a client that reads slowly, with and without an order.
#[test]
fn large_results_cost_no_memory() -> TestResult {
    on_each_server("sharding_stream_memory", four_shards, |stage| {
        let mut client = many(stage)?;
        for (order, growth_max) in [("", 6 * MIB), (" ORDER BY user_id", 8 * MIB)] {
            // Whatever grows with use has grown.
            client.query(&format!("SELECT user_id, REPEAT('x', 1000) FROM users{order} LIMIT 2000"))?;
            let before = stage.athena.usage().rss_bytes();
            let (mut highest, mut row, mut ids) = (before, Vec::new(), Vec::new());
            client.start_rows(&format!("SELECT user_id, REPEAT('x', 100000) FROM users{order}"))?;
            while client.next_row(&mut row)? {
                assert!(row.len() > 100_000 && row[100..].iter().all(|byte| *byte == b'x'));
                ids.push(id_of(&row));
                if ids.len() % 500 == 1 {
                    // Long enough for whatever is between server and client to fill up.
                    thread::sleep(Duration::from_millis(if ids.len() == 1 { 1500 } else { 200 }));
                }
                highest = highest.max(stage.athena.usage().rss_bytes());
            }
            let growth = highest.saturating_sub(before);
            println!("{order:?}: grew by {} KiB from {} KiB", growth >> 10, before >> 10);
            assert!(growth < growth_max, "{order:?}: grew by {growth} bytes, from {before}");
            if order.is_empty() {
                ids.sort_unstable();
            }
            assert!(ids.iter().copied().eq(0..MANY), "{order:?}: {} rows", ids.len());
            assert_clean(stage, &mut [&mut client])?;
        }
        Ok(())
    })
}

/// What is kept whole has a limit; what goes out as it comes has none.
#[test]
fn limits_are_for_what_is_kept() -> TestResult {
    let small = |config| {
        four_shards(config).text("[sharding_defaults]\nmax_merge_rows = 100\nmax_merge_bytes = 20000\n")
    };
    on_each_server("sharding_stream_limits", small, |stage| {
        let mut client = many(stage)?;
        for prepared in [false, true] {
            for order in ["", " ORDER BY user_id DESC", " ORDER BY user_id LIMIT 3000 OFFSET 500"] {
                let sql = format!("SELECT user_id, REPEAT('y', 90) FROM users{order}");
                let rows = if prepared {
                    let statement = client.prepare(&sql)?;
                    client.execute(&statement, &[])?.rows()?.rows
                } else {
                    client.query(&sql)?.rows()?.rows
                };
                let mut ids: Vec<usize> =
                    rows.iter().map(|row| row[0].to_string().parse()).collect::<Result<_, _>>()?;
                match order {
                    "" => ids.sort_unstable(),
                    order if order.contains("DESC") => ids.reverse(),
                    _ => {
                        assert!(ids.iter().copied().eq(500..3500), "{order}, prepared: {prepared}");
                        continue;
                    }
                }
                assert!(ids.iter().copied().eq(0..MANY), "{order}, prepared: {prepared}");
            }
        }
        assert_eq!(
            code(&client.query("SELECT user_id, COUNT(*) FROM users GROUP BY user_id % 1000, user_id")),
            None
        );
        // One after the other on the session's link, the first ones have to be kept if there is an order.
        client.run("BEGIN")?;
        let sql = "SELECT user_id, REPEAT('y', 90) FROM users";
        assert_eq!(code(&client.query(&format!("{sql} ORDER BY user_id"))), Some(1235));
        assert_eq!(client.query(sql)?.rows()?.rows.len(), MANY);
        client.run("ROLLBACK")?;
        assert_clean(stage, &mut [&mut client])
    })
}

/// Clients that know of no OK packet behind rows, or of no changes of a session.
#[test]
fn clients_of_every_kind() -> TestResult {
    on_each_server("sharding_stream_clients", four_shards, |stage| {
        let mut known = many(stage)?;
        let login = || Login::app().database(SHARDED);
        for login in [login().without(capability::DEPRECATE_EOF), login().without(capability::SESSION_TRACK)]
        {
            let mut client = stage.login(&login)?;
            for order in ["", " ORDER BY user_id"] {
                client.start_rows(&format!("SELECT user_id, REPEAT('x', 5000) FROM users{order}"))?;
                let (mut ids, error) = rest(&mut client);
                assert!(error.is_none(), "{error:?}");
                if order.is_empty() {
                    ids.sort_unstable();
                }
                assert!(ids.iter().copied().eq(0..MANY), "{order:?}: {} rows", ids.len());
            }
            assert_clean(stage, &mut [&mut client, &mut known])?;
        }
        Ok(())
    })
}

/// The client has rows long before the last shard has ended, and the rest comes as it is made.
#[test]
fn rows_do_not_wait_for_the_last_shard() -> TestResult {
    on_each_server("sharding_stream_first", four_shards, |stage| {
        let mut client = many(stage)?;
        for (slow, order) in [(0, ""), (3, ""), (0, " ORDER BY user_id"), (3, " ORDER BY user_id")] {
            // A server sends what it has once it has more than 16 KiB.
            let text = format!("SLEEP(0.4{slow})");
            let sql = format!(
                "SELECT user_id, IF(user_id % 4 = {slow}, {text}, 0), REPEAT('x', 20000) FROM users WHERE user_id < 40{order}"
            );
            let start = Instant::now();
            client.start_rows(&sql)?;
            let mut row = Vec::new();
            assert!(client.next_row(&mut row)?);
            let first = start.elapsed();
            assert!(!parts(stage, &text)?.is_empty(), "the slow one goes on");
            let (mut ids, error) = rest(&mut client);
            let all = start.elapsed();
            assert!(error.is_none(), "{error:?}");
            println!("{text}{order}: the first row after {first:?}, the last after {all:?}");
            assert!(first * 2 < all, "{text}{order}: the first row after {first:?}, the last after {all:?}");
            ids.insert(0, id_of(&row));
            if order.is_empty() {
                ids.sort_unstable();
            }
            assert!(ids.iter().copied().eq(0..40), "{ids:?}");
        }
        Ok(())
    })
}

/// What to look for in a server's list.
fn plain(text: &str) -> String {
    text.replace('\'', "_")
}

fn parts(stage: &Stage, text: &str) -> TestResult<String> {
    let sql = format!(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE '%{text}%' AND INFO NOT LIKE '%PROCESSLIST%'"
    );
    Ok(stage.server.sql(&sql)?)
}

/// Once a LIMIT is met nobody waits for the shards that are still at it, and they don't go on.
#[test]
fn a_limit_ends_the_others() -> TestResult {
    on_each_server("sharding_stream_limit", four_shards, |stage| {
        let mut client = many(stage)?;
        let mut other = self::client(stage)?;
        for round in 0..6 {
            let slow = round % 4;
            let text = format!("SLEEP(20.{round})");
            let sql =
                format!("SELECT user_id, IF(user_id % 4 = {slow}, {text}, 0) FROM users LIMIT 30 OFFSET 20");
            let (rows, took) = timed(|| {
                if round < 4 {
                    client.query(&sql)?.rows()
                } else {
                    let statement = client.prepare(&sql)?;
                    client.execute(&statement, &[])?.rows()
                }
            });
            let rows = rows?.rows;
            assert_eq!(rows.len(), 30);
            println!("{text}: {took:?}");
            assert!(took < Duration::from_secs(5), "{text}: {took:?}");
            assert_gone(stage, &plain(&text));
            assert_clean(stage, &mut [&mut client, &mut other])?;
        }
        // DISTINCT of several shards is kept, and enough at some time, too.
        let text = "SLEEP(20.7)";
        let sql = format!("SELECT DISTINCT name FROM users WHERE IF(user_id % 4 = 2, {text}, 0) = 0 LIMIT 1");
        let (rows, took) = timed(|| client.query(&sql));
        assert_eq!(rows?.rows()?.rows.len(), 1);
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_gone(stage, text);
        assert_clean(stage, &mut [&mut client, &mut other])
    })
}

/// Shards that are about to end keep their links.
#[test]
fn a_limit_closes_no_links_without_need() -> TestResult {
    on_each_server("sharding_stream_links", four_shards, |stage| {
        let mut client = many(stage)?;
        client.query("SELECT user_id FROM users LIMIT 3")?;
        let closed = || -> TestResult<f64> { Ok(stage.athena.metric("athena_links_closed_total", &[])?) };
        let before = closed()?;
        for _ in 0..200 {
            assert_eq!(client.query("SELECT user_id FROM users LIMIT 3")?.rows()?.rows.len(), 3);
        }
        let closed = closed()? - before;
        assert!(closed <= 10.0, "{closed} of 800");
        Ok(())
    })
}

/// An error of a shard whose first rows the client has: it stands behind them, and the session goes on.
#[test]
fn errors_in_the_middle() -> TestResult {
    on_each_server("sharding_stream_error", four_shards, |stage| {
        let mut client = many(stage)?;
        let mut other = self::client(stage)?;
        for (round, shard) in [0, 1, 3, 3].into_iter().enumerate() {
            let bad = 2000 + shard;
            let order = if round % 2 == 0 { "" } else { " ORDER BY user_id" };
            let sql = format!(
                "SELECT user_id, IF(user_id = {bad}, 9223372036854775807 + user_id, 0), REPEAT('x', 5000) FROM users{order}"
            );
            for _ in 0..3 {
                client.start_rows(&sql)?;
                let mut row = Vec::new();
                assert!(client.next_row(&mut row)?);
                thread::sleep(Duration::from_millis(100));
                let (ids, error) = rest(&mut client);
                assert_eq!(
                    error.and_then(|error| error.code()),
                    Some(OUT_OF_RANGE),
                    "behind {} rows",
                    ids.len()
                );
                assert!(ids.len() < MANY - 1 && !ids.contains(&bad));
                if !order.is_empty() {
                    assert!(ids.is_sorted() && ids.iter().all(|id| *id < bad));
                }
                assert_clean(stage, &mut [&mut client, &mut other])?;
            }
            // Without a row of it the error is the answer.
            let outcome = client.query(
                &sql.replace("REPEAT('x', 5000)", "1")
                    .replace("FROM users", "FROM users WHERE user_id > 1999"),
            );
            assert_eq!(code(&outcome), Some(OUT_OF_RANGE), "{outcome:?}");
        }
        Ok(())
    })
}

/// A connection of a part that is lost when the client has rows: that is an error behind them, and the statement is not said again.
#[test]
fn links_that_die_in_the_middle() -> TestResult {
    on_each_server("sharding_stream_dying", four_shards, |stage| {
        let mut client = many(stage)?;
        let mut other = self::client(stage)?;
        for round in 0..8 {
            let order = if round % 2 == 0 { "" } else { " ORDER BY user_id" };
            client.start_rows(&format!("SELECT user_id, REPEAT('x', 40005{round}) FROM users{order}"))?;
            let mut row = Vec::new();
            assert!(client.next_row(&mut row)?);
            let part = format!("40005{round}%users\\_{}`", round / 2);
            let ids = wait_for_parts(stage, &part, 1);
            stage.server.sql(&format!("KILL {}", ids[0]))?;
            let (ids, error) = rest(&mut client);
            let code = error.and_then(|error| error.code()).unwrap_or_default();
            assert!(LOST.contains(&code), "{code} behind {} rows", ids.len());
            assert!(ids.len() < MANY / 2, "{} rows", ids.len());
            assert_gone(stage, &format!("40005{round}"));
            assert_clean(stage, &mut [&mut client, &mut other])?;
        }
        Ok(())
    })
}

#[test]
fn kill_query_in_the_middle() -> TestResult {
    on_each_server("sharding_stream_kill", four_shards, |stage| {
        let mut client = many(stage)?;
        let mut killer = self::client(stage)?;
        let id = client.greeting().connection_id;
        for (round, order) in ["", " ORDER BY user_id", ""].into_iter().enumerate() {
            let text = format!("REPEAT('x', 40000{round})");
            client.start_rows(&format!("SELECT user_id, {text} FROM users{order}"))?;
            let mut row = Vec::new();
            assert!(client.next_row(&mut row)?);
            thread::sleep(Duration::from_millis(300));
            killer.run(&format!("KILL QUERY {id}"))?;
            let (ids, error) = rest(&mut client);
            assert_eq!(error.and_then(|error| error.code()), Some(INTERRUPTED), "behind {} rows", ids.len());
            println!("{order:?}: {} rows behind a KILL", ids.len());
            assert!(ids.len() < MANY / 4, "{} rows", ids.len());
            assert_clean(stage, &mut [&mut client, &mut killer])?;
        }
        Ok(())
    })
}

#[test]
fn kill_in_the_middle() -> TestResult {
    on_each_server("sharding_stream_kill_session", four_shards, |stage| {
        let mut killer = many(stage)?;
        killer.query("SELECT user_id FROM users")?;
        let before = stage.settled_census();
        for (round, order) in ["", " ORDER BY user_id"].into_iter().enumerate() {
            let mut client = self::client(stage)?;
            let text = format!("REPEAT('x', 40001{round})");
            client.start_rows(&format!("SELECT user_id, {text} FROM users{order}"))?;
            let mut row = Vec::new();
            assert!(client.next_row(&mut row)?);
            thread::sleep(Duration::from_millis(300));
            killer.run(&format!("KILL {}", client.greeting().connection_id))?;
            assert!(rest(&mut client).1.is_some());
            assert!(client.query("SELECT 1").is_err(), "it has ended");
            assert_gone(stage, &plain(&text));
        }
        assert_clean(stage, &mut [&mut killer])?;
        stage.assert_back_to(before);
        Ok(())
    })
}

#[test]
fn a_client_that_goes_in_the_middle() -> TestResult {
    on_each_server("sharding_stream_gone", four_shards, |stage| {
        let mut other = many(stage)?;
        other.query("SELECT user_id FROM users")?;
        let before = stage.settled_census();
        for round in 0..4 {
            let mut client = self::client(stage)?;
            let order = if round % 2 == 0 { "" } else { " ORDER BY user_id" };
            // With the last two it goes while nothing is sent.
            let text =
                if round < 2 { format!("REPEAT('x', 40002{round})") } else { format!("SLEEP(0.{round}1)") };
            client.start_rows(&format!("SELECT user_id, {text}, REPEAT('x', 20000) FROM users{order}"))?;
            let mut row = Vec::new();
            assert!(client.next_row(&mut row)?);
            wait_for_parts(stage, &plain(&text), 1);
            drop(client);
            assert_gone(stage, &plain(&text));
        }
        assert_clean(stage, &mut [&mut other])?;
        stage.assert_back_to(before);
        Ok(())
    })
}

/// The time that a client has to take what is sent holds for results of several shards as well.
#[test]
fn a_client_that_does_not_read() -> TestResult {
    let impatient = |config: AthenaConfig| four_shards(config).set("server", "write_timeout_ms", "1500");
    on_each_server("sharding_stream_unread", impatient, |stage| {
        let mut other = many(stage)?;
        other.query("SELECT user_id FROM users")?;
        let before = stage.settled_census();
        for (round, order) in ["", " ORDER BY user_id"].into_iter().enumerate() {
            let unread = stage.errors("write_timeout")?;
            let mut client = self::client(stage)?;
            let text = format!("REPEAT('x', 40003{round})");
            client.send(command::QUERY, format!("SELECT user_id, {text} FROM users{order}").as_bytes())?;
            eventually("it is given up", PATIENCE, || match stage.errors("write_timeout") {
                Ok(now) if now > unread => Ok(()),
                other => Err(format!("{other:?}")),
            });
            assert_gone(stage, &plain(&text));
        }
        assert_clean(stage, &mut [&mut other])?;
        stage.assert_back_to(before);
        Ok(())
    })
}

#[test]
fn time_that_is_over_in_the_middle() -> TestResult {
    let limited = |config| four_shards(config).set("pool", "query_timeout_ms", "1200");
    on_each_server("sharding_stream_timeout", limited, |stage| {
        let mut client = many(stage)?;
        let mut other = self::client(stage)?;
        let mariadb = client.greeting().version.contains("MariaDB");
        let wanted = if mariadb { STATEMENT_TIMEOUT } else { QUERY_TIMEOUT };
        for (round, order) in ["", " ORDER BY user_id", "", ""].into_iter().enumerate() {
            // A client that is slow, one slow shard beside, and the session's own.
            let slow = match round {
                0 | 1 => "0".to_owned(),
                2 => "IF(user_id % 4 = 3, SLEEP(0.3), 0)".to_owned(),
                _ => "IF(user_id % 4 = 0, SLEEP(0.3), 0)".to_owned(),
            };
            let text = format!("REPEAT('x', 40004{round})");
            client.start_rows(&format!("SELECT user_id, {slow}, {text} FROM users{order}"))?;
            let mut row = Vec::new();
            assert!(client.next_row(&mut row)?);
            if round < 2 {
                thread::sleep(Duration::from_millis(1800));
            }
            let (ids, error) = rest(&mut client);
            assert_eq!(
                error.and_then(|error| error.code()),
                Some(wanted),
                "round {round}, {} rows",
                ids.len()
            );
            assert_gone(stage, &plain(&text));
            assert_clean(stage, &mut [&mut client, &mut other])?;
        }
        Ok(())
    })
}
