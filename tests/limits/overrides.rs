//! Limits of some statements.

use std::thread;
use std::time::Duration;

use crate::common::stage::Stage;
use crate::common::wire::{Login, Value, command};
use crate::common::{TestResult, join, timed};
use crate::on_eight_cores;

const CON_COUNT: u16 = 1040;

fn stage(name: &str) -> TestResult<Stage> {
    Stage::start_with(name, |config| {
        on_eight_cores(config).set("circuit", "max_concurrent_per_user_shard", "6").text(
            "[[users]]\nname = \"app\"\npassword = \"app-secret\"\n[[users]]\nname = \"batch\"\npassword = \"b\"\n\
             [[limits]]\nstatement = \"SELECT SLEEP(0.1), 'report'\"\nmax_concurrent = 1\nqueue_size = 0\n\
             [[limits]]\nuser = \"batch\"\nmax_concurrent = 2\nqueue_size = 1\n",
        )
    })
}

/// How many of so many statements at once are refused.
fn refused(stage: &Stage, login: &Login, count: usize, sql: &str) -> TestResult<usize> {
    let mut clients = (0..count).map(|_| stage.login(login)).collect::<Result<Vec<_>, _>>()?;
    let outcomes: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = clients.iter_mut().map(|client| scope.spawn(|| client.scalar(sql))).collect();
        running.into_iter().map(join).collect()
    });
    let mut refused = 0;
    for outcome in outcomes {
        match outcome {
            Ok(_) => {}
            Err(error) if error.code() == Some(CON_COUNT) => refused += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(refused)
}

#[test]
fn a_user_has_limits_of_their_own() -> TestResult {
    let stage = stage("limits_user")?;
    assert_eq!(refused(&stage, &Login::new("batch", "b"), 6, "SELECT SLEEP(0.3)")?, 3);
    assert_eq!(refused(&stage, &Login::app(), 6, "SELECT SLEEP(0.3)")?, 0);
    Ok(())
}

/// By its digest, as text and prepared; other statements of the user go on.
#[test]
fn a_statement_has_limits_of_its_own() -> TestResult {
    let stage = stage("limits_statement")?;
    let mut holder = stage.connect()?;
    holder.send(command::QUERY, b"select sleep(1.5) , 'another' -- the same")?;
    thread::sleep(Duration::from_millis(200));
    let error = stage.connect()?.query("SELECT SLEEP(0), 'x'").expect_err("one runs");
    assert_eq!(error.code(), Some(CON_COUNT), "{error}");
    assert!(error.to_string().contains("[[limits]] number 1, queue_size"), "{error}");
    let mut prepares = stage.connect()?;
    let statement = prepares.prepare("SELECT SLEEP(?), ?")?;
    let values = [Value::Int(0), Value::Int(1)];
    let error = prepares.execute(&statement, &values).expect_err("one runs");
    assert_eq!(error.code(), Some(CON_COUNT), "{error}");
    let (other, took) = timed(|| stage.connect()?.scalar("SELECT SLEEP(0)"));
    assert_eq!(other?, "0");
    assert!(took < Duration::from_secs(1), "{took:?}");
    holder.read_reply()?;
    prepares.execute(&statement, &values)?;
    stage.connect()?.query("SELECT SLEEP(0), 'x'")?;
    Ok(())
}
