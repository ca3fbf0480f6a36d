//! Looks at the servers, on a thread of its own.
//!
//! Athena's client speaks over Athena's ring, which is no reactor of glommio's; so the thread lives as a core does. It only asks and
//! passes on what it was told: what that means is found out by the control executor (`topology`).

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_lite::FutureExt;
use glommio::{LocalExecutorBuilder, Placement};

use crate::config::{BackendLogin, Config, Health, Instance};
use crate::net::{Executor, Inbox, Receiver, Ring, Sender, Timer, inbox};
use crate::pool::{Answer, BackendAccount, ConnectError, LinkError, Probe, Question, ServerProfile};
use crate::protocol::auth::Secret;
use crate::protocol::response::ErrPacket;
use crate::router::{Answers, Look, Seen};

/// glommio's own reactor has nothing to do here; see `worker::core`.
const NEVER: Duration = Duration::from_secs(86_400);
const GLOMMIO_MEMORY: usize = 64 * 1024;
const GLOMMIO_RING: usize = 16;

/// A few connections, each with a few kilobytes now and then: locked memory is for the cores.
const RING_ENTRIES: u32 = 64;
const BUFFERS: usize = 16;
const BUFFER_BYTES: usize = 8 * 1024;

/// After a look that failed, and while there is no primary, the next one follows after this, if the interval is not shorter: three
/// that are refused take a fraction of a second.
const RETRY_PAUSE: Duration = Duration::from_millis(60);
/// Looks that somebody asks for are this far apart.
const ASKED_PAUSE: Duration = Duration::from_millis(10);

/// What was seen and not taken in yet.
const OBSERVATIONS_MAX: usize = 256;

/// A look at a server.
pub(super) struct Observation {
    pub cluster: usize,
    pub member: usize,
    pub seen: Seen,
    /// What the server did not answer, and why.
    pub refused: Vec<(Question, ErrPacket)>,
}

/// What the prober is told.
pub(super) enum Order {
    /// Somebody wants to know now.
    Look { cluster: usize, member: usize },
    /// Whether the servers of a cluster are to be looked at more often: each moment without a primary is one that clients wait.
    Hurry { cluster: usize, hurry: bool },
    /// Where a server is to be found.
    Addresses { cluster: usize, member: usize, addresses: Arc<[SocketAddr]> },
    /// The process ends.
    End,
}

/// A prober that runs.
pub(super) struct Prober {
    pub orders: Sender<Order>,
    pub observations: async_channel::Receiver<Observation>,
    /// Tells why it has ended, if nobody wanted that.
    pub failed: async_channel::Receiver<String>,
}

/// A server to look after.
struct Target {
    cluster: usize,
    member: usize,
    instance: Instance,
    addresses: Arc<[SocketAddr]>,
    health: Health,
}

/// Starts the thread; `None` if there is nobody to look after.
///
/// # Errors
/// In words, when the thread can't be made.
pub(super) fn start(config: &Config, addresses: &[Vec<Arc<[SocketAddr]>>]) -> Result<Option<Prober>, String> {
    let targets = targets(config, addresses);
    if targets.is_empty() {
        return Ok(None);
    }
    let (orders, inbox) = inbox().map_err(|error| error.to_string())?;
    let (sender, observations) = async_channel::bounded(OBSERVATIONS_MAX);
    let (fails, failed) = async_channel::bounded(1);
    LocalExecutorBuilder::new(Placement::Unbound)
        .name("athena-health")
        .preempt_timer(NEVER)
        .io_memory(GLOMMIO_MEMORY)
        .ring_depth(GLOMMIO_RING)
        .spawn(move || async move {
            if let Err(error) = live(targets, inbox, sender).await {
                let _ = fails.try_send(error.to_string());
            }
        })
        .map_err(|error| error.to_string())?;
    Ok(Some(Prober { orders, observations, failed }))
}

/// A cluster of one server is not looked after: that one is the primary, whatever it says.
fn targets(config: &Config, addresses: &[Vec<Arc<[SocketAddr]>>]) -> Vec<Target> {
    let clusters = config.clusters.iter().zip(addresses).enumerate();
    let clusters = clusters.filter(|(_, (cluster, _))| !cluster.replicas.is_empty());
    let targets = clusters.flat_map(|(number, (cluster, addresses))| {
        let members = cluster.instances().zip(addresses).enumerate();
        members.map(move |(member, (instance, addresses))| Target {
            cluster: number,
            member,
            instance: instance.clone(),
            addresses: addresses.clone(),
            health: cluster.health.clone(),
        })
    });
    targets.collect()
}

async fn live(
    targets: Vec<Target>,
    inbox: Inbox<Order>,
    observations: async_channel::Sender<Observation>,
) -> std::io::Result<()> {
    let core = Executor::new(Ring::new(RING_ENTRIES, BUFFERS, BUFFER_BYTES)?);
    let inbox = inbox.on(&core.ring)?;
    let watchers: Vec<Rc<Watcher>> = targets.into_iter().map(|target| Watcher::new(target, &core)).collect();
    for watcher in &watchers {
        core.spawn(watcher.clone().watch(observations.clone()));
    }
    core.spawn(listen(core.clone(), watchers, inbox));
    core.drive(Duration::ZERO).await
}

/// Does what the control executor says.
async fn listen(core: Rc<Executor>, watchers: Vec<Rc<Watcher>>, inbox: Receiver<Order>) {
    let find = |cluster, member| {
        watchers.iter().find(|one| (one.target.cluster, one.target.member) == (cluster, member))
    };
    loop {
        match inbox.receive().await {
            Order::Look { cluster, member } => {
                if let Some(watcher) = find(cluster, member) {
                    // One that is already asked for is as good.
                    let _ = watcher.asks.try_send(());
                }
            }
            Order::Hurry { cluster, hurry } => {
                for watcher in watchers.iter().filter(|one| one.target.cluster == cluster) {
                    watcher.hurry.set(hurry);
                    let _ = watcher.asks.try_send(());
                }
            }
            Order::Addresses { cluster, member, addresses } => {
                if let Some(watcher) = find(cluster, member) {
                    watcher.addresses.replace(addresses);
                }
            }
            Order::End => break,
        }
    }
    inbox.close();
    core.stop();
}

/// Looks at one server.
struct Watcher {
    target: Target,
    core: Rc<Executor>,
    account: Rc<BackendAccount>,
    addresses: RefCell<Arc<[SocketAddr]>>,
    hurry: Cell<bool>,
    asks: async_channel::Sender<()>,
    asked: async_channel::Receiver<()>,
}

/// What was seen, how long it took, and what the server did not tell.
type Sight = (Look, Duration, Vec<(Question, ErrPacket)>);

/// Why a look brought nothing.
#[derive(Debug, thiserror::Error)]
enum Blind {
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Link(#[from] LinkError),
    #[error("ERROR {} ({}): {}", .0.code, String::from_utf8_lossy(&.0.sql_state), String::from_utf8_lossy(&.0.message))]
    Refused(ErrPacket),
    #[error("no answer within {} ms ([health] timeout_ms)", .0.as_millis())]
    Timeout(Duration),
    #[error("its answer is none that Athena understands")]
    Nonsense,
}

impl Watcher {
    fn new(target: Target, core: &Rc<Executor>) -> Rc<Self> {
        let own =
            BackendLogin { user: target.instance.user.clone(), password: target.instance.password.clone() };
        let login = target.health.account.clone().unwrap_or(own);
        let secret = Secret::password(login.password.expose());
        let (asks, asked) = async_channel::bounded(1);
        Rc::new(Self {
            account: BackendAccount::new(login.user.as_bytes(), secret),
            addresses: RefCell::new(target.addresses.clone()),
            core: core.clone(),
            hurry: Cell::new(false),
            target,
            asks,
            asked,
        })
    }

    /// Looks again and again, for as long as somebody listens.
    async fn watch(self: Rc<Self>, observations: async_channel::Sender<Observation>) {
        let timer = Timer::new(&self.core.timers);
        let pause_timer = Timer::new(&self.core.timers);
        let (interval, timeout) = (self.target.health.interval, self.target.health.timeout);
        let (mut probe, mut profile) = (None, None);
        let mut in_vain = 0;
        loop {
            let began = Instant::now();
            let looked = timer.within(timeout, self.look(&mut probe, &mut profile)).await;
            let looked = looked.unwrap_or(Err(Blind::Timeout(timeout)));
            in_vain = if matches!(looked, Err(Blind::Timeout(_))) { in_vain + 1 } else { 0 };
            let (seen, refused) = match looked {
                Ok((look, latency, refused)) => (Seen::Look(look, latency), refused),
                Err(blind) => {
                    probe = None;
                    (blind.into_seen(), Vec::new())
                }
            };
            let pause = match &seen {
                // It hangs, and may have each of these connections when it wakes up.
                Seen::Failed(_) if in_vain > self.target.health.failures => interval,
                Seen::Failed(_) => interval.min(RETRY_PAUSE),
                Seen::Look(..) if self.hurry.get() => interval.min(RETRY_PAUSE),
                Seen::Look(..) | Seen::Refused(_) => interval.saturating_sub(began.elapsed()),
            };
            let Target { cluster, member, .. } = self.target;
            if observations.send(Observation { cluster, member, seen, refused }).await.is_err() {
                return;
            }
            self.wait(&pause_timer, pause, probe.as_ref()).await;
            pause_timer.sleep(ASKED_PAUSE.saturating_sub(began.elapsed())).await;
        }
    }

    /// Until it is time for the next look: after `pause`, or when somebody asks for one, or the server closes the connection.
    async fn wait(&self, timer: &Timer, pause: Duration, probe: Option<&Probe>) {
        let asked = async {
            let _ = self.asked.recv().await;
        };
        let closed = async {
            match probe {
                Some(probe) => probe.closed().await,
                None => std::future::pending().await,
            }
        };
        let _ = timer.within(pause.max(Duration::from_millis(1)), asked.or(closed)).await;
    }

    /// One look, over the connection that there is or a new one: that a server has closed one says nothing of it.
    async fn look(
        &self,
        kept: &mut Option<Probe>,
        profile: &mut Option<ServerProfile>,
    ) -> Result<Sight, Blind> {
        if let Some(probe) = kept {
            let began = Instant::now();
            if let Ok(answers) = probe.look().await {
                return understand(probe.is_mariadb(), answers, began.elapsed());
            }
        }
        *kept = None;
        let addresses = self.addresses.borrow().clone();
        let ring = &self.core.ring;
        let probe =
            Probe::open(ring, &addresses, &self.target.instance, &self.account, profile.as_ref()).await?;
        *profile = Some(probe.profile().clone());
        let probe = kept.insert(probe);
        let began = Instant::now();
        let answers = probe.look().await?;
        understand(probe.is_mariadb(), answers, began.elapsed())
    }
}

impl Blind {
    fn into_seen(self) -> Seen {
        match &self {
            Blind::Connect(ConnectError::Refused(err)) if err.code != ER_SERVER_SHUTDOWN => {
                Seen::Refused(self.to_string())
            }
            _ => Seen::Failed(self.to_string()),
        }
    }
}

/// `ER_SERVER_SHUTDOWN`: it lets nobody in, and is about to be gone.
const ER_SERVER_SHUTDOWN: u16 = 1053;

fn understand(mariadb: bool, told: Vec<(Question, Answer)>, latency: Duration) -> Result<Sight, Blind> {
    let mut answers = Answers { mariadb, ..Answers::default() };
    let mut refused = Vec::new();
    for (question, answer) in told {
        match (question, answer) {
            (Question::Settings, Ok(rows)) => answers.settings = rows,
            (Question::Settings, Err(err)) => return Err(Blind::Refused(err)),
            (Question::Replication, Ok(rows)) => answers.replication = Some(rows),
            (Question::Group, Ok(rows)) => answers.group = Some(rows),
            (Question::Galera, Ok(rows)) => answers.galera = Some(rows),
            (question, Err(err)) => refused.push((question, err)),
        }
    }
    let look = Look::read(&answers).ok_or(Blind::Nonsense)?;
    Ok((look, latency, refused))
}
