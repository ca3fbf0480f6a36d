//! The errors that Athena itself raises, under the numbers and SQLSTATEs of the server for the same thing.
//!
//! Errors of a backend never pass through here: they are relayed byte for byte.

use std::borrow::Cow;

use super::packet::write_packet;
use super::response::ErrPacket;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $sql_state:literal;)*) => {
        /// Server error numbers, named after MySQL's `ER_*` symbols. None from 2000 to 2999: these are errors that clients
        /// find by themselves (`CR_*`), and MariaDB's Connector/C takes a packet with one for malformed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant = $number,)*
        }

        impl ErrorCode {
            pub fn number(self) -> u16 {
                self as u16
            }

            pub fn sql_state(self) -> [u8; 5] {
                match self {
                    $(ErrorCode::$variant => *$sql_state,)*
                }
            }
        }
    };
}

error_codes! {
    /// Too many connections, or a full queue.
    ConCount = 1040, b"08004";
    HandshakeError = 1043, b"08S01";
    AccessDenied = 1045, b"28000";
    UnknownCommand = 1047, b"08S01";
    UnknownDatabase = 1049, b"42000";
    ServerShutdown = 1053, b"08S01";
    /// No session has this id.
    NoSuchThread = 1094, b"HY000";
    KillDenied = 1095, b"HY000";
    UnknownError = 1105, b"HY000";
    NetPacketTooLarge = 1153, b"08S01";
    NetPacketsOutOfOrder = 1156, b"08S01";
    NetReadError = 1158, b"08S01";
    NetReadInterrupted = 1159, b"08S01";
    LockWaitTimeout = 1205, b"HY000";
    ErrorDuringCommit = 1180, b"HY000";
    /// The transaction was rolled back, and is worth another try.
    LockDeadlock = 1213, b"40001";
    UserLimitReached = 1226, b"42000";
    NotSupportedYet = 1235, b"42000";
    UnknownStmtHandler = 1243, b"HY000";
    UnsupportedPs = 1295, b"HY000";
    QueryInterrupted = 1317, b"70100";
    StmtHasNoOpenCursor = 1421, b"HY000";
    MaxPreparedStmtCountReached = 1461, b"42000";
    /// No id can be drawn for a row.
    AutoincReadFailed = 1467, b"HY000";
    MalformedPacket = 1835, b"HY000";
    /// A write in a read-only transaction.
    ReadOnlyTransaction = 1792, b"25006";
    /// MariaDB's; MySQL closes without a word.
    ConnectionKilled = 1927, b"70100";
    /// MariaDB's: the time of a statement is over.
    StatementTimeout = 1969, b"70100";
    /// MySQL's for the same.
    QueryTimeout = 3024, b"HY000";
    /// TLS is required of the client.
    SecureTransportRequired = 3159, b"HY000";
    /// No backend can be had.
    ServerIsntAvailable = 3168, b"HY000";
    ClientInteractionTimeout = 4031, b"HY000";
}

/// An error on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    pub code: u16,
    pub sql_state: [u8; 5],
    pub message: Cow<'static, str>,
}

impl ServerError {
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        ServerError { code: code.number(), sql_state: code.sql_state(), message: message.into() }
    }

    /// The whole ERR packet, header included.
    pub fn packet(&self, seq: u8) -> Vec<u8> {
        self.write(seq, true)
    }

    /// The same for a client whose capabilities are not known yet (before its handshake response): without SQLSTATE.
    pub fn packet_before_login(&self, seq: u8) -> Vec<u8> {
        self.write(seq, false)
    }

    fn write(&self, seq: u8, with_sql_state: bool) -> Vec<u8> {
        let err = ErrPacket {
            code: self.code,
            sql_state: self.sql_state,
            message: self.message.as_bytes().to_vec(),
        };
        let mut out = Vec::new();
        write_packet(&mut out, seq, &err.encode(with_sql_state));
        out
    }
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ERROR {} ({}): {}", self.code, String::from_utf8_lossy(&self.sql_state), self.message)
    }
}

impl std::error::Error for ServerError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_carry_the_sql_state_once_the_client_is_known() {
        let error = ServerError::new(ErrorCode::ConCount, "Too many connections");
        assert_eq!(error.packet(1), b"\x1d\0\0\x01\xff\x10\x04#08004Too many connections");
        assert_eq!(error.packet_before_login(0), b"\x17\0\0\0\xff\x10\x04Too many connections");
        assert_eq!(error.to_string(), "ERROR 1040 (08004): Too many connections");
    }
}
