//! Commands out of the bytes that a client sends, however they are cut or strung together.

use std::ops::Deref;

use crate::net::{Buf, Payload};
use crate::protocol::packet::{HEADER_LEN, Header, MAX_PAYLOAD, PacketError};

/// As much of an oversized command is collected: enough for the null bitmap and the types of the most parameters that
/// COM_STMT_EXECUTE can have, and for the beginning of any text.
const START_LEN: usize = 160 * 1024;

/// Received bytes, used up from the front.
pub trait Chunk: Deref<Target = [u8]> + Into<Payload> {
    /// Drops the first `n` bytes.
    fn advance(&mut self, n: usize);
}

impl Chunk for Buf {
    fn advance(&mut self, n: usize) {
        Buf::advance(self, n);
    }
}

/// The bytes of a client that are not answered yet.
pub struct Input<C = Buf> {
    /// What the last receive brought, or the rest of it.
    chunk: Option<C>,
    /// A command of which the end is missing.
    partial: Vec<u8>,
}

/// What the input holds.
pub enum Taken {
    /// One command, with its header.
    Command(Payload),
    /// A command that is longer than is collected. Its bytes come out of [`Input::piece`].
    Oversized(Box<Oversized>),
    /// Not enough for a command.
    Nothing,
}

/// Where an oversized command stands.
pub struct Oversized {
    /// The command byte and the beginning of what follows it, as far as it has come.
    pub start: Vec<u8>,
    /// Bytes of the current piece that have not come out yet.
    left: usize,
    /// Another piece follows.
    continues: bool,
    /// As much of its header as has come.
    head: Vec<u8>,
    /// The sequence id that the next header must have.
    next_seq: u8,
    /// Payload bytes of the pieces begun so far.
    len: usize,
}

impl Oversized {
    /// The sequence id of an answer to the whole command.
    pub fn answer_seq(&self) -> u8 {
        self.next_seq
    }

    /// Whether its first packet, none of which has come out yet, may be longer by so many bytes and still be one.
    pub fn may_grow_by(&self, count: usize) -> bool {
        !self.continues && self.len.saturating_add(count) < MAX_PAYLOAD
    }

    pub fn is_over(&self) -> bool {
        self.left == 0 && !self.continues
    }

    /// How many bytes at the front of `bytes` belong to the command.
    fn pass(&mut self, bytes: &[u8], max: usize) -> Result<usize, PacketError> {
        let mut at = 0;
        while at < bytes.len() && !self.is_over() {
            if self.left > 0 {
                let passed = self.left.min(bytes.len() - at);
                at += passed;
                self.left -= passed;
                continue;
            }
            self.head.extend(bytes.get(at));
            at += 1;
            if let Some(head) = self.head.first_chunk::<HEADER_LEN>() {
                let header = Header::parse(*head);
                self.head.clear();
                if header.seq != self.next_seq {
                    return Err(PacketError::OutOfOrder { expected: self.next_seq, found: header.seq });
                }
                self.next_seq = self.next_seq.wrapping_add(1);
                self.len += header.len as usize;
                if self.len > max {
                    return Err(PacketError::TooLarge { len: self.len, max });
                }
                self.continues = header.continues();
                self.left = header.len as usize;
            }
        }
        Ok(at)
    }
}

impl<C> Default for Input<C> {
    fn default() -> Self {
        Self { chunk: None, partial: Vec::new() }
    }
}

impl<C: Chunk> Input<C> {
    pub fn push(&mut self, chunk: C) {
        debug_assert!(self.chunk.is_none(), "bytes of the client would be lost");
        self.chunk = Some(chunk);
    }

    /// Whether bytes are there that no command has been made of.
    pub fn is_empty(&self) -> bool {
        self.chunk.is_none() && self.partial.is_empty()
    }

    /// Whether the beginning of a command has been taken in.
    pub fn has_begun(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Whether [`Input::push`] would overwrite bytes: then there is something to take first.
    pub fn has_chunk(&self) -> bool {
        self.chunk.is_some()
    }

    /// Takes the bytes that are there, when they are no command: [`Input::push`] puts back what was too much.
    pub fn take_chunk(&mut self) -> Option<C> {
        self.chunk.take()
    }

    /// Takes the next command, if it is all there. One that came alone, in one chunk, is that chunk: no byte moves.
    /// A payload of more than `buffered_max` bytes is not collected; one of more than `max` is refused.
    pub fn take(&mut self, buffered_max: usize, max: usize) -> Result<Taken, PacketError> {
        if self.partial.is_empty()
            && let Some(chunk) = &mut self.chunk
            && let Some(head) = chunk.first_chunk::<HEADER_LEN>()
        {
            let header = Header::parse(*head);
            let total = HEADER_LEN + header.len as usize;
            check(header, max)?;
            if !header.continues() && total <= chunk.len() {
                if total == chunk.len() {
                    return Ok(self
                        .chunk
                        .take()
                        .map_or(Taken::Nothing, |chunk| Taken::Command(chunk.into())));
                }
                let command = chunk.get(..total).unwrap_or_default().to_vec();
                chunk.advance(total);
                return Ok(Taken::Command(command.into()));
            }
        }
        self.collect(buffered_max, max)
    }

    /// The slow way: puts a command together from several chunks.
    fn collect(&mut self, buffered_max: usize, max: usize) -> Result<Taken, PacketError> {
        let Some(mut chunk) = self.chunk.take() else { return Ok(Taken::Nothing) };
        let missing = HEADER_LEN.saturating_sub(self.partial.len());
        self.move_bytes(&mut chunk, missing);
        let Some(head) = self.partial.first_chunk::<HEADER_LEN>() else { return Ok(Taken::Nothing) };
        let header = Header::parse(*head);
        check(header, max)?;
        let total = HEADER_LEN + header.len as usize;
        let oversized = header.continues() || header.len as usize > buffered_max.max(START_LEN);
        let wanted = if oversized { HEADER_LEN + START_LEN } else { total };
        let missing = wanted.saturating_sub(self.partial.len());
        self.partial.reserve_exact(missing);
        self.move_bytes(&mut chunk, missing);
        self.keep(chunk);
        if self.partial.len() < wanted {
            return Ok(Taken::Nothing);
        }
        if oversized {
            // What has been collected comes out as the first piece.
            let start = self.partial.get(HEADER_LEN..).unwrap_or_default().to_vec();
            let (continues, len) = (header.continues(), header.len as usize);
            let (head, next_seq) = (Vec::new(), header.seq.wrapping_add(1));
            let oversized = Oversized { start, left: total, continues, head, next_seq, len };
            return Ok(Taken::Oversized(Box::new(oversized)));
        }
        Ok(Taken::Command(std::mem::take(&mut self.partial).into()))
    }

    /// The next bytes of an oversized command; `None` until more have come. With the flag: these are the last.
    pub fn piece(
        &mut self,
        command: &mut Oversized,
        max: usize,
    ) -> Result<Option<(Payload, bool)>, PacketError> {
        if !self.partial.is_empty() {
            // The header of the first piece, and what was collected with it.
            let collected = std::mem::take(&mut self.partial);
            command.left -= collected.len();
            return Ok(Some((collected.into(), false)));
        }
        let Some(chunk) = &mut self.chunk else { return Ok(None) };
        let at = command.pass(chunk, max)?;
        let last = command.is_over();
        if at == chunk.len() {
            return Ok(self.chunk.take().map(|chunk| (chunk.into(), last)));
        }
        let bytes = chunk.get(..at).unwrap_or_default().to_vec();
        chunk.advance(at);
        Ok(Some((bytes.into(), last)))
    }

    fn move_bytes(&mut self, chunk: &mut C, count: usize) {
        let count = count.min(chunk.len());
        self.partial.extend_from_slice(chunk.get(..count).unwrap_or_default());
        chunk.advance(count);
    }

    /// Puts back what was not used of a chunk.
    pub fn keep(&mut self, chunk: C) {
        self.chunk = Some(chunk).filter(|chunk| !chunk.is_empty());
    }
}

/// A command begins with sequence id 0.
fn check(header: Header, max: usize) -> Result<(), PacketError> {
    if header.seq != 0 {
        return Err(PacketError::OutOfOrder { expected: 0, found: header.seq });
    }
    let len = header.len as usize;
    if len > max {
        return Err(PacketError::TooLarge { len, max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: [u8; 4] = [0xff, 0xff, 0xff, 0];

    fn oversized() -> Oversized {
        let Header { len, seq, .. } = Header::parse(LONGEST);
        let len = len as usize;
        let next_seq = seq.wrapping_add(1);
        Oversized { start: Vec::new(), left: 2, continues: true, head: Vec::new(), next_seq, len }
    }

    #[test]
    fn pieces_follow_each_other_wherever_they_are_cut() {
        // The last two bytes of a piece, the header of the next and last one, its three bytes, and another command.
        let bytes = [9, 9, 3, 0, 0, 1, 7, 7, 7, 1, 0, 0, 0, 14];
        for cut in 0..9 {
            let mut command = oversized();
            let (first, second) = bytes.split_at(cut);
            assert_eq!(command.pass(first, usize::MAX), Ok(cut));
            assert!(!command.is_over());
            assert_eq!(command.pass(second, usize::MAX), Ok(9 - cut), "cut at {cut}");
            assert!(command.is_over());
        }
    }

    #[test]
    fn a_command_of_several_packets_does_not_grow() {
        let one = Oversized { continues: false, len: MAX_PAYLOAD - 3, ..oversized() };
        assert!(one.may_grow_by(2) && !one.may_grow_by(3) && !oversized().may_grow_by(0));
    }

    #[test]
    fn a_piece_out_of_order_or_too_much_of_them_is_refused() {
        let gap = oversized().pass(&[9, 9, 3, 0, 0, 2], usize::MAX);
        assert_eq!(gap, Err(PacketError::OutOfOrder { expected: 1, found: 2 }));
        let max = 0xFF_FFFF + 2;
        let sum = oversized().pass(&[9, 9, 3, 0, 0, 1], max);
        assert_eq!(sum, Err(PacketError::TooLarge { len: max + 1, max }));
    }
}
