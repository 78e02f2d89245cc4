//! A thousand kills under ten thousand lines a second, at random moments: what was readable stays, whole and once, and what the
//! network answered is there but for the last moment.
//!
//! A life of the program is held against what could be read just before its end, and against the journal of the network, which lives
//! on. `PINGTEST_KILLS` makes it another number of kills.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::log::nanos;
use crate::shelf::{self, Shelf, State};
use crate::stage::{self, Stage, say};
use crate::support::journal::{Journal, Kind, Request};
use crate::support::line::{self, Line};
use crate::support::program;
use crate::support::wait::{self, PATIENCE, Stopwatch};
use crate::weather::{FAIR, Weather};

const KILLS: usize = 1000;
/// The journal of so many lives is read at once.
const KILLS_OF_A_ROUND: usize = 50;
/// After so many kills what is packed is taken away: until then names are met again and every line is looked for again.
const CLEAR_EVERY: usize = 5;

/// Milliseconds from the start to the kill: amid the start, or up to half a second after the first line.
const LIFE: Range<u64> = 5..500;

/// No reply older than this may be missing when it is killed, ns. Ten milliseconds are the aim; the rest is for a machine that gave the
/// program no processor.
const MISSING: u64 = 100_000_000;

/// How the lines are kept; each is the turn of a round. They rotate two to seventy files a second. Several times as many would be
/// too much for a thread that syncs each of them and goes behind all else.
const SHAPES: [(&str, u16, &str); 4] = [
    ("combined, zstd, 256 KiB", 1000, "layout = \"combined\"\nmax_size = \"256KiB\"\ncompress = \"zstd\""),
    ("per target, zstd, 32 KiB", 100, "layout = \"per-target\"\nmax_size = \"32KiB\"\ncompress = \"zstd\""),
    ("combined, gzip, 1 MiB", 1000, "layout = \"combined\"\nmax_size = \"1MiB\"\ncompress = \"gzip\""),
    ("per target, zstd, 64 KiB, synced", 100, "max_size = \"64KiB\"\ncompress = \"zstd\"\nsync = \"100ms\""),
];

#[test]
fn a_thousand_kills_lose_tear_and_double_no_line_that_was_readable() {
    let _turn = stage::alone();
    let kills = std::env::var("PINGTEST_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"));
    let (mut chance, mut sums) = (Xoshiro256PlusPlus::seed_from_u64(4), BTreeMap::<_, Sum>::new());
    let watch = Stopwatch::start();
    for (round, first) in (0..kills).step_by(KILLS_OF_A_ROUND).enumerate() {
        let (name, targets, keys) = SHAPES[round % SHAPES.len()];
        let interval = if targets == 1000 { "100ms" } else { "10ms" };
        let weather = Weather { kinds: FAIR, targets_of_each: targets, interval };
        let Some(network) = Stage::new(&weather.script()) else { return };
        let lives =
            Round::new(&network, keys, &weather.config()).play(KILLS_OF_A_ROUND.min(kills - first), &mut chance);
        sums.entry(name).or_default().add(&lives, &network.end());
    }
    let figures: String = sums.iter_mut().map(|(name, sum)| format!("\n{name}: {}", sum.sorted())).collect();
    say(&format!("{kills} kills in {:.0?}{figures}", watch.elapsed()));
    let lines: usize = sums.values().map(|sum| sum.lines).sum();
    assert!(lines >= kills * 500, "{lines} lines are too few");
}

/// From a start of the program to its end, or to the order to stop, ns of the wall clock.
struct Life {
    started: u64,
    killed: u64,
    /// When nothing was left of it.
    ended: u64,
    lines: Vec<Line>,
    /// Live files whose last line was torn.
    torn: usize,
    /// Rotated files that were there packed as well.
    pairs: usize,
}

/// Lives of the program with the same directory.
struct Round<'a> {
    network: &'a Stage,
    keys: String,
    config: &'a str,
    shelf: Shelf,
    /// Lines that are to be there.
    expected: BTreeSet<String>,
    dir: tempfile::TempDir,
}

impl<'a> Round<'a> {
    fn new(network: &'a Stage, keys: &str, config: &'a str) -> Self {
        let dir = program::directory();
        let shelf = Shelf::new(&dir.path().join("logs"));
        let keys = format!("{keys}\nrotate = \"hourly\"\nkeep = 0");
        Self { network, keys, config, shelf, expected: BTreeSet::new(), dir }
    }

    /// So many lives that are ended by force, and one that is not.
    fn play(mut self, kills: usize, chance: &mut Xoshiro256PlusPlus) -> Vec<Life> {
        let mut lives = Vec::new();
        for kill in 1..=kills {
            let time = Duration::from_millis(chance.random_range(LIFE));
            lives.push(self.live(|shelf, program| {
                wait::pause(time);
                let readable = shelf.readable();
                (shelf::kill(program), readable)
            }));
            if kill % CLEAR_EVERY == 1 {
                self.shelf.clear();
                self.expected = self.shelf.found().lines.into_iter().collect();
            }
        }
        // What lives before have left half-way, this one brings to an end; what it is at itself, it may leave.
        let left = |shelf: &Shelf| [shelf.names(State::Rotated), shelf.parts()].concat();
        let before = left(&self.shelf);
        let last = self.live(|shelf, program| {
            await_gone(shelf, &before, "packed or cleared up", left);
            let one_too_many = || shelf::by_name(&past(shelf)).values().any(|files| files.len() > 1);
            wait::until(PATIENCE, || one_too_many().then_some(())).expect("files are rotated");
            let (at, readable) = (wait::wall_nanos(), shelf.readable());
            shelf::stop(program);
            (at, readable)
        });
        assert_eq!(last.torn, 0, "a stop leaves whole lines");
        self.assert_all_are_known();
        lives.push(last);
        lives
    }

    /// Whatever was rotated, by whichever life, is deleted when it is one too many.
    fn assert_all_are_known(&self) {
        let before = past(&self.shelf);
        let old = shelf::by_name(&before).into_values().flat_map(|files| files[..files.len() - 1].to_vec());
        let old: Vec<_> = old.cloned().collect();
        assert!(!old.is_empty(), "{before:?}");
        let keys = self.keys.replace("keep = 0", "keep = 1");
        let program = self.shelf.start(&self.network.namespace, &keys, self.config);
        await_gone(&self.shelf, &old, "deleted", past);
        shelf::stop(program);
    }

    /// One life. `end` ends it, and tells when and what could be read just before.
    fn live(&mut self, end: impl FnOnce(&Shelf, program::Program) -> (u64, BTreeSet<String>)) -> Life {
        let started = wait::wall_nanos();
        let program = self.shelf.start(&self.network.namespace, &self.keys, self.config);
        let (killed, readable) = end(&self.shelf, program);
        let ended = wait::wall_nanos();
        let found = self.shelf.found();
        let there: BTreeSet<String> = found.lines.iter().cloned().collect();
        assert_eq!(there.len(), found.lines.len(), "lines are there twice: {:?}", doubled(&found.lines));
        for (what, lines) in [("readable before the kill", &readable), ("there before the start", &self.expected)] {
            let lost: Vec<_> = lines.difference(&there).collect();
            assert!(lost.is_empty(), "{} lines that were {what} are lost, such as {}", lost.len(), lost[0]);
        }
        let fresh = found.lines.iter().filter(|line| !self.expected.contains(*line));
        let lines = fresh.map(|line| line::parse_one(line)).collect();
        self.expected = there;
        Life { started, killed, ended, lines, torn: found.torn.len(), pairs: found.pairs }
    }
}

/// Whoever has to find out what went wrong finds the files.
impl Drop for Round<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
            say(&format!("left for a look: {}", self.dir.path().display()));
        }
    }
}

/// What was rotated, packed or not, by names without endings.
fn past(shelf: &Shelf) -> Vec<String> {
    let names = [shelf.names(State::Rotated), shelf.names(State::Packed)].concat();
    let stems: BTreeSet<_> = names.iter().map(|name| shelf::stem(name).to_owned()).collect();
    stems.into_iter().collect()
}

fn await_gone(shelf: &Shelf, files: &[String], what: &str, there: impl Fn(&Shelf) -> Vec<String>) {
    let left = |there: &[String]| files.iter().filter(|file| there.contains(file)).cloned().collect::<Vec<_>>();
    let gone = wait::until(PATIENCE, || left(&there(shelf)).is_empty().then_some(()));
    gone.unwrap_or_else(|| panic!("not {what}: {:?}", left(&there(shelf))));
}

fn doubled(lines: &[String]) -> Vec<&String> {
    let mut seen = BTreeSet::new();
    lines.iter().filter(|line| !seen.insert(*line)).take(3).collect()
}

/// What came of the lives that were kept in one way.
#[derive(Default)]
struct Sum {
    lives: usize,
    lines: usize,
    torn: usize,
    pairs: usize,
    replies: usize,
    missing: usize,
    /// Of each life, the age at the kill of the oldest reply that has no line; 0 where none is missing.
    oldest: Vec<u64>,
}

impl Sum {
    /// Holds the lives of a round against the journal.
    fn add(&mut self, lives: &[Life], journal: &Journal) {
        let requests = by_life(lives, journal);
        for (life, requests) in lives.iter().zip(&requests) {
            let told = told(life, requests);
            self.lives += 1;
            self.lines += life.lines.len();
            self.torn += life.torn;
            self.pairs += life.pairs;
            let replies: Vec<_> =
                requests.iter().filter_map(|(key, request)| Some((key, answered(request)?))).collect();
            self.replies += replies.iter().filter(|(_, at)| *at <= life.killed).count();
            let missing: Vec<_> =
                replies.into_iter().filter(|(key, at)| *at <= life.killed && !told.contains(*key)).collect();
            self.missing += missing.len();
            let (oldest, example) = missing.iter().map(|(key, at)| (life.killed - at, *key)).max().unzip();
            let oldest = oldest.unwrap_or(0);
            assert!(oldest <= MISSING, "{example:?} was answered {oldest} ns before the kill and has no line");
            self.oldest.push(oldest);
        }
    }

    fn sorted(&mut self) -> &Self {
        self.oldest.sort_unstable();
        self
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lives, lines, torn, pairs, replies, missing, oldest } = self;
        write!(f, "{lives} lives, {lines} lines; left torn {torn}, there packed as well {pairs}; ")?;
        write!(f, "{missing} of {replies} replies missing, the oldest of each life by ms before the kill:")?;
        for (name, share) in [("median", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
            let index = ((oldest.len() - 1) as f64 * share).round() as usize;
            write!(f, " {name} {:.1}", oldest[index] as f64 / 1e6)?;
        }
        Ok(())
    }
}

/// A probe of one life: no life is so long that numbers recur on the wire.
type Key = (IpAddr, u16);

/// The requests of each life.
fn by_life<'a>(lives: &[Life], journal: &'a Journal) -> Vec<BTreeMap<Key, &'a Request>> {
    let mut requests = vec![BTreeMap::new(); lives.len()];
    for (addr, request) in journal.requests() {
        let life = lives.partition_point(|life| life.started <= request.at) - 1;
        // What comes after the last life is not asked about.
        if request.at <= lives[life].ended {
            let known = requests[life].insert((addr, request.sequence), request);
            assert!(known.is_none(), "{addr} was sent number {} twice", request.sequence);
        }
    }
    requests
}

/// When the network replied.
fn answered(request: &Request) -> Option<u64> {
    request.answers.iter().find(|answer| answer.kind == Kind::Reply).map(|answer| answer.at)
}

/// The probes that a life's lines tell of. Each does so once, and what is told of a reply was so.
fn told(life: &Life, requests: &BTreeMap<Key, &Request>) -> BTreeSet<Key> {
    /// The network reads the clock after a request has left, the program before it or by the kernel's stamp.
    const BEFORE: u64 = 1_000_000;
    let mut told = BTreeSet::new();
    // A stop is told of once for all probes that are under way, whatever is between them.
    for line in life.lines.iter().filter(|line| line.error() != "stopped") {
        let addr: IpAddr = line.target.parse().unwrap_or_else(|_| panic!("of no target: {line:?}"));
        for seq in line.seqs() {
            let key = (addr, (seq % 0x1_0000) as u16);
            assert!(told.insert(key), "{addr} number {seq} is told of twice");
            if line.outcome == "reply" {
                let request =
                    requests.get(&key).unwrap_or_else(|| panic!("no such probe reached the network: {line:?}"));
                let sent = nanos(line.sent.as_ref().expect("it was sent"));
                let at = answered(request).unwrap_or_else(|| panic!("nobody answered: {line:?}"));
                assert!(sent <= request.at + BEFORE && sent >= life.started, "{line:?} is told of {request:?}");
                assert!(at <= nanos(&line.ts) + BEFORE, "{line:?} is told of {request:?}");
            }
        }
        assert!(["reply", "not_measured"].contains(&line.outcome.as_str()), "the network lost nothing: {line:?}");
    }
    told
}
