//! One core's completion ring: operations in flight, their owners, and the single place where the core blocks.
//!
//! An operation owns what the kernel reads or writes (its [`Hold`]) until its completion arrives, also when the
//! future that waited for it was dropped: then the completion only releases what it held.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue, types};
use slab::Slab;

use crate::protocol::compression::Contexts;

use super::buffers::BufferPool;
use super::payload::Payload;
use super::socket::Descriptor;

/// Completions of fire-and-forget operations (closing, shutting down, cancelling) carry this and are ignored.
const NOBODY: u64 = u64::MAX;

/// What an operation keeps alive until its completion.
pub(super) enum Hold {
    /// Nothing but the descriptor.
    Nothing,
    /// The bytes being sent.
    Payload(Payload),
    /// The address being connected to, or that of an accepted peer.
    Address(Box<super::address::RawAddress>),
    /// The eight bytes that an eventfd is read into.
    Counter(#[expect(dead_code, reason = "held for the kernel, which writes it")] Box<u64>),
}

enum State {
    /// The kernel has it (or will, at the next enter).
    InFlight(Option<Waker>),
    /// Complete, with the result of the completion entry.
    Done(i32),
    /// Complete as the enter returned without a completion: only sends that report nothing but failure.
    Silent,
    /// Nobody waits any more.
    Abandoned,
}

struct Op {
    state: State,
    hold: Hold,
    kind: Kind,
    /// Kept open until the kernel is done with it.
    descriptor: Option<Rc<Descriptor>>,
}

/// What the completion of an abandoned operation must give back.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// The receive of a descriptor's stream, which takes every completion; nobody else waits for them.
    Stream,
    /// Its result may be a new descriptor.
    Accept,
    Other,
}

/// Figures of the ring, for metrics.
#[derive(Default)]
pub struct RingStats {
    /// `io_uring_enter` calls.
    pub enters: Cell<u64>,
}

/// The ring of one core. Everything here happens on that core's thread.
pub struct Ring {
    uring: RefCell<IoUring>,
    ops: RefCell<Slab<Op>>,
    /// Sends queued since the last enter that complete silently when they succeed.
    silent: RefCell<Vec<usize>>,
    pool: Rc<BufferPool>,
    compression: Rc<Contexts>,
    pub stats: RingStats,
}

impl Ring {
    /// A ring of `entries` submissions and `buffers` provided buffers of `buffer_bytes` each.
    ///
    /// # Errors
    /// Those of `io_uring_setup(2)` and of the registration of the buffers.
    pub fn new(entries: u32, buffers: usize, buffer_bytes: usize) -> io::Result<Rc<Self>> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(entries.saturating_mul(4))
            .setup_clamp()
            .build(entries)?;
        // The ring's own descriptor, registered, spares each enter a look-up. An optimisation only.
        let _ = uring.submitter().register_ring_fd();
        let pool = BufferPool::register(&uring, buffers, buffer_bytes)?;
        Ok(Rc::new(Self {
            uring: RefCell::new(uring),
            ops: RefCell::new(Slab::with_capacity(256)),
            silent: RefCell::default(),
            pool,
            compression: Rc::default(),
            stats: RingStats::default(),
        }))
    }

    pub fn buffers(&self) -> &Rc<BufferPool> {
        &self.pool
    }

    /// The compressors that the sockets of the core share.
    pub(super) fn compression(&self) -> &Rc<Contexts> {
        &self.compression
    }

    /// Queues an operation; it reaches the kernel with the next enter.
    pub(super) fn submit(
        &self,
        entry: squeue::Entry,
        kind: Kind,
        hold: Hold,
        descriptor: Option<Rc<Descriptor>>,
    ) -> usize {
        let id = self.ops.borrow_mut().insert(Op { state: State::InFlight(None), hold, kind, descriptor });
        self.push(entry.user_data(id as u64));
        id
    }

    /// Queues a send that never waits for room in the socket (`MSG_DONTWAIT | MSG_WAITALL`) and posts a
    /// completion only when it could not send everything. The kernel executes it inside the enter that submits
    /// it, so when that enter has returned and no completion came, all is sent and the bytes are free: one
    /// completion less for each message, and none that would end the core's wait early.
    pub(super) fn submit_silent_send(&self, payload: Payload, descriptor: Rc<Descriptor>) -> usize {
        let flags = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        let entry = send_entry(&descriptor, &payload, 0, flags).flags(squeue::Flags::SKIP_SUCCESS);
        let id = self.submit(entry, Kind::Other, Hold::Payload(payload), Some(descriptor));
        self.silent.borrow_mut().push(id);
        id
    }

    /// Queues an operation whose completion nobody waits for.
    pub(super) fn submit_and_forget(&self, entry: squeue::Entry) {
        self.push(entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(NOBODY));
    }

    /// The result of operation `id`, once: after `Ready` the id is no longer valid.
    pub(super) fn poll(&self, id: usize, waker: &Waker) -> Poll<Completion> {
        let mut ops = self.ops.borrow_mut();
        let Some(op) = ops.get_mut(id) else {
            debug_assert!(false, "an operation is asked for its result once");
            return Poll::Pending;
        };
        match &mut op.state {
            State::InFlight(slot) => {
                match slot {
                    Some(known) if known.will_wake(waker) => {}
                    _ => *slot = Some(waker.clone()),
                }
                Poll::Pending
            }
            _ => {
                let op = ops.remove(id);
                let result = match op.state {
                    State::Done(result) => result,
                    _ => i32::MAX,
                };
                Poll::Ready(Completion { result, hold: op.hold })
            }
        }
    }

    /// As [`Ring::poll`], for a silent send: it has no waker of its own. If it fails, its socket's stream is woken.
    pub(super) fn poll_silent(&self, id: usize) -> Poll<Completion> {
        let in_flight = self.ops.borrow().get(id).is_some_and(|op| matches!(op.state, State::InFlight(_)));
        if in_flight { Poll::Pending } else { self.poll(id, Waker::noop()) }
    }

    /// The owner of operation `id` gives up. What it holds is released by its completion, never before.
    pub(super) fn abandon(&self, id: usize) {
        let mut ops = self.ops.borrow_mut();
        let Some(op) = ops.get_mut(id) else { return };
        if matches!(op.state, State::InFlight(_)) {
            op.state = State::Abandoned;
            return;
        }
        let op = ops.remove(id);
        drop(ops);
        if let State::Done(result) = op.state {
            self.reclaim(op.kind, result);
        }
    }

    /// Submits everything queued and waits for a completion, at most until `timeout` (none: for ever, zero: not
    /// at all), then gives every completion to its owner. The core blocks here and nowhere else.
    ///
    /// Returns how many completions came.
    pub(super) fn enter(&self, timeout: Option<Duration>) -> io::Result<usize> {
        let (mut reaped, mut timeout) = (0, timeout);
        loop {
            self.stats.enters.set(self.stats.enters.get() + 1);
            let result = self.submit_and_wait(timeout);
            // The kernel may have stopped half-way through the queue, short of memory. Completions queue more, which
            // may wait for the next turn; so this is asked before they are looked at.
            let unfinished = self.has_queued();
            reaped += self.reap();
            match result.map_err(|e| (e.raw_os_error(), e)) {
                Ok(()) | Err((Some(libc::ETIME | libc::EINTR), _)) if !unfinished => break,
                Ok(()) | Err((Some(libc::ETIME | libc::EINTR), _)) => timeout = Some(Duration::ZERO),
                // The kernel took nothing because completions had piled up; they are reaped now.
                Err((Some(libc::EBUSY | libc::EAGAIN), _)) => {}
                Err((_, e)) => return Err(e),
            }
        }
        self.settle_silent();
        Ok(reaped)
    }

    fn submit_and_wait(&self, timeout: Option<Duration>) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            return self.submit_and_look();
        }
        let uring = self.uring.borrow();
        let span = timeout.map(types::Timespec::from);
        let args = match &span {
            Some(span) => types::SubmitArgs::new().timespec(span),
            None => types::SubmitArgs::new(),
        };
        uring.submitter().submit_with_args(1, &args).map(drop)
    }

    /// Without waiting. The kernel puts completions off (`DEFER_TASKRUN`) until an enter asks for some, be it for none.
    fn submit_and_look(&self) -> io::Result<()> {
        let mut uring = self.uring.borrow_mut();
        let queued = uring.submission().len() as u32;
        let flags = EnterFlags::GETEVENTS.bits();
        // SAFETY: what the entries point to is owned by their `Op`s until the completion; there is no argument.
        unsafe { uring.submitter().enter::<libc::sigset_t>(queued, 0, flags, None) }.map(drop)
    }

    /// Whether something waits for the next enter.
    pub(super) fn has_queued(&self) -> bool {
        !self.uring.borrow_mut().submission().is_empty()
    }

    fn reap(&self) -> usize {
        let mut count = 0;
        loop {
            // Waking a task or dropping what an operation held may queue new operations, so neither the queue
            // nor the table may be borrowed meanwhile.
            let Some(entry) = self.uring.borrow_mut().completion().next() else { return count };
            count += 1;
            self.complete(&entry);
        }
    }

    fn complete(&self, entry: &cqueue::Entry) {
        if entry.user_data() == NOBODY {
            return;
        }
        let id = entry.user_data() as usize;
        let mut ops = self.ops.borrow_mut();
        let Some(op) = ops.get_mut(id) else { return };
        if op.kind == Kind::Stream {
            let descriptor = op.descriptor.clone();
            drop(ops);
            let last = descriptor
                .is_none_or(|descriptor| descriptor.stream().arrive(self, entry.result(), entry.flags()));
            if last {
                let op = self.ops.borrow_mut().try_remove(id);
                drop(op);
            }
            return;
        }
        match std::mem::replace(&mut op.state, State::Done(entry.result())) {
            State::InFlight(Some(waker)) => {
                drop(ops);
                waker.wake();
            }
            // A silent send that did not send all: whoever waits for its socket goes on with it.
            State::InFlight(None) => {
                let descriptor = op.descriptor.clone();
                drop(ops);
                if let Some(descriptor) = descriptor {
                    descriptor.stream().wake();
                }
            }
            _ => {
                let op = ops.remove(id);
                drop(ops);
                self.reclaim(op.kind, entry.result());
            }
        }
    }

    /// Every silent send of the enter that just returned is done: those that failed have had a completion.
    fn settle_silent(&self) {
        let mut silent = self.silent.borrow_mut();
        for id in silent.drain(..) {
            let mut ops = self.ops.borrow_mut();
            let Some(op) = ops.get_mut(id) else { continue };
            let released = match op.state {
                State::InFlight(_) => {
                    op.state = State::Silent;
                    std::mem::replace(&mut op.hold, Hold::Nothing)
                }
                State::Abandoned => ops.remove(id).hold,
                State::Done(_) | State::Silent => continue,
            };
            drop(ops);
            drop(released);
        }
    }

    /// Gives back what the completion of an abandoned operation brought.
    fn reclaim(&self, kind: Kind, result: i32) {
        if kind == Kind::Accept && result >= 0 {
            self.submit_and_forget(opcode::Close::new(types::Fd(result)).build());
        }
    }

    fn push(&self, entry: squeue::Entry) {
        let mut uring = self.uring.borrow_mut();
        loop {
            // SAFETY: what the entry points to is owned by its `Op` (or is nothing) until the completion.
            if unsafe { uring.submission().push(&entry) }.is_ok() {
                return;
            }
            // The queue is full: hand it to the kernel without waiting. It takes all of it (SUBMIT_ALL).
            let _ = uring.submit();
        }
    }
}

/// A send of `payload` without its first `skip` bytes.
pub(super) fn send_entry(
    descriptor: &Descriptor,
    payload: &Payload,
    skip: usize,
    flags: libc::c_int,
) -> squeue::Entry {
    let bytes = payload.get(skip..).unwrap_or_default();
    let len = bytes.len().min(u32::MAX as usize) as u32;
    opcode::Send::new(types::Fd(descriptor.raw()), bytes.as_ptr(), len).flags(flags).build()
}

/// What a finished operation left.
pub(super) struct Completion {
    /// As in the completion entry: a count or descriptor, or a negative errno. `i32::MAX` for a silent send.
    pub result: i32,
    pub hold: Hold,
}

impl Completion {
    pub fn count(&self) -> io::Result<usize> {
        usize::try_from(self.result).map_err(|_| io::Error::from_raw_os_error(-self.result))
    }
}
