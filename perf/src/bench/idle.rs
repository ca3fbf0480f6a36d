//! Resident memory of a proxy for clients that are logged in and do nothing.

use std::thread;
use std::time::Duration;

use super::stack::{Stack, Target};
use crate::error::Result;
use crate::lab::APP_USER;
use crate::load::{Idle, LoadOptions, Mode};

/// How many clients.
pub(super) const CLIENTS: usize = 5000;
/// Before the count, so that nothing that exists once is counted for each.
const FIRST_CLIENTS: usize = 100;
/// For what is under way to come to rest.
const REST: Duration = Duration::from_secs(1);

/// What idle clients cost a proxy.
#[derive(Debug, Clone)]
pub struct IdleCost {
    /// The proxy.
    pub target: Target,
    /// Bytes of resident memory for each client.
    pub bytes: f64,
}

/// Measures both proxies, one after the other.
pub(super) fn measure(stack: &Stack) -> Result<Vec<IdleCost>> {
    let proxies = [Target::Haproxy, Target::Athena].into_iter();
    proxies.map(|target| Ok(IdleCost { target, bytes: bytes_per_client(stack, target)? })).collect()
}

fn bytes_per_client(stack: &Stack, target: Target) -> Result<f64> {
    let options = |connections| LoadOptions {
        statement: None,
        core: None,
        port: stack.port(target),
        user: APP_USER.to_owned(),
        database: "sbtest".to_owned(),
        connections,
        setup: Vec::new(),
        mode: Mode::Text,
        warmup: Duration::ZERO,
        duration: Duration::ZERO,
        queries_max: 0,
    };
    let resident = || {
        thread::sleep(REST);
        stack.usage(target).map_or(0, |usage| usage.rss_bytes())
    };
    let _first = Idle::connect(&options(FIRST_CLIENTS))?;
    let before = resident();
    let _clients = Idle::connect(&options(CLIENTS))?;
    Ok(resident().saturating_sub(before) as f64 / CLIENTS as f64)
}
