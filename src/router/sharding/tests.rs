//! Keys and shards: the published vectors, what each kind of value tells, and conditions against rows that they hold for.

use std::cmp::Ordering;

use bigdecimal::BigDecimal;

use super::*;
use crate::config::sharding::{Moment, Sharding, TablePattern, decimal};

const UTF8: Reading = Reading { utf8: true };
const OTHER: Reading = Reading { utf8: false };

fn rule(algorithm: Algorithm, key_type: KeyType, shards: u32) -> Rule {
    let tables = vec![TablePattern::Exact("users".to_owned())];
    Rule {
        name: "r".to_owned(),
        tables,
        column: "id".to_owned(),
        sequence: None,
        key_type,
        algorithm,
        shards,
    }
}

fn range(key_type: KeyType, boundaries: &[Value]) -> Rule {
    let keys: Vec<Key> =
        boundaries.iter().map(|value| stored(key_type, value, UTF8).expect("a boundary")).collect();
    let shards = u32::try_from(keys.len()).expect("few") + 1;
    rule(Algorithm::Range(keys), key_type, shards)
}

/// A literal as it is written, with a minus before it or none.
fn literal(text: &str) -> Value {
    match text.strip_prefix('-') {
        Some(number) => Value::of_literal(number.as_bytes(), true, true),
        None => Value::of_literal(text.as_bytes(), false, true),
    }
}

/// The shards of a condition whose parameters are these.
fn shards(rule: &Rule, condition: &Condition, values: &[Value]) -> ShardSet {
    let mut value = |operand: &Operand| match operand {
        Operand::Parameter(number) => Ok(values[*number as usize].clone()),
        _ => Ok(Value::Null),
    };
    evaluate(rule, condition, &mut value, UTF8)
}

fn bound(number: u32, inclusive: bool) -> Option<Bound> {
    Some(Bound { value: Operand::Parameter(number), inclusive })
}

fn list(set: ShardSet) -> Vec<u32> {
    set.iter().collect()
}

// --- Vectors -----------------------------------------------------------------------------------------------------

fn key_type(word: &str) -> KeyType {
    let all = [
        KeyType::Integer,
        KeyType::Text,
        KeyType::Binary,
        KeyType::Decimal,
        KeyType::Date,
        KeyType::DateTime,
    ];
    all.into_iter().find(|key_type| key_type.word() == word).unwrap_or_else(|| panic!("{word}"))
}

/// A boundary as the file has it: numbers, hexadecimal bytes and texts without quotes.
fn boundary(key_type: KeyType, text: &str) -> Value {
    match key_type {
        KeyType::Integer | KeyType::Decimal => literal(text),
        _ if text.starts_with("0x") => literal(text),
        _ => literal(&format!("'{text}'")),
    }
}

#[test]
fn rows_are_where_the_manual_says() {
    let manual = include_str!("../../../docs/SHARDING.md");
    let (_, table) = manual.split_once("| FNV-1a | shard |\n").expect("the table");
    let mut vectors = 0;
    for row in table.lines().filter(|line| !line.starts_with("|---")) {
        let cells: Vec<&str> = row.trim_matches(['|', ' ']).split(" | ").map(str::trim).collect();
        let [algorithm, kind, parameter, value, canonical, hash, shard] = cells[..] else { panic!("{row}") };
        let kind = key_type(kind);
        let parameter = parameter.trim_matches('`');
        let rule = match algorithm {
            "range" => {
                let list: Vec<Value> = parameter.split(", ").map(|text| boundary(kind, text)).collect();
                range(kind, &list)
            }
            "mod" => rule(Algorithm::Mod, kind, parameter.parse().expect("a count")),
            _ => rule(Algorithm::Hash, kind, parameter.parse().expect("a count")),
        };
        let value = literal(value.trim_matches('`'));
        let key = stored(kind, &value, UTF8).unwrap_or_else(|error| panic!("{row}: {error}"));
        let shard: u32 = shard.parse().expect("a shard");
        assert_eq!(place(&rule, &value, UTF8), Ok(shard), "{row}");
        assert_eq!(shard_of(&rule, &key), shard, "{row}");
        let found = shards(&rule, &Condition::Equals(Operand::Parameter(0)), &[value]);
        assert!(found.contains(shard), "{row}");
        match canonical {
            "(none)" => assert!(key.canonical().is_empty(), "{row}"),
            hex if hex.starts_with("x'") => {
                assert_eq!(literal(hex), Value::Binary(key.canonical().into_owned()), "{row}");
            }
            text => assert_eq!(text.trim_matches('`').as_bytes(), &*key.canonical(), "{row}"),
        }
        if !hash.is_empty() {
            assert_eq!(format!("{:016x}", hash_of(&key)), hash, "{row}");
        }
        vectors += 1;
    }
    assert!(vectors >= 60, "{vectors}");
}

// --- Values ------------------------------------------------------------------------------------------------------

/// What a comparison finds: a key's canonical text, nothing (`-`), or what can't be told (`?`).
fn finds(key_type: KeyType, value: &Value, reading: Reading) -> String {
    match compared(key_type, value, reading) {
        Ok(Some(key)) => String::from_utf8_lossy(&key.canonical()).into_owned(),
        Ok(None) => "-".to_owned(),
        Err(_) => "?".to_owned(),
    }
}

fn makes(key_type: KeyType, value: &Value, reading: Reading) -> String {
    match stored(key_type, value, reading) {
        Ok(key) => String::from_utf8_lossy(&key.canonical()).into_owned(),
        Err(_) => "?".to_owned(),
    }
}

#[test]
fn literals_tell_what_they_find_and_what_they_make() {
    use KeyType::{Binary, Date, DateTime, Decimal, Integer, Text};
    let cases = [
        (Integer, "7", "7", "7"),
        (Integer, "-7", "-7", "-7"),
        (Integer, "7.0", "7", "7"),
        (Integer, "7.5", "-", "?"),
        (Integer, "7e0", "7", "7"),
        (Integer, "7.5e0", "-", "?"),
        (Integer, "1e15", "1000000000000000", "1000000000000000"),
        (Integer, "9007199254740992e0", "?", "?"),
        (Integer, "1e300", "?", "?"),
        (Integer, "'7'", "7", "7"),
        (Integer, "'-07'", "-7", "-7"),
        (Integer, "'7.0'", "?", "?"),
        (Integer, "' 7'", "?", "?"),
        (Integer, "'7a'", "?", "?"),
        (Integer, "''", "?", "?"),
        (Integer, "'9007199254740993'", "?", "9007199254740993"),
        (Integer, "18446744073709551615", "18446744073709551615", "18446744073709551615"),
        (Integer, "18446744073709551616", "-", "?"),
        (Integer, "1000000000000000000000000000000000000000000000", "-", "?"),
        (Integer, "0x07", "?", "?"),
        (Integer, "'18446744073709551616'", "?", "?"),
        (Text, "'aB '", "ab", "ab"),
        (Text, "'\u{e9}'", "?", "?"),
        (Text, r"'a\nb'", "?", "?"),
        (Text, "7", "?", "7"),
        (Text, "7.5", "?", "?"),
        (Text, "x'4142'", "ab", "ab"),
        (Binary, "'aB'", "aB", "aB"),
        (Binary, "'\u{e9}'", "\u{e9}", "\u{e9}"),
        (Binary, "x'6100'", "a", "a"),
        (Binary, "7", "?", "7"),
        (Decimal, "7", "7", "7"),
        (Decimal, "7.50", "7.5", "7.5"),
        (Decimal, "'7.50'", "?", "7.5"),
        (Decimal, "7e0", "?", "7"),
        (Decimal, "7.5e0", "?", "?"),
        (Date, "'2026-01-31'", "2026-01-31", "2026-01-31"),
        (Date, "'2026-01-31 00:00:00'", "2026-01-31", "2026-01-31"),
        (Date, "'2026-01-31 00:00:01'", "?", "?"),
        (Date, "'2026-1-31'", "?", "?"),
        (Date, "20260131", "?", "?"),
        (DateTime, "'2026-01-31'", "2026-01-31 00:00:00", "2026-01-31 00:00:00"),
        (DateTime, "'2026-01-31 12:00:00.50'", "2026-01-31 12:00:00.5", "2026-01-31 12:00:00.5"),
        (DateTime, "'2026-01-31T12:00:00'", "?", "?"),
        (DateTime, "'0000-00-00 00:00:00'", "?", "?"),
    ];
    for (key_type, text, found, made) in cases {
        let value = literal(text);
        assert_eq!(finds(key_type, &value, UTF8), found, "{key_type}: {text}");
        assert_eq!(makes(key_type, &value, UTF8), made, "{key_type}: {text}");
        assert_eq!(finds(key_type, &Value::Null, UTF8), "-");
        assert_eq!(stored(key_type, &Value::Null, UTF8), Err(KeyError::Null(key_type)));
        assert_eq!(stored(key_type, &Value::Other, UTF8), Err(KeyError::Unknown(key_type)));
        assert_eq!(compared(key_type, &Value::Other, UTF8), Err(KeyError::Unknown(key_type)));
    }
    assert_eq!(makes(Binary, &literal("'\u{e9}'"), OTHER), "?");
    assert_eq!(makes(Binary, &literal("'e'"), OTHER), "e");
    let noon = Value::Moment(Moment::parse(b"2026-01-31 12:00:00").expect("a moment"));
    assert_eq!((finds(Date, &noon, UTF8), makes(Date, &noon, UTF8)), ("-".to_owned(), "?".to_owned()));
    assert_eq!(makes(DateTime, &noon, UTF8), "2026-01-31 12:00:00");
}

#[test]
fn an_error_says_what_to_change() {
    let said = |key_type, text: &str| {
        stored(key_type, &literal(text), OTHER).map(|_| ()).expect_err("refused").to_string()
    };
    assert_eq!(
        said(KeyType::Integer, "'7a'"),
        "'7a' is of another kind than the rule's key_type \"integer\": give a whole number of 64 bits, such as 7, or \
         change key_type"
    );
    assert!(said(KeyType::Text, "'\u{e9}'").contains("use key_type \"binary\""));
    assert!(said(KeyType::Binary, "'\u{e9}'").contains("SET NAMES utf8mb4"));
    assert!(said(KeyType::Integer, "18446744073709551616").contains("out of the range"));
    let long = said(KeyType::Integer, &format!("'{}'", "a".repeat(1000)));
    assert!(long.len() < 250 && long.contains("aaa'..."), "{long}");
}

#[test]
fn what_a_column_may_round_is_placed_only_where_that_makes_no_difference() {
    let by_number = range(KeyType::Decimal, &[literal("10"), literal("20")]);
    assert_eq!(place(&by_number, &literal("10.25"), UTF8), Ok(1));
    assert_eq!(place(&by_number, &literal("-1.5"), UTF8), Ok(0));
    assert!(matches!(place(&by_number, &literal("9.75"), UTF8), Err(KeyError::Rounded { .. })));
    assert!(matches!(place(&by_number, &literal("19.5"), UTF8), Err(KeyError::Rounded { .. })));
    let hashed = rule(Algorithm::Hash, KeyType::Decimal, 4);
    assert!(place(&hashed, &literal("7.00"), UTF8).is_ok());
    assert!(matches!(place(&hashed, &literal("7.25"), UTF8), Err(KeyError::Rounded { .. })));
    let by_time = range(KeyType::DateTime, &[literal("'2026-01-01'")]);
    assert_eq!(place(&by_time, &literal("'2026-01-01 00:00:00.7'"), UTF8), Ok(1));
    let midnight = place(&by_time, &literal("'2025-12-31 23:59:59.7'"), UTF8);
    assert!(matches!(midnight, Err(KeyError::Rounded { .. })));
    let last = place(&by_time, &literal("'9999-12-31 23:59:59.7'"), UTF8);
    assert!(matches!(last, Err(KeyError::Rounded { .. })));
}

// --- Conditions --------------------------------------------------------------------------------------------------

#[test]
fn ranges_leave_out_shards() {
    let between = Condition::Between { low: bound(0, true), high: bound(1, true) };
    let below = Condition::Between { low: None, high: bound(1, false) };
    let above = Condition::Between { low: bound(0, false), high: None };
    let both = Condition::And(vec![above.clone(), below.clone()]);
    let by_number = range(KeyType::Integer, &[literal("10"), literal("20"), literal("30")]);
    let on = |condition: &Condition, low: &str, high: &str| {
        list(shards(&by_number, condition, &[literal(low), literal(high)]))
    };
    assert_eq!(on(&between, "10", "19"), [1]);
    assert_eq!(on(&between, "10", "20"), [1, 2]);
    assert_eq!(on(&between, "20", "10"), [0u32; 0]);
    assert_eq!(on(&between, "9.5", "19.5"), [1]);
    assert_eq!(on(&between, "9.5e0", "'19'"), [1]);
    // One end decides how the other one is compared.
    assert_eq!(on(&between, "10", "'a'"), [0, 1, 2, 3]);
    assert_eq!(on(&between, "'a'", "19"), [0, 1, 2, 3]);
    assert_eq!(on(&between, "9007199254740993", "9007199254740995"), [3]);
    assert_eq!(on(&between, "9007199254740993", "9007199254740995.5"), [3]);
    assert_eq!(on(&between, "15", "9007199254740995"), [1, 2, 3]);
    assert_eq!(on(&between, "'15'", "9007199254740995"), [0, 1, 2, 3]);
    assert_eq!(on(&below, "0", "20"), [0, 1]);
    assert_eq!(on(&above, "9", "0"), [1, 2, 3]);
    assert_eq!(on(&both, "9", "11"), [1]);
    assert_eq!(on(&both, "9", "10"), [0u32; 0]);
    assert_eq!(list(shards(&by_number, &below, &[Value::Null, Value::Null])), [0u32; 0]);

    let modulo = rule(Algorithm::Mod, KeyType::Integer, 8);
    let on = |condition: &Condition, low: &str, high: &str| {
        list(shards(&modulo, condition, &[literal(low), literal(high)]))
    };
    assert_eq!(on(&between, "5", "7"), [5, 6, 7]);
    assert_eq!(on(&both, "5", "8"), [6, 7]);
    assert_eq!(on(&between, "-1", "0"), [0, 7]);
    assert_eq!(on(&between, "5", "1000").len(), 8);
    assert_eq!(on(&above, "5", "0").len(), 8);
    let hashed = rule(Algorithm::Hash, KeyType::Integer, 256);
    assert_eq!(shards(&hashed, &between, &[literal("5"), literal("5")]).len(), 1);

    let text = rule(Algorithm::Hash, KeyType::Text, 4);
    assert_eq!(shards(&text, &between, &[literal("'a'"), literal("'a'")]).len(), 4);
    let days = range(KeyType::Date, &[literal("'2026-01-01'"), literal("'2026-02-01'")]);
    let month = [literal("'2026-01-01'"), literal("'2026-02-01'")];
    assert_eq!(list(shards(&days, &between, &month)), [1, 2]);
    let half_open = Condition::And(vec![Condition::Between { low: bound(0, true), high: None }, below]);
    assert_eq!(list(shards(&days, &half_open, &month)), [1]);
}

#[test]
fn conditions_are_joined() {
    let rule = rule(Algorithm::Mod, KeyType::Integer, 4);
    let equals = |number| Condition::Equals(Operand::Parameter(number));
    let values = [literal("1"), literal("2"), literal("'x'"), Value::Null];
    let on = |condition| list(shards(&rule, &condition, &values));
    assert_eq!(on(Condition::Any), [0, 1, 2, 3]);
    assert_eq!(on(Condition::Never), [0u32; 0]);
    assert_eq!(on(equals(0)), [1]);
    assert_eq!(on(equals(2)), [0, 1, 2, 3]);
    assert_eq!(on(equals(3)), [0u32; 0]);
    assert_eq!(on(Condition::Equals(Operand::Null)), [0u32; 0]);
    assert_eq!(on(Condition::Or(vec![equals(0), equals(1), equals(3)])), [1, 2]);
    assert_eq!(on(Condition::And(vec![equals(0), equals(1)])), [0u32; 0]);
    assert_eq!(on(Condition::And(vec![equals(0), equals(2)])), [1]);
    assert_eq!(on(Condition::And(Vec::new())), [0, 1, 2, 3]);
    assert_eq!(on(Condition::Or(Vec::new())), [0u32; 0]);
    let mut unknown = |_: &Operand| Err(KeyError::Unknown(KeyType::Integer));
    assert_eq!(evaluate(&rule, &equals(0), &mut unknown, UTF8).len(), 4);
}

// --- Properties --------------------------------------------------------------------------------------------------

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }

    fn number(&mut self, from: i64, to: i64) -> i64 {
        from + i64::try_from(self.below(u64::try_from(to - from + 1).expect("a range"))).expect("small")
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).expect("small")]
    }
}

/// A condition on some of `values` parameters.
fn condition(random: &mut Random, depth: u32, values: u32) -> Condition {
    let number = u32::try_from(random.below(values.into())).expect("small");
    let other = u32::try_from(random.below(values.into())).expect("small");
    let (low, high) = (bound(number, random.below(2) == 0), bound(other, random.below(2) == 0));
    match random.below(if depth == 0 { 6 } else { 9 }) {
        0 => Condition::Any,
        1 | 2 => Condition::Equals(Operand::Parameter(number)),
        3 => Condition::Between { low, high },
        4 => Condition::Between { low: None, high },
        5 => Condition::Between { low, high: None },
        joined => {
            let parts = (0..random.number(1, 3)).map(|_| condition(random, depth - 1, values)).collect();
            if joined == 6 { Condition::Or(parts) } else { Condition::And(parts) }
        }
    }
}

/// Whether a condition holds for a row, of which `compare` says how it stands to the value of an operand.
fn holds(condition: &Condition, compare: &dyn Fn(usize) -> Option<Ordering>) -> bool {
    let row = |operand: &Operand| match operand {
        Operand::Parameter(number) => compare(*number as usize),
        _ => None,
    };
    let within = |bound: &Option<Bound>, outside: Ordering| {
        bound.as_ref().is_none_or(|bound| match row(&bound.value) {
            Some(Ordering::Equal) => bound.inclusive,
            Some(order) => order != outside,
            None => false,
        })
    };
    match condition {
        Condition::Any => true,
        Condition::Never => false,
        Condition::Equals(operand) => row(operand) == Some(Ordering::Equal),
        Condition::Between { low, high } => within(low, Ordering::Less) && within(high, Ordering::Greater),
        Condition::And(parts) => parts.iter().all(|part| holds(part, compare)),
        Condition::Stored(_) | Condition::InRow(_) => true,
        Condition::Or(parts) => parts.iter().any(|part| holds(part, compare)),
    }
}

/// How a server compares a small integer with a value.
fn order_of_number(row: i64, value: &Value) -> Option<Ordering> {
    match value {
        Value::Integer(number) => Some(i128::from(row).cmp(number)),
        Value::Decimal(number) => Some(BigDecimal::from(row).cmp(number)),
        Value::Float(number) => (row as f64).partial_cmp(number),
        Value::Text(text) => {
            let text = std::str::from_utf8(text).expect("a text").trim();
            let end = text.bytes().position(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+'));
            let number: f64 = text[..end.unwrap_or(text.len())].parse().unwrap_or(0.0);
            (row as f64).partial_cmp(&number)
        }
        _ => None,
    }
}

#[test]
fn integers_are_found_where_they_are() {
    let mut random = Random(7);
    for _ in 0..3000 {
        let shard_count = u32::try_from(random.number(1, 9)).expect("small");
        let rule = match random.below(3) {
            0 => rule(Algorithm::Mod, KeyType::Integer, shard_count),
            1 => rule(Algorithm::Hash, KeyType::Integer, shard_count),
            _ => range(KeyType::Integer, &["-10", "0", "3", "15"].map(literal)),
        };
        let values: Vec<Value> = (0..4)
            .map(|_| {
                let number = random.number(-25, 25);
                let half = random.pick(&["", ".0", ".5", ".25"]);
                let text = match random.below(7) {
                    0 | 1 => number.to_string(),
                    2 => format!("{number}{half}"),
                    3 => format!("{number}{half}e0"),
                    4 => format!("'{number}{half}'"),
                    5 => random.pick(&["'7a'", "' 7'", "'x'", "'007'", "'+7'"]).to_owned(),
                    _ => return Value::Null,
                };
                literal(&text)
            })
            .collect();
        let condition = condition(&mut random, 2, 4);
        let found = shards(&rule, &condition, &values);
        for row in -30..=30 {
            let shard = shard_of(&rule, &Key::Integer(row.into()));
            let holds = holds(&condition, &|number| order_of_number(row, &values[number]));
            assert!(!holds || found.contains(shard), "{row} of {rule:?}: {condition:?} {values:?}");
        }
    }
}

#[test]
fn a_value_in_a_row_is_found_wherever_servers_convert_it_to() {
    let found = |rule: &Rule, value: &str| {
        list(shards(rule, &Condition::InRow(Operand::Parameter(0)), &[literal(value)]))
    };
    let by_integer = rule(Algorithm::Mod, KeyType::Integer, 4);
    assert_eq!(found(&by_integer, "7"), [3]);
    for value in ["7.5", "7.5e0", "'7'", "'7abc'", "99999999999999999999"] {
        assert_eq!(found(&by_integer, value), [0, 1, 2, 3], "{value}");
    }
    let by_text = rule(Algorithm::Hash, KeyType::Text, 4);
    assert_eq!(found(&by_text, "'a'").len(), 1);
    assert_eq!(found(&by_text, "20240105"), [0, 1, 2, 3]);
    let by_decimal = rule(Algorithm::Hash, KeyType::Decimal, 4);
    assert_eq!(found(&by_decimal, "7").len(), 1);
    assert_eq!(found(&by_decimal, "7.555"), [0, 1, 2, 3]);
    let by_date = range(KeyType::Date, &["'2026-01-01'", "'2026-01-02'"].map(literal));
    assert_eq!(found(&by_date, "'2026-01-01'"), [1]);
    for value in ["20260101", "'2026-01-01 23:59:59.9'"] {
        assert_eq!(found(&by_date, value), [0, 1, 2], "{value}");
    }
}

/// Bytes as a column of 6 of them has them, filled up or not.
fn padded(bytes: &[u8], with: Option<u8>) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(with) = with {
        bytes.resize(6, with);
    }
    bytes
}

#[test]
fn bytes_are_found_where_they_are_whatever_fills_up_their_column() {
    let mut random = Random(11);
    let text = |random: &mut Random| -> Vec<u8> {
        (0..random.number(0, 5)).map(|_| random.pick(&[0, 9, b' ', b'!', b'a', b'b', 0xFF])).collect()
    };
    for _ in 0..3000 {
        let rule = match random.below(2) {
            0 => rule(Algorithm::Hash, KeyType::Binary, 7),
            _ => range(KeyType::Binary, &["x'09'", "'a'", "x'6109'", "'b'"].map(literal)),
        };
        let texts: Vec<Vec<u8>> = (0..4).map(|_| text(&mut random)).collect();
        let values: Vec<Value> = texts.iter().map(|text| Value::Binary(text.clone())).collect();
        let condition = condition(&mut random, 2, 4);
        let found = shards(&rule, &condition, &values);
        for _ in 0..20 {
            let row = if random.below(2) == 0 { text(&mut random) } else { texts[0].clone() };
            let shard = place(&rule, &Value::Binary(row.clone()), UTF8).expect("a shard");
            // VARBINARY; BINARY, whose rows alone are filled up; texts that compare as if both were.
            for (of_row, of_value) in [(None, None), (Some(0), None), (Some(b' '), Some(b' '))] {
                let row = padded(&row, of_row);
                let compare = |number: usize| Some(row.cmp(&padded(&texts[number], of_value)));
                let holds = holds(&condition, &compare);
                assert!(!holds || found.contains(shard), "{row:?} of {rule:?}: {condition:?} {texts:?}");
            }
        }
    }
}

#[test]
fn decimals_and_moments_are_found_where_they_are() {
    let mut random = Random(13);
    let number = |random: &mut Random| {
        format!("{}{}", random.number(-30, 30), random.pick(&["", ".0", ".5", ".25", ".750"]))
    };
    let moment = |random: &mut Random| {
        let (day, hour) = (random.number(1, 28), random.number(0, 23));
        format!("'2026-02-{day:02}{}'", random.pick(&["", " 00:00:00", &format!(" {hour:02}:59:59.5")]))
    };
    let of_value = |value: &Value| match value {
        Value::Text(text) => Moment::parse(text).expect("a moment"),
        other => panic!("{other:?}"),
    };
    for round in 0..3000 {
        let is_decimal = round % 2 == 0;
        let text = |random: &mut Random| if is_decimal { number(random) } else { moment(random) };
        let (kind, boundaries) = match is_decimal {
            true => (KeyType::Decimal, ["-10.5", "0", "7.25"]),
            false => (KeyType::DateTime, ["'2026-02-03'", "'2026-02-10 12:00:00'", "'2026-02-20'"]),
        };
        let rule = match random.below(2) {
            0 => rule(Algorithm::Hash, kind, 5),
            _ => range(kind, &boundaries.map(literal)),
        };
        let values: Vec<Value> = (0..4).map(|_| literal(&text(&mut random))).collect();
        let condition = condition(&mut random, 2, 4);
        let found = shards(&rule, &condition, &values);
        for _ in 0..20 {
            let row = literal(&text(&mut random));
            let shard = shard_of(&rule, &stored(kind, &row, UTF8).expect("a key"));
            let compare = |at: usize| match (&row, &values[at]) {
                (row, value) if is_decimal => Some(plain(row).cmp(&plain(value))),
                (row, value) => Some(of_value(row).cmp(&of_value(value))),
            };
            let holds = holds(&condition, &compare);
            assert!(!holds || found.contains(shard), "{row:?} of {rule:?}: {condition:?} {values:?}");
        }
    }
}

fn plain(value: &Value) -> BigDecimal {
    match value {
        Value::Integer(number) => BigDecimal::from(*number),
        Value::Decimal(number) => number.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn equal_values_have_one_key_however_they_are_written() {
    let mut random = Random(17);
    for _ in 0..2000 {
        let number = random.number(-1_000_000, 1_000_000);
        let key = Some(Key::Integer(number.into()));
        for text in
            [format!("{number}"), format!("{number}.00"), format!("{number}e0"), format!("'{number}'")]
        {
            let value = literal(&text);
            assert_eq!(stored(KeyType::Integer, &value, UTF8).ok(), key, "{text}");
            assert_eq!(compared(KeyType::Integer, &value, UTF8), Ok(key.clone()), "{text}");
        }
        let letters: String =
            (0..random.number(0, 8)).map(|_| random.pick(&['a', 'B', 'z', ' ', '-'])).collect();
        let spaces = " ".repeat(usize::try_from(random.number(0, 3)).expect("small"));
        let other = letters.chars().map(|letter| match random.below(2) {
            0 => letter.to_ascii_uppercase(),
            _ => letter.to_ascii_lowercase(),
        });
        let other = format!("'{}{spaces}'", other.collect::<String>());
        let keys = [format!("'{letters}'"), other].map(|text| stored(KeyType::Text, &literal(&text), UTF8));
        assert!(keys[0].is_ok() && keys[0] == keys[1], "{letters}");
        let plain = decimal(format!("{number}.5").as_bytes()).map(|number| Key::decimal(&number));
        assert_eq!(stored(KeyType::Decimal, &literal(&format!("{number}.5000")), UTF8).ok(), plain);
    }
}

// --- Rules -------------------------------------------------------------------------------------------------------

#[test]
fn tables_have_the_rule_that_covers_them() {
    let exact = |name: &str| TablePattern::Exact(name.to_owned());
    let mut one = rule(Algorithm::Mod, KeyType::Integer, 4);
    one.tables = vec![exact("users"), exact("\u{e9}t\u{e9}")];
    let mut two = rule(Algorithm::Hash, KeyType::Integer, 4);
    two.tables = vec![TablePattern::Prefix("log_".to_owned()), exact("usage")];
    let mut sharding = Sharding {
        rules: vec![one, two],
        servers: Vec::new(),
        global_tables: vec![exact("rates"), TablePattern::Prefix("geo_".to_owned())],
        two_phase: false,
        sequence_block: 1000,
        max_fan_out: 1,
        max_merge_rows: 1,
        max_merge_bytes: 1,
        max_plans: 1,
    };
    let rules = Rules::new(&sharding);
    for (table, number) in [
        ("users", Some(0)),
        ("\u{e9}t\u{e9}", Some(0)),
        ("usage", Some(1)),
        ("log_", Some(1)),
        ("log_2026", Some(1)),
        ("Users", None),
        ("users_1", None),
        ("user", None),
        ("log", None),
        ("LOG_2026", None),
        ("x", None),
        ("", None),
    ] {
        assert_eq!(rules.rule_of(table.as_bytes()), number, "{table}");
    }
    assert_eq!(rules.rule(1).map(|rule| &rule.algorithm), Some(&Algorithm::Hash));
    assert!(rules.rule(2).is_none() && !rules.is_empty() && Rules::default().is_empty());
    assert_eq!(Rules::default().rule_of(b"users"), None);
    assert_eq!(rules.known(b"rates"), None, "on one server it is a table like others");
    sharding.servers = vec![0, 1, 0, 1];
    let rules = Rules::new(&sharding);
    for (table, number) in
        [("rates", Some(GLOBAL)), ("geo_x", Some(GLOBAL)), ("rate", None), ("usage", Some(1))]
    {
        assert_eq!(rules.known(table.as_bytes()), number, "{table}");
        assert_eq!(rules.rule_of(table.as_bytes()), number.filter(|rule| *rule != GLOBAL), "{table}");
    }
    assert_eq!(physical("users", 3), "users_3");
    assert_eq!((quote("users_3"), quote("a`b")), ("`users_3`".to_owned(), "`a``b`".to_owned()));
}
