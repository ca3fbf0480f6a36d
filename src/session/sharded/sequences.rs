//! Ids that all shards have but once: a core takes blocks of them from a table on `[backend]`, and gives each row of an INSERT that
//! has none of its own the next one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use foldhash::HashMap;

use crate::circuit::{Gate, Key, Limits};
use crate::metrics::label::ErrorKind;
use crate::pool::{Table, Told, literal_in};
use crate::protocol::error::ErrorCode;
use crate::protocol::response::ErrPacket;
use crate::router::sharding::{Ids, Reason, Value, physical, quote};

use super::super::context::Cluster;
use super::super::driver::Session;
use super::super::failure::{Refusal, Stop};
use super::super::leave::COMMIT;
use super::tables::{ShardedTables, Values};

const TABLE: [&str; 2] = [
    "CREATE DATABASE IF NOT EXISTS athena",
    "CREATE TABLE IF NOT EXISTS athena.sequences (name VARCHAR(150) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, \
     next_id BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB",
];

/// `ER_BAD_DB_ERROR`, `ER_NO_SUCH_TABLE`.
const IS_MISSING: [u16; 2] = [1049, 1146];

/// The table may have to be made, then the row. (A server may have `autocommit` off, so what is written is committed.)
const ATTEMPTS: usize = 4;

/// Statements that wait for one to take a block.
const WAITING_MAX: usize = 1 << 20;

/// Those that a core has ids of, by their schemas and tables.
#[derive(Default)]
pub struct Sequences(RefCell<HashMap<String, Rc<Sequence>>>);

struct Sequence {
    /// What is left of the core's block: the next id, and the one behind the last.
    block: Cell<(u64, u64)>,
    /// Ids from here on belong to no block, as far as the core knows.
    horizon: Cell<u64>,
    /// The greatest one that the column had room for when its server was asked.
    max: Cell<u64>,
    /// One takes the next block, for all.
    gate: Gate,
}

impl Sequences {
    fn of(&self, name: &str) -> Rc<Sequence> {
        let mut all = self.0.borrow_mut();
        if let Some(known) = all.get(name) {
            return known.clone();
        }
        let gate = Gate::alone(Limits { max_concurrent: 1, queue_size: WAITING_MAX });
        let new = Rc::new(Sequence {
            block: Cell::default(),
            horizon: Cell::default(),
            max: Cell::default(),
            gate,
        });
        all.insert(name.to_owned(), new.clone());
        new
    }
}

impl Sequence {
    /// The first of so many ids that follow each other, if the block has them.
    fn take(&self, count: u64) -> Option<u64> {
        let (next, end) = self.block.get();
        let behind = next.checked_add(count).filter(|behind| *behind <= end && next > 0)?;
        self.block.set((behind, end));
        Some(next)
    }

    /// An id was given by a statement: it is not drawn here again.
    fn pass(&self, given: u64) {
        let (next, end) = self.block.get();
        if (next..end).contains(&given) {
            self.block.set((given + 1, end));
        }
    }
}

/// What the rows of an INSERT need.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Rows for which an id is drawn.
    rows: Vec<bool>,
    /// The ids that are given by the statement.
    given: Vec<u64>,
}

impl Wanted {
    /// # Errors
    /// A row's value is no whole number: which one its server would make of it is not known.
    pub(super) fn new(ids: &Ids, values: &Values<'_>, zero_draws: bool) -> Result<Self, Refusal> {
        let mut wanted = Self::default();
        for row in &ids.rows {
            let given = row.given.as_ref().map_or(Value::Null, |given| values.get(given));
            let number = match given {
                Value::Null => None,
                given => Some(whole(&given).ok_or_else(|| Refusal::not_an_id(&ids.column))?),
            };
            wanted.rows.push(number.is_none_or(|number| number == 0 && zero_draws));
            wanted
                .given
                .extend(number.and_then(|number| u64::try_from(number).ok()).filter(|given| *given > 0));
        }
        Ok(wanted)
    }

    /// One row draws, behind one that has this id.
    pub(super) fn one_behind(given: Option<u64>) -> Self {
        Self { rows: vec![true], given: given.into_iter().collect() }
    }

    /// None does, and this one is given.
    pub(super) fn given(id: u64) -> Self {
        Self { rows: Vec::new(), given: vec![id] }
    }

    /// Behind these rows come others, of the same execution.
    pub(super) fn extend(&mut self, others: Self) {
        self.rows.extend(others.rows);
        self.given.extend(others.given);
    }
}

/// An id as its column takes it: that which was drawn for a row, or that which the statement gives.
pub(super) fn id_text(drawn: Option<u64>, given: &Value) -> Option<String> {
    drawn.map(|id| id.to_string()).or_else(|| whole(given).map(|id| id.to_string()))
}

/// The whole number that a value is.
pub(super) fn whole(value: &Value) -> Option<i128> {
    match value {
        Value::Integer(number) => Some(*number),
        // Beyond that there are gaps between doubles.
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => Some(*number as i128),
        Value::Decimal(number) => {
            let text = number.normalized().to_plain_string();
            text.parse().ok()
        }
        Value::Text(text) => std::str::from_utf8(text).ok()?.trim_ascii().parse().ok(),
        _ => None,
    }
}

/// What the rows of an INSERT got.
pub(super) struct Drawn {
    /// `None` for those that have their own.
    pub ids: Vec<Option<u64>>,
    /// A server was asked, and other sessions have run meanwhile.
    pub has_waited: bool,
}

/// A sequence of a table.
struct Place {
    /// As the table of sequences has it.
    name: String,
    schema: String,
}

impl Session {
    /// The ids of an INSERT's rows.
    ///
    /// # Errors
    /// Where `[backend]` gives no block.
    pub(super) async fn drawn(&mut self, ids: &Ids, wanted: Wanted) -> Result<Drawn, Stop> {
        let place = self.place_of_sequence(ids)?;
        let sequence = self.ctx.sequences.of(&place.name);
        wanted.given.iter().for_each(|given| sequence.pass(*given));
        let mut has_waited = false;
        let beyond = |max: u64| {
            let given = wanted.given.iter().copied().filter(|given| *given <= max).max();
            given.filter(|given| *given >= sequence.horizon.get())
        };
        if let Some(greatest) = beyond(u64::MAX) {
            has_waited = true;
            let max = self.greatest_id(ids, &place, &sequence, greatest).await?;
            // What the column has no room for its server refuses, or makes another value of.
            if let Some(greatest) = beyond(max) {
                self.have_passed(ids, &place, &sequence, greatest).await?;
            }
        }
        let count = wanted.rows.iter().filter(|draws| **draws).count() as u64;
        let mut next = match sequence.take(count) {
            Some(first) => first,
            None if count == 0 => 0,
            None => {
                has_waited = true;
                self.drawn_from_block(ids, &place, &sequence, count).await?
            }
        };
        let id = |draws: bool| {
            draws.then(|| {
                next += 1;
                next - 1
            })
        };
        Ok(Drawn { ids: wanted.rows.into_iter().map(id).collect(), has_waited })
    }

    /// An id that was given is not drawn by this core. Whether it may be in a block to come.
    pub(super) fn pass_id(&self, ids: &Ids, given: u64) -> Result<bool, Refusal> {
        let sequence = self.ctx.sequences.of(&self.place_of_sequence(ids)?.name);
        sequence.pass(given);
        Ok(given >= sequence.horizon.get())
    }

    /// Whether zero stands for an id that is drawn.
    pub(super) fn zero_draws(&self) -> bool {
        const NO: &[u8] = b"NO_AUTO_VALUE_ON_ZERO";
        let mode = self.state.variable(b"sql_mode").unwrap_or_default();
        !mode.windows(NO.len()).any(|part| part.eq_ignore_ascii_case(NO))
    }

    fn place_of_sequence(&self, ids: &Ids) -> Result<Place, Refusal> {
        let schema = match &ids.schema {
            Some(schema) => Some(schema.to_string()),
            None => self.schema.as_deref().and_then(|schema| String::from_utf8(schema.to_vec()).ok()),
        };
        let schema = schema.ok_or_else(Refusal::no_schema)?;
        Ok(Place { name: format!("{schema}.{}", ids.table), schema })
    }

    async fn drawn_from_block(
        &mut self,
        ids: &Ids,
        place: &Place,
        sequence: &Sequence,
        count: u64,
    ) -> Result<u64, Stop> {
        let waited = self
            .timer
            .within(self.cluster().pool().settings.checkout_timeout, sequence.gate.enter(Key::default()));
        let Ok(Ok(_turn)) = waited.await else {
            return Err(Refusal::no_ids(ids, "no answer in time").into());
        };
        if let Some(first) = sequence.take(count) {
            return Ok(first);
        }
        let len = count.max(self.tables_of_home()?.sequence_block);
        let draw = format!(
            "UPDATE athena.sequences SET next_id = LAST_INSERT_ID(next_id) + {len} WHERE name = {}",
            literal(&place.name)
        );
        let questions =
            [draw.into_bytes(), b"SELECT LAST_INSERT_ID(), ROW_COUNT()".to_vec(), COMMIT.as_bytes().to_vec()];
        let take = |[first, changed]: [u64; 2]| {
            if changed == 1 {
                let end = first.saturating_add(len);
                sequence.block.set((first.max(1), end));
                sequence.horizon.set(sequence.horizon.get().max(end));
            }
            // Of a row that is not there the other number means nothing.
            (changed == 1).then(|| sequence.take(count))
        };
        self.ask_row(ids, place, &questions, take).await
    }

    /// Asks about the row of a sequence, and makes it where it is not there: then `take` says `None`. Where it has an answer of no
    /// use, that is `Some(None)`, and the row is asked about again.
    async fn ask_row<T>(
        &self,
        ids: &Ids,
        place: &Place,
        questions: &[Vec<u8>],
        take: impl Fn([u64; 2]) -> Option<Option<T>>,
    ) -> Result<T, Stop> {
        for _ in 0..ATTEMPTS {
            let Some(told) = self.ask_for_ids(ids, questions).await? else { continue };
            match numbers(&told).and_then(&take) {
                Some(Some(taken)) => return Ok(taken),
                Some(None) => {}
                None => self.begin_sequence(ids, place).await?,
            }
        }
        Err(Refusal::no_ids(ids, "its row in athena.sequences does not last").into())
    }

    /// Has the ids behind one that a statement gives begin behind that.
    async fn have_passed(
        &mut self,
        ids: &Ids,
        place: &Place,
        sequence: &Sequence,
        given: u64,
    ) -> Result<(), Stop> {
        let name = literal(&place.name);
        let behind = given.saturating_add(1);
        let questions = [
            format!(
                "UPDATE athena.sequences SET next_id = {behind} WHERE name = {name} AND next_id < {behind}"
            )
            .into_bytes(),
            format!("SELECT next_id, 1 FROM athena.sequences WHERE name = {name}").into_bytes(),
            COMMIT.as_bytes().to_vec(),
        ];
        let pass = |[next, _]: [u64; 2]| {
            sequence.horizon.set(sequence.horizon.get().max(next));
            Some(Some(()))
        };
        self.ask_row(ids, place, &questions, pass).await
    }

    /// The greatest number that the column has room for: at least `given`, where it is known to have room for that.
    async fn greatest_id(
        &self,
        ids: &Ids,
        place: &Place,
        sequence: &Sequence,
        given: u64,
    ) -> Result<u64, Stop> {
        if given <= sequence.max.get() {
            return Ok(sequence.max.get());
        }
        let sql = format!(
            "SELECT COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} AND COLUMN_NAME = {}",
            literal(&place.schema),
            literal(&physical(&ids.table, 0)),
            literal(&ids.column)
        );
        let told = ask(&self.ctx.clusters[self.server_of(0)], ids, &[sql.into_bytes()]).await?;
        let kind = told.ok().and_then(|table| table.rows.into_iter().next()?.into_iter().next()?);
        let max = kind.map_or(u64::MAX, |kind| room_of(&String::from_utf8_lossy(&kind)));
        sequence.max.set(max);
        Ok(max)
    }

    /// The same, asked for by a row of a file.
    pub(super) async fn fits(&mut self, ids: &Ids, given: u64) -> Result<bool, Stop> {
        let place = self.place_of_sequence(ids)?;
        let sequence = self.ctx.sequences.of(&place.name);
        Ok(given <= self.greatest_id(ids, &place, &sequence, given).await?)
    }

    /// What `[backend]` says to the last of these; `None` where the table of sequences had to be made first.
    async fn ask_for_ids(&self, ids: &Ids, questions: &[Vec<u8>]) -> Result<Option<Table>, Stop> {
        match ask(self.home(), ids, questions).await? {
            Ok(table) => Ok(Some(table)),
            Err(err) if IS_MISSING.contains(&err.code) => {
                for sql in TABLE {
                    let made = ask(self.home(), ids, &[sql.as_bytes().to_vec()]).await?;
                    made.map_err(|err| Refusal::ids_refused(ids, &err))?;
                }
                Ok(None)
            }
            Err(err) => Err(Refusal::ids_refused(ids, &err).into()),
        }
    }

    /// Makes the row of a sequence, which begins behind all ids that there are.
    async fn begin_sequence(&self, ids: &Ids, place: &Place) -> Result<(), Stop> {
        let tables = self.tables_of_home()?;
        let mut next = 1_u64;
        for shard in 0..tables.shards_of(&ids.table) {
            let cluster = &self.ctx.clusters[self.server_of(shard)];
            let table = physical(&ids.table, shard);
            let sql = format!(
                "SELECT MAX({}), 1 FROM {}.{}",
                quote(&ids.column),
                quote(&place.schema),
                quote(&table)
            );
            match ask(cluster, ids, &[sql.into_bytes(), COMMIT.as_bytes().to_vec()]).await? {
                Ok(told) => next = next.max(numbers(&told).map_or(0, |[max, _]| max).saturating_add(1)),
                Err(err) if IS_MISSING.contains(&err.code) => {
                    return Err(Refusal::of_server(err).about(&ids.table, &table).into());
                }
                Err(err) => return Err(Refusal::ids_refused(ids, &err).about(&ids.table, &table).into()),
            }
        }
        let sql = format!(
            "INSERT IGNORE INTO athena.sequences (name, next_id) VALUES ({}, {next})",
            literal(&place.name)
        );
        let made = ask(self.home(), ids, &[sql.into_bytes(), COMMIT.as_bytes().to_vec()]).await?;
        made.map_err(|err| Refusal::ids_refused(ids, &err))?;
        Ok(())
    }

    fn tables_of_home(&self) -> Result<Rc<ShardedTables>, Refusal> {
        self.home().tables.clone().ok_or_else(Refusal::malformed)
    }
}

/// What the primary of a cluster says to the last of some statements, or the first error.
async fn ask(
    cluster: &Cluster,
    ids: &Ids,
    questions: &[Vec<u8>],
) -> Result<Result<Table, ErrPacket>, Refusal> {
    let Some(pool) = cluster.primary() else {
        return Err(Refusal::no_ids(ids, &format!("{} has no primary", cluster.described())));
    };
    match pool.errand_of_several(questions).await {
        Ok(told) => {
            let mut last = Table::default();
            for told in told {
                match told {
                    Told::Err(err) => return Ok(Err(err)),
                    Told::Table(table) => last = table,
                    Told::Ok => {}
                }
            }
            Ok(Ok(last))
        }
        Err(error) => Err(Refusal::no_ids(ids, &error.to_string())),
    }
}

/// The two numbers of the only row; what is negative or NULL is zero.
fn numbers(table: &Table) -> Option<[u64; 2]> {
    let number = |at: usize| -> Option<u64> {
        let Some(text) = table.rows.first()?.get(at)? else { return Some(0) };
        let text = std::str::from_utf8(text).ok()?;
        if text.starts_with('-') { Some(0) } else { text.parse().ok() }
    };
    Some([number(0)?, number(1)?])
}

/// The greatest number of a type of integers, as servers tell it: `int(11) unsigned`.
fn room_of(kind: &str) -> u64 {
    let name = kind.split(['(', ' ']).next().unwrap_or_default();
    let bits = match name.to_ascii_lowercase().as_str() {
        "tinyint" => 8,
        "smallint" => 16,
        "mediumint" => 24,
        "int" => 32,
        _ => 64,
    };
    u64::MAX >> (64 - bits + u32::from(!kind.contains("unsigned")))
}

/// A text in whatever mode of the server.
fn literal(text: &str) -> String {
    String::from_utf8_lossy(&literal_in(b"utf8mb4", text.as_bytes())).into_owned()
}

impl Refusal {
    fn no_ids(ids: &Ids, why: &str) -> Self {
        let message = format!(
            "No id can be drawn for `{}`.`{}`, of which athena.sequences on [backend] knows the next one: {why}",
            ids.table, ids.column
        );
        Self::new(ErrorKind::Unavailable, ErrorCode::AutoincReadFailed, message)
    }

    /// For the reason that a server gives.
    fn ids_refused(ids: &Ids, err: &ErrPacket) -> Self {
        Self::no_ids(ids, &String::from_utf8_lossy(&err.message))
    }

    fn not_an_id(column: &str) -> Self {
        Self::sharding(&Reason::from(format!(
            "The value of the sequence's column `{column}` must be a whole number, or NULL"
        )))
    }

    fn no_schema() -> Self {
        Self::sharding(&Reason::from("No database selected: USE one, or qualify the table"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_ids_that_follow_each_other() {
        let all = Sequences::default();
        let sequence = all.of("a.b");
        assert_eq!(sequence.take(1), None);
        sequence.block.set((5, 10));
        assert_eq!((sequence.take(2), sequence.take(1)), (Some(5), Some(7)));
        assert_eq!(sequence.take(3), None, "what is left would not follow");
        assert_eq!(all.of("a.b").take(2), Some(8));
        assert_eq!(sequence.take(1), None);
        sequence.block.set((20, 30));
        sequence.pass(24);
        sequence.pass(3);
        sequence.pass(30);
        assert_eq!((sequence.take(1), all.of("a.c").take(1)), (Some(25), None));
    }

    #[test]
    fn values_that_are_ids() {
        let text = |text: &str| Value::Text(text.into());
        let of = |token: &[u8]| whole(&Value::of_literal(token, false, true));
        assert_eq!(
            (of(b"7"), of(b"7.0"), of(b"1e3"), of(b"'7'"), of(b"0.0")),
            (Some(7), Some(7), Some(1000), Some(7), Some(0))
        );
        assert_eq!((of(b"7.5"), of(b"1e300"), of(b"'7a'"), of(b"x'07'")), (None, None, None, None));
        assert_eq!(
            (whole(&text(" 12 ")), whole(&Value::Float(-0.0)), whole(&Value::Other)),
            (Some(12), Some(0), None)
        );
    }

    #[test]
    fn room_of_columns() {
        assert_eq!(
            ["tinyint(4)", "int(11) unsigned", "int"].map(room_of),
            [127, u64::from(u32::MAX), 2_147_483_647]
        );
        assert_eq!(["bigint(20)", "bigint unsigned"].map(room_of), [i64::MAX as u64, u64::MAX]);
        assert_eq!(room_of("mediumint(9)"), 8_388_607);
    }

    #[test]
    fn numbers_of_a_row() {
        let table = |row: &[Option<&[u8]>]| Table {
            columns: Vec::new(),
            rows: vec![row.iter().map(|value| value.map(<[u8]>::to_vec)).collect()],
        };
        assert_eq!(numbers(&table(&[Some(b"18446744073709551615"), Some(b"1")])), Some([u64::MAX, 1]));
        assert_eq!(numbers(&table(&[None, Some(b"-7")])), Some([0, 0]));
        assert_eq!((numbers(&table(&[Some(b"x"), None])), numbers(&Table::default())), (None, None));
    }
}
