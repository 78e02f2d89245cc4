//! The judgement: what became of each probe, decided from time stamps alone.
//!
//! A probe is *open* from its sending until one of these finds its verdict:
//!
//! | what happens | ruling |
//! |---|---|
//! | a whole reply, its stamp within the timeout | `Reply` |
//! | the timeout passes and every packet that arrived within it has been read | `Lost`, unanswered |
//! | an ICMP error quotes it, or its reply is damaged or comes from another address | `Lost`, with that cause |
//! | a receive buffer may have dropped its reply; the clock was set while a reply waited; it may have left late | `Unmeasured` |
//! | the system was suspended, the target removed, pingtest stopped | voided: not measured |
//!
//! Later packets amend: a whole reply turns any loss into `Late`, a cause turns an unanswered loss into an `Explained` one, a
//! further whole reply is a `Duplicate`. So **the last verdict of a probe is its outcome**, duplicates aside.
//!
//! It knows one target's probes and nothing of addresses, tags, sockets or lines: whoever calls it has found out whose reply
//! it is and whether it is whole.

use std::collections::VecDeque;
use std::time::Duration;

use super::sample::{Arrival, Told};
use super::sendings::Certainty;
use super::time::{Mono, Stamp, Wall};

/// A sending that takes this long or as long as the timeout is not taken for an instant: no machine in good order takes a tenth of it.
const MAX_SENDING: Duration = Duration::from_millis(5);

/// How long after its deadline a lost probe can still be amended. Replies this late were seen on mobile links whose buffers
/// hold a minute of traffic.
const REMEMBER_LOST: Duration = Duration::from_secs(60);

/// How long after its sending an answered probe can still be answered twice.
const REMEMBER_ANSWERED: Duration = Duration::from_secs(5);

/// Never more probes than sequence numbers on the wire.
const REMEMBER_AT_MOST: usize = 65_536;

/// No probe waits for longer than this many intervals, so that it is judged long before it is forgotten.
pub const WAIT_AT_MOST: u32 = REMEMBER_AT_MOST as u32 / 2;

/// The probes of one target that can still change their verdict, oldest first.
#[derive(Debug)]
pub struct Inflight {
    timeout: Duration,
    probes: VecDeque<Probe>,
    /// So many of the oldest are decided.
    decided: usize,
}

#[derive(Debug)]
struct Probe {
    seq: u64,
    sent: Stamp,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Open, and its sending took so many milliseconds.
    Doubtful {
        millis: u32,
    },
    Answered,
    Lost(Cause),
    Void,
}

/// Why a probe counts as lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Nothing came back within the timeout.
    Unanswered,
    /// An ICMP error quoted it.
    Unreachable,
    /// Its reply was altered on the way.
    Damaged,
    /// Only somebody else answered.
    DifferentAddress,
}

/// A verdict found or amended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// What was decided.
    pub ruling: Ruling,
    /// When the probe left.
    pub sent: Stamp,
    /// Label of what decided: the arrival of the packet, or the moment of judgement.
    pub at: Wall,
    /// Time from the sending to the packet that decided: a reply's round-trip time. The timeout where nothing came.
    pub after: Duration,
}

/// What was decided about a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// Answered in time.
    Reply,
    /// Lost.
    Lost(Cause),
    /// Answered after all: the loss, put down to this cause, is taken back.
    Late(Cause),
    /// A loss so far unanswered got this cause.
    Explained(Cause),
    /// Answered once more.
    Duplicate,
    /// Nothing can be said of the probe.
    Unmeasured(Obstacle),
}

/// What kept us from measuring a single probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// The receive buffer overflowed while the probe was in flight.
    LocalDrops,
    /// The clock was set while the reply waited, so its arrival lies on both sides of the deadline.
    ArrivalUnknown,
    /// The process stood still while it sent the probe, so that nobody can tell when it left.
    Stalled {
        /// For how long, milliseconds.
        millis: u32,
    },
}

/// What a packet did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effect {
    /// It led to a verdict.
    Judged(Verdict),
    /// It is a reply that arrived after the deadline and was read before the loss was judged: both verdicts are due.
    Overdue {
        /// The loss, at the deadline.
        lost: Verdict,
        /// The late reply that takes it back.
        late: Verdict,
    },
    /// Its probe is forgotten, was never sent or was given up as not measured.
    Stale,
    /// Its probe was decided already, and this packet says less.
    Redundant,
}

/// Probes that were open and are not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voided {
    /// The lowest number among them.
    pub first: u64,
    /// The highest number among them.
    pub last: u64,
    /// How many.
    pub count: u64,
}

impl Inflight {
    /// No probe so far; each will have `timeout` for its answer.
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, probes: VecDeque::new(), decided: 0 }
    }

    /// How long a probe may stay unanswered.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A probe has left within the time `took` from `sent` on. Where that is long, the process stood still before the probe left, or
    /// after: which of the two, only a prompt reply can tell. Numbers must rise.
    pub fn handle_sent(&mut self, seq: u64, sent: Stamp, took: Duration) {
        self.forget(sent.mono);
        let doubtful = State::Doubtful { millis: u32::try_from(took.as_millis()).unwrap_or(u32::MAX) };
        let state = if took < self.max_sending() { State::Open } else { doubtful };
        self.probes.push_back(Probe { seq, sent, state });
    }

    /// The probe left at `left`, by the kernel's stamp, which takes the place of our own reading of the clock, and where it is certain,
    /// of any doubt as well. Returns whether it did that: the probe's time is up later then.
    pub fn handle_left(&mut self, seq: u64, left: Stamp, certainty: Certainty) -> bool {
        let Some(probe) = self.find(seq) else { return false };
        match (probe.state, certainty) {
            (State::Open, _) => probe.sent = left,
            (State::Doubtful { .. }, Certainty::Certain) => {
                (probe.sent, probe.state) = (left, State::Open);
                return true;
            }
            (State::Doubtful { .. }, Certainty::Likely) | (State::Answered | State::Lost(_) | State::Void, _) => {}
        }
        false
    }

    fn max_sending(&self) -> Duration {
        MAX_SENDING.min(self.timeout)
    }

    /// A whole reply from the address probed.
    pub fn handle_reply(&mut self, seq: u64, arrival: Arrival) -> Effect {
        let (timeout, longest) = (self.timeout, self.max_sending());
        let Some(probe) = self.find(seq) else { return Effect::Stale };
        let ruling = match probe.state {
            State::Open => return probe.answer(arrival, timeout),
            State::Doubtful { millis } => return Effect::Judged(probe.answer_doubtful(arrival, longest, millis)),
            State::Lost(cause) => Ruling::Late(cause),
            State::Answered => Ruling::Duplicate,
            State::Void => return Effect::Stale,
        };
        probe.state = State::Answered;
        Effect::Judged(probe.arrived(arrival, ruling))
    }

    /// A packet that tells why the probe was lost: an ICMP error, a damaged reply, a reply from another address.
    pub fn handle_failure(&mut self, seq: u64, cause: Cause, arrival: Arrival) -> Effect {
        let Some(probe) = self.find(seq) else { return Effect::Stale };
        let ruling = match probe.state {
            State::Open | State::Doubtful { .. } => Ruling::Lost(cause),
            State::Lost(Cause::Unanswered) => Ruling::Explained(cause),
            State::Lost(Cause::Unreachable | Cause::Damaged | Cause::DifferentAddress) | State::Answered => {
                return Effect::Redundant;
            }
            State::Void => return Effect::Stale,
        };
        probe.state = State::Lost(cause);
        Effect::Judged(probe.arrived(arrival, ruling))
    }

    /// The probe's time is up: every packet that arrived before `drained` has been read. `dropped` is when the socket was
    /// last seen to have dropped something. `None` where the probe is decided already, or its deadline is still to come.
    pub fn handle_expiry(&mut self, seq: u64, drained: Stamp, dropped: Option<Mono>) -> Option<Verdict> {
        let after = self.timeout;
        let probe = self.find(seq).filter(|probe| probe.is_open() && probe.sent.mono + after <= drained.mono)?;
        let ruling = if dropped.is_some_and(|dropped| dropped >= probe.sent.mono) {
            probe.state = State::Void;
            Ruling::Unmeasured(Obstacle::LocalDrops)
        } else if let State::Doubtful { millis } = probe.state {
            probe.state = State::Void;
            Ruling::Unmeasured(Obstacle::Stalled { millis })
        } else {
            probe.state = State::Lost(Cause::Unanswered);
            Ruling::Lost(Cause::Unanswered)
        };
        Some(Verdict { ruling, sent: probe.sent, at: drained.wall, after })
    }

    /// Gives up every open probe as not measured.
    pub fn void(&mut self) -> Option<Voided> {
        let mut voided: Option<Voided> = None;
        for probe in self.probes.iter_mut().filter(|probe| probe.is_open()) {
            probe.state = State::Void;
            let so_far = voided.get_or_insert(Voided { first: probe.seq, last: probe.seq, count: 0 });
            so_far.last = probe.seq;
            so_far.count += 1;
        }
        voided
    }

    /// Whether the probe still waits for its verdict.
    pub fn is_open(&self, seq: u64) -> bool {
        self.index(seq).is_some_and(|index| self.probes[index].is_open())
    }

    /// The lowest number that still waits for its verdict.
    pub fn oldest_open(&mut self) -> Option<u64> {
        while self.probes.get(self.decided).is_some_and(|probe| !probe.is_open()) {
            self.decided += 1;
        }
        self.probes.get(self.decided).map(|probe| probe.seq)
    }

    /// How many probes with numbers from `first` on and below `end` still wait for their verdict, and when the last of them was sent.
    pub fn open_within(&self, first: u64, end: u64) -> (u64, Option<Stamp>) {
        let waits = |probe: &&Probe| probe.is_open() && (first..end).contains(&probe.seq);
        let undecided = self.probes.range(self.decided.min(self.probes.len())..);
        undecided.filter(waits).fold((0, None), |(count, _), probe| (count + 1, Some(probe.sent)))
    }

    /// The lowest number remembered above `seq`.
    pub fn first_after(&self, seq: u64) -> Option<u64> {
        let index = self.probes.partition_point(|probe| probe.seq <= seq);
        self.probes.get(index).map(|probe| probe.seq)
    }

    /// The highest number remembered.
    pub fn newest(&self) -> Option<u64> {
        self.probes.back().map(|probe| probe.seq)
    }

    /// The lowest number remembered.
    pub fn oldest(&self) -> Option<u64> {
        self.probes.front().map(|probe| probe.seq)
    }

    /// Whether the probe is remembered, decided or not.
    pub fn remembers(&self, seq: u64) -> bool {
        self.index(seq).is_some()
    }

    fn find(&mut self, seq: u64) -> Option<&mut Probe> {
        let index = self.index(seq)?;
        self.probes.get_mut(index)
    }

    /// Where the probe is: as far from the end as its number is from the newest, unless there are gaps between.
    fn index(&self, seq: u64) -> Option<usize> {
        let back = self.probes.back()?.seq.checked_sub(seq)?;
        let guess = usize::try_from(back).ok().and_then(|back| (self.probes.len() - 1).checked_sub(back));
        let exact = guess.filter(|&index| self.probes[index].seq == seq);
        exact.or_else(|| self.probes.binary_search_by_key(&seq, |probe| probe.seq).ok())
    }

    fn forget(&mut self, now: Mono) {
        let keep = |probe: &Probe| match probe.state {
            State::Open | State::Doubtful { .. } => true,
            State::Lost(_) => now - probe.sent.mono < self.timeout + REMEMBER_LOST,
            State::Answered | State::Void => now - probe.sent.mono < REMEMBER_ANSWERED,
        };
        while self.probes.front().is_some_and(|oldest| self.probes.len() >= REMEMBER_AT_MOST || !keep(oldest)) {
            self.probes.pop_front();
            self.decided = self.decided.saturating_sub(1);
        }
    }
}

impl Probe {
    /// An open probe's first whole reply: in time, too late, or nobody can tell.
    fn answer(&mut self, arrival: Arrival, timeout: Duration) -> Effect {
        let deadline = self.sent.mono + timeout;
        let straddles = arrival.earliest.mono <= deadline && deadline < arrival.seen.mono;
        if straddles && self.plausible(arrival).is_none() || arrival.told() == Told::Unclear {
            self.state = State::Void;
            return Effect::Judged(self.arrived(arrival, Ruling::Unmeasured(Obstacle::ArrivalUnknown)));
        }
        self.state = State::Answered;
        let reply = self.arrived(arrival, Ruling::Reply);
        if reply.after <= timeout {
            return Effect::Judged(reply);
        }
        let cause = Cause::Unanswered;
        let lost = Verdict { ruling: Ruling::Lost(cause), at: self.sent.wall + timeout, after: timeout, ..reply };
        Effect::Overdue { lost, late: Verdict { ruling: Ruling::Late(cause), ..reply } }
    }

    /// The first whole reply to a probe whose sending took long. If it came at once, so the probe left at once.
    fn answer_doubtful(&mut self, arrival: Arrival, longest: Duration, millis: u32) -> Verdict {
        let reply = self.arrived(arrival, Ruling::Reply);
        if reply.after < longest {
            self.state = State::Answered;
            return reply;
        }
        self.state = State::Void;
        Verdict { ruling: Ruling::Unmeasured(Obstacle::Stalled { millis }), ..reply }
    }

    fn is_open(&self) -> bool {
        matches!(self.state, State::Open | State::Doubtful { .. })
    }

    /// A verdict by a packet: its arrival by the kernel's stamp where that is plausible, else by when it was read.
    fn arrived(&self, arrival: Arrival, ruling: Ruling) -> Verdict {
        let arrived = self.plausible(arrival).unwrap_or(arrival.seen);
        Verdict { ruling, sent: self.sent, at: arrived.wall, after: arrived.mono - self.sent.mono }
    }

    /// A stamp before the sending or after the reading was taken by a clock that was being set.
    fn plausible(&self, arrival: Arrival) -> Option<Stamp> {
        match arrival.told() {
            Told::Arrived(at) => Some(at).filter(|at| self.sent.mono <= at.mono && at.mono <= arrival.seen.mono),
            Told::Nothing | Told::Unclear => None,
        }
    }
}

#[cfg(test)]
mod tests;
