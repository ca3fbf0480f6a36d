//! Athena asking a client for its password.

use super::super::handshake::{AuthSwitchRequest, encode_auth_more_data};
use super::caching_sha2::{FAST_AUTH_OK, FULL_AUTHENTICATION, REQUEST_PUBLIC_KEY};
use super::rsa::RsaKeyPair;
use super::{Plugin, Salt, caching_sha2, native, unmask};

/// What is known of an account's password.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    Password(Vec<u8>),
}

impl std::fmt::Debug for Credential {
    /// Keeps the secret out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Credential::Password(_) => f.write_str("Password(..)"),
        }
    }
}

/// What the caller does after a packet of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Send this payload, then read on.
    Send(Vec<u8>),
    /// The password is right.
    Accept,
    /// The password is right: send this payload, and the OK after it.
    SendThenAccept(Vec<u8>),
    /// The password is wrong, or there is no such user: the two look the same from outside.
    Deny,
}

/// ```text
/// begin --unknown plugin--> Switched --response--> as from begin
/// begin --native--> (verdict)
/// begin --sha2, not cached or wrong--> Full --password in clear text, or encrypted--> (verdict)
///                                        \--asks for the key--> KeySent --encrypted--> (verdict)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The client was told to use the offered plugin.
    Switched,
    /// The client was told to send the password itself.
    Full,
    /// The client has asked for the public key, and got it.
    KeySent,
    /// There is a verdict. Before `begin` as well: no packet can be right then.
    Concluded,
}

/// What a user that does not exist is checked against, so that it costs the same. It never matches.
const NO_PASSWORD: &[u8] = b"\0no such user";

/// The server's side of an authentication, from the client's handshake response on.
pub struct ServerAuth<'a> {
    offered: Plugin,
    salt: Salt,
    /// `None` for a user that does not exist.
    account: Option<&'a Credential>,
    rsa: &'a RsaKeyPair,
    cached: bool,
    secure_transport: bool,
    state: State,
}

impl<'a> ServerAuth<'a> {
    /// `offered` and `salt` are those of the greeting; `offered` is [`Plugin::Native`] or [`Plugin::CachingSha2`], and
    /// anything else counts as the latter. `cached`: this account has logged in before, so that the scramble of
    /// `caching_sha2_password` is enough; otherwise the password itself is asked for. `secure_transport`: TLS or a Unix
    /// socket.
    pub fn new(
        offered: Plugin,
        salt: &Salt,
        account: Option<&'a Credential>,
        rsa: &'a RsaKeyPair,
        cached: bool,
        secure_transport: bool,
    ) -> Self {
        let offered = if offered == Plugin::Native { offered } else { Plugin::CachingSha2 };
        ServerAuth { offered, salt: *salt, account, rsa, cached, secure_transport, state: State::Concluded }
    }

    /// Takes the plugin and the response of the client's handshake response. A client without `PLUGIN_AUTH` names no
    /// plugin: it knows the native one, and can't be asked for another.
    pub fn begin(&mut self, client_plugin: Option<&[u8]>, response: &[u8]) -> Verdict {
        let plugin = client_plugin.map_or(Some(Plugin::Native), Plugin::from_name);
        match plugin {
            Some(plugin) if plugin == self.offered || client_plugin.is_none() => self.check(plugin, response),
            // The client did not follow the offer, but its proof is made with the same salt, so it stands.
            Some(Plugin::Native) if response.len() == native::SCRAMBLE_LEN => {
                self.check(Plugin::Native, response)
            }
            Some(Plugin::CachingSha2) if response.len() == caching_sha2::SCRAMBLE_LEN => {
                self.check(Plugin::CachingSha2, response)
            }
            _ => {
                self.state = State::Switched;
                let plugin = self.offered.name().as_bytes().to_vec();
                Verdict::Send(AuthSwitchRequest { plugin, data: self.salt.to_vec() }.encode())
            }
        }
    }

    /// Takes the next packet of the client. No client is asked for more than three.
    pub fn step(&mut self, packet: &[u8]) -> Verdict {
        match std::mem::replace(&mut self.state, State::Concluded) {
            State::Switched => self.check(self.offered, packet),
            State::Full if packet == [REQUEST_PUBLIC_KEY] => {
                self.state = State::KeySent;
                Verdict::Send(encode_auth_more_data(self.rsa.public_pem()))
            }
            State::Full if self.secure_transport => self.password(packet),
            // A client that has the key already need not ask for it.
            State::Full | State::KeySent => self.encrypted_password(packet),
            State::Concluded => Verdict::Deny,
        }
    }

    /// A plugin's first response.
    fn check(&mut self, plugin: Plugin, response: &[u8]) -> Verdict {
        if plugin == Plugin::Native {
            return self.verdict(native::verify(self.expected(), &self.salt, response));
        }
        let proved = caching_sha2::verify(self.expected(), &self.salt, response) && self.account.is_some();
        if caching_sha2::is_empty(response) {
            return self.verdict(proved);
        }
        if response.len() != caching_sha2::SCRAMBLE_LEN {
            return Verdict::Deny;
        }
        if proved && self.cached {
            return Verdict::SendThenAccept(encode_auth_more_data(&[FAST_AUTH_OK]));
        }
        self.state = State::Full;
        Verdict::Send(encode_auth_more_data(&[FULL_AUTHENTICATION]))
    }

    fn encrypted_password(&self, ciphertext: &[u8]) -> Verdict {
        match self.rsa.decrypt(ciphertext) {
            Ok(masked) => self.password(&unmask(&masked, &self.salt)),
            Err(_) => Verdict::Deny,
        }
    }

    /// The password as it is, with its NUL.
    fn password(&self, sent: &[u8]) -> Verdict {
        match sent.strip_suffix(&[0]) {
            // The account without a password has its own way in: the empty response.
            Some(password) if !password.is_empty() => {
                self.verdict(caching_sha2::same_password(self.expected(), password))
            }
            _ => Verdict::Deny,
        }
    }

    fn expected(&self) -> &'a [u8] {
        match self.account {
            Some(Credential::Password(password)) => password,
            None => NO_PASSWORD,
        }
    }

    /// Takes what was proved, and the account's existence with it: nothing before this tells them apart.
    fn verdict(&self, proved: bool) -> Verdict {
        if proved && self.account.is_some() { Verdict::Accept } else { Verdict::Deny }
    }
}
