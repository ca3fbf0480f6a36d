//! The rows that several shards gave to one SELECT become the rows that one server would have given.
//!
//! What becomes of a row is what the plan says of the rows ([`Rows`](super::Rows)): each one goes to the client as soon as it may,
//! through a [`Stream`]; or they are folded into groups at once by a [`Merger`], which holds the groups and gives [`Merged`] at the
//! end. Both take the columns and the rows of all shards in any order between shards. The parts:
//!
//! - [`key`] makes of the values that rows are compared by bytes that sort as the server sorts the values;
//! - [`layout`] is what is known of the columns, with the plan's columns found among them;
//! - [`aggregate`] makes one value of those of several shards, in [`exact`] decimals and in [`double`]s, one text in [`concat`],
//!   and one [`variance`];
//! - [`groups`] holds groups, [`lane`] the rows of a shard that are on their way, and [`held`] counts what is held;
//! - [`finish`] is about groups of which a server computes the client's rows, and [`convert`] about its values.

mod aggregate;
mod concat;
mod convert;
mod double;
mod error;
mod exact;
mod finish;
mod groups;
mod held;
mod key;
mod lane;
mod layout;
mod merger;
mod stream;
mod variance;

pub use error::MergeError;
pub use finish::Finisher;
pub use lane::Chunk;
pub use merger::{Budget, Flow, Merged, MergedRows, Merger, Merging, Whole, Window};
pub use stream::{FULL_BYTES, Step, Stream};

#[cfg(test)]
mod groups_tests;
#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod tests;
