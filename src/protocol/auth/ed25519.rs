//! MariaDB's `client_ed25519`: the password is the seed of a key pair, a signature of the server's nonce proves it.
//!
//! Protocol section: "Authentication Plugin - ed25519" of MariaDB. The seed may have any length, where Ed25519 itself has
//! 32 bytes: its SHA-512 is taken as the expanded key.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA512, digest};
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use ed25519_dalek::{SIGNATURE_LENGTH, Signature, VerifyingKey};
use zeroize::Zeroizing;

/// Bytes of the server's nonce.
pub const NONCE_LEN: usize = 32;

/// Bytes of a signature: the proof of a password.
pub const SIGNATURE_LEN: usize = SIGNATURE_LENGTH;

/// Bytes of a public key: what the server knows of a password.
pub const PUBLIC_KEY_LEN: usize = 32;

/// Characters of a public key in the tables of the server.
const STORED_LEN: usize = 43;

fn key(password: &[u8]) -> ExpandedSecretKey {
    let mut seed = Zeroizing::new([0; 64]);
    seed.iter_mut().zip(digest(&SHA512, password).as_ref()).for_each(|(to, from)| *to = *from);
    ExpandedSecretKey::from_bytes(&seed)
}

/// The proof of `password`.
pub fn sign(password: &[u8], nonce: &[u8; NONCE_LEN]) -> [u8; SIGNATURE_LEN] {
    let key = key(password);
    raw_sign::<sha2::Sha512>(&key, nonce, &VerifyingKey::from(&key)).to_bytes()
}

/// The key by which proofs of `password` are checked.
pub(super) fn public_key(password: &[u8]) -> [u8; PUBLIC_KEY_LEN] {
    VerifyingKey::from(&key(password)).to_bytes()
}

/// Whether `signature` is that of `nonce` by the key that belongs to `public`.
pub(super) fn verify(
    public: &[u8; PUBLIC_KEY_LEN],
    nonce: &[u8; NONCE_LEN],
    signature: &[u8; SIGNATURE_LEN],
) -> bool {
    let key = VerifyingKey::from_bytes(public);
    key.is_ok_and(|key| key.verify_strict(nonce, &Signature::from_bytes(signature)).is_ok())
}

/// Whether `public` is the key that `password` makes.
pub(super) fn is_key_of(public: &[u8; PUBLIC_KEY_LEN], password: &[u8]) -> bool {
    verify_slices_are_equal(VerifyingKey::from(&key(password)).as_bytes(), public).is_ok()
}

/// A public key as the server stores it: base64 without the padding.
pub(super) fn parse(text: &[u8]) -> Option<[u8; PUBLIC_KEY_LEN]> {
    if text.len() != STORED_LEN {
        return None;
    }
    let mut bits: u32 = 0;
    let mut count = 0;
    let mut bytes = Vec::with_capacity(PUBLIC_KEY_LEN);
    for character in text {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            let [.., byte] = (bits >> count).to_be_bytes();
            bytes.push(byte);
        }
    }
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From MariaDB's own tests: `IDENTIFIED VIA ed25519 USING PASSWORD('foo')`.
    const FOO: &[u8] = b"vubFBzIrapbfHct1/J72dnUryz5VS7lA6XHH8sIx4TI";

    #[test]
    fn a_stored_key_is_that_of_its_password() {
        let key = parse(FOO).expect("a key");
        assert!(is_key_of(&key, b"foo") && !is_key_of(&key, b"bar"));
        for text in [&FOO[1..], b"", &[b'*'; 43]] {
            assert_eq!(parse(text), None);
        }
    }

    #[test]
    fn a_signature_is_that_of_the_nonce() {
        let key = parse(FOO).expect("a key");
        assert_eq!(key, public_key(b"foo"));
        let signature = sign(b"foo", &[7; NONCE_LEN]);
        assert!(verify(&key, &[7; NONCE_LEN], &signature));
        assert!(!verify(&key, &[8; NONCE_LEN], &signature));
        assert!(!verify(&key, &[7; NONCE_LEN], &sign(b"bar", &[7; NONCE_LEN])));
        assert!(!verify(&[0; PUBLIC_KEY_LEN], &[7; NONCE_LEN], &signature));
    }
}
