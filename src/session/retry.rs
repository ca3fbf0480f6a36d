//! Statements that are said once more, of which their clients hear nothing: where the first attempt has surely done nothing,
//! and a cluster has another server to say it to.
//!
//! ```text
//! a write, outside of transactions   the server says that it is read-only     wait for another primary
//! a read, not answered yet           its connection is lost                   another server
//! anything that was not sent yet     its connection is lost                   another link
//! a read on a replica                a table is not there, or it writes       the primary
//! ```
//!
//! A write whose connection is lost may have been carried out, so its client is told.

use std::time::Instant;

use crate::metrics::label::RetryReason;
use crate::net::Payload;
use crate::parser::{Effect, Facts, Hazards, StatementKind};
use crate::protocol::command::Command;

use super::driver::Session;
use super::failure::{Refusal, Stop};
use super::link::{Held, Use};
use super::seen::Seen;

/// Longer commands are said once.
const KEPT_MAX: usize = 1 << 20;

/// Room for commands that a session keeps from one to the next.
const ROOM_MAX: usize = 4096;

/// Reads whose connections were lost, one after the other.
const LOST_MAX: usize = 3;

/// `ER_OPTION_PREVENTS_STATEMENT`, `ER_READ_ONLY_MODE`
const READ_ONLY: [u16; 2] = [1290, 1836];

/// `ER_BAD_DB_ERROR`, `ER_BAD_FIELD_ERROR`, `ER_NO_SUCH_TABLE`, `ER_SP_DOES_NOT_EXIST`
const NOT_THERE: [u16; 4] = [1049, 1054, 1146, 1305];

/// Why a statement is said once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// This member said that it is read-only.
    Demoted(usize),
    Lost,
    Behind,
}

/// What becomes of a statement instead of its own end.
pub(super) enum Instead {
    Nothing,
    /// It is said again elsewhere, and its link is of no use any more.
    Again,
    /// The transaction that it was in is gone.
    RolledBack(Box<Refusal>),
}

/// The command that runs, as long as it may be said again.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// The whole packets.
    command: Vec<u8>,
    kept: bool,
    since: Option<Instant>,
    lost: usize,
    /// Members whose connections those were.
    lost_on: Vec<usize>,
    /// What the last attempt has come to.
    pub again: Option<Again>,
}

/// Whether a statement can't have committed a transaction.
pub(super) fn leaves_transaction(facts: Facts) -> bool {
    use StatementKind as K;
    const MAY_COMMIT: Hazards = Hazards::MULTI
        .union(Hazards::CALL)
        .union(Hazards::TEXT_PREPARE)
        .union(Hazards::AUTOCOMMIT_SET)
        .union(Hazards::XA)
        .union(Hazards::UNSURE);
    let kind = matches!(
        facts.kind,
        K::Select
            | K::Insert
            | K::Update
            | K::Delete
            | K::Replace
            | K::With
            | K::Values
            | K::Show
            | K::Explain
            | K::Do
            | K::Set
            | K::Savepoint
            | K::Rollback
    );
    kind && !facts.hazards.intersects(MAY_COMMIT)
}

impl Attempts {
    /// Whether the command has lost its connection to this member before.
    pub fn lost_on(&self, member: usize) -> bool {
        self.lost_on.contains(&member)
    }

    /// The command is not said again, whatever becomes of it.
    pub fn forget(&mut self) {
        self.kept = false;
    }

    /// The command has its outcome.
    pub fn end(&mut self) {
        if self.command.capacity() > ROOM_MAX {
            self.command = Vec::new();
        }
    }

    /// Has the command said again, if it was kept.
    fn ask(&mut self, again: Again) -> bool {
        if self.kept {
            self.again = Some(again);
        }
        self.kept
    }

    fn lose(&mut self, member: usize) {
        if self.lost < LOST_MAX && self.ask(Again::Lost) {
            self.lost_on.push(member);
        }
    }
}

impl Session {
    /// A command begins. What it is about is not known yet; it is kept if it may have to be said again.
    pub fn begin_command(&mut self, command: Command, bytes: &Payload) {
        if !self.is_split() && !self.has_shard_servers() {
            return;
        }
        self.route = self.route_of_command();
        (self.leaves_transaction, self.goes_to_primary_now) = (false, false);
        let attempts = &mut self.attempts;
        (attempts.again, attempts.since, attempts.lost) = (None, None, 0);
        attempts.lost_on.clear();
        let is_statement = matches!(
            command,
            Command::Query
                | Command::StmtPrepare
                | Command::StmtExecute
                | Command::StmtBulkExecute
                | Command::InitDb
        );
        attempts.kept = is_statement && bytes.len() <= KEPT_MAX;
        if attempts.kept {
            attempts.command.clear();
            attempts.command.extend_from_slice(bytes);
        }
    }

    /// The command once more, if the attempt asks for that.
    pub async fn once_more(&mut self) -> Result<Option<Payload>, Stop> {
        let Some(again) = self.attempts.again.take() else { return Ok(None) };
        let now = self.timer.now();
        let since = *self.attempts.since.get_or_insert(now);
        let reason = match again {
            Again::Demoted(member) => {
                if !self.wait_for_another(member, since).await? {
                    return Ok(None);
                }
                RetryReason::Demoted
            }
            Again::Lost => {
                self.attempts.lost += 1;
                RetryReason::Lost
            }
            Again::Behind => {
                self.goes_to_primary_now = true;
                RetryReason::Behind
            }
        };
        self.ctx.metrics.retried.of(reason).inc();
        Ok(Some(self.attempts.command.clone().into()))
    }

    /// Looks at what a statement came to on a link of a cluster with several servers.
    pub fn look_for_another(
        &mut self,
        link: &mut Use,
        seen: &Seen,
        outcome: &Result<Payload, Stop>,
    ) -> Instead {
        let free = matches!(link.held, Held::Free(_));
        let member = link.lease().member();
        match outcome {
            Ok(_) => {
                let Some(code) = seen.error else { return Instead::Nothing };
                if READ_ONLY.contains(&code) && is_about_read_only(&seen.message) && !self.on_replica {
                    self.cluster().view.suspect(member);
                    if !free && self.may_start_over() {
                        return Instead::RolledBack(Box::new(self.rolled_back()));
                    }
                    let nothing_lost = free || self.has_nothing_on_link();
                    if self.set_again(nothing_lost, seen, Again::Demoted(member)) {
                        return Instead::Again;
                    }
                } else if self.on_replica && is_not_for_replica(code, &seen.message) {
                    self.set_again(free || self.has_nothing_on_link(), seen, Again::Behind);
                }
            }
            Err(Stop::Refuse(refusal)) if refusal.is_lost_link() => {
                self.cluster().view.suspect(member);
                let unanswered = refusal.seq == Some(1) && !refusal.fatal && seen.status.is_none();
                let nothing_lost = (free || self.has_nothing_on_link()) && !self.is_branched();
                if self.route.reads && unanswered && nothing_lost {
                    self.attempts.lose(member);
                }
            }
            Err(_) => {}
        }
        Instead::Nothing
    }

    /// Whether the session's own link is kept by nothing but questions that need not be asked any more once it is gone.
    fn has_nothing_on_link(&self) -> bool {
        self.holds.reason().is_none() && !self.holds.has_state() && !self.unread.has_state()
    }

    /// [`Session::lost`] before the statement itself was sent: whatever it is, it may be said on another link, unless there was
    /// something of the session on this one.
    pub fn lost_on_the_way(&mut self, mut link: Use, stop: Stop) -> Stop {
        let is_lost = matches!(&stop, Stop::Refuse(refusal) if refusal.is_lost_link() && !refusal.fatal);
        if self.is_split() && is_lost {
            let member = link.lease().member();
            self.cluster().view.suspect(member);
            if self.has_nothing_on_link() && !self.is_branched() {
                self.attempts.lose(member);
            }
        }
        self.lost(link, stop)
    }

    /// A server has refused to bring its link to the session's state, or to prepare a statement there: a replica may not have yet
    /// what it was told to use.
    pub fn refused_on_the_way(&mut self, refusal: &Refusal) {
        let is_behind = refusal.kind.is_none() && NOT_THERE.contains(&refusal.error.code);
        if self.is_split() && self.on_replica && is_behind && self.has_nothing_on_link() {
            self.attempts.ask(Again::Behind);
        }
    }

    /// A replica refuses a write for being one; in a read-only transaction the primary would refuse it for that.
    pub fn in_words_of_primary(&self, seen: &Seen) -> Option<Refusal> {
        let refused = seen.error.is_some_and(|code| READ_ONLY.contains(&code));
        let in_transaction = self.is_split() && self.on_replica && self.holds.in_transaction();
        (refused && in_transaction && is_about_read_only(&seen.message)).then(Refusal::read_only_transaction)
    }

    fn set_again(&mut self, free: bool, seen: &Seen, again: Again) -> bool {
        // Of several statements the first ones have been carried out.
        free && seen.status.is_none() && self.attempts.ask(again)
    }

    /// A statement is to run: decides where. `effects` reads what it calls, where that matters.
    pub fn place(&mut self, facts: Facts, effects: impl FnOnce() -> Vec<Effect>) -> Result<(), Refusal> {
        if !self.is_split() {
            return Ok(());
        }
        self.leaves_transaction = leaves_transaction(facts);
        if self.transaction_is_lost {
            // The first one that does not roll back what is gone is told.
            let refusal = self.rolled_back();
            let rolls_back = facts.kind == StatementKind::Rollback && !facts.hazards.contains(Hazards::MULTI);
            if !rolls_back {
                return Err(refusal);
            }
        }
        self.decide(facts, effects)
    }
}

/// Whether the primary may have another answer: it has what is missing here, or what looked like a read writes (a view may call a
/// function that does).
fn is_not_for_replica(code: u16, message: &[u8]) -> bool {
    NOT_THERE.contains(&code) || (READ_ONLY.contains(&code) && is_about_read_only(message))
}

/// The name of the option stands in the message of every language.
fn is_about_read_only(message: &[u8]) -> bool {
    [&b"read-only"[..], b"read_only"].iter().any(|name| message.windows(name.len()).any(|part| part == *name))
}
