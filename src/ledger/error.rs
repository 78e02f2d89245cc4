//! What can go wrong with a ledger, and what is to be done about each kind.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process writes it.
    #[error("the ledger {} is in use by another process (its lock is {})", path.display(), lock.display())]
    InUse {
        /// The ledger.
        path: PathBuf,
        /// What the other process has locked.
        lock: PathBuf,
    },
    /// A later pingtest has written it.
    #[error(
        "the ledger {} is of version {version}, and this pingtest knows versions up to {known}: it is left as it is",
        path.display()
    )]
    Newer {
        /// The ledger.
        path: PathBuf,
        /// Its version.
        version: i64,
        /// The latest version known here.
        known: i64,
    },
    /// It is somebody else's, a database or not.
    #[error("{} is no ledger of pingtest: it is left as it is", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// There is none.
    #[error("there is no ledger {}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It must be recovered by somebody who may write.
    #[error(
        "the ledger {} was not closed properly, and reading it takes the right to write to its directory, which only its owner and root \
         have: {source}",
        path.display()
    )]
    Unclosed {
        /// The ledger.
        path: PathBuf,
        /// Why it cannot be read as it is.
        source: rusqlite::Error,
    },
    /// A file or directory cannot be used.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite cannot read or write it.
    #[error("cannot use the ledger {}: {source}", path.display())]
    Sqlite {
        /// The ledger.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

/// What is to be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cure {
    /// The file is beyond use: another one takes its place.
    Replace,
    /// The same again later.
    Retry,
    /// The same again later, with the file opened anew.
    Reopen,
}

impl Error {
    pub(super) fn file(path: &Path, source: impl Into<io::Error>) -> Self {
        Self::File { path: path.to_owned(), source: source.into() }
    }

    pub(super) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        Self::Sqlite { path: path.to_owned(), source }
    }

    /// Whether another process is in the way, and may be gone in a moment.
    pub(super) fn is_busy(&self) -> bool {
        match self {
            Self::InUse { .. } => true,
            Self::Sqlite { source, .. } => {
                matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
            }
            Self::Newer { .. }
            | Self::Foreign { .. }
            | Self::Missing { .. }
            | Self::Unclosed { .. }
            | Self::File { .. } => false,
        }
    }

    pub(super) fn cure(&self) -> Cure {
        match self {
            Self::Sqlite { source, .. } => cure(source),
            Self::InUse { .. }
            | Self::Newer { .. }
            | Self::Foreign { .. }
            | Self::Missing { .. }
            | Self::Unclosed { .. }
            | Self::File { .. } => Cure::Reopen,
        }
    }
}

fn cure(error: &rusqlite::Error) -> Cure {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Cure::Replace,
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Cure::Retry,
        _ => Cure::Reopen,
    }
}
