//! Clients and cores: each goes where the fewest are, and no more come in than may.

#[path = "../common/mod.rs"]
mod common;
mod evenly;
mod handed_over;
mod limits;

use std::thread;
use std::time::Duration;

use athena_perf::proxy::AthenaConfig;

use common::stage::Stage;
use common::wire::{Connection, Error};
use common::{TestResult, eventually, join};

/// Ids of connections begin here, and go from core to core.
const FIRST_ID: u32 = 1 << 30;

/// For a close to be noticed, on a busy machine.
const NOTICED: Duration = Duration::from_secs(15);

/// A stage with so many cores on one CPU.
fn stage_on(
    cores: u32,
    name: &str,
    configure: impl FnOnce(AthenaConfig) -> AthenaConfig,
) -> TestResult<Stage> {
    let stage = Stage::start_with(name, |config| configure(with_cores(config, cores)))?;
    // Somebody has looked whether it listens: he has come and gone.
    eventually("the first client", NOTICED, || match count(&stage, "athena_connections_total", &[]) {
        0 => Err("it is still to come".to_owned()),
        _ => Ok(()),
    });
    wait_for(&stage, 0);
    Ok(stage)
}

fn with_cores(config: AthenaConfig, cores: u32) -> AthenaConfig {
    config.set("runtime", "cpus", "\"0\"").set("runtime", "cores_per_cpu", &cores.to_string())
}

/// Waits until there are so many clients.
fn wait_for(stage: &Stage, clients: usize) {
    eventually("the number of clients", NOTICED, || {
        let now = connections(stage);
        if now == clients { Ok(()) } else { Err(format!("{now}, not {clients}")) }
    });
}

fn connections(stage: &Stage) -> usize {
    count(stage, "athena_connections", &[])
}

fn count(stage: &Stage, metric: &str, labels: &[(&str, &str)]) -> usize {
    stage.athena.metric(metric, labels).expect("a page of metrics") as usize
}

/// How many clients each core has, by the ids that the clients were told.
fn by_ids(clients: &mut [Connection], cores: u32) -> Vec<usize> {
    let mut counts = vec![0; cores as usize];
    for client in clients {
        let id = client.scalar("SELECT CONNECTION_ID()").expect("an id").parse::<u32>().expect("a number");
        assert_eq!(id, client.greeting().connection_id);
        counts[((id - FIRST_ID) % cores) as usize] += 1;
    }
    counts
}

/// The same by the metric.
fn by_metric(stage: &Stage, cores: u32) -> Vec<usize> {
    let of_core = |core: u32| count(stage, "athena_core_connections", &[("core", &core.to_string())]);
    (0..cores).map(of_core).collect()
}

/// Fails unless the cores share these clients evenly, and say so.
fn assert_even(stage: &Stage, clients: &mut [Connection], cores: u32) {
    let counts = by_ids(clients, cores);
    let (least, most) = (clients.len() / cores as usize, clients.len().div_ceil(cores as usize));
    assert!(counts.iter().all(|count| (least..=most).contains(count)), "{counts:?}");
    assert_eq!(by_metric(stage, cores), counts);
    assert_eq!(connections(stage), clients.len());
}

/// The outcomes of so many logins at once.
fn at_once(
    number: usize,
    connect: impl Fn() -> Result<Connection, Error> + Sync,
) -> Vec<Result<Connection, Error>> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..number).map(|_| scope.spawn(&connect)).collect();
        threads.into_iter().map(join).collect()
    })
}
