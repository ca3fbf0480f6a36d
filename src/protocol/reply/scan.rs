//! The machine that follows a reply.

use std::ops::Range;

use thiserror::Error;

use super::edits::Edits;
use super::renames::Renames;
use crate::protocol::buf::{Malformed, Reader};
use crate::protocol::capability::{Capabilities, StatusFlags};
use crate::protocol::local_infile::LocalFile;
use crate::protocol::packet::{HEADER_LEN, Header};
use crate::protocol::response::{EofPacket, ErrPacket, OkPacket};
use crate::protocol::statement::{PrepareOk, set_statement_id};
use crate::protocol::tracked::Tracked;

/// The longest packet that is held back until it is complete: an OK with all the trackers of a session is far below.
const MAX_CONTROL_PACKET: usize = 1 << 20;

/// The first byte of a request for a local file, where a column count could stand.
const LOCAL_INFILE: u8 = 0xFB;

/// The code of an ERR packet that is none: a report of MariaDB's of how far the statement has come.
const PROGRESS: u16 = 0xFFFF;

/// Bytes of a real EOF packet.
const EOF_LEN: usize = 5;

/// Who wants to know what the packets said that are not rows.
pub trait Observer {
    /// A result ended well. Comes once for each result of the reply; `rows` is how many rows it had, if it was a set of them.
    fn ok(&mut self, ok: &OkPacket<'_>, rows: Option<u64>);
    /// The reply ended in an error.
    fn err(&mut self, err: &ErrPacket);
    /// A statement was prepared. Returns the id under which the client shall know it.
    fn prepared(&mut self, ok: &PrepareOk) -> u32;
}

/// A backend that does not keep to the protocol: the link can't be used any more, the reply not be followed further,
/// and nothing of the chunk goes to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReplyError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("a packet of {0} bytes where an OK, ERR or column count was due")]
    TooLong(usize),
    #[error("the server asked for a local file, which was not offered")]
    LocalInfile,
    #[error("bytes after the end of the reply")]
    BeyondEnd,
}

/// What became of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scanned {
    /// Bytes of the chunk, from its start and before the edits, that go to the client now. The rest is held back.
    pub relay: usize,
    /// The reply is complete.
    pub done: bool,
    /// The server waits for a file of the client's, and says nothing more until it has it: see [`Reply::local_file`].
    pub awaits_file: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Awaits the first packet of a result.
    First,
    /// Awaits `left` column definitions.
    Columns {
        left: u64,
    },
    /// Awaits the first row, or the packet that ends the result: until then the EOF packet after the columns, which
    /// the client wants, is owed. Where the execution opened a cursor no row comes, and the one packet is both ends.
    AfterColumns,
    /// Awaits rows, or the packet that ends them.
    Rows,
    PrepareFirst,
    /// Awaits `left` definitions of a prepared statement, then `after` more.
    Definitions {
        left: u64,
        after: u64,
    },
    /// Awaits one packet of text.
    Text,
    /// The client has been asked for a file; behind it the result ends.
    LocalFile,
    Done,
}

/// How much of a packet must be there before it can go on.
enum Needed {
    Header,
    FirstByte,
    Whole,
}

/// One reply on its way from a backend to a client.
#[derive(Debug)]
pub struct Reply {
    state: State,
    /// What the client can take.
    client: Capabilities,
    /// Server status for the EOF packets that the backend does not send.
    status: StatusFlags,
    /// Rows of the current result so far.
    rows: u64,
    /// By how much the client's sequence ids are ahead of the backend's.
    shift: u8,
    /// Sequence id of the last packet as the client sees it.
    seq: u8,
    /// The client asked for a cursor. Otherwise a status that tells of one means a cursor within a stored program.
    cursor: bool,
    /// Bytes left of the current packet that pass without being looked at.
    passing: Option<usize>,
    /// The current packet is a full 16 MiB piece: the next header continues it.
    continues: bool,
    /// The start of a packet that can't go on yet.
    held: Vec<u8>,
    sent: Sent,
    /// The number of warnings to tell the client, where those that the packets count are of another session's statement.
    warnings: Option<u16>,
    /// The changes that the client has asked to be told of; a link reports more. `None` for all that it reports.
    tracked: Option<Tracked>,
    /// What tables are called where the client reads of them.
    renames: Renames,
}

/// Where the client stands after the chunks that were let through.
#[derive(Debug, Clone, Copy)]
struct Sent {
    seq: u8,
    mid_packet: bool,
}

impl Reply {
    /// The reply to a query. `status` is the session's last known server status.
    pub fn to_query(client: Capabilities, status: StatusFlags) -> Self {
        Self::new(State::First, client, status)
    }

    /// The reply to COM_STMT_EXECUTE, which may have asked for a `cursor`.
    pub fn to_execute(client: Capabilities, status: StatusFlags, cursor: bool) -> Self {
        Self { cursor, ..Self::new(State::First, client, status) }
    }

    /// The reply to COM_STMT_PREPARE.
    pub fn to_prepare(client: Capabilities, status: StatusFlags) -> Self {
        Self::new(State::PrepareFirst, client, status)
    }

    /// The reply to COM_FIELD_LIST or COM_STMT_FETCH: definitions or rows with nothing in front.
    pub fn to_field_list(client: Capabilities, status: StatusFlags) -> Self {
        Self::new(State::Rows, client, status)
    }

    /// The events of a binary log. Each begins with 0x00, as no end of rows does.
    pub fn to_binlog_dump(client: Capabilities, status: StatusFlags) -> Self {
        Self::new(State::Rows, client, status)
    }

    /// A reply of one packet of text: COM_STATISTICS.
    pub fn to_statistics(client: Capabilities, status: StatusFlags) -> Self {
        Self::new(State::Text, client, status)
    }

    fn new(state: State, client: Capabilities, status: StatusFlags) -> Self {
        Reply {
            state,
            client,
            status,
            rows: 0,
            shift: 0,
            seq: 0,
            cursor: false,
            passing: None,
            continues: false,
            held: Vec::new(),
            sent: Sent { seq: 0, mid_packet: false },
            warnings: None,
            tracked: None,
            renames: Renames::default(),
        }
    }

    /// Tables are called so in columns and errors.
    pub fn rename(&mut self, renames: Renames) {
        self.renames = renames;
    }

    /// The client is told of these changes only.
    pub fn track(&mut self, tracked: Tracked) {
        self.tracked = Some(tracked);
    }

    /// For a command that leaves the warnings of the statement before as they are, and counts them all the same, as MySQL
    /// does: they may be another session's. The client is told `warnings` instead.
    pub fn with_warnings(self, warnings: u16) -> Self {
        Reply { warnings: Some(warnings), ..self }
    }

    /// The sequence id with which a packet of our own would follow what the client has got.
    pub fn next_seq(&self) -> u8 {
        self.sent.seq.wrapping_add(1)
    }

    /// Whether the client has got a packet in part: then no packet of our own can follow.
    pub fn mid_packet(&self) -> bool {
        self.sent.mid_packet
    }

    /// Looks through the next chunk. Sequence ids are changed in place, everything else is left to `edits`, which come
    /// in cleared.
    pub fn scan(
        &mut self,
        chunk: &mut [u8],
        edits: &mut Edits,
        observer: &mut dyn Observer,
    ) -> Result<Scanned, ReplyError> {
        let relay = self.walk(chunk, edits, observer)?;
        self.sent = Sent { seq: self.seq, mid_packet: self.passing.is_some() || self.continues };
        let (done, awaits_file) = (self.state == State::Done, self.state == State::LocalFile);
        Ok(Scanned { relay, done, awaits_file })
    }

    /// The file that the client sends now.
    pub fn local_file(&self) -> LocalFile {
        LocalFile::new(self.next_seq(), self.shift)
    }

    /// The file is there: the reply goes on behind it.
    pub fn resume(&mut self, file: &LocalFile) {
        self.state = State::First;
        self.seq = file.next_seq().wrapping_sub(1);
        self.sent = Sent { seq: self.seq, mid_packet: false };
    }

    /// Goes from packet to packet, and returns how many bytes of the chunk go on.
    fn walk(
        &mut self,
        chunk: &mut [u8],
        edits: &mut Edits,
        observer: &mut dyn Observer,
    ) -> Result<usize, ReplyError> {
        let mut at = 0;
        loop {
            if let Some(left) = self.passing {
                let passed = left.min(chunk.len() - at);
                at += passed;
                self.passing = Some(left - passed);
                if passed < left {
                    return Ok(at);
                }
                self.passing = None;
                self.packet_passed(at, edits);
            }
            if self.state == State::Rows && !self.continues && self.held.is_empty() {
                at += self.rows(chunk.get_mut(at..).unwrap_or_default());
            }
            if at == chunk.len() {
                return Ok(at);
            }
            if matches!(self.state, State::Done | State::LocalFile) {
                return Err(ReplyError::BeyondEnd);
            }
            if !self.packet(chunk, &mut at, edits, observer)? {
                return Ok(at);
            }
        }
    }

    /// Passes over the rows that `rest` begins with, whole ones that need no closer look: what a big result is made of.
    /// Returns how many bytes they are.
    fn rows(&mut self, rest: &mut [u8]) -> usize {
        let len = rest.len();
        let mut at = 0;
        while let Some([a, b, c, seq, first]) = rest.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            let header = Header::parse([*a, *b, *c, *seq]);
            let end = at + HEADER_LEN + header.len as usize;
            // An empty packet has no first byte; what stands there is the next packet's.
            let plain = *first < OkPacket::EOF_HEADER && header.len > 0 && !header.continues();
            if !plain || end > len {
                break;
            }
            self.seq = header.seq.wrapping_add(self.shift);
            if self.shift != 0 {
                *seq = self.seq;
            }
            self.rows += 1;
            at = end;
        }
        at
    }

    /// Handles the packet that begins at `at` (or in what is held back), and moves `at` on. False if too little of it
    /// is there: then it is held back.
    fn packet(
        &mut self,
        chunk: &mut [u8],
        at: &mut usize,
        edits: &mut Edits,
        observer: &mut dyn Observer,
    ) -> Result<bool, ReplyError> {
        let mut held = std::mem::take(&mut self.held);
        let rest = chunk.get_mut(*at..).unwrap_or_default();
        let Some(needed) = self.needed_bytes(&held, rest)? else {
            held.extend_from_slice(rest);
            self.held = held;
            return Ok(false);
        };
        // What is held back is never more than what is needed: it was too little before.
        let (fresh, _) = rest.split_at_mut(needed - held.len());
        let range = *at..*at + fresh.len();
        *at = range.end;
        if held.is_empty() {
            self.handle(fresh, range, edits, observer)?;
        } else {
            held.extend_from_slice(fresh);
            if !self.handle(&mut held, range.clone(), edits, observer)? {
                edits.replace(range, |out| out.extend_from_slice(&held));
            }
            held.clear();
            self.held = held;
        }
        Ok(true)
    }

    /// How many bytes the packet must have that begins in `held` and goes on in `rest`; `None` if they aren't there.
    fn needed_bytes(&self, held: &[u8], rest: &[u8]) -> Result<Option<usize>, ReplyError> {
        let byte = |i: usize| held.get(i).or_else(|| rest.get(i.wrapping_sub(held.len()))).copied();
        let (Some(a), Some(b), Some(c), Some(seq)) = (byte(0), byte(1), byte(2), byte(3)) else {
            return Ok(None);
        };
        let header = Header::parse([a, b, c, seq]);
        let first = byte(HEADER_LEN);
        let needed = match self.needed(header, first) {
            Needed::Header => HEADER_LEN,
            Needed::FirstByte => HEADER_LEN + 1,
            Needed::Whole if header.len as usize > MAX_CONTROL_PACKET => {
                return Err(ReplyError::TooLong(header.len as usize));
            }
            Needed::Whole => HEADER_LEN + header.len as usize,
        };
        Ok(Some(needed).filter(|needed| *needed <= held.len() + rest.len()))
    }

    fn needed(&self, header: Header, first: Option<u8>) -> Needed {
        if self.continues {
            return Needed::Header;
        }
        if self.awaits_control() {
            return Needed::Whole;
        }
        // An empty packet has no first byte; what stands there is the next packet's. And what begins a packet of
        // 16 MiB is a value, whatever it looks like.
        if header.len == 0 || header.continues() {
            return Needed::Header;
        }
        match first {
            None => Needed::FirstByte,
            Some(first) if self.is_control(first) => Needed::Whole,
            Some(_) => Needed::Header,
        }
    }

    /// Whether the next packet is looked at as a whole, whatever it begins with.
    fn awaits_control(&self) -> bool {
        matches!(self.state, State::First | State::PrepareFirst)
    }

    /// Whether a packet that begins so is looked at as a whole.
    fn is_control(&self, first: u8) -> bool {
        match self.state {
            State::First | State::PrepareFirst => true,
            State::AfterColumns | State::Rows => {
                matches!(first, OkPacket::EOF_HEADER | ErrPacket::HEADER)
            }
            // Definitions begin with the length of a name, and text is ASCII.
            State::Columns { .. } | State::Definitions { .. } if !self.renames.is_empty() => true,
            State::Columns { .. } | State::Definitions { .. } | State::Text => first == ErrPacket::HEADER,
            State::LocalFile | State::Done => false,
        }
    }

    /// Handles a packet of which `packet` has what is needed, standing at `range` of the chunk; the other bytes pass.
    /// True if another packet has taken its place among the edits.
    fn handle(
        &mut self,
        packet: &mut [u8],
        range: Range<usize>,
        edits: &mut Edits,
        observer: &mut dyn Observer,
    ) -> Result<bool, ReplyError> {
        let Some((head, payload)) = packet.split_first_chunk_mut::<HEADER_LEN>() else { return Ok(false) };
        if self.state == State::AfterColumns {
            self.state = State::Rows;
            // Rows for a cursor are made before the client is told of one: an error stands in the place of that packet.
            let failed = payload.first() == Some(&ErrPacket::HEADER);
            if !(self.cursor && (failed || opens_cursor(payload))) {
                self.insert_eof(range.start, edits);
            }
        }
        let mut header = Header::parse(*head);
        header.seq = header.seq.wrapping_add(self.shift);
        *head = header.encode();
        self.seq = header.seq;
        let first = payload.first().copied();
        let begins = !self.continues;
        let control = begins && (self.awaits_control() || first.is_some_and(|first| self.is_control(first)));
        self.continues = header.continues();
        if control {
            return self.control(payload, range, edits, observer);
        }
        self.rows += u64::from(begins && self.state == State::Rows);
        self.passing = Some((header.len as usize).saturating_sub(payload.len()));
        Ok(false)
    }

    /// A packet that is looked at as a whole. True if it is replaced.
    fn control(
        &mut self,
        payload: &mut [u8],
        range: Range<usize>,
        edits: &mut Edits,
        observer: &mut dyn Observer,
    ) -> Result<bool, ReplyError> {
        let first = payload.first().copied();
        if first == Some(ErrPacket::HEADER) {
            let mut err = ErrPacket::parse(payload)?;
            if err.code == PROGRESS && self.client.contains(Capabilities::MARIADB_PROGRESS) {
                return Ok(false);
            }
            let renamed = self.renames.message(&err.message);
            let is_renamed = renamed.is_some();
            err.message = renamed.unwrap_or(err.message);
            observer.err(&err);
            self.state = State::Done;
            if is_renamed {
                edits.packet(range, self.seq, &err.encode(true));
            }
            return Ok(is_renamed);
        }
        match (self.state, first) {
            (State::Columns { .. } | State::Definitions { .. }, _) => {
                let renamed = self.renames.column(payload)?;
                edits.packet(range.clone(), self.seq, renamed.as_deref().unwrap_or(payload));
                // What it adds comes behind this one.
                self.packet_passed(range.end, edits);
                Ok(true)
            }
            (State::PrepareFirst, _) => {
                let ok = PrepareOk::parse(payload)?;
                set_statement_id(payload, observer.prepared(&ok))?;
                self.state = match (u64::from(ok.params), u64::from(ok.columns)) {
                    (0, 0) => State::Done,
                    (0, left) => State::Definitions { left, after: 0 },
                    (left, after) => State::Definitions { left, after },
                };
                Ok(false)
            }
            (State::First, Some(LOCAL_INFILE)) if self.client.contains(Capabilities::LOCAL_FILES) => {
                self.state = State::LocalFile;
                Ok(false)
            }
            (State::First, Some(LOCAL_INFILE)) => Err(ReplyError::LocalInfile),
            // 0xFE is the OK that stands for an EOF packet, as after COM_SET_OPTION: no table has 16 million columns.
            (State::First, Some(0x01..OkPacket::EOF_HEADER)) => {
                self.state = State::Columns { left: column_count(payload)? };
                Ok(false)
            }
            _ => self.end_of_result(payload, range, edits, observer),
        }
    }

    /// An OK packet, or what ends rows. True if it is replaced.
    fn end_of_result(
        &mut self,
        payload: &[u8],
        range: Range<usize>,
        edits: &mut Edits,
        observer: &mut dyn Observer,
    ) -> Result<bool, ReplyError> {
        let mut ok = parse_end(payload)?;
        observer.ok(&ok, (ok.header == OkPacket::EOF_HEADER).then_some(self.rows));
        self.rows = 0;
        self.status = ok.status;
        let counted = ok.warnings;
        ok.warnings = self.warnings.unwrap_or(counted);
        let more = ok.status.contains(StatusFlags::MORE_RESULTS_EXISTS);
        self.state = if more { State::First } else { State::Done };
        if is_eof(payload) {
            return Ok(false);
        }
        if ok.header == OkPacket::EOF_HEADER && !self.client.contains(Capabilities::DEPRECATE_EOF) {
            let eof = EofPacket { warnings: ok.warnings, status: ok.status }.encode();
            edits.packet(range, self.seq, &eof);
            return Ok(true);
        }
        if self.untracked(&ok) || ok.warnings != counted {
            let mut kept = Vec::new();
            if let Some(tracked) = &self.tracked
                && tracked.keep(ok.session_state, &mut kept).is_ok()
            {
                ok.session_state = &kept;
            }
            edits.packet(range, self.seq, &ok.encode(self.client));
            return Ok(true);
        }
        Ok(false)
    }

    /// Whether an OK packet reports changes that the client has not asked for. One that can't be read is left as it is.
    fn untracked(&self, ok: &OkPacket<'_>) -> bool {
        if !ok.status.contains(StatusFlags::SESSION_STATE_CHANGED) {
            return false;
        }
        let changes = |tracked: &Tracked| match ok.session_state.is_empty() {
            true => !tracked.is_everything(),
            false => tracked.changes(ok.session_state).unwrap_or(false),
        };
        !self.client.contains(Capabilities::SESSION_TRACK) || self.tracked.as_ref().is_some_and(changes)
    }

    /// A packet that was not looked at has passed, up to `at`.
    fn packet_passed(&mut self, at: usize, edits: &mut Edits) {
        if self.continues {
            return;
        }
        match &mut self.state {
            State::Columns { left } => {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    let deprecated = self.client.contains(Capabilities::DEPRECATE_EOF);
                    self.state = if deprecated { State::Rows } else { State::AfterColumns };
                }
            }
            State::Definitions { left, after } => {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.state = match std::mem::take(after) {
                        0 => State::Done,
                        columns => State::Definitions { left: columns, after: 0 },
                    };
                    self.insert_eof(at, edits);
                }
            }
            State::Text => self.state = State::Done,
            _ => {}
        }
    }

    /// Definitions end here: with an EOF packet for clients that want one.
    fn insert_eof(&mut self, at: usize, edits: &mut Edits) {
        if self.client.contains(Capabilities::DEPRECATE_EOF) {
            return;
        }
        self.shift = self.shift.wrapping_add(1);
        self.seq = self.seq.wrapping_add(1);
        let eof = EofPacket { warnings: 0, status: self.status & StatusFlags::OF_THE_SESSION }.encode();
        edits.packet(at..at, self.seq, &eof);
    }
}

fn column_count(payload: &[u8]) -> Result<u64, Malformed> {
    let mut reader = Reader::new(payload);
    match reader.lenenc_int()? {
        count @ 1.. if reader.is_empty() => Ok(count),
        _ => Err(Malformed::Field("column count")),
    }
}

/// A real EOF packet, from a backend that does not do as agreed: an OK packet is longer.
fn is_eof(payload: &[u8]) -> bool {
    payload.len() == EOF_LEN && payload.first() == Some(&EofPacket::HEADER)
}

/// What ends a result: an OK packet, or a real EOF packet as if it were one.
fn parse_end(payload: &[u8]) -> Result<OkPacket<'_>, Malformed> {
    if is_eof(payload) {
        let eof = EofPacket::parse(payload)?;
        return Ok(OkPacket { status: eof.status, warnings: eof.warnings, ..OkPacket::END_OF_ROWS });
    }
    OkPacket::parse(payload, Capabilities::SESSION_TRACK)
}

/// Whether what follows the columns says that the rows are to be fetched through a cursor. That of a result of a stored
/// program, which others follow, is none of the client's.
fn opens_cursor(payload: &[u8]) -> bool {
    const FLAGS: StatusFlags = StatusFlags::CURSOR_EXISTS.union(StatusFlags::MORE_RESULTS_EXISTS);
    payload.first() == Some(&OkPacket::EOF_HEADER)
        && parse_end(payload).is_ok_and(|ok| ok.status & FLAGS == StatusFlags::CURSOR_EXISTS)
}
