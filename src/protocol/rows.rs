//! Rows in their packets.
//!
//! Protocol section: "MySQL Packets".

use std::ops::Range;

use super::packet::{HEADER_LEN, Header};

/// Gives the rows one by one, without copying those that lie in one part as a whole.
#[derive(Debug, Default)]
pub struct RowCutter {
    /// What has come of a header.
    header: [u8; HEADER_LEN],
    header_len: usize,
    /// A row that came in several parts or pieces.
    row: Vec<u8>,
    state: InRow,
    /// The next byte begins a new row.
    is_over: bool,
}

/// Where the payload of a row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the part that was asked for it.
    Here(Range<usize>),
    /// In the cutter, until the next row is asked for.
    Joined,
}

impl Place {
    pub fn of<'a>(&self, part: &'a [u8], cutter: &'a RowCutter) -> &'a [u8] {
        match self {
            Place::Here(range) => part.get(range.clone()).unwrap_or_default(),
            Place::Joined => &cutter.row,
        }
    }
}

impl RowCutter {
    /// The next row that ends in the bytes of `part` from `at` on, which moves on. `None`: the rest of it has to come.
    pub fn next(&mut self, part: &[u8], at: &mut usize) -> Option<Place> {
        if std::mem::take(&mut self.is_over) {
            self.row.clear();
        }
        while *at < part.len() || self.state.is_at_end() {
            if self.state.left > 0 || self.state.is_at_end() {
                let taken = part.get(*at..).unwrap_or_default();
                let taken = taken.get(..self.state.left).unwrap_or(taken);
                self.row.extend_from_slice(taken);
                *at += taken.len();
                if self.state.pass(taken.len()) {
                    self.is_over = true;
                    return Some(Place::Joined);
                }
                continue;
            }
            let header = self.header(part, at)?;
            let header = self.state.begin(&header)?;
            let end = *at + header.len as usize;
            if !header.continues() && self.row.is_empty() && end <= part.len() {
                self.state = InRow::default();
                let start = std::mem::replace(at, end);
                return Some(Place::Here(start..end));
            }
        }
        None
    }
}

impl RowCutter {
    fn header(&mut self, part: &[u8], at: &mut usize) -> Option<[u8; HEADER_LEN]> {
        for (place, byte) in self.header.iter_mut().skip(self.header_len).zip(part.iter().skip(*at)) {
            *place = *byte;
            self.header_len += 1;
            *at += 1;
        }
        (self.header_len == HEADER_LEN).then(|| {
            self.header_len = 0;
            self.header
        })
    }
}

/// How far into a row the next byte is.
#[derive(Debug, Default, Clone, Copy)]
pub struct InRow {
    /// Bytes of the piece that are still to come.
    pub left: usize,
    continues: bool,
    in_piece: bool,
}

impl InRow {
    /// Whether a row has begun that has not ended.
    pub fn is_within(&self) -> bool {
        self.in_piece || self.continues
    }

    /// All bytes of a piece are there, and nobody was told yet.
    fn is_at_end(&self) -> bool {
        self.in_piece && self.left == 0
    }

    /// The header of the next piece, at the front of `bytes`.
    pub fn begin(&mut self, bytes: &[u8]) -> Option<Header> {
        let header = Header::parse(*bytes.first_chunk()?);
        *self = Self { left: header.len as usize, continues: header.continues(), in_piece: true };
        Some(header)
    }

    /// So many bytes of the piece were passed. Whether that is the end of a row.
    pub fn pass(&mut self, bytes: usize) -> bool {
        self.left = self.left.saturating_sub(bytes);
        if self.left > 0 || !self.in_piece {
            return false;
        }
        self.in_piece = false;
        !self.continues
    }
}
