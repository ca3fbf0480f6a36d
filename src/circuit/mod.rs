//! How much may run at once: permits by (user, shard), links by instance; queues with an end.
//!
//! - `key` says what is limited, `classes` which limits a statement has.
//! - `ledger` keeps every limit as one number for the process, and `share` what one core has of it. They talk by reports and
//!   orders, which somebody else carries: no socket, no channel, no clock here.
//! - `limiter` is the bookkeeping of one core: who has a permit, who waits, in which order.
//! - `gate` makes waiting out of it, with nothing but wakers: a session awaits an [`Admission`] and holds a
//!   [`Permit`]. Whoever bounds the wait drops the admission when time is up.
//! - `slice` splits numbers that need not be exact between the cores.
//! - `breaker` says whether it is worth while to try a connection to an instance.

mod breaker;
#[cfg(test)]
mod breaker_tests;
mod classes;
mod gate;
mod key;
mod ledger;
mod limiter;
#[cfg(test)]
mod model_tests;
mod share;
mod slice;
#[cfg(test)]
mod tests;

pub use breaker::{Attempt, Breaker, Stance};
pub use classes::{Classes, Rule, UserClasses};
pub use gate::{Admission, Gate, Permit, QueueFull};
pub use key::{Key, Limits, Resource};
pub use ledger::{Ledger, Limit};
pub use limiter::{Cancelled, Entry, Limiter, Standing, Ticket};
pub use share::{Order, Report, Share, TURN};
pub use slice::slice;
