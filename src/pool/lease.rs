//! The right to use a link.

use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use crate::metrics::label::ClosedReason;
use crate::net::Timer;

use super::link::Link;
use super::stateless::StatelessPool;

/// A link on loan. Whoever drops it without giving it back leaves the link in an unknown state, so that closes it: a
/// session that ends in the middle of anything needs no other care.
#[must_use = "a lease that is dropped closes its link"]
pub struct Lease {
    /// `None` only while it is being given up.
    link: Option<Box<Link>>,
    pool: Rc<StatelessPool>,
}

impl Lease {
    pub(super) fn new(pool: &Rc<StatelessPool>, link: Box<Link>) -> Self {
        Self { link: Some(link), pool: pool.clone() }
    }

    /// Gives a link back, for the next who needs one. What it carries must be known, or it is reset.
    pub fn give_back(mut self) {
        if self.carries.is_none() || !self.tells_gtids {
            return self.give_back_dirty();
        }
        if let Some(link) = self.link.take() {
            self.pool.put(link);
        }
    }

    /// Gives back a link that carries state: it is reset first, behind the scenes.
    pub fn give_back_dirty(self) {
        let core = self.pool.core.clone();
        core.spawn(self.reset_and_give_back());
    }

    /// The same, waited for: then what was held there is free.
    pub async fn reset_and_give_back(mut self) {
        if self.reset_in_time().await {
            self.pool.metrics.link_resets.inc();
            self.give_back();
        } else {
            self.close(ClosedReason::Dirty);
        }
    }

    /// Closes a link that carries more than a reset clears. What a reset does clear is gone when this is done.
    pub async fn reset_and_close(mut self) {
        self.reset_in_time().await;
        self.close(ClosedReason::Dirty);
    }

    async fn reset_in_time(&mut self) -> bool {
        let (timer, limit) = (Timer::new(&self.pool.core.timers), self.pool.settings.connect_timeout);
        let pool = self.pool.clone();
        matches!(timer.within(limit, self.reset(&pool.states)).await, Ok(Ok(true)))
    }

    /// Closes the link in an orderly way.
    pub fn close(mut self, reason: ClosedReason) {
        if let Some(link) = self.link.take() {
            link.quit();
            self.pool.closed(link, reason);
        }
    }

    /// The number of its server's cluster.
    pub fn cluster(&self) -> usize {
        self.pool.cluster
    }

    /// The number of its server among the members of that.
    pub fn member(&self) -> usize {
        self.pool.member
    }

    pub fn pool(&self) -> &Rc<StatelessPool> {
        &self.pool
    }
}

impl Deref for Lease {
    type Target = Link;

    fn deref(&self) -> &Link {
        match &self.link {
            Some(link) => link,
            None => unreachable!("the link leaves with the lease"),
        }
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Link {
        match &mut self.link {
            Some(link) => link,
            None => unreachable!("the link leaves with the lease"),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            self.pool.note_break(&link);
            self.pool.closed(link, ClosedReason::Error);
        }
    }
}
