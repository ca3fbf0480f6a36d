//! Going from server to server, where `[[shards]]` have servers of their own.
//!
//! A session sits at one cluster of servers at a time: that of `[backend]`, or one that has shards. A statement about a sharded
//! table is for where its shard is, and one about other tables for `[backend]`. What can't move (a temporary table, a lock)
//! stays behind on its link until the session is there again; a transaction is on one server, unless it has done nothing yet:
//! then it is begun anew where its first table is.

use crate::circuit::Permit;
use crate::metrics::label::ErrorKind;
use crate::parser::{Effect, Facts, Hazards, SqlMode, StatementKind, effects, uses_table};
use crate::pool::{Bound, Lease, SmallReply, StatementKey};
use crate::protocol::capability::StatusFlags;
use crate::protocol::error::ErrorCode;
use crate::router::sharding::cluster_of_copy;

use super::super::context::Cluster;
use super::super::driver::Session;
use super::super::failure::{Refusal, Stop};
use super::super::holds::Holds;
use super::super::leave::ROLLBACK;
use super::super::link::{Held, Use};
use super::super::written::Written;
use super::commit::give_back;
use super::savepoints::Savepoints;

/// Statements that begin a transaction and are kept to be said again elsewhere; and their bytes, together.
const OPENING_MAX: usize = 16;
const OPENING_BYTES_MAX: usize = 4096;

/// What a session has at a cluster while it is at another one.
#[derive(Default)]
pub(in crate::session) struct Seat {
    at: usize,
    bound: Option<Bound>,
    holds: Holds,
    permit: Option<Permit>,
    on_replica: bool,
    link_epoch: u64,
    written: Written,
    /// How far its branch of a transaction has come.
    phase: Branch,
}

/// How far a branch has come to its end.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Branch {
    #[default]
    Open,
    Prepared,
    Finished,
}

impl Seat {
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn is_at(&self, at: usize) -> bool {
        self.at == at
    }

    pub(super) fn lease(&mut self) -> Option<&mut Lease> {
        self.bound.as_mut().map(Bound::lease)
    }

    pub(super) fn set_prepared(&mut self) {
        self.phase = Branch::Prepared;
    }

    pub(super) fn was_prepared(&self) -> bool {
        self.phase == Branch::Prepared
    }

    pub(super) fn set_finished(&mut self) {
        self.phase = Branch::Finished;
    }

    pub(super) fn was_finished(&self) -> bool {
        self.phase == Branch::Finished
    }

    /// Whether there is nothing but a transaction here, or nothing at all.
    pub(super) fn has_only_branch(&self) -> bool {
        self.bound.is_none() || self.holds.is_only_branch()
    }

    /// The branch is over on its server. The link stays if there is something else on it.
    pub(super) fn end_branch(&mut self) {
        self.phase = Branch::Open;
        self.holds.forget_transaction();
        self.written.doubt();
        self.permit = None;
        if self.holds.reason().is_none()
            && let Some(bound) = self.bound.take()
        {
            give_back(bound.release(), self.holds.needs_reset());
            self.holds.clear();
        }
    }

    fn has_statement(&self, id: u32) -> bool {
        self.holds.has_cursor(id) || self.holds.has_long_data(id)
    }

    fn end_statement(&mut self, id: u32, key: StatementKey) {
        self.holds.cursor(id, false);
        self.holds.long_data(id, false);
        let Some(mut bound) = self.bound.take() else { return };
        bound.lease().remove_statement(key);
        match self.holds.reason() {
            Some(_) => self.bound = Some(bound),
            None => give_back(bound.release(), self.holds.needs_reset()),
        }
    }

    /// Closes the link: its server rolls back what is not prepared, and nobody else gets it.
    pub(super) fn lose(&mut self) {
        self.phase = Branch::Open;
        self.permit = None;
        self.holds.clear();
        drop(self.bound.take());
    }
}

/// What a session goes to another cluster for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum Errand {
    Statement,
    /// One before which a server commits.
    Definition,
    /// To learn something of a table, which is in no transaction.
    Question,
}

/// How the transaction has begun, as long as it has done nothing else.
#[derive(Debug)]
pub(in crate::session) struct Opening {
    /// SET TRANSACTION, START TRANSACTION, SAVEPOINT; `None` once there is more.
    said: Option<Vec<Box<[u8]>>>,
    /// The one that runs, and whether it begins all over again.
    runs: Option<(Box<[u8]>, bool)>,
    /// It has begun with more than a BEGIN.
    special: bool,
    /// Its savepoints, as they came about: a server that it goes on at has them too.
    savepoints: Savepoints,
    /// The one that runs does nothing with tables.
    idle: bool,
    /// To be said on the next link.
    along: Vec<Box<[u8]>>,
}

impl Default for Opening {
    fn default() -> Self {
        Self {
            said: Some(Vec::new()),
            runs: None,
            special: false,
            savepoints: Savepoints::default(),
            idle: false,
            along: Vec::new(),
        }
    }
}

impl Opening {
    /// A command begins: nothing is known of it yet.
    pub fn begin_command(&mut self) {
        (self.runs, self.idle) = (None, false);
        self.savepoints.begin_command();
    }

    /// Whether it can't be begun like this elsewhere.
    pub(super) fn is_special(&self) -> bool {
        self.special || self.savepoints.are_too_many
    }

    pub(super) fn savepoints(&mut self) -> &mut Savepoints {
        &mut self.savepoints
    }
}

/// Whether a transaction begins by this as it does by any statement.
fn is_plain(sql: &[u8]) -> bool {
    const PLAIN: [&[u8]; 4] =
        [b"begin", b"begin work", b"start transaction", b"start transaction read write"];
    PLAIN.iter().any(|plain| sql.trim_ascii().eq_ignore_ascii_case(plain))
}

impl Session {
    /// The cluster of the session's account, whose limits and tables are those of all of its servers.
    pub fn home(&self) -> &Cluster {
        &self.ctx.clusters[self.account.cluster]
    }

    /// Whether shards have servers of their own.
    pub fn has_shard_servers(&self) -> bool {
        self.home().tables.as_ref().is_some_and(|tables| tables.has_servers())
    }

    /// Whether a command may have left the session where it is not to stay.
    pub fn may_have_to_sit_back(&self) -> bool {
        let is_kept = self.bound.is_some() && self.holds.in_transaction() && !self.has_stray_transaction();
        (self.at != self.account.cluster || !self.seats.is_empty()) && !is_kept
    }

    /// Whether a question has begun a transaction on this link, beside that of the session. (Without autocommit it does.)
    fn has_stray_transaction(&self) -> bool {
        let is_here = self.bound.is_some() && self.holds.in_transaction();
        is_here
            && match self.is_branched() {
                true => !self.is_member_here(),
                false => self.has_transaction_elsewhere(),
            }
    }

    /// Whether the session has a transaction on another server than this one.
    pub(in crate::session) fn has_transaction_elsewhere(&self) -> bool {
        self.seats.iter().any(|seat| seat.bound.is_some() && seat.holds.in_transaction())
    }

    /// A command is over: the session sits where it has a transaction or something else, or at home.
    ///
    /// # Errors
    /// When the session has lost what only its link knew.
    pub async fn sit_back(&mut self) -> Result<(), Stop> {
        if self.has_stray_transaction() {
            let status = self.status;
            self.end_transaction().await?;
            self.status = status | StatusFlags::IN_TRANS;
        }
        let holds = |wanted: fn(&Holds) -> bool| {
            self.seats.iter().find(|seat| seat.bound.is_some() && wanted(&seat.holds)).map(|seat| seat.at)
        };
        let Some(at) = holds(Holds::in_transaction) else {
            if self.bound.is_none() {
                let at = holds(Holds::keeps_others_waiting).unwrap_or(self.account.cluster);
                self.sit(at);
            }
            return Ok(());
        };
        if self.bound.is_some() {
            // Its transaction is elsewhere, and so is whatever comes next.
            self.read_out().await?;
        }
        self.sit(at);
        Ok(())
    }

    /// Goes where a statement is for that uses no sharded table: home, if it uses another one, or has what only that has.
    pub async fn go_home_for(&mut self, sql: &[u8], facts: Facts, mode: SqlMode) -> Result<(), Stop> {
        const AT_HOME: Hazards = Hazards::CALL
            .union(Hazards::MAY_CALL)
            .union(Hazards::TEXT_PREPARE)
            .union(Hazards::HANDLER)
            .union(Hazards::NAMED_LOCK)
            .union(Hazards::SEQUENCE_NEXT)
            .union(Hazards::SEQUENCE_VALUE)
            .union(Hazards::XA)
            .union(Hazards::UNSURE);
        let stays = self.bound.is_some() && !facts.hazards.intersects(AT_HOME) && !uses_table(sql, mode);
        self.opening.idle = stays;
        if stays {
            self.note_opening(sql, facts);
            return Ok(());
        }
        self.go_with(self.account.cluster, facts, || effects(sql, mode)).await?;
        self.note_opening(sql, facts);
        Ok(())
    }

    /// Goes to a cluster with a statement, and decides anew which of its servers that is for.
    pub async fn go_with(
        &mut self,
        at: usize,
        facts: Facts,
        effects: impl FnOnce() -> Vec<Effect>,
    ) -> Result<(), Stop> {
        self.opening.begin_command();
        if at == self.at {
            return Ok(());
        }
        let errand = match facts.kind {
            StatementKind::Ddl => Errand::Definition,
            StatementKind::Explain => Errand::Question,
            _ => Errand::Statement,
        };
        self.go_to(at, errand).await?;
        self.route = self.route_of_command();
        Ok(self.place(facts, effects)?)
    }

    /// Goes to a cluster.
    pub async fn go_to(&mut self, at: usize, errand: Errand) -> Result<(), Stop> {
        if errand != Errand::Question && self.may_have_to_sit_back() {
            // Whatever was asked elsewhere: it is where its transaction is that the session sets out from.
            self.sit_back().await?;
        }
        if at == self.at {
            return Ok(());
        }
        if self.bound.is_some() && (!self.unread.is_empty() || self.holds.reason().is_none()) {
            self.read_out().await?;
        }
        let is_kept = self.bound.is_some() && (self.holds.in_transaction() || self.holds.locks_tables());
        match errand {
            Errand::Definition if self.bound.is_some() && self.holds.has_work() => {
                self.end_transaction().await?;
                self.read_out().await?;
            }
            Errand::Question => {}
            _ if is_kept => {
                if self.opening.said.is_none() && self.join(at)? {
                    return Ok(());
                }
                return self.leave_with_transaction(at).await;
            }
            _ => {}
        }
        self.sit(at);
        Ok(())
    }

    /// Leaves the link of a transaction that has done nothing but begin, to begin it elsewhere.
    async fn leave_with_transaction(&mut self, at: usize) -> Result<(), Stop> {
        /// However far it has come.
        const ENDS: [&str; 2] = ["BEGIN", ROLLBACK];
        let said = self.opening.said.take().filter(|_| !self.holds.locks_tables());
        let Some(said) = said else {
            return Err(Refusal::second_server(&self.cluster().name, &self.ctx.clusters[at].name).into());
        };
        let Some(bound) = self.bound.take() else { return Ok(()) };
        self.permit = None;
        let mut holds = Holds::default();
        holds.take_over(&self.holds);
        if self.holds.has_nothing_beside_transaction() {
            self.holds.clear();
            bound.release().give_back_dirty();
        } else {
            let mut link = Use { held: Held::Bound(bound), permit: None };
            for sql in ENDS {
                if let Err(stop) = self.backend(link.lease().query(sql)).await {
                    return Err(self.lost(link, stop));
                }
            }
            self.holds.forget_transaction();
            self.keep_or_give_back(link);
        }
        self.sit(at);
        self.holds.take_over(&holds);
        let special = self.opening.special;
        let savepoints = std::mem::take(&mut self.opening.savepoints);
        self.opening =
            Opening { said: Some(said.clone()), along: said, special, savepoints, ..Opening::default() };
        Ok(())
    }

    /// Says on a link what its transaction has begun with elsewhere.
    pub async fn begin_along(&mut self, mut link: Use) -> Result<Use, Stop> {
        for sql in std::mem::take(&mut self.opening.along) {
            match self.backend(link.lease().query_text(&sql)).await {
                Ok(SmallReply::Err(err)) => {
                    self.holds.clear();
                    link.into_lease().give_back_dirty();
                    return Err(Refusal::of_server(err).into());
                }
                Ok(_) => {}
                Err(stop) => return Err(self.lost(link, stop)),
            }
        }
        Ok(self.bound_at_once(link))
    }

    /// Whether the next link is to be told of a transaction.
    pub fn has_opening_along(&self) -> bool {
        !self.opening.along.is_empty()
    }

    /// A statement is to run on the session's own cluster that may be the beginning of a transaction.
    fn note_opening(&mut self, sql: &[u8], facts: Facts) {
        let begins = facts.kind == StatementKind::Begin;
        let opens = begins
            || facts.kind == StatementKind::Savepoint
            || facts.hazards.contains(Hazards::SET_TRANSACTION);
        let fits = self.opening.said.as_ref().is_none_or(|said| {
            said.len() < OPENING_MAX
                && said.iter().map(|text| text.len()).sum::<usize>() + sql.len() <= OPENING_BYTES_MAX
        });
        let is_alone = !facts.hazards.contains(Hazards::MULTI);
        self.opening.runs =
            (opens && fits && is_alone).then(|| (sql.into(), begins && self.holds.may_have_begun()));
        if facts.kind == StatementKind::Savepoint || !is_alone {
            self.opening.savepoints.run(sql, is_alone);
        }
    }

    /// A statement has run: whether its transaction, if there is one, has done anything by now.
    pub fn note_transaction(&mut self, facts: Facts, failed: bool) {
        if !self.has_shard_servers() {
            return;
        }
        self.opening.savepoints.note(failed);
        if let Some((sql, anew)) = self.opening.runs.take() {
            if failed {
                return;
            }
            if anew {
                (self.opening.said, self.opening.special) = (Some(Vec::new()), false);
                self.opening.savepoints = Savepoints::default();
            }
            self.opening.special |= facts.kind != StatementKind::Savepoint && !is_plain(&sql);
            if let Some(said) = &mut self.opening.said {
                said.push(sql);
            }
            return;
        }
        if !self.holds.in_transaction() {
            if self.has_transaction_elsewhere() {
                // It was a question, asked beside the transaction.
                return;
            }
            (self.opening.said, self.opening.special) = (Some(Vec::new()), false);
            self.opening.savepoints = Savepoints::default();
            return;
        }
        if !self.opening.idle && facts.kind != StatementKind::Command {
            self.opening.said = None;
        }
    }

    /// Where the server is that can't be had, if it is one of a shard.
    pub fn with_shard(&self, stop: Stop) -> Stop {
        use ErrorKind::{BackendTimeout, ConnectTimeout, LinkLost, Unavailable};
        match stop {
            Stop::Refuse(refusal)
                if self.at != self.account.cluster
                    && matches!(
                        refusal.kind,
                        Some(Unavailable | ConnectTimeout | LinkLost | BackendTimeout)
                    ) =>
            {
                let shard = Some(self.shard).filter(|shard| cluster_of_copy(*shard).is_none());
                refusal.on_server(&self.cluster().name, shard).into()
            }
            other => other,
        }
    }

    /// Whether something is set on a link, here or elsewhere, that does not go along.
    pub(in crate::session) fn has_state_of_one_link(&self) -> bool {
        self.holds.has_own_state() || self.seats.iter().any(|seat| seat.holds.has_own_state())
    }

    /// Takes the seat at a cluster, and leaves the one that it has.
    pub(in crate::session) fn sit(&mut self, at: usize) {
        if at == self.at {
            return;
        }
        let there = self.seats.iter().position(|seat| seat.at == at);
        let mut seat =
            there.map_or_else(|| Seat { at, ..Seat::default() }, |there| self.seats.swap_remove(there));
        seat.holds.keep_autocommit_of(&self.holds);
        std::mem::swap(&mut self.at, &mut seat.at);
        std::mem::swap(&mut self.bound, &mut seat.bound);
        std::mem::swap(&mut self.holds, &mut seat.holds);
        std::mem::swap(&mut self.permit, &mut seat.permit);
        std::mem::swap(&mut self.on_replica, &mut seat.on_replica);
        std::mem::swap(&mut self.link_epoch, &mut seat.link_epoch);
        std::mem::swap(&mut self.written, &mut seat.written);
        self.seats.push(seat);
        // The state may have changed since it was here.
        self.comes_back = self.bound.is_some();
        (self.takes_transaction_along, self.begins_branch) = (false, false);
        self.is_last = false;
    }

    /// Where a statement has its cursor, or parameters that were sent ahead, if that is not here.
    pub fn seat_with_statement(&self, id: u32) -> Option<usize> {
        self.seats.iter().find(|seat| seat.has_statement(id)).map(Seat::at)
    }

    /// The statement is closed, or begins anew: what it has elsewhere is gone.
    pub fn end_statement_elsewhere(&mut self, id: u32, key: StatementKey) {
        for seat in self.seats.iter_mut().filter(|seat| seat.has_statement(id)) {
            seat.end_statement(id, key);
        }
    }

    /// The session ends or starts anew: what it has where it is not is gone.
    pub fn leave_seats_behind(&mut self) {
        for seat in self.seats.drain(..) {
            if let Some(bound) = seat.bound {
                match seat.holds.can_be_reset() {
                    true => bound.release().give_back_dirty(),
                    false => drop(bound),
                }
            }
        }
        (self.opening, self.comes_back) = (Opening::default(), false);
        (self.global, self.begins_branch) = (None, false);
    }
}

impl Refusal {
    fn second_server(has: &str, wants: &str) -> Self {
        let message = format!(
            "The session has a transaction or locks on {}, and the statement is for {}: a transaction is on one server; COMMIT \
             first, or keep to the rows of one server",
            server(has),
            server(wants)
        );
        Self::new(ErrorKind::Unsupported, ErrorCode::NotSupportedYet, message)
    }

    /// Where it came about, unless it says so.
    pub(in crate::session) fn on_server(self, name: &str, shard: Option<u32>) -> Self {
        const MARK: &str = " of [[shards]])";
        if self.error.message.ends_with(MARK) {
            return self;
        }
        let shard = shard.map_or_else(String::new, |shard| format!("shard {shard} on "));
        self.with(&format!(" ({shard}{})", server(name)))
    }

    /// A statement on several servers.
    pub(in crate::session) fn several_servers(what: &str) -> Self {
        let message = format!(
            "{what} for several servers of [[shards]]: a transaction is on one server; compare the sharding column with a \
             value, or say a statement for each"
        );
        Self::new(ErrorKind::Unsupported, ErrorCode::NotSupportedYet, message)
    }

    /// A table that the server of a shard does not have.
    pub(in crate::session) fn not_beside(table: &str, at: &str) -> Self {
        let message = format!(
            "The statement uses `{table}`, which is on [backend], beside a table on {}: read it in a statement of its own",
            server(at)
        );
        Self::new(ErrorKind::Unsupported, ErrorCode::NotSupportedYet, message)
    }
}

/// A cluster in the words of errors.
fn server(name: &str) -> String {
    if name == "default" { "[backend]".to_owned() } else { format!("the server \"{name}\" of [[shards]]") }
}

impl Cluster {
    /// As errors and plans call it.
    pub(in crate::session) fn described(&self) -> String {
        server(&self.name)
    }
}
