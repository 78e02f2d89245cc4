//! `pingtest status`, `pause` and `resume` of a running daemon.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::net::Namespace;
use crate::support::program::{self, Daemon, Program, Rights};
use crate::support::wait::{self, PATIENCE};

const TWO: &str = "[control]\nsocket = \"control.sock\"\n[defaults]\ninterval = \"50ms\"\n[[target]]\nhost = \"127.0.0.1\"\n[[target]]\nhost = \"127.0.0.2\"\nname = \"second\"\n";

/// Where a daemon in this directory listens.
fn socket(dir: &Path) -> PathBuf {
    dir.join("control.sock")
}

fn ask(dir: &Path, arguments: &[&str]) -> program::Ended {
    let socket = socket(dir);
    program::run(&[arguments, &["--socket", socket.to_str().expect("a plain path")]].concat())
}

/// What the daemon knows of a target.
fn known(dir: &Path, target: &str) -> Option<Value> {
    let asked = ask(dir, &["status", "--json", target]);
    let answer: Value = serde_json::from_str(&asked.stdout).ok()?;
    answer["targets"].get(0).cloned()
}

/// Waits until the daemon says this of a target.
fn expect(dir: &Path, target: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let found = wait::until(PATIENCE, || known(dir, target).filter(|target| wanted(target)));
    found.unwrap_or_else(|| panic!("not {what}: {:?}", ask(dir, &["status"])))
}

#[test]
fn a_daemon_tells_how_its_targets_are_and_takes_its_socket_along() {
    let Some(host) = Namespace::new() else { return };
    let mut daemon = Daemon::start(&host, Rights::Root, TWO);
    let dir = daemon.program.dir().to_owned();
    let second = expect(&dir, "second", "up", |target| target["state"] == "up" && target["replies"].as_u64() > Some(2));
    assert_eq!(second["host"], "127.0.0.2");
    assert!(second["rtt_ms"]["last"].as_f64() > Some(0.0), "{second}");
    let table = ask(&dir, &["status"]);
    assert_eq!((table.code, table.stderr.as_str()), (Some(0), ""));
    assert!(table.stdout.starts_with("2 targets: ") && table.stdout.contains("second"), "{}", table.stdout);
    assert!(socket(&dir).exists());
    daemon.program.signal(Signal::SIGTERM);
    assert_eq!(daemon.program.ended(PATIENCE).code, Some(0));
    assert!(!socket(&dir).exists());
}

#[test]
fn a_second_daemon_leaves_the_socket_to_the_first_and_goes_on_without() {
    let Some(host) = Namespace::new() else { return };
    let daemon = Daemon::start(&host, Rights::Root, TWO);
    let first = daemon.program.dir().to_owned();
    expect(&first, "second", "watched", |_| true);
    let dir = program::directory();
    let config = format!(
        "[log]\ndir = \"log\"\n[ledger]\npath = \"off\"\n[control]\nsocket = {:?}\n[[target]]\nhost = \"127.0.0.3\"\n",
        socket(&first)
    );
    fs::write(dir.path().join("c.toml"), config).expect("it is ours");
    let command = program::command(&host, Rights::Root, dir.path());
    let second = Program::spawn(dir, command, &["run", "--config", "c.toml"]);
    let told = format!("another process listens on {}", socket(&first).display());
    second.wait_for("stderr", "warning", |text| text.contains(&told));
    second.wait_for("log/127.0.0.3.log", "reply", |text| text.contains("icmp_seq=1 "));
    drop(second);
    assert_eq!(known(&first, "second").expect("the first answers")["host"], "127.0.0.2");
    daemon.stop();
}

#[test]
fn a_paused_target_is_not_probed_until_it_is_resumed() {
    let Some(host) = Namespace::new() else { return };
    let daemon = Daemon::start(&host, Rights::Root, TWO);
    let dir = daemon.program.dir().to_owned();
    expect(&dir, "second", "up", |target| target["state"] == "up");
    assert_eq!(ask(&dir, &["pause", "second"]).stdout, "second: paused\n");
    let paused =
        expect(&dir, "second", "paused and settled", |target| target["state"] == "paused" && target["in_flight"] == 0);
    let others = |target: &Value| target["replies"].as_u64();
    let before = others(&known(&dir, "127.0.0.1").expect("it is watched"));
    expect(&dir, "127.0.0.1", "probed ten times more", |target| others(target) > before.map(|replies| replies + 10));
    assert_eq!(known(&dir, "second").expect("it is watched")["sent"], paused["sent"]);
    assert_eq!(ask(&dir, &["resume", "second"]).code, Some(0));
    expect(&dir, "second", "probed again", |target| others(target) > others(&paused));
    let unknown = ask(&dir, &["pause", "third"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("there is no target \"third\""), "{}", unknown.stderr);
    daemon.stop();
}
