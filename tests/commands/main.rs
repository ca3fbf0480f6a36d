//! Every command that a server answers, answered as the server does it: on MariaDB, and on MySQL where there is one.

mod answers;
mod binlog;
mod bulk;
#[path = "../common/mod.rs"]
mod common;
mod local_infile;
mod mixes;
mod options;
mod progress;
mod query_attributes;

use athena_perf::lab::Flavor;
use athena_perf::proxy::AthenaConfig;
use common::TestResult;
use common::stage::Stage;
use common::wire::{self, Connection, Login};

/// Runs `test` on a MariaDB, and on a MySQL where there is one.
fn on_each_server(name: &str, test: impl Fn(&Stage) -> TestResult) -> TestResult {
    on_each_server_with(name, |config| config, test)
}

/// The same with what `configure` makes of the configuration.
fn on_each_server_with(
    name: &str,
    configure: impl Fn(AthenaConfig) -> AthenaConfig,
    test: impl Fn(&Stage) -> TestResult,
) -> TestResult {
    let stage = Stage::start_with(name, &configure)?;
    test(&stage).map_err(|error| format!("on MariaDB: {error}"))?;
    drop(stage);
    match Stage::start_on_mysql(name, &configure)? {
        Some(stage) => test(&stage).map_err(|error| format!("on MySQL: {error}").into()),
        None => Ok(()),
    }
}

/// A connection to the server itself.
fn direct(stage: &Stage, login: &Login) -> wire::Result<Connection> {
    if stage.server.flavor() == Flavor::MySql {
        // The server knows the password of an account that has logged in before.
        let _ = stage.server.app_client().run("SELECT 1");
    }
    Connection::login(stage.server.port(), login)
}
