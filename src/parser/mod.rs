//! What a statement's text tells, found in one pass without allocation.
//!
//! A server reports most of what a statement did through status flags and session trackers. The rest only the text
//! tells: a named lock, a user variable written by a SELECT, a question about the statement before. [`facts`] names the
//! [`StatementKind`] and those [`Hazards`].
//!
//! - `lexer` turns bytes into tokens, under the session's [`SqlMode`]; it never fails, whatever the bytes are.
//! - `keyword` is the table of the words that mean something here.
//! - `scan` passes over the tokens, `statement` tells statements apart by their first words, and `set` is its part for
//!   SET, the one statement with many meanings.
//!
//! The rule where text is ambiguous: a hazard too many costs a link that is kept longer, a hazard too few hands one
//! session's state to another. So doubt is answered by the hazard, and by [`Hazards::UNSURE`] if it is about where
//! tokens begin and end.

mod facts;
mod keyword;
mod lexer;
mod scan;
mod set;
mod statement;

pub use facts::{Facts, Hazards, StatementKind, facts};
pub use lexer::SqlMode;

#[cfg(test)]
mod tests;
