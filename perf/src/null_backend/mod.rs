//! A server that speaks MySQL and does nothing: every login succeeds, every `SELECT` returns the same row, everything else
//! is OK. What is left of a round trip through a proxy is then the proxy and the kernel. System variables are kept, told of
//! and answered for, since a proxy may depend on them.
//!
//! One thread, one epoll, all replies made beforehand: three system calls a query at one connection, two with many.

mod state;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::error::{Error, Result};
use crate::wire::{self, capability, command};
use state::{Variables, push_string};

const CAPABILITIES: u32 = 1 // long passwords: says "MySQL's meaning of the flags" to clients that know MariaDB's
    | capability::CONNECT_WITH_DB
    | capability::PROTOCOL_41
    | capability::SECURE_CONNECTION
    | capability::PLUGIN_AUTH
    | capability::SESSION_TRACK
    | capability::DEPRECATE_EOF;
const VERSION: &[u8] = b"5.5.5-10.11.0-MariaDB-null\0";
/// As long as the column `c` of sysbench.
const VALUE: [u8; 119] = [b'x'; 119];
const LISTENER: Token = Token(usize::MAX);
/// Larger than any request of the load generator; longer requests are read in pieces.
const READ_SIZE: usize = 16 * 1024;

/// A bound null backend; [`NullBackend::serve`] runs it.
#[derive(Debug)]
pub struct NullBackend {
    poll: Poll,
    listener: TcpListener,
    replies: Replies,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    scratch: Vec<u8>,
}

impl NullBackend {
    /// Listens on `port` of 127.0.0.1 (0: any).
    ///
    /// # Errors
    /// When the port is taken.
    pub fn bind(port: u16) -> Result<Self> {
        Self::try_bind(port).map_err(Error::network(format!("listen on port {port}")))
    }

    /// The port.
    ///
    /// # Errors
    /// When the system can't tell.
    pub fn port(&self) -> Result<u16> {
        Ok(self.listener.local_addr().map_err(Error::network("listening address"))?.port())
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// Only when waiting for events fails.
    pub fn serve(mut self) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other.map_err(Error::network("wait for events"))?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    Token(slot) => self.turn(slot, event.is_writable()),
                }
            }
        }
    }

    fn try_bind(port: u16) -> io::Result<Self> {
        let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let (connections, free) = (Vec::new(), Vec::new());
        let scratch = vec![0; READ_SIZE];
        Ok(Self { poll, listener, replies: Replies::new(), connections, free, scratch })
    }

    fn accept(&mut self) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            let slot = self.free.pop().unwrap_or(self.connections.len());
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registered = self.poll.registry().register(&mut stream, Token(slot), interest);
            if registered.and_then(|()| stream.set_nodelay(true)).is_err() {
                self.free.push(slot);
                continue;
            }
            let mut connection = Connection::new(stream);
            wire::push_packet(&mut connection.output, 0, &greeting(slot));
            let connection = connection.flush().is_ok().then_some(connection);
            if slot == self.connections.len() {
                self.connections.push(None);
            }
            match connection {
                Some(connection) => self.connections[slot] = Some(connection),
                None => self.free.push(slot),
            }
        }
    }

    fn turn(&mut self, slot: usize, writable: bool) {
        let Some(Some(connection)) = self.connections.get_mut(slot) else { return };
        let flushed = if writable { connection.flush() } else { Ok(()) };
        if flushed.and_then(|()| connection.serve(&self.replies, &mut self.scratch)).is_err() {
            self.connections[slot] = None;
            self.free.push(slot);
        }
    }
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// Bytes of an incomplete request.
    input: Vec<u8>,
    /// Bytes that the socket has not taken yet.
    output: Vec<u8>,
    /// The client's flags, once it has logged in.
    capabilities: Option<u32>,
    variables: Variables,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            capabilities: None,
            variables: Variables::default(),
        }
    }

    /// Answers everything that has arrived. An error ends the connection.
    fn serve(&mut self, replies: &Replies, scratch: &mut [u8]) -> io::Result<()> {
        loop {
            let received = match self.stream.read(scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            self.input.extend_from_slice(&scratch[..received]);
            let input = std::mem::take(&mut self.input);
            let mut rest = &input[..];
            while let Some((payload, length)) = wire::first_packet(rest) {
                self.answer(payload, replies)?;
                rest = &rest[length..];
            }
            let done = input.len() - rest.len();
            self.input = input;
            self.input.drain(..done);
            // A short read means that the socket is empty; the next event says when it is not.
            if received < scratch.len() {
                break;
            }
        }
        self.flush()
    }

    fn answer(&mut self, payload: &[u8], replies: &Replies) -> io::Result<()> {
        let Some(capabilities) = self.capabilities else {
            let flags = payload.first_chunk::<4>().ok_or(io::ErrorKind::InvalidData)?;
            self.capabilities = Some(u32::from_le_bytes(*flags) & CAPABILITIES);
            // The login is packet 1.
            wire::push_packet(&mut self.output, 2, &wire::ok_payload(0));
            return Ok(());
        };
        let results = if capabilities & capability::DEPRECATE_EOF == 0 {
            &replies.with_eof
        } else {
            &replies.without_eof
        };
        let (command, body) = payload.split_first().ok_or(io::ErrorKind::InvalidData)?;
        match *command {
            command::QUIT => return Err(io::ErrorKind::ConnectionAborted.into()),
            command::QUERY if asks_for_variables(body) => self.answer_variables(body, capabilities),
            command::QUERY if is_select(body) => self.output.extend_from_slice(&results.text),
            command::STMT_EXECUTE => self.output.extend_from_slice(&results.binary),
            command::STMT_PREPARE if is_select(body) => prepared(&mut self.output, body, capabilities),
            command::STMT_CLOSE | command::STMT_SEND_LONG_DATA => {}
            command::QUERY if starts_with(body, b"set") => {
                let tracked = capabilities & capability::SESSION_TRACK != 0;
                let ok = self.variables.set(&String::from_utf8_lossy(body), tracked);
                wire::push_packet(&mut self.output, 1, &ok);
            }
            command::RESET_CONNECTION => {
                self.variables.reset();
                self.output.extend_from_slice(&replies.ok);
            }
            command::QUERY
            | command::INIT_DB
            | command::PING
            | command::CHANGE_USER
            | command::STMT_RESET
            | command::SET_OPTION => self.output.extend_from_slice(&replies.ok),
            _ => self.output.extend_from_slice(&replies.unknown_command),
        }
        Ok(())
    }

    fn answer_variables(&mut self, statement: &[u8], capabilities: u32) {
        let values = self.variables.select(&String::from_utf8_lossy(statement)).unwrap_or_default();
        let mut row = Vec::new();
        values.iter().for_each(|(_, value)| push_string(&mut row, value.as_bytes()));
        let columns = values.iter().map(|(name, _)| column(name.get(..250).unwrap_or(name).as_bytes()));
        let deprecate_eof = capabilities & capability::DEPRECATE_EOF != 0;
        self.output.extend_from_slice(&result_set(columns.collect(), &row, deprecate_eof));
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(sent) => drop(self.output.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// All replies, with their headers. A reply's first packet has sequence id 1.
#[derive(Debug)]
struct Replies {
    ok: Vec<u8>,
    unknown_command: Vec<u8>,
    with_eof: ResultSets,
    without_eof: ResultSets,
}

#[derive(Debug)]
struct ResultSets {
    text: Vec<u8>,
    binary: Vec<u8>,
}

impl Replies {
    fn new() -> Self {
        let mut ok = Vec::new();
        wire::push_packet(&mut ok, 1, &wire::ok_payload(0));
        let mut unknown_command = Vec::new();
        let error = wire::error_payload(1047, "08S01", "Unknown command");
        wire::push_packet(&mut unknown_command, 1, &error);
        Self { ok, unknown_command, with_eof: ResultSets::new(false), without_eof: ResultSets::new(true) }
    }
}

impl ResultSets {
    fn new(deprecate_eof: bool) -> Self {
        let mut text_row = Vec::new();
        wire::push_short_string(&mut text_row, &VALUE);
        let mut binary_row = vec![0, 0]; // header, null bitmap
        wire::push_short_string(&mut binary_row, &VALUE);
        let set = |row: &[u8]| result_set(vec![column(b"c")], row, deprecate_eof);
        Self { text: set(&text_row), binary: set(&binary_row) }
    }
}

/// Of few columns: their number is one byte.
fn result_set(columns: Vec<Vec<u8>>, row: &[u8], deprecate_eof: bool) -> Vec<u8> {
    let mut packets = vec![vec![u8::try_from(columns.len()).unwrap_or(u8::MAX)]];
    packets.extend(columns);
    if !deprecate_eof {
        packets.push(wire::eof_payload());
    }
    packets.push(row.to_vec());
    packets.push(if deprecate_eof { wire::ok_payload(0xfe) } else { wire::eof_payload() });
    let mut out = Vec::new();
    for (packet, sequence) in packets.iter().zip(1..) {
        wire::push_packet(&mut out, sequence, packet);
    }
    out
}

/// A column definition: CHAR(120), as in sysbench's table.
fn column(name: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    for text in [b"def".as_slice(), b"sbtest", b"sbtest1", b"sbtest1", name, name] {
        wire::push_short_string(&mut payload, text);
    }
    payload.push(0x0c); // length of what follows
    payload.extend_from_slice(&45_u16.to_le_bytes()); // utf8mb4_general_ci
    payload.extend_from_slice(&480_u32.to_le_bytes()); // greatest length in bytes
    payload.push(0xfe); // CHAR
    payload.extend_from_slice(&[1, 0, 0, 0, 0]); // flags: NOT NULL; decimals; filler
    payload
}

fn prepared(out: &mut Vec<u8>, statement: &[u8], capabilities: u32) {
    let parameters = u8::try_from(statement.iter().filter(|&&byte| byte == b'?').count()).unwrap_or(u8::MAX);
    // OK, statement id (4), columns (2), parameters (2), filler (1), warnings (2)
    let mut packets = vec![vec![0, 1, 0, 0, 0, 1, 0, parameters, 0, 0, 0, 0]];
    let eof = capabilities & capability::DEPRECATE_EOF == 0;
    for (count, name) in [(parameters, b"?"), (1, b"c")] {
        packets.extend((0..count).map(|_| column(name)));
        if eof && count > 0 {
            packets.push(wire::eof_payload());
        }
    }
    for (packet, sequence) in packets.iter().zip(1..=u8::MAX) {
        wire::push_packet(out, sequence, packet);
    }
}

fn is_select(statement: &[u8]) -> bool {
    starts_with(statement, b"select")
}

fn asks_for_variables(statement: &[u8]) -> bool {
    is_select(statement) && statement.windows(2).any(|letters| letters == b"@@")
}

fn starts_with(statement: &[u8], word: &[u8]) -> bool {
    let text = statement.trim_ascii_start();
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

fn greeting(slot: usize) -> Vec<u8> {
    let mut payload = vec![10];
    payload.extend_from_slice(VERSION);
    payload.extend_from_slice(&u32::try_from(slot).unwrap_or(0).to_le_bytes());
    payload.extend_from_slice(b"saltsalt\0");
    let [a, b, c, d] = CAPABILITIES.to_le_bytes();
    payload.extend_from_slice(&[a, b, 45, 2, 0, c, d, 21]); // character set, status; length of the salt
    payload.extend_from_slice(&[0; 10]);
    payload.extend_from_slice(b"saltsaltsalt\0mysql_native_password\0");
    payload
}
