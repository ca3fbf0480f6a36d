//! What must change in a chunk of bytes before it goes on.

use std::ops::Range;

use crate::protocol::packet::write_packet;

/// Replaces a range of the chunk by other bytes; an empty range inserts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    pub range: Range<usize>,
    replacement: Range<usize>,
}

/// Edits of one chunk, in the order of their places. Kept and reused: it allocates only until it has grown to what
/// replies need.
#[derive(Debug, Default)]
pub struct Edits {
    list: Vec<Edit>,
    bytes: Vec<u8>,
}

impl Edits {
    pub fn clear(&mut self) {
        self.list.clear();
        self.bytes.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many edits there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// By how many bytes the chunk grows where it grows. (Where it shrinks, that does not always make room elsewhere.)
    pub fn growth(&self) -> usize {
        self.list.iter().map(|edit| edit.replacement.len().saturating_sub(edit.range.len())).sum()
    }

    /// Replaces `range` by what `write` appends. Ranges come in rising order and don't overlap.
    pub(super) fn replace(&mut self, range: Range<usize>, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.bytes.len();
        write(&mut self.bytes);
        self.list.push(Edit { range, replacement: from..self.bytes.len() });
    }

    /// Replaces `range` by a packet.
    pub(super) fn packet(&mut self, range: Range<usize>, seq: u8, payload: &[u8]) {
        self.replace(range, |out| {
            write_packet(out, seq, payload);
        });
    }

    /// The edits from the last to the first: each can be carried out without moving the places of those to come.
    pub fn backwards(&self) -> impl Iterator<Item = (Range<usize>, &[u8])> {
        self.list
            .iter()
            .rev()
            .map(|e| (e.range.clone(), self.bytes.get(e.replacement.clone()).unwrap_or_default()))
    }

    /// `chunk` with the edits carried out, as a copy.
    pub fn copied(&self, chunk: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(chunk.len() + self.bytes.len());
        let mut at = 0;
        for edit in &self.list {
            out.extend_from_slice(chunk.get(at..edit.range.start).unwrap_or_default());
            out.extend_from_slice(self.bytes.get(edit.replacement.clone()).unwrap_or_default());
            at = edit.range.end;
        }
        out.extend_from_slice(chunk.get(at..).unwrap_or_default());
        out
    }
}
