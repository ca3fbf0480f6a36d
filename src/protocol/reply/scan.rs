//! The machine that follows a reply.

use thiserror::Error;

use super::edits::Edits;
use crate::protocol::buf::{Malformed, Reader};
use crate::protocol::capability::{Capabilities, StatusFlags};
use crate::protocol::packet::{HEADER_LEN, Header};
use crate::protocol::response::{EofPacket, ErrPacket, OkPacket};
use crate::protocol::statement::{PrepareOk, set_statement_id};

/// The longest packet that is held back until it is complete: an OK with all the trackers of a session is far below.
const MAX_CONTROL_PACKET: usize = 1 << 20;

/// Who wants to know what the packets said that are not rows.
pub trait Observer {
    /// A result ended well. Comes once for each result of the reply.
    fn ok(&mut self, ok: &OkPacket<'_>);
    /// The reply ended in an error.
    fn err(&mut self, code: u16);
    /// A statement was prepared. Returns the id under which the client shall know it.
    fn prepared(&mut self, ok: &PrepareOk) -> u32;
}

/// A backend that does not keep to the protocol: the link can't be used any more.
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Awaits the first packet of a result.
    First,
    /// Awaits `left` column definitions.
    Columns {
        left: u64,
    },
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
    /// By how much the client's sequence ids are ahead of the backend's.
    shift: u8,
    /// Sequence id of the last packet as the client sees it.
    seq: u8,
    /// Bytes of the current packet that pass without being looked at.
    pass: usize,
    /// The current packet is a full 16 MiB piece: the next header continues it.
    continues: bool,
    /// The start of a packet that can't go on yet.
    held: Vec<u8>,
}

impl Reply {
    /// The reply to a query or an execution. `status` is the session's last known server status.
    pub fn to_query(client: Capabilities, status: StatusFlags) -> Self {
        Self::new(State::First, client, status)
    }

    /// The reply to COM_STMT_PREPARE.
    pub fn to_prepare(client: Capabilities, status: StatusFlags) -> Self {
        Self::new(State::PrepareFirst, client, status)
    }

    /// The reply to COM_FIELD_LIST: definitions with nothing in front.
    pub fn to_field_list(client: Capabilities, status: StatusFlags) -> Self {
        Self::new(State::Rows, client, status)
    }

    /// A reply of one packet of text: COM_STATISTICS.
    pub fn to_statistics(client: Capabilities, status: StatusFlags) -> Self {
        Self::new(State::Text, client, status)
    }

    fn new(state: State, client: Capabilities, status: StatusFlags) -> Self {
        Reply { state, client, status, shift: 0, seq: 0, pass: 0, continues: false, held: Vec::new() }
    }

    /// The sequence id with which a packet of our own would follow what the client has got.
    pub fn next_seq(&self) -> u8 {
        self.seq.wrapping_add(1)
    }

    /// Looks through the next chunk. Sequence ids are changed in place, everything else is left to `edits`.
    pub fn scan(
        &mut self,
        chunk: &mut [u8],
        edits: &mut Edits,
        observer: &mut dyn Observer,
    ) -> Result<Scanned, ReplyError> {
        let mut at = 0;
        loop {
            if self.pass > 0 {
                let passed = self.pass.min(chunk.len() - at);
                at += passed;
                self.pass -= passed;
                if self.pass > 0 {
                    return Ok(Scanned { relay: at, done: false });
                }
                self.packet_passed(at, edits);
            }
            if self.state == State::Done {
                return if at == chunk.len() {
                    Ok(Scanned { relay: at, done: true })
                } else {
                    Err(ReplyError::BeyondEnd)
                };
            }
            if at == chunk.len() {
                return Ok(Scanned { relay: at, done: false });
            }
            let began = at;
            if !self.packet(chunk, &mut at, edits, observer)? {
                return Ok(Scanned { relay: began, done: false });
            }
        }
    }

    /// Handles the packet that begins at `at` (or in what is held back). False if too little of it is there: then it
    /// is held back.
    fn packet(
        &mut self,
        chunk: &mut [u8],
        at: &mut usize,
        edits: &mut Edits,
        observer: &mut dyn Observer,
    ) -> Result<bool, ReplyError> {
        let start = *at;
        let mut held = std::mem::take(&mut self.held);
        let rest = chunk.get_mut(start..).unwrap_or_default();
        let Some(needed) = self.needed_bytes(&held, rest)? else {
            held.extend_from_slice(rest);
            self.held = held;
            return Ok(false);
        };
        if held.is_empty() {
            let (packet, _) = rest.split_at_mut(needed);
            *at += self.handle(packet, start..start + needed, edits, observer)?;
        } else {
            let taken = needed - held.len();
            held.extend_from_slice(rest.get(..taken).unwrap_or_default());
            *at += taken;
            let before = edits.len();
            self.handle(&mut held, start..start + taken, edits, observer)?;
            if edits.len() == before {
                edits.replace(start..start + taken, |out| out.extend_from_slice(&held));
            }
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
        // An empty packet has no first byte; what stands there is the next packet's.
        if self.continues || (header.len == 0 && self.state == State::Rows) {
            return Needed::Header;
        }
        match (self.state, first) {
            (State::First | State::PrepareFirst, _) => Needed::Whole,
            (State::Rows, None) => Needed::FirstByte,
            (State::Rows, Some(OkPacket::EOF_HEADER | ErrPacket::HEADER)) if !header.continues() => {
                Needed::Whole
            }
            _ => Needed::Header,
        }
    }

    /// Handles a packet of which `packet` has what is needed, standing at `range` of the chunk. Returns how many bytes
    /// of it are dealt with; the others pass.
    fn handle(
        &mut self,
        packet: &mut [u8],
        range: std::ops::Range<usize>,
        edits: &mut Edits,
        observer: &mut dyn Observer,
    ) -> Result<usize, ReplyError> {
        let Some((head, payload)) = packet.split_first_chunk_mut::<HEADER_LEN>() else { return Ok(0) };
        let mut header = Header::parse(*head);
        header.seq = header.seq.wrapping_add(self.shift);
        *head = header.encode();
        self.seq = header.seq;
        let whole = payload.len() == header.len as usize;
        let control = !self.continues
            && match self.state {
                State::First | State::PrepareFirst => true,
                State::Rows => {
                    whole && matches!(payload.first(), Some(&(OkPacket::EOF_HEADER | ErrPacket::HEADER)))
                }
                _ => false,
            };
        self.continues = header.continues();
        if control {
            self.control(payload, range.clone(), edits, observer)?;
            return Ok(range.len());
        }
        let seen = HEADER_LEN + payload.len();
        self.pass = header.len as usize - payload.len().min(header.len as usize);
        if self.pass == 0 {
            self.packet_passed(range.end, edits);
        }
        Ok(seen)
    }

    /// A packet that is looked at as a whole.
    fn control(
        &mut self,
        payload: &mut [u8],
        range: std::ops::Range<usize>,
        edits: &mut Edits,
        observer: &mut dyn Observer,
    ) -> Result<(), ReplyError> {
        let first = payload.first().copied();
        if first == Some(ErrPacket::HEADER) {
            observer.err(ErrPacket::parse(payload)?.code);
            self.state = State::Done;
            return Ok(());
        }
        match (self.state, first) {
            (State::PrepareFirst, _) => {
                let ok = PrepareOk::parse(payload)?;
                set_statement_id(payload, observer.prepared(&ok))?;
                self.state = match (u64::from(ok.params), u64::from(ok.columns)) {
                    (0, 0) => State::Done,
                    (0, left) => State::Definitions { left, after: 0 },
                    (left, after) => State::Definitions { left, after },
                };
                Ok(())
            }
            (State::First, Some(0xFB)) => Err(ReplyError::LocalInfile),
            (State::First, Some(1..)) => {
                self.state = State::Columns { left: Reader::new(payload).lenenc_int()? };
                Ok(())
            }
            _ => self.end_of_result(payload, range, edits, observer),
        }
    }

    /// An OK packet, or what ends rows.
    fn end_of_result(
        &mut self,
        payload: &[u8],
        range: std::ops::Range<usize>,
        edits: &mut Edits,
        observer: &mut dyn Observer,
    ) -> Result<(), ReplyError> {
        let eof = EofPacket::parse(payload).ok().filter(|_| payload.len() == 5);
        let ok = match eof {
            Some(eof) => OkPacket { status: eof.status, warnings: eof.warnings, ..OkPacket::END_OF_ROWS },
            None => OkPacket::parse(payload, Capabilities::SESSION_TRACK)?,
        };
        observer.ok(&ok);
        self.status = ok.status;
        let more = ok.status.contains(StatusFlags::MORE_RESULTS_EXISTS);
        self.state = if more { State::First } else { State::Done };
        let seq = self.seq;
        if eof.is_none()
            && ok.header == OkPacket::EOF_HEADER
            && !self.client.contains(Capabilities::DEPRECATE_EOF)
        {
            let eof = EofPacket { warnings: ok.warnings, status: ok.status }.encode();
            edits.packet(range, seq, &eof);
        } else if ok.status.contains(StatusFlags::SESSION_STATE_CHANGED)
            && !self.client.contains(Capabilities::SESSION_TRACK)
        {
            let ok = ok.encode(self.client);
            edits.packet(range, seq, &ok);
        }
        Ok(())
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
                    self.state = State::Rows;
                    self.insert_eof(at, edits);
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
        let eof = EofPacket { warnings: 0, status: self.status - StatusFlags::MORE_RESULTS_EXISTS }.encode();
        let seq = self.seq;
        edits.packet(at..at, seq, &eof);
    }
}
