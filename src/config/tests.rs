//! The file from its text to its types: the seed, defaults, secrets, files, the table of keys.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::protocol::auth::Credential;

use super::{AccountTls, AuthPlugin, Config, Cpus, Instance, KEYS, LinkCompression, LogFormat, Secret};

const SEED: &str = r#"[server]
listen_addr = "127.0.0.1"
listen_port = 3307

[backend]
host = "127.0.0.1"
port = 3306
user = "root"
password = ""
# database = "test"

[circuit]
enabled = true
max_concurrent_per_user_shard = 10
queue_size = 100
queue_timeout_ms = 5000

# [[sharding]]
# name = "user_shard"
# table_pattern = "users"
# shard_column = "user_id"
# algorithm = "mod"      # mod, hash, or range
# shard_count = 4
"#;

/// The least that is valid; it takes lines 1 to 4.
pub(super) const LEAST: &str = "[backend]\nhost = \"db\"\nuser = \"app\"\npassword = \"secret\"\n";

fn env(name: &str) -> Option<String> {
    match name {
        "DB_PASSWORD" => Some("from env".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

pub(super) fn parse(text: &str) -> Result<Config, super::Problems> {
    Config::parse(Path::new("a.toml"), text, &env)
}

pub(super) fn good(text: &str) -> Config {
    parse(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The problems of a text, without the path.
pub(super) fn bad(text: &str) -> Vec<String> {
    let problems = parse(text).expect_err("refused").to_string();
    problems.lines().map(|line| line.strip_prefix("a.toml:").expect("the path").to_owned()).collect()
}

#[test]
fn the_flat_file_of_the_seed_loads() {
    let config = good(SEED);
    assert_eq!(config.server.listen, "127.0.0.1:3307".parse::<SocketAddr>().unwrap());
    assert_eq!(config.metrics, Some("127.0.0.1:4307".parse().unwrap()));
    assert_eq!(config.clusters.len(), 1);
    let cluster = &config.clusters[0];
    assert_eq!(cluster.name, "default");
    assert_eq!((&*cluster.primary.host, cluster.primary.port), ("127.0.0.1", 3306));
    assert_eq!((&*cluster.primary.user, cluster.primary.password.expose()), ("root", &b""[..]));
    assert_eq!(cluster.primary.database, None);
    assert_eq!(cluster.accounts.len(), 1);
    assert_eq!(cluster.accounts[0].name, "root");
    assert_eq!(cluster.accounts[0].credential, Credential::password(b""));
    assert!(cluster.circuit.enabled);
    assert_eq!((cluster.circuit.max_concurrent, cluster.circuit.queue_size), (10, 100));
    assert_eq!(cluster.circuit.queue_timeout, Duration::from_secs(5));
}

#[test]
fn absent_keys_have_the_defaults_of_the_manual() {
    let config = good(LEAST);
    let server = &config.server;
    assert_eq!((server.max_connections, server.max_packet_bytes), (10_000, 1 << 30));
    assert_eq!(
        (server.login_timeout, server.idle_timeout),
        (Duration::from_secs(10), Duration::from_secs(8 * 3600))
    );
    assert_eq!(
        (server.write_timeout, server.drain_timeout),
        (Duration::from_secs(60), Duration::from_secs(30))
    );
    assert_eq!(server.auth_plugin, AuthPlugin::Native);
    assert_eq!((config.server.max_connections_per_address, config.server.max_logins), (None, 5000));
    let runtime = &config.runtime;
    assert_eq!((&runtime.cpus, runtime.control_cpu, runtime.spin), (&Cpus::Auto, None, Duration::ZERO));
    assert_eq!(runtime.cores_per_cpu, 1);
    assert_eq!((runtime.ring_entries, runtime.buffers, runtime.buffer_bytes), (1024, 128, 16_384));
    let cluster = &config.clusters[0];
    assert_eq!(cluster.primary.port, 3306);
    let pool = &cluster.pool;
    assert_eq!((pool.max_connections, pool.min_idle, pool.max_connecting), (100, 0, 16));
    assert_eq!(
        (pool.idle_timeout, pool.max_lifetime),
        (Duration::from_secs(60), Some(Duration::from_secs(1800)))
    );
    assert_eq!(
        (pool.checkout_timeout, pool.connect_timeout),
        (Duration::from_secs(5), Duration::from_secs(3))
    );
    assert_eq!((pool.query_timeout, pool.max_prepared_statements), (None, 256));
    assert!(!cluster.circuit.enabled, "no section, no limit");
    assert_eq!(
        (&*config.log.level, config.log.format, config.log.slow_query),
        ("info", LogFormat::Text, None)
    );
}

#[test]
fn given_keys_replace_the_defaults() {
    let config = good(&format!(
        "{LEAST}database = \"shop\"\n[server]\nlisten_addr = \"::\"\nlisten_port = 0x1_000\n\
         auth_plugin = \"caching_sha2_password\"\n[runtime]\ncpus = \"2-4, 10\"\ncores_per_cpu = 3\ncontrol_cpu = 0\nspin_us = 50\n\
         [[users]]\nname = \"a\"\npassword = \"1\"\ndefault_database = \"x\"\n\
         [[users]]\nname = \"b\"\npassword_env = \"DB_PASSWORD\"\nmax_connections = 3\ntls = \"required\"\n\
         allowed_addresses = [\"10.0.0.0/8\", \"::1\", \"localhost\"]\nbackend_user = \"c\"\nbackend_password = \"2\"\n\
         [[users]]\nname = \"d\"\npassword_hash = \"0x24412430303524016262626262626262626262626262626262626261616161616161\
         616161616161616161616161616161616161616161616161616161616161616161616161\"\n\
         [pool]\nmax_connections = 8\nmax_lifetime_ms = 0\nquery_timeout_ms = 7\n[circuit]\n\
         [metrics]\nlisten_addr = \"0.0.0.0\"\n[log]\nlevel = \"info,athena=debug\"\nformat = \"json\"\nslow_query_ms = 9\n"
    ));
    assert_eq!(config.server.listen, "[::]:4096".parse::<SocketAddr>().unwrap());
    assert_eq!(config.metrics, Some("0.0.0.0:5096".parse().unwrap()));
    assert_eq!(config.server.auth_plugin, AuthPlugin::CachingSha2);
    assert_eq!((config.runtime.cpus, config.runtime.control_cpu), (Cpus::List(vec![2, 3, 4, 10]), Some(0)));
    assert_eq!(config.runtime.cores_per_cpu, 3);
    assert_eq!(config.runtime.spin, Duration::from_micros(50));
    let cluster = &config.clusters[0];
    let accounts: Vec<_> = cluster.accounts.iter().map(|a| (&*a.name, a.credential.clone())).collect();
    let (a, b) = (Credential::password(b"1"), Credential::password(b"from env"));
    assert_eq!(accounts[..2], [("a", a), ("b", b)]);
    assert!(matches!(accounts[2], ("d", Credential::Sha256(_))));
    let [a, b, _] = &cluster.accounts[..] else { panic!("three accounts") };
    assert_eq!(
        (a.max_connections, a.tls, &a.allowed, &a.backend),
        (None, AccountTls::Optional, &None, &None)
    );
    assert_eq!((b.max_connections, b.tls), (Some(3), AccountTls::Required));
    let comes = |address: &str| {
        let address = address.parse().ok();
        b.allowed.iter().flatten().any(|origin| origin.covers(address))
    };
    assert!(["10.1.2.3", "::ffff:10.1.2.3", "::1", "127.0.0.1", "a Unix socket"].into_iter().all(comes));
    assert!(!comes("11.0.0.1") && !comes("::2"));
    let backend = b.backend.as_ref().map(|login| (&*login.user, login.password.expose()));
    assert_eq!(backend, Some(("c", &b"2"[..])));
    let databases: Vec<_> = cluster.accounts.iter().map(|a| a.default_database.as_deref()).collect();
    assert_eq!(databases, [Some("x"), Some("shop"), Some("shop")]);
    assert_eq!(cluster.primary.user, "app", "links log in as the backend's user");
    assert_eq!(
        (cluster.pool.max_connecting, cluster.pool.max_lifetime),
        (8, None),
        "an unset limit gives way"
    );
    assert_eq!(cluster.pool.query_timeout, Some(Duration::from_millis(7)));
    assert!(cluster.circuit.enabled, "a section without `enabled` is meant");
    assert_eq!((config.log.format, config.log.slow_query), (LogFormat::Json, Some(Duration::from_millis(9))));
}

#[test]
fn passwords_come_from_files_and_the_environment() {
    let scratch = Scratch::new("passwords");
    let folder = &scratch.0;
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).expect("written");
    write("plain", b"p\xe4ss word\n");
    write("crlf", b"x\r\n");
    write("empty", b"\n");
    write("nul", b"a\0b");
    write("long", &[b'x'; 2000]);
    let load = |line: &str| {
        let text = LEAST.replace("password = \"secret\"", line);
        Config::parse(&folder.join("a.toml"), &text, &env)
            .map(|config| config.clusters[0].primary.password.clone())
    };
    assert_eq!(load("password_file = \"plain\"").expect("read"), Secret::new(&b"p\xe4ss word"[..]));
    assert_eq!(load("password_file = \"crlf\"").expect("read"), Secret::new("x"));
    let absolute = format!("password_file = \"{}\"", folder.join("plain").display());
    assert_eq!(load(&absolute).expect("read").expose(), b"p\xe4ss word");
    assert_eq!(load("password_env = \"DB_PASSWORD\"").expect("read").expose(), b"from env");
    for (line, expected) in [
        ("password_file = \"none\"", "No such file"),
        ("password_file = \"empty\"", " is empty"),
        ("password_file = \"nul\"", "NUL"),
        ("password_file = \"long\"", "at most 1024 bytes"),
        ("password_env = \"NONE\"", "the environment variable NONE is not set"),
        ("password_env = \"EMPTY\"", "EMPTY is empty"),
    ] {
        let problems = load(line).expect_err("refused").to_string();
        let key = line.split(' ').next().expect("a key");
        assert!(
            problems.contains(&format!("a.toml:4: backend.{key}: ")) && problems.contains(expected),
            "{problems}"
        );
    }
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let scratch = Scratch::new("files");
    let folder = &scratch.0;
    let missing = folder.join("none.toml");
    let problems = Config::load(&missing, &env).expect_err("refused").to_string();
    assert_eq!(problems, format!("{}: no such file: name another with --config PATH", missing.display()));
    let problems = Config::load(folder, &env).expect_err("refused").to_string();
    assert!(problems.starts_with(&format!("{}: can't be read: ", folder.display())), "{problems}");
    let latin = folder.join("latin.toml");
    std::fs::write(&latin, b"[log]\n# caf\xe9\n").expect("written");
    let problems = Config::load(&latin, &env).expect_err("refused").to_string();
    assert_eq!(problems, format!("{}:2: not UTF-8 text", latin.display()));
    assert_eq!(bad(""), ["1: backend: the section is missing, and nothing can be served without it"]);
    let seed = folder.join("seed.toml");
    std::fs::write(&seed, SEED.replace('\n', "\r\n")).expect("written");
    assert_eq!(Config::load(&seed, &env).expect("valid"), good(SEED));
}

#[test]
fn the_table_names_each_key_once_and_its_defaults_are_valid() {
    let mut text = String::new();
    let mut section = "";
    for (index, key) in KEYS.iter().enumerate() {
        let earlier = &KEYS[..index];
        assert!(!earlier.iter().any(|other| (other.section, other.name) == (key.section, key.name)));
        if section != key.section {
            assert!(
                !earlier.iter().any(|other| other.section == key.section),
                "[{}] in one piece",
                key.section
            );
            section = key.section;
            // Present, they need files or name tables.
            if matches!(section, "server.tls" | "sharding" | "shards" | "shards.replicas") {
                continue;
            }
            text.push_str(&if matches!(section, "users" | "limits" | "backend.replicas") {
                format!("[[{section}]]\n")
            } else {
                format!("[{section}]\n")
            });
        }
        let default = key.default_text();
        match (section, key.name) {
            ("server.tls" | "sharding" | "shards" | "shards.replicas", _) => {}
            ("backend.replicas", "host") => text.push_str("host = \"y\"\n"),
            ("backend" | "users", "host" | "user" | "name" | "password") => {
                text.push_str(&format!("{} = \"x\"\n", key.name))
            }
            _ if toml::de::DeValue::parse(&default).is_ok() => {
                text.push_str(&format!("{} = {default}\n", key.name))
            }
            _ => {}
        }
    }
    let mut written = good(&text);
    // An empty section of [[limits]] is all of [circuit] once more.
    let limits = std::mem::take(&mut written.clusters[0].circuit.overrides);
    assert_eq!((limits.len(), limits[0].max_concurrent, limits[0].queue_size), (1, 10, 100));
    let least = "[backend]\nhost = \"x\"\nuser = \"x\"\npassword = \"x\"\n[circuit]\n[[backend.replicas]]\nhost = \"y\"\n";
    let mut least = good(least);
    // The default of max_connecting that is written out is a number like any other.
    least.clusters[0].pool.max_connecting = 16;
    assert_eq!(written, least);
}

/// A folder that goes away with its test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("athena-config-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn replicas_are_as_the_backend_but_for_what_they_give() {
    let config = good(
        "[backend]\nhost = \"a\"\nuser = \"u\"\npassword = \"p\"\ndatabase = \"d\"\ncompression = \"zlib\"\n\
         [[backend.replicas]]\nhost = \"b\"\n\
         [[backend.replicas]]\nhost = \"b\"\nport = 3307\nuser = \"v\"\npassword = \"\"\nweight = 3\ngroup = \"here\"\n\
         [[backend.replicas]]\nunix_socket = \"/run/c\"\npassword = \"q\"\nweight = 0\ndraining = true\n\
         [routing]\nread_write_split = true\ngroup = \"here\"\n\
         [[users]]\nname = \"n\"\npassword = \"\"\nrouting = \"primary\"\n",
    );
    let cluster = &config.clusters[0];
    let found: Vec<_> = cluster
        .replicas
        .iter()
        .map(|replica| {
            let Instance { user, password, database, compression, .. } = &replica.instance;
            assert_eq!((database.as_deref(), *compression), (Some("d"), LinkCompression::Zlib));
            let login = format!("{user}:{}", String::from_utf8_lossy(password.expose()));
            (replica.instance.to_string(), login, replica.weight, replica.is_near, replica.draining)
        })
        .collect();
    let expected = [
        ("b:3306".to_owned(), "u:p".to_owned(), 1, false, false),
        ("b:3307".to_owned(), "v:".to_owned(), 3, true, false),
        ("/run/c".to_owned(), "u:q".to_owned(), 0, false, true),
    ];
    assert_eq!(found, expected);
    assert_eq!(cluster.instances().count(), 4);
    assert_eq!(cluster.accounts[0].read_write_split, Some(false));
}

const SHARDED: &str = "[backend]\nhost = \"a\"\nuser = \"u\"\npassword = \"p\"\ndatabase = \"d\"\n\
     [[sharding]]\nname = \"r\"\ntable_pattern = \"t\"\nshard_column = \"id\"\nshard_count = 4\n";

#[test]
fn servers_of_shards_are_clusters_behind_the_backend() {
    let config = good(&format!(
        "{SHARDED}[[shards]]\nname = \"x\"\nindexes = [0, 3]\nhost = \"b\"\nport = 3307\n\
         [[shards.replicas]]\nhost = \"c\"\nweight = 2\n\
         [[shards]]\nname = \"y\"\nindexes = [1]\nunix_socket = \"/run/y\"\nuser = \"v\"\npassword = \"q\"\n\
         [[shards]]\nname = \"own\"\nindexes = [2]\n[pool]\nmax_connections = 7\n[circuit]\n"
    ));
    let [home, x, y] = &config.clusters[..] else { panic!("{} clusters", config.clusters.len()) };
    assert_eq!(home.sharding.servers, [1, 2, 0, 1]);
    assert_eq!([&*home.name, &*x.name, &*y.name], ["default", "x", "y"]);
    assert_eq!(x.primary.to_string(), "b:3307");
    assert_eq!((&*x.primary.user, x.primary.password.expose()), ("u", &b"p"[..]));
    assert_eq!(x.primary.database.as_deref(), Some("d"));
    assert_eq!((x.replicas[0].instance.to_string(), x.replicas[0].weight), ("c:3306".to_owned(), 2));
    assert_eq!((&*y.primary.user, y.primary.password.expose()), ("v", &b"q"[..]));
    for shards in [x, y] {
        assert_eq!(shards.pool.max_connections, 7);
        assert!(shards.accounts.is_empty() && shards.sharding.rules.is_empty() && !shards.circuit.enabled);
    }
    let home = good(&format!("{SHARDED}[[shards]]\nname = \"own\"\nindexes = [0, 1, 2, 3]\n"));
    assert_eq!((home.clusters.len(), home.clusters[0].sharding.servers.len()), (1, 0));
}
