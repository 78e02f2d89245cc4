//! One target's health: from verdicts to outages. The rules of [`super::outage`] at work.
//!
//! Where a target is up, verdicts count in the order in which their probes were sent: with several in flight, the reply to a later
//! probe is there before the loss of an earlier one is known, and an outage shorter than the timeout would hide between replies that
//! have nothing to do with it. Where it is down, any reply to a probe of the outage is the end, at once.
//!
//! It knows one target, of its parent only what [`Parent`] tells, and nothing of lines or findings: it answers with [`Change`]s.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::course::{Course, Loss, Recovery, Seen};
use super::finding::{FirstReply, WarmUp};
use super::inflight::{Inflight, Ruling, Verdict};
use super::outage::{Carried, Cause, Outage, Rules, State};
use super::time::{Mono, Now, Stamp, Wall};

/// A parent's word is awaited for no longer than this: one that is probed so seldom is no help.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// Verdicts that may wait for the parent's word.
const MAX_AWAITED: usize = 4096;

/// How a target is doing.
#[derive(Debug, Default)]
pub(super) struct Health {
    standing: Standing,
    /// The answered probe with the highest number, of those whose turn has come.
    answered: Option<Answered>,
    /// Losses in a row since then, while up.
    losses: Vec<Loss>,
    /// Verdicts whose turn has not come, by number, while up.
    ahead: VecDeque<(u64, Told)>,
    /// Probes since the last verdict of which nothing is known.
    unknown: u64,
    /// Losses before the first reply.
    early: u64,
    /// Probes below this number have had their turn, whatever is still to be said of them: a reply passed them.
    passed: u64,
    /// Losses of probes sent before do not count: the system slept, the parent was down, the target was paused.
    fresh_from: Mono,
    /// Nothing has been heard since `fresh_from`.
    is_unproven: bool,
    /// The outage that lasts, or else the last one.
    outage: Option<Box<Course>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Standing {
    #[default]
    Unknown,
    Up,
    Down,
    Behind,
}

/// The newest answered probe.
#[derive(Debug, Clone, Copy)]
struct Answered {
    seq: u64,
    sent: Stamp,
}

#[derive(Debug)]
enum Told {
    Answered(Seen),
    Lost(Loss),
    /// Nothing can be said of so many probes.
    Unmeasured(u64),
}

/// What a verdict changed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    /// The first reply, after losses.
    FirstReply(FirstReply),
    /// An outage began, or began again with the loss of this probe, sent then.
    Began(Outage, u64, Wall),
    /// More is known of an outage.
    Amended(Outage),
    /// An outage is over, with the reply to the probe of this number.
    Ended(Outage, u64),
    /// The target is behind its parent, since the sending of the first lost probe.
    Behind(Wall),
    /// The target answers although its parent is down, or the parent is up again.
    Reached(Wall),
    /// Probes are to get another identifier.
    NewId,
    /// The first probe under a new identifier was answered. That may be chance: one more is to have the identifier before.
    TryOldId,
}

/// What a target's parent tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parent {
    /// There is none, or it has nothing to tell.
    None,
    /// It has not been asked.
    Awaited,
    /// It is down.
    Down,
    /// It is up; the newest of its answered probes was sent then.
    Up {
        /// When.
        answered: Mono,
        /// How long its word may take: interval and timeout.
        within: Duration,
    },
}

/// What a verdict is seen with.
pub(super) struct Context<'a> {
    pub(super) rules: &'a Rules,
    pub(super) inflight: &'a mut Inflight,
    pub(super) parent: Parent,
    /// Why the name leads nowhere, where it does not.
    pub(super) not_resolved: Option<&'a Arc<str>>,
}

impl Health {
    pub(super) fn state(&self) -> State {
        match self.standing {
            Standing::Unknown => State::Unknown,
            Standing::Up if self.losses.is_empty() && !self.is_unproven => State::Up,
            Standing::Up => State::Suspect,
            Standing::Down => State::Down,
            Standing::Behind => State::Behind,
        }
    }

    /// Whether probes are to be sent faster: it is about to be seen whether the target is down, or up again.
    pub(super) fn is_in_the_balance(&self) -> bool {
        match self.standing {
            Standing::Up => !self.losses.is_empty(),
            Standing::Down => self.is_recovering(),
            Standing::Unknown | Standing::Behind => false,
        }
    }

    /// The outage that lasts, as of `now`.
    pub(super) fn outage(&self, now: Mono) -> Option<Outage> {
        let course = self.outage.as_ref().filter(|_| self.standing == Standing::Down)?;
        Some(Outage { lasted: course.lasted(now), ..course.outage.clone() })
    }

    /// The outage that lasts, as far as its losses tell.
    pub(super) fn outage_told(&self) -> Option<Outage> {
        self.outage.as_ref().filter(|_| self.standing == Standing::Down).map(|course| course.outage.clone())
    }

    /// When the newest of the answered probes was sent; zero on the monotonic clock where an earlier process sent it.
    pub(super) fn answered(&self) -> Option<Stamp> {
        self.answered.map(|seen| seen.sent)
    }

    /// Whether enough losses are there, and the parent's word is awaited.
    pub(super) fn awaits_parent(&self, rules: &Rules) -> bool {
        self.standing == Standing::Up && self.losses.len() >= rules.down_after as usize
    }

    /// A whole reply whose verdict nothing can change: the way of nearly all probes. Returns whether it was that.
    pub(super) fn handle_plain_reply(&mut self, seq: u64, verdict: &Verdict, inflight: &mut Inflight) -> bool {
        let is_plain = self.standing == Standing::Up
            && verdict.ruling == Ruling::Reply
            && self.losses.is_empty()
            && self.ahead.is_empty()
            && !self.is_unproven
            && self.passed <= seq
            && inflight.oldest_open().is_none_or(|open| seq < open);
        if is_plain {
            self.handle_in_turn(Seen::of(seq, verdict));
        }
        is_plain
    }

    /// A verdict was found or amended. `cause` says why the probe was lost, where it was.
    pub(super) fn handle_verdict(
        &mut self,
        seq: u64,
        verdict: &Verdict,
        cause: Cause,
        context: &mut Context<'_>,
        out: &mut Vec<Change>,
    ) {
        match verdict.ruling {
            Ruling::Reply => self.handle_answer(Seen::of(seq, verdict), context, out),
            Ruling::Late(_) => self.handle_late(Seen::of(seq, verdict), context, out),
            Ruling::Lost(_) => {
                self.conclude_trial(seq, out);
                self.handle_loss(Loss { seq, sent: verdict.sent, cause }, context, out);
            }
            Ruling::Explained(_) => self.explain(seq, cause, out),
            Ruling::Unmeasured(_) => self.handle_gap(seq, 1, out),
            Ruling::Duplicate => {}
        }
        if self.awaits_parent(context.rules) {
            self.judge(verdict.sent.mono, context, out);
        }
        self.settle(context, out);
    }

    /// So many probes, the last of this number, were not sent.
    pub(super) fn handle_unsent(&mut self, last: u64, count: u64, context: &mut Context<'_>, out: &mut Vec<Change>) {
        self.handle_gap(last, count, out);
        self.settle(context, out);
    }

    fn handle_gap(&mut self, seq: u64, count: u64, out: &mut Vec<Change>) {
        match self.standing {
            // At the end of an outage it was thought lost.
            Standing::Up if seq < self.passed => self.give_back(seq, out),
            Standing::Up => self.put_ahead(seq, Told::Unmeasured(count)),
            Standing::Unknown | Standing::Down | Standing::Behind => {}
        }
    }

    /// The parent has something new to tell.
    pub(super) fn handle_parent(&mut self, at: Stamp, context: &mut Context<'_>, out: &mut Vec<Change>) {
        match (self.standing, context.parent) {
            (Standing::Behind, Parent::Down | Parent::Awaited) => {}
            (Standing::Behind, Parent::Up { .. } | Parent::None) => {
                self.reach(at);
                out.push(Change::Reached(at.wall));
            }
            (Standing::Up, _) => {
                self.judge(at.mono, context, out);
                self.settle(context, out);
            }
            (Standing::Unknown | Standing::Down, _) => {}
        }
    }

    /// All that is in flight was given up: what is known of the losses before says nothing of those to come.
    pub(super) fn handle_void(&mut self, now: Mono) {
        self.ahead.clear();
        if self.standing != Standing::Unknown {
            self.losses.clear();
        }
        self.fresh_from = now;
        if let Some(course) = &mut self.outage {
            course.relapse();
        }
    }

    /// Time passed that CLOCK_MONOTONIC does not count.
    pub(super) fn handle_suspend(&mut self, time: Duration) {
        if let Some(course) = self.course() {
            course.before += time;
        }
    }

    /// So much time was not measured.
    pub(super) fn handle_unmeasured(&mut self, time: Duration) {
        match self.outage.as_deref_mut() {
            Some(Course { over: Some(_), between, .. }) => *between += time,
            Some(Course { recovering: Some(recovery), .. }) => recovery.unmeasured += time,
            Some(course) => course.outage.unmeasured += time,
            None => {}
        }
    }

    /// The name leads nowhere: of an outage that nothing else explains, that is the cause.
    pub(super) fn handle_not_resolved(&mut self, error: &Arc<str>, out: &mut Vec<Change>) {
        if let Some(course) = self.course() {
            course.explain(&Cause::NotResolved(Arc::clone(error)), out);
        }
    }

    /// So many are behind this one, or were.
    pub(super) fn handle_behind(&mut self, count: usize) {
        if let Some(course) = self.course() {
            // Who is whose child is found out anew at a reload.
            course.outage.behind = course.outage.behind.max(u32::try_from(count).unwrap_or(u32::MAX));
        }
    }

    /// The target is not probed from here on. Where it was behind its parent, nobody knows any more.
    pub(super) fn handle_pause(&mut self, now: Stamp) {
        if self.standing == Standing::Behind {
            self.standing = Standing::Up;
        }
        self.is_unproven = false;
        self.handle_void(now.mono);
    }

    /// The identifier was changed when `newest` was the newest probe.
    pub(super) fn handle_new_id(&mut self, newest: u64) {
        if let Some(course) = self.course() {
            course.outage.new_ids += 1;
            course.new_id_at = Some(newest);
        }
    }

    /// The probe of this number has the identifier before, those around it have the new one.
    pub(super) fn handle_trial(&mut self, seq: u64) {
        if let Some(course) = &mut self.outage {
            course.trial = Some(seq);
        }
    }

    /// The probe with the identifier before is lost. If later ones were answered, the new identifier it was that helped.
    fn conclude_trial(&mut self, seq: u64, out: &mut Vec<Change>) {
        let is_up_since = self.passed.max(self.answered.map_or(0, |answered| answered.seq)) > seq
            || self.ahead.iter().any(|(other, told)| *other > seq && matches!(told, Told::Answered(_)));
        if let Some(course) = self.outage.as_mut().filter(|course| course.trial == Some(seq) && is_up_since) {
            course.trial = None;
            course.outage.new_id_helped = true;
            out.push(Change::Amended(course.outage.clone()));
        }
    }

    /// Goes on where an earlier process stopped. Losses of the last time `unjudged` before its last sign of life were no outage yet.
    pub(super) fn restore(&mut self, carried: &Carried, unjudged: Duration, now: Now) {
        let unseen = now.wall - carried.until;
        match (&carried.outage, carried.state) {
            (Some(outage), _) => {
                self.standing = Standing::Down;
                self.outage = Some(Box::new(Course::restored(outage, unseen, carried.until, now)));
            }
            (None, State::Up | State::Degraded | State::Suspect | State::Paused) => {
                let sent = Stamp { mono: Mono::default(), wall: carried.until - unjudged };
                self.standing = Standing::Up;
                self.is_unproven = true;
                self.answered = Some(Answered { seq: 0, sent });
            }
            (None, State::Unknown | State::Down | State::Behind) => {}
        }
    }
}

/// Replies.
impl Health {
    fn handle_answer(&mut self, seen: Seen, context: &mut Context<'_>, out: &mut Vec<Change>) {
        match self.standing {
            Standing::Unknown => self.handle_first(seen, context, out),
            Standing::Behind => {
                self.reach(seen.arrived);
                self.pass(seen, seen.seq);
                out.push(Change::Reached(seen.arrived.wall));
            }
            Standing::Down if self.is_recovering() => self.put_ahead(seen.seq, Told::Answered(seen)),
            Standing::Down => self.recover(seen, context, out),
            Standing::Up if seen.seq < self.passed => self.give_back(seen.seq, out),
            Standing::Up => {
                self.is_unproven = false;
                self.put_ahead(seen.seq, Told::Answered(seen));
            }
        }
    }

    /// A late reply: the loss it takes back is none. Those before it are refuted with it, those after it stand.
    fn handle_late(&mut self, seen: Seen, context: &mut Context<'_>, out: &mut Vec<Change>) {
        if let Some((_, told)) = self.ahead.iter_mut().find(|(seq, _)| *seq == seen.seq) {
            *told = Told::Answered(seen);
            return;
        }
        match self.standing {
            Standing::Up if self.passed <= seen.seq => {
                self.losses.retain(|loss| loss.seq > seen.seq);
                self.note_answered(seen);
            }
            Standing::Down => {
                self.give_back(seen.seq, out);
                self.handle_answer(seen, context, out);
            }
            Standing::Up | Standing::Behind | Standing::Unknown => self.handle_answer(seen, context, out),
        }
    }

    fn handle_first(&mut self, seen: Seen, context: &mut Context<'_>, out: &mut Vec<Change>) {
        if let Some(first) = self.losses.first().filter(|first| first.seq < seen.seq) {
            let after = seen.sent.mono - first.sent.mono;
            let lost = self.early + context.inflight.open_within(first.seq, seen.seq).0;
            out.push(Change::FirstReply(FirstReply { seq: seen.seq, after, lost, hint: WarmUp::of(after) }));
        }
        self.standing = Standing::Up;
        self.pass(seen, seen.seq);
    }

    /// The reply's turn has come: the target was up at the sending of its probe, whatever was lost before.
    fn handle_in_turn(&mut self, seen: Seen) {
        self.unknown = 0;
        self.losses.clear();
        self.note_answered(seen);
    }

    fn note_answered(&mut self, seen: Seen) {
        if self.answered.is_none_or(|answered| answered.seq < seen.seq) {
            self.answered = Some(Answered { seq: seen.seq, sent: seen.sent });
        }
        self.is_unproven = false;
    }

    /// The reply counts before its turn: what is still to be said of probes below `passed` begins no outage.
    fn pass(&mut self, seen: Seen, passed: u64) {
        self.passed = passed;
        self.handle_in_turn(seen);
    }

    fn recover(&mut self, seen: Seen, context: &mut Context<'_>, out: &mut Vec<Change>) {
        // A reply to a probe sent before the outage began says nothing of its end.
        let Some(course) = self.outage.as_mut().filter(|course| course.first <= seen.seq) else { return };
        let is_under_new_id =
            course.new_id_at.is_some_and(|newest| context.inflight.first_after(newest) == Some(seen.seq));
        let recovery = course.recovering.get_or_insert(Recovery {
            first: seen,
            count: 0,
            is_under_new_id,
            unmeasured: Duration::ZERO,
        });
        recovery.count += 1;
        if recovery.count < context.rules.up_after {
            return;
        }
        let recovery = *recovery;
        let passed = course.end(&recovery, context.inflight);
        out.push(Change::Ended(course.outage.clone(), recovery.first.seq));
        // A single loss must not be an outage, for one may be provoked.
        out.extend((recovery.is_under_new_id && context.rules.down_after > 1).then_some(Change::TryOldId));
        self.standing = Standing::Up;
        self.pass(seen, passed);
    }

    /// The last outage has a loss less than was thought.
    fn give_back(&mut self, seq: u64, out: &mut Vec<Change>) {
        let belongs = |course: &&mut Box<Course>| course.first <= seq && course.over.is_none_or(|over| seq < over.seq);
        if let Some(course) = self.outage.as_mut().filter(belongs) {
            course.outage.lost = course.outage.lost.saturating_sub(1);
            if course.over.is_some() {
                out.push(Change::Amended(course.outage.clone()));
            }
        }
    }

    /// The parent no longer stands between: what comes counts, what was does not.
    fn reach(&mut self, at: Stamp) {
        self.standing = Standing::Up;
        self.handle_void(at.mono);
        self.is_unproven = true;
    }
}

/// Losses.
impl Health {
    fn handle_loss(&mut self, loss: Loss, context: &mut Context<'_>, out: &mut Vec<Change>) {
        if loss.sent.mono < self.fresh_from && self.standing != Standing::Down {
            return;
        }
        match self.standing {
            Standing::Unknown => self.handle_early(loss),
            Standing::Behind => {}
            Standing::Down if self.is_recovering() => self.put_ahead(loss.seq, Told::Lost(loss)),
            Standing::Down => self.handle_further_loss(&loss, context, out),
            Standing::Up if loss.seq < self.passed => {}
            Standing::Up => self.put_ahead(loss.seq, Told::Lost(loss)),
        }
    }

    /// Before the first reply: the first loss is kept, and how many there were.
    fn handle_early(&mut self, loss: Loss) {
        self.early += 1;
        if self.losses.is_empty() {
            self.losses.push(loss);
        }
    }

    fn put_ahead(&mut self, seq: u64, told: Told) {
        let index = self.ahead.partition_point(|(other, _)| *other < seq);
        self.ahead.insert(index, (seq, told));
    }

    fn handle_further_loss(&mut self, loss: &Loss, context: &Context<'_>, out: &mut Vec<Change>) {
        if let Some(course) = self.outage.as_mut() {
            course.handle_loss(loss, context.rules, out);
        }
    }

    /// Whether there were replies, so far too few: they are counted in the order of their probes.
    fn is_recovering(&self) -> bool {
        self.standing == Standing::Down && self.outage.as_ref().is_some_and(|course| course.recovering.is_some())
    }

    /// Takes up the verdicts whose turn has come: while up or recovering, those of probes before which none is open, and none while
    /// the parent's word is awaited; else all of them.
    fn settle(&mut self, context: &mut Context<'_>, out: &mut Vec<Change>) {
        while let Some((seq, _)) = self.ahead.front() {
            let is_up = self.standing == Standing::Up;
            if self.awaits_parent(context.rules) || self.must_wait(*seq, context.inflight) {
                return;
            }
            let Some((_, told)) = self.ahead.pop_front() else { return };
            match told {
                Told::Answered(seen) if is_up => self.handle_in_turn(seen),
                Told::Lost(loss) if is_up => {
                    let latest = loss.sent.mono;
                    self.unknown = 0;
                    self.losses.push(loss);
                    self.judge(latest, context, out);
                }
                Told::Unmeasured(count) if is_up => self.handle_unknown(count, context.rules),
                Told::Answered(seen) if self.is_recovering() => self.recover(seen, context, out),
                Told::Lost(loss) if self.is_recovering() => self.handle_further_loss(&loss, context, out),
                Told::Answered(seen) => self.handle_answer(seen, context, out),
                Told::Lost(loss) => self.handle_loss(loss, context, out),
                Told::Unmeasured(_) => {}
            }
        }
    }

    /// Of as many probes in a row as would make an outage nothing is known: what was lost before may have been lost for the same reason.
    fn handle_unknown(&mut self, count: u64, rules: &Rules) {
        self.unknown = self.unknown.saturating_add(count);
        if self.unknown >= u64::from(rules.down_after) {
            self.losses.clear();
        }
    }

    /// Whether a verdict on an earlier probe is awaited that counts before the one on `seq`.
    fn must_wait(&self, seq: u64, inflight: &mut Inflight) -> bool {
        let recovery = self.outage.as_ref().and_then(|course| course.recovering);
        match (self.standing, recovery) {
            (Standing::Up, _) => inflight.oldest_open().is_some_and(|open| open <= seq),
            (Standing::Down, Some(recovery)) => inflight.open_within(recovery.first.seq, seq).0 > 0,
            (Standing::Down, None) | (Standing::Unknown | Standing::Behind, _) => false,
        }
    }

    /// Are the losses enough, and whose are they?
    fn judge(&mut self, latest: Mono, context: &mut Context<'_>, out: &mut Vec<Change>) {
        let enough = self.losses.get(context.rules.down_after.saturating_sub(1) as usize);
        let (Some(first), Some(enough)) = (self.losses.first(), enough) else { return };
        let (first, enough) = (first.sent, enough.sent.mono);
        let has_room = self.losses.len() + self.ahead.len() < MAX_AWAITED;
        match context.parent {
            Parent::Down => {
                self.losses.clear();
                self.standing = Standing::Behind;
                out.push(Change::Behind(first.wall));
            }
            Parent::Awaited => {}
            Parent::Up { answered, within } if answered <= enough && latest - enough < within && has_room => {}
            Parent::None | Parent::Up { .. } => self.begin(context, out),
        }
    }

    fn begin(&mut self, context: &Context<'_>, out: &mut Vec<Change>) {
        let losses = std::mem::take(&mut self.losses);
        let Some(first) = losses.first() else { return };
        let former = self.outage.take().filter(|course| course.is_within(context.rules.merge_within, first.sent.mono));
        let mut course = match former {
            Some(former) => former.again(&losses),
            None => Box::new(Course::of(&losses, self.answered.map(|seen| seen.sent.wall))),
        };
        if let Some(error) = context.not_resolved {
            course.explain(&Cause::NotResolved(Arc::clone(error)), &mut Vec::new());
        }
        self.standing = Standing::Down;
        out.push(Change::Began(course.outage.clone(), first.seq, first.sent.wall));
        out.extend(course.wants_new_id(context.rules).then_some(Change::NewId));
        self.outage = Some(course);
    }

    fn explain(&mut self, seq: u64, cause: Cause, out: &mut Vec<Change>) {
        for loss in self.losses.iter_mut().filter(|loss| loss.seq == seq) {
            loss.cause = cause.clone();
        }
        for (_, told) in self.ahead.iter_mut().filter(|(other, _)| *other == seq) {
            if let Told::Lost(loss) = told {
                loss.cause = cause.clone();
            }
        }
        if let Some(course) = self.course().filter(|course| course.first <= seq) {
            course.explain(&cause, out);
        }
    }

    /// The outage that lasts.
    fn course(&mut self) -> Option<&mut Course> {
        self.outage.as_deref_mut().filter(|_| self.standing == Standing::Down)
    }
}

impl Parent {
    /// The word of a parent under these rules that is not down: one that dies is down after so many losses, the first of which is
    /// sent an interval later at most.
    pub(super) fn up(answered: Mono, rules: &Rules, interval: Duration, timeout: Duration) -> Self {
        let within = interval.saturating_mul(rules.down_after.saturating_add(1)).saturating_add(timeout);
        Self::Up { answered, within: within.min(LONGEST_WAIT) }
    }
}

impl WarmUp {
    /// A probe a second, and the first replies of a neighbour that has to be found first, blur what a bridge does to the second.
    const BLUR: Duration = Duration::from_millis(2_500);

    /// What the time from the first probe to the first answered one is typical of.
    pub(super) fn of(after: Duration) -> Option<Self> {
        const FORWARD_DELAY: Duration = Duration::from_secs(15);
        let fits =
            |delay: Duration| (delay.saturating_sub(Duration::from_millis(500))..delay + Self::BLUR).contains(&after);
        match () {
            () if fits(FORWARD_DELAY) => Some(Self::BridgeLearning),
            () if fits(FORWARD_DELAY * 2) => Some(Self::BridgeListeningAndLearning),
            () => None,
        }
    }
}
