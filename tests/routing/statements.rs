//! Every row of the table, said through Athena, is found in the log of the server that it is for, and in no other.

use std::collections::BTreeMap;
use std::fmt;

use athena_perf::lab::Flavor;

use super::common::cluster::{ClusterStage, on_each_cluster};
use super::common::wire::{self, Login, capability};
use super::common::{PATIENCE, TestResult};
use super::log::{Logs, Ran, mark};
use super::table::{Row, rows, schema};
use super::{execute_all, run_all, split_at_once};

/// `ER_NOT_SUPPORTED_YET`: Athena's answer to a hint that it can't obey.
const REFUSED: u16 = 1235;

/// Prepared statements have marks of their own.
const PREPARED: usize = 10_000;

/// What Athena answers by itself, and what a MySQL writes into its log in its own words.
const NOT_IN_LOG: [&str; 3] = ["SHOW PROCESSLIST", "GET DIAGNOSTICS", "PREPARE "];

/// How a statement is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Text,
    Prepared,
}

/// What the client saw.
enum Outcome {
    Ran,
    Failed(wire::Error),
    /// The server prepares no such statement.
    NotPrepared(wire::Error),
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ran => formatter.write_str("it ran"),
            Self::Failed(error) => write!(formatter, "{error}"),
            Self::NotPrepared(error) => write!(formatter, "not prepared: {error}"),
        }
    }
}

impl Way {
    fn mark(self, row: &Row) -> String {
        match self {
            Self::Text => mark(row.line),
            Self::Prepared => mark(row.line + PREPARED),
        }
    }

    /// How logs call it.
    fn command(self) -> &'static str {
        match self {
            Self::Text => "Query",
            Self::Prepared => "Execute",
        }
    }

    /// Says a row in a session of its own.
    fn say(self, stage: &ClusterStage, row: &Row) -> TestResult<Outcome> {
        let mut client = stage.login(&Login::app().with(capability::MULTI_STATEMENTS))?;
        let sql = format!("{} {}", self.mark(row), row.sql);
        let result = match self {
            Self::Text => run_all(&mut client, &sql),
            Self::Prepared => match client.prepare(&sql) {
                Ok(statement) => execute_all(&mut client, &statement),
                Err(error) if error.code().is_some_and(|code| code != REFUSED) => {
                    return Ok(Outcome::NotPrepared(error));
                }
                Err(error) => Err(error),
            },
        };
        match result {
            Ok(()) => {
                client.ping()?;
                Ok(Outcome::Ran)
            }
            Err(error) if error.code().is_some() => Ok(Outcome::Failed(error)),
            Err(error) => Err(format!("{sql}: {error}").into()),
        }
    }
}

/// The servers that ran a row, 0 being the primary.
fn places(ran: &[Ran], way: Way, row: &Row) -> Vec<usize> {
    let key = (way.command().to_owned(), way.mark(row));
    (0..ran.len()).filter(|&server| ran[server].contains(&key)).collect()
}

/// What is wrong about where a row ran.
fn complaint(row: &Row, way: Way, places: &[usize], outcome: &Outcome) -> Option<String> {
    let code = match outcome {
        Outcome::NotPrepared(_) if places.is_empty() => return None,
        Outcome::Ran => None,
        Outcome::Failed(error) | Outcome::NotPrepared(error) => error.code(),
    };
    let is_not_in_log = NOT_IN_LOG.iter().any(|start| row.sql.starts_with(start));
    let is_right = match row.target {
        "replica" => matches!(places, [1 | 2]) && code.is_none(),
        // What is prepared has the id in the place of the question, and just reads.
        _ if way == Way::Prepared && row.sql.contains("CONNECTION_ID()") => matches!(places, [1 | 2]),
        "refused" => places.is_empty() && code == Some(REFUSED),
        // Whether it fails there, for want of a privilege for example, is no matter.
        _ => places == [0] || places.is_empty() && is_not_in_log,
    };
    (!is_right).then(|| {
        let sql = row.sql.escape_debug();
        format!("line {}, {} {}: {sql}: ran on {places:?}; {outcome}", row.line, row.target, row.reason)
    })
}

/// Rows by their targets and reasons: how many ran as texts, ran prepared, and could not be prepared.
#[derive(Default)]
struct Summary(BTreeMap<(&'static str, &'static str), [usize; 3]>);

impl Summary {
    fn count(&mut self, row: &Row, way: Way, outcome: &Outcome) {
        let column = match (way, outcome) {
            (_, Outcome::NotPrepared(_)) => 2,
            (Way::Text, _) => 0,
            (Way::Prepared, _) => 1,
        };
        self.0.entry((row.target, row.reason)).or_default()[column] += 1;
    }

    fn print(&self, flavor: Flavor) {
        eprintln!("{flavor:?}: target, reason, texts, prepared, not to be prepared");
        for ((target, reason), [texts, prepared, not]) in &self.0 {
            eprintln!("  {target:8} {reason:22} {texts:4} {prepared:4} {not:4}");
        }
    }
}

fn make_schema(stage: &ClusterStage, mariadb: bool) -> TestResult {
    for sql in schema(mariadb) {
        stage.servers.primary.sql(&format!("USE test; {sql}"))?;
    }
    let rows = "(1, 1, 'word one'), (2, 2, 'word two'), (3, NULL, NULL)";
    stage
        .servers
        .primary
        .sql(&format!("USE test; INSERT INTO t VALUES {rows}; INSERT INTO u VALUES {rows}"))?;
    stage.servers.wait_for_replicas(PATIENCE)?;
    Ok(())
}

#[test]
fn every_statement_of_the_table_runs_where_the_table_says() -> TestResult {
    // Where they run as a whole is for another test: here they are what their text is.
    let configure = |config| split_at_once(config).set("routing", "read_only_transactions", "\"primary\"");
    on_each_cluster("routing_statements", configure, |stage| {
        let flavor = stage.servers.primary.flavor();
        let mariadb = flavor == Flavor::MariaDb;
        make_schema(stage, mariadb)?;
        stage.wait_until_well();
        let mut logs = Logs::start(stage)?;
        let (rows, mut said) = (rows(mariadb), Vec::new());
        for way in [Way::Text, Way::Prepared] {
            for row in &rows {
                said.push((row, way, way.say(stage, row)?));
            }
        }
        let ran = logs.read()?;
        let (mut complaints, mut summary) = (Vec::new(), Summary::default());
        for (row, way, outcome) in &said {
            summary.count(row, *way, outcome);
            complaints.extend(complaint(row, *way, &places(&ran, *way, row), outcome));
        }
        summary.print(flavor);
        assert!(complaints.is_empty(), "{flavor:?}:\n{}", complaints.join("\n"));
        Ok(())
    })
}
