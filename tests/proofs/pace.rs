//! How evenly a target's probes follow one another, by the network's clock.

use std::fmt;
use std::ops::Range;

use crate::support::journal::Journal;

/// Times between the probes of a target, over all targets.
pub(crate) struct Pace {
    /// ns, sorted.
    gaps: Vec<u64>,
    /// How long was looked at, ns.
    span: u64,
}

impl Pace {
    /// Of the probes that reached the network within `span`, ns of the wall clock.
    pub(crate) fn new(journal: &Journal, span: Range<u64>) -> Self {
        let times = journal.hosts.values().map(|requests| requests.iter().map(|request| request.at));
        let gaps = times.flat_map(|times| times.clone().zip(times.skip(1)).filter(|(_, at)| span.contains(at)));
        let mut gaps: Vec<_> = gaps.map(|(before, at)| at - before).collect();
        gaps.sort_unstable();
        let first = journal.requests().map(|(_, request)| request.at).min().unwrap_or(0);
        Self { gaps, span: span.end - span.start.max(first) }
    }

    /// No worse than at another time, and as many a second as were asked for. The bounds are for a machine that does other things as
    /// well, and far below what waiting for a disk would take.
    pub(crate) fn assert_like(&self, other: &Self, rate: f64) {
        const LATER: u64 = 20_000_000;
        assert!(self.at(0.99) <= other.at(0.99) + LATER, "{self}; before: {other}");
        assert!(self.rate() >= 0.9 * rate, "{self}, not at {rate}/s");
    }

    /// The gap that so great a share of all does not exceed.
    fn at(&self, share: f64) -> u64 {
        let last = self.gaps.len().checked_sub(1).expect("probes reach the network");
        self.gaps[(last as f64 * share).round() as usize]
    }

    fn rate(&self) -> f64 {
        self.gaps.len() as f64 * 1e9 / self.span as f64
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, p99, max] = [0.5, 0.99, 1.0].map(|share| self.at(share) as f64 / 1e6);
        write!(f, "median {median:.2}, p99 {p99:.2}, max {max:.2} ms at {:.0}/s", self.rate())
    }
}
