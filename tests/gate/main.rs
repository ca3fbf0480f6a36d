//! The gate: tens of sessions on a few links say whatever a session can say, each on a server of its own as well, and
//! every packet that comes back is the same.
//!
//! `ATHENA_GATE_SEED`, `ATHENA_GATE_STATEMENTS` and `ATHENA_GATE_SESSIONS` choose the run, `ATHENA_GATE_WITHOUT` names
//! sections of the grammar that are left out. What differs is made as small as it gets, and printed.

mod ballast;
mod client;
#[path = "../common/mod.rs"]
mod common;
mod grammar;
mod pair;
mod run;
mod saboteur;
mod schema;
mod shrink;
mod step;
mod voice;

use std::cell::RefCell;
use std::time::Instant;

use athena_perf::lab::{Flavor, Lab, Replicated, Server, ServerOptions};
use athena_perf::proxy::{Athena, AthenaConfig};
use common::{PATIENCE, TestResult};
use grammar::Grammar;
use pair::{Difference, Sides};
use run::{Plan, Tally};
use saboteur::{Prey, Saboteur};
use shrink::Again;

const STATEMENTS: u64 = 8_000;
const SESSIONS: usize = 24;
/// Links beside those that sessions may keep.
const FREE_LINKS: usize = 4;
/// Time for making a finding small.
const SHRINK_SECONDS: u64 = 60;
/// Steps of its session that are shown with a finding.
const OWN_STEPS: usize = 200;
/// Replays that are let through before one is spoilt.
const SPARED: usize = 20;

/// A number from the environment.
fn chosen<T: std::str::FromStr>(variable: &str, otherwise: T) -> T {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn plan() -> Plan {
    Plan {
        seed: chosen("ATHENA_GATE_SEED", 1),
        statements: chosen("ATHENA_GATE_STATEMENTS", STATEMENTS),
        sessions: chosen("ATHENA_GATE_SESSIONS", SESSIONS),
    }
}

fn grammar(mysql: bool) -> Grammar {
    let without = std::env::var("ATHENA_GATE_WITHOUT").unwrap_or_default();
    Grammar::new(mysql, &without.split(',').collect::<Vec<_>>())
}

fn options(flavor: Flavor) -> ServerOptions {
    let options = ServerOptions::default()
        .max_connections(2000)
        // Whoever waits for a lock waits in vain.
        .argument("--innodb-lock-wait-timeout=3")
        .argument("--innodb-flush-log-at-trx-commit=0")
        // Functions and triggers are an application's to make.
        .argument("--log-bin-trust-function-creators=ON");
    match flavor {
        Flavor::MariaDb => options.argument("--debug-no-sync"),
        Flavor::MySql => options,
    }
}

/// A server with the accounts of the gate, and replicas of it. One that writes a binary log says a little less of some statements.
fn server(lab: &Lab, flavor: Flavor, replicas: usize, binlog: bool) -> TestResult<Option<Replicated>> {
    let options = options(flavor).binlog(binlog);
    let servers = match (flavor, replicas) {
        (Flavor::MariaDb, 0) => Some(Replicated::of(lab.server(options)?, Vec::new())),
        (Flavor::MySql, 0) => lab.mysql_server(options)?.map(|server| Replicated::of(server, Vec::new())),
        (Flavor::MariaDb, _) => Some(lab.primary_with_replicas(replicas, &options)?),
        (Flavor::MySql, _) => lab.mysql_primary_with_replicas(replicas, &options)?,
    };
    if let Some(servers) = &servers {
        servers.primary.sql(&schema::accounts(flavor == Flavor::MySql))?;
        servers.wait_for_replicas(PATIENCE)?;
        for server in servers.all() {
            // A MySQL knows the password of an account that has logged in before.
            server.app_client().run("SELECT 1")?;
        }
    }
    Ok(servers)
}

/// Two servers, and Athena in front of the first.
struct Stage {
    athena: RefCell<Vec<Athena>>,
    servers: [Server; 2],
    /// Of the first.
    replicas: Vec<Server>,
    /// Dropped behind them: their files are in it.
    lab: Lab,
    /// The port of Athena's server.
    backend: u16,
    mark: &'static [u8],
}

impl Stage {
    /// `None` where there is no such server.
    fn start(name: &str, flavor: Flavor) -> TestResult<Option<Self>> {
        Self::start_split(name, flavor, 0)
    }

    /// The same with replicas of the first, to which Athena sends what only reads.
    fn start_split(name: &str, flavor: Flavor, replicas: usize) -> TestResult<Option<Self>> {
        let lab = Lab::new(name)?;
        let Some(Replicated { primary: behind, replicas, .. }) =
            server(&lab, flavor, replicas, replicas > 0)?
        else {
            return Ok(None);
        };
        let Some(Replicated { primary: direct, .. }) = server(&lab, flavor, 0, !replicas.is_empty())? else {
            return Ok(None);
        };
        let (athena, backend) = (RefCell::default(), behind.port());
        Ok(Some(Self { athena, lab, servers: [behind, direct], replicas, backend, mark: b"" }))
    }

    fn is_mysql(&self) -> bool {
        self.servers[0].flavor() == Flavor::MySql
    }

    /// Both sides, with something else in Athena's place.
    fn sides(&self, athena: u16, metrics: Option<u16>) -> Sides {
        let [behind, direct] = self.servers.each_ref().map(Server::port);
        Sides { athena, metrics, behind, direct, mysql: self.is_mysql(), mark: self.mark }
    }

    /// Starts an Athena with so many links, on one core so that all sessions share them, in the place of the one before.
    /// Gives its ports for clients and for metrics.
    fn athena(&self, links: usize, checkout_timeout_ms: u32) -> TestResult<(u16, u16)> {
        self.athena.borrow_mut().clear();
        let config = AthenaConfig::new(self.backend)
            .set("runtime", "cpus", "\"0\"")
            .set("pool", "max_connections", &links.to_string())
            .set("pool", "checkout_timeout_ms", &checkout_timeout_ms.to_string());
        let config = self.replicas.iter().fold(config, split_to);
        let athena = Athena::start(env!("CARGO_BIN_EXE_athena").as_ref(), self.lab.folder(), &config)?;
        let ports = (athena.port(), athena.metrics_port());
        self.athena.borrow_mut().push(athena);
        Ok(ports)
    }

    /// Runs a plan through Athena; a finding is made small.
    fn run(&self, plan: Plan) -> TestResult<Option<String>> {
        let free_links = chosen("ATHENA_GATE_LINKS", FREE_LINKS);
        let links = free_links + plan.threads() * run::TOKENS_PER_THREAD;
        let (athena, metrics) = self.athena(links, 5000)?;
        let sides = self.sides(athena, Some(metrics));
        let (grammar, tally, start) = (grammar(self.is_mysql()), Tally::default(), Instant::now());
        let finding = run::run(sides, plan, &grammar, &tally)?;
        println!("{:?} {tally:?}", start.elapsed());
        let Some(finding) = finding else { return Ok(None) };
        let (seed, thread, round) = (plan.seed, finding.thread, finding.round);
        println!("seed {seed}, thread {thread}, round {round}: a difference; it is made small");
        let found = format!("expected:\n{}found:\n{}", finding.difference.expected, finding.difference.found);
        println!("{found}its own steps:\n{}", finding.own_steps(OWN_STEPS));
        if finding.difference.is_checkout() {
            println!("what all sessions said last:\n{}", finding.last_steps());
        }
        let again = Again {
            servers: self.servers.each_ref(),
            start: &|links| Ok(self.athena(links, 1000)?.0),
            sides,
            deadline: shrink::deadline(chosen("ATHENA_GATE_SHRINK_SECONDS", SHRINK_SECONDS)),
        };
        Ok(Some(format!(
            "seed {seed}, thread {thread}, round {round}: {}",
            again.shrink(&finding, free_links)?
        )))
    }
}

/// Has a replica get reads, which find whatever anybody has written: the schemas of the sessions are made beside Athena.
fn split_to(config: AthenaConfig, replica: &Server) -> AthenaConfig {
    config
        .set("routing", "read_write_split", "true")
        .set("routing", "read_your_writes", "\"global\"")
        .set("routing", "read_your_writes_timeout_ms", "2000")
        // What outlives one is refused where it runs on a replica.
        .set("routing", "read_only_transactions", "\"primary\"")
        .set("health", "user", "\"root\"")
        .set("health", "password", "\"\"")
        .text(&format!("[[backend.replicas]]\nhost = \"127.0.0.1\"\nport = {}\n", replica.port()))
}

/// Two servers give equal answers: what differs through Athena is Athena's.
fn agree(flavor: Flavor) -> TestResult {
    let Some(stage) = Stage::start("gate_direct", flavor)? else { return Ok(()) };
    let sides = stage.sides(stage.servers[0].port(), None);
    let plan = Plan { statements: plan().statements / 4, ..plan() };
    let finding = run::run(sides, plan, &grammar(stage.is_mysql()), &Tally::default())?;
    match finding {
        None => Ok(()),
        Some(finding) => {
            let last = finding.trace.last().map(|entry| entry.step.to_string());
            let Difference { expected, found } = finding.difference;
            Err(format!("without Athena: {last:?}\nexpected:\n{expected}found:\n{found}").into())
        }
    }
}

fn through_athena(name: &str, flavor: Flavor) -> TestResult {
    let Some(stage) = Stage::start(name, flavor)? else { return Ok(()) };
    match stage.run(plan())? {
        None => Ok(()),
        Some(small) => Err(small.into()),
    }
}

/// The same with what only reads on replicas.
fn through_split(name: &str, flavor: Flavor) -> TestResult {
    let Some(stage) = Stage::start_split(name, flavor, 2)? else { return Ok(()) };
    let plan = plan();
    match stage.run(Plan { statements: plan.statements / 2, ..plan })? {
        None => Ok(()),
        Some(small) => Err(small.into()),
    }
}

/// What the gate is for: a replay that goes wrong is found, and soon.
fn finds(name: &str, prey: Prey) -> TestResult {
    let Some(mut stage) = Stage::start(name, Flavor::MariaDb)? else { return Ok(()) };
    let saboteur = Saboteur::start(stage.backend, prey, SPARED)?;
    stage.backend = saboteur.port();
    stage.mark = saboteur::MARK;
    let start = Instant::now();
    let small = stage.run(Plan { statements: 20_000, ..plan() })?;
    println!("after {:?}, {} spoilt: {small:?}", start.elapsed(), saboteur.spoilt());
    assert!(saboteur.spoilt() > 0, "there was nothing to spoil");
    assert!(small.is_some(), "nothing was found");
    Ok(())
}

#[test]
fn two_mariadbs_agree() -> TestResult {
    agree(Flavor::MariaDb)
}

#[test]
fn two_mysqls_agree() -> TestResult {
    agree(Flavor::MySql)
}

#[test]
fn mariadb_through_athena() -> TestResult {
    through_athena("gate_mariadb", Flavor::MariaDb)
}

#[test]
fn mysql_through_athena() -> TestResult {
    through_athena("gate_mysql", Flavor::MySql)
}

#[test]
fn mariadb_split() -> TestResult {
    through_split("gate_split_mariadb", Flavor::MariaDb)
}

#[test]
fn mysql_split() -> TestResult {
    through_split("gate_split_mysql", Flavor::MySql)
}

#[test]
fn a_spoilt_set_is_found() -> TestResult {
    finds("gate_set", Prey::Set)
}

#[test]
fn a_spoilt_schema_is_found() -> TestResult {
    finds("gate_schema", Prey::Schema)
}
