//! The little of the MySQL client/server protocol that the tools speak: framing, greeting, login, replies.

/// Bytes before a packet's payload: its length (3, little endian) and its sequence id (1).
pub const HEADER_LENGTH: usize = 4;

/// Capability flags.
pub mod capability {
    /// A database name follows in the login.
    pub const CONNECT_WITH_DB: u32 = 1 << 3;
    /// The protocol of MySQL 4.1 and later.
    pub const PROTOCOL_41: u32 = 1 << 9;
    /// Salted challenge and response.
    pub const SECURE_CONNECTION: u32 = 1 << 15;
    /// The login names an authentication plugin.
    pub const PLUGIN_AUTH: u32 = 1 << 19;
    /// OK packets carry changes of session state.
    pub const SESSION_TRACK: u32 = 1 << 23;
    /// No EOF packet after the columns, an OK packet after the rows.
    pub const DEPRECATE_EOF: u32 = 1 << 24;
}

/// Command bytes.
pub mod command {
    /// End of the connection.
    pub const QUIT: u8 = 0x01;
    /// Change of the default database.
    pub const INIT_DB: u8 = 0x02;
    /// A statement as text.
    pub const QUERY: u8 = 0x03;
    /// A sign of life.
    pub const PING: u8 = 0x0e;
    /// Log in again on the same connection.
    pub const CHANGE_USER: u8 = 0x11;
    /// Prepare a statement.
    pub const STMT_PREPARE: u8 = 0x16;
    /// Execute a prepared statement.
    pub const STMT_EXECUTE: u8 = 0x17;
    /// A piece of a parameter; has no reply.
    pub const STMT_SEND_LONG_DATA: u8 = 0x18;
    /// Forget a prepared statement; has no reply.
    pub const STMT_CLOSE: u8 = 0x19;
    /// Reset a prepared statement.
    pub const STMT_RESET: u8 = 0x1a;
    /// Switch multiple statements on or off.
    pub const SET_OPTION: u8 = 0x1b;
    /// Forget all session state.
    pub const RESET_CONNECTION: u8 = 0x1f;
}

/// Status flag: autocommit is on.
pub const STATUS_AUTOCOMMIT: u16 = 2;

/// Appends a packet. `payload` is shorter than 16 MiB in everything the tools send.
pub fn push_packet(out: &mut Vec<u8>, sequence: u8, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&length[..3]);
    out.push(sequence);
    out.extend_from_slice(payload);
}

/// Appends a string shorter than 251 bytes with its length before it.
pub fn push_short_string(out: &mut Vec<u8>, text: &[u8]) {
    debug_assert!(text.len() < 251);
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text);
}

/// The first packet of `bytes`: its payload and its whole length; `None` until all of it is there.
pub fn first_packet(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let [a, b, c, _sequence, rest @ ..] = bytes else { return None };
    let length = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
    Some((rest.get(..length)?, HEADER_LENGTH + length))
}

/// The payload of an OK packet (`header` 0x00), or of the OK that ends rows (0xfe).
pub fn ok_payload(header: u8) -> Vec<u8> {
    let mut payload = vec![header, 0, 0]; // affected rows, last insert id
    payload.extend_from_slice(&STATUS_AUTOCOMMIT.to_le_bytes());
    payload.extend_from_slice(&[0, 0]); // warnings
    payload
}

/// The payload of an EOF packet.
pub fn eof_payload() -> Vec<u8> {
    let mut payload = vec![0xfe, 0, 0]; // warnings
    payload.extend_from_slice(&STATUS_AUTOCOMMIT.to_le_bytes());
    payload
}

/// The payload of an ERR packet.
pub fn error_payload(code: u16, state: &str, message: &str) -> Vec<u8> {
    let mut payload = vec![0xff];
    payload.extend_from_slice(&code.to_le_bytes());
    payload.push(b'#');
    payload.extend_from_slice(state.as_bytes());
    payload.extend_from_slice(message.as_bytes());
    payload
}

/// The capabilities that a greeting (protocol version 10) announces; `None` when it is not one.
pub fn greeting_capabilities(payload: &[u8]) -> Option<u32> {
    let (10, rest) = payload.split_first()? else { return None };
    let version_end = rest.iter().position(|&byte| byte == 0)?;
    // After the version: connection id (4), salt (8), filler (1), lower flags (2), character set (1), status (2), upper flags (2).
    let fixed = rest.get(version_end + 1..)?;
    let (lower, upper) = (fixed.get(13..15)?, fixed.get(18..20)?);
    Some(u32::from_le_bytes([lower[0], lower[1], upper[0], upper[1]]))
}

/// The id that a greeting (protocol version 10) gives the connection; `None` when it is not one.
pub fn greeting_connection_id(payload: &[u8]) -> Option<u32> {
    let (10, rest) = payload.split_first()? else { return None };
    let version_end = rest.iter().position(|&byte| byte == 0)?;
    let id = rest.get(version_end + 1..version_end + 5)?;
    Some(u32::from_le_bytes(id.try_into().ok()?))
}

/// Finds the end of a reply, packet by packet, without looking into rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyScanner {
    /// The first packet says what the reply is.
    First,
    /// This many column definitions (and the EOF after them, where there is one) are still to come.
    Columns(u64),
    /// Rows, until the packet that ends them.
    Rows,
}

/// What a packet meant for the reply it is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scanned {
    /// More packets follow.
    More,
    /// The reply is complete.
    Complete,
    /// The reply is complete, and an error.
    Failed,
}

impl ReplyScanner {
    /// Takes the next packet's payload. `deprecate_eof`: whether the connection has that capability.
    pub fn take(&mut self, payload: &[u8], deprecate_eof: bool) -> Scanned {
        let first_byte = payload.first().copied();
        let (next, scanned) = match (*self, first_byte) {
            (_, Some(0xff)) | (_, None) => (Self::First, Scanned::Failed),
            (Self::First, Some(0)) => (Self::First, Scanned::Complete),
            // Statements of the load have few columns: the count is one byte.
            (Self::First, Some(count)) => {
                (Self::Columns(u64::from(count) + u64::from(!deprecate_eof)), Scanned::More)
            }
            (Self::Columns(1), _) => (Self::Rows, Scanned::More),
            (Self::Columns(left), _) => (Self::Columns(left.saturating_sub(1)), Scanned::More),
            // A row may begin with 0xfe too, but only when its first value is longer than 16 MiB.
            (Self::Rows, Some(0xfe)) => (Self::First, Scanned::Complete),
            (Self::Rows, _) => (Self::Rows, Scanned::More),
        };
        *self = next;
        scanned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_whole_or_not_there() {
        let mut bytes = Vec::new();
        push_packet(&mut bytes, 3, b"abc");
        assert_eq!(bytes, [3, 0, 0, 3, b'a', b'b', b'c']);
        assert_eq!(first_packet(&bytes), Some((&b"abc"[..], 7)));
        for length in 0..bytes.len() {
            assert_eq!(first_packet(&bytes[..length]), None);
        }
    }

    #[test]
    fn a_result_set_ends_after_its_rows() {
        for deprecate_eof in [false, true] {
            let mut scanner = ReplyScanner::First;
            let mut packets: Vec<(&[u8], Scanned)> = vec![(&[1], Scanned::More), (b"column", Scanned::More)];
            if !deprecate_eof {
                packets.push((&[0xfe, 0, 0, 2, 0], Scanned::More));
            }
            packets.extend([(&[0, 1][..], Scanned::More), (&[0xfe, 0, 0, 2, 0], Scanned::Complete)]);
            for (payload, expected) in packets {
                assert_eq!(scanner.take(payload, deprecate_eof), expected);
            }
            assert_eq!(scanner, ReplyScanner::First);
        }
        assert_eq!(ReplyScanner::First.take(&ok_payload(0), true), Scanned::Complete);
        assert_eq!(ReplyScanner::First.take(&error_payload(1, "HY000", ""), true), Scanned::Failed);
    }
}
