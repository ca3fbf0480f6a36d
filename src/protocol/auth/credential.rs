//! What is known of passwords: by whoever checks one, by whoever proves one, and what a login shows of one.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use super::sha256_crypt::Sha256Hash;
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
    Password(Zeroizing<Vec<u8>>),
}

impl fmt::Debug for Credential {
    /// Keeps the secret out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(..)",
            Self::Native(_) => "Native(..)",
            Self::Sha256(_) => "Sha256(..)",
            Self::Ed25519(_) => "Ed25519(..)",
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

    /// A hash as `SHOW CREATE USER` prints it: `*` and hexadecimal digits, `$A$005$...`, or the latter as `0x...`.
    pub fn parse_hash(text: &str) -> Option<Self> {
        let unhexed = text.strip_prefix("0x").map(unhex);
        let bytes = match &unhexed {
            Some(unhexed) => unhexed.as_deref()?,
            None => text.as_bytes(),
        };
        let native = native::parse(bytes).map(Self::Native);
        native.or_else(|| Sha256Hash::parse(bytes).map(Self::Sha256))
    }

    /// One of the same kind that no password fits: a login with it takes the same steps, at the same cost.
    pub fn of_nobody(&self, random: Salt) -> Self {
        match self {
            // Passwords have no NUL.
            Self::Password(_) => Self::password(NO_PASSWORD),
            Self::Native(_) => Self::Native(random),
            Self::Sha256(hash) => Self::Sha256(hash.of_nobody(random)),
            Self::Ed25519(_) => Self::Ed25519([0; ed25519::PUBLIC_KEY_LEN]),
        }
    }

    /// Whether two are of one kind, so that logins with them look the same.
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// The plugin by which a client proves this, where the server offers `offered`.
    pub(super) fn plugin(&self, offered: Plugin) -> Plugin {
        match self {
            Self::Password(_) | Self::Native(_) => offered,
            Self::Sha256(_) | Self::Ed25519(_) => Plugin::CachingSha2,
        }
    }

    /// What `evidence` proves: the secret of the account, as far as it gives that away. Constant time.
    pub fn verify(&self, evidence: &Evidence, salt: &Salt) -> Option<Secret> {
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
            (Self::Sha256(stored), Evidence::Password(sent)) => proved(stored.is_of(sent), sent),
            (Self::Ed25519(stored), Evidence::Password(sent)) => {
                proved(ed25519::is_key_of(stored, sent), sent)
            }
            (Self::Native(_) | Self::Sha256(_) | Self::Ed25519(_), _) => None,
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
}

/// Whether a scramble of `caching_sha2_password` proves the password that has this digest.
pub(super) fn proves_digest(known: &Digest256, evidence: &Evidence, salt: &Salt) -> bool {
    let Evidence::Sha2Scramble(response) = evidence else { return false };
    let mask = digest(&SHA256, &[known.as_slice(), salt].concat());
    let once: Zeroizing<Vec<u8>> =
        Zeroizing::new(response.iter().zip(mask.as_ref()).map(|(byte, mask)| byte ^ mask).collect());
    verify_slices_are_equal(digest(&SHA256, &once).as_ref(), known.as_slice()).is_ok()
}
