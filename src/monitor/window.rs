//! What a target's probes add up to: the counts of the contract's accounting and the moments of its round-trip times.
//!
//! `sent = reply + lost + in flight` holds after every call. A window is told verdicts; it judges nothing.

use std::time::Duration;

use super::inflight::{Cause, Ruling, Verdict};

/// Counts and round-trip times since the target was started.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Window {
    /// Probes that left and count: replies, losses and those in flight.
    pub sent: u64,
    /// Probes answered, late ones included.
    pub replies: u64,
    /// Probes that count as lost at present, by cause.
    pub lost: Losses,
    /// Probes whose verdict is still open.
    pub in_flight: u64,
    /// Losses amended by a late reply.
    pub late: u64,
    /// Further replies to an answered probe.
    pub duplicates: u64,
    /// Probes the kernel refused to send.
    pub not_sent: u64,
    /// Probes of which nothing can be said.
    pub not_measured: u64,
    /// Replies that were not counted.
    pub ignored: Ignored,
    /// Round-trip times of all replies, late ones included.
    pub rtt: Rtt,
}

/// Losses by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Losses {
    /// Nothing came back within the timeout.
    pub unanswered: u64,
    /// An ICMP error quoted the probe.
    pub unreachable: u64,
    /// The reply's payload was not the one sent.
    pub damaged: u64,
    /// Somebody else answered.
    pub different_address: u64,
}

impl Losses {
    /// All losses.
    pub fn total(&self) -> u64 {
        self.unanswered + self.unreachable + self.damaged + self.different_address
    }

    fn of(&mut self, cause: Cause) -> &mut u64 {
        match cause {
            Cause::Unanswered => &mut self.unanswered,
            Cause::Unreachable => &mut self.unreachable,
            Cause::Damaged => &mut self.damaged,
            Cause::DifferentAddress => &mut self.different_address,
        }
    }
}

/// Replies that reached this target's socket and were not counted, by what was wrong with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ignored {
    /// A right address and sequence number with a made-up tag.
    pub forged: u64,
    /// Rightly tagged, but its probe is no longer remembered or was given up as not measured.
    pub stale: u64,
    /// Damaged or from another address, to a probe that had been decided already.
    pub redundant: u64,
}

/// Running moments of the round-trip time. Nanoseconds inside: ten thousand targets are walked through every second, and half the
/// memory is half the cache misses.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rtt {
    count: u64,
    min: u64,
    max: u64,
    sum: u64,
    jitter: u64,
    last: u64,
}

impl Window {
    /// Share of the probes sent and judged that were lost, 0 to 1; `None` where none was judged yet.
    pub fn loss(&self) -> Option<f64> {
        let judged = self.replies + self.lost.total();
        (judged > 0).then(|| self.lost.total() as f64 / judged as f64)
    }

    /// Reads from each end of it.
    pub(super) fn touch(&self) -> u64 {
        self.sent ^ self.in_flight ^ self.rtt.last ^ self.rtt.count
    }

    /// A probe has left.
    pub fn handle_sent(&mut self) {
        self.sent += 1;
        self.in_flight += 1;
    }

    /// A probe's verdict was found or amended.
    pub fn handle_verdict(&mut self, verdict: &Verdict) {
        match verdict.ruling {
            Ruling::Reply => {
                self.in_flight -= 1;
                self.replies += 1;
                self.rtt.add(verdict.after);
            }
            Ruling::Lost(cause) => {
                self.in_flight -= 1;
                *self.lost.of(cause) += 1;
            }
            Ruling::Late(amends) => {
                *self.lost.of(amends) -= 1;
                self.replies += 1;
                self.late += 1;
                self.rtt.add(verdict.after);
            }
            Ruling::Explained(cause) => {
                self.lost.unanswered -= 1;
                *self.lost.of(cause) += 1;
            }
            Ruling::Duplicate => self.duplicates += 1,
            Ruling::Unmeasured(_) => self.handle_voided(1),
        }
    }

    /// `count` probes in flight turned out not to be measured: they no longer count as sent.
    pub fn handle_voided(&mut self, count: u64) {
        self.in_flight -= count;
        self.sent -= count;
        self.not_measured += count;
    }
}

impl Rtt {
    /// How many were seen.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The shortest; zero before the first.
    pub fn min(&self) -> Duration {
        Duration::from_nanos(self.min)
    }

    /// The longest; zero before the first.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// That of the newest reply; zero before the first.
    pub fn last(&self) -> Duration {
        Duration::from_nanos(self.last)
    }

    /// The mean; `None` before the first.
    pub fn mean(&self) -> Option<Duration> {
        self.sum.checked_div(self.count).map(Duration::from_nanos)
    }

    /// Interarrival jitter by RFC 3550 section 6.4.1, of the replies in the order of arrival.
    pub fn jitter(&self) -> Duration {
        Duration::from_nanos(self.jitter)
    }

    fn add(&mut self, rtt: Duration) {
        let rtt = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX);
        if self.count == 0 {
            (self.min, self.last) = (rtt, rtt);
        }
        self.min = self.min.min(rtt);
        self.max = self.max.max(rtt);
        // 584 years of round trips.
        self.sum = self.sum.saturating_add(rtt);
        self.count += 1;
        // RFC 3550: J += (|D| - J) / 16.
        self.jitter = self.jitter - self.jitter / 16 + rtt.abs_diff(self.last) / 16;
        self.last = rtt;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_follows_rfc_3550() {
        let mut rtt = Rtt::default();
        rtt.add(Duration::from_millis(10));
        assert_eq!(rtt.jitter(), Duration::ZERO, "one reply has no jitter");
        rtt.add(Duration::from_millis(26));
        assert_eq!(rtt.jitter(), Duration::from_millis(1), "16 ms / 16");
        rtt.add(Duration::from_millis(26));
        assert_eq!(rtt.jitter(), Duration::from_micros(937) + Duration::from_nanos(500), "1 ms less a sixteenth");
    }

    #[test]
    fn the_mean_of_nothing_is_nothing() {
        assert_eq!(Rtt::default().mean(), None);
        assert_eq!(Window::default().loss(), None);
    }
}
