//! From a text to a verdict.

use std::rc::Rc;

use sqlparser::ast::{Query, Statement};

use super::super::plan::{Action, Condition, Plan, Reason, Verdict};
use super::definition::definition;
use super::finish_text::sorted;
use super::global::of_global_tables;
use super::insert::unlisted;
use super::scatter::scatter;
use super::text::Text;
use super::union::is_union;
use super::walk::Walk;
use super::write::is_physical;
use super::{Tables, Use};
use crate::parser::{Sketch, SketchKind, is_server_schema};

/// Whether the name of a sharded or global table is in a text at all. If not, it need not be planned.
pub fn mentions(sql: &str, sketch: &Sketch, tables: &dyn Tables) -> bool {
    names(sql, sketch, &|name| tables.known(name).is_some())
}

/// Whether a name like this is in a text, but for what is the server's own.
fn names(sql: &str, sketch: &Sketch, is_wanted: &dyn Fn(&[u8]) -> bool) -> bool {
    let mut before = None;
    sketch.tokens.iter().zip(0_u32..).any(|(token, at)| {
        let name = match token.kind {
            SketchKind::Word | SketchKind::Quoted => sketch.name(sql.as_bytes(), at),
            _ => None,
        };
        // `mysql.users` is none of ours.
        let server = sketch.text(sql.as_bytes(), at.wrapping_sub(1)) == b"."
            && before.as_ref().is_some_and(|schema: &Vec<u8>| is_server_schema(schema));
        let found = !server && name.as_ref().is_some_and(|name| is_wanted(name));
        if name.is_some() {
            before = name;
        }
        found
    })
}

/// What is to be done with a statement that mentions sharded tables.
pub fn plan(sql: &str, sketch: &Sketch, tables: &dyn Tables) -> Verdict {
    if !mentions(sql, sketch, tables) {
        return Verdict::Home;
    }
    let plain = sketch.has_code.then(|| without_comments(sql, sketch));
    match usage(&mut Text::new(plain.as_deref().unwrap_or(sql), sketch), tables) {
        Ok(Use::Home) => Verdict::Home,
        Ok(Use::Sharded { rule, action, edits, beside, of_this_text }) => {
            let edits = sorted(edits);
            Verdict::Sharded(Rc::new(Plan { rule, action, edits, beside, of_this_text }))
        }
        Err(reason) => Verdict::Refused(reason),
    }
}

/// The text with its tokens where they are, and nothing but blanks between them: code in comments is code then.
fn without_comments(sql: &str, sketch: &Sketch) -> String {
    let mut plain = vec![b' '; sql.len()];
    for token in &sketch.tokens {
        let range = token.start as usize..token.end as usize;
        if let (Some(to), Some(from)) = (plain.get_mut(range.clone()), sql.as_bytes().get(range)) {
            to.copy_from_slice(from);
        }
    }
    String::from_utf8(plain).unwrap_or_default()
}

fn usage(text: &mut Text<'_>, tables: &dyn Tables) -> Result<Use, Reason> {
    let is_sharded = names(text.sql, text.sketch, &|name| tables.rule_of(name).is_some());
    if text.sketch.doubtful && is_sharded {
        return Err("words that servers may read in two ways cannot be beside sharded tables: write the statement without them"
            .into());
    }
    if (0..text.end()).any(|token| text.is_byte(token, ";")) {
        return Err(
            "several statements in one text cannot use sharded or global tables: send them one by one".into(),
        );
    }
    if !is_sharded {
        return of_global_tables(text, tables);
    }
    if let Some(usage) = definition(text, tables) {
        return usage;
    }
    if let Some(unlisted) = unlisted(text, tables) {
        return Ok(unlisted);
    }
    let statement = match text.parse() {
        Err(_) if !may_use(text, &|name| tables.rule_of(name).is_some()) => return Ok(Use::Home),
        parsed => parsed?,
    };
    let mut walk = Walk::new(text, tables);
    let (action, of_this_text) = walk.statement(&statement)?;
    walk.check_all_found(&statement)?;
    let Some(first) = walk.occurrences.first() else {
        return match walk.global_in(&statement) {
            // The name of a sharded one is something else here.
            Some(_) => of_global_tables(text, tables),
            None => Ok(Use::Home),
        };
    };
    let rule = first.rule;
    if walk.occurrences.iter().any(|occurrence| occurrence.rule != rule) {
        return Err("tables of several sharding rules cannot be in one statement".into());
    }
    walk.check_no_physical()?;
    if let Some(table) = walk.written_global(&statement)? {
        return Err(format!(
            "a write of the global table `{table}` cannot use sharded tables: read first, then write the values"
        )
        .into());
    }
    let beside = walk.table_beside(&statement);
    Ok(Use::Sharded { rule, action, edits: walk.edits, beside, of_this_text })
}

/// Whether a name like this stands where a table's can be.
pub(super) fn may_use(text: &Text<'_>, is_wanted: &dyn Fn(&[u8]) -> bool) -> bool {
    let named = |token| text.name(token).is_some_and(|name| is_wanted(name.as_bytes()));
    (0..text.len()).any(|token| named(token) && text.may_be_table(token))
}

impl Walk<'_> {
    /// Goes through a statement. What is answered counts only if there are sharded tables in it.
    fn statement(&mut self, statement: &Statement) -> Result<(Action, bool), Reason> {
        match statement {
            Statement::Query(query) => self.read(query),
            Statement::Update(update) => Ok((self.update(update)?, false)),
            Statement::Delete(delete) => Ok((self.delete(delete)?, false)),
            Statement::Insert(insert) => Ok((self.insert(insert)?, false)),
            Statement::Explain { statement, analyze: true, .. }
                if !matches!(**statement, Statement::Query(_)) =>
            {
                Err("EXPLAIN ANALYZE of a statement that writes is not supported with sharded tables".into())
            }
            Statement::Explain { statement, .. } => {
                let (of, of_this_text) = self.statement(statement)?;
                let sharded = |table: &&super::scope::Table| table.occurrence.is_some();
                let tables = self.scopes.iter().flat_map(|scope| &scope.tables).filter(sharded);
                let tables = tables.map(|table| table.name.as_str().into()).collect();
                Ok((Action::Explain { of: Box::new(of), tables }, of_this_text))
            }
            _ => {
                Err("a statement of this kind cannot use sharded tables: address the physical tables".into())
            }
        }
    }

    /// That no table, and no alias, is named as a shard of a table beside it: replies would take it for that one.
    fn check_no_physical(&self) -> Result<(), Reason> {
        let names = self.scopes.iter().flat_map(|scope| &scope.tables).map(|table| &table.name);
        let is_of = |name: &str| self.occurrences.iter().any(|of| is_physical(name, &of.table));
        names.into_iter().find(|name| is_of(name)).map_or(Ok(()), |name| {
            Err(format!("`{name}` is the name of a shard of a table beside it: use another alias").into())
        })
    }

    fn read(&mut self, query: &Query) -> Result<(Action, bool), Reason> {
        let scope = self.query(query, None)?;
        let (scatter, of_this_text) = scatter(self, query, scope);
        let mut groups = self.conditions();
        // Each shard has its rows of all of them.
        if is_union(query) && scatter.is_ok() && groups.len() > 1 {
            groups = vec![Condition::Or(groups)];
        }
        Ok((Action::Read { groups, scatter }, of_this_text))
    }
}
