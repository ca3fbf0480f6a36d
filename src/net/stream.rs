//! What a socket receives: one multishot receive that stays armed, and a short queue of what it brought.
//!
//! An armed multishot receive costs the kernel no new request for each message, tells when the peer closes, and holds
//! no buffer while nothing arrives. It must not run ahead of its reader, though: when the queue is full, or messages
//! fill whole buffers (a large result), it is cancelled, and bytes are received one buffer at a time until they come
//! in small pieces again. What a socket can hold is so bounded by [`QUEUE_MAX`] buffers and the few dozen that one run
//! of the kernel's receive may still bring.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};

use io_uring::{cqueue, opcode, squeue, types};

use super::buffers::{Buf, GROUP_ID};
use super::ring::{Hold, Kind, Ring};
use super::socket::Descriptor;

/// Buffers that may wait for their reader.
const QUEUE_MAX: usize = 4;

/// `IORING_RECVSEND_POLL_FIRST`: bytes are rarely there yet when a receive is queued, so don't try first.
const RECV_POLL_FIRST: u16 = 1;

/// How a stream ended.
#[derive(Debug, Clone, Copy)]
enum End {
    Closed,
    Failed(i32),
}

/// The receiving side of a descriptor.
#[derive(Default)]
pub(super) struct Stream {
    queue: RefCell<VecDeque<Buf>>,
    end: Cell<Option<End>>,
    /// The receive that the kernel has.
    armed: Cell<Option<usize>>,
    /// It is being cancelled.
    cancelling: Cell<bool>,
    /// The last message filled its buffer: more of the same is to be expected.
    bulk: Cell<bool>,
    /// The last receive found no buffer; the next is armed once there is one.
    starved: Cell<bool>,
    /// Whoever waits for this socket, for bytes or for a send that found no room. Kept from one wait to the next.
    waker: RefCell<Option<Waker>>,
}

impl Stream {
    /// The next bytes, or the end of the stream.
    pub fn poll(&self, descriptor: &Rc<Descriptor>, waker: &Waker) -> Poll<io::Result<Option<Buf>>> {
        if let Some(buf) = self.queue.borrow_mut().pop_front() {
            return Poll::Ready(Ok(Some(buf)));
        }
        if let Some(end) = self.poll_end(descriptor, waker) {
            return Poll::Ready(match end {
                End::Closed => Ok(None),
                End::Failed(errno) => Err(io::Error::from_raw_os_error(errno)),
            });
        }
        Poll::Pending
    }

    /// Ready once the peer has closed or the socket has failed, whatever came before that.
    pub fn poll_closed(&self, descriptor: &Rc<Descriptor>, waker: &Waker) -> Poll<()> {
        if self.poll_end(descriptor, waker).is_some() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_end(&self, descriptor: &Rc<Descriptor>, waker: &Waker) -> Option<End> {
        let end = self.end.get();
        if end.is_none() {
            self.register(waker);
            self.arm(descriptor, waker);
        }
        end
    }

    /// Has `waker` woken when something happens to this socket.
    pub fn register(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    pub fn wake(&self) {
        // Polling may register anew, so nothing is borrowed while it wakes.
        let waker = self.waker.borrow().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether nothing has come and the end neither; `None` if nobody is looking.
    pub fn is_quiet(&self) -> Option<bool> {
        let silent = self.queue.borrow().is_empty() && self.end.get().is_none();
        if silent && self.armed.get().is_none() { None } else { Some(silent) }
    }

    /// Whether the next receive is ready at once.
    pub fn has_something(&self) -> bool {
        !self.queue.borrow().is_empty() || self.end.get().is_some()
    }

    /// Whether the end has come, whatever waits before it.
    pub fn has_ended(&self) -> bool {
        self.end.get().is_some()
    }

    /// Whether a buffer waits for its reader.
    pub fn has_bytes(&self) -> bool {
        !self.queue.borrow().is_empty()
    }

    /// A buffer that waits for its reader, if there is one.
    pub fn take_waiting(&self) -> Option<Buf> {
        self.queue.borrow_mut().pop_front()
    }

    /// Whether the kernel has a receive for this socket.
    pub fn is_armed(&self) -> bool {
        self.armed.get().is_some()
    }

    fn arm(&self, descriptor: &Rc<Descriptor>, waker: &Waker) {
        let ring = descriptor.ring();
        if self.armed.get().is_some() || self.queue.borrow().len() >= QUEUE_MAX {
            return;
        }
        if self.starved.get() {
            if !ring.buffers().wait_for_one(waker) {
                return;
            }
            self.starved.set(false);
        }
        let fd = types::Fd(descriptor.raw());
        let entry = if self.bulk.get() {
            opcode::Recv::new(fd, std::ptr::null_mut(), 0).buf_group(GROUP_ID).ioprio(RECV_POLL_FIRST).build()
        } else {
            opcode::RecvMulti::new(fd, GROUP_ID).build()
        };
        let entry = entry.flags(squeue::Flags::BUFFER_SELECT);
        self.armed.set(Some(ring.submit(entry, Kind::Stream, Hold::Nothing, Some(descriptor.clone()))));
    }

    /// Takes a completion of the armed receive in. True if it was its last.
    pub fn arrive(&self, ring: &Ring, result: i32, flags: u32) -> bool {
        let last = !cqueue::more(flags);
        let buf = ring.buffers().take(flags, usize::try_from(result).unwrap_or(0));
        match (result, buf) {
            (1.., Some(buf)) => {
                self.bulk.set(buf.is_full());
                self.queue.borrow_mut().push_back(buf);
            }
            (0, _) => self.end.set(Some(End::Closed)),
            (errno, _) if errno == -libc::ENOBUFS => self.starved.set(true),
            (errno, _) if errno == -libc::ECANCELED => {}
            (errno, _) => self.end.set(Some(End::Failed(-errno))),
        }
        if last {
            self.armed.set(None);
            self.cancelling.set(false);
        } else if !self.cancelling.get() && (self.bulk.get() || self.queue.borrow().len() >= QUEUE_MAX) {
            self.cancel(ring);
        }
        self.wake();
        last
    }

    fn cancel(&self, ring: &Ring) {
        if let Some(id) = self.armed.get() {
            self.cancelling.set(true);
            ring.submit_and_forget(opcode::AsyncCancel::new(id as u64).build());
        }
    }
}
