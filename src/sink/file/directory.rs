//! A directory of logs: whose it is, and which of its files pingtest rotated.
//!
//! One process at a time writes to a directory: it holds a lock on [`LOCK`] (flock(2)), which ends with the process however that ends.
//! Every file is listed in [`LISTED`] before it gets the name of a rotated one, so that nothing is ever deleted for its name alone.
//! The writer and the keeper share a directory; neither holds its state while it waits for the disk to do much.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;

use super::Keeping;
use super::catalogue::{Catalogue, Entry, Stage};
use crate::monitor::time::Wall;
use crate::sink::rotation::{Label, Packing, RotatedName, SUFFIX};

/// The file that is locked. It holds the number of the process that holds the lock, for whoever is refused.
const LOCK: &str = ".pingtest.lock";
/// What pingtest did in the directory, a line each: `rotated NAME`, and `set-back FROM TO` where the clock was set back, in seconds
/// since the epoch, for whoever searches the log by time.
pub const LISTED: &str = ".pingtest.files";
/// Lines about the clock that are kept.
const SET_BACKS: usize = 1000;
/// Lines of [`LISTED`] beyond twice those that matter after which it is written anew.
const SLACK: usize = 10_000;

/// A directory and what is known of it.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    state: Mutex<State>,
    /// Told when there is work for the keeper.
    work: Condvar,
    /// Bytes in live files, as the writer counts them.
    live: AtomicU64,
    /// Bytes in live files that the writer is asked to rotate for the sake of the budget.
    relief: AtomicU64,
}

#[derive(Debug)]
struct State {
    held: Option<Held>,
    keeping: Keeping,
    catalogue: Catalogue,
    set_backs: VecDeque<String>,
    work_waits: bool,
    ended: bool,
    /// Whether a keeper is at work.
    kept: bool,
}

/// A directory that is ours.
#[derive(Debug)]
struct Held {
    /// Which it is: the path may lead to another one day.
    id: Inode,
    lock: File,
    listed: File,
    /// Lines in it.
    lines: usize,
    /// Whether it may end amid a line.
    torn: bool,
}

/// Device and inode.
pub(super) type Inode = (u64, u64);

pub(super) fn inode_of(meta: &Metadata) -> Inode {
    (meta.dev(), meta.ino())
}

/// What a look at a directory found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It is there, and was last changed at this time.
    There(i64, i64),
    /// It is gone, or no longer ours.
    Gone,
}

/// What is to be done in the background.
#[derive(Debug)]
pub(super) enum Work {
    /// See to a file that was rotated.
    Settle(RotatedName),
    /// Look after the limits.
    Limit,
    /// Nothing any more.
    End,
}

impl Directory {
    /// Takes a directory, which is made where it is missing. A full disk is no reason not to: the directory is then taken as soon as
    /// there is room.
    ///
    /// # Errors
    /// Where it cannot be used, or is in use by another process.
    pub(super) fn take(path: &Path, keeping: Keeping) -> io::Result<Arc<Self>> {
        let state = State {
            held: None,
            keeping,
            catalogue: Catalogue::default(),
            set_backs: VecDeque::new(),
            work_waits: false,
            ended: false,
            kept: false,
        };
        let directory = Self {
            path: path.to_owned(),
            state: Mutex::new(state),
            work: Condvar::new(),
            live: AtomicU64::new(0),
            relief: AtomicU64::new(0),
        };
        match directory.ensure() {
            Err(error) if !is_full(&error) => Err(error),
            Ok(()) | Err(_) => Ok(Arc::new(directory)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is(&self, id: Inode) -> bool {
        self.state().held.as_ref().is_some_and(|held| held.id == id)
    }

    pub(super) fn keeping(&self) -> Keeping {
        self.state().keeping
    }

    /// Other limits from here on.
    pub(super) fn keep(&self, keeping: Keeping) {
        self.state().keeping = keeping;
        self.wake_keeper();
    }

    /// Makes sure that the directory is there and ours.
    pub(super) fn ensure(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.held.is_some() {
            return Ok(());
        }
        fs::create_dir_all(&self.path)?;
        let lock = lock(&self.path)?;
        let id = inode_of(&fs::metadata(&self.path)?);
        let (listed, set_backs) = read_listed(&self.path)?;
        state.catalogue = catalogue(&self.path, &listed)?;
        state.set_backs = set_backs;
        let (listed, lines) = write_listed(&self.path, &state)?;
        state.held = Some(Held { id, lock, listed, lines, torn: false });
        state.work_waits = true;
        self.work.notify_all();
        Ok(())
    }

    /// Looks whether the directory is still there and ours.
    pub(super) fn look(&self) -> Look {
        let state = self.state();
        let Some(held) = &state.held else { return Look::Gone };
        let lock_is_ours = || {
            let (ours, there) = (held.lock.metadata().ok()?, fs::metadata(self.path.join(LOCK)).ok()?);
            Some(inode_of(&ours) == inode_of(&there))
        };
        match fs::metadata(&self.path) {
            Ok(meta) if inode_of(&meta) == held.id && lock_is_ours() == Some(true) => {
                Look::There(meta.mtime(), meta.mtime_nsec())
            }
            Ok(_) | Err(_) => Look::Gone,
        }
    }

    /// Lets go of a directory that is gone, so that [`Directory::ensure`] takes what is there in its place.
    pub(super) fn let_go(&self) {
        self.state().held = None;
    }

    /// Gives a live file the name under which it is kept, and lists it.
    pub(super) fn rotate(&self, live: &str, label: Label, size: u64) -> io::Result<()> {
        let mut state = self.state();
        let mut number = state.catalogue.next_number(live, label);
        loop {
            let name = RotatedName { label, number, live: live.to_owned(), packing: Packing::Plain };
            if self.is_taken(&name) {
                number = number.checked_add(1).ok_or(io::ErrorKind::AlreadyExists)?;
                continue;
            }
            state.list(&format!("rotated {name}"))?;
            match rename_new(&self.path.join(format!("{live}{SUFFIX}")), &self.path.join(name.to_string())) {
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(error.into()),
                Ok(()) => {}
            }
            state.catalogue.insert(&name, Entry { size, packing: Packing::Plain, stage: Stage::New });
            state.work_waits = true;
            self.work.notify_all();
            return Ok(());
        }
    }

    /// Whether somebody's file has the name, packed or not.
    fn is_taken(&self, name: &RotatedName) -> bool {
        let there = |packing| fs::symlink_metadata(self.path.join(name.packed(packing).to_string())).is_ok();
        Packing::ALL.into_iter().any(there)
    }

    /// Notes that the clock was set back from one time to another.
    pub(super) fn note_set_back(&self, from: Wall, to: Wall) {
        let line = format!("set-back {} {}", Seconds(from), Seconds(to));
        let mut state = self.state();
        // Without it lines of that hour are harder to find, which is no reason to stop writing them.
        let _ = state.list(&line);
        state.remember_set_back(line);
    }

    /// Deletes the oldest rotated file because the disk is full; tells which, and its size. One that the keeper is at makes room only
    /// when the keeper has noticed, so that another goes with it.
    pub(super) fn give_up_oldest(&self) -> (Vec<PathBuf>, u64) {
        let mut state = self.state();
        let (mut gone, mut bytes) = (Vec::new(), 0);
        while let Some(oldest) = state.catalogue.oldest(|_| true)
            && let Some(entry) = state.catalogue.remove(&oldest)
        {
            let path = self.path.join(oldest.to_string());
            match fs::remove_file(&path) {
                Ok(()) => {
                    gone.push(path);
                    bytes += entry.size;
                    if entry.stage.is_idle() {
                        break;
                    }
                }
                // Somebody else was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => {
                    state.catalogue.insert(&oldest, entry);
                    break;
                }
            }
        }
        (gone, bytes)
    }

    /// Takes note of what a live file grew or shrank by.
    pub(super) fn resized(&self, before: u64, after: u64) {
        if after >= before {
            self.live.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.live.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Bytes in live files that the writer is to rotate; asked and answered once.
    pub(super) fn relief(&self) -> u64 {
        self.relief.swap(0, Ordering::Relaxed)
    }

    pub(super) fn ask_for_relief(&self, bytes: u64) {
        self.relief.store(bytes, Ordering::Relaxed);
    }

    /// Waits for work, as the keeper; looks after the limits every so often even if there is none, for live files grow.
    pub(super) fn wait_for_work(&self, patience: Duration) -> Work {
        let state = self.state();
        let idle = |state: &mut State| !state.ended && !state.work_waits;
        let (mut state, _) =
            self.work.wait_timeout_while(state, patience, idle).unwrap_or_else(PoisonError::into_inner);
        if state.ended {
            return Work::End;
        }
        match state.catalogue.oldest(|stage| stage == Stage::New) {
            Some(name) => Work::Settle(name),
            None => {
                if !std::mem::take(&mut state.work_waits) {
                    state.work_waits = state.catalogue.retry_failed();
                }
                Work::Limit
            }
        }
    }

    /// Sends the keeper home.
    pub(super) fn end(&self) {
        self.state().ended = true;
        self.work.notify_all();
    }

    /// Takes note that a keeper comes or goes.
    pub(super) fn set_kept(&self, kept: bool) {
        self.state().kept = kept;
        self.work.notify_all();
    }

    /// Waits until the keeper, which was sent home, has gone.
    pub(super) fn wait_for_keeper(&self) {
        let gone = self.work.wait_while(self.state(), |state| state.kept);
        drop(gone.unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn is_ended(&self) -> bool {
        self.state().ended
    }

    fn wake_keeper(&self) {
        self.state().work_waits = true;
        self.work.notify_all();
    }

    /// What is known of a rotated file.
    pub(super) fn entry(&self, name: &RotatedName) -> Option<Entry> {
        self.state().catalogue.get(name)
    }

    /// Takes note of what became of a rotated file; where it was given up meanwhile, that stands.
    pub(super) fn update(&self, name: &RotatedName, entry: Entry) {
        let mut state = self.state();
        if state.catalogue.get(name).is_some() {
            state.catalogue.insert(name, entry);
        }
    }

    /// Forgets a rotated file that is to be deleted, so that nobody else deletes or packs it.
    pub(super) fn forget(&self, name: &RotatedName) -> Option<Entry> {
        self.state().catalogue.remove(name)
    }

    /// Takes back what [`Directory::forget`] did.
    pub(super) fn restore(&self, name: &RotatedName, entry: Entry) {
        self.state().catalogue.insert(name, entry);
    }

    /// The files beyond the `keep` latest of each live file, the oldest first.
    pub(super) fn surplus(&self, keep: usize) -> Vec<RotatedName> {
        self.state().catalogue.surplus(keep)
    }

    /// The oldest file of those that have got so far.
    pub(super) fn oldest(&self, may_go: impl Fn(Stage) -> bool) -> Option<RotatedName> {
        self.state().catalogue.oldest(may_go)
    }

    /// Bytes in live and rotated files.
    pub(super) fn total(&self) -> u64 {
        self.live.load(Ordering::Relaxed).saturating_add(self.state().catalogue.bytes())
    }

    /// The names of all rotated files.
    pub(super) fn names(&self) -> Vec<RotatedName> {
        self.state().catalogue.names().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes [`LISTED`] anew where it holds much that is of no use any more.
    pub(super) fn tidy_list(&self) {
        let mut state = self.state();
        let useful = state.catalogue.count() + state.set_backs.len();
        if state.held.as_ref().is_some_and(|held| held.lines > 2 * useful + SLACK)
            && let Ok((listed, lines)) = write_listed(&self.path, &state)
            && let Some(held) = &mut state.held
        {
            (held.listed, held.lines, held.torn) = (listed, lines, false);
        }
    }
}

impl State {
    /// Adds a line to [`LISTED`].
    fn list(&mut self, line: &str) -> io::Result<()> {
        let held = self.held.as_mut().ok_or(io::ErrorKind::NotFound)?;
        let line = format!("{}{line}\n", if held.torn { "\n" } else { "" });
        held.torn = true;
        held.listed.write_all(line.as_bytes())?;
        held.torn = false;
        held.lines += 1;
        Ok(())
    }

    fn remember_set_back(&mut self, line: String) {
        self.set_backs.push_back(line);
        if self.set_backs.len() > SET_BACKS {
            self.set_backs.pop_front();
        }
    }
}

/// Whether an error says that there is no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Opens what is pingtest's alone. Where somebody put a link in its place, what that leads to is not for us to write to.
fn ours() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(libc::O_NOFOLLOW);
    options
}

fn lock(dir: &Path) -> io::Result<File> {
    let path = dir.join(LOCK);
    let mut file = ours().read(true).write(true).create(true).open(&path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            // Only for the eye: a full disk may take it away.
            let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            Ok(file)
        }
        Err(Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            let _ = file.take(20).read_to_string(&mut holder);
            let process = match holder.trim() {
                "" => String::new(),
                number => format!(" (process {number})"),
            };
            let told = format!("another pingtest{process} writes there; give each a directory of its own");
            Err(io::Error::new(io::ErrorKind::ResourceBusy, told))
        }
        Err(error) => Err(error.into()),
    }
}

/// Renames a file unless there is one of the new name.
fn rename_new(from: &Path, to: &Path) -> Result<(), Errno> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system knows the flag; the lock keeps others of our kind away.
        Err(Errno::INVAL | Errno::NOSYS) if fs::symlink_metadata(to).is_err() => rustix::fs::rename(from, to),
        done => done,
    }
}

/// What [`LISTED`] says. What is no line of ours is left out: a crash cut it off.
fn read_listed(dir: &Path) -> io::Result<(BTreeSet<RotatedName>, VecDeque<String>)> {
    let (mut names, mut set_backs) = (BTreeSet::new(), VecDeque::new());
    let text = match fs::read(dir.join(LISTED)) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((names, set_backs)),
        Err(error) => return Err(error),
    };
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        match line.split_once(' ') {
            Some(("rotated", name)) => names.extend(RotatedName::parse(name)),
            Some(("set-back", _)) => set_backs.push_back(line.to_owned()),
            Some(_) | None => {}
        }
    }
    set_backs.drain(..set_backs.len().saturating_sub(SET_BACKS));
    Ok((names, set_backs))
}

/// Writes [`LISTED`] anew, at once or not at all; returns it and the number of its lines. Where the disk is full it stays what it was.
fn write_listed(dir: &Path, state: &State) -> io::Result<(File, usize)> {
    let (path, part) = (dir.join(LISTED), dir.join(format!("{LISTED}.part")));
    let names = state.catalogue.names().map(|name| format!("rotated {}\n", name.packed(Packing::Plain)));
    let lines: Vec<_> = names.chain(state.set_backs.iter().map(|line| format!("{line}\n"))).collect();
    let written = ours().write(true).create(true).truncate(true).open(&part).and_then(|mut file| {
        file.write_all(lines.concat().as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, &path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    match written {
        Err(error) if !is_full(&error) => Err(error),
        Ok(()) | Err(_) => {
            let mut file = ours().append(true).create(true).open(&path)?;
            if written_torn(&path) {
                file.write_all(b"\n")?;
            }
            Ok((file, lines.len()))
        }
    }
}

fn written_torn(path: &Path) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes.last().is_some_and(|byte| *byte != b'\n'))
}

/// What is there of the listed files.
fn catalogue(dir: &Path, listed: &BTreeSet<RotatedName>) -> io::Result<Catalogue> {
    let mut catalogue = Catalogue::default();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().and_then(RotatedName::parse) else { continue };
        let Ok(meta) = entry.metadata() else { continue };
        if !meta.is_file() || !listed.contains(&name.packed(Packing::Plain)) {
            continue;
        }
        let known = catalogue.get(&name);
        // A file that is there both ways was being packed when the process ended: the keeper settles that.
        if name.packing == Packing::Plain || known.is_none() {
            let stage = if name.packing == Packing::Plain { Stage::New } else { Stage::Done };
            catalogue.insert(&name, Entry { size: meta.len(), packing: name.packing, stage });
        }
    }
    Ok(catalogue)
}

/// Seconds since the epoch with nine decimals.
struct Seconds(Wall);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (nanos, sign) = (self.0.as_nanos(), if self.0.as_nanos() < 0 { "-" } else { "" });
        write!(f, "{sign}{}.{:09}", nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000)
    }
}
