//! Arguments, start-up, exit codes.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use athena::config::{Config, Cpus, DEFAULT_PATH, LogFormat, Problems};
use athena::control::{Control, logging, resolver, run};
use athena::net::{BoundListener, Sender, SocketFile, check_host, inbox};
use athena::protocol::auth::rsa::RsaKeyPair;
use athena::session::{LETTERS_MAX, SUSPICIONS_MAX, Shared};
use athena::worker::{CorePlan, Message, start};
use clap::Parser;

/// The configuration is refused.
const EXIT_CONFIG: u8 = 2;
/// Anything else that keeps Athena from serving.
const EXIT_FAILURE: u8 = 1;

/// The kernel takes a moment to close what the ring of a process that was killed had open.
const SOCKET_TRIES: u32 = 10;
const SOCKET_PAUSE: Duration = Duration::from_millis(200);

/// A MySQL proxy: connection pooling, one executor per CPU core, io_uring underneath.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file.
    #[arg(long, default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Reads the configuration, says what is wrong with it, and starts nothing.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = match Config::load(&arguments.config, &|name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(problems) => return refused(&problems),
    };
    if arguments.check {
        println!("{}: ok", arguments.config.display());
        return ExitCode::SUCCESS;
    }
    match serve(config, arguments.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(reason)) => {
            eprintln!("athena: {reason}");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

fn refused(problems: &Problems) -> ExitCode {
    eprintln!("{problems}");
    ExitCode::from(EXIT_CONFIG)
}

/// What keeps Athena from serving.
struct Failure(String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

fn serve(config: Config, config_path: PathBuf) -> Result<(), Failure> {
    let format = match config.log.format {
        LogFormat::Text => logging::Format::Text,
        LogFormat::Json => logging::Format::Json,
    };
    let log = logging::init(&config.log.level, format)?;
    let cpus = cpus(&config)?;
    let open_files = check_host(cpus.len(), config.runtime.ring_entries)?;
    let config = Arc::new(config);
    let (unix_listener, _removed_at_the_end) = unix_listener(&config)?.unzip();
    let control = start_cores(config.clone(), config_path, &cpus, unix_listener.as_ref(), log)?;
    // The cores have it; the last of them closes it.
    drop(unix_listener);
    tracing::info!(
        target: "athena",
        version = env!("CARGO_PKG_VERSION"),
        listen = %config.server.listen,
        unix_socket = config.server.unix_socket.as_deref().map(tracing::field::debug),
        metrics = config.metrics.map(tracing::field::display),
        ?cpus,
        open_files,
        "serving"
    );
    Ok(run(control)?)
}

/// The CPU of each core.
fn cpus(config: &Config) -> Result<Vec<usize>, Failure> {
    let allowed: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    let rounds = config.runtime.cores_per_cpu;
    match &config.runtime.cpus {
        Cpus::List(list) => match list.iter().find(|cpu| !allowed.contains(cpu)) {
            Some(cpu) => Err(Failure(format!(
                "runtime.cpus: CPU {cpu} is not there, or this process may not use it; it may use {allowed:?}"
            ))),
            None => Ok(list.repeat(rounds)),
        },
        Cpus::Auto => Ok(allowed.repeat(rounds)),
    }
}

/// The Unix socket of the clients, if there is to be one. It is put in place before any core accepts.
fn unix_listener(config: &Config) -> Result<Option<(BoundListener, SocketFile)>, Failure> {
    let Some(path) = &config.server.unix_socket else { return Ok(None) };
    let mut tries = SOCKET_TRIES;
    loop {
        match BoundListener::bind_unix(path) {
            Ok(bound) => return Ok(Some(bound)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {
                tries -= 1;
                std::thread::sleep(SOCKET_PAUSE);
            }
            Err(error) => {
                let reason = format!("can't listen on {} ([server] unix_socket): {error}", path.display());
                return Err(Failure(reason));
            }
        }
    }
}

fn start_cores(
    config: Arc<Config>,
    config_path: PathBuf,
    cpus: &[usize],
    unix_listener: Option<&BoundListener>,
    log: logging::Guard,
) -> Result<Control, Failure> {
    let listen = config.server.listen;
    // Every address is ours before a core accepts: no client is let in by a process that is about to give up.
    nobody_listens(listen)?;
    let http = config.metrics.map(http_listener).transpose()?;
    let rsa = Arc::new(RsaKeyPair::generate()?);
    let shared = Shared::new(&config, cpus.len());
    let addresses: Vec<Vec<_>> =
        config.clusters.iter().map(|cluster| cluster.instances().map(resolver::resolve).collect()).collect();
    let (ended, has_ended) = async_channel::unbounded();
    let (letters, to_pass_on) = async_channel::bounded(LETTERS_MAX);
    let (reports, to_ledger) = async_channel::unbounded();
    let (suspicions, to_look_into) = async_channel::bounded(SUSPICIONS_MAX);
    let mut cores: Vec<Sender<Message>> = Vec::new();
    let mut plans = Vec::new();
    for (index, cpu) in cpus.iter().enumerate() {
        let (sender, receiver) = inbox()?;
        cores.push(sender);
        plans.push(CorePlan {
            index,
            cores: cpus.len(),
            cpu: *cpu,
            config: config.clone(),
            rsa: rsa.clone(),
            listener: BoundListener::bind(listen).map_err(|error| no_listener(listen, "[server]", &error))?,
            unix_listener: unix_listener.map(BoundListener::share).transpose()?,
            inbox: receiver,
            shared: shared.clone(),
            addresses: addresses.clone(),
            letters: letters.clone(),
            reports: reports.clone(),
            suspicions: suspicions.clone(),
            ended: ended.clone(),
        });
    }
    // All listeners are bound before any accepts: the kernel spreads clients over those that are there.
    for plan in plans {
        start(plan)?;
    }
    Ok(Control {
        config,
        config_path,
        addresses,
        cores,
        http,
        letters: to_pass_on,
        reports: to_ledger,
        suspicions: to_look_into,
        ended: has_ended,
        log,
    })
}

/// The cores share their address by `SO_REUSEPORT`, which would also share it with another Athena, silently.
fn nobody_listens(address: SocketAddr) -> Result<(), Failure> {
    BoundListener::check_free(address).map_err(|error| no_listener(address, "[server]", &error))
}

/// Where the HTTP endpoint listens; the control executor serves it later.
fn http_listener(address: SocketAddr) -> Result<BoundListener, Failure> {
    BoundListener::bind_alone(address).map_err(|error| no_listener(address, "[metrics]", &error))
}

fn no_listener(address: SocketAddr, section: &str, error: &io::Error) -> Failure {
    Failure(format!("can't listen on {address} ({section}): {error}"))
}
