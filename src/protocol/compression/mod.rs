//! The compressed protocol: plain packets travel inside compressed ones, with no regard for each other's borders.
//!
//! Protocol section: "Compression". A compressed packet has a header of seven bytes: the length of what follows
//! (`int<3>`), a sequence id of its own (`int<1>`) and the length before compression (`int<3>`), where 0 says that the
//! content is stored as it is. It holds any run of plain protocol bytes: a part of a packet, one, or many.
//! Both sides begin to speak it after the OK packet that ends the login.
//!
//! - [`stream`] frames and unframes for one connection.
//! - [`sequence`] knows which sequence ids come next; it looks into what a client sends to see where commands begin.
//! - [`numbering`] gives the plain packets inside the ids that they would have without compression.
//! - [`context`] holds the compressors and decompressors. They are large (zlib's takes some 260 KB, zstd's more), so
//!   the connections of a core share them, and one that waits holds none.

pub mod context;
mod numbering;
mod sequence;
pub mod stream;
#[cfg(test)]
mod tests;

pub use context::Contexts;
pub use numbering::Numbering;
pub use stream::{Algorithm, Compression, CompressionError, Decoded, Progress, Role};
