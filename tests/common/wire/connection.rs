//! A client that is logged in.

use std::path::Path;
use std::time::Duration;

use super::bytes::Bytes;
use super::packet::{MAX_PAYLOAD, PacketStream};
use super::reply::{Column, OkPacket, Reply, ResultSet, Value, binary_row, server_error, text_row};
use super::statement::{Statement, Types};
use super::{Error, Greeting, Login, Result, capability, command, status};

/// An EOF packet is shorter than this; a row that begins with the same byte is longer.
const EOF_LENGTH_MAX: usize = 8;

/// How the rows of a reply are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Text,
    Binary,
}

/// A connection after its login.
#[derive(Debug)]
pub struct Connection {
    stream: PacketStream,
    greeting: Greeting,
    deprecate_eof: bool,
}

impl Connection {
    /// Logs in as the lab's application, in the database `test`.
    pub fn open(port: u16) -> Result<Self> {
        Self::login(port, &Login::app())
    }

    pub fn login(port: u16, login: &Login) -> Result<Self> {
        let mut stream = PacketStream::connect(port)?;
        let greeting = Greeting::read(&mut stream)?;
        login.run(&mut stream, &greeting)?;
        Ok(Self::after_login(stream, greeting, login))
    }

    /// Logs in by a Unix socket.
    pub fn login_unix(path: &Path, login: &Login) -> Result<Self> {
        let mut stream = PacketStream::connect_unix(path)?;
        let greeting = Greeting::read(&mut stream)?;
        login.run(&mut stream, &greeting)?;
        Ok(Self::after_login(stream, greeting, login))
    }

    /// Goes on where a login by hand has ended.
    pub fn after_login(stream: PacketStream, greeting: Greeting, login: &Login) -> Self {
        // What only one side can do is not done.
        let common = login.capabilities & greeting.capabilities;
        Self { stream, greeting, deprecate_eof: common & capability::DEPRECATE_EOF != 0 }
    }

    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Becomes the user of `login` (COM_CHANGE_USER), with the proof made of the greeting's salt.
    pub fn change_user(&mut self, login: &Login) -> Result<()> {
        let arguments = login.change(&self.greeting);
        self.send(command::CHANGE_USER, &arguments)?;
        login.finish_after(&mut self.stream, &self.greeting.salt)?;
        self.deprecate_eof = login.capabilities & self.greeting.capabilities & capability::DEPRECATE_EOF != 0;
        Ok(())
    }

    /// The socket, for bytes that are no command.
    pub fn stream(&mut self) -> &mut PacketStream {
        &mut self.stream
    }

    pub fn set_read_timeout(&self, timeout: Duration) -> Result<()> {
        self.stream.set_read_timeout(timeout)
    }

    /// Sends a command and reads no reply.
    pub fn send(&mut self, command: u8, arguments: &[u8]) -> Result<()> {
        let mut payload = Vec::with_capacity(1 + arguments.len());
        payload.push(command);
        payload.extend_from_slice(arguments);
        self.stream.expect_sequence(0);
        self.stream.write_payload(&payload)
    }

    /// Sends a command and reads its reply, which is an OK, an ERR or rows of text.
    pub fn command(&mut self, command: u8, arguments: &[u8]) -> Result<Reply> {
        self.send(command, arguments)?;
        self.read_reply()
    }

    /// Runs a statement that has one reply.
    pub fn query(&mut self, sql: &str) -> Result<Reply> {
        self.query_bytes(sql.as_bytes())
    }

    /// [`Connection::query`] for text that is not UTF-8.
    pub fn query_bytes(&mut self, sql: &[u8]) -> Result<Reply> {
        let reply = self.command(command::QUERY, sql)?;
        if reply.status() & status::MORE_RESULTS != 0 {
            return Err(Error::Protocol("one result expected, there are more".to_owned()));
        }
        Ok(reply)
    }

    /// Runs a statement and throws its reply away.
    pub fn run(&mut self, sql: &str) -> Result<()> {
        self.query(sql).map(drop)
    }

    /// The one value that a statement gives, as text.
    pub fn scalar(&mut self, sql: &str) -> Result<String> {
        Ok(self.query(sql)?.rows()?.scalar()?.to_string())
    }

    pub fn ping(&mut self) -> Result<OkPacket> {
        self.command(command::PING, &[])?.ok()
    }

    /// Ends the conversation as a client should.
    pub fn quit(mut self) -> Result<()> {
        self.send(command::QUIT, &[])?;
        self.stream.read_to_close().map(drop)
    }

    /// Reads the reply to a command sent before, or another result of the same command.
    pub fn read_reply(&mut self) -> Result<Reply> {
        self.read_encoded(Encoding::Text)
    }

    /// Reads the reply to a command of which several were sent at once: its sequence ids start over.
    pub fn read_pipelined_reply(&mut self) -> Result<Reply> {
        self.stream.expect_sequence(1);
        self.read_reply()
    }

    /// Sends a query and reads up to its first row; [`Connection::next_row`] gives the rows.
    pub fn start_rows(&mut self, sql: &str) -> Result<()> {
        self.send(command::QUERY, sql.as_bytes())?;
        let first = self.stream.read_payload()?;
        match first.first() {
            Some(0xff) => Err(server_error(&first)),
            Some(0) | None => Err(Error::Protocol("rows expected".to_owned())),
            Some(_) => self.read_columns(&first).map(drop),
        }
    }

    /// The next row, undecoded, in `row`; false after the last.
    pub fn next_row(&mut self, row: &mut Vec<u8>) -> Result<bool> {
        self.stream.read_payload_into(row)?;
        match row.first() {
            Some(0xff) => Err(server_error(row)),
            Some(0xfe) if self.ends_rows(row) => Ok(false),
            _ => Ok(true),
        }
    }

    pub fn prepare(&mut self, sql: &str) -> Result<Statement> {
        self.send(command::STMT_PREPARE, sql.as_bytes())?;
        self.read_statement()
    }

    /// Reads the reply to a PREPARE sent before.
    pub fn read_statement(&mut self) -> Result<Statement> {
        let first = self.stream.read_payload()?;
        if first.first() == Some(&0xff) {
            return Err(server_error(&first));
        }
        let statement = Statement::parse(&first)?;
        for count in [statement.parameters, statement.columns] {
            for _ in 0..count {
                Column::parse(&self.stream.read_payload()?)?;
            }
            if count > 0 && !self.deprecate_eof {
                self.stream.read_payload()?;
            }
        }
        Ok(statement)
    }

    /// Executes with the types of these parameters.
    pub fn execute(&mut self, statement: &Statement, parameters: &[Value]) -> Result<Reply> {
        self.command_binary(command::STMT_EXECUTE, &statement.execution(parameters))
    }

    /// Executes without sending types: those of the last execution hold, so these parameters must have them.
    pub fn execute_as_before(&mut self, statement: &Statement, parameters: &[Value]) -> Result<Reply> {
        let arguments = statement.execution_with(parameters, Types::AsBefore);
        self.command_binary(command::STMT_EXECUTE, &arguments)
    }

    /// Sends a command and reads its reply, which may have binary rows.
    pub fn command_binary(&mut self, command: u8, arguments: &[u8]) -> Result<Reply> {
        self.send(command, arguments)?;
        self.read_binary_reply()
    }

    /// Reads the reply to an EXECUTE sent before.
    pub fn read_binary_reply(&mut self) -> Result<Reply> {
        self.read_encoded(Encoding::Binary)
    }

    /// Sends a piece of a parameter; there is no reply.
    pub fn send_long_data(&mut self, statement: &Statement, parameter: u16, piece: &[u8]) -> Result<()> {
        let mut arguments = statement.id.to_le_bytes().to_vec();
        arguments.extend_from_slice(&parameter.to_le_bytes());
        arguments.extend_from_slice(piece);
        self.send(command::STMT_SEND_LONG_DATA, &arguments)
    }

    /// Forgets a statement; there is no reply.
    pub fn close(&mut self, statement: &Statement) -> Result<()> {
        self.send(command::STMT_CLOSE, &statement.id.to_le_bytes())
    }

    fn read_encoded(&mut self, encoding: Encoding) -> Result<Reply> {
        let first = self.stream.read_payload()?;
        match first.first() {
            Some(0) => OkPacket::parse(&first).map(Reply::Ok),
            Some(0xff) => Err(server_error(&first)),
            Some(0xfb) | None => Err(Error::Protocol(format!("{first:?} begins a reply"))),
            Some(_) => self.read_rows(&first, encoding).map(Reply::Rows),
        }
    }

    fn read_rows(&mut self, first: &[u8], encoding: Encoding) -> Result<ResultSet> {
        let columns = self.read_columns(first)?;
        let mut rows = Vec::new();
        let mut row = Vec::new();
        while self.next_row(&mut row)? {
            rows.push(match encoding {
                Encoding::Text => text_row(&row, columns.len())?,
                Encoding::Binary => binary_row(&row, &columns)?,
            });
        }
        Ok(ResultSet { columns, rows, status: self.end_status(&row)? })
    }

    fn read_columns(&mut self, first: &[u8]) -> Result<Vec<Column>> {
        let count = Bytes(first).length_encoded()?;
        let columns =
            (0..count).map(|_| Column::parse(&self.stream.read_payload()?)).collect::<Result<_>>()?;
        if !self.deprecate_eof {
            let end = self.stream.read_payload()?;
            if end.first() != Some(&0xfe) || end.len() > EOF_LENGTH_MAX {
                return Err(Error::Protocol(format!("an EOF after the columns expected, not {end:?}")));
            }
        }
        Ok(columns)
    }

    fn ends_rows(&self, payload: &[u8]) -> bool {
        let longest = if self.deprecate_eof { MAX_PAYLOAD - 1 } else { EOF_LENGTH_MAX };
        payload.len() <= longest
    }

    fn end_status(&self, payload: &[u8]) -> Result<u16> {
        if self.deprecate_eof {
            return Ok(OkPacket::parse(payload)?.status);
        }
        let mut bytes = Bytes(payload);
        bytes.take(3)?; // header, warnings
        bytes.u16()
    }
}
