//! What goes wrong between Athena and a server.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::net::Elapsed;
use crate::protocol::auth::AuthError;
use crate::protocol::buf::Malformed;
use crate::protocol::handshake::HandshakeError;
use crate::protocol::packet::PacketError;
use crate::protocol::reply::ReplyError;
use crate::protocol::response::ErrPacket;

/// Why a link could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the name {0} could not be resolved")]
    Unresolved(String),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("not connected and logged in within {} ms (connect_timeout_ms)", .0.as_millis())]
    Timeout(Duration),
    #[error("the server closed the connection during the login")]
    Closed,
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
    #[error("{0}")]
    Packet(#[from] PacketError),
    #[error("{0}")]
    Auth(#[from] AuthError),
    #[error("the server offers no TLS, and [backend] tls demands it (\"preferred\" goes without)")]
    NoTls,
    #[error("the server can't compress by {0}, which [backend] compression asks for")]
    NoCompression(&'static str),
    #[error("{0} ([backend] tls, ca, cert and key say what is demanded and shown)")]
    Tls(io::Error),
    #[error("the server refused: ERROR {} ({}): {}", .0.code, String::from_utf8_lossy(&.0.sql_state), String::from_utf8_lossy(&.0.message))]
    Refused(ErrPacket),
    /// The same for an account that is not the instance's own: nobody but its sessions need care.
    #[error("the server refused the account: ERROR {} ({}): {}", .0.code, String::from_utf8_lossy(&.0.sql_state), String::from_utf8_lossy(&.0.message))]
    AccountRefused(ErrPacket),
    /// The same where the server asks such an account for what Athena can't give.
    #[error("{0}")]
    AccountUnproved(AuthError),
    #[error(
        "{address} can't be reached ({reason}); a connection is tried {when} ([circuit] breaker_open_ms)"
    )]
    Suspended { address: String, reason: String, when: String },
    #[error("the server ({version}) lacks {missing}: Athena needs MySQL 5.7 or MariaDB 10.2, or newer")]
    TooOld { version: String, missing: &'static str },
}

impl ConnectError {
    /// Whether another schema might have been let in: `ER_DBACCESS_DENIED_ERROR`, `ER_BAD_DB_ERROR`, and names that are none
    /// (`ER_TOO_LONG_IDENT`, `ER_WRONG_DB_NAME`, `ER_INVALID_CHARACTER_STRING`).
    pub fn is_about_schema(&self) -> bool {
        matches!(self, Self::Refused(err) | Self::AccountRefused(err) if matches!(err.code, 1044 | 1049 | 1059 | 1102 | 1300))
    }
}

impl ConnectError {
    /// Whether the account has as many connections as it may (`ER_TOO_MANY_USER_CONNECTIONS`, `ER_USER_LIMIT_REACHED`).
    pub(super) fn is_about_number(&self) -> bool {
        matches!(self, Self::Refused(err) | Self::AccountRefused(err) if matches!(err.code, 1203 | 1226))
    }

    /// The same as the error of an account that is not the instance's own.
    pub(super) fn of_account(self) -> Self {
        match self {
            Self::Refused(err) => Self::AccountRefused(err),
            Self::Auth(error) => Self::AccountUnproved(error),
            other => other,
        }
    }

    /// Whether nobody was there, as far as can be told: a server that refuses is.
    pub(super) fn finds_no_server(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        match self {
            Self::Unresolved(_) | Self::Io(_) | Self::Timeout(_) | Self::Closed => true,
            // It has closed in the handshake, which says nothing of certificates.
            Self::Tls(error) => matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof),
            _ => false,
        }
    }

    /// Whether others may still log in: this says nothing of the server.
    pub(super) fn is_of_account(&self) -> bool {
        matches!(self, Self::AccountRefused(_) | Self::AccountUnproved(_))
    }
}

impl From<Malformed> for ConnectError {
    fn from(error: Malformed) -> Self {
        Self::Handshake(error.into())
    }
}

impl From<LinkError> for ConnectError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Io(error) => Self::Io(error),
            LinkError::Closed | LinkError::Timeout(_) => Self::Closed,
            LinkError::Packet(error) => Self::Packet(error),
            LinkError::Malformed(error) => error.into(),
            LinkError::Reply(_) => Self::Closed,
        }
    }
}

/// Why a link can't be used any more.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("{0}")]
    Timeout(#[from] Elapsed),
    #[error("{0}")]
    Packet(#[from] PacketError),
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Reply(#[from] ReplyError),
}

/// Why a session got no link.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PoolError {
    #[error("no connection to the backend became free within {} ms (checkout_timeout_ms)", .0.as_millis())]
    Timeout(Duration),
    #[error("{0}")]
    Connect(Rc<ConnectError>),
    #[error("the pool is closed")]
    Closed,
}

impl PoolError {
    /// Whether the server takes the account no more, or not yet.
    pub fn is_of_account(&self) -> bool {
        matches!(self, Self::Connect(error) if error.is_of_account())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_refuses_is_there() {
        let refused =
            |code| ConnectError::Refused(ErrPacket { code, sql_state: *b"HY000", message: Vec::new() });
        for there in [
            refused(1040),
            refused(1045),
            refused(1049),
            refused(1045).of_account(),
            ConnectError::NoTls,
            ConnectError::Tls(io::Error::new(io::ErrorKind::InvalidData, "a certificate")),
        ] {
            assert!(!there.finds_no_server(), "{there}");
        }
        for nobody in [
            ConnectError::Unresolved("db".to_owned()),
            ConnectError::Io(io::ErrorKind::ConnectionRefused.into()),
            ConnectError::Timeout(Duration::from_secs(3)),
            ConnectError::Closed,
            ConnectError::Tls(io::ErrorKind::UnexpectedEof.into()),
        ] {
            assert!(nobody.finds_no_server(), "{nobody}");
        }
    }
}
