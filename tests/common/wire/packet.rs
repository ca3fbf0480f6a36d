//! Framing: packets with their length and sequence id before them.

use std::fmt;
use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::{Error, Result};

/// The longest payload of one packet; a longer one goes on in the next.
pub const MAX_PAYLOAD: usize = 0xff_ffff;

/// Longer than any wait that a test means to have.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A payload of less than 16 MiB with its header.
pub fn frame(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = header(sequence, payload.len()).to_vec();
    packet.extend_from_slice(payload);
    packet
}

fn header(sequence: u8, length: usize) -> [u8; 4] {
    let [a, b, c, ..] = (length as u64).to_le_bytes();
    [a, b, c, sequence]
}

/// What packets travel on: a socket, or something around one.
pub trait Transport: Read + Write + fmt::Debug + Send {
    /// The socket below.
    fn socket(&self) -> &TcpStream;
}

impl Transport for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

/// A socket that reads and writes packets and checks that sequence ids have no gap.
#[derive(Debug)]
pub struct PacketStream {
    stream: BufReader<Box<dyn Transport>>,
    /// The id of the next packet, whoever sends it; `None` takes any.
    sequence: Option<u8>,
}

impl PacketStream {
    pub fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { stream: BufReader::new(Box::new(stream)), sequence: Some(0) })
    }

    /// By a Unix socket, which reads and writes as any other.
    pub fn connect_unix(path: &Path) -> Result<Self> {
        let stream = TcpStream::from(OwnedFd::from(UnixStream::connect(path)?));
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { stream: BufReader::new(Box::new(stream)), sequence: Some(0) })
    }

    /// The same conversation on another transport, which `wrap` puts around a handle to the socket.
    pub fn wrapped(self, wrap: impl FnOnce(TcpStream) -> Result<Box<dyn Transport>>) -> Result<Self> {
        let socket = self.stream.get_ref().socket().try_clone()?;
        Ok(Self { stream: BufReader::new(wrap(socket)?), sequence: self.sequence })
    }

    /// How long a read waits before it fails.
    pub fn set_read_timeout(&self, timeout: Duration) -> Result<()> {
        Ok(self.stream.get_ref().socket().set_read_timeout(Some(timeout))?)
    }

    /// The id of the next packet, whoever sends it; a command has 0.
    pub fn expect_sequence(&mut self, sequence: u8) {
        self.sequence = Some(sequence);
    }

    /// Takes the next packet with any id: what a server says unasked, or to a client that has lost count itself.
    pub fn expect_any_sequence(&mut self) {
        self.sequence = None;
    }

    /// Writes bytes as they are.
    pub fn write_raw(&mut self, bytes: &[u8]) -> Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes)?;
        Ok(stream.flush()?)
    }

    /// Fills `bytes` with what comes next, whatever it is.
    pub fn read_raw(&mut self, bytes: &mut [u8]) -> Result<()> {
        Ok(self.stream.read_exact(bytes)?)
    }

    /// Writes a payload of any length.
    pub fn write_payload(&mut self, payload: &[u8]) -> Result<()> {
        let mut rest = payload;
        loop {
            let (part, others) = rest.split_at(rest.len().min(MAX_PAYLOAD));
            let sequence = self.sequence.unwrap_or_default();
            self.write_raw(&frame(sequence, part))?;
            self.sequence = Some(sequence.wrapping_add(1));
            // An exact multiple of the longest packet ends with an empty one.
            if part.len() < MAX_PAYLOAD {
                return Ok(());
            }
            rest = others;
        }
    }

    /// Reads a payload of any length into `payload`, replacing what it holds.
    pub fn read_payload_into(&mut self, payload: &mut Vec<u8>) -> Result<()> {
        payload.clear();
        loop {
            let length = self.read_header()?;
            let start = payload.len();
            payload.resize(start + length, 0);
            self.stream.read_exact(&mut payload[start..])?;
            if length < MAX_PAYLOAD {
                return Ok(());
            }
        }
    }

    /// Reads a payload of any length.
    pub fn read_payload(&mut self) -> Result<Vec<u8>> {
        let mut payload = Vec::new();
        self.read_payload_into(&mut payload)?;
        Ok(payload)
    }

    /// Sends no more: the peer sees the end of the stream.
    pub fn shutdown_write(&self) -> Result<()> {
        Ok(self.stream.get_ref().socket().shutdown(Shutdown::Write)?)
    }

    /// Reads and forgets everything until the peer closes; says how much there was.
    pub fn read_to_close(&mut self) -> Result<u64> {
        let mut buffer = [0; 4096];
        let mut total = 0;
        loop {
            match self.stream.read(&mut buffer).map_err(Error::from) {
                Ok(0) => return Ok(total),
                Ok(read) => total += read as u64,
                Err(error) if error.is_close() => return Ok(total),
                Err(error) => return Err(error),
            }
        }
    }

    fn read_header(&mut self) -> Result<usize> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header)?;
        let [a, b, c, found] = header;
        let expected = self.sequence.unwrap_or(found);
        if found != expected {
            return Err(Error::Sequence { found, expected });
        }
        self.sequence = Some(found.wrapping_add(1));
        Ok(u32::from_le_bytes([a, b, c, 0]) as usize)
    }
}
