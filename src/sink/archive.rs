//! Rotated files: packed so that they can be searched, and read back whatever they are packed with.
//!
//! A file packed with zstd is in the seekable format: independent frames of whole lines, and a table of them in a skippable frame at
//! the end. Every reader of zstd reads it as usual; this one goes to the frame it wants. Gzip, and zstd of somebody else's making,
//! can only be read from the beginning.
//!
//! Nothing here knows what stands in a line, when a file is to be packed, or on which thread.

mod pack;
mod read;
mod table;
#[cfg(test)]
mod tests;

pub(in crate::sink) use pack::rename_to_new;
pub use pack::{Recovered, pack, recover};
pub use read::Archive;
