//! What is limited, and by how much.

use super::ledger::Limit;

/// Whose permits: each key has its own permits and its own queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Key {
    /// Number of the account.
    pub user: u32,
    pub shard: u32,
    /// Which of the limits there are it has: its index among them.
    pub class: u32,
}

/// What each key may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Permits. With 0 nobody is admitted: all wait until they cancel.
    pub max_concurrent: usize,
    /// Places in the queue.
    pub queue_size: usize,
}

impl Limits {
    /// Running and waiting together.
    pub fn places(&self) -> usize {
        self.max_concurrent.saturating_add(self.queue_size)
    }
}

/// A limit that the ledger keeps, in one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Statements of a key that run.
    Permits(Key),
    /// Statements of a key that run or wait.
    Places(Key),
    /// Links to an instance, by its number among the members of the cluster.
    Links(usize),
}

impl Resource {
    /// Its number, where keys of each class have these limits, and each instance so many links.
    pub fn limit(&self, classes: &[Limits], links: usize) -> Limit {
        let of = |key: &Key| classes.get(key.class as usize);
        match self {
            Self::Permits(key) => {
                Limit { max: of(key).map_or(0, |limits| limits.max_concurrent), refuses: false }
            }
            Self::Places(key) => Limit { max: of(key).map_or(0, Limits::places), refuses: true },
            Self::Links(_) => Limit { max: links, refuses: false },
        }
    }
}
