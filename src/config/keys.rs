//! The table of every key: the single source of names, defaults, bounds and one-line explanations.

use std::ops::RangeInclusive;

/// One key of the file.
#[derive(Debug)]
pub struct Key {
    /// The section without brackets, such as `pool`; `users` is written `[[users]]`.
    pub section: &'static str,
    /// The key as it is written.
    pub name: &'static str,
    /// Type, bounds and default.
    pub form: Form,
    /// One line for the operator, without a full stop.
    pub doc: &'static str,
}

/// The type of a key's value, with its bounds and its default.
#[derive(Debug)]
pub enum Form {
    /// A string.
    Text(Absent<&'static str>),
    /// A whole number within bounds; the key's name ends in its unit, where it has one.
    Number {
        /// The values that are accepted.
        range: RangeInclusive<u64>,
        /// What happens without the key.
        absent: Absent<u64>,
    },
    /// `true` or `false`, with the default.
    Flag(bool),
    /// A list of strings; what its absence means, in words.
    List(&'static str),
    /// A string or a list of them; it must be given.
    OneOrMore,
    /// A list of strings and whole numbers; what its absence means, in words.
    Scalars(&'static str),
    /// One word of a list.
    Choice {
        /// What can be written.
        of: &'static [&'static str],
        /// The default, one of the list.
        default: &'static str,
        /// Words that are reserved, each with the reason why it is refused.
        reserved: &'static [(&'static str, &'static str)],
    },
}

/// What the absence of a key means.
#[derive(Debug)]
pub enum Absent<T> {
    /// The key must be given.
    Refused,
    /// The same as this value.
    Means(T),
    /// Something that no value of the key says, in words.
    Unset(&'static str),
}

impl Key {
    /// The default as it would be written in the file, or, where no value says it, in words.
    pub fn default_text(&self) -> String {
        match &self.form {
            Form::Text(Absent::Means(text)) => format!("\"{text}\""),
            Form::Choice { default, .. } => format!("\"{default}\""),
            Form::Number { absent: Absent::Means(number), .. } => number.to_string(),
            Form::Flag(flag) => flag.to_string(),
            Form::List(words) | Form::Scalars(words) => (*words).to_owned(),
            Form::Text(Absent::Unset(words)) | Form::Number { absent: Absent::Unset(words), .. } => {
                (*words).to_owned()
            }
            Form::OneOrMore | Form::Text(Absent::Refused) | Form::Number { absent: Absent::Refused, .. } => {
                "required".to_owned()
            }
        }
    }
}

/// Finds a key of the table.
pub(super) fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.section == section && key.name == name)
}

/// Sections of which there can be several, written `[[name]]`.
pub(super) const REPEATED: &[&str] =
    &["users", "limits", "backend.replicas", "sharding", "shards", "shards.replicas"];

/// What the design has and this version does not: each is refused with what to do instead.
pub(super) const UNAVAILABLE: &[(&str, &str)] =
    &[("clusters", "one process serves one cluster; write it as [backend] and [[users]]")];

/// The most that a time-out can be: 49 days, the milliseconds that fit 32 bits.
const MS_MAX: u64 = u32::MAX as u64;
/// A table has 256 shards at most, which count from 0.
const SHARDS_MAX: u64 = 255;
/// More connections than a process can have file descriptors for.
const CONNECTIONS_MAX: u64 = 1_000_000;

const fn text(
    section: &'static str,
    name: &'static str,
    absent: Absent<&'static str>,
    doc: &'static str,
) -> Key {
    Key { section, name, form: Form::Text(absent), doc }
}

const fn number(
    section: &'static str,
    name: &'static str,
    default: u64,
    range: RangeInclusive<u64>,
    doc: &'static str,
) -> Key {
    Key { section, name, form: Form::Number { range, absent: Absent::Means(default) }, doc }
}

const fn flag(section: &'static str, name: &'static str, default: bool, doc: &'static str) -> Key {
    Key { section, name, form: Form::Flag(default), doc }
}

const fn list(section: &'static str, name: &'static str, absent: &'static str, doc: &'static str) -> Key {
    Key { section, name, form: Form::List(absent), doc }
}

const fn choice(
    section: &'static str,
    name: &'static str,
    default: &'static str,
    of: &'static [&'static str],
    reserved: &'static [(&'static str, &'static str)],
    doc: &'static str,
) -> Key {
    Key { section, name, form: Form::Choice { of, default, reserved }, doc }
}

/// Every key, in the order of the example file.
#[rustfmt::skip] // a table reads as a table
pub const KEYS: &[Key] = &[
    text("server", "listen_addr", Absent::Means("127.0.0.1"), "IP address on which clients connect; \"0.0.0.0\" and \"::\" are all of the host's"),
    number("server", "listen_port", 3307, 1..=65_535, "TCP port on which clients connect"),
    text("server", "unix_socket", Absent::Unset("none"), "path of a Unix socket on which clients connect as well"),
    list("server", "proxy_protocol", "from nobody", "proxies that may begin a connection with a PROXY header, by which the client's address counts: as users' allowed_addresses"),
    number("server", "max_connections", 10_000, 1..=CONNECTIONS_MAX, "clients at a time, whole process; one more is refused with error 1040"),
    number("server", "max_connections_per_address", 0, 0..=CONNECTIONS_MAX, "clients of one IP address at a time (of IPv6, of one /64 network), whole process; one more is refused with error 1040; 0 is no limit"),
    Key { section: "server", name: "max_logins", form: Form::Number { range: 1..=CONNECTIONS_MAX, absent: Absent::Unset("half of max_connections") }, doc: "clients at a time that have not logged in, whole process; with more, those that keep Athena waiting for a second are ended with error 1040" },
    number("server", "login_timeout_ms", 10_000, 1..=MS_MAX, "time from a client's connect to the end of its login"),
    number("server", "idle_timeout_ms", 28_800_000, 1..=MS_MAX, "a client that sends no command for so long is disconnected"),
    number("server", "idle_transaction_timeout_ms", 0, 0..=MS_MAX, "a client that sends no command for so long while it has a transaction or locks is disconnected; 0 is never"),
    number("server", "write_timeout_ms", 60_000, 1..=MS_MAX, "a client that takes no byte of its result for so long is disconnected"),
    number("server", "drain_timeout_ms", 30_000, 0..=MS_MAX, "time for statements and transactions to finish after SIGTERM; 0 is none"),
    number("server", "max_packet_bytes", 1 << 30, 1024..=1 << 30, "longest packet taken from a client, headers not counted"),
    number("server", "command_buffer_bytes", (1 << 24) - 2, 160 << 10..=(1 << 24) - 2, "longest packet that is collected before it is passed on; a longer one streams, and a text in it binds the session to its link"),
    choice("server", "auth_plugin", "mysql_native_password", &["mysql_native_password", "caching_sha2_password", "client_ed25519"], &[], "how clients prove their password: \"mysql_native_password\", \"caching_sha2_password\" or \"client_ed25519\""),
    choice("server", "compression", "any", &["any", "zlib", "zstd", "off"], &[], "what clients may compress by: \"any\" (of the two), \"zlib\", \"zstd\" or \"off\""),

    text("server.tls", "cert", Absent::Refused, "file with the certificate that clients see, and those between it and its authority (PEM)"),
    text("server.tls", "key", Absent::Refused, "file with the certificate's private key (PEM, not encrypted)"),
    choice("server.tls", "mode", "optional", &["optional", "required"], &[], "\"optional\", or \"required\": clients without TLS are refused with error 3159"),
    text("server.tls", "client_ca", Absent::Unset("none"), "file with the certificates of those who sign for clients (PEM)"),
    choice("server.tls", "client_certificates", "optional", &["optional", "required"], &[], "\"optional\", or \"required\": clients without a certificate of client_ca fail; then mode is \"required\" too"),

    text("runtime", "cpus", Absent::Means("auto"), "CPUs that get a core executor each: \"auto\" (all that the process may use) or a list such as \"2-7,10\""),
    number("runtime", "cores_per_cpu", 1, 1..=64, "core executors on each of those CPUs; more than 1 only to try out what many cores do on few CPUs"),
    Key { section: "runtime", name: "control_cpu", form: Form::Number { range: 0..=CPU_MAX, absent: Absent::Unset("not pinned") }, doc: "CPU of the control executor" },
    number("runtime", "spin_us", 0, 0..=100_000, "time a core polls before it sleeps; more than 0 only on a host that is Athena's alone"),
    number("runtime", "ring_entries", 1024, 64..=32_768, "submission entries of a core's io_uring, a power of two"),
    number("runtime", "buffers", 128, 64..=32_768, "receive buffers that a core starts with"),
    number("runtime", "buffer_bytes", 16_384, 4096..=1 << 20, "size of a receive buffer"),

    choice("auth", "source", "config", &["config", "backend"], &[], "where accounts come from: \"config\" is this file, \"backend\" the server's own accounts"),
    number("auth", "refresh_min_interval_ms", 1000, 1..=MS_MAX, "time between two readings of the server's accounts, on each core"),

    text("backend", "host", Absent::Unset("required without unix_socket"), "name or IP address of the MySQL server"),
    number("backend", "port", 3306, 1..=65_535, "its TCP port"),
    text("backend", "unix_socket", Absent::Unset("none"), "path of the server's Unix socket, instead of host and port"),
    text("backend", "user", Absent::Refused, "account with which links to the server log in"),
    text("backend", "password", Absent::Unset("none: one of the three is required"), "its password"),
    text("backend", "password_file", Absent::Unset("none"), "file that holds the password, instead of password"),
    text("backend", "password_env", Absent::Unset("none"), "environment variable that holds the password, instead of password"),
    flag("backend", "proxy_protocol", false, "links begin with a PROXY header (version 2) that tells the client's address"),
    text("backend", "database", Absent::Unset("none"), "database of clients that name none and whose account has none"),
    choice("backend", "tls", "disabled", &["disabled", "preferred", "required", "verify_ca", "verify_identity"], &[], "encryption of links: \"disabled\", \"preferred\" (if the server offers it), \"required\", \"verify_ca\" (and its certificate is signed by ca), \"verify_identity\" (and bears the host's name)"),
    text("backend", "ca", Absent::Unset("none"), "file with the certificates of those who sign for the server (PEM)"),
    text("backend", "cert", Absent::Unset("none"), "file with a certificate that links show the server, if it asks for one (PEM)"),
    text("backend", "key", Absent::Unset("none"), "file with that certificate's private key (PEM, not encrypted)"),
    choice("backend", "compression", "off", &["off", "zlib", "zstd"], &[], "compression of links: \"off\", \"zlib\", or \"zstd\" (MySQL 8 and newer)"),

    text("backend.replicas", "host", Absent::Unset("none: one of host and unix_socket is required"), "host name or IP address of a server that follows [backend], and may take its place"),
    Key { section: "backend.replicas", name: "port", form: Form::Number { range: 1..=65_535, absent: Absent::Means(3306) }, doc: "its TCP port" },
    text("backend.replicas", "unix_socket", Absent::Unset("none: by TCP"), "path of its Unix socket, in the place of host and port"),
    number("backend.replicas", "weight", 1, 0..=1_000_000, "its share of the reads, beside the others' weights; 0 is none, unless it becomes the primary"),
    text("backend.replicas", "group", Absent::Unset("none"), "where it is: [routing] group prefers those of its own"),
    flag("backend.replicas", "draining", false, "true takes it out of the reads; SIGHUP reads it again"),
    text("backend.replicas", "user", Absent::Unset("[backend] user"), "account with which links to it log in"),
    text("backend.replicas", "password", Absent::Unset("[backend]'s, unless user is given"), "its password"),
    text("backend.replicas", "password_file", Absent::Unset("none"), "file that holds the password, instead of password"),
    text("backend.replicas", "password_env", Absent::Unset("none"), "environment variable that holds the password, instead of password"),
    text("backend.replicas", "database", Absent::Unset("[backend] database"), "the same as in [backend], if it is given: servers that replicate have the same databases"),
    choice("backend.replicas", "tls", "as_backend", &["as_backend", "disabled", "preferred", "required", "verify_ca", "verify_identity"], &[], "encryption of links to it, as in [backend]; \"as_backend\" takes that and its files over"),
    text("backend.replicas", "ca", Absent::Unset("none"), "as in [backend]"),
    text("backend.replicas", "cert", Absent::Unset("none"), "as in [backend]"),
    text("backend.replicas", "key", Absent::Unset("none"), "as in [backend]"),

    text("users", "name", Absent::Refused, "name with which clients log in"),
    text("users", "password", Absent::Unset("none: one of the four is required"), "the account's password"),
    text("users", "password_file", Absent::Unset("none"), "file that holds the password, instead of password"),
    text("users", "password_env", Absent::Unset("none"), "environment variable that holds the password, instead of password"),
    text("users", "password_hash", Absent::Unset("none"), "the password as MySQL's own hash, instead of password: \"*...\", \"$A$005$...\" or the latter as \"0x...\""),
    text("users", "default_database", Absent::Unset("[backend] database"), "database of clients that name none"),
    Key { section: "users", name: "max_connections", form: Form::Number { range: 1..=CONNECTIONS_MAX, absent: Absent::Unset("only that of [server]") }, doc: "clients of the account at a time, whole process; one more is refused with error 1226" },
    list("users", "allowed_addresses", "from everywhere", "where the account's clients may come from: addresses, networks such as \"10.0.0.0/8\", and \"localhost\" for this host"),
    choice("users", "tls", "optional", &["optional", "required", "certificate"], &[], "\"required\" lets the account in by TLS only, \"certificate\" only with a client certificate"),
    choice("users", "routing", "default", &["default", "primary", "split"], &[], "\"primary\" sends all statements of the account to the primary, \"split\" its reads to replicas; \"default\" goes by [routing] read_write_split"),
    text("users", "backend_user", Absent::Unset("[backend] user"), "account of the server with which the links of this account log in"),
    text("users", "backend_password", Absent::Unset("none: one of the three is required with backend_user"), "its password"),
    text("users", "backend_password_file", Absent::Unset("none"), "file that holds the password, instead of backend_password"),
    text("users", "backend_password_env", Absent::Unset("none"), "environment variable that holds the password, instead of backend_password"),

    number("pool", "max_connections", 100, 1..=CONNECTIONS_MAX, "links to the server, whole process"),
    number("pool", "min_idle", 0, 0..=CONNECTIONS_MAX, "idle links that are kept ready, whole process"),
    number("pool", "max_connecting", 16, 1..=CONNECTIONS_MAX, "links being opened at a time, whole process; unset it follows a smaller max_connections"),
    number("pool", "idle_timeout_ms", 60_000, 1..=MS_MAX, "a link that nobody used for so long is closed"),
    number("pool", "max_lifetime_ms", 1_800_000, 0..=MS_MAX, "a link of this age is closed once it is free; 0 is never"),
    number("pool", "checkout_timeout_ms", 5000, 1..=MS_MAX, "time a statement waits for a free link"),
    number("pool", "connect_timeout_ms", 3000, 1..=MS_MAX, "time to connect a link and log it in"),
    number("pool", "query_timeout_ms", 0, 0..=MS_MAX, "time the server has for a statement; 0 is no limit"),
    number("pool", "query_kill_timeout_ms", 2000, 1..=MS_MAX, "time the server has to end a statement that took longer; then its link is closed"),
    number("pool", "max_prepared_statements", 256, 1..=65_536, "prepared statements that a link keeps open on the server"),
    list("pool", "movable_routines", "none", "procedures and functions that leave nothing of a session behind but what servers tell: calls of these keep no link; \"name\" or \"schema.name\""),

    flag("routing", "read_write_split", false, "statements that only read go to [[backend.replicas]], everything else to the primary"),
    choice("routing", "read_your_writes", "session", &["off", "session", "global"], &[], "a read finds what its own session has written (\"session\"), or anybody (\"global\", which asks the primary before each read); \"off\" is whatever the replica has"),
    number("routing", "read_your_writes_timeout_ms", 100, 1..=MS_MAX, "time a read waits for a replica to have that; then it goes to the primary"),
    number("routing", "max_replica_lag_ms", 10_000, 1..=MS_MAX, "a replica that is further behind gets no reads"),
    choice("routing", "no_replica", "primary", &["primary", "error"], &[], "where reads go while no replica may have them: to the \"primary\", or nowhere (\"error\")"),
    choice("routing", "replica_choice", "weighted", &["weighted", "least_outstanding", "latency"], &[], "which replica gets a read: in turn by weight, the one with the fewest statements for its weight, or the nearest by the time that it takes to answer"),
    text("routing", "group", Absent::Unset("none"), "replicas of this group go before all others, as long as there is one"),
    choice("routing", "read_only_transactions", "replica", &["replica", "primary"], &[], "where START TRANSACTION READ ONLY and what follows it run"),
    list("routing", "read_only_routines", "none", "functions and procedures that only read: \"name\" or \"schema.name\""),
    number("routing", "failover_wait_ms", 10_000, 0..=MS_MAX, "time a statement waits for a primary while there is none; 0 fails at once"),

    number("health", "interval_ms", 500, 10..=MS_MAX, "time between two looks after a server, where there are [[backend.replicas]]"),
    number("health", "timeout_ms", 1000, 10..=MS_MAX, "time a server has to answer one"),
    number("health", "failures", 3, 1..=1000, "looks in a row that fail until a server counts as down; refused ones follow each other at once"),
    number("health", "recoveries", 2, 1..=1000, "looks in a row that succeed until it counts as up again"),
    text("health", "user", Absent::Unset("the account of the server's links"), "account that looks after the servers"),
    text("health", "password", Absent::Unset("none: one of the three is required with user"), "its password"),
    text("health", "password_file", Absent::Unset("none"), "file that holds the password, instead of password"),
    text("health", "password_env", Absent::Unset("none"), "environment variable that holds the password, instead of password"),

    flag("circuit", "enabled", true, "limits the statements that run at a time; without the section nothing is limited"),
    number("circuit", "max_concurrent_per_user_shard", 10, 1..=CONNECTIONS_MAX, "statements of one user on one shard that run at a time, whole process"),
    number("circuit", "queue_size", 100, 0..=CONNECTIONS_MAX, "statements that wait for one of those places; one more fails with error 1040"),
    number("circuit", "queue_timeout_ms", 5000, 1..=MS_MAX, "time a statement waits for its place before it fails with error 1205"),
    number("circuit", "breaker_failures", 5, 0..=1_000_000, "connections to the server that fail in a row until none is tried for a while, on each core; 0 does not count them"),
    number("circuit", "breaker_failure_ratio_percent", 50, 0..=100, "the same by the part of all calls in breaker_window_ms that failed; 0 does not count it"),
    number("circuit", "breaker_window_ms", 10_000, 1..=MS_MAX, "time that this part is of"),
    number("circuit", "breaker_window_calls", 20, 1..=1_000_000, "fewer calls in that time say nothing"),
    number("circuit", "breaker_open_ms", 500, 1..=MS_MAX, "time for which none is tried; then one is, and its failure doubles the time"),
    number("circuit", "breaker_open_max_ms", 2000, 1..=MS_MAX, "the most that this time can get"),

    text("limits", "user", Absent::Unset("everybody"), "whose statements these limits are for"),
    Key { section: "limits", name: "shard", form: Form::Number { range: 0..=SHARDS_MAX, absent: Absent::Unset("any") }, doc: "on which shard; what is not sharded is on shard 0" },
    text("limits", "statement", Absent::Unset("all"), "a statement that stands for all that differ from it in values only"),
    Key { section: "limits", name: "max_concurrent", form: Form::Number { range: 1..=CONNECTIONS_MAX, absent: Absent::Unset("[circuit] max_concurrent_per_user_shard") }, doc: "such statements of one user on one shard that run at a time, whole process" },
    Key { section: "limits", name: "queue_size", form: Form::Number { range: 0..=CONNECTIONS_MAX, absent: Absent::Unset("[circuit] queue_size") }, doc: "such statements that wait for one of those places" },
    Key { section: "limits", name: "queue_timeout_ms", form: Form::Number { range: 1..=MS_MAX, absent: Absent::Unset("[circuit] queue_timeout_ms") }, doc: "time such a statement waits for its place" },

    text("sharding", "name", Absent::Refused, "what the rule is called in errors and logs"),
    Key { section: "sharding", name: "table_pattern", form: Form::OneOrMore, doc: "the tables that it is for: a name, the beginning of names with a * behind it, or a list of such" },
    text("sharding", "shard_column", Absent::Refused, "the column whose value says on which shard a row is"),
    text("sharding", "sequence_column", Absent::Unset("none"), "the column for which Athena draws ids that no other shard has, in rows that an INSERT gives none"),
    choice("sharding", "algorithm", "mod", &["mod", "hash", "range"], &[], "from the value to the shard: \"mod\" (the remainder of an integer), \"hash\" or \"range\" (see docs/SHARDING.md)"),
    Key { section: "sharding", name: "shard_count", form: Form::Number { range: 1..=SHARDS_MAX + 1, absent: Absent::Unset("required, but for \"range\"") }, doc: "how many physical tables a table is: users_0, users_1 and so on" },
    Key { section: "sharding", name: "boundaries", form: Form::Scalars("required for \"range\""), doc: "the first keys of all shards but the first, ascending; for \"range\" only" },
    choice("sharding", "key_type", "integer", &["integer", "text", "binary", "decimal", "date", "datetime"], &[], "what the column is: \"integer\", \"text\", \"binary\", \"decimal\", \"date\" or \"datetime\""),

    text("shards", "name", Absent::Refused, "what the server is called in errors, logs and metrics"),
    Key { section: "shards", name: "indexes", form: Form::Scalars("required"), doc: "the shards that are there, such as [0, 1]: of every rule those of these numbers; each is in one section" },
    text("shards", "host", Absent::Unset("[backend]'s server, which has these shards then"), "host name or IP address of the server that has these shards"),
    Key { section: "shards", name: "port", form: Form::Number { range: 1..=65_535, absent: Absent::Means(3306) }, doc: "its TCP port" },
    text("shards", "unix_socket", Absent::Unset("none: by TCP"), "path of its Unix socket, in the place of host and port"),
    text("shards", "user", Absent::Unset("[backend] user"), "account with which links to it log in"),
    text("shards", "password", Absent::Unset("[backend]'s, unless user is given"), "its password"),
    text("shards", "password_file", Absent::Unset("none"), "file that holds the password, instead of password"),
    text("shards", "password_env", Absent::Unset("none"), "environment variable that holds the password, instead of password"),
    text("shards", "database", Absent::Unset("[backend] database"), "the same as in [backend], if it is given: a schema has the same name on all servers"),
    choice("shards", "tls", "as_backend", &["as_backend", "disabled", "preferred", "required", "verify_ca", "verify_identity"], &[], "encryption of links to it, as in [backend]; \"as_backend\" takes that and its files over"),
    text("shards", "ca", Absent::Unset("none"), "as in [backend]"),
    text("shards", "cert", Absent::Unset("none"), "as in [backend]"),
    text("shards", "key", Absent::Unset("none"), "as in [backend]"),

    text("shards.replicas", "host", Absent::Unset("none: one of host and unix_socket is required"), "host name or IP address of a server that follows that of the shards, and may take its place"),
    Key { section: "shards.replicas", name: "port", form: Form::Number { range: 1..=65_535, absent: Absent::Means(3306) }, doc: "its TCP port" },
    text("shards.replicas", "unix_socket", Absent::Unset("none: by TCP"), "path of its Unix socket, in the place of host and port"),
    number("shards.replicas", "weight", 1, 0..=1_000_000, "as in [[backend.replicas]]"),
    text("shards.replicas", "group", Absent::Unset("none"), "as in [[backend.replicas]]"),
    flag("shards.replicas", "draining", false, "as in [[backend.replicas]]"),
    text("shards.replicas", "user", Absent::Unset("[[shards]] user"), "account with which links to it log in"),
    text("shards.replicas", "password", Absent::Unset("[[shards]]'s, unless user is given"), "its password"),
    text("shards.replicas", "password_file", Absent::Unset("none"), "file that holds the password, instead of password"),
    text("shards.replicas", "password_env", Absent::Unset("none"), "environment variable that holds the password, instead of password"),
    text("shards.replicas", "database", Absent::Unset("[backend] database"), "the same as in [backend], if it is given"),
    choice("shards.replicas", "tls", "as_shard", &["as_shard", "disabled", "preferred", "required", "verify_ca", "verify_identity"], &[], "encryption of links to it, as in [backend]; \"as_shard\" takes that of its [[shards]] over"),
    text("shards.replicas", "ca", Absent::Unset("none"), "as in [backend]"),
    text("shards.replicas", "cert", Absent::Unset("none"), "as in [backend]"),
    text("shards.replicas", "key", Absent::Unset("none"), "as in [backend]"),

    choice("sharding_defaults", "cross_shard_transactions", "refuse", &["refuse", "xa"], &[], "what becomes of a transaction that goes on at a second server of [[shards]]: \"refuse\" its statement, or commit on all of them by two phases (\"xa\")"),
    list("sharding_defaults", "global_tables", "none", "tables of which every server of [[shards]] and [backend] has a copy: names, or beginnings with a * behind them"),
    number("sharding_defaults", "sequence_block", 1000, 1..=1_000_000_000, "ids of a sequence that a core takes at a time; those that it has not given when it ends are lost"),
    number("sharding_defaults", "max_fan_out", 8, 1..=256, "backend connections that a read of several shards uses at a time"),
    number("sharding_defaults", "max_merge_rows", 1_000_000, 1..=u32::MAX as u64, "groups, and rows of shards that can't be read at the same time, that Athena keeps to merge the answers of several shards; one more is an error"),
    number("sharding_defaults", "max_merge_bytes", 64 << 20, 1024..=1 << 40, "bytes that it keeps for that; one more is an error"),
    number("sharding_defaults", "max_plans", 4096, 1..=1_000_000, "plans of statements that a core keeps"),

    flag("metrics", "enabled", true, "serves /metrics and /health over HTTP"),
    text("metrics", "listen_addr", Absent::Unset("[server] listen_addr"), "IP address of the HTTP endpoint"),
    Key { section: "metrics", name: "listen_port", form: Form::Number { range: 1..=65_535, absent: Absent::Unset("[server] listen_port + 1000") }, doc: "TCP port of the HTTP endpoint" },

    text("log", "level", Absent::Means("info"), "error, warn, info, debug, trace or off, or a filter such as \"info,athena=debug\"; RUST_LOG goes before it"),
    choice("log", "format", "text", &["text", "json"], &[], "\"text\" or \"json\", one event a line"),
    number("log", "slow_query_ms", 0, 0..=MS_MAX, "statements that take longer are logged; 0 is none"),
];

/// The last CPU that an affinity mask of the usual size can name.
pub(super) const CPU_MAX: u64 = 1023;
