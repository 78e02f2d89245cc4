//! A log file as a run of bytes, whatever it is packed with. Where the file allows it, reading goes on from any of them.
//!
//! Memory is bounded by a frame of the file; a file whose frames are larger than ours is read from its beginning.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use zstd::bulk::Decompressor;

use super::table::{FOOTER, Footer, Frame};
use crate::sink::rotation::Packing;

/// Bytes read at once where there are no frames.
const BLOCK: usize = 32 * 1024;
/// Frames up to this size in bytes are unpacked as a whole: those written here are of 1 MiB, other programs' may be larger.
const MAX_FRAME: u32 = 16 << 20;

/// A log file, open for reading.
///
/// Positions are those of the unpacked bytes.
pub struct Archive {
    form: Form,
    /// Position of the first byte of `buffer`.
    start: u64,
    buffer: Vec<u8>,
    /// How much of `buffer` has been consumed.
    used: usize,
    /// Bytes unpacked so far.
    read: u64,
}

enum Form {
    Plain(File),
    Frames { file: File, frames: Frames, decompressor: Decompressor<'static> },
    Stream { file: File, packing: Packing, decoder: Box<dyn Read + Send> },
}

/// Where the frames of a file begin, and last where they end.
struct Frames(Vec<Offsets>);

#[derive(Clone, Copy)]
struct Offsets {
    packed: u64,
    plain: u64,
}

impl Archive {
    /// Opens the file at `path`, whose name tells how it is packed.
    ///
    /// # Errors
    /// Those of open(2) and read(2), and `InvalidData` where the file is not what its name says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let is = |packing: &Packing| name.ends_with(packing.suffix().as_bytes());
        let packed = [Packing::Zstd, Packing::Gzip].into_iter().find(is);
        Self::of(file, packed.unwrap_or(Packing::Plain))
    }

    /// The contents of `file`, which is packed so.
    ///
    /// # Errors
    /// Those of read(2), and `InvalidData` where the file is packed otherwise.
    pub fn of(file: File, packing: Packing) -> io::Result<Self> {
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let form = match packing {
            Packing::Plain => Form::Plain(file),
            Packing::Gzip => Form::stream(file, packing)?,
            Packing::Zstd => match Frames::read(&file)? {
                Some(frames) => Form::Frames { file, frames, decompressor: Decompressor::new()? },
                None => Form::stream(file, packing)?,
            },
        };
        Ok(Self { form, start: 0, buffer: Vec::new(), used: 0, read: 0 })
    }

    /// Size in bytes, unpacked; `None` where only reading everything would tell.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn size(&self) -> io::Result<Option<u64>> {
        match &self.form {
            Form::Plain(file) => Ok(Some(file.metadata()?.len())),
            Form::Frames { frames, .. } => Ok(Some(frames.end().plain)),
            Form::Stream { .. } => Ok(None),
        }
    }

    /// Size in bytes, unpacked, if everything has to be read for it.
    pub(super) fn whole_size(mut self) -> io::Result<u64> {
        match self.size()? {
            Some(size) => Ok(size),
            None => io::copy(&mut self, &mut io::sink()),
        }
    }

    /// Position of the next byte.
    pub fn position(&self) -> u64 {
        self.start + self.used as u64
    }

    /// Bytes that were unpacked so far, or read where nothing is packed.
    pub fn bytes_read(&self) -> u64 {
        self.read
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        match &self.form {
            Form::Plain(file) | Form::Frames { file, .. } | Form::Stream { file, .. } => file,
        }
    }

    /// Goes to `position`. What cannot be read from there is read from the beginning, or from where it is.
    ///
    /// # Errors
    /// Those of reading.
    pub fn seek(&mut self, position: u64) -> io::Result<()> {
        let end = self.start + self.buffer.len() as u64;
        if (self.start..=end).contains(&position) {
            self.used = (position - self.start) as usize;
            return Ok(());
        }
        if let Form::Stream { file, packing, .. } = &self.form {
            if position < self.start {
                self.form = Form::stream(file.try_clone()?, *packing)?;
                (self.start, self.used) = (0, 0);
                self.buffer.clear();
            }
            return self.skip_to(position);
        }
        (self.start, self.used) = (position, 0);
        self.buffer.clear();
        Ok(())
    }

    fn skip_to(&mut self, position: u64) -> io::Result<()> {
        while self.position() < position {
            let left = position - self.position();
            let here = self.fill_buf()?.len();
            if here == 0 {
                return Ok(());
            }
            self.consume(left.min(here as u64) as usize);
        }
        Ok(())
    }

    /// Replaces the buffer, of which nothing is left, by what comes after it.
    fn refill(&mut self) -> io::Result<()> {
        let at = self.position();
        let (start, used) = match &mut self.form {
            Form::Plain(file) => {
                self.buffer.resize(BLOCK, 0);
                let read = retried(|| file.read_at(&mut self.buffer, at));
                self.buffer.truncate(*read.as_ref().unwrap_or(&0));
                read.map(|_| (at, 0))?
            }
            Form::Stream { decoder, .. } => {
                self.buffer.resize(BLOCK, 0);
                let read = retried(|| decoder.read(&mut self.buffer));
                self.buffer.truncate(*read.as_ref().unwrap_or(&0));
                read.map(|_| (at, 0))?
            }
            Form::Frames { file, frames, decompressor } => {
                self.buffer.clear();
                match frames.at(at) {
                    Some((from, to)) => {
                        unpack(file, from, to, decompressor, &mut self.buffer)?;
                        (from.plain, (at - from.plain) as usize)
                    }
                    None => (at, 0),
                }
            }
        };
        (self.start, self.used) = (start, used);
        self.read += self.buffer.len() as u64;
        Ok(())
    }
}

impl BufRead for Archive {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used >= self.buffer.len() {
            // Where it fails, the position stays what it was.
            let at = self.position();
            if let Err(error) = self.refill() {
                (self.start, self.used) = (at, 0);
                self.buffer.clear();
                return Err(error);
            }
        }
        Ok(&self.buffer[self.used..])
    }

    fn consume(&mut self, amount: usize) {
        self.used = (self.used + amount).min(self.buffer.len());
    }
}

impl Read for Archive {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

impl Form {
    fn stream(file: File, packing: Packing) -> io::Result<Self> {
        let source = FromStart { file: file.try_clone()?, at: 0 };
        let decoder: Box<dyn Read + Send> = match packing {
            Packing::Gzip => Box::new(MultiGzDecoder::new(source)),
            Packing::Zstd => Box::new(zstd::Decoder::new(source)?),
            Packing::Plain => Box::new(source),
        };
        Ok(Self::Stream { file, packing, decoder })
    }
}

/// Reads a file from its beginning, wherever others who hold it may be.
struct FromStart {
    file: File,
    at: u64,
}

impl Read for FromStart {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(out, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Frames {
    /// The frames of `file`; `None` where it has no table of them, or where a single one would take too much memory.
    fn read(file: &File) -> io::Result<Option<Self>> {
        let size = file.metadata()?.len();
        let mut footer = [0; FOOTER];
        let Some(at) = size.checked_sub(FOOTER as u64) else { return Ok(None) };
        file.read_exact_at(&mut footer, at)?;
        let Some(footer) = Footer::parse(footer) else { return Ok(None) };
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the table of its frames is damaged");
        let at = size.checked_sub(footer.table_len() as u64).ok_or_else(damaged)?;
        let mut table = vec![0; footer.table_len()];
        file.read_exact_at(&mut table, at)?;
        let frames = footer.frames(&table).ok_or_else(damaged)?;
        let starts = Self::of(&frames);
        if starts.end().packed != at {
            return Err(damaged());
        }
        let is_small = |frame: &Frame| frame.packed.max(frame.plain) <= MAX_FRAME;
        Ok(frames.iter().all(is_small).then_some(starts))
    }

    fn of(frames: &[Frame]) -> Self {
        let mut next = Offsets { packed: 0, plain: 0 };
        let mut offsets = vec![next];
        for frame in frames {
            next.packed += u64::from(frame.packed);
            next.plain += u64::from(frame.plain);
            offsets.push(next);
        }
        Self(offsets)
    }

    fn end(&self) -> Offsets {
        self.0.last().copied().unwrap_or(Offsets { packed: 0, plain: 0 })
    }

    /// Beginning and end of the frame that holds the byte at `position`.
    fn at(&self, position: u64) -> Option<(Offsets, Offsets)> {
        let next = self.0.partition_point(|frame| frame.plain <= position);
        Some((*self.0.get(next.checked_sub(1)?)?, *self.0.get(next)?))
    }
}

/// Appends what the bytes of `file` between `from` and `to` hold.
fn unpack(
    file: &File,
    from: Offsets,
    to: Offsets,
    decompressor: &mut Decompressor,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let mut packed = vec![0; (to.packed - from.packed) as usize];
    let size = (to.plain - from.plain) as usize;
    file.read_exact_at(&mut packed, from.packed)?;
    out.reserve_exact(size);
    let unpacked = decompressor.decompress_to_buffer(&packed, out)?;
    if unpacked != size {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is not as long as the table says"));
    }
    Ok(())
}

fn retried<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
