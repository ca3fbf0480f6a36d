//! LOAD DATA LOCAL: the server asks for a file, and the client sends it.
//!
//! Athena opens no file itself. The client's packets go to the link as they come; while its backend does not take them,
//! nothing is received from the client. What happens to the link meanwhile can be said only behind the file: until then
//! the client does not read.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use crate::metrics::label::Direction;
use crate::net::{Buf, ExchangeError, Payload};
use crate::pool::LinkError;
use crate::protocol::reply::Reply;

use super::context::Phase;
use super::driver::{Session, Waited};
use super::failure::{End, Refusal, Stop};
use super::link::Use;
use super::overtime::Clock;

impl Session {
    /// Passes the request for a file on, and then the file, to its end. Returns what the server says to it.
    pub async fn pass_file(
        &mut self,
        link: &mut Use,
        request: Payload,
        reply: &mut Reply,
        clock: &mut Clock,
    ) -> Result<Buf, Stop> {
        let mut file = reply.local_file();
        self.socket.file_begins();
        link.lease().socket.file_begins();
        let mut request = Some(request);
        let mut lost = None;
        loop {
            let Some(mut chunk) = self.input.take_chunk() else {
                match self.receive_file(request.take(), lost.is_none().then_some(&mut *link)).await? {
                    Some(chunk) => self.input.push(chunk),
                    None => lost = Some(LinkError::Closed.into()),
                }
                continue;
            };
            if let Some(request) = request.take() {
                self.send(request).await?;
            }
            let at = match file.pass(&mut chunk) {
                Ok(at) => at,
                Err(error) => return Err(Refusal { seq: Some(file.next_seq()), ..error.into() }.into()),
            };
            let bytes: Payload = if at == chunk.len() {
                chunk.into()
            } else {
                let bytes = chunk.get(..at).unwrap_or_default().to_vec();
                chunk.advance(at);
                self.input.push(chunk);
                bytes.into()
            };
            if file.is_over() {
                reply.resume(&file);
                let answer = match lost {
                    None => self.ask(link, bytes, clock).await,
                    Some(stop) => Err(stop),
                };
                return answer.map_err(|stop| stop.behind(reply));
            }
            if lost.is_none() {
                lost = self.tell_backend(link, bytes).await.err();
            }
        }
    }

    /// The next bytes of the client, after `request` has been sent to it. `None` if the link has ended first, and
    /// somebody wants to know.
    pub async fn receive_file(
        &self,
        request: Option<Payload>,
        watched: Option<&mut Use>,
    ) -> Result<Option<Buf>, Stop> {
        let limit = self.ctx.config.server.write_timeout;
        let got = match request {
            Some(request) => {
                self.count(Direction::ClientOut, request.len());
                let mut exchange = self.socket.exchange(request, &self.socket);
                self.exchange(&mut exchange, limit, Phase::Ending).await
            }
            None => {
                let mut receive = pin!(self.socket.receive());
                let mut ended = pin!(async {
                    match watched {
                        Some(link) => link.lease().socket.closed().await,
                        None => std::future::pending().await,
                    }
                });
                let either = std::future::poll_fn(|cx| match receive.as_mut().poll(cx) {
                    Poll::Ready(got) => Poll::Ready(Some(got)),
                    Poll::Pending => ended.as_mut().poll(cx).map(|()| None),
                });
                match self.wait(limit, Phase::Ending, either).await {
                    Ok(None) => return Ok(None),
                    Ok(Some(got)) => got.map_err(|error| Waited::Failed(ExchangeError::Receive(error))),
                    Err(waited) => Err(waited),
                }
            }
        };
        match got {
            Ok(Some(chunk)) => {
                self.count(Direction::ClientIn, chunk.len());
                Ok(Some(chunk))
            }
            Ok(None) => Err(End::Quit.into()),
            Err(Waited::Failed(error)) => Err(End::Lost(error.into()).into()),
            // In the middle of its file a client takes nothing in.
            Err(Waited::Ended) => Err(Refusal { seq: None, ..self.ended() }.into()),
            Err(Waited::Unread | Waited::Elapsed) => Err(self.unread().into()),
        }
    }
}

impl Stop {
    /// See [`Refusal::behind`].
    fn behind(self, reply: &Reply) -> Self {
        match self {
            Self::Refuse(refusal) => (*refusal).behind(reply).into(),
            Self::End(end) => Self::End(end),
        }
    }
}
