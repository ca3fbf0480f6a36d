//! From the greeting to the first OK: who is the client, and may it come in?

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use aws_lc_rs::rand;

use crate::config::{Acceptor, ClientCompression};
use crate::metrics::label::RefusedReason;
use crate::net::{Buf, Elapsed, Payload, Socket, Timer};
use crate::pool::{Identity, PoolError, ServerProfile, SmallReply, Want};
use crate::protocol::auth::{Plugin, Salt};
use crate::protocol::capability::{Capabilities, StatusFlags};
use crate::protocol::compression::{Algorithm, Role};
use crate::protocol::error::{ErrorCode, ServerError};
use crate::protocol::handshake::{ClientHello, Greeting, HandshakeResponse};
use crate::protocol::packet::{Packet, PacketReader, write_packet};
use crate::protocol::proxy_header::{self, Parsed, Source};
use crate::protocol::session_track::TrackedKinds;

use super::authenticate::{Account, Claim, Line, authenticate, offered_plugin, prove};
use super::context::{Context, Phase};
use super::driver::Session;
use super::failure::Refusal;
use super::holds::Holds;
use super::input::Input;
use super::registry::Who;

/// What is offered to clients, as far as the backend has it. Optional metadata is not among
/// it: what is offered works.
const OFFERED: Capabilities = Capabilities::LONG_PASSWORD
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
const OWN: Capabilities = Capabilities::PLUGIN_AUTH
    .union(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA)
    .union(Capabilities::CONNECT_ATTRS)
    .union(Capabilities::CONNECT_WITH_DB)
    .union(Capabilities::LONG_PASSWORD);

/// The longest packet of a login; names and attributes are far below.
pub(super) const PACKET_MAX: usize = 64 * 1024;

/// How a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
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
    note: String,
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

    pub fn shutdown() -> Self {
        Self::new(RefusedReason::Shutdown, ErrorCode::ServerShutdown, "Server shutdown in progress")
    }
}

/// A client on its way in.
struct Door {
    ctx: Rc<Context>,
    socket: Socket,
    reader: PacketReader,
    input: Input,
    transport: Transport,
    /// What came behind the last packet.
    rest: Option<Buf>,
    /// Where the client is; `None` on a Unix socket.
    peer: Option<SocketAddr>,
    /// What may be the beginning of a PROXY header; `None` when that is decided.
    header: Option<Vec<u8>>,
    /// Sequence id of the next packet that goes out.
    seq: u8,
    stage: Stage,
}

/// How far a login has come, and with it how the client can be told of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The client has not said what it can: errors carry no SQLSTATE.
    Unknown,
    /// In the TLS handshake an error packet would be nonsense.
    Handshake,
    /// The client has said what it can.
    Responded,
}

/// Logs a client in within `login_timeout`. `None`: it was refused, and told so.
pub(super) async fn log_in(
    ctx: Rc<Context>,
    socket: Socket,
    timer: Timer,
    peer: Option<SocketAddr>,
    id: u32,
) -> Option<Session> {
    let limit = ctx.config.server.login_timeout;
    let reader = PacketReader::new(1, PACKET_MAX);
    let transport = if peer.is_some() { Transport::Tcp } else { Transport::UnixSocket };
    let (input, rest) = (Input::default(), None);
    let mut door = Door {
        ctx: ctx.clone(),
        socket,
        reader,
        input,
        transport,
        rest,
        peer,
        header: Some(Vec::new()),
        seq: 0,
        stage: Stage::Unknown,
    };
    let outcome = timer.within(limit, door.admit(id)).await;
    let denied = match outcome {
        Ok(Ok(entered)) => return Some(entered.session(door, timer, id)),
        Ok(Err(denied)) => denied,
        Err(Elapsed) => {
            let message =
                format!("Login not finished within {} ms ([server] login_timeout_ms)", limit.as_millis());
            Denied::new(RefusedReason::Timeout, ErrorCode::NetReadInterrupted, message)
        }
    };
    ctx.metrics.connections_refused.of(denied.reason).inc();
    let error = denied.error.as_ref().map_or(denied.note, ToString::to_string);
    tracing::info!(target: "athena::login", id, peer = door.peer.map(tracing::field::display), reason = ?denied.reason, error, "client not let in");
    if let Some(error) = denied.error {
        let packet = match door.stage {
            Stage::Unknown => error.packet_before_login(door.seq),
            Stage::Handshake => return None,
            Stage::Responded => error.packet(door.seq),
        };
        let _ = timer.within(ctx.config.server.write_timeout.min(limit), door.socket.send(packet)).await;
    }
    None
}

/// A client that has been let in.
struct Entered {
    account: Account,
    capabilities: Capabilities,
    identity: Identity,
    schema: Option<Rc<[u8]>>,
    status: StatusFlags,
    tracked: TrackedKinds,
    /// That of the greeting.
    salt: Salt,
    knows_plugins: bool,
}

impl Entered {
    fn session(self, door: Door, timer: Timer, id: u32) -> Session {
        let who = Who {
            account: self.account.name.clone(),
            cluster: self.account.cluster,
            pool: door.ctx.clusters[self.account.cluster].pool.clone(),
            identity: self.identity.clone(),
        };
        let entry =
            door.ctx.registry.admit(id, who, self.schema.clone(), door.peer, timer.poker(), timer.now());
        let era = door.ctx.clusters[self.account.cluster].pool.eras.now();
        Session {
            ctx: door.ctx,
            socket: door.socket,
            transport: door.transport,
            timer,
            input: door.input,
            id,
            entry,
            capabilities: self.capabilities,
            account: self.account,
            salt: self.salt,
            knows_plugins: self.knows_plugins,
            failed_changes: 0,
            identity: self.identity,
            schema: self.schema,
            era,
            status: self.status,
            statements: Default::default(),
            bound: None,
            permit: None,
            holds: Holds::default(),
            trace: None,
            last_insert_id: 0,
            link_ended: false,
            inserted: false,
            mark: id,
            warnings: 0,
            tracked: self.tracked,
        }
    }
}

impl Door {
    async fn admit(&mut self, id: u32) -> Result<Entered, Denied> {
        let profile = self.profile().await?;
        let plugin = offered_plugin(&self.ctx);
        let salt = salt().ok_or_else(|| Denied::handshake("no random numbers"))?;
        let acceptor = self.ctx.acceptor();
        let tls = if acceptor.is_some() { Capabilities::SSL } else { Capabilities::empty() };
        let offered =
            (OFFERED & profile.capabilities) | OWN | tls | compression(&self.ctx.config.server.compression);
        let greeting = Greeting {
            version: profile.version.clone(),
            connection_id: id,
            scramble: salt,
            capabilities: offered,
            collation: profile.collation,
            status: first_status(&profile),
            auth_plugin: greeted(plugin).name().as_bytes().to_vec(),
        };
        let packet = self.converse(&greeting.encode()).await?;
        let response = self.response(packet, acceptor.as_ref()).await?;
        let claim = Claim {
            user: &response.username,
            plugin: response.auth_plugin.as_deref(),
            response: &response.auth_response,
            salt: &salt,
            anew: false,
            has_password: Cell::default(),
            peer: self.peer,
            transport: self.transport,
        };
        let ctx = self.ctx.clone();
        let admitted = authenticate(&ctx, self, &claim).await?;
        let schema = match &response.database {
            Some(name) => Some(Rc::from(&name[..])),
            None => admitted.default_database,
        };
        let capabilities = response.capabilities & offered;
        let collation =
            if response.collation == 0 { Identity::DEFAULT_COLLATION } else { response.collation };
        let identity = Identity::of_client(admitted.backend, collation, capabilities)
            .from_origin(ctx.told_origin(admitted.account.cluster, self.peer));
        let proof = prove(&ctx, &admitted.unproved, admitted.account.cluster, &identity, schema.as_ref());
        self.unless_ending(proof).await??;
        let status = first_status(&profile);
        let (account, tracked) = (admitted.account, first_tracked(&profile));
        let knows_plugins = response.auth_plugin.is_some();
        let entered =
            Entered { account, capabilities, identity, schema, status, tracked, salt, knows_plugins };
        self.welcome(&entered).await?;
        if let Some(algorithm) = algorithm(capabilities, response.zstd_level) {
            self.socket.compress(algorithm, Role::Server);
        }
        Ok(entered)
    }

    /// What the server behind is. Without any link yet, one has to be opened to know.
    async fn profile(&self) -> Result<Rc<ServerProfile>, Denied> {
        let Some(cluster) = self.ctx.clusters.first() else { return Err(Denied::silent()) };
        if let Some(profile) = cluster.pool.profile_of_now() {
            return Ok(profile);
        }
        let want = cluster.pool.plain_want(Identity::DEFAULT_COLLATION);
        let timer = Timer::new(&self.ctx.core.timers);
        match self.unless_ending(cluster.pool.checkout(&want, &timer)).await? {
            Ok(lease) => lease.give_back(),
            Err(error) => return Err(unavailable(error)),
        }
        cluster.pool.profile().ok_or_else(Denied::silent)
    }

    /// The client's response, inside TLS if it asks for that.
    async fn response(
        &mut self,
        packet: Packet,
        acceptor: Option<&Acceptor>,
    ) -> Result<HandshakeResponse, Denied> {
        let hello = ClientHello::parse(&packet.payload);
        let hello = match (hello, acceptor) {
            (Ok(ClientHello::SslRequest(_)), Some(acceptor)) => {
                self.encrypt(acceptor).await?;
                ClientHello::parse(&self.receive().await?.payload)
            }
            (Ok(ClientHello::SslRequest(_)), None) => {
                return Err(Denied::handshake(
                    "Athena offers no TLS here ([server.tls]): connect without it",
                ));
            }
            (hello, _) => hello,
        };
        let Ok(ClientHello::Response(response)) = hello else {
            return Err(Denied::handshake("Bad handshake"));
        };
        self.nothing_behind()?;
        self.stage = Stage::Responded;
        let required = self.ctx.config.server.tls.as_ref().is_some_and(|tls| tls.required);
        if required && !self.transport.is_secure() {
            let message =
                "Connections using insecure transport are prohibited while --require_secure_transport=ON.";
            return Err(Denied::new(RefusedReason::Handshake, ErrorCode::SecureTransportRequired, message));
        }
        Ok(response)
    }

    /// The TLS handshake. What came behind the request for it is a part of it.
    async fn encrypt(&mut self, acceptor: &Acceptor) -> Result<(), Denied> {
        self.stage = Stage::Handshake;
        let handshake = self.socket.accept_tls(&acceptor.0, self.rest.take());
        // A client that fails here has been told by an alert, if it can be told at all.
        self.unless_ending(handshake).await?.map_err(|error| Denied::unheard(error.to_string()))?;
        self.stage = Stage::Unknown;
        self.transport = Transport::Tls { certificate: self.socket.has_peer_certificate() };
        Ok(())
    }

    /// The OK that ends the login.
    async fn welcome(&mut self, entered: &Entered) -> Result<(), Denied> {
        let ok = crate::protocol::response::OkPacket {
            header: crate::protocol::response::OkPacket::HEADER,
            status: entered.status,
            ..crate::protocol::response::OkPacket::END_OF_ROWS
        };
        self.send(&ok.encode(entered.capabilities)).await
    }

    /// Sends a packet and waits for the one that answers it.
    async fn converse(&mut self, payload: &[u8]) -> Result<Packet, Denied> {
        let out = self.encode(payload);
        self.packet(Some(out)).await
    }

    /// Waits for a packet.
    async fn receive(&mut self) -> Result<Packet, Denied> {
        self.packet(None).await
    }

    async fn packet(&mut self, mut out: Option<Vec<u8>>) -> Result<Packet, Denied> {
        loop {
            let got = match out.take() {
                Some(out) => {
                    let exchange = self.socket.exchange(out, &self.socket);
                    self.unless_ending(exchange).await?.map_err(std::io::Error::from)
                }
                None => self.unless_ending(self.socket.receive()).await?,
            };
            let mut chunk = match got {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Err(Denied::silent()),
                Err(error) => return Err(Denied::unheard(error.to_string())),
            };
            if self.header.is_some() && !self.take_header(&mut chunk)? {
                continue;
            }
            let mut rest = &chunk[..];
            let packet = match self.reader.feed(&mut rest) {
                Ok(packet) => packet,
                Err(error) => return Err(Denied::handshake(format!("Bad handshake: {error}"))),
            };
            let used = chunk.len() - rest.len();
            chunk.advance(used);
            if let Some(packet) = packet {
                self.seq = packet.seq.wrapping_add(1);
                self.rest = Some(chunk).filter(|chunk| !chunk.is_empty());
                return Ok(packet);
            }
        }
    }

    /// Takes a PROXY header off the front of what the client sends first. False: more has to come.
    fn take_header(&mut self, chunk: &mut Buf) -> Result<bool, Denied> {
        let Some(mut bytes) = self.header.take() else { return Ok(true) };
        let before = bytes.len();
        bytes.extend_from_slice(chunk);
        match proxy_header::parse(&bytes) {
            Ok(Parsed::Incomplete) => {
                self.header = Some(bytes);
                Ok(false)
            }
            Ok(Parsed::NotAHeader) => {
                let mut begun = bytes.get(..before).unwrap_or_default();
                match self.reader.feed(&mut begun) {
                    Ok(_) => Ok(true),
                    Err(error) => Err(Denied::handshake(format!("Bad handshake: {error}"))),
                }
            }
            Ok(Parsed::Header(header)) => {
                let address = self.peer.map(|peer| peer.ip());
                let trusted = &self.ctx.config.server.proxy_protocol;
                if !trusted.iter().any(|origin| origin.covers(address)) {
                    let message =
                        "Bad handshake: a PROXY header from an address that [server] proxy_protocol lacks";
                    return Err(Denied::handshake(message));
                }
                match header.source {
                    Source::Proxy => {}
                    Source::Inet(client) => self.peer = Some(client),
                    Source::Unix => self.peer = None,
                }
                chunk.advance(header.len.saturating_sub(before));
                Ok(!chunk.is_empty())
            }
            Err(error) => Err(Denied::handshake(format!("Bad handshake: {error}"))),
        }
    }

    /// A client that does not wait for the answer: what follows is no part of a login.
    fn nothing_behind(&self) -> Result<(), Denied> {
        match self.rest {
            None => Ok(()),
            Some(_) => Err(Denied::handshake("Bad handshake: bytes behind the packet")),
        }
    }

    async fn send(&mut self, payload: &[u8]) -> Result<(), Denied> {
        let bytes: Payload = self.encode(payload).into();
        self.socket.send(bytes).await.map_err(|_| Denied::silent())
    }

    fn encode(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(payload.len() + 4);
        self.seq = write_packet(&mut bytes, self.seq, payload);
        self.reader.expect_seq(self.seq);
        bytes
    }

    /// Waits for `future`, unless the core drains.
    async fn unless_ending<F: Future>(&self, future: F) -> Result<F::Output, Denied> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            std::task::Poll::Ready(output) => std::task::Poll::Ready(Ok(output)),
            std::task::Poll::Pending if self.ctx.phase() > Phase::Serving => {
                std::task::Poll::Ready(Err(Denied::shutdown()))
            }
            std::task::Poll::Pending => std::task::Poll::Pending,
        })
        .await
    }
}

impl Line for Door {
    async fn ask(&mut self, payload: &[u8]) -> Result<Vec<u8>, Denied> {
        let packet = self.converse(payload).await?;
        self.nothing_behind()?;
        Ok(packet.payload)
    }

    async fn say(&mut self, payload: &[u8]) -> Result<(), Denied> {
        self.send(payload).await
    }
}

/// A schema that no link of the account has had yet has to be proved: a wrong one is an error of the login.
pub(super) async fn check_schema(
    ctx: &Rc<Context>,
    cluster: usize,
    identity: &Identity,
    schema: Option<&Rc<[u8]>>,
) -> Result<(), Denied> {
    let account = &identity.account;
    let Some(schema) = schema.filter(|schema| !ctx.knows_schema(account, schema)) else { return Ok(()) };
    let pool = &ctx.clusters[cluster].pool;
    let timer = Timer::new(&ctx.core.timers);
    let want = Want { identity: identity.clone(), schema: Some(schema.clone()), era: pool.eras.now() };
    let mut lease = pool.checkout(&want, &timer).await.map_err(unavailable)?;
    if lease.schema.as_ref() != Some(schema) {
        match lease.use_schema(schema).await {
            Ok(SmallReply::Err(err)) => {
                lease.give_back();
                return Err(Denied::by_server(Refusal::of_server(err)));
            }
            Ok(_) => {}
            Err(error) => return Err(Denied::unavailable(error.into())),
        }
    }
    lease.give_back();
    ctx.note_schema(account, schema, true);
    Ok(())
}

impl Session {
    /// The status of a session that has not done anything yet.
    pub fn first_status(&self) -> StatusFlags {
        self.cluster().pool.profile().map_or(StatusFlags::AUTOCOMMIT, |profile| first_status(&profile))
    }

    /// The changes that a new session is told of.
    pub fn first_tracked(&self) -> TrackedKinds {
        self.cluster().pool.profile().map_or(TrackedKinds::SCHEMA, |profile| first_tracked(&profile))
    }
}

/// The plugin of the greeting, in which there is no place for the nonce of a signature: its clients are told later.
fn greeted(plugin: Plugin) -> Plugin {
    if plugin == Plugin::Ed25519 { Plugin::Native } else { plugin }
}

/// The flags by which compression is offered.
fn compression(allowed: &ClientCompression) -> Capabilities {
    let mut flags = Capabilities::empty();
    flags.set(Capabilities::COMPRESS, allowed.zlib);
    flags.set(Capabilities::ZSTD_COMPRESSION_ALGORITHM, allowed.zstd);
    flags
}

/// What a client compresses by: zlib goes first where it has named both, as on a server.
fn algorithm(capabilities: Capabilities, zstd_level: u8) -> Option<Algorithm> {
    if capabilities.contains(Capabilities::COMPRESS) {
        Some(Algorithm::Zlib)
    } else if capabilities.contains(Capabilities::ZSTD_COMPRESSION_ALGORITHM) {
        Some(Algorithm::Zstd { level: i32::from(zstd_level) })
    } else {
        None
    }
}

fn first_status(profile: &ServerProfile) -> StatusFlags {
    let of_new_sessions =
        StatusFlags::AUTOCOMMIT | StatusFlags::NO_BACKSLASH_ESCAPES | StatusFlags::ANSI_QUOTES;
    profile.status & of_new_sessions
}

fn first_tracked(profile: &ServerProfile) -> TrackedKinds {
    profile.tracked | profile.always_tracked()
}

fn unavailable(error: PoolError) -> Denied {
    Denied::unavailable(error.into())
}

/// Twenty random bytes without NUL, and seven-bit, as servers make them.
fn salt() -> Option<Salt> {
    let mut salt = Salt::default();
    rand::fill(&mut salt).ok()?;
    Some(salt.map(|byte| match byte & 0x7F {
        0 | b'$' => 1,
        byte => byte,
    }))
}
