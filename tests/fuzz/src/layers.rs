//! What lies between packets and the wire.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use athena::protocol::compression::{Algorithm, Compression, Contexts, Numbering, Progress, Role};
use athena::protocol::proxy_header::{self, Parsed, Source};

use super::cuts::{cut, option};

/// Compressed packets give the same plain bytes however they are cut; and plain bytes come back from compression,
/// however those are cut.
pub fn compression(bytes: &[u8]) {
    let (options, rest) = option(bytes);
    let (seed, rest) = option(rest);
    let algorithm =
        if options & 1 == 0 { Algorithm::Zlib } else { Algorithm::Zstd { level: i32::from(options >> 4) } };
    let contexts = Rc::new(Contexts::new());
    let side = |role| Compression::new(algorithm, role, Rc::clone(&contexts));

    let whole = decode(side(Role::Server), &[rest], 4096);
    assert_eq!(decode(side(Role::Server), &cut(rest, seed), 5), whole);

    let mut wire = Vec::new();
    let mut sender = side(Role::Client);
    for chunk in cut(rest, seed) {
        sender.encode(chunk, &mut wire);
    }
    let plain = decode(side(Role::Server), &[&wire], 4096).expect("right");
    let held = rest.len() - plain.len();
    assert!(held < 4 && rest.starts_with(&plain), "plain bytes come back, but for half a header");
}

/// Plain packets get the same ids however they are cut, and nothing else of them changes.
pub fn numbering(bytes: &[u8]) {
    let (options, rest) = option(bytes);
    let (seed, rest) = option(rest);
    let role = if options & 1 == 0 { Role::Server } else { Role::Client };
    let (sent, received) = rest.split_at(usize::from(options >> 2).min(rest.len()));
    let number = |seed: u8| {
        let mut numbering = Numbering::new(role);
        if options & 2 == 2 {
            numbering.file_begins();
        }
        cut(sent, seed).into_iter().for_each(|chunk| numbering.send(chunk));
        let mut all = Vec::new();
        for chunk in cut(received, seed) {
            let mut chunk = chunk.to_vec();
            numbering.receive(&mut chunk);
            all.extend(chunk);
        }
        all
    };
    let whole = number(0);
    assert_eq!(number(seed), whole);
    // Numbers that are right stay as they are: only the first may be one that comes from what was sent.
    let mut at = 0;
    while let Some([a, b, c, _]) = received.get(at..at + 4) {
        assert_eq!(received[at..at + 3], whole[at..at + 3]);
        let end = (at + 4 + u32::from_le_bytes([*a, *b, *c, 0]) as usize).min(received.len());
        assert_eq!(received[at + 4..end], whole[at + 4..end], "a payload was written to");
        at = end;
    }
}

/// At most this much is looked at of what a few bytes may become.
const PLAIN_MAX: usize = 1 << 20;

/// The plain bytes, or none of them if something is wrong.
fn decode(mut side: Compression, chunks: &[&[u8]], room: usize) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let mut output = vec![0; room];
    for chunk in chunks {
        let mut input = *chunk;
        loop {
            match side.decode(&mut input, &mut output) {
                Ok(step) => {
                    plain.extend_from_slice(&output[..step.written]);
                    if plain.len() >= PLAIN_MAX {
                        plain.truncate(PLAIN_MAX);
                        return Some(plain);
                    }
                    match step.progress {
                        Progress::NeedsInput => break,
                        Progress::NeedsOutput => assert!(step.written > 0, "no way on"),
                        Progress::PacketEnd => assert!(side.is_between_packets()),
                    }
                }
                // How far it came before that, and which of several mistakes showed first, depends on the room.
                Err(_) => return None,
            }
        }
        assert!(input.is_empty());
    }
    Some(plain)
}

/// A header is incomplete up to its end, and the same with anything behind it.
pub fn proxy_header(bytes: &[u8]) {
    let parsed = proxy_header::parse(bytes);
    if let Ok(Parsed::Header(header)) = parsed {
        assert!(header.len <= bytes.len());
        for cut in 0..header.len {
            assert_eq!(proxy_header::parse(&bytes[..cut]), Ok(Parsed::Incomplete));
        }
        assert_eq!(proxy_header::parse(&bytes[..header.len]), parsed);
        if let Source::Inet(source) = header.source {
            let destination = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3306);
            let source = SocketAddr::new(source.ip(), source.port());
            let written = proxy_header::encode(source, destination);
            let again = proxy_header::parse(&written);
            let Ok(Parsed::Header(again)) = again else { panic!("{again:?}") };
            let Source::Inet(address) = again.source else { panic!("{again:?}") };
            assert_eq!(address.ip().to_canonical(), source.ip().to_canonical());
            assert_eq!(address.port(), source.port());
        }
    }
    if parsed == Ok(Parsed::Incomplete) {
        assert!(bytes.len() < proxy_header::V2_MAX_LEN);
    }
}
