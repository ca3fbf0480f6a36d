//! A conversation as it was heard: packets of the client, and what the server said to them.

use std::sync::Arc;

use crate::common::TestResult;
use crate::relay::{Passed, Side};

const HEADER_LENGTH: usize = 4;
/// Packets up to this length are cut at every byte; of a longer one this much of the start, and [`END`] of the end.
const START: usize = HEADER_LENGTH + 64;
const END: usize = 8;
/// Places in the middle of a longer one.
const SAMPLES: usize = 8;
/// No packet has more positions.
pub const POSITIONS: usize = START + END + SAMPLES;

/// Where a packet of `length` bytes is cut at its `number`th position; `None` if it has no such position.
pub fn position(length: usize, number: usize) -> Option<usize> {
    let cut = match length.checked_sub(START + END) {
        None | Some(0) => number + 1,
        Some(_) if number < START => number + 1,
        Some(_) if number < START + END => length - END + (number - START),
        Some(middle) if number < POSITIONS => START + middle * (number - START - END + 1) / (SAMPLES + 1),
        Some(_) => return None,
    };
    (cut < length).then_some(cut)
}

/// Packets out of a stream of bytes, with their headers.
#[derive(Debug, Default)]
pub struct Frames {
    partial: Vec<u8>,
}

impl Frames {
    /// The packets that are complete now.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.partial.extend_from_slice(bytes);
        let mut complete = Vec::new();
        while let [a, b, c, _, ..] = self.partial[..] {
            let length = HEADER_LENGTH + u32::from_le_bytes([a, b, c, 0]) as usize;
            if self.partial.len() < length {
                break;
            }
            let rest = self.partial.split_off(length);
            complete.push(std::mem::replace(&mut self.partial, rest));
        }
        complete
    }
}

/// Packets that a client sent in a row, and all that the server said before the next.
#[derive(Debug, Default)]
pub struct Turn {
    pub packets: Vec<Vec<u8>>,
    pub answer: Vec<u8>,
}

/// One connection, from its login to its end.
#[derive(Debug)]
pub struct Conversation {
    pub name: String,
    /// The client's answer to the greeting, with its header.
    pub response: Vec<u8>,
    /// The OK that ended the login.
    pub welcome: Vec<u8>,
    pub turns: Vec<Turn>,
}

impl Conversation {
    /// Makes one of what passed on a connection.
    pub fn new(name: &str, passed: &Passed) -> TestResult<Arc<Self>> {
        let mut streams = [Frames::default(), Frames::default()];
        let packets = passed.iter().flat_map(|(side, bytes)| {
            let frames = &mut streams[usize::from(*side == Side::Server)];
            frames.push(bytes).into_iter().map(|packet| (*side, packet)).collect::<Vec<_>>()
        });
        let mut packets = packets.collect::<Vec<_>>().into_iter();
        let (Some((Side::Server, _greeting)), Some((Side::Client, response))) =
            (packets.next(), packets.next())
        else {
            return Err(format!("{name}: no login").into());
        };
        let is_ok = |(side, packet): &(Side, Vec<u8>)| *side == Side::Server && packet.get(4) == Some(&0);
        let (_, welcome) = packets.by_ref().find(is_ok).ok_or_else(|| format!("{name}: not let in"))?;
        let mut turns: Vec<Turn> = Vec::new();
        for (side, packet) in packets {
            match (side, turns.last_mut()) {
                (Side::Server, Some(turn)) => turn.answer.extend(packet),
                (Side::Server, None) => return Err(format!("{name}: the server spoke unasked").into()),
                (Side::Client, Some(turn)) if turn.answer.is_empty() => turn.packets.push(packet),
                (Side::Client, _) => turns.push(Turn { packets: vec![packet], answer: Vec::new() }),
            }
        }
        Ok(Arc::new(Self { name: name.to_owned(), response, welcome, turns }))
    }

    /// How many positions the longest packet has.
    pub fn positions(&self) -> usize {
        let lengths = self.turns.iter().flat_map(|turn| &turn.packets).map(Vec::len);
        let longest = lengths.chain([self.response.len()]).max().unwrap_or_default();
        (0..POSITIONS).take_while(|number| position(longest, *number).is_some()).count()
    }

    /// All answers after the login.
    pub fn answers(&self) -> Vec<u8> {
        self.turns.iter().flat_map(|turn| turn.answer.iter().copied()).collect()
    }
}
