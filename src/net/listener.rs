//! The listener of a core: every core binds the same address (`SO_REUSEPORT`) and the kernel spreads the clients.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use io_uring::{opcode, types};

use super::address::{RawAddress, set_option, tcp_socket};
use super::ring::{Hold, Kind, Ring};
use super::socket::{Descriptor, Operation, Socket};

/// Connections that the kernel queues for a core before they are accepted.
const BACKLOG: libc::c_int = 4096;

/// A bound, listening socket; created anywhere, moved to its core, where it becomes a [`Listener`].
pub struct BoundListener {
    fd: libc::c_int,
    pub address: SocketAddr,
}

impl BoundListener {
    /// Binds `address` and listens. Accepted sockets inherit `TCP_NODELAY` and `SO_KEEPALIVE`.
    ///
    /// # Errors
    /// Those of `bind(2)` and `listen(2)`.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let bound = Self { fd: tcp_socket(&address)?, address };
        set_option(bound.fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        set_option(bound.fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
        set_option(bound.fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
        set_option(bound.fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
        let raw = RawAddress::from(address);
        // SAFETY: the address lives across the call and has the length given.
        if unsafe { libc::bind(bound.fd, (&raw const raw.storage).cast(), raw.len) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: listen(2) takes no pointers.
        if unsafe { libc::listen(bound.fd, BACKLOG) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(bound)
    }

    /// Hands the socket to the ring of the core that accepts from it.
    pub fn on(self, ring: &Rc<Ring>) -> Listener {
        let descriptor = Rc::new(Descriptor::new(ring, self.fd));
        std::mem::forget(self);
        Listener { ring: ring.clone(), descriptor }
    }
}

impl Drop for BoundListener {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours and nobody else closes it.
        unsafe { libc::close(self.fd) };
    }
}

/// A listening socket on its core's ring.
pub struct Listener {
    ring: Rc<Ring>,
    descriptor: Rc<Descriptor>,
}

impl Listener {
    /// Waits for the next client.
    ///
    /// # Errors
    /// Those of `accept(2)`: a client that is gone already, or no descriptor left (`EMFILE`).
    pub async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        let mut raw = Box::new(RawAddress::empty());
        let storage = (&raw mut raw.storage).cast();
        let entry = opcode::Accept::new(types::Fd(self.descriptor.raw()), storage, &raw mut raw.len)
            .flags(libc::SOCK_CLOEXEC)
            .build();
        let done = Operation::new(self.descriptor.clone(), entry, Kind::Accept, Hold::Address(raw)).await;
        let fd = done.count()? as libc::c_int;
        let peer = match done.hold {
            Hold::Address(raw) => raw.to_std(),
            _ => None,
        };
        Ok((Socket::from_raw(&self.ring, fd), peer))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let fd = types::Fd(self.descriptor.raw());
        let all = types::CancelBuilder::fd(fd).all();
        self.ring.submit_and_forget(opcode::AsyncCancel2::new(all).build());
    }
}
