//! The directories that this process writes to: each is taken once, by whichever output comes first, and let go with the last.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::directory::{Directory, inode_of};
use super::syncer::Syncer;
use super::{Error, Keeping, Notify, keeper};

/// The directories in use.
#[derive(Clone)]
pub(super) struct Tenants {
    notify: Notify,
    taken: Arc<Mutex<Vec<Weak<Tenancy>>>>,
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
        Self { notify, taken: Arc::default() }
    }

    pub(super) fn notify(&self) -> &Notify {
        &self.notify
    }

    /// Takes a directory, or shares it where this process has it.
    pub(super) fn take(&self, dir: &Path, keeping: Keeping) -> Result<Arc<Tenancy>, Error> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|tenancy| tenancy.strong_count() > 0);
        let id = fs::metadata(dir).map(|meta| inode_of(&meta)).ok();
        let same =
            |tenancy: &Arc<Tenancy>| tenancy.directory.path() == dir || id.is_some_and(|id| tenancy.directory.is(id));
        if let Some(tenancy) = taken.iter().filter_map(Weak::upgrade).find(same) {
            return Ok(tenancy);
        }
        let directory =
            Directory::take(dir, keeping).map_err(|source| Error::Unusable { path: dir.to_owned(), source })?;
        let syncer = Syncer::spawn(&self.notify).map_err(Error::Thread)?;
        keeper::spawn(&directory, &self.notify).map_err(Error::Thread)?;
        let tenancy = Arc::new(Tenancy { directory, syncer });
        taken.push(Arc::downgrade(&tenancy));
        Ok(tenancy)
    }
}
