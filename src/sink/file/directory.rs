//! A directory of logs: whose it is, and which of its files pingtest rotated.
//!
//! One process at a time writes to a directory: it holds a lock on [`LOCK`] (flock(2)), which ends with the process however that ends.
//! Every file is listed before it gets the name of a rotated one, so that nothing is ever deleted for its name alone. The writer and
//! the keeper share a directory; neither holds its state while it packs, syncs or deletes for the limits.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::Keeping;
use super::catalogue::{Catalogue, Entry, Stage};
use super::list::{self, List, SetBacks, open, ours};
use crate::monitor::time::Wall;
use crate::sink::archive;
use crate::sink::rotation::{Label, Packing, RotatedName, SUFFIX};

/// The file that is locked. It holds the number of the process that holds the lock, for whoever is refused.
pub(super) const LOCK: &str = ".pingtest.lock";
/// Lines of the list beyond twice those that matter after which it is written anew.
const SLACK: usize = 10_000;

/// A directory and what is known of it.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    state: Mutex<State>,
    /// Told when there is work for the keeper, and when it goes.
    work: Condvar,
    /// Whether the directory is ours: as `State::held`, for whoever need not wait to know.
    held: AtomicBool,
    /// Bytes in live files.
    live: AtomicU64,
    /// Bytes in live files that the writer is asked to rotate for the sake of the budget.
    relief: AtomicU64,
}

#[derive(Debug)]
struct State {
    held: Option<Held>,
    /// Which directory was held last.
    last: Option<Inode>,
    keeping: Keeping,
    catalogue: Catalogue,
    set_backs: SetBacks,
    /// Files that are called like rotated ones and are not listed, until that was told.
    unlisted: usize,
    work_waits: bool,
    /// The file that the keeper is at.
    busy: Option<RotatedName>,
    /// Whether the keeper is to leave that file, for what it writes takes the last room.
    halt: bool,
    ended: bool,
    /// Whether there is a keeper.
    has_keeper: bool,
}

/// A directory that is ours.
#[derive(Debug)]
struct Held {
    /// Which it is: the path may lead to another one day.
    id: Inode,
    lock: File,
    list: List,
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
    /// Nothing for now: the directory is not ours.
    Nothing,
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
            last: None,
            keeping,
            catalogue: Catalogue::default(),
            set_backs: SetBacks::default(),
            unlisted: 0,
            work_waits: false,
            busy: None,
            halt: false,
            ended: false,
            has_keeper: false,
        };
        let directory = Self {
            path: path.to_owned(),
            state: Mutex::new(state),
            work: Condvar::new(),
            held: AtomicBool::new(false),
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
        let mut state = self.state();
        state.keeping = keeping;
        state.work_waits = true;
        self.work.notify_all();
    }

    /// Makes sure that the directory is there and ours.
    pub(super) fn ensure(&self) -> io::Result<()> {
        if self.held.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut state = self.state();
        fs::create_dir_all(&self.path)?;
        let lock = lock(&self.path)?;
        let id = inode_of(&fs::metadata(&self.path)?);
        let mut told = List::read(&self.path)?;
        if state.last == Some(id) {
            // Whoever deleted the list has not made us forget.
            told.rotated.extend(state.catalogue.names().map(|name| name.packed(Packing::Plain)));
            told.set_backs = std::mem::take(&mut state.set_backs);
        }
        let found = Found::new(&self.path, told.rotated, state.busy.as_ref())?;
        let mut catalogue = found.catalogue;
        if let Some(busy) = &state.busy
            && state.last == Some(id)
            && let Some(entry) = state.catalogue.get(busy)
        {
            // It may have neither name while it gets the other.
            catalogue.insert(busy, entry);
        }
        let list = List::write(&self.path, catalogue.names(), &told.set_backs)?;
        self.live.store(found.live, Ordering::Relaxed);
        (state.catalogue, state.set_backs, state.unlisted) = (catalogue, told.set_backs, found.unlisted);
        (state.held, state.last) = (Some(Held { id, lock, list }), Some(id));
        self.held.store(true, Ordering::Relaxed);
        state.work_waits = true;
        self.work.notify_all();
        Ok(())
    }

    /// Looks whether the directory is still there and ours.
    pub(super) fn look(&self) -> Look {
        let state = self.state();
        let Some(held) = &state.held else { return Look::Gone };
        let lock_is_ours = || {
            let (ours, there) = (held.lock.metadata().ok()?, fs::symlink_metadata(self.path.join(LOCK)).ok()?);
            Some(inode_of(&ours) == inode_of(&there))
        };
        let is_ours = || lock_is_ours() == Some(true) && held.list.is_there(&self.path);
        match fs::metadata(&self.path) {
            Ok(meta) if inode_of(&meta) == held.id && is_ours() => Look::There(meta.mtime(), meta.mtime_nsec()),
            Ok(_) | Err(_) => Look::Gone,
        }
    }

    /// Lets go of a directory that is gone, so that [`Directory::ensure`] takes what is there in its place.
    pub(super) fn let_go(&self) {
        self.state().held = None;
        self.held.store(false, Ordering::Relaxed);
    }

    /// Gives a live file the name under which it is kept, and lists it. Returns its path.
    pub(super) fn rotate(&self, live: &str, label: Label, size: u64) -> io::Result<PathBuf> {
        let mut state = self.state();
        let mut number = state.catalogue.next_number(live, label);
        loop {
            let name = RotatedName { label, number, live: live.to_owned(), packing: Packing::Plain };
            number = number.checked_add(1).ok_or(io::ErrorKind::AlreadyExists)?;
            if self.is_taken(&name) {
                continue;
            }
            state.held.as_mut().ok_or(io::ErrorKind::NotFound)?.list.add(&format!("rotated {name}"))?;
            let path = self.path.join(name.to_string());
            match archive::rename_to_new(&self.path.join(format!("{live}{SUFFIX}")), &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                renamed => renamed?,
            }
            state.catalogue.insert(&name, Entry { size, packing: Packing::Plain, stage: Stage::New });
            state.work_waits = true;
            self.work.notify_all();
            self.live_shrank(size);
            return Ok(path);
        }
    }

    /// Whether somebody's file has the name, packed or not.
    fn is_taken(&self, name: &RotatedName) -> bool {
        let there = |packing| fs::symlink_metadata(self.path.join(name.packed(packing).to_string())).is_ok();
        Packing::ALL.into_iter().any(there)
    }

    /// Notes that the clock was set back from one time to another.
    pub(super) fn note_set_back(&self, from: Wall, to: Wall) {
        let line = list::set_back(from, to);
        let mut state = self.state();
        if let Some(held) = &mut state.held {
            // Without it lines of that hour are harder to find, which is no reason to stop writing them.
            let _ = held.list.add(&line);
        }
        state.set_backs.push(line);
    }

    /// Has the keeper leave what it is at, for that may be what fills the disk; says whether it is at anything.
    pub(super) fn halt_keeper(&self) -> bool {
        let mut state = self.state();
        state.halt = state.busy.is_some();
        state.halt
    }

    /// Makes room on a full disk: deletes the oldest file that the keeper is not at, and returns it and its size.
    pub(super) fn make_room(&self) -> Option<(PathBuf, u64)> {
        let mut state = self.state();
        while let Some(oldest) = state.catalogue.oldest(Stage::is_idle)
            && let Some(entry) = state.catalogue.remove(&oldest)
        {
            let path = self.path.join(oldest.to_string());
            match fs::remove_file(&path) {
                Ok(()) => return Some((path, entry.size)),
                // Somebody else was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => state.catalogue.insert(&oldest, Entry { stage: Stage::Stuck, ..entry }),
            }
        }
        None
    }

    /// Takes note of what was written to live files, or of what they have to themselves.
    pub(super) fn live_grew(&self, by: u64) {
        self.live.fetch_add(by, Ordering::Relaxed);
    }

    /// Takes note of what live files are rid of.
    pub(super) fn live_shrank(&self, by: u64) {
        let less = |live: u64| Some(live.saturating_sub(by));
        let _ = self.live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
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
        let idle = |state: &mut State| !state.ended && !state.work_waits;
        let waited = self.work.wait_timeout_while(self.state(), patience, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.ended {
            // In the same breath, so that nobody takes a keeper that goes for one that stays.
            state.has_keeper = false;
            self.work.notify_all();
            return Work::End;
        }
        match state.catalogue.new_one() {
            _ if state.held.is_none() => {
                state.work_waits = false;
                Work::Nothing
            }
            Some(name) => {
                state.busy = Some(name.clone());
                Work::Settle(name)
            }
            None => {
                state.work_waits = false;
                Work::Limit
            }
        }
    }

    /// Takes note of what became of the file that the keeper was at; `None` where it is gone. A keeper that was halted rests a while.
    pub(super) fn settled(&self, name: &RotatedName, entry: Option<Entry>) {
        let mut state = self.state();
        state.busy = None;
        if std::mem::take(&mut state.halt) {
            state.work_waits = false;
        }
        match entry {
            Some(entry) => state.catalogue.update(name, entry),
            None => {
                state.catalogue.remove(name);
            }
        }
    }

    /// Sends the keeper home.
    pub(super) fn end(&self) {
        self.state().ended = true;
        self.work.notify_all();
    }

    /// Has a keeper stay; says whether there is none, so that one is to be sent for.
    pub(super) fn wants_keeper(&self) -> bool {
        let mut state = self.state();
        state.ended = false;
        !std::mem::replace(&mut state.has_keeper, true)
    }

    /// Waits until the keeper, which was sent home, has gone.
    pub(super) fn wait_for_keeper(&self) {
        let gone = self.work.wait_while(self.state(), |state| state.has_keeper);
        drop(gone.unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether the keeper is to leave what it is at.
    pub(super) fn is_halted(&self) -> bool {
        let state = self.state();
        state.ended || state.halt || state.held.is_none()
    }

    pub(super) fn is_ended(&self) -> bool {
        self.state().ended
    }

    /// What is known of a rotated file.
    pub(super) fn entry(&self, name: &RotatedName) -> Option<Entry> {
        self.state().catalogue.get(name)
    }

    /// Takes note of what became of a rotated file, if it is known.
    pub(super) fn update(&self, name: &RotatedName, entry: Entry) {
        self.state().catalogue.update(name, entry);
    }

    /// Forgets a rotated file that is to be deleted, so that nobody else deletes or packs it.
    pub(super) fn forget(&self, name: &RotatedName) -> Option<Entry> {
        self.state().catalogue.remove(name)
    }

    /// The names of the live files that have rotated ones.
    pub(super) fn lives(&self) -> Vec<Arc<str>> {
        self.state().catalogue.lives()
    }

    /// The files beyond the `keep` latest of a live file, the oldest first.
    pub(super) fn surplus(&self, live: &str, keep: usize) -> Vec<RotatedName> {
        self.state().catalogue.surplus(live, keep)
    }

    /// The oldest file of those that have got so far.
    pub(super) fn oldest(&self, may_go: impl Fn(Stage) -> bool) -> Option<RotatedName> {
        self.state().catalogue.oldest(may_go)
    }

    /// Has what failed be tried again.
    pub(super) fn retry_failed(&self) {
        let mut state = self.state();
        state.catalogue.retry_failed();
        state.work_waits = true;
    }

    /// Bytes in live and rotated files.
    pub(super) fn total(&self) -> u64 {
        self.live.load(Ordering::Relaxed).saturating_add(self.state().catalogue.bytes())
    }

    /// Looks how large the files are, for somebody else may have cut or deleted some.
    pub(super) fn measure(&self) -> io::Result<()> {
        let sizes = sizes(&self.path)?;
        let mut state = self.state();
        let names: Vec<_> = state.catalogue.names().collect();
        for name in names {
            match (sizes.get(&name.to_string()), state.catalogue.get(&name)) {
                (Some(size), Some(entry)) => state.catalogue.update(&name, Entry { size: *size, ..entry }),
                (None, Some(entry)) if entry.stage != Stage::Busy => {
                    state.catalogue.remove(&name);
                }
                (None | Some(_), _) => {}
            }
        }
        self.live.store(live(&sizes), Ordering::Relaxed);
        Ok(())
    }

    /// How many files are called like rotated ones and are not listed; told once.
    pub(super) fn unlisted(&self) -> usize {
        std::mem::take(&mut self.state().unlisted)
    }

    /// Has the disk make sure of the list.
    pub(super) fn sync_list(&self) -> io::Result<()> {
        let handle = self.state().held.as_ref().map(|held| held.list.handle()).transpose()?;
        handle.map_or(Ok(()), |file| file.sync_data())
    }

    /// Writes the list anew where it holds much that is of no use any more.
    pub(super) fn tidy_list(&self) {
        let mut state = self.state();
        let useful = state.catalogue.count() + state.set_backs.len();
        if state.held.as_ref().is_some_and(|held| held.list.lines() > 2 * useful + SLACK)
            && let Ok(list) = List::write(&self.path, state.catalogue.names(), &state.set_backs)
            && let Some(held) = &mut state.held
        {
            held.list = list;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an error says that there is no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn lock(dir: &Path) -> io::Result<File> {
    let mut file = open(&dir.join(LOCK), ours().read(true).write(true).create(true))?;
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

/// What is in a directory that is taken.
struct Found {
    catalogue: Catalogue,
    /// Bytes in live files.
    live: u64,
    unlisted: usize,
}

impl Found {
    /// What is there of the `listed` files, whatever a kill has left of packing them cleared up; but for the one that is being packed.
    fn new(dir: &Path, listed: Vec<RotatedName>, busy: Option<&RotatedName>) -> io::Result<Self> {
        let mut sizes = sizes(dir)?;
        let is_left = |name: &RotatedName| {
            let part = |packing: Packing| sizes.contains_key(&format!(".{}.part", name.packed(packing)));
            let there = |packing: Packing| sizes.contains_key(&name.packed(packing).to_string());
            let packed = [Packing::Zstd, Packing::Gzip];
            packed.into_iter().any(part) || there(Packing::Plain) && packed.into_iter().any(there)
        };
        let is_busy = |name: &RotatedName| busy.is_some_and(|busy| busy.packed(Packing::Plain) == *name);
        let left: Vec<_> = listed.iter().filter(|name| is_left(name) && !is_busy(name)).collect();
        if !left.is_empty() {
            // What cannot be cleared up is met again when the file is to be packed, and told then.
            archive::recover(dir, left);
            sizes = self::sizes(dir)?;
        }
        let mut catalogue = Catalogue::default();
        for name in &listed {
            let found = Packing::ALL.into_iter().map(|packing| name.packed(packing));
            let found = found.filter_map(|name| Some((sizes.get(&name.to_string())?, name))).next();
            if let Some((size, name)) = found {
                let stage = if name.packing == Packing::Plain { Stage::New } else { Stage::Done };
                catalogue.insert(&name, Entry { size: *size, packing: name.packing, stage });
            }
        }
        let listed: BTreeSet<_> = listed.into_iter().collect();
        let rotated = sizes.keys().filter_map(|name| RotatedName::parse(name));
        let unlisted = rotated.filter(|name| !listed.contains(&name.packed(Packing::Plain))).count();
        Ok(Self { catalogue, live: live(&sizes), unlisted })
    }
}

/// The regular files in a directory, and their sizes.
fn sizes(dir: &Path) -> io::Result<BTreeMap<String, u64>> {
    let mut sizes = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // One that has gone meanwhile is none.
        if let (Ok(name), Ok(meta)) = (entry.file_name().into_string(), entry.metadata())
            && meta.is_file()
        {
            sizes.insert(name, meta.len());
        }
    }
    Ok(sizes)
}

/// Bytes in files that are called like live ones.
fn live(sizes: &BTreeMap<String, u64>) -> u64 {
    let is_live = |name: &str| name.ends_with(SUFFIX) && RotatedName::parse(name).is_none();
    sizes.iter().filter(|(name, _)| is_live(name)).map(|(_, size)| size).sum()
}
