//! What a session has on its link that can't move to another one: the reasons to keep it.

use crate::metrics::label::BoundReason;
use crate::parser::{Effect, Facts, Hazards, StatementKind, TableName};
use crate::pool::is_movable;
use crate::protocol::capability::StatusFlags;

use super::seen::{Seen, TransactionState};

/// What is held, kept from one reply to the next.
///
/// ```text
///                    begins with                            ends with
/// transaction        IN_TRANS, trackers                     a reply that says so
/// locked             the transaction tracker's L            UNLOCK TABLES
/// tables             CREATE TEMPORARY TABLE                 DROP TABLE of each
/// locks              GET_LOCK                               RELEASE_LOCK of each, proven by a question
/// handlers           HANDLER OPEN                           HANDLER CLOSE of each
/// statements         PREPARE as text                        DEALLOCATE of each
/// variables          SET of what can't be set elsewhere     SET of each to DEFAULT
/// server-wide        FLUSH ... WITH READ LOCK, LOCK         UNLOCK
///                    INSTANCE, BACKUP
/// xa                 XA START                               XA COMMIT, XA ROLLBACK
/// for good           what may have done anything            the session (a reset, or the end of the link)
/// cursors            CURSOR_EXISTS                          LAST_ROW_SENT, CLOSE, RESET of the statement
/// long data          SEND_LONG_DATA                         EXECUTE, CLOSE, RESET of the statement
/// ```
#[derive(Debug, Default)]
pub(super) struct Holds {
    in_transaction: bool,
    /// Without autocommit, on a link that does not track transactions.
    untold: bool,
    autocommit_off: bool,
    /// Without autocommit, before the transaction that it belongs to.
    savepoint: bool,
    tracked: bool,
    characteristics: bool,
    locked: bool,
    tables: Names<TableName>,
    locks: Names<Vec<u8>>,
    handlers: Names<Vec<u8>>,
    statements: Names<Vec<u8>>,
    variables: Names<Vec<u8>>,
    /// LOCK TABLES that no tracker tells of, FLUSH TABLES WITH READ LOCK.
    tables_locked: bool,
    instance_locked: bool,
    backup: bool,
    xa: bool,
    for_good: Option<BoundReason>,
    /// A reset would not clear what is held for good.
    indelible: bool,
    /// Something was held whose end only the text has told: the link is reset before others get it.
    stained: bool,
    /// Statements with an open cursor.
    cursors: Vec<u32>,
    /// Statements with parameters sent ahead.
    long_data: Vec<u32>,
}

/// Things of one kind, by their names.
#[derive(Debug)]
struct Names<T> {
    known: Vec<T>,
    /// There may be others.
    unclear: bool,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { known: Vec::new(), unclear: false }
    }
}

impl<T: PartialEq> Names<T> {
    fn is_empty(&self) -> bool {
        self.known.is_empty() && !self.unclear
    }

    fn add(&mut self, name: T) {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
    }

    fn remove(&mut self, name: &T) {
        self.known.retain(|known| known != name);
    }

    fn clear(&mut self) {
        self.known.clear();
        self.unclear = false;
    }
}

/// `ER_UNKNOWN_STMT_HANDLER`
const UNKNOWN_STATEMENT: u16 = 1243;
/// `ER_UNKNOWN_TABLE`
const UNKNOWN_TABLE: u16 = 1109;
/// `ER_PARSE_ERROR`
const PARSE_ERROR: u16 = 1064;

/// What a statement ran under.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances<'a> {
    /// The link tells of transactions.
    pub tracks_transactions: bool,
    /// The default schema.
    pub schema: Option<&'a [u8]>,
}

impl Holds {
    /// Takes in what a reply showed of a statement with these facts.
    pub fn after(&mut self, facts: Facts, seen: &Seen, circumstances: Circumstances<'_>) {
        if let Some(status) = seen.status {
            self.in_transaction = status.contains(StatusFlags::IN_TRANS);
            let autocommit = status.contains(StatusFlags::AUTOCOMMIT);
            self.untold = !autocommit && !circumstances.tracks_transactions;
            self.autocommit_off = !autocommit;
        }
        if let Some(state) = seen.transaction {
            self.tracked = state == TransactionState::Open
                || (state == TransactionState::Implicit && (self.in_transaction || seen.status.is_none()));
        }
        if let Some(locked) = seen.tables_locked {
            self.locked = locked;
        }
        if let Some(pending) = seen.characteristics {
            self.characteristics = pending;
        }
        // The parts of a text before the one that failed have been carried out.
        let failed = seen.error.is_some();
        self.savepoint = match facts.kind {
            _ if self.in_transaction || !self.autocommit_off => false,
            StatementKind::Savepoint => self.savepoint || !failed,
            StatementKind::Commit | StatementKind::Rollback => self.savepoint && failed,
            _ => self.savepoint,
        };
        let in_doubt = failed && facts.hazards.contains(Hazards::MULTI);
        for effect in &seen.effects {
            self.took_effect(effect, failed, in_doubt, circumstances);
        }
        // A handler goes with its table.
        if seen.error == Some(UNKNOWN_TABLE) && !in_doubt {
            for effect in &seen.effects {
                if let Effect::HandlerClose(name) | Effect::HandlerRead(name) = effect {
                    self.handlers.remove(name);
                }
            }
        }
        // A word that no server knows did nothing, nor did a statement of a name that none has.
        let unknown = facts.kind == StatementKind::Execute
            && seen.error == Some(UNKNOWN_STATEMENT)
            && !facts.hazards.contains(Hazards::MULTI);
        let nonsense =
            unknown || seen.error == Some(PARSE_ERROR) && !facts.hazards.contains(Hazards::MISREAD);
        let mut doubts = Hazards::UNSURE | Hazards::RESOURCE_GROUP | Hazards::SEQUENCE_NEXT;
        doubts.set(Hazards::UNSURE, !nonsense);
        if facts.hazards.intersects(doubts) {
            let unsure = facts.hazards.contains(Hazards::UNSURE) && !nonsense;
            self.keep(if unsure { BoundReason::Unknown } else { BoundReason::SessionState });
            self.indelible |= unsure || facts.hazards.contains(Hazards::RESOURCE_GROUP);
        }
        if facts.hazards.contains(Hazards::SET_TRANSACTION) && !circumstances.tracks_transactions {
            self.keep(BoundReason::SessionState);
        }
    }

    fn took_effect(
        &mut self,
        effect: &Effect,
        failed: bool,
        in_doubt: bool,
        circumstances: Circumstances<'_>,
    ) {
        let begins = !failed || in_doubt;
        let in_schema = |table: &TableName| {
            let schema = table.schema.clone().or_else(|| circumstances.schema.map(<[u8]>::to_vec));
            TableName { schema, name: table.name.clone() }
        };
        match effect {
            // It may have been got before the rest failed.
            Effect::NamedLock(Some(name)) => self.locks.add(name.clone()),
            Effect::NamedLock(None) | Effect::OtherLock => self.locks.unclear = true,
            Effect::ReleaseAllNamedLocks if !failed => self.locks.clear(),
            Effect::CreateTemporary(table) if begins => self.tables.add(in_schema(table)),
            Effect::DropTable(table) if !failed => self.tables.remove(&in_schema(table)),
            Effect::RenameTable { from, to } if begins && self.tables.known.contains(&in_schema(from)) => {
                self.tables.add(in_schema(to));
                if !failed {
                    self.tables.remove(&in_schema(from));
                }
            }
            Effect::HandlerOpen(name) if begins => self.handlers.add(name.clone()),
            Effect::HandlerClose(name) if !failed => self.handlers.remove(name),
            Effect::Prepare { name, .. } if begins => self.statements.add(name.clone()),
            Effect::Deallocate(name) if !failed => self.statements.remove(name),
            Effect::SetVariable { name, default }
                if !is_movable(name) && !is_own(name) || OF_SCHEMA.contains(&&**name) =>
            {
                if *default && !failed {
                    self.variables.remove(name);
                } else if begins {
                    self.variables.add(name.clone());
                }
            }
            Effect::LockTables if begins && !circumstances.tracks_transactions => self.tables_locked = true,
            Effect::FlushTablesLock if begins => self.tables_locked = true,
            Effect::UnlockTables if !failed => self.tables_locked = false,
            Effect::LockInstance if begins => self.instance_locked = true,
            Effect::UnlockInstance if !failed => self.instance_locked = false,
            Effect::BackupStage { end } | Effect::BackupLock { unlock: end } => {
                self.backup = if *end { self.backup && failed } else { self.backup || begins };
            }
            Effect::Xa if begins => self.xa = true,
            Effect::XaEnd if !failed => self.xa = self.in_transaction,
            Effect::UnclearUserVariable | Effect::FlushStatus => {
                self.keep(BoundReason::SessionState);
            }
            Effect::Unclear(_) => self.keep_in_doubt(),
            _ => return,
        }
        self.stained = true;
    }

    /// Keeps the link until the session ends.
    pub fn keep(&mut self, reason: BoundReason) {
        self.for_good.get_or_insert(reason);
    }

    /// Keeps the link until the session ends, and for nobody after it.
    pub fn keep_for_good(&mut self, reason: BoundReason) {
        self.for_good = Some(reason);
        self.indelible = true;
    }

    /// The statement may have done anything.
    pub fn keep_in_doubt(&mut self) {
        self.keep(BoundReason::Unknown);
        self.indelible = true;
    }

    /// Whether there may be more on the link than the session knows of.
    pub fn may_have_unseen(&self) -> bool {
        self.for_good.is_some()
    }

    /// Why the link is kept; `None` if nothing is on it.
    pub fn reason(&self) -> Option<BoundReason> {
        self.reason_but_locks().or_else(|| (!self.locks.is_empty()).then_some(BoundReason::Lock))
    }

    /// The same, but for named locks, of which the server can be asked.
    pub fn reason_but_locks(&self) -> Option<BoundReason> {
        let locked = self.locked || self.tables_locked || self.instance_locked || self.backup;
        let reasons = [
            (self.in_transaction(), BoundReason::Transaction),
            (locked || self.locks.unclear, BoundReason::Lock),
            (!self.tables.is_empty(), BoundReason::TemporaryTable),
            (!self.handlers.is_empty(), BoundReason::Handler),
            (!self.statements.is_empty(), BoundReason::TextPrepare),
            (!self.variables.is_empty(), BoundReason::SessionState),
            (!self.cursors.is_empty(), BoundReason::Cursor),
            (!self.long_data.is_empty(), BoundReason::LongData),
        ];
        let first =
            |held: &[(bool, BoundReason)]| held.iter().find(|(holds, _)| *holds).map(|(_, reason)| *reason);
        // A transaction ends by itself, which is worth knowing first.
        first(&reasons[..1]).or(self.for_good).or_else(|| first(&reasons[1..]))
    }

    /// Whether something was set that other links don't have.
    pub fn has_own_state(&self) -> bool {
        let unknown = [BoundReason::SessionState, BoundReason::Unknown];
        !self.variables.is_empty() || self.for_good.is_some_and(|reason| unknown.contains(&reason))
    }

    pub fn in_transaction(&self) -> bool {
        self.in_transaction
            || self.untold
            || self.tracked
            || self.characteristics
            || self.xa
            || self.savepoint
    }

    /// Whether statements may be in a transaction now: one whose characteristics are set has not begun.
    pub fn may_have_begun(&self) -> bool {
        self.in_transaction || self.untold || self.tracked || self.xa || self.savepoint
    }

    /// LOCK TABLES: a BEGIN would end it.
    pub fn locks_tables(&self) -> bool {
        self.locked || self.tables_locked
    }

    /// Whether a transaction is under way. A session with autocommit off that has done nothing since its last COMMIT is
    /// not at work: it needs no permit, and a drain need not wait for it.
    pub fn has_work(&self) -> bool {
        self.in_transaction || self.tracked || self.xa
    }

    /// Whether the session goes on with the permit that it has: others wait for what it holds, so it must never wait
    /// behind them.
    pub fn keeps_permit(&self) -> bool {
        self.keeps_others_waiting()
    }

    /// Whether it has a transaction, or locks of any kind.
    pub fn keeps_others_waiting(&self) -> bool {
        self.has_work()
            || self.locked
            || self.tables_locked
            || self.instance_locked
            || self.backup
            || !self.locks.is_empty()
    }

    /// Whether the session can't go on without its link: the client would believe in variables and locks that are gone,
    /// or send the rest of a transaction, of which each statement would then commit by itself.
    pub fn has_state(&self) -> bool {
        let names = [&self.locks, &self.handlers, &self.statements, &self.variables];
        self.for_good.is_some()
            || self.in_transaction()
            || self.locked
            || self.tables_locked
            || self.instance_locked
            || self.backup
            || !self.tables.is_empty()
            || names.iter().any(|names| !names.is_empty())
    }

    /// Whether a statement may have left something that no reply tells of: without autocommit, one that failed may have
    /// begun a transaction, and a routine leaves locks on definitions on a MySQL.
    pub fn leaves_doubt(&self, seen: &Seen, mariadb: bool) -> bool {
        self.autocommit_off
            && !self.in_transaction()
            && (seen.error.is_some()
                || seen.transaction == Some(TransactionState::Implicit)
                || (!mariadb && seen.calls()))
    }

    /// Whether there is nothing but a transaction on the link.
    pub fn is_only_transaction(&self) -> bool {
        self.has_work() && self.has_nothing_beside_transaction()
    }

    /// Whether there is nothing on the link but a transaction, or one to be.
    pub fn has_nothing_beside_transaction(&self) -> bool {
        !self.xa && self.has_nothing_else()
    }

    /// Whether there is nothing but a transaction on several servers on the link.
    pub fn is_only_branch(&self) -> bool {
        self.has_work() && self.has_nothing_else()
    }

    /// Whether the client has begun an XA transaction, or its transaction has a branch here.
    pub fn has_xa(&self) -> bool {
        self.xa
    }

    /// A branch of the session's transaction has begun on the link. A reset would not end it.
    pub fn begin_branch(&mut self) {
        (self.in_transaction, self.xa) = (true, true);
    }

    fn has_nothing_else(&self) -> bool {
        self.for_good.is_none()
            && !(self.locked || self.tables_locked || self.instance_locked || self.backup)
            && self.tables.is_empty()
            && self.cursors.is_empty()
            && self.long_data.is_empty()
            && [&self.locks, &self.handlers, &self.statements, &self.variables]
                .iter()
                .all(|names| names.is_empty())
    }

    /// The session is as without autocommit as it is elsewhere.
    pub fn keep_autocommit_of(&mut self, elsewhere: &Self) {
        self.autocommit_off = elsewhere.autocommit_off;
    }

    /// The transaction of another link, or what is set for one, is begun anew here.
    pub fn take_over(&mut self, elsewhere: &Self) {
        (self.in_transaction, self.untold) = (elsewhere.in_transaction, elsewhere.untold);
        (self.tracked, self.characteristics) = (elsewhere.tracked, elsewhere.characteristics);
        self.savepoint = elsewhere.savepoint;
    }

    /// What it was for is elsewhere by now.
    pub fn forget_transaction(&mut self) {
        (self.in_transaction, self.untold, self.tracked) = (false, false, false);
        (self.characteristics, self.savepoint, self.xa) = (false, false, false);
    }

    pub fn has_temporary_tables(&self) -> bool {
        !self.tables.is_empty()
    }

    /// The server says that a transaction is open.
    pub fn begun(&mut self) {
        self.in_transaction = true;
    }

    /// Without autocommit and between two transactions: a MySQL tells nobody of the locks on definitions that a routine
    /// takes.
    pub fn may_begin_unseen(&self) -> bool {
        self.autocommit_off && !self.in_transaction()
    }

    /// Whether the end of something that is held shows in texts only.
    pub fn has_names(&self) -> bool {
        self.stained
    }

    /// Whether a reset makes the link as good as new.
    pub fn can_be_reset(&self) -> bool {
        !self.indelible && !self.instance_locked && !self.backup && !self.xa
    }

    /// Whether a reset has to come before others get the link.
    pub fn needs_reset(&self) -> bool {
        self.stained || self.for_good.is_some()
    }

    /// The named locks that the server is to be asked about.
    pub fn locks(&self) -> &[Vec<u8>] {
        &self.locks.known
    }

    /// The server says that the session has this one no longer.
    pub fn lock_is_free(&mut self, name: &[u8]) {
        self.locks.known.retain(|known| known != name);
    }

    pub fn cursor(&mut self, statement: u32, open: bool) {
        self.cursors.retain(|id| *id != statement);
        if open {
            self.cursors.push(statement);
        }
    }

    pub fn has_cursor(&self, statement: u32) -> bool {
        self.cursors.contains(&statement)
    }

    pub fn long_data(&mut self, statement: u32, sent: bool) {
        self.long_data.retain(|id| *id != statement);
        if sent {
            self.long_data.push(statement);
        }
    }

    pub fn has_long_data(&self, statement: u32) -> bool {
        self.long_data.contains(&statement)
    }

    /// Whether one of the statements on the link has to stay open.
    pub fn has_open_statements(&self) -> bool {
        !self.cursors.is_empty() || !self.long_data.is_empty()
    }

    pub fn statements_with_long_data(&self) -> &[u32] {
        &self.long_data
    }

    /// The link is gone, or clean again. Without autocommit the session is still.
    pub fn clear(&mut self) {
        *self = Self { autocommit_off: self.autocommit_off, ..Self::default() };
    }
}

/// Variables that follow the default schema: servers change them with it, and tell nobody.
pub(super) const OF_SCHEMA: [&[u8]; 2] = [b"character_set_database", b"collation_database"];

/// Variables that are the session's own business: what it is told of, and the id that is kept for it; or the server's.
pub(super) fn is_own(variable: &[u8]) -> bool {
    variable.starts_with(b"session_track_")
        || matches!(variable, b"identity" | b"last_gtid" | b"last_insert_id")
}
