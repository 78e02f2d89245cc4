//! What the rules found out about a target, as plain data: what ledger and hooks are told, and lines only in part.

use std::time::Duration;

use super::outage::{Outage, State};
use super::target::{Addr, Label};
use super::time::Wall;

/// Something that was found out about a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// When it was found.
    pub at: Wall,
    /// About which target.
    pub target: Label,
    /// The address probed; `None` while a name has none yet.
    pub addr: Option<Addr>,
    /// What.
    pub what: What,
}

/// What was found out.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// It is probed from here on: pingtest started, or the target was added.
    Watched,
    /// It is no longer probed: the target was removed, or now means another host. What was open about it stays open for ever. Not
    /// sent when pingtest stops.
    Unwatched,
    /// It is in another state. Single losses do not count: neither `from` nor `to` is [`State::Suspect`].
    StateChanged {
        /// The state before.
        from: State,
        /// The state from here on.
        to: State,
    },
    /// An outage began; or, if `fragments` is more than 1, the last one goes on. `began.at` names an outage among those of its target.
    OutageBegan(Outage),
    /// More is known of an outage, over or not: a cause, a late reply to one of its probes, more losses. Told at intervals while it
    /// lasts, and when pingtest stops.
    OutageAmended(Outage),
    /// An outage is over.
    OutageEnded(Outage),
    /// The first reply of a target that had none, after losses.
    FirstReply(FirstReply),
    /// Its name leads to another address.
    AddressChanged {
        /// The address probed so far.
        old: Addr,
        /// The address probed from here on.
        new: Addr,
    },
    /// It is not measured from `from` on. There is no other gap open then.
    GapBegan {
        /// Since when.
        from: Wall,
        /// Why.
        why: Gap,
    },
    /// The open gap is over.
    GapEnded {
        /// Until when.
        until: Wall,
    },
}

/// The first reply of a target, after losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstReply {
    /// Number of the probe that was answered.
    pub seq: u64,
    /// From the sending of the first probe to that of the answered one.
    pub after: Duration,
    /// Probes lost before.
    pub lost: u64,
    /// What such a time is typical of.
    pub hint: Option<WarmUp>,
}

/// What the time until a first reply is typical of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarmUp {
    /// 15 s: a bridge's forward delay, once (IEEE 802.1D).
    BridgeLearning,
    /// 30 s: a bridge's forward delay, for listening and for learning.
    BridgeListeningAndLearning,
}

/// Why a target is not measured for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gap {
    /// The system was suspended.
    Suspended,
    /// Our own loop stood still.
    Stalled,
    /// The kernel refused to send: no route, no carrier.
    NotSent,
    /// Something was dropped here, or a clock was set while a reply waited.
    Local,
    /// The name has no address.
    NotResolved,
    /// By order.
    Paused,
    /// Its parent was down.
    BehindParent,
}

impl Gap {
    /// All there are.
    pub const ALL: [Self; 7] = [
        Self::Suspended,
        Self::Stalled,
        Self::NotSent,
        Self::Local,
        Self::NotResolved,
        Self::Paused,
        Self::BehindParent,
    ];

    /// The word that text, JSON and ledger have for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Suspended => "suspended",
            Self::Stalled => "stalled",
            Self::NotSent => "not_sent",
            Self::Local => "local_drops",
            Self::NotResolved => "not_resolved",
            Self::Paused => "paused",
            Self::BehindParent => "behind_parent",
        }
    }
}
