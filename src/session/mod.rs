//! One client, from its greeting to its goodbye.
//!
//! A packet's way through this room: `serve` (`driver`) logs the client in (`login`) and then takes commands, one at
//! a time, out of the bytes that arrive (`input`). `dispatch` decides what a command is: answered here, or run on a
//! link. For the latter `link` gets a permit and a link, `relay` passes the command on and the reply back, and
//! `settle` decides from what was seen (`seen`, `holds`) whether the link is free again or stays with the session.
//!
//! - `arrival` is what happens before: a client that was accepted gets to the core that has room for it.
//! - `moves` is what a session has set, which goes with it from link to link; `unread` what only its link knows, until
//!   that is read out; `before` and `asks` what it may ask about its statement before.
//! - `route` decides which server a statement is for, `members` gets the link there, `leave` lets go of another; `written` is what the session is to find on a replica, `positions` what
//!   anybody is; `retry` has a statement said once more where that is safe.
//! - `login` is a folder of its own: who comes in, and as whom.
//! - `binlog` serves replicas: one endless reply.
//! - `local_infile` takes a client's file to the link, in the middle of a reply.
//! - `options` is what a client changes about its connection after the login.
//! - `prepared` and `statements` are the commands and the book-keeping of prepared statements; `reprepare` has them on
//!   further links, `long_data` is about parameters that come before their EXECUTE.
//! - `sharded` is a folder of its own: statements about tables that are several.
//! - `own` has the statements about sessions by their ids, which Athena answers: `kill` and `processlist`. `registry` is
//!   what others may know of a session, `post` how one core asks another.
//! - `context` is what the sessions of a core share; `view` what it knows of a cluster's servers.
//! - `servers` is a folder of its own: one session on several servers, where shards have such.
//! - `failure` is the one table from what can go wrong to the errors that clients see.

mod arrival;
mod asks;
mod before;
mod binlog;
mod context;
mod dispatch;
mod driver;
mod failure;
mod holds;
#[cfg(test)]
mod holds_tests;
mod input;
mod kill;
mod leave;
mod link;
mod local_infile;
mod login;
mod long_data;
mod members;
mod moves;
mod options;
mod overtime;
mod own;
mod positions;
mod post;
mod prepared;
mod processlist;
mod query;
mod registry;
mod relay;
mod reprepare;
mod retry;
mod route;
mod seen;
mod servers;
mod settle;
mod sharded;
mod statements;
mod trackers;
mod unread;
mod view;
mod written;

pub use arrival::receive;
pub use context::{Cluster, Context, Phase, Place};
pub use input::{Chunk, Input, Oversized, Taken};
pub use login::{Clients, Shared, TooMany};
pub use positions::Positions;
pub use post::{LETTERS_MAX, Letter, deliver};
pub use registry::Registry;
pub use servers::recover;
pub use sharded::ShardedTables;
pub use statements::TextStore;
pub use view::{SUSPICIONS_MAX, View};
