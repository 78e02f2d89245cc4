//! Clocks, the journal, the service, the container.

use super::super::facts::{Clock, Facts, Unit};
use super::Judged;

pub(super) fn clock(facts: &Facts) -> Vec<Judged> {
    let on_the_host = if facts.machine.container.is_some() { "on the host: " } else { "" };
    vec![match &facts.machine.clock {
        Clock::Synchronised => Judged::ok("the wall clock is kept synchronised"),
        Clock::Unsynchronised => Judged::warning(
            "the wall clock is not synchronised",
            "The stamps of lines may be off. Round-trip times are not: they do not depend on it.",
        )
        .cure(format!("{on_the_host}timedatectl set-ntp true"))
        .cure(format!("{on_the_host}apt-get install chrony")),
        Clock::Unknown(error) => {
            Judged::note(format!("whether the wall clock is synchronised cannot be asked: {error}"), "")
        }
    }]
}

pub(super) fn time_namespace(facts: &Facts) -> Vec<Judged> {
    match facts.machine.time_offsets {
        None | Some((0, 0)) => Vec::new(),
        Some((monotonic, boottime)) => vec![Judged::note(
            format!("a time namespace shifts the clocks: monotonic by {monotonic} s, boottime by {boottime} s"),
            "pingtest measures by differences, so it does not matter. Times since the boot differ from the host's.",
        )],
    }
}

pub(super) fn journal(facts: &Facts) -> Vec<Judged> {
    vec![if facts.machine.journald {
        Judged::ok("journald takes what pingtest says about itself")
    } else {
        Judged::note("there is no journald", "What pingtest says about itself goes to standard error alone.")
            .cure("to keep it: file = \"/var/log/pingtest/diagnostics.txt\" in [diagnostics]")
    }]
}

pub(super) fn service(facts: &Facts) -> Vec<Judged> {
    let Some(unit) = &facts.machine.unit else {
        let systemd = facts.machine.systemd;
        let found = if systemd { "systemd was not to be asked" } else { "systemd does not run here" };
        return vec![Judged::note(found, "pingtest run stays in the foreground; whoever starts it sees to it.")];
    };
    if unit.load == "masked" {
        return vec![
            Judged::warning("pingtest.service is masked", "systemd does not start it.")
                .cure("systemctl unmask pingtest"),
        ];
    }
    if !unit.is_loaded() {
        return vec![Judged::note(
            "there is no pingtest.service",
            "Nothing starts pingtest at the next boot. The packages bring one.",
        )];
    }
    let mut judged = vec![state(unit)];
    if !has_watchdog(unit) {
        judged.push(
            Judged::note("pingtest.service has no watchdog", "A pingtest that hangs is not started again.")
                .cure("systemctl edit pingtest: [Service], WatchdogSec=30s"),
        );
    }
    if unit.user.is_empty() || unit.user == "root" {
        judged.push(
            Judged::note("pingtest.service runs as root", "It needs CAP_NET_RAW and nothing else.")
                .cure("systemctl edit pingtest: [Service], User=pingtest, AmbientCapabilities=CAP_NET_RAW"),
        );
    }
    judged
}

fn state(unit: &Unit) -> Judged {
    let Unit { active, file, result, .. } = unit;
    match (active.as_str(), file.as_str()) {
        ("failed", _) => Judged::warning(format!("pingtest.service has failed ({result})"), "It does not run.")
            .cure("journalctl -u pingtest -e -p warning")
            .cure("systemctl restart pingtest"),
        ("active" | "reloading", "disabled") => {
            Judged::note("pingtest.service is active, but disabled", "It does not run after the next boot.")
                .cure("systemctl enable pingtest")
        }
        ("active" | "reloading" | "activating", _) => Judged::ok(format!("pingtest.service is {active} and {file}")),
        (_, _) => Judged::note(format!("pingtest.service is {active} and {file}"), "It does not run.")
            .cure("systemctl enable --now pingtest"),
    }
}

/// Whether systemd ends the service where it hangs.
fn has_watchdog(unit: &Unit) -> bool {
    !matches!(unit.watchdog.as_str(), "" | "0" | "infinity")
}

pub(super) fn container(facts: &Facts) -> Vec<Judged> {
    let machine = &facts.machine;
    let Some(mark) = &machine.container else { return Vec::new() };
    let found = format!("this is a container ({mark})");
    vec![if machine.sys_read_only {
        Judged::note(
            found,
            "Kernel settings are read-only in here: change them on the host, or when it is started (--sysctl).",
        )
    } else {
        Judged::note(found, "Buffers and clock are the host's to set.")
    }]
}
