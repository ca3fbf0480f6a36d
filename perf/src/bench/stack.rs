//! A backend with both proxies in front of it.

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::Plan;
use crate::error::Result;
use crate::lab::{APP_PASSWORD, APP_USER, Lab, Server, ServerOptions};
use crate::port::Port;
use crate::process::{Daemon, run};
use crate::proxy::{Athena, AthenaConfig, Haproxy, Usage};
use crate::sysbench::Sysbench;

/// What is behind the proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// The null backend.
    Null,
    /// A MariaDB of the lab.
    MariaDb,
}

/// What the load talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The backend itself.
    Direct,
    /// HAProxy in `mode tcp`.
    Haproxy,
    /// Athena.
    Athena,
}

impl Target {
    /// All targets.
    pub const ALL: [Self; 3] = [Self::Direct, Self::Haproxy, Self::Athena];
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Direct => "direct",
            Self::Haproxy => "HAProxy",
            Self::Athena => "Athena",
        })
    }
}

/// A running backend with its proxies.
pub(super) struct Stack {
    haproxy: Haproxy,
    athena: Athena,
    backend_port: u16,
    /// Held for its drop.
    _backend: Running,
}

enum Running {
    Null { _daemon: Daemon, _port: Port },
    MariaDb { _server: Server },
}

impl Stack {
    pub(super) fn start(plan: &Plan, lab: &Lab, backend: Backend) -> Result<Self> {
        let (running, backend_port) = match backend {
            Backend::Null => {
                let (daemon, port) = start_null(&plan.null_backend, plan.load_cpus.as_deref(), lab)?;
                let number = port.number();
                (Running::Null { _daemon: daemon, _port: port }, number)
            }
            Backend::MariaDb => start_mariadb(plan, lab)?,
        };
        let cpu = plan.proxy_cpu.as_deref();
        let cores =
            std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
        let threads = if cpu.is_some() { 1 } else { cores };
        let haproxy = Haproxy::start(lab.folder(), backend_port, threads, cpu)?;
        let athena = Athena::start(&plan.athena, lab.folder(), &athena_config(plan, backend, backend_port))?;
        Ok(Self { haproxy, athena, backend_port, _backend: running })
    }

    pub(super) fn port(&self, target: Target) -> u16 {
        match target {
            Target::Direct => self.backend_port,
            Target::Haproxy => self.haproxy.port(),
            Target::Athena => self.athena.port(),
        }
    }

    /// The proxy's process; `None` where there is no proxy.
    pub(super) fn pid(&self, target: Target) -> Option<u32> {
        match target {
            Target::Direct => None,
            Target::Haproxy => Some(self.haproxy.pid()),
            Target::Athena => Some(self.athena.pid()),
        }
    }

    pub(super) fn usage(&self, target: Target) -> Option<Usage> {
        self.pid(target).map(Usage::of)
    }
}

fn athena_config(plan: &Plan, backend: Backend, backend_port: u16) -> AthenaConfig {
    // The load generator can only log in with an empty password.
    let password = if backend == Backend::Null { "" } else { APP_PASSWORD };
    let config = AthenaConfig::new(backend_port)
        .account(APP_USER, password)
        .set("pool", "max_connections", &plan.pool.to_string())
        .set("circuit", "enabled", "false")
        .set("log", "level", "\"warn\"");
    match &plan.proxy_cpu {
        Some(cpu) => config.set("runtime", "cpus", &format!("{cpu:?}")).restrict_cpus(cpu),
        None => config,
    }
}

/// Starts a null backend on the CPUs of `cpus`.
pub(super) fn start_null(program: &Path, cpus: Option<&str>, lab: &Lab) -> Result<(Daemon, Port)> {
    let port = Port::free()?;
    let number = port.number();
    let mut arguments = vec![program.display().to_string(), format!("--port={number}")];
    if let Some(cpus) = cpus {
        arguments.splice(0..0, ["taskset".to_owned(), "-c".to_owned(), cpus.to_owned()]);
    }
    let program = arguments.remove(0);
    let daemon = Daemon::start(program.as_ref(), &arguments, &lab.folder().join("null-backend.log"))?;
    daemon.wait_ready(Duration::from_secs(5), || crate::lab::greets(number))?;
    Ok((daemon, port))
}

fn start_mariadb(plan: &Plan, lab: &Lab) -> Result<(Running, u16)> {
    let server = lab.server(ServerOptions::default())?;
    let port = server.port();
    Sysbench::new("oltp_read_only", port)?.prepare()?;
    if let (Some(cpus), Some(pid)) = (&plan.load_cpus, server.pid()) {
        run(Command::new("taskset").args(["-acp", cpus, &pid.to_string()]))?;
    }
    Ok((Running::MariaDb { _server: server }, port))
}
