//! The ledger's place on the disk: its directory, the lock that keeps a second writer out, and where a broken file goes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chrono::DateTime;
use rustix::fs::{FlockOperation, flock};

use super::error::Error;
use super::schema::beside;
use crate::monitor::time::Wall;

/// Who may enter the directory where it is made here: the group, as with the logs.
const DIR_MODE: u32 = 0o750;
/// The lock says nothing.
const LOCK_MODE: u32 = 0o640;

/// Holds the ledger for as long as it lives. The file that is locked stays: were it deleted, two processes could each lock one of that
/// name. The database itself cannot be locked, because readers must not be kept out and SQLite locks parts of it.
#[derive(Debug)]
pub(super) struct Lock {
    #[expect(dead_code, reason = "the lock goes with the descriptor")]
    file: File,
}

impl Lock {
    /// Makes the directory where only that is missing, and locks the ledger.
    pub(super) fn take(path: &Path) -> Result<Self, Error> {
        make_dir(path)?;
        let lock = beside(path, ".lock");
        let options = OpenOptions::new().write(true).create(true).truncate(false).mode(LOCK_MODE).open(&lock);
        let file = options.map_err(|error| Error::file(&lock, error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::InUse { path: path.to_owned(), lock }),
            Err(error) => Err(Error::file(&lock, error)),
        }
    }
}

fn make_dir(path: &Path) -> Result<(), Error> {
    let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) else { return Ok(()) };
    match DirBuilder::new().mode(DIR_MODE).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::file(dir, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Moves a broken ledger out of the way, as `NAME.corrupt-` and the time in UTC; says where it is. Nobody may have it open.
pub(super) fn set_aside(path: &Path, now: Wall) -> Result<PathBuf, Error> {
    let to = free_name(path, now);
    fs::rename(path, &to).map_err(|error| Error::file(path, error))?;
    for suffix in ["-wal", "-shm"] {
        let (from, to) = (beside(path, suffix), beside(&to, suffix));
        match fs::rename(&from, to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::file(&from, error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(to)
}

fn free_name(path: &Path, now: Wall) -> PathBuf {
    let stamp = DateTime::from_timestamp_nanos(now.as_nanos()).format(".corrupt-%Y%m%dT%H%M%SZ").to_string();
    let named = |count: u32| match count {
        1 => beside(path, &stamp),
        _ => beside(path, &format!("{stamp}-{count}")),
    };
    // Two in one second are rare, and of a hundred one is free.
    (1..100).map(named).find(|to| !to.exists()).unwrap_or_else(|| named(100))
}

/// Whether a file is, or once was, a database: it begins as one (<https://sqlite.org/fileformat2.html>, 1.3). Of what does not, nobody
/// can say whose it is.
pub(super) fn begins_as_database(path: &Path) -> bool {
    let mut begin = [0; MAGIC.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut begin)).is_ok() && begin == *MAGIC
}

/// What each SQLite database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The ledger's file as the directory has it: its device and inode. `None` where there is none.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// What the kernel calls the time since the machine was started (random(4)); `None` where it does not say.
pub(super) fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
