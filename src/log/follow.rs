//! Lines as they come: the live file, and whichever takes its place.
//!
//! A file that has lost its name is read to its end before another is begun, and files that came and went between two looks are
//! read in between.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::files::{self, Key, Listing, Log};
use super::search::Lines;
use super::show::{Flow, Judge, Printer};
use super::{Complain, Error};
use crate::sink::archive::Archive;
use crate::sink::rotation::Packing;

/// Bytes by which a file is known again after it was packed: some dozen lines, each with its stamp.
const FACE: usize = 4096;

/// How often is looked for lines. Nobody sees a fifth of a second, and a look costs some microseconds.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// Waits until it is time to look for lines again. Breaks as soon as nobody reads `out`.
pub fn pause(out: impl AsFd) -> ControlFlow<()> {
    // Nothing is asked for but what is always told: that the other end has gone.
    let mut ends = [PollFd::new(&out, PollFlags::empty())];
    match poll(&mut ends, Some(&LOOK_EVERY)) {
        Ok(1..) => ControlFlow::Break(()),
        Ok(0) | Err(_) => ControlFlow::Continue(()),
    }
}

/// A log that is followed.
pub(super) struct Follower {
    log: Log,
    /// Rotated files that are not to be read, or have been.
    known: BTreeSet<Key>,
    /// The file that was live when last looked at.
    current: Option<Lines>,
}

impl Follower {
    /// Follows `log` from where `current`, its live file, has been read to. The rotated files `known` are done with.
    pub(super) fn new(log: Log, known: BTreeSet<Key>, current: Option<Lines>) -> Self {
        Self { log, known, current }
    }

    /// Shows what has come since the last look.
    ///
    /// # Errors
    /// Those of writing, and of reading the live file.
    pub(super) fn look(&mut self, judge: &mut Judge, printer: &mut Printer, complain: Complain) -> Result<Flow, Error> {
        // Before reading, so that what was written before the name went is read.
        let named = self.log.live_identity().map_err(|error| self.failed(error))?;
        if let Some(current) = &mut self.current {
            restart_if_cut(current).map_err(|error| Error::File(self.log.live_path(), error))?;
            if show_whole(current, judge, printer, &self.log)? == Flow::Past {
                return Ok(Flow::Past);
            }
            let identity = files::identity(current.archive().file()).map_err(|error| self.failed(error))?;
            if named == Some(identity) {
                return Ok(Flow::More);
            }
        }
        match named {
            Some(_) => self.go_on(judge, printer, complain),
            // Somebody may still write to the file, whatever became of its name.
            None => Ok(Flow::More),
        }
    }

    /// Goes over to the file that has the live file's name, by way of those that had it in between.
    fn go_on(&mut self, judge: &mut Judge, printer: &mut Printer, complain: Complain) -> Result<Flow, Error> {
        let Listing { rotated, live, .. } = self.log.list().map_err(|error| self.failed(error))?;
        let Some(live) = live else { return Ok(Flow::More) };
        let is_empty = live.metadata().is_ok_and(|meta| meta.len() == 0);
        if is_empty && self.current.is_some() {
            // Whoever moved the file may have made an empty one in its place, long before the writer knows.
            return Ok(Flow::More);
        }
        if let Some(mut done) = self.current.take() {
            if show_all(&mut done, judge, printer, &self.log)? == Flow::Past {
                return Ok(Flow::Past);
            }
            self.current = Some(done);
        }
        // logrotate(8) gives old files new numbers; it does not rotate twice between two looks.
        let is_new = |key: &Key| !matches!(key, Key::Numbered(_)) && !self.known.contains(key);
        for file in rotated.iter().filter(|file| is_new(&file.key)) {
            match file.open() {
                Ok(None) => {}
                Ok(Some(archive)) if self.is_current(&archive) => {}
                Ok(Some(archive)) => match show_all(&mut Lines::new(archive), judge, printer, &self.log) {
                    Err(Error::File(_, error)) => complain(&Error::File(file.path().to_owned(), error)),
                    Ok(Flow::More) => {}
                    ended => return ended,
                },
                Err(error) => complain(&Error::File(file.path().to_owned(), error)),
            }
        }
        self.known = rotated.into_iter().map(|file| file.key).collect();
        let archive = Archive::of(live, Packing::Plain).map_err(|error| self.failed(error))?;
        show_whole(self.current.insert(Lines::new(archive)), judge, printer, &self.log)
    }

    /// Whether a rotated file is the one that was live, packed or not.
    fn is_current(&self, rotated: &Archive) -> bool {
        let Some(current) = self.current.as_ref().map(|lines| lines.archive().file()) else { return false };
        let same_file = || Some(files::identity(current).ok()? == files::identity(rotated.file()).ok()?);
        let has_gone = || current.metadata().is_ok_and(|meta| meta.nlink() == 0);
        same_file() == Some(true) || has_gone() && same_face(current, rotated.file(), rotated).unwrap_or(false)
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::File(self.log.live_path(), error)
    }
}

/// Whether two files begin alike.
fn same_face(current: &File, packed: &File, rotated: &Archive) -> io::Result<bool> {
    let mut face = vec![0; FACE];
    let mut len = 0;
    while let read @ 1.. = current.read_at(&mut face[len..], len as u64)? {
        len += read;
    }
    face.truncate(len);
    let mut other = Vec::new();
    let archive = Archive::of(packed.try_clone()?, rotated.packing())?;
    archive.take(FACE as u64).read_to_end(&mut other)?;
    Ok(len > 0 && face == other)
}

/// A file that has become shorter than what was read of it is read from its beginning.
fn restart_if_cut(lines: &mut Lines) -> io::Result<()> {
    let archive = lines.archive();
    if archive.file().metadata()?.len() < archive.position() {
        *lines = Lines::new(Archive::of(archive.file().try_clone()?, Packing::Plain)?);
    }
    Ok(())
}

/// Shows the lines that are there as a whole.
fn show_whole(lines: &mut Lines, judge: &mut Judge, printer: &mut Printer, log: &Log) -> Result<Flow, Error> {
    let failed = |error| Error::File(log.live_path(), error);
    while let Some(piece) = lines.next().map_err(failed)? {
        if piece.is_unfinished() {
            let (at, begins) = (piece.at, piece.begins);
            lines.unread(at, begins).map_err(failed)?;
            break;
        }
        if printer.show(&piece, judge).map_err(Error::Output)? == Flow::Past {
            return Ok(Flow::Past);
        }
    }
    Ok(Flow::More)
}

/// Shows all lines to the end of the file, where the last may be torn.
fn show_all(lines: &mut Lines, judge: &mut Judge, printer: &mut Printer, log: &Log) -> Result<Flow, Error> {
    while let Some(piece) = lines.next().map_err(|error| Error::File(log.live_path(), error))? {
        if printer.show(&piece, judge).map_err(Error::Output)? == Flow::Past {
            return Ok(Flow::Past);
        }
    }
    printer.end_line().map_err(Error::Output)?;
    Ok(Flow::More)
}
