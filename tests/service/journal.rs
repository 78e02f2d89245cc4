//! What the journal has: events with fields to query by, and no replies; and a journal that hangs holds nothing up.

use std::time::Duration;

use serde_json::Value;

use crate::say::say;
use crate::station::{Station, TARGETS};
use crate::support::wait::{self, PATIENCE, Stopwatch};

#[test]
fn the_journal_can_be_asked_for_targets_events_and_addresses() {
    let Some(station) = Station::at_work(TARGETS) else { return };
    let machine = &station.machine;
    station.await_reply("web", 20);
    station.far.nft(&["input ip daddr 10.99.0.2 drop"]);
    let began = station.await_line("alidns", 0, "outage of 10.99.0.2 began");
    station.far.nft(&[]);
    station.await_line("alidns", began, "outage of 10.99.0.2 ended");
    let entries = |query: &[&str]| {
        let command = [&["journalctl", "--no-pager", "-o", "json", "-u", "pingtest"], query].concat();
        let text = machine.ok(&command);
        text.lines().map(|line| serde_json::from_str(line).expect("journalctl writes JSON")).collect::<Vec<Value>>()
    };
    let ended = wait::until(PATIENCE, || entries(&["PINGTEST_EVENT=outage_ended"]).pop());
    let ended = ended.unwrap_or_else(|| panic!("{}", station.story()));
    for query in ["PINGTEST_TARGET=alidns", "PINGTEST_EVENT=outage_began", "PINGTEST_ADDR=10.99.0.2"] {
        let found = entries(&[query]);
        assert!(!found.is_empty(), "{query}");
        let (field, value) = query.split_once('=').expect("it has one");
        for entry in &found {
            assert_eq!(entry[field], value, "{entry}");
            assert_eq!(entry["_SYSTEMD_UNIT"], "pingtest.service", "{entry}");
        }
        say(&format!("journalctl -u pingtest {query}: {} entries, such as {}", found.len(), found[0]["MESSAGE"]));
    }
    assert!(entries(&["PINGTEST_TARGET=web"]).is_empty(), "nothing happened to it");
    let began = entries(&["PINGTEST_EVENT=outage_began"]).pop().expect("there is one");
    assert_eq!(began["PRIORITY"], "4", "a warning: {began}");
    assert_eq!(ended["PRIORITY"], "5", "a notice: {ended}");
    let lasted = ended["PINGTEST_LASTED_USEC"].as_str().and_then(|text| text.parse().ok()).map(Duration::from_micros);
    let lasted = lasted.unwrap_or_else(|| panic!("{ended}"));
    assert!(lasted > Duration::from_millis(300) && lasted < PATIENCE, "{lasted:?}");
    let id = began["MESSAGE_ID"].as_str().unwrap_or_else(|| panic!("{began}"));
    let by_id = entries(&[&format!("MESSAGE_ID={id}")]);
    assert!(by_id.len() == 1 && by_id[0]["PINGTEST_TARGET"] == "alidns", "{by_id:?}");
    let explained = machine.ok(&["journalctl", "--no-pager", "-x", "-u", "pingtest", "PINGTEST_EVENT=outage_began"]);
    assert!(explained.contains("Subject: alidns does not answer"), "{explained}");
    let catalog = machine.ok(&["journalctl", "--no-pager", "--dump-catalog", id]);
    assert!(catalog.contains("Defined-By: pingtest"), "{catalog}");
    let all = entries(&[]);
    let replies = all.iter().filter(|entry| entry["MESSAGE"].as_str().is_some_and(|text| text.contains("icmp_seq=")));
    assert_eq!(replies.count(), 0, "replies are for the files");
    say(&format!(
        "outage lasted {lasted:?} by PINGTEST_LASTED_USEC; -x explains MESSAGE_ID {id}; {} entries in all, no reply",
        all.len()
    ));
}

#[test]
fn a_journal_that_hangs_holds_up_neither_probes_nor_the_watchdog_nor_the_stop() {
    let Some(station) = Station::at_work(TARGETS) else { return };
    let machine = &station.machine;
    let (pid, journald) = (station.main_pid("pingtest"), station.main_pid("systemd-journald"));
    let behind = station.count("web");
    machine.ok(&["kill", "-s", "STOP", &journald.to_string()]);
    let watch = Stopwatch::start();
    let watchdog = station.span("pingtest", "WatchdogUSec");
    // It has something to say all the time, more than any socket's buffer holds.
    let mut outages = 0;
    while watch.elapsed() < watchdog + Duration::from_secs(5) {
        let from = station.count("alidns");
        station.far.nft(&["input ip daddr 10.99.0.2 drop"]);
        let began = station.await_line("alidns", from, "outage of 10.99.0.2 began");
        station.far.nft(&[]);
        station.await_line("alidns", began, "outage of 10.99.0.2 ended");
        outages += 1;
    }
    let hung = watch.elapsed();
    let lines = station.log("web").len() - behind;
    let expected = hung.as_millis() / 100;
    assert!(lines as u128 + 10 >= expected, "{lines} lines in {hung:?}");
    let bad: Vec<_> =
        station.log("web").into_iter().skip(behind).filter(|line| !line.contains(" bytes from ")).collect();
    assert!(bad.is_empty(), "{bad:?}");
    assert!(machine.path(&format!("/proc/{pid}/exe")).exists(), "it is the same process");
    // systemd is asked only now: it may wait for its journal itself.
    machine.ok(&["kill", "-s", "CONT", &journald.to_string()]);
    assert_eq!(
        (station.main_pid("pingtest"), &*station.show("pingtest", "NRestarts")),
        (pid, "0"),
        "{}",
        station.story()
    );
    let query = ["journalctl", "--no-pager", "-o", "cat", "-u", "pingtest", "PINGTEST_EVENT=outage_ended"];
    let told = || machine.ok(&query).lines().count();
    let all = wait::until(PATIENCE, || (told() == outages).then_some(()));
    assert!(all.is_some(), "{} of {outages} outages are in the journal", told());
    machine.ok(&["kill", "-s", "STOP", &journald.to_string()]);
    let stop = Stopwatch::start();
    machine.ok(&["kill", "-s", "TERM", &pid.to_string()]);
    let gone = || (!machine.path(&format!("/proc/{pid}/exe")).exists()).then_some(());
    let ended = wait::until(PATIENCE, gone).map(|()| stop.elapsed());
    machine.ok(&["kill", "-s", "CONT", &journald.to_string()]);
    let ended = ended.unwrap_or_else(|| panic!("{}", station.story()));
    assert!(ended < Duration::from_secs(2), "{ended:?}");
    say(&format!(
        "journald hung for {hung:.0?}: {lines} replies of another target in that time, no restart, {outages} outages told afterwards; \
         stopped while it hung in {ended:.2?}"
    ));
}
