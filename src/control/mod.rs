//! The control executor: everything about the process that is not the path of a query.
//!
//! It owns the signals, the HTTP endpoint, the log, the look-ups of names, and the start and end of the cores. It
//! speaks with them by messages alone; a slow scrape or a stuck look-up never makes a query wait.
//!
//! - `executor` is its life. `http` serves, `pages` makes what is served, `process` reads what the system knows.
//! - `ledger` keeps the limits of the process, `reload` is what SIGHUP does.
//! - `prober` looks at the servers of clusters with replicas, on a thread of its own; `topology` makes of it what the cores are to know, and
//!   `story` the lines of the log.
//! - `signals` turns signals into messages; `resolver` turns names into addresses; `logging` sets up the log.

mod executor;
pub mod http;
mod ledger;
pub mod logging;
mod pages;
mod prober;
mod process;
mod reload;
pub mod resolver;
mod signals;
mod story;
mod topology;

pub use executor::{Control, run};
