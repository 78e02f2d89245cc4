//! SIGHUP: what is unchanged goes on undisturbed, what is wrong changes nothing.

use std::fs;

use nix::sys::signal::Signal;

use crate::support::line::{self, Line};
use crate::support::net::Namespace;
use crate::support::program::{self, Daemon, Program, Rights, kept_here};

fn targets(hosts: &[(&str, &str)]) -> String {
    let targets = hosts.iter().map(|(name, host)| format!("[[target]]\nname = \"{name}\"\nhost = \"{host}\"\n"));
    format!("[defaults]\ninterval = \"50ms\"\n{}", targets.collect::<String>())
}

const KEPT: (&str, &str) = ("kept", "127.0.0.1");
const GONE: (&str, &str) = ("gone", "127.0.0.2");
const FRESH: (&str, &str) = ("fresh", "127.0.0.3");

/// Every number from 1 on, once and in order: nothing was left out and nothing began again.
fn assert_gapless<'a>(lines: impl IntoIterator<Item = &'a Line>) {
    let seqs: Vec<_> = lines.into_iter().flat_map(Line::seqs).collect();
    assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "{seqs:?}");
}

#[test]
fn an_unchanged_target_goes_on_while_others_come_and_go() {
    let Some(host) = Namespace::new() else { return };
    let mut daemon = Daemon::start(&host, Rights::Root, &targets(&[KEPT, GONE]));
    daemon.expect_of_all(&["kept", "gone"], "reply");
    daemon.reload(&targets(&[KEPT, FRESH]));
    assert_eq!(daemon.expect_outcome("fresh", "reply").seq(), 1);
    daemon.expect("further replies", |line| line.is("fresh", "reply") && line.seq() >= 10);
    let lines = daemon.stop();
    for name in ["kept", "gone", "fresh"] {
        assert_gapless(lines.iter().filter(|line| line.target == name));
    }
    let disturbed =
        |line: &&Line| line.outcome != "reply" && line.error() != "stopped" && !line.error().starts_with("stalled");
    let odd = lines.iter().filter(|line| line.target == "kept").find(disturbed);
    assert!(odd.is_none(), "{odd:?}");
    let last_of_gone = lines.iter().rposition(|line| line.target == "gone");
    let first_of_fresh = lines.iter().position(|line| line.target == "fresh");
    assert!(last_of_gone < first_of_fresh, "{lines:?}");
}

#[test]
fn a_bad_file_is_told_with_its_line_and_changes_nothing() {
    let Some(host) = Namespace::new() else { return };
    let mut daemon = Daemon::start(&host, Rights::Root, &targets(&[KEPT, GONE]));
    daemon.expect_of_all(&["kept", "gone"], "reply");
    // Behind the eleven lines of [log], [ledger] and [control].
    daemon.reload("[defaults]\ninterval = \"soon\"\n[[target]]\nhost = \"127.0.0.3\"\ntimout = \"1s\"\n");
    daemon.program.wait_for("stderr", "complaint", |text| {
        let tells = |place: &str, key: &str| text.lines().any(|line| line.contains(place) && line.contains(key));
        tells("pingtest.toml:13:", "interval") && tells("pingtest.toml:16:", "timout")
    });
    let told = daemon.lines().len();
    for name in ["kept", "gone"] {
        let newest = daemon.lines()[..told].iter().rfind(|line| line.target == name).map_or(0, Line::seq);
        daemon.expect("further replies", |line| line.is(name, "reply") && line.seq() >= newest + 5);
    }
    let lines = daemon.stop();
    for name in ["kept", "gone"] {
        assert_gapless(lines.iter().filter(|line| line.target == name));
    }
    assert!(lines.iter().all(|line| line.target != "127.0.0.3"), "{lines:?}");
}

#[test]
fn another_layout_of_the_log_loses_no_line() {
    let Some(host) = Namespace::new() else { return };
    let dir = program::directory();
    let path = dir.path().join("c.toml");
    let config = |layout: &str| {
        let log = format!("[log]\ndir = \"log\"\nformat = \"json\"\nlayout = \"{layout}\"\n");
        fs::write(&path, log + &kept_here("") + &targets(&[KEPT])).expect("the directory is ours");
    };
    config("combined");
    let mut run = Program::start_in(dir, &host, Rights::Root, &["run", "--config", "c.toml"]);
    run.wait_for("log/pingtest.log", "third line", |text| text.lines().count() >= 3);
    config("per-target");
    run.signal(Signal::SIGHUP);
    run.wait_for("log/kept.log", "third line", |text| text.lines().count() >= 3);
    run.signal(Signal::SIGTERM);
    assert_eq!(run.ended(crate::support::wait::PATIENCE).code, Some(0));
    let lines = line::parse(&(run.text("log/pingtest.log") + &run.text("log/kept.log")));
    assert_gapless(&lines);
}

#[test]
fn other_diagnostics_are_told_to_wait_for_the_next_start() {
    let Some(host) = Namespace::new() else { return };
    let mut daemon = Daemon::start(&host, Rights::Root, &targets(&[KEPT]));
    daemon.expect_outcome("kept", "reply");
    daemon.reload(&format!("[diagnostics]\nfile = \"own.txt\"\n{}", targets(&[KEPT])));
    daemon.program.wait_for("stderr", "word of it", |text| text.contains("[diagnostics] differs"));
    assert!(!daemon.program.dir().join("own.txt").exists());
    assert_gapless(&daemon.stop());
}

#[test]
fn a_log_file_moved_away_is_begun_anew() {
    let Some(host) = Namespace::new() else { return };
    let mut daemon = Daemon::start(&host, Rights::Root, &targets(&[KEPT]));
    daemon.expect_outcome("kept", "reply");
    let log = daemon.program.dir().join("log");
    fs::rename(log.join("pingtest.log"), log.join("moved.log")).expect("it is there");
    daemon.program.signal(Signal::SIGHUP);
    daemon.program.wait_for("log/pingtest.log", "third line", |text| text.lines().count() >= 3);
    let moved = line::parse(&daemon.program.text("log/moved.log"));
    let anew = daemon.stop();
    assert_gapless(moved.iter().chain(&anew));
}
