//! What the proofs are played on: pingtest and the simulated network in a namespace of their own, and whose turn it is.

use std::fs;
use std::io::{self, Write};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::log::Log;
use crate::support::journal::Journal;
use crate::support::net::Namespace;
use crate::support::program::{self, Program, Rights};
use crate::support::simnet::Simnet;
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

/// The simulated network at work in a namespace of its own.
pub(crate) struct Stage {
    pub(crate) namespace: Namespace,
    simnet: Simnet,
}

impl Stage {
    /// Starts it by this script; `None` where this machine does not allow for it: then the test is skipped, and says so.
    pub(crate) fn new(script: &str) -> Option<Self> {
        let namespace = Simnet::namespace()?;
        let simnet = Simnet::start(&namespace, script);
        Some(Self { namespace, simnet })
    }

    /// How many packets the network's device had no room for on their way to it.
    pub(crate) fn dropped(&self) -> u64 {
        /// Column of `/proc/net/dev` behind the name: eight of receiving, then bytes, packets, errors, drops of sending.
        const SENDING_DROPS: usize = 11;
        let read = || fs::read_to_string("/proc/thread-self/net/dev").expect("proc(5)");
        let devices = self.namespace.within(read);
        let device = devices.lines().find_map(|line| line.trim_start().strip_prefix("sim0:"));
        let drops = device.and_then(|columns| columns.split_whitespace().nth(SENDING_DROPS)?.parse().ok());
        drops.unwrap_or_else(|| panic!("no such device:\n{devices}"))
    }

    /// Stops the network and reads its journal.
    pub(crate) fn end(self) -> Journal {
        self.simnet.stop()
    }
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
        program::write_config(dir.path(), config);
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
pub(crate) fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it is running");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    peak.map_or(0, |kib: u64| kib * 1024)
}
