//! Connected sockets on the ring: receive, send, and the exchange of both that makes a query cost two enters.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use io_uring::{opcode, types};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use crate::protocol::compression::{Algorithm, Compression, Numbering, Role};

use super::address::{RawAddress, set_option, tcp_socket, unix_socket};
use super::buffers::{Buf, HEADROOM};
use super::layers::Layers;
use super::payload::Payload;
use super::ring::{Completion, Hold, Kind, Ring};
use super::send::{Exchange, Sending, SilentSend, StartedSend, WaitingSend};
use super::stream::Stream;

/// An open descriptor. Every operation on it holds one reference, so it is closed, by the ring, when the kernel
/// is done with the last of them.
pub(super) struct Descriptor {
    fd: libc::c_int,
    ring: Rc<Ring>,
    stream: Stream,
    /// `None` on a plain socket.
    layers: RefCell<Option<Box<Layers>>>,
    /// Whoever waited for a send has given up before all was sent.
    cut: Cell<bool>,
}

impl Descriptor {
    pub fn new(ring: &Rc<Ring>, fd: libc::c_int) -> Self {
        Self {
            fd,
            ring: ring.clone(),
            stream: Stream::default(),
            layers: RefCell::default(),
            cut: Cell::new(false),
        }
    }

    /// See `cut`.
    pub fn note_cut(&self) {
        self.cut.set(true);
    }

    pub fn raw(&self) -> libc::c_int {
        self.fd
    }

    pub fn ring(&self) -> &Rc<Ring> {
        &self.ring
    }

    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Whether nothing lies between the connection and the user of the socket.
    #[inline]
    fn is_plain(&self) -> bool {
        self.layers.borrow().is_none()
    }

    /// The next bytes for the user of the socket, or the end of the stream.
    #[inline]
    fn poll_receive(self: &Rc<Self>, waker: &Waker) -> Poll<io::Result<Option<Buf>>> {
        if self.is_plain() { self.stream.poll(self, waker) } else { self.poll_layers(waker) }
    }

    #[inline(never)]
    fn poll_layers(self: &Rc<Self>, waker: &Waker) -> Poll<io::Result<Option<Buf>>> {
        let mut layers = self.layers.borrow_mut();
        let Some(layers) = layers.as_deref_mut() else { return self.stream.poll(self, waker) };
        loop {
            if let Some(got) = layers.next() {
                return Poll::Ready(got);
            }
            match self.stream.poll(self, waker) {
                Poll::Ready(Ok(Some(raw))) => self.decode(layers, raw),
                Poll::Ready(Ok(None)) => layers.arrive_end(),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Takes bytes of the connection in. A failure is told to the peer; anything else that a layer owes goes out with
    /// the next send, since it must not get between the bytes of one that is under way.
    fn decode(self: &Rc<Self>, layers: &mut Layers, raw: Buf) {
        layers.arrive(raw);
        if layers.failure().is_some() {
            self.send_owed(layers.owed());
        }
    }

    fn send_owed(self: &Rc<Self>, owed: Vec<u8>) {
        if !owed.is_empty() {
            SilentSend::new(self.clone(), owed.into()).forget();
        }
    }

    /// What goes out on the connection for `payload`.
    #[inline]
    fn outgoing(&self, payload: Payload) -> Payload {
        if self.is_plain() { payload } else { self.encode(payload) }
    }

    #[inline(never)]
    fn encode(&self, payload: Payload) -> Payload {
        match self.layers.borrow_mut().as_deref_mut() {
            None => payload,
            Some(layers) => layers.encode(payload),
        }
    }

    #[inline]
    fn has_something(&self) -> bool {
        self.stream.has_something()
            || self.layers.borrow().as_deref().is_some_and(|layers| layers.has_something())
    }

    /// As [`Socket::is_quiet`]; what has arrived is decoded, since not all of it is for the user of the socket.
    #[inline(never)]
    fn is_quiet_below(self: &Rc<Self>) -> bool {
        // More than a handshake leaves behind.
        const ROUNDS_MAX: usize = 16;
        let mut layers = self.layers.borrow_mut();
        let Some(layers) = layers.as_deref_mut() else { return !self.stream.has_something() };
        for _ in 0..ROUNDS_MAX {
            while let Some(raw) = self.stream.take_waiting() {
                self.decode(layers, raw);
            }
            if self.stream.has_something() || layers.has_something() {
                return false;
            }
            if self.stream.is_armed() {
                return true;
            }
            let mut bytes = vec![0u8; HEADROOM + 2048];
            let room = bytes.get_mut(HEADROOM..).unwrap_or_default();
            let (at, len) = (room.as_mut_ptr(), room.len());
            // SAFETY: the bytes given are live, and no receive of the ring is armed that could want them.
            let got = unsafe { libc::recv(self.fd, at.cast(), len, libc::MSG_DONTWAIT) };
            match usize::try_from(got) {
                Ok(0) => return false,
                Ok(got) => {
                    bytes.truncate(HEADROOM + got);
                    self.decode(layers, Buf::owned(bytes));
                }

                Err(_) => return io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock,
            }
        }
        false
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.ring.submit_and_forget(opcode::Close::new(types::Fd(self.fd)).build());
    }
}

/// A connected socket, of TCP or of the Unix family. Dropping it ends the operations that are under way on it, then
/// closes it.
///
/// What is received and sent are the bytes of its user: where layers lie below ([`Socket::accept_tls`]), they decode
/// and encode.
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
        socket.reach(RawAddress::from(address)).await?;
        Ok(socket)
    }

    /// Connects to the Unix socket at `path`.
    ///
    /// # Errors
    /// As [`Socket::connect`]; a path that is too long.
    pub async fn connect_unix(ring: &Rc<Ring>, path: &Path) -> io::Result<Self> {
        let address = RawAddress::of_path(path)?;
        let socket = Self::from_raw(ring, unix_socket()?);
        socket.reach(address).await?;
        Ok(socket)
    }

    async fn reach(&self, address: RawAddress) -> io::Result<()> {
        let raw = Box::new(address);
        let fd = types::Fd(self.descriptor.fd);
        let entry = opcode::Connect::new(fd, (&raw const raw.storage).cast(), raw.len).build();
        Operation::new(self.descriptor.clone(), entry, Kind::Other, Hold::Address(raw)).await.count()?;
        Ok(())
    }

    /// Puts TLS on the connection, as its server. `received` is what has come already and belongs to the handshake.
    ///
    /// # Errors
    /// `InvalidData` where the handshake fails, with its reason; those of the socket. The caller bounds the time.
    pub async fn accept_tls(&self, config: &Arc<ServerConfig>, received: Option<Buf>) -> io::Result<()> {
        let connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        self.shake_hands(connection.into(), received).await
    }

    /// Puts TLS on the connection, as its client. `config` decides what is demanded of the server, `name` is the one
    /// that its certificate may have to bear.
    ///
    /// # Errors
    /// As [`Socket::accept_tls`].
    pub async fn connect_tls(&self, config: &Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<()> {
        let connection = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        self.shake_hands(connection.into(), None).await
    }

    async fn shake_hands(&self, connection: Connection, received: Option<Buf>) -> io::Result<()> {
        let mut layers = Box::new(Layers::tls(connection));
        if let Some(received) = received {
            layers.arrive(received);
        }
        loop {
            let owed = layers.owed();
            if let Some(failure) = layers.failure() {
                self.descriptor.send_owed(owed);
                return Err(failure);
            }
            if !owed.is_empty() {
                WaitingSend::new(self.descriptor.clone(), owed.into(), 0).await?;
            }
            if !layers.is_handshaking() {
                break;
            }
            let raw = std::future::poll_fn(|cx| self.descriptor.stream.poll(&self.descriptor, cx.waker()));
            match raw.await? {
                Some(raw) => layers.arrive(raw),
                None => return Err(closed_in_handshake()),
            }
            if layers.has_ended() {
                return Err(closed_in_handshake());
            }
        }
        self.descriptor.layers.replace(Some(layers));
        Ok(())
    }

    /// Has all that follows travel in compressed packets, in both directions.
    pub fn compress(&self, algorithm: Algorithm, role: Role) {
        let compression = Compression::new(algorithm, role, self.descriptor.ring.compression().clone());
        self.descriptor
            .layers
            .borrow_mut()
            .get_or_insert_default()
            .compress(compression, Numbering::new(role));
    }

    /// What the client at one of the ends sends next is a file that the server has asked for: inside compression its ids
    /// alone don't tell its packets from commands.
    pub fn file_begins(&self) {
        if let Some(layers) = self.descriptor.layers.borrow_mut().as_deref_mut() {
            layers.file_begins();
        }
    }

    /// Whether the other end of the TLS on this socket has proved who it is by a certificate.
    pub fn has_peer_certificate(&self) -> bool {
        self.descriptor.layers.borrow().as_deref().is_some_and(Layers::has_peer_certificate)
    }

    /// Waits for bytes. `None` is the end of the stream. Dropped, it loses nothing: what arrives waits for the next.
    pub fn receive(&self) -> Receive {
        Receive(self.descriptor.clone())
    }

    /// Sends all of `payload`, waiting for room in the socket as long as it takes.
    pub async fn send(&self, payload: impl Into<Payload>) -> io::Result<()> {
        let payload = self.descriptor.outgoing(payload.into());
        if payload.is_empty() {
            return Ok(());
        }
        WaitingSend::new(self.descriptor.clone(), payload, 0).await
    }

    /// The same for whoever waits for other things besides: it is under way at once.
    pub fn start_send(&self, payload: impl Into<Payload>) -> StartedSend {
        let payload = self.descriptor.outgoing(payload.into());
        let send = (!payload.is_empty()).then(|| WaitingSend::new(self.descriptor.clone(), payload, 0));
        StartedSend::new(send)
    }

    /// Sends `payload` here and receives from `from`, both queued together. Ready when bytes (or the end of the
    /// stream, `None`) have arrived *and* everything is sent.
    pub fn exchange(&self, payload: impl Into<Payload>, from: &Socket) -> Exchange {
        let payload = self.descriptor.outgoing(payload.into());
        // With the receive ready already, the end of a silent send would wake nobody.
        let send = match from.descriptor.has_something() {
            _ if payload.is_empty() => Sending::Done,
            true => Sending::Waiting(WaitingSend::new(self.descriptor.clone(), payload, 0)),
            false => Sending::Silent(SilentSend::new(self.descriptor.clone(), payload)),
        };
        Exchange::new(send, from.receive())
    }

    /// Queues a send that nobody waits for, of a message so small that the socket has room or is lost.
    pub fn send_and_forget(&self, payload: impl Into<Payload>) {
        let payload = self.descriptor.outgoing(payload.into());
        if !payload.is_empty() {
            SilentSend::new(self.descriptor.clone(), payload).forget();
        }
    }

    /// Whether nothing has come that was not received: no byte, no end of the stream, no error. A system call only where
    /// no receive is armed.
    pub fn is_quiet(&self) -> bool {
        if !self.descriptor.is_plain() {
            return self.descriptor.is_quiet_below();
        }
        if let Some(quiet) = self.descriptor.stream.is_quiet() {
            return quiet;
        }
        let mut byte = 0u8;
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        // SAFETY: the one byte given is live.
        let got = unsafe { libc::recv(self.descriptor.fd, (&raw mut byte).cast(), 1, flags) };
        got < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock
    }

    /// Ready when the peer has closed, or the socket failed; what it sent before waits for the next receive.
    pub async fn closed(&self) {
        std::future::poll_fn(|cx| self.poll_closed(cx)).await;
    }

    /// See [`Socket::closed`].
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.descriptor.stream.poll_closed(&self.descriptor, cx.waker())
    }

    /// Whether the peer is known to have closed, or the socket to have failed.
    pub fn has_ended(&self) -> bool {
        self.descriptor.stream.has_ended()
    }

    /// Whether bytes have come that nobody has received.
    pub fn has_bytes(&self) -> bool {
        self.descriptor.stream.has_bytes()
    }

    /// Tells the peer that nothing more comes from here. What it still says can be received.
    pub fn finish(&self) {
        let entry = opcode::Shutdown::new(types::Fd(self.descriptor.fd), libc::SHUT_WR).build();
        drop(Operation::new(self.descriptor.clone(), entry, Kind::Other, Hold::Nothing));
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Behind half a record a goodbye would be taken for the rest of that.
        if !self.descriptor.cut.get()
            && let Some(layers) = self.descriptor.layers.borrow_mut().as_deref_mut()
        {
            self.descriptor.send_owed(layers.close());
        }
        // Operations of the kernel's hold the descriptor: they end with this, and the last of them closes it.
        if self.descriptor.stream.is_armed() || Rc::strong_count(&self.descriptor) > 1 {
            let fd = types::Fd(self.descriptor.fd);
            // The kernel looks the number up in another thread, later: until then it must not belong to a new socket.
            let entry = opcode::Shutdown::new(fd, libc::SHUT_RDWR).build();
            drop(Operation::new(self.descriptor.clone(), entry, Kind::Other, Hold::Nothing));
        }
    }
}

fn closed_in_handshake() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "TLS: the peer closed the connection in the handshake")
}

/// One operation and its completion.
pub(super) struct Operation {
    pub descriptor: Rc<Descriptor>,
    /// `None` once it has completed.
    pub id: Option<usize>,
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

/// See [`Socket::receive`].
pub struct Receive(Rc<Descriptor>);

impl Future for Receive {
    type Output = io::Result<Option<Buf>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_receive(cx.waker())
    }
}
