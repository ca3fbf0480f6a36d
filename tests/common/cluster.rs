//! Servers that replicate, with Athena in front of them.

use athena_perf::lab::{Flavor, Lab, Replicated, Server, ServerOptions};
use athena_perf::proxy::{Athena, AthenaConfig, sum_metric};

use super::wire::{self, Connection, Login, Plugin};
use super::{PATIENCE, TestResult, eventually};

/// Between two looks at the servers, in tests.
pub const LOOK_INTERVAL_MS: &str = "200";

/// Servers with Athena in front of them. Dropped in this order: proxy, servers, files.
pub struct ClusterStage {
    pub athena: Athena,
    pub servers: Replicated,
    pub lab: Lab,
}

/// Runs `test` on a primary and two replicas of MariaDB, and of MySQL where there is one.
pub fn on_each_cluster(
    name: &str,
    configure: impl Fn(AthenaConfig) -> AthenaConfig,
    test: impl Fn(&mut ClusterStage) -> TestResult,
) -> TestResult {
    let lab = Lab::new(name)?;
    let servers = lab.primary_with_replicas(2, &ServerOptions::default())?;
    test(&mut ClusterStage::start(lab, servers, &configure)?)?;
    let lab = Lab::new(name)?;
    match lab.mysql_primary_with_replicas(2, &ServerOptions::default())? {
        Some(servers) => test(&mut ClusterStage::start(lab, servers, &configure)?)
            .map_err(|error| format!("on MySQL: {error}").into()),
        None => {
            eprintln!("skipped on MySQL: there is none");
            Ok(())
        }
    }
}

/// Reads are split, and the servers looked after by an account that may see replication.
pub fn split(config: AthenaConfig) -> AthenaConfig {
    watched(config).set("routing", "read_write_split", "true")
}

/// With the account of [`create_watcher`].
pub fn watched(config: AthenaConfig) -> AthenaConfig {
    config.set("health", "user", "\"watcher\"").set("health", "password", "\"watching\"")
}

/// The account that looks after the servers: it may see replication, and nothing else.
pub fn create_watcher(primary: &Server) -> TestResult {
    let privilege = match primary.flavor() {
        Flavor::MariaDb => "SLAVE MONITOR",
        Flavor::MySql => "REPLICATION CLIENT",
    };
    primary.sql(&format!(
        "CREATE USER IF NOT EXISTS watcher@'%' IDENTIFIED BY 'watching'; GRANT {privilege} ON *.* TO watcher@'%'"
    ))?;
    Ok(())
}

/// The configuration in front of these servers: all in the order of the file, before any of them has changed its role.
fn config(servers: &Replicated) -> AthenaConfig {
    let mut config = AthenaConfig::new(servers.primary.port())
        .set("pool", "connect_timeout_ms", "20000")
        .set("health", "interval_ms", LOOK_INTERVAL_MS)
        .set("health", "timeout_ms", "2000");
    for replica in &servers.replicas {
        config =
            config.text(&format!("[[backend.replicas]]\nhost = \"127.0.0.1\"\nport = {}\n", replica.port()));
    }
    config
}

impl ClusterStage {
    pub fn start(
        lab: Lab,
        servers: Replicated,
        configure: impl Fn(AthenaConfig) -> AthenaConfig,
    ) -> TestResult<Self> {
        create_watcher(&servers.primary)?;
        servers.wait_for_replicas(PATIENCE)?;
        let config = configure(config(&servers));
        let athena = Athena::start(env!("CARGO_BIN_EXE_athena").as_ref(), lab.folder(), &config)?;
        Ok(Self { athena, servers, lab })
    }

    /// A client of Athena, logged in as the application.
    pub fn connect(&self) -> wire::Result<Connection> {
        Connection::open(self.athena.port())
    }

    /// A client of Athena with a login of its own.
    pub fn login(&self, login: &Login) -> wire::Result<Connection> {
        Connection::login(self.athena.port(), login)
    }

    /// A connection of the application to one of the servers.
    pub fn direct(&self, server: &Server) -> wire::Result<Connection> {
        Connection::login(server.port(), &Login::app().by(Plugin::CachingSha2Rsa))
    }

    /// A metric of one server.
    pub fn of(&self, name: &str, port: u16, more: &[(&str, &str)]) -> f64 {
        let instance = format!("127.0.0.1:{port}");
        let labels = [&[("instance", &instance[..])], more].concat();
        self.sum(name, &labels)
    }

    /// A metric, summed over what is not named.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        sum_metric(&self.athena.metrics().expect("a page"), name, labels)
    }

    /// Waits until a metric of one server has this value.
    pub fn wait(&self, name: &str, port: u16, more: &[(&str, &str)], value: f64) {
        eventually(&format!("{name}{more:?} of {port}"), PATIENCE, || {
            let now = self.of(name, port, more);
            if now == value { Ok(()) } else { Err(format!("{now}, wanted {value}")) }
        });
    }

    pub fn wait_for_reads(&self, port: u16, may: bool) {
        self.wait("athena_instance_reads", port, &[], f64::from(u8::from(may)));
    }

    /// Waits until this server, and no other, is the primary; `None`: none is.
    pub fn wait_for_primary(&self, port: Option<u16>) {
        eventually(&format!("the primary is {port:?}"), PATIENCE, || {
            let sum = self.sum("athena_instance_primary", &[]);
            let is = port.is_none_or(|port| self.of("athena_instance_primary", port, &[]) == 1.0);
            let wanted = f64::from(u8::from(port.is_some()));
            if is && sum == wanted { Ok(()) } else { Err(format!("{sum} primaries")) }
        });
    }

    /// All is as it should be, with this primary.
    pub fn wait_until_well(&self) {
        self.wait_for_primary(Some(self.servers.primary.port()));
        for server in self.servers.all() {
            self.wait("athena_instance_up", server.port(), &[], 1.0);
            self.wait_for_reads(server.port(), true);
        }
    }

    /// Waits for a line of the log.
    pub fn wait_for_line(&self, part: &str) {
        eventually(&format!("a line of the log: {part}"), PATIENCE, || {
            let log = self.athena.log().expect("a log");
            if log.contains(part) { Ok(()) } else { Err("not there".to_owned()) }
        });
    }
}
