//! Which tables are several, and where a row of theirs is: `[[sharding]]` and `[sharding_defaults]`.
//!
//! - `model` is what the other rooms see; `resolve` makes it of the file.
//! - `key` has the values by which rows are told apart, as they are written in the file and as they are compared.
//! - `moment` is a date with its time.

mod key;
mod model;
mod moment;
mod resolve;
#[cfg(test)]
mod tests;

pub use key::{Key, KeyType, bytes_of_hex, decimal, integer};
pub(super) use model::COPIES_MAX;
pub use model::{Algorithm, Sharding, ShardingRule, TablePattern};
pub use moment::Moment;
pub(super) use resolve::{RuleError, sharding};
