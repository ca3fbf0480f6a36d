//! The stored form of `caching_sha2_password`, `$A$005$` + salt + hash, and of `sha256_password`, `$5$` + salt + `$` +
//! hash: the SHA-256 variant of Unix `crypt`, with a salt of 20 bytes where `crypt` itself has at most 16.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, Digest, SHA256, SHA256_OUTPUT_LEN, digest};

/// Bytes of the salt.
const SALT_LEN: usize = 20;
/// Characters of the hash.
const HASH_LEN: usize = 43;
/// `sha256_password` names no number of rounds.
const SHA256_ROUNDS: u32 = 5000;
/// The number in `$A$005$` counts thousands.
const ROUNDS_UNIT: u32 = 1000;

const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A hash as the server stores it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sha256Hash {
    rounds: u32,
    salt: [u8; SALT_LEN],
    hash: [u8; HASH_LEN],
}

impl Sha256Hash {
    /// Reads the stored form of either plugin.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (rounds, rest) = if let Some(rest) = text.strip_prefix(b"$A$") {
            let (digits, rest) = rest.split_at_checked(3)?;
            let thousands = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            (thousands.checked_mul(ROUNDS_UNIT)?, rest.strip_prefix(b"$")?)
        } else {
            (SHA256_ROUNDS, text.strip_prefix(b"$5$")?)
        };
        let (salt, rest) = rest.split_first_chunk::<SALT_LEN>()?;
        let rest = if text.starts_with(b"$5$") { rest.strip_prefix(b"$")? } else { rest };
        let hash = <[u8; HASH_LEN]>::try_from(rest).ok()?;
        let readable = hash.iter().all(|byte| ALPHABET.contains(byte));
        (rounds > 0 && readable).then_some(Self { rounds, salt: *salt, hash })
    }

    /// A hash that costs what this one costs, and that no password has.
    pub fn of_nobody(&self, salt: [u8; SALT_LEN]) -> Self {
        Self { rounds: self.rounds, salt, hash: [b'*'; HASH_LEN] }
    }

    /// Begins to find out whether this is the hash of `password`.
    pub fn compare(&self, password: &[u8]) -> Comparison {
        Comparison { rounds: Rounds::new(password, &self.salt, self.rounds), hash: self.hash }
    }
}

/// Whether a password has a hash: thousands of rounds, milliseconds, so it goes by slices.
pub struct Comparison {
    rounds: Rounds,
    hash: [u8; HASH_LEN],
}

impl Comparison {
    /// Goes on for a slice of the work; the answer, when that was the last.
    pub fn go_on(&mut self) -> Option<bool> {
        let digest = self.rounds.go_on(SLICE_BYTES)?;
        Some(verify_slices_are_equal(&encode(&digest), &self.hash).is_ok())
    }
}

/// Bytes hashed in one slice, about: a small part of a millisecond.
const SLICE_BYTES: usize = 32 << 10;

/// `len` bytes of `bytes`, over and over.
fn cycled(bytes: &[u8], len: usize) -> Vec<u8> {
    bytes.iter().copied().cycle().take(len).collect()
}

/// The computation of a hash, between two of its rounds. The steps are those of the specification of SHA-crypt.
struct Rounds {
    last: Digest,
    p: zeroize::Zeroizing<Vec<u8>>,
    s: Vec<u8>,
    left: std::ops::Range<u32>,
}

impl Rounds {
    fn new(password: &[u8], salt: &[u8], rounds: u32) -> Self {
        let last = first_digest(password, salt);
        let p = {
            let mut all = Context::new(&SHA256);
            password.iter().for_each(|_| all.update(password));
            zeroize::Zeroizing::new(cycled(all.finish().as_ref(), password.len()))
        };
        let s = {
            let times = 16 + last.as_ref().first().copied().map_or(0, usize::from);
            let mut all = Context::new(&SHA256);
            (0..times).for_each(|_| all.update(salt));
            cycled(all.finish().as_ref(), salt.len())
        };
        Self { last, p, s, left: 0..rounds }
    }

    /// Rounds for about `bytes` of hashing; the digest, when none is left.
    fn go_on(&mut self, bytes: usize) -> Option<[u8; SHA256_OUTPUT_LEN]> {
        let count = bytes / (SHA256_OUTPUT_LEN + self.s.len() + 2 * self.p.len());
        for round in self.left.by_ref().take(count.max(1)) {
            let odd = round % 2 == 1;
            let mut next = Context::new(&SHA256);
            next.update(if odd { &self.p } else { self.last.as_ref() });
            if round % 3 != 0 {
                next.update(&self.s);
            }
            if round % 7 != 0 {
                next.update(&self.p);
            }
            next.update(if odd { self.last.as_ref() } else { &self.p });
            self.last = next.finish();
        }
        let digest = || <[u8; SHA256_OUTPUT_LEN]>::try_from(self.last.as_ref()).unwrap_or_default();
        self.left.is_empty().then(digest)
    }
}

fn first_digest(password: &[u8], salt: &[u8]) -> Digest {
    let b = digest(&SHA256, &[password, salt, password].concat());
    let mut a = Context::new(&SHA256);
    a.update(password);
    a.update(salt);
    a.update(&zeroize::Zeroizing::new(cycled(b.as_ref(), password.len())));
    let mut bits = password.len();
    while bits > 0 {
        a.update(if bits & 1 == 1 { b.as_ref() } else { password });
        bits >>= 1;
    }
    a.finish()
}

/// The characters that stand for a digest: three bytes make four, in an order of their own.
fn encode(digest: &[u8; SHA256_OUTPUT_LEN]) -> [u8; HASH_LEN] {
    let [
        d0,
        d1,
        d2,
        d3,
        d4,
        d5,
        d6,
        d7,
        d8,
        d9,
        d10,
        d11,
        d12,
        d13,
        d14,
        d15,
        d16,
        d17,
        d18,
        d19,
        d20,
        rest @ ..,
    ] = *digest;
    let [d21, d22, d23, d24, d25, d26, d27, d28, d29, d30, d31] = rest;
    let groups = [
        ([d0, d10, d20], 4),
        ([d21, d1, d11], 4),
        ([d12, d22, d2], 4),
        ([d3, d13, d23], 4),
        ([d24, d4, d14], 4),
        ([d15, d25, d5], 4),
        ([d6, d16, d26], 4),
        ([d27, d7, d17], 4),
        ([d18, d28, d8], 4),
        ([d9, d19, d29], 4),
        ([0, d31, d30], 3),
    ];
    let characters = groups.into_iter().flat_map(|([a, b, c], count)| {
        let word = u32::from_be_bytes([0, a, b, c]);
        (0..count).map(move |at| ALPHABET.get((word >> (6 * at)) as usize & 63).copied().unwrap_or(b'.'))
    });
    let mut out = [b'.'; HASH_LEN];
    out.iter_mut().zip(characters).for_each(|(out, character)| *out = character);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_the_specification() {
        for slice in [1, 4711, usize::MAX] {
            let mut rounds = Rounds::new(b"Hello world!", b"saltstring", 5000);
            let digest = std::iter::repeat_with(|| rounds.go_on(slice)).find_map(|digest| digest);
            let hash = digest.map(|digest| encode(&digest));
            assert_eq!(hash.as_ref(), Some(b"5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"));
        }
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let salt = "S".repeat(20);
        let hash = "a".repeat(43);
        assert!(Sha256Hash::parse(format!("$A$005${salt}{hash}").as_bytes()).is_some());
        assert!(Sha256Hash::parse(format!("$5${salt}${hash}").as_bytes()).is_some());
        for text in [
            String::new(),
            "$A$005$".to_owned(),
            format!("$A$000${salt}{hash}"),
            format!("$A$0x5${salt}{hash}"),
            format!("$A$005${salt}{hash}a"),
            format!("$A$005${salt}{}*", &hash[1..]),
            format!("$5${salt}{hash}"),
        ] {
            assert!(Sha256Hash::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn a_hash_of_a_real_server_is_that_of_its_password() {
        let stored = b"$A$00A$'n|f\x19w\\\x03M8>*\\\x0bMS8+W ns9E3wmeXEqJuUpv956aaSZkFEPwLqmHBj7qVj7eoI6";
        let hash = Sha256Hash::parse(stored).expect("a hash of MySQL 9.7");
        let is_of = |hash: &Sha256Hash, password: &[u8]| {
            let mut comparison = hash.compare(password);
            std::iter::repeat_with(|| comparison.go_on()).find_map(|answer| answer) == Some(true)
        };
        assert!(is_of(&hash, b"s") && !is_of(&hash, b"S") && !is_of(&hash, b""));
        assert!(!is_of(&hash.of_nobody([b'x'; 20]), b"s"));
    }
}
