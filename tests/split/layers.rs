//! What may lie between a client's packets and the wire: TLS, compression, and cuts.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::{ZlibDecoder, ZlibEncoder};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::common::TestResult;
use crate::conversation::cuts;
use crate::relay::write_apart;

/// Longer than any answer takes.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Content below this length is not compressed.
const COMPRESSED_MIN: usize = 50;
/// What clients ask for by default.
pub const ZSTD_LEVEL: u8 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Zlib,
    Zstd,
}

/// How a client reaches Athena.
#[derive(Debug, Clone, Copy, Default)]
pub struct Way {
    pub tls: bool,
    pub compression: Option<Algorithm>,
    /// The scramble of the login is wrong: the password itself is asked for, and goes by the server's key.
    pub by_key: bool,
}

impl Way {
    pub const PLAIN: Self = Self { tls: false, compression: None, by_key: false };
    pub const TLS: Self = Self { tls: true, ..Self::PLAIN };
    pub const BY_KEY: Self = Self { by_key: true, ..Self::PLAIN };

    pub const fn compressed(self, algorithm: Algorithm) -> Self {
        Self { compression: Some(algorithm), ..self }
    }

    pub fn has_layers(self) -> bool {
        self.tls || self.compression.is_some()
    }
}

/// A client's TLS, which trusts the authority in this file.
pub fn trusting(ca: &Path) -> TestResult<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(ca)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// A socket that cuts what is sent, with or without TLS.
#[derive(Debug)]
pub struct Wire {
    pub socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// The number of the cut.
    cut: usize,
}

impl Wire {
    pub fn connect(port: u16, cut: usize) -> io::Result<Self> {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { socket, tls: None, cut })
    }

    /// Shakes hands; all that follows is encrypted.
    pub fn encrypt(&mut self, config: &Arc<ClientConfig>) -> TestResult {
        let mut tls = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
        tls.set_buffer_limit(None);
        self.tls = Some(Box::new(tls));
        self.flush()?;
        while self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            self.advance()?;
        }
        Ok(())
    }

    /// Takes in what comes, and sends what is owed for it. False at the end.
    fn advance(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        let read = tls.read_tls(&mut self.socket)?;
        tls.process_new_packets().map_err(io::Error::other)?;
        self.flush()?;
        Ok(read > 0)
    }

    /// Nothing more is sent, no goodbye of TLS either: whom a command has told to close would reset the connection.
    pub fn finish(&mut self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => write_apart(&self.socket, bytes, cuts(bytes.len(), self.cut))?,
            Some(tls) => {
                tls.writer().write_all(bytes)?;
                self.flush()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut records = Vec::new();
        while let Some(tls) = self.tls.as_mut().filter(|tls| tls.wants_write()) {
            tls.write_tls(&mut records)?;
        }
        write_apart(&self.socket, &records, cuts(records.len(), self.cut))
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(tls) = &mut self.tls else { return self.socket.read(buffer) };
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            if !self.advance()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Plain bytes out of compressed packets.
#[derive(Debug)]
pub struct Unpacker {
    algorithm: Algorithm,
    /// The id that the next packet must have; `None` takes any.
    next: Option<u8>,
}

impl Unpacker {
    pub fn new(algorithm: Algorithm) -> Self {
        Self { algorithm, next: None }
    }

    /// The id of the last packet that was sent.
    pub fn answers(&mut self, sent: u8) {
        self.next = Some(sent.wrapping_add(1));
    }

    /// Replies to several commands come, each of which counts anew.
    pub fn take_any(&mut self) {
        self.next = None;
    }

    /// The content of one packet.
    pub fn unpack(&mut self, packet: &[u8]) -> TestResult<Vec<u8>> {
        let Some((&[_, _, _, id, a, b, c], content)) = packet.split_first_chunk() else {
            return Err("a short compressed packet".into());
        };
        if self.next.is_some_and(|next| next != id) {
            return Err(format!("compressed packet {id}, not {:?}", self.next).into());
        }
        self.next = self.next.map(|next| next.wrapping_add(1));
        let length = u32::from_le_bytes([a, b, c, 0]) as usize;
        let plain = match self.algorithm {
            _ if length == 0 => return Ok(content.to_vec()),
            Algorithm::Zlib => all(ZlibDecoder::new(content))?,
            Algorithm::Zstd => zstd::decode_all(content)?,
        };
        if plain.len() != length {
            return Err(format!("{} bytes of content, not {length}", plain.len()).into());
        }
        Ok(plain)
    }

    /// The next packet of `wire`.
    pub fn read(&mut self, wire: &mut impl Read) -> TestResult<Vec<u8>> {
        let mut packet = vec![0; 7];
        wire.read_exact(&mut packet)?;
        let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]) as usize;
        packet.resize(7 + length, 0);
        wire.read_exact(&mut packet[7..])?;
        self.unpack(&packet)
    }

    /// One compressed packet with a plain one in it, of which the last that passed had the id before `next`.
    pub fn pack(&self, plain: &[u8]) -> TestResult<Vec<u8>> {
        let begins_command = plain.get(3) == Some(&0);
        let id = if begins_command { 0 } else { self.next.unwrap_or_default() };
        let (content, length) = match self.algorithm {
            _ if plain.len() < COMPRESSED_MIN => (plain.to_vec(), 0),
            Algorithm::Zlib => (all(ZlibEncoder::new(plain, flate2::Compression::default()))?, plain.len()),
            Algorithm::Zstd => (zstd::encode_all(plain, ZSTD_LEVEL.into())?, plain.len()),
        };
        let [a, b, c, _] = u32::try_from(content.len())?.to_le_bytes();
        let [d, e, f, _] = u32::try_from(length)?.to_le_bytes();
        Ok([&[a, b, c, id, d, e, f], &content[..]].concat())
    }
}

fn all(mut reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    Ok(bytes)
}
