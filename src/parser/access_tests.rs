//! The rows of a table that a test with real servers reads too.

use super::super::{Server, SqlMode, effects, facts};
use super::*;

const STATEMENTS: &str = include_str!("../../tests/routing/statements.tsv");

const MYSQL: Server = Server { mariadb: false, version: 90704 };
const MARIADB: Server = Server { mariadb: true, version: 101119 };

const HINTS: Hazards = Hazards::HINT_PRIMARY.union(Hazards::HINT_REPLICA).union(Hazards::HINT_UNKNOWN);

struct Row {
    target: &'static str,
    reason: &'static str,
    sql: String,
    servers: &'static [Server],
}

fn rows() -> Vec<Row> {
    let lines = STATEMENTS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let row = |line: &'static str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let (target, reason, sql, family) = match columns.as_slice() {
            [target, reason, sql, family] | [target, reason, sql, family, "parse-only" | "no-call"] => {
                (*target, *reason, *sql, *family)
            }
            _ => panic!("columns of: {line}"),
        };
        let servers: &[Server] = match family {
            "both" => &[MYSQL, MARIADB],
            "mysql" => &[MYSQL],
            "mariadb" => &[MARIADB],
            _ => panic!("family of: {line}"),
        };
        Row { target, reason, sql: sql.replace("\\n", "\n"), servers }
    };
    lines.map(row).collect()
}

fn read(sql: &str, server: Server) -> Facts {
    facts(sql.as_bytes(), SqlMode { server, ..SqlMode::default() })
}

/// The target and the reason that the facts give.
fn verdict(facts: Facts) -> (&'static str, &'static str) {
    let hints = facts.hazards & HINTS;
    match access(facts) {
        Ok(()) if hints.is_empty() => ("replica", "read"),
        Ok(()) if hints == Hazards::HINT_REPLICA => ("replica", "hint"),
        Ok(()) if hints == Hazards::HINT_PRIMARY => ("primary", "hint"),
        Err(reason) if hints.is_empty() => ("primary", reason.name()),
        _ => ("refused", "hint"),
    }
}

/// Lists all rows that have another verdict, with their text as `change` makes it.
fn check(change: impl Fn(&str) -> String) {
    let mut wrong = Vec::new();
    for row in rows() {
        let sql = change(&row.sql);
        for server in row.servers {
            let (target, reason) = verdict(read(&sql, *server));
            if (target, reason) != (row.target, row.reason) {
                wrong.push(format!(
                    "{target} {reason}, not {} {}: {sql} on {server:?}",
                    row.target, row.reason
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_statement_runs_where_it_may() {
    check(str::to_owned);
}

#[test]
fn a_hint_changes_nothing_else() {
    for row in rows() {
        for server in row.servers {
            let without = read(&row.sql, *server);
            let with = read(&format!("/* athena:primary */ {}", row.sql), *server);
            let hinted = Facts { hazards: without.hazards | Hazards::HINT_PRIMARY, ..without };
            assert_eq!(with, hinted, "{}", row.sql);
            assert_eq!(access(with), access(without), "{}", row.sql);
        }
    }
}

#[test]
fn case_changes_no_verdict() {
    check(str::to_uppercase);
    // A capital marks MariaDB's comments.
    check(|sql| sql.to_lowercase().replace("/*m!", "/*M!"));
}

/// What stands in front of a text can't make a read of it, and a read behind another is one still.
#[test]
fn a_read_in_front_hides_nothing() {
    for row in rows() {
        for server in row.servers {
            let alone = access(read(&row.sql, *server));
            let behind = read(&format!("SELECT 1; {}", row.sql), *server);
            // The statement before answers what is asked about it, and a text may end in comments.
            let answered = alone == Err(NotRead::StateFunction) || behind.kind != StatementKind::Select;
            let empty = !behind.hazards.contains(Hazards::MULTI);
            assert!(access(behind).is_ok() == alone.is_ok() || answered || empty, "{}", row.sql);
        }
    }
}

#[test]
fn where_the_server_is_not_known_no_more_is_a_read() {
    for row in rows() {
        let unknown = access(read(&row.sql, Server::default()));
        let known = row.servers.iter().all(|server| access(read(&row.sql, *server)).is_err());
        assert!(!known || unknown.is_err(), "{}", row.sql);
    }
}

#[test]
fn the_table_has_all_reasons_and_many_rows() {
    let rows = rows();
    assert!(rows.len() >= 170, "{} rows", rows.len());
    for reason in ALL {
        assert!(rows.iter().any(|row| row.reason == reason.name()), "{reason:?}");
        assert!(reason.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{reason:?}");
        assert!(!reason.describe().is_empty());
    }
}

const ALL: [NotRead; 19] = [
    NotRead::Write,
    NotRead::LockingRead,
    NotRead::IntoFile,
    NotRead::UserVariableWrite,
    NotRead::SystemVariable,
    NotRead::StateFunction,
    NotRead::NamedLock,
    NotRead::Sequence,
    NotRead::ServerTables,
    NotRead::Explain,
    NotRead::Transaction,
    NotRead::ReadOnlyTransaction,
    NotRead::SessionState,
    NotRead::Call,
    NotRead::Definition,
    NotRead::Administration,
    NotRead::Several,
    NotRead::Unsure,
    NotRead::StoredFunction,
];

/// A hazard that no one has thought of here is a reason.
#[test]
fn every_hazard_of_a_read_is_a_reason_or_known_to_be_none() {
    for hazard in Hazards::all().iter() {
        let facts = Facts { kind: StatementKind::Select, hazards: hazard, ids: super::super::Ids::NONE };
        assert_eq!(access(facts).is_ok(), OF_ANY_READ.contains(hazard), "{hazard:?}");
    }
}

/// The caller may allow stored functions by name: the effects tell which.
#[test]
fn what_may_be_a_stored_function_is_told_by_name() {
    for (sql, names) in [
        ("SELECT f(1)", &["f"][..]),
        ("SELECT f(1), other.g(2) FROM t", &["f", "g"]),
        ("WITH c (x) AS (SELECT a FROM t) SELECT x FROM c", &[]),
    ] {
        assert_eq!(access(read(sql, MYSQL)), Err(NotRead::StoredFunction), "{sql}");
        let mode = SqlMode { server: MYSQL, ..SqlMode::default() };
        let called: Vec<String> = effects(sql.as_bytes(), mode)
            .into_iter()
            .filter_map(|effect| match effect {
                super::super::Effect::StoredFunction { name, .. } => {
                    Some(String::from_utf8_lossy(&name).into())
                }
                _ => None,
            })
            .collect();
        assert_eq!(called, names, "{sql}");
    }
}
