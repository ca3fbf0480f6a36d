//! From a value to the key of a row: of those that a condition finds, and of the one that an INSERT makes.

use bigdecimal::BigDecimal;

use super::value::Value;
use crate::config::sharding::{Key, KeyType, Moment, decimal, integer};

/// Whole numbers below are the same as floating-point numbers: 2^53.
const EXACT_BELOW: i128 = 1 << 53;

/// The bytes of a value that an error shows.
const SHOWN_BYTES_MAX: usize = 64;

/// What else says how values are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The client's character set is utf8mb4 or utf8, and servers get its texts unchanged.
    pub utf8: bool,
}

/// Why a value tells no key, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("NULL is in no shard: the rule's key_type is \"{0}\", so give {example}", example = .0.example())]
    Null(KeyType),
    #[error(
        "the value can't be told: it is no plain literal or parameter, and the rule's key_type is \"{0}\"; give {example}",
        example = .0.example()
    )]
    Unknown(KeyType),
    #[error(
        "{value} is of another kind than the rule's key_type \"{key_type}\": give {example}, or change key_type",
        example = .key_type.example()
    )]
    OtherType { value: String, key_type: KeyType },
    #[error("{value} is out of the range that the rule's key_type \"{key_type}\" has: give {example}", example = .key_type.example())]
    OutOfRange { value: String, key_type: KeyType },
    #[error(
        "{0} has other characters than printable ASCII, which collations may take for equal to others, and the rule's \
         key_type is \"text\": use key_type \"binary\" with a column that compares bytes"
    )]
    NotAscii(String),
    #[error(
        "{0} has other characters than ASCII, the rule's key_type is \"binary\", and servers convert them: use \
         SET NAMES utf8mb4, or write its bytes as x'...'"
    )]
    Converted(String),
    #[error(
        "{value} is rounded by the column, where it has fewer digits, so the rule's key_type \"{key_type}\" does not tell \
         its shard: give nothing behind the point, or all of its digits with algorithm \"range\""
    )]
    Rounded { value: String, key_type: KeyType },
}

/// The key of the rows for which `column = value` can hold, or `None` if there is no such row.
///
/// # Errors
/// Where rows of several keys can be meant, or it can't be told.
pub fn compared(key_type: KeyType, value: &Value, reading: Reading) -> Result<Option<Key>, KeyError> {
    match (key_type, value) {
        (_, Value::Null) => Ok(None),
        // Numbers of any size and with any digits compare exactly.
        (KeyType::Integer, Value::Integer(number)) => Ok(Key::integer(*number)),
        (KeyType::Integer, Value::Decimal(number)) => Ok(whole(number).and_then(Key::integer)),
        (KeyType::Integer, Value::Float(number)) if number.fract() != 0.0 => Ok(None),
        // A server may compare them as floating-point numbers: then there are several above.
        (KeyType::Integer, Value::Text(_)) => match exact(value) {
            Some(number) => Ok(Some(Key::Integer(number))),
            None => Err(other_type(key_type, value)),
        },
        // Texts and floating-point numbers are compared as the latter: several decimals are one.
        (KeyType::Decimal, Value::Text(_) | Value::Float(_)) => Err(other_type(key_type, value)),
        // Numbers are equal to many texts.
        (KeyType::Text | KeyType::Binary, Value::Integer(_)) => Err(other_type(key_type, value)),
        (KeyType::Date, Value::Moment(moment)) => Ok(Key::date(*moment)),
        _ => stored(key_type, value, reading).map(Some),
    }
}

/// The key of the row that an INSERT of this value makes. What a column makes of digits that it does not have is not
/// known here: see [`place`](super::place).
///
/// # Errors
/// Where the row may get another value.
pub fn stored(key_type: KeyType, value: &Value, reading: Reading) -> Result<Key, KeyError> {
    let other = || other_type(key_type, value);
    let out_of_range = || KeyError::OutOfRange { value: shown(value), key_type };
    match (key_type, value) {
        (_, Value::Null) => Err(KeyError::Null(key_type)),
        (_, Value::Other) => Err(KeyError::Unknown(key_type)),
        (KeyType::Integer, Value::Integer(number)) => Key::integer(*number).ok_or_else(out_of_range),
        (KeyType::Integer, Value::Decimal(number)) => {
            Key::integer(whole(number).ok_or_else(other)?).ok_or_else(out_of_range)
        }
        (KeyType::Integer, Value::Float(_)) => exact(value).map(Key::Integer).ok_or_else(other),
        (KeyType::Integer, Value::Text(text)) => {
            integer(text).ok_or_else(other).and_then(|number| Key::integer(number).ok_or_else(out_of_range))
        }
        (KeyType::Decimal, Value::Integer(number)) => Ok(Key::decimal(&BigDecimal::from(*number))),
        (KeyType::Decimal, Value::Decimal(number)) => Ok(Key::decimal(number)),
        (KeyType::Decimal, Value::Float(_)) => {
            exact(value).map(|number| Key::decimal(&number.into())).ok_or_else(other)
        }
        (KeyType::Decimal, Value::Text(text)) => {
            decimal(text).map(|number| Key::decimal(&number)).ok_or_else(other)
        }
        (KeyType::Text, Value::Text(text) | Value::Binary(text)) => {
            Key::text(text).ok_or_else(|| KeyError::NotAscii(shown(value)))
        }
        (KeyType::Text, Value::Integer(number)) => Key::text(number.to_string().as_bytes()).ok_or_else(other),
        (KeyType::Binary, Value::Binary(bytes)) => Ok(Key::binary(bytes)),
        (KeyType::Binary, Value::Text(text)) if reading.utf8 || text.is_ascii() => Ok(Key::binary(text)),
        (KeyType::Binary, Value::Text(_)) => Err(KeyError::Converted(shown(value))),
        (KeyType::Binary, Value::Integer(number)) => Ok(Key::binary(number.to_string().as_bytes())),
        (KeyType::Date, _) => moment(value).and_then(Key::date).ok_or_else(other),
        (KeyType::DateTime, _) => moment(value).map(Key::DateTime).ok_or_else(other),
        _ => Err(other()),
    }
}

/// A value as a bound of the columns that compare as their keys do, but for integers and bytes.
pub(super) fn bound(key_type: KeyType, value: &Value, reading: Reading) -> Option<Key> {
    match key_type {
        KeyType::Decimal => compared(key_type, value, reading).ok().flatten(),
        KeyType::Date | KeyType::DateTime => stored(key_type, value, reading).ok(),
        KeyType::Integer | KeyType::Text | KeyType::Binary => None,
    }
}

/// The whole number that a floating-point number or a text is under any comparison.
pub(super) fn exact(value: &Value) -> Option<i128> {
    let number = match value {
        Value::Text(text) => integer(text)?,
        Value::Float(number) => float_between(*number).filter(|(below, above)| below == above)?.0,
        _ => return None,
    };
    (number.abs() < EXACT_BELOW).then_some(number)
}

/// Whether it is the same as a floating-point number, if it is an integer.
pub(super) fn is_exact(key: &Key) -> bool {
    !matches!(key, Key::Integer(number) if number.abs() >= EXACT_BELOW)
}

/// The whole numbers next to a floating-point number, or it twice if it is one; none where several integers are one such.
#[expect(clippy::cast_possible_truncation, reason = "it saturates, and what is large is refused")]
pub(super) fn float_between(number: f64) -> Option<(i128, i128)> {
    let (below, above) = (number.floor() as i128, number.ceil() as i128);
    let is_exact = number.is_finite() && below.abs() < EXACT_BELOW && above.abs() < EXACT_BELOW;
    is_exact.then_some((below, above))
}

/// Whether a value is of the kind that the column has, so that servers compare the two without converting either.
pub fn is_of_kind(key_type: KeyType, value: &Value) -> bool {
    match key_type {
        KeyType::Integer => matches!(value, Value::Integer(_)),
        KeyType::Decimal => matches!(value, Value::Integer(_) | Value::Decimal(_)),
        KeyType::Text | KeyType::Binary => matches!(value, Value::Text(_) | Value::Binary(_)),
        KeyType::Date | KeyType::DateTime => matches!(value, Value::Text(_) | Value::Moment(_)),
    }
}

/// A decimal that is a whole number.
fn whole(number: &BigDecimal) -> Option<i128> {
    if !number.is_integer() {
        return None;
    }
    i128::try_from(number.with_scale(0).into_bigint_and_exponent().0).ok()
}

fn moment(value: &Value) -> Option<Moment> {
    match value {
        Value::Moment(moment) => Some(*moment),
        Value::Text(text) => Moment::parse(text),
        _ => None,
    }
}

fn other_type(key_type: KeyType, value: &Value) -> KeyError {
    match value {
        Value::Other => KeyError::Unknown(key_type),
        _ => KeyError::OtherType { value: shown(value), key_type },
    }
}

/// A value for people.
pub(super) fn shown(value: &Value) -> String {
    let cut = |bytes: &[u8]| {
        let start = bytes.get(..SHOWN_BYTES_MAX).unwrap_or(bytes);
        (start.to_vec(), if start.len() < bytes.len() { "..." } else { "" })
    };
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Decimal(number) => number.to_plain_string(),
        Value::Float(number) => format!("{number:e}"),
        Value::Text(text) => {
            let (start, more) = cut(text);
            format!("'{}'{more}", String::from_utf8_lossy(&start))
        }
        Value::Binary(bytes) => {
            let (start, more) = cut(bytes);
            let digits: String = start.iter().map(|byte| format!("{byte:02X}")).collect();
            format!("x'{digits}'{more}")
        }
        Value::Moment(moment) => format!("'{moment}'"),
        Value::Other => "the value".to_owned(),
    }
}
