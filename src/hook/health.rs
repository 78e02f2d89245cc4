//! Which of a hook's troubles the operator hears of: each kind at once, then at intervals with a count, pure.

use std::mem;
use std::time::{Duration, Instant};

/// What the operator was told of a hook's troubles, so that he is not told too often.
#[derive(Debug)]
pub(super) struct Health {
    every: Duration,
    /// When a failure was last told.
    failure_told: Option<Instant>,
    /// Failures since that were not.
    failures: u64,
    /// Whether the last word was a failure.
    is_known_to_fail: bool,
    missed_told: Option<Instant>,
    missed: u64,
}

impl Health {
    /// Of a hook that has done nothing yet; told of every so often at most.
    pub(super) fn new(every: Duration) -> Self {
        Self { every, failure_told: None, failures: 0, is_known_to_fail: false, missed_told: None, missed: 0 }
    }

    /// Takes note of a failure. Where it is to be told: how many before it were not.
    pub(super) fn failed(&mut self, now: Instant) -> Option<u64> {
        if is_too_soon(self.failure_told, self.every, now) {
            self.failures += 1;
            return None;
        }
        self.failure_told = Some(now);
        self.is_known_to_fail = true;
        Some(mem::take(&mut self.failures))
    }

    /// Takes note of a success. Where that is news: how many failures before it were not told.
    pub(super) fn well(&mut self) -> Option<u64> {
        mem::take(&mut self.is_known_to_fail).then(|| mem::take(&mut self.failures))
    }

    /// Takes note of events that had no room. Where it is to be told: how many there were since the last time.
    pub(super) fn missed(&mut self, count: u64, now: Instant) -> Option<u64> {
        self.missed += count;
        if self.missed == 0 || is_too_soon(self.missed_told, self.every, now) {
            return None;
        }
        self.missed_told = Some(now);
        self.rest()
    }

    /// The events that had no room and have not been told yet.
    pub(super) fn rest(&mut self) -> Option<u64> {
        Some(mem::take(&mut self.missed)).filter(|&count| count > 0)
    }
}

fn is_too_soon(last: Option<Instant>, every: Duration, now: Instant) -> bool {
    last.is_some_and(|last| now.saturating_duration_since(last) < every)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::now;

    #[test]
    fn a_hook_that_goes_on_failing_is_told_of_at_intervals_with_the_count_of_the_rest() {
        let (start, every) = (now(), Duration::from_secs(60));
        let mut health = Health::new(every);
        assert_eq!(health.failed(start), Some(0));
        for second in 1..60 {
            assert_eq!(health.failed(start + Duration::from_secs(second)), None);
        }
        assert_eq!(health.failed(start + every), Some(59));
        assert_eq!(health.failed(start + every), None);
        assert_eq!(health.well(), Some(1), "what failed and works again is news");
        assert_eq!(health.well(), None, "once");
    }

    #[test]
    fn a_hook_that_fails_now_and_then_is_not_told_of_more_often() {
        let start = now();
        let mut health = Health::new(Duration::from_secs(60));
        assert_eq!(health.failed(start), Some(0));
        assert_eq!(health.well(), Some(0));
        assert_eq!(health.failed(start + Duration::from_secs(1)), None);
        assert_eq!(health.well(), None, "of this failure nobody has heard");
    }

    #[test]
    fn no_missed_event_is_lost_between_two_notices() {
        let start = now();
        let mut health = Health::new(Duration::from_secs(60));
        assert_eq!(health.missed(0, start), None);
        assert_eq!(health.missed(5, start), Some(5));
        assert_eq!(health.missed(7, start + Duration::from_secs(1)), None);
        assert_eq!(health.missed(0, start + Duration::from_secs(61)), Some(7));
        assert_eq!(health.missed(2, start + Duration::from_secs(62)), None);
        assert_eq!(health.rest(), Some(2));
    }
}
