//! What may lie between the bytes of a connection and those of its user: TLS, and above it MySQL's compressed protocol.
//! A plain socket has neither.
//!
//! Received bytes are decoded when somebody asks for more, one buffer at a time, so that a layer holds no more than one
//! buffer's content and what is missing from its last record. What is sent is encoded when its operation is made.

use std::collections::VecDeque;
use std::io;

use rustls::Connection;

use crate::protocol::compression::{Compression, Numbering, Progress};

use super::buffers::{Buf, HEADROOM};
use super::payload::Payload;
use super::tls::{Decoded, Tls};

/// Bytes that come out of compression at a time.
const CHUNK: usize = 16 * 1024;

/// How the bytes of a layered socket ended.
enum End {
    Closed,
    /// The peer broke the rules of a layer, or says that this side did.
    Failed(String),
}

/// The layers of one socket.
#[derive(Default)]
pub(super) struct Layers {
    tls: Option<Tls>,
    compression: Option<(Compression, Numbering)>,
    /// What has come out of TLS, or off the connection, and is compressed.
    compressed: VecDeque<Buf>,
    /// The last piece out of compression was cut for its length.
    cut: bool,
    /// What has been decoded and not been received.
    ready: VecDeque<Buf>,
    end: Option<End>,
}

impl Layers {
    pub fn tls(connection: Connection) -> Self {
        Self { tls: Some(Tls::new(connection)), ..Self::default() }
    }

    /// Puts compression on what has come and was not received, and on all that follows.
    pub fn compress(&mut self, compression: Compression, numbering: Numbering) {
        self.compressed.append(&mut self.ready);
        self.compression = Some((compression, numbering));
    }

    /// What the client sends next is a file that the server has asked for, not a command.
    pub fn file_begins(&mut self) {
        if let Some((compression, numbering)) = &mut self.compression {
            compression.file_begins();
            numbering.file_begins();
        }
    }

    pub fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(Tls::is_handshaking)
    }

    pub fn has_peer_certificate(&self) -> bool {
        self.tls.as_ref().is_some_and(Tls::has_peer_certificate)
    }

    /// Takes in what has come on the connection.
    pub fn arrive(&mut self, raw: Buf) {
        if self.end.is_some() {
            return;
        }
        let Some(tls) = &mut self.tls else { return self.compressed.push_back(raw) };
        let mut plain = Vec::with_capacity(HEADROOM + raw.len());
        plain.resize(HEADROOM, 0);
        match tls.decode(&raw, &mut plain) {
            Ok(Decoded::More) => {}
            Ok(Decoded::Closed) => self.end = Some(End::Closed),
            Err(reason) => self.end = Some(End::Failed(format!("TLS: {reason}"))),
        }
        if plain.len() > HEADROOM {
            let above = if self.compression.is_some() { &mut self.compressed } else { &mut self.ready };
            above.push_back(Buf::owned(plain));
        }
    }

    /// The connection has ended.
    pub fn arrive_end(&mut self) {
        self.end.get_or_insert(End::Closed);
    }

    /// What the next receive gives, if that is known.
    pub fn next(&mut self) -> Option<io::Result<Option<Buf>>> {
        if let Some(buf) = self.ready.pop_front().or_else(|| self.decompress()) {
            return Some(Ok(Some(buf)));
        }
        self.failure().map_or_else(|| self.end.as_ref().map(|_| Ok(None)), |error| Some(Err(error)))
    }

    /// A piece of one compressed packet. Never of two: what answers a packet has the sequence id after its own.
    fn decompress(&mut self) -> Option<Buf> {
        let (compression, numbering) = self.compression.as_mut()?;
        while self.cut || !self.compressed.is_empty() {
            let mut plain = vec![0; HEADROOM + CHUNK];
            let mut front = self.compressed.front_mut();
            let mut input = front.as_deref().map_or(&[][..], |front| front);
            let len = input.len();
            let decoded = compression.decode(&mut input, plain.get_mut(HEADROOM..).unwrap_or_default());
            let used = len - input.len();
            if let Some(front) = &mut front {
                front.advance(used);
            }
            if front.is_some_and(|front| front.is_empty()) {
                self.compressed.pop_front();
            }
            match decoded {
                Ok(decoded) => {
                    self.cut = decoded.progress == Progress::NeedsOutput;
                    if decoded.written > 0 {
                        plain.truncate(HEADROOM + decoded.written);
                        if let Some(last) = compression.take_reply_begun() {
                            numbering.reply_begins(last);
                        }
                        numbering.receive(plain.get_mut(HEADROOM..).unwrap_or_default());
                        return Some(Buf::owned(plain));
                    }
                }
                Err(error) => {
                    self.end = Some(End::Failed(error.to_string()));
                    self.cut = false;
                    self.compressed.clear();
                }
            }
        }
        None
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

    /// Whether something has come that was not received, be it only a part of a compressed packet.
    pub fn has_something(&self) -> bool {
        let waits = !self.ready.is_empty() || !self.compressed.is_empty() || self.end.is_some();
        waits || self.compression.as_ref().is_some_and(|(compression, _)| !compression.is_between_packets())
    }

    /// The bytes that carry `payload` on the connection. None for less than the header of a command, which compression
    /// holds back until the rest of it comes.
    pub fn encode(&mut self, payload: Payload) -> Payload {
        let packets = match &mut self.compression {
            None => payload,
            Some((compression, numbering)) => {
                numbering.send(&payload);
                let mut packets = Vec::with_capacity(payload.len() / 2 + 64);
                compression.encode(&payload, &mut packets);
                packets.into()
            }
        };
        match &mut self.tls {
            None => packets,
            Some(tls) => tls.encode(&packets).into(),
        }
    }

    /// What has to be sent although nobody sends anything.
    pub fn owed(&mut self) -> Vec<u8> {
        self.tls.as_mut().map(|tls| tls.owed(1024)).unwrap_or_default()
    }

    /// The goodbye of the layers; empty after a failure, of which the peer has been told.
    pub fn close(&mut self) -> Vec<u8> {
        match (&self.end, &mut self.tls) {
            (Some(End::Failed(_)), _) | (_, None) => Vec::new(),
            (_, Some(tls)) if tls.is_handshaking() => Vec::new(),
            (_, Some(tls)) => tls.close(),
        }
    }
}
