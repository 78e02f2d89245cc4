//! Outages over restarts: stopped in order and killed, in the middle of an outage, just before one and just after it was told. What
//! lasted is one outage with the time in which nobody measured named; what changed meanwhile has bounds that hold the truth. And the log
//! says for how long nobody measured.
//!
//! The network's script says when it failed whom, its journal which probes reached it; so the truth needs no word of pingtest.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use crate::kept::{Kept, KeptOutage};
use crate::log::nanos;
use crate::shelf;
use crate::stage::{self, Stage, say};
use crate::support::journal::Journal;
use crate::support::line::{self, Line};
use crate::support::program::{self, Program, Rights};
use crate::support::wait::{self, PATIENCE, Stopwatch};

/// A target, and when it is down, in ms from when the network is ready.
struct Target {
    addr: &'static str,
    interval: u64,
    down: Range<u64>,
    /// How many outages of it are to be in the ledger.
    outages: usize,
}

/// Lives of the program: from when to when, in ms as above, and how each ends.
const LIVES: [(u64, u64, End); 8] = [
    (0, 8_000, End::Stop),
    (10_000, 13_000, End::Kill),
    (15_000, 20_000, End::KillOnceTold),
    (21_500, 23_000, End::Kill),
    (23_500, 25_700, End::Kill),
    (26_300, 28_100, End::Kill),
    (28_500, 30_600, End::Kill),
    (31_200, 44_000, End::Stop),
];
const TIMEOUT: u64 = 400;
/// Less than between any two lives.
const SHORTEST_ABSENCE: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Stop,
    Kill,
    /// 50 ms after the outage of [`TOLD`] was.
    KillOnceTold,
}

const LASTS: &str = "10.1.0.1";
const TOLD: &str = "10.1.0.8";
const TARGETS: [Target; 10] = [
    // Over all restarts.
    Target { addr: LASTS, interval: 200, down: 5_000..38_000, outages: 1 },
    Target { addr: "fd00:1::1", interval: 250, down: 6_100..36_500, outages: 1 },
    // Over while stopped, and while killed.
    Target { addr: "10.1.0.2", interval: 200, down: 5_000..9_000, outages: 1 },
    Target { addr: "10.1.0.3", interval: 200, down: 11_000..14_000, outages: 1 },
    // Over before the stop, and no probe left to see it.
    Target { addr: "10.1.0.4", interval: 1_000, down: 3_000..7_700, outages: 1 },
    // Begun while stopped, while killed, and just before with too few losses.
    Target { addr: "10.1.0.6", interval: 200, down: 8_500..12_000, outages: 1 },
    Target { addr: "fd00:1::6", interval: 200, down: 13_500..18_000, outages: 1 },
    Target { addr: "10.1.0.7", interval: 200, down: 12_550..17_000, outages: 1 },
    Target { addr: TOLD, interval: 200, down: 17_000..34_000, outages: 1 },
    // Down and up again with nobody there.
    Target { addr: "10.1.0.9", interval: 200, down: 8_400..9_500, outages: 0 },
];
/// These fail for a second in every two, so that there is always something to be written.
const FLAPPING: Range<u8> = 1..21;
const FLAP: u64 = 2_000;

#[test]
fn an_outage_over_restarts_and_kills_is_one_with_bounds_that_hold_the_truth() {
    let _turn = stage::alone();
    let Some(network) = Stage::new(&script()) else { return };
    let home = Home::new();
    let watch = Stopwatch::start();
    let until = |ms: u64| wait::pause(Duration::from_millis(ms).saturating_sub(watch.elapsed()));
    let (mut to_be_kept, mut absent_from) = (Vec::new(), Vec::new());
    for (from, to, end) in LIVES {
        until(from);
        let started = wait::wall_nanos();
        let program = home.start(&network);
        if end == End::KillOnceTold {
            home.await_told(TOLD);
            wait::pause(Duration::from_millis(50));
        } else {
            until(to);
        }
        absent_from.push(wait::wall_nanos());
        match end {
            End::Stop => drop(shelf::stop(program)),
            End::Kill | End::KillOnceTold => {
                to_be_kept.extend(home.to_be_kept(started, shelf::kill(program)));
                assert_kept(&Kept::read(&home.ledger()), &to_be_kept);
            }
        }
    }
    let (kept, journal) = (Kept::read(&home.ledger()), network.end());
    assert_kept(&kept, &to_be_kept);
    let mut proof = Proof { journal: &journal, kept: &kept, errors: Vec::new(), story: String::new() };
    TARGETS.iter().for_each(|target| proof.add_target(target));
    proof.add_unmeasured(LASTS, &absent_from);
    for target in TARGETS.iter().filter(|target| Duration::from_millis(target.interval) < SHORTEST_ABSENCE) {
        proof.add_absences(target, &home.lines("\"outcome\":\"not_measured\""), &absent_from);
    }
    FLAPPING.for_each(|host| proof.add_flapping(&flapping(host)));
    say(&format!(
        "{} lives; told 1.5 s before a kill or earlier, and kept: {}\n{}",
        LIVES.len(),
        to_be_kept.len(),
        proof.story
    ));
    assert!(proof.errors.is_empty(), "{} errors:\n{}", proof.errors.len(), proof.errors.join("\n"));
    assert!(to_be_kept.len() >= 100, "{} are too few", to_be_kept.len());
}

fn flapping(host: u8) -> String {
    format!("10.2.0.{host}")
}

fn script() -> String {
    let mut script = "seed = 5\n".to_owned();
    for Target { addr, down: Range { start, end }, .. } in &TARGETS {
        let _ = writeln!(script, "[[net]]\nprefix = \"{addr}\"\ndelay = \"5ms\"");
        let _ = writeln!(script, "[[net.change]]\nat = \"{start}ms\"\nfor = \"{}ms\"\ndown = true", end - start);
    }
    script
        + &format!(
            "[[net]]\nprefix = \"10.2.0.0/24\"\ndelay = \"5ms\"\n[[net.change]]\nevery = \"{FLAP}ms\"\nfor = \"1s\"\ndown = true\n"
        )
}

/// What outlives the program: its log and its ledger.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(program::directory())
    }

    fn ledger(&self) -> PathBuf {
        self.0.path().join("ledger.db")
    }

    fn start(&self, network: &Stage) -> Program {
        let dir = program::directory();
        std::fs::write(dir.path().join("pingtest.toml"), self.config()).expect("the directory is ours");
        Program::start_in(dir, &network.namespace, Rights::Root, &["run", "--config", "pingtest.toml"])
    }

    fn config(&self) -> String {
        let log = "layout = \"combined\"\nformat = \"json\"\nrotate = \"never\"\nmax_size = 0\nmax_total = 0";
        let (dir, ledger) = (self.0.path().join("log"), self.ledger());
        let mut config =
            format!("[log]\ndir = {dir:?}\n{log}\n[ledger]\npath = {ledger:?}\n[control]\nsocket = \"off\"\n");
        let _ = writeln!(config, "[defaults]\ntimeout = \"{TIMEOUT}ms\"");
        for Target { addr, interval, .. } in &TARGETS {
            let _ = writeln!(config, "[[target]]\nhost = \"{addr}\"\ninterval = \"{interval}ms\"");
        }
        for host in FLAPPING {
            let _ = writeln!(
                config,
                "[[target]]\nhost = \"{}\"\ninterval = \"100ms\"\ntimeout = \"200ms\"",
                flapping(host)
            );
        }
        config
    }

    /// The lines so far in which `wanted` stands.
    fn lines(&self, wanted: &str) -> Vec<Line> {
        let text = std::fs::read(self.0.path().join("log/pingtest.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().filter(|line| line.contains(wanted)).map(line::parse_one).collect()
    }

    /// What is told of outages so far.
    fn outages(&self) -> Vec<Line> {
        self.lines("\"outcome\":\"outage_")
    }

    fn await_told(&self, target: &str) {
        let told = || self.outages().iter().any(|line| line.is(target, "outage_began")).then_some(());
        wait::until(PATIENCE, told).expect("the outage is told");
    }

    /// What a life that was killed told long enough before that, which is to be kept.
    fn to_be_kept(&self, started: u64, killed: u64) -> Vec<Line> {
        /// A second is what a kill may cost; the rest is for a machine that gave the program no processor.
        const LAST: u64 = 1_500_000_000;
        let is_old = |line: &Line| (started..killed - LAST).contains(&nanos(&line.ts));
        self.outages().into_iter().filter(is_old).collect()
    }
}

/// All that these lines tell is in the ledger.
fn assert_kept(kept: &Kept, lines: &[Line]) {
    for line in lines {
        let began = nanos(line.sent.as_ref().expect("it says since when"));
        // Lines have microseconds.
        let found = kept.of(&line.target).iter().find(|outage| outage.began.abs_diff(began) < 1_000);
        let found = found.unwrap_or_else(|| panic!("told and not kept: {line:?}\n{:?}", kept.of(&line.target)));
        assert!(line.outcome == "outage_began" || !found.open, "told as over and kept as open: {line:?}\n{found:?}");
    }
}

/// What is kept in the end against what was.
struct Proof<'a> {
    journal: &'a Journal,
    kept: &'a Kept,
    errors: Vec<String>,
    story: String,
}

impl Proof<'_> {
    fn instant(&self, ms: u64) -> u64 {
        self.journal.ready + ms * 1_000_000
    }

    /// In ms from when the network was ready.
    fn ms(&self, instant: u64) -> i64 {
        (instant as i64 - self.journal.ready as i64) / 1_000_000
    }

    fn add_target(&mut self, target: &Target) {
        let outages = self.kept.of(target.addr);
        if outages.len() != target.outages {
            self.errors.push(format!("{}: {} outages kept, not {}", target.addr, outages.len(), target.outages));
        }
        for outage in outages {
            let (shown, lost) = (self.show(outage), self.lost(target.addr, outage));
            let _ = writeln!(self.story, "{} down {:?}: {shown}; {lost} unanswered in it", target.addr, target.down);
            if let Some(ended) = outage.ended
                && outage.lasted.abs_diff(Duration::from_nanos(ended - outage.began)) > Duration::from_millis(20)
            {
                self.errors.push(format!("{}: lasted {:?}: {shown}", target.addr, outage.lasted));
            }
            // What a stop finds in flight, and what a kill takes along, is in nobody's count.
            if outage.lost > lost {
                self.errors.push(format!("{}: {lost} probes were unanswered, not {}", target.addr, outage.lost));
            }
            if !self.holds_begin(outage, target.down.start) || !self.holds_end(outage, target.down.end) {
                self.errors.push(format!("{} was down {:?}, which is not within {shown}", target.addr, target.down));
            }
        }
    }

    /// Probes that nobody answered from its beginning to its end.
    fn lost(&self, target: &str, outage: &KeptOutage) -> u64 {
        let requests = &self.journal.hosts[&target.parse().expect("an address")];
        let time = outage.began..outage.ended.unwrap_or(u64::MAX);
        requests.iter().filter(|request| time.contains(&request.at) && request.answers.is_empty()).count() as u64
    }

    fn add_flapping(&mut self, target: &str) {
        let outages = self.kept.of(target);
        let last = outages.iter().filter_map(|outage| outage.ended).max().unwrap_or(0);
        let mut untrue = Vec::new();
        for outage in outages.iter().filter(|outage| !outage.open || outage.began > last) {
            // The k-th fails from k times two seconds on.
            let downs = || (1..LIVES[LIVES.len() - 1].1 / FLAP + 1).map(|k| k * FLAP);
            let begins = downs().any(|down| self.holds_begin(outage, down));
            let ends = outage.open || downs().any(|down| self.holds_end(outage, down + FLAP / 2));
            if !begins || !ends || outage.abandoned {
                untrue.push(self.show(outage));
            }
        }
        let distinct: BTreeMap<u64, &KeptOutage> = outages.iter().map(|outage| (outage.began, outage)).collect();
        if distinct.len() != outages.len() {
            self.errors.push(format!("{target}: kept twice"));
        }
        self.errors.extend(untrue.iter().map(|shown| format!("{target} (2 k s to 2 k + 1 s): {shown}")));
    }

    fn holds_begin(&self, outage: &KeptOutage, from: u64) -> bool {
        /// A probe may be on its way while the network changes.
        const ON_THE_WAY: u64 = 20_000_000;
        let from = self.instant(from);
        outage.began_earliest.is_some_and(|earliest| earliest <= from) && from <= outage.began + ON_THE_WAY
    }

    fn holds_end(&self, outage: &KeptOutage, to: u64) -> bool {
        let to = self.instant(to);
        outage.ended_earliest.is_some_and(|earliest| earliest <= to) && outage.ended.is_some_and(|ended| to <= ended)
    }

    /// What nobody measured is the time between the probes that reached the network before and after each absence, give or take one;
    /// and what a kill takes of the time before it.
    fn add_unmeasured(&mut self, target: &str, absent_from: &[u64]) {
        const KILL: Duration = Duration::from_millis(1_200);
        let requests = &self.journal.hosts[&target.parse().expect("an address")];
        let mut absent = Duration::ZERO;
        for left in &absent_from[..absent_from.len() - 1] {
            let next = requests.partition_point(|request| request.at <= *left);
            absent += Duration::from_nanos(requests[next].at - left);
        }
        let kills = LIVES.iter().filter(|(.., end)| *end != End::Stop).count() as u32;
        let said: Duration = self.kept.of(target).iter().map(|outage| outage.unmeasured).sum();
        let _ = writeln!(
            self.story,
            "{target}: nobody there for {absent:.2?}, by {kills} kills; not measured by the ledger: {said:.2?}"
        );
        if said + Duration::from_millis(500) < absent || said > absent + KILL * kills {
            self.errors.push(format!("{target}: {said:?} not measured, and nobody was there for {absent:?}"));
        }
    }

    /// One line for each absence, which says how long that was until the line: to the rounding of its words where the life before was
    /// stopped, else at least so long and no longer than a kill may cost. The slots in it are counted by that.
    fn add_absences(&mut self, target: &Target, lines: &[Line], absent_from: &[u64]) {
        /// A second is what a kill may cost; the rest is for a machine that gave the program no processor.
        const KILL: Duration = Duration::from_millis(1_500);
        const ROUNDED: Duration = Duration::from_millis(50);
        let told: Vec<_> = lines.iter().filter(|line| line.target == target.addr && line.is_absence()).collect();
        if told.len() != LIVES.len() - 1 {
            self.errors.push(format!("{}: {} absences told of: {told:?}", target.addr, told.len()));
            return;
        }
        for ((line, left), (.., end)) in told.into_iter().zip(absent_from).zip(&LIVES) {
            let absent = Duration::from_nanos(nanos(&line.ts) - left);
            let said = span(line.error());
            // A stop takes its time, and is told of when it is over.
            let (prefix, least, most) = match end {
                End::Stop => ("pingtest did not run for ", absent.saturating_sub(KILL), absent),
                End::Kill | End::KillOnceTold => ("pingtest did not run for up to ", absent, absent + KILL),
            };
            let slots = (said.as_secs_f64() * 1000.0 / target.interval as f64).floor() as u64;
            let holds = least <= said + ROUNDED && said <= most + ROUNDED && line.error().starts_with(prefix);
            if !holds || line.count.is_none_or(|count| count.abs_diff(slots) > 1) {
                self.errors.push(format!("{}: {absent:?} after {end:?}: {line:?}", target.addr));
            }
            if target.addr == LASTS {
                let _ = writeln!(
                    self.story,
                    "{LASTS}: {absent:.2?} after {end:?}: {} in {}",
                    line.count.unwrap_or(0),
                    line.error()
                );
            }
        }
    }

    fn show(&self, outage: &KeptOutage) -> String {
        let KeptOutage {
            began, began_earliest, ended, ended_earliest, unmeasured, cause, lost, open, abandoned, ..
        } = outage;
        let [began_earliest, ended, ended_earliest] =
            [began_earliest, ended, ended_earliest].map(|at| at.map(|at| self.ms(at)));
        let began = self.ms(*began);
        format!(
            "{began_earliest:?}..{began} to {ended_earliest:?}..{ended:?} ms, {unmeasured:.2?} not measured, {cause}, {lost} lost{}{}",
            if *open { ", open" } else { "" },
            if *abandoned { ", abandoned" } else { "" }
        )
    }
}

/// The time at the end of these words: `600 ms`, `1.5 s`.
fn span(words: &str) -> Duration {
    let mut words = words.rsplit(' ');
    let (unit, number) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let number: f64 = number.parse().expect("words end in a time");
    Duration::from_secs_f64(if unit == "ms" { number / 1000.0 } else { number })
}
