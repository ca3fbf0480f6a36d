//! A server with Athena in front of it, and the comparison of what was seen at both.

use std::path::{Path, PathBuf};

use athena_perf::Result;
use athena_perf::lab::{Lab, Server, ServerOptions};
use athena_perf::proxy::{Athena, AthenaConfig};

use super::clients::Target;

/// The database that clients work in; `cli/batch.sql` names it.
pub const DATABASE: &str = "drivers";
/// How many lines before a difference are shown.
const LINES_BEFORE: usize = 8;
/// How much of a line is shown, in characters.
const LINE_SHOWN: usize = 400;

/// Dropped from top to bottom: Athena, its server, their files.
pub struct Stage {
    athena: Athena,
    pub server: Server,
    lab: Lab,
}

impl Stage {
    /// Athena in front of a MariaDB.
    pub fn on_mariadb(name: &str) -> Result<Self> {
        let lab = Lab::new(name)?;
        let server = lab.server(ServerOptions::default())?;
        let config = AthenaConfig::new(server.port());
        Self::start(lab, server, &config)
    }

    /// Athena in front of a real MySQL; `None` where there is none.
    pub fn on_mysql(name: &str) -> Result<Option<Self>> {
        let lab = Lab::new(name)?;
        let Some(server) = lab.mysql_server(ServerOptions::default())? else { return Ok(None) };
        let config =
            AthenaConfig::new(server.port()).set("server", "auth_plugin", "\"caching_sha2_password\"");
        Self::start(lab, server, &config).map(Some)
    }

    fn start(lab: Lab, server: Server, config: &AthenaConfig) -> Result<Self> {
        let athena = Athena::start(Path::new(env!("CARGO_BIN_EXE_athena")), lab.folder(), config)?;
        Ok(Self { athena, server, lab })
    }

    /// The server.
    pub fn direct(&self) -> Target {
        Target::new(self.server.port(), DATABASE)
    }

    /// The server by way of Athena.
    pub fn through(&self) -> Target {
        Target::new(self.athena.port(), DATABASE)
    }

    /// Makes `database` an empty one. Its character set is the same on servers with different defaults.
    pub fn empty_database(&self, database: &str) -> Result<()> {
        self.server.sql(&format!(
            "DROP DATABASE IF EXISTS {database}; CREATE DATABASE {database} CHARACTER SET utf8mb4"
        ))?;
        Ok(())
    }

    /// Writes a file that lives as long as the lab.
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.lab.folder().join(name);
        std::fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }
}

/// Panics with the first line that differs, and what both printed before it: output can be megabytes long.
pub fn assert_same(direct: &[u8], through: &[u8]) {
    assert!(!direct.is_empty(), "nothing was printed");
    if direct == through {
        return;
    }
    let lines = |output: &[u8]| -> Vec<String> {
        output.split(|&byte| byte == b'\n').map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    };
    let (direct, through) = (lines(direct), lines(through));
    let same = direct.iter().zip(&through).take_while(|(direct, through)| direct == through).count();
    let before: String = direct[same.saturating_sub(LINES_BEFORE)..same]
        .iter()
        .map(|line| format!("  {}\n", cut(line)))
        .collect();
    let end = "(the end)".to_owned();
    panic!(
        "line {} differs\n{before}- directly:       {}\n- through Athena: {}",
        same + 1,
        cut(direct.get(same).unwrap_or(&end)),
        cut(through.get(same).unwrap_or(&end)),
    );
}

fn cut(line: &str) -> String {
    line.chars().take(LINE_SHOWN).collect()
}
