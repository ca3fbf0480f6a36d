//! What measures Athena and what it is measured against.
//!
//! - [`lab`] starts private database servers, [`proxy`] starts Athena and its peers in front of them. Tests, demo and
//!   benchmarks all stand on these two.
//! - [`null_backend`] answers at next to no cost, [`load`] asks at next to none: between them a proxy shows what it costs.
//!   Both speak the little of the protocol that is in [`wire`].
//! - [`crowd`] has thousands of clients, each with a state of its own, look whether it stays their own.
//! - [`suite`] runs MariaDB's own tests.
//! - [`sysbench`] runs and reads sysbench; [`bench`](mod@bench) compares the proxies and writes `perf/RESULTS.md`.
//!
//! Nothing here uses Athena's own code: a mistake in the proxy must not hide itself in the tool that looks for it.

pub mod bench;
pub mod crowd;
pub mod error;
pub mod histogram;
pub mod lab;
pub mod load;
mod login;
pub mod null_backend;
pub mod port;
pub mod process;
pub mod proxy;
pub mod suite;
pub mod sysbench;
pub mod wire;

pub use error::{Error, Result};
