//! What the sessions of one core share.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::circuit::{Classes, Gate, Limits, Order, Resource, UserClasses};
use crate::config::{Acceptor, AuthSource, Config, Routing};
use crate::metrics::CoreMetrics;
use crate::metrics::label::ClosedReason;
use crate::net::Executor;
use crate::pool::{BackendAccount, Identity, ServerProfile, StatelessPool};
use crate::protocol::auth::rsa::RsaKeyPair;
use crate::protocol::reply::Edits;
use crate::router::Topology;

use super::login::{Accounts, Directory, Lobby, Shared};
use super::positions::Positions;
use super::post::{Letter, Post};
use super::registry::Registry;
use super::sharded::{Sequences, ShardedTables};
use super::statements::TextStore;
use super::view::View;

/// Schemas that are remembered as good; one more starts the list anew.
const KNOWN_SCHEMAS_MAX: usize = 1024;

/// Where ids of connections begin. Servers count theirs from 1, so an id tells whose it is.
const FIRST_ID: u32 = 1 << 30;

/// Passwords that wait to be hashed, each for no longer than its login may take.
const HASHING_WAITING_MAX: usize = 1 << 20;

/// What is not sharded.
pub(super) const HOME_SHARD: u32 = 0;

/// How far the end of the core has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serving,
    /// Sessions without work end; statements and transactions may finish.
    Draining,
    /// Everything ends.
    Ending,
}

/// One cluster on this core.
pub struct Cluster {
    /// As the configuration calls it.
    pub name: Rc<str>,
    /// The account of `[backend]`, in the place of which each server may have another.
    pub own: Rc<BackendAccount>,
    /// Links to each of its servers: that of `[backend]`, then the replicas in the order of the file.
    pub members: Vec<Rc<StatelessPool>>,
    /// What is known of them.
    pub view: View,
    /// What the primary has written.
    pub positions: Positions,
    /// Which of them gets a statement.
    pub routing: Routing,
    /// `None` where nothing is limited.
    pub gate: Option<Gate>,
    /// The limits that there are.
    pub classes: RefCell<Classes>,
    pub query_timeout: Duration,
    /// Those that are several; `None` where there are none.
    pub tables: Option<Rc<ShardedTables>>,
}

impl Cluster {
    /// Links to the primary; while there is none, to the last one that there was.
    pub fn pool(&self) -> &Rc<StatelessPool> {
        &self.members[self.view.last_primary()]
    }

    /// Links to the primary, if there is one.
    pub fn primary(&self) -> Option<&Rc<StatelessPool>> {
        self.members.get(self.view.primary()?)
    }

    /// What a server last said of itself: the primary, or another before that has said anything.
    pub fn profile(&self) -> Option<Rc<ServerProfile>> {
        let others = || self.members.iter().find_map(|pool| pool.profile());
        self.pool().profile().or_else(others)
    }

    /// The same rights on another member: its own account in the place of that of `[backend]`.
    pub(super) fn identity_on(&self, member: usize, identity: &Identity) -> Identity {
        let own = Rc::ptr_eq(&identity.account, &self.own);
        match self.members.get(member) {
            Some(pool) if own && !Rc::ptr_eq(&pool.account, &self.own) => {
                Identity { account: pool.account.clone(), ..identity.clone() }
            }
            _ => identity.clone(),
        }
    }

    /// Where a login finds out what it has to know: at the primary, or while there is none at any server that answers.
    pub(super) fn pool_for_login(&self) -> &Rc<StatelessPool> {
        self.members.get(self.view.readable()).unwrap_or_else(|| self.pool())
    }

    /// Whether the servers tell of transactions by GTIDs.
    pub(super) fn has_gtids(&self) -> bool {
        let topology = self.view.topology();
        topology.members.get(self.view.last_primary()).is_some_and(|primary| primary.executed.is_some())
    }

    /// News of the servers. What was idle on one that is no longer the primary is closed: it was for writes. True if another is the
    /// primary now.
    pub fn set_topology(&self, topology: Topology) -> bool {
        let before = self.view.last_primary();
        for (pool, member) in self.members.iter().zip(&topology.members) {
            pool.vouch(member.is_up);
        }
        self.view.set(topology);
        let has_changed = before != self.view.last_primary();
        if has_changed && let Some(pool) = self.members.get(before) {
            pool.close_idle_links(ClosedReason::Demoted);
        }
        has_changed
    }

    /// Takes an order of the ledger in.
    pub fn order(&self, of: Resource, order: Order) {
        match (of, &self.gate) {
            (Resource::Links(member), _) => {
                if let Some(pool) = self.members.get(member) {
                    pool.order(order);
                }
            }
            (_, Some(gate)) => gate.order(of, order),
            (_, None) => {}
        }
    }
}

/// Where a core stands among the others.
pub struct Place {
    /// Its number, from 0.
    pub index: u32,
    /// How many there are.
    pub cores: u32,
    /// To the others, by way of the control executor.
    pub letters: async_channel::Sender<Letter>,
}

/// Everything that is not one session's own.
pub struct Context {
    pub core: Rc<Executor>,
    pub metrics: Rc<CoreMetrics>,
    pub config: Arc<Config>,
    pub rsa: Arc<RsaKeyPair>,
    pub clusters: Vec<Cluster>,
    pub registry: Registry,
    pub shared: Arc<Shared>,
    pub texts: TextStore,
    pub(super) post: Post,
    pub(super) lobby: Rc<Lobby>,
    pub(super) accounts: Accounts,
    /// Where accounts are the server's own.
    pub(super) directory: Option<Directory>,
    /// One password at a time is hashed slice by slice: many at once would put many slices between two turns of the
    /// core's other work.
    pub(super) hashing: Gate,
    /// The clusters that are known to have the table of decisions, one bit for each.
    pub(super) with_decisions: Cell<u64>,
    /// Decisions on transactions of several servers that nobody needs any more, each with its cluster.
    pub(super) decisions: RefCell<Vec<(usize, String)>>,
    /// Ids for rows of sharded tables.
    pub(super) sequences: Sequences,
    /// Reused for every chunk of every reply.
    pub(super) edits: RefCell<Edits>,
    known_schemas: RefCell<HashSet<KnownSchema>>,
    phase: Cell<Phase>,
    core_index: u32,
    cores: u32,
    next_id: Cell<u32>,
    /// What TLS connections are accepted with.
    acceptor: RefCell<Option<Acceptor>>,
}

impl Context {
    pub fn new(
        core: Rc<Executor>,
        metrics: Rc<CoreMetrics>,
        config: Arc<Config>,
        rsa: Arc<RsaKeyPair>,
        clusters: Vec<Cluster>,
        shared: Arc<Shared>,
        place: Place,
    ) -> Rc<Self> {
        let own: Vec<_> = clusters.iter().map(|cluster| cluster.pool().account.clone()).collect();
        let accounts = Accounts::new(&config, &own);
        let of_server = clusters.first().filter(|_| config.auth.source == AuthSource::Backend);
        let directory = of_server.map(|cluster| {
            Directory::new(cluster.members.clone(), cluster.view.clone(), config.auth.refresh_min_interval)
        });
        let acceptor = config.server.tls.as_ref().map(|tls| tls.acceptor.clone());
        Rc::new(Self {
            core,
            metrics,
            config,
            rsa,
            clusters,
            registry: Registry::default(),
            shared,
            texts: TextStore::default(),
            post: Post::new(place.letters),
            lobby: Rc::default(),
            accounts,
            directory,
            hashing: Gate::alone(Limits { max_concurrent: 1, queue_size: HASHING_WAITING_MAX }),
            with_decisions: Cell::default(),
            decisions: RefCell::default(),
            sequences: Sequences::default(),
            edits: RefCell::default(),
            known_schemas: RefCell::default(),
            phase: Cell::new(Phase::Serving),
            core_index: place.index,
            cores: place.cores.max(1),
            next_id: Cell::new(0),
            acceptor: RefCell::new(acceptor),
        })
    }

    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Goes on to `phase`, and has every session look at it.
    pub fn enter_phase(&self, phase: Phase) {
        self.phase.set(self.phase.get().max(phase));
        self.registry.poke_all();
    }

    /// An id for the next connection, from [`FIRST_ID`] on and below twice that: never one of a server. Modulo the number
    /// of cores it is this core's number, counted from the first, so that it leads back here.
    pub(super) fn next_connection_id(&self) -> u32 {
        let turns = FIRST_ID / self.cores;
        loop {
            let turn = self.next_id.get();
            self.next_id.set((turn + 1) % turns);
            let id = FIRST_ID + turn * self.cores + self.core_index;
            // Ids start over after a billion, and a session may have had its own for as long.
            if self.registry.session(id).is_none() {
                return id;
            }
        }
    }

    /// The core whose session has this id, if any has; `None` for an id that can only be a server's.
    pub(super) fn core_of(&self, id: u32) -> Option<u32> {
        id.checked_sub(FIRST_ID).map(|number| number % self.cores)
    }

    pub fn core_index(&self) -> u32 {
        self.core_index
    }

    pub(super) fn cores(&self) -> u32 {
        self.cores
    }

    /// `None` where no TLS is offered.
    pub(super) fn acceptor(&self) -> Option<Acceptor> {
        self.acceptor.borrow().clone()
    }

    /// New certificates. Connections that are there keep theirs.
    pub fn set_acceptor(&self, acceptor: Acceptor) {
        self.acceptor.replace(Some(acceptor));
    }

    /// A client's address, where the links of the cluster tell it to the server.
    pub(super) fn told_origin(&self, cluster: usize, peer: Option<SocketAddr>) -> Option<IpAddr> {
        let tells = self.clusters.get(cluster).is_some_and(|cluster| cluster.pool().instance.proxy_protocol);
        peer.filter(|_| tells).map(|peer| peer.ip().to_canonical())
    }

    /// The limits of a user's statements.
    pub(super) fn classes_of(&self, cluster: usize, user: &str) -> UserClasses {
        let classes = self.clusters.get(cluster).map(|cluster| cluster.classes.borrow().of_user(user));
        classes.unwrap_or_default()
    }

    /// Whether a link of the account has had this schema lately, so that a login with it needs no proof.
    pub(super) fn knows_schema(&self, account: &Rc<BackendAccount>, schema: &Rc<[u8]>) -> bool {
        self.known_schemas.borrow().contains(&KnownSchema(account.clone(), schema.clone()))
    }

    pub(super) fn note_schema(&self, account: &Rc<BackendAccount>, schema: &Rc<[u8]>, good: bool) {
        let mut known = self.known_schemas.borrow_mut();
        let schema = KnownSchema(account.clone(), schema.clone());
        if !good {
            known.remove(&schema);
        } else if !known.contains(&schema) {
            if known.len() >= KNOWN_SCHEMAS_MAX {
                known.clear();
            }
            known.insert(schema);
        }
    }
}

/// A schema that an account may use. The account is told by its place in memory, which it keeps as long as it is here.
struct KnownSchema(Rc<BackendAccount>, Rc<[u8]>);

impl PartialEq for KnownSchema {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0) && self.1 == other.1
    }
}

impl Eq for KnownSchema {}

impl Hash for KnownSchema {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Rc::as_ptr(&self.0).hash(state);
        self.1.hash(state);
    }
}
