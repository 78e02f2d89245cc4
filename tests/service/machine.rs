//! A machine of its own with a real systemd as process 1: systemd-nspawn on an overlay of this system, which stays as it is.
//!
//! What it writes lies in memory and lives as long as the machine does, over as many boots as a test wants. Processes, mounts and
//! control groups are gone when it is dropped, or when the test's process ends in whichever way. It knows nothing of pingtest.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Seek};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::{Pid, geteuid};

use crate::cgroup::Groups;
use crate::support::net::{self, Namespace};
use crate::support::wait::{self, PATIENCE};

/// More than a boot or a command inside takes; a busy machine may need half a minute for what is done in a second.
const LONG: Duration = Duration::from_secs(90);

/// Where the overlay is, in a mount namespace of its own whose `/run` is empty otherwise.
const ROOT: &str = "/run/machine/root";

/// Lays the overlay and stays there until its standard input is closed, which is when the test ends.
///
/// A machine has an id of its own, a journal on its disk, and starts no service that this system happens to have. Nothing keeps
/// packages from starting services, as images of containers do, and installing them is not delayed by indices of manuals and the like.
const FURNISH: &str = r#"set -e
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/machine/changes /run/machine/work /run/machine/root
mount -t tmpfs -o mode=755 tmpfs /run/machine/changes
mkdir /run/machine/changes/upper /run/machine/changes/work
mount -t overlay overlay -o lowerdir=/,upperdir=/run/machine/changes/upper,workdir=/run/machine/changes/work /run/machine/root
cd /run/machine/root
rm -rf etc/systemd/system/*.wants etc/resolv.conf var/log/journal run
rm -f usr/sbin/policy-rc.d etc/apt/apt.conf.d/20packagekit etc/apt/apt.conf.d/50appstream var/lib/man-db/auto-update
mkdir -m 755 run
mkdir var/log/journal
tr -d - </proc/sys/kernel/random/uuid >etc/machine-id
echo ready
exec cat
"#;

/// In place of `/bin/sh`: enters the control groups that are its arguments up to `--`, and becomes the command behind.
const ENTER: &str = r#"while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@""#;

/// A machine, booted. Dropping it takes it away.
pub(crate) struct Machine {
    name: String,
    /// Keeps the mounts.
    furniture: Child,
    groups: Groups,
    console: File,
    running: Option<Running>,
}

/// Between boot and poweroff.
struct Running {
    /// systemd-nspawn.
    outside: Child,
    /// Process 1 of the machine, as it is numbered here.
    first: u32,
}

/// How a command inside ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Machine {
    /// Boots a new one; `None` where this system does not allow for it: then the test is skipped, and says so.
    pub(crate) fn new() -> Option<Self> {
        static OBSTACLE: OnceLock<Option<String>> = OnceLock::new();
        if let Some(obstacle) = OBSTACLE.get_or_init(|| probe().err()) {
            net::skip(obstacle);
            return None;
        }
        let mut machine = Self::furnish().unwrap_or_else(|error| panic!("{error}"));
        machine.boot();
        Some(machine)
    }

    fn furnish() -> Result<Self, String> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let name = format!("pingtest-{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let mut furnish = Command::new("unshare");
        furnish.args(["--mount", "--propagation", "private", "sh", "-c", FURNISH]);
        let mut furniture = (furnish.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn())
            .map_err(|error| format!("unshare: {error}"))?;
        let mut ready = String::new();
        // An end of file says that it is not.
        let _ = furniture.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut ready));
        if ready != "ready\n" {
            let said = furniture.wait_with_output().map_err(|error| error.to_string())?;
            return Err(String::from_utf8_lossy(&said.stderr).trim().replace('\n', "; "));
        }
        let groups = Groups::new(&name)?;
        let console = tempfile::tempfile().map_err(|error| format!("a temporary file: {error}"))?;
        Ok(Self { name, furniture, groups, console, running: None })
    }

    /// Starts it, and waits until systemd says that it is up.
    pub(crate) fn boot(&mut self) {
        self.try_boot().unwrap_or_else(|error| panic!("{error}\n{}", self.console()));
    }

    fn try_boot(&mut self) -> Result<(), String> {
        let console = || self.console.try_clone().map_err(|error| error.to_string());
        let mut start = Command::new("setpriv");
        start.args(["--pdeathsig", "KILL", "nsenter", "-t", &self.furniture.id().to_string(), "--mount"]);
        start.args(["sh", "-c", ENTER, "sh"]).args(self.groups.paths()).arg("--");
        start.args(["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network"]);
        start.args(["--link-journal=no", "--console=pipe", "--resolv-conf=off", "-D", ROOT, "-M", &self.name]);
        start.stdin(Stdio::null()).stdout(console()?).stderr(console()?);
        let mut outside = start.spawn().map_err(|error| format!("setpriv: {error}"))?;
        let first = wait::until(LONG, || first_process(outside.id()).or_else(|| outside.try_wait().ok()?.map(|_| 0)));
        let first = first.filter(|first| *first != 0);
        self.running = Some(Running { outside, first: first.unwrap_or(0) });
        first.ok_or("systemd-nspawn starts no systemd")?;
        let is_up = || {
            let said = self.run(&["systemctl", "is-system-running"]).stdout;
            matches!(said.trim(), "running" | "degraded").then_some(())
        };
        wait::until(LONG, is_up).ok_or_else(|| "systemd does not come up".into())
    }

    /// Has it shut down in an orderly way, as before a reboot.
    pub(crate) fn power_off(&mut self) {
        // The way to it may be cut before it answers.
        let _ = self.run(&["systemctl", "poweroff"]);
        let mut running = self.running.take().expect("it is running");
        let ended = wait::until(LONG, || running.outside.try_wait().expect("it is ours to wait for"));
        assert!(ended.is_some_and(|status| status.success()), "{ended:?}\n{}", self.console());
    }

    /// Process 1 of it, as it is numbered here.
    pub(crate) fn first(&self) -> u32 {
        self.running.as_ref().expect("it is running").first
    }

    /// A file of it, as it can be opened from here.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.first()))
    }

    /// The text of a file of it, empty where there is none.
    pub(crate) fn text(&self, inside: &str) -> String {
        fs::read(self.path(inside)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Writes a file, and the directories above it.
    pub(crate) fn write(&self, inside: &str, text: &str) {
        let path = self.path(inside);
        let above = path.parent().expect("not the root itself");
        fs::create_dir_all(above).and_then(|()| fs::write(&path, text)).unwrap_or_else(|error| {
            panic!("{inside}: {error}");
        });
    }

    /// Copies a file into it, with its permissions.
    pub(crate) fn copy(&self, from: &Path, inside: &str) {
        fs::copy(from, self.path(inside)).unwrap_or_else(|error| panic!("{} to {inside}: {error}", from.display()));
    }

    /// A command to be run inside, with nothing of this process's environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", &LONG.as_secs().to_string()]);
        command.args(["nsenter", "-t", &self.first().to_string(), "--all", "--"]).args(args);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env_clear().env("PATH", format!("{path}:/usr/sbin:/usr/bin:/sbin:/bin"));
        let plain = [("LC_ALL", "C.UTF-8"), ("TERM", "dumb"), ("SYSTEMD_COLORS", "0"), ("SYSTEMD_PAGER", "")];
        command.envs(plain).env("DEBIAN_FRONTEND", "noninteractive");
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command inside to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args).output().expect("coreutils are installed"))
    }

    /// Runs a command inside that has to succeed, and gives what it writes to its standard output.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
        ended.stdout
    }

    /// The same for a line of shell.
    pub(crate) fn sh(&self, line: &str) -> String {
        self.ok(&["sh", "-c", line])
    }

    /// Lays a wire from it, `v0` with 10.99.0.1, to a host that answers to 10.99.0.2 – 10.99.0.9; to be laid again after a boot.
    pub(crate) fn plug(&self, far: &Namespace) {
        far.ip(&format!("link add v1 type veth peer name v0 netns {}\nlink set v1 up", self.first()));
        let addrs: String = (2..=9).fold(String::new(), |mut text, last| {
            let _ = writeln!(text, "addr add 10.99.0.{last}/24 dev v1");
            text
        });
        far.ip(&addrs);
        self.sh("ip link set v0 up && ip addr add 10.99.0.1/24 dev v0");
        let is_up = || self.ok(&["ip", "-oneline", "link", "show", "dev", "v0"]).contains(" state UP ");
        let carries = || is_up().then_some(());
        wait::until(PATIENCE, carries).expect("a wire that is laid carries");
    }

    /// All that it has written to its console.
    fn console(&self) -> String {
        let mut text = String::new();
        let _ = (&self.console).rewind();
        let _ = std::io::Read::read_to_string(&mut &self.console, &mut text);
        text
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            // Its number is its own while nobody has waited for systemd-nspawn; with it all processes of the machine end.
            if running.first != 0 && matches!(running.outside.try_wait(), Ok(None)) {
                let _ = signal::kill(pid(running.first), Signal::SIGKILL);
            }
            let _ = wait::until(PATIENCE, || running.outside.try_wait().ok()?);
            let _ = running.outside.kill();
            let _ = running.outside.wait();
        }
        // Its standard input has to be closed for it to end; it is closed by waiting.
        let _ = self.furniture.wait();
        self.groups.remove();
    }
}

impl Ended {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
        Self { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

pub(crate) fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).expect("a process id"))
}

/// The child of systemd-nspawn that is process 1 of its own namespace and has become systemd.
fn first_process(outside: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{outside}/task/{outside}/children")).ok()?;
    let mut children = children.split_whitespace().filter_map(|child| child.parse().ok());
    children.find(|child: &u32| {
        let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
        let inside = status.lines().find_map(|line| line.strip_prefix("NSpid:")?.split_whitespace().nth(1));
        status.starts_with("Name:\tsystemd\n") && inside == Some("1")
    })
}

/// Whether this system lets us have machines, and has all the tools.
fn probe() -> Result<(), String> {
    if !geteuid().is_root() {
        return Err("this is not root".into());
    }
    for tool in ["systemd-nspawn", "unshare", "nsenter", "setpriv", "apt-get", "dpkg-deb", "ip"] {
        let found = Command::new("sh").args(["-c", "command -v \"$0\" >/dev/null", tool]).status();
        found.ok().filter(|status| status.success()).ok_or_else(|| format!("{tool} is not installed"))?;
    }
    if !["/lib/systemd/systemd", "/usr/lib/systemd/systemd"].iter().any(|systemd| Path::new(systemd).exists()) {
        return Err("systemd is not installed".into());
    }
    let refused = |error: String| format!("no systemd can be booted here ({})", error.replace('\n', "; "));
    let mut machine = Machine::furnish().map_err(refused)?;
    machine.try_boot().map_err(|error| refused(format!("{error}; {}", machine.console().trim())))
}
