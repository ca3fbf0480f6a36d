//! Calls of aggregate functions, and what of an expression cannot be said twice.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, GroupByExpr, Query, SearchModifier, Select, TableFactor, Value, ValueWithSpan, Visit,
    Visitor,
};

use super::walk::last_ident;

/// All that a server has.
const AGGREGATES: [&str; 20] = [
    "COUNT",
    "SUM",
    "MIN",
    "MAX",
    "AVG",
    "BIT_AND",
    "BIT_OR",
    "BIT_XOR",
    "GROUP_CONCAT",
    "STD",
    "STDDEV",
    "STDDEV_POP",
    "STDDEV_SAMP",
    "VAR_POP",
    "VAR_SAMP",
    "VARIANCE",
    "JSON_ARRAYAGG",
    "JSON_OBJECTAGG",
    "ANY_VALUE",
    "ST_COLLECT",
];

/// Functions that answer anew each time.
const UNSTEADY: [&str; 7] = ["RAND", "UUID", "UUID_SHORT", "SLEEP", "RANDOM_BYTES", "NEXTVAL", "UUID_V7"];

/// What an expression has in it, sub-queries included but for their aggregates.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) aggregates: bool,
    pub(super) windows: bool,
    pub(super) literals: bool,
    pub(super) parameters: bool,
    pub(super) queries: bool,
    pub(super) unsteady: bool,
    /// MATCH, of which a server tells more than yes or no by all rows of a table.
    pub(super) relevance: bool,
    /// MATCH that looks for words of the rows that it finds, too.
    pub(super) expansion: bool,
    /// A division: a server goes on with more digits than it shows.
    pub(super) divides: bool,
    /// There is a column in it.
    pub(super) columns: bool,
    /// Columns without a qualifier.
    pub(super) names: Vec<String>,
    depth: usize,
}

impl Contents {
    pub(super) fn of<T: Visit>(part: &T) -> Contents {
        let mut contents = Contents::default();
        let _ = part.visit(&mut contents);
        contents
    }

    /// Of an expression; lengths of types are literals too.
    pub(super) fn of_expr(expr: &Expr) -> Contents {
        let mut contents = Contents::of(expr);
        contents.literals |= expr.to_string().contains(|c: char| c.is_ascii_digit() || c == '\'' || c == '"');
        contents
    }
}

impl Visitor for Contents {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        self.queries = true;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<()> {
        match value.value {
            Value::Placeholder(_) => self.parameters = true,
            _ => self.literals = true,
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(name) => {
                self.columns = true;
                self.names.push(name.value.clone());
            }
            Expr::CompoundIdentifier(_) => self.columns = true,
            Expr::BinaryOp { op: BinaryOperator::Divide, .. } => self.divides = true,
            Expr::MatchAgainst { opt_search_modifier, .. } => {
                self.columns = true;
                self.relevance = true;
                self.expansion |= matches!(
                    opt_search_modifier,
                    Some(
                        SearchModifier::WithQueryExpansion
                            | SearchModifier::InNaturalLanguageModeWithQueryExpansion
                    )
                );
            }
            Expr::Function(function) => {
                let name = function_name(function);
                let is_of = |names: &[&str]| names.iter().any(|one| name.eq_ignore_ascii_case(one));
                self.aggregates |= self.depth == 0 && function.over.is_none() && is_of(&AGGREGATES);
                self.windows |= function.over.is_some();
                self.unsteady |= is_of(&UNSTEADY);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Whether an expression is the call of an aggregate function.
pub(super) fn is_aggregate(expr: &Expr) -> bool {
    let Expr::Function(function) = expr else { return false };
    let name = function_name(function);
    function.over.is_none() && AGGREGATES.iter().any(|one| name.eq_ignore_ascii_case(one))
}

pub(super) fn function_name(function: &Function) -> &str {
    match function.name.0.len() {
        1 => last_ident(&function.name).map_or("", |name| &name.value),
        _ => "",
    }
}

/// The arguments of a call that has nothing but these.
pub(super) fn plain_list(function: &Function) -> Option<&FunctionArgumentList> {
    let plain = function.over.is_none()
        && function.filter.is_none()
        && function.null_treatment.is_none()
        && function.within_group.is_empty()
        && matches!(function.parameters, FunctionArguments::None);
    match &function.args {
        FunctionArguments::List(list) if plain => Some(list),
        _ => None,
    }
}

/// An argument that is an expression.
pub(super) fn argument(argument: &FunctionArg) -> Option<&Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

/// Whether a query's SELECT makes one row of several.
pub(super) fn aggregates(query: &Query, select: &Select) -> bool {
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let has_call = Contents::of(&select.projection).aggregates || Contents::of(&query.order_by).aggregates;
    grouped || select.having.is_some() || has_call
}

/// The calls of aggregate functions in sub-queries, and the tables that these have.
#[derive(Default)]
struct Inner {
    depth: usize,
    tables: Vec<String>,
    /// Of each call the qualifiers of its columns.
    calls: Vec<Vec<Option<String>>>,
}

/// Whether a call in a sub-query may be an aggregate of the query around it, as one is whose columns all are of that query.
pub(super) fn may_aggregate_outside<T: Visit>(part: &T, is_outside: impl Fn(&str) -> bool) -> bool {
    let mut inner = Inner::default();
    let _ = part.visit(&mut inner);
    let is_inside = |qualifier: &Option<String>| {
        qualifier.as_ref().is_some_and(|name| {
            !is_outside(name) && inner.tables.iter().any(|table| table.eq_ignore_ascii_case(name))
        })
    };
    inner.calls.iter().any(|columns| !columns.is_empty() && !columns.iter().any(is_inside))
}

impl Visitor for Inner {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } = factor
        {
            self.tables.push(alias.name.value.clone());
        } else if let TableFactor::Table { name, .. } = factor {
            self.tables.extend(last_ident(name).map(|name| name.value.clone()));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && self.depth > 0
            && AGGREGATES.iter().any(|name| name.eq_ignore_ascii_case(function_name(function)))
        {
            let mut columns = Qualifiers::default();
            let _ = function.args.visit(&mut columns);
            self.calls.push(columns.0);
        }
        ControlFlow::Continue(())
    }
}

#[derive(Default)]
struct Qualifiers(Vec<Option<String>>);

impl Visitor for Qualifiers {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(_) => self.0.push(None),
            Expr::CompoundIdentifier(parts) => {
                self.0.push(parts.iter().rev().nth(1).map(|table| table.value.clone()));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// A call of an aggregate function that is a whole expression.
pub(super) struct Call<'e> {
    pub(super) name: String,
    pub(super) distinct: bool,
    pub(super) arguments: Vec<Option<&'e Expr>>,
}

impl<'e> Call<'e> {
    pub(super) fn of(expr: &'e Expr) -> Option<Call<'e>> {
        let Expr::Function(function) = expr else { return None };
        let name = function_name(function).to_ascii_uppercase();
        let list = plain_list(function)?;
        if function.uses_odbc_syntax || !list.clauses.is_empty() || !AGGREGATES.contains(&name.as_str()) {
            return None;
        }
        let arguments = list.args.iter().map(|one| match one {
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => Some(None),
            one => argument(one).map(Some),
        });
        let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        Some(Call { name, distinct, arguments: arguments.collect::<Option<_>>()? })
    }
}

/// The aggregates of an expression, and the columns that are in none.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) found: Vec<Expr>,
    inside: usize,
    /// What a TIMESTAMP is, and not what it is shown as.
    pub(super) of_epoch: bool,
}

impl Visitor for Parts {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let is_call = is_aggregate(expr);
        let is_column = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        if self.inside == 0 && (is_call || is_column) {
            self.found.push(expr.clone());
        }
        let is_epoch = |function: &Function| function_name(function).eq_ignore_ascii_case("UNIX_TIMESTAMP");
        self.of_epoch |= self.inside == 0 && matches!(expr, Expr::Function(function) if is_epoch(function));
        self.inside += usize::from(is_call);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.inside -= usize::from(is_aggregate(expr));
        ControlFlow::Continue(())
    }
}

/// All aggregates.
#[derive(Default)]
pub(super) struct Calls(pub(super) Vec<Expr>);

impl Visitor for Calls {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if is_aggregate(expr) {
            self.0.push(expr.clone());
        }
        ControlFlow::Continue(())
    }
}
