//! `caching_sha2_password`: SHA-256, and the full exchange where the server has not cached the password's hash.
//!
//! Protocol section: "Caching_sha2_password information". The fast path proves the password with a scramble; if the
//! server can't check it, it asks for the password itself, inside TLS as it is, else encrypted by [`super::rsa`].

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA256, digest};

use super::{Digest256, Salt};

/// Bytes of a scramble, the proof of a password.
pub const SCRAMBLE_LEN: usize = 32;

/// In AuthMoreData: the scramble is right, an OK follows.
pub(super) const FAST_AUTH_OK: u8 = 0x03;
/// In AuthMoreData: the password itself is asked for.
pub(super) const FULL_AUTHENTICATION: u8 = 0x04;
/// The packet by which a client asks for the public key.
pub(super) const REQUEST_PUBLIC_KEY: u8 = 0x02;

/// `SHA256(password) XOR SHA256(SHA256(SHA256(password)) || salt)`. An empty password is proved by an empty response
/// instead.
pub fn scramble(password: &[u8], salt: &Salt) -> [u8; SCRAMBLE_LEN] {
    let once = digest(&SHA256, password);
    let twice = digest(&SHA256, once.as_ref());
    let mut mask = Context::new(&SHA256);
    mask.update(twice.as_ref());
    mask.update(salt);
    let mask = mask.finish();
    let mut out = [0; SCRAMBLE_LEN];
    for (out, (once, mask)) in out.iter_mut().zip(once.as_ref().iter().zip(mask.as_ref())) {
        *out = once ^ mask;
    }
    out
}

/// Whether `response` proves `password`, in constant time. An empty response proves the empty password only; some
/// clients send a NUL for it.
pub fn verify(password: &[u8], salt: &Salt, response: &[u8]) -> bool {
    let proved = verify_slices_are_equal(&scramble(password, salt), response).is_ok();
    match password {
        b"" => is_empty(response),
        _ => proved,
    }
}

/// What a server keeps of a password for the fast path: `SHA256(SHA256(password))`.
pub(super) fn double_digest(password: &[u8]) -> Digest256 {
    let twice = digest(&SHA256, digest(&SHA256, password).as_ref());
    Digest256::new(<[u8; SCRAMBLE_LEN]>::try_from(twice.as_ref()).unwrap_or_default())
}

/// Whether the client says that it has no password.
pub(super) fn is_empty(response: &[u8]) -> bool {
    matches!(response, b"" | b"\0")
}

/// Whether two passwords are the same, in a time that tells neither their content nor their length.
pub(super) fn same_password(a: &[u8], b: &[u8]) -> bool {
    let (a, b) = (digest(&SHA256, a), digest(&SHA256, b));
    verify_slices_are_equal(a.as_ref(), b.as_ref()).is_ok()
}
