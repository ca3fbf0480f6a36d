//! Passes over tokens, and finds the hazards that look the same in every statement.

use super::effects::{Spelling, is_never_stored};
use super::facts::{Hazards, StatementKind, is_server_schema};
use super::ids::Ids;
use super::keyword::Keyword;
use super::lexer::{Lexer, SqlMode, Token, TokenKind};

/// Stands on one token and collects the hazards of those it has passed.
pub(super) struct Scanner<'a> {
    lexer: Lexer<'a>,
    pub(super) token: Token<'a>,
    /// The kind of the token before.
    previous: TokenKind,
    pub(super) hazards: Hazards,
    pub(super) ids: Ids,
}

impl<'a> Scanner<'a> {
    pub fn new(sql: &'a [u8], mode: SqlMode) -> Self {
        let mut lexer = Lexer::new(sql, mode);
        let token = lexer.token();
        Scanner { lexer, token, previous: TokenKind::End, hazards: Hazards::empty(), ids: Ids::NONE }
    }

    /// Whether servers may have seen other tokens.
    pub fn misreadable(&self) -> bool {
        self.lexer.misreadable
    }

    /// What comments ask for, of those that have been passed.
    pub fn hints(&self) -> Hazards {
        self.lexer.hints
    }

    pub(super) fn one_statement(&self) -> bool {
        self.lexer.mode.one_statement
    }

    pub(super) fn advance(&mut self) {
        self.previous = self.token.kind;
        self.token = self.lexer.token();
    }

    pub(super) fn is(&self, byte: u8) -> bool {
        self.token.kind == TokenKind::Byte(byte)
    }

    /// At the end of the statement.
    pub(super) fn at_end(&self) -> bool {
        matches!(self.token.kind, TokenKind::End | TokenKind::Byte(b';'))
    }

    pub(super) fn at_end_of_text(&self) -> bool {
        self.token.kind == TokenKind::End
    }

    /// The keyword that is the current token.
    pub(super) fn keyword(&self) -> Option<Keyword> {
        if self.token.kind == TokenKind::Word { Keyword::of(self.token.text) } else { None }
    }

    /// Passes the current token if it is this keyword.
    pub(super) fn take(&mut self, keyword: Keyword) -> bool {
        let found = self.keyword() == Some(keyword);
        if found {
            self.advance();
        }
        found
    }

    /// Passes an identifier, and returns it without quotes.
    pub(super) fn take_name(&mut self) -> &'a [u8] {
        let text = self.token.text;
        let name = match (self.token.kind, text) {
            (TokenKind::Word, _) => text,
            (TokenKind::Quoted, [_, name @ .., _]) => name,
            _ => return &[],
        };
        self.advance();
        name
    }

    /// Goes to the next statement, if there is one.
    pub fn skip_to_statement(&mut self) -> bool {
        while self.is(b';') {
            self.advance();
        }
        self.token.kind != TokenKind::End
    }

    /// Reads one statement to its end.
    pub fn statement(&mut self) -> StatementKind {
        loop {
            while self.is(b'(') {
                self.advance();
            }
            let keyword = self.keyword();
            if self.token.kind == TokenKind::Word {
                self.advance();
            }
            // MariaDB: variables for the statement that follows only.
            if keyword == Some(Keyword::Set) && self.take(Keyword::Statement) {
                self.hazards |= Hazards::ONE_SHOT;
                self.pass_until(|scanner| scanner.keyword() == Some(Keyword::For));
                self.take(Keyword::For);
                continue;
            }
            let kind = match keyword {
                Some(keyword) => self.begin(keyword),
                None => self.unknown(),
            };
            self.ids = self.ids.and(match kind {
                StatementKind::Insert | StatementKind::Replace => self.given_ids(),
                // They may insert anything.
                StatementKind::Call
                | StatementKind::Ddl
                | StatementKind::Execute
                | StatementKind::Load
                | StatementKind::Other
                | StatementKind::With => Ids::UNCLEAR,
                _ => Ids::NONE,
            });
            self.pass_until(|_| false);
            return kind;
        }
    }

    /// Reads on, to the end of the statement or to where `stop` holds outside of parentheses.
    pub(super) fn pass_until(&mut self, stop: impl Fn(&Self) -> bool) {
        let mut depth = 0u32;
        while !self.at_end() && (depth > 0 || !stop(self)) {
            match self.token.kind {
                TokenKind::Byte(b'(') => depth += 1,
                TokenKind::Byte(b')') => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.pass();
        }
    }

    /// Passes one token and what belongs to it, with the hazards that they have anywhere.
    pub(super) fn pass(&mut self) {
        let Token { kind, text } = self.token;
        let before = self.previous;
        let left = self.lexer.left();
        self.advance();
        match kind {
            TokenKind::Word => {
                if self.is(b'(') {
                    let apart = self.lexer.left() + 1 < left;
                    let spelling = if apart { Spelling::Apart } else { Spelling::Plain };
                    if !is_never_stored(text, spelling, self.lexer.mode.server) {
                        self.may_call(text);
                    }
                }
                match Keyword::of(text) {
                    Some(keyword) => self.clause(keyword),
                    None => self.name(text),
                }
            }
            // A native function may be called by its quoted name.
            TokenKind::Quoted if self.is(b'(') => {
                let name = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
                if let Some(keyword) = Keyword::of(name) {
                    self.call(keyword);
                }
                self.may_call(name);
            }
            TokenKind::Quoted => self.name(text.get(1..text.len().saturating_sub(1)).unwrap_or_default()),
            // Behind a name or a string it is the host of an account.
            TokenKind::UserVariable if matches!(before, TokenKind::String | TokenKind::Quoted) => {}
            TokenKind::UserVariable => {
                self.hazards |= Hazards::USER_VARIABLE;
                if self.token.kind == TokenKind::Assign {
                    self.hazards |= Hazards::USER_VARIABLE_WRITE;
                }
            }
            TokenKind::SystemVariable => self.read_variable(),
            // A part of a qualified name is no keyword, and no native function.
            TokenKind::Byte(b'.') if matches!(self.token.kind, TokenKind::Word | TokenKind::Quoted) => {
                self.behind_dot();
            }
            _ => {}
        }
    }

    /// A name behind a dot. Kept out of the way of other tokens, as measured.
    #[inline(never)]
    fn behind_dot(&mut self) {
        let quoted = self.token.kind == TokenKind::Quoted;
        let name = self.take_name();
        self.table(name);
        if self.is(b'(') {
            self.hazards |= Hazards::MAY_CALL;
        } else if name.len() == 7 && !quoted && self.lexer.mode.server.has_sequences() {
            // In MariaDB's mode ORACLE, of which no status flag tells, `s.nextval` draws from a sequence.
            self.hazards |= match Keyword::of(name) {
                Some(Keyword::NextVal) => Hazards::SEQUENCE_NEXT | Hazards::WRITES,
                Some(Keyword::CurrVal | Keyword::LastVal) => Hazards::SEQUENCE_VALUE,
                _ => Hazards::empty(),
            };
        }
    }

    /// A name, perhaps of a schema, or of a table.
    fn name(&mut self, name: &[u8]) {
        if self.is(b'.') && is_server_schema(name) {
            self.hazards |= Hazards::SERVER_TABLES;
        }
        self.table(name);
    }

    /// The name of what may be a stored function, or a loaded one.
    #[cold]
    fn may_call(&mut self, name: &[u8]) {
        /// The functions of plugins and components that ask and steer the server they run on.
        const OF_SERVER: [&[u8]; 6] = [
            b"asynchronous_connection_failover_",
            b"audit_log_",
            b"group_replication_",
            b"keyring_",
            b"mysql_firewall_",
            b"version_tokens_",
        ];
        self.hazards |= Hazards::MAY_CALL;
        let of_server = OF_SERVER
            .iter()
            .any(|prefix| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)));
        if of_server {
            self.hazards |= Hazards::STATE_FUNCTION;
        }
    }

    /// A name that may be that of a table.
    fn table(&mut self, name: &[u8]) {
        /// They list system variables with the session's values.
        const OF_VARIABLES: [&[u8]; 3] = [b"session_variables", b"system_variables", b"variables_by_thread"];
        if matches!(name.len(), 16 | 17 | 19)
            && OF_VARIABLES.iter().any(|table| name.eq_ignore_ascii_case(table))
        {
            self.hazards |= Hazards::TRACKERS;
        }
    }

    /// A keyword anywhere, which is passed.
    fn clause(&mut self, keyword: Keyword) {
        match keyword {
            Keyword::Union | Keyword::Except | Keyword::Intersect | Keyword::Offset => {
                self.hazards |= Hazards::OTHER_FOUND_ROWS;
            }
            Keyword::Select => self.hazards |= Hazards::SELECTS,
            Keyword::Returning => self.hazards |= Hazards::RETURNING,
            Keyword::Limit => {
                let mut ahead = self.lexer;
                if ahead.token().kind == TokenKind::Byte(b',') {
                    self.hazards |= Hazards::OTHER_FOUND_ROWS;
                }
            }
            Keyword::SqlCalcFoundRows => self.hazards |= Hazards::SQL_CALC_FOUND_ROWS,
            Keyword::Into if self.token.kind == TokenKind::UserVariable => {
                self.hazards |= Hazards::USER_VARIABLE_WRITE;
            }
            Keyword::Into if matches!(self.keyword(), Some(Keyword::Outfile | Keyword::Dumpfile)) => {
                self.hazards |= Hazards::WRITES | Hazards::INTO_FILE;
            }
            Keyword::For if matches!(self.keyword(), Some(Keyword::Update | Keyword::Share)) => {
                self.hazards |= Hazards::LOCKING_READ;
            }
            Keyword::Lock if self.keyword() == Some(Keyword::In) => self.hazards |= Hazards::LOCKING_READ,
            Keyword::Next | Keyword::Previous => self.sequence_value(keyword),
            _ if self.is(b'(') => self.call(keyword),
            _ => {}
        }
    }

    /// NEXT VALUE FOR, PREVIOUS VALUE FOR.
    fn sequence_value(&mut self, first: Keyword) {
        if self.take(Keyword::Value) && self.take(Keyword::For) {
            self.hazards |= match first {
                Keyword::Next => Hazards::SEQUENCE_NEXT | Hazards::WRITES,
                _ => Hazards::SEQUENCE_VALUE,
            };
        }
    }

    /// A function, if it is one, with the opening parenthesis of its arguments ahead.
    fn call(&mut self, function: Keyword) {
        self.hazards |= match function {
            Keyword::GetLock
            | Keyword::ReleaseLock
            | Keyword::ReleaseAllLocks
            | Keyword::ServiceGetReadLocks
            | Keyword::ServiceGetWriteLocks
            | Keyword::ServiceReleaseLocks => Hazards::NAMED_LOCK,
            Keyword::FoundRows => Hazards::FOUND_ROWS,
            Keyword::RowCount => Hazards::ROW_COUNT,
            Keyword::ConnectionId => Hazards::CONNECTION_ID,
            Keyword::LastVal => Hazards::SEQUENCE_VALUE,
            Keyword::NextVal => Hazards::SEQUENCE_NEXT | Hazards::WRITES,
            Keyword::SetVal => Hazards::WRITES,
            Keyword::AsynchronousConnectionFailoverReset
            | Keyword::BinlogGtidPos
            | Keyword::DesDecrypt
            | Keyword::DesEncrypt
            | Keyword::InnodbRedoLogSharpCheckpoint
            | Keyword::InnodbSetOpenFilesLimit
            | Keyword::IsFreeLock
            | Keyword::IsUsedLock
            | Keyword::LoadFile
            | Keyword::MasterGtidWait
            | Keyword::MasterPosWait
            | Keyword::PsCurrentThreadId
            | Keyword::PsThreadId
            | Keyword::SourcePosWait
            | Keyword::UuidShort
            | Keyword::WaitForExecutedGtidSet
            | Keyword::WaitUntilSqlThreadAfterGtids
            | Keyword::WsrepLastSeenGtid
            | Keyword::WsrepLastWrittenGtid
            | Keyword::WsrepSyncWaitUptoGtid => Hazards::STATE_FUNCTION,
            Keyword::LastInsertId => {
                let mut ahead = self.lexer;
                match ahead.token().kind {
                    TokenKind::Byte(b')') => Hazards::LAST_INSERT_ID,
                    _ => Hazards::LAST_INSERT_ID | Hazards::LAST_INSERT_ID_SET,
                }
            }
            _ => Hazards::empty(),
        };
    }
}
