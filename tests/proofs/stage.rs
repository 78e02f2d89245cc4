//! What the proofs are played on: pingtest and the simulated network in a namespace of their own, and whose turn it is.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::journal::Journal;
use crate::log::Log;
use crate::support::net::{self, Namespace};
use crate::support::program::{self, Program, Rights};
use crate::support::wait::{self, PATIENCE, Stopwatch};

/// Held for reading by proofs that bear each other, for writing by those that measure or want the machine for themselves.
static MACHINE: RwLock<()> = RwLock::new(());

/// Waits until nothing else is being proved.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until nothing is being proved that must be alone.
pub(crate) fn together() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Shows a figure, in one piece so that it stays together among the lines of other proofs.
pub(crate) fn say(text: &str) {
    let _ = io::stdout().lock().write_all(format!("{text}\n").as_bytes());
}

/// The simulated network at work in a namespace.
pub(crate) struct Simnet {
    pub(crate) namespace: Namespace,
    program: Program,
}

impl Simnet {
    /// Starts it by this script; `None` where this machine does not allow for it: then the test is skipped, and says so.
    pub(crate) fn start(script: &str) -> Option<Self> {
        let namespace = Namespace::new()?;
        if let Err(error) = fs::File::options().read(true).write(true).open("/dev/net/tun") {
            net::skip(&format!("TUN devices cannot be used here ({error})"));
            return None;
        }
        let dir = program::directory();
        fs::write(dir.path().join("script.toml"), script).expect("the directory is ours");
        // Networks are not slower for what the machines at their ends do: this one goes before pingtest.
        let mut command = namespace.command("nice");
        command.args(["-n", "-19"]).arg(binary());
        let program = Program::spawn(dir, command, &["--script", "script.toml", "--journal", "journal"]);
        program.wait_for("stdout", "`ready`", |text| text.contains("ready\n"));
        Some(Self { namespace, program })
    }

    /// How many packets its device had no room for on their way to it: the kernel tells nobody.
    pub(crate) fn dropped(&self) -> u64 {
        /// Column of `/proc/net/dev` behind the name: eight of receiving, then bytes, packets, errors, drops of sending.
        const SENDING_DROPS: usize = 11;
        let read = || fs::read_to_string("/proc/thread-self/net/dev").expect("proc(5)");
        let devices = self.namespace.within(read);
        let device = devices.lines().find_map(|line| line.trim_start().strip_prefix("sim0:"));
        let drops = device.and_then(|columns| columns.split_whitespace().nth(SENDING_DROPS)?.parse().ok());
        drops.unwrap_or_else(|| panic!("no such device:\n{devices}"))
    }

    /// Stops it and reads its journal.
    pub(crate) fn stop(mut self) -> Journal {
        self.program.signal(Signal::SIGTERM);
        let ended = self.program.ended(PATIENCE);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        Journal::read(&self.program.dir().join("journal"))
    }
}

/// Cargo puts examples beside the program, and names them nowhere.
fn binary() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_pingtest")).with_file_name("examples").join("simnet");
    assert!(path.exists(), "{} is not built: cargo build --release --example simnet", path.display());
    path
}

/// `pingtest run` with all lines as JSON in one file.
pub(crate) struct Pingtest {
    program: Program,
}

/// How pingtest ended.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) log: Log,
    /// How long it took.
    pub(crate) took: Duration,
    /// Its peak resident memory, bytes.
    pub(crate) peak_memory: u64,
}

impl Pingtest {
    /// Starts it in `namespace`.
    pub(crate) fn start(namespace: &Namespace, config: &str) -> Self {
        let dir = program::directory();
        let log = "[log]\ndir = \"log\"\nlayout = \"combined\"\nformat = \"json\"\n";
        fs::write(dir.path().join("pingtest.toml"), format!("{log}{config}")).expect("the directory is ours");
        Self { program: Program::start_in(dir, namespace, Rights::Root, &["run", "--config", "pingtest.toml"]) }
    }

    /// Lets it work.
    pub(crate) fn run_for(&self, time: Duration) {
        wait::pause(time);
    }

    /// Stops it as systemd does.
    pub(crate) fn stop(mut self) -> Stopped {
        let peak_memory = peak_memory(self.program.id());
        let watch = Stopwatch::start();
        self.program.signal(Signal::SIGTERM);
        let ended = self.program.ended(PATIENCE);
        let took = watch.elapsed();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let log = Log::read(&self.program.dir().join("log/pingtest.log"));
        Stopped { log, took, peak_memory }
    }
}

/// `VmHWM` (proc(5)).
fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it is running");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    peak.map_or(0, |kib: u64| kib * 1024)
}
