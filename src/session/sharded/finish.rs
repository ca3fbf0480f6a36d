//! What a server is asked about merged groups: the columns of the statement, and what can't be merged of its rows. Both on the
//! session's own link, when all parts are read.

use std::rc::Rc;

use crate::metrics::label::ErrorKind;
use crate::net::Payload;
use crate::protocol::capability::StatusFlags;
use crate::protocol::command::Command;
use crate::protocol::error::ErrorCode;
use crate::protocol::packet::{MAX_PAYLOAD, command_packet};
use crate::protocol::resultset::ResultsetWriter;
use crate::protocol::row::RowEncoding;
use crate::router::sharding::{Finish, Finisher, MergeError, Piece, Plan, Reason, Value, Whole};

use super::super::driver::Session;
use super::super::failure::{Refusal, Stop};
use super::super::link::Use;
use super::super::overtime::Clock;
use super::super::seen::Seen;
use super::collect::{Part, Take};
use super::tables::{ShardedTables, Values};

/// What is asked about the groups of one statement.
pub(super) struct Finishing {
    finish: Rc<Finish>,
    encoding: RowEncoding,
    /// The statement without rows.
    described: Vec<u8>,
    /// What stands before and behind the table of groups.
    query: Option<(Vec<u8>, Vec<u8>)>,
}

impl Finishing {
    /// # Errors
    /// Where a parameter beside the aggregates can't be said in a text.
    pub fn new(
        finish: &Rc<Finish>,
        tables: &ShardedTables,
        plan: &Plan,
        values: &Values<'_>,
        encoding: RowEncoding,
        shard: u32,
    ) -> Result<Self, Refusal> {
        let query = match &finish.query {
            None => None,
            Some(edits) => {
                for piece in edits.iter().flat_map(|edit| &edit.with) {
                    if let Piece::Parameter(number) = piece {
                        literal(values.parameters.get(*number as usize)).ok_or_else(unsaid_parameter)?;
                    }
                }
                Some(tables.words_around_groups(plan, edits, values))
            }
        };
        let described = tables.words(plan, &finish.described, values, shard);
        Ok(Self { finish: finish.clone(), encoding, described, query })
    }
}

/// The value of a parameter as a literal, if there is one that is the same.
pub(super) fn literal(value: Option<&Value>) -> Option<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    Some(match value? {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Decimal(number) => number.to_plain_string(),
        Value::Float(number) => format!("{number:e}"),
        Value::Text(text) if std::str::from_utf8(text).is_ok() => format!("_utf8mb4 x'{}'", hex(text)),
        Value::Binary(bytes) => format!("x'{}'", hex(bytes)),
        Value::Text(_) | Value::Moment(_) | Value::Other => return None,
    })
}

fn unsaid_parameter() -> Refusal {
    Refusal::sharding(&Reason::from(
        "On several shards a parameter in HAVING must be a number or a text: send dates and times as texts",
    ))
}

impl Session {
    /// The result that merged groups become, or rows of which only the server knows the columns. `None`: the server has answered with an error.
    pub(super) async fn finish_groups(
        &mut self,
        link: &mut Use,
        finishing: Finishing,
        groups: Whole,
        clock: &Clock,
        seen: &mut Seen,
    ) -> Result<Result<Option<Payload>, Refusal>, Stop> {
        let Finishing { finish, encoding, described, query } = finishing;
        let mut finisher = match Finisher::new(finish, encoding, groups) {
            Ok(finisher) => finisher,
            Err(error) => return Ok(Err(Refusal::merge(error))),
        };
        let mut columns = Vec::new();
        let take: &mut Take<'_> = &mut |part| {
            if let Part::Column(column) = part {
                columns.push(column);
            }
            Ok(())
        };
        match self.ask_about(link, &described, clock, seen, take).await? {
            Ok(true) => {}
            Ok(false) => return Ok(Ok(None)),
            Err(refusal) => return Ok(Err(refusal)),
        }
        if let Err(error) = finisher.describe(columns) {
            return Ok(Err(Refusal::merge(error)));
        }
        let rows = match query {
            None => rows_of_groups(&finisher),
            Some((head, tail)) => {
                let results = self.state.variable(b"character_set_results");
                let utf8 = self.is_utf8() && results.is_none_or(|name| name.starts_with(b"utf8"));
                let table = match finisher.table(utf8) {
                    Ok(table) => table,
                    Err(error) => return Ok(Err(Refusal::merge(error))),
                };
                let mut answer = Answer::default();
                let take: &mut Take<'_> = &mut |part| answer.take(&mut finisher, part);
                match self.ask_about(link, &[head, table, tail].concat(), clock, seen, take).await? {
                    Ok(true) => match answer.describe(&mut finisher) {
                        Ok(()) => Ok(answer.rows),
                        Err(refusal) => return Ok(Err(refusal)),
                    },
                    Ok(false) => return Ok(Ok(None)),
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
        };
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => return Ok(Err(Refusal::merge(error))),
        };
        let status = seen.status.unwrap_or(self.status) - StatusFlags::MORE_RESULTS_EXISTS;
        let mut reply =
            ResultsetWriter::begin(self.capabilities, status, seen.warnings, finisher.result_columns());
        rows.iter().for_each(|row| reply.row(row));
        seen.rows = Some(rows.len() as u64);
        Ok(Ok(Some(reply.end().into())))
    }

    /// Says a text of the same statement. True: it was answered; false: with an error.
    async fn ask_about(
        &mut self,
        link: &mut Use,
        text: &[u8],
        clock: &Clock,
        seen: &mut Seen,
        take: &mut Take<'_>,
    ) -> Result<Result<bool, Refusal>, Stop> {
        let attributes: &[u8] = if self.has_attributes() { &[0, 1] } else { &[] };
        let payload = [&[Command::Query as u8], attributes, text].concat();
        if payload.len() >= MAX_PAYLOAD {
            return Ok(Err(Refusal::too_many_groups()));
        }
        let refused = self.collect_next(link, command_packet(&payload).into(), clock, seen, take).await?;
        Ok(refused.map_or_else(|| Ok(!seen.has_failed()), Err))
    }
}

fn rows_of_groups(finisher: &Finisher) -> Result<Vec<Vec<u8>>, MergeError> {
    let row = |group: usize| {
        let mut row = Vec::new();
        finisher.row_of_group(group, &mut row).map(|()| row)
    };
    (0..finisher.groups()).map(row).collect()
}

/// What the server answers about the groups.
#[derive(Default)]
struct Answer {
    columns: Vec<Vec<u8>>,
    is_described: bool,
    rows: Vec<Vec<u8>>,
}

impl Answer {
    fn take(&mut self, finisher: &mut Finisher, part: Part<'_>) -> Result<(), Refusal> {
        match part {
            Part::Column(column) => self.columns.push(column),
            Part::Row(payload) => {
                self.describe(finisher)?;
                let mut row = Vec::new();
                finisher.row(payload, &mut row).map_err(Refusal::merge)?;
                self.rows.push(row);
            }
            Part::Ok(_) => {}
        }
        Ok(())
    }

    /// The columns are complete.
    fn describe(&mut self, finisher: &mut Finisher) -> Result<(), Refusal> {
        if std::mem::replace(&mut self.is_described, true) {
            return Ok(());
        }
        finisher.answer(&self.columns).map_err(Refusal::merge)
    }
}

impl Refusal {
    fn too_many_groups() -> Self {
        let message = "The groups of several shards are too many to be computed in one statement: ask for less of them at a \
                       time, or group by the sharding column too";
        Self::new(ErrorKind::TooLarge, ErrorCode::NotSupportedYet, message)
    }
}
