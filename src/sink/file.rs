//! Lines in files and on standard output, written by a thread of their own.
//!
//! The driver hands records over through a bounded [`Queue`] that never makes it wait; the writer thread renders them and
//! writes whole lines, at once when it is quiet and in batches under load. Whatever cannot be written is counted, and told of
//! in the very file that lacks it as soon as that can be written again.
//!
//! A line that `write(2)` has taken survives this process, and a loss of power once the file was synced. This module knows no
//! configuration, reads no clock for a label and prints nothing: trouble goes to the [`Notice`] callback.
//!
//! | part | what it does |
//! |---|---|
//! | `queue`, `writer` | records from the driver; the thread that takes them |
//! | `output`, `log_file` | which line goes into which file, when that is rotated, what becomes of lines that cannot be written |
//! | `directory`, `catalogue` | whose a directory is, and which rotated files are in it |
//! | `check` | whether an output could be written, without taking it |
//! | `keeper`, `syncer` | threads of their own, for what may take long: packing, deleting, syncing |

mod catalogue;
mod check;
mod directory;
mod keeper;
mod list;
mod log_file;
mod output;
mod own;
mod queue;
mod syncer;
mod tenants;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use check::{check, could_be_made};
pub use list::{LISTED, listed};
pub use queue::Queue;

use self::output::Sink;
use self::queue::{Inbox, Message, Shared};
use self::tenants::Tenants;
use super::line::Style;
use super::rotation::{Packing, Rotate};

/// Where lines go, and what they look like there.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Where.
    pub place: Place,
    /// What they look like.
    pub style: Style,
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A directory that is ours alone: its files are rotated, packed and deleted.
    Directory {
        /// The directory; made where it is missing.
        dir: PathBuf,
        /// Which file in it.
        layout: Layout,
        /// What becomes of the files.
        keeping: Keeping,
    },
    /// One file for all targets, which others may write to as well.
    File {
        /// The file; made where it is missing, its directory as well.
        path: PathBuf,
    },
    /// Standard output.
    Stdout,
}

/// Which line goes to which file of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// A file for each target, `NAME.log`.
    PerTarget,
    /// One file of this name, `.log` added, for all targets.
    Combined(String),
}

/// What becomes of a directory's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// Whether a file is rotated when its time is over.
    pub rotate: Rotate,
    /// Bytes from which on a file is rotated, whatever the time.
    pub max_size: Option<NonZeroU64>,
    /// Rotated files that are kept for each live one.
    pub keep: Option<NonZeroU32>,
    /// Bytes that live and rotated files may take together.
    pub max_total: Option<NonZeroU64>,
    /// How rotated files are packed.
    pub packing: Packing,
    /// Time between two calls of fdatasync(2); none where the system is to choose.
    pub sync: Option<Duration>,
}

/// What the log may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files kept open at a time. One more is open for a moment while another takes its place.
    pub open_files: NonZeroUsize,
    /// Records that may wait to be written; further ones are counted and dropped.
    pub waiting: usize,
}

impl Limits {
    /// Records that may wait unless somebody chooses otherwise: 19 MiB of them, or what 50,000 lines a second bring while a
    /// disk stalls for two and a half seconds.
    pub const WAITING: usize = 131_072;
}

/// Something about the log that its operator should hear of.
#[derive(Debug)]
pub enum Notice {
    /// A file could not be written. Told once for each output and kind of error until the output has recovered.
    Failed {
        /// The first file in which the error was met.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
    /// All files of an output that had failed are written again.
    Recovered {
        /// The output's directory or file.
        path: PathBuf,
        /// Lines that were given up meanwhile.
        not_written: u64,
    },
    /// Live files were deleted, or moved away, by somebody else; others take their place.
    Replaced {
        /// The first of them.
        path: PathBuf,
        /// How many.
        files: usize,
        /// Bytes of deleted files that were written since they were last seen, and are in the new ones.
        saved: u64,
    },
    /// A file's time is over and it cannot be rotated: it grows. Told once until a rotation works again.
    NotRotated {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A rotated file cannot be packed, and stays what it is. Told once until packing works again.
    NotPacked {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A rotated file cannot be deleted. Told once until it works again.
    NotDeleted {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Rotated files were deleted.
    Deleted {
        /// Which, the oldest first.
        paths: Vec<PathBuf>,
        /// Their size.
        bytes: u64,
        /// Why.
        why: Why,
    },
    /// What was written to a file may be lost with the next loss of power (fsync(2)): the system may have dropped it, so trying again
    /// would prove nothing.
    NotSynced {
        /// The first of the files.
        path: PathBuf,
        /// How many.
        files: usize,
        /// Why.
        error: io::Error,
    },
    /// An output that still failed was replaced, or the log ended.
    Abandoned {
        /// The output's directory or file.
        path: PathBuf,
        /// Lines that were given up, those of the failure before included.
        not_written: u64,
    },
    /// Files that are called like rotated ones are not on the list of those that were rotated here: they are left alone.
    Unlisted {
        /// The directory.
        dir: PathBuf,
        /// How many.
        files: usize,
    },
    /// The reader of standard output has gone (EPIPE); nothing more is written there.
    StdoutClosed,
}

/// Why rotated files were deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Their live file has this many later ones.
    Number(u32),
    /// The directory's files take more than so many bytes.
    Total(u64),
    /// The disk is full.
    DiskFull,
}

/// Who hears of the log's troubles: called by each of its threads.
pub(crate) type Notify = Arc<dyn Fn(Notice) + Send + Sync>;

/// Records and lines that did not reach a file, counted since the start; readable from any thread.
#[derive(Debug, Default)]
pub struct Losses {
    queue_full: AtomicU64,
    write_failed: AtomicU64,
}

impl Losses {
    /// Records dropped because too many were waiting.
    pub fn queue_full(&self) -> u64 {
        self.queue_full.load(Ordering::Relaxed)
    }

    /// Lines given up because a file could not be written for too long.
    pub fn write_failed(&self) -> u64 {
        self.write_failed.load(Ordering::Relaxed)
    }

    fn add_queue_full(&self, count: u64) {
        self.queue_full.fetch_add(count, Ordering::Relaxed);
    }

    fn add_write_failed(&self, count: u64) {
        self.write_failed.fetch_add(count, Ordering::Relaxed);
    }
}

/// Why the log cannot do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory cannot be used.
    #[error("cannot write to {}: {source}", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The thread could not be started.
    #[error("cannot start the log's thread: {0}")]
    Thread(#[source] io::Error),
    /// The queue is full, so that there is no room for an order either.
    #[error("the log is too far behind to take an order")]
    Behind,
    /// The thread has ended.
    #[error("the log has ended")]
    Ended,
}

/// A running log: three handles that go to three owners.
#[derive(Debug)]
pub struct Writer {
    /// The driver's end. Dropping it ends the thread after everything has been written.
    pub queue: Queue,
    /// The operator's end.
    pub control: Control,
    /// The thread itself. A stuck disk holds it up for as long as the disk is stuck: who waits for it keeps a deadline.
    pub thread: JoinHandle<()>,
}

impl Writer {
    /// Starts a log. `zones` tells the names of network interfaces and is called by the thread, as is `notify`.
    ///
    /// # Errors
    /// [`Error::Unusable`] where an output cannot be written, [`Error::Thread`] where there is no thread to be had.
    pub fn spawn(
        outputs: &[Output],
        limits: Limits,
        zones: impl FnMut(u32) -> Option<Arc<str>> + Send + 'static,
        notify: impl Fn(Notice) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let tenants = Tenants::new(Arc::new(notify));
        let sinks = Sink::prepare_all(outputs, &tenants)?;
        let (queue, inbox) = queue::new(limits.waiting);
        let notify = Arc::clone(tenants.notify());
        let control = Control { messages: queue.messages(), shared: Arc::clone(queue.shared()), tenants };
        let thread = spawn(inbox, sinks, limits, Box::new(zones), notify).map_err(Error::Thread)?;
        Ok(Self { queue, control, thread })
    }
}

fn spawn(
    inbox: Inbox,
    sinks: Vec<Sink>,
    limits: Limits,
    zones: output::Zones,
    notify: Notify,
) -> io::Result<JoinHandle<()>> {
    let (losses, steps) = (Arc::clone(inbox.losses()), Arc::clone(inbox.steps()));
    let desk = output::Desk::new(limits.open_files, losses, steps, zones, notify);
    thread::Builder::new().name("log".into()).spawn(move || writer::Thread::new(inbox, sinks, desk).run())
}

/// Gives a running log orders. It does not keep the log alive.
#[derive(Debug, Clone)]
pub struct Control {
    messages: Weak<mpsc::SyncSender<Message>>,
    shared: Arc<Shared>,
    tenants: Tenants,
}

impl Control {
    /// Closes every file, so that its next line opens it anew: for logrotate(8), and after a directory was moved away.
    /// Directories are made again where they are missing.
    pub fn reopen(&self) {
        self.shared.ask_to_reopen();
        // A full queue wakes the thread as well, and an ended one has nothing open.
        let _ = self.send(Message::Wake);
    }

    /// Writes from here on to `outputs`. Records that were flushed before still go to the outputs they were meant for. Where only the
    /// limits of a directory are other ones, lines that wait for its disk go on waiting.
    ///
    /// Opens files in the calling thread, which must not be the driver's.
    ///
    /// # Errors
    /// [`Error::Unusable`] where an output cannot be written, [`Error::Behind`] or [`Error::Ended`] where the thread cannot
    /// take the order; the outputs then stay what they were.
    pub fn replace(&self, outputs: &[Output]) -> Result<(), Error> {
        self.send(Message::Replace(Sink::prepare_all(outputs, &self.tenants)?))
    }

    /// Records that were handed over and are not yet rendered.
    pub fn waiting(&self) -> usize {
        self.shared.waiting()
    }

    /// Calls to the file system that have returned to the thread, whatever they returned: a disk that is slow still answers some.
    pub fn steps(&self) -> u64 {
        self.shared.steps()
    }

    /// The newest mark of [`Queue::mark`] that the thread has come to: all that was handed over before it was written, or put by for a
    /// later try where the disk refused it.
    pub fn marked(&self) -> u64 {
        self.shared.marked()
    }

    /// Whether every line was written or given up, and the log ends as soon as the disk has made sure of them.
    pub fn is_written(&self) -> bool {
        self.shared.is_written()
    }

    /// What did not reach a file.
    pub fn losses(&self) -> Arc<Losses> {
        Arc::clone(self.shared.losses())
    }

    fn send(&self, message: Message) -> Result<(), Error> {
        let messages = self.messages.upgrade().ok_or(Error::Ended)?;
        messages.try_send(message).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => Error::Behind,
            mpsc::TrySendError::Disconnected(_) => Error::Ended,
        })
    }
}
