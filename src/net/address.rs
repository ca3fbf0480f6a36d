//! Socket addresses as the kernel reads and writes them.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A `sockaddr` with its length; boxed by the operation that passes it to the kernel.
pub(super) struct RawAddress {
    pub storage: libc::sockaddr_storage,
    pub len: libc::socklen_t,
}

impl RawAddress {
    /// Room for any address, to be filled in by the kernel.
    pub fn empty() -> Self {
        // SAFETY: all zeroes is a valid sockaddr_storage (family AF_UNSPEC).
        let storage = unsafe { std::mem::zeroed() };
        Self { storage, len: size_of::<libc::sockaddr_storage>() as libc::socklen_t }
    }

    /// That of the Unix socket at `path`, which may have 107 bytes.
    pub fn of_path(path: &Path) -> io::Result<Self> {
        let bytes = path.as_os_str().as_bytes();
        let mut at = libc::sockaddr_un { sun_family: libc::AF_UNIX as libc::sa_family_t, sun_path: [0; 108] };
        // The NUL at the end has to fit too.
        if bytes.is_empty() || bytes.len() >= at.sun_path.len() || bytes.contains(&0) {
            let reason = format!("{}: the path of a Unix socket has 1 to 107 bytes", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        for (place, byte) in at.sun_path.iter_mut().zip(bytes) {
            *place = *byte as libc::c_char;
        }
        let mut raw = Self::empty();
        // SAFETY: the storage is large and aligned enough for any socket address.
        unsafe { (&raw mut raw.storage).cast::<libc::sockaddr_un>().write(at) };
        raw.len = size_of::<libc::sockaddr_un>() as libc::socklen_t;
        Ok(raw)
    }

    /// The address, if its family is IPv4 or IPv6.
    pub fn to_std(&self) -> Option<SocketAddr> {
        match i32::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says that the storage, which is large and aligned enough, holds this type.
                let at = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in>() };
                let ip = u32::from_be(at.sin_addr.s_addr).into();
                Some(SocketAddrV4::new(ip, u16::from_be(at.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let at = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in6>() };
                let ip = at.sin6_addr.s6_addr.into();
                let port = u16::from_be(at.sin6_port);
                Some(SocketAddrV6::new(ip, port, at.sin6_flowinfo, at.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}

impl From<SocketAddr> for RawAddress {
    fn from(address: SocketAddr) -> Self {
        let mut raw = Self::empty();
        match address {
            SocketAddr::V4(v4) => {
                let at = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                    sin_zero: [0; 8],
                };
                // SAFETY: the storage is large and aligned enough for any socket address.
                unsafe { (&raw mut raw.storage).cast::<libc::sockaddr_in>().write(at) };
                raw.len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            }
            SocketAddr::V6(v6) => {
                let at = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                // SAFETY: as above.
                unsafe { (&raw mut raw.storage).cast::<libc::sockaddr_in6>().write(at) };
                raw.len = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            }
        }
        raw
    }
}

/// A new TCP socket, blocking (the ring waits, not the caller), of the address's family.
pub(super) fn tcp_socket(address: &SocketAddr) -> io::Result<libc::c_int> {
    let family = match address.ip() {
        IpAddr::V4(_) => libc::AF_INET,
        IpAddr::V6(_) => libc::AF_INET6,
    };
    stream_socket(family)
}

/// The same of the Unix family.
pub(super) fn unix_socket() -> io::Result<libc::c_int> {
    stream_socket(libc::AF_UNIX)
}

fn stream_socket(family: libc::c_int) -> io::Result<libc::c_int> {
    // SAFETY: socket(2) takes no pointers.
    let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(fd) }
}

/// Switches a socket option on (or to `value`).
pub(super) fn set_option(fd: libc::c_int, level: i32, name: i32, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the option value is a live c_int of the size given.
    let result = unsafe {
        libc::setsockopt(
            fd,
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
