//! Tables that are several tables: which rows are where, what a statement about them becomes on each shard, and how the
//! answers of several shards become one.

mod plan;

pub use plan::{
    Action, Aggregate, Bound, Column, Compared, Condition, Edit, Limit, Merge, Operand, OrderKey, Piece,
    Plan, Reason, Row, Rows, Scatter, Verdict,
};
