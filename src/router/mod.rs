//! Which server of a cluster gets a statement: decisions about inert data, without a socket or a clock.
//!
//! - `topology` is what the control executor knows of a cluster's servers, as every core has it.
//! - `choice` takes one of the replicas for a read.
//! - `gtid` compares what servers have written and executed.

mod choice;
mod gtid;
mod topology;

pub use choice::{Choice, Outstanding};
pub use gtid::GtidSet;
pub use topology::{Member, Suspicion, Topology, Unfit};
