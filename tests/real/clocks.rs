//! Clocks that are set, slewed and suspended under way, by the switch that builds for tests have: the program must see them as it
//! would see the kernel's, and the machine's own are left alone.
//!
//! The network between is simulated and far, so that at each change probes are in flight.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};
use nix::sys::signal::Signal;

use crate::support::line::{self, Line};
use crate::support::program::{self, Program};
use crate::support::simnet::Simnet;
use crate::support::wait::PATIENCE;

/// Few enough that the loop wakes for each reply and has the kernel stamp what leaves.
const FEW: usize = 20;
/// So many that it goes by the grid.
const MANY: usize = 50;
/// Longer than the smallest step, so that a time that is wrong by it can pass for a time.
const DELAY_MS: f64 = 300.0;
/// A clock that runs slower by 500 millionths measures less by as much.
const SHORTEST_MS: f64 = 0.999 * DELAY_MS;
/// Less than the probes' timeout. A busy machine may add something to the delay; steps, but for the smallest, add more than this.
const LONGEST_MS: f64 = 980.0;
/// With the smallest step in it, a round trip is longer.
const LONGEST_WITHOUT_SMALLEST_STEP_MS: f64 = DELAY_MS + 95.0;
/// The last change is over when this probe is due, and some have been answered since.
const LAST: u64 = 35;

#[test]
fn a_clock_set_forward_and_back_by_an_hour_changes_labels_alone() {
    let Some(lines) = run("1s wall +1h, 2s wall -1h", MANY, LAST) else { return };
    assert_all_answered(&lines);
    let expected = [TimeDelta::hours(1), TimeDelta::hours(-1)];
    assert_eq!(jumps(&lines), expected, "of the time that lines bear");
}

#[test]
fn a_clock_set_forward_and_back_by_a_hundred_milliseconds_changes_labels_alone() {
    let Some(lines) = run("1005ms wall +100ms, 1505ms wall +100ms, 2005ms wall -100ms, 2257ms wall +100ms", MANY, LAST)
    else {
        return;
    };
    assert_all_answered(&lines);
    let longest = lines.iter().filter_map(|line| line.rtt_ms).fold(0.0, f64::max);
    assert!(longest < LONGEST_WITHOUT_SMALLEST_STEP_MS, "{longest} ms");
}

#[test]
fn slewing_is_no_event() {
    let Some(lines) = run("1s slew 500 1s, 2s slew -500 1s", FEW, LAST) else { return };
    assert_all_answered(&lines);
    assert_eq!(jumps(&lines), []);
}

#[test]
fn what_a_suspend_took_is_not_measured_and_nothing_is_lost() {
    let Some(lines) = run("1500ms suspend 2s", FEW, LAST + 20) else { return };
    for (target, own) in by_target(&lines) {
        assert_plausible(own.iter().copied());
        line::assert_every_slot_has_one_outcome(&lines, target);
        let suspended: Vec<_> = own.iter().filter(|line| line.error().starts_with("suspended for 2.0 s")).collect();
        let [suspended] = suspended[..] else { panic!("{target}: {own:?}") };
        // Twenty slots lay in it, and three or four probes were in flight.
        assert!((20..=24).contains(&suspended.seqs().count()), "{target}: {suspended:?}");
    }
    assert_eq!(jumps(&lines), [TimeDelta::seconds(2)]);
}

#[test]
fn a_clock_set_while_asleep_is_both() {
    let Some(lines) = run("1500ms suspend 1s, 1500ms wall -1h", FEW, LAST + 10) else { return };
    for (target, lines) in by_target(&lines) {
        assert_plausible(lines.iter().copied());
        let suspended = lines.iter().filter(|line| line.error().starts_with("suspended for 1.0 s")).count();
        let told: Vec<_> = lines.iter().filter(|line| line.outcome != "reply").collect();
        assert_eq!(suspended, 1, "{target}: {told:?}");
    }
}

/// Targets ten times a second each while that happens to the clocks; all lines written. `None` where there is no such network
/// to be had.
fn run(clocks: &str, targets: usize, last: u64) -> Option<Vec<Line>> {
    let namespace = Simnet::namespace()?;
    let network = Simnet::start(&namespace, &format!("[[net]]\nprefix = \"10.9.0.0/16\"\ndelay = \"{DELAY_MS}ms\"\n"));
    let dir = program::directory();
    program::write_config(dir.path(), &config(targets));
    let mut command = program::command(&namespace, program::Rights::Root, dir.path());
    command.env("PINGTEST_CLOCKS", clocks);
    let mut daemon = Program::spawn(dir, command, &["run", "--config", "pingtest.toml"]);
    daemon.wait_for("log/pingtest.log", "late probe", |text| text.contains(&format!("\"seq\":{last},")));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(PATIENCE).code, Some(0));
    drop(network);
    Some(line::parse(&daemon.text("log/pingtest.log")))
}

fn config(targets: usize) -> String {
    let targets = (1..=targets).map(|host| format!("[[target]]\nhost = \"10.9.0.{host}\"\n"));
    std::iter::once("[defaults]\ninterval = \"100ms\"\ntimeout = \"1s\"\n".to_owned()).chain(targets).collect()
}

fn by_target(lines: &[Line]) -> BTreeMap<&str, Vec<&Line>> {
    let mut targets = BTreeMap::<&str, Vec<&Line>>::new();
    lines.iter().for_each(|line| targets.entry(&line.target).or_default().push(line));
    assert!(targets.len() == FEW || targets.len() == MANY, "{targets:?}");
    targets
}

/// Nothing but answers, until the program was stopped; but of a packet that waits to be read while the clock is set, it may be
/// impossible to tell when it came.
fn assert_all_answered(lines: &[Line]) {
    assert_plausible(lines.iter());
    let odd = lines.iter().find(|line| line.outcome == "not_measured" && !is_no_fault(line));
    assert!(odd.is_none(), "{odd:?}");
    by_target(lines).keys().for_each(|target| line::assert_every_slot_has_one_outcome(lines, target));
}

fn is_no_fault(line: &Line) -> bool {
    ["stopped", "stalled for ", "clock trouble: "].iter().any(|words| line.error().starts_with(words))
}

/// No loss, and no round trip that only a clock can have made.
fn assert_plausible<'a>(lines: impl Iterator<Item = &'a Line>) {
    for line in lines {
        match line.outcome.as_str() {
            "reply" => {
                let rtt = line.rtt_ms.expect("a reply has one");
                assert!((SHORTEST_MS..LONGEST_MS).contains(&rtt), "{line:?}");
            }
            outcome => assert_eq!(outcome, "not_measured", "{line:?}"),
        }
    }
}

/// By how much the lines' time jumps, to the second; smaller jumps are the network's and the machine's.
fn jumps(lines: &[Line]) -> Vec<TimeDelta> {
    let replies = lines.iter().filter(|line| line.outcome == "reply");
    let times: Vec<_> = replies.map(|line| DateTime::parse_from_rfc3339(&line.ts).expect("RFC 3339")).collect();
    let steps = times.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| step.num_milliseconds().abs() > 900);
    steps.map(|step| TimeDelta::seconds((step.num_milliseconds() as f64 / 1000.0).round() as i64)).collect()
}
