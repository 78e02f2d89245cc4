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

const TARGETS: usize = 100;
const DELAY_MS: f64 = 80.0;
/// A clock that runs slower by 500 millionths measures less by as much.
const SHORTEST_MS: f64 = 0.999 * DELAY_MS;
/// What a busy machine may add to the delay: what is wrong by the smallest step of a clock is wrong by more.
const SLACK_MS: f64 = 95.0;
/// The last change is over when this probe is due, and some have been answered since.
const LAST: u64 = 35;

#[test]
fn a_clock_set_forward_and_back_by_an_hour_changes_labels_alone() {
    let Some(lines) = run("1s wall +1h, 2s wall -1h", LAST) else { return };
    assert_all_answered(&lines);
    let expected = [TimeDelta::hours(1), TimeDelta::hours(-1)];
    assert_eq!(jumps(&lines), expected, "of the time that lines bear");
}

#[test]
fn a_clock_set_forward_and_back_by_a_hundred_milliseconds_changes_labels_alone() {
    let Some(lines) = run("1s wall +100ms, 2s wall -100ms", LAST) else { return };
    assert_all_answered(&lines);
}

#[test]
fn slewing_is_no_event() {
    let Some(lines) = run("1s slew 500 1s, 2s slew -500 1s", LAST) else { return };
    assert_all_answered(&lines);
    assert_eq!(jumps(&lines), []);
}

#[test]
fn what_a_suspend_took_is_not_measured_and_nothing_is_lost() {
    let Some(lines) = run("1500ms suspend 2s", LAST + 20) else { return };
    for (target, own) in by_target(&lines) {
        assert_plausible(own.iter().copied());
        line::assert_every_slot_has_one_outcome(&lines, target);
        let suspended: Vec<_> = own.iter().filter(|line| line.error().starts_with("suspended for 2.0 s")).collect();
        let [suspended] = suspended[..] else { panic!("{target}: {own:?}") };
        // Twenty slots lay in it, and one or two probes were in flight.
        assert!((20..=22).contains(&suspended.seqs().count()), "{target}: {suspended:?}");
    }
    assert_eq!(jumps(&lines), [TimeDelta::seconds(2)]);
}

#[test]
fn a_clock_set_while_asleep_is_both() {
    let Some(lines) = run("1500ms suspend 1s, 1500ms wall -1h", LAST + 10) else { return };
    for (target, lines) in by_target(&lines) {
        assert_plausible(lines.iter().copied());
        let suspended = lines.iter().filter(|line| line.error().starts_with("suspended for 1.0 s")).count();
        let told: Vec<_> = lines.iter().filter(|line| line.outcome != "reply").collect();
        assert_eq!(suspended, 1, "{target}: {told:?}");
    }
}

/// A hundred targets ten times a second while that happens to the clocks; all lines written. `None` where there is no such network
/// to be had.
fn run(clocks: &str, last: u64) -> Option<Vec<Line>> {
    let namespace = Simnet::namespace()?;
    let network = Simnet::start(&namespace, &format!("[[net]]\nprefix = \"10.9.0.0/16\"\ndelay = \"{DELAY_MS}ms\"\n"));
    let dir = program::directory();
    program::write_config(dir.path(), &config());
    let mut command = program::command(&namespace, program::Rights::Root, dir.path());
    command.env("PINGTEST_CLOCKS", clocks);
    let mut daemon = Program::spawn(dir, command, &["run", "--config", "pingtest.toml"]);
    daemon.wait_for("log/pingtest.log", "late probe", |text| text.contains(&format!("\"seq\":{last},")));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(PATIENCE).code, Some(0));
    drop(network);
    Some(line::parse(&daemon.text("log/pingtest.log")))
}

fn config() -> String {
    let targets = (1..=TARGETS).map(|host| format!("[[target]]\nhost = \"10.9.0.{host}\"\n"));
    std::iter::once("[defaults]\ninterval = \"100ms\"\ntimeout = \"1s\"\n".to_owned()).chain(targets).collect()
}

fn by_target(lines: &[Line]) -> BTreeMap<&str, Vec<&Line>> {
    let mut targets = BTreeMap::<&str, Vec<&Line>>::new();
    lines.iter().for_each(|line| targets.entry(&line.target).or_default().push(line));
    assert_eq!(targets.len(), TARGETS);
    targets
}

/// Nothing but answers, until the program was stopped.
fn assert_all_answered(lines: &[Line]) {
    assert_plausible(lines.iter());
    let odd = lines.iter().find(|line| line.outcome == "not_measured" && line.error() != "stopped" && !is_stall(line));
    assert!(odd.is_none(), "{odd:?}");
    by_target(lines).keys().for_each(|target| line::assert_every_slot_has_one_outcome(lines, target));
}

/// A machine with too much to do makes no loss, and says so.
fn is_stall(line: &Line) -> bool {
    line.error().starts_with("stalled for ")
}

/// No loss, and no round trip that only a clock can have made.
fn assert_plausible<'a>(lines: impl Iterator<Item = &'a Line>) {
    for line in lines {
        match line.outcome.as_str() {
            "reply" => {
                let rtt = line.rtt_ms.expect("a reply has one");
                assert!((SHORTEST_MS..DELAY_MS + SLACK_MS).contains(&rtt), "{line:?}");
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
