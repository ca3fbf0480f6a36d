//! Packets of a client that is logged in: cut, glued together, out of order, too long.

use std::thread;
use std::time::Duration;

use crate::common::random::Random;
use crate::common::stage::Stage;
use crate::common::wire::{
    Connection, Greeting, Login, MAX_PAYLOAD, PacketStream, Reply, Statement, Value, command, frame,
};
use crate::common::{TestResult, timed};
use crate::{IN_TIME, assert_turned_away, assert_unharmed, stage, stage_with};

/// Longer than the kernel takes to deliver a segment on the loopback, so that each piece arrives by itself.
const APART: Duration = Duration::from_millis(2);

#[test]
fn random_bytes_after_the_login() -> TestResult {
    let stage = stage("hostile_after")?;
    let before = stage.settled_census();
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let mut client = stage.connect()?;
        let length = 1 + random.below(3000);
        let stream = client.stream();
        // It may close in the middle of this.
        let _ = stream.write_raw(&random.bytes(length)).and_then(|()| stream.shutdown_write());
        assert_turned_away(stream, &format!("seed {seed}"));
    }
    assert_unharmed(&stage, before)
}

#[test]
fn a_packet_that_never_ends() -> TestResult {
    let stage = stage("hostile_endless")?;
    let before = stage.settled_census();
    let packet = frame(0, b"\x03SELECT 1");
    for length in [1, 3, 4, 5, packet.len() - 1] {
        let mut client = stage.connect()?;
        client.stream().write_raw(&packet[..length])?;
        assert_turned_away(client.stream(), &format!("{length} bytes of a command"));
        let mut client = stage.connect()?;
        client.stream().write_raw(&packet[..length])?;
        client.stream().shutdown_write()?;
        let ((), took) = timed(|| assert_turned_away(client.stream(), "half a command and the end"));
        assert!(took < Duration::from_millis(800), "an end needs no deadline: {took:?}");
    }
    assert_unharmed(&stage, before)
}

#[test]
fn a_command_with_a_wrong_sequence_id() -> TestResult {
    let stage = stage("hostile_sequence")?;
    let before = stage.settled_census();
    for sequence in [1, 5, 255] {
        let mut client = stage.connect()?;
        client.scalar("SELECT 1")?;
        client.stream().write_raw(&frame(sequence, b"\x03SELECT 'out of order'"))?;
        client.stream().expect_any_sequence();
        client.set_read_timeout(IN_TIME)?;
        let error = client.read_reply().expect_err("out of order");
        assert!(error.is_refusal(), "sequence id {sequence}: {error}");
    }
    assert_unharmed(&stage, before)
}

/// The second packet of a long command must follow the first.
#[test]
fn a_long_command_with_a_gap() -> TestResult {
    let stage = stage("hostile_gap")?;
    let before = stage.settled_census();
    let mut client = stage.connect()?;
    let mut payload = b"\x03SELECT LENGTH('".to_vec();
    payload.resize(MAX_PAYLOAD, b'x');
    client.stream().write_raw(&frame(0, &payload))?;
    // It may have closed when this arrives.
    let _ = client.stream().write_raw(&frame(2, b"')"));
    client.stream().expect_any_sequence();
    client.set_read_timeout(IN_TIME)?;
    let error = client.read_reply().expect_err("a packet is missing");
    assert!(error.is_refusal(), "{error}");
    drop(client);
    assert_unharmed(&stage, before)
}

#[test]
fn a_command_above_the_longest_packet() -> TestResult {
    let stage = stage_with("hostile_too_long", &[("max_packet_bytes", "65536")])?;
    let before = stage.settled_census();
    // The header alone says it: Athena must not wait for the rest, nor take it.
    let headers: [[u8; 5]; 3] = [[1, 0, 1, 0, 3], [0, 0, 0x10, 0, 3], [0xff, 0xff, 0xff, 0, 3]];
    for (count, header) in headers.into_iter().enumerate() {
        let mut client = stage.connect()?;
        client.stream().write_raw(&header)?;
        client.stream().expect_any_sequence();
        client.set_read_timeout(IN_TIME)?;
        let error = client.read_reply().expect_err("too long");
        assert!(error.is_refusal(), "{header:?}: {error}");
        assert!(stage.errors("too_large")? >= (count + 1) as f64, "{header:?} is counted");
    }
    // Exactly as long as it may be.
    let mut client = stage.connect()?;
    let (start, end) = ("SELECT LENGTH('", "')");
    let length = 65536 - 1 - start.len() - end.len();
    let text = format!("{start}{}{end}", "x".repeat(length));
    assert_eq!(client.scalar(&text)?, length.to_string());
    let error = client.scalar(&text.replace("LENGTH", "LENGTH ")).expect_err("one byte too long");
    assert!(error.is_refusal(), "{error}");
    drop(client);
    assert_unharmed(&stage, before)
}

/// Packets that are short enough each, and too long together.
#[test]
fn a_command_above_the_longest_packet_in_parts() -> TestResult {
    let stage = stage_with("hostile_parts", &[("max_packet_bytes", "17000000")])?;
    let before = stage.settled_census();
    let mut client = stage.connect()?;
    let mut payload = b"\x03SELECT LENGTH('".to_vec();
    payload.resize(MAX_PAYLOAD, b'x');
    client.stream().write_raw(&frame(0, &payload))?;
    client.stream().write_raw(&[0xff, 0xff, 0xff, 1])?;
    client.stream().expect_any_sequence();
    client.set_read_timeout(IN_TIME)?;
    let error = client.read_reply().expect_err("too long");
    assert!(error.is_refusal(), "{error}");
    drop(client);
    assert_unharmed(&stage, before)
}

#[test]
fn commands_in_one_segment_are_answered_in_order() -> TestResult {
    let stage = stage("hostile_pipeline")?;
    stage.server.sql("CREATE TABLE test.t (a INT PRIMARY KEY)")?;
    let before = stage.settled_census();
    let mut client = stage.connect()?;
    let commands: [&[u8]; 9] = [
        b"\x03SELECT 'first'",
        b"\x0e",
        b"\x03SELECT nonsense",
        b"\x03BEGIN",
        b"\x03INSERT INTO t VALUES (7)",
        b"\x03COMMIT",
        b"\x03SELECT a FROM t",
        b"\x02sbtest",
        b"\x03SELECT DATABASE()",
    ];
    let segment: Vec<u8> = commands.iter().flat_map(|payload| frame(0, payload)).collect();
    client.stream().write_raw(&segment)?;
    assert_eq!(pipelined_scalar(&mut client)?, "first");
    client.read_pipelined_reply()?.ok()?;
    assert_eq!(client.read_pipelined_reply().expect_err("no such column").code(), Some(1054));
    for _ in ["BEGIN", "INSERT", "COMMIT"] {
        client.read_pipelined_reply()?.ok()?;
    }
    assert_eq!(pipelined_scalar(&mut client)?, "7");
    client.read_pipelined_reply()?.ok()?;
    assert_eq!(pipelined_scalar(&mut client)?, "sbtest");
    drop(client);
    assert_unharmed(&stage, before)
}

/// More commands than any buffer for them holds, of a client that reads nothing before it has written everything.
#[test]
fn a_thousand_commands_at_once() -> TestResult {
    let stage = stage("hostile_thousand")?;
    let before = stage.settled_census();
    let mut client = stage.connect()?;
    let text = |number: u32| format!("\x03SELECT {number} /* {} */", "-".repeat(200));
    let segment: Vec<u8> = (0..1000).flat_map(|number| frame(0, text(number).as_bytes())).collect();
    client.stream().write_raw(&segment)?;
    for number in 0..1000 {
        assert_eq!(pipelined_scalar(&mut client)?, number.to_string());
    }
    drop(client);
    assert_unharmed(&stage, before)
}

#[test]
fn a_conversation_in_single_bytes() -> TestResult {
    let stage = stage_with("hostile_bytes", &[("login_timeout_ms", "20000"), ("idle_timeout_ms", "20000")])?;
    let before = stage.settled_census();
    conversation(&stage, &mut |stream, packet| {
        packet.iter().try_for_each(|&byte| {
            stream.write_raw(&[byte])?;
            thread::sleep(APART);
            Ok(())
        })
    })?;
    assert_unharmed(&stage, before)
}

#[test]
fn a_conversation_cut_at_every_byte() -> TestResult {
    let stage = stage("hostile_cuts")?;
    let before = stage.settled_census();
    // As long as the longest packet of the conversation, which is the login.
    for cut in 1..100 {
        conversation(&stage, &mut |stream, packet| {
            let (first, second) = packet.split_at(cut.min(packet.len()));
            stream.write_raw(first)?;
            thread::sleep(APART);
            Ok(stream.write_raw(second)?)
        })
        .map_err(|error| format!("cut at {cut}: {error}"))?;
    }
    assert_unharmed(&stage, before)
}

type Send<'a> = &'a mut dyn FnMut(&mut PacketStream, &[u8]) -> TestResult;

/// A login, a statement and a prepared statement, each packet written by `send`.
fn conversation(stage: &Stage, send: Send<'_>) -> TestResult {
    let mut stream = PacketStream::connect(stage.athena.port())?;
    let greeting = Greeting::read(&mut stream)?;
    let login = Login::app();
    send(&mut stream, &frame(1, &login.response(&greeting)))?;
    stream.expect_sequence(2);
    login.finish(&mut stream)?;
    let mut client = Connection::after_login(stream, greeting, &login);

    send(client.stream(), &frame(0, b"\x03SELECT 1"))?;
    assert_eq!(pipelined_scalar(&mut client)?, "1");
    send(client.stream(), &frame(0, b"\x16SELECT ? AS v"))?;
    client.stream().expect_sequence(1);
    let statement = client.read_statement()?;
    send(client.stream(), &frame(0, &execution(&statement)))?;
    client.stream().expect_sequence(1);
    let value = client.read_binary_reply()?.rows()?.scalar()?;
    assert_eq!(value, Value::Int(42));
    send(client.stream(), &frame(0, &[command::QUIT]))?;
    assert_eq!(client.stream().read_to_close()?, 0);
    Ok(())
}

fn execution(statement: &Statement) -> Vec<u8> {
    [&[command::STMT_EXECUTE], statement.execution(&[Value::Int(42)]).as_slice()].concat()
}

fn pipelined_scalar(client: &mut Connection) -> TestResult<String> {
    match client.read_pipelined_reply()? {
        Reply::Rows(rows) => Ok(rows.scalar()?.to_string()),
        Reply::Ok(ok) => Err(format!("rows expected, not {ok:?}").into()),
    }
}
