//! From the greeting to the first OK: who is the client, and may it come in?

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::config::Acceptor;
use crate::metrics::label::{RefusedReason, RouteReason};
use crate::net::{Buf, Elapsed, Socket, Timer};
use crate::pool::{Identity, ServerProfile};
use crate::protocol::auth::Salt;
use crate::protocol::capability::{Capabilities, StatusFlags};
use crate::protocol::compression::Role;
use crate::protocol::error::ErrorCode;
use crate::protocol::handshake::{ClientHello, Greeting, HandshakeResponse};
use crate::protocol::packet::{Packet, PacketReader};
use crate::protocol::reply::Renames;
use crate::protocol::tracked::Tracked;
use crate::router::sharding::ShardSet;

use super::super::before::Before;
use super::super::context::{Context, HOME_SHARD};
use super::super::driver::Session;
use super::super::holds::Holds;
use super::super::input::Input;
use super::super::registry::Who;
use super::super::route::Route;
use super::super::servers::Opening;
use super::super::unread::Unread;
use super::authenticate::{Account, Claim, authenticate, offered_plugin};
use super::clients::Ticket;
use super::denied::{Denied, Transport, unavailable};
use super::greeting::{OFFERED, OWN, algorithm, compression, first_status, first_tracked, greeted, salt};
use super::lobby::Waiting;
use super::packets::PACKET_MAX;
use super::proof::prove;

/// A client on its way in.
pub(super) struct Door {
    pub ctx: Rc<Context>,
    pub socket: Socket,
    pub reader: PacketReader,
    pub input: Input,
    pub transport: Transport,
    /// What came behind the last packet.
    pub rest: Option<Buf>,
    /// Where the client is; `None` on a Unix socket.
    pub peer: Option<SocketAddr>,
    /// Its place among those who are not in yet.
    pub waiting: Waiting,
    /// What may be the beginning of a PROXY header; `None` when that is decided.
    pub header: Option<Vec<u8>>,
    /// Sequence id of the next packet that goes out.
    pub seq: u8,
    pub stage: Stage,
}

/// How far a login has come, and with it how the client can be told of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The client has not said what it can: errors carry no SQLSTATE.
    Unknown,
    /// In the TLS handshake an error packet would be nonsense.
    Handshake,
    /// The client has said what it can.
    Responded,
}

/// Logs a client in within `login_timeout`. `None`: it was refused, and told so.
pub(in crate::session) async fn log_in(
    ctx: Rc<Context>,
    socket: Socket,
    timer: Timer,
    peer: Option<SocketAddr>,
    id: u32,
    ticket: Rc<Ticket>,
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
        waiting: ctx.lobby.enter(ticket, timer.poker()),
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
    tracked: Tracked,
    /// That of the greeting.
    salt: Salt,
    knows_plugins: bool,
}

impl Entered {
    fn session(self, door: Door, timer: Timer, id: u32) -> Session {
        let who = Who {
            account: self.account.name.clone(),
            cluster: self.account.cluster,
            identity: self.identity.clone(),
        };
        let entry =
            door.ctx.registry.admit(id, who, self.schema.clone(), door.peer, timer.poker(), timer.now());
        let pool = &door.ctx.clusters[self.account.cluster].pool();
        let (era, state) = (pool.eras.now(), pool.states.empty());
        Session {
            ctx: door.ctx,
            socket: door.socket,
            transport: door.transport,
            timer,
            input: door.input,
            id,
            entry,
            capabilities: self.capabilities,
            route: Route::primary(RouteReason::Command),
            wish: None,
            written: Default::default(),
            on_replica: false,
            link_epoch: 0,
            attempts: Default::default(),
            goes_to_primary_now: false,
            leaves_transaction: false,
            takes_transaction_along: false,
            transaction_is_lost: false,
            at: self.account.cluster,
            account: self.account,
            salt: self.salt,
            knows_plugins: self.knows_plugins,
            failed_changes: 0,
            identity: self.identity,
            schema: self.schema,
            era,
            status: self.status,
            statements: Default::default(),
            seats: Vec::new(),
            opening: Opening::default(),
            global: None,
            begins_branch: false,
            comes_back: false,
            bound: None,
            digest: None,
            shard: HOME_SHARD,
            further_shards: ShardSet::EMPTY,
            renames: Renames::default(),
            permit: None,
            holds: Holds::default(),
            state,
            text_prepared: Default::default(),
            unread: Unread::default(),
            before: Before::default(),
            clears_warnings: false,
            is_last: false,
            link_ended: false,
            last_insert_id: 0,
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
        let pool = cluster.pool_for_login();
        if let Some(profile) = pool.profile_of_now() {
            return Ok(profile);
        }
        let want = pool.plain_want(Identity::DEFAULT_COLLATION);
        let timer = Timer::new(&self.ctx.core.timers);
        match self.unless_ending(pool.checkout(&want, &timer)).await? {
            Ok(lease) => lease.give_back(),
            Err(error) => return Err(unavailable(error)),
        }
        pool.profile().ok_or_else(Denied::silent)
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

    /// The OK that ends the login.
    async fn welcome(&mut self, entered: &Entered) -> Result<(), Denied> {
        let ok = crate::protocol::response::OkPacket {
            header: crate::protocol::response::OkPacket::HEADER,
            status: entered.status,
            ..crate::protocol::response::OkPacket::END_OF_ROWS
        };
        self.send(&ok.encode(entered.capabilities)).await
    }
}
