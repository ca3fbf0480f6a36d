//! The link of a killed session: nobody else gets it with an answer under way.

use std::thread;
use std::time::Duration;

use crate::common::stage::Stage;
use crate::common::wire::{Connection, command};
use crate::common::{TestResult, eventually};
use crate::{START_TIMEOUT, id_of, on_each_server_with};

/// One core and two links.
fn two_links(config: athena_perf::proxy::AthenaConfig) -> athena_perf::proxy::AthenaConfig {
    config.set("runtime", "cpus", "\"0\"").set("pool", "max_connections", "2").set(
        "pool",
        "connect_timeout_ms",
        "60000",
    )
}

/// The statement has to be prepared anew on another link, in the schema where it was prepared first, when its session
/// is killed. The server's answer to that is still to come, and belongs to nobody.
#[test]
fn a_session_that_is_killed_while_its_statement_is_prepared_anew() -> TestResult {
    on_each_server_with("kill_prepare", two_links, |stage| {
        let (mut victim, mut killer, mut other) = (stage.connect()?, stage.connect()?, stage.connect()?);
        let statement = victim.prepare("SELECT ?")?;
        victim.run("USE sbtest")?;
        other.run("USE sbtest")?;
        let mut holder = hold_a_link(stage)?;
        // The link that is left: without the statement, and in the other schema.
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
        holder.run("COMMIT")?;
        Ok(())
    })
}

/// A client in a transaction, which has the link that was used last.
fn hold_a_link(stage: &Stage) -> TestResult<Connection> {
    let mut client = stage.connect()?;
    client.run("BEGIN")?;
    client.run("SELECT COUNT(*) FROM information_schema.SCHEMATA")?;
    Ok(client)
}

/// COM_STMT_EXECUTE with one parameter, a BIGINT.
fn execute(id: u32, value: i64) -> Vec<u8> {
    let head = [&id.to_le_bytes()[..], &[0, 1, 0, 0, 0, 0, 1, 8, 0]].concat();
    [&head[..], &value.to_le_bytes()].concat()
}
