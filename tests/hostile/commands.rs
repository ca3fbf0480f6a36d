//! Commands that do not exist, or that make no sense.

use crate::common::TestResult;
use crate::common::random::Random;
use crate::common::wire::{Connection, Error, Value, command};
use crate::{IN_TIME, assert_turned_away, assert_unharmed, stage};

const UNKNOWN_COMMAND: u16 = 1047;
const UNKNOWN_STATEMENT: u16 = 1243;
/// Not taken by MySQL, nor by MariaDB, whose own commands begin at 0xfa.
const NO_COMMAND: [u8; 4] = [0x30, 0x55, 0x7f, 0xc0];

#[test]
fn a_command_that_does_not_exist() -> TestResult {
    let stage = stage("hostile_unknown")?;
    let before = stage.settled_census();
    let mut client = stage.connect()?;
    for byte in NO_COMMAND {
        for arguments in [&b""[..], b"arguments"] {
            let error = client.command(byte, arguments).expect_err("no such command");
            assert_eq!(error.code(), Some(UNKNOWN_COMMAND), "{byte:#x}: {error}");
            assert_eq!(client.scalar("SELECT 'kept'")?, "kept");
        }
    }
    drop(client);
    assert_unharmed(&stage, before)
}

#[test]
fn an_empty_command() -> TestResult {
    let stage = stage("hostile_empty")?;
    let before = stage.settled_census();
    let mut client = stage.connect()?;
    client.stream().write_raw(&[0, 0, 0, 0])?;
    client.stream().expect_any_sequence();
    client.set_read_timeout(IN_TIME)?;
    let error = client.read_reply().expect_err("no command at all");
    assert!(error.is_refusal(), "{error}");
    drop(client);
    assert_unharmed(&stage, before)
}

#[test]
fn a_statement_that_was_never_prepared() -> TestResult {
    let stage = stage("hostile_statement")?;
    let before = stage.settled_census();
    let mut client = stage.connect()?;
    let known = client.prepare("SELECT ? + 1")?;
    // Not u32::MAX, which MariaDB takes for the last one prepared.
    for id in [0, known.id.wrapping_add(1), 0x7fff_ffff] {
        let id = id.to_le_bytes();
        let execute = [&id[..], &[0, 1, 0, 0, 0]].concat();
        for (name, byte, arguments) in
            [("EXECUTE", command::STMT_EXECUTE, &execute[..]), ("RESET", command::STMT_RESET, &id)]
        {
            let error = client.command(byte, arguments).expect_err("no such statement");
            assert_eq!(error.code(), Some(UNKNOWN_STATEMENT), "{name} {id:?}: {error}");
        }
        // These have no reply, so there must be none.
        client.send(command::STMT_CLOSE, &id)?;
        client.send(command::STMT_SEND_LONG_DATA, &[&id[..], b"\0\0data"].concat())?;
        client.ping()?;
    }
    client.close(&known)?;
    let error = client.execute(&known, &[Value::Int(1)]).expect_err("it was closed");
    assert_eq!(error.code(), Some(UNKNOWN_STATEMENT), "{error}");
    assert_eq!(client.scalar("SELECT 'kept'")?, "kept");
    drop(client);
    assert_unharmed(&stage, before)
}

/// A statement id is worth nothing on another connection, even if that has the link on which it was prepared.
#[test]
fn a_statement_of_somebody_else() -> TestResult {
    let stage = stage("hostile_other")?;
    let before = stage.settled_census();
    let mut owner = stage.connect()?;
    let mut other = stage.connect()?;
    let statement = owner.prepare("SELECT 'secret'")?;
    owner.execute(&statement, &[])?;
    let error = other.execute(&statement, &[]).expect_err("not its statement");
    assert_eq!(error.code(), Some(UNKNOWN_STATEMENT), "{error}");
    drop((owner, other));
    assert_unharmed(&stage, before)
}

#[test]
fn executions_that_make_no_sense() -> TestResult {
    let stage = stage("hostile_execute")?;
    let before = stage.settled_census();
    let mut client = stage.connect()?;
    let parameters = [Value::Int(1), Value::text("two"), Value::Int(3)];
    let sql = "SELECT ? AS a, ? AS b, ? AS c";
    let mut statement = client.prepare(sql)?;
    let whole = statement.execution(&parameters);
    client.command_binary(command::STMT_EXECUTE, &whole)?;
    for length in 0..whole.len() {
        let result = client.command_binary(command::STMT_EXECUTE, &whole[..length]);
        let error = result.err().ok_or_else(|| format!("{length} bytes of {} are taken", whole.len()))?;
        if turned_away(&error, &format!("{length} bytes"))? {
            client = stage.connect()?;
            statement = client.prepare(sql)?;
            client.execute(&statement, &parameters)?;
        }
    }
    for (what, arguments) in strange_executions(&whole) {
        // The server itself takes some of these. What matters is that the reply ends where it should.
        let closed = match client.command_binary(command::STMT_EXECUTE, &arguments) {
            Ok(_) => false,
            Err(error) => turned_away(&error, what)?,
        };
        if closed {
            client = stage.connect()?;
            client.prepare(sql)?;
        }
        assert_eq!(client.scalar("SELECT 'next'")?, "next", "{what}");
    }
    drop(client);
    assert_unharmed(&stage, before)
}

/// Executions that are wrong in the middle. `whole` has three parameters, the second of which is `two`.
fn strange_executions(whole: &[u8]) -> [(&'static str, Vec<u8>); 3] {
    // Id, flags, iterations, bitmap of NULLs, new types, and the types themselves.
    let types = 4 + 1 + 4 + 1 + 1;
    let change = |position: usize, byte: u8| {
        let mut changed = whole.to_vec();
        changed[position] = byte;
        changed
    };
    let text = whole.windows(4).position(|window| window == b"\x03two").expect("its length and text");
    [
        ("a string longer than its packet", change(text, 0xfa)),
        ("a type that does not exist", change(types, 0xf0)),
        ("flags that do not exist", change(4, 0xf0)),
    ]
}

/// Every command byte with nonsense after it, on a connection of its own: replies or a close, never silence.
#[test]
fn every_command_byte_with_random_arguments() -> TestResult {
    let stage = stage("hostile_every")?;
    let before = stage.settled_census();
    for byte in 0..=u8::MAX {
        for seed in 0..2 {
            let mut random = Random::new(u64::from(byte) << 8 | seed);
            let length = random.below(60);
            let arguments = random.bytes(length);
            let mut client = stage.connect()?;
            client.send(byte, &arguments)?;
            client.stream().shutdown_write()?;
            assert_turned_away(client.stream(), &format!("{byte:#x} with {arguments:?}"));
        }
    }
    assert_unharmed(&stage, before)
}

/// Whether a refusal closed the connection; an error when it was none.
fn turned_away(error: &Error, what: &str) -> TestResult<bool> {
    if error.is_refusal() { Ok(error.is_close()) } else { Err(format!("{what}: {error}").into()) }
}

/// The server says what is wrong with a text, and Athena passes it on: the lexer on the way must not trip over it.
#[test]
fn text_that_is_no_statement() -> TestResult {
    let stage = stage("hostile_text")?;
    let before = stage.settled_census();
    let mut texts: Vec<Vec<u8>> = [
        "",
        ";",
        "--",
        "-- ",
        "#",
        "/*",
        "/**/",
        "/*!",
        "/*! SELECT",
        "/*!99999",
        "'never closed",
        "SELECT `",
        "SELECT \"\\",
        "SELECT 1; SELECT 2",
        "BEGIN;;",
        "COMMIT nonsense",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    texts.extend((0..200).map(|seed| {
        let mut random = Random::new(seed);
        let length = 1 + random.below(200);
        random.bytes(length)
    }));
    let expected = outcomes(&mut Connection::open(stage.server.port())?, &texts)?;
    let mut client = stage.connect()?;
    for ((text, expected), found) in texts.iter().zip(expected).zip(outcomes(&mut client, &texts)?) {
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(text));
    }
    drop(client);
    assert_unharmed(&stage, before)
}

/// What the server says of each text.
fn outcomes(client: &mut Connection, texts: &[Vec<u8>]) -> TestResult<Vec<String>> {
    let outcome = |text: &Vec<u8>| {
        let outcome = match client.query_bytes(text) {
            Err(error @ Error::Server { .. }) => error.to_string(),
            other => format!("{:?}", other?),
        };
        assert_eq!(client.scalar("SELECT 'kept'")?, "kept");
        Ok(outcome)
    };
    texts.iter().map(outcome).collect()
}
