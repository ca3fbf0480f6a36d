//! Rows of several shards that go to the client as they come: behind each other, or in the order that those of each shard are in.
//!
//! ```text
//!  shard ──▶ lane ──┐ without an order: part by part, only sequence ids change
//!  shard ──▶ lane ──┼─▶ the client
//!  shard ──▶ lane ──┘ in order: the least of the first rows
//! ```
//!
//! Nothing goes out before all shards have begun and agreed about their columns. Each lane holds a window, and its shard is to wait
//! while that is full; but for where a shard that has not begun waits for the connection of another: then everything is kept, up to
//! a budget. Where that is spent, rows without an order go out before all have begun.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::error::MergeError;
use super::lane::{Chunk, Lane, Wanted};
use super::layout::{Layout, put_all};
use super::merger::{Budget, Flow, Window};
use crate::protocol::packet::write_packet;
use crate::protocol::row::{Cell, RowEncoding, locate, shorten};
use crate::router::sharding::Merge;

/// Bytes after which rows that were written one by one are enough for one send.
pub const FULL_BYTES: usize = 32 << 10;

/// What there is for the client.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<B> {
    /// Nothing now.
    Wait,
    /// These rows, behind what was written before.
    Chunk(B),
    /// What was written is enough for a send.
    Full,
    /// No row follows.
    End,
}

/// Lanes are counted from 0, in any order of shards.
#[derive(Debug)]
pub struct Stream<B> {
    merge: Merge,
    encoding: RowEncoding,
    /// Since the first columns are known.
    layout: Option<Layout>,
    lanes: Vec<Lane<B>>,
    /// Every shard has begun: none waits for another's connection.
    all_begun: bool,
    /// Rows are not the client's as they come.
    holds_back: bool,
    /// Rows are, though not every shard has begun.
    is_early: bool,
    budget: Budget,
    wanted: Wanted,
    /// All rows that have come, passed or not; and how many do, where that is known.
    come: u64,
    needed: Option<u64>,
    /// Whose turn it is, so that each shard is read on however quick the others are.
    turn: usize,
    /// The one whose row is under way to the client.
    under_way: Option<usize>,
    /// The first row of each lane, by its key. Of equal ones the lower lane's comes first.
    heads: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
    /// Lanes without a head.
    headless: Vec<(Vec<u8>, usize)>,
    cells: Vec<Cell>,
    shortened: Vec<u8>,
}

impl<B: Chunk> Stream<B> {
    pub fn new(merge: Merge, encoding: RowEncoding, window: Option<Window>, budget: Budget) -> Self {
        let Window { offset: skip, count: left } = window.unwrap_or(Window { offset: 0, count: u64::MAX });
        Self {
            merge,
            encoding,
            layout: None,
            lanes: Vec::new(),
            all_begun: false,
            holds_back: false,
            is_early: false,
            budget,
            wanted: Wanted { skip, left, seq: 1, passed: 0 },
            come: 0,
            needed: window.map(|window| if left == 0 { 0 } else { window.offset.saturating_add(left) }),
            turn: 0,
            under_way: None,
            heads: BinaryHeap::new(),
            headless: Vec::new(),
            cells: Vec::new(),
            shortened: Vec::new(),
        }
    }

    /// What it does.
    pub fn merge(&self) -> &Merge {
        &self.merge
    }

    /// Whether rows are looked at: they have an order, or columns that the client is not to see.
    fn is_sorted(&self) -> bool {
        !self.merge.order.is_empty() || self.merge.hidden > 0
    }

    /// One more shard begins.
    pub fn begin(&mut self) -> usize {
        let lane = self.lanes.len();
        self.lanes.push(Lane::default());
        self.headless.push((Vec::new(), lane));
        lane
    }

    /// It was the last one.
    pub fn all_begun(&mut self) {
        self.all_begun = true;
    }

    /// The columns of a shard; before its rows.
    ///
    /// # Errors
    /// Where shards disagree about their columns, or where the plan compares by what rows do not tell.
    pub fn columns<D: AsRef<[u8]>>(
        &mut self,
        lane: usize,
        shard: usize,
        definitions: &[D],
    ) -> Result<(), MergeError> {
        match &mut self.layout {
            Some(layout) => layout.agree(shard, definitions)?,
            None => self.layout = Some(Layout::new(&self.merge, self.encoding, shard, definitions)?),
        }
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.has_columns = true;
        }
        Ok(())
    }

    /// All rows are kept, for somebody else than the client.
    pub fn hold_back(&mut self) {
        self.holds_back = true;
    }

    /// Whether rows go out though not every shard has begun.
    pub fn is_early(&self) -> bool {
        self.is_early
    }

    /// Lets them, where they need not wait for those of other shards.
    pub fn go_early(&mut self) -> bool {
        self.is_early = !self.is_sorted() && !self.holds_back;
        self.is_early
    }

    /// More rows of a shard, of which so many end here. `keeps`: a shard that has not begun waits for the end of one that has, so
    /// that these are kept whole.
    ///
    /// # Errors
    /// Where more would be kept than may be.
    pub fn push(&mut self, lane: usize, chunk: B, rows: usize, keeps: bool) -> Result<Flow, MergeError> {
        let Some(to) = self.lanes.get_mut(lane).filter(|lane| lane.has_columns) else {
            return Err(MergeError::NoColumns);
        };
        to.push(chunk, rows, !self.all_begun);
        self.come += rows as u64;
        if keeps && !self.is_enough() && !self.is_early {
            self.check_budget().or_else(|error| if self.go_early() { Ok(()) } else { Err(error) })?;
        }
        Ok(if self.is_enough() { Flow::Enough } else { Flow::More })
    }

    /// Whether no more is kept than may be.
    ///
    /// # Errors
    /// Where it is.
    pub fn check_budget(&self) -> Result<(), MergeError> {
        let kept = self.lanes.iter().map(Lane::size);
        let (rows, bytes) = kept.fold((0, 0), |all, lane| (all.0 + lane.0, all.1 + lane.1));
        self.budget.check(rows, bytes)
    }

    /// A shard has no more rows.
    pub fn end(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.has_ended = true;
        }
    }

    /// Whether the window of a shard has room.
    pub fn has_room(&self, lane: usize) -> bool {
        self.lanes.get(lane).is_none_or(Lane::has_room)
    }

    /// Whether no row that has not come changes the result any more.
    pub fn is_enough(&self) -> bool {
        self.wanted.left == 0 || (!self.is_sorted() && self.needed.is_some_and(|needed| self.come >= needed))
    }

    /// The client's columns, once rows may follow. Those that go out early are described as the shards before say.
    ///
    /// # Errors
    /// Where no shard gave columns.
    pub fn head(&mut self) -> Result<Option<Vec<Vec<u8>>>, MergeError> {
        let is_complete = self.all_begun && self.lanes.iter().all(|lane| lane.has_columns || lane.has_ended);
        let may_begin = is_complete || self.is_enough();
        match &mut self.layout {
            // Others are to agree with them still.
            Some(layout) if self.is_early => Ok(Some(layout.definitions())),
            Some(_) if !may_begin => Ok(None),
            Some(layout) => Ok(Some(layout.take_definitions())),
            None if is_complete => Err(MergeError::NoColumns),
            None => Ok(None),
        }
    }

    /// The number of the next packet to the client is this one.
    pub fn set_seq(&mut self, seq: u8) {
        self.wanted.seq = seq;
    }

    pub fn seq(&self) -> u8 {
        self.wanted.seq
    }

    /// Rows that the client has got.
    pub fn passed(&self) -> u64 {
        self.wanted.passed
    }

    /// Whether what was passed ends within a row, whose rest is here.
    pub fn is_within_row(&self) -> bool {
        self.under_way.is_some()
    }

    /// The next rows for the client: they are appended to `out`, or given as they came. After [`Stream::head`].
    ///
    /// # Errors
    /// Where a row turns out to be malformed.
    pub fn step(&mut self, out: &mut Vec<u8>) -> Result<Step<B>, MergeError> {
        if self.is_sorted() { self.sorted(out) } else { Ok(self.chained(false)) }
    }

    /// The rest of the row that is under way, and nothing behind it.
    pub fn rest_of_row(&mut self) -> Option<B> {
        self.under_way?;
        match self.chained(true) {
            Step::Chunk(rest) => Some(rest),
            _ => None,
        }
    }

    fn chained(&mut self, one: bool) -> Step<B> {
        loop {
            if self.wanted.left == 0 {
                return Step::End;
            }
            let has_rows = |at: &usize| self.lanes.get(*at).is_some_and(|lane| lane.rows > 0);
            let in_turn = || (self.turn..self.lanes.len()).chain(0..self.turn).find(has_rows);
            let Some(at) = self.under_way.or_else(in_turn) else {
                let over = self.all_begun && self.lanes.iter().all(|lane| lane.has_ended);
                return if over { Step::End } else { Step::Wait };
            };
            let Some(lane) = self.lanes.get_mut(at) else { return Step::End };
            let passed = lane.pass(&mut self.wanted, one);
            self.under_way = lane.is_within_row().then_some(at);
            self.turn = at + 1;
            if let Some(chunk) = passed {
                return Step::Chunk(chunk);
            }
            if self.under_way.is_some() {
                return Step::Wait;
            }
        }
    }

    fn sorted(&mut self, out: &mut Vec<u8>) -> Result<Step<B>, MergeError> {
        let Some(layout) = &self.layout else { return Err(MergeError::NoColumns) };
        while out.len() < FULL_BYTES {
            if self.wanted.left == 0 {
                return Ok(Step::End);
            }
            // As long as one is missing, it may be the least.
            while let Some((mut key, at)) = self.headless.pop() {
                let Some(lane) = self.lanes.get_mut(at) else { continue };
                if lane.rows == 0 && lane.has_ended {
                    continue;
                }
                if lane.rows == 0 || !lane.find_row() {
                    self.headless.push((key, at));
                    return Ok(Step::Wait);
                }
                let row = lane.row();
                locate(layout.encoding, &layout.types, row, &mut self.cells)?;
                key.clear();
                put_all(&layout.order, &mut key, layout.encoding, row, &self.cells)?;
                self.heads.push(Reverse((key, at)));
            }
            let Some(Reverse((key, at))) = self.heads.pop() else {
                return Ok(if self.all_begun { Step::End } else { Step::Wait });
            };
            let Some(lane) = self.lanes.get_mut(at) else { continue };
            if self.wanted.skip > 0 {
                self.wanted.skip -= 1;
            } else {
                self.wanted.left -= 1;
                self.wanted.passed += 1;
                let row = lane.row();
                let row = if layout.visible == layout.types.len() {
                    row
                } else {
                    locate(layout.encoding, &layout.types, row, &mut self.cells)?;
                    shorten(layout.encoding, row, &self.cells, layout.visible, &mut self.shortened);
                    &self.shortened
                };
                self.wanted.seq = write_packet(out, self.wanted.seq, row);
            }
            lane.drop_row();
            self.headless.push((key, at));
        }
        Ok(Step::Full)
    }
}
