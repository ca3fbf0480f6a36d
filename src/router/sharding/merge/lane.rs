//! What has come of one shard's rows and has not gone to the client yet.

use std::collections::VecDeque;
use std::ops::{DerefMut, Range};

use crate::protocol::packet::HEADER_LEN;
use crate::protocol::rows::{InRow, Place, RowCutter};

/// Bytes of one shard that wait for the client; with so many nothing more of it is received. A row that has not ended is waited
/// for in any case.
const WINDOW_BYTES: usize = 64 << 10;

/// In so many parts, which may be buffers that are mostly empty. What comes beyond is copied.
const WINDOW_PARTS: usize = 16;

/// Bytes of rows, with their headers.
pub trait Chunk: DerefMut<Target = [u8]> + From<Vec<u8>> {
    /// Keeps this range alone.
    fn keep(&mut self, range: Range<usize>);
}

impl Chunk for Vec<u8> {
    fn keep(&mut self, range: Range<usize>) {
        self.truncate(range.end);
        self.drain(..range.start.min(self.len()));
    }
}

#[derive(Debug)]
pub(super) struct Lane<B> {
    parts: VecDeque<B>,
    bytes: usize,
    /// Rows that are here to their ends.
    pub rows: usize,
    pub has_columns: bool,
    /// Nothing more comes.
    pub has_ended: bool,
    /// Where the first part begins, if rows pass part by part.
    within: InRow,
    /// If they are looked at one by one: up to where that has come in the first part, and the row that it has found.
    at: usize,
    cutter: RowCutter,
    row: Place,
}

/// What the client still wants of all rows.
#[derive(Debug)]
pub(super) struct Wanted {
    pub skip: u64,
    pub left: u64,
    /// The sequence id of the next packet to the client.
    pub seq: u8,
    /// Rows that it has got.
    pub passed: u64,
}

impl<B> Default for Lane<B> {
    fn default() -> Self {
        Self {
            parts: VecDeque::new(),
            bytes: 0,
            rows: 0,
            has_columns: false,
            has_ended: false,
            within: InRow::default(),
            at: 0,
            cutter: RowCutter::default(),
            row: Place::Joined,
        }
    }
}

impl<B: Chunk> Lane<B> {
    /// Rows, of which so many end here. `lasts`: they may stay for long, so they must not keep a buffer from others.
    pub fn push(&mut self, part: B, rows: usize, lasts: bool) {
        self.bytes += part.len();
        self.rows += rows;
        let copies = lasts || self.parts.len() >= WINDOW_PARTS;
        self.parts.push_back(if copies { B::from(part.to_vec()) } else { part });
    }

    /// Whether more may be received, as far as this lane is concerned.
    pub fn has_room(&self) -> bool {
        self.rows == 0 || (self.bytes < WINDOW_BYTES && self.parts.len() < WINDOW_PARTS)
    }

    /// Rows and bytes that are here.
    pub fn size(&self) -> (usize, usize) {
        (self.rows, self.bytes)
    }

    /// Whether the end of a row has to follow before anything else may.
    pub fn is_within_row(&self) -> bool {
        self.within.is_within()
    }

    /// The next bytes of rows for the client, numbered on. It ends within a row only if the rest of that is here. With `one` it
    /// ends with the row that it is in.
    pub fn pass(&mut self, wanted: &mut Wanted, one: bool) -> Option<B> {
        loop {
            let mut part = self.parts.pop_front()?;
            self.bytes -= part.len();
            let passed = self.pass_part(&mut part, wanted, one);
            if passed.tail < part.len() && !passed.is_last {
                let tail = part.get(passed.tail..).unwrap_or_default().to_vec();
                self.bytes += tail.len();
                self.parts.push_front(B::from(tail));
            }
            if !passed.range.is_empty() {
                part.keep(passed.range);
                return Some(part);
            }
            if wanted.left == 0 || self.rows == 0 {
                return None;
            }
        }
    }

    fn pass_part(&mut self, part: &mut [u8], wanted: &mut Wanted, one: bool) -> Passed {
        let (mut at, mut start) = (0, 0);
        // As of the last end of a row in it.
        let mut boundary = (0, self.within, wanted.seq);
        loop {
            let taken = self.within.left.min(part.len() - at);
            at += taken;
            let is_row = self.within.is_within() && self.within.pass(taken);
            if self.within.left > 0 {
                break;
            }
            if is_row {
                self.rows = self.rows.saturating_sub(1);
                if wanted.skip > 0 {
                    wanted.skip -= 1;
                    start = at;
                } else {
                    wanted.left -= 1;
                    wanted.passed += 1;
                }
                boundary = (at, self.within, wanted.seq);
                if wanted.left == 0 || one {
                    return Passed { range: start..at, tail: at, is_last: wanted.left == 0 };
                }
            }
            if self.within.begin(part.get(at..).unwrap_or_default()).is_none() {
                break;
            }
            if wanted.skip == 0 {
                if let Some(seq) = part.get_mut(at + HEADER_LEN - 1) {
                    *seq = wanted.seq;
                }
                wanted.seq = wanted.seq.wrapping_add(1);
            }
            at += HEADER_LEN;
        }
        if self.within.is_within() && self.rows == 0 {
            // Its rest may be long in coming, and another shard's rows may be here.
            (at, self.within, wanted.seq) = boundary;
        } else if wanted.skip > 0 {
            start = at;
        }
        Passed { range: start.min(at)..at, tail: at, is_last: false }
    }

    /// Looks for the next row, which is here to its end.
    pub fn find_row(&mut self) -> bool {
        while let Some(part) = self.parts.front() {
            if let Some(place) = self.cutter.next(part, &mut self.at) {
                self.row = place;
                return true;
            }
            self.drop_part();
        }
        false
    }

    /// The row that was found last.
    pub fn row(&self) -> &[u8] {
        self.row.of(self.parts.front().map(|part| &**part).unwrap_or_default(), &self.cutter)
    }

    /// It is not needed any more.
    pub fn drop_row(&mut self) {
        self.rows = self.rows.saturating_sub(1);
        self.row = Place::Joined;
        if self.parts.front().is_some_and(|part| self.at >= part.len()) {
            self.drop_part();
        }
    }

    fn drop_part(&mut self) {
        self.at = 0;
        if let Some(part) = self.parts.pop_front() {
            self.bytes -= part.len();
        }
    }
}

/// What of a part goes to the client, from where on it has to wait, and whether that is of no use any more.
struct Passed {
    range: Range<usize>,
    tail: usize,
    is_last: bool,
}
