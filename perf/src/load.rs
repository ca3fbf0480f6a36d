//! A closed-loop load generator: each connection sends a point select, waits for the whole reply, sends the next.
//!
//! One thread drives all connections, so that on a small machine the load leaves the CPU to what is measured.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::error::{Error, Result};
use crate::histogram::Histogram;
use crate::login::{LoggedIn, execute_request};
use crate::wire::{self, ReplyScanner, Scanned, command};

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
    /// Statements that each connection sends first, after its login.
    pub setup: Vec<String>,
    /// How the statement is sent.
    pub mode: Mode,
    /// What is sent each time instead of the point select, as text.
    pub statement: Option<String>,
    /// Only connections of one of Athena's cores: which, and how many cores there are. Others come and go to find them.
    pub core: Option<(u32, u32)>,
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
/// Athena's ids of connections begin here.
const FIRST_ID: u32 = 1 << 30;
const READ_SIZE: usize = 16 * 1024;
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
    let mut others = Vec::new();
    while clients.len() < options.connections {
        let slot = clients.len();
        let login = || Client::login(options, slot);
        let mut client = login().map_err(Error::network(format!("log in on port {}", options.port)))?;
        // Athena spreads its clients evenly: the others have to stay until all are there.
        if options
            .core
            .is_some_and(|(core, cores)| client.connection_id.wrapping_sub(FIRST_ID) % cores != core)
        {
            others.push(client);
            continue;
        }
        poll.registry()
            .register(&mut client.stream, Token(slot), Interest::READABLE)
            .map_err(Error::network("watch a connection"))?;
        clients.push(client);
    }
    drop(others);
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
    connection_id: u32,
    mode: Mode,
    /// The request is the same each time.
    is_fixed: bool,
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
        let mut login = LoggedIn::log_in(options.port, &options.user, &options.database)?;
        options.setup.iter().try_for_each(|sql| login.run(sql))?;
        let request = match options.mode {
            Mode::Text if options.statement.is_some() => {
                let sql = options.statement.as_deref().unwrap_or_default();
                [&[0, 0, 0, 0, command::QUERY], sql.as_bytes()].concat()
            }
            Mode::Text => [&[0, 0, 0, 0, command::QUERY], STATEMENT.as_bytes()].concat(),
            Mode::Prepared => execute_request(login.prepare(&format!("{STATEMENT}?"))?),
        };
        login.stream.set_nonblocking(true)?;
        Ok(Self {
            stream: mio::net::TcpStream::from_std(login.stream),
            connection_id: login.connection_id,
            is_fixed: options.statement.is_some(),
            mode: options.mode,
            deprecate_eof: login.deprecate_eof,
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
            _ if self.is_fixed => {}
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
