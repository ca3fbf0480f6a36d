//! The listener of a core: every core binds the same address (`SO_REUSEPORT`) and the kernel spreads the clients. A Unix
//! socket is one for all cores, each of which accepts on it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
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
}

impl BoundListener {
    /// Binds `address` and listens. Accepted sockets inherit `TCP_NODELAY` and `SO_KEEPALIVE`.
    ///
    /// # Errors
    /// Those of `bind(2)` and `listen(2)`.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let bound = Self { fd: tcp_socket(&address)? };
        set_option(bound.fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
        set_option(bound.fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
        set_option(bound.fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
        bound.name(address)?;
        bound.listen()?;
        Ok(bound)
    }

    /// The same, but shared with nobody: fails where somebody listens on `address` already. To be handed over.
    ///
    /// # Errors
    /// Those of `bind(2)` and `listen(2)`.
    pub fn bind_alone(address: SocketAddr) -> io::Result<Self> {
        let bound = Self { fd: tcp_socket(&address)? };
        bound.name(address)?;
        bound.listen()?;
        Ok(bound)
    }

    /// Fails where somebody listens on `address` already, who might share it. It does not listen itself: a client that
    /// comes meanwhile would be let in and reset.
    ///
    /// # Errors
    /// Those of `bind(2)`.
    pub fn check_free(address: SocketAddr) -> io::Result<()> {
        let probe = Self { fd: tcp_socket(&address)? };
        probe.name(address)
    }

    /// Connections that others have left at the address (for a minute after their end) are no obstacle.
    fn name(&self, address: SocketAddr) -> io::Result<()> {
        set_option(self.fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        let raw = RawAddress::from(address);
        // SAFETY: the address lives across the call and has the length given.
        let result = unsafe { libc::bind(self.fd, (&raw const raw.storage).cast(), raw.len) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn listen(&self) -> io::Result<()> {
        // SAFETY: listen(2) takes no pointers.
        if unsafe { libc::listen(self.fd, BACKLOG) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Listens on a Unix socket at `path`, which everybody may connect to. A file that a dead process left there gives
    /// way. The file is there for as long as the [`SocketFile`].
    ///
    /// # Errors
    /// `AddrInUse` where somebody listens already or the file is no socket; those of `bind(2)` and `listen(2)`.
    pub fn bind_unix(path: &Path) -> io::Result<(Self, SocketFile)> {
        make_room(path)?;
        let listener = UnixListener::bind(path)?;
        let meta = fs::symlink_metadata(path)?;
        let file = SocketFile { path: path.to_owned(), identity: (meta.dev(), meta.ino()) };
        fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
        let bound = Self { fd: listener.into_raw_fd() };
        // The length of the queue is changed by listening again.
        bound.listen()?;
        Ok((bound, file))
    }

    /// The same socket for another core.
    ///
    /// # Errors
    /// Those of `fcntl(2)`.
    pub fn share(&self) -> io::Result<Self> {
        // SAFETY: duplicating a descriptor of ours.
        let fd = unsafe { libc::fcntl(self.fd, libc::F_DUPFD_CLOEXEC, 0) };
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(Self { fd }) }
    }

    /// Hands the socket to the ring of the core that accepts from it.
    pub fn on(self, ring: &Rc<Ring>) -> Listener {
        let descriptor = Rc::new(Descriptor::new(ring, self.fd));
        std::mem::forget(self);
        Listener { ring: ring.clone(), descriptor }
    }

    /// Hands the socket to a listener that is not on a core's ring.
    pub fn hand_over<L: FromRawFd>(self) -> L {
        // SAFETY: the descriptor is an open socket of ours, and from here on that listener's alone.
        let listener = unsafe { L::from_raw_fd(self.fd) };
        std::mem::forget(self);
        listener
    }
}

impl Drop for BoundListener {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours and nobody else closes it.
        unsafe { libc::close(self.fd) };
    }
}

/// Removes the socket of a process that is gone; refuses where one is alive.
fn make_room(path: &Path) -> io::Result<()> {
    let in_use = |reason: &str| Err(io::Error::new(io::ErrorKind::AddrInUse, reason));
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(meta) if !meta.file_type().is_socket() => in_use("there is a file that is no socket"),
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => in_use("another process listens there"),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
            Err(error) => Err(error),
        },
    }
}

/// The file of a Unix socket, removed on drop unless another has taken its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours =
            fs::symlink_metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.identity);
        if ours {
            // What can't be removed is replaced by the next process.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A client's socket that no ring has yet: it may go to another core. Dropped, it is closed.
#[derive(Debug)]
pub struct Accepted {
    fd: OwnedFd,
    peer: Option<SocketAddr>,
}

impl Accepted {
    /// Where the client is; `None` if it came by a Unix socket.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Hands the socket to the ring of the core that serves the client.
    pub fn on(self, ring: &Rc<Ring>) -> Socket {
        Socket::from_raw(ring, self.fd.into_raw_fd())
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
    pub async fn accept(&self) -> io::Result<Accepted> {
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
        // SAFETY: the kernel has just opened it for us, and nobody else knows of it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Accepted { fd, peer })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let fd = types::Fd(self.descriptor.raw());
        let all = types::CancelBuilder::fd(fd).all();
        self.ring.submit_and_forget(opcode::AsyncCancel2::new(all).build());
    }
}
