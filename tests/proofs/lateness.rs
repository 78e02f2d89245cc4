//! How much later than their turn probes reach the network, by the network's clock.
//!
//! A target's turns are an interval apart, beginning with the probe that was the earliest against all others.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use crate::support::journal::{Journal, Request};

/// Of all probes of some times together, ns, sorted.
pub(crate) struct Lateness(Vec<u64>);

impl Lateness {
    /// Of the probes that reached the network within a time, ns of the wall clock.
    pub(crate) fn within(journal: &Journal, interval: Duration, time: Range<u64>) -> Self {
        Self::new(journal, interval, std::slice::from_ref(&time))
    }

    /// Of those within any of these times.
    pub(crate) fn new(journal: &Journal, interval: Duration, times: &[Range<u64>]) -> Self {
        let interval = u64::try_from(interval.as_nanos()).expect("seconds");
        let within = |at: &u64| times.iter().any(|time| time.contains(at));
        let mut all: Vec<_> = journal.hosts.values().flat_map(|requests| of_target(requests, interval)).collect();
        all.retain(|(at, _)| within(at));
        let mut late: Vec<_> = all.into_iter().map(|(_, late)| late).collect();
        late.sort_unstable();
        Self(late)
    }

    /// What so great a share of the probes does not exceed.
    pub(crate) fn at(&self, share: f64) -> Duration {
        let last = self.0.len().checked_sub(1).expect("probes reach the network");
        Duration::from_nanos(self.0[(last as f64 * share).round() as usize])
    }
}

/// When each probe came, and how late that was.
fn of_target(requests: &[Request], interval: u64) -> Vec<(u64, u64)> {
    let Some(first) = requests.first().map(|request| request.at) else { return Vec::new() };
    // Slots may be missing, so that the turn is found by the time.
    let turn = |request: &Request| (request.at - first + interval / 2) / interval * interval;
    let earliest = requests.iter().map(|request| request.at - turn(request)).min().unwrap_or(first);
    requests.iter().map(|request| (request.at, request.at - turn(request) - earliest)).collect()
}

impl fmt::Display for Lateness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(|share| self.at(share).as_secs_f64() * 1e3);
        write!(f, "median {median:.2}, p99 {p99:.2}, p99.9 {p999:.2}, max {max:.2} ms late ({} probes)", self.0.len())
    }
}

#[test]
fn a_probe_is_late_against_the_earliest_of_its_target_and_a_slot_left_out_makes_none_late() {
    let request = |at: u64| Request { at, sequence: 1, bytes: 64, answers: Vec::new() };
    let requests: Vec<_> = [1_000_020, 2_000_000, 3_000_500, 6_000_010].map(request).into();
    let late: Vec<_> = of_target(&requests, 1_000_000).into_iter().map(|(_, late)| late).collect();
    assert_eq!(late, [20, 0, 500, 10]);
}
