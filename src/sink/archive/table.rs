//! The table of frames at the end of a seekable zstd file, after `zstd_seekable_compression_format.md` of facebook/zstd.
//!
//! Computes on bytes; what the frames hold is of no concern to it.

use std::io;

/// Bytes in front of the entries: magic number and size of the skippable frame.
const HEADER: usize = 8;
/// What a skippable frame that holds a seek table begins with.
const SKIPPABLE: u32 = 0x184D_2A5E;
/// What a file with a seek table ends with.
const SEEKABLE: u32 = 0x8F92_EAB1;
/// Set where entries carry a checksum.
const CHECKSUMS: u8 = 1 << 7;
/// Bits of the descriptor that must be zero.
const RESERVED: u8 = 0b0111_1100;

/// Bytes at the end of the file that tell how long the table is.
pub(super) const FOOTER: usize = 9;

/// One frame, by its sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) packed: u32,
    pub(super) plain: u32,
}

/// The table of `frames`, to be appended to them.
pub(super) fn table(frames: &[Frame]) -> io::Result<Vec<u8>> {
    let too_many = |_| io::Error::new(io::ErrorKind::FileTooLarge, "too many frames for a seek table");
    let count = u32::try_from(frames.len()).map_err(too_many)?;
    let size = u32::try_from(frames.len() * 8 + FOOTER).map_err(too_many)?;
    let mut out = Vec::with_capacity(HEADER + frames.len() * 8 + FOOTER);
    let mut push = |number: u32| out.extend_from_slice(&number.to_le_bytes());
    push(SKIPPABLE);
    push(size);
    for frame in frames {
        push(frame.packed);
        push(frame.plain);
    }
    push(count);
    out.push(0);
    out.extend_from_slice(&SEEKABLE.to_le_bytes());
    Ok(out)
}

/// What the last bytes of a file tell of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footer {
    frames: usize,
    entry: usize,
}

impl Footer {
    /// Reads the last [`FOOTER`] bytes; `None` where they end no table.
    pub(super) fn parse(bytes: [u8; FOOTER]) -> Option<Self> {
        let descriptor = bytes[4];
        let known = number(&bytes[5..]) == Some(SEEKABLE) && descriptor & RESERVED == 0;
        let entry = if descriptor & CHECKSUMS == 0 { 8 } else { 12 };
        known.then_some(Self { frames: number(&bytes)? as usize, entry })
    }

    /// Bytes of the whole table, its header and footer included.
    pub(super) fn table_len(self) -> usize {
        HEADER + self.frames * self.entry + FOOTER
    }

    /// Reads the whole table.
    pub(super) fn frames(self, table: &[u8]) -> Option<Vec<Frame>> {
        let body = table.get(HEADER..table.len().checked_sub(FOOTER)?)?;
        let is_whole = table.len() == self.table_len()
            && number(table) == Some(SKIPPABLE)
            && number(&table[4..]) == u32::try_from(table.len() - HEADER).ok();
        let frame = |entry: &[u8]| Some(Frame { packed: number(entry)?, plain: number(&entry[4..])? });
        is_whole.then(|| body.chunks_exact(self.entry).map(frame).collect())?
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}
