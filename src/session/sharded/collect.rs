//! A command whose reply is taken packet by packet instead of being passed on, since others belong to it.

use std::cell::Cell;
use std::task::Poll;

use crate::net::{Buf, Payload};
use crate::pool::LinkError;
use crate::protocol::buf::Reader;
use crate::protocol::capability::Capabilities;
use crate::protocol::packet::PacketReader;
use crate::protocol::reply::Reply;
use crate::protocol::response::{ErrPacket, OkPacket};

use super::super::driver::{Session, Waited};
use super::super::failure::{End, Refusal, Stop};
use super::super::link::Use;
use super::super::overtime::Clock;
use super::super::registry::LinkId;
use super::super::seen::Seen;
use super::beside::Gathering;

/// What a collected reply is read with: that of links, so that nothing of it changes on the way.
const COLLECTED: Capabilities = Capabilities::DEPRECATE_EOF;

/// A packet of a reply, without its header.
#[derive(Debug)]
pub(super) enum Part {
    /// The definition of a column.
    Column(Vec<u8>),
    /// All columns are there.
    Rows,
    Row(Vec<u8>),
    /// The end of a result without rows.
    Ok(Vec<u8>),
}

/// How a command is said whose reply is collected.
pub(super) struct Asking<'a> {
    pub reply: Reply,
    pub clock: Clock,
    /// The read that it is a part of: what ends that ends it.
    pub of: Option<&'a Gathering>,
}

/// How such a reply ended.
#[derive(Default)]
pub(super) struct Collected {
    /// What it was refused with by whoever took it.
    pub refused: Option<Refusal>,
    /// Somebody has ended the statement, which this part may have been too quick for.
    pub killed: bool,
}

/// Who takes the parts of a reply.
pub(super) type Take<'a> = dyn FnMut(Part) -> Result<(), Refusal> + 'a;

/// Tells what the packets of a reply are. An error, and the end of rows, are for [`Seen`] alone.
#[derive(Debug, Default)]
struct Parts {
    /// Columns that are still to come; `None` in front of their number.
    columns: Option<u64>,
}

impl Parts {
    /// Whether this is a part that somebody takes.
    fn of(&mut self, payload: Vec<u8>, failed: bool, take: &mut Take<'_>) -> Result<(), Refusal> {
        match (self.columns, payload.first()) {
            (None, Some(&OkPacket::HEADER)) => take(Part::Ok(payload)),
            (None, _) => {
                let count = Reader::new(&payload).lenenc_int().unwrap_or_default();
                if !failed {
                    self.columns = Some(count);
                }
                Ok(())
            }
            (Some(0), _) => take(Part::Row(payload)),
            (Some(left), _) => {
                self.columns = Some(left - 1);
                take(Part::Column(payload))?;
                if left == 1 { take(Part::Rows) } else { Ok(()) }
            }
        }
    }
}

impl Session {
    /// The reply to a command that is collected.
    pub(super) fn collected_reply(&self) -> Reply {
        let reports = self.capabilities & Capabilities::MARIADB_PROGRESS;
        Reply::to_execute(COLLECTED | reports, self.status, false)
    }

    /// Sends a command on the link and gives the parts of its reply to `take`. Where that refuses one, the reply is read to its
    /// end all the same, and the server told to end it: the link stays whole.
    ///
    /// # Errors
    /// Those of the link, and what `take` refuses with. An error of the server is in `seen`.
    pub(super) async fn collect(
        &mut self,
        link: &mut Use,
        command: Payload,
        Asking { mut reply, mut clock, of }: Asking<'_>,
        seen: &mut Seen,
        take: &mut Take<'_>,
    ) -> Result<Collected, Stop> {
        reply.rename(self.renames.clone());
        self.entry.on_link(LinkId::of(link.lease()));
        let mut packets = PacketReader::new(1, usize::MAX);
        let (mut parts, mut refused, told) = (Parts::default(), None, Cell::new(false));
        let mut chunk = self.unless_ended(of, &told, self.ask(link, command, &mut clock)).await?;
        loop {
            let (payload, scanned) = self.scan(chunk, &mut reply, seen).map_err(before_any)?;
            let mut bytes = &payload[..];
            let mut last = None;
            while let Some(packet) = packets.feed(&mut bytes).map_err(|_| LinkError::Closed)? {
                if ErrPacket::is_progress(&packet.payload) {
                    continue;
                }
                // The last packet ends the reply, unless it is all of it.
                if let Some(before) = last.replace(packet.payload)
                    && refused.is_none()
                {
                    refused = parts.of(before, false, take).err();
                }
            }
            if let Some(payload) = last {
                let ends = scanned.done && (seen.error.is_some() || parts.columns.is_some());
                if !ends && refused.is_none() {
                    refused = parts.of(payload, seen.error.is_some(), take).err();
                }
            }
            if refused.is_some() && !told.replace(true) {
                self.end_on_server();
            }
            if scanned.awaits_file {
                return Err(LinkError::Closed.into());
            }
            if scanned.done {
                let killed = self.entry.off_link();
                if killed {
                    Box::pin(self.kills_land(link.lease())).await;
                }
                let killed = killed && !told.get() && !clock.is_over();
                if clock.is_over() {
                    // It is told of by what it makes of the end.
                    self.out_of_time(&clock, payload, seen, false);
                }
                return Ok(Collected { refused, killed });
            }
            chunk = self.unless_ended(of, &told, self.receive_in_time(link, &mut clock)).await?;
            if clock.is_hopeless(self.timer.now()) {
                return Err(Refusal::backend_timeout(self.cluster().query_timeout).into());
            }
        }
    }

    /// Waits for the server. When the read fails elsewhere the server is told to end this part; when the client has gone nobody
    /// waits for it.
    async fn unless_ended(
        &self,
        of: Option<&Gathering>,
        told: &Cell<bool>,
        answer: impl Future<Output = Result<Buf, Stop>>,
    ) -> Result<Buf, Stop> {
        let mut answer = std::pin::pin!(answer);
        let watched = std::future::poll_fn(|cx| {
            let Some(gathering) = of else { return answer.as_mut().poll(cx) };
            if gathering.has_failed() && !told.replace(true) {
                self.end_on_server();
            }
            match answer.as_mut().poll(cx) {
                Poll::Pending if self.client_is_gone(cx) => {
                    self.end_on_server();
                    Poll::Ready(Err(End::Quit.into()))
                }
                polled => polled,
            }
        });
        watched.await
    }

    async fn receive_in_time(&self, link: &mut Use, clock: &mut Clock) -> Result<Buf, Stop> {
        let received = self.wait_in_time(clock, link.lease().socket.receive()).await;
        match received {
            Ok(Ok(Some(chunk))) => Ok(chunk),
            Ok(Ok(None)) => Err(LinkError::Closed.into()),
            Ok(Err(error)) => Err(LinkError::Io(error).into()),
            Err(Waited::Ended) => Err(self.ended().into()),
            Err(_) => Err(Refusal::backend_timeout(self.cluster().query_timeout).into()),
        }
    }
}

/// The client has nothing of this reply: an error is the first packet that it gets.
fn before_any(stop: Stop) -> Stop {
    match stop {
        Stop::Refuse(refusal) => Stop::Refuse(Box::new(Refusal { seq: Some(1), fatal: false, ..*refusal })),
        end => end,
    }
}
