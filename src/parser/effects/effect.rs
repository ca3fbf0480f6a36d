//! The effects, and how they are found.

use crate::parser::facts::{Facts, Hazards, facts};
use crate::parser::lexer::SqlMode;

use super::reader::Reader;

/// Something that a statement does to its session, or may do. Names are without quotes. Those of which servers know no
/// case are in lower case, as far as they are ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// `@name` is written or may be: by SET, `:=`, INTO, LOAD DATA, GET DIAGNOSTICS, or as a parameter of CALL and
    /// EXECUTE. Its name is in lower case.
    UserVariable {
        name: Vec<u8>,
        /// Where it is set to a literal and nothing else.
        value: Option<Literal>,
    },
    /// The same with a name that servers may take for another one's, by letters beyond ASCII or by escapes.
    UnclearUserVariable,
    /// GET_LOCK(), with the name if it is one plain literal: in lower case on MySQL, as it is written on MariaDB, which
    /// tells cases apart, and where the server is not known.
    NamedLock(Option<Vec<u8>>),
    ReleaseNamedLock(Option<Vec<u8>>),
    ReleaseAllNamedLocks,
    /// MySQL's locking service: locks are taken or released.
    OtherLock,
    /// A temporary table, or MariaDB's temporary sequence. There may be a table of the name already, with IF NOT EXISTS.
    CreateTemporary(TableName),
    /// A table or a sequence, temporary or not.
    DropTable(TableName),
    /// By RENAME TABLE and ALTER TABLE, temporary or not.
    RenameTable {
        from: TableName,
        to: TableName,
    },
    DropDatabase(Vec<u8>),
    /// HANDLER ... OPEN, with the name by which it is closed: the alias or the table's, in lower case.
    HandlerOpen(Vec<u8>),
    HandlerClose(Vec<u8>),
    HandlerRead(Vec<u8>),
    /// PREPARE, with its name in lower case.
    Prepare {
        name: Vec<u8>,
        /// The statement, where it is one plain literal.
        text: Option<Vec<u8>>,
    },
    /// EXECUTE: what the prepared text does.
    Execute(Vec<u8>),
    /// EXECUTE IMMEDIATE, with the statement where it is one plain literal.
    ExecuteImmediate(Option<Vec<u8>>),
    Deallocate(Vec<u8>),
    /// A system variable of the session, in whatever way that is written. SET NAMES and SET CHARACTER SET are the
    /// variables that they set. SET SESSION TRANSACTION is `transaction_isolation` and `transaction_read_only`, which
    /// are `tx_isolation` and `tx_read_only` on MariaDB before 11.1. The name is in lower case.
    SetVariable {
        name: Vec<u8>,
        /// It is set to DEFAULT.
        default: bool,
    },
    /// Characteristics of the next transaction only.
    NextTransaction,
    /// FLUSH STATUS: the session's counters.
    FlushStatus,
    LockTables,
    UnlockTables,
    /// FLUSH TABLES ... WITH READ LOCK or FOR EXPORT.
    FlushTablesLock,
    LockInstance,
    UnlockInstance,
    BackupStage {
        end: bool,
    },
    BackupLock {
        unlock: bool,
    },
    /// XA COMMIT, XA ROLLBACK.
    XaEnd,
    /// Any other XA statement.
    Xa,
    /// The clause as it is written: `NONE`, `DEFAULT`, `r1`.
    SetRole(Vec<u8>),
    ResourceGroup,
    Call {
        schema: Option<Vec<u8>>,
        /// With the package before it, if there are three parts: `p.f`.
        name: Vec<u8>,
    },
    /// A function is called that may be a stored one, or a loaded one: it may do anything that those may.
    StoredFunction {
        /// Of a qualified name.
        schema: Option<Vec<u8>>,
        name: Vec<u8>,
    },
    /// NEXTVAL(), NEXT VALUE FOR.
    SequenceNext,
    /// Variables for one statement only, which trackers may tell all the same: SET STATEMENT, or MySQL's hint SET_VAR.
    OneShotVariables,
    /// The text has these hazards, of which no name could be read.
    Unclear(Hazards),
}

/// In the client's character set of that time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    pub schema: Option<Vec<u8>>,
    /// As written: whether case matters depends on the server.
    pub name: Vec<u8>,
}

/// A value that can be written again in any session to the same effect, but for the character set of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    Null,
    /// Digits, perhaps behind a minus, of a number between `i64::MIN` and `u64::MAX`.
    Integer(Vec<u8>),
    /// ASCII without quotes and backslashes, in the character set of the connection.
    Text(Vec<u8>),
}

/// The hazards of which there is an effect. [`Hazards::UNREPLAYABLE_SET`] always comes with another.
const NAMED: Hazards = Hazards::NAMED_LOCK
    .union(Hazards::USER_VARIABLE_WRITE)
    .union(Hazards::TEMPORARY_TABLE)
    .union(Hazards::HANDLER)
    .union(Hazards::TABLE_LOCK)
    .union(Hazards::INSTANCE_LOCK)
    .union(Hazards::CALL)
    .union(Hazards::TEXT_PREPARE)
    .union(Hazards::XA)
    .union(Hazards::ROLE)
    .union(Hazards::RESOURCE_GROUP)
    .union(Hazards::SET_SESSION)
    .union(Hazards::AUTOCOMMIT_SET)
    .union(Hazards::SET_TRANSACTION)
    .union(Hazards::SEQUENCE_NEXT);

impl Facts {
    /// Whether [`effects`] has something to say that the facts don't.
    pub fn has_effects(self) -> bool {
        self.hazards.intersects(NAMED | Hazards::MAY_CALL | Hazards::ONE_SHOT)
    }
}

impl Effect {
    /// Those hazards of a text of which this may be one. Empty for what the facts do not tell.
    pub fn hazards(&self) -> Hazards {
        match self {
            Effect::UserVariable { .. } | Effect::UnclearUserVariable => Hazards::USER_VARIABLE_WRITE,
            Effect::NamedLock(_)
            | Effect::ReleaseNamedLock(_)
            | Effect::ReleaseAllNamedLocks
            | Effect::OtherLock => Hazards::NAMED_LOCK,
            Effect::CreateTemporary(_) => Hazards::TEMPORARY_TABLE,
            Effect::HandlerOpen(_) | Effect::HandlerClose(_) | Effect::HandlerRead(_) => Hazards::HANDLER,
            Effect::Prepare { .. }
            | Effect::Execute(_)
            | Effect::ExecuteImmediate(_)
            | Effect::Deallocate(_) => Hazards::TEXT_PREPARE,
            Effect::SetVariable { name, .. } if name == b"autocommit" => Hazards::AUTOCOMMIT_SET,
            Effect::SetVariable { .. } | Effect::FlushStatus => Hazards::SET_SESSION,
            Effect::NextTransaction => Hazards::SET_TRANSACTION | Hazards::SET_SESSION,
            Effect::LockTables | Effect::FlushTablesLock => Hazards::TABLE_LOCK,
            Effect::LockInstance | Effect::BackupStage { .. } | Effect::BackupLock { .. } => {
                Hazards::INSTANCE_LOCK
            }
            Effect::XaEnd | Effect::Xa => Hazards::XA,
            Effect::SetRole(_) => Hazards::ROLE,
            Effect::ResourceGroup => Hazards::RESOURCE_GROUP,
            Effect::Call { .. } => Hazards::CALL,
            Effect::SequenceNext => Hazards::SEQUENCE_NEXT,
            Effect::Unclear(hazards) => *hazards,
            Effect::DropTable(_)
            | Effect::RenameTable { .. }
            | Effect::DropDatabase(_)
            | Effect::UnlockTables
            | Effect::UnlockInstance
            | Effect::StoredFunction { .. }
            | Effect::OneShotVariables => Hazards::empty(),
        }
    }
}

/// What the statements of a text do to their session, in the order of the text, as far as the text tells.
/// each [`Effect::StoredFunction`] is there once.
pub fn effects(sql: &[u8], mode: SqlMode) -> Vec<Effect> {
    let mut reader = Reader::new(sql, mode);
    while reader.skip_to_statement() {
        reader.statement();
    }
    let mut effects = reader.effects;
    let mut known = Hazards::empty();
    for effect in &effects {
        known |= match effect {
            // Of a temporary table, for all that the facts know.
            Effect::DropTable(_) => Hazards::TEMPORARY_TABLE,
            effect => effect.hazards(),
        };
    }
    let unclear = (facts(sql, mode).hazards & NAMED) - known;
    if !unclear.is_empty() {
        effects.push(Effect::Unclear(unclear));
    }
    effects
}
