//! EXPLAIN ATHENA: what would become of a statement, without saying it to any server.

use crate::net::Payload;
use crate::parser::{facts, is_explain_athena};
use crate::protocol::capability::Capabilities;
use crate::protocol::column_definition::{ColumnDefinition, column_flag, column_type};
use crate::protocol::packet::HEADER_LEN;
use crate::protocol::resultset::text_resultset;
use crate::router::sharding::{Merge, Rows, Verdict};

use super::super::driver::Session;
use super::super::failure::{Refusal, Stop};
use super::several::{Leg, Say};
use super::text::{How, Parts, query};

/// The columns of the answer.
const COLUMNS: [&[u8]; 3] = [b"shard", b"statement", b"how"];

/// `utf8mb4_general_ci`
const UTF8: u16 = 45;

impl Session {
    /// COM_QUERY with EXPLAIN ATHENA; `None` for anything else, and where no table is sharded.
    pub(in crate::session) fn explain_athena(&mut self, command: &Payload) -> Result<Option<Payload>, Stop> {
        let Some(tables) = self.home().tables.clone() else { return Ok(None) };
        let payload = command.get(HEADER_LEN..).unwrap_or_default();
        let at = self.text_offset(payload).ok_or_else(Refusal::malformed)?;
        let (head, sql) = payload.split_at(at.min(payload.len()));
        let mode = self.sql_mode();
        let Some(at) = is_explain_athena(sql, mode) else { return Ok(None) };
        let sql = sql.get(at..).unwrap_or_default();
        let rows = match tables.look_at(sql, mode) {
            Verdict::Refused(reason) => return Err(Refusal::sharding(&reason).into()),
            Verdict::Home => vec![["home".to_owned(), text(sql), "as it is".to_owned()]],
            Verdict::Sharded(plan) => match self.parts(&query(head, sql)?, facts(sql, mode), &plan)? {
                Parts::One(shard, command) => {
                    vec![[shard.to_string(), self.statement(&command), "alone".to_owned()]]
                }
                Parts::Several(legs, how, _) => {
                    let how = described(&how);
                    let row = |leg: Leg| match leg.say {
                        Say::Text(command) => [leg.shard.to_string(), self.statement(&command), how.clone()],
                        Say::Execute(_) => [leg.shard.to_string(), String::new(), how.clone()],
                    };
                    legs.into_iter().map(row).collect()
                }
            },
        };
        let values = |row: [String; 3]| row.into_iter().map(|value| Some(value.into_bytes())).collect();
        let rows: Vec<Vec<_>> = rows.into_iter().map(values).collect();
        let extended =
            self.capabilities.contains(Capabilities::MARIADB_EXTENDED_METADATA).then_some(&b""[..]);
        let reply = text_resultset(
            self.capabilities,
            self.own_status(),
            &COLUMNS.map(|name| column(name, extended)),
            &rows,
        );
        self.before.row_count = -1;
        Ok(Some(reply.into()))
    }

    /// The text of a COM_QUERY.
    fn statement(&self, command: &Payload) -> String {
        text(self.text(command.get(HEADER_LEN..).unwrap_or_default()).unwrap_or_default())
    }
}

fn text(sql: &[u8]) -> String {
    String::from_utf8_lossy(sql).into_owned()
}

fn column(name: &[u8], extended: Option<&[u8]>) -> Vec<u8> {
    let column = ColumnDefinition {
        catalog: b"def",
        schema: b"",
        table: b"",
        org_table: b"",
        name,
        org_name: b"",
        extended,
        character_set: UTF8,
        length: 65_535,
        kind: column_type::VAR_STRING,
        flags: column_flag::NOT_NULL,
        decimals: 0,
        rest: &[0, 0],
    };
    column.encode()
}

fn described(how: &How) -> String {
    match how {
        How::Read(merging) => merged(merging.merge()),
        How::Write(_) => "one transaction".to_owned(),
        How::Define => "one after the other".to_owned(),
    }
}

fn merged(merge: &Merge) -> String {
    let rows = match &merge.rows {
        Rows::Each => "all rows".to_owned(),
        Rows::Grouped { by, .. } => format!("rows grouped by {} columns", by.len()),
        Rows::One { .. } => "one row of all".to_owned(),
    };
    let order = match merge.order.len() {
        0 => String::new(),
        keys => format!(", ordered by {keys} columns"),
    };
    format!("merged: {rows}{order}{}", if merge.limit.is_some() { ", limited" } else { "" })
}
