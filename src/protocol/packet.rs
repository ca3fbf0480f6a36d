//! Framing: every payload travels behind a four-byte header, in pieces of at most 16 MiB - 1.
//!
//! Protocol section: "MySQL Packets". A piece of exactly [`MAX_PAYLOAD`] bytes says that another follows; a payload
//! that is a multiple of it therefore ends in an empty piece. The pieces together are one *logical* packet.

use thiserror::Error;

/// Bytes of a packet header: three of length, one of sequence id.
pub const HEADER_LEN: usize = 4;

/// The largest payload behind one header, bytes.
pub const MAX_PAYLOAD: usize = 0xFF_FFFF;

/// A packet header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of payload that follow, at most [`MAX_PAYLOAD`].
    pub len: u32, // int<3>
    /// Counts the packets of one exchange, wrapping at 256; a command starts at 0.
    pub seq: u8, // int<1>
}

impl Header {
    pub fn parse(bytes: [u8; HEADER_LEN]) -> Header {
        let [a, b, c, seq] = bytes;
        Header { len: u32::from_le_bytes([a, b, c, 0]), seq }
    }

    pub fn encode(self) -> [u8; HEADER_LEN] {
        let [a, b, c, _] = self.len.to_le_bytes();
        [a, b, c, self.seq]
    }

    /// Whether another piece of the same logical packet follows this one.
    pub fn continues(self) -> bool {
        self.len as usize == MAX_PAYLOAD
    }
}

/// Appends `payload` as one logical packet whose first piece has the sequence id `seq`; returns the id of the next packet.
pub fn write_packet(out: &mut Vec<u8>, mut seq: u8, payload: &[u8]) -> u8 {
    let mut rest = payload;
    loop {
        let (piece, after) = rest.split_at(rest.len().min(MAX_PAYLOAD));
        // At most MAX_PAYLOAD, so it fits.
        let header = Header { len: piece.len() as u32, seq };
        out.extend_from_slice(&header.encode());
        out.extend_from_slice(piece);
        seq = seq.wrapping_add(1);
        rest = after;
        if !header.continues() {
            return seq;
        }
    }
}

/// The one packet that a command is.
pub fn command_packet(payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(payload.len() + HEADER_LEN);
    write_packet(&mut packet, 0, payload);
    packet
}

/// A logical packet, its pieces joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Sequence id of the last piece: an answer goes out with the one after it.
    pub seq: u8,
    pub payload: Vec<u8>,
}

/// Framing that can't go on: the peer and we no longer agree on where packets begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PacketError {
    #[error("packet out of order: sequence id {found}, expected {expected}")]
    OutOfOrder { expected: u8, found: u8 },
    #[error("a packet of {len} bytes or more, the limit here is {max}")]
    TooLarge { len: usize, max: usize },
}

/// Joins logical packets out of chunks that may be cut anywhere. For handshakes and small replies: it copies.
#[derive(Debug)]
pub struct PacketReader {
    next_seq: u8,
    max_payload: usize,
    payload: Vec<u8>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Header { bytes: [u8; HEADER_LEN], have: usize },
    Payload { header: Header, left: usize },
}

impl Stage {
    const START: Stage = Stage::Header { bytes: [0; HEADER_LEN], have: 0 };
}

impl PacketReader {
    /// `next_seq` is the sequence id that the first packet must have; a logical packet of more than `max_payload`
    /// bytes is refused as soon as its header says so.
    pub fn new(next_seq: u8, max_payload: usize) -> Self {
        PacketReader { next_seq, max_payload, payload: Vec::new(), stage: Stage::START }
    }

    /// Sets the sequence id that the next packet must have: after a packet of our own it is one more than that, and a
    /// new command starts at 0. Between packets only.
    pub fn expect_seq(&mut self, seq: u8) {
        self.next_seq = seq;
    }

    /// The sequence id that the next packet must have.
    pub fn next_seq(&self) -> u8 {
        self.next_seq
    }

    /// Takes the bytes of at most one logical packet from the front of `input`, and returns it if it is complete.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Packet>, PacketError> {
        loop {
            match &mut self.stage {
                Stage::Header { bytes, have } => {
                    while *have < HEADER_LEN {
                        let Some((&byte, rest)) = input.split_first() else { return Ok(None) };
                        *input = rest;
                        bytes[*have] = byte;
                        *have += 1;
                    }
                    let header = Header::parse(*bytes);
                    self.begin(header)?;
                }
                Stage::Payload { header, left } => {
                    let (taken, rest) = input.split_at((*left).min(input.len()));
                    self.payload.extend_from_slice(taken);
                    *input = rest;
                    *left -= taken.len();
                    if *left > 0 {
                        return Ok(None);
                    }
                    let header = *header;
                    self.stage = Stage::START;
                    if !header.continues() {
                        return Ok(Some(Packet {
                            seq: header.seq,
                            payload: std::mem::take(&mut self.payload),
                        }));
                    }
                }
            }
        }
    }

    /// A header is complete: checks it, and goes on to its payload.
    fn begin(&mut self, header: Header) -> Result<(), PacketError> {
        if header.seq != self.next_seq {
            return Err(PacketError::OutOfOrder { expected: self.next_seq, found: header.seq });
        }
        let len = self.payload.len() + header.len as usize;
        if len > self.max_payload {
            return Err(PacketError::TooLarge { len, max: self.max_payload });
        }
        self.next_seq = header.seq.wrapping_add(1);
        self.stage = Stage::Payload { header, left: header.len as usize };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_in_chunks(wire: &[u8], chunk: usize) -> Vec<Packet> {
        let mut reader = PacketReader::new(0, usize::MAX);
        let mut packets = Vec::new();
        for part in wire.chunks(chunk) {
            let mut input = part;
            while let Some(packet) = reader.feed(&mut input).expect("framing is right") {
                packets.push(packet);
            }
            assert!(input.is_empty());
        }
        packets
    }

    #[test]
    fn packets_cut_at_any_boundary_come_out_whole() {
        let mut wire = Vec::new();
        let mut seq = 0;
        for payload in [&b"select 1"[..], b"", b"x", b"", &[9; 70]] {
            seq = write_packet(&mut wire, seq, payload);
        }
        let whole = read_in_chunks(&wire, wire.len());
        assert_eq!(whole.len(), 5);
        assert_eq!(whole[0], Packet { seq: 0, payload: b"select 1".to_vec() });
        assert_eq!(whole[4], Packet { seq: 4, payload: vec![9; 70] });
        for chunk in 1..wire.len() {
            assert_eq!(read_in_chunks(&wire, chunk), whole, "chunks of {chunk}");
        }
    }

    #[test]
    fn feed_leaves_the_next_packet_in_the_input() {
        let mut wire = Vec::new();
        write_packet(&mut wire, 0, b"first");
        write_packet(&mut wire, 1, b"second");
        let mut input = &wire[..];
        let mut reader = PacketReader::new(0, 100);
        assert_eq!(reader.feed(&mut input).unwrap().unwrap().payload, b"first");
        assert_eq!(input.len(), HEADER_LEN + 6);
    }

    #[test]
    fn large_payloads_split_and_join() {
        for (len, pieces) in
            [(MAX_PAYLOAD - 1, 1), (MAX_PAYLOAD, 2), (MAX_PAYLOAD + 1, 2), (2 * MAX_PAYLOAD, 3)]
        {
            let payload = vec![0xA5; len];
            let mut wire = Vec::new();
            let next = write_packet(&mut wire, 254, &payload);
            assert_eq!(next, 254u8.wrapping_add(pieces));
            assert_eq!(wire.len(), len + HEADER_LEN * usize::from(pieces));
            let mut reader = PacketReader::new(254, usize::MAX);
            let packet = reader.feed(&mut &wire[..]).unwrap().expect("complete");
            assert_eq!(packet.seq, next.wrapping_sub(1));
            assert!(packet.payload == payload);
        }
    }

    #[test]
    fn sequence_ids_wrap_and_are_checked() {
        let mut wire = Vec::new();
        let mut seq = 255;
        seq = write_packet(&mut wire, seq, b"a");
        write_packet(&mut wire, seq, b"b");
        write_packet(&mut wire, 7, b"c");
        let mut reader = PacketReader::new(255, 10);
        let input = &mut &wire[..];
        assert_eq!(reader.feed(input).unwrap().unwrap().seq, 255);
        assert_eq!(reader.feed(input).unwrap().unwrap().seq, 0);
        assert_eq!(reader.feed(input), Err(PacketError::OutOfOrder { expected: 1, found: 7 }));
    }

    #[test]
    fn the_limit_holds_for_one_piece_and_for_the_sum() {
        let mut reader = PacketReader::new(0, 10);
        assert_eq!(reader.feed(&mut &[11, 0, 0, 0][..]), Err(PacketError::TooLarge { len: 11, max: 10 }));

        let mut reader = PacketReader::new(0, MAX_PAYLOAD);
        let mut wire = Vec::new();
        write_packet(&mut wire, 0, &vec![0; MAX_PAYLOAD + 1]);
        let expected = PacketError::TooLarge { len: MAX_PAYLOAD + 1, max: MAX_PAYLOAD };
        assert_eq!(reader.feed(&mut &wire[..]), Err(expected));
    }

    #[test]
    fn expect_seq_starts_a_new_exchange() {
        let mut wire = Vec::new();
        write_packet(&mut wire, 0, b"a");
        write_packet(&mut wire, 0, b"b");
        let mut reader = PacketReader::new(0, 10);
        let input = &mut &wire[..];
        assert!(reader.feed(input).unwrap().is_some());
        reader.expect_seq(0);
        assert_eq!(reader.feed(input).unwrap().unwrap().payload, b"b");
    }
}
