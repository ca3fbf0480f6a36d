//! Replies: OK, ERR, result sets of text and binary rows.

use super::bytes::Bytes;
use super::{Error, Result};

const TYPE_TINY: u8 = 1;
const TYPE_SHORT: u8 = 2;
const TYPE_LONG: u8 = 3;
const TYPE_FLOAT: u8 = 4;
const TYPE_DOUBLE: u8 = 5;
const TYPE_NULL: u8 = 6;
const TYPE_LONGLONG: u8 = 8;
const TYPE_INT24: u8 = 9;
const TYPE_YEAR: u8 = 13;
const TYPE_LONG_BLOB: u8 = 251;
const TYPE_VAR_STRING: u8 = 253;

/// A value of a row or a parameter. Rows of text have [`Value::Bytes`] and [`Value::Null`] only.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Int(i64),
    Double(f64),
    Bytes(Vec<u8>),
    /// A parameter whose pieces have been sent before.
    LongData,
}

impl Value {
    pub fn text(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }

    /// The type that a parameter of this value is bound with.
    pub(super) fn parameter_type(&self) -> u8 {
        match self {
            Self::Null => TYPE_NULL,
            Self::Int(_) => TYPE_LONGLONG,
            Self::Double(_) => TYPE_DOUBLE,
            Self::Bytes(_) => TYPE_VAR_STRING,
            Self::LongData => TYPE_LONG_BLOB,
        }
    }
}

/// As the `mariadb` client prints it.
impl std::fmt::Display for Value {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => formatter.write_str("NULL"),
            Self::Int(value) => write!(formatter, "{value}"),
            Self::Double(value) => write!(formatter, "{value}"),
            Self::LongData => formatter.write_str("(long data)"),
            Self::Bytes(bytes) => formatter.write_str(&String::from_utf8_lossy(bytes)),
        }
    }
}

/// A reply that is no error.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Ok(OkPacket),
    Rows(ResultSet),
}

impl Reply {
    pub fn status(&self) -> u16 {
        match self {
            Self::Ok(ok) => ok.status,
            Self::Rows(rows) => rows.status,
        }
    }

    /// The rows.
    ///
    /// # Errors
    /// When it is an OK.
    pub fn rows(self) -> Result<ResultSet> {
        match self {
            Self::Rows(rows) => Ok(rows),
            Self::Ok(ok) => Err(Error::Protocol(format!("rows expected, not {ok:?}"))),
        }
    }

    /// The OK packet.
    ///
    /// # Errors
    /// When it is a result set.
    pub fn ok(self) -> Result<OkPacket> {
        match self {
            Self::Ok(ok) => Ok(ok),
            Self::Rows(rows) => Err(Error::Protocol(format!("OK expected, not {rows:?}"))),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OkPacket {
    pub affected_rows: u64,
    pub last_insert_id: u64,
    pub status: u16,
    pub warnings: u16,
}

impl OkPacket {
    pub fn parse(payload: &[u8]) -> Result<Self> {
        let mut bytes = Bytes(payload);
        bytes.u8()?; // header
        Ok(Self {
            affected_rows: bytes.length_encoded()?,
            last_insert_id: bytes.length_encoded()?,
            status: bytes.u16()?,
            warnings: bytes.u16()?,
        })
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct ResultSet {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Value>>,
    pub status: u16,
}

impl ResultSet {
    /// The only value of the only row.
    ///
    /// # Errors
    /// When there is another number of values.
    pub fn scalar(self) -> Result<Value> {
        match self.rows.as_slice() {
            [row] if row.len() == 1 => Ok(row[0].clone()),
            rows => Err(Error::Protocol(format!("one value expected, not {rows:?}"))),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub column_type: u8,
}

impl Column {
    pub(super) fn parse(payload: &[u8]) -> Result<Self> {
        let mut bytes = Bytes(payload);
        for _catalog_schema_table_and_its_original in 0..4 {
            bytes.string()?;
        }
        let name = String::from_utf8_lossy(bytes.string()?).into_owned();
        bytes.string()?; // original name
        if bytes.length_encoded()? != 12 {
            return Err(Error::Protocol("a column definition without its fixed part".to_owned()));
        }
        bytes.take(6)?; // character set, length
        Ok(Self { name, column_type: bytes.u8()? })
    }
}

/// An ERR packet. Before the login it has no SQLSTATE.
pub(super) fn server_error(payload: &[u8]) -> Error {
    let mut bytes = Bytes(payload);
    let (Ok(_header), Ok(code)) = (bytes.u8(), bytes.u16()) else {
        return Error::Protocol(format!("a short ERR packet: {payload:?}"));
    };
    let (state, message) = match bytes.0 {
        [b'#', rest @ ..] if rest.len() >= 5 => rest.split_at(5),
        message => (&[][..], message),
    };
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Error::Server { code, state: text(state), message: text(message) }
}

pub(super) fn text_row(payload: &[u8], columns: usize) -> Result<Vec<Value>> {
    let mut bytes = Bytes(payload);
    let value = |_| {
        if let [0xfb, rest @ ..] = bytes.0 {
            bytes.0 = rest;
            return Ok(Value::Null);
        }
        bytes.string().map(|text| Value::Bytes(text.to_vec()))
    };
    let row = (0..columns).map(value).collect::<Result<_>>()?;
    nothing_left(bytes, row)
}

pub(super) fn binary_row(payload: &[u8], columns: &[Column]) -> Result<Vec<Value>> {
    let mut bytes = Bytes(payload);
    if bytes.u8()? != 0 {
        return Err(Error::Protocol("a binary row starts with 0".to_owned()));
    }
    // The first two bits of the bitmap are not used in rows.
    let nulls = bytes.take((columns.len() + 9) / 8)?;
    let is_null = |index: usize| nulls[(index + 2) / 8] >> ((index + 2) % 8) & 1 == 1;
    let mut row = Vec::with_capacity(columns.len());
    for (index, column) in columns.iter().enumerate() {
        row.push(if is_null(index) { Value::Null } else { binary_value(&mut bytes, column.column_type)? });
    }
    nothing_left(bytes, row)
}

fn binary_value(bytes: &mut Bytes<'_>, column_type: u8) -> Result<Value> {
    let signed = |bytes: &mut Bytes<'_>, length: usize| {
        let shift = 64 - 8 * u32::try_from(length).expect("at most 8");
        bytes.integer(length).map(|value| Value::Int((value << shift).cast_signed() >> shift))
    };
    match column_type {
        TYPE_TINY => signed(bytes, 1),
        TYPE_SHORT | TYPE_YEAR => signed(bytes, 2),
        TYPE_LONG | TYPE_INT24 => signed(bytes, 4),
        TYPE_LONGLONG => signed(bytes, 8),
        TYPE_FLOAT => Ok(Value::Double(f64::from(f32::from_bits(bytes.u32()?)))),
        TYPE_DOUBLE => Ok(Value::Double(f64::from_bits(bytes.integer(8)?))),
        TYPE_NULL => Ok(Value::Null),
        _ => bytes.string().map(|text| Value::Bytes(text.to_vec())),
    }
}

fn nothing_left(bytes: Bytes<'_>, row: Vec<Value>) -> Result<Vec<Value>> {
    match bytes.0 {
        [] => Ok(row),
        rest => Err(Error::Protocol(format!("{} bytes after a row", rest.len()))),
    }
}
