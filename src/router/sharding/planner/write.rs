//! UPDATE and DELETE.

use sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, FromTable, Ident, ObjectName, TableWithJoins, Update,
};

use super::super::plan::{Action, Condition, Edit, Piece, Reason};
use super::scatter::is_partitioned;
use super::text::unreadable;
use super::walk::{Aliasing, Walk, last_ident};
use crate::parser::SketchKind;

const LIMITED: &str = "LIMIT in UPDATE and DELETE is not supported on several shards: say the sharding column's value, or \
     leave LIMIT out";

impl Walk<'_> {
    pub(super) fn conditions(&self) -> Vec<Condition> {
        self.groups.conditions(&self.occurrences, &self.domains)
    }

    pub(super) fn update(&mut self, update: &Update) -> Result<Action, Reason> {
        let foreign = update.from.is_some()
            || update.or.is_some()
            || update.output.is_some()
            || update.returning.is_some()
            || update.on_cluster.is_some()
            || update.settings.is_some();
        if foreign {
            return Err(unreadable("the UPDATE has clauses that MySQL does not have"));
        }
        let scope = self.open_scope(None);
        self.from(std::slice::from_ref(&update.table), scope, Aliasing::Added)?;
        self.sub_queries(&update.assignments, Some(scope))?;
        self.filter(update.selection.as_ref(), scope)?;
        self.sub_queries(&update.order_by, Some(scope))?;
        self.sub_queries(&update.limit, Some(scope))?;
        let mut several = is_partitioned(self, scope);
        for column in columns(&update.assignments)? {
            let sharded = self.is_assigned_sharded(column, scope)?;
            if !sharded && several.is_ok() {
                several = Err("an UPDATE of several shards may change sharded tables only: qualify the columns with their \
                     table, or update the other table by itself"
                    .into());
            }
        }
        if update.limit.is_some() && several.is_ok() {
            several = Err(LIMITED.into());
        }
        Ok(Action::Write { groups: self.conditions(), several })
    }

    /// Whether an assignment changes a sharded table. To its sharding column there is none.
    fn is_assigned_sharded(&self, column: &ObjectName, scope: usize) -> Result<bool, Reason> {
        let name = last_ident(column).ok_or_else(|| unreadable("an assigned column has no name"))?;
        let qualifier = column.0.iter().rev().nth(1).and_then(|part| part.as_ident());
        let tables = self.tables_of(scope);
        let occurrence = match qualifier {
            Some(qualifier) => self.table(&qualifier.value, scope).map(|table| table.occurrence),
            None => match tables {
                [only] => Some(only.occurrence),
                _ => None,
            },
        };
        // Where it is not known whose the column is, it may be any table's.
        let mut may_be = tables.iter().filter_map(|table| table.occurrence);
        let is_key = match occurrence {
            Some(Some(occurrence)) => self.is_key(occurrence, name),
            Some(None) => false,
            None => may_be.any(|occurrence| self.is_key(occurrence, name)),
        };
        if is_key {
            return Err(key_assigned(name));
        }
        Ok(match occurrence {
            Some(occurrence) => occurrence.is_some(),
            None => qualifier.is_none() && tables.iter().all(|table| table.occurrence.is_some()),
        })
    }

    pub(super) fn delete(&mut self, delete: &Delete) -> Result<Action, Reason> {
        if delete.using.is_some() {
            return Err(
                "DELETE ... USING is not supported with sharded tables: write DELETE a FROM a JOIN ..."
                    .into(),
            );
        }
        if delete.output.is_some() || delete.on_cluster.is_some() || delete.settings.is_some() {
            return Err(unreadable("the DELETE has clauses that MySQL does not have"));
        }
        let FromTable::WithFromKeyword(from) = &delete.from else {
            return Err(unreadable("the DELETE has no FROM"));
        };
        let scope = self.open_scope(None);
        let single = delete.tables.is_empty();
        let aliasing = if single { Aliasing::Impossible } else { Aliasing::Added };
        self.from(from, scope, aliasing)?;
        self.filter(delete.selection.as_ref(), scope)?;
        self.sub_queries(&delete.order_by, Some(scope))?;
        self.sub_queries(&delete.limit, Some(scope))?;
        self.sub_queries(&delete.returning, Some(scope))?;
        let mut several = is_partitioned(self, scope);
        if single {
            self.single_target(from)?;
        } else if !self.are_targets_sharded(&delete.tables, scope)? && several.is_ok() {
            several = Err("a DELETE of several shards may delete from sharded tables only: delete from the other table by \
                 itself"
                .into());
        }
        if delete.limit.is_some() && several.is_ok() {
            several = Err(LIMITED.into());
        }
        if delete.returning.is_some() && several.is_ok() {
            several =
                Err("RETURNING is not supported on several shards: say the sharding column's value".into());
        }
        Ok(Action::Write { groups: self.conditions(), several })
    }

    /// `DELETE FROM table`: the table has no alias, so its columns get the physical name.
    fn single_target(&mut self, from: &[TableWithJoins]) -> Result<(), Reason> {
        let [only] = from else {
            return Err(unreadable("the DELETE has several tables and no list of them"));
        };
        if !only.joins.is_empty() {
            return Err(unreadable("the DELETE has joins and no list of tables"));
        }
        let target = self.tables_of(0).first().and_then(|table| table.occurrence);
        match target.and_then(|target| self.occurrences.get(target)) {
            Some(target) if self.tables_of(0).iter().any(|table| table.name == target.table) => {
                let (token, table) = (target.token, target.table.clone());
                self.qualifiers(token, &table)
            }
            _ => Ok(()),
        }
    }

    fn are_targets_sharded(&self, targets: &[ObjectName], scope: usize) -> Result<bool, Reason> {
        let mut sharded = true;
        for target in targets {
            let [part] = target.0.as_slice() else {
                return Err("the tables that a DELETE deletes from must be named without a schema".into());
            };
            let table = part.as_ident().and_then(|name: &Ident| self.table(&name.value, scope));
            sharded &= table.is_some_and(|table| table.occurrence.is_some());
        }
        Ok(sharded)
    }

    /// Puts the physical name wherever the name of the table at `token` qualifies a column.
    pub(super) fn qualifiers(&mut self, token: u32, table: &str) -> Result<(), Reason> {
        let others = self.scopes.iter().flat_map(|scope| &scope.tables);
        let named = others.filter(|other| other.name.eq_ignore_ascii_case(table)).count();
        for at in 0..self.text.len() {
            let is_name = matches!(self.text.kind(at), Some(SketchKind::Word | SketchKind::Quoted))
                && self.text.is_byte(at + 1, ".")
                && self.text.name(at).is_some_and(|name| name.eq_ignore_ascii_case(table));
            if !is_name {
                continue;
            }
            let of_table = self.occurrences.iter().any(|occurrence| occurrence.token == at + 2);
            if named != 1 || of_table || at == token || self.text.name(at).as_deref() != Some(table) {
                return Err(format!(
                    "`{table}` must mean one table only here: give the table of the sub-query an alias"
                )
                .into());
            }
            self.edits.push(Edit { tokens: at..at + 1, with: vec![Piece::Table(table.into())] });
        }
        Ok(())
    }
}

/// Whether a name is a table's, or that of one of its shards.
pub(super) fn is_named(name: &str, table: &str) -> bool {
    name.eq_ignore_ascii_case(table) || is_physical(name, table)
}

pub(super) fn is_physical(name: &str, table: &str) -> bool {
    let start = name.get(..table.len()).filter(|start| start.eq_ignore_ascii_case(table));
    let shard = start.and_then(|_| name.get(table.len()..)?.strip_prefix('_'));
    shard.is_some_and(|shard| !shard.is_empty() && shard.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A column's name as servers compare it.
pub(super) fn folded(name: &str) -> String {
    let fold = |letter: char| match letter {
        '\u{130}' | '\u{131}' => 'i',
        '\u{17F}' => 's',
        '\u{212A}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    name.chars().map(fold).collect()
}

pub(super) fn key_assigned(column: &Ident) -> Reason {
    format!("the sharding column `{}` cannot be changed: delete the row and insert it again", column.value)
        .into()
}

/// The columns that are assigned.
pub(super) fn columns(assignments: &[Assignment]) -> Result<Vec<&ObjectName>, Reason> {
    let column = |assignment| match assignment {
        &Assignment { target: AssignmentTarget::ColumnName(ref name), .. } => Ok(name),
        _ => Err(unreadable("an assignment has several columns")),
    };
    assignments.iter().map(column).collect()
}
