//! What a server gives to connections when they log in: a session has what was in effect when it began, not when the link
//! that it happens to use was opened.

use crate::common::TestResult;
use crate::common::stage::Stage;
use crate::common::wire::{self, Connection, Login, command};
use crate::{configure, on_each_server};

const LINKS: usize = 4;
const PROBE: &str = "SELECT @@lock_wait_timeout";

/// Athena logs in as root, who may set globals, and so do the clients.
fn as_root(name: &str, test: impl Fn(&Stage) -> TestResult) -> TestResult {
    let config = |config| configure(config, LINKS, &[]).account("root", "");
    test(&Stage::start_with(name, config)?)?;
    match Stage::start_on_mysql(name, config)? {
        Some(stage) => test(&stage).map_err(|error| format!("on MySQL: {error}").into()),
        None => Ok(()),
    }
}

fn root(stage: &Stage) -> wire::Result<Connection> {
    stage.login(&Login::new("root", ""))
}

#[test]
fn a_new_session_has_the_globals_of_its_time() -> TestResult {
    as_root("isolation_globals", |stage| {
        let mut old = root(stage)?;
        let before = old.scalar(PROBE)?;
        for value in ["2222", "3333"] {
            old.run(&format!("SET GLOBAL lock_wait_timeout = {value}"))?;
            let mut new = root(stage)?;
            assert_eq!(new.scalar(PROBE)?, value);
            assert_eq!(old.scalar(PROBE)?, before, "as on its own connection");
            assert_eq!(new.scalar(PROBE)?, value);
            assert_eq!(old.scalar(PROBE)?, before);
        }
        Ok(())
    })
}

#[test]
fn a_session_that_starts_anew_has_the_globals_of_now() -> TestResult {
    as_root("isolation_globals_reset", |stage| {
        let mut client = root(stage)?;
        client.run("SET @@global.lock_wait_timeout = 2222")?;
        assert_ne!(client.scalar(PROBE)?, "2222");
        client.command(command::RESET_CONNECTION, b"")?.ok()?;
        assert_eq!(client.scalar(PROBE)?, "2222");
        Ok(())
    })
}

/// A change is one on every core: the kernel spreads the clients over all there are.
#[test]
fn every_core_gives_new_sessions_the_globals_of_their_time() -> TestResult {
    const CLIENTS: usize = 8;
    let stage = Stage::start_with("isolation_globals_cores", |config| config.account("root", ""))?;
    let connect = || (0..CLIENTS).map(|_| root(&stage)).collect::<wire::Result<Vec<_>>>();
    let mut old = connect()?;
    for client in &mut old {
        assert_ne!(client.scalar(PROBE)?, "2222");
    }
    old[0].run("SET GLOBAL lock_wait_timeout = 2222")?;
    for client in &mut connect()? {
        assert_eq!(client.scalar(PROBE)?, "2222");
    }
    Ok(())
}

/// A link is logged in with the privileges that the account has then.
#[test]
fn a_new_session_has_the_privileges_of_its_time() -> TestResult {
    on_each_server("isolation_privileges", LINKS, &[], |stage| {
        stage.server.sql("GRANT CREATE USER, INSERT ON *.* TO 'app'@'%' WITH GRANT OPTION")?;
        let mut old = stage.connect()?;
        assert_eq!(old.scalar("SELECT 1")?, "1");
        stage.server.sql("GRANT SUPER ON *.* TO 'app'@'%'")?;
        // Any change of an account through Athena begins an era, in which links log in anew.
        old.run("CREATE USER somebody")?;
        let mut new = stage.connect()?;
        new.run("SET GLOBAL lock_wait_timeout = 2222")?;
        let refused = old.run("SET GLOBAL lock_wait_timeout = 3333").expect_err("a connection of before");
        assert_eq!(refused.code(), Some(1227), "{refused}");
        Ok(())
    })
}
