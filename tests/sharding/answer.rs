//! Whole answers, with everything that a client can see of their columns.

use std::fmt;

use super::common::wire::{Connection, Error, Result, Value, command};

/// Rows that are shown where it is their order that differs.
const SHOWN: usize = 30;

/// A column as the protocol defines it, but for the schema's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub table: String,
    pub org_table: String,
    pub name: String,
    pub org_name: String,
    pub charset: u16,
    pub length: u32,
    pub kind: u8,
    pub flags: u16,
    pub decimals: u8,
}

/// What a server says to a statement.
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    Rows { columns: Vec<Column>, rows: Vec<Vec<u8>> },
    Ok { affected_rows: u64, insert_id: u64, warnings: bool, info: Vec<u8> },
    Err { code: u16, state: String, message: String },
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows { columns, rows } => write!(f, "{} columns, {} rows", columns.len(), rows.len()),
            Self::Ok { affected_rows, insert_id, warnings, info } => {
                write!(f, "OK {affected_rows} {insert_id} {warnings} {:?}", String::from_utf8_lossy(info))
            }
            Self::Err { code, state, message } => write!(f, "ERROR {code} ({state}): {message}"),
        }
    }
}

impl Answer {
    /// Says a text.
    pub fn of(client: &mut Connection, sql: &str) -> Result<Self> {
        client.send(command::QUERY, sql.as_bytes())?;
        Self::read(client)
    }

    /// Prepares a text, and executes it with these parameters.
    pub fn of_prepared(client: &mut Connection, sql: &str, parameters: &[Value]) -> Result<Self> {
        let statement = match client.prepare(sql) {
            Ok(statement) => statement,
            Err(Error::Server { code, state, message }) => return Ok(Self::Err { code, state, message }),
            Err(error) => return Err(error),
        };
        client.send(command::STMT_EXECUTE, &statement.execution(parameters))?;
        let answer = Self::read(client)?;
        client.close(&statement)?;
        Ok(answer)
    }

    /// Why Athena does not say it to a server.
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Self::Err { code: 1235, message, .. } => Some(message),
            _ => None,
        }
    }

    /// Whether it is a MySQL's error about a value that it can't compare, which depends on its plan (docs/SHARDING.md).
    pub fn complains(&self) -> bool {
        matches!(self, Self::Err { code: 1525, .. })
    }

    fn read(client: &mut Connection) -> Result<Self> {
        let first = client.stream().read_payload()?;
        match first.first() {
            Some(0x00) => {
                let mut bytes = Bytes(&first[1..]);
                let (affected_rows, insert_id) = (bytes.number(), bytes.number());
                let _status = bytes.fixed(2);
                let warnings = bytes.fixed(2) > 0;
                let mut info = if bytes.0.is_empty() { Vec::new() } else { bytes.string().to_vec() };
                // Each shard warns of what it sees.
                if let Some(at) = info.windows(9).position(|part| part == b"Warnings:") {
                    info.truncate(at);
                }
                Ok(Self::Ok { affected_rows, insert_id, warnings, info })
            }
            Some(0xFF) => Ok(error(&first)),
            _ => Self::read_rows(client, Bytes(&first).number()),
        }
    }

    fn read_rows(client: &mut Connection, count: u64) -> Result<Self> {
        let columns =
            (0..count).map(|_| Ok(column(&client.stream().read_payload()?))).collect::<Result<Vec<_>>>()?;
        let mut rows = Vec::new();
        loop {
            let payload = client.stream().read_payload()?;
            match payload.first() {
                Some(0xFE) if payload.len() < 0xFF_FFFF => {
                    return Ok(Self::Rows { columns, rows });
                }
                Some(0xFF) => return Ok(error(&payload)),
                _ => rows.push(payload),
            }
        }
    }
}

fn error(payload: &[u8]) -> Answer {
    let code = u16::from_le_bytes([payload[1], payload[2]]);
    let state = String::from_utf8_lossy(&payload[4..9]).into_owned();
    Answer::Err { code, state, message: String::from_utf8_lossy(&payload[9..]).into_owned() }
}

fn column(payload: &[u8]) -> Column {
    let mut bytes = Bytes(payload);
    let mut text = || String::from_utf8_lossy(bytes.string()).into_owned();
    let (_catalog, _schema) = (text(), text());
    let (table, org_table, name, org_name) = (text(), text(), text(), text());
    bytes.number();
    Column {
        table,
        org_table,
        name,
        org_name,
        charset: bytes.fixed(2) as u16,
        length: bytes.fixed(4) as u32,
        kind: bytes.fixed(1) as u8,
        // Those above are the server's own, and BINARY of a number and PRI_KEY tell of a temporary table.
        flags: bytes.fixed(2) as u16 & (0x3FFF - 0x82),
        decimals: bytes.fixed(1) as u8,
    }
}

/// Reads what has been checked by the framing.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn fixed(&mut self, length: usize) -> u64 {
        self.take(length).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn number(&mut self) -> u64 {
        match self.fixed(1) {
            0xFC => self.fixed(2),
            0xFD => self.fixed(3),
            0xFE => self.fixed(8),
            small => small,
        }
    }

    fn string(&mut self) -> &'a [u8] {
        let length = self.number();
        self.take(usize::try_from(length).expect("a length"))
    }
}

/// Both answers are the same; else what differs. Rows without an order are compared as sets, and `folded` ones without
/// regard to case. How many warnings a read has depends
/// on how the server goes about it, so these are not compared.
pub fn difference(ours: &Answer, theirs: &Answer, ordered: bool, folded: bool) -> Option<String> {
    match (ours, theirs) {
        (Answer::Rows { columns, rows }, Answer::Rows { columns: their_columns, rows: their_rows }) => {
            // Of groups these tell of a temporary table, too: a flag, the decimals of a text, an expression as a column of its own.
            const NO_DEFAULT: u16 = 0x1000;
            const TEXTS: std::ops::RangeInclusive<u8> = 249..=254;
            let plain = |column: &Column| Column {
                flags: column.flags & !if folded { NO_DEFAULT } else { 0 },
                org_name: if folded && column.org_table.is_empty() {
                    String::new()
                } else {
                    column.org_name.clone()
                },
                decimals: if folded && TEXTS.contains(&column.kind) { 0 } else { column.decimals },
                ..column.clone()
            };
            if !columns.iter().map(plain).eq(their_columns.iter().map(plain)) {
                let pairs = columns.iter().zip(their_columns).filter(|(one, other)| one != other);
                return Some(format!("columns: {:?}", pairs.collect::<Vec<_>>()));
            }
            let (mut rows, mut their_rows) = (rows.clone(), their_rows.clone());
            if folded {
                rows.iter_mut().chain(&mut their_rows).for_each(|row| row.make_ascii_lowercase());
            }
            if !ordered {
                rows.sort();
                their_rows.sort();
            }
            if rows != their_rows {
                // Those that the other does not have, or else in which order they are.
                let beside = |rows: &[Vec<u8>], others: &[Vec<u8>]| {
                    let mut others = others.to_vec();
                    let text = |row: &Vec<u8>| String::from_utf8_lossy(row).into_owned();
                    let alone = |row: &&Vec<u8>| match others.iter().position(|other| other == *row) {
                        Some(at) => {
                            others.swap_remove(at);
                            false
                        }
                        None => true,
                    };
                    let alone: Vec<_> = rows.iter().filter(alone).map(text).collect();
                    if alone.is_empty() { rows.iter().take(SHOWN).map(text).collect() } else { alone }
                };
                let (ours, theirs) = (beside(&rows, &their_rows), beside(&their_rows, &rows));
                return Some(format!("rows: {ours:?}\nwithout Athena: {theirs:?}"));
            }
            None
        }
        (Answer::Err { code, state, .. }, Answer::Err { code: their_code, state: their_state, .. })
            if code == their_code && state == their_state =>
        {
            None
        }
        _ if ours == theirs => None,
        _ => Some(format!("{ours:?}\nwithout Athena: {theirs:?}")),
    }
}

/// The answer is no error.
pub fn must(answer: Result<Answer>) -> Result<Answer> {
    match answer? {
        Answer::Err { code, state, message } => Err(Error::Server { code, state, message }),
        good => Ok(good),
    }
}
