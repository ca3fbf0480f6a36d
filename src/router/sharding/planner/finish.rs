//! A SELECT of groups whose rows Athena can't merge, because something has to be computed of its aggregates: shards give the
//! aggregates, and a server computes the rest of them when they are merged. See [`Finish`].

use std::ops::Range;
use std::rc::Rc;

use sqlparser::ast::{Distinct, Expr, Ident, Query, Select, Visit};

use super::super::plan::{
    Aggregate, Column, Compared, Edit, Finish, Input, Merge, Operand, Origin, Piece, Reason, Rows, Scatter,
};
use super::aggregate::{Call, Calls, Contents, Parts, function_name};
use super::averages::{deviation, has_hidden_digits, is_known};
use super::clauses::{Clauses, Item, split};
use super::columns::{Columns, DIVIDES};
use super::concat::{groups_rows, is_concat};
use super::finish_text::replaced;
use super::scatter::{check_numbers, limit_of};
use super::walk::Walk;
use crate::parser::SketchKind;

pub(super) const NOT_GROUPED: &str = "on several shards each column beside aggregates must be in GROUP BY: put it there, or group by the \
     sharding column too";

const PARAMETERS: &str = "on several shards ? beside aggregates is supported in WHERE and HAVING only: write the value in the \
     text, or group by the sharding column too";

const AVERAGES: &str = "on several shards an expression of AVG, STD or VARIANCE may be its ROUND, TRUNCATE or FORMAT to at most 4 digits, CEIL, \
     FLOOR, a CAST to a number, a comparison, or one +, - or *, since a server goes on with more digits of it than it shows: \
     round it first, or write SUM(...) / COUNT(...) for AVG";

const ORDER_OF_AVERAGES: &str = "on several shards ORDER BY cannot be by an expression of AVG, of which a server goes on with more \
     digits than it shows: order by the ROUND() of it";

const QUERIES: &str = "on several shards a sub-query cannot be in an expression of aggregates: send it by itself, or group by the \
     sharding column too";

/// What is known of a column of the groups that shards give.
pub(super) struct Finishing<'m, 'q, 'a> {
    pub(super) walk: &'m Walk<'a>,
    query: &'q Query,
    pub(super) select: &'q Select,
    pub(super) clauses: &'m Clauses<'q>,
    pub(super) columns: Columns<'m, 'q, 'a>,
    /// The expressions of GROUP BY: the first columns of the groups.
    pub(super) keys: Vec<(&'q Expr, Range<u32>)>,
    /// The texts of the columns of the groups.
    pub(super) visible: Vec<String>,
    aggregates: Vec<(usize, Aggregate)>,
    /// The arguments of aggregates with DISTINCT, by which shards group as well.
    pub(super) distinct: Vec<String>,
    /// Whether there are any.
    has_distinct: bool,
    inputs: Vec<Input>,
}

/// What stands for an aggregate.
enum Stand {
    /// A column of the groups.
    Column(usize),
    /// The sum and the count of an average: a server goes on with more digits of it than it shows.
    Average(usize, usize),
}

/// How such a query runs on several shards, and whether that is so for this very text only.
pub(super) fn finishing<'q>(
    walk: &Walk<'_>,
    query: &'q Query,
    select: &'q Select,
    clauses: &Clauses<'q>,
    scope: usize,
) -> (Result<Scatter, Reason>, bool) {
    let mut finishing = Finishing {
        walk,
        query,
        select,
        clauses,
        columns: Columns::new(walk, clauses, scope),
        keys: Vec::new(),
        visible: Vec::new(),
        aggregates: Vec::new(),
        distinct: Vec::new(),
        has_distinct: false,
        inputs: Vec::new(),
    };
    let scatter = finishing.scatter();
    (scatter, finishing.columns.of_this_text)
}

impl<'q> Finishing<'_, 'q, '_> {
    fn scatter(&mut self) -> Result<Scatter, Reason> {
        self.check()?;
        let by = self.groups()?;
        let mut edits = Vec::new();
        let computes_order = self.order(&mut edits)?;
        let computes = self.having(&mut edits)? || computes_order;
        let items = self.items(&mut edits)?;
        if self.clauses.group.is_empty() && self.aggregates.is_empty() {
            return Err(
                "HAVING without GROUP BY and aggregates is not supported on several shards: use WHERE".into(),
            );
        }
        let computes = computes || items.iter().any(|item| !matches!(item, Origin::Group(_)));
        let limit = limit_of(self.walk.text, self.query)?;
        limit.iter().try_for_each(check_numbers)?;
        let query = computes.then(|| self.finishing_query(edits));
        let aggregates = std::mem::take(&mut self.aggregates);
        let merge = Merge {
            hidden: self.columns.hidden.len(),
            rows: match self.clauses.group.is_empty() {
                true => Rows::One { aggregates },
                false => Rows::Grouped { by, aggregates },
            },
            order: Vec::new(),
            limit: if computes { None } else { limit },
        };
        let inputs = std::mem::take(&mut self.inputs);
        let finish = Finish { described: self.described()?, query, items, inputs };
        Ok(Scatter { edits: self.edits_of_shards(), merge, finish: Some(Rc::new(finish)) })
    }

    /// What is not done, whatever the columns are.
    fn check(&mut self) -> Result<(), Reason> {
        if self.walk.text.sketch.has_code {
            return Err("an expression of aggregates beside code in comments is not supported on several shards: write it \
                     without the comments"
                .into());
        }
        if matches!(self.select.distinct, Some(Distinct::Distinct | Distinct::On(_))) {
            return Err("DISTINCT beside aggregates is not supported on several shards: leave it out".into());
        }
        let mut calls = Calls::default();
        let _ = self.select.projection.visit(&mut calls);
        let _ = self.select.having.visit(&mut calls);
        let _ = self.query.order_by.visit(&mut calls);
        self.has_distinct = calls.0.iter().filter_map(Call::of).any(|call| match call.name.as_str() {
            "COUNT" if call.arguments.len() == 1 => {
                let is_key = |argument: &&Expr| self.walk.key_of(argument, self.columns.scope()).is_some();
                call.distinct && !call.arguments.iter().flatten().all(is_key)
            }
            "COUNT" | "SUM" | "AVG" => call.distinct,
            _ => false,
        }) || calls.0.iter().any(groups_rows);
        self.columns.grouped |= self.has_distinct;
        Ok(())
    }

    /// The expressions that rows are grouped by.
    fn groups(&mut self) -> Result<Vec<Compared>, Reason> {
        let clauses = self.clauses;
        let mut by = Vec::new();
        for key in &clauses.group {
            let item = self.columns.item_of_group_key(key)?;
            let item = item.and_then(|at| clauses.items.get(at));
            let (expr, tokens) = match item {
                Some(Item { expr: Some(expr), tokens, .. }) => (*expr, tokens.clone()),
                _ => (key.expr, key.tokens.clone()),
            };
            self.check_digits(expr)?;
            if !Contents::of(expr).columns {
                return Err("on several shards ORDER BY and GROUP BY must be by columns, or by plain numbers of columns".into());
            }
            let text = self.columns.copy(expr, tokens.clone())?;
            let weight = self.columns.weight(expr, tokens.clone())?;
            by.push(Compared { value: Column::Visible(self.visible.len()), weight });
            self.visible.push(text);
            self.keys.push((expr, tokens));
        }
        Ok(by)
    }

    pub(super) fn check_digits(&self, expr: &Expr) -> Result<(), Reason> {
        match Contents::of(expr).divides || Contents::of(&self.select.from).divides {
            true => Err(DIVIDES.into()),
            false => Ok(()),
        }
    }

    /// Whether an expression is one of GROUP BY.
    fn key(&mut self, expr: &Expr) -> Option<usize> {
        let at = self.keys.iter().position(|(key, _)| self.columns.same(key, expr))?;
        self.columns.of_this_text |= Contents::of_expr(expr).literals;
        Some(at)
    }

    fn items(&mut self, edits: &mut Vec<Edit>) -> Result<Vec<Origin>, Reason> {
        let clauses = self.clauses;
        let mut origins = Vec::new();
        for (at, item) in clauses.items.iter().enumerate() {
            let Some(expr) = item.expr else {
                return Err(
                    "* beside GROUP BY or aggregates is not supported on several shards: name the columns"
                        .into(),
                );
            };
            self.check_parts(expr)?;
            let column = match self.key(expr) {
                Some(column) => Some(column),
                None if is_concat(expr) => Some(self.concat(expr, item.tokens.clone())?),
                None => match Call::of(expr) {
                    Some(call) => self.item_of(&call, expr, item.tokens.clone())?,
                    None => None,
                },
            };
            match column {
                Some(column) => {
                    // A server need not know it, if the order of the rows is not by it.
                    let word = match self.is_ordered_by(at)? {
                        true => self.input(column)?,
                        false => "NULL".to_owned(),
                    };
                    edits.push(replaced(item.tokens.clone(), &word));
                    origins.push(Origin::Group(column));
                }
                None => {
                    edits.extend(self.rewritten(expr, false)?);
                    let is_average = has_hidden_digits(expr);
                    if is_average && self.is_ordered_by(at)? {
                        return Err(ORDER_OF_AVERAGES.into());
                    }
                    origins.push(if is_average { Origin::Average } else { Origin::Query });
                }
            }
        }
        Ok(origins)
    }

    fn check_parts(&self, expr: &Expr) -> Result<(), Reason> {
        let contents = Contents::of(expr);
        match (contents.parameters, contents.queries) {
            (true, _) => Err(PARAMETERS.into()),
            (_, true) => Err(QUERIES.into()),
            _ => Ok(()),
        }
    }

    /// Whether ORDER BY names an item by its number or its alias.
    fn is_ordered_by(&mut self, item: usize) -> Result<bool, Reason> {
        let clauses = self.clauses;
        for key in &clauses.order {
            let is_name = matches!(key.expr, Expr::Identifier(_)) || !Contents::of(key.expr).columns;
            if is_name && self.columns.item_of_order_key(key)? == Some(item) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the rows have an order.
    fn order(&mut self, edits: &mut Vec<Edit>) -> Result<bool, Reason> {
        let clauses = self.clauses;
        let mut has_order = false;
        for key in &clauses.order {
            if self.walk.text.operand(key.expr) == Some(Operand::Null) {
                continue;
            }
            has_order = true;
            self.check_parts(key.expr)?;
            let item = self.columns.item_of_order_key(key)?;
            let is_alias = match key.expr {
                Expr::Identifier(name) => self.columns.aliased(&name.value)?.is_some(),
                expr => item.is_some() && !Contents::of(expr).columns && !Contents::of(expr).aggregates,
            };
            if is_alias {
                continue;
            }
            let column = match (self.key(key.expr), Call::of(key.expr)) {
                (Some(column), _) => Some(column),
                (None, Some(call)) => self.column_of(&call, key.expr, key.tokens.clone())?,
                (None, None) => None,
            };
            match column {
                Some(column) => {
                    let word = self.input(column)?;
                    edits.push(replaced(key.tokens.clone(), &word));
                }
                None if has_hidden_digits(key.expr) => {
                    self.columns.of_this_text |= Contents::of_expr(key.expr).literals;
                    return Err(ORDER_OF_AVERAGES.into());
                }
                None => edits.extend(self.rewritten(key.expr, false)?),
            }
        }
        Ok(has_order)
    }

    /// Whether there is a HAVING.
    fn having(&mut self, edits: &mut Vec<Edit>) -> Result<bool, Reason> {
        let Some(having) = &self.select.having else { return Ok(false) };
        if Contents::of(having).queries {
            return Err(QUERIES.into());
        }
        if Contents::of(having).unsteady {
            return Err(
                "on several shards HAVING cannot have functions like RAND() in it: filter in the application"
                    .into(),
            );
        }
        edits.extend(self.rewritten(having, true)?);
        let place = self.clauses.places.having.clone().unwrap_or_default();
        for token in place.filter(|token| self.walk.text.kind(*token) == Some(SketchKind::Parameter)) {
            let with = self.walk.text.parameter(token).map(Piece::Parameter).into_iter().collect();
            edits.push(Edit { tokens: token..token + 1, with });
        }
        Ok(true)
    }

    /// The changes that put columns of the groups into an expression.
    fn rewritten(&mut self, expr: &Expr, in_having: bool) -> Result<Vec<Edit>, Reason> {
        let mut parts = Parts::default();
        let _ = expr.visit(&mut parts);
        // To how many digits an average is rounded decides something.
        let has_average = parts.found.iter().any(has_hidden_digits);
        self.columns.of_this_text |= has_average && Contents::of_expr(expr).literals;
        if (in_having && has_hidden_digits(expr)) || !is_known(expr) {
            return Err(AVERAGES.into());
        }
        if parts.of_epoch {
            return Err("on several shards UNIX_TIMESTAMP of an aggregate is not supported, since a time may be twice in the time zone: \
                        take the aggregate of UNIX_TIMESTAMP"
                .into());
        }
        let mut edits = Vec::new();
        for part in parts.found {
            let tokens = self.place(&part)?;
            let word = match (Call::of(&part), &part) {
                _ if is_concat(&part) => {
                    if in_having {
                        self.columns.check_no_alias(&part)?;
                    }
                    let column = self.concat(&part, tokens.clone())?;
                    self.input(column)?
                }
                (Some(call), _) => {
                    if in_having {
                        self.columns.check_no_alias(&part)?;
                    }
                    match self.stand_of(&call, &part, tokens.clone())? {
                        Stand::Column(column) => self.input(column)?,
                        Stand::Average(sum, count) => self.average(&part, tokens.clone(), sum, count)?,
                    }
                }
                (None, Expr::Function(_)) => return Err(unmergeable(&part)),
                (None, Expr::Identifier(name)) if in_having => self.named(name, &part)?,
                (None, _) => {
                    let column = self.key(&part).ok_or(NOT_GROUPED)?;
                    self.input(column)?
                }
            };
            edits.push(replaced(tokens, &word));
        }
        Ok(edits)
    }

    /// A name without a qualifier in HAVING, which may be an alias.
    fn named(&mut self, name: &Ident, expr: &Expr) -> Result<String, Reason> {
        let clauses = self.clauses;
        let item = self.columns.aliased(&name.value)?.and_then(|at| clauses.items.get(at));
        let Some(Item { expr: Some(item), tokens, .. }) = item else {
            let column = self.key(expr).ok_or(NOT_GROUPED)?;
            return self.input(column);
        };
        match (self.key(expr), self.key(item)) {
            (None, Some(column)) => self.input(column),
            (Some(column), of_item) if of_item == Some(column) => self.input(column),
            (Some(_), _) => {
                Err(format!("`{}` is an alias and a column too: give the alias another name", name.value)
                    .into())
            }
            (None, None) => {
                self.check_parts(item)?;
                if Contents::of_expr(item).unsteady {
                    return Err(format!(
                        "`{}` is not the same each time: filter in the application",
                        name.value
                    )
                    .into());
                }
                if has_hidden_digits(item) {
                    self.columns.of_this_text |= Contents::of_expr(item).literals;
                    return Err(AVERAGES.into());
                }
                let edits = self.rewritten(item, false)?;
                Ok(format!("({})", self.text_of(tokens.clone(), edits)))
            }
        }
    }

    /// The merged column that is this aggregate as it is shown, if there is one.
    fn item_of(&mut self, call: &Call<'_>, expr: &Expr, tokens: Range<u32>) -> Result<Option<usize>, Reason> {
        match deviation(&call.name).filter(|_| !call.distinct) {
            Some(kind) => {
                let text = self.columns.copy(expr, tokens.clone())?;
                let aggregate = self.columns.deviation(expr, tokens.start + 1..tokens.end, kind)?;
                Ok(Some(self.show(text, Some(aggregate))))
            }
            None => self.column_of(call, expr, tokens),
        }
    }

    /// The merged column that is this aggregate to the last digit, if there is one.
    fn column_of(
        &mut self,
        call: &Call<'_>,
        expr: &Expr,
        tokens: Range<u32>,
    ) -> Result<Option<usize>, Reason> {
        match self.stand_of(call, expr, tokens.clone())? {
            Stand::Column(column) => Ok(Some(column)),
            Stand::Average(..) if call.distinct => Ok(None),
            Stand::Average(sum, count) => {
                let text = self.columns.copy(expr, tokens)?;
                let average = Aggregate::Avg { sum: Column::Visible(sum), count: Column::Visible(count) };
                Ok(Some(self.show(text, Some(average))))
            }
        }
    }

    /// What stands for an aggregate among the merged columns.
    fn stand_of(&mut self, call: &Call<'_>, expr: &Expr, tokens: Range<u32>) -> Result<Stand, Reason> {
        let name = call.name.as_str();
        let text = self.columns.copy(expr, tokens.clone())?;
        if matches!(name, "SUM" | "AVG") {
            self.check_digits(expr)?;
        }
        let arguments = tokens.start + 1..tokens.end;
        let distinct = call.distinct && self.has_distinct;
        let aggregate = match name {
            "COUNT" if distinct => Aggregate::CountDistinct { of: self.told_apart(call, tokens)?.into() },
            "SUM" if distinct => match self.told_apart(call, tokens)?.as_slice() {
                [of] => Aggregate::SumDistinct { of: *of },
                _ => return Err(unmergeable(expr)),
            },
            "AVG" if distinct => {
                let of = self.told_apart(call, tokens)?;
                let [one] = of.as_slice() else { return Err(unmergeable(expr)) };
                let arguments = self.walk.text.slice(arguments);
                let sum = self.show(format!("SUM{arguments}"), Some(Aggregate::SumDistinct { of: *one }));
                let count = Aggregate::CountDistinct { of: of.into() };
                return Ok(Stand::Average(sum, self.show(format!("COUNT{arguments}"), Some(count))));
            }
            "COUNT" => Aggregate::Count,
            "SUM" if !call.distinct => Aggregate::Sum,
            "MIN" => Aggregate::Min { weight: self.columns.weight(expr, tokens)? },
            "MAX" => Aggregate::Max { weight: self.columns.weight(expr, tokens)? },
            "AVG" if !call.distinct => {
                let arguments = self.walk.text.slice(arguments);
                let sum = self.show(format!("SUM{arguments}"), Some(Aggregate::Sum));
                return Ok(Stand::Average(
                    sum,
                    self.show(format!("COUNT{arguments}"), Some(Aggregate::Count)),
                ));
            }
            name if !call.distinct
                && let Some(kind) = deviation(name) =>
            {
                // With all its digits.
                let column = format!("{name}({} + 0e0)", self.walk.text.slice(arguments.clone()));
                let aggregate = self.columns.deviation(expr, arguments, kind)?;
                return Ok(Stand::Column(self.show(column, Some(aggregate))));
            }
            "BIT_AND" => Aggregate::BitAnd,
            "BIT_OR" => Aggregate::BitOr,
            "BIT_XOR" if !call.distinct => Aggregate::BitXor,
            _ => return Err(unmergeable(expr)),
        };
        Ok(Stand::Column(self.show(text, Some(aggregate))))
    }

    /// The arguments of an aggregate with DISTINCT, as hidden columns that tell them apart. Shards group by them.
    fn told_apart(&mut self, call: &Call<'_>, tokens: Range<u32>) -> Result<Vec<Compared>, Reason> {
        let inside = tokens.start + 3..tokens.end.saturating_sub(1);
        let text = self.walk.text;
        let places = split(text, inside);
        if !text.is(tokens.start + 2, "DISTINCT") || places.len() != call.arguments.len() {
            return Err("where the arguments of an aggregate are is not clear".into());
        }
        let mut told = Vec::new();
        for (argument, tokens) in call.arguments.iter().zip(places) {
            let argument = argument.ok_or("DISTINCT in an aggregate must be of columns")?;
            self.check_digits(argument)?;
            if !Contents::of(argument).columns {
                return Err("on several shards DISTINCT in an aggregate must be of columns: name them".into());
            }
            let text = self.columns.copy(argument, tokens.clone())?;
            let value = self.columns.hide(argument, "", tokens.clone())?;
            told.push(Compared { value, weight: self.columns.weight(argument, tokens)? });
            if !self.distinct.contains(&text) {
                self.distinct.push(text);
            }
        }
        Ok(told)
    }

    /// A column of the groups.
    pub(super) fn show(&mut self, text: String, aggregate: Option<Aggregate>) -> usize {
        let shown = self.visible.iter().skip(self.keys.len()).position(|shown| *shown == text);
        let at = shown.map_or(self.visible.len(), |at| at + self.keys.len());
        if shown.is_none() {
            self.visible.push(text);
        }
        if !self.aggregates.iter().any(|(known, _)| *known == at) {
            self.aggregates.extend(aggregate.map(|aggregate| (at, aggregate)));
        }
        at
    }

    /// The name of a column in the table of groups.
    fn input(&mut self, column: usize) -> Result<String, Reason> {
        let at = match self.inputs.iter().position(|input| input.column == column && input.average.is_none())
        {
            Some(at) => at,
            None => {
                let Some(text) = self.visible.get(column) else { return Err(NOT_GROUPED.into()) };
                // Of a group's key a server may not know that it is the same in all rows.
                let aggregate = self.aggregates.iter().find(|(at, _)| *at == column);
                let text = match aggregate {
                    None => Some(format!("MIN(COLLATION({text}))")),
                    Some((_, Aggregate::Min { .. } | Aggregate::Max { .. } | Aggregate::Concat(_))) => {
                        Some(format!("COLLATION({text})"))
                    }
                    Some(_) => None,
                };
                let collation = text.map(|text| self.show(text, None));
                self.inputs.push(Input { column, collation, average: None });
                self.inputs.len() - 1
            }
        };
        Ok(format!("athena_{at}"))
    }

    /// The name of an average in the table of groups.
    fn average(
        &mut self,
        expr: &Expr,
        tokens: Range<u32>,
        sum: usize,
        count: usize,
    ) -> Result<String, Reason> {
        let text = self.columns.copy(expr, tokens)?;
        // Of an average with DISTINCT it is there for its type only.
        let column = self.show(text, None);
        let average = Some((sum, count));
        let at = self.inputs.iter().position(|input| input.average == average).unwrap_or(self.inputs.len());
        if at == self.inputs.len() {
            self.inputs.push(Input { column, collation: None, average });
        }
        Ok(format!("athena_{at}"))
    }
}

fn unmergeable(expr: &Expr) -> Reason {
    let Expr::Function(function) = expr else { return NOT_GROUPED.into() };
    let name = function_name(function).to_ascii_uppercase();
    let distinct = match Call::of(expr) {
        Some(Call { distinct: true, .. }) => "DISTINCT ",
        _ => "",
    };
    format!(
        "{name}({distinct}...) is not supported on several shards: group by the sharding column too, or compute it in the \
         application"
    )
    .into()
}
