//! Statements by their first words: see the `statement` of the facts, which reads the same.

use crate::parser::lexer::TokenKind;

use super::effect::Effect;
use super::reader::{Reader, is_end, is_word};

impl Reader<'_> {
    /// Reads one statement to its end.
    pub fn statement(&mut self) {
        self.parameters = false;
        self.definition = false;
        loop {
            while self.is(b'(') {
                self.advance();
            }
            let mut word = Vec::new();
            if self.token.kind == TokenKind::Word {
                word = self.token.text.to_ascii_lowercase();
                self.advance();
            }
            if word == b"set" && self.take(b"statement") {
                self.effects.push(Effect::OneShotVariables);
                self.pass_until(|reader| reader.is_word(b"for"));
                self.take(b"for");
                continue;
            }
            self.begin(&word);
            self.pass_until(|_| false);
            return;
        }
    }

    /// A statement by its first word, which is passed.
    fn begin(&mut self, word: &[u8]) {
        match word {
            b"insert" | b"replace" => self.insert(),
            b"with" => self.with(),
            b"set" => self.set(),
            b"commit" | b"rollback" => {
                while !self.at_end() && !self.is_word(b"to") {
                    self.advance();
                }
            }
            b"call" => self.call_procedure(),
            b"prepare" => self.prepare(),
            b"execute" => self.execute(),
            b"get" => self.parameters = true,
            b"load" => self.load(),
            b"deallocate" => self.deallocate(),
            b"drop" if self.is_word(b"prepare") => self.deallocate(),
            b"create" | b"alter" | b"drop" => self.definition(word),
            b"rename" => self.rename_tables(),
            b"lock" if self.is_word(b"instance") => self.effects.push(Effect::LockInstance),
            b"lock" => self.effects.push(Effect::LockTables),
            b"unlock" if self.is_word(b"instance") => self.effects.push(Effect::UnlockInstance),
            b"unlock" => self.effects.push(Effect::UnlockTables),
            b"flush" => self.flush(),
            b"handler" => self.handler(),
            b"xa" if self.is_one_of(&[b"commit", b"rollback"]) => self.effects.push(Effect::XaEnd),
            b"xa" => self.effects.push(Effect::Xa),
            b"backup" => self.backup(),
            _ => {}
        }
    }

    /// As far as the table, whose columns may follow in parentheses.
    fn insert(&mut self) {
        while self.is_one_of(&[b"low_priority", b"delayed", b"high_priority", b"ignore", b"into"]) {
            self.advance();
        }
        self.take_table();
    }

    /// The common table expressions, whose names may have columns in parentheses.
    fn with(&mut self) {
        self.take(b"recursive");
        loop {
            self.take_name();
            self.pass_until(|reader| {
                reader.is(b',')
                    || reader.is_one_of(&[
                        b"delete", b"insert", b"replace", b"select", b"table", b"update", b"values",
                    ])
            });
            if !self.take_byte(b',') {
                break;
            }
        }
        if self.is_one_of(&[b"insert", b"replace"]) {
            self.advance();
            self.insert();
        }
    }

    fn call_procedure(&mut self) {
        self.parameters = true;
        let mut parts = Vec::new();
        while let Some(part) = self.take_name() {
            parts.push(part);
            if !self.take_byte(b'.') {
                break;
            }
        }
        let schema = (parts.len() > 1).then(|| parts.remove(0));
        if !parts.is_empty() {
            self.effects.push(Effect::Call { schema, name: parts.join(&b'.') });
        }
    }

    fn prepare(&mut self) {
        let Some(name) = self.take_lower_name() else { return };
        let text = if self.take(b"from") { self.statement_text() } else { None };
        self.effects.push(Effect::Prepare { name, text });
    }

    fn execute(&mut self) {
        self.parameters = true;
        if self.take(b"immediate") {
            let text = self.statement_text();
            self.effects.push(Effect::ExecuteImmediate(text));
        } else if let Some(name) = self.take_lower_name() {
            self.effects.push(Effect::Execute(name));
        }
    }

    /// The text ahead of a statement, if it is one literal without escapes other than doubled quotes.
    fn statement_text(&self) -> Option<Vec<u8>> {
        let [behind] = self.ahead();
        let alone = is_end(behind) || is_word(behind, b"using");
        let literal = self.token.kind == TokenKind::String && !self.token.text.contains(&b'\\');
        if alone && literal { self.unquoted(self.token.text) } else { None }
    }

    fn deallocate(&mut self) {
        self.take(b"prepare");
        if let Some(name) = self.take_lower_name() {
            self.effects.push(Effect::Deallocate(name));
        }
    }

    fn load(&mut self) {
        if self.is_one_of(&[b"data", b"xml"]) {
            self.parameters = true;
            while !self.at_end() && !self.is_word(b"infile") {
                self.advance();
            }
        }
    }

    fn flush(&mut self) {
        while !self.at_end() {
            if self.take(b"read") && self.is_word(b"lock") || self.take(b"for") && self.is_word(b"export") {
                self.effects.push(Effect::FlushTablesLock);
            } else if self.take(b"status") {
                self.effects.push(Effect::FlushStatus);
            } else if !self.at_end() {
                self.advance();
            }
        }
    }

    fn handler(&mut self) {
        let Some(table) = self.take_table() else { return };
        let name = table.name.to_ascii_lowercase();
        if self.take(b"open") {
            self.take(b"as");
            let alias = self.take_lower_name().unwrap_or(name);
            self.effects.push(Effect::HandlerOpen(alias));
        } else if self.take(b"close") {
            self.effects.push(Effect::HandlerClose(name));
        } else if self.is_word(b"read") {
            self.effects.push(Effect::HandlerRead(name));
        }
    }

    fn backup(&mut self) {
        if self.take(b"stage") {
            let end = self.is_word(b"end");
            self.effects.push(Effect::BackupStage { end });
        } else if self.is_one_of(&[b"lock", b"unlock"]) {
            let unlock = self.is_word(b"unlock");
            self.effects.push(Effect::BackupLock { unlock });
        }
    }
}
