//! The books kept a second time, from the records alone: what each probe's last line says, and whether it may follow the one
//! before.
//!
//! It knows the contract's accounting and none of the rules that lead to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pingtest::monitor::Monitor;
use pingtest::monitor::finding::{Finding, What};
use pingtest::monitor::outage::{BURST_INTERVAL, State};
use pingtest::monitor::record::{AnswerKind, Event, Lateness, Reason, Record};
use pingtest::monitor::target::{Name, Target};
use pingtest::monitor::time::{Boot, Mono, Now};
use pingtest::monitor::window::{Losses, Window};

/// A slot is served this late at most, and the next one may be in time.
const TOLERANCE: Duration = Duration::from_millis(100);

/// What a probe's last line makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Answered,
    Lost,
    Unreachable,
    Damaged,
    DifferentAddress,
    NotSent,
    NotMeasured,
}

/// The books of all targets.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    books: BTreeMap<Name, Book>,
    findings: BTreeMap<Name, Found>,
}

/// What was found out about a target so far.
#[derive(Debug, Default)]
struct Found {
    is_watched: bool,
    is_down: bool,
    is_gap_open: bool,
    state: Option<State>,
}

#[derive(Debug)]
struct Book {
    target: Arc<Target>,
    sent: BTreeMap<u64, Now>,
    /// When the last probe under the present settings left.
    last_sent: Option<Boot>,
    outcomes: BTreeMap<u64, Outcome>,
    not_measured: Vec<NotMeasured>,
    tally: Tally,
    is_down: bool,
}

#[derive(Debug, Clone, Copy)]
struct NotMeasured {
    first: u64,
    last: u64,
    count: u64,
}

/// What the records add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Tally {
    replies: u64,
    lost: Losses,
    late: u64,
    duplicates: u64,
    not_sent: u64,
    not_measured: u64,
}

impl Ledger {
    /// These targets are wanted from here on: the books of a changed one go on if it means the same host.
    pub(crate) fn handle_targets(&mut self, targets: &[Arc<Target>]) {
        let mut former = std::mem::take(&mut self.books);
        for target in targets {
            let same = former.remove(&target.name).filter(|book| book.target.means_the_same(target));
            let mut book = same.unwrap_or_else(|| Book::new(target));
            if book.target != *target {
                book.last_sent = None;
                book.target = Arc::clone(target);
            }
            self.books.insert(target.name.clone(), book);
        }
    }

    /// The target was down when an earlier process ended.
    pub(crate) fn handle_carried_outage(&mut self, name: &Name) {
        self.books.get_mut(name).expect("a target that was carried over has its book").is_down = true;
        self.findings.entry(name.clone()).or_default().is_down = true;
    }

    /// A probe was handed out.
    pub(crate) fn handle_probe(&mut self, target: &Target, seq: u64, now: Now) {
        let book = self.books.get_mut(&target.name).expect("a target that sends has its book");
        if let Some((&last, _)) = book.sent.last_key_value() {
            assert!(seq > last, "icmp_seq={seq} of {} after {last}", target.name);
        }
        if let Some(before) = book.last_sent.replace(now.boot) {
            let gap = now.boot - before;
            let burst = (target.rules.burst > 0).then_some(BURST_INTERVAL);
            let fastest = target.rules.suspect_interval.into_iter().chain(burst).chain([target.interval]).min();
            let least = fastest.unwrap_or_default().saturating_sub(TOLERANCE);
            assert!(gap >= least && !gap.is_zero(), "icmp_seq={seq} to {} {gap:?} after the one before", target.name);
        }
        book.sent.insert(seq, now);
    }

    /// A record was written, read from the network at `now` at the latest.
    pub(crate) fn handle_record(&mut self, record: &Record, now: Mono) {
        if let Some(book) = self.books.get_mut(&record.target.name) {
            book.handle_record(record, now);
        }
    }

    /// Something was found out: it fits what was found out before.
    pub(crate) fn handle_finding(&mut self, finding: &Finding) {
        let found = self.findings.entry(finding.target.name.clone()).or_default();
        match &finding.what {
            What::Watched => {
                assert!(!std::mem::replace(&mut found.is_watched, true), "watched already: {finding:?}");
            }
            What::Unwatched => {
                assert!(found.is_watched && !found.is_gap_open, "{finding:?}");
                *found = Found::default();
            }
            What::StateChanged { from, to } => {
                assert!(*from != State::Suspect && *to != State::Suspect && from != to, "{finding:?}");
                assert!(found.state.is_none_or(|state| state == *from), "it was {:?}: {finding:?}", found.state);
                found.state = Some(*to);
            }
            What::OutageBegan(outage) => {
                assert!(!std::mem::replace(&mut found.is_down, true), "down already: {finding:?}");
                assert!(outage.ended.is_none() && outage.lost > 0, "{finding:?}");
            }
            What::OutageAmended(_) | What::FirstReply(_) => {}
            What::OutageEnded(outage) => {
                assert!(std::mem::replace(&mut found.is_down, false), "not down: {finding:?}");
                assert!(outage.ended.is_some() && outage.unmeasured <= outage.lasted, "{finding:?}");
            }
            What::AddressChanged { old, new } => assert_ne!(old, new),
            What::GapBegan { .. } => {
                assert!(!std::mem::replace(&mut found.is_gap_open, true), "a gap is open: {finding:?}");
            }
            What::GapEnded { .. } => {
                assert!(std::mem::replace(&mut found.is_gap_open, false), "no gap is open: {finding:?}");
            }
        }
        assert!(found.is_watched || finding.what == What::Unwatched, "not watched: {finding:?}");
    }

    /// The windows say the same as the records, and their counts add up.
    pub(crate) fn check(&self, monitor: &Monitor) {
        for (target, _, window) in monitor.targets() {
            let book = &self.books[&target.name];
            let Window { sent, replies, lost, in_flight, .. } = window;
            assert_eq!(*sent, replies + lost.total() + in_flight, "{}: sent = reply + lost + in flight", target.name);
            let mut tally = book.tally;
            // Slots without an address are written down together after a while.
            assert!(tally.not_measured <= window.not_measured, "{}: not measured", target.name);
            tally.not_measured = window.not_measured;
            assert_eq!(tally, Tally::of(window), "{}: records and window", target.name);
        }
    }
}

impl Book {
    fn new(target: &Arc<Target>) -> Self {
        Self {
            target: Arc::clone(target),
            sent: BTreeMap::new(),
            last_sent: None,
            outcomes: BTreeMap::new(),
            not_measured: Vec::new(),
            tally: Tally::default(),
            is_down: false,
        }
    }

    fn handle_record(&mut self, record: &Record, now: Mono) {
        match &record.event {
            Event::Answer(answer) => {
                self.check_time(answer.seq, answer.rtt, now, record);
                self.handle_answer(answer.seq, answer.kind, record);
            }
            Event::Lost { seq, .. } => {
                self.amend(*seq, &[None], Outcome::Lost, record);
            }
            Event::Unreachable { seq, lateness, .. } => {
                let before = match lateness {
                    Lateness::InTime => None,
                    Lateness::AfterLoss => Some(Outcome::Lost),
                };
                self.amend(*seq, &[before], Outcome::Unreachable, record);
            }
            Event::NotSent { seq, .. } => {
                assert!(self.sent.contains_key(seq), "never due: {record:?}");
                self.amend(*seq, &[None], Outcome::NotSent, record);
            }
            &Event::NotMeasured { first, last, count, ref reason } => {
                self.handle_not_measured(NotMeasured { first, last, count }, reason, record);
            }
            Event::NotRunning { count, time, .. } => {
                assert!(self.outcomes.is_empty(), "it runs: {record:?}");
                assert!(*count > 0 && *time >= self.target.interval, "too short: {record:?}");
            }
            Event::AddressChanged { old, new } => assert_ne!(old, new, "{record:?}"),
            Event::OutageBegan { seq, .. } => {
                assert!(!self.is_down, "down already: {record:?}");
                assert_ne!(self.outcomes.get(seq), Some(&Outcome::Answered), "{record:?}");
                self.is_down = true;
            }
            Event::OutageEnded { seq, .. } => {
                assert!(self.is_down, "not down: {record:?}");
                assert_eq!(self.outcomes.get(seq), Some(&Outcome::Answered), "{record:?}");
                self.is_down = false;
            }
            Event::FirstReply(first) => {
                assert_eq!(self.outcomes.get(&first.seq), Some(&Outcome::Answered), "{record:?}")
            }
        }
    }

    fn handle_answer(&mut self, seq: u64, kind: AnswerKind, record: &Record) {
        use Outcome::{Answered, Damaged, DifferentAddress, Lost, Unreachable};
        match kind {
            AnswerKind::Reply => self.amend(seq, &[None], Answered, record),
            AnswerKind::Late => {
                self.tally.late += 1;
                let losses = [Lost, Unreachable, Damaged, DifferentAddress].map(Some);
                self.amend(seq, &losses, Answered, record);
            }
            AnswerKind::Duplicate => {
                self.tally.duplicates += 1;
                assert_eq!(self.outcomes.get(&seq), Some(&Answered), "a duplicate of nothing: {record:?}");
            }
            AnswerKind::Damaged => self.amend(seq, &[None, Some(Lost)], Damaged, record),
            AnswerKind::DifferentAddress => self.amend(seq, &[None, Some(Lost)], DifferentAddress, record),
        }
    }

    /// `count` of the range were open or not served; the others have an outcome of their own.
    fn handle_not_measured(&mut self, range: NotMeasured, reason: &Reason, record: &Record) {
        let NotMeasured { first, last, count } = range;
        assert!(first <= last && (1..=last - first + 1).contains(&count), "{record:?}");
        self.tally.not_measured += count;
        let decided = self.outcomes.range(first..=last).count() as u64;
        let told = self.not_measured.iter().filter(|told| told.first <= last && first <= told.last);
        if count == last - first + 1 {
            assert_eq!(decided, 0, "measured after all: {record:?}");
            assert_eq!(told.count(), 0, "told twice: {record:?}");
            self.outcomes.extend((first..=last).map(|seq| (seq, Outcome::NotMeasured)));
        } else {
            assert!(decided <= last - first + 1 - count, "measured after all: {record:?}");
            self.not_measured.push(range);
        }
        if let Reason::LocalDrops | Reason::ArrivalUnknown = reason {
            assert_eq!(count, 1, "{record:?}");
        }
    }

    /// The line of `record` says `after` of a probe whose last line said one of `before`.
    fn amend(&mut self, seq: u64, before: &[Option<Outcome>], after: Outcome, record: &Record) {
        let was = self.outcomes.insert(seq, after);
        assert!(before.contains(&was), "{was:?} before {record:?}");
        assert!(self.sent.contains_key(&seq), "never sent: {record:?}");
        if let Some(was) = was {
            *self.tally.of_outcome(was) -= 1;
        }
        *self.tally.of_outcome(after) += 1;
    }

    /// No packet can have been under way for longer than the monotonic clock ran between its probe's sending and its reading.
    fn check_time(&self, seq: u64, rtt: Duration, now: Mono, record: &Record) {
        let sent = self.sent.get(&seq).unwrap_or_else(|| panic!("never sent: {record:?}")).mono;
        assert!(rtt <= now - sent, "{:?} since the sending: {record:?}", now - sent);
    }
}

impl Tally {
    fn of(window: &Window) -> Self {
        Self {
            replies: window.replies,
            lost: window.lost,
            late: window.late,
            duplicates: window.duplicates,
            not_sent: window.not_sent,
            not_measured: window.not_measured,
        }
    }

    fn of_outcome(&mut self, outcome: Outcome) -> &mut u64 {
        match outcome {
            Outcome::Answered => &mut self.replies,
            Outcome::Lost => &mut self.lost.unanswered,
            Outcome::Unreachable => &mut self.lost.unreachable,
            Outcome::Damaged => &mut self.lost.damaged,
            Outcome::DifferentAddress => &mut self.lost.different_address,
            Outcome::NotSent => &mut self.not_sent,
            Outcome::NotMeasured => &mut self.not_measured,
        }
    }
}
