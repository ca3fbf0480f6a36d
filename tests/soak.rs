//! The stall detector: under load from 1 to 256 clients, with the process stopped and continued now and then, no core ever
//! sleeps while something on it could run.
//!
//! Twenty seconds by default; `ATHENA_SOAK_SECONDS=600 cargo test --release --test soak` is the long run.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use athena_perf::process::Signal;
use athena_perf::sysbench::Sysbench;
use common::TestResult;
use common::stage::Stage;

const SECONDS: u64 = 20;
/// Each number of clients gets its share of the time, again and again.
const CLIENTS: [usize; 4] = [1, 16, 64, 256];
/// How often the process is stopped, and for how long.
const STOP_EVERY: Duration = Duration::from_secs(3);
const STOPPED: Duration = Duration::from_millis(300);
/// The longest slice of one number of clients.
const SLICE_MAX: u64 = 30;

fn seconds() -> u64 {
    let given = std::env::var("ATHENA_SOAK_SECONDS").ok();
    given.map_or(SECONDS, |text| text.parse().expect("ATHENA_SOAK_SECONDS is a number"))
}

#[test]
fn no_core_sleeps_with_something_runnable() -> TestResult {
    let stage = Stage::start_with("soak", |config| config.set("pool", "max_connections", "32"))?;
    let sysbench = Sysbench::new("oltp_read_write", stage.athena.port())?;
    sysbench.prepare()?;
    let over = AtomicBool::new(false);
    let queries = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                thread::sleep(STOP_EVERY);
                stage.athena.signal(Signal::SIGSTOP);
                thread::sleep(STOPPED);
                stage.athena.signal(Signal::SIGCONT);
            }
        });
        let queries = load(&sysbench);
        over.store(true, Ordering::Relaxed);
        queries
    })?;
    assert!(queries > 1000, "{queries} queries in all");
    let neglect = stage.athena.metric("athena_core_neglect_seconds_max", &[])?;
    assert_eq!(neglect, 0.0, "a core slept for {neglect} s although a task could have run");
    // The detector is alive: it saw the process being stopped.
    assert!(stage.athena.metric("athena_core_stall_seconds_max", &[])? > 0.0);
    assert!(stage.athena.metric("athena_core_turns_total", &[])? > 1000.0);
    eprintln!("{queries} queries in {} s", seconds());
    Ok(())
}

/// Runs sysbench with every number of clients in turn. It fails at the first error of a statement, and hangs with one.
fn load(sysbench: &Sysbench) -> TestResult<u64> {
    let start = Instant::now();
    let total = Duration::from_secs(seconds());
    let slice = Duration::from_secs((seconds() / CLIENTS.len() as u64).clamp(1, SLICE_MAX));
    let mut queries = 0;
    while start.elapsed() < total {
        for clients in CLIENTS {
            queries += sysbench.run(clients, slice)?.queries;
        }
    }
    Ok(queries)
}
