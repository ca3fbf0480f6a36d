//! From the sections of the file to the types of [`super::model`].

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::document::Document;
use super::keys::CPU_MAX;
use super::model::{
    Auth, AuthPlugin, AuthSource, Breaker, Circuit, ClientCompression, Cluster, Config, Cpus, Instance,
    LimitOverride, LinkCompression, Log, LogFormat, Pool, RoutineName, Runtime, Server,
};
use super::password::{self, Env};
use super::problem::{Problems, Reason};
use super::replicas::Base;
use super::section::Section;
use super::{check, replicas, sharding, shards, tls, unknown, users};

impl Config {
    /// Reads and checks the file at `path`; `env` looks up variables of the environment, for passwords.
    ///
    /// # Errors
    /// All that is wrong with it, at once.
    pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let bytes = std::fs::read(path).map_err(|error| {
            let reason = match error.kind() {
                ErrorKind::NotFound => Reason::NoFile,
                _ => Reason::Unreadable(error.to_string()),
            };
            Problems::of_file(path, None, reason)
        })?;
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let before = bytes.iter().take(error.valid_up_to());
            let line = before.filter(|byte| **byte == b'\n').count() + 1;
            Problems::of_file(path, Some(line), Reason::NotUtf8)
        })?;
        Self::parse(path, text, env)
    }

    /// As [`Config::load`], for a text that is said to come from `path`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(path: &Path, text: &str, env: Env<'_>) -> Result<Self, Problems> {
        let document = Document::parse(path, text)?;
        unknown::check(&document);
        let server = server(&Section::open(&document, "server"));
        let auth_plugin = server.auth_plugin;
        let config = Self {
            metrics: metrics(&Section::open(&document, "metrics"), server.listen),
            server,
            auth: auth(&document, auth_plugin),
            runtime: runtime(&Section::open(&document, "runtime")),
            clusters: clusters(&document, auth_plugin, env),
            log: log(&Section::open(&document, "log")),
        };
        check::contradictions(&document, &config);
        document.finish(config)
    }
}

fn server(section: &Section<'_>) -> Server {
    let address = section.address("listen_addr");
    let port = section.port("listen_port").unwrap_or_default();
    let max_connections = section.count("max_connections");
    let max_logins = section.number_given("max_logins");
    Server {
        listen: address.map_or_else(|| ([0; 4], port).into(), |address| (address, port).into()),
        unix_socket: section.path("unix_socket"),
        tls: tls::of_clients(section.document),
        compression: client_compression(section.choice("compression")),
        max_connections,
        max_connections_per_address: Some(section.count("max_connections_per_address"))
            .filter(|max| *max > 0),
        max_logins: max_logins
            .and_then(|max| usize::try_from(max).ok())
            .unwrap_or(max_connections.div_ceil(2)),
        login_timeout: section.millis("login_timeout_ms"),
        idle_timeout: section.millis("idle_timeout_ms"),
        idle_transaction_timeout: section.millis_unless_zero("idle_transaction_timeout_ms"),
        write_timeout: section.millis("write_timeout_ms"),
        drain_timeout: section.millis("drain_timeout_ms"),
        max_packet_bytes: section.count("max_packet_bytes"),
        command_buffer_bytes: section.count("command_buffer_bytes"),
        proxy_protocol: section
            .list("proxy_protocol")
            .map(|list| users::origins(section, "proxy_protocol", &list))
            .unwrap_or_default(),
        auth_plugin: match section.choice("auth_plugin") {
            "caching_sha2_password" => AuthPlugin::CachingSha2,
            "client_ed25519" => AuthPlugin::Ed25519,
            _ => AuthPlugin::Native,
        },
    }
}

fn client_compression(word: &str) -> ClientCompression {
    ClientCompression { zlib: matches!(word, "any" | "zlib"), zstd: matches!(word, "any" | "zstd") }
}

/// Accounts come from one place.
fn auth(document: &Document<'_>, auth_plugin: AuthPlugin) -> Auth {
    let section = Section::open(document, "auth");
    let source = match section.choice("source") {
        "backend" => AuthSource::Backend,
        _ => AuthSource::Config,
    };
    if source == AuthSource::Backend && !Section::open_all(document, "users").is_empty() {
        section.refuse("source", Reason::UsersOfBackend);
    }
    if source == AuthSource::Backend && auth_plugin == AuthPlugin::Ed25519 {
        section.refuse("source", Reason::SignatureOfBackend);
    }
    Auth { source, refresh_min_interval: section.millis("refresh_min_interval_ms") }
}

fn runtime(section: &Section<'_>) -> Runtime {
    let ring_entries = section.number("ring_entries");
    if !ring_entries.is_power_of_two() {
        section.refuse("ring_entries", Reason::NotAPowerOfTwo(ring_entries));
    }
    let cpus = section.text("cpus").map_or(Ok(Cpus::Auto), |text| cpus(&text));
    Runtime {
        cpus: cpus.unwrap_or_else(|reason| {
            section.refuse("cpus", reason);
            Cpus::Auto
        }),
        cores_per_cpu: section.count("cores_per_cpu"),
        control_cpu: section.number_given("control_cpu").and_then(|cpu| usize::try_from(cpu).ok()),
        spin: Duration::from_micros(section.number("spin_us")),
        ring_entries: u32::try_from(ring_entries).unwrap_or(u32::MAX),
        buffers: section.count("buffers"),
        buffer_bytes: section.count("buffer_bytes"),
    }
}

/// `auto`, or numbers and ranges with commas between them: `2-7,10`.
fn cpus(text: &str) -> Result<Cpus, Reason> {
    if text.trim() == "auto" {
        return Ok(Cpus::Auto);
    }
    let unreadable = || Reason::NotACpuList(text.to_owned());
    let number = |text: &str| {
        let number = text.trim().parse().ok().filter(|number| *number as u64 <= CPU_MAX);
        number.ok_or_else(unreadable)
    };
    let mut list: Vec<usize> = Vec::new();
    for item in text.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(unreadable());
        }
        for cpu in first..=last {
            if list.contains(&cpu) {
                return Err(Reason::DuplicateCpu(cpu));
            }
            list.push(cpu);
        }
    }
    Ok(Cpus::List(list))
}

/// What the flat form describes: a cluster named `default`, and one for each of `[[shards]]` behind it.
fn clusters(document: &Document<'_>, auth_plugin: AuthPlugin, env: Env<'_>) -> Vec<Cluster> {
    let backend = Section::open(document, "backend");
    let base = Base { instance: instance(&backend, env), tls: backend };
    let primary = base.instance.clone();
    let accounts = users::accounts(&Section::open_all(document, "users"), &primary, auth_plugin, env);
    let limits = Section::open_all(document, "limits");
    if Section::open(document, "auth").choice("source") != "backend" {
        for section in &limits {
            let is_known = |user: &String| accounts.iter().any(|account| account.name == *user);
            if section.name("user").is_some_and(|user| !is_known(&user)) {
                section.refuse("user", Reason::NoSuchUser);
            }
        }
    }
    let mut known = vec![primary.to_string()];
    let home = Cluster {
        name: "default".to_owned(),
        replicas: replicas::replicas(
            &Section::open_all(document, "backend.replicas"),
            &base,
            &mut known,
            env,
        ),
        routing: replicas::routing(document),
        health: replicas::health(&Section::open(document, "health"), env),
        sharding: sharding::sharding(document),
        primary,
        accounts,
        pool: pool(&Section::open(document, "pool"), &Section::open(document, "circuit")),
        circuit: circuit(&Section::open(document, "circuit"), &limits),
    };
    shards::with_shards(document, home, &base, &mut known, env)
}

fn instance(section: &Section<'_>, env: Env<'_>) -> Instance {
    if !section.is_present() && !section.document.root.contains_key("backend") {
        section.document.report(1, "backend".to_owned(), Reason::NoSection);
    }
    let (host, unix_socket) = place(section);
    Instance {
        tls: tls::of_links(section, &host, unix_socket.is_some()),
        host,
        port: section.port("port").unwrap_or_default(),
        unix_socket,
        compression: match section.choice("compression") {
            "zlib" => LinkCompression::Zlib,
            "zstd" => LinkCompression::Zstd,
            _ => LinkCompression::Off,
        },
        proxy_protocol: section.flag("proxy_protocol"),
        user: section.name("user").unwrap_or_default(),
        password: password::resolve(section, env),
        database: section.name("database"),
    }
}

/// The host of an instance, or its Unix socket.
pub(super) fn place(section: &Section<'_>) -> (String, Option<PathBuf>) {
    let unix_socket = section.path("unix_socket");
    let host = section.name("host").unwrap_or_else(|| {
        if unix_socket.is_none() && section.is_present() && !section.gives("host") {
            section.refuse("host", Reason::NoHost);
        }
        "localhost".to_owned()
    });
    if !host.is_empty() && !is_host(&host) {
        section.refuse("host", Reason::NotAHost(host.clone()));
    }
    (host, unix_socket)
}

/// An IP address, or a name of letters, digits, `-`, `_` and `.` as resolvers take it.
fn is_host(text: &str) -> bool {
    let is_name = || {
        let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        text.len() <= 253 && text.bytes().all(of_a_name) && !text.starts_with(['-', '.'])
    };
    text.parse::<std::net::IpAddr>().is_ok() || is_name()
}

fn pool(section: &Section<'_>, circuit: &Section<'_>) -> Pool {
    let max_connections = section.count("max_connections");
    let max_connecting = section.count("max_connecting");
    Pool {
        max_connections,
        min_idle: section.count("min_idle"),
        // Given, it is compared and refused; the default gives way.
        max_connecting: match section.gives("max_connecting") {
            true => max_connecting,
            false => max_connecting.min(max_connections),
        },
        idle_timeout: section.millis("idle_timeout_ms"),
        max_lifetime: section.millis_unless_zero("max_lifetime_ms"),
        checkout_timeout: section.millis("checkout_timeout_ms"),
        connect_timeout: section.millis("connect_timeout_ms"),
        query_timeout: section.millis_unless_zero("query_timeout_ms"),
        query_kill_timeout: section.millis("query_kill_timeout_ms"),
        breaker: breaker(circuit),
        max_prepared_statements: section.count("max_prepared_statements"),
        movable_routines: routines(section, "movable_routines"),
    }
}

/// On whatever `enabled` says, which is about statements.
fn breaker(section: &Section<'_>) -> Breaker {
    Breaker {
        failures: section.count("breaker_failures"),
        failure_ratio_percent: section.count("breaker_failure_ratio_percent"),
        window: section.millis("breaker_window_ms"),
        window_calls: section.count("breaker_window_calls"),
        open: section.millis("breaker_open_ms"),
        open_max: section.millis("breaker_open_max_ms"),
    }
}

fn circuit(section: &Section<'_>, limits: &[Section<'_>]) -> Circuit {
    let usual = Circuit {
        enabled: section.flag("enabled") && section.is_present(),
        max_concurrent: section.count("max_concurrent_per_user_shard"),
        queue_size: section.count("queue_size"),
        queue_timeout: section.millis("queue_timeout_ms"),
        overrides: Vec::new(),
    };
    let count = |section: &Section<'_>, name, usual| {
        section.number_given(name).and_then(|number| usize::try_from(number).ok()).unwrap_or(usual)
    };
    let overrides = limits.iter().map(|section| {
        if !usual.enabled && section.document.sound(&["circuit.enabled"]) {
            section.refuse("max_concurrent", Reason::NothingIsLimited);
        }
        LimitOverride {
            user: section.name("user"),
            shard: section.number_given("shard").and_then(|shard| u32::try_from(shard).ok()),
            statement: section.name("statement"),
            max_concurrent: count(section, "max_concurrent", usual.max_concurrent),
            queue_size: count(section, "queue_size", usual.queue_size),
            queue_timeout: match section.number_given("queue_timeout_ms") {
                Some(millis) => Duration::from_millis(millis),
                None => usual.queue_timeout,
            },
        }
    });
    let overrides = overrides.collect();
    Circuit { overrides, ..usual }
}

/// Names of routines, each with a schema or without.
pub(super) fn routines(section: &Section<'_>, name: &str) -> Vec<RoutineName> {
    let names = section.list(name).unwrap_or_default();
    let routine = |name: String| match name.split_once('.') {
        Some((schema, name)) => RoutineName { schema: Some(schema.to_owned()), name: name.to_owned() },
        None => RoutineName { schema: None, name },
    };
    names.into_iter().map(routine).collect()
}

/// The endpoint's address; [`check`] refuses a default port that does not exist.
fn metrics(section: &Section<'_>, listen: SocketAddr) -> Option<SocketAddr> {
    let enabled = section.flag("enabled");
    let address = section.address("listen_addr").unwrap_or(listen.ip());
    let port = section.port("listen_port").unwrap_or(listen.port().saturating_add(check::METRICS_OFFSET));
    enabled.then_some((address, port).into())
}

fn log(section: &Section<'_>) -> Log {
    let level = section.name("level").unwrap_or_default();
    if !level.is_empty() && !is_filter(&level) {
        section.refuse("level", Reason::NotALevel(level.clone()));
    }
    Log {
        level,
        format: match section.choice("format") {
            "json" => LogFormat::Json,
            _ => LogFormat::Text,
        },
        slow_query: section.millis_unless_zero("slow_query_ms"),
    }
}

/// The filter's own parser takes any single word for the name of a module, and so a misspelt level too: here a word
/// without `=` has to be a level.
fn is_filter(text: &str) -> bool {
    let words_are_levels = text.split(',').all(|part| {
        let part = part.trim();
        part.contains(['=', '[', ']', '}']) || (!part.is_empty() && part.parse::<LevelFilter>().is_ok())
    });
    words_are_levels && EnvFilter::builder().parse(text).is_ok()
}
