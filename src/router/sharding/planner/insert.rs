//! INSERT and REPLACE.

use sqlparser::ast::{
    Expr, Ident, Insert, ObjectName, OnInsert, Query, Select, SelectItem, SetExpr, TableObject,
};

use super::super::plan::{Action, Condition, Operand, Reason, Row};
use super::aggregate::{Contents, aggregates};
use super::ids::{Drawing, place_of};
use super::scatter::{aggregates_inside, is_partitioned, is_whole_key};
use super::text::{Text, unreadable};
use super::walk::{Walk, last_ident};
use super::write::{columns, is_named, key_assigned};
use super::{Tables, Use};

/// An INSERT or REPLACE into a sharded table that has rows or a query where a list of columns could stand.
pub(super) fn unlisted(text: &Text<'_>, tables: &dyn Tables) -> Option<Use> {
    let mut at = text.explained();
    if !text.is_any(at, &["INSERT", "REPLACE"]) {
        return None;
    }
    at += 1;
    while text.is_any(at, &["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"]) {
        at += 1;
    }
    let (table, schema) = text.table_at(at);
    if text.is_of_server(schema) {
        return None;
    }
    let rule = tables.rule_of(text.name(table)?.as_bytes())?;
    let query = ["SELECT", "WITH", "TABLE"];
    let next = table + 1;
    let is_query = text.is_any(next, &query)
        || text.is_byte(next, "(") && (text.is_any(next + 1, &query) || text.is_byte(next + 1, "("));
    (is_query || text.is_any(next, &["VALUES", "VALUE"])).then(|| Use::Sharded {
        rule,
        action: Action::Unlisted { table, schema, behind: table },
        edits: Vec::new(),
        beside: None,
        of_this_text: false,
    })
}

impl Walk<'_> {
    pub(super) fn insert(&mut self, insert: &Insert) -> Result<Action, Reason> {
        let TableObject::TableName(name) = &insert.table else {
            return Err(unreadable("the table of the INSERT is no name"));
        };
        let foreign = insert.or.is_some()
            || insert.overwrite
            || insert.by_name
            || insert.has_table_keyword
            || insert.table_alias.is_some()
            || insert.partitioned.is_some()
            || !insert.after_columns.is_empty()
            || insert.overriding.is_some()
            || insert.output.is_some()
            || insert.settings.is_some()
            || insert.format_clause.is_some()
            || insert.multi_table_insert_type.is_some();
        if foreign {
            return Err(unreadable("the INSERT has clauses that are not supported with sharded tables"));
        }
        if let (Some(alias), Some(table)) = (&insert.insert_alias, last_ident(name)) {
            let row = last_ident(&alias.row_alias).map_or("", |name| &name.value);
            if is_named(row, &table.value) {
                return Err(format!(
                    "`{row}` cannot be the name of the rows of this INSERT: use another one"
                )
                .into());
            }
        }
        let Some((rule, table)) = self.table_name(name)? else { return self.insert_home(insert, name) };
        let sequence = self.tables.sequence(rule).map(str::to_owned);
        let token = self.text.ident(table)?;
        let scope = self.open_scope(None);
        let domain = self.scopes.get(scope).map_or(0, |scope| scope.domain);
        self.occurrence(rule, table, token, scope, domain);
        if let Some(scope) = self.scopes.get_mut(scope) {
            scope.tables.push(super::scope::Table { name: table.value.clone(), occurrence: Some(0) });
        }
        self.name_edit(token, &table.value, None);
        self.check_duplicate_update(insert)?;
        let mut action = match &insert.source {
            _ if !insert.assignments.is_empty() => self.insert_set(insert, name, sequence.as_deref()),
            Some(source) => match source.body.as_ref() {
                SetExpr::Values(_) => self.insert_values(insert, name, sequence.as_deref(), source, scope),
                _ => self.insert_select(insert, sequence.as_deref(), source),
            },
            None => Err(unreadable("the INSERT has no values")),
        }?;
        self.sub_queries(&insert.on, Some(scope))?;
        self.sub_queries(&insert.returning, Some(scope))?;
        if let Action::Insert { ids: Some(ids), .. } = &mut action {
            ids.updates = insert.on.is_some();
        }
        if matches!(action, Action::Insert { .. }) && self.occurrences.len() > 1 {
            return Err(
                "an INSERT of values cannot read sharded tables: read first, then insert the values".into()
            );
        }
        self.qualifiers(token, &table.value)?;
        Ok(action)
    }

    /// ON DUPLICATE KEY UPDATE leaves the sharding column alone.
    fn check_duplicate_update(&self, insert: &Insert) -> Result<(), Reason> {
        let assignments = match &insert.on {
            None => return Ok(()),
            Some(OnInsert::DuplicateKeyUpdate(assignments)) => assignments,
            Some(_) => return Err(unreadable("MySQL does not have ON CONFLICT")),
        };
        let assigned = columns(assignments)?;
        let mut names = assigned.iter().filter_map(|column| last_ident(column));
        names.find(|name| self.is_key(0, name)).map_or(Ok(()), |name| Err(key_assigned(name)))
    }

    /// The place of the sharding column among those that an INSERT names; `None` where it is not there and `may_lack` it.
    fn key_column(&self, columns: &[ObjectName], may_lack: bool) -> Result<Option<usize>, Reason> {
        let key = |(at, column): (usize, &ObjectName)| {
            last_ident(column).is_some_and(|name: &Ident| self.is_key(0, name)).then_some(at)
        };
        let mut keys = columns.iter().enumerate().filter_map(key);
        match (keys.next(), keys.next()) {
            (Some(at), None) => Ok(Some(at)),
            (None, _) if may_lack && !columns.is_empty() => Ok(None),
            _ if columns.is_empty() => Err("an INSERT into a sharded table must name its columns".into()),
            _ => Err("an INSERT into a sharded table must name the sharding column, once".into()),
        }
    }

    fn key_value(&self, expr: &Expr) -> Result<Operand, Reason> {
        match self.text.operand(expr) {
            Some(Operand::Null) => {
                Err("the sharding column cannot be NULL: give each row a value of its own in it".into())
            }
            Some(value) => Ok(value),
            None => Err("the sharding column's value must be a literal or ?, not DEFAULT, a function or another expression"
                .into()),
        }
    }

    fn insert_values(
        &mut self,
        insert: &Insert,
        name: &ObjectName,
        sequence: Option<&str>,
        source: &Query,
        scope: usize,
    ) -> Result<Action, Reason> {
        let SetExpr::Values(values) = source.body.as_ref() else {
            return Err(unreadable("the INSERT has no values"));
        };
        if source.with.is_some()
            || source.order_by.is_some()
            || source.limit_clause.is_some()
            || values.explicit_row
        {
            return Err(unreadable("the values of the INSERT have clauses of a query"));
        }
        self.sub_queries(values, Some(scope))?;
        let mut drawn =
            sequence.map(|column| Drawing::new(self, column, name, &insert.columns)).transpose()?;
        let at = self.key_column(&insert.columns, drawn.as_ref().is_some_and(|drawn| drawn.ids.is_key))?;
        if let Some(drawn) = &mut drawn {
            drawn.name_behind(self, insert.columns.last().and_then(last_ident))?;
        }
        let mut rows = Vec::with_capacity(values.rows.len());
        for (number, row) in values.rows.iter().enumerate() {
            if row.content.len() != insert.columns.len() {
                return Err(format!(
                    "row {} of the INSERT has not as many values as there are columns",
                    number + 1
                )
                .into());
            }
            let start = self.text.token(row.opening_token.0.span.start);
            let end = self.text.token(row.closing_token.0.span.start);
            let (Some(start), Some(end)) = (start, end) else {
                return Err(unreadable("where the rows of the INSERT begin is not clear"));
            };
            if let Some(drawn) = &mut drawn {
                let at = drawn.at.and_then(|at| row.content.get(at).map(|value| (at, value)));
                drawn.row(self, at, start, end)?;
            }
            let key = match (drawn.as_ref().and_then(Drawing::key), at.and_then(|at| row.content.get(at))) {
                (Some(key), _) => key,
                (None, Some(key)) => self.key_value(key)?,
                (None, None) => return Err(unreadable("the INSERT has no values")),
            };
            rows.push(Row { tokens: start..end + 1, key });
        }
        let several = returns_nothing(insert, drawn.is_some());
        Ok(Action::Insert { rows, ids: drawn.map(|drawn| Box::new(drawn.ids)), several })
    }

    /// `INSERT ... SET`: one row.
    fn insert_set(
        &mut self,
        insert: &Insert,
        name: &ObjectName,
        sequence: Option<&str>,
    ) -> Result<Action, Reason> {
        self.sub_queries(&insert.assignments, Some(0))?;
        let assigned: Vec<_> = columns(&insert.assignments)?.into_iter().cloned().collect();
        let mut drawn = sequence.map(|column| Drawing::new(self, column, name, &assigned)).transpose()?;
        let at = self.key_column(&assigned, drawn.as_ref().is_some_and(|drawn| drawn.ids.is_key))?;
        let value = |at: usize| insert.assignments.get(at).map(|assignment| &assignment.value);
        let end = self.text.end();
        let start = self.text.find(0, end, &["SET"]);
        let start = start.ok_or_else(|| unreadable("where the values of the INSERT begin is not clear"))? + 1;
        let end = self.text.find(start, end, &["AS", "ON", "RETURNING"]).unwrap_or(end);
        if let Some(drawn) = &mut drawn {
            drawn.assigned(self, drawn.at.and_then(|at| Some((at, value(at)?))), start, end)?;
        }
        let key = match (drawn.as_ref().and_then(Drawing::key), at.and_then(value)) {
            (Some(key), _) => key,
            (None, Some(key)) => self.key_value(key)?,
            (None, None) => return Err(unreadable("the INSERT has no values")),
        };
        let rows = vec![Row { tokens: start..end, key }];
        let several = returns_nothing(insert, drawn.is_some());
        Ok(Action::Insert { rows, ids: drawn.map(|drawn| Box::new(drawn.ids)), several })
    }

    fn insert_select(
        &mut self,
        insert: &Insert,
        sequence: Option<&str>,
        source: &Query,
    ) -> Result<Action, Reason> {
        let at = self.key_column(&insert.columns, false)?.unwrap_or(0);
        if let Some(sequence) = sequence
            && place_of(&insert.columns, sequence).is_none()
        {
            return Err(format!(
                "INSERT ... SELECT draws no ids: select a value for `{sequence}`, or select first and insert the values"
            )
            .into());
        }
        let scope = self.query(source, None)?;
        let (Some(scope), SetExpr::Select(select)) = (scope, source.body.as_ref()) else {
            return Err("INSERT ... SELECT into a sharded table must have one SELECT, without UNION".into());
        };
        let items = select.projection.iter().map(item).collect::<Option<Vec<_>>>();
        let items = items.filter(|items| items.len() == insert.columns.len());
        let Some(key) = items.as_ref().and_then(|items| items.get(at)) else {
            return Err(
                "INSERT ... SELECT into a sharded table must select as many columns as it names, without *"
                    .into(),
            );
        };
        let source_key = self.key_of(key, scope);
        let mut several = Err("INSERT ... SELECT with a fixed sharding value is for one shard".into());
        match (source_key, is_whole_key(self, key, scope)) {
            (Some(occurrence), true) => {
                self.groups.follow(0, occurrence);
                several = self.splits(insert, source, select, scope);
            }
            _ => {
                let value = self.key_value(key).map_err(|_| {
                    Reason::from("INSERT ... SELECT into a sharded table must select a literal, or the sharding column of a \
                         sharded table, for the sharding column")
                })?;
                if let Some(target) = self.occurrences.first_mut() {
                    let domain = target.domain;
                    target.conditions.push((Condition::Stored(value), domain));
                }
            }
        }
        Ok(Action::Write { groups: self.conditions(), several })
    }

    /// Whether each shard can insert its own part of the rows.
    fn splits(&self, insert: &Insert, source: &Query, select: &Select, scope: usize) -> Result<(), Reason> {
        is_partitioned(self, scope)?;
        aggregates_inside(self, source, select, scope)?;
        let plain = source.with.is_none()
            && source.limit_clause.is_none()
            && select.distinct.is_none()
            && insert.returning.is_none()
            && !aggregates(source, select)
            && !Contents::of(source).windows;
        match plain {
            true => Ok(()),
            false => Err("INSERT ... SELECT on several shards must be without WITH, DISTINCT, GROUP BY, aggregates, window \
                 functions, LIMIT and RETURNING"
                .into()),
        }
    }

    /// INSERT into a table that is not sharded, from sharded ones.
    fn insert_home(&mut self, insert: &Insert, name: &ObjectName) -> Result<Action, Reason> {
        self.sub_queries(&insert.assignments, None)?;
        let mut several = Err("an INSERT that reads sharded tables in its values is for one shard".into());
        if let Some(source) = &insert.source {
            let scope = self.query(source, None)?;
            if let (Some(scope), SetExpr::Select(select)) = (scope, source.body.as_ref()) {
                several = self.splits(insert, source, select, scope);
            }
        }
        self.sub_queries(&insert.on, None)?;
        self.sub_queries(&insert.returning, None)?;
        let target = last_ident(name).map_or("", |name| &name.value);
        let named =
            |token: &u32| self.text.name(*token).is_some_and(|name| name.eq_ignore_ascii_case(target));
        if (0..self.text.len()).filter(named).count() > 1 && several.is_ok() {
            several =
                Err("an INSERT ... SELECT of several shards cannot read the table that it writes".into());
        }
        Ok(Action::Write { groups: self.conditions(), several })
    }
}

/// An INSERT of several parts has no rows to return, nor has one that draws ids.
fn returns_nothing(insert: &Insert, draws: bool) -> Result<(), Reason> {
    match (insert.returning.is_some(), draws) {
        (false, _) => Ok(()),
        (true, false) => Err("RETURNING is for one shard: insert one row at a time".into()),
        (true, true) => {
            Err("RETURNING is for one row that has its id: insert without it, and ask LAST_INSERT_ID()"
                .into())
        }
    }
}

fn item(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}
