//! A core: one CPU, one thread, one ring, and everything that lives on them.
//!
//! - `core` is its life: built, serving, draining, ended.
//! - `accept` takes clients in.
//! - `message` is all that the control executor says to a core, and what it hears back.

mod accept;
mod core;
mod message;

pub use self::core::{CoreError, CorePlan, start};
pub use message::{Message, Report};
