//! The bytes of a login: packets, the PROXY header before them, TLS around them.

use crate::config::Acceptor;
use crate::net::{Buf, Payload};
use crate::protocol::packet::{Packet, write_packet};
use crate::protocol::proxy_header::{self, Parsed, Source};

use super::super::context::Phase;
use super::authenticate::Line;
use super::clients::TooMany;
use super::denied::{Denied, Transport};
use super::door::{Door, Stage};

/// The longest packet of a login; names and attributes are far below.
pub(super) const PACKET_MAX: usize = 64 * 1024;

impl Door {
    /// The TLS handshake. What came behind the request for it is a part of it.
    pub async fn encrypt(&mut self, acceptor: &Acceptor) -> Result<(), Denied> {
        self.stage = Stage::Handshake;
        let handshake = self.socket.accept_tls(&acceptor.0, self.rest.take());
        self.waiting.await_client(self.ctx.core.timers.now());
        let shaken = self.unless_ending(handshake).await?;
        self.waiting.go_on();
        // A client that fails here has been told by an alert, if it can be told at all.
        shaken.map_err(|error| Denied::unheard(error.to_string()))?;
        self.stage = Stage::Unknown;
        self.transport = Transport::Tls { certificate: self.socket.has_peer_certificate() };
        Ok(())
    }

    /// Sends a packet and waits for the one that answers it.
    pub async fn converse(&mut self, payload: &[u8]) -> Result<Packet, Denied> {
        let out = self.encode(payload);
        self.packet(Some(out)).await
    }

    /// Waits for a packet.
    pub async fn receive(&mut self) -> Result<Packet, Denied> {
        self.packet(None).await
    }

    async fn packet(&mut self, out: Option<Vec<u8>>) -> Result<Packet, Denied> {
        self.waiting.await_client(self.ctx.core.timers.now());
        let packet = self.whole_packet(out).await?;
        self.waiting.go_on();
        Ok(packet)
    }

    async fn whole_packet(&mut self, mut out: Option<Vec<u8>>) -> Result<Packet, Denied> {
        loop {
            let got = match out.take() {
                Some(out) => {
                    let exchange = self.socket.exchange(out, &self.socket);
                    self.unless_ending(exchange).await?.map_err(std::io::Error::from)
                }
                None => self.unless_ending(self.socket.receive()).await?,
            };
            let mut chunk = match got {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Err(Denied::silent()),
                Err(error) => return Err(Denied::unheard(error.to_string())),
            };
            if self.header.is_some() && !self.take_header(&mut chunk)? {
                continue;
            }
            let mut rest = &chunk[..];
            let packet = match self.reader.feed(&mut rest) {
                Ok(packet) => packet,
                Err(error) => return Err(Denied::handshake(format!("Bad handshake: {error}"))),
            };
            let used = chunk.len() - rest.len();
            chunk.advance(used);
            if let Some(packet) = packet {
                self.seq = packet.seq.wrapping_add(1);
                self.rest = Some(chunk).filter(|chunk| !chunk.is_empty());
                return Ok(packet);
            }
        }
    }

    /// Takes a PROXY header off the front of what the client sends first. False: more has to come.
    fn take_header(&mut self, chunk: &mut Buf) -> Result<bool, Denied> {
        let Some(mut bytes) = self.header.take() else { return Ok(true) };
        let before = bytes.len();
        bytes.extend_from_slice(chunk);
        match proxy_header::parse(&bytes) {
            Ok(Parsed::Incomplete) => {
                self.header = Some(bytes);
                Ok(false)
            }
            Ok(Parsed::NotAHeader) => {
                let mut begun = bytes.get(..before).unwrap_or_default();
                match self.reader.feed(&mut begun) {
                    Ok(_) => Ok(true),
                    Err(error) => Err(Denied::handshake(format!("Bad handshake: {error}"))),
                }
            }
            Ok(Parsed::Header(header)) => {
                let address = self.peer.map(|peer| peer.ip());
                let trusted = &self.ctx.config.server.proxy_protocol;
                if !trusted.iter().any(|origin| origin.covers(address)) {
                    let message =
                        "Bad handshake: a PROXY header from an address that [server] proxy_protocol lacks";
                    return Err(Denied::handshake(message));
                }
                match header.source {
                    Source::Proxy => {}
                    Source::Inet(client) => {
                        self.peer = Some(client);
                        self.waiting.ticket().comes_from(client.ip()).map_err(Denied::too_many)?;
                    }
                    Source::Unix => self.peer = None,
                }
                chunk.advance(header.len.saturating_sub(before));
                Ok(!chunk.is_empty())
            }
            Err(error) => Err(Denied::handshake(format!("Bad handshake: {error}"))),
        }
    }

    /// A client that does not wait for the answer: what follows is no part of a login.
    pub fn nothing_behind(&self) -> Result<(), Denied> {
        match self.rest {
            None => Ok(()),
            Some(_) => Err(Denied::handshake("Bad handshake: bytes behind the packet")),
        }
    }

    pub async fn send(&mut self, payload: &[u8]) -> Result<(), Denied> {
        let bytes: Payload = self.encode(payload).into();
        self.socket.send(bytes).await.map_err(|_| Denied::silent())
    }

    fn encode(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(payload.len() + 4);
        self.seq = write_packet(&mut bytes, self.seq, payload);
        self.reader.expect_seq(self.seq);
        bytes
    }

    /// Waits for `future`, unless the core drains, or the login has to make room for others.
    pub async fn unless_ending<F: Future>(&self, future: F) -> Result<F::Output, Denied> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            std::task::Poll::Ready(output) => std::task::Poll::Ready(Ok(output)),
            std::task::Poll::Pending if self.ctx.phase() > Phase::Serving => {
                std::task::Poll::Ready(Err(Denied::shutdown()))
            }
            std::task::Poll::Pending if self.waiting.gives_way() => {
                std::task::Poll::Ready(Err(Denied::too_many(TooMany::Logins)))
            }
            std::task::Poll::Pending => std::task::Poll::Pending,
        })
        .await
    }
}

impl Line for Door {
    async fn ask(&mut self, payload: &[u8]) -> Result<Vec<u8>, Denied> {
        let packet = self.converse(payload).await?;
        self.nothing_behind()?;
        Ok(packet.payload)
    }

    async fn say(&mut self, payload: &[u8]) -> Result<(), Denied> {
        self.send(payload).await
    }
}
