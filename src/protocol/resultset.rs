//! A result set of text rows that Athena makes itself.
//!
//! Protocol section: "Text Resultset".

use super::buf::WriteExt;
use super::capability::{Capabilities, StatusFlags};
use super::packet::write_packet;
use super::response::{EofPacket, OkPacket};

/// A value of a text row; `None` is NULL.
pub type TextValue = Option<Vec<u8>>;

/// What stands for NULL in a text row.
const NULL: u8 = 0xFB;

/// How the values of rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    Text,
    /// Of these columns the ones at these places are `MYSQL_TYPE_LONG`, the others texts.
    Binary {
        numbers: &'static [usize],
    },
}

/// The whole reply, for a client with these capabilities: `columns` are column definitions as a server sent them. The
/// first packet has sequence id 1.
pub fn text_resultset(
    capabilities: Capabilities,
    status: StatusFlags,
    columns: &[Vec<u8>],
    rows: &[Vec<TextValue>],
) -> Vec<u8> {
    resultset(capabilities, status, columns, rows, RowFormat::Text)
}

/// The same with rows in either format.
pub fn resultset(
    capabilities: Capabilities,
    status: StatusFlags,
    columns: &[Vec<u8>],
    rows: &[Vec<TextValue>],
    format: RowFormat,
) -> Vec<u8> {
    let mut written = ResultsetWriter::begin(capabilities, status, 0, columns);
    let mut payload = Vec::new();
    for row in rows {
        payload.clear();
        match format {
            RowFormat::Text => text_row(row, &mut payload),
            RowFormat::Binary { numbers } => binary_row(row, numbers, &mut payload),
        }
        written.row(&payload);
    }
    written.end()
}

/// A result set that is written row by row, text or binary.
pub struct ResultsetWriter {
    capabilities: Capabilities,
    status: StatusFlags,
    warnings: u16,
    out: Vec<u8>,
    seq: u8,
}

impl ResultsetWriter {
    /// `columns` are the payloads of their definitions; the first packet has sequence id 1.
    pub fn begin(
        capabilities: Capabilities,
        status: StatusFlags,
        warnings: u16,
        columns: &[Vec<u8>],
    ) -> Self {
        let mut written = Self { capabilities, status, warnings, out: Vec::new(), seq: 1 };
        let mut count = Vec::new();
        count.put_lenenc_int(columns.len() as u64);
        written.row(&count);
        columns.iter().for_each(|column| written.row(column));
        if !capabilities.contains(Capabilities::DEPRECATE_EOF) {
            let eof = written.eof();
            written.row(&eof);
        }
        written
    }

    /// The payload of a row.
    pub fn row(&mut self, payload: &[u8]) {
        self.seq = write_packet(&mut self.out, self.seq, payload);
    }

    /// What is written and was not taken yet, for more packets of rows.
    pub fn written(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Takes what is written. What follows goes behind it.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// The sequence id of the next packet.
    pub fn seq(&self) -> u8 {
        self.seq
    }

    /// Packets were written elsewhere: the next one has this sequence id.
    pub fn set_seq(&mut self, seq: u8) {
        self.seq = seq;
    }

    /// As [`ResultsetWriter::end`], with what is known only then.
    pub fn end_with(self, status: StatusFlags, warnings: u16) -> Vec<u8> {
        Self { status, warnings, ..self }.end()
    }

    fn eof(&self) -> [u8; 5] {
        EofPacket { warnings: self.warnings, status: self.status }.encode()
    }

    /// The whole reply, or what of it was not taken.
    pub fn end(mut self) -> Vec<u8> {
        if self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            let end = OkPacket { status: self.status, warnings: self.warnings, ..OkPacket::END_OF_ROWS };
            self.row(&end.encode(self.capabilities));
        } else {
            let eof = self.eof();
            self.row(&eof);
        }
        self.out
    }
}

/// Protocol section: "Text Resultset Row".
pub fn text_row(row: &[TextValue], payload: &mut Vec<u8>) {
    for value in row {
        match value {
            Some(value) => payload.put_lenenc_bytes(value),
            None => payload.push(NULL),
        }
    }
}

/// Protocol section: "Binary Protocol Resultset Row".
fn binary_row(row: &[TextValue], numbers: &[usize], payload: &mut Vec<u8>) {
    const FIRST_NULL_BIT: usize = 2;
    payload.push(0);
    let mut nulls = vec![0u8; (row.len() + FIRST_NULL_BIT).div_ceil(8)];
    for (at, _) in row.iter().enumerate().filter(|(_, value)| value.is_none()) {
        let bit = at + FIRST_NULL_BIT;
        if let Some(byte) = nulls.get_mut(bit / 8) {
            *byte |= 1 << (bit % 8);
        }
    }
    payload.extend_from_slice(&nulls);
    for (at, value) in row.iter().enumerate() {
        let Some(value) = value else { continue };
        if numbers.contains(&at) {
            let digits = value.iter().filter(|byte| byte.is_ascii_digit());
            let number = digits.fold(0u32, |number, digit| number.wrapping_mul(10) + u32::from(digit - b'0'));
            payload.extend_from_slice(&number.to_le_bytes());
        } else {
            payload.put_lenenc_bytes(value);
        }
    }
}

/// ASCII text in any character set of results: some have zero bytes besides.
pub fn ascii(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|byte| *byte != 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_rows_have_their_nulls_first() {
        let mut row = Vec::new();
        binary_row(&[Some(b"ab".to_vec()), Some(b"1292".to_vec()), None], &[1], &mut row);
        assert_eq!(row, b"\x00\x10\x02ab\x0c\x05\0\0");
    }

    #[test]
    fn both_dialects_end_their_rows() {
        let rows = [vec![Some(b"a".to_vec()), None], vec![Some(Vec::new()), Some(b"bc".to_vec())]];
        let columns = [b"one".to_vec(), b"two".to_vec()];
        let status = StatusFlags::AUTOCOMMIT;
        let new = text_resultset(Capabilities::DEPRECATE_EOF, status, &columns, &rows);
        let head = b"\x01\0\0\x01\x02\x03\0\0\x02one\x03\0\0\x03two";
        let body = |seq: u8| [&[3, 0, 0, seq, 1, b'a', NULL, 4, 0, 0, seq + 1, 0, 2][..], b"bc"].concat();
        assert_eq!(new, [&head[..], &body(4), b"\x07\0\0\x06\xFE\0\0\x02\0\0\0"].concat());
        let old = text_resultset(Capabilities::empty(), status, &columns, &rows);
        let eof = |seq: u8| [5, 0, 0, seq, 0xFE, 0, 0, 2, 0];
        assert_eq!(old, [&head[..], &eof(4), &body(5), &eof(7)].concat());
    }
}
