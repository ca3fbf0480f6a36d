//! What a send sends: bytes that stay where they are until the kernel is done with them.

use std::ops::{Deref, DerefMut};

use super::buffers::Buf;

/// Bytes to be sent, owned by the operation until its completion.
pub enum Payload {
    /// Bytes as they were received, or a window of them.
    Received(Buf),
    /// Bytes that Athena made, or collected.
    Owned(Vec<u8>),
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
