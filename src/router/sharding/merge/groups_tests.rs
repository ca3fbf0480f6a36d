//! Groups and aggregates of several shards against those of all rows.

use std::cmp::Ordering;

use super::tests::Value::{Decimal, Double, Integer, Null, Unsigned};
use super::tests::*;
use super::{Budget, Flow, MergeError};
use crate::protocol::column_definition::{BINARY, ColumnDefinition, column_flag, column_type as kinds};
use crate::protocol::row::RowEncoding;
use crate::router::sharding::{Aggregate, Column, Compared, Merge, OrderKey, Rows};

/// The visible columns of [`summary`].
const SUMMARY_LEN: usize = 11;

fn summary_columns() -> Vec<ColumnDefinition<'static>> {
    let decimal = |name, decimals| ColumnDefinition { decimals, ..definition(name, kinds::NEWDECIMAL) };
    let double = |name| ColumnDefinition { decimals: 31, ..definition(name, kinds::DOUBLE) };
    let bits = |name| ColumnDefinition { flags: column_flag::UNSIGNED, ..definition(name, kinds::LONGLONG) };
    vec![
        definition("s", kinds::VAR_STRING),
        definition("a", kinds::LONGLONG),
        definition("count(*)", kinds::LONGLONG),
        decimal("sum(d)", 2),
        double("sum(f)"),
        definition("min(s2)", kinds::VAR_STRING),
        definition("max(t)", kinds::DATETIME),
        decimal("avg(d)", 6),
        double("avg(f)"),
        bits("bit_and(bits)"),
        bits("bit_xor(bits)"),
        weight("weight(s)"),
        weight("weight(min(s2))"),
        decimal("sum(d)", 2),
        definition("count(d)", kinds::LONGLONG),
        double("sum(f)"),
        definition("count(f)", kinds::LONGLONG),
    ]
}

fn summary_aggregates() -> Vec<(usize, Aggregate)> {
    use Column::Hidden;
    vec![
        (2, Aggregate::Count),
        (3, Aggregate::Sum),
        (4, Aggregate::Sum),
        (5, Aggregate::Min { weight: Hidden(1) }),
        (6, Aggregate::Max { weight: Column::Visible(6) }),
        (7, Aggregate::Avg { sum: Hidden(2), count: Hidden(3) }),
        (8, Aggregate::Avg { sum: Hidden(4), count: Hidden(5) }),
        (9, Aggregate::BitAnd),
        (10, Aggregate::BitXor),
    ]
}

/// What a server makes of the rows of one group.
fn summary(s: &Value, a: &Value, rows: &[&Vec<Value>]) -> Vec<Value> {
    let values = |column: usize| rows.iter().map(move |row| &row[column]).filter(|value| **value != Null);
    let integer = |value: &Value| match value {
        Decimal(number, _) => *number,
        other => panic!("{other:?}"),
    };
    let float = |value: &Value| match value {
        Double(number) => *number,
        other => panic!("{other:?}"),
    };
    let bits = |value: &Value| match value {
        Unsigned(number) => *number,
        other => panic!("{other:?}"),
    };
    let (count_d, count_f) = (values(2).count(), values(3).count());
    let sum_d: i128 = values(2).map(integer).sum();
    let sum_f: f64 = values(3).map(float).fold(0.0, |a, b| a + b);
    let count = count_d.max(1) as i128;
    let average = (sum_d.abs() * 10_000 * 2 + count) / (2 * count) * sum_d.signum();
    let min = values(5).fold(&Null, |min, value| match min {
        Null => value,
        min if value.compare(min) == Ordering::Less => value,
        min => min,
    });
    let max =
        values(4).fold(&Null, |max, value| if value.compare(max) == Ordering::Greater { value } else { max });
    let or_null = |count: usize, value: Value| if count > 0 { value } else { Null };
    vec![
        s.clone(),
        a.clone(),
        Integer(rows.len() as i64),
        or_null(count_d, Decimal(sum_d, 2)),
        or_null(count_f, Double(sum_f)),
        min.clone(),
        max.clone(),
        or_null(count_d, Decimal(average, 6)),
        or_null(count_f, Double(sum_f / count_f as f64)),
        Unsigned(values(6).map(bits).fold(u64::MAX, |a, b| a & b)),
        Unsigned(values(6).map(bits).fold(0, |a, b| a ^ b)),
        s.weight(),
        min.weight(),
        or_null(count_d, Decimal(sum_d, 2)),
        Integer(count_d as i64),
        or_null(count_f, Double(sum_f)),
        Integer(count_f as i64),
    ]
}

/// What a server makes of rows with `GROUP BY s, a`.
fn grouped(rows: &[Vec<Value>]) -> Vec<Vec<Value>> {
    let mut groups: Vec<Vec<&Vec<Value>>> = Vec::new();
    for row in rows {
        let is_like = |group: &&mut Vec<&Vec<Value>>| {
            (0..2).all(|column| group[0][column].compare(&row[column]) == Ordering::Equal)
        };
        match groups.iter_mut().find(is_like) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups.iter().map(|group| summary(&group[0][0], &group[0][1], group)).collect()
}

#[test]
fn groups_of_parts_become_the_groups_of_all() {
    let columns = summary_columns();
    let types = types(&columns);
    for round in 0..600u64 {
        let random = &mut Random(round);
        let encoding = ENCODINGS[random.below(2)];
        let parts = random.parts();
        let window = random.window();
        let mut all = grouped(&parts.concat());
        let is_sorted = random.below(2) == 0;
        let mut order = Vec::new();
        if is_sorted {
            all.sort_by(|a, b| a[5].compare(&b[5]).reverse().then(a[3].compare(&b[3])));
            order = vec![
                OrderKey { by: weighed(5, 1), descending: true },
                OrderKey { by: plain(3), descending: false },
            ];
        }
        let rows = Rows::Grouped { by: vec![weighed(0, 0), plain(1)], aggregates: summary_aggregates() };
        let merge = Merge { hidden: types.len() - SUMMARY_LEN, rows, order, limit: None };
        let mut merger = Merger::new(merge, encoding, window, PLENTY);
        for (shard, part) in parts.iter().enumerate() {
            merger.columns(shard, &payloads(&columns)).expect("alike");
            for row in grouped(part) {
                let _ = merger.row(shard, &encode(encoding, &types, &row)).expect("a row");
            }
        }
        let merged = merger.finish().expect("merged");
        assert_eq!(merged.columns, payloads(&columns[..SUMMARY_LEN]));
        let expected = within(window, all);
        let expected: Vec<_> =
            expected.iter().map(|row| encode(encoding, &types, &row[..SUMMARY_LEN])).collect();
        assert_eq!(drain(merged), expected, "round {round}");
    }
}

#[test]
fn aggregates_of_parts_become_those_of_all() {
    let columns = summary_columns();
    let types = types(&columns);
    for round in 0..600u64 {
        let random = &mut Random(round);
        let encoding = ENCODINGS[random.below(2)];
        let parts = random.parts();
        let summary = |rows: &[Vec<Value>]| summary(&Null, &Integer(7), &rows.iter().collect::<Vec<_>>());
        let merge = one(types.len() - SUMMARY_LEN, summary_aggregates());
        let mut merger = Merger::new(merge, encoding, None, PLENTY);
        for (shard, part) in parts.iter().enumerate() {
            merger.columns(shard, &payloads(&columns)).expect("alike");
            let row = encode(encoding, &types, &summary(part));
            assert_eq!(merger.row(shard, &row), Ok(Flow::More));
        }
        let expected = encode(encoding, &types, &summary(&parts.concat())[..SUMMARY_LEN]);
        assert_eq!(drain(merger.finish().expect("merged")), [expected], "round {round}");
    }
}

/// Columns of groups: a text with its weight, and an integer.
fn told_apart() -> (Vec<ColumnDefinition<'static>>, Vec<(usize, Aggregate)>) {
    let columns = vec![
        definition("COUNT(DISTINCT v)", kinds::LONGLONG),
        definition("SUM(DISTINCT n)", kinds::NEWDECIMAL),
        definition("COUNT(*)", kinds::LONGLONG),
        definition("v", kinds::VAR_STRING),
        ColumnDefinition { character_set: BINARY, ..definition("w", kinds::VAR_STRING) },
        definition("n", kinds::LONG),
    ];
    let [v, n] = [(0, 1), (2, 2)]
        .map(|(value, weight)| Compared { value: Column::Hidden(value), weight: Column::Hidden(weight) });
    let aggregates = vec![
        (0, Aggregate::CountDistinct { of: [v].into() }),
        (1, Aggregate::SumDistinct { of: n }),
        (2, Aggregate::Count),
    ];
    (columns, aggregates)
}

#[test]
fn values_of_several_shards_are_told_apart_once() {
    let (columns, aggregates) = told_apart();
    let one_of = |rows: &[&[Option<&str>]], others: &[&[Option<&str>]]| {
        merge_texts(one(3, aggregates.clone()), &columns, &[rows, others])
    };
    let (a, b) = (Some("a"), Some("b"));
    let [one, two, three, four, five] = ["1", "2", "3", "4", "5"].map(Some);
    let rows = one_of(
        &[
            &[one, three, two, a, a, three],
            &[one, three, one, b, b, three],
            &[None, four, one, None, None, four],
        ],
        &[&[one, four, five, Some("A"), a, four], &[one, None, one, b, b, None]],
    );
    assert_eq!(rows, Ok(vec![text_row(&[two, Some("7"), Some("10")])]));
    // Shards have no row where there is none to group, and the result has one.
    assert_eq!(one_of(&[], &[]), Ok(vec![text_row(&[Some("0"), None, Some("0")])]));
}

#[test]
fn what_is_told_apart_counts_as_held() {
    let (columns, aggregates) = told_apart();
    let budget = Budget { max_rows: 10, max_bytes: 20_000 };
    let mut merger = Merger::new(one(3, aggregates), RowEncoding::Text, None, budget);
    merger.columns(0, &payloads(&columns)).unwrap();
    let mut outcome = Ok(Flow::More);
    for number in 0..1000 {
        let number = number.to_string();
        let row = [Some("1"), Some("1"), Some("1"), Some(&number[..]), Some(&number[..]), Some("1")];
        outcome = merger.row(0, &text_row(&row));
        if outcome.is_err() {
            break;
        }
    }
    assert_eq!(outcome, Err(MergeError::too_many_bytes(20_000)));
}

#[test]
fn bit_strings_are_combined_byte_by_byte() {
    let columns = [weight("bits")];
    for (aggregate, expected) in
        [(Aggregate::BitAnd, "A\0"), (Aggregate::BitOr, "Cc"), (Aggregate::BitXor, "\u{2}c")]
    {
        let shards: [&[&[Option<&str>]]; 3] = [&[&[Some("C\0")]], &[&[None]], &[&[Some("Ac")]]];
        let rows = merge_texts(one(0, vec![(0, aggregate.clone())]), &columns, &shards);
        assert_eq!(rows, Ok(vec![text_row(&[Some(expected)])]));
        let shards: [&[&[Option<&str>]]; 2] = [&[&[Some("ab")]], &[&[Some("abc")]]];
        let rows = merge_texts(one(0, vec![(0, aggregate)]), &columns, &shards);
        assert_eq!(rows, Err(MergeError::BitLengths { column: "bits".to_owned() }));
    }
}

#[test]
fn sums_that_do_not_fit_are_errors() {
    let long = i64::MAX.to_string();
    let shards: [&[&[Option<&str>]]; 2] = [&[&[Some(&long)]], &[&[Some("1")]]];
    let columns = [definition("n", kinds::LONGLONG)];
    let rows = merge_texts(one(0, vec![(0, Aggregate::Count)]), &columns, &shards);
    assert!(matches!(rows, Err(MergeError::OutOfRange { .. })));
    let columns = [ColumnDefinition { decimals: 31, ..definition("f", kinds::DOUBLE) }];
    let shards: [&[&[Option<&str>]]; 2] = [&[&[Some("1.7e308")]], &[&[Some("1.7e308")]]];
    let rows = merge_texts(one(0, vec![(0, Aggregate::Sum)]), &columns, &shards);
    assert!(matches!(rows, Err(MergeError::OutOfRange { .. })));
}

#[test]
fn the_largest_values_of_a_group_count_as_held() {
    let columns = [weight("max")];
    let budget = Budget { max_rows: 10, max_bytes: 2000 };
    let max = vec![(0, Aggregate::Max { weight: Column::Visible(0) })];
    let mut merger = Merger::new(one(0, max), RowEncoding::Text, None, budget);
    merger.columns(0, &payloads(&columns)).expect("columns");
    for letter in ["a", "b", "c", "d", "e", "f"] {
        assert!(merger.row(0, &text_row(&[Some(&letter.repeat(400))])).is_ok());
    }
    let error = merger.row(0, &text_row(&[Some(&"g".repeat(2000))]));
    assert!(matches!(error, Err(MergeError::TooMuch { .. })));
}
