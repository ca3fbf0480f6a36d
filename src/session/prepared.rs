//! The commands of prepared statements. Their ids are the session's own; each link has its own for the same text.

use std::rc::Rc;

use crate::metrics::label::{ErrorKind, Sharded};
use crate::net::Payload;
use crate::parser::{
    Diagnostics, Effect, Facts, Hazards, Ids, SqlMode, StatementKind, diagnostics, effects, facts,
    uses_table, with_answers,
};
use crate::pool::{Changes, Link, user_variables};
use crate::protocol::capability::{Capabilities, StatusFlags};
use crate::protocol::command::Command;
use crate::protocol::error::ErrorCode;
use crate::protocol::packet::{HEADER_LEN, Header, MAX_PAYLOAD, command_packet};
use crate::protocol::parameter::{Parameter, parameters};
use crate::protocol::reply::Reply;
use crate::protocol::statement::{ExecuteHeader, insert_types, set_statement_id, statement_id};
use crate::protocol::warnings::WarningList;

use super::asks::Asked;
use super::driver::Session;
use super::failure::{Refusal, Stop};
use super::input::Oversized;
use super::link::{Held, NO_SQL, Use};
use super::overtime::only_reads;
use super::reprepare::MAX_PREPARED_STATEMENTS;
use super::seen::Seen;
use super::servers::Errand;
use super::sharded::{Execution, ShardedStatement};
use super::statements::{Meant, Statement, StatementText};

/// Statements that a session may have prepared; a server's default for all of its sessions together.
const STATEMENTS_MAX: usize = 16_382;

/// What becomes of an EXECUTE whose statement is not the one that the client prepared: it asks about the one before, or is of
/// sharded tables.
enum Answer {
    /// It is executed in this form.
    Statement(Rc<StatementText>),
    /// The whole reply.
    Reply(Payload),
}

/// An EXECUTE that goes to the server.
struct Execute<'a> {
    /// The client's.
    id: u32,
    text: &'a Rc<StatementText>,
    /// Those of the text, with what the parameters say.
    facts: Facts,
    header: &'a ExecuteHeader,
    /// The text was made for this execution.
    is_once: bool,
}

impl Session {
    /// COM_STMT_PREPARE.
    pub async fn prepare(&mut self, mut command: Payload) -> Result<Payload, Stop> {
        // Whatever it fails of: an EXECUTE that was sent along must not mean the statement before.
        self.statements.last_prepared = None;
        // What the statement means depends on the session's state, which has to be known.
        if !self.unread.knows_state() {
            Box::pin(self.read_own_link()).await?;
        }
        let mode = SqlMode { one_statement: true, ..self.sql_mode() };
        let mut facts = facts(command.get(HEADER_LEN + 1..).unwrap_or_default(), mode);
        let own = facts.hazards.intersects(Hazards::OF_SESSIONS);
        if own {
            command = self.prepare_of_sessions(command, mode, &mut facts)?;
        }
        if self.statements.len() >= STATEMENTS_MAX {
            let message = format!("Can't create more than {STATEMENTS_MAX} prepared statements in a session");
            let code = ErrorCode::MaxPreparedStmtCountReached;
            return Err(Refusal::new(ErrorKind::TooLarge, code, message).into());
        }
        let sql = command.get(HEADER_LEN + 1..).unwrap_or_default();
        let sharded = Box::pin(self.prepare_sharded(sql, mode, facts)).await?;
        if let Some(planned) = &sharded {
            command = prepare_command(&planned.words)?;
        }
        if self.has_shard_servers() {
            let at = sharded.as_ref().map_or(self.account.cluster, |planned| self.server_of(planned.shard));
            Box::pin(self.go_to(at, Errand::Question)).await?;
        }
        let sql = command.get(HEADER_LEN + 1..).unwrap_or_default();
        let named = facts.has_effects() || facts.kind == StatementKind::Ddl;
        let effects = if named { effects(sql, mode) } else { Vec::new() };
        self.place(facts, || effects.clone())?;
        let meant = Meant { schema: self.schema.as_ref(), state: &self.state, facts, effects: &effects };
        let text = match own {
            // It has the session's id in it.
            true => self.ctx.texts.own(&meant, sql),
            false => self.ctx.texts.get(&meant, sql),
        };
        let twin = self.statements.has_text(text.key);
        let text = if twin { self.ctx.texts.own(&meant, sql) } else { text };
        let mut seen = Seen { statement_id: self.statements.next_id(), ..Seen::default() };
        if self.may_keep_warnings() {
            seen.uses_table = Some(uses_table(&text.text, mode));
        }
        let mut reply = Reply::to_prepare(self.capabilities, self.status);
        let mut link = self.take_link(NO_SQL).await?;
        let mut outcome = self.relay(&mut link, command, &mut reply, &mut seen).await;
        if seen.error == Some(MAX_PREPARED_STATEMENTS)
            && let Ok(refusal) = outcome
        {
            outcome = Box::pin(self.prepare_again(&mut link, &text, refusal, &mut reply, &mut seen)).await;
        }
        if outcome.is_ok() {
            if let Some(ok) = seen.prepared {
                self.note_named_variables(link.lease(), &text);
                link.lease().add_statement(text.key, ok.statement_id);
                let types = Vec::new();
                let (params, settled) = (ok.params, Vec::new());
                let sharded = sharded.map(|planned| planned.statement);
                let (long_data_failure, sent_ahead) = (None, Default::default());
                let statement =
                    Statement { text, params, types, settled, sharded, long_data_failure, sent_ahead };
                self.statements.insert(seen.statement_id, statement);
            }
            self.statements.last_prepared = seen.prepared.map(|_| seen.statement_id);
        }
        self.finish(link, NO_SQL, &seen, outcome)
    }

    /// To prepare a statement that sets a user variable makes the variable, with nothing in it: on a MySQL of the collation that
    /// the value is going to have.
    fn note_named_variables(&mut self, link: &mut Link, text: &StatementText) {
        let mut changes = Changes::default();
        let mariadb = self.is_on_mariadb();
        for effect in &text.effects {
            let Effect::UserVariable { name, .. } = effect else { continue };
            if self.state.user_variable(name).is_some() {
            } else if !mariadb {
                self.unread.user_variable(name);
            } else if text.facts.kind == StatementKind::Set {
                let unset = user_variables::null_of(user_variables::UNSET, name);
                changes.user_variables.push((name.clone().into(), Some(unset.into())));
            }
        }
        if !changes.is_empty() || self.unread.has_state() {
            self.change_state(link, &changes);
        }
    }

    /// Whether the client and its links have COM_STMT_BULK_EXECUTE.
    pub fn has_bulk(&self) -> bool {
        self.identity.flags.contains(Capabilities::MARIADB_STMT_BULK_OPERATIONS)
    }

    /// COM_STMT_EXECUTE and COM_STMT_BULK_EXECUTE.
    pub async fn execute(&mut self, command: Payload) -> Result<Payload, Stop> {
        let mut command = self.with_values_sent_ahead(command)?;
        let payload = command.get(HEADER_LEN..).unwrap_or_default();
        let id = self.statements.resolve(statement_id(payload).map_err(|_| Refusal::malformed())?);
        let (mut text, params) = self.executable(id)?;
        let mut header =
            ExecuteHeader::parse(payload, params, self.has_attributes()).map_err(|_| Refusal::malformed())?;
        self.note_types(id, payload, &header);
        if let Some(ending) = self.ending(text.facts)?
            && let Some(reply) = Box::pin(self.end_branches(ending, &text.text)).await?
        {
            return Ok(reply);
        }
        let sharded = self.statements.get(id).and_then(|statement| statement.sharded.clone());
        if self.account.classes.need_digest() {
            let of_text = || text.digest(self.sql_mode());
            self.digest = Some(sharded.as_ref().map_or_else(of_text, |sharded| sharded.digest));
        }
        if let Some(sharded) = sharded {
            match self.execute_on_shards(id, &text, &sharded, &mut command, &mut header).await? {
                Answer::Statement(of_shard) => text = of_shard,
                Answer::Reply(reply) => return Ok(reply),
            }
        } else if self.has_shard_servers() {
            Box::pin(self.go_home_for(&text.text, text.facts, self.sql_mode())).await?;
        }
        let mut facts = text.facts;
        let payload = command.get(HEADER_LEN..).unwrap_or_default();
        facts.ids = self.explicit_ids(id, payload, &header, facts.ids);
        self.place(facts, || text.effects.clone())?;
        self.may_set_target(&text.effects)?;
        if header.opens_cursor() {
            self.route_cursor();
        }
        let asks = self.asks_athena(text.facts) || self.asks_in_vain(&text);
        if asks {
            // What stands in its place is gone when the client would fetch.
            header.decline_cursor(command.get_mut(HEADER_LEN..).unwrap_or_default());
            let answer = Box::pin(self.with_answers_in(&text)).await?;
            text = match answer {
                Answer::Statement(text) => text,
                Answer::Reply(reply) => return Ok(reply),
            };
        }
        if text.facts.hazards.contains(Hazards::KILL) {
            return Box::pin(self.execute_kill(&text)).await;
        }
        let execute = Execute { id, text: &text, facts, header: &header, is_once: asks };
        self.execute_on_link(execute, command).await
    }

    /// The reply of several shards, or the statement of the one that has all of its rows, at whose server the session is then.
    async fn execute_on_shards(
        &mut self,
        id: u32,
        text: &StatementText,
        sharded: &ShardedStatement,
        command: &mut Payload,
        header: &mut ExecuteHeader,
    ) -> Result<Answer, Stop> {
        let ids = self.ids_of_execution(id, command, header, sharded).await?;
        let execution = self.execution(id, command, header, sharded, &ids);
        let of_shard = match execution.inspect_err(|_| self.count_sharded(Sharded::Refused))? {
            Execution::Several(several) => {
                self.place(text.facts, || text.effects.clone())?;
                let payload = command.get(HEADER_LEN..).unwrap_or_default();
                let ids = self.explicit_ids(id, payload, header, text.facts.ids);
                let reply = Box::pin(self.execute_on_several(several.with_ids(ids))).await?;
                return Ok(Answer::Reply(reply));
            }
            Execution::One(of_shard) => of_shard,
        };
        self.count_sharded(Sharded::One);
        let at = self.server_of(self.shard);
        if at != self.at {
            Box::pin(self.go_with(at, of_shard.facts, || of_shard.effects.clone())).await?;
        }
        Ok(Answer::Statement(of_shard))
    }

    /// Takes a link, prepares the statement there if it is not yet, and passes the command and its reply.
    async fn execute_on_link(&mut self, execute: Execute<'_>, command: Payload) -> Result<Payload, Stop> {
        let Execute { id, text, facts, header, is_once } = execute;
        let mut link = self.take_link(facts).await?;
        if let Err(stop) = self.have_prepared(&mut link, id, text, header.opens_cursor()).await {
            return Err(self.unprepared(link, stop));
        }
        if self.needs_insert_id(facts, link.lease()) {
            // To prepare it elsewhere may have taken a reset.
            link = Box::pin(self.bring_insert_id(link)).await?;
        }
        let command = match self.bound_to_link(&mut link, id, text, command, header) {
            Ok(command) => command,
            Err(refusal) => return Err(self.unprepared(link, refusal.into())),
        };
        let cleared = match self.clear_warnings(&mut link).await {
            Ok(cleared) => cleared,
            Err(stop) => return Err(self.lost_on_the_way(link, stop)),
        };
        let mut reply = Reply::to_execute(self.capabilities, self.status, header.opens_cursor());
        let mut seen = Seen { only_reads: only_reads(facts), ..Seen::of(text.effects.clone()) };
        if self.may_keep_warnings() {
            seen.uses_table = Some(uses_table(&text.text, self.sql_mode()));
        }
        let outcome = match facts.hazards.contains(Hazards::TRACKERS) {
            false => self.relay(&mut link, command, &mut reply, &mut seen).await,
            true => {
                let relayed = self.relay_with_own_trackers(&mut link, facts, command, &mut reply, &mut seen);
                Box::pin(relayed).await
            }
        };
        if outcome.is_ok() {
            self.executed(id, header, &seen);
        }
        if is_once {
            link.lease().remove_statement(text.key);
        }
        let outcome = self.finish(link, facts, &seen, outcome);
        self.is_last &= !cleared;
        outcome
    }

    /// Which ids an INSERT may give, where its parameters say so with their values.
    fn explicit_ids(&mut self, id: u32, payload: &[u8], header: &ExecuteHeader, of_text: Ids) -> Ids {
        if !of_text.needs_parameters() {
            return of_text;
        }
        let Some(statement) = self.statements.get(id) else { return Ids::UNCLEAR };
        // A bulk execution has its NULLs among the values.
        if payload.first() == Some(&(Command::StmtBulkExecute as u8)) {
            return Ids::UNCLEAR;
        }
        let Ok(values) = parameters(payload, header, &statement.types) else { return Ids::UNCLEAR };
        if values.len() != usize::from(statement.params) {
            return Ids::UNCLEAR;
        }
        values.iter().fold(of_text.without_parameters(), |ids, value| match value {
            Parameter::Null => ids,
            Parameter::Signed(number) => ids.with_signed_parameter(*number),
            Parameter::Unsigned(number) => ids.with_parameter(*number),
            Parameter::Text(text) => ids.with_text_parameter(text),
            Parameter::Other => Ids::UNCLEAR,
        })
    }

    /// The same statement with what it asks about the one before written into it.
    async fn with_answers_in(&mut self, text: &Rc<StatementText>) -> Result<Answer, Stop> {
        self.read_own_link().await?;
        let mode = SqlMode { one_statement: true, ..self.sql_mode() };
        let list = text.facts.hazards.contains(Hazards::READS_DIAGNOSTICS);
        if list && matches!(text.facts.kind, StatementKind::Show | StatementKind::Other) {
            let question = diagnostics(&text.text, mode);
            if self.before.warnings.rows.is_empty() {
                self.clears_warnings = true;
                return Ok(Answer::Statement(text.clone()));
            }
            let Some(question @ (Diagnostics::ShowWarnings(_) | Diagnostics::ShowErrors(_))) = question
            else {
                return Err(Refusal::other_link().into());
            };
            let none = Payload::from(Vec::new());
            return match self.ask_for_list(none, question, WarningList::BINARY).await? {
                Asked::Reply(reply) => Ok(Answer::Reply(reply)),
                Asked::Command(_) | Asked::InOtherWords(_) => Err(Refusal::other_link().into()),
            };
        }
        let answered = with_answers(&text.text, mode, self.is_on_mariadb(), &self.answers())
            .map_err(|_| Refusal::other_link())?;
        let meant = Meant {
            schema: text.schema.as_ref(),
            state: &text.state,
            facts: text.facts,
            effects: &text.effects,
        };
        Ok(Answer::Statement(self.ctx.texts.own(&meant, &answered)))
    }

    /// COM_STMT_EXECUTE with more parameters than are collected: passed on as they come.
    pub async fn oversized_execute(&mut self, command: &mut Oversized) -> Result<Payload, Stop> {
        let id = self.statements.resolve(statement_id(&command.start).map_err(|_| Refusal::malformed())?);
        let (text, params) = self.executable(id)?;
        if self.is_sharded(id) {
            return Err(Refusal::oversized_of_shards().into());
        }
        let header = ExecuteHeader::parse(&command.start, params, self.has_attributes())
            .map_err(|_| Refusal::malformed())?;
        self.note_types(id, &command.start, &header);
        Box::pin(self.go_with(self.account.cluster, text.facts, Vec::new)).await?;
        self.place(text.facts, || text.effects.clone())?;
        if header.opens_cursor() {
            self.route_cursor();
        }
        let mut link = self.take_link(text.facts).await?;
        if let Err(stop) = self.have_prepared(&mut link, id, &text, header.opens_cursor()).await {
            return Err(self.unprepared(link, stop));
        }
        if self.needs_insert_id(text.facts, link.lease()) {
            link = Box::pin(self.bring_insert_id(link)).await?;
        }
        let mut seen = Seen::of(text.effects.clone());
        let outcome = self.stream_execute(&mut link, command, id, &text, &header, &mut seen).await;
        if outcome.is_ok() {
            self.executed(id, &header, &seen);
        }
        self.finish(link, text.facts, &seen, outcome)
    }

    async fn stream_execute(
        &mut self,
        link: &mut Use,
        command: &mut Oversized,
        id: u32,
        text: &Rc<StatementText>,
        header: &ExecuteHeader,
        seen: &mut Seen,
    ) -> Result<Payload, Stop> {
        let mut on_server = None;
        // The beginning with the parameters' types put in, see `bound_to_link`.
        let mut typed = None;
        let attributes = self.has_attributes();
        if let (Some(statement), Some(on_link)) = (self.statements.get(id), link.lease().statement(text.key))
        {
            statement.settle_on(on_link, header.opens_cursor());
            if on_link.types != statement.types {
                if !header.new_params_bound {
                    typed = insert_types(&command.start, statement.params, &statement.types, attributes).ok();
                }
                on_link.types.clone_from(&statement.types);
            }
            on_server = Some(on_link.id);
        }
        if let Some(start) = &typed
            && !command.may_grow_by(start.len() - command.start.len())
        {
            let what = "EXECUTE without types, of a packet that they would make longer than 16 MiB,";
            return Err(Refusal::unsupported(what).into());
        }
        let first = |bytes: Payload| {
            let mut bytes = match typed {
                Some(start) => with_start(&bytes, &start),
                None => bytes,
            };
            on_server.into_iter().for_each(|id| patch_id(&mut bytes, id));
            bytes
        };
        let last = self.pass_through(link, command, first).await?;
        let mut reply = Reply::to_execute(self.capabilities, self.status, header.opens_cursor());
        self.relay(link, last, &mut reply, seen).await
    }

    /// COM_STMT_FETCH.
    pub async fn fetch(&mut self, mut command: Payload) -> Result<Payload, Stop> {
        let (id, text, _) = self.statement_of(&command, "mysqld_stmt_fetch")?;
        if let Some(at) = self.seat_with_statement(id) {
            Box::pin(self.go_to(at, Errand::Question)).await?;
        }
        let mariadb = self.is_on_mariadb();
        let no_cursor = || {
            let end = if mariadb { "" } else { "." };
            let message = format!("The statement ({id}) has no open cursor{end}");
            Stop::from(Refusal::new(ErrorKind::UnknownStatement, ErrorCode::StmtHasNoOpenCursor, message))
        };
        if !self.holds.has_cursor(id) {
            return Err(no_cursor());
        }
        let mut link = self.take_link(NO_SQL).await?;
        let Some(on_link) = link.lease().statement(text.key).map(|statement| statement.id) else {
            self.holds.cursor(id, false);
            self.keep_or_give_back(link);
            return Err(no_cursor());
        };
        patch_id(&mut command, on_link);
        let mut reply = Reply::to_field_list(self.capabilities, self.status);
        let mut seen = Seen::default();
        let outcome = self.relay(&mut link, command, &mut reply, &mut seen).await;
        let ended = seen.status.is_some_and(|status| status.contains(StatusFlags::LAST_ROW_SENT));
        if outcome.is_ok() && (ended || seen.error.is_some()) {
            self.holds.cursor(id, false);
        }
        self.finish(link, NO_SQL, &seen, outcome)
    }

    /// COM_STMT_RESET: ends a cursor and forgets parameters sent ahead.
    pub async fn reset_statement(&mut self, command: &Payload) -> Result<Payload, Stop> {
        let id =
            statement_id(command.get(HEADER_LEN..).unwrap_or_default()).map_err(|_| Refusal::malformed())?;
        let Some(statement) = self.statements.get(id) else {
            return Err(self.unknown_statement(id, "mysqld_stmt_reset").into());
        };
        statement.long_data_failure = None;
        statement.sent_ahead.clear();
        let key = statement.text.key;
        self.end_statement(id, key);
        if self.unread.transaction {
            self.read_own_link().await?;
        }
        self.warnings = 0;
        self.nothing_done(0).await
    }

    /// COM_STMT_CLOSE, which has no reply. Links keep the statement for others.
    pub fn close_statement(&mut self, command: &Payload) {
        let Ok(id) = statement_id(command.get(HEADER_LEN..).unwrap_or_default()) else { return };
        if let Some(statement) = self.statements.remove(id) {
            self.end_statement(id, statement.text.key);
        }
    }

    /// Forgets what a statement has on the link: by closing it there, which needs no reply.
    pub(super) fn end_statement(&mut self, id: u32, key: crate::pool::StatementKey) {
        self.end_statement_elsewhere(id, key);
        if !self.holds.has_cursor(id) && !self.holds.has_long_data(id) {
            return;
        }
        self.holds.cursor(id, false);
        self.holds.long_data(id, false);
        if let Some(mut bound) = self.bound.take() {
            bound.lease().remove_statement(key);
            let permit = self.permit.take();
            self.keep_or_give_back(Use { held: Held::Bound(bound), permit });
        }
    }

    fn executed(&mut self, id: u32, header: &ExecuteHeader, seen: &Seen) {
        let cursor = seen.status.is_some_and(|status| {
            status.contains(StatusFlags::CURSOR_EXISTS) && !status.contains(StatusFlags::LAST_ROW_SENT)
        });
        self.holds.cursor(id, header.opens_cursor() && cursor && seen.error.is_none());
        self.holds.long_data(id, false);
    }

    /// In the words of the server's family.
    pub(super) fn unknown_statement(&self, id: u32, function: &str) -> Refusal {
        Refusal::unknown_statement(id, if self.is_on_mariadb() { function } else { "mysql_stmt_precheck" })
    }

    /// The statement that a command names, if nothing stands against its execution.
    pub(super) fn statement_of(
        &mut self,
        command: &Payload,
        function: &str,
    ) -> Result<(u32, Rc<StatementText>, u16), Stop> {
        let id =
            statement_id(command.get(HEADER_LEN..).unwrap_or_default()).map_err(|_| Refusal::malformed())?;
        let Some(statement) = self.statements.get(id) else {
            return Err(self.unknown_statement(id, function).into());
        };
        Ok((id, statement.text.clone(), statement.params))
    }

    /// A statement that is to be executed: unless parameters sent ahead were lost. Then those that did arrive go, too,
    /// so that the client may send all of them again.
    fn executable(&mut self, id: u32) -> Result<(Rc<StatementText>, u16), Stop> {
        let Some(statement) = self.statements.get(id) else {
            return Err(self.unknown_statement(id, "mysqld_stmt_execute").into());
        };
        let (text, params) = (statement.text.clone(), statement.params);
        statement.sent_ahead.clear();
        if let Some(failure) = statement.long_data_failure.take() {
            self.end_statement(id, text.key);
            return Err(failure.into());
        }
        Ok((text, params))
    }

    /// Keeps the parameter types that a command brings: the client sends them once.
    fn note_types(&mut self, id: u32, payload: &[u8], header: &ExecuteHeader) {
        if header.new_params_bound
            && let Some(statement) = self.statements.get(id)
            && !header.param_types(payload).eq(statement.types.iter().copied())
        {
            statement.types = header.param_types(payload).collect();
        }
    }

    /// The command as the link's server takes it: with its own id, and with the parameters' types if it needs them: a
    /// client sends them once, and the server may have got others from another session since.
    pub(super) fn bound_to_link(
        &mut self,
        link: &mut Use,
        id: u32,
        text: &StatementText,
        mut command: Payload,
        header: &ExecuteHeader,
    ) -> Result<Payload, Refusal> {
        let attributes = self.has_attributes();
        let (Some(statement), Some(on_link)) = (self.statements.get(id), link.lease().statement(text.key))
        else {
            return Ok(command);
        };
        let payload = command.get(HEADER_LEN..).unwrap_or_default();
        let known = on_link.types == statement.types;
        if !known && !header.new_params_bound {
            // Fails only for a client that never sent types: its command goes as it is, and the server says so.
            if let Ok(with_types) = insert_types(payload, statement.params, &statement.types, attributes) {
                if with_types.len() >= MAX_PAYLOAD {
                    return Err(Refusal::outgrown("the types of its parameters"));
                }
                command = command_packet(&with_types).into();
            }
        }
        statement.settle_on(on_link, header.opens_cursor());
        if !known {
            on_link.types.clone_from(&statement.types);
        }
        patch_id(&mut command, on_link.id);
        Ok(command)
    }
}

/// A COM_STMT_PREPARE of another text than the client's.
fn prepare_command(text: &[u8]) -> Result<Payload, Refusal> {
    if text.len() + 1 >= MAX_PAYLOAD {
        return Err(Refusal::outgrown("the names of a shard's tables"));
    }
    Ok(command_packet(&[&[Command::StmtPrepare as u8], text].concat()).into())
}

/// Writes the id by which a link's server knows the statement into a command.
pub(super) fn patch_id(command: &mut [u8], id: u32) {
    if let Some(payload) = command.get_mut(HEADER_LEN..) {
        // The command's own id has been read from there.
        let _ = set_statement_id(payload, id);
    }
}

/// The beginning of an oversized command with another `start`, which may be longer: the header says so.
fn with_start(bytes: &[u8], start: &[u8]) -> Payload {
    let Some((head, collected)) = bytes.split_first_chunk() else { return bytes.to_vec().into() };
    let mut header = Header::parse(*head);
    // It was made sure that the packet stays one.
    header.len += u32::try_from(start.len().saturating_sub(collected.len())).unwrap_or(0);
    [&header.encode()[..], start].concat().into()
}
