//! What Athena counts, and how it shows it.
//!
//! Each core has one [`CoreMetrics`], shared by the parts of that core through an `Rc`: plain cells, no atomics,
//! so that counting costs an addition. When somebody asks, a core sends a [`Snapshot`] (plain data) to the control
//! executor, which hands all of them to [`expose`]; that sums them over the cores and writes Prometheus' text format.
//!
//! - [`cell`] has the kinds of cell: counter, gauge, peak, and a set of cells by label.
//! - [`histogram`] counts durations in fixed buckets.
//! - [`label`] has the label values, each a closed enum: nothing that a client sends can make a new time series.
//! - `core` is the list of what a core counts.
//! - `family` is the table of what is exposed: name, help, and how it is read. `docs/METRICS.md` explains each.

pub mod cell;
mod core;
mod expose;
mod family;
pub mod histogram;
pub mod label;
#[cfg(test)]
mod tests;

pub use self::core::{CoreMetrics, Snapshot};
pub use self::expose::{CONTENT_TYPE, ClusterFacts, InstanceFacts, ProcessFacts, expose};
pub use self::family::names;
