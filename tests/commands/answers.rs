//! What Athena writes into a text, and what it replies about warnings, is byte for byte what a server sends.

use athena::parser::{Answers, Diagnostics, SqlMode, diagnostics, with_answers};
use athena::protocol::capability::{Capabilities, StatusFlags};
use athena::protocol::resultset::RowFormat;
use athena::protocol::warnings::{Counted, WarningList, count_resultset};
use athena_perf::lab::Flavor;

use crate::common::TestResult;
use crate::common::wire::{Connection, Login, Result, capability, command, frame};
use crate::{direct, on_each_server};

/// Two rows, two warnings, and an id of the statement before.
const BEFORE: [&str; 2] =
    ["SELECT LAST_INSERT_ID(77)", "SELECT CAST('x' AS SIGNED) UNION ALL SELECT CAST('y' AS SIGNED)"];

const QUESTIONS: [&str; 11] = [
    "ROW_COUNT()",
    "FOUND_ROWS()",
    "LAST_INSERT_ID()",
    "CONNECTION_ID()",
    "@@warning_count",
    "@@session.error_count",
    "@@identity",
    "@@local.last_insert_id",
    "@@pseudo_thread_id",
    "row_count ( )",
    "`row_count`()",
];

/// Places where the type of an expression shows.
const PLACES: [&str; 16] = [
    "SELECT {}",
    "SELECT {} AS a, 1",
    "SELECT {} + 1",
    "SELECT -{}",
    "SELECT {} / 2",
    "SELECT {} DIV 2",
    "SELECT CONCAT({})",
    "SELECT HEX({})",
    "SELECT COALESCE({}, 1)",
    "SELECT IF({} > 0, {}, 0)",
    "SELECT LEAST({}, 5)",
    "SELECT MAX({}), SUM({})",
    "SELECT {} UNION SELECT 1",
    "SELECT (SELECT {})",
    "SELECT * FROM (SELECT {} a) b ORDER BY a",
    "SELECT 1 ORDER BY {}",
];

/// The packets of a reply with rows, framed as they came; its last packet is an EOF.
fn packets(client: &mut Connection, sql: &str) -> Result<Vec<Vec<u8>>> {
    client.send(command::QUERY, sql.as_bytes())?;
    let mut packets = Vec::new();
    let mut ends = 0;
    while ends < 2 {
        let payload = client.stream().read_payload()?;
        ends += match payload[..] {
            [0xff, ..] => 2,
            [0xfe, ..] if payload.len() < 9 => 1,
            _ => 0,
        };
        packets.push(payload);
    }
    Ok(packets)
}

fn framed(packets: &[Vec<u8>]) -> Vec<u8> {
    (1..).zip(packets).flat_map(|(sequence, payload)| frame(sequence, payload)).collect()
}

#[test]
fn constants_look_like_what_they_stand_for() -> TestResult {
    on_each_server("answers_constants", |stage| {
        let mariadb = stage.server.flavor() != Flavor::MySql;
        let mut client = direct(stage, &Login::app().without(capability::DEPRECATE_EOF))?;
        let id = client.scalar("SELECT CONNECTION_ID()")?.parse()?;
        let known = Answers {
            connection_id: Some(id),
            row_count: Some(-1),
            found_rows: Some(2),
            warning_count: Some(2),
            error_count: Some(0),
            last_insert_id: Some(77),
        };
        for question in QUESTIONS {
            for place in PLACES {
                let sql = place.replace("{}", question);
                for before in BEFORE {
                    packets(&mut client, before)?;
                }
                let server = packets(&mut client, &sql)?;
                let text = with_answers(sql.as_bytes(), SqlMode::default(), mariadb, &known).expect("clear");
                let text = String::from_utf8(text)?;
                let constant = packets(&mut client, &text)?;
                assert_eq!(constant, server, "{text}");
            }
        }
        Ok(())
    })
}

/// A list as it is read from a server.
fn list(client: &mut Connection) -> Result<WarningList> {
    let packets = packets(client, "SHOW WARNINGS")?;
    let columns = packets.get(1..4).unwrap_or_default().to_vec();
    let rows = packets.get(5..packets.len() - 1).unwrap_or_default();
    let values = |mut row: &[u8]| {
        let mut values = Vec::new();
        while let [length, rest @ ..] = row {
            let (value, behind) = rest.split_at(usize::from(*length));
            values.push(Some(value.to_vec()));
            row = behind;
        }
        values
    };
    Ok(WarningList { columns, rows: rows.iter().map(|row| values(row)).collect() })
}

#[test]
fn warnings_are_listed_as_servers_list_them() -> TestResult {
    on_each_server("answers_warnings", |stage| {
        let mariadb = stage.server.flavor() != Flavor::MySql;
        let mut client = direct(stage, &Login::app().without(capability::DEPRECATE_EOF))?;
        client.run("SET sql_mode = ''")?;
        client.run("CREATE TABLE warned (a INT PRIMARY KEY, b VARCHAR(1))")?;
        for names in ["utf8mb4", "latin1", "binary"] {
            client.run(&format!("SET NAMES {names}"))?;
            let failed = client.run("INSERT INTO warned VALUES (1, 'abc'), (2, 'abc'), (1, 'abc')");
            assert_eq!(failed.expect_err("a duplicate").code(), Some(1062));
            let list = list(&mut client)?;
            assert_eq!((list.rows.len(), list.errors(), list.code(4)), (4, 1, Some(1062)));
            for sql in [
                "SHOW WARNINGS",
                "SHOW WARNINGS LIMIT 2",
                "SHOW WARNINGS LIMIT 2, 18446744073709551615",
                "SHOW WARNINGS LIMIT 1 OFFSET 3",
                "SHOW ERRORS",
                "SHOW ERRORS LIMIT 1",
                "SHOW ERRORS LIMIT 1 OFFSET 1",
                "SHOW ERRORS LIMIT 3, 1",
                "SHOW COUNT(*) WARNINGS",
                "SHOW COUNT(*) ERRORS",
            ] {
                let server = packets(&mut client, sql)?;
                let (capabilities, status) = (Capabilities::PROTOCOL_41, StatusFlags::AUTOCOMMIT);
                let reply = match diagnostics(sql.as_bytes(), SqlMode::default()).expect("about warnings") {
                    Diagnostics::ShowWarnings(range) => {
                        list.show_warnings(capabilities, status, range, RowFormat::Text)
                    }
                    Diagnostics::ShowErrors(range) => {
                        list.show_errors(capabilities, status, range, RowFormat::Text, mariadb)
                    }
                    Diagnostics::CountWarnings => count_resultset(capabilities, status, Counted::Warnings, 4),
                    Diagnostics::CountErrors => count_resultset(capabilities, status, Counted::Errors, 1),
                    Diagnostics::Get(get) => panic!("{get:?}"),
                };
                assert_eq!(reply, framed(&server), "{sql} in {names}");
            }
        }
        Ok(())
    })
}
