//! A file of whole lines: a buffer, a way to open the file, and what is known of its trouble.
//!
//! Lines are rendered into the buffer and leave it by write(2). What an error leaves behind stays there and is tried again. A line
//! that was cut off is taken back where the file is ours alone; elsewhere it is continued, or begun anew where the file has become
//! another. This module sets the bounds, but when to write, when to rotate, and whom to tell, is the output's to say.

use std::borrow::Cow;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use lru::LruCache;
use nix::errno::Errno;

use super::directory::{Directory, Inode, inode_of};
use super::queue::{Gap, Steps};
use crate::monitor::target::Name;
use crate::sink::line::{Missing, Renderer};
use crate::sink::rotation::Begun;
use crate::stall;

/// Bytes a file's buffer takes before it is written: from here on a larger write(2) costs no less per line.
pub(super) const MAX_PENDING: usize = 256 * 1024;
/// Bytes that all files together may keep for later, so that neither one nor ten thousand targets on a full disk fill the memory too.
pub(super) const MAX_KEPT: usize = 16 * 1024 * 1024;
/// Bytes of an empty buffer that stay allocated: some lines, times a hundred thousand targets.
const IDLE_BUFFER: usize = 256;
/// How far from its end the last whole line of a file is looked for. No line of ours comes near it.
const LONGEST_LINE: u64 = 1024 * 1024;

/// Which output, and which of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileId(pub(super) usize, pub(super) usize);

/// The files that are open, the least recently written first to be closed.
pub(super) type OpenFiles = LruCache<FileId, Opened>;

/// An open file, and which it is: its path may lead to another one day.
#[derive(Debug)]
pub(super) struct Opened {
    file: File,
    inode: Inode,
}

/// What it takes to write.
pub(super) struct Access<'a> {
    pub(super) open: &'a mut OpenFiles,
    /// The directory, where it is ours.
    pub(super) home: Option<&'a Directory>,
    /// Counts looks at what became of the files.
    pub(super) look: u32,
    /// Counts what the disk has answered.
    pub(super) steps: &'a Steps,
}

/// A file of whole lines.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) id: FileId,
    pub(super) way: Way,
    /// Whose file it is, where it is not shared.
    target: Option<Name>,
    /// Whole lines that are not all in the file yet.
    pub(super) pending: Vec<u8>,
    /// Bytes of `pending` that are.
    done: usize,
    /// Whether the file has been seen to end with a whole line, or made to.
    pub(super) checked: bool,
    /// Whether lines were rendered since the last write.
    pub(super) dirty: bool,
    pub(super) failure: Option<Failure>,
    /// Bytes in the file, as far as is known.
    pub(super) size: u64,
    /// When the file was begun; `None` while it is empty, and before it was opened.
    pub(super) begun: Option<Begun>,
    /// Whether it is known what the file held before.
    pub(super) learned: bool,
    /// Bytes that were written to it, to be taken note of.
    pub(super) gained: u64,
    /// Whether something was written that was not synced since.
    pub(super) unsynced: bool,
    /// At which look it was last tried in vain to rotate the file.
    pub(super) not_rotated: Option<u32>,
    /// Bytes in the file before the first write after a look, and which look that was.
    mark: (u32, u64),
}

/// Why a file cannot be written, and what it lacks by now.
#[derive(Debug)]
pub(super) struct Failure {
    cause: Cow<'static, str>,
    gap: Option<Gap>,
}

impl LogFile {
    pub(super) fn new(id: FileId, way: Way, target: Option<Name>) -> Self {
        Self {
            id,
            way,
            target,
            pending: Vec::new(),
            done: 0,
            checked: false,
            dirty: false,
            failure: None,
            size: 0,
            begun: None,
            learned: false,
            gained: 0,
            unsynced: false,
            not_rotated: None,
            mark: (0, 0),
        }
    }

    /// Whether a line may be rendered. Once one was given up, all are until that can be told of: the file keeps its order.
    pub(super) fn has_room(&self, kept: usize) -> bool {
        if self.is_closed() {
            return false;
        }
        self.failure.as_ref().is_none_or(|failure| failure.gap.is_none() && kept < MAX_KEPT)
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.way, Way::Closed)
    }

    pub(super) fn is_broken_pipe(&self, error: &io::Error) -> bool {
        matches!(self.way, Way::Stream(_)) && error.kind() == io::ErrorKind::BrokenPipe
    }

    /// Takes note of an error; says whether the file was fine before.
    pub(super) fn fail(&mut self, cause: Cow<'static, str>) -> bool {
        let gap = self.failure.as_ref().and_then(|failure| failure.gap);
        self.failure.replace(Failure { cause, gap }).is_none()
    }

    /// Forgets what is pending, and that it failed.
    pub(super) fn discard(&mut self) {
        self.pending = Vec::new();
        self.done = 0;
        self.failure = None;
    }

    /// Counts lines that a failing file will have to tell of.
    pub(super) fn widen(&mut self, gap: Gap) {
        if let Some(failure) = &mut self.failure {
            failure.gap = Some(failure.gap.map_or(gap, |known| known.join(gap)));
        }
    }

    pub(super) fn note(&mut self, gap: Gap, cause: &str, renderer: &mut Renderer) {
        let Gap { count, first, last } = gap;
        let (target, label) = (self.target.as_ref(), self.way.label());
        renderer.missing(&Missing { target, label: &label, count, first, last, cause }, &mut self.pending);
    }

    /// Writes what is pending, and then tells of what was given up before.
    pub(super) fn write(&mut self, renderer: &mut Renderer, access: &mut Access) -> io::Result<()> {
        self.write_out(access)?;
        match self.failure.as_mut().and_then(|failure| Some((failure.gap.take()?, failure.cause.clone()))) {
            Some((gap, cause)) => {
                self.note(gap, &cause, renderer);
                self.write_out(access)
            }
            None => Ok(()),
        }
    }

    /// Opens the file unless it is, so that what it held before is known.
    pub(super) fn ensure_open(&mut self, access: &mut Access) -> io::Result<()> {
        access.open.try_get_or_insert(self.id, || self.open(access.home, access.steps)).map(drop)
    }

    /// Writes what is pending; after an error the lines that were not written whole remain.
    fn write_out(&mut self, access: &mut Access) -> io::Result<()> {
        let result = self.write_pending(access);
        let whole_lines = whole_lines(&self.pending[..self.done]);
        self.pending.drain(..whole_lines);
        self.done -= whole_lines;
        if self.pending.is_empty() {
            // A file that all share is written all the time.
            self.pending.shrink_to(if self.target.is_some() { IDLE_BUFFER } else { MAX_PENDING });
        }
        result
    }

    fn write_pending(&mut self, access: &mut Access) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let Opened { file, .. } = access.open.try_get_or_insert(self.id, || self.open(access.home, access.steps))?;
        if let Some(path) = self.way.file()
            && self.done > 0
            && !ends_torn(file, path)
        {
            // Somebody has cut the file: the line that was being written begins anew.
            self.done = 0;
        }
        if self.mark.0 != access.look {
            self.mark = (access.look, self.size);
        }
        let mut file: &File = file;
        while self.done < self.pending.len() {
            stall::slow_down();
            let written = file.write(&self.pending[self.done..]);
            access.steps.step();
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.done += count;
                    self.size += count as u64;
                    self.gained += count as u64;
                    self.unsynced = true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.take_back(file);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Takes a line that was cut off out of the file again, where nobody else writes to it.
    fn take_back(&mut self, file: &File) {
        let cut = self.done - whole_lines(&self.pending[..self.done]);
        if !matches!(self.way, Way::Own(_)) || cut == 0 {
            return;
        }
        let without = file.metadata().ok().and_then(|meta| meta.len().checked_sub(cut as u64));
        if without.is_some_and(|len| file.set_len(len).is_ok()) {
            self.done -= cut;
            self.size = self.size.saturating_sub(cut as u64);
            self.gained = self.gained.saturating_sub(cut as u64);
        }
    }

    fn open(&mut self, home: Option<&Directory>, steps: &Steps) -> io::Result<Opened> {
        let path = match &self.way {
            Way::Own(path) | Way::Path(path) => path,
            Way::Stream(stream) => return Ok(Opened { file: stream.try_clone()?, inode: (0, 0) }),
            Way::Closed => return Err(io::ErrorKind::BrokenPipe.into()),
        };
        home.map_or(Ok(()), Directory::ensure).inspect_err(|_| steps.step())?;
        let opened = open_append(path);
        steps.step();
        let file = opened?;
        if self.done > 0 || !self.checked {
            let torn = ends_torn(&file, path);
            if !(torn && self.done == 0 && matches!(self.way, Way::Own(_)) && cut_torn(&file, path)) {
                self.join(torn);
            }
            self.checked = true;
        }
        let meta = file.metadata()?;
        let size = if meta.is_file() { meta.len() } else { 0 };
        if size == 0 && self.size > 0 {
            // It has become another while it was closed.
            self.begun = None;
        }
        self.size = size;
        self.learned |= size == 0;
        Ok(Opened { file, inode: inode_of(&meta) })
    }

    /// Makes what is pending follow on what the file holds.
    fn join(&mut self, torn: bool) {
        if self.done > 0 && !torn {
            // The line that was being written began in another file.
            self.done = 0;
        } else if self.done == 0 && torn && !self.pending.starts_with(b"\n") {
            self.pending.insert(0, b'\n');
        }
    }

    /// Looks whether the path still leads to the open file. Where it does not, the file is closed, and what was written to a deleted
    /// one since the last look is to be written again; returns how many bytes that are.
    pub(super) fn look(&mut self, open: &mut OpenFiles, look: u32) -> Option<u64> {
        let path = self.way.file()?;
        let opened = open.peek(&self.id)?;
        if fs::metadata(path).is_ok_and(|meta| inode_of(&meta) == opened.inode) {
            return None;
        }
        let since = if self.mark.0 == look { self.mark.1 } else { self.size };
        // Before what is pending; a file that was only moved has its lines still, and one that others write to is not ours to save.
        let saved = match self.way {
            Way::Own(_) => saved(&opened.file, since).unwrap_or_default(),
            Way::Path(_) | Way::Stream(_) | Way::Closed => Vec::new(),
        };
        let saved = &saved[..whole_lines(&saved)];
        self.pending.splice(0..0, saved.iter().copied());
        self.done = 0;
        open.pop(&self.id);
        self.forget();
        Some(saved.len() as u64)
    }

    /// Looks how large the open file is: somebody may have cut it, as logrotate's copytruncate does.
    pub(super) fn measure(&mut self, open: &OpenFiles) {
        let len = open.peek(&self.id).and_then(|opened| opened.file.metadata().ok()).map(|meta| meta.len());
        if let Some(len) = len.filter(|len| *len < self.size) {
            self.size = len;
            if len == 0 {
                self.begun = None;
            }
        }
    }

    /// Whether this is the file that is open, if it is.
    pub(super) fn is(&self, meta: &Metadata, open: &OpenFiles) -> bool {
        open.peek(&self.id).is_none_or(|opened| opened.inode == inode_of(meta))
    }

    /// Forgets what is known of the file, which is to become another.
    pub(super) fn forget(&mut self) {
        (self.size, self.begun, self.learned, self.checked, self.unsynced) = (0, None, false, false, false);
        self.mark = (0, 0);
    }
}

/// Bytes of the whole lines that a text begins with.
fn whole_lines(text: &[u8]) -> usize {
    text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1)
}

/// What a file that was deleted holds from an offset on. It is reached by its descriptor, for it has no name any more (proc(5)).
fn saved(file: &File, since: u64) -> io::Result<Vec<u8>> {
    let meta = file.metadata()?;
    let mut saved = Vec::new();
    // One that is shorter was cut since: all that is in it was written after that.
    let since = if meta.len() < since { 0 } else { since };
    if meta.is_file() && meta.nlink() == 0 && meta.len() > since {
        let room = (meta.len() - since).min(MAX_KEPT as u64);
        saved.resize(room as usize, 0);
        File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?.read_exact_at(&mut saved, meta.len() - room)?;
    }
    Ok(saved)
}

/// Whether a file ends amid a line: a crash, or a disk that was full, cut it off.
fn ends_torn(file: &File, path: &Path) -> bool {
    let last_byte = || -> io::Result<u8> {
        let mut byte = [b'\n'];
        let meta = file.metadata()?;
        if meta.is_file() && meta.len() > 0 {
            File::open(path)?.read_exact_at(&mut byte, meta.len() - 1)?;
        }
        Ok(byte[0])
    };
    // A file that may be written and not read is taken to be whole.
    last_byte().is_ok_and(|byte| byte != b'\n')
}

/// Cuts off a line that a file ends amid of; says whether it has.
fn cut_torn(file: &File, path: &Path) -> bool {
    let cut = || -> io::Result<bool> {
        let len = file.metadata()?.len();
        let from = len.saturating_sub(LONGEST_LINE);
        let mut tail = Vec::new();
        let mut reader = File::open(path)?;
        io::Seek::seek(&mut reader, io::SeekFrom::Start(from))?;
        reader.take(LONGEST_LINE).read_to_end(&mut tail)?;
        let whole = whole_lines(&tail);
        // What has no line in so much text is none of ours.
        if whole == 0 && from > 0 {
            return Ok(false);
        }
        file.set_len(from + whole as u64)?;
        Ok(true)
    };
    cut().unwrap_or(false)
}

/// How a file is reached.
#[derive(Debug)]
pub(super) enum Way {
    /// A file that nobody else writes to.
    Own(PathBuf),
    /// A file that others may write to.
    Path(PathBuf),
    /// Standard output, by a descriptor of our own.
    Stream(File),
    /// Standard output after its reader has gone.
    Closed,
}

impl Way {
    pub(super) fn path(&self) -> &Path {
        self.file().unwrap_or(Path::new("stdout"))
    }

    /// The path, where there is one.
    fn file(&self) -> Option<&Path> {
        match self {
            Self::Own(path) | Self::Path(path) => Some(path),
            Self::Stream(_) | Self::Closed => None,
        }
    }

    /// What a note calls the file.
    fn label(&self) -> Cow<'_, str> {
        self.path().file_name().unwrap_or_default().to_string_lossy()
    }
}

/// Opens a file for appending. Its mode is 0666 less the umask, as is usual: who may read a log is for whoever starts the
/// program to say (`UMask=` in a unit), not for the program. A named pipe without a reader is an error, not something to wait for.
pub(super) fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).custom_flags(libc::O_NONBLOCK).open(path)
}

/// An error as strerror(3) has it, without Rust's `(os error 28)`.
pub(super) fn words(error: &io::Error) -> Cow<'static, str> {
    match error.raw_os_error() {
        Some(errno) => Errno::from_raw(errno).desc().into(),
        None => error.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_line_cut_off_is_continued_in_the_same_file_and_begun_anew_in_another() {
        let dir = tempfile::tempdir().unwrap();
        let (same, other) = (dir.path().join("same"), dir.path().join("other"));
        fs::write(&same, "first\nsec").unwrap();
        for (path, expected) in [(&same, "first\nsecond\n"), (&other, "second\n")] {
            let mut file = LogFile::new(FileId(0, 0), Way::Path(path.clone()), None);
            (file.pending, file.done, file.checked) = (b"second\n".to_vec(), 3, true);
            let open = &mut OpenFiles::unbounded();
            file.write_out(&mut Access { open, home: None, look: 0, steps: &Steps::default() }).unwrap();
            assert_eq!(fs::read_to_string(path).unwrap(), expected);
        }
    }
}
