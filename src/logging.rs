//! Diagnostics: what the program has to say about itself, on standard error and in a file of its own, never the lines of the log.
//!
//! Where standard error is the journal, they go there by its own protocol, with fields to query by; everywhere else the message is all.
//! `RUST_LOG` chooses the level, before the one that is given. The loop's thread never comes here: it sends its notices to the main
//! thread. The file is appended to and nothing else: who may cut it, and when, this module does not know.

pub mod event;
mod field;
mod journal;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{self, PanicHookInfo};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tracing::{Level, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Directive;
use tracing_subscriber::fmt::format::{Format, Full};
use tracing_subscriber::fmt::time::ChronoLocal;
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, fmt, registry};

use self::field::MessageOnly;
use self::journal::Journal;

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

/// Starts diagnostics on standard error, or in the journal where that is the journal, and in `file` where there is one; lines are
/// stamped. Each is written by a thread of its own, and messages are dropped where nobody takes them: neither a full pipe nor a stopped
/// terminal nor a slow disk nor a journal that hangs may hold up whoever says something, or the other of the two. What the disk refuses
/// is lost to the file without a word.
pub fn start(level: Level, file: Option<File>) -> Guard {
    // surge-ping speaks on the loop's thread, when it opens a socket.
    let quiet = [Directive::from_str("surge_ping=off").ok()];
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level.as_str()));
    let filter = quiet.into_iter().flatten().fold(filter, EnvFilter::add_directive);
    let journal = is_stderr_the_journal().then(|| Journal::start(journal::SOCKET.into()).ok()).flatten();
    let (journal, stderr, stderr_guard) = match journal {
        Some((journal, guard)) => (Some(journal), None, guard),
        None => {
            let (stderr, guard) = written_aside(io::stderr());
            (None, Some(lines(stderr).with_ansi(io::stderr().is_terminal())), guard)
        }
    };
    let (file, file_guard) = file.map(written_aside).unzip();
    // A second start, as in a test, changes nothing.
    let _ = registry().with(filter).with(journal).with(stderr).with(file.map(lines)).try_init();
    Guard { _stderr: stderr_guard, _file: file_guard }
}

/// Says on standard error why the program cannot start, or not go on: before diagnostics are up, or after. In the journal it is an error.
pub fn complain(text: &str) {
    // Whoever reads standard error may have gone; then there is nobody to tell.
    let _ = io::stderr().lock().write_all(complaint(text, is_stderr_the_journal()).as_bytes());
}

/// Has panics told as errors where standard error is the journal, which takes each of their lines for information otherwise.
pub fn mark_panics() {
    if is_stderr_the_journal() {
        panic::set_hook(Box::new(|info| complain(&panicked(info, &Backtrace::capture()))));
    }
}

fn panicked(info: &PanicHookInfo<'_>, backtrace: &Backtrace) -> String {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("unnamed");
    // Where RUST_BACKTRACE asks for none, it is no more than a word about that.
    let backtrace = match backtrace.status() == BacktraceStatus::Captured {
        true => format!("\n{backtrace}"),
        false => String::new(),
    };
    format!("thread '{name}' {info}{backtrace}")
}

/// `text` in the program's name; for the journal each line with the priority of an error (sd-daemon(3)).
fn complaint(text: &str, is_for_the_journal: bool) -> String {
    let lines = format!("pingtest: {text}");
    let priority = if is_for_the_journal { "<3>" } else { "" };
    lines.lines().map(|line| format!("{priority}{line}\n")).collect()
}

/// Whether systemd has connected standard error with the journal, and nobody has led it elsewhere since: JOURNAL_STREAM in systemd.exec(5).
fn is_stderr_the_journal() -> bool {
    let stat = rustix::fs::fstat(io::stderr().as_fd());
    std::env::var_os("JOURNAL_STREAM")
        .zip(stat.ok())
        .is_some_and(|(stream, stat)| names(&stream, stat.st_dev, stat.st_ino))
}

/// Whether JOURNAL_STREAM names the file of this device and inode.
fn names(stream: &OsStr, dev: u64, ino: u64) -> bool {
    stream.to_str() == Some(&format!("{dev}:{ino}"))
}

/// A way to write that never waits.
fn written_aside(to: impl Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default().buffered_lines_limit(WAITING).thread_name("diagnostics").finish(to)
}

/// Lines as they are in a file.
fn lines<S: Subscriber + for<'a> LookupSpan<'a>>(
    to: NonBlocking,
) -> fmt::Layer<S, MessageOnly, Format<Full, ChronoLocal>, NonBlocking> {
    fmt::layer()
        .fmt_fields(MessageOnly)
        .with_target(false)
        .with_ansi(false)
        .with_timer(ChronoLocal::new("%F %T%.3f".into()))
        .with_writer(to)
        // It would tell standard error that standard error cannot be written, and panic.
        .log_internal_errors(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        assert!(names(OsStr::new("9:4711"), 9, 4711));
        for other in ["", "9", "9:4712", "8:4711", "9:4711 ", "09:4711"] {
            assert!(!names(OsStr::new(other), 9, 4711), "{other}");
        }
    }

    #[test]
    fn each_line_of_a_complaint_is_an_error_in_the_journal_and_plain_elsewhere() {
        assert_eq!(complaint("a\nb", true), "<3>pingtest: a\n<3>b\n");
        assert_eq!(complaint("a\nb", false), "pingtest: a\nb\n");
    }
}
