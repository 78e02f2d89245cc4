//! The syncer: a thread that has the disk make sure of what was written (fdatasync(2)), so that nobody else waits for it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use rustix::fs::syncfs;

use super::{Notice, Notify};

/// Files that are synced one by one; more of them are synced with all that their file system holds (syncfs(2)).
const SYNC_EACH: usize = 64;

/// Hands work to the thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Syncer {
    batches: SyncSender<Batch>,
    busy: Arc<AtomicBool>,
}

/// What is to be synced.
#[derive(Debug)]
pub(super) struct Batch {
    /// The directory.
    pub(super) dir: PathBuf,
    /// Files in it.
    pub(super) files: Vec<PathBuf>,
    /// Whether other files may need it that cannot be named: they were moved away.
    pub(super) others: bool,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && !self.others
    }

    /// Syncs all of it, the directory as well; returns what could not be synced first, and how much in all.
    ///
    /// Each file by a descriptor of its own: the pages are the file's, whoever wrote them, and an error that nobody was told of is
    /// told to whoever asks first (the kernel's errseq). A file that was moved meanwhile is left to whoever moved it.
    pub(super) fn sync(&self) -> Option<Failed> {
        let mut failed: Option<Failed> = None;
        let mut note = |path: &Path, synced: io::Result<()>| match (synced, &mut failed) {
            (Ok(()), _) => {}
            (Err(error), _) if error.kind() == io::ErrorKind::NotFound => {}
            (Err(_), Some(failed)) => failed.files += 1,
            (Err(error), failed @ None) => *failed = Some(Failed { path: path.to_owned(), files: 1, error }),
        };
        if self.others || self.files.len() > SYNC_EACH {
            note(&self.dir, File::open(&self.dir).and_then(|dir| Ok(syncfs(dir)?)));
        } else {
            for path in &self.files {
                note(path, File::open(path).and_then(|file| file.sync_data()));
            }
        }
        note(&self.dir, File::open(&self.dir).and_then(|dir| dir.sync_all()));
        failed
    }
}

/// What could not be synced.
#[derive(Debug)]
pub(super) struct Failed {
    path: PathBuf,
    files: usize,
    error: io::Error,
}

impl From<Failed> for Notice {
    fn from(Failed { path, files, error }: Failed) -> Self {
        Self::NotSynced { path, files, error }
    }
}

impl Syncer {
    pub(super) fn spawn(notify: &Notify) -> io::Result<Self> {
        let (batches, inbox) = mpsc::sync_channel(1);
        let busy = Arc::new(AtomicBool::new(false));
        let (notify, done) = (Arc::clone(notify), Arc::clone(&busy));
        thread::Builder::new().name("log-sync".into()).spawn(move || run(&inbox, &notify, &done))?;
        Ok(Self { batches, busy })
    }

    /// Whether it can take a batch: a disk that is slower than the wish sets the pace.
    pub(super) fn is_idle(&self) -> bool {
        !self.busy.load(Ordering::Acquire)
    }

    /// Has a batch synced. To be called while it is idle.
    pub(super) fn sync(&self, batch: Batch) {
        self.busy.store(true, Ordering::Release);
        // The only slot is free while it is idle, and the thread lives as long as this.
        let _ = self.batches.try_send(batch);
    }
}

fn run(inbox: &Receiver<Batch>, notify: &Notify, busy: &AtomicBool) {
    let mut failing = false;
    for batch in inbox {
        let failed = batch.sync();
        let fails = failed.is_some();
        if let (Some(failed), false) = (failed, failing) {
            // Once for as long as it lasts.
            notify(failed.into());
        }
        failing = fails;
        busy.store(false, Ordering::Release);
    }
}
