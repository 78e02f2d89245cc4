//! The compiled program at work: in a namespace or outside, with its rights or without, its output at hand.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::line::{self, Line};
use super::net::Namespace;
use super::wait::{self, PATIENCE};

/// What nice(1) adds.
const BEFORE_OTHERS: &str = "-15";
const BEHIND_OTHERS: &str = "10";

const BINARY: &str = env!("CARGO_BIN_EXE_pingtest");

/// What the program may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    /// Anything: it takes raw sockets.
    Root,
    /// Nothing but what everybody may where `net.ipv4.ping_group_range` is open: it takes datagram sockets.
    Group,
    /// Nothing, and `net.ipv4.ping_group_range` is closed.
    None,
}

/// The program, prepared with a directory of its own. Dropping it ends it.
pub(crate) struct Program {
    dir: TempDir,
    child: Child,
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// Starts it in `namespace` with these arguments.
    pub(crate) fn start(namespace: &Namespace, rights: Rights, args: &[&str]) -> Self {
        Self::start_in(directory(), namespace, rights, args)
    }

    /// Starts it in `namespace`, in a directory that has been furnished.
    pub(crate) fn start_in(dir: TempDir, namespace: &Namespace, rights: Rights, args: &[&str]) -> Self {
        let command = command(namespace, rights, dir.path());
        Self::spawn(dir, command, args)
    }

    /// Starts a prepared command in a directory that has been furnished.
    pub(crate) fn spawn(dir: TempDir, command: Command, args: &[&str]) -> Self {
        let stderr = File::create(dir.path().join("stderr")).expect("the directory is ours");
        Self::spawn_with(dir, command, args, stderr.into())
    }

    /// Likewise, with its standard error led elsewhere.
    pub(crate) fn spawn_with(dir: TempDir, mut command: Command, args: &[&str], stderr: Stdio) -> Self {
        let stdout = File::create(dir.path().join("stdout")).expect("the directory is ours");
        command.args(args).current_dir(dir.path()).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        for variable in ["LOGS_DIRECTORY", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "RUST_LOG"] {
            command.env_remove(variable);
        }
        let child = command.spawn();
        Self { dir, child: child.expect("the program can be started") }
    }

    /// Its directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        signal::kill(pid, signal).expect("it is ours, and was not waited for");
    }

    /// What it has written to one of its streams or files so far, empty where there is no such file yet.
    pub(crate) fn text(&self, file: &str) -> String {
        match fs::read(self.dir().join(file)) {
            Ok(bytes) => String::from_utf8(bytes).expect("it writes UTF-8"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => panic!("{file}: {error}"),
        }
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(&mut self, within: Duration) -> Ended {
        let status: Option<ExitStatus> = wait::until(within, || self.child.try_wait().expect("it is ours to wait for"));
        let (stdout, stderr) = (self.text("stdout"), self.text("stderr"));
        let status = status.unwrap_or_else(|| panic!("does not end in {within:?}:\n{stdout}{stderr}"));
        Ended { code: status.code(), stdout, stderr }
    }

    /// Waits until a file of it satisfies `wanted`.
    pub(crate) fn wait_for(&self, file: &str, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        wait::until(PATIENCE, || Some(self.text(file)).filter(|text| wanted(text)))
            .unwrap_or_else(|| panic!("no {what} in {file}:\n{}\n{}", self.text(file), self.text("stderr")))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it to its end without a network.
pub(crate) fn run(args: &[&str]) -> Ended {
    Program::spawn(directory(), Command::new(BINARY), args).ended(PATIENCE)
}

/// Runs it to its end in `namespace`.
pub(crate) fn run_in(namespace: &Namespace, rights: Rights, args: &[&str]) -> Ended {
    Program::start(namespace, rights, args).ended(PATIENCE)
}

/// `pingtest run` with all its lines in one JSON file, and a place up to which they have been read.
pub(crate) struct Daemon {
    pub(crate) program: Program,
    read: usize,
}

impl Daemon {
    const LOG: &str = "log/pingtest.log";

    /// Starts it in `namespace` with this configuration, which says nothing of the log.
    pub(crate) fn start(namespace: &Namespace, rights: Rights, config: &str) -> Self {
        Self::start_with(BEFORE_OTHERS, namespace, rights, config)
    }

    /// Starts it where everything else goes before it.
    pub(crate) fn start_behind_others(namespace: &Namespace, rights: Rights, config: &str) -> Self {
        Self::start_with(BEHIND_OTHERS, namespace, rights, config)
    }

    fn start_with(niceness: &str, namespace: &Namespace, rights: Rights, config: &str) -> Self {
        let dir = directory();
        write_config(dir.path(), config);
        let command = command_with(niceness, namespace, rights, dir.path());
        Self { program: Program::spawn(dir, command, &["run", "--config", "pingtest.toml"]), read: 0 }
    }

    /// Puts another configuration in place and has it read.
    pub(crate) fn reload(&self, config: &str) {
        write_config(self.program.dir(), config);
        self.program.signal(Signal::SIGHUP);
    }

    /// Waits for a line like this behind all lines waited for so far.
    pub(crate) fn expect(&mut self, what: &str, wanted: impl Fn(&Line) -> bool) -> Line {
        let found = wait::until(PATIENCE, || {
            let lines = self.lines();
            let index = self.read + lines[self.read..].iter().position(&wanted)?;
            Some((index, lines[index].clone()))
        });
        let Some((index, line)) = found else { panic!("no {what} after line {}:\n{}", self.read, self.story()) };
        self.read = index + 1;
        line
    }

    /// Waits for a line that tells this of the target.
    pub(crate) fn expect_outcome(&mut self, target: &str, outcome: &str) -> Line {
        self.expect(&format!("{outcome} of {target}"), |line| line.is(target, outcome))
    }

    /// Waits for one such line of each of the targets, in any order.
    pub(crate) fn expect_of_all(&mut self, targets: &[&str], outcome: &str) -> Vec<Line> {
        let start = self.read;
        let found = targets.iter().map(|target| {
            let line = self.expect_outcome(target, outcome);
            (std::mem::replace(&mut self.read, start), line)
        });
        let found: Vec<_> = found.collect();
        self.read = found.iter().map(|(read, _)| *read).max().unwrap_or(start);
        found.into_iter().map(|(_, line)| line).collect()
    }

    /// Waits from the first line on again.
    pub(crate) fn rewind(&mut self) {
        self.read = 0;
    }

    /// All lines so far.
    pub(crate) fn lines(&self) -> Vec<Line> {
        line::parse(&self.program.text(Self::LOG))
    }

    /// What it has said lately, for whoever has to find out what went wrong.
    pub(crate) fn story(&self) -> String {
        const LAST: usize = 20;
        let log = self.program.text(Self::LOG);
        let skipped = log.lines().count().saturating_sub(LAST);
        let last: Vec<_> = log.lines().skip(skipped).collect();
        format!("({skipped} lines before)\n{}\n{}", last.join("\n"), self.program.text("stderr"))
    }

    /// Stops it as systemd does, and gives all its lines.
    pub(crate) fn stop(mut self) -> Vec<Line> {
        self.program.signal(Signal::SIGTERM);
        let ended = self.program.ended(PATIENCE);
        assert_eq!(ended.code, Some(0), "{}", self.story());
        self.lines()
    }
}

/// A configuration that says nothing of the log: that is one JSON file, `log/pingtest.log`. Ledger and control socket are off unless it
/// says otherwise.
pub(crate) fn write_config(dir: &Path, config: &str) {
    // One file, whatever its size and whatever day it is: what becomes of files has tests of its own.
    let log = "[log]\ndir = \"log\"\nlayout = \"combined\"\nformat = \"json\"\nrotate = \"never\"\nmax_size = 0\nmax_total = 0\n";
    let kept = kept_here(config);
    fs::write(dir.join("pingtest.toml"), format!("{log}{kept}{config}")).expect("the directory is ours");
}

/// Four lines that keep ledger and control socket away from this machine's own places, where `config` says nothing of them: there are
/// none.
pub(crate) fn kept_here(config: &str) -> String {
    let off = [("[ledger]", "path"), ("[control]", "socket")];
    let unsaid = off.iter().filter(|(table, _)| !config.contains(table));
    unsaid.map(|(table, key)| format!("{table}\n{key} = \"off\"\n")).collect()
}

/// A new directory that everybody may write to.
pub(crate) fn directory() -> TempDir {
    let dir = tempfile::Builder::new().prefix("pingtest-").tempdir().expect("a temporary directory");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).expect("the directory is ours");
    dir
}

/// A command that is the program in `namespace`, with these rights. It goes before whatever else keeps this machine busy: a slot
/// missed for want of a processor is rightly told, but not what these tests are about.
pub(crate) fn command(namespace: &Namespace, rights: Rights, dir: &Path) -> Command {
    command_with(BEFORE_OTHERS, namespace, rights, dir)
}

fn command_with(niceness: &str, namespace: &Namespace, rights: Rights, dir: &Path) -> Command {
    let mut command = namespace.command("nice");
    command.args(["-n", niceness]);
    let ping_groups = match rights {
        Rights::Root => {
            command.arg(BINARY);
            return command;
        }
        Rights::Group => "0 2147483647",
        Rights::None => "1 0",
    };
    namespace.set("ipv4/ping_group_range", ping_groups);
    command.args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.args(["--bounding-set=-all", "--inh-caps=-all"]).arg(reachable_binary(dir));
    command
}

/// The way to the compiled program may be closed to everybody else, as below /root it is. Another process copies it: were it open for
/// writing here while another test starts a child, that child would hold it open, and it could not be executed (ETXTBSY).
fn reachable_binary(dir: &Path) -> PathBuf {
    let copy = dir.join("pingtest");
    let copied = Command::new("cp").arg(BINARY).arg(&copy).status().expect("cp can be run");
    assert!(copied.success(), "the program can be copied");
    copy
}

/// Makes tests of functions that hold whichever kind of socket the rights lead to.
macro_rules! with_either_socket {
    ($($test:ident)*) => {
        mod raw {
            use crate::support::program::Rights;
            $(#[test] fn $test() { super::$test(Rights::Root) })*
        }
        mod datagram {
            use crate::support::program::Rights;
            $(#[test] fn $test() { super::$test(Rights::Group) })*
        }
    };
}
pub(crate) use with_either_socket;
