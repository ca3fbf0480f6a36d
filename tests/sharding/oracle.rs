//! The same random statements on four shards through Athena, and on one unsharded server: every answer is the same.
//!
//! `ATHENA_SHARDING_SEED` and `ATHENA_SHARDING_STATEMENTS` choose the run.

use std::collections::HashMap;

use super::answer::{Answer, difference, must};
use super::common::TestResult;
use super::common::random::Random;
use super::common::stage::{Stage, on_each_server};
use super::common::wire::{Connection, Login, Plugin, Value};
use super::grammar::{Grammar, Said};
use super::parameters::with_parameters;
use super::schema::definitions;
use super::servers::{Spread, on_each_spread, two_phase};
use super::{PLAIN, SHARDED, chosen, sharded};

const STATEMENTS: u64 = 700;
/// After so many the tables begin anew: joins of what has gathered would take ever longer.
const ROUND: u64 = 5000;
const TABLES: [&str; 5] = ["users", "orders", "items", "notes", "places"];
/// Answers that differ are shown, so many of them.
const SHOWN: usize = 5;

/// A client of Athena's, and one of the server's.
struct Pair {
    ours: Connection,
    theirs: Connection,
}

impl Pair {
    fn new(mut ours: Connection, theirs: Connection, key: &str) -> TestResult<Self> {
        ours.run(&format!("USE {SHARDED}"))?;
        let mut pair = Self { ours, theirs };
        for sql in definitions(key) {
            must(Answer::of(&mut pair.ours, &sql)).map_err(|error| format!("{sql}: {error}"))?;
            must(Answer::of(&mut pair.theirs, &sql))?;
        }
        Ok(pair)
    }

    /// Says it to both; or why Athena has refused it.
    fn say(
        &mut self,
        sql: &str,
        parameters: Option<&[Value]>,
    ) -> TestResult<Result<(Answer, Answer), String>> {
        let say = |client: &mut Connection, sql: &str| match parameters {
            Some(parameters) => Answer::of_prepared(client, sql, parameters),
            None => Answer::of(client, sql),
        };
        let ours = say(&mut self.ours, sql).map_err(|error| format!("{sql}: {error}"))?;
        if let Some(reason) = ours.refusal() {
            return Ok(Err(reason.to_owned()));
        }
        Ok(Ok((ours, say(&mut self.theirs, sql)?)))
    }
}

/// How often what was refused, by its reason.
#[derive(Default)]
struct Tally {
    said: u64,
    refused: HashMap<String, u64>,
    different: Vec<String>,
    /// Reads of which one side complains about a value that it can't compare.
    complaints: u64,
}

impl Tally {
    fn statement(&mut self, pair: &mut Pair, said: &Said, prepared: Option<&mut Random>) -> TestResult {
        self.said += 1;
        let with = prepared.map(|random| with_parameters(&said.sql, random));
        let (sql, parameters) = match &with {
            Some((sql, parameters)) => (sql, Some(parameters.as_slice())),
            None => (&said.sql, None),
        };
        match pair.say(sql, parameters)? {
            Err(reason) => *self.refused.entry(reason).or_default() += 1,
            Ok((ours, theirs)) => {
                // Of equal texts a server shows any.
                let folded = ["DISTINCT", "GROUP BY", "UNION"].iter().any(|word| sql.contains(word));
                let difference = difference(&ours, &theirs, said.ordered, folded);
                if difference.is_some()
                    && sql.starts_with("SELECT")
                    && (ours.complains() || theirs.complains())
                {
                    self.complaints += 1;
                } else if let Some(difference) = difference {
                    let way =
                        parameters.map(|parameters| format!("with {parameters:?}: ")).unwrap_or_default();
                    self.different.push(format!("{way}{sql}\n{difference}"));
                }
            }
        }
        Ok(())
    }
}

/// What texts may mean something else by. Without strict modes a server changes keys.
const MODES: [&str; 5] =
    ["", ",ANSI_QUOTES", ",HIGH_NOT_PRECEDENCE", ",NO_BACKSLASH_ESCAPES", ",ONLY_FULL_GROUP_BY,IGNORE_SPACE"];

fn run(stage: &Stage, key_type: &str, key: fn(usize) -> String) -> TestResult {
    stage.server.sql(&format!("CREATE DATABASE {SHARDED}; CREATE DATABASE {PLAIN}"))?;
    let ours = stage.login(&Login::app())?;
    let theirs = stage.direct(&Login::app().database(PLAIN))?;
    compare(Pair::new(ours, theirs, key_type)?, key, 5)
}

/// The same with shards on servers of their own, and one of those beside them.
fn run_on_servers(stage: &Spread, key_type: &str, key: fn(usize) -> String) -> TestResult {
    stage.home.sql(&format!("CREATE DATABASE {PLAIN}"))?;
    stage
        .shards
        .iter()
        .chain([&stage.home])
        .try_for_each(|server| server.sql(&format!("CREATE DATABASE {SHARDED}")).map(drop))?;
    let ours = stage.login(&Login::app())?;
    let theirs =
        Connection::login(stage.home.port(), &Login::app().database(PLAIN).by(Plugin::CachingSha2Rsa))?;
    compare(Pair::new(ours, theirs, key_type)?, key, 5)?;
    let copies = stage.shards.iter().chain([&stage.home]);
    let copies = copies.map(|server| stage.of(server, "SELECT place, HEX(name) FROM places ORDER BY place"));
    let copies = copies.collect::<TestResult<Vec<_>>>()?;
    assert!(copies.windows(2).all(|pair| pair[0] == pair[1]), "{copies:?}");
    Ok(())
}

/// At most one of so many statements is refused.
fn compare(mut pair: Pair, key: fn(usize) -> String, one_of: u64) -> TestResult {
    let random = Random::new(chosen("ATHENA_SHARDING_SEED", 1));
    let mut grammar = Grammar { random, key };
    let mut tally = Tally::default();
    let mut in_transaction = false;
    while tally.said < chosen("ATHENA_SHARDING_STATEMENTS", STATEMENTS) {
        let control = match (in_transaction, grammar.random.below(12)) {
            (false, 0) => Some("BEGIN"),
            (true, 0) => Some("ROLLBACK"),
            (true, 1) => Some("COMMIT"),
            _ => None,
        };
        let said = match control {
            Some(sql) => {
                in_transaction = sql == "BEGIN";
                Said { sql: sql.to_owned(), ordered: false }
            }
            None if grammar.random.below(3) == 0 => grammar.write(),
            None => grammar.read(),
        };
        let mut random = grammar.random.clone();
        let prepared = (control.is_none() && grammar.random.below(3) == 0).then_some(&mut random);
        tally.statement(&mut pair, &said, prepared)?;
        if tally.said.is_multiple_of(300) {
            let mode = MODES[grammar.random.below(MODES.len())];
            let sql = format!("SET sql_mode = 'STRICT_TRANS_TABLES{mode}'");
            tally.statement(&mut pair, &Said { sql, ordered: false }, None)?;
        }
        if tally.said.is_multiple_of(ROUND) && !in_transaction {
            for table in TABLES {
                let sql = format!("DELETE FROM {table}");
                tally.statement(&mut pair, &Said { sql, ordered: false }, None)?;
            }
        }
        if tally.different.len() >= SHOWN {
            break;
        }
    }
    for table in TABLES {
        let sql = format!("SELECT {table}.* FROM {table}");
        tally.statement(&mut pair, &Said { sql, ordered: false }, None)?;
    }
    let refused: u64 = tally.refused.values().sum();
    let complaints = tally.complaints;
    println!("{} statements, {refused} refused, {complaints} complaints: {:?}", tally.said, tally.refused);
    assert!(tally.different.is_empty(), "{}", tally.different.join("\n\n"));
    assert!(refused * one_of < tally.said, "too much is refused");
    assert!(tally.complaints * 1000 <= tally.said, "{} complaints", tally.complaints);
    Ok(())
}

#[test]
fn mod_is_as_one_table() -> TestResult {
    on_each_server(
        "sharding_mod",
        |config| sharded(config, "mod", "shard_count = 4\n"),
        |stage| run(stage, "BIGINT", |number| (number as i64 - 10).to_string()),
    )
}

#[test]
fn hash_is_as_one_table() -> TestResult {
    let texts: Key =
        ("text", "VARCHAR(20)", |number| format!("'{}{}'", ["key ", "KEY "][number % 2], number / 2));
    let decimals: Key = ("decimal", "DECIMAL(12,2)", |number| (number as i64 - 10).to_string());
    let bytes: Key = ("binary", "VARCHAR(20) COLLATE utf8mb4_bin", |number| {
        format!("'{}é {}'", ["k", "K"][number % 2], number / 2)
    });
    let (kind, column, key) = of_seed(&[texts, decimals, bytes]);
    on_each_server(
        "sharding_hash",
        |config| sharded(config, "hash", &format!("shard_count = 4\nkey_type = \"{kind}\"\n")),
        |stage| run(stage, column, key),
    )
}

#[test]
fn range_is_as_one_table() -> TestResult {
    let dates: Key =
        ("\"2024-01-10\", \"2024-02-01\", \"2024-02-15\"]\nkey_type = \"date\"", "DATE", |number| {
            format!("'2024-{:02}-{:02}'", 1 + number / 20, 1 + number % 20)
        });
    let moments: Key = (
        "\"2024-01-10\", \"2024-01-15 12:00:00\", \"2024-02-15\"]\nkey_type = \"datetime\"",
        "DATETIME",
        |number| format!("'2024-01-{:02} {:02}:00:00'", 1 + number / 2, number % 2 * 12),
    );
    let integers: Key =
        ("-5, 0, 17]\nkey_type = \"integer\"", "INT", |number| (number as i64 - 10).to_string());
    let (boundaries, column, key) = of_seed(&[dates, integers, moments]);
    on_each_server(
        "sharding_range",
        |config| sharded(config, "range", &format!("boundaries = [{boundaries}\n")),
        |stage| run(stage, column, key),
    )
}

#[test]
fn shards_on_servers_are_as_one_table() -> TestResult {
    on_each_spread(
        "sharding_on_servers",
        |config| {
            let config = config.set("sharding_defaults", "global_tables", "[\"places\"]");
            two_phase(sharded(config, "mod", "shard_count = 4\n"))
        },
        |stage| run_on_servers(stage, "BIGINT", |number| (number as i64 - 10).to_string()),
    )
}

/// What a rule says of a key, the column's type, and how a key is written.
type Key = (&'static str, &'static str, fn(usize) -> String);

fn of_seed(of: &[Key]) -> Key {
    of[(chosen("ATHENA_SHARDING_SEED", 1) as usize + 2) % of.len()]
}
