//! SET: see the `set` of the facts, which reads the same.

use crate::parser::lexer::{Token, TokenKind};

use super::effect::{Effect, Literal};
use super::reader::{Reader, is_end, is_word, plain_text};

const OTHERS: [&[u8]; 3] = [b"global", b"persist", b"persist_only"];

const CHARACTER_SETS: [&[u8]; 4] =
    [b"character_set_client", b"character_set_connection", b"character_set_results", b"collation_connection"];

const CHARACTERISTICS: [&[u8]; 4] =
    [b"transaction_isolation", b"transaction_read_only", b"tx_isolation", b"tx_read_only"];

/// Whether this word, in lower case, is a scope of system variables.
pub(super) fn is_scope(word: &[u8]) -> bool {
    word == b"session" || word == b"local" || is_other(word)
}

/// GLOBAL and PERSIST: other sessions, not this one.
fn is_other(scope: &[u8]) -> bool {
    OTHERS.contains(&scope)
}

impl Reader<'_> {
    /// SET, whose first word is passed.
    pub(super) fn set(&mut self) {
        loop {
            self.assignment();
            self.pass_until(|reader| reader.is(b','));
            if self.at_end() {
                return;
            }
            self.advance();
        }
    }

    fn assignment(&mut self) {
        match self.token.kind {
            TokenKind::UserVariable => {
                let name = self.token.text;
                self.advance();
                let value = self.literal();
                self.user_variable(name, value);
            }
            TokenKind::SystemVariable => {
                self.advance();
                let (scope, name) = self.variable();
                if scope.is_none() && CHARACTERISTICS.contains(&name.as_slice()) {
                    self.effects.push(Effect::NextTransaction);
                } else {
                    self.assign(scope.as_deref(), name);
                }
            }
            _ => self.named_assignment(),
        }
    }

    fn named_assignment(&mut self) {
        let word = match self.token.kind {
            TokenKind::Word => self.token.text.to_ascii_lowercase(),
            _ => Vec::new(),
        };
        if is_scope(&word) {
            self.advance();
            if !self.is_word(b"transaction") {
                let name = self.take_variable_part();
                self.assign(Some(&word), name);
            } else if is_other(&word) {
                self.pass_until(|_| false);
            } else {
                self.characteristics();
            }
            return;
        }
        match word.as_slice() {
            b"transaction" => {
                self.effects.push(Effect::NextTransaction);
                self.pass_until(|_| false);
            }
            b"role" => {
                self.advance();
                let role = self.rest_of_statement().to_vec();
                self.effects.push(Effect::SetRole(role));
            }
            b"resource" => {
                self.effects.push(Effect::ResourceGroup);
                self.pass_until(|_| false);
            }
            b"default" | b"password" => self.pass_until(|_| false),
            b"names" | b"character" | b"charset" => self.character_sets(),
            b"char" if is_word(self.ahead::<1>()[0], b"set") => self.character_sets(),
            _ => {
                let name = self.take_variable_part();
                self.assign(None, name);
            }
        }
    }

    /// SET NAMES and SET CHARACTER SET.
    fn character_sets(&mut self) {
        let names = self.is_word(b"names");
        self.advance();
        self.take(b"set");
        let default = self.is_word(b"default");
        // SET CHARACTER SET takes the collation of the schema, and says nothing of it.
        let set = if names { &CHARACTER_SETS[..] } else { &CHARACTER_SETS[..3] };
        for name in set {
            self.effects.push(Effect::SetVariable { name: name.to_vec(), default });
        }
    }

    /// SET SESSION TRANSACTION.
    fn characteristics(&mut self) {
        let mut read = false;
        while !self.at_end() {
            let name: &[u8] = if self.is_word(b"isolation") {
                b"transaction_isolation"
            } else if read && self.is_one_of(&[b"only", b"write"]) {
                b"transaction_read_only"
            } else {
                b""
            };
            if !name.is_empty() {
                self.effects.push(Effect::SetVariable { name: name.to_vec(), default: false });
            }
            read = self.is_word(b"read");
            self.pass();
        }
    }

    /// The name that was passed is assigned to, unless it has more parts.
    fn assign(&mut self, scope: Option<&[u8]>, mut name: Vec<u8>) {
        while self.is(b'.') {
            self.advance();
            name.push(b'.');
            name.extend(self.take_variable_part());
        }
        if name.is_empty() || scope.is_some_and(is_other) {
            return;
        }
        let [value, behind] = self.ahead();
        let default = self.is_assignment() && is_word(value, b"default") && ends_value(behind);
        self.effects.push(Effect::SetVariable { name, default });
    }

    fn is_assignment(&self) -> bool {
        self.is(b'=') || self.token.kind == TokenKind::Assign
    }

    /// What is assigned here, if it is one literal.
    fn literal(&self) -> Option<Literal> {
        if !self.is_assignment() {
            return None;
        }
        let [first, second, third] = self.ahead();
        match first.kind {
            TokenKind::Byte(b'-') if ends_value(third) => integer(second, true),
            TokenKind::Number if ends_value(second) => integer(first, false),
            TokenKind::String if ends_value(second) => {
                plain_text(first).map(|text| Literal::Text(text.to_vec()))
            }
            _ if is_word(first, b"null") && ends_value(second) => Some(Literal::Null),
            _ => None,
        }
    }
}

fn ends_value(token: Token<'_>) -> bool {
    is_end(token) || token.kind == TokenKind::Byte(b',')
}

fn integer(token: Token<'_>, negative: bool) -> Option<Literal> {
    let digits = token.text;
    if token.kind != TokenKind::Number || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    if !negative {
        return Some(Literal::Integer(digits.to_vec()));
    }
    // Servers do not agree about the type of the smallest number.
    i64::try_from(value).ok()?;
    Some(Literal::Integer([b"-", digits].concat()))
}
