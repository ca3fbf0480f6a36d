//! The `mariadb` command-line client in batch mode: an independent client that needs no library.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// Where and as whom to run statements.
#[derive(Debug, Clone)]
pub struct SqlClient {
    target: Target,
    user: String,
    password: String,
    database: Option<String>,
    arguments: Vec<String>,
}

#[derive(Debug, Clone)]
enum Target {
    Port(u16),
    Socket(PathBuf),
}

impl SqlClient {
    /// A client of the server or proxy on `port` of 127.0.0.1.
    pub fn on_port(port: u16, user: &str, password: &str) -> Self {
        Self::new(Target::Port(port), user, password)
    }

    /// A client of the unix socket `path`.
    pub fn on_socket(path: &Path, user: &str, password: &str) -> Self {
        Self::new(Target::Socket(path.to_owned()), user, password)
    }

    /// Starts in the database `name`.
    #[must_use]
    pub fn database(mut self, name: &str) -> Self {
        self.database = Some(name.to_owned());
        self
    }

    /// Adds an option of the `mariadb` program, for example `--force`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Runs statements, separated by `;`, on one connection. Returns the rows as the client prints them: columns
    /// separated by tabs, one row a line, no headings, no newline at the end.
    ///
    /// # Errors
    /// [`Error::Failed`] with the client's message (`ERROR 1064 (42000) …`) when a statement fails.
    pub fn run(&self, sql: &str) -> Result<String> {
        let mut child = self.command().spawn().map_err(|source| self.spawn_error(source))?;
        // The statements go through a pipe: an argument list has room for 128 KiB only. They are written from a thread
        // of their own, since the client may print more than a pipe holds before it has read everything.
        let input = child.stdin.take();
        let text = sql.to_owned();
        let writer = std::thread::spawn(move || {
            if let Some(mut input) = input {
                // A client that failed early has closed its end; its own message says why.
                let _ = input.write_all(text.as_bytes());
            }
        });
        let output = child.wait_with_output().map_err(|source| self.spawn_error(source))?;
        let _ = writer.join();
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned());
        }
        Err(Error::Failed {
            program: "mariadb".to_owned(),
            status: output.status.to_string(),
            output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    fn new(target: Target, user: &str, password: &str) -> Self {
        Self {
            target,
            user: user.to_owned(),
            password: password.to_owned(),
            database: None,
            arguments: Vec::new(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--batch", "--raw", "--skip-column-names", "--no-auto-rehash"]);
        command.arg("--max-allowed-packet=1G");
        match &self.target {
            Target::Port(port) => {
                command.args(["--host=127.0.0.1", "--protocol=tcp"]).arg(format!("--port={port}"))
            }
            Target::Socket(path) => command.arg(format!("--socket={}", path.display())),
        };
        command.arg(format!("--user={}", self.user)).arg(format!("--password={}", self.password));
        command.args(&self.arguments).args(&self.database);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn spawn_error(&self, source: std::io::Error) -> Error {
        Error::Spawn { program: "mariadb".to_owned(), source }
    }
}
