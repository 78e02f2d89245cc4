//! The files of one log, in the order in which they were written.
//!
//! Knows names, not lines. The daemon may rotate and pack meanwhile: the live file is opened before the directory is listed, and a
//! file that has gone when it is its turn is looked for under its packed name.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::sink::archive::Archive;
use crate::sink::file::listed;
use crate::sink::rotation::{Label, Packing, RotatedName, SUFFIX};

/// How often the live file may change while the directory is listed: somebody else must be playing with it then.
const ATTEMPTS: u32 = 20;

/// What tells files apart while one of them is open: device and inode.
pub(super) type Identity = (u64, u64);

/// Which of a log's files, packed or not. They order by time, each kind for itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// Numbered by logrotate(8): the highest number is the oldest.
    Numbered(std::cmp::Reverse<u32>),
    /// Dated by logrotate(8).
    Dated(String),
    /// Rotated by the daemon.
    Rotated(Label, u32),
}

/// A rotated file.
#[derive(Debug, Clone)]
pub(super) struct Rotated {
    pub(super) key: Key,
    /// Where it is, unpacked if it is there twice.
    path: PathBuf,
    packing: Packing,
}

impl Rotated {
    /// Opens it under the name it has by now; `None` where it has gone.
    ///
    /// # Errors
    /// Those of [`Archive::open`].
    pub(super) fn open(&self) -> io::Result<Option<Archive>> {
        let mut paths = vec![self.path.clone()];
        if self.packing == Packing::Plain {
            paths.extend([Packing::Zstd, Packing::Gzip].map(|packing| with_suffix(&self.path, packing.suffix())));
        }
        for path in paths {
            match Archive::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return opened.map(Some),
            }
        }
        Ok(None)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path: OsString = path.into();
    path.push(suffix);
    path.into()
}

/// The files of one log at one instant.
#[derive(Debug)]
pub(super) struct Listing {
    /// The rotated ones.
    pub(super) rotated: Vec<Rotated>,
    /// Whether they are in the order in which they were written; else only their lines tell.
    pub(super) is_ordered: bool,
    /// The one that is written to.
    pub(super) live: Option<File>,
}

/// One log: a directory, and the live file's name without its ending.
#[derive(Debug, Clone)]
pub(super) struct Log {
    dir: PathBuf,
    stem: String,
}

impl Log {
    pub(super) fn new(dir: &Path, stem: &str) -> Self {
        Self { dir: dir.to_owned(), stem: stem.to_owned() }
    }

    pub(super) fn live_path(&self) -> PathBuf {
        self.dir.join(format!("{}{SUFFIX}", self.stem))
    }

    /// Which file has the live file's name.
    ///
    /// # Errors
    /// Those of stat(2), but that there is no such file.
    pub(super) fn live_identity(&self) -> io::Result<Option<Identity>> {
        Ok(unless_missing(fs::metadata(self.live_path()))?.map(|meta| (meta.dev(), meta.ino())))
    }

    /// Its files: none twice, and none left out that was there all the while.
    ///
    /// # Errors
    /// Those of reading the directory and of opening the live file.
    pub(super) fn list(&self) -> io::Result<Listing> {
        for _ in 0..ATTEMPTS {
            let live = unless_missing(open_live(&self.live_path()))?;
            let opened = live.as_ref().map(identity).transpose()?;
            let mut rotated = self.rotated()?;
            if self.live_identity()? == opened {
                let is_ordered = self.order(&mut rotated);
                return Ok(Listing { rotated, is_ordered, live });
            }
        }
        Err(io::Error::other("the log's files change faster than they can be listed"))
    }

    /// Puts files into the order of their rotation, by the list of whoever rotated them. Names tell it only as long as all are of hours
    /// or none is, and the clock was not set back far; says whether the order is known.
    fn order(&self, files: &mut [Rotated]) -> bool {
        let listed = listed(&self.dir).into_iter().filter(|name| name.live == self.stem);
        let places: BTreeMap<_, _> =
            listed.enumerate().map(|(place, name)| (Key::Rotated(name.label, name.number), place)).collect();
        if files.iter().all(|file| places.contains_key(&file.key)) {
            files.sort_by_key(|file| places.get(&file.key));
            return true;
        }
        let of_hours = |file: &Rotated| match &file.key {
            Key::Rotated(label, _) => Some(label.has_hour()),
            Key::Numbered(_) | Key::Dated(_) => None,
        };
        let first = files.first().and_then(of_hours);
        first.is_some() && places.is_empty() && files.iter().all(|file| of_hours(file) == first)
    }

    fn rotated(&self) -> io::Result<Vec<Rotated>> {
        let mut found: BTreeMap<Key, (Packing, OsString)> = BTreeMap::new();
        // A file that is packed meanwhile may show under neither name, but not twice.
        for _ in 0..2 {
            for entry in fs::read_dir(&self.dir)? {
                let name = entry?.file_name();
                let Some((key, packing)) = name.to_str().and_then(|name| self.key(name)) else { continue };
                // A pipe would have to be waited for.
                if fs::metadata(self.dir.join(&name)).is_ok_and(|meta| !meta.is_file()) {
                    continue;
                }
                let known = found.get(&key).is_some_and(|(known, _)| *known <= packing);
                if !known {
                    found.insert(key, (packing, name));
                }
            }
        }
        let rotated = |(key, (packing, name))| Rotated { key, path: self.dir.join(name), packing };
        Ok(found.into_iter().map(rotated).collect())
    }

    /// Which of this log's files has the name `file`, if it is one.
    fn key(&self, file: &str) -> Option<(Key, Packing)> {
        if let Some(name) = RotatedName::parse(file).filter(|name| name.live == self.stem) {
            return Some((Key::Rotated(name.label, name.number), name.packing));
        }
        let rest = file.strip_prefix(&self.stem)?.strip_prefix(SUFFIX)?;
        let packing = Packing::ALL.into_iter().rev().find(|packing| rest.ends_with(packing.suffix()))?;
        let rest = rest.strip_suffix(packing.suffix())?;
        if let Some(number) = rest.strip_prefix('.') {
            return Some((Key::Numbered(std::cmp::Reverse(number.parse().ok()?)), packing));
        }
        let date = rest.strip_prefix('-')?;
        let is_date = date.len() >= 8 && date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        is_date.then(|| (Key::Dated(date.to_owned()), packing))
    }
}

/// The names of all logs in `dir`, sorted.
///
/// # Errors
/// Those of reading the directory.
pub(super) fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        let live = || name.strip_suffix(SUFFIX).filter(|stem| !stem.starts_with('.')).map(str::to_owned);
        names.extend(RotatedName::parse(name).map(|name| name.live).or_else(live));
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Which file it is that is open.
///
/// # Errors
/// Those of fstat(2).
pub(super) fn identity(file: &File) -> io::Result<Identity> {
    file.metadata().map(|meta| (meta.dev(), meta.ino()))
}

/// Opens a file that is there to be read and not, as a pipe, to be waited for.
fn open_live(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_file() { File::open(path) } else { Err(io::Error::other("it is no regular file")) }
}

fn unless_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn dir_of(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        for name in names {
            fs::write(dir.path().join(name), name).expect("written");
        }
        dir
    }

    fn listed(names: &[&str]) -> Vec<String> {
        let dir = dir_of(names);
        let listing = Log::new(dir.path(), "a").list().expect("listed");
        listing.rotated.iter().map(|file| file.path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn files_are_those_of_this_log_alone_and_in_order() {
        let files = [
            "a-2026-11-22.log.zst",
            "a-2026-11-21@0010.log",
            "a-2026-11-21@0002.log.gz",
            "a-2026-11-21.log",
            "a.log-20261122.gz",
            "a.log-20261121",
            "a.log.1",
            "a.log.10.gz",
            "a.log.2.zst",
            "a.log",
            "b.log",
            "a-b-2026-11-21.log",
            "a-2026-11-21.log.zst.part",
            ".a-2026-11-23.log.zst.part",
            "a.log.x",
            "a.log-x",
            "a.logs",
            "a-2026-11-31.log",
        ];
        let order = [
            "a.log.10.gz",
            "a.log.2.zst",
            "a.log.1",
            "a.log-20261121",
            "a.log-20261122.gz",
            "a-2026-11-21.log",
            "a-2026-11-21@0002.log.gz",
            "a-2026-11-21@0010.log",
            "a-2026-11-22.log.zst",
        ];
        assert_eq!(listed(&files), order);
    }

    #[test]
    fn a_file_that_is_there_twice_is_read_once() {
        assert_eq!(listed(&["a-2026-11-21.log", "a-2026-11-21.log.zst"]), ["a-2026-11-21.log"]);
        assert_eq!(listed(&["a-2026-11-21.log.gz", "a-2026-11-21.log.zst"]).len(), 1);
    }

    #[test]
    fn a_file_that_has_been_packed_meanwhile_is_found() {
        let dir = dir_of(&["a-2026-11-21.log"]);
        let listing = Log::new(dir.path(), "a").list().expect("listed");
        let path = dir.path().join("a-2026-11-21.log");
        crate::sink::archive::pack(&path, Packing::Zstd, &|| false).expect("packed");
        let mut text = String::new();
        let mut archive = listing.rotated[0].open().expect("opened").expect("there");
        archive.read_to_string(&mut text).expect("read");
        assert_eq!(text, "a-2026-11-21.log");
        fs::remove_file(with_suffix(&path, ".zst")).expect("removed");
        assert!(listing.rotated[0].open().expect("no error").is_none());
    }

    #[test]
    fn logs_are_known_by_their_live_and_their_rotated_files() {
        let dir = dir_of(&["b.log", "a-2026-11-21.log.gz", "b-2026-11-21.log", ".pingtest.files", "x"]);
        assert_eq!(names(dir.path()).expect("listed"), ["a", "b"]);
    }
}
