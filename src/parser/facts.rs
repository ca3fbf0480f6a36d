//! The facts about a text of one or more statements.

use bitflags::bitflags;

use super::ids::Ids;
use super::lexer::SqlMode;
use super::scan::Scanner;

/// What a statement is, by the words it begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatementKind {
    /// SELECT and TABLE, also in parentheses.
    Select,
    Insert,
    Update,
    Delete,
    Replace,
    /// WITH: the statement behind the common table expressions may be a write, see [`Hazards::WRITES`].
    With,
    Values,
    Set,
    Show,
    /// BEGIN, START TRANSACTION.
    Begin,
    Commit,
    Rollback,
    /// SAVEPOINT, RELEASE SAVEPOINT, ROLLBACK TO.
    Savepoint,
    Use,
    Call,
    Prepare,
    /// EXECUTE, EXECUTE IMMEDIATE.
    Execute,
    /// DEALLOCATE PREPARE, DROP PREPARE.
    Deallocate,
    /// CREATE, ALTER, DROP, RENAME, TRUNCATE.
    Ddl,
    /// LOCK TABLES, LOCK INSTANCE.
    Lock,
    Unlock,
    Flush,
    Kill,
    /// LOAD DATA, LOAD XML.
    Load,
    Handler,
    Xa,
    Do,
    /// EXPLAIN, DESCRIBE, DESC.
    Explain,
    /// Table maintenance, replication, accounts, plugins and the server itself.
    Admin,
    /// Anything else, with [`Hazards::UNSURE`] if its first word is unknown.
    Other,
    /// Nothing but blanks and comments.
    Empty,
    /// No text at all: another command of the protocol.
    Command,
}

bitflags! {
    /// What a text does or asks that the server's replies do not show, or that decides where it may run.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Hazards: u64 {
        /// GET_LOCK(), RELEASE_LOCK() and their like.
        const NAMED_LOCK = 1;
        /// `@x` is mentioned.
        const USER_VARIABLE = 1 << 1;
        /// `@x` is or may be written: SET, `:=`, INTO, or as a parameter of a routine.
        const USER_VARIABLE_WRITE = 1 << 2;
        const TEMPORARY_TABLE = 1 << 3;
        const HANDLER = 1 << 4;
        /// LOCK TABLES, FLUSH TABLES WITH READ LOCK or FOR EXPORT.
        const TABLE_LOCK = 1 << 5;
        /// LOCK INSTANCE, BACKUP STAGE, BACKUP LOCK.
        const INSTANCE_LOCK = 1 << 6;
        const CALL = 1 << 7;
        /// PREPARE, EXECUTE and DEALLOCATE as SQL text.
        const TEXT_PREPARE = 1 << 8;
        const XA = 1 << 9;
        const ROLE = 1 << 10;
        const RESOURCE_GROUP = 1 << 11;
        /// A system variable other than autocommit is set for the session, or a character set.
        const SET_SESSION = 1 << 12;
        const AUTOCOMMIT_SET = 1 << 13;
        /// Characteristics of the next transaction only.
        const SET_TRANSACTION = 1 << 14;
        /// With [`Hazards::SET_SESSION`]: a variable whose value can't be set again on another link to the same effect.
        const UNREPLAYABLE_SET = 1 << 15;
        /// The warnings or errors of the statement before.
        const READS_DIAGNOSTICS = 1 << 16;
        const FOUND_ROWS = 1 << 17;
        const SQL_CALC_FOUND_ROWS = 1 << 18;
        const ROW_COUNT = 1 << 19;
        /// The value is read, also as `@@identity`.
        const LAST_INSERT_ID = 1 << 20;
        /// LAST_INSERT_ID(expr), or the variable is set.
        const LAST_INSERT_ID_SET = 1 << 21;
        const CONNECTION_ID = 1 << 22;
        /// LASTVAL() or PREVIOUS VALUE FOR: what this link drew last from a sequence.
        const SEQUENCE_VALUE = 1 << 23;
        /// NEXTVAL() or NEXT VALUE FOR: leaves what [`Hazards::SEQUENCE_VALUE`] reads.
        const SEQUENCE_NEXT = 1 << 24;
        const KILL = 1 << 25;
        const LOCAL_INFILE = 1 << 26;
        /// More than one statement.
        const MULTI = 1 << 27;
        const USE_DB = 1 << 28;
        /// FOR UPDATE, FOR SHARE, LOCK IN SHARE MODE.
        const LOCKING_READ = 1 << 29;
        /// Of a kind that writes data, definitions or files.
        const WRITES = 1 << 30;
        const CONSISTENT_SNAPSHOT = 1 << 31;
        /// COMMIT or ROLLBACK ... AND CHAIN.
        const CHAIN = 1 << 32;
        /// COMMIT or ROLLBACK ... RELEASE.
        const RELEASE = 1 << 33;
        /// The server may read the text in another way, so that the other facts may be wrong.
        const UNSURE = 1 << 34;
        /// SHOW PROCESSLIST.
        const PROCESSLIST = 1 << 35;
        /// SHOW FULL PROCESSLIST, besides [`Hazards::PROCESSLIST`].
        const FULL_PROCESSLIST = 1 << 36;
        /// Global variables, accounts or privileges change: what connections get when they log in.
        const NEW_ERA = 1 << 37;
        /// One of the variables is set or read by which Athena itself has the server report changes; also SHOW VARIABLES, and
        /// tables that list variables.
        const TRACKERS = 1 << 38;
        /// Whether the session uses the query cache is set.
        const QUERY_CACHE = 1 << 39;
        /// SHOW PROFILE, SHOW PROFILES: of statements on the same link.
        const PROFILES = 1 << 40;
        /// FOUND_ROWS() may be another number than that of the rows: LIMIT with an offset, UNION and the like.
        const OTHER_FOUND_ROWS = 1 << 41;
        /// SELECT as a part of another statement.
        const SELECTS = 1 << 42;
        /// SHOW of what FOUND_ROWS() counts, and DESCRIBE of a table.
        const SHOWS_TABLE = 1 << 43;
        /// Something is called, or stands before a parenthesis, that may be a stored function.
        const MAY_CALL = 1 << 44;
        /// SET STATEMENT ... FOR.
        const ONE_SHOT = 1 << 45;
        /// INSERT ... RETURNING: no packet tells an id.
        const RETURNING = 1 << 46;
        /// With [`Hazards::UNSURE`]: where tokens begin and end.
        const MISREAD = 1 << 47;
        /// `@@x` is read, in any scope.
        const SYSTEM_VARIABLE = 1 << 48;
        /// A name of a schema that shows or holds the server's own state stands before a dot, see [`is_server_schema`].
        const SERVER_TABLES = 1 << 49;
        /// A function that reads, changes or waits for the state of one server or link, and has no hazard of its own.
        const STATE_FUNCTION = 1 << 50;
        /// The first statement is EXPLAIN, DESCRIBE or DESC of a query. EXPLAIN ANALYZE runs that query, so all other
        /// hazards of it are found as in the query itself.
        const EXPLAINS_READ = 1 << 51;
        /// START TRANSACTION ... READ ONLY.
        const READ_ONLY_TRANSACTION = 1 << 52;
        /// INTO OUTFILE, INTO DUMPFILE, besides [`Hazards::WRITES`], which has other reasons too.
        const INTO_FILE = 1 << 53;
        /// A statement behind the first, whose kind is that of the text, is not of a kind that just reads.
        const OTHER_KIND = 1 << 54;
        /// A comment `athena:primary`: the client wants the text to run on the primary. Some clients, such as the
        /// command line's `mariadb` without `--comments`, strip comments before they send a text; then there is no hint.
        const HINT_PRIMARY = 1 << 55;
        /// A comment `athena:replica`. With [`Hazards::HINT_PRIMARY`] as well, the hints contradict each other.
        const HINT_REPLICA = 1 << 56;
        /// A comment that begins with `athena:` and says nothing that is known.
        const HINT_UNKNOWN = 1 << 57;
    }
}

impl Hazards {
    /// What is about sessions by their ids, of which a server knows others than the clients do.
    pub const OF_SESSIONS: Hazards = Hazards::CONNECTION_ID.union(Hazards::KILL).union(Hazards::PROCESSLIST);
}

/// See [`facts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// That of the first statement.
    pub kind: StatementKind,
    /// Those of all statements.
    pub hazards: Hazards,
    /// What INSERT and REPLACE may give for an id; unclear for statements that insert unseen.
    pub ids: Ids,
}

/// Reads `sql` once. Never fails: unterminated strings and comments just end.
pub fn facts(sql: &[u8], mode: SqlMode) -> Facts {
    let mut scanner = Scanner::new(sql, mode);
    let mut kind = StatementKind::Empty;
    let mut previous = kind;
    while scanner.skip_to_statement() {
        let before = scanner.hazards;
        scanner.hazards -= Hazards::EXPLAINS_READ;
        let next = scanner.statement();
        if kind == StatementKind::Empty {
            kind = next;
        } else {
            // What asks about a statement of the same text asks about none of an earlier one.
            scanner.hazards -= answered_by(previous) - before;
            let reads = just_reads(next, scanner.hazards);
            scanner.hazards.set(Hazards::OTHER_KIND, !reads || before.contains(Hazards::OTHER_KIND));
            scanner.hazards.set(Hazards::EXPLAINS_READ, before.contains(Hazards::EXPLAINS_READ));
            scanner.hazards |= Hazards::MULTI;
        }
        previous = next;
    }
    let mut hazards = scanner.hazards | scanner.hints();
    if scanner.misreadable() {
        hazards |= Hazards::UNSURE | Hazards::MISREAD;
    }
    Facts { kind, hazards, ids: scanner.ids }
}

/// What a statement may ask about the one before it, of this kind. Not its warnings: MariaDB may list older ones.
fn answered_by(kind: StatementKind) -> Hazards {
    match kind {
        StatementKind::Select | StatementKind::Values => Hazards::ROW_COUNT | Hazards::FOUND_ROWS,
        _ => Hazards::ROW_COUNT,
    }
}

/// Whether a statement of this kind, the last that was read, reads and does nothing else but for what its hazards say.
pub(super) fn just_reads(kind: StatementKind, hazards: Hazards) -> bool {
    match kind {
        StatementKind::Select | StatementKind::Values | StatementKind::With => true,
        StatementKind::Explain => hazards.contains(Hazards::EXPLAINS_READ),
        _ => false,
    }
}

/// Whether this is the name of a schema of the server's own: its accounts, its counters, its sessions. A replica has
/// others than its primary.
pub fn is_server_schema(name: &[u8]) -> bool {
    let known: &[u8] = match name.len() {
        3 => b"sys",
        5 => b"mysql",
        18 if matches!(name.first(), Some(b'i' | b'I')) => b"information_schema",
        18 => b"performance_schema",
        _ => return false,
    };
    name.eq_ignore_ascii_case(known)
}
