//! After a command: what was seen decides where the link goes.

use crate::metrics::label::{BoundReason, ClosedReason};
use crate::net::Payload;
use crate::parser::{Facts, Hazards, StatementKind};
use crate::pool::{Bound, Link, LinkError};

use super::driver::Session;
use super::failure::{Refusal, Stop};
use super::link::{ASKS_BACK, Held, Use};
use super::seen::Seen;

/// Errors after which a server closes the connection: shutdown, a packet too large or out of order, KILL, inactivity.
const CLOSING_ERRORS: [u16; 8] = [1053, 1153, 1156, 1158, 1159, 1927, 3169, 4031];

impl Session {
    /// The end of a command on a link: settled if its reply is complete, lost if it was broken off.
    pub fn finish(
        &mut self,
        link: Use,
        facts: Facts,
        seen: &Seen,
        outcome: Result<Payload, Stop>,
    ) -> Result<Payload, Stop> {
        match outcome {
            Ok(last) => {
                if seen.error.is_some() {
                    self.ctx.metrics.server_errors.inc();
                }
                self.settle(link, facts, seen);
                Ok(last)
            }
            Err(stop) => Err(self.lost(link, stop)),
        }
    }

    /// Takes in what a complete reply showed, then keeps the link or gives it back.
    pub fn settle(&mut self, mut link: Use, facts: Facts, seen: &Seen) {
        if let Some(status) = seen.status {
            self.status = status;
            link.lease().status = status;
        }
        if let Some(schema) = &seen.schema {
            self.schema.clone_from(schema);
            self.entry.set_schema(schema.clone());
            link.lease().schema.clone_from(schema);
        }
        // The error itself is one.
        if seen.error.is_some() {
            self.warnings = 1;
        } else if seen.status.is_some() || seen.prepared.is_some() {
            self.warnings = seen.warnings;
        }
        self.note_counts(link.lease(), facts, seen);
        if facts.hazards.intersects(ASKS_BACK) {
            self.holds.keep(BoundReason::SessionState);
        }
        self.holds.after(facts, seen);
        if facts.hazards.contains(Hazards::SET_TRANSACTION) && !link.lease().tracks_transactions() {
            self.holds.keep(BoundReason::SessionState);
        }
        if facts.hazards.contains(Hazards::NEW_ERA) {
            self.cluster().pool.eras.begin();
        }
        self.trace = Some(link.lease().trace());
        if closes_link(facts, seen) {
            let released = seen.error.is_none();
            self.link_ended = released || self.holds.has_state();
            self.bound = None;
            self.lose_long_data();
            self.holds.clear();
            lease_of(link).close(ClosedReason::ServerClosed);
            return;
        }
        self.keep_or_give_back(link);
    }

    /// LAST_INSERT_ID(), FOUND_ROWS() and the warnings live on the link: notes whose they are now.
    fn note_counts(&mut self, link: &mut Link, facts: Facts, seen: &Seen) {
        self.inserted = seen.last_insert_id.is_some();
        if let Some(id) = seen.last_insert_id {
            self.last_insert_id = id;
        }
        if seen.warned || seen.error.is_some() {
            link.warnings_of = Some(self.mark);
        }
        if link.insert_id_of != Some(self.mark) {
            // A write that failed may have drawn a number, too.
            if self.inserted || facts.hazards.contains(Hazards::WRITES) {
                link.insert_id_of = None;
            }
            if facts.hazards.contains(Hazards::LAST_INSERT_ID_SET) && seen.error.is_none() {
                link.insert_id_of = Some(self.mark);
            }
        }
        let rows = match facts.kind {
            StatementKind::Select | StatementKind::With | StatementKind::Values => true,
            StatementKind::Call | StatementKind::Execute | StatementKind::Other => true,
            _ => facts.hazards.contains(Hazards::MULTI),
        };
        if facts.hazards.contains(Hazards::TRACKERS) {
            // Athena has asked behind it.
            link.found_rows_of = None;
        } else if rows {
            link.found_rows_of = Some(self.mark).filter(|_| seen.error.is_none());
        }
    }

    /// Keeps the link if something is held on it.
    pub fn keep_or_give_back(&mut self, link: Use) {
        let Some(reason) = self.holds.reason() else {
            lease_of(link).give_back();
            return;
        };
        let Use { held, permit } = link;
        self.permit = permit.filter(|_| self.holds.keeps_permit());
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
        let stateful = self.holds.has_state();
        self.lose_long_data();
        self.holds.clear();
        match stop {
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

/// Whether the server closes the connection behind its reply.
pub(super) fn closes_link(facts: Facts, seen: &Seen) -> bool {
    match seen.error {
        Some(code) => CLOSING_ERRORS.contains(&code),
        None => facts.hazards.contains(Hazards::RELEASE),
    }
}

fn lease_of(link: Use) -> crate::pool::Lease {
    match link.held {
        Held::Free(lease) => lease,
        Held::Bound(bound) => bound.release(),
    }
}
