//! Who is on this core: every session as others may see it, and end it.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use foldhash::HashMap;
use slab::Slab;

use crate::net::Poker;
use crate::parser::KillScope;
use crate::pool::{Identity, Lease};
use crate::protocol::command::Command;

/// Where the command of a session is, for whoever would kill it.
///
/// ```text
/// Quiet ──a link is wanted──▶ Waiting ──got──▶ Quiet ──sent──▶ OnLink ──reply is complete──▶ Quiet
///                               └──KILL QUERY──▶ Interrupted ──told to the client──▶ Quiet
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Between commands, or where nothing is waited for: KILL QUERY has nothing to end.
    Quiet,
    /// It waits for a permit or a link, or gets the link ready.
    Waiting,
    /// It was waiting, and is to give up.
    Interrupted,
    /// It is on a link.
    OnLink(LinkId),
}

/// A link by its server's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LinkId {
    /// The server's cluster, and its number among the members of that.
    pub cluster: usize,
    pub member: usize,
    pub id: u32,
}

/// Who a session is, from its login on.
#[derive(Clone)]
pub(super) struct Who {
    pub account: Rc<str>,
    pub cluster: usize,
    /// That of its links: it has the backend account.
    pub identity: Identity,
}

/// One session. Kept up to date on the path of a query, so what changes there is a [`Cell`] of a few bytes.
pub(super) struct Entry {
    pub id: u32,
    /// Where the client is; `None` if it has no such address.
    pub peer: Option<SocketAddr>,
    poker: Poker,
    who: RefCell<Who>,
    schema: RefCell<Option<Rc<[u8]>>>,
    command: Cell<Option<Command>>,
    since: Cell<Instant>,
    stage: Cell<Stage>,
    /// Counts the times that a link was used.
    turn: Cell<u32>,
    /// KILLs aimed at the link since its use began.
    aimed: Cell<u32>,
    /// Those of them that the server has not answered yet.
    under_way: Cell<u32>,
    killed: Cell<bool>,
}

impl LinkId {
    pub fn of(lease: &Lease) -> Self {
        Self { cluster: lease.cluster(), member: lease.member(), id: lease.connection_id }
    }
}

impl Entry {
    pub fn who(&self) -> Who {
        self.who.borrow().clone()
    }

    /// The session is somebody else's now.
    pub fn set_who(&self, who: Who) {
        self.who.replace(who);
    }

    pub fn schema(&self) -> Option<Rc<[u8]>> {
        self.schema.borrow().clone()
    }

    pub fn set_schema(&self, schema: Option<Rc<[u8]>>) {
        self.schema.replace(schema);
    }

    /// What it does, if it is not waiting for its client, and since when.
    pub fn doing(&self) -> (Option<Command>, Instant) {
        (self.command.get(), self.since.get())
    }

    /// The link in use, and the number of this use.
    pub fn link(&self) -> Option<(LinkId, u32)> {
        match self.stage.get() {
            Stage::OnLink(link) => Some((link, self.turn.get())),
            _ => None,
        }
    }

    /// Whether it waits for a link.
    pub fn is_waiting(&self) -> bool {
        matches!(self.stage.get(), Stage::Waiting | Stage::Interrupted)
    }

    /// A command begins.
    pub fn begin(&self, command: Option<Command>, now: Instant) {
        self.command.set(command);
        self.since.set(now);
    }

    /// The command is answered.
    pub fn end(&self, now: Instant) {
        self.command.set(None);
        self.stage.set(Stage::Quiet);
        self.since.set(now);
    }

    /// A link is wanted.
    pub fn wait(&self) {
        self.stage.set(Stage::Waiting);
    }

    pub fn is_interrupted(&self) -> bool {
        self.stage.get() == Stage::Interrupted
    }

    /// The wait is over. False if the command is to give up.
    pub fn go_on(&self) -> bool {
        self.stage.replace(Stage::Quiet) != Stage::Interrupted
    }

    /// The command is sent on a link. From here to [`Entry::off_link`] a KILL QUERY goes to the server.
    pub fn on_link(&self, link: LinkId) {
        self.stage.set(Stage::OnLink(link));
        self.turn.set(self.turn.get().wrapping_add(1));
        self.aimed.set(0);
    }

    /// The reply is complete. True if a KILL was aimed at the link.
    pub fn off_link(&self) -> bool {
        self.stage.set(Stage::Quiet);
        self.aimed.get() > 0
    }

    /// Whether the server has not answered a KILL that was aimed at the link.
    pub fn has_kill_under_way(&self) -> bool {
        self.under_way.get() > 0
    }

    pub fn is_killed(&self) -> bool {
        self.killed.get()
    }

    /// Ends the session, or what it does now. If the server has to help, what it is to end.
    pub fn aim(self: &Rc<Self>, scope: KillScope) -> Option<Aim> {
        if scope == KillScope::Connection {
            self.killed.set(true);
        }
        let aim = match self.stage.get() {
            Stage::OnLink(link) => {
                self.aimed.set(self.aimed.get() + 1);
                self.under_way.set(self.under_way.get() + 1);
                Some(Aim { entry: self.clone(), link })
            }
            Stage::Waiting if scope == KillScope::Query => {
                self.stage.set(Stage::Interrupted);
                None
            }
            _ => None,
        };
        self.poker.poke();
        aim
    }
}

/// A KILL on its way to the server. Dropped once that has answered, or will not.
pub(super) struct Aim {
    entry: Rc<Entry>,
    pub link: LinkId,
}

impl Drop for Aim {
    fn drop(&mut self) {
        self.entry.under_way.set(self.entry.under_way.get() - 1);
        self.entry.poker.poke();
    }
}

/// The sessions of a core, and whoever else is woken when its phase changes.
#[derive(Default)]
pub struct Registry {
    pokers: RefCell<Slab<Poker>>,
    /// Those that are logged in, by their ids.
    sessions: RefCell<HashMap<u32, Rc<Entry>>>,
}

impl Registry {
    pub fn enter(&self, poker: Poker) -> usize {
        self.pokers.borrow_mut().insert(poker)
    }

    pub fn leave(&self, key: usize) {
        self.pokers.borrow_mut().try_remove(key);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pokers.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Has every session look whether what it waits for still holds.
    pub fn poke_all(&self) {
        self.pokers.borrow().iter().for_each(|(_, poker)| poker.poke());
    }

    /// A session has logged in.
    pub(super) fn admit(
        &self,
        id: u32,
        who: Who,
        schema: Option<Rc<[u8]>>,
        peer: Option<SocketAddr>,
        poker: Poker,
        now: Instant,
    ) -> Rc<Entry> {
        let entry = Rc::new(Entry {
            id,
            peer,
            poker,
            who: RefCell::new(who),
            schema: RefCell::new(schema),
            command: Cell::new(None),
            since: Cell::new(now),
            stage: Cell::new(Stage::Quiet),
            turn: Cell::new(0),
            aimed: Cell::new(0),
            under_way: Cell::new(0),
            killed: Cell::new(false),
        });
        self.sessions.borrow_mut().insert(id, entry.clone());
        entry
    }

    pub(super) fn dismiss(&self, id: u32) {
        self.sessions.borrow_mut().remove(&id);
    }

    pub(super) fn session(&self, id: u32) -> Option<Rc<Entry>> {
        self.sessions.borrow().get(&id).cloned()
    }

    /// Those for which `pick` gives something.
    pub(super) fn collect<T>(&self, pick: impl FnMut(&Rc<Entry>) -> Option<T>) -> Vec<T> {
        self.sessions.borrow().values().filter_map(pick).collect()
    }
}
