//! What a command is, and who answers it.

use crate::metrics::label::{ErrorKind, Target};
use crate::net::Payload;
use crate::pool::Changes;
use crate::protocol::capability::{Capabilities, StatusFlags};
use crate::protocol::command::Command;
use crate::protocol::error::{ErrorCode, ServerError};
use crate::protocol::packet::{HEADER_LEN, write_packet};
use crate::protocol::reply::Renames;
use crate::protocol::response::{EofPacket, OkPacket};
use crate::router::sharding::ShardSet;

use super::before::Before;
use super::context::HOME_SHARD;
use super::driver::{Incoming, Session};
use super::failure::{End, Refusal, Stop};
use super::input::Oversized;
use super::route::Route;

/// Characters of a slow statement that the log shows.
const LOGGED_CHARS: usize = 512;

impl Session {
    /// Answers one command. What is returned is still to be sent: all of the reply, or the end of it.
    pub async fn dispatch(&mut self, incoming: Incoming) -> Result<Option<Payload>, End> {
        let started = self.timer.now();
        let code = match &incoming {
            Incoming::Command(command) => command.get(HEADER_LEN).copied(),
            Incoming::Oversized(command) => command.start.first().copied(),
        };
        let command = code.and_then(Command::from_byte);
        self.entry.begin(command, started);
        (self.shard, self.digest, self.renames) = (HOME_SHARD, None, Renames::default());
        self.further_shards = ShardSet::EMPTY;
        self.opening.begin_command();
        let text = self.text_for_the_log(&incoming);
        let outcome = match (incoming, command) {
            (Incoming::Command(_), None) => Err(Refusal::unknown_command().into()),
            (Incoming::Command(bytes), Some(command)) => {
                self.begin_command(command, &bytes);
                let first = self.execute_command(command, bytes).await;
                match self.attempts.again {
                    Some(_) => Box::pin(self.execute_again(command, first)).await,
                    None => first,
                }
            }
            (Incoming::Oversized(mut bytes), command) => {
                let outcome = Box::pin(self.execute_oversized(command, &mut bytes)).await;
                Box::pin(self.finish_oversized(command, bytes, outcome)).await
            }
        };
        let outcome = outcome.map_err(|stop| self.with_shard(stop));
        self.entry.end(self.timer.now());
        self.attempts.end();
        let outcome = match self.may_have_to_sit_back() {
            true => Box::pin(self.sit_back()).await.and(outcome),
            false => outcome,
        };
        let reply = match outcome {
            Ok(reply) => reply,
            Err(Stop::End(end)) => return Err(end),
            Err(Stop::Refuse(refusal)) => Some(self.refuse(*refusal).await?),
        };
        if let Some(command) = command {
            let target = target(command, self.route);
            let elapsed = self.timer.now().saturating_duration_since(started);
            self.ctx.metrics.query(command, elapsed);
            self.ctx.metrics.queries_routed.of(target).inc();
            if let Some(text) = text
                && self.ctx.config.log.slow_query.is_some_and(|limit| elapsed >= limit)
            {
                let (id, user) = (self.id, &self.account.name);
                tracing::warn!(target: "athena::slow", id, %user, ?elapsed, command = command.name(), text, "slow statement");
            }
        }
        if self.link_ended {
            // The server has closed the connection that the session's state was on; a client of its own would see that now.
            if let Some(reply) = reply {
                self.send(reply).await?;
            }
            return Err(End::Told("its connection to the backend has ended".to_owned()));
        }
        Ok(reply)
    }

    /// Says a command until it has an outcome that is its own.
    async fn execute_again(
        &mut self,
        command: Command,
        mut outcome: Result<Option<Payload>, Stop>,
    ) -> Result<Option<Payload>, Stop> {
        while let Some(bytes) = self.once_more().await? {
            outcome = self.execute_command(command, bytes).await;
        }
        outcome
    }

    async fn execute_command(&mut self, command: Command, bytes: Payload) -> Result<Option<Payload>, Stop> {
        match command {
            Command::Query => self.query(bytes).await.map(Some),
            Command::StmtExecute => self.execute(bytes).await.map(Some),
            Command::StmtBulkExecute if self.has_bulk() => Box::pin(self.execute(bytes)).await.map(Some),
            Command::StmtPrepare => self.prepare(bytes).await.map(Some),
            Command::StmtClose => {
                self.close_statement(&bytes);
                Ok(None)
            }
            Command::StmtSendLongData => Box::pin(self.long_data(bytes)).await.map(|()| None),
            Command::StmtReset => self.reset_statement(&bytes).await.map(Some),
            Command::StmtFetch => Box::pin(self.fetch(bytes)).await.map(Some),
            Command::Ping => self.ping().await.map(Some),
            Command::InitDb => Box::pin(self.init_db(bytes)).await.map(Some),
            Command::Statistics => Box::pin(self.statistics(bytes)).await.map(Some),
            Command::FieldList => Box::pin(self.field_list(bytes)).await.map(Some),
            Command::ProcessInfo => Box::pin(self.process_info()).await.map(Some),
            Command::ProcessKill => Box::pin(self.process_kill(bytes)).await.map(Some),
            Command::ResetConnection => Box::pin(self.reset_connection()).await.map(Some),
            Command::ChangeUser => Box::pin(self.change_user(bytes)).await.map(Some),
            Command::Quit => Err(End::Quit.into()),
            Command::SetOption => Box::pin(self.set_option(bytes)).await.map(Some),
            Command::Debug | Command::Refresh => Box::pin(self.administer(bytes)).await.map(Some),
            Command::RegisterSlave => Box::pin(self.register_replica(bytes)).await.map(Some),
            Command::BinlogDump | Command::BinlogDumpGtid => {
                Box::pin(self.dump_binlog(command, bytes)).await.map(Some)
            }
            Command::Shutdown => Err(Refusal::unsupported("COM_SHUTDOWN").into()),
            _ => Err(Refusal::unknown_command().into()),
        }
    }

    async fn execute_oversized(
        &mut self,
        command: Option<Command>,
        bytes: &mut Oversized,
    ) -> Result<Option<Payload>, Stop> {
        match command {
            Some(Command::Query) => self.oversized_query(bytes).await.map(Some),
            Some(Command::StmtExecute) => self.oversized_execute(bytes).await.map(Some),
            Some(Command::StmtBulkExecute) if self.has_bulk() => {
                self.oversized_execute(bytes).await.map(Some)
            }
            Some(Command::StmtSendLongData) => self.oversized_long_data(bytes).await.map(|()| None),
            None => Err(Refusal::unknown_command().into()),
            Some(other) => {
                let limit = self.ctx.config.server.command_buffer_bytes;
                let message = format!(
                    "Got a packet bigger than {limit} bytes ([server] command_buffer_bytes) for the command {}",
                    other.name()
                );
                Err(Refusal::new(ErrorKind::TooLarge, ErrorCode::NetPacketTooLarge, message).into())
            }
        }
    }

    /// What becomes of an oversized command that was refused before all of it had come: the rest is read, so that the
    /// next command is not taken for a part of it (nor it for the next command), and the answer has the right place.
    async fn finish_oversized(
        &mut self,
        command: Option<Command>,
        mut bytes: Box<Oversized>,
        outcome: Result<Option<Payload>, Stop>,
    ) -> Result<Option<Payload>, Stop> {
        match outcome {
            Err(Stop::Refuse(mut refusal)) if !refusal.fatal => {
                self.discard(&mut bytes).await?;
                if command == Some(Command::StmtSendLongData) {
                    self.fail_long_data(&bytes.start, *refusal);
                    return Ok(None);
                }
                refusal.seq = refusal.seq.map(|seq| seq.max(bytes.answer_seq()));
                Err(Stop::Refuse(refusal))
            }
            other => other,
        }
    }

    /// The packet of an error that the session survives.
    async fn refuse(&mut self, refusal: Refusal) -> Result<Payload, End> {
        if let (false, Some(seq)) = (refusal.fatal, refusal.seq) {
            match refusal.kind {
                Some(kind) => self.ctx.metrics.errors.of(kind).inc(),
                None => self.ctx.metrics.server_errors.inc(),
            }
            tracing::debug!(target: "athena::session", id = self.id, user = %self.account.name, error = %refusal.error, "refused");
            // A MySQL looks for the statement before it forgets the warnings of the one before.
            let adds = refusal.kind == Some(ErrorKind::UnknownStatement) && !self.is_on_mariadb();
            if adds && self.unread.warnings {
                match Box::pin(self.read_own_link()).await {
                    Err(Stop::Refuse(lost)) if lost.fatal => return Err(self.tell(*lost).await),
                    Err(Stop::End(end)) => return Err(end),
                    Ok(()) | Err(Stop::Refuse(_)) => {}
                }
            }
            self.answered_with_error(&refusal.error, adds);
            return Ok(refusal.error.packet(seq).into());
        }
        if self.entry.is_killed() {
            // What the session holds is free at once, whether or not its client takes the goodbye.
            self.part_with_link();
        }
        Err(self.tell(refusal).await)
    }

    /// The client has an error of Athena's own, of which no link knows. One that `adds` leaves the warnings before it.
    pub fn answered_with_error(&mut self, error: &ServerError, adds: bool) {
        self.before.refused(error.code, &error.message, adds);
        (self.unread.warnings, self.is_last, self.warnings) = (false, false, 1);
    }

    /// COM_RESET_CONNECTION: the session starts anew, in the schema and the role that it has.
    async fn reset_connection(&mut self) -> Result<Payload, Stop> {
        if self.unread.role || self.unread.found_rows {
            self.read_own_link().await?;
        }
        let role = self.state.role().map(Box::from);
        self.start_anew().await;
        let with_role = Changes { role: Some(role), ..Changes::default() };
        if let Some(state) = self.cluster().pool().states.changed(&self.state, &with_role) {
            self.state = state;
        }
        if let Some(profile) = self.profile() {
            self.identity.reset(&profile);
        }
        Ok(self.ok())
    }

    /// Forgets all that the session has done.
    pub async fn start_anew(&mut self) {
        self.part_with_link_first().await;
        self.statements = Default::default();
        self.state = self.cluster().pool().states.empty();
        // A server keeps FOUND_ROWS().
        self.before = Before { found_rows: self.before.found_rows, ..Before::default() };
        self.text_prepared.clear();
        (self.wish, self.transaction_is_lost) = (None, false);
        (self.last_insert_id, self.warnings, self.is_last) = (0, 0, false);
        self.mark = self.ctx.next_connection_id();
        self.era = self.cluster().pool().eras.now();
        self.status = self.first_status();
        self.tracked = self.first_tracked();
    }

    /// An OK packet of Athena's own, as the whole reply.
    pub fn ok(&self) -> Payload {
        self.ok_at(1)
    }

    /// The same behind other packets.
    pub fn ok_at(&self, seq: u8) -> Payload {
        self.ok_with(seq, 0)
    }

    pub fn ok_with(&self, seq: u8, warnings: u16) -> Payload {
        let status = self.own_status();
        let ok = OkPacket { header: OkPacket::HEADER, status, warnings, ..OkPacket::END_OF_ROWS };
        let mut bytes = Vec::with_capacity(16);
        write_packet(&mut bytes, seq, &ok.encode(self.capabilities));
        bytes.into()
    }

    /// The end of something that is no rows, of Athena's own: an OK packet in the place of an EOF, or an EOF.
    pub fn eof(&self) -> Payload {
        let (status, warnings) = (self.own_status(), self.repeated_warnings());
        let mut bytes = Vec::with_capacity(16);
        if self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            let ok = OkPacket { status, warnings, ..OkPacket::END_OF_ROWS };
            write_packet(&mut bytes, 1, &ok.encode(self.capabilities));
        } else {
            write_packet(&mut bytes, 1, &EofPacket { warnings, status }.encode());
        }
        bytes.into()
    }

    /// The number of warnings in replies to commands that are no statements: a MySQL repeats that of the statement before,
    /// a MariaDB has none.
    pub fn repeated_warnings(&self) -> u16 {
        let listed = u16::try_from(self.before.warnings.rows.len()).unwrap_or(u16::MAX);
        match self.warnings {
            _ if self.is_on_mariadb() => 0,
            // Beside the error there may be warnings, which are counted where they are read.
            1 if self.before.failed => listed.max(1),
            warnings => warnings,
        }
    }

    /// The status in a reply of Athena's own.
    pub fn own_status(&self) -> StatusFlags {
        let mut status = self.status & StatusFlags::OF_THE_SESSION;
        if !self.holds.in_transaction() {
            status -= StatusFlags::IN_TRANS | StatusFlags::IN_TRANS_READONLY;
        }
        status
    }

    /// The start of a statement's text, if slow statements are logged.
    fn text_for_the_log(&self, incoming: &Incoming) -> Option<String> {
        self.ctx.config.log.slow_query?;
        let payload = match incoming {
            Incoming::Command(command) => command.get(HEADER_LEN..)?,
            Incoming::Oversized(command) => &command.start,
        };
        let text = match payload.first().copied().and_then(Command::from_byte) {
            Some(Command::Query) => self.text(payload).unwrap_or_default(),
            _ => b"",
        };
        let start = text.get(..text.len().min(4 * LOGGED_CHARS)).unwrap_or_default();
        Some(String::from_utf8_lossy(start).chars().take(LOGGED_CHARS).collect())
    }
}

/// Where a command is answered, for the metric.
fn target(command: Command, route: Route) -> Target {
    match command {
        Command::Query
        | Command::StmtPrepare
        | Command::StmtExecute
        | Command::StmtBulkExecute
        | Command::StmtFetch
        | Command::StmtSendLongData
        | Command::InitDb
        | Command::Statistics
        | Command::FieldList
        | Command::RegisterSlave
        | Command::BinlogDump
        | Command::BinlogDumpGtid
        | Command::Debug
        | Command::Refresh => route.to,
        _ => Target::Local,
    }
}
