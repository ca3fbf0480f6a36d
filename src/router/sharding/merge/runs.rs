//! The rows of each shard as they came, and one row after the other out of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::error::MergeError;
use super::layout::Layout;
use super::merger::Budget;
use crate::protocol::row::{Cell, locate};

/// How much is held, within what may be.
#[derive(Debug)]
pub(super) struct Held {
    budget: Budget,
    rows: usize,
    bytes: usize,
}

impl Held {
    pub fn new(budget: Budget) -> Held {
        Held { budget, rows: 0, bytes: 0 }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn add_row(&mut self, bytes: usize) -> Result<(), MergeError> {
        self.rows += 1;
        if self.rows > self.budget.max_rows {
            let setting = "[sharding_defaults] max_merge_rows";
            return Err(MergeError::TooMuch { setting, max: self.budget.max_rows });
        }
        self.grow(bytes.cast_signed())
    }

    pub fn grow(&mut self, bytes: isize) -> Result<(), MergeError> {
        self.bytes = self.bytes.saturating_add_signed(bytes);
        if self.bytes > self.budget.max_bytes {
            let setting = "[sharding_defaults] max_merge_bytes";
            return Err(MergeError::TooMuch { setting, max: self.budget.max_bytes });
        }
        Ok(())
    }
}

/// The rows of one shard, packed.
#[derive(Debug, Default)]
pub(super) struct Run {
    chunks: Vec<Vec<u8>>,
    rows: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    chunk: u32,
    start: u32,
    len: u32,
}

/// Bytes of a chunk; a longer row has one of its own.
const CHUNK_LEN: usize = 64 * 1024;

impl Run {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn push(&mut self, row: &[u8], held: &mut Held) -> Result<(), MergeError> {
        held.add_row(row.len() + size_of::<Place>())?;
        let has_room = |chunk: &Vec<u8>| chunk.capacity() - chunk.len() >= row.len();
        if !self.chunks.last().is_some_and(has_room) {
            // The first one is small: most results are.
            let len = if self.chunks.is_empty() { CHUNK_LEN / 16 } else { CHUNK_LEN };
            self.chunks.push(Vec::with_capacity(row.len().max(len)));
        }
        let chunk = self.chunks.len().saturating_sub(1);
        let Some(last) = self.chunks.last_mut() else { return Ok(()) };
        // A row has at most 1 GiB, and a chunk is one row or CHUNK_LEN.
        self.rows.push(Place { chunk: chunk as u32, start: last.len() as u32, len: row.len() as u32 });
        last.extend_from_slice(row);
        Ok(())
    }

    fn get(&self, at: usize) -> Option<&[u8]> {
        let place = self.rows.get(at)?;
        let start = place.start as usize;
        self.chunks.get(place.chunk as usize)?.get(start..start + place.len as usize)
    }
}

/// One row after the other.
#[derive(Debug)]
pub(super) enum Source {
    /// One shard after the other.
    Chained {
        runs: Vec<Run>,
        shard: usize,
        next: usize,
    },
    Merged(Sorted),
    Rows(std::vec::IntoIter<Box<[u8]>>),
}

/// Runs that are in order each, as one.
#[derive(Debug)]
pub(super) struct Sorted {
    runs: Vec<Run>,
    /// The first row of each run that has one still. Of equal ones the lower shard's comes first.
    heads: BinaryHeap<Reverse<Head>>,
    cells: Vec<Cell>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    key: Vec<u8>,
    shard: usize,
    row: usize,
}

impl Sorted {
    pub fn new(runs: Vec<Run>, layout: &Layout) -> Result<Sorted, MergeError> {
        let shards = runs.len();
        let mut sorted = Sorted { runs, heads: BinaryHeap::with_capacity(shards), cells: Vec::new() };
        for shard in 0..shards {
            sorted.push(Head { key: Vec::new(), shard, row: 0 }, layout)?;
        }
        Ok(sorted)
    }

    /// Brings the row that a head says into the order, if there is one.
    fn push(&mut self, mut head: Head, layout: &Layout) -> Result<(), MergeError> {
        let Some(row) = self.runs.get(head.shard).and_then(|run| run.get(head.row)) else { return Ok(()) };
        locate(layout.encoding, &layout.types, row, &mut self.cells)?;
        head.key.clear();
        for part in &layout.order {
            part.put(&mut head.key, layout.encoding, row, &self.cells)?;
        }
        self.heads.push(Reverse(head));
        Ok(())
    }

    /// Has `use_row` read the next row.
    fn next<T>(
        &mut self,
        layout: &Layout,
        use_row: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, MergeError> {
        let Some(Reverse(mut head)) = self.heads.pop() else { return Ok(None) };
        let used = self.runs.get(head.shard).and_then(|run| run.get(head.row)).map(use_row);
        head.row += 1;
        self.push(head, layout)?;
        Ok(used)
    }
}

impl Source {
    pub fn next<T>(
        &mut self,
        layout: &Layout,
        use_row: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, MergeError> {
        match self {
            Source::Chained { runs, shard, next } => loop {
                let Some(run) = runs.get(*shard) else { return Ok(None) };
                if let Some(row) = run.get(*next) {
                    *next += 1;
                    return Ok(Some(use_row(row)));
                }
                *shard += 1;
                *next = 0;
            },
            Source::Merged(sorted) => sorted.next(layout, use_row),
            Source::Rows(rows) => Ok(rows.next().map(|row| use_row(&row))),
        }
    }
}
