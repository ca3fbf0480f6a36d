//! A server with Athena in front of it, and the comparison of what was seen at both.

use std::fs;
use std::path::{Path, PathBuf};

use athena_perf::Result;
use athena_perf::lab::{APP_PASSWORD, Certificates, Lab, Server, ServerOptions};
use athena_perf::proxy::{Athena, AthenaConfig};

use super::clients::Target;

/// The database that clients work in; `cli/batch.sql` names it.
pub const DATABASE: &str = "drivers";
/// What clients load: with a name that is too long, a key that is there, an id that is none, and no newline at the end.
const ROWS: &str =
    "1,one\n2,a name that is too long\n3,dräi\n1,twice\nx,no number\n5,\"quoted\"\n6,\\N\n7,last";
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

    /// The same with what the extras need: TLS on both sides, the server's own accounts (one of which must use TLS), files
    /// from clients.
    pub fn with_extras_on_mariadb(name: &str) -> Result<Self> {
        let lab = Lab::new(name)?;
        let certificates = Certificates::new(&lab.folder().join("certificates"))?;
        let option = |name: &str, file: PathBuf| format!("--{name}={}", file.display());
        let options = ServerOptions::default()
            .argument(option("ssl-cert", certificates.certificate("server")))
            .argument(option("ssl-key", certificates.key("server")))
            .argument(option("ssl-ca", certificates.certificate("ca")));
        let server = lab.server(options)?;
        let config = AthenaConfig::new(server.port());
        Self::start_with_extras(lab, server, config, &certificates, certificates.certificate("ca"))
    }

    /// MySQL has certificates of its own.
    pub fn with_extras_on_mysql(name: &str) -> Result<Option<Self>> {
        let lab = Lab::new(name)?;
        let certificates = Certificates::new(&lab.folder().join("certificates"))?;
        let options = ServerOptions::default().argument("--local-infile=ON");
        let Some(server) = lab.mysql_server(options)? else { return Ok(None) };
        let config =
            AthenaConfig::new(server.port()).set("server", "auth_plugin", "\"caching_sha2_password\"");
        let authority = server.data_folder().join("ca.pem");
        Self::start_with_extras(lab, server, config, &certificates, authority).map(Some)
    }

    fn start_with_extras(
        lab: Lab,
        server: Server,
        config: AthenaConfig,
        certificates: &Certificates,
        authority: PathBuf,
    ) -> Result<Self> {
        server.sql(&format!(
            "CREATE USER secure@'%' IDENTIFIED BY '{APP_PASSWORD}' REQUIRE SSL; GRANT ALL ON *.* TO secure@'%';
             CREATE USER second@'%' IDENTIFIED BY '{APP_PASSWORD}'; GRANT ALL ON *.* TO second@'%';"
        ))?;
        let quoted = |file: PathBuf| format!("{:?}", file.display().to_string());
        let config = config
            .account("root", "")
            .set("auth", "source", "\"backend\"")
            .set("backend", "tls", "\"verify_ca\"")
            .set("backend", "ca", &quoted(authority.clone()))
            .set("server.tls", "cert", &quoted(certificates.certificate("server")))
            .set("server.tls", "key", &quoted(certificates.key("server")));
        let stage = Self::start(lab, server, &config)?;
        let files = [("direct", authority), ("through", certificates.certificate("ca"))];
        for (side, authority) in files {
            let folder = stage.lab.folder().join(side);
            let write = |name: &str, content: &[u8]| fs::write(folder.join(name), content);
            fs::create_dir_all(&folder)
                .and_then(|()| write("ca.pem", &fs::read(authority)?))
                .and_then(|()| write("other-ca.pem", &fs::read(certificates.certificate("other-ca"))?))
                .and_then(|()| write("rows.csv", ROWS.as_bytes()))
                .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        }
        Ok(stage)
    }

    /// The server, for the extras.
    pub fn direct_extras(&self) -> Target {
        self.direct().extras(self.lab.folder().join("direct"))
    }

    /// The server by way of Athena, for the extras.
    pub fn through_extras(&self) -> Target {
        self.through().extras(self.lab.folder().join("through"))
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
