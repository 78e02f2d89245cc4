//! Directories of the service that somebody takes away while it runs.

use crate::say::say;
use crate::station::{LOGS, Station, TARGETS, seq};
use crate::support::wait::{self, PATIENCE};

#[test]
fn directories_that_were_taken_away_are_used_again_without_a_restart() {
    let Some(station) = Station::at_work(TARGETS) else { return };
    let machine = &station.machine;
    station.await_reply("alidns", 10);
    let pid = station.main_pid("pingtest");
    // As a whole: it could not write to what is half deleted.
    for dir in [LOGS, "/var/lib/pingtest"] {
        machine.sh(&format!("mv {dir} {dir}.away && rm -r {dir}.away"));
    }
    let says = |text: &str| {
        let status = || station.show("pingtest", "StatusText");
        let found = wait::until(PATIENCE, || status().contains(text).then_some(()));
        found.unwrap_or_else(|| panic!("no {text:?}: {}\n{}", status(), station.story()));
    };
    says("the log is not written");
    machine.ok(&["systemd-tmpfiles", "--create", "pingtest.conf"]);
    let first = station.await_reply("alidns", 0);
    station.await_reply("alidns", first + 10);
    let lines = station.log("alidns");
    let seqs: Vec<_> = lines.iter().filter(|line| line.contains(" bytes from ")).filter_map(|line| seq(line)).collect();
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("not written")), "{lines:#?}");
    let adm = ["setpriv", "--reuid=65534", "--regid=65534", "--groups=adm", "cat", "/var/log/pingtest/alidns.log"];
    assert_eq!(machine.run(&adm).code, 0, "{}", machine.sh("ls -lR /var/log/pingtest"));
    let ledger = wait::until(PATIENCE, || machine.path("/var/lib/pingtest/ledger.db").exists().then_some(()));
    assert!(ledger.is_some(), "{}", station.story());
    assert_eq!(station.main_pid("pingtest"), pid, "{}", station.story());
    say(&format!("log and ledger taken away and made again: the same process goes on: {}", lines[first]));
}
