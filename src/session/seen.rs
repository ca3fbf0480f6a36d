//! What the packets of a reply said that are not rows.

use std::rc::Rc;

use crate::metrics::label::ErrorKind;
use crate::parser::Effect;
use crate::pool::Entry;
use crate::protocol::capability::StatusFlags;
use crate::protocol::error::ServerError;
use crate::protocol::reply::Observer;
use crate::protocol::response::{ErrPacket, OkPacket};
use crate::protocol::session_track::{Tracker, Trackers};
use crate::protocol::statement::PrepareOk;
use crate::protocol::warnings::WarningList;

use super::failure::Refusal;

/// The server's word for "no transaction, nothing locked".
const NO_TRANSACTION: &[u8] = b"________";

/// The variable by which a MariaDB tells of a session's last transaction.
pub(super) const LAST_GTID: &[u8] = b"last_gtid";

/// `ER_NO_DB_ERROR`
const NO_SCHEMA: u16 = 1046;
/// `ER_SP_DOES_NOT_EXIST`
const NO_SUCH_ROUTINE: u16 = 1305;

/// What a transaction state tracker told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransactionState {
    None,
    Open,
    /// Begun by a statement without autocommit. Of what no transaction has, as a MySQL's list of variables, it is a
    /// transaction only if the flags say so, too.
    Implicit,
}

/// Collects over all results of one reply; what was said last holds.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What the statement does, as far as its text tells.
    pub effects: Vec<Effect>,
    /// Warnings are of the way in which Athena puts the statement.
    pub silent: bool,
    pub status: Option<StatusFlags>,
    pub error: Option<u16>,
    /// The SQLSTATE of that: a SIGNAL chooses it.
    pub sqlstate: [u8; 5],
    /// The server's words about it.
    pub message: Box<[u8]>,
    /// There are warnings of it.
    pub warned: bool,
    /// What they are, where Athena had to ask at once.
    pub listed: Option<WarningList>,
    /// How many the last packet tells.
    pub warnings: u16,
    /// The statement does nothing but read.
    pub only_reads: bool,
    /// What the client was told instead, since the statement took longer than it may.
    pub out_of_time: Option<ServerError>,
    /// Of the last OK packet that had one.
    pub last_insert_id: Option<u64>,
    /// That was the first one of several parts: the link has another.
    pub of_several_parts: bool,
    /// The schema is now this one, or none.
    pub schema: Option<Option<Rc<[u8]>>>,
    pub transaction: Option<TransactionState>,
    /// Whether tables are locked by LOCK TABLES, in a transaction or not.
    pub tables_locked: Option<bool>,
    /// Characteristics of the next or the running transaction are set.
    pub characteristics: Option<bool>,
    /// The GTIDs of the transactions that it has committed, as the server tells them.
    pub gtids: Vec<Box<[u8]>>,
    /// Session variables that are told with a value.
    pub variables: Vec<Entry>,
    /// Rows that the last OK packet says were affected.
    pub affected_rows: u64,
    /// The first number in the text of the last OK packet: rows that were selected, or found.
    pub records: Option<u64>,
    /// Some result was a set of rows.
    pub had_rows: bool,
    /// The execution has opened a cursor.
    pub opened_cursor: bool,
    /// Whether the statement uses a table, where that matters.
    pub uses_table: Option<bool>,
    /// Rows of the last result, if that was a set of them.
    pub rows: Option<u64>,
    /// Something changed that has no tracker of its own.
    pub state_change: bool,
    /// What the session calls a statement that is being prepared, and what the server said of it.
    pub statement_id: u32,
    pub prepared: Option<PrepareOk>,
}

impl Seen {
    pub fn of(effects: Vec<Effect>) -> Self {
        Self { effects, ..Self::default() }
    }

    /// Whether a statement did nothing since there is no such routine as one that it names itself, or no schema to look
    /// for it in: that is found out before anything runs.
    pub fn did_nothing(&self, has_schema: bool) -> bool {
        let missing = |effect: &Effect| match effect {
            Effect::StoredFunction { schema, name } | Effect::Call { schema, name } => match self.error {
                Some(NO_SUCH_ROUTINE) => names(&self.message, name),
                Some(NO_SCHEMA) => schema.is_none() && !has_schema,
                _ => false,
            },
            _ => false,
        };
        self.effects.iter().any(missing)
    }

    /// The error, as the server told it.
    pub fn server_error(&self) -> ServerError {
        let message = String::from_utf8_lossy(&self.message).into_owned().into();
        ServerError { code: self.error.unwrap_or_default(), sql_state: self.sqlstate, message }
    }

    /// The statement fails as if the server had said so.
    pub fn fail(&mut self, refusal: &Refusal) {
        let error = &refusal.error;
        (self.error, self.sqlstate) = (Some(error.code), error.sql_state);
        self.message = error.message.as_bytes().into();
        if refusal.kind == Some(ErrorKind::BackendTimeout) {
            self.out_of_time = Some(error.clone());
        }
    }

    /// The server has ended it with an error, or since it took too long.
    pub fn has_failed(&self) -> bool {
        self.error.is_some() || self.out_of_time.is_some()
    }

    /// Whether a stored program was called.
    pub fn calls(&self) -> bool {
        self.effects
            .iter()
            .any(|effect| matches!(effect, Effect::StoredFunction { .. } | Effect::Call { .. }))
    }

    fn track(&mut self, blob: &[u8]) {
        let (mut unnamed, mut schema) = (false, false);
        // A blob that can't be read may have said anything.
        for tracker in Trackers::new(blob) {
            match tracker {
                Ok(Tracker::SystemVariable { name, value }) => {
                    if name.eq_ignore_ascii_case(LAST_GTID) {
                        self.gtids.push(value.into());
                    }
                    self.variables.push((name.to_ascii_lowercase().into(), value.into()));
                }
                Ok(Tracker::Schema(name)) => {
                    schema = true;
                    self.schema = Some(Some(name).filter(|name| !name.is_empty()).map(Rc::from));
                }
                Ok(Tracker::StateChange(changed)) => unnamed |= changed,
                Ok(Tracker::TransactionCharacteristics(text)) => {
                    self.characteristics = Some(!text.is_empty());
                }
                Ok(Tracker::TransactionState(state)) => {
                    self.transaction = Some(transaction_state(state));
                    self.tables_locked = Some(state.last() == Some(&b'L'));
                }
                Ok(Tracker::Gtids(gtids)) => self.gtids.push(gtids.into()),
                Ok(Tracker::Other { .. }) => {}
                Err(_) => unnamed = true,
            }
        }
        self.state_change |= unnamed && !schema;
    }
}

/// Whether a message is about a routine of this name, in any language.
fn names(message: &[u8], name: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || *byte >= 0x80 || matches!(byte, b'_' | b'$');
    (0..message.len()).any(|at| {
        let begins = !message[..at].last().is_some_and(is_letter);
        begins && message[at..].strip_prefix(name).is_some_and(|rest| !rest.first().is_some_and(is_letter))
    })
}

/// `Records: 3  Duplicates: 0  Warnings: 0`, `Rows matched: 1  Changed: 0  Warnings: 0`.
fn first_number(info: &[u8]) -> Option<u64> {
    let digits =
        info.iter().skip_while(|byte| !byte.is_ascii_digit()).take_while(|byte| byte.is_ascii_digit());
    digits.fold(None, |number, digit| Some(number.unwrap_or(0u64) * 10 + u64::from(digit - b'0')))
}

fn transaction_state(state: &[u8]) -> TransactionState {
    match state {
        NO_TRANSACTION | b"_______L" => TransactionState::None,
        [b'I', ..] => TransactionState::Implicit,
        _ => TransactionState::Open,
    }
}

impl Observer for Seen {
    fn ok(&mut self, ok: &OkPacket<'_>, rows: Option<u64>) {
        self.status = Some(ok.status);
        (self.affected_rows, self.rows) = (ok.affected_rows, rows);
        self.records = if ok.info.is_empty() { None } else { first_number(ok.info) };
        self.had_rows |= rows.is_some();
        self.opened_cursor |= ok.status.contains(StatusFlags::CURSOR_EXISTS);
        self.warnings = if self.silent { 0 } else { ok.warnings };
        self.warned |= self.warnings > 0;
        if ok.last_insert_id != 0 {
            self.last_insert_id = Some(ok.last_insert_id);
        }
        if !ok.session_state.is_empty() {
            self.track(ok.session_state);
        }
    }

    fn err(&mut self, err: &ErrPacket) {
        (self.error, self.sqlstate) = (Some(err.code), err.sql_state);
        self.message = err.message.clone().into();
    }

    fn prepared(&mut self, ok: &PrepareOk) -> u32 {
        self.prepared = Some(*ok);
        self.warnings = ok.warnings;
        self.warned |= ok.warnings > 0;
        self.statement_id
    }
}
