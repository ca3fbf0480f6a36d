//! Backends and clients that die, limits that are reached, and the end of Athena itself: an error in time, and nothing
//! left behind.

mod backend;
mod breaker;
mod clients;
#[path = "../common/mod.rs"]
mod common;
mod deadlines;
mod limits;
mod shutdown;
mod start;
