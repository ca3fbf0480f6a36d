//! What a session sets goes with it from link to link: no link is kept for it, and everybody finds their own state.

mod bound;
#[path = "../common/mod.rs"]
mod common;
mod crowd;
mod orm;
mod room;

use std::thread;
use std::time::{Duration, Instant};

use athena_perf::proxy::{AthenaConfig, sum_metric};
use common::TestResult;
use common::stage::Stage;
use common::wire::{self, Connection, Login};

/// How long state that has to be read from a link may keep it, on a busy machine.
const READ_OUT_TIMEOUT: Duration = Duration::from_secs(3);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// One core, so that all of `links` serve all clients.
fn configure(config: AthenaConfig, links: usize) -> AthenaConfig {
    config.set("runtime", "cpus", "\"0\"").set("pool", "max_connections", &links.to_string()).set(
        "pool",
        "checkout_timeout_ms",
        "5000",
    )
}

/// Waits until no session keeps a link.
///
/// # Errors
/// What keeps links, when they are not free in time.
fn unbound(stage: &Stage) -> TestResult {
    let deadline = Instant::now() + READ_OUT_TIMEOUT;
    loop {
        let page = stage.athena.metrics()?;
        if sum_metric(&page, "athena_links", &[("state", "bound")]) == 0.0 {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let reasons = page.lines().filter(|line| line.starts_with("athena_links_bound{"));
            let reasons: Vec<_> = reasons.filter(|line| !line.ends_with(" 0")).collect();
            return Err(format!("a link is kept: {}", reasons.join(", ")).into());
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// A client in a transaction: nobody else uses its link.
fn holder(stage: &Stage, login: &Login) -> wire::Result<Connection> {
    let mut client = stage.login(login)?;
    client.run("BEGIN")?;
    // Athena may send a BEGIN with the first statement after it.
    client.run("SELECT COUNT(*) FROM information_schema.SCHEMATA")?;
    Ok(client)
}
