use super::*;

fn key(kind: Kind, encoding: RowEncoding, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, kind, encoding, Some(value), None).expect("a value");
    out
}

/// Each is less than the next one, and less than it also where something follows.
fn ascending(kind: Kind, encoding: RowEncoding, values: &[&[u8]]) {
    let mut null = Vec::new();
    put(&mut null, kind, encoding, None, None).expect("NULL");
    let mut last = null;
    for value in values {
        let next = key(kind, encoding, value);
        assert!(last < next, "{kind:?} {encoding:?}: {value:?}");
        assert!([&last[..], &[0xFF]].concat() < next, "{kind:?} {encoding:?}: {value:?}");
        let (mut a, mut b) = (last.clone(), next.clone());
        invert(&mut a, 0);
        invert(&mut b, 0);
        assert!(a > b, "{kind:?} {encoding:?}: {value:?}");
        last = next;
    }
}

fn texts(kind: Kind, values: &[&str]) {
    let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
    ascending(kind, RowEncoding::Text, &values);
}

#[test]
fn texts_of_all_types_are_in_order() {
    texts(Kind::Signed, &["-9223372036854775808", "-10", "-9", "0", "9", "10", "9223372036854775807"]);
    texts(Kind::Unsigned, &["0", "9", "10", "9223372036854775808", "18446744073709551615"]);
    let decimals = [
        "-123456789012345678901234567890123456789012345678901234567890.1",
        "-10.5",
        "-10.05",
        "-9.99",
        "-0.10",
        "-0.011",
        "-0.01",
        "0.00",
        "0.01",
        "0.011",
        "0.1",
        "9.99",
        "10.05",
        "10.5",
        "100",
        "123456789012345678901234567890123456789012345678901234567890.1",
    ];
    texts(Kind::Decimal, &decimals);
    texts(Kind::Double, &["-1e300", "-1.5", "-1e-300", "0", "1e-300", "0.1", "1", "9", "1e1", "1e300"]);
    texts(Kind::Float, &["-1e30", "-1.5", "0", "1e-30", "0.1", "3.40282e38"]);
    let moments = [
        "0000-00-00 00:00:00",
        "0000-00-01",
        "1999-12-31",
        "2024-01-01 00:00:00",
        "2024-01-01 00:00:00.000001",
        "2024-01-01 00:00:00.1",
        "2024-01-01 00:00:01",
        "9999-12-31 23:59:59.999999",
    ];
    texts(Kind::Moment, &moments);
    let times = [
        "-838:59:59.000000",
        "-24:00:00",
        "-00:00:01",
        "-00:00:00.000001",
        "00:00:00",
        "00:00:00.5",
        "09:00:00",
        "100:00:00",
        "838:59:59.000000",
    ];
    texts(Kind::Time, &times);
    texts(Kind::Bytes, &["", "\0", "\0\0", "\0\u{1}", "A", "A\0", "A\0B", "AB", "B", "a"]);
    texts(Kind::Bit, &["\0\0", "\u{1}", "\u{1}\0", "\u{1}\u{1}"]);
}

#[test]
fn binary_values_of_all_types_are_in_order() {
    let binary = |kind, values: &[&[u8]]| ascending(kind, RowEncoding::Binary, values);
    binary(Kind::Signed, &[&[0x80], &[0xFF], &[0], &[0x7F]]);
    binary(Kind::Signed, &[&[0, 0x80], &[0xFF, 0xFF], &[0, 0], &[0, 1]]);
    binary(Kind::Signed, &[&[0, 0, 0, 0x80], &[0xFF; 4], &[0; 4], &[0, 1, 0, 0]]);
    binary(Kind::Signed, &[&i64::MIN.to_le_bytes(), &[0xFF; 8], &[0; 8], &i64::MAX.to_le_bytes()]);
    binary(Kind::Unsigned, &[&[0], &[0x7F], &[0x80], &[0xFF]]);
    binary(Kind::Unsigned, &[&1999u16.to_le_bytes(), &2024u16.to_le_bytes()]);
    binary(Kind::Unsigned, &[&[0; 8], &i64::MAX.to_le_bytes(), &[0xFF; 8]]);
    binary(Kind::Decimal, &[b"-1.5", b"0.0", b"2.5", b"10.5"]);
    binary(Kind::Float, &[&(-1.5f32).to_le_bytes(), &0f32.to_le_bytes(), &1e-30f32.to_le_bytes()]);
    binary(Kind::Double, &[&(-1.5f64).to_le_bytes(), &0f64.to_le_bytes(), &1e300f64.to_le_bytes()]);
    let moments: [&[u8]; 5] = [
        &[],
        &[0xE7, 7, 12, 31],
        &[0xE8, 7, 1, 1],
        &[0xE8, 7, 1, 1, 0, 0, 1],
        &[0xE8, 7, 1, 1, 0, 0, 1, 1, 0, 0, 0],
    ];
    binary(Kind::Moment, &moments);
    let times: [&[u8]; 6] = [
        &[1, 34, 0, 0, 0, 22, 59, 59],
        &[1, 0, 0, 0, 0, 0, 0, 1],
        &[],
        &[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
        &[0, 0, 0, 0, 0, 23, 0, 0],
        &[0, 1, 0, 0, 0, 0, 0, 0],
    ];
    binary(Kind::Time, &times);
    binary(Kind::Bit, &[&[0, 0], &[1, 0]]);
    binary(Kind::Bytes, &[b"", b"a", b"ab"]);
}

#[test]
fn equal_values_have_equal_keys() {
    let alike = [
        (Kind::Decimal, "1.5", "01.500"),
        (Kind::Decimal, "0", "-0.00"),
        (Kind::Decimal, "-100", "-100.0"),
        (Kind::Double, "0", "-0"),
        (Kind::Double, "100000", "1e5"),
        (Kind::Unsigned, "7", "007"),
        (Kind::Moment, "2024-01-02 00:00:00", "2024-01-02"),
        (Kind::Moment, "2024-01-02 03:04:05.5", "2024-01-02 03:04:05.500000"),
        (Kind::Time, "00:00:00", "-00:00:00"),
        (Kind::Bit, "\u{1}", "\0\u{1}"),
    ];
    for (kind, a, b) in alike {
        let [a, b] = [a, b].map(|text| key(kind, RowEncoding::Text, text.as_bytes()));
        assert_eq!(a, b);
    }
}

#[test]
fn texts_go_by_their_weights_if_they_have_some() {
    let weighed = |value: &[u8], weight: Option<&[u8]>| {
        let mut out = Vec::new();
        put(&mut out, Kind::Text, RowEncoding::Text, Some(value), weight).expect("a value");
        out
    };
    assert_eq!(weighed(b"a", Some(b"A")), weighed(b"A", Some(b"A")));
    assert_ne!(weighed(b"a", None), weighed(b"A", None));
    assert!(weighed(b"b", Some(b"1")) < weighed(b"a", Some(b"2")));
}

#[test]
fn what_is_no_value_is_an_error() {
    let bad: [(Kind, RowEncoding, &[u8]); 10] = [
        (Kind::Signed, RowEncoding::Text, b""),
        (Kind::Signed, RowEncoding::Text, b"1.5"),
        (Kind::Signed, RowEncoding::Binary, &[1, 2, 3]),
        (Kind::Unsigned, RowEncoding::Text, b"-1"),
        (Kind::Decimal, RowEncoding::Text, b"one"),
        (Kind::Double, RowEncoding::Binary, &[1, 2, 3]),
        (Kind::Moment, RowEncoding::Text, b"today"),
        (Kind::Moment, RowEncoding::Binary, &[1, 2, 3]),
        (Kind::Time, RowEncoding::Text, b"12:xx:00"),
        (Kind::Bit, RowEncoding::Text, &[1; 9]),
    ];
    for (kind, encoding, value) in bad {
        assert!(put(&mut Vec::new(), kind, encoding, Some(value), None).is_err(), "{kind:?} {value:?}");
    }
}

#[test]
fn types_say_how_to_compare() {
    let of = |kind, character_set, flags| {
        let empty: &[u8] = &[];
        let column = ColumnDefinition {
            catalog: empty,
            schema: empty,
            table: empty,
            org_table: empty,
            name: empty,
            org_name: empty,
            extended: None,
            character_set,
            length: 0,
            kind,
            flags,
            decimals: 0,
            rest: empty,
        };
        Kind::of(&column)
    };
    assert_eq!(of(kinds::LONG, BINARY, 0), Ok(Kind::Signed));
    assert_eq!(of(kinds::LONG, BINARY, column_flag::UNSIGNED), Ok(Kind::Unsigned));
    assert_eq!(of(kinds::YEAR, BINARY, 0), Ok(Kind::Unsigned));
    assert_eq!(of(kinds::STRING, 255, 0), Ok(Kind::Text));
    assert_eq!(of(kinds::BLOB, 45, 0), Ok(Kind::Text));
    assert_eq!(of(kinds::BLOB, BINARY, 0), Ok(Kind::Bytes));
    assert_eq!(of(kinds::DATETIME, BINARY, 0), Ok(Kind::Moment));
    assert_eq!(of(kinds::STRING, 255, column_flag::ENUM), Err(Untold::Enumerated));
    assert_eq!(of(kinds::STRING, 255, column_flag::SET), Err(Untold::Enumerated));
    assert_eq!(of(kinds::JSON, BINARY, 0), Err(Untold::Json));
    assert_eq!(of(kinds::GEOMETRY, BINARY, 0), Err(Untold::Geometry));
}
