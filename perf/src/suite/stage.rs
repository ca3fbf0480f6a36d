//! A fresh server as the suite expects one, with Athena in front of it or not.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::lab::{APP_USER, Lab, REPLICATION_USER, Server, ServerOptions};
use crate::proxy::{Athena, AthenaConfig};

/// Options of the servers that `mysql-test-run` starts itself (its `include/default_mysqld.cnf`), and the defaults where
/// the lab has others. Most expected results depend on the character set and the storage engine.
const OPTIONS: &[&str] = &[
    "--character-set-server=latin1",
    "--default-storage-engine=myisam",
    "--use-stat-tables=preferably",
    "--histogram-type=json_hb",
    "--key-buffer-size=1M",
    "--sort-buffer-size=256K",
    "--max-heap-table-size=1M",
    "--aria-pagecache-buffer-size=8M",
    "--local-infile=1",
    "--log-bin-trust-function-creators=1",
    "--binlog-direct-non-transactional-updates=1",
    "--log-basename=mysqld",
    "--connect-timeout=60",
    "--slave-net-timeout=120",
    "--plugin-maturity=unknown",
    "--debug-no-sync=1",
    "--sync-frm=0",
    "--max-allowed-packet=16M",
    "--skip-name-resolve=0",
    "--server-id=1",
];
/// Of the server; that of the lab is larger than some results show.
const MAX_CONNECTIONS: u32 = 151;

/// How the tests reach the server.
#[derive(Debug, Clone, Copy)]
pub enum Route<'a> {
    Direct,
    /// Through this Athena program.
    Through(&'a Path),
}

/// A server, and Athena in front of it if the route says so. Dropped in this order: proxy, server, files.
pub(super) struct Stage {
    athena: Option<Athena>,
    server: Server,
    lab: Lab,
}

impl Stage {
    /// `suite` is the folder with `mysql-test` in it.
    pub fn start(route: Route<'_>, tree: &Path) -> Result<Self> {
        let lab = Lab::new("suite")?;
        let plugins = format!("--plugin-dir={}", tree.join("lib/mysql/plugin").display());
        let options = ServerOptions::default().max_connections(MAX_CONNECTIONS).argument(plugins);
        let options = OPTIONS.iter().fold(options, |options, &option| options.argument(option));
        let server = lab.server(options)?;
        server.sql(&preparation(&tree.join("share/mysql"))?)?;
        let athena = match route {
            Route::Direct => None,
            Route::Through(binary) => {
                // Tests wait until the server has no more connections than before them: links may not linger.
                let config = AthenaConfig::new(server.port())
                    .account("root", "")
                    .set("auth", "source", "\"backend\"")
                    .set("pool", "idle_timeout_ms", "1000");
                Some(Athena::start(binary, lab.folder(), &config)?)
            }
        };
        Ok(Self { athena, server, lab })
    }

    /// Where the tests connect.
    pub fn port(&self) -> u16 {
        self.athena.as_ref().map_or(self.server.port(), Athena::port)
    }

    /// A folder for the run's own files.
    pub fn var(&self) -> PathBuf {
        self.lab.folder().join("var")
    }

    /// Whether server and proxy still run: some tests stop the server.
    pub fn is_alive(&self) -> bool {
        let proxy = self.athena.as_ref().is_none_or(|athena| athena.exit_status().is_none());
        proxy && self.server.sql("SELECT 1").is_ok()
    }

    /// What Athena logged.
    pub fn log(&self) -> String {
        self.athena.as_ref().and_then(|athena| athena.log().ok()).unwrap_or_default()
    }
}

/// What `mysql-test-run` puts into its own servers: no accounts but root's, an empty database `test`, some time zones,
/// and the procedures in `mtr` that tests call.
fn preparation(share: &Path) -> Result<String> {
    let read = |path: PathBuf| fs::read_to_string(&path).map_err(Error::file(&path));
    let mut sql = format!(
        "DROP USER '{APP_USER}'@'%', '{REPLICATION_USER}'@'%'; DROP DATABASE sbtest; DROP DATABASE test;
         CREATE DATABASE test CHARACTER SET latin1 COLLATE latin1_swedish_ci; CREATE DATABASE mtr CHARSET=latin1;
         DELETE FROM mysql.db; ALTER TABLE mysql.gtid_slave_pos ENGINE=Aria TRANSACTIONAL=0; FLUSH PRIVILEGES;
         USE mysql;\n"
    );
    sql += &read(share.join("mysql_test_data_timezone.sql"))?;
    sql += "USE mtr;\n";
    for name in ["mtr_warnings.sql", "mtr_check.sql"] {
        sql += &for_the_client(&read(share.join("mysql-test/include").join(name))?);
    }
    Ok(sql)
}

/// The suite's files are written for its own reader: the client takes a `;` behind a new delimiter as a part of it, and
/// some comments in procedures as what they are not.
fn for_the_client(sql: &str) -> String {
    let mut text = String::new();
    for line in sql.lines() {
        let words = line.trim();
        match words {
            "delimiter ||;" => text += "delimiter ||",
            "delimiter ;||" => text += "delimiter ;",
            "use mtr||" => {}
            _ if words.starts_with("--") => {}
            _ => text += line,
        }
        text.push('\n');
    }
    text
}
