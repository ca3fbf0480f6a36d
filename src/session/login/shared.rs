//! What the sessions of all cores share: counted at accept, login and goodbye, never on the path of a query.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Config;
use crate::pool::Eras;

use super::clients::Clients;

/// Numbers of the whole process.
pub struct Shared {
    pub clients: Arc<Clients>,
    /// Clients that are logged in, by the number of their account in the configuration.
    of_accounts: Box<[AtomicUsize]>,
    pub eras: Eras,
    /// Numbers of user names in the limiter's keys, where accounts are the server's own.
    users: Mutex<HashMap<Box<[u8]>, u32>>,
    /// Names hash alike on all cores, and as nobody outside can foretell.
    names: RandomState,
}

impl Shared {
    /// Of so many cores.
    pub fn new(config: &Config, cores: usize) -> Arc<Self> {
        let accounts = config.clusters.iter().flat_map(|cluster| &cluster.accounts);
        Arc::new(Self {
            clients: Clients::new(&config.server, cores),
            of_accounts: accounts.map(|_| AtomicUsize::new(0)).collect(),
            eras: Eras::default(),
            users: Mutex::default(),
            names: RandomState::new(),
        })
    }

    /// A number that belongs to a name: what is pretended of it is always the same.
    pub(super) fn number_of(&self, name: &[u8]) -> u64 {
        self.names.hash_one(name)
    }

    /// The number of a user of the server, the same on all cores as long as the process lives.
    pub(super) fn number_of_user(&self, user: &[u8]) -> u32 {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let next = u32::try_from(users.len()).unwrap_or(u32::MAX);
        match users.get(user) {
            Some(number) => *number,
            None => *users.entry(user.into()).or_insert(next),
        }
    }

    /// A place for one client more of an account, unless it has `max`: then how many there are.
    pub(super) fn seat(self: &Arc<Self>, account: usize, max: usize) -> Result<Seat, usize> {
        let Some(taken) = self.of_accounts.get(account) else { return Err(0) };
        let one_more = |now| (now < max).then_some(now + 1);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)?;
        Ok(Seat { shared: self.clone(), account })
    }
}

/// A place among the clients of an account, for as long as it lives.
pub(super) struct Seat {
    shared: Arc<Shared>,
    account: usize,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(taken) = self.shared.of_accounts.get(self.account) {
            taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
