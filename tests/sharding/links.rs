//! Links and permits of statements of several shards: few of them, many sessions, and replicas.

use std::thread;

use athena_perf::lab::Server;
use athena_perf::proxy::AthenaConfig;

use super::SHARDED;
use super::common::cluster::{ClusterStage, on_each_cluster, split};
use super::common::random::Random;
use super::common::stage::{Stage, on_each_server};
use super::common::wire::{Connection, Login, Value, command};
use super::common::{PATIENCE, TestResult, eventually, join};
use super::faults::{client, four_shards, users, wait_for_parts};

const SESSIONS: usize = 8;
const ROUNDS: usize = 40;

/// Reads, writes and transactions of one session; `own` is a row that nobody else changes.
fn work(stage: &Stage, number: usize, transactions: bool) -> TestResult {
    let mut random = Random::new(number as u64);
    let mut client = client(stage)?;
    let all = client.prepare("SELECT COUNT(*) FROM users WHERE user_id < ?")?;
    for round in 0..ROUNDS {
        let context = |error| format!("session {number}, round {round}: {error}");
        match random.below(if transactions { 6 } else { 3 }) {
            0 => {
                let rows = client.query("SELECT user_id FROM users WHERE user_id < 4").map_err(context)?;
                assert_eq!(rows.rows()?.rows.len(), 4);
            }
            1 => {
                let rows = client.execute(&all, &[Value::Int(4)]).map_err(context)?;
                assert_eq!(rows.rows()?.scalar()?.to_string(), "4");
            }
            2 => {
                let sql = format!("SELECT COUNT(*) FROM users WHERE user_id = {}", random.below(4));
                assert_eq!(client.scalar(&sql).map_err(context)?, "1");
            }
            kind => {
                client.run(["BEGIN", "SET autocommit = 0", "BEGIN"][kind - 3]).map_err(context)?;
                let own = 100 + number;
                client
                    .run(&format!("INSERT INTO users (user_id, name) VALUES ({own}, 'x{number}')"))
                    .map_err(context)?;
                let sql = format!("SELECT COUNT(*) FROM users WHERE user_id < 4 OR name = 'x{number}'");
                let count = client.scalar(&sql).map_err(context)?;
                assert_eq!(count, "5", "session {number}, round {round}");
                client.run(["ROLLBACK", "SET autocommit = 1", "COMMIT"][kind - 3]).map_err(context)?;
                client.run(&format!("DELETE FROM users WHERE user_id = {own}")).map_err(context)?;
            }
        }
    }
    Ok(())
}

fn all_work(stage: &Stage, transactions: bool) -> TestResult {
    thread::scope(|scope| {
        let working: Vec<_> =
            (0..SESSIONS).map(|number| scope.spawn(move || work(stage, number, transactions))).collect();
        working.into_iter().try_for_each(join)
    })
}

/// Nobody reads what a transaction has not committed; so sessions with rows of their own see those alone.
fn few(links: &'static str, permits: Option<&'static str>) -> impl Fn(AthenaConfig) -> AthenaConfig {
    move |config| {
        let config = four_shards(config)
            .set("pool", "max_connections", links)
            .set("pool", "checkout_timeout_ms", "60000")
            .set("circuit", "queue_timeout_ms", "60000")
            .set("circuit", "queue_size", "1000");
        match permits {
            Some(permits) => config.set("circuit", "max_concurrent_per_user_shard", permits),
            None => config,
        }
    }
}

fn nobody_is_stuck(name: &str, links: &'static str, permits: Option<&'static str>) -> TestResult {
    on_each_server(name, few(links, permits), |stage| {
        let mut other = users(stage)?;
        other.scalar("SELECT COUNT(*) FROM users")?;
        // Whoever was there before may be on the way out.
        eventually("there is one client", PATIENCE, || {
            match stage.athena.metric("athena_connections", &[]).map_err(|error| error.to_string())? {
                1.0 => Ok(()),
                count => Err(count.to_string()),
            }
        });
        let before = stage.settled_census();
        all_work(stage, true)?;
        stage.assert_back_to(before);
        assert_eq!(other.scalar("SELECT COUNT(*) FROM users")?, "4");
        Ok(())
    })
}

#[test]
fn one_link_does() -> TestResult {
    nobody_is_stuck("sharding_one_link", "1", None)
}

#[test]
fn two_links_do() -> TestResult {
    nobody_is_stuck("sharding_two_links", "2", None)
}

#[test]
fn one_permit_of_each_shard_does() -> TestResult {
    nobody_is_stuck("sharding_one_permit", "20", Some("1"))
}

#[test]
fn few_links_and_permits_do() -> TestResult {
    nobody_is_stuck("sharding_few", "2", Some("1"))?;
    nobody_is_stuck("sharding_fewest", "1", Some("1"))
}

/// A session that is bound to its link without a permit, and those who have permits and wait for a link.
#[test]
fn who_waits_for_a_link_keeps_no_permit() -> TestResult {
    on_each_server("sharding_permit_and_link", few("1", Some("1")), |stage| {
        let mut holder = users(stage)?;
        let mut waiting = [client(stage)?, client(stage)?];
        holder.run("CREATE TEMPORARY TABLE mine (a INT)")?;
        for client in &mut waiting {
            client.send(command::QUERY, b"SELECT COUNT(*) FROM users")?;
        }
        thread::sleep(std::time::Duration::from_millis(300));
        for round in 0..8 {
            let sql = format!("SELECT COUNT(*) FROM users WHERE user_id = {}", round % 4);
            assert_eq!(holder.scalar(&sql)?, "1");
            assert_eq!(holder.scalar("SELECT COUNT(*) FROM users")?, "4");
        }
        holder.quit()?;
        for client in &mut waiting {
            assert_eq!(client.read_reply()?.rows()?.scalar()?.to_string(), "4");
        }
        Ok(())
    })
}

/// `[[limits]]` knows a statement by what its client says, whatever the shards are told.
#[test]
fn limits_of_one_statement() -> TestResult {
    let limited = |config| {
        few("20", Some("50"))(config).text(
            "[[limits]]\nstatement = \"SELECT SLEEP(1) FROM users WHERE user_id = 1\"\nmax_concurrent = 1\nqueue_size = 0\n",
        )
    };
    on_each_server("sharding_limits_text", limited, |stage| {
        users(stage)?;
        let (mut runs, mut waits) = (client(stage)?, client(stage)?);
        let prepared = "SELECT SLEEP(?) FROM users WHERE user_id = ?";
        let (long, short) = (runs.prepare(prepared)?, waits.prepare(prepared)?);
        let parameters = |seconds| [Value::Int(seconds), Value::Int(2)];
        runs.send(command::STMT_EXECUTE, &long.execution(&parameters(2)))?;
        wait_for_parts(stage, "SLEEP", 1);
        for outcome in [
            waits.execute(&short, &parameters(0)),
            waits.query("SELECT SLEEP(0) FROM users WHERE user_id = 6"),
        ] {
            let message = outcome.expect_err("the one place is taken").to_string();
            assert!(message.contains("[[limits]]"), "{message}");
        }
        waits.query("SELECT SLEEP(0), 1 FROM users WHERE user_id = 2")?;
        runs.read_binary_reply()?;
        waits.execute(&short, &parameters(0))?;
        Ok(())
    })
}

/// `[[limits]]` of one shard counts what is said there, of a read of several shards as well.
#[test]
fn limits_of_one_shard() -> TestResult {
    let limited = |config| {
        few("20", Some("50"))(config).text("[[limits]]\nshard = 2\nmax_concurrent = 1\nqueue_size = 0\n")
    };
    on_each_server("sharding_limits", limited, |stage| {
        let mut client = users(stage)?;
        let mut others = [self::client(stage)?, self::client(stage)?, self::client(stage)?];
        let before = stage.settled_census();
        client.send(command::QUERY, b"SELECT user_id, SLEEP(1.5) FROM users")?;
        wait_for_parts(stage, "SLEEP(1.5)", 1);
        for shard in [0, 1, 3] {
            let sql = format!("SELECT COUNT(*) FROM users WHERE user_id = {shard}");
            assert_eq!(others[0].scalar(&sql)?, "1", "its shard has places");
            assert_eq!(others[1].scalar("SELECT COUNT(*) FROM users WHERE user_id IN (0, 1, 3)")?, "3");
        }
        for sql in ["SELECT COUNT(*) FROM users WHERE user_id = 2", "SELECT COUNT(*) FROM users"] {
            let error = others[2].query(sql).expect_err("no place on shard 2");
            let message = error.to_string();
            assert!(message.contains("shard 2") && message.contains("[[limits]]"), "{message}");
        }
        assert_eq!(client.read_reply()?.rows()?.rows.len(), 4);
        assert_eq!(others[2].scalar("SELECT COUNT(*) FROM users")?, "4");
        stage.assert_back_to(before);
        Ok(())
    })
}

/// Parts of reads that this server was told.
fn told(server: &Server) -> TestResult<u64> {
    let sql = "SELECT COUNT(*) FROM mysql.general_log WHERE argument LIKE 'SELECT name FROM%users%'";
    Ok(server.sql(sql)?.parse()?)
}

/// How many parts of a read the primary is told, and how many the replicas.
fn parts(stage: &ClusterStage, client: &mut Connection) -> TestResult<(u64, u64)> {
    let servers = &stage.servers;
    let now = || -> TestResult<(u64, u64)> {
        let replicas = servers.replicas.iter().map(told).sum::<TestResult<u64>>()?;
        Ok((told(&servers.primary)?, replicas))
    };
    let before = now()?;
    assert_eq!(client.query("SELECT name FROM users")?.rows()?.rows.len(), 4);
    let after = now()?;
    Ok((after.0 - before.0, after.1 - before.1))
}

fn reads_go_to_replicas(stage: &mut ClusterStage) -> TestResult {
    stage.wait_until_well();
    stage.servers.primary.sql(&format!("CREATE DATABASE {SHARDED}"))?;
    stage.servers.wait_for_replicas(PATIENCE)?;
    let mut client = stage.login(&Login::app().database(SHARDED))?;
    client.run("CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(200))")?;
    client.run("INSERT INTO users (user_id, name) VALUES (0, 'a'), (1, 'b'), (2, 'c'), (3, 'd')")?;
    for round in 4..60 {
        // What it has written just now, on one shard and on several.
        let sql = match round % 2 {
            0 => format!("INSERT INTO users (user_id, name) VALUES ({round}, 'x')"),
            _ => format!("INSERT INTO users (user_id, name) VALUES ({round}, 'x'), ({}, 'y')", -round),
        };
        client.run(&sql)?;
        let sql = format!("SELECT COUNT(*) FROM users WHERE user_id >= {round} OR user_id <= -{round}");
        assert_eq!(client.scalar(&sql)?, if round % 2 == 0 { "1" } else { "2" });
    }
    client.run("DELETE FROM users WHERE user_id > 3 OR user_id < 0")?;
    assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "4");
    stage.servers.wait_for_replicas(PATIENCE)?;
    for server in stage.servers.all() {
        server.sql("SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = 1")?;
    }
    eventually("reads go to a replica", PATIENCE, || {
        let parts = parts(stage, &mut client).map_err(|error| error.to_string())?;
        if parts == (0, 4) { Ok(()) } else { Err(format!("{parts:?}")) }
    });
    for _ in 0..5 {
        assert_eq!(parts(stage, &mut client)?, (0, 4));
    }
    client.run("BEGIN")?;
    assert_eq!(parts(stage, &mut client)?, (4, 0));
    client.run("UPDATE users SET name = 'new'")?;
    assert_eq!(client.scalar("SELECT COUNT(*) FROM users WHERE name = 'new'")?, "4");
    client.run("COMMIT")?;
    assert_eq!(client.scalar("SELECT COUNT(*) FROM users WHERE name = 'new'")?, "4");
    Ok(())
}

/// A replica that dies in the middle of a read: the read is said again elsewhere, whichever part had its link there.
fn reads_outlive_a_replica(stage: &mut ClusterStage) -> TestResult {
    stage.wait_until_well();
    stage.servers.primary.sql(&format!("CREATE DATABASE {SHARDED}"))?;
    stage.servers.wait_for_replicas(PATIENCE)?;
    let mut client = stage.login(&Login::app().database(SHARDED))?;
    client.run("CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(200))")?;
    client.run("INSERT INTO users (user_id, name) VALUES (0, 'a'), (1, 'b'), (2, 'c'), (3, 'd')")?;
    stage.servers.wait_for_replicas(PATIENCE)?;
    client.send(command::QUERY, b"SELECT user_id, SLEEP(1.1) FROM users")?;
    let sql = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%SLEEP(1.1)%' AND INFO NOT LIKE '%PROCESSLIST%'";
    let busy = eventually("a replica reads", PATIENCE, || {
        let count = |server: &Server| server.sql(sql).is_ok_and(|count| count != "0");
        stage.servers.replicas.iter().position(count).ok_or_else(|| "none".to_owned())
    });
    stage.servers.replicas[busy].kill();
    assert_eq!(client.read_reply()?.rows()?.rows.len(), 4);
    assert_eq!(client.scalar("SELECT COUNT(*) FROM users")?, "4");
    Ok(())
}

#[test]
fn a_read_of_several_shards_outlives_a_replica() -> TestResult {
    on_each_cluster("sharding_replica", |config| split(four_shards(config)), reads_outlive_a_replica)
}

#[test]
fn reads_of_several_shards_go_to_replicas() -> TestResult {
    on_each_cluster("sharding_split", |config| split(four_shards(config)), reads_go_to_replicas)
}
