//! Servers of a cluster are looked after: who is there, who may have reads, and who takes writes, on real servers that replicate,
//! fail, and change their roles.

#[path = "../common/mod.rs"]
mod common;
mod group;
mod roles;
mod servers;

use std::thread;
use std::time::Duration;

use athena_perf::lab::{Flavor, Lab, Replicated, Server, ServerOptions};
use athena_perf::proxy::{Athena, AthenaConfig, sum_metric};
use common::{PATIENCE, TestResult, eventually};

/// Between two looks, in these tests.
const INTERVAL: Duration = Duration::from_millis(200);

/// Servers that replicate, with Athena in front of them. Dropped in this order: proxy, servers, files.
struct Stage {
    athena: Athena,
    servers: Replicated,
    /// Its files go last.
    _lab: Lab,
}

/// Runs `test` on MariaDBs, and on MySQLs where there are some.
fn on_each_family(
    name: &str,
    configure: impl Fn(AthenaConfig) -> AthenaConfig,
    test: impl Fn(&mut Stage) -> TestResult,
) -> TestResult {
    let lab = Lab::new(name)?;
    let servers = lab.primary_with_replicas(2, &ServerOptions::default())?;
    create_watcher(&servers.primary)?;
    test(&mut Stage::start(lab, servers, &configure)?)?;
    let lab = Lab::new(name)?;
    match lab.mysql_primary_with_replicas(2, &ServerOptions::default())? {
        Some(servers) => {
            create_watcher(&servers.primary)?;
            let mut stage = Stage::start(lab, servers, &configure)?;
            test(&mut stage).map_err(|error| format!("on MySQL: {error}").into())
        }
        None => {
            eprintln!("skipped on MySQL: there is none");
            Ok(())
        }
    }
}

/// The account that looks after the servers: of the application's rights, and those to see replication.
fn create_watcher(primary: &Server) -> TestResult {
    let privilege = match primary.flavor() {
        Flavor::MariaDb => "SLAVE MONITOR",
        Flavor::MySql => "REPLICATION CLIENT",
    };
    primary.sql(&format!(
        "CREATE USER watcher@'%' IDENTIFIED BY 'watching'; GRANT {privilege} ON *.* TO watcher@'%'"
    ))?;
    Ok(())
}

/// The configuration in front of these servers: all in the order of the file, before any of them has changed its role.
fn config(servers: &Replicated) -> AthenaConfig {
    let mut config = AthenaConfig::new(servers.primary.port())
        .set("pool", "connect_timeout_ms", "20000")
        .set("health", "interval_ms", &INTERVAL.as_millis().to_string())
        .set("health", "timeout_ms", "2000");
    for replica in &servers.replicas {
        config =
            config.text(&format!("[[backend.replicas]]\nhost = \"127.0.0.1\"\nport = {}\n", replica.port()));
    }
    config
}

/// With the account of [`create_watcher`].
fn watched(config: AthenaConfig) -> AthenaConfig {
    config.set("health", "user", "\"watcher\"").set("health", "password", "\"watching\"")
}

impl Stage {
    fn start(
        lab: Lab,
        servers: Replicated,
        configure: impl Fn(AthenaConfig) -> AthenaConfig,
    ) -> TestResult<Self> {
        servers.wait_for_replicas(PATIENCE)?;
        let config = configure(config(&servers));
        let athena = Athena::start(env!("CARGO_BIN_EXE_athena").as_ref(), lab.folder(), &config)?;
        Ok(Self { athena, servers, _lab: lab })
    }

    /// A metric of one server.
    fn of(&self, name: &str, port: u16, more: &[(&str, &str)]) -> f64 {
        let instance = format!("127.0.0.1:{port}");
        let labels = [&[("instance", &instance[..])], more].concat();
        self.page(name, &labels)
    }

    fn page(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        sum_metric(&self.athena.metrics().expect("a page"), name, labels)
    }

    /// Waits until a metric of one server has this value.
    fn wait(&self, name: &str, port: u16, more: &[(&str, &str)], value: f64) {
        eventually(&format!("{name}{more:?} of {port}"), PATIENCE, || {
            let now = self.of(name, port, more);
            if now == value { Ok(()) } else { Err(format!("{now}, wanted {value}")) }
        });
    }

    fn wait_for_reads(&self, port: u16, may: bool) {
        self.wait("athena_instance_reads", port, &[], f64::from(u8::from(may)));
    }

    /// Waits until this server, and no other, is the primary; `None`: none is.
    fn wait_for_primary(&self, port: Option<u16>) {
        eventually(&format!("the primary is {port:?}"), PATIENCE, || {
            let sum = self.page("athena_instance_primary", &[]);
            let is = port.is_none_or(|port| self.of("athena_instance_primary", port, &[]) == 1.0);
            let wanted = f64::from(u8::from(port.is_some()));
            if is && sum == wanted { Ok(()) } else { Err(format!("{sum} primaries")) }
        });
    }

    /// All is as it should be, with this primary.
    fn wait_until_well(&self) {
        self.wait_for_primary(Some(self.servers.primary.port()));
        for server in self.servers.replicas.iter().chain([&self.servers.primary]) {
            self.wait("athena_instance_up", server.port(), &[], 1.0);
            self.wait_for_reads(server.port(), true);
        }
    }

    /// Waits for a line of the log.
    fn wait_for_line(&self, part: &str) {
        eventually(&format!("a line of the log: {part}"), PATIENCE, || {
            let log = self.athena.log().expect("a log");
            if log.contains(part) { Ok(()) } else { Err("not there".to_owned()) }
        });
    }

    /// For as long as it takes to see that nothing happens.
    fn let_some_looks_pass(&self) {
        thread::sleep(INTERVAL * 5);
    }
}
