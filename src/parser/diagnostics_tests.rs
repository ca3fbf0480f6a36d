use super::ConditionItem::{MessageText, MysqlErrno, ReturnedSqlstate};
use super::*;
use crate::parser::charset::Charset;

fn read(sql: &str) -> Option<Diagnostics> {
    diagnostics(sql.as_bytes(), SqlMode::default())
}

fn limit(offset: u64, count: u64) -> RowRange {
    RowRange { offset, count }
}

#[test]
fn lists_and_counts_are_read_with_their_limits() {
    use Diagnostics::{CountErrors, CountWarnings, ShowErrors, ShowWarnings};
    for (sql, expected) in [
        ("SHOW WARNINGS", ShowWarnings(RowRange::ALL)),
        ("show/**/warnings;", ShowWarnings(RowRange::ALL)),
        ("SHOW WARNINGS LIMIT 5", ShowWarnings(limit(0, 5))),
        ("SHOW WARNINGS LIMIT 2, 5", ShowWarnings(limit(2, 5))),
        ("SHOW WARNINGS LIMIT 5 OFFSET 2 -- those", ShowWarnings(limit(2, 5))),
        ("SHOW ERRORS LIMIT 01", ShowErrors(limit(0, 1))),
        ("Show Errors Limit 0,18446744073709551615", ShowErrors(limit(0, u64::MAX))),
        ("/*!40000 SHOW */ ERRORS", ShowErrors(RowRange::ALL)),
        ("SHOW COUNT(*) WARNINGS", CountWarnings),
        ("SHOW COUNT( * ) ERRORS", CountErrors),
    ] {
        assert_eq!(read(sql), Some(expected), "{sql}");
    }
}

#[test]
fn get_diagnostics_is_read_with_its_targets() {
    let statement = |items: &[(&str, StatementItem)]| {
        let items = items.iter().map(|(target, item)| (target.as_bytes().to_vec(), *item)).collect();
        Some(Diagnostics::Get(GetDiagnostics::Statement(items)))
    };
    let (number, rows) = (StatementItem::Number, StatementItem::RowCount);
    assert_eq!(read("GET DIAGNOSTICS @a = NUMBER"), statement(&[("@a", number)]));
    assert_eq!(
        read("get current diagnostics @`a b`=row_count , @'c'=Number;"),
        statement(&[("@`a b`", rows), ("@'c'", number)])
    );
    let condition = |number: ConditionNumber, items: &[(&str, ConditionItem)]| {
        let items = items.iter().map(|(target, item)| (target.as_bytes().to_vec(), *item)).collect();
        Some(Diagnostics::Get(GetDiagnostics::Condition { number, items }))
    };
    assert_eq!(
        read("GET DIAGNOSTICS CONDITION 2 @p = RETURNED_SQLSTATE, @q.r = message_text"),
        condition(ConditionNumber::Literal(2), &[("@p", ReturnedSqlstate), ("@q.r", MessageText)])
    );
    for number in ["@n", "NULL", "'1'", "1.0", "0x1", "true", "@@max_connections", "@@session.`a`"] {
        assert_eq!(
            read(&format!("GET DIAGNOSTICS CONDITION {number} @p = MYSQL_ERRNO")),
            condition(ConditionNumber::Expression(number.into()), &[("@p", MysqlErrno)]),
            "{number}"
        );
    }
    for (name, item) in CONDITION_ITEMS {
        let name = String::from_utf8_lossy(name);
        let sql = format!("GET DIAGNOSTICS CONDITION 1 @a = {name}");
        assert_eq!(read(&sql), condition(ConditionNumber::Literal(1), &[("@a", item)]), "{sql}");
    }
}

#[test]
fn other_texts_are_none() {
    for sql in [
        "",
        ";",
        "SHOW",
        "SHOW TABLES",
        "SHOW `WARNINGS`",
        "SHOW FULL WARNINGS",
        "SHOW WARNINGS; SELECT 1",
        "SHOW WARNINGS;;",
        "; SHOW WARNINGS",
        "(SHOW WARNINGS)",
        "SHOW WARNINGS LIKE 'a'",
        "SHOW WARNINGS LIMIT",
        "SHOW WARNINGS LIMIT -1",
        "SHOW WARNINGS LIMIT 0x1",
        "SHOW WARNINGS LIMIT 1.0",
        "SHOW WARNINGS LIMIT 1e0",
        "SHOW WARNINGS LIMIT @a",
        "SHOW WARNINGS LIMIT ?",
        "SHOW WARNINGS LIMIT '1'",
        "SHOW WARNINGS LIMIT 1, 2, 3",
        "SHOW WARNINGS LIMIT 1, 2 OFFSET 3",
        "SHOW WARNINGS LIMIT 18446744073709551616",
        "SHOW WARNINGS LIMIT 1 ROWS EXAMINED 1",
        "SHOW WARNINGS FETCH FIRST 1 ROWS ONLY",
        "SHOW WARNINGS /*!50701 LIMIT 1 */",
        "SHOW COUNT (*) WARNINGS",
        "SHOW COUNT/**/(*) WARNINGS",
        "SHOW COUNT(1) WARNINGS",
        "SHOW COUNT(*) WARNINGS LIMIT 1",
        "SHOW COUNT(*) TABLES",
        "GET STACKED DIAGNOSTICS @a = NUMBER",
        "GET DIAGNOSTICS",
        "GET DIAGNOSTICS a = NUMBER",
        "GET DIAGNOSTICS @ = NUMBER",
        "GET DIAGNOSTICS @@a = NUMBER",
        "GET DIAGNOSTICS @a := NUMBER",
        "GET DIAGNOSTICS @a = `NUMBER`",
        "GET DIAGNOSTICS @a = NUMBER,",
        "GET DIAGNOSTICS @a = MYSQL_ERRNO",
        "GET DIAGNOSTICS CONDITION 1",
        "GET DIAGNOSTICS CONDITION @a = MYSQL_ERRNO",
        "GET DIAGNOSTICS CONDITION -1 @a = MYSQL_ERRNO",
        "GET DIAGNOSTICS CONDITION 1 + 0 @a = MYSQL_ERRNO",
        "GET DIAGNOSTICS CONDITION n @a = MYSQL_ERRNO",
        "GET DIAGNOSTICS CONDITION @@ @a = MYSQL_ERRNO",
        "GET DIAGNOSTICS CONDITION 1 @a = NUMBER",
    ] {
        assert_eq!(read(sql), None, "{sql}");
    }
    let gbk = SqlMode { charset: Charset::Gbk, ..SqlMode::default() };
    assert!(diagnostics(b"GET DIAGNOSTICS @`\xBF\\` = NUMBER", gbk).is_some());
}
