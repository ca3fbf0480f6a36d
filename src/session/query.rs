//! Statements as text, and the other commands that a backend answers.

use crate::metrics::label::{BoundReason, Direction, ErrorKind};
use crate::net::{ExchangeError, Payload};
use crate::parser::{Facts, Hazards, StatementKind, digest, effects, facts};
use crate::pool::LinkError;
use crate::protocol::capability::Capabilities;
use crate::protocol::command::Command;
use crate::protocol::error::ErrorCode;
use crate::protocol::packet::{HEADER_LEN, PacketError, command_packet};
use crate::protocol::query_attributes;
use crate::protocol::reply::Reply;

use super::asks::Asked;
use super::context::Phase;
use super::driver::{Session, Waited};
use super::failure::{End, Refusal, Stop};
use super::input::Oversized;
use super::link::{NO_SQL, Use, schema_name};
use super::overtime::only_reads;
use super::own::allowed_oversized;
use super::seen::Seen;
use super::servers::Errand;

/// Where arguments begin: behind the header and the command byte.
const ARGUMENTS: usize = HEADER_LEN + 1;

impl Session {
    /// COM_QUERY.
    pub async fn query(&mut self, command: Payload) -> Result<Payload, Stop> {
        let text = self.text(command.get(HEADER_LEN..).unwrap_or_default());
        let text = text.ok_or_else(Refusal::malformed)?;
        let mode = self.sql_mode();
        let facts = facts(text, mode);
        if self.account.classes.need_digest() {
            self.digest = Some(digest(text, mode));
        }
        if let Some(ending) = self.ending(facts)?
            && let Some(reply) = Box::pin(self.end_branches(ending, text)).await?
        {
            return Ok(reply);
        }
        self.place(facts, || effects(text, mode))?;
        if self.unread.transaction && !self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            // The packet behind the columns tells of it before the server's own does.
            Box::pin(self.read_own_link()).await?;
        }
        if facts.kind == StatementKind::Explain
            && let Some(reply) = Box::pin(self.explain_athena(&command)).await?
        {
            return Ok(reply);
        }
        let text = self.text(command.get(HEADER_LEN..).unwrap_or_default()).unwrap_or_default();
        if let Some(plan) = self.sharded(text, mode)? {
            return Box::pin(self.sharded_query(command, facts, plan)).await;
        }
        if self.has_shard_servers() {
            Box::pin(self.go_home_for(text, facts, mode)).await?;
        }
        if facts.kind == StatementKind::Show
            && let Some(reply) = Box::pin(self.show_of_shards(&command, facts)).await?
        {
            return Ok(reply);
        }
        if facts.hazards.contains(Hazards::SERVER_TABLES)
            && let Some(reply) = Box::pin(self.schema_of_shards(&command, facts)).await?
        {
            return Ok(reply);
        }
        self.query_at_home(command, facts).await
    }

    /// COM_QUERY with a text that goes to its server as it is.
    pub async fn query_at_home(&mut self, command: Payload, facts: Facts) -> Result<Payload, Stop> {
        if facts.hazards.intersects(Hazards::OF_SESSIONS) {
            return Box::pin(self.query_of_sessions(command, facts)).await;
        }
        if self.is_special(facts) {
            return Box::pin(self.special_query(command, facts)).await;
        }
        let reply = Reply::to_query(self.capabilities, self.status);
        self.run_on_link(command, facts, reply).await
    }

    /// Whether a text does more to its session than trackers tell, or asks what its link may not know.
    pub fn is_special(&mut self, facts: Facts) -> bool {
        facts.has_effects()
            || self.holds.has_names()
            || self.holds.may_begin_unseen()
            || self.may_keep_warnings()
            || self.asks_athena(facts)
    }

    /// COM_QUERY with a text of that kind.
    pub async fn special_query(&mut self, mut command: Payload, mut facts: Facts) -> Result<Payload, Stop> {
        let at = self.text_offset(command.get(HEADER_LEN..).unwrap_or_default());
        let text_at = HEADER_LEN + at.ok_or_else(Refusal::malformed)?;
        let mut silent = false;
        if self.asks_athena(facts) {
            match self.ask_back(command, text_at, facts).await? {
                Asked::Command(answered) => command = answered,
                Asked::InOtherWords(answered) => (command, silent) = (answered, true),
                Asked::Reply(reply) => return Ok(reply),
            }
        }
        // It may leave the list as it is, which is another session's.
        self.clears_warnings |= facts.kind == StatementKind::Call && self.bound.is_none();
        let mode = self.sql_mode();
        let effects = self.effects_of(command.get(text_at..).unwrap_or_default(), mode, &mut facts);
        self.may_set_target(&effects)?;
        let mut reply = Reply::to_query(self.capabilities, self.status);
        if silent {
            reply = reply.with_warnings(0);
        }
        let table = self.uses_table(command.get(text_at..).unwrap_or_default(), mode, &effects);
        let mut seen = Seen { silent, uses_table: Some(table), ..Seen::of(effects) };
        let link = self.take_link(facts).await?;
        let outcome = self.run_on(link, command, facts, &mut reply, &mut seen).await;
        // A server that is asked about that statement would speak of the other words.
        self.is_last &= !silent;
        outcome
    }

    /// The text in the payload of a COM_QUERY, or the beginning of one: behind the attributes, if this client has any.
    /// `None` if they can't be read.
    pub fn text<'a>(&self, payload: &'a [u8]) -> Option<&'a [u8]> {
        payload.get(self.text_offset(payload)?..)
    }

    /// Where that text begins.
    pub fn text_offset(&self, payload: &[u8]) -> Option<usize> {
        match self.has_attributes() {
            true => query_attributes::text_offset(payload).ok(),
            false => Some(1),
        }
    }

    /// Whether statements come with attributes, if only to say that there are none.
    pub fn has_attributes(&self) -> bool {
        self.identity.flags.contains(Capabilities::QUERY_ATTRIBUTES)
    }

    /// COM_INIT_DB.
    pub async fn init_db(&mut self, command: Payload) -> Result<Payload, Stop> {
        let name = schema_name(command.get(ARGUMENTS..).unwrap_or_default());
        let adds = !self.is_on_mariadb();
        if (adds && self.unread.warnings) || self.unread.transaction {
            Box::pin(self.read_own_link()).await?;
        }
        let kept = if adds { self.before.warnings.clone() } else { Default::default() };
        let mut link = self.take_link(NO_SQL).await?;
        let mut reply =
            Reply::to_query(self.capabilities, self.status).with_warnings(self.repeated_warnings());
        let mut seen = Seen::default();
        let outcome = self.relay(&mut link, command, &mut reply, &mut seen).await;
        if outcome.is_ok() {
            if seen.error.is_none() {
                seen.schema.get_or_insert(Some(name.clone()));
                seen.warnings = self.warnings;
            }
            self.ctx.note_schema(&self.identity.account, &name, seen.error.is_none());
        }
        let outcome = self.finish(link, NO_SQL, &seen, outcome);
        if let (true, Some(code)) = (adds, seen.error) {
            // A MySQL puts the error behind the warnings that are there; those on the link may be somebody else's.
            (self.before.warning_count, self.before.warnings) = (kept.rows.len() as u64, kept);
            self.before.refused(code, &String::from_utf8_lossy(&seen.message), true);
            self.unread.warnings = false;
        }
        outcome
    }

    /// What no reply has told of a statement that failed, and the reply to a command that is none repeats: whether there is a
    /// transaction, and on a MySQL how many warnings there were.
    async fn read_behind_error(&mut self) -> Result<(), Stop> {
        let counts = self.unread.warnings && self.before.failed && !self.is_on_mariadb();
        if counts || self.unread.transaction { self.read_own_link().await } else { Ok(()) }
    }

    /// COM_PING.
    pub async fn ping(&mut self) -> Result<Payload, Stop> {
        Box::pin(self.read_behind_error()).await?;
        self.nothing_done(self.repeated_warnings()).await
    }

    /// The OK of a command that is no statement. In a transaction it is the server's to say whether that is still there: a
    /// statement that failed may have ended it.
    pub async fn nothing_done(&mut self, warnings: u16) -> Result<Payload, Stop> {
        let outcome = match self.bound.is_some() && self.holds.in_transaction() {
            true => {
                let ping = command_packet(&[Command::Ping as u8]);
                let reply = Reply::to_query(self.capabilities, self.status).with_warnings(warnings);
                Box::pin(self.run_on_link(ping.into(), NO_SQL, reply)).await
            }
            false => Ok(self.ok_with(1, warnings)),
        };
        self.before.row_count = 0;
        self.is_last = false;
        outcome
    }

    /// COM_STATISTICS.
    pub async fn statistics(&mut self, command: Payload) -> Result<Payload, Stop> {
        let reply = Reply::to_statistics(self.capabilities, self.status);
        self.run_on_link(command, NO_SQL, reply).await
    }

    /// COM_FIELD_LIST.
    pub async fn field_list(&mut self, mut command: Payload) -> Result<Payload, Stop> {
        let mut at = self.account.cluster;
        if let Some(of_first_shard) = self.fields_of_first_shard(&command) {
            (command, at) = (of_first_shard, self.server_of(0));
        }
        Box::pin(self.go_to(at, Errand::Question)).await?;
        let reply = Reply::to_field_list(self.capabilities, self.status);
        self.run_on_link(command, NO_SQL, reply).await
    }

    /// COM_DEBUG and COM_REFRESH, as far as the server has them and the account on the link may.
    pub async fn administer(&mut self, command: Payload) -> Result<Payload, Stop> {
        let reply = Reply::to_query(self.capabilities, self.status);
        self.run_on_link(command, NO_SQL, reply).await
    }

    pub async fn run_on_link(
        &mut self,
        command: Payload,
        facts: Facts,
        mut reply: Reply,
    ) -> Result<Payload, Stop> {
        let link = self.take_link(facts).await?;
        self.run_on(link, command, facts, &mut reply, &mut Seen::default()).await
    }

    async fn run_on(
        &mut self,
        mut link: Use,
        command: Payload,
        facts: Facts,
        reply: &mut Reply,
        seen: &mut Seen,
    ) -> Result<Payload, Stop> {
        let cleared = match self.clear_warnings(&mut link).await {
            Ok(cleared) => cleared,
            Err(stop) => return Err(self.lost_on_the_way(link, stop)),
        };
        seen.only_reads = only_reads(facts);
        let outcome = match facts.hazards.contains(Hazards::TRACKERS) {
            false => self.relay(&mut link, command, reply, seen).await,
            true => Box::pin(self.relay_with_own_trackers(&mut link, facts, command, reply, seen)).await,
        };
        if facts.hazards.contains(Hazards::QUERY_CACHE)
            && outcome.is_ok()
            && let Err(stop) = Box::pin(self.backend(link.lease().track_all(&self.tracked))).await
        {
            return Err(self.lost(link, stop));
        }
        let outcome = self.finish(link, facts, seen, outcome);
        // What cleared the list was a statement, too.
        self.is_last &= !cleared;
        outcome
    }

    /// COM_QUERY with a text that is longer than is collected: passed on as it comes. What stands in the part that
    /// nobody has read may have done anything to the link, so the session keeps it.
    pub async fn oversized_query(&mut self, command: &mut Oversized) -> Result<Payload, Stop> {
        let Some(text) = self.text(&command.start) else {
            let message = "The text of a statement begins too far behind its attributes";
            return Err(Refusal::new(ErrorKind::TooLarge, ErrorCode::NetPacketTooLarge, message).into());
        };
        let mut facts = facts(text, self.sql_mode());
        if self.sharded(text, self.sql_mode()).is_ok_and(|plan| plan.is_none()) {
            allowed_oversized(facts)?;
        } else {
            return Err(Refusal::oversized_of_shards().into());
        }
        facts.hazards |= Hazards::UNSURE;
        Box::pin(self.go_with(self.account.cluster, facts, Vec::new)).await?;
        self.place(facts, Vec::new)?;
        let mut link = self.take_link(facts).await?;
        let mut reply = Reply::to_query(self.capabilities, self.status);
        let mut seen = Seen::default();
        self.holds.keep(BoundReason::Oversized);
        let passed = self.pass_through(&mut link, command, |bytes| bytes).await;
        let outcome = match passed {
            Ok(last) => self.relay(&mut link, last, &mut reply, &mut seen).await,
            Err(stop) => Err(stop),
        };
        self.finish(link, facts, &seen, outcome)
    }

    /// Passes an oversized command on to the link, all but its last bytes, which are returned. `first` may change the
    /// bytes that the command begins with: the header of its first packet, and what was collected to know it.
    pub async fn pass_through(
        &mut self,
        link: &mut Use,
        command: &mut Oversized,
        first: impl FnOnce(Payload) -> Payload,
    ) -> Result<Payload, Stop> {
        let max = self.ctx.config.server.max_packet_bytes;
        let mut first = Some(first);
        loop {
            let piece = match self.input.piece(command, max) {
                Ok(piece) => piece,
                Err(error) => return Err(broken(error)),
            };
            let Some((mut bytes, last)) = piece else {
                self.receive_more(None, link).await?;
                continue;
            };
            if bytes.len() > ARGUMENTS
                && let Some(first) = first.take()
            {
                bytes = first(bytes);
            }
            if last {
                return Ok(bytes);
            }
            if self.input.has_chunk() {
                // The header came out first; what arrived with it is next.
                self.tell_backend(link, bytes).await?;
                continue;
            }
            self.receive_more(Some(bytes), link).await?;
        }
    }
}

impl Session {
    /// Reads an oversized command to its end, for nothing but its end: where it was refused, the next one begins there.
    pub async fn discard(&mut self, command: &mut Oversized) -> Result<(), Stop> {
        let max = self.ctx.config.server.max_packet_bytes;
        let limit = self.ctx.config.server.write_timeout;
        while !command.is_over() {
            let piece = match self.input.piece(command, max) {
                Ok(piece) => piece,
                Err(error) => return Err(broken(error)),
            };
            if piece.is_some() {
                continue;
            }
            match self.wait(limit, Phase::Ending, self.socket.receive()).await {
                Ok(Ok(Some(chunk))) => {
                    self.count(Direction::ClientIn, chunk.len());
                    self.input.push(chunk);
                }
                Ok(Ok(None)) => return Err(End::Quit.into()),
                Ok(Err(error)) => return Err(End::Lost(error).into()),
                Err(Waited::Ended) => return Err(self.ended().into()),
                Err(_) => return Err(self.unread().into()),
            }
        }
        Ok(())
    }

    /// Sends `bytes` to the backend (if any) while more of an oversized command comes from the client.
    async fn receive_more(&mut self, bytes: Option<Payload>, link: &mut Use) -> Result<(), Stop> {
        let limit = self.ctx.config.server.write_timeout;
        let got = match bytes {
            Some(bytes) => {
                self.count(Direction::BackendOut, bytes.len());
                let exchange = link.lease().socket.exchange(bytes, &self.socket);
                self.wait(limit, Phase::Ending, exchange).await
            }
            None => {
                let received = self.wait(limit, Phase::Ending, self.socket.receive()).await;
                received.map(|got| got.map_err(ExchangeError::Receive))
            }
        };
        match got {
            Ok(Ok(Some(chunk))) => {
                self.count(Direction::ClientIn, chunk.len());
                self.input.push(chunk);
                Ok(())
            }
            Ok(Ok(None)) => Err(End::Quit.into()),
            Ok(Err(ExchangeError::Receive(error))) => Err(End::Lost(error).into()),
            Ok(Err(ExchangeError::Send(error))) => Err(LinkError::Io(error).into()),
            Err(Waited::Ended) => Err(self.ended().into()),
            Err(_) => Err(self.unread().into()),
        }
    }

    /// Sends a command that has no reply.
    pub async fn tell_backend(&self, link: &mut Use, bytes: Payload) -> Result<(), Stop> {
        self.count(Direction::BackendOut, bytes.len());
        self.backend(async { Ok(link.lease().socket.send(bytes).await?) }).await
    }
}

fn broken(error: PacketError) -> Stop {
    let refusal: Refusal = error.into();
    refusal.into()
}
