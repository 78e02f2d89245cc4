//! The list of what pingtest did in a directory: it outlives the process, so that nothing is ever deleted for its name alone.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::directory::{Inode, inode_of, is_full};
use crate::monitor::time::Wall;
use crate::sink::rotation::{Packing, RotatedName};

/// The name of the list. A line each: `rotated NAME`, in the order of rotation, and `set-back FROM TO` where the clock was set back, in
/// seconds since the epoch, for whoever searches the log by time.
pub const LISTED: &str = ".pingtest.files";
/// Lines about the clock that are kept.
const SET_BACKS: usize = 1000;

/// The list, open for appending.
#[derive(Debug)]
pub(super) struct List {
    file: File,
    inode: Inode,
    /// Lines in it.
    lines: usize,
    /// Whether it may end amid a line.
    torn: bool,
    /// The last line that was added.
    last: String,
}

/// The files that were rotated in `dir`, unpacked, in the order of their rotation; none where there is no list that can be read.
pub fn listed(dir: &Path) -> Vec<RotatedName> {
    List::read(dir).unwrap_or_default().rotated
}

/// What a list says.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Files, unpacked, in the order of their rotation.
    pub(super) rotated: Vec<RotatedName>,
    pub(super) set_backs: SetBacks,
}

/// The latest times at which the clock was set back, as lines.
#[derive(Debug, Clone, Default)]
pub(super) struct SetBacks(VecDeque<String>);

impl SetBacks {
    pub(super) fn push(&mut self, line: String) {
        self.0.push_back(line);
        if self.0.len() > SET_BACKS {
            self.0.pop_front();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The line that tells of a clock that was set back.
pub(super) fn set_back(from: Wall, to: Wall) -> String {
    format!("set-back {} {}", Seconds(from), Seconds(to))
}

impl List {
    /// What the list of a directory says. What is no line of ours is left out: a crash cut it off.
    pub(super) fn read(dir: &Path) -> io::Result<Told> {
        let mut text = Vec::new();
        match open(&dir.join(LISTED), ours().read(true)) {
            Ok(mut file) => file.read_to_end(&mut text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Told::default()),
            Err(error) => return Err(error),
        };
        let (mut order, mut told) = (BTreeMap::new(), Told::default());
        let text = String::from_utf8_lossy(&text);
        let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        for (number, line) in whole.enumerate() {
            match line.split_once(' ') {
                Some(("rotated", name)) => {
                    // Listed again, it was rotated at last.
                    order.extend(RotatedName::parse(name).map(|name| (name, number)));
                }
                Some(("set-back", _)) => told.set_backs.push(line.to_owned()),
                Some(_) | None => {}
            }
        }
        let mut order: Vec<_> = order.into_iter().collect();
        order.sort_by_key(|(_, number)| *number);
        told.rotated = order.into_iter().map(|(name, _)| name.packed(Packing::Plain)).collect();
        Ok(told)
    }

    /// Writes the list anew, at once or not at all. Where the disk is full it stays what it was.
    pub(super) fn write(
        dir: &Path,
        names: impl Iterator<Item = RotatedName>,
        set_backs: &SetBacks,
    ) -> io::Result<Self> {
        let (path, part) = (dir.join(LISTED), dir.join(format!("{LISTED}.part")));
        let names = names.map(|name| format!("rotated {}\n", name.packed(Packing::Plain)));
        let lines: Vec<_> = names.chain(set_backs.0.iter().map(|line| format!("{line}\n"))).collect();
        let written = open(&part, ours().write(true).create(true).truncate(true)).and_then(|mut file| {
            file.write_all(lines.concat().as_bytes())?;
            file.sync_all()?;
            fs::rename(&part, &path)
        });
        // Where it cannot be written anew, it may end as a crash left it.
        let torn = written.is_err();
        if let Err(error) = written {
            let _ = fs::remove_file(&part);
            if !is_full(&error) {
                return Err(error);
            }
        }
        let file = open(&path, ours().append(true).create(true))?;
        Ok(Self { inode: inode_of(&file.metadata()?), file, lines: lines.len(), torn, last: String::new() })
    }

    /// Adds a line, unless it was the last one added.
    pub(super) fn add(&mut self, line: &str) -> io::Result<()> {
        if self.last == line {
            return Ok(());
        }
        let text = format!("{}{line}\n", if self.torn { "\n" } else { "" });
        self.torn = true;
        self.file.write_all(text.as_bytes())?;
        self.torn = false;
        self.lines += 1;
        line.clone_into(&mut self.last);
        Ok(())
    }

    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    /// Whether the directory's list is this one.
    pub(super) fn is_there(&self, dir: &Path) -> bool {
        fs::symlink_metadata(dir.join(LISTED)).is_ok_and(|meta| inode_of(&meta) == self.inode)
    }

    /// Another handle, for syncing it.
    pub(super) fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

/// How what is pingtest's alone is opened. Where somebody put a link in its place, what that leads to is not for us to write to, and a
/// pipe is not to be waited for.
pub(super) fn ours() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options
}

/// Opens a regular file of ours. The error names it, for it is not the one that anybody asked for.
pub(super) fn open(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let named = |error: io::Error| {
        let name = path.file_name().unwrap_or_default().display();
        io::Error::new(error.kind(), format!("{name}: {error}"))
    };
    let file = options.open(path).map_err(named)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(named(io::Error::other("it is no regular file"))) }
}

/// Seconds since the epoch with nine decimals.
struct Seconds(Wall);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nanos, sign) = (self.0.as_nanos(), if self.0.as_nanos() < 0 { "-" } else { "" });
        write!(f, "{sign}{}.{:09}", nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000)
    }
}
