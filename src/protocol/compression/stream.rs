//! Plain protocol bytes into compressed packets, and back.

use std::rc::Rc;

use thiserror::Error;

use super::context::{Contexts, Decompressor};
use super::sequence::Sequence;

/// Bytes of a compressed packet's header.
pub const HEADER_LEN: usize = 7;

/// Content shorter than this is stored: compression would make it longer (servers and clients have the same limit).
pub const MIN_COMPRESS_LEN: usize = 50;

/// Plain bytes in one compressed packet, at most, of those that Athena sends. More would compress hardly better, and
/// the peer has to hold all of it at once.
pub const MAX_CONTENT: usize = 256 * 1024;

/// How content is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Zlib,
    /// `level` is the client's word, 1 to 22 in the protocol; zstd itself takes the nearest level that it has.
    Zstd {
        level: i32,
    },
}

/// Whose side of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Towards a client: commands arrive, replies are sent.
    Server,
    /// Towards a backend.
    Client,
}

/// A peer's compressed packets that make no sense. The connection can't go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CompressionError {
    #[error("compressed packet out of order: sequence id {found}, expected {expected}")]
    OutOfOrder { expected: u8, found: u8 },
    #[error("compressed content is corrupt")]
    Corrupt,
    #[error("compressed content is not of the {expected} bytes that its header says")]
    Length { expected: usize },
    #[error("no memory for a decompressor")]
    Unavailable,
}

/// Why [`Compression::decode`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// All of the input is used up.
    NeedsInput,
    /// All of the output is full, and the packet has more.
    NeedsOutput,
    /// A compressed packet has ended; what follows it is still in the input.
    PacketEnd,
}

/// What [`Compression::decode`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes at the front of the output.
    pub written: usize,
    pub progress: Progress,
}

/// The compression of one connection, both directions: they share the sequence ids.
#[derive(Debug)]
pub struct Compression {
    algorithm: Algorithm,
    role: Role,
    sequence: Sequence,
    /// The front of a plain packet's header that was sent so far: at most three bytes, in the role of the client only.
    held: Vec<u8>,
    incoming: Incoming,
    contexts: Rc<Contexts>,
}

/// Where the reader is in the peer's packets.
enum Incoming {
    Header { bytes: [u8; HEADER_LEN], have: usize },
    Stored { left: usize },
    Compressed { content: Content, decompressor: Decompressor },
}

/// The lengths of a compressed packet.
struct Content {
    /// Bytes of the packet not read yet.
    left_in: usize,
    /// Plain bytes to come.
    left_out: usize,
    /// Plain bytes that the header announced.
    len: usize,
}

impl Incoming {
    const START: Incoming = Incoming::Header { bytes: [0; HEADER_LEN], have: 0 };
}

impl Compression {
    /// For a connection whose login has just ended.
    pub fn new(algorithm: Algorithm, role: Role, contexts: Rc<Contexts>) -> Self {
        let (sequence, incoming) = (Sequence::new(role), Incoming::START);
        Compression { algorithm, role, sequence, held: Vec::new(), incoming, contexts }
    }

    /// Appends compressed packets with all of `plain` to `out`.
    ///
    /// `plain` may be cut anywhere. In the role of the client a header of which only a part is there yet is held back
    /// until the rest comes: what begins a command begins a compressed packet.
    pub fn encode(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        match self.role {
            Role::Server => self.encode_run(plain, false, out),
            Role::Client if self.held.is_empty() => self.encode_commands(plain, out),
            Role::Client => {
                let mut joined = std::mem::take(&mut self.held);
                joined.extend_from_slice(plain);
                self.encode_commands(&joined, out);
            }
        }
    }

    fn encode_commands(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        let mut rest = plain;
        loop {
            let (len, begins_command) = self.sequence.commands.run(rest);
            let (run, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            if run.is_empty() {
                self.held.extend_from_slice(after);
                return;
            }
            self.encode_run(run, begins_command, out);
            rest = after;
        }
    }

    fn encode_run(&mut self, run: &[u8], begins_command: bool, out: &mut Vec<u8>) {
        let mut begins_command = begins_command;
        for content in run.chunks(MAX_CONTENT) {
            let id = self.sequence.send(std::mem::take(&mut begins_command));
            self.encode_packet(content, id, out);
        }
    }

    fn encode_packet(&self, content: &[u8], id: u8, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_LEN]);
        let compressed =
            content.len() >= MIN_COMPRESS_LEN && self.contexts.compress(self.algorithm, content, out);
        if !compressed {
            out.extend_from_slice(content);
        }
        let len_before = if compressed { content.len() } else { 0 };
        // Both lengths are at most MAX_CONTENT, so they fit.
        let [a, b, c, ..] = (out.len() - start - HEADER_LEN).to_le_bytes();
        let [d, e, f, ..] = len_before.to_le_bytes();
        if let Some(header) = out.get_mut(start..start + HEADER_LEN) {
            header.copy_from_slice(&[a, b, c, id, d, e, f]);
        }
    }

    /// Takes bytes from the front of `input`, which may be cut anywhere, and writes the plain bytes in them to the front
    /// of `output`. Returns at the end of each compressed packet and never takes a byte of the next one, so that the
    /// sequence ids are right for a caller who answers one packet before it reads on.
    ///
    /// Plain bytes come out as soon as they can be told, before the check sum at the end of their packet was looked at.
    pub fn decode(&mut self, input: &mut &[u8], output: &mut [u8]) -> Result<Decoded, CompressionError> {
        let mut written = 0;
        loop {
            let room = output.get_mut(written..).unwrap_or_default();
            let (count, progress) = match &mut self.incoming {
                Incoming::Header { bytes, have } => {
                    for slot in bytes.iter_mut().skip(*have) {
                        let Some((&byte, rest)) = input.split_first() else { break };
                        (*slot, *input) = (byte, rest);
                        *have += 1;
                    }
                    if *have < HEADER_LEN {
                        return Ok(Decoded { written, progress: Progress::NeedsInput });
                    }
                    let header = *bytes;
                    self.begin(header)?;
                    continue;
                }
                Incoming::Stored { left } => copy_stored(left, input, room),
                Incoming::Compressed { content, decompressor } => {
                    decompress(content, decompressor, input, room)?
                }
            };
            if self.role == Role::Server {
                self.sequence.commands.run_over(room.get(..count).unwrap_or_default());
            }
            written += count;
            let Some(progress) = progress else { continue };
            if progress == Progress::PacketEnd {
                self.end();
            }
            return Ok(Decoded { written, progress });
        }
    }

    /// What the client sends next is a file that the server has asked for.
    pub fn file_begins(&mut self) {
        self.sequence.commands.file_begins();
    }

    /// Role of the client: the id of the last plain packet before the reply of which [`Compression::decode`] has just
    /// given the beginning; once.
    pub fn take_reply_begun(&mut self) -> Option<u8> {
        self.sequence.take_begun()
    }

    /// Between two compressed packets: the next byte is the first of a header.
    pub fn is_between_packets(&self) -> bool {
        matches!(self.incoming, Incoming::Header { have: 0, .. })
    }

    fn begin(&mut self, header: [u8; HEADER_LEN]) -> Result<(), CompressionError> {
        let [a, b, c, found, d, e, f] = header;
        let int = |low, middle, high| u32::from_le_bytes([low, middle, high, 0]) as usize;
        let (len, len_before) = (int(a, b, c), int(d, e, f));
        self.sequence.receive(found).map_err(|expected| CompressionError::OutOfOrder { expected, found })?;
        self.incoming = if len_before == 0 {
            Incoming::Stored { left: len }
        } else {
            let content = Content { left_in: len, left_out: len_before, len: len_before };
            Incoming::Compressed { content, decompressor: self.contexts.decompressor(self.algorithm)? }
        };
        Ok(())
    }

    fn end(&mut self) {
        if let Incoming::Compressed { decompressor, .. } =
            std::mem::replace(&mut self.incoming, Incoming::START)
        {
            self.contexts.give_back(decompressor);
        }
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Incoming::Header { .. } => "Header",
            Incoming::Stored { .. } => "Stored",
            Incoming::Compressed { .. } => "Compressed",
        })
    }
}

/// Returns the bytes written, and why it can't go on.
fn copy_stored(left: &mut usize, input: &mut &[u8], output: &mut [u8]) -> (usize, Option<Progress>) {
    let count = (*left).min(input.len()).min(output.len());
    let (taken, rest) = input.split_at_checked(count).unwrap_or_default();
    if let Some(target) = output.get_mut(..count) {
        target.copy_from_slice(taken);
    }
    *input = rest;
    *left -= count;
    let progress = match (*left, count == output.len()) {
        (0, _) => Progress::PacketEnd,
        (_, true) => Progress::NeedsOutput,
        (_, false) => Progress::NeedsInput,
    };
    (count, Some(progress))
}

/// One step of the decompressor; returns the bytes written, and why it can't go on if so.
fn decompress(
    content: &mut Content,
    decompressor: &mut Decompressor,
    input: &mut &[u8],
    output: &mut [u8],
) -> Result<(usize, Option<Progress>), CompressionError> {
    let wrong_length = CompressionError::Length { expected: content.len };
    let available = input.get(..content.left_in.min(input.len())).unwrap_or_default();
    // The end of a stream may still be unread when all of its content is out. More content has no place to go.
    let mut beyond = [0];
    let room = match content.left_out {
        0 => &mut beyond[..],
        left if left < output.len() => output.get_mut(..left).unwrap_or_default(),
        _ if output.is_empty() => return Ok((0, Some(Progress::NeedsOutput))),
        _ => output,
    };
    let step = decompressor.step(available, room)?;
    if step.written > content.left_out {
        return Err(wrong_length);
    }
    *input = input.get(step.read..).unwrap_or_default();
    content.left_in -= step.read;
    content.left_out -= step.written;
    if step.ended {
        return match content {
            Content { left_in: 0, left_out: 0, .. } => Ok((step.written, Some(Progress::PacketEnd))),
            _ => Err(wrong_length),
        };
    }
    if step.read > 0 || step.written > 0 {
        return Ok((step.written, None));
    }
    // Nothing moves: there is nothing to read, here or in the packet.
    match content.left_in {
        0 => Err(wrong_length),
        _ if input.is_empty() => Ok((0, Some(Progress::NeedsInput))),
        _ => Err(CompressionError::Corrupt),
    }
}
