//! The link of a killed session: nobody else gets it with an answer under way.

use std::thread;
use std::time::Duration;

use athena_perf::proxy::AthenaConfig;

use crate::common::wire::command;
use crate::common::{TestResult, eventually};
use crate::{START_TIMEOUT, id_of, on_each_server_with};

/// One link, with room for one statement.
fn one_link(config: AthenaConfig) -> AthenaConfig {
    config
        .set("runtime", "cpus", "\"0\"")
        .set("pool", "max_connections", "1")
        .set("pool", "max_prepared_statements", "1")
        .set("pool", "connect_timeout_ms", "60000")
}

/// The statement has to be prepared anew, in the schema where it was prepared first, when its session
/// is killed. The server's answer to that is still to come, and belongs to nobody.
#[test]
fn a_session_that_is_killed_while_its_statement_is_prepared_anew() -> TestResult {
    on_each_server_with("kill_prepare", one_link, |stage| {
        let (mut victim, mut killer, mut other) = (stage.connect()?, stage.connect()?, stage.connect()?);
        let statement = victim.prepare("SELECT ?")?;
        victim.run("USE sbtest")?;
        other.run("USE sbtest")?;
        // The link has another statement now, and is in the other schema.
        other.prepare("SELECT 'another'")?;
        assert_eq!(victim.scalar("SELECT DATABASE()")?, "sbtest");
        stage.server.pause();
        victim.send(command::STMT_EXECUTE, &execute(statement.id, 7))?;
        eventually("the link is in use", START_TIMEOUT, || {
            let idle =
                stage.athena.metric("athena_links", &[("state", "idle")]).map_err(|e| e.to_string())?;
            if idle < 1.0 { Ok(()) } else { Err(format!("{idle} idle")) }
        });
        killer.run(&format!("KILL {}", id_of(&victim)))?;
        let ended = victim.stream().read_to_close();
        // Whoever is given the link now would read that answer as its own.
        other.send(command::QUERY, b"SELECT 'mine'")?;
        thread::sleep(Duration::from_millis(300));
        stage.server.resume();
        ended?;
        assert_eq!(other.read_reply()?.rows()?.scalar()?.to_string(), "mine");
        assert_eq!(other.scalar("SELECT DATABASE()")?, "sbtest");
        Ok(())
    })
}

/// COM_STMT_EXECUTE with one parameter, a BIGINT.
fn execute(id: u32, value: i64) -> Vec<u8> {
    let head = [&id.to_le_bytes()[..], &[0, 1, 0, 0, 0, 0, 1, 8, 0]].concat();
    [&head[..], &value.to_le_bytes()].concat()
}
