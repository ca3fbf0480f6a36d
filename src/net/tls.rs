//! TLS on a socket: rustls driven on buffers, records in and plain bytes out.

use std::io::{self, Read, Write};

use rustls::Connection;

/// Where the decoding of received bytes has come.
pub(super) enum Decoded {
    More,
    /// The peer has said that nothing follows.
    Closed,
}

/// One side of a TLS connection.
pub(super) struct Tls {
    connection: Box<Connection>,
}

impl Tls {
    pub fn new(mut connection: Connection) -> Self {
        // What is written goes out with the operation that it was written for, so nothing piles up here.
        connection.set_buffer_limit(None);
        Self { connection: Box::new(connection) }
    }

    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    pub fn has_peer_certificate(&self) -> bool {
        self.connection.peer_certificates().is_some_and(|chain| !chain.is_empty())
    }

    /// Takes `raw` in, and appends to `plain` what it has in plain bytes.
    ///
    /// # Errors
    /// What the peer has done wrong, or accuses this side of. An alert that tells the peer is then among the bytes owed.
    pub fn decode(&mut self, mut raw: &[u8], plain: &mut Vec<u8>) -> Result<Decoded, String> {
        while !raw.is_empty() {
            if self.connection.read_tls(&mut raw).map_err(|error| error.to_string())? == 0 {
                return Ok(Decoded::Closed);
            }
            let state = self.connection.process_new_packets().map_err(|error| error.to_string())?;
            let (at, more) = (plain.len(), state.plaintext_bytes_to_read());
            if more > 0 {
                plain.resize(at + more, 0);
                let read = self.connection.reader().read_exact(plain.get_mut(at..).unwrap_or_default());
                read.map_err(|error| error.to_string())?;
            }
            if state.peer_has_closed() {
                return Ok(Decoded::Closed);
            }
        }
        Ok(Decoded::More)
    }

    /// Records with `plain` in them, after those that are owed.
    pub fn encode(&mut self, plain: &[u8]) -> Vec<u8> {
        // Nothing fails where nothing is limited; a connection that is closed takes no more bytes.
        let written = self.connection.writer().write_all(plain);
        debug_assert!(written.is_ok(), "{written:?}");
        self.owed(plain.len() + plain.len() / 256 + 64)
    }

    /// Tells the peer that nothing follows.
    pub fn close(&mut self) -> Vec<u8> {
        self.connection.send_close_notify();
        self.owed(64)
    }

    /// What has to be sent without anybody asking for it: parts of the handshake, alerts. After the handshake it may
    /// wait for the next [`Tls::encode`].
    pub fn owed(&mut self, about: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while self.connection.wants_write() {
            out.reserve(about);
            let written: io::Result<usize> = self.connection.write_tls(&mut out);
            debug_assert!(written.is_ok(), "memory takes everything");
            if !matches!(written, Ok(1..)) {
                break;
            }
        }
        out
    }
}
