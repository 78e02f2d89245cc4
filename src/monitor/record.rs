//! What gets written down: one record per reply, loss or other event, as plain data.
//!
//! A record knows nothing of text, JSON or files; `crate::sink` renders it. What a line tells of its target travels with it, so that
//! a record stays true when the configuration changes before it is written, and so that writing down what became of an address
//! touches no memory of the driver's. Host names and long names of targets are shared.

use std::sync::Arc;
use std::time::Duration;

use super::finding::FirstReply;
use super::outage::{Cause, Ending};
use super::sample::IcmpError;
use super::target::{Addr, Label};
use super::time::Wall;

/// One line to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// When it happened: arrival of the packet, or the moment of judgement.
    pub at: Wall,
    /// Whose event this is.
    pub target: Label,
    /// The address probed; `None` while a name has none yet.
    pub addr: Option<Addr>,
    /// What happened.
    pub event: Event,
}

/// What happened to a probe, or to a target.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// An echo reply to one of our probes.
    Answer(Answer),
    /// A probe stayed unanswered for its whole timeout.
    Lost {
        /// Number of the probe, from 1.
        seq: u64,
        /// When the probe left.
        sent: Wall,
        /// The timeout it was given.
        timeout: Duration,
    },
    /// An ICMP error quoted a probe: it counts as lost, with a known cause.
    Unreachable {
        /// Number of the probe, from 1.
        seq: u64,
        /// When the probe left.
        sent: Wall,
        /// Who sent the error.
        from: Addr,
        /// What it said.
        error: IcmpError,
        /// Whether the probe's loss had been written down before.
        lateness: Lateness,
    },
    /// The kernel refused to send the probe: not a loss.
    NotSent {
        /// Number of the probe, from 1.
        seq: u64,
        /// Why.
        error: SendError,
    },
    /// Probes of which nothing can be said: not losses.
    NotMeasured {
        /// Number of the first such probe, from 1.
        first: u64,
        /// Number of the last such probe.
        last: u64,
        /// How many of `first..=last` are meant.
        count: u64,
        /// Why.
        reason: Reason,
    },
    /// pingtest did not run, and the target was not measured for that long: not losses. No probe has a number here, for numbers belong
    /// to the timetable of one process.
    NotRunning {
        /// How many whole intervals of the target that was.
        count: u64,
        /// By the wall clock, since the last sign of life of the process before.
        time: Duration,
        /// How that process ended: unless it did so cleanly, `time` is the most it can have been.
        ending: Ending,
    },
    /// A name now leads to another address.
    AddressChanged {
        /// The address probed so far.
        old: Addr,
        /// The address probed from here on.
        new: Addr,
    },
    /// Losses in a row have become an outage, or the last one goes on.
    OutageBegan {
        /// Number of the first of these lost probes.
        seq: u64,
        /// When that was sent.
        began: Wall,
        /// Why, as far as the network told.
        cause: Cause,
    },
    /// An outage is over.
    OutageEnded {
        /// Number of the probe whose reply was the first.
        seq: u64,
        /// When the outage began.
        began: Wall,
        /// How long it lasted.
        lasted: Duration,
        /// Probes in it that were not answered, so far.
        lost: u64,
    },
    /// The first reply ever, after losses.
    FirstReply(FirstReply),
}

/// An echo reply to one of our probes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// What it counts as.
    pub kind: AnswerKind,
    /// Number of the probe, from 1.
    pub seq: u64,
    /// When the probe left.
    pub sent: Wall,
    /// Round-trip time.
    pub rtt: Duration,
    /// Time to live or hop limit of the reply, where the kernel told.
    pub ttl: Option<u8>,
    /// Length of the ICMP message, header included: what iputils prints as `64 bytes`.
    pub bytes: usize,
    /// Who answered, where it was not the address probed.
    pub from: Option<Addr>,
}

/// What an echo reply counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerKind {
    /// Whole, from the target, in time.
    Reply,
    /// Whole, from the target, after its loss was written down: it amends that loss.
    Late,
    /// A further whole reply to a probe that had been answered.
    Duplicate,
    /// From the target, with a payload other than the one sent: the probe counts as lost.
    Damaged,
    /// Whole, from somebody else: the probe counts as lost unless the target answers as well.
    DifferentAddress,
}

/// Whether an error came while the probe was open or after its loss had been written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lateness {
    /// The error is the probe's verdict.
    InTime,
    /// The error gives an earlier `Lost` its cause.
    AfterLoss,
}

/// Why the kernel refused to send: an errno and its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendError {
    /// errno(3).
    pub errno: i32,
    /// strerror(3)'s words for it.
    pub text: &'static str,
}

/// Why nothing can be said of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The system was suspended for this long.
    Suspended(Duration),
    /// Our own loop did not turn for this long or was behind its schedule by it, or sending the probe took this long.
    Stalled(Duration),
    /// The socket dropped something while the probe was in flight, so its reply may have been among that: its receive buffer was
    /// full or, which the kernel does not tell apart on a raw socket of IPv6, a checksum was wrong.
    LocalDrops,
    /// Clock trouble: the clock was set while the reply waited to be read, or it bore no stamp, and it may have arrived before the
    /// deadline or after it.
    ArrivalUnknown,
    /// The name has no address; the resolver's words.
    NotResolved(Arc<str>),
    /// The target was removed from the configuration while the probe was in flight.
    Removed,
    /// The target's settings were changed while the probe was in flight.
    Changed,
    /// pingtest stopped while the probe was in flight.
    Stopped,
    /// The target was not to be probed, by order, for this long.
    Paused(Duration),
}
