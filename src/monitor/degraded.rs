//! Whether a target that answers is degraded: losses or round-trip times over a threshold for a whole time.
//!
//! The time is cut into parts, each of which is counted by itself; the oldest goes when another begins. It knows nothing of outages:
//! whoever uses it forgets what was counted when one ends.

use std::time::Duration;

use super::inflight::{Ruling, Verdict};
use super::outage::DegradedRules;
use super::time::Mono;

/// Parts of the time: the verdict is up to a twelfth of it late, five seconds of a minute.
const PARTS: u32 = 12;

/// What is counted for the verdict.
#[derive(Debug)]
pub(super) struct Degraded {
    rules: DegradedRules,
    parts: [Part; PARTS as usize],
    /// The part being counted, and when it ends.
    current: usize,
    ends: Option<Mono>,
    /// Parts counted to their end.
    counted: u32,
    /// Probes up to this number do not count.
    after: u64,
    is_degraded: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Part {
    replies: u64,
    lost: u64,
    rtt: Duration,
}

impl Degraded {
    pub(super) fn new(rules: DegradedRules) -> Self {
        Self { rules, parts: Default::default(), current: 0, ends: None, counted: 0, after: 0, is_degraded: false }
    }

    pub(super) fn is_degraded(&self) -> bool {
        self.is_degraded
    }

    /// What was counted counts no more, nor does what becomes of probes up to `newest`.
    pub(super) fn forget(&mut self, newest: u64) {
        *self = Self { after: newest, ..Self::new(self.rules.clone()) };
    }

    /// A verdict was found or amended.
    pub(super) fn handle_verdict(&mut self, seq: u64, verdict: &Verdict) {
        if seq <= self.after {
            return;
        }
        self.advance(verdict.sent.mono + verdict.after);
        let part = &mut self.parts[self.current];
        match verdict.ruling {
            Ruling::Reply => part.add(verdict.after),
            Ruling::Late(_) => {
                part.add(verdict.after);
                // Its loss may have been counted in a part before.
                if let Some(part) = self.parts.iter_mut().find(|part| part.lost > 0) {
                    part.lost -= 1;
                }
            }
            Ruling::Lost(_) => part.lost += 1,
            Ruling::Explained(_) | Ruling::Duplicate | Ruling::Unmeasured(_) => {}
        }
    }

    fn advance(&mut self, at: Mono) {
        let length = self.rules.within / PARTS;
        let mut ends = self.ends.unwrap_or(at + length);
        while ends <= at {
            self.counted += 1;
            if self.counted >= PARTS {
                self.is_degraded = self.is_crossed();
            }
            self.current = (self.current + 1) % self.parts.len();
            self.parts[self.current] = Part::default();
            // After a long silence the parts between are empty, all of them.
            let missed = ((at - ends).as_nanos() / length.as_nanos().max(1)).saturating_sub(u128::from(PARTS));
            ends = ends + length * (1 + u32::try_from(missed).unwrap_or(u32::MAX - 1));
        }
        self.ends = Some(ends);
    }

    fn is_crossed(&self) -> bool {
        let (replies, lost, rtt) = self.parts.iter().fold((0, 0, Duration::ZERO), |(replies, lost, rtt), part| {
            (replies + part.replies, lost + part.lost, rtt + part.rtt)
        });
        let losing =
            self.rules.loss.is_some_and(|limit| lost > 0 && lost * 1000 >= u64::from(limit) * (replies + lost));
        let mean = rtt.as_nanos().checked_div(replies.into());
        let slow = self.rules.rtt.is_some_and(|limit| mean.is_some_and(|mean| mean >= limit.as_nanos()));
        losing || slow
    }
}

impl Part {
    fn add(&mut self, rtt: Duration) {
        self.replies += 1;
        self.rtt += rtt;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::inflight::Cause;
    use crate::monitor::time::{Stamp, Wall};

    const SECOND: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    fn verdict(second: u32, ruling: Ruling, after: Duration) -> Verdict {
        let mono = Mono::from_nanos(1_000_000_000_000) + SECOND * second;
        Verdict { ruling, sent: Stamp { mono, wall: Wall::default() }, at: Wall::default(), after }
    }

    fn degraded(loss: Option<u16>, rtt: Option<Duration>) -> Degraded {
        Degraded::new(DegradedRules { loss, rtt, within: SECOND * 60 })
    }

    /// The seconds in which it was degraded.
    fn play(mut degraded: Degraded, verdicts: impl Iterator<Item = Verdict>) -> Vec<u32> {
        let mut seconds = Vec::new();
        for (second, verdict) in (0..).zip(verdicts) {
            degraded.handle_verdict(1, &verdict);
            seconds.extend(degraded.is_degraded().then_some(second));
        }
        seconds
    }

    #[test]
    fn a_fifth_lost_for_a_minute_is_degraded_until_a_minute_has_less() {
        let lost = |second: u32| second.is_multiple_of(5) && second < 120;
        let ruling = |second| if lost(second) { Ruling::Lost(Cause::Unanswered) } else { Ruling::Reply };
        let seconds = play(degraded(Some(200), None), (0..240).map(|n| verdict(n, ruling(n), MS * 10)));
        assert_eq!((seconds.first(), seconds.last()), (Some(&60), Some(&124)));
    }

    #[test]
    fn slow_replies_are_degraded_and_a_single_slow_one_is_not() {
        let rtt = |second: u32| if second < 100 { MS * 10 } else { MS * 200 };
        let seconds = play(degraded(None, Some(MS * 150)), (0..200).map(|n| verdict(n, Ruling::Reply, rtt(n))));
        assert_eq!(
            seconds.first(),
            Some(&145),
            "the mean of a minute passes 150 ms when three quarters of it are slow"
        );
        let once = |second: u32| if second == 100 { SECOND } else { MS * 10 };
        let seconds = play(degraded(None, Some(MS * 150)), (0..200).map(|n| verdict(n, Ruling::Reply, once(n))));
        assert!(seconds.is_empty(), "{seconds:?}");
    }

    #[test]
    fn nothing_is_said_before_a_whole_time_was_counted_nor_after_a_silence() {
        let mut degraded = degraded(Some(1), None);
        for second in 0..59 {
            degraded.handle_verdict(1, &verdict(second, Ruling::Lost(Cause::Unanswered), SECOND / 2));
            assert!(!degraded.is_degraded());
        }
        degraded.handle_verdict(1, &verdict(100_000_000, Ruling::Reply, MS));
        assert!(!degraded.is_degraded());
    }
}
