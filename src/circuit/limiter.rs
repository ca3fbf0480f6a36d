//! Permits and queues of one core.

use std::collections::hash_map::Entry as Slot;

use foldhash::HashMap;
use slab::Slab;

/// Whose permits: each key has its own permits and its own queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Index of the account.
    pub user: u32,
    pub shard: u32,
}

/// What each key may have, on this core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Permits. With 0 nobody is admitted: all wait until they cancel.
    pub max_concurrent: usize,
    /// Places in the queue.
    pub queue_size: usize,
}

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
    /// [`Limiter::leave`] will hand a permit over to this ticket, unless [`Limiter::cancel`] comes first.
    Queued(Ticket),
    /// No permit, and no place in the queue.
    Refused,
}

/// What a cancelled ticket was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It waited, and does so no more.
    Waiting,
    /// The permit had been handed over already: whoever cancels holds it, and must leave.
    Admitted,
}

/// The limiter of one core. `T` is what a waiter leaves with its ticket, for whoever hands the permit over (its
/// waker). Nothing is allocated for an admission once the maps have reached their usual size.
///
/// What holds after each call: a key is in the map exactly while it has a permit out or somebody waiting; a key has
/// somebody waiting only while all of its permits are out.
pub struct Limiter<T> {
    limits: Limits,
    keys: HashMap<Key, State>,
    waiters: Slab<Waiter<T>>,
    /// Serial of the next ticket.
    serial: u64,
    running: usize,
}

/// One key: its permits and its queue, a list through the slab of waiters.
#[derive(Default)]
struct State {
    running: usize,
    queued: usize,
    first: Option<usize>,
    last: Option<usize>,
}

struct Waiter<T> {
    key: Key,
    serial: u64,
    ahead: Option<usize>,
    behind: Option<usize>,
    left: T,
}

impl<T> Limiter<T> {
    pub fn new(limits: Limits) -> Self {
        Self { limits, keys: HashMap::default(), waiters: Slab::new(), serial: 0, running: 0 }
    }

    /// Asks for a permit. `left` is called only if the answer is [`Entry::Queued`].
    pub fn enter(&mut self, key: Key, left: impl FnOnce() -> T) -> Entry {
        let state = match self.keys.entry(key) {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(_) if self.limits == (Limits { max_concurrent: 0, queue_size: 0 }) => {
                return Entry::Refused;
            }
            Slot::Vacant(slot) => slot.insert(State::default()),
        };
        if state.running < self.limits.max_concurrent {
            state.running += 1;
            self.running += 1;
            return Entry::Admitted;
        }
        if state.queued >= self.limits.queue_size {
            return Entry::Refused;
        }
        let serial = self.serial;
        self.serial += 1;
        let ahead = state.last;
        let slot = self.waiters.insert(Waiter { key, serial, ahead, behind: None, left: left() });
        state.queued += 1;
        state.last = Some(slot);
        match ahead.and_then(|ahead| self.waiters.get_mut(ahead)) {
            Some(ahead) => ahead.behind = Some(slot),
            None => state.first = Some(slot),
        }
        Entry::Queued(Ticket { slot, serial })
    }

    /// Gives a permit of `key` back, which the caller holds. If somebody waits for it, the permit is theirs from now on (in the order in
    /// which they came): their ticket ends, and what they left with it is returned.
    pub fn leave(&mut self, key: Key) -> Option<(Ticket, T)> {
        let state = self.keys.get_mut(&key)?;
        if let Some(slot) = state.first {
            return self.unlink(slot);
        }
        state.running -= 1;
        self.running -= 1;
        self.forget_if_empty(key);
        None
    }

    /// Ends a wait: out of time, or the client is gone.
    pub fn cancel(&mut self, ticket: Ticket) -> Cancelled {
        match self.waiters.get(ticket.slot) {
            Some(waiter) if waiter.serial == ticket.serial => {
                let key = waiter.key;
                self.unlink(ticket.slot);
                self.forget_if_empty(key);
                Cancelled::Waiting
            }
            _ => Cancelled::Admitted,
        }
    }

    /// What was left with a ticket that still waits; `None` once it has its permit.
    pub fn left_with(&mut self, ticket: Ticket) -> Option<&mut T> {
        let waiter = self.waiters.get_mut(ticket.slot)?;
        (waiter.serial == ticket.serial).then_some(&mut waiter.left)
    }

    /// Permits that are out, of all keys.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Tickets that wait, of all keys.
    pub fn queued(&self) -> usize {
        self.waiters.len()
    }

    /// Keys that have a permit out or somebody waiting.
    #[cfg(test)]
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Takes a waiter out of its queue.
    fn unlink(&mut self, slot: usize) -> Option<(Ticket, T)> {
        let waiter = self.waiters.try_remove(slot)?;
        let state = self.keys.get_mut(&waiter.key)?;
        state.queued -= 1;
        match waiter.ahead.and_then(|ahead| self.waiters.get_mut(ahead)) {
            Some(ahead) => ahead.behind = waiter.behind,
            None => state.first = waiter.behind,
        }
        match waiter.behind.and_then(|behind| self.waiters.get_mut(behind)) {
            Some(behind) => behind.ahead = waiter.ahead,
            None => state.last = waiter.ahead,
        }
        Some((Ticket { slot, serial: waiter.serial }, waiter.left))
    }

    fn forget_if_empty(&mut self, key: Key) {
        if let Slot::Occupied(slot) = self.keys.entry(key)
            && slot.get().running == 0
            && slot.get().queued == 0
        {
            slot.remove();
        }
    }
}
