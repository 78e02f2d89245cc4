//! How one target is: what its verdicts, gaps and parent make of its health, and what is told of that.
//!
//! The rules are those of `health`, `coverage` and `degraded`; what has to be done beyond this target it leaves to `kin`, by its
//! [`super::Calls`].

use std::sync::Arc;
use std::time::Duration;

use super::{Leg, Output};
use crate::monitor::coverage::Coverage;
use crate::monitor::finding::{Finding, Gap, What};
use crate::monitor::health::{Change, Context, Health, Parent};
use crate::monitor::inflight::{Obstacle, Ruling, Verdict};
use crate::monitor::outage::{self, BURST_INTERVAL, Rules, State};
use crate::monitor::record::Event;
use crate::monitor::schedule::Pace;
use crate::monitor::snapshot::{Resolved, Tally, TargetStatus};
use crate::monitor::target::Name;
use crate::monitor::time::{Mono, Stamp, Wall};

/// Health, and what follows from it.
impl Leg {
    /// What the verdict means for the target's health.
    pub(in crate::monitor) fn follow_health(
        &mut self,
        seq: u64,
        verdict: &Verdict,
        cause: &outage::Cause,
        out: &mut Output,
    ) {
        if let Some(degraded) = &mut self.degraded {
            if matches!(self.state, State::Up | State::Degraded | State::Suspect) {
                degraded.handle_verdict(seq, verdict);
            }
        } else if !self.coverage.is_open() && self.health.handle_plain_reply(seq, verdict, &mut self.inflight) {
            return;
        }
        self.cover(seq, verdict, out);
        let parent = if self.parent.is_some() { Parent::Awaited } else { Parent::None };
        self.change_health(verdict.at, parent, out, |health, context, changes| {
            health.handle_verdict(seq, verdict, cause.clone(), context, changes);
        });
    }

    /// The parent has this to tell.
    pub(in crate::monitor) fn handle_parent(&mut self, parent: Parent, at: Stamp, out: &mut Output) {
        self.change_health(at.wall, parent, out, |health, context, changes| {
            health.handle_parent(at, context, changes);
        });
    }

    /// All that is in flight was given up, or the target is probed anew.
    pub(in crate::monitor) fn handle_void(&mut self, now: Mono) {
        self.health.handle_void(now);
        self.has_burst = false;
        if self.schedule.pace() != Pace::Regular {
            self.pace = Some(Box::new(Pace::Regular));
            self.calls.slot = true;
        }
    }

    /// So many probes, the last of this number, were not sent.
    pub(in crate::monitor) fn break_losses(&mut self, last: u64, count: u64, at: Wall, out: &mut Output) {
        self.change_health(at, Parent::Awaited, out, |health, context, changes| {
            health.handle_unsent(last, count, context, changes);
        });
    }

    /// The name leads nowhere.
    pub(in crate::monitor) fn handle_not_resolved(&mut self, error: &Arc<str>, at: Wall, out: &mut Output) {
        self.change_health(at, Parent::Awaited, out, |health, _, changes| health.handle_not_resolved(error, changes));
    }

    fn change_health(
        &mut self,
        at: Wall,
        parent: Parent,
        out: &mut Output,
        change: impl FnOnce(&mut Health, &mut Context<'_>, &mut Vec<Change>),
    ) {
        let mut changes = Vec::new();
        let not_resolved = self.lookups.as_ref().and_then(|lookups| lookups.error());
        let (rules, inflight) = (&self.target.rules, &mut self.inflight);
        change(&mut self.health, &mut Context { rules, inflight, parent, not_resolved }, &mut changes);
        changes.into_iter().for_each(|change| self.tell(change, at, out));
        self.calls.parent = self.health.awaits_parent(&self.target.rules);
        self.review(at, out);
        self.follow_pace();
    }

    fn tell(&mut self, change: Change, at: Wall, out: &mut Output) {
        let addr = self.addr();
        let line = match &change {
            Change::FirstReply(first) => Some(Event::FirstReply(*first)),
            Change::Began(outage, seq, sent) => {
                Some(Event::OutageBegan { seq: *seq, began: *sent, cause: outage.cause.clone() })
            }
            Change::Ended(outage, seq) => {
                Some(Event::OutageEnded { seq: *seq, began: outage.began.at, lasted: outage.lasted, lost: outage.lost })
            }
            Change::Amended(_) | Change::Behind(_) | Change::Reached(_) | Change::NewId | Change::TryOldId => None,
        };
        out.records.extend(line.map(|event| self.record(at, addr, event)));
        match change {
            Change::FirstReply(first) => self.find(at, What::FirstReply(first), out),
            Change::Began(outage, ..) => self.find(at, What::OutageBegan(outage), out),
            Change::Amended(outage) => self.find(at, What::OutageAmended(outage), out),
            Change::Ended(outage, _) => self.find(at, What::OutageEnded(outage), out),
            Change::Behind(since) => self.leave_unmeasured(Gap::BehindParent, (since, None), at, out),
            Change::Reached(at) => self.end_gap(Gap::BehindParent, at, out),
            Change::NewId => self.calls.new_id = true,
            Change::TryOldId => self.calls.old_id = true,
        }
    }

    pub(in crate::monitor) fn find(&self, at: Wall, what: What, out: &mut Output) {
        out.findings.push(Finding { at, target: self.target.label(), addr: self.addr(), what });
    }

    /// Tells all that is known of the outage that lasts: nobody will watch on.
    pub(in crate::monitor) fn tell_outage(&self, at: Wall, out: &mut Output) {
        if let Some(outage) = self.health.outage_told() {
            self.find(at, What::OutageAmended(outage), out);
        }
    }

    pub(in crate::monitor) fn state(&self) -> State {
        let state = self.health.state();
        let is_degraded = || self.degraded.as_ref().is_some_and(|degraded| degraded.is_degraded());
        if self.paused.is_some() {
            State::Paused
        } else if state == State::Up && is_degraded() {
            State::Degraded
        } else {
            state
        }
    }

    /// Tells of another state, unless it is a single loss.
    pub(in crate::monitor) fn review(&mut self, at: Wall, out: &mut Output) {
        let state = self.state();
        if state == self.state {
            return;
        }
        let was_up = matches!(self.state, State::Up | State::Degraded | State::Suspect);
        if let Some(degraded) = self.degraded.as_mut().filter(|_| !was_up) {
            // What was counted before says nothing of how it answers.
            degraded.forget(self.schedule.newest());
        }
        self.state = state;
        self.since = Some(at);
        if state == State::Suspect || state == self.told {
            return;
        }
        let from = std::mem::replace(&mut self.told, state);
        self.calls.children = self.is_parent;
        self.find(at, What::StateChanged { from, to: state }, out);
    }

    /// Probes follow one another faster while it is about to be seen how the target is.
    fn follow_pace(&mut self) {
        let Rules { suspect_interval, burst, .. } = *self.target.rules;
        if suspect_interval.is_none() && burst == 0 {
            return;
        }
        let is_in_the_balance = self.health.is_in_the_balance();
        let wanted = match (self.schedule.pace(), suspect_interval) {
            (Pace::Regular, _) if is_in_the_balance && burst > 0 && !self.has_burst => {
                Some(Pace::Fast { every: BURST_INTERVAL, left: Some(burst) })
            }
            (Pace::Regular, Some(every)) if is_in_the_balance => Some(Pace::Fast { every, left: None }),
            (Pace::Fast { left: None, .. }, _) if !is_in_the_balance => Some(Pace::Regular),
            (Pace::Regular | Pace::Fast { .. }, _) => None,
        };
        self.has_burst = is_in_the_balance;
        self.calls.slot |= wanted.is_some();
        self.pace = wanted.map(Box::new);
    }

    /// A measured probe ends a gap; one that could not be measured begins one.
    fn cover(&mut self, seq: u64, verdict: &Verdict, out: &mut Output) {
        let gap = match verdict.ruling {
            Ruling::Unmeasured(Obstacle::LocalDrops | Obstacle::ArrivalUnknown) => Gap::Local,
            Ruling::Unmeasured(Obstacle::Stalled { .. }) => Gap::Stalled,
            Ruling::Reply | Ruling::Lost(_) | Ruling::Late(_) | Ruling::Explained(_) | Ruling::Duplicate => {
                return self.change_coverage(verdict.at, out, |coverage, out| coverage.handle_measured(seq, out));
            }
        };
        self.leave_unmeasured(gap, self.slot_of(verdict.sent.wall), verdict.at, out);
    }

    /// What a probe that should have been sent at `at` stands for.
    pub(in crate::monitor) fn slot_of(&self, at: Wall) -> (Wall, Option<Wall>) {
        (at, Some(at + self.target.interval))
    }

    /// It is known at `at` that nothing is measured within these bounds, or from the first until further notice.
    pub(in crate::monitor) fn leave_unmeasured(
        &mut self,
        why: Gap,
        (from, until): (Wall, Option<Wall>),
        at: Wall,
        out: &mut Output,
    ) {
        let newest = self.schedule.newest();
        self.change_coverage(at, out, |coverage, out| coverage.handle_unmeasured(why, from, until, newest, out));
    }

    pub(in crate::monitor) fn end_gap(&mut self, why: Gap, at: Wall, out: &mut Output) {
        self.change_coverage(at, out, |coverage, out| coverage.end(why, at, out));
    }

    /// Whatever gap is open ends.
    pub(in crate::monitor) fn close_gap(&mut self, at: Wall, out: &mut Output) {
        self.change_coverage(at, out, |coverage, out| coverage.close(at, out));
    }

    fn change_coverage(
        &mut self,
        at: Wall,
        out: &mut Output,
        change: impl FnOnce(&mut Coverage, &mut Vec<What>) -> Duration,
    ) {
        let mut found = Vec::new();
        let unmeasured = change(&mut self.coverage, &mut found);
        if !unmeasured.is_zero() {
            self.health.handle_unmeasured(unmeasured);
        }
        found.into_iter().for_each(|what| self.find(at, what, out));
    }

    /// What this target tells as a parent.
    pub(in crate::monitor) fn as_parent(&self) -> Parent {
        match self.state() {
            State::Down | State::Behind => Parent::Down,
            State::Unknown | State::Paused => Parent::None,
            State::Up | State::Degraded | State::Suspect => {
                let answered = self.health.answered().map_or(Mono::default(), |sent| sent.mono);
                Parent::up(answered, &self.target.rules, self.target.interval, self.timeout())
            }
        }
    }

    /// What is known of the target at `now`.
    pub(in crate::monitor) fn status(&self, now: Mono, behind: Option<Name>) -> TargetStatus {
        TargetStatus {
            target: self.target.label(),
            addr: self.addr(),
            state: self.state,
            since: self.since,
            outage: self.health.outage(now),
            behind,
            not_resolved: self.lookups.as_ref().and_then(|lookups| lookups.error().cloned()),
            gap: self.coverage.why(),
            answered: self.health.answered().map(|sent| sent.wall),
            interval: self.target.interval,
            window: self.window.clone(),
        }
    }

    /// Counts the target in.
    pub(in crate::monitor) fn add_to(&self, tally: &mut Tally) {
        let fails = self.lookups.as_ref().is_some_and(|lookups| lookups.error().is_some());
        let resolved = if fails && self.addr().is_none() { Resolved::No } else { Resolved::Yes };
        tally.add(self.state, resolved, self.coverage.why(), &self.window);
    }
}
