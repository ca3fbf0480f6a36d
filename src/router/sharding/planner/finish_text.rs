//! The texts of a statement whose groups a server has to compute something of: see `finish`.

use std::ops::Range;

use sqlparser::ast::Expr;

use super::super::plan::{Edit, Piece, Reason};
use super::aggregate::Contents;
use super::finish::{Finishing, NOT_GROUPED};
use super::walk::last_ident;
use crate::parser::SketchKind;

impl Finishing<'_, '_, '_> {
    /// The words of these tokens with changes.
    pub(super) fn text_of(&mut self, tokens: Range<u32>, mut edits: Vec<Edit>) -> String {
        edits.sort_by_key(|edit| edit.tokens.start);
        let text = self.walk.text;
        let value = |token| matches!(text.kind(token), Some(SketchKind::Number | SketchKind::String));
        self.columns.of_this_text |= tokens.clone().any(value);
        let (mut out, mut done) = (String::new(), tokens.start);
        for Edit { tokens, with } in edits {
            out += &text.slice(done..tokens.start);
            for piece in with {
                if let Piece::Text(text) = piece {
                    out += &format!(" {text} ");
                }
            }
            done = tokens.end;
        }
        out + &text.slice(done..tokens.end)
    }

    /// The tokens of an aggregate or of a column.
    pub(super) fn place(&self, part: &Expr) -> Result<Range<u32>, Reason> {
        let text = self.walk.text;
        match part {
            Expr::Function(function) => {
                let name = last_ident(&function.name).ok_or(NOT_GROUPED)?;
                let start = text.ident(name)?;
                let unclear = || Reason::from("where an aggregate ends is not clear");
                if !text.is_byte(start + 1, "(") {
                    return Err(unclear());
                }
                let mut depth = 0;
                for token in start + 1..text.end() {
                    depth += i32::from(text.is_byte(token, "(")) - i32::from(text.is_byte(token, ")"));
                    if depth == 0 {
                        return Ok(start..token + 1);
                    }
                }
                Err(unclear())
            }
            Expr::Identifier(name) => text.ident(name).map(|token| token..token + 1),
            Expr::CompoundIdentifier(parts) => match (parts.first(), parts.last()) {
                (Some(first), Some(last)) => Ok(text.ident(first)?..text.ident(last)? + 1),
                _ => Err(NOT_GROUPED.into()),
            },
            _ => Err(NOT_GROUPED.into()),
        }
    }

    /// The query about the groups.
    pub(super) fn finishing_query(&self, mut edits: Vec<Edit>) -> Vec<Edit> {
        let places = &self.clauses.places;
        let from = self.clauses.from;
        let text = |text: &str| Piece::Text(text.into());
        let mut with = vec![text(", athena_row FROM "), Piece::Groups, text(" AS athena ")];
        let limit = self.clauses.limit.as_ref().map(|limit| limit.start);
        let rest = places.order.as_ref().map(|order| order.start).or(limit).unwrap_or(places.tail.start);
        let until = match &places.having {
            Some(having) => {
                with.push(text("WHERE "));
                having.start + 1
            }
            None => rest,
        };
        edits.push(Edit { tokens: from..until, with });
        if !places.tail.is_empty() {
            edits.push(Edit { tokens: places.tail.clone(), with: Vec::new() });
        }
        sorted(edits)
    }

    /// What each shard is asked: for the groups' values.
    pub(super) fn edits_of_shards(&self) -> Vec<Edit> {
        let clauses = self.clauses;
        let places = &clauses.places;
        let mut edits = self.walk.edits.clone();
        let start = clauses.items.first().map_or(1, |item| item.tokens.start);
        let columns = [&self.visible[..], &self.columns.hidden[..]].concat();
        edits.push(replaced(start..clauses.from, &format!("{} ", columns.join(", "))));
        let mut by: Vec<String> =
            self.keys.iter().map(|(_, tokens)| self.walk.text.slice(tokens.clone())).collect();
        by.extend(self.distinct.iter().filter(|text| !by.contains(text)).cloned().collect::<Vec<_>>());
        let group = match by.is_empty() {
            true => String::new(),
            false => format!(" GROUP BY {} ", by.join(", ")),
        };
        let place = places.group.clone().unwrap_or(places.first..places.first);
        edits.push(replaced(place, &group));
        if let Some(having) = &places.having {
            edits.push(replaced(having.clone(), &self.parameters_kept(having)));
        }
        for place in places.order.iter().chain(&clauses.limit) {
            edits.push(replaced(place.clone(), ""));
        }
        edits.retain(|edit| !edit.tokens.is_empty() || !is_empty(edit));
        sorted(edits)
    }

    /// A HAVING that holds always, with the parameters of that which shards don't have: an EXECUTE has values for them.
    fn parameters_kept(&self, having: &Range<u32>) -> String {
        let is_parameter = |token: &u32| self.walk.text.kind(*token) == Some(SketchKind::Parameter);
        match having.clone().filter(is_parameter).count() {
            0 => String::new(),
            count => format!(" HAVING {} ", vec!["(? IS NULL) < 2"; count].join(" AND ")),
        }
    }

    /// The statement itself, without rows. What its parameters are makes no difference to its columns.
    pub(super) fn described(&self) -> Result<Vec<Edit>, Reason> {
        let text = self.walk.text;
        let clauses = self.clauses;
        let of_tables = Contents::of(&self.select.from);
        if of_tables.parameters && of_tables.queries {
            return Err("on several shards a query in FROM cannot have ? beside aggregates: write the values in the text".into());
        }
        let mut edits = self.walk.edits.clone();
        for token in (0..text.end()).filter(|token| text.kind(*token) == Some(SketchKind::Parameter)) {
            if text.is_any(token.saturating_sub(1), &["LIMIT", "OFFSET"]) {
                return Err(
                    "on several shards LIMIT with ? in a sub-query is not supported beside aggregates".into(),
                );
            }
            // NULL is of any type, but has no collation.
            edits.push(match text.parameter(token).filter(|_| text.is(token + 1, "COLLATE")) {
                Some(number) => Edit { tokens: token..token + 1, with: vec![Piece::Parameter(number)] },
                None => replaced(token..token + 1, " NULL "),
            });
        }
        let tail = clauses.places.tail.start;
        edits.push(replaced(clauses.limit.clone().unwrap_or(tail..tail), " LIMIT 0 "));
        Ok(sorted(edits))
    }
}

fn is_empty(edit: &Edit) -> bool {
    edit.with.iter().all(|piece| matches!(piece, Piece::Text(text) if text.is_empty()))
}

pub(super) fn replaced(tokens: Range<u32>, with: &str) -> Edit {
    Edit { tokens, with: vec![Piece::Text(with.into())] }
}

pub(super) fn sorted(mut edits: Vec<Edit>) -> Vec<Edit> {
    edits.sort_by_key(|edit| (edit.tokens.start, edit.tokens.end));
    edits
}
