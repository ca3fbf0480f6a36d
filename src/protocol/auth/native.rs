//! `mysql_native_password`: SHA-1 over a password that the server knows as its double hash.
//!
//! Protocol section: "Native Authentication".

use aws_lc_rs::constant_time::verify_slices_are_equal;
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use super::Salt;

/// Bytes of a scramble, the proof of a password.
pub const SCRAMBLE_LEN: usize = 20;

/// `SHA1(password) XOR SHA1(salt || SHA1(SHA1(password)))`. An empty password is proved by an empty response instead.
pub fn scramble(password: &[u8], salt: &Salt) -> [u8; SCRAMBLE_LEN] {
    scramble_of_hash(&Sha1::digest(password).into(), salt)
}

/// The same from `SHA1(password)`, which is all that it takes.
pub fn scramble_of_hash(once: &[u8; SCRAMBLE_LEN], salt: &Salt) -> [u8; SCRAMBLE_LEN] {
    xor(once, &mask(&Sha1::digest(once).into(), salt))
}

/// `SHA1(password)` out of a proof of it, given its own SHA-1, as the server stores it; `None` if it proves another.
pub fn recover(
    stored: &[u8; SCRAMBLE_LEN],
    salt: &Salt,
    response: &[u8; SCRAMBLE_LEN],
) -> Option<Zeroizing<[u8; SCRAMBLE_LEN]>> {
    let once = Zeroizing::new(xor(response, &mask(stored, salt)));
    verify_slices_are_equal(&Sha1::digest(once.as_slice()), stored).is_ok().then_some(once)
}

/// The stored form: an asterisk and forty hexadecimal digits.
pub fn parse(text: &[u8]) -> Option<[u8; SCRAMBLE_LEN]> {
    let digits = text.strip_prefix(b"*").filter(|digits| digits.len() == 2 * SCRAMBLE_LEN)?;
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, _) = digits.as_chunks::<2>();
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    bytes?.try_into().ok()
}

fn mask(twice: &[u8; SCRAMBLE_LEN], salt: &Salt) -> [u8; SCRAMBLE_LEN] {
    Sha1::new().chain_update(salt).chain_update(twice).finalize().into()
}

fn xor(a: &[u8; SCRAMBLE_LEN], b: &[u8; SCRAMBLE_LEN]) -> [u8; SCRAMBLE_LEN] {
    std::array::from_fn(|i| a[i] ^ b[i])
}

/// Whether `response` proves `password`, in constant time. An empty response proves the empty password only.
pub fn verify(password: &[u8], salt: &Salt, response: &[u8]) -> bool {
    let proved = verify_slices_are_equal(&scramble(password, salt), response).is_ok();
    match password {
        b"" => response.is_empty(),
        _ => proved,
    }
}
