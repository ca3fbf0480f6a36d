//! Every way in which a file can be wrong, and what is said of it.

use super::tests::{LEAST, bad, good, parse};

/// The problems of a text after the four lines of a valid backend, which are not counted: its own lines are from 1.
fn bad_after_backend(text: &str) -> Vec<String> {
    let lines = bad(&format!("{LEAST}{text}"));
    let own = lines.iter().map(|line| {
        let (number, rest) = line.split_once(':').expect("a line");
        format!("{}:{rest}", number.parse::<usize>().expect("a number") - 4)
    });
    own.collect()
}

#[test]
fn every_mistake_is_reported_at_once_in_order_of_lines() {
    let problems = bad(
        "verbose = true\n[server]\nlisten_prt = 3307\nlisten_addr = \"localhost\"\nlisten_port = 70000\n\
                        [backend]\nhost = 5\nport = \"3306\"\npassword = \"a\"\npassword_env = \"B\"\n[cricuit]\n\
                        enabled = true\n[pool]\nmin_idle = 7\nmax_connections = 5\nidle_timeout_ms = -1\n",
    );
    assert_eq!(
        problems,
        [
            "1: verbose: a key has to stand in a section, such as [server]",
            "3: server.listen_prt: unknown key, did you mean listen_port?",
            "4: server.listen_addr: \"localhost\" is not an IP address, such as \"127.0.0.1\", \"0.0.0.0\" or \"::1\"",
            "5: server.listen_port: 70000 is out of bounds: must be between 1 and 65535",
            "6: backend.user: the key is missing: it has no default",
            "7: backend.host: must be a string in quotes, not a number",
            "8: backend.port: must be a number without quotes, between 1 and 65535",
            "10: backend.password_env: contradicts password: give the password in one way only",
            "11: cricuit: unknown section, did you mean circuit?",
            "14: pool.min_idle: 7 is more than max_connections = 5",
            "16: pool.idle_timeout_ms: -1 is out of bounds: must be between 1 and 4294967295",
        ]
    );
}

#[test]
fn names_that_are_not_known_come_with_a_hint() {
    let cases = [
        (
            "[circuit]\nqueue_timeout = 1",
            "2: circuit.queue_timeout: unknown key, did you mean queue_timeout_ms?",
        ),
        ("[pool]\nlevel = 1", "2: pool.level: unknown key here: it belongs in [log]"),
        ("[pool]\nzzz = 1", "2: pool.zzz: unknown key"),
        ("[pool.zzz]\na = 1", "1: pool.zzz: unknown key"),
        ("[zzz]", "1: zzz: unknown section"),
        ("[[log]]\nlevel = \"info\"", "1: log: must be a section, written [log], once"),
        ("[users]\nname = \"a\"", "1: users: must be a list of sections, each written [[users]]"),
    ];
    for (text, expected) in cases {
        assert_eq!(bad_after_backend(text), [expected], "{text}");
    }
    assert_eq!(
        bad(&format!("level = \"info\"\n{LEAST}")),
        ["1: level: unknown key here: it belongs in [log]"]
    );
    assert_eq!(bad(&format!("log = 1\n{LEAST}")), ["1: log: must be a section, written [log], once"]);
}

#[test]
fn what_is_not_built_says_so() {
    let problems = bad_after_backend("[[clusters]]\nname = \"a\"");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains(": not available in this version: "), "{problems:?}");
    good(&format!("{LEAST}tls = \"disabled\"\n[auth]\nsource = \"config\"\n"));
}

#[test]
fn tls_that_cannot_be_is_refused() {
    let of_links = [
        ("tls = \"on\"", "5: backend.tls: \"on\" is none of \"disabled\", \"preferred\""),
        ("tls = \"verify_ca\"", "5: backend.tls: \"verify_ca\" needs ca: "),
        ("tls = \"verify_identity\"", "5: backend.tls: \"verify_identity\" needs ca: "),
        ("cert = \"none.pem\"", "5: backend.cert: it needs key as well"),
        ("ca = \"none.pem\"", "5: backend.ca: none.pem: No such file"),
        (
            "unix_socket = \"/run/a\"\ntls = \"required\"",
            "6: backend.tls: a Unix socket does not leave the host",
        ),
    ];
    for (text, expected) in of_links {
        let problems = bad(&format!("{LEAST}{text}\n"));
        assert!(problems.len() == 1 && problems[0].starts_with(expected), "{text}: {problems:?}");
    }
    let of_clients = [
        ("", &["1: server.tls.cert: the key is missing", "1: server.tls.key: the key is missing"][..]),
        ("cert = \"none.pem\"\nkey = \"none-key.pem\"", &["2: server.tls.cert: none.pem: No such file"]),
        (
            "certs = \"a\"",
            &["1: server.tls.cert: ", "1: server.tls.key: ", "2: server.tls.certs: unknown key, did"],
        ),
        (
            "client_certificates = \"required\"\nmode = \"optional\"",
            &[
                "1: server.tls.cert: ",
                "1: server.tls.key: ",
                "2: server.tls.client_certificates: it needs client_ca",
                "3: server.tls.mode: contradicts client_certificates",
            ],
        ),
    ];
    for (text, expected) in of_clients {
        let problems = bad_after_backend(&format!("[server.tls]\n{text}"));
        assert_eq!(problems.len(), expected.len(), "{text}: {problems:?}");
        for (problem, start) in problems.iter().zip(expected) {
            assert!(problem.starts_with(start), "{problem}, not {start}");
        }
    }
    assert_eq!(
        bad_after_backend("[server]\ntls = 1"),
        ["2: server.tls: must be a section, written [server.tls], once"]
    );
}

#[test]
fn a_backend_is_somewhere() {
    let nowhere = bad("[backend]\nuser = \"a\"\npassword = \"\"\n");
    assert_eq!(nowhere, ["1: backend.host: the key is missing: give host, or unix_socket"]);
    let config = good("[backend]\nunix_socket = \"sock\"\nuser = \"a\"\npassword = \"\"\n");
    assert_eq!(config.clusters[0].primary.to_string(), "sock");
    let own = "[server]\nunix_socket = \"/run/a\"\n[backend]\nunix_socket = \"/run/a\"\nuser = \"a\"\npassword = \"\"\n";
    assert!(
        bad(own)[0].starts_with("4: backend.unix_socket: /run/a is where Athena itself listens"),
        "{:?}",
        bad(own)
    );
}

#[test]
fn bad_values_are_refused() {
    let cases = [
        ("[server]\nlisten_port = 0", "2: server.listen_port: 0 is out of bounds"),
        ("[server]\nidle_timeout_ms = 4294967296", "2: server.idle_timeout_ms: 4294967296 is out of bounds"),
        ("[server]\nmax_connections = 1.5", "2: server.max_connections: 1.5 is out of bounds"),
        (
            "[server]\nmax_connections = 99999999999999999999999999999999999999999999",
            "2: server.max_connections: 999",
        ),
        (
            "[server]\nauth_plugin = \"caching_sha_password\"",
            "2: server.auth_plugin: \"caching_sha_password\" is none of \
          \"mysql_native_password\", \"caching_sha2_password\", \"client_ed25519\", did you mean caching_sha2_password?",
        ),
        ("[runtime]\nring_entries = 100", "2: runtime.ring_entries: 100 is not a power of two"),
        ("[runtime]\ncores_per_cpu = 65", "2: runtime.cores_per_cpu: "),
        ("[runtime]\ncpus = \"\"", "2: runtime.cpus: \"\" is neither"),
        ("[runtime]\ncpus = \"1,,2\"", "2: runtime.cpus: \"1,,2\" is neither"),
        ("[runtime]\ncpus = \"4-2\"", "2: runtime.cpus: \"4-2\" is neither"),
        ("[runtime]\ncpus = \"1-99999999999\"", "2: runtime.cpus: \"1-99999999999\" is neither"),
        ("[runtime]\ncpus = \"1-3,2\"", "2: runtime.cpus: CPU 2 is named twice"),
        ("[runtime]\ncpus = [1, 2]", "2: runtime.cpus: must be a string in quotes, not a list"),
        ("[circuit]\nenabled = \"yes\"", "2: circuit.enabled: must be true or false, not a string"),
        ("[circuit]\n[[limits]]\nshard = 256", "3: limits.shard: 256 is out of bounds"),
        (
            "[[limits]]\nmax_concurrent = 1",
            "2: limits.max_concurrent: changes a limit of [circuit], which limits nothing",
        ),
        ("[circuit]\n[[limits]]\nuser = \"nobody\"", "3: limits.user: no account of this file has this name"),
        ("[log]\nlevel = \"verbose\"", "2: log.level: \"verbose\" is neither"),
        ("[log]\nlevel = \"athena=loud\"", "2: log.level: \"athena=loud\" is neither"),
        ("[log]\nformat = \"xml\"", "2: log.format: \"xml\" is none of \"text\", \"json\""),
        ("[[users]]\nname = \"\"\npassword = \"\"", "2: users.name: must not be empty"),
        ("[[users]]\nname = \"a\"", "1: users.password: the password is missing"),
        ("[[users]]\npassword = \"\"", "1: users.name: the key is missing"),
        ("[[users]]\nname = \"a\"\npassword_hash = \"*12\"", "3: users.password_hash: not a hash of MySQL"),
        ("[[users]]\nname = \"a\"\npassword_hash = \"0x1\"", "3: users.password_hash: not a hash of MySQL"),
        (
            "[[users]]\nname = \"a\"\npassword = \"\"\nallowed_addresses = [\"10.0.0.0/33\"]",
            "4: users.allowed_addresses: \"10.0.0.0/33\" is neither",
        ),
        (
            "[[users]]\nname = \"a\"\npassword = \"\"\nallowed_addresses = \"::1\"",
            "4: users.allowed_addresses: must be a list of strings",
        ),
        (
            "[[users]]\nname = \"a\"\npassword = \"\"\nallowed_addresses = [1]",
            "4: users.allowed_addresses: must be a list of strings",
        ),
        (
            "[[users]]\nname = \"a\"\npassword = \"\"\nbackend_user = \"b\"",
            "1: users.backend_password: the password is missing",
        ),
    ];
    for (text, expected) in cases {
        let problems = bad_after_backend(text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(expected), "{problems:?}");
    }
    for host in ["db:3306", "a b", "/run/mysqld.sock", "[::1]", ".x"] {
        let problems = bad(&LEAST.replace("\"db\"", &format!("\"{host}\"")));
        assert!(problems[0].starts_with(&format!("2: backend.host: \"{host}\" is neither")), "{problems:?}");
    }
    for level in ["error", "OFF", "athena=debug", "warn,athena::net=trace", "info,[query{id=3}]=debug"] {
        good(&format!("{LEAST}[log]\nlevel = \"{level}\"\n"));
    }
}

#[test]
fn contradictions_are_refused() {
    let cases = [
        (
            "[pool]\nmax_connections = 4\nmax_connecting = 5",
            "3: pool.max_connecting: 5 is more than max_connections = 4",
        ),
        ("[pool]\nmin_idle = 101", "2: pool.min_idle: 101 is more than max_connections = 100"),
        ("[server]\nlisten_port = 64536", "2: server.listen_port: the default of 65536, "),
        ("[metrics]\nlisten_port = 3307", "2: metrics.listen_port: 127.0.0.1:3307 is where clients connect"),
        ("[metrics]\nlisten_addr = \"::\"\nlisten_port = 3307", "3: metrics.listen_port: [::]:3307 is where"),
        (
            "[[users]]\nname = \"a\"\npassword = \"\"\n[[users]]\nname = \"a\"\npassword = \"b\"",
            "5: users.name: the user of line 5 has the same name",
        ),
        (
            "[[users]]\nname = \"a\"\npassword = \"\"\npassword_hash = \"*14E65567ABDB5135D0CFD9A70B3032C179A49EE7\"",
            "3: users.password: contradicts password_hash",
        ),
        (
            "[[users]]\nname = \"a\"\npassword_hash = \"$A$005$01234567890123456789aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
            "3: users.password_hash: an account with such a hash",
        ),
        (
            "[auth]\nsource = \"backend\"\n[[users]]\nname = \"a\"\npassword = \"\"",
            "2: auth.source: contradicts [[users]]",
        ),
        (
            "[auth]\nsource = \"backend\"\n[server]\nauth_plugin = \"client_ed25519\"",
            "2: auth.source: contradicts [server] auth_plugin",
        ),
        (
            "[[users]]\nname = \"a\"\npassword = \"\"\nbackend_password = \"\"",
            "4: users.backend_password: is for links of an account of their own",
        ),
    ];
    for (text, expected) in cases {
        let problems = bad_after_backend(text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(expected), "{problems:?}");
    }
    good(&format!("{LEAST}[server]\nlisten_port = 65000\n[metrics]\nenabled = false\n"));
    good(&format!("{LEAST}[server]\nlisten_port = 65000\n[metrics]\nlisten_port = 9100\n"));
    for (listen, host, port) in [
        ("127.0.0.1", "127.0.0.1", 3307),
        ("127.0.0.1", "localhost", 3307),
        ("0.0.0.0", "127.0.0.1", 3307),
        ("::", "::1", 3307),
        ("10.0.0.1", "10.0.0.1", 3307),
        ("127.0.0.1", "127.0.0.1", 4307),
    ] {
        let text = LEAST.replace("\"db\"", &format!("\"{host}\"\nport = {port}"));
        let problems = bad(&format!("{text}[server]\nlisten_addr = \"{listen}\"\n"));
        assert!(problems[0].contains("it would be its own backend"), "{problems:?}");
    }
    for (listen, host, port) in [("127.0.0.1", "127.0.0.1", 3306), ("127.0.0.1", "10.0.0.1", 3307)] {
        let text = LEAST.replace("\"db\"", &format!("\"{host}\"\nport = {port}"));
        good(&format!("{text}[server]\nlisten_addr = \"{listen}\"\n"));
    }
}

#[test]
fn a_bad_value_brings_no_contradiction_with_it() {
    let problems = bad_after_backend("[pool]\nmax_connections = \"500\"\nmin_idle = 200");
    assert_eq!(problems, ["2: pool.max_connections: must be a number without quotes, between 1 and 1000000"]);
}

#[test]
fn syntax_errors_come_with_what_else_is_wrong() {
    let problems = bad("[server]\nlisten_port =\nlisten_adr = \"::\"\n[server]\nmax_connections = 0\n");
    assert_eq!(problems.len(), 4, "{problems:?}");
    assert!(problems[0].starts_with("2: server.listen_port: not valid TOML: "), "{problems:?}");
    assert!(problems[1].starts_with("3: server.listen_adr: unknown key"), "{problems:?}");
    assert!(problems[2].starts_with("4: syntax: not valid TOML: duplicate key"), "{problems:?}");
    assert!(problems[3].starts_with("5: server.max_connections: 0 is out of bounds"), "{problems:?}");
    let problems = bad("[server\nlisten_port = 0\n");
    assert_eq!(problems.len(), 1, "a broken header leaves nothing to check: {problems:?}");
    assert!(problems[0].starts_with("1: syntax: not valid TOML: "), "{problems:?}");
}

#[test]
fn no_message_holds_a_password() {
    let texts = [
        "[backend]\nhost = \"db\"\nuser = \"a\"\npassword = hunter2\n",
        "[backend]\nhost = \"db\"\nuser = \"a\"\npassword = \"hunter2\n",
        "[backend]\nhost = \"db\"\nuser = \"a\"\npassword = \"hunter2\"\npassword_env = \"NONE\"\n",
        "[backend]\nhost = \"db\"\nuser = \"a\"\npassword = [\"hunter2\"]\n",
        "[backend]\nhost = \"db\"\nuser = \"a\"\npassword = \"\"\"\nhunter2 = \\q\"\"\"\n",
    ];
    for text in texts {
        let problems = bad(text).join("\n");
        assert!(!problems.contains("hunter2"), "{problems}");
    }
    let config = good(&LEAST.replace("secret", "hunter2"));
    let shown = format!("{config:?} {}", config.clusters[0].primary.password);
    assert!(!shown.contains("hunter2") && !shown.contains("104, 117"), "{shown}");
}

#[test]
fn a_text_that_is_cut_or_changed_anywhere_is_read_to_its_end() {
    let text = format!(
        "{LEAST}[server]\nlisten_port = 1\n[[users]]\nname = \"a\"\npassword = \"\"\"b\"\"\"\n[log]\nlevel = \"a=b\""
    );
    for at in 0..text.len() {
        let (before, after) = text.split_at(at);
        parse(before).map(drop).unwrap_or_else(|problems| assert!(!problems.to_string().is_empty()));
        for change in ["\"", "[", "]", "=", "\n", ".", "#", "{", "\u{1f980}", "\0"] {
            let changed = format!("{before}{change}{}", after.get(1..).unwrap_or_default());
            parse(&changed).map(drop).unwrap_or_else(|problems| assert!(!problems.to_string().is_empty()));
        }
    }
}

#[test]
fn replicas_that_cannot_be_are_refused() {
    let cases = [
        (
            "[backend.replicas]\nhost = \"b\"",
            "backend.replicas: must be a list of sections, each written [[backend.replicas]]",
        ),
        (
            "[[backend.replicas]]\nport = 3309",
            "backend.replicas.host: the key is missing: give host, or unix_socket",
        ),
        ("[[backend.replicas]]\nhost = \"db\"", "backend.replicas.host: db:3306 is named twice"),
        (
            "[[backend.replicas]]\nhost = \"127.0.0.1\"\nport = 3307",
            "backend.replicas.host: 127.0.0.1:3307 is where Athena itself listens",
        ),
        (
            "[[backend.replicas]]\nhost = \"b\"\nuser = \"c\"",
            "backend.replicas.password: the password is missing",
        ),
        ("[[backend.replicas]]\nhost = \"b\"\nca = \"c.pem\"", "backend.replicas.ca: it needs tls as well"),
        (
            "[[backend.replicas]]\nhost = \"b\"\nwieght = 2",
            "backend.replicas.wieght: unknown key, did you mean weight?",
        ),
        ("[routing]\nread_write_split = true", "routing.read_write_split: there are no [[backend.replicas]]"),
        (
            "[routing]\nread_your_writes = \"sesion\"",
            "routing.read_your_writes: \"sesion\" is none of \"off\", \"session\", \"global\", did you mean session?",
        ),
        (
            "[[users]]\nname = \"a\"\npassword = \"\"\nrouting = \"split\"",
            "users.routing: there are no [[backend.replicas]]",
        ),
        (
            "[[backend.replicas]]\nhost = \"b\"\ndatabase = \"c\"",
            "backend.replicas.database: is another one than in [backend]",
        ),
        ("[health]\nfailures = 0", "health.failures: 0 is out of bounds"),
        ("[health]\npassword = \"a\"", "health.password: it needs user as well"),
    ];
    for (text, expected) in cases {
        let problems = bad_after_backend(text);
        assert!(problems.len() == 1 && problems[0].contains(expected), "{text}: {problems:?}");
    }
}

#[test]
fn servers_of_shards_that_cannot_be_are_refused() {
    const RULE: &str =
        "[[sharding]]\nname = \"r\"\ntable_pattern = \"t\"\nshard_column = \"id\"\nshard_count = 2\n";
    let both = |more: &str| format!("[[shards]]\nname = \"x\"\nindexes = [0, 1]\n{more}");
    let cases = [
        (both("host = \"db\""), "shards.host: db:3306 is named twice among [backend], [[shards]]"),
        (both("host = \"b\"\ndatabase = \"other\""), "shards.database: is another one than in [backend]"),
        (both("port = 3309"), "shards.port: is for a server: give host, or unix_socket"),
        (both("host = \"b\"\nuser = \"c\""), "shards.password: the password is missing"),
        (both("host = \"b\"\nca = \"c.pem\""), "shards.ca: it needs tls as well"),
        (both("host = \"b\"\n[[shards.replicas]]\nhost = \"b\""), "shards.replicas.host: b:3306 is named twice"),
        (both("host = \"b\"\n[[shards.replicas]]\nhost = \"c\"\nwieght = 1"), "shards.replicas.wieght: unknown key, did you mean weight?"),
        ("[[shards]]\nname = \"x\"\nindexes = [0]\nhost = \"b\"".to_owned(), "shards.indexes: shard 1 is on no server"),
        (
            "[[shards]]\nname = \"x\"\nindexes = [0, 1, 2]\nhost = \"b\"".to_owned(),
            "shards.indexes: no rule has a shard 2: they count from 0",
        ),
        (
            both("host = \"b\"\n[[shards]]\nname = \"y\"\nindexes = [1]\nhost = \"c\""),
            "shards.indexes: shard 1 is named on line",
        ),
        (
            "[[shards]]\nname = \"x\"\nindexes = [0, 1]\nhost = \"b\"\n[[shards]]\nname = \"y\"\nhost = \"c\"".to_owned(),
            "shards.indexes: the key is missing, or names no shard",
        ),
        (
            "[[shards]]\nname = \"x\"\nindexes = [0]\nhost = \"b\"\n[[shards]]\nname = \"x\"\nindexes = [1]\nhost = \"c\""
                .to_owned(),
            "shards.name: the section of line",
        ),
        (both("host = \"b\"").replace("\"x\"", "\"default\""), "shards.name: is the name of [backend]"),
        ("[[shards]]\nname = \"x\"\nindexes = [\"a\", 0, 1]\nhost = \"b\"".to_owned(), "shards.indexes: \"a\" is no number"),
    ];
    for (text, expected) in cases {
        let problems = bad_after_backend(&format!("{RULE}{text}"));
        assert!(problems.len() == 1 && problems[0].contains(expected), "{text}: {problems:?}");
    }
}
