//! What the ledger tells of a time, as plain data: outages, what was measured and what not, counts.

use crate::monitor::finding::Gap;
use crate::monitor::sketch::Sketch;
use crate::monitor::time::Wall;

/// A time in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// Its beginning: as asked for, or the beginning of the ledger.
    pub from: Wall,
    /// Its end: as asked for, or the last sign of life of the process that writes the ledger.
    pub until: Wall,
    /// Whether that process lives, and the open outages last.
    pub is_live: bool,
    /// Since when probes were counted, where that is later than its beginning: counts by the minute are kept for a while only.
    pub counts_from: Option<Wall>,
    /// Each target that was watched in it, sorted by name.
    pub targets: Vec<TargetHistory>,
}

/// One target in that time.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetHistory {
    /// Its name.
    pub name: String,
    /// The host probed. A name that was given another host is a target of its own.
    pub host: String,
    /// Its outages that touch the time, by their beginnings; not cut off at the time's bounds.
    pub outages: Vec<PastOutage>,
    /// When it was watched: pingtest ran with the target in its configuration. Sorted, apart, cut off at the time's bounds.
    pub watched: Vec<Span>,
    /// When it was watched and had lost probes, but never answered one since that began: never up yet. Sorted, apart, cut off at the time's bounds.
    pub never_up: Vec<Span>,
    /// When it was not measured although watched. Sorted by their beginnings, cut off at the time's bounds.
    pub gaps: Vec<(Span, Gap)>,
    /// Its probes, by the minutes in the time.
    pub probes: Probes,
    /// Changes of its address: when, from, to.
    pub addresses: Vec<(Wall, String, String)>,
}

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Its first instant.
    pub from: Wall,
    /// Its end, not before `from`.
    pub until: Wall,
}

/// One outage of the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct PastOutage {
    /// When its first lost probe was sent.
    pub began: Wall,
    /// It cannot have begun before.
    pub began_earliest: Option<Wall>,
    /// When the first reply arrived; `None` where it lasts, or nobody saw its end.
    pub ended: Option<Wall>,
    /// It cannot have ended before.
    pub ended_earliest: Option<Wall>,
    /// Whether nobody will see its end: its target was removed, or began anew.
    pub is_abandoned: bool,
    /// Nanoseconds it lasted by clocks that nobody sets, as far as known; for one that is not over, until it was last written.
    pub lasted: std::time::Duration,
    /// Of that, how much was not measured.
    pub unmeasured: std::time::Duration,
    /// Why, in a word: `unanswered`, `damaged`, `different_address`, `not_resolved`, `unreachable`.
    pub cause: String,
    /// Further words: the ICMP error, the resolver's.
    pub detail: Option<String>,
    /// Who said so.
    pub from: Option<String>,
    /// Probes lost in it.
    pub lost: u64,
    /// Of how many it was merged.
    pub fragments: u32,
    /// How often the ICMP identifier was changed in it.
    pub new_ids: u32,
    /// Whether that helped.
    pub new_id_helped: bool,
    /// How many other targets were behind it.
    pub behind: u32,
}

/// Probes of a time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Probes {
    /// Probes judged: answered or lost.
    pub sent: u64,
    /// Lost, as they were judged first.
    pub lost: u64,
    /// Losses taken back later by a late reply.
    pub late: u64,
    /// Losses in a row count as one (RFC 3357, loss period). A loss that joins two takes one back, where its verdict comes; so in parts
    /// of a time there may be less than none.
    pub loss_periods: i64,
    /// Probes from the beginning of one loss to the next (RFC 3357, loss distance), by the judged probes' numbers.
    pub loss_distances: Sketch,
    /// Round-trip times, microseconds.
    pub rtt: Sketch,
}
