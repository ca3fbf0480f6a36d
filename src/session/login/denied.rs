//! Why somebody is not let in, and how clients come.

use crate::metrics::label::RefusedReason;
use crate::pool::PoolError;
use crate::protocol::error::{ErrorCode, ServerError};

use super::super::failure::Refusal;
use super::clients::TooMany;

/// How a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum Transport {
    Tcp,
    UnixSocket,
    Tls {
        /// The client has shown a certificate that one of `client_ca` has signed.
        certificate: bool,
    },
}

impl Transport {
    /// Nobody on the way can read what is said: a password may go as it is.
    pub fn is_secure(self) -> bool {
        self != Self::Tcp
    }
}

/// Why somebody was not let in.
pub(super) struct Denied {
    pub reason: RefusedReason,
    /// `None` when the client is gone, or would not understand.
    pub error: Option<ServerError>,
    /// What the log says where the client is told nothing.
    pub note: String,
}

impl Denied {
    pub fn new(reason: RefusedReason, code: ErrorCode, message: impl Into<String>) -> Self {
        Self { reason, error: Some(ServerError::new(code, message.into())), note: String::new() }
    }

    pub fn handshake(message: impl Into<String>) -> Self {
        Self::new(RefusedReason::Handshake, ErrorCode::HandshakeError, message)
    }

    pub fn silent() -> Self {
        Self { reason: RefusedReason::Handshake, error: None, note: String::new() }
    }

    /// For the log alone.
    pub fn unheard(note: String) -> Self {
        Self { reason: RefusedReason::Handshake, error: None, note }
    }

    pub fn unavailable(refusal: Refusal) -> Self {
        Self { reason: RefusedReason::Unavailable, error: Some(refusal.error), note: String::new() }
    }

    /// In the server's own words.
    pub fn by_server(refusal: Refusal) -> Self {
        Self { reason: RefusedReason::AccessDenied, error: Some(refusal.error), note: String::new() }
    }

    pub fn too_many(too_many: TooMany) -> Self {
        Self { reason: too_many.reason(), error: Some(too_many.error()), note: String::new() }
    }

    pub fn shutdown() -> Self {
        Self::new(RefusedReason::Shutdown, ErrorCode::ServerShutdown, "Server shutdown in progress")
    }
}

pub(super) fn unavailable(error: PoolError) -> Denied {
    Denied::unavailable(error.into())
}
