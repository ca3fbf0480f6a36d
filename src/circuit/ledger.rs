//! The ledger: every limit is one number for the process, whatever core its permits are on.
//!
//! ```text
//!  core --Report{wanted}--> ledger --Order{granted}--> core
//!                             |----Order{needed, due}--> other cores --Report{returned}--> ledger
//! ```
//!
//! A core begins with nothing, and is granted its even part of a limit when it first asks. A core that runs dry asks again; what
//! is idle elsewhere comes back at once, and what is in use when it gets idle. Where all permits are in use, each core's part
//! follows how many it could use, so that a core with many waiters gets more of them; what is left over by rounding goes
//! round, a [`TURN`](super::TURN) at each core.
//!
//! Only the ledger grants, and never more than the limit less what is out: a permit on its way counts for the core that it
//! comes from. So the sum never exceeds the limit. When the limit gets smaller, permits come back as they get idle.

use std::hash::Hash;

use foldhash::HashMap;

use super::share::{Order, Report};

/// A number for the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub max: usize,
    /// Whoever waits for a permit, while all are in use, is told that none will come.
    pub refuses: bool,
}

/// The ledger of all limits; `R` tells which.
pub struct Ledger<R> {
    cores: usize,
    /// Cores that have ended.
    retired: Vec<usize>,
    books: HashMap<R, Book>,
    /// Rises with each turn that a core gets.
    clock: u64,
}

/// One limit.
struct Book {
    limit: Limit,
    pages: Vec<Page>,
}

/// What one core has of it.
#[derive(Clone, Default)]
struct Page {
    granted: usize,
    wanted: usize,
    /// When it began to want, or was last granted something.
    since: u64,
    /// What it was last ordered, less what came back.
    needed: usize,
    due: usize,
    /// It was asked for an answer and has not given it.
    unanswered: bool,
    /// So many of those that want one are refused when all cores have answered: they were there by the report of `heard`.
    at_risk: usize,
    heard: u64,
    /// Number of the last report.
    number: u64,
}

impl<R: Copy + Eq + Hash> Ledger<R> {
    pub fn new(cores: usize) -> Self {
        Self { cores, retired: Vec::new(), books: HashMap::default(), clock: 0 }
    }

    /// Takes a core's report in. The orders are for the cores of these numbers.
    pub fn report(&mut self, core: usize, of: R, limit: Limit, report: Report) -> Vec<(usize, Order)> {
        if self.retired.contains(&core) {
            // What it had is already free.
            return Vec::new();
        }
        let cores = self.cores;
        let pages = || vec![Page::default(); cores];
        let book = self.books.entry(of).or_insert_with(|| Book { limit, pages: pages() });
        book.limit = limit;
        let Some(page) = book.pages.get_mut(core) else { return Vec::new() };
        page.take_in(report, &mut self.clock);
        let orders = book.settle(Some(core).filter(|_| report.wanted > 0), &mut self.clock);
        if book.pages.iter().all(|page| page.granted == 0 && page.wanted == 0) {
            self.books.remove(&of);
        }
        orders
    }

    /// The numbers have changed.
    pub fn revise(&mut self, limit: impl Fn(&R) -> Limit) -> Vec<(R, usize, Order)> {
        self.change_all(|of, book| book.limit = limit(of))
    }

    /// A core has ended, and with it all that ran there: what it had is free. It takes no orders any more.
    pub fn retire(&mut self, core: usize) -> Vec<(R, usize, Order)> {
        self.retired.push(core);
        self.change_all(|_, book| {
            if let Some(page) = book.pages.get_mut(core) {
                *page = Page::default();
            }
        })
    }

    fn change_all(&mut self, change: impl Fn(&R, &mut Book)) -> Vec<(R, usize, Order)> {
        let mut orders = Vec::new();
        for (of, book) in &mut self.books {
            change(of, book);
            let settled = book.settle(None, &mut self.clock);
            orders.extend(settled.into_iter().map(|(core, order)| (*of, core, order)));
        }
        orders
    }

    /// How many permits of a limit are out.
    #[cfg(test)]
    pub(super) fn granted(&self, of: &R) -> usize {
        self.books.get(of).map_or(0, Book::granted)
    }
}

impl Page {
    fn take_in(&mut self, report: Report, clock: &mut u64) {
        self.granted = self.granted.saturating_sub(report.returned);
        self.needed = self.needed.saturating_sub(report.returned);
        self.due = self.due.saturating_sub(report.returned);
        if self.wanted == 0 && report.wanted > 0 {
            self.since = tick(clock);
        }
        self.wanted = report.wanted;
        self.number = report.number;
        if report.answer {
            (self.needed, self.due, self.unanswered) = (0, 0, false);
        }
    }

    /// How many it could use.
    fn demand(&self) -> usize {
        self.granted + self.wanted
    }
}

impl Book {
    fn granted(&self) -> usize {
        self.pages.iter().map(|page| page.granted).sum()
    }

    fn wanted(&self) -> usize {
        self.pages.iter().map(|page| page.wanted).sum()
    }

    /// Grants what is free, and has others give what is missing. `asker` has just asked.
    fn settle(&mut self, asker: Option<usize>, clock: &mut u64) -> Vec<(usize, Order)> {
        let mut orders = vec![Order::default(); self.pages.len()];
        let mut free = self.limit.max.saturating_sub(self.granted());
        while free > 0
            && let Some((core, count)) = self.next(free)
        {
            free -= count;
            orders[core].granted += count;
            let page = &mut self.pages[core];
            page.granted += count;
            page.wanted -= count;
            page.since = tick(clock);
        }
        if let Some(core) = asker.filter(|_| self.wanted() == 0) {
            // Its even part, so that it need not ask for each.
            let even = self.limit.max.div_ceil(self.pages.len());
            let more = even.saturating_sub(self.pages[core].granted).min(free);
            self.pages[core].granted += more;
            orders[core].granted += more;
        }
        let recalled = if self.limit.refuses { self.ask_all(&mut orders) } else { self.recall() };
        let told =
            |core: &usize| recalled.contains(core) || orders[*core].granted > 0 || orders[*core].denied > 0;
        let told: Vec<usize> = (0..self.pages.len()).filter(told).collect();
        told.into_iter()
            .map(|core| {
                let page = &self.pages[core];
                let answer = page.unanswered && recalled.contains(&core);
                (core, Order { needed: page.needed, due: page.due, answer, ..orders[core] })
            })
            .collect()
    }

    /// Who is to be granted how many of those that are free: the one below its part that has waited longest.
    fn next(&self, free: usize) -> Option<(usize, usize)> {
        let part = self.part();
        let wanting = || self.pages.iter().enumerate().filter(|(_, page)| page.wanted > 0);
        let below = wanting().filter(|(_, page)| part.of(page).is_none_or(|part| page.granted < part.up));
        let (core, page) = below
            .min_by_key(|(_, page)| page.since)
            .or_else(|| wanting().min_by_key(|(_, page)| page.since))?;
        let missing = part.of(page).map_or(page.wanted, |part| part.down.saturating_sub(page.granted).max(1));
        Some((core, missing.min(page.wanted).min(free)))
    }

    fn part(&self) -> Part {
        Part { limit: self.limit.max, demand: self.pages.iter().map(Page::demand).sum() }
    }

    /// Changes what cores are to give back, and tells which cores have to be told.
    fn recall(&mut self) -> Vec<usize> {
        let part = self.part();
        let missing = self.wanted() + self.granted().saturating_sub(self.limit.max);
        let mut changed = Vec::new();
        for (core, page) in self.pages.iter_mut().enumerate() {
            let elsewhere = missing.saturating_sub(page.wanted);
            let needed = page.granted.min(elsewhere);
            let above = part.of(page).map_or(0, |part| page.granted.saturating_sub(part.down));
            // By rounding alone nobody gives more than one at a time.
            let beyond = part.of(page).map_or(0, |part| page.granted.saturating_sub(part.up));
            let due = beyond.max(above.min(1)).min(needed);
            if (page.needed, page.due) != (needed, due) {
                (page.needed, page.due) = (needed, due);
                changed.push(core);
            }
        }
        changed
    }

    /// Where those who get nothing are refused: has each core give back what is idle, and when all have answered refuses as
    /// many as were there when they were asked.
    fn ask_all(&mut self, orders: &mut [Order]) -> Vec<usize> {
        let mut told = Vec::new();
        if self.pages.iter().any(|page| page.unanswered) {
            return told;
        }
        self.refuse(orders);
        let missing = self.wanted();
        let excess = self.granted().saturating_sub(self.limit.max);
        for (core, page) in self.pages.iter_mut().enumerate() {
            (page.at_risk, page.heard) = (page.wanted, page.number);
            page.unanswered = missing > 0 && page.granted > 0 && page.wanted == 0;
            let needed = if page.unanswered { page.granted } else { page.granted.min(excess) };
            if std::mem::replace(&mut page.needed, needed) != needed || page.unanswered {
                told.push(core);
            }
        }
        if !self.pages.iter().any(|page| page.unanswered) {
            // There is nobody to ask.
            self.refuse(orders);
        }
        told
    }

    fn refuse(&mut self, orders: &mut [Order]) {
        for (page, order) in self.pages.iter_mut().zip(orders) {
            let denied = std::mem::take(&mut page.at_risk).min(page.wanted);
            page.wanted -= denied;
            order.denied += denied;
            order.heard = page.heard;
        }
    }
}

/// What falls to each core where all permits are in use.
struct Part {
    limit: usize,
    demand: usize,
}

struct Rounded {
    down: usize,
    up: usize,
}

impl Part {
    /// In proportion to what the core could use; `None` where there is enough for all.
    fn of(&self, page: &Page) -> Option<Rounded> {
        if self.demand <= self.limit {
            return None;
        }
        let (product, demand) = (self.limit as u128 * page.demand() as u128, self.demand as u128);
        let down = usize::try_from(product / demand).unwrap_or(self.limit);
        Some(Rounded { down, up: down + usize::from(product % demand > 0) })
    }
}

fn tick(clock: &mut u64) -> u64 {
    *clock += 1;
    *clock
}
