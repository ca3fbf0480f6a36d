//! The label values: each label is a closed enum, so the number of time series is known when Athena is built.

use crate::protocol::command::Command;

/// A label of a family: the values that it can have.
pub trait Label: Copy + 'static {
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];
    /// Where this value stands in [`Label::ALL`].
    fn index(self) -> usize;
    /// The text of the value.
    fn name(self) -> &'static str;
}

/// An enum whose variants are the values of a label. `COUNT` is fit for the type of a field.
macro_rules! labels {
    ($($(#[$doc:meta])* $label:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
            pub enum $label {
                $($(#[$variant_doc])* $variant,)*
            }

            impl $label {
                /// How many values there are.
                pub const COUNT: usize = <Self as Label>::ALL.len();
            }

            impl Label for $label {
                const ALL: &'static [Self] = &[$($label::$variant,)*];

                fn index(self) -> usize {
                    self as usize
                }

                fn name(self) -> &'static str {
                    match self {
                        $($label::$variant => $name,)*
                    }
                }
            }
        )*
    };
}

labels! {
    /// Where a command was answered.
    Target {
        Primary = "primary",
        Replica = "replica",
        /// By Athena itself, without a backend.
        Local = "local",
    }

    /// What became of a statement about sharded tables.
    Sharded {
        /// It was for one shard.
        One = "one",
        /// It was read from several, and merged.
        Read = "read_of_several",
        /// It was written to several.
        Write = "write_of_several",
        /// It was for all, one after the other.
        Definition = "definition",
        /// It can't be done with certainty.
        Refused = "refused",
    }

    /// How a transaction on several servers has ended.
    CrossShard {
        Committed = "committed",
        RolledBack = "rolled_back",
        /// Its first server is gone, and the recovery ends it when that is back.
        Unknown = "unknown",
        /// It was in doubt, and the recovery has committed a branch of it.
        RecoveredCommitted = "recovered_committed",
        RecoveredRolledBack = "recovered_rolled_back",
    }

    /// Why a statement went where it went, in a cluster with replicas.
    RouteReason {
        /// It only reads.
        Read = "read",
        /// By a comment in its text.
        Hint = "hint",
        /// By `@athena_target`.
        Variable = "variable",
        /// Reads of this account are not split.
        NotSplit = "not_split",
        /// The session has something on a link, which is that server's.
        Kept = "kept",
        /// It is a command of the protocol, not a statement.
        Command = "command",
        Transaction = "transaction",
        /// All of it runs on a replica.
        ReadOnlyTransaction = "read_only_transaction",
        Write = "write",
        LockingRead = "locking_read",
        IntoFile = "into_file",
        UserVariableWrite = "user_variable_write",
        SystemVariable = "system_variable",
        StateFunction = "state_function",
        NamedLock = "named_lock",
        Sequence = "sequence",
        StoredFunction = "stored_function",
        ServerTables = "server_tables",
        Explain = "explain",
        SessionState = "session_state",
        Call = "call",
        Definition = "definition",
        Administration = "administration",
        Several = "several",
        Unsure = "unsure",
        /// It fetches its rows by and by.
        Cursor = "cursor",
        /// No replica may have reads.
        NoReplica = "no_replica",
        /// No replica had in time what the session has written.
        NotCaughtUp = "not_caught_up",
        /// The servers do not tell what the session has written.
        Untracked = "untracked",
    }

    /// How a read found what it was to find on a replica.
    CatchUp {
        /// It was known to be there.
        Known = "known",
        /// The replica was asked, and had it or got it in time.
        Waited = "waited",
        /// It had not: the read went to the primary.
        TimedOut = "timed_out",
    }

    /// Why a statement was sent once more, of which the client was told nothing.
    RetryReason {
        /// The server said that it is read-only.
        Demoted = "demoted",
        /// The connection was lost under a read.
        Lost = "lost",
        /// The replica did not have a table, column or routine yet.
        Behind = "behind",
    }

    /// Why the rate limit turned a statement away.
    RateLimitReason {
        QueueFull = "queue_full",
        Timeout = "timeout",
        Shutdown = "shutdown",
    }

    /// Why a client connection was refused or ended before it was logged in.
    RefusedReason {
        /// `max_connections`, of the instance or of the user.
        Limit = "limit",
        /// `max_connections_per_address`.
        AddressLimit = "address_limit",
        /// `max_logins`.
        LoginLimit = "login_limit",
        AccessDenied = "access_denied",
        /// Bytes that are not a login.
        Handshake = "handshake",
        /// The login took too long.
        Timeout = "timeout",
        /// No backend to learn the greeting from or to log in to.
        Unavailable = "unavailable",
        Shutdown = "shutdown",
    }

    /// What kind of error Athena itself answered to a client that is logged in.
    ErrorKind {
        /// A packet that breaks the protocol.
        Protocol = "protocol",
        /// A packet, statement or queue above its limit.
        TooLarge = "too_large",
        /// A command or statement that Athena does not support.
        Unsupported = "unsupported",
        /// An id of a prepared statement that the session does not have.
        UnknownStatement = "unknown_statement",
        /// The rate limit of the (user, shard).
        RateLimit = "rate_limit",
        /// No free link within `checkout_timeout_ms`.
        CheckoutTimeout = "checkout_timeout",
        /// No link was connected and logged in within `connect_timeout_ms`.
        ConnectTimeout = "connect_timeout",
        /// The backend can't be reached or does not let Athena in.
        Unavailable = "unavailable",
        /// A transaction was lost with its server, and may be tried again.
        TransactionLost = "transaction_lost",
        /// The link was lost while a statement was on it.
        LinkLost = "link_lost",
        /// The backend did not answer in time.
        BackendTimeout = "backend_timeout",
        /// The client was idle for too long.
        ClientTimeout = "client_timeout",
        /// The same in a transaction, or with locks.
        IdleTransaction = "idle_transaction",
        /// The client did not read its result, or did not finish a command, within `write_timeout_ms`.
        WriteTimeout = "write_timeout",
        /// Ended by `KILL`.
        Killed = "killed",
        /// Athena is draining.
        Shutdown = "shutdown",
        /// Still at work when `drain_timeout_ms` was over.
        DrainTimeout = "drain_timeout",
        /// A bug: an invariant of Athena did not hold.
        Internal = "internal",
    }

    /// Where the breaker of a backend stands, on one core.
    BreakerState {
        Closed = "closed",
        /// No link is tried.
        Open = "open",
        /// One link is tried.
        HalfOpen = "half_open",
    }

    /// Which way bytes went, seen from Athena.
    Direction {
        ClientIn = "client_in",
        ClientOut = "client_out",
        BackendIn = "backend_in",
        BackendOut = "backend_out",
    }

    /// What a link is doing.
    LinkState {
        /// Free in the pool.
        Idle = "idle",
        /// Lent for one statement.
        Busy = "busy",
        /// Kept by a session; [`BoundReason`] tells why.
        Bound = "bound",
        /// Being dialled or logged in.
        Connecting = "connecting",
    }

    /// Why a session keeps a link.
    BoundReason {
        Transaction = "transaction",
        /// State that Athena can't carry to another link.
        SessionState = "session_state",
        /// Table locks, `GET_LOCK`, a global read lock.
        Lock = "lock",
        TemporaryTable = "temporary_table",
        /// `HANDLER ... OPEN`.
        Handler = "handler",
        /// Statements prepared as text (`PREPARE ... FROM`).
        TextPrepare = "text_prepare",
        /// Warnings and the like of the last statement, for the moment until they are read out.
        Unread = "unread",
        Cursor = "cursor",
        /// Parameters sent ahead of EXECUTE.
        LongData = "long_data",
        /// A command larger than Athena buffers, passed on while it arrives.
        Oversized = "oversized",
        /// A replica registered, or is sent the binary log.
        Replication = "replication",
        /// A statement whose effects on the session can't be known, such as `CALL`.
        Unknown = "unknown",
    }

    /// Why a link was closed.
    ClosedReason {
        /// Unused for `idle_timeout_ms`.
        Idle = "idle",
        /// Older than `max_lifetime_ms`.
        Age = "age",
        /// A socket error, a time-out, or bytes that break the protocol.
        Error = "error",
        /// It came back with state that a reset does not clear.
        Dirty = "dirty",
        /// It does not fit what sessions need now: another version, other settings.
        Mismatch = "mismatch",
        /// Another core needed its place.
        Elsewhere = "elsewhere",
        /// Its server is no longer the primary.
        Demoted = "demoted",
        Shutdown = "shutdown",
        /// A `KILL` was aimed at the statement that it had.
        Killed = "killed",
        /// The server ended it.
        ServerClosed = "server_closed",
    }
}

/// The values of the `command` label are the protocol's commands.
impl Label for Command {
    const ALL: &'static [Self] = Command::ALL;

    /// The codes run from 0 without a gap up to the last one, which is far above (a test holds this).
    fn index(self) -> usize {
        usize::from(self as u8).min(Self::ALL.len() - 1)
    }

    fn name(self) -> &'static str {
        Command::name(self)
    }
}
