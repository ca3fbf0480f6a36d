//! Athena reads texts as the server does: what random texts do to a user variable on real servers is compared with what
//! Athena sees in them, and what hides in comments and characters is seen through the proxy.

mod common;

use std::collections::BTreeMap;

use athena::parser::{Charset, Hazards, Server, SqlMode, facts};
use athena_perf::lab::{self, Lab, ServerOptions};
use athena_perf::proxy::AthenaConfig;
use common::random::Random;
use common::stage::Stage;
use common::wire::{Connection, Login, capability, command, status};
use common::{PATIENCE, TestResult, eventually};

/// Texts for each character set and server.
const TEXTS: usize = 4000;

/// Enough of them must be no mistakes, or they compare nothing.
const ACCEPTED_MIN: usize = TEXTS / 20;

const CHARSETS: [&str; 9] =
    ["utf8mb4", "latin1", "cp866", "big5", "cp932", "gb18030", "gbk", "sjis", "eucjpms"];

/// The only write of a text: whether it happens, the server tells.
const WRITE: &[u8] = b",@w:=1";

/// What strings, quoted names and comments are made of.
const INNER: [&[u8]; 20] = [
    b"\\", b"\\", b"''", b"``", b"\"\"", b"\\'", b"`", b"'", b"\"", b"@", b"*/", b"/*", b"-- ", b"# ", b"a",
    b"0", b"/*!", b" ", b"$$", b"|",
];

/// What stands between the items of a SELECT, or continues one.
const OUTER: [&[u8]; 25] = [
    b";",
    b";SELECT 2",
    b"; SELECT 3,4",
    b"+1",
    b",2",
    b" + 3",
    b" AS a",
    b" ",
    b" \n",
    b"*/",
    b" -- ",
    b"--\t",
    b"#",
    b"\n",
    b",@r",
    b",@",
    b",1.5e3",
    b",0x1f",
    b",n'a'",
    b",x'41'",
    b",`a`.",
    b"a",
    b",$$",
    b"$a$",
    b"/* c */",
];

/// Around what either server knows as a limit, and of all lengths.
const VERSIONS: [&str; 24] = [
    "", "4", "4000", "40000", "400001", "0400001", "50699", "50700", "050700", "90000", "90704", "90705",
    "99996", "99999", "099999", "100000", "101118", "101119", "101120", "110000", "999999", "9999999",
    "00000", "000000",
];

fn of_server(version: &str) -> Server {
    Server::of_version(version.as_bytes())
}

/// The inside of something in quotes; mostly without its end.
fn inner(random: &mut Random, text: &mut Vec<u8>) {
    for _ in 0..random.below(5) {
        match random.below(3) {
            0 => text.extend_from_slice(INNER[random.below(INNER.len())]),
            _ => character(random, text),
        }
    }
}

/// A byte above ASCII, often with one behind it that may make a character with it.
fn character(random: &mut Random, text: &mut Vec<u8>) {
    const SECOND: &[u8] = b"\\\\`'\"@|^{~0\x80\xA1\xFE\x7F";
    text.push(0x80 | u8::try_from(random.below(0x80)).expect("a byte"));
    if random.below(4) > 0 {
        text.push(SECOND[random.below(SECOND.len())]);
    }
}

fn piece(random: &mut Random, text: &mut Vec<u8>) {
    match random.below(10) {
        0 | 1 => {
            let quote = b"''\"`"[random.below(4)];
            text.extend_from_slice(if quote == b'`' { b" AS " } else { b"," });
            text.push(quote);
            inner(random, text);
            text.push(quote);
        }
        2 | 3 => {
            let mark = ["/*!", "/*!", "/*M!", "/*!!", "/*m!"][random.below(5)];
            let version = VERSIONS[random.below(VERSIONS.len())];
            let blank = ["", " ", "\n", "\t"][random.below(4)];
            text.extend_from_slice(format!("{mark}{version}{blank}").as_bytes());
            if random.below(2) == 0 {
                text.extend_from_slice(b"+1");
            }
            if random.below(3) > 0 {
                text.extend_from_slice(b" */");
            }
        }
        4 => {
            text.extend_from_slice(b"/*");
            inner(random, text);
            text.extend_from_slice(b"*/");
        }
        5 => {
            text.extend_from_slice([&b" AS a"[..], b",@a", b",1 AS 1", b" "][random.below(4)]);
            character(random, text);
        }
        6 => text.extend_from_slice(b"*/"),
        _ => text.extend_from_slice(OUTER[random.below(OUTER.len())]),
    }
}

/// A SELECT with one write, which may be in a string, in a comment, or be none.
fn random_text(random: &mut Random) -> Vec<u8> {
    const ENDS: [&[u8]; 9] = [b"", b"", b"", b" -- '", b" -- \"`", b" -- */", b" */", b"'", b"`"];
    let mut text = b"SELECT 1".to_vec();
    let (before, after) = (random.below(4), random.below(3));
    for _ in 0..before {
        piece(random, &mut text);
    }
    text.extend_from_slice(WRITE);
    for _ in 0..after {
        piece(random, &mut text);
    }
    text.extend_from_slice(ENDS[random.below(ENDS.len())]);
    text
}

/// How many texts the server took, and in how many of them Athena was unsure.
#[derive(Debug, Default)]
struct Count {
    accepted: usize,
    unsure: usize,
}

/// Whether the server takes all statements of a text.
fn runs(client: &mut Connection, text: &[u8]) -> TestResult<bool> {
    let mut reply = client.command(command::QUERY, text);
    loop {
        match reply {
            Ok(reply) if reply.status() & status::MORE_RESULTS == 0 => return Ok(true),
            Ok(_) => reply = client.read_reply(),
            Err(error) if error.code().is_some() => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

/// False where Athena is unsure. What the server refuses may be read in any way, unless it did something before.
fn agrees(text: &[u8], mode: SqlMode, ran: bool, wrote: bool) -> bool {
    let hazards = facts(text, mode).hazards;
    let sure = !hazards.contains(Hazards::UNSURE);
    let seen = hazards.contains(Hazards::USER_VARIABLE_WRITE);
    let right = seen == wrote || !sure || (!ran && !wrote);
    assert!(right, "{mode:?}, ran: {ran}, wrote: {wrote}: \"{}\"", text.escape_ascii());
    sure
}

fn compare(client: &mut Connection, mode: SqlMode, seed: u64) -> TestResult<Count> {
    let mut random = Random::new(seed);
    let mut count = Count::default();
    for _ in 0..TEXTS {
        let text = random_text(&mut random);
        client.run("SET @w = NULL")?;
        let ran = runs(client, &text)?;
        let wrote = client.scalar("SELECT @w IS NOT NULL")? == "1";
        let sure = agrees(&text, mode, ran, wrote);
        // Whoever does not know the server may only be unsure more often.
        agrees(&text, SqlMode { server: Server::default(), ..mode }, ran, wrote);
        count.accepted += usize::from(ran);
        count.unsure += usize::from(ran && !sure);
    }
    Ok(count)
}

fn compare_on(server: &lab::Server) -> TestResult {
    // From then on a MySQL knows the account, and takes a proof of the password.
    server.app_client().run("SELECT 1")?;
    let version = Connection::login(server.port(), &Login::app())?.greeting().version.clone();
    let by_server = of_server(&version);
    assert_ne!(by_server.version, 0, "{version}");
    let mut counts = BTreeMap::new();
    for (number, charset) in CHARSETS.into_iter().enumerate() {
        for sql_mode in ["", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES"] {
            let login = Login::app().with(capability::MULTI_STATEMENTS);
            let mut client = Connection::login(server.port(), &login)?;
            if client.run(&format!("SET NAMES {charset}, sql_mode = '{sql_mode}'")).is_err() {
                assert!(by_server.mariadb && charset == "gb18030", "{charset} is not known");
                continue;
            }
            // Names in results would be refused where they are no text.
            client.run("SET character_set_results = NULL")?;
            let mode = SqlMode {
                ansi_quotes: sql_mode == "ANSI_QUOTES",
                no_backslash_escapes: sql_mode == "NO_BACKSLASH_ESCAPES",
                charset: Charset::by_name(charset.as_bytes()),
                server: by_server,
                one_statement: false,
            };
            let count = compare(&mut client, mode, number as u64)?;
            assert!(count.accepted >= ACCEPTED_MIN, "{charset} {sql_mode}: {count:?}");
            assert!(count.unsure * 10 <= count.accepted, "{charset} {sql_mode}: {count:?}");
            counts.insert((charset, sql_mode), count);
        }
    }
    println!("{version}: {counts:?}");
    Ok(())
}

#[test]
fn what_a_mariadb_reads_in_a_text() -> TestResult {
    let lab = Lab::new("lexer_mariadb")?;
    compare_on(&lab.server(ServerOptions::default())?)
}

#[test]
fn what_a_mysql_reads_in_a_text() -> TestResult {
    let lab = Lab::new("lexer_mysql")?;
    match lab.mysql_server(ServerOptions::default())? {
        Some(server) => compare_on(&server),
        None => Ok(()),
    }
}

fn hidden_locks(stage: &Stage) -> TestResult {
    for (sql, on_mariadb, on_mysql) in [
        ("SELECT 1 /* , GET_LOCK('a', 0) */", false, false),
        ("SELECT 1 /*! , GET_LOCK('a', 0) */", true, true),
        ("SELECT 1 /*!40000 , GET_LOCK('a', 0) */", true, true),
        ("SELECT 1 /*!80000 , GET_LOCK('a', 0) */", false, true),
        ("SELECT 1 /*!100100 , GET_LOCK('a', 0) */", true, false),
        ("SELECT 1 /*M!100100 , GET_LOCK('a', 0) */", true, false),
        ("SELECT 1 /*!99999 ' /* */ */, GET_LOCK('a', 0) -- '", true, true),
        ("SELECT 1 /*M!999999 ' */, GET_LOCK('a', 0) -- '", true, true),
        ("SELECT 1 /*!99999 , GET_LOCK('a', 0) */", false, false),
    ] {
        let mut client = stage.connect()?;
        let mariadb = client.greeting().version.contains("MariaDB");
        let bound = if mariadb { on_mariadb } else { on_mysql };
        client.run(sql)?;
        let links = stage.athena.metric("athena_links", &[("state", "bound")])?;
        assert_eq!(links, if bound { 1.0 } else { 0.0 }, "{sql}, MariaDB: {mariadb}");
        let mut direct = Connection::open(stage.server.port())?;
        assert_eq!(direct.scalar("SELECT IS_FREE_LOCK('a')")?, if bound { "0" } else { "1" }, "{sql}");
        client.quit()?;
        eventually("the lock is free again", PATIENCE, || {
            let free = direct.scalar("SELECT IS_FREE_LOCK('a')").map_err(|error| error.to_string())?;
            if free == "1" { Ok(()) } else { Err(free) }
        });
    }
    Ok(())
}

/// A lock that is taken in a comment keeps the link where it is taken, and only there.
#[test]
fn code_in_comments_binds_where_it_is_code() -> TestResult {
    let configure = |config: AthenaConfig| config.set("runtime", "cpus", "\"0\"");
    hidden_locks(&Stage::start_with("lexer_locks", configure)?)?;
    match Stage::start_on_mysql("lexer_locks", configure)? {
        Some(stage) => hidden_locks(&stage),
        None => Ok(()),
    }
}
