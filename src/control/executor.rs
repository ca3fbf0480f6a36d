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
use super::reload;
use super::resolver;
use super::signals::{self, Signal};

/// After everything was told to end: how long the cores may take.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What the control executor works with.
pub struct Control {
    pub config: Arc<Config>,
    /// Where it was read.
    pub config_path: PathBuf,
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
    let Control { config, config_path, cores, http, letters, suspicions, reports, ended, log } = control;
    drop(suspicions);
    let passed_on = pass_on(letters, cores.clone());
    let outcome = executor.run(async {
        glommio::spawn_local(passed_on).detach();
        let ledgers = Ledgers::new(&config, cores.clone());
        glommio::spawn_local(ledgers.clone().keep(reports)).detach();
        live(config, config_path, ledgers, cores, http, ended, log.losses()).await
    });
    drop(log);
    outcome
}

async fn live(
    config: Arc<Config>,
    config_path: PathBuf,
    ledgers: Rc<Ledgers>,
    cores: Vec<Sender<Message>>,
    http: Option<BoundListener>,
    ended: async_channel::Receiver<(usize, Result<(), CoreError>)>,
    log: logging::Losses,
) -> Result<(), ControlError> {
    let signals = signals::listen().map_err(ControlError::Signals)?;
    let status = Rc::new(Cell::new(Status::Ok));
    let view = Rc::new(View {
        cores: cores.clone(),
        config: config.clone(),
        status: status.clone(),
        started: Instant::now(),
        log,
    });
    if let Some(http) = http {
        glommio::spawn_local(serve(http.hand_over(), view)).detach();
    }
    resolve_again(&config, &cores);
    let mut end = Ending { config: config.clone(), config_path, ledgers, cores, ended, signals, left: 0 };
    end.left = end.cores.len();
    end.wait_for_stop().await?;
    status.set(Status::Draining);
    end.drain(config.server.drain_timeout).await
}

/// What is left to wait for.
struct Ending {
    config: Arc<Config>,
    config_path: PathBuf,
    ledgers: Rc<Ledgers>,
    cores: Vec<Sender<Message>>,
    ended: async_channel::Receiver<(usize, Result<(), CoreError>)>,
    signals: async_channel::Receiver<Signal>,
    /// Cores that still run.
    left: usize,
}

enum Event {
    Core(Result<(), CoreError>),
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
        core.or(signal).await
    }

    async fn wait_for_stop(&mut self) -> Result<(), ControlError> {
        loop {
            match self.next().await {
                Event::Signal(Signal::Stop) => return Ok(()),
                Event::Signal(Signal::Reload) => self.reload().await,
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
        if let Some(config) = reload::limits(&self.config, &self.config_path, &self.ledgers).await {
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
                Some(Event::Signal(Signal::Reload)) => {}
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

/// Looks names up again from time to time, and tells the cores what has changed.
fn resolve_again(config: &Arc<Config>, cores: &[Sender<Message>]) {
    let members = config.clusters.iter().enumerate().flat_map(|(cluster, servers)| {
        servers.instances().enumerate().map(move |(member, instance)| (cluster, member, instance))
    });
    for (cluster, member, instance) in members {
        let instance = instance.clone();
        if !resolver::is_name(&instance) {
            continue;
        }
        let cores = cores.to_vec();
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
                    known = Some(found);
                }
            }
        })
        .detach();
    }
}
