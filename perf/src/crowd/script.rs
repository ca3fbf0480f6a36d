//! What a client sends next, and what it has to be answered.

use std::collections::VecDeque;

use super::own::{MOMENT, Own};

/// Rows of the table of words.
const WORDS: u32 = 1000;

/// The statement that is prepared.
pub fn prepared_statement() -> String {
    format!("SELECT CONCAT_WS('|', word, @mine, FROM_UNIXTIME({MOMENT})) FROM crowd_words WHERE id = ?")
}

/// One statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A point select, as text.
    Point,
    /// The prepared one.
    Prepared,
    /// All of the state.
    Look,
    Insert,
    /// The row inserted last.
    Inserted,
    /// How many rows that INSERT has made.
    RowCount,
    /// A select that has warnings.
    Warn,
    /// How many.
    WarningCount,
    /// The first row of some, which are counted.
    Page,
    /// How many there were.
    FoundRows,
    /// A user variable that is set in passing.
    Assign,
    /// Its value.
    Assigned,
    Begin,
    Commit,
    Rollback,
}

/// How a statement is sent.
#[derive(Debug)]
pub enum Request {
    Text(String),
    /// The prepared statement, with its parameter.
    Execute(u32),
}

/// What a reply came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// OK, with the id of a new row.
    Done { id: u64 },
    /// One row of one value.
    Value(String),
    /// Anything else, in words.
    Other(String),
}

/// What a client does, in an endless mix.
#[derive(Debug)]
pub struct Script {
    own: Own,
    steps: VecDeque<Step>,
    random: u32,
    /// The id of the row inserted last.
    inserted: u64,
    /// The number that a statement before had in it.
    number: u32,
    expected: Answer,
}

impl Script {
    pub fn new(own: Own) -> Self {
        let random = 2_654_435_769_u32.wrapping_mul(u32::try_from(own.number).unwrap_or(0) + 1) | 1;
        // Everybody begins with a look at what was set.
        Self {
            own,
            steps: VecDeque::from([Step::Look]),
            random,
            inserted: 0,
            number: 0,
            expected: Answer::Done { id: 0 },
        }
    }

    pub fn next(&mut self) -> Request {
        if self.steps.is_empty() {
            self.choose();
        }
        let step = self.steps.pop_front().unwrap_or(Step::Look);
        let (number, zone) = (self.own.number, self.own.zone());
        let done = Answer::Done { id: 0 };
        let (request, expected) = match step {
            Step::Point => {
                let id = self.random() % WORDS + 1;
                let sql = format!(
                    "SELECT CONCAT_WS('|', word, @mine, @@time_zone) FROM crowd_words WHERE id = {id}"
                );
                (Request::Text(sql), Answer::Value(format!("word {id}|{number}|{zone}")))
            }
            Step::Prepared => {
                let id = self.random() % WORDS + 1;
                let value = format!("word {id}|{number}|{}", self.own.moment());
                (Request::Execute(id), Answer::Value(value))
            }
            Step::Look => {
                let (sql, value) = self.own.look();
                (Request::Text(sql), Answer::Value(value))
            }
            Step::Insert => {
                let sql = "INSERT INTO crowd_log (owner, zone) VALUES (@mine, @@time_zone)";
                // The id is the server's to choose.
                (Request::Text(sql.to_owned()), Answer::Done { id: u64::MAX })
            }
            Step::Inserted => {
                let sql = "SELECT CONCAT_WS('|', id, owner, zone, @mine) FROM crowd_log WHERE id = LAST_INSERT_ID()";
                let value = format!("{}|{number}|{zone}|{number}", self.inserted);
                (Request::Text(sql.to_owned()), Answer::Value(value))
            }
            Step::Warn => {
                let sql = format!("SELECT CAST('{number}x' AS SIGNED) FROM crowd_words WHERE id = 1");
                (Request::Text(sql), Answer::Value(number.to_string()))
            }
            Step::Page => {
                self.number = self.random() % WORDS + 1;
                let sql = "SELECT SQL_CALC_FOUND_ROWS word FROM crowd_words WHERE id <=";
                let request = Request::Text(format!("{sql} {} ORDER BY id LIMIT 1", self.number));
                (request, Answer::Value("word 1".to_owned()))
            }
            Step::Assign => {
                self.number = self.random() % WORDS;
                let sql = format!("SELECT @seen := {}", self.number);
                (Request::Text(sql), Answer::Value(self.number.to_string()))
            }
            Step::RowCount => self.ask("ROW_COUNT()", 1),
            Step::WarningCount => self.ask("@@warning_count", 1),
            Step::FoundRows => self.ask("FOUND_ROWS()", self.number),
            Step::Assigned => self.ask("@seen", self.number),
            Step::Begin => (Request::Text("BEGIN".to_owned()), done),
            Step::Commit => (Request::Text("COMMIT".to_owned()), done),
            Step::Rollback => (Request::Text("ROLLBACK".to_owned()), done),
        };
        self.expected = expected;
        request
    }

    /// A question about the statement before.
    fn ask(&self, question: &str, answer: u32) -> (Request, Answer) {
        let sql = format!("SELECT CONCAT_WS('|', {question}, @mine)");
        (Request::Text(sql), Answer::Value(format!("{answer}|{}", self.own.number)))
    }

    /// Judges the answer to what [`Script::next`] gave.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(&mut self, answer: &Answer) -> Result<(), String> {
        match (answer, &self.expected) {
            (Answer::Done { id: 1.. }, Answer::Done { id: u64::MAX }) => {}
            (answer, expected) if answer == expected => {}
            (answer, expected) => return Err(format!("{answer:?} instead of {expected:?}")),
        }
        if let Answer::Done { id: id @ 1.. } = answer {
            self.inserted = *id;
        }
        Ok(())
    }

    fn choose(&mut self) {
        let steps: &[Step] = match self.random() % 100 {
            0..32 => &[Step::Point],
            32..64 => &[Step::Prepared],
            64..74 => &[Step::Look],
            74..79 => &[Step::Insert],
            79..85 => &[Step::Insert, Step::Inserted],
            85..87 => &[Step::Insert, Step::RowCount],
            87..89 => &[Step::Warn, Step::WarningCount],
            89..91 => &[Step::Page, Step::FoundRows],
            91..93 => &[Step::Assign, Step::Assigned],
            93..97 => &[Step::Begin, Step::Insert, Step::Point, Step::Inserted, Step::Commit],
            _ => &[Step::Begin, Step::Prepared, Step::Insert, Step::Inserted, Step::Rollback],
        };
        self.steps.extend(steps);
    }

    /// xorshift: the same for the same client.
    fn random(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random
    }
}
