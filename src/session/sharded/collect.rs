//! A command whose reply is taken instead of being passed on, since others belong to it.

use std::cell::Cell;
use std::task::Poll;

use crate::net::{Buf, Payload};
use crate::pool::LinkError;
use crate::protocol::capability::Capabilities;
use crate::protocol::packet::write_packet;
use crate::protocol::reply::Reply;
use crate::protocol::result_reader::{ResultPart, ResultReader};
use crate::protocol::rows::RowCutter;

use super::super::driver::{Session, Waited};
use super::super::failure::{End, Refusal, Stop};
use super::super::link::Use;
use super::super::overtime::Clock;
use super::super::registry::LinkId;
use super::super::seen::Seen;
use super::gathering::Gathering;

/// What a collected reply is read with: that of links, so that nothing of it changes on the way.
const COLLECTED: Capabilities = Capabilities::DEPRECATE_EOF.union(Capabilities::LOCAL_FILES);

/// A packet of a reply, without its header. An error, and the end of rows, are for [`Seen`] alone.
#[derive(Debug)]
pub(super) enum Part<'a> {
    /// The definition of a column.
    Column(Vec<u8>),
    Row(&'a [u8]),
    /// The end of a result without rows.
    Ok(Vec<u8>),
}

/// How a command is said whose reply is taken.
pub(super) struct Asking<'a> {
    pub reply: Reply,
    pub clock: Clock,
    pub of: Option<Of<'a>>,
    /// What the server gets where it asks for a file.
    pub file: Option<Vec<u8>>,
}

/// The read that a command is a part of: what ends that ends it, and where its rows are not wanted yet it waits.
pub(super) struct Of<'a> {
    pub gathering: &'a Gathering,
    pub lane: usize,
    /// The server was told to end it.
    pub told: &'a Cell<bool>,
}

/// How such a reply ended.
#[derive(Default)]
pub(super) struct Collected {
    /// What it was refused with by whoever took it.
    pub refused: Option<Refusal>,
    /// Somebody has ended the statement, which this part may have been too quick for.
    pub killed: bool,
}

/// Who takes the packets of a reply.
pub(super) type Take<'a> = dyn FnMut(Part<'_>) -> Result<(), Refusal> + 'a;

/// Who takes its bytes, as they come. What that refuses is read to its end all the same.
pub(super) type TakeBytes<'a> = dyn FnMut(Payload) -> Result<Option<Refusal>, LinkError> + 'a;

impl Session {
    /// The reply to a command that is collected.
    pub(super) fn collected_reply(&self) -> Reply {
        let reports = self.capabilities & Capabilities::MARIADB_PROGRESS;
        Reply::to_execute(COLLECTED | reports, self.status, false)
    }

    /// Sends a command on the link and gives the packets of its reply to `take`.
    ///
    /// # Errors
    /// As [`Session::take_reply`].
    pub(super) async fn collect(
        &self,
        link: &mut Use,
        command: Payload,
        clock: Clock,
        seen: &mut Seen,
        take: &mut Take<'_>,
    ) -> Result<Collected, Stop> {
        let (mut reader, mut cutter) = (ResultReader::default(), RowCutter::default());
        let take: &mut TakeBytes<'_> = &mut |bytes| {
            let mut at = 0;
            while let Some(part) = reader.next(&bytes, &mut at)? {
                let taken = match part {
                    ResultPart::Column(column) => take(Part::Column(column)),
                    ResultPart::Columns => Ok(()),
                    ResultPart::Rows(region) => {
                        let rows = bytes.get(region.range).unwrap_or_default();
                        let before = region.before.bytes();
                        each_row(&mut cutter, before, |_| Ok(()))
                            .and_then(|()| each_row(&mut cutter, rows, |row| take(Part::Row(row))))
                    }
                    ResultPart::Ok(ok) => take(Part::Ok(ok)),
                    ResultPart::End(_) => Ok(()),
                };
                if let Err(refusal) = taken {
                    return Ok(Some(refusal));
                }
            }
            Ok(None)
        };
        let asking = Asking { reply: self.collected_reply(), clock, of: None, file: None };
        self.take_reply(link, command, asking, seen, take).await
    }

    /// The same for one of several commands that a statement is. Why it fails, if the server does not say so.
    pub(super) async fn collect_next(
        &mut self,
        link: &mut Use,
        command: Payload,
        clock: &Clock,
        seen: &mut Seen,
        take: &mut Take<'_>,
    ) -> Result<Option<Refusal>, Stop> {
        let Some(clock) = clock.of_next_part(self.timer.now()) else {
            return Ok(Some(self.took_too_long()));
        };
        let warnings = std::mem::take(&mut seen.warnings);
        let collected = self.collect(link, command, clock, seen, take).await?;
        self.note_warnings(link, seen).await?;
        seen.warnings = seen.warnings.saturating_add(warnings);
        let killed = (collected.killed && !seen.has_failed()).then(Refusal::interrupted);
        Ok(collected.refused.or(killed))
    }

    /// Sends a command on the link and gives its reply to `take`. Where that refuses it, the reply is read to its end all the
    /// same, and the server told to end it: the link stays whole.
    ///
    /// # Errors
    /// Those of the link, and what `take` refuses with. An error of the server is in `seen`.
    pub(super) async fn take_reply(
        &self,
        link: &mut Use,
        command: Payload,
        Asking { mut reply, mut clock, of, mut file }: Asking<'_>,
        seen: &mut Seen,
        take: &mut TakeBytes<'_>,
    ) -> Result<Collected, Stop> {
        reply.rename(self.renames.clone());
        self.entry.on_link(LinkId::of(link.lease()));
        let told_here = Cell::new(false);
        let told = of.as_ref().map_or(&told_here, |of| of.told);
        let mut refused = None;
        let mut chunk = self.unless_ended(of.as_ref(), self.ask(link, command, &mut clock)).await?;
        loop {
            let (payload, scanned) = self.scan(chunk, &mut reply, seen).map_err(before_any)?;
            if scanned.awaits_file {
                let Some(contents) = file.take() else { return Err(LinkError::Closed.into()) };
                let bytes = file_of(&contents, &mut reply)?;
                link.lease().socket.file_begins();
                chunk = self.ask(link, bytes, &mut clock).await?;
                continue;
            }
            // By what it ends with a statement tells that its time was over.
            let last = (scanned.done && clock.is_over()).then(|| payload.to_vec());
            if refused.is_none() {
                refused = take(payload)?;
            }
            if refused.is_some() && !told.replace(true) {
                self.end_on_server();
            }
            if scanned.done {
                let killed = self.entry.off_link();
                if killed {
                    Box::pin(self.kills_land(link.lease())).await;
                }
                let killed = killed && !told.get() && !clock.is_over();
                if let Some(last) = last
                    && !of.is_some_and(|of| of.gathering.has_failed())
                {
                    self.out_of_time(&clock, last.into(), seen, false);
                }
                return Ok(Collected { refused, killed });
            }
            if let Some(of) = &of {
                self.wait_for_room(of, &mut clock).await?;
            }
            chunk = self.unless_ended(of.as_ref(), self.receive_in_time(link, &mut clock)).await?;
            if clock.is_hopeless(self.timer.now()) {
                return Err(Refusal::backend_timeout(self.cluster().query_timeout).into());
            }
        }
    }

    /// Waits until more of this part is wanted.
    async fn wait_for_room(&self, of: &Of<'_>, clock: &mut Clock) -> Result<(), Stop> {
        match self.wait_in_time(clock, of.gathering.room(of.lane)).await {
            Ok(()) => Ok(()),
            Err(Waited::Ended) => Err(self.ended().into()),
            // It is the client that did not take it in time: what comes is not for it any more.
            Err(_) => {
                let limit = self.cluster().query_timeout;
                of.gathering.fail(Refusal::out_of_time(limit, self.is_on_mariadb()));
                Ok(())
            }
        }
    }

    /// Waits for the server. When the read fails elsewhere the server is told to end this part; when the client has gone nobody
    /// waits for it.
    async fn unless_ended(
        &self,
        of: Option<&Of<'_>>,
        answer: impl Future<Output = Result<Buf, Stop>>,
    ) -> Result<Buf, Stop> {
        let mut answer = std::pin::pin!(answer);
        let watched = std::future::poll_fn(|cx| {
            let Some(of) = of else { return answer.as_mut().poll(cx) };
            if of.gathering.has_failed() && !of.told.replace(true) {
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

/// Has somebody take the rows that end in these bytes.
pub(super) fn each_row<E>(
    cutter: &mut RowCutter,
    bytes: &[u8],
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut at = 0;
    while let Some(place) = cutter.next(bytes, &mut at) {
        take(place.of(bytes, cutter))?;
    }
    Ok(())
}

/// A file as the link takes it, behind which the reply goes on.
fn file_of(contents: &[u8], reply: &mut Reply) -> Result<Payload, LinkError> {
    /// Servers read a packet as a whole.
    const PIECE: usize = 1 << 16;
    let mut file = reply.local_file();
    let mut bytes = Vec::with_capacity(contents.len() + contents.len() / PIECE * 8 + 16);
    let mut seq = file.next_seq();
    for piece in contents.chunks(PIECE).chain([&[][..]]) {
        seq = write_packet(&mut bytes, seq, piece);
    }
    file.pass(&mut bytes).map_err(|_| LinkError::Closed)?;
    reply.resume(&file);
    Ok(bytes.into())
}

/// The client has nothing of this reply: an error is the first packet that it gets.
fn before_any(stop: Stop) -> Stop {
    match stop {
        Stop::Refuse(refusal) => Stop::Refuse(Box::new(Refusal { seq: Some(1), fatal: false, ..*refusal })),
        end => end,
    }
}
