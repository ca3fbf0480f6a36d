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
//! - `connection_id` writes the client's own id where a statement asks for it; `kill` reads whom a KILL means.
//!
//! The rule where text is ambiguous: a hazard too many costs a link that is kept longer, a hazard too few hands one
//! session's state to another. So doubt is answered by the hazard, and by [`Hazards::UNSURE`] if it is about where
//! tokens begin and end.

mod connection_id;
mod facts;
mod keyword;
mod kill;
mod lexer;
mod scan;
mod set;
mod statement;

pub use connection_id::{Unclear, with_connection_id};
pub use facts::{Facts, Hazards, StatementKind, facts};
pub use kill::{Kill, KillError, KillScope, kill};
pub use lexer::SqlMode;

#[cfg(test)]
mod tests;
