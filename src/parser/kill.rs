//! KILL, whose number is an id that Athena gave out.
//!
//! Manual section: "KILL Statement"; HARD, SOFT, USER and QUERY ID are MariaDB's.

use super::keyword::Keyword;
use super::lexer::{SqlMode, TokenKind};
use super::scan::Scanner;

/// What a KILL ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillScope {
    Connection,
    /// The statement alone.
    Query,
}

/// A KILL as it is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kill {
    pub scope: KillScope,
    /// MariaDB's SOFT: what must not be cut short goes on.
    pub soft: bool,
    pub id: u64,
}

/// A KILL that names no connection by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillError {
    /// KILL USER.
    User,
    /// KILL QUERY ID.
    QueryId,
    /// Anything else but a number.
    NoNumber,
}

/// Reads a text that is one KILL.
pub fn kill(sql: &[u8], mode: SqlMode) -> Result<Kill, KillError> {
    let mut scanner = Scanner::new(sql, mode);
    if !scanner.take(Keyword::Kill) {
        return Err(KillError::NoNumber);
    }
    let soft = scanner.take(Keyword::Soft);
    if !soft {
        scanner.take(Keyword::Hard);
    }
    let scope = if scanner.take(Keyword::Query) {
        KillScope::Query
    } else {
        scanner.take(Keyword::Connection);
        KillScope::Connection
    };
    match scanner.keyword() {
        Some(Keyword::User) => return Err(KillError::User),
        Some(Keyword::Id) if scope == KillScope::Query => return Err(KillError::QueryId),
        _ => {}
    }
    let id = match scanner.token.kind {
        TokenKind::Number => std::str::from_utf8(scanner.token.text).ok().and_then(|text| text.parse().ok()),
        _ => None,
    };
    scanner.advance();
    let over = !scanner.skip_to_statement() && !scanner.misreadable();
    id.filter(|_| over).map(|id| Kill { scope, soft, id }).ok_or(KillError::NoNumber)
}

#[cfg(test)]
mod tests {
    use super::KillScope::{Connection, Query};
    use super::*;

    fn of(sql: &str) -> Result<Kill, KillError> {
        kill(sql.as_bytes(), SqlMode::default())
    }

    #[test]
    fn the_grammars_of_both_servers_are_read() {
        for (sql, scope, soft) in [
            ("KILL 7", Connection, false),
            ("kill connection 7;", Connection, false),
            ("Kill Query 7 ; ", Query, false),
            ("KILL HARD 7", Connection, false),
            ("KILL SOFT 7", Connection, true),
            ("KILL SOFT QUERY /* of */ 7 -- gone", Query, true),
            ("/* a */ KILL HARD CONNECTION 7", Connection, false),
        ] {
            assert_eq!(of(sql), Ok(Kill { scope, soft, id: 7 }), "{sql}");
        }
        assert_eq!(of("KILL 18446744073709551615").map(|kill| kill.id), Ok(u64::MAX));
    }

    #[test]
    fn what_names_no_connection_is_told_apart() {
        for (sql, error) in [
            ("KILL USER a", KillError::User),
            ("KILL SOFT USER 'a'@'b'", KillError::User),
            ("KILL QUERY USER a", KillError::User),
            ("KILL QUERY ID 7", KillError::QueryId),
            ("KILL", KillError::NoNumber),
            ("KILL ?", KillError::NoNumber),
            ("KILL @a", KillError::NoNumber),
            ("KILL 'a'", KillError::NoNumber),
            ("KILL -1", KillError::NoNumber),
            ("KILL 7, 8", KillError::NoNumber),
            ("KILL 7 + 1", KillError::NoNumber),
            ("KILL 0x10", KillError::NoNumber),
            ("KILL 1e3", KillError::NoNumber),
            ("KILL 18446744073709551616", KillError::NoNumber),
            ("KILL CONNECTION QUERY 7", KillError::NoNumber),
            ("KILL 7 /*!50700 + 1 */", KillError::NoNumber),
            ("SELECT 7", KillError::NoNumber),
        ] {
            assert_eq!(of(sql), Err(error), "{sql}");
        }
    }
}
