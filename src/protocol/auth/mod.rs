//! Proving a password, in both roles.
//!
//! Protocol section: "Authentication Method", with "Protocol::AuthSwitchRequest" and "Protocol::AuthMoreData".
//!
//! - [`ClientAuth`] is Athena logging in at a backend: it eats the server's packets and says what to send.
//! - [`ServerAuth`] is Athena asking a client for its password: it eats the client's packets and ends in a verdict.
//! - [`Credential`] is what is known of a password where it is checked, [`Secret`] where it is proved.
//! - [`ed25519`] is MariaDB's plugin of that name; `sha256_crypt` the hash that servers store.
//! - [`native`] and [`caching_sha2`] are the arithmetic of the two plugins, [`rsa`] the exchange by which
//!   `caching_sha2_password` gets a password across a connection that is not encrypted.
//!
//! Neither machine does I/O: payloads come in and go out, framing and sequence ids are the caller's. Secrets are
//! compared in constant time, and a user that does not exist takes the same steps as one with another password.

pub mod caching_sha2;
mod client;
mod credential;
pub mod ed25519;
pub mod native;
pub mod rsa;
mod server;
mod sha256_crypt;

pub use client::{AuthAction, AuthError, ClientAuth};
pub use credential::{Check, Credential, Digest256, Evidence, Secret};
pub use server::{ServerAuth, Verdict};

/// Random bytes that a server sends and a client mixes into its proof.
pub type Salt = [u8; super::handshake::SCRAMBLE_LEN];

/// An authentication plugin that Athena knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plugin {
    Native,
    CachingSha2,
    /// Towards backends only.
    Sha256,
    /// The password as it is, only inside an encrypted connection.
    ClearText,
    /// MariaDB's.
    Ed25519,
}

impl Plugin {
    /// The plugin of this name. Servers from before plugins name none, and mean the native one.
    pub fn from_name(name: &[u8]) -> Option<Plugin> {
        match name {
            b"" | b"mysql_native_password" => Some(Plugin::Native),
            b"caching_sha2_password" => Some(Plugin::CachingSha2),
            b"sha256_password" => Some(Plugin::Sha256),
            // MariaDB's PAM asks in words; the one answer is the password as it is.
            b"mysql_clear_password" | b"dialog" => Some(Plugin::ClearText),
            b"client_ed25519" => Some(Plugin::Ed25519),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Plugin::Native => "mysql_native_password",
            Plugin::CachingSha2 => "caching_sha2_password",
            Plugin::Sha256 => "sha256_password",
            Plugin::ClearText => "mysql_clear_password",
            Plugin::Ed25519 => "client_ed25519",
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
