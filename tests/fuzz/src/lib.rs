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

/// All targets with their names, by subject.
pub const TARGETS: [(&str, Target); 12] = [
    ("packets", |bytes| one_of(bytes, &[framing::packets, framing::commands])),
    ("handshake", |bytes| one_of(bytes, &[login::greeting, login::client_hello, login::change_user])),
    ("auth", |bytes| one_of(bytes, &[login::auth_client, login::auth_server, login::credentials])),
    ("responses", replies::responses),
    ("reply", |bytes| one_of(bytes, &[replies::reply, replies::made])),
    ("local_file", replies::local_file),
    ("statements", statements::statements),
    ("compression", |bytes| one_of(bytes, &[layers::compression, layers::numbering])),
    ("proxy_header", layers::proxy_header),
    ("sql", texts::sql),
    ("http", texts::http),
    ("config", texts::config),
];

/// Gives the bytes to the function that the first of them chooses.
fn one_of(bytes: &[u8], functions: &[Target]) {
    let (choice, rest) = cuts::option(bytes);
    functions[usize::from(choice) % functions.len()](rest);
}

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
