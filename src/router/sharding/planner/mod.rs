//! Makes plans: reads a statement's text once, and says for all texts of its key what is to be done.
//!
//! - `definition` knows CREATE, ALTER, SHOW and the like by their first words; all else is made a syntax tree of.
//! - `text` joins the syntax tree to the tokens of the sketch, and refuses what can be read in two ways.
//! - `walk` goes through the queries and finds the sharded tables, `joins` through FROM; `scope` knows whose a column is.
//! - `condition` reads what is said of sharding columns; `groups` holds which of them are equal.
//! - `scatter` says how a SELECT runs on several shards: `clauses` finds its parts, `columns` what rows are compared by,
//!   `aggregate` the functions; `finish` has the server compute what can't be merged of merged groups, in the words
//!   of `finish_text`, with `averages` and `concat` (GROUP_CONCAT) among them; `union` is about several SELECTs.
//! - `write` plans UPDATE and DELETE, `insert` INSERT and REPLACE, with the `ids` of sequences, `load` LOAD DATA; `render` makes the text of one shard.
//! - `global` is about tables of which each server has a copy.
//!
//! The rule in doubt: a statement is refused with words that help, never guessed.

mod aggregate;
mod averages;
mod clauses;
mod columns;
mod concat;
mod condition;
mod definition;
mod finish;
mod finish_text;
mod global;
mod groups;
mod ids;
mod insert;
mod joins;
mod load;
mod render;
mod scatter;
mod scope;
mod statement;
mod text;
mod union;
mod walk;
mod write;

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod soup_tests;

pub use render::Fill;
pub use statement::{mentions, plan};

use super::plan::{Action, Edit};

/// What the planner has to know of the sharding rules.
pub trait Tables {
    /// The number of the rule that a table is of, by its name without a schema.
    fn rule_of(&self, table: &[u8]) -> Option<usize>;
    /// The same, and [`GLOBAL`](super::rules::GLOBAL) for a global table.
    fn known(&self, table: &[u8]) -> Option<usize>;
    /// A rule's sharding column.
    fn column(&self, rule: usize) -> &str;
    /// A rule's column for which ids are drawn.
    fn sequence(&self, rule: usize) -> Option<&str>;
    /// How many shards a rule has.
    fn shards(&self, rule: usize) -> u32;
}

/// What a statement does with sharded tables.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
enum Use {
    Home,
    Sharded { rule: usize, action: Action, edits: Vec<Edit>, beside: Option<Box<str>>, of_this_text: bool },
}
