//! A year of rotation in virtual time: lines of a whole year go through the writer, which rotates by the lines' own time, in a zone
//! whose clocks change twice.
//!
//! The zone is the process's, so each test runs itself again with another `TZ`.

#![allow(clippy::unwrap_used, reason = "the lint spares test functions, and not those that they share")]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use chrono::{DateTime, Local, NaiveDateTime, TimeZone, Timelike};
use pingtest::monitor::record::{Answer, AnswerKind, Event, Record};
use pingtest::monitor::target::{Host, Label, Name};
use pingtest::monitor::time::Wall;
use pingtest::sink::file::{Keeping, Layout, Limits, Output, Place, Writer};
use pingtest::sink::line::{Format, Labels, StampFormat, Style};
use pingtest::sink::rotation::{Packing, Rotate, RotatedName};

/// Berlin's rules as tzset(3) takes them, so that no database of zones is needed.
const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
/// Lord Howe Island, whose clocks move by half an hour.
const LORD_HOWE: &str = "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0";
/// A line each ten minutes.
const STEP: i64 = 600;
const YEAR: i64 = 365 * 86_400;

#[test]
fn a_year_of_hours_has_a_file_for_each_and_two_for_the_one_that_comes_twice() {
    in_zone(BERLIN, "a_year_of_hours_has_a_file_for_each_and_two_for_the_one_that_comes_twice", || {
        let files = written(Rotate::Hourly, midnight("2026-01-01"), YEAR);
        assert_eq!(files.len(), 365 * 24);
        assert!(files.values().all(|times| times.len() == 6), "each hour has its six lines");
        assert!(files.keys().all(|name| !name.starts_with("web-2026-03-29T02")), "an hour that was left out");
        let twice: Vec<_> = files.keys().filter(|name| name.starts_with("web-2026-10-25T02")).collect();
        assert_eq!(twice, ["web-2026-10-25T02.log", "web-2026-10-25T02@0002.log"]);
        for (name, times) in files.iter().filter(|(name, _)| *name != "web.log") {
            let hours = times.iter().map(|time| time.format("web-%FT%H").to_string());
            assert!(hours.into_iter().all(|hour| name.starts_with(&hour)), "{name}");
        }
    });
}

#[test]
fn a_year_of_days_has_one_of_23_hours_and_one_of_25() {
    in_zone(BERLIN, "a_year_of_days_has_one_of_23_hours_and_one_of_25", || {
        let files = written(Rotate::Daily, midnight("2026-01-01"), YEAR);
        assert_eq!(files.len(), 365);
        for (name, times) in files.iter().filter(|(name, _)| *name != "web.log") {
            let hours = match name.as_str() {
                "web-2026-03-29.log" => 23,
                "web-2026-10-25.log" => 25,
                _ => 24,
            };
            assert_eq!(times.len(), hours * 6, "{name}");
            assert!(times.iter().all(|time| *name == time.format("web-%F.log").to_string()), "{name}");
        }
    });
}

#[test]
fn a_year_of_weeks_begins_them_on_mondays() {
    in_zone(BERLIN, "a_year_of_weeks_begins_them_on_mondays", || {
        let files = written(Rotate::Weekly, midnight("2026-01-01"), YEAR);
        // 1 January 2026 is a Thursday.
        assert_eq!(files.len(), 53);
        let mut names = files.keys();
        assert_eq!(names.next().map(String::as_str), Some("web-2025-12-29.log"));
        assert_eq!(names.next().map(String::as_str), Some("web-2026-01-05.log"));
        for (name, times) in files.iter().filter(|(name, _)| *name != "web.log").skip(1) {
            assert_eq!(times[0].format("web-%F.log %u %H:%M").to_string(), format!("{name} 1 00:00"));
        }
    });
}

#[test]
fn clocks_that_move_by_half_an_hour_lose_no_line_and_no_order() {
    in_zone(LORD_HOWE, "clocks_that_move_by_half_an_hour_lose_no_line_and_no_order", || {
        for day in ["2026-04-04", "2026-10-03"] {
            let files = written(Rotate::Hourly, midnight(day), 3 * 86_400);
            assert!((72..=74).contains(&files.len()), "{} files", files.len());
        }
    });
}

#[test]
fn without_rotation_a_year_is_one_file() {
    let files = written(Rotate::Never, midnight("2026-01-01"), YEAR);
    assert_eq!(files.keys().collect::<Vec<_>>(), ["web.log"]);
}

/// Has a line written each ten minutes, and returns the files by name with the times of their lines. The names' order is that of the
/// lines, which are all there.
fn written(rotate: Rotate, from: DateTime<Local>, seconds: i64) -> BTreeMap<String, Vec<DateTime<Local>>> {
    let dir = tempfile::tempdir().unwrap();
    let keeping = Keeping { rotate, max_size: None, keep: None, max_total: None, packing: Packing::Plain, sync: None };
    let style = Style { format: Format::Text, stamp: StampFormat::new("unix").unwrap(), labels: Labels::None };
    let place = Place::Directory { dir: dir.path().to_owned(), layout: Layout::PerTarget, keeping };
    let limits = Limits { open_files: NonZeroUsize::MIN, waiting: usize::MAX };
    let log = Writer::spawn(&[Output { place, style }], limits, |_| None, |notice| panic!("{notice:?}")).unwrap();
    let Writer { mut queue, thread, .. } = log;
    let times: Vec<_> = (0..seconds).step_by(STEP as usize).map(|second| from.timestamp() + second).collect();
    for (seq, time) in times.iter().enumerate() {
        queue.push(reply(seq as u64 + 1, *time));
        queue.flush();
    }
    drop(queue);
    thread.join().unwrap();

    let files = read(dir.path());
    let rotated = files.keys().filter(|name| *name != "web.log");
    assert!(rotated.clone().all(|name| RotatedName::parse(name).is_some_and(|parsed| parsed.to_string() == *name)));
    let in_order = rotated.chain(files.keys().filter(|name| *name == "web.log")).flat_map(|name| &files[name]);
    assert!(in_order.map(DateTime::timestamp).eq(times), "every line once, in the order of the files' names");
    files
}

fn read(dir: &Path) -> BTreeMap<String, Vec<DateTime<Local>>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let logs = entries.filter(|name| !name.starts_with('.'));
    logs.map(|name| {
        let text = fs::read_to_string(dir.join(&name)).unwrap();
        let time = |line: &str| Local.timestamp_opt(line.split_once('.').unwrap().0.parse().unwrap(), 0).unwrap();
        (name, text.lines().map(time).collect())
    })
    .collect()
}

fn reply(seq: u64, second: i64) -> Record {
    let addr = Ipv4Addr::new(192, 0, 2, 1).into();
    let at = Wall::from_nanos(second * 1_000_000_000);
    let rtt = Duration::from_micros(500);
    let answer = Answer { kind: AnswerKind::Reply, seq, sent: at, rtt, ttl: Some(64), bytes: 64, from: None };
    let target = Label { name: Name::new("web").unwrap(), host: Host::Address(addr) };
    Record { at, target, addr: Some(addr), event: Event::Answer(answer) }
}

fn midnight(date: &str) -> DateTime<Local> {
    let time = NaiveDateTime::parse_from_str(&format!("{date} 00:00"), "%F %H:%M").unwrap();
    let local = Local.from_local_datetime(&time).unwrap();
    assert_eq!(local.hour(), 0);
    local
}

/// Runs `body` in a process whose zone it is.
fn in_zone(zone: &str, test: &str, body: impl FnOnce()) {
    if env::var("TZ").is_ok_and(|present| present == zone) {
        return body();
    }
    let itself = env::current_exe().unwrap();
    let output = Command::new(itself).args([test, "--exact", "--nocapture"]).env("TZ", zone).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}{}", String::from_utf8_lossy(&output.stderr));
}
