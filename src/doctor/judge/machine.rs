//! Clocks, the journal, the service, the container.

use super::super::facts::{Clock, Facts, Misplaced, Unit};
use super::{Judged, quoted, quoted_path};

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
    let name = &unit.name;
    if unit.load == "masked" {
        return vec![
            Judged::warning(format!("{name} is masked"), "systemd does not start it.")
                .cure(format!("systemctl unmask {}", quoted(name))),
        ];
    }
    if !unit.is_loaded() {
        return vec![Judged::note(
            format!("there is no {name}"),
            "Nothing starts pingtest at the next boot. The packages bring one.",
        )];
    }
    let mut judged = vec![state(unit)];
    if !has_watchdog(unit) {
        judged.push(
            Judged::note(format!("{name} has no watchdog"), "A pingtest that hangs is not started again.")
                .cure(format!("systemctl edit {}: [Service], WatchdogSec=30s", quoted(name))),
        );
    }
    if unit.user.is_empty() || unit.user == "root" {
        judged.push(Judged::note(format!("{name} runs as root"), "It needs CAP_NET_RAW and nothing else.").cure(
            format!("systemctl edit {}: [Service], User=pingtest, AmbientCapabilities=CAP_NET_RAW", quoted(name)),
        ));
    }
    judged
}

/// systemd wants directories where it makes them, whatever the configuration says.
pub(super) fn directories(facts: &Facts) -> Vec<Judged> {
    let Some(unit) = super::service(facts) else { return Vec::new() };
    let judged = unit.misplaced.iter().map(|Misplaced { path, link }| {
        let (shown, path, name) = (path.display(), quoted_path(path), &unit.name);
        let means = format!("{name} needs a directory there, and systemd does not start it otherwise.");
        match link {
            Some(to) => {
                let to = quoted_path(to);
                Judged::problem(format!("{shown} is a symbolic link"), means).cure(format!(
                    "a bind mount does what the link was for: rm {path} && mkdir {path} && mount --bind {to} {path}; to keep it, in \
                     /etc/fstab: {to} {path} none bind"
                ))
            }
            None => Judged::problem(format!("{shown} is not a directory"), means).cure(format!("mv {path} {path}.old")),
        }
    });
    judged.collect()
}

fn state(unit: &Unit) -> Judged {
    let Unit { name, active, sub, file, result, ended, restarts, .. } = unit;
    let command = quoted(name);
    // Between two tries it waits, and is not called failed.
    let is_tried_again = sub == "auto-restart" || (active == "activating" && *restarts > 0 && !ended.is_empty());
    if is_tried_again {
        let ended = if ended.is_empty() { result } else { ended };
        let times = if *restarts == 1 { "once" } else { &format!("{restarts} times") };
        return Judged::problem(
            format!("{name} fails again and again: {ended}, started anew {times} ({result})"),
            "It does not run: systemd starts it, and it ends at once.",
        )
        .cure(format!("journalctl -u {command} -n 20 shows why"));
    }
    match (active.as_str(), file.as_str()) {
        ("failed", _) => Judged::warning(format!("{name} has failed ({result})"), "It does not run.")
            .cure(format!("journalctl -u {command} -e -p warning"))
            .cure(format!("systemctl restart {command}")),
        ("active" | "reloading", "disabled") => {
            Judged::note(format!("{name} is active, but disabled"), "It does not run after the next boot.")
                .cure(format!("systemctl enable {command}"))
        }
        ("active" | "reloading" | "activating", _) => Judged::ok(format!("{name} is {active} and {file}")),
        (_, _) => Judged::note(format!("{name} is {active} and {file}"), "It does not run.")
            .cure(format!("systemctl enable --now {command}")),
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
