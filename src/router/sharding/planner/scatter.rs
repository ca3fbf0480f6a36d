//! A SELECT on several shards: what each of them is asked, and how the answers become one.

use std::ops::Range;

use sqlparser::ast::{Distinct, Expr, GroupByExpr, LimitClause, Query, Select, SetExpr, Visit};

use super::super::plan::{
    Aggregate, Column, Compared, Edit, Limit, Merge, Operand, OrderKey, Piece, Reason, Rows, Scatter,
};
use super::aggregate::{Call, Contents, aggregates, may_aggregate_outside};
use super::averages::deviation;
use super::clauses::{Clauses, Item, Key};
use super::columns::{Columns, DIVIDES};
use super::finish::finishing;
use super::finish_text::sorted;
use super::text::Text;
use super::union::{is_union, union};
use super::walk::Walk;

pub(super) const NOT_TOGETHER: &str = "the sharded tables of the statement are not all joined by their sharding \
     columns: say the sharding column of each, or join them by it";

pub(super) const NOT_OUTERMOST: &str = "on several shards a sharded table must be in the outermost FROM, and not the one that an \
             outer join makes up rows for: turn the join round, or say the sharding column's value";

const NOT_SELECTED: &str = "on several shards ORDER BY beside DISTINCT, GROUP BY or aggregates must be by a selected \
     column: select it too";

/// Whether each row that a statement is about belongs to just one shard: there is one group, and it has a table that is
/// in every row of the scope.
pub(super) fn is_partitioned(walk: &Walk<'_>, scope: usize) -> Result<(), Reason> {
    check_no_row_numbers(walk)?;
    let leaders = walk.groups.leaders();
    let [leader] = leaders.as_slice() else { return Err(NOT_TOGETHER.into()) };
    let members = walk.groups.members(*leader);
    match members.into_iter().any(|member| walk.is_in_every_row(member, scope)) {
        true => Ok(()),
        false => Err(NOT_OUTERMOST.into()),
    }
}

pub(super) fn check_no_row_numbers(walk: &Walk<'_>) -> Result<(), Reason> {
    match counts_rows(walk) {
        true => {
            Err("ROWNUM counts the rows of each shard: use LIMIT, or qualify a column of that name".into())
        }
        false => Ok(()),
    }
}

/// Whether there may be MariaDB's ROWNUM.
fn counts_rows(walk: &Walk<'_>) -> bool {
    (0..walk.text.len()).any(|token| walk.text.is(token, "ROWNUM") && !walk.text.is_qualified(token))
}

/// Whether an expression is the sharding column of a table that is in every row, so that equal values of it are on one
/// shard only.
pub(super) fn is_whole_key(walk: &Walk<'_>, expr: &Expr, scope: usize) -> bool {
    let occurrence = walk.key_of(expr, scope);
    let leads = |occurrence: &usize| {
        let class = walk.groups.leader(*occurrence);
        walk.groups.members(class).contains(occurrence) && walk.is_in_every_row(*occurrence, scope)
    };
    occurrence.is_some_and(|occurrence| leads(&occurrence))
}

/// How a query runs on several shards, and whether that is so for this very text only.
pub(super) fn scatter(
    walk: &Walk<'_>,
    query: &Query,
    scope: Option<usize>,
) -> (Result<Scatter, Reason>, bool) {
    if is_union(query) && query.with.is_none() {
        return union(walk, query);
    }
    let (SetExpr::Select(select), Some(scope), None) = (query.body.as_ref(), scope, &query.with) else {
        let reason = "only a SELECT or a UNION without WITH and parentheses around it runs on several shards: say the \
                      sharding column's value, or send its parts one by one";
        return (Err(reason.into()), false);
    };
    let clauses = is_partitioned(walk, scope)
        .and_then(|()| plain(query, select))
        .and_then(|()| aggregates_inside(walk, query, select, scope))
        .and_then(|()| Clauses::of(walk.text, query, select));
    match clauses {
        Ok(clauses) => {
            let columns = Columns::new(walk, &clauses, scope);
            let mut merging = Merging { walk, query, select, clauses: &clauses, columns, scope };
            match merging.scatter() {
                Err(_) if merging.is_grouped() => finishing(walk, query, select, &clauses, scope),
                scatter => (scatter, merging.columns.of_this_text),
            }
        }
        Err(reason) => (Err(reason), false),
    }
}

/// What is not done on several shards, whatever the columns are.
pub(super) fn plain(query: &Query, select: &Select) -> Result<(), Reason> {
    if select.into.is_some() {
        return Err(
            "SELECT ... INTO is not supported on several shards: read the rows in the application".into()
        );
    }
    if select.select_modifiers.as_ref().is_some_and(|modifiers| modifiers.sql_calc_found_rows) {
        return Err("SQL_CALC_FOUND_ROWS is not supported on several shards: ask for COUNT(*)".into());
    }
    let contents = Contents::of(query);
    if !select.named_window.is_empty() || contents.windows {
        return Err(
            "window functions are not supported on several shards: say the sharding column's value".into()
        );
    }
    let told = [Contents::of(&select.projection), Contents::of(&query.order_by)];
    if contents.expansion || told.iter().any(|contents| contents.relevance) {
        return Err("MATCH tells relevance by the rows of its shard: use it in WHERE only, and without QUERY EXPANSION".into());
    }
    Ok(())
}

/// Without GROUP BY, no sub-query makes one row of all that the SELECT has.
pub(super) fn aggregates_inside(
    walk: &Walk<'_>,
    query: &Query,
    select: &Select,
    scope: usize,
) -> Result<(), Reason> {
    let outside =
        |name: &str| walk.tables_of(scope).iter().any(|table| table.name.eq_ignore_ascii_case(name));
    let may =
        may_aggregate_outside(&select.projection, outside) || may_aggregate_outside(&query.order_by, outside);
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    match may && !grouped {
        true => Err("an aggregate in a sub-query may be one of the query around it: qualify its columns with a table of the \
                     sub-query"
            .into()),
        false => Ok(()),
    }
}

struct Merging<'m, 'q, 'a> {
    walk: &'m Walk<'a>,
    query: &'q Query,
    select: &'q Select,
    clauses: &'m Clauses<'q>,
    columns: Columns<'m, 'q, 'a>,
    scope: usize,
}

impl Merging<'_, '_, '_> {
    fn scatter(&mut self) -> Result<Scatter, Reason> {
        let rows = self.rows()?;
        let order = match &rows {
            Rows::One { .. } => Vec::new(),
            rows => self.order(rows)?,
        };
        let mut edits = self.walk.edits.clone();
        let limit = self.limit(&rows, &mut edits)?;
        let hidden = &self.columns.hidden;
        if !hidden.is_empty() {
            let from = self.clauses.from;
            let text = format!(", {} ", hidden.join(", "));
            edits.push(Edit { tokens: from..from, with: vec![Piece::Text(text.into())] });
        }
        Ok(Scatter {
            edits: sorted(edits),
            merge: Merge { hidden: hidden.len(), rows, order, limit },
            finish: None,
        })
    }

    /// Whether the rows are groups of which each may be on several shards.
    fn is_grouped(&self) -> bool {
        let whole = |expr: &Expr| is_whole_key(self.walk, expr, self.scope);
        aggregates(self.query, self.select) && !self.clauses.group.iter().any(|key| whole(key.expr))
    }

    fn rows(&mut self) -> Result<Rows, Reason> {
        let distinct = match &self.select.distinct {
            None | Some(Distinct::All) => false,
            Some(Distinct::Distinct) => true,
            Some(Distinct::On(_)) => return Err("MySQL does not have DISTINCT ON".into()),
        };
        let grouped = aggregates(self.query, self.select);
        let whole = |expr: &Expr| is_whole_key(self.walk, expr, self.scope);
        if self.is_grouped() {
            return match distinct {
                true => {
                    Err("DISTINCT beside aggregates is not supported on several shards: leave it out".into())
                }
                false => self.grouped(),
            };
        }
        let has_key = self.clauses.items.iter().any(|item| item.expr.is_some_and(whole));
        match distinct && !has_key {
            true if grouped => {
                Err("DISTINCT beside aggregates is not supported on several shards: leave it out".into())
            }
            true => self.distinct(),
            false => Ok(Rows::Each),
        }
    }

    fn distinct(&mut self) -> Result<Rows, Reason> {
        let mut by = Vec::new();
        for (at, item) in self.clauses.items.iter().enumerate() {
            if item.expr.is_none() {
                return Err("DISTINCT with * is not supported on several shards: name the columns".into());
            }
            by.push(self.columns.item(at)?);
        }
        self.check_no_division(&self.select.projection)?;
        Ok(Rows::Grouped { by, aggregates: Vec::new() })
    }

    /// Whether groups are told apart by digits that are not shown.
    fn check_no_division<T: Visit>(&self, part: &T) -> Result<(), Reason> {
        match Contents::of(part).divides || Contents::of(&self.select.from).divides {
            true => Err(DIVIDES.into()),
            false => Ok(()),
        }
    }

    /// Groups of which each may be on several shards.
    fn grouped(&mut self) -> Result<Rows, Reason> {
        if self.select.having.is_some() {
            return Err("HAVING is not supported on several shards: group by the sharding column too, or filter in the \
                 application"
                .into());
        }
        let mut by = Vec::new();
        let mut grouped = Vec::new();
        for key in &self.clauses.group {
            let item = self.columns.item_of_group_key(key)?;
            self.check_no_division(key.expr)?;
            if let Some(expr) = item.and_then(|at| self.clauses.items.get(at)?.expr) {
                self.check_no_division(expr)?;
            }
            by.push(match item {
                Some(item) => self.columns.item(item)?,
                None => self.columns.expression(key.expr, key.tokens.clone())?,
            });
            grouped.extend(item);
        }
        let mut found = Vec::new();
        for (at, item) in self.clauses.items.iter().enumerate() {
            let Some(expr) = item.expr else {
                return Err(
                    "* beside GROUP BY or aggregates is not supported on several shards: name the columns"
                        .into(),
                );
            };
            if grouped.contains(&at) || self.columns.is_grouped(expr) {
                continue;
            }
            if Contents::of(expr).aggregates {
                found.push((at, self.aggregate(at, item, expr)?));
            } else if self.walk.text.operand(expr).is_none() {
                return Err("on several shards each column beside aggregates must be in GROUP BY: put it there, or group \
                     by the sharding column too"
                    .into());
            }
        }
        Ok(match self.clauses.group.is_empty() {
            true => Rows::One { aggregates: found },
            false => Rows::Grouped { by, aggregates: found },
        })
    }

    fn aggregate(&mut self, at: usize, item: &Item<'_>, expr: &Expr) -> Result<Aggregate, Reason> {
        let call = Call::of(expr).ok_or(
            "an expression of aggregates is not supported on several shards: select the aggregates alone and compute in \
             the application, or group by the sharding column too",
        )?;
        let argument = match call.arguments.as_slice() {
            [argument] => *argument,
            _ => None,
        };
        if matches!(call.name.as_str(), "SUM" | "AVG") {
            self.check_no_division(expr)?;
        }
        let is_key = argument.is_some_and(|argument| self.walk.key_of(argument, self.scope).is_some());
        match (call.name.as_str(), call.distinct) {
            ("COUNT", false) => Ok(Aggregate::Count),
            ("COUNT", true) if is_key => Ok(Aggregate::Count),
            ("SUM", false) => Ok(Aggregate::Sum),
            ("MIN", _) => Ok(Aggregate::Min { weight: self.columns.weight(expr, item.tokens.clone())? }),
            ("MAX", _) => Ok(Aggregate::Max { weight: self.columns.weight(expr, item.tokens.clone())? }),
            ("AVG", false) => {
                let arguments = item.tokens.start + 1..item.tokens.end;
                let sum = self.columns.hide(expr, "SUM", arguments.clone())?;
                let count = self.columns.hide(expr, "COUNT", arguments)?;
                Ok(Aggregate::Avg { sum, count })
            }
            (name, false) if let Some(kind) = deviation(name) => {
                self.columns.deviation(expr, item.tokens.start + 1..item.tokens.end, kind)
            }
            ("BIT_AND", _) => Ok(Aggregate::BitAnd),
            ("BIT_OR", _) => Ok(Aggregate::BitOr),
            ("BIT_XOR", false) => Ok(Aggregate::BitXor),
            (name, distinct) => {
                let distinct = if distinct { "DISTINCT " } else { "" };
                let position = at + 1;
                Err(format!(
                    "{name}({distinct}...), column {position}, is not supported on several shards: group by the sharding \
                     column too, or compute it in the application"
                )
                .into())
            }
        }
    }

    fn order(&mut self, rows: &Rows) -> Result<Vec<OrderKey>, Reason> {
        let mut order = Vec::new();
        for key in &self.clauses.order {
            // ORDER BY NULL: in no order.
            if self.walk.text.operand(key.expr) == Some(Operand::Null) {
                continue;
            }
            let by = self.order_key(key, rows)?;
            order.push(OrderKey { by, descending: key.descending });
        }
        Ok(order)
    }

    fn order_key(&mut self, key: &Key<'_>, rows: &Rows) -> Result<Compared, Reason> {
        let item = self.columns.item_of_order_key(key)?;
        let (by, aggregates) = match rows {
            Rows::Grouped { by, aggregates } => (by.as_slice(), aggregates.as_slice()),
            _ => {
                return match item {
                    Some(item) => self.columns.item(item),
                    None if matches!(self.select.distinct, Some(Distinct::Distinct)) => {
                        Err(NOT_SELECTED.into())
                    }
                    None => self.columns.expression(key.expr, key.tokens.clone()),
                };
            }
        };
        if let Some(at) = item {
            let value = Column::Visible(at);
            let aggregate =
                aggregates.iter().find(|(column, _)| *column == at).map(|(_, aggregate)| aggregate);
            return match aggregate {
                Some(Aggregate::Min { weight } | Aggregate::Max { weight }) => {
                    Ok(Compared { value, weight: *weight })
                }
                // It has more digits than it shows.
                Some(Aggregate::Deviation { .. }) => Err(NOT_SELECTED.into()),
                // A number.
                Some(_) => Ok(Compared { value, weight: value }),
                None => self.columns.item(at),
            };
        }
        let grouped = self.columns.group_key_of(key.expr).and_then(|at| by.get(at).copied());
        grouped.ok_or_else(|| NOT_SELECTED.into())
    }

    fn limit(&mut self, rows: &Rows, edits: &mut Vec<Edit>) -> Result<Option<Limit>, Reason> {
        let (Some(limit), Some(tokens)) = (limit_of(self.walk.text, self.query)?, self.clauses.limit.clone())
        else {
            return Ok(None);
        };
        edits.extend(limit_edit(&limit, tokens, *rows != Rows::Each)?);
        Ok(Some(limit))
    }
}

/// What becomes of LIMIT on each shard: as many rows as may be of use, or all where the rows of several are made one.
pub(super) fn limit_edit(limit: &Limit, tokens: Range<u32>, folded: bool) -> Result<Option<Edit>, Reason> {
    if limit.offset.is_none() && !folded {
        return Ok(None);
    }
    check_numbers(limit)?;
    Ok(Some(match &limit.offset {
        Some(offset) if !folded => {
            let sum = vec![offset.clone(), limit.count.clone()];
            Edit { tokens: tokens.start + 1..tokens.end, with: vec![Piece::Sum(sum)] }
        }
        _ => Edit { tokens, with: Vec::new() },
    }))
}

/// That no number of LIMIT is a parameter, where shards can't have that.
pub(super) fn check_numbers(limit: &Limit) -> Result<(), Reason> {
    let is_parameter = |value: &Operand| matches!(value, Operand::Parameter(_));
    match limit.offset.iter().chain([&limit.count]).any(is_parameter) {
        true => {
            Err("on several shards LIMIT with ? is supported only without an offset, DISTINCT, GROUP BY and \
                     aggregates: write the numbers in the text"
                .into())
        }
        false => Ok(()),
    }
}

/// The numbers of LIMIT.
pub(super) fn limit_of(text: &Text<'_>, query: &Query) -> Result<Option<Limit>, Reason> {
    let (offset, count) = match &query.limit_clause {
        None => return Ok(None),
        Some(LimitClause::LimitOffset { limit: Some(count), offset, limit_by }) if limit_by.is_empty() => {
            (offset.as_ref().map(|offset| &offset.value), count)
        }
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(offset), limit),
        Some(LimitClause::LimitOffset { .. }) => return Err("MySQL does not have this kind of LIMIT".into()),
    };
    let value = |expr: &Expr| match text.operand(expr) {
        Some(value @ (Operand::Literal { negative: false, .. } | Operand::Parameter(_))) => Ok(value),
        _ => Err(Reason::from("LIMIT must be of numbers or ?")),
    };
    Ok(Some(Limit { offset: offset.map(value).transpose()?, count: value(count)? }))
}
