//! What is fuzzed: everything of Athena that reads bytes from outside.
//!
//! A target takes any bytes and panics when something is wrong: a panic in Athena itself, or an answer that depends on
//! how the bytes were cut, or one that does not survive being written and read again. `make fuzz` looks for such bytes
//! (`bin/fuzz.rs`); those that were worth keeping are in `corpus/<target>/` and run with the tests.

mod cuts;
mod framing;
mod layers;
mod login;
mod replies;
mod statements;
mod texts;

/// A function that panics when something is wrong with what Athena makes of these bytes.
pub type Target = fn(&[u8]);

/// All targets with their names.
pub const TARGETS: [(&str, Target); 15] = [
    ("packets", framing::packets),
    ("commands", framing::commands),
    ("greeting", login::greeting),
    ("client_hello", login::client_hello),
    ("auth_client", login::auth_client),
    ("auth_server", login::auth_server),
    ("responses", replies::responses),
    ("reply", replies::reply),
    ("local_file", replies::local_file),
    ("statements", statements::statements),
    ("compression", layers::compression),
    ("proxy_header", layers::proxy_header),
    ("sql", texts::sql),
    ("http", texts::http),
    ("config", texts::config),
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
