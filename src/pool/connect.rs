//! Opening a link: dial, log in, and have the server report what changes in the session.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use crate::config::{Instance, LinkCompression, LinkTls};
use crate::net::{Ring, Socket};
use crate::parser::Server;
use crate::protocol::auth::{AuthAction, ClientAuth, Plugin};
use crate::protocol::capability::{Capabilities, StatusFlags};
use crate::protocol::command::Command;
use crate::protocol::compression::{Algorithm, Role};
use crate::protocol::handshake::{Greeting, HandshakeResponse, ZSTD_LEVEL_DEFAULT};
use crate::protocol::proxy_header;
use crate::protocol::query_attributes;
use crate::protocol::response::{ErrPacket, OkPacket};
use crate::protocol::tracked::{DEFAULT_NAMES, Tracked, TrackedKinds, TrackedNames};

use super::base::Base;
use super::conversation::Conversation;
use super::error::ConnectError;
use super::identity::{Identity, Want};
use super::link::{SmallReply, read_reply};
use super::trackers::{Reports, SELECT_TRANSACTION_INFO, Trackers, learn, tracked};

/// What every link asks for, as far as the server has it.
const WANTED: Capabilities = Capabilities::LONG_PASSWORD
    .union(Capabilities::LONG_FLAG)
    .union(Capabilities::PROTOCOL_41)
    .union(Capabilities::TRANSACTIONS)
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::PLUGIN_AUTH)
    .union(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA)
    .union(Capabilities::CONNECT_ATTRS)
    .union(Capabilities::SESSION_TRACK)
    .union(Capabilities::DEPRECATE_EOF);

/// What no link can do without, with the words for it.
const NEEDED: [(Capabilities, &str); 2] = [
    (Capabilities::SESSION_TRACK, "session tracking (CLIENT_SESSION_TRACK)"),
    (Capabilities::DEPRECATE_EOF, "CLIENT_DEPRECATE_EOF"),
];

/// The character set of the handshake, which a reset has to bring back, how the server reads quotes, whether it knows hosts by
/// name, and what it reports to those who have not asked for more.
const SELECT_SETTINGS: &str = "SELECT @@character_set_client, @@collation_connection, @@sql_mode, @@skip_name_resolve, \
                               @@session_track_schema, @@session_track_state_change, @@session_track_transaction_info, \
                               HEX(@@session_track_system_variables)/*!50706 ,@@session_track_gtids*/ LIMIT 1";

/// What a server says of itself before anybody logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerProfile {
    pub version: Vec<u8>,
    /// What the version says, for those who read statements.
    pub server: Server,
    pub capabilities: Capabilities,
    /// The server's default collation.
    pub collation: u8,
    /// The flags of a new session: `NO_BACKSLASH_ESCAPES` among them.
    pub status: StatusFlags,
    /// `"x"` is an identifier in new sessions. Only MariaDB tells by a status flag.
    pub ansi_quotes: bool,
    /// The changes that new sessions are told of.
    pub tracked: Tracked,
    /// What links have the server report.
    pub reports: Reports,
    /// Hosts go by their names: that of a loopback address is `localhost`.
    pub resolves_names: bool,
}

impl ServerProfile {
    /// The changes that every session is told of, whatever its variables say: a MySQL from 8.0 on always tells where
    /// transactions begin and end (measured on 9.7).
    pub fn always_tracked(&self) -> TrackedKinds {
        let major = self.version.split(|byte| *byte == b'.').next().unwrap_or_default();
        let before_8 = matches!(major, [digit] if *digit < b'8');
        if self.is_mariadb() || before_8 { TrackedKinds::empty() } else { TrackedKinds::TRANSACTION_BOUNDS }
    }

    /// Whether this is a MariaDB, by its name in the version.
    pub fn is_mariadb(&self) -> bool {
        is_mariadb(&self.version)
    }
}

pub(super) fn is_mariadb(version: &[u8]) -> bool {
    version.windows(b"MariaDB".len()).any(|part| part == b"MariaDB")
}

/// A connection that is logged in.
pub(super) struct Connected {
    pub socket: Socket,
    pub profile: ServerProfile,
    pub connection_id: u32,
    pub status: StatusFlags,
    /// `SET NAMES ...` that brings back the character set and the modes of the login; `None` if the server did not tell.
    pub set_names: Option<String>,
    /// The server has judged the password itself.
    pub gave_password: bool,
    pub trackers: Trackers,
    pub base: Rc<Base>,
}

/// Opens a link to the first of `addresses` that answers, or to the instance's Unix socket. `known` is what the server has
/// said of itself before.
pub(super) async fn connect(
    ring: &Rc<Ring>,
    addresses: &Arc<[SocketAddr]>,
    instance: &Instance,
    want: &Want,
    known: Option<&ServerProfile>,
) -> Result<Connected, ConnectError> {
    if let Some(path) = &instance.unix_socket {
        let socket = Socket::connect_unix(ring, path).await?;
        introduce(&socket, instance, want, (Ipv4Addr::LOCALHOST, 0).into()).await?;
        return log_in(socket, instance, want, known).await;
    }
    let mut failure = ConnectError::Unresolved(instance.host.clone());
    for address in addresses.iter() {
        match Socket::connect(ring, *address).await {
            Ok(socket) => {
                introduce(&socket, instance, want, *address).await?;
                return log_in(socket, instance, want, known).await;
            }
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}

/// Tells the server for whom the link is, where it is to know.
async fn introduce(
    socket: &Socket,
    instance: &Instance,
    want: &Want,
    server: SocketAddr,
) -> Result<(), ConnectError> {
    if !instance.proxy_protocol {
        return Ok(());
    }
    let header = match want.identity.origin {
        // A link serves many clients of one address, whose ports differ.
        Some(origin) => proxy_header::encode((origin, 0).into(), server),
        None => proxy_header::encode_local(),
    };
    Ok(socket.send(header).await?)
}

async fn log_in(
    socket: Socket,
    instance: &Instance,
    want: &Want,
    known: Option<&ServerProfile>,
) -> Result<Connected, ConnectError> {
    let mut conversation = Conversation::new(&socket, 0);
    let packet = conversation.receive().await?;
    if packet.payload.first() == Some(&ErrPacket::HEADER) {
        return Err(ConnectError::Refused(ErrPacket::parse(&packet.payload)?));
    }
    let greeting = Greeting::parse(&packet.payload)?;
    for (needed, missing) in NEEDED {
        if !greeting.capabilities.contains(needed) {
            let version = String::from_utf8_lossy(&greeting.version).into_owned();
            return Err(ConnectError::TooOld { version, missing });
        }
    }
    if !greeting.capabilities.contains(want.identity.flags & Identity::FORMATS) {
        let version = String::from_utf8_lossy(&greeting.version).into_owned();
        return Err(ConnectError::TooOld { version, missing: "the commands of this client's dialect" });
    }
    let mut response = response(&greeting, want);
    let compression = compression(&greeting, &mut response, instance.compression)?;
    let mut seq = packet.seq.wrapping_add(1);
    let encrypted = encrypt(&mut conversation, &mut seq, &greeting, &mut response, instance).await?;
    let secure = encrypted || instance.unix_socket.is_some();
    let mut auth = ClientAuth::new(&want.identity.account.secret, secure);
    let plugin: Plugin;
    (plugin, response.auth_response) = auth.first_response(&greeting.auth_plugin, &greeting.scramble);
    response.auth_plugin = Some(plugin.name().as_bytes().to_vec());
    conversation.send(seq, &response.encode());
    let status = loop {
        let packet = conversation.receive().await?;
        match auth.step(&packet.payload)? {
            AuthAction::Send(payload) => conversation.send(packet.seq.wrapping_add(1), &payload),
            AuthAction::Wait => {}
            AuthAction::Done => break OkPacket::parse(&packet.payload, response.capabilities)?.status,
            AuthAction::Failed(err) => return Err(ConnectError::Refused(err)),
        }
    };
    if let Some(algorithm) = compression {
        // What came behind the OK would be a reply to nothing.
        if !conversation.is_over() {
            return Err(ConnectError::Closed);
        }
        socket.compress(algorithm, Role::Client);
    }
    let known = known.filter(|known| known.version == greeting.version);
    let SetUp { settings, trackers, base } =
        set_up(&mut conversation, want.identity.flags, &greeting.version, known).await?;
    if !conversation.is_over() {
        return Err(ConnectError::Closed);
    }
    drop(conversation);
    let profile = ServerProfile {
        server: Server::of_version(&greeting.version),
        version: greeting.version,
        capabilities: greeting.capabilities,
        collation: greeting.collation,
        status,
        ansi_quotes: settings.ansi_quotes,
        tracked: settings.tracked,
        reports: trackers.reports().clone(),
        resolves_names: settings.resolves_names,
    };
    let set_names = settings.set_names.map(|names| names + lost_by_reset(want.identity.flags));
    let gave_password = auth.gave_password();
    let connection_id = greeting.connection_id;
    Ok(Connected { socket, profile, connection_id, status, set_names, gave_password, trackers, base })
}

/// Puts TLS on the connection where the configuration wants it. True if it is there now.
async fn encrypt(
    conversation: &mut Conversation<'_>,
    seq: &mut u8,
    greeting: &Greeting,
    response: &mut HandshakeResponse,
    instance: &Instance,
) -> Result<bool, ConnectError> {
    let offered = greeting.capabilities.contains(Capabilities::SSL);
    let connector = match &instance.tls {
        LinkTls::Disabled => return Ok(false),
        LinkTls::Preferred(_) if !offered => return Ok(false),
        LinkTls::Demanded(_) if !offered => return Err(ConnectError::NoTls),
        LinkTls::Preferred(connector) | LinkTls::Demanded(connector) => connector,
    };
    response.capabilities |= Capabilities::SSL;
    conversation.send(*seq, &response.encode_ssl_request());
    *seq = seq.wrapping_add(1);
    conversation.flush().await?;
    // What came in clear text before the handshake must not be taken for the server's own words.
    if !conversation.is_over() {
        return Err(ConnectError::Closed);
    }
    let name = connector.name.clone();
    conversation.socket().connect_tls(&connector.config, name).await.map_err(ConnectError::Tls)?;
    Ok(true)
}

/// How packets are compressed once the login is over.
fn compression(
    greeting: &Greeting,
    response: &mut HandshakeResponse,
    wanted: LinkCompression,
) -> Result<Option<Algorithm>, ConnectError> {
    let (name, flag, algorithm) = match wanted {
        LinkCompression::Off => return Ok(None),
        LinkCompression::Zlib => ("zlib", Capabilities::COMPRESS, Algorithm::Zlib),
        LinkCompression::Zstd => {
            let level = i32::from(ZSTD_LEVEL_DEFAULT);
            ("zstd", Capabilities::ZSTD_COMPRESSION_ALGORITHM, Algorithm::Zstd { level })
        }
    };
    if !greeting.capabilities.contains(flag) {
        return Err(ConnectError::NoCompression(name));
    }
    response.capabilities |= flag;
    Ok(Some(algorithm))
}

/// The response but for what proves the password.
fn response(greeting: &Greeting, want: &Want) -> HandshakeResponse {
    let mut capabilities = (WANTED | want.identity.flags) & greeting.capabilities;
    // MariaDB's servers clear this to announce extended capabilities; on the wire it goes where a link uses one.
    capabilities |= Capabilities::LONG_PASSWORD;
    if want.schema.is_some() {
        capabilities |= Capabilities::CONNECT_WITH_DB;
    }
    let attribute = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    HandshakeResponse {
        capabilities,
        max_packet_size: 1 << 30,
        collation: want.identity.collation,
        username: want.identity.account.user.to_vec(),
        auth_response: Vec::new(),
        database: want.schema.as_ref().map(|schema| schema.to_vec()),
        auth_plugin: None,
        zstd_level: ZSTD_LEVEL_DEFAULT,
        attributes: vec![
            attribute("_client_name", "athena"),
            attribute("_client_version", env!("CARGO_PKG_VERSION")),
            attribute("_pid", &std::process::id().to_string()),
            attribute("program_name", "athena"),
        ],
    }
}

/// What a link is told when it has logged in.
struct SetUp {
    settings: Settings,
    trackers: Trackers,
    base: Rc<Base>,
}

#[derive(Debug, PartialEq, Eq)]
struct Settings {
    /// The statement that restores the character set.
    set_names: Option<String>,
    ansi_quotes: bool,
    resolves_names: bool,
    tracked: Tracked,
}

impl Settings {
    /// Of a server that does not tell.
    fn unknown() -> Settings {
        Settings {
            set_names: None,
            ansi_quotes: false,
            resolves_names: false,
            tracked: Tracked::by_default(),
        }
    }
}

/// All commands go out at once, the questions before what gives them other answers. Only what nobody knows of the server
/// yet takes more.
async fn set_up(
    conversation: &mut Conversation<'_>,
    flags: Capabilities,
    version: &[u8],
    known: Option<&ServerProfile>,
) -> Result<SetUp, ConnectError> {
    let mariadb = is_mariadb(version);
    let reports = known.map_or_else(|| Reports::of_family(mariadb), |known| known.reports.clone());
    let mut trackers = Trackers::new(reports);
    let question = Base::question(version);
    let by_cache: &[&str] =
        if mariadb { &[trackers.statement_by_cache(), SELECT_TRANSACTION_INFO] } else { &[] };
    // Whatever the server says of the names of variables is forgotten with the last question.
    let all = [SELECT_SETTINGS, trackers.statement()].into_iter().chain(by_cache.iter().copied());
    for sql in all.chain([&question[..]]) {
        conversation.send(0, &query(sql, flags));
    }
    conversation.expect_reply();
    let mut settings = match read_reply(conversation).await? {
        SmallReply::Row(values) => settings(&values),
        SmallReply::Ok(_) | SmallReply::Err(_) => Settings::unknown(),
    };
    conversation.expect_reply();
    if let SmallReply::Err(err) = read_reply(conversation).await? {
        return Err(ConnectError::Refused(err));
    }
    if mariadb {
        conversation.expect_reply();
        // Refused by a MariaDB that was built without the cache.
        if !matches!(read_reply(conversation).await?, SmallReply::Err(_)) {
            trackers.go_by_cache();
        }
        conversation.expect_reply();
        if let SmallReply::Row(values) = read_reply(conversation).await? {
            let off = matches!(values.as_slice(), [Some(info)] if info == b"OFF");
            trackers.transactions = !off;
        }
    }
    conversation.expect_reply();
    let base = match read_reply(conversation).await? {
        SmallReply::Row(values) => Base::of_answer(version, &values),
        SmallReply::Ok(_) | SmallReply::Err(_) => Base::default(),
    };
    let variables = &mut settings.tracked.variables;
    match known {
        Some(known) if known.tracked.variables.value() == variables.value() => {
            variables.clone_from(&known.tracked.variables);
        }
        _ => {
            let default = (**variables).clone();
            let query = |sql: &str| query(sql, flags);
            *variables = Rc::new(learn(conversation, &mut trackers, default, query).await?);
        }
    }
    Ok(SetUp { settings, trackers, base: Rc::new(base) })
}

/// Character sets and collations have names of letters, digits and underscores; anything else is not one.
fn settings(values: &[Option<Vec<u8>>]) -> Settings {
    let [Some(charset), Some(collation), sql_mode, skips, of_trackers @ ..] = values else {
        return Settings::unknown();
    };
    let name = |bytes: &[u8]| {
        let plain = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        (plain && !bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned())
    };
    let names = name(charset).zip(name(collation));
    let modes = sql_mode.as_deref().unwrap_or_default();
    Settings {
        set_names: names.map(|(charset, collation)| format!("SET NAMES {charset} COLLATE {collation}")),
        ansi_quotes: modes.split(|byte| *byte == b',').any(|mode| mode == b"ANSI_QUOTES"),
        resolves_names: skips.as_deref() == Some(b"0"),
        tracked: tracked(of_trackers, &TrackedNames::of_value(DEFAULT_NAMES))
            .unwrap_or_else(Tracked::by_default),
    }
}

/// What `SET NAMES` goes on with after a reset: MariaDB's forgets the modes that came with the capabilities of the login.
fn lost_by_reset(flags: Capabilities) -> &'static str {
    match (flags.contains(Capabilities::IGNORE_SPACE), flags.contains(Capabilities::INTERACTIVE)) {
        (false, false) => "",
        (true, false) => ", sql_mode = CONCAT(@@sql_mode, ',IGNORE_SPACE')",
        (false, true) => ", wait_timeout = @@interactive_timeout",
        (true, true) => {
            ", sql_mode = CONCAT(@@sql_mode, ',IGNORE_SPACE'), wait_timeout = @@interactive_timeout"
        }
    }
}

/// The payload of COM_QUERY, on a link with these flags.
pub(super) fn query(sql: &str, flags: Capabilities) -> Vec<u8> {
    query_of(sql.as_bytes(), flags)
}

/// The same for a text in whatever character set.
pub(super) fn query_of(sql: &[u8], flags: Capabilities) -> Vec<u8> {
    let mut payload = Vec::with_capacity(sql.len() + 3);
    payload.push(Command::Query as u8);
    if flags.contains(Capabilities::QUERY_ATTRIBUTES) {
        payload.extend_from_slice(&query_attributes::NONE);
    }
    payload.extend_from_slice(sql);
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_become_a_statement() {
        let row = |a: &str, b: &str, c: &str| [a, b, c, "1"].map(|value| Some(value.as_bytes().to_vec()));
        let names = |a: &str, b: &str| settings(&row(a, b, "")).set_names;
        let statement = "SET NAMES utf8mb4 COLLATE utf8mb4_general_ci";
        assert_eq!(names("utf8mb4", "utf8mb4_general_ci").as_deref(), Some(statement));
        assert_eq!(names("utf8mb4; DROP", "x"), None);
        assert_eq!(names("utf8mb4", ""), None);
        assert_eq!(settings(&[None, None, None, None]), Settings::unknown());
        assert_eq!(settings(&[]), Settings::unknown());
    }

    #[test]
    fn the_mode_of_quotes_is_found_among_others() {
        let ansi = |modes: &str| {
            let row = ["utf8mb4", "utf8mb4_bin", modes, "1"].map(|value| Some(value.as_bytes().to_vec()));
            settings(&row).ansi_quotes
        };
        assert!(ansi("REAL_AS_FLOAT,ANSI_QUOTES,ANSI") && ansi("ANSI_QUOTES"));
        assert!(!ansi("") && !ansi("NOT_ANSI_QUOTES,STRICT_TRANS_TABLES"));
    }
}
