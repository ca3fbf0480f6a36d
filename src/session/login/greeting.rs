//! What clients are offered before they have said a word.

use aws_lc_rs::rand;

use crate::config::ClientCompression;
use crate::pool::ServerProfile;
use crate::protocol::auth::{Plugin, Salt};
use crate::protocol::capability::{Capabilities, StatusFlags};
use crate::protocol::compression::Algorithm;
use crate::protocol::tracked::Tracked;

use super::super::driver::Session;

/// What is offered to clients, as far as the backend has it. Optional metadata is not among
/// it: what is offered works.
pub(super) const OFFERED: Capabilities = Capabilities::LONG_PASSWORD
    .union(Capabilities::FOUND_ROWS)
    .union(Capabilities::LONG_FLAG)
    .union(Capabilities::CONNECT_WITH_DB)
    .union(Capabilities::NO_SCHEMA)
    .union(Capabilities::ODBC)
    .union(Capabilities::LOCAL_FILES)
    .union(Capabilities::IGNORE_SPACE)
    .union(Capabilities::PROTOCOL_41)
    .union(Capabilities::INTERACTIVE)
    .union(Capabilities::IGNORE_SIGPIPE)
    .union(Capabilities::TRANSACTIONS)
    .union(Capabilities::RESERVED)
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::MULTI_STATEMENTS)
    .union(Capabilities::MULTI_RESULTS)
    .union(Capabilities::PS_MULTI_RESULTS)
    .union(Capabilities::PLUGIN_AUTH)
    .union(Capabilities::CONNECT_ATTRS)
    .union(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA)
    .union(Capabilities::SESSION_TRACK)
    .union(Capabilities::DEPRECATE_EOF)
    .union(Capabilities::QUERY_ATTRIBUTES)
    .union(Capabilities::MARIADB_PROGRESS)
    .union(Capabilities::MARIADB_STMT_BULK_OPERATIONS)
    .union(Capabilities::MARIADB_EXTENDED_METADATA);

/// What Athena does itself, whatever the backend has.
pub(super) const OWN: Capabilities = Capabilities::PLUGIN_AUTH
    .union(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA)
    .union(Capabilities::CONNECT_ATTRS)
    .union(Capabilities::CONNECT_WITH_DB)
    .union(Capabilities::LONG_PASSWORD);

/// Twenty random bytes without NUL, and seven-bit, as servers make them.
pub(super) fn salt() -> Option<Salt> {
    let mut salt = Salt::default();
    rand::fill(&mut salt).ok()?;
    Some(salt.map(|byte| match byte & 0x7F {
        0 | b'$' => 1,
        byte => byte,
    }))
}

/// The plugin of the greeting, in which there is no place for the nonce of a signature: its clients are told later.
pub(super) fn greeted(plugin: Plugin) -> Plugin {
    if plugin == Plugin::Ed25519 { Plugin::Native } else { plugin }
}

/// The flags by which compression is offered.
pub(super) fn compression(allowed: &ClientCompression) -> Capabilities {
    let mut flags = Capabilities::empty();
    flags.set(Capabilities::COMPRESS, allowed.zlib);
    flags.set(Capabilities::ZSTD_COMPRESSION_ALGORITHM, allowed.zstd);
    flags
}

/// What a client compresses by: zlib goes first where it has named both, as on a server.
pub(super) fn algorithm(capabilities: Capabilities, zstd_level: u8) -> Option<Algorithm> {
    if capabilities.contains(Capabilities::COMPRESS) {
        Some(Algorithm::Zlib)
    } else if capabilities.contains(Capabilities::ZSTD_COMPRESSION_ALGORITHM) {
        Some(Algorithm::Zstd { level: i32::from(zstd_level) })
    } else {
        None
    }
}

pub(super) fn first_status(profile: &ServerProfile) -> StatusFlags {
    let of_new_sessions =
        StatusFlags::AUTOCOMMIT | StatusFlags::NO_BACKSLASH_ESCAPES | StatusFlags::ANSI_QUOTES;
    profile.status & of_new_sessions
}

pub(super) fn first_tracked(profile: &ServerProfile) -> Tracked {
    profile.tracked.clone().and(profile.always_tracked())
}

impl Session {
    /// The status of a session that has not done anything yet.
    pub fn first_status(&self) -> StatusFlags {
        self.profile().map_or(StatusFlags::AUTOCOMMIT, |profile| first_status(&profile))
    }

    /// The changes that a new session is told of.
    pub fn first_tracked(&self) -> Tracked {
        self.profile().map_or_else(Tracked::by_default, |profile| first_tracked(&profile))
    }
}
