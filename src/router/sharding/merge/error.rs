//! Why rows of several shards don't become one result.

use thiserror::Error;

use super::key::Untold;
use crate::protocol::buf::Malformed;

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MergeError {
    #[error("the reply of a shard is not what the protocol says: {0}")]
    Malformed(#[from] Malformed),
    #[error("the rows of several shards pass {setting} = {max}: ask for less, or raise it")]
    TooMuch { setting: &'static str, max: usize },
    #[error(
        "shard {first} has {first_count} columns here and shard {other} has {other_count}: make their tables alike"
    )]
    ColumnCount { first: usize, first_count: usize, other: usize, other_count: usize },
    #[error(
        "column `{column}` is {first_type} on shard {first} and {other_type} on shard {other}: make their tables alike"
    )]
    ColumnType { column: String, first: usize, first_type: String, other: usize, other_type: String },
    /// The text says what to write instead.
    #[error("{0}")]
    Untold(String),
    #[error("the values of several shards in column `{column}` make one that its type {kind} can't hold")]
    OutOfRange { column: String, kind: &'static str },
    #[error("the values of several shards in column `{column}` are bit strings of different lengths")]
    BitLengths { column: String },
    #[error("column `{column}` of the type {kind} can't be added up over several shards")]
    NoNumber { column: String, kind: &'static str },
    #[error(
        "column `{column}` of the type {kind} can't be beside aggregates in an expression, HAVING or ORDER BY over several \
         shards: {advice}"
    )]
    NotComputed { column: String, kind: &'static str, advice: &'static str },
    #[error(
        "column `{column}` is {described} and what the server computes of the merged aggregates is {computed}: CAST it to \
         the type that you need, or compute it in the application"
    )]
    OtherType { column: String, described: String, computed: String },
    #[error(
        "the texts of several shards in column `{column}` pass group_concat_max_len = {max}, and are not cut off there: raise \
         that"
    )]
    ConcatTooLong { column: String, max: u64 },
    #[error("the plan uses column {column} of {columns}")]
    NoSuchColumn { column: usize, columns: usize },
    #[error("a shard sent a row before its columns")]
    NoColumns,
}

impl MergeError {
    /// More bytes are kept than may be.
    pub fn too_many_bytes(max: usize) -> MergeError {
        MergeError::TooMuch { setting: "[sharding_defaults] max_merge_bytes", max }
    }

    /// For a column that rows are ordered or grouped by, or that MIN or MAX is taken of.
    pub(super) fn untold(column: &str, why: Untold) -> MergeError {
        MergeError::Untold(match why {
            Untold::Enumerated => format!(
                "ENUM and SET can't be compared across shards, column `{column}` is one: write ORDER BY `{column}` + 0 for \
                 the order of the definition, or CAST(`{column}` AS CHAR) for that of the texts"
            ),
            Untold::Json => format!(
                "JSON can't be compared across shards, column `{column}` is JSON: write CAST(`{column}` AS CHAR), or the \
                 CAST of a part of it"
            ),
            Untold::Shortened => format!(
                "FLOAT is shown with fewer digits than it has, so rows of several shards can't be compared by column \
                 `{column}`: write `{column}` + 0e0, or prepare the statement"
            ),
            Untold::Geometry => format!(
                "GEOMETRY can't be compared across shards, column `{column}` is GEOMETRY: write ST_AsBinary(`{column}`)"
            ),
        })
    }
}
