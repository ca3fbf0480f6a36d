//! HAProxy as a plain TCP relay: the peer that Athena is measured against.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{START_TIMEOUT, Usage, accepts, pinned};
use crate::error::{Error, Result};
use crate::port::Port;
use crate::process::{Daemon, find_program};

/// HAProxy refuses to start when two file descriptors a connection exceed the process's limit.
const MAX_CONNECTIONS: u32 = 8000;

/// A running HAProxy, `mode tcp`.
#[derive(Debug)]
pub struct Haproxy {
    daemon: Daemon,
    port: Port,
}

impl Haproxy {
    /// Starts HAProxy with `threads` threads in front of `backend_port`, on the CPUs of `cpus` only where that is given;
    /// configuration and log go to a new folder in `folder`.
    ///
    /// # Errors
    /// [`Error::Missing`] when it is not installed, [`Error::Start`] when it does not listen.
    pub fn start(folder: &Path, backend_port: u16, threads: u32, cpus: Option<&str>) -> Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let binary = find_program("haproxy").ok_or_else(|| Error::Missing("haproxy".to_owned()))?;
        let folder = folder.join(format!("haproxy-{}", STARTED.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        let port = Port::free()?;
        let config_path = folder.join("haproxy.cfg");
        let config = configuration(port.number(), backend_port, threads);
        fs::write(&config_path, config).map_err(Error::file(&config_path))?;
        let arguments = ["-db", "-f"].map(str::to_owned).into_iter();
        let arguments = arguments.chain([config_path.display().to_string()]).collect();
        let (program, arguments) = pinned(&binary, arguments, cpus);
        let daemon = Daemon::start(&program, &arguments, &folder.join("haproxy.log"))?;
        daemon.wait_ready(START_TIMEOUT, || accepts(port.number()))?;
        Ok(Self { daemon, port })
    }

    /// The port for clients, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// What the process costs.
    pub fn usage(&self) -> Usage {
        Usage::of(self.pid())
    }
}

fn configuration(port: u16, backend_port: u16, threads: u32) -> String {
    format!(
        "global\n    maxconn {MAX_CONNECTIONS}\n    nbthread {threads}\n\
         defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 600s\n    timeout server 600s\n\
         frontend clients\n    bind 127.0.0.1:{port}\n    default_backend servers\n\
         backend servers\n    server one 127.0.0.1:{backend_port}\n"
    )
}
