//! The provided-buffer ring of a core: receives take a buffer from it only when bytes arrive, so a connection
//! that waits holds none (`io_uring_register_buf_ring(3)`).
//!
//! The ring starts with `initial` buffers and grows in chunks up to [`MAX_BUFFERS`] when slow readers hold so
//! many that receives run dry; a receive that finds it empty is delayed, never failed.

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut, Range};
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::Waker;
use std::{io, ptr};

use io_uring::types::BufRingEntry;
use io_uring::{IoUring, cqueue};

/// The one buffer group of a core's ring.
pub(super) const GROUP_ID: u16 = 0;

/// Entries of the kernel's ring (its maximum), and so the most buffers that a core can have.
const MAX_BUFFERS: usize = 1 << 15;

/// Buffers added at a time when the ring ran dry.
const GROWTH: usize = 64;

/// Bytes before each buffer that the kernel leaves alone: room for [`Buf::splice`] to put packets in.
pub(super) const HEADROOM: usize = 64;

/// An anonymous private mapping, unmapped on drop. Pages become resident when they are first touched.
struct Mapping {
    at: *mut u8,
    len: usize,
}

impl Mapping {
    fn new(len: usize) -> io::Result<Self> {
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no existing memory.
        let at = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { at: at.cast(), len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `at` and `len` are those of a successful mmap, and nobody uses the memory any more: every
        // `Buf` holds the pool that owns this mapping.
        unsafe { libc::munmap(self.at.cast(), self.len) };
    }
}

/// The buffers of one core and the ring through which the kernel takes them.
pub struct BufferPool {
    /// `MAX_BUFFERS` entries of `io_uring_buf`; the tail lives in the reserved bytes of the first.
    ring: Mapping,
    tail: Cell<u16>,
    size: usize,
    /// Address of each buffer by its id.
    buffers: RefCell<Vec<*mut u8>>,
    chunks: RefCell<Vec<Mapping>>,
    /// Buffers that the kernel may take at this moment.
    free: Cell<usize>,
    /// Receives that found the ring empty, woken when a buffer comes back.
    starved: RefCell<Vec<Waker>>,
}

impl BufferPool {
    /// Registers the ring with `uring` and provides `initial` buffers of `size` bytes.
    pub(super) fn register(uring: &IoUring, initial: usize, size: usize) -> io::Result<Rc<Self>> {
        let ring = Mapping::new(MAX_BUFFERS * size_of::<BufRingEntry>())?;
        // SAFETY: the mapping is page-aligned, as long as the entries said, and lives as long as the pool,
        // which the ring's owner keeps until the ring is gone.
        unsafe {
            uring.submitter().register_buf_ring_with_flags(
                ring.at as u64,
                MAX_BUFFERS as u16,
                GROUP_ID,
                0,
            )?;
        }
        let pool = Rc::new(Self {
            ring,
            tail: Cell::new(0),
            size,
            buffers: RefCell::default(),
            chunks: RefCell::default(),
            free: Cell::new(0),
            starved: RefCell::default(),
        });
        pool.grow(initial)?;
        Ok(pool)
    }

    /// Buffers that receives can take at this moment.
    pub fn free(&self) -> usize {
        self.free.get()
    }

    /// Takes the buffer that the kernel chose for a completion that brought `len` bytes.
    pub(super) fn take(self: &Rc<Self>, flags: u32, len: usize) -> Option<Buf> {
        let id = cqueue::buffer_select(flags)?;
        self.free.set(self.free.get() - 1);
        let end = HEADROOM + len.min(self.size - HEADROOM);
        let memory = Memory::Provided(self.clone(), id);
        Some(Buf { memory, start: HEADROOM as u32, end: end as u32 })
    }

    /// Called by a receive that the kernel refused for want of a buffer: more buffers at once where the limit
    /// allows it; otherwise `waker` is woken when one comes back. True if there is one already.
    pub(super) fn wait_for_one(&self, waker: &Waker) -> bool {
        if self.free.get() > 0 || self.grow(GROWTH).is_ok_and(|added| added > 0) {
            return true;
        }
        self.starved.borrow_mut().push(waker.clone());
        false
    }

    /// Adds up to `count` buffers; returns how many.
    fn grow(&self, count: usize) -> io::Result<usize> {
        let have = self.buffers.borrow().len();
        let count = count.min(MAX_BUFFERS - have);
        if count == 0 {
            return Ok(0);
        }
        let chunk = Mapping::new(count * self.size)?;
        for i in 0..count {
            // SAFETY: `i * size` stays inside the chunk of `count * size` bytes.
            let at = unsafe { chunk.at.add(i * self.size) };
            self.buffers.borrow_mut().push(at);
            self.provide((have + i) as u16, at);
        }
        self.chunks.borrow_mut().push(chunk);
        Ok(count)
    }

    /// Hands one buffer to the kernel.
    fn provide(&self, id: u16, at: *mut u8) {
        let tail = self.tail.get();
        let index = usize::from(tail) & (MAX_BUFFERS - 1);
        // SAFETY: `index` is below the number of entries of the mapping; the kernel reads an entry only after
        // the tail has passed it, which the release store below orders; at most MAX_BUFFERS are provided.
        unsafe {
            let entry = self.ring.at.cast::<BufRingEntry>().add(index);
            (*entry).set_addr(at as u64 + HEADROOM as u64);
            (*entry).set_len((self.size - HEADROOM) as u32);
            (*entry).set_bid(id);
            let shared = BufRingEntry::tail(self.ring.at.cast::<BufRingEntry>()).cast_mut();
            AtomicU16::from_ptr(shared).store(tail.wrapping_add(1), Ordering::Release);
        }
        self.tail.set(tail.wrapping_add(1));
        self.free.set(self.free.get() + 1);
        if let Some(waker) = self.starved.borrow_mut().pop() {
            waker.wake();
        }
    }

    fn address(&self, id: u16) -> *mut u8 {
        self.buffers.borrow()[usize::from(id)]
    }
}

/// What a window is a window of.
enum Memory {
    /// A buffer of the ring, by its id.
    Provided(Rc<BufferPool>, u16),
    /// What a layer below the socket has decoded. Behind a pointer, so that a plain client pays nothing for it.
    Owned(Box<OwnBytes>),
}

struct OwnBytes(Vec<u8>);

/// Each idle client has a queue with room for four.
const _: () = assert!(size_of::<Buf>() == 24);

/// Bytes that a receive brought: a window into one provided buffer, which goes back to the ring on drop, or into memory
/// of its own where a layer had to decode them.
pub struct Buf {
    memory: Memory,
    start: u32,
    end: u32,
}

impl Buf {
    /// A window of `bytes` without the first [`HEADROOM`], which are room for splices.
    pub(super) fn owned(bytes: Vec<u8>) -> Self {
        let end = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        Self { memory: Memory::Owned(Box::new(OwnBytes(bytes))), start: end.min(HEADROOM as u32), end }
    }

    /// Bytes of the memory behind the window.
    fn size(&self) -> usize {
        match &self.memory {
            Memory::Provided(pool, _) => pool.size,
            Memory::Owned(decoded) => decoded.0.len(),
        }
    }

    /// Drops the first `n` bytes of the window (all of them if it is shorter).
    pub fn advance(&mut self, n: usize) {
        self.start = self.end.min(self.start.saturating_add(n.min(u32::MAX as usize) as u32));
    }

    /// Whether the message filled the buffer: more of it may follow.
    pub(super) fn is_full(&self) -> bool {
        self.end as usize == self.size()
    }

    /// Keeps the first `n` bytes of the window.
    pub fn truncate(&mut self, n: usize) {
        if n < self.len() {
            self.end = self.start + n as u32;
        }
    }

    /// Bytes by which splices may make the window longer, in any order of places.
    pub fn headroom(&self) -> usize {
        self.start as usize
    }

    /// Replaces a range of the window by `bytes`, in place: the shorter side moves, over the headroom or the end.
    /// False, with nothing changed, if there is no room for it or no such range.
    pub fn splice(&mut self, range: Range<usize>, bytes: &[u8]) -> bool {
        if range.start > range.end || range.end > self.len() {
            return false;
        }
        let (left, right) = (range.start, self.len() - range.end);
        let (grown, shrunk) =
            (bytes.len().saturating_sub(range.len()), range.len().saturating_sub(bytes.len()));
        let (start, end) = (self.start as usize, self.end as usize);
        // Where the window is to begin and end, and which bytes move where.
        let (from, to, window) = if grown <= start && (left <= right || end + grown > self.size()) {
            let begin = start + shrunk - grown;
            (start..start + left, begin, (begin, end))
        } else if end + grown <= self.size() {
            let finish = end + grown - shrunk;
            (end - right..end, finish - right, (start, finish))
        } else {
            return false;
        };
        (self.start, self.end) = (0, self.size() as u32);
        self.copy_within(from, to);
        (self.start, self.end) = (window.0 as u32, window.1 as u32);
        if let Some(place) = self.get_mut(left..left + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        true
    }
}

impl Deref for Buf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let (start, end) = (self.start as usize, self.end as usize);
        match &self.memory {
            // SAFETY: start..end is inside the buffer, which is this window's alone until it drops; the kernel has
            // written (or the mapping has zeroed) every byte of it.
            Memory::Provided(pool, id) => unsafe {
                std::slice::from_raw_parts(pool.address(*id).add(start), end - start)
            },
            Memory::Owned(decoded) => decoded.0.get(start..end).unwrap_or_default(),
        }
    }
}

impl DerefMut for Buf {
    fn deref_mut(&mut self) -> &mut [u8] {
        let (start, end) = (self.start as usize, self.end as usize);
        match &mut self.memory {
            // SAFETY: as in `deref`; `&mut self` makes the access exclusive.
            Memory::Provided(pool, id) => unsafe {
                std::slice::from_raw_parts_mut(pool.address(*id).add(start), end - start)
            },
            Memory::Owned(decoded) => decoded.0.get_mut(start..end).unwrap_or_default(),
        }
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        if let Memory::Provided(pool, id) = &self.memory {
            pool.provide(*id, pool.address(*id));
        }
    }
}

impl std::fmt::Debug for Buf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.memory {
            Memory::Provided(_, id) => write!(f, "Buf({} bytes of buffer {id})", self.len()),
            Memory::Owned(_) => write!(f, "Buf({} bytes)", self.len()),
        }
    }
}
