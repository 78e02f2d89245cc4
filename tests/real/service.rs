//! What systemd is told, held by a socket of the test's own in its place: readiness, figures, reloads, the end; and what feeds its
//! watchdog.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::net::{Namespace, Pair};
use crate::support::program::{self, Program, Rights, write_config};
use crate::support::wait::{self, PATIENCE};

const UP: &str = "[defaults]\ninterval = \"50ms\"\ntimeout = \"100ms\"\n[[target]]\nhost = \"127.0.0.1\"\n";

/// All packets to it are dropped by [`silence`].
const DOWN: &str = "[[target]]\nname = \"silent\"\nhost = \"127.0.0.9\"\n";

/// Long enough for a machine with other work, short enough for a test to see it run out.
const WATCHDOG: Duration = Duration::from_secs(3);

/// The manager's end of the socket, and all it was told.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<Vec<String>>,
}

impl Manager {
    fn at(socket: UnixDatagram) -> Self {
        socket.set_nonblocking(true).expect("it is a socket");
        Self { socket, heard: Vec::new() }
    }

    fn listen(dir: &Path) -> Self {
        Self::at(UnixDatagram::bind(dir.join("notify")).expect("the directory is ours"))
    }

    /// Reads what has come; each message is its lines.
    fn read(&mut self) {
        let mut message = [0; 4096];
        loop {
            match self.socket.recv(&mut message) {
                Ok(len) => {
                    let text = std::str::from_utf8(&message[..len]).expect("it is told in UTF-8");
                    self.heard.push(text.lines().map(str::to_owned).collect());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Waits for such a message behind the first `after`. Returns how many there are up to it.
    fn expect(&mut self, after: usize, what: &str, wanted: impl Fn(&[String]) -> bool) -> usize {
        let found = wait::until(PATIENCE, || {
            self.read();
            Some(after + self.heard[after..].iter().position(|message| wanted(message))? + 1)
        });
        found.unwrap_or_else(|| panic!("no {what} behind {after} of {:#?}", self.heard))
    }

    fn expect_line(&mut self, after: usize, line: &str) -> usize {
        self.expect(after, line, |message| message.iter().any(|told| told == line))
    }

    fn expect_status(&mut self, after: usize, what: &str, wanted: impl Fn(&str) -> bool) -> usize {
        self.expect(after, what, |message| status(message).is_some_and(&wanted))
    }

    fn count(&self, line: &str) -> usize {
        self.heard.iter().flatten().filter(|told| *told == line).count()
    }

    /// Waits for so many more signs of life.
    fn expect_fed(&mut self, times: usize) {
        self.read();
        (0..times).fold(self.heard.len(), |after, _| self.expect_line(after, "WATCHDOG=1"));
    }
}

fn status(message: &[String]) -> Option<&str> {
    message.iter().find_map(|line| line.strip_prefix("STATUS="))
}

/// Starts it with this configuration and these variables, told by a socket in its directory.
fn start(host: &Namespace, config: &str, variables: &[(&str, String)]) -> (Program, Manager) {
    start_in(program::directory(), host, config, variables)
}

/// Likewise, in a directory that has been furnished.
fn start_in(dir: TempDir, host: &Namespace, config: &str, variables: &[(&str, String)]) -> (Program, Manager) {
    write_config(dir.path(), config);
    launch(host, dir, variables)
}

/// Starts it with the configuration that is in this directory.
fn launch(host: &Namespace, dir: TempDir, variables: &[(&str, String)]) -> (Program, Manager) {
    let manager = Manager::listen(dir.path());
    let address = ("NOTIFY_SOCKET", dir.path().join("notify").display().to_string());
    let mut command = program::command(host, Rights::Root, dir.path());
    command.envs(variables.iter().cloned().chain([address]));
    (Program::spawn(dir, command, &["run", "--config", "pingtest.toml"]), manager)
}

fn watchdog() -> [(&'static str, String); 2] {
    [("WATCHDOG_USEC", WATCHDOG.as_micros().to_string()), ("PINGTEST_STALL", "stall".into())]
}

/// 127.0.0.9 never answers.
fn silence(host: &Namespace) {
    host.nft(&["input ip daddr 127.0.0.9 drop"]);
}

fn stop(mut run: Program, manager: &mut Manager) {
    manager.read();
    let before = manager.heard.len();
    run.signal(Signal::SIGTERM);
    let ended = run.ended(PATIENCE);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let at = manager.expect_line(before, "STOPPING=1");
    assert_eq!(status(&manager.heard[at - 1]), Some("stopping on SIGTERM"));
}

#[test]
fn it_is_ready_once_with_its_log_taken_and_says_when_it_stops() {
    let Some(host) = Namespace::new() else { return };
    let (run, mut manager) = start(&host, UP, &[]);
    let at = manager.expect_line(0, "READY=1");
    assert!(run.dir().join("log").is_dir(), "the log was ready before");
    // Replies may have been judged by then.
    assert!(status(&manager.heard[at - 1]).is_some_and(|status| status.starts_with("1 target")), "{:?}", manager.heard);
    manager.expect_status(at, "figures", |status| status == "1 target, no loss");
    stop(run, &mut manager);
    assert_eq!((manager.count("READY=1"), manager.count("WATCHDOG=1")), (1, 0), "{:?}", manager.heard);
}

/// The start waits for the ledger, which another process has.
#[test]
fn a_start_that_takes_long_is_over_when_it_is_told_to_stop_and_is_never_ready() {
    let Some(host) = Namespace::new() else { return };
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let dir = program::directory();
        let lock = File::create(dir.path().join("ledger.db.lock")).expect("the directory is ours");
        let _held = Flock::lock(lock, FlockArg::LockExclusiveNonblock).expect("nobody else has it");
        let config = format!("[ledger]\npath = \"ledger.db\"\n{UP}");
        let (mut run, mut manager) = start_in(dir, &host, &config, &[]);
        let log_is_taken = || run.dir().join("log/.pingtest.lock").exists().then_some(());
        wait::until(PATIENCE, log_is_taken).expect("the log comes before the ledger");
        run.signal(Signal::SIGHUP);
        run.signal(signal);
        let ended = run.ended(PATIENCE);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stderr.contains(&format!("stopping on {signal}, before the start was over")), "{}", ended.stderr);
        let at = manager.expect_line(0, "STOPPING=1");
        assert_eq!(status(&manager.heard[at - 1]), Some(&*format!("stopping on {signal}")));
        assert_eq!(manager.count("READY=1"), 0, "{:?}", manager.heard);
    }
}

#[test]
fn an_interface_that_is_missing_and_a_name_without_address_keep_nothing_from_being_ready() {
    let Some(host) = Namespace::new() else { return };
    let missing = "[[target]]\nname = \"wire\"\nhost = \"127.0.0.1\"\ninterface = \"nowhere0\"\n\
                   [[target]]\nhost = \"nobody.invalid\"\n";
    let (run, mut manager) = start(&host, missing, &[]);
    let at = manager.expect_line(0, "READY=1");
    run.wait_for("stderr", "word of the interface", |text| text.contains("no socket for IPv4 interface=nowhere0"));
    manager.expect_status(at, "name", |status| status.starts_with("2 targets") && status.contains("1 not resolvable"));
    stop(run, &mut manager);
}

#[test]
fn a_log_that_cannot_be_written_is_told_and_nothing_is_ready() {
    let Some(host) = Namespace::new() else { return };
    let closed: [fn(&Path); 2] = [
        |log| fs::set_permissions(log, fs::Permissions::from_mode(0o555)).expect("it is ours"),
        |log| {
            fs::set_permissions(log, fs::Permissions::from_mode(0o777)).expect("it is ours");
            fs::write(log.join("pingtest.log"), "").expect("it is ours");
            fs::set_permissions(log.join("pingtest.log"), fs::Permissions::from_mode(0o444)).expect("it is ours");
        },
    ];
    for close in closed {
        let dir = program::directory();
        write_config(dir.path(), UP);
        fs::create_dir(dir.path().join("log")).expect("the directory is ours");
        close(&dir.path().join("log"));
        let mut manager = Manager::listen(dir.path());
        fs::set_permissions(dir.path().join("notify"), fs::Permissions::from_mode(0o777)).expect("it is ours");
        let mut command = program::command(&host, Rights::Group, dir.path());
        command.env("NOTIFY_SOCKET", dir.path().join("notify"));
        let mut run = Program::spawn(dir, command, &["run", "--config", "pingtest.toml"]);
        let ended = run.ended(PATIENCE);
        assert_eq!(ended.code, Some(78), "{ended:?}");
        assert!(ended.stderr.contains("log") && ended.stderr.contains("ermission denied"), "{}", ended.stderr);
        manager.read();
        assert_eq!(manager.count("READY=1"), 0, "{:?}", manager.heard);
    }
}

/// A command that starts it with its log on a file system of its own, mounted with these options. Each command in a network namespace has
/// its own mounts as well (ip-netns(8)).
fn command_with_log_on(host: &Namespace, dir: &Path, options: &str) -> Command {
    fs::create_dir(dir.join("log")).expect("the directory is ours");
    let mut command = host.command("sh");
    let mount = format!("mount -t tmpfs -o {options} none log && exec \"$@\"");
    command.args(["-c", &mount, "sh", env!("CARGO_BIN_EXE_pingtest")]);
    command
}

#[test]
fn a_log_on_a_read_only_file_system_is_told_and_nothing_is_ready() {
    let Some(host) = Namespace::new() else { return };
    let dir = program::directory();
    write_config(dir.path(), UP);
    let mut manager = Manager::listen(dir.path());
    let mut command = command_with_log_on(&host, dir.path(), "ro");
    command.env("NOTIFY_SOCKET", dir.path().join("notify"));
    let ended = Program::spawn(dir, command, &["run", "--config", "pingtest.toml"]).ended(PATIENCE);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    let reason = "cannot write to log: .pingtest.lock: Read-only file system";
    assert!(ended.stderr.contains(reason), "{}", ended.stderr);
    manager.expect_status(0, "reason", |status| status.starts_with(&format!("not started: {reason}")));
    assert_eq!(manager.count("READY=1"), 0, "{:?}", manager.heard);
}

#[test]
fn a_full_disk_is_in_the_status_and_starves_no_watchdog() {
    let Some(host) = Namespace::new() else { return };
    let dir = program::directory();
    write_config(dir.path(), &UP.replace("50ms", "10ms"));
    let mut manager = Manager::listen(dir.path());
    let mut command = command_with_log_on(&host, dir.path(), "size=32k");
    command.env("NOTIFY_SOCKET", dir.path().join("notify")).envs(watchdog());
    let run = Program::spawn(dir, command, &["run", "--config", "pingtest.toml"]);
    let full = "the log is not written: cannot write log/pingtest.log: No space left on device (os error 28); 1 target";
    manager.expect_status(0, "full disk", |status| status.starts_with(full));
    manager.expect_fed(8);
    assert!(!run.text("stderr").contains("no progress"), "{}", run.text("stderr"));
}

#[test]
fn the_figures_follow_what_is_down_and_what_has_no_address() {
    let Some(host) = Namespace::new() else { return };
    let nameless = "[[target]]\nhost = \"nobody.invalid\"\n";
    let (run, mut manager) = start(&host, &format!("{UP}{DOWN}{nameless}"), &[]);
    let answers = |status: &str| status.starts_with("3 targets, no loss, 1 not");
    let at = manager.expect_status(0, "answers", answers);
    silence(&host);
    let is_whole = |status: &str| {
        let parts: Vec<_> = status.split(", ").collect();
        let [targets, down, loss, name] = parts[..] else { return false };
        let loss = loss.strip_suffix(" % loss").and_then(|loss| loss.parse::<f64>().ok());
        loss.is_some_and(|loss| loss > 0.0 && loss < 80.0)
            && (targets, down, name) == ("3 targets", "1 down", "1 not resolvable")
    };
    let at = manager.expect_status(at, "figures", is_whole);
    host.nft(&[]);
    manager.expect_status(at, "recovery", |status| !status.contains("down") && status.contains("1 not resolvable"));
    stop(run, &mut manager);
}

#[test]
fn what_the_kernel_refuses_to_send_is_in_the_status_and_no_loss() {
    let Some(host) = Namespace::new() else { return };
    let unreachable = "[[target]]\nhost = \"10.99.0.2\"\n";
    let (run, mut manager) = start(&host, &format!("{UP}{unreachable}"), &[]);
    manager.expect_status(0, "figures", |status| status == "2 targets, no loss, 1 cannot be sent to");
    stop(run, &mut manager);
}

#[test]
fn a_target_that_was_never_up_is_not_called_down() {
    let Some(host) = Namespace::new() else { return };
    silence(&host);
    let (run, mut manager) = start(&host, &format!("{UP}{DOWN}"), &[]);
    manager.expect_status(0, "figures", |status| status.starts_with("2 targets, 1 never answered, "));
    stop(run, &mut manager);
}

#[test]
fn a_reload_is_told_at_its_begin_with_the_time_and_at_its_end_whatever_that_is() {
    let Some(host) = Namespace::new() else { return };
    let (run, mut manager) = start(&host, UP, &[]);
    let at = manager.expect_line(0, "READY=1");
    let reload = |manager: &mut Manager, after: usize| {
        run.signal(Signal::SIGHUP);
        let begun = manager.expect_line(after, "RELOADING=1");
        let time = manager.heard[begun - 1].iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        assert!(time.and_then(|time| time.parse::<u64>().ok()).is_some_and(|time| time > 0), "{:?}", manager.heard);
        manager.expect_line(begun, "READY=1")
    };
    write_config(run.dir(), &format!("{UP}{DOWN}"));
    let at = reload(&mut manager, at);
    assert!(
        status(&manager.heard[at - 1]).is_some_and(|status| status.starts_with("2 targets")),
        "{:?}",
        manager.heard
    );
    write_config(run.dir(), &format!("{}timout = \"1s\"\n", UP.replace("50ms", "soon")));
    let at = reload(&mut manager, at);
    let bad = |status: &str| {
        status.starts_with("reload failed: pingtest.toml:")
            && status.contains("interval")
            && status.contains("; configuration in force stays; 2 targets")
    };
    assert!(status(&manager.heard[at - 1]).is_some_and(bad), "{:?}", manager.heard);
    write_config(run.dir(), UP);
    let at = reload(&mut manager, at);
    assert!(status(&manager.heard[at - 1]).is_some_and(|status| status.starts_with("1 target")), "{:?}", manager.heard);
    stop(run, &mut manager);
}

#[test]
fn an_address_in_the_abstract_namespace_is_heard_as_well() {
    let Some(host) = Namespace::new() else { return };
    let name = format!("pingtest-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a short name");
    // Abstract names are the network namespace's own (unix(7)).
    let socket = host.within(|| UnixDatagram::bind_addr(&address).expect("nobody else has it"));
    let mut manager = Manager::at(socket);
    let dir = program::directory();
    write_config(dir.path(), UP);
    let mut command = program::command(&host, Rights::Root, dir.path());
    command.env("NOTIFY_SOCKET", format!("@{name}"));
    let run = Program::spawn(dir, command, &["run", "--config", "pingtest.toml"]);
    manager.expect_line(0, "READY=1");
    stop(run, &mut manager);
}

#[test]
fn a_manager_that_has_gone_is_told_of_once_and_changes_nothing() {
    let Some(host) = Namespace::new() else { return };
    let dir = program::directory();
    write_config(dir.path(), UP);
    let mut command = program::command(&host, Rights::Root, dir.path());
    command.env("NOTIFY_SOCKET", dir.path().join("nobody")).env("WATCHDOG_USEC", "120000");
    let mut run = Program::spawn(dir, command, &["run", "--config", "pingtest.toml"]);
    let lines = |run: &Program| run.text("log/pingtest.log").lines().count();
    let replies = wait::until(PATIENCE, || (lines(&run) >= 20).then_some(()));
    assert!(replies.is_some(), "{}", run.text("stderr"));
    run.signal(Signal::SIGTERM);
    let ended = run.ended(PATIENCE);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let told = ended.stderr.lines().filter(|line| line.contains("the service manager cannot be told")).count();
    assert_eq!(told, 1, "{}", ended.stderr);
}

#[test]
fn the_watchdog_is_fed_while_everything_is_down_however_rarely_it_is_probed() {
    let Some(host) = Namespace::new() else { return };
    silence(&host);
    for interval in ["50ms", "1h"] {
        let config = format!("[defaults]\ninterval = \"{interval}\"\ntimeout = \"100ms\"\n{DOWN}");
        let (run, mut manager) = start(&host, &config, &watchdog());
        manager.expect_line(0, "READY=1");
        manager.expect_fed(8);
        let told = run.text("stderr");
        assert!(!told.contains("no progress") && !told.contains("over loopback"), "{told}");
        let lines = run.text("log/pingtest.log");
        assert!(!lines.contains("127.0.0.1"), "what we send ourselves is nobody's line: {lines}");
        stop(run, &mut manager);
    }
}

#[test]
fn a_watchdog_that_is_another_processes_is_not_fed() {
    let Some(host) = Namespace::new() else { return };
    let variables = [("WATCHDOG_USEC", "60000".to_owned()), ("WATCHDOG_PID", "1".to_owned())];
    let (run, mut manager) = start(&host, UP, &variables);
    let at = manager.expect_line(0, "READY=1");
    manager.expect_status(at, "figures", |status| status.contains("loss"));
    stop(run, &mut manager);
    assert_eq!(manager.count("WATCHDOG=1"), 0);
}

/// A release build cannot be told to hang.
#[cfg(debug_assertions)]
#[test]
fn whichever_part_hangs_the_watchdog_is_fed_no_more_and_the_part_is_named() {
    let Some(host) = Namespace::new() else { return };
    silence(&host);
    let parts = [
        ("driver", Some("the probing loop has made no progress")),
        ("receive", Some("the receive path has made no progress")),
        ("writer", Some("the log's writer has made no progress")),
        ("main", None),
    ];
    for (part, said) in parts {
        // A target that answers, and one that does not: neither feeds.
        let (run, mut manager) = start(&host, &format!("{UP}{DOWN}"), &watchdog());
        manager.expect_line(0, "READY=1");
        manager.expect_fed(2);
        fs::write(run.dir().join("stall"), part).expect("the directory is ours");
        if let Some(said) = said {
            run.wait_for("stderr", said, |text| text.contains(said));
            let others = parts.iter().filter_map(|(_, other)| *other).filter(|other| *other != said);
            let text = run.text("stderr");
            others.for_each(|other| assert!(!text.contains(other), "{part}: {text}"));
        }
        // One may have been on its way when it was told.
        wait::pause(WATCHDOG / 6);
        manager.read();
        let fed = manager.count("WATCHDOG=1");
        wait::pause(WATCHDOG);
        manager.read();
        assert_eq!(manager.count("WATCHDOG=1"), fed, "{part}: {:?}", manager.heard);
    }
}

/// A release build has no disk that is slow by order.
#[cfg(debug_assertions)]
#[test]
fn a_log_that_is_slow_and_works_is_fed_for_while_a_batch_of_lines_takes_longer_than_the_watchdog_has() {
    let Some(host) = Namespace::new() else { return };
    // With 20 ms a write, one round takes four times three seconds.
    let targets = (0..600).map(|n| {
        let (high, low) = (n / 250 + 1, n % 250 + 1);
        format!("[[target]]\nname = \"t{n}\"\nhost = \"127.0.{high}.{low}\"\n")
    });
    let config: String = targets.collect();
    let dir = program::directory();
    write_config(dir.path(), &format!("[defaults]\ninterval = \"1s\"\n{config}"));
    let file = dir.path().join("pingtest.toml");
    let config = fs::read_to_string(&file).expect("it was written");
    fs::write(file, config.replace("combined", "per-target")).expect("the directory is ours");
    let (run, mut manager) = launch(&host, dir, &watchdog());
    manager.expect_line(0, "READY=1");
    fs::write(run.dir().join("stall"), "slow").expect("the directory is ours");
    for _ in 0..16 {
        manager.expect_fed(1);
        let told = run.text("stderr");
        assert!(!told.contains("no progress"), "{told}");
    }
}

#[test]
fn what_a_receive_path_that_hangs_does_not_hear_is_not_called_lost() {
    let Some(host) = Namespace::new() else { return };
    silence(&host);
    let config = UP.replace("\"100ms\"", "\"500ms\"");
    let (run, mut manager) = start(&host, &format!("{config}{DOWN}"), &watchdog());
    manager.expect_line(0, "READY=1");
    manager.expect_fed(2);
    let log = "log/pingtest.log";
    run.wait_for(log, "loss of the silent one", |text| {
        text.contains("\"target\":\"silent\"") && text.contains("\"lost\"")
    });
    fs::write(run.dir().join("stall"), "receive").expect("the directory is ours");
    run.wait_for("stderr", "word of it", |text| text.contains("the receive path has made no progress"));
    let text = run.text(log);
    let answered = |line: &&str| line.contains("\"target\":\"127.0.0.1\"");
    assert!(text.lines().filter(answered).all(|line| line.contains("\"reply\"")), "{text}");
}

#[test]
fn a_host_that_does_not_answer_itself_is_told_once_and_its_watchdog_is_fed() {
    let Some(host) = Namespace::new() else { return };
    let down: [&dyn Fn(); 2] =
        [&|| host.ip("link set lo down"), &|| host.nft(&["input iifname lo meta l4proto { icmp, icmpv6 } drop"])];
    for down in down {
        host.ip("link set lo up");
        down();
        let (run, mut manager) = start(&host, &UP.replace("127.0.0.1", "10.99.0.9"), &watchdog());
        manager.expect_line(0, "READY=1");
        manager.expect_fed(8);
        let text = run.wait_for("stderr", "word of it", |text| text.contains("does not answer itself over loopback"));
        assert_eq!(text.matches("does not answer itself").count(), 1, "{text}");
        manager.expect_fed(4);
        let text = run.text("stderr");
        assert!(text.matches("does not answer itself").count() == 1 && !text.contains("no progress"), "{text}");
        stop(run, &mut manager);
    }
}

#[test]
fn over_which_protocol_a_host_answers_itself_does_not_matter() {
    let Some(host) = Namespace::new() else { return };
    for silent in ["ip", "ip6"] {
        host.nft(&[&format!("input iifname lo meta protocol {silent} drop")]);
        // Nobody answers but the host itself.
        let (run, mut manager) = start(&host, &UP.replace("127.0.0.1", "10.99.0.9"), &watchdog());
        manager.expect_line(0, "READY=1");
        manager.expect_fed(6);
        assert!(!run.text("stderr").contains("does not answer itself"), "{}", run.text("stderr"));
        stop(run, &mut manager);
    }
}

#[test]
fn a_firewall_that_comes_later_is_told_once_each_time_and_starves_no_watchdog() {
    let Some(host) = Namespace::new() else { return };
    let (run, mut manager) = start(&host, UP, &watchdog());
    manager.expect_line(0, "READY=1");
    for times in 1..3 {
        manager.expect_fed(3);
        host.nft(&["input iifname lo meta l4proto { icmp, icmpv6 } drop"]);
        let said = "does not answer itself over loopback";
        run.wait_for("stderr", said, |text| text.matches(said).count() == times);
        manager.expect_fed(8);
        assert_eq!(run.text("stderr").matches(said).count(), times);
        host.nft(&[]);
    }
    let told = run.text("stderr");
    assert!(!told.contains("no progress"), "{told}");
    assert!(run.text("log/pingtest.log").contains("\"lost\""), "what the firewall drops is lost");
    stop(run, &mut manager);
}

#[test]
fn a_loopback_that_goes_down_later_stalls_nothing_while_others_answer() {
    let Some(Pair { near: host, far: _far }) = Pair::new() else { return };
    let (run, mut manager) = start(&host, &UP.replace("127.0.0.1", "10.99.0.2"), &watchdog());
    manager.expect_line(0, "READY=1");
    manager.expect_fed(2);
    host.ip("link set lo down");
    manager.expect_fed(10);
    assert!(!run.text("stderr").contains("no progress"), "{}", run.text("stderr"));
    stop(run, &mut manager);
}

#[test]
fn a_stop_of_the_whole_process_for_a_while_is_put_down_to_no_part() {
    let Some(host) = Namespace::new() else { return };
    let (run, mut manager) = start(&host, UP, &watchdog());
    manager.expect_line(0, "READY=1");
    manager.expect_fed(2);
    run.signal(Signal::SIGSTOP);
    wait::pause(WATCHDOG * 2 / 3);
    run.signal(Signal::SIGCONT);
    manager.expect_fed(4);
    assert!(!run.text("stderr").contains("no progress"), "{}", run.text("stderr"));
    stop(run, &mut manager);
}
