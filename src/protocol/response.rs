//! The packets that end a command or a result: OK, ERR, EOF.
//!
//! Protocol sections: "OK_Packet", "ERR_Packet", "EOF_Packet". Which of them a first byte means depends on the state
//! of the reply (0x00 and 0xFE begin rows as well), so the caller decides that before it parses.

use super::buf::{Malformed, Reader, WriteExt};
use super::capability::{Capabilities, StatusFlags};

/// Success, or with [`OkPacket::EOF_HEADER`] the end of a result set under `DEPRECATE_EOF`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OkPacket<'a> {
    /// [`OkPacket::HEADER`] or [`OkPacket::EOF_HEADER`].
    pub header: u8, // int<1>
    pub affected_rows: u64,  // int<lenenc>
    pub last_insert_id: u64, // int<lenenc>
    pub status: StatusFlags, // int<2>
    pub warnings: u16,       // int<2>
    /// A text for people.
    pub info: &'a [u8], // string<lenenc>
    /// What changed in the session: see [`super::session_track`].
    pub session_state: &'a [u8], // string<lenenc>
}

impl<'a> OkPacket<'a> {
    pub const HEADER: u8 = 0x00;
    pub const EOF_HEADER: u8 = 0xFE;

    /// The end of a result set that says nothing more.
    pub const END_OF_ROWS: OkPacket<'static> = OkPacket {
        header: Self::EOF_HEADER,
        affected_rows: 0,
        last_insert_id: 0,
        status: StatusFlags::empty(),
        warnings: 0,
        info: &[],
        session_state: &[],
    };

    /// `capabilities` are those of the connection that the packet came over.
    pub fn parse(payload: &'a [u8], capabilities: Capabilities) -> Result<OkPacket<'a>, Malformed> {
        let mut reader = Reader::new(payload);
        let header = match reader.u8()? {
            header @ (Self::HEADER | Self::EOF_HEADER) => header,
            found => return Err(Malformed::PacketType { packet: "OK", found }),
        };
        let affected_rows = reader.lenenc_int()?;
        let last_insert_id = reader.lenenc_int()?;
        let status = StatusFlags::from_bits_retain(reader.u16()?);
        let warnings = reader.u16()?;
        let (mut info, mut session_state): (&[u8], &[u8]) = (&[], &[]);
        if capabilities.contains(Capabilities::SESSION_TRACK) {
            // Servers leave out an empty text when nothing follows it.
            if !reader.is_empty() {
                info = reader.lenenc_bytes()?;
            }
            if status.contains(StatusFlags::SESSION_STATE_CHANGED) && !reader.is_empty() {
                session_state = reader.lenenc_bytes()?;
            }
        } else if !reader.is_empty() {
            info = info_without_tracking(reader);
        }
        Ok(OkPacket { header, affected_rows, last_insert_id, status, warnings, info, session_state })
    }

    /// `capabilities` are those of the connection that the packet goes out on. `SESSION_STATE_CHANGED` is set exactly
    /// when a session state goes with it: never to a peer without `SESSION_TRACK`.
    pub fn encode(&self, capabilities: Capabilities) -> Vec<u8> {
        let track = capabilities.contains(Capabilities::SESSION_TRACK) && !self.session_state.is_empty();
        let mut status = self.status;
        status.set(StatusFlags::SESSION_STATE_CHANGED, track);
        let mut out = Vec::with_capacity(16 + self.info.len() + self.session_state.len());
        out.push(self.header);
        out.put_lenenc_int(self.affected_rows);
        out.put_lenenc_int(self.last_insert_id);
        out.put_u16(status.bits());
        out.put_u16(self.warnings);
        if track || !self.info.is_empty() {
            out.put_lenenc_bytes(self.info);
        }
        if track {
            out.put_lenenc_bytes(self.session_state);
        }
        out
    }
}

/// The documentation has a `string<EOF>` here, the servers send a `string<lenenc>`; take either.
fn info_without_tracking(mut reader: Reader<'_>) -> &[u8] {
    let mut ahead = reader;
    match ahead.lenenc_bytes() {
        Ok(info) if ahead.is_empty() => info,
        _ => reader.rest(),
    }
}

/// Failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrPacket {
    pub code: u16, // int<2>
    /// `HY000` where the peer sent none.
    pub sql_state: [u8; 5], // '#' and string<5>
    pub message: Vec<u8>, // string<EOF>
}

impl ErrPacket {
    pub const HEADER: u8 = 0xFF;

    /// Whether a packet only looks like one: it is a report of MariaDB's of how far the statement has come.
    pub fn is_progress(payload: &[u8]) -> bool {
        payload.starts_with(&[Self::HEADER, 0xFF, 0xFF])
    }

    /// Takes both forms: with the SQLSTATE, and without it as before the client's capabilities are known.
    pub fn parse(payload: &[u8]) -> Result<ErrPacket, Malformed> {
        let mut reader = Reader::new(payload);
        match reader.u8()? {
            Self::HEADER => {}
            found => return Err(Malformed::PacketType { packet: "ERR", found }),
        }
        let code = reader.u16()?;
        let mut ahead = reader;
        let sql_state = match (ahead.u8(), ahead.array()) {
            (Ok(b'#'), Ok(sql_state)) => {
                reader = ahead;
                sql_state
            }
            _ => *b"HY000",
        };
        Ok(ErrPacket { code, sql_state, message: reader.rest().to_vec() })
    }

    /// A client without known capabilities (before its handshake response) takes the SQLSTATE for text: leave it out
    /// there.
    pub fn encode(&self, with_sql_state: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(9 + self.message.len());
        out.push(Self::HEADER);
        out.put_u16(self.code);
        if with_sql_state {
            out.push(b'#');
            out.extend_from_slice(&self.sql_state);
        }
        out.extend_from_slice(&self.message);
        out
    }
}

/// The end of the columns or rows, on a connection without `DEPRECATE_EOF`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EofPacket {
    pub warnings: u16,       // int<2>
    pub status: StatusFlags, // int<2>
}

impl EofPacket {
    pub const HEADER: u8 = 0xFE;

    pub fn parse(payload: &[u8]) -> Result<EofPacket, Malformed> {
        let mut reader = Reader::new(payload);
        match reader.u8()? {
            Self::HEADER => {}
            found => return Err(Malformed::PacketType { packet: "EOF", found }),
        }
        Ok(EofPacket { warnings: reader.u16()?, status: StatusFlags::from_bits_retain(reader.u16()?) })
    }

    /// An EOF packet carries no trackers: `SESSION_STATE_CHANGED` is cleared.
    pub fn encode(&self) -> [u8; 5] {
        let [warnings_a, warnings_b] = self.warnings.to_le_bytes();
        let status = self.status - StatusFlags::SESSION_STATE_CHANGED;
        let [status_a, status_b] = status.bits().to_le_bytes();
        [Self::HEADER, warnings_a, warnings_b, status_a, status_b]
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
