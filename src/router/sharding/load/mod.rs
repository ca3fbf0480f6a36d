//! The file of a LOAD DATA: where its rows begin and end, and what the sharding column of each is.
//!
//! - `rows` reads a file as servers do; `format` is what the statement says of it.
//! - `keeps` knows which columns keep a value as it is: for LOAD DATA LOCAL servers make others fit.

mod format;
mod keeps;
mod rows;
#[cfg(test)]
mod rows_tests;

pub use format::{FileFormat, FormatError};
pub use keeps::{is_of_bytes, keeps};
pub use rows::{Field, FileRow, FileRows, RowShape};
