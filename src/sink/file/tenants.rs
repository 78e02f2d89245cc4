//! The directories that this process writes to: each is taken once, by whichever output comes first, and let go with the last.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::directory::{Directory, inode_of};
use super::syncer::Syncer;
use super::{Error, Keeping, Notify, keeper};

/// The directories in use.
#[derive(Clone)]
pub(super) struct Tenants {
    notify: Notify,
    taken: Arc<Mutex<Vec<Taken>>>,
    outputs: Arc<AtomicUsize>,
}

/// A directory that is or was in use. It is ours as long as its keeper has not gone.
struct Taken {
    directory: Weak<Directory>,
    tenancy: Weak<Tenancy>,
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenants").finish_non_exhaustive()
    }
}

/// A directory in use, and the threads that see to it. They end with it.
#[derive(Debug)]
pub(super) struct Tenancy {
    pub(super) directory: Arc<Directory>,
    pub(super) syncer: Syncer,
}

impl Drop for Tenancy {
    fn drop(&mut self) {
        self.directory.end();
    }
}

impl Tenants {
    pub(super) fn new(notify: Notify) -> Self {
        Self { notify, taken: Arc::default(), outputs: Arc::default() }
    }

    pub(super) fn notify(&self) -> &Notify {
        &self.notify
    }

    /// Takes a directory, or shares it where this process has it.
    pub(super) fn take(&self, dir: &Path, keeping: Keeping) -> Result<Arc<Tenancy>, Error> {
        let mut taken = lock(&self.taken);
        taken.retain(|taken| taken.directory.strong_count() > 0);
        let id = fs::metadata(dir).map(|meta| inode_of(&meta)).ok();
        let same = |directory: &Directory| directory.path() == dir || id.is_some_and(|id| directory.is(id));
        let known = taken.iter().filter_map(|taken| Some((taken.directory.upgrade()?, taken.tenancy.upgrade())));
        let directory = match known.into_iter().find(|(directory, _)| same(directory)) {
            Some((_, Some(tenancy))) => return Ok(tenancy),
            Some((directory, None)) => directory,
            None => Directory::take(dir, keeping).map_err(|source| Error::Unusable { path: dir.to_owned(), source })?,
        };
        let syncer = Syncer::spawn(&self.notify).map_err(Error::Thread)?;
        keeper::send_for(&directory, &self.notify).map_err(Error::Thread)?;
        let tenancy = Arc::new(Tenancy { directory, syncer });
        taken.push(Taken { directory: Arc::downgrade(&tenancy.directory), tenancy: Arc::downgrade(&tenancy) });
        Ok(tenancy)
    }

    /// A number for an output that no other has.
    pub(super) fn number(&self) -> usize {
        self.outputs.fetch_add(1, Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
