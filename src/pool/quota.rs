//! How many links a core may have to an instance: its share of `[pool] max_connections`, which is one number for the process.
//!
//! A core that has none left asks the ledger for more. Where others need some, a core gives back what it has no link for,
//! then links that nobody has used for a [`REST`]; and when all of the process are in use, those that are due to others, as they come
//! back from their sessions, after a [`LINK_TURN`].

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::circuit::{Order, Report, Share};
use crate::metrics::label::ClosedReason;
use crate::net::{Poker, Timer};

use super::stateless::StatelessPool;

/// Opening a link takes a login: one that was used lately is not closed for another core just because it is idle.
const REST: Duration = Duration::from_millis(50);

/// Links that are due to another core stay for this long.
const LINK_TURN: Duration = Duration::from_millis(100);

/// The share of one core, and the way to the ledger.
pub struct Quota {
    share: RefCell<Share>,
    tell: Box<dyn Fn(Report)>,
    /// A task looks for links to give away.
    yielding: Cell<bool>,
    /// Something has come that was not there before.
    news: Cell<bool>,
    poker: RefCell<Option<Poker>>,
}

impl Quota {
    /// `tell` passes reports on to the ledger. It must not come back here.
    pub fn new(tell: impl Fn(Report) + 'static) -> Self {
        Self {
            share: RefCell::default(),
            tell: Box::new(tell),
            yielding: Cell::new(false),
            news: Cell::new(false),
            poker: RefCell::default(),
        }
    }

    /// Room for one link more is taken.
    pub fn take(&self) -> bool {
        self.share.borrow_mut().take()
    }

    /// A link is no more.
    pub fn leave(&self) {
        self.share.borrow_mut().leave();
    }

    pub fn has_idle(&self) -> bool {
        self.share.borrow().idle() > 0
    }

    /// Whether the next link that comes back makes room on another core.
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.share.borrow().is_overdue(|| now, LINK_TURN)
    }

    pub fn ask(&self, wanted: usize) {
        self.report(|share| share.ask(wanted));
    }

    pub fn correct(&self, wanted: usize) {
        self.report(|share| share.correct(wanted));
    }

    pub fn give_back(&self, wanted: usize) {
        self.report(|share| share.give_back(wanted));
    }

    /// Whether a grant has come since this was last asked.
    pub fn take_news(&self) -> bool {
        self.news.replace(false)
    }

    /// What is to look when a grant comes.
    pub fn set_poker(&self, poker: Poker) {
        self.poker.replace(Some(poker));
    }

    fn is_needed(&self) -> bool {
        self.share.borrow().is_needed()
    }

    fn report(&self, report: impl FnOnce(&mut Share) -> Option<Report>) {
        let report = report(&mut self.share.borrow_mut());
        if let Some(report) = report {
            (self.tell)(report);
        }
    }
}

impl StatelessPool {
    /// Takes an order of the ledger in.
    pub fn order(self: &Rc<Self>, order: Order) {
        self.quota.share.borrow_mut().order(order, self.core.timers.now());
        if order.granted > 0 {
            self.open_for_waiters();
            self.quota.news.set(true);
            if let Some(poker) = &*self.quota.poker.borrow() {
                poker.poke();
            }
        }
        self.make_room_elsewhere();
        let wanted = self.wanted();
        match order.granted > 0 && wanted == 0 {
            // The ledger may think that more are waited for.
            true => self.quota.report(|share| Some(share.tell(0))),
            false => self.quota.correct(wanted),
        }
        if self.quota.is_needed() && !self.quota.yielding.replace(true) {
            let pool = self.clone();
            self.core.spawn(async move {
                let timer = Timer::new(&pool.core.timers);
                while pool.quota.is_needed() && !pool.is_closed() {
                    timer.sleep(REST).await;
                    pool.make_room_elsewhere();
                }
                pool.quota.yielding.set(false);
            });
        }
    }

    /// Gives back what others need and nobody uses here.
    fn make_room_elsewhere(self: &Rc<Self>) {
        let now = self.core.timers.now();
        loop {
            if self.quota.has_idle() && self.wanted() == 0 {
                self.quota.give_back(0);
            }
            // While no link can be opened, none that works is closed.
            if !self.quota.is_needed() || !self.may_try() {
                return;
            }
            let may_go =
                |since: Instant| self.quota.is_overdue(now) || now.saturating_duration_since(since) >= REST;
            if !self.close_least_used(may_go, ClosedReason::Elsewhere) {
                return;
            }
        }
    }
}
