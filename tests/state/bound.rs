//! What does keep a link shows, and for how long.

use std::thread;
use std::time::Duration;

use athena_perf::lab::{APP_PASSWORD, APP_USER};

use crate::common::stage::Stage;
use crate::common::wire::{Login, command};
use crate::common::{PATIENCE, TestResult, eventually};
use crate::{configure, holder, unbound};

#[test]
fn the_age_of_the_oldest_bound_link_shows() -> TestResult {
    let stage = Stage::start_with("state_age", |config| configure(config, 4))?;
    // A core that is kept from its work may miss a page.
    let wait_for = |what: &str, fits: &dyn Fn(f64) -> bool| {
        eventually(what, PATIENCE, || {
            let age = stage.athena.metric("athena_links_bound_oldest_seconds", &[]);
            let age = age.map_err(|error| error.to_string())?;
            if fits(age) { Ok(age) } else { Err(format!("{age} s")) }
        })
    };
    wait_for("none is bound", &|age| age == 0.0);
    let mut first = holder(&stage, &Login::app())?;
    thread::sleep(Duration::from_millis(300));
    let mut second = holder(&stage, &Login::app())?;
    let oldest = wait_for("the first counts", &|age| age >= 0.3);
    first.run("COMMIT")?;
    wait_for("the second counts", &|age| age > 0.0 && age < oldest);
    second.run("COMMIT")?;
    unbound(&stage)?;
    wait_for("none is bound", &|age| age == 0.0);
    Ok(())
}

/// Athena refuses the second statement itself, while the first one's warnings are still on the link.
#[test]
fn a_refused_statement_does_not_keep_the_link_of_the_one_before() -> TestResult {
    let stage = Stage::start_with("state_refused", |config| configure(config, 1))?;
    let mut client = stage.connect()?;
    for _ in 0..5 {
        assert_eq!(client.scalar("SELECT CAST('1x' AS SIGNED)")?, "1");
        // At once: after a moment the link is given back anyway.
        client.send(command::STMT_EXECUTE, &[99, 0, 0, 0, 0, 1, 0, 0, 0])?;
        let error = client.read_reply().expect_err("there is no such statement");
        assert_eq!(error.code(), Some(1243), "{error}");
        unbound(&stage)?;
    }
    Ok(())
}

/// A routine may do anything; one that there is none of does nothing.
#[test]
fn a_routine_that_there_is_none_of_keeps_no_link() -> TestResult {
    let name = "state_missing";
    let on_mysql = Stage::start_on_mysql(name, |config| configure(config, 2))?;
    for stage in std::iter::once(Stage::start_with(name, |config| configure(config, 2))?).chain(on_mysql) {
        stage.server.sql(
            "CREATE PROCEDURE test.whole() SET @whole = 1; CREATE PROCEDURE test.missin() CALL test.missing()",
        )?;
        let mut client = stage.connect()?;
        for sql in ["CALL missing()", "SELECT missing(1)", "SELECT 1, test.missing(missin(1))"] {
            assert_eq!(client.query(sql).expect_err("there is none").code(), Some(1305), "{sql}");
            unbound(&stage).map_err(|error| format!("{sql}: {error}"))?;
        }
        // Without a schema it is not even looked for, or is named without one.
        let mut client = stage.login(&Login::new(APP_USER, APP_PASSWORD))?;
        for sql in ["CALL missing()", "SELECT missing(1)"] {
            assert!(client.query(sql).is_err(), "{sql}");
            unbound(&stage).map_err(|error| format!("{sql} without a schema: {error}"))?;
        }
        for (sql, code) in [("CALL whole()", None), ("CALL missin()", Some(1305))] {
            let mut client = stage.connect()?;
            assert_eq!(client.query(sql).err().and_then(|error| error.code()), code, "{sql}");
            assert!(unbound(&stage).is_err(), "{sql} may have done anything");
        }
    }
    Ok(())
}
