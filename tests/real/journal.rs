//! What the program tells the journal: the real binary, and a socket that stands where the journal's is.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::net::{Namespace, skip};
use crate::support::program::{self, Ended, Program, write_config};
use crate::support::wait::PATIENCE;

/// What the help promises, whatever is under way.
const STOPS_WITHIN: Duration = Duration::from_secs(2);

const TARGETS: &str = "[defaults]\ninterval = \"50ms\"\ntimeout = \"200ms\"\n\
    [[target]]\nname = \"live\"\nhost = \"127.0.0.1\"\n[[target]]\nname = \"flaps\"\nhost = \"127.0.0.2\"\n";

/// Puts the directory `$0` where the journal's socket is, for this process and all below it.
const IN_PLACE: &str = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal && \
    mount --bind \"$0\" /run/systemd/journal && exec \"$@\"";

/// A journal: its socket, and the other end of what is the program's standard error.
struct Journal {
    socket: UnixDatagram,
    stderr: UnixStream,
}

type Message = BTreeMap<String, String>;

impl Journal {
    /// Starts the program under it, with this configuration.
    fn start(namespace: &Namespace, config: &str, prepare: impl FnOnce(&Path, &UnixDatagram)) -> (Self, Program) {
        let dir = program::directory();
        write_config(dir.path(), config);
        let place = dir.path().join("journal");
        fs::create_dir(&place).expect("the directory is ours");
        let socket = UnixDatagram::bind(place.join("socket")).expect("the directory is ours");
        fs::set_permissions(place.join("socket"), Permissions::from_mode(0o666)).expect("it is ours");
        prepare(&place, &socket);
        let (stderr, theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut command = namespace.command("unshare");
        command.args(["--mount", "sh", "-c", IN_PLACE]).arg(&place);
        command.args(["env", &stream(&theirs), env!("CARGO_BIN_EXE_pingtest")]);
        let args = ["run", "--config", "pingtest.toml"];
        let program = Program::spawn_with(dir, command, &args, OwnedFd::from(theirs).into());
        (Self { socket, stderr }, program)
    }

    /// The next message of this kind.
    fn expect(&self, event: &str) -> Message {
        loop {
            let message = self.next().unwrap_or_else(|| panic!("no {event}"));
            if message.get("PINGTEST_EVENT").is_some_and(|word| word == event) {
                return message;
            }
        }
    }

    fn next(&self) -> Option<Message> {
        self.socket.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
        let mut buffer = vec![0; 256 * 1024];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(fields(&buffer[..length]))
    }

    /// All that was said on standard error, once the program has ended.
    fn said(&mut self) -> String {
        let mut text = String::new();
        self.stderr.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
        self.stderr.read_to_string(&mut text).expect("the other end is closed");
        text
    }
}

/// JOURNAL_STREAM as systemd would set it for this standard error.
fn stream(stderr: &UnixStream) -> String {
    let file = fs::metadata(format!("/proc/self/fd/{}", stderr.as_raw_fd())).expect("it is open");
    format!("JOURNAL_STREAM={}:{}", file.dev(), file.ino())
}

/// The fields of a message: `NAME=value`, or for several lines the name, a length and the value.
fn fields(mut rest: &[u8]) -> Message {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it writes UTF-8");
    let mut fields = Message::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = (text(&rest[..end]), &rest[end + 1..]);
        if let Some((name, value)) = line.split_once('=') {
            fields.insert(name.to_owned(), value.to_owned());
            rest = after;
        } else {
            let (len, after) = after.split_first_chunk().expect("a length");
            let len = usize::try_from(u64::from_le_bytes(*len)).expect("it fits into a datagram");
            fields.insert(line, text(&after[..len]));
            rest = &after[len + 1..];
        }
    }
    fields
}

fn stopped(program: &mut Program) -> Ended {
    program.signal(Signal::SIGTERM);
    program.ended(STOPS_WITHIN)
}

#[track_caller]
fn assert_fields(message: &Message, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(message.get(*name).map(String::as_str), Some(*value), "{name}: {message:?}");
    }
}

#[test]
fn an_outage_is_in_the_journal_with_its_fields_and_no_reply_is() {
    let Some(host) = Namespace::new() else { return };
    let (mut journal, mut program) = Journal::start(&host, TARGETS, |_, _| {});
    program.wait_for("log/pingtest.log", "reply", |text| text.contains("\"flaps\""));
    host.nft(&["input ip daddr 127.0.0.2 drop"]);
    let began = journal.expect("outage_began");
    host.nft(&[]);
    let ended = journal.expect("outage_ended");
    let of_target = [("PINGTEST_TARGET", "flaps"), ("PINGTEST_HOST", "127.0.0.2"), ("PINGTEST_ADDR", "127.0.0.2")];
    assert_fields(&began, &of_target);
    assert_fields(&began, &[("PRIORITY", "4"), ("SYSLOG_IDENTIFIER", "pingtest"), ("PINGTEST_CAUSE", "unanswered")]);
    assert_fields(&ended, &of_target);
    assert_fields(&ended, &[("PRIORITY", "5"), ("PINGTEST_BEHIND", "0"), ("PINGTEST_BEGAN", &began["PINGTEST_BEGAN"])]);
    assert_ne!(began["MESSAGE_ID"], ended["MESSAGE_ID"]);
    let lasted: u64 = ended["PINGTEST_LASTED_USEC"].parse().expect("microseconds");
    let said = format!("flaps: up again, was down for {:.3} s", Duration::from_micros(lasted).as_secs_f64());
    assert_eq!(ended["MESSAGE"], said);
    let end = stopped(&mut program);
    assert_eq!(end.code, Some(0), "{end:?}");
    journal.socket.set_nonblocking(true).expect("a socket");
    let rest: Vec<_> = std::iter::from_fn(|| journal.socket.recv(&mut [0; 4096]).ok()).collect();
    assert!(rest.len() < 10, "one for each reply: {}", rest.len());
    assert_eq!(journal.said(), "", "the journal has it already");
}

#[test]
fn a_log_that_cannot_be_written_and_its_recovery_are_in_the_journal() {
    let Some(host) = Namespace::new() else { return };
    // A directory in the place of the file.
    let block = |place: &Path, _: &UnixDatagram| {
        fs::create_dir_all(place.with_file_name("log/pingtest.log")).expect("the directory is ours");
    };
    let (journal, mut program) = Journal::start(&host, TARGETS, block);
    let failed = journal.expect("log_failed");
    assert_fields(&failed, &[("PRIORITY", "3"), ("PINGTEST_PATH", "log/pingtest.log")]);
    assert!(failed["PINGTEST_ERROR"].contains("Is a directory"), "{failed:?}");
    fs::remove_dir(program.dir().join("log/pingtest.log")).expect("it is empty");
    // The trouble was that of the directory, whichever of its files met it.
    assert_fields(&journal.expect("log_recovered"), &[("PINGTEST_PATH", "log"), ("PINGTEST_LINES", "0")]);
    let end = stopped(&mut program);
    assert_eq!(end.code, Some(0), "{end:?}");
}

#[test]
fn another_address_of_a_name_is_in_the_journal() {
    let Some(host) = Namespace::new() else { return };
    host.etc("hosts", "127.0.0.1 moves\n");
    let config = "[defaults]\ninterval = \"50ms\"\ntimeout = \"200ms\"\nresolve_every = \"1s\"\n\
        [[target]]\nhost = \"moves\"\n";
    let (journal, mut program) = Journal::start(&host, config, |_, _| {});
    program.wait_for("log/pingtest.log", "reply", |text| text.contains("\"outcome\":\"reply\""));
    host.etc("hosts", "127.0.0.2 moves\n");
    let changed = journal.expect("address_changed");
    assert_fields(
        &changed,
        &[
            ("PRIORITY", "6"),
            ("PINGTEST_TARGET", "moves"),
            ("PINGTEST_OLD", "127.0.0.1"),
            ("PINGTEST_NEW", "127.0.0.2"),
            ("MESSAGE", "moves: moves is 127.0.0.2, was 127.0.0.1"),
        ],
    );
    assert_eq!(stopped(&mut program).code, Some(0));
}

#[test]
fn a_reload_is_told_with_its_targets_or_with_every_problem() {
    let Some(host) = Namespace::new() else { return };
    let (journal, mut program) = Journal::start(&host, TARGETS, |_, _| {});
    journal.expect("started");
    program.signal(Signal::SIGHUP);
    assert_fields(
        &journal.expect("reloaded"),
        &[("PINGTEST_COUNT", "2"), ("MESSAGE", "configuration reloaded: 2 targets")],
    );
    fs::write(program.dir().join("pingtest.toml"), "[[target]]\nhost = 4\nttl = 300\n").expect("the directory is ours");
    program.signal(Signal::SIGHUP);
    let failed = journal.expect("reload_failed");
    assert_fields(&failed, &[("PRIORITY", "3"), ("PINGTEST_PATH", "pingtest.toml")]);
    let error = &failed["PINGTEST_ERROR"];
    assert!(error.lines().count() == 2 && error.contains("ttl = 300"), "{failed:?}");
    assert_eq!(failed["MESSAGE"], format!("not reloaded, the configuration in force stays:\n{error}"));
    assert_eq!(stopped(&mut program).code, Some(0));
}

#[test]
fn a_journal_that_nobody_reads_holds_up_neither_probes_nor_the_stop() {
    let Some(host) = Namespace::new() else { return };
    let (mut journal, mut program) = Journal::start(&host, TARGETS, |place, _| {
        let full = UnixDatagram::unbound().expect("a socket");
        full.set_nonblocking(true).expect("a socket");
        let refused = (0..1_000_000).find_map(|_| full.send_to(b"MESSAGE=x\n", place.join("socket")).err());
        assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::WouldBlock));
    });
    program.wait_for("log/pingtest.log", "fiftieth reply", |text| text.matches("\"reply\"").count() >= 50);
    let lines = crate::support::line::parse(&program.text("log/pingtest.log"));
    let stalled = lines.iter().find(|line| line.outcome == "not_measured");
    assert!(stalled.is_none(), "{stalled:?}");
    assert_eq!(stopped(&mut program).code, Some(0));
    assert_eq!(journal.said(), "");
}

#[test]
fn where_no_journal_listens_lines_go_to_standard_error_with_their_priority() {
    let Some(host) = Namespace::new() else { return };
    let gone = |place: &Path, _: &UnixDatagram| fs::remove_file(place.join("socket")).expect("it is ours");
    let (mut journal, mut program) = Journal::start(&host, TARGETS, gone);
    program.wait_for("log/pingtest.log", "reply", |text| text.contains("\"flaps\""));
    assert_eq!(stopped(&mut program).code, Some(0));
    let said = journal.said();
    let started = said.lines().find(|line| line.contains("probing 2 targets"));
    assert!(started.is_some_and(|line| line.starts_with("<6>") || line.starts_with("<5>")), "{said}");
    assert!(!said.contains("PINGTEST_"), "{said}");
}

#[test]
fn standard_error_that_is_not_the_journal_gets_plain_lines() {
    let Some(host) = Namespace::new() else { return };
    let dir = program::directory();
    write_config(dir.path(), TARGETS);
    let mut command = host.command("env");
    command.args(["JOURNAL_STREAM=1:2", env!("CARGO_BIN_EXE_pingtest")]);
    let mut program = Program::spawn(dir, command, &["run", "--config", "pingtest.toml"]);
    program.wait_for("log/pingtest.log", "reply", |text| text.contains("\"flaps\""));
    let said = stopped(&mut program).stderr;
    let started = said.lines().find(|line| line.contains("INFO probing 2 targets"));
    assert!(started.is_some_and(|line| line.starts_with("20")), "{said}");
    assert!(!said.contains("PINGTEST_") && !said.contains('<'), "{said}");
}

#[test]
fn why_it_does_not_start_is_an_error_in_the_journal() {
    let (mut stderr, theirs) = UnixStream::pair().expect("a pair of sockets");
    let dir = program::directory();
    fs::write(dir.path().join("c.toml"), "[[target]]\ntimout = 3\nhost = 4\n").expect("the directory is ours");
    let mut command = Command::new("env");
    command.args([&stream(&theirs), env!("CARGO_BIN_EXE_pingtest")]);
    let args = ["run", "--config", "c.toml"];
    let mut program = Program::spawn_with(dir, command, &args, OwnedFd::from(theirs).into());
    assert_eq!(program.ended(PATIENCE).code, Some(78));
    let mut said = String::new();
    stderr.read_to_string(&mut said).expect("the other end is closed");
    assert!(said.lines().count() >= 2 && said.lines().all(|line| line.starts_with("<3>")), "{said}");
}

/// A real journal in `/run`, what it explains in `$0`, a real daemon, and what journalctl finds of it. None of it is this machine's.
const REAL: &str = r#"
set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal
for dir in /var/log /var/lib/systemd /usr/lib/systemd/catalog; do mount -t tmpfs tmpfs $dir; done
mkdir -p /var/lib/systemd/catalog
cp "$0" /usr/lib/systemd/catalog
journalctl --update-catalog
/lib/systemd/systemd-journald & journald=$!
until systemd-cat true 2>/dev/null; do sleep 0.1; done
systemd-cat -t pingtest sh -c 'exec env JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) "$@"' sh "$@" & pingtest=$!
until journalctl -q -t pingtest PINGTEST_EVENT=first_reply PINGTEST_EVENT=not_resolved | grep -q .; do sleep 0.1; done
kill $pingtest
wait $pingtest
journalctl --sync
journalctl -q -t pingtest -p warning -x -o short PINGTEST_TARGET=nameless
kill $journald
wait $journald
"#;

#[test]
fn journalctl_finds_and_explains_what_was_told() {
    if !Path::new("/lib/systemd/systemd-journald").exists() || !Path::new("/etc/machine-id").exists() {
        skip("there is no systemd-journald");
        return;
    }
    if Namespace::new().is_none() {
        return;
    }
    let dir = program::directory();
    write_config(dir.path(), "[[target]]\nname = \"nameless\"\nhost = \"no.such.host.invalid\"\n");
    let catalog = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/usr/lib/systemd/catalog/pingtest.catalog");
    // Without ip(8), which would leave the journal without a /sys/fs/cgroup.
    let mut command = Command::new("timeout");
    command.args([
        "25",
        "unshare",
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "sh",
        "-c",
        REAL,
    ]);
    command.arg(catalog).arg(env!("CARGO_BIN_EXE_pingtest"));
    let ended = Program::spawn(dir, command, &["run", "--config", "pingtest.toml"]).ended(PATIENCE * 2);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for expected in [": nameless: no.such.host.invalid: ", "Subject: no.such.host.invalid cannot be resolved"] {
        assert!(ended.stdout.contains(expected), "{ended:?}");
    }
}
