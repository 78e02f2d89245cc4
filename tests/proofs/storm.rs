//! Ten thousand targets that fail at the same instant and come back together: each is told of once, memory stays bounded, and probes
//! leave as they did before. Behind a parent that is down, they are one outage.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::findings::{self, Told};
use crate::kept::{Kept, KeptOutage, KeptTarget};
use crate::lateness::Lateness;
use crate::stage::{self, Stage, peak_memory, say};
use crate::support::journal::Journal;
use crate::support::line::{self, Line};
use crate::support::program::{self, Program, Rights};
use crate::support::wait::{self, PATIENCE, Stopwatch};
use crate::weather::{STORM, STORM_TIME, Weather};

const TARGETS: u16 = 10_000;
const INTERVAL: Duration = Duration::from_secs(1);
const WEATHER: Weather = Weather { kinds: STORM, targets_of_each: TARGETS, interval: "1s" };
/// The first of them.
const GATEWAY: &str = "10.1.0.1";

/// What a storm may cost beyond what the targets do: a probe in flight and an outage of each, lines under way.
const MEMORY: u64 = 64 << 20;
/// Beyond an interval.
const SLACK: Duration = Duration::from_millis(50);

#[test]
fn ten_thousand_targets_that_fail_at_once_are_ten_thousand_outages() {
    let Some(played) = play("each for itself", &WEATHER.config()) else { return };
    let told = findings::of_lines(&played.lines);
    let once: Vec<_> = told.values().filter(|outages| outages.len() == 1).map(|outages| &outages[0]).collect();
    let ended = once.iter().filter(|outage| outage.end.is_some()).count();
    say(&format!("told: {} outages of one target once, {ended} of them ended", once.len()));
    assert_eq!((told.len(), once.len(), ended), (TARGETS.into(), TARGETS.into(), TARGETS.into()), "told, once, ended");
    let kept: Vec<_> = played
        .kept
        .targets
        .iter()
        .filter(|kept| told.get(&kept.target).is_some_and(|told| is_kept(told, kept)))
        .collect();
    say(&format!("kept as told: {} of {}", kept.len(), played.kept.targets.len()));
    assert_eq!(kept.len(), usize::from(TARGETS), "kept as told");
    let measured = told.iter().filter(|(name, _)| !played.unmeasured.contains(*name)).flat_map(|(_, outages)| outages);
    let measured: Vec<_> = measured.collect();
    let began = played.farthest(&measured, |outage| outage.began, STORM_TIME.start);
    let end = played.farthest(&measured, |outage| outage.end.map_or(0, |end| end.at), STORM_TIME.end);
    say(&format!(
        "told as begun {began:?} after the instant at most, as ended {end:?}, but for {} targets with a probe not measured",
        played.unmeasured.len()
    ));
    assert!(played.unmeasured.len() <= usize::from(TARGETS) / 20, "{} are too many", played.unmeasured.len());
    assert!(began <= INTERVAL + SLACK && end <= INTERVAL + SLACK, "{began:?}, {end:?}");
    played.assert();
}

/// Whether the ledger has the outages that were told, to the millisecond, and no other.
fn is_kept(told: &[Told], kept: &KeptTarget) -> bool {
    let is_same = |(told, kept): (&Told, &KeptOutage)| {
        let ended = told.end.zip(kept.ended).is_some_and(|(end, at)| end.at.abs_diff(at) <= 1_000_000);
        ended && told.began.abs_diff(kept.began) <= 1_000
    };
    told.len() == kept.outages.len() && told.iter().zip(&kept.outages).all(is_same)
}

#[test]
fn behind_a_gateway_that_fails_ten_thousand_targets_are_one_outage() {
    let config = WEATHER.config();
    let config = config.replacen("[defaults]\n", &format!("[defaults]\nparent = \"{GATEWAY}\"\n"), 1);
    let gateway = format!("host = \"{GATEWAY}\"\n");
    let config = config.replacen(&gateway, &format!("{gateway}parent = \"off\"\n"), 1);
    let Some(played) = play("behind a gateway", &config) else { return };
    let told = findings::of_lines(&played.lines);
    let outages: usize = told.values().map(Vec::len).sum();
    say(&format!("told: {outages} outages, of {:?}", told.keys().take(5).collect::<Vec<_>>()));
    assert!(outages == 1 && told.contains_key(GATEWAY), "{outages} outages of {} targets", told.len());
    let kept: Vec<_> = played.kept.targets.iter().filter(|kept| !kept.outages.is_empty()).collect();
    let behind: Vec<_> = kept.iter().flat_map(|kept| &kept.outages).map(|outage| outage.behind).collect();
    say(&format!("kept: outages of {} targets, with so many behind: {behind:?}", kept.len()));
    assert_eq!(behind, [usize::from(TARGETS) - 1], "outages kept, each with as many behind it");
    played.assert();
}

/// How it went.
struct Played {
    /// Those of outages.
    lines: Vec<Line>,
    /// Targets with a probe that could not be measured, by the program's word: that breaks a row of losses.
    unmeasured: BTreeSet<String>,
    kept: Kept,
    journal: Journal,
    /// Peak of memory before the storm and after, bytes.
    memory: [u64; 2],
    not_written: usize,
    before: Lateness,
    during: Lateness,
    after: Lateness,
}

fn play(what: &str, config: &str) -> Option<Played> {
    let _turn = stage::alone();
    let network = Stage::new(&WEATHER.script())?;
    let watch = Stopwatch::start();
    let until = |time: Duration| wait::pause(time.saturating_sub(watch.elapsed()));
    let dir = program::directory();
    program::write_config(dir.path(), &format!("[ledger]\npath = \"ledger.db\"\n{config}"));
    let mut pingtest = Program::start_in(dir, &network.namespace, Rights::Root, &["run", "--config", "pingtest.toml"]);
    until(STORM_TIME.start - Duration::from_millis(500));
    let before = peak_memory(pingtest.id());
    until(STORM_TIME.end + SETTLED);
    let memory = [before, peak_memory(pingtest.id())];
    pingtest.signal(Signal::SIGTERM);
    let ended = pingtest.ended(PATIENCE);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let log = pingtest.text("log/pingtest.log");
    let lines = lines_with(&log, "outage_").collect();
    let kept = Kept::read(&pingtest.dir().join("ledger.db"));
    let stalled = lines_with(&log, "not_measured").filter(|line| line.error() != "stopped");
    let unmeasured = stalled.map(|line| line.target).collect();
    let not_written = lines_with(&log, "not_written").count();
    let (dropped, journal) = (network.dropped(), network.end());
    let [calm, storm, back] = [CALM..STORM_TIME.start, STORM_TIME, STORM_TIME.end..STORM_TIME.end + SETTLED]
        .map(|time| Lateness::within(&journal, INTERVAL, instants(&journal, time)));
    let played =
        Played { lines, unmeasured, kept, memory, not_written, before: calm, during: storm, after: back, journal };
    say(&format!(
        "{TARGETS} targets fail at once for {:?}, {what}: peak memory {} MiB before, {} MiB after; {not_written} words of missing \
         lines, dropped by the device {dropped}\nprobes before: {}\nin the storm: {}\nafterwards: {}",
        STORM_TIME.end - STORM_TIME.start,
        memory[0] >> 20,
        memory[1] >> 20,
        played.before,
        played.during,
        played.after
    ));
    Some(played)
}

/// The lines whose outcome begins so; to read them all would take a while.
fn lines_with<'a>(log: &'a str, outcome: &str) -> impl Iterator<Item = Line> + use<'a> {
    let wanted = format!("\"outcome\":\"{outcome}");
    log.lines().filter(move |line| line.contains(&wanted)).map(line::parse_one)
}

/// By then all targets have been probed for a while.
const CALM: Duration = Duration::from_secs(8);
/// By then all is judged.
const SETTLED: Duration = Duration::from_secs(8);

fn instants(journal: &Journal, time: Range<Duration>) -> Range<u64> {
    instant(journal, time.start)..instant(journal, time.end)
}

/// Of the script, by the wall clock, ns.
fn instant(journal: &Journal, time: Duration) -> u64 {
    journal.ready + u64::try_from(time.as_nanos()).expect("minutes")
}

impl Played {
    /// How long after an instant of the script the last of the outages did this; none did it before.
    fn farthest(&self, outages: &[&Told], when: impl Fn(&Told) -> u64, time: Duration) -> Duration {
        /// A probe on its way when the network changes.
        const ON_THE_WAY: u64 = 20_000_000;
        let instant = instant(&self.journal, time);
        let early = outages.iter().find(|outage| when(outage) + ON_THE_WAY < instant);
        assert!(early.is_none(), "before {instant}: {early:?}");
        let latest = outages.iter().map(|outage| when(outage)).max().unwrap_or(0);
        Duration::from_nanos(latest.saturating_sub(instant))
    }

    /// Bounds for a machine that does other things as well; what counts are the figures.
    fn assert(&self) {
        const LATER: Duration = Duration::from_millis(250);
        let [before, after] = self.memory;
        assert!(after <= before + MEMORY, "{before} bytes before, {after} after");
        assert_eq!(self.not_written, 0, "lines are missing");
        for lateness in [&self.during, &self.after] {
            assert!(lateness.at(0.99) <= self.before.at(0.99) + LATER, "{lateness}, before: {}", self.before);
        }
    }
}
