//! From verdicts to counts: what a record adds to its target's minute, and the same as a few bytes for keeping.
//!
//! It knows neither files nor threads. The minute is that of the record's label: a late reply counts where it arrives.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

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
    /// Not answered within so long.
    TimedOut(Duration),
    /// An ICMP error came back.
    Unreachable,
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
            Event::Lost { seq, timeout, .. } => (*seq, Fate::TimedOut(*timeout)),
            Event::Unreachable { seq, lateness: Lateness::InTime, .. } => (*seq, Fate::Unreachable),
            Event::Unreachable { lateness: Lateness::AfterLoss, .. }
            | Event::NotSent { .. }
            | Event::NotMeasured { .. }
            | Event::NotRunning { .. }
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
    /// A loss.
    Lost(Row),
    /// So many probes from one loss to the next.
    Distance(u64),
}

/// What a loss does to the losses in a row around it (RFC 3357, loss periods).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// Neither the probe before it nor the one after it is known to be lost.
    Opens,
    /// One of them is.
    Extends,
    /// Both are: what was told as two periods is one.
    Joins,
}

/// The latest losses of a target, by number: as many as a damaged reply may have to be told from the loss it explains.
///
/// Verdicts come out of the order of their probes: an ICMP error is there at once, a timeout only when it is over. So a distance of more
/// than one probe is told only when no loss can come in between any more.
#[derive(Debug, Clone, Default)]
pub(super) struct Losses {
    latest: VecDeque<Loss>,
    /// How many of them have not had their distance told.
    untold: usize,
    /// The longest timeout heard of.
    timeout: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Loss {
    seq: u64,
    at: Wall,
    is_told: bool,
}

/// Losses remembered for each target.
const REMEMBERED: usize = 64;
/// Verdicts may be this much out of order where no timeout has been heard of yet: the timeout where nobody chooses one.
const DISORDER: Duration = Duration::from_secs(2);

impl Losses {
    /// What a verdict adds.
    pub(super) fn count(&mut self, tally: &Tally, mut add: impl FnMut(Count)) {
        match tally.fate {
            Fate::Reply(micros) => add(Count::Reply(micros)),
            Fate::Late(micros) => add(Count::Late(micros)),
            Fate::Flawed if self.place(tally.seq).is_ok() => {}
            Fate::TimedOut(timeout) => {
                self.timeout = self.timeout.max(timeout);
                self.lose(tally, &mut add);
            }
            Fate::Unreachable | Fate::Flawed => self.lose(tally, &mut add),
        }
        if self.untold > 0 {
            let settled = tally.at - self.timeout.max(DISORDER);
            self.tell(|loss| loss.at < settled, &mut add);
        }
    }

    /// The target's numbers begin anew, or end: no further loss can come in between.
    pub(super) fn forget(&mut self, mut add: impl FnMut(Count)) {
        self.tell(|_| true, &mut add);
        self.latest.clear();
    }

    fn place(&self, seq: u64) -> Result<usize, usize> {
        self.latest.binary_search_by_key(&seq, |loss| loss.seq)
    }

    fn lose(&mut self, tally: &Tally, add: &mut impl FnMut(Count)) {
        let (Ok(place) | Err(place)) = self.place(tally.seq);
        let is_lost = |seq: Option<u64>| seq.is_some_and(|seq| self.place(seq).is_ok());
        add(Count::Lost(match (is_lost(tally.seq.checked_sub(1)), is_lost(tally.seq.checked_add(1))) {
            (false, false) => Row::Opens,
            (true, false) | (false, true) => Row::Extends,
            (true, true) => Row::Joins,
        }));
        self.latest.insert(place, Loss { seq: tally.seq, at: tally.at, is_told: false });
        self.untold += 1;
        if self.latest.len() > REMEMBERED {
            self.tell_one(1, add);
            self.tell_one(0, add);
            self.latest.pop_front();
        }
    }

    /// Tells the distances that are settled. Nothing lies between neighbours.
    fn tell(&mut self, is_settled: impl Fn(&Loss) -> bool, add: &mut impl FnMut(Count)) {
        for place in 0..self.latest.len() {
            if is_settled(&self.latest[place]) || self.distance(place) == Some(1) {
                self.tell_one(place, add);
            }
        }
    }

    fn tell_one(&mut self, place: usize, add: &mut impl FnMut(Count)) {
        let distance = self.distance(place);
        if let Some(loss) = self.latest.get_mut(place).filter(|loss| !loss.is_told) {
            loss.is_told = true;
            self.untold -= 1;
            distance.into_iter().for_each(|distance| add(Count::Distance(distance)));
        }
    }

    /// From the loss before to this one; `None` where none is known.
    fn distance(&self, place: usize) -> Option<u64> {
        let before = self.latest.get(place.checked_sub(1)?)?;
        Some(self.latest.get(place)?.seq - before.seq)
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
            Count::Lost(row) => {
                self.sent += 1;
                self.lost += 1;
                self.loss_periods += match row {
                    Row::Opens => 1,
                    Row::Extends => 0,
                    Row::Joins => -1,
                };
            }
            Count::Distance(distance) => self.loss_distances.add(distance),
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
        self.sent == 0 && self.late == 0 && self.loss_distances.count() == 0
    }
}

/// Appends a count of the target with this key, some four to six bytes.
pub(super) fn pack(bytes: &mut Vec<u8>, target: i64, count: Count) {
    let (kind, value) = match count {
        Count::Reply(micros) => (0, micros.into()),
        Count::Late(micros) => (1, micros.into()),
        Count::Lost(row) => (2, row as u64),
        Count::Distance(distance) => (3, distance),
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
            2 => Count::Lost(*[Row::Opens, Row::Extends, Row::Joins].get(usize::try_from(value).ok()?)?),
            _ => Count::Distance(value),
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
        losses.count(&tally(seq, fate), |count| probes.add(count));
    }

    const LOST: Fate = Fate::TimedOut(Duration::from_secs(2));

    #[test]
    fn losses_in_a_row_are_one_period_and_their_distances_are_kept() {
        let (mut losses, mut probes) = (Losses::default(), Probes::default());
        for seq in [5, 6, 7, 20, 21] {
            count(&mut losses, &mut probes, seq, LOST);
        }
        losses.forget(|count| probes.add(count));
        assert_eq!((probes.sent, probes.lost, probes.loss_periods), (5, 5, 2));
        assert_eq!((probes.loss_distances.count(), probes.loss_distances.quantile(1.0)), (4, Some(13)));
    }

    /// Losses by number and second of their verdicts, as they come; then as much time as any verdict may take.
    fn lost_at(verdicts: impl IntoIterator<Item = (u64, i64)>) -> Probes {
        let (mut losses, mut probes) = (Losses::default(), Probes::default());
        let at = |second: i64| Wall::from_nanos(second * 1_000_000_000);
        for (seq, second) in verdicts {
            losses.count(&Tally { at: at(second), ..tally(seq, LOST) }, |count| probes.add(count));
        }
        losses.count(&Tally { at: at(1_000), ..tally(900, Fate::Reply(1)) }, |count| probes.add(count));
        probes
    }

    #[test]
    fn losses_out_of_order_are_one_period_still() {
        let probes = lost_at([(5, 7), (8, 8), (6, 8), (7, 9), (9, 11)]);
        assert_eq!((probes.lost, probes.loss_periods), (5, 1));
        assert_eq!((probes.loss_distances.count(), probes.loss_distances.quantile(1.0)), (4, Some(1)));
    }

    #[test]
    fn a_distance_is_not_told_while_a_loss_may_come_in_between() {
        let (mut losses, mut probes) = (Losses::default(), Probes::default());
        let mut lose = |seq, at: i64| {
            let tally = Tally { at: Wall::from_nanos(at * 1_000_000_000), ..tally(seq, LOST) };
            losses.count(&tally, |count| probes.add(count));
            probes.loss_distances.count()
        };
        assert_eq!([(10, 12), (20, 20), (12, 21), (21, 23), (22, 24)].map(|(seq, at)| lose(seq, at)), [0, 0, 0, 2, 4]);
    }

    #[test]
    fn a_damaged_reply_is_a_loss_once() {
        let (mut losses, mut probes) = (Losses::default(), Probes::default());
        count(&mut losses, &mut probes, 1, Fate::Flawed);
        count(&mut losses, &mut probes, 2, LOST);
        count(&mut losses, &mut probes, 2, Fate::Flawed);
        assert_eq!((probes.sent, probes.lost), (2, 2));
    }

    #[test]
    fn a_late_reply_leaves_its_loss_in_place() {
        let (mut losses, mut probes) = (Losses::default(), Probes::default());
        count(&mut losses, &mut probes, 1, LOST);
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
            minutes.add(minute, 1, Count::Lost(Row::Opens));
        }
        assert_eq!(minutes.limit(6), 4);
        assert_eq!(minutes.all(), [2, 3, 4]);
    }

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked(all in proptest::collection::vec((1..i64::MAX >> 2, 0..4, any::<u64>()), 0..50)) {
            let of = |(target, kind, value): &(i64, i32, u64)| match kind {
                0 => (*target, Count::Reply(*value as u32)),
                1 => (*target, Count::Late(*value as u32)),
                2 => (*target, Count::Lost([Row::Opens, Row::Extends, Row::Joins][(*value % 3) as usize])),
                _ => (*target, Count::Distance(*value)),
            };
            let counts: Vec<(i64, Count)> = all.iter().map(of).collect();
            let mut bytes = Vec::new();
            counts.iter().for_each(|&(target, count)| pack(&mut bytes, target, count));
            prop_assert_eq!(unpack(&bytes).collect::<Vec<_>>(), counts);
        }

        #[test]
        fn losses_count_as_in_order_however_late_their_verdicts(lost in proptest::collection::btree_map(1_u64..200, 0_i64..3, 0..60)) {
            let mut verdicts: Vec<_> = lost.iter().map(|(&seq, late)| (seq, seq as i64 + late)).collect();
            verdicts.sort_by_key(|&(_, at)| at);
            let probes = lost_at(verdicts);
            let seqs: Vec<u64> = lost.into_keys().collect();
            let mut distances = crate::monitor::sketch::Sketch::default();
            seqs.windows(2).for_each(|pair| distances.add(pair[1] - pair[0]));
            let periods = seqs.iter().filter(|&&seq| !seqs.contains(&(seq - 1))).count();
            prop_assert_eq!(probes.loss_periods, periods as i64);
            prop_assert_eq!(probes.loss_distances, distances);
        }

        #[test]
        fn garbage_is_unpacked_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            prop_assert!(unpack(&bytes).count() <= bytes.len());
        }
    }
}
