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
pub(super) const UNSIGNED: u8 = 0x80;

/// `MYSQL_TYPE_NULL`.
pub(super) const NULL: u8 = 6;

/// A value as it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawParameter<'a> {
    /// `MYSQL_TYPE_*`; that of NULL for NULL.
    pub kind: u8,
    pub unsigned: bool,
    /// Without a length before it.
    pub bytes: &'a [u8],
}

/// The values of a statement's parameters, in order, by `types` (two bytes each).
///
/// # Errors
/// Where the packet is too short, or has a type that no client sends.
pub fn parameters<'a>(
    payload: &'a [u8],
    header: &ExecuteHeader,
    types: &[u8],
) -> Result<Vec<Parameter<'a>>, Malformed> {
    Ok(raw_parameters(payload, header, types)?.into_iter().map(RawParameter::read).collect())
}

/// As [`parameters`], with all that the values say.
///
/// # Errors
/// As [`parameters`].
pub fn raw_parameters<'a>(
    payload: &'a [u8],
    header: &ExecuteHeader,
    types: &[u8],
) -> Result<Vec<RawParameter<'a>>, Malformed> {
    let nulls = payload.get(header.null_bitmap.clone()).unwrap_or_default();
    let mut values = Reader::new(payload.get(header.values..).unwrap_or_default());
    let value = |(at, kind): (usize, &[u8])| {
        let is_null = nulls.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1);
        match kind {
            _ if is_null => Ok(RawParameter { kind: NULL, unsigned: false, bytes: &[] }),
            [kind, flags] => {
                let bytes = bytes(&mut values, *kind)?;
                Ok(RawParameter { kind: *kind, unsigned: flags & UNSIGNED != 0, bytes })
            }
            _ => Err(Malformed::Field("parameter types")),
        }
    };
    types.chunks(2).enumerate().map(value).collect()
}

/// By the `MYSQL_TYPE_*` of the value.
pub(super) fn bytes<'a>(values: &mut Reader<'a>, kind: u8) -> Result<&'a [u8], Malformed> {
    match kind {
        // TINY
        1 => values.bytes(1),
        // SHORT, YEAR
        2 | 13 => values.bytes(2),
        // LONG, FLOAT, INT24
        3 | 4 | 9 => values.bytes(4),
        // DOUBLE, LONGLONG
        5 | 8 => values.bytes(8),
        NULL => Ok(&[]),
        // TIMESTAMP, DATE, TIME, DATETIME
        7 | 10..=12 => {
            let len = values.u8()?;
            values.bytes(usize::from(len))
        }
        // DECIMAL, and all that are sent as texts
        0 | 15..=19 | 242..=255 => values.lenenc_bytes(),
        _ => Err(Malformed::Field("parameter type")),
    }
}

impl<'a> RawParameter<'a> {
    fn read(self) -> Parameter<'a> {
        match self.kind {
            NULL => Parameter::Null,
            1..=3 | 8 | 9 | 13 => match self.integer() {
                (_, bits) if self.unsigned => Parameter::Unsigned(bits),
                (signed, _) => Parameter::Signed(signed),
            },
            4 | 5 | 7 | 10..=12 => Parameter::Other,
            _ => Parameter::Text(self.bytes),
        }
    }

    /// Of a whole number of up to 8 bytes: with a sign, and without one.
    pub fn integer(self) -> (i64, u64) {
        let bits = self.bytes.iter().take(8).rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        let unused = 64 - 8 * self.bytes.len().clamp(1, 8);
        ((bits << unused).cast_signed() >> unused, bits)
    }
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
