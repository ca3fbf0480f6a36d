//! Servers of a cluster are looked after: who is there, who may have reads, and who takes writes, on real servers that replicate,
//! fail, and change their roles.

#[path = "../common/mod.rs"]
mod common;
mod connects;
mod group;
mod roles;
mod servers;

use std::thread;
use std::time::Duration;

/// For as long as it takes to see that nothing happens.
fn let_some_looks_pass() {
    thread::sleep(Duration::from_secs(1));
}
