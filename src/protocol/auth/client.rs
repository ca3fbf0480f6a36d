//! Athena logging in at a backend.

use thiserror::Error;

use super::super::buf::{Malformed, WriteExt};
use super::super::handshake::{AUTH_MORE_DATA, AuthSwitchRequest, HandshakeError};
use super::super::response::{ErrPacket, OkPacket};
use super::caching_sha2::{FAST_AUTH_OK, FULL_AUTHENTICATION, REQUEST_PUBLIC_KEY};
use super::rsa::{self, RsaError};
use super::{Plugin, Salt, caching_sha2, mask, native};

/// How often a server may ask to start over with another plugin. MariaDB asks once for each method of an account.
const MAX_SWITCHES: u8 = 4;

/// The packet by which a client of `sha256_password` asks for the public key.
const SHA256_REQUEST_PUBLIC_KEY: u8 = 0x01;

/// Why a login at a backend can't go on. A refusal by the server is no error: see [`AuthAction::Failed`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuthError {
    #[error("the server asks for the authentication plugin '{0}', which is not supported")]
    UnknownPlugin(String),
    #[error("the server asks for the password in clear text, and the connection is not encrypted")]
    ClearTextRefused,
    #[error("the server asked more than {MAX_SWITCHES} times for another authentication plugin")]
    TooManySwitches,
    #[error("the server's salt has {0} bytes, 20 are expected")]
    SaltLength(usize),
    #[error(
        "the server sent a packet of type 0x{0:02X} that has no meaning at this point of the authentication"
    )]
    Unexpected(u8),
    #[error(transparent)]
    Rsa(#[from] RsaError),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}

impl From<Malformed> for AuthError {
    fn from(error: Malformed) -> Self {
        AuthError::Handshake(error.into())
    }
}

/// What the caller does after a packet of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthAction {
    /// Send this payload (it may be empty), then read on.
    Send(Vec<u8>),
    /// Read on.
    Wait,
    /// The packet was the OK: logged in.
    Done,
    /// The server refused.
    Failed(ErrPacket),
}

/// ```text
/// Responded --fast OK--> Concluding --OK--> (done)
///     |  \---full, secure: password--^
///     \--full: asks for the key--> KeyRequested --key: encrypted password--> Concluding
/// any state --AUTH_SWITCH--> Responded; --OK or ERR--> (done)
/// ```
#[derive(Debug, Clone, Copy)]
enum State {
    /// The plugin's first response is out.
    Responded(Plugin, Salt),
    /// The server's public key is asked for.
    KeyRequested(Salt),
    /// Everything is said; only the server's decision is missing.
    Concluding,
}

/// The client's side of an authentication, from the handshake response on.
pub struct ClientAuth<'a> {
    password: &'a [u8],
    secure_transport: bool,
    switches: u8,
    state: State,
}

impl<'a> ClientAuth<'a> {
    /// `secure_transport`: TLS or a Unix socket, where a password may go in clear text.
    pub fn new(password: &'a [u8], secure_transport: bool) -> Self {
        ClientAuth { password, secure_transport, switches: 0, state: State::Concluding }
    }

    /// The plugin and its response for the handshake response packet, given what the greeting offers. Where that is
    /// unknown, or would give the password away, it is a guess at the account's own plugin: the server corrects it by
    /// an AUTH_SWITCH.
    pub fn first_response(&mut self, offered: &[u8], salt: &Salt) -> (Plugin, Vec<u8>) {
        let plugin = match Plugin::from_name(offered) {
            Some(Plugin::ClearText) if !self.secure_transport => Plugin::CachingSha2,
            Some(plugin) => plugin,
            None => Plugin::CachingSha2,
        };
        (plugin, self.respond(plugin, *salt))
    }

    /// Takes the next packet of the server.
    pub fn step(&mut self, packet: &[u8]) -> Result<AuthAction, AuthError> {
        match packet.split_first() {
            None => Err(Malformed::Short { missing: 1 }.into()),
            Some((&OkPacket::HEADER, _)) => Ok(AuthAction::Done),
            Some((&ErrPacket::HEADER, _)) => Ok(AuthAction::Failed(ErrPacket::parse(packet)?)),
            Some((&AuthSwitchRequest::HEADER, _)) => self.switch(AuthSwitchRequest::parse(packet)?),
            Some((&AUTH_MORE_DATA, data)) => self.more_data(data),
            Some((&found, _)) => Err(AuthError::Unexpected(found)),
        }
    }

    fn switch(&mut self, request: AuthSwitchRequest) -> Result<AuthAction, AuthError> {
        if self.switches == MAX_SWITCHES {
            return Err(AuthError::TooManySwitches);
        }
        self.switches += 1;
        let plugin = Plugin::from_name(&request.plugin)
            .ok_or_else(|| AuthError::UnknownPlugin(String::from_utf8_lossy(&request.plugin).into_owned()))?;
        if plugin == Plugin::ClearText {
            // It has no use for a salt, and servers send none.
            if !self.secure_transport {
                return Err(AuthError::ClearTextRefused);
            }
            return Ok(AuthAction::Send(self.respond(plugin, Salt::default())));
        }
        let salt =
            Salt::try_from(&request.data[..]).map_err(|_| AuthError::SaltLength(request.data.len()))?;
        Ok(AuthAction::Send(self.respond(plugin, salt)))
    }

    /// The first response of a plugin.
    fn respond(&mut self, plugin: Plugin, salt: Salt) -> Vec<u8> {
        self.state = State::Responded(plugin, salt);
        match plugin {
            Plugin::ClearText => self.clear_text(),
            _ if self.password.is_empty() => Vec::new(),
            Plugin::Native => native::scramble(self.password, &salt).to_vec(),
            Plugin::CachingSha2 => caching_sha2::scramble(self.password, &salt).to_vec(),
            Plugin::Sha256 if self.secure_transport => self.clear_text(),
            Plugin::Sha256 => {
                self.state = State::KeyRequested(salt);
                vec![SHA256_REQUEST_PUBLIC_KEY]
            }
        }
    }

    fn more_data(&mut self, data: &[u8]) -> Result<AuthAction, AuthError> {
        match (self.state, data) {
            (State::Responded(Plugin::CachingSha2, _), [FAST_AUTH_OK]) => {
                self.state = State::Concluding;
                Ok(AuthAction::Wait)
            }
            (State::Responded(Plugin::CachingSha2, _), [FULL_AUTHENTICATION]) if self.secure_transport => {
                self.state = State::Concluding;
                Ok(AuthAction::Send(self.clear_text()))
            }
            (State::Responded(Plugin::CachingSha2, salt), [FULL_AUTHENTICATION]) => {
                self.state = State::KeyRequested(salt);
                Ok(AuthAction::Send(vec![REQUEST_PUBLIC_KEY]))
            }
            (State::KeyRequested(salt), pem) => {
                self.state = State::Concluding;
                Ok(AuthAction::Send(rsa::encrypt(pem, &mask(self.password, &salt))?))
            }
            _ => Err(AuthError::Unexpected(AUTH_MORE_DATA)),
        }
    }

    fn clear_text(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.password.len() + 1);
        out.put_nul_bytes(self.password);
        out
    }
}
