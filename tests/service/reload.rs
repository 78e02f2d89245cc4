//! `systemctl reload`: what did not change goes on without a gap, and a file with a mistake changes nothing and is told of.

use crate::say::say;
use crate::station::{CONFIG, Station, TARGETS, seq};
use crate::support::wait::{self, PATIENCE};

/// One more target.
const MORE: &str = "\n[[target]]\nhost = \"10.99.0.4\"\nname = \"more\"\n";

const RELOADS: usize = 20;

#[test]
fn a_reload_keeps_numbers_and_loses_no_line() {
    let Some(station) = Station::at_work(TARGETS) else { return };
    let pid = station.main_pid("pingtest");
    for reload in 0..RELOADS {
        let more = if reload % 2 == 0 { MORE } else { "" };
        station.machine.write(CONFIG, &format!("{TARGETS}{more}"));
        station.machine.ok(&["systemctl", "reload", "pingtest"]);
    }
    station.machine.write(CONFIG, &format!("{TARGETS}{MORE}"));
    station.machine.ok(&["systemctl", "reload", "pingtest"]);
    station.await_reply("more", 0);
    let behind = station.count("alidns");
    station.await_reply("alidns", behind + 5);
    assert_eq!(station.main_pid("pingtest"), pid);
    assert_eq!(station.show("pingtest", "NRestarts"), "0");
    for name in ["alidns", "web", "self"] {
        let log = station.log(name);
        let seqs: Vec<_> = log.iter().map(|line| seq(line)).collect();
        let expected: Vec<_> = (1..=log.len() as u64).map(Some).collect();
        assert_eq!(seqs, expected, "{log:#?}");
        assert!(log.iter().all(|line| line.contains(" bytes from ")), "{log:#?}");
        say(&format!("{} reloads: {name} has the replies 1 to {}, each once", RELOADS + 1, log.len()));
    }
}

#[test]
fn a_reload_that_the_daemon_refuses_fails_though_the_file_is_in_order() {
    let Some(station) = Station::at_work(TARGETS) else { return };
    let machine = &station.machine;
    let pid = station.main_pid("pingtest");
    let behind = station.count("alidns");
    for dir in ["/root/log", "/proc/nowhere"] {
        machine.write(CONFIG, &format!("[log]\ndir = {dir:?}\n{TARGETS}"));
        assert_eq!(machine.run(&["pingtest", "check"]).code, 0, "{}", station.story());
        let reloaded = machine.run(&["systemctl", "reload", "pingtest"]);
        assert_ne!(reloaded.code, 0, "{dir}: {reloaded:?}\n{}", station.story());
        let refusal = format!("reload failed: cannot write to {dir}");
        let status = wait::until(PATIENCE, || {
            Some(station.show("pingtest", "StatusText")).filter(|status| status.contains(&refusal))
        });
        let status = status.unwrap_or_else(|| panic!("{}", station.story()));
        say(&format!("reload to {dir}: systemctl ends with {}, status {status:?}", reloaded.code));
    }
    assert_eq!(station.show("pingtest", "ActiveState"), "active");
    assert_eq!(station.main_pid("pingtest"), pid);
    station.await_reply("alidns", behind + 10);
    machine.write(CONFIG, TARGETS);
    machine.ok(&["systemctl", "reload", "pingtest"]);
}

#[test]
fn a_reload_of_a_bad_file_fails_and_changes_nothing() {
    let Some(station) = Station::at_work(TARGETS) else { return };
    let machine = &station.machine;
    let pid = station.main_pid("pingtest");
    let behind = station.count("alidns");
    machine.write(CONFIG, &format!("{TARGETS}{MORE}ttl = 300\n"));
    let reloaded = machine.run(&["systemctl", "reload", "pingtest"]);
    assert_ne!(reloaded.code, 0, "{reloaded:?}\n{}", station.story());
    let errors =
        machine.ok(&["journalctl", "--no-pager", "-u", "pingtest", "-p", "err", "-o", "cat", "_COMM=pingtest"]);
    assert!(errors.contains("ttl = 300") && errors.contains(CONFIG), "{errors}\n{}", station.story());
    let status = wait::until(PATIENCE, || {
        Some(station.show("pingtest", "StatusText")).filter(|status| status.contains("reload failed"))
    });
    let status = status.unwrap_or_else(|| panic!("{}", station.story()));
    assert_eq!(station.show("pingtest", "ActiveState"), "active");
    assert_eq!(station.main_pid("pingtest"), pid);
    station.await_reply("alidns", behind + 10);
    let log = station.log("alidns");
    assert!(log.iter().zip(1..).all(|(line, number)| seq(line) == Some(number)), "{log:#?}");
    assert_eq!(station.count("more"), 0);
    // Corrected, it is taken, and the trouble is over.
    machine.write(CONFIG, &format!("{TARGETS}{MORE}"));
    machine.ok(&["systemctl", "reload", "pingtest"]);
    station.await_reply("more", 0);
    let over = wait::until(PATIENCE, || {
        Some(station.show("pingtest", "StatusText")).filter(|status| status.starts_with("4 targets"))
    });
    let over = over.unwrap_or_else(|| panic!("{}", station.story()));
    say(&format!("bad reload: systemctl ends with {}, status {status:?}, then {over:?}", reloaded.code));
    say(&format!("  journal: {}", errors.trim().replace('\n', "\n  journal: ")));
}
