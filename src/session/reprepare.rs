//! A session's statement on a link that has not prepared it.

use std::rc::Rc;
use std::time::Duration;

use crate::metrics::label::ErrorKind;
use crate::net::Payload;
use crate::parser::Hazards;
use crate::pool::{Brought, Lease, LinkError};
use crate::protocol::command::Command;
use crate::protocol::error::ErrorCode;
use crate::protocol::packet::command_packet;
use crate::protocol::reply::Reply;

use super::context::Phase;
use super::driver::Session;
use super::failure::{Refusal, Stop};
use super::link::{Held, Use};
use super::registry::LinkId;
use super::seen::Seen;
use super::statements::StatementText;

/// `ER_MAX_PREPARED_STMT_COUNT_REACHED`: the server has as many as it may for all its connections together.
pub(super) const MAX_PREPARED_STATEMENTS: u16 = 1461;

/// How often room is made for one statement: others may take what was made.
const ROOM_ATTEMPTS_MAX: usize = 8;

impl Session {
    /// Prepares the statement on the link unless it is already. `cursor`: it has one, or is to be executed
    /// with one.
    pub async fn have_prepared(
        &mut self,
        link: &mut Use,
        id: u32,
        text: &StatementText,
        cursor: bool,
    ) -> Result<(), Stop> {
        let lease = link.lease();
        if let Some(on_link) = lease.statement(text.key) {
            let settled = self.statements.get(id).is_none_or(|statement| statement.is_settled_as(on_link));
            let fits = settled && (cursor || !on_link.had_cursor);
            if fits || self.holds.has_long_data(id) || !self.executions_stick() {
                return Ok(());
            }
            lease.remove_statement(text.key);
        } else if self.holds.has_long_data(id) {
            let message = "Parameters sent ahead were lost: the session has too many statements prepared \
                           ([pool] max_prepared_statements)";
            self.holds.long_data(id, false);
            return Err(Refusal::new(ErrorKind::TooLarge, ErrorCode::UnknownStmtHandler, message).into());
        }
        self.ctx.metrics.statements_reprepared.inc();
        Box::pin(self.prepare_anew(link, text)).await
    }

    /// Whether the first EXECUTE of a statement settles the types of its parameters for good, so that others are
    /// converted to them (MySQL from 8.0.22 on). For a session that began with other types it has to be another one. Nor is
    /// one of any use there, once it has had a cursor, to a session that wants the rows: measured on 9.7, there come none,
    /// and not even their end.
    fn executions_stick(&self) -> bool {
        !self.is_on_mariadb()
    }

    /// Prepares the statement in the schema and the dialect that the session had when it prepared it, which may not be
    /// those that it has now: names would mean other tables, and quotes other things.
    async fn prepare_anew(&mut self, link: &mut Use, text: &StatementText) -> Result<(), Stop> {
        if matches!(link.held, Held::Bound(_)) {
            self.read_before_own(link).await?;
        }
        self.entry.wait();
        let free = matches!(link.held, Held::Free(_));
        let lease = link.lease();
        let back = lease.schema.clone();
        // A link without a schema could not be brought back to none: there a name without one is an error.
        let elsewhere = text.schema.is_some() && back.is_some() && text.schema != back;
        let states = &self.cluster().pool().states;
        // What a routine may have set could not be brought back.
        let of_user_variables =
            text.facts.hazards.contains(Hazards::USER_VARIABLE) && !self.holds.may_have_unseen();
        // Nothing else of that time: to set autocommit would commit the transaction that may be open here.
        let as_then = self.state.reading_as(&text.state, of_user_variables);
        let Some(state) = states.changed(&self.state, &as_then) else {
            return Err(Refusal::unsupported(
                "Preparing a statement again whose user variables are too large",
            )
            .into());
        };
        let moves = elsewhere || state != self.state;
        if moves {
            // A user variable that was not there yet leaves its type to the statement; only a reset takes it away.
            let brought = match free && of_user_variables && !lease.is_settled() {
                true => self.backend(lease.bring(text.schema.as_ref(), &state, states)).await?,
                false => self.backend(lease.visit(text.schema.as_ref(), &state)).await?,
            };
            match brought {
                Brought::Already | Brought::Done => {}
                Brought::NoSchema(err) => {
                    self.bring_back(lease, back.as_ref()).await?;
                    return Err(Refusal::of_server(err).into());
                }
                Brought::Refused(_) => return Err(LinkError::Closed.into()),
            }
        }
        self.entry.on_link(LinkId::of(lease));
        let mut refused = self.backend(lease.prepare(text.key, &text.text)).await?;
        for _ in 0..ROOM_ATTEMPTS_MAX {
            if refused.as_ref().is_none_or(|err| err.code != MAX_PREPARED_STATEMENTS)
                || !self.make_room(lease).await?
            {
                break;
            }
            refused = self.backend(lease.prepare(text.key, &text.text)).await?;
        }
        if self.entry.off_link() {
            self.kills_land(lease).await;
        }
        self.entry.wait();
        if moves {
            self.bring_back(lease, back.as_ref()).await?;
        }
        let interrupted = !self.entry.go_on();
        match refused {
            None if interrupted => Err(Refusal::interrupted().into()),
            None => Ok(()),
            Some(err) => Err(Refusal::of_server(err).into()),
        }
    }

    /// The server had no room for a client's new statement, as the last packets of its reply say: they are what the client
    /// gets if no room can be made.
    pub async fn prepare_again(
        &mut self,
        link: &mut Use,
        text: &StatementText,
        mut last: Payload,
        reply: &mut Reply,
        seen: &mut Seen,
    ) -> Result<Payload, Stop> {
        for _ in 0..ROOM_ATTEMPTS_MAX {
            if seen.error != Some(MAX_PREPARED_STATEMENTS) || !self.make_room(link.lease()).await? {
                break;
            }
            *reply = Reply::to_prepare(self.capabilities, self.status);
            *seen = Seen { statement_id: seen.statement_id, uses_table: seen.uses_table, ..Seen::default() };
            let command = command_packet(&[&[Command::StmtPrepare as u8], &text.text[..]].concat());
            last = self.relay(link, command.into(), reply, seen).await?;
        }
        Ok(last)
    }

    /// Gives the server statements back that nobody needs there: of an idle link, or else of the session's own, which
    /// prepares them again when it executes them. False if there are none.
    async fn make_room(&self, lease: &mut Lease) -> Result<bool, Stop> {
        let pool = lease.pool().clone();
        let free = pool.free_statements();
        match self.wait(Duration::ZERO, Phase::Ending, free).await {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(_) => return Err(self.ended().into()),
        }
        if self.holds.has_open_statements() || !lease.has_statements() {
            return Ok(false);
        }
        lease.forget_statements();
        Ok(true)
    }

    /// Brings a link back to the session after something of the session's was prepared elsewhere.
    async fn bring_back(&self, lease: &mut Lease, schema: Option<&Rc<[u8]>>) -> Result<(), Stop> {
        match self.backend(lease.visit(schema, &self.state)).await? {
            Brought::Already | Brought::Done => Ok(()),
            // The link is where the session is not.
            Brought::NoSchema(_) | Brought::Refused(_) => Err(LinkError::Closed.into()),
        }
    }

    /// What becomes of the link when a statement could not be prepared on it: an error of the server's leaves it whole.
    pub fn unprepared(&mut self, link: Use, stop: Stop) -> Stop {
        match stop {
            Stop::Refuse(refusal) if refusal.leaves_link() => {
                self.refused_on_the_way(&refusal);
                self.keep_or_give_back(link);
                Stop::Refuse(refusal)
            }
            stop => self.lost_on_the_way(link, stop),
        }
    }
}
