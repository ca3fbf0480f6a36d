//! Athena, a MySQL proxy: one executor per CPU core, io_uring underneath, nothing shared between cores on the path of a
//! query.
//!
//! The rooms, in the order of their floors; a file imports from lower floors only (`tests/floors.rs` holds it so):
//!
//! - floor 0, bytes and values: [`protocol`], [`config`], [`metrics`].
//! - floor 1: [`net`] moves bytes, [`parser`] reads statements, [`circuit`] limits them.

pub mod circuit;
pub mod config;
pub mod control;
pub mod metrics;
pub mod net;
pub mod parser;
pub mod pool;
pub mod protocol;
