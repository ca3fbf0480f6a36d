//! What a statement's text tells, found in one pass without allocation.
//!
//! A server reports most of what a statement did through status flags and session trackers. The rest only the text
//! tells: a named lock, a user variable written by a SELECT, a question about the statement before. [`facts`] names the
//! [`StatementKind`] and those [`Hazards`].
//!
//! - `lexer` turns bytes into tokens, under the session's [`SqlMode`]; it never fails, whatever the bytes are.
//!   `charset` and `server` are the parts of that mode which know what one character is, and which comments are code.
//! - `keyword` is the table of the words that mean something here.
//! - `scan` passes over the tokens, `statement` tells statements apart by their first words, and `set` is its part for
//!   SET, the one statement with many meanings. `insert` is its part for INSERT, which may give ids (`ids`).
//! - `effects` is a second pass over a text with hazards: which lock, which variable, which table.
//! - `answers` writes what Athena knows where a statement asks for it: the client's own id, counts of the statement
//!   before; `question` knows the ways to ask, `constant` the expressions to write, and `column_name` how a server names
//!   what stands there.
//! - `access` tells whether a text only reads data, so that a replica may answer it; `hint` is what comments ask for
//!   instead.
//! - `digest` tells which statements differ in their values only; `sketch` also where their tokens are.
//! - `table` tells whether a statement uses one. `diagnostics` reads what is asked about warnings; `kill` reads whom a KILL means.
//!
//! The rule where text is ambiguous: a hazard too many costs a link that is kept longer, a hazard too few hands one
//! session's state to another. So doubt is answered by the hazard, and by [`Hazards::UNSURE`] if it is about where
//! tokens begin and end.

mod access;
mod answers;
mod charset;
mod column_name;
mod constant;
mod diagnostics;
mod digest;
mod effects;
mod facts;
mod hint;
mod ids;
mod insert;
mod keyword;
mod kill;
mod lexer;
mod question;
mod scan;
mod server;
mod set;
mod sketch;
mod statement;
mod table;

pub use access::{NotRead, access};
pub use answers::{Unclear, with_answers, with_connection_id};
pub use charset::Charset;
pub use diagnostics::{
    ConditionItem, ConditionNumber, Diagnostics, GetDiagnostics, StatementItem, diagnostics,
};
pub use digest::digest;
pub use effects::{Effect, Literal, TableName, effects};
pub use facts::{Facts, Hazards, StatementKind, facts, is_server_schema};
pub use ids::Ids;
pub use kill::{Kill, KillError, KillScope, kill};
pub use lexer::SqlMode;
pub use question::Answers;
pub use server::Server;
pub use sketch::{Sketch, SketchKind, SketchToken, is_explain_athena};
pub use table::uses_table;

#[cfg(test)]
mod tests;
