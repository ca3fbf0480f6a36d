//! The flags by which the two ends agree on a dialect, and those with which a server reports its state.
//!
//! Protocol sections: "Capabilities Flags" and "SERVER_STATUS_flags_enum". Unknown bits are kept, never dropped: they
//! belong to a newer or another server.

use bitflags::bitflags;

bitflags! {
    /// `CLIENT_*`. Both ends state what they can; the dialect is what both have.
    ///
    /// From bit 32 on they are MariaDB's extended ones, which take the last four reserved bytes of either packet, where
    /// `LONG_PASSWORD` is clear.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Capabilities: u64 {
        /// Called `CLIENT_MYSQL` by MariaDB, whose servers clear it to announce extended capabilities.
        const LONG_PASSWORD = 1;
        /// Affected rows count the rows found, not those changed.
        const FOUND_ROWS = 1 << 1;
        const LONG_FLAG = 1 << 2;
        const CONNECT_WITH_DB = 1 << 3;
        const NO_SCHEMA = 1 << 4;
        const COMPRESS = 1 << 5;
        const ODBC = 1 << 6;
        /// LOAD DATA LOCAL is allowed.
        const LOCAL_FILES = 1 << 7;
        const IGNORE_SPACE = 1 << 8;
        const PROTOCOL_41 = 1 << 9;
        const INTERACTIVE = 1 << 10;
        const SSL = 1 << 11;
        const IGNORE_SIGPIPE = 1 << 12;
        const TRANSACTIONS = 1 << 13;
        const RESERVED = 1 << 14;
        /// Authentication with a 20-byte scramble (`CLIENT_RESERVED2` in newer headers).
        const SECURE_CONNECTION = 1 << 15;
        const MULTI_STATEMENTS = 1 << 16;
        const MULTI_RESULTS = 1 << 17;
        const PS_MULTI_RESULTS = 1 << 18;
        const PLUGIN_AUTH = 1 << 19;
        const CONNECT_ATTRS = 1 << 20;
        const PLUGIN_AUTH_LENENC_CLIENT_DATA = 1 << 21;
        const CAN_HANDLE_EXPIRED_PASSWORDS = 1 << 22;
        const SESSION_TRACK = 1 << 23;
        /// A result set ends in an OK packet with header 0xFE; no EOF packet after the columns.
        const DEPRECATE_EOF = 1 << 24;
        const OPTIONAL_RESULTSET_METADATA = 1 << 25;
        const ZSTD_COMPRESSION_ALGORITHM = 1 << 26;
        const QUERY_ATTRIBUTES = 1 << 27;
        const MULTI_FACTOR_AUTHENTICATION = 1 << 28;
        /// `CLIENT_PROGRESS` to older MariaDB clients.
        const CAPABILITY_EXTENSION = 1 << 29;
        const SSL_VERIFY_SERVER_CERT = 1 << 30;
        const REMEMBER_OPTIONS = 1 << 31;
        /// Reports of how far a long statement has come.
        const MARIADB_PROGRESS = 1 << 32;
        /// COM_STMT_BULK_EXECUTE.
        const MARIADB_STMT_BULK_OPERATIONS = 1 << 34;
        /// Column definitions tell MariaDB's own types, JSON and UUID among them.
        const MARIADB_EXTENDED_METADATA = 1 << 35;
    }
}

impl Capabilities {
    /// What goes into the four bytes of old, and into MariaDB's four bytes.
    pub(super) fn to_wire(self) -> ([u8; 4], [u8; 4]) {
        let [.., e, f, g, h] = self.bits().to_le_bytes();
        let extended = [e, f, g, h];
        let basic = if extended == [0; 4] { self } else { self - Self::LONG_PASSWORD };
        let [a, b, c, d, ..] = basic.bits().to_le_bytes();
        ([a, b, c, d], extended)
    }

    /// The reverse. MariaDB's bytes hold something else, or nothing, where `LONG_PASSWORD` is set.
    pub(super) fn from_wire([a, b, c, d]: [u8; 4], extended: [u8; 4]) -> Self {
        let basic = Self::from_bits_retain(u64::from_le_bytes([a, b, c, d, 0, 0, 0, 0]));
        if basic.contains(Self::LONG_PASSWORD) {
            return basic;
        }
        let [e, f, g, h] = extended;
        basic | Self::from_bits_retain(u64::from_le_bytes([0, 0, 0, 0, e, f, g, h]))
    }
}

bitflags! {
    /// `SERVER_STATUS_*`, in OK and EOF packets and in the greeting.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct StatusFlags: u16 {
        const IN_TRANS = 0x0001;
        const AUTOCOMMIT = 0x0002;
        /// Another result follows this one in the same reply.
        const MORE_RESULTS_EXISTS = 0x0008;
        const NO_GOOD_INDEX_USED = 0x0010;
        const NO_INDEX_USED = 0x0020;
        /// The server keeps a cursor open for the statement.
        const CURSOR_EXISTS = 0x0040;
        const LAST_ROW_SENT = 0x0080;
        const DB_DROPPED = 0x0100;
        const NO_BACKSLASH_ESCAPES = 0x0200;
        /// The columns of a prepared statement are not those told at PREPARE.
        const METADATA_CHANGED = 0x0400;
        const QUERY_WAS_SLOW = 0x0800;
        const PS_OUT_PARAMS = 0x1000;
        const IN_TRANS_READONLY = 0x2000;
        /// The OK packet carries a session state blob, see [`super::session_track`].
        const SESSION_STATE_CHANGED = 0x4000;
        /// MariaDB only.
        const ANSI_QUOTES = 0x8000;
        // 0x0004 has no meaning today; it passes through like the others.
        const _ = !0;
    }
}

impl StatusFlags {
    /// What a status says about the session; the other flags are about the statement that it came with.
    pub const OF_THE_SESSION: StatusFlags = StatusFlags::IN_TRANS
        .union(StatusFlags::IN_TRANS_READONLY)
        .union(StatusFlags::AUTOCOMMIT)
        .union(StatusFlags::NO_BACKSLASH_ESCAPES)
        .union(StatusFlags::ANSI_QUOTES);
}
