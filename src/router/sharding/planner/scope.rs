//! Which tables a column can be of: the tables of each FROM clause, and the clauses around it.

use sqlparser::ast::{Expr, Ident};

use super::walk::Walk;
use super::write::folded;

/// What is known of the tables of one FROM clause.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) parent: Option<usize>,
    pub(super) tables: Vec<Table>,
    /// Of which all columns can become NULL only with the whole row.
    pub(super) domain: usize,
    /// How many joins have made one column of the sharding columns of two tables (USING, NATURAL).
    pub(super) merged: usize,
}

#[derive(Debug)]
pub(super) struct Table {
    /// What qualifies its columns.
    pub(super) name: String,
    /// Its number among the occurrences, if it is sharded.
    pub(super) occurrence: Option<usize>,
}

/// What the name of a column leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The sharding column of an occurrence.
    Key(usize),
    /// Another column, or none that is known.
    Other,
}

impl Walk<'_> {
    /// The occurrence whose sharding column an expression is, as it is seen from a scope.
    pub(super) fn key_of(&self, expr: &Expr, scope: usize) -> Option<usize> {
        let found = match expr {
            Expr::Nested(inner) => return self.key_of(inner, scope),
            Expr::Identifier(column) => self.unqualified(column, scope),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [.., table, column] => self.qualified(table, column, scope),
                _ => Found::Other,
            },
            _ => Found::Other,
        };
        match found {
            Found::Key(occurrence) => Some(occurrence),
            Found::Other => None,
        }
    }

    fn qualified(&self, table: &Ident, column: &Ident, scope: usize) -> Found {
        match self.table(&table.value, scope) {
            Some(Table { occurrence: Some(occurrence), .. }) if self.is_key(*occurrence, column) => {
                Found::Key(*occurrence)
            }
            _ => Found::Other,
        }
    }

    /// The table that a qualifier names, if that is beyond doubt: names may differ in case only, and a server decides
    /// whether that is a difference.
    pub(super) fn table(&self, name: &str, scope: usize) -> Option<&Table> {
        let mut next = Some(scope);
        while let Some(scope) = next.and_then(|scope| self.scopes.get(scope)) {
            let mut like = scope.tables.iter().filter(|table| table.name.eq_ignore_ascii_case(name));
            match (like.next(), like.next()) {
                (Some(table), None) if table.name == name => return Some(table),
                (Some(_), _) => return None,
                (None, _) => next = scope.parent,
            }
        }
        None
    }

    /// A server looks into the innermost FROM clause first that has such a column; all sharded tables have it.
    fn unqualified(&self, column: &Ident, scope: usize) -> Found {
        let mut next = Some(scope);
        while let Some(scope) = next.and_then(|scope| self.scopes.get(scope)) {
            let sharded: Vec<_> = scope.tables.iter().filter_map(|table| table.occurrence).collect();
            match sharded.as_slice() {
                [] if scope.tables.is_empty() => next = scope.parent,
                [] => return Found::Other,
                [one] if self.is_key(*one, column) => return Found::Key(*one),
                [first, ..] if self.is_key(*first, column) && scope.merged + 1 == sharded.len() => {
                    let not_null = |one: &&usize| self.domain_of(**one) == Some(scope.domain);
                    return sharded.iter().find(not_null).map_or(Found::Other, |one| Found::Key(*one));
                }
                _ => return Found::Other,
            }
        }
        Found::Other
    }

    /// Whether an occurrence is of this very scope, and no outer join makes up rows for it.
    pub(super) fn is_in_every_row(&self, occurrence: usize, scope: usize) -> bool {
        let domain = self.scopes.get(scope).map(|scope| scope.domain);
        let occurrence = self.occurrences.get(occurrence);
        occurrence.is_some_and(|occurrence| occurrence.scope == scope && Some(occurrence.domain) == domain)
    }

    pub(super) fn is_key(&self, occurrence: usize, column: &Ident) -> bool {
        let rule = self.occurrences.get(occurrence).map(|occurrence| occurrence.rule);
        rule.is_some_and(|rule| folded(self.tables.column(rule)) == folded(&column.value))
    }
}
