//! The columns of a scattered SELECT: those that the client gets, and those behind them that rows are compared by.

use std::ops::Range;

use sqlparser::ast::{Expr, UnaryOperator, Value};

use super::super::plan::{Aggregate, Column, Compared, Deviation, Reason};
use super::aggregate::Contents;
use super::clauses::{Clauses, Item, Key};
use super::text::unreadable;
use super::walk::Walk;
use crate::parser::SketchKind;

pub(super) const DIVIDES: &str = "on several shards rows cannot be grouped or added up by a division, of which a server does not \
     show all digits: use DIV, or divide in the application";

pub(super) struct Columns<'m, 'q, 'a> {
    walk: &'m Walk<'a>,
    clauses: &'m Clauses<'q>,
    scope: usize,
    /// The texts of the hidden columns.
    pub(super) hidden: Vec<String>,
    /// The values of literals are in the hidden columns, or have decided something.
    pub(super) of_this_text: bool,
    /// Rows are those of groups.
    pub(super) grouped: bool,
}

impl<'m, 'q, 'a> Columns<'m, 'q, 'a> {
    pub(super) fn new(walk: &'m Walk<'a>, clauses: &'m Clauses<'q>, scope: usize) -> Columns<'m, 'q, 'a> {
        let grouped = !clauses.group.is_empty();
        Columns { walk, clauses, scope, hidden: Vec::new(), of_this_text: false, grouped }
    }

    pub(super) fn scope(&self) -> usize {
        self.scope
    }

    /// A hidden column of the words `before` and the tokens of an expression.
    pub(super) fn hide(&mut self, expr: &Expr, before: &str, tokens: Range<u32>) -> Result<Column, Reason> {
        let text = self.copy(expr, tokens)?;
        Ok(self.hide_text(format!("{before}{text}")))
    }

    pub(super) fn hide_text(&mut self, text: String) -> Column {
        let at = self.hidden.iter().position(|hidden| *hidden == text).unwrap_or(self.hidden.len());
        if at == self.hidden.len() {
            self.hidden.push(text);
        }
        Column::Hidden(at)
    }

    /// The words of an expression, to stand in a second place.
    pub(super) fn copy(&mut self, expr: &Expr, tokens: Range<u32>) -> Result<String, Reason> {
        let contents = Contents::of_expr(expr);
        if contents.parameters || contents.queries || contents.unsteady {
            return Err("on several shards rows cannot be compared by an expression with ?, a sub-query or a function like \
                 RAND(): compare in the application, or say the sharding column's value"
                .into());
        }
        let number = |token: &u32| self.walk.text.kind(*token) == Some(SketchKind::Number);
        if tokens.clone().any(|token| number(&token) && self.walk.text.is_qualified(token)) {
            return Err(unreadable("a number behind a point may be a name"));
        }
        let value =
            |token| matches!(self.walk.text.kind(token), Some(SketchKind::Number | SketchKind::String));
        self.of_this_text |= contents.literals || tokens.clone().any(value);
        Ok(self.walk.text.slice(tokens))
    }

    /// The weight of a value: of a text, the bytes by which its collation compares it. Collations that ignore blanks at
    /// the end are told by their names, and a blank that all texts end in makes an empty one's weight come before that of
    /// a text of control characters. In a group all are the same, which a server may not know of an expression.
    pub(super) fn weight(&mut self, expr: &Expr, tokens: Range<u32>) -> Result<Column, Reason> {
        let e = self.copy(expr, tokens)?;
        let text = weight_of(&e);
        let grouped = self.grouped && !Contents::of(expr).aggregates;
        Ok(self.hide_text(if grouped { format!("MIN({text})") } else { text }))
    }

    /// The parts of a variance, in doubles with all digits. `arguments` are those of the function, with parentheses.
    pub(super) fn deviation(
        &mut self,
        expr: &Expr,
        arguments: Range<u32>,
        kind: Deviation,
    ) -> Result<Aggregate, Reason> {
        let arguments = self.copy(expr, arguments)?;
        Ok(Aggregate::Deviation {
            count: self.hide_text(format!("COUNT{arguments}")),
            mean: self.hide_text(format!("AVG({arguments} + 0e0)")),
            variance: self.hide_text(format!("VAR_POP({arguments} + 0e0)")),
            kind,
        })
    }

    /// An expression that is no visible column.
    pub(super) fn expression(&mut self, expr: &Expr, tokens: Range<u32>) -> Result<Compared, Reason> {
        let contents = Contents::of(expr);
        if !contents.columns && !contents.aggregates {
            return Err(
                "on several shards ORDER BY and GROUP BY must be by columns, or by plain numbers of columns"
                    .into(),
            );
        }
        let value = self.hide(expr, "", tokens.clone())?;
        Ok(Compared { value, weight: self.weight(expr, tokens)? })
    }

    /// A visible column, by its number among the items.
    pub(super) fn item(&mut self, at: usize) -> Result<Compared, Reason> {
        let items = &self.clauses.items;
        let item = items.get(at).and_then(|item| item.expr.map(|expr| (expr, item.tokens.clone())));
        let Some((expr, tokens)) = item else { return Err("ORDER BY and GROUP BY cannot be by a *".into()) };
        // Behind a `*` nobody knows its number.
        match items.iter().take(at).any(|item| item.expr.is_none()) {
            true => self.expression(expr, tokens),
            false => Ok(Compared { value: Column::Visible(at), weight: self.weight(expr, tokens)? }),
        }
    }

    /// The item that a number in GROUP BY or ORDER BY means.
    fn position(&mut self, expr: &Expr) -> Result<Option<usize>, Reason> {
        let Expr::Value(value) = bare(expr) else { return Ok(None) };
        let at = match &value.value {
            Value::Number(digits, _) => digits.parse::<usize>().ok().and_then(|at| at.checked_sub(1)),
            _ => None,
        };
        let items = &self.clauses.items;
        self.of_this_text = true;
        match at.filter(|at| items.iter().take(at + 1).all(|item| item.expr.is_some())) {
            Some(at) if at < items.len() => Ok(Some(at)),
            _ => {
                Err("ORDER BY and GROUP BY must be by columns, or by numbers of columns before any *".into())
            }
        }
    }

    /// The item that a name means as an alias. Aliases are compared without regard to case.
    pub(super) fn aliased(&self, name: &str) -> Result<Option<usize>, Reason> {
        let named = |(at, item): (usize, &Item<'_>)| {
            item.alias.is_some_and(|alias| alias.value.eq_ignore_ascii_case(name)).then_some(at)
        };
        let mut found = self.clauses.items.iter().enumerate().filter_map(named);
        match (found.next(), found.next()) {
            (found, None) => Ok(found),
            _ => Err(format!("several columns have the alias `{name}`: give them different ones").into()),
        }
    }

    /// In ORDER BY an alias comes before a column of that name.
    pub(super) fn item_of_order_key(&mut self, key: &Key<'_>) -> Result<Option<usize>, Reason> {
        if let Some(at) = self.position(key.expr)? {
            return Ok(Some(at));
        }
        if let Expr::Identifier(name) = key.expr
            && let Some(at) = self.aliased(&name.value)?
        {
            return Ok(Some(at));
        }
        self.check_no_alias(key.expr)?;
        self.selected(key.expr)
    }

    /// In GROUP BY a column comes before an alias of that name.
    pub(super) fn item_of_group_key(&mut self, key: &Key<'_>) -> Result<Option<usize>, Reason> {
        if let Some(at) = self.position(key.expr)? {
            return Ok(Some(at));
        }
        if let Some(at) = self.selected(key.expr)? {
            return Ok(Some(at));
        }
        let Expr::Identifier(name) = key.expr else {
            self.check_no_alias(key.expr)?;
            return Ok(None);
        };
        let Some(at) = self.aliased(&name.value)? else { return Ok(None) };
        let expr = self.clauses.items.get(at).and_then(|item| item.expr);
        let names = expr.map(|expr| Contents::of(expr).names).unwrap_or_default();
        let is_column =
            expr.is_some_and(|expr| matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)));
        match is_column || names.iter().any(|one| one.eq_ignore_ascii_case(&name.value)) {
            true => Err(format!(
                "`{}` is an alias and may be a column too: give the alias another name",
                name.value
            )
            .into()),
            false => Ok(Some(at)),
        }
    }

    /// An expression that has an alias in it cannot be said in the list of columns.
    pub(super) fn check_no_alias(&self, expr: &Expr) -> Result<(), Reason> {
        for name in Contents::of(expr).names {
            let aliased = self.aliased(&name)?;
            let item = aliased.and_then(|at| self.clauses.items.get(at)).and_then(|item| item.expr);
            let itself = |item: &Expr| matches!(item, Expr::Identifier(column) if column.value.eq_ignore_ascii_case(&name));
            if item.is_some_and(|item| !itself(item)) {
                return Err(
                    format!("`{name}` is an alias: on several shards select the whole expression").into()
                );
            }
        }
        Ok(())
    }

    /// The item that is this very expression.
    fn selected(&mut self, expr: &Expr) -> Result<Option<usize>, Reason> {
        let same = |item: &Item<'_>| item.expr.is_some_and(|item| self.same(item, expr));
        let Some(at) = self.clauses.items.iter().position(same) else { return Ok(None) };
        self.of_this_text |= Contents::of_expr(expr).literals;
        Ok(Some(at))
    }

    /// Whether an expression is one of GROUP BY.
    pub(super) fn is_grouped(&mut self, expr: &Expr) -> bool {
        self.group_key_of(expr).is_some()
    }

    pub(super) fn group_key_of(&mut self, expr: &Expr) -> Option<usize> {
        let at = self.clauses.group.iter().position(|key| self.same(key.expr, expr))?;
        self.of_this_text |= Contents::of_expr(expr).literals;
        Some(at)
    }

    pub(super) fn same(&self, one: &Expr, other: &Expr) -> bool {
        match (column(one), column(other)) {
            (Some((one_table, one)), Some((other_table, other))) => {
                let alone = self.walk.tables_of(self.scope).len() == 1;
                let tables = match (one_table, other_table) {
                    (Some(one), Some(other)) => one == other,
                    (None, None) => true,
                    _ => alone,
                };
                tables && one.eq_ignore_ascii_case(other)
            }
            (None, None) => !Contents::of(one).parameters && !Contents::of(one).unsteady && one == other,
            _ => false,
        }
    }
}

/// The words for the weight of a value that these words stand for: see [`Columns::weight`].
pub(super) fn weight_of(e: &str) -> String {
    format!(
        "IF(COLLATION({e}) REGEXP '_0900_|nopad|^binary$', WEIGHT_STRING({e}), \
         WEIGHT_STRING(CONCAT(RTRIM({e}), ' ')))"
    )
}

/// Without the parentheses and plus signs that a server does not see: `ORDER BY (2)` is by the second column.
pub(super) fn bare(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) | Expr::UnaryOp { op: UnaryOperator::Plus, expr: inner } = expr {
        expr = inner;
    }
    expr
}

/// A column's qualifier and name.
fn column(expr: &Expr) -> Option<(Option<&str>, &str)> {
    match expr {
        Expr::Identifier(name) => Some((None, &name.value)),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [table, name] => Some((Some(&table.value), &name.value)),
            _ => None,
        },
        _ => None,
    }
}
