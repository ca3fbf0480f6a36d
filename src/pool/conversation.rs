//! Speaking with a server packet by packet: for logins and small replies, which are copied.

use std::io;

use crate::net::{Buf, Socket};
use crate::protocol::packet::{Packet, PacketReader, write_packet};

use super::error::LinkError;

/// The longest packet that a server may send in a conversation.
const MAX_PACKET: usize = 1 << 20;

/// A socket with what was read from it and not used yet.
pub(super) struct Conversation<'a> {
    socket: &'a Socket,
    reader: PacketReader,
    chunk: Option<Buf>,
    /// What goes out with the next receive.
    out: Vec<u8>,
}

impl<'a> Conversation<'a> {
    /// `next_seq` is the sequence id of the server's next packet.
    pub fn new(socket: &'a Socket, next_seq: u8) -> Self {
        Self { socket, reader: PacketReader::new(next_seq, MAX_PACKET), chunk: None, out: Vec::new() }
    }

    pub fn socket(&self) -> &Socket {
        self.socket
    }

    /// The same for packets of up to `max` bytes.
    pub fn with_packets_up_to(mut self, max: usize) -> Self {
        self.reader = PacketReader::new(0, max);
        self
    }

    /// Queues a packet; [`Conversation::receive`] sends it on its way.
    pub fn send(&mut self, seq: u8, payload: &[u8]) {
        let next = write_packet(&mut self.out, seq, payload);
        self.reader.expect_seq(next);
    }

    /// The reply to come is that to a new command.
    pub fn expect_reply(&mut self) {
        self.reader.expect_seq(1);
    }

    /// The server's next packet.
    pub async fn receive(&mut self) -> Result<Packet, LinkError> {
        loop {
            if let Some(chunk) = &mut self.chunk {
                let mut rest = &chunk[..];
                let packet = self.reader.feed(&mut rest)?;
                let used = chunk.len() - rest.len();
                chunk.advance(used);
                if chunk.is_empty() {
                    self.chunk = None;
                }
                if let Some(packet) = packet {
                    return Ok(packet);
                }
            }
            if self.chunk.is_none() {
                let got = match std::mem::take(&mut self.out) {
                    out if out.is_empty() => self.socket.receive().await?,
                    out => self.socket.exchange(out, self.socket).await.map_err(io::Error::from)?,
                };
                self.chunk = Some(got.ok_or(LinkError::Closed)?);
            }
        }
    }

    /// Sends what is queued without waiting for an answer.
    pub async fn flush(&mut self) -> Result<(), LinkError> {
        let out = std::mem::take(&mut self.out);
        Ok(self.socket.send(out).await?)
    }

    /// Whether the server has sent nothing beyond what was asked for.
    pub fn is_over(&self) -> bool {
        self.chunk.is_none()
    }
}
