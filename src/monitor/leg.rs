//! One target at work: its timetable, address, open probes and counts, and the records that come of them.
//!
//! It applies the rules of its neighbours to one target; which target a packet belongs to, `super` has found out.

mod wellbeing;

use std::sync::Arc;
use std::time::Duration;

use super::SocketId;
use super::coverage::Coverage;
use super::degraded::Degraded;
use super::finding::{Finding, Gap};
use super::health::{Health, LONGEST_WAIT};
use super::identity::TargetId;
use super::inflight::{Cause, Effect, Inflight, Obstacle, Ruling, Verdict, WAIT_AT_MOST};
use super::lookup::Lookups;
use super::outage::{self, Carried, State};
use super::record::{Answer, AnswerKind, Event, Lateness, Reason, Record, SendError};
use super::sample::{Arrival, IcmpError};
use super::schedule::{Missed, Pace, Schedule};
use super::target::{Addr, Host, Target};
use super::time::{Mono, Now, Stamp, Wall};
use super::window::Window;

/// While a name does not resolve, the probes not sent are reported at first at once and then this often.
const UNRESOLVED_REPORT: Duration = Duration::from_secs(60);

/// What the rules have to tell: what is to be written down, and what was found out.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) records: Vec<Record>,
    pub(super) findings: Vec<Finding>,
}

/// One target at work. What seldom occurs is boxed, so that walking through many targets touches little memory.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) target: Arc<Target>,
    pub(super) schedule: Schedule,
    pub(super) inflight: Inflight,
    pub(super) window: Window,
    /// `None` where the host is an address.
    pub(super) lookups: Option<Box<Lookups>>,
    /// Whether the first look-up is still awaited, and the timetable with it.
    pub(super) awaits_address: bool,
    route: Option<Route>,
    /// Where the probes went that may still be answered from there, oldest first.
    formers: Vec<Former>,
    /// The target's, held here because every probe asks for it.
    size: u16,
    unresolved: Option<Box<Unresolved>>,
    pub(super) health: Health,
    coverage: Coverage,
    degraded: Option<Box<Degraded>>,
    pub(super) paused: Option<Box<Pausing>>,
    /// Without whom this target cannot be reached.
    pub(super) parent: Option<TargetId>,
    /// Whether others cannot be reached without this one.
    pub(super) is_parent: bool,
    /// Something happened that is not this target's affair alone.
    pub(super) calls: Calls,
    /// The route to be taken up again after the next probe.
    pub(super) back: Option<Box<Route>>,
    /// Which of the sockets with its options its probes go through: each has another ICMP identifier.
    pub(super) variant: u8,
    /// The pace to be taken up.
    pub(super) pace: Option<Box<Pace>>,
    /// Whether the burst of this spell of losses has been asked for.
    has_burst: bool,
    /// The state told last, and since when; single losses are not told.
    told: State,
    state: State,
    since: Option<Wall>,
}

/// A target is not probed, by order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pausing {
    pub(super) since: Stamp,
}

/// What a target's verdicts have to be followed by elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Calls {
    /// It went down, or came up again: its children are to be told.
    pub(super) children: bool,
    /// Its parent is to be asked.
    pub(super) parent: bool,
    /// Its next probe is due at another time.
    pub(super) slot: bool,
    /// Its probes are to get another identifier.
    pub(super) new_id: bool,
    /// Its next probe is to have the identifier before.
    pub(super) old_id: bool,
}

/// Which way a probe goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) addr: Addr,
    pub(super) socket: SocketId,
}

/// The route that probes took up to a certain one.
#[derive(Debug, Clone, Copy)]
struct Former {
    route: Route,
    last_seq: u64,
}

/// Slots that passed without an address and are not reported yet.
#[derive(Debug)]
struct Unresolved {
    first: u64,
    last: u64,
    count: u64,
    reported: Mono,
}

/// What an echo reply turned out to be, before it is known what that does to its probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Echo {
    /// Whole and from the address probed.
    Whole,
    /// Altered.
    Damaged,
    /// Whole, but from somebody else.
    DifferentAddress,
}

/// The parts of an echo reply that a line shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct EchoSeen {
    pub(super) from: Addr,
    pub(super) ttl: Option<u8>,
    pub(super) bytes: usize,
}

impl Leg {
    pub(super) fn new(target: Arc<Target>, schedule: Schedule, lookups: Option<Lookups>) -> Self {
        let degraded = target.rules.degraded.clone().map(|rules| Box::new(Degraded::new(rules)));
        Self {
            size: target.size,
            inflight: Inflight::new(target.timeout.min(target.interval.saturating_mul(WAIT_AT_MOST))),
            target,
            schedule,
            awaits_address: false,
            lookups: lookups.map(Box::new),
            window: Window::default(),
            route: None,
            formers: Vec::new(),
            unresolved: None,
            health: Health::default(),
            coverage: Coverage::default(),
            degraded,
            paused: None,
            parent: None,
            is_parent: false,
            calls: Calls::default(),
            back: None,
            variant: 0,
            pace: None,
            has_burst: false,
            told: State::Unknown,
            state: State::Unknown,
            since: None,
        }
    }

    /// Goes on where `former`, which meant the same host, was.
    pub(super) fn inherit(&mut self, former: Self, now: Now) {
        self.window = former.window;
        self.health = former.health;
        self.handle_void(now.mono);
        self.coverage = former.coverage;
        self.paused = former.paused;
        (self.told, self.state, self.since, self.variant) = (former.told, former.state, former.since, former.variant);
    }

    /// Goes on where an earlier process stopped.
    pub(super) fn restore(&mut self, carried: &Carried, now: Now) {
        let Target { interval, rules, .. } = &*self.target;
        let awaited = if self.parent.is_some() { LONGEST_WAIT } else { Duration::ZERO };
        let unjudged = interval.saturating_mul(rules.down_after).saturating_add(self.timeout() + awaited);
        self.health.restore(carried, unjudged, now);
        self.told = self.health.state();
        if self.told == State::Suspect {
            self.told = State::Up;
        }
        self.state = self.health.state();
        self.since = carried.outage.as_ref().map(|outage| outage.began.at);
    }

    /// Reads a little of all that the next probe and its reply will need.
    pub(super) fn touch(&self) -> u64 {
        let (target, route) = (&self.target, self.route.map_or(0, |route| route.socket.0));
        let label = target.name.as_str().len() + usize::from(matches!(target.host, Host::Name(_)));
        let own = route + usize::from(self.size) + self.formers.len() + label;
        own as u64 ^ self.schedule.newest() ^ self.inflight.newest().unwrap_or(0) ^ self.window.touch()
    }

    /// Payload, bytes.
    pub(super) fn size(&self) -> usize {
        usize::from(self.size)
    }

    /// How long a probe may stay unanswered: the target's timeout, as far as its numbers reach.
    pub(super) fn timeout(&self) -> Duration {
        self.inflight.timeout()
    }

    pub(super) fn addr(&self) -> Option<Addr> {
        self.route.map(|route| route.addr)
    }

    pub(super) fn route(&self) -> Option<Route> {
        self.route
    }

    /// The route that probe `seq` took.
    pub(super) fn route_of(&self, seq: u64) -> Option<Route> {
        let former = self.formers.iter().find(|former| seq <= former.last_seq);
        former.map(|former| former.route).or(self.route)
    }

    /// The address probe `seq` was sent to.
    pub(super) fn addr_of(&self, seq: u64) -> Option<Addr> {
        self.route_of(seq).map(|route| route.addr)
    }

    /// Every address that may answer a probe.
    pub(super) fn addrs(&self) -> impl Iterator<Item = Addr> {
        self.formers.iter().map(|former| former.route).chain(self.route).map(|route| route.addr)
    }

    /// Probes take this route from here on. Returns the address so far.
    pub(super) fn set_route(&mut self, route: Route) -> Option<Addr> {
        self.forget_routes();
        let old = self.route.replace(route)?;
        self.formers.push(Former { route: old, last_seq: self.schedule.newest() });
        Some(old.addr)
    }

    /// Routes whose probes are forgotten.
    fn forget_routes(&mut self) {
        let oldest = self.inflight.oldest();
        self.formers.retain(|former| oldest.is_some_and(|oldest| oldest <= former.last_seq));
    }

    pub(super) fn record(&self, at: Wall, addr: Option<Addr>, event: Event) -> Record {
        Record { at, target: self.target.label(), addr, event }
    }

    pub(super) fn handle_sent(
        &mut self,
        seq: u64,
        sent: Stamp,
        took: Duration,
        result: Result<(), SendError>,
        out: &mut Output,
    ) {
        match result {
            Ok(()) => {
                self.window.handle_sent();
                self.inflight.handle_sent(seq, sent, took);
                if !self.formers.is_empty() {
                    self.forget_routes();
                }
                if let Some(back) = self.back.take() {
                    self.set_route(*back);
                }
            }
            Err(error) => {
                self.window.not_sent += 1;
                // Of an address with a zone, this is all there will ever be when the interface was made anew under its name.
                if let Some(lookups) = &mut self.lookups {
                    lookups.handle_loss(sent.mono);
                }
                out.records.push(self.record(sent.wall, self.addr(), Event::NotSent { seq, error }));
                self.break_losses(seq, 1, sent.wall, out);
                self.leave_unmeasured(Gap::NotSent, self.slot_of(sent.wall), sent.wall, out);
            }
        }
    }

    pub(super) fn handle_echo(&mut self, seq: u64, echo: Echo, seen: EchoSeen, arrival: Arrival, out: &mut Output) {
        let effect = match echo {
            Echo::Whole => self.inflight.handle_reply(seq, arrival),
            Echo::Damaged => self.inflight.handle_failure(seq, Cause::Damaged, arrival),
            Echo::DifferentAddress => self.inflight.handle_failure(seq, Cause::DifferentAddress, arrival),
        };
        let cause = match echo {
            Echo::Damaged => outage::Cause::Damaged,
            Echo::DifferentAddress => outage::Cause::DifferentAddress(seen.from),
            Echo::Whole => outage::Cause::Unanswered,
        };
        self.conclude(seq, effect, cause, out, |verdict, addr| {
            let kind = answer_kind(verdict.ruling)?;
            let from = (Some(seen.from.ip) != addr.map(|addr| addr.ip)).then_some(seen.from);
            let (sent, rtt) = (verdict.sent.wall, verdict.after);
            Some(Event::Answer(Answer { kind, seq, sent, rtt, ttl: seen.ttl, bytes: seen.bytes, from }))
        });
    }

    pub(super) fn handle_error(&mut self, seq: u64, from: Addr, error: IcmpError, arrival: Arrival, out: &mut Output) {
        let effect = self.inflight.handle_failure(seq, Cause::Unreachable, arrival);
        self.conclude(seq, effect, outage::Cause::Unreachable { error, from }, out, |verdict, _| {
            let lateness = match verdict.ruling {
                Ruling::Explained(_) => Lateness::AfterLoss,
                Ruling::Lost(_) | Ruling::Reply | Ruling::Late(_) | Ruling::Duplicate | Ruling::Unmeasured(_) => {
                    Lateness::InTime
                }
            };
            Some(Event::Unreachable { seq, sent: verdict.sent.wall, from, error, lateness })
        });
    }

    /// The probe's time is up.
    pub(super) fn handle_expiry(&mut self, seq: u64, drained: Stamp, dropped: Option<Mono>, out: &mut Output) {
        if let Some(verdict) = self.inflight.handle_expiry(seq, drained, dropped) {
            self.conclude(seq, Effect::Judged(verdict), outage::Cause::Unanswered, out, |_, _| None);
        }
    }

    /// Slots passed unserved.
    pub(super) fn handle_missed(&mut self, missed: Missed, reason: Reason, at: Wall, out: &mut Output) {
        self.break_losses(missed.last, missed.last - missed.first + 1, at, out);
        self.leave_unmeasured(Gap::Stalled, (at - missed.late, Some(at)), at, out);
        self.note_missed(missed, reason, at, out);
    }

    /// Writes down slots that passed unserved.
    pub(super) fn note_missed(&mut self, missed: Missed, reason: Reason, at: Wall, out: &mut Output) {
        let Missed { first, last, .. } = missed;
        let count = last - first + 1;
        self.window.not_measured += count;
        out.records.push(self.record(at, self.addr(), Event::NotMeasured { first, last, count, reason }));
    }

    /// Writes down for how long no process measured. That is about another timetable than the present one, so its counts stay as they
    /// are. Less than an interval may have had no slot in it; and where the clock was set back, nobody knows.
    pub(super) fn note_absence(&self, carried: &Carried, at: Wall, out: &mut Output) {
        let time = at - carried.until;
        let count = u64::try_from(time.as_nanos() / self.target.interval.as_nanos().max(1)).unwrap_or(u64::MAX);
        if count > 0 {
            let event = Event::NotRunning { count, time, ending: carried.ending };
            out.records.push(self.record(at, self.addr(), event));
        }
    }

    /// Gives up what is in flight, together with slots that were missed for the same reason.
    pub(super) fn void(&mut self, missed: Option<Missed>, reason: Reason, at: Wall, out: &mut Output) {
        if let Reason::Suspended(time) = reason {
            self.health.handle_suspend(time);
            self.leave_unmeasured(Gap::Suspended, (at - time, Some(at)), at, out);
        }
        let voided = self.inflight.void();
        let skipped = missed.map_or(0, |missed| missed.last - missed.first + 1);
        let count = voided.map_or(0, |voided| voided.count) + skipped;
        self.window.handle_voided(count - skipped);
        self.window.not_measured += skipped;
        let first = voided.map(|voided| voided.first).or(missed.map(|missed| missed.first));
        let last = missed.map(|missed| missed.last).or(voided.map(|voided| voided.last));
        if let (Some(first), Some(last)) = (first, last) {
            let addr = self.addr_of(first);
            out.records.push(self.record(at, addr, Event::NotMeasured { first, last, count, reason }));
        }
    }

    /// A slot passed, but there is no address to probe.
    pub(super) fn handle_unresolved(&mut self, seq: u64, now: Now, out: &mut Output) {
        self.window.not_measured += 1;
        let reported = self.unresolved.as_ref().map(|unresolved| unresolved.reported);
        let fresh = Unresolved { first: seq, last: seq, count: 0, reported: reported.unwrap_or(now.mono) };
        let unresolved = self.unresolved.get_or_insert_with(|| Box::new(fresh));
        if unresolved.count == 0 {
            unresolved.first = seq;
        }
        unresolved.last = seq;
        unresolved.count += 1;
        self.break_losses(seq, 1, now.wall, out);
        self.leave_unmeasured(Gap::NotResolved, self.slot_of(now.wall), now.wall, out);
        if reported.is_none_or(|reported| now.mono - reported >= UNRESOLVED_REPORT) {
            self.report_unresolved(now, out);
        }
    }

    /// Writes down the slots that passed without an address and are not written down yet.
    pub(super) fn report_unresolved(&mut self, now: Now, out: &mut Output) {
        let Some(unresolved) = self.unresolved.as_mut().filter(|unresolved| unresolved.count > 0) else { return };
        let Unresolved { first, last, count, .. } = **unresolved;
        unresolved.count = 0;
        unresolved.reported = now.mono;
        let error = self.lookups.as_ref().and_then(|lookups| lookups.error().cloned());
        let reason = Reason::NotResolved(error.unwrap_or_else(|| "no answer from the resolver yet".into()));
        out.records.push(self.record(now.wall, self.addr(), Event::NotMeasured { first, last, count, reason }));
    }

    /// The name leads somewhere: what passed without an address is written down, and the next such time begins afresh.
    pub(super) fn handle_resolved(&mut self, now: Now, out: &mut Output) {
        self.report_unresolved(now, out);
        self.unresolved = None;
    }

    /// Counts what was decided and writes it down: as a loss or as not measured where that is the ruling, else as `event`
    /// describes it, given the address that was probed. `cause` is what a loss is put down to.
    fn conclude(
        &mut self,
        seq: u64,
        effect: Effect,
        cause: outage::Cause,
        out: &mut Output,
        event: impl Fn(&Verdict, Option<Addr>) -> Option<Event>,
    ) {
        let verdicts = match effect {
            Effect::Judged(verdict) => [Some(verdict), None],
            Effect::Overdue { lost, late } => [Some(lost), Some(late)],
            Effect::Stale => return self.window.ignored.stale += 1,
            Effect::Redundant => return self.window.ignored.redundant += 1,
        };
        let addr = self.addr_of(seq);
        for verdict in verdicts.iter().flatten() {
            self.window.handle_verdict(verdict);
            self.follow_name(verdict);
            let event = common_event(seq, verdict).or_else(|| event(verdict, addr));
            out.records.extend(event.map(|event| self.record(verdict.at, addr, event)));
            self.follow_health(seq, verdict, &cause, out);
        }
    }

    /// Losses make the name be looked up again, replies confirm it.
    fn follow_name(&mut self, verdict: &Verdict) {
        let Some(lookups) = &mut self.lookups else { return };
        match verdict.ruling {
            Ruling::Reply => lookups.handle_reply(),
            Ruling::Lost(_) => lookups.handle_loss(verdict.sent.mono + verdict.after),
            Ruling::Late(_) | Ruling::Explained(_) | Ruling::Duplicate | Ruling::Unmeasured(_) => {}
        }
    }
}

/// What is written down for a ruling whatever led to it.
fn common_event(seq: u64, verdict: &Verdict) -> Option<Event> {
    match verdict.ruling {
        Ruling::Lost(Cause::Unanswered) => Some(Event::Lost { seq, sent: verdict.sent.wall, timeout: verdict.after }),
        Ruling::Unmeasured(obstacle) => {
            let reason = match obstacle {
                Obstacle::LocalDrops => Reason::LocalDrops,
                Obstacle::ArrivalUnknown => Reason::ArrivalUnknown,
                Obstacle::Stalled { millis } => Reason::Stalled(Duration::from_millis(millis.into())),
            };
            Some(Event::NotMeasured { first: seq, last: seq, count: 1, reason })
        }
        Ruling::Lost(Cause::Unreachable | Cause::Damaged | Cause::DifferentAddress)
        | Ruling::Reply
        | Ruling::Late(_)
        | Ruling::Explained(_)
        | Ruling::Duplicate => None,
    }
}

fn answer_kind(ruling: Ruling) -> Option<AnswerKind> {
    match ruling {
        Ruling::Reply => Some(AnswerKind::Reply),
        Ruling::Late(_) => Some(AnswerKind::Late),
        Ruling::Duplicate => Some(AnswerKind::Duplicate),
        Ruling::Lost(Cause::Damaged) | Ruling::Explained(Cause::Damaged) => Some(AnswerKind::Damaged),
        Ruling::Lost(Cause::DifferentAddress) | Ruling::Explained(Cause::DifferentAddress) => {
            Some(AnswerKind::DifferentAddress)
        }
        Ruling::Lost(Cause::Unanswered | Cause::Unreachable)
        | Ruling::Explained(Cause::Unanswered | Cause::Unreachable)
        | Ruling::Unmeasured(_) => None,
    }
}
