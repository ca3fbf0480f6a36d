//! Waiting for a permit: the limiter with wakers, for the sessions of one core.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::key::{Key, Limits, Resource};
use super::limiter::{Cancelled, Entry, Limiter, Standing, Ticket};
use super::share::{Order, Report};

/// No permit is free and the queue has no place left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no permit is free and the queue is full")]
pub struct QueueFull;

/// The gate of one core; a clone is the same gate.
#[derive(Clone)]
pub struct Gate(Rc<Inner>);

struct Inner {
    limiter: RefCell<Limiter<Waker>>,
    /// Takes what the ledger is to be told. It must not come back to the gate.
    tell: Box<dyn Fn(Resource, Report)>,
    clock: Box<dyn Fn() -> Instant>,
}

impl Gate {
    /// A gate that is all there is: each key has these limits.
    pub fn alone(limits: Limits) -> Self {
        Self::new(Limiter::alone(limits), |_, _| (), Instant::now)
    }

    /// A gate with a part of the limits that a ledger keeps. `tell` passes reports on to it.
    pub fn of_ledger(
        tell: impl Fn(Resource, Report) + 'static,
        clock: impl Fn() -> Instant + 'static,
    ) -> Self {
        Self::new(Limiter::of_ledger(), tell, clock)
    }

    fn new(
        limiter: Limiter<Waker>,
        tell: impl Fn(Resource, Report) + 'static,
        clock: impl Fn() -> Instant + 'static,
    ) -> Self {
        Self(Rc::new(Inner { limiter: RefCell::new(limiter), tell: Box::new(tell), clock: Box::new(clock) }))
    }

    /// Asks for a permit of `key`, in the order of the first polls. Dropping the admission ends the wait.
    pub fn enter(&self, key: Key) -> Admission {
        Admission { gate: self.clone(), key, state: State::Unasked }
    }

    /// Takes an order of the ledger in.
    pub fn order(&self, of: Resource, order: Order) {
        let mut woken = Vec::new();
        let now = (self.0.clock)();
        let wake = |waker: &Waker| woken.push(waker.clone());
        self.0.limiter.borrow_mut().order(of, order, now, wake);
        self.tell_ledger();
        woken.into_iter().for_each(Waker::wake);
    }

    /// To be called once in a while: the ledger gets back what has not been used for long.
    pub fn tidy(&self) {
        self.0.limiter.borrow_mut().tidy((self.0.clock)());
        self.tell_ledger();
    }

    /// Permits that are out.
    pub fn running(&self) -> usize {
        self.0.limiter.borrow().running()
    }

    /// Admissions that wait.
    pub fn queued(&self) -> usize {
        self.0.limiter.borrow().queued()
    }

    /// Gives a permit back and wakes whom it was handed over to. The waker runs after the limiter is released: it
    /// may poll on the spot.
    fn leave(&self, key: Key) {
        let next = self.0.limiter.borrow_mut().leave(key, &self.0.clock);
        self.tell_ledger();
        if let Some(waker) = next {
            waker.wake();
        }
    }

    fn tell_ledger(&self) {
        let mut limiter = self.0.limiter.borrow_mut();
        if limiter.has_reports() {
            limiter.take_reports().for_each(|(of, report)| (self.0.tell)(of, report));
        }
    }
}

/// A permit; dropping it hands it over to the first who waits.
#[must_use = "the permit goes back when it is dropped"]
pub struct Permit {
    gate: Gate,
    key: Key,
    /// Those of other keys that go back with it.
    more: Vec<Permit>,
}

impl Permit {
    /// With others, which go back with it.
    pub fn with(mut self, more: Vec<Self>) -> Self {
        self.more = more;
        self
    }

    /// Without those others.
    pub fn alone(mut self) -> Self {
        self.more.clear();
        self
    }
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
    /// [`QueueFull`], mostly at the first poll; later if the ledger finds no place on any core.
    type Output = Result<Permit, QueueFull>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = {
            let mut limiter = self.gate.0.limiter.borrow_mut();
            match self.state {
                State::Unasked => match limiter.enter(self.key, || cx.waker().clone()) {
                    Entry::Admitted => Ok(()),
                    Entry::Refused => Err(QueueFull),
                    Entry::Queued(ticket) => {
                        drop(limiter);
                        self.gate.tell_ledger();
                        self.state = State::Queued(ticket);
                        return Poll::Pending;
                    }
                },
                State::Queued(ticket) => match limiter.standing(ticket) {
                    Standing::Waits(waker) => {
                        waker.clone_from(cx.waker());
                        return Poll::Pending;
                    }
                    Standing::Over => Ok(()),
                    Standing::Refused => Err(QueueFull),
                },
                // A future that has answered may do what it likes when polled again; it must not make a permit.
                State::Answered => return Poll::Pending,
            }
        };
        self.state = State::Answered;
        Poll::Ready(answer.map(|()| Permit { gate: self.gate.clone(), key: self.key, more: Vec::new() }))
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let State::Queued(ticket) = self.state else { return };
        let cancelled = self.gate.0.limiter.borrow_mut().cancel(ticket);
        if cancelled == Cancelled::Admitted {
            // The permit came and nobody took it: pass it on.
            self.gate.leave(self.key);
        } else {
            self.gate.tell_ledger();
        }
    }
}
