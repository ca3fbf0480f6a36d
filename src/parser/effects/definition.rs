//! CREATE, ALTER, DROP, RENAME: which tables are temporary, or are so no more.

use super::effect::{Effect, TableName};
use super::reader::{Reader, is_word};

const STORED_PROGRAMS: [&[u8]; 5] = [b"procedure", b"function", b"trigger", b"event", b"package"];

const OBJECTS: [&[u8]; 12] = [
    b"database",
    b"index",
    b"instance",
    b"role",
    b"schema",
    b"sequence",
    b"server",
    b"table",
    b"tables",
    b"tablespace",
    b"user",
    b"view",
];

impl Reader<'_> {
    /// CREATE, ALTER, DROP, whose word is passed.
    pub(super) fn definition(&mut self, verb: &[u8]) {
        self.definition = true;
        let mut temporary = false;
        while !self.at_end() {
            if self.is_one_of(&STORED_PROGRAMS) {
                self.stored_program();
                return;
            }
            temporary |= self.is_word(b"temporary");
            let object = OBJECTS.into_iter().find(|object| self.is_word(object));
            self.advance();
            if let Some(object) = object {
                self.object(verb, temporary, object);
                return;
            }
        }
    }

    fn object(&mut self, verb: &[u8], temporary: bool, object: &[u8]) {
        match (verb, object) {
            (b"create", b"index") => {
                self.pass_until(|reader| reader.is_word(b"on"));
                self.take(b"on");
                self.take_table();
            }
            (b"create", b"table" | b"sequence" | b"view") => {
                self.take_existence();
                if let Some(name) = self.take_table().filter(|_| temporary) {
                    self.effects.push(Effect::CreateTemporary(name));
                }
            }
            (b"drop", b"table" | b"tables" | b"sequence") => {
                self.take_existence();
                while let Some(name) = self.take_table() {
                    self.effects.push(Effect::DropTable(name));
                    if !self.take_byte(b',') {
                        break;
                    }
                }
            }
            (b"drop", b"database" | b"schema") => {
                self.take_existence();
                if let Some(name) = self.take_name() {
                    self.effects.push(Effect::DropDatabase(name));
                }
            }
            (b"alter", b"table") => self.alter_table(),
            _ => {}
        }
    }

    /// IF EXISTS, IF NOT EXISTS.
    fn take_existence(&mut self) {
        let [first, second] = self.ahead();
        let exists = |token| is_word(token, b"exists");
        if self.is_word(b"if") && (exists(first) || exists(second)) {
            while !self.take(b"exists") {
                self.advance();
            }
        }
    }

    fn alter_table(&mut self) {
        self.take_existence();
        let Some(from) = self.take_table() else { return };
        loop {
            self.pass_until(|reader| reader.is_word(b"rename"));
            if !self.take(b"rename") {
                return;
            }
            if !self.is_one_of(&[b"column", b"index", b"key"]) {
                self.renamed(from.clone());
            }
        }
    }

    /// The new name of a table.
    fn renamed(&mut self, from: TableName) {
        let _ = self.take(b"to") || self.take(b"as") || self.take_byte(b'=');
        if let Some(to) = self.take_table() {
            self.effects.push(Effect::RenameTable { from, to });
        }
    }

    /// RENAME TABLE, whose first word is passed.
    pub(super) fn rename_tables(&mut self) {
        if !self.take(b"table") && !self.take(b"tables") {
            return;
        }
        self.take_existence();
        while let Some(from) = self.take_table() {
            // MariaDB may wait for the table, or not.
            self.pass_until(|reader| reader.is_word(b"to") || reader.is(b','));
            if self.is_word(b"to") {
                self.renamed(from);
            }
            self.pass_until(|reader| reader.is(b','));
            self.take_byte(b',');
        }
    }

    /// Nothing in the body of a stored program runs now; and where the body ends takes a parser to tell.
    fn stored_program(&mut self) {
        let end = if self.one_statement() { Self::at_end_of_text } else { Self::at_end };
        while !end(self) {
            self.advance();
        }
        if self.skip_to_statement() {
            while !self.at_end_of_text() {
                self.advance();
            }
        }
    }
}
