//! A conversation as it was heard: packets of the client, and what the server said to them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::common::TestResult;
use crate::common::wire::{capability, command};
use crate::layers::{Algorithm, Unpacker, Way};
use crate::relay::{Passed, Side};

const HEADER_LENGTH: usize = 4;
const COMPRESSED_HEADER_LENGTH: usize = 7;
/// Packets up to this length are cut at every byte; of a longer one this much of the start, and [`END`] of the end.
const START: usize = HEADER_LENGTH + 64;
const END: usize = 8;
/// Places in the middle of a longer one.
const SAMPLES: usize = 8;
/// No packet has more positions.
pub const POSITIONS: usize = START + END + SAMPLES;

/// Where a packet of `length` bytes is cut at its `number`th position; `None` if it has no such position.
fn position(length: usize, number: usize) -> Option<usize> {
    let cut = match length.checked_sub(START + END) {
        None | Some(0) => number + 1,
        Some(_) if number < START => number + 1,
        Some(_) if number < START + END => length - END + (number - START),
        Some(middle) if number < POSITIONS => START + middle * (number - START - END + 1) / (SAMPLES + 1),
        Some(_) => return None,
    };
    (cut < length).then_some(cut)
}

/// The number of a cut that cuts nothing.
pub const WHOLE: usize = usize::MAX;
/// The number of one that cuts at all positions, into single bytes for the most.
pub const BYTES: usize = usize::MAX - 1;

/// Where a packet of `length` bytes is cut: at its position of this number, or as [`WHOLE`] or [`BYTES`] say. They rise.
pub fn cuts(length: usize, number: usize) -> Vec<usize> {
    match number {
        WHOLE => Vec::new(),
        BYTES => {
            let mut all: Vec<_> = (0..POSITIONS).filter_map(|number| position(length, number)).collect();
            all.sort_unstable();
            all
        }
        number => position(length, number).into_iter().collect(),
    }
}

/// Packets out of a stream of bytes, with their headers.
#[derive(Debug)]
pub struct Frames {
    header: usize,
    partial: Vec<u8>,
}

impl Frames {
    pub fn plain() -> Self {
        Self { header: HEADER_LENGTH, partial: Vec::new() }
    }

    /// From here on packets are compressed ones.
    fn compress(&mut self) {
        self.header = COMPRESSED_HEADER_LENGTH;
    }

    /// The packets that are complete now.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.partial.extend_from_slice(bytes);
        let mut complete = Vec::new();
        while let [a, b, c, _, ..] = self.partial[..] {
            let length = self.header + u32::from_le_bytes([a, b, c, 0]) as usize;
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
#[derive(Debug, Clone)]
pub struct Turn {
    pub packets: Vec<Vec<u8>>,
    /// Not compressed.
    pub answer: Vec<u8>,
    /// It is a COM_CHANGE_USER: what passes before the answer depends on the salt.
    pub proves: bool,
}

/// One connection, from its login to its end.
#[derive(Debug, Clone)]
pub struct Conversation {
    pub name: String,
    /// How it is held again.
    pub way: Way,
    /// The client compresses itself: its packets are compressed ones, and go out as they are.
    pub packed: bool,
    /// The client's answer to the greeting, with its header.
    pub response: Vec<u8>,
    /// The OK that ended the login.
    pub welcome: Vec<u8>,
    pub turns: Vec<Turn>,
}

impl Conversation {
    /// Makes one of what passed on a connection, to be held again on this way. A client that compresses is on its own.
    pub fn new(name: &str, passed: &Passed, way: Way) -> TestResult<Arc<Self>> {
        let mut packets = Packets::new(passed);
        let (Some((Side::Server, _greeting)), Some((Side::Client, response))) =
            (packets.next(), packets.next())
        else {
            return Err(format!("{name}: no login").into());
        };
        let is_ok = |(side, packet): &(Side, Vec<u8>)| *side == Side::Server && packet.get(4) == Some(&0);
        let (_, welcome) = packets.by_ref().find(is_ok).ok_or_else(|| format!("{name}: not let in"))?;
        let own = own_algorithm(&response);
        if own.is_some() {
            packets.compress();
        }
        let mut answers = own.map(Unpacker::new);
        let mut turns: Vec<Turn> = Vec::new();
        for (side, packet) in packets {
            match (side, turns.last_mut()) {
                (_, Some(turn)) if turn.proves && turn.answer.is_empty() => {
                    if is_ok(&(side, packet.clone())) {
                        turn.answer = packet;
                    }
                }
                (Side::Server, Some(turn)) => turn.answer.extend(match &mut answers {
                    None => packet,
                    Some(answers) => answers.unpack(&packet)?,
                }),
                (Side::Server, None) => return Err(format!("{name}: the server spoke unasked").into()),
                (Side::Client, _) => {
                    let proves =
                        own.is_none() && matches!(packet[..], [_, _, _, 0, command::CHANGE_USER, ..]);
                    match turns.last_mut() {
                        Some(turn) if turn.answer.is_empty() => {
                            turn.packets.push(packet);
                            turn.proves = proves;
                        }
                        _ => turns.push(Turn { packets: vec![packet], answer: Vec::new(), proves }),
                    }
                }
            }
        }
        let way = if own.is_some() { Way { compression: own, ..way } } else { way };
        Ok(Arc::new(Self { name: name.to_owned(), way, packed: own.is_some(), response, welcome, turns }))
    }

    /// The same conversation on another way.
    pub fn on(&self, way: Way) -> Self {
        Self { way, ..self.clone() }
    }

    /// How many positions the longest packet has.
    pub fn positions(&self) -> usize {
        // Layers make other lengths of the packets.
        if self.way.has_layers() {
            return POSITIONS;
        }
        let lengths = self.turns.iter().flat_map(|turn| &turn.packets).map(Vec::len);
        let longest = lengths.chain([self.response.len()]).max().unwrap_or_default();
        (0..POSITIONS).take_while(|number| position(longest, *number).is_some()).count()
    }

    /// What can be said without listening: all up to a proof that needs a salt.
    pub fn foreseen(&self) -> impl Iterator<Item = &Turn> {
        self.turns.iter().take_while(|turn| !turn.proves)
    }
}

/// What a client compresses by, in its answer to the greeting.
fn own_algorithm(response: &[u8]) -> Option<Algorithm> {
    let flags = response.get(HEADER_LENGTH..).and_then(|payload| payload.first_chunk()).copied();
    let flags = u32::from_le_bytes(flags.unwrap_or_default());
    match (flags & capability::COMPRESS != 0, flags & capability::ZSTD != 0) {
        (true, _) => Some(Algorithm::Zlib),
        (false, true) => Some(Algorithm::Zstd),
        (false, false) => None,
    }
}

/// The packets that passed, in the order of their ends.
struct Packets<'a> {
    chunks: std::slice::Iter<'a, (Side, Vec<u8>)>,
    frames: [Frames; 2],
    ready: VecDeque<(Side, Vec<u8>)>,
}

impl<'a> Packets<'a> {
    fn new(passed: &'a Passed) -> Self {
        Self { chunks: passed.iter(), frames: [Frames::plain(), Frames::plain()], ready: VecDeque::new() }
    }

    /// The login is over: what follows is compressed.
    fn compress(&mut self) {
        self.frames.iter_mut().for_each(Frames::compress);
    }
}

impl Iterator for Packets<'_> {
    type Item = (Side, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() {
            let (side, bytes) = self.chunks.next()?;
            let packets = self.frames[usize::from(*side == Side::Server)].push(bytes);
            self.ready.extend(packets.into_iter().map(|packet| (*side, packet)));
        }
        self.ready.pop_front()
    }
}
