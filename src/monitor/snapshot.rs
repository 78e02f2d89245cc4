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
