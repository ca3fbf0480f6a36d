//! The life of a core.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_lite::FutureExt;
use glommio::{LocalExecutorBuilder, Placement};

use crate::circuit::{Classes, Gate, Resource, slice};
use crate::config::{self, Config, Instance};
use crate::metrics::CoreMetrics;
use crate::net::{
    BoundListener, Executor, HostError, Inbox, Listener, Receiver, Ring, Timer, explain_refusal,
};
use crate::pool::{BackendAccount, Quota, StatelessPool, maintain};
use crate::protocol::auth::rsa::RsaKeyPair;
use crate::router::{Suspicion, Topology};
use crate::session::{
    Cluster, Context, Letter, Phase, Place, Positions, ShardedTables, Shared, View, deliver, recover,
};

use super::accept::Entrance;
use super::limits::classes;
use super::message::{Filed, Message, Report};

/// glommio's own reactor has nothing to do on a core, so its timer must never fire: see `docs/DESIGN.md`.
const NEVER: Duration = Duration::from_secs(86_400);

/// Memory that glommio registers for file I/O, which no core does. As little as it takes.
const GLOMMIO_MEMORY: usize = 64 * 1024;
const GLOMMIO_RING: usize = 16;

/// How often a draining core looks whether its sessions are gone.
const DRAIN_INTERVAL: Duration = Duration::from_millis(10);

/// How often limits are looked at that nobody uses.
const TIDY_INTERVAL: Duration = Duration::from_secs(1);

/// Time for the last packets of sessions that were ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// All that a core needs, made before its thread.
pub struct CorePlan {
    /// Number of this core, from 0, and how many there are.
    pub index: usize,
    pub cores: usize,
    pub cpu: usize,
    pub config: Arc<Config>,
    pub rsa: Arc<RsaKeyPair>,
    pub listener: BoundListener,
    /// The Unix socket, which all cores accept on.
    pub unix_listener: Option<BoundListener>,
    pub inbox: Inbox<Message>,
    /// What all cores count together.
    pub shared: Arc<Shared>,
    /// Where the members of each cluster are.
    pub addresses: Vec<Vec<Arc<[SocketAddr]>>>,
    /// Letters of sessions to other cores, which the control executor passes on.
    pub letters: async_channel::Sender<Letter>,
    /// What the control executor is to look into.
    pub suspicions: async_channel::Sender<Suspicion>,
    /// What the ledger is told.
    pub reports: async_channel::Sender<Filed>,
    /// Told when the core has ended, and how.
    pub ended: async_channel::Sender<(usize, Result<(), CoreError>)>,
}

#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    #[error("core on CPU {cpu}: {source}")]
    Ring { cpu: usize, source: HostError },
    #[error("core on CPU {cpu}: its io_uring failed: {source}")]
    Enter { cpu: usize, source: io::Error },
    #[error("core on CPU {cpu} can't be started: {reason}")]
    Start { cpu: usize, reason: String },
    #[error("core on CPU {cpu} died")]
    Died { cpu: usize },
}

/// Starts the thread of a core.
///
/// # Errors
/// When the thread or its executor can't be made. What goes wrong later comes through `ended`.
pub fn start(plan: CorePlan) -> Result<(), CoreError> {
    let cpu = plan.cpu;
    LocalExecutorBuilder::new(Placement::Fixed(cpu))
        .name(&format!("athena-core-{}", plan.index))
        .preempt_timer(NEVER)
        .io_memory(GLOMMIO_MEMORY)
        .ring_depth(GLOMMIO_RING)
        .spawn(move || async move {
            let mut notice = Notice { core: plan.index, cpu, ended: plan.ended.clone(), outcome: None };
            notice.outcome = Some(live(plan).await);
        })
        .map(drop)
        .map_err(|error| CoreError::Start { cpu, reason: error.to_string() })
}

/// Tells the control executor that the core has ended, also when it died.
struct Notice {
    core: usize,
    cpu: usize,
    ended: async_channel::Sender<(usize, Result<(), CoreError>)>,
    outcome: Option<Result<(), CoreError>>,
}

impl Drop for Notice {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or(Err(CoreError::Died { cpu: self.cpu }));
        // Nobody listens only when the process is on its way out.
        let _ = self.ended.try_send((self.core, outcome));
    }
}

async fn live(plan: CorePlan) -> Result<(), CoreError> {
    let runtime = plan.config.runtime.clone();
    let cpu = plan.cpu;
    let ring = Ring::new(runtime.ring_entries, runtime.buffers, runtime.buffer_bytes)
        .map_err(|source| CoreError::Ring { cpu, source: explain_refusal(source, plan.cores) })?;
    let core = Executor::new(ring);
    let metrics = Rc::new(CoreMetrics::default());
    let clusters = clusters(&plan, &core, &metrics);
    let place = Place { index: small(plan.index), cores: small(plan.cores), letters: plan.letters };
    let ctx = Context::new(core.clone(), metrics, plan.config, plan.rsa, clusters, plan.shared, place);
    for pool in ctx.clusters.iter().flat_map(|cluster| &cluster.members) {
        core.spawn(maintain(pool.clone()));
    }
    core.spawn(tidy_gate(ctx.clone()));
    core.spawn(recover(ctx.clone()));
    let listener = plan.listener.on(&core.ring);
    let inbox = Rc::new(plan.inbox.on(&core.ring).map_err(|source| CoreError::Enter { cpu, source })?);
    let unix_listener = plan.unix_listener.map(|listener| listener.on(&core.ring));
    let served = serve(ctx.clone(), listener, unix_listener);
    core.spawn(listen(ctx.clone(), inbox.clone(), plan.index));
    core.spawn(run(ctx, served, inbox));
    core.drive(runtime.spin).await.map_err(|source| CoreError::Enter { cpu, source })
}

/// Takes clients in from both listeners, for as long as it is polled.
async fn serve(ctx: Rc<Context>, listener: Listener, unix_listener: Option<Listener>) {
    let entrance = Entrance::new(ctx);
    let by_tcp = entrance.accept(listener);
    match unix_listener {
        Some(unix_listener) => by_tcp.or(entrance.accept(unix_listener)).await,
        None => by_tcp.await,
    }
}

/// Serves until the core is told to drain, then waits for its sessions and stops the core.
async fn run(ctx: Rc<Context>, served: impl Future<Output = ()>, inbox: Rc<Receiver<Message>>) {
    let timer = Timer::new(&ctx.core.timers);
    let key = ctx.registry.enter(timer.poker());
    let drains = std::future::poll_fn(|_| match ctx.phase() {
        Phase::Serving => Poll::Pending,
        Phase::Draining | Phase::Ending => Poll::Ready(()),
    });
    let drains = async {
        let _ = timer.within(Duration::ZERO, drains).await;
    };
    // Whichever ends first drops the other: the listener closes, be it in the last turns of the core. One that stayed open
    // would keep clients waiting in its queue for as long as other cores drain.
    served.or(drains).await;
    ctx.shared.clients.close(ctx.core_index());
    ctx.registry.leave(key);
    let mut ending = Duration::ZERO;
    while !ctx.registry.is_empty() && ending < LAST_WORDS {
        timer.sleep(DRAIN_INTERVAL).await;
        if ctx.phase() == Phase::Ending {
            ending += DRAIN_INTERVAL;
        }
    }
    ctx.clusters.iter().flat_map(|cluster| &cluster.members).for_each(StatelessPool::close);
    // A client that was still on its way here is closed with it.
    inbox.close();
    ctx.core.stop();
}

/// Does what the control executor says.
async fn listen(ctx: Rc<Context>, inbox: Rc<Receiver<Message>>, index: usize) {
    loop {
        match inbox.receive().await {
            Message::Report(answer) => {
                // A full or closed channel belongs to somebody who no longer waits.
                let _ = answer.try_send(report(&ctx, index));
            }
            Message::Addresses { cluster, member, addresses } => {
                if let Some(pool) = ctx.clusters.get(cluster).and_then(|cluster| cluster.members.get(member))
                {
                    pool.set_addresses(addresses);
                }
            }
            Message::Topology { cluster, topology } => {
                let cluster = ctx.clusters.get(cluster);
                if cluster.is_some_and(|cluster| cluster.set_topology(Topology::clone(&topology))) {
                    // Who has a transaction on the old one lets it go, also while its client does nothing.
                    ctx.registry.poke_all();
                }
            }
            Message::Acceptor(acceptor) => ctx.set_acceptor(acceptor),
            Message::Letter(letter) => deliver(&ctx, letter),
            Message::Order { cluster, of, order } => {
                if let Some(cluster) = ctx.clusters.get(cluster) {
                    cluster.order(of, order);
                }
            }
            Message::Limits { cluster, classes } => {
                if let Some(cluster) = ctx.clusters.get(cluster) {
                    cluster.classes.replace(Classes::clone(&classes));
                }
            }
            Message::Drain => ctx.enter_phase(Phase::Draining),
            Message::End => ctx.enter_phase(Phase::Ending),
        }
    }
}

fn report(ctx: &Context, core: usize) -> Report {
    let (metrics, stats) = (&ctx.metrics, &ctx.core.stats);
    metrics.core_turns.set_total(stats.turns.get());
    metrics.core_enters.set_total(ctx.core.ring.stats.enters.get());
    for stall in [&stats.longest_turn, &stats.longest_oversleep, &stats.longest_neglect] {
        metrics.core_stall.raise(stall.get());
    }
    metrics.core_neglect.raise(stats.longest_neglect.get());
    metrics.connections.set(ctx.shared.clients.of_core(ctx.core_index()) as u64);
    metrics.buffers_free.set(ctx.core.ring.buffers().free() as u64);
    let gates = || ctx.clusters.iter().filter_map(|cluster| cluster.gate.as_ref());
    metrics.rate_limit_queued.set(gates().map(Gate::queued).sum::<usize>() as u64);
    metrics.rate_limit_running.set(gates().map(Gate::running).sum::<usize>() as u64);
    let pools = ctx.clusters.iter().flat_map(|cluster| &cluster.members);
    let bound_since = pools.filter_map(|pool| pool.bound_since.oldest()).min();
    metrics.links_bound_oldest.set(bound_since.map_or(Duration::ZERO, |since| since.elapsed()));
    let backends = ctx.clusters.iter().map(|cluster| cluster.pool().contact().map(|(_, good)| good));
    Report { core, snapshot: metrics.snapshot(), backends: backends.collect() }
}

/// This core's share of every cluster.
fn clusters(plan: &CorePlan, core: &Rc<Executor>, metrics: &Rc<CoreMetrics>) -> Vec<Cluster> {
    let share = |total: usize| slice(total, plan.cores, plan.index);
    let clusters = plan.config.clusters.iter().zip(&plan.addresses).enumerate();
    // Sessions take their states along, from cluster to cluster.
    let states = Rc::default();
    let mut own: Option<Rc<BackendAccount>> = None;
    let clusters = clusters.map(|(number, (cluster, addresses))| {
        let settings = config::Pool {
            min_idle: share(cluster.pool.min_idle),
            // Each core has to open its own.
            max_connecting: share(cluster.pool.max_connecting).max(1),
            ..cluster.pool.clone()
        };
        let (index, reports) = (plan.index, plan.reports.clone());
        let tell = move |of, report| {
            // It is full or closed only when the process is on its way out.
            let _ = reports.try_send(Filed { core: index, cluster: number, of, report });
        };
        let pool = |(member, (instance, addresses)): (usize, (&Instance, &Arc<[SocketAddr]>))| {
            let tell = tell.clone();
            StatelessPool::new(
                instance.clone(),
                (number, member),
                settings.clone(),
                addresses.clone(),
                plan.shared.eras.clone(),
                Rc::clone(&states),
                Quota::new(move |report| tell(Resource::Links(member), report)),
                core,
                metrics,
            )
        };
        let members: Vec<_> = cluster.instances().zip(addresses).enumerate().map(pool).collect();
        let own = own.get_or_insert_with(|| members[0].account.clone()).clone();
        let timers = core.timers.clone();
        let gate = || Gate::of_ledger(tell.clone(), move || timers.now());
        Cluster {
            name: cluster.name.as_str().into(),
            own,
            members,
            positions: Positions::default(),
            view: View::new(number, Topology::unknown(cluster), plan.suspicions.clone()),
            routing: cluster.routing.clone(),
            gate: cluster.circuit.enabled.then(gate),
            classes: classes(&cluster.circuit).into(),
            query_timeout: cluster.pool.query_timeout.unwrap_or_default(),
            tables: ShardedTables::new(&cluster.sharding).map(Rc::new),
        }
    });
    clusters.collect()
}

/// Gives unused permits back, once in a while.
async fn tidy_gate(ctx: Rc<Context>) {
    let timer = Timer::new(&ctx.core.timers);
    loop {
        timer.sleep(TIDY_INTERVAL).await;
        ctx.clusters.iter().filter_map(|cluster| cluster.gate.as_ref()).for_each(Gate::tidy);
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
