use super::*;

const SCRAMBLE: [u8; 20] = *b"abcdefghijklmnopqrst";

fn greeting() -> Greeting {
    Greeting {
        version: b"8.4.3".to_vec(),
        connection_id: 77,
        scramble: SCRAMBLE,
        capabilities: Capabilities::PROTOCOL_41 | Capabilities::PLUGIN_AUTH | Capabilities::SECURE_CONNECTION,
        collation: 255,
        status: StatusFlags::AUTOCOMMIT,
        auth_plugin: b"caching_sha2_password".to_vec(),
    }
}

fn response(capabilities: Capabilities) -> HandshakeResponse {
    HandshakeResponse {
        capabilities: capabilities | Capabilities::PROTOCOL_41,
        max_packet_size: 1 << 24,
        collation: 45,
        username: b"root".to_vec(),
        auth_response: vec![7; 20],
        database: None,
        auth_plugin: None,
        attributes: Vec::new(),
        zstd_level: ZSTD_LEVEL_DEFAULT,
    }
}

#[test]
fn greeting_round_trips_and_every_cut_is_refused() {
    let wire = greeting().encode();
    assert_eq!(Greeting::parse(&wire), Ok(greeting()));
    // The plugin's name may end with the packet, so only what comes before it has to be there.
    for cut in 0..wire.len() - b"caching_sha2_password\0".len() {
        assert!(Greeting::parse(&wire[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn greeting_of_mariadb_is_read() {
    let wire = b"\x0a5.5.5-10.11.19-MariaDB\0\x05\0\0\0ABCDEFGH\0\xfe\xf7\x2d\x02\0\xff\x81\x15\0\0\0\0\0\0\x1d\0\0\0\
                 IJKLMNOPQRST\0mysql_native_password\0";
    let greeting = Greeting::parse(wire).unwrap();
    assert_eq!(greeting.version, b"5.5.5-10.11.19-MariaDB");
    assert_eq!(greeting.connection_id, 5);
    assert_eq!(&greeting.scramble, b"ABCDEFGHIJKLMNOPQRST");
    assert_eq!(greeting.capabilities.bits(), 0x1D_81FF_F7FE);
    assert!(greeting.capabilities.contains(Capabilities::DEPRECATE_EOF | Capabilities::SESSION_TRACK));
    assert_eq!(greeting.auth_plugin, b"mysql_native_password");
}

#[test]
fn extended_capabilities_round_trip_without_the_flag_that_hides_them() {
    let extended = Capabilities::MARIADB_EXTENDED_METADATA | Capabilities::PROTOCOL_41;
    let greeting = Greeting { capabilities: extended | Capabilities::LONG_PASSWORD, ..greeting() };
    assert_eq!(Greeting::parse(&greeting.encode()).unwrap().capabilities, extended);
    let Ok(ClientHello::Response(read)) = ClientHello::parse(&response(extended).encode()) else {
        panic!("no response");
    };
    assert_eq!(read.capabilities, extended);
    // The bytes mean nothing where the flag is set.
    let mut wire = response(extended).encode();
    wire[0] |= 1;
    let Ok(ClientHello::Response(read)) = ClientHello::parse(&wire) else { panic!("no response") };
    assert_eq!(read.capabilities, Capabilities::PROTOCOL_41 | Capabilities::LONG_PASSWORD);
}

#[test]
fn other_protocol_versions_are_named() {
    let mut wire = greeting().encode();
    wire[0] = 9;
    assert_eq!(Greeting::parse(&wire), Err(HandshakeError::ProtocolVersion(9)));
}

#[test]
fn responses_round_trip_in_every_form() {
    let nul = response(Capabilities::empty());
    let byte = response(Capabilities::SECURE_CONNECTION);
    let mut full = response(
        Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA
            | Capabilities::CONNECT_WITH_DB
            | Capabilities::PLUGIN_AUTH
            | Capabilities::CONNECT_ATTRS
            | Capabilities::SSL,
    );
    full.auth_response = vec![1; 300];
    full.database = Some(b"shop".to_vec());
    full.auth_plugin = Some(b"mysql_native_password".to_vec());
    full.attributes = vec![(b"_os".to_vec(), b"Linux".to_vec()), (b"program_name".to_vec(), vec![b'x'; 260])];
    let mut zstd = response(Capabilities::SECURE_CONNECTION | Capabilities::ZSTD_COMPRESSION_ALGORITHM);
    zstd.zstd_level = 19;
    for response in [nul, byte, full, zstd] {
        let wire = response.encode();
        assert_eq!(ClientHello::parse(&wire), Ok(ClientHello::Response(response)));
        for cut in 0..wire.len() {
            // Must not panic; a cut inside the optional tail may pass as a shorter response.
            let _ = ClientHello::parse(&wire[..cut]);
        }
    }
}

#[test]
fn a_client_that_names_no_level_of_compression_gets_the_default() {
    let wire = response(Capabilities::ZSTD_COMPRESSION_ALGORITHM | Capabilities::SECURE_CONNECTION).encode();
    let hello = ClientHello::parse(&wire[..wire.len() - 1]);
    let Ok(ClientHello::Response(read)) = hello else { panic!("a response") };
    assert_eq!(read.zstd_level, ZSTD_LEVEL_DEFAULT);
}

#[test]
fn an_empty_database_is_none() {
    let mut sent = response(Capabilities::SECURE_CONNECTION | Capabilities::CONNECT_WITH_DB);
    sent.database = Some(Vec::new());
    let Ok(ClientHello::Response(read)) = ClientHello::parse(&sent.encode()) else { panic!("a response") };
    assert_eq!(read.database, None);
}

#[test]
fn a_short_response_with_the_ssl_flag_asks_for_tls() {
    let sent = response(Capabilities::SSL).encode();
    let capabilities = Capabilities::SSL | Capabilities::PROTOCOL_41;
    assert_eq!(ClientHello::parse(&sent[..32]), Ok(ClientHello::SslRequest(capabilities)));
    assert_eq!(response(Capabilities::SSL).encode_ssl_request(), sent[..32]);
    assert!(matches!(ClientHello::parse(&sent), Ok(ClientHello::Response(_))));
}

#[test]
fn clients_from_before_41_are_told_apart_from_rubbish() {
    assert_eq!(ClientHello::parse(b"\x05\0\0\0\x01root\0pw\0"), Err(HandshakeError::Pre41));
    assert!(matches!(ClientHello::parse(b"\x05"), Err(HandshakeError::Malformed(_))));
    assert!(matches!(ClientHello::parse(b""), Err(HandshakeError::Malformed(_))));
}

#[test]
fn auth_switch_round_trips_and_the_old_form_is_refused() {
    let request = AuthSwitchRequest { plugin: b"mysql_native_password".to_vec(), data: SCRAMBLE.to_vec() };
    let wire = request.encode();
    assert_eq!(wire.len(), 1 + 22 + 21);
    assert_eq!(AuthSwitchRequest::parse(&wire), Ok(request));
    assert_eq!(AuthSwitchRequest::parse(&[0xFE]), Err(HandshakeError::Pre41));
    assert!(AuthSwitchRequest::parse(b"\xFEno_nul").is_err());
    assert_eq!(encode_auth_more_data(&[4]), [1, 4]);
}

#[test]
fn a_change_of_user_may_end_after_any_of_its_fields() {
    let all = Capabilities::SECURE_CONNECTION | Capabilities::PLUGIN_AUTH | Capabilities::CONNECT_ATTRS;
    let packet = b"app\0\x02xydb\0\x2d\0plugin\0\x04\x01a\x01b";
    let whole = ChangeUser {
        username: b"app".to_vec(),
        auth_response: b"xy".to_vec(),
        database: Some(b"db".to_vec()),
        collation: Some(45),
        auth_plugin: Some(b"plugin".to_vec()),
        attributes: vec![(b"a".to_vec(), b"b".to_vec())],
    };
    assert_eq!(ChangeUser::parse(packet, all), Ok(whole.clone()));
    let plain = ChangeUser { auth_plugin: None, attributes: Vec::new(), ..whole.clone() };
    assert_eq!(ChangeUser::parse(packet, Capabilities::SECURE_CONNECTION), Ok(plain));
    let short = ChangeUser { collation: None, auth_plugin: None, attributes: Vec::new(), ..whole };
    assert_eq!(ChangeUser::parse(&packet[..10], all), Ok(short));
    for len in 0..packet.len() {
        let _ = ChangeUser::parse(&packet[..len], all);
    }
    assert!(ChangeUser::parse(&packet[..5], all).is_err());
    let old = ChangeUser::parse(b"app\0xy\0\0", Capabilities::empty()).expect("the form without lengths");
    assert_eq!((&old.auth_response[..], old.database), (&b"xy"[..], None));
}
