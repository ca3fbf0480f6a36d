//! Links (backend connections) of one core: opened, logged in, lent, bound, reset, closed.
//!
//! Two pools share the links. The stateless pool ([`StatelessPool`]) lends a link for one statement; a session that
//! has something on a link which can't move (a transaction, a lock, a variable) keeps it, which makes it part of the
//! transaction pool ([`Bound`]): a link with a reason, an age, and an event that ends it.
//!
//! - `identity` says which links a session may use at all: what can't be changed once a link is logged in.
//! - `era` keeps sessions off links that logged in before the globals or accounts changed under them.
//! - `connect` dials and logs in; `conversation` speaks with a server packet by packet, for small replies.
//! - `base` is what a link began with; `trackers` has the server report what changes.
//! - `link` is a logged-in connection; `statements` are those prepared on it.
//! - `state` is what a session has set and a link carries; `replay` brings a link to it by the text of `assignments`, and `user_variables` makes the
//!   expressions that give the values of user variables back.
//! - `accounts` counts the links of each account, and knows which may have no more.
//! - `lease` is the right to use a link: dropped in the middle of anything, it closes the link.
//! - `stateless` has the idle links and the numbers, `waiting` those who wait for one, and `on_call` those who can do without
//!   theirs; `transaction` what is bound.
//! - `fitting` tells which links fit whom.
//! - `opening` opens links for those who wait, within `quota`, the core's share of the process's number, and as far as `attempt`
//!   asks the instance's breaker.
//! - `gather` takes a whole result for somebody else than a client.
//! - `errand` runs commands of Athena's own (KILL, the list of processes) that must not wait for a link.
//! - `probe` asks a server how it is, on a connection that belongs to no pool.
//! - `maintain` closes what is idle or old, keeps a minimum ready, and finds out whether the server is there.

mod accounts;
mod assignments;
mod attempt;
mod base;
mod connect;
mod conversation;
mod era;
mod errand;
mod error;
mod fitting;
mod gather;
mod identity;
mod lease;
mod link;
mod maintain;
mod on_call;
mod opening;
mod probe;
mod quota;
mod replay;
mod state;
mod stateless;
mod statements;
mod trackers;
mod transaction;
pub mod user_variables;
mod waiting;

pub use assignments::{literal_in, quote, quote_name};
pub use base::Base;
pub use connect::ServerProfile;
pub use era::{Era, Eras};
pub use errand::{ErrandError, Table, Told};
pub use error::{ConnectError, LinkError, PoolError};
pub use gather::Gathered;
pub use identity::{BackendAccount, Identity, Want};
pub use lease::Lease;
pub use link::{Link, SmallReply};
pub use maintain::maintain;
pub use probe::{Answer, Probe, Question};
pub use quota::Quota;
pub use replay::Brought;
pub use state::{Changes, Entry, RESULTS_ALONE, State, States, canonical, coupled, is_movable};
pub use stateless::StatelessPool;
pub use statements::{OnLink, StatementKey};
pub use trackers::Reports;
pub use transaction::{Bound, BoundSince};
