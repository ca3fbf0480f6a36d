//! From the rows of shards to those of groups.

use super::error::MergeError;
use super::groups::Groups;
use super::held::Held;
use super::lane::Chunk;
use super::layout::Layout;
use super::stream::Stream;
use crate::protocol::row::{Cell, RowEncoding, locate, shorten};
use crate::router::sharding::{Merge, Rows};

/// LIMIT with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub offset: u64,
    pub count: u64,
}

/// How much may be held at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// `[sharding_defaults] max_merge_rows`; a group counts as one.
    pub max_rows: usize,
    /// `[sharding_defaults] max_merge_bytes`.
    pub max_bytes: usize,
}

/// Whether rows are still of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    More,
    /// No row of any shard changes the result any more: the rest need not be read.
    Enough,
}

/// What makes one result of those of several shards.
#[derive(Debug)]
pub enum Merging<B> {
    Groups(Merger),
    Rows(Stream<B>),
}

impl<B: Chunk> Merging<B> {
    /// What it does.
    pub fn merge(&self) -> &Merge {
        match self {
            Self::Groups(merger) => &merger.merge,
            Self::Rows(stream) => stream.merge(),
        }
    }

    pub fn new(merge: Merge, encoding: RowEncoding, window: Option<Window>, budget: Budget) -> Self {
        match merge.rows {
            Rows::Each => Self::Rows(Stream::new(merge, encoding, window, budget)),
            Rows::Grouped { .. } | Rows::One { .. } => {
                Self::Groups(Merger::new(merge, encoding, window, budget))
            }
        }
    }
}

/// Takes what shards answer where rows are folded into groups, in any order between shards; what comes first counts as the first.
#[derive(Debug)]
pub struct Merger {
    merge: Merge,
    encoding: RowEncoding,
    window: Option<Window>,
    held: Held,
    /// Since the first shard's columns are known.
    layout: Option<Layout>,
    groups: Groups,
}

impl Merger {
    pub(super) fn new(merge: Merge, encoding: RowEncoding, window: Option<Window>, budget: Budget) -> Merger {
        Merger { merge, encoding, window, held: Held::new(budget), layout: None, groups: Groups::default() }
    }

    /// The columns of a shard, as payloads of column definitions; before its rows.
    ///
    /// # Errors
    /// Where shards disagree about their columns, or where the plan compares by what rows do not tell.
    pub fn columns<D: AsRef<[u8]>>(&mut self, shard: usize, definitions: &[D]) -> Result<(), MergeError> {
        match &mut self.layout {
            Some(layout) => layout.agree(shard, definitions),
            None => {
                self.layout = Some(Layout::new(&self.merge, self.encoding, shard, definitions)?);
                Ok(())
            }
        }
    }

    /// The payload of a shard's next row.
    ///
    /// # Errors
    /// Where it is malformed, or where more would be held than may be. The merger is of no use after that.
    pub fn row(&mut self, payload: &[u8]) -> Result<Flow, MergeError> {
        let layout = self.layout.as_ref().ok_or(MergeError::NoColumns)?;
        let enough = self.window.map_or(usize::MAX, Window::end);
        if enough == 0 {
            return Ok(Flow::Enough);
        }
        // Without aggregates, a group is complete with its first row.
        let is_open = layout.order.is_empty() && layout.folds.is_empty();
        if is_open && self.groups.len() >= enough {
            return Ok(Flow::Enough);
        }
        self.groups.add(layout, payload, &mut self.held)?;
        Ok(if is_open && self.groups.len() >= enough { Flow::Enough } else { Flow::More })
    }

    /// All rows are there.
    ///
    /// # Errors
    /// Where no shard gave columns, or where rows turn out to be malformed.
    pub fn finish(mut self) -> Result<Merged, MergeError> {
        let mut layout = self.layout.ok_or(MergeError::NoColumns)?;
        // Shards that group by the arguments of DISTINCT have no row where there is none to group.
        if matches!(self.merge.rows, Rows::One { .. }) {
            self.groups.add_empty(&layout)?;
        }
        let groups = self.groups.finish(&layout, &mut self.held)?.into_iter();
        let Window { offset: skip, count: left } =
            self.window.unwrap_or(Window { offset: 0, count: u64::MAX });
        let columns = layout.take_definitions();
        Ok(Merged { columns, rows: MergedRows { layout, groups, skip, left, cells: Vec::new() } })
    }
}

impl Window {
    /// So many rows are of use.
    fn end(self) -> usize {
        if self.count == 0 {
            return 0;
        }
        usize::try_from(self.offset.saturating_add(self.count)).unwrap_or(usize::MAX)
    }
}

/// What one server would have given.
#[derive(Debug)]
pub struct Merged {
    /// Payloads of column definitions.
    pub columns: Vec<Vec<u8>>,
    pub rows: MergedRows,
}

/// A result that is here as a whole.
#[derive(Debug, Default)]
pub struct Whole {
    /// Payloads of column definitions.
    pub columns: Vec<Vec<u8>>,
    /// Payloads of rows.
    pub rows: Vec<Vec<u8>>,
}

impl Merged {
    /// The columns, and all rows.
    ///
    /// # Errors
    /// Where rows turn out to be malformed.
    pub fn into_whole(mut self) -> Result<Whole, MergeError> {
        let (mut rows, mut row) = (Vec::new(), Vec::new());
        while self.rows.next_into(&mut row)? {
            rows.push(row.clone());
        }
        Ok(Whole { columns: self.columns, rows })
    }
}

/// The rows, one after the other.
#[derive(Debug)]
pub struct MergedRows {
    layout: Layout,
    groups: std::vec::IntoIter<Box<[u8]>>,
    /// Of [`Window`], what is still to be done.
    skip: u64,
    left: u64,
    cells: Vec<Cell>,
}

impl MergedRows {
    /// Puts the payload of the next row in the place of what `payload` holds. False: there is none any more.
    ///
    /// # Errors
    /// Where a row of a shard turns out to be malformed.
    pub fn next_into(&mut self, payload: &mut Vec<u8>) -> Result<bool, MergeError> {
        payload.clear();
        if self.left == 0 {
            return Ok(false);
        }
        while self.skip > 0 {
            self.skip -= 1;
            if self.groups.next().is_none() {
                self.left = 0;
                return Ok(false);
            }
        }
        self.left -= 1;
        let Some(row) = self.groups.next() else { return Ok(false) };
        let layout = &self.layout;
        if layout.visible == layout.types.len() {
            payload.extend_from_slice(&row);
        } else {
            locate(layout.encoding, &layout.types, &row, &mut self.cells)?;
            shorten(layout.encoding, &row, &self.cells, layout.visible, payload);
        }
        Ok(true)
    }
}
