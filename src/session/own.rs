//! Statements about sessions by their ids: what the server would say of its own connections, Athena says of its clients.

use crate::metrics::label::ErrorKind;
use crate::net::Payload;
use crate::parser::{Answers, Facts, Hazards, SqlMode, Unclear, kill, with_answers};
use crate::protocol::error::ErrorCode;
use crate::protocol::packet::{HEADER_LEN, MAX_PAYLOAD, command_packet};
use crate::protocol::reply::Reply;

use super::driver::Session;
use super::failure::{Refusal, Stop};

impl Session {
    /// COM_QUERY with a text that has some of [`Hazards::OF_SESSIONS`].
    pub(super) async fn query_of_sessions(
        &mut self,
        command: Payload,
        mut facts: Facts,
    ) -> Result<Payload, Stop> {
        let mode = self.sql_mode();
        let at = self.text_offset(command.get(HEADER_LEN..).unwrap_or_default());
        let text_at = HEADER_LEN + at.ok_or_else(Refusal::malformed)?;
        let command = self.with_own_id(command, text_at, mode, &mut facts)?;
        if facts.hazards.intersects(Hazards::KILL | Hazards::PROCESSLIST) {
            alone(facts)?;
        }
        let text = command.get(text_at..).unwrap_or_default();
        if facts.hazards.contains(Hazards::KILL) && !self.leaves_kill_to_server(text, mode).await? {
            return self.kill_by_text(text, mode).await;
        }
        if facts.hazards.contains(Hazards::PROCESSLIST) {
            let full = facts.hazards.contains(Hazards::FULL_PROCESSLIST);
            return self.process_list(full, Some(text)).await;
        }
        if self.is_special(facts) {
            return self.special_query(command, facts).await;
        }
        let reply = Reply::to_query(self.capabilities, self.status);
        self.run_on_link(command, facts, reply).await
    }

    /// COM_STMT_PREPARE of such a text: the command to prepare. A KILL is prepared on the server, which checks it, and
    /// executed here.
    pub(super) fn prepare_of_sessions(
        &self,
        command: Payload,
        mode: SqlMode,
        facts: &mut Facts,
    ) -> Result<Payload, Stop> {
        if facts.hazards.contains(Hazards::PROCESSLIST) {
            let message = "SHOW PROCESSLIST is not supported in the prepared statement protocol by Athena: send it as a text";
            return Err(Refusal::new(ErrorKind::Unsupported, ErrorCode::UnsupportedPs, message).into());
        }
        let command = self.with_own_id(command, HEADER_LEN + 1, mode, facts)?;
        if facts.hazards.contains(Hazards::KILL) {
            alone(*facts)?;
            kill(command.get(HEADER_LEN + 1..).unwrap_or_default(), mode).map_err(Refusal::kill_form)?;
        }
        Ok(command)
    }

    /// The command, whose text begins at `text_at`, with the session's id in the place of CONNECTION_ID().
    fn with_own_id(
        &self,
        command: Payload,
        text_at: usize,
        mode: SqlMode,
        facts: &mut Facts,
    ) -> Result<Payload, Stop> {
        if !facts.hazards.contains(Hazards::CONNECTION_ID) {
            return Ok(command);
        }
        let (head, sql) = command.split_at(text_at.min(command.len()));
        let answers = Answers { connection_id: Some(self.id), ..Answers::default() };
        let sql = with_answers(sql, mode, self.is_on_mariadb(), &answers)
            .map_err(|Unclear| Refusal::unclear_connection_id())?;
        let payload = [head.get(HEADER_LEN..).unwrap_or_default(), &sql].concat();
        if payload.len() >= MAX_PAYLOAD {
            return Err(Refusal::outgrown("the id of its connection").into());
        }
        facts.hazards -= Hazards::CONNECTION_ID;
        Ok(command_packet(&payload).into())
    }
}

/// Answered here, so it can't stand among statements that the server answers.
fn alone(facts: Facts) -> Result<(), Stop> {
    if facts.hazards.contains(Hazards::MULTI) {
        return Err(Refusal::unsupported("KILL and SHOW PROCESSLIST together with other statements").into());
    }
    Ok(())
}

/// What can't be let through in a text of which only the beginning is read.
pub(super) fn allowed_oversized(facts: Facts) -> Result<(), Stop> {
    match facts.hazards.intersects(Hazards::OF_SESSIONS) {
        true => Err(Refusal::unsupported(
            "KILL, SHOW PROCESSLIST and CONNECTION_ID() in a statement of more than [server] command_buffer_bytes",
        )
        .into()),
        false => Ok(()),
    }
}
