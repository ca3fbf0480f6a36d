//! A UNION on several shards: each of them unites what it has, and their rows are united once more.

use std::ops::Range;
use std::rc::Rc;

use sqlparser::ast::{Distinct, Expr, Ident, Query, Select, SetExpr, SetOperator, SetQuantifier};

use super::super::plan::{
    Column, Compared, Edit, Finish, Limit, Merge, Operand, OrderKey, Origin, Reason, Rows, Scatter,
};
use super::aggregate::{Contents, aggregates};
use super::clauses::{CLAUSES, Item, Key, MODIFIERS, grouped_by, items, keys, order_exprs, split, unclear};
use super::columns::{bare, weight_of};
use super::finish_text::{replaced, sorted};
use super::scatter::{
    NOT_OUTERMOST, NOT_TOGETHER, aggregates_inside, check_no_row_numbers, is_whole_key, limit_edit, limit_of,
    plain,
};
use super::walk::Walk;
use crate::parser::SketchKind;

/// Whether a query is several SELECTs that may run on several shards.
pub(super) fn is_union(query: &Query) -> bool {
    matches!(query.body.as_ref(), SetExpr::SetOperation { .. })
}

/// How such a query runs on several shards, and whether that is so for this very text only.
pub(super) fn union(walk: &Walk<'_>, query: &Query) -> (Result<Scatter, Reason>, bool) {
    let mut union =
        Union { walk, query, branches: Vec::new(), distinct: false, after: 0, of_this_text: false };
    let scatter = union.scatter();
    (scatter, union.of_this_text)
}

struct Branch<'q> {
    select: &'q Select,
    /// Without the parentheses around it.
    tokens: Range<u32>,
    has_parentheses: bool,
}

struct Union<'m, 'q, 'a> {
    walk: &'m Walk<'a>,
    query: &'q Query,
    branches: Vec<Branch<'q>>,
    /// Rows that are alike are one.
    distinct: bool,
    /// Where the last branch ends.
    after: u32,
    of_this_text: bool,
}

impl<'q> Union<'_, 'q, '_> {
    fn scatter(&mut self) -> Result<Scatter, Reason> {
        check_no_row_numbers(self.walk)?;
        self.find_branches()?;
        for branch in &self.branches {
            self.check(branch)?;
        }
        let text = self.walk.text;
        let end = text.end();
        let clause = |word: &str| {
            let at = text.find(self.after, end, &[word])?;
            Some(at..text.find(at + 1, end, &CLAUSES).unwrap_or(end))
        };
        let (order, limit_tokens) = (clause("ORDER"), clause("LIMIT"));
        let limit = limit_of(text, self.query)?;
        if limit.is_some() != limit_tokens.is_some() {
            return Err(unclear());
        }
        let by = keys(text, order.clone(), order_exprs(self.query.order_by.as_ref())?)?;
        let is_plain = by.iter().all(|key| text.operand(key.expr) == Some(Operand::Null));
        match is_plain && !self.distinct {
            true => self.all(limit, limit_tokens),
            false => self.compared(&by, limit, limit_tokens),
        }
    }

    /// The SELECTs, from the left.
    fn find_branches(&mut self) -> Result<(), Reason> {
        let mut bodies = Vec::new();
        let mut all = Vec::new();
        let mut body = self.query.body.as_ref();
        while let SetExpr::SetOperation { op, set_quantifier, left, right } = body {
            match (op, set_quantifier) {
                (SetOperator::Union, SetQuantifier::All) => all.push(true),
                (SetOperator::Union, SetQuantifier::Distinct | SetQuantifier::None) => all.push(false),
                _ => {
                    return Err(
                        "only UNION of queries is supported on several shards, not EXCEPT and INTERSECT"
                            .into(),
                    );
                }
            }
            bodies.push(right.as_ref());
            body = left;
        }
        bodies.push(body);
        bodies.reverse();
        // The last one decides for all before it.
        self.distinct = all.first() == Some(&false);
        if !self.distinct && all.contains(&false) {
            return Err("UNION ALL behind a UNION is not supported on several shards: write the UNION last, or send them one by \
                        one"
                .into());
        }
        let text = self.walk.text;
        let end = text.end();
        let mut start = 0;
        for (at, body) in bodies.iter().enumerate() {
            let next = match at + 1 < bodies.len() {
                true => text.find(start, end, &["UNION"]).ok_or_else(unclear)?,
                false => text.find(start, end, &["ORDER", "LIMIT"]).unwrap_or(end),
            };
            let is_last = at + 1 == bodies.len();
            self.branches.push(branch(self.walk, body, start..next, is_last)?);
            self.after = next;
            start = next + 1;
            if text.is_any(start, &["ALL", "DISTINCT"]) {
                start += 1;
            }
        }
        Ok(())
    }

    /// That a branch has its rows in parts on the shards, or all of them on each where that makes no difference.
    fn check(&self, branch: &Branch<'q>) -> Result<(), Reason> {
        let (walk, select) = (self.walk, branch.select);
        let scope = walk.scope_of_select.get(&(std::ptr::from_ref(select) as usize)).copied();
        let scope = scope.ok_or_else(unclear)?;
        plain(self.query, select)?;
        aggregates_inside(walk, self.query, select, scope)?;
        let within = |occurrence: &usize| {
            walk.occurrences.get(*occurrence).is_some_and(|of| branch.tokens.contains(&of.token))
        };
        let mut leaders: Vec<_> =
            (0..walk.occurrences.len()).filter(within).map(|of| walk.groups.leader(of)).collect();
        leaders.sort_unstable();
        leaders.dedup();
        let grouped = grouped_by(select)?;
        let whole = |expr: &Expr| is_whole_key(walk, expr, scope);
        match leaders.as_slice() {
            [] if !self.distinct => {
                return Err("on several shards a UNION ALL must have a sharded table in each of its parts: send the others by \
                            themselves"
                    .into());
            }
            [] if Contents::of(select).unsteady => {
                return Err("on several shards a part of a UNION without sharded tables must have the same rows each time".into());
            }
            [] => return Ok(()),
            [leader] => {
                let members = walk.groups.members(*leader);
                let is_outermost = |member: &usize| within(member) && walk.is_in_every_row(*member, scope);
                if !members.iter().any(is_outermost) {
                    return Err(NOT_OUTERMOST.into());
                }
            }
            _ => return Err(NOT_TOGETHER.into()),
        }
        if aggregates(self.query, select) && !grouped.iter().any(whole) {
            return Err("aggregates in a UNION are supported on several shards only where it groups by the sharding column: \
                        send its parts one by one"
                .into());
        }
        match select.distinct {
            None | Some(Distinct::All) => Ok(()),
            Some(_) if self.distinct => Ok(()),
            Some(_) => Err("DISTINCT in a UNION ALL is not supported on several shards: write UNION".into()),
        }
    }

    /// One shard's rows after the other's.
    fn all(&self, limit: Option<Limit>, tokens: Option<Range<u32>>) -> Result<Scatter, Reason> {
        let mut edits = self.walk.edits.clone();
        if let (Some(limit), Some(tokens)) = (&limit, tokens) {
            edits.extend(limit_edit(limit, tokens, false)?);
        }
        let merge = Merge { hidden: 0, rows: Rows::Each, order: Vec::new(), limit };
        Ok(Scatter { edits: sorted(edits), merge, finish: None })
    }

    /// Rows that have to be compared, as those of a table that the UNION is.
    fn compared(
        &mut self,
        by: &[Key<'q>],
        limit: Option<Limit>,
        tokens: Option<Range<u32>>,
    ) -> Result<Scatter, Reason> {
        let Some(first) = self.branches.first() else { return Err(unclear()) };
        let text = self.walk.text;
        let select = first.select;
        let mut edits = self.walk.edits.clone();
        let list = select_list(self.walk, first)?;
        let ends: Vec<_> = split(text, list.clone()).into_iter().map(|item| item.end).collect();
        let items = items(text, list, &select.projection)?;
        if items.iter().any(|item| item.expr.is_none()) {
            return Err("* in a UNION with ORDER BY or without ALL is not supported on several shards: name the columns".into());
        }
        for (at, (item, end)) in items.iter().zip(&ends).enumerate() {
            edits.push(replaced(item.tokens.end..*end, &format!(" AS athena_{at} ")));
        }
        let names: Vec<_> = (0..items.len()).map(|at| format!("athena.athena_{at}")).collect();
        let order = self.order(by, &items)?;
        let weights: Vec<_> = names.iter().map(|name| weight_of(name)).collect();
        let columns = [names, weights].concat().join(", ");
        edits.push(replaced(0..0, &format!("SELECT {columns} FROM (")));
        let until = tokens.as_ref().map_or(text.end(), |limit| limit.start);
        let order_text = order_text(&order);
        edits.push(replaced(self.after..until, &format!(") AS athena {order_text}")));
        if let (Some(limit), Some(tokens)) = (&limit, tokens.clone()) {
            edits.extend(limit_edit(limit, tokens, self.distinct)?);
        }
        let finish = Finish {
            described: self.described(tokens)?,
            query: None,
            items: (0..items.len()).map(Origin::Group).collect(),
            inputs: Vec::new(),
        };
        let rows = match self.distinct {
            true => Rows::Grouped { by: (0..items.len()).map(weighed).collect(), aggregates: Vec::new() },
            false => Rows::Each,
        };
        let merge = Merge { hidden: items.len(), rows, order, limit };
        Ok(Scatter { edits: sorted(edits), merge, finish: Some(Rc::new(finish)) })
    }

    /// By which columns the rows are ordered.
    fn order(&mut self, by: &[Key<'q>], items: &[Item<'q>]) -> Result<Vec<OrderKey>, Reason> {
        let mut order = Vec::new();
        for key in by.iter().filter(|key| self.walk.text.operand(key.expr) != Some(Operand::Null)) {
            let at = match bare(key.expr) {
                Expr::Value(_) => {
                    self.of_this_text = true;
                    let number = key.expr.to_string().parse::<usize>().ok();
                    number.and_then(|number| number.checked_sub(1)).filter(|at| *at < items.len())
                }
                Expr::Identifier(name) => {
                    let mut named = items.iter().enumerate().filter(|(_, item)| is_named(item, &name.value));
                    named.next().map(|(at, _)| at).filter(|_| named.next().is_none())
                }
                _ => None,
            };
            let at = at.ok_or(
                "on several shards ORDER BY of a UNION must be by names or numbers of the columns of its first part",
            )?;
            order.push(OrderKey { by: weighed(at), descending: key.descending });
        }
        Ok(order)
    }

    /// The statement itself, without rows: a server makes those of each part whatever LIMIT is behind them.
    fn described(&self, limit: Option<Range<u32>>) -> Result<Vec<Edit>, Reason> {
        let text = self.walk.text;
        if !self.query.locks.is_empty() || text.find(self.after, text.end(), &["FOR", "LOCK"]).is_some() {
            return Err(
                "locks are not supported on several shards beside a UNION with ORDER BY or without ALL"
                    .into(),
            );
        }
        let mut edits = self.walk.edits.clone();
        for token in (0..text.end()).filter(|token| text.kind(*token) == Some(SketchKind::Parameter)) {
            if text.is_any(token.saturating_sub(1), &["LIMIT", "OFFSET"]) || text.is(token + 1, "COLLATE") {
                return Err("LIMIT with ?, and ? with a collation, are not supported on several shards in a UNION with ORDER \
                            BY or without ALL"
                    .into());
            }
            edits.push(replaced(token..token + 1, " NULL "));
        }
        for Branch { select, tokens, has_parentheses } in &self.branches {
            let outside = [Contents::of(&select.projection), Contents::of(&select.from)];
            if outside.iter().any(|contents| contents.parameters) {
                return Err(
                    "on several shards ? in a UNION with ORDER BY or without ALL is supported in WHERE only"
                        .into(),
                );
            }
            let [open, close] = if *has_parentheses { ["", ""] } else { ["(", ")"] };
            edits.push(replaced(tokens.start..tokens.start, open));
            edits.push(replaced(tokens.end..tokens.end, &format!(" LIMIT 0{close} ")));
        }
        if let Some(limit) = limit {
            edits.push(replaced(limit, ""));
        }
        Ok(sorted(edits))
    }
}

/// A column with the hidden column of its weight.
fn weighed(at: usize) -> Compared {
    Compared { value: Column::Visible(at), weight: Column::Hidden(at) }
}

/// Whether a name is that of a column of the result.
fn is_named(item: &Item<'_>, name: &str) -> bool {
    let is_name = |column: &Ident| column.value.eq_ignore_ascii_case(name);
    match (item.alias, item.expr) {
        (Some(alias), _) => is_name(alias),
        (None, Some(Expr::Identifier(column))) => is_name(column),
        (None, Some(Expr::CompoundIdentifier(parts))) => parts.last().is_some_and(is_name),
        _ => false,
    }
}

fn order_text(order: &[OrderKey]) -> String {
    let key = |key: &OrderKey| {
        let (Column::Visible(at) | Column::Hidden(at)) = key.by.value;
        format!("{}{}", at + 1, if key.descending { " DESC" } else { "" })
    };
    match order.is_empty() {
        true => String::new(),
        false => format!("ORDER BY {} ", order.iter().map(key).collect::<Vec<_>>().join(", ")),
    }
}

/// A branch that is a plain SELECT, in one pair of parentheses or none.
fn branch<'q>(
    walk: &Walk<'_>,
    body: &'q SetExpr,
    tokens: Range<u32>,
    is_last: bool,
) -> Result<Branch<'q>, Reason> {
    let text = walk.text;
    match body {
        SetExpr::Select(select) if text.is(tokens.start, "SELECT") => {
            let lock = text.find(tokens.start, tokens.end, &["FOR", "LOCK", "INTO", "PROCEDURE"]);
            match lock {
                Some(_) if !is_last => Err(unclear()),
                _ => Ok(Branch { select, tokens, has_parentheses: false }),
            }
        }
        SetExpr::Query(query) => {
            match query.body.as_ref() {
                SetExpr::Select(select)
                    if text.is_byte(tokens.start, "(")
                        && text.is(tokens.start + 1, "SELECT")
                        && text.is_byte(tokens.end.saturating_sub(1), ")") =>
                {
                    let plain = query.order_by.is_none()
                        && query.limit_clause.is_none()
                        && query.with.is_none()
                        && query.locks.is_empty();
                    match plain {
                    true => {
                        Ok(Branch { select, tokens: tokens.start + 1..tokens.end - 1, has_parentheses: true })
                    }
                    false => Err("ORDER BY, LIMIT and locks in a part of a UNION are not supported on several shards".into()),
                }
                }
                _ => Err(unclear()),
            }
        }
        _ => Err("a UNION on several shards must be of plain SELECTs: send its parts one by one".into()),
    }
}

/// The tokens of the columns of a branch.
fn select_list(walk: &Walk<'_>, branch: &Branch<'_>) -> Result<Range<u32>, Reason> {
    let text = walk.text;
    let mut start = branch.tokens.start + 1;
    while text.is_any(start, &MODIFIERS) {
        start += 1;
    }
    match text.is_any(start, &["SQL_CACHE", "SQL_CALC_FOUND_ROWS"]) {
        true => Err(format!("{} is not supported on several shards: leave it out", text.str(start)).into()),
        false => Ok(start..text.find(start, branch.tokens.end, &["FROM"]).unwrap_or(branch.tokens.end)),
    }
}
