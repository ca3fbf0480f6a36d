//! Whether a text only reads data, so that a replica may answer it.
//!
//! Here the text alone speaks. What the session has done before, an open transaction or a temporary table, and which
//! schema is its default one, is for the session to look at.

use super::facts::{Facts, Hazards, StatementKind, just_reads};

/// Why a text is for the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotRead {
    Write,
    /// FOR UPDATE, FOR SHARE, LOCK IN SHARE MODE.
    LockingRead,
    /// INTO OUTFILE, INTO DUMPFILE: the file is the server's.
    IntoFile,
    /// `@x := 1`, INTO @x.
    UserVariableWrite,
    /// `@@x`: a replica has settings of its own.
    SystemVariable,
    /// A function that asks about one server, one link or the statement before.
    StateFunction,
    /// GET_LOCK() and its like.
    NamedLock,
    Sequence,
    /// What a replica has in its own schemas is not what the primary has there.
    ServerTables,
    /// EXPLAIN of anything but a query, and DESCRIBE of a table.
    Explain,
    /// The beginning, the end or a savepoint of a transaction, and XA.
    Transaction,
    /// START TRANSACTION READ ONLY, alone in its text: all that follows in it reads.
    ReadOnlyTransaction,
    /// What leaves something in the session, or is run for what it does to it: SET, USE, PREPARE, DO, LOCK, FLUSH.
    SessionState,
    Call,
    /// CREATE, ALTER, DROP, RENAME, TRUNCATE.
    Definition,
    /// About the server: SHOW, KILL, accounts, maintenance of tables, replication.
    Administration,
    /// A statement behind the first does not just read.
    Several,
    /// What the text does is not known.
    Unsure,
    /// Nothing speaks against a replica but a call of what may be a stored function. Those of this name may be known to
    /// just read.
    StoredFunction,
}

/// What counts first, whatever the kind of the statements.
const OF_ANY: [(Hazards, NotRead); 2] =
    [(Hazards::UNSURE, NotRead::Unsure), (Hazards::ONE_SHOT, NotRead::SessionState)];

/// What a text of reads may have all the same, in the order in which it counts.
const OF_READS: [(Hazards, NotRead); 12] = [
    (Hazards::OTHER_KIND, NotRead::Several),
    (Hazards::INTO_FILE, NotRead::IntoFile),
    (Hazards::SEQUENCE_NEXT.union(Hazards::SEQUENCE_VALUE), NotRead::Sequence),
    (Hazards::WRITES, NotRead::Write),
    (Hazards::LOCKING_READ, NotRead::LockingRead),
    (Hazards::NAMED_LOCK, NotRead::NamedLock),
    (Hazards::USER_VARIABLE_WRITE, NotRead::UserVariableWrite),
    (Hazards::SYSTEM_VARIABLE, NotRead::SystemVariable),
    (OF_STATE, NotRead::StateFunction),
    (Hazards::SERVER_TABLES.union(Hazards::TRACKERS), NotRead::ServerTables),
    // All others belong to statements of another kind.
    (Hazards::all().difference(OF_ANY_READ).difference(Hazards::MAY_CALL), NotRead::Unsure),
    (Hazards::MAY_CALL, NotRead::StoredFunction),
];

const OF_STATE: Hazards = Hazards::STATE_FUNCTION
    .union(Hazards::CONNECTION_ID)
    .union(Hazards::FOUND_ROWS)
    .union(Hazards::LAST_INSERT_ID)
    .union(Hazards::LAST_INSERT_ID_SET)
    .union(Hazards::READS_DIAGNOSTICS)
    .union(Hazards::ROW_COUNT);

/// What does not keep a text from a replica. A user variable moves with the session, and so does a count of rows.
const OF_ANY_READ: Hazards = Hazards::USER_VARIABLE
    .union(Hazards::SQL_CALC_FOUND_ROWS)
    .union(Hazards::OTHER_FOUND_ROWS)
    .union(Hazards::SELECTS)
    .union(Hazards::RETURNING)
    .union(Hazards::EXPLAINS_READ)
    .union(Hazards::MULTI)
    .union(Hazards::HINT_PRIMARY)
    .union(Hazards::HINT_REPLICA)
    .union(Hazards::HINT_UNKNOWN);

/// Whether all statements of a text only read data, so that it may run on a replica; hints are not obeyed here.
pub fn access(facts: Facts) -> Result<(), NotRead> {
    let first = |table: &[(Hazards, NotRead)]| {
        table.iter().find(|(hazards, _)| facts.hazards.intersects(*hazards)).map(|(_, reason)| *reason)
    };
    let reason = first(&OF_ANY).or_else(|| of_kind(facts)).or_else(|| first(&OF_READS));
    reason.map_or(Ok(()), Err)
}

/// What the first statement is, if it is of a kind that does not just read.
fn of_kind(facts: Facts) -> Option<NotRead> {
    use StatementKind as K;
    if just_reads(facts.kind, facts.hazards) {
        return None;
    }
    let alone = !facts.hazards.contains(Hazards::MULTI);
    Some(match facts.kind {
        K::Insert | K::Update | K::Delete | K::Replace | K::Load => NotRead::Write,
        K::Begin if alone && facts.hazards.contains(Hazards::READ_ONLY_TRANSACTION) => {
            NotRead::ReadOnlyTransaction
        }
        K::Begin | K::Commit | K::Rollback | K::Savepoint | K::Xa => NotRead::Transaction,
        K::Set
        | K::Use
        | K::Prepare
        | K::Execute
        | K::Deallocate
        | K::Lock
        | K::Unlock
        | K::Flush
        | K::Handler
        | K::Do => NotRead::SessionState,
        K::Call => NotRead::Call,
        K::Ddl => NotRead::Definition,
        K::Show | K::Kill | K::Admin | K::Other => NotRead::Administration,
        K::Explain => NotRead::Explain,
        // The first three just read. No text, or none but comments: the server's answer is an error.
        K::Select | K::Values | K::With | K::Empty | K::Command => NotRead::Unsure,
    })
}

impl NotRead {
    /// As a label of metrics.
    pub fn name(self) -> &'static str {
        self.texts().0
    }

    /// What it is, as a part of a message: `the text has ...`.
    pub fn describe(self) -> &'static str {
        self.texts().1
    }

    fn texts(self) -> (&'static str, &'static str) {
        match self {
            NotRead::Write => ("write", "a write"),
            NotRead::LockingRead => ("locking_read", "a locking read"),
            NotRead::IntoFile => ("into_file", "a query whose result goes to a file"),
            NotRead::UserVariableWrite => ("user_variable_write", "an assignment to a user variable"),
            NotRead::SystemVariable => ("system_variable", "a system variable"),
            NotRead::StateFunction => {
                ("state_function", "a function that asks about one server or one connection")
            }
            NotRead::NamedLock => ("named_lock", "a named lock"),
            NotRead::Sequence => ("sequence", "a value of a sequence"),
            NotRead::ServerTables => ("server_tables", "a table of the server's own"),
            NotRead::Explain => ("explain", "an EXPLAIN of something other than a query"),
            NotRead::Transaction => ("transaction", "a statement that begins or ends a transaction"),
            NotRead::ReadOnlyTransaction => {
                ("read_only_transaction", "a statement that begins a transaction")
            }
            NotRead::SessionState => ("session_state", "a statement that changes the session"),
            NotRead::Call => ("call", "a call of a procedure"),
            NotRead::Definition => ("definition", "a definition"),
            NotRead::Administration => ("administration", "a statement about the server"),
            NotRead::Several => ("several", "a second statement that does not just read"),
            NotRead::Unsure => ("unsure", "something that Athena can't read for certain"),
            NotRead::StoredFunction => ("stored_function", "a call of what may be a stored function"),
        }
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
