//! The watchdog as it ships: whatever hangs ends in a restart in time, and nothing else does.
//!
//! Each part hangs in instances of their own, all at once: a watchdog's time passes once. Parts can be made to hang in debug builds only.

use std::time::Duration;

use crate::deaths::gap_seconds;
use crate::instances;
use crate::package::target_directory;
use crate::say::say;
use crate::station::{LOGS, MACHINE, Station};
use crate::support::wait::{self, PATIENCE, Stopwatch};

const PARTS: [&str; 4] = ["driver", "receive", "writer", "main"];
/// So often each hangs: how long it takes depends on how long ago the watchdog was fed.
const PHASES: usize = 3;

/// The program that can be made to hang, by a file for each instance.
const DROP_IN: &str = "[Service]\nExecStart=\nExecStart=/usr/bin/pingtest-debug run --config /etc/pingtest/%i.toml\n\
    Environment=PINGTEST_STALL=/run/stall/%i\n";

/// An instance that is to hang.
struct Patient {
    name: String,
    /// What hangs; `None` for all of it, by SIGSTOP.
    part: Option<&'static str>,
    pid: u32,
    watch: Stopwatch,
    /// Lines at that moment.
    behind: usize,
    /// When its process was gone, and when there was another.
    gone: Option<Duration>,
    back: Option<Duration>,
}

#[test]
fn whatever_hangs_is_restarted_in_time_and_targets_that_are_down_are_no_reason() {
    let Some(station) = Station::installed("[[target]]\nhost = \"127.0.0.1\"\n") else { return };
    let machine = &station.machine;
    let debug = target_directory().join("debug/pingtest");
    assert!(debug.exists(), "{} is missing: `cargo build` builds it", debug.display());
    machine.copy(&debug, "/usr/bin/pingtest-debug");
    machine.write("/etc/systemd/system/pingtest@.service.d/stall.conf", DROP_IN);
    machine.sh("mkdir -m 755 /run/stall && systemctl daemon-reload");
    // One that is well, and one all of whose targets are down from the moment that they have answered.
    let healthy = instances::config("healthy");
    machine.write("/etc/pingtest/healthy.toml", &healthy);
    machine.write("/etc/pingtest/down.toml", &instances::config("down").replace("10.99.0.5", "10.99.0.9"));
    machine.ok(&["systemctl", "start", "pingtest@healthy", "pingtest@down"]);
    station.await_line_of(&format!("{LOGS}/down"), &instances::target("down"), 0, " bytes from ");
    station.far.nft(&["input ip daddr 10.99.0.9 drop"]);
    let unhurt = ["pingtest@healthy", "pingtest@down"].map(|unit| (unit, station.main_pid(unit)));
    let down = Stopwatch::start();
    let watchdog = station.span("pingtest@healthy", "WatchdogUSec");
    let restart = station.span("pingtest@healthy", "RestartUSec");
    let mut patients: Vec<Patient> = Vec::new();
    for phase in 0..PHASES {
        for part in PARTS.map(Some).into_iter().chain([None]) {
            patients.push(Patient::start(&station, part, phase));
        }
    }
    // From a third of the time between two feedings to the next, so that they hang at several moments between.
    for phase in 0..PHASES {
        let lot = patients.iter_mut().filter(|patient| patient.name.ends_with(&format!("-{phase}")));
        lot.for_each(|patient| patient.hang(&station));
        if phase + 1 < PHASES {
            wait::pause(watchdog / 2 / u32::try_from(PHASES).expect("a few"));
        }
    }
    let all_back = wait::until(watchdog * 2 + restart + PATIENCE, || {
        patients.iter_mut().for_each(|patient| patient.look(&station));
        patients.iter().all(|patient| patient.back.is_some()).then_some(())
    });
    let mut late = Vec::new();
    for patient in &patients {
        let what = patient.part.unwrap_or("all (SIGSTOP)");
        let (Some(gone), Some(back)) = (patient.gone, patient.back) else {
            late.push(format!("{what}: never"));
            continue;
        };
        let unit = patient.unit();
        say(&format!("{what} hangs, {}: gone after {gone:.1?}, active again after {back:.1?}", patient.name));
        let journal = machine.ok(&["journalctl", "--no-pager", "-o", "cat", "-u", &unit]);
        assert!(journal.contains("Watchdog timeout"), "{unit}: {journal}");
        if back > watchdog + restart + MACHINE {
            late.push(format!("{what}: {back:.1?}"));
        }
        let between = patient.between(&station);
        between.iter().for_each(|line| say(&format!("  {line}")));
        // What hangs measures nothing, but for the main thread: the others go on without it.
        let unmeasured = if patient.part == Some("main") { back - gone } else { back };
        let told: f64 = between.iter().filter(|line| line.contains("did not run")).map(|line| gap_seconds(line)).sum();
        if told + MACHINE.as_secs_f64() < unmeasured.as_secs_f64() {
            late.push(format!("{what}: {told} s told of {unmeasured:.1?} not measured"));
        }
    }
    let passed = || (down.elapsed() > watchdog + PATIENCE).then_some(());
    wait::until(watchdog * 2, passed).expect("time passes");
    for (unit, pid) in unhurt {
        assert_eq!((station.main_pid(unit), &*station.show(unit, "NRestarts")), (pid, "0"), "{}", station.story());
    }
    let status = station.show("pingtest@down", "StatusText");
    assert!(status.contains("1 down"), "{status}");
    say(&format!("all targets down for {:.0?}, watchdog {watchdog:?}: not restarted, {status:?}", down.elapsed()));
    assert!(
        all_back.is_some() && late.is_empty(),
        "later than {watchdog:?} and {restart:?}, or not told of: {late:?}\n{}",
        station.story()
    );
}

impl Patient {
    fn start(station: &Station, part: Option<&'static str>, phase: usize) -> Self {
        let name = format!("{}-{phase}", part.unwrap_or("all"));
        station.machine.write(&format!("/etc/pingtest/{name}.toml"), &instances::config(&name));
        station.machine.ok(&["systemctl", "start", &format!("pingtest@{name}")]);
        let mut patient = Self { name, part, pid: 0, watch: Stopwatch::start(), behind: 0, gone: None, back: None };
        patient.pid = station.main_pid(&patient.unit());
        station.await_line_of(&patient.logs(), &patient.target(), 0, " bytes from ");
        patient
    }

    fn unit(&self) -> String {
        format!("pingtest@{}", self.name)
    }

    fn logs(&self) -> String {
        format!("{LOGS}/{}", self.name)
    }

    fn target(&self) -> String {
        instances::target(&self.name)
    }

    fn stall(&self) -> String {
        format!("/run/stall/{}", self.name)
    }

    fn hang(&mut self, station: &Station) {
        self.behind = station.log_of(&self.logs(), &self.target()).len();
        self.watch = Stopwatch::start();
        match self.part {
            Some(part) => station.machine.write(&self.stall(), part),
            None => drop(station.machine.ok(&["kill", "-s", "STOP", &self.pid.to_string()])),
        }
    }

    /// What its log says between the moment it began to hang and the first reply of its new process, kinds in a row counted.
    fn between(&self, station: &Station) -> Vec<String> {
        let gap = station.await_line_of(&self.logs(), &self.target(), self.behind, "pingtest did not run for ");
        let first = station.await_line_of(&self.logs(), &self.target(), gap, " bytes from ");
        let log = station.log_of(&self.logs(), &self.target());
        let kinds = log[self.behind.saturating_sub(1)..=first].chunk_by(|one, other| kind(one) == kind(other));
        kinds.map(|lines| format!("{} such: {}", lines.len(), lines.last().expect("chunks are not empty"))).collect()
    }

    /// Whether it has come back; from the moment that it is gone, nothing hangs any more.
    fn look(&mut self, station: &Station) {
        if self.back.is_some() {
            return;
        }
        if self.gone.is_none() && !station.machine.path(&format!("/proc/{}/exe", self.pid)).exists() {
            self.gone = Some(self.watch.elapsed());
            let _ = std::fs::remove_file(station.machine.path(&self.stall()));
        }
        if self.gone.is_some() && station.await_another(&self.unit(), self.pid, Duration::ZERO).is_some() {
            self.back = Some(self.watch.elapsed());
        }
    }
}

/// What kind of line it is, by its first words behind the stamp.
fn kind(line: &str) -> &str {
    let words = line.split_once(' ').map_or("", |(_, words)| words);
    words.get(..8).unwrap_or(words)
}
