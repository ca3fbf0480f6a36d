//! What a send sends: bytes that stay where they are until the kernel is done with them.

use std::ptr;

use super::buffers::Buf;

/// Bytes to be sent, owned by the operation until its completion.
pub enum Payload {
    /// Bytes as they were received, or a window of them.
    Received(Buf),
    /// Bytes that Athena made, or collected.
    Owned(Vec<u8>),
    /// Several pieces in one message.
    Gathered(Box<Gathered>),
}

/// One piece of a gathered message.
pub enum Piece {
    Received(Buf),
    Owned(Vec<u8>),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Received(buf) => buf,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// Pieces of one message with the tables that `sendmsg(2)` reads.
pub struct Gathered {
    pieces: Vec<Piece>,
    /// Windows into the pieces, in the order of sending: (piece, start, end).
    windows: Vec<(usize, usize, usize)>,
    vectors: std::cell::RefCell<Vec<libc::iovec>>,
    header: std::cell::Cell<libc::msghdr>,
}

impl Gathered {
    /// A message of the given windows into `pieces`; windows outside of a piece are cut to it.
    pub fn new(pieces: Vec<Piece>, windows: Vec<(usize, usize, usize)>) -> Box<Self> {
        // SAFETY: an all-zero msghdr is a valid value: null pointers and zero lengths.
        let header = unsafe { std::mem::zeroed::<libc::msghdr>() };
        Box::new(Self { pieces, windows, vectors: Default::default(), header: std::cell::Cell::new(header) })
    }

    fn window(&self, at: &(usize, usize, usize)) -> &[u8] {
        self.pieces.get(at.0).and_then(|piece| piece.bytes().get(at.1..at.2)).unwrap_or_default()
    }

    fn len(&self) -> usize {
        self.windows.iter().map(|at| self.window(at).len()).sum()
    }

    /// Fills the tables for everything after the first `skip` bytes.
    fn header(&self, mut skip: usize) -> *const libc::msghdr {
        let mut vectors = self.vectors.borrow_mut();
        vectors.clear();
        for at in &self.windows {
            let bytes = self.window(at);
            let skipped = skip.min(bytes.len());
            skip -= skipped;
            if let Some(rest) = bytes.get(skipped..).filter(|rest| !rest.is_empty()) {
                vectors.push(libc::iovec { iov_base: rest.as_ptr().cast_mut().cast(), iov_len: rest.len() });
            }
        }
        let mut header = self.header.get();
        header.msg_iov = if vectors.is_empty() { ptr::null_mut() } else { vectors.as_mut_ptr() };
        header.msg_iovlen = vectors.len();
        self.header.set(header);
        self.header.as_ptr()
    }
}

impl Payload {
    /// Bytes in all.
    pub fn len(&self) -> usize {
        match self {
            Self::Gathered(gathered) => gathered.len(),
            _ => self.bytes().len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The contiguous bytes; none of a gathered message.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Received(buf) => buf,
            Self::Owned(bytes) => bytes,
            Self::Gathered(_) => &[],
        }
    }

    /// The message header of a gathered message without its first `skip` bytes. It stays valid as long as the
    /// payload does: its tables are on the heap and change only here.
    pub(super) fn message(&self, skip: usize) -> Option<*const libc::msghdr> {
        match self {
            Self::Gathered(gathered) => Some(gathered.header(skip)),
            _ => None,
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
