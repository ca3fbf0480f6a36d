use std::rc::Rc;

use super::super::packet::{MAX_PAYLOAD, write_packet};
use super::stream::{HEADER_LEN, MAX_CONTENT, MIN_COMPRESS_LEN};
use super::*;

const ALGORITHMS: [Algorithm; 3] =
    [Algorithm::Zlib, Algorithm::Zstd { level: 3 }, Algorithm::Zstd { level: 19 }];

fn side(algorithm: Algorithm, role: Role) -> Compression {
    Compression::new(algorithm, role, Rc::new(Contexts::new()))
}

/// Bytes that do not shrink.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let byte = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(byte).collect()
}

fn encoded(side: &mut Compression, plain: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    side.encode(plain, &mut wire);
    wire
}

/// Decodes `wire`, given in chunks of `chunk` bytes, through an output of `room` bytes.
fn decoded(
    side: &mut Compression,
    wire: &[u8],
    chunk: usize,
    room: usize,
) -> Result<Vec<u8>, CompressionError> {
    let mut plain = Vec::new();
    let mut output = vec![0; room];
    for mut input in wire.chunks(chunk) {
        loop {
            let step = side.decode(&mut input, &mut output)?;
            plain.extend_from_slice(&output[..step.written]);
            if step.progress == Progress::NeedsInput {
                break;
            }
        }
        assert!(input.is_empty());
    }
    Ok(plain)
}

/// Headers of the compressed packets in `wire`: compressed length, id, length before.
fn headers(mut wire: &[u8]) -> Vec<(usize, u8, usize)> {
    let mut found = Vec::new();
    while let Some((&[a, b, c, id, d, e, f], rest)) = wire.split_first_chunk::<HEADER_LEN>() {
        let int = |a, b, c| u32::from_le_bytes([a, b, c, 0]) as usize;
        found.push((int(a, b, c), id, int(d, e, f)));
        wire = &rest[int(a, b, c)..];
    }
    assert!(wire.is_empty());
    found
}

fn packet(seq: u8, payload: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    write_packet(&mut plain, seq, payload);
    plain
}

#[test]
fn what_goes_in_comes_out_however_it_is_cut() {
    let plain = [packet(0, b"\x03select 1"), packet(1, &[b'a'; 700]), packet(2, &noise(300))].concat();
    for algorithm in ALGORITHMS {
        let wire = encoded(&mut side(algorithm, Role::Server), &plain);
        for (chunk, room) in [(1, 1), (2, 1000), (3, 7), (wire.len(), 1), (wire.len(), 2000), (11, 64)] {
            // The ids of a server's first packets continue what the client sent.
            let mut client = side(algorithm, Role::Client);
            encoded(&mut client, &packet(0, b"\x0e"));
            let mut server = side(algorithm, Role::Server);
            decoded(&mut server, &encoded(&mut side(algorithm, Role::Client), &packet(0, b"\x0e")), 99, 99)
                .unwrap();
            let wire = encoded(&mut server, &plain);
            let back = decoded(&mut client, &wire, chunk, room).expect("right");
            assert!(back == plain, "{algorithm:?} {chunk} {room}");
            assert!(client.is_between_packets());
        }
    }
}

#[test]
fn short_and_incompressible_content_is_stored() {
    for algorithm in ALGORITHMS {
        let mut server = side(algorithm, Role::Server);
        let limit = [b'a'; MIN_COMPRESS_LEN];
        assert_eq!(headers(&encoded(&mut server, &limit[1..])), [(MIN_COMPRESS_LEN - 1, 0, 0)]);
        let (len, id, before) = headers(&encoded(&mut server, &limit))[0];
        assert!(len < MIN_COMPRESS_LEN && id == 1 && before == MIN_COMPRESS_LEN);
        assert_eq!(headers(&encoded(&mut server, &noise(1000))), [(1000, 2, 0)]);
        assert_eq!(encoded(&mut server, b""), b"");
    }
}

#[test]
fn a_vector_from_the_documentation() {
    // "MySQL Compressed Packet": a COM_QUERY of 46 bytes.
    let wire =
        b"\x22\0\0\0\x32\0\0\x78\x9c\xd3\x63\x60\x60\x60\x2e\x4e\xcd\x49\x4d\x2e\x51\x50\x32\x30\x34\x32\
        \x36\x31\x35\x33\xb7\xb0\xc4\xcd\x52\x02\0\x0c\xd1\x0a\x6c";
    let mut server = side(Algorithm::Zlib, Role::Server);
    let plain = decoded(&mut server, wire, 5, 100).expect("right");
    assert_eq!(plain, b"\x2e\0\0\0\x03select \"012345678901234567890123456789012345\"");
}

#[test]
fn decoding_stops_at_the_end_of_each_packet() {
    let mut client = side(Algorithm::Zlib, Role::Client);
    let first = encoded(&mut client, &packet(0, &[b'a'; 100]));
    let wire = [first.clone(), encoded(&mut client, &packet(0, b"\x01"))].concat();
    let mut server = side(Algorithm::Zlib, Role::Server);
    let mut output = [0; 1000];
    let mut input = &wire[..];
    let step = server.decode(&mut input, &mut output).expect("right");
    assert_eq!(step, Decoded { written: 104, progress: Progress::PacketEnd });
    assert_eq!(input.len(), wire.len() - first.len());
}

#[test]
fn each_command_begins_at_0_and_replies_continue() {
    for algorithm in ALGORITHMS {
        let (mut client, mut server) = (side(algorithm, Role::Client), side(algorithm, Role::Server));
        for _ in 0..2 {
            let command = encoded(&mut client, &packet(0, &[b'q'; 2 * MAX_CONTENT]));
            let ids: Vec<u8> = headers(&command).iter().map(|header| header.1).collect();
            assert_eq!(ids, [0, 1, 2]);
            decoded(&mut server, &command, 1000, 1000).expect("right");
            for (content, expected) in [(&b"\x01\0\0\x01\x02"[..], 3), (b"rows", 4)] {
                let reply = encoded(&mut server, content);
                assert_eq!(headers(&reply)[0].1, expected);
                decoded(&mut client, &reply, 3, 1000).expect("right");
            }
            // Data that the server asked for goes on in the client's turn.
            let data = encoded(&mut client, &packet(2, &[b'd'; 60]));
            assert_eq!(headers(&data)[0].1, 5);
            decoded(&mut server, &data, 1000, 1000).expect("right");
            let done = encoded(&mut server, b"ok");
            assert_eq!(headers(&done)[0].1, 6);
            decoded(&mut client, &done, 1000, 1000).expect("right");
        }
    }
}

#[test]
fn commands_in_one_run_begin_packets_of_their_own_wherever_they_are_cut() {
    let plain =
        [packet(0, b"\x19\x01\0\0\0"), packet(0, b"\x03select 1"), packet(1, b"more"), packet(0, b"\x0e")];
    let plain = plain.concat();
    for cut in 0..plain.len() {
        let mut client = side(Algorithm::Zlib, Role::Client);
        let mut wire = encoded(&mut client, &plain[..cut]);
        wire.extend(encoded(&mut client, &plain[cut..]));
        let begun = headers(&wire).iter().filter(|header| header.1 == 0).count();
        assert_eq!(begun, 3, "cut at {cut}");
        let mut server = side(Algorithm::Zlib, Role::Server);
        assert_eq!(decoded(&mut server, &wire, 1000, 1000).expect("right"), plain);
        // The replies of the second and third command, in order; the first has none.
        decoded(&mut client, b"\x01\0\0\x01\0\0\0a", 9, 9).expect("first reply");
        decoded(&mut client, b"\x01\0\0\x02\0\0\0b", 9, 9).expect("it goes on");
        let last = headers(&wire).last().expect("packets").1 + 1;
        decoded(&mut client, &[1, 0, 0, last, 0, 0, 0, b'c'], 9, 9).expect("second reply");
    }
}

#[test]
fn an_id_of_0_within_a_file_is_not_a_command() {
    let mut client = side(Algorithm::Zlib, Role::Client);
    let ids = |client: &mut Compression, seq, payload: &[u8]| -> Vec<u8> {
        headers(&encoded(client, &packet(seq, payload))).iter().map(|header| header.1).collect()
    };
    assert_eq!(ids(&mut client, 0, b"load"), [0]);
    client.file_begins();
    // The request had the id 255.
    assert_eq!(ids(&mut client, 0, b"data"), [1]);
    assert_eq!(ids(&mut client, 255, b"data"), [2]);
    let full = ids(&mut client, 0, &noise(MAX_PAYLOAD));
    assert_eq!(full.first(), Some(&3), "and the empty packet behind a full one is not the file's end");
    let next = full.last().expect("packets").wrapping_add(1);
    assert_eq!(ids(&mut client, 0, b""), [next]);
    assert_eq!(ids(&mut client, 0, b"a command after the empty packet that ends the data"), [0]);
    let large = ids(&mut client, 0, &noise(MAX_PAYLOAD));
    // Two headers more than the payload.
    assert_eq!(large.len(), (MAX_PAYLOAD + 8).div_ceil(MAX_CONTENT));
    assert!(large.iter().enumerate().all(|(index, &id)| index % 256 == usize::from(id)));
}

#[test]
fn ids_out_of_order_are_errors() {
    let out_of_order = |expected, found| Err(CompressionError::OutOfOrder { expected, found });
    let mut server = side(Algorithm::Zlib, Role::Server);
    assert_eq!(decoded(&mut server, b"\0\0\0\x01\0\0\0", 9, 9), out_of_order(0, 1));
    let mut server = side(Algorithm::Zlib, Role::Server);
    // 0 in the middle of a plain packet.
    assert!(decoded(&mut server, b"\x05\0\0\0\0\0\0\x02\0\0\0a", 99, 9).is_ok());
    assert_eq!(decoded(&mut server, b"\x01\0\0\0\0\0\0b", 99, 9), out_of_order(1, 0));
    let mut client = side(Algorithm::Zlib, Role::Client);
    assert_eq!(decoded(&mut client, b"\0\0\0\0\0\0\0", 9, 9), out_of_order(0, 0));
    let mut client = side(Algorithm::Zlib, Role::Client);
    encoded(&mut client, &packet(0, b"\x0e"));
    assert_eq!(decoded(&mut client, b"\0\0\0\x02\0\0\0", 9, 9), out_of_order(1, 2));
}

#[test]
fn lengths_that_lie_are_errors() {
    let plain = packet(0, &[b'a'; 1000]);
    for algorithm in ALGORITHMS {
        let wire = encoded(&mut side(algorithm, Role::Client), &plain);
        let (len, _, before) = headers(&wire)[0];
        let lie = |len: usize, before: usize, content: &[u8]| {
            let [a, b, c, ..] = len.to_le_bytes();
            let [d, e, f, ..] = before.to_le_bytes();
            let wire = [&[a, b, c, 0, d, e, f], content].concat();
            decoded(&mut side(algorithm, Role::Server), &wire, 13, 4096)
        };
        let content = &wire[HEADER_LEN..];
        assert_eq!(lie(len, before, content).as_deref(), Ok(&plain[..]));
        for expected in [before - 1, before + 1, 1, MAX_PAYLOAD] {
            assert_eq!(lie(len, expected, content), Err(CompressionError::Length { expected }));
        }
        let trailing = [content, b"x"].concat();
        assert_eq!(lie(len + 1, before, &trailing), Err(CompressionError::Length { expected: before }));
        let cut = &content[..len - 1];
        assert_eq!(lie(len - 1, before, cut), Err(CompressionError::Length { expected: before }));
        assert_eq!(lie(0, before, b""), Err(CompressionError::Length { expected: before }));
        assert_eq!(lie(9, before, b"not at all"), Err(CompressionError::Corrupt));
    }
}

#[test]
fn a_window_larger_than_any_packet_is_refused() {
    // A zstd frame whose header asks for a window of 32 MiB.
    let frame = b"\x28\xb5\x2f\xfd\x00\x78\x01\0\0";
    let [len, ..] = frame.len().to_le_bytes();
    let wire = [&[len, 0, 0, 0, 100, 0, 0], &frame[..]].concat();
    let mut server = side(Algorithm::Zstd { level: 3 }, Role::Server);
    assert_eq!(decoded(&mut server, &wire, 99, 99), Err(CompressionError::Corrupt));
}

#[test]
fn decompressors_are_used_again() {
    for algorithm in ALGORITHMS {
        let contexts = Rc::new(Contexts::new());
        let mut client = side(algorithm, Role::Client);
        for round in 0..3 {
            let plain = packet(0, &[round; 500]);
            let wire = encoded(&mut client, &plain);
            let mut server = Compression::new(algorithm, Role::Server, Rc::clone(&contexts));
            assert_eq!(decoded(&mut server, &wire, 7, 99).expect("right"), plain);
            assert_eq!(format!("{contexts:?}"), "Contexts { idle: 1, .. }");
        }
    }
}

/// All that a numbering makes of `wire`, which comes in two pieces.
fn numbered(numbering: &mut Numbering, wire: &[u8], cut: usize) -> Vec<u8> {
    let mut wire = wire.to_vec();
    let (first, second) = wire.split_at_mut(cut);
    numbering.receive(first);
    numbering.receive(second);
    wire
}

#[test]
fn plain_packets_get_the_ids_that_they_would_have() {
    let reply = [packet(9, b"columns"), packet(10, b""), packet(3, b"next")].concat();
    let right = [packet(1, b"columns"), packet(2, b""), packet(3, b"next")].concat();
    for cut in 0..=reply.len() {
        let mut client = Numbering::new(Role::Client);
        client.reply_begins(0);
        assert_eq!(numbered(&mut client, &reply, cut), right, "cut at {cut}");
        client.reply_begins(2);
        assert_eq!(numbered(&mut client, &packet(7, b"x"), 1), packet(3, b"x"));
    }
    // Commands begin at 0; their further pieces and the data of a LOAD DATA LOCAL count on, also from what was sent.
    let mut server = Numbering::new(Role::Server);
    let large = packet(0, &vec![7; MAX_PAYLOAD]);
    assert!(numbered(&mut server, &large[..MAX_PAYLOAD + 4], 3) == large[..MAX_PAYLOAD + 4]);
    assert_eq!(numbered(&mut server, &packet(0, b"rest"), 2), packet(1, b"rest"));
    assert_eq!(numbered(&mut server, &packet(0, b"command"), 2), packet(0, b"command"));
    server.send(&packet(1, b"\xfbfile"));
    server.file_begins();
    assert_eq!(numbered(&mut server, &packet(0, b"data"), 2), packet(2, b"data"));
    assert_eq!(numbered(&mut server, &packet(5, b""), 2), packet(3, b""));
    assert_eq!(numbered(&mut server, &packet(0, b"command"), 2), packet(0, b"command"));
}

/// Commands sent together: each reply answers its own, also the one after data that a reply has asked for.
#[test]
fn each_reply_says_what_it_answers() {
    let mut client = side(Algorithm::Zlib, Role::Client);
    let mut server = side(Algorithm::Zlib, Role::Server);
    let mut exchange = |sent: &[Vec<u8>], reply: &[u8]| {
        let wire = encoded(&mut client, &sent.concat());
        decoded(&mut server, &wire, usize::MAX, 100).expect("in order");
        let wire = encoded(&mut server, reply);
        decoded(&mut client, &wire, usize::MAX, 100).expect("in order");
        client.take_reply_begun()
    };
    assert_eq!(exchange(&[packet(0, b"a"), packet(0, b"b")], &packet(1, b"ok")), Some(0));
    assert_eq!(exchange(&[packet(0, b"load")], &packet(1, b"\xfbf")), Some(0));
    assert_eq!(exchange(&[packet(2, b"data"), packet(3, b"")], &packet(4, b"ok")), Some(3));
}
