//! Passes over tokens, and finds the effects that look the same in every statement.

use memchr::memmem;

use crate::parser::charset::Charset;
use crate::parser::lexer::{Lexer, SqlMode, Token, TokenKind};

use super::effect::{Effect, Literal, TableName};
use super::native::{self, Spelling};
use super::set::is_scope;

/// Behind these a name with parentheses is a table's, an index's or a common table expression's, with its columns.
const BEFORE_COLUMNS: [&[u8]; 12] = [
    b"as",
    b"constraint",
    b"exists",
    b"fulltext",
    b"index",
    b"into",
    b"key",
    b"recursive",
    b"references",
    b"spatial",
    b"table",
    b"unique",
];

/// Stands on one token and collects the effects of those it has passed.
pub(super) struct Reader<'a> {
    sql: &'a [u8],
    lexer: Lexer<'a>,
    pub(super) token: Token<'a>,
    previous: Token<'a>,
    /// The token before the name that was passed last, with all its parts.
    before_name: Token<'a>,
    /// Any user variable may be written.
    pub(super) parameters: bool,
    /// Within a list of variables behind INTO.
    into: bool,
    /// In a definition, where no stored function is called before a SELECT or rows of values begin.
    pub(super) definition: bool,
    pub(super) effects: Vec<Effect>,
}

const NONE: Token<'static> = Token { kind: TokenKind::End, text: &[] };

impl<'a> Reader<'a> {
    pub fn new(sql: &'a [u8], mode: SqlMode) -> Self {
        let mut reader = Reader {
            sql,
            lexer: Lexer::new(sql, mode),
            token: NONE,
            previous: NONE,
            before_name: NONE,
            parameters: false,
            into: false,
            definition: false,
            effects: Vec::new(),
        };
        reader.advance();
        reader
    }

    pub(super) fn one_statement(&self) -> bool {
        self.lexer.mode.one_statement
    }

    pub(super) fn advance(&mut self) {
        self.previous = self.token;
        let before = self.end_of_token();
        self.token = self.lexer.token();
        let between = self.sql.get(before..self.start_of_token()).unwrap_or_default();
        if has_set_var(between) {
            self.effects.push(Effect::OneShotVariables);
        }
    }

    fn end_of_token(&self) -> usize {
        self.sql.len() - self.lexer.left()
    }

    fn start_of_token(&self) -> usize {
        self.end_of_token() - self.token.text.len()
    }

    /// The text from the current token to the end of the statement, which is passed.
    pub(super) fn rest_of_statement(&mut self) -> &'a [u8] {
        let start = self.start_of_token();
        let mut end = start;
        while !self.at_end() {
            end = self.end_of_token();
            self.pass();
        }
        self.sql.get(start..end).unwrap_or_default()
    }

    /// The tokens behind the current one.
    pub(super) fn ahead<const N: usize>(&self) -> [Token<'a>; N] {
        let mut lexer = self.lexer;
        [(); N].map(|()| lexer.token())
    }

    pub(super) fn is(&self, byte: u8) -> bool {
        self.token.kind == TokenKind::Byte(byte)
    }

    pub(super) fn at_end(&self) -> bool {
        is_end(self.token)
    }

    pub(super) fn at_end_of_text(&self) -> bool {
        self.token.kind == TokenKind::End
    }

    /// Whether the current token is this word, which is given in lower case.
    pub(super) fn is_word(&self, word: &[u8]) -> bool {
        is_word(self.token, word)
    }

    pub(super) fn is_one_of(&self, words: &[&[u8]]) -> bool {
        words.iter().any(|word| self.is_word(word))
    }

    /// Passes the current token if it is this word.
    pub(super) fn take(&mut self, word: &[u8]) -> bool {
        let found = self.is_word(word);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn take_byte(&mut self, byte: u8) -> bool {
        let found = self.is(byte);
        if found {
            self.advance();
        }
        found
    }

    /// Passes an identifier, and returns it without quotes.
    pub(super) fn take_name(&mut self) -> Option<Vec<u8>> {
        let name = match self.token.kind {
            TokenKind::Word | TokenKind::Number => self.token.text.to_vec(),
            TokenKind::Quoted => self.unquoted(self.token.text)?,
            _ => return None,
        };
        self.advance();
        Some(name)
    }

    /// The same, in lower case.
    pub(super) fn take_lower_name(&mut self) -> Option<Vec<u8>> {
        self.take_name().map(|name| name.to_ascii_lowercase())
    }

    pub(super) fn take_table(&mut self) -> Option<TableName> {
        // The default schema may be left out before the point.
        self.take_byte(b'.');
        let first = self.take_name()?;
        if !self.take_byte(b'.') {
            return Some(TableName { schema: None, name: first });
        }
        let name = self.take_name()?;
        Some(TableName { schema: Some(first), name })
    }

    /// Goes to the next statement, if there is one.
    pub fn skip_to_statement(&mut self) -> bool {
        while self.is(b';') {
            self.advance();
        }
        !self.at_end_of_text()
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

    /// Passes one token and what belongs to it, with the effects that they have anywhere.
    pub(super) fn pass(&mut self) {
        let token = self.token;
        let before = self.previous;
        self.advance();
        match token.kind {
            TokenKind::Word | TokenKind::Quoted => {
                self.before_name = before;
                if token.kind == TokenKind::Word {
                    self.word(token);
                }
                if self.is(b'(') {
                    self.call(token);
                }
            }
            // Behind a name or a string it is the host of an account.
            TokenKind::UserVariable if matches!(before.kind, TokenKind::String | TokenKind::Quoted) => {}
            TokenKind::UserVariable => {
                if self.parameters || self.into || self.token.kind == TokenKind::Assign {
                    self.user_variable(token.text, None);
                }
                self.into &= self.is(b',');
            }
            TokenKind::Byte(b',') => self.into &= self.token.kind == TokenKind::UserVariable,
            TokenKind::SystemVariable => {
                let _ = self.variable();
            }
            TokenKind::Byte(b'.') if matches!(self.token.kind, TokenKind::Word | TokenKind::Quoted) => {
                let name = self.token;
                self.advance();
                if self.is(b'(') {
                    let name = self.plain(name);
                    self.stored_function(Some(self.plain(before)), name);
                } else if is_word(name, b"nextval") && self.lexer.mode.server.has_sequences() {
                    self.effects.push(Effect::SequenceNext);
                }
            }
            _ => {}
        }
    }

    /// A word that is no part of a qualified name, and is passed.
    fn word(&mut self, word: Token<'a>) {
        if is_word(word, b"into") {
            self.into = self.token.kind == TokenKind::UserVariable;
        } else if is_word(word, b"select")
            || (self.is(b'(') && (is_word(word, b"row") || is_word(word, b"values")))
        {
            self.definition = false;
        } else if is_word(word, b"next") && self.take(b"value") && self.take(b"for") {
            self.effects.push(Effect::SequenceNext);
        }
    }

    /// A name with the parenthesis behind it ahead, which may be a function.
    fn call(&mut self, name: Token<'a>) {
        let quoted = name.kind == TokenKind::Quoted;
        let word = self.plain(name);
        match word.to_ascii_lowercase().as_slice() {
            b"get_lock" => {
                let name = self.lock_name(b',');
                self.effects.push(Effect::NamedLock(name));
            }
            b"release_lock" => {
                let name = self.lock_name(b')');
                self.effects.push(Effect::ReleaseNamedLock(name));
            }
            b"release_all_locks" => self.effects.push(Effect::ReleaseAllNamedLocks),
            b"service_get_read_locks" | b"service_get_write_locks" | b"service_release_locks" => {
                self.effects.push(Effect::OtherLock);
                return;
            }
            b"nextval" => self.effects.push(Effect::SequenceNext),
            _ => {}
        }
        let spelling = if quoted {
            Spelling::Quoted
        } else if self.start_of_token() > name_end(self.sql, name) {
            Spelling::Apart
        } else {
            Spelling::Plain
        };
        if !native::is_never_stored(&word, spelling, self.lexer.mode.server) && !self.is_star_ahead() {
            self.stored_function(None, word);
        }
    }

    /// A name without quotes, if it has any.
    fn plain(&self, name: Token<'a>) -> Vec<u8> {
        match name.kind {
            TokenKind::Quoted => self.unquoted(name.text).unwrap_or_default(),
            _ => name.text.to_vec(),
        }
    }

    /// `COUNT (*)` is no call of a stored function.
    fn is_star_ahead(&self) -> bool {
        let [star] = self.ahead();
        star.kind == TokenKind::Byte(b'*')
    }

    /// A call of what may be a stored function, unless a name stands there with its columns.
    fn stored_function(&mut self, schema: Option<Vec<u8>>, name: Vec<u8>) {
        let before = self.before_name;
        let operand = matches!(
            before.kind,
            TokenKind::String
                | TokenKind::Quoted
                | TokenKind::Number
                | TokenKind::UserVariable
                | TokenKind::Byte(b')')
        );
        let columns = BEFORE_COLUMNS.iter().any(|word| is_word(before, word));
        let effect = Effect::StoredFunction { schema, name };
        if !self.definition && !operand && !columns && !self.effects.contains(&effect) {
            self.effects.push(effect);
        }
    }

    /// The name in the argument ahead, if that is one plain literal with `end` behind it.
    fn lock_name(&self, end: u8) -> Option<Vec<u8>> {
        let [name, behind] = self.ahead();
        let plain = behind.kind == TokenKind::Byte(end);
        let name = plain_text(name).filter(|_| plain)?;
        let server = self.lexer.mode.server;
        let folds = server.version != 0 && !server.mariadb;
        Some(if folds { name.to_ascii_lowercase() } else { name.to_vec() })
    }

    pub(super) fn user_variable(&mut self, text: &[u8], value: Option<Literal>) {
        self.effects.push(match self.user_variable_name(text) {
            Some(name) => Effect::UserVariable { name, value },
            None => Effect::UnclearUserVariable,
        });
    }

    /// Passes `scope.name` or `name`, behind `@@`: the scope if it is stated, and the name in lower case.
    pub(super) fn variable(&mut self) -> (Option<Vec<u8>>, Vec<u8>) {
        let name = self.take_variable_part();
        if !self.is(b'.') || !is_scope(&name) {
            return (None, name);
        }
        self.advance();
        (Some(name), self.take_variable_part())
    }

    /// The name of `@x` in lower case, if all servers agree about it.
    fn user_variable_name(&self, text: &[u8]) -> Option<Vec<u8>> {
        let name = match text.get(1..)? {
            quoted @ [b'\'' | b'"' | b'`', ..] => self.unquoted(quoted)?,
            plain => plain.to_vec(),
        };
        let clear = name.is_ascii() && !name.contains(&b'\\');
        clear.then(|| name.to_ascii_lowercase())
    }

    /// What stands in quotes; `None` if they are not closed, or if not every byte is a character or a part of one that
    /// looks like no quote.
    pub(super) fn unquoted(&self, text: &[u8]) -> Option<Vec<u8>> {
        let [quote, inner @ .., last] = text else { return None };
        let charset = self.lexer.mode.charset;
        let clear = inner.is_ascii() || matches!(charset, Charset::Plain | Charset::OneByte);
        if last != quote || !clear {
            return None;
        }
        let mut name = Vec::with_capacity(inner.len());
        let mut bytes = inner.iter();
        while let Some(&byte) = bytes.next() {
            name.push(byte);
            if byte == *quote {
                bytes.next();
            }
        }
        Some(name)
    }

    pub(super) fn take_variable_part(&mut self) -> Vec<u8> {
        match self.token.kind {
            TokenKind::Word | TokenKind::Quoted => self.take_lower_name().unwrap_or_default(),
            _ => Vec::new(),
        }
    }
}

/// Where a token of `sql` ends.
fn name_end(sql: &[u8], token: Token<'_>) -> usize {
    let start = token.text.as_ptr().addr() - sql.as_ptr().addr();
    start + token.text.len()
}

pub(super) fn is_end(token: Token<'_>) -> bool {
    matches!(token.kind, TokenKind::End | TokenKind::Byte(b';'))
}

pub(super) fn is_word(token: Token<'_>, word: &[u8]) -> bool {
    token.kind == TokenKind::Word && token.text.eq_ignore_ascii_case(word)
}

/// Whether there is an optimizer hint that sets variables in what lies between two tokens.
fn has_set_var(between: &[u8]) -> bool {
    memmem::find(between, b"/*+").is_some()
        && between.windows(7).any(|word| word.eq_ignore_ascii_case(b"set_var"))
}

/// A string that every server and session reads alike, without its quotes.
pub(super) fn plain_text(token: Token<'_>) -> Option<&[u8]> {
    let [quote @ (b'\'' | b'"'), inner @ .., last] = token.text else { return None };
    let plain =
        last == quote && inner.is_ascii() && !inner.iter().any(|byte| matches!(byte, b'\\' | b'\'' | b'"'));
    Some(inner).filter(|_| token.kind == TokenKind::String && plain)
}
