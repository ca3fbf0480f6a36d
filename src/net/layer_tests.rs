use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, ConfigSide, RootCertStore, ServerConfig, ServerConnection,
    StreamOwned, WantsVerifier, WantsVersions,
};

use super::tests::{on_core, peer};
use super::*;
use crate::protocol::compression::{Algorithm, Role};
use crate::protocol::packet::write_packet;

fn versions<S: ConfigSide>(builder: ConfigBuilder<S, WantsVersions>) -> ConfigBuilder<S, WantsVerifier> {
    builder.with_safe_default_protocol_versions().unwrap()
}

/// Both sides of a TLS connection to `localhost`.
fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let folder = std::env::temp_dir().join(format!("athena-layers-{}", std::process::id()));
    static MADE: std::sync::OnceLock<athena_perf::lab::Certificates> = std::sync::OnceLock::new();
    let made = MADE.get_or_init(|| athena_perf::lab::Certificates::new(&folder).unwrap());
    let read = |name: &str| CertificateDer::from_pem_file(made.certificate(name)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::from_pem_file(made.key("server")).unwrap();
    let server = versions(ServerConfig::builder_with_provider(provider.clone())).with_no_client_auth();
    let mut roots = RootCertStore::empty();
    roots.add(read("ca")).unwrap();
    let client = versions(ClientConfig::builder_with_provider(provider)).with_root_certificates(roots);
    let server = server.with_single_cert(vec![read("server")], key).unwrap();
    (Arc::new(server), Arc::new(client.with_no_client_auth()))
}

fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

/// A thread that serves one TLS connection.
fn tls_peer(
    config: &Arc<ServerConfig>,
    serve: impl FnOnce(StreamOwned<ServerConnection, TcpStream>) + Send + 'static,
) -> SocketAddr {
    let (listener, address) = peer();
    let connection = ServerConnection::new(config.clone()).unwrap();
    std::thread::spawn(move || serve(StreamOwned::new(connection, listener.accept().unwrap().0)));
    address
}

/// Answers every read with the same bytes.
fn echo_on(mut stream: impl Read + Write) {
    let mut buffer = [0; 65536];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

#[test]
fn bytes_come_back_through_tls_and_can_be_edited_in_place() {
    let (server, client) = configs();
    let address = tls_peer(&server, echo_on);
    on_core(16, async move |core| {
        let socket = Socket::connect(&core.ring, address).await.unwrap();
        socket.connect_tls(&client, localhost()).await.unwrap();
        assert!(socket.has_peer_certificate());
        let text: Vec<u8> = (0..200).collect();
        for _ in 0..100 {
            let mut got = socket.exchange(text.clone(), &socket).await.unwrap().unwrap();
            assert_eq!(*got, text[..]);
            assert!(got.headroom() >= 64 && got.splice(3..3, &[7; 60]));
            let mut expected = text.clone();
            expected.splice(3..3, [7; 60]);
            assert_eq!(*got, expected[..]);
            got.truncate(10);
            got.advance(4);
            assert_eq!(*got, expected[4..10]);
        }
        // The tickets that the server sent after the handshake, and nothing else: nothing waits.
        assert!(socket.is_quiet());
    });
}

#[test]
fn much_goes_through_tls_both_ways_with_bounded_memory() {
    let (server, client) = configs();
    let total: usize = 16 << 20;
    let address = tls_peer(&server, move |mut stream| {
        let mut all = vec![0; total];
        stream.read_exact(&mut all).unwrap();
        stream.write_all(&all).unwrap();
    });
    on_core(64, async move |core| {
        let socket = Socket::connect(&core.ring, address).await.unwrap();
        socket.connect_tls(&client, localhost()).await.unwrap();
        let bytes: Vec<u8> = (0..total).map(|i| (i % 251) as u8).collect();
        let mut chunk = socket.exchange(bytes, &socket).await.unwrap();
        let mut at = 0;
        while let Some(got) = chunk {
            assert!(got.len() <= 3 * 16384, "{} bytes at a time", got.len());
            assert!(got.iter().all(|byte| {
                at += 1;
                *byte == ((at - 1) % 251) as u8
            }));
            if at == total {
                break;
            }
            chunk = socket.receive().await.unwrap();
        }
        assert_eq!(at, total);
    });
}

#[test]
fn a_link_is_not_quiet_when_something_came_and_when_its_peer_left() {
    let (server, client) = configs();
    let address = tls_peer(&server, |mut stream| {
        stream.read_exact(&mut [0; 1]).unwrap();
        stream.write_all(b"hello").unwrap();
        stream.read_exact(&mut [0; 1]).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        // The connection below stays for a while.
        std::thread::sleep(Duration::from_millis(300));
    });
    on_core(16, async move |core| {
        let timer = Timer::new(&core.timers);
        let socket = Socket::connect(&core.ring, address).await.unwrap();
        socket.connect_tls(&client, localhost()).await.unwrap();
        timer.sleep(Duration::from_millis(50)).await;
        assert!(socket.is_quiet(), "tickets are no bytes for anybody");
        socket.send(vec![1]).await.unwrap();
        timer.sleep(Duration::from_millis(50)).await;
        assert!(!socket.is_quiet());
        assert_eq!(&*socket.receive().await.unwrap().unwrap(), b"hello");
        assert!(socket.is_quiet());
        socket.send(vec![1]).await.unwrap();
        timer.sleep(Duration::from_millis(50)).await;
        assert!(!socket.is_quiet(), "the peer has said goodbye");
        assert!(socket.receive().await.unwrap().is_none());
    });
}

#[test]
fn a_handshake_that_fails_says_why_and_one_that_ends_too() {
    let (server, client) = configs();
    let stranger = tls_peer(&server, |mut stream| {
        let error = stream.read(&mut [0; 1]).unwrap_err().to_string();
        assert!(error.contains("alert"), "the peer is told: {error}");
    });
    let (listener, nobody) = peer();
    std::thread::spawn(move || drop(listener.accept()));
    let (garbler, garbage) = peer();
    std::thread::spawn(move || garbler.accept().unwrap().0.write_all(b"ERR no such thing").unwrap());
    on_core(16, async move |core| {
        let socket = Socket::connect(&core.ring, stranger).await.unwrap();
        let other = ServerName::try_from("elsewhere.example").unwrap();
        let error = socket.connect_tls(&client, other).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("not valid for"), "{error}");
        let socket = Socket::connect(&core.ring, nobody).await.unwrap();
        let error = socket.connect_tls(&client, localhost()).await.unwrap_err().to_string();
        assert!(error.contains("closed") || error.contains("reset"), "{error}");
        let socket = Socket::connect(&core.ring, garbage).await.unwrap();
        let error = socket.connect_tls(&client, localhost()).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
    });
}

#[test]
fn broken_records_end_the_stream_with_an_error_and_goodbyes_without() {
    let (server, client) = configs();
    let (listener, address) = peer();
    drop(listener);
    let listener = BoundListener::bind(address).unwrap();
    let clients = std::thread::spawn(move || {
        for broken in [true, false] {
            let connection = ClientConnection::new(client.clone(), localhost()).unwrap();
            let mut stream = StreamOwned::new(connection, TcpStream::connect(address).unwrap());
            stream.write_all(b"hello").unwrap();
            stream.read_exact(&mut [0; 5]).unwrap();
            if broken {
                stream.sock.write_all(&[0x17, 3, 3, 0, 30]).unwrap();
                stream.sock.write_all(&[9; 30]).unwrap();
                assert!(stream.read(&mut [0; 1]).unwrap_err().to_string().contains("alert"));
            } else {
                // The socket that was dropped has said goodbye: a clean end, no broken connection.
                assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
            }
        }
    });
    on_core(16, async move |core| {
        let listener = listener.on(&core.ring);
        for broken in [true, false] {
            let socket = listener.accept().await.unwrap().on(&core.ring);
            socket.accept_tls(&server, None).await.unwrap();
            let hello = socket.receive().await.unwrap().unwrap();
            socket.send(hello).await.unwrap();
            if broken {
                let error = socket.receive().await.unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
                assert!(socket.receive().await.is_err(), "it stays so");
            }
        }
    });
    clients.join().unwrap();
}

/// Two sockets of the core that are connected with each other.
async fn pair(core: &Executor) -> (Socket, Socket) {
    let (listener, address) = peer();
    drop(listener);
    let listener = BoundListener::bind(address).unwrap().on(&core.ring);
    let client = Socket::connect(&core.ring, address).await.unwrap();
    (client, listener.accept().await.unwrap().on(&core.ring))
}

#[test]
fn compressed_packets_come_one_at_a_time() {
    on_core(16, async move |core| {
        let (client, server) = pair(&core).await;
        client.compress(Algorithm::Zlib, Role::Client);
        server.compress(Algorithm::Zlib, Role::Server);
        let packet = |seq: u8, text: &[u8]| {
            let mut packet = Vec::new();
            write_packet(&mut packet, seq, text);
            packet
        };
        // Two commands at once: each comes alone, and its reply with it.
        let commands = [packet(0, b"one"), packet(0, &[b'x'; 100])];
        client.send(commands.concat()).await.unwrap();
        for command in &commands {
            assert_eq!(*server.receive().await.unwrap().unwrap(), command[..]);
            server.send(packet(1, b"reply")).await.unwrap();
        }
        for _ in &commands {
            assert_eq!(*client.receive().await.unwrap().unwrap(), packet(1, b"reply")[..]);
        }
        assert!(client.is_quiet() && server.is_quiet());
        let (large, mut got) = (packet(0, &[b'y'; 40_000]), Vec::new());
        client.send(large.clone()).await.unwrap();
        while got.len() < large.len() {
            let part = server.receive().await.unwrap().unwrap();
            assert!(part.len() <= 16384 && part.headroom() >= 64);
            got.extend_from_slice(&part);
        }
        assert!(got == large && server.is_quiet());
        // Less than the header of a command is held back until the rest comes.
        client.send(commands[0][..2].to_vec()).await.unwrap();
        client.send_and_forget(commands[0][2..3].to_vec());
        Timer::new(&core.timers).sleep(Duration::from_millis(20)).await;
        assert!(server.is_quiet());
        client.send(commands[0][3..].to_vec()).await.unwrap();
        assert_eq!(*server.receive().await.unwrap().unwrap(), commands[0][..]);
        server.send(vec![0; 3]).await.unwrap();
        drop(server);
        client.closed().await;
        assert!(!client.is_quiet());
    });
}

#[test]
fn compression_goes_inside_tls() {
    let (server_config, client_config) = configs();
    on_core(16, async move |core| {
        let (client, server) = pair(&core).await;
        let inner = core.clone();
        core.spawn(async move {
            server.accept_tls(&server_config, None).await.unwrap();
            server.compress(Algorithm::Zstd { level: 3 }, Role::Server);
            while let Some(chunk) = server.receive().await.unwrap() {
                server.send(chunk).await.unwrap();
            }
            drop(inner);
        });
        client.connect_tls(&client_config, localhost()).await.unwrap();
        client.compress(Algorithm::Zstd { level: 3 }, Role::Client);
        let mut packet = Vec::new();
        write_packet(&mut packet, 0, &[b'z'; 3000]);
        for _ in 0..20 {
            let got = client.exchange(packet.clone(), &client).await.unwrap().unwrap();
            assert_eq!(got[4..], packet[4..]);
            assert_eq!(got[3], 1, "it is numbered as what answers the packet");
            assert!(client.is_quiet());
        }
    });
}

#[test]
fn a_unix_socket_is_listened_on_and_reached() {
    let path = std::env::temp_dir().join(format!("athena-net-{}.sock", std::process::id()));
    let (bound, file) = BoundListener::bind_unix(&path).unwrap();
    let refused = BoundListener::bind_unix(&path).err().unwrap();
    assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
    let shared = bound.share().unwrap();
    drop(bound);
    let inner = path.clone();
    on_core(16, async move |core| {
        let listener = shared.on(&core.ring);
        let client = Socket::connect_unix(&core.ring, &inner).await.unwrap();
        let accepted = listener.accept().await.unwrap();
        // Those that looked whether somebody listens came first.
        let accepted = listener.accept().await.unwrap_or(accepted);
        assert_eq!(accepted.peer(), None);
        let server = accepted.on(&core.ring);
        client.send(b"hello".to_vec()).await.unwrap();
        assert_eq!(&*server.receive().await.unwrap().unwrap(), b"hello");
        let long = "x".repeat(200);
        assert!(Socket::connect_unix(&core.ring, long.as_ref()).await.is_err());
    });
    drop(file);
    assert!(!path.exists());
}
