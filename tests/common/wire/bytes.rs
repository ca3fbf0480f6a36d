//! Reading the protocol's integers and strings.

use super::{Error, Result};

/// What is left of a payload.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let short = || Error::Protocol(format!("{length} bytes expected, {} left", self.0.len()));
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(short)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A little-endian integer of `length` bytes, at most 8.
    pub fn integer(&mut self, length: usize) -> Result<u64> {
        let mut value = [0; 8];
        value[..length].copy_from_slice(self.take(length)?);
        Ok(u64::from_le_bytes(value))
    }

    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub fn u16(&mut self) -> Result<u16> {
        let bytes = self.take(2)?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    pub fn u32(&mut self) -> Result<u32> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A length-encoded integer.
    pub fn length_encoded(&mut self) -> Result<u64> {
        match self.u8()? {
            small @ 0..=0xfa => Ok(u64::from(small)),
            0xfc => self.integer(2),
            0xfd => self.integer(3),
            0xfe => self.integer(8),
            other => Err(Error::Protocol(format!("{other:#x} begins no length-encoded integer"))),
        }
    }

    /// A string with its length before it.
    pub fn string(&mut self) -> Result<&'a [u8]> {
        let length = self.length_encoded()?;
        self.take(usize::try_from(length).map_err(|_| Error::Protocol(format!("a string of {length}")))?)
    }

    /// A string that ends with a NUL, or with the payload.
    pub fn null_terminated(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        let text = &self.0[..end];
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        text
    }
}

/// Appends a length-encoded integer.
pub fn push_length(out: &mut Vec<u8>, length: usize) {
    let bytes = (length as u64).to_le_bytes();
    match length {
        0..=0xfa => out.push(bytes[0]),
        0xfb..=0xffff => {
            out.push(0xfc);
            out.extend_from_slice(&bytes[..2]);
        }
        0x1_0000..=0xff_ffff => {
            out.push(0xfd);
            out.extend_from_slice(&bytes[..3]);
        }
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&bytes);
        }
    }
}
