//! The keeper: a thread of low priority that looks after a directory's rotated files. It syncs and packs them, and deletes those
//! beyond the limits.
//!
//! Whatever it is doing when the process is killed is settled by the next one. It waits for no line and no line waits for it.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::catalogue::{Entry, Stage};
use super::directory::{Directory, Work};
use super::{Notice, Notify, Why};
use crate::sink::archive::{self, Recovered};
use crate::sink::rotation::{Packing, RotatedName};

/// Time between two looks at the limits if nothing is rotated: what live files grow by meanwhile may go beyond the budget.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The lowest priority (nice(1)): whatever else runs on the machine goes first.
const NICE: i32 = 19;

/// Starts a keeper. It ends when it is told to ([`Directory::end`]) and what it is at is done.
pub(super) fn spawn(directory: &Arc<Directory>, notify: &Notify) -> io::Result<()> {
    let mut keeper = Keeper { directory: Arc::clone(directory), notify: Arc::clone(notify), failing: false };
    directory.set_kept(true);
    let started = thread::Builder::new().name("log-keeper".into()).spawn(move || keeper.run());
    started.map(drop).inspect_err(|_| directory.set_kept(false))
}

struct Keeper {
    directory: Arc<Directory>,
    notify: Notify,
    /// Whether it was told that something cannot be synced, packed or deleted, and has not worked since.
    failing: bool,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.directory.set_kept(false);
    }
}

impl Keeper {
    fn run(&mut self) {
        // Of this thread alone (setpriority(2)); where it is refused, the work is done all the same.
        let _ = rustix::process::setpriority_process(None, NICE);
        loop {
            match self.directory.wait_for_work(LOOK_EVERY) {
                Work::Settle(name) => {
                    // What is beyond its number need not be packed first; but what is packed may fit into the budget.
                    self.limit(|stage| matches!(stage, Stage::Done | Stage::Failed));
                    self.settle(&name);
                }
                Work::Limit => {
                    self.limit(Stage::is_idle);
                    self.directory.tidy_list();
                }
                Work::End => return,
            }
        }
    }

    /// Syncs and packs one file.
    fn settle(&mut self, name: &RotatedName) {
        let Some(entry) = self.directory.entry(name) else { return };
        self.directory.update(name, Entry { stage: Stage::Busy, ..entry });
        match self.settled(name, entry) {
            Ok(entry) => self.directory.update(name, entry),
            // Somebody took the file away, or all of them.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.directory.forget(name);
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::Interrupted {
                    self.fail(name, error);
                }
                self.directory.update(name, Entry { stage: Stage::Failed, ..entry });
            }
        }
    }

    fn settled(&mut self, name: &RotatedName, entry: Entry) -> io::Result<Entry> {
        if let Some(entry) = self.recovered(name, entry)? {
            return Ok(entry);
        }
        let path = self.path(name);
        let file = File::open(&path)?;
        if let Err(error) = file.sync_data() {
            (self.notify)(Notice::NotSynced { path: path.clone(), error });
        }
        File::open(self.directory.path())?.sync_all()?;
        let packing = self.directory.keeping().packing;
        let given_up = || self.directory.entry(name).is_none();
        let packed = archive::pack(&path, packing, &|| self.directory.is_ended() || given_up());
        if given_up() && packing != Packing::Plain {
            // The disk is full, and the original was deleted for the room it took: what holds it now takes room as well.
            let _ = fs::remove_file(self.path(&name.packed(packing)));
        }
        let packed = packed?;
        self.failing = false;
        Ok(Entry { size: fs::metadata(packed)?.len(), packing, stage: Stage::Done })
    }

    /// Clears up what an earlier process left when it was killed while packing; where the file had been packed, nothing is left to do.
    fn recovered(&self, name: &RotatedName, entry: Entry) -> io::Result<Option<Entry>> {
        for recovered in archive::recover(self.directory.path(), [name]) {
            match recovered {
                Recovered::PartRemoved(_) => {}
                Recovered::OriginalRemoved(_) => {
                    let packed = Packing::ALL.into_iter().map(|packing| name.packed(packing));
                    let found = packed.filter_map(|name| Some((name.packing, fs::metadata(self.path(&name)).ok()?)));
                    let mut found =
                        found.map(|(packing, meta)| Entry { size: meta.len(), packing, stage: Stage::Done });
                    return Ok(Some(found.next_back().unwrap_or(entry)));
                }
                Recovered::Differs { packed, .. } => {
                    let told = format!("{} is there, and holds something else", packed.display());
                    return Err(io::Error::new(io::ErrorKind::AlreadyExists, told));
                }
                Recovered::Failed(_, error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn fail(&mut self, name: &RotatedName, error: io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            (self.notify)(Notice::NotPacked { path: self.path(name), error });
        }
    }

    /// Deletes what is beyond the limits, the oldest first; for the budget's sake only what has got so far.
    fn limit(&mut self, may_go: fn(Stage) -> bool) {
        let keeping = self.directory.keeping();
        if let Some(keep) = keeping.keep {
            let surplus = self.directory.surplus(keep.get() as usize);
            self.delete(surplus, Why::Number(keep.get()));
        }
        let Some(max_total) = keeping.max_total.map(|max| max.get()) else { return };
        if self.directory.total() <= max_total {
            return;
        }
        self.measure();
        while self.directory.total() > max_total && !self.directory.is_ended() {
            match self.directory.oldest(may_go) {
                Some(oldest) => {
                    if !self.delete(vec![oldest], Why::Total(max_total)) {
                        return;
                    }
                }
                // What is yet to be packed comes first.
                None if self.directory.oldest(Stage::is_idle).is_some() => return,
                None => return self.directory.ask_for_relief(self.directory.total().saturating_sub(max_total)),
            }
        }
    }

    /// Looks how large the files are, for somebody else may have deleted some.
    fn measure(&self) {
        for name in self.directory.names().into_iter().take_while(|_| !self.directory.is_ended()) {
            match fs::symlink_metadata(self.path(&name)) {
                Ok(meta) => {
                    if let Some(entry) = self.directory.entry(&name) {
                        self.directory.update(&name, Entry { size: meta.len(), ..entry });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.directory.forget(&name);
                }
                Err(_) => {}
            }
        }
    }

    /// Deletes files and says which; returns whether all are gone.
    fn delete(&mut self, names: Vec<RotatedName>, why: Why) -> bool {
        let (mut gone, mut bytes, mut all) = (Vec::new(), 0, true);
        for name in names.into_iter().take_while(|_| !self.directory.is_ended()) {
            let Some(entry) = self.directory.forget(&name) else { continue };
            let path = self.path(&name);
            match fs::remove_file(&path) {
                Ok(()) => {
                    bytes += entry.size;
                    gone.push(path);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    self.directory.restore(&name, entry);
                    if !std::mem::replace(&mut self.failing, true) {
                        (self.notify)(Notice::NotDeleted { path, error });
                    }
                    all = false;
                }
            }
        }
        if !gone.is_empty() {
            (self.notify)(Notice::Deleted { paths: gone, bytes, why });
        }
        all
    }

    fn path(&self, name: &RotatedName) -> PathBuf {
        self.directory.path().join(name.to_string())
    }
}
