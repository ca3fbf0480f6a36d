//! The values of user variables, as SQL expressions that give them back on another link: with their types, and strings
//! with their collations.

use super::assignments::quote_name;
use super::errand::Table;

/// Columns of the answer for each variable.
const COLUMNS: usize = 4;

/// A column definition ends in a fixed part of these bytes: character set, length, type, flags, decimals, filler.
const FIXED_LEN: usize = 12;

/// `MYSQL_TYPE_*` of what a user variable can hold besides strings.
const LONGLONG: u8 = 8;
const LONG: u8 = 3;
const DOUBLE: u8 = 5;
const NEWDECIMAL: u8 = 246;
const GEOMETRY: u8 = 255;
const VAR_STRING: u8 = 253;
const LONG_BLOB: u8 = 251;

/// The length of a MariaDB's variable that was never set.
const UNSET_LEN: u32 = 1 << 24;

const UNSIGNED_FLAG: u16 = 0x20;

/// The question for the values of these variables; [`values`] reads the answer. A MySQL tells the collation of a number only
/// where that becomes a text.
pub fn question(names: &[Vec<u8>], mariadb: bool) -> Vec<u8> {
    let last = if mariadb { [",COLLATION(", ")"] } else { [",COLLATION(CONCAT(", "))"] };
    let mut sql = b"SELECT ".to_vec();
    for (n, name) in names.iter().enumerate() {
        if n > 0 {
            sql.push(b',');
        }
        let mut variable = vec![b'@'];
        quote_name(name, &mut variable);
        for after in [",HEX(", "),CHARSET(", ")"] {
            sql.extend_from_slice(&variable);
            sql.extend_from_slice(after.as_bytes());
        }
        let [before, after] = last;
        for part in [before.as_bytes(), &variable, after.as_bytes()] {
            sql.extend_from_slice(part);
        }
    }
    // Whatever the session's `sql_select_limit` is.
    sql.extend_from_slice(b" LIMIT 1");
    sql
}

/// What is known of a variable.
#[derive(Debug, PartialEq, Eq)]
pub enum Value {
    /// An expression gives it.
    Expression(Vec<u8>),
    /// It was never set.
    Unset,
    /// No expression gives the same.
    Unmovable,
}

/// The values of the variables that were asked for; `None` if the answer is not to that question.
pub fn values(names: &[Vec<u8>], table: &Table, mariadb: bool) -> Option<Vec<Value>> {
    let [row] = table.rows.as_slice() else { return None };
    if row.len() != table.columns.len() || row.len() != names.len() * COLUMNS {
        return None;
    }
    let columns = table.columns.chunks_exact(COLUMNS).map(|columns| columns.first());
    let variables = names.iter().zip(row.chunks_exact(COLUMNS)).zip(columns);
    let value = |name, value, column: &[u8]| match is_unset(value, column) {
        true => Value::Unset,
        false => expression(name, value, column, mariadb).map_or(Value::Unmovable, Value::Expression),
    };
    variables.map(|((name, values), column)| Some(value(name, values, column?))).collect()
}

/// A variable that is set to NULL keeps the type that it had.
pub fn null_of(value: &[u8], name: &[u8]) -> Vec<u8> {
    let mut expression = [value, b",@"].concat();
    quote_name(name, &mut expression);
    expression.extend_from_slice(b":=NULL");
    expression
}

/// The value of a variable that was never set.
pub const UNSET: &[u8] = b"_binary X''";

/// What was never set has a type of its own: as a string of a MySQL, and one letter longer than any on a MariaDB (measured
/// on 9.7 and 10.11).
fn is_unset(value: &[Option<Vec<u8>>], column: &[u8]) -> bool {
    let Some(fixed) = column.last_chunk::<FIXED_LEN>() else { return false };
    let len = u32::from_le_bytes([fixed[2], fixed[3], fixed[4], fixed[5]]);
    let null = matches!(value, [None, ..]);
    null && (fixed[6] == VAR_STRING || (fixed[6] == LONG_BLOB && len == UNSET_LEN))
}

/// The same number with the collation that it has as a text: a MySQL keeps that of the connection when it was set, and has no
/// expression for it. [`number_collation`] finds it again.
pub fn with_collation(mut number: Vec<u8>, collation: &[u8]) -> Vec<u8> {
    if collation.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
        number.extend_from_slice(&[b"/*", collation, b"*/"].concat());
    }
    number
}

/// Under which collation of the connection a number has to be set, where that is known.
pub fn number_collation(expression: &[u8]) -> Option<&[u8]> {
    let inner = expression.strip_suffix(b"*/")?;
    let at = inner.iter().rposition(|byte| *byte == b'*')?;
    inner.get(at + 1..)
}

fn expression(name: &[u8], value: &[Option<Vec<u8>>], column: &[u8], mariadb: bool) -> Option<Vec<u8>> {
    let [text, hex, charset, collation] = value else { return None };
    let (kind, unsigned) = kind(column)?;
    let text = text.as_deref();
    let is_null = text.is_none();
    let number = |text: Option<&[u8]>| {
        let text = std::str::from_utf8(text.unwrap_or(b"0")).ok()?;
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
            .then(|| text.to_owned())
    };
    let value = match kind {
        LONGLONG | LONG if unsigned => format!("CAST({} AS UNSIGNED)", number(text)?).into_bytes(),
        LONGLONG | LONG => number(text)?.into_bytes(),
        DOUBLE => {
            let text = number(text)?;
            if text.contains('e') { text.into_bytes() } else { (text + "e0").into_bytes() }
        }
        NEWDECIMAL => {
            let text = number(text)?;
            if text.contains('.') { text.into_bytes() } else { (text + ".").into_bytes() }
        }
        GEOMETRY => return None,
        _ => string(hex.as_deref().unwrap_or_default(), charset.as_deref()?, collation.as_deref()?)?,
    };
    let value = if is_null { null_of(&value, name) } else { value };
    let numeric = matches!(kind, LONGLONG | LONG | DOUBLE | NEWDECIMAL);
    Some(match collation {
        Some(collation) if numeric && !mariadb => with_collation(value, collation),
        _ => value,
    })
}

fn string(hex: &[u8], charset: &[u8], collation: &[u8]) -> Option<Vec<u8>> {
    let name = |name: &[u8]| name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    if !name(charset) || !name(collation) || !hex.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    if !is_valid(hex, charset) {
        return None;
    }
    if charset == b"binary" {
        return Some([b"_binary X'", hex, b"'"].concat());
    }
    Some([b"_", charset, b" X'", hex, b"' COLLATE ", collation].concat())
}

/// Whether a server takes these bytes for characters, as far as that can be told: a variable may have got others by an
/// introducer.
fn is_valid(hex: &[u8], charset: &[u8]) -> bool {
    let digit = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0) as u8;
    let bytes: Vec<u8> = hex.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
    match charset {
        b"utf8" | b"utf8mb3" | b"utf8mb4" => std::str::from_utf8(&bytes).is_ok(),
        b"ucs2" => bytes.len().is_multiple_of(2),
        b"utf16" | b"utf16le" | b"utf32" | b"big5" | b"cp932" | b"eucjpms" | b"euckr" | b"gb18030"
        | b"gb2312" | b"gbk" | b"sjis" | b"ujis" => bytes.iter().all(|byte| byte.is_ascii() && *byte != 0),
        _ => true,
    }
}

/// The same for a string of ASCII characters, of which the text of a statement tells the value.
pub fn literal(text: &[u8], charset: &[u8], collation: &[u8]) -> Option<Vec<u8>> {
    let hex: String = text.iter().map(|byte| format!("{byte:02X}")).collect();
    // Of several bytes for a letter, as in UCS-2, the bytes of the text are not the value's.
    let by_byte = !matches!(charset, b"ucs2" | b"utf16" | b"utf16le" | b"utf32");
    string(hex.as_bytes(), charset, collation).filter(|_| by_byte)
}

/// The type of a column, and whether it is unsigned.
fn kind(column: &[u8]) -> Option<(u8, bool)> {
    let fixed: &[u8; FIXED_LEN] = column.last_chunk()?;
    let flags = u16::from_le_bytes([fixed[7], fixed[8]]);
    Some((fixed[6], flags & UNSIGNED_FLAG != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: u8, flags: u16) -> Vec<u8> {
        let flags = flags.to_le_bytes();
        vec![1, b'x', 0x0c, 63, 0, 1, 0, 0, 0, kind, flags[0], flags[1], 0, 0, 0]
    }

    fn told(kind: u8, flags: u16, value: [Option<&str>; 4]) -> Option<String> {
        let row: Vec<_> = value.iter().map(|value| value.map(|value| value.as_bytes().to_vec())).collect();
        let columns = vec![column(kind, flags), vec![], vec![], vec![]];
        let values = values(&[b"v".to_vec()], &Table { columns, rows: vec![row] }, true)?;
        match values.first()? {
            Value::Expression(text) => Some(String::from_utf8_lossy(text).into_owned()),
            Value::Unset => Some("unset".to_owned()),
            Value::Unmovable => None,
        }
    }

    #[test]
    fn each_type_is_written_so_that_it_stays() {
        let number = |text| [Some(text), Some("1"), Some("binary"), Some("binary")];
        assert_eq!(told(LONGLONG, 0, number("-5")).as_deref(), Some("-5"));
        assert_eq!(told(LONGLONG, UNSIGNED_FLAG, number("5")).as_deref(), Some("CAST(5 AS UNSIGNED)"));
        assert_eq!(told(DOUBLE, 0, number("1.5")).as_deref(), Some("1.5e0"));
        assert_eq!(told(DOUBLE, 0, number("1e100")).as_deref(), Some("1e100"));
        assert_eq!(told(NEWDECIMAL, 0, number("1.50")).as_deref(), Some("1.50"));
        assert_eq!(told(NEWDECIMAL, 0, number("7")).as_deref(), Some("7."));
        let null = [None, None, Some("binary"), Some("binary")];
        assert_eq!(told(251, 0, null).as_deref(), Some("_binary X'',@`v`:=NULL"));
        assert_eq!(told(LONGLONG, 0, null).as_deref(), Some("0,@`v`:=NULL"));
        assert_eq!(told(GEOMETRY, 0, number("x")), None);
        assert_eq!(told(VAR_STRING, 0, null).as_deref(), Some("unset"));
        let text = [Some("a"), Some("61"), Some("latin1"), Some("latin1_bin")];
        assert_eq!(told(251, 0, text).as_deref(), Some("_latin1 X'61' COLLATE latin1_bin"));
        assert_eq!(told(251, 0, [Some("a"), Some("61"), Some("l'"), Some("x")]), None);
        assert_eq!(literal(b"ab", b"ucs2", b"ucs2_bin"), None);
    }

    #[test]
    fn names_are_quoted() {
        let sql = question(&[b"a`b".to_vec()], true);
        let expected = "SELECT @`a``b`,HEX(@`a``b`),CHARSET(@`a``b`),COLLATION(@`a``b`) LIMIT 1";
        assert_eq!(String::from_utf8_lossy(&sql), expected);
    }
}
