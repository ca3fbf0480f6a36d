//! The reply to one command, read out of chunks as they come, by somebody who makes something else of it than to pass it on.
//!
//! Protocol sections: "COM_QUERY Response", "Text Resultset", "Binary Protocol Resultset". The server speaks `DEPRECATE_EOF`.
//!
//! Rows are not looked at and not copied: a [`Region`] says which bytes of a chunk belong to them. Whoever wants them one by one
//! has a [`RowCutter`](super::rows::RowCutter).
//!
//! ```text
//!  ──▶ First ──column count──▶ Columns ──last──▶ Rows ──OK(0xFE) or ERR──▶ Done
//!        └──OK or ERR──────────────────────────────────────────────────────▶ Done
//! ```

use std::ops::Range;

use super::buf::{Malformed, Reader};
use super::packet::{HEADER_LEN, Header, MAX_PAYLOAD, PacketError, PacketReader};
use super::response::{ErrPacket, OkPacket};

/// Asks for a file of the client's.
const LOCAL_FILE: u8 = 0xFB;

/// A part of a reply.
#[derive(Debug, PartialEq, Eq)]
pub enum ResultPart {
    /// The definition of a column.
    Column(Vec<u8>),
    /// All columns are there.
    Columns,
    Rows(Region),
    /// The OK packet of a result without rows, which is all of it.
    Ok(Vec<u8>),
    /// The OK packet that ends rows, or an ERR packet.
    End(Vec<u8>),
}

/// Bytes of a chunk that belong to rows, with their headers. A row may go on in the next region; a header does not.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// What was kept of the chunks before, since it did not tell yet whether a row begins: it comes first.
    pub before: Held,
    pub range: Range<usize>,
    /// So many rows end in it.
    pub rows: usize,
}

/// Bytes of a header that have come so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    bytes: [u8; HEADER_LEN],
    len: usize,
}

impl Held {
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Longer than a header it never becomes: with the byte behind that it is clear what follows.
    fn add(&mut self, more: &[u8]) {
        for (place, byte) in self.bytes.iter_mut().skip(self.len).zip(more) {
            *place = *byte;
            self.len += 1;
        }
    }
}

/// A reply that can't be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResultError {
    #[error("{0}")]
    Packet(#[from] PacketError),
    #[error("{0}")]
    Malformed(#[from] Malformed),
}

/// See the [module](self).
#[derive(Debug)]
pub struct ResultReader {
    stage: Stage,
    /// Joins packets that are no rows.
    packets: PacketReader,
}

#[derive(Debug)]
enum Stage {
    First,
    /// So many are still to come.
    Columns(u64),
    Rows(RowStage),
    /// A packet behind columns that is no row; that is its first bytes, if the chunk before had them.
    Behind(Held),
    Done,
}

/// Where in a row the next byte is.
#[derive(Debug, Default)]
struct RowStage {
    /// The sequence id of the next header.
    seq: u8,
    held: Held,
    /// Bytes of the piece that are still to come.
    left: usize,
    /// Another piece of the row follows this one.
    continues: bool,
    /// A piece has begun, and not ended.
    in_piece: bool,
}

/// What a header begins.
enum Begins {
    Row(Header),
    /// Something that is no row.
    Other,
    /// More bytes have to come to tell.
    Unknown,
}

impl Default for ResultReader {
    fn default() -> Self {
        Self { stage: Stage::First, packets: PacketReader::new(1, usize::MAX) }
    }
}

impl ResultReader {
    /// Whether the reply has ended.
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// The next part, of the bytes of `chunk` from `at` on, which moves on. `None`: more has to come.
    pub fn next(&mut self, chunk: &[u8], at: &mut usize) -> Result<Option<ResultPart>, ResultError> {
        loop {
            match &mut self.stage {
                Stage::Done if *at < chunk.len() => return Err(Malformed::Field("the end of a reply").into()),
                Stage::Done => return Ok(None),
                Stage::Columns(0) => {
                    let seq = self.packets.next_seq();
                    self.stage = Stage::Rows(RowStage { seq, ..RowStage::default() });
                    return Ok(Some(ResultPart::Columns));
                }
                Stage::Rows(rows) => {
                    let (region, behind) = rows.region(chunk, at)?;
                    if let Some(held) = behind {
                        self.packets.expect_seq(rows.seq);
                        self.stage = Stage::Behind(held);
                    }
                    if !region.range.is_empty() {
                        return Ok(Some(ResultPart::Rows(region)));
                    }
                    if behind.is_none() {
                        return Ok(None);
                    }
                }
                Stage::First | Stage::Columns(_) | Stage::Behind(_) => {
                    let Some(payload) = self.packet(chunk, at)? else { return Ok(None) };
                    if let Some(part) = self.take(payload)? {
                        return Ok(Some(part));
                    }
                }
            }
        }
    }

    /// The next packet as a whole.
    fn packet(&mut self, chunk: &[u8], at: &mut usize) -> Result<Option<Vec<u8>>, PacketError> {
        if let Stage::Behind(held) = &mut self.stage {
            let held = std::mem::take(held);
            self.packets.feed(&mut held.bytes())?;
        }
        let mut rest = chunk.get(*at..).unwrap_or_default();
        let packet = self.packets.feed(&mut rest)?;
        *at = chunk.len() - rest.len();
        Ok(packet.map(|packet| packet.payload))
    }

    /// What a packet is that is no row.
    fn take(&mut self, payload: Vec<u8>) -> Result<Option<ResultPart>, ResultError> {
        if ErrPacket::is_progress(&payload) {
            if let Stage::Behind(_) = self.stage {
                let seq = self.packets.next_seq();
                self.stage = Stage::Rows(RowStage { seq, ..RowStage::default() });
            }
            return Ok(None);
        }
        let first = payload.first().copied();
        match self.stage {
            Stage::First if first == Some(LOCAL_FILE) => Err(Malformed::Field("a reply with rows").into()),
            Stage::First if first != Some(OkPacket::HEADER) && first != Some(ErrPacket::HEADER) => {
                self.stage = Stage::Columns(Reader::new(&payload).lenenc_int()?);
                Ok(None)
            }
            Stage::Columns(left) if first != Some(ErrPacket::HEADER) => {
                self.stage = Stage::Columns(left.saturating_sub(1));
                Ok(Some(ResultPart::Column(payload)))
            }
            _ => {
                let is_ok = matches!(self.stage, Stage::First) && first == Some(OkPacket::HEADER);
                self.stage = Stage::Done;
                Ok(Some(if is_ok { ResultPart::Ok(payload) } else { ResultPart::End(payload) }))
            }
        }
    }
}

impl RowStage {
    /// The bytes from `at` on that belong to rows; and if something else begins behind them, what was held of that.
    fn region(&mut self, chunk: &[u8], at: &mut usize) -> Result<(Region, Option<Held>), PacketError> {
        let start = *at;
        let mut region = Region { range: start..start, ..Region::default() };
        loop {
            let taken = self.left.min(chunk.len() - *at);
            *at += taken;
            self.left -= taken;
            if self.left > 0 {
                break;
            }
            if std::mem::take(&mut self.in_piece) && !self.continues {
                region.rows += 1;
            }
            let held = self.held;
            match self.begins(chunk.get(*at..).unwrap_or_default()) {
                Begins::Unknown => {
                    self.held.add(chunk.get(*at..).unwrap_or_default());
                    region.range.end = *at;
                    *at = chunk.len();
                    return Ok((region, None));
                }
                Begins::Other => {
                    region.range.end = *at;
                    return Ok((region, Some(held)));
                }
                Begins::Row(header) => {
                    if header.seq != self.seq {
                        return Err(PacketError::OutOfOrder { expected: self.seq, found: header.seq });
                    }
                    if held.len > 0 {
                        (region.before, self.held) = (held, Held::default());
                    }
                    *at += HEADER_LEN - held.len;
                    self.seq = header.seq.wrapping_add(1);
                    (self.left, self.continues, self.in_piece) =
                        (header.len as usize, header.continues(), true);
                }
            }
        }
        region.range.end = *at;
        Ok((region, None))
    }

    /// What begins with the bytes that were held and those that follow them.
    fn begins(&self, rest: &[u8]) -> Begins {
        let mut header = self.held;
        header.add(rest);
        if header.len < HEADER_LEN {
            return Begins::Unknown;
        }
        let first = rest.get(HEADER_LEN - self.held.len).copied();
        let header = Header::parse(header.bytes);
        if self.continues || header.len == 0 {
            return Begins::Row(header);
        }
        match first {
            None => Begins::Unknown,
            Some(ErrPacket::HEADER) => Begins::Other,
            // Rows begin with 0xFE only where their first value has 16 MiB.
            Some(OkPacket::EOF_HEADER) if (header.len as usize) < MAX_PAYLOAD => Begins::Other,
            Some(_) => Begins::Row(header),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::write_packet;
    use super::super::rows::RowCutter;
    use super::*;

    /// What there is in a reply that comes in chunks of this length: columns, rows, and its end.
    type Read = (Vec<Vec<u8>>, Vec<Vec<u8>>, Option<Vec<u8>>);

    fn read(wire: &[u8], chunk: usize) -> Read {
        let (mut reader, mut cutter) = (ResultReader::default(), RowCutter::default());
        let (mut columns, mut rows, mut end) = (Vec::new(), Vec::new(), None);
        for bytes in wire.chunks(chunk) {
            let mut at = 0;
            while let Some(part) = reader.next(bytes, &mut at).expect("a reply") {
                match part {
                    ResultPart::Column(column) => columns.push(column),
                    ResultPart::Columns => assert!(rows.is_empty()),
                    ResultPart::Rows(region) => {
                        let before = rows.len();
                        for bytes in [region.before.bytes(), &bytes[region.range]] {
                            let mut at = 0;
                            while let Some(row) = cutter.next(bytes, &mut at) {
                                rows.push(row.of(bytes, &cutter).to_vec());
                            }
                            assert_eq!(at, bytes.len());
                        }
                        assert_eq!(rows.len() - before, region.rows);
                    }
                    ResultPart::Ok(payload) | ResultPart::End(payload) => end = Some(payload),
                }
            }
            assert_eq!(at, bytes.len());
        }
        assert_eq!(reader.is_done(), end.is_some());
        (columns, rows, end)
    }

    fn wire(packets: &[&[u8]]) -> Vec<u8> {
        let (mut wire, mut seq) = (Vec::new(), 1);
        for packet in packets {
            seq = write_packet(&mut wire, seq, packet);
        }
        wire
    }

    const PROGRESS: &[u8] = b"\xFF\xFF\xFF\x01\x01\x02\0\0\0";

    #[test]
    fn a_result_cut_at_any_boundary_comes_out_whole() {
        let rows: [&[u8]; 4] = [b"\x01a", b"\xFB", b"\x03\xFE\xFF\0", b"\0"];
        let packets =
            [&[b"\x02", PROGRESS, b"\x03one", b"\x03two"], &rows[..], &[PROGRESS, &[1, 2, 3]]].concat();
        for end in [&b"\xFE\0\0\x02\0\0\0"[..], b"\xFF\x48\x04#HY000no"] {
            let wire = wire(&[&packets[..], &[end]].concat());
            for chunk in 1..=wire.len() {
                let (columns, read_rows, read_end) = read(&wire, chunk);
                assert_eq!(columns, [b"\x03one", b"\x03two"], "chunks of {chunk}");
                assert_eq!(read_rows[..4], rows, "chunks of {chunk}");
                assert_eq!((&read_rows[4][..], read_rows.len()), (&[1, 2, 3][..], 5));
                assert_eq!(read_end.as_deref(), Some(end));
            }
        }
    }

    #[test]
    fn what_has_no_rows_ends_at_once() {
        for packet in [&b"\0\x01\0\x02\0\0\0"[..], b"\xFF\x48\x04#HY000no"] {
            for packets in [&[packet][..], &[PROGRESS, packet]] {
                assert_eq!(read(&wire(packets), 3), (Vec::new(), Vec::new(), Some(packet.to_vec())));
            }
        }
        assert!(ResultReader::default().next(b"\x02\0\0\x01\xFBf", &mut 0).is_err());
        assert!(ResultReader::default().next(b"\x01\0\0\x02\0", &mut 0).is_err());
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut state = 1u64;
        let mut random = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        for _ in 0..20_000 {
            let mut bytes: Vec<u8> =
                (0..random(60)).map(|_| [0, 1, 2, 3, 0xFE, 0xFF][random(6) as usize]).collect();
            if random(2) == 0 {
                let head = wire(&[b"\x01", b"c", b"\x01a"]);
                bytes.splice(0..0, head);
            }
            let (mut reader, mut cutter) = (ResultReader::default(), RowCutter::default());
            'reply: for chunk in bytes.chunks(1 + random(9) as usize) {
                let mut at = 0;
                loop {
                    match reader.next(chunk, &mut at) {
                        Ok(Some(ResultPart::Rows(region))) => {
                            for rows in [region.before.bytes(), &chunk[region.range]] {
                                let mut from = 0;
                                while cutter.next(rows, &mut from).is_some() {}
                            }
                        }
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(_) => break 'reply,
                    }
                }
                assert_eq!(at, chunk.len());
            }
        }
    }

    #[test]
    fn rows_of_several_pieces_are_one() {
        let long = vec![0xFE; MAX_PAYLOAD];
        let wire = wire(&[b"\x01", b"c", &long, b"\x01b", b"\xFE\0\0\x02\0\0\0"]);
        for chunk in [16_384, 1 << 20, wire.len()] {
            let (_, rows, end) = read(&wire, chunk);
            assert!(rows[0] == long && rows[1] == b"\x01b" && rows.len() == 2 && end.is_some());
        }
    }
}
