//! Bytes to tokens, by MySQL's and MariaDB's lexical rules.
//!
//! Manual section: "Language Structure". A token borrows its bytes; nothing is decoded or copied.

use memchr::{memchr, memchr2, memmem};

use super::charset::Charset;
use super::facts::Hazards;
use super::hint::hint;
use super::server::{Comment, Server};

/// The settings of a session that decide where tokens begin and end. The default is a server's default.
///
/// IGNORE_SPACE is not among them: the functions that matter here are calls with and without a blank before the
/// parenthesis in either mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SqlMode {
    /// `"x"` is an identifier.
    pub ansi_quotes: bool,
    pub no_backslash_escapes: bool,
    /// The client's character set.
    pub charset: Charset,
    /// Who reads the text: decides what code in comments is code.
    pub server: Server,
    /// The server takes one statement in a text (no CLIENT_MULTI_STATEMENTS, or PREPARE): a `;` is no place where
    /// another may begin.
    pub one_statement: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// An identifier or keyword, not quoted.
    Word,
    /// An identifier in quotes.
    Quoted,
    String,
    /// A number, a hexadecimal or bit literal, or an identifier that begins with a digit.
    Number,
    /// `@x`, also quoted; or the host of an account, which looks the same.
    UserVariable,
    /// The `@@` before the name of a system variable.
    SystemVariable,
    /// `:=`
    Assign,
    /// Any other byte.
    Byte(u8),
    End,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub kind: TokenKind,
    /// As written, quotes included.
    pub text: &'a [u8],
}

/// What a byte can begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Blank,
    Word,
    Digit,
    Quote,
    /// `#`, `-`, `/`, `*`: a comment, or its end.
    Comment,
    Other,
}

const fn class(byte: u8) -> Class {
    match byte {
        b' ' | b'\t'..=b'\r' => Class::Blank,
        b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' | 0x80.. => Class::Word,
        b'0'..=b'9' => Class::Digit,
        b'\'' | b'"' | b'`' => Class::Quote,
        b'#' | b'-' | b'/' | b'*' => Class::Comment,
        _ => Class::Other,
    }
}

static CLASSES: [Class; 256] = {
    let mut table = [Class::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = class(byte as u8);
        byte += 1;
    }
    table
};

fn class_of(byte: u8) -> Class {
    CLASSES[usize::from(byte)]
}

fn continues_word(byte: u8) -> bool {
    matches!(class_of(byte), Class::Word | Class::Digit)
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Lexer<'a> {
    rest: &'a [u8],
    pub(super) mode: SqlMode,
    /// The last token was a dot: a word behind it is a name.
    behind_dot: bool,
    /// Inside `/*! ... */`: how many bytes are left after its end, if it is read as a comment.
    code_comment: Option<usize>,
    /// Servers may see other tokens than these.
    pub misreadable: bool,
    /// What the comments so far ask for.
    pub hints: Hazards,
}

impl<'a> Lexer<'a> {
    pub fn new(sql: &'a [u8], mode: SqlMode) -> Self {
        let hints = Hazards::empty();
        Lexer { rest: sql, mode, behind_dot: false, code_comment: None, misreadable: false, hints }
    }

    /// For a piece of a text, which may begin inside of code in a comment.
    pub fn of_piece(sql: &'a [u8], mode: SqlMode, in_code: bool) -> Self {
        Lexer { code_comment: in_code.then_some(0), ..Lexer::new(sql, mode) }
    }

    /// Whether the last token was code in a comment.
    pub fn is_in_code(&self) -> bool {
        self.code_comment.is_some()
    }

    /// The next token; [`TokenKind::End`] for ever once there is none.
    pub fn token(&mut self) -> Token<'a> {
        while let Some(&first) = self.rest.first() {
            match class_of(first) {
                Class::Blank => self.skip(1),
                Class::Word => return self.word(first),
                Class::Digit => return self.number(),
                Class::Quote => {
                    let kind = if self.is_string(first) { TokenKind::String } else { TokenKind::Quoted };
                    return self.take(kind, self.quoted_len(first, 1));
                }
                Class::Comment if self.comment(first) => {}
                Class::Comment | Class::Other => return self.symbol(first),
            }
        }
        // An unterminated code comment that servers may skip, or not.
        self.misreadable |= self.code_comment.take().is_some();
        Token { kind: TokenKind::End, text: &[] }
    }

    /// How many bytes are left behind the last token.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.rest.get(at).copied()
    }

    fn skip(&mut self, len: usize) {
        self.rest = self.rest.get(len..).unwrap_or_default();
    }

    fn take(&mut self, kind: TokenKind, len: usize) -> Token<'a> {
        let (text, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        self.behind_dot = kind == TokenKind::Byte(b'.');
        Token { kind, text }
    }

    /// The same for a token without quotes, in which some bytes may be blanks.
    fn take_bare(&mut self, kind: TokenKind, len: usize) -> Token<'a> {
        let token = self.take(kind, len);
        if self.mode.charset == Charset::OneByte {
            self.misreadable |= token.text.iter().any(|byte| self.mode.charset.may_be_blank(*byte));
        }
        token
    }

    /// Bytes from `from` on for which `belongs` holds.
    fn run(&self, from: usize, belongs: impl Fn(u8) -> bool) -> usize {
        let rest = self.rest.get(from..).unwrap_or_default();
        rest.iter().position(|&byte| !belongs(byte)).unwrap_or(rest.len())
    }

    fn word(&mut self, first: u8) -> Token<'a> {
        if first == b'$'
            && !self.behind_dot
            && let Some(dollars) = self.dollars()
        {
            return dollars;
        }
        let len = self.word_end(0);
        if len == 1 && self.byte(1) == Some(b'\'') {
            match first {
                b'n' | b'N' => return self.take(TokenKind::String, self.quoted_len(b'\'', 2)),
                b'x' | b'X' | b'b' | b'B' => return self.take(TokenKind::Number, self.quoted_len(b'\'', 2)),
                _ => {}
            }
        }
        self.take_bare(TokenKind::Word, len)
    }

    /// `$$ ... $$` and `$tag$ ... $tag$`, where the server knows these.
    fn dollars(&mut self) -> Option<Token<'a>> {
        let mut end = 1;
        while self.byte(end).is_some_and(|byte| byte != b'$' && continues_word(byte)) {
            end += self.character_len(end);
        }
        self.byte(end).filter(|byte| *byte == b'$')?;
        let tag = self.rest.get(..=end)?;
        match self.mode.server.dollar_quotes() {
            Some(true) => {
                let end = memmem::find(self.rest.get(tag.len()..)?, tag);
                let len = end.map_or(self.rest.len(), |end| tag.len() + end + tag.len());
                Some(self.take(TokenKind::String, len))
            }
            Some(false) => None,
            None => {
                self.misreadable = true;
                None
            }
        }
    }

    /// Where the characters of a word end that has one at `from`.
    fn word_end(&self, from: usize) -> usize {
        if !self.mode.charset.is_mixed() {
            return from + self.run(from, continues_word);
        }
        let mut at = from;
        while self.byte(at).is_some_and(continues_word) {
            at += self.character_len(at);
        }
        at
    }

    fn character_len(&self, at: usize) -> usize {
        self.mode.charset.character_len(self.rest.get(at..).unwrap_or_default())
    }

    /// `1e5x` is the number `1e5` and the word `x`, `1.x` the number `1.` and the word, but `1x` is one identifier.
    fn number(&mut self) -> Token<'a> {
        let mut len = self.run(0, |byte| byte.is_ascii_digit());
        let exponent = self.exponent_len(len);
        if exponent > 0 {
            len += exponent;
        } else if self.byte(len) == Some(b'.') {
            len += 1 + self.run(len + 1, |byte| byte.is_ascii_digit());
            len += self.exponent_len(len);
        } else {
            // MySQL takes the first byte of a character for all of it here.
            self.misreadable |= self.character_len(len) > 1 && !self.mode.server.mariadb;
            len = self.word_end(len);
        }
        self.take_bare(TokenKind::Number, len)
    }

    fn exponent_len(&self, at: usize) -> usize {
        if !matches!(self.byte(at), Some(b'e' | b'E')) {
            return 0;
        }
        let sign = usize::from(matches!(self.byte(at + 1), Some(b'+' | b'-')));
        match self.run(at + 1 + sign, |byte| byte.is_ascii_digit()) {
            0 => 0,
            digits => 1 + sign + digits,
        }
    }

    fn is_string(&self, quote: u8) -> bool {
        quote == b'\'' || (quote == b'"' && !self.mode.ansi_quotes)
    }

    /// The length of a token whose opening quote ends at `start`, with the closing quote.
    fn quoted_len(&self, quote: u8, start: usize) -> usize {
        let escapes = self.is_string(quote) && !self.mode.no_backslash_escapes;
        if self.mode.charset.is_mixed() {
            return self.quoted_characters_len(quote, start, escapes);
        }
        let mut at = start;
        loop {
            let rest = self.rest.get(at..).unwrap_or_default();
            let found = if escapes { memchr2(quote, b'\\', rest) } else { memchr(quote, rest) };
            let Some(found) = found else { return self.rest.len() };
            at += found;
            let doubled = self.byte(at + 1) == Some(quote);
            if self.byte(at) == Some(quote) && !doubled {
                return at + 1;
            }
            at += 2;
        }
    }

    /// The same by characters. A backslash escapes one byte, whatever that is.
    fn quoted_characters_len(&self, quote: u8, start: usize, escapes: bool) -> usize {
        let mut at = start;
        while let Some(byte) = self.byte(at) {
            at += match byte {
                b'\\' if escapes => 2,
                _ if byte != quote => self.character_len(at),
                _ if self.byte(at + 1) == Some(quote) => 2,
                _ => return at + 1,
            };
        }
        self.rest.len()
    }

    fn symbol(&mut self, first: u8) -> Token<'a> {
        match (first, self.byte(1)) {
            (b'@', Some(b'@')) => self.take(TokenKind::SystemVariable, 2),
            (b'@', Some(quote @ (b'\'' | b'"' | b'`'))) => {
                self.take(TokenKind::UserVariable, self.quoted_len(quote, 2))
            }
            (b'@', _) => {
                let charset = self.mode.charset;
                let belongs = |byte: u8| byte.is_ascii() || charset.continues_variable(byte);
                let len = 1 + self.run(1, |byte| byte == b'.' || continues_word(byte) && belongs(byte));
                self.take_bare(TokenKind::UserVariable, len)
            }
            (b':', Some(b'=')) => self.take(TokenKind::Assign, 2),
            (b'[', _) => {
                // MariaDB's mode MSSQL quotes names with brackets, and no status flag tells of it.
                self.misreadable |= self.mode.server.mariadb || self.mode.server.version == 0;
                self.take(TokenKind::Byte(first), 1)
            }
            _ => self.take(TokenKind::Byte(first), 1),
        }
    }

    /// Skips a comment, or the marks around code in a comment, if one begins or ends here.
    fn comment(&mut self, first: u8) -> bool {
        let mark = match (first, self.byte(1)) {
            (b'#', _) => 1,
            (b'-', Some(b'-')) if self.dashes_begin_comment() => 2,
            (b'/', Some(b'*')) => return self.block_comment(),
            (b'*', Some(b'/')) => return self.end_of_code(),
            _ => return false,
        };
        self.plain_comment(mark, memchr(b'\n', self.rest).unwrap_or(self.rest.len()), b"");
        true
    }

    /// Skips a comment of this length between its marks, which may be a hint, unless it is a part of code in a comment.
    #[cold]
    fn plain_comment(&mut self, mark: usize, len: usize, end: &[u8]) {
        if self.code_comment.is_none() {
            let text = self.rest.get(mark..len).unwrap_or_default();
            self.hints |= hint(text.strip_suffix(end).unwrap_or(text));
        }
        self.skip(len);
    }

    fn dashes_begin_comment(&mut self) -> bool {
        let next = self.byte(2).unwrap_or(0);
        // Some bytes are blanks or control characters there.
        self.misreadable |= !next.is_ascii() && self.mode.charset == Charset::OneByte;
        next == b' ' || next.is_ascii_control()
    }

    fn block_comment(&mut self) -> bool {
        let mark = match self.mode.server.comment(self.rest) {
            Comment::Plain => {
                self.plain_comment(2, plain_comment_len(self.rest), b"*/");
                return true;
            }
            Comment::Foreign => {
                self.skip(foreign_comment_len(self.rest));
                return true;
            }
            Comment::Code(mark) => mark,
            Comment::Doubtful(mark) => {
                self.misreadable = true;
                mark
            }
        };
        // Where the server is not known, comments in comments are read in more than one way.
        self.misreadable |= self.code_comment.is_some() && self.mode.server.version == 0;
        if self.code_comment.is_none() {
            self.code_comment = Some(self.rest.len() - plain_comment_len(self.rest));
        }
        self.skip(mark);
        true
    }

    /// Leaves code in a comment. If that is not where a comment would have ended, servers that skip it see other tokens.
    fn end_of_code(&mut self) -> bool {
        let Some(after) = self.code_comment.take() else { return false };
        self.skip(2);
        self.misreadable |= self.rest.len() != after && self.mode.server.version == 0;
        true
    }
}

/// The length of the comment that `text` begins with.
pub(super) fn plain_comment_len(text: &[u8]) -> usize {
    let end = memmem::find(text.get(2..).unwrap_or_default(), b"*/");
    end.map_or(text.len(), |end| 2 + end + 2)
}

/// The length of a comment that may hold others, which hold none.
pub(super) fn foreign_comment_len(text: &[u8]) -> usize {
    let mut at = 2;
    while let Some(rest) = text.get(at..) {
        let Some(found) = memchr2(b'/', b'*', rest) else { break };
        at += found;
        at += match rest.get(found..found + 2) {
            Some(b"*/") => return at + 2,
            Some(b"/*") => plain_comment_len(text.get(at..).unwrap_or_default()),
            _ => 1,
        };
    }
    text.len()
}
