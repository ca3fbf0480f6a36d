//! The values by which rows are told apart.

use std::borrow::Cow;
use std::fmt;

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;

use super::moment::Moment;

/// The most digits that a DECIMAL has, on both sides of the point.
const DECIMAL_DIGITS_MAX: usize = 65;

/// What kind of column tells rows apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// TINYINT to BIGINT.
    Integer,
    /// CHAR, VARCHAR and TEXT of any collation that takes no two letters of ASCII for equal but by their case.
    Text,
    /// BINARY, VARBINARY and BLOB, and texts that are compared by their code points.
    Binary,
    Decimal,
    Date,
    /// DATETIME.
    DateTime,
}

impl KeyType {
    /// The word of the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Decimal => "decimal",
            Self::Date => "date",
            Self::DateTime => "datetime",
        }
    }

    pub(super) fn of_word(word: &str) -> Self {
        match word {
            "text" => Self::Text,
            "binary" => Self::Binary,
            "decimal" => Self::Decimal,
            "date" => Self::Date,
            "datetime" => Self::DateTime,
            _ => Self::Integer,
        }
    }

    /// How a value of it looks.
    pub fn example(self) -> &'static str {
        match self {
            Self::Integer => "a whole number of 64 bits, such as 7",
            Self::Text => "a string in quotes of printable ASCII, such as 'abc'",
            Self::Binary => "a string in quotes or a hexadecimal one, such as x'0A1B'",
            Self::Decimal => "a number without an exponent, such as 7.25",
            Self::Date => "a day of the calendar, such as '2026-01-31'",
            Self::DateTime => "a day with its time, such as '2026-01-31 12:00:00'",
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What decides where a row is. Keys of one type have the order of their columns; values that a server takes for equal
/// have one key, and some that it tells apart have one as well.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Integer(i128),
    /// Without zeros at its end.
    Decimal(BigDecimal),
    /// Of a text, in small letters, and without spaces at its end.
    Text(Vec<u8>),
    /// Without spaces and zero bytes at its end: some columns add them, some don't count them.
    Binary(Vec<u8>),
    /// A day, as its midnight.
    Date(Moment),
    DateTime(Moment),
}

impl Key {
    pub fn integer(number: i128) -> Option<Self> {
        let has_column = (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&number);
        has_column.then_some(Self::Integer(number))
    }

    pub fn decimal(number: &BigDecimal) -> Self {
        Self::Decimal(number.normalized())
    }

    /// `None` where there is more in it than printable ASCII.
    pub fn text(text: &[u8]) -> Option<Self> {
        let plain = text.iter().all(|byte| matches!(byte, b' '..=b'~'));
        plain.then(|| Self::Text(trimmed(text, b" ").to_ascii_lowercase()))
    }

    pub fn binary(bytes: &[u8]) -> Self {
        Self::Binary(trimmed(bytes, b" \0").to_vec())
    }

    /// `None` where it has a time.
    pub fn date(moment: Moment) -> Option<Self> {
        moment.is_midnight().then_some(Self::Date(moment))
    }

    /// A bound of a range as the file has it.
    pub(super) fn of_file(key_type: KeyType, text: &str) -> Option<Self> {
        match key_type {
            KeyType::Integer => integer(text.as_bytes()).and_then(Self::integer),
            KeyType::Text => Self::text(text.as_bytes()),
            KeyType::Binary => match text.strip_prefix("0x") {
                Some(digits) => bytes_of_hex(digits.as_bytes()).map(|bytes| Self::binary(&bytes)),
                None => Some(Self::binary(text.as_bytes())),
            },
            KeyType::Decimal => decimal(text.as_bytes()).map(|number| Self::decimal(&number)),
            KeyType::Date => Moment::parse(text.as_bytes()).and_then(Self::date),
            KeyType::DateTime => Moment::parse(text.as_bytes()).map(Self::DateTime),
        }
    }

    /// What is hashed: the same bytes for the same key in all versions of Athena.
    pub fn canonical(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Integer(number) => Cow::Owned(number.to_string().into_bytes()),
            Self::Decimal(number) => Cow::Owned(number.to_plain_string().into_bytes()),
            Self::Text(bytes) | Self::Binary(bytes) => Cow::Borrowed(bytes),
            Self::Date(moment) => Cow::Owned(moment.date_text().into_bytes()),
            Self::DateTime(moment) => Cow::Owned(moment.to_string().into_bytes()),
        }
    }
}

/// A sign or none, and digits.
pub fn integer(text: &[u8]) -> Option<i128> {
    let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A sign or none, and digits with a point among them or none.
pub fn decimal(text: &[u8]) -> Option<BigDecimal> {
    let (negative, number) = match text {
        [b'-', number @ ..] => (true, number),
        [b'+', number @ ..] => (false, number),
        _ => (false, text),
    };
    let point = number.iter().position(|byte| *byte == b'.').unwrap_or(number.len());
    let (whole, fraction) = (number.get(..point)?, number.get(point + 1..).unwrap_or_default());
    let digits = [whole, fraction].concat();
    if digits.is_empty() || digits.len() > DECIMAL_DIGITS_MAX {
        return None;
    }
    let digits = digits.iter().all(u8::is_ascii_digit).then_some(digits)?;
    let scale = i64::try_from(fraction.len()).ok()?;
    let number = BigDecimal::new(BigInt::parse_bytes(&digits, 10)?, scale);
    Some(if negative { -number } else { number })
}

/// The bytes that pairs of hexadecimal digits are.
pub fn bytes_of_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    digits.chunks(2).map(pair).collect()
}

fn trimmed<'a>(bytes: &'a [u8], of: &[u8]) -> &'a [u8] {
    let end = bytes.iter().rposition(|byte| !of.contains(byte)).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_strictly() {
        for (text, number) in [("7", 7), ("-7", -7), ("+7", 7), ("007", 7), ("-0", 0)] {
            assert_eq!(integer(text.as_bytes()), Some(number));
        }
        for text in ["", "-", "7.0", " 7", "7 ", "--7", "7e0", "0x7", "1_0"] {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
        let canonical = |text: &str| {
            let key = Key::decimal(&decimal(text.as_bytes())?);
            String::from_utf8(key.canonical().into_owned()).ok()
        };
        for (text, plain) in [
            ("7", "7"),
            ("7.0", "7"),
            ("700", "700"),
            ("-7.250", "-7.25"),
            (".5", "0.5"),
            ("5.", "5"),
            ("-0.0", "0"),
            ("0.001", "0.001"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(plain), "{text}");
        }
        for text in ["", ".", "-", "1.2.3", "1e5", "0x7", "1 "] {
            assert_eq!(canonical(text), None, "{text}");
        }
        assert_eq!(decimal(&[b'9'; 66]), None);
        assert!(decimal(&[b'9'; 65]).is_some());
    }

    #[test]
    fn what_servers_take_for_equal_is_one_key() {
        assert_eq!(Key::text(b"Ab C  "), Key::text(b"aB c"));
        assert_ne!(Key::text(b" a"), Key::text(b"a"));
        assert_eq!(Key::text("\u{e9}".as_bytes()), None);
        assert_eq!(Key::text(b"a\tb"), None);
        assert_eq!(Key::binary(b"a \0"), Key::binary(b"a"));
        assert_ne!(Key::binary(b"A"), Key::binary(b"a"));
        let decimals = ["1.10", "1.1", "01.100"].map(|text| Key::of_file(KeyType::Decimal, text));
        assert!(decimals.iter().all(|key| key.is_some() && *key == decimals[0]));
    }

    #[test]
    fn canonical_texts_of_moments_are_in_their_order() {
        let texts = ["2026-01-01", "2026-01-01 00:00:00.1", "2026-01-01 00:00:00.15", "2026-01-01 00:00:01"];
        let keys = texts.map(|text| Key::of_file(KeyType::DateTime, text).expect("a moment"));
        assert!(keys.is_sorted());
        assert!(keys.map(|key| key.canonical().into_owned()).is_sorted());
    }
}
