//! `mysql_native_password`: SHA-1 over a password that the server knows as its double hash.
//!
//! Protocol section: "Native Authentication".

use aws_lc_rs::constant_time::verify_slices_are_equal;
use sha1::{Digest, Sha1};

use super::Salt;

/// Bytes of a scramble, the proof of a password.
pub const SCRAMBLE_LEN: usize = 20;

/// `SHA1(password) XOR SHA1(salt || SHA1(SHA1(password)))`. An empty password is proved by an empty response instead.
pub fn scramble(password: &[u8], salt: &Salt) -> [u8; SCRAMBLE_LEN] {
    let once: [u8; SCRAMBLE_LEN] = Sha1::digest(password).into();
    let twice = Sha1::digest(once);
    let mask: [u8; SCRAMBLE_LEN] = Sha1::new().chain_update(salt).chain_update(twice).finalize().into();
    std::array::from_fn(|i| once[i] ^ mask[i])
}

/// Whether `response` proves `password`, in constant time. An empty response proves the empty password only.
pub fn verify(password: &[u8], salt: &Salt, response: &[u8]) -> bool {
    let proved = verify_slices_are_equal(&scramble(password, salt), response).is_ok();
    match password {
        b"" => response.is_empty(),
        _ => proved,
    }
}
