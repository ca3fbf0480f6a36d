//! Passing a command on, and its reply back.
//!
//! Rows go from the backend's socket to the client's in the buffers they arrived in. A receive on the link is queued
//! together with the send to the client, so a reply of any size is in flight with one buffer on its way and one
//! arriving; a client that stops reading stops the backend.

use std::pin::Pin;
use std::task::Context;

use crate::metrics::label::Direction;
use crate::net::{Buf, Exchange, ExchangeError, Payload};
use crate::pool::{Link, LinkError};
use crate::protocol::reply::{Reply, Scanned};

use super::driver::{Session, Waited};
use super::failure::{End, Refusal, Stop};
use super::link::Use;
use super::overtime::Clock;
use super::registry::LinkId;
use super::seen::Seen;

impl Session {
    /// Sends a whole command on the link and passes on its reply but for the last chunk, which is returned: it goes
    /// to the client together with the receive of the next command.
    pub async fn relay(
        &mut self,
        link: &mut Use,
        command: Payload,
        reply: &mut Reply,
        seen: &mut Seen,
    ) -> Result<Payload, Stop> {
        self.entry.on_link(LinkId::of(link.lease()));
        reply.track(self.tracked.clone());
        reply.rename(self.renames.clone());
        let mut clock = self.clock();
        let mut passed = false;
        let mut chunk = self.ask(link, command, &mut clock).await?;
        loop {
            let (payload, scanned) = self.scan(chunk, reply, seen)?;
            if scanned.done {
                if self.entry.off_link() {
                    Box::pin(self.kills_land(link.lease())).await;
                }
                if clock.is_over() {
                    return Ok(self.out_of_time(&clock, payload, seen, passed));
                }
                return Ok(payload);
            }
            passed |= !payload.is_empty();
            chunk = match scanned.awaits_file {
                false => self.pass_on(link, payload, reply, &mut clock).await?,
                true => Box::pin(self.pass_file(link, payload, reply, &mut clock)).await?,
            };
            if clock.is_hopeless(self.timer.now()) {
                return Err(Refusal::backend_timeout(self.cluster().query_timeout).behind(reply).into());
            }
        }
    }

    /// Sends bytes to the backend; returns the first that come back.
    pub async fn ask(&self, link: &mut Use, bytes: Payload, clock: &mut Clock) -> Result<Buf, Stop> {
        self.count(Direction::BackendOut, bytes.len());
        let link = &mut **link.lease();
        let mut exchange = link.socket.exchange(bytes, &link.socket);
        let answered = self.answer(&mut exchange, link);
        match self.wait_in_time(clock, answered).await {
            Ok(Ok(Some(chunk))) => Ok(chunk),
            Ok(Ok(None)) => Err(LinkError::Closed.into()),
            Ok(Err(error)) => Err(LinkError::Io(error.into()).into()),
            Err(Waited::Ended) => Err(self.ended().into()),
            Err(_) => Err(Refusal::backend_timeout(self.cluster().query_timeout).into()),
        }
    }

    /// Waits for an answer. When the client closes meanwhile the server is told, as it would notice on a connection of its
    /// own: what waits for a lock ends then, and everything else goes on to its end, still counted.
    fn answer(
        &self,
        exchange: &mut Exchange,
        link: &mut Link,
    ) -> impl Future<Output = Result<Option<Buf>, ExchangeError>> {
        std::future::poll_fn(move |cx| {
            let answer = Pin::new(&mut *exchange).poll(cx);
            if answer.is_pending() && exchange.is_sent() && !link.doomed && self.client_is_gone(cx) {
                link.doomed = true;
                link.socket.finish();
            }
            answer
        })
    }

    /// Whether the client has closed and left no command behind.
    pub(super) fn client_is_gone(&self, cx: &mut Context<'_>) -> bool {
        self.input.is_empty() && self.socket.poll_closed(cx).is_ready() && !self.socket.has_bytes()
    }

    /// Follows the reply through a chunk, and makes of it what the client gets.
    pub fn scan(
        &self,
        mut chunk: Buf,
        reply: &mut Reply,
        seen: &mut Seen,
    ) -> Result<(Payload, Scanned), Stop> {
        self.count(Direction::BackendIn, chunk.len());
        let mut edits = self.ctx.edits.borrow_mut();
        edits.clear();
        let scanned = match reply.scan(&mut chunk, &mut edits, seen) {
            Ok(scanned) => scanned,
            Err(error) => {
                let broken: Refusal = LinkError::Reply(error).into();
                return Err(broken.behind(reply).into());
            }
        };
        chunk.truncate(scanned.relay);
        if edits.is_empty() {
            return Ok((chunk.into(), scanned));
        }
        if edits.growth() > chunk.headroom() {
            return Ok((edits.copied(&chunk).into(), scanned));
        }
        for (range, bytes) in edits.backwards() {
            let spliced = chunk.splice(range, bytes);
            debug_assert!(spliced, "the headroom was looked at");
        }
        Ok((chunk.into(), scanned))
    }

    /// Sends part of a reply to the client while the next part is received.
    async fn pass_on(
        &self,
        link: &mut Use,
        payload: Payload,
        reply: &Reply,
        clock: &mut Clock,
    ) -> Result<Buf, Stop> {
        let source = &link.lease().socket;
        let got = if payload.is_empty() {
            let received = self.wait_in_time(clock, source.receive()).await;
            received.and_then(|got| {
                got.map_err(|error| Waited::Failed(crate::net::ExchangeError::Receive(error)))
            })
        } else {
            self.count(Direction::ClientOut, payload.len());
            let mut exchange = self.socket.exchange(payload, source);
            self.exchange_in_time(&mut exchange, clock).await
        };
        let broken: Refusal = match got {
            Ok(Some(chunk)) => return Ok(chunk),
            Ok(None) => LinkError::Closed.into(),
            Err(Waited::Failed(crate::net::ExchangeError::Send(error))) => {
                return Err(End::Lost(error).into());
            }
            Err(Waited::Failed(crate::net::ExchangeError::Receive(error))) => LinkError::Io(error).into(),
            Err(Waited::Unread) => return Err(self.unread().into()),
            Err(Waited::Ended) => self.ended(),
            Err(Waited::Elapsed) => Refusal::backend_timeout(self.cluster().query_timeout),
        };
        Err(broken.behind(reply).into())
    }
}

impl Refusal {
    /// The same error, sent after the part of a reply that the client has. In the middle of a packet there is no place
    /// for it: the connection must end, or the client would take the error for data.
    pub fn behind(mut self, reply: &Reply) -> Self {
        if reply.mid_packet() || self.seq.is_none() {
            self.seq = None;
            self.fatal = true;
        } else {
            self.seq = Some(reply.next_seq());
        }
        self
    }
}
