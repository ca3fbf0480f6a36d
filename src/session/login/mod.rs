//! Who comes in, and as whom.
//!
//! A client stands at the `door` with the `greeting` of what it is offered; its `packets` arrive, perhaps behind a PROXY
//! header, perhaps inside TLS. `authenticate` asks it who it is, and `proof` asks the server what only the server can tell:
//! then there is a session. Everybody else is `denied`, in the server's words. `change_user` goes the same way again, on a
//! connection that has been let in before.
//!
//! - `accounts` knows who may come in by the configuration.
//! - `directory` knows the server's own accounts: `server_accounts` reads its tables, `host_pattern` what they say of hosts.
//! - `lobby` has those of a core who are not in yet, and ends those who keep it waiting where they are too many.
//! - `shared` counts over all cores, `clients` whoever is there: a client gets its place, and with it its core, at accept.

mod accounts;
mod authenticate;
mod change_user;
mod clients;
mod denied;
mod directory;
mod door;
mod greeting;
mod host_pattern;
mod lobby;
mod packets;
mod proof;
mod server_accounts;
mod shared;

pub(super) use accounts::Accounts;
pub(super) use authenticate::Account;
pub(super) use clients::Ticket;
pub use clients::{Clients, TooMany};
pub(super) use denied::Transport;
pub(super) use directory::Directory;
pub(super) use door::log_in;
pub(super) use lobby::Lobby;
pub use shared::Shared;
