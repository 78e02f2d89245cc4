//! Further instances, and the drop-ins that the package has for examples.

use crate::say::say;
use crate::station::{CONFIG, LOGS, Station, TARGETS};
use crate::support::wait::{self, PATIENCE};

/// Where the examples are.
const EXAMPLES: &str = "/usr/share/doc/pingtest/examples";

/// A configuration for the instance `name`, which probes a host of the network.
pub(crate) fn config(name: &str) -> String {
    format!(
        "[defaults]\ninterval = \"100ms\"\ntimeout = \"300ms\"\n\n[log]\ndir = \"{LOGS}/{name}\"\n\n\
         [control]\nsocket = \"/run/pingtest-{name}/control.sock\"\n\n[ledger]\npath = \"/var/lib/pingtest/{name}/ledger.db\"\n\n\
         [[target]]\nhost = \"10.99.0.5\"\nname = \"{}\"\n",
        target(name)
    )
}

/// The name of that target.
pub(crate) fn target(name: &str) -> String {
    format!("only-{name}")
}

#[test]
fn an_instance_runs_beside_the_service_with_a_configuration_of_its_own() {
    let Some(station) = Station::at_work(TARGETS) else { return };
    let machine = &station.machine;
    machine.write("/etc/pingtest/lab.toml", &config("lab"));
    machine.ok(&["systemctl", "enable", "--now", "pingtest@lab"]);
    let logs = format!("{LOGS}/lab");
    station.await_line_of(&logs, "only-lab", 0, " bytes from 10.99.0.5");
    let asked = machine.ok(&["pingtest", "status", "--config", "/etc/pingtest/lab.toml"]);
    assert!(asked.contains("only-lab") && !asked.contains("alidns"), "{asked}");
    let asked = machine.ok(&["pingtest", "status"]);
    assert!(asked.contains("alidns") && !asked.contains("only-lab"), "{asked}");
    let adm =
        ["setpriv", "--reuid=65534", "--regid=65534", "--groups=adm", "cat", "/var/log/pingtest/lab/only-lab.log"];
    assert_eq!(machine.run(&adm).code, 0, "{}", machine.sh("ls -lR /var/log/pingtest"));
    // Neither takes the other's directories along.
    machine.ok(&["systemctl", "stop", "pingtest"]);
    let behind = station.log_of(&logs, "only-lab").len();
    station.await_line_of(&logs, "only-lab", behind, " bytes from ");
    machine.ok(&["pingtest", "status", "--config", "/etc/pingtest/lab.toml"]);
    machine.ok(&["systemctl", "start", "pingtest"]);
    machine.ok(&["systemctl", "stop", "pingtest@lab"]);
    let behind = station.count("alidns");
    station.await_reply("alidns", behind);
    machine.ok(&["pingtest", "status"]);
    say("pingtest@lab beside pingtest.service: each its own targets, logs, ledger and socket");
}

#[test]
fn examples_of_drop_ins_load_and_do_what_they_say() {
    let Some(station) = Station::installed(TARGETS) else { return };
    let machine = &station.machine;
    let examples = machine.sh(&format!("cd {EXAMPLES} && grep -l '^\\[Service\\]\\|^\\[Unit\\]' *.conf"));
    machine.sh(&format!("sysctl -p {EXAMPLES}/60-pingtest-datagram.conf"));
    // What they want to be there before.
    machine.sh("groupadd --system pingmon && install -d -o pingtest -g pingtest -m 750 /srv/pingtest");
    let dir = "/etc/systemd/system/pingtest.service.d";
    machine.sh(&format!("mkdir {dir}"));
    for example in examples.lines() {
        machine.sh(&format!("cp {EXAMPLES}/{example} {dir}/ && systemctl daemon-reload"));
        // Each with what it is for, which would not work without it.
        let (start, logs) = match example {
            "control-group.conf" => ("[control]\ngroup = \"pingmon\"\n", LOGS),
            "paths.conf" => ("[log]\ndir = \"/srv/pingtest\"\n", "/srv/pingtest"),
            _ => ("", LOGS),
        };
        machine.write(CONFIG, &format!("{start}{TARGETS}"));
        let verified = machine.run(&["systemd-analyze", "verify", "--man=no", "pingtest.service"]);
        let said: String = verified.stderr.lines().filter(|line| !is_of_later_systemd(example, line)).collect();
        assert_eq!(said, "", "{example}");
        // What it tells systemd that this one does not know.
        if !example.starts_with("notify-reload") {
            machine.ok(&["systemctl", "restart", "pingtest"]);
            assert_eq!(station.show("pingtest", "ActiveState"), "active", "{example}\n{}", station.story());
            let behind = station.log_of(logs, "alidns").len();
            station.await_line_of(logs, "alidns", behind, " bytes from ");
        }
        if example == "datagram.conf" {
            assert_datagram(&station);
        }
        if example == "control-group.conf" {
            let asked = ["setpriv", "--reuid=65534", "--regid=65534", "--groups=pingmon", "pingtest", "status"];
            assert_eq!(machine.run(&asked).code, 0, "{}", station.story());
        }
        machine.ok(&["systemctl", "stop", "pingtest"]);
        machine.sh(&format!("rm {dir}/{example} && systemctl daemon-reload"));
        say(&format!(
            "drop-in {example}: verified{}",
            if verified.stderr.is_empty() { "" } else { ", for a later systemd" }
        ));
    }
    assert!(examples.lines().count() >= 4, "{examples}");
}

/// What systemd 252 says of keys that came later, each in the example that is about them.
fn is_of_later_systemd(example: &str, line: &str) -> bool {
    match example {
        "restart-backoff.conf" => line.contains("Unknown key 'Restart"),
        "notify-reload.conf" => line.contains("notify-reload"),
        _ => false,
    }
}

/// No capability, and it probes all the same where groups may open datagram sockets.
fn assert_datagram(station: &Station) {
    let pid = station.main_pid("pingtest");
    let status = station.machine.text(&format!("/proc/{pid}/status"));
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).map(str::trim);
    assert_eq!(effective, Some("0000000000000000"), "{status}");
    let said = station.machine.ok(&["journalctl", "--no-pager", "-o", "cat", "-u", "pingtest"]);
    assert!(said.contains("datagram sockets"), "{said}");
}

#[test]
fn a_user_runs_an_instance_without_root() {
    let Some(station) = Station::installed(TARGETS) else { return };
    let machine = &station.machine;
    machine.sh("useradd --create-home --uid 4711 --shell /bin/sh somebody");
    machine.sh(&format!(
        "cd /home/somebody && mkdir -p .config/systemd/user .config/pingtest && cp {EXAMPLES}/user/pingtest.service .config/systemd/user/"
    ));
    let config = "[defaults]\ninterval = \"100ms\"\n\n[log]\ndir = \"/home/somebody/log\"\n\n[[target]]\nhost = \"10.99.0.6\"\nname = \"mine\"\n";
    machine.write("/home/somebody/.config/pingtest/pingtest.toml", config);
    machine.sh("chown -R somebody: /home/somebody && loginctl enable-linger somebody");
    machine.sh("echo '0 2147483647' >/proc/sys/net/ipv4/ping_group_range");
    let up = wait::until(PATIENCE, || (station.show("user@4711.service", "ActiveState") == "active").then_some(()));
    assert!(up.is_some(), "{}", machine.run(&["systemctl", "status", "--no-pager", "user@4711.service"]).stdout);
    let user = |command: &str| {
        let identity = ["setpriv", "--reuid=4711", "--regid=4711", "--init-groups", "env", "HOME=/home/somebody"];
        let environment = ["XDG_RUNTIME_DIR=/run/user/4711", "sh", "-c", command];
        machine.run(&[&identity[..], &environment[..]].concat())
    };
    let enabled = user("systemctl --user daemon-reload && systemctl --user enable --now pingtest");
    let story = || user("systemctl --user status --no-pager pingtest; journalctl --user --no-pager -n 20").stdout;
    assert_eq!(enabled.code, 0, "{enabled:?}\n{}", story());
    station.await_line_of("/home/somebody/log", "mine", 0, " bytes from 10.99.0.6");
    let shown = user("systemctl --user show --property StatusText,ActiveState,NRestarts pingtest").stdout;
    assert!(shown.contains("ActiveState=active") && shown.contains("StatusText=1 target"), "{shown}\n{}", story());
    let owner = machine.sh("stat -c %U /home/somebody/log/mine.log");
    assert_eq!(owner.trim(), "somebody");
    assert!(machine.path(CONFIG).exists(), "the service's own is untouched");
    say(&format!("user instance: {}", shown.trim().replace('\n', ", ")));
}
