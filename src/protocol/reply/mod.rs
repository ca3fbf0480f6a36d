//! The reply to one command, followed by its packet headers while its bytes pass through.
//!
//! Protocol sections: "COM_QUERY Response", "COM_STMT_PREPARE Response", "COM_STMT_EXECUTE Response".
//!
//! A backend always speaks `DEPRECATE_EOF` and `SESSION_TRACK`, a client perhaps not. [`Reply`] walks over the chunks as
//! they arrive and says, as [`Edits`], what must change for the client: rows never do, except for their sequence
//! ids, in place. What a first byte means depends on the state alone: 0x00, 0xFB, 0xFE and 0xFF begin rows or values
//! as well as packets of their own.
//!
//! ```text
//!            ┌────────────── MORE_RESULTS ───────────────┐
//!            ▼                                           │
//!  ──▶ First ──OK──────────────────────────────▶ end of result ──▶ Done
//!        │  ├─0xFB──▶ LocalFile ──(the client's file)──▶ First
//!        │  └─ERR─────────────────────────────────────────────────▶ Done
//!        └─column count──▶ Columns ──last──▶ AfterColumns ──▶ Rows ──OK(0xFE)──▶ end of result
//!                                           (old clients)        └──ERR────────────▶ Done
//!  ──▶ PrepareFirst ──▶ Definitions (parameters) ──▶ Definitions (columns) ──▶ Done
//! ```
//!
//! MariaDB's progress reports, to clients that asked for them, may stand before any packet and change nothing.
//!
//! What an old client misses: the flag for OUT parameters of a prepared CALL stands in the EOF packet after the columns
//! if a server sends it, but a backend that speaks `DEPRECATE_EOF` tells it only after the row. (Measured without
//! `DEPRECATE_EOF`: a MariaDB 10.11 has `MORE_RESULTS_EXISTS` and `PS_OUT_PARAMS` in the EOF packets on both sides of the row;
//! a MySQL 9.7 has them in front of it only, and behind it neither, although an OK packet follows there, too.)

mod edits;
mod renames;
mod scan;
#[cfg(test)]
mod tests;

pub use edits::{Edit, Edits};
pub use renames::Renames;
pub use scan::{Observer, Reply, ReplyError, Scanned};
