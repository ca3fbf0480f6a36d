//! The accounts of the server itself (`[auth] source = "backend"`), as this core knows them.
//!
//! They are read over a link of the instance's own account, at the first login and again where a login needs to know
//! more: when what is known is older than `refresh_min_interval_ms`, and before anybody is refused. Between two readings
//! that interval passes, and logins that need one wait for the same.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::circuit::{Gate, Key, Limits};
use crate::net::Timer;
use crate::pool::{BackendAccount, ErrandError, StatelessPool, Want};
use crate::protocol::auth::{Credential, Digest256, Secret};
use crate::protocol::response::ErrPacket;

use super::super::view::View;
use super::accounts::{decoys, pick};
use super::denied::Transport;
use super::host_pattern::HostPattern;
use super::server_accounts::{self, Stored};
use super::shared::Shared;

/// Logins that wait for a reading.
const WAITING_MAX: usize = 1 << 20;

/// Passwords that one core has the server check at once, each by a login. More than these wait: guesses are not free.
const QUESTIONS_MAX: usize = 2;
/// Those that wait; others are turned away.
const QUESTIONS_WAITING_MAX: usize = 256;

/// An account of the server.
pub(super) struct ServerAccount {
    pub stored: Stored,
    /// `None` of a plugin that Athena can't check.
    pub credential: Option<Credential>,
    host: HostPattern,
    /// Another one when the server has changed it: links that were opened before are of the account as it was, which may
    /// have had other rights, or not been locked.
    generation: Cell<u64>,
    known: RefCell<Option<Known>>,
}

/// What a login has taught, in memory only, for as long as the account stays as it is.
#[derive(Clone)]
pub(super) struct Known {
    pub backend: Rc<BackendAccount>,
    pub digest: Option<Digest256>,
    /// A link has logged in with it.
    pub proved: bool,
}

impl ServerAccount {
    /// Only the server can tell whether a password is that of the account.
    pub fn is_by_server(&self) -> bool {
        self.credential == Some(Credential::ByServer)
    }

    /// What is known of it as `user`, who differs from its own name where that is empty.
    pub fn known(&self, user: &[u8]) -> Option<Known> {
        self.known.borrow().clone().filter(|known| *known.backend.user == *user)
    }

    pub fn learn(&self, known: Known) {
        self.known.replace(Some(known));
    }

    /// What its links log in with, as `user`.
    pub fn login(&self, user: &[u8], secret: Secret) -> Rc<BackendAccount> {
        BackendAccount::of_generation(user, secret, self.generation.get())
    }
}

/// Why the accounts are not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum DirectoryError {
    #[error("{0}")]
    Errand(#[from] ErrandError),
    #[error("ERROR {}: {}", .0.code, String::from_utf8_lossy(&.0.message))]
    Refused(ErrPacket),
    #[error("the server sent something else than accounts")]
    Unreadable,
    #[error("the server has more than {0} accounts")]
    TooMany(usize),
    #[error("too many logins wait")]
    QueueFull,
}

/// One reading.
#[derive(Default)]
pub(super) struct List {
    /// In the server's order: the first that fits a client is its account.
    accounts: Vec<Rc<ServerAccount>>,
    decoys: Vec<Credential>,
}

impl List {
    /// The account of a client. One that does not take it as it has come hides those behind it, as on a server.
    pub fn find(
        &self,
        user: &[u8],
        address: Option<IpAddr>,
        transport: Transport,
    ) -> Option<Rc<ServerAccount>> {
        let fits = |account: &&Rc<ServerAccount>| {
            (account.stored.user.is_empty() || *account.stored.user == *user) && account.host.covers(address)
        };
        self.accounts.iter().find(fits).filter(|account| account.stored.lets_in(transport)).cloned()
    }

    /// What an unknown name is taken for.
    pub fn decoy(&self, name: &[u8], shared: &Shared) -> Credential {
        pick(&self.decoys, name, shared)
    }
}

/// What this core knows of the accounts of one server.
pub(in crate::session) struct Directory {
    members: Vec<Rc<StatelessPool>>,
    view: View,
    interval: Duration,
    list: RefCell<Rc<List>>,
    /// When the reading of `list` began.
    read: Cell<Option<Instant>>,
    attempted: Cell<Option<Instant>>,
    /// The last reading that failed: when it began, and why.
    failed: RefCell<Option<(Instant, Rc<DirectoryError>)>>,
    /// One reads at a time.
    turns: Gate,
    /// Passwords that the server is asked about.
    questions: Gate,
    /// That of the account that was read last.
    generation: Cell<u64>,
}

impl Directory {
    /// Of a cluster with these members.
    pub fn new(members: Vec<Rc<StatelessPool>>, view: View, interval: Duration) -> Self {
        Self {
            members,
            view,
            interval,
            list: RefCell::default(),
            read: Cell::new(None),
            attempted: Cell::new(None),
            failed: RefCell::default(),
            turns: Gate::alone(Limits { max_concurrent: 1, queue_size: WAITING_MAX }),
            questions: Gate::alone(Limits {
                max_concurrent: QUESTIONS_MAX,
                queue_size: QUESTIONS_WAITING_MAX,
            }),
            generation: Cell::new(0),
        }
    }

    fn pool(&self) -> &Rc<StatelessPool> {
        &self.members[self.view.readable()]
    }

    /// The accounts as they were at most an interval before now.
    pub(super) async fn lately(&self, timer: &Timer) -> Result<Rc<List>, Rc<DirectoryError>> {
        let now = timer.now();
        self.since(now.checked_sub(self.interval).unwrap_or(now), timer).await
    }

    /// The accounts as they were at `moment` or later.
    pub(super) async fn since(&self, moment: Instant, timer: &Timer) -> Result<Rc<List>, Rc<DirectoryError>> {
        if let Some(outcome) = self.outcome_since(moment) {
            return outcome;
        }
        let all = Key::default();
        let _turn = self.turns.enter(all).await.map_err(|_| DirectoryError::QueueFull)?;
        if let Some(outcome) = self.outcome_since(moment) {
            return outcome;
        }
        if let Some(attempted) = self.attempted.get() {
            let passed = timer.now().saturating_duration_since(attempted);
            timer.sleep(self.interval.saturating_sub(passed)).await;
        }
        let began = timer.now();
        self.attempted.set(Some(began));
        match server_accounts::read(self.pool()).await {
            Ok(read) => {
                self.replace(read);
                self.read.set(Some(began));
                Ok(self.list.borrow().clone())
            }
            Err(error) => {
                let error = Rc::new(error);
                self.failed.replace(Some((began, error.clone())));
                Err(error)
            }
        }
    }

    /// Has the server check a password that only it can, by a login with it. False: it let the login in without having
    /// asked for the password, which proves nothing.
    pub(super) async fn ask_server(&self, want: &Want) -> Result<bool, DirectoryError> {
        let all = Key::default();
        let _turn = self.questions.enter(all).await.map_err(|_| DirectoryError::QueueFull)?;
        Ok(self.pool().check_password(want).await?)
    }

    /// What a reading that began at `moment` or later came to; all who wait share it, also where it failed.
    fn outcome_since(&self, moment: Instant) -> Option<Result<Rc<List>, Rc<DirectoryError>>> {
        if self.read.get().is_some_and(|read| read >= moment) {
            return Some(Ok(self.list.borrow().clone()));
        }
        let failed = self.failed.borrow();
        failed.as_ref().filter(|(began, _)| *began >= moment).map(|(_, error)| Err(error.clone()))
    }

    /// Takes a reading; accounts that are as before keep what is known of them.
    fn replace(&self, read: Vec<Stored>) {
        let old = self.list.borrow().clone();
        let before: HashMap<(&[u8], &str), &Rc<ServerAccount>> = old
            .accounts
            .iter()
            .map(|account| ((&*account.stored.user, &*account.stored.host), account))
            .collect();
        let mut accounts: Vec<Rc<ServerAccount>> = read
            .into_iter()
            .map(|stored| match before.get(&(&*stored.user, &*stored.host)) {
                Some(account) if account.stored == stored => (*account).clone(),
                _ => Rc::new(ServerAccount {
                    credential: stored.credential(),
                    host: HostPattern::parse(&stored.host),
                    generation: Cell::new(self.next_generation()),
                    known: RefCell::default(),
                    stored,
                }),
            })
            .collect();
        accounts.sort_by_key(|account| {
            std::cmp::Reverse((account.host.specificity(), !account.stored.user.is_empty()))
        });
        let checked = accounts.iter().filter(|account| !account.is_by_server());
        let decoys = decoys(checked.filter_map(|account| account.credential.as_ref()));
        self.list.replace(Rc::new(List { accounts, decoys }));
    }

    /// The server has refused the account, which it may for reasons that it does not store with it: what was taught of it
    /// and the links that were opened before count for no login any more.
    pub(super) fn forget(&self, account: &ServerAccount) {
        account.known.replace(None);
        account.generation.set(self.next_generation());
    }

    fn next_generation(&self) -> u64 {
        self.generation.set(self.generation.get() + 1);
        self.generation.get()
    }
}
