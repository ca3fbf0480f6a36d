//! Tables that are several tables: which rows are where, what a statement about them becomes on each shard, and how the
//! answers of several shards become one.
//!
//! - `plan` is what becomes of a statement, without its values.
//! - `rules` finds the rule of a table; `value` reads literals and parameters, `key` makes keys of them, and `mapping` says on
//!   which shards keys and conditions are (`shard_set`).
//! - `load` finds the rows in the file of a LOAD DATA.
//! - `merge` makes the rows of several shards one result.

mod key;
mod load;
mod mapping;
mod merge;
mod plan;
pub mod planner;
mod rules;
mod shard_set;
#[cfg(test)]
mod tests;
mod value;

pub use crate::config::sharding::{Algorithm, Key, KeyType, ShardingRule as Rule};
pub use key::{KeyError, Reading, compared, stored};
pub use load::{Field, FileFormat, FileRow, FileRows, FormatError, RowShape, is_of_bytes, keeps};
pub use mapping::{Values, evaluate, hash_of, place, shard_of};
pub use merge::{
    Budget, Chunk, FULL_BYTES, Finisher, Flow, MergeError, Merged, MergedRows, Merger, Merging, Step, Stream,
    Whole, Window,
};
pub use plan::{
    Action, Aggregate, Bound, Column, Compared, Concat, Condition, Deviation, Edit, Finish, IdOfRow, Ids,
    Input, Limit, Load, Merge, Operand, OrderKey, Origin, Piece, Plan, Reason, Row, Rows, Scatter, Verdict,
};
pub use rules::{GLOBAL, Rules, physical, quote};
pub use shard_set::{ShardSet, cluster_of_copy, copy_at};
pub use value::Value;
