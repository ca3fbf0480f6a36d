//! KILL CONNECTION, and what it means for whoever sends it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::stage::Stage;
use crate::common::wire::{Connection, capability, command};
use crate::common::{TestResult, eventually, join};
use crate::{
    CONNECTION_KILLED, CORES, INTERRUPTED, LOCK_WAIT_TIMEOUT, NO_SUCH_THREAD, NOT_SUPPORTED_YET, client_on,
    id_of, is_mariadb, on_each_server, wait_until_running,
};

/// Locks and links of a killed session are free after no more than this.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(10);

/// Fails unless the session has ended: its client is told so (MariaDB), or finds the connection closed.
fn assert_gone(client: &mut Connection) {
    client.stream().expect_any_sequence();
    let first = match client.stream().read_payload() {
        Ok(packet) => packet,
        Err(error) => return assert!(error.is_close(), "{error}"),
    };
    let code = first.get(1..3).map(|code| u16::from_le_bytes([code[0], code[1]]));
    assert_eq!((first[0], code), (0xff, Some(CONNECTION_KILLED)), "{first:?}");
    assert_eq!(client.stream().read_to_close().expect("a close"), 0);
}

#[test]
fn a_session_at_rest_ends_and_its_locks_are_free() -> TestResult {
    on_each_server("kill_idle", |stage| {
        stage.server.sql("CREATE TABLE test.locked (a INT PRIMARY KEY)")?;
        for (victim, killer) in [(0, 1), (1, 0), (0, 0)] {
            let (mut client, mut killer) = (client_on(stage, victim)?, client_on(stage, killer)?);
            client.run("BEGIN")?;
            client.run("INSERT INTO locked VALUES (1)")?;
            assert_eq!(client.scalar("SELECT GET_LOCK('held', 0)")?, "1");
            assert_eq!(killer.scalar("SELECT GET_LOCK('held', 0)")?, "0");
            killer.run(&format!("KILL {}", id_of(&client)))?;
            assert_gone(&mut client);
            eventually("its locks are free", RELEASE_TIMEOUT, || {
                let got = killer.scalar("SELECT GET_LOCK('held', 0)").map_err(|error| error.to_string())?;
                if got == "1" { Ok(()) } else { Err(got) }
            });
            assert_eq!(killer.scalar("SELECT COUNT(*) FROM locked")?, "0", "rolled back");
            killer.quit()?;
        }
        Ok(())
    })
}

#[test]
fn a_session_at_work_ends_with_its_statement() -> TestResult {
    on_each_server("kill_busy", |stage| {
        for (victim, killer) in [(0, 1), (1, 0), (1, 1)] {
            let (mut client, mut killer) = (client_on(stage, victim)?, client_on(stage, killer)?);
            let id = id_of(&client);
            client.run("SET @bound = 1")?;
            client.send(command::QUERY, b"SELECT SLEEP(30)")?;
            wait_until_running(stage, "SLEEP(30)", 1);
            killer.run(&format!("KILL CONNECTION {id}"))?;
            assert_gone(&mut client);
            wait_until_running(stage, "SLEEP(30)", 0);
            let again = killer.run(&format!("KILL {id}"));
            assert_eq!(again.err().and_then(|error| error.code()), Some(NO_SUCH_THREAD));
        }
        stage.assert_serves()
    })
}

/// A client that does not read holds up its own session only, and that can be killed.
#[test]
fn a_session_whose_client_does_not_read_ends() -> TestResult {
    on_each_server("kill_unread", |stage| {
        let (mut client, mut killer) = (client_on(stage, 0)?, client_on(stage, 1)?);
        let text = "SELECT a.COLUMN_NAME, b.COLUMN_NAME FROM information_schema.COLUMNS a, information_schema.COLUMNS b";
        client.send(command::QUERY, text.as_bytes())?;
        wait_until_running(stage, "a.COLUMN_NAME", 1);
        thread::sleep(Duration::from_millis(300));
        killer.run(&format!("KILL {}", id_of(&client)))?;
        wait_until_running(stage, "a.COLUMN_NAME", 0);
        stage.assert_serves()
    })
}

#[test]
fn one_may_kill_oneself() -> TestResult {
    on_each_server("kill_self", |stage| {
        let mut client = stage.connect()?;
        let id = id_of(&client);
        for sql in [format!("KILL QUERY {id}"), "KILL QUERY CONNECTION_ID()".to_owned()] {
            assert_eq!(client.run(&sql).err().and_then(|error| error.code()), Some(INTERRUPTED), "{sql}");
        }
        assert_eq!(client.scalar("SELECT 'still here'")?, "still here");
        let last = if is_mariadb(&client) { CONNECTION_KILLED } else { INTERRUPTED };
        assert_eq!(client.run(&format!("KILL {id}")).err().and_then(|error| error.code()), Some(last));
        assert_eq!(client.stream().read_to_close()?, 0);
        let mut client = stage.connect()?;
        assert_eq!(client.run("KILL CONNECTION_ID()").err().and_then(|error| error.code()), Some(last));
        assert_eq!(client.stream().read_to_close()?, 0);
        Ok(())
    })
}

#[test]
fn ids_that_nobody_has_and_forms_that_name_none_are_refused() -> TestResult {
    on_each_server("kill_forms", |stage| {
        let mut client =
            stage.login(&crate::common::wire::Login::app().with(capability::MULTI_STATEMENTS))?;
        for (sql, code) in [
            ("KILL 4000000000", NO_SUCH_THREAD),
            ("KILL QUERY 4000000001", NO_SUCH_THREAD),
            ("KILL 99999999999", NO_SUCH_THREAD),
            ("KILL HARD 4000000000", NO_SUCH_THREAD),
            ("KILL USER app", NOT_SUPPORTED_YET),
            ("KILL QUERY ID 5", NOT_SUPPORTED_YET),
            ("KILL @a", NOT_SUPPORTED_YET),
            ("SELECT 1; KILL 4000000000", NOT_SUPPORTED_YET),
            ("SHOW PROCESSLIST; SELECT 1", NOT_SUPPORTED_YET),
        ] {
            assert_eq!(client.run(sql).err().and_then(|error| error.code()), Some(code), "{sql}");
        }
        let error = client.run("KILL 4000000000").expect_err("no such session").to_string();
        assert!(error.ends_with("Unknown thread id: 4000000000"), "{error}");
        Ok(())
    })
}

#[test]
fn a_kill_may_be_prepared_or_a_command_of_its_own() -> TestResult {
    on_each_server("kill_prepared", |stage| {
        for core in 0..CORES {
            let (mut client, mut killer) = (client_on(stage, core)?, client_on(stage, 0)?);
            let statement = killer.prepare(&format!("KILL {}", id_of(&client)))?;
            killer.execute(&statement, &[])?.ok()?;
            assert_gone(&mut client);
            let unknown = killer.execute(&statement, &[]).err().and_then(|error| error.code());
            assert_eq!(unknown, Some(NO_SUCH_THREAD));
            let planned = killer.prepare("KILL ?").err().and_then(|error| error.code());
            assert_eq!(planned, Some(NOT_SUPPORTED_YET));
            let mut client = client_on(stage, core)?;
            killer.command(command::PROCESS_KILL, &id_of(&client).to_le_bytes())?.ok()?;
            assert_gone(&mut client);
        }
        Ok(())
    })
}

/// With every link busy a KILL still gets through: it is wanted most then.
#[test]
fn a_kill_needs_no_link_of_the_pool() -> TestResult {
    let one = |config| crate::configure(config).set("pool", "max_connections", "2");
    let stage = Stage::start_with("kill_full", one)?;
    let mut killer = client_on(&stage, 1)?;
    let mut clients = [client_on(&stage, 0)?, client_on(&stage, 1)?];
    let ids = clients.each_ref().map(id_of);
    thread::scope(|scope| -> TestResult {
        let running = clients.each_mut().map(|client| scope.spawn(|| client.scalar("SELECT SLEEP(25)")));
        wait_until_running(&stage, "SLEEP(25)", 2);
        for id in ids {
            killer.run(&format!("KILL QUERY {id}"))?;
        }
        for thread in running {
            let outcome = join(thread);
            assert!(crate::was_interrupted(&outcome), "{outcome:?}");
        }
        Ok(())
    })
}

/// Sessions that are killed at whatever they do, while others work beside them.
#[test]
fn killed_sessions_leave_nothing_behind_and_meet_nobody_else() -> TestResult {
    let limited = |config| crate::configure(config).set("circuit", "max_concurrent_per_user_shard", "12");
    let stage = Stage::start_with("kill_leaks", limited)?;
    stage
        .server
        .sql("CREATE TABLE test.churn (a INT PRIMARY KEY, b INT); INSERT INTO test.churn VALUES (1, 0)")?;
    let before = stage.settled_census();
    let over = AtomicBool::new(false);
    let (victims, ends) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    let (on, end, ids, count) = (&stage, &over, &victims, &ends);
    thread::scope(|scope| -> TestResult {
        let works: Vec<_> = (0..4)
            .map(|number| {
                scope.spawn(move || work_until(on, end).map_err(|error| format!("{number}: {error}")))
            })
            .collect();
        let dies: Vec<_> =
            (0..4).map(|number| scope.spawn(move || live_and_die(on, number, ids, count, end))).collect();
        let mut killer = stage.connect()?;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            let ids = victims.lock().expect("nobody panics with it").clone();
            for id in ids {
                match killer.run(&format!("KILL {id}")) {
                    Err(error) if error.code() != Some(NO_SUCH_THREAD) => return Err(error.into()),
                    _ => {}
                }
            }
        }
        over.store(true, Ordering::Relaxed);
        for thread in works {
            join(thread)?;
        }
        dies.into_iter().try_for_each(join)
    })?;
    assert!(ends.into_inner() > 20, "few were killed");
    stage.assert_back_to(before);
    stage.assert_serves()
}

/// A client whom nobody kills: each of its statements succeeds.
fn work_until(stage: &Stage, over: &AtomicBool) -> TestResult {
    let mut client = stage.connect()?;
    let mut round = 0;
    while !over.load(Ordering::Relaxed) {
        round += 1;
        client.run("BEGIN")?;
        assert_eq!(client.scalar(&format!("SELECT {round}"))?, round.to_string());
        client.run("COMMIT")?;
        assert_eq!(client.scalar("SELECT SLEEP(0.001)")?, "0");
    }
    client.quit().map_err(Into::into)
}

/// Clients that come back as often as they are killed.
fn live_and_die(
    stage: &Stage,
    number: usize,
    victims: &Mutex<Vec<u32>>,
    ends: &AtomicUsize,
    over: &AtomicBool,
) -> TestResult {
    const STATEMENTS: [&str; 4] =
        ["SELECT SLEEP(0.05)", "UPDATE churn SET b = b + 1 WHERE a = 1", "SET @mine = 1", "SELECT 'short'"];
    while !over.load(Ordering::Relaxed) {
        let Ok(mut client) = stage.connect() else { continue };
        let id = id_of(&client);
        victims.lock().expect("nobody panics with it").push(id);
        let statements = STATEMENTS.iter().cycle().skip(number);
        for sql in ["BEGIN"].iter().chain(statements) {
            match client.run(sql) {
                Ok(()) if over.load(Ordering::Relaxed) => break,
                Ok(()) => {}
                Err(error) if error.code().is_none_or(|code| code == CONNECTION_KILLED) => {
                    ends.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Err(error) if error.code() == Some(LOCK_WAIT_TIMEOUT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        victims.lock().expect("nobody panics with it").retain(|victim| *victim != id);
    }
    Ok(())
}
