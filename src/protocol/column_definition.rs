//! What a server says of one column of a result.
//!
//! Protocol section: "Column Definition" (`Protocol::ColumnDefinition41`).

use super::buf::{Malformed, Reader, WriteExt};

/// The types of columns, with the server's own names (`MYSQL_TYPE_*`).
pub mod column_type {
    pub const DECIMAL: u8 = 0;
    pub const TINY: u8 = 1;
    pub const SHORT: u8 = 2;
    pub const LONG: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const DOUBLE: u8 = 5;
    pub const NULL: u8 = 6;
    pub const TIMESTAMP: u8 = 7;
    pub const LONGLONG: u8 = 8;
    pub const INT24: u8 = 9;
    pub const DATE: u8 = 10;
    pub const TIME: u8 = 11;
    pub const DATETIME: u8 = 12;
    pub const YEAR: u8 = 13;
    pub const VARCHAR: u8 = 15;
    pub const BIT: u8 = 16;
    pub const TIME2: u8 = 19;
    pub const VECTOR: u8 = 242;
    pub const JSON: u8 = 245;
    pub const NEWDECIMAL: u8 = 246;
    pub const ENUM: u8 = 247;
    pub const SET: u8 = 248;
    pub const TINY_BLOB: u8 = 249;
    pub const MEDIUM_BLOB: u8 = 250;
    pub const LONG_BLOB: u8 = 251;
    pub const BLOB: u8 = 252;
    pub const VAR_STRING: u8 = 253;
    pub const STRING: u8 = 254;
    pub const GEOMETRY: u8 = 255;

    /// The name for people.
    pub fn name(kind: u8) -> &'static str {
        match kind {
            DECIMAL | NEWDECIMAL => "DECIMAL",
            TINY => "TINYINT",
            SHORT => "SMALLINT",
            LONG => "INT",
            FLOAT => "FLOAT",
            DOUBLE => "DOUBLE",
            NULL => "NULL",
            TIMESTAMP => "TIMESTAMP",
            LONGLONG => "BIGINT",
            INT24 => "MEDIUMINT",
            DATE => "DATE",
            TIME => "TIME",
            DATETIME => "DATETIME",
            YEAR => "YEAR",
            VARCHAR | VAR_STRING => "VARCHAR",
            BIT => "BIT",
            VECTOR => "VECTOR",
            JSON => "JSON",
            ENUM => "ENUM",
            SET => "SET",
            TINY_BLOB | MEDIUM_BLOB | LONG_BLOB | BLOB => "BLOB or TEXT",
            STRING => "CHAR",
            GEOMETRY => "GEOMETRY",
            _ => "a type unknown here",
        }
    }
}

/// Bits of [`ColumnDefinition::flags`].
pub mod column_flag {
    pub const NOT_NULL: u16 = 0x0001;
    pub const UNSIGNED: u16 = 0x0020;
    pub const ENUM: u16 = 0x0100;
    pub const SET: u16 = 0x0800;
}

/// The character set of all that is no text.
pub const BINARY: u16 = 63;

/// [`ColumnDefinition::decimals`] of a DOUBLE without a number of digits.
pub const DECIMALS_NOT_FIXED: u8 = 31;

/// Length of the fields behind the names.
const FIXED_LEN: u64 = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnDefinition<'a> {
    pub catalog: &'a [u8],   // string<lenenc>
    pub schema: &'a [u8],    // string<lenenc>
    pub table: &'a [u8],     // string<lenenc>
    pub org_table: &'a [u8], // string<lenenc>
    pub name: &'a [u8],      // string<lenenc>
    pub org_name: &'a [u8],  // string<lenenc>
    /// What MariaDB tells of a type besides, on connections with `MARIADB_EXTENDED_METADATA`.
    pub extended: Option<&'a [u8]>, // string<lenenc>
    pub character_set: u16,  // int<2>, behind a length that is always 12
    pub length: u32,         // int<4>
    pub kind: u8,            // int<1>
    pub flags: u16,          // int<2>
    pub decimals: u8,        // int<1>
    /// Two bytes of filler, and the default value in the answer to COM_FIELD_LIST.
    pub rest: &'a [u8], // string<EOF>
}

impl<'a> ColumnDefinition<'a> {
    /// A column that is computed, of no length: a number, a moment or bytes.
    pub fn of_no_table(name: &'a [u8], kind: u8) -> Self {
        Self {
            catalog: b"def",
            schema: b"",
            table: b"",
            org_table: b"",
            name,
            org_name: b"",
            extended: None,
            character_set: BINARY,
            length: 0,
            kind,
            flags: 0,
            decimals: 0,
            rest: &[0, 0],
        }
    }

    /// # Errors
    /// Where the payload is too short, or is no such packet.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let catalog = reader.lenenc_bytes()?;
        let schema = reader.lenenc_bytes()?;
        let table = reader.lenenc_bytes()?;
        let org_table = reader.lenenc_bytes()?;
        let name = reader.lenenc_bytes()?;
        let org_name = reader.lenenc_bytes()?;
        let extended = extended(reader);
        if extended.is_some() {
            reader.lenenc_bytes()?;
        }
        if reader.lenenc_int()? != FIXED_LEN {
            return Err(Malformed::Field("length of the fixed fields of a column definition"));
        }
        Ok(ColumnDefinition {
            catalog,
            schema,
            table,
            org_table,
            name,
            org_name,
            extended,
            character_set: reader.u16()?,
            length: reader.u32()?,
            kind: reader.u8()?,
            flags: reader.u16()?,
            decimals: reader.u8()?,
            rest: reader.rest(),
        })
    }

    /// The payload. To change a field: `ColumnDefinition { org_table: b"users", ..parsed }.encode()`.
    pub fn encode(&self) -> Vec<u8> {
        let names = [self.catalog, self.schema, self.table, self.org_table, self.name, self.org_name];
        let mut out = Vec::with_capacity(names.iter().map(|name| name.len() + 1).sum::<usize>() + 24);
        for name in names {
            out.put_lenenc_bytes(name);
        }
        if let Some(extended) = self.extended {
            out.put_lenenc_bytes(extended);
        }
        out.put_lenenc_int(FIXED_LEN);
        out.put_u16(self.character_set);
        out.put_u32(self.length);
        out.push(self.kind);
        out.put_u16(self.flags);
        out.push(self.decimals);
        out.extend_from_slice(self.rest);
        out
    }

    pub fn is_unsigned(&self) -> bool {
        self.flags & column_flag::UNSIGNED != 0
    }
}

/// The string in front of the fixed fields, if there is one. Of a result's column nothing follows those but the filler, so a
/// length of 12 can be told from a string of 12 bytes.
fn extended(mut reader: Reader<'_>) -> Option<&[u8]> {
    let string = reader.lenenc_bytes().ok()?;
    let fixed = reader.rest();
    let len = FIXED_LEN as usize;
    (fixed.first() == Some(&(FIXED_LEN as u8)) && fixed.len() == 1 + len).then_some(string)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: &[u8] =
        b"\x03def\x02db\x01u\x07users_3\x02id\x06org_id\x0C\x3F\0\x14\0\0\0\x08\x23\x42\x05\0\0";

    #[test]
    fn a_definition_round_trips() {
        let column = ColumnDefinition::parse(PAYLOAD).expect("a definition");
        assert_eq!((column.schema, column.table, column.org_table), (&b"db"[..], &b"u"[..], &b"users_3"[..]));
        assert_eq!((column.name, column.org_name), (&b"id"[..], &b"org_id"[..]));
        assert_eq!((column.character_set, column.length, column.kind), (BINARY, 20, column_type::LONGLONG));
        assert_eq!((column.flags, column.decimals, column.rest), (0x4223, 5, &b"\0\0"[..]));
        assert!(column.is_unsigned());
        assert_eq!(column.encode(), PAYLOAD);
    }

    #[test]
    fn what_mariadb_tells_besides_is_kept() {
        let at = PAYLOAD.iter().position(|byte| *byte == 12).expect("the length");
        for extended in [&b""[..], b"\x01\x04json", b"\x00\x0Alinestring"] {
            let len = [u8::try_from(extended.len()).expect("short")];
            let payload = [&PAYLOAD[..at], &len, extended, &PAYLOAD[at..]].concat();
            let column = ColumnDefinition::parse(&payload).expect("a definition");
            assert_eq!((column.extended, column.length, column.decimals), (Some(extended), 20, 5));
            assert_eq!(column.encode(), payload);
        }
    }

    #[test]
    fn a_table_gets_another_name() {
        let column = ColumnDefinition::parse(PAYLOAD).expect("a definition");
        let renamed = ColumnDefinition { org_table: b"users", ..column }.encode();
        assert_eq!(ColumnDefinition::parse(&renamed).map(|column| column.org_table), Ok(&b"users"[..]));
        assert_eq!(renamed.len(), PAYLOAD.len() - 2);
    }

    #[test]
    fn cut_and_foreign_packets_are_errors() {
        for cut in 0..PAYLOAD.len() - 2 {
            assert!(ColumnDefinition::parse(&PAYLOAD[..cut]).is_err(), "{cut}");
        }
        let mut other = PAYLOAD.to_vec();
        let at = PAYLOAD.iter().position(|byte| *byte == 12).expect("the length");
        other[at] = 11;
        assert!(matches!(ColumnDefinition::parse(&other), Err(Malformed::Field(_))));
    }
}
