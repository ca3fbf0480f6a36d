//! Rows that are alike in some columns, as one row each.

use foldhash::HashMap;

use super::aggregate::State;
use super::error::MergeError;
use super::held::Held;
use super::layout::{Layout, put_all};
use crate::protocol::row::{Cell, RowWriter, locate};

/// Bytes that a group takes besides its row, its key and its values.
const GROUP_OVERHEAD: usize = size_of::<Group>() + size_of::<(Box<[u8]>, usize)>();

#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Places in `groups`, by key.
    index: HashMap<Box<[u8]>, usize>,
    /// In the order in which they have come up.
    groups: Vec<Group>,
    cells: Vec<Cell>,
    key: Vec<u8>,
}

#[derive(Debug)]
struct Group {
    /// The first row, with all columns.
    row: Box<[u8]>,
    /// Of each fold.
    states: Vec<State>,
}

impl Groups {
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Folds a row into its group.
    pub fn add(&mut self, layout: &Layout, row: &[u8], held: &mut Held) -> Result<(), MergeError> {
        locate(layout.encoding, &layout.types, row, &mut self.cells)?;
        self.key.clear();
        put_all(&layout.by, &mut self.key, layout.encoding, row, &self.cells)?;
        let at = match self.index.get(&self.key[..]) {
            Some(at) => *at,
            None => {
                let states = layout.folds.len() * size_of::<State>();
                held.add_row(row.len() + self.key.len() + states + GROUP_OVERHEAD)?;
                let states = layout.folds.iter().map(|fold| fold.start()).collect();
                self.index.insert(self.key[..].into(), self.groups.len());
                self.groups.push(Group { row: row.into(), states });
                self.groups.len() - 1
            }
        };
        let Some(group) = self.groups.get_mut(at) else { return Ok(()) };
        for (fold, state) in layout.folds.iter().zip(&mut group.states) {
            let grown = fold.fold(state, layout, row, &self.cells)?;
            held.grow(grown)?;
        }
        Ok(())
    }

    /// One group of no rows, unless there is a group.
    pub fn add_empty(&mut self, layout: &Layout) -> Result<(), MergeError> {
        if self.groups.is_empty() {
            let mut row = Vec::new();
            let mut writer = RowWriter::new(layout.encoding, layout.types.len(), &mut row);
            for kind in &layout.types {
                writer.value(*kind, None)?;
            }
            let states = layout.folds.iter().map(|fold| fold.start()).collect();
            self.groups.push(Group { row: row.into(), states });
        }
        Ok(())
    }

    /// The rows, in order if there is one, with all columns.
    pub fn finish(self, layout: &Layout, held: &mut Held) -> Result<Vec<Box<[u8]>>, MergeError> {
        let mut cells = self.cells;
        drop(self.index);
        let mut rows = Vec::with_capacity(self.groups.len());
        for group in self.groups {
            rows.push(group.finish(layout, &mut cells)?);
        }
        if layout.order.is_empty() {
            return Ok(rows);
        }
        let mut keyed = Vec::with_capacity(rows.len());
        for row in rows {
            locate(layout.encoding, &layout.types, &row, &mut cells)?;
            let mut key = Vec::new();
            put_all(&layout.order, &mut key, layout.encoding, &row, &cells)?;
            held.grow(key.len().cast_signed())?;
            keyed.push((key, row));
        }
        // Stable: rows that are equal stay as they have come up.
        keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(keyed.into_iter().map(|(_, row)| row).collect())
    }
}

impl Group {
    /// The row with its aggregates in their places.
    fn finish(self, layout: &Layout, cells: &mut Vec<Cell>) -> Result<Box<[u8]>, MergeError> {
        if self.states.is_empty() {
            return Ok(self.row);
        }
        let mut changed = Vec::with_capacity(self.states.len());
        for (fold, state) in layout.folds.iter().zip(self.states) {
            fold.finish(state, layout, &mut changed)?;
        }
        locate(layout.encoding, &layout.types, &self.row, cells)?;
        let mut out = Vec::with_capacity(self.row.len());
        let mut writer = RowWriter::new(layout.encoding, layout.types.len(), &mut out);
        for (at, (cell, kind)) in cells.iter().zip(&layout.types).enumerate() {
            match changed.iter().find(|(column, _)| *column == at) {
                Some((_, value)) => writer.value(*kind, value.as_deref())?,
                None => writer.copy(&self.row, cell),
            }
        }
        Ok(out.into_boxed_slice())
    }
}
