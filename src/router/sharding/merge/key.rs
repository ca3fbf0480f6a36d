//! Values as bytes that compare as the server compares the values: [`put`] writes a key of several values, and the order of
//! keys as byte strings is the order of rows. Equal values have equal bytes, however they are written (`1.50` and `1.5`).

use crate::protocol::buf::{Malformed, Reader};
use crate::protocol::column_definition::{BINARY, ColumnDefinition, column_flag, column_type as kinds};
use crate::protocol::row::RowEncoding;

/// More digits than any DECIMAL has.
const DIGITS_MAX: usize = 1000;

/// More hours than any TIME has: 838 are the most.
const HOURS_MAX: i64 = 1_000_000;

/// How values of a column are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Signed,
    Unsigned,
    Decimal,
    Float,
    Double,
    /// DATE, DATETIME, TIMESTAMP.
    Moment,
    Time,
    Bit,
    /// By their weights.
    Text,
    Bytes,
}

/// Types whose order rows do not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Untold {
    /// By the number of the value in the definition.
    Enumerated,
    Json,
    Geometry,
    /// A text has fewer digits than the number.
    Shortened,
}

impl Kind {
    pub fn of(column: &ColumnDefinition<'_>) -> Result<Kind, Untold> {
        Ok(match column.kind {
            _ if column.flags & (column_flag::ENUM | column_flag::SET) != 0 => {
                return Err(Untold::Enumerated);
            }
            kinds::ENUM | kinds::SET => return Err(Untold::Enumerated),
            kinds::JSON => return Err(Untold::Json),
            kinds::GEOMETRY => return Err(Untold::Geometry),
            kinds::YEAR => Kind::Unsigned,
            kinds::TINY | kinds::SHORT | kinds::LONG | kinds::INT24 | kinds::LONGLONG => {
                if column.is_unsigned() { Kind::Unsigned } else { Kind::Signed }
            }
            kinds::DECIMAL | kinds::NEWDECIMAL => Kind::Decimal,
            kinds::FLOAT => Kind::Float,
            kinds::DOUBLE => Kind::Double,
            kinds::TIMESTAMP | kinds::DATE | kinds::DATETIME => Kind::Moment,
            kinds::TIME => Kind::Time,
            kinds::BIT => Kind::Bit,
            _ if column.character_set == BINARY => Kind::Bytes,
            _ => Kind::Text,
        })
    }
}

/// Appends one value of a key. A text without a weight goes by its bytes.
pub(super) fn put(
    out: &mut Vec<u8>,
    kind: Kind,
    encoding: RowEncoding,
    value: Option<&[u8]>,
    weight: Option<&[u8]>,
) -> Result<(), Malformed> {
    let Some(value) = value else {
        out.push(0);
        return Ok(());
    };
    out.push(1);
    match kind {
        Kind::Signed => {
            let number = signed(encoding, value)?.cast_unsigned() ^ (1 << 63);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Kind::Unsigned => out.extend_from_slice(&unsigned(encoding, value)?.to_be_bytes()),
        Kind::Decimal => put_decimal(out, value)?,
        Kind::Float | Kind::Double => put_double(out, double(encoding, value)?),
        Kind::Moment => out.extend_from_slice(&moment(encoding, value)?.to_be_bytes()),
        Kind::Time => {
            let microseconds = time(encoding, value)?.cast_unsigned() ^ (1 << 63);
            out.extend_from_slice(&microseconds.to_be_bytes());
        }
        Kind::Bit => out.extend_from_slice(&bits(value)?.to_be_bytes()),
        Kind::Text => put_bytes(out, weight.unwrap_or(value)),
        Kind::Bytes => put_bytes(out, value),
    }
    Ok(())
}

/// A length has no say before the bytes have: zeros are marked, so that the end sorts before all that goes on.
fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            0 => out.extend_from_slice(&[0, 0xFF]),
            byte => out.push(*byte),
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// Sign, number of digits before the point (less than 0 for zeros behind it), digits from the first to the last that is not
/// zero.
fn put_decimal(out: &mut Vec<u8>, text: &[u8]) -> Result<(), Malformed> {
    const NEGATIVE: u8 = 0;
    const ZERO: u8 = 1;
    const POSITIVE: u8 = 2;
    let (negative, whole, fraction) = split_decimal(text)?;
    let zeros = whole.iter().chain(fraction).take_while(|digit| **digit == b'0').count();
    let len = whole.len() + fraction.len();
    if zeros == len {
        out.push(ZERO);
        return Ok(());
    }
    let trailing = whole.iter().chain(fraction).rev().take_while(|digit| **digit == b'0').count();
    // At most DIGITS_MAX each.
    let before_point = whole.len() as i32 - zeros as i32;
    out.push(if negative { NEGATIVE } else { POSITIVE });
    let start = out.len();
    out.extend_from_slice(&(before_point.cast_unsigned() ^ (1 << 31)).to_be_bytes());
    out.extend(whole.iter().chain(fraction).skip(zeros).take(len - zeros - trailing));
    out.push(0);
    if negative {
        invert(out, start);
    }
    Ok(())
}

/// Whether it is negative, and the digits before and behind the point.
pub(super) fn split_decimal(text: &[u8]) -> Result<(bool, &[u8], &[u8]), Malformed> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let (whole, fraction) = match memchr::memchr(b'.', digits).and_then(|at| digits.split_at_checked(at)) {
        Some((whole, fraction)) => (whole, fraction.get(1..).unwrap_or_default()),
        None => (digits, &[][..]),
    };
    if whole.len() + fraction.len() > DIGITS_MAX {
        return Err(Malformed::Field("decimal"));
    }
    let good =
        whole.iter().chain(fraction).all(u8::is_ascii_digit) && !(whole.is_empty() && fraction.is_empty());
    if good { Ok((negative, whole, fraction)) } else { Err(Malformed::Field("decimal")) }
}

fn put_double(out: &mut Vec<u8>, number: f64) {
    const SIGN: u64 = 1 << 63;
    let bits = if number == 0.0 { 0 } else { number.to_bits() };
    let ordered = if bits & SIGN == 0 { bits | SIGN } else { !bits };
    out.extend_from_slice(&ordered.to_be_bytes());
}

/// Turns the order of what stands behind `start` round.
pub(super) fn invert(key: &mut [u8], start: usize) {
    key.iter_mut().skip(start).for_each(|byte| *byte = !*byte);
}

/// Reads a number as a server writes it.
fn parse<T: std::str::FromStr>(text: &[u8]) -> Result<T, Malformed> {
    let text = std::str::from_utf8(text).map_err(|_| Malformed::Field("number"))?;
    text.parse().map_err(|_| Malformed::Field("number"))
}

pub(super) fn signed(encoding: RowEncoding, value: &[u8]) -> Result<i64, Malformed> {
    if encoding == RowEncoding::Text {
        return parse(value);
    }
    let mut reader = Reader::new(value);
    Ok(match value.len() {
        1 => i64::from(reader.u8()?.cast_signed()),
        2 => i64::from(reader.u16()?.cast_signed()),
        4 => i64::from(reader.u32()?.cast_signed()),
        _ => reader.u64()?.cast_signed(),
    })
}

pub(super) fn unsigned(encoding: RowEncoding, value: &[u8]) -> Result<u64, Malformed> {
    if encoding == RowEncoding::Text {
        return parse(value);
    }
    let mut reader = Reader::new(value);
    Ok(match value.len() {
        1 => u64::from(reader.u8()?),
        2 => u64::from(reader.u16()?),
        4 => u64::from(reader.u32()?),
        _ => reader.u64()?,
    })
}

pub(super) fn double(encoding: RowEncoding, value: &[u8]) -> Result<f64, Malformed> {
    if encoding == RowEncoding::Text {
        return parse(value);
    }
    let mut reader = Reader::new(value);
    match value.len() {
        4 => Ok(f64::from(f32::from_le_bytes(reader.array()?))),
        _ => Ok(f64::from_le_bytes(reader.array()?)),
    }
}

/// A number of at most eight bytes, the highest first.
fn bits(value: &[u8]) -> Result<u64, Malformed> {
    match value {
        long if long.len() > 8 => Err(Malformed::Field("bits")),
        value => Ok(value.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))),
    }
}

/// Year, month, day, hour, minute, second and microsecond, each in as many bits as it needs.
fn moment(encoding: RowEncoding, value: &[u8]) -> Result<u64, Malformed> {
    let mut reader = Reader::new(value);
    let [year, month, day, hour, minute, second, microsecond] = match (encoding, value.len()) {
        (RowEncoding::Text, _) => {
            let (whole, microsecond) = split_fraction(value)?;
            let mut fields = whole.split(|byte| !byte.is_ascii_digit());
            let mut next = || fields.next().map_or(Ok(0), parse::<u64>);
            [next()?, next()?, next()?, next()?, next()?, next()?, microsecond]
        }
        (RowEncoding::Binary, 0) => [0; 7],
        (RowEncoding::Binary, len) => {
            let year = u64::from(reader.u16()?);
            let [month, day] = reader.array()?.map(u64::from);
            let [hour, minute, second] = if len > 4 { reader.array()?.map(u64::from) } else { [0; 3] };
            let microsecond = if len > 7 { u64::from(reader.u32()?) } else { 0 };
            [year, month, day, hour, minute, second, microsecond]
        }
    };
    let parts = [(year, 14), (month, 4), (day, 5), (hour, 5), (minute, 6), (second, 6), (microsecond, 20)];
    parts.iter().try_fold(0, |packed, (part, bits)| match part >> bits {
        0 => Ok(packed << bits | part),
        _ => Err(Malformed::Field("date")),
    })
}

/// Microseconds.
///
/// # Errors
/// Among others for more hours than any TIME has.
fn time(encoding: RowEncoding, value: &[u8]) -> Result<i64, Malformed> {
    let mut reader = Reader::new(value);
    let (negative, [hours, minutes, seconds, microseconds]) = match (encoding, value.len()) {
        (RowEncoding::Text, _) => {
            let (negative, digits) = match value {
                [b'-', digits @ ..] => (true, digits),
                digits => (false, digits),
            };
            let (whole, microseconds) = split_fraction(digits)?;
            let mut fields = whole.split(|byte| *byte == b':');
            let mut next = || fields.next().map_or(Ok(0), parse::<u32>).map(i64::from);
            (negative, [next()?, next()?, next()?, microseconds.cast_signed()])
        }
        (RowEncoding::Binary, 0) => (false, [0; 4]),
        (RowEncoding::Binary, len) => {
            let negative = reader.u8()? != 0;
            let days = i64::from(reader.u32()?);
            let [hours, minutes, seconds] = reader.array()?.map(i64::from);
            let microseconds = if len > 8 { i64::from(reader.u32()?) } else { 0 };
            (negative, [days * 24 + hours, minutes, seconds, microseconds])
        }
    };
    if hours > HOURS_MAX {
        return Err(Malformed::Field("time"));
    }
    let total = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + microseconds;
    Ok(if negative { -total } else { total })
}

/// What stands before the point, and the microseconds behind it.
fn split_fraction(text: &[u8]) -> Result<(&[u8], u64), Malformed> {
    let Some((whole, fraction)) = memchr::memchr(b'.', text).and_then(|at| text.split_at_checked(at)) else {
        return Ok((text, 0));
    };
    let digits = fraction.iter().skip(1).chain(std::iter::repeat(&b'0')).take(6);
    let microseconds = digits.copied().try_fold(0, |number, digit| match digit {
        b'0'..=b'9' => Ok(number * 10 + u64::from(digit - b'0')),
        _ => Err(Malformed::Field("fraction of a second")),
    })?;
    Ok((whole, microseconds))
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
