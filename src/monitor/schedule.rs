//! When a target's probes are due: an absolute timetable that never drifts, bursts or catches up.
//!
//! Slot *n* of a target lies at `t0 + n·interval + phase`. A slot that could not be served in time is skipped and reported,
//! and its number is spent: `icmp_seq` counts slots. The timetable runs on through a suspend, though CLOCK_MONOTONIC stands
//! still there. This module reads no clock.

use std::time::Duration;

use super::time::Mono;

/// A slot this late is skipped instead of served, so that a stall is followed by silence rather than by a burst. At the
/// highest rate we aim at, 100,000 probes a second, it bounds what is sent at once to 10,000 packets.
const TOLERANCE: Duration = Duration::from_millis(100);

/// From this many probes a second on, the sockets are looked at on the grid instead of for every reply. Below it a wake-up a reply
/// costs less than two per cent of a core, and the line is there at once.
pub const LOADED: f64 = 400.0;

/// Up to this many probes a second a loaded grid is coarse: a step of it is never more than 25 packets at once, and half the
/// wake-ups are half the cost.
const COARSE_BELOW: f64 = 2_500.0;

/// The instants at which things are done together. Phases, judgements and, under load, looks at what has arrived lie on it, so that
/// they share wake-ups: with a thousand targets a second, each wake-up serves ten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid(Duration);

impl Grid {
    /// A burst of one step is 50 packets at 10,000 probes a second.
    pub const FINE: Self = Self(Duration::from_millis(5));
    /// The longest step: every line is to be written within 10 ms of its packet.
    pub const COARSE: Self = Self(Duration::from_millis(10));

    /// The grid for so many probes a second.
    pub fn for_rate(rate: f64) -> Self {
        if (LOADED..COARSE_BELOW).contains(&rate) { Self::COARSE } else { Self::FINE }
    }

    /// From one instant to the next.
    pub fn step(self) -> Duration {
        self.0
    }

    /// The first instant that is not before `at`.
    pub fn ceil(self, at: Mono) -> Mono {
        Mono::from_nanos(at.as_nanos().div_ceil(self.nanos()).saturating_mul(self.nanos()))
    }

    /// The greatest whole number of steps within `span`.
    pub fn floor(self, span: Duration) -> Duration {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(nanos - nanos % self.nanos())
    }

    fn nanos(self) -> u64 {
        self.0.as_nanos() as u64
    }
}

/// The timetable of one target.
#[derive(Debug)]
pub struct Schedule {
    interval: Duration,
    /// One of the slots of the timetable.
    origin: Mono,
    pace: Pace,
    due: Mono,
    next_seq: u64,
    last_seq: u64,
}

/// How fast probes follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// By the timetable.
    Regular,
    /// Off the timetable, for a while.
    Fast {
        /// Time between probes.
        every: Duration,
        /// How many more; then by the timetable again. `None`: until told otherwise.
        left: Option<u32>,
    },
}

/// What the timetable has for a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// This probe is due.
    Due {
        /// Its number.
        seq: u64,
    },
    /// These slots can no longer be served.
    Missed(Missed),
}

/// Slots that passed unserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// Number of the first.
    pub first: u64,
    /// Number of the last.
    pub last: u64,
    /// How late the first would have been.
    pub late: Duration,
}

impl Schedule {
    /// A timetable whose slots lie at `t0 + n·interval + phase`, beginning with the first that is not before `now`.
    /// Numbers begin with `first_seq` and end after `count` slots.
    pub fn new(t0: Mono, timing: Timing, now: Mono, first_seq: u64) -> Self {
        let interval = timing.interval.max(Duration::from_nanos(1));
        let last_seq = timing.count.map_or(u64::MAX, |count| count.saturating_add(first_seq - 1));
        let mut schedule = Self { interval, origin: now, pace: Pace::Regular, due: now, next_seq: first_seq, last_seq };
        schedule.restart(t0, timing.phase, now);
        schedule
    }

    /// Goes on with the first slot at `t0 + n·interval + phase` that is not before `now`; no number is spent.
    pub fn restart(&mut self, t0: Mono, phase: Duration, now: Mono) {
        self.origin = t0 + phase;
        self.realign(now);
    }

    /// From `now` on, probes follow one another at this pace.
    pub fn set_pace(&mut self, pace: Pace, now: Mono) {
        match pace {
            // Not sooner than the next one would have been: the slot served last may have been close to one of the timetable.
            Pace::Regular => self.realign(now.max(self.due)),
            Pace::Fast { every, .. } => {
                self.pace = pace;
                self.due = self.due.min(now + every);
            }
        }
    }

    /// What hastened the probes is over.
    fn slow_down(&mut self) {
        if self.pace != Pace::Regular {
            self.realign(self.due);
        }
    }

    /// At which pace probes follow one another.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Goes on with the first slot of the timetable that is not before `now`.
    fn realign(&mut self, now: Mono) {
        let passed = (now - self.origin).as_nanos().div_ceil(self.interval.as_nanos());
        self.pace = Pace::Regular;
        self.due = self.origin + times(self.interval, passed);
    }

    /// From one slot to the next.
    fn step(&self) -> Duration {
        match self.pace {
            Pace::Regular => self.interval,
            Pace::Fast { every, .. } => every,
        }
    }

    /// When the next slot is due; `None` after the last.
    pub fn due(&self) -> Option<Mono> {
        (self.next_seq <= self.last_seq).then_some(self.due)
    }

    /// The number of the newest slot so far, 0 before the first.
    pub fn newest(&self) -> u64 {
        self.next_seq - 1
    }

    /// What is due at `now`; `None` while there is time. Missed slots come before the one that can still be served.
    pub fn poll(&mut self, now: Mono) -> Option<Slot> {
        let due = self.due().filter(|&due| due <= now)?;
        let late = now - due;
        let tolerance = TOLERANCE.min(self.step());
        if late < tolerance {
            return Some(Slot::Due { seq: self.advance(1) });
        }
        let missed = (late - tolerance).as_nanos() / self.step().as_nanos() + 1;
        self.miss(missed, late).map(Slot::Missed)
    }

    /// The system was suspended for `time`: the slots that lay in it have passed.
    pub fn handle_suspend(&mut self, time: Duration, now: Mono) -> Option<Missed> {
        self.due()?;
        self.slow_down();
        // Counted forward: a system that slept for longer than it was awake has no instant that far back.
        let late = now + time - self.due;
        let missed = self.miss(late.as_nanos().div_ceil(self.step().as_nanos()), late);
        self.due = self.due - time;
        // The timetable's slots stay where they were but for whole intervals, which may lie before the clock's zero.
        let shift = Duration::from_nanos((time.as_nanos() % self.interval.as_nanos()) as u64);
        self.origin = if self.origin - Mono::default() >= shift {
            self.origin - shift
        } else {
            self.origin + (self.interval - shift)
        };
        missed
    }

    /// No probe was wanted until `now`: the slots since the next one was due have passed.
    pub fn skip(&mut self, now: Mono) -> Option<Missed> {
        self.due()?;
        self.slow_down();
        let late = now - self.due;
        self.miss(late.as_nanos().div_ceil(self.step().as_nanos()), late)
    }

    fn miss(&mut self, slots: u128, late: Duration) -> Option<Missed> {
        let left = self.last_seq - self.next_seq + 1;
        let slots = u64::try_from(slots).unwrap_or(u64::MAX).min(left);
        (slots > 0).then(|| Missed { first: self.advance(slots), last: self.newest(), late })
    }

    fn advance(&mut self, slots: u64) -> u64 {
        let seq = self.next_seq;
        self.next_seq += slots;
        self.due = self.due + times(self.step(), u128::from(slots));
        if let Pace::Fast { every, left: Some(left) } = self.pace {
            match u32::try_from(u64::from(left).saturating_sub(slots)) {
                Ok(left @ 1..) => self.pace = Pace::Fast { every, left: Some(left) },
                // The slot that would have been next is not before this one.
                Ok(0) | Err(_) => self.realign(self.due),
            }
        }
        seq
    }
}

/// What a timetable is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Time between slots.
    pub interval: Duration,
    /// Position within the interval.
    pub phase: Duration,
    /// How many slots; `None` for ever.
    pub count: Option<u64>,
}

/// Where within its interval a target's probes lie: on the grid of shared wake-ups, at least zero, less than `interval`.
///
/// A pure function of the name, so that the answer is the same after every restart and in every release, and adding a target
/// moves no other. The positions of many names spread evenly, so that a thousand targets do not all send at once.
pub fn stable_phase(name: &str, interval: Duration) -> Duration {
    let span = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
    // hash / 2^64 is a fraction in [0, 1): multiply, then shift, and no modulo favours the low end.
    let scaled = ((u128::from(hash(name.as_bytes())) * u128::from(span)) >> 64) as u64;
    Grid::FINE.floor(Duration::from_nanos(scaled))
}

/// FNV-1a (64 bits), then MurmurHash3's finaliser: FNV alone leaves the high bits of short, similar names nearly equal, and the
/// high bits are what [`stable_phase`] uses.
fn hash(bytes: &[u8]) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut h = bytes.iter().fold(OFFSET_BASIS, |h, &byte| (h ^ u64::from(byte)).wrapping_mul(PRIME));
    h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    h = (h ^ (h >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

fn times(interval: Duration, slots: u128) -> Duration {
    Duration::from_nanos(u64::try_from(interval.as_nanos().saturating_mul(slots)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);
    const T0: Mono = Mono::from_nanos(1_000_000_000_000);

    fn timing(interval: Duration, phase: Duration) -> Timing {
        Timing { interval, phase, count: None }
    }

    fn served(schedule: &mut Schedule, now: Mono) -> Vec<Slot> {
        std::iter::from_fn(|| schedule.poll(now)).collect()
    }

    #[test]
    fn slots_lie_at_t0_plus_multiples_plus_phase_for_ever() {
        let mut schedule = Schedule::new(T0, timing(SECOND, MS * 250), T0, 1);
        for n in 0..100_000_u32 {
            let due = T0 + MS * 250 + SECOND * n;
            assert_eq!(schedule.due(), Some(due));
            assert_eq!(served(&mut schedule, due + MS * (n % 90)), [Slot::Due { seq: u64::from(n) + 1 }]);
        }
    }

    #[test]
    fn a_target_added_later_keeps_to_the_common_timetable() {
        let schedule = Schedule::new(T0, timing(SECOND, MS * 250), T0 + MS * 7_300, 1);
        assert_eq!(schedule.due(), Some(T0 + MS * 8_250));
    }

    #[test]
    fn a_stall_is_skipped_and_reported_and_followed_by_one_probe_at_most() {
        let mut schedule = Schedule::new(T0, timing(SECOND, Duration::ZERO), T0, 1);
        assert_eq!(served(&mut schedule, T0), [Slot::Due { seq: 1 }]);
        let missed = Slot::Missed(Missed { first: 2, last: 6, late: MS * 4_500 });
        assert_eq!(served(&mut schedule, T0 + MS * 5_500), [missed]);
        assert_eq!(served(&mut schedule, T0 + MS * 6_050), [Slot::Due { seq: 7 }]);
    }

    #[test]
    fn a_slot_hardly_late_is_served_after_the_missed_ones() {
        let mut schedule = Schedule::new(T0, timing(SECOND, Duration::ZERO), T0, 1);
        let missed = Slot::Missed(Missed { first: 1, last: 5, late: MS * 5_020 });
        assert_eq!(served(&mut schedule, T0 + MS * 5_020), [missed, Slot::Due { seq: 6 }]);
    }

    #[test]
    fn short_intervals_tolerate_no_more_than_their_length() {
        let mut schedule = Schedule::new(T0, timing(MS * 10, Duration::ZERO), T0, 1);
        let missed = Slot::Missed(Missed { first: 1, last: 2, late: MS * 25 });
        assert_eq!(served(&mut schedule, T0 + MS * 25), [missed, Slot::Due { seq: 3 }]);
        assert_eq!(schedule.due(), Some(T0 + MS * 30));
    }

    #[test]
    fn no_two_slots_are_ever_served_at_once() {
        for (interval, late) in [(10, 10), (10, 20), (50, 100), (100, 100), (100, 200)] {
            let mut schedule = Schedule::new(T0, timing(MS * interval, Duration::ZERO), T0, 1);
            let served = served(&mut schedule, T0 + MS * late);
            let probes = served.iter().filter(|slot| matches!(slot, Slot::Due { .. })).count();
            assert_eq!(probes, 1, "every {interval} ms, {late} ms late: {served:?}");
        }
    }

    #[test]
    fn a_suspend_spends_the_slots_that_lay_in_it() {
        let mut schedule = Schedule::new(T0, timing(SECOND, Duration::ZERO), T0, 1);
        assert_eq!(served(&mut schedule, T0), [Slot::Due { seq: 1 }]);
        let now = T0 + MS * 500;
        let missed = Missed { first: 2, last: 42, late: MS * 40_500 };
        assert_eq!(schedule.handle_suspend(SECOND * 41, now), Some(missed));
        assert_eq!(served(&mut schedule, now), []);
        assert_eq!(schedule.due(), Some(T0 + SECOND), "42 slots from the first on, less 41 s that did not pass");
    }

    #[test]
    fn a_suspend_may_last_longer_than_the_monotonic_clock_has_run() {
        let t0 = Mono::from_nanos(0);
        let mut schedule = Schedule::new(t0, timing(SECOND, Duration::ZERO), t0, 1);
        let missed = Missed { first: 1, last: 28_801, late: MS * 28_800_500 };
        assert_eq!(schedule.handle_suspend(SECOND * 28_800, t0 + MS * 500), Some(missed));
        assert_eq!(schedule.due(), Some(t0 + SECOND));
    }

    #[test]
    fn the_last_slot_is_the_last() {
        let mut schedule = Schedule::new(T0, Timing { count: Some(2), ..timing(SECOND, Duration::ZERO) }, T0, 1);
        assert_eq!(served(&mut schedule, T0), [Slot::Due { seq: 1 }]);
        assert_eq!(
            served(&mut schedule, T0 + SECOND * 60),
            [Slot::Missed(Missed { first: 2, last: 2, late: SECOND * 59 })]
        );
        assert_eq!(schedule.due(), None);
        assert_eq!(schedule.handle_suspend(SECOND, T0 + SECOND * 61), None);
    }

    #[test]
    fn the_grid_is_coarse_only_where_it_saves_wake_ups_and_makes_no_burst() {
        let rates = [1.0, 399.0, 400.0, 2_499.0, 2_500.0, 100_000.0];
        let steps = [5, 5, 10, 10, 5, 5].map(|step| MS * step);
        assert_eq!(rates.map(|rate| Grid::for_rate(rate).step()), steps);
        assert_eq!(Grid::COARSE.ceil(T0 + Duration::from_nanos(1)), T0 + MS * 10);
        assert_eq!((Grid::COARSE.ceil(T0), Grid::COARSE.floor(MS * 715)), (T0, MS * 710));
    }

    #[test]
    fn a_name_keeps_its_phase_in_every_release() {
        assert_eq!(stable_phase("alidns", SECOND), MS * 710);
    }

    #[test]
    fn ten_thousand_similar_names_spread_evenly_over_a_second() {
        let mut buckets = [0_u32; 100];
        for i in 0..10_000 {
            let phase = stable_phase(&format!("web{i:05}"), SECOND);
            buckets[phase.as_millis() as usize / 10] += 1;
        }
        // 100 a bucket expected, standard deviation 10: five of them either way.
        assert!(buckets.iter().all(|n| (50..=150).contains(n)), "{buckets:?}");
    }

    #[test]
    fn a_phase_is_less_than_its_interval() {
        for interval in [Duration::ZERO, Duration::from_nanos(1), MS * 10, SECOND, Duration::MAX] {
            let phase = stable_phase("x", interval);
            assert!(phase < interval || interval.is_zero(), "{phase:?} of {interval:?}");
        }
    }
}
