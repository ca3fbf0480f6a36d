//! Athena asking a client for its password.

use zeroize::Zeroizing;

use super::super::handshake::{AuthSwitchRequest, encode_auth_more_data};
use super::caching_sha2::{FAST_AUTH_OK, FULL_AUTHENTICATION, REQUEST_PUBLIC_KEY};
use super::credential::{Check, Slice};
use super::credential::{NO_PASSWORD, proves_digest};
use super::ed25519::NONCE_LEN;
use super::rsa::RsaKeyPair;
use super::{Credential, Digest256, Evidence, Plugin, Salt, Secret, caching_sha2, native, unmask};

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
    /// There is more to compute: call [`ServerAuth::work`], and let others run in between.
    Work,
}

/// ```text
/// begin --unknown plugin--> Switched --response--> as from begin
/// begin --native--> (verdict)
/// begin --sha2, not cached or wrong--> Full --password in clear text, or encrypted--> (verdict)
///                                        \--asks for the key--> KeySent --encrypted--> (verdict)
/// begin --ed25519--> Switched --signature--> (verdict)
/// begin --another asks the server--> Switched --password in clear text--> (verdict)
/// (verdict) of a password by a slow hash: Hashing --work--> (verdict)
/// ```
enum State {
    /// The client was told to use the offered plugin.
    Switched,
    /// The client was told to send the password itself.
    Full,
    /// The client has asked for the public key, and got it.
    KeySent,
    /// The password is being hashed.
    Hashing(Box<Slice>),
    /// There is a verdict. Before `begin` as well: no packet can be right then.
    Concluded,
}

/// The server's side of an authentication, from the client's handshake response on.
pub struct ServerAuth<'a> {
    offered: Plugin,
    salt: Salt,
    credential: Credential,
    /// Whether there is such an account.
    real: bool,
    rsa: &'a RsaKeyPair,
    cached: bool,
    digest: Option<Digest256>,
    nonce: Option<[u8; NONCE_LEN]>,
    secure_transport: bool,
    state: State,
    evidence: Evidence,
    secret: Option<Secret>,
}

impl<'a> ServerAuth<'a> {
    /// `offered` and `salt` are those of the greeting; `offered` is [`Plugin::Native`], [`Plugin::CachingSha2`] or, given
    /// a nonce, [`Plugin::Ed25519`], and anything else counts as the second. `account` is `None` for a user that does not exist. `cached`: where the password is
    /// known, the scramble of `caching_sha2_password` is enough; otherwise the password itself is asked for.
    /// `secure_transport`: TLS or a Unix socket.
    pub fn new(
        offered: Plugin,
        salt: &Salt,
        account: Option<&Credential>,
        rsa: &'a RsaKeyPair,
        cached: bool,
        secure_transport: bool,
    ) -> Self {
        let offered = if offered == Plugin::Native { offered } else { Plugin::CachingSha2 };
        ServerAuth {
            nonce: None,
            offered,
            salt: *salt,
            credential: account.cloned().unwrap_or_else(|| Credential::password(NO_PASSWORD)),
            real: account.is_some(),
            rsa,
            cached,
            digest: None,
            secure_transport,
            state: State::Concluded,
            evidence: Evidence::None,
            secret: None,
        }
    }

    /// For a user that does not exist: what its steps are to look like.
    pub fn pretending(mut self, decoy: Credential) -> Self {
        if !self.real {
            self.credential = decoy;
        }
        self
    }

    /// For an account of which only a hash is known: what an earlier login has left for the fast path.
    pub fn knowing(mut self, digest: Option<Digest256>) -> Self {
        self.digest = digest;
        self
    }

    /// Offers [`Plugin::Ed25519`], whose nonce is longer than a salt.
    pub fn with_nonce(mut self, nonce: Option<[u8; NONCE_LEN]>) -> Self {
        self.offered = if nonce.is_some() { Plugin::Ed25519 } else { self.offered };
        self.nonce = nonce;
        self
    }

    /// The plugin that the account is asked for.
    fn plugin(&self) -> Plugin {
        self.credential.plugin(self.offered)
    }

    /// Takes the plugin and the response of the client's handshake response. A client without `PLUGIN_AUTH` names no
    /// plugin: it knows the native one, and can't be asked for another.
    pub fn begin(&mut self, client_plugin: Option<&[u8]>, response: &[u8]) -> Verdict {
        let by_signature = self.plugin() == Plugin::Ed25519;
        let native_serves = matches!(self.credential, Credential::Password(_) | Credential::Native(_));
        let plugin = client_plugin.map_or(Some(Plugin::Native), Plugin::from_name);
        match plugin {
            // A greeting has no nonce, and a password that is sent unasked is not looked at.
            Some(Plugin::Ed25519 | Plugin::ClearText) => self.switch(),
            // Greetings can't offer it, so no client begins with it.
            Some(_) if by_signature && client_plugin.is_some() => self.switch(),
            Some(plugin) if plugin == self.plugin() || client_plugin.is_none() => {
                self.check(plugin, response)
            }
            // The client did not follow the offer, but its proof is made with the same salt, so it stands.
            Some(Plugin::Native) if response.len() == native::SCRAMBLE_LEN && native_serves => {
                self.check(Plugin::Native, response)
            }
            Some(Plugin::CachingSha2) if response.len() == caching_sha2::SCRAMBLE_LEN => {
                self.check(Plugin::CachingSha2, response)
            }
            _ => self.switch(),
        }
    }

    /// Asks the client to begin anew, with the plugin of the account.
    pub fn switch(&mut self) -> Verdict {
        self.state = State::Switched;
        let plugin = self.plugin();
        let name = plugin.name().as_bytes().to_vec();
        Verdict::Send(match (plugin, &self.nonce) {
            (Plugin::Ed25519, Some(nonce)) => AuthSwitchRequest::encode_exact(&name, nonce),
            _ => AuthSwitchRequest { plugin: name, data: self.salt.to_vec() }.encode(),
        })
    }

    /// Takes the next packet of the client. No client is asked for more than three.
    pub fn step(&mut self, packet: &[u8]) -> Verdict {
        match std::mem::replace(&mut self.state, State::Concluded) {
            State::Switched => match self.plugin() {
                Plugin::ClearText => self.password(packet),
                plugin => self.check(plugin, packet),
            },
            State::Full if packet == [REQUEST_PUBLIC_KEY] => {
                self.state = State::KeySent;
                Verdict::Send(encode_auth_more_data(self.rsa.public_pem()))
            }
            State::Full if self.secure_transport => match self.rsa.decrypt(packet) {
                // A client that has the key from elsewhere may encrypt all the same.
                Ok(_) => self.encrypted_password(packet),
                Err(_) => self.password(packet),
            },
            // A client that has the key already need not ask for it.
            State::Full | State::KeySent => self.encrypted_password(packet),
            State::Hashing(_) | State::Concluded => Verdict::Deny,
        }
    }

    /// Goes on where the verdict was [`Verdict::Work`].
    pub fn work(&mut self) -> Verdict {
        match std::mem::replace(&mut self.state, State::Concluded) {
            State::Hashing(slice) => self.conclude(slice.go_on()),
            _ => Verdict::Deny,
        }
    }

    /// What the client has shown, and the secret of its account, if it was let in by more than the fast path.
    pub fn outcome(self) -> (Evidence, Option<Secret>) {
        (self.evidence, self.secret)
    }

    /// A plugin's first response.
    fn check(&mut self, plugin: Plugin, response: &[u8]) -> Verdict {
        self.evidence = match (plugin, &self.nonce) {
            (Plugin::Ed25519, Some(nonce)) => Evidence::of_signature(nonce, response),
            _ => Evidence::of_response(plugin, response),
        };
        if matches!(plugin, Plugin::Native | Plugin::Ed25519) || matches!(self.evidence, Evidence::Empty) {
            return self.verdict();
        }
        if self.evidence == Evidence::None {
            return Verdict::Deny;
        }
        let by_digest =
            self.digest.as_ref().is_some_and(|known| proves_digest(known, &self.evidence, &self.salt));
        let by_password = self.cached && self.credential.verify(&self.evidence, &self.salt).is_some();
        if (by_digest || by_password) && self.real {
            return Verdict::SendThenAccept(encode_auth_more_data(&[FAST_AUTH_OK]));
        }
        self.state = State::Full;
        Verdict::Send(encode_auth_more_data(&[FULL_AUTHENTICATION]))
    }

    fn encrypted_password(&mut self, ciphertext: &[u8]) -> Verdict {
        match self.rsa.decrypt(ciphertext) {
            Ok(masked) => self.password(&Zeroizing::new(unmask(&Zeroizing::new(masked), &self.salt))),
            Err(_) => Verdict::Deny,
        }
    }

    /// The password as it is, with its NUL.
    fn password(&mut self, sent: &[u8]) -> Verdict {
        let max = if matches!(self.credential, Credential::Sha256(_)) { HASHED_MAX } else { PASSWORD_MAX };
        match sent.strip_suffix(&[0]) {
            // The account without a password has its own way in: the empty response.
            Some(password) if !password.is_empty() && password.len() <= max => {
                self.evidence = Evidence::Password(Zeroizing::new(password.to_vec()));
                self.verdict()
            }
            _ => Verdict::Deny,
        }
    }

    /// Takes what was proved, and the account's existence with it: nothing before this tells them apart.
    fn verdict(&mut self) -> Verdict {
        self.conclude(self.credential.check(&self.evidence, &self.salt))
    }

    fn conclude(&mut self, check: Check) -> Verdict {
        match check {
            Check::Slice(slice) => {
                self.state = State::Hashing(slice);
                Verdict::Work
            }
            Check::Done(secret) => {
                self.secret = secret.filter(|_| self.real);
                if self.secret.is_some() { Verdict::Accept } else { Verdict::Deny }
            }
        }
    }
}

/// No server takes longer ones.
const PASSWORD_MAX: usize = 1024;

/// A MySQL takes no longer ones where it has to hash them, which costs by the length.
const HASHED_MAX: usize = 256;
