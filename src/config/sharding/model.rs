//! The resolved rules.

use super::key::{Key, KeyType};

/// The most shards that a table can have.
pub(crate) const SHARDS_MAX: usize = 256;

/// The most servers that can have a copy of a global table.
pub(in crate::config) const COPIES_MAX: usize = 64;

/// What is sharded, and what merging may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharding {
    /// No table is covered by two of them.
    pub rules: Vec<ShardingRule>,
    /// The cluster of each shard, by its number; empty where all are tables of the cluster itself.
    pub servers: Vec<usize>,
    /// Of these each of the servers has a copy.
    pub global_tables: Vec<TablePattern>,
    /// Transactions may be on several of these, and are committed by two phases.
    pub two_phase: bool,
    /// Ids that a core takes at a time.
    pub sequence_block: u64,
    /// Links that a read of several shards uses at a time.
    pub max_fan_out: usize,
    /// Rows that are kept to merge the answers of several shards.
    pub max_merge_rows: usize,
    /// And their bytes.
    pub max_merge_bytes: usize,
    /// Plans of statements that a core keeps.
    pub max_plans: usize,
}

/// How some tables are spread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardingRule {
    pub name: String,
    /// Never empty.
    pub tables: Vec<TablePattern>,
    /// The column whose value decides.
    pub column: String,
    /// The column for which ids are drawn that all shards have but once.
    pub sequence: Option<String>,
    pub key_type: KeyType,
    pub algorithm: Algorithm,
    /// From 1 to 256.
    pub shards: u32,
}

/// Names of tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TablePattern {
    Exact(String),
    /// All that begin with this, which is not empty.
    Prefix(String),
}

/// From a key to a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// The remainder of an integer; other keys are hashed before.
    Mod,
    /// The remainder of a hash.
    Hash,
    /// The first keys of all shards but the first, ascending; one fewer than there are shards.
    Range(Vec<Key>),
}

impl TablePattern {
    /// Whether there is a name that both cover.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(one), Self::Exact(other)) => one == other,
            (Self::Exact(name), Self::Prefix(prefix)) | (Self::Prefix(prefix), Self::Exact(name)) => {
                name.starts_with(prefix)
            }
            (Self::Prefix(one), Self::Prefix(other)) => one.starts_with(other) || other.starts_with(one),
        }
    }
}

impl std::fmt::Display for TablePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}
