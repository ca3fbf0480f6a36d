//! What statements do to their session, by name: which lock, which variable, which table.
//!
//! [`facts`](super::facts) tells in one cheap pass whether a text does anything of the kind; [`effects`] is the second
//! pass, made only then, which may allocate.
//!
//! - `effect` is what it finds.
//! - `reader` passes over tokens, with the effects that look the same in every statement; `statement`, `definition` and
//!   `set` are the statements that have their own. They read as the scanner of the facts does, token for token, so that
//!   both find the same.
//! - `native` is the table of the functions and words that no stored function can be called by.
//!
//! What the facts say and this can't name is an [`Effect::Unclear`].

mod definition;
mod effect;
mod native;
mod reader;
mod set;
mod statement;

pub(super) use native::{Spelling, is_never_stored};

pub use effect::{Effect, Literal, TableName, effects};

#[cfg(test)]
mod tests;
