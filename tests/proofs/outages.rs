//! A thousand outages at known instants, in both families, silent and explained: each is told once, none is made up, and its bounds are
//! known to an interval.
//!
//! There are two truths. What the network did to each probe, its journal tells: a run of three unanswered ones or more is an outage,
//! whoever made it. When the network failed and worked again, its script tells: of those instants an outage's bounds are one interval
//! away at most, and what it takes to get there and back. Single losses, late replies and duplicates between the outages are none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::downtime::{Down, Fault, Place, Plan};
use crate::findings::{self, Told};
use crate::kept::{Kept, KeptOutage};
use crate::stage::{self, Stage, say};
use crate::support::journal::{Kind, Request};
use crate::support::line::{self, Line};
use crate::support::program::{self, Program, Rights};
use crate::support::wait;

const TARGETS: u16 = 100;
const TIME: Duration = Duration::from_secs(75);
/// Behind the last outage: everything is judged by then.
const AFTER: Duration = Duration::from_secs(5);
/// As many as issue 5 asks for.
const OUTAGES: usize = 1000;
/// So many losses in a row are an outage where nobody says otherwise.
const DOWN_AFTER: usize = 3;
/// What the bounds may be off by beyond an interval: a reply's way, and a busy machine.
const SLACK: Duration = Duration::from_millis(50);
/// What of it is the machine's.
const MACHINE: Duration = Duration::from_millis(20);

#[test]
fn a_thousand_outages_are_told_once_each_with_bounds_of_an_interval() {
    let _turn = stage::alone();
    let plan = Plan::new(TARGETS, TIME);
    assert!(plan.downs() >= OUTAGES, "{} outages are too few", plan.downs());
    let Some(network) = Stage::new(&plan.script()) else { return };
    let dir = program::directory();
    program::write_config(dir.path(), &format!("[ledger]\npath = \"ledger.db\"\n{}", plan.config()));
    let pingtest = Program::start_in(dir, &network.namespace, Rights::Root, &["run", "--config", "pingtest.toml"]);
    wait::pause(TIME + AFTER);
    pingtest.signal(nix::sys::signal::Signal::SIGTERM);
    let ((lines, kept), journal) = (stopped(pingtest), network.end());
    let told = findings::of_lines(&lines);
    let unmeasured = unmeasured(&lines);
    let mut proof = Proof { plan: plan.downs(), ..Proof::default() };
    for place in &plan.0 {
        let name = place.addr.to_string();
        let requests = journal.hosts.get(&place.addr).map_or(&[][..], Vec::as_slice);
        let told = told.get(&name).map_or(&[][..], Vec::as_slice);
        let empty = BTreeSet::new();
        let truth =
            Truth { place, requests, ready: journal.ready, unmeasured: unmeasured.get(&name).unwrap_or(&empty) };
        proof.add(&truth, told, kept.of(&name));
    }
    proof.count(&lines);
    say(&proof.to_string());
    proof.assert();
}

/// What it has told and kept.
fn stopped(mut pingtest: Program) -> (Vec<Line>, Kept) {
    let ended = pingtest.ended(wait::PATIENCE);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    (line::parse(&pingtest.text("log/pingtest.log")), Kept::read(&pingtest.dir().join("ledger.db")))
}

/// The probes of each target that the program says it could not measure.
fn unmeasured(lines: &[Line]) -> BTreeMap<String, BTreeSet<u64>> {
    let mut seqs = BTreeMap::<_, BTreeSet<u64>>::new();
    for line in lines.iter().filter(|line| line.outcome == "not_measured" && line.error() != "stopped") {
        seqs.entry(line.target.clone()).or_default().extend(line.seqs());
    }
    seqs
}

/// What happened to a target.
struct Truth<'a> {
    place: &'a Place,
    requests: &'a [Request],
    /// From when the plan counts, ns.
    ready: u64,
    unmeasured: &'a BTreeSet<u64>,
}

/// Unanswered probes in a row, enough for an outage.
#[derive(Debug)]
struct Run<'a> {
    lost: &'a [Request],
    /// The answered one behind them.
    next: &'a Request,
    /// The plan's outage in which they were lost; `None` where that was the weather.
    down: Option<&'a Down>,
}

impl<'a> Truth<'a> {
    fn runs(&self) -> Vec<Run<'a>> {
        let mut runs = Vec::new();
        let mut first = 0;
        for (index, next) in self.requests.iter().enumerate().filter(|(_, request)| answered(request).is_some()) {
            let lost = &self.requests[first..index];
            if lost.len() >= DOWN_AFTER {
                runs.push(Run { lost, next, down: self.down(lost) });
            }
            first = index + 1;
        }
        runs
    }

    /// The plan's outage that holds these losses.
    fn down(&self, lost: &[Request]) -> Option<&'a Down> {
        let holds = |down: &&Down| {
            let time = self.instant(down.time.start)..self.instant(down.time.end);
            lost.iter().all(|request| time.contains(&request.at))
        };
        self.place.downs.iter().find(holds)
    }

    fn instant(&self, after: Duration) -> u64 {
        self.ready + u64::try_from(after.as_nanos()).expect("minutes")
    }

    /// Whether the program says that it did not measure at the edges of this run, or in it: then it cannot tell better.
    fn is_doubtful(&self, told: &Told) -> bool {
        let end = told.end.map_or(told.seq, |end| end.seq);
        self.unmeasured.range(told.seq.saturating_sub(1)..=end + 1).next().is_some()
    }
}

/// When the reply was sent.
fn answered(request: &Request) -> Option<u64> {
    request.answers.iter().find(|answer| answer.kind == Kind::Reply).map(|answer| answer.at)
}

/// What was told against what was.
#[derive(Debug, Default)]
struct Proof {
    /// Outages of the plan, and those of them that the journal shows.
    plan: usize,
    seen: usize,
    /// Those whose bounds in the ledger hold the truth.
    held: usize,
    /// Outages that the weather made.
    by_weather: usize,
    /// Outages at whose edges the program could not measure, by its own word.
    doubtful: usize,
    silent: Bounds,
    explained: Bounds,
    /// The longest that the first lost probe of an outage took to the network, ns.
    slowest_probe: u64,
    /// What is no outage: losses outside of any, late replies, duplicates.
    single_losses: usize,
    late: usize,
    duplicates: usize,
    errors: Vec<String>,
}

/// How far the bounds are from the truth.
#[derive(Debug, Default)]
struct Bounds {
    began: Errors,
    ended: Errors,
}

/// Distances of what was told from what was.
#[derive(Debug, Default)]
struct Errors {
    /// As shares of the interval.
    shares: Vec<f64>,
    /// Beyond an interval, in ms; below 0 within it.
    beyond_ms: Vec<f64>,
    /// The same beyond an interval and a reply's way.
    beyond_way_ms: Vec<f64>,
}

impl Proof {
    fn add(&mut self, truth: &Truth<'_>, told: &[Told], kept: &[KeptOutage]) {
        let runs = truth.runs();
        let unanswered = truth.requests.iter().filter(|request| answered(request).is_none()).count();
        self.single_losses += unanswered - runs.iter().map(|run| run.lost.len()).sum::<usize>();
        if runs.len() != told.len() || told.len() != kept.len() {
            let (was, told, kept) = (runs.len(), told.len(), kept.len());
            self.errors.push(format!("{}: {was} outages, {told} told, {kept} kept", truth.place.addr));
        }
        for (told, kept) in told.iter().zip(kept).filter(|(told, kept)| !is_same(told, kept)) {
            self.errors.push(format!("{}: told and kept otherwise: {told:?}, {kept:?}", truth.place.addr));
        }
        let by_seq: BTreeMap<u16, &Told> = told.iter().map(|told| (wire(told.seq), told)).collect();
        for run in &runs {
            match by_seq.get(&run.lost[0].sequence) {
                Some(told) => {
                    self.add_outage(truth, run, told);
                    self.add_kept(truth, run, told, kept);
                }
                None => self.errors.push(format!("{}: not told, or not so: {run:?}, {told:?}", truth.place.addr)),
            }
        }
    }

    fn add_outage(&mut self, truth: &Truth<'_>, run: &Run<'_>, told: &Told) {
        if truth.is_doubtful(told) {
            self.doubtful += 1;
            return;
        }
        if let Err(error) = held_against_probes(run, told) {
            self.errors.push(format!("{}: {error}: {told:?}, {run:?}", truth.place.addr));
        }
        self.slowest_probe = self.slowest_probe.max(run.lost[0].at.saturating_sub(told.began));
        let Some((down, end)) = run.down.zip(told.end) else {
            self.by_weather += 1;
            return;
        };
        self.seen += 1;
        let bounds = match down.fault {
            Fault::Silence => &mut self.silent,
            Fault::Unreachable => &mut self.explained,
        };
        // The network may change while a probe is on its way.
        let on_the_way = Duration::from_nanos(run.lost[0].at.saturating_sub(told.began));
        let (from, to) = (truth.instant(down.time.start), truth.instant(down.time.end));
        let began = bounds.began.add(told.began, from, truth.place.interval, [on_the_way, Duration::ZERO]);
        let ended = bounds.ended.add(end.at, to, truth.place.interval, [Duration::ZERO, truth.place.delay.end]);
        for (what, error) in [("began", began), ("ended", ended), ("cause", cause(truth.place, down, told))] {
            self.errors
                .extend(error.err().map(|error| format!("{} {what} {error}: {told:?}, {run:?}", truth.place.addr)));
        }
    }

    /// The truth lies between the bounds that the ledger has.
    fn add_kept(&mut self, truth: &Truth<'_>, run: &Run<'_>, told: &Told, kept: &[KeptOutage]) {
        let Some(down) = run.down else { return };
        let (from, to) = (truth.instant(down.time.start), truth.instant(down.time.end));
        let on_the_way = run.lost[0].at.saturating_sub(told.began);
        let Some(kept) = kept.iter().find(|kept| is_same(told, kept)) else { return };
        let begins = kept.began_earliest.is_some_and(|earliest| earliest <= from) && from <= kept.began + on_the_way;
        let ends = kept.ended_earliest.is_some_and(|earliest| earliest <= to) && kept.ended.is_some_and(|at| to <= at);
        if begins && ends {
            self.held += 1;
        } else {
            self.errors.push(format!("{}: down from {from} to {to}, which is not within {kept:?}", truth.place.addr));
        }
    }

    /// Counts what is no outage, so that nobody thinks there was none of it.
    fn count(&mut self, lines: &[Line]) {
        let of = |outcome: &str| lines.iter().filter(|line| line.outcome == outcome).count();
        (self.late, self.duplicates) = (of("late"), of("duplicate"));
        if let Some(first) = lines.iter().find(|line| line.outcome == "first_reply") {
            self.errors.push(format!("nothing was lost before the first reply: {first:?}"));
        }
    }

    fn assert(&self) {
        let Self { errors, doubtful, plan, seen, .. } = self;
        assert!(errors.is_empty(), "{} errors, such as\n{}", errors.len(), errors[..errors.len().min(5)].join("\n"));
        assert!(doubtful * 100 <= *plan, "{doubtful} of {plan} could not be measured");
        assert_eq!(seen + doubtful, *plan, "outages of the plan");
    }
}

/// Whether the outage is the run: the same probes, and times as the network saw them.
fn held_against_probes(run: &Run<'_>, told: &Told) -> Result<(), String> {
    /// The two read the clock one after the other, and the program shows milliseconds.
    const APART: u64 = 2_000_000;
    let Some(end) = told.end else { return Err("it has not ended".into()) };
    let replied = answered(run.next).ok_or("nobody answered")?;
    if end.seq % 0x1_0000 != u64::from(run.next.sequence) {
        return Err(format!("ended by number {}", end.seq));
    }
    if end.lost != run.lost.len() as u64 {
        return Err(format!("{} lost, not {}", end.lost, run.lost.len()));
    }
    if told.began > run.lost[0].at + APART || end.at + APART < replied {
        return Err("before it was so".into());
    }
    if end.told + APART < end.at || told.told > end.told {
        return Err("told before it was so".into());
    }
    Ok(())
}

/// Whether the ledger has what the lines tell.
fn is_same(told: &Told, kept: &KeptOutage) -> bool {
    /// Lines have milliseconds of how long an outage lasted.
    const SHOWN: u64 = 1_000_000;
    let ended = told.end.zip(kept.ended).is_some_and(|(end, at)| end.at.abs_diff(at) <= SHOWN);
    told.began.abs_diff(kept.began) <= 1_000 && ended && told.end.is_some_and(|end| end.lost == kept.lost)
}

fn cause(place: &Place, down: &Down, told: &Told) -> Result<(), String> {
    let is_so = match down.fault {
        Fault::Silence => told.cause == "unanswered",
        Fault::Unreachable => told.cause.ends_with(&format!("nreachable from {}", place.router())),
    };
    if is_so { Ok(()) } else { Err(format!("as {:?}", down.fault)) }
}

/// The number on the wire.
fn wire(seq: u64) -> u16 {
    (seq % 0x1_0000) as u16
}

impl Errors {
    /// An instant as told, and as it was; never before that, and never later than an interval and some slack, but for these ways of
    /// probe and reply.
    fn add(&mut self, told: u64, was: u64, interval: Duration, [there, back]: [Duration; 2]) -> Result<(), String> {
        let off = (told as f64 - was as f64) / 1e9;
        self.shares.push(off / interval.as_secs_f64());
        self.beyond_ms.push((off - interval.as_secs_f64()) * 1e3);
        self.beyond_way_ms.push((off - (interval + back).as_secs_f64()) * 1e3);
        let (least, most) = (-there.as_secs_f64(), (interval + SLACK.max(back + MACHINE)).as_secs_f64());
        if (least..=most).contains(&off) { Ok(()) } else { Err(format!("{off} s off, at most {most}")) }
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorted = |values: &[f64]| {
            let mut values = values.to_vec();
            values.sort_by(f64::total_cmp);
            values
        };
        let [shares, beyond, way] = [&self.shares, &self.beyond_ms, &self.beyond_way_ms].map(|values| sorted(values));
        let Some(last) = shares.len().checked_sub(1) else { return f.write_str("none") };
        let [median, p99, max] = [0.5, 0.99, 1.0].map(|share| shares[(last as f64 * share).round() as usize] * 100.0);
        let within = beyond.partition_point(|beyond| *beyond <= SLACK.as_secs_f64() * 1e3);
        write!(
            f,
            "median {median:.1} %, p99 {p99:.1} %, max {max:.1} % of an interval, {:+.1} ms beyond one and ",
            way[last]
        )?;
        write!(f, "a reply's way at most; within one and {SLACK:?}: {within} of {}", shares.len())
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, seen, held, by_weather, doubtful, single_losses, late, duplicates, .. } = self;
        writeln!(
            f,
            "{plan} outages: {seen} told as they were, {held} with the truth between the ledger's bounds, {doubtful} where the machine was too slow to measure; {by_weather} more by \
             chance; {} errors",
            self.errors.len()
        )?;
        writeln!(f, "between them {single_losses} losses, {late} late replies, {duplicates} duplicates")?;
        for (what, Bounds { began, ended }) in [("unanswered", &self.silent), ("unreachable", &self.explained)] {
            writeln!(f, "{what}: began {began}\n{what}: ended {ended}")?;
        }
        write!(f, "from a probe's sending to the network: {:.1} ms at most", self.slowest_probe as f64 / 1e6)
    }
}
