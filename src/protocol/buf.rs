//! Scalar types of the protocol: fixed and length-encoded integers, and the three kinds of strings.
//!
//! Protocol section: "Basic Data Types". All integers are little-endian.

use thiserror::Error;

/// A packet that is not what the protocol says it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Malformed {
    /// The packet ends before the value does; `missing` counts the bytes.
    #[error("the packet ends {missing} bytes too early")]
    Short { missing: u64 },
    /// 0xFB (NULL) and 0xFF (ERR) can't begin a length-encoded integer.
    #[error("0x{0:02X} can't begin a length-encoded integer")]
    LengthPrefix(u8),
    /// A NUL-terminated string that runs to the end of the packet.
    #[error("a string has no terminating NUL")]
    Unterminated,
    /// A first byte that belongs to another kind of packet.
    #[error("0x{found:02X} can't begin a packet of type {packet}")]
    PacketType { packet: &'static str, found: u8 },
    /// A field with a value that the protocol does not allow there.
    #[error("the field {0} has a value that is not allowed there")]
    Field(&'static str),
}

/// Reads a payload from its front. A getter that fails leaves the position where it was.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next `n` bytes (`string<n>`).
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        match self.bytes.split_at_checked(n) {
            Some((taken, rest)) => {
                self.bytes = rest;
                Ok(taken)
            }
            None => Err(Malformed::Short { missing: (n - self.bytes.len()) as u64 }),
        }
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        match self.bytes.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.bytes = rest;
                Ok(*taken)
            }
            None => Err(Malformed::Short { missing: (N - self.bytes.len()) as u64 }),
        }
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// A three-byte integer.
    pub fn u24(&mut self) -> Result<u32, Malformed> {
        let [a, b, c] = self.array()?;
        Ok(u32::from_le_bytes([a, b, c, 0]))
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A length-encoded integer (`int<lenenc>`).
    pub fn lenenc_int(&mut self) -> Result<u64, Malformed> {
        let mut ahead = *self;
        let value = match ahead.u8()? {
            small @ 0..=0xFA => u64::from(small),
            0xFC => u64::from(ahead.u16()?),
            0xFD => u64::from(ahead.u24()?),
            0xFE => ahead.u64()?,
            prefix @ (0xFB | 0xFF) => return Err(Malformed::LengthPrefix(prefix)),
        };
        *self = ahead;
        Ok(value)
    }

    /// A string preceded by its length (`string<lenenc>`).
    pub fn lenenc_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let mut ahead = *self;
        let len = ahead.lenenc_int()?;
        let missing = len.saturating_sub(ahead.remaining() as u64);
        let taken = match usize::try_from(len) {
            Ok(len) if missing == 0 => ahead.bytes(len)?,
            _ => return Err(Malformed::Short { missing }),
        };
        *self = ahead;
        Ok(taken)
    }

    /// A string that ends in NUL (`string<NUL>`), without the NUL.
    pub fn nul_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let end = memchr::memchr(0, self.bytes).ok_or(Malformed::Unterminated)?;
        let taken = self.bytes(end)?;
        self.bytes(1)?;
        Ok(taken)
    }

    /// A last string that should end in NUL, but that some peers end with the packet. Without the NUL.
    pub fn nul_bytes_or_rest(&mut self) -> &'a [u8] {
        self.nul_bytes().unwrap_or_else(|_| self.rest())
    }

    /// Everything that is left (`string<EOF>`).
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }
}

/// Writes the protocol's scalar types at the end of a buffer.
pub trait WriteExt {
    fn put_u16(&mut self, value: u16);
    /// The low three bytes of `value`.
    fn put_u24(&mut self, value: u32);
    fn put_u32(&mut self, value: u32);
    fn put_u64(&mut self, value: u64);
    fn put_lenenc_int(&mut self, value: u64);
    fn put_lenenc_bytes(&mut self, bytes: &[u8]);
    fn put_nul_bytes(&mut self, bytes: &[u8]);
}

impl WriteExt for Vec<u8> {
    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u24(&mut self, value: u32) {
        let [a, b, c, _] = value.to_le_bytes();
        self.extend_from_slice(&[a, b, c]);
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_lenenc_int(&mut self, value: u64) {
        let [a, b, c, ..] = value.to_le_bytes();
        match value {
            0..=0xFA => self.push(a),
            0xFB..=0xFFFF => self.extend_from_slice(&[0xFC, a, b]),
            0x1_0000..=0xFF_FFFF => self.extend_from_slice(&[0xFD, a, b, c]),
            _ => {
                self.push(0xFE);
                self.put_u64(value);
            }
        }
    }

    fn put_lenenc_bytes(&mut self, bytes: &[u8]) {
        self.put_lenenc_int(bytes.len() as u64);
        self.extend_from_slice(bytes);
    }

    fn put_nul_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
        self.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lenenc_integers_round_trip_at_every_edge() {
        let edges = [
            0,
            1,
            0xFA,
            0xFB,
            0xFC,
            0xFF,
            0x100,
            0xFFFF,
            0x1_0000,
            0xFF_FFFF,
            0x100_0000,
            u64::MAX - 1,
            u64::MAX,
        ];
        for value in edges {
            let mut out = Vec::new();
            out.put_lenenc_int(value);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.lenenc_int(), Ok(value));
            assert!(reader.is_empty());
            for cut in 0..out.len() {
                assert!(matches!(Reader::new(&out[..cut]).lenenc_int(), Err(Malformed::Short { .. })));
            }
        }
    }

    #[test]
    fn null_and_err_markers_are_no_lengths() {
        for marker in [0xFB, 0xFF] {
            assert_eq!(Reader::new(&[marker; 9]).lenenc_int(), Err(Malformed::LengthPrefix(marker)));
        }
    }

    #[test]
    fn a_failed_read_consumes_nothing() {
        let mut reader = Reader::new(&[0xFC, 5]);
        assert_eq!(reader.lenenc_int(), Err(Malformed::Short { missing: 1 }));
        assert_eq!(reader.lenenc_bytes(), Err(Malformed::Short { missing: 1 }));
        assert_eq!(reader.u32(), Err(Malformed::Short { missing: 2 }));
        assert_eq!(reader.nul_bytes(), Err(Malformed::Unterminated));
        assert_eq!(reader.rest(), [0xFC, 5]);
    }

    #[test]
    fn a_length_beyond_the_packet_is_short_and_not_an_overflow() {
        let huge = [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, b'x'];
        assert_eq!(Reader::new(&huge).lenenc_bytes(), Err(Malformed::Short { missing: u64::MAX - 1 }));
    }

    #[test]
    fn strings_and_fixed_integers_round_trip() {
        let mut out = Vec::new();
        out.put_u16(0x1234);
        out.put_u24(0x00AB_CDEF);
        out.put_u32(0xDEAD_BEEF);
        out.put_u64(0x0102_0304_0506_0708);
        out.put_lenenc_bytes(&[7; 300]);
        out.put_nul_bytes(b"root");
        out.extend_from_slice(b"tail");
        let mut reader = Reader::new(&out);
        assert_eq!(reader.u16(), Ok(0x1234));
        assert_eq!(reader.u24(), Ok(0x00AB_CDEF));
        assert_eq!(reader.u32(), Ok(0xDEAD_BEEF));
        assert_eq!(reader.u64(), Ok(0x0102_0304_0506_0708));
        assert_eq!(reader.lenenc_bytes(), Ok(&[7; 300][..]));
        assert_eq!(reader.nul_bytes(), Ok(&b"root"[..]));
        assert_eq!(reader.remaining(), 4);
        assert_eq!(reader.nul_bytes_or_rest(), b"tail");
        assert!(reader.is_empty());
    }
}
