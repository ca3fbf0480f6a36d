//! Athena or a server dies at each step of a transaction that is on three servers: it is whole everywhere, or gone everywhere,
//! and nothing stays in doubt.

use athena_perf::lab::Server;
use athena_perf::proxy::Athena;

use super::SHARDED;
use super::common::wire::{Connection, Login, command};
use super::common::{PATIENCE, TestResult, eventually};
use super::faults::four_shards;
use super::servers::{Spread, on_each_spread, two_phase, users};

/// How far the transaction has come when somebody dies. The first server, which decides, is `s0`; `s1` and `[backend]` have
/// branches.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    /// Everything is said but COMMIT.
    BeforeCommit,
    /// `[backend]` is prepared, `s1` does not answer.
    Preparing,
    /// All are prepared, and the decision waits.
    Prepared,
    /// It is decided, and the branches do not answer.
    Decided,
    /// `[backend]` has committed its branch, `s1` does not answer.
    Finishing,
    /// The client has its OK.
    Finished,
}

const STEPS: [Step; 6] =
    [Step::BeforeCommit, Step::Preparing, Step::Prepared, Step::Decided, Step::Finishing, Step::Finished];

impl Step {
    /// What has become of the transaction when everybody is back.
    fn is_committed(self) -> bool {
        matches!(self, Self::Decided | Self::Finishing | Self::Finished)
    }
}

/// Branches that are prepared on a server.
fn prepared(server: &Server) -> Result<usize, String> {
    let rows = server.sql("XA RECOVER").map_err(|error| error.to_string())?;
    Ok(rows.lines().filter(|line| !line.trim().is_empty()).count())
}

fn wait_until_prepared(server: &Server, number: usize) {
    eventually("the branch is as far as it is to be", PATIENCE, || {
        let there = prepared(server)?;
        if there == number { Ok(()) } else { Err(format!("{there} are prepared")) }
    });
}

/// Brings a transaction of this client to a step, and leaves it there. Its COMMIT is on its way, from the second step on.
fn come_to(stage: &Spread, client: &mut Connection, step: Step, name: &str) -> TestResult {
    let [decides, other] = [&stage.shards[0], &stage.shards[1]];
    client.run("BEGIN")?;
    client.run(&format!("UPDATE users SET name = '{name}' WHERE user_id = 2"))?;
    client.run(&format!("UPDATE users SET name = '{name}' WHERE user_id = 1"))?;
    client.run(&format!("UPDATE notes SET note = '{name}' WHERE id = 1"))?;
    if step == Step::BeforeCommit {
        return Ok(());
    }
    // While somebody reads the decisions under a lock, none is written.
    let mut holds = stage.direct(decides)?;
    let waits = matches!(step, Step::Prepared | Step::Decided | Step::Finishing);
    if waits {
        holds.run("LOCK TABLES athena.xa_decisions READ")?;
    }
    if step == Step::Preparing {
        other.pause();
    }
    client.send(command::QUERY, b"COMMIT")?;
    match step {
        Step::BeforeCommit => {}
        Step::Preparing => wait_until_prepared(&stage.home, 1),
        Step::Finished => drop(client.read_reply()?),
        Step::Prepared | Step::Decided | Step::Finishing => {
            wait_until_prepared(&stage.home, 1);
            wait_until_prepared(other, 1);
        }
    }
    if matches!(step, Step::Decided | Step::Finishing) {
        other.pause();
        if step == Step::Decided {
            stage.home.pause();
        }
        holds.run("UNLOCK TABLES")?;
        eventually("it is decided", PATIENCE, || {
            let name_there =
                stage.of(decides, "SELECT name FROM users_2").map_err(|error| error.to_string())?;
            if name_there == name { Ok(()) } else { Err(name_there) }
        });
        if step == Step::Finishing {
            wait_until_prepared(&stage.home, 0);
        }
    }
    if step == Step::Prepared {
        // Whoever dies does so before it is written; a moment later it could be.
        std::mem::forget(holds);
    }
    Ok(())
}

/// What the three servers have, once nothing is in doubt any more.
fn outcome(stage: &Spread) -> [String; 3] {
    let all = [&stage.shards[0], &stage.shards[1], &stage.home];
    eventually("nothing is in doubt", PATIENCE, || {
        for server in all {
            let number = prepared(server)?;
            if number > 0 {
                return Err(format!("{number} on {}", server.port()));
            }
        }
        Ok(())
    });
    let of = |server: &Server, sql: &str| stage.of(server, sql).unwrap_or_else(|error| error.to_string());
    [
        of(all[0], "SELECT name FROM users_2"),
        of(all[1], "SELECT name FROM users_1"),
        of(all[2], "SELECT note FROM notes WHERE id = 1"),
    ]
}

fn assert_whole(stage: &Spread, step: Step, name: &str, who: &str) {
    let found = outcome(stage);
    let has_it = found.each_ref().map(|there| there == name);
    assert!(has_it == [true; 3] || has_it == [false; 3], "{who} died at {step:?}: {found:?}");
    assert_eq!(has_it[0], step.is_committed(), "{who} died at {step:?}: {found:?}");
}

fn resume_all(stage: &Spread) {
    stage.shards.iter().chain([&stage.home]).for_each(Server::resume);
}

#[test]
fn athena_dies_at_each_step() -> TestResult {
    on_each_spread(
        "xa_athena_dies",
        |config| two_phase(four_shards(config)),
        |stage| {
            drop(users(stage)?);
            stage.athena.kill();
            for step in STEPS {
                let athena =
                    Athena::start(env!("CARGO_BIN_EXE_athena").as_ref(), stage.lab.folder(), &stage.config)?;
                let login = Login::app().database(SHARDED);
                let mut client = Connection::login(athena.port(), &login)?;
                let name = format!("athena {step:?}");
                come_to(stage, &mut client, step, &name)?;
                athena.kill();
                release(stage)?;
                resume_all(stage);
                let athena =
                    Athena::start(env!("CARGO_BIN_EXE_athena").as_ref(), stage.lab.folder(), &stage.config)?;
                assert_whole(stage, step, &name, "Athena");
                let mut client = Connection::login(athena.port(), &login)?;
                client.run("UPDATE users SET name = 'on'")?;
                athena.kill();
            }
            Ok(())
        },
    )
}

/// Ends the connection that holds the decisions back.
fn release(stage: &Spread) -> TestResult {
    let sql = "SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND = 'Sleep' AND DB = 'sharded'";
    // Everybody else there has gone with Athena.
    for id in stage.shards[0].sql(sql)?.split_whitespace() {
        let _ = stage.shards[0].sql(&format!("KILL {id}"));
    }
    Ok(())
}

#[test]
fn a_server_dies_at_each_step() -> TestResult {
    on_each_spread(
        "xa_server_dies",
        |config| two_phase(four_shards(config)),
        |stage| {
            let mut client = users(stage)?;
            for step in STEPS {
                for (who, victim) in
                    [("s0", &stage.shards[0]), ("s1", &stage.shards[1]), ("[backend]", &stage.home)]
                {
                    let name = format!("{who} {step:?}");
                    come_to(stage, &mut client, step, &name)?;
                    victim.kill();
                    if who != "s0" && step == Step::Prepared {
                        release(stage)?;
                    }
                    resume_all(stage);
                    victim.start()?;
                    let reply = match step {
                        Step::BeforeCommit => client.query("COMMIT"),
                        Step::Finished => client.query("DO 0"),
                        _ => client.read_reply(),
                    };
                    let found = outcome(stage);
                    let has_it = found.each_ref().map(|there| *there == name);
                    assert!(
                        has_it == [true; 3] || has_it == [false; 3],
                        "{who} died at {step:?}: {found:?}, {reply:?}"
                    );
                    match &reply {
                        Ok(_) => assert!(has_it[0], "{who} died at {step:?}: {reply:?}"),
                        Err(error) if error.code() == Some(1213) => {
                            assert!(!has_it[0], "{who} died at {step:?}: {reply:?}")
                        }
                        // The session was lost with what it knew; so nobody was told anything.
                        Err(_) => {}
                    }
                    if step.is_committed() {
                        assert!(has_it[0], "{who} died at {step:?}: {found:?}, {reply:?}");
                    }
                    client = stage.connect()?;
                    eventually("all servers are there again", PATIENCE, || {
                        client.run("UPDATE users SET name = 'on'").map_err(|error| error.to_string())?;
                        client.run("UPDATE notes SET note = 'on'").map_err(|error| error.to_string())
                    });
                }
            }
            Ok(())
        },
    )
}
