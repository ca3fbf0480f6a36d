//! Parameters of prepared statements that are sent ahead of their EXECUTE, in pieces.

use crate::net::Payload;
use crate::protocol::execution::Execution;
use crate::protocol::packet::{HEADER_LEN, MAX_PAYLOAD, command_packet};
use crate::protocol::statement::{ExecuteHeader, SendLongData, statement_id};

use super::driver::Session;
use super::failure::{Refusal, Stop};
use super::input::Oversized;
use super::link::NO_SQL;
use super::prepared::patch_id;

impl Session {
    /// COM_STMT_SEND_LONG_DATA has no reply: what goes wrong is said at EXECUTE. From here to there the link is kept.
    pub async fn long_data(&mut self, mut command: Payload) -> Result<(), Stop> {
        let Ok((id, text, _)) = self.statement_of(&command, "mysqld_stmt_send_long_data") else {
            return Ok(());
        };
        if self.has_failed_long_data(id) {
            return Ok(());
        }
        if self.is_sharded(id) {
            self.keep_value_sent_ahead(id, &command);
            return Ok(());
        }
        let sent = async {
            let mut link = self.take_link(NO_SQL).await?;
            let open = self.holds.has_cursor(id);
            if let Err(stop) = self.have_prepared(&mut link, id, &text, open).await {
                return Err(self.unprepared(link, stop));
            }
            if let Some(on_link) = link.lease().statement(text.key).map(|statement| statement.id) {
                patch_id(&mut command, on_link);
            }
            if let Err(stop) = self.tell_backend(&mut link, command).await {
                return Err(self.lost(link, stop));
            }
            self.holds.long_data(id, true);
            self.keep_or_give_back(link);
            Ok(())
        };
        match sent.await {
            Err(Stop::Refuse(refusal)) if !refusal.fatal => {
                self.note_long_data_failure(id, *refusal);
                Ok(())
            }
            other => other,
        }
    }

    /// Which shards a statement is for its EXECUTE tells: until then its parameters are kept here.
    fn keep_value_sent_ahead(&mut self, id: u32, command: &Payload) {
        let max = self.ctx.config.server.command_buffer_bytes;
        let len = self.statements.sent_ahead_bytes();
        let Some(statement) = self.statements.get(id) else { return };
        let piece = SendLongData::parse(command.get(HEADER_LEN..).unwrap_or_default());
        let Ok(piece) = piece
            .map_err(|_| ())
            .and_then(|piece| (piece.param < statement.params).then_some(piece).ok_or(()))
        else {
            return self.note_long_data_failure(id, Refusal::malformed());
        };
        if len.saturating_add(piece.data.len()) > max {
            statement.sent_ahead.clear();
            return self.note_long_data_failure(id, Refusal::oversized_of_shards());
        }
        statement.sent_ahead.entry(piece.param).or_default().extend_from_slice(piece.data);
    }

    /// An EXECUTE with the values that were kept for it.
    pub(super) fn with_values_sent_ahead(&mut self, command: Payload) -> Result<Payload, Refusal> {
        let payload = command.get(HEADER_LEN..).unwrap_or_default();
        let Ok(id) = statement_id(payload) else { return Ok(command) };
        let id = self.statements.resolve(id);
        let attributes = self.has_attributes();
        let Some(statement) = self.statements.get(id).filter(|statement| !statement.sent_ahead.is_empty())
        else {
            return Ok(command);
        };
        let ahead = std::mem::take(&mut statement.sent_ahead);
        // Said once more, it would be without them.
        self.attempts.forget();
        let header =
            ExecuteHeader::parse(payload, statement.params, attributes).map_err(|_| Refusal::malformed())?;
        if statement.long_data_failure.is_some() || header.is_bulk() {
            return Ok(command);
        }
        let execution = Execution::parse(payload, &header, &statement.types, &ahead);
        let (payload, _) = execution.map_err(|_| Refusal::long_data_of_shards())?.encode_all();
        if payload.len() >= MAX_PAYLOAD {
            return Err(Refusal::oversized_of_shards());
        }
        Ok(command_packet(&payload).into())
    }

    /// A piece of a parameter is missing: what was sent before it, and what comes after it, is of no use.
    fn note_long_data_failure(&mut self, id: u32, refusal: Refusal) {
        if let Some(statement) = self.statements.get(id) {
            statement.long_data_failure.get_or_insert(refusal);
        }
    }

    pub(super) fn is_sharded(&mut self, id: u32) -> bool {
        self.statements.get(id).is_some_and(|statement| statement.sharded.is_some())
    }

    fn has_failed_long_data(&mut self, id: u32) -> bool {
        self.statements.get(id).is_some_and(|statement| statement.long_data_failure.is_some())
    }

    /// An oversized piece of a parameter, of which `start` is the beginning, was refused.
    pub fn fail_long_data(&mut self, start: &[u8], refusal: Refusal) {
        if let Ok(id) = statement_id(start) {
            self.note_long_data_failure(id, refusal);
        }
    }

    /// COM_STMT_SEND_LONG_DATA of more bytes than are collected.
    pub async fn oversized_long_data(&mut self, command: &mut Oversized) -> Result<(), Stop> {
        let id = statement_id(&command.start).map_err(|_| Refusal::malformed())?;
        let Some(text) = self.statements.get(id).map(|statement| statement.text.clone()) else {
            return Err(self.unknown_statement(id, "mysqld_stmt_send_long_data").into());
        };
        if self.is_sharded(id) {
            self.note_long_data_failure(id, Refusal::oversized_of_shards());
        }
        if self.has_failed_long_data(id) {
            return self.discard(command).await;
        }
        let mut link = self.take_link(NO_SQL).await?;
        let passed = async {
            let open = self.holds.has_cursor(id);
            self.have_prepared(&mut link, id, &text, open).await?;
            let on_link = link.lease().statement(text.key).map(|statement| statement.id);
            let patch = |mut bytes: Payload| {
                on_link.into_iter().for_each(|id| patch_id(&mut bytes, id));
                bytes
            };
            let last = self.pass_through(&mut link, command, patch).await?;
            self.tell_backend(&mut link, last).await
        };
        match passed.await {
            Ok(()) => {
                self.holds.long_data(id, true);
                self.keep_or_give_back(link);
                Ok(())
            }
            Err(stop) => Err(self.lost(link, stop)),
        }
    }
}
