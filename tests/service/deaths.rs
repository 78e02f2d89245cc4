//! It comes back from whatever ends it, however often, and tells that it did not measure meanwhile.

use std::time::Duration;

use crate::outages::Figures;
use crate::say::say;
use crate::station::{MACHINE, Station, TARGETS};
use crate::support::wait::{self, PATIENCE, Stopwatch};

const NAMES: [&str; 3] = ["alidns", "web", "self"];

/// As many as issue 6 asks for, at once: systemd's own limit is five in ten seconds.
const CRASHES: u32 = 10;

/// Who had no time to say goodbye was seen alive last so long ago at most: the ledger writes that down once a second.
const LAST_SEEN: Duration = Duration::from_secs(2);

#[test]
fn it_comes_back_from_each_kind_of_death_and_tells_of_the_gap() {
    let Some(station) = Station::at_work(TARGETS) else { return };
    let restart = station.span("pingtest", "RestartUSec");
    for (kind, signal) in [("kill", "TERM"), ("kill -9", "KILL"), ("abort", "ABRT")] {
        let before = station.main_pid("pingtest");
        // So that the ledger knows of this life.
        let behind = station.count("alidns");
        station.await_reply("alidns", behind + 20);
        let behind = NAMES.map(|name| station.count(name));
        let watch = Stopwatch::start();
        station.machine.ok(&["kill", "-s", signal, &before.to_string()]);
        let back = station.await_another("pingtest", before, PATIENCE);
        let active = watch.elapsed();
        assert!(back.is_some(), "{kind}: {}", station.story());
        assert!(active <= restart + MACHINE, "{kind}: back after {active:?}");
        let mut gaps = Vec::new();
        for (name, behind) in NAMES.iter().zip(behind) {
            let gap = station.await_line(name, behind, "pingtest did not run for ");
            station.await_reply(name, gap);
            let line = &station.log(name)[gap];
            assert!(line.contains(" not measured: "), "{line}");
            gaps.push(gap_seconds(line));
        }
        let lines = watch.elapsed();
        let told = gaps.iter().copied().fold(0.0, f64::max);
        let most = lines + LAST_SEEN;
        assert!(told >= restart.as_secs_f64() / 2.0 && told <= most.as_secs_f64(), "{kind}: {told} s are told");
        say(&format!(
            "{kind}: active again after {active:.2?}, lines of all targets after {lines:.2?}; told: {gaps:?} s"
        ));
    }
    let result = station.show("pingtest", "NRestarts");
    assert_eq!(result, "3", "{}", station.story());
    let figures = Figures::read(&station, &[]);
    for name in NAMES {
        let target = figures.of(name);
        assert!(
            target.coverage < 1.0 && target.not_measured_s("not_watched") >= 3.0 * restart.as_secs_f64() / 2.0,
            "{target:?}"
        );
        assert!(target.outages() == 0 && target.lost() == 0, "{target:?}");
        say(&format!("pingtest outages, {name}: {target}"));
    }
}

#[test]
fn ten_crashes_in_ten_seconds_do_not_keep_it_down() {
    let Some(station) = Station::at_work(TARGETS) else { return };
    let watch = Stopwatch::start();
    let mut pid = station.main_pid("pingtest");
    for crash in 1..=CRASHES {
        station.machine.ok(&["kill", "-s", "KILL", &pid.to_string()]);
        if crash < CRASHES {
            // As soon as it is there: it is not to get as far as to be ready.
            let next =
                wait::until(PATIENCE, || Some(station.main_pid("pingtest")).filter(|next| *next != 0 && *next != pid));
            pid = next.unwrap_or_else(|| panic!("crash {crash}: {}", station.story()));
        }
    }
    let crashed = watch.elapsed();
    let behind = station.count("alidns");
    let back = station.await_another("pingtest", pid, PATIENCE);
    assert!(back.is_some(), "{}", station.story());
    station.await_reply("alidns", behind);
    assert_eq!(station.show("pingtest", "NRestarts"), CRASHES.to_string());
    say(&format!("{CRASHES} crashes in {crashed:.1?}: active again {:.2?} after the first", watch.elapsed()));
    assert!(crashed < Duration::from_secs(20), "too far apart for systemd's own limit: {crashed:?}");
}

/// What a line says of how long it did not run, at most, s.
pub(crate) fn gap_seconds(line: &str) -> f64 {
    let words =
        line.split_once("did not run for ").map(|(_, rest)| rest.trim_start_matches("up to ")).unwrap_or_default();
    let number = words.split([' ', ')']).next().unwrap_or_default();
    number.parse().unwrap_or_else(|_| panic!("no seconds: {line}"))
}
