//! The ledger: what was found out about targets, kept in SQLite, written off the driver's path.
//!
//! The driver hands findings and verdicts over through a bounded [`Queue`] that never makes it wait; the ledger's thread writes them
//! once a second, so that a killed process loses at most a second. What cannot be written is kept for a while, counted and told of.
//! Neither a full disk nor a broken file stops anything else.
//!
//! This module knows no configuration, prints nothing and is handed its clock: trouble goes to the [`Notice`] callback.
//!
//! | part | what it does |
//! |---|---|
//! | `queue`, `writer` | findings and verdicts from the driver; the thread that takes them |
//! | `counts`, `roster` | verdicts by minute and target; who the targets are and how they stand |
//! | `store`, `row`, `carry` | what goes into which table; what an earlier process left there |
//! | `schema`, `place` | the database and its versions; its directory, its lock, and where a broken one goes |
//! | `read`, [`history`] | what it tells of a time |

mod carry;
mod counts;
mod error;
pub mod history;
mod place;
mod queue;
mod read;
mod roster;
mod row;
mod schema;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use self::error::Error;
pub use self::queue::{Dropped, Queue};
pub use self::read::{Query, Sketches, read};
use crate::monitor::outage::Carried;
use crate::monitor::target::Label;
use crate::monitor::time::Wall;

/// How long another process may take to let go of the ledger at the start: one that is told to stop does so within two seconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the ledger is, and how much it keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its file. The directory is made where only that is missing.
    pub path: PathBuf,
    /// How long counts are kept minute by minute. Everything else is kept for ever.
    pub keep_minutes: Duration,
    /// The version of this pingtest, for whoever reads the file.
    pub version: &'static str,
}

/// Something about the ledger that its operator should hear of.
#[derive(Debug)]
pub enum Notice {
    /// It cannot be opened or written. Told once until it has recovered; meanwhile it is tried again.
    Failed {
        /// Why.
        error: Error,
    },
    /// It is written again.
    Recovered {
        /// The ledger.
        path: PathBuf,
        /// What was given up meanwhile.
        given_up: Dropped,
    },
    /// Its file was moved, deleted or put in place of another by somebody else, so that what is there now is gone on with, or a new one
    /// begun. What was in the former one since the last look, and all if it was deleted, is missing.
    TakenAway {
        /// The ledger.
        path: PathBuf,
    },
    /// It was broken. It was moved out of the way, and a fresh one is begun.
    SetAside {
        /// Where the broken one is.
        to: PathBuf,
        /// What was wrong.
        error: Error,
    },
    /// Its thread was too slow for what it was given.
    Behind {
        /// The ledger.
        path: PathBuf,
        /// What found no room.
        dropped: Dropped,
    },
    /// It ended and could not be written to its end.
    Abandoned {
        /// The ledger.
        path: PathBuf,
        /// What is missing from it.
        given_up: Dropped,
    },
}

/// A running ledger.
#[derive(Debug)]
pub struct Ledger {
    /// The driver's end. Dropping it ends the thread after everything has been written.
    pub queue: Queue,
    /// What an earlier process knew of the configured targets; nothing where the ledger cannot be opened.
    pub carried: Vec<Carried>,
    /// The thread itself. A stuck disk holds it up for as long as the disk is stuck: who waits for it keeps a deadline.
    pub thread: JoinHandle<()>,
}

impl Ledger {
    /// Opens the ledger, in the calling thread, and starts its own. One that another process holds is waited for, two seconds at most. A
    /// ledger that cannot be opened is told of, and tried again every ten seconds; what was open in it then has an end that nobody saw.
    /// Open outages of targets that are not `configured` any more are abandoned. `clock` tells the time of day, and `is_logged` at the end
    /// whether the log has the line of every record: where it has not, what came since the last [`Queue::turned`] counts as not measured.
    /// `notify` is called by both threads.
    ///
    /// # Errors
    /// Where no thread can be had (pthread_create(3)).
    pub fn spawn(
        settings: Settings,
        configured: &[Label],
        clock: impl Fn() -> Wall + Send + 'static,
        is_logged: impl Fn() -> bool + Send + 'static,
        notify: impl Fn(Notice) + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, inbox) = queue::new();
        let mut thread = writer::Thread::new(settings, clock, notify);
        let carried = thread.begin(configured, PATIENCE);
        let thread = thread::Builder::new().name("ledger".into()).spawn(move || thread.run(inbox, is_logged))?;
        Ok(Self { queue, carried, thread })
    }
}
