//! Sends, and the exchange of a send and a receive: what an operation owns until the kernel is done with it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::buffers::Buf;
use super::payload::Payload;
use super::ring::{Hold, Kind, send_entry};
use super::socket::{Descriptor, Operation, Receive};

/// A send that does not wait for room and wakes nobody when all is sent, so that it can only be awaited together with
/// a receive.
pub(super) struct SilentSend {
    descriptor: Rc<Descriptor>,
    id: Option<usize>,
}

impl SilentSend {
    pub fn new(descriptor: Rc<Descriptor>, payload: Payload) -> Self {
        let id = descriptor.ring().submit_silent_send(payload, descriptor.clone());
        Self { descriptor, id: Some(id) }
    }

    /// It goes on without anybody who waits.
    pub fn forget(mut self) {
        if let Some(id) = self.id.take() {
            self.descriptor.ring().abandon(id);
        }
    }

    /// What has become of it: all sent (`Ok(None)`), or what is left to be sent with waiting.
    fn poll(&mut self, waker: &Waker) -> Poll<io::Result<Option<WaitingSend>>> {
        let Some(id) = self.id else { return Poll::Pending };
        let Poll::Ready(completion) = self.descriptor.ring().poll_silent(id) else {
            self.descriptor.stream().register(waker);
            return Poll::Pending;
        };
        self.id = None;
        // The payload of a send that sent everything has been released already.
        let count = completion.count();
        let Hold::Payload(payload) = completion.hold else { return Poll::Ready(Ok(None)) };
        let sent = match count {
            Ok(count) => count,
            Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => 0,
            Err(e) => return Poll::Ready(Err(e)),
        };
        if sent >= payload.len() {
            return Poll::Ready(Ok(None));
        }
        Poll::Ready(Ok(Some(WaitingSend::new(self.descriptor.clone(), payload, sent))))
    }
}

impl Drop for SilentSend {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let Poll::Ready(completion) = self.descriptor.ring().poll_silent(id) else {
            self.descriptor.note_cut();
            return self.descriptor.ring().abandon(id);
        };
        if let Hold::Payload(payload) = &completion.hold
            && completion.count().unwrap_or(0) < payload.len()
        {
            self.descriptor.note_cut();
        }
    }
}

/// A send of a whole payload, which waits for room as often as it takes.
pub(super) struct WaitingSend {
    operation: Operation,
    sent: usize,
}

impl WaitingSend {
    pub fn new(descriptor: Rc<Descriptor>, payload: Payload, sent: usize) -> Self {
        let entry = send_entry(&descriptor, &payload, sent, libc::MSG_WAITALL | libc::MSG_NOSIGNAL);
        Self { operation: Operation::new(descriptor, entry, Kind::Other, Hold::Payload(payload)), sent }
    }
}

impl Drop for WaitingSend {
    fn drop(&mut self) {
        if self.operation.id.is_some() {
            self.operation.descriptor.note_cut();
        }
    }
}

impl Future for WaitingSend {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let Poll::Ready(completion) = Pin::new(&mut self.operation).poll(cx) else {
                return Poll::Pending;
            };
            let count = completion.count();
            let Hold::Payload(payload) = completion.hold else { return Poll::Ready(Ok(())) };
            let count = match count {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
                Err(e) => return Poll::Ready(Err(e)),
            };
            let sent = self.sent + count;
            if sent >= payload.len() {
                return Poll::Ready(Ok(()));
            }
            *self = Self::new(self.operation.descriptor.clone(), payload, sent);
        }
    }
}

/// A send that is under way, as a value of its own: see [`Socket::start_send`](super::Socket::start_send).
pub struct StartedSend(Option<WaitingSend>);

impl StartedSend {
    pub(super) fn new(send: Option<WaitingSend>) -> Self {
        Self(send)
    }
}

impl Future for StartedSend {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().map_or(Poll::Ready(Ok(())), |send| Pin::new(send).poll(cx))
    }
}

/// Where the sending half of an exchange stands.
pub(super) enum Sending {
    Silent(SilentSend),
    Waiting(WaitingSend),
    Done,
}

/// See [`Socket::exchange`].
pub struct Exchange {
    send: Sending,
    receive: Receive,
    got: Option<io::Result<Option<Buf>>>,
}

impl Exchange {
    pub(super) fn new(send: Sending, receive: Receive) -> Self {
        Self { send, receive, got: None }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.send = match &mut self.send {
                Sending::Silent(send) => match send.poll(cx.waker()) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(None)) => Sending::Done,
                    Poll::Ready(Ok(Some(rest))) => Sending::Waiting(rest),
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                },
                Sending::Waiting(send) => match Pin::new(send).poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => Sending::Done,
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                },
                Sending::Done => return Poll::Ready(Ok(())),
            };
        }
    }
}

impl Future for Exchange {
    type Output = Result<Option<Buf>, ExchangeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let sent = match this.poll_send(cx) {
            Poll::Ready(Err(e)) => return Poll::Ready(Err(ExchangeError::Send(e))),
            sent => sent.is_ready(),
        };
        if this.got.is_none()
            && let Poll::Ready(got) = Pin::new(&mut this.receive).poll(cx)
        {
            this.got = Some(got);
        }
        match this.got.take_if(|_| sent) {
            Some(got) => Poll::Ready(got.map_err(ExchangeError::Receive)),
            None => Poll::Pending,
        }
    }
}

impl Exchange {
    /// Whether all bytes have been handed to the kernel.
    pub fn is_sent(&self) -> bool {
        matches!(self.send, Sending::Done)
    }
}

/// Which half of an exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    #[error("sending: {0}")]
    Send(#[source] io::Error),
    #[error("receiving: {0}")]
    Receive(#[source] io::Error),
}

impl From<ExchangeError> for io::Error {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Send(error) | ExchangeError::Receive(error) => error,
        }
    }
}
