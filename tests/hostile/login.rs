//! Before and during the login.

use std::thread;
use std::time::Duration;

use crate::common::random::Random;
use crate::common::stage::Stage;
use crate::common::wire::{Greeting, Login, PacketStream, capability, frame};
use crate::common::{TestResult, timed};
use crate::{IN_TIME, assert_turned_away, assert_unharmed, stage, stage_with};

/// A client that has read its greeting.
fn greeted(stage: &Stage) -> TestResult<(PacketStream, Greeting)> {
    let mut stream = PacketStream::connect(stage.athena.port())?;
    let greeting = Greeting::read(&mut stream)?;
    Ok((stream, greeting))
}

fn refused(stage: &Stage, reason: &str) -> TestResult<f64> {
    Ok(stage.athena.metric("athena_connections_refused_total", &[("reason", reason)])?)
}

#[test]
fn random_bytes_instead_of_a_login() -> TestResult {
    let stage = stage("hostile_random")?;
    let before = stage.settled_census();
    let mut streams = Vec::new();
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let (mut stream, _) = greeted(&stage)?;
        let length = 1 + random.below(2000);
        let bytes = random.bytes(length);
        // Half of them are packets at least, with nonsense inside.
        let bytes = if seed % 2 == 0 { bytes } else { frame(1, &bytes) };
        stream.write_raw(&bytes)?;
        streams.push((seed, stream));
    }
    // All of them wait for the same deadline, if any does.
    for (seed, mut stream) in streams {
        assert_turned_away(&mut stream, &format!("seed {seed}"));
    }
    assert_unharmed(&stage, before)
}

#[test]
fn other_protocols() -> TestResult {
    let stage = stage("hostile_protocols")?;
    let before = stage.settled_census();
    let attempts: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", // TLS without the request for it
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 40000 3307\r\n",
    ];
    for bytes in attempts {
        // Without waiting for the greeting, as these would do.
        let mut stream = PacketStream::connect(stage.athena.port())?;
        stream.write_raw(bytes)?;
        assert_turned_away(&mut stream, &String::from_utf8_lossy(bytes));
    }
    assert_unharmed(&stage, before)
}

#[test]
fn a_login_that_never_finishes() -> TestResult {
    let stage = stage("hostile_unfinished")?;
    let before = stage.settled_census();
    let (mut silent, greeting) = greeted(&stage)?;
    let packet = frame(1, &Login::app().response(&greeting));
    let ((), took) = timed(|| assert_turned_away(&mut silent, "nothing sent"));
    assert!(took >= Duration::from_millis(800), "closed early, after {took:?}");
    for length in [1, 3, 4, 5, 36, packet.len() - 1] {
        let (mut stream, _) = greeted(&stage)?;
        stream.write_raw(&packet[..length])?;
        assert_turned_away(&mut stream, &format!("{length} bytes of a login"));
    }
    assert!(refused(&stage, "timeout")? >= 7.0);
    assert_unharmed(&stage, before)
}

/// The deadline is that of the login, not of the next byte.
#[test]
fn a_login_in_drops() -> TestResult {
    let stage = stage("hostile_drops")?;
    let before = stage.settled_census();
    let (mut stream, greeting) = greeted(&stage)?;
    let packet = frame(1, &Login::app().response(&greeting));
    let (sent, took) = timed(|| {
        packet
            .iter()
            .take_while(|&&byte| {
                thread::sleep(Duration::from_millis(100));
                stream.write_raw(&[byte]).is_ok()
            })
            .count()
    });
    assert!(sent < packet.len(), "let in after {took:?}");
    assert!(took < IN_TIME, "closed after {took:?}");
    assert_unharmed(&stage, before)
}

#[test]
fn truncated_logins() -> TestResult {
    let stage = stage("hostile_truncated")?;
    let before = stage.settled_census();
    let (_, greeting) = greeted(&stage)?;
    let payload = Login::app().response(&greeting);
    let mut streams = Vec::new();
    // The whole payload but for what a login may leave out at its end: the plugin's name.
    for length in 0..payload.len() - "mysql_native_password\0".len() {
        let (mut stream, _) = greeted(&stage)?;
        stream.write_raw(&frame(1, &payload[..length]))?;
        streams.push((length, stream));
    }
    for (length, mut stream) in streams {
        assert_turned_away(
            &mut stream,
            &format!("{length} bytes of {}, whole in their packet", payload.len()),
        );
    }
    assert_unharmed(&stage, before)
}

#[test]
fn a_login_with_a_wrong_sequence_id() -> TestResult {
    let stage = stage("hostile_login_sequence")?;
    let before = stage.settled_census();
    for sequence in [0, 2, 7, 255] {
        let (mut stream, greeting) = greeted(&stage)?;
        stream.write_raw(&frame(sequence, &Login::app().response(&greeting)))?;
        assert_turned_away(&mut stream, &format!("sequence id {sequence}"));
    }
    assert_unharmed(&stage, before)
}

#[test]
fn a_login_with_lengths_that_lie() -> TestResult {
    let stage = stage("hostile_login_length")?;
    let before = stage.settled_census();
    let headers: [&[u8]; 4] = [
        &[0xff, 0xff, 0xff, 1],       // the longest packet
        &[0xff, 0xff, 0xff, 1, 0x0d], // and its first byte
        &[0, 0, 0, 1],                // an empty one
        &[0, 0, 0x10, 1, 0, 0],       // a mebibyte
    ];
    for bytes in headers {
        let (mut stream, _) = greeted(&stage)?;
        stream.write_raw(bytes)?;
        assert_turned_away(&mut stream, &format!("{bytes:?}"));
    }
    // A proof that is longer than the packet: the byte after the user's name and its NUL says 20.
    let (mut stream, greeting) = greeted(&stage)?;
    let mut payload = Login::app().response(&greeting);
    let proof_length = 32 + Login::app().user.len() + 1;
    assert_eq!(payload[proof_length], 20);
    payload[proof_length] = 0xfa;
    stream.write_raw(&frame(1, &payload))?;
    assert_turned_away(&mut stream, "a proof that is longer than its packet");
    assert_unharmed(&stage, before)
}

/// Nobody who is not logged in may make Athena hold 16 MiB, whatever `max_packet_bytes` says.
#[test]
fn a_long_login_costs_no_memory() -> TestResult {
    let stage = stage_with("hostile_long_login", &[("login_timeout_ms", "3000")])?;
    let before = stage.settled_census();
    let resident = stage.athena.usage().rss_bytes();
    let mut streams = (0..8).map(|_| Ok(greeted(&stage)?.0)).collect::<TestResult<Vec<_>>>()?;
    let megabyte = vec![b'x'; 1 << 20];
    for stream in &mut streams {
        // Athena may have closed already, which is right.
        let _ = stream.write_raw(&[0xff, 0xff, 0xff, 1]);
        let _ = (0..15).try_for_each(|_| stream.write_raw(&megabyte));
    }
    let growth = stage.athena.usage().rss_bytes().saturating_sub(resident);
    assert!(growth < 16 << 20, "grew by {growth} bytes");
    for stream in &mut streams {
        assert_turned_away(stream, "a login of 16 MiB");
    }
    assert_unharmed(&stage, before)
}

#[test]
fn a_request_for_tls_that_is_not_offered() -> TestResult {
    let stage = stage("hostile_tls")?;
    let before = stage.settled_census();
    let (mut stream, greeting) = greeted(&stage)?;
    assert_eq!(greeting.capabilities & capability::SSL, 0, "this version has no TLS");
    let login = Login::app().with(capability::SSL);
    stream.write_raw(&frame(1, &login.response(&greeting)[..32]))?;
    assert_turned_away(&mut stream, "TLS");
    assert_unharmed(&stage, before)
}

#[test]
fn clients_that_only_connect() -> TestResult {
    let stage = stage("hostile_scan")?;
    let before = stage.settled_census();
    for _ in 0..200 {
        drop(PacketStream::connect(stage.athena.port())?);
    }
    assert_unharmed(&stage, before)
}
