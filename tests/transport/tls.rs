//! A client's TLS by hand, for what no client program does.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use athena_perf::lab::Certificates;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::common::TestResult;
use crate::common::stage::Stage;
use crate::common::wire::{self, Connection, Greeting, Login, PacketStream, Transport, capability};

/// A socket that sends in pieces.
#[derive(Debug)]
struct Pieces {
    socket: TcpStream,
    /// Bytes of one, each a segment of its own.
    length: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read(buffer)
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(&bytes[..bytes.len().min(self.length)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

#[derive(Debug)]
struct Encrypted(StreamOwned<ClientConnection, Pieces>);

impl Read for Encrypted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Encrypted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Transport for Encrypted {
    fn socket(&self) -> &TcpStream {
        &self.0.sock.socket
    }
}

/// What the client demands and shows.
#[derive(Debug, Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    /// See [`Pieces`].
    pub piece: usize,
}

impl Tls {
    /// Trusts `ca`.
    pub fn new(certificates: &Certificates, versions: &[&'static SupportedProtocolVersion]) -> Self {
        Self::with_identity(certificates, versions, None)
    }

    /// Shows the certificate `identity`.
    pub fn with_identity(
        certificates: &Certificates,
        versions: &[&'static SupportedProtocolVersion],
        identity: Option<&str>,
    ) -> Self {
        let read = |name: &str| -> Vec<CertificateDer<'static>> {
            let read = CertificateDer::pem_file_iter(certificates.certificate(name)).expect("a file");
            read.map(|certificate| certificate.expect("a certificate")).collect()
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(read("ca"));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_protocol_versions(versions).expect("versions").with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some(name) => {
                let key = PrivateKeyDer::from_pem_file(certificates.key(name)).expect("a key");
                config.with_client_auth_cert(read(name), key).expect("a pair")
            }
        };
        Self { config: Arc::new(config), piece: usize::MAX }
    }

    /// A connection that is about to begin its handshake, with what it says first.
    pub fn hello(&self) -> (ClientConnection, Vec<u8>) {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut connection = ClientConnection::new(self.config.clone(), name).expect("a client");
        let mut hello = Vec::new();
        connection.write_tls(&mut hello).expect("memory");
        (connection, hello)
    }

    /// Asks for TLS after the greeting, and goes on inside.
    pub fn encrypt(&self, mut stream: PacketStream, greeting: &Greeting) -> wire::Result<PacketStream> {
        stream.write_payload(&request(&Login::app(), greeting))?;
        let (connection, hello) = self.hello();
        self.shake_hands(stream, connection, &hello)
    }

    /// The handshake, from the client's first words on.
    pub fn shake_hands(
        &self,
        stream: PacketStream,
        mut connection: ClientConnection,
        hello: &[u8],
    ) -> wire::Result<PacketStream> {
        stream.wrapped(|socket| {
            let mut pieces = Pieces { socket, length: self.piece };
            pieces.write_all(hello)?;
            while connection.is_handshaking() {
                connection.complete_io(&mut pieces)?;
            }
            Ok(Box::new(Encrypted(StreamOwned::new(connection, pieces))))
        })
    }

    /// Logs in through TLS.
    pub fn login(&self, stage: &Stage, login: &Login) -> wire::Result<Connection> {
        let mut stream = PacketStream::connect(stage.athena.port())?;
        let greeting = Greeting::read(&mut stream)?;
        let mut stream = self.encrypt(stream, &greeting)?;
        let login = login.clone().with(capability::SSL);
        login.run(&mut stream, &greeting)?;
        Ok(Connection::after_login(stream, greeting, &login))
    }
}

/// The packet that asks for TLS: the first 32 bytes of the login.
pub fn request(login: &Login, greeting: &Greeting) -> Vec<u8> {
    login.clone().with(capability::SSL).response(greeting)[..32].to_vec()
}

/// A client that has read its greeting.
pub fn greeted(stage: &Stage) -> TestResult<(PacketStream, Greeting)> {
    let mut stream = PacketStream::connect(stage.athena.port())?;
    let greeting = Greeting::read(&mut stream)?;
    Ok((stream, greeting))
}
