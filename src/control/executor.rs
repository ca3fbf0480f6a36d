//! The life of the control executor, and with it of the process.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_lite::FutureExt;
use glommio::{LocalExecutorBuilder, Placement};

use crate::config::Config;
use crate::net::{BoundListener, Sender};
use crate::router::Suspicion;
use crate::session::Letter;
use crate::worker::{CoreError, Filed, Message};

use super::http::{Status, serve};
use super::ledger::Ledgers;
use super::logging;
use super::pages::View;
use super::prober::{self, Prober};
use super::reload;
use super::resolver;
use super::signals::{self, Signal};
use super::topology::Topologies;

/// After everything was told to end: how long the cores may take.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What the control executor works with.
pub struct Control {
    pub config: Arc<Config>,
    /// Where it was read.
    pub config_path: PathBuf,
    /// Where the members of each cluster are.
    pub addresses: Vec<Vec<Arc<[SocketAddr]>>>,
    /// The inboxes of the cores.
    pub cores: Vec<Sender<Message>>,
    /// Where the HTTP endpoint listens, if there is to be one.
    pub http: Option<BoundListener>,
    /// What sessions of one core ask of another.
    pub letters: async_channel::Receiver<Letter>,
    /// What cores want looked into.
    pub suspicions: async_channel::Receiver<Suspicion>,
    /// What cores tell the ledger.
    pub reports: async_channel::Receiver<Filed>,
    /// Tells which core has ended, and how.
    pub ended: async_channel::Receiver<(usize, Result<(), CoreError>)>,
    pub log: logging::Guard,
}

/// How the process ends.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("the control executor can't be started: {0}")]
    Start(String),
    #[error("signals can't be handled: {0}")]
    Signals(std::io::Error),
    #[error("servers can't be looked after: {0}")]
    Health(String),
    #[error("{0}")]
    Core(#[from] CoreError),
    #[error("ended by a second signal")]
    Impatient,
    #[error("{0} cores did not end in time")]
    Stuck(usize),
}

/// Runs until the process is to end.
///
/// # Errors
/// Whatever ended it but an orderly stop.
pub fn run(control: Control) -> Result<(), ControlError> {
    let placement = control.config.runtime.control_cpu.map_or(Placement::Unbound, Placement::Fixed);
    let executor = LocalExecutorBuilder::new(placement)
        .name("athena-control")
        // Registered for file I/O, of which there is none; it counts against the limit of locked memory.
        .io_memory(64 * 1024)
        .make()
        .map_err(|error| ControlError::Start(error.to_string()))?;
    // Tasks of the executor may never be dropped; the guard has to be, or the last lines of the log are lost.
    let Control { config, config_path, addresses, cores, http, letters, suspicions, reports, ended, log } =
        control;
    let passed_on = pass_on(letters, cores.clone());
    let outcome = executor.run(async {
        glommio::spawn_local(passed_on).detach();
        let ledgers = Ledgers::new(&config, cores.clone());
        glommio::spawn_local(ledgers.clone().keep(reports)).detach();
        let (topologies, health_failed) = look_after(&config, &addresses, &cores, suspicions)?;
        resolve_again(&config, &cores, &topologies);
        let view = View {
            cores: cores.clone(),
            config: config.clone(),
            topologies: topologies.clone(),
            status: Rc::new(Cell::new(Status::Ok)),
            started: Instant::now(),
            log: log.losses(),
        };
        let end = Ending {
            left: cores.len(),
            config,
            config_path,
            ledgers,
            topologies: topologies.clone(),
            cores,
            ended,
            health_failed,
            signals: signals::listen().map_err(ControlError::Signals)?,
        };
        let outcome = live(end, view, http).await;
        topologies.end();
        outcome
    });
    drop(log);
    outcome
}

async fn live(mut end: Ending, view: View, http: Option<BoundListener>) -> Result<(), ControlError> {
    let status = view.status.clone();
    if let Some(http) = http {
        glommio::spawn_local(serve(http.hand_over(), Rc::new(view))).detach();
    }
    end.wait_for_stop().await?;
    status.set(Status::Draining);
    let limit = end.config.server.drain_timeout;
    end.drain(limit).await
}

/// Takes in what the prober sees, and has it look where cores want it to. Returns where it tells that it had to end; `None` if
/// nobody is looked after.
fn look_after(
    config: &Config,
    addresses: &[Vec<Arc<[SocketAddr]>>],
    cores: &[Sender<Message>],
    suspicions: async_channel::Receiver<Suspicion>,
) -> Result<(Rc<Topologies>, Option<async_channel::Receiver<String>>), ControlError> {
    let prober = prober::start(config, addresses).map_err(ControlError::Health)?;
    let Some(Prober { orders, observations, failed }) = prober else {
        return Ok((Topologies::new(config, addresses, cores.to_vec(), None), None));
    };
    let topologies = Topologies::new(config, addresses, cores.to_vec(), Some(orders));
    glommio::spawn_local(topologies.clone().keep(observations)).detach();
    glommio::spawn_local(topologies.clone().look_into(suspicions)).detach();
    Ok((topologies, Some(failed)))
}

/// What is left to wait for.
struct Ending {
    config: Arc<Config>,
    config_path: PathBuf,
    ledgers: Rc<Ledgers>,
    topologies: Rc<Topologies>,
    cores: Vec<Sender<Message>>,
    ended: async_channel::Receiver<(usize, Result<(), CoreError>)>,
    /// Why the prober had to end; `None` where there is none.
    health_failed: Option<async_channel::Receiver<String>>,
    signals: async_channel::Receiver<Signal>,
    /// Cores that still run.
    left: usize,
}

enum Event {
    Core(Result<(), CoreError>),
    HealthFailed(String),
    Signal(Signal),
}

impl Ending {
    async fn next(&self) -> Event {
        let core = async {
            match self.ended.recv().await {
                Ok((core, outcome)) => {
                    self.ledgers.retire(core);
                    Event::Core(outcome)
                }
                Err(_) => std::future::pending().await,
            }
        };
        let signal = async {
            match self.signals.recv().await {
                Ok(signal) => Event::Signal(signal),
                Err(_) => std::future::pending().await,
            }
        };
        let health = async {
            let failed = async { self.health_failed.as_ref()?.recv().await.ok() };
            match failed.await {
                Some(reason) => Event::HealthFailed(reason),
                None => std::future::pending().await,
            }
        };
        core.or(signal).or(health).await
    }

    async fn wait_for_stop(&mut self) -> Result<(), ControlError> {
        loop {
            match self.next().await {
                Event::Signal(Signal::Stop) => return Ok(()),
                Event::Signal(Signal::Reload) => self.reload().await,
                Event::HealthFailed(reason) => return Err(ControlError::Health(reason)),
                Event::Core(outcome) => {
                    outcome?;
                    // Nobody told it to.
                    return Err(ControlError::Stuck(self.left));
                }
            }
        }
    }

    /// SIGHUP.
    async fn reload(&mut self) {
        reload::certificates(&self.config, &self.cores).await;
        if let Some(config) =
            reload::numbers(&self.config, &self.config_path, &self.ledgers, &self.topologies).await
        {
            self.config = Arc::new(config);
        }
    }

    async fn drain(&mut self, limit: Duration) -> Result<(), ControlError> {
        tracing::info!(target: "athena::control", ?limit, "draining: no new clients; statements and transactions may finish");
        self.tell(|| Message::Drain);
        if self.all_end_within(limit).await? {
            tracing::info!(target: "athena::control", "drained");
            return Ok(());
        }
        tracing::warn!(target: "athena::control", ?limit, "drain_timeout_ms is over: what still runs is ended");
        self.tell(|| Message::End);
        if self.all_end_within(LAST_WORDS).await? { Ok(()) } else { Err(ControlError::Stuck(self.left)) }
    }

    async fn all_end_within(&mut self, limit: Duration) -> Result<bool, ControlError> {
        let deadline = Instant::now() + limit;
        while self.left > 0 {
            let rest = deadline.saturating_duration_since(Instant::now());
            let event = async { Some(self.next().await) };
            let event = event
                .or(async {
                    glommio::timer::sleep(rest).await;
                    None
                })
                .await;
            match event {
                None => return Ok(false),
                Some(Event::Core(outcome)) => {
                    outcome?;
                    self.left -= 1;
                }
                Some(Event::Signal(Signal::Stop)) => return Err(ControlError::Impatient),
                Some(Event::Signal(Signal::Reload) | Event::HealthFailed(_)) => {}
            }
        }
        Ok(true)
    }

    fn tell(&self, message: impl Fn() -> Message) {
        self.cores.iter().for_each(|core| core.send(message()));
    }
}

/// Brings each letter to the core that it is for.
async fn pass_on(letters: async_channel::Receiver<Letter>, cores: Vec<Sender<Message>>) {
    while let Ok(letter) = letters.recv().await {
        if let Some(core) = cores.get(letter.to as usize) {
            core.send(Message::Letter(letter));
        }
    }
}

/// Looks names up again from time to time, and tells everybody what has changed.
fn resolve_again(config: &Arc<Config>, cores: &[Sender<Message>], topologies: &Rc<Topologies>) {
    let members = config.clusters.iter().enumerate().flat_map(|(cluster, servers)| {
        servers.instances().enumerate().map(move |(member, instance)| (cluster, member, instance))
    });
    for (cluster, member, instance) in members {
        let instance = instance.clone();
        if !resolver::is_name(&instance) {
            continue;
        }
        let (cores, topologies) = (cores.to_vec(), topologies.clone());
        glommio::spawn_local(async move {
            let mut known: Option<Arc<[SocketAddr]>> = None;
            loop {
                glommio::timer::sleep(resolver::INTERVAL).await;
                let instance = instance.clone();
                let found = glommio::executor().spawn_blocking(move || resolver::resolve(&instance)).await;
                // A name server that is away for a moment takes nothing away.
                if !found.is_empty() && known.as_ref() != Some(&found) {
                    let message = || Message::Addresses { cluster, member, addresses: found.clone() };
                    cores.iter().for_each(|core| core.send(message()));
                    topologies.set_addresses(cluster, member, found.clone());
                    known = Some(found);
                }
            }
        })
        .detach();
    }
}
