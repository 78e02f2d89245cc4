//! Lines of a file, and the place in it from which on they are of a certain time, found without reading what lies before.
//!
//! Knows nothing of what is wanted: whoever searches tells whether a moment lies before the place.

use std::io::{self, BufRead, Read};

use crate::sink::archive::Archive;
use crate::sink::line::{Moment, Parser};

/// Bytes of a line that are looked at, and held, at once. Lines of ours have some hundred.
pub(super) const MAX_LINE: usize = 64 * 1024;
/// A stretch of this many bytes is read through; halving it once more would cost as much.
const NEAR: u64 = 64 * 1024;
/// Bytes of a file in which its first stamp must be found for the file to take part in the search.
const HEAD: u64 = 1 << 20;

/// Reads a file line by line.
pub(super) struct Lines {
    archive: Archive,
    line: Vec<u8>,
    /// Whether the next bytes belong to a line whose beginning has been read.
    is_within: bool,
}

/// A line, or a part of one that is too long.
pub(super) struct Piece<'a> {
    /// Position of its first byte.
    pub(super) at: u64,
    /// Its text, with the newline if it has one.
    pub(super) text: &'a [u8],
    /// Whether a line begins with it.
    pub(super) begins: bool,
}

impl Piece<'_> {
    /// Whether the rest of its line may still be to come.
    pub(super) fn is_unfinished(&self) -> bool {
        self.text.last() != Some(&b'\n') && self.text.len() < MAX_LINE
    }
}

impl Lines {
    pub(super) fn new(archive: Archive) -> Self {
        Self { archive, line: Vec::new(), is_within: false }
    }

    pub(super) fn archive(&self) -> &Archive {
        &self.archive
    }

    /// The next line, `None` at the end of the file.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece<'_>>> {
        let at = self.archive.position();
        self.line.clear();
        self.archive.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut self.line)?;
        let begins = !self.is_within;
        if self.line.is_empty() {
            return Ok(None);
        }
        self.is_within = self.line.last() != Some(&b'\n');
        Ok(Some(Piece { at, text: &self.line, begins }))
    }

    /// Goes to a position at which a line begins.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn seek(&mut self, at: u64) -> io::Result<()> {
        self.is_within = false;
        self.archive.seek(at)
    }

    /// Goes back to a piece that is to be read again when there is more of it.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn unread(&mut self, at: u64, begins: bool) -> io::Result<()> {
        self.is_within = !begins;
        self.archive.seek(at)
    }

    /// Goes to the first line that begins at `at` or later.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn seek_line(&mut self, at: u64) -> io::Result<()> {
        let Some(before) = at.checked_sub(1) else { return self.seek(0) };
        self.seek(before)?;
        while self.next()?.is_some_and(|piece| piece.text.last() != Some(&b'\n')) {}
        self.is_within = false;
        Ok(())
    }

    /// Position and time of the first line with a stamp that begins at `from` or later and before `end`.
    fn first_moment(&mut self, parser: &mut Parser, from: u64, end: u64) -> io::Result<Option<(u64, Moment)>> {
        self.seek_line(from)?;
        while let Some(piece) = self.next()?.filter(|piece| piece.at < end) {
            if let Some(moment) = parser.moment(piece.text).filter(|_| piece.begins) {
                return Ok(Some((piece.at, moment)));
            }
        }
        Ok(None)
    }

    /// Time of the first line, if it has one.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn beginning(&mut self, parser: &mut Parser) -> io::Result<Option<Moment>> {
        Ok(self.first_moment(parser, 0, HEAD)?.map(|(_, moment)| moment))
    }

    /// Where the lines that lie `before` end: there is none of them after the second position, and nothing but them before the
    /// first, at which a line begins. A file that cannot be searched is told as a whole.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn boundary(&mut self, parser: &mut Parser, before: impl Fn(Moment) -> bool) -> io::Result<(u64, u64)> {
        let Some(mut end) = self.archive.size()? else { return Ok((0, u64::MAX)) };
        let mut begin = 0;
        while end - begin > NEAR {
            let middle = begin + (end - begin) / 2;
            match self.first_moment(parser, middle, end)? {
                Some((at, moment)) if before(moment) => begin = at,
                Some(_) | None => end = middle,
            }
        }
        Ok((begin, end))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use chrono::Local;
    use tempfile::TempDir;

    use super::*;
    use crate::monitor::time::Wall;
    use crate::sink::archive::pack;
    use crate::sink::line::StampFormat;
    use crate::sink::rotation::Packing;

    /// A line every 10 ms, with their times as milliseconds since the epoch.
    fn text(lines: u64) -> Vec<u8> {
        let line =
            |i: u64| format!("{}.{:03} 64 bytes from ::1: icmp_seq={i} ttl=64 time=0.040 ms\n", i / 100, i % 100 * 10);
        (0..lines).flat_map(|i| line(i).into_bytes()).collect()
    }

    fn lines(dir: &TempDir, text: &[u8], packing: Packing) -> Lines {
        let path = dir.path().join("a.log");
        fs::write(&path, text).expect("written");
        Lines::new(Archive::open(&pack(&path, packing, &|| false).expect("packed")).expect("opened"))
    }

    fn parser() -> Parser {
        Parser::new(&[StampFormat::new("unix").expect("a format")], Local)
    }

    fn at(millis: i64) -> Wall {
        Wall::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn a_time_is_found_without_reading_what_lies_before() {
        // 20 MB; 40 kB are looked at for each halving of a plain file, and a frame of 1 MiB for each of a packed one.
        let text = text(300_000);
        for (packing, bound) in [(Packing::Plain, 1_500_000), (Packing::Zstd, 9 << 20)] {
            let dir = tempfile::tempdir().expect("a directory");
            let mut lines = lines(&dir, &text, packing);
            let wanted = at(2_000_000);
            let (begin, end) = lines.boundary(&mut parser(), |moment| moment.latest < wanted).expect("found");
            lines.seek(begin).expect("there");
            let first = loop {
                let piece = lines.next().expect("read").expect("a line");
                if parser().moment(piece.text).expect("a stamp").latest >= wanted {
                    break piece.at;
                }
            };
            assert!(text[first as usize..].starts_with(b"2000.000 64 bytes"));
            assert!(begin <= first && first <= end && end - begin <= NEAR, "{begin} {first} {end}");
            let read = lines.archive().bytes_read();
            assert!(read < bound && read < text.len() as u64 / 2, "{packing:?}: {read} bytes of {}", text.len());
        }
    }

    #[test]
    fn the_ends_of_a_file_are_found() {
        let text = text(30_000);
        let dir = tempfile::tempdir().expect("a directory");
        let mut lines = lines(&dir, &text, Packing::Plain);
        assert_eq!(lines.boundary(&mut parser(), |_| false).expect("found").0, 0);
        assert_eq!(lines.boundary(&mut parser(), |_| true).expect("found").1, text.len() as u64);
    }

    #[test]
    fn lines_without_a_stamp_are_no_obstacle() {
        let foreign = "-- MARK --\n".repeat(20_000);
        let text = [&text(10_000)[..], foreign.as_bytes(), &text(20_000)[text(10_000).len()..]].concat();
        let dir = tempfile::tempdir().expect("a directory");
        let mut lines = lines(&dir, &text, Packing::Plain);
        for wanted in [50_000, 99_990, 100_000, 150_000] {
            let (begin, end) = lines.boundary(&mut parser(), |moment| moment.latest < at(wanted)).expect("found");
            let line = format!("\n{}.{:03} ", wanted / 1000, wanted % 1000);
            let place = text.windows(line.len()).position(|w| w == line.as_bytes()).expect("there") as u64 + 1;
            assert!(begin <= place && place <= end + foreign.len() as u64, "{begin} {place} {end}");
        }
    }

    #[test]
    fn a_line_of_any_length_takes_bounded_memory() {
        let text = [vec![b'x'; 3 * MAX_LINE + 5], b"\n".to_vec(), b"1.000 after\n".to_vec(), b"torn".to_vec()].concat();
        let dir = tempfile::tempdir().expect("a directory");
        let mut lines = lines(&dir, &text, Packing::Plain);
        let mut seen = Vec::new();
        while let Some(piece) = lines.next().expect("read") {
            seen.push((piece.text.len(), piece.begins, piece.is_unfinished()));
        }
        let long = |begins| (MAX_LINE, begins, false);
        assert_eq!(seen, [long(true), long(false), long(false), (6, false, false), (12, true, false), (4, true, true)]);
        lines.seek_line(10).expect("found");
        assert_eq!(lines.next().expect("read").expect("a line").text, b"1.000 after\n");
    }
}
