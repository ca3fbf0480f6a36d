//! MySQL's query attributes: named values that a client sends along with a statement.
//!
//! Protocol sections: "COM_QUERY" and "COM_STMT_EXECUTE" under `CLIENT_QUERY_ATTRIBUTES`. Where it is agreed on, every
//! COM_QUERY has the attributes before its text, if only to say that there are none.

use super::buf::{Malformed, Reader};

/// What stands between the command byte and the text of a COM_QUERY without attributes: no values, in the one set that
/// there is.
pub const NONE: [u8; 2] = [0, 1];

/// Where the text of a COM_QUERY begins. `payload` begins with the command byte.
pub fn text_offset(payload: &[u8]) -> Result<usize, Malformed> {
    let mut reader = Reader::new(payload);
    reader.u8()?;
    let count = small(reader.lenenc_int()?)?;
    if reader.lenenc_int()? != 1 {
        return Err(Malformed::Field("parameter_set_count"));
    }
    if count > 0 {
        let nulls = reader.bytes(count.div_ceil(8))?;
        if reader.u8()? != 1 {
            return Err(Malformed::Field("new_params_bind_flag"));
        }
        let mut types = reader;
        for _ in 0..count {
            reader.u16()?;
            reader.lenenc_bytes()?;
        }
        for index in 0..count {
            let column_type = types.u16()?;
            types.lenenc_bytes()?;
            let null = nulls.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1);
            if !null {
                skip_value(&mut reader, column_type)?;
            }
        }
    }
    Ok(payload.len() - reader.remaining())
}

/// A count of values in one packet.
fn small(count: u64) -> Result<usize, Malformed> {
    u16::try_from(count).map(usize::from).map_err(|_| Malformed::Field("parameter_count"))
}

/// Passes over a binary value. The type is that of a column, with a flag for unsigned above it.
fn skip_value(reader: &mut Reader<'_>, column_type: u16) -> Result<(), Malformed> {
    let len = match column_type & 0xFF {
        0x06 => 0,                                 // NULL
        0x01 => 1,                                 // TINY
        0x02 | 0x0D => 2,                          // SHORT, YEAR
        0x03 | 0x04 | 0x09 => 4,                   // LONG, FLOAT, INT24
        0x05 | 0x08 => 8,                          // DOUBLE, LONGLONG
        0x07 | 0x0A..=0x0C => reader.u8()?.into(), // TIMESTAMP, DATE, TIME, DATETIME
        // DECIMAL, VARCHAR, BIT, JSON, NEWDECIMAL, ENUM, SET, the blobs and strings, GEOMETRY
        0x00 | 0x0F | 0x10 | 0xF5..=0xFF => return reader.lenenc_bytes().map(drop),
        _ => return Err(Malformed::Field("parameter type")),
    };
    reader.bytes(len).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stands_behind_its_attributes() {
        assert_eq!(text_offset(b"\x03\0\x01SELECT 1"), Ok(3));
        assert_eq!(text_offset(b"\x03\0\x01"), Ok(3));
        // (NULL, 'xyz', 7 as an unsigned int, a date) named a, b, c and d
        let attributes = b"\x03\x04\x01\x01\x01\xfd\0\x01a\xfd\0\x01b\x03\x80\x01c\x0a\0\x01d\x03xyz\x07\0\0\0\x04\xea\x07\x0b\x19SELECT";
        assert_eq!(text_offset(attributes).map(|at| &attributes[at..]), Ok(&b"SELECT"[..]));
        for cut in 0..attributes.len() - 6 {
            assert!(text_offset(&attributes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn what_a_server_would_not_take_is_malformed() {
        assert_eq!(text_offset(b"\x03\0\x02SELECT"), Err(Malformed::Field("parameter_set_count")));
        assert_eq!(text_offset(b"\x03\x01\x01\0\0\x03xyz"), Err(Malformed::Field("new_params_bind_flag")));
        assert_eq!(text_offset(b"\x03\x01\x01\0\x01\x99\0\x01a"), Err(Malformed::Field("parameter type")));
        assert!(text_offset(b"\x03\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01").is_err());
    }
}
