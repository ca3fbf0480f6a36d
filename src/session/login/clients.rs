//! The clients of all cores, counted under one lock: it is taken when a client comes and when it goes, never on the path
//! of a query.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::net::Accepted;

/// Who is there, logged in or not.
pub struct Clients {
    max: usize,
    counted: Mutex<Counted>,
}

struct Counted {
    all: usize,
    cores: Box<[OfCore]>,
}

struct OfCore {
    /// Those that it has, and those that are on their way to it.
    clients: usize,
    /// It takes more.
    open: bool,
}

/// There are as many clients as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

impl Clients {
    /// None yet, of at most `max`, on so many cores.
    pub fn new(max: usize, cores: usize) -> Arc<Self> {
        let cores = (0..cores).map(|_| OfCore { clients: 0, open: true });
        Arc::new(Self { max, counted: Mutex::new(Counted { all: 0, cores: cores.collect() }) })
    }

    /// A client has come to the core `here`. Its place is on the core that has the fewest: this one, if no other has
    /// fewer. The choice and the place are one step, so that two cores never choose by the same numbers.
    pub fn admit(self: &Arc<Self>, here: u32) -> Result<Ticket, TooMany> {
        let mut counted = self.counted();
        if counted.all >= self.max {
            return Err(TooMany);
        }
        let open = counted.cores.iter().zip(0..).filter(|(core, _)| core.open);
        let fewest = open.min_by_key(|(core, number)| (core.clients, *number != here));
        let core = fewest.map_or(here, |(_, number)| number);
        counted.all += 1;
        counted.of(core, |core| core.clients += 1);
        Ok(Ticket { clients: self.clone(), core: Cell::new(core) })
    }

    /// How many a core has.
    pub fn of_core(&self, core: u32) -> usize {
        self.counted().cores.get(core as usize).map_or(0, |core| core.clients)
    }

    /// The core takes no more.
    pub fn close(&self, core: u32) {
        self.counted().of(core, |core| core.open = false);
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn of(&mut self, core: u32, change: impl FnOnce(&mut OfCore)) {
        if let Some(core) = self.cores.get_mut(core as usize) {
            change(core);
        }
    }
}

/// A client's place, for as long as it lives.
pub struct Ticket {
    clients: Arc<Clients>,
    core: Cell<u32>,
}

impl Ticket {
    /// The core that it is for.
    pub fn core(&self) -> u32 {
        self.core.get()
    }

    /// The client is served by another core than was chosen.
    pub fn change_core(&self, to: u32) {
        let from = self.core.replace(to);
        let mut counted = self.clients.counted();
        counted.of(from, |core| core.clients -= 1);
        counted.of(to, |core| core.clients += 1);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counted = self.clients.counted();
        counted.all -= 1;
        counted.of(self.core.get(), |core| core.clients -= 1);
    }
}

/// A client that has come, on its way to the core that will serve it. Dropped, its connection is closed.
pub struct Arrival {
    pub accepted: Accepted,
    pub ticket: Ticket,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(clients: &Clients, cores: u32) -> Vec<usize> {
        (0..cores).map(|core| clients.of_core(core)).collect()
    }

    #[test]
    fn clients_go_where_the_fewest_are() {
        let clients = Clients::new(100, 3);
        let tickets: Vec<_> = (0..7).map(|_| clients.admit(1).unwrap()).collect();
        let chosen: Vec<_> = tickets.iter().map(Ticket::core).collect();
        assert_eq!(chosen, [1, 0, 2, 1, 0, 2, 1], "the own core goes first among equals");
        drop(tickets);
        assert_eq!(counts(&clients, 3), [0, 0, 0]);
    }

    #[test]
    fn the_last_place_is_taken_once() {
        let clients = Clients::new(2, 2);
        let first = clients.admit(0).unwrap();
        let second = clients.admit(0).unwrap();
        assert_eq!((first.core(), second.core()), (0, 1));
        assert_eq!(clients.admit(0).err(), Some(TooMany));
        drop(first);
        assert_eq!(clients.admit(1).unwrap().core(), 0, "where a place became free");
    }

    #[test]
    fn many_at_once_spread_evenly() {
        let clients = Clients::new(8 * 100 + 3, 8);
        let tickets: Vec<Ticket> = std::thread::scope(|scope| {
            let comes = |core: u32| {
                let clients = &clients;
                scope.spawn(move || (0..101).filter_map(|_| clients.admit(core % 2).ok()).collect::<Vec<_>>())
            };
            let threads: Vec<_> = (0..8).map(comes).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let mut counts = counts(&clients, 8);
        counts.sort_unstable();
        assert_eq!(counts, [100, 100, 100, 100, 100, 101, 101, 101]);
        drop(tickets);
        assert_eq!(clients.counted().all, 0);
    }

    #[test]
    fn a_core_that_ends_gets_none() {
        let clients = Clients::new(100, 2);
        clients.close(1);
        let tickets: Vec<_> = (0..3).map(|_| clients.admit(0).unwrap()).collect();
        assert_eq!(counts(&clients, 2), [3, 0]);
        tickets[0].change_core(1);
        assert_eq!(counts(&clients, 2), [2, 1]);
        clients.close(0);
        assert_eq!(clients.admit(0).unwrap().core(), 0, "where else");
        drop(tickets);
        assert_eq!(counts(&clients, 2), [0, 0]);
    }
}
