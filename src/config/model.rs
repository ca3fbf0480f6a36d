//! The resolved configuration: what the other rooms see.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use zeroize::Zeroizing;

use super::sharding::Sharding;
use super::tls::TlsFiles;
use crate::protocol::auth::Credential;

/// A whole configuration, valid as far as the file alone can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The side of the clients.
    pub server: Server,
    /// Cores and their rings.
    pub runtime: Runtime,
    /// Who the clients are.
    pub auth: Auth,
    /// What clients are served from; never empty. The flat file gives one, named `default`.
    pub clusters: Vec<Cluster>,
    /// Where `/metrics` and `/health` are served; `None` when they are turned off.
    pub metrics: Option<SocketAddr>,
    /// What is logged, and how.
    pub log: Log,
}

/// The side of the clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// A Unix socket where they connect as well.
    pub unix_socket: Option<PathBuf>,
    /// `None` offers no TLS.
    pub tls: Option<ServerTls>,
    /// What clients may compress by.
    pub compression: ClientCompression,
    /// Clients at a time, whole process.
    pub max_connections: usize,
    /// Of one address, or one /64 network of IPv6; `None` is no limit of its own.
    pub max_connections_per_address: Option<usize>,
    /// Clients that have not logged in, whole process, beyond which those that don't speak give way.
    pub max_logins: usize,
    /// From a client's connect to the end of its login.
    pub login_timeout: Duration,
    /// Between two commands of a client.
    pub idle_timeout: Duration,
    /// The same while the client has a transaction or locks that others may wait for; `None` is no other limit.
    pub idle_transaction_timeout: Option<Duration>,
    /// Without progress while a client has bytes to take.
    pub write_timeout: Duration,
    /// From the signal to stop to the end of what still runs; may be zero.
    pub drain_timeout: Duration,
    /// Longest payload taken from a client.
    pub max_packet_bytes: usize,
    /// Longest payload that is collected before it is passed on.
    pub command_buffer_bytes: usize,
    /// Peers whose PROXY headers are believed.
    pub proxy_protocol: Vec<Origin>,
    /// The plugin named in the greeting; a client that starts with another is switched to it.
    pub auth_plugin: AuthPlugin,
}

/// TLS towards clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// Where certificates and keys come from.
    pub(super) files: TlsFiles,
    /// What connections are accepted with, as of the start.
    pub acceptor: Acceptor,
    /// Clients without TLS are turned away.
    pub required: bool,
    /// Clients without a certificate fail in the handshake.
    pub client_certificates: bool,
}

/// Certificate, key and demands of a server.
#[derive(Clone)]
pub struct Acceptor(pub Arc<ServerConfig>);

/// What clients may compress by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientCompression {
    /// `CLIENT_COMPRESS`.
    pub zlib: bool,
    /// `CLIENT_ZSTD_COMPRESSION_ALGORITHM`.
    pub zstd: bool,
}

/// What links compress by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkCompression {
    /// Packets go as they are.
    Off,
    /// Every server has it.
    Zlib,
    /// MySQL has it since 8.0, MariaDB has it not.
    Zstd,
}

/// TLS towards a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkTls {
    /// Clear text.
    Disabled,
    /// Where the server offers it.
    Preferred(Connector),
    /// Or no link.
    Demanded(Connector),
}

/// Demands on a server, and the name that its certificate may have to bear.
#[derive(Clone)]
pub struct Connector {
    /// What is demanded.
    pub config: Arc<ClientConfig>,
    /// The host of the configuration.
    pub name: ServerName<'static>,
}

/// Who the clients are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    pub source: AuthSource,
    /// Between two readings of the server's accounts.
    pub refresh_min_interval: Duration,
}

/// Where accounts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthSource {
    Config,
    /// The server's own tables.
    Backend,
}

/// How a client proves its password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthPlugin {
    /// `mysql_native_password`.
    Native,
    /// `caching_sha2_password`.
    CachingSha2,
    /// MariaDB's `client_ed25519`.
    Ed25519,
}

/// Cores and their rings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Which CPUs get a core executor.
    pub cpus: Cpus,
    /// How many each of them gets.
    pub cores_per_cpu: usize,
    /// The CPU of the control executor; `None` leaves it unpinned.
    pub control_cpu: Option<usize>,
    /// Busy-polling before a core sleeps; zero is none.
    pub spin: Duration,
    /// Submission entries of a core's ring; a power of two.
    pub ring_entries: u32,
    /// Receive buffers that a core starts with.
    pub buffers: usize,
    /// Size of one of them.
    pub buffer_bytes: usize,
}

/// Which CPUs get a core executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cpus {
    /// All that the process may run on.
    Auto,
    /// These, in the order of the file; not empty, no duplicates.
    List(Vec<usize>),
}

/// One primary with its replicas and the accounts that may use them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// `default` for the flat file.
    pub name: String,
    /// The server that takes writes.
    pub primary: Instance,
    /// Servers that follow the primary, and may take its place.
    pub replicas: Vec<Replica>,
    /// Who may log in; never empty, names are unique.
    pub accounts: Vec<Account>,
    /// Links to each instance.
    pub pool: Pool,
    /// Statements at a time.
    pub circuit: Circuit,
    /// Which of the servers gets a statement.
    pub routing: Routing,
    /// How servers are looked after, where there are several.
    pub health: Health,
    /// Which tables are several.
    pub sharding: Sharding,
}

impl Cluster {
    /// All servers: the one of `[backend]`, then its replicas in the order of the file.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        std::iter::once(&self.primary).chain(self.replicas.iter().map(|replica| &replica.instance))
    }
}

/// A MySQL server and how links log in to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// A host name or an IP address without brackets; not resolved.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Links go through this Unix socket, not to host and port.
    pub unix_socket: Option<PathBuf>,
    /// Encryption of links.
    pub tls: LinkTls,
    /// Compression of links.
    pub compression: LinkCompression,
    /// Links begin with a PROXY header.
    pub proxy_protocol: bool,
    /// The account of links, whoever the client is.
    pub user: String,
    /// Its password, maybe empty.
    pub password: Secret,
    /// The database that links open with.
    pub database: Option<String>,
}

impl fmt::Display for Instance {
    /// Where it is: `host:port`, or the path of its socket.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.unix_socket {
            Some(path) => write!(f, "{}", path.display()),
            None => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A server that follows the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Where it is.
    pub instance: Instance,
    /// Its share of the reads, beside the others'; 0 is none.
    pub weight: u32,
    /// It is in the group that goes before all others.
    pub is_near: bool,
    /// It gets no more reads.
    pub draining: bool,
}

/// Which of a cluster's servers gets a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routing {
    /// Whether reads go to replicas, of accounts that have no other setting.
    pub read_write_split: bool,
    /// What a read has to find.
    pub read_your_writes: ReadYourWrites,
    /// How long it waits for a replica that has it.
    pub read_your_writes_timeout: Duration,
    /// A replica that is further behind gets no reads.
    pub max_replica_lag: Duration,
    /// While no replica may have reads, they fail; else they go to the primary.
    pub fails_without_replica: bool,
    /// Among those that may have one.
    pub replica_choice: ReplicaChoice,
    /// Whether read-only transactions go to replicas.
    pub splits_transactions: bool,
    /// Functions and procedures that only read.
    pub read_only_routines: Vec<RoutineName>,
    /// How long a statement waits for a primary while there is none; may be zero.
    pub failover_wait: Duration,
}

/// What a read has to find on a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadYourWrites {
    /// Whatever is there.
    Off,
    /// What its own session has written.
    Session,
    /// What anybody has written before it began.
    Global,
}

/// Which replica gets a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaChoice {
    /// In turn, in proportion to their weights.
    Weighted,
    /// The one with the fewest statements for its weight, on the core that asks.
    LeastOutstanding,
    /// The one that answers soonest.
    Latency,
}

/// How servers are looked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Between two looks.
    pub interval: Duration,
    /// For one of them.
    pub timeout: Duration,
    /// So many in a row that fail make a server count as down.
    pub failures: usize,
    /// So many in a row that succeed make it count as up.
    pub recoveries: usize,
    /// Who looks; `None` is the account of the server's links.
    pub account: Option<BackendLogin>,
}

/// Someone who may log in to Athena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user name of the login.
    pub name: String,
    /// What proves its password.
    pub credential: Credential,
    /// The database of a client that names none: the account's own, else the backend's.
    pub default_database: Option<String>,
    /// Its clients at a time, whole process; `None` is no limit but the server's.
    pub max_connections: Option<usize>,
    /// Where its clients may come from; `None` is everywhere.
    pub allowed: Option<Vec<Origin>>,
    /// What its clients' connections have to be.
    pub tls: AccountTls,
    /// The account of its links; `None` is the instance's own.
    pub backend: Option<BackendLogin>,
    /// Whether its reads go to replicas; `None` is as for all others.
    pub read_write_split: Option<bool>,
}

/// An account of the server, as links log in with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendLogin {
    pub user: String,
    /// Its password, maybe empty.
    pub password: Secret,
}

/// What the connection of an account's client has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountTls {
    /// Anything.
    Optional,
    /// Encrypted.
    Required,
    /// Encrypted, and the client has shown a certificate.
    Certificate,
}

/// Where clients come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This host: a Unix socket, or a loopback address.
    Localhost,
    Network(IpNet),
}

impl Origin {
    /// `localhost`, an address, or a network.
    pub fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("localhost") {
            return Some(Self::Localhost);
        }
        let address = text.parse::<IpAddr>().ok().map(IpNet::from);
        address.or_else(|| text.parse().ok()).map(Self::Network)
    }

    /// Whether a client comes from here; `None` is a Unix socket.
    pub fn covers(&self, address: Option<IpAddr>) -> bool {
        match (self, address.map(|address| address.to_canonical())) {
            (Self::Localhost, address) => address.is_none_or(|address| address.is_loopback()),
            (Self::Network(network), Some(address)) => network.contains(&address),
            (Self::Network(_), None) => false,
        }
    }
}

/// Links to one instance; numbers are for the whole process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Links, busy and idle.
    pub max_connections: usize,
    /// Idle links kept ready; at most `max_connections`.
    pub min_idle: usize,
    /// Links being opened at a time; at most `max_connections`.
    pub max_connecting: usize,
    /// An idle link is closed after this.
    pub idle_timeout: Duration,
    /// A link is closed at this age; `None` is never.
    pub max_lifetime: Option<Duration>,
    /// How long a statement waits for a link.
    pub checkout_timeout: Duration,
    /// Connect and login of a link, together.
    pub connect_timeout: Duration,
    /// How long the server has for a statement; `None` is no limit.
    pub query_timeout: Option<Duration>,
    /// How long the server has to end one that took longer.
    pub query_kill_timeout: Duration,
    /// When it is no use to try; from `[circuit]`.
    pub breaker: Breaker,
    /// Statements that a link keeps prepared on the server.
    pub max_prepared_statements: usize,
    /// Procedures and functions that change nothing of a session but what servers tell: calls of these keep no link.
    pub movable_routines: Vec<RoutineName>,
}

/// When no new link to an instance is tried for a while; each core counts for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// After so many failures in a row; 0 is never.
    pub failures: usize,
    /// When this part of the calls within `window` failed; 0 is never.
    pub failure_ratio_percent: usize,
    /// What that part is of.
    pub window: Duration,
    /// Fewer calls say nothing.
    pub window_calls: usize,
    /// For how long, the first time.
    pub open: Duration,
    /// And at most, when attempts go on failing.
    pub open_max: Duration,
}

/// A procedure or a function by its name, in one schema or in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutineName {
    pub schema: Option<String>,
    pub name: String,
}

impl RoutineName {
    /// Whether a call of this name, in this schema, means it. Servers know no case in the names of routines.
    pub fn is(&self, schema: Option<&[u8]>, name: &[u8]) -> bool {
        let in_schema = self.schema.as_deref().is_none_or(|own| schema == Some(own.as_bytes()));
        in_schema && self.name.as_bytes().eq_ignore_ascii_case(name)
    }
}

/// Statements at a time of one (user, shard); numbers are for the whole process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circuit {
    /// False lets everything through.
    pub enabled: bool,
    /// Statements that run.
    pub max_concurrent: usize,
    /// Statements that wait; may be zero.
    pub queue_size: usize,
    /// How long they wait.
    pub queue_timeout: Duration,
    /// Those of some statements; the first that fits counts.
    pub overrides: Vec<LimitOverride>,
}

/// The limits of some statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitOverride {
    /// Of this user; `None` is everybody.
    pub user: Option<String>,
    /// On this shard; `None` is any.
    pub shard: Option<u32>,
    /// That differ from this one in values only; `None` is all.
    pub statement: Option<String>,
    /// Statements of one user on one shard that run.
    pub max_concurrent: usize,
    /// Statements that wait; may be zero.
    pub queue_size: usize,
    /// How long they wait.
    pub queue_timeout: Duration,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A level or a filter in the syntax of `RUST_LOG`, known to be readable.
    pub level: String,
    /// How an event is written.
    pub format: LogFormat,
    /// Statements that take longer are logged; `None` is none.
    pub slow_query: Option<Duration>,
}

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A password: it shows itself to [`Secret::expose`] only, never to a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Hides `bytes`.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The password itself, without a terminator.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hidden")
    }
}
