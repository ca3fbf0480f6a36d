//! One database server of the lab.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{APP_PASSWORD, APP_USER, Flavor, Installation, ServerOptions, SqlClient, template};
use crate::error::{Error, Result};
use crate::port::Port;
use crate::process::{Daemon, Signal};

/// A cold MySQL on a busy machine needs several seconds.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// The kernel's limit for the path of a unix socket is 107 bytes.
const SOCKET_PATH_MAX: usize = 107;

/// A running (or stopped, or killed) server with its own data folder and port.
#[derive(Debug)]
pub struct Server {
    installation: Installation,
    folder: PathBuf,
    options: ServerOptions,
    port: Port,
    process: Mutex<Option<Daemon>>,
}

impl Server {
    /// Copies the template into the new folder `folder` and starts a server on it.
    pub(super) fn start_new(
        installation: &Installation,
        folder: &Path,
        options: ServerOptions,
    ) -> Result<Self> {
        fs::create_dir_all(folder).map_err(Error::file(folder))?;
        template::copy_to(installation, &folder.join("data"))?;
        Self::start_on(installation, folder, options)
    }

    /// Starts a server on the folder `data` that is already in `folder`.
    pub(super) fn start_on(
        installation: &Installation,
        folder: &Path,
        options: ServerOptions,
    ) -> Result<Self> {
        let server = Self {
            installation: installation.clone(),
            folder: folder.to_owned(),
            options,
            port: Port::free()?,
            process: Mutex::new(None),
        };
        server.start()?;
        Ok(server)
    }

    /// The TCP port on 127.0.0.1; the same for the life of this value.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The unix socket.
    pub fn socket_path(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// The data folder.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn tmp_folder(&self) -> PathBuf {
        self.folder.join("tmp")
    }

    /// The server's error log.
    pub fn log_path(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// The server's family.
    pub fn flavor(&self) -> Flavor {
        self.installation.flavor()
    }

    /// The process id; `None` when the server was stopped.
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Daemon::pid)
    }

    /// Runs statements as `root` and returns the rows (see [`SqlClient::run`]).
    ///
    /// # Errors
    /// As [`SqlClient::run`].
    pub fn sql(&self, sql: &str) -> Result<String> {
        self.socket_client().run(sql)
    }

    /// A client that logs in as [`APP_USER`] over TCP.
    pub fn app_client(&self) -> SqlClient {
        SqlClient::on_port(self.port(), APP_USER, APP_PASSWORD)
    }

    /// Starts the server again on the same data and port; does nothing when it runs.
    ///
    /// # Errors
    /// [`Error::Start`] with the end of its log when it ends or is not ready in time.
    pub fn start(&self) -> Result<()> {
        let mut process = self.process();
        if process.as_ref().is_some_and(|daemon| daemon.exit_status().is_none()) {
            return Ok(());
        }
        if self.socket_path().as_os_str().len() > SOCKET_PATH_MAX {
            return Err(Error::Unexpected(format!(
                "{} is too long for a socket: set ATHENA_LAB_DIR to a shorter folder",
                self.socket_path().display()
            )));
        }
        let tmp = self.tmp_folder();
        fs::create_dir_all(&tmp).map_err(Error::file(&tmp))?;
        let (program, arguments) = self.command_line();
        let daemon = Daemon::start(&program, &arguments, &self.log_path())?;
        daemon.wait_ready(START_TIMEOUT, || greets(self.port()))?;
        *process = Some(daemon);
        Ok(())
    }

    /// An orderly stop (SIGTERM); dirty pages are written.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the server had to be killed after all.
    pub fn stop(&self) -> Result<()> {
        let Some(daemon) = self.process().take() else { return Ok(()) };
        match daemon.terminate(STOP_TIMEOUT) {
            Some(status) if status.success() => Ok(()),
            other => Err(Error::Timeout(format!("the server on port {} ended with {other:?}", self.port()))),
        }
    }

    /// A crash (SIGKILL).
    pub fn kill(&self) {
        if let Some(daemon) = self.process().take() {
            daemon.kill();
        }
    }

    /// Starts it again on the same data and port after a crash, or with one: global variables are as they were at first.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn restart(&self) -> Result<()> {
        self.kill();
        self.start()
    }

    /// Stops the process in its tracks (SIGSTOP): connections stay open and nobody answers.
    pub fn pause(&self) {
        if let Some(daemon) = self.process().as_ref() {
            daemon.pause();
        }
    }

    /// Ends a [`Server::pause`].
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    pub(super) fn socket_client(&self) -> SqlClient {
        SqlClient::on_socket(&self.socket_path(), "root", "")
    }

    fn signal(&self, signal: Signal) {
        if let Some(daemon) = self.process().as_ref() {
            daemon.signal(signal);
        }
    }

    fn command_line(&self) -> (PathBuf, Vec<String>) {
        let (program, mut arguments) = self.installation.server_command();
        let inside = |path: PathBuf| self.installation.inside(&path).display().to_string();
        let port = self.port();
        let data = inside(self.data_folder());
        arguments.extend([
            format!("--datadir={data}"),
            format!("--socket={}", inside(self.socket_path())),
            format!("--pid-file={data}/server.pid"),
            // Servers that share a folder for temporary files delete each other's when they start.
            format!("--tmpdir={}", inside(self.tmp_folder())),
            format!("--port={port}"),
            format!("--server-id={port}"),
            format!("--max-connections={}", self.options.max_connections),
            format!("--innodb-buffer-pool-size={}M", self.options.buffer_pool_mib),
            "--bind-address=127.0.0.1".to_owned(),
            "--skip-name-resolve".to_owned(),
            "--max-allowed-packet=1G".to_owned(),
            // Data need not survive a crash of the machine, only one of the server.
            "--innodb-flush-log-at-trx-commit=2".to_owned(),
            "--sync-binlog=0".to_owned(),
            "--performance-schema=OFF".to_owned(),
        ]);
        let by_flavor: &[&str] = match self.flavor() {
            Flavor::MariaDb => &["--innodb-log-file-size=64M"],
            Flavor::MySql => &["--innodb-redo-log-capacity=128M", "--mysqlx=OFF", "--secure-file-priv="],
        };
        let binlog: &[&str] = match (self.flavor(), self.options.binlog) {
            (Flavor::MariaDb, true) => &["--log-bin=binlog", "--binlog-format=ROW", "--log-slave-updates"],
            (Flavor::MariaDb, false) => &[],
            (Flavor::MySql, true) => &["--log-bin=binlog", "--gtid-mode=ON", "--enforce-gtid-consistency=ON"],
            (Flavor::MySql, false) => &["--disable-log-bin"],
        };
        arguments.extend(by_flavor.iter().chain(binlog).map(|&argument| argument.to_owned()));
        arguments.extend(self.options.extra.iter().cloned());
        (program, arguments)
    }

    fn process(&self) -> MutexGuard<'_, Option<Daemon>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its data is thrown away: no need to wait for an orderly end.
        self.kill();
    }
}

/// Whether something on `port` opens a conversation as a MySQL server does: a packet with sequence id 0 that is a
/// greeting of protocol version 10 or an error (a server refuses hosts that no account names).
pub(crate) fn greets(port: u16) -> bool {
    let address = (Ipv4Addr::LOCALHOST, port).into();
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return false };
    let mut start = [0; 5];
    let timeout_set = stream.set_read_timeout(Some(Duration::from_secs(2))).is_ok();
    timeout_set && stream.read_exact(&mut start).is_ok() && matches!(start, [_, _, _, 0, 10 | 0xff])
}
