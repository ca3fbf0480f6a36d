//! GROUP_CONCAT of the texts of several shards.

use foldhash::HashSet;

use super::aggregate::see;
use super::error::MergeError;
use super::key;
use super::layout::{Columns, KeyPart, name, put_all};
use crate::protocol::column_definition::ColumnDefinition;
use crate::protocol::row::{Cell, RowEncoding};
use crate::router::sharding::Concat;

/// What stands between texts where nothing else is said.
const SEPARATOR: &[u8] = b",";

/// Bytes of a separator's byte, as a server may count it in a character set whose texts have other lengths than the client's.
const WIDTH_MAX: u64 = 4;

/// Bytes by which a text that was cut off may be shorter than it might be: those of a character.
const CUT_MAX: u64 = 3;

/// Where the texts and what belongs to them are among the columns.
#[derive(Debug)]
pub(super) struct Concatenation {
    text: usize,
    /// `None`: the text is that of all rows of a shard.
    count: Option<usize>,
    separator: Option<usize>,
    length: usize,
    max_len: usize,
    order: Vec<KeyPart>,
    distinct: Vec<KeyPart>,
}

/// The texts of one group.
#[derive(Debug, Default)]
pub(super) struct Texts {
    texts: Vec<Text>,
    seen: HashSet<Box<[u8]>>,
    separator: Option<Vec<u8>>,
    max_len: u64,
    /// Bytes of all texts, as the server counts them.
    length: u64,
    /// A shard has perhaps cut its own one off.
    is_cut: bool,
}

#[derive(Debug)]
struct Text {
    key: Vec<u8>,
    text: Vec<u8>,
    count: u64,
}

impl Concatenation {
    pub fn new(columns: &Columns<'_>, column: usize, concat: &Concat) -> Result<Self, MergeError> {
        let (text, count) = match concat.row {
            Some((text, count)) => (columns.place(text)?, Some(columns.place(count)?)),
            None => (column, None),
        };
        let order = concat.order.iter().map(|key| {
            Ok::<_, MergeError>(KeyPart { descending: key.descending, ..columns.exact_part(key.by)? })
        });
        Ok(Self {
            text,
            count,
            separator: concat.separator.map(|separator| columns.place(separator)).transpose()?,
            length: columns.place(concat.length)?,
            max_len: columns.place(concat.max_len)?,
            order: order.collect::<Result<_, _>>()?,
            distinct: concat.distinct.iter().map(|of| columns.group_part(*of)).collect::<Result<_, _>>()?,
        })
    }

    /// Takes the text of one more row. Returns the bytes that are held more.
    pub fn add(
        &self,
        texts: &mut Texts,
        encoding: RowEncoding,
        row: &[u8],
        cells: &[Cell],
    ) -> Result<isize, MergeError> {
        let value = |column: usize| cells.get(column).and_then(|cell| cell.value(row));
        let number = |column: usize| value(column).map(|value| key::unsigned(encoding, value)).transpose();
        let Some(text) = value(self.text) else { return Ok(0) };
        let length = number(self.length)?.unwrap_or(0);
        texts.max_len = number(self.max_len)?.unwrap_or(0);
        if texts.separator.is_none() {
            texts.separator = self.separator.and_then(value).map(<[u8]>::to_vec);
        }
        let mut held = 0;
        if !self.distinct.is_empty() {
            held += see(&mut texts.seen, &self.distinct, encoding, row, cells)?;
            if held == 0 {
                return Ok(0);
            }
        }
        let mut key = Vec::new();
        put_all(&self.order, &mut key, encoding, row, cells)?;
        let count = match self.count {
            Some(_) if !self.distinct.is_empty() => 1,
            Some(count) => number(count)?.unwrap_or(0),
            None => 1,
        };
        texts.is_cut |= length.saturating_add(CUT_MAX) >= texts.max_len;
        texts.length = texts.length.saturating_add(length.saturating_mul(count));
        held += key.len() + text.len() + size_of::<Text>();
        texts.texts.push(Text { key, text: text.to_vec(), count });
        Ok(held.cast_signed())
    }
}

impl Texts {
    /// All of them as one; `None` is NULL.
    ///
    /// # Errors
    /// Where a server would cut it off, or may have done so with a part.
    pub fn finish(mut self, column: &ColumnDefinition<'_>) -> Result<Option<Vec<u8>>, MergeError> {
        let separator = self.separator.as_deref().unwrap_or(SEPARATOR);
        let count = self.texts.iter().fold(0, |all: u64, text| all.saturating_add(text.count));
        if count == 0 {
            return Ok(None);
        }
        let bytes = |text: &Text| (text.text.len() as u64).saturating_mul(text.count);
        let all = self.texts.iter().fold(0, |all: u64, text| all.saturating_add(bytes(text)));
        let width = if all == self.length { 1 } else { WIDTH_MAX };
        let between = (count - 1).saturating_mul(separator.len() as u64);
        let length = self.length.saturating_add(between.saturating_mul(width));
        if length > self.max_len || (self.is_cut && count > 1) {
            return Err(MergeError::ConcatTooLong { column: name(column), max: self.max_len });
        }
        self.texts.sort_by(|one, other| one.key.cmp(&other.key));
        let mut out = Vec::new();
        let each = self.texts.iter().flat_map(|text| (0..text.count).map(move |_| &text.text));
        for (at, text) in each.enumerate() {
            if at > 0 {
                out.extend_from_slice(separator);
            }
            out.extend_from_slice(text);
        }
        Ok(Some(out))
    }
}

#[cfg(test)]
#[path = "concat_tests.rs"]
mod tests;
