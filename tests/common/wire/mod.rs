//! A small MySQL client over a plain socket, for what no client program can be made to do.
//!
//! [`PacketStream`] frames, [`Login`] proves who one is, [`Connection`] sends commands and reads replies; each can be used
//! by itself, so that a test may break any rule it likes. Every read has a time-out: a proxy that hangs fails the test.

mod bytes;
mod connection;
mod login;
mod packet;
mod reply;
mod statement;

use std::io;

pub use connection::Connection;
pub use login::{Greeting, Login, Plugin, encrypted};
pub use packet::{MAX_PAYLOAD, PacketStream, Transport, frame};
pub use reply::{Column, OkPacket, Reply, ResultSet, Value};
pub use statement::Statement;

/// Result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// How a conversation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An ERR packet.
    #[error("ERROR {code} ({state}): {message}")]
    Server { code: u16, state: String, message: String },
    /// The socket: closed, reset, or silent for too long.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A packet that does not follow the one before.
    #[error("sequence id {found}, not {expected}")]
    Sequence { found: u8, expected: u8 },
    /// Bytes that no server may send.
    #[error("protocol: {0}")]
    Protocol(String),
}

impl Error {
    /// The number in the ERR packet, if it is one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Server { code, .. } => Some(*code),
            Self::Io(_) | Self::Sequence { .. } | Self::Protocol(_) => None,
        }
    }

    /// Whether the peer closed or reset the connection.
    pub fn is_close(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        let kinds = [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof];
        matches!(self, Self::Io(error) if kinds.contains(&error.kind()))
    }

    /// Whether this is how a peer turns somebody away: an ERR packet or a close, but neither silence nor nonsense.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some() || self.is_close()
    }
}

/// Capability flags of a login.
pub mod capability {
    pub const LONG_PASSWORD: u32 = 1;
    pub const FOUND_ROWS: u32 = 1 << 1;
    pub const CONNECT_WITH_DB: u32 = 1 << 3;
    pub const COMPRESS: u32 = 1 << 5;
    pub const LOCAL_FILES: u32 = 1 << 7;
    pub const IGNORE_SPACE: u32 = 1 << 8;
    pub const PROTOCOL_41: u32 = 1 << 9;
    pub const INTERACTIVE: u32 = 1 << 10;
    pub const SSL: u32 = 1 << 11;
    pub const TRANSACTIONS: u32 = 1 << 13;
    pub const SECURE_CONNECTION: u32 = 1 << 15;
    pub const MULTI_STATEMENTS: u32 = 1 << 16;
    pub const MULTI_RESULTS: u32 = 1 << 17;
    pub const PS_MULTI_RESULTS: u32 = 1 << 18;
    pub const PLUGIN_AUTH: u32 = 1 << 19;
    pub const CONNECT_ATTRS: u32 = 1 << 20;
    pub const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
    pub const SESSION_TRACK: u32 = 1 << 23;
    pub const DEPRECATE_EOF: u32 = 1 << 24;
    pub const ZSTD: u32 = 1 << 26;
    pub const QUERY_ATTRIBUTES: u32 = 1 << 27;
    /// MariaDB's own: see [`super::Login::with_extended`].
    pub const EXTENDED_PROGRESS: u32 = 1;
    pub const EXTENDED_STMT_BULK: u32 = 1 << 2;
}

/// Command bytes.
pub mod command {
    pub const QUIT: u8 = 0x01;
    pub const INIT_DB: u8 = 0x02;
    pub const QUERY: u8 = 0x03;
    pub const FIELD_LIST: u8 = 0x04;
    pub const REFRESH: u8 = 0x07;
    pub const SHUTDOWN: u8 = 0x08;
    pub const PROCESS_INFO: u8 = 0x0a;
    pub const PROCESS_KILL: u8 = 0x0c;
    pub const DEBUG: u8 = 0x0d;
    pub const PING: u8 = 0x0e;
    pub const CHANGE_USER: u8 = 0x11;
    pub const BINLOG_DUMP: u8 = 0x12;
    pub const REGISTER_SLAVE: u8 = 0x15;
    pub const STMT_PREPARE: u8 = 0x16;
    pub const STMT_EXECUTE: u8 = 0x17;
    pub const STMT_SEND_LONG_DATA: u8 = 0x18;
    pub const STMT_CLOSE: u8 = 0x19;
    pub const STMT_RESET: u8 = 0x1a;
    pub const SET_OPTION: u8 = 0x1b;
    pub const STMT_FETCH: u8 = 0x1c;
    pub const BINLOG_DUMP_GTID: u8 = 0x1e;
    pub const RESET_CONNECTION: u8 = 0x1f;
    pub const STMT_BULK_EXECUTE: u8 = 0xfa;
}

/// Status flags.
pub mod status {
    pub const IN_TRANSACTION: u16 = 0x0001;
    pub const MORE_RESULTS: u16 = 0x0008;
}
