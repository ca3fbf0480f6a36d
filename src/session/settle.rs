//! After a command: what was seen decides where the link goes.

use crate::circuit::Permit;
use crate::metrics::label::{BoundReason, ClosedReason};
use crate::net::Payload;
use crate::parser::{Effect, Facts, Hazards, Ids, StatementKind};
use crate::pool::{Bound, Link, LinkError};
use crate::protocol::capability::StatusFlags;

use super::before::asks_for_list;
use super::driver::Session;
use super::failure::{Refusal, Stop};
use super::holds::Circumstances;
use super::link::{Held, Use};
use super::retry::Instead;
use super::seen::Seen;

/// Errors after which a server closes the connection: shutdown, a packet too large or out of order, KILL, inactivity.
const CLOSING_ERRORS: [u16; 8] = [1053, 1153, 1156, 1158, 1159, 1927, 3169, 4031];

/// What may set LAST_INSERT_ID() without telling an id.
const MAY_INSERT: Hazards =
    Hazards::LAST_INSERT_ID_SET.union(Hazards::CALL).union(Hazards::MULTI).union(Hazards::TEXT_PREPARE);

impl Session {
    /// The end of a command on a link: settled if its reply is complete, lost if it was broken off.
    pub fn finish(
        &mut self,
        mut link: Use,
        facts: Facts,
        seen: &Seen,
        outcome: Result<Payload, Stop>,
    ) -> Result<Payload, Stop> {
        if self.is_split() {
            match self.look_for_another(&mut link, seen, &outcome) {
                Instead::Nothing => {}
                Instead::Again => {
                    // It must not be this server that is asked again.
                    link.into_lease().close(ClosedReason::Demoted);
                    self.forget_unread();
                    self.answered_with_error(&seen.server_error(), false);
                    return outcome;
                }
                Instead::RolledBack(refusal) => {
                    self.holds.clear();
                    self.forget_unread();
                    link.into_lease().close(ClosedReason::Demoted);
                    return Err(refusal.into());
                }
            }
        }
        match outcome {
            Ok(last) => {
                if seen.error.is_some() && seen.out_of_time.is_none() {
                    self.ctx.metrics.server_errors.inc();
                }
                self.settle(link, facts, seen);
                if let Some(refusal) = self.in_words_of_primary(seen) {
                    return Err(refusal.into());
                }
                if let Some(error) = &seen.out_of_time {
                    self.answered_with_error(error, false);
                }
                Ok(last)
            }
            Err(stop) => Err(self.lost(link, stop)),
        }
    }

    /// Takes in what a complete reply showed, then keeps the link or gives it back.
    pub fn settle(&mut self, mut link: Use, facts: Facts, seen: &Seen) {
        if let Some(status) = seen.status {
            // What is set for one statement shows in its status.
            const OF_MODE: StatusFlags = StatusFlags::ANSI_QUOTES.union(StatusFlags::NO_BACKSLASH_ESCAPES);
            self.status = match seen.effects.contains(&Effect::OneShotVariables) {
                true => (status - OF_MODE) | (self.status & OF_MODE),
                false => status,
            };
            link.lease().status = status;
        }
        // As of before the statement: what it names without a schema was in that.
        let schema = self.schema.clone();
        if let Some(schema) = &seen.schema {
            self.schema.clone_from(schema);
            self.entry.set_schema(schema.clone());
            link.lease().schema.clone_from(schema);
        }
        let mariadb = self.is_on_mariadb();
        self.before.after(facts, seen, &mut self.unread, mariadb);
        // The error itself is one.
        if seen.error.is_some() {
            self.warnings = 1;
        } else if seen.status.is_some() || seen.prepared.is_some() {
            self.warnings = seen.warnings;
        }
        // A command that is no statement leaves the server's answers as they were: to the one before, if that ran here.
        let follows = self.is_last && matches!(link.held, Held::Bound(_));
        self.is_last = !facts.hazards.intersects(Hazards::TRACKERS | Hazards::QUERY_CACHE)
            && (facts.kind != StatementKind::Command || seen.error.is_some() || follows);
        if seen.warned || seen.error.is_some() {
            link.lease().warnings_of = Some(self.mark);
        } else if clears_warnings(facts, seen, mariadb) {
            link.lease().warnings_of = None;
        }
        self.note_insert_id(link.lease(), facts, seen);
        let tells = link.lease().tells_gtids;
        self.note_written(facts, seen, tells);
        let circumstances = Circumstances {
            tracks_transactions: link.lease().tracks_transactions(),
            schema: schema.as_deref(),
        };
        self.holds.after(facts, seen, circumstances);
        if self.holds.leaves_doubt(seen, mariadb) {
            self.unread.transaction = true;
        } else if matches!(facts.kind, StatementKind::Commit | StatementKind::Rollback | StatementKind::Begin)
        {
            self.unread.transaction = false;
        }
        self.note_transaction(facts, seen.error.is_some());
        if seen.changes_state(facts) {
            self.take_in_state(link.lease(), facts, seen);
        }
        if facts.hazards.contains(Hazards::NEW_ERA) {
            self.cluster().pool().eras.begin();
        }
        if closes_link(facts, seen) {
            let released = seen.error.is_none();
            self.link_ended = released || self.holds.has_state() || self.unread.has_state();
            self.bound = None;
            self.lose_long_data();
            self.holds.clear();
            self.forget_unread();
            link.into_lease().close(ClosedReason::ServerClosed);
            return;
        }
        self.keep_or_give_back(link);
        self.note_failure(seen.error);
    }

    /// Whether the OK packet's id is what LAST_INSERT_ID() is now is not always clear: it also tells an id that was given
    /// by the statement itself, which LAST_INSERT_ID() knows nothing of.
    fn note_insert_id(&mut self, link: &mut Link, facts: Facts, seen: &Seen) {
        use StatementKind::{Insert, Load, Replace};
        let unclear = match seen.last_insert_id {
            _ if seen.error.is_some() => {
                facts.hazards.intersects(Hazards::WRITES | Hazards::LAST_INSERT_ID_SET)
            }
            // What the expression gives, if that is not zero.
            Some(_) if facts.hazards.contains(Hazards::LAST_INSERT_ID_SET) => false,
            Some(id) => facts.hazards.contains(Hazards::MULTI) || facts.ids.may_be(id),
            None => {
                let returns = matches!(facts.kind, Insert | Replace) && seen.rows.is_some();
                returns || facts.kind == Load || facts.hazards.intersects(MAY_INSERT)
            }
        };
        if unclear {
            if !self.unread.insert_id {
                self.unread.insert_id_before = link.insert_id;
            }
            // One that stands in the text was given, and a row that was updated instead has had its own.
            let updated = facts.kind == Insert
                && !facts.hazards.contains(Hazards::SELECTS)
                && matches!(seen.affected_rows, 0 | 2);
            let drawn = facts.ids == Ids::UNCLEAR && !updated;
            self.unread.insert_id_told = seen.last_insert_id.filter(|_| drawn);
            self.unread.insert_id = true;
            link.insert_id = None;
        } else if let Some(id) = seen.last_insert_id {
            self.unread.insert_id = false;
            self.last_insert_id = id;
            link.insert_id = Some(id).filter(|_| !seen.of_several_parts);
        }
    }

    /// Keeps the link if something is held on it.
    pub fn keep_or_give_back(&mut self, link: Use) {
        let unread = (!self.unread.is_empty()).then_some(BoundReason::Unread);
        let Some(reason) = self.holds.reason().or(unread) else {
            let lease = link.into_lease();
            if self.holds.needs_reset() {
                self.holds.clear();
                lease.give_back_dirty();
            } else {
                lease.give_back();
            }
            return;
        };
        let Use { held, permit } = link;
        self.permit = permit.filter(|_| self.holds.keeps_permit()).map(Permit::alone);
        self.bound = Some(self.bind(held, reason));
    }

    /// The link is the session's own, and the metrics say why.
    pub fn bind(&self, held: Held, reason: BoundReason) -> Bound {
        match held {
            Held::Bound(mut bound) => {
                bound.set_reason(reason);
                bound
            }
            Held::Free(lease) => Bound::new(lease, reason, self.timer.now()),
        }
    }

    /// A command failed half-way, and its link with it. A session whose state was on that link can't go on: its client
    /// would believe in variables and locks that are gone.
    pub fn lost(&mut self, link: Use, stop: Stop) -> Stop {
        drop(link);
        if self.is_branched() && !self.is_member_here() {
            // The transaction was not here, or not yet.
            self.stay_without_branch();
        } else if self.is_branched() {
            let is_all = self.has_only_branches() && !self.unread.has_state();
            self.drop_branches();
            if let Stop::Refuse(refusal) = &stop
                && is_all
                && refusal.is_lost_link()
                && !refusal.fatal
            {
                self.holds.clear();
                self.forget_unread();
                return Refusal { seq: refusal.seq, ..self.rolled_back() }.into();
            }
        }
        let stateful = self.holds.has_state() || self.unread.has_state();
        let may_start_over = self.leaves_transaction && self.may_start_over();
        self.lose_long_data();
        self.holds.clear();
        self.forget_unread();
        match stop {
            Stop::Refuse(refusal) if may_start_over && refusal.is_lost_link() && !refusal.fatal => {
                Refusal { seq: refusal.seq, ..self.rolled_back() }.into()
            }
            Stop::Refuse(refusal) if stateful => {
                let fatal: Refusal = refusal.fatal();
                fatal.into()
            }
            other => other,
        }
    }

    /// Parameters sent ahead are gone with their link, which EXECUTE has to say: without them it means something else.
    fn lose_long_data(&mut self) {
        for id in self.holds.statements_with_long_data() {
            if let Some(statement) = self.statements.get(*id) {
                statement.long_data_failure = Some(LinkError::Closed.into());
            }
        }
    }
}

/// Whether a statement without warnings of its own leaves the server without any.
fn clears_warnings(facts: Facts, seen: &Seen, mariadb: bool) -> bool {
    let by_table = !mariadb || seen.uses_table == Some(true);
    match seen.prepared {
        Some(_) => !mariadb,
        None => seen.status.is_some() && by_table && !asks_for_list(facts),
    }
}

/// Whether the server closes the connection behind its reply.
pub(super) fn closes_link(facts: Facts, seen: &Seen) -> bool {
    match seen.error {
        Some(code) => CLOSING_ERRORS.contains(&code),
        None => facts.hazards.contains(Hazards::RELEASE),
    }
}
