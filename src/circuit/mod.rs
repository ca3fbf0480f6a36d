//! How much may run at once: permits by (user, shard), and queues with an end.
//!
//! - `limiter` is the bookkeeping of one core: who has a permit, who waits, in which order. No clock, no waiting.
//! - `gate` makes waiting out of it, with nothing but wakers: a session awaits an [`Admission`] and holds a
//!   [`Permit`]. Whoever bounds the wait drops the admission when time is up.
//! - `slice` splits the numbers of the process between its cores.

mod gate;
mod limiter;
mod slice;
#[cfg(test)]
mod tests;

pub use gate::{Admission, Gate, Permit, QueueFull};
pub use limiter::{Cancelled, Entry, Key, Limiter, Limits, Ticket};
pub use slice::slice;
