//! The primary changes under a write load: who is killed, or gives its role away, and what becomes of the clients' writes.
//!
//! Each client keeps a ledger of its own: which of its writes were acknowledged, which failed for sure, and of which it can't
//! know. After each change the rows of the new primary are held against it.
//!
//! How often it changes: `ATHENA_FAILOVER_ROUNDS`, for each way and each family of servers.

#[path = "../common/mod.rs"]
mod common;
mod ledger;
mod load;

use std::thread;
use std::time::{Duration, Instant};

use athena_perf::lab::{Flavor, Lab, Server, ServerOptions};
use athena_perf::proxy::AthenaConfig;
use common::cluster::{ClusterStage, on_each_cluster, split};
use common::{PATIENCE, TestResult, eventually};
use ledger::{Ledger, Way};
use load::Load;

/// How often the primary changes, unless the environment says otherwise.
const ROUNDS: usize = 3;

/// How long replicas may take to apply what was written, on a busy machine.
const CATCH_UP: Duration = Duration::from_secs(60);

/// For how long clients write before and behind each change.
const SETTLED: Duration = Duration::from_millis(400);

fn rounds() -> usize {
    std::env::var("ATHENA_FAILOVER_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS)
}

fn configure(config: AthenaConfig) -> AthenaConfig {
    split(config).set("health", "interval_ms", "100").set("routing", "failover_wait_ms", "20000")
}

/// The gaps in the acknowledged writes that a change made.
#[derive(Debug, Default)]
struct Gaps {
    /// From the moment when the server could take writes to the first one.
    after_promotion: Vec<Duration>,
    /// Between the last acknowledged write before and the first one after.
    whole: Vec<Duration>,
}

impl Gaps {
    fn note(&mut self, load: &Load, promoted: Instant) {
        let (before, after) = load.around(promoted);
        self.after_promotion.push(after.saturating_duration_since(promoted));
        self.whole.push(after.saturating_duration_since(before));
    }
}

impl std::fmt::Display for Gaps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = |gaps: &[Duration]| {
            let mut sorted = gaps.to_vec();
            sorted.sort();
            let at = |part: usize| sorted.get((sorted.len() - 1) * part / 100).copied().unwrap_or_default();
            format!("median {} ms, at most {} ms", at(50).as_millis(), at(100).as_millis())
        };
        write!(
            f,
            "first write after the promotion: {}; without writes: {}",
            of(&self.after_promotion),
            of(&self.whole)
        )
    }
}

/// `read_only` on the primary, another one catches up and takes over: nothing outside of transactions fails.
#[test]
fn a_planned_switch_over_loses_no_statement() -> TestResult {
    on_each_cluster("failover_planned", configure, |stage| {
        stage.wait_until_well();
        Ledger::create(&stage.servers.primary)?;
        let load = Load::start(stage.athena.port())?;
        let mut gaps = Gaps::default();
        for round in 0..rounds() {
            load.write_for(SETTLED);
            stage.servers.switch_over(round % 2)?;
            let promoted = stage.servers.promoted;
            load.wait_for_writes_of_all(Instant::now(), PATIENCE);
            gaps.note(&load, promoted);
            stage.wait_until_well();
        }
        let ledger = load.finish();
        caught_up(stage)?;
        for server in stage.servers.all() {
            ledger.check(server)?;
        }
        eprintln!(
            "{:?}, {} planned switch-overs: {gaps}\n{ledger}",
            stage.servers.primary.flavor(),
            rounds()
        );
        assert_eq!(ledger.failed(Way::Text) + ledger.failed(Way::Prepared), 0, "{ledger}");
        assert_eq!(ledger.failed_but(Way::Transaction, &[1213]), 0, "{ledger}");
        no_session_is_stuck(stage)
    })
}

/// The primary dies, and a replica takes its place.
#[test]
fn a_killed_primary_loses_nothing_that_was_acknowledged() -> TestResult {
    for mysql in [false, true] {
        let mut gaps = Gaps::default();
        let mut sum = Ledger::default();
        let mut left = rounds();
        while left > 0 {
            let Some(mut stage) = semi_synchronous("failover_killed", mysql)? else { break };
            // The second one dies with a single replica.
            for _ in 0..left.min(2) {
                left -= 1;
                kill_once(&mut stage, &mut gaps, &mut sum)?;
            }
        }
        if !gaps.whole.is_empty() {
            let family = if mysql { Flavor::MySql } else { Flavor::MariaDb };
            eprintln!("{family:?}, {} primaries killed: {gaps}\n{sum}", gaps.whole.len());
        }
    }
    Ok(())
}

fn kill_once(stage: &mut ClusterStage, gaps: &mut Gaps, sum: &mut Ledger) -> TestResult {
    stage.wait_for_primary(Some(stage.servers.primary.port()));
    Ledger::create(&stage.servers.primary)?;
    let load = Load::start(stage.athena.port())?;
    load.write_for(SETTLED);
    let old = stage.servers.primary.port();
    stage.servers.primary.kill();
    let chosen = stage.servers.most_advanced()?;
    stage.servers.promote(chosen)?;
    let promoted = stage.servers.promoted;
    // With nobody left who could acknowledge them, its own writes would wait.
    let others = stage.servers.running_replicas().count();
    acknowledged_by_replicas(&stage.servers.primary, others > 0)?;
    load.wait_for_writes_of_all(Instant::now(), PATIENCE);
    gaps.note(&load, promoted);
    load.write_for(SETTLED);
    let ledger = load.finish();
    caught_up(stage)?;
    for server in stage.servers.all().filter(|server| server.pid().is_some()) {
        ledger.check(server)?;
    }
    assert_ne!(stage.servers.primary.port(), old);
    no_session_is_stuck(stage)?;
    sum.add(&ledger);
    Ok(())
}

/// The replicas that are left have all that the primary has.
fn caught_up(stage: &ClusterStage) -> TestResult {
    stage.servers.wait_for_replicas(CATCH_UP).map_err(|error| {
        let status = |server: &Server| match server.flavor() {
            Flavor::MariaDb => server.sql("SHOW SLAVE STATUS\\G"),
            Flavor::MySql => server.sql("SHOW REPLICA STATUS\\G"),
        };
        let all: Vec<_> =
            stage.servers.running_replicas().map(|replica| format!("{:?}", status(replica))).collect();
        format!("{error}\n{}", all.join("\n")).into()
    })
}

/// Without work nothing is bound or waits any more.
fn no_session_is_stuck(stage: &ClusterStage) -> TestResult {
    eventually("no link is in use", PATIENCE, || {
        let busy = ["busy", "bound"].map(|state| stage.sum("athena_links", &[("state", state)]));
        if busy == [0.0, 0.0] { Ok(()) } else { Err(format!("{busy:?}")) }
    });
    assert_eq!(stage.athena.client().run("SELECT 1")?, "1");
    Ok(())
}

/// A cluster in which a write is acknowledged when a replica has received it: what is lost otherwise no proxy can keep.
fn semi_synchronous(name: &str, mysql: bool) -> TestResult<Option<ClusterStage>> {
    let lab = Lab::new(name)?;
    let options = ServerOptions::default();
    let servers = match mysql {
        false => Some(lab.primary_with_replicas(2, &options)?),
        true => lab.mysql_primary_with_replicas(2, &options)?,
    };
    let Some(servers) = servers else { return Ok(None) };
    // A replica asks for it when it connects, and a primary waits for those that have.
    acknowledged_by_replicas(&servers.primary, false)?;
    for replica in &servers.replicas {
        acknowledges(replica)?;
    }
    acknowledged_by_replicas(&servers.primary, true)?;
    ClusterStage::start(lab, servers, configure).map(Some)
}

fn acknowledges(replica: &Server) -> TestResult {
    replica.sql(match replica.flavor() {
        Flavor::MariaDb => {
            "SET GLOBAL rpl_semi_sync_slave_enabled = ON; STOP SLAVE IO_THREAD; START SLAVE IO_THREAD; \
             SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC"
        }
        Flavor::MySql => {
            "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'; \
             INSTALL PLUGIN rpl_semi_sync_replica SONAME 'semisync_replica.so'; \
             SET GLOBAL rpl_semi_sync_replica_enabled = ON; STOP REPLICA IO_THREAD; START REPLICA IO_THREAD"
        }
    })?;
    Ok(())
}

fn acknowledged_by_replicas(primary: &Server, on: bool) -> TestResult {
    let on = if on { "ON" } else { "OFF" };
    match primary.flavor() {
        Flavor::MariaDb => primary.sql(&format!(
            "SET GLOBAL rpl_semi_sync_master_timeout = 600000, GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC, \
             GLOBAL rpl_semi_sync_master_enabled = {on}"
        ))?,
        Flavor::MySql => {
            // A replica that is promoted has it.
            let _ = primary.sql("INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'");
            primary.sql(&format!(
                "SET GLOBAL rpl_semi_sync_source_timeout = 600000, GLOBAL rpl_semi_sync_source_enabled = {on}"
            ))?
        }
    };
    thread::sleep(Duration::from_millis(50));
    Ok(())
}
