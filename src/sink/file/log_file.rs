//! A file of whole lines: a buffer, a way to open the file, and what is known of its trouble.
//!
//! Lines are rendered into the buffer and leave it by write(2). What an error leaves behind stays there and is tried again; a
//! line that was cut off is continued, or begun anew where the file has become another. This module sets the bounds, but
//! when to write, and whom to tell, is the output's to say.
//!
//! Lines reach the disk through two functions only: [`LogFile::open`] decides which file they go to, so that rotation belongs
//! there, and [`LogFile::write_pending`] writes them, so that synchronising follows it.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use lru::LruCache;
use nix::errno::Errno;

use super::queue::Gap;
use crate::monitor::target::Name;
use crate::sink::line::{Missing, Renderer};

/// Bytes a file's buffer may hold: from here on a larger write(2) costs no less per line, and a file that cannot be written
/// keeps as much for later.
pub(super) const MAX_PENDING: usize = 256 * 1024;
/// Bytes that all files together may keep for later, so that ten thousand targets on a full disk do not fill the memory too.
const MAX_KEPT: usize = 16 * 1024 * 1024;
/// Bytes of an empty buffer that stay allocated: a few dozen lines, times ten thousand targets.
const IDLE_BUFFER: usize = 4 * 1024;

/// Which output, and which of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileId(pub(super) usize, pub(super) usize);

/// The files that are open, the least recently written first to be closed.
pub(super) type OpenFiles = LruCache<FileId, File>;

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
}

/// Why a file cannot be written, and what it lacks by now.
#[derive(Debug)]
pub(super) struct Failure {
    cause: Cow<'static, str>,
    gap: Option<Gap>,
}

impl LogFile {
    pub(super) fn new(id: FileId, way: Way, target: Option<Name>) -> Self {
        Self { id, way, target, pending: Vec::new(), done: 0, checked: false, dirty: false, failure: None }
    }

    /// Whether a line may be rendered. Once one was given up, all are until that can be told of: the file keeps its order.
    pub(super) fn has_room(&self, kept: usize) -> bool {
        if self.is_closed() {
            return false;
        }
        let fits = self.pending.len() < MAX_PENDING && kept < MAX_KEPT;
        self.failure.as_ref().is_none_or(|failure| failure.gap.is_none() && fits)
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
    pub(super) fn write(&mut self, renderer: &mut Renderer, open: &mut OpenFiles) -> io::Result<()> {
        self.write_out(open)?;
        match self.failure.as_mut().and_then(|failure| Some((failure.gap.take()?, failure.cause.clone()))) {
            Some((gap, cause)) => {
                self.note(gap, &cause, renderer);
                self.write_out(open)
            }
            None => Ok(()),
        }
    }

    /// Writes what is pending; after an error the lines that were not written whole remain.
    fn write_out(&mut self, open: &mut OpenFiles) -> io::Result<()> {
        let result = self.write_pending(open);
        let whole_lines = self.pending[..self.done].iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        self.pending.drain(..whole_lines);
        self.done -= whole_lines;
        if self.pending.is_empty() {
            self.pending.shrink_to(IDLE_BUFFER);
        }
        result
    }

    fn write_pending(&mut self, open: &mut OpenFiles) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut file = open.try_get_or_insert(self.id, || self.open())?;
        if let Way::Path(path) = &self.way
            && self.done > 0
            && !ends_torn(file, path)
        {
            // Somebody has cut the file: the line that was being written begins anew.
            self.done = 0;
        }
        while self.done < self.pending.len() {
            match file.write(&self.pending[self.done..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<File> {
        match &self.way {
            Way::Path(path) => {
                let file = open_append(path)?;
                if self.done > 0 || !self.checked {
                    let torn = ends_torn(&file, path);
                    self.join(torn);
                    self.checked = true;
                }
                Ok(file)
            }
            Way::Stream(stream) => stream.try_clone(),
            Way::Closed => Err(io::ErrorKind::BrokenPipe.into()),
        }
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

/// How a file is reached.
#[derive(Debug)]
pub(super) enum Way {
    Path(PathBuf),
    /// Standard output, by a descriptor of our own.
    Stream(File),
    /// Standard output after its reader has gone.
    Closed,
}

impl Way {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Path(path) => path,
            Self::Stream(_) | Self::Closed => Path::new("stdout"),
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
            file.write_out(&mut OpenFiles::unbounded()).unwrap();
            assert_eq!(fs::read_to_string(path).unwrap(), expected);
        }
    }
}
