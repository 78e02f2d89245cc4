//! Networks made of namespaces and veth pairs, each test's its own, gone when it ends.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use nix::sched::{CloneFlags, setns};

use super::wait::{self, PATIENCE};

/// Debian keeps `ip` and `nft` where not everybody's path leads.
const SBIN: &str = "/usr/sbin:/sbin";

/// A network namespace with its loopback up. Two things that take time are off in it: limits on how often ICMP errors are sent, and
/// the search for somebody else with the same address.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// A namespace, or `None` where this machine does not give any: then the test is skipped, and says so.
    pub(crate) fn new() -> Option<Self> {
        static OBSTACLE: OnceLock<Option<String>> = OnceLock::new();
        if let Some(obstacle) = OBSTACLE.get_or_init(|| probe().err()) {
            skip(obstacle);
            return None;
        }
        Some(Self::create().unwrap_or_else(|error| panic!("{error}")))
    }

    fn create() -> Result<Self, String> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let name = format!("pingtest-{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        done(tool("ip").args(["netns", "add", &name]), "")?;
        let namespace = Self { name };
        namespace.try_ip("link set lo up")?;
        namespace.set("ipv4/icmp_ratelimit", "0");
        namespace.set("ipv6/icmp/ratelimit", "0");
        namespace.set("ipv6/conf/default/accept_dad", "0");
        Ok(namespace)
    }

    /// Runs commands of ip(8), one a line.
    pub(crate) fn ip(&self, commands: &str) {
        self.try_ip(commands).unwrap_or_else(|error| panic!("{error}"));
    }

    fn try_ip(&self, commands: &str) -> Result<(), String> {
        done(tool("ip").args(["-n", &self.name, "-batch", "-"]), commands)
    }

    fn is_up(&self, device: &str) -> bool {
        let shown = tool("ip").args(["-n", &self.name, "-oneline", "link", "show", "dev", device]).output();
        shown.is_ok_and(|shown| String::from_utf8_lossy(&shown.stdout).contains(" state UP "))
    }

    /// Runs a command of tc(8).
    #[allow(dead_code, reason = "for the proofs")]
    pub(crate) fn tc(&self, command: &str) {
        done(self.command("tc").args(command.split(' ')), "").unwrap_or_else(|error| panic!("{command}: {error}"));
    }

    /// Loads rules of nft(8). All are in the table `inet t`, which has the chains `input`, `output` and `forward`.
    pub(crate) fn nft(&self, rules: &[&str]) {
        self.try_nft(rules).unwrap_or_else(|error| panic!("{error}"));
    }

    fn try_nft(&self, rules: &[&str]) -> Result<(), String> {
        let mut text = "flush ruleset\nadd table inet t\n".to_owned();
        for hook in ["input", "output", "forward"] {
            text += &format!("add chain inet t {hook} {{ type filter hook {hook} priority 0; }}\n");
        }
        for rule in rules {
            text += &format!("add rule inet t {rule}\n");
        }
        done(self.command("nft").args(["-f", "-"]), &text)
    }

    /// Sets a key below `/proc/sys/net`.
    pub(crate) fn set(&self, key: &str, value: &str) {
        let path = format!("/proc/sys/net/{key}");
        self.within(|| fs::write(&path, value)).unwrap_or_else(|error| panic!("{key}: {error}"));
    }

    /// A command to be run in this namespace. It runs in place of ip(8), under the process id of that.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = tool("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Does something on a thread inside the namespace. A socket opened there stays there.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            let namespace = File::open(format!("/run/netns/{}", self.name)).expect("the namespace is there");
            setns(&namespace, CloneFlags::CLONE_NEWNET).expect("root may enter it");
            work()
        };
        thread::scope(|scope| scope.spawn(enter).join()).expect("the thread inside does not panic")
    }

    /// How many packets its open ICMP sockets have dropped: because their buffers were full, and on a raw one of IPv6 also because of
    /// wrong checksums.
    pub(crate) fn drops(&self) -> u64 {
        let tables = ["icmp", "raw", "icmp6", "raw6"].map(|table| format!("/proc/thread-self/net/{table}"));
        let sockets = self.within(|| tables.map(|table| fs::read_to_string(table).expect("proc(5)")).concat());
        // The last column; the line of headings is no number.
        sockets.lines().filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok()).sum()
    }

    /// Makes a file stand for one of `/etc` to all that is started in this namespace from here on; to write it again changes it for
    /// them.
    pub(crate) fn etc(&self, file: &str, text: &str) {
        let dir = self.etc_dir();
        fs::create_dir_all(&dir).and_then(|()| fs::write(dir.join(file), text)).expect("root may write there");
    }

    fn etc_dir(&self) -> PathBuf {
        PathBuf::from("/etc/netns").join(&self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = done(tool("ip").args(["netns", "del", &self.name]), "");
        let _ = fs::remove_dir_all(self.etc_dir());
    }
}

/// Two hosts on one wire: `v0` with 10.99.0.1 and fd99::1, `v1` with 10.99.0.2 and fd99::2.
pub(crate) struct Pair {
    pub(crate) near: Namespace,
    pub(crate) far: Namespace,
}

impl Pair {
    pub(crate) fn new() -> Option<Self> {
        let pair = Self { near: Namespace::new()?, far: Namespace::new()? };
        pair.plug();
        Some(pair)
    }

    /// Lays the wire; again after somebody took it away.
    pub(crate) fn plug(&self) {
        connect(&self.near, "v0", &self.far, "v1");
        self.near.ip("addr add 10.99.0.1/24 dev v0\naddr add fd99::1/64 dev v0 nodad");
        self.far.ip("addr add 10.99.0.2/24 dev v1\naddr add fd99::2/64 dev v1 nodad");
    }

    /// Takes the wire away, with the devices at both its ends.
    pub(crate) fn unplug(&self) {
        self.near.ip("link del v0");
    }
}

/// A host, a router and another host: 10.99.1.1 – 10.99.1.254, 10.99.2.254 – 10.99.2.2, and fd99:1::1 – fd99:1::fe, fd99:2::fe –
/// fd99:2::2.
pub(crate) struct Chain {
    pub(crate) near: Namespace,
    pub(crate) router: Namespace,
    pub(crate) far: Namespace,
}

impl Chain {
    pub(crate) fn new() -> Option<Self> {
        let (near, router, far) = (Namespace::new()?, Namespace::new()?, Namespace::new()?);
        connect(&near, "v0", &router, "r0");
        connect(&router, "r1", &far, "v1");
        router.set("ipv4/ip_forward", "1");
        router.set("ipv6/conf/all/forwarding", "1");
        near.ip("addr add 10.99.1.1/24 dev v0\naddr add fd99:1::1/64 dev v0 nodad");
        router.ip("addr add 10.99.1.254/24 dev r0\naddr add fd99:1::fe/64 dev r0 nodad");
        router.ip("addr add 10.99.2.254/24 dev r1\naddr add fd99:2::fe/64 dev r1 nodad");
        far.ip("addr add 10.99.2.2/24 dev v1\naddr add fd99:2::2/64 dev v1 nodad");
        near.ip("route add default via 10.99.1.254\nroute add ::/0 via fd99:1::fe");
        far.ip("route add default via 10.99.2.254\nroute add ::/0 via fd99:2::fe");
        Some(Self { near, router, far })
    }
}

/// Lays a wire and waits until it carries: the kernel may take a second to notice, and loses what is sent meanwhile.
fn connect(one: &Namespace, device: &str, other: &Namespace, peer: &str) {
    one.ip(&format!("link add {device} up type veth peer name {peer} netns {}", other.name));
    other.ip(&format!("link set {peer} up"));
    let carries = wait::until(PATIENCE, || (one.is_up(device) && other.is_up(peer)).then_some(()));
    carries.unwrap_or_else(|| panic!("{device} and {peer} do not come up"));
}

/// Whether this machine lets us build networks, and has all the tools.
fn probe() -> Result<(), String> {
    for (name, version) in [("ip", "-V"), ("nft", "--version"), ("setpriv", "--version"), ("prlimit", "--version")] {
        done(tool(name).arg(version), "").map_err(|_| format!("{name} is not installed"))?;
    }
    let refused = |error: String| format!("network namespaces, veth or nftables cannot be used here ({error})");
    let namespace = Namespace::create().map_err(refused)?;
    namespace.try_ip("link add v0 type veth peer name v1").map_err(refused)?;
    namespace.try_nft(&["input meta l4proto icmp reject with icmp admin-prohibited"]).map_err(refused)
}

/// Tells that the running test is skipped, past the test harness, which shows no output of tests that do not fail.
pub(crate) fn skip(reason: &str) {
    let current = thread::current();
    // In one piece, so that it stays one line among those of other tests and of the harness.
    let line = format!("skipped: {}: {reason}\n", current.name().unwrap_or("a test"));
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

fn tool(name: &str) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:{SBIN}"));
    command
}

/// Runs a command on this input to its end.
fn done(command: &mut Command, input: &str) -> Result<(), String> {
    let run = |command: &mut Command| -> io::Result<Output> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        // One that reads no input may have ended already.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
        child.wait_with_output()
    };
    match run(command) {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")),
        Err(error) => Err(error.to_string()),
    }
}
