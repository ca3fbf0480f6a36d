//! Limits are one number for the process: with eight cores, on real servers, however clients are spread over them, limits are
//! never exceeded and always reached.

#[path = "../common/mod.rs"]
mod common;
mod links;
mod overrides;
mod queue;
mod running;

use std::thread;
use std::time::Duration;

use athena_perf::proxy::AthenaConfig;
use common::TestResult;
use common::stage::Stage;
use common::wire::{Connection, Result};

/// More than any host has CPUs to spare for.
const CORES: usize = 8;

/// Ids of connections begin here; modulo the number of cores they are their core's.
const FIRST_ID: u32 = 1 << 30;

/// On eight cores; clients find room in the queue.
fn on_eight_cores(config: AthenaConfig) -> AthenaConfig {
    config
        .set("runtime", "cpus", "\"0\"")
        .set("runtime", "cores_per_cpu", &CORES.to_string())
        .set("circuit", "queue_size", "1000")
        .set("circuit", "queue_timeout_ms", "30000")
        .set("pool", "checkout_timeout_ms", "30000")
}

/// How clients are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spread {
    Evenly,
    /// All on one core. Athena itself spreads them evenly, so others come and go to make it so.
    OnOneCore,
}

/// So many clients, spread like this.
fn clients(stage: &Stage, count: usize, spread: Spread) -> Result<Vec<Connection>> {
    let opened = match spread {
        Spread::Evenly => count,
        Spread::OnOneCore => count * CORES,
    };
    let all = (0..opened).map(|_| stage.connect()).collect::<Result<Vec<_>>>()?;
    let wanted = |client: &Connection| spread == Spread::Evenly || core_of(client) == 0;
    let clients: Vec<_> = all.into_iter().filter(wanted).collect();
    assert_eq!(clients.len(), count, "{spread:?}");
    Ok(clients)
}

fn core_of(client: &Connection) -> usize {
    (client.greeting().connection_id - FIRST_ID) as usize % CORES
}

/// Samples a number for as long as `work` runs. Returns the largest that it was.
fn largest<T>(
    mut sample: impl FnMut() -> TestResult<i64> + Send,
    work: impl FnOnce() -> T,
) -> TestResult<(T, i64)> {
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let sampling = scope.spawn(|| {
            let mut largest = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                largest = largest.max(sample()?);
                thread::sleep(Duration::from_micros(500));
            }
            TestResult::Ok(largest)
        });
        let value = work();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        Ok((value, common::join(sampling)?))
    })
}
