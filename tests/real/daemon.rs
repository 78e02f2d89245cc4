//! `pingtest run`: from the start to a clean end.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::net::Namespace;
use crate::support::program::{self, Daemon, Program, Rights};

/// What the help promises, whatever is under way.
const STOPS_WITHIN: Duration = Duration::from_secs(2);

#[test]
fn the_quickstart_writes_both_families_and_every_line_is_whole_when_a_signal_ends_it() {
    let Some(host) = Namespace::new() else { return };
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let dir = program::directory();
        fs::copy("config/quickstart.toml", dir.path().join("quickstart.toml")).expect("it is shipped");
        let mut run = Program::start_in(dir, &host, Rights::Root, &["run", "--config", "quickstart.toml"]);
        for addr in ["127.0.0.1", "::1"] {
            let wanted = format!(" 64 bytes from {addr}: icmp_seq=1 ttl=64 time=");
            run.wait_for(&format!("log/{addr}.log"), "reply", |text| text.contains(&wanted) && text.ends_with('\n'));
        }
        run.signal(signal);
        let ended = run.ended(STOPS_WITHIN);
        assert_eq!(ended.code, Some(0), "{signal}: {ended:?}");
        for addr in ["127.0.0.1", "::1"] {
            assert!(run.text(&format!("log/{addr}.log")).ends_with('\n'));
        }
    }
}

#[test]
fn what_is_in_flight_at_the_stop_is_not_measured() {
    let Some(host) = Namespace::new() else { return };
    host.nft(&["input ip daddr 127.0.0.9 drop"]);
    let mut daemon = Daemon::start(
        &host,
        Rights::Root,
        r#"
        [defaults]
        interval = "100ms"
        timeout = "1m"
        [[target]]
        host = "127.0.0.9"
        name = "silent"
        [[target]]
        host = "127.0.0.1"
        name = "live"
        "#,
    );
    daemon.expect("the fifth reply", |line| line.is("live", "reply") && line.seq() >= 5);
    let lines = daemon.stop();
    let [stopped] = &lines.iter().filter(|line| line.target == "silent").collect::<Vec<_>>()[..] else {
        panic!("not one line: {lines:?}");
    };
    assert_eq!((stopped.outcome.as_str(), stopped.error()), ("not_measured", "stopped"));
    assert_eq!(stopped.addr.as_deref(), Some("127.0.0.9"));
    assert_eq!(stopped.seq(), 1);
    assert!(stopped.count >= Some(4), "{stopped:?}");
}

#[test]
fn a_log_directory_that_cannot_be_made_is_told_and_nothing_starts() {
    let Some(host) = Namespace::new() else { return };
    let dir = program::directory();
    fs::write(dir.path().join("occupied"), "").expect("the directory is ours");
    fs::write(dir.path().join("c.toml"), "[log]\ndir = \"occupied/log\"\n[[target]]\nhost = \"127.0.0.1\"\n")
        .expect("the directory is ours");
    let ended = Program::start_in(dir, &host, Rights::Root, &["run", "--config", "c.toml"]).ended(STOPS_WITHIN);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.stderr.contains("occupied/log"), "{}", ended.stderr);
}

#[test]
fn a_bad_configuration_starts_nothing_and_every_problem_is_told() {
    let dir = program::directory();
    let bad = "[defaults]\ninterval = \"5ms\"\n\n[[target]]\nhost = \"127.0.0.1\"\nsize = 65501\nport = 80\n";
    let path = dir.path().join("bad.toml");
    fs::write(&path, bad).expect("the directory is ours");
    let path = path.to_str().expect("a plain path");
    for command in ["run", "check"] {
        let ended = program::run(&[command, "--config", path]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(78), ""), "{command}: {ended:?}");
        for (line, key) in [(2, "interval"), (6, "size"), (7, "port")] {
            let place = format!("{path}:{line}:");
            let told = ended.stderr.lines().any(|told| told.contains(&place) && told.contains(key));
            assert!(told, "{command} says nothing of {key} at {place}\n{}", ended.stderr);
        }
    }
}
