//! The rules, pure: which probe is due, whose reply came in, what became of each probe, what is to be written down.
//!
//! [`Monitor`] routes and owns no rule; the rules stand one to a file: [`schedule`] (when), [`identity`] (whose), [`inflight`]
//! (what became of it), [`lookup`] (where a name leads), [`window`] (what it adds up to), `health` and `course` (when losses are an
//! outage), `kin` (whose it is), `degraded` (what falls short of one), `coverage` (when nothing is measured). Nothing here knows a
//! socket, a file, a thread or a clock: time comes in as an argument, what comes in by `handle_*`, what is to be done by `poll_*`.
//! So a day of flapping can be played in a millisecond.

pub mod agenda;
mod course;
mod coverage;
mod degraded;
pub mod finding;
mod health;
pub mod identity;
pub mod inflight;
mod kin;
mod leg;
pub mod lookup;
pub mod outage;
pub mod record;
pub mod sample;
pub mod schedule;
pub mod sendings;
pub mod sketch;
pub mod snapshot;
pub mod target;
pub mod time;
pub mod window;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use agenda::Agenda;
use finding::{Finding, What};
use identity::{FULL_PAYLOAD, Identity, ProbeId, Resemblance, TargetId};
use kin::Kin;
use leg::{Echo, EchoSeen, Leg, Output, Route};
use lookup::Lookups;
use record::{Event, Reason, Record, SendError};
use sample::{Checksum, IcmpError, Message, Sample};
use schedule::{Grid, Schedule, Slot, Timing};
use sendings::Sendings;
use snapshot::{Tally, TargetStatus};
use target::{Addr, Fragmentation, Host, IpVersion, Name, SocketOptions, Target};
use time::{Mono, Now, Stamp};
use window::Window;

/// Between a probe's deadline and its judgement: the time a packet stamped by the kernel may take to reach the socket where we
/// can read it.
const GRACE: Duration = Duration::from_millis(5);

/// A suspend shorter than this is the clocks being read one after the other.
const MIN_SUSPEND: Duration = Duration::from_millis(100);

/// The wall clock may drift by this much against the monotonic one between two readings and is not called set: readings of the
/// two are microseconds apart, and NTP slews by 500 ppm at most.
const MIN_CLOCK_STEP: Duration = Duration::from_millis(10);

/// How long a new target waits for its name's first look-up before its slots begin to pass.
const FIRST_LOOKUP_PATIENCE: Duration = Duration::from_secs(5);

/// When targets start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// On one common timetable, each at its phase: the daemon's way.
    Spread,
    /// Each as soon as it has an address, its phase counted from then: `pingtest ping`'s way.
    AtOnce,
}

/// Number of a socket, in the order in which their options first occurred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub usize);

/// What a socket must be: probes of equal keys share one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketKey {
    /// For which protocol.
    pub version: IpVersion,
    /// With which options.
    pub options: SocketOptions,
    /// Which of several alike: each socket has an ICMP identifier of its own.
    pub variant: u8,
}

impl fmt::Display for SocketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.version {
            IpVersion::V4 => "IPv4",
            IpVersion::V6 => "IPv6",
        })?;
        let SocketOptions { ttl, dscp, fragmentation, source, interface, mark } = &self.options;
        let numbers = [("ttl", ttl.map(u32::from)), ("dscp", dscp.map(u32::from)), ("mark", *mark)];
        if self.variant > 0 {
            write!(f, " no. {}", self.variant + 1)?;
        }
        for (name, value) in numbers.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            write!(f, " {name}={value}")?;
        }
        match fragmentation {
            Fragmentation::Allowed => {}
            Fragmentation::Forbidden => f.write_str(" dont_fragment")?,
        }
        if let Some(source) = source {
            write!(f, " source={source}")?;
        }
        interface.as_ref().map_or(Ok(()), |interface| write!(f, " interface={}", interface.as_str()))
    }
}

/// A probe to be sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Which probe it is.
    pub id: ProbeId,
    /// Where to.
    pub addr: Addr,
    /// Through which socket.
    pub socket: SocketId,
    /// Its sequence number on the wire.
    pub sequence: u16,
    /// Its payload's size, bytes.
    pub size: usize,
}

/// A name to be looked up; the answer goes to [`Monitor::handle_resolved`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// For which target.
    pub target: TargetId,
    /// The name.
    pub host: Arc<str>,
}

/// Something the operator should know that is no line of the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// A look-up failed that had not failed before.
    NotResolved {
        /// Whose name.
        target: Arc<Target>,
        /// The resolver's words.
        error: Arc<str>,
    },
    /// A name leads somewhere for the first time, or again.
    Resolved {
        /// Whose name.
        target: Arc<Target>,
        /// Where to.
        addr: Addr,
    },
    /// The wall clock was set forward by this much.
    ClockSetForward(Duration),
    /// The wall clock was set back by this much.
    ClockSetBack(Duration),
    /// The system was suspended.
    Suspended(Duration),
    /// A target was left out: there are [`TargetId::LIMIT`] of them already.
    TooManyTargets(Arc<Target>),
}

/// There is no target of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownTarget;

/// Who probes an address: seldom more than one.
type ByAddr = HashMap<IpAddr, SmallVec<[TargetId; 4]>>;

/// Replies that could not be put down to any target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Strays {
    /// From an address or with a number that nobody probes.
    pub foreign: u64,
    /// Rightly tagged, to a probe of a target that has gone.
    pub stale: u64,
    /// Errors that quote a probe with a made-up tag.
    pub forged: u64,
}

/// All targets at work. See the module's documentation for the vocabulary.
#[derive(Debug)]
pub struct Monitor {
    identity: Identity,
    start: Start,
    t0: Mono,
    /// Probes a second, all targets together.
    rate: f64,
    last: Now,
    /// Boxed, so that one that has gone leaves eight bytes behind: its number is never used again.
    legs: Vec<Option<Box<Leg>>>,
    by_name: HashMap<Name, TargetId>,
    by_addr: ByAddr,
    sockets: Vec<SocketKey>,
    /// When each socket was last seen to have dropped something.
    dropped: Vec<Option<Mono>>,
    slots: Agenda<TargetId>,
    judgements: Agenda<ProbeId>,
    lookups: Agenda<TargetId>,
    out: Output,
    notices: Vec<Notice>,
    kin: Kin,
    strays: Strays,
    sendings: Sendings,
}

impl Monitor {
    /// A monitor of no targets, whose timetable begins at `now`, to the grid.
    pub fn new(identity: Identity, start: Start, now: Now) -> Self {
        Self {
            identity,
            start,
            t0: Grid::COARSE.ceil(now.mono),
            rate: 0.0,
            last: now,
            legs: Vec::new(),
            by_name: HashMap::new(),
            by_addr: HashMap::new(),
            sockets: Vec::new(),
            dropped: Vec::new(),
            slots: Agenda::default(),
            judgements: Agenda::default(),
            lookups: Agenda::default(),
            out: Output::default(),
            notices: Vec::new(),
            kin: Kin::default(),
            strays: Strays::default(),
            sendings: Sendings::default(),
        }
    }

    /// These targets are wanted from here on. Unchanged ones go on undisturbed; a changed one keeps its numbers and counts if
    /// it still means the same host; the others end, or start with number 1.
    pub fn handle_targets(&mut self, targets: &[Arc<Target>], now: Now) {
        self.rate = targets.iter().map(|target| 1.0 / target.interval.as_secs_f64()).sum();
        let wanted: HashMap<&Name, &Arc<Target>> = targets.iter().map(|target| (&target.name, target)).collect();
        for index in 0..self.legs.len() {
            let Some(present) = self.legs[index].as_ref().map(|leg| Arc::clone(&leg.target)) else { continue };
            match wanted.get(&present.name) {
                Some(&target) if *target == present => {}
                Some(&target) => {
                    let former = self.retire(index, Reason::Changed, now);
                    let former = if target.means_the_same(&present) { former } else { self.forget(former, now) };
                    self.add(target, former, now);
                }
                None => {
                    let former = self.retire(index, Reason::Removed, now);
                    self.forget(former, now);
                }
            }
        }
        for target in targets {
            if !self.by_name.contains_key(&target.name) {
                self.add(target, None, now);
            }
        }
        self.find_kin(now.stamp());
        self.rebuild_slots();
    }

    /// Reads of the clocks, at the beginning of each turn and before any packet of that turn: notices a suspend, which voids
    /// what is in flight, and a step of the wall clock, which changes nothing but labels.
    pub fn handle_clock(&mut self, now: Now) {
        let suspended = (now.boot - self.last.boot).saturating_sub(now.mono - self.last.mono);
        let suspended = if suspended >= MIN_SUSPEND { suspended } else { Duration::ZERO };
        if !suspended.is_zero() {
            self.handle_suspend(suspended, now);
        }
        let expected = self.last.wall_at(now.mono) + suspended;
        let tolerance = MIN_CLOCK_STEP + (now.mono - self.last.mono) / 1000;
        if now.wall - expected > tolerance {
            self.notices.push(Notice::ClockSetForward(now.wall - expected));
        } else if expected - now.wall > tolerance {
            self.notices.push(Notice::ClockSetBack(expected - now.wall));
        }
        self.last = now;
    }

    /// A packet came in.
    pub fn handle_sample(&mut self, sample: &Sample<'_>) {
        match sample.message {
            Message::EchoReply { sequence, payload, checksum } => self.handle_echo(sample, sequence, payload, checksum),
            Message::Error { error, destination, sequence, payload } => {
                self.handle_error(sample, error, destination, sequence, payload);
            }
        }
    }

    /// The probe that [`Self::poll_probe`] handed out has left within the time `took` from `sent` on, or has been refused.
    pub fn handle_sent(&mut self, probe: &Probe, sent: Stamp, took: Duration, result: Result<(), SendError>) {
        let grid = self.grid();
        let Some(leg) = leg_mut(&mut self.legs, probe.id.target) else { return };
        leg.handle_sent(probe.id.seq, sent, took, result, &mut self.out);
        if result.is_ok() {
            let judged = grid.ceil(sent.mono + leg.timeout() + GRACE);
            self.judgements.push(judged, probe.id);
            self.sendings.handle_sent(probe.id, sent.mono, took);
        } else {
            self.follow_up(probe.id.target, sent);
        }
    }

    /// A packet left at `left`, by the kernel's stamp: it was the probe within whose sending that lies.
    pub fn handle_left(&mut self, left: Stamp) {
        let grid = self.grid();
        let Some((id, certainty)) = self.sendings.at(left.mono) else { return };
        let Some(leg) = leg_mut(&mut self.legs, id.target) else { return };
        if leg.inflight.handle_left(id.seq, left, certainty) {
            self.judgements.push(grid.ceil(left.mono + leg.timeout() + GRACE), id);
        }
    }

    /// A look-up has ended: with the addresses in the system's order, or with the resolver's words.
    pub fn handle_resolved(&mut self, id: TargetId, result: Result<&[Addr], Arc<str>>, now: Now) {
        let Some(leg) = leg_mut(&mut self.legs, id) else { return };
        let target = Arc::clone(&leg.target);
        let found = result.and_then(|found| {
            lookup::choose(leg.addr(), found, target.family).ok_or_else(|| target.family.lacking().into())
        });
        if found.is_ok() {
            leg.handle_resolved(now, &mut self.out);
        }
        let Some(lookups) = leg.lookups.as_mut() else { return };
        let failed_before = lookups.error().is_some();
        lookups.handle_result(found.as_ref().err().cloned(), now.mono);
        if let Err(error) = &found {
            leg.handle_not_resolved(error, now.wall, &mut self.out);
        }
        match found {
            Ok(addr) => {
                if leg.addr().is_none() || failed_before {
                    self.notices.push(Notice::Resolved { target, addr });
                }
                self.set_addr(id, addr, now);
            }
            Err(error) if !failed_before => self.notices.push(Notice::NotResolved { target, error }),
            Err(_) => {}
        }
        self.begin_timetable(id, now);
        self.note_lookup(id);
    }

    /// `socket` was seen at `at` to have dropped something since it was last looked at.
    pub fn handle_drops(&mut self, socket: SocketId, at: Mono) {
        if let Some(dropped) = self.dropped.get_mut(socket.0) {
            *dropped = Some(at);
        }
    }

    /// Every packet that arrived before `drained` has been handled: judges the probes whose time is up.
    pub fn handle_expiry(&mut self, drained: Stamp) {
        while let Some((_, id)) = self.judgements.pop_due(drained.mono) {
            let Some(leg) = leg_mut(&mut self.legs, id.target) else { continue };
            let dropped = leg.route_of(id.seq).and_then(|route| self.dropped[route.socket.0]);
            leg.handle_expiry(id.seq, drained, dropped, &mut self.out);
            self.follow_up(id.target, drained);
        }
    }

    /// The end: whatever is in flight is not measured.
    pub fn handle_stop(&mut self, now: Now) {
        for leg in self.legs.iter_mut().flatten() {
            leg.void(None, Reason::Stopped, now.wall, &mut self.out);
            leg.report_unresolved(now, &mut self.out);
            leg.close_gap(now.wall, &mut self.out);
            leg.tell_outage(now.wall, &mut self.out);
        }
    }

    /// Makes ready for [`Self::poll_probe`]: has the memory of all targets that are due fetched at once, where it would be waited for
    /// between any two packets. With ten thousand targets, these waits were a tenth of all the time spent.
    pub fn prepare(&self, now: Mono) {
        let touched = self.slots.due(now).filter_map(|id| self.leg(id)).fold(0, |sum, leg| sum ^ leg.touch());
        std::hint::black_box(touched);
    }

    /// Likewise for [`Self::handle_sample`]: the targets that these payloads of replies claim to belong to.
    pub fn prepare_for<'a>(&self, payloads: impl Iterator<Item = &'a [u8]>) {
        let claimed = payloads.filter_map(identity::claimed_target).filter_map(|id| self.leg(id));
        std::hint::black_box(claimed.fold(0, |sum, leg| sum ^ leg.touch()));
    }

    /// The next probe due at `now.mono`, to be sent at once and reported by [`Self::handle_sent`].
    pub fn poll_probe(&mut self, now: Now) -> Option<Probe> {
        while let Some((due, id)) = self.slots.pop_due(now.mono) {
            let wanted = |leg: &&mut Leg| leg.schedule.due() == Some(due) && leg.paused.is_none();
            let leg = leg_mut(&mut self.legs, id).filter(wanted);
            let Some((leg, slot)) = leg.and_then(|leg| leg.schedule.poll(now.mono).map(|slot| (leg, slot))) else {
                continue;
            };
            if let Some(next) = leg.schedule.due() {
                self.slots.push(next, id);
            }
            match (slot, leg.route()) {
                (Slot::Missed(missed), _) => {
                    leg.report_unresolved(now, &mut self.out);
                    leg.handle_missed(missed, Reason::Stalled(missed.late), now.wall, &mut self.out);
                }
                (Slot::Due { seq }, None) => leg.handle_unresolved(seq, now, &mut self.out),
                (Slot::Due { seq }, Some(Route { addr, socket })) => {
                    let (id, size) = (ProbeId { target: id, seq }, leg.size());
                    return Some(Probe { id, addr, socket, sequence: identity::wire_sequence(id, size), size });
                }
            }
        }
        None
    }

    /// The next name to be looked up.
    pub fn poll_lookup(&mut self, now: Mono) -> Option<Lookup> {
        while let Some((due, id)) = self.lookups.pop_due(now) {
            let Some(leg) = leg_mut(&mut self.legs, id) else { continue };
            let Host::Name(host) = &leg.target.host else { continue };
            if leg.lookups.as_mut().is_some_and(|lookups| lookups.due() == Some(due) && lookups.poll(now)) {
                return Some(Lookup { target: id, host: Arc::clone(host) });
            }
        }
        None
    }

    /// Moves everything that is to be written down into `records`.
    pub fn poll_records(&mut self, records: &mut Vec<Record>) {
        records.append(&mut self.out.records);
    }

    /// Moves everything that the operator should know into `notices`.
    pub fn poll_notices(&mut self, notices: &mut Vec<Notice>) {
        notices.append(&mut self.notices);
    }

    /// Takes everything that was found out about targets, with the memory it takes: all of ten thousand targets may fail at once, and
    /// then nothing happens for days.
    pub fn poll_findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.out.findings)
    }

    /// What is known of the targets at work, by parts: at most `at_most` targets from the one numbered `from` on, put into `out`.
    /// Returns the number to go on with; `None` after the last.
    pub fn snapshot(&self, from: usize, at_most: usize, out: &mut Vec<TargetStatus>, now: Now) -> Option<usize> {
        let until = from.saturating_add(at_most).min(self.legs.len());
        let ids = (from..until).filter_map(TargetId::new);
        out.extend(ids.filter_map(|id| Some(self.leg(id)?.status(now.mono, self.culprit(id)))));
        (until < self.legs.len()).then_some(until)
    }

    /// Adds up what is known of `at_most` targets, from the `from`th of them on. Returns with which one to go on; `None` after the last.
    pub fn tally(&self, from: usize, at_most: usize, tally: &mut Tally) -> Option<usize> {
        let until = from.saturating_add(at_most).min(self.legs.len());
        let legs = self.legs.get(from..until).unwrap_or_default();
        legs.iter().flatten().for_each(|leg| leg.add_to(tally));
        (until < self.legs.len()).then_some(until)
    }

    /// When something is due next; `None` while nothing ever will be.
    pub fn poll_deadline(&mut self) -> Option<Mono> {
        let (slot, lookup) = (self.slots.peek(), self.lookups.peek());
        let targets = [slot, lookup].into_iter().flatten().map(|(due, _)| due);
        targets.chain(self.next_judgement()).min()
    }

    /// When the next judgement is due. Probes decided in the meantime are passed over, so that a healthy target causes no
    /// wake-up at its probes' deadlines.
    pub fn next_judgement(&mut self) -> Option<Mono> {
        while let Some((judged, id)) = self.judgements.peek() {
            if self.leg(id.target).is_some_and(|leg| leg.inflight.is_open(id.seq)) {
                return Some(judged);
            }
            self.judgements.pop_due(judged);
        }
        None
    }

    /// Writes the payload that `probe` must carry.
    pub fn write_payload(&self, probe: &Probe, payload: &mut [u8]) {
        self.identity.write_payload(probe.id, payload);
    }

    /// What the socket of this number must be.
    pub fn socket_key(&self, socket: SocketId) -> Option<&SocketKey> {
        self.sockets.get(socket.0)
    }

    /// The sockets that the targets at work send through.
    pub fn sockets_in_use(&self) -> BTreeSet<SocketId> {
        self.legs.iter().flatten().filter_map(|leg| leg.route()).map(|route| route.socket).collect()
    }

    /// The target of this id; `None` once it has gone.
    pub fn target(&self, id: TargetId) -> Option<&Arc<Target>> {
        self.leg(id).map(|leg| &leg.target)
    }

    /// All targets at work with their address and counts, in the order in which they were added.
    pub fn targets(&self) -> impl Iterator<Item = (&Arc<Target>, Option<Addr>, &Window)> {
        self.legs.iter().flatten().map(|leg| (&leg.target, leg.addr(), &leg.window))
    }

    /// Probes a second, all targets together.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// The instants at which things are done together.
    pub fn grid(&self) -> Grid {
        Grid::for_rate(self.rate)
    }

    /// Replies put down to no target.
    pub fn strays(&self) -> Strays {
        self.strays
    }

    /// Whether every target has sent its last probe and knows its verdict.
    pub fn is_finished(&self) -> bool {
        self.legs.iter().flatten().all(|leg| leg.schedule.due().is_none() && leg.window.in_flight == 0)
    }

    /// Whether a probe waits for its verdict, or for its judgement to be passed over.
    pub fn has_open_probes(&self) -> bool {
        !self.judgements.is_empty()
    }
}

/// Packets: whose they are.
impl Monitor {
    fn handle_echo(&mut self, sample: &Sample<'_>, sequence: u16, payload: &[u8], checksum: Checksum) {
        let Some((id, resemblance)) = self.find_echo(sample.from, sequence, payload) else { return };
        let Some(leg) = leg_mut(&mut self.legs, id.target) else {
            self.strays.stale += 1;
            return;
        };
        let echo = match (resemblance, checksum) {
            (Resemblance::Foreign, _) => {
                leg.window.ignored.forged += 1;
                return;
            }
            (Resemblance::Damaged, _) | (Resemblance::Whole, Checksum::Bad) => Echo::Damaged,
            (Resemblance::Whole, Checksum::Good) if leg.addr_of(id.seq).is_some_and(|addr| addr.is(sample.from)) => {
                Echo::Whole
            }
            (Resemblance::Whole, Checksum::Good) => Echo::DifferentAddress,
        };
        let seen = EchoSeen { from: sample.from, ttl: sample.ttl, bytes: payload.len() + ICMP_HEADER };
        leg.handle_echo(id.seq, echo, seen, sample.arrival, &mut self.out);
        self.follow_up(id.target, sample.arrival.seen);
    }

    /// The probe an echo reply may belong to: the one its tag proves, else the one its sender and sequence number point to. A reply
    /// bears the number of its request (RFC 792), so our payload under another number was put together by somebody.
    fn find_echo(&mut self, from: Addr, sequence: u16, payload: &[u8]) -> Option<(ProbeId, Resemblance)> {
        if let Some(id) = self.identity.read_payload(payload) {
            let size = self.leg(id.target).map_or(payload.len(), |leg| leg.size());
            let is_its_number = sequence == identity::wire_sequence(id, size);
            let compared = || self.identity.compare(id, size, payload);
            return Some((id, if is_its_number { compared() } else { Resemblance::Foreign }));
        }
        let pointed_at = self.pointed_at(from, sequence, |id, size| self.identity.compare(id, size, payload));
        self.strays.foreign += u64::from(pointed_at.is_none());
        pointed_at
    }

    fn handle_error(&mut self, sample: &Sample<'_>, error: IcmpError, to: Addr, sequence: u16, quoted: &[u8]) {
        let id = if quoted.len() >= FULL_PAYLOAD {
            self.identity.read_payload(quoted)
        } else {
            let vouches = |id, size| self.identity.compare_quoted(id, size, quoted);
            self.pointed_at(to, sequence, vouches).filter(|(_, found)| *found == Resemblance::Whole).map(|(id, _)| id)
        };
        let Some(id) = id else {
            self.strays.forged += 1;
            return;
        };
        let Some(leg) = leg_mut(&mut self.legs, id.target) else {
            self.strays.stale += 1;
            return;
        };
        leg.handle_error(id.seq, sample.from, error, sample.arrival, &mut self.out);
        self.follow_up(id.target, sample.arrival.seen);
    }

    /// Among the remembered probes to `addr` with this sequence number on the wire, the one that fits best.
    fn pointed_at(
        &self,
        addr: Addr,
        sequence: u16,
        fit: impl Fn(ProbeId, usize) -> Resemblance,
    ) -> Option<(ProbeId, Resemblance)> {
        let candidates = self.by_addr.get(&addr.ip)?.iter().filter_map(|&target| {
            let leg = self.leg(target)?;
            let size = leg.size();
            let seq = identity::seq_of_wire(target, size, sequence, leg.schedule.newest())?;
            let id = ProbeId { target, seq };
            let open = leg.inflight.is_open(seq);
            let sent_there = leg.inflight.remembers(seq) && leg.addr_of(seq).is_some_and(|sent_to| sent_to.is(addr));
            sent_there.then(|| (id, fit(id, size), open))
        });
        let best = candidates.max_by_key(|&(_, resemblance, open)| (resemblance, open));
        best.map(|(id, resemblance, _)| (id, resemblance))
    }
}

/// Targets: coming, going, moving.
impl Monitor {
    fn add(&mut self, target: &Arc<Target>, former: Option<Box<Leg>>, now: Now) {
        let Some(id) = TargetId::new(self.legs.len()) else {
            self.notices.push(Notice::TooManyTargets(Arc::clone(target)));
            return;
        };
        let lookups = matches!(target.host, Host::Name(_)).then(|| Lookups::new(target.resolve_every, now.mono));
        let first_seq = former.as_ref().map_or(1, |former| former.schedule.newest() + 1);
        let timing = Timing { phase: self.grid().floor(target.phase), ..target.timing() };
        let schedule = Schedule::new(self.t0_at(now), timing, now.mono, first_seq);
        let mut leg = Leg::new(Arc::clone(target), schedule, lookups);
        let addr = match &target.host {
            Host::Address(addr) => Some(*addr),
            Host::Name(_) => former.as_ref().and_then(|former| former.addr()),
        };
        match former {
            Some(former) => {
                leg.inherit(*former, now);
                leg.review(now.wall, &mut self.out);
            }
            None => leg.find(now.wall, What::Watched, &mut self.out),
        }
        self.by_name.insert(target.name.clone(), id);
        self.legs.push(Some(Box::new(leg)));
        match addr {
            Some(addr) => {
                self.set_addr(id, addr, now);
                self.note_slot(id);
            }
            None => self.await_address(id, now),
        }
        self.note_lookup(id);
    }

    fn retire(&mut self, index: usize, reason: Reason, now: Now) -> Option<Box<Leg>> {
        let mut leg = self.legs[index].take()?;
        leg.void(None, reason, now.wall, &mut self.out);
        leg.report_unresolved(now, &mut self.out);
        self.by_name.remove(&leg.target.name);
        if let Some(id) = TargetId::new(index) {
            leg.addrs().for_each(|addr| forget_addr(&mut self.by_addr, addr.ip, id));
        }
        Some(leg)
    }

    /// A target that is watched no more.
    fn forget(&mut self, leg: Option<Box<Leg>>, now: Now) -> Option<Box<Leg>> {
        if let Some(mut leg) = leg {
            leg.close_gap(now.wall, &mut self.out);
            leg.tell_outage(now.wall, &mut self.out);
            leg.find(now.wall, What::Unwatched, &mut self.out);
        }
        None
    }

    fn set_addr(&mut self, id: TargetId, addr: Addr, now: Now) {
        let Some(leg) = leg_mut(&mut self.legs, id) else { return };
        if leg.addr() == Some(addr) {
            return;
        }
        leg.back = None;
        let key = SocketKey { version: addr.version(), options: leg.target.options.clone(), variant: leg.variant };
        let socket = intern(&mut self.sockets, &mut self.dropped, key);
        leg.addrs().for_each(|addr| forget_addr(&mut self.by_addr, addr.ip, id));
        if let Some(old) = leg.set_route(Route { addr, socket }) {
            self.out.records.push(leg.record(now.wall, Some(addr), Event::AddressChanged { old, new: addr }));
            leg.find(now.wall, What::AddressChanged { old, new: addr }, &mut self.out);
        }
        leg.addrs().for_each(|addr| note_addr(&mut self.by_addr, addr.ip, id));
    }

    /// The slots of a target without an address begin to pass only when its first look-up has had its chance.
    fn await_address(&mut self, id: TargetId, now: Now) {
        let (t0, grid) = (self.t0_at(now), self.grid());
        if let Some(leg) = leg_mut(&mut self.legs, id) {
            leg.awaits_address = true;
            leg.schedule.restart(t0, grid.floor(leg.target.phase), now.mono + FIRST_LOOKUP_PATIENCE);
        }
        self.note_slot(id);
    }

    fn begin_timetable(&mut self, id: TargetId, now: Now) {
        let (t0, grid) = (self.t0_at(now), self.grid());
        let Some(leg) = leg_mut(&mut self.legs, id).filter(|leg| leg.awaits_address) else { return };
        leg.awaits_address = false;
        leg.schedule.restart(t0, grid.floor(leg.target.phase), now.mono);
        self.note_slot(id);
    }

    fn handle_suspend(&mut self, suspended: Duration, now: Now) {
        self.notices.push(Notice::Suspended(suspended));
        for leg in self.legs.iter_mut().flatten().filter(|leg| leg.paused.is_none()) {
            leg.report_unresolved(now, &mut self.out);
            let missed = leg.schedule.handle_suspend(suspended, now.mono);
            leg.void(missed, Reason::Suspended(suspended), now.wall, &mut self.out);
            leg.handle_void(now.mono);
            leg.review(now.wall, &mut self.out);
            // Who sleeps may wake up in another network.
            if let Some(lookups) = &mut leg.lookups {
                lookups.handle_loss(now.mono);
            }
        }
        self.rebuild_slots();
    }

    /// Puts all targets on the agenda anew: after a suspend nothing is due when it was, and after a reload those that have gone
    /// would stand there until they are due.
    fn rebuild_slots(&mut self) {
        self.slots = Agenda::default();
        for id in (0..self.legs.len()).filter_map(TargetId::new) {
            self.note_slot(id);
            self.note_lookup(id);
        }
    }

    /// Where the timetable of a target begins that starts at `now`.
    fn t0_at(&self, now: Now) -> Mono {
        match self.start {
            Start::Spread => self.t0,
            Start::AtOnce => now.mono,
        }
    }

    fn note_slot(&mut self, id: TargetId) {
        if let Some(due) = self.leg(id).and_then(|leg| leg.schedule.due()) {
            self.slots.push(due, id);
        }
    }

    /// Puts the target's next look-up on the agenda, if it is not there yet.
    fn note_lookup(&mut self, id: TargetId) {
        let Some(leg) = leg_mut(&mut self.legs, id) else { return };
        if let Some(due) = leg.lookups.as_mut().and_then(|lookups| lookups.due_to_note()) {
            self.lookups.push(due, id);
        }
    }

    fn leg(&self, id: TargetId) -> Option<&Leg> {
        self.legs.get(id.index())?.as_deref()
    }
}

/// Length of the header of an echo message (RFC 792, RFC 4443).
const ICMP_HEADER: usize = 8;

fn leg_mut(legs: &mut [Option<Box<Leg>>], id: TargetId) -> Option<&mut Leg> {
    legs.get_mut(id.index())?.as_deref_mut()
}

fn note_addr(by_addr: &mut ByAddr, ip: IpAddr, id: TargetId) {
    let ids = by_addr.entry(ip).or_default();
    if !ids.contains(&id) {
        ids.push(id);
    }
}

fn forget_addr(by_addr: &mut ByAddr, ip: IpAddr, id: TargetId) {
    if let Some(ids) = by_addr.get_mut(&ip) {
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            by_addr.remove(&ip);
        }
    }
}

fn intern(sockets: &mut Vec<SocketKey>, dropped: &mut Vec<Option<Mono>>, key: SocketKey) -> SocketId {
    let index = sockets.iter().position(|known| *known == key).unwrap_or_else(|| {
        sockets.push(key);
        dropped.push(None);
        sockets.len() - 1
    });
    SocketId(index)
}

#[cfg(test)]
mod tests;
