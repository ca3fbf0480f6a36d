//! The FROM clause: which tables are joined how, and what the conditions of the joins decide.

use sqlparser::ast::{Ident, Join, JoinConstraint, JoinOperator, ObjectName, TableFactor, TableWithJoins};

use super::super::plan::Reason;
use super::condition::View;
use super::walk::{Aliasing, Walk, last_ident};

/// Which side's rows are all there, with NULLs where the other side has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Neither,
    Left,
    Right,
}

/// A join whose condition is looked at when all tables of the clause are known.
struct Pending<'q> {
    constraint: &'q JoinConstraint,
    kept: Side,
    /// Occurrences.
    left: Vec<usize>,
    right: Vec<usize>,
    domain: usize,
    /// Of the side that is not kept.
    inner: usize,
}

impl Walk<'_> {
    /// All tables of a FROM clause.
    pub(super) fn from(
        &mut self,
        from: &[TableWithJoins],
        scope: usize,
        aliasing: Aliasing,
    ) -> Result<(), Reason> {
        let domain = self.scopes.get(scope).map_or(0, |scope| scope.domain);
        let mut pending = Vec::new();
        for tree in from {
            self.tree(&tree.relation, &tree.joins, scope, domain, aliasing, &mut pending)?;
        }
        for join in pending {
            self.join_condition(&join, scope)?;
        }
        Ok(())
    }

    /// A tree of joins, from its last one inwards. The answer is the occurrences in it.
    fn tree<'q>(
        &mut self,
        relation: &'q TableFactor,
        joins: &'q [Join],
        scope: usize,
        domain: usize,
        aliasing: Aliasing,
        pending: &mut Vec<Pending<'q>>,
    ) -> Result<Vec<usize>, Reason> {
        let first = self.occurrences.len();
        let Some((last, before)) = joins.split_last() else {
            match relation {
                TableFactor::NestedJoin { table_with_joins: inner, alias: None } => {
                    return self.tree(&inner.relation, &inner.joins, scope, domain, aliasing, pending);
                }
                _ => self.factor(relation, scope, domain, aliasing)?,
            }
            return Ok(self.own(first, scope));
        };
        let (kept, constraint) = kind(&last.join_operator)?;
        let inner = match kept {
            Side::Neither => domain,
            _ => self.open_domain(Some(domain)),
        };
        let (left_domain, right_domain) = match kept {
            Side::Neither => (domain, domain),
            Side::Left => (domain, inner),
            Side::Right => (inner, domain),
        };
        let left = self.tree(relation, before, scope, left_domain, aliasing, pending)?;
        let right = self.tree(&last.relation, &[], scope, right_domain, aliasing, pending)?;
        pending.push(Pending { constraint, kept, left, right, domain, inner });
        Ok(self.own(first, scope))
    }

    /// The occurrences from `first` on that are of this scope itself.
    fn own(&self, first: usize, scope: usize) -> Vec<usize> {
        let own = |at: &usize| self.occurrences.get(*at).is_some_and(|occurrence| occurrence.scope == scope);
        (first..self.occurrences.len()).filter(own).collect()
    }

    fn join_condition(&mut self, join: &Pending<'_>, scope: usize) -> Result<(), Reason> {
        match join.constraint {
            JoinConstraint::None => Ok(()),
            JoinConstraint::Natural => {
                self.join_using(join, None, scope);
                Ok(())
            }
            JoinConstraint::Using(columns) => {
                self.join_using(join, Some(columns), scope);
                Ok(())
            }
            JoinConstraint::UsingAlias(..) => Err("USING with an alias is not supported".into()),
            JoinConstraint::On(on) => {
                self.sub_queries(on, Some(scope))?;
                let (restricts, beside) = match join.kept {
                    Side::Neither => ([join.left.as_slice(), &join.right].concat(), Vec::new()),
                    Side::Left => (join.right.clone(), join.left.clone()),
                    Side::Right => (join.left.clone(), join.right.clone()),
                };
                self.conjuncts(on, &View { scope, restricts, beside, domain: join.inner });
                Ok(())
            }
        }
    }

    /// USING and NATURAL: of each side the first table counts that is NULL only with the whole side.
    fn join_using(&mut self, join: &Pending<'_>, columns: Option<&[ObjectName]>, scope: usize) {
        let domains = match join.kept {
            Side::Neither => (join.domain, join.domain),
            Side::Left => (join.domain, join.inner),
            Side::Right => (join.inner, join.domain),
        };
        let first = |side: &[usize], domain| {
            let mut side = side.iter().copied();
            side.find(|occurrence| self.domain_of(*occurrence) == Some(domain))
        };
        let (Some(left), Some(right)) = (first(&join.left, domains.0), first(&join.right, domains.1)) else {
            return;
        };
        let names_key = |columns: &[ObjectName]| {
            let mut names = columns.iter().filter_map(last_ident);
            names.any(|column: &Ident| self.is_key(left, column) && self.is_key(right, column))
        };
        if !columns.is_none_or(names_key) {
            return;
        }
        match join.kept {
            Side::Neither => self.groups.unite(left, right),
            Side::Left => self.groups.follow(right, left),
            Side::Right => self.groups.follow(left, right),
        }
        if let Some(scope) = self.scopes.get_mut(scope) {
            scope.merged += 1;
        }
    }
}

fn kind(operator: &JoinOperator) -> Result<(Side, &JoinConstraint), Reason> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::CrossJoin(constraint)
        | JoinOperator::StraightJoin(constraint) => Ok((Side::Neither, constraint)),
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => Ok((Side::Left, constraint)),
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
            Ok((Side::Right, constraint))
        }
        _ => Err("MySQL does not have this kind of join".into()),
    }
}
