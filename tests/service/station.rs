//! A machine with the package installed, and a network of hosts that answer.

use std::time::Duration;

use crate::machine::{Ended, Machine};
use crate::package::Package;
use crate::support::net::Namespace;
use crate::support::wait::{self, PATIENCE, Stopwatch};

/// What a busy machine may add to anything that systemd or pingtest does in time.
pub(crate) const MACHINE: Duration = Duration::from_secs(2);

/// Where the package's configuration is.
pub(crate) const CONFIG: &str = "/etc/pingtest/pingtest.toml";

/// Where lines go.
pub(crate) const LOGS: &str = "/var/log/pingtest";

/// Three targets: two hosts of the network and the machine itself, ten probes a second each.
pub(crate) const TARGETS: &str = r#"
[defaults]
interval = "100ms"
timeout = "300ms"

[[target]]
host = "10.99.0.2"
name = "alidns"

[[target]]
host = "10.99.0.3"
name = "web"

[[target]]
host = "127.0.0.1"
name = "self"
"#;

/// The machine, and the network it is in.
pub(crate) struct Station {
    // Dropped first: its end of the wire goes with it.
    pub(crate) machine: Machine,
    pub(crate) far: Namespace,
}

impl Station {
    /// A machine in a network, without the package; `None` where that cannot be had: then the test is skipped, and says so.
    pub(crate) fn bare() -> Option<Self> {
        let machine = Machine::new()?;
        // What this system may have of it from a trial.
        machine.sh("rm -rf /var/lib/pingtest /var/log/pingtest /etc/pingtest");
        let far = Namespace::new()?;
        machine.plug(&far);
        Some(Self { machine, far })
    }

    /// The same with the package installed, and this configuration in place of the one that came with it.
    pub(crate) fn installed(config: &str) -> Option<Self> {
        let station = Self::bare()?;
        station.install(&Package::built());
        station.machine.ok(&["systemctl", "stop", "pingtest"]);
        station.machine.write(CONFIG, config);
        Some(station)
    }

    /// The same at work.
    pub(crate) fn at_work(config: &str) -> Option<Self> {
        let station = Self::installed(config)?;
        station.machine.ok(&["systemctl", "enable", "--now", "pingtest"]);
        station.await_reply("alidns", 0);
        Some(station)
    }

    /// Installs a package as its users do, and gives what apt says.
    pub(crate) fn install(&self, package: &Package) -> String {
        // Where everybody may read it: apt's own user is one that may do nothing else.
        self.machine.copy(package.path(), "/var/tmp/pingtest.deb");
        self.apt(&["install", "/var/tmp/pingtest.deb"])
    }

    /// Runs apt-get, and gives what it says.
    pub(crate) fn apt(&self, args: &[&str]) -> String {
        let command = [&["apt-get", "--yes", "-o", "Dpkg::Options::=--force-confdef"], args].concat();
        let ended = self.machine.run(&command);
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.stdout + &ended.stderr
    }

    /// What systemd says of a property of a unit.
    pub(crate) fn show(&self, unit: &str, property: &str) -> String {
        let shown = self.machine.ok(&["systemctl", "show", "--value", "--property", property, unit]);
        shown.trim().to_owned()
    }

    /// A property that is a time span.
    pub(crate) fn span(&self, unit: &str, property: &str) -> Duration {
        let shown = self.show(unit, property);
        seconds(&shown).unwrap_or_else(|| panic!("{property} of {unit}: {shown}"))
    }

    /// The unit's main process, as it is numbered in the machine; 0 if there is none.
    pub(crate) fn main_pid(&self, unit: &str) -> u32 {
        self.show(unit, "MainPID").parse().expect("a process id")
    }

    /// Waits for the unit to be active with another main process than `before`, for so long at most.
    pub(crate) fn await_another(&self, unit: &str, before: u32, within: Duration) -> Option<u32> {
        wait::until(within, || {
            let [pid, state] = ["MainPID", "ActiveState"].map(|property| self.show(unit, property));
            pid.parse().ok().filter(|pid| *pid != 0 && *pid != before && state == "active")
        })
    }

    /// The live log of a target, whole lines.
    pub(crate) fn log(&self, target: &str) -> Vec<String> {
        self.log_of(LOGS, target)
    }

    /// The same in another directory.
    pub(crate) fn log_of(&self, dir: &str, target: &str) -> Vec<String> {
        let text = self.machine.text(&format!("{dir}/{target}.log"));
        text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n').map(str::to_owned)).collect()
    }

    /// Waits for a line that contains this behind so many lines of a target's log; gives its index.
    pub(crate) fn await_line(&self, target: &str, behind: usize, text: &str) -> usize {
        self.await_line_of(LOGS, target, behind, text)
    }

    /// The same in another directory.
    pub(crate) fn await_line_of(&self, dir: &str, target: &str, behind: usize, text: &str) -> usize {
        let find = || {
            let lines = self.log_of(dir, target);
            lines.iter().skip(behind).position(|line| line.contains(text)).map(|index| index + behind)
        };
        wait::until(PATIENCE, find).unwrap_or_else(|| {
            panic!("no {text:?} of {target} behind line {behind}:\n{}\n{}", self.tail(dir, target), self.story())
        })
    }

    /// Waits for a reply behind so many lines.
    pub(crate) fn await_reply(&self, target: &str, behind: usize) -> usize {
        self.await_line(target, behind, " bytes from ")
    }

    /// How many lines there are.
    pub(crate) fn count(&self, target: &str) -> usize {
        self.log(target).len()
    }

    /// The last lines, for whoever has to find out what went wrong.
    fn tail(&self, dir: &str, target: &str) -> String {
        let lines = self.log_of(dir, target);
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// What the machine has to tell, for the same.
    pub(crate) fn story(&self) -> String {
        let said = self.machine.run(&["journalctl", "--no-pager", "--lines", "60", "--output", "short-precise"]);
        let state = self.machine.run(&["systemctl", "status", "--no-pager", "--full", "pingtest*"]);
        format!("{}\n{}", state.stdout, said.stdout)
    }

    /// Runs something, and tells how long it took.
    pub(crate) fn timed(&self, args: &[&str]) -> (Ended, Duration) {
        let watch = Stopwatch::start();
        let ended = self.machine.run(args);
        (ended, watch.elapsed())
    }
}

/// A time span as systemd shows it, systemd.time(7): `1min 30s`, `500ms`.
fn seconds(span: &str) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    for part in span.split_whitespace() {
        let digits = part.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, unit) = part.split_at(digits);
        let factor = match unit {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        sum += Duration::from_secs_f64(number.parse::<f64>().ok()? * factor);
    }
    Some(sum)
}

/// The number of a line's probe.
pub(crate) fn seq(line: &str) -> Option<u64> {
    let rest = line.split_once("icmp_seq=")?.1;
    rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())].parse().ok()
}
