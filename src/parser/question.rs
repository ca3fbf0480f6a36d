//! What a statement may ask that Athena answers, and the answers.

use super::constant;
use super::lexer::{Lexer, Token, TokenKind};

/// What is known of a session. What is `None` stays as it is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// CONNECTION_ID() and `@@pseudo_thread_id`.
    pub connection_id: Option<u32>,
    /// ROW_COUNT(): -1 behind a result set or an error.
    pub row_count: Option<i64>,
    /// FOUND_ROWS().
    pub found_rows: Option<u64>,
    /// `@@warning_count`.
    pub warning_count: Option<u64>,
    /// `@@error_count`.
    pub error_count: Option<u64>,
    /// LAST_INSERT_ID() without an argument, `@@last_insert_id` and `@@identity`.
    pub last_insert_id: Option<u64>,
}

impl Answers {
    /// What is written for a question whose answer is known.
    pub(super) fn constant(&self, question: Question, mariadb: bool) -> Option<String> {
        match question {
            Question::ConnectionId => self.connection_id.map(|id| constant::connection_id(id, mariadb)),
            Question::PseudoThreadId => self.connection_id.map(|id| constant::variable(u64::from(id))),
            Question::RowCount => self.row_count.map(constant::count),
            Question::FoundRows => self.found_rows.map(|count| constant::found_rows(count, mariadb)),
            Question::WarningCount => self.warning_count.map(constant::variable),
            Question::ErrorCount => self.error_count.map(constant::variable),
            Question::LastInsertId => self.last_insert_id.map(constant::function),
            Question::Identity => self.last_insert_id.map(constant::variable),
        }
    }
}

/// What a function or a variable asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    ConnectionId,
    PseudoThreadId,
    RowCount,
    FoundRows,
    WarningCount,
    ErrorCount,
    LastInsertId,
    /// `@@identity`, `@@last_insert_id`.
    Identity,
}

/// Without an argument.
const FUNCTIONS: [(&[u8], Question); 4] = [
    (b"connection_id", Question::ConnectionId),
    (b"row_count", Question::RowCount),
    (b"found_rows", Question::FoundRows),
    (b"last_insert_id", Question::LastInsertId),
];

/// Of the session.
const VARIABLES: [(&[u8], Question); 5] = [
    (b"pseudo_thread_id", Question::PseudoThreadId),
    (b"warning_count", Question::WarningCount),
    (b"error_count", Question::ErrorCount),
    (b"last_insert_id", Question::Identity),
    (b"identity", Question::Identity),
];

impl Question {
    /// What a call without arguments asks whose name is `token`.
    pub fn of_function(token: Token<'_>) -> Option<Question> {
        FUNCTIONS.iter().find(|(name, _)| is_name(token, name)).map(|(_, question)| *question)
    }

    /// What the variable asks that is read behind `@@`, where `ahead` stands; then it stands behind the name.
    pub fn of_variable(ahead: &mut Lexer<'_>) -> Option<Question> {
        let mut name = ahead.token();
        if [&b"session"[..], b"local"].iter().any(|scope| is_name(name, scope)) {
            let dot = ahead.token().kind == TokenKind::Byte(b'.');
            name = if dot { ahead.token() } else { name };
        }
        VARIABLES.iter().find(|(variable, _)| is_name(name, variable)).map(|(_, question)| *question)
    }

    /// Not of the statement before.
    pub fn is_of_connection(self) -> bool {
        matches!(self, Question::ConnectionId | Question::PseudoThreadId)
    }

    pub fn is_of_id(self) -> bool {
        matches!(self, Question::LastInsertId | Question::Identity)
    }
}

/// Whether a token is this word, also in quotes.
pub(super) fn is_name(token: Token<'_>, name: &[u8]) -> bool {
    match (token.kind, token.text) {
        (TokenKind::Word, text) => text.eq_ignore_ascii_case(name),
        (TokenKind::Quoted, [_, text @ .., _]) => text.eq_ignore_ascii_case(name),
        _ => false,
    }
}
