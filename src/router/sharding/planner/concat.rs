//! GROUP_CONCAT over several shards. Without DISTINCT and ORDER BY the texts of shards are put one behind the other; else shards
//! group by what makes rows of it different, and give each row's text with how often it is there.

use std::ops::Range;

use sqlparser::ast::{DuplicateTreatment, Expr, FunctionArgumentClause, OrderByExpr, Value};

use super::super::plan::{Aggregate, Column, Compared, Concat, OrderKey, Reason};
use super::aggregate::{Contents, argument, function_name, plain_list};
use super::clauses::{Key, keys_of, split};
use super::finish::Finishing;

/// The parts of a call of GROUP_CONCAT.
pub(super) struct Call<'e> {
    arguments: Vec<&'e Expr>,
    distinct: bool,
    order: &'e [OrderByExpr],
    has_separator: bool,
}

/// Whether an expression is a call of GROUP_CONCAT.
pub(super) fn is_concat(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if function_name(function).eq_ignore_ascii_case("GROUP_CONCAT"))
}

/// Whether shards have to group by what is put together.
pub(super) fn groups_rows(expr: &Expr) -> bool {
    is_concat(expr) && Call::of(expr).is_ok_and(|call| call.distinct || !call.order.is_empty())
}

fn unclear() -> Reason {
    "on several shards GROUP_CONCAT may have DISTINCT, ORDER BY and a text as SEPARATOR only".into()
}

impl<'e> Call<'e> {
    fn of(expr: &'e Expr) -> Result<Call<'e>, Reason> {
        let Expr::Function(function) = expr else { return Err(unclear()) };
        let list = plain_list(function).ok_or_else(unclear)?;
        let mut call = Call {
            arguments: list.args.iter().map(argument).collect::<Option<_>>().ok_or_else(unclear)?,
            distinct: list.duplicate_treatment == Some(DuplicateTreatment::Distinct),
            order: &[],
            has_separator: false,
        };
        for clause in &list.clauses {
            match clause {
                FunctionArgumentClause::OrderBy(order) => call.order = order,
                FunctionArgumentClause::Separator(separator)
                    if matches!(separator.value, Value::SingleQuotedString(_)) =>
                {
                    call.has_separator = true;
                }
                _ => return Err(unclear()),
            }
        }
        Ok(call)
    }
}

/// Where the parts of a call are.
struct Places {
    arguments: Range<u32>,
    /// Behind ORDER BY.
    order: Range<u32>,
    /// The text alone.
    separator: Range<u32>,
}

impl Finishing<'_, '_, '_> {
    /// The merged column that a GROUP_CONCAT is.
    pub(super) fn concat(&mut self, expr: &Expr, tokens: Range<u32>) -> Result<usize, Reason> {
        let call = Call::of(expr)?;
        let text = self.columns.copy(expr, tokens.clone())?;
        let places = self.places(&call, &tokens)?;
        let separator = match call.has_separator {
            true => {
                self.columns.of_this_text = true;
                let separator = self.walk.text.slice(places.separator.clone());
                Some(self.columns.hide_text(format!("MIN({separator})")))
            }
            false => None,
        };
        let max_len = self.columns.hide_text("MIN(@@group_concat_max_len)".to_owned());
        let concat = match call.distinct || !call.order.is_empty() {
            false => {
                let length = self.columns.hide_text(format!("LENGTH({text})"));
                Concat { separator, max_len, length, row: None, order: Vec::new(), distinct: Vec::new() }
            }
            true => self.concat_of_rows(&call, &places, separator, max_len)?,
        };
        Ok(self.show(text, Some(Aggregate::Concat(concat.into()))))
    }

    /// Of rows that are told apart.
    fn concat_of_rows(
        &mut self,
        call: &Call<'_>,
        places: &Places,
        separator: Option<Column>,
        max_len: Column,
    ) -> Result<Concat, Reason> {
        let walk = self.walk;
        let arguments = split(walk.text, places.arguments.clone());
        if arguments.len() != call.arguments.len() {
            return Err(unclear());
        }
        let row = format!("CONCAT({})", walk.text.slice(places.arguments.clone()));
        let mut distinct = Vec::new();
        for (argument, tokens) in call.arguments.iter().zip(arguments) {
            if call.distinct {
                distinct.push(self.told_by(argument, tokens)?);
            }
        }
        if !call.distinct {
            // Equal texts are not the same to it.
            self.distinct.push(format!("HEX({row})"));
        }
        let mut order = Vec::new();
        for Key { expr, tokens, descending } in keys_of(walk.text, places.order.clone(), call.order)? {
            let by = match call.distinct {
                false => self.told_by(expr, tokens)?,
                // Of rows that are one, any may say where it stands, unless they all say the same.
                true => {
                    let same = call.arguments.iter().position(|argument| self.columns.same(argument, expr));
                    let by = same.and_then(|at| distinct.get(at).copied());
                    by.ok_or("on several shards GROUP_CONCAT(DISTINCT ...) must be ordered by what it puts together")?
                }
            };
            order.push(OrderKey { by, descending });
        }
        // All rows that shards make one have the same text, and this has it as often as once.
        let arguments = walk.text.slice(places.arguments.clone());
        let text = self.columns.hide_text(format!("GROUP_CONCAT(DISTINCT {arguments})"));
        let length = self.columns.hide_text(format!("LENGTH(GROUP_CONCAT(DISTINCT {arguments}))"));
        let count = self.columns.hide_text("COUNT(*)".to_owned());
        Ok(Concat { separator, max_len, length, row: Some((text, count)), order, distinct })
    }

    /// An expression that shards group by as well.
    fn told_by(&mut self, expr: &Expr, tokens: Range<u32>) -> Result<Compared, Reason> {
        self.check_digits(expr)?;
        if !Contents::of(expr).columns {
            return Err("on several shards GROUP_CONCAT with DISTINCT or ORDER BY must be of columns, and ordered by them".into());
        }
        let text = self.columns.copy(expr, tokens.clone())?;
        let value = self.columns.hide(expr, "", tokens.clone())?;
        let weight = self.columns.weight(expr, tokens)?;
        if !self.distinct.contains(&text) {
            self.distinct.push(text);
        }
        Ok(Compared { value, weight })
    }

    fn places(&self, call: &Call<'_>, tokens: &Range<u32>) -> Result<Places, Reason> {
        let text = self.walk.text;
        let close = tokens.end.saturating_sub(1);
        let start = tokens.start + 2 + u32::from(call.distinct);
        if call.distinct != text.is(tokens.start + 2, "DISTINCT") {
            return Err(unclear());
        }
        let word = |words: &[&str]| text.find(start, close, words);
        let separator = word(&["SEPARATOR"]).unwrap_or(close);
        let order = word(&["ORDER"]).unwrap_or(separator);
        if call.has_separator != (separator < close) || call.order.is_empty() != (order == separator) {
            return Err(unclear());
        }
        let behind_by = if order < separator { order + 2 } else { order };
        Ok(Places { arguments: start..order, order: behind_by..separator, separator: separator + 1..close })
    }
}
