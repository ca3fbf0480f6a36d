//! Statements by their first words.

use super::facts::{Hazards, StatementKind, is_server_schema};
use super::keyword::Keyword;
use super::lexer::TokenKind;
use super::scan::Scanner;

impl Scanner<'_> {
    /// A statement by its first word, which is passed. What this leaves of it has no hazards but those of any text.
    pub(super) fn begin(&mut self, keyword: Keyword) -> StatementKind {
        use Keyword as K;
        use StatementKind as S;
        let (kind, hazards) = match keyword {
            K::Select | K::Table => (S::Select, Hazards::empty()),
            K::Insert => (S::Insert, Hazards::WRITES),
            K::Update => (S::Update, Hazards::WRITES),
            K::Delete => (S::Delete, Hazards::WRITES),
            K::Replace => (S::Replace, Hazards::WRITES),
            K::Values => (S::Values, Hazards::empty()),
            K::With => return self.with(),
            K::Set => return self.set(),
            K::Show => return self.show(),
            K::Begin if self.keyword() == Some(K::Not) => return self.unknown(),
            K::Begin => (S::Begin, Hazards::empty()),
            K::Start => return self.start(),
            K::Commit => return self.end_of_transaction(S::Commit),
            K::Rollback => return self.end_of_transaction(S::Rollback),
            K::Savepoint | K::Release => (S::Savepoint, Hazards::empty()),
            K::Use => (S::Use, Hazards::USE_DB),
            K::Call => return self.with_parameters(S::Call, Hazards::CALL | Hazards::WRITES),
            K::Prepare => (S::Prepare, Hazards::TEXT_PREPARE),
            K::Execute => {
                return self.with_parameters(S::Execute, Hazards::TEXT_PREPARE | Hazards::WRITES);
            }
            K::Deallocate => (S::Deallocate, Hazards::TEXT_PREPARE),
            K::Drop if self.keyword() == Some(K::Prepare) => (S::Deallocate, Hazards::TEXT_PREPARE),
            K::Create | K::Alter | K::Drop => return self.definition(),
            K::Rename if self.keyword() == Some(K::User) => (S::Ddl, Hazards::WRITES | Hazards::NEW_ERA),
            K::Rename | K::Truncate => (S::Ddl, Hazards::WRITES),
            K::Lock if self.keyword() == Some(K::Instance) => (S::Lock, Hazards::INSTANCE_LOCK),
            K::Lock => (S::Lock, Hazards::TABLE_LOCK),
            K::Unlock => (S::Unlock, Hazards::empty()),
            K::Flush => return self.flush(),
            K::Kill => (S::Kill, Hazards::KILL),
            K::Load => return self.load(),
            K::Handler => (S::Handler, Hazards::HANDLER),
            K::Xa => (S::Xa, Hazards::XA),
            K::Do => (S::Do, Hazards::empty()),
            K::Explain | K::Describe | K::Desc => return self.explain(),
            K::Backup => (S::Admin, Hazards::INSTANCE_LOCK),
            // Replays events as if this session had made them, with their session state.
            K::Binlog => (S::Admin, Hazards::WRITES | Hazards::UNSURE),
            K::Checksum => (S::Admin, Hazards::empty()),
            K::Grant | K::Revoke => (S::Admin, Hazards::WRITES | Hazards::NEW_ERA),
            K::Analyze
            | K::Cache
            | K::Change
            | K::Check
            | K::Clone
            | K::Import
            | K::Install
            | K::Optimize
            | K::Purge
            | K::Repair
            | K::Reset
            | K::Restart
            | K::Shutdown
            | K::Stop
            | K::Uninstall => (S::Admin, Hazards::WRITES),
            K::Get => return self.with_parameters(S::Other, Hazards::READS_DIAGNOSTICS),
            K::Help | K::Signal | K::Resignal => (S::Other, Hazards::empty()),
            _ => return self.unknown(),
        };
        self.hazards |= hazards;
        kind
    }

    /// A first word that no server documents, or none.
    pub(super) fn unknown(&mut self) -> StatementKind {
        self.hazards |= Hazards::UNSURE | Hazards::WRITES;
        StatementKind::Other
    }

    /// CALL, EXECUTE, GET DIAGNOSTICS: any user variable among the parameters may be written.
    fn with_parameters(&mut self, kind: StatementKind, hazards: Hazards) -> StatementKind {
        self.hazards |= hazards;
        let before = self.hazards & Hazards::USER_VARIABLE;
        self.hazards -= before;
        self.pass_until(|_| false);
        if self.hazards.contains(Hazards::USER_VARIABLE) {
            self.hazards |= Hazards::USER_VARIABLE_WRITE;
        }
        self.hazards |= before;
        kind
    }

    fn with(&mut self) -> StatementKind {
        if self.with_writes() {
            self.hazards |= Hazards::WRITES;
        }
        StatementKind::With
    }

    /// Behind WITH, as far as the statement behind the common table expressions: whether that is a write.
    fn with_writes(&mut self) -> bool {
        use Keyword::{Delete, Insert, Replace, Select, Table, Update, Values};
        self.pass_until(|scanner| {
            let keyword = scanner.keyword();
            matches!(keyword, Some(Delete | Insert | Replace | Select | Table | Update | Values))
        });
        matches!(self.keyword(), Some(Delete | Insert | Replace | Update))
    }

    fn show(&mut self) -> StatementKind {
        use Keyword::{Count, Errors, Profile, Profiles, Warnings};
        match self.keyword() {
            Some(Count | Errors | Warnings) => self.hazards |= Hazards::READS_DIAGNOSTICS,
            Some(Profile | Profiles) => self.hazards |= Hazards::PROFILES,
            _ => {}
        }
        if !self.shows_no_table() {
            self.hazards |= Hazards::SHOWS_TABLE;
        }
        let full = self.take(Keyword::Full);
        if self.take(Keyword::Processlist) && self.at_end() {
            self.hazards |= Hazards::PROCESSLIST;
            self.hazards.set(Hazards::FULL_PROCESSLIST, full);
        }
        let _ = self.take(Keyword::Session) || self.take(Keyword::Local);
        if self.take(Keyword::Variables)
            && !(self.take(Keyword::Like)
                && self.token.kind == TokenKind::String
                && !may_match_trackers(self.token.text))
        {
            self.hazards |= Hazards::TRACKERS;
        }
        StatementKind::Show
    }

    /// START TRANSACTION, or of replication.
    fn start(&mut self) -> StatementKind {
        if !self.take(Keyword::Transaction) {
            self.hazards |= Hazards::WRITES;
            return StatementKind::Admin;
        }
        let (mut reads, mut writes) = (false, false);
        while !self.at_end() {
            if self.take(Keyword::Consistent) {
                self.hazards |= Hazards::CONSISTENT_SNAPSHOT;
            } else if self.take(Keyword::Read) {
                reads |= self.keyword() == Some(Keyword::Only);
                writes |= self.keyword() == Some(Keyword::Write);
            } else {
                self.pass();
            }
        }
        if reads && !writes {
            self.hazards |= Hazards::READ_ONLY_TRANSACTION;
        }
        StatementKind::Begin
    }

    fn end_of_transaction(&mut self, mut kind: StatementKind) -> StatementKind {
        while !self.at_end() {
            match self.keyword() {
                Some(Keyword::To) => {
                    kind = StatementKind::Savepoint;
                    break;
                }
                // NO CHAIN, NO RELEASE
                Some(Keyword::No) => self.advance(),
                Some(Keyword::Chain) => self.hazards |= Hazards::CHAIN,
                Some(Keyword::Release) => self.hazards |= Hazards::RELEASE,
                _ => {}
            }
            if !self.at_end() {
                self.advance();
            }
        }
        kind
    }

    /// CREATE, ALTER, DROP, as far as the kind of object.
    fn definition(&mut self) -> StatementKind {
        use Keyword as K;
        self.hazards |= Hazards::WRITES;
        while !self.at_end() {
            let keyword = self.keyword();
            self.advance();
            match keyword {
                Some(K::Temporary) => self.hazards |= Hazards::TEMPORARY_TABLE,
                Some(K::Procedure | K::Function | K::Trigger | K::Event | K::Package) => {
                    self.stored_program();
                    break;
                }
                Some(K::Role | K::User) => {
                    self.hazards |= Hazards::NEW_ERA;
                    break;
                }
                Some(
                    K::Database
                    | K::Index
                    | K::Instance
                    | K::Schema
                    | K::Sequence
                    | K::Server
                    | K::Table
                    | K::Tables
                    | K::Tablespace
                    | K::View,
                ) => break,
                _ => {}
            }
        }
        StatementKind::Ddl
    }

    /// Nothing in the body of a stored program runs now. Whether a `;` ends the body or one of its statements takes a
    /// parser to tell, so what stands behind it may be another statement, where the server takes several.
    fn stored_program(&mut self) {
        let end = if self.one_statement() { Self::at_end_of_text } else { Self::at_end };
        while !end(self) {
            self.advance();
        }
        if self.skip_to_statement() {
            self.hazards |= Hazards::MULTI | Hazards::UNSURE;
            while !self.at_end_of_text() {
                self.advance();
            }
        }
    }

    fn flush(&mut self) -> StatementKind {
        while !self.at_end() {
            let keyword = self.keyword();
            self.advance();
            match (keyword, self.keyword()) {
                (Some(Keyword::Read), Some(Keyword::Lock)) | (Some(Keyword::For), Some(Keyword::Export)) => {
                    self.hazards |= Hazards::TABLE_LOCK;
                }
                (Some(Keyword::Privileges), _) => self.hazards |= Hazards::NEW_ERA,
                // The session's counters, which it will look at, start anew on this link.
                (Some(Keyword::Status), _) => {
                    self.hazards |= Hazards::SET_SESSION | Hazards::UNREPLAYABLE_SET;
                }
                _ => {}
            }
        }
        self.hazards |= Hazards::WRITES;
        StatementKind::Flush
    }

    fn load(&mut self) -> StatementKind {
        if !self.take(Keyword::Data) && !self.take(Keyword::Xml) {
            self.hazards |= Hazards::WRITES;
            return StatementKind::Admin;
        }
        while !self.at_end() && self.keyword() != Some(Keyword::Infile) {
            if self.take(Keyword::Local) {
                self.hazards |= Hazards::LOCAL_INFILE;
            } else {
                self.advance();
            }
        }
        // A column of the file may go to a user variable.
        self.with_parameters(StatementKind::Load, Hazards::WRITES)
    }
}

impl Scanner<'_> {
    #[cold]
    fn explain(&mut self) -> StatementKind {
        if !self.explains_statement() {
            self.hazards |= Hazards::SHOWS_TABLE;
        } else if self.explains_read() {
            self.hazards |= Hazards::EXPLAINS_READ;
        }
        StatementKind::Explain
    }

    /// Behind EXPLAIN: another statement, or how to explain one, and not the name of a table.
    fn explains_statement(&self) -> bool {
        const WORDS: [&[u8]; 15] = [
            b"analyze",
            b"connection",
            b"delete",
            b"extended",
            b"for",
            b"format",
            b"insert",
            b"into",
            b"partitions",
            b"replace",
            b"select",
            b"table",
            b"update",
            b"values",
            b"with",
        ];
        let word = self.token.kind == TokenKind::Word;
        self.is(b'(') || (word && WORDS.iter().any(|known| self.token.text.eq_ignore_ascii_case(known)))
    }

    /// Behind EXPLAIN, as far as the statement that it explains: whether that is a query.
    fn explains_read(&mut self) -> bool {
        use Keyword as K;
        loop {
            match self.keyword() {
                Some(K::Analyze | K::Extended | K::Partitions) => self.pass(),
                // INTO @a: the plan goes to a variable.
                Some(K::Into) => {
                    self.pass();
                    self.pass_value();
                }
                Some(K::Format) => {
                    self.pass();
                    if !self.is(b'=') {
                        return false;
                    }
                    self.pass();
                    self.pass_value();
                }
                Some(K::For) => {
                    self.pass();
                    if !self.take(K::Schema) && !self.take(K::Database) {
                        return false;
                    }
                    if is_server_schema(self.take_name()) {
                        self.hazards |= Hazards::SERVER_TABLES;
                    }
                }
                _ => break,
            }
        }
        while self.is(b'(') {
            self.advance();
        }
        match self.keyword() {
            Some(K::Select | K::Table | K::Values) => true,
            Some(K::With) => {
                self.pass();
                !self.with_writes()
            }
            _ => false,
        }
    }

    /// Passes one token, unless the statement ends here.
    fn pass_value(&mut self) {
        if !self.at_end() {
            self.pass();
        }
    }

    /// Behind SHOW: what no table of the server's lists.
    fn shows_no_table(&self) -> bool {
        const WORDS: [&[u8]; 13] = [
            b"binary",
            b"create",
            b"engine",
            b"errors",
            b"grants",
            b"master",
            b"privileges",
            b"processlist",
            b"profile",
            b"profiles",
            b"replica",
            b"slave",
            b"warnings",
        ];
        WORDS.iter().any(|known| self.token.text.eq_ignore_ascii_case(known))
    }
}

/// Whether a pattern of SHOW VARIABLES, in its quotes, may be that of a variable of [`Hazards::TRACKERS`].
fn may_match_trackers(pattern: &[u8]) -> bool {
    let plain = pattern.iter().skip(1).take_while(|byte| !matches!(byte, b'%' | b'_' | b'\\'));
    plain.zip(b"session_track_").all(|(a, b)| a.eq_ignore_ascii_case(b))
}
