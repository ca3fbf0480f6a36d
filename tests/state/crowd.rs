//! Many clients with states of their own on few links at once; `make crowd` does it with more of them, and for longer.

use std::time::Duration;

use athena_perf::crowd::{self, CrowdOptions};
use athena_perf::lab::{APP_USER, Lab, Server, ServerOptions};

use crate::common::TestResult;
use crate::common::stage::Stage;
use crate::{configure, unbound};

const CLIENTS: usize = 200;
const LINKS: usize = 16;
const DURATION: Duration = Duration::from_secs(4);
/// Fewer answers mean that clients have waited for something.
const QUERIES_MIN: u64 = 2000;

#[test]
fn two_hundred_clients_keep_their_own_state_on_sixteen_links() -> TestResult {
    let lab = Lab::new("state_crowd")?;
    let server = lab.server(options())?;
    check(lab, server)
}

#[test]
fn two_hundred_clients_keep_their_own_state_on_sixteen_links_of_a_mysql() -> TestResult {
    let lab = Lab::new("state_crowd")?;
    match lab.mysql_server(options())? {
        Some(server) => check(lab, server),
        None => Ok(()),
    }
}

/// With a binary log, as most servers have: then they tell more of what is written.
fn options() -> ServerOptions {
    ServerOptions::default().binlog(true)
}

fn check(lab: Lab, server: Server) -> TestResult {
    for statement in crowd::SCHEMA {
        server.sql(&format!("USE test; {statement}"))?;
    }
    server.sql(&format!("ALTER USER {APP_USER}@'%' IDENTIFIED BY ''"))?;
    let stage = Stage::start_on(lab, server, |config| configure(config, LINKS).account(APP_USER, ""))?;
    let report = crowd::run(
        &CrowdOptions {
            port: stage.athena.port(),
            user: APP_USER.to_owned(),
            database: "test".to_owned(),
            clients: CLIENTS,
            duration: DURATION,
        },
        || {},
    )?;
    assert_eq!(report.wrong, 0, "{report}");
    assert!(report.queries >= QUERIES_MIN, "{report}");
    assert_eq!(
        stage.server.sql(&format!("USE test; {}", crowd::WRONG_ROWS))?,
        "0",
        "clients with wrong rows"
    );
    assert!(stage.athena.metric("athena_state_replays_total", &[])? > 0.0);
    unbound(&stage)
}
