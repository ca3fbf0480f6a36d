//! The configuration file, from its text to values that the other rooms can trust.
//!
//! An operator who made five mistakes wants to hear of five, so nothing here stops at the first one:
//!
//! - `keys` is the one table of every section and key, with its default, its bounds and what it does. The reader
//!   takes defaults and bounds from it, and a test holds the example file and the manual to it.
//! - `document` parses the text and knows the line of everything in it; `unknown` finds what the table does not
//!   have; `section` reads one typed value at a time; `password` fetches secrets, `tls` certificates and keys (with
//!   `verifier` for what a server need not prove); `resolve` builds the types,
//!   `users` those of the accounts, `replicas` those of the servers beside the primary, `shards` those of the servers that have shards.
//! - `sharding` has the rules of tables that are several.
//! - `check` looks for values that are each fine and contradict one another.
//! - `problem` holds every reason for a refusal, as a line `path:line: key: reason`.
//!
//! What comes out ([`Config`], in `model`) is plain data: complete, within bounds, and with its secrets hidden
//! from logs. The flat file resolves to one cluster named `default`; several clusters fit the same types.

mod check;
mod document;
mod keys;
mod model;
mod nearest;
mod password;
mod problem;
#[cfg(test)]
mod refusal_tests;
mod replicas;
mod resolve;
mod section;
pub mod sharding;
mod shards;
#[cfg(test)]
mod tests;
mod tls;
mod unknown;
mod users;
mod verifier;

pub use keys::{Absent, Form, KEYS, Key};
pub use model::{
    Acceptor, Account, AccountTls, Auth, AuthPlugin, AuthSource, BackendLogin, Breaker, Circuit,
    ClientCompression, Cluster, Config, Connector, Cpus, Health, Instance, LimitOverride, LinkCompression,
    LinkTls, Log, LogFormat, Origin, Pool, ReadYourWrites, Replica, ReplicaChoice, RoutineName, Routing,
    Runtime, Secret, Server, ServerTls,
};
pub use problem::Problems;
pub use sharding::Sharding;
pub use tls::{TlsError, TlsFiles};

/// Where the configuration is looked for when nothing else is named, relative to the working directory.
pub const DEFAULT_PATH: &str = "config/athena.toml";
