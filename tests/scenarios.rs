//! Scenarios: what the network did, and the lines that must come of it, one file each in `tests/scenarios`.
//!
//! A new case is a new file; no Rust is needed. `tests/scenarios/README.md` says what a file may hold.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, fs};

use chrono::Utc;
use pingtest::driver::{Command, Pause};
use pingtest::monitor::record::Record;
use pingtest::monitor::target::Name;
use pingtest::monitor::window::Window;
use pingtest::monitor::{Notice, Strays};
use pingtest::sink::line::{Format, Labels, Renderer, StampFormat, Style};

use support::finding;
use support::script::{self, Action, Expected, Script, ScriptedNetwork};
use support::world::World;
use tokio::sync::oneshot;

#[test]
fn every_scenario_ends_in_exactly_its_lines_and_counts() {
    let files = files();
    assert!(files.len() >= 30, "only {} scenarios", files.len());
    let wrong: String = files.iter().filter_map(|path| complaint(path)).collect();
    assert!(wrong.is_empty(), "{wrong}");
}

fn files() -> Vec<PathBuf> {
    let entries = fs::read_dir("tests/scenarios").unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ext| ext == "toml")).collect();
    files.sort();
    files
}

/// What came out other than the file at `path` says.
fn complaint(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).unwrap();
    let script: Script = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let expected = script.expect.clone();
    let mut world = play(script);
    let look_ups = world.network().look_ups;
    let problems = [
        expected.lines.as_ref().and_then(|lines| differing("lines", lines, &lines_of(world.records()))),
        missing_lines(&expected, &world),
        expected.findings.as_ref().and_then(|told| differing("findings", told, &finding::text(world.findings()))),
        differing_number("line_count", expected.line_count, world.records().len()),
        differing_number("clock_notices", expected.clock_notices, clock_notices(&world)),
        differing_number("look_ups", expected.look_ups, look_ups),
        expected
            .counts
            .as_ref()
            .and_then(|counts| differing("counts", &counts_expected(counts), &counts_of(&world, counts))),
        differing("strays", &expected.strays, &strays_of(world.monitor().strays())),
        differing("finished", &expected.finished.to_string(), &world.monitor().is_finished().to_string())
            .filter(|_| expected.finished),
    ];
    let problems: String = problems.into_iter().flatten().collect();
    (!problems.is_empty()).then(|| format!("\n=== {}{problems}", path.display()))
}

fn play(script: Script) -> World<ScriptedNetwork> {
    let targets = script::targets(&script.target);
    let mut events = script.event;
    events.sort_by_key(|event| event.at);
    let network = ScriptedNetwork::new(script.network, script.names);
    let mut world = World::new(script.start.into(), &targets, network);
    world.carry(|start| script.carried.iter().map(|carry| carry.carried(&targets, start)).collect());
    for event in events {
        world.run_until(event.at);
        act(&mut world, event.action);
    }
    world.run_until(script.ends);
    world
}

fn act(world: &mut World<ScriptedNetwork>, action: Action) {
    match action {
        Action::Suspend(time) => world.suspend(time.0),
        Action::SetForward(by) => world.set_forward(by.0),
        Action::SetBack(by) => world.set_back(by.0),
        Action::Stall(time) => world.pass(time.0),
        Action::Drops(version) => world.drop_packets(version.into()),
        Action::Names(names) => world.network().names.extend(names),
        Action::Targets(targets) => {
            world.order(Duration::ZERO, Command::Targets(script::targets(&targets)));
            world.turn();
        }
        Action::Pause(target) => pause(world, &target, Pause::Begin),
        Action::Resume(target) => pause(world, &target, Pause::End),
        Action::Stop(_) => {
            world.order(Duration::ZERO, Command::Stop);
            world.turn();
        }
    }
}

fn pause(world: &mut World<ScriptedNetwork>, target: &str, pause: Pause) {
    assert!(world.monitor().targets().any(|(known, ..)| known.name.as_str() == target), "{target}: no such target");
    let (answer, _) = oneshot::channel();
    world.order(Duration::ZERO, Command::Pause(Name::new(target).unwrap(), pause, answer));
    world.turn();
}

/// The records as a combined file would show them, in UTC.
fn lines_of(records: &[Record]) -> String {
    let stamp = StampFormat::new("%H:%M:%S%.3f").unwrap();
    let several = records.windows(2).any(|pair| pair[0].target.name != pair[1].target.name);
    let labels = if several { Labels::Bracketed } else { Labels::None };
    let mut renderer = Renderer::new(&Style { format: Format::Text, stamp, labels }, Utc);
    let mut out = Vec::new();
    records
        .iter()
        .for_each(|record| renderer.record(record, &mut |index| Some(format!("eth{index}").into()), &mut out));
    String::from_utf8(out).unwrap()
}

/// The first of `some_lines` that does not occur after those before it.
fn missing_lines(expected: &Expected, world: &World<ScriptedNetwork>) -> Option<String> {
    let written = lines_of(world.records());
    let mut left = written.lines();
    let missing = expected.some_lines.lines().find(|wanted| !left.any(|line| line == *wanted))?;
    let from = written.len().min(4000);
    Some(format!("\n--- missing (or out of order)\n{missing}\n--- lines begin\n{}\n", &written[..from]))
}

fn counts_expected(counts: &BTreeMap<String, String>) -> String {
    counts.iter().map(|(name, counts)| format!("{name:?} = {counts:?}\n")).collect()
}

/// The counts of the targets that the file speaks of, of all of them where it speaks of none; `all` is their sum.
fn counts_of(world: &World<ScriptedNetwork>, expected: &BTreeMap<String, String>) -> String {
    let mut counts: Vec<(String, Counts)> =
        world.monitor().targets().map(|(target, _, window)| (target.name.to_string(), Counts::of(window))).collect();
    if expected.contains_key("all") {
        let sum = counts.drain(..).fold(Counts::default(), |sum, (_, counts)| sum.plus(&counts));
        counts.push(("all".into(), sum));
    }
    counts.sort_by(|a, b| a.0.cmp(&b.0));
    counts.into_iter().map(|(name, counts)| format!("{name:?} = {:?}\n", counts.to_string())).collect()
}

/// Everything that a window counts, with its words.
#[derive(Default)]
struct Counts(Vec<(&'static str, u64)>);

impl Counts {
    fn of(window: &Window) -> Self {
        Self(vec![
            ("sent", window.sent),
            ("replies", window.replies),
            ("late", window.late),
            ("unanswered", window.lost.unanswered),
            ("unreachable", window.lost.unreachable),
            ("damaged", window.lost.damaged),
            ("different address", window.lost.different_address),
            ("in flight", window.in_flight),
            ("duplicates", window.duplicates),
            ("not sent", window.not_sent),
            ("not measured", window.not_measured),
            ("forged", window.ignored.forged),
            ("stale", window.ignored.stale),
            ("redundant", window.ignored.redundant),
        ])
    }

    fn plus(mut self, other: &Self) -> Self {
        if self.0.is_empty() {
            self.0 = other.0.iter().map(|&(what, _)| (what, 0)).collect();
        }
        self.0.iter_mut().zip(&other.0).for_each(|(sum, count)| sum.1 += count.1);
        self
    }
}

impl fmt::Display for Counts {
    /// Those that are not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<_> = self.0.iter().filter(|count| count.1 > 0).map(|(what, n)| format!("{n} {what}")).collect();
        f.write_str(&counts.join(", "))
    }
}

fn strays_of(strays: Strays) -> String {
    let Strays { foreign, stale, forged } = strays;
    Counts(vec![("foreign", foreign), ("stale", stale), ("forged", forged)]).to_string()
}

fn clock_notices(world: &World<ScriptedNetwork>) -> usize {
    let about_clocks = |notice: &&Notice| match notice {
        Notice::ClockSetForward(_) | Notice::ClockSetBack(_) | Notice::Suspended(_) => true,
        Notice::NotResolved { .. } | Notice::Resolved { .. } | Notice::TooManyTargets(_) => false,
    };
    world.notices().iter().filter(about_clocks).count()
}

fn differing_number(what: &str, expected: Option<usize>, actual: usize) -> Option<String> {
    expected.and_then(|expected| differing(what, &expected.to_string(), &actual.to_string()))
}

fn differing(what: &str, expected: &str, actual: &str) -> Option<String> {
    if expected.trim_end() == actual.trim_end() {
        return None;
    }
    Some(format!("\n--- {what} expected\n{expected}\n--- {what} actual\n{actual}\n"))
}
