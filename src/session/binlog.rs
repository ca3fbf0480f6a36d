//! COM_REGISTER_SLAVE and COM_BINLOG_DUMP: the link is a replica's from then on, and goes to nobody after it.
//!
//! A dump is a reply without an end. Nothing bounds the time between two events; what ends it is the server's last packet,
//! or that either side goes away. Acknowledgements of semi-synchronous replication go to the server as they come; any other
//! command of the client's is not read, as on a server.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::metrics::label::{BoundReason, Direction};
use crate::net::{Buf, Payload};
use crate::pool::LinkError;
use crate::protocol::binlog::is_finite;
use crate::protocol::command::Command;
use crate::protocol::packet::HEADER_LEN;
use crate::protocol::reply::Reply;

use super::context::Phase;
use super::driver::{Session, Waited};
use super::failure::{End, Refusal, Stop};
use super::input::Taken;
use super::link::{Held, NO_SQL, Use};
use super::registry::LinkId;
use super::seen::Seen;

/// Waits have no limit.
const UNLIMITED: Duration = Duration::ZERO;

/// Who has sent something, or has gone.
enum From {
    Server(io::Result<Option<Buf>>),
    Client(io::Result<Option<Buf>>),
}

/// `ER_SPECIFIC_ACCESS_DENIED_ERROR`: no dump has begun. Behind one that has, servers close the connection.
const ACCESS_DENIED: u16 = 1227;

/// What an acknowledgement of semi-synchronous replication begins with, in the place of a command byte.
const ACKNOWLEDGEMENT: u8 = 0xEF;
/// Longer than any: it has a position and the name of a file.
const ACKNOWLEDGEMENT_MAX: usize = 1024;

impl Session {
    /// COM_REGISTER_SLAVE.
    pub async fn register_replica(&mut self, command: Payload) -> Result<Payload, Stop> {
        let mut link = self.take_link(NO_SQL).await?;
        self.holds.keep_for_good(BoundReason::Replication);
        let mut reply = Reply::to_query(self.capabilities, self.status);
        let mut seen = Seen::default();
        let outcome = self.relay(&mut link, command, &mut reply, &mut seen).await;
        self.finish(link, NO_SQL, &seen, outcome)
    }

    /// COM_BINLOG_DUMP and COM_BINLOG_DUMP_GTID.
    pub async fn dump_binlog(&mut self, command: Command, bytes: Payload) -> Result<Payload, Stop> {
        let payload = bytes.get(HEADER_LEN..).unwrap_or_default();
        let finite = is_finite(command, payload).map_err(|_| Refusal::malformed())?;
        // Whoever drains need not wait for a dump that has no end.
        let until = if finite { Phase::Ending } else { Phase::Draining };
        let link = self.take_link(NO_SQL).await?;
        self.holds.keep_for_good(BoundReason::Replication);
        // A replica is no statement: its place among them is for others.
        let mut link =
            Use { held: Held::Bound(self.bind(link.held, BoundReason::Replication)), permit: None };
        let mut seen = Seen::default();
        let outcome = self.stream_events(&mut link, bytes, until, &mut seen).await;
        let last = self.finish(link, NO_SQL, &seen, outcome)?;
        self.link_ended |= seen.error != Some(ACCESS_DENIED);
        Ok(last)
    }

    async fn stream_events(
        &mut self,
        link: &mut Use,
        command: Payload,
        until: Phase,
        seen: &mut Seen,
    ) -> Result<Payload, Stop> {
        let mut reply = Reply::to_binlog_dump(self.capabilities, self.status);
        self.entry.on_link(LinkId::of(link.lease()));
        self.tell_backend(link, command).await?;
        loop {
            let chunk = self.next_events(link, until, &reply).await?;
            let (payload, scanned) = self.scan(chunk, &mut reply, seen)?;
            if scanned.done {
                if self.entry.off_link() {
                    Box::pin(self.kills_land(link.lease())).await;
                }
                return Ok(payload);
            }
            if !payload.is_empty() {
                // Until the client has taken these, nothing more is received than what is already here.
                self.send(payload).await?;
            }
        }
    }

    /// The next bytes of the server's.
    async fn next_events(&mut self, link: &mut Use, until: Phase, reply: &Reply) -> Result<Buf, Stop> {
        loop {
            let from = match self.wait(UNLIMITED, until, self.either(link)).await {
                Ok(from) => from,
                Err(Waited::Ended) => return Err(self.ended().behind(reply).into()),
                Err(_) => return Err(self.unread().into()),
            };
            let lost: Refusal = match from {
                From::Server(Ok(Some(chunk))) => return Ok(chunk),
                From::Server(Ok(None)) => LinkError::Closed.into(),
                From::Server(Err(error)) => LinkError::Io(error).into(),
                From::Client(Ok(Some(chunk))) => {
                    self.count(Direction::ClientIn, chunk.len());
                    let begun = chunk.get(HEADER_LEN).is_none_or(|first| *first == ACKNOWLEDGEMENT);
                    self.input.push(chunk);
                    if begun || self.input.has_begun() {
                        self.acknowledge(link).await?;
                    }
                    continue;
                }
                From::Client(Ok(None)) => return Err(End::Quit.into()),
                From::Client(Err(error)) => return Err(End::Lost(error).into()),
            };
            return Err(lost.behind(reply).into());
        }
    }

    /// Passes acknowledgements on, each when all of it is here.
    async fn acknowledge(&mut self, link: &mut Use) -> Result<(), Stop> {
        loop {
            match self.input.take(ACKNOWLEDGEMENT_MAX, ACKNOWLEDGEMENT_MAX) {
                Ok(Taken::Nothing) => return Ok(()),
                Ok(Taken::Command(command)) if command.get(HEADER_LEN) == Some(&ACKNOWLEDGEMENT) => {
                    self.tell_backend(link, command).await?;
                }
                // Behind an acknowledgement there is nothing left to say but goodbye.
                Ok(Taken::Command(_) | Taken::Oversized(_)) | Err(_) => return Err(End::Quit.into()),
            }
        }
    }

    /// What comes first: something of the server's, or of the client's. Once the client has sent a command
    /// behind this one, only whether it is still there is of interest.
    async fn either(&self, link: &mut Use) -> From {
        let mut server = pin!(link.lease().socket.receive());
        let mut client = pin!(self.socket.receive());
        let mut gone = pin!(self.socket.closed());
        std::future::poll_fn(|cx| {
            if let Poll::Ready(got) = server.as_mut().poll(cx) {
                return Poll::Ready(From::Server(got));
            }
            // The beginning of an acknowledgement is no command.
            match !self.input.has_chunk() {
                true => client.as_mut().poll(cx).map(From::Client),
                false => gone.as_mut().poll(cx).map(|()| From::Client(Ok(None))),
            }
        })
        .await
    }
}
