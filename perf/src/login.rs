//! A login and what goes before a load: statements one after the other, each waited for.
//!
//! Only accounts with an empty password can be used: then no authentication plugin asks for more than an empty answer.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use crate::wire::{self, ReplyScanner, Scanned, capability, command};

const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection that is logged in; it still blocks.
pub(crate) struct LoggedIn {
    pub stream: TcpStream,
    pub connection_id: u32,
    pub deprecate_eof: bool,
}

impl LoggedIn {
    /// Logs in on 127.0.0.1, in the character set utf8mb4.
    pub fn log_in(port: u16, user: &str, database: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOGIN_TIMEOUT))?;
        let greeting = read_packet(&mut stream)?;
        let connection_id =
            wire::greeting_connection_id(&greeting).ok_or_else(|| refused("no greeting", &greeting))?;
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
        payload.extend_from_slice(user.as_bytes());
        payload.extend_from_slice(&[0, 0]); // end of the user; empty answer to the challenge
        payload.extend_from_slice(database.as_bytes());
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
        Ok(Self { stream, connection_id, deprecate_eof: flags & capability::DEPRECATE_EOF != 0 })
    }

    /// Runs a statement and throws its reply away.
    pub fn run(&mut self, sql: &str) -> io::Result<()> {
        send_packet(&mut self.stream, 0, &[&[command::QUERY], sql.as_bytes()].concat())?;
        let mut scanner = ReplyScanner::First;
        loop {
            let packet = read_packet(&mut self.stream)?;
            match scanner.take(&packet, self.deprecate_eof) {
                Scanned::More => {}
                Scanned::Complete => return Ok(()),
                Scanned::Failed => return Err(refused(sql, &packet)),
            }
        }
    }

    /// Prepares a statement and returns its id.
    pub fn prepare(&mut self, sql: &str) -> io::Result<[u8; 4]> {
        send_packet(&mut self.stream, 0, &[&[command::STMT_PREPARE], sql.as_bytes()].concat())?;
        let reply = read_packet(&mut self.stream)?;
        let &[0, a, b, c, d, columns_low, columns_high, parameters_low, parameters_high, ..] = &reply[..]
        else {
            return Err(refused("PREPARE refused", &reply));
        };
        for count in [[parameters_low, parameters_high], [columns_low, columns_high]].map(u16::from_le_bytes)
        {
            let end = u16::from(count > 0 && !self.deprecate_eof);
            for _ in 0..count + end {
                read_packet(&mut self.stream)?;
            }
        }
        Ok([a, b, c, d])
    }
}

/// COM_STMT_EXECUTE with one 32-bit integer, which is the request's last four bytes.
pub(crate) fn execute_request(id: [u8; 4]) -> Vec<u8> {
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
