//! Cutting bytes into chunks, as a network does.

/// The chunks of `bytes`, cut in a way that `seed` decides; 0 leaves them whole.
pub fn cut(bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    const LONGEST: [u64; 4] = [1, 3, 17, 150];
    let longest = LONGEST[usize::from(seed % 4)];
    let mut state = u64::from(seed);
    let mut chunks = Vec::new();
    let mut rest = bytes;
    while seed != 0 && !rest.is_empty() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let length = 1 + usize::try_from((state >> 33) % longest).expect("small");
        let (chunk, after) = rest.split_at(length.min(rest.len()));
        chunks.push(chunk);
        rest = after;
    }
    if !rest.is_empty() {
        chunks.push(rest);
    }
    chunks
}

/// The first byte, which says how the rest is treated, and the rest.
pub fn option(bytes: &[u8]) -> (u8, &[u8]) {
    bytes.split_first().map_or((0, bytes), |(first, rest)| (*first, rest))
}
