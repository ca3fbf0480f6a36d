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
mod schema;
mod step;
mod voice;

use std::sync::atomic::Ordering;
use std::time::Instant;

use athena_perf::lab::{Flavor, Lab, Server, ServerOptions};
use common::TestResult;
use grammar::Grammar;
use pair::Sides;
use run::{Plan, Tally};

const STATEMENTS: u64 = 20_000;
const SESSIONS: usize = 24;

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

/// A server with the accounts of the gate.
fn server(lab: &Lab, flavor: Flavor) -> TestResult<Option<Server>> {
    let options = ServerOptions::default()
        .max_connections(2000)
        // Whoever waits for a lock waits in vain.
        .argument("--innodb-lock-wait-timeout=3")
        .argument("--innodb-flush-log-at-trx-commit=0");
    let server = match flavor {
        Flavor::MariaDb => Some(lab.server(options.argument("--debug-no-sync"))?),
        Flavor::MySql => lab.mysql_server(options)?,
    };
    if let Some(server) = &server {
        server.sql(&schema::accounts(flavor == Flavor::MySql))?;
        // A MySQL knows the password of an account that has logged in before.
        server.app_client().run("SELECT 1")?;
    }
    Ok(server)
}

/// Two servers give equal answers: what differs through Athena is Athena's.
fn agree(flavor: Flavor) -> TestResult {
    let lab = Lab::new("gate_direct")?;
    let (Some(one), Some(other)) = (server(&lab, flavor)?, server(&lab, flavor)?) else { return Ok(()) };
    let mysql = flavor == Flavor::MySql;
    let sides = Sides { athena: one.port(), behind: one.port(), direct: other.port(), mysql, mark: b"" };
    let (plan, tally) = (plan(), Tally::default());
    let start = Instant::now();
    let finding = run::run(sides, plan, &grammar(mysql), &tally)?;
    println!("{:?} {tally:?}", start.elapsed());
    if let Some(finding) = finding {
        for entry in finding.trace.iter().rev().filter(|entry| entry.session / 4 == finding.thread).take(40) {
            println!("{} s{} {} {}", entry.order, entry.session, entry.token, entry.step);
        }
        let difference = finding.difference;
        println!("round {}, checkout {}", finding.round, difference.is_checkout());
        return Err(format!("expected\n{}found\n{}", difference.expected, difference.found).into());
    }
    assert!(tally.steps.load(Ordering::Relaxed) >= plan.statements);
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
