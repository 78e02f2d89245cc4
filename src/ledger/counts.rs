//! From verdicts to counts: what a record adds to its target's minute, and the same as a few bytes for keeping.
//!
//! It knows neither files nor threads. The minute is that of the record's label: a late reply counts where it arrives.

use std::collections::{BTreeMap, VecDeque};

use super::history::Probes;
use crate::monitor::record::{AnswerKind, Event, Lateness, Record};
use crate::monitor::sketch::{read_varint, write_varint};
use crate::monitor::target::Name;
use crate::monitor::time::Wall;

/// Nanoseconds in a minute.
pub(super) const MINUTE: i64 = 60_000_000_000;

/// The beginning of the minute in which `at` lies, nanoseconds since the epoch.
pub(super) fn minute_of(at: Wall) -> i64 {
    at.as_nanos() - at.as_nanos().rem_euclid(MINUTE)
}

/// What a record tells of a probe, as little as will do.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tally {
    pub(super) name: Name,
    pub(super) at: Wall,
    seq: u64,
    fate: Fate,
}

/// What became of the probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Answered in so many microseconds.
    Reply(u32),
    /// Answered in so many microseconds, after its loss was told.
    Late(u32),
    Lost,
    /// Lost, unless that was told before: then this is its cause.
    Flawed,
}

impl Tally {
    /// `None` where the record is about no verdict, or says more of one that was told.
    pub(super) fn of(record: &Record) -> Option<Self> {
        let (seq, fate) = match &record.event {
            Event::Answer(answer) => {
                let micros = u32::try_from(answer.rtt.as_micros()).unwrap_or(u32::MAX);
                let fate = match answer.kind {
                    AnswerKind::Reply => Fate::Reply(micros),
                    AnswerKind::Late => Fate::Late(micros),
                    AnswerKind::Duplicate => return None,
                    AnswerKind::Damaged | AnswerKind::DifferentAddress => Fate::Flawed,
                };
                (answer.seq, fate)
            }
            Event::Lost { seq, .. } => (*seq, Fate::Lost),
            Event::Unreachable { seq, lateness: Lateness::InTime, .. } => (*seq, Fate::Lost),
            Event::Unreachable { lateness: Lateness::AfterLoss, .. }
            | Event::NotSent { .. }
            | Event::NotMeasured { .. }
            | Event::AddressChanged { .. }
            | Event::OutageBegan { .. }
            | Event::OutageEnded { .. }
            | Event::FirstReply(_) => return None,
        };
        Some(Self { name: record.target.name.clone(), at: record.at, seq, fate })
    }
}

/// What a probe adds to its minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    /// A reply within so many microseconds.
    Reply(u32),
    /// A loss taken back, after so many microseconds.
    Late(u32),
    /// A loss, so many probes after the one before; 0 where none is known.
    Lost(u64),
}

/// The latest losses of a target: as many as a damaged reply may have to be told from the loss it explains.
#[derive(Debug, Clone, Default)]
pub(super) struct Losses {
    latest: VecDeque<u64>,
}

/// Losses remembered for each target.
const REMEMBERED: usize = 64;

impl Losses {
    /// What a verdict adds. Losses may come a little out of order: the distance is then the one to the latest probe lost so far.
    pub(super) fn count(&mut self, tally: &Tally) -> Option<Count> {
        match tally.fate {
            Fate::Reply(micros) => Some(Count::Reply(micros)),
            Fate::Late(micros) => Some(Count::Late(micros)),
            Fate::Flawed if self.latest.contains(&tally.seq) => None,
            Fate::Lost | Fate::Flawed => Some(Count::Lost(self.lose(tally.seq))),
        }
    }

    /// The target's numbers begin anew.
    pub(super) fn forget(&mut self) {
        self.latest.clear();
    }

    fn lose(&mut self, seq: u64) -> u64 {
        let distance = self.latest.iter().max().map_or(0, |&last| last.abs_diff(seq));
        if self.latest.len() == REMEMBERED {
            self.latest.pop_front();
        }
        self.latest.push_back(seq);
        distance
    }
}

impl Probes {
    pub(super) fn add(&mut self, count: Count) {
        match count {
            Count::Reply(micros) => {
                self.sent += 1;
                self.rtt.add(micros.into());
            }
            Count::Late(micros) => {
                self.late += 1;
                self.rtt.add(micros.into());
            }
            Count::Lost(distance) => {
                self.sent += 1;
                self.lost += 1;
                self.loss_periods += u64::from(distance != 1);
                if distance > 0 {
                    self.loss_distances.add(distance);
                }
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.lost += other.lost;
        self.late += other.late;
        self.loss_periods += other.loss_periods;
        self.loss_distances.merge(&other.loss_distances);
        self.rtt.merge(&other.rtt);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent == 0 && self.late == 0
    }
}

/// Appends a count of the target with this key, some four to six bytes.
pub(super) fn pack(bytes: &mut Vec<u8>, target: i64, count: Count) {
    let (kind, value) = match count {
        Count::Reply(micros) => (0, micros.into()),
        Count::Late(micros) => (1, micros.into()),
        Count::Lost(distance) => (2, distance),
    };
    // Keys of the table count from 1 on and never need the two bits.
    write_varint(bytes, target.unsigned_abs() << 2 | kind);
    write_varint(bytes, value);
}

/// What was packed, up to the first that cannot be understood.
pub(super) fn unpack(mut bytes: &[u8]) -> impl Iterator<Item = (i64, Count)> {
    std::iter::from_fn(move || {
        let head = read_varint(&mut bytes)?;
        let value = read_varint(&mut bytes)?;
        let count = match head & 3 {
            0 => Count::Reply(u32::try_from(value).ok()?),
            1 => Count::Late(u32::try_from(value).ok()?),
            2 => Count::Lost(value),
            _ => return None,
        };
        Some((i64::try_from(head >> 2).ok()?, count))
    })
}

/// Counts by minute and target, for minutes that are not in the file yet. Targets are numbered by whoever counts.
#[derive(Debug, Default)]
pub(super) struct Minutes {
    open: BTreeMap<i64, Vec<Probes>>,
}

impl Minutes {
    pub(super) fn add(&mut self, minute: i64, target: usize, count: Count) {
        let targets = self.open.entry(minute).or_default();
        if targets.len() <= target {
            targets.resize_with(target + 1, Probes::default);
        }
        targets[target].add(count);
    }

    /// The minutes there are, the earliest first.
    pub(super) fn all(&self) -> Vec<i64> {
        self.open.keys().copied().collect()
    }

    /// What was counted in a minute, by target.
    pub(super) fn of(&self, minute: i64) -> impl Iterator<Item = (usize, &Probes)> {
        let targets = self.open.get(&minute).into_iter().flatten().enumerate();
        targets.filter(|(_, probes)| !probes.is_empty())
    }

    pub(super) fn remove(&mut self, minute: i64) {
        self.open.remove(&minute);
    }

    /// How many probes were sent in all of it.
    pub(super) fn sent(&self) -> u64 {
        self.open.values().flatten().map(|probes| probes.sent).sum()
    }

    /// Gives up the earliest minutes until no more than `limit` counts of a target in a minute are left; says how many probes were in them.
    pub(super) fn limit(&mut self, limit: usize) -> u64 {
        let mut given_up = 0;
        while self.open.len() > 1 && self.open.values().map(Vec::len).sum::<usize>() > limit {
            let Some((_, targets)) = self.open.pop_first() else { break };
            given_up += targets.iter().map(|probes| probes.sent).sum::<u64>();
        }
        given_up
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tally(seq: u64, fate: Fate) -> Tally {
        Tally { name: Name::new("a").unwrap(), at: Wall::default(), seq, fate }
    }

    fn count(losses: &mut Losses, probes: &mut Probes, seq: u64, fate: Fate) {
        if let Some(count) = losses.count(&tally(seq, fate)) {
            probes.add(count);
        }
    }

    #[test]
    fn losses_in_a_row_are_one_period_and_their_distances_are_kept() {
        let (mut losses, mut probes) = (Losses::default(), Probes::default());
        for seq in [5, 6, 7, 20, 21] {
            count(&mut losses, &mut probes, seq, Fate::Lost);
        }
        assert_eq!((probes.sent, probes.lost, probes.loss_periods), (5, 5, 2));
        assert_eq!((probes.loss_distances.count(), probes.loss_distances.quantile(1.0)), (4, Some(13)));
    }

    #[test]
    fn losses_out_of_order_are_one_period_still() {
        let (mut losses, mut probes) = (Losses::default(), Probes::default());
        for seq in [5, 7, 6, 8] {
            count(&mut losses, &mut probes, seq, Fate::Lost);
        }
        assert_eq!(probes.lost, 4);
        assert!(probes.loss_periods <= 2);
    }

    #[test]
    fn a_damaged_reply_is_a_loss_once() {
        let (mut losses, mut probes) = (Losses::default(), Probes::default());
        count(&mut losses, &mut probes, 1, Fate::Flawed);
        count(&mut losses, &mut probes, 2, Fate::Lost);
        count(&mut losses, &mut probes, 2, Fate::Flawed);
        assert_eq!((probes.sent, probes.lost), (2, 2));
    }

    #[test]
    fn a_late_reply_leaves_its_loss_in_place() {
        let (mut losses, mut probes) = (Losses::default(), Probes::default());
        count(&mut losses, &mut probes, 1, Fate::Lost);
        count(&mut losses, &mut probes, 1, Fate::Late(2_400_000));
        assert_eq!((probes.sent, probes.lost, probes.late, probes.rtt.count()), (1, 1, 1, 1));
    }

    #[test]
    fn the_minute_before_the_epoch_is_a_minute_too() {
        assert_eq!(minute_of(Wall::from_nanos(-1)), -MINUTE);
        assert_eq!(minute_of(Wall::from_nanos(MINUTE)), MINUTE);
        assert_eq!(minute_of(Wall::from_nanos(MINUTE - 1)), 0);
    }

    #[test]
    fn the_earliest_minutes_are_given_up_first_and_counted() {
        let mut minutes = Minutes::default();
        for minute in 0..5 {
            minutes.add(minute, 0, Count::Reply(1));
            minutes.add(minute, 1, Count::Lost(0));
        }
        assert_eq!(minutes.limit(6), 4);
        assert_eq!(minutes.all(), [2, 3, 4]);
    }

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked(all in proptest::collection::vec((1..i64::MAX >> 2, 0..3, any::<u64>()), 0..50)) {
            let of = |(target, kind, value): &(i64, i32, u64)| match kind {
                0 => (*target, Count::Reply(*value as u32)),
                1 => (*target, Count::Late(*value as u32)),
                _ => (*target, Count::Lost(*value)),
            };
            let counts: Vec<(i64, Count)> = all.iter().map(of).collect();
            let mut bytes = Vec::new();
            counts.iter().for_each(|&(target, count)| pack(&mut bytes, target, count));
            prop_assert_eq!(unpack(&bytes).collect::<Vec<_>>(), counts);
        }

        #[test]
        fn garbage_is_unpacked_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            prop_assert!(unpack(&bytes).count() <= bytes.len());
        }
    }
}
