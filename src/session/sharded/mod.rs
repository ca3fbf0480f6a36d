//! Statements about sharded tables.
//!
//! `tables` knows the rules of a cluster and the plans of statements, and decides for a text which shards it is for, and in
//! what words. A statement of one shard goes on as any other does. One of several is `several`: its parts are said one after
//! the other on a link (`collect` takes their replies; `beside` has reads on further links at the same time), and what they answer is made one, rows by the merger of
//! `router::sharding`, OK packets by `done`. `text` and `prepared` are the ways in. `show` is about what servers say of their
//! tables, `schema` about what `information_schema` does, `explain` about what Athena says of
//! statements.

mod beside;
mod collect;
mod done;
mod explain;
mod on_servers;
mod prepared;
mod schema;
mod several;
mod show;
mod tables;
mod text;

pub(super) use prepared::{Execution, ShardedStatement};
pub use tables::ShardedTables;
