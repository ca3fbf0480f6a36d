//! How messages from the control executor reach a core: a queue, and an eventfd whose read completes in the
//! core's own ring.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use io_uring::{opcode, types};

use super::ring::{Hold, Kind, Ring};
use super::socket::{Descriptor, Operation};

struct Shared<T> {
    queue: Mutex<VecDeque<T>>,
    eventfd: libc::c_int,
}

impl<T> Shared<T> {
    fn pop(&self) -> Option<T> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
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
    /// Queues `message` and wakes the core. Never blocks on the core.
    pub fn send(&self, message: T) {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(message);
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
    let shared = Arc::new(Shared { queue: Mutex::default(), eventfd });
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
            if let Some(message) = self.shared.pop() {
                return message;
            }
            let mut counter = Box::new(0u64);
            let at = (&raw mut *counter).cast();
            let entry = opcode::Read::new(types::Fd(self.descriptor.raw()), at, 8).build();
            Operation::new(self.descriptor.clone(), entry, Kind::Other, Hold::Counter(counter)).await;
        }
    }
}
