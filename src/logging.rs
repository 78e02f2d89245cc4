//! Diagnostics: what the program has to say about itself, on standard error and in a file of its own, never the lines of the log.
//!
//! `RUST_LOG` chooses the level, before the one that is given. The loop's thread never comes here: it sends its notices to the main
//! thread. The file is appended to and nothing else: who may cut it, and when, this module does not know.

#[allow(dead_code, reason = "journal and watchdog, which use it, are being built")]
pub(crate) mod event;

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tracing::{Level, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Directive;
use tracing_subscriber::fmt::format::{DefaultFields, Format, Full};
use tracing_subscriber::fmt::time::ChronoLocal;
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, fmt, registry};

/// Lines that may wait to be read; more than a human would want to.
const WAITING: usize = 1024;

/// Keeps diagnostics going; what was said last is written when it is dropped, within a second or so.
#[must_use]
#[derive(Debug)]
pub struct Guard {
    _stderr: WorkerGuard,
    _file: Option<WorkerGuard>,
}

/// The file for diagnostics cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot write diagnostics to {}: {source}", path.display())]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

/// Opens a file for diagnostics, and makes the directory it is in. A named pipe without a reader is an error, not something to wait
/// for.
///
/// # Errors
/// Why it cannot be appended to.
pub fn open(path: &Path) -> Result<File, Error> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    let append = || OpenOptions::new().append(true).create(true).custom_flags(libc::O_NONBLOCK).open(path);
    made.and_then(|()| append()).map_err(|source| Error { path: path.into(), source })
}

/// Starts diagnostics on standard error, and in `file` where there is one. Under systemd the journal stamps each line itself; the
/// file's are always stamped. Each is written by a thread of its own, and lines are dropped where nobody takes them: neither a full
/// pipe nor a stopped terminal nor a slow disk may hold up whoever says something, or the other of the two. What the disk refuses is
/// lost to the file without a word.
pub fn start(level: Level, file: Option<File>) -> Guard {
    // surge-ping speaks on the loop's thread, when it opens a socket.
    let quiet = [Directive::from_str("surge_ping=off").ok()];
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level.as_str()));
    let filter = quiet.into_iter().flatten().fold(filter, EnvFilter::add_directive);
    let (stderr, stderr_guard) = written_aside(io::stderr());
    let stderr = lines(stderr).with_ansi(io::stderr().is_terminal());
    let to_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let stderr = if to_journal { stderr.without_time().boxed() } else { stderr.boxed() };
    let (file, file_guard) = file.map(written_aside).unzip();
    // A second start, as in a test, changes nothing.
    let _ = registry().with(filter).with(stderr).with(file.map(lines)).try_init();
    Guard { _stderr: stderr_guard, _file: file_guard }
}

/// A way to write that never waits.
fn written_aside(to: impl Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default().buffered_lines_limit(WAITING).finish(to)
}

/// Lines as they are in a file.
fn lines<S: Subscriber + for<'a> LookupSpan<'a>>(
    to: NonBlocking,
) -> fmt::Layer<S, DefaultFields, Format<Full, ChronoLocal>, NonBlocking> {
    fmt::layer()
        .with_target(false)
        .with_ansi(false)
        .with_timer(ChronoLocal::new("%F %T%.3f".into()))
        .with_writer(to)
        // It would tell standard error that standard error cannot be written, and panic.
        .log_internal_errors(false)
}
