//! What the conditions of a WHERE or ON say of sharding columns.

use sqlparser::ast::{BinaryOperator, Expr, GroupByExpr, InTarget, Query, Select, SelectItem, SetExpr};

use super::super::plan::{Bound, Condition, Operand};
use super::aggregate::aggregates;
use super::walk::Walk;

/// What a condition decides: its rows are those of these tables.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) scope: usize,
    /// The occurrences of which rows do not matter where the condition is not true.
    pub(super) restricts: Vec<usize>,
    /// Those of which it decides only with whom they are joined.
    pub(super) beside: Vec<usize>,
    /// For rows of which part of the FROM clause it is so.
    pub(super) domain: usize,
}

impl Walk<'_> {
    /// Takes what follows from `expr` being true.
    pub(super) fn conjuncts(&mut self, expr: &Expr, view: &View) {
        match expr {
            Expr::Nested(inner) => self.conjuncts(inner, view),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                self.conjuncts(left, view);
                self.conjuncts(right, view);
            }
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
                for (left, right) in pairs(left, right) {
                    self.link_equal(left, right, view);
                }
                self.restrict(expr, view);
            }
            Expr::In { expr: left, target: InTarget::Subquery(query), negated, .. } => {
                self.link_in(left, query, *negated, view);
            }
            _ => self.restrict(expr, view),
        }
    }

    fn restrict(&mut self, expr: &Expr, view: &View) {
        for occurrence in &view.restricts {
            let condition = self.condition(expr, *occurrence, view.scope);
            if let (true, Some(occurrence)) =
                (condition != Condition::Any, self.occurrences.get_mut(*occurrence))
            {
                occurrence.conditions.push((condition, view.domain));
            }
        }
    }

    /// `a.key = b.key`
    fn link_equal(&mut self, left: &Expr, right: &Expr, view: &View) {
        let (Some(left), Some(right)) = (self.key_of(left, view.scope), self.key_of(right, view.scope))
        else {
            return;
        };
        match (view.restricts.contains(&left), view.restricts.contains(&right)) {
            (true, true) => self.groups.unite(left, right),
            (true, false) if self.may_lead(right, view) => self.groups.follow(left, right),
            (false, true) if self.may_lead(left, view) => self.groups.follow(right, left),
            _ => {}
        }
    }

    /// Rows of the other side of an outer join, or of a query around this one.
    fn may_lead(&self, leader: usize, view: &View) -> bool {
        view.beside.contains(&leader)
            || self.occurrences.get(leader).is_some_and(|leader| leader.scope != view.scope)
    }

    /// `key IN (SELECT key FROM ...)`, negated or not: only rows of the same key matter. A NULL that an outer join has made up
    /// would matter to all.
    fn link_in(&mut self, left: &Expr, query: &Query, negated: bool, view: &View) {
        let Some(leader) = self.key_of(left, view.scope) else { return };
        // NULL NOT IN (...) is true where there is no row at all.
        let leads = self.occurrences.get(leader).is_some_and(|of| self.is_in_every_row(leader, of.scope));
        let SetExpr::Select(select) = query.body.as_ref() else { return };
        let plain = (leads || !negated)
            && query.with.is_none()
            && query.limit_clause.is_none()
            && query.fetch.is_none();
        let [SelectItem::UnnamedExpr(item)] = select.projection.as_slice() else { return };
        let scope = self.scope_of_select.get(&(std::ptr::from_ref(select.as_ref()) as usize));
        let follower = scope.and_then(|scope| self.key_of(item, *scope).map(|key| (key, *scope)));
        if let (true, Some((follower, scope))) = (plain, follower)
            && self.is_in_every_row(follower, scope)
            && self.keeps_key(query, select, follower, scope)
        {
            self.groups.follow(follower, leader);
        }
    }

    /// Whether each row of a query is made of rows of one value of the sharding column.
    fn keeps_key(&self, query: &Query, select: &Select, key: usize, scope: usize) -> bool {
        match &select.group_by {
            GroupByExpr::Expressions(by, modifiers) if !by.is_empty() => {
                modifiers.is_empty() && by.iter().any(|by| self.key_of(by, scope) == Some(key))
            }
            _ => !aggregates(query, select),
        }
    }

    /// What `expr` says of the sharding column of one occurrence.
    fn condition(&self, expr: &Expr, occurrence: usize, scope: usize) -> Condition {
        let is_key = |expr: &Expr| self.key_of(expr, scope) == Some(occurrence);
        match expr {
            Expr::Nested(inner) => self.condition(inner, occurrence, scope),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                all(vec![self.condition(left, occurrence, scope), self.condition(right, occurrence, scope)])
            }
            Expr::BinaryOp { left, op: BinaryOperator::Or, right } => either(vec![
                self.condition(left, occurrence, scope),
                self.condition(right, occurrence, scope),
            ]),
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
                let equal = pairs(left, right).into_iter().filter_map(|(left, right)| {
                    let value = if is_key(left) { right } else { left };
                    (is_key(left) || is_key(right)).then(|| self.text.operand(value)).flatten()
                });
                all(equal.map(Condition::Equals).collect())
            }
            Expr::BinaryOp { left, op, right } if is_key(left) => self.compared(op, right),
            Expr::BinaryOp { left, op, right } if is_key(right) => {
                mirrored(op).map_or(Condition::Any, |op| self.compared(&op, left))
            }
            Expr::In { expr, target: InTarget::List(list), negated: false, .. } => {
                either(list.iter().map(|item| self.in_item(expr, item, &is_key)).collect())
            }
            Expr::Between { expr, negated: false, low, high } if is_key(expr) => {
                let bound = |expr| self.text.operand(expr).map(|value| Bound { value, inclusive: true });
                // What is not known of one end decides how both are compared.
                match (bound(low), bound(high)) {
                    (Some(low), Some(high)) => Condition::Between { low: Some(low), high: Some(high) },
                    _ => Condition::Any,
                }
            }
            _ => Condition::Any,
        }
    }

    fn compared(&self, op: &BinaryOperator, value: &Expr) -> Condition {
        let Some(value) = self.text.operand(value) else { return Condition::Any };
        let bound = |inclusive| Some(Bound { value: value.clone(), inclusive });
        match op {
            BinaryOperator::Gt => Condition::Between { low: bound(false), high: None },
            BinaryOperator::GtEq => Condition::Between { low: bound(true), high: None },
            BinaryOperator::Lt => Condition::Between { low: None, high: bound(false) },
            BinaryOperator::LtEq => Condition::Between { low: None, high: bound(true) },
            // Rows that an outer join has made up hold NULL.
            BinaryOperator::Spaceship if matches!(value, Operand::Literal { .. }) => Condition::Equals(value),
            _ => Condition::Any,
        }
    }

    /// One of the values of an IN, or one of its rows.
    fn in_item(&self, expr: &Expr, item: &Expr, is_key: &dyn Fn(&Expr) -> bool) -> Condition {
        let equal = pairs(expr, item).into_iter().filter(|(column, _)| is_key(column));
        let of_value = if matches!(expr, Expr::Tuple(_)) { Condition::InRow } else { Condition::Equals };
        all(equal.filter_map(|(_, value)| self.text.operand(value)).map(of_value).collect())
    }
}

/// The parts of two rows that are compared, or the two values.
fn pairs<'e>(left: &'e Expr, right: &'e Expr) -> Vec<(&'e Expr, &'e Expr)> {
    match (left, right) {
        (Expr::Tuple(lefts), Expr::Tuple(rights)) if lefts.len() == rights.len() => {
            lefts.iter().zip(rights).collect()
        }
        (Expr::Tuple(_), _) | (_, Expr::Tuple(_)) => Vec::new(),
        _ => vec![(left, right)],
    }
}

/// The operator when its sides are exchanged.
fn mirrored(op: &BinaryOperator) -> Option<BinaryOperator> {
    match op {
        BinaryOperator::Gt => Some(BinaryOperator::Lt),
        BinaryOperator::GtEq => Some(BinaryOperator::LtEq),
        BinaryOperator::Lt => Some(BinaryOperator::Gt),
        BinaryOperator::LtEq => Some(BinaryOperator::GtEq),
        BinaryOperator::Spaceship => Some(BinaryOperator::Spaceship),
        _ => None,
    }
}

/// All of them hold.
pub(super) fn all(conditions: Vec<Condition>) -> Condition {
    let mut known: Vec<_> = conditions.into_iter().filter(|condition| *condition != Condition::Any).collect();
    match known.len() {
        0 => Condition::Any,
        1 => known.remove(0),
        _ => Condition::And(known),
    }
}

/// One of them holds.
fn either(mut conditions: Vec<Condition>) -> Condition {
    if conditions.is_empty() || conditions.contains(&Condition::Any) {
        return Condition::Any;
    }
    match conditions.len() {
        1 => conditions.remove(0),
        _ => Condition::Or(conditions),
    }
}
