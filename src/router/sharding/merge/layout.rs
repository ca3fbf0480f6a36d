//! The columns of a result, and where among them the plan's columns are.

use super::aggregate::Fold;
use super::error::MergeError;
use super::key::{self, Kind};
use crate::protocol::column_definition::{ColumnDefinition, column_flag, column_type};
use crate::protocol::row::{Cell, RowEncoding};
use crate::router::sharding::{Column, Compared, Merge, Rows};

/// One value of the keys that rows are compared by.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyPart {
    pub value: usize,
    /// Counts for texts only.
    pub weight: usize,
    pub kind: Kind,
    pub descending: bool,
}

/// Appends the parts of a row that it is told apart or sorted by.
pub(super) fn put_all(
    parts: &[KeyPart],
    out: &mut Vec<u8>,
    encoding: RowEncoding,
    row: &[u8],
    cells: &[Cell],
) -> Result<(), MergeError> {
    parts.iter().try_for_each(|part| part.put(out, encoding, row, cells))
}

impl KeyPart {
    /// Whether values go by what stands in the column `weight`.
    pub fn is_weighed(&self) -> bool {
        self.kind == Kind::Text && self.weight != self.value
    }

    pub fn put(
        &self,
        out: &mut Vec<u8>,
        encoding: RowEncoding,
        row: &[u8],
        cells: &[Cell],
    ) -> Result<(), MergeError> {
        let start = out.len();
        let value = |column: usize| cells.get(column).and_then(|cell| cell.value(row));
        let weight = if self.is_weighed() { value(self.weight) } else { None };
        key::put(out, self.kind, encoding, value(self.value), weight)?;
        if self.descending {
            key::invert(out, start);
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Layout {
    pub encoding: RowEncoding,
    /// `MYSQL_TYPE_*` of all columns.
    pub types: Vec<u8>,
    /// So many columns are the client's, the first ones.
    pub visible: usize,
    pub order: Vec<KeyPart>,
    /// What rows of one group have in common.
    pub by: Vec<KeyPart>,
    pub folds: Vec<Fold>,
    /// The shard that gave its columns first.
    first: usize,
    /// Payloads of column definitions.
    definitions: Vec<Vec<u8>>,
}

impl Layout {
    pub fn new<D: AsRef<[u8]>>(
        merge: &Merge,
        encoding: RowEncoding,
        shard: usize,
        definitions: &[D],
    ) -> Result<Layout, MergeError> {
        let definitions: Vec<Vec<u8>> = definitions.iter().map(|payload| payload.as_ref().to_vec()).collect();
        let columns = definitions.iter().map(|payload| ColumnDefinition::parse(payload));
        let columns = Columns { all: columns.collect::<Result<_, _>>()?, hidden: merge.hidden, encoding };
        let order: Result<_, MergeError> = merge
            .order
            .iter()
            .map(|key| Ok(KeyPart { descending: key.descending, ..columns.exact_part(key.by)? }))
            .collect();
        let (by, aggregates) = match &merge.rows {
            Rows::Each => (&[][..], &[][..]),
            Rows::Grouped { by, aggregates } => (&by[..], &aggregates[..]),
            Rows::One { aggregates } => (&[][..], &aggregates[..]),
        };
        Ok(Layout {
            encoding,
            types: columns.all.iter().map(|column| column.kind).collect(),
            visible: columns.all.len().saturating_sub(merge.hidden),
            order: order?,
            by: by.iter().map(|by| columns.group_part(*by)).collect::<Result<_, _>>()?,
            folds: aggregates
                .iter()
                .map(|(column, aggregate)| Fold::new(&columns, *column, aggregate))
                .collect::<Result<_, _>>()?,
            first: shard,
            definitions,
        })
    }

    /// Checks the columns of another shard. Lengths and decimals become the largest ones, and a column is nullable if it is
    /// on one shard.
    pub fn agree<D: AsRef<[u8]>>(&mut self, shard: usize, others: &[D]) -> Result<(), MergeError> {
        let (first_count, other_count) = (self.definitions.len(), others.len());
        if first_count != other_count {
            return Err(MergeError::ColumnCount {
                first: self.first,
                first_count,
                other: shard,
                other_count,
            });
        }
        for (ours, theirs) in self.definitions.iter_mut().zip(others) {
            let known = ColumnDefinition::parse(ours)?;
            let other = ColumnDefinition::parse(theirs.as_ref())?;
            if is_like(&known) != is_like(&other) {
                return Err(MergeError::ColumnType {
                    column: name(&known),
                    first: self.first,
                    first_type: described(&known),
                    other: shard,
                    other_type: described(&other),
                });
            }
            let both = ColumnDefinition {
                length: known.length.max(other.length),
                decimals: known.decimals.max(other.decimals),
                flags: known.flags & (other.flags | !column_flag::NOT_NULL),
                ..known
            };
            if both != known {
                *ours = both.encode();
            }
        }
        Ok(())
    }

    pub fn column(&self, at: usize) -> Result<ColumnDefinition<'_>, MergeError> {
        let columns = self.definitions.len();
        let payload = self.definitions.get(at).ok_or(MergeError::NoSuchColumn { column: at, columns })?;
        Ok(ColumnDefinition::parse(payload)?)
    }

    /// The client's columns.
    pub fn definitions(&self) -> Vec<Vec<u8>> {
        self.definitions.iter().take(self.visible).cloned().collect()
    }

    /// The same, where no other shard is to agree with them.
    pub fn take_definitions(&mut self) -> Vec<Vec<u8>> {
        let mut definitions = std::mem::take(&mut self.definitions);
        definitions.truncate(self.visible);
        definitions
    }
}

/// What columns of one place must have in common. Texts of an expression may be VARCHAR on one shard and BLOB on another, by how
/// long a server takes them to be.
pub(super) fn is_like(column: &ColumnDefinition<'_>) -> (u8, u16, u16) {
    use column_type::{BLOB, LONG_BLOB, MEDIUM_BLOB, STRING, TINY_BLOB, VAR_STRING, VARCHAR};
    let told = column_flag::UNSIGNED | column_flag::ENUM | column_flag::SET;
    let kind = match column.kind {
        VARCHAR | STRING | TINY_BLOB | MEDIUM_BLOB | LONG_BLOB | BLOB => VAR_STRING,
        kind => kind,
    };
    (kind, column.character_set, column.flags & told)
}

/// The type of a column, without what else belongs to it.
pub(super) fn type_name(column: &ColumnDefinition<'_>) -> &'static str {
    match column.flags {
        flags if flags & column_flag::ENUM != 0 => "ENUM",
        flags if flags & column_flag::SET != 0 => "SET",
        _ => column_type::name(column.kind),
    }
}

pub(super) fn described(column: &ColumnDefinition<'_>) -> String {
    let name = type_name(column);
    match Kind::of(column) {
        Ok(Kind::Unsigned) => format!("{name} UNSIGNED"),
        Ok(Kind::Text) | Err(key::Untold::Enumerated) => {
            format!("{name} with collation {}", column.character_set)
        }
        _ => name.to_owned(),
    }
}

/// As people know the column.
pub(super) fn name(column: &ColumnDefinition<'_>) -> String {
    let name = if column.org_name.is_empty() { column.name } else { column.org_name };
    String::from_utf8_lossy(name).into_owned()
}

/// The columns while the plan's are being found among them.
pub(super) struct Columns<'a> {
    all: Vec<ColumnDefinition<'a>>,
    hidden: usize,
    encoding: RowEncoding,
}

impl<'a> Columns<'a> {
    pub fn get(&self, column: usize) -> Result<&ColumnDefinition<'a>, MergeError> {
        self.all.get(column).ok_or(MergeError::NoSuchColumn { column, columns: self.all.len() })
    }

    /// Its number from the left.
    pub fn place(&self, column: Column) -> Result<usize, MergeError> {
        let columns = self.all.len();
        let place = match column {
            Column::Visible(at) => Some(at),
            Column::Hidden(at) if at < self.hidden => {
                columns.checked_sub(self.hidden).map(|first| first + at)
            }
            Column::Hidden(_) => None,
        };
        let place = place.filter(|place| *place < columns);
        let (Column::Visible(at) | Column::Hidden(at)) = column;
        place.ok_or(MergeError::NoSuchColumn { column: at, columns })
    }

    /// For values that are told apart and have no order: those of ENUM and SET are the same where their texts are.
    pub fn group_part(&self, by: Compared) -> Result<KeyPart, MergeError> {
        let [value, weight] = [self.place(by.value)?, self.place(by.weight)?];
        match Kind::of(self.get(value)?) {
            Err(key::Untold::Enumerated) => {
                Ok(KeyPart { value, weight, kind: Kind::Bytes, descending: false })
            }
            _ => self.exact_part(by),
        }
    }

    /// Where values that differ must not be alike.
    pub fn exact_part(&self, by: Compared) -> Result<KeyPart, MergeError> {
        let part = self.key_part(by)?;
        match (part.kind, self.encoding) {
            (Kind::Float, RowEncoding::Text) => {
                Err(MergeError::untold(&name(self.get(part.value)?), key::Untold::Shortened))
            }
            _ => Ok(part),
        }
    }

    pub fn key_part(&self, by: Compared) -> Result<KeyPart, MergeError> {
        let [value, weight] = [self.place(by.value)?, self.place(by.weight)?];
        let column = self.get(value)?;
        let kind = Kind::of(column).map_err(|why| MergeError::untold(&name(column), why))?;
        Ok(KeyPart { value, weight, kind, descending: false })
    }
}
