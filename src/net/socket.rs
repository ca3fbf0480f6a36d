//! Connected sockets on the ring: receive, send, and the exchange of both that makes a query cost two enters.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use io_uring::{opcode, types};

use super::address::{RawAddress, set_option, tcp_socket};
use super::buffers::{Buf, GROUP_ID};
use super::payload::Payload;
use super::ring::{Completion, Hold, Kind, Ring, send_entry};

/// An open descriptor. Every operation on it holds one reference, so it is closed, by the ring, when the kernel
/// is done with the last of them.
pub(super) struct Descriptor {
    fd: libc::c_int,
    ring: Rc<Ring>,
}

impl Descriptor {
    pub fn new(ring: &Rc<Ring>, fd: libc::c_int) -> Self {
        Self { fd, ring: ring.clone() }
    }

    pub fn raw(&self) -> libc::c_int {
        self.fd
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.ring.submit_and_forget(opcode::Close::new(types::Fd(self.fd)).build());
    }
}

/// A connected TCP socket. Dropping it ends the operations that are under way on it, then closes it.
pub struct Socket {
    descriptor: Rc<Descriptor>,
}

impl Socket {
    pub(super) fn from_raw(ring: &Rc<Ring>, fd: libc::c_int) -> Self {
        Self { descriptor: Rc::new(Descriptor::new(ring, fd)) }
    }

    /// Connects to `address`.
    ///
    /// # Errors
    /// Those of `connect(2)`. The caller bounds the time.
    pub async fn connect(ring: &Rc<Ring>, address: SocketAddr) -> io::Result<Self> {
        let socket = Self::from_raw(ring, tcp_socket(&address)?);
        set_option(socket.descriptor.fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
        set_option(socket.descriptor.fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
        let raw = Box::new(RawAddress::from(address));
        let entry =
            opcode::Connect::new(types::Fd(socket.descriptor.fd), (&raw const raw.storage).cast(), raw.len)
                .build();
        Operation::new(socket.descriptor.clone(), entry, Kind::Other, Hold::Address(raw)).await.count()?;
        Ok(socket)
    }

    /// Waits for bytes. `None` is the end of the stream.
    pub fn receive(&self) -> Receive {
        Receive::new(self.descriptor.clone())
    }

    /// Sends all of `payload`, waiting for room in the socket as long as it takes.
    pub async fn send(&self, payload: impl Into<Payload>) -> io::Result<()> {
        Send::waiting(self.descriptor.clone(), payload.into(), 0).await
    }

    /// Sends `payload` here and receives from `from`, both queued together. Ready when bytes (or the end of the
    /// stream, `None`) have arrived *and* everything is sent.
    pub fn exchange(&self, payload: impl Into<Payload>, from: &Socket) -> Exchange {
        Exchange {
            send: Send::silent(self.descriptor.clone(), payload.into()),
            receive: from.receive(),
            got: None,
        }
    }

    /// Queues a send that nobody waits for, of a message so small that the socket has room or is lost.
    pub fn send_and_forget(&self, payload: impl Into<Payload>) {
        drop(Send::silent(self.descriptor.clone(), payload.into()));
    }

    /// Whether nothing has come that was not received: no byte, no end of the stream, no error. One system call.
    pub fn is_quiet(&self) -> bool {
        let mut byte = 0u8;
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        // SAFETY: the one byte given is live.
        let got = unsafe { libc::recv(self.descriptor.fd, (&raw mut byte).cast(), 1, flags) };
        got < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock
    }

    /// Ready when the peer has closed its side; reads nothing, holds no buffer, and is cancelled in the kernel when
    /// dropped.
    pub fn watch_hangup(&self) -> Watch {
        let entry = opcode::PollAdd::new(types::Fd(self.descriptor.fd), libc::POLLRDHUP as u32).build();
        Watch(Operation::new(self.descriptor.clone(), entry, Kind::Other, Hold::Nothing))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if Rc::strong_count(&self.descriptor) > 1 {
            let fd = types::Fd(self.descriptor.fd);
            self.descriptor.ring.submit_and_forget(opcode::Shutdown::new(fd, libc::SHUT_RDWR).build());
        }
    }
}

/// One operation and its completion.
pub(super) struct Operation {
    descriptor: Rc<Descriptor>,
    id: Option<usize>,
}

impl Operation {
    pub fn new(descriptor: Rc<Descriptor>, entry: io_uring::squeue::Entry, kind: Kind, hold: Hold) -> Self {
        let id = descriptor.ring.submit(entry, kind, hold, Some(descriptor.clone()));
        Self { descriptor, id: Some(id) }
    }
}

impl Future for Operation {
    type Output = Completion;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Completion> {
        let Some(id) = self.id else { return Poll::Pending };
        let result = self.descriptor.ring.poll(id, cx.waker());
        if result.is_ready() {
            self.id = None;
        }
        result
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.descriptor.ring.abandon(id);
        }
    }
}

/// See [`Socket::watch_hangup`].
pub struct Watch(Operation);

impl Future for Watch {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(id) = self.0.id {
            self.0.descriptor.ring.submit_and_forget(opcode::AsyncCancel::new(id as u64).build());
        }
    }
}

/// See [`Socket::receive`].
pub struct Receive {
    operation: Operation,
    /// The last attempt found no buffer; the next is queued once there is one.
    starved: Cell<bool>,
}

impl Receive {
    fn new(descriptor: Rc<Descriptor>) -> Self {
        Self { operation: Self::queue(descriptor), starved: Cell::new(false) }
    }

    fn queue(descriptor: Rc<Descriptor>) -> Operation {
        let entry = opcode::Recv::new(types::Fd(descriptor.fd), std::ptr::null_mut(), 0)
            .buf_group(GROUP_ID)
            .ioprio(RECV_POLL_FIRST)
            .build()
            .flags(io_uring::squeue::Flags::BUFFER_SELECT);
        Operation::new(descriptor, entry, Kind::Receive, Hold::Nothing)
    }
}

/// `IORING_RECVSEND_POLL_FIRST`: bytes are rarely there yet when a receive is queued, so don't try first.
const RECV_POLL_FIRST: u16 = 1;

impl Future for Receive {
    type Output = io::Result<Option<Buf>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ring = self.operation.descriptor.ring.clone();
        loop {
            if self.starved.get() {
                if !ring.buffers().wait_for_one(cx.waker()) {
                    return Poll::Pending;
                }
                self.starved.set(false);
                self.operation = Self::queue(self.operation.descriptor.clone());
            }
            let done = match Pin::new(&mut self.operation).poll(cx) {
                Poll::Ready(done) => done,
                Poll::Pending => return Poll::Pending,
            };
            if done.result != -libc::ENOBUFS {
                return Poll::Ready(done.received(ring.buffers()));
            }
            self.starved.set(true);
        }
    }
}

/// A send of a whole payload. A silent one does not wait for room and wakes nobody when all is sent (so it can
/// only be awaited together with a receive); what did not fit is sent with waiting.
struct Send {
    operation: Operation,
    sent: usize,
    waiting: bool,
    done: bool,
}

impl Send {
    fn silent(descriptor: Rc<Descriptor>, payload: Payload) -> Self {
        let id = descriptor.ring.submit_silent_send(payload, descriptor.clone());
        Self { operation: Operation { descriptor, id: Some(id) }, sent: 0, waiting: false, done: false }
    }

    fn waiting(descriptor: Rc<Descriptor>, payload: Payload, sent: usize) -> Self {
        let entry = send_entry(&descriptor, &payload, sent, libc::MSG_WAITALL | libc::MSG_NOSIGNAL);
        let operation = Operation::new(descriptor, entry, Kind::Other, Hold::Payload(payload));
        Self { operation, sent, waiting: true, done: false }
    }

    /// Takes a completion in; true when everything is sent.
    fn advance(&mut self, completion: Completion) -> io::Result<bool> {
        // The payload of a silent send that sent everything has been released already.
        let count = completion.count();
        let Hold::Payload(payload) = completion.hold else { return Ok(true) };
        let count = match count {
            Ok(count) => count,
            Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => 0,
            Err(e) => return Err(e),
        };
        let sent = self.sent + count;
        if sent >= payload.len() {
            return Ok(true);
        }
        if self.waiting && count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        *self = Self::waiting(self.operation.descriptor.clone(), payload, sent);
        Ok(false)
    }
}

impl Future for Send {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let completion = match Pin::new(&mut self.operation).poll(cx) {
                Poll::Ready(completion) => completion,
                Poll::Pending => return Poll::Pending,
            };
            match self.advance(completion) {
                Ok(false) => {}
                Ok(true) => {
                    self.done = true;
                    return Poll::Ready(Ok(()));
                }
                Err(e) => {
                    self.done = true;
                    return Poll::Ready(Err(e));
                }
            }
        }
    }
}

/// See [`Socket::exchange`].
pub struct Exchange {
    send: Send,
    receive: Receive,
    got: Option<io::Result<Option<Buf>>>,
}

impl Future for Exchange {
    type Output = Result<Option<Buf>, ExchangeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if !this.send.done
            && let Poll::Ready(Err(e)) = Pin::new(&mut this.send).poll(cx)
        {
            return Poll::Ready(Err(ExchangeError::Send(e)));
        }
        if this.got.is_none()
            && let Poll::Ready(got) = Pin::new(&mut this.receive).poll(cx)
        {
            this.got = Some(got);
        }
        if !this.send.done {
            return Poll::Pending;
        }
        match this.got.take() {
            Some(got) => Poll::Ready(got.map_err(ExchangeError::Receive)),
            None => Poll::Pending,
        }
    }
}

impl Exchange {
    /// Whether all bytes have been handed to the kernel.
    pub fn is_sent(&self) -> bool {
        self.send.done
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
