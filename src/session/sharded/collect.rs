//! A command whose reply is taken packet by packet instead of being passed on, since others belong to it.

use crate::net::{Buf, Payload};
use crate::pool::LinkError;
use crate::protocol::buf::Reader;
use crate::protocol::capability::Capabilities;
use crate::protocol::packet::PacketReader;
use crate::protocol::reply::Reply;
use crate::protocol::response::OkPacket;

use super::super::driver::{Session, Waited};
use super::super::failure::{Refusal, Stop};
use super::super::link::Use;
use super::super::overtime::Clock;
use super::super::registry::LinkId;
use super::super::seen::Seen;

/// What a collected reply is read with: that of links, so that nothing of it changes on the way.
pub(super) const COLLECTED: Capabilities = Capabilities::DEPRECATE_EOF;

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
    /// Sends a command on the link and gives the parts of its reply to `take`. Where that refuses one, the reply is read to its
    /// end all the same, and the server told to end it: the link stays whole.
    ///
    /// # Errors
    /// Those of the link, and what `take` refuses with. An error of the server is in `seen`.
    pub(super) async fn collect(
        &mut self,
        link: &mut Use,
        command: Payload,
        mut reply: Reply,
        seen: &mut Seen,
        take: &mut Take<'_>,
    ) -> Result<Result<(), Refusal>, Stop> {
        reply.rename(self.renames.clone());
        self.entry.on_link(LinkId::of(link.lease()));
        let mut clock = self.clock();
        let mut packets = PacketReader::new(1, usize::MAX);
        let (mut parts, mut refused, mut told) = (Parts::default(), None, false);
        let mut chunk = self.ask(link, command, &mut clock).await?;
        loop {
            let (payload, scanned) = self.scan(chunk, &mut reply, seen).map_err(before_any)?;
            let mut bytes = &payload[..];
            let mut last = None;
            while let Some(packet) = packets.feed(&mut bytes).map_err(|_| LinkError::Closed)? {
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
            if refused.is_some() && !told {
                told = true;
                self.end_on_server();
            }
            if scanned.awaits_file {
                return Err(LinkError::Closed.into());
            }
            if scanned.done {
                if self.entry.off_link() {
                    Box::pin(self.kills_land(link.lease())).await;
                }
                if clock.is_over() {
                    // It is told of by what it makes of the end.
                    self.out_of_time(&clock, payload, seen, false);
                }
                return Ok(refused.map_or(Ok(()), Err));
            }
            chunk = self.receive_in_time(link, &mut clock).await?;
            if clock.is_hopeless(self.timer.now()) {
                return Err(Refusal::backend_timeout(self.cluster().query_timeout).into());
            }
        }
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
