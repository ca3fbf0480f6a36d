//! How messages from the control executor reach a core: a queue, and an eventfd whose read completes in the
//! core's own ring.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use io_uring::{opcode, types};

use super::ring::{Hold, Kind, Ring};
use super::socket::{Descriptor, Operation};

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    eventfd: libc::c_int,
}

struct Queue<T> {
    messages: VecDeque<T>,
    /// Nobody receives any more.
    closed: bool,
}

impl<T> Shared<T> {
    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours; the core's reads of it hold a duplicate.
        unsafe { libc::close(self.eventfd) };
    }
}

/// The sending half, for other threads. Control plane only: it takes a lock.
pub struct Sender<T>(Arc<Shared<T>>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Sender<T> {
    /// Queues `message` and wakes the core. Never blocks on the core; once that has closed its inbox, the message is
    /// dropped.
    pub fn send(&self, message: T) {
        let mut queue = self.0.queue();
        if queue.closed {
            drop(queue);
            return drop(message);
        }
        queue.messages.push_back(message);
        drop(queue);
        let one = 1u64;
        // SAFETY: eight live bytes are written to an eventfd of ours. It fails only when the counter is full,
        // and then the core is about to wake already.
        unsafe { libc::write(self.0.eventfd, (&raw const one).cast(), size_of::<u64>()) };
    }
}

/// The receiving half before it is on its core.
pub struct Inbox<T>(Arc<Shared<T>>);

/// A new inbox.
///
/// # Errors
/// Those of `eventfd(2)`.
pub fn inbox<T>() -> io::Result<(Sender<T>, Inbox<T>)> {
    // SAFETY: eventfd(2) takes no pointers.
    let eventfd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if eventfd < 0 {
        return Err(io::Error::last_os_error());
    }
    let shared =
        Arc::new(Shared { queue: Mutex::new(Queue { messages: VecDeque::new(), closed: false }), eventfd });
    Ok((Sender(shared.clone()), Inbox(shared)))
}

impl<T> Inbox<T> {
    /// Puts the receiving half on the ring of its core.
    ///
    /// # Errors
    /// Those of `dup(2)`.
    pub fn on(self, ring: &Rc<Ring>) -> io::Result<Receiver<T>> {
        // SAFETY: duplicating a descriptor of ours.
        let fd = unsafe { libc::fcntl(self.0.eventfd, libc::F_DUPFD_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Receiver { shared: self.0, descriptor: Rc::new(Descriptor::new(ring, fd)) })
    }
}

/// The receiving half on its core.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    descriptor: Rc<Descriptor>,
}

impl<T> Receiver<T> {
    /// The next message, in the order of sending.
    pub async fn receive(&self) -> T {
        loop {
            let message = self.shared.queue().messages.pop_front();
            if let Some(message) = message {
                return message;
            }
            let mut counter = Box::new(0u64);
            let at = (&raw mut *counter).cast();
            let entry = opcode::Read::new(types::Fd(self.descriptor.raw()), at, 8).build();
            Operation::new(self.descriptor.clone(), entry, Kind::Other, Hold::Counter(counter)).await;
        }
    }

    /// Drops what has come, and what is sent from now on: what a message holds is not kept for as long as there are
    /// senders.
    pub fn close(&self) {
        let mut queue = self.shared.queue();
        queue.closed = true;
        let rest = std::mem::take(&mut queue.messages);
        drop(queue);
        drop(rest);
    }
}
