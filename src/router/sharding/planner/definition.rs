//! Statements that define tables or tell of their form, known by their first words: no syntax tree knows all that servers
//! take here.

use super::super::plan::{Action, Edit, Piece, Reason};
use super::super::rules::GLOBAL;
use super::global::NOT_IN_DEFAULTS;
use super::load::load;
use super::text::Text;
use super::{Tables, Use};
use crate::parser::is_server_schema;

/// A statement read from its beginning on.
struct Reading<'a> {
    text: &'a Text<'a>,
    tables: &'a dyn Tables,
    at: u32,
    used: Vec<usize>,
    edits: Vec<Edit>,
    home: bool,
}

/// A statement that is no SELECT, INSERT, REPLACE, UPDATE or DELETE. `None`: one of those, or EXPLAIN of one.
pub(super) fn definition(text: &Text<'_>, tables: &dyn Tables) -> Option<Result<Use, Reason>> {
    let mut reading = Reading { text, tables, at: 1, used: Vec::new(), edits: Vec::new(), home: false };
    if text.is_any(0, &["SELECT", "WITH", "INSERT", "REPLACE", "UPDATE", "DELETE", "VALUES", "TABLE"]) {
        return None;
    }
    let action = match text.str(0).to_ascii_uppercase().as_str() {
        "(" => return None,
        "DESC" | "DESCRIBE" | "EXPLAIN" => match reading.describe() {
            Ok(true) => Ok(Action::Describe),
            Ok(false) => return None,
            Err(reason) => Err(reason),
        },
        "SHOW" => reading.show().map(|()| Action::Describe),
        "CREATE" => reading.create().map(|()| Action::Definition),
        "DROP" => reading.drop().map(|()| Action::Definition),
        "ALTER" => reading.alter().map(|()| Action::Definition),
        "TRUNCATE" => {
            reading.skip(&["TABLE"]);
            reading.list(&[]).map(|()| Action::Definition)
        }
        "RENAME" => reading.rename().map(|()| Action::Definition),
        "LOAD" if text.is_any(1, &["DATA", "XML"]) => return Some(load(text, tables)),
        "ANALYZE" | "OPTIMIZE" => {
            reading.skip(&["NO_WRITE_TO_BINLOG", "LOCAL"]);
            match reading.skip(&["TABLE", "TABLES"]) {
                true => reading.list(&["PERSISTENT", "UPDATE", "DROP"]).map(|()| Action::Definition),
                false => Err(reading.unsupported()),
            }
        }
        _ => return Some(reading.other()),
    };
    Some(action.and_then(|action| reading.finish(action)))
}

impl Reading<'_> {
    fn finish(self, action: Action) -> Result<Use, Reason> {
        let Some(rule) = self.used.first().copied() else { return Ok(Use::Home) };
        if self.used.iter().any(|other| *other != rule) {
            if self.used.contains(&GLOBAL) {
                return Err("sharded tables and global ones cannot be defined in one statement, nor can a global table refer to \
                     a sharded one: write one for each"
                    .into());
            }
            return Err("tables of several sharding rules cannot be in one statement".into());
        }
        if self.home {
            return Err(
                "sharded or global tables and others cannot be defined in one statement: write one for each"
                    .into(),
            );
        }
        Ok(Use::Sharded { rule, action, edits: self.edits, beside: None, of_this_text: false })
    }

    fn unsupported(&self) -> Reason {
        let word = self.text.str(0).to_ascii_uppercase();
        format!("{word} is not supported with sharded tables in this form: address the physical tables")
            .into()
    }

    fn skip(&mut self, words: &[&str]) -> bool {
        let skipped = self.text.is_any(self.at, words);
        self.at += u32::from(skipped);
        skipped
    }

    fn skip_all(&mut self, words: &[&str]) {
        while self.skip(words) {}
    }

    fn rule_at(&self, token: u32) -> Option<usize> {
        self.tables.known(self.text.name(token)?.as_bytes())
    }

    /// A table's name, which the physical one takes the place of.
    fn table(&mut self) -> Result<Option<usize>, Reason> {
        let mut name = self.at;
        let mut server = false;
        if self.text.is_byte(name + 1, ".") {
            server = self.text.name(name).is_some_and(|schema| is_server_schema(schema.as_bytes()));
            name += 2;
        }
        let Some(table) = self.text.name(name) else { return Err(self.unsupported()) };
        self.at = name + 1;
        let rule = self.rule_at(name).filter(|_| !server);
        if let Some(rule) = rule {
            self.used.push(rule);
            if rule != GLOBAL {
                self.edits.push(physical(name, &table));
            }
        }
        Ok(rule)
    }

    /// Tables with commas between them; behind them the end, or one of these words.
    fn list(&mut self, behind: &[&str]) -> Result<(), Reason> {
        loop {
            self.home |= self.table()?.is_none();
            if !self.text.is_byte(self.at, ",") {
                break;
            }
            self.at += 1;
        }
        let ends = self.at >= self.text.end() || self.text.is_any(self.at, behind);
        match ends || self.used.is_empty() {
            true => Ok(()),
            false => Err(self.unsupported()),
        }
    }

    /// Whether a sharded table's name comes at or behind this place.
    fn mentions(&self) -> bool {
        (self.at..self.text.len()).any(|token| self.rule_at(token).is_some())
    }

    fn has(&self, words: &[&str]) -> bool {
        (self.at..self.text.len()).any(|token| self.text.is_any(token, words))
    }

    fn describe(&mut self) -> Result<bool, Reason> {
        let statement = [
            "SELECT",
            "WITH",
            "INSERT",
            "REPLACE",
            "UPDATE",
            "DELETE",
            "TABLE",
            "FORMAT",
            "ANALYZE",
            "EXTENDED",
            "PARTITIONS",
        ];
        if self.text.is_any(self.at, &statement) || self.text.is_byte(self.at, "(") {
            return Ok(false);
        }
        self.table()?;
        Ok(true)
    }

    fn show(&mut self) -> Result<(), Reason> {
        self.skip_all(&["FULL", "EXTENDED"]);
        let of_table = match self.skip(&["CREATE"]) {
            true => self.skip(&["TABLE"]),
            false => {
                self.skip(&["COLUMNS", "FIELDS", "INDEX", "INDEXES", "KEYS"]) && self.skip(&["FROM", "IN"])
            }
        };
        match of_table {
            true => self.table().map(|_| ()),
            false => Ok(()),
        }
    }

    fn create(&mut self) -> Result<(), Reason> {
        if self.skip(&["OR"]) {
            self.skip(&["REPLACE"]);
        }
        let temporary = self.skip(&["TEMPORARY"]);
        if self.skip(&["TABLE"]) {
            self.skip_all(&["IF", "NOT", "EXISTS"]);
            let rule = self.table()?;
            if temporary && rule.is_some() {
                return Err(
                    "a temporary table cannot have the name of a sharded one: use another name".into()
                );
            }
            return self.body(rule);
        }
        let index = self.at;
        self.skip_all(&["UNIQUE", "FULLTEXT", "SPATIAL", "ONLINE", "OFFLINE"]);
        if self.skip(&["INDEX"]) {
            return self.index();
        }
        self.at = index;
        let schema = self.text.is_any(self.at, &["DATABASE", "SCHEMA", "USER", "ROLE", "SERVER"]);
        match schema || !self.mentions() {
            true => Ok(()),
            false => Err(
                "views, triggers and stored programs cannot use sharded or global tables: address those of the servers"
                    .into(),
            ),
        }
    }

    /// What CREATE TABLE and ALTER TABLE have behind the name.
    fn body(&mut self, rule: Option<usize>) -> Result<(), Reason> {
        let (known, sharded) = (rule.is_some(), rule.is_some_and(|rule| rule != GLOBAL));
        if self.has(&["SELECT"]) && (known || self.mentions()) {
            return Err("CREATE TABLE ... SELECT is not supported with sharded and global tables: create the table first, then INSERT \
                 ... SELECT"
                .into());
        }
        let first = self.at;
        while self.at < self.text.len() {
            let token = self.at;
            self.at += 1;
            if self.text.is_qualified(token) {
                continue;
            }
            let like = self.text.is(token, "LIKE")
                && (token == first || token == first + 1 && self.text.is_byte(first, "("));
            if self.text.is(token, "REFERENCES") || like {
                match self.table()? {
                    // It is beside each table that refers to it.
                    Some(GLOBAL) if rule != Some(GLOBAL) => _ = self.used.pop(),
                    Some(other) if other != GLOBAL && !sharded && !known => {
                        return Err("a table that is not sharded cannot refer to a sharded one: leave the foreign key out, or \
                             address the physical tables"
                            .into());
                    }
                    None if rule == Some(GLOBAL) => {
                        return Err(
                            "a global table can refer to global tables only: others are not on every server"
                                .into(),
                        );
                    }
                    _ => {}
                }
            } else if rule == Some(GLOBAL)
                && self.text.is_any(token, &NOT_IN_DEFAULTS)
                && self.text.is_byte(self.at, "(")
            {
                return Err(format!(
                    "{}() gives something else on each server's copy of a global table: insert the value",
                    self.text.str(token).to_ascii_uppercase()
                )
                .into());
            } else if sharded {
                self.constraint(token)?;
            }
            let merged =
                self.text.is(token, "UNION") || self.text.is(token, "WITH") && self.text.is(self.at, "TABLE");
            if merged && (known || self.mentions()) {
                return Err(self.unsupported());
            }
        }
        Ok(())
    }

    /// Foreign keys and checks have names of which a schema holds one each: they get the shard's number too.
    fn constraint(&mut self, token: u32) -> Result<(), Reason> {
        let (next, second) = (token + 1, token + 2);
        let name = match self.text.str(token).to_ascii_uppercase().as_str() {
            _ if self.text.kind(token) != Some(crate::parser::SketchKind::Word) => return Ok(()),
            "CONSTRAINT" if self.text.is_any(second, &["FOREIGN", "CHECK"]) => next,
            "DROP" if self.text.is(next, "CONSTRAINT") => {
                return Err("DROP CONSTRAINT is not supported with sharded tables: write DROP FOREIGN KEY, DROP CHECK or \
                     DROP INDEX"
                    .into());
            }
            "DROP" if self.text.is(next, "FOREIGN") && self.text.is(second, "KEY") => token + 3,
            "DROP" | "ALTER" if self.text.is(next, "CHECK") => second,
            _ => return Ok(()),
        };
        let name = match self.text.is(name, "IF") {
            true => name + 2,
            false => name,
        };
        let Some(constraint) = self.text.name(name) else { return Err(self.unsupported()) };
        self.edits.push(physical(name, &constraint));
        self.at = name + 1;
        Ok(())
    }

    /// `[IF [NOT] EXISTS] name ... ON table`, behind INDEX.
    fn index(&mut self) -> Result<(), Reason> {
        let on = self.text.find(self.at + 1, self.text.end(), &["ON"]);
        match on {
            Some(on) => {
                self.at = on + 1;
                self.table().map(|_| ())
            }
            None => Err(self.unsupported()),
        }
    }

    fn drop(&mut self) -> Result<(), Reason> {
        let temporary = self.skip(&["TEMPORARY"]);
        if self.skip(&["TABLE", "TABLES"]) {
            self.skip_all(&["IF", "EXISTS"]);
            self.list(&["RESTRICT", "CASCADE"])?;
            return match temporary && !self.used.is_empty() {
                true => Err("a temporary table cannot have the name of a sharded one".into()),
                false => Ok(()),
            };
        }
        if self.skip(&["INDEX"]) {
            return self.index();
        }
        let others = [
            "DATABASE",
            "SCHEMA",
            "USER",
            "ROLE",
            "SERVER",
            "PROCEDURE",
            "FUNCTION",
            "EVENT",
            "PREPARE",
            "TRIGGER",
        ];
        match self.text.is_any(self.at, &others) {
            true => Ok(()),
            false => Err(self.unsupported()),
        }
    }

    fn alter(&mut self) -> Result<(), Reason> {
        self.skip_all(&["ONLINE", "OFFLINE", "IGNORE"]);
        if !self.skip(&["TABLE"]) {
            let schema = self.text.is_any(self.at, &["DATABASE", "SCHEMA", "USER", "SERVER"]);
            return match schema || !self.mentions() {
                true => Ok(()),
                false => Err(self.unsupported()),
            };
        }
        self.skip_all(&["IF", "EXISTS"]);
        let rule = self.table()?;
        let start = self.at;
        self.body(rule)?;
        for token in start..self.text.end() {
            if !self.text.is(token, "RENAME") || self.text.is_any(token + 1, &["COLUMN", "INDEX", "KEY"]) {
                continue;
            }
            self.at = token + 1;
            self.skip(&["TO", "AS"]);
            self.skip_one("=");
            if self.table()? != rule {
                return Err(OTHER_RULE.into());
            }
        }
        Ok(())
    }

    fn skip_one(&mut self, byte: &str) {
        self.at += u32::from(self.text.is_byte(self.at, byte));
    }

    fn rename(&mut self) -> Result<(), Reason> {
        if !self.skip(&["TABLE", "TABLES"]) {
            return match self.skip(&["USER"]) {
                true => Ok(()),
                false => Err(self.unsupported()),
            };
        }
        loop {
            self.skip_all(&["IF", "EXISTS"]);
            let from = self.table()?;
            if !self.skip(&["TO"]) {
                return Err(self.unsupported());
            }
            if self.table()? != from {
                return Err(OTHER_RULE.into());
            }
            self.home |= from.is_none();
            if !self.text.is_byte(self.at, ",") {
                return match self.at >= self.text.end() {
                    true => Ok(()),
                    false => Err(self.unsupported()),
                };
            }
            self.at += 1;
        }
    }

    /// Whatever else there is.
    fn other(&mut self) -> Result<Use, Reason> {
        let text = self.text;
        let never = [
            "USE",
            "BEGIN",
            "START",
            "SAVEPOINT",
            "RELEASE",
            "ROLLBACK",
            "COMMIT",
            "XA",
            "KILL",
            "UNLOCK",
            "DEALLOCATE",
            "PREPARE",
            "EXECUTE",
            "HELP",
            "RESET",
            "PURGE",
            "CHANGE",
            "SHUTDOWN",
            "INSTALL",
            "UNINSTALL",
        ];
        if text.is_any(0, &never) {
            return Ok(Use::Home);
        }
        // A MariaDB's, before any statement.
        if text.is(0, "SET") && text.is(1, "STATEMENT") && self.mentions() {
            return Err("SET STATEMENT ... FOR cannot be before a statement about sharded or global tables: SET the variables for the \
                 session, and send the statement by itself"
                .into());
        }
        // A name of a variable or a procedure.
        if text.is_any(0, &["SET", "DO", "CALL", "SIGNAL", "GET", "EXECUTE"])
            && !self.has(&["SELECT", "TABLE"])
        {
            return Ok(Use::Home);
        }
        Err(self.unsupported())
    }
}

const OTHER_RULE: &str = "a sharded table can be renamed only to a name of the same sharding rule";

fn physical(token: u32, table: &str) -> Edit {
    Edit { tokens: token..token + 1, with: vec![Piece::Table(table.into())] }
}
