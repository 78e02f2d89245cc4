//! When a target was not measured: single unmeasured probes and long stretches, made into gaps.
//!
//! It judges nothing; it is told what could not be measured and why, and that a probe was. There is one gap open at a time.

use std::time::Duration;

use super::finding::{Gap, What};
use super::time::Wall;

/// The gap that is open, if one is.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    open: Option<Box<Open>>,
    /// The gap before.
    last: Option<Box<(Wall, Wall)>>,
}

#[derive(Debug)]
struct Open {
    from: Wall,
    /// Until when at least; `None` for as long as nobody says.
    until: Option<Wall>,
    why: Gap,
    /// The newest probe when it was told last: a verdict on an older one does not end it.
    newest: u64,
}

impl Coverage {
    /// Nothing is measured from `from` to `until` (`None`: until further notice). `newest` is the newest probe so far. A gap that
    /// lasts until further notice stays what it is. Returns how long the gap was that this one took the place of.
    pub(super) fn handle_unmeasured(
        &mut self,
        why: Gap,
        from: Wall,
        until: Option<Wall>,
        newest: u64,
        out: &mut Vec<What>,
    ) -> Duration {
        if let Some(open) = self.open.as_mut().filter(|open| open.why == why) {
            open.until = until.and_then(|until| open.until.map(|so_far| so_far.max(until)));
            open.newest = newest;
            return Duration::ZERO;
        }
        if self.open.as_ref().is_some_and(|open| open.until.is_none()) {
            return Duration::ZERO;
        }
        let closed = self.close(from, out);
        // What lies in the gap before has been told.
        let told = self.last.as_ref().filter(|last| (last.0..last.1).contains(&from)).map(|last| last.1);
        let from = told.unwrap_or(from);
        self.open = Some(Box::new(Open { from, until, why, newest }));
        out.push(What::GapBegan { from, why });
        closed
    }

    /// The probe of this number was measured. Returns how long the gap was that this ended.
    pub(super) fn handle_measured(&mut self, seq: u64, out: &mut Vec<What>) -> Duration {
        match self.open.as_deref() {
            Some(&Open { newest, until: Some(until), .. }) if newest < seq => self.close(until, out),
            Some(_) | None => Duration::ZERO,
        }
    }

    /// Whether a gap is open.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The open gap, if it is for this reason, ends at `at`. Returns how long it was.
    pub(super) fn end(&mut self, why: Gap, at: Wall, out: &mut Vec<What>) -> Duration {
        if self.open.as_ref().is_some_and(|open| open.why == why) { self.close(at, out) } else { Duration::ZERO }
    }

    /// Whatever is open ends, at `at` or before.
    pub(super) fn close(&mut self, at: Wall, out: &mut Vec<What>) -> Duration {
        let Some(open) = self.open.take() else { return Duration::ZERO };
        let until = open.until.map_or(at, |until| until.min(at)).max(open.from);
        self.last = Some(Box::new((open.from, until)));
        out.push(What::GapEnded { until });
        until - open.from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u32) -> Wall {
        Wall::from_nanos(0) + SECOND * seconds
    }

    #[test]
    fn probes_not_sent_in_a_row_are_one_gap_that_ends_with_the_last_one() {
        let (mut coverage, mut out) = (Coverage::default(), Vec::new());
        for n in 5..8_u32 {
            coverage.handle_unmeasured(Gap::NotSent, at(n), Some(at(n + 1)), n.into(), &mut out);
        }
        assert_eq!(coverage.handle_measured(4, &mut out), Duration::ZERO, "an older probe ends nothing");
        assert_eq!(coverage.handle_measured(8, &mut out), SECOND * 3);
        let expected = [What::GapBegan { from: at(5), why: Gap::NotSent }, What::GapEnded { until: at(8) }];
        assert_eq!(out, expected);
    }

    #[test]
    fn another_reason_is_another_gap() {
        let (mut coverage, mut out) = (Coverage::default(), Vec::new());
        coverage.handle_unmeasured(Gap::Stalled, at(1), Some(at(2)), 1, &mut out);
        coverage.handle_unmeasured(Gap::Paused, at(3), None, 1, &mut out);
        assert_eq!(coverage.handle_measured(9, &mut out), Duration::ZERO, "only an order ends a pause");
        assert_eq!(coverage.end(Gap::Paused, at(9), &mut out), SECOND * 6);
        let ends = out.iter().filter(|what| matches!(what, What::GapEnded { .. })).count();
        assert_eq!((ends, coverage.is_open()), (2, false));
    }
}
