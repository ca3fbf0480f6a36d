//! What a session has on its link that can't move to another one: the reasons to keep it.

use crate::metrics::label::BoundReason;
use crate::parser::{Facts, Hazards, StatementKind};
use crate::protocol::capability::StatusFlags;

use super::seen::{Seen, TransactionState};

/// What is held, kept from one reply to the next.
///
/// ```text
///              seen in a reply                       ends with
/// transaction  IN_TRANS, autocommit off, trackers    a reply that says so
/// locked       the transaction tracker's L           UNLOCK TABLES
/// sticky       hazards of the text, trackers         the session (a reset, or the end of the link)
/// cursors      CURSOR_EXISTS                         LAST_ROW_SENT, CLOSE, RESET of the statement
/// long data    SEND_LONG_DATA                        EXECUTE, CLOSE, RESET of the statement
/// ```
#[derive(Debug, Default)]
pub(super) struct Holds {
    in_transaction: bool,
    autocommit_off: bool,
    tracked: bool,
    characteristics: bool,
    locked: bool,
    sticky: Option<BoundReason>,
    /// A reset would not clear it.
    indelible: bool,
    /// The session has chosen its character set: whether it is one of the unsafe.
    unsafe_charset: Option<bool>,
    /// Statements with an open cursor.
    cursors: Vec<u32>,
    /// Statements with parameters sent ahead.
    long_data: Vec<u32>,
}

impl Holds {
    /// Takes in what a reply showed of a statement with these facts.
    pub fn after(&mut self, facts: Facts, seen: &Seen) {
        if let Some(status) = seen.status {
            self.in_transaction = status.contains(StatusFlags::IN_TRANS);
            self.autocommit_off = !status.contains(StatusFlags::AUTOCOMMIT);
        }
        if let Some(state) = seen.transaction {
            self.tracked = state == TransactionState::Open;
            self.locked = state == TransactionState::Locked;
        }
        if let Some(pending) = seen.characteristics {
            self.characteristics = pending;
        }
        self.unsafe_charset = seen.unsafe_charset.or(self.unsafe_charset);
        let mut hazards = facts.binds();
        // LOCK TABLES shows in the tracker, and so does its end.
        if facts.kind == StatementKind::Lock && self.locked {
            hazards -= Hazards::TABLE_LOCK;
        }
        let only_autocommit = facts.hazards == Hazards::AUTOCOMMIT_SET;
        let set = facts.hazards.contains(Hazards::SET_SESSION) || seen.variable;
        let changed = set || (seen.state_change && !only_autocommit);
        if !hazards.is_empty() {
            self.keep(reason(hazards));
        } else if changed {
            self.keep(BoundReason::SessionState);
        }
        self.indelible |= hazards.intersects(INDELIBLE);
    }

    /// Keeps the link until the session ends.
    pub fn keep(&mut self, reason: BoundReason) {
        self.sticky.get_or_insert(reason);
    }

    /// Keeps the link until the session ends, and for nobody after it.
    pub fn keep_for_good(&mut self, reason: BoundReason) {
        self.sticky = Some(reason);
        self.indelible = true;
    }

    /// Why the link is kept; `None` if nothing is on it.
    pub fn reason(&self) -> Option<BoundReason> {
        if self.in_transaction() {
            Some(BoundReason::Transaction)
        } else if self.sticky.is_some() {
            self.sticky
        } else if self.locked {
            Some(BoundReason::Lock)
        } else if !self.cursors.is_empty() {
            Some(BoundReason::Cursor)
        } else if !self.long_data.is_empty() {
            Some(BoundReason::LongData)
        } else {
            None
        }
    }

    /// Whether a character's second byte may look like a backslash or a quote, where the session has chosen its
    /// character set after the login.
    pub fn unsafe_charset(&self) -> Option<bool> {
        self.unsafe_charset
    }

    pub fn in_transaction(&self) -> bool {
        self.in_transaction || self.autocommit_off || self.tracked || self.characteristics
    }

    /// Whether a transaction is under way. A session with autocommit off that has done nothing since its last COMMIT is
    /// not at work: it needs no permit, and a drain need not wait for it.
    pub fn has_work(&self) -> bool {
        self.in_transaction || self.tracked
    }

    /// Whether the session goes on with the permit that it has: others wait for what it holds, so it must never wait
    /// behind them.
    pub fn keeps_permit(&self) -> bool {
        self.has_work() || self.locked || self.sticky == Some(BoundReason::Lock)
    }

    /// Whether the session can't go on without its link: the client would believe in variables and locks that are gone,
    /// or send the rest of a transaction, of which each statement would then commit by itself.
    pub fn has_state(&self) -> bool {
        self.sticky.is_some() || self.in_transaction() || self.locked
    }

    /// Whether a reset makes the link as good as new.
    pub fn can_be_reset(&self) -> bool {
        !self.indelible
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

    pub fn statements_with_long_data(&self) -> &[u32] {
        &self.long_data
    }

    /// The link is gone, or clean again.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// What COM_RESET_CONNECTION does not clear, or what may have done anything.
const INDELIBLE: Hazards = Hazards::ROLE
    .union(Hazards::RESOURCE_GROUP)
    .union(Hazards::INSTANCE_LOCK)
    .union(Hazards::XA)
    .union(Hazards::CALL)
    .union(Hazards::UNSURE);

fn reason(hazards: Hazards) -> BoundReason {
    const LOCKS: Hazards = Hazards::NAMED_LOCK.union(Hazards::TABLE_LOCK).union(Hazards::INSTANCE_LOCK);
    if hazards.intersects(LOCKS) {
        BoundReason::Lock
    } else if hazards.contains(Hazards::TEMPORARY_TABLE) {
        BoundReason::TemporaryTable
    } else if hazards.intersects(Hazards::CALL | Hazards::UNSURE | Hazards::XA) {
        BoundReason::Unknown
    } else {
        BoundReason::SessionState
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::{SqlMode, facts};

    fn seen(status: StatusFlags) -> Seen {
        Seen { status: Some(status), ..Seen::default() }
    }

    fn after(holds: &mut Holds, sql: &str, seen: &Seen) -> Option<BoundReason> {
        holds.after(facts(sql.as_bytes(), SqlMode::default()), seen);
        holds.reason()
    }

    #[test]
    fn a_transaction_lasts_as_long_as_the_server_says() {
        let mut holds = Holds::default();
        let free = seen(StatusFlags::AUTOCOMMIT);
        let open = seen(StatusFlags::AUTOCOMMIT | StatusFlags::IN_TRANS);
        assert_eq!(after(&mut holds, "SELECT 1", &free), None);
        assert_eq!(after(&mut holds, "BEGIN", &open), Some(BoundReason::Transaction));
        let failed = Seen { error: Some(1213), ..Seen::default() };
        assert_eq!(after(&mut holds, "UPDATE t SET a = 1", &failed), Some(BoundReason::Transaction));
        assert_eq!(after(&mut holds, "COMMIT", &free), None);
        assert!(!holds.has_state());
    }

    #[test]
    fn autocommit_off_is_a_transaction_and_on_again_is_none() {
        let mut holds = Holds::default();
        let changed = |status| Seen { state_change: true, ..seen(status) };
        let reason = after(&mut holds, "SET autocommit=0", &changed(StatusFlags::empty()));
        assert_eq!(reason, Some(BoundReason::Transaction));
        assert!(holds.has_state() && !holds.has_work());
        after(&mut holds, "SELECT 1 FROM t", &seen(StatusFlags::IN_TRANS));
        assert!(holds.has_work());
        after(&mut holds, "COMMIT", &seen(StatusFlags::empty()));
        assert!(!holds.has_work() && holds.in_transaction());
        assert_eq!(after(&mut holds, "SET autocommit=1", &changed(StatusFlags::AUTOCOMMIT)), None);
    }

    #[test]
    fn characteristics_of_the_next_transaction_hold_until_they_are_used() {
        let mut holds = Holds::default();
        let pending = Seen { characteristics: Some(true), ..seen(StatusFlags::AUTOCOMMIT) };
        let sql = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED";
        assert_eq!(after(&mut holds, sql, &pending), Some(BoundReason::Transaction));
        let used = Seen { characteristics: Some(false), ..seen(StatusFlags::AUTOCOMMIT) };
        assert_eq!(after(&mut holds, "SELECT 1 FROM t", &used), None);
    }

    #[test]
    fn table_locks_end_and_named_locks_stay() {
        let mut holds = Holds::default();
        let tracked = |state| Seen { transaction: Some(state), ..seen(StatusFlags::AUTOCOMMIT) };
        let reason = after(&mut holds, "LOCK TABLES t WRITE", &tracked(TransactionState::Locked));
        assert_eq!(reason, Some(BoundReason::Lock));
        assert!(holds.keeps_permit() && !holds.has_work());
        assert_eq!(after(&mut holds, "UNLOCK TABLES", &tracked(TransactionState::None)), None);
        let free = seen(StatusFlags::AUTOCOMMIT);
        assert_eq!(after(&mut holds, "SELECT GET_LOCK('a', 1)", &free), Some(BoundReason::Lock));
        assert_eq!(after(&mut holds, "SELECT 1", &free), Some(BoundReason::Lock));
        assert!(holds.can_be_reset());
    }

    #[test]
    fn state_that_was_set_stays_until_the_end() {
        for (sql, reason) in [
            ("SET sql_mode = ''", BoundReason::SessionState),
            ("SELECT 1 INTO @a", BoundReason::SessionState),
            ("CREATE TEMPORARY TABLE t (a INT)", BoundReason::TemporaryTable),
            ("CALL p()", BoundReason::Unknown),
            ("SET ROLE r", BoundReason::SessionState),
        ] {
            let mut holds = Holds::default();
            assert_eq!(after(&mut holds, sql, &seen(StatusFlags::AUTOCOMMIT)), Some(reason), "{sql}");
            assert_eq!(holds.can_be_reset(), !sql.starts_with("CALL") && !sql.contains("ROLE"), "{sql}");
        }
        let mut holds = Holds::default();
        let unnamed = Seen { state_change: true, ..seen(StatusFlags::AUTOCOMMIT) };
        assert_eq!(after(&mut holds, "SELECT f()", &unnamed), Some(BoundReason::SessionState));
    }

    #[test]
    fn cursors_and_long_data_end_with_their_statement() {
        let mut holds = Holds::default();
        holds.cursor(7, true);
        holds.long_data(8, true);
        assert_eq!(holds.reason(), Some(BoundReason::Cursor));
        assert!(holds.has_cursor(7) && !holds.has_cursor(8));
        holds.cursor(7, false);
        assert_eq!(holds.reason(), Some(BoundReason::LongData));
        holds.long_data(8, false);
        assert_eq!(holds.reason(), None);
    }
}
