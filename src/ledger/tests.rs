//! The ledger as a whole, on a disk, its thread's turns taken by hand and its clock set.

mod model;

use std::cell::{Cell, RefCell};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::history::{History, Span, TargetHistory};
use super::queue::{self, Inbox, Queue};
use super::schema::beside;
use super::writer::{Lines, Thread};
use super::*;
use crate::monitor::finding::{Finding, FirstReply, Gap, What};
use crate::monitor::outage::{Bound, Carried, Cause, Ending, Outage, State};
use crate::monitor::record::{Answer, AnswerKind, Event, Record};
use crate::monitor::sample::IcmpError;
use crate::monitor::target::{Addr, Host, Name};

/// Some day, at the beginning of a minute.
const DAY: i64 = 29_000_000 * 60;

/// So many seconds into that day.
fn at(second: i64) -> Wall {
    Wall::from_nanos((DAY + second) * 1_000_000_000)
}

fn span(from: i64, until: i64) -> Span {
    Span { from: at(from), until: at(until) }
}

fn label(name: &str, host: &str) -> Label {
    Label { name: Name::new(name).unwrap(), host: Host::Name(host.into()) }
}

fn addr(last: u8) -> Addr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn finding(second: i64, name: &str, what: What) -> Finding {
    Finding { at: at(second), target: label(name, "host"), addr: Some(addr(1)), what }
}

fn outage(began: i64, ended: Option<i64>) -> Outage {
    let bound = |second| Bound { at: at(second), earliest: Some(at(second - 1)) };
    Outage {
        began: bound(began),
        ended: ended.map(bound),
        lasted: Duration::from_secs((ended.unwrap_or(began + 3) - began) as u64),
        cause: Cause::Unanswered,
        first_seq: 7,
        lost: 3,
        unmeasured: Duration::ZERO,
        fragments: 1,
        new_ids: 0,
        new_id_helped: false,
        behind: 0,
    }
}

fn record(second: i64, name: &str, event: Event) -> Record {
    Record { at: at(second), target: label(name, "host"), addr: Some(addr(1)), event }
}

fn reply(second: i64, name: &str, seq: u64, micros: u64) -> Record {
    let (kind, rtt) = (AnswerKind::Reply, Duration::from_micros(micros));
    record(second, name, Event::Answer(Answer { kind, seq, sent: at(second), rtt, ttl: None, bytes: 64, from: None }))
}

fn lost(second: i64, name: &str, seq: u64) -> Record {
    record(second, name, Event::Lost { seq, sent: at(second - 2), timeout: Duration::from_secs(2) })
}

/// A directory, a clock and an operator's ear.
struct Bench {
    dir: TempDir,
    clock: Rc<Cell<Wall>>,
    heard: Rc<RefCell<Vec<Notice>>>,
}

type Clock = Box<dyn Fn() -> Wall>;
type Ear = Box<dyn Fn(Notice)>;

/// A process that writes the ledger.
struct Life {
    thread: Thread<Clock, Ear>,
    inbox: Inbox,
    queue: Queue,
    carried: Vec<Carried>,
    clock: Rc<Cell<Wall>>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, clock: Rc::new(Cell::new(at(0))), heard: Rc::default() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("state/ledger.db")
    }

    fn begin(&self, second: i64, names: &[&str]) -> Life {
        self.begin_at(&self.path(), second, names)
    }

    fn begin_at(&self, path: &Path, second: i64, names: &[&str]) -> Life {
        self.clock.set(at(second));
        let clock = Rc::clone(&self.clock);
        let heard = Rc::clone(&self.heard);
        let settings = Settings { path: path.to_owned(), keep_minutes: Duration::from_secs(3600), version: "1.2.3" };
        let mut thread = Thread::new(
            settings,
            Box::new(move || clock.get()) as Clock,
            Box::new(move |notice| heard.borrow_mut().push(notice)) as Ear,
        );
        let labels: Vec<Label> = names.iter().map(|name| label(name, "host")).collect();
        let carried = thread.begin(&labels, Duration::ZERO);
        let (queue, inbox) = queue::new();
        Life { thread, inbox, queue, carried, clock: Rc::clone(&self.clock) }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.borrow().iter().map(|notice| format!("{notice:?}")).collect()
    }

    fn read(&self, now: i64) -> History {
        read_at(&self.path(), now)
    }
}

fn query(now: i64) -> Query {
    Query { since: None, until: None, target: None, now: at(now), sketches: Sketches::Read }
}

fn read_at(path: &Path, now: i64) -> History {
    read(path, &query(now)).unwrap()
}

impl Life {
    fn finding(&mut self, second: i64, name: &str, what: What) {
        self.queue.finding(finding(second, name, what));
    }

    fn watched(&mut self, second: i64, names: &[&str]) {
        names.iter().for_each(|name| self.finding(second, name, What::Watched));
    }

    fn turn(&mut self, second: i64) {
        self.clock.set(at(second));
        self.queue.flush();
        self.thread.turn(&self.inbox);
    }

    fn end(self, second: i64) {
        self.end_with(second, Lines::Written);
    }

    fn end_with(mut self, second: i64, lines: Lines) {
        self.clock.set(at(second));
        self.queue.flush();
        self.thread.end(&self.inbox, lines);
    }

    /// Leaves the file as it is, as a process does that is killed, in another place.
    fn copy(&self, bench: &Bench) -> PathBuf {
        let to = bench.dir.path().join("copy.db");
        for suffix in ["", "-wal"] {
            fs::copy(beside(&bench.path(), suffix), beside(&to, suffix)).unwrap();
        }
        to
    }
}

fn only(history: &History) -> &TargetHistory {
    assert_eq!(history.targets.len(), 1, "{history:?}");
    &history.targets[0]
}

#[test]
fn what_was_found_out_is_read_back() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    life.finding(1, "a", What::StateChanged { from: State::Unknown, to: State::Up });
    let error = IcmpError::V4 { kind: 3, code: 1, info: 0 };
    let mut down = outage(10, None);
    life.finding(12, "a", What::OutageBegan(down.clone()));
    down.cause = Cause::Unreachable { error, from: addr(9) };
    life.finding(13, "a", What::OutageAmended(down.clone()));
    life.turn(14);
    assert_eq!(only(&bench.read(15)).outages[0].ended, None);
    down.ended = outage(10, Some(20)).ended;
    (down.lost, down.new_ids, down.new_id_helped, down.behind) = (10, 1, true, 4);
    life.finding(20, "a", What::OutageEnded(down));
    life.finding(21, "a", What::GapBegan { from: at(21), why: Gap::Suspended });
    life.finding(25, "a", What::GapEnded { until: at(25) });
    life.finding(26, "a", What::AddressChanged { old: addr(1), new: addr(2) });
    life.finding(27, "a", What::GapBegan { from: at(27), why: Gap::Paused });
    life.turn(30);

    let history = bench.read(31);
    assert!(history.is_live);
    assert_eq!((history.from, history.until), (at(0), at(30)));
    let target = only(&history);
    assert_eq!((target.name.as_str(), target.host.as_str()), ("a", "host"));
    assert_eq!(target.watched, [span(0, 30)]);
    assert_eq!(target.gaps, [(span(21, 25), Gap::Suspended), (span(27, 30), Gap::Paused)]);
    assert_eq!(target.addresses, [(at(26), "192.0.2.1".to_owned(), "192.0.2.2".to_owned())]);
    let past = &target.outages[0];
    assert_eq!(target.outages.len(), 1);
    assert_eq!((past.began, past.began_earliest), (at(10), Some(at(9))));
    assert_eq!((past.ended, past.ended_earliest), (Some(at(20)), Some(at(19))));
    assert_eq!((past.cause.as_str(), past.detail.as_deref()), ("unreachable", Some("Destination Host Unreachable")));
    assert_eq!((past.from.as_deref(), past.lost, past.behind), (Some("192.0.2.9"), 10, 4));
    assert_eq!((past.new_ids, past.new_id_helped, past.is_abandoned), (1, true, false));
    life.end(31);
    assert!(!bench.read(32).is_live);
    assert!(bench.heard().is_empty(), "{:?}", bench.heard());
}

#[test]
fn what_is_lost_in_an_outage_that_lasts_is_in_the_file_a_second_later() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    let down = outage(3, None);
    let told = down.lost;
    life.finding(5, "a", What::OutageBegan(down));
    for seq in 10..17_i64 {
        life.queue.record(&lost(seq, "a", seq.cast_unsigned()));
    }
    life.turn(17);
    assert_eq!(only(&bench.read(18)).outages[0].lost, told + 7);
    let copy = life.copy(&bench);
    let mut after_a_kill = bench.begin_at(&copy, 20, &["a"]);
    assert_eq!(after_a_kill.carried[0].outage.as_ref().map(|outage| outage.lost), Some(told + 7));
    after_a_kill.watched(20, &["a"]);
    after_a_kill.queue.record(&lost(22, "a", 1));
    after_a_kill.turn(22);
    assert_eq!(only(&read_at(&copy, 23)).outages[0].lost, told + 8, "the count goes on");
}

#[test]
fn a_target_that_is_let_go_leaves_nothing_open() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a", "b"]);
    life.watched(0, &["a", "b"]);
    life.finding(5, "a", What::OutageBegan(outage(3, None)));
    life.finding(6, "a", What::GapBegan { from: at(6), why: Gap::NotResolved });
    life.finding(10, "a", What::Unwatched);
    life.turn(20);
    let history = bench.read(20);
    let a = &history.targets[0];
    assert_eq!(a.watched, [span(0, 10)]);
    assert_eq!(a.gaps, [(span(6, 10), Gap::NotResolved)]);
    assert!(a.outages[0].is_abandoned && a.outages[0].ended.is_none());
    assert_eq!(history.targets[1].watched, [span(0, 20)]);
}

#[test]
fn an_outage_that_spans_a_restart_is_one() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a", "b", "c"]);
    life.watched(0, &["a", "b", "c"]);
    let mut down = outage(10, None);
    down.cause = Cause::DifferentAddress(Addr { ip: "fe80::1".parse().unwrap(), scope: 3 });
    life.finding(2, "b", What::StateChanged { from: State::Unknown, to: State::Up });
    life.finding(13, "a", What::OutageBegan(down.clone()));
    life.finding(13, "a", What::StateChanged { from: State::Up, to: State::Down });
    life.finding(13, "c", What::OutageBegan(outage(11, None)));
    life.turn(20);
    drop(life);

    // Killed; c is gone from the configuration, and a process in between did not get as far as to watch anything.
    drop(bench.begin(30, &["a", "b"]));
    let mut life = bench.begin(40, &["a", "b"]);
    let of = |name: &str| life.carried.iter().find(|known| known.name.as_str() == name).unwrap().clone();
    assert_eq!((of("a").state, of("a").outage, of("a").until), (State::Down, Some(down.clone()), at(20)));
    assert_eq!((of("b").state, of("b").outage), (State::Up, None));
    assert_eq!(life.carried.len(), 2);
    life.watched(40, &["a", "b"]);
    (down.ended, down.unmeasured) = (outage(10, Some(50)).ended, Duration::from_secs(20));
    life.finding(50, "a", What::OutageEnded(down));
    life.end(60);

    let history = bench.read(60);
    let [a, b, c] = history.targets.as_slice() else { panic!("{history:?}") };
    assert_eq!(a.outages.len(), 1);
    assert_eq!((a.outages[0].ended, a.outages[0].unmeasured), (Some(at(50)), Duration::from_secs(20)));
    assert_eq!(a.outages[0].from.as_deref(), Some("fe80::1%3"));
    assert_eq!(a.watched, [span(0, 20), span(40, 60)]);
    assert!(c.outages[0].is_abandoned);
    assert_eq!(c.watched, [span(0, 20)]);
    // What was carried over is known after a further restart as well.
    assert!(b.outages.is_empty());
    let life = bench.begin(70, &["a", "b", "c"]);
    let names: Vec<_> = life.carried.iter().map(|known| (known.name.as_str(), known.state)).collect();
    let expected = [("a", State::Unknown), ("b", State::Up)];
    assert_eq!(names, expected, "a's state was not told after its outage, c was let go");
}

#[test]
fn how_and_when_a_process_ended_is_known_of_each_target_it_watched() {
    let bench = Bench::new();
    let known = |life: &Life| life.carried.iter().map(|known| (known.until, known.ending)).collect::<Vec<_>>();
    let mut life = bench.begin(0, &["a", "b"]);
    assert_eq!(known(&life), []);
    life.watched(0, &["a", "b"]);
    life.turn(5);
    drop(life);
    let mut life = bench.begin(10, &["a", "b"]);
    assert_eq!(known(&life), [(at(5), Ending::Abrupt); 2], "killed");
    life.watched(10, &["a", "b"]);
    life.finding(12, "b", What::Unwatched);
    life.end(15);
    let mut life = bench.begin(20, &["a", "b"]);
    assert_eq!(known(&life), [(at(15), Ending::Clean)], "b was let go before");
    life.watched(20, &["a"]);
    life.turn(25);
    drop(life);
    // Killed again before anything was written.
    drop(bench.begin(30, &["a"]));
    assert_eq!(known(&bench.begin(40, &["a"])), [(at(25), Ending::Abrupt)]);
}

#[test]
fn what_the_log_has_no_line_of_at_the_end_is_not_said_to_be_measured() {
    let bench = Bench::new();
    let ends = [(0, Lines::Unknown, (at(4), Ending::Abrupt)), (100, Lines::Written, (at(108), Ending::Clean))];
    for (second, lines, expected) in ends {
        let mut life = bench.begin(second, &["web"]);
        life.watched(second, &["web"]);
        life.queue.turned(at(second + 4));
        life.turn(second + 6);
        life.end_with(second + 8, lines);
        let known = bench.begin(second + 60, &["web"]).carried;
        assert_eq!((known[0].until, known[0].ending), expected, "{lines:?}");
    }
}

#[test]
fn a_driver_that_hangs_is_said_to_have_measured_until_its_last_turn() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["web"]);
    life.watched(0, &["web"]);
    life.queue.turned(at(4));
    life.turn(5);
    life.turn(35);
    assert_eq!(only(&bench.read(35)).watched, [span(0, 4)]);
    life.queue.turned(at(36));
    life.turn(36);
    assert_eq!(only(&bench.read(36)).watched, [span(0, 36)]);
    drop(life);
    assert_eq!(bench.begin(60, &["web"]).carried[0].until, at(36));
}

#[test]
fn a_target_that_was_let_go_begins_anew() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    life.finding(1, "a", What::StateChanged { from: State::Unknown, to: State::Up });
    life.turn(2);
    life.finding(3, "a", What::Unwatched);
    life.finding(4, "a", What::Watched);
    life.turn(5);
    life.end(6);
    let [known] = &bench.begin(7, &["a"]).carried[..] else { panic!("it was watched to the end") };
    assert_eq!((known.state, known.until), (State::Unknown, at(6)));
}

#[test]
fn a_gap_that_a_killed_process_left_open_ends_with_it() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    life.finding(5, "a", What::GapBegan { from: at(5), why: Gap::Paused });
    life.turn(8);
    drop(life);
    let mut life = bench.begin(20, &["a"]);
    life.watched(20, &["a"]);
    life.turn(30);
    let history = bench.read(30);
    assert_eq!(only(&history).gaps, [(span(5, 8), Gap::Paused)]);
    assert_eq!(only(&history).watched, [span(0, 8), span(20, 30)]);
}

#[test]
fn counts_are_those_of_the_probes_before_and_after_their_minute_is_over() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    for second in 0..150 {
        match second {
            50 | 51 | 70 => life.queue.record(&lost(second, "a", second as u64 + 1)),
            _ => life.queue.record(&reply(second, "a", second as u64 + 1, 1000 + second as u64)),
        }
        life.turn(second);
    }
    let before = only(&bench.read(150)).probes.clone();
    assert_eq!((before.sent, before.lost, before.late, before.loss_periods), (150, 3, 0, 2));
    assert_eq!((before.loss_distances.count(), before.loss_distances.quantile(1.0)), (2, Some(19)));
    assert_eq!(before.rtt.count(), 147);
    life.end(151);
    assert_eq!(only(&bench.read(151)).probes, before);

    // Of the second minute alone, and of that target alone.
    let (since, until) = (Some(at(60)), Some(at(120)));
    let asked = Query { since, until, target: Some("a".to_owned()), ..query(151) };
    let minute = read(&bench.path(), &asked).unwrap();
    assert_eq!((only(&minute).probes.sent, only(&minute).probes.lost), (60, 1));
    assert_eq!(only(&minute).watched, [span(60, 120)]);
    let sums = read(&bench.path(), &Query { sketches: Sketches::Skip, ..asked.clone() }).unwrap();
    assert_eq!((only(&sums).probes.sent, only(&sums).probes.rtt.count()), (60, 0));
    assert!(read(&bench.path(), &Query { target: Some("b".to_owned()), ..asked }).unwrap().targets.is_empty());
}

#[test]
fn a_killed_process_loses_what_came_since_its_last_second_and_nothing_twice() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a", "b"]);
    life.watched(0, &["a", "b"]);
    for second in 0..90 {
        life.queue.record(&reply(second, "a", second as u64 + 1, 1000));
        life.queue.record(&lost(second, "b", second as u64 + 1));
        life.turn(second);
    }
    life.queue.record(&reply(90, "a", 91, 1000));
    life.queue.flush();
    let copy = life.copy(&bench);
    for again in 0..3 {
        let history = read_at(&copy, 100 + again);
        let [a, b] = history.targets.as_slice() else { panic!("{history:?}") };
        assert_eq!((a.probes.sent, a.probes.rtt.count()), (90, 90), "after {again} restarts");
        assert_eq!((b.probes.sent, b.probes.lost, b.probes.loss_periods), (90, 90, 1));
        assert_eq!(a.watched, [span(0, 89)]);
        drop(bench.begin_at(&copy, 100 + again, &["a", "b"]));
    }
}

#[test]
fn a_minute_shared_by_two_processes_adds_up() {
    let bench = Bench::new();
    for begin in [0, 20, 40] {
        let mut life = bench.begin(begin, &["a"]);
        life.watched(begin, &["a"]);
        (0..5).for_each(|seq| life.queue.record(&reply(begin + seq, "a", seq as u64 + 1, 500)));
        life.turn(begin + 6);
        if begin == 20 { drop(life) } else { life.end(begin + 7) }
    }
    assert_eq!(only(&bench.read(50)).probes.sent, 15);
}

#[test]
fn minutes_are_kept_for_their_time_and_outages_for_ever() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    life.finding(5, "a", What::OutageEnded(outage(2, Some(5))));
    for minute in 0..10 {
        life.queue.record(&reply(minute * 60, "a", minute as u64 + 1, 500));
        life.turn(minute * 60);
    }
    (0..20).for_each(|turn| life.turn(3600 + 240 + turn));
    assert_eq!(only(&bench.read(3860)).probes.sent, 10, "the clock may have been set, and may be set back");
    assert_eq!(bench.read(3860).counts_from, None);
    (20..680).for_each(|turn| life.turn(3600 + 240 + turn / 12));
    let history = bench.read(3895);
    assert_eq!(only(&history).probes.sent, 6, "minutes 4 to 9 are younger than an hour");
    assert_eq!(history.counts_from, Some(at(240)));
    assert_eq!(only(&history).outages.len(), 1);
}

#[test]
fn ten_thousand_targets_that_fail_at_once_are_all_in_the_ledger() {
    let bench = Bench::new();
    let names: Vec<String> = (0..10_000).map(|n| format!("t{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut life = bench.begin(0, &names);
    life.watched(0, &names);
    names.iter().for_each(|name| life.finding(9, name, What::OutageBegan(outage(5, None))));
    names.iter().for_each(|name| life.queue.record(&lost(9, name, 5)));
    life.turn(10);
    let history = bench.read(10);
    assert_eq!(history.targets.iter().map(|target| target.outages.len()).sum::<usize>(), 10_000);
    assert_eq!(history.targets.iter().map(|target| target.probes.lost).sum::<u64>(), 10_000);
}

#[test]
fn a_full_disk_loses_nothing_that_has_room_in_memory() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    life.turn(1);
    life.thread.store().unwrap().limit_pages(1);
    for second in 2..200 {
        life.queue.record(&reply(second, "a", second as u64, 500));
        life.finding(second, "a", What::OutageEnded(outage(second, Some(second))));
        life.turn(second);
    }
    assert_eq!(bench.heard().len(), 1, "{:?}", bench.heard());
    assert!(bench.heard()[0].starts_with("Failed") && bench.heard()[0].contains("full"), "{:?}", bench.heard());
    life.thread.store().unwrap().limit_pages(1_000_000);
    life.turn(200);
    assert!(bench.heard()[1].contains("Recovered"), "{:?}", bench.heard());
    assert!(bench.heard()[1].contains("findings: 0, probes: 0"), "{:?}", bench.heard());
    let history = bench.read(200);
    assert_eq!((only(&history).outages.len(), only(&history).probes.sent), (198, 198));
}

#[test]
fn a_ledger_that_ends_on_a_full_disk_says_what_is_missing() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    life.turn(1);
    life.thread.store().unwrap().limit_pages(1);
    for second in 2..200 {
        life.queue.record(&reply(second, "a", second as u64, 500));
        life.finding(second, "a", What::OutageEnded(outage(second, Some(second))));
        life.turn(second);
    }
    life.end(200);
    let last = bench.heard().pop().unwrap();
    assert!(last.starts_with("Abandoned") && last.contains("probes: 198"), "{last}");
}

/// Overwrites the tables, and takes away what the write-ahead log knows.
fn break_it(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[4096..].fill(0xa5);
    fs::write(path, bytes).unwrap();
    let _ = fs::remove_file(beside(path, "-wal"));
}

fn set_aside(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("ledger.db.corrupt-")).collect()
}

#[test]
fn a_broken_ledger_is_moved_aside_when_it_is_opened() {
    type Damage = fn(&Path);
    let damages: [Damage; 2] = [break_it, |path| fs::write(path, &fs::read(path).unwrap()[..8192]).unwrap()];
    for damage in damages {
        let bench = Bench::new();
        let mut life = bench.begin(0, &["a"]);
        life.watched(0, &["a"]);
        life.turn(1);
        life.end(2);
        damage(&bench.path());
        let mut life = bench.begin(10, &["a"]);
        life.watched(10, &["a"]);
        life.turn(20);
        assert_eq!(bench.heard().len(), 1, "{:?}", bench.heard());
        assert!(bench.heard()[0].starts_with("SetAside"), "{:?}", bench.heard());
        assert_eq!(set_aside(bench.path().parent().unwrap()).len(), 1);
        assert_eq!(only(&bench.read(20)).watched, [span(10, 20)]);
    }
}

#[test]
fn a_ledger_that_breaks_while_it_is_written_is_begun_anew_with_what_is_open() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    life.finding(5, "a", What::OutageBegan(outage(3, None)));
    life.finding(6, "a", What::GapBegan { from: at(6), why: Gap::Paused });
    life.turn(7);
    life.thread.store().unwrap().checkpoint();
    break_it_under_sqlite(&bench.path());
    (8..12).for_each(|second| life.turn(second));
    assert!(bench.heard()[0].starts_with("SetAside"), "{:?}", bench.heard());
    assert_eq!(bench.heard().len(), 1, "{:?}", bench.heard());
    let history = bench.read(12);
    let target = only(&history);
    assert_eq!(target.outages.len(), 1);
    assert_eq!(target.outages[0].ended, None);
    assert_eq!(target.gaps.len(), 1);
}

fn break_it_under_sqlite(path: &Path) {
    break_from(path, 4096);
}

/// In place, as a broken disk does; SQLite looks at the file again because its change counter is another.
fn break_from(path: &Path, from: u64) {
    use std::os::unix::fs::FileExt;
    let size = fs::metadata(path).unwrap().len();
    // Through SQLite's back, on a descriptor that is never closed: closing it would let go of SQLite's own locks (fcntl_locking(2)).
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![0xa5; (size - from) as usize], from).unwrap();
    std::mem::forget(file);
}

#[test]
fn a_ledger_that_is_deleted_is_begun_anew() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    life.turn(1);
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(beside(&bench.path(), suffix)).unwrap();
    }
    fs::remove_file(beside(&bench.path(), ".lock")).unwrap();
    life.turn(2);
    assert_eq!(bench.heard().len(), 1, "{:?}", bench.heard());
    assert!(bench.heard()[0].starts_with("TakenAway"), "{:?}", bench.heard());
    assert!(beside(&bench.path(), ".lock").exists(), "no second process may come in");
    (3..30).for_each(|second| life.turn(second));
    assert_eq!(only(&bench.read(30)).watched.len(), 1);
}

#[test]
fn a_ledger_put_back_is_gone_on_with() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    life.finding(1, "a", What::GapBegan { from: at(1), why: Gap::Paused });
    life.turn(2);
    life.thread.store().unwrap().checkpoint();
    let copy = bench.dir.path().join("copy.db");
    fs::copy(bench.path(), &copy).unwrap();
    fs::rename(&copy, bench.path()).unwrap();
    (3..30).for_each(|second| life.turn(second));
    life.finding(30, "a", What::GapEnded { until: at(30) });
    life.turn(31);
    let history = bench.read(31);
    assert_eq!(only(&history).watched, [span(0, 31)]);
    assert_eq!(only(&history).gaps, [(span(1, 30), Gap::Paused)]);
    let conn = rusqlite::Connection::open(bench.path()).unwrap();
    let runs: i64 = conn.query_row("SELECT count(*) FROM run", [], |row| row.get(0)).unwrap();
    assert_eq!(runs, 1);
}

#[test]
fn a_queue_that_overflows_is_told_of_once_a_minute() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    for second in 0..3 {
        (0..queue::TALLIES as u64 + 7).for_each(|seq| life.queue.record(&reply(0, "a", seq + 1, 500)));
        life.turn(second);
    }
    assert_eq!(bench.heard().len(), 1, "{:?}", bench.heard());
    assert!(bench.heard()[0].contains("probes: 7"), "{:?}", bench.heard());
    life.end(4);
    assert!(bench.heard()[1].starts_with("Behind"), "{:?}", bench.heard());
}

#[test]
fn a_ledger_of_a_later_version_is_left_as_it_is() {
    let bench = Bench::new();
    bench.begin(0, &[]).end(1);
    let conn = rusqlite::Connection::open(bench.path()).unwrap();
    conn.execute_batch("PRAGMA user_version = 99; CREATE TABLE tomorrow (x)").unwrap();
    drop(conn);
    let before = fs::read(bench.path()).unwrap();
    let mut life = bench.begin(10, &["a"]);
    life.watched(10, &["a"]);
    (11..40).for_each(|second| life.turn(second));
    assert_eq!(bench.heard().len(), 1);
    assert!(bench.heard()[0].contains("Newer"), "{:?}", bench.heard());
    assert_eq!(fs::read(bench.path()).unwrap(), before);
    let error = read(&bench.path(), &query(40)).unwrap_err().to_string();
    assert!(
        error.ends_with("is of version 99, and this pingtest knows versions up to 1: it is left as it is"),
        "{error}"
    );
}

#[test]
fn somebody_elses_database_is_left_as_it_is() {
    let bench = Bench::new();
    fs::create_dir(bench.path().parent().unwrap()).unwrap();
    let conn = rusqlite::Connection::open(bench.path()).unwrap();
    conn.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(conn);
    let before = fs::read(bench.path()).unwrap();
    bench.begin(0, &["a"]).end(1);
    assert!(bench.heard()[0].contains("Foreign"), "{:?}", bench.heard());
    assert_eq!(fs::read(bench.path()).unwrap(), before);
}

#[test]
fn what_is_no_database_is_left_as_it_is_and_told_once() {
    for precious in
        ["somebody's notes, longer than the header of a database has to be. ".repeat(100), "short".to_owned()]
    {
        let bench = Bench::new();
        fs::create_dir(bench.path().parent().unwrap()).unwrap();
        fs::write(bench.path(), &precious).unwrap();
        let mut life = bench.begin(0, &["a"]);
        life.watched(0, &["a"]);
        (1..40).for_each(|second| life.turn(second));
        assert_eq!(bench.heard().len(), 1, "{:?}", bench.heard());
        assert!(bench.heard()[0].contains("Foreign"), "{:?}", bench.heard());
        assert_eq!(fs::read_to_string(bench.path()).unwrap(), precious);
        assert!(set_aside(bench.path().parent().unwrap()).is_empty());
    }
}

#[test]
fn a_ledger_of_this_process_is_moved_aside_whatever_it_has_become() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    life.turn(1);
    life.thread.store().unwrap().checkpoint();
    break_from(&bench.path(), 0);
    (2..30).for_each(|second| life.turn(second));
    assert_eq!(set_aside(bench.path().parent().unwrap()).len(), 1, "{:?}", bench.heard());
    assert_eq!(only(&bench.read(30)).watched, [span(3, 29)]);
}

#[test]
fn a_second_process_is_kept_out_and_takes_over_when_the_first_has_gone() {
    let bench = Bench::new();
    let mut first = bench.begin(0, &["a"]);
    first.watched(0, &["a"]);
    first.turn(1);
    let mut second = bench.begin(2, &["a"]);
    second.watched(2, &["a"]);
    assert!(bench.heard()[0].contains("InUse"), "{:?}", bench.heard());
    assert!(second.carried.is_empty());
    second.turn(3);
    first.end(4);
    (5..30).for_each(|at| second.turn(at));
    assert!(bench.heard()[1].contains("Recovered"), "{:?}", bench.heard());
    assert_eq!(bench.heard().len(), 2);
    assert_eq!(only(&bench.read(30)).watched.len(), 2);
}

#[test]
fn the_directory_is_made_and_neither_it_nor_the_file_is_for_everybody() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    bench.begin(0, &[]).end(1);
    for path in [bench.path(), bench.path().parent().unwrap().to_owned()] {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o007, 0, "{}", path.display());
    }
    let deep = bench.dir.path().join("no/such/ledger.db");
    bench.begin_at(&deep, 2, &[]).end(3);
    assert!(bench.heard()[0].contains("Failed"), "{:?}", bench.heard());
}

#[test]
fn no_ledger_is_said_to_be_none() {
    let bench = Bench::new();
    let error = read(&bench.path(), &query(0)).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
}

#[test]
fn it_is_read_while_it_is_written_and_neither_waits() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    life.turn(1);
    let reader = schema::open_to_read(&bench.path()).unwrap();
    let tx = reader.unchecked_transaction().unwrap();
    let count = || tx.query_row("SELECT count(*) FROM outage", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count(), 0);
    for second in 2..100 {
        life.finding(second, "a", What::OutageEnded(outage(second, Some(second))));
        life.turn(second);
    }
    assert_eq!((count(), only(&bench.read(100)).outages.len()), (0, 98));
    life.end(101);
    assert_eq!(count(), 0);
    assert!(bench.heard().is_empty(), "{:?}", bench.heard());
}

/// Who has no rights but everybody's.
fn as_nobody<T: Send>(what: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let nobody = scope.spawn(|| {
            // Of this thread alone, which ends with it.
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65_534)).unwrap();
            what()
        });
        nobody.join().unwrap()
    })
}

#[test]
fn who_may_only_read_reads_it_written_and_at_rest_and_is_told_when_it_was_killed() {
    use std::os::unix::fs::PermissionsExt;
    if !rustix::process::geteuid().is_root() {
        // To be somebody else takes root.
        return;
    }
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let bench = Bench::new();
    fs::create_dir(bench.path().parent().unwrap()).unwrap();
    fs::write(bench.path(), "").unwrap();
    open(bench.dir.path(), 0o755);
    open(bench.path().parent().unwrap(), 0o755);
    open(&bench.path(), 0o644);
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    life.finding(5, "a", What::OutageEnded(outage(2, Some(5))));
    life.turn(6);
    let path = bench.path();
    let outages = || as_nobody(|| read(&path, &query(7)).map(|history| only(&history).outages.len()));
    assert_eq!(outages().unwrap(), 1, "while it is written");
    let copy = life.copy(&bench);
    life.end(8);
    assert!(!beside(&path, "-wal").exists());
    assert_eq!(outages().unwrap(), 1, "at rest");
    open(&copy, 0o644);
    open(&beside(&copy, "-wal"), 0o644);
    let error = as_nobody(|| read(&copy, &query(9))).unwrap_err();
    assert!(matches!(error, Error::Unclosed { .. }), "{error}");
}

#[test]
fn a_name_given_another_host_is_another_target() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    life.queue.record(&reply(1, "a", 1, 500));
    life.finding(2, "a", What::Unwatched);
    let other = label("a", "other");
    life.queue.finding(Finding { target: other, ..finding(2, "a", What::Watched) });
    (3..6).for_each(|second| life.queue.record(&reply(second, "a", second as u64 - 2, 500)));
    life.turn(10);
    let history = bench.read(10);
    let [host, other] = history.targets.as_slice() else { panic!("{history:?}") };
    assert_eq!((host.host.as_str(), host.probes.sent, other.host.as_str(), other.probes.sent), ("host", 1, "other", 3));
}

#[test]
fn what_finds_no_room_in_the_queue_is_counted() {
    let (mut queue, inbox) = queue::new();
    (0..queue::TALLIES as i64 + 5).for_each(|n| queue.record(&reply(n, "a", n as u64 + 1, 500)));
    (0..queue::FINDINGS as i64 + 3).for_each(|n| queue.finding(finding(n, "a", What::Watched)));
    queue.flush();
    assert_eq!(inbox.take().dropped, Dropped { findings: 3, probes: 5 });
    queue.flush();
    queue.record(&reply(0, "a", 1, 500));
    queue.finding(finding(0, "a", What::Watched));
    let batch = inbox.take();
    assert_eq!((batch.items.len(), batch.dropped), (2, Dropped::default()));
}

#[test]
fn an_end_whose_beginning_was_lost_is_an_outage() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    life.finding(9, "a", What::OutageEnded(outage(5, Some(9))));
    life.end(10);
    assert_eq!(only(&bench.read(10)).outages[0].ended, Some(at(9)));
}

#[test]
fn the_thread_writes_all_it_was_given_before_it_ends() {
    let bench = Bench::new();
    let settings = Settings { path: bench.path(), keep_minutes: Duration::from_secs(3600), version: "1.2.3" };
    let notices = Arc::new(std::sync::Mutex::new(Vec::new()));
    let ear = Arc::clone(&notices);
    let notify = move |notice: Notice| ear.lock().unwrap().push(format!("{notice:?}"));
    let mut ledger = Ledger::spawn(settings, &[label("a", "host")], || at(70), || true, notify).unwrap();
    ledger.queue.finding(finding(0, "a", What::Watched));
    (0..1000).for_each(|seq| ledger.queue.record(&reply(seq / 20, "a", seq as u64 + 1, 500)));
    drop(ledger.queue);
    ledger.thread.join().unwrap();
    let probes = rusqlite::Connection::open(bench.path()).unwrap();
    let sent: i64 = probes.query_row("SELECT sum(sent) FROM minute", [], |row| row.get(0)).unwrap();
    assert_eq!((sent, notices.lock().unwrap().len()), (1000, 0));
}

#[test]
fn a_ledger_as_version_one_left_it_is_read_and_goes_on() {
    let bench = Bench::new();
    fs::create_dir(bench.path().parent().unwrap()).unwrap();
    let conn = rusqlite::Connection::open(bench.path()).unwrap();
    conn.execute_batch(include_str!("tests/version-1.sql")).unwrap();
    drop(conn);
    let history = bench.read(100);
    let target = only(&history);
    assert_eq!(
        (target.outages[0].cause.as_str(), target.probes.sent, target.probes.rtt.quantile(0.5)),
        ("not_resolved", 3, Some(63))
    );
    let life = bench.begin(100, &["a"]);
    assert_eq!(life.carried.len(), 1);
    assert_eq!(life.carried[0].outage.as_ref().unwrap().cause, Cause::NotResolved("no such name".into()));
    assert!(bench.heard().is_empty(), "{:?}", bench.heard());
}

#[test]
fn losses_in_a_row_are_one_period_although_some_are_known_at_once() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    // Every fourth by an ICMP error, the others when their timeout is over.
    let verdict = |seq: i64| (if seq % 4 == 0 { seq } else { seq + 2 }, seq);
    let mut verdicts: Vec<(i64, i64)> = (1..=60).map(verdict).collect();
    verdicts.sort_unstable();
    for (second, seq) in verdicts {
        life.queue.record(&lost(second, "a", seq as u64));
    }
    life.end(63);
    let probes = only(&bench.read(63)).probes.clone();
    assert_eq!((probes.lost, probes.loss_periods), (60, 1));
    assert_eq!((probes.loss_distances.count(), probes.loss_distances.quantile(1.0)), (59, Some(1)));
}

#[test]
fn a_clock_that_is_a_year_ahead_for_a_while_costs_no_minute() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    for second in 0..700 {
        life.queue.record(&reply(second, "a", second as u64 + 1, 500));
        life.turn(second);
    }
    (0..30).for_each(|second| life.turn(365 * 86_400 + second));
    (730..740).for_each(|second| life.turn(second));
    assert_eq!(only(&bench.read(740)).probes.sent, 700);
}

#[test]
fn an_outage_whose_losses_were_all_taken_back_was_none() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    life.finding(9, "a", What::OutageEnded(outage(5, Some(9))));
    life.finding(10, "a", What::OutageAmended(Outage { lost: 0, ..outage(5, Some(9)) }));
    life.finding(20, "a", What::OutageBegan(Outage { lost: 0, ..outage(15, None) }));
    life.end(20);
    let began: Vec<Wall> = only(&bench.read(20)).outages.iter().map(|outage| outage.began).collect();
    assert_eq!(began, [at(15)], "one that lasts may have more losses still");
}

fn first_reply() -> What {
    What::FirstReply(FirstReply { seq: 7, after: Duration::from_secs(6), lost: 6, hint: None })
}

#[test]
fn a_target_whose_first_probe_is_answered_was_up_from_the_beginning() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    life.turn(1);
    life.finding(2, "a", What::StateChanged { from: State::Unknown, to: State::Up });
    life.end(9);
    assert!(only(&bench.read(9)).never_up.is_empty());
}

#[test]
fn a_target_is_never_up_until_it_answers_and_not_again_after_a_restart() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a", "dead"]);
    life.watched(0, &["a", "dead"]);
    life.finding(7, "a", What::StateChanged { from: State::Unknown, to: State::Up });
    life.finding(7, "a", first_reply());
    life.finding(9, "a", What::OutageBegan(outage(8, None)));
    life.finding(9, "a", What::StateChanged { from: State::Up, to: State::Down });
    life.turn(10);
    drop(life);
    // The carried state may be the only one for ever.
    let mut life = bench.begin(20, &["a", "dead"]);
    life.watched(20, &["a", "dead"]);
    life.turn(30);
    // Let go and taken up again, it begins anew.
    life.finding(40, "a", What::Unwatched);
    life.finding(50, "a", What::Watched);
    life.end(60);
    let history = bench.read(60);
    assert_eq!(history.targets[0].never_up, [span(0, 7), span(50, 60)]);
    assert_eq!(history.targets[1].never_up, [span(0, 10), span(20, 60)]);
}

#[test]
fn neither_being_behind_nor_a_pause_ends_with_the_process() {
    for (before, last, carried, never_up) in [
        (State::Up, State::Behind, State::Up, vec![]),
        (State::Up, State::Degraded, State::Up, vec![]),
        (State::Up, State::Paused, State::Paused, vec![]),
        (State::Unknown, State::Paused, State::Paused, vec![span(0, 3), span(5, 9)]),
        (State::Unknown, State::Unknown, State::Unknown, vec![span(0, 3), span(5, 9)]),
    ] {
        let bench = Bench::new();
        let mut life = bench.begin(0, &["a"]);
        life.watched(0, &["a"]);
        life.finding(1, "a", What::StateChanged { from: State::Unknown, to: before });
        life.finding(2, "a", What::StateChanged { from: before, to: last });
        life.turn(3);
        drop(life);
        let mut life = bench.begin(5, &["a"]);
        assert_eq!(life.carried.first().map(|known| known.state), Some(carried), "{before} {last}");
        life.watched(5, &["a"]);
        life.end(9);
        assert_eq!(only(&bench.read(9)).never_up, never_up, "{before} {last}");
    }
}

#[test]
fn a_pause_in_an_outage_is_carried_over_with_it() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    life.finding(3, "a", What::OutageBegan(outage(2, None)));
    life.finding(3, "a", What::StateChanged { from: State::Up, to: State::Down });
    life.finding(4, "a", What::StateChanged { from: State::Down, to: State::Paused });
    life.turn(5);
    drop(life);
    let known = bench.begin(6, &["a"]).carried.remove(0);
    assert_eq!((known.state, known.outage), (State::Paused, Some(outage(2, None))));
}

#[test]
fn a_ledger_that_another_process_is_about_to_let_go_of_is_waited_for() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a"]);
    life.watched(0, &["a"]);
    life.finding(9, "a", What::OutageBegan(outage(5, None)));
    life.end(10);
    let lock = super::place::Lock::take(&bench.path()).unwrap();
    let settings = Settings { path: bench.path(), keep_minutes: Duration::from_secs(3600), version: "1.2.3" };
    let (ready, go) = std::sync::mpsc::channel();
    let started = std::thread::spawn(move || {
        ready.send(()).unwrap();
        Ledger::spawn(settings, &[label("a", "host")], || at(12), || true, |_| {}).unwrap().carried
    });
    go.recv().unwrap();
    drop(lock);
    assert_eq!(started.join().unwrap().len(), 1);
}

#[test]
fn what_was_open_in_a_ledger_opened_late_ends_unseen_with_its_process() {
    let bench = Bench::new();
    let mut first = bench.begin(0, &["a"]);
    first.watched(0, &["a"]);
    first.finding(9, "a", What::OutageBegan(outage(5, None)));
    first.turn(10);
    let mut second = bench.begin(12, &["a"]);
    first.turn(14);
    drop(first);
    second.watched(12, &["a"]);
    (15..40).for_each(|at| second.turn(at));
    let history = bench.read(40);
    let [outage] = only(&history).outages.as_slice() else { panic!("{history:?}") };
    assert_eq!((outage.ended, outage.is_abandoned, outage.lasted), (None, true, Duration::from_secs(9)));
}

#[test]
fn nobody_is_told_of_the_future_nor_of_the_time_before_the_first_watch() {
    let bench = Bench::new();
    let mut life = bench.begin(0, &["a", "b"]);
    life.watched(2, &["a"]);
    life.watched(5, &["b"]);
    life.turn(10);
    let asked = |until, target: Option<&str>, now| {
        let target = target.map(str::to_owned);
        let history = read(&bench.path(), &Query { until, target, ..query(now) }).unwrap();
        (history.from, history.until)
    };
    assert_eq!(asked(None, None, 11), (at(2), at(10)));
    assert_eq!(asked(Some(at(999)), Some("b"), 11), (at(5), at(10)));
    assert_eq!(asked(Some(at(999)), None, 100), (at(2), at(100)), "it does not run any more");
    assert_eq!(asked(Some(at(8)), None, 11), (at(2), at(8)));
}

/// Each statement that looks a target up among all there ever was of it, or all there is of others.
#[test]
fn nothing_is_searched_from_end_to_end_for_one_target() {
    let bench = Bench::new();
    bench.begin(0, &["a"]).end(1);
    let conn = rusqlite::Connection::open(bench.path()).unwrap();
    for (sql, index) in [
        ("UPDATE gap INDEXED BY gap_open SET until = 1 WHERE target = 1 AND run = 1 AND until IS NULL", "gap_open"),
        ("SELECT old FROM address WHERE at BETWEEN 1 AND 2 AND address.target IN (1) ORDER BY id", "address_of_target"),
        ("SELECT min(watch.began) FROM watch WHERE watch.run = 1", "watch_of_run"),
        ("UPDATE watch SET state = 'up' WHERE target = 1 AND run = 1 AND until IS NULL", "watch_of_target"),
    ] {
        let plan: String = conn.query_row(&format!("EXPLAIN QUERY PLAN {sql}"), [], |row| row.get(3)).unwrap();
        assert!(plan.starts_with("SEARCH") && plan.contains(index), "{sql}: {plan}");
    }
}
