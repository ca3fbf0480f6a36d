//! The values of INSERT and REPLACE, as far as one of them may be an id.

use super::facts::Hazards;
use super::ids::Ids;
use super::keyword::Keyword;
use super::lexer::TokenKind;
use super::scan::Scanner;

impl Scanner<'_> {
    /// The ids that INSERT or REPLACE gives, whose first word is passed. Reads on as long as there are literals and
    /// nothing else.
    pub(super) fn given_ids(&mut self) -> Ids {
        use Keyword::{Select, Set, Table, Value, Values, With};
        let called = self.hazards & Hazards::MAY_CALL;
        self.pass_until(|scanner| {
            matches!(scanner.keyword(), Some(Select | Set | Table | Value | Values | With))
        });
        // The table, and its columns.
        self.hazards = (self.hazards - Hazards::MAY_CALL) | called;
        let ids = match self.keyword() {
            Some(Value | Values) => self.rows(),
            Some(Set) => self.assigned(),
            _ => None,
        };
        ids.unwrap_or(Ids::UNCLEAR)
    }

    /// VALUES (1, 'a'), (2, 'b'); `None` if there is anything else.
    fn rows(&mut self) -> Option<Ids> {
        let mut ids = Ids::NONE;
        loop {
            // VALUES, or the comma between rows.
            self.advance();
            self.is(b'(').then(|| self.advance())?;
            while !self.is(b')') {
                ids = self.value(ids)?;
                if !self.is(b')') {
                    self.is(b',').then(|| self.advance())?;
                }
            }
            self.advance();
            if self.at_end() {
                return Some(ids);
            }
            self.is(b',').then_some(())?;
        }
    }

    /// SET a = 1, b = 'b'.
    fn assigned(&mut self) -> Option<Ids> {
        let mut ids = Ids::NONE;
        loop {
            // SET, or the comma between assignments.
            self.advance();
            while matches!(self.token.kind, TokenKind::Word | TokenKind::Quoted | TokenKind::Byte(b'.')) {
                self.pass();
            }
            (self.is(b'=') || self.token.kind == TokenKind::Assign).then(|| self.advance())?;
            ids = self.value(ids)?;
            if self.at_end() {
                return Some(ids);
            }
            self.is(b',').then_some(())?;
        }
    }

    /// Passes one literal; `None` if there is something else.
    fn value(&mut self, ids: Ids) -> Option<Ids> {
        let negative = self.is(b'-');
        let signed = negative || self.is(b'+');
        if signed {
            self.advance();
        }
        let text = self.token.text;
        let ids = match self.token.kind {
            TokenKind::Number => ids.with_number(text, negative),
            TokenKind::String if !signed => {
                let start = text.iter().position(|byte| matches!(byte, b'\'' | b'"'))?;
                ids.with_text(text.get(start + 1..)?, true)
            }
            TokenKind::Byte(b'?') if !signed => ids.and_parameters(),
            TokenKind::Word if !signed && self.keyword() == Some(Keyword::Default) => ids,
            TokenKind::Word if !signed && text.eq_ignore_ascii_case(b"null") => ids,
            TokenKind::Word if !signed && text.eq_ignore_ascii_case(b"true") => ids.with_parameter(1),
            TokenKind::Word if !signed && text.eq_ignore_ascii_case(b"false") => ids,
            _ => return None,
        };
        self.advance();
        Some(ids)
    }
}
