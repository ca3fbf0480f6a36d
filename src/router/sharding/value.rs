//! What a literal or a parameter is.

use bigdecimal::BigDecimal;

use crate::config::sharding::{Moment, bytes_of_hex, decimal, integer};
use crate::protocol::parameter::RawParameter;

/// A value, as a server reads it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Integer(i128),
    Decimal(BigDecimal),
    Float(f64),
    /// In the character set of the client.
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Moment(Moment),
    /// Anything else: times without a day, numbers that no column has.
    Other,
}

impl Value {
    /// What a token is that is a literal, with a minus before it or none.
    pub fn of_literal(token: &[u8], negative: bool, backslash_escapes: bool) -> Self {
        let value = match token {
            [quote @ (b'\'' | b'"'), ..] => text(token, *quote, backslash_escapes),
            [b'n' | b'N', rest @ ..] if rest.starts_with(b"'") => text(rest, b'\'', backslash_escapes),
            [b'x' | b'X', b'\'', digits @ .., b'\''] => hexadecimal(digits, false),
            [b'0', b'x', digits @ ..] => hexadecimal(digits, true),
            [b'b' | b'B', b'\'', digits @ .., b'\''] => bits(digits),
            [b'0', b'b', digits @ ..] => bits(digits),
            _ => number(token),
        };
        match value {
            Some(Self::Integer(number)) if negative => Self::Integer(-number),
            Some(Self::Decimal(number)) if negative => Self::Decimal(-number),
            Some(Self::Float(number)) if negative => Self::Float(-number),
            Some(value) if !negative => value,
            _ => Self::Other,
        }
    }

    /// What a parameter of the binary protocol is: see [`RawParameter`].
    pub fn of_parameter(parameter: RawParameter<'_>) -> Self {
        let bytes = parameter.bytes;
        let value = match parameter.kind {
            // TINY, SHORT, LONG, LONGLONG, INT24, YEAR
            1..=3 | 8 | 9 | 13 => match parameter.integer() {
                (_, bits) if parameter.unsigned => Some(Self::Integer(bits.into())),
                (signed, _) => Some(Self::Integer(signed.into())),
            },
            // FLOAT
            4 => bytes.try_into().ok().map(|bytes| Self::Float(f32::from_le_bytes(bytes).into())),
            // DOUBLE
            5 => bytes.try_into().ok().map(|bytes| Self::Float(f64::from_le_bytes(bytes))),
            // NULL
            6 => Some(Self::Null),
            // TIMESTAMP, DATE, DATETIME
            7 | 10 | 12 => moment(bytes).map(Self::Moment),
            // DECIMAL, NEWDECIMAL
            0 | 246 => decimal(bytes).map(Self::Decimal),
            // VARCHAR, ENUM, SET, VAR_STRING, STRING
            15 | 247 | 248 | 253 | 254 => Some(Self::Text(bytes.to_vec())),
            // TINY_BLOB, MEDIUM_BLOB, LONG_BLOB, BLOB
            249..=252 => Some(Self::Binary(bytes.to_vec())),
            _ => None,
        };
        value.unwrap_or(Self::Other)
    }
}

/// Whole numbers, those with a point, and those with an exponent.
fn number(token: &[u8]) -> Option<Value> {
    if let Some(number) = integer(token) {
        return Some(Value::Integer(number));
    }
    if let Some(number) = decimal(token) {
        return Some(Value::Decimal(number));
    }
    let of_float = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    let exponent = token.iter().any(|byte| byte.eq_ignore_ascii_case(&b'e'));
    let text = std::str::from_utf8(token).ok().filter(|_| exponent && token.iter().all(of_float))?;
    text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float)
}

/// What stands between quotes, which are doubled within.
fn text(token: &[u8], quote: u8, backslash_escapes: bool) -> Option<Value> {
    let inner = token.get(1..token.len().checked_sub(1)?)?;
    if token.last() != Some(&quote) {
        return None;
    }
    let mut text = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == quote {
            bytes.next().filter(|second| *second == quote)?;
        }
        if byte != b'\\' || !backslash_escapes {
            text.push(byte);
            continue;
        }
        match bytes.next()? {
            b'0' => text.push(0),
            b'b' => text.push(8),
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'Z' => text.push(0x1A),
            // For LIKE, which they mean something to.
            wildcard @ (b'%' | b'_') => text.extend([b'\\', wildcard]),
            other => text.push(other),
        }
    }
    Some(Value::Text(text))
}

/// An odd number of digits is one only in the form `0x...`.
fn hexadecimal(digits: &[u8], may_be_odd: bool) -> Option<Value> {
    let bytes = match digits.len() % 2 {
        0 => bytes_of_hex(digits)?,
        _ if may_be_odd => bytes_of_hex(&[b"0", digits].concat())?,
        _ => return None,
    };
    Some(Value::Binary(bytes))
}

/// The first byte may have fewer than eight.
fn bits(digits: &[u8]) -> Option<Value> {
    let byte = |digits: &[u8]| {
        digits.iter().try_fold(0u8, |byte, digit| match digit {
            b'0' | b'1' => Some(byte << 1 | (digit - b'0')),
            _ => None,
        })
    };
    let bytes: Option<Vec<u8>> = digits.rchunks(8).rev().map(byte).collect();
    bytes.map(Value::Binary)
}

/// A day, and a time of it with microseconds or without. The day 0 of the year 0 has no bytes.
fn moment(bytes: &[u8]) -> Option<Moment> {
    let &[y, century, month, day, ref time @ ..] = bytes else { return None };
    let date = (u16::from_le_bytes([y, century]), month, day);
    match *time {
        [] => Moment::new(date, (0, 0, 0), 0),
        [hour, minute, second] => Moment::new(date, (hour, minute, second), 0),
        [hour, minute, second, a, b, c, d] => {
            Moment::new(date, (hour, minute, second), u32::from_le_bytes([a, b, c, d]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(token: &str) -> Value {
        Value::of_literal(token.as_bytes(), false, true)
    }

    fn decimal_of(text: &str) -> Value {
        Value::Decimal(decimal(text.as_bytes()).expect("a decimal"))
    }

    #[test]
    fn numbers_are_what_servers_make_of_them() {
        assert_eq!(literal("7"), Value::Integer(7));
        assert_eq!(literal("007"), Value::Integer(7));
        assert_eq!(literal("18446744073709551615"), Value::Integer(u64::MAX.into()));
        assert_eq!(literal("7.0"), decimal_of("7.0"));
        assert_eq!(literal(".5"), decimal_of("0.5"));
        assert_eq!(literal("7e0"), Value::Float(7.0));
        assert_eq!(literal("1.5E-1"), Value::Float(0.15));
        assert_eq!(Value::of_literal(b"7", true, true), Value::Integer(-7));
        assert_eq!(Value::of_literal(b"7.5", true, true), decimal_of("-7.5"));
        assert_eq!(Value::of_literal(b"7e0", true, true), Value::Float(-7.0));
        for token in ["1e999", "1_0", "inf", "nan", "infinity", "e", "", "1e", &"9".repeat(80)] {
            assert_eq!(literal(token), Value::Other, "{token}");
        }
        assert_eq!(Value::of_literal(b"'7'", true, true), Value::Other);
        assert_eq!(Value::of_literal(b"0x7", true, true), Value::Other);
    }

    #[test]
    fn strings_are_without_their_quotes_and_escapes() {
        let text = |text: &str| Value::Text(text.as_bytes().to_vec());
        assert_eq!(literal("''"), text(""));
        assert_eq!(literal("'it''s'"), text("it's"));
        assert_eq!(literal("\"a'\"\"b\""), text("a'\"b"));
        assert_eq!(literal(r"'\0\b\n\r\t\Z\\\'\x'"), text("\0\u{8}\n\r\t\u{1A}\\'x"));
        assert_eq!(literal(r"'\%\_'"), text(r"\%\_"));
        assert_eq!(literal("N'a'"), text("a"));
        assert_eq!(Value::of_literal(br"'a\'", false, false), text(r"a\"));
        for token in ["'", "'a", r"'a\'", "'a'b'", "\"a'"] {
            assert_eq!(literal(token), Value::Other, "{token}");
        }
    }

    #[test]
    fn bytes_are_hexadecimal_or_bits() {
        let binary = |bytes: &[u8]| Value::Binary(bytes.to_vec());
        assert_eq!(literal("x'0aFF'"), binary(&[10, 255]));
        assert_eq!(literal("X''"), binary(&[]));
        assert_eq!(literal("0xabc"), binary(&[0x0A, 0xBC]));
        assert_eq!(literal("b'101'"), binary(&[5]));
        assert_eq!(literal("0b100000001"), binary(&[1, 1]));
        for token in ["x'abc'", "0xg", "b'2'", "0b3", "x'"] {
            assert_eq!(literal(token), Value::Other, "{token}");
        }
    }

    #[test]
    fn parameters_are_read_by_their_types() {
        let value =
            |kind, unsigned, bytes: &[u8]| Value::of_parameter(RawParameter { kind, unsigned, bytes });
        assert_eq!(value(1, false, &[0xFF]), Value::Integer(-1));
        assert_eq!(value(1, true, &[0xFF]), Value::Integer(255));
        assert_eq!(value(2, false, &[0xFE, 0xFF]), Value::Integer(-2));
        assert_eq!(value(3, true, &[0, 0, 0, 0x80]), Value::Integer(1 << 31));
        assert_eq!(value(8, true, &[0xFF; 8]), Value::Integer(u64::MAX.into()));
        assert_eq!(value(4, false, &1.5f32.to_le_bytes()), Value::Float(1.5));
        assert_eq!(value(5, false, &1.5f64.to_le_bytes()), Value::Float(1.5));
        assert_eq!(value(6, false, &[]), Value::Null);
        assert_eq!(value(246, false, b"-7.50"), decimal_of("-7.5"));
        assert_eq!(value(246, false, b"7e0"), Value::Other);
        assert_eq!(value(253, false, b"a"), Value::Text(b"a".to_vec()));
        assert_eq!(value(252, false, b"a"), Value::Binary(b"a".to_vec()));
        let moment = |text: &str| Value::Moment(Moment::parse(text.as_bytes()).expect("a moment"));
        assert_eq!(value(10, false, &[0xEA, 7, 1, 31]), moment("2026-01-31"));
        assert_eq!(value(12, false, &[0xEA, 7, 1, 31, 12, 0, 5]), moment("2026-01-31 12:00:05"));
        let micros = [0xEA, 7, 1, 31, 12, 0, 5, 0x20, 0xA1, 7, 0];
        assert_eq!(value(7, false, &micros), moment("2026-01-31 12:00:05.5"));
        for (kind, bytes) in [(10, &[][..]), (12, &[0xEA, 7, 2, 30]), (11, &[0; 8]), (245, b"{}")] {
            assert_eq!(value(kind, false, bytes), Value::Other, "{kind}");
        }
    }
}
