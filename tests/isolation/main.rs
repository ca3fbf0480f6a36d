//! Two sessions never see each other's state, whatever links their statements run on.

#[path = "../common/mod.rs"]
mod common;
mod crowd;
mod globals;
mod moved;
mod prepared;
mod state;

use std::thread;

use athena_perf::proxy::AthenaConfig;
use common::TestResult;
use common::stage::Stage;
use common::wire::{self, Connection};

/// One core, so that all of `links` serve all clients.
fn stage(name: &str, links: usize) -> TestResult<Stage> {
    Stage::start_with(name, |config| configure(config, links, &[]))
}

/// Runs `test` on a MariaDB, and on a MySQL where there is one: what is left on a link, and what the server tells of it,
/// differs between them.
fn on_each_server(
    name: &str,
    links: usize,
    keys: &[(&str, &str)],
    test: impl Fn(&Stage) -> TestResult,
) -> TestResult {
    on_mariadb(name, links, keys, &test)?;
    on_mysql(name, links, keys, test)
}

/// Runs `test` on a MySQL where there is one.
fn on_mysql(
    name: &str,
    links: usize,
    keys: &[(&str, &str)],
    test: impl Fn(&Stage) -> TestResult,
) -> TestResult {
    match Stage::start_on_mysql(name, |config| configure(config, links, keys))? {
        Some(stage) => test(&stage).map_err(|error| format!("on MySQL: {error}").into()),
        None => Ok(()),
    }
}

/// For what a MySQL does not do by itself, such as to take other types for a parameter than it had first.
fn on_mariadb(
    name: &str,
    links: usize,
    keys: &[(&str, &str)],
    test: impl Fn(&Stage) -> TestResult,
) -> TestResult {
    test(&Stage::start_with(name, |config| configure(config, links, keys))?)
}

/// `keys` are those of `[pool]`.
fn configure(config: AthenaConfig, links: usize, keys: &[(&str, &str)]) -> AthenaConfig {
    let config = config
        .set("runtime", "cpus", "\"0\"")
        .set("pool", "max_connections", &links.to_string())
        // A crowd on few links waits, and that is no error here.
        .set("pool", "checkout_timeout_ms", "60000");
    keys.iter().fold(config, |config, (key, value)| config.set("pool", key, value))
}

/// As many clients as there are links, each in a transaction: between them they have every link there is.
fn clients_on_every_link(stage: &Stage, links: usize) -> wire::Result<Vec<Connection>> {
    (0..links)
        .map(|_| {
            let mut client = stage.connect()?;
            client.run("BEGIN")?;
            // Athena may send a BEGIN with the first statement after it.
            client.run("SELECT COUNT(*) FROM information_schema.SCHEMATA")?;
            Ok(client)
        })
        .collect()
}

/// Runs `work` for each number below `count` at once, and gives the first error.
fn crowd(count: usize, work: impl Fn(usize) -> TestResult + Sync) -> TestResult {
    let work = &work;
    thread::scope(|scope| {
        let sessions: Vec<_> = (0..count).map(|number| scope.spawn(move || work(number))).collect();
        sessions.into_iter().try_for_each(common::join)
    })
}
