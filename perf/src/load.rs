//! A closed-loop load generator: each connection sends a point select, waits for the whole reply, sends the next.
//!
//! One thread drives all connections, so that on a small machine the load leaves the CPU to what is measured. Only
//! accounts with an empty password can be used: then no authentication plugin asks for more than an empty answer.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::error::{Error, Result};
use crate::histogram::Histogram;
use crate::wire::{self, ReplyScanner, Scanned, capability, command};

/// How the statement is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// COM_QUERY with another literal each time.
    Text,
    /// COM_STMT_EXECUTE of one statement prepared by each connection.
    Prepared,
}

/// What to do.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The server or proxy on 127.0.0.1.
    pub port: u16,
    /// An account with an empty password.
    pub user: String,
    /// The default database.
    pub database: String,
    /// Connections, each with one statement in flight.
    pub connections: usize,
    /// How the statement is sent.
    pub mode: Mode,
    /// Runs before counting begins.
    pub warmup: Duration,
    /// Ends after this time of counting...
    pub duration: Duration,
    /// ...or after this many replies, whichever comes first.
    pub queries_max: u64,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct LoadReport {
    /// Latencies of the complete replies.
    pub latencies: Histogram,
    /// Replies that were errors.
    pub errors: u64,
    /// How long counting took.
    pub elapsed: Duration,
}

/// Largest id in sysbench's default table; smaller than any table the load is run on.
const IDS: u32 = 10_000;
const READ_SIZE: usize = 16 * 1024;
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Give up when nothing at all arrives for this long.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections that are logged in and do nothing, until this is dropped.
pub struct Idle {
    _clients: Vec<Client>,
}

impl Idle {
    /// Logs `options.connections` clients in.
    ///
    /// # Errors
    /// When a login fails.
    pub fn connect(options: &LoadOptions) -> Result<Self> {
        let login = |slot| {
            Client::login(options, slot).map_err(Error::network(format!("log in on port {}", options.port)))
        };
        let clients: Result<_> = (0..options.connections).map(login).collect();
        Ok(Self { _clients: clients? })
    }
}

/// Logs all connections in, then runs the load. `on_begin` is called when counting begins.
///
/// # Errors
/// When a login fails, a connection breaks, or nothing arrives for 30 seconds.
pub fn run(options: &LoadOptions, on_begin: impl FnOnce()) -> Result<LoadReport> {
    let mut poll = Poll::new().map_err(Error::network("make an epoll"))?;
    let mut clients = Vec::with_capacity(options.connections);
    for slot in 0..options.connections {
        let login = || Client::login(options, slot);
        let mut client = login().map_err(Error::network(format!("log in on port {}", options.port)))?;
        poll.registry()
            .register(&mut client.stream, Token(slot), Interest::READABLE)
            .map_err(Error::network("watch a connection"))?;
        clients.push(client);
    }
    let mut drive = Drive { clients, report: empty_report(), scratch: vec![0; READ_SIZE] };
    drive.start().map_err(Error::network("send"))?;
    drive.until(&mut poll, Instant::now() + options.warmup, u64::MAX)?;
    drive.report = empty_report();
    on_begin();
    let begin = Instant::now();
    drive.until(&mut poll, begin + options.duration, options.queries_max)?;
    drive.report.elapsed = begin.elapsed();
    Ok(drive.report)
}

fn empty_report() -> LoadReport {
    LoadReport { latencies: Histogram::default(), errors: 0, elapsed: Duration::ZERO }
}

struct Drive {
    clients: Vec<Client>,
    report: LoadReport,
    scratch: Vec<u8>,
}

impl Drive {
    fn start(&mut self) -> io::Result<()> {
        self.clients.iter_mut().try_for_each(Client::send)
    }

    fn until(&mut self, poll: &mut Poll, deadline: Instant, queries_max: u64) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        while Instant::now() < deadline && self.report.latencies.total() < queries_max {
            match poll.poll(&mut events, Some(STALL_TIMEOUT)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other.map_err(Error::network("wait for events"))?,
            }
            if events.is_empty() {
                return Err(Error::Timeout(format!("no reply for {STALL_TIMEOUT:?}")));
            }
            for event in &events {
                if let Some(client) = self.clients.get_mut(event.token().0) {
                    client
                        .turn(&mut self.report, &mut self.scratch)
                        .map_err(Error::network("a connection broke"))?;
                }
            }
        }
        Ok(())
    }
}

struct Client {
    stream: mio::net::TcpStream,
    mode: Mode,
    deprecate_eof: bool,
    scanner: ReplyScanner,
    /// Bytes of an incomplete packet.
    input: Vec<u8>,
    /// The request; its last bytes change from one to the next.
    request: Vec<u8>,
    random: u32,
    sent_at: Instant,
}

const STATEMENT: &str = "SELECT c FROM sbtest1 WHERE id=";

impl Client {
    fn login(options: &LoadOptions, slot: usize) -> io::Result<Self> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, options.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOGIN_TIMEOUT))?;
        let greeting = read_packet(&mut stream)?;
        let offered =
            wire::greeting_capabilities(&greeting).ok_or_else(|| refused("no greeting", &greeting))?;
        let flags = capability::PROTOCOL_41
            | capability::SECURE_CONNECTION
            | capability::CONNECT_WITH_DB
            | (offered & (capability::PLUGIN_AUTH | capability::DEPRECATE_EOF));
        let mut payload = flags.to_le_bytes().to_vec();
        payload.extend_from_slice(&(16_u32 << 20).to_le_bytes()); // largest packet
        payload.push(45); // utf8mb4_general_ci
        payload.extend_from_slice(&[0; 23]);
        payload.extend_from_slice(options.user.as_bytes());
        payload.extend_from_slice(&[0, 0]); // end of the user; empty answer to the challenge
        payload.extend_from_slice(options.database.as_bytes());
        payload.push(0);
        if flags & capability::PLUGIN_AUTH != 0 {
            payload.extend_from_slice(b"mysql_native_password\0");
        }
        send_packet(&mut stream, 1, &payload)?;
        let mut reply = read_packet(&mut stream)?;
        if reply.first() == Some(&0xfe) {
            send_packet(&mut stream, 3, &[])?; // another plugin; an empty password is an empty answer to all of them
            reply = read_packet(&mut stream)?;
        }
        if reply.first() != Some(&0) {
            return Err(refused("login refused", &reply));
        }
        let deprecate_eof = flags & capability::DEPRECATE_EOF != 0;
        let request = match options.mode {
            Mode::Text => [&[0, 0, 0, 0, command::QUERY], STATEMENT.as_bytes()].concat(),
            Mode::Prepared => execute_request(prepare(&mut stream, deprecate_eof)?),
        };
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: mio::net::TcpStream::from_std(stream),
            mode: options.mode,
            deprecate_eof,
            scanner: ReplyScanner::First,
            input: Vec::new(),
            request,
            random: 2_654_435_769_u32.wrapping_mul(u32::try_from(slot).unwrap_or(0) + 1) | 1,
            sent_at: Instant::now(),
        })
    }

    fn send(&mut self) -> io::Result<()> {
        // xorshift: other ids each time, so that nobody can answer from memory.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        let id = self.random % IDS + 1;
        match self.mode {
            Mode::Text => {
                self.request.truncate(wire::HEADER_LENGTH + 1 + STATEMENT.len());
                write!(self.request, "{id}")?;
            }
            Mode::Prepared => {
                self.request.truncate(self.request.len() - 4);
                self.request.extend_from_slice(&id.to_le_bytes());
            }
        }
        // Shorter than 256 bytes in both modes.
        self.request[0] = u8::try_from(self.request.len() - wire::HEADER_LENGTH).unwrap_or(u8::MAX);
        self.sent_at = Instant::now();
        // One small request in flight always fits into the socket's buffer.
        self.stream.write_all(&self.request)
    }

    fn turn(&mut self, report: &mut LoadReport, scratch: &mut [u8]) -> io::Result<()> {
        loop {
            let received = match self.stream.read(scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.take(&scratch[..received], report)?;
            // A short read means that the socket was empty; the next event says when it is not.
            if received < scratch.len() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, received: &[u8], report: &mut LoadReport) -> io::Result<()> {
        self.input.extend_from_slice(received);
        let mut done = 0;
        while let Some((payload, length)) = wire::first_packet(&self.input[done..]) {
            let scanned = self.scanner.take(payload, self.deprecate_eof);
            done += length;
            if scanned != Scanned::More {
                report.latencies.record(self.sent_at.elapsed());
                report.errors += u64::from(scanned == Scanned::Failed);
                self.send()?;
            }
        }
        self.input.drain(..done);
        Ok(())
    }
}

/// Prepares the statement and returns its id.
fn prepare(stream: &mut TcpStream, deprecate_eof: bool) -> io::Result<[u8; 4]> {
    let statement = format!("{STATEMENT}?");
    send_packet(stream, 0, &[&[command::STMT_PREPARE], statement.as_bytes()].concat())?;
    let reply = read_packet(stream)?;
    let &[0, a, b, c, d, columns_low, columns_high, parameters_low, parameters_high, ..] = &reply[..] else {
        return Err(refused("PREPARE refused", &reply));
    };
    for count in [[parameters_low, parameters_high], [columns_low, columns_high]].map(u16::from_le_bytes) {
        let end = u16::from(count > 0 && !deprecate_eof);
        for _ in 0..count + end {
            read_packet(stream)?;
        }
    }
    Ok([a, b, c, d])
}

/// COM_STMT_EXECUTE with one 32-bit integer, which is the request's last four bytes.
fn execute_request(id: [u8; 4]) -> Vec<u8> {
    let mut request = vec![0, 0, 0, 0, command::STMT_EXECUTE];
    request.extend_from_slice(&id);
    request.push(0); // no cursor
    request.extend_from_slice(&1_u32.to_le_bytes()); // iterations
    request.extend_from_slice(&[0, 1, 3, 0]); // null bitmap; types follow: LONG, signed
    request.extend_from_slice(&0_u32.to_le_bytes());
    request
}

fn send_packet(stream: &mut TcpStream, sequence: u8, payload: &[u8]) -> io::Result<()> {
    let mut bytes = Vec::new();
    wire::push_packet(&mut bytes, sequence, payload);
    stream.write_all(&bytes)
}

fn read_packet(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut header = [0; wire::HEADER_LENGTH];
    stream.read_exact(&mut header)?;
    let length = u32::from_le_bytes([header[0], header[1], header[2], 0]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload)?;
    Ok(payload)
}

fn refused(what: &str, payload: &[u8]) -> io::Error {
    io::Error::other(format!("{what}: {}", String::from_utf8_lossy(payload)))
}
