//! Handshakes that are cut, cut short, or none.

use std::time::Duration;

use rustls::version::{TLS12, TLS13};

use crate::common::TestResult;
use crate::common::random::Random;
use crate::common::wire::{Connection, Login, PacketStream, capability, frame};
use crate::stage;
use crate::tls::{Tls, greeted, request};

/// Time for a login here, and for an answer that waits for that.
const DEADLINE_MS: u64 = 1000;
const IN_TIME: Duration = Duration::from_millis(DEADLINE_MS + 3000);

#[test]
fn in_tiny_pieces() -> TestResult {
    let (stage, certificates) = stage("tls_pieces", |config, _| config)?;
    let before = stage.settled_census();
    for version in [&TLS12, &TLS13] {
        let mut tls = Tls::new(&certificates, &[version]);
        for piece in [1, 2, 5, 100] {
            tls.piece = piece;
            let mut client = tls.login(&stage, &Login::app())?;
            let text = "z".repeat(3000);
            assert_eq!(client.scalar(&format!("SELECT '{text}'"))?, text, "pieces of {piece}");
        }
    }
    stage.assert_back_to(before);
    Ok(())
}

#[test]
fn the_request_and_the_hello_in_one_segment() -> TestResult {
    let (stage, certificates) = stage("tls_segment", |config, _| config)?;
    for version in [&TLS12, &TLS13] {
        let tls = Tls::new(&certificates, &[version]);
        let (stream, greeting) = greeted(&stage)?;
        let (connection, hello) = tls.hello();
        let login = Login::app().with(capability::SSL);
        let both = [frame(1, &request(&login, &greeting)), hello].concat();
        let mut stream = tls.shake_hands(stream, connection, &both)?;
        stream.expect_sequence(2);
        login.run(&mut stream, &greeting)?;
        assert_eq!(Connection::after_login(stream, greeting, &login).scalar("SELECT 1")?, "1");
    }
    Ok(())
}

#[test]
fn what_is_no_handshake_is_turned_away() -> TestResult {
    let (stage, certificates) =
        stage("tls_garbage", |config, _| config.set("server", "login_timeout_ms", &DEADLINE_MS.to_string()))?;
    let before = stage.settled_census();
    let (_, hello) = Tls::new(&certificates, &[&TLS13]).hello();
    let mut attempts: Vec<Vec<u8>> = (0..20).map(|seed| Random::new(seed).bytes(500)).collect();
    attempts.push(Vec::new()); // says nothing more
    attempts.push(hello[..hello.len() / 2].to_vec());
    attempts.push([&hello[..], &[0x17, 3, 3, 0, 100], &[9; 100]].concat());
    // The login in clear text, after TLS was asked for.
    let (_, greeting) = greeted(&stage)?;
    attempts.push(frame(2, &Login::app().response(&greeting)));
    attempts.push(b"GET / HTTP/1.1\r\n\r\n".to_vec());
    let mut streams = Vec::new();
    for (number, attempt) in attempts.iter().enumerate() {
        let (mut stream, greeting) = greeted(&stage)?;
        let request = frame(1, &request(&Login::app(), &greeting));
        match number % 2 {
            0 => stream.write_raw(&[&request[..], attempt].concat())?,
            _ => {
                stream.write_raw(&request)?;
                stream.write_raw(attempt)?;
            }
        }
        streams.push((number, stream));
    }
    for (number, mut stream) in streams {
        assert_turned_away(&mut stream, &format!("attempt {number}"));
    }
    // And those who leave in the middle.
    for length in [0, 1, 40, hello.len()] {
        let (mut stream, greeting) = greeted(&stage)?;
        stream.write_raw(&frame(1, &request(&Login::app(), &greeting)))?;
        stream.write_raw(&hello[..length])?;
        drop(stream);
    }
    stage.assert_back_to(before);
    stage.assert_serves()
}

/// Fails unless the peer closes, after an alert at most.
fn assert_turned_away(stream: &mut PacketStream, what: &str) {
    stream.set_read_timeout(IN_TIME).expect("a socket");
    let total = stream.read_to_close();
    let total = total.unwrap_or_else(|error| panic!("{what}: no close in {IN_TIME:?}: {error}"));
    assert!(total < 8 * 1024, "{what}: {total} bytes in answer to nonsense");
}
