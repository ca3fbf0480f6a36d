//! What one core has of a limit of the whole process: the core's side of the [`Ledger`](super::Ledger).

use std::time::{Duration, Instant};

/// A permit that is due to another core stays with those who wait on its own for no longer than this.
pub const TURN: Duration = Duration::from_millis(5);

/// From the ledger to a core, about one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Order {
    /// Permits that are the core's from now on.
    pub granted: usize,
    /// Permits that others could use: as many are to go back as the core has idle, or gets idle. It takes the place of
    /// what was ordered before.
    pub needed: usize,
    /// As many of those are to go back although somebody on the core waits for them, after their [`TURN`].
    pub due: usize,
    /// The ledger wants an answer, also if nothing is idle.
    pub answer: bool,
    /// So many of those who were reported to wait get nothing: all permits of the process are in use.
    pub denied: usize,
    /// They were reported to wait by the report of this number, at the latest.
    pub heard: u64,
}

/// From a core to the ledger, about one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// Permits that are the core's no longer.
    pub returned: usize,
    /// How many more it could use. It takes the place of what was reported before.
    pub wanted: usize,
    /// It answers an order.
    pub answer: bool,
    /// Rises from report to report.
    pub number: u64,
}

/// The permits of one limit on one core. Never are more in use than the core holds.
#[derive(Debug, Clone, Default)]
pub struct Share {
    held: usize,
    used: usize,
    needed: usize,
    due: usize,
    due_since: Option<Instant>,
    /// The `wanted` of the last report, less what was granted since: never more than the ledger knows of.
    asked: usize,
    /// Of the last report.
    number: u64,
}

impl Share {
    /// A share that is all there is: no ledger stands behind it.
    pub fn alone(limit: usize) -> Self {
        Self { held: limit, ..Self::default() }
    }

    /// Takes a permit, if one is idle.
    pub fn take(&mut self) -> bool {
        let idle = self.used < self.held;
        self.used += usize::from(idle);
        idle
    }

    /// A permit is no longer in use.
    pub fn leave(&mut self) {
        self.used = self.used.saturating_sub(1);
    }

    /// Permits of this core, in use or idle.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Permits in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Permits for which there is no use.
    pub fn idle(&self) -> usize {
        self.held - self.used
    }

    /// Whether others could use a permit that gets idle here.
    pub fn is_needed(&self) -> bool {
        self.needed > 0
    }

    /// Whether the next permit that is free goes to another core, whoever waits for it here.
    pub fn is_overdue(&self, now: impl FnOnce() -> Instant, turn: Duration) -> bool {
        self.due > 0 && self.due_since.is_some_and(|since| now().saturating_duration_since(since) >= turn)
    }

    /// Takes an order in. What was granted is idle now.
    pub fn order(&mut self, order: Order, now: Instant) {
        self.held += order.granted;
        self.asked = self.asked.saturating_sub(order.granted + order.denied);
        self.needed = order.needed;
        self.due = order.due.min(order.needed);
        self.due_since = (self.due > 0).then(|| self.due_since.unwrap_or(now));
    }

    /// Idle permits that others need go back; `wanted` more could be used here. Without any, `None`.
    pub fn give_back(&mut self, wanted: usize) -> Option<Report> {
        let returned = self.idle().min(self.needed);
        (returned > 0).then(|| self.returned(returned, wanted))
    }

    /// The answer to an order that wants one. What gets idle later stays here.
    pub fn answer(&mut self, wanted: usize) -> Report {
        let returned = self.idle().min(self.needed);
        let report = self.returned(returned, wanted);
        (self.needed, self.due, self.due_since) = (0, 0, None);
        Report { answer: true, ..report }
    }

    /// What is to be said when more wait than before: nothing if the ledger knows of half of them.
    pub fn ask(&mut self, wanted: usize) -> Option<Report> {
        let knows = wanted == 0 || wanted < 2 * self.asked;
        (!knows).then(|| self.returned(0, wanted))
    }

    /// What is to be said so that the ledger knows exactly.
    pub fn correct(&mut self, wanted: usize) -> Option<Report> {
        (self.asked != wanted).then(|| self.returned(0, wanted))
    }

    /// A report that says how many are wanted.
    pub fn tell(&mut self, wanted: usize) -> Report {
        self.returned(0, wanted)
    }

    /// All that is idle goes back.
    pub fn give_up(&mut self) -> Option<Report> {
        let idle = self.idle();
        (idle > 0 || self.asked > 0).then(|| self.returned(idle, 0))
    }

    fn returned(&mut self, returned: usize, wanted: usize) -> Report {
        self.held -= returned;
        self.needed = self.needed.saturating_sub(returned);
        self.due = self.due.saturating_sub(returned);
        if self.due == 0 {
            self.due_since = None;
        }
        self.asked = wanted;
        self.number += 1;
        Report { returned, wanted, answer: false, number: self.number }
    }
}
