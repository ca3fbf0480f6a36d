//! Athena logging in at a backend.

use thiserror::Error;

use super::super::buf::{Malformed, WriteExt};
use super::super::handshake::{AUTH_MORE_DATA, AuthSwitchRequest, HandshakeError};
use super::super::response::{ErrPacket, OkPacket};
use super::caching_sha2::{FAST_AUTH_OK, FULL_AUTHENTICATION, REQUEST_PUBLIC_KEY};
use super::rsa::{self, RsaError};
use super::{Plugin, Salt, Secret, caching_sha2, ed25519, mask, native};

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
    #[error("the server's salt has {0} bytes, which is not what its plugin has")]
    SaltLength(usize),
    #[error(
        "the account needs its password for the plugin '{0}', and only its mysql_native_password hash is known"
    )]
    OnlyHash(&'static str),
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
    proof: Proof<'a>,
    secure_transport: bool,
    switches: u8,
    /// The server has asked for the password itself, by the last plugin that it asked for.
    gave_password: bool,
    state: State,
}

/// What there is to prove with.
#[derive(Clone, Copy)]
enum Proof<'a> {
    Password(&'a [u8]),
    /// `SHA1(password)`.
    NativeHash(&'a [u8; native::SCRAMBLE_LEN]),
}

impl<'a> ClientAuth<'a> {
    /// `secure_transport`: TLS or a Unix socket, where a password may go in clear text.
    pub fn new(secret: &'a Secret, secure_transport: bool) -> Self {
        let proof = match secret {
            Secret::Password(password) => Proof::Password(password),
            Secret::NativeHash(hash) => Proof::NativeHash(hash),
        };
        ClientAuth { proof, secure_transport, switches: 0, gave_password: false, state: State::Concluding }
    }

    /// Whether the server has judged the password itself, which was sent as it is.
    pub fn gave_password(&self) -> bool {
        self.gave_password
    }

    /// The plugin and its response for the handshake response packet, given what the greeting offers. Where that is
    /// unknown, or would give the password away, it is a guess at the account's own plugin: the server corrects it by
    /// an AUTH_SWITCH.
    pub fn first_response(&mut self, offered: &[u8], salt: &Salt) -> (Plugin, Vec<u8>) {
        let plugin = match (self.proof, Plugin::from_name(offered)) {
            (Proof::NativeHash(_), _) => Plugin::Native,
            // Its nonce is longer than a greeting's salt.
            (_, Some(Plugin::Ed25519)) => Plugin::Native,
            (_, Some(Plugin::ClearText)) if !self.secure_transport => Plugin::CachingSha2,
            (_, Some(plugin)) => plugin,
            (_, None) => Plugin::CachingSha2,
        };
        let response = match (self.proof, plugin) {
            (Proof::NativeHash(hash), _) => self.native_by_hash(hash, *salt),
            (Proof::Password(password), plugin) => self.respond(password, plugin, *salt),
        };
        (plugin, response)
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
        let salt =
            || Salt::try_from(&request.data[..]).map_err(|_| AuthError::SaltLength(request.data.len()));
        let password = match (self.proof, plugin) {
            (Proof::NativeHash(hash), Plugin::Native) => {
                return Ok(AuthAction::Send(self.native_by_hash(hash, salt()?)));
            }
            (Proof::NativeHash(_), other) => return Err(AuthError::OnlyHash(other.name())),
            (Proof::Password(password), _) => password,
        };
        match plugin {
            Plugin::ClearText if !self.secure_transport => Err(AuthError::ClearTextRefused),
            // It has no use for a salt, and servers send none.
            Plugin::ClearText => Ok(AuthAction::Send(self.respond(password, plugin, Salt::default()))),
            Plugin::Ed25519 => {
                self.gave_password = false;
                self.state = State::Concluding;
                Ok(AuthAction::Send(ed25519::sign(password, &nonce(&request.data)?).to_vec()))
            }
            _ => Ok(AuthAction::Send(self.respond(password, plugin, salt()?))),
        }
    }

    fn native_by_hash(&mut self, hash: &[u8; native::SCRAMBLE_LEN], salt: Salt) -> Vec<u8> {
        self.state = State::Responded(Plugin::Native, salt);
        native::scramble_of_hash(hash, &salt).to_vec()
    }

    /// The first response of a plugin.
    fn respond(&mut self, password: &[u8], plugin: Plugin, salt: Salt) -> Vec<u8> {
        self.state = State::Responded(plugin, salt);
        self.gave_password = plugin == Plugin::ClearText;
        match plugin {
            Plugin::ClearText => clear_text(password),
            // An account without a password has no key either: any answer is the wrong one.
            Plugin::Ed25519 => Vec::new(),
            _ if password.is_empty() => Vec::new(),
            Plugin::Native => native::scramble(password, &salt).to_vec(),
            Plugin::CachingSha2 => caching_sha2::scramble(password, &salt).to_vec(),
            Plugin::Sha256 if self.secure_transport => clear_text(password),
            Plugin::Sha256 => {
                self.state = State::KeyRequested(salt);
                vec![SHA256_REQUEST_PUBLIC_KEY]
            }
        }
    }

    fn more_data(&mut self, data: &[u8]) -> Result<AuthAction, AuthError> {
        let Proof::Password(password) = self.proof else { return Err(AuthError::Unexpected(AUTH_MORE_DATA)) };
        match (self.state, data) {
            (State::Responded(Plugin::CachingSha2, _), [FAST_AUTH_OK]) => {
                self.state = State::Concluding;
                Ok(AuthAction::Wait)
            }
            (State::Responded(Plugin::CachingSha2, _), [FULL_AUTHENTICATION]) if self.secure_transport => {
                self.state = State::Concluding;
                Ok(AuthAction::Send(clear_text(password)))
            }
            (State::Responded(Plugin::CachingSha2, salt), [FULL_AUTHENTICATION]) => {
                self.state = State::KeyRequested(salt);
                Ok(AuthAction::Send(vec![REQUEST_PUBLIC_KEY]))
            }
            (State::KeyRequested(salt), pem) => {
                self.state = State::Concluding;
                Ok(AuthAction::Send(rsa::encrypt(pem, &mask(password, &salt))?))
            }
            _ => Err(AuthError::Unexpected(AUTH_MORE_DATA)),
        }
    }
}

fn clear_text(password: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(password.len() + 1);
    out.put_nul_bytes(password);
    out
}

/// Of the 32 bytes of a nonce the last may be a NUL, which looks like the end of a salt.
fn nonce(data: &[u8]) -> Result<[u8; ed25519::NONCE_LEN], AuthError> {
    let mut nonce = [0; ed25519::NONCE_LEN];
    match data.len() {
        len @ (31 | 32) => nonce.iter_mut().zip(data).take(len).for_each(|(to, from)| *to = *from),
        other => return Err(AuthError::SaltLength(other)),
    }
    Ok(nonce)
}
