use super::*;

const PLAIN: Capabilities = Capabilities::PROTOCOL_41;
const TRACKED: Capabilities = PLAIN.union(Capabilities::SESSION_TRACK);

fn ok<'a>(info: &'a [u8], session_state: &'a [u8]) -> OkPacket<'a> {
    let mut status = StatusFlags::AUTOCOMMIT;
    status.set(StatusFlags::SESSION_STATE_CHANGED, !session_state.is_empty());
    OkPacket {
        header: OkPacket::HEADER,
        affected_rows: 300,
        last_insert_id: u64::MAX,
        status,
        warnings: 2,
        info,
        session_state,
    }
}

#[test]
fn ok_round_trips_with_tracking() {
    for (info, state) in
        [(&b""[..], &b""[..]), (b"", b"\x01\x05\x04test"), (b"Rows matched: 1", b"\x02\x02\x011")]
    {
        let packet = ok(info, state);
        assert_eq!(OkPacket::parse(&packet.encode(TRACKED), TRACKED), Ok(packet));
    }
}

#[test]
fn ok_without_tracking_drops_the_state_and_its_flag() {
    let wire = ok(b"info", b"\x01\x05\x04test").encode(PLAIN);
    let parsed = OkPacket::parse(&wire, PLAIN).unwrap();
    assert_eq!(parsed.info, b"info");
    assert_eq!(parsed.session_state, b"");
    assert_eq!(parsed.status, StatusFlags::AUTOCOMMIT);
}

#[test]
fn ok_of_a_server_is_read() {
    // MariaDB's answer to USE test.
    let wire = b"\0\0\0\x02\x40\0\0\0\x07\x01\x05\x04test";
    let packet = OkPacket::parse(wire, TRACKED).unwrap();
    assert_eq!(packet.status, StatusFlags::AUTOCOMMIT | StatusFlags::SESSION_STATE_CHANGED);
    assert_eq!(packet.session_state, b"\x01\x05\x04test");
    assert_eq!(packet.encode(TRACKED), wire);
    // The shortest there is.
    let wire = b"\0\0\0\x02\0\0\0";
    assert_eq!(OkPacket::parse(wire, TRACKED).unwrap().encode(PLAIN), wire);
}

#[test]
fn info_without_tracking_is_read_in_both_forms() {
    for wire in [&b"\0\0\0\x02\0\0\0\x03abc"[..], b"\0\0\0\x02\0\0\0abc"] {
        assert_eq!(OkPacket::parse(wire, PLAIN).unwrap().info, b"abc");
    }
}

#[test]
fn unknown_status_bits_survive() {
    let wire = b"\xFE\0\0\x06\x80\0\0";
    let packet = OkPacket::parse(wire, TRACKED).unwrap();
    assert_eq!(packet.header, OkPacket::EOF_HEADER);
    assert_eq!(packet.status.bits(), 0x8006);
    assert_eq!(packet.encode(TRACKED), wire);
}

#[test]
fn a_cut_ok_is_refused_or_shorter_but_never_wrong() {
    let wire = ok(b"abc", b"\x02\x02\x011").encode(TRACKED);
    for cut in 0..wire.len() {
        if let Ok(packet) = OkPacket::parse(&wire[..cut], TRACKED) {
            assert_eq!(packet.session_state, b"");
        }
    }
    assert_eq!(OkPacket::parse(b"\x03", PLAIN), Err(Malformed::PacketType { packet: "OK", found: 3 }));
}

#[test]
fn err_is_read_with_and_without_sql_state() {
    let wire = b"\xff\x15\x04#28000Access denied";
    let packet = ErrPacket::parse(wire).unwrap();
    assert_eq!(packet, ErrPacket { code: 1045, sql_state: *b"28000", message: b"Access denied".to_vec() });
    assert_eq!(packet.encode(true), wire);
    assert_eq!(packet.encode(false), b"\xff\x15\x04Access denied");
    for (wire, message) in [
        (&b"\xff\x10\x04Too many"[..], &b"Too many"[..]),
        (b"\xff\x10\x04", b""),
        (b"\xff\x10\x04#12", b"#12"),
    ] {
        let packet = ErrPacket::parse(wire).unwrap();
        assert_eq!((packet.code, &packet.sql_state, &packet.message[..]), (1040, b"HY000", message));
    }
    assert!(ErrPacket::parse(b"\xff\x10").is_err());
}

#[test]
fn eof_round_trips() {
    let packet =
        EofPacket { warnings: 3, status: StatusFlags::AUTOCOMMIT | StatusFlags::MORE_RESULTS_EXISTS };
    assert_eq!(packet.encode(), [0xFE, 3, 0, 10, 0]);
    assert_eq!(EofPacket::parse(&packet.encode()), Ok(packet));
    assert!(EofPacket::parse(&[0xFE, 0, 0, 0]).is_err());
}
