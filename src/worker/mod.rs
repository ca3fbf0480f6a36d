//! A core: one CPU, one thread, one ring, and everything that lives on them.
//!
//! - `core` is its life: built, serving, draining, ended.
//! - `accept` takes clients in.
//! - `limits` makes the limits of the configuration into those of the limiter.
//! - `message` is all that the control executor says to a core, and what it hears back.

mod accept;
mod core;
mod limits;
mod message;

pub use self::core::{CoreError, CorePlan, start};
pub use limits::classes;
pub use message::{Filed, Message, Report};
