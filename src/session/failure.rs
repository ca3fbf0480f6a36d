//! What can go wrong in a session, and what its client is told of it: the one table.

use std::io;
use std::time::Duration;

use crate::metrics::label::ErrorKind;
use crate::pool::{ConnectError, LinkError, PoolError};
use crate::protocol::error::{ErrorCode, ServerError};
use crate::protocol::packet::PacketError;
use crate::protocol::response::ErrPacket;

/// Why a session ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("the client left")]
    Quit,
    #[error("the client's connection failed: {0}")]
    Lost(#[from] io::Error),
    /// The client was told why in a last packet, or could not be told.
    #[error("ended by Athena: {0}")]
    Told(String),
}

/// A command that fails without harm to the session: an error goes to the client, counted under `kind`.
#[derive(Debug)]
pub(super) struct Refusal {
    /// `None` for an error of the server itself, passed on.
    pub kind: Option<ErrorKind>,
    pub error: ServerError,
    /// The session can't go on after it.
    pub fatal: bool,
    /// Sequence id of the error packet; `None` if none can be sent, since the client is in the middle of another.
    pub seq: Option<u8>,
}

/// Why a command has no reply to give.
#[derive(Debug)]
pub(super) enum Stop {
    Refuse(Box<Refusal>),
    End(End),
}

impl<T: Into<Refusal>> From<T> for Stop {
    fn from(refusal: T) -> Self {
        Self::Refuse(Box::new(refusal.into()))
    }
}

impl From<Box<Refusal>> for Stop {
    fn from(refusal: Box<Refusal>) -> Self {
        Self::Refuse(refusal)
    }
}

impl From<End> for Stop {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

impl Refusal {
    pub fn new(kind: ErrorKind, code: ErrorCode, message: impl Into<String>) -> Self {
        Self { kind: Some(kind), error: ServerError::new(code, message.into()), fatal: false, seq: Some(1) }
    }

    /// The server's own words.
    pub fn of_server(err: ErrPacket) -> Self {
        let message = String::from_utf8_lossy(&err.message).into_owned();
        let error = ServerError { code: err.code, sql_state: err.sql_state, message: message.into() };
        Self { kind: None, error, fatal: false, seq: Some(1) }
    }

    /// With more behind its message.
    pub fn with(mut self, more: &str) -> Self {
        self.error.message = [&self.error.message[..], more].concat().into();
        self
    }

    /// The session ends after this.
    pub fn fatal(mut self) -> Self {
        self.fatal = true;
        self
    }

    /// Whether the link that the command was for is as good as before: it is not where a wait for its answer was cut
    /// short, as it is for the end of a session.
    pub fn leaves_link(&self) -> bool {
        !self.fatal && !matches!(self.kind, Some(ErrorKind::LinkLost | ErrorKind::BackendTimeout))
    }

    /// Whether the connection to the server was lost.
    pub fn is_lost_link(&self) -> bool {
        self.kind == Some(ErrorKind::LinkLost)
    }

    pub fn unsupported(what: &str) -> Self {
        let message = format!("This version of Athena doesn't yet support '{what}'");
        Self::new(ErrorKind::Unsupported, ErrorCode::NotSupportedYet, message)
    }

    pub fn unknown_command() -> Self {
        Self::new(ErrorKind::Unsupported, ErrorCode::UnknownCommand, "Unknown command")
    }

    pub fn malformed() -> Self {
        Self::new(ErrorKind::Protocol, ErrorCode::MalformedPacket, "Malformed communication packet.")
    }

    pub fn unknown_statement(id: u32, function: &str) -> Self {
        let message = format!("Unknown prepared statement handler ({id}) given to {function}");
        Self::new(ErrorKind::UnknownStatement, ErrorCode::UnknownStmtHandler, message)
    }

    pub fn queue_full(user: &str, shard: u32, class: u32) -> Self {
        let message = format!(
            "Too many statements: those of user '{user}' on shard {shard} fill the queue ({} queue_size); try again later",
            section_of(class)
        );
        Self::new(ErrorKind::RateLimit, ErrorCode::ConCount, message)
    }

    pub fn queue_timeout(user: &str, shard: u32, class: u32, limit: Duration) -> Self {
        let message = format!(
            "Wait timeout exceeded: no place among the running statements of user '{user}' on shard {shard} became free \
             within {} ms ({} queue_timeout_ms)",
            limit.as_millis(),
            section_of(class)
        );
        Self::new(ErrorKind::RateLimit, ErrorCode::LockWaitTimeout, message)
    }

    pub fn shutdown() -> Self {
        Self::new(ErrorKind::Shutdown, ErrorCode::ServerShutdown, "Server shutdown in progress").fatal()
    }

    /// The drain has taken as long as it may.
    pub fn drain_timeout(limit: Duration) -> Self {
        let message = format!(
            "Server shutdown in progress, and this was not done in time ([server] drain_timeout_ms is {})",
            limit.as_millis()
        );
        Self::new(ErrorKind::DrainTimeout, ErrorCode::ServerShutdown, message).fatal()
    }

    /// KILL QUERY: the words of a server.
    pub fn interrupted() -> Self {
        Self::new(ErrorKind::Killed, ErrorCode::QueryInterrupted, "Query execution was interrupted")
    }

    /// KILL CONNECTION: the words of a MariaDB.
    pub fn connection_killed() -> Self {
        Self::new(ErrorKind::Killed, ErrorCode::ConnectionKilled, "Connection was killed").fatal()
    }

    pub fn unknown_thread(id: u64) -> Self {
        Self { kind: None, ..Self::of_kill(ErrorCode::NoSuchThread, format!("Unknown thread id: {id}")) }
    }

    pub fn not_owner(id: u32) -> Self {
        Self {
            kind: None,
            ..Self::of_kill(ErrorCode::KillDenied, format!("You are not owner of thread {id}"))
        }
    }

    /// It may have reached the server, or not.
    pub fn kill_failed(reason: &str) -> Self {
        let message = format!("KILL could not be carried out on the backend: {reason}");
        Self::new(ErrorKind::Unavailable, ErrorCode::ServerIsntAvailable, message)
    }

    pub fn list_failed(reason: &str) -> Self {
        let message = format!("The backend's list of processes could not be read: {reason}");
        Self::new(ErrorKind::Unavailable, ErrorCode::ServerIsntAvailable, message)
    }

    /// Another core of Athena did not answer.
    pub fn core_silent(core: u32) -> Self {
        let message = format!("Core {core} of Athena did not answer in time");
        Self::new(ErrorKind::Internal, ErrorCode::UnknownError, message)
    }

    pub fn unclear_connection_id() -> Self {
        Self::unsupported(
            "CONNECTION_ID() or @@pseudo_thread_id in a statement that servers may read in more than one way (code in \
             comments, or a character set such as GBK)",
        )
    }

    fn of_kill(code: ErrorCode, message: String) -> Self {
        Self::new(ErrorKind::Killed, code, message)
    }

    /// A command came in one packet and has to go out with more in it, for which that has no room.
    pub fn outgrown(with: &str) -> Self {
        let message = format!("Got a packet bigger than 16 MiB with {with}");
        Self::new(ErrorKind::TooLarge, ErrorCode::NetPacketTooLarge, message)
    }

    /// The statement asks about the one before in a way in which nothing but the link where that ran can answer.
    pub fn other_link() -> Self {
        Self::unsupported(
            "ROW_COUNT(), FOUND_ROWS() or warnings of the statement before, asked for in a block of statements or as a \
             prepared statement,",
        )
    }

    /// What the session has set can't be set on a backend connection: there the statement would mean something else.
    pub fn not_replayed(err: ErrPacket) -> Self {
        let message =
            [b"The state of the session could not be set on a backend connection: ", &err.message[..]]
                .concat();
        Self::of_server(ErrPacket { message, ..err })
    }

    pub fn idle(limit: Duration) -> Self {
        let message = format!(
            "The client was disconnected by the server because of inactivity for {} s ([server] idle_timeout_ms)",
            limit.as_secs()
        );
        let refusal = Self::new(ErrorKind::ClientTimeout, ErrorCode::ClientInteractionTimeout, message);
        Self { seq: Some(0), ..refusal }.fatal()
    }

    /// The code is MariaDB's for a connection that it ends, which drivers take for the end of one.
    pub fn idle_transaction(limit: Duration) -> Self {
        let message = format!(
            "Connection was killed: it had a transaction or locks, and sent no command for {} ms \
             ([server] idle_transaction_timeout_ms)",
            limit.as_millis()
        );
        let refusal = Self::new(ErrorKind::IdleTransaction, ErrorCode::ConnectionKilled, message);
        Self { seq: Some(0), ..refusal }.fatal()
    }

    pub fn backend_timeout(limit: Duration) -> Self {
        let message = format!(
            "Lost connection to the backend: no answer within {} ms ([pool] query_timeout_ms)",
            limit.as_millis()
        );
        Self::new(ErrorKind::BackendTimeout, ErrorCode::NetReadInterrupted, message)
    }
}

/// Where the limits of a class are written.
fn section_of(class: u32) -> String {
    match class {
        0 => "[circuit]".to_owned(),
        number => format!("[[limits]] number {number},"),
    }
}

impl From<PoolError> for Refusal {
    fn from(error: PoolError) -> Self {
        match &error {
            PoolError::Timeout(_) => {
                let message = format!("Backend not available: {error}");
                Self::new(ErrorKind::CheckoutTimeout, ErrorCode::ServerIsntAvailable, message)
            }
            PoolError::Connect(connect) => match &**connect {
                ConnectError::Refused(err) if connect.is_about_schema() => Self::of_server(err.clone()),
                ConnectError::AccountRefused(err) => Self::of_server(err.clone()),
                ConnectError::Suspended { .. } => {
                    let message = format!("Backend not available: {connect}");
                    Self::new(ErrorKind::Unavailable, ErrorCode::ServerIsntAvailable, message)
                }
                connect => {
                    let message = format!("Can't connect to the backend: {connect}");
                    let kind = match connect {
                        ConnectError::Timeout(_) => ErrorKind::ConnectTimeout,
                        _ => ErrorKind::Unavailable,
                    };
                    Self::new(kind, ErrorCode::ServerIsntAvailable, message)
                }
            },
            PoolError::Closed => Self::shutdown(),
        }
    }
}

impl From<LinkError> for Refusal {
    fn from(error: LinkError) -> Self {
        let message = format!("Lost connection to the backend during the statement ({error})");
        Self::new(ErrorKind::LinkLost, ErrorCode::NetReadError, message)
    }
}

impl From<PacketError> for Refusal {
    fn from(error: PacketError) -> Self {
        match error {
            PacketError::OutOfOrder { .. } => {
                Self::new(ErrorKind::Protocol, ErrorCode::NetPacketsOutOfOrder, "Got packets out of order")
                    .fatal()
            }
            PacketError::TooLarge { max, .. } => {
                let message = format!("Got a packet bigger than {max} bytes ([server] max_packet_bytes)");
                Self::new(ErrorKind::TooLarge, ErrorCode::NetPacketTooLarge, message).fatal()
            }
        }
    }
}
