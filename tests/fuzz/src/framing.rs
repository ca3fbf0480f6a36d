//! Packets and commands out of a stream.

use std::ops::Deref;

use athena::net::Payload;
use athena::protocol::packet::{HEADER_LEN, Packet, PacketError, PacketReader, write_packet};
use athena::session::{Chunk, Input, Taken};

use super::cuts::{cut, option};

/// Packets are the same however they are cut, and the same again after they were written and read.
pub fn packets(bytes: &[u8]) {
    let (seed, wire) = option(bytes);
    let (whole, end) = read_packets(&[wire]);
    assert_eq!(read_packets(&cut(wire, seed)), (whole.clone(), end));
    let first = wire.get(3).copied().unwrap_or_default();
    let mut written = Vec::new();
    let mut seq = first;
    for packet in &whole {
        seq = write_packet(&mut written, seq, &packet.payload);
        assert_eq!(packet.seq, seq.wrapping_sub(1));
    }
    assert!(wire.starts_with(&written), "packets are written as they were read");
}

/// Packets from the first sequence id on, and what ended them.
fn read_packets(chunks: &[&[u8]]) -> (Vec<Packet>, Option<PacketError>) {
    let first = chunks.iter().flat_map(|chunk| chunk.iter()).nth(3).copied().unwrap_or_default();
    let mut reader = PacketReader::new(first, 1 << 20);
    let mut packets = Vec::new();
    for chunk in chunks {
        let mut input = *chunk;
        loop {
            match reader.feed(&mut input) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(error) => return (packets, Some(error)),
            }
        }
        assert!(input.is_empty(), "bytes are left that belong to no packet");
    }
    (packets, None)
}

/// Commands are the same however they are cut or strung together, and no byte is lost.
pub fn commands(bytes: &[u8]) {
    let (options, rest) = option(bytes);
    let (seed, wire) = option(rest);
    // A limit below what is collected of an oversized command makes none of them oversized.
    let max = if options & 1 == 0 { 64 << 20 } else { 300 };
    let whole = take_commands(&[wire], max);
    assert_eq!(take_commands(&cut(wire, seed), max), whole);
    let taken: Vec<u8> = whole.0.concat();
    assert!(wire.starts_with(&taken), "commands come out as they came in");
}

/// Bytes that were received.
struct Received(Vec<u8>);

impl Deref for Received {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Chunk for Received {
    fn advance(&mut self, n: usize) {
        self.0.drain(..n);
    }
}

impl From<Received> for Payload {
    fn from(received: Received) -> Self {
        Payload::Owned(received.0)
    }
}

/// Commands, their pieces joined, and what ended them. The last one is without its end if that has not come.
fn take_commands(chunks: &[&[u8]], max: usize) -> (Vec<Vec<u8>>, Option<PacketError>) {
    let mut input = Input::default();
    let mut commands = Vec::new();
    let mut oversized = None;
    for chunk in chunks {
        assert!(!input.has_chunk());
        input.push(Received(chunk.to_vec()));
        loop {
            if let Some(command) = &mut oversized {
                match input.piece(command, max) {
                    Ok(Some((piece, last))) => {
                        let open: &mut Vec<u8> = commands.last_mut().expect("begun");
                        open.extend_from_slice(&piece);
                        if last {
                            assert!(command.is_over());
                            oversized = None;
                        }
                        continue;
                    }
                    Ok(None) => break,
                    Err(error) => return (commands, Some(error)),
                }
            }
            match input.take(1024, max) {
                Ok(Taken::Command(command)) => {
                    assert!(command.len() >= HEADER_LEN);
                    commands.push(command.to_vec());
                }
                Ok(Taken::Oversized(command)) => {
                    commands.push(Vec::new());
                    oversized = Some(*command);
                }
                Ok(Taken::Nothing) => break,
                Err(error) => return (commands, Some(error)),
            }
        }
    }
    (commands, None)
}
