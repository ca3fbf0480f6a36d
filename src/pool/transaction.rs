//! The transaction pool: links that sessions keep, each with a reason, a time, and whoever ends it.

use std::cell::RefCell;
use std::task::{Context, Poll};
use std::time::Instant;

use slab::Slab;

use crate::metrics::label::{BoundReason, LinkState};

use super::lease::Lease;

/// A link that is bound to a session. It counts under its reason for as long as it lives.
pub struct Bound {
    /// `None` only while it is being given up.
    lease: Option<Lease>,
    reason: BoundReason,
    /// Of its entry in the pool's [`BoundSince`].
    number: usize,
}

/// Since when each of a pool's bound links is bound.
#[derive(Debug, Default)]
pub struct BoundSince(RefCell<Slab<Instant>>);

impl BoundSince {
    /// Since when the link is bound that has been for the longest time; `None` when none is bound.
    pub fn oldest(&self) -> Option<Instant> {
        self.0.borrow().iter().map(|(_, since)| *since).min()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    fn begin(&self, now: Instant) -> usize {
        self.0.borrow_mut().insert(now)
    }

    fn end(&self, number: usize) {
        self.0.borrow_mut().try_remove(number);
    }
}

impl Bound {
    pub fn new(lease: Lease, reason: BoundReason, now: Instant) -> Self {
        let pool = lease.pool();
        pool.metrics.links.of(LinkState::Busy).dec();
        pool.metrics.link_bound(reason);
        let number = pool.bound_since.begin(now);
        Self { lease: Some(lease), reason, number }
    }

    pub fn reason(&self) -> BoundReason {
        self.reason
    }

    /// The server of the link, by its number in the cluster.
    pub fn member(&self) -> Option<usize> {
        self.lease.as_ref().map(Lease::member)
    }

    /// The same link is now kept for another reason.
    pub fn set_reason(&mut self, reason: BoundReason) {
        if reason != self.reason
            && let Some(lease) = &self.lease
        {
            let metrics = &lease.pool().metrics;
            metrics.link_unbound(self.reason);
            metrics.link_bound(reason);
            self.reason = reason;
        }
    }

    /// Nothing binds the link any more.
    pub fn release(mut self) -> Lease {
        match self.unbind() {
            Some(lease) => lease,
            None => unreachable!("the lease leaves with the binding"),
        }
    }

    /// Whether the link's server has closed it; has the task woken when it does.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.lease {
            Some(lease) => lease.socket.poll_closed(cx),
            None => Poll::Ready(()),
        }
    }

    /// Whether nothing has come from the server since the last reply.
    pub fn is_quiet(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.socket.is_quiet())
    }

    pub fn lease(&mut self) -> &mut Lease {
        match &mut self.lease {
            Some(lease) => lease,
            None => unreachable!("the lease leaves with the binding"),
        }
    }

    fn unbind(&mut self) -> Option<Lease> {
        let lease = self.lease.take()?;
        let pool = lease.pool();
        pool.bound_since.end(self.number);
        pool.metrics.link_unbound(self.reason);
        pool.metrics.links.of(LinkState::Busy).inc();
        Some(lease)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        drop(self.unbind());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_is_the_one_that_began_first_of_those_that_are_left() {
        let (times, start) = (BoundSince::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(times.oldest(), None);
        let [second, first, third] = [2, 1, 3].map(|seconds| times.begin(after(seconds)));
        assert_eq!(times.oldest(), Some(after(1)));
        times.end(first);
        assert_eq!(times.oldest(), Some(after(2)));
        // A place that was another's before.
        let fourth = times.begin(after(4));
        times.end(second);
        times.end(third);
        assert_eq!(times.oldest(), Some(after(4)));
        times.end(fourth);
        assert_eq!(times.oldest(), None);
    }
}
