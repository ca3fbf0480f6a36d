//! The ids that an INSERT draws from a sequence.

use std::ops::Range;

use sqlparser::ast::{Expr, Ident, ObjectName};

use super::super::plan::{Edit, IdOfRow, Ids, Operand, Piece, Reason};
use super::super::rules::quote;
use super::text::unreadable;
use super::walk::{Walk, last_ident};
use super::write::folded;

/// What an INSERT draws, as it is read.
pub(super) struct Drawing {
    pub(super) ids: Ids,
    /// The place of the column among those that the INSERT names.
    pub(super) at: Option<usize>,
}

impl Ids {
    /// Nothing is known but the column, and whether that is the sharding column.
    pub(super) fn of_column(column: &str, is_key: bool) -> Self {
        Self {
            table: "".into(),
            schema: None,
            column: column.into(),
            is_key,
            updates: false,
            rows: Vec::new(),
            edits: Vec::new(),
        }
    }
}

/// The place of a column in a list.
pub(super) fn place_of(columns: &[ObjectName], column: &str) -> Option<usize> {
    let is_it =
        |name: &ObjectName| last_ident(name).is_some_and(|name| folded(&name.value) == folded(column));
    columns.iter().position(is_it)
}

impl Drawing {
    pub(super) fn new(
        walk: &Walk<'_>,
        column: &str,
        table: &ObjectName,
        columns: &[ObjectName],
    ) -> Result<Self, Reason> {
        let name = last_ident(table).ok_or_else(|| unreadable("the table of the INSERT is no name"))?;
        let schema = match table.0.as_slice() {
            [schema, _] => schema.as_ident().map(|schema| schema.value.as_str().into()),
            _ => None,
        };
        let ids = Ids::of_column(column, walk.is_key(0, &Ident::new(column)));
        let ids = Ids { table: name.value.as_str().into(), schema, ..ids };
        Ok(Self { ids, at: place_of(columns, column) })
    }

    /// Puts the column's name behind the last one of the list, if it is not there.
    pub(super) fn name_behind(&mut self, walk: &Walk<'_>, last: Option<&Ident>) -> Result<(), Reason> {
        if self.at.is_some() {
            return Ok(());
        }
        let last = last.ok_or_else(|| unreadable("the INSERT names no column"))?;
        let behind = walk.text.ident(last)? + 1;
        let name = Piece::Text(format!(", {}", quote(&self.ids.column)).into());
        self.ids.edits.push(Edit { tokens: behind..behind, with: vec![name] });
        Ok(())
    }

    /// A row of values from its parenthesis at `start` to that at `end`; and its value for the column, with its place.
    pub(super) fn row(
        &mut self,
        walk: &Walk<'_>,
        value: Option<(usize, &Expr)>,
        start: u32,
        end: u32,
    ) -> Result<(), Reason> {
        match value {
            Some((at, value)) => self.value(walk, value, part(walk, at, start + 1, end)?),
            None => {
                self.put(", ".to_owned(), None, end..end);
                Ok(())
            }
        }
    }

    /// The same for `SET column = value`, from `start` to before `end`.
    pub(super) fn assigned(
        &mut self,
        walk: &Walk<'_>,
        value: Option<(usize, &Expr)>,
        start: u32,
        end: u32,
    ) -> Result<(), Reason> {
        let Some((at, value)) = value else {
            self.put(format!(", {} = ", quote(&self.ids.column)), None, end..end);
            return Ok(());
        };
        let assignment = part(walk, at, start, end)?;
        let equals = assignment.clone().find(|token| walk.text.is_byte(*token, "="));
        let equals = equals.ok_or_else(|| unreadable("where a value of the INSERT begins is not clear"))?;
        self.value(walk, value, equals + 1..assignment.end)
    }

    /// What the last row says for the sharding column, if that is the sequence's: NULL where an id is drawn.
    pub(super) fn key(&self) -> Option<Operand> {
        let last = self.ids.rows.last().filter(|_| self.ids.is_key)?;
        Some(last.given.clone().unwrap_or(Operand::Null))
    }

    fn value(&mut self, walk: &Walk<'_>, value: &Expr, tokens: Range<u32>) -> Result<(), Reason> {
        let given = match walk.text.operand(value) {
            Some(Operand::Null) => None,
            Some(given) => Some(given),
            None if walk.text.is(tokens.start, "DEFAULT") && tokens.len() == 1 => None,
            None => {
                return Err(format!(
                    "the value of the sequence's column `{}` must be a literal, ?, NULL or DEFAULT",
                    self.ids.column
                )
                .into());
            }
        };
        self.put(String::new(), given, tokens);
        Ok(())
    }

    fn put(&mut self, before: String, given: Option<Operand>, tokens: Range<u32>) {
        let number = u32::try_from(self.ids.rows.len()).unwrap_or(u32::MAX);
        let mut with = vec![Piece::Text(before.into()), Piece::Id(number)];
        if given.is_none() && tokens.is_empty() {
            // Whatever follows begins anew.
            with.push(Piece::Text(" ".into()));
        }
        self.ids.edits.push(Edit { tokens: tokens.clone(), with });
        self.ids.rows.push(IdOfRow { given, tokens });
    }
}

/// The tokens of the value of that number among those between two places.
fn part(walk: &Walk<'_>, number: usize, start: u32, end: u32) -> Result<Range<u32>, Reason> {
    let mut commas = commas(walk, start, end);
    let first = match number.checked_sub(1) {
        Some(before) => commas.nth(before).map(|comma| comma + 1),
        None => Some(start),
    };
    let first = first.ok_or_else(|| unreadable("where a value of the INSERT begins is not clear"))?;
    Ok(first..commas.next().unwrap_or(end))
}

/// The commas between values, and not within them.
fn commas<'w>(walk: &'w Walk<'_>, start: u32, end: u32) -> impl Iterator<Item = u32> + 'w {
    let mut depth = 0_i32;
    (start..end).filter(move |token| {
        depth += i32::from(walk.text.is_byte(*token, "(")) - i32::from(walk.text.is_byte(*token, ")"));
        depth == 0 && walk.text.is_byte(*token, ",")
    })
}
