//! What is alike about statements that differ in their values only.

use std::hash::Hasher;

use fnv::FnvHasher;

use super::lexer::{Lexer, SqlMode, Token, TokenKind};

/// The digest of a statement: the same for texts that differ in values, in blanks and comments, in the case of words that are
/// not in quotes, and in how many values a list has. A parameter is a value. FNV-1a, 64 bits.
///
/// Values are literals (a sign before a number belongs to it), `NULL`, `TRUE` and `FALSE`. Lists are those of values in
/// parentheses, and rows of them (`VALUES (1, 2), (3, 4)`). A semicolon at the end counts for nothing.
pub fn digest(sql: &[u8], mode: SqlMode) -> u64 {
    let mut lexer = Lexer::new(sql, mode);
    let mut digest = Digest { hasher: FnvHasher::default(), held: Vec::new(), last: Last::Operator };
    loop {
        let token = lexer.token();
        if token.kind == TokenKind::End {
            digest.flush();
            return digest.hasher.finish();
        }
        digest.take(token);
    }
}

/// What stands before a sign.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// A sign behind it is one of a number.
    Operator,
    Operand,
}

struct Digest {
    hasher: FnvHasher,
    /// The end of what was read, which may still turn out to be the list of values that was there before.
    held: Vec<Piece>,
    last: Last,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    Value,
    Comma,
    Open,
    Close,
    Sign(u8),
    Semicolon,
}

const LIST: [Piece; 3] = [Piece::Open, Piece::Value, Piece::Close];

impl Digest {
    fn take(&mut self, token: Token<'_>) {
        let piece = match token.kind {
            TokenKind::String | TokenKind::Number | TokenKind::Byte(b'?') => Piece::Value,
            TokenKind::Word if is_value(token.text) => Piece::Value,
            TokenKind::Byte(b',') => Piece::Comma,
            TokenKind::Byte(b'(') => Piece::Open,
            TokenKind::Byte(b')') => Piece::Close,
            TokenKind::Byte(b';') => Piece::Semicolon,
            TokenKind::Byte(sign @ (b'-' | b'+')) if self.last == Last::Operator => Piece::Sign(sign),
            _ => return self.word(token),
        };
        if self.held.last() == Some(&Piece::Semicolon) && piece != Piece::Semicolon {
            self.flush_all();
        }
        self.last = match piece {
            Piece::Value | Piece::Close => Last::Operand,
            _ => Last::Operator,
        };
        if piece == Piece::Value {
            while let Some(Piece::Sign(_)) = self.held.last() {
                self.held.pop();
            }
        }
        self.held.push(piece);
        self.shorten();
    }

    /// `?, ?` is `?`, and `(?), (?)` is `(?)`.
    fn shorten(&mut self) {
        let ends = |held: &[Piece], end: &[Piece]| held.ends_with(end);
        if ends(&self.held, &[Piece::Value, Piece::Comma, Piece::Value]) {
            self.held.truncate(self.held.len() - 2);
        }
        let two = [&LIST[..], &[Piece::Comma], &LIST[..]].concat();
        if ends(&self.held, &two) {
            self.held.truncate(self.held.len() - LIST.len() - 1);
        }
    }

    fn word(&mut self, token: Token<'_>) {
        self.flush_all();
        let is_operand =
            matches!(token.kind, TokenKind::Quoted | TokenKind::UserVariable | TokenKind::SystemVariable);
        self.last = if is_operand { Last::Operand } else { Last::Operator };
        self.hasher.write_u8(b' ');
        match token.kind {
            TokenKind::Word => {
                token.text.iter().for_each(|byte| self.hasher.write_u8(byte.to_ascii_lowercase()));
                // A column may stand before a minus; a keyword before a sign changes nothing that matters.
                self.last = Last::Operand;
            }
            _ => self.hasher.write(token.text),
        }
        if matches!(token.kind, TokenKind::Word) && is_operator(token.text) {
            self.last = Last::Operator;
        }
    }

    fn flush_all(&mut self) {
        for piece in std::mem::take(&mut self.held) {
            self.write(piece);
        }
    }

    /// The end: semicolons there count for nothing.
    fn flush(&mut self) {
        while self.held.last() == Some(&Piece::Semicolon) {
            self.held.pop();
        }
        self.flush_all();
    }

    fn write(&mut self, piece: Piece) {
        self.hasher.write_u8(b' ');
        self.hasher.write_u8(match piece {
            Piece::Value => b'?',
            Piece::Comma => b',',
            Piece::Open => b'(',
            Piece::Close => b')',
            Piece::Sign(sign) => sign,
            Piece::Semicolon => b';',
        });
    }
}

fn is_value(word: &[u8]) -> bool {
    [&b"null"[..], b"true", b"false"].iter().any(|value| word.eq_ignore_ascii_case(value))
}

/// Words behind which a sign belongs to a number.
fn is_operator(word: &[u8]) -> bool {
    let words = [
        &b"select"[..],
        b"and",
        b"or",
        b"not",
        b"xor",
        b"between",
        b"like",
        b"in",
        b"is",
        b"div",
        b"mod",
        b"when",
        b"then",
        b"else",
        b"limit",
        b"offset",
        b"by",
        b"return",
        b"values",
        b"interval",
        b"where",
        b"on",
        b"having",
    ];
    words.iter().any(|operator| word.eq_ignore_ascii_case(operator))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sql: &str) -> u64 {
        digest(sql.as_bytes(), SqlMode::default())
    }

    #[test]
    fn statements_that_differ_in_values_only_have_one_digest() {
        let alike = [
            &[
                "SELECT c FROM sbtest1 WHERE id = 7",
                "select c  from sbtest1\twhere id='x' -- comment",
                "SELECT c FROM sbtest1 WHERE id=?;",
                "SELECT /* hint */ c FROM sbtest1 WHERE id = -7 ; ;",
                "SELECT c FROM sbtest1 WHERE id = NULL",
            ][..],
            &[
                "SELECT 1 FROM t WHERE a IN (1)",
                "SELECT 2 FROM t WHERE a IN (1, 'b', -3)",
                "SELECT ? FROM t WHERE a IN (?, ?)",
            ],
            &[
                "INSERT INTO t VALUES (1, 2)",
                "INSERT INTO t VALUES (1, 2), (3, 4),(5,6)",
                "INSERT INTO t VALUES (?)",
            ],
            &["SELECT a - 1, b FROM t", "SELECT a - 2, b FROM t"],
        ];
        let digests: Vec<u64> = alike.iter().map(|texts| of(texts[0])).collect();
        for (texts, digest) in alike.iter().zip(&digests) {
            for text in *texts {
                assert_eq!(of(text), *digest, "{text}");
            }
            assert_eq!(digests.iter().filter(|other| *other == digest).count(), 1);
        }
    }

    #[test]
    fn others_have_another() {
        let different = [
            "SELECT c FROM sbtest1 WHERE id = 7",
            "SELECT c FROM sbtest2 WHERE id = 7",
            "SELECT c FROM sbtest1 WHERE id > 7",
            "SELECT c FROM `SBTEST1` WHERE id = 7",
            "SELECT c FROM sbtest1 WHERE id = 7; SELECT 1",
            "SELECT c, 1 FROM sbtest1 WHERE id = 7",
            "SELECT a - 1 FROM t",
            "SELECT a, - 1 FROM t",
            "SELECT a + 1 FROM t",
            "",
        ];
        for (index, text) in different.iter().enumerate() {
            for other in &different[..index] {
                assert_ne!(of(text), of(other), "{text} and {other}");
            }
        }
    }
}
