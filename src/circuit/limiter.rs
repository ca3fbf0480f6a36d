//! Permits and queues of one core.
//!
//! Each key has two limits: of statements that run (permits), and of statements that are there, running or waiting (places).
//! A statement takes a place first and keeps it to its end. One that finds none waits behind the others, until the ledger
//! has found a place or says that there is none in the whole process.

use std::collections::hash_map::Entry as Slot;
use std::time::{Duration, Instant};

use foldhash::HashMap;
use slab::Slab;

use super::key::{Key, Limits, Resource};
use super::share::{Order, Report, Share, TURN};

/// What a key holds and nobody uses goes back to the ledger after this.
const UNUSED_MAX: Duration = Duration::from_secs(30);

/// A place in a queue. It is never used for another waiter, also when that one gets the same slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    slot: usize,
    serial: u64,
}

/// What came of asking for a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// The permit is held; [`Limiter::leave`] gives it back.
    Admitted,
    /// A permit will be handed over to this ticket, or it will be refused, unless [`Limiter::cancel`] comes first.
    Queued(Ticket),
    /// No permit, and no place in the queue.
    Refused,
}

/// What has become of a ticket.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing<'a, T> {
    /// It waits, with what was left with it.
    Waits(&'a mut T),
    /// It has its permit, or was cancelled.
    Over,
    /// There was no place for it. The ticket ends with this answer.
    Refused,
}

/// What a cancelled ticket was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It waited or was refused, and does so no more.
    Waiting,
    /// The permit had been handed over already: whoever cancels holds it, and must leave.
    Admitted,
}

/// The limiter of one core. `T` is what a waiter leaves with its ticket, for whoever hands the permit over (its
/// waker). Nothing is allocated for an admission once the maps have reached their usual size.
///
/// What holds after each call: nobody who has a place waits while a permit is idle.
pub struct Limiter<T> {
    source: Source,
    keys: HashMap<Key, State>,
    waiters: Slab<Waiter<T>>,
    /// Serial of the next ticket.
    serial: u64,
    running: usize,
    queued: usize,
    /// What the ledger is to be told.
    reports: Vec<(Resource, Report)>,
}

/// Where permits and places come from.
enum Source {
    /// Each key has these, on this core alone.
    Alone(Limits),
    Ledger,
}

/// One key: its permits, its places and its queue, a list through the slab of waiters. Those without a place are behind
/// those with one.
struct State {
    permits: Share,
    places: Share,
    queued: usize,
    first: Option<usize>,
    last: Option<usize>,
    /// Of those that wait without a place.
    placeless: usize,
    /// The first of them.
    first_placeless: Option<usize>,
    last_used: Option<Instant>,
}

struct Waiter<T> {
    key: Key,
    serial: u64,
    ahead: Option<usize>,
    behind: Option<usize>,
    has_place: bool,
    /// By this report the ledger knows that it waits for a place.
    report: u64,
    refused: bool,
    left: T,
}

impl<T> Limiter<T> {
    /// Keys have these limits, for this core alone.
    pub fn alone(limits: Limits) -> Self {
        Self::new(Source::Alone(limits))
    }

    /// What keys have comes from the ledger: [`Limiter::take_reports`] tells what it is to be told, [`Limiter::order`] takes
    /// its orders in.
    pub fn of_ledger() -> Self {
        Self::new(Source::Ledger)
    }

    fn new(source: Source) -> Self {
        Self {
            source,
            keys: HashMap::default(),
            waiters: Slab::new(),
            serial: 0,
            running: 0,
            queued: 0,
            reports: Vec::new(),
        }
    }

    /// Asks for a permit. `left` is called only if the answer is [`Entry::Queued`].
    pub fn enter(&mut self, key: Key, left: impl FnOnce() -> T) -> Entry {
        let is_alone = matches!(self.source, Source::Alone(_));
        let state = match self.keys.entry(key) {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(slot) => slot.insert(State::new(&self.source)),
        };
        let has_place = state.places.take();
        if !has_place && is_alone {
            self.forget_if_empty(key);
            return Entry::Refused;
        }
        // Whoever waits with a place finds no permit idle.
        if has_place && state.permits.take() {
            self.running += 1;
            return Entry::Admitted;
        }
        let serial = self.serial;
        self.serial += 1;
        let ahead = state.last;
        let waiter =
            Waiter { key, serial, ahead, behind: None, has_place, report: 0, refused: false, left: left() };
        let slot = self.waiters.insert(waiter);
        self.queued += 1;
        state.queued += 1;
        state.last = Some(slot);
        match ahead.and_then(|ahead| self.waiters.get_mut(ahead)) {
            Some(ahead) => ahead.behind = Some(slot),
            None => state.first = Some(slot),
        }
        if !has_place {
            state.placeless += 1;
            state.first_placeless.get_or_insert(slot);
        }
        self.reports
            .extend(about(Resource::Permits(key), state.permits.ask(state.queued).filter(|_| !is_alone)));
        if !has_place {
            let report = state.places.tell(state.placeless);
            self.reports.push((Resource::Places(key), report));
            if let Some(waiter) = self.waiters.get_mut(slot) {
                waiter.report = report.number;
            }
        }
        Entry::Queued(Ticket { slot, serial })
    }

    /// Gives a permit of `key` back, which the caller holds. If somebody waits for it, and it is not due to another core, the
    /// permit is theirs from now on (in the order in which they came): their ticket ends, and what they left with it is returned.
    pub fn leave(&mut self, key: Key, now: impl FnOnce() -> Instant) -> Option<T> {
        let state = self.keys.get_mut(&key)?;
        state.permits.leave();
        self.running -= 1;
        if state.queued == 0 && !state.permits.is_needed() && !state.places.is_needed() {
            state.places.leave();
            self.forget_if_empty(key);
            return None;
        }
        if state.permits.is_overdue(now, TURN) {
            self.reports.extend(about(Resource::Permits(key), state.permits.give_back(state.queued)));
        }
        self.free_place(key);
        let next = self.admit_next(key);
        if next.is_none() {
            self.settle(key);
        }
        next
    }

    /// Ends a wait: out of time, or the client is gone.
    pub fn cancel(&mut self, ticket: Ticket) -> Cancelled {
        match self.waiters.get(ticket.slot) {
            Some(waiter) if waiter.serial == ticket.serial => {
                let (key, refused) = (waiter.key, waiter.refused);
                match refused {
                    true => drop(self.waiters.try_remove(ticket.slot)),
                    false => {
                        let has_place = waiter.has_place;
                        self.unlink(ticket.slot);
                        if has_place {
                            self.free_place(key);
                        }
                        self.forget_if_empty(key);
                    }
                }
                Cancelled::Waiting
            }
            _ => Cancelled::Admitted,
        }
    }

    /// What has become of a ticket.
    pub fn standing(&mut self, ticket: Ticket) -> Standing<'_, T> {
        let waiter = self.waiters.get(ticket.slot).filter(|waiter| waiter.serial == ticket.serial);
        match waiter.map(|waiter| waiter.refused) {
            None => Standing::Over,
            Some(true) => {
                self.waiters.try_remove(ticket.slot);
                Standing::Refused
            }
            Some(false) => self
                .waiters
                .get_mut(ticket.slot)
                .map_or(Standing::Over, |waiter| Standing::Waits(&mut waiter.left)),
        }
    }

    /// Takes an order of the ledger in. Whoever has a permit now, or is refused, is passed to `woken` with what it left.
    pub fn order(&mut self, of: Resource, order: Order, now: Instant, mut woken: impl FnMut(&T)) {
        let (key, is_places) = match of {
            Resource::Permits(key) => (key, false),
            Resource::Places(key) => (key, true),
            Resource::Links(_) => return,
        };
        let source = &self.source;
        let state = self.keys.entry(key).or_insert_with(|| State::new(source));
        if is_places {
            state.places.order(order, now);
            while self.place_next(key) {}
            self.refuse(key, order, &mut woken);
        } else {
            state.permits.order(order, now);
        }
        while let Some(left) = self.admit_next(key) {
            woken(&left);
        }
        self.answer(key, is_places, order);
        self.settle(key);
    }

    /// Once in a while: the ledger is told exactly what is wanted, and gets back what has not been used for long.
    pub fn tidy(&mut self, now: Instant) {
        if matches!(self.source, Source::Alone(_)) {
            return;
        }
        let reports = &mut self.reports;
        self.keys.retain(|key, state| {
            if state.is_empty() {
                let since = *state.last_used.get_or_insert(now);
                if now.saturating_duration_since(since) < UNUSED_MAX {
                    return true;
                }
                reports.extend(about(Resource::Permits(*key), state.permits.give_up()));
                reports.extend(about(Resource::Places(*key), state.places.give_up()));
                return false;
            }
            state.last_used = None;
            let (queued, placeless) = (state.queued, state.placeless);
            reports.extend(about(Resource::Permits(*key), state.permits.correct(queued)));
            reports.extend(about(Resource::Places(*key), state.places.correct(placeless)));
            true
        });
    }

    /// What the ledger is to be told, in this order.
    pub fn take_reports(&mut self) -> std::vec::Drain<'_, (Resource, Report)> {
        self.reports.drain(..)
    }

    /// Whether the ledger is to be told something.
    pub fn has_reports(&self) -> bool {
        !self.reports.is_empty()
    }

    /// Permits that are out, of all keys.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Tickets that wait, of all keys.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Keys of which there is something.
    #[cfg(test)]
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Permits and places of a key.
    #[cfg(test)]
    pub(super) fn shares(&self, key: Key) -> Option<(&Share, &Share)> {
        self.keys.get(&key).map(|state| (&state.permits, &state.places))
    }

    /// Hands an idle permit over to the first who waits with a place.
    fn admit_next(&mut self, key: Key) -> Option<T> {
        let state = self.keys.get_mut(&key)?;
        let first = state.first?;
        if !self.waiters.get(first)?.has_place || !state.permits.take() {
            return None;
        }
        self.running += 1;
        self.unlink(first)
    }

    /// Gives an idle place to the first who waits without one.
    fn place_next(&mut self, key: Key) -> bool {
        let Some(state) = self.keys.get_mut(&key) else { return false };
        let Some(slot) = state.first_placeless else { return false };
        if !state.places.take() {
            return false;
        }
        state.placeless -= 1;
        state.first_placeless = self.waiters.get_mut(slot).and_then(|waiter| {
            waiter.has_place = true;
            waiter.behind
        });
        true
    }

    /// A place is free: for whoever waits without one, or for whom the ledger says.
    fn free_place(&mut self, key: Key) {
        if let Some(state) = self.keys.get_mut(&key) {
            state.places.leave();
            self.reports.extend(about(Resource::Places(key), state.places.give_back(state.placeless)));
            self.place_next(key);
        }
    }

    /// The last of those that wait without a place are refused, if the ledger knew of them.
    fn refuse(&mut self, key: Key, order: Order, woken: &mut impl FnMut(&T)) {
        let mut last = self.keys.get(&key).and_then(|state| state.last);
        let mut left = order.denied;
        while left > 0
            && let Some(slot) = last
            && let Some(waiter) = self.waiters.get(slot).filter(|waiter| !waiter.has_place)
        {
            last = waiter.ahead;
            if waiter.report > order.heard {
                continue;
            }
            left -= 1;
            self.take_out(slot);
            if let Some(waiter) = self.waiters.get_mut(slot) {
                waiter.refused = true;
                woken(&waiter.left);
            }
        }
    }

    /// An order that wants an answer gets one; a grant that came too late is told of.
    fn answer(&mut self, key: Key, is_places: bool, order: Order) {
        let Some(state) = self.keys.get_mut(&key) else { return };
        let (share, wanted, of) = match is_places {
            true => (&mut state.places, state.placeless, Resource::Places(key)),
            false => (&mut state.permits, state.queued, Resource::Permits(key)),
        };
        let report = if order.answer {
            Some(share.answer(wanted))
        } else if order.granted > 0 && wanted == 0 {
            Some(share.give_back(0).unwrap_or_else(|| share.tell(0)))
        } else {
            share.correct(wanted)
        };
        self.reports.extend(about(of, report));
    }

    /// What nobody uses here and others need goes back.
    fn settle(&mut self, key: Key) {
        let Some(state) = self.keys.get_mut(&key) else { return };
        if state.queued == 0 {
            self.reports.extend(about(Resource::Permits(key), state.permits.give_back(0)));
        }
        self.reports.extend(about(Resource::Places(key), state.places.give_back(state.placeless)));
        self.forget_if_empty(key);
    }

    /// Takes a waiter out of its queue, and ends its ticket.
    fn unlink(&mut self, slot: usize) -> Option<T> {
        self.take_out(slot);
        self.waiters.try_remove(slot).map(|waiter| waiter.left)
    }

    /// Takes a waiter out of its queue.
    fn take_out(&mut self, slot: usize) {
        let Some(waiter) = self.waiters.get(slot) else { return };
        let (key, ahead, behind, has_place) = (waiter.key, waiter.ahead, waiter.behind, waiter.has_place);
        let Some(state) = self.keys.get_mut(&key) else { return };
        self.queued -= 1;
        state.queued -= 1;
        if !has_place {
            state.placeless -= 1;
            if state.first_placeless == Some(slot) {
                state.first_placeless = behind;
            }
        }
        match ahead.and_then(|ahead| self.waiters.get_mut(ahead)) {
            Some(ahead) => ahead.behind = behind,
            None => state.first = behind,
        }
        match behind.and_then(|behind| self.waiters.get_mut(behind)) {
            Some(behind) => behind.ahead = ahead,
            None => state.last = ahead,
        }
    }

    /// What comes from the ledger is kept for a while.
    fn forget_if_empty(&mut self, key: Key) {
        if matches!(self.source, Source::Alone(_))
            && let Slot::Occupied(slot) = self.keys.entry(key)
            && slot.get().is_empty()
        {
            slot.remove();
        }
    }
}

/// A report, if there is one to make, with what it is about.
fn about(of: Resource, report: Option<Report>) -> Option<(Resource, Report)> {
    report.map(|report| (of, report))
}

impl State {
    fn new(source: &Source) -> Self {
        let (permits, places) = match source {
            Source::Alone(limits) => (Share::alone(limits.max_concurrent), Share::alone(limits.places())),
            Source::Ledger => (Share::default(), Share::default()),
        };
        Self {
            permits,
            places,
            queued: 0,
            first: None,
            last: None,
            placeless: 0,
            first_placeless: None,
            last_used: None,
        }
    }

    /// Nothing runs and nobody waits.
    fn is_empty(&self) -> bool {
        self.queued == 0 && self.permits.used() == 0
    }
}
