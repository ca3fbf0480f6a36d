use super::*;

/// The rows of a file, which comes in pieces of so many bytes, and their keys.
fn read(
    format: &FileFormat,
    columns: usize,
    key: usize,
    skip: u64,
    file: &[u8],
    piece: usize,
) -> Vec<(Vec<u8>, Field)> {
    let shape = RowShape { columns, key: Some(key), id: None };
    let mut rows = FileRows::new(format.clone(), shape, skip, true);
    let mut found = Vec::new();
    for piece in file.chunks(piece) {
        rows.push(piece);
        while let Some(row) = rows.next(false) {
            found.push((rows.bytes(row.range).to_vec(), row.key));
        }
    }
    while let Some(row) = rows.next(true) {
        found.push((rows.bytes(row.range).to_vec(), row.key));
    }
    found
}

/// Two values, with the key in front.
const PAIRS: RowShape = RowShape { columns: 2, key: Some(0), id: None };

fn format(field_end: &str, enclosed: &str, escaped: &str, line_start: &str, line_end: &str) -> FileFormat {
    let text = |text: &str| text.as_bytes().to_vec();
    FileFormat::new(
        Some(text(field_end)),
        enclosed.as_bytes(),
        escaped.as_bytes(),
        text(line_start),
        Some(text(line_end)),
    )
    .expect("a format")
}

/// Wherever the file is cut.
fn check(format: &FileFormat, columns: usize, key: usize, skip: u64, file: &str, expected: &[(&str, Field)]) {
    for piece in 1..=file.len() {
        let found = read(format, columns, key, skip, file.as_bytes(), piece);
        let found: Vec<_> =
            found.into_iter().map(|(row, key)| (String::from_utf8(row).expect("a text"), key)).collect();
        let expected: Vec<_> = expected.iter().map(|(row, key)| ((*row).to_owned(), key.clone())).collect();
        assert_eq!(found, expected, "in pieces of {piece}");
    }
}

fn text(text: &str) -> Field {
    Field::Text(text.as_bytes().to_vec())
}

#[test]
fn plain_lines() {
    let format = format("\t", "", "\\", "", "\n");
    check(&format, 2, 0, 0, "1\ta\n2\tb\n", &[("1\ta\n", text("1")), ("2\tb\n", text("2"))]);
    check(&format, 2, 1, 0, "1\ta\n2\tb", &[("1\ta\n", text("a")), ("2\tb", text("b"))]);
    // What is behind the last column, lines that are too short, and empty ones.
    check(
        &format,
        2,
        1,
        0,
        "1\ta\tmore\\\nand more\n2\n\n3\t",
        &[
            ("1\ta\tmore\\\nand more\n", text("a")),
            ("2\n", Field::Missing),
            ("\n", Field::Missing),
            ("3\t", Field::Missing),
        ],
    );
    check(&format, 1, 0, 2, "head\\\nof\nlines\n1\n2\n", &[("1\n", text("1")), ("2\n", text("2"))]);
    check(&format, 1, 0, 9, "1\n2\n", &[]);
    check(&format, 1, 0, 0, "", &[]);
}

#[test]
fn escapes() {
    let tabs = format("\t", "", "\\", "", "\n");
    check(
        &tabs,
        2,
        0,
        0,
        "\\N\tx\n\\\\a\\tb\\\nc\\0\ty\nN\\N\tz\n\\1\tz\nend\\",
        &[
            ("\\N\tx\n", Field::Null),
            ("\\\\a\\tb\\\nc\\0\ty\n", text("\\a\tb\nc\0")),
            ("N\\N\tz\n", text("NN")),
            ("\\1\tz\n", text("1")),
            ("end\\", text("end\\")),
        ],
    );
    let none = format("\t", "", "", "", "\n");
    check(&none, 1, 0, 0, "a\\\nb\n", &[("a\\\n", text("a\\")), ("b\n", text("b"))]);
}

#[test]
fn enclosed_fields() {
    let csv = format(",", "\"", "\\", "", "\r\n");
    check(
        &csv,
        2,
        0,
        1,
        "id,name\r\n\"1\",\"a,\r\nb\"\r\n\"a\"\"b\",x\r\n\"a\"b\",x\r\nNULL,\"NULL\"\r\n\"NULL\",\r\n\"\\\"\",\"\r\"\r\n\"5",
        &[
            ("\"1\",\"a,\r\nb\"\r\n", text("1")),
            ("\"a\"\"b\",x\r\n", text("a\"b")),
            ("\"a\"b\",x\r\n", text("a\"b")),
            ("NULL,\"NULL\"\r\n", Field::Null),
            ("\"NULL\",\r\n", text("NULL")),
            ("\"\\\"\",\"\r\"\r\n", text("\"")),
            ("\"5", text("\"5")),
        ],
    );
    // The same character encloses and escapes.
    let doubled = format(",", "\"", "\"", "", "\n");
    check(
        &doubled,
        1,
        0,
        0,
        "\"a\"\"b\"\n\"\\n\"\n",
        &[("\"a\"\"b\"\n", text("a\"b")), ("\"\\n\"\n", text("\\n"))],
    );
    // Behind the last column nothing is enclosed.
    check(&csv, 1, 0, 0, "1,\"a\r\nb\"\r\n", &[("1,\"a\r\n", text("1")), ("b\"\r\n", text("b\""))]);
}

#[test]
fn lines_that_begin_with_a_text() {
    let format = format("||", "", "\\", "xx>", ";;");
    check(
        &format,
        2,
        1,
        0,
        "xx>1||a|b;;left out;;xxx>2||;|;;\\;xx>",
        &[("xx>1||a|b;;", text("a|b")), ("left out;;xxx>2||;|;;", text(";|"))],
    );
}

#[test]
fn what_is_no_format() {
    let new = |field: &str, enclosed: &str, line: &str| {
        FileFormat::new(Some(field.into()), enclosed.as_bytes(), b"", Vec::new(), Some(line.into()))
    };
    assert_eq!(new("", "", "\n"), Err(FormatError::FixedFields));
    assert_eq!(new("\t", "", ""), Err(FormatError::NoLines));
    assert_eq!(new(",", "", ","), Err(FormatError::NoLines));
    assert_eq!(new("é", "", "\n"), Err(FormatError::NotAscii));
    assert_eq!(new(",", "ab", "\n"), Err(FormatError::NotOne));
}

#[test]
fn what_is_no_utf_8() {
    for (file, skip, utf8, is_broken) in [
        (&b"1\t\xC3\xA9\n"[..], 0, true, false),
        (b"1\t\xE2\x82\n2\ta\n", 0, true, true),
        (b"1\t\xE2\x82\n2\ta\n", 0, false, false),
        (b"\xC3\n1\ta\n", 1, true, true),
        (b"\xC3\n", 1, true, true),
    ] {
        let mut rows = FileRows::new(format("\t", "", "\\", "", "\n"), PAIRS, skip, utf8);
        rows.push(file);
        while rows.next(true).is_some() {}
        assert_eq!(rows.is_broken(), is_broken, "{file:?}");
    }
}

/// Ids are put in where they belong, wherever the file is cut.
#[test]
fn ids_of_a_sequence() {
    let ids = |format: &FileFormat, id: Option<usize>, skip: u64, file: &str| {
        let shape = RowShape { columns: 3, key: None, id };
        let mut all = Vec::new();
        for piece in 1..=file.len() {
            let mut rows = FileRows::new(format.clone(), shape, skip, true);
            let (mut out, mut number) = (Vec::new(), 10);
            for (at, bytes) in file.as_bytes().chunks(piece).enumerate() {
                rows.push(bytes);
                while let Some(row) = rows.next((at + 1) * piece >= file.len()) {
                    number += 1;
                    match &row.id {
                        Field::Text(_) => out.extend_from_slice(rows.bytes(row.range.clone())),
                        _ => rows.with_id(&row, number, &mut out),
                    }
                }
            }
            all.push(String::from_utf8(out).expect("a text"));
        }
        all.dedup();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    };
    let plain = format("\t", "", "\\", "", "\n");
    assert_eq!(ids(&plain, None, 0, "a\tb\n\nc"), "11\ta\tb\n12\t\n13\tc");
    assert_eq!(ids(&plain, Some(0), 1, "x\n\\N\ta\tb\n7\tc\td\n"), "11\ta\tb\n7\tc\td\n");
    assert_eq!(
        ids(&plain, Some(2), 0, "a\tb\t\\N\na\tb\t\\N\tc\na\t\\N\t\\N"),
        "a\tb\t11\na\tb\t12\tc\na\t\\N\t13"
    );
    let csv = format(", ", "\"", "", "> ", "\r\n");
    assert_eq!(
        ids(&csv, None, 0, "no> \"a, \"\"\", b\r\n> c\r\nno"),
        "no> 11, \"a, \"\"\", b\r\n> 12, c\r\n"
    );
    assert_eq!(
        ids(&csv, Some(1), 0, "> \"a\", NULL, \"c\"\r\n> a, \"5\"\r\n"),
        "> \"a\", 11, \"c\"\r\n> a, \"5\"\r\n"
    );
    let digits = format("1", "", "", "", "\n");
    assert_eq!(digits.takes_numbers(), Err(FormatError::Digits));
}
