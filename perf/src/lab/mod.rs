//! The lab: private, throw-away database servers on free ports of 127.0.0.1.
//!
//! ```text
//! Lab            a folder <root>/<name>-<pid>-<n>, removed when the lab is dropped
//!  └ Server      a data folder copied from a template, a process, a reserved port
//! Installation   which server program: Debian's MariaDB, or a real MySQL
//!  └ template    an initialised data folder with the accounts below, made once per program
//! ```
//!
//! Accounts on every server: `root` with an empty password (through 127.0.0.1 and the socket), [`APP_USER`] with
//! [`APP_PASSWORD`] (what an application may do, so `read_only` holds for it), [`REPLICATION_USER`]. Databases: `test`
//! and `sbtest`.
//!
//! Where things are, and which server is started, comes from the environment; `docs/LAB.md` is the page about it.

mod certificates;
mod client;
mod installation;
mod options;
mod replication;
mod server;
mod template;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};

pub use certificates::Certificates;
pub use client::SqlClient;
pub use installation::{Flavor, Installation};
pub use options::ServerOptions;
pub use replication::Replicated;
pub use server::Server;
pub(crate) use server::greets;

use crate::error::{Error, Result};

/// The account of an application.
pub const APP_USER: &str = "app";
/// The password of [`APP_USER`].
pub const APP_PASSWORD: &str = "app-secret";
/// The account that replicas log in with.
pub const REPLICATION_USER: &str = "repl";
/// The password of [`REPLICATION_USER`].
pub const REPLICATION_PASSWORD: &str = "repl-secret";

/// The environment variable that names the folder for labs.
const ROOT_VARIABLE: &str = "ATHENA_LAB_DIR";
/// The environment variable that names the folder with MariaDB's test suite.
const SUITE_VARIABLE: &str = "ATHENA_MYSQL_TEST";

/// A folder of servers. Servers keep working while the lab lives; dropping it removes its files.
#[derive(Debug)]
pub struct Lab {
    name: String,
    folder: PathBuf,
    /// Where the MySQL servers of this lab live: inside their root, which they can't leave.
    mysql: Option<(Installation, PathBuf)>,
    installation: Installation,
    servers_started: AtomicU32,
}

impl Lab {
    /// A lab under [`default_root`]. `name` is for people who look into the folder; it need not be unique.
    ///
    /// # Errors
    /// When no server is installed or the folder can't be made.
    pub fn new(name: &str) -> Result<Self> {
        Self::new_in(&default_root(), name)
    }

    /// A lab under the folder `root`.
    ///
    /// # Errors
    /// As [`Lab::new`].
    pub fn new_in(root: &Path, name: &str) -> Result<Self> {
        let folder = make_folder(root, name)?;
        let installation = Installation::from_environment(root)?;
        let mysql = match Installation::mysql(root) {
            Some(mysql) => {
                let home = make_folder(mysql.home(), name)?;
                Some((mysql, home))
            }
            None => None,
        };
        Ok(Self { name: name.to_owned(), folder, mysql, installation, servers_started: AtomicU32::new(0) })
    }

    /// The lab's folder: logs and generated files of proxies belong here, too.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a server (MariaDB, unless the environment names another).
    ///
    /// # Errors
    /// When the template can't be made or the server does not start; the error quotes its log.
    pub fn server(&self, options: ServerOptions) -> Result<Server> {
        Server::start_new(&self.installation, &self.folder.join(self.next_name()), options)
    }

    /// Starts a real MySQL; `None` where there is none (see `docs/LAB.md`), so that a test can say that it was skipped.
    ///
    /// # Errors
    /// As [`Lab::server`].
    pub fn mysql_server(&self, options: ServerOptions) -> Result<Option<Server>> {
        let Some((installation, home)) = &self.mysql else { return Ok(None) };
        Server::start_new(installation, &home.join(self.next_name()), options).map(Some)
    }

    /// The folder of MariaDB's plugins for logins (see `docs/LAB.md`), for `--plugin-dir`; `None` where there is none.
    pub fn mariadb_plugins(&self) -> Option<PathBuf> {
        let suite = std::env::var_os(SUITE_VARIABLE)
            .map_or_else(|| target_folder().join("mysql-test"), PathBuf::from);
        let folder = fs::canonicalize(suite.join("usr/lib/mysql/plugin")).ok()?;
        folder.join("auth_ed25519.so").is_file().then_some(folder)
    }

    /// The `mysql` program of a real MySQL, without arguments; `None` where there is none.
    pub fn mysql_client(&self) -> Option<Command> {
        let (installation, _) = self.mysql.as_ref()?;
        installation.client_command()
    }

    /// Starts a primary and `replicas` servers that replicate from it (GTID).
    ///
    /// # Errors
    /// As [`Lab::server`], and when replication does not start.
    pub fn primary_with_replicas(&self, replicas: usize, options: &ServerOptions) -> Result<Replicated> {
        let options = options.clone().binlog(true);
        let primary = self.server(options.clone())?;
        let replicas = (0..replicas).map(|_| self.server(options.clone())).collect::<Result<Vec<_>>>()?;
        Replicated::connect(primary, replicas)
    }

    /// The same with real MySQL servers; `None` where there is none.
    ///
    /// # Errors
    /// As [`Lab::primary_with_replicas`].
    pub fn mysql_primary_with_replicas(
        &self,
        replicas: usize,
        options: &ServerOptions,
    ) -> Result<Option<Replicated>> {
        let options = options.clone().binlog(true);
        let Some(primary) = self.mysql_server(options.clone())? else { return Ok(None) };
        let replicas = (0..replicas).map(|_| self.mysql_server(options.clone()));
        let replicas: Vec<Server> = replicas.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        Replicated::connect(primary, replicas).map(Some)
    }

    /// Starts `count` servers that know nothing of each other.
    ///
    /// # Errors
    /// As [`Lab::server`].
    pub fn shard_servers(&self, count: usize, options: &ServerOptions) -> Result<Vec<Server>> {
        (0..count).map(|_| self.server(options.clone())).collect()
    }

    fn next_name(&self) -> String {
        format!("server-{}", self.servers_started.fetch_add(1, Ordering::Relaxed))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Logs of a failing test are worth more than a tidy disk; the next lab of any process sweeps them away.
        if std::thread::panicking() {
            eprintln!("lab {}: files kept in {}", self.name, self.folder.display());
            return;
        }
        let homes = self.mysql.iter().map(|(_, home)| home);
        for folder in homes.chain([&self.folder]) {
            // What can't be removed now (a server that outlives its lab) is swept by a later lab.
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// The folder for labs: `$ATHENA_LAB_DIR`, or `lab` in the workspace's `target` folder.
pub fn default_root() -> PathBuf {
    std::env::var_os(ROOT_VARIABLE).map_or_else(|| target_folder().join("lab"), PathBuf::from)
}

/// The workspace's `target` folder (`$CARGO_TARGET_DIR` when that is set).
pub fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from)
}

fn make_folder(root: &Path, name: &str) -> Result<PathBuf> {
    static LABS: AtomicU32 = AtomicU32::new(0);
    fs::create_dir_all(root).map_err(Error::file(root))?;
    let root = fs::canonicalize(root).map_err(Error::file(root))?;
    sweep(&root);
    let number = LABS.fetch_add(1, Ordering::Relaxed);
    let folder = root.join(format!("{name}-{}-{number}", process::id()));
    fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
    Ok(folder)
}

/// Removes what labs of dead processes left behind.
fn sweep(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.rsplit('-').nth(1)).and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            // Another lab may be sweeping the same folder.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
