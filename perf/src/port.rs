//! Free ports of 127.0.0.1, handed out so that nobody gets the same one twice.
//!
//! Binding port 0 would draw from the range of outgoing connections, where a port that was free a moment ago is soon a
//! client's; and since Athena listens with `SO_REUSEPORT`, two labs could share a port without either noticing. So ports
//! come from below that range, and each is reserved for the life of its [`Port`] by a UDP socket of the same number, which
//! every process that uses this module respects and no server notices.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, Result};

const FIRST: u32 = 12_000;
/// Below the kernel's default range for outgoing connections (32768), with room for [`METRICS_OFFSET`].
const COUNT: u32 = 18_000;

/// The distance between Athena's listening port and its metrics port.
pub const METRICS_OFFSET: u16 = 1000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A port of 127.0.0.1 that is reserved while this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reservation: Vec<UdpSocket>,
}

impl Port {
    /// A free port.
    ///
    /// # Errors
    /// [`Error::Timeout`] when no free port could be found.
    pub fn free() -> Result<Self> {
        Self::find(&[0])
    }

    /// A free port whose neighbour at [`METRICS_OFFSET`] is free as well; both are reserved.
    ///
    /// # Errors
    /// [`Error::Timeout`] when no such pair could be found.
    pub fn free_with_metrics() -> Result<Self> {
        Self::find(&[0, METRICS_OFFSET])
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }

    fn find(offsets: &[u16]) -> Result<Self> {
        for _ in 0..COUNT {
            // Processes start at different places, so that they seldom meet.
            let turn = NEXT.fetch_add(1, Ordering::Relaxed);
            let place = (process::id().wrapping_mul(7919)).wrapping_add(turn) % COUNT;
            let Ok(number) = u16::try_from(FIRST + place) else { continue };
            let reservation: Vec<_> = offsets.iter().map_while(|offset| reserve(number + offset)).collect();
            if reservation.len() == offsets.len() {
                return Ok(Self { number, _reservation: reservation });
            }
        }
        Err(Error::Timeout("no free port on 127.0.0.1".to_owned()))
    }
}

fn reserve(number: u16) -> Option<UdpSocket> {
    let reservation = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
    TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
    Some(reservation)
}
