//! What a session says next.

use std::collections::VecDeque;

use crate::ballast::Ballast;
use crate::client::Reply;
use crate::common::random::Random;
use crate::common::wire::{Result, Value};
use crate::grammar::{Class, Grammar, Speaker};
use crate::step::{SLOTS, Step};

const IN_TRANSACTION: u16 = 0x0001;
const AUTOCOMMIT: u16 = 0x0002;

/// Percent of the steps that are about a binary prepared statement.
const BINARY: usize = 14;
/// Percent of the steps of a session that holds something after which it begins to let go.
const LET_GO: usize = 12;
/// Percent of its steps that are about what it holds.
const ABOUT_HELD: usize = 45;
/// One step in so many is a COM_RESET_CONNECTION, or a new connection.
const RESET: usize = 150;
const RECONNECT: usize = 500;

/// A type of parameters: a statement keeps those that it was given first.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Int,
    Double,
    Text,
}

/// A binary prepared statement.
#[derive(Debug, Clone)]
struct Prepared {
    sql: Vec<u8>,
    parameters: Vec<Kind>,
    /// The server knows the types.
    typed: bool,
    table: bool,
    /// It asks about the statement before: what Athena answers itself has no cursor.
    asks: bool,
    had_cursor: bool,
    /// Of how many of the texts its parameters may be.
    texts: usize,
    /// What a MySQL settled when it prepared the statement, or prepared it once more by itself for other types of
    /// parameters: see [`Settled`].
    settled: Settled,
}

/// How often something was said that a MySQL looks at when it prepares a statement: once at PREPARE, and again at the
/// EXECUTE whose parameters are of types that don't fit, which nobody is told of. On another link that is another EXECUTE.
/// Statements on which that shows are not executed any more once it has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Settled {
    /// Character sets, the sql_mode and their like, for those with literals, names in quotes, and parameters.
    dialect: Option<usize>,
    /// User variables, for those that read them.
    variables: Option<usize>,
}

/// One session's choice of steps.
#[derive(Debug)]
pub struct Voice {
    speaker: Speaker,
    pending: VecDeque<Step>,
    /// Sections of the grammar that it has spoken from, and not ended.
    held: Vec<usize>,
    /// It may keep a link.
    token: bool,
    /// With the last of the pending steps it holds nothing any more.
    ending: bool,
    in_transaction: bool,
    autocommit: bool,
    slots: [Option<Prepared>; SLOTS],
    /// How often the dialect may have changed.
    dialect: usize,
    /// How often user variables may have changed.
    variables: usize,
}

impl Voice {
    pub fn new(number: usize, life: usize) -> Self {
        Self {
            speaker: Speaker { number, life },
            pending: VecDeque::new(),
            held: Vec::new(),
            token: false,
            ending: false,
            in_transaction: false,
            autocommit: true,
            slots: Default::default(),
            dialect: 0,
            variables: 0,
        }
    }

    pub fn has_token(&self) -> bool {
        self.token
    }

    /// Whether it keeps a link without a token: it gives that back before another session of its thread waits for one.
    pub fn has_to_go_on(&self) -> bool {
        self.in_transaction && !self.token
    }

    /// The next step.
    ///
    /// # Errors
    /// When tokens can't be taken or given back.
    pub fn next(&mut self, grammar: &Grammar, random: &mut Random, ballast: &mut Ballast) -> Result<Step> {
        if self.pending.is_empty() && self.ending {
            self.after_end(ballast)?;
        }
        if self.pending.is_empty() {
            self.think(grammar, random, ballast)?;
        }
        Ok(self.pending.pop_front().expect("something to say"))
    }

    /// The next step on the way to holding nothing; `None` once that is so.
    pub fn farewell(
        &mut self,
        grammar: &Grammar,
        random: &mut Random,
        ballast: &mut Ballast,
    ) -> Result<Option<Step>> {
        if self.pending.is_empty() && !self.ending && self.token {
            self.let_go(grammar, random);
        }
        if self.pending.is_empty() && self.ending {
            self.after_end(ballast)?;
        }
        if self.pending.is_empty() && self.in_transaction {
            self.pending.push_back(Step::Query(b"ROLLBACK".to_vec()));
        }
        Ok(self.pending.pop_front())
    }

    /// Takes in what the server said to a step.
    pub fn heard(&mut self, step: &Step, reply: &Reply, prepared: bool) {
        if let Some(status) = reply.status {
            self.in_transaction = status & IN_TRANSACTION != 0;
            self.autocommit = status & AUTOCOMMIT != 0;
        }
        self.settles(step);
        match step {
            Step::Prepare { slot, .. } if !prepared => self.slots[*slot] = None,
            Step::Close { slot } => self.slots[*slot] = None,
            Step::ResetConnection => self.slots = Default::default(),
            Step::Reconnect => {
                self.slots = Default::default();
                (self.in_transaction, self.autocommit) = (false, true);
                self.speaker.life += 1;
            }
            _ => {}
        }
    }

    /// Counts what a MySQL looks at when it prepares a statement.
    fn settles(&mut self, step: &Step) {
        let text = match step {
            Step::Query(text) | Step::Prepare { sql: text, .. } => text,
            Step::Execute { slot, .. } => match &self.slots[*slot] {
                Some(prepared) => &prepared.sql,
                None => return,
            },
            Step::ResetConnection | Step::Reconnect => {
                self.dialect += 1;
                self.variables += 1;
                return;
            }
            _ => return,
        };
        let text = String::from_utf8_lossy(text).to_lowercase();
        let executes = text.contains("execute ");
        // To prepare an assignment makes the variable.
        self.variables += usize::from(names_variables(&text) || executes);
        if !matches!(step, Step::Prepare { .. }) {
            const OF_DIALECT: [&str; 7] =
                ["sql_mode", "names", "character", "charset", "collation", "precision", "week_format"];
            let shows = text.starts_with("select") || text.starts_with("show");
            let sets = !shows && OF_DIALECT.iter().any(|word| text.contains(word));
            self.dialect += usize::from(sets || executes);
        }
    }

    fn after_end(&mut self, ballast: &mut Ballast) -> Result<()> {
        if self.in_transaction {
            self.pending.push_back(Step::Query(b"ROLLBACK".to_vec()));
            return Ok(());
        }
        self.ending = false;
        self.held.clear();
        if std::mem::take(&mut self.token) {
            ballast.give_back()?;
        }
        Ok(())
    }

    fn think(&mut self, grammar: &Grammar, random: &mut Random, ballast: &mut Ballast) -> Result<()> {
        if self.has_to_go_on() {
            let end = if random.below(2) == 0 { &b"COMMIT"[..] } else { b"ROLLBACK" };
            self.pending.push_back(Step::Query(end.to_vec()));
        } else if self.token && random.below(100) < LET_GO {
            self.let_go(grammar, random);
        } else if random.below(100) < BINARY {
            self.binary(grammar, random, ballast)?;
        } else if !self.token && random.below(RESET) == 0 {
            self.reset();
        } else if random.below(RECONNECT) == 0 && !self.holds_xa(grammar) {
            self.pending.push_back(Step::Reconnect);
            self.ending = true;
        } else {
            self.speak(grammar, random, ballast)?;
        }
        Ok(())
    }

    fn speak(&mut self, grammar: &Grammar, random: &mut Random, ballast: &mut Ballast) -> Result<()> {
        let about_held = !self.held.is_empty() && random.below(100) < ABOUT_HELD;
        let mut section = if about_held {
            self.held[random.below(self.held.len())]
        } else {
            let classes = [Class::Calm, Class::Hold, Class::Table];
            grammar.choose(if self.may_read() { &classes } else { &classes[..2] }, random)
        };
        if grammar.class(section) == Class::Hold && !self.token {
            self.token = ballast.take()?;
            if !self.token {
                let classes = [Class::Calm, Class::Table];
                section = grammar.choose(if self.may_read() { &classes } else { &classes[..1] }, random);
            }
        }
        if grammar.class(section) == Class::Hold && !self.held.contains(&section) {
            self.held.push(section);
        }
        let texts = grammar.say(section, self.speaker, random);
        self.pending.extend(texts.iter().map(|text| Step::from_text(text)));
        Ok(())
    }

    /// With autocommit off whoever reads a table is in a transaction.
    fn may_read(&self) -> bool {
        self.autocommit || self.token
    }

    fn holds_xa(&self, grammar: &Grammar) -> bool {
        self.held.iter().any(|section| grammar.name(*section) == "xa")
    }

    /// Ends all that is held, each by its own statement, or by a reset.
    fn let_go(&mut self, grammar: &Grammar, random: &mut Random) {
        let mut held = self.held.clone();
        held.sort_by_key(|section| (grammar.name(*section) != "xa", *section));
        if !self.holds_xa(grammar) && random.below(4) == 0 {
            held.clear();
            self.reset();
        }
        for section in held {
            let texts = grammar.end(section, self.speaker, random);
            self.pending.extend(texts.iter().map(|text| Step::from_text(text)));
        }
        self.ending = true;
    }

    /// Until the next USE the schema's character set is the server's default, which through Athena it is not.
    fn reset(&mut self) {
        self.pending.push_back(Step::ResetConnection);
        self.pending.push_back(Step::Query(format!("USE s{}", self.speaker.number).into_bytes()));
    }

    fn binary(&mut self, grammar: &Grammar, random: &mut Random, ballast: &mut Ballast) -> Result<()> {
        let slot = random.below(SLOTS);
        let Some(prepared) = self.slots[slot].clone().filter(|_| random.below(8) > 0) else {
            return self.prepare(slot, grammar, random);
        };
        if prepared.table && !self.may_read() {
            self.pending.push_back(Step::Reset { slot });
            return Ok(());
        }
        let Settled { dialect, variables } = prepared.settled;
        if dialect.is_some_and(|then| then != self.dialect)
            || variables.is_some_and(|then| then != self.variables)
        {
            self.pending.push_back(Step::Close { slot });
            return Ok(());
        }
        let mut parameters: Vec<_> =
            prepared.parameters.iter().map(|kind| parameter(*kind, prepared.texts, random)).collect();
        if grammar.is_mysql() && prepared.sql.starts_with(b"UPDATE") {
            // What can't match leaves FOUND_ROWS() as it was, which nobody is told.
            parameters
                .iter_mut()
                .filter(|value| **value == Value::Null)
                .for_each(|value| *value = Value::Int(1));
        }
        // A MySQL gives no rows without a cursor for a statement that had one, and not even their end.
        let cursors_only = prepared.had_cursor && grammar.is_mysql();
        match random.below(20) {
            0 => self.pending.push_back(Step::Close { slot }),
            1 => self.pending.push_back(Step::Reset { slot }),
            2 | 3 if !prepared.asks && self.script(ballast)? => {
                self.pending.push_back(Step::Execute { slot, parameters, types: true, cursor: true });
                for _ in 0..random.below(4) {
                    self.pending.push_back(Step::Fetch { slot, rows: 1 + random.below(3) as u32 });
                }
                self.pending.push_back(Step::Reset { slot });
                self.set_typed(slot, false);
                if let Some(prepared) = &mut self.slots[slot] {
                    prepared.had_cursor = true;
                }
            }
            _ if cursors_only => self.pending.push_back(Step::Close { slot }),
            4 | 5 if self.script(ballast)? => self.long_data(slot, parameters, &prepared, random),
            _ => {
                // Without types a server converts texts from the character set in which it was told of them.
                let types = !prepared.typed || random.below(4) == 0 || parameters.iter().any(is_foreign);
                self.set_typed(slot, (types || prepared.typed) && !parameters.contains(&Value::Null));
                self.pending.push_back(Step::Execute { slot, parameters, types, cursor: false });
            }
        }
        Ok(())
    }

    fn prepare(&mut self, slot: usize, grammar: &Grammar, random: &mut Random) -> Result<()> {
        let sql = grammar.say(grammar.section("prepared"), self.speaker, random).remove(0);
        let text = String::from_utf8_lossy(&sql);
        let table = ["FROM ", "INTO s", "INTO t", "UPDATE "].iter().any(|word| text.contains(word));
        if table && !self.may_read() {
            self.pending.push_back(Step::Ping);
            return Ok(());
        }
        let mysql = grammar.is_mysql();
        let kinds = [Kind::Int, Kind::Int, Kind::Double, Kind::Text];
        let kind = |nth: usize, random: &mut Random| match mysql && table {
            // Others than those of the columns a MySQL prepares for once more, and counts its warnings twice then.
            true if nth == 0 && text.contains("b = ?") => Kind::Text,
            true => Kind::Int,
            false => kinds[random.below(kinds.len())],
        };
        let count = sql.iter().filter(|byte| **byte == b'?').count();
        let parameters = (0..count).map(|nth| kind(nth, random)).collect();
        let asks = ["ROW_COUNT", "FOUND_ROWS", "_count", "WARNINGS"].iter().any(|word| text.contains(word));
        // It may put them into a variable, or into a warning, which keeps them when the session chooses another.
        let texts = match !text.starts_with("SELECT ?") || text.contains('@') {
            true => PLAIN_TEXTS,
            false if grammar.is_mysql() => VALID_TEXTS,
            false => TEXTS.len(),
        };
        let of_dialect = count > 0 || sql.iter().any(|byte| b"'\"\\|/".contains(byte) || !byte.is_ascii());
        let of_variables = names_variables(&text.replace("@h", ""));
        let settled = Settled {
            dialect: (mysql && of_dialect).then_some(self.dialect),
            variables: (mysql && of_variables).then_some(self.variables + 1),
        };
        self.slots[slot] = Some(Prepared {
            sql: sql.clone(),
            parameters,
            typed: false,
            table,
            asks,
            texts,
            had_cursor: false,
            settled,
        });
        self.pending.push_back(Step::Prepare { slot, sql });
        Ok(())
    }

    /// Pieces of the first text among the parameters, then the rest.
    fn long_data(
        &mut self,
        slot: usize,
        mut parameters: Vec<Value>,
        prepared: &Prepared,
        random: &mut Random,
    ) {
        if let Some(index) = prepared.parameters.iter().position(|kind| matches!(kind, Kind::Text)) {
            for _ in 0..=random.below(2) {
                let piece = text(prepared.texts, random);
                self.pending.push_back(Step::LongData { slot, parameter: index as u16, piece });
            }
            parameters[index] = Value::LongData;
        }
        self.set_typed(slot, false);
        self.pending.push_back(Step::Execute { slot, parameters, types: true, cursor: false });
    }

    /// Steps follow that need the link from the first to the last.
    fn script(&mut self, ballast: &mut Ballast) -> Result<bool> {
        if !self.token {
            self.token = ballast.take()?;
            self.ending = self.token;
        }
        Ok(self.token)
    }

    fn set_typed(&mut self, slot: usize, typed: bool) {
        if let Some(prepared) = &mut self.slots[slot] {
            prepared.typed = typed;
        }
    }
}

fn names_variables(text: &str) -> bool {
    text.replace("@@", "").contains('@')
}

fn is_foreign(parameter: &Value) -> bool {
    matches!(parameter, Value::Bytes(bytes) if !bytes.is_ascii())
}

/// Values of parameters.
const TEXTS: [&[u8]; 7] = [b"abc", b"", b"1", b"12x", b"it's", "été".as_bytes(), b"\xbf\\"];
/// The first of them have letters of every character set: they may be put into a variable.
const PLAIN_TEXTS: usize = 5;
/// So many are texts in UTF-8. A MySQL refuses others, or not, by the character set that its connection had at the first
/// EXECUTE of the statement.
const VALID_TEXTS: usize = 6;

fn parameter(kind: Kind, texts: usize, random: &mut Random) -> Value {
    if random.below(12) == 0 {
        return Value::Null;
    }
    match kind {
        Kind::Int => Value::Int(random.below(12) as i64 - 1),
        Kind::Double => Value::Double(random.below(100) as f64 / 4.0),
        Kind::Text => Value::Bytes(text(texts, random)),
    }
}

fn text(texts: usize, random: &mut Random) -> Vec<u8> {
    TEXTS[random.below(texts)].to_vec()
}
