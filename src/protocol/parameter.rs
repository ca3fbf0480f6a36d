//! The values of the parameters of COM_STMT_EXECUTE.
//!
//! Protocol section: "Binary Protocol Value".

use super::buf::{Malformed, Reader};
use super::statement::ExecuteHeader;

/// A value, as far as its kind matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter<'a> {
    Null,
    Signed(i64),
    Unsigned(u64),
    /// A text, a decimal number or bytes.
    Text(&'a [u8]),
    /// A float, or a date or time.
    Other,
}

/// The second byte of a type: the value has no sign.
const UNSIGNED: u8 = 0x80;

/// The values of a statement's parameters, in order, by `types` (two bytes each).
///
/// # Errors
/// Where the packet is too short, or has a type that no client sends.
pub fn parameters<'a>(
    payload: &'a [u8],
    header: &ExecuteHeader,
    types: &[u8],
) -> Result<Vec<Parameter<'a>>, Malformed> {
    let nulls = payload.get(header.null_bitmap.clone()).unwrap_or_default();
    let mut values = Reader::new(payload.get(header.values..).unwrap_or_default());
    let value = |(at, kind): (usize, &[u8])| {
        let is_null = nulls.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1);
        match kind {
            _ if is_null => Ok(Parameter::Null),
            [kind, flags] => read(&mut values, *kind, flags & UNSIGNED != 0),
            _ => Err(Malformed::Field("parameter types")),
        }
    };
    types.chunks(2).enumerate().map(value).collect()
}

/// By the `MYSQL_TYPE_*` of the value.
fn read<'a>(values: &mut Reader<'a>, kind: u8, unsigned: bool) -> Result<Parameter<'a>, Malformed> {
    let integer = |signed: i64, bits: u64| {
        if unsigned { Parameter::Unsigned(bits) } else { Parameter::Signed(signed) }
    };
    Ok(match kind {
        // TINY
        1 => {
            let [byte] = values.array()?;
            integer(i64::from(byte.cast_signed()), u64::from(byte))
        }
        // SHORT, YEAR
        2 | 13 => {
            let number = u16::from_le_bytes(values.array()?);
            integer(i64::from(number.cast_signed()), u64::from(number))
        }
        // LONG, INT24
        3 | 9 => {
            let number = u32::from_le_bytes(values.array()?);
            integer(i64::from(number.cast_signed()), u64::from(number))
        }
        // LONGLONG
        8 => {
            let number = u64::from_le_bytes(values.array()?);
            integer(number.cast_signed(), number)
        }
        // NULL
        6 => Parameter::Null,
        // FLOAT, DOUBLE
        4 => {
            values.bytes(4)?;
            Parameter::Other
        }
        5 => {
            values.bytes(8)?;
            Parameter::Other
        }
        // TIMESTAMP, DATE, TIME, DATETIME
        7 | 10..=12 => {
            let len = values.u8()?;
            values.bytes(usize::from(len))?;
            Parameter::Other
        }
        // DECIMAL, and all that are sent as texts
        0 | 15..=19 | 242..=255 => Parameter::Text(values.lenenc_bytes()?),
        _ => return Err(Malformed::Field("parameter type")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_their_types() {
        let types = [8, 0, 8, 0x80, 1, 0, 253, 0, 5, 0, 10, 0, 3, 0];
        let mut payload = vec![0x17, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0b100_0000, 1];
        payload.extend_from_slice(&types);
        payload.extend_from_slice(&(-5i64).to_le_bytes());
        payload.extend_from_slice(&u64::MAX.to_le_bytes());
        payload.extend_from_slice(b"\xFF\x02ab");
        payload.extend_from_slice(&1.5f64.to_le_bytes());
        payload.extend_from_slice(b"\x04\xE8\x07\x01\x02");
        let header = ExecuteHeader::parse(&payload, 7, false).expect("a header");
        let expected = [
            Parameter::Signed(-5),
            Parameter::Unsigned(u64::MAX),
            Parameter::Signed(-1),
            Parameter::Text(b"ab"),
            Parameter::Other,
            Parameter::Other,
            Parameter::Null,
        ];
        assert_eq!(parameters(&payload, &header, &types).as_deref(), Ok(&expected[..]));
        let cut = payload.len() - 1;
        assert!(parameters(&payload[..cut], &header, &types).is_err());
    }
}
