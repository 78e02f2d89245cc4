//! From a version to the next, to none, and to nothing left.

use crate::install::assert_clean;
use crate::package::Package;
use crate::say::say;
use crate::station::{CONFIG, LOGS, Station, TARGETS, seq};
use crate::support::wait::{self, PATIENCE, Stopwatch};

#[test]
fn an_upgrade_restarts_it_and_loses_no_line_and_only_a_purge_takes_logs_away() {
    let Some(station) = Station::at_work(TARGETS) else { return };
    let machine = &station.machine;
    station.await_reply("alidns", 10);
    let (package, next) = (Package::built(), Package::built().next());
    let pid = station.main_pid("pingtest");
    machine.write("/etc/pingtest/lab.toml", &crate::instances::config("lab"));
    machine.ok(&["systemctl", "enable", "--now", "pingtest@lab"]);
    let instance = station.main_pid("pingtest@lab");
    let before = station.log("alidns");
    let watch = Stopwatch::start();
    let said = station.install(&next);
    assert_clean(&said);
    let installed = machine.ok(&["dpkg-query", "--show", "--showformat=${Version}", "pingtest"]);
    assert_eq!(installed, next.field("Version"));
    let back = station.await_another("pingtest", pid, PATIENCE);
    assert!(back.is_some(), "{}", station.story());
    assert!(station.await_another("pingtest@lab", instance, PATIENCE).is_some(), "{}", station.story());
    let took = watch.elapsed();
    let first = station.await_line("alidns", before.len(), "icmp_seq=1 ");
    let log = station.log("alidns");
    assert_eq!(log[..before.len()], before[..], "what was written stays");
    // The old process wrote every number up to its end, and the new one begins anew.
    let replies = log[..first].iter().filter(|line| line.contains(" bytes from "));
    let seqs: Vec<_> = replies.filter_map(|line| seq(line)).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    let (last, between) = log[..first].iter().partition::<Vec<_>, _>(|line| line.contains(" bytes from "));
    say(&format!("  last reply before it: {}", last.last().expect("there are some")));
    between.iter().for_each(|line| say(&format!("  between: {line}")));
    assert_eq!(machine.text(CONFIG), TARGETS, "the configuration is its owner's");
    say(&format!("upgrade {} to {installed} in {took:.1?}: {}", package.field("Version"), log[first]));

    let said = station.apt(&["remove", "pingtest"]);
    assert_clean(&said);
    let left = machine.sh("ps -e -o user=,comm= | grep -c pingtest || true");
    assert_eq!(left.trim(), "0", "{}", station.story());
    assert!(station.count("alidns") > before.len() && machine.text(CONFIG) == TARGETS, "logs and configuration stay");
    assert!(machine.path("/var/lib/pingtest/ledger.db").exists(), "and the ledger");
    assert!(!machine.path("/usr/bin/pingtest").exists());

    // What its owner has made there is its owner's to take away.
    machine.sh("systemctl disable pingtest@lab; rm /etc/pingtest/lab.toml");
    let said = station.apt(&["purge", "pingtest"]);
    assert_clean(&said);
    for path in [LOGS, "/var/lib/pingtest", CONFIG, "/run/pingtest"] {
        assert!(!machine.path(path).exists(), "{path} is left");
    }
    let traces = machine.sh(
        "find /etc/systemd /lib/systemd /usr/lib/sysusers.d /usr/lib/tmpfiles.d /var/lib/systemd -name '*pingtest*'",
    );
    assert_eq!(traces, "", "left");
    let failed = machine.ok(&["systemctl", "list-units", "--no-pager", "--no-legend", "--all", "pingtest*"]);
    assert!(!failed.contains("failed"), "{failed}");
    // And again, as if it had never been there.
    let said = station.install(&package);
    assert_clean(&said);
    machine.write(CONFIG, TARGETS);
    machine.ok(&["systemctl", "restart", "pingtest"]);
    station.await_reply("alidns", 0);
}

#[test]
fn an_upgrade_leaves_what_runs_alone_where_its_configuration_has_a_mistake() {
    let Some(station) = Station::at_work(TARGETS) else { return };
    let machine = &station.machine;
    machine.write("/etc/pingtest/lab.toml", &crate::instances::config("lab"));
    machine.ok(&["systemctl", "enable", "--now", "pingtest@lab"]);
    let (pid, instance) = (station.main_pid("pingtest"), station.main_pid("pingtest@lab"));
    machine.write(CONFIG, "nonsense");
    let said = station.install(&Package::built().next());
    assert_clean(&said);
    let told: Vec<_> = said.lines().filter(|line| line.starts_with("pingtest: ")).collect();
    assert!(
        matches!(told[..], [line] if line.contains(CONFIG) && line.contains("systemctl restart pingtest")),
        "{said}"
    );
    assert_eq!(station.main_pid("pingtest"), pid, "{}", station.story());
    station.await_reply("alidns", station.count("alidns"));
    let another = station.await_another("pingtest@lab", instance, PATIENCE);
    assert!(another.is_some(), "the instance has a good one: {}", station.story());
    machine.write(CONFIG, TARGETS);
    machine.ok(&["systemctl", "restart", "pingtest"]);
    station.await_reply("alidns", station.count("alidns"));
    say(&format!("upgrade amid a mistake: {}", told[0]));
}

#[test]
fn instances_come_back_with_the_package_and_a_purge_empties_what_it_cannot_remove() {
    let Some(station) = Station::at_work(TARGETS) else { return };
    let machine = &station.machine;
    machine.write("/etc/pingtest/lab.toml", &crate::instances::config("lab"));
    machine.ok(&["systemctl", "enable", "--now", "pingtest@lab"]);
    station.apt(&["remove", "pingtest"]);
    assert_eq!(station.show("pingtest@lab", "ActiveState"), "inactive");
    // Logs on a disk of their own.
    machine.sh(&format!("mount -t tmpfs -o mode=750 none {LOGS}"));
    let said = station.install(&Package::built());
    assert_clean(&said);
    for unit in ["pingtest", "pingtest@lab"] {
        assert_eq!(station.show(unit, "ActiveState"), "active", "{unit}\n{}", station.story());
    }
    station.await_reply("alidns", 0);
    let said = station.apt(&["purge", "pingtest"]);
    assert!(said.contains(&format!("{LOGS} is left")), "{said}");
    let left = machine.sh(&format!("ls -A {LOGS}; find /etc/systemd/system -name 'pingtest*'"));
    assert_eq!(left, "", "left");
    let known = machine.run(&["dpkg-query", "--show", "--showformat=${db:Status-Status}", "pingtest"]);
    assert!(known.code != 0 || known.stdout == "not-installed", "{known:?}");
    let gone = wait::until(PATIENCE, || (machine.run(&["umount", LOGS]).code == 0).then_some(()));
    assert!(gone.is_some(), "nobody uses it");
}
