//! What a send sends: bytes that stay where they are until the kernel is done with them.

use std::ops::{Deref, DerefMut, Range};

use super::buffers::Buf;

/// Bytes to be sent, owned by the operation until its completion.
pub enum Payload {
    /// Bytes as they were received, or a window of them.
    Received(Buf),
    /// Bytes that Athena made, or collected.
    Owned(Vec<u8>),
}

impl Payload {
    /// Keeps this range alone, in place.
    pub fn keep(&mut self, range: Range<usize>) {
        match self {
            Self::Received(buf) => {
                buf.truncate(range.end);
                buf.advance(range.start);
            }
            Self::Owned(bytes) => {
                bytes.truncate(range.end);
                bytes.drain(..range.start.min(bytes.len()));
            }
        }
    }

    /// Puts a few bytes in front; in place where there is room.
    pub fn prepend(&mut self, bytes: &[u8]) {
        match self {
            Self::Received(buf) => {
                if !buf.splice(0..0, bytes) {
                    *self = Self::Owned([bytes, buf].concat());
                }
            }
            Self::Owned(owned) => drop(owned.splice(0..0, bytes.iter().copied())),
        }
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Received(buf) => buf,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl DerefMut for Payload {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Received(buf) => buf,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl From<Buf> for Payload {
    fn from(buf: Buf) -> Self {
        Self::Received(buf)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Owned(bytes)
    }
}
