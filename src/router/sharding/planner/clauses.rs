//! Where the clauses of a SELECT and the items of its lists stand among the tokens.

use std::ops::Range;

use sqlparser::ast::{
    Expr, GroupByExpr, Ident, OrderBy, OrderByExpr, OrderByKind, Query, Select, SelectItem,
};

use super::super::plan::Reason;
use super::aggregate::function_name;
use super::text::{Text, unreadable};

/// What may begin behind a clause.
pub(super) const CLAUSES: [&str; 10] =
    ["WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "FOR", "LOCK", "INTO", "PROCEDURE"];

pub(super) const MODIFIERS: [&str; 9] = [
    "ALL",
    "DISTINCT",
    "DISTINCTROW",
    "HIGH_PRIORITY",
    "STRAIGHT_JOIN",
    "SQL_SMALL_RESULT",
    "SQL_BIG_RESULT",
    "SQL_BUFFER_RESULT",
    "SQL_NO_CACHE",
];

/// A column of the result.
pub(super) struct Item<'q> {
    /// `None` for a `*`.
    pub(super) expr: Option<&'q Expr>,
    pub(super) alias: Option<&'q Ident>,
    /// Without its alias.
    pub(super) tokens: Range<u32>,
}

/// An expression of GROUP BY or ORDER BY.
pub(super) struct Key<'q> {
    pub(super) expr: &'q Expr,
    pub(super) tokens: Range<u32>,
    pub(super) descending: bool,
}

/// A SELECT that is a whole statement.
pub(super) struct Clauses<'q> {
    pub(super) items: Vec<Item<'q>>,
    pub(super) from: u32,
    pub(super) group: Vec<Key<'q>>,
    pub(super) order: Vec<Key<'q>>,
    pub(super) places: Places,
    /// The word LIMIT and all that belongs to it.
    pub(super) limit: Option<Range<u32>>,
}

/// Where the clauses behind WHERE are, with the words that they begin with.
pub(super) struct Places {
    /// Where the first of them is, or would be.
    pub(super) first: u32,
    pub(super) group: Option<Range<u32>>,
    pub(super) having: Option<Range<u32>>,
    pub(super) order: Option<Range<u32>>,
    /// What follows LIMIT: locks.
    pub(super) tail: Range<u32>,
}

impl<'q> Clauses<'q> {
    pub(super) fn of(text: &Text<'_>, query: &'q Query, select: &'q Select) -> Result<Clauses<'q>, Reason> {
        let end = text.end();
        let first = text.explained();
        let mut start = first + 1;
        while text.is_any(start, &MODIFIERS) {
            start += 1;
        }
        if text.is_any(start, &["SQL_CACHE", "SQL_CALC_FOUND_ROWS"]) {
            return Err(
                format!("{} is not supported on several shards: leave it out", text.str(start)).into()
            );
        }
        let from =
            text.find(start, end, &["FROM"]).filter(|_| text.is(first, "SELECT")).ok_or_else(unclear)?;
        let clause = |word: &str| {
            let at = text.find(from, end, &[word])?;
            Some(at..text.find(at + 1, end, &CLAUSES).unwrap_or(end))
        };
        if let Some(hint) = text.find(from, end, &["FOR"])
            && text.is_any(hint + 1, &["JOIN", "ORDER", "GROUP"])
        {
            return Err("an index hint with FOR is not supported on several shards: leave FOR out".into());
        }
        let by = grouped_by(select)?;
        let tail = text.find(from, end, &["FOR", "LOCK", "INTO", "PROCEDURE"]).unwrap_or(end);
        let places = Places {
            first: text.find(from, end, CLAUSES.get(1..).unwrap_or_default()).unwrap_or(end),
            group: clause("GROUP"),
            having: clause("HAVING"),
            order: clause("ORDER"),
            tail: tail..end,
        };
        let group = keys(text, clause("GROUP"), by.iter().map(|expr| (expr, None)).collect())?;
        let order = keys(text, clause("ORDER"), order_exprs(query.order_by.as_ref())?)?;
        let limit = clause("LIMIT");
        if limit.is_some() != query.limit_clause.is_some() {
            return Err(unclear());
        }
        let items = items(text, start..from, &select.projection)?;
        Ok(Clauses { items, from, group, order, places, limit })
    }
}

/// The expressions of GROUP BY.
pub(super) fn grouped_by(select: &Select) -> Result<&[Expr], Reason> {
    match &select.group_by {
        GroupByExpr::Expressions(by, modifiers)
            if modifiers.is_empty() && !by.iter().any(is_several_groupings) =>
        {
            Ok(by)
        }
        _ => {
            Err("GROUP BY ... WITH ROLLUP is not supported on several shards: sum up in the application"
                .into())
        }
    }
}

fn is_several_groupings(by: &Expr) -> bool {
    match by {
        Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) => true,
        Expr::Function(call) => {
            let name = function_name(call);
            name.eq_ignore_ascii_case("ROLLUP") || name.eq_ignore_ascii_case("CUBE")
        }
        _ => false,
    }
}

pub(super) fn unclear() -> Reason {
    unreadable("where the clauses of the statement begin is not clear")
}

pub(super) fn order_exprs(order: Option<&OrderBy>) -> Result<Vec<(&Expr, Option<&OrderByExpr>)>, Reason> {
    match order.map(|order| &order.kind) {
        None => Ok(Vec::new()),
        Some(OrderByKind::Expressions(keys)) => Ok(keys.iter().map(|key| (&key.expr, Some(key))).collect()),
        Some(OrderByKind::All(_)) => Err(unclear()),
    }
}

/// The parts of a list between commas.
pub(super) fn split(text: &Text<'_>, list: Range<u32>) -> Vec<Range<u32>> {
    let (mut parts, mut start, mut depth) = (Vec::new(), list.start, 0_i32);
    for token in list.clone() {
        if text.is_byte(token, "(") {
            depth += 1;
        } else if text.is_byte(token, ")") {
            depth -= 1;
        } else if depth == 0 && text.is_byte(token, ",") {
            parts.push(start..token);
            start = token + 1;
        }
    }
    parts.push(start..list.end);
    parts
}

pub(super) fn items<'q>(
    text: &Text<'_>,
    list: Range<u32>,
    projection: &'q [SelectItem],
) -> Result<Vec<Item<'q>>, Reason> {
    let parts = split(text, list);
    if parts.len() != projection.len() {
        return Err(unclear());
    }
    let item = |(item, tokens): (&'q SelectItem, Range<u32>)| match item {
        SelectItem::UnnamedExpr(expr) => Ok(Item { expr: Some(expr), alias: None, tokens }),
        SelectItem::ExprWithAlias { expr, alias } => {
            let mut end = tokens.end.saturating_sub(1);
            if text.token(alias.span.start) != Some(end) {
                return Err(unclear());
            }
            if text.is(end.saturating_sub(1), "AS") {
                end -= 1;
            }
            Ok(Item { expr: Some(expr), alias: Some(alias), tokens: tokens.start..end })
        }
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
            Ok(Item { expr: None, alias: None, tokens })
        }
        SelectItem::ExprWithAliases { .. } => Err(unclear()),
    };
    projection.iter().zip(parts).map(item).collect()
}

pub(super) fn keys<'q>(
    text: &Text<'_>,
    clause: Option<Range<u32>>,
    exprs: Vec<(&'q Expr, Option<&'q OrderByExpr>)>,
) -> Result<Vec<Key<'q>>, Reason> {
    let Some(clause) = clause else {
        return exprs.is_empty().then(Vec::new).ok_or_else(unclear);
    };
    let parts = split(text, clause.start + 2..clause.end);
    if !text.is(clause.start + 1, "BY") || parts.len() != exprs.len() {
        return Err(unclear());
    }
    exprs.into_iter().zip(parts).map(|(key, tokens)| key_of(text, key, tokens)).collect()
}

/// The keys of an ORDER BY in an aggregate, by what stands behind these words.
pub(super) fn keys_of<'q>(
    text: &Text<'_>,
    list: Range<u32>,
    exprs: &'q [OrderByExpr],
) -> Result<Vec<Key<'q>>, Reason> {
    let parts = if exprs.is_empty() { Vec::new() } else { split(text, list) };
    if parts.len() != exprs.len() {
        return Err(unclear());
    }
    exprs.iter().zip(parts).map(|(key, tokens)| key_of(text, (&key.expr, Some(key)), tokens)).collect()
}

fn key_of<'q>(
    text: &Text<'_>,
    (expr, order): (&'q Expr, Option<&'q OrderByExpr>),
    mut tokens: Range<u32>,
) -> Result<Key<'q>, Reason> {
    if order.is_some_and(|order| order.options.nulls_first.is_some() || order.with_fill.is_some()) {
        return Err(unclear());
    }
    let last = tokens.end.saturating_sub(1);
    // Behind a point it is a column's name.
    let directed = order.is_some() && tokens.len() > 1 && !text.is_qualified(last);
    let descending = directed && text.is(last, "DESC");
    if directed && text.is_any(last, &["ASC", "DESC"]) {
        tokens.end = last;
    }
    Ok(Key { expr, tokens, descending })
}
