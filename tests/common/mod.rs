//! What the black-box tests share: a server with Athena in front of it, and a client that speaks the protocol by itself.
//!
//! Nothing here uses Athena's own code: a mistake in the proxy must not hide itself in the client that looks for it.

// Every test file is a crate of its own and uses only a part of this.
#![allow(dead_code, unused_imports)]

pub mod cluster;
pub mod random;
pub mod stage;
pub mod wire;

use std::thread;
use std::time::{Duration, Instant};

/// What tests return.
pub type TestResult<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// For what takes a moment, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// How often a wait looks again.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Waits until `check` gives `Ok`.
///
/// # Panics
/// With the last reason that `check` gave, when `timeout` passes first.
pub fn eventually<T>(what: &str, timeout: Duration, mut check: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + timeout;
    loop {
        match check() {
            Ok(value) => return value,
            Err(reason) if Instant::now() >= deadline => panic!("{what}: not after {timeout:?}: {reason}"),
            Err(_) => thread::sleep(POLL_INTERVAL),
        }
    }
}

/// Runs `work` and says how long it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = work();
    (value, start.elapsed())
}

/// The result of a thread; its panic goes on in the caller.
pub fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
