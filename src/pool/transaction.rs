//! The transaction pool: links that sessions keep, each with a reason, a time, and whoever ends it.

use std::task::{Context, Poll};
use std::time::Instant;

use crate::metrics::label::{BoundReason, LinkState};

use super::lease::Lease;

/// A link that is bound to a session. It counts under its reason for as long as it lives.
pub struct Bound {
    /// `None` only while it is being given up.
    lease: Option<Lease>,
    reason: BoundReason,
    since: Instant,
}

impl Bound {
    pub fn new(lease: Lease, reason: BoundReason, now: Instant) -> Self {
        let metrics = &lease.pool().metrics;
        metrics.links.of(LinkState::Busy).dec();
        metrics.link_bound(reason);
        Self { lease: Some(lease), reason, since: now }
    }

    pub fn reason(&self) -> BoundReason {
        self.reason
    }

    /// When the session got it.
    pub fn since(&self) -> Instant {
        self.since
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
        let metrics = &lease.pool().metrics;
        metrics.link_unbound(self.reason);
        metrics.links.of(LinkState::Busy).inc();
        Some(lease)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        drop(self.unbind());
    }
}
