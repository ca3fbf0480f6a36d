//! Packets made by hand, and random rows in random parts against what one server would do with all of them.

use std::cmp::Ordering;

use super::{Budget, Flow, MergeError, Merging, Step, Window};
use crate::protocol::column_definition::{BINARY, ColumnDefinition, column_flag, column_type as kinds};
use crate::protocol::packet::{PacketReader, write_packet};
use crate::protocol::row::{RowEncoding, RowWriter};
use crate::router::sharding::{Aggregate, Column, Compared, Merge, OrderKey, Rows};

pub(super) const PLENTY: Budget = Budget { max_rows: 100_000, max_bytes: 100_000_000 };
pub(super) const ENCODINGS: [RowEncoding; 2] = [RowEncoding::Text, RowEncoding::Binary];
pub(super) const UTF8: u16 = 255;

pub(super) fn definition<'a>(name: &'a str, kind: u8) -> ColumnDefinition<'a> {
    let is_text = matches!(kind, kinds::STRING | kinds::VAR_STRING | kinds::BLOB);
    ColumnDefinition {
        schema: b"db",
        table: b"t",
        org_table: b"t_0",
        org_name: name.as_bytes(),
        character_set: if is_text { UTF8 } else { BINARY },
        length: 20,
        ..ColumnDefinition::of_no_table(name.as_bytes(), kind)
    }
}

/// A value as a query gives it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    /// BIGINT UNSIGNED.
    Unsigned(u64),
    /// The number times ten to so many.
    Decimal(i128, u32),
    Double(f64),
    Text(String),
    /// Day of January 2024, second of the day.
    Moment(u8, u32),
}

use Value::{Decimal, Double, Integer, Moment, Null, Text, Unsigned};

impl Value {
    pub(super) fn bytes(&self, encoding: RowEncoding) -> Option<Vec<u8>> {
        let is_text = encoding == RowEncoding::Text;
        Some(match self {
            Null => return None,
            Integer(number) if is_text => number.to_string().into_bytes(),
            Integer(number) => number.to_le_bytes().to_vec(),
            Unsigned(number) if is_text => number.to_string().into_bytes(),
            Unsigned(number) => number.to_le_bytes().to_vec(),
            Decimal(number, scale) => {
                let sign = if *number < 0 { "-" } else { "" };
                let power = 10i128.pow(*scale);
                let (whole, fraction) = (number.abs() / power, number.abs() % power);
                format!("{sign}{whole}.{fraction:00$}", *scale as usize).into_bytes()
            }
            Double(number) if is_text => number.to_string().into_bytes(),
            Double(number) => number.to_le_bytes().to_vec(),
            Text(text) => text.clone().into_bytes(),
            Moment(day, second) => {
                let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
                if is_text {
                    format!("2024-01-{day:02} {hours:02}:{minutes:02}:{seconds:02}").into_bytes()
                } else if *second == 0 {
                    vec![0xE8, 7, 1, *day]
                } else {
                    vec![0xE8, 7, 1, *day, hours as u8, minutes as u8, seconds as u8]
                }
            }
        })
    }

    pub(super) fn weight(&self) -> Value {
        match self {
            Text(text) => Text(text.to_uppercase()),
            _ => Null,
        }
    }

    pub(super) fn compare(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Null, Null) => Ordering::Equal,
            (Null, _) => Ordering::Less,
            (_, Null) => Ordering::Greater,
            (Integer(a), Integer(b)) => a.cmp(b),
            (Unsigned(a), Unsigned(b)) => a.cmp(b),
            (Decimal(a, 2), Decimal(b, 2)) => a.cmp(b),
            (Double(a), Double(b)) => a.partial_cmp(b).expect("numbers"),
            (Text(a), Text(b)) => a.to_uppercase().cmp(&b.to_uppercase()),
            (Moment(a, b), Moment(c, d)) => (a, b).cmp(&(c, d)),
            _ => panic!("{self:?} and {other:?}"),
        }
    }
}

pub(super) fn encode(encoding: RowEncoding, types: &[u8], row: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = RowWriter::new(encoding, row.len(), &mut out);
    for (kind, value) in types.iter().zip(row) {
        writer.value(*kind, value.bytes(encoding).as_deref()).expect("it fits");
    }
    out
}

pub(super) fn payloads(columns: &[ColumnDefinition<'_>]) -> Vec<Vec<u8>> {
    columns.iter().map(ColumnDefinition::encode).collect()
}

/// Either way to a result, row by row.
pub(super) struct Merger(Merging<Vec<u8>>);

pub(super) struct Merged {
    pub(super) columns: Vec<Vec<u8>>,
    rows: Vec<Vec<u8>>,
}

impl Merger {
    pub(super) fn new(merge: Merge, encoding: RowEncoding, window: Option<Window>, budget: Budget) -> Self {
        let mut merging = Merging::new(merge, encoding, window, budget);
        if let Merging::Rows(stream) = &mut merging {
            (0..6).for_each(|lane| assert_eq!(stream.begin(), lane));
        }
        Self(merging)
    }

    pub(super) fn columns(&mut self, shard: usize, definitions: &[Vec<u8>]) -> Result<(), MergeError> {
        match &mut self.0 {
            Merging::Groups(merger) => merger.columns(shard, definitions),
            Merging::Rows(stream) => stream.columns(shard, shard, definitions),
        }
    }

    pub(super) fn row(&mut self, shard: usize, row: &[u8]) -> Result<Flow, MergeError> {
        match &mut self.0 {
            Merging::Groups(merger) => merger.row(row),
            Merging::Rows(stream) => {
                let mut packet = Vec::new();
                write_packet(&mut packet, 77, row);
                stream.push(shard, packet, 1, true)
            }
        }
    }

    pub(super) fn finish(self) -> Result<Merged, MergeError> {
        match self.0 {
            Merging::Groups(merger) => {
                let merged = merger.finish()?;
                let (mut left, mut payload, mut rows) = (merged.rows, b"old".to_vec(), Vec::new());
                while left.next_into(&mut payload)? {
                    rows.push(payload.clone());
                }
                assert!(payload.is_empty());
                assert_eq!(left.next_into(&mut payload), Ok(false));
                Ok(Merged { columns: merged.columns, rows })
            }
            Merging::Rows(mut stream) => {
                stream.all_begun();
                (0..6).for_each(|lane| stream.end(lane));
                let columns = stream.head()?.expect("all are there");
                let mut wire = Vec::new();
                stream.set_seq(9);
                loop {
                    let mut out = Vec::new();
                    let step = stream.step(&mut out)?;
                    wire.extend(out);
                    match step {
                        Step::Chunk(chunk) => wire.extend(chunk),
                        Step::Full => {}
                        Step::End => break,
                        Step::Wait => panic!("all are there"),
                    }
                }
                let (mut reader, mut rest, mut rows) =
                    (PacketReader::new(9, usize::MAX), &wire[..], Vec::new());
                while let Some(packet) = reader.feed(&mut rest).expect("numbered") {
                    rows.push(packet.payload);
                }
                assert!(rest.is_empty() && stream.passed() == rows.len() as u64);
                Ok(Merged { columns, rows })
            }
        }
    }
}

pub(super) fn drain(merged: Merged) -> Vec<Vec<u8>> {
    merged.rows
}

/// Of values in text: what becomes of the shards' rows.
pub(super) fn merge_texts(
    merge: Merge,
    columns: &[ColumnDefinition<'_>],
    shards: &[&[&[Option<&str>]]],
) -> Result<Vec<Vec<u8>>, MergeError> {
    let mut merger = Merger::new(merge, RowEncoding::Text, None, PLENTY);
    for (shard, rows) in shards.iter().enumerate() {
        merger.columns(shard, &payloads(columns))?;
        for row in *rows {
            let _ = merger.row(shard, &text_row(row))?;
        }
    }
    Ok(drain(merger.finish()?))
}

pub(super) fn text_row(row: &[Option<&str>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = RowWriter::new(RowEncoding::Text, row.len(), &mut out);
    for value in row {
        writer.value(kinds::STRING, value.map(str::as_bytes)).expect("it fits");
    }
    out
}

pub(super) const fn plain(column: usize) -> Compared {
    Compared { value: Column::Visible(column), weight: Column::Visible(column) }
}

pub(super) const fn weighed(column: usize, hidden: usize) -> Compared {
    Compared { value: Column::Visible(column), weight: Column::Hidden(hidden) }
}

pub(super) fn each(order: Vec<OrderKey>) -> Merge {
    Merge { hidden: 0, rows: Rows::Each, order, limit: None }
}

pub(super) fn one(hidden: usize, aggregates: Vec<(usize, Aggregate)>) -> Merge {
    Merge { hidden, rows: Rows::One { aggregates }, order: Vec::new(), limit: None }
}

pub(super) fn distinct(by: Vec<Compared>) -> Merge {
    let rows = Rows::Grouped { by, aggregates: Vec::new() };
    Merge { hidden: 0, rows, order: Vec::new(), limit: None }
}

pub(super) fn by(column: usize, descending: bool) -> Vec<OrderKey> {
    vec![OrderKey { by: plain(column), descending }]
}

/// Numbers below a bound, the same ones for the same seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % bound
    }

    pub(super) fn or_null(&mut self, value: Value) -> Value {
        if self.below(6) == 0 { Null } else { value }
    }

    pub(super) fn text(&mut self) -> Value {
        let text = ["", "a", "A", "b", "ab", "aB", "Z", "\0", "b\0"][self.below(9)];
        self.or_null(Text(text.to_owned()))
    }

    pub(super) fn row(&mut self) -> Vec<Value> {
        let integer = Integer(self.below(7) as i64 - 3);
        let decimal = Decimal(self.below(2000) as i128 - 1000, 2);
        let double = Double(self.below(100) as f64 / 4.0 - 12.0);
        let moment = Moment(1 + self.below(3) as u8, self.below(3) as u32 * 40_000);
        let bits = Unsigned(self.below(1 << 20) as u64 | 1 << 63);
        let all = [integer, decimal, double, moment];
        let mut row = vec![self.text()];
        row.extend(all.map(|value| self.or_null(value)));
        row.extend([self.text(), bits]);
        row
    }

    /// Some rows in some parts.
    pub(super) fn parts(&mut self) -> Vec<Vec<Vec<Value>>> {
        let mut parts = vec![Vec::new(); 1 + self.below(5)];
        for _ in 0..self.below(60) {
            let part = self.below(parts.len());
            parts[part].push(self.row());
        }
        parts
    }

    pub(super) fn window(&mut self) -> Option<Window> {
        let window = Window { offset: self.below(5) as u64, count: self.below(20) as u64 };
        [None, Some(window), Some(Window { offset: 0, ..window })][self.below(3)]
    }
}

pub(super) fn within(window: Option<Window>, rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    let Window { offset, count } = window.unwrap_or(Window { offset: 0, count: u64::MAX });
    rows.into_iter().skip(offset as usize).take(usize::try_from(count).unwrap_or(usize::MAX)).collect()
}

/// The columns of [`Random::row`].
pub(super) fn table() -> Vec<ColumnDefinition<'static>> {
    let bits = ColumnDefinition { flags: column_flag::UNSIGNED, ..definition("bits", kinds::LONGLONG) };
    vec![
        definition("s", kinds::VAR_STRING),
        definition("a", kinds::LONGLONG),
        ColumnDefinition { decimals: 2, ..definition("d", kinds::NEWDECIMAL) },
        ColumnDefinition { decimals: 31, ..definition("f", kinds::DOUBLE) },
        definition("t", kinds::DATETIME),
        definition("s2", kinds::VAR_STRING),
        bits,
    ]
}

pub(super) fn types(columns: &[ColumnDefinition<'_>]) -> Vec<u8> {
    columns.iter().map(|column| column.kind).collect()
}

pub(super) fn weight(name: &str) -> ColumnDefinition<'_> {
    ColumnDefinition { character_set: BINARY, ..definition(name, kinds::VAR_STRING) }
}

#[test]
fn sorted_runs_become_what_one_sort_of_all_is() {
    let mut columns = table();
    let visible = columns.len();
    columns.extend([weight("w"), weight("w2")]);
    let types = types(&columns);
    for round in 0..600u64 {
        let random = &mut Random(round);
        let encoding = ENCODINGS[random.below(2)];
        let keys: Vec<(usize, bool)> =
            (0..1 + random.below(3)).map(|_| (random.below(visible), random.below(2) == 0)).collect();
        let order = |a: &Vec<Value>, b: &Vec<Value>| {
            let each = keys.iter().map(|(column, descending)| {
                let order = a[*column].compare(&b[*column]);
                if *descending { order.reverse() } else { order }
            });
            each.fold(Ordering::Equal, Ordering::then)
        };
        let mut parts = random.parts();
        parts.iter_mut().for_each(|part| part.sort_by(order));
        let mut all = parts.concat();
        all.sort_by(order);
        let window = random.window();
        let expected: Vec<_> = within(window, all).iter().map(|row| encode(encoding, &types, row)).collect();

        let order = keys.iter().map(|(column, descending)| OrderKey {
            by: match column {
                0 => weighed(0, 0),
                5 => weighed(5, 1),
                column => plain(*column),
            },
            descending: *descending,
        });
        let merge = Merge { hidden: 2, rows: Rows::Each, order: order.collect(), limit: None };
        let mut merger = Merger::new(merge, encoding, window, PLENTY);
        for shard in 0..parts.len() {
            merger.columns(shard, &payloads(&columns)).expect("alike");
        }
        let mut waiting: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
        while waiting.iter().any(|part| part.len() > 0) {
            let shard = random.below(waiting.len());
            if let Some(mut row) = waiting[shard].next() {
                row.extend([row[0].weight(), row[5].weight()]);
                let _ = merger.row(shard, &encode(encoding, &types, &row)).expect("a row");
            }
        }
        let merged = merger.finish().expect("merged");
        assert_eq!(merged.columns, payloads(&columns[..visible]));
        assert_eq!(drain(merged), expected, "round {round}");
    }
}

#[test]
fn rows_without_an_order_come_as_they_are() {
    let columns = [definition("a", kinds::LONG)];
    let row = |text| text_row(&[Some(text)]);
    let mut merger = Merger::new(each(Vec::new()), RowEncoding::Text, None, PLENTY);
    for shard in [1, 0] {
        merger.columns(shard, &payloads(&columns)).expect("alike");
    }
    for (shard, text) in [(1, "3"), (0, "1"), (1, "4"), (0, "2")] {
        assert_eq!(merger.row(shard, &row(text)), Ok(Flow::More));
    }
    let mut rows = drain(merger.finish().expect("merged"));
    let place = |text| rows.iter().position(|known| *known == row(text));
    assert!(place("1") < place("2") && place("3") < place("4"));
    rows.sort();
    assert_eq!(rows, ["1", "2", "3", "4"].map(row));
}

#[test]
fn a_limit_without_an_order_is_enough_at_some_time() {
    let columns = [definition("a", kinds::LONG)];
    let row = |text| text_row(&[Some(text)]);
    let window = Some(Window { offset: 1, count: 2 });
    for merge in [each(Vec::new()), distinct(vec![plain(0)])] {
        let mut merger = Merger::new(merge, RowEncoding::Text, window, PLENTY);
        (0..2).for_each(|shard| merger.columns(shard, &payloads(&columns)).expect("columns"));
        assert_eq!(merger.row(0, &row("1")), Ok(Flow::More));
        assert_eq!(merger.row(1, &row("2")), Ok(Flow::More));
        assert_eq!(merger.row(0, &row("3")), Ok(Flow::Enough));
        assert_eq!(merger.row(1, &row("4")), Ok(Flow::Enough));
        assert_eq!(drain(merger.finish().expect("merged")).len(), 2);
    }
    let none = Some(Window { offset: 5, count: 0 });
    let mut merger = Merger::new(each(by(0, false)), RowEncoding::Text, none, PLENTY);
    merger.columns(0, &payloads(&columns)).expect("columns");
    assert_eq!(merger.row(0, &row("1")), Ok(Flow::Enough));
    assert!(drain(merger.finish().expect("merged")).is_empty());
}

#[test]
fn distinct_rows_are_those_that_differ_in_value() {
    let columns = [ColumnDefinition { decimals: 2, ..definition("d", kinds::NEWDECIMAL) }];
    let shards: [&[&[Option<&str>]]; 2] =
        [&[&[Some("1.50")], &[None]], &[&[Some("1.5")], &[None], &[Some("-0.00")], &[Some("0")]]];
    let rows = merge_texts(distinct(vec![plain(0)]), &columns, &shards).expect("merged");
    assert_eq!(rows, [Some("1.50"), None, Some("-0.00")].map(|value| text_row(&[value])));
}

#[test]
fn a_text_without_a_weight_goes_by_its_bytes() {
    let columns = [definition("s", kinds::VAR_STRING), weight("w")];
    let merge = Merge {
        hidden: 1,
        rows: Rows::Each,
        order: vec![OrderKey { by: weighed(0, 0), descending: false }],
        limit: None,
    };
    let shards: [&[&[Option<&str>]]; 2] =
        [&[&[Some("B"), None], &[Some("b"), None]], &[&[None, None], &[Some("a"), None]]];
    let rows = merge_texts(merge, &columns, &shards).expect("merged");
    assert_eq!(rows, [None, Some("B"), Some("a"), Some("b")].map(|value| text_row(&[value])));
}

#[test]
fn no_more_is_held_than_may_be() {
    let columns = [definition("a", kinds::LONG)];
    let small = [(2, 1_000_000, "max_merge_rows"), (1_000_000, 600, "max_merge_bytes")];
    for (max_rows, max_bytes, name) in small {
        for merge in [each(by(0, false)), distinct(vec![plain(0)])] {
            let budget = Budget { max_rows, max_bytes };
            let mut merger = Merger::new(merge, RowEncoding::Text, None, budget);
            merger.columns(0, &payloads(&columns)).expect("columns");
            let mut rows = (100..200).map(|number: i32| text_row(&[Some(&number.to_string())]));
            let error = rows.find_map(|row| merger.row(0, &row).err());
            match error {
                Some(MergeError::TooMuch { setting, .. }) => assert!(setting.ends_with(name), "{setting}"),
                other => panic!("{other:?}"),
            }
        }
    }
    let budget = Budget { max_rows: 1, max_bytes: 1000 };
    let mut merger = Merger::new(distinct(vec![plain(0)]), RowEncoding::Text, None, budget);
    merger.columns(0, &payloads(&columns)).expect("columns");
    for _ in 0..1000 {
        assert_eq!(merger.row(0, &text_row(&[Some("1")])), Ok(Flow::More));
    }
}

#[test]
fn shards_must_agree_about_their_columns() {
    let long = ColumnDefinition { flags: column_flag::NOT_NULL, ..definition("id", kinds::LONG) };
    let decimal = ColumnDefinition { decimals: 2, ..definition("d", kinds::NEWDECIMAL) };
    let agree = |other: &[ColumnDefinition<'_>]| {
        let mut merger = Merger::new(each(Vec::new()), RowEncoding::Text, None, PLENTY);
        merger.columns(3, &payloads(&[long, decimal]))?;
        merger.columns(5, &payloads(other))?;
        Ok::<_, MergeError>(merger.finish()?.columns)
    };
    let wider = ColumnDefinition { length: 30, decimals: 4, flags: column_flag::NOT_NULL, ..decimal };
    let nullable = ColumnDefinition { flags: 0, org_table: b"t_5", ..long };
    let expected = [ColumnDefinition { flags: 0, ..long }, ColumnDefinition { flags: 0, ..wider }];
    assert_eq!(agree(&[nullable, wider]), Ok(payloads(&expected)));

    let text = |other: &[ColumnDefinition<'_>]| agree(other).expect_err("they differ").to_string();
    assert_eq!(text(&[long]), "shard 3 has 2 columns here and shard 5 has 1: make their tables alike");
    let unsigned = ColumnDefinition { flags: column_flag::UNSIGNED, ..long };
    let expected = "column `id` is INT on shard 3 and INT UNSIGNED on shard 5: make their tables alike";
    assert_eq!(text(&[unsigned, decimal]), expected);
    let expected =
        "column `d` is DECIMAL on shard 3 and VARCHAR with collation 255 on shard 5: make their tables alike";
    assert_eq!(text(&[long, definition("d", kinds::VAR_STRING)]), expected);
}

#[test]
fn what_rows_do_not_tell_is_refused_with_advice() {
    let enumerated = ColumnDefinition { flags: column_flag::ENUM, ..definition("e", kinds::STRING) };
    let set = ColumnDefinition { flags: column_flag::SET, ..enumerated };
    let (json, place) = (definition("e", kinds::JSON), definition("e", kinds::GEOMETRY));
    let cases =
        [(enumerated, "`e` + 0"), (set, "`e` + 0"), (json, "CAST(`e` AS CHAR)"), (place, "ST_AsBinary(`e`)")];
    for (column, advice) in cases {
        let min = vec![(0, Aggregate::Min { weight: Column::Visible(0) })];
        for merge in [each(by(0, true)), distinct(vec![plain(0)]), one(0, min)] {
            // Texts of an ENUM are told apart, if only their order is not known.
            let is_told = column.flags != 0 && matches!(merge.rows, Rows::Grouped { .. });
            let mut merger = Merger::new(merge, RowEncoding::Text, None, PLENTY);
            if is_told {
                assert_eq!(merger.columns(0, &payloads(&[column])), Ok(()));
                continue;
            }
            let error = merger.columns(0, &payloads(&[column])).expect_err("refused").to_string();
            assert!(error.contains(advice), "{error}");
        }
        let mut merger = Merger::new(each(Vec::new()), RowEncoding::Text, None, PLENTY);
        assert_eq!(merger.columns(0, &payloads(&[column])), Ok(()));
    }
}

#[test]
fn plans_and_replies_that_make_no_sense_are_errors() {
    let columns = payloads(&[definition("a", kinds::LONG), definition("s", kinds::VAR_STRING)]);
    let hidden = |column| Merge {
        hidden: 1,
        rows: Rows::Each,
        order: vec![OrderKey { by: weighed(0, column), descending: false }],
        limit: None,
    };
    let sum = one(0, vec![(1, Aggregate::Sum)]);
    let bits = one(0, vec![(1, Aggregate::BitOr)]);
    for merge in [each(by(2, false)), hidden(1), one(0, vec![(2, Aggregate::Count)]), sum, bits] {
        let mut merger = Merger::new(merge, RowEncoding::Text, None, PLENTY);
        assert!(merger.columns(0, &columns).is_err());
    }
    let mut merger = Merger::new(hidden(0), RowEncoding::Text, None, PLENTY);
    assert_eq!(merger.row(0, b"\x011\x01a"), Err(MergeError::NoColumns));
    merger.columns(0, &columns).expect("columns");
    assert_eq!(merger.row(0, b"\x011\x05a"), Ok(Flow::More));
    assert!(matches!(merger.finish().err(), Some(MergeError::Malformed(_))));
}

#[test]
fn random_bytes_never_panic() {
    let all = [
        kinds::TINY,
        kinds::LONGLONG,
        kinds::NEWDECIMAL,
        kinds::FLOAT,
        kinds::DOUBLE,
        kinds::DATE,
        kinds::DATETIME,
        kinds::TIME,
        kinds::YEAR,
        kinds::BIT,
        kinds::VAR_STRING,
        kinds::BLOB,
    ];
    let mut understood = 0;
    for round in 0..40_000u64 {
        let random = &mut Random(round);
        let kind = all[random.below(all.len())];
        let columns = payloads(&[definition("a", kind)]);
        let encoding = ENCODINGS[random.below(2)];
        let aggregates = [
            Aggregate::Count,
            Aggregate::Sum,
            Aggregate::Max { weight: Column::Visible(0) },
            Aggregate::Avg { sum: Column::Visible(0), count: Column::Visible(0) },
            Aggregate::BitXor,
        ];
        let merge = match random.below(3) {
            0 => each(by(0, true)),
            1 => distinct(vec![plain(0)]),
            _ => one(0, vec![(0, aggregates[random.below(aggregates.len())].clone())]),
        };
        let mut merger = Merger::new(merge, encoding, None, PLENTY);
        if (0..2).any(|shard| merger.columns(shard, &columns).is_err()) {
            continue;
        }
        for shard in 0..2 {
            let len = random.below(14);
            let digits = random.below(2) == 0;
            let byte = |random: &mut Random| match digits {
                true => b"0123456789-.:e"[random.below(14)],
                false => random.below(256) as u8,
            };
            let mut row: Vec<u8> = (0..len).map(|_| byte(random)).collect();
            match encoding {
                RowEncoding::Text => row.insert(0, len as u8),
                RowEncoding::Binary if random.below(2) == 0 => drop(row.splice(0..0, [0, 0])),
                RowEncoding::Binary => drop(row.splice(0..0, [0, 0, len as u8])),
            }
            let _ = merger.row(shard, &row);
        }
        let Ok(merged) = merger.finish() else { continue };
        understood += merged.rows.len();
    }
    assert!(understood > 1000, "{understood}");
}
