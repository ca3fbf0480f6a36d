//! What is held, from one reply to the next.

use super::holds::{Circumstances, Holds};
use super::seen::{Seen, TransactionState};
use crate::metrics::label::BoundReason;
use crate::parser::{SqlMode, effects, facts};
use crate::protocol::capability::StatusFlags;

fn seen(status: StatusFlags) -> Seen {
    Seen { status: Some(status), ..Seen::default() }
}

fn after(holds: &mut Holds, sql: &str, seen: Seen) -> Option<BoundReason> {
    let mode = SqlMode::default();
    let seen = Seen { effects: effects(sql.as_bytes(), mode), ..seen };
    let circumstances = Circumstances { tracks_transactions: true, schema: Some(b"test") };
    holds.after(facts(sql.as_bytes(), mode), &seen, circumstances);
    holds.reason()
}

#[test]
fn a_transaction_lasts_as_long_as_the_server_says() {
    let mut holds = Holds::default();
    let free = || seen(StatusFlags::AUTOCOMMIT);
    let open = seen(StatusFlags::AUTOCOMMIT | StatusFlags::IN_TRANS);
    assert_eq!(after(&mut holds, "SELECT 1", free()), None);
    assert_eq!(after(&mut holds, "BEGIN", open), Some(BoundReason::Transaction));
    let failed = Seen { error: Some(1213), ..Seen::default() };
    assert_eq!(after(&mut holds, "UPDATE t SET a = 1", failed), Some(BoundReason::Transaction));
    assert_eq!(after(&mut holds, "COMMIT", free()), None);
    assert!(!holds.has_state());
}

#[test]
fn without_autocommit_the_link_is_free_between_transactions() {
    let mut holds = Holds::default();
    assert_eq!(after(&mut holds, "SET autocommit=0", seen(StatusFlags::empty())), None);
    assert!(!holds.has_state() && holds.may_begin_unseen());
    let reason = after(&mut holds, "SELECT 1 FROM t", seen(StatusFlags::IN_TRANS));
    assert_eq!(reason, Some(BoundReason::Transaction));
    assert_eq!(after(&mut holds, "COMMIT", seen(StatusFlags::empty())), None);
    // What failed may have left locks on definitions, of which no reply tells.
    let failed = Seen { error: Some(1054), ..Seen::default() };
    assert!(holds.leaves_doubt(&failed, true));
    holds.begun();
    assert_eq!(holds.reason(), Some(BoundReason::Transaction));
    assert!(!holds.leaves_doubt(&failed, true));
}

#[test]
fn what_a_server_calls_a_transaction_without_its_flag_is_in_doubt() {
    let mut holds = Holds::default();
    after(&mut holds, "SET autocommit=0", seen(StatusFlags::empty()));
    let implicit = |status| Seen { transaction: Some(TransactionState::Implicit), ..seen(status) };
    assert_eq!(after(&mut holds, "SHOW VARIABLES", implicit(StatusFlags::empty())), None);
    assert!(holds.leaves_doubt(&implicit(StatusFlags::empty()), false));
    let reason = after(&mut holds, "SELECT 1 FROM t", implicit(StatusFlags::IN_TRANS));
    assert_eq!(reason, Some(BoundReason::Transaction));
    assert!(!holds.leaves_doubt(&implicit(StatusFlags::IN_TRANS), false));
}

#[test]
fn without_autocommit_a_savepoint_is_there_before_its_transaction() {
    let mut holds = Holds::default();
    let none = || seen(StatusFlags::empty());
    assert_eq!(after(&mut holds, "SET autocommit=0", none()), None);
    assert_eq!(after(&mut holds, "SAVEPOINT a", none()), Some(BoundReason::Transaction));
    assert_eq!(after(&mut holds, "SELECT 1", none()), Some(BoundReason::Transaction));
    assert_eq!(after(&mut holds, "ROLLBACK", none()), None);
    assert_eq!(after(&mut holds, "SAVEPOINT a", none()), Some(BoundReason::Transaction));
    after(&mut holds, "SELECT 1 FROM t", seen(StatusFlags::IN_TRANS));
    assert_eq!(after(&mut holds, "COMMIT", none()), None);
    assert_eq!(after(&mut holds, "SET autocommit=1", seen(StatusFlags::AUTOCOMMIT)), None);
    assert_eq!(after(&mut holds, "SAVEPOINT a", seen(StatusFlags::AUTOCOMMIT)), None);
}

#[test]
fn characteristics_of_the_next_transaction_hold_until_they_are_used() {
    let mut holds = Holds::default();
    let pending = Seen { characteristics: Some(true), ..seen(StatusFlags::AUTOCOMMIT) };
    let sql = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED";
    assert_eq!(after(&mut holds, sql, pending), Some(BoundReason::Transaction));
    let used = Seen { characteristics: Some(false), ..seen(StatusFlags::AUTOCOMMIT) };
    assert_eq!(after(&mut holds, "SELECT 1 FROM t", used), None);
}

#[test]
fn what_has_a_name_is_held_until_each_of_that_name_is_gone() {
    for (begin, reason, other, end) in [
        (
            "CREATE TEMPORARY TABLE a (x INT); CREATE TEMPORARY TABLE b.c (x INT)",
            BoundReason::TemporaryTable,
            "DROP TABLE test.a, test.c",
            "DROP TEMPORARY TABLE b.c",
        ),
        ("HANDLER t OPEN AS h", BoundReason::Handler, "HANDLER t CLOSE", "HANDLER h CLOSE"),
        ("PREPARE p FROM 'SELECT 1'", BoundReason::TextPrepare, "DEALLOCATE PREPARE q", "DROP PREPARE P"),
        ("SET timestamp=1", BoundReason::SessionState, "SET sql_mode=DEFAULT", "SET timestamp=DEFAULT"),
        ("FLUSH TABLES WITH READ LOCK", BoundReason::Lock, "FLUSH STATUS", "UNLOCK TABLES"),
    ] {
        let mut holds = Holds::default();
        let free = || seen(StatusFlags::AUTOCOMMIT);
        assert_eq!(after(&mut holds, begin, free()), Some(reason), "{begin}");
        assert!(holds.has_state() && holds.needs_reset());
        if !other.starts_with("FLUSH") {
            assert_eq!(after(&mut holds, other, free()), Some(reason), "{other}");
        }
        let failed = Seen { error: Some(1), ..free() };
        assert_eq!(after(&mut holds, end, failed), Some(reason), "{end} failed");
        assert_eq!(after(&mut holds, end, free()), None, "{end}");
        assert!(holds.needs_reset() && holds.can_be_reset());
    }
}

#[test]
fn named_locks_are_free_when_the_server_says_so() {
    let mut holds = Holds::default();
    let free = || seen(StatusFlags::AUTOCOMMIT);
    assert_eq!(after(&mut holds, "SELECT GET_LOCK('a', 1)", free()), Some(BoundReason::Lock));
    assert_eq!(after(&mut holds, "SELECT RELEASE_LOCK('a')", free()), Some(BoundReason::Lock));
    assert_eq!((holds.reason_but_locks(), holds.locks()), (None, &[b"a".to_vec()][..]));
    holds.lock_is_free(b"a");
    assert_eq!(holds.reason(), None);
    assert_eq!(after(&mut holds, "SELECT GET_LOCK(@a, 1)", free()), Some(BoundReason::Lock));
    assert_eq!(holds.reason_but_locks(), Some(BoundReason::Lock), "nobody knows its name");
    assert_eq!(after(&mut holds, "SELECT RELEASE_ALL_LOCKS()", free()), None);
}

#[test]
fn what_may_have_done_anything_is_never_lent_again() {
    let mut holds = Holds::default();
    holds.keep_in_doubt();
    assert_eq!(holds.reason(), Some(BoundReason::Unknown));
    assert!(!holds.can_be_reset());
    let mut locked = Holds::default();
    after(&mut locked, "LOCK INSTANCE FOR BACKUP", seen(StatusFlags::AUTOCOMMIT));
    assert!(!locked.can_be_reset());
    after(&mut locked, "UNLOCK INSTANCE", seen(StatusFlags::AUTOCOMMIT));
    assert!(locked.can_be_reset() && locked.reason().is_none());
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
