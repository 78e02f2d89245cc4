//! What is known of a target at one moment, as plain data: what `pingtest status` shows.

use std::time::Duration;

use super::finding::Gap;
use super::outage::{Outage, State};
use super::target::{Addr, Label, Name};
use super::time::Wall;
use super::window::Window;

/// One target.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetStatus {
    /// Which.
    pub target: Label,
    /// The address probed.
    pub addr: Option<Addr>,
    /// How it is.
    pub state: State,
    /// Since when, as far as this process knows; `None` for a state carried over from the one before.
    pub since: Option<Wall>,
    /// The outage that lasts.
    pub outage: Option<Outage>,
    /// The parent that is down, where the target is behind one.
    pub behind: Option<Name>,
    /// Why its name leads nowhere, where it does not.
    pub not_resolved: Option<std::sync::Arc<str>>,
    /// Why it is not measured at present, where it is not.
    pub gap: Option<Gap>,
    /// When the newest of the answered probes was sent.
    pub answered: Option<Wall>,
    /// Time between probes.
    pub interval: Duration,
    /// Counts and round-trip times since it was started.
    pub window: Window,
}

/// What the targets add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// All of them; the others are some of these.
    pub targets: u64,
    /// In an outage, and where their names lead is known.
    pub down: u64,
    /// Not heard of since they were started, though probes were lost.
    pub never_answered: u64,
    /// They answer, but badly.
    pub degraded: u64,
    /// Not probed, by order.
    pub paused: u64,
    /// Their names lead nowhere, and never did.
    pub not_resolvable: u64,
    /// The kernel refuses to send to them.
    pub not_sent: u64,
    /// Probes answered or lost so far.
    pub judged: u64,
    /// Probes lost among them.
    pub lost: u64,
}

impl Tally {
    pub(super) fn add(&mut self, state: State, resolved: Resolved, gap: Option<Gap>, window: &Window) {
        self.targets += 1;
        self.judged += window.replies + window.lost.total();
        self.lost += window.lost.total();
        match (state, resolved) {
            (State::Paused, _) => self.paused += 1,
            (_, Resolved::No) => self.not_resolvable += 1,
            (_, Resolved::Yes) if gap == Some(Gap::NotSent) => self.not_sent += 1,
            (State::Down, Resolved::Yes) => self.down += 1,
            (State::Degraded, Resolved::Yes) => self.degraded += 1,
            (State::Unknown, Resolved::Yes) => self.never_answered += u64::from(window.lost.total() > 0),
            (State::Up | State::Suspect | State::Behind, Resolved::Yes) => {}
        }
    }
}

/// Whether there is an address to probe, or may yet be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolved {
    /// There is, or the look-up is under way.
    Yes,
    /// There is none.
    No,
}
