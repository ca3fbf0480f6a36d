//! Who may log in, as whom, and on whose connections to the server.

#[path = "../common/mod.rs"]
mod common;

mod backend;
mod change_user;
mod elsewhere;
mod encrypted;
mod links;
mod matrix;
mod proxy;
#[allow(dead_code)]
#[path = "../transport/tls.rs"]
mod tls;
mod users;

use athena_perf::proxy::AthenaConfig;
use common::TestResult;
use common::stage::Stage;
use common::wire::{Connection, Error, Login};

/// The hash of the password `secret`, as `mysql_native_password` stores it.
const SECRET_NATIVE: &str = "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7";

/// Runs `test` in front of a MariaDB, and of a real MySQL where there is one.
fn on_both(
    name: &str,
    configure: impl Fn(AthenaConfig) -> AthenaConfig,
    test: impl Fn(&Stage) -> TestResult,
) -> TestResult {
    test(&Stage::start_with(name, &configure)?)?;
    match Stage::start_on_mysql(&format!("{name}_mysql"), &configure)? {
        Some(stage) => test(&stage),
        None => {
            eprintln!("skipped on MySQL: there is none");
            Ok(())
        }
    }
}

/// An account of the server that may do everything in the database `test`.
fn create(stage: &Stage, user: &str, password: &str) -> TestResult {
    stage.server.sql(&format!(
        "CREATE USER {user}@'%' IDENTIFIED BY '{password}'; GRANT ALL ON test.* TO {user}@'%'"
    ))?;
    Ok(())
}

/// The error of a login that must fail.
fn refusal(stage: &Stage, login: &Login) -> TestResult<Error> {
    match stage.login(login) {
        Ok(_) => Err(format!("{} was let in", login.user).into()),
        Err(error) => Ok(error),
    }
}

/// The account of the server that answers.
fn current_user(connection: &mut Connection) -> TestResult<String> {
    Ok(connection.scalar("SELECT CURRENT_USER()")?)
}
