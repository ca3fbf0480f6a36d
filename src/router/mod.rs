//! Which server of a cluster gets a statement: decisions about inert data, without a socket or a clock.
//!
//! - `topology` is what the control executor knows of a cluster's servers, as every core has it.
//! - `choice` takes one of the replicas for a read.
//! - `look` is what a server says of itself; `survey` makes the topology of all looks: `damping` tells who is there, `lag` who is
//!   behind, `member` who may have reads, and `primary` who takes writes.
//! - `gtid` compares what servers have written and executed.
//! - `sharding` is about tables that are several.

mod choice;
mod damping;
mod gtid;
mod lag;
mod look;
mod member;
mod primary;
pub mod sharding;
mod survey;
#[cfg(test)]
mod survey_tests;
mod topology;

pub use choice::{Choice, Outstanding};
pub use gtid::GtidSet;
pub use look::{Answers, Channel, Look, NamedRow, Part, Receives};
pub use primary::NoWrites;
pub use survey::{Event, Seen, Survey};
pub use topology::{Member, Suspicion, Topology, Unfit};
