//! Compressors and decompressors, made when first needed and used again.

use std::cell::RefCell;
use std::io;

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder, Operation};

use super::stream::{Algorithm, CompressionError};

/// What servers and clients use, zlib's own default.
const ZLIB_LEVEL: u32 = 6;

/// A window of 16 MiB: no compressed packet has more content. A frame that asks for a larger one is refused, since the
/// window would be allocated at its word.
const ZSTD_WINDOW_LOG_MAX: u32 = 24;

/// Decompressors kept for the next packet, of each algorithm. More exist only while more packets are half read.
const MAX_IDLE_DECOMPRESSORS: usize = 4;

/// The compression contexts of one core.
#[derive(Default)]
pub struct Contexts {
    deflate: RefCell<Option<Compress>>,
    zstd: RefCell<Option<zstd::bulk::Compressor<'static>>>,
    idle: RefCell<Vec<Decompressor>>,
}

impl Contexts {
    pub fn new() -> Self {
        Self::default()
    }

    /// Compresses `plain` to the end of `out`. False, and `out` as it was, if that would not make it shorter.
    pub(super) fn compress(&self, algorithm: Algorithm, plain: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        // One that needs this much is not shorter; the rest of the space is what the compressor may write.
        out.resize(start + plain.len(), 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let written = match algorithm {
            Algorithm::Zlib => self.deflate(plain, room),
            Algorithm::Zstd { level } => self.compress_zstd(level, plain, room),
        };
        let written = written.filter(|&written| written < plain.len());
        out.truncate(start + written.unwrap_or(0));
        written.is_some()
    }

    fn deflate(&self, plain: &[u8], room: &mut [u8]) -> Option<usize> {
        let mut slot = self.deflate.borrow_mut();
        let deflate = slot.get_or_insert_with(|| Compress::new(flate2::Compression::new(ZLIB_LEVEL), true));
        deflate.reset();
        match deflate.compress(plain, room, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => usize::try_from(deflate.total_out()).ok(),
            // It did not fit.
            Ok(_) | Err(_) => None,
        }
    }

    fn compress_zstd(&self, level: i32, plain: &[u8], room: &mut [u8]) -> Option<usize> {
        let mut slot = self.zstd.borrow_mut();
        let compressor = match &mut *slot {
            Some(compressor) => compressor,
            empty => empty.insert(zstd::bulk::Compressor::new(level).ok()?),
        };
        compressor.set_compression_level(level).ok()?;
        compressor.compress_to_buffer(plain, room).ok()
    }

    /// A decompressor at the start of a stream.
    pub(super) fn decompressor(&self, algorithm: Algorithm) -> Result<Decompressor, CompressionError> {
        let mut idle = self.idle.borrow_mut();
        if let Some(found) = idle.iter().position(|decompressor| decompressor.is_for(algorithm)) {
            return idle.swap_remove(found).restarted();
        }
        Decompressor::new(algorithm)
    }

    /// Takes a decompressor back whose stream has ended.
    pub(super) fn give_back(&self, decompressor: Decompressor) {
        let mut idle = self.idle.borrow_mut();
        let same = idle.iter().filter(|other| other.is_zlib() == decompressor.is_zlib()).count();
        if same < MAX_IDLE_DECOMPRESSORS {
            idle.push(decompressor);
        }
    }
}

impl std::fmt::Debug for Contexts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contexts").field("idle", &self.idle.borrow().len()).finish_non_exhaustive()
    }
}

/// The stream of one compressed packet on its way out of compression.
pub(super) enum Decompressor {
    Zlib(Decompress),
    Zstd(Decoder<'static>),
}

/// What one step of a [`Decompressor`] did.
pub(super) struct Step {
    pub read: usize,
    pub written: usize,
    /// The stream has ended.
    pub ended: bool,
}

impl Decompressor {
    fn new(algorithm: Algorithm) -> Result<Self, CompressionError> {
        match algorithm {
            Algorithm::Zlib => Ok(Decompressor::Zlib(Decompress::new(true))),
            Algorithm::Zstd { .. } => Self::new_zstd().map_err(|_| CompressionError::Unavailable),
        }
    }

    fn new_zstd() -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
        Ok(Decompressor::Zstd(decoder))
    }

    fn is_zlib(&self) -> bool {
        matches!(self, Decompressor::Zlib(_))
    }

    fn is_for(&self, algorithm: Algorithm) -> bool {
        self.is_zlib() == matches!(algorithm, Algorithm::Zlib)
    }

    fn restarted(mut self) -> Result<Self, CompressionError> {
        match &mut self {
            Decompressor::Zlib(inflate) => inflate.reset(true),
            Decompressor::Zstd(decoder) => decoder.reinit().map_err(|_| CompressionError::Unavailable)?,
        }
        Ok(self)
    }

    pub fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, CompressionError> {
        match self {
            Decompressor::Zlib(inflate) => {
                let (read_before, written_before) = (inflate.total_in(), inflate.total_out());
                let status = inflate.decompress(input, output, FlushDecompress::None);
                let status = status.map_err(|_| CompressionError::Corrupt)?;
                // Both are within the slices.
                let read = (inflate.total_in() - read_before) as usize;
                let written = (inflate.total_out() - written_before) as usize;
                Ok(Step { read, written, ended: status == Status::StreamEnd })
            }
            Decompressor::Zstd(decoder) => {
                let status = decoder.run_on_buffers(input, output);
                let status = status.map_err(|_| CompressionError::Corrupt)?;
                // Zero is also the answer before the first byte of a frame.
                let ended = status.remaining == 0 && status.bytes_read + status.bytes_written > 0;
                Ok(Step { read: status.bytes_read, written: status.bytes_written, ended })
            }
        }
    }
}
