//! Waiting for a permit: the limiter with wakers, for the sessions of one core.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::limiter::{Cancelled, Entry, Key, Limiter, Limits, Ticket};

/// No permit is free and the queue has no place left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no permit is free and the queue is full")]
pub struct QueueFull;

/// The gate of one core; a clone is the same gate.
#[derive(Clone)]
pub struct Gate(Rc<RefCell<Limiter<Waker>>>);

impl Gate {
    pub fn new(limits: Limits) -> Self {
        Self(Rc::new(RefCell::new(Limiter::new(limits))))
    }

    /// Asks for a permit of `key`, in the order of the first polls. Dropping the admission ends the wait.
    pub fn enter(&self, key: Key) -> Admission {
        Admission { gate: self.clone(), key, state: State::Unasked }
    }

    /// Permits that are out.
    pub fn running(&self) -> usize {
        self.0.borrow().running()
    }

    /// Admissions that wait.
    pub fn queued(&self) -> usize {
        self.0.borrow().queued()
    }

    /// Gives a permit back and wakes whom it was handed over to. The waker runs after the limiter is released: it
    /// may poll on the spot.
    fn leave(&self, key: Key) {
        let next = self.0.borrow_mut().leave(key);
        if let Some((_, waker)) = next {
            waker.wake();
        }
    }
}

/// A permit; dropping it hands it over to the first who waits.
#[must_use = "the permit goes back when it is dropped"]
pub struct Permit {
    gate: Gate,
    key: Key,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.leave(self.key);
    }
}

/// A request for a permit.
#[must_use = "nothing is asked for until it is awaited"]
pub struct Admission {
    gate: Gate,
    key: Key,
    state: State,
}

enum State {
    /// Not polled yet.
    Unasked,
    /// In the queue, or handed a permit without having noticed it yet: the limiter knows which.
    Queued(Ticket),
    /// Answered; the permit, if there was one, is the caller's.
    Answered,
}

impl Future for Admission {
    /// # Errors
    /// [`QueueFull`], at the first poll only.
    type Output = Result<Permit, QueueFull>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = {
            let mut limiter = self.gate.0.borrow_mut();
            match self.state {
                State::Unasked => match limiter.enter(self.key, || cx.waker().clone()) {
                    Entry::Admitted => Ok(()),
                    Entry::Refused => Err(QueueFull),
                    Entry::Queued(ticket) => {
                        drop(limiter);
                        self.state = State::Queued(ticket);
                        return Poll::Pending;
                    }
                },
                State::Queued(ticket) => match limiter.left_with(ticket) {
                    Some(waker) => {
                        waker.clone_from(cx.waker());
                        return Poll::Pending;
                    }
                    None => Ok(()),
                },
                // A future that has answered may do what it likes when polled again; it must not make a permit.
                State::Answered => return Poll::Pending,
            }
        };
        self.state = State::Answered;
        Poll::Ready(answer.map(|()| Permit { gate: self.gate.clone(), key: self.key }))
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let State::Queued(ticket) = self.state else { return };
        let cancelled = self.gate.0.borrow_mut().cancel(ticket);
        if cancelled == Cancelled::Admitted {
            // The permit came and nobody took it: pass it on.
            self.gate.leave(self.key);
        }
    }
}
