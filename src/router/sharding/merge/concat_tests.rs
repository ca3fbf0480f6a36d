//! Texts of two shards as one.

use std::rc::Rc;

use super::*;
use crate::protocol::column_definition::{BINARY, column_flag, column_type as kinds};
use crate::protocol::row::RowWriter;
use crate::router::sharding::{Aggregate, Budget, Column, Compared, Merge, Merger, OrderKey, Rows};

fn definition(name: &'static str, kind: u8) -> ColumnDefinition<'static> {
    ColumnDefinition {
        character_set: if kind == kinds::VAR_STRING { 255 } else { BINARY },
        length: 1024,
        flags: if kind == kinds::LONGLONG { column_flag::UNSIGNED } else { 0 },
        ..ColumnDefinition::of_no_table(name.as_bytes(), kind)
    }
}

fn row(values: &[Option<&str>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = RowWriter::new(RowEncoding::Text, values.len(), &mut out);
    for value in values {
        writer.value(kinds::VAR_STRING, value.map(str::as_bytes)).unwrap();
    }
    out
}

/// The columns: the text of a shard, what stands between, group_concat_max_len, the length, the text of a row, how often it
/// is there, and a number to order by.
fn concatenated(concat: Concat, shards: &[&[[Option<&str>; 7]]]) -> Result<Option<String>, MergeError> {
    let text = |name| definition(name, kinds::VAR_STRING);
    let number = |name| definition(name, kinds::LONGLONG);
    let columns = [
        text("all"),
        text("separator"),
        number("max"),
        number("length"),
        text("row"),
        number("count"),
        number("n"),
    ];
    let columns: Vec<_> = columns.iter().map(ColumnDefinition::encode).collect();
    let rows = Rows::One { aggregates: vec![(0, Aggregate::Concat(Rc::new(concat)))] };
    let merge = Merge { hidden: 6, rows, order: Vec::new(), limit: None };
    let budget = Budget { max_rows: 100, max_bytes: 100_000 };
    let mut merger = Merger::new(merge, RowEncoding::Text, None, budget);
    for (shard, rows) in shards.iter().enumerate() {
        merger.columns(shard, &columns)?;
        for values in *rows {
            let _ = merger.row(&row(values))?;
        }
    }
    let mut merged = merger.finish()?;
    let mut out = Vec::new();
    assert!(merged.rows.next_into(&mut out)?);
    Ok(match out.first() {
        Some(0xFB) => None,
        _ => Some(String::from_utf8(out[1..].to_vec()).unwrap()),
    })
}

const SEPARATOR: Column = Column::Hidden(0);

fn plain() -> Concat {
    Concat {
        separator: Some(SEPARATOR),
        max_len: Column::Hidden(1),
        length: Column::Hidden(2),
        row: None,
        order: Vec::new(),
        distinct: Vec::new(),
    }
}

fn of_shard<'a>(text: Option<&'a str>, length: &'a str) -> [Option<&'a str>; 7] {
    [text, Some("; "), Some("20"), Some(length), None, None, None]
}

fn of_row<'a>(text: &'a str, count: &'a str, n: &'a str) -> [Option<&'a str>; 7] {
    [Some("x"), Some("-"), Some("12"), Some("1"), Some(text), Some(count), Some(n)]
}

#[test]
fn texts_of_shards_stand_behind_each_other() {
    let concat = |shards: &[&[_]]| concatenated(plain(), shards);
    let (a, b) = (of_shard(Some("a; b"), "4"), of_shard(Some("c"), "1"));
    let none = of_shard(None, "0");
    assert_eq!(concat(&[&[a], &[none], &[b]]), Ok(Some("a; b; c".to_owned())));
    assert_eq!(concat(&[&[none], &[none]]), Ok(None));
    assert_eq!(concat(&[]), Err(MergeError::NoColumns));
    let comma = Concat { separator: None, ..plain() };
    assert_eq!(concatenated(comma, &[&[a], &[b]]), Ok(Some("a; b,c".to_owned())));
}

#[test]
fn what_a_server_would_cut_off_is_refused() {
    let too_long = Err(MergeError::ConcatTooLong { column: "all".to_owned(), max: 20 });
    let (ten, eight) = ("0123456789", "01234567");
    let [ten, eight] = [of_shard(Some(ten), "10"), of_shard(Some(eight), "8")];
    assert_eq!(concatenated(plain(), &[&[ten], &[ten]]), too_long);
    assert_eq!(concatenated(plain(), &[&[ten], &[eight]]), Ok(Some("0123456789; 01234567".to_owned())));
    // A shard that has cut its text off has a part of the result, unless it has all of it.
    let cut = of_shard(Some("012345678901234567"), "18");
    assert_eq!(
        concatenated(plain(), &[&[cut], &[of_shard(None, "0")]]),
        Ok(Some("012345678901234567".to_owned()))
    );
    assert_eq!(concatenated(plain(), &[&[cut], &[of_shard(Some(""), "0")]]), too_long);
    // In the server's character set the texts have another length, and so may have what stands between.
    let (wide, other) = (of_shard(Some("abc"), "6"), of_shard(Some("abcd"), "8"));
    assert_eq!(concatenated(plain(), &[&[wide], &[other]]), too_long);
}

#[test]
fn rows_have_their_order_and_are_there_as_often_as_they_are() {
    let n = Compared { value: Column::Hidden(5), weight: Column::Hidden(5) };
    let concat = Concat {
        row: Some((Column::Hidden(3), Column::Hidden(4))),
        order: vec![OrderKey { by: n, descending: true }],
        ..plain()
    };
    let shards: [&[_]; 2] = [&[of_row("a", "1", "1"), of_row("c", "2", "3")], &[of_row("b", "1", "2")]];
    assert_eq!(concatenated(concat.clone(), &shards), Ok(Some("c-c-b-a".to_owned())));
    let long: [&[_]; 2] = [&[of_row("c", "5", "3")], &[of_row("b", "2", "2")]];
    assert!(matches!(concatenated(concat.clone(), &long), Err(MergeError::ConcatTooLong { .. })));
    let distinct = Concat { distinct: vec![n], ..concat };
    let shards: [&[_]; 2] = [&[of_row("a", "9", "1"), of_row("c", "1", "3")], &[of_row("a", "9", "1")]];
    assert_eq!(concatenated(distinct, &shards), Ok(Some("c-a".to_owned())));
}
