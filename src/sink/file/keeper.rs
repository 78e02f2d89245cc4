//! The keeper: a thread of low priority that looks after a directory's rotated files. It syncs and packs them, and deletes those
//! beyond the limits.
//!
//! Whatever it is doing when the process is killed is settled by the next one. No line waits for what it does to files.

use std::fs::{self, File};
use std::io;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::catalogue::{Entry, Stage};
use super::directory::{Directory, Work, is_full};
use super::{Notice, Notify, Why};
use crate::sink::archive;
use crate::sink::rotation::{Packing, RotatedName};

/// Time between two looks at the limits if nothing is rotated: what live files grow by meanwhile may go beyond the budget.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks after which what could not be packed or deleted is tried again: ten minutes, for it may mean reading a large file.
const RETRY_AFTER: u32 = 600;
/// The lowest priority (nice(1)): whatever else runs on the machine goes first.
const NICE: i32 = 19;

/// Has a directory kept, until its keeper is sent home ([`Directory::end`]).
pub(super) fn send_for(directory: &Arc<Directory>, notify: &Notify) -> io::Result<()> {
    if !directory.wants_keeper() {
        return Ok(());
    }
    let mut keeper = Keeper {
        directory: Arc::clone(directory),
        notify: Arc::clone(notify),
        cannot_pack: false,
        cannot_delete: false,
        limited_to: None,
        looks: 0,
    };
    thread::Builder::new().name("log-keeper".into()).spawn(move || keeper.run()).map(drop)
}

struct Keeper {
    directory: Arc<Directory>,
    notify: Notify,
    /// Whether it was told that something cannot be packed, and nothing has been since.
    cannot_pack: bool,
    /// Whether it was told that something cannot be deleted, and nothing has been since.
    cannot_delete: bool,
    /// The number of files that every live file was last seen to keep.
    limited_to: Option<Option<NonZeroU32>>,
    /// Looks at the limits since what failed was tried again.
    looks: u32,
}

impl Keeper {
    fn run(&mut self) {
        // Of this thread alone (setpriority(2)); where it is refused, the work is done all the same.
        let _ = rustix::process::setpriority_process(None, NICE);
        loop {
            match self.directory.wait_for_work(LOOK_EVERY) {
                Work::Settle(name) => {
                    // What is beyond its number need not be packed first.
                    self.limit_number(&[name.live.as_str().into()]);
                    self.settle(&name);
                    // What is yet to be packed may fit into the budget then.
                    self.limit_total(|stage| matches!(stage, Stage::Done | Stage::Failed));
                }
                Work::Limit => self.look(),
                Work::Nothing => {}
                Work::End => return,
            }
        }
    }

    fn look(&mut self) {
        let unlisted = self.directory.unlisted();
        if unlisted > 0 {
            (self.notify)(Notice::Unlisted { dir: self.directory.path().to_owned(), files: unlisted });
        }
        let keep = self.directory.keeping().keep;
        if self.limited_to.replace(keep) != Some(keep) {
            let lives = self.directory.lives();
            self.limit_number(&lives);
        }
        self.limit_total(Stage::is_idle);
        self.directory.tidy_list();
        self.looks += 1;
        if self.looks == RETRY_AFTER {
            self.looks = 0;
            self.directory.retry_failed();
        }
    }

    /// Syncs and packs one file.
    fn settle(&mut self, name: &RotatedName) {
        let Some(entry) = self.directory.entry(name) else { return self.directory.settled(name, None) };
        self.directory.update(name, Entry { stage: Stage::Busy, ..entry });
        let settled = match self.sync_and_pack(name) {
            Ok((packing, size)) => {
                self.cannot_pack = false;
                Some(Entry { size, packing, stage: Stage::Done })
            }
            // Somebody took the file away, or all of them.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Some(Entry { stage: Stage::New, ..entry }),
            Err(error) => {
                if !std::mem::replace(&mut self.cannot_pack, true) {
                    (self.notify)(Notice::NotPacked { path: self.path(name), error });
                }
                Some(Entry { stage: Stage::Failed, ..entry })
            }
        };
        self.directory.settled(name, settled);
    }

    /// Makes sure of a file and of its name, and packs it; returns what it has become.
    fn sync_and_pack(&mut self, name: &RotatedName) -> io::Result<(Packing, u64)> {
        let path = self.path(name);
        // The list first: a file that has its name and is not listed would be nobody's.
        let synced = self.directory.sync_list().and_then(|()| File::open(&path)?.sync_data());
        if let Err(error) = synced {
            if error.kind() == io::ErrorKind::NotFound {
                return Err(error);
            }
            (self.notify)(Notice::NotSynced { path: path.clone(), files: 1, error });
        }
        File::open(self.directory.path())?.sync_all()?;
        let packing = if name.packing == Packing::Plain { self.directory.keeping().packing } else { Packing::Plain };
        loop {
            match archive::pack(&path, packing, &|| self.directory.is_halted()) {
                Ok(packed) if packing == Packing::Plain => return Ok((name.packing, fs::metadata(packed)?.len())),
                Ok(packed) => return Ok((packing, fs::metadata(packed)?.len())),
                // Packed, it takes a fraction of its room: worth an older file.
                Err(error) if is_full(&error) && self.made_room() => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn made_room(&self) -> bool {
        let room = self.directory.make_room();
        if let Some((path, bytes)) = &room {
            (self.notify)(Notice::Deleted { paths: vec![path.clone()], bytes: *bytes, why: Why::DiskFull });
        }
        room.is_some()
    }

    /// Deletes what live files have beyond the number that is kept.
    fn limit_number(&mut self, lives: &[Arc<str>]) {
        let Some(keep) = self.directory.keeping().keep else { return };
        let mut gone = Gone::default();
        for live in lives {
            for name in self.directory.surplus(live, keep.get() as usize) {
                self.delete(&name, &mut gone);
            }
        }
        gone.tell(&self.notify, Why::Number(keep.get()));
    }

    /// Deletes the oldest files while all together are beyond the budget; only those that have got so far.
    fn limit_total(&mut self, may_go: fn(Stage) -> bool) {
        let Some(max_total) = self.directory.keeping().max_total.map(|max| max.get()) else { return };
        if self.directory.total() <= max_total || self.directory.measure().is_err() {
            return;
        }
        let mut gone = Gone::default();
        while self.directory.total() > max_total && !self.directory.is_halted() {
            match self.directory.oldest(may_go) {
                Some(oldest) => self.delete(&oldest, &mut gone),
                // What is yet to be packed comes first.
                None if self.directory.oldest(Stage::is_idle).is_some() => break,
                None => {
                    self.directory.ask_for_relief(self.directory.total().saturating_sub(max_total));
                    break;
                }
            }
        }
        gone.tell(&self.notify, Why::Total(max_total));
    }

    /// Deletes a file; one that cannot be deleted is left out from here on.
    fn delete(&mut self, name: &RotatedName, gone: &mut Gone) {
        if self.directory.is_ended() {
            return;
        }
        let Some(entry) = self.directory.entry(name) else { return };
        let path = self.path(name);
        match fs::remove_file(&path) {
            Ok(()) => {
                self.cannot_delete = false;
                self.directory.forget(name);
                gone.bytes += entry.size;
                gone.paths.push(path);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.directory.forget(name);
            }
            Err(error) => {
                self.directory.update(name, Entry { stage: Stage::Stuck, ..entry });
                if !std::mem::replace(&mut self.cannot_delete, true) {
                    (self.notify)(Notice::NotDeleted { path, error });
                }
            }
        }
    }

    fn path(&self, name: &RotatedName) -> PathBuf {
        self.directory.path().join(name.to_string())
    }
}

/// Files that were deleted for one reason.
#[derive(Default)]
struct Gone {
    paths: Vec<PathBuf>,
    bytes: u64,
}

impl Gone {
    fn tell(self, notify: &Notify, why: Why) {
        if !self.paths.is_empty() {
            notify(Notice::Deleted { paths: self.paths, bytes: self.bytes, why });
        }
    }
}
