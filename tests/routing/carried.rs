//! A read on a replica finds the session as it is, and leaves it as if it had run where the session is.

use std::thread;
use std::time::Duration;

use athena_perf::lab::Flavor;

use super::common::cluster::{ClusterStage, on_each_cluster, split};
use super::common::wire::{self, Connection, Reply, Value};
use super::common::{PATIENCE, TestResult, eventually, join, timed};
use super::front::{REPLICAS, name_servers};
use super::{root, split_at_once};

/// What is set, and an expression that shows it.
const SETTINGS: [(&str, &str, &str); 9] = [
    ("SET @x = 5", "@x + 1", "6"),
    ("SET @x = NULL", "COALESCE(@x, 'none')", "none"),
    ("SET @x = 'it''s', @`y z` = 1.50", "CONCAT(@x, @`y z`)", "it's1.50"),
    ("SET time_zone = '+05:00'", "TIMESTAMPDIFF(HOUR, UTC_TIMESTAMP(), NOW())", "5"),
    ("SET NAMES latin1", "CHARSET('x')", "latin1"),
    ("SET NAMES utf8mb4", "CHARSET('x')", "utf8mb4"),
    ("SET sql_mode = 'PIPES_AS_CONCAT,ANSI_QUOTES'", "'a' || 'b'", "ab"),
    ("SET div_precision_increment = 2", "1 / 3", "0.33"),
    ("SET lc_time_names = 'de_DE'", "MONTHNAME('2026-01-01')", "Januar"),
];

/// What asks about statements before, each list in a session of its own: all but the last are run, and the last one's rows are
/// compared.
const ASKED: [&[&str]; 10] = [
    &["SELECT SQL_CALC_FOUND_ROWS * FROM t LIMIT 1", "SELECT FOUND_ROWS()"],
    &["SELECT * FROM t WHERE id < 3", "SELECT FOUND_ROWS()"],
    &["SELECT * FROM t", "SELECT ROW_COUNT()"],
    &["SELECT CAST('x' AS SIGNED) FROM t", "SHOW WARNINGS"],
    &["SELECT CAST('x' AS SIGNED) FROM t", "SHOW COUNT(*) WARNINGS"],
    &["SELECT CAST('x' AS SIGNED) FROM t", "SELECT @@warning_count"],
    &["SELECT * FROM t", "SHOW WARNINGS"],
    &["SELECT nothing FROM t", "SHOW ERRORS"],
    &["SELECT * FROM nothing", "SHOW WARNINGS"],
    &["SELECT LAST_INSERT_ID(77)", "SELECT * FROM t", "SELECT LAST_INSERT_ID()"],
];

fn settings(stage: &ClusterStage) -> TestResult {
    let mut client = stage.connect()?;
    for (set, expression, wanted) in SETTINGS {
        client.run(set)?;
        // On both replicas, and not only where it was brought first.
        for _ in 0..4 {
            let rows = client.query(&format!("SELECT name, {expression} FROM who"))?.rows()?.rows;
            assert!(REPLICAS.contains(&rows[0][0].to_string().as_str()), "{set}: {rows:?}");
            assert_eq!(rows[0][1].to_string(), wanted, "{set}");
        }
    }
    assert_eq!(client.query("SELECT \"name\" FROM \"who\"")?.rows()?.rows.len(), 1, "quotes are of names");
    Ok(())
}

/// The rows of the last statement.
fn asked(client: &mut Connection, statements: &[&str]) -> TestResult<Vec<Vec<String>>> {
    let (last, before) = statements.split_last().ok_or("no statement")?;
    for sql in before {
        match client.query(sql) {
            Ok(_) => {}
            Err(error) if error.code().is_some() => {}
            Err(error) => return Err(error.into()),
        }
    }
    match client.query(last)? {
        Reply::Rows(rows) => {
            Ok(rows.rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect())
        }
        Reply::Ok(ok) => Err(format!("{last}: {ok:?}").into()),
    }
}

fn diagnostics(stage: &ClusterStage) -> TestResult {
    for statements in ASKED {
        let direct = asked(&mut stage.direct(&stage.servers.replicas[0])?, statements)?;
        let through = asked(&mut stage.connect()?, statements)?;
        assert_eq!(through, direct, "{statements:?}");
    }
    let mut client = stage.connect()?;
    client.run("INSERT INTO t (a) VALUES (4)")?;
    stage.servers.wait_for_replicas(PATIENCE)?;
    client.run("SELECT * FROM t")?;
    assert_eq!(client.scalar("SELECT LAST_INSERT_ID()")?, "4", "behind a read elsewhere");
    Ok(())
}

/// A statement that runs on a replica is in the list, and can be ended.
fn kill(stage: &ClusterStage) -> TestResult {
    let sleeper = stage.connect()?;
    let id = sleeper.greeting().connection_id;
    let mut killer = stage.connect()?;
    thread::scope(|scope| {
        let sleep = scope.spawn(move || {
            let mut sleeper = sleeper;
            sleeper.set_read_timeout(Duration::from_secs(40))?;
            let (outcome, time) = timed(|| sleeper.query("SELECT SLEEP(30) FROM who"));
            Ok::<_, wire::Error>((outcome, time, sleeper))
        });
        let sleeping =
            "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(30)%'";
        eventually("it sleeps on a replica", PATIENCE, || {
            let count = |server| -> TestResult<String> { Ok(root(server)?.scalar(sleeping)?) };
            let on: Result<Vec<String>, _> = stage.servers.all().map(count).collect();
            match on.map_err(|error| error.to_string())?.as_slice() {
                [primary, one, other] if primary == "0" && (one == "1") != (other == "1") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        let list = killer.query("SHOW PROCESSLIST")?.rows()?.rows;
        let is_it = |row: &&Vec<Value>| row[0].to_string() == id.to_string();
        let row = list.iter().find(is_it).ok_or("it is not in the list")?;
        assert!(row[7].to_string().starts_with("SELECT SLEEP(30)"), "{row:?}");
        killer.run(&format!("KILL QUERY {id}"))?;
        let (outcome, time, mut sleeper) = join(sleep)?;
        assert!(time < Duration::from_secs(20), "{time:?}: {outcome:?}");
        assert_eq!(sleeper.scalar("SELECT 1")?, "1");
        Ok(())
    })
}

#[test]
fn a_session_is_itself_on_replicas() -> TestResult {
    on_each_cluster("routing_carried", split_at_once, |stage| {
        name_servers(stage)?;
        let schema = "USE test; CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a INT)";
        stage.servers.primary.sql(&format!("{schema}; INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)"))?;
        if stage.servers.primary.flavor() == Flavor::MySql {
            // An account is known to a MySQL once it has logged in.
            stage.servers.primary.app_client().run("SELECT 1")?;
        }
        stage.servers.wait_for_replicas(PATIENCE)?;
        stage.wait_until_well();
        settings(stage)?;
        diagnostics(stage)?;
        kill(stage)
    })
}

/// The question to a replica, and its answer, are of the session's character sets.
#[test]
fn a_replica_is_waited_for_in_every_character_set() -> TestResult {
    let patient = |config| split(config).set("routing", "read_your_writes_timeout_ms", "15000");
    on_each_cluster("routing_charsets", patient, |stage| {
        stage.servers.primary.sql("CREATE TABLE test.t (a INT)")?;
        stage.servers.wait_for_replicas(PATIENCE)?;
        stage.wait_until_well();
        let mut client = stage.connect()?;
        client.run("SET character_set_connection = ucs2, character_set_results = utf16")?;
        for _ in 0..20 {
            client.run("INSERT INTO test.t VALUES (1)")?;
            client.run("SELECT a FROM test.t")?;
        }
        let caught_up = |outcome| stage.sum("athena_read_catch_ups_total", &[("outcome", outcome)]);
        assert!(caught_up("waited") > 0.0);
        assert_eq!(caught_up("timed_out"), 0.0);
        Ok(())
    })
}
