//! The load generator as a process of its own, on its own CPU.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::error::{Error, Result};

/// How the load generator is run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loader<'a> {
    pub program: &'a Path,
    /// Its CPUs, as taskset takes them.
    pub cpus: Option<&'a str>,
    /// The account, with an empty password.
    pub user: &'a str,
    pub clients: usize,
    /// By prepared statements.
    pub prepared: bool,
    /// What each client sends first.
    pub setup: &'a [String],
    /// Further arguments.
    pub arguments: &'a [String],
}

/// When the load generator ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum LoadLimit {
    /// After this time, half a second of warming up before it.
    Duration(Duration),
    /// After this many statements, the first of them included.
    Queries(u64),
}

pub(super) struct LoadFigures {
    pub queries: u64,
    pub queries_per_second: f64,
    pub percentiles: [Duration; 3],
}

impl Loader<'_> {
    /// Runs it against `port`. `on_begin` is called when counting begins.
    pub fn run(&self, port: u16, limit: LoadLimit, on_begin: impl FnOnce()) -> Result<LoadFigures> {
        let mut command = match self.cpus {
            Some(cpus) => {
                let mut command = Command::new("taskset");
                command.args(["-c", cpus]).arg(self.program);
                command
            }
            None => Command::new(self.program),
        };
        command.args(["--user", self.user, "--port", &port.to_string()]);
        command.args(["--connections", &self.clients.to_string()]);
        match limit {
            LoadLimit::Duration(duration) => command.args(["--seconds", &duration.as_secs_f64().to_string()]),
            LoadLimit::Queries(queries) => {
                command.args(["--warmup", "0", "--seconds", "120", "--queries", &queries.to_string()])
            }
        };
        if self.prepared {
            command.arg("--prepared");
        }
        command.args(self.arguments);
        command.args(self.setup.iter().flat_map(|sql| ["--setup", sql]));
        let program = self.program.display().to_string();
        let spawn_error = |source| Error::Spawn { program: program.clone(), source };
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(spawn_error)?;
        let mut lines = String::new();
        if let Some(output) = child.stdout.take() {
            let mut output = BufReader::new(output);
            output.read_line(&mut lines).map_err(spawn_error)?;
            on_begin();
            output.read_to_string(&mut lines).map_err(spawn_error)?;
        }
        let ended = child.wait_with_output().map_err(spawn_error)?;
        let failed = || Error::Failed {
            program: program.clone(),
            status: ended.status.to_string(),
            output: lines.clone() + String::from_utf8_lossy(&ended.stderr).trim(),
        };
        parse(&lines).filter(|_| ended.status.success()).ok_or_else(failed)
    }
}

/// Reads `queries=… errors=0 qps=… p50_us=… p95_us=… p99_us=…`; `None` when there were errors.
fn parse(output: &str) -> Option<LoadFigures> {
    let line = output.lines().find(|line| line.starts_with("queries="))?;
    let field = |name: &str| {
        let words = line.split_whitespace();
        words.filter_map(|word| word.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let micros = |name| Some(Duration::from_secs_f64(field(name)?.parse::<f64>().ok()? / 1e6));
    (field("errors")? == "0").then_some(())?;
    Some(LoadFigures {
        queries: field("queries")?.parse().ok()?,
        queries_per_second: field("qps")?.parse().ok()?,
        percentiles: [micros("p50_us")?, micros("p95_us")?, micros("p99_us")?],
    })
}
