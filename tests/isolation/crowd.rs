//! Twenty sessions at once on a few links, which come and go.

use std::thread;
use std::time::Duration;

use crate::common::TestResult;
use crate::common::random::Random;
use crate::common::stage::Stage;
use crate::common::wire::Connection;
use crate::{clients_on_every_link, crowd, stage};

const SESSIONS: usize = 20;
const LINKS: usize = 4;
const VISITS: usize = 12;

/// A session that has no state finds none; then it sets all there is, and finds its own.
#[test]
fn sessions_with_state_come_and_go() -> TestResult {
    let stage = stage("isolation_visits", LINKS)?;
    stage.server.sql("CREATE TABLE test.t (id INT AUTO_INCREMENT PRIMARY KEY, owner INT)")?;
    crowd(SESSIONS, |session| {
        let mut random = Random::new(session as u64);
        for visit in 0..VISITS {
            visit_once(&stage, session * 1000 + visit + 1, &mut random)
                .map_err(|error| format!("session {session}, visit {visit}: {error}"))?;
        }
        Ok(())
    })?;
    for client in &mut clients_on_every_link(&stage, LINKS)? {
        assert_pristine(client)?;
    }
    Ok(())
}

/// Sessions that only read and write whole statements share the links for all their lives.
#[test]
fn sessions_without_state_get_their_own_replies() -> TestResult {
    let stage = stage("isolation_stateless", LINKS)?;
    stage.server.sql("CREATE TABLE test.t (id INT AUTO_INCREMENT PRIMARY KEY, owner INT)")?;
    crowd(SESSIONS, |session| {
        let mut client = stage.connect()?;
        for number in 0..200 {
            let insert = format!("INSERT INTO t (owner) VALUES ({session})");
            let id = client.query(&insert)?.ok()?.last_insert_id;
            assert_ne!(id, 0);
            let owner = client.scalar(&format!("SELECT owner FROM t WHERE id = {id}"))?;
            assert_eq!(owner, session.to_string(), "the id of an own row");
            let word = format!("{session}/{number}");
            assert_eq!(client.scalar(&format!("SELECT '{word}'"))?, word);
            let error = client.query(&format!("SELECT missing_{session}")).expect_err("no such column");
            assert!(error.to_string().contains(&format!("missing_{session}'")), "{error}");
        }
        Ok(())
    })?;
    let counts = stage.server.sql("SELECT COUNT(*) FROM test.t GROUP BY owner HAVING COUNT(*) <> 200")?;
    assert_eq!(counts, "", "each session has written its rows once");
    Ok(())
}

fn visit_once(stage: &Stage, mark: usize, random: &mut Random) -> TestResult {
    let mut client = stage.connect()?;
    assert_pristine(&mut client)?;
    set_everything(&mut client, mark)?;
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(random.below(5) as u64));
        assert_own(&mut client, mark)?;
    }
    match random.below(4) {
        0 => client.quit()?,
        1 => client.run("SELECT SLEEP(0.01)")?,
        2 => client.run("BEGIN")?,
        // An error leaves the state of the link in doubt.
        _ => drop(client.run("SELECT nothing")),
    }
    Ok(())
}

fn assert_pristine(client: &mut Connection) -> TestResult {
    let state = client.scalar(
        "SELECT CONCAT_WS(' ', COALESCE(@mark, 'none'), COALESCE(@chosen, 'none'), @@max_error_count, \
         @@character_set_client, DATABASE(), @@autocommit = 1, LAST_INSERT_ID())",
    )?;
    assert_eq!(state, "none none 64 utf8mb4 test 1 0");
    assert_eq!(client.scalar("SELECT COUNT(*) FROM leak").expect_err("no such table").code(), Some(1146));
    assert_eq!(client.query("EXECUTE p").expect_err("not prepared").code(), Some(1243));
    Ok(())
}

fn set_everything(client: &mut Connection, mark: usize) -> TestResult {
    client.run(&format!("SET @mark = {mark}"))?;
    client.run(&format!("SELECT @chosen := {mark}"))?;
    client.run(&format!("SET SESSION max_error_count = {mark}"))?;
    client.run(&format!("CREATE TEMPORARY TABLE leak AS SELECT {mark} AS a"))?;
    client.run(&format!("PREPARE p FROM 'SELECT {mark}'"))?;
    client.run(&format!("INSERT INTO t (owner) VALUES ({mark})"))?;
    client.run("SET NAMES latin1")?;
    client.run("USE sbtest")?;
    Ok(())
}

fn assert_own(client: &mut Connection, mark: usize) -> TestResult {
    let state = client.scalar(
        "SELECT CONCAT_WS(' ', @mark, @chosen, @@max_error_count, @@character_set_client, DATABASE(), \
         (SELECT a FROM test.leak), (SELECT owner FROM test.t WHERE id = LAST_INSERT_ID()))",
    )?;
    assert_eq!(state, format!("{mark} {mark} {mark} latin1 sbtest {mark} {mark}"));
    assert_eq!(client.scalar("EXECUTE p")?, mark.to_string());
    Ok(())
}
