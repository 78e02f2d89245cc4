//! The syncer: a thread that has the disk make sure of what was written (fdatasync(2)), so that nobody else waits for it.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use super::{Notice, Notify};

/// Hands work to the thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Syncer {
    batches: SyncSender<Batch>,
    busy: Arc<AtomicBool>,
}

/// Files to be synced, and the directory they are in.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) files: Vec<PathBuf>,
    pub(super) dir: PathBuf,
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
    for batch in inbox {
        sync_all(&batch, notify);
        busy.store(false, Ordering::Release);
    }
}

/// Syncs each file by a descriptor of its own: the pages are the file's, whoever wrote them, and an error that nobody was told of is
/// told to whoever asks first (the kernel's errseq). A file that was moved meanwhile is left to whoever moved it.
pub(super) fn sync_all(batch: &Batch, notify: &Notify) {
    let dir = (&batch.dir, File::open(&batch.dir).and_then(|dir| dir.sync_all()));
    let files = batch.files.iter().map(|path| (path, File::open(path).and_then(|file| file.sync_data())));
    for (path, synced) in files.chain([dir]) {
        match synced {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                notify(Notice::NotSynced { path: path.clone(), error });
            }
            Ok(()) | Err(_) => {}
        }
    }
}
