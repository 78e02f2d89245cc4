//! `pingtest run`: from the start to a clean end.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::net::Namespace;
use crate::support::program::{self, Daemon, Program, Rights, kept_here};

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
    let config = "[log]\ndir = \"occupied/log\"\n[[target]]\nhost = \"127.0.0.1\"\n";
    fs::write(dir.path().join("c.toml"), kept_here("") + config).expect("the directory is ours");
    let ended = Program::start_in(dir, &host, Rights::Root, &["run", "--config", "c.toml"]).ended(STOPS_WITHIN);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.stderr.contains("occupied/log"), "{}", ended.stderr);
}

/// What a daemon says of itself until it is stopped: in its file for diagnostics, which lies beside a log yet to be made, and on
/// standard error.
fn said(host: &Namespace, level: &str, rust_log: Option<&str>) -> [String; 2] {
    let dir = program::directory();
    let config = format!(
        "[log]\ndir = \"log\"\n[diagnostics]\nfile = \"log/own.txt\"\nlevel = \"{level}\"\n[[target]]\nhost = \"127.0.0.1\"\n"
    );
    fs::write(dir.path().join("c.toml"), kept_here("") + &config).expect("the directory is ours");
    let mut command = host.command("env");
    command.args(rust_log.map(|filter| format!("RUST_LOG={filter}"))).arg(env!("CARGO_BIN_EXE_pingtest"));
    let mut run = Program::spawn(dir, command, &["run", "--config", "c.toml"]);
    run.wait_for("log/127.0.0.1.log", "reply", |text| text.contains("icmp_seq=1 "));
    run.signal(Signal::SIGTERM);
    let ended = run.ended(STOPS_WITHIN);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    [run.text("log/own.txt"), ended.stderr]
}

#[test]
fn diagnostics_are_in_their_file_as_well_as_on_standard_error() {
    let Some(host) = Namespace::new() else { return };
    for text in said(&host, "info", None) {
        for wanted in ["INFO probing 1 target through", "INFO stopping on SIGTERM"] {
            let line = text.lines().find(|line| line.contains(wanted)).unwrap_or_else(|| panic!("no {wanted}: {text}"));
            assert!(line.starts_with("20") && !line.contains('\u{1b}'), "{line}");
        }
    }
}

#[test]
fn the_level_of_diagnostics_holds_for_both_and_rust_log_wins() {
    let Some(host) = Namespace::new() else { return };
    for (level, rust_log, expected) in
        [("warn", None, false), ("info", Some("warn"), false), ("error", Some("info"), true)]
    {
        for text in said(&host, level, rust_log) {
            assert_eq!(text.contains(" INFO "), expected, "{level}, {rust_log:?}: {text}");
        }
    }
}

#[test]
fn a_file_for_diagnostics_that_cannot_be_opened_is_told_and_nothing_starts() {
    let Some(host) = Namespace::new() else { return };
    let dir = program::directory();
    fs::create_dir(dir.path().join("occupied")).expect("the directory is ours");
    let config = "[log]\ndir = \"log\"\n[diagnostics]\nfile = \"occupied\"\n[[target]]\nhost = \"127.0.0.1\"\n";
    fs::write(dir.path().join("c.toml"), kept_here("") + config).expect("the directory is ours");
    let mut run = Program::start_in(dir, &host, Rights::Root, &["run", "--config", "c.toml"]);
    let ended = run.ended(STOPS_WITHIN);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.stderr.contains("cannot write diagnostics to occupied: Is a directory"), "{}", ended.stderr);
    assert!(!run.dir().join("log").exists());
}

#[test]
fn a_second_one_on_the_same_directory_is_refused_by_name_while_ping_may_write_there() {
    let Some(host) = Namespace::new() else { return };
    let mut daemon = Daemon::start(&host, Rights::Root, "[[target]]\nhost = \"127.0.0.1\"\ninterval = \"50ms\"\n");
    daemon.expect_outcome("127.0.0.1", "reply");
    let logs = daemon.program.dir().join("log");
    let dir = program::directory();
    let other = format!("[log]\ndir = {logs:?}\n[[target]]\nhost = \"127.0.0.2\"\n");
    fs::write(dir.path().join("c.toml"), kept_here("") + &other).expect("the directory is ours");
    let ended = Program::start_in(dir, &host, Rights::Root, &["run", "--config", "c.toml"]).ended(STOPS_WITHIN);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    let (dir, process) = (logs.to_str().expect("a plain path"), daemon.program.id().to_string());
    assert!(ended.stderr.contains(dir) && ended.stderr.contains(&process), "{}", ended.stderr);
    let file = logs.join("pingtest.log");
    let file = file.to_str().expect("a plain path");
    let pinged = program::run_in(&host, Rights::Root, &["ping", "-c", "1", "--json", "-o", file, "127.0.0.3"]);
    assert_eq!(pinged.code, Some(0), "{pinged:?}");
    daemon.rewind();
    daemon.expect_outcome("127.0.0.3", "reply");
    daemon.stop();
}

#[test]
fn a_check_here_refuses_what_a_daemon_of_this_user_would_in_its_words() {
    let Some(host) = Namespace::new() else { return };
    let target = "[[target]]\nhost = \"127.0.0.1\"\n";
    let shut = |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o555)).expect("it is ours");
    let refused = |rights, config: &str, code, reason: &str| {
        let [run, check] = [&["run"][..], &["check", "--here"]].map(|command| {
            let dir = program::directory();
            fs::create_dir(dir.path().join("closed")).expect("the directory is ours");
            fs::create_dir(dir.path().join("held")).expect("the directory is ours");
            for file in ["occupied", "held/.pingtest.lock"] {
                fs::write(dir.path().join(file), "").expect("the directory is ours");
                shut(&dir.path().join(file));
            }
            fs::set_permissions(dir.path().join("held"), Permissions::from_mode(0o777)).expect("it is ours");
            shut(&dir.path().join("closed"));
            fs::write(dir.path().join("c.toml"), kept_here("") + config).expect("the directory is ours");
            let args = [command, &["--config", "c.toml"]].concat();
            Program::start_in(dir, &host, rights, &args).ended(STOPS_WITHIN)
        });
        assert_eq!((run.code, check.code), (Some(code), Some(code)), "{config}: {run:?} {check:?}");
        for ended in [&run, &check] {
            assert!(ended.stdout.is_empty() && ended.stderr.contains(reason), "{config}: {ended:?}");
        }
    };
    for dir in ["closed", "closed/below/it", "occupied", "occupied/below"] {
        refused(Rights::Group, &format!("[log]\ndir = {dir:?}\n{target}"), 78, &format!("cannot write to {dir}: "));
    }
    refused(Rights::Group, &format!("[log]\ndir = \"held\"\n{target}"), 78, "cannot write to held: ");
    for file in ["closed/d", "occupied", "occupied/below"] {
        let config = format!("[log]\ndir = \"log\"\n[diagnostics]\nfile = {file:?}\n{target}");
        refused(Rights::Group, &config, 78, &format!("cannot write diagnostics to {file}: "));
    }
    refused(Rights::None, &format!("[log]\ndir = \"log\"\n{target}"), 77, "not allowed to open ICMP sockets");
    let marked = format!("[log]\ndir = \"log\"\n{target}mark = 7\n");
    refused(Rights::Group, &marked, 77, "not allowed to set an option");
}

#[test]
fn a_check_here_makes_nothing_and_minds_no_running_daemon() {
    let Some(host) = Namespace::new() else { return };
    let mut daemon = Daemon::start(&host, Rights::Root, "[[target]]\nhost = \"127.0.0.1\"\ninterval = \"50ms\"\n");
    daemon.expect_outcome("127.0.0.1", "reply");
    let logs = daemon.program.dir().join("log");
    let fit = |dir: &Path| {
        let here = program::directory();
        let config = format!("[log]\ndir = {dir:?}\n[diagnostics]\nfile = \"d\"\n[[target]]\nhost = \"127.0.0.2\"\n");
        fs::write(here.path().join("c.toml"), kept_here("") + &config).expect("the directory is ours");
        let mut check = Program::start_in(here, &host, Rights::Root, &["check", "--here", "--config", "c.toml"]);
        let ended = check.ended(STOPS_WITHIN);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.stdout, "c.toml: ok, 1 target in 1 file, and fit for this machine\n");
        assert!(!check.dir().join("d").exists());
    };
    fit(&logs);
    fit(&logs.join("below/it"));
    assert!(!logs.join("below").exists());
    daemon.stop();
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
