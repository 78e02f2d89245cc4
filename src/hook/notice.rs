//! What hooks have to tell their operator, in words.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::config::Trigger;
use crate::counted::{counted, either};
use crate::monitor::target::Name;
use crate::printable::printable;

/// What the operator should know. `hook` is the program, or the receiver's scheme and host: the rest of an address may be a secret.
#[derive(Debug)]
pub enum Notice {
    /// An event could not be told. Told of once, then at intervals, whatever the number of events.
    Failed {
        /// Which hook.
        hook: String,
        /// Of which event.
        event: Trigger,
        /// About which target.
        target: Name,
        /// Why, and what the command or the receiver said.
        failure: Failure,
        /// What becomes of the event.
        verdict: Verdict,
        /// Failures of this hook since the last notice that were not told of.
        untold: u64,
    },
    /// A hook that failed works again.
    Recovered {
        /// Which.
        hook: String,
        /// Failures since the last notice that were not told of.
        untold: u64,
    },
    /// Its queue had no room for events.
    Missed {
        /// Which.
        hook: String,
        /// How many, since the last such notice.
        count: u64,
    },
    /// Events that waited when it was stopped.
    Abandoned {
        /// Which.
        hook: String,
        /// How many.
        count: u64,
    },
}

/// What becomes of an event that could not be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is tried again.
    TriedAgain,
    /// It is not.
    GivenUp,
}

/// Why an event could not be told.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The program cannot be run.
    #[error("cannot run it: {0}")]
    NotRun(#[source] io::Error),
    /// It ended with a code other than 0, or by a signal.
    #[error("{status}{}", Quoted(output))]
    Exited {
        /// How.
        status: String,
        /// The end of what it said.
        output: String,
    },
    /// It took too long and was ended, with all it had started.
    #[error("took longer than {:.3} s and was ended{}", after.as_secs_f64(), Quoted(output))]
    TimedOut {
        /// How long it may take.
        after: Duration,
        /// The end of what it said.
        output: String,
    },
    /// The program is stopping, and did not wait for it.
    #[error("was ended, since pingtest stops or the hook was removed{}", Quoted(output))]
    Stopped {
        /// The end of what it said.
        output: String,
    },
    /// No answer came: no connection, no trust, no time.
    #[error("{0}")]
    NoAnswer(String),
    /// The receiver's answer is not that it took it.
    #[error("answered {code} {reason}{}", Quoted(body))]
    Refused {
        /// The status code (RFC 9110).
        code: u16,
        /// What it is called.
        reason: &'static str,
        /// The beginning of what it said.
        body: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { hook, event, target, failure, verdict, untold } => {
                write!(f, "hook {hook}: {} of {target} not told: {failure}", event.word())?;
                match verdict {
                    Verdict::TriedAgain => f.write_str("; it is tried again")?,
                    Verdict::GivenUp => {}
                }
                write!(f, "{}", More(*untold))
            }
            Self::Recovered { hook, untold } => write!(f, "hook {hook} works again{}", More(*untold)),
            Self::Missed { hook, count } => write!(f, "hook {hook} is too slow: {}", not_told(*count)),
            Self::Abandoned { hook, count } => write!(f, "hook {hook} has stopped: {}", not_told(*count)),
        }
    }
}

/// `1 event was not told`, `2 events were not told`
fn not_told(events: u64) -> String {
    format!("{} {} not told", counted(events, "event"), either(events, "was", "were"))
}

/// So many failures that were not told of, in brackets; nothing where there are none.
struct More(u64);

impl fmt::Display for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({} since the last such message)", counted(count, "more failure")),
        }
    }
}

/// What somebody else said, after a colon; nothing where it is empty.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

/// What somebody else said, fit for one line of a log.
pub(super) fn one_line(said: &[u8]) -> String {
    printable(String::from_utf8_lossy(said).trim())
}
