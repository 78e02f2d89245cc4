//! From the package to lines in files: who runs, with which rights, who may read; over a reboot; and when it is stopped.

use std::time::Duration;

use crate::package::Package;
use crate::say::say;
use crate::station::{CONFIG, LOGS, MACHINE, Station, TARGETS};
use crate::support::wait::{self, PATIENCE};

/// What issue 6 asks for: 1.6, in tenths.
const EXPOSURE: &str = "16";

#[test]
fn an_installed_package_probes_when_it_is_enabled_and_stops_when_it_is_stopped() {
    let Some(station) = Station::bare() else { return };
    let machine = &station.machine;
    let said = station.install(&Package::built());
    assert_clean(&said);
    machine.ok(&["systemctl", "enable", "--now", "pingtest"]);
    assert_eq!(station.show("pingtest", "ActiveState"), "active", "{}", station.story());
    let version = machine.ok(&["pingtest", "--version"]);
    // As it is installed it has something to do.
    station.await_reply("localhost", 0);
    machine.write(CONFIG, TARGETS);
    machine.ok(&["systemctl", "reload", "pingtest"]);
    let behind = station.await_reply("alidns", 0);
    station.await_reply("alidns", behind + 10);
    let status = wait::until(PATIENCE, || {
        let status = machine.run(&["systemctl", "status", "--no-pager", "pingtest"]).stdout;
        status.contains("Status: \"3 targets").then_some(status)
    });
    let status = status.unwrap_or_else(|| panic!("{}", station.story()));
    assert!(status.contains("Active: active (running)"), "{status}");
    let line = status.lines().find(|line| line.contains("Status:")).expect("it is there");
    say(&format!("{}; systemctl status: {}", version.trim(), line.trim()));
    assert_rights(&station);
    assert_stop(&station);
}

#[test]
fn logs_are_for_the_group_adm_to_read_and_for_nobody_else() {
    let daily = format!("[log]\nmax_size = \"64KiB\"\ncompress = \"zstd\"\n{}", TARGETS.replace("100ms", "10ms"));
    let Some(station) = Station::at_work(&daily) else { return };
    let machine = &station.machine;
    let files = || machine.sh(&format!("cd {LOGS} && ls")).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let has_rotated = || files().iter().any(|file| file.ends_with(".zst")).then_some(());
    wait::until(PATIENCE * 2, has_rotated).unwrap_or_else(|| panic!("{:?}\n{}", files(), station.story()));
    machine.ok(&["systemctl", "restart", "pingtest"]);
    let behind = station.count("alidns");
    station.await_reply("alidns", behind);
    machine.ok(&["systemctl", "stop", "pingtest"]);
    let files = files();
    assert!(files.iter().any(|file| file.ends_with(".zst")) && files.contains(&"alidns.log".into()), "{files:?}");
    let read = |groups: &str, file: &str| {
        let path = format!("{LOGS}/{file}");
        machine.run(&["setpriv", "--reuid=65534", "--regid=65534", groups, "cat", &path]).code == 0
    };
    for file in &files {
        assert!(
            read("--groups=adm", file),
            "{file}: {}",
            machine.sh(&format!("ls -l {LOGS}; getfacl -R {LOGS} || true"))
        );
        assert!(!read("--clear-groups", file), "{file}");
    }
    let listed = machine.run(&["setpriv", "--reuid=65534", "--regid=65534", "--groups=adm", "ls", LOGS]);
    assert_eq!(listed.code, 0, "{listed:?}");
    let others = machine.sh("stat -c %a /var/lib/pingtest");
    assert!(others.trim().ends_with('0'), "the state is open to others: {others}");
    say(&format!("readable by adm, closed to others, live and rotated: {}", files.join(" ")));
}

#[test]
fn it_is_up_after_a_reboot_and_tells_of_the_time_between() {
    let Some(mut station) = Station::at_work(TARGETS) else { return };
    let behind = station.count("alidns");
    station.machine.power_off();
    station.machine.boot();
    let up = station.await_another("pingtest", 0, PATIENCE);
    up.unwrap_or_else(|| panic!("{}", station.story()));
    // The network is not there yet: that is a result.
    station.await_line("alidns", behind, "not sent to 10.99.0.2");
    station.machine.plug(&station.far);
    let reply = station.await_reply("alidns", behind);
    let gap = station.await_line("alidns", behind, "did not run");
    let lines = station.log("alidns");
    assert!(gap < reply, "{lines:?}");
    let boot = station.machine.sh("systemd-analyze | head -1");
    say(&format!("reboot: {}; {}", lines[gap], boot.trim()));
}

#[test]
fn systemd_finds_no_fault_with_the_units_and_little_exposure() {
    let Some(station) = Station::bare() else { return };
    let machine = &station.machine;
    station.install(&Package::built());
    for unit in ["pingtest.service", "pingtest@lab.service"] {
        let verified = machine.run(&["systemd-analyze", "verify", "--man=yes", unit]);
        assert_eq!((verified.code, &*verified.stderr, &*verified.stdout), (0, "", ""), "{unit}");
    }
    machine.write("/etc/pingtest/lab.toml", &crate::instances::config("lab"));
    machine.ok(&["systemctl", "start", "pingtest@lab"]);
    for unit in ["pingtest.service", "pingtest@lab.service"] {
        let threshold = format!("--threshold={EXPOSURE}");
        let judged = machine.run(&["systemd-analyze", "security", "--no-pager", &threshold, unit]);
        let level = judged.stdout.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_default();
        assert_eq!(judged.code, 0, "{level}\n{judged:?}");
        say(level);
    }
}

/// The process is the user pingtest's, has one capability, and there is none of root's.
fn assert_rights(station: &Station) {
    /// Bit 13 of capabilities(7).
    const NET_RAW: &str = "0000000000002000";
    let machine = &station.machine;
    let pid = station.main_pid("pingtest");
    let users = machine.sh("ps -o user:20=,comm= -C pingtest");
    assert!(!users.is_empty() && users.lines().all(|line| line.starts_with("pingtest ")), "{users}");
    let all = machine.sh("systemctl status --no-pager pingtest | sed -n '/CGroup/,$p' | grep -c '─'; true");
    assert_eq!(all.trim(), "1", "one process and no other: {}", station.story());
    let status = machine.text(&format!("/proc/{pid}/status"));
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default();
    for set in ["CapEff:", "CapPrm:", "CapBnd:", "CapAmb:", "CapInh:"] {
        assert_eq!(field(set), NET_RAW, "{set}");
    }
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1", "2"), "{status}");
    let owner = machine.sh(&format!("stat -c %U {LOGS}/alidns.log"));
    assert_eq!(owner.trim(), "pingtest");
    let shown = machine.run(&["pingtest", "status"]);
    assert!(shown.code == 0 && shown.stdout.contains("alidns"), "{shown:?}");
}

/// A stop is quick, orderly and for good.
fn assert_stop(station: &Station) {
    let (stopped, took) = station.timed(&["systemctl", "stop", "pingtest"]);
    assert_eq!(stopped.code, 0, "{stopped:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    let [state, result, code] = ["ActiveState", "Result", "ExecMainStatus"].map(|name| station.show("pingtest", name));
    assert_eq!([&*state, &*result, &*code], ["inactive", "success", "0"], "{}", station.story());
    // For longer than it would take to come back.
    let back = station.await_another("pingtest", 0, station.span("pingtest", "RestartUSec") + MACHINE);
    assert_eq!(back, None, "it was stopped");
    say(&format!("systemctl stop: {took:.2?}"));
}

/// apt and dpkg complain of nothing.
pub(crate) fn assert_clean(said: &str) {
    let bad = ["warning", "error", "failed", "deprecated", "W:", "E:", "dpkg-maintscript", "Failed"];
    let complaints: Vec<_> = said.lines().filter(|line| bad.iter().any(|word| line.contains(word))).collect();
    assert!(complaints.is_empty(), "{complaints:#?} in\n{said}");
}
