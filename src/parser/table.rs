//! Whether a statement uses a table: one that uses none leaves a MariaDB's list of warnings as it is.

use super::facts::StatementKind;
use super::keyword::Keyword;
use super::lexer::{Lexer, SqlMode, TokenKind};

/// What a SHOW begins with that reads no table.
const SHOWN_WITHOUT: [&[u8]; 12] = [
    b"processlist",
    b"full",
    b"grants",
    b"engine",
    b"privileges",
    b"master",
    b"slave",
    b"replica",
    b"binary",
    b"warnings",
    b"errors",
    b"count",
];

/// What is defined without a table.
const DEFINED_WITHOUT: [&[u8]; 9] =
    [b"database", b"schema", b"user", b"role", b"procedure", b"function", b"package", b"event", b"server"];

/// `CREATE OR REPLACE DEFINER = user@host AGGREGATE` stands before what is defined.
const WORDS_BEFORE_DEFINED: usize = 12;

/// Whether the last statement of a text uses a table, as far as the text tells: a stored program may use one, too.
pub fn uses_table(sql: &[u8], mode: SqlMode) -> bool {
    let kind = super::facts::facts(sql, mode).kind;
    match kind {
        StatementKind::Insert
        | StatementKind::Update
        | StatementKind::Delete
        | StatementKind::Replace
        | StatementKind::Load
        | StatementKind::Handler
        | StatementKind::Lock => true,
        StatementKind::Ddl => defines_with_table(sql, mode),
        StatementKind::Show => shows_table(sql, mode),
        StatementKind::Explain => true,
        StatementKind::Flush => flushes_table(sql, mode),
        StatementKind::Admin if locks_for_backup(sql, mode) => true,
        _ => selects_from_table(sql, mode),
    }
}

/// Whether what is defined is one of a table, or on one: of the words that say so, the first.
fn defines_with_table(sql: &[u8], mode: SqlMode) -> bool {
    let mut lexer = Lexer::new(sql, mode);
    for _ in 0..WORDS_BEFORE_DEFINED {
        let token = lexer.token();
        let is_one_of = |words: &[&[u8]]| words.iter().any(|word| token.text.eq_ignore_ascii_case(word));
        if token.kind == TokenKind::End || is_one_of(&[b"table", b"view", b"trigger", b"index", b"sequence"])
        {
            return true;
        }
        if is_one_of(&DEFINED_WITHOUT) {
            return false;
        }
    }
    true
}

/// Whether a sequence is read here, which is a table: `NEXTVAL(s)`, `PREVIOUS VALUE FOR s`.
fn is_of_sequence(word: &[u8], mut behind: Lexer<'_>) -> bool {
    let next = behind.token();
    let function =
        [&b"nextval"[..], b"lastval", b"setval"].iter().any(|name| word.eq_ignore_ascii_case(name));
    (function && next.kind == TokenKind::Byte(b'('))
        || (word.eq_ignore_ascii_case(b"value") && next.text.eq_ignore_ascii_case(b"for"))
}

/// Whether tables are named behind FLUSH TABLES.
fn flushes_table(sql: &[u8], mode: SqlMode) -> bool {
    let mut lexer = Lexer::new(sql, mode);
    let [_, what, first] = [(); 3].map(|()| lexer.token());
    let tables = [&b"tables"[..], b"table"].iter().any(|word| what.text.eq_ignore_ascii_case(word));
    tables
        && matches!(first.kind, TokenKind::Word | TokenKind::Quoted)
        && !first.text.eq_ignore_ascii_case(b"with")
}

/// Whether it is BACKUP LOCK, of one table.
fn locks_for_backup(sql: &[u8], mode: SqlMode) -> bool {
    let mut lexer = Lexer::new(sql, mode);
    [&b"backup"[..], b"lock"].iter().all(|word| lexer.token().text.eq_ignore_ascii_case(word))
}

fn shows_table(sql: &[u8], mode: SqlMode) -> bool {
    let mut lexer = Lexer::new(sql, mode);
    lexer.token();
    let what = lexer.token();
    let object = lexer.token();
    let routine = |word: &[u8]| {
        [&b"procedure"[..], b"function", b"trigger", b"event"]
            .iter()
            .any(|name| word.eq_ignore_ascii_case(name))
    };
    let without = SHOWN_WITHOUT.iter().any(|name| what.text.eq_ignore_ascii_case(name));
    let full = what.text.eq_ignore_ascii_case(b"full") && !object.text.eq_ignore_ascii_case(b"processlist");
    let created = what.text.eq_ignore_ascii_case(b"create") && routine(object.text);
    (!without || full) && !created
}

/// A FROM of a SELECT, at its own depth of parentheses: others belong to functions, as in `EXTRACT(DAY FROM x)`.
fn selects_from_table(sql: &[u8], mode: SqlMode) -> bool {
    let mut lexer = Lexer::new(sql, mode);
    let mut selects = vec![false];
    loop {
        let token = lexer.token();
        match token.kind {
            TokenKind::End => return false,
            TokenKind::Byte(b'(') => selects.push(false),
            TokenKind::Byte(b')') if selects.len() > 1 => drop(selects.pop()),
            TokenKind::Word if Keyword::of(token.text) == Some(Keyword::Select) => {
                if let Some(selects) = selects.last_mut() {
                    *selects = true;
                }
            }
            TokenKind::Word if Keyword::of(token.text) == Some(Keyword::Table) => return true,
            TokenKind::Word if is_of_sequence(token.text, lexer) => return true,
            TokenKind::Word if token.text.eq_ignore_ascii_case(b"from") && selects.last() == Some(&true) => {
                let mut ahead = lexer;
                if !ahead.token().text.eq_ignore_ascii_case(b"dual") {
                    return true;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_what_a_select_is_from() {
        let uses = |sql: &str| uses_table(sql.as_bytes(), SqlMode::default());
        for sql in [
            "SELECT 1 FROM t",
            "SELECT (SELECT 1 FROM t)",
            "SET @a=(SELECT a FROM t)",
            "DELETE FROM t",
            "SHOW TABLES",
            "TABLE t",
            "SHOW FULL COLUMNS FROM t",
            "CREATE TABLE procedure_ (user INT)",
            "CREATE DEFINER = a@b TRIGGER user BEFORE INSERT ON t FOR EACH ROW SET @a = 1",
            "TRUNCATE t",
            "FLUSH TABLES t FOR EXPORT",
            "BACKUP LOCK t",
            "SELECT NEXTVAL(s)",
            "SELECT PREVIOUS VALUE FOR s",
        ] {
            assert!(uses(sql), "{sql}");
        }
        for sql in [
            "SELECT 1",
            "SELECT EXTRACT(DAY FROM NOW())",
            "SELECT TRIM(BOTH 'x' FROM 'y') FROM DUAL",
            "SET @a=1",
            "SHOW GRANTS",
            "BEGIN",
            "SHOW CREATE PROCEDURE p",
            "SHOW FULL PROCESSLIST",
            "CREATE DATABASE d",
            "DROP USER a@b",
            "FLUSH TABLES WITH READ LOCK",
            "FLUSH STATUS",
            "BACKUP UNLOCK",
            "BACKUP STAGE START",
            "CREATE OR REPLACE DEFINER = a@b PROCEDURE p() SELECT 1 FROM t",
        ] {
            assert!(!uses(sql), "{sql}");
        }
    }
}
