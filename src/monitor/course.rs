//! One outage in its course: what its probes add up to, from the first loss to the end and, where it goes on, beyond.
//!
//! [`super::health`] finds out that it began, and which verdicts belong to it.

use std::time::Duration;

use super::health::Change;
use super::inflight::{Inflight, Verdict};
use super::outage::{Bound, Cause, Outage, Rules};
use super::time::{Mono, Now, Stamp, Wall};

/// How old it may be what a process that takes over from a killed one knows of an outage: when its last lost probe was sent, before which
/// it did not end.
const AMEND_EVERY: Duration = Duration::from_secs(10);

/// An answered probe.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) seq: u64,
    pub(super) sent: Stamp,
    pub(super) arrived: Stamp,
}

/// A lost one.
#[derive(Debug, Clone)]
pub(super) struct Loss {
    pub(super) seq: u64,
    pub(super) sent: Stamp,
    pub(super) cause: Cause,
}

/// An outage in its course.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) outage: Outage,
    /// Number of its first lost probe, by this process's count.
    pub(super) first: u64,
    /// What of [`Outage::lasted`] lies before `since`, or in suspend.
    pub(super) before: Duration,
    pub(super) since: Mono,
    /// The lost probe sent last.
    pub(super) last: Seen,
    /// Losses since the last reply or change of the identifier.
    pub(super) in_a_row: u32,
    /// Replies in a row, so far too few.
    pub(super) recovering: Option<Recovery>,
    /// The newest probe when the identifier was changed last.
    pub(super) new_id_at: Option<u64>,
    /// The probe that tries whether the identifier before would have done as well.
    pub(super) trial: Option<u64>,
    pub(super) over: Option<Over>,
    /// What was not measured since it was over: part of it only if it goes on.
    pub(super) between: Duration,
    /// When all that is known was told last.
    pub(super) told: Mono,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Recovery {
    pub(super) first: Seen,
    pub(super) count: u32,
    /// Whether it was the first probe under a new identifier.
    pub(super) is_under_new_id: bool,
    /// What was not measured since then: part of the outage only if this is not its end.
    pub(super) unmeasured: Duration,
}

/// The end of an outage: probes with numbers below `seq` belong to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Over {
    pub(super) seq: u64,
    pub(super) at: Mono,
}

impl Seen {
    pub(super) fn of(seq: u64, verdict: &Verdict) -> Self {
        let arrived = Stamp { mono: verdict.sent.mono + verdict.after, wall: verdict.at };
        Self { seq, sent: verdict.sent, arrived }
    }
}

impl Course {
    /// The outage that lasted when an earlier process ended, which gave a last sign of life at `until`; nobody has seen anything of it
    /// for the time `unseen`.
    pub(super) fn restored(outage: &Outage, unseen: Duration, until: Wall, now: Now) -> Self {
        // It was told how long the outage had lasted when its last lost probe was sent.
        let last = Stamp { mono: Mono::default(), wall: outage.began.at + outage.lasted };
        Self {
            outage: Outage { unmeasured: outage.unmeasured + unseen, ended: None, ..outage.clone() },
            first: 0,
            before: outage.lasted.max(until - outage.began.at) + unseen,
            since: now.mono,
            last: Seen { seq: 0, sent: last, arrived: last },
            in_a_row: 0,
            recovering: None,
            new_id_at: None,
            trial: None,
            over: None,
            between: Duration::ZERO,
            told: now.mono,
        }
    }

    /// The outage that begins with these losses, of which there is one at least.
    pub(super) fn of(losses: &[Loss], earliest: Option<Wall>) -> Self {
        let mut course = Self {
            outage: Outage {
                // The clock may have been set back in between.
                began: Bound { at: losses[0].sent.wall, earliest: earliest.map(|at| at.min(losses[0].sent.wall)) },
                ended: None,
                lasted: Duration::ZERO,
                cause: losses[0].cause.clone(),
                first_seq: losses[0].seq,
                lost: 0,
                unmeasured: Duration::ZERO,
                fragments: 1,
                new_ids: 0,
                new_id_helped: false,
                behind: 0,
            },
            first: losses[0].seq,
            before: Duration::ZERO,
            since: losses[0].sent.mono,
            last: Seen { seq: 0, sent: losses[0].sent, arrived: losses[0].sent },
            in_a_row: 0,
            recovering: None,
            new_id_at: None,
            trial: None,
            over: None,
            between: Duration::ZERO,
            told: losses[losses.len() - 1].sent.mono,
        };
        losses.iter().for_each(|loss| course.count(loss));
        course
    }

    /// Goes on after an end that was none.
    pub(super) fn again(mut self: Box<Self>, losses: &[Loss]) -> Box<Self> {
        self.outage.ended = None;
        self.outage.fragments += 1;
        self.outage.unmeasured += std::mem::take(&mut self.between);
        (self.over, self.recovering, self.in_a_row) = (None, None, 0);
        self.first = losses.first().map_or(self.first, |loss| loss.seq);
        losses.iter().for_each(|loss| self.count(loss));
        self
    }

    fn count(&mut self, loss: &Loss) {
        self.outage.lost += 1;
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.last.seq < loss.seq {
            self.last = Seen { seq: loss.seq, sent: loss.sent, arrived: loss.sent };
        }
        self.explain(&loss.cause, &mut Vec::new());
        self.outage.lasted = self.lasted(self.last.sent.mono);
    }

    pub(super) fn handle_loss(&mut self, loss: &Loss, rules: &Rules, out: &mut Vec<Change>) {
        let cause = self.outage.cause.clone();
        self.count(loss);
        if self.recovering.is_some_and(|recovery| recovery.first.seq < loss.seq) {
            self.relapse();
        }
        if self.outage.cause != cause || loss.sent.mono - self.told >= AMEND_EVERY {
            self.told = loss.sent.mono;
            out.push(Change::Amended(self.outage.clone()));
        }
        out.extend(self.wants_new_id(rules).then_some(Change::NewId));
    }

    /// The replies in a row were too few.
    pub(super) fn relapse(&mut self) {
        if let Some(recovery) = self.recovering.take() {
            self.outage.unmeasured += recovery.unmeasured;
        }
    }

    /// Whether it is time for another identifier; it counts as changed from here on.
    pub(super) fn wants_new_id(&mut self, rules: &Rules) -> bool {
        let is_time = rules.new_id_after.is_some_and(|after| self.in_a_row >= after);
        if is_time {
            self.in_a_row = 0;
        }
        is_time
    }

    /// A cause that says more than the one known takes its place.
    pub(super) fn explain(&mut self, cause: &Cause, out: &mut Vec<Change>) {
        if cause.weight() > self.outage.cause.weight() {
            self.outage.cause = cause.clone();
            out.push(Change::Amended(self.outage.clone()));
        }
    }

    /// Those still open before the reply will hardly be answered: they are counted as lost, and given back if they are.
    /// Returns the number below which probes belong to it.
    pub(super) fn end(&mut self, recovery: &Recovery, inflight: &Inflight) -> u64 {
        let Recovery { first, .. } = *recovery;
        let (open, newest_open) = inflight.open_within(self.first, first.seq);
        let last = newest_open.filter(|open| self.last.sent.mono < open.mono).unwrap_or(self.last.sent);
        self.outage.lost += open;
        self.outage.ended = Some(Bound { at: first.arrived.wall, earliest: Some(last.wall.min(first.arrived.wall)) });
        self.outage.lasted = self.lasted(first.arrived.mono);
        // Gaps go by the clock that may be set.
        self.outage.unmeasured = self.outage.unmeasured.min(self.outage.lasted);
        let seq = first.seq.max(self.last.seq + 1);
        self.over = Some(Over { seq, at: first.arrived.mono });
        self.recovering = None;
        self.in_a_row = 0;
        seq
    }

    pub(super) fn lasted(&self, until: Mono) -> Duration {
        self.before + (until - self.since)
    }

    pub(super) fn is_within(&self, merge_within: Duration, onset: Mono) -> bool {
        self.over.is_some_and(|over| onset - over.at < merge_within)
    }
}
