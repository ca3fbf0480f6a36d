//! Proving a password, in both roles.
//!
//! Protocol section: "Authentication Method", with "Protocol::AuthSwitchRequest" and "Protocol::AuthMoreData".
//!
//! - [`ClientAuth`] is Athena logging in at a backend: it eats the server's packets and says what to send.
//! - [`ServerAuth`] is Athena asking a client for its password: it eats the client's packets and ends in a verdict.
//! - [`native`] and [`caching_sha2`] are the arithmetic of the two plugins, [`rsa`] the exchange by which
//!   `caching_sha2_password` gets a password across a connection that is not encrypted.
//!
//! Neither machine does I/O: payloads come in and go out, framing and sequence ids are the caller's. Secrets are
//! compared in constant time, and a user that does not exist takes the same steps as one with another password.

pub mod caching_sha2;
mod client;
pub mod native;
pub mod rsa;
mod server;

pub use client::{AuthAction, AuthError, ClientAuth};
pub use server::{Credential, ServerAuth, Verdict};

/// Random bytes that a server sends and a client mixes into its proof.
pub type Salt = [u8; super::handshake::SCRAMBLE_LEN];

/// An authentication plugin that Athena knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plugin {
    Native,
    CachingSha2,
    /// Towards backends only.
    Sha256,
    /// The password as it is. Towards backends only, and only inside an encrypted connection.
    ClearText,
}

impl Plugin {
    /// The plugin of this name. Servers from before plugins name none, and mean the native one.
    pub fn from_name(name: &[u8]) -> Option<Plugin> {
        match name {
            b"" | b"mysql_native_password" => Some(Plugin::Native),
            b"caching_sha2_password" => Some(Plugin::CachingSha2),
            b"sha256_password" => Some(Plugin::Sha256),
            b"mysql_clear_password" => Some(Plugin::ClearText),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Plugin::Native => "mysql_native_password",
            Plugin::CachingSha2 => "caching_sha2_password",
            Plugin::Sha256 => "sha256_password",
            Plugin::ClearText => "mysql_clear_password",
        }
    }
}

/// The password with its NUL, XORed with the salt over and over: what is encrypted for a full authentication.
fn mask(password: &[u8], salt: &Salt) -> Vec<u8> {
    password.iter().chain(&[0]).zip(salt.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
}

/// Takes the salt away again; the NUL at the end stays.
fn unmask(masked: &[u8], salt: &Salt) -> Vec<u8> {
    masked.iter().zip(salt.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
}

#[cfg(test)]
mod tests;
