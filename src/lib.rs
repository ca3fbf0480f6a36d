//! Athena, a MySQL proxy: one executor per CPU core, io_uring underneath, nothing shared between cores on the path of a
//! query.
//!
//! The rooms, in the order of their floors; a file imports from lower floors only (`tests/floors.rs` holds it so):
//!
//! - floor 0, bytes and values: [`protocol`], [`config`], [`metrics`].
//! - floor 1: [`net`] moves bytes, [`parser`] reads statements, [`circuit`] limits them.
//! - floor 2: [`router`] chooses the server, [`pool`] opens, lends and closes links to backends.
//! - floor 3: [`session`] is one client, from greeting to goodbye.
//! - floor 4: [`worker`] is one core's life, [`control`] the process's.

pub mod circuit;
pub mod config;
pub mod control;
pub mod metrics;
pub mod net;
pub mod parser;
pub mod pool;
pub mod protocol;
pub mod router;
pub mod session;
pub mod worker;
