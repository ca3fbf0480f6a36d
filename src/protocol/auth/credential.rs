//! What is known of passwords: by whoever checks one, by whoever proves one, and what a login shows of one.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use super::sha256_crypt::{Comparison, Sha256Hash};
use super::{Plugin, Salt, caching_sha2, ed25519, native};

/// What is known of an account's password by whoever lets it in.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    Password(Zeroizing<Vec<u8>>),
    /// `SHA1(SHA1(password))`, as `mysql_native_password` stores it.
    Native([u8; native::SCRAMBLE_LEN]),
    /// As `caching_sha2_password` and `sha256_password` store it.
    Sha256(Sha256Hash),
    /// The public key that `ed25519` stores.
    Ed25519([u8; ed25519::PUBLIC_KEY_LEN]),
    /// Nothing: the server asks elsewhere (PAM, LDAP) whether a password is right. Any password is taken here, and
    /// proves nothing before a login at the server has.
    ByServer,
}

/// What proves Athena's right to an account of a backend.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    Password(Zeroizing<Vec<u8>>),
    /// `SHA1(password)`: enough for `mysql_native_password` alone.
    NativeHash(Zeroizing<[u8; native::SCRAMBLE_LEN]>),
}

/// `SHA256(SHA256(password))`: what a server keeps in memory after a full authentication, for the fast path.
pub type Digest256 = Zeroizing<[u8; caching_sha2::SCRAMBLE_LEN]>;

/// What a client has shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Evidence {
    /// Nothing that says anything.
    None,
    /// That it has no password.
    Empty,
    NativeScramble([u8; native::SCRAMBLE_LEN]),
    Sha2Scramble([u8; caching_sha2::SCRAMBLE_LEN]),
    Signature {
        nonce: [u8; ed25519::NONCE_LEN],
        signature: [u8; ed25519::SIGNATURE_LEN],
    },
    Password(Zeroizing<Vec<u8>>),
}

/// What comes of a check.
pub enum Check {
    /// The secret of the account, if the evidence proves it, as far as it gives it away.
    Done(Option<Secret>),
    /// There is more to compute.
    Slice(Box<Slice>),
}

/// A check that takes long, between two slices of it.
pub struct Slice {
    comparison: Comparison,
    password: Zeroizing<Vec<u8>>,
}

impl Slice {
    /// Goes on for a small part of a millisecond.
    pub fn go_on(mut self: Box<Self>) -> Check {
        match self.comparison.go_on() {
            None => Check::Slice(self),
            Some(right) => Check::Done(right.then(|| Secret::Password(self.password))),
        }
    }
}

impl fmt::Debug for Credential {
    /// Keeps the secret out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(..)",
            Self::Native(_) => "Native(..)",
            Self::Sha256(_) => "Sha256(..)",
            Self::Ed25519(_) => "Ed25519(..)",
            Self::ByServer => "ByServer",
        })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// The password, copied.
    pub fn password(bytes: &[u8]) -> Self {
        Self::Password(Zeroizing::new(bytes.to_vec()))
    }

    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Password(password) if password.is_empty())
    }

    /// What the fast path of `caching_sha2_password` checks; `None` where the password is not known.
    pub fn digest(&self) -> Option<Digest256> {
        match self {
            Self::Password(password) => Some(caching_sha2::double_digest(password)),
            Self::NativeHash(_) => None,
        }
    }
}

impl Credential {
    /// The password, copied.
    pub fn password(bytes: &[u8]) -> Self {
        Self::Password(Zeroizing::new(bytes.to_vec()))
    }

    /// What a server stores for an account of `plugin`; `None` for what Athena can't check.
    pub fn stored(plugin: &[u8], text: &[u8]) -> Option<Self> {
        if text.is_empty() && !matches!(plugin, b"ed25519") {
            let known = matches!(plugin, b"sha256_password" | b"caching_sha2_password");
            return (known || matches!(plugin, b"" | b"mysql_native_password")).then(|| Self::password(b""));
        }
        match plugin {
            b"" | b"mysql_native_password" => native::parse(text).map(Self::Native),
            b"caching_sha2_password" | b"sha256_password" => Sha256Hash::parse(text).map(Self::Sha256),
            b"ed25519" => ed25519::parse(text).map(Self::Ed25519),
            _ => None,
        }
    }

    /// A hash as `SHOW CREATE USER` prints it: `*` and hexadecimal digits, `$A$005$...`, or the latter as `0x...`; the 43
    /// characters of `ed25519`.
    pub fn parse_hash(text: &str) -> Option<Self> {
        let unhexed = text.strip_prefix("0x").map(unhex);
        let bytes = match &unhexed {
            Some(unhexed) => unhexed.as_deref()?,
            None => text.as_bytes(),
        };
        let native = native::parse(bytes).map(Self::Native);
        let sha256 = || Sha256Hash::parse(bytes).map(Self::Sha256);
        native.or_else(sha256).or_else(|| ed25519::parse(bytes).map(Self::Ed25519))
    }

    /// One of the same kind that no password fits: a login with it takes the same steps, at the same cost.
    pub fn of_nobody(&self, random: Salt) -> Self {
        match self {
            // Passwords have no NUL.
            Self::Password(_) => Self::password(NO_PASSWORD),
            Self::Native(_) => Self::Native(random),
            Self::Sha256(hash) => Self::Sha256(hash.of_nobody(random)),
            Self::Ed25519(_) => Self::Ed25519([0; ed25519::PUBLIC_KEY_LEN]),
            Self::ByServer => Self::password(NO_PASSWORD),
        }
    }

    /// Whether two are of one kind, so that logins with them look the same.
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// The plugin by which a client proves this, where the server offers `offered`.
    pub(super) fn plugin(&self, offered: Plugin) -> Plugin {
        match self {
            Self::Password(_) => offered,
            Self::Native(_) if offered == Plugin::Ed25519 => Plugin::Native,
            Self::Native(_) => offered,
            Self::Ed25519(_) if offered == Plugin::Ed25519 => offered,
            Self::Sha256(_) | Self::Ed25519(_) => Plugin::CachingSha2,
            Self::ByServer => Plugin::ClearText,
        }
    }

    /// Begins to find out what `evidence` proves.
    pub fn check(&self, evidence: &Evidence, salt: &Salt) -> Check {
        match (self, evidence) {
            (Self::Sha256(stored), Evidence::Password(sent)) => {
                Check::Slice(Box::new(Slice { comparison: stored.compare(sent), password: sent.clone() }))
            }
            _ => Check::Done(self.verify(evidence, salt)),
        }
    }

    /// What `evidence` proves at once: the secret of the account, as far as it gives that away. Constant time.
    pub(super) fn verify(&self, evidence: &Evidence, salt: &Salt) -> Option<Secret> {
        let proved =
            |right: bool, password: &Zeroizing<Vec<u8>>| right.then(|| Secret::Password(password.clone()));
        match (self, evidence) {
            (_, Evidence::None) => None,
            (Self::Password(known), Evidence::Empty) => proved(known.is_empty(), known),
            (Self::Password(known), Evidence::NativeScramble(response)) => {
                proved(native::verify(known, salt, response), known)
            }
            (Self::Password(known), Evidence::Sha2Scramble(response)) => {
                proved(caching_sha2::verify(known, salt, response), known)
            }
            (Self::Password(known), Evidence::Password(sent)) => {
                proved(caching_sha2::same_password(known, sent), known)
            }
            (Self::Native(stored), Evidence::NativeScramble(response)) => {
                native::recover(stored, salt, response).map(Secret::NativeHash)
            }
            (Self::Native(stored), Evidence::Password(sent)) => {
                let once: [u8; native::SCRAMBLE_LEN] = Sha1::digest(sent.as_slice()).into();
                let right = verify_slices_are_equal(&Sha1::digest(once), stored).is_ok();
                right.then(|| Secret::NativeHash(Zeroizing::new(once)))
            }
            (Self::ByServer, Evidence::Password(sent)) => proved(true, sent),
            (Self::Password(known), Evidence::Signature { nonce, signature }) => {
                proved(ed25519::verify(&ed25519::public_key(known), nonce, signature), known)
            }
            // It lets the account in; what a link could prove is not in it.
            (Self::Ed25519(stored), Evidence::Signature { nonce, signature }) => {
                ed25519::verify(stored, nonce, signature).then(|| Secret::password(b""))
            }
            (Self::Ed25519(stored), Evidence::Password(sent)) => {
                proved(ed25519::is_key_of(stored, sent), sent)
            }
            (Self::Native(_) | Self::Sha256(_) | Self::Ed25519(_) | Self::ByServer, _) => None,
        }
    }
}

/// What a user that does not exist is checked against, so that it costs the same. It never matches.
pub(super) const NO_PASSWORD: &[u8] = b"\0no such user";

/// Hexadecimal digits as bytes.
fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

impl Evidence {
    /// That of a first response of `plugin`.
    pub(super) fn of_response(plugin: Plugin, response: &[u8]) -> Self {
        match plugin {
            Plugin::Native if response.is_empty() => Self::Empty,
            Plugin::CachingSha2 if caching_sha2::is_empty(response) => Self::Empty,
            Plugin::Native => response.try_into().map_or(Self::None, Self::NativeScramble),
            Plugin::CachingSha2 => response.try_into().map_or(Self::None, Self::Sha2Scramble),
            Plugin::Sha256 | Plugin::ClearText | Plugin::Ed25519 => Self::None,
        }
    }

    /// What the fast path of `caching_sha2_password` checks of the password that was sent.
    pub fn digest(&self) -> Option<Digest256> {
        match self {
            Self::Password(password) => Some(caching_sha2::double_digest(password)),
            _ => None,
        }
    }

    /// That of a signature of `nonce`.
    pub(super) fn of_signature(nonce: &[u8; ed25519::NONCE_LEN], response: &[u8]) -> Self {
        response.try_into().map_or(Self::None, |signature| Self::Signature { nonce: *nonce, signature })
    }
}

/// Whether a scramble of `caching_sha2_password` proves the password that has this digest.
pub(super) fn proves_digest(known: &Digest256, evidence: &Evidence, salt: &Salt) -> bool {
    let Evidence::Sha2Scramble(response) = evidence else { return false };
    let mask = digest(&SHA256, &[known.as_slice(), salt].concat());
    let once: Zeroizing<Vec<u8>> =
        Zeroizing::new(response.iter().zip(mask.as_ref()).map(|(byte, mask)| byte ^ mask).collect());
    verify_slices_are_equal(digest(&SHA256, &once).as_ref(), known.as_slice()).is_ok()
}
