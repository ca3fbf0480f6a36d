//! What may lie between the bytes of a connection and those of its user. A plain socket has none of it.
//!
//! Received bytes are decoded when somebody asks for more, one buffer at a time, so that a layer holds no more than one
//! buffer's content and what is missing from its last record. What is sent is encoded when its operation is made.

use std::collections::VecDeque;
use std::io;

use rustls::Connection;

use super::buffers::{Buf, HEADROOM};
use super::payload::Payload;
use super::tls::{Decoded, Tls};

/// How the bytes of a layered socket ended.
enum End {
    Closed,
    /// The peer broke the rules of a layer, or says that this side did.
    Failed(String),
}

/// The layers of one socket.
pub(super) struct Layers {
    tls: Tls,
    /// What has been decoded and not been received.
    ready: VecDeque<Buf>,
    end: Option<End>,
}

impl Layers {
    pub fn tls(connection: Connection) -> Self {
        Self { tls: Tls::new(connection), ready: VecDeque::new(), end: None }
    }

    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    pub fn has_peer_certificate(&self) -> bool {
        self.tls.has_peer_certificate()
    }

    /// Takes in what has come on the connection.
    pub fn arrive(&mut self, raw: &[u8]) {
        if self.end.is_some() {
            return;
        }
        let mut plain = Vec::with_capacity(HEADROOM + raw.len());
        plain.resize(HEADROOM, 0);
        match self.tls.decode(raw, &mut plain) {
            Ok(Decoded::More) => {}
            Ok(Decoded::Closed) => self.end = Some(End::Closed),
            Err(reason) => self.end = Some(End::Failed(format!("TLS: {reason}"))),
        }
        if plain.len() > HEADROOM {
            self.ready.push_back(Buf::owned(plain));
        }
    }

    /// The connection has ended.
    pub fn arrive_end(&mut self) {
        self.end.get_or_insert(End::Closed);
    }

    /// What the next receive gives, if that is known.
    pub fn next(&mut self) -> Option<io::Result<Option<Buf>>> {
        if let Some(buf) = self.ready.pop_front() {
            return Some(Ok(Some(buf)));
        }
        self.failure().map_or_else(|| self.end.as_ref().map(|_| Ok(None)), |error| Some(Err(error)))
    }

    pub fn has_ended(&self) -> bool {
        matches!(self.end, Some(End::Closed))
    }

    /// Why nothing can be received any more, if that is no orderly end.
    pub fn failure(&self) -> Option<io::Error> {
        match &self.end {
            Some(End::Failed(reason)) => Some(io::Error::new(io::ErrorKind::InvalidData, reason.clone())),
            Some(End::Closed) | None => None,
        }
    }

    /// Whether the next receive is ready at once.
    pub fn has_something(&self) -> bool {
        !self.ready.is_empty() || self.end.is_some()
    }

    /// The bytes that carry `payload` on the connection.
    pub fn encode(&mut self, payload: &Payload) -> Vec<u8> {
        self.tls.encode(payload)
    }

    /// What has to be sent although nobody sends anything.
    pub fn owed(&mut self) -> Vec<u8> {
        self.tls.owed(1024)
    }

    /// The goodbye of the layers; empty after a failure, of which the peer has been told.
    pub fn close(&mut self) -> Vec<u8> {
        match self.end {
            Some(End::Failed(_)) => Vec::new(),
            _ if self.is_handshaking() => Vec::new(),
            _ => self.tls.close(),
        }
    }
}
