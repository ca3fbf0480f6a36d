//! Questions to `information_schema`: the server knows the tables of shards, its client the ones that they are parts of.
//!
//! A literal that a column of tables' names is compared with becomes the name of the first shard's table, and in the answer that
//! has the name which the client knows; rows about the tables of other shards are left out. What a server counts over them it
//! counts.

use crate::net::Payload;
use crate::parser::{Facts, Hazards, Sketch, SketchKind, SqlMode, StatementKind};
use crate::router::sharding::{Value, physical};

use super::super::driver::Session;
use super::super::failure::Stop;
use super::tables::ShardedTables;
use super::text::{OF_ONE_LINK, query};

/// How the names of columns end that have tables' names in them.
const COLUMNS: [&[u8]; 3] = [b"table_name", b"event_object_table", b"object_name"];

impl ShardedTables {
    /// A question in the names of the first shard; `None` if it is none to `information_schema`.
    fn in_server_names(&self, sql: &[u8], sketch: &Sketch, mode: SqlMode) -> Option<Vec<u8>> {
        let word = |at: u32| sketch.text(sql, at);
        let all = 0..u32::try_from(sketch.tokens.len()).unwrap_or(0);
        let asks =
            |at| sketch.name(sql, at).is_some_and(|name| name.eq_ignore_ascii_case(b"information_schema"));
        if !all.clone().any(asks) {
            return None;
        }
        let (mut out, mut done) = (Vec::with_capacity(sql.len() + 16), 0);
        for at in all {
            let Some(token) = sketch.tokens.get(at as usize) else { continue };
            if token.kind != SketchKind::String || !is_compared(at, sketch, &word) {
                continue;
            }
            let value = Value::of_literal(word(at), false, !mode.no_backslash_escapes);
            let Value::Text(name) = value else { continue };
            let Some(name) = std::str::from_utf8(&name).ok().filter(|_| self.rules.rule_of(&name).is_some())
            else {
                continue;
            };
            out.extend_from_slice(sql.get(done..token.start as usize).unwrap_or_default());
            out.extend_from_slice(format!("'{}'", physical(name, 0).replace('\'', "''")).as_bytes());
            done = token.end as usize;
        }
        out.extend_from_slice(sql.get(done..).unwrap_or_default());
        Some(out)
    }
}

/// Whether a literal stands where a column of tables' names is compared with it: `table_name = 'a'`, `table_name IN ('a', 'b')`.
fn is_compared<'a>(at: u32, sketch: &Sketch, word: &dyn Fn(u32) -> &'a [u8]) -> bool {
    let mut before = at;
    // Back over the list that it is in.
    while let Some(previous) = before.checked_sub(1) {
        let kind = sketch.tokens.get(previous as usize).map(|token| token.kind);
        if kind != Some(SketchKind::String) && !matches!(word(previous), b"," | b"(") {
            break;
        }
        before = previous;
    }
    let Some(operator) = before.checked_sub(1) else { return false };
    let compares = [&b"="[..], b"in", b"like"].iter().any(|text| word(operator).eq_ignore_ascii_case(text));
    let column = operator.checked_sub(1).map(word).unwrap_or_default();
    let column = column.strip_prefix(b"`").and_then(|name| name.strip_suffix(b"`")).unwrap_or(column);
    compares
        && COLUMNS.iter().any(|name| {
            column.len() >= name.len() && column[column.len() - name.len()..].eq_ignore_ascii_case(name)
        })
}

impl Session {
    /// COM_QUERY with a question to `information_schema`, where tables are sharded; `None` for anything else.
    pub(in crate::session) async fn schema_of_shards(
        &mut self,
        command: &Payload,
        facts: Facts,
    ) -> Result<Option<Payload>, Stop> {
        let Some(tables) = self.home().tables.clone() else { return Ok(None) };
        let asks = facts.kind == StatementKind::Select && facts.hazards.contains(Hazards::SERVER_TABLES);
        if !asks || facts.hazards.intersects(OF_ONE_LINK) || facts.has_effects() {
            return Ok(None);
        }
        let (head, sql) = self.head_and_text(command)?;
        let mode = self.sql_mode();
        let asked = tables.in_server_names(sql, &tables.sketch_of(sql, mode), mode);
        let Some(asked) = asked else { return Ok(None) };
        let changed = self.answered_with_changes(query(head, &asked)?, facts, |_, rows| {
            let is_of_others = |value: &Option<Vec<u8>>| {
                value.as_deref().and_then(|name| tables.logical(name)).is_some_and(|(_, shard)| shard > 0)
            };
            rows.retain(|row| !row.iter().any(is_of_others));
            for value in rows.iter_mut().flatten().flatten() {
                if let Some(logical) = tables.logical(value).map(|(name, _)| name.to_vec()) {
                    *value = logical;
                }
            }
        });
        changed.await.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tables_are_found_where_they_are_compared() {
        let compared = |sql: &str| {
            let mut sketch = Sketch::default();
            sketch.read(sql.as_bytes(), SqlMode::default());
            let word = |at: u32| sketch.text(sql.as_bytes(), at);
            let tokens = 0..u32::try_from(sketch.tokens.len()).unwrap();
            let strings = tokens.filter(|at| sketch.tokens[*at as usize].kind == SketchKind::String);
            strings.filter(|at| is_compared(*at, &sketch, &word)).count()
        };
        assert_eq!(compared("SELECT 1 FROM t WHERE table_schema = 'a' AND TABLE_NAME = 'users'"), 1);
        assert_eq!(compared("SELECT 1 FROM t WHERE t.`table_name` IN ('users', 'orders')"), 2);
        assert_eq!(compared("SELECT 1 FROM t WHERE referenced_table_name LIKE 'users'"), 1);
        assert_eq!(compared("SELECT 'table_name', 'x' FROM t WHERE name = 'users'"), 0);
        assert_eq!(compared("'users'"), 0);
    }
}
