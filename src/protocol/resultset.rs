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

/// The whole reply, for a client with these capabilities: `columns` are column definitions as a server sent them. The
/// first packet has sequence id 1.
pub fn text_resultset(
    capabilities: Capabilities,
    status: StatusFlags,
    columns: &[Vec<u8>],
    rows: &[Vec<TextValue>],
) -> Vec<u8> {
    let eof = EofPacket { warnings: 0, status }.encode();
    let deprecated = capabilities.contains(Capabilities::DEPRECATE_EOF);
    let mut out = Vec::new();
    let mut payload = Vec::new();
    payload.put_lenenc_int(columns.len() as u64);
    let mut seq = write_packet(&mut out, 1, &payload);
    for column in columns {
        seq = write_packet(&mut out, seq, column);
    }
    if !deprecated {
        seq = write_packet(&mut out, seq, &eof);
    }
    for row in rows {
        payload.clear();
        for value in row {
            match value {
                Some(value) => payload.put_lenenc_bytes(value),
                None => payload.push(NULL),
            }
        }
        seq = write_packet(&mut out, seq, &payload);
    }
    if deprecated {
        let end = OkPacket { status, ..OkPacket::END_OF_ROWS };
        write_packet(&mut out, seq, &end.encode(capabilities));
    } else {
        write_packet(&mut out, seq, &eof);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

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
