//! One connection: it sends steps, and reads what comes back packet by packet.

use std::sync::LazyLock;

use crate::common::wire::{Connection, Error, Login, Result, Value, capability as cap, command};
use crate::step::{SLOTS, Step};

/// SERVER_MORE_RESULTS_EXISTS
const MORE_RESULTS: u16 = 0x0008;
/// SERVER_STATUS_CURSOR_EXISTS
const CURSOR_EXISTS: u16 = 0x0040;
/// SERVER_SESSION_STATE_CHANGED
const STATE_CHANGED: u16 = 0x4000;
/// SESSION_TRACK_SYSTEM_VARIABLES
const SYSTEM_VARIABLES: u8 = 0;
/// SERVER_QUERY_NO_INDEX_USED, _NO_GOOD_INDEX_USED, _WAS_SLOW: they depend on the moment. SERVER_STATUS_METADATA_CHANGED: a
/// link may have prepared the statement after the change.
const OF_THE_PLAN: u16 = 0x0c30;
/// What an EOF packet in front of rows is compared by: AUTOCOMMIT. The rest a server tells behind them, too; links have no
/// such packet, so Athena can't know there that a statement has begun a transaction.
const OF_THE_SESSION: u16 = 0x0002;

/// What a packet is, which its bytes alone do not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Ok,
    Error,
    /// The number of columns.
    Count,
    Definition,
    /// An EOF between columns and rows.
    Middle,
    Row,
    /// What ends rows: an OK, or an EOF for old clients.
    End,
    Prepared,
}

/// A packet without its header.
#[derive(Debug, Clone, PartialEq)]
pub struct Packet {
    pub role: Role,
    pub payload: Vec<u8>,
}

/// All packets of a reply, and the last status flags among them.
#[derive(Debug, Default, Clone)]
pub struct Reply {
    pub packets: Vec<Packet>,
    pub status: Option<u16>,
}

impl Reply {
    pub fn is_error(&self) -> bool {
        self.packets.last().is_some_and(|packet| packet.role == Role::Error)
    }
}

/// A connection.
pub struct Client {
    connection: Connection,
    deprecate_eof: bool,
    statements: [Option<u32>; SLOTS],
    /// Before each text, to tell it from others' on the server.
    mark: &'static [u8],
}

impl Client {
    pub fn login(port: u16, login: &Login, mark: &'static [u8]) -> Result<Self> {
        let mut connection = Connection::login(port, login)?;
        // A MariaDB counts FOUND_ROWS() on from what another connection has left.
        connection.run("SELECT 1")?;
        Ok(Self {
            connection,
            deprecate_eof: login.capabilities & cap::DEPRECATE_EOF != 0,
            statements: [None; SLOTS],
            mark,
        })
    }

    /// Whether the statement of this slot was prepared.
    pub fn has(&self, slot: usize) -> bool {
        self.statements[slot].is_some()
    }

    pub fn send(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Query(sql) => self.connection.send(command::QUERY, &[self.mark, sql].concat()),
            Step::InitDb(schema) => self.connection.send(command::INIT_DB, schema),
            Step::Ping => self.connection.send(command::PING, &[]),
            Step::ResetConnection => {
                self.statements = [None; SLOTS];
                self.connection.send(command::RESET_CONNECTION, &[])
            }
            Step::Prepare { slot, sql } => {
                if let Some(id) = self.statements[*slot].take() {
                    self.connection.send(command::STMT_CLOSE, &id.to_le_bytes())?;
                }
                self.connection.send(command::STMT_PREPARE, sql)
            }
            Step::Execute { slot, parameters, types, cursor } => {
                let arguments = execution(self.id(*slot), parameters, *types, *cursor);
                self.connection.send(command::STMT_EXECUTE, &arguments)
            }
            Step::LongData { slot, parameter, piece } => {
                let id = self.id(*slot).to_le_bytes();
                let arguments = [&id[..], &parameter.to_le_bytes(), piece].concat();
                self.connection.send(command::STMT_SEND_LONG_DATA, &arguments)
            }
            Step::Fetch { slot, rows } => {
                let arguments = [self.id(*slot).to_le_bytes(), rows.to_le_bytes()].concat();
                self.connection.send(command::STMT_FETCH, &arguments)
            }
            Step::Reset { slot } => self.connection.send(command::STMT_RESET, &self.id(*slot).to_le_bytes()),
            Step::Close { slot } => {
                let id = self.id(*slot);
                self.statements[*slot] = None;
                self.connection.send(command::STMT_CLOSE, &id.to_le_bytes())
            }
            Step::Reconnect => Ok(()),
        }
    }

    /// Reads the reply to a step that was sent.
    pub fn receive(&mut self, step: &Step) -> Result<Reply> {
        let mut reply = Reply::default();
        match step {
            Step::LongData { .. } | Step::Close { .. } | Step::Reconnect => {}
            Step::Prepare { slot, .. } => self.read_prepared(*slot, &mut reply)?,
            Step::Fetch { .. } => drop(self.read_rows(&mut reply)?),
            _ => self.read_results(&mut reply)?,
        }
        Ok(reply)
    }

    /// An id that no connection has, where nothing is prepared.
    fn id(&self, slot: usize) -> u32 {
        self.statements[slot].unwrap_or(0x7f00_0000)
    }

    fn packet(&mut self, role: Role, reply: &mut Reply) -> Result<u8> {
        let payload = self.connection.stream().read_payload()?;
        let first = *payload.first().ok_or_else(|| Error::Protocol("an empty packet".to_owned()))?;
        reply.packets.push(Packet { role, payload });
        Ok(first)
    }

    fn read_results(&mut self, reply: &mut Reply) -> Result<()> {
        loop {
            let first = self.packet(Role::Count, reply)?;
            let status = match first {
                0 => self.finish(Role::Ok, reply)?,
                0xff => return self.finish(Role::Error, reply).map(drop),
                0xfb => return Err(Error::Protocol("a file is asked for".to_owned())),
                // A result has fewer columns than that.
                count => match self.read_definitions(u16::from(count), reply)? {
                    Some(status) if status & CURSOR_EXISTS == 0 => self.read_rows(reply)?,
                    _ => return Ok(()),
                },
            };
            if status & MORE_RESULTS == 0 {
                return Ok(());
            }
        }
    }

    /// Gives the status of the EOF behind them, where there is one; `None` if an error ends the reply in its place, as it does
    /// where rows of a cursor can't be made.
    fn read_definitions(&mut self, count: u16, reply: &mut Reply) -> Result<Option<u16>> {
        for _ in 0..count {
            self.packet(Role::Definition, reply)?;
        }
        if count == 0 || self.deprecate_eof {
            return Ok(Some(0));
        }
        if self.packet(Role::Middle, reply)? == 0xff {
            self.finish(Role::Error, reply)?;
            return Ok(None);
        }
        let status = self.finish(Role::Middle, reply)?;
        if status & CURSOR_EXISTS != 0 {
            self.finish(Role::End, reply)?;
        }
        Ok(Some(status))
    }

    fn read_rows(&mut self, reply: &mut Reply) -> Result<u16> {
        loop {
            let first = self.packet(Role::Row, reply)?;
            let length = reply.packets.last().map_or(0, |packet| packet.payload.len());
            match first {
                0xff => return self.finish(Role::Error, reply),
                0xfe if length < 9 || (self.deprecate_eof && length < 0xff_ffff) => {
                    return self.finish(Role::End, reply);
                }
                _ => {}
            }
        }
    }

    fn read_prepared(&mut self, slot: usize, reply: &mut Reply) -> Result<()> {
        if self.packet(Role::Prepared, reply)? == 0xff {
            return self.finish(Role::Error, reply).map(drop);
        }
        let payload = &reply.packets[reply.packets.len() - 1].payload;
        let &[_, a, b, c, d, columns, more_columns, parameters, more_parameters, ..] = payload.as_slice()
        else {
            return Err(Error::Protocol(format!("{payload:?} answers a PREPARE")));
        };
        self.statements[slot] = Some(u32::from_le_bytes([a, b, c, d]));
        self.read_definitions(u16::from_le_bytes([parameters, more_parameters]), reply)?;
        self.read_definitions(u16::from_le_bytes([columns, more_columns]), reply)?;
        Ok(())
    }

    /// Says what the last packet is, and gives its status.
    fn finish(&mut self, role: Role, reply: &mut Reply) -> Result<u16> {
        let packet = reply.packets.last_mut().expect("one was read");
        packet.role = role;
        let Some(at) = status_place(packet) else { return Ok(0) };
        let status = u16::from_le_bytes([packet.payload[at], packet.payload[at + 1]]);
        reply.status = Some(status);
        Ok(status)
    }
}

/// Where a packet has its status flags.
fn status_place(packet: &Packet) -> Option<usize> {
    let payload = packet.payload.as_slice();
    match packet.role {
        Role::Ok | Role::End | Role::Middle if payload[0] == 0xfe && payload.len() == 5 => Some(3),
        Role::Ok | Role::End => {
            let affected = 1 + encoded_length(*payload.get(1)?);
            let id = affected + encoded_length(*payload.get(affected)?);
            (id + 2 <= payload.len()).then_some(id)
        }
        _ => None,
    }
}

/// Of a length-encoded integer with this first byte.
fn encoded_length(first: u8) -> usize {
    match first {
        0xfc => 3,
        0xfd => 4,
        0xfe => 9,
        _ => 1,
    }
}

/// A column definition ends in as many bytes about type, length and collation.
const FIXED_LEN: usize = 12;

/// Whether all is compared: also the types of columns that are NULL, which differ by what a link has had before, and what
/// trackers tell, which differs by what the link has not told yet.
fn exactly() -> bool {
    static EXACTLY: LazyLock<bool> = LazyLock::new(|| std::env::var_os("ATHENA_GATE_EXACTLY").is_some());
    *EXACTLY
}

/// The packet as it has to be equal for two clients of different connections.
pub fn comparable(packet: &Packet) -> Packet {
    let mut packet = packet.clone();
    if packet.role == Role::Prepared && packet.payload.len() > 5 {
        packet.payload[1..5].fill(0);
    }
    if let Some(at) = status_place(&packet) {
        let mask = if packet.role == Role::Middle { OF_THE_SESSION } else { !OF_THE_PLAN };
        let status = u16::from_le_bytes([packet.payload[at], packet.payload[at + 1]]) & mask;
        packet.payload[at..at + 2].copy_from_slice(&status.to_le_bytes());
        if packet.role == Role::Middle {
            packet.payload[1..3].fill(0);
        } else if status & STATE_CHANGED != 0 && packet.payload.len() <= at + 4 && !exactly() {
            packet.payload[at..at + 2].copy_from_slice(&(status & !STATE_CHANGED).to_le_bytes());
        } else if status & STATE_CHANGED != 0 && packet.payload.len() >= at + 4 {
            let (head, mut rest) = packet.payload.split_at(at + 4);
            let told = take_string(&mut rest).and_then(|info| Some((info.to_vec(), trackers(rest)?)));
            let mut head = head.to_vec();
            // A MySQL may raise the flag and have nothing to tell.
            match told.filter(|(info, trackers)| !info.is_empty() || !trackers.is_empty()) {
                Some((info, trackers)) if exactly() => packet.payload = [head, info, trackers].concat(),
                Some((info, _)) => {
                    head[at..at + 2].copy_from_slice(&(status & !STATE_CHANGED).to_le_bytes());
                    let length = info.first().map(|_| info.len() as u8);
                    packet.payload = head.into_iter().chain(length).chain(info).collect();
                }
                None => {
                    head[at..at + 2].copy_from_slice(&(status & !STATE_CHANGED).to_le_bytes());
                    packet.payload = head;
                }
            }
        }
    }
    if packet.role == Role::Definition && !exactly() {
        packet.payload.truncate(packet.payload.len().saturating_sub(FIXED_LEN));
    }
    match packet.role {
        Role::Error => packet.payload = without_accidents(&packet.payload),
        Role::Row => {
            LISTED_WITH_ID.iter().for_each(|begin| forget_listed_id(&mut packet.payload, begin));
            forget_listed_quote(&mut packet.payload);
        }
        _ => {}
    }
    packet
}

/// Trackers in an order of their own: a server tells of variables in that of a table by hashes.
fn trackers(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut blob = take_string(&mut rest)?;
    let mut all = Vec::new();
    while let Some((kind, following)) = blob.split_first() {
        blob = following;
        let mut data = take_string(&mut blob)?;
        if *kind != SYSTEM_VARIABLES {
            all.push([&[*kind], data].concat());
            continue;
        }
        // MariaDB puts several into one.
        while !data.is_empty() {
            let (name, value) = (take_string(&mut data)?, take_string(&mut data)?);
            all.push([&[*kind], name, b" = ", value].concat());
        }
    }
    all.sort();
    Some(all.join(&b", "[..]))
}

/// A string with its length before it.
fn take_string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (first, after) = rest.split_first()?;
    let (length, after) = match first {
        0xfc => {
            let (length, after) = after.split_first_chunk::<2>()?;
            (usize::from(u16::from_le_bytes(*length)), after)
        }
        small => (usize::from(*small), after),
    };
    let (text, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(text)
}

/// An error about a statement that is not there, or has no cursor, names its id. Where a lock is missing for a table and for
/// that of its trigger, a MySQL says one or the other, by what it has in its caches. At which row a statement fails goes by
/// the order in which the server reads the table, which it chooses by what it guesses of it.
fn without_accidents(payload: &[u8]) -> Vec<u8> {
    const TABLE_NOT_LOCKED_FOR_WRITE: u16 = 1099;
    const TABLE_NOT_LOCKED: u16 = 1100;
    const UNKNOWN_STATEMENT: u16 = 1243;
    const NO_CURSOR: u16 = 1421;
    match payload {
        [_, low, high, ..] if u16::from_le_bytes([*low, *high]) == TABLE_NOT_LOCKED_FOR_WRITE => {
            [&[0xff], &TABLE_NOT_LOCKED.to_le_bytes()[..]].concat()
        }
        [_, low, high, ..] if u16::from_le_bytes([*low, *high]) == TABLE_NOT_LOCKED => payload[..3].to_vec(),
        [_, low, high, message @ ..]
            if [UNKNOWN_STATEMENT, NO_CURSOR].contains(&u16::from_le_bytes([*low, *high])) =>
        {
            let kept = message.iter().filter(|byte| !byte.is_ascii_digit());
            [0xff, *low, *high].iter().chain(kept).copied().collect()
        }
        other => {
            const ROW: &[u8] = b" at row ";
            let rows = other.windows(ROW.len()).position(|bytes| bytes == ROW);
            rows.map_or_else(|| other.to_vec(), |at| other[..at].to_vec())
        }
    }
}

/// How those errors begin in a list of errors, in front of the id.
const LISTED_WITH_ID: [&[u8]; 2] = [b"The statement (", b"Unknown prepared statement handler ("];

/// The same where it is a value of a row, which has its length in the byte before it.
fn forget_listed_id(row: &mut Vec<u8>, begin: &[u8]) {
    let Some(at) = row.windows(begin.len()).position(|bytes| bytes == begin) else { return };
    let id = at + begin.len();
    let digits = row[id..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if row.get(id + digits) != Some(&b')') {
        // The name of a statement.
        return;
    }
    row.drain(id..id + digits);
    if let Some(length) = at.checked_sub(1).and_then(|before| row.get_mut(before)) {
        *length = length.wrapping_sub(u8::try_from(digits).expect("a number of 32 bits"));
    }
}

/// How errors begin in a list of errors that quote a text or a value. Letters that the character set lacks in which the list
/// is read are given as numbers; who reads it later, in another one or by GET DIAGNOSTICS, finds those.
const LISTED_WITH_QUOTE: [&[u8]; 2] = [b"You have an error in your SQL syntax", b"Incorrect string value: "];

/// The row up to such a message, and to its length.
fn forget_listed_quote(row: &mut Vec<u8>) {
    const LENGTH: usize = 3;
    for begin in LISTED_WITH_QUOTE {
        if let Some(at) = row.windows(begin.len()).position(|bytes| bytes == begin) {
            row.truncate(at.saturating_sub(LENGTH));
        }
    }
}

/// The arguments of COM_STMT_EXECUTE.
fn execution(id: u32, parameters: &[Value], types: bool, cursor: bool) -> Vec<u8> {
    let mut payload = id.to_le_bytes().to_vec();
    payload.push(u8::from(cursor));
    payload.extend_from_slice(&1_u32.to_le_bytes());
    if parameters.is_empty() {
        return payload;
    }
    let mut nulls = vec![0_u8; parameters.len().div_ceil(8)];
    for (index, _) in parameters.iter().enumerate().filter(|(_, value)| **value == Value::Null) {
        nulls[index / 8] |= 1 << (index % 8);
    }
    payload.extend_from_slice(&nulls);
    payload.push(u8::from(types));
    if types {
        payload.extend(parameters.iter().flat_map(|value| [parameter_type(value), 0]));
    }
    for value in parameters {
        match value {
            Value::Null | Value::LongData => {}
            Value::Int(value) => payload.extend_from_slice(&value.to_le_bytes()),
            Value::Double(value) => payload.extend_from_slice(&value.to_le_bytes()),
            Value::Bytes(bytes) => {
                payload.push(u8::try_from(bytes.len()).expect("short"));
                payload.extend_from_slice(bytes);
            }
        }
    }
    payload
}

/// MYSQL_TYPE_…
fn parameter_type(value: &Value) -> u8 {
    match value {
        Value::Null => 6,
        Value::Int(_) => 8,
        Value::Double(_) => 5,
        Value::Bytes(_) => 253,
        Value::LongData => 251,
    }
}

#[test]
fn rows_that_list_errors_are_compared_without_ids() {
    // As SHOW ERRORS has them: the level, the code, the message, each with its length.
    let row = |message: &str| {
        let values =
            ["Error", "1421", message].map(|value| [&[value.len() as u8], value.as_bytes()].concat());
        comparable(&Packet { role: Role::Row, payload: values.concat() })
    };
    assert_eq!(row("The statement (156) has no open cursor."), row("The statement (7) has no open cursor."));
    let unknown = |id: &str| row(&format!("Unknown prepared statement handler ({id}) given to EXECUTE"));
    assert_eq!(unknown("156"), unknown("7"));
    assert_ne!(unknown("s156"), unknown("s7"), "names are the session's own");
    assert_ne!(row("Unknown table '156'"), row("Unknown table '7'"));
}
