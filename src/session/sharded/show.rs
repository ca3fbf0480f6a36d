//! What servers say of their tables, with the names that clients know.

use foldhash::HashMap;

use crate::net::Payload;
use crate::parser::{Facts, Sketch, SketchKind};
use crate::protocol::buf::{Reader, WriteExt};
use crate::protocol::column_definition::ColumnDefinition;
use crate::protocol::packet::{HEADER_LEN, command_packet};
use crate::protocol::reply::Renames;
use crate::protocol::resultset::{TextValue, text_resultset};
use crate::router::sharding::{MergeError, physical};

use super::super::driver::Session;
use super::super::failure::{Refusal, Stop};
use super::super::seen::Seen;
use super::super::servers::Errand;
use super::collect::{Part, Take};
use super::tables::ShardedTables;
use super::text::query;

/// What stands for NULL in a text row.
const NULL: u8 = 0xFB;

/// SHOW TABLES, SHOW TABLE STATUS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShowTables {
    /// Rows have what a table is, and the sizes of parts add up.
    has_status: bool,
    /// Where its LIKE begins, in bytes of the text: the server is not asked that.
    like_at: Option<usize>,
    pattern: Option<Vec<u8>>,
}

/// Reads one of them. `None` for anything else.
///
/// # Errors
/// It has a WHERE, which the server would look at with its own names.
pub(super) fn show_tables(sql: &[u8], sketch: &Sketch) -> Option<Result<ShowTables, Refusal>> {
    let word = |at: u32| sketch.text(sql, at);
    let is = |at: u32, text: &str| word(at).eq_ignore_ascii_case(text.as_bytes());
    let mut at = 1;
    if !is(0, "show") {
        return None;
    }
    while is(at, "full") || is(at, "extended") {
        at += 1;
    }
    let has_status = is(at, "table") && is(at + 1, "status");
    if !has_status && !is(at, "tables") {
        return None;
    }
    at += if has_status { 2 } else { 1 };
    if is(at, "from") || is(at, "in") {
        at += 2;
    }
    let token = |at: u32| sketch.tokens.get(at as usize);
    match token(at) {
        None => Some(Ok(ShowTables { has_status, like_at: None, pattern: None })),
        Some(like) if is(at, "like") && token(at + 1).is_some_and(|next| next.kind == SketchKind::String) => {
            let quoted = word(at + 1);
            let pattern = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_vec();
            Some(Ok(ShowTables { has_status, like_at: Some(like.start as usize), pattern: Some(pattern) }))
        }
        Some(_) if word(at) == b";" => Some(Ok(ShowTables { has_status, like_at: None, pattern: None })),
        Some(_) => Some(Err(Refusal::show_where())),
    }
}

impl ShardedTables {
    /// The logical table that a server's is a part of, and the shard.
    pub(super) fn logical<'a>(&self, name: &'a [u8]) -> Option<(&'a [u8], u32)> {
        let at = name.iter().rposition(|byte| *byte == b'_')?;
        let digits = std::str::from_utf8(name.get(at + 1..)?).ok()?;
        let shard: u32 = digits.parse().ok().filter(|shard: &u32| shard.to_string() == digits)?;
        let logical = name.get(..at)?;
        let rule = self.rules.rule(self.rules.rule_of(logical)?)?;
        (shard < rule.shards).then_some((logical, shard))
    }

    /// A text in which the tables of the first shard have the names that clients know.
    fn in_logical_names(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let is_letter =
            |byte: &u8| byte.is_ascii_alphanumeric() || *byte >= 0x80 || matches!(byte, b'_' | b'$');
        let mut rest = text;
        while let Some(first) = rest.first() {
            let of_word = is_letter(first);
            let len = rest.iter().take_while(|byte| is_letter(byte) == of_word).count();
            let (word, after) = rest.split_at(len);
            out.extend_from_slice(match self.logical(word) {
                Some((logical, 0)) if of_word => logical,
                _ => word,
            });
            rest = after;
        }
        out
    }
}

impl Session {
    /// SHOW TABLES and SHOW TABLE STATUS: each sharded table once.
    pub(super) async fn show_tables(
        &mut self,
        head: &[u8],
        sql: &[u8],
        facts: Facts,
        show: ShowTables,
    ) -> Result<Payload, Stop> {
        let Some(tables) = self.home().tables.clone() else { return Err(Refusal::malformed().into()) };
        let asked = show.like_at.and_then(|at| sql.get(..at)).unwrap_or(sql);
        let command = query(head, asked)?;
        let is_like = show.pattern.clone();
        let mut elsewhere = Vec::new();
        for at in tables.further_servers(self.account.cluster) {
            self.go_to(at, Errand::Question).await?;
            // One without the schema has none of its tables.
            let of_server = |_: &mut Vec<_>, rows: &mut Vec<Vec<TextValue>>| {
                let is_shard = |row: &Vec<TextValue>| {
                    row.first()
                        .is_some_and(|name| name.as_ref().is_some_and(|name| tables.logical(name).is_some()))
                };
                elsewhere.extend(rows.drain(..).filter(is_shard));
            };
            Box::pin(self.answered_with_changes(query(head, asked)?, facts, of_server)).await?;
        }
        self.go_to(self.account.cluster, Errand::Question).await?;
        self.answered_with_changes(command, facts, |columns, rows| {
            if let (false, Some(pattern), Some(first)) = (show.has_status, &is_like, columns.first_mut()) {
                *first = named_like(first, pattern);
            }
            rows.append(&mut elsewhere);
            if show.has_status {
                add_up(columns, rows, |name| tables.logical(name));
            }
            rows.retain_mut(|row| {
                let Some(Some(name)) = row.first_mut() else { return true };
                let logical = match tables.logical(name) {
                    Some((logical, 0)) => Some(logical.to_vec()),
                    Some(_) => return false,
                    None => None,
                };
                if let Some(logical) = logical {
                    *name = logical;
                }
                is_like.as_ref().is_none_or(|pattern| like(name, pattern))
            });
            rows.sort();
        })
        .await
    }

    /// COM_FIELD_LIST of a sharded table: what it has on the first shard.
    pub(in crate::session) fn fields_of_first_shard(&mut self, command: &Payload) -> Option<Payload> {
        let tables = self.home().tables.clone()?;
        let (code, arguments) = command.get(HEADER_LEN..)?.split_first()?;
        let end = memchr::memchr(0, arguments)?;
        let (table, wild) = arguments.split_at(end);
        tables.rules.rule_of(table)?;
        let physical = physical(std::str::from_utf8(table).ok()?, 0).into_bytes();
        let bytes = command_packet(&[&[*code], &physical[..], wild].concat());
        self.renames = Renames::new([(physical, table.to_vec())], []);
        Some(bytes.into())
    }

    /// What the first shard says of its table.
    pub(super) async fn describe(&mut self, command: Payload, facts: Facts) -> Result<Payload, Stop> {
        let Some(tables) = self.home().tables.clone() else { return Err(Refusal::malformed().into()) };
        self.answered_with_changes(command, facts, |_, rows| {
            for value in rows.iter_mut().flatten().flatten() {
                *value = tables.in_logical_names(value);
            }
        })
        .await
    }

    /// Says a command, and gives the client another result.
    pub(super) async fn answered_with_changes(
        &mut self,
        command: Payload,
        facts: Facts,
        change: impl FnOnce(&mut Vec<Vec<u8>>, &mut Vec<Vec<TextValue>>),
    ) -> Result<Payload, Stop> {
        debug_assert!(command.len() > HEADER_LEN);
        let mut link = self.take_link(facts).await?;
        let (mut columns, mut rows, mut seen) = (Vec::new(), Vec::new(), Seen::default());
        let max = self.home().tables.as_ref().map_or(0, |tables| tables.budget.max_bytes);
        let mut bytes = 0;
        let take: &mut Take<'_> = &mut |part| {
            match part {
                Part::Column(column) => columns.push(column),
                Part::Row(row) => {
                    bytes += row.len();
                    if bytes > max {
                        return Err(Refusal::merge(MergeError::too_many_bytes(max)));
                    }
                    rows.push(values(row));
                }
                Part::Ok(_) => {}
            }
            Ok(())
        };
        let mut outcome = self.collect(&mut link, command, self.clock(), &mut seen, take).await;
        let refused = outcome.as_mut().ok().and_then(|collected| collected.refused.take());
        let outcome = outcome.map(|_| match seen.error {
            Some(_) => seen.server_error().packet(1).into(),
            None if refused.is_some() => Payload::from(Vec::new()),
            None => {
                change(&mut columns, &mut rows);
                seen.rows = Some(rows.len() as u64);
                let status = seen.status.unwrap_or(self.status);
                text_resultset(self.capabilities, status, &columns, &rows).into()
            }
        });
        let outcome = self.finish(link, facts, &seen, outcome);
        self.is_last = false;
        match refused {
            Some(refusal) => outcome.and(Err(refusal.into())),
            None => outcome,
        }
    }
}

/// What the sizes of a table's parts are together: in the row of the first shard.
fn add_up(columns: &[Vec<u8>], rows: &mut [Vec<TextValue>], logical: impl Fn(&[u8]) -> Option<(&[u8], u32)>) {
    const SIZES: [&[u8]; 4] = [b"Rows", b"Data_length", b"Index_length", b"Data_free"];
    let is_size =
        |column: &Vec<u8>| ColumnDefinition::parse(column).is_ok_and(|column| SIZES.contains(&column.name));
    let sizes: Vec<_> = (0..).zip(columns).filter(|(_, column)| is_size(column)).map(|(at, _)| at).collect();
    let number = |value: &TextValue| -> u64 {
        value.as_ref().and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).unwrap_or(0)
    };
    let mut sums: HashMap<(Vec<u8>, usize), u64> = HashMap::default();
    for row in rows.iter() {
        let Some((table, _)) = row.first().and_then(|name| logical(name.as_deref()?)) else { continue };
        for at in &sizes {
            *sums.entry((table.to_vec(), *at)).or_default() += row.get(*at).map_or(0, number);
        }
    }
    for row in rows.iter_mut() {
        let Some((table, 0)) = row.first().and_then(|name| logical(name.as_deref()?)) else { continue };
        let table = table.to_vec();
        for at in &sizes {
            if let (Some(value), Some(sum)) = (row.get_mut(*at), sums.get(&(table.clone(), *at))) {
                *value = Some(sum.to_string().into_bytes());
            }
        }
    }
}

/// The values of a text row; what can't be read is NULL.
pub(super) fn values(row: &[u8]) -> Vec<TextValue> {
    let mut reader = Reader::new(row);
    let mut values = Vec::new();
    while !reader.is_empty() {
        let mut ahead = reader;
        if ahead.u8() == Ok(NULL) {
            reader = ahead;
            values.push(None);
        } else {
            match reader.lenenc_bytes() {
                Ok(value) => values.push(Some(value.to_vec())),
                Err(_) => return values,
            }
        }
    }
    values
}

/// The definition of the column with the server's `Tables_in_test` as `Tables_in_test (pattern)`.
fn named_like(column: &[u8], pattern: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(column);
    let mut out = Vec::with_capacity(column.len() + 2 * pattern.len());
    for field in 0..6 {
        let Ok(name) = reader.lenenc_bytes() else { return column.to_vec() };
        // The fifth is the name.
        let suffix = if field == 4 { [b" (", pattern, b")"].concat() } else { Vec::new() };
        out.put_lenenc_bytes(&[name, &suffix].concat());
    }
    out.extend_from_slice(reader.rest());
    out
}

/// LIKE by bytes: names of tables are told apart by their case.
fn like(name: &[u8], pattern: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'%', rest)), _) => {
            (0..=name.len()).any(|at| name.get(at..).is_some_and(|name| like(name, rest)))
        }
        (Some((b'\\', rest)), Some((first, name))) => {
            rest.split_first().is_some_and(|(letter, rest)| letter == first && like(name, rest))
        }
        (Some((b'_', rest)), Some((_, name))) => like(name, rest),
        (Some((letter, rest)), Some((first, name))) => letter == first && like(name, rest),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

impl Refusal {
    fn show_where() -> Self {
        Self::sharding(
            &"SHOW TABLES and SHOW TABLE STATUS with a WHERE, where tables are sharded: use LIKE".into(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::SqlMode;

    #[test]
    fn names_are_like_patterns() {
        for (name, pattern, fits) in [
            ("users", "users", true),
            ("users", "u%", true),
            ("users", "%s", true),
            ("users", "u__rs", true),
            ("users", "u_rs", false),
            ("Users", "users", false),
            ("a_b", "a\\_b", true),
            ("axb", "a\\_b", false),
            ("", "%", true),
            ("users", "", false),
        ] {
            assert_eq!(like(name.as_bytes(), pattern.as_bytes()), fits, "{name} LIKE {pattern}");
        }
    }

    #[test]
    fn show_tables_is_told_from_others() {
        let read = |sql: &str| {
            let mut sketch = Sketch::default();
            sketch.read(sql.as_bytes(), SqlMode::default());
            show_tables(sql.as_bytes(), &sketch)
        };
        let like =
            read("SHOW FULL TABLES FROM `a b` LIKE 'u%'").expect("it is one").expect("it can be asked");
        let status = read("SHOW TABLE STATUS LIKE 'users'").expect("it is one").expect("it can be asked");
        assert!(status.has_status && status.pattern.is_some());
        assert_eq!(like, ShowTables { has_status: false, like_at: Some(28), pattern: Some(b"u%".to_vec()) });
        assert!(read("show tables;").is_some_and(|show| show.is_ok()));
        assert!(read("SHOW TABLES WHERE 1").is_some_and(|show| show.is_err()));
        for other in ["SHOW TABLE", "SHOW COLUMNS FROM t", "SELECT 1"] {
            assert!(read(other).is_none(), "{other}");
        }
    }

    #[test]
    fn rows_are_read_as_they_are_written() {
        assert_eq!(values(b"\x01a\xfb\x00"), [Some(b"a".to_vec()), None, Some(Vec::new())]);
    }
}
