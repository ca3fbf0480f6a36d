//! Groups made by hand, the table of them, and rows of an answer.

use super::super::merger::Merged;
use super::*;
use crate::protocol::column_definition::{BINARY, column_type as kinds};
use crate::router::sharding::{Aggregate, Budget, Column, Compared, Merge, Merger, Rows};

const UTF8: u16 = 255;

fn definition(name: &'static str, kind: u8, length: u32, decimals: u8) -> ColumnDefinition<'static> {
    ColumnDefinition {
        character_set: if kind == kinds::VAR_STRING { UTF8 } else { BINARY },
        length,
        decimals,
        ..ColumnDefinition::of_no_table(name.as_bytes(), kind)
    }
}

fn payloads(columns: &[ColumnDefinition<'_>]) -> Vec<Vec<u8>> {
    columns.iter().map(ColumnDefinition::encode).collect()
}

fn row(values: &[Option<&str>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = RowWriter::new(RowEncoding::Text, values.len(), &mut out);
    for value in values {
        writer.value(kinds::VAR_STRING, value.map(str::as_bytes)).unwrap();
    }
    out
}

/// `SELECT v, SUM(d) / COUNT(d), AVG(d) + 0 ... GROUP BY v`: the groups are v, SUM(d), COUNT(d), AVG(d), COLLATION(v).
fn groups() -> Vec<ColumnDefinition<'static>> {
    vec![
        definition("v", kinds::VAR_STRING, 40, 0),
        definition("SUM(d)", kinds::NEWDECIMAL, 34, 2),
        definition("COUNT(d)", kinds::LONGLONG, 21, 0),
        definition("AVG(d)", kinds::NEWDECIMAL, 16, 6),
        definition("COLLATION(v)", kinds::VAR_STRING, 64, 0),
    ]
}

fn finisher(columns: &[ColumnDefinition<'_>], rows: &[Vec<u8>]) -> Finisher {
    let by = vec![Compared { value: Column::Visible(0), weight: Column::Visible(0) }];
    let aggregates = vec![(1, Aggregate::Sum), (2, Aggregate::Count)];
    let rows_of = Rows::Grouped { by, aggregates };
    let merge = Merge { hidden: 0, rows: rows_of, order: Vec::new(), limit: None };
    let budget = Budget { max_rows: 100, max_bytes: 100_000 };
    let mut merger = Merger::new(merge, RowEncoding::Text, None, budget);
    merger.columns(0, &payloads(columns)).unwrap();
    for row in rows {
        let _ = merger.row(row).unwrap();
    }
    let input = |column, collation, average| Input { column, collation, average };
    let finish = Finish {
        described: Vec::new(),
        query: Some(Vec::new()),
        items: vec![Origin::Group(0), Origin::Query, Origin::Average],
        inputs: vec![input(0, Some(4), None), input(1, None, None), input(3, None, Some((1, 2)))],
    };
    let whole = merger.finish().and_then(Merged::into_whole).unwrap();
    Finisher::new(Rc::new(finish), RowEncoding::Text, whole).unwrap()
}

/// The hexadecimal text in it as it reads.
fn table(finisher: &Finisher) -> Result<(String, String), MergeError> {
    let text = String::from_utf8(finisher.table(true)?).unwrap();
    let (_, rest) = text.split_once("x'").unwrap();
    let (hex, rest) = rest.split_once('\'').unwrap();
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let json = (0..hex.len()).step_by(2).map(byte).collect();
    Ok((String::from_utf8(json).unwrap(), rest.to_owned()))
}

fn two_groups() -> Vec<Vec<u8>> {
    let collation = Some("latin1_swedish_ci");
    vec![
        row(&[Some("é\"\\\n"), Some("10.00"), Some("3"), Some("3.333333"), collation]),
        row(&[None, None, Some("0"), None, collation]),
    ]
}

#[test]
fn groups_become_a_table_with_their_very_types() {
    let (json, rest) = table(&finisher(&groups(), &two_groups())).unwrap();
    assert_eq!(json, "[[\"é\\\"\\\\\\u000a\",\"10.00\",\"3.333333333\"],[null,null,null]]");
    let expected = " USING utf8mb4), '$[*]' COLUMNS (athena_row FOR ORDINALITY, \
        athena_0 VARCHAR(14) CHARACTER SET latin1 COLLATE latin1_swedish_ci PATH '$[0]' ERROR ON ERROR, \
        athena_1 DECIMAL(32,2) PATH '$[1]' ERROR ON ERROR, \
        athena_2 DECIMAL(65,9) PATH '$[2]' ERROR ON ERROR))";
    assert_eq!(rest, expected);
    let (json, rest) = table(&finisher(&groups(), &[])).unwrap();
    assert_eq!(json, "[]");
    assert!(rest.contains("athena_0 VARCHAR(14) PATH"), "{rest}");
}

#[test]
fn rows_are_made_of_groups_and_answers() {
    let mut finisher = finisher(&groups(), &two_groups());
    let described = [
        definition("v", kinds::VAR_STRING, 40, 0),
        definition("q", kinds::NEWDECIMAL, 40, 6),
        definition("a", kinds::NEWDECIMAL, 16, 6),
    ];
    let answer = [
        definition("v", kinds::VAR_STRING, 40, 0),
        definition("q", kinds::NEWDECIMAL, 40, 6),
        definition("a", kinds::NEWDECIMAL, 16, 9),
        definition("athena_row", kinds::LONGLONG, 10, 0),
    ];
    finisher.describe(payloads(&described)).unwrap();
    finisher.answer(&payloads(&answer)).unwrap();
    let mut out = Vec::new();
    finisher.row(&row(&[None, Some("3.333333"), Some("3.333333333"), Some("1")]), &mut out).unwrap();
    assert_eq!(out, row(&[Some("é\"\\\n"), Some("3.333333"), Some("3.333333")]));
    finisher.row(&row(&[None, None, None, Some("2")]), &mut out).unwrap();
    assert_eq!(out, row(&[None, None, None]));
    for number in ["0", "3", "x"] {
        let answered = row(&[None, None, None, Some(number)]);
        assert!(finisher.row(&answered, &mut out).is_err(), "{number}");
    }
}

#[test]
fn other_types_than_those_of_the_statement_are_refused() {
    let described = |kind, decimals| {
        [
            definition("v", kinds::VAR_STRING, 40, 0),
            definition("q", kind, 40, decimals),
            definition("a", kinds::DOUBLE, 16, 31),
        ]
    };
    let answer = |kind, decimals| {
        let [v, q, a] = described(kind, decimals);
        payloads(&[v, q, a, definition("athena_row", kinds::LONGLONG, 10, 0)])
    };
    let mut finisher = finisher(&groups(), &two_groups());
    finisher.describe(payloads(&described(kinds::NEWDECIMAL, 6))).unwrap();
    assert_eq!(finisher.answer(&answer(kinds::NEWDECIMAL, 6)), Ok(()));
    for (kind, decimals) in [(kinds::NEWDECIMAL, 9), (kinds::DOUBLE, 6), (kinds::VAR_STRING, 6)] {
        let answered = finisher.answer(&answer(kind, decimals));
        assert!(matches!(answered, Err(MergeError::OtherType { .. })), "{kind} {decimals}");
    }
    finisher.describe(payloads(&described(kinds::LONGLONG, 0))).unwrap();
    assert_eq!(finisher.answer(&answer(kinds::NEWDECIMAL, 0)), Ok(()));
    assert!(finisher.answer(&answer(kinds::NEWDECIMAL, 0)[1..]).is_err());
    assert!(finisher.describe(Vec::new()).is_err());
}

#[test]
fn values_that_a_table_would_not_have_are_refused() {
    let mut columns = groups();
    let with = |columns: &[ColumnDefinition<'_>], sum: &str| {
        let group = row(&[Some("a"), Some(sum), Some("1"), Some("1.000000"), Some("utf8mb4_bin")]);
        table(&finisher(columns, &[group]))
    };
    let too_large = format!("1{}.00", "0".repeat(30));
    assert!(matches!(with(&columns, &too_large), Err(MergeError::OutOfRange { .. })));
    for kind in [kinds::BIT, kinds::ENUM] {
        columns[0] = definition("v", kind, 40, 31);
        let refused =
            matches!(with(&columns, "1.00"), Err(MergeError::NotComputed { .. } | MergeError::Untold(_)));
        assert!(refused, "{kind}");
    }
    columns[0] = ColumnDefinition { character_set: BINARY, ..definition("v", kinds::VAR_STRING, 40, 0) };
    assert!(matches!(with(&columns, "1.00"), Err(MergeError::NotComputed { .. })));
    columns[0] = definition("v", kinds::VAR_STRING, 40, 0);
    let moment = finisher(&columns, &two_groups());
    assert!(matches!(moment.table(false), Err(MergeError::NotComputed { .. })), "not in UTF-8");
}
