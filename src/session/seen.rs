//! What the packets of a reply said that are not rows.

use std::rc::Rc;

use crate::protocol::capability::StatusFlags;
use crate::protocol::reply::Observer;
use crate::protocol::response::OkPacket;
use crate::protocol::session_track::{Tracker, Trackers};
use crate::protocol::statement::PrepareOk;

/// The server's word for "no transaction, nothing locked".
const NO_TRANSACTION: &[u8] = b"________";

/// Character sets in which a character's second byte may look like a backslash or a quote.
const UNSAFE_CHARSETS: [&[u8]; 5] = [b"big5", b"cp932", b"gb18030", b"gbk", b"sjis"];

/// What a transaction state tracker told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransactionState {
    None,
    Open,
    /// LOCK TABLES, outside of a transaction.
    Locked,
}

/// Collects over all results of one reply; what was said last holds.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub status: Option<StatusFlags>,
    pub error: Option<u16>,
    /// There are warnings of it.
    pub warned: bool,
    /// How many the last packet tells.
    pub warnings: u16,
    /// Of the last OK packet that had one.
    pub last_insert_id: Option<u64>,
    /// The schema is now this one, or none.
    pub schema: Option<Option<Rc<[u8]>>>,
    pub transaction: Option<TransactionState>,
    /// Characteristics of the next or the running transaction are set.
    pub characteristics: Option<bool>,
    /// A session variable other than autocommit changed.
    pub variable: bool,
    /// The client's character set is now another one: whether it is one of the unsafe.
    pub unsafe_charset: Option<bool>,
    /// Something changed that has no tracker of its own.
    pub state_change: bool,
    /// What the session calls a statement that is being prepared, and what the server said of it.
    pub statement_id: u32,
    pub prepared: Option<PrepareOk>,
}

impl Seen {
    fn track(&mut self, blob: &[u8]) {
        let (mut unnamed, mut schema) = (false, false);
        // A blob that can't be read may have said anything.
        for tracker in Trackers::new(blob) {
            match tracker {
                Ok(Tracker::SystemVariable { name, value }) => {
                    self.variable |= !name.eq_ignore_ascii_case(b"autocommit");
                    if name.eq_ignore_ascii_case(b"character_set_client") {
                        let is = |charset: &&[u8]| value.eq_ignore_ascii_case(charset);
                        self.unsafe_charset = Some(UNSAFE_CHARSETS.iter().any(is));
                    }
                }
                Ok(Tracker::Schema(name)) => {
                    schema = true;
                    self.schema = Some(Some(name).filter(|name| !name.is_empty()).map(Rc::from));
                }
                Ok(Tracker::StateChange(changed)) => unnamed |= changed,
                Ok(Tracker::TransactionCharacteristics(text)) => {
                    self.characteristics = Some(!text.is_empty());
                }
                Ok(Tracker::TransactionState(state)) => self.transaction = Some(transaction_state(state)),
                Ok(Tracker::Gtids(_) | Tracker::Other { .. }) => {}
                Err(_) => unnamed = true,
            }
        }
        self.state_change |= unnamed && !schema;
    }
}

fn transaction_state(state: &[u8]) -> TransactionState {
    match state {
        NO_TRANSACTION => TransactionState::None,
        b"_______L" => TransactionState::Locked,
        _ => TransactionState::Open,
    }
}

impl Observer for Seen {
    fn ok(&mut self, ok: &OkPacket<'_>) {
        self.status = Some(ok.status);
        self.warned |= ok.warnings > 0;
        self.warnings = ok.warnings;
        if ok.last_insert_id != 0 {
            self.last_insert_id = Some(ok.last_insert_id);
        }
        if !ok.session_state.is_empty() {
            self.track(ok.session_state);
        }
    }

    fn err(&mut self, code: u16) {
        self.error = Some(code);
    }

    fn prepared(&mut self, ok: &PrepareOk) -> u32 {
        self.prepared = Some(*ok);
        self.warnings = ok.warnings;
        self.statement_id
    }
}
