//! Outages: when losses in a row are one, when it began and ended, why, and how sure all that is.
//!
//! | state | until |
//! |---|---|
//! | unknown: no reply yet | the first reply |
//! | up | a loss |
//! | suspect: losses in a row, fewer than `down_after` | a reply, or enough losses |
//! | down | `up_after` replies in a row |
//! | behind: as down, but the parent is down | a reply, or the parent's |
//!
//! An outage begins when the first lost probe was sent and ends when the first reply arrives. While a target is up, verdicts are taken in
//! the order in which their probes were sent, whatever the order in which they were found.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::sample::IcmpError;
use super::target::{Addr, Name};
use super::time::Wall;

/// When losses are an outage, and what is done about them: what the user can choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// So many losses in a row are an outage; at least 1.
    pub down_after: u32,
    /// So many replies in a row end it; at least 1.
    pub up_after: u32,
    /// An outage that begins within this time from the end of the one before is the same one.
    pub merge_within: Duration,
    /// Time between probes while suspect or recovering; `None` leaves it at the interval. Less than the interval.
    pub suspect_interval: Option<Duration>,
    /// So many probes are sent at [`BURST_INTERVAL`] after the first loss.
    pub burst: u32,
    /// After so many losses in a row, and as many again, probes get another ICMP identifier; `None` keeps it.
    pub new_id_after: Option<u32>,
    /// The target without which this one cannot be reached.
    pub parent: Option<Name>,
    /// When the target counts as degraded; `None`: never.
    pub degraded: Option<DegradedRules>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            down_after: 3,
            up_after: 1,
            merge_within: Duration::ZERO,
            suspect_interval: None,
            burst: 0,
            new_id_after: Some(DEFAULT_NEW_ID_AFTER),
            parent: None,
            degraded: None,
        }
    }
}

/// Losses in a row after which the identifier is changed where nobody says: long enough for most outages to have gone by themselves,
/// short against the 30 s for which Linux keeps an ICMP session (nf_conntrack_icmp_timeout).
pub const DEFAULT_NEW_ID_AFTER: u32 = 10;
/// Time between the probes of a burst.
pub const BURST_INTERVAL: Duration = Duration::from_millis(20);
/// The most losses, replies or probes of a burst that may be asked for.
pub const MAX_IN_A_ROW: u32 = 1000;

/// When a target that answers counts as degraded: a threshold crossed over a whole `within`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DegradedRules {
    /// Losses per thousand probes, 1 to 1000.
    pub loss: Option<u16>,
    /// Mean round-trip time.
    pub rtt: Option<Duration>,
    /// Over which time.
    pub within: Duration,
}

/// How a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Never up yet.
    Unknown,
    /// It answers.
    Up,
    /// It answers, but a threshold of [`DegradedRules`] is crossed.
    Degraded,
    /// Losses in a row, fewer than make an outage, or the parent's fate is awaited.
    Suspect,
    /// In an outage.
    Down,
    /// Does not answer, and its parent is down: nothing can be said of it.
    Behind,
    /// Not probed, by order.
    Paused,
}

impl State {
    /// The word that text and JSON have for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Behind => "behind",
            Self::Paused => "paused",
        }
    }

    /// The state of this word.
    pub fn of_word(word: &str) -> Option<Self> {
        let all = [Self::Unknown, Self::Up, Self::Degraded, Self::Suspect, Self::Down, Self::Behind, Self::Paused];
        all.into_iter().find(|state| state.word() == word)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Why a target is down, as far as the network told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Nothing came back.
    Unanswered,
    /// Replies came back altered.
    Damaged,
    /// Only somebody else answered.
    DifferentAddress(Addr),
    /// Its name leads nowhere, and the address it had does not answer; the resolver's words.
    NotResolved(Arc<str>),
    /// An ICMP error.
    Unreachable {
        /// What it said.
        error: IcmpError,
        /// Who sent it.
        from: Addr,
    },
}

impl Cause {
    /// The word that JSON and ledger have for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unanswered => "unanswered",
            Self::Damaged => "damaged",
            Self::DifferentAddress(_) => "different_address",
            Self::NotResolved(_) => "not_resolved",
            Self::Unreachable { .. } => "unreachable",
        }
    }

    /// Further words: the ICMP error's, the resolver's.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Unanswered | Self::Damaged | Self::DifferentAddress(_) => None,
            Self::NotResolved(error) => Some(error.to_string()),
            Self::Unreachable { error, .. } => Some(error.to_string()),
        }
    }

    /// Who said so.
    pub fn from(&self) -> Option<Addr> {
        match self {
            Self::Unanswered | Self::Damaged | Self::NotResolved(_) => None,
            Self::DifferentAddress(from) | Self::Unreachable { from, .. } => Some(*from),
        }
    }

    /// How much it says: of several, the one that says most is an outage's.
    pub(super) fn weight(&self) -> u8 {
        match self {
            Self::Unanswered => 0,
            Self::Damaged => 1,
            Self::DifferentAddress(_) => 2,
            Self::Unreachable { .. } => 3,
            Self::NotResolved(_) => 4,
        }
    }
}

/// One outage, over or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Outage {
    /// When its first lost probe was sent. The outage cannot have begun before `earliest`, when the last answered probe before it was
    /// sent (`None` where there is none).
    pub began: Bound,
    /// When the first reply arrived. The outage cannot have ended before `earliest`, when the last lost probe was sent. `None` while
    /// it lasts.
    pub ended: Option<Bound>,
    /// How long it lasted so far, by clocks that nobody sets, as far as one process saw it.
    pub lasted: Duration,
    /// Why, as far as the network told.
    pub cause: Cause,
    /// Number of its first lost probe.
    pub first_seq: u64,
    /// Probes lost in it, those included that are unanswered at its end.
    pub lost: u64,
    /// How much of it was not measured: suspended, stopped, paused.
    pub unmeasured: Duration,
    /// Of how many outages it consists that were closer than `merge_within`; 1 where it is whole.
    pub fragments: u32,
    /// How often the ICMP identifier was changed in it.
    pub new_ids: u32,
    /// Whether a new identifier helped: the first probe under it was answered, and one more under the identifier before was not.
    pub new_id_helped: bool,
    /// How many other targets were behind this one.
    pub behind: u32,
}

/// A moment, and how exactly it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The moment.
    pub at: Wall,
    /// The truth lies between this and `at`.
    pub earliest: Option<Wall>,
}

/// What an earlier process of pingtest knew of a target when it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Carried {
    /// The target's name.
    pub name: Name,
    /// Its host, as [`super::target::Host`] is displayed: it must be the same still.
    pub host: String,
    /// Its state. [`State::Down`] where there is an outage, [`State::Unknown`] where there is nothing to go on from.
    pub state: State,
    /// The outage that lasted.
    pub outage: Option<Outage>,
    /// The last sign of life of that process.
    pub until: Wall,
    /// How it ended.
    pub ending: Ending,
}

/// How an earlier process of pingtest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// In order: its last sign of life is its end.
    Clean,
    /// In the midst of its work, some time after its last sign of life: killed, aborted, or with the machine.
    Abrupt,
}
