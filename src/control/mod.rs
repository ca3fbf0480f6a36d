//! The control executor: everything about the process that is not the path of a query.
//!
//! It owns the signals, the HTTP endpoint, the log, the look-ups of names, and the start and end of the cores. It
//! speaks with them by messages alone; a slow scrape or a stuck look-up never makes a query wait.
//!
//! - `executor` is its life. `http` serves, `pages` makes what is served, `process` reads what the system knows.
//! - `ledger` keeps the limits of the process, `reload` is what SIGHUP does.
//! - `signals` turns signals into messages; `resolver` turns names into addresses; `logging` sets up the log.

mod executor;
pub mod http;
mod ledger;
pub mod logging;
mod pages;
mod process;
mod reload;
pub mod resolver;
mod signals;

pub use executor::{Control, run};
