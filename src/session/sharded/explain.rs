//! EXPLAIN of several shards, and EXPLAIN ATHENA: what would become of a statement, without saying it to any server.

use crate::net::Payload;
use crate::parser::{Effect, Facts, facts, is_explain_athena};
use crate::protocol::capability::{Capabilities, StatusFlags};
use crate::protocol::column_definition::{ColumnDefinition, column_flag, column_type};
use crate::protocol::packet::HEADER_LEN;
use crate::protocol::resultset::{ResultsetWriter, TextValue, text_resultset, text_row};
use crate::router::sharding::{Merge, MergeError, Rows, Verdict, cluster_of_copy, physical};

use super::super::driver::Session;
use super::super::failure::{Refusal, Stop};
use super::super::link::Use;
use super::super::seen::Seen;
use super::collect::{Part, Take};
use super::several::{Leg, Say};
use super::show::values;
use super::text::{How, Parts, query};

/// The columns of the answer.
const COLUMNS: [&[u8]; 3] = [b"shard", b"statement", b"how"];

/// `utf8mb4_general_ci`
const UTF8: u16 = 45;

impl Session {
    /// COM_QUERY with EXPLAIN ATHENA; `None` for anything else, and where no table is sharded.
    pub(in crate::session) async fn explain_athena(
        &mut self,
        command: &Payload,
    ) -> Result<Option<Payload>, Stop> {
        let Some(tables) = self.home().tables.clone() else { return Ok(None) };
        let (head, sql) = self.head_and_text(command)?;
        let mode = self.sql_mode();
        let Some(at) = is_explain_athena(sql, mode) else { return Ok(None) };
        let (head, mut sql) = (head.to_vec(), sql.get(at..).unwrap_or_default().to_vec());
        let mut verdict = tables.look_at(&sql, mode);
        if let Verdict::Sharded(plan) = &verdict
            && let Some(listed) = self.listed(&sql, plan).await?
        {
            verdict = tables.look_at(&listed, mode);
            sql = listed;
        }
        let (head, sql) = (&head[..], &sql[..]);
        let name = |shard: u32| cluster_of_copy(shard).map_or(shard.to_string(), |_| "copy".to_owned());
        let rows = match verdict {
            Verdict::Refused(reason) => return Err(Refusal::sharding(&reason).into()),
            Verdict::Home => vec![["home".to_owned(), text(sql), "as it is".to_owned()]],
            Verdict::Sharded(plan) => match self.parts(&query(head, sql)?, facts(sql, mode), &plan, &[])? {
                Parts::One(shard, command) => {
                    vec![[name(shard), self.statement(&command), "alone".to_owned() + &self.place_of(shard)]]
                }
                Parts::Several(legs, how, _) => {
                    let how = described(&how);
                    let row = |leg: Leg| {
                        let how = how.clone() + &self.place_of(leg.shard);
                        let text = match leg.say {
                            Say::Text(command) => self.statement(&command),
                            Say::Execute(_) => String::new(),
                        };
                        [name(leg.shard), text, how]
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

    /// EXPLAIN of a statement on several shards: the rows of all of them, in their order. In the column `table` a sharded table
    /// has the name that it has on its shard: so readers of such rows tell them apart.
    pub(super) async fn explain_on_all(
        &mut self,
        mut link: Use,
        (facts, effects): (Facts, &[Effect]),
        legs: Vec<Leg>,
        tables: &[Box<str>],
        mut seen: Seen,
    ) -> Result<Payload, Stop> {
        let max = self.home().tables.as_ref().map_or(0, |tables| tables.budget.max_bytes);
        let (mut columns, mut rows, mut bytes) = (Vec::new(), Vec::new(), 0);
        let clock = self.clock();
        for leg in legs {
            if leg.at != self.at {
                link = self.go_on_at(leg.at, link, facts, &seen, effects).await?;
                seen =
                    Seen { listed: seen.listed.take(), uses_table: Some(true), ..Seen::of(effects.to_vec()) };
            }
            let (shard, is_first) = (leg.shard, columns.is_empty());
            let command = self.command_of(&mut link, leg)?;
            let take: &mut Take<'_> = &mut |part| {
                match part {
                    Part::Column(column) if is_first => columns.push(column),
                    Part::Row(row) => {
                        bytes += row.len();
                        if bytes > max {
                            return Err(Refusal::merge(MergeError::too_many_bytes(max)));
                        }
                        rows.push((shard, values(row)));
                    }
                    Part::Column(_) | Part::Ok(_) => {}
                }
                Ok(())
            };
            match self.collect_next(&mut link, command, &clock, &mut seen, take).await {
                Ok(refused) => refused.iter().for_each(|refusal| seen.fail(refusal)),
                Err(stop) => return self.finish(link, facts, &seen, Err(stop)),
            }
            if seen.has_failed() {
                break;
            }
        }
        if let Err(stop) = self.cut_warnings(&mut link, &mut seen).await {
            return self.finish(link, facts, &seen, Err(stop));
        }
        if self.has_transaction_elsewhere() {
            seen.status = seen.status.map(|status| status | StatusFlags::IN_TRANS);
        }
        let reply = match seen.has_failed() {
            true => self.error_of(&seen, 1),
            false => {
                let rows = physical_rows(&columns, rows, tables);
                seen.rows = Some(rows.len() as u64);
                let status = seen.status.unwrap_or(self.status);
                let mut reply = ResultsetWriter::begin(self.capabilities, status, seen.warnings, &columns);
                for row in &rows {
                    let mut payload = Vec::new();
                    text_row(row, &mut payload);
                    reply.row(&payload);
                }
                reply.end().into()
            }
        };
        self.finish_several(link, facts, &seen, reply)
    }

    /// Where a shard is, where shards have servers of their own.
    fn place_of(&self, shard: u32) -> String {
        match self.has_shard_servers() {
            true => format!(", on {}", self.ctx.clusters[self.server_of(shard)].described()),
            false => String::new(),
        }
    }

    /// The text of a COM_QUERY.
    fn statement(&self, command: &Payload) -> String {
        text(self.text(command.get(HEADER_LEN..).unwrap_or_default()).unwrap_or_default())
    }
}

/// The rows with the names of the shards' tables.
fn physical_rows(
    columns: &[Vec<u8>],
    rows: Vec<(u32, Vec<TextValue>)>,
    tables: &[Box<str>],
) -> Vec<Vec<TextValue>> {
    let is_table =
        |column: &Vec<u8>| ColumnDefinition::parse(column).is_ok_and(|column| column.name == b"table");
    let at = columns.iter().position(is_table);
    let named = |(shard, mut row): (u32, Vec<TextValue>)| {
        let table = at.and_then(|at| row.get_mut(at)?.as_mut());
        let known = |name: &Vec<u8>| tables.iter().find(|table| table.as_bytes() == &name[..]);
        if let Some((name, known)) = table.and_then(|name| known(name).map(|known| (name, known))) {
            *name = physical(known, shard).into_bytes();
        }
        row
    };
    rows.into_iter().map(named).collect()
}

fn text(sql: &[u8]) -> String {
    String::from_utf8_lossy(sql).into_owned()
}

fn column(name: &[u8], extended: Option<&[u8]>) -> Vec<u8> {
    let column = ColumnDefinition {
        extended,
        character_set: UTF8,
        length: 65_535,
        flags: column_flag::NOT_NULL,
        ..ColumnDefinition::of_no_table(name, column_type::VAR_STRING)
    };
    column.encode()
}

fn described(how: &How) -> String {
    match how {
        How::Read(merging, None) => merged(merging.merge()),
        How::Read(merging, Some(_)) => format!("{}, finished by a query", merged(merging.merge())),
        How::Write(_) => "one transaction".to_owned(),
        How::EachCopy(_) => "the same on all servers".to_owned(),
        How::Explain(_) => "the rows of all".to_owned(),
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
