//! Which server program the lab starts, and how.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::geteuid;

use crate::error::{Error, Result};
use crate::process::{find_program, run};

/// The environment variable that names another server program.
const SERVER_VARIABLE: &str = "ATHENA_LAB_SERVER";
/// The environment variable that names a root made by `perf/mysql-root.sh`.
const MYSQL_ROOT_VARIABLE: &str = "ATHENA_LAB_MYSQL_ROOT";

/// The two families of servers, which differ in options, accounts and replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// MariaDB.
    MariaDb,
    /// Oracle's MySQL or a build close to it.
    MySql,
}

/// A server program and the place for its data.
#[derive(Debug, Clone)]
pub struct Installation {
    flavor: Flavor,
    /// The program's path (inside `chroot`, where that is given).
    binary: PathBuf,
    /// A root folder that the program runs in.
    chroot: Option<PathBuf>,
    /// The folder that holds its template and its labs; inside `chroot`, where that is given.
    home: PathBuf,
}

impl Installation {
    /// `$ATHENA_LAB_SERVER`, or the `mariadbd` of this machine.
    pub(super) fn from_environment(root: &Path) -> Result<Self> {
        let binary = match std::env::var_os(SERVER_VARIABLE) {
            Some(binary) => PathBuf::from(binary),
            None => find_program("mariadbd").ok_or_else(|| Error::Missing("mariadbd".to_owned()))?,
        };
        let version = run(Command::new(&binary).args(["--no-defaults", "--version"]))?;
        let flavor = if version.contains("MariaDB") { Flavor::MariaDb } else { Flavor::MySql };
        Ok(Self { flavor, binary, chroot: None, home: root.to_owned() })
    }

    /// A real MySQL: the root in `$ATHENA_LAB_MYSQL_ROOT`, or `mysql-root` beside the lab's folder. Entering it needs the
    /// super-user, so for others there is none.
    pub(super) fn mysql(root: &Path) -> Option<Self> {
        let chroot = std::env::var_os(MYSQL_ROOT_VARIABLE)
            .map_or_else(|| root.parent().unwrap_or(root).join("mysql-root"), PathBuf::from);
        let chroot = chroot.canonicalize().ok()?;
        let binary = PathBuf::from("/usr/sbin/mysqld");
        if !geteuid().is_root() || !chroot.join("usr/sbin/mysqld").is_file() {
            return None;
        }
        let home = chroot.join("lab");
        Some(Self { flavor: Flavor::MySql, binary, chroot: Some(chroot), home })
    }

    /// The family.
    pub fn flavor(&self) -> Flavor {
        self.flavor
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// A name for the template that changes with the program.
    pub(super) fn template_name(&self) -> String {
        let path = self
            .chroot
            .as_deref()
            .unwrap_or(Path::new(""))
            .join(self.binary.strip_prefix("/").unwrap_or(&self.binary));
        let real = if self.chroot.is_some() { &path } else { &self.binary };
        let (size, changed) = real.metadata().map_or((0, 0), |meta| {
            let changed = meta.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            (meta.len(), changed.map_or(0, |at| at.as_secs()))
        });
        format!("template_{:?}_{size}_{changed}", self.flavor)
    }

    /// `path` as the server program sees it.
    pub(super) fn inside(&self, path: &Path) -> PathBuf {
        match &self.chroot {
            Some(chroot) => Path::new("/").join(path.strip_prefix(chroot).unwrap_or(path)),
            None => path.to_owned(),
        }
    }

    /// Program and leading arguments that run the server.
    pub(super) fn server_command(&self) -> (PathBuf, Vec<String>) {
        let binary = self.binary.display().to_string();
        let (program, mut arguments) = match &self.chroot {
            Some(chroot) => (PathBuf::from("chroot"), vec![chroot.display().to_string(), binary]),
            None => (self.binary.clone(), Vec::new()),
        };
        arguments.push("--no-defaults".to_owned());
        if geteuid().is_root() {
            // The server refuses to run as root unless told so, and its own account may not enter this folder.
            arguments.push("--user=root".to_owned());
        }
        (program, arguments)
    }

    /// The client program of the same root.
    pub(super) fn client_command(&self) -> Option<Command> {
        let chroot = self.chroot.as_ref()?;
        let mut command = Command::new("chroot");
        command.arg(chroot).arg("/usr/bin/mysql");
        Some(command)
    }

    /// Fills the empty folder `data` with system tables; `tmp` is for temporary files, a folder of this server alone.
    pub(super) fn initialise(&self, data: &Path, tmp: &Path) -> Result<()> {
        let folders = [("datadir", data), ("tmpdir", tmp)]
            .map(|(option, folder)| format!("--{option}={}", self.inside(folder).display()));
        let mut command = match self.flavor {
            Flavor::MySql => {
                let (program, arguments) = self.server_command();
                let mut command = Command::new(program);
                command.args(arguments).args(["--initialize-insecure", "--innodb-redo-log-capacity=128M"]);
                command
            }
            Flavor::MariaDb => {
                let mut command = Command::new(self.install_script()?);
                command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
                command.arg("--innodb-log-file-size=64M");
                if geteuid().is_root() {
                    command.arg("--user=root");
                }
                command
            }
        };
        run(command.args(folders)).map(drop)
    }

    /// `mariadb-install-db` that belongs to the program: in its distribution's folder, or the system's.
    fn install_script(&self) -> Result<PathBuf> {
        let base = self.binary.parent().unwrap_or(Path::new("/"));
        ["../bin", "../scripts", "."]
            .iter()
            .map(|folder| base.join(folder).join("mariadb-install-db"))
            .find(|script| script.is_file())
            .or_else(|| find_program("mariadb-install-db"))
            .ok_or_else(|| Error::Missing("mariadb-install-db".to_owned()))
    }
}
