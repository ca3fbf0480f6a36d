//! One client, from its greeting to its goodbye.
//!
//! A packet's way through this room: [`serve`] (`driver`) logs the client in (`login`) and then takes commands, one at
//! a time, out of the bytes that arrive (`input`). `dispatch` decides what a command is: answered here, or run on a
//! link. For the latter `link` gets a permit and a link, `relay` passes the command on and the reply back, and
//! `settle` decides from what was seen (`seen`, `holds`) whether the link is free again or stays with the session.
//!
//! - `binlog` serves replicas: one endless reply.
//! - `local_infile` takes a client's file to the link, in the middle of a reply.
//! - `options` is what a client changes about its connection after the login.
//! - `authenticate` asks a client who it is, `accounts` knows who may come in, `shared` counts over all cores;
//!   `change_user` lets it become somebody else. `directory` knows the server's own accounts: `server_accounts` reads
//!   its tables, `host_pattern` what they say of hosts.
//! - `prepared` and `statements` are the commands and the book-keeping of prepared statements.
//! - `own` has the statements about sessions by their ids, which Athena answers: `kill` and `processlist`. `registry` is
//!   what others may know of a session, `post` how one core asks another.
//! - `context` is what the sessions of a core share.
//! - `failure` is the one table from what can go wrong to the errors that clients see.

mod accounts;
mod authenticate;
mod binlog;
mod change_user;
mod context;
mod directory;
mod dispatch;
mod driver;
mod failure;
mod holds;
mod host_pattern;
mod input;
mod kill;
mod link;
mod local_infile;
mod login;
mod options;
mod own;
mod post;
mod prepared;
mod processlist;
mod query;
mod registry;
mod relay;
mod seen;
mod server_accounts;
mod settle;
mod shared;
mod statements;
mod trackers;

pub use context::{Cluster, Context, Phase, Place};
pub use driver::serve;
pub use input::{Chunk, Input, Oversized, Taken};
pub use post::{LETTERS_MAX, Letter, deliver};
pub use registry::Registry;
pub use shared::Shared;
pub use statements::TextStore;
