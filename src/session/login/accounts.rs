//! Who may log in, by the configuration, and what is pretended of everybody else.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use crate::config::{AccountTls, Config, Origin};
use crate::pool::BackendAccount;
use crate::protocol::auth::{Credential, Digest256, Salt, Secret};

use super::denied::Transport;
use super::shared::Shared;

/// An account as sessions see it.
pub(super) struct AccountEntry {
    /// Its number in the configuration, and in the limiter's keys.
    pub index: u32,
    pub cluster: usize,
    pub credential: Credential,
    pub default_database: Option<Rc<[u8]>>,
    pub max_connections: Option<usize>,
    allowed: Option<Vec<Origin>>,
    tls: AccountTls,
    /// The account of its links.
    pub backend: Rc<BackendAccount>,
    /// Whether its reads go to replicas; `None` is as for all others.
    pub read_write_split: Option<bool>,
    /// Of an account of which only the hash is known: what its first login has left.
    pub digest: RefCell<Option<Digest256>>,
}

impl AccountEntry {
    /// Whether a client may log in from there and so; `None` is a Unix socket.
    pub fn lets_in(&self, address: Option<IpAddr>, transport: Transport) -> bool {
        let from_there =
            self.allowed.as_ref().is_none_or(|list| list.iter().any(|origin| origin.covers(address)));
        let encrypted = match (self.tls, transport) {
            (AccountTls::Optional, _) | (AccountTls::Required, Transport::Tls { .. }) => true,
            (AccountTls::Certificate, Transport::Tls { certificate }) => certificate,
            // A Unix socket is none either, for a server.
            (AccountTls::Required | AccountTls::Certificate, _) => false,
        };
        from_there && encrypted
    }
}

/// The accounts of the configuration.
pub(in crate::session) struct Accounts {
    entries: HashMap<Box<[u8]>, Rc<AccountEntry>>,
    /// One for each kind of credential that there is, fit for nobody.
    decoys: Vec<Credential>,
}

impl Accounts {
    /// `own` are the accounts of the clusters' instances, for those that have no other.
    pub fn new(config: &Config, own: &[Rc<BackendAccount>]) -> Self {
        let of_cluster =
            config.clusters.iter().enumerate().zip(own).flat_map(|((cluster, c), own)| {
                c.accounts.iter().map(move |account| (cluster, account, own))
            });
        let entries = of_cluster.zip(0..).map(|((cluster, account, own), index)| {
            let backend = match &account.backend {
                Some(login) => {
                    BackendAccount::new(login.user.as_bytes(), Secret::password(login.password.expose()))
                }
                None => own.clone(),
            };
            let entry = AccountEntry {
                index,
                cluster,
                credential: account.credential.clone(),
                default_database: account.default_database.as_deref().map(|name| name.as_bytes().into()),
                max_connections: account.max_connections,
                allowed: account.allowed.clone(),
                tls: account.tls,
                backend,
                read_write_split: account.read_write_split,
                digest: RefCell::default(),
            };
            (account.name.as_bytes().into(), Rc::new(entry))
        });
        let entries: HashMap<Box<[u8]>, Rc<AccountEntry>> = entries.collect();
        let decoys = decoys(entries.values().map(|entry| &entry.credential));
        Self { entries, decoys }
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<Rc<AccountEntry>> {
        self.entries.get(name).cloned()
    }

    /// What an unknown name is taken for.
    pub fn decoy(&self, name: &[u8], shared: &Shared) -> Credential {
        pick(&self.decoys, name, shared)
    }
}

/// One of each kind among `credentials`, fit for nobody, in an order that does not depend on theirs.
pub(super) fn decoys<'a>(credentials: impl Iterator<Item = &'a Credential>) -> Vec<Credential> {
    let mut kinds: Vec<Credential> = Vec::new();
    for credential in credentials {
        if !kinds.iter().any(|known| known.is_like(credential)) {
            kinds.push(credential.of_nobody(Salt::default()));
        }
    }
    kinds.sort_by_key(|credential| format!("{credential:?}"));
    kinds
}

/// A decoy that is always the same for a name.
pub(super) fn pick(decoys: &[Credential], name: &[u8], shared: &Shared) -> Credential {
    let count = decoys.len().max(1) as u64;
    let at = usize::try_from(shared.number_of(name) % count).unwrap_or_default();
    decoys.get(at).cloned().unwrap_or_else(|| Credential::password(b"").of_nobody(Salt::default()))
}
