//! Those of a core who have not logged in yet. Whoever keeps it waiting has to make room for others.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::net::Poker;

use super::clients::{Clients, Ticket};

/// A client that is to speak has this long before it may have to give way. Many that log in at the same moment, each
/// without delay, are no reason to turn any of them away.
const GRACE: Duration = Duration::from_secs(1);

/// Everybody between accept and login, in the order of their coming.
#[derive(Default)]
pub(in crate::session) struct Lobby {
    guests: RefCell<BTreeMap<u64, Rc<Guest>>>,
    next: Cell<u64>,
}

struct Guest {
    ticket: Rc<Ticket>,
    poker: Poker,
    turn: Cell<Turn>,
}

/// Whose turn it is in a login.
///
/// ```text
/// Ours ──a packet of the client's is awaited──▶ Theirs ──it is here──▶ Ours
///                                                 └──room is needed──▶ GivesWay
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Athena is at work, or the server is.
    Ours,
    /// The client is to speak, since then.
    Theirs(Instant),
    /// The login is to end.
    GivesWay,
}

impl Lobby {
    /// Somebody has come who can be woken so.
    pub(super) fn enter(self: &Rc<Self>, ticket: Rc<Ticket>, poker: Poker) -> Waiting {
        let number = self.next.get();
        self.next.set(number + 1);
        let guest = Rc::new(Guest { ticket, poker, turn: Cell::new(Turn::Ours) });
        self.guests.borrow_mut().insert(number, guest.clone());
        Waiting { lobby: self.clone(), number, guest }
    }

    /// While more clients of the process are logging in than should, those of this core give way who keep it waiting: the
    /// first to come is the first to go.
    pub fn make_room(&self, clients: &Clients, now: Instant) {
        let guests = self.guests.borrow();
        let mut slow = guests.values().filter(|guest| guest.keeps_waiting(now));
        while clients.logins_are_crowded() {
            let Some(guest) = slow.next() else { return };
            guest.turn.set(Turn::GivesWay);
            guest.ticket.login_is_over();
            guest.poker.poke();
        }
    }
}

impl Guest {
    fn keeps_waiting(&self, now: Instant) -> bool {
        match self.turn.get() {
            Turn::Theirs(since) => now.saturating_duration_since(since) >= GRACE,
            Turn::Ours | Turn::GivesWay => false,
        }
    }
}

/// A place in the lobby, until the login is over.
pub(super) struct Waiting {
    lobby: Rc<Lobby>,
    number: u64,
    guest: Rc<Guest>,
}

impl Waiting {
    pub fn ticket(&self) -> &Ticket {
        &self.guest.ticket
    }

    /// The client is to speak.
    pub fn await_client(&self, now: Instant) {
        self.change(Turn::Theirs(now));
    }

    /// It has spoken.
    pub fn go_on(&self) {
        self.change(Turn::Ours);
    }

    /// Whether the login is to end.
    pub fn gives_way(&self) -> bool {
        self.guest.turn.get() == Turn::GivesWay
    }

    fn change(&self, turn: Turn) {
        if !self.gives_way() {
            self.guest.turn.set(turn);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.lobby.guests.borrow_mut().remove(&self.number);
        self.guest.ticket.login_is_over();
    }
}

#[cfg(test)]
mod tests {
    use super::super::clients::tests::with;
    use super::*;
    use crate::net::{Timer, Timers};

    #[test]
    fn whoever_keeps_others_waiting_gives_way() {
        let clients = with(10, 1, |server| server.max_logins = 2);
        let lobby = Rc::new(Lobby::default());
        let timer = Timer::new(&Timers::new());
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let come = || lobby.enter(Rc::new(clients.admit(0, None).unwrap()), timer.poker());
        let gone = |all: &[Waiting]| all.iter().map(Waiting::gives_way).collect::<Vec<_>>();
        let mut all: Vec<_> = (0..5).map(|_| come()).collect();
        lobby.make_room(&clients, at(5000));
        assert_eq!(gone(&all), [false; 5], "Athena's turn");
        all[1..].iter().for_each(|waiting| waiting.await_client(at(5000)));
        lobby.make_room(&clients, at(5999));
        assert_eq!(gone(&all), [false; 5], "not for long yet");
        all[2].go_on();
        lobby.make_room(&clients, at(6000));
        assert_eq!(gone(&all), [false, true, false, true, true]);
        all[1].go_on();
        all[1].await_client(at(6000));
        assert!(all[1].gives_way(), "once it has to go it has to");
        assert!(!clients.logins_are_crowded());
        all.push(come());
        all[0].await_client(at(6500));
        lobby.make_room(&clients, at(9000));
        assert_eq!(gone(&all), [true, true, false, true, true, false], "no more than have to");
        drop(all);
        assert!(lobby.guests.borrow().is_empty() && clients.of_core(0) == 0);
        let logged_in: Vec<_> = (0..5).map(|_| clients.admit(0, None).unwrap()).collect();
        logged_in.iter().for_each(Ticket::login_is_over);
        assert!(!clients.logins_are_crowded());
    }
}
