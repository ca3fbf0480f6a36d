//! Values from one encoding of rows to the other.

use super::key;
use crate::protocol::buf::{Malformed, Reader};
use crate::protocol::column_definition::{ColumnDefinition, column_type as kinds};
use crate::protocol::row::RowEncoding;

/// The text of a value, as a text row has it.
pub(super) fn text(
    column: &ColumnDefinition<'_>,
    encoding: RowEncoding,
    value: &[u8],
) -> Result<Vec<u8>, Malformed> {
    if encoding == RowEncoding::Text {
        return Ok(value.to_vec());
    }
    Ok(match column.kind {
        kinds::YEAR => format!("{:04}", key::unsigned(encoding, value)?).into_bytes(),
        kinds::TINY | kinds::SHORT | kinds::LONG | kinds::INT24 | kinds::LONGLONG => {
            match column.is_unsigned() {
                true => key::unsigned(encoding, value)?.to_string().into_bytes(),
                false => key::signed(encoding, value)?.to_string().into_bytes(),
            }
        }
        kinds::DOUBLE => format!("{:e}", key::double(encoding, value)?).into_bytes(),
        kinds::DATE | kinds::DATETIME | kinds::TIMESTAMP => moment_text(column, value)?,
        kinds::TIME => time_text(column, value)?,
        _ => value.to_vec(),
    })
}

fn fraction(column: &ColumnDefinition<'_>, microseconds: u32) -> String {
    match usize::from(column.decimals) {
        0 => String::new(),
        digits => {
            let all = format!("{microseconds:06}");
            format!(".{}", all.get(..digits.min(6)).unwrap_or(&all))
        }
    }
}

fn moment_text(column: &ColumnDefinition<'_>, value: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut reader = Reader::new(value);
    let (mut year, mut date, mut time, mut microseconds) = (0, [0; 2], [0; 3], 0);
    if !value.is_empty() {
        (year, date) = (reader.u16()?, reader.array()?);
    }
    if value.len() > 4 {
        time = reader.array()?;
    }
    if value.len() > 7 {
        microseconds = reader.u32()?;
    }
    let ([month, day], [hour, minute, second]) = (date, time);
    let mut text = format!("{year:04}-{month:02}-{day:02}");
    if column.kind != kinds::DATE {
        text += &format!(" {hour:02}:{minute:02}:{second:02}{}", fraction(column, microseconds));
    }
    Ok(text.into_bytes())
}

fn time_text(column: &ColumnDefinition<'_>, value: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut reader = Reader::new(value);
    let (mut negative, mut days, mut time, mut microseconds) = (false, 0, [0; 3], 0);
    if !value.is_empty() {
        (negative, days, time) = (reader.u8()? != 0, reader.u32()?, reader.array()?);
    }
    if value.len() > 8 {
        microseconds = reader.u32()?;
    }
    let [hour, minute, second] = time;
    let hours = u64::from(days) * 24 + u64::from(hour);
    let sign = if negative { "-" } else { "" };
    Ok(format!("{sign}{hours:02}:{minute:02}:{second:02}{}", fraction(column, microseconds)).into_bytes())
}

/// A value of a text row, as a row of this encoding has it.
///
/// # Errors
/// Where it is no text of that type, and for those whose text does not tell the value.
pub(super) fn value(
    column: &ColumnDefinition<'_>,
    encoding: RowEncoding,
    text: &[u8],
) -> Result<Vec<u8>, Malformed> {
    if encoding == RowEncoding::Text {
        return Ok(text.to_vec());
    }
    Ok(match column.kind {
        kinds::TINY => integer(column, text, 1)?,
        kinds::SHORT | kinds::YEAR => integer(column, text, 2)?,
        kinds::LONG | kinds::INT24 => integer(column, text, 4)?,
        kinds::LONGLONG => integer(column, text, 8)?,
        kinds::FLOAT => return Err(Malformed::Field("float")),
        kinds::DOUBLE => key::double(RowEncoding::Text, text)?.to_le_bytes().to_vec(),
        kinds::DATE | kinds::DATETIME | kinds::TIMESTAMP => moment(text)?,
        kinds::TIME => time(text)?,
        _ => text.to_vec(),
    })
}

fn integer(column: &ColumnDefinition<'_>, text: &[u8], len: usize) -> Result<Vec<u8>, Malformed> {
    let too_large = || Malformed::Field("integer");
    let bits = 8 * len as u32;
    let bytes = match column.is_unsigned() || column.kind == kinds::YEAR {
        true => {
            let number = key::unsigned(RowEncoding::Text, text)?;
            (number.checked_shr(bits).unwrap_or(0) == 0)
                .then(|| number.to_le_bytes())
                .ok_or_else(too_large)?
        }
        false => {
            let number = key::signed(RowEncoding::Text, text)?;
            let beyond = number.checked_shr(bits - 1).unwrap_or(0);
            matches!(beyond, 0 | -1).then(|| number.to_le_bytes()).ok_or_else(too_large)?
        }
    };
    Ok(bytes.into_iter().take(len).collect())
}

/// The numbers of a text, and the microseconds behind its point.
fn numbers(text: &[u8]) -> Result<(Vec<u32>, u32), Malformed> {
    let malformed = || Malformed::Field("date or time");
    let text = std::str::from_utf8(text).map_err(|_| malformed())?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let parts = whole.split(|c: char| !c.is_ascii_digit());
    let found = parts.map(|part| part.parse().map_err(|_| malformed())).collect::<Result<_, _>>()?;
    let microseconds = match fraction.len() {
        0 => 0,
        1..=6 => format!("{fraction:0<6}").parse().map_err(|_| malformed())?,
        _ => return Err(malformed()),
    };
    Ok((found, microseconds))
}

/// As short as a server writes it.
fn moment(text: &[u8]) -> Result<Vec<u8>, Malformed> {
    let (numbers, microseconds) = numbers(text)?;
    let [year, month, day, hour, minute, second] = match numbers.as_slice() {
        [year, month, day] => [*year, *month, *day, 0, 0, 0],
        [year, month, day, hour, minute, second] => [*year, *month, *day, *hour, *minute, *second],
        _ => return Err(Malformed::Field("date")),
    };
    let narrow = |number: u32| u8::try_from(number).map_err(|_| Malformed::Field("date"));
    let year = u16::try_from(year).map_err(|_| Malformed::Field("date"))?;
    let mut out = Vec::new();
    let has_time = [hour, minute, second, microseconds].iter().any(|number| *number != 0);
    if has_time || year != 0 || month != 0 || day != 0 {
        out.extend_from_slice(&year.to_le_bytes());
        out.extend([narrow(month)?, narrow(day)?]);
    }
    if has_time {
        out.extend([narrow(hour)?, narrow(minute)?, narrow(second)?]);
    }
    if microseconds != 0 {
        out.extend_from_slice(&microseconds.to_le_bytes());
    }
    Ok(out)
}

fn time(text: &[u8]) -> Result<Vec<u8>, Malformed> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        text => (false, text),
    };
    let (numbers, microseconds) = numbers(text)?;
    let [hours, minute, second] = numbers.try_into().map_err(|_| Malformed::Field("time"))?;
    let narrow = |number: u32| u8::try_from(number).map_err(|_| Malformed::Field("time"));
    let mut out = Vec::new();
    if [hours, minute, second, microseconds].iter().any(|number| *number != 0) {
        out.push(u8::from(negative));
        out.extend_from_slice(&(hours / 24).to_le_bytes());
        out.extend([narrow(hours % 24)?, narrow(minute)?, narrow(second)?]);
    }
    if microseconds != 0 {
        out.extend_from_slice(&microseconds.to_le_bytes());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: u8, flags: u16, decimals: u8) -> ColumnDefinition<'static> {
        ColumnDefinition { length: 20, flags, decimals, ..ColumnDefinition::of_no_table(b"c", kind) }
    }

    #[test]
    fn values_are_the_same_in_both_encodings() {
        const UNSIGNED: u16 = 0x20;
        let cases: &[(u8, u16, u8, &str, &[u8])] = &[
            (kinds::TINY, 0, 0, "-1", &[0xFF]),
            (kinds::TINY, UNSIGNED, 0, "255", &[0xFF]),
            (kinds::YEAR, 0, 0, "2155", &[0x6B, 8]),
            (kinds::LONG, 0, 0, "-2", &[0xFE, 0xFF, 0xFF, 0xFF]),
            (kinds::LONGLONG, UNSIGNED, 0, "18446744073709551615", &[0xFF; 8]),
            (kinds::NEWDECIMAL, 0, 2, "-1.50", b"-1.50"),
            (kinds::DATE, 0, 0, "2024-02-29", &[0xE8, 7, 2, 29]),
            (kinds::DATETIME, 0, 0, "2024-02-29 00:00:00", &[0xE8, 7, 2, 29]),
            (kinds::DATETIME, 0, 0, "2024-02-29 12:34:56", &[0xE8, 7, 2, 29, 12, 34, 56]),
            (kinds::DATETIME, 0, 3, "2024-02-29 12:34:56.789", &[0xE8, 7, 2, 29, 12, 34, 56, 8, 10, 12, 0]),
            (kinds::TIME, 0, 0, "00:00:00", &[]),
            (kinds::TIME, 0, 0, "-838:59:59", &[1, 34, 0, 0, 0, 22, 59, 59]),
            (kinds::TIME, 0, 2, "100:00:00.50", &[0, 4, 0, 0, 0, 4, 0, 0, 0x20, 0xA1, 7, 0]),
            (kinds::VAR_STRING, 0, 0, "text", b"text"),
        ];
        for (kind, flags, decimals, text_of, bytes) in cases {
            let column = column(*kind, *flags, *decimals);
            assert_eq!(
                value(&column, RowEncoding::Binary, text_of.as_bytes()).as_deref(),
                Ok(*bytes),
                "{text_of}"
            );
            let shown = text(&column, RowEncoding::Binary, bytes).expect("a value");
            assert_eq!(String::from_utf8_lossy(&shown), *text_of);
            assert_eq!(
                text(&column, RowEncoding::Text, text_of.as_bytes()).as_deref(),
                Ok(text_of.as_bytes())
            );
        }
        let double = column(kinds::DOUBLE, 0, 31);
        let bytes = value(&double, RowEncoding::Binary, b"0.1").expect("a number");
        assert_eq!(bytes, 0.1f64.to_le_bytes());
        assert_eq!(text(&double, RowEncoding::Binary, &bytes).as_deref(), Ok(&b"1e-1"[..]));
    }

    #[test]
    fn what_is_no_value_is_an_error() {
        let cases = [
            (kinds::LONG, "x"),
            (kinds::LONG, "1.5"),
            (kinds::TINY, "128"),
            (kinds::LONG, "-2147483649"),
            (kinds::FLOAT, "1.5"),
            (kinds::DATE, "2024-02"),
            (kinds::DATE, "2024-02-29 1:2:3:4"),
            (kinds::TIME, "1:2:300"),
            (kinds::TIME, "\u{e9}"),
        ];
        for (kind, text) in cases {
            assert!(value(&column(kind, 0, 0), RowEncoding::Binary, text.as_bytes()).is_err(), "{text}");
        }
    }
}
