//! One client: its socket, and the reply under way.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::CrowdOptions;
use super::own::Own;
use super::script::{Answer, Request, Script, prepared_statement};
use crate::login::{LoggedIn, execute_request};
use crate::wire::{self, ReplyScanner, Scanned, command};

pub(super) struct Client {
    stream: TcpStream,
    deprecate_eof: bool,
    script: Script,
    /// COM_STMT_EXECUTE; its last bytes are the parameter.
    execute: Vec<u8>,
    /// Whether rows are binary.
    binary: bool,
    scanner: ReplyScanner,
    /// Bytes of an incomplete packet.
    input: Vec<u8>,
    rows: Vec<Vec<u8>>,
    sent_at: Instant,
}

impl Client {
    /// Logs in, sets the client's state, and prepares its statement.
    pub fn login(options: &CrowdOptions, number: usize) -> io::Result<Self> {
        let mut login = LoggedIn::log_in(options.port, &options.user, &options.database)?;
        let own = Own::of(number);
        own.statements().iter().try_for_each(|sql| login.run(sql))?;
        let execute = execute_request(login.prepare(&prepared_statement())?);
        login.stream.set_nonblocking(true)?;
        Ok(Self {
            stream: TcpStream::from_std(login.stream),
            deprecate_eof: login.deprecate_eof,
            script: Script::new(own),
            execute,
            binary: false,
            scanner: ReplyScanner::First,
            input: Vec::new(),
            rows: Vec::new(),
            sent_at: Instant::now(),
        })
    }

    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Sends the next statement.
    pub fn send(&mut self) -> io::Result<()> {
        let mut request = Vec::new();
        match self.script.next() {
            Request::Text(sql) => {
                self.binary = false;
                wire::push_packet(&mut request, 0, &[&[command::QUERY], sql.as_bytes()].concat());
            }
            Request::Execute(parameter) => {
                self.binary = true;
                self.execute.truncate(self.execute.len() - 4);
                self.execute.extend_from_slice(&parameter.to_le_bytes());
                wire::push_packet(&mut request, 0, &self.execute[wire::HEADER_LENGTH..]);
            }
        }
        self.sent_at = Instant::now();
        // One small request in flight always fits into the socket's buffer.
        self.stream.write_all(&request)
    }

    /// Reads what has arrived; `on_answer` gets how long an answer took and what is wrong with it.
    pub fn turn(
        &mut self,
        scratch: &mut [u8],
        mut on_answer: impl FnMut(Duration, Result<(), String>),
    ) -> io::Result<()> {
        loop {
            let received = match self.stream.read(scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.input.extend_from_slice(&scratch[..received]);
            let input = std::mem::take(&mut self.input);
            let mut rest = &input[..];
            while let Some((payload, length)) = wire::first_packet(rest) {
                rest = &rest[length..];
                if let Some(answer) = self.take(payload) {
                    on_answer(self.sent_at.elapsed(), self.script.judge(&answer));
                    self.send()?;
                }
            }
            self.input = rest.to_vec();
        }
    }

    /// Takes a packet; gives the answer with the last of it.
    fn take(&mut self, payload: &[u8]) -> Option<Answer> {
        let in_rows = self.scanner == ReplyScanner::Rows;
        match self.scanner.take(payload, self.deprecate_eof) {
            Scanned::More => {
                if in_rows {
                    self.rows.push(payload.to_vec());
                }
                None
            }
            Scanned::Failed => {
                self.rows.clear();
                Some(Answer::Other(
                    String::from_utf8_lossy(payload.get(3..).unwrap_or_default()).into_owned(),
                ))
            }
            Scanned::Complete if in_rows => {
                let rows = std::mem::take(&mut self.rows);
                let values: Option<Vec<_>> = rows.iter().map(|row| self.value(row)).collect();
                Some(match values.as_deref() {
                    Some([value]) => Answer::Value(value.clone()),
                    _ => Answer::Other(format!("{} rows: {rows:?}", rows.len())),
                })
            }
            Scanned::Complete => {
                let id = length_encoded(payload.get(1..)?).and_then(|(_, rest)| length_encoded(rest));
                Some(id.map_or_else(|| Answer::Other(format!("{payload:?}")), |(id, _)| Answer::Done { id }))
            }
        }
    }

    /// The one string of a row.
    fn value(&self, row: &[u8]) -> Option<String> {
        // A binary row has a header and, for one column, a byte of null flags.
        let row = if self.binary { row.strip_prefix(&[0, 0])? } else { row };
        let (length, text) = length_encoded(row)?;
        (text.len() as u64 == length).then(|| String::from_utf8_lossy(text).into_owned())
    }
}

/// A length-encoded integer of up to three bytes, and what is behind it.
fn length_encoded(bytes: &[u8]) -> Option<(u64, &[u8])> {
    match bytes {
        [0xfd, a, b, c, rest @ ..] => Some((u32::from_le_bytes([*a, *b, *c, 0]).into(), rest)),
        [0xfc, a, b, rest @ ..] => Some((u16::from_le_bytes([*a, *b]).into(), rest)),
        [byte @ 0..=0xfa, rest @ ..] => Some((u64::from(*byte), rest)),
        _ => None,
    }
}
