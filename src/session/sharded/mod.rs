//! Statements about sharded tables.
//!
//! `tables` knows the rules of a cluster and the plans of statements, and decides for a text which shards it is for, and in
//! what words. A statement of one shard goes on as any other does. The parts of one of several are said on the session's link
//! (`collect` takes their replies), and what they answer is made one. `several` has writes and definitions, whose OK packets `done`
//! adds up; `on_servers` has those of several servers, and `copies` what is the same on all of them. A read (`reads`) has other links `beside` that, on which parts run at the same time; what comes of them is a `gathering`,
//! by the ways of `router::sharding`, and goes to the client by `outgoing` while more comes. `text` and `prepared` are the ways in, MariaDB's
//! `bulk` executions another one.
//! What parts warn of is `warnings`. `load` is LOAD DATA, with the `splitting` of its file by rows and their `file_ids`; `columns` asks for a table's columns, `sequences` for ids of rows.
//! `finish` asks a server about what can't be merged.
//! `show` is about what servers say of their tables, `schema` about what `information_schema` does, `explain` about what Athena says
//! of statements.

mod beside;
mod bulk;
mod collect;
mod columns;
mod copies;
mod done;
mod explain;
mod file_ids;
mod finish;
mod gathering;
mod load;
mod on_servers;
mod outgoing;
mod prepared;
mod reads;
mod schema;
mod sequences;
mod several;
mod show;
mod splitting;
mod tables;
mod text;
mod warnings;

pub(super) use prepared::{Execution, ShardedStatement};
pub(super) use sequences::Sequences;
pub use tables::ShardedTables;
