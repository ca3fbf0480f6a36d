//! An Athena process with a configuration of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{START_TIMEOUT, Usage, accepts, http_get, pinned, sum_metric};
use crate::error::{Error, Result};
use crate::lab::{APP_PASSWORD, APP_USER, SqlClient};
use crate::port::{METRICS_OFFSET, Port};
use crate::process::{Daemon, Signal};

/// Longer than the drain time of any test.
const TERMINATE_TIMEOUT: Duration = Duration::from_secs(60);

/// The text of a configuration file, built section by section or given whole.
///
/// `@LISTEN_PORT@` and `@METRICS_PORT@` in any value stand for the ports that the process gets.
#[derive(Debug, Clone)]
pub struct AthenaConfig {
    /// Single tables in the order of their first key.
    tables: Vec<(String, Vec<String>)>,
    /// Text that follows the tables.
    text: String,
    environment: Vec<(String, String)>,
    cpus: Option<String>,
}

impl AthenaConfig {
    /// A configuration with `[server]` and `[backend]` for the server on `backend_port`, where Athena logs in as the
    /// lab's [`APP_USER`].
    pub fn new(backend_port: u16) -> Self {
        Self::from_text("")
            .set("server", "listen_addr", "\"127.0.0.1\"")
            .set("server", "listen_port", "@LISTEN_PORT@")
            .set("backend", "host", "\"127.0.0.1\"")
            .set("backend", "port", &backend_port.to_string())
            .account(APP_USER, APP_PASSWORD)
    }

    /// A configuration given whole.
    pub fn from_text(text: &str) -> Self {
        Self { tables: Vec::new(), text: text.to_owned(), environment: Vec::new(), cpus: None }
    }

    /// The user and password in `[backend]`.
    #[must_use]
    pub fn account(self, user: &str, password: &str) -> Self {
        self.set("backend", "user", &format!("{user:?}")).set("backend", "password", &format!("{password:?}"))
    }

    /// Sets `key` of the table `[table]` to `value`, which is TOML: strings need their quotes. The last value given wins.
    #[must_use]
    pub fn set(mut self, table: &str, key: &str, value: &str) -> Self {
        if !self.tables.iter().any(|(name, _)| name == table) {
            self.tables.push((table.to_owned(), Vec::new()));
        }
        for (_, lines) in self.tables.iter_mut().filter(|(name, _)| name == table) {
            lines.retain(|line| !line.starts_with(&format!("{key} = ")));
            lines.push(format!("{key} = {value}"));
        }
        self
    }

    /// Appends text: whole tables such as `[[users]]` that [`AthenaConfig::set`] was not used for.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self.text.push('\n');
        self
    }

    /// Sets an environment variable of the process.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Restricts the process to the CPUs of this list (as `taskset -c` takes it). Not `[runtime] cpus`, which is Athena's
    /// own choice among them.
    #[must_use]
    pub fn restrict_cpus(mut self, cpus: &str) -> Self {
        self.cpus = Some(cpus.to_owned());
        self
    }

    fn render(&self, port: u16) -> String {
        let mut text = String::new();
        for (table, lines) in &self.tables {
            text += &format!("[{table}]\n{}\n\n", lines.join("\n"));
        }
        text += &self.text;
        text.replace("@LISTEN_PORT@", &port.to_string())
            .replace("@METRICS_PORT@", &(port + METRICS_OFFSET).to_string())
    }
}

/// A running Athena.
#[derive(Debug)]
pub struct Athena {
    daemon: Daemon,
    port: Port,
    config_path: PathBuf,
}

impl Athena {
    /// Starts `binary` with `config`; configuration and log go to a new folder in `folder` (a lab's).
    ///
    /// # Errors
    /// [`Error::Start`] with what it printed when it ends or does not listen in time.
    pub fn start(binary: &Path, folder: &Path, config: &AthenaConfig) -> Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let folder = folder.join(format!("athena-{}", STARTED.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        let port = Port::free_with_metrics()?;
        let config_path = folder.join("athena.toml");
        fs::write(&config_path, config.render(port.number())).map_err(Error::file(&config_path))?;
        let arguments = vec!["--config".to_owned(), config_path.display().to_string()];
        let (program, arguments) = pinned(binary, arguments, config.cpus.as_deref());
        let environment = with_environment(&program, arguments, &config.environment);
        let daemon = Daemon::start(&environment.0, &environment.1, &folder.join("athena.log"))?;
        daemon.wait_ready(START_TIMEOUT, || accepts(port.number()))?;
        Ok(Self { daemon, port, config_path })
    }

    /// The port for clients, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The port of `/metrics` and `/health`.
    pub fn metrics_port(&self) -> u16 {
        self.port() + METRICS_OFFSET
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// The file with everything Athena printed.
    pub fn log_path(&self) -> &Path {
        self.daemon.log_path()
    }

    /// Everything Athena printed so far.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn log(&self) -> Result<String> {
        fs::read_to_string(self.log_path()).map_err(Error::file(self.log_path()))
    }

    /// The configuration file; a test may write another text and [`Athena::signal`] a reload.
    pub fn config_path(&self) -> &Path {
        &self.config_path
    }

    /// Writes the configuration file anew, with this process's ports.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn rewrite_config(&self, config: &AthenaConfig) -> Result<()> {
        fs::write(&self.config_path, config.render(self.port())).map_err(Error::file(&self.config_path))
    }

    /// A client that logs in as the lab's [`APP_USER`].
    pub fn client(&self) -> SqlClient {
        SqlClient::on_port(self.port(), APP_USER, APP_PASSWORD)
    }

    /// A client that logs in as somebody else.
    pub fn client_of(&self, user: &str, password: &str) -> SqlClient {
        SqlClient::on_port(self.port(), user, password)
    }

    /// The text of `/metrics`.
    ///
    /// # Errors
    /// When the endpoint does not answer with status 200.
    pub fn metrics(&self) -> Result<String> {
        http_get(self.metrics_port(), "/metrics")
    }

    /// The sum of all samples of the metric `name` that carry all of `labels`; 0 when there is none.
    ///
    /// # Errors
    /// As [`Athena::metrics`].
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        Ok(sum_metric(&self.metrics()?, name, labels))
    }

    /// What the process costs.
    pub fn usage(&self) -> Usage {
        Usage::of(self.pid())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.daemon.signal(signal);
    }

    /// How the process ended; `None` while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.daemon.exit_status()
    }

    /// Waits for the end of the process; `None` when it still runs after `timeout`.
    pub fn wait(&self, timeout: Duration) -> Option<ExitStatus> {
        self.daemon.wait(timeout)
    }

    /// SIGTERM, and the exit status once it is drained.
    pub fn terminate(&self) -> Option<ExitStatus> {
        self.daemon.terminate(TERMINATE_TIMEOUT)
    }

    /// SIGKILL.
    pub fn kill(&self) {
        self.daemon.kill();
    }
}

fn with_environment(
    program: &Path,
    arguments: Vec<String>,
    environment: &[(String, String)],
) -> (PathBuf, Vec<String>) {
    if environment.is_empty() {
        return (program.to_owned(), arguments);
    }
    let mut all: Vec<String> = environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    all.push(program.display().to_string());
    all.extend(arguments);
    ("env".into(), all)
}
