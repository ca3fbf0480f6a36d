//! The ring of a core and what moves over it: the only room with `unsafe`, and the only one where a core blocks.
//!
//! A core's life is one loop ([`Executor::drive`]): tasks run until none can, then one `io_uring_enter` submits
//! what they queued and waits for a completion or the earliest deadline. Sockets are [`Socket`]s; what a receive
//! brings is a [`Buf`], a window into a provided buffer that goes back to the kernel when it is dropped; what a
//! send takes is a [`Payload`], which the operation owns until the kernel is done with it. Messages of the
//! control executor come through an [`inbox`].
//!
//! TLS and compression lie between a socket's bytes and those of its user (`layers`); a plain socket has neither.
//!
//! The round trip of a query is two [`Socket::exchange`]s, each a send and a receive queued together. The send
//! completes without a completion entry (see [`Ring`]), so each exchange is one enter.

#![allow(unsafe_code)]

mod address;
mod buffers;
mod executor;
mod host;
mod inbox;
#[cfg(test)]
mod layer_tests;
mod layers;
mod listener;
mod payload;
mod ring;
mod send;
mod socket;
mod stream;
#[cfg(test)]
mod tests;
mod timer;
mod tls;

pub use buffers::Buf;
pub use executor::Executor;
pub use host::{HostError, check as check_host, explain as explain_refusal};
pub use inbox::{Inbox, Receiver, Sender, inbox};
pub use listener::{Accepted, BoundListener, Listener, SocketFile};
pub use payload::Payload;
pub use ring::Ring;
pub use send::{Exchange, ExchangeError, StartedSend};
pub use socket::Socket;
pub use timer::{Elapsed, Poker, Timer, Timers};
