//! Links to the server: as many as may be, for the cores that need them.

use std::thread;
use std::time::Duration;

use athena_perf::lab::APP_USER;

use crate::common::stage::Stage;
use crate::common::wire::Login;
use crate::common::{TestResult, join};
use crate::{CORES, Spread, clients, largest, on_eight_cores};

/// Clients of eight cores share three links: each gets on, and the server never sees a fourth.
#[test]
fn fewer_links_than_cores_serve_all_of_them() -> TestResult {
    let stage = Stage::start_with("links_three", |config| {
        on_eight_cores(config).set("circuit", "enabled", "false").set("pool", "max_connections", "3")
    })?;
    for spread in [Spread::Evenly, Spread::OnOneCore] {
        let mut clients = clients(&stage, 3 * CORES, spread)?;
        let mut monitor = stage.direct(&Login::app())?;
        // Less the connection that asks.
        let sql =
            format!("SELECT COUNT(*) - 1 FROM information_schema.PROCESSLIST WHERE USER = '{APP_USER}'");
        let sample = move || Ok(monitor.scalar(&sql)?.parse()?);
        let (done, most) = largest(sample, || {
            thread::scope(|scope| {
                let working: Vec<_> = clients
                    .iter_mut()
                    .map(|client| scope.spawn(|| (0..30).try_for_each(|_| client.run("DO SLEEP(0.002)"))))
                    .collect();
                working.into_iter().try_for_each(join)
            })
        })?;
        done?;
        assert_eq!(most, 3, "{spread:?}");
    }
    Ok(())
}

/// A link that one core has idle is no reason for another core to wait.
#[test]
fn an_idle_link_makes_room_on_another_core() -> TestResult {
    let stage = Stage::start_with("links_one", |config| {
        on_eight_cores(config).set("circuit", "enabled", "false").set("pool", "max_connections", "1")
    })?;
    let mut clients = clients(&stage, CORES, Spread::Evenly)?;
    for _ in 0..3 {
        for client in &mut clients {
            assert_eq!(client.scalar("SELECT 7")?, "7");
            thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(())
}
