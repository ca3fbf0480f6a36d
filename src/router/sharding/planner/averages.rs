//! AVG, and functions of a variance, within expressions. A server goes on with more digits of it than it shows, and servers differ in where they cut these
//! off: there are expressions of which Athena can say what they are, and others.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, CeilFloorKind, DataType, DateTimeField, Expr, FunctionArguments, UnaryOperator, Value,
    Visit, Visitor,
};

use super::super::plan::Deviation;
use super::aggregate::{Call, argument, function_name};

/// An AVG has at least so many digits behind the point, by the default of `div_precision_increment`; no more may be asked for.
const DIGITS: u32 = 4;

/// Whether an AVG with its hidden digits is in an expression, where more is made of it than a number with so many digits.
pub(super) fn has_hidden_digits(expr: &Expr) -> bool {
    let mut found = Averages::default();
    let _ = expr.visit(&mut found);
    found.hidden
}

/// Whether hidden digits make no difference but in how the whole expression is rounded.
pub(super) fn is_known(expr: &Expr) -> bool {
    if !has_hidden_digits(expr) || is_average(expr) {
        return true;
    }
    match expr {
        Expr::Nested(inner) => is_known(inner),
        Expr::UnaryOp { op: UnaryOperator::Plus | UnaryOperator::Minus, expr } => is_average(expr),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply,
            right,
        } => [left, right].iter().all(|side| is_average(side) || !has_hidden_digits(side)),
        Expr::Function(function) => {
            let name = function_name(function);
            let is_choice = ["IFNULL", "COALESCE"].iter().any(|one| name.eq_ignore_ascii_case(one));
            is_choice && arguments(expr).iter().all(|argument| is_average(argument) || is_number(argument))
        }
        _ => false,
    }
}

/// Which function of a variance a name is.
pub(super) fn deviation(name: &str) -> Option<Deviation> {
    let (sample, root) = match name {
        "STD" | "STDDEV" | "STDDEV_POP" => (false, true),
        "STDDEV_SAMP" => (true, true),
        "VARIANCE" | "VAR_POP" => (false, false),
        "VAR_SAMP" => (true, false),
        _ => return None,
    };
    Some(Deviation { sample, root })
}

/// An aggregate that has more digits than a server shows.
fn is_average(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_average(inner),
        _ => Call::of(expr).is_some_and(|call| call.name == "AVG" || deviation(&call.name).is_some()),
    }
}

/// A literal without a type of its own.
fn is_number(expr: &Expr) -> bool {
    match expr {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => is_number(expr),
        Expr::Value(value) => matches!(value.value, Value::Number(..) | Value::Null),
        _ => false,
    }
}

/// Whether an expression of an AVG has just the digits that it is told to have.
fn is_rounded(expr: &Expr) -> bool {
    match expr {
        Expr::Ceil { expr, field } | Expr::Floor { expr, field } => {
            matches!(field, CeilFloorKind::DateTimeField(DateTimeField::NoDateTime)) && is_average(expr)
        }
        Expr::Cast { expr, data_type, .. } => {
            use DataType::{Decimal, Signed, SignedInteger, Unsigned, UnsignedInteger};
            matches!(data_type, Decimal(_) | Signed | SignedInteger | Unsigned | UnsignedInteger)
                && is_average(expr)
        }
        Expr::BinaryOp { left, op, right } => {
            use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq, Spaceship};
            matches!(op, Eq | Gt | GtEq | Lt | LtEq | NotEq | Spaceship)
                && [left, right].iter().all(|side| is_average(side) || !has_hidden_digits(side))
        }
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => is_average(inner),
        Expr::Function(function) => {
            let name = function_name(function);
            let is_of = |names: &[&str]| names.iter().any(|one| name.eq_ignore_ascii_case(one));
            match arguments(expr).as_slice() {
                [of] => is_of(&["ROUND", "CEIL", "CEILING", "FLOOR", "SIGN"]) && is_average(of),
                [of, digits] => is_of(&["ROUND", "TRUNCATE", "FORMAT"]) && is_average(of) && is_small(digits),
                _ => false,
            }
        }
        _ => false,
    }
}

fn is_small(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse::<u32>().is_ok_and(|digits| digits <= DIGITS),
            _ => false,
        },
        _ => false,
    }
}

fn arguments(expr: &Expr) -> Vec<&Expr> {
    let Expr::Function(function) = expr else { return Vec::new() };
    let FunctionArguments::List(list) = &function.args else { return Vec::new() };
    let all: Option<Vec<_>> = list.args.iter().map(argument).collect();
    all.unwrap_or_default()
}

#[derive(Default)]
struct Averages {
    hidden: bool,
    /// How many expressions around this one have only the digits that they are told to have.
    rounded: usize,
}

impl Visitor for Averages {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.rounded += usize::from(is_rounded(expr));
        self.hidden |= self.rounded == 0 && is_average(expr);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.rounded -= usize::from(is_rounded(expr));
        ControlFlow::Continue(())
    }
}
