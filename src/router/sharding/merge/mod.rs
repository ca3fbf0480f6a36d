//! The rows that several shards gave to one SELECT become the rows that one server would have given.
//!
//! A [`Merger`] takes the columns and the rows of all shards, in any order between shards, and gives [`Merged`] at the end.
//! What it does with a row as it comes is what the plan says of the rows: [`Rows::Each`](super::Rows) are kept, as runs that
//! are in order already where there is an order; those of groups are folded into their groups at once, so that only groups
//! are held. The parts:
//!
//! - [`key`] makes of the values that rows are compared by bytes that sort as the server sorts the values;
//! - [`layout`] is what is known of the columns, with the plan's columns found among them;
//! - [`aggregate`] makes one value of those of several shards, in [`exact`] decimals and in [`double`]s;
//! - [`groups`] and [`runs`] hold rows.

mod aggregate;
mod double;
mod error;
mod exact;
mod groups;
mod key;
mod layout;
mod merger;
mod runs;

pub use error::MergeError;
pub use merger::{Budget, Flow, Merged, MergedRows, Merger, Window};

#[cfg(test)]
mod tests;
