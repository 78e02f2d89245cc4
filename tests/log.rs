//! `pingtest log` as a user runs it, on directories made here.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use pingtest::sink::archive::pack;
use pingtest::sink::rotation::Packing;
use tempfile::TempDir;

/// Midnight of 2026-11-20, UTC.
const MIDNIGHT: u64 = 1_795_132_800;

struct Logs(TempDir);

impl Logs {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("written");
        path
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).expect("opened");
        file.write_all(text.as_bytes()).expect("written");
    }

    fn packed(&self, name: &str, packing: Packing, text: impl AsRef<[u8]>) {
        pack(&self.write(name, text), packing, &|| false).expect("packed");
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pingtest"));
        command.arg("log").arg("--dir").arg(self.0.path()).args(args).env("TZ", "UTC");
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("run")
    }

    #[track_caller]
    fn shown(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }
}

/// The line of a reply `second` seconds after midnight of 2026-11-20.
fn text(second: u64) -> String {
    let (day, time) = (20 + second / 86_400, second % 86_400);
    let (hour, minute, second_) = (time / 3600, time / 60 % 60, time % 60);
    format!(
        "2026-11-{day}_{hour:02}:{minute:02}:{second_:02}.123 64 bytes from 223.5.5.5: icmp_seq={second} ttl=118 time=5.12 ms\n"
    )
}

fn json(second: u64) -> String {
    let stamp = text(second)[..19].replace('_', "T");
    format!(
        "{{\"ts\":\"{stamp}.123000+00:00\",\"target\":\"alidns\",\"addr\":\"223.5.5.5\",\"seq\":{second},\"outcome\":\"reply\",\
         \"rtt_ms\":5.12,\"ttl\":118,\"bytes\":64}}\n"
    )
}

fn texts(seconds: impl IntoIterator<Item = u64>) -> String {
    seconds.into_iter().map(text).collect()
}

const DAY: u64 = 86_400;

/// Four days, each in another form, the last one live.
fn four_days() -> Logs {
    let logs = Logs::new();
    logs.packed("alidns-2026-11-20.log", Packing::Gzip, texts(0..DAY));
    logs.packed("alidns-2026-11-21.log", Packing::Zstd, texts(DAY..2 * DAY));
    logs.write("alidns-2026-11-22.log", (2 * DAY..3 * DAY).map(json).collect::<String>());
    logs.write("alidns.log", texts(3 * DAY..3 * DAY + 1000));
    logs
}

#[test]
fn a_file_that_all_targets_share_tells_them_apart_whatever_it_is_written_in() {
    let logs = Logs::new();
    let line = text(1).trim_end().replacen(' ', " [alidns] ", 1);
    logs.write("pingtest.log", json(1));
    assert_eq!(logs.shown(&["pingtest"]).trim_end(), line);
    logs.write("pingtest.log", format!("{line}\n"));
    assert_eq!(logs.shown(&["pingtest"]).trim_end(), line);
}

#[test]
fn a_time_is_found_in_every_kind_of_file() {
    let logs = four_days();
    for day in 0..4 {
        let from = day * DAY + 600;
        let since = format!("2026-11-{}_00:10", 20 + day);
        assert_eq!(logs.shown(&["alidns", "--since", &since, "--until", "+60s"]), texts(from..from + 60));
    }
}

#[test]
fn a_range_goes_on_from_file_to_file() {
    let logs = four_days();
    let range = ["alidns", "--since", "2026-11-20 23:59", "--until", "2026-11-23 00:01"];
    assert_eq!(logs.shown(&range), texts(DAY - 60..3 * DAY + 60));
    assert_eq!(logs.shown(&["alidns"]), texts(0..3 * DAY + 1000));
    assert_eq!(logs.shown(&["alidns", "--since", "2026-12-01"]), "");
    assert_eq!(logs.shown(&["alidns", "--until", "2026-11-01"]), "");
}

#[test]
fn both_bounds_are_included() {
    let logs = four_days();
    let stamp = "2026-11-21_03:00:00.123";
    assert_eq!(logs.shown(&["alidns", "--since", stamp, "--until", stamp]), text(DAY + 3 * 3600));
    assert_eq!(logs.shown(&["alidns", "--since", stamp, "--until", "+1s"]), texts(DAY + 10_800..DAY + 10_802));
}

#[test]
fn the_last_lines_are_those_of_the_range() {
    let logs = four_days();
    assert_eq!(logs.shown(&["alidns", "-n", "3"]), texts(3 * DAY + 997..3 * DAY + 1000));
    assert_eq!(logs.shown(&["alidns", "-n", "1500"]), texts(3 * DAY - 500..3 * DAY + 1000));
    assert_eq!(logs.shown(&["alidns", "-n", "2", "--until", "2026-11-21 00:00:01"]), texts(DAY - 1..DAY + 1));
    assert_eq!(logs.shown(&["alidns", "-n", "2", "--until", "2026-11-20 00:00:09"]), texts(7..9));
    assert_eq!(
        logs.shown(&["alidns", "-n", "5", "--since", "2026-11-23 00:16:38"]),
        texts(3 * DAY + 998..3 * DAY + 1000)
    );
    assert_eq!(logs.shown(&["alidns", "-n", "0"]), "");
}

#[test]
fn either_form_is_shown_as_the_other() {
    let logs = four_days();
    let ranges = [["--since", "2026-11-21 12:00", "--until", "+9s"], ["--since", "2026-11-22 12:00", "--until", "+9s"]];
    for (range, from) in ranges.iter().zip([DAY + 43_200, 2 * DAY + 43_200]) {
        let json: String = (from..from + 9).map(json).collect();
        assert_eq!(logs.shown(&[&["alidns", "--json"], &range[..]].concat()), json);
        assert_eq!(logs.shown(&[&["alidns"], &range[..]].concat()), texts(from..from + 9));
    }
}

/// Lines with other outcomes among them.
fn mixed(label: &str) -> String {
    let lost = format!("2026-11-20_00:00:02.123 {label}no answer from 223.5.5.5: icmp_seq=2 timeout=2000 ms\n");
    let late = text(3).replace(" ms\n", " ms (LATE)\n");
    let lines = [text(1), lost, late, text(4)];
    lines.map(|line| if line.contains(label) { line } else { line.replacen(' ', &format!(" {label}"), 1) }).concat()
}

#[test]
fn only_the_outcomes_that_are_named_are_shown() {
    let logs = Logs::new();
    logs.write("alidns.log", mixed(""));
    let lines = mixed("");
    let lines: Vec<_> = lines.split_inclusive('\n').collect();
    assert_eq!(logs.shown(&["alidns", "--outcome", "lost,late"]), lines[1..3].concat());
    assert_eq!(logs.shown(&["alidns", "--outcome", "reply", "-n", "1"]), lines[3]);
    let output = logs.run(&["alidns", "--outcome", "missing"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not an outcome"), "{output:?}");
}

#[test]
fn a_file_that_all_share_is_read_for_one_target() {
    let logs = Logs::new();
    let lines = mixed("[alidns] ") + &mixed("[web001] ");
    logs.write("pingtest.log", &lines);
    assert_eq!(logs.shown(&["alidns"]), mixed("[alidns] "));
    assert_eq!(logs.shown(&["web001", "--outcome", "lost"]).lines().count(), 1);
    assert_eq!(logs.shown(&["pingtest"]), lines);
    let json = logs.shown(&["web001", "--json", "-n", "1"]);
    assert!(json.contains("\"target\":\"web001\""), "{json}");
}

#[test]
fn a_log_whose_layout_was_changed_is_read_as_a_whole() {
    let logs = Logs::new();
    logs.write("pingtest.log", text(1).replacen(' ', " [alidns] ", 1));
    File::open(logs.path("pingtest.log")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    logs.write("alidns.log", text(2));
    assert_eq!(logs.shown(&["alidns"]), text(1).replacen(' ', " [alidns] ", 1) + &text(2));
}

#[test]
fn files_that_others_rotated_are_read_in_order() {
    let logs = Logs::new();
    logs.packed("alidns.log.2", Packing::Gzip, texts(0..10));
    logs.write("alidns.log.1", texts(10..20));
    logs.write("alidns.log-20261121", texts(20..30));
    logs.write("alidns.log", texts(30..40));
    assert_eq!(logs.shown(&["alidns"]), texts(0..40));
    assert_eq!(logs.shown(&["alidns", "--since", "2026-11-20 00:00:15", "--until", "+10s"]), texts(15..25));
}

#[test]
fn a_file_that_is_there_twice_is_read_once() {
    let logs = Logs::new();
    logs.packed("alidns-2026-11-20.log", Packing::Zstd, texts(0..10));
    logs.write("alidns-2026-11-20.log", texts(0..10));
    assert_eq!(logs.shown(&["alidns"]), texts(0..10));
}

#[test]
fn lines_that_are_none_are_shown_and_told() {
    let logs = Logs::new();
    let lines = [text(1), "-- MARK --\n".into(), text(2), text(3)[..40].to_owned()].concat();
    logs.write("alidns.log", &lines);
    let output = logs.run(&["alidns"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), lines + "\n");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "pingtest: 2 lines of the range not understood, shown as found\n"
    );
    let output = logs.run(&["alidns", "--json"]);
    assert_eq!(output.stdout.split(|&byte| byte == b'\n').count(), 3);
    assert!(output.status.success() && output.stderr.ends_with(b"left out\n"), "{output:?}");
    assert_eq!(logs.shown(&["alidns", "--since", "2026-11-20 00:00:02", "--until", "+0.5s"]), text(2));
}

#[test]
fn lines_a_little_out_of_order_are_all_found() {
    let logs = Logs::new();
    let lines: String = (0..20_000).map(|i| text(if i % 2 == 0 { i + 1 } else { i - 1 })).collect();
    logs.write("alidns.log", lines);
    let shown = logs.shown(&["alidns", "--since", "2026-11-20 01:00", "--until", "+10s"]);
    let mut shown: Vec<_> = shown.split_inclusive('\n').collect();
    shown.sort_unstable();
    assert_eq!(shown.concat(), texts(3600..3610));
}

#[test]
fn a_clock_that_was_set_back_hides_nothing() {
    let logs = Logs::new();
    let times = || (0..30_000).chain(10_000..60_000);
    logs.write("alidns-2026-11-20.log", texts(times().take(50_000)));
    logs.write("alidns.log", texts(times().skip(50_000)));
    let note = format!("set-back {}.123000000 {}.123000000\n", MIDNIGHT + 29_999, MIDNIGHT + 10_000);
    logs.write(".pingtest.files", note);
    for from in [0, 9_990, 10_000, 20_000, 29_995, 30_005, 50_000] {
        let since = format!("@{}", MIDNIGHT + from);
        let wanted = times().filter(|&time| (from..from + 20).contains(&time));
        assert_eq!(logs.shown(&["alidns", "--since", &since, "--until", "+20s"]), texts(wanted), "from {from}");
    }
}

#[test]
fn the_hour_that_comes_twice_is_found_twice() {
    // 2026-10-25 in Berlin: summer time ends at 01:00 UTC, and clocks go back from 03:00 to 02:00.
    let end_of_summer = 1_792_890_000_i64;
    let stamp = |at: i64| {
        let shown = at + if at < end_of_summer { 7200 } else { 3600 };
        let time = shown.rem_euclid(86_400);
        format!("2026-10-25_{:02}:{:02}:{:02}.000", time / 3600, time / 60 % 60, time % 60)
    };
    let line =
        |at: i64| format!("{} 64 bytes from 223.5.5.5: icmp_seq={} ttl=118 time=5.12 ms\n", stamp(at), at % 100_000);
    let lines = |range: std::ops::Range<i64>| range.map(line).collect::<String>();
    let logs = Logs::new();
    logs.write("alidns.log", lines(end_of_summer - 9000..end_of_summer + 9000));
    let shown = |since: &str, until: &str| {
        let mut command = logs.command(&["alidns", "--since", since, "--until", until]);
        let output = command.env("TZ", "Europe/Berlin").output().expect("run");
        String::from_utf8(output.stdout).expect("text")
    };
    let (a, b) = (end_of_summer - 1800, end_of_summer + 1800);
    assert_eq!(shown(&format!("@{a}"), "+9s"), lines(a..a + 10));
    assert_eq!(shown(&format!("@{b}"), "+9s"), lines(b..b + 10));
    assert_eq!(shown("2026-10-25 02:30", "2026-10-25 02:30"), lines(a..b + 1));
    assert_eq!(shown("2026-10-25 03:00", "+9s"), lines(end_of_summer + 3600..end_of_summer + 3610));
}

#[test]
fn a_damaged_file_is_told_and_the_others_are_shown() {
    let logs = Logs::new();
    logs.packed("alidns-2026-11-20.log", Packing::Zstd, texts(0..10));
    let path = logs.path("alidns-2026-11-20.log.zst");
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 0xff;
    fs::write(&path, bytes).unwrap();
    logs.write("alidns.log", texts(10..20));
    let output = logs.run(&["alidns"]);
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout)), (Some(1), texts(10..20).into()));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.starts_with("pingtest: cannot read ") && told.contains("alidns-2026-11-20.log.zst: "), "{told}");
}

#[test]
fn a_log_that_is_not_there_is_told_with_those_that_are() {
    let logs = Logs::new();
    logs.write("web001.log", text(1));
    logs.write("web002-2026-11-20.log", text(1));
    let output = logs.run(&["alidns"]);
    assert_eq!(output.status.code(), Some(1));
    let dir = logs.0.path().display();
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!("pingtest: there is no log of alidns in {dir} (there are: web001, web002)\n")
    );
}

#[test]
fn what_is_no_time_is_misuse() {
    let logs = Logs::new();
    for args in [["alidns", "--since", "soon"], ["alidns", "--until", "+2h"], ["../x", "--since", "now"]] {
        assert_eq!(logs.run(&args).status.code(), Some(64), "{args:?}");
    }
}

#[test]
fn directory_and_time_format_are_those_of_the_configuration() {
    let logs = Logs::new();
    let config = logs.path("pingtest.toml");
    let dir = logs.0.path().display();
    let log = |time_format: &str| {
        let text = format!("[log]\ndir = \"{dir}\"\ntime_format = \"{time_format}\"\n[[target]]\nhost = \"::1\"\n");
        fs::write(&config, text).expect("written");
    };
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pingtest"));
        command.arg("log").args(args).arg("--config").arg(&config).env("TZ", "UTC").output().expect("run")
    };
    logs.write("alidns.log", "20.11.2026 12:00:00 64 bytes from ::1: icmp_seq=1 ttl=64 time=0.040 ms\n");
    log("%d.%m.%Y %T");
    assert_eq!(run(&["alidns", "--since", "2026-11-20", "--outcome", "reply"]).stdout.len(), 71);
    log("%T");
    let output = run(&["alidns", "--since", "2026-11-20"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("tells no date"), "{output:?}");
    assert!(run(&["alidns"]).status.success());
    fs::write(&config, "oops = 1\n").expect("written");
    assert_eq!(run(&["alidns"]).status.code(), Some(78));
}

#[test]
fn a_reader_that_has_had_enough_is_no_error() {
    let logs = four_days();
    let mut child = logs.command(&["alidns"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("read");
    assert_eq!(line, text(0));
    let output = child.wait_with_output().expect("ended");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

/// A command that follows.
struct Following {
    child: Child,
    lines: Receiver<String>,
}

impl Following {
    fn start(logs: &Logs, args: &[&str]) -> Self {
        let mut child = logs.command(args).arg("--follow").stdout(Stdio::piped()).spawn().expect("started");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line + "\n")));
        Self { child, lines }
    }

    /// The next lines are these.
    #[track_caller]
    fn shows(&self, expected: &str) {
        for line in expected.split_inclusive('\n') {
            assert_eq!(self.lines.recv_timeout(Duration::from_secs(10)).as_deref(), Ok(line));
        }
    }

    /// Nothing comes for some looks.
    #[track_caller]
    fn is_silent(&self) {
        let more = self.lines.recv_timeout(Duration::from_millis(700));
        assert!(more.is_err(), "{more:?}");
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn rename(logs: &Logs, from: &str, to: &str) {
    fs::rename(logs.path(from), logs.path(to)).expect("renamed");
}

fn compress(path: &Path) {
    pack(path, Packing::Zstd, &|| false).expect("packed");
}

#[test]
fn lines_are_followed_as_they_come_and_as_a_whole() {
    let logs = Logs::new();
    logs.write("alidns.log", texts(0..3));
    let following = Following::start(&logs, &["alidns", "-n", "2"]);
    following.shows(&texts(1..3));
    let (half, rest) = (&text(3)[..30], &text(3)[30..]);
    logs.append("alidns.log", half);
    following.is_silent();
    logs.append("alidns.log", rest);
    following.shows(&text(3));
    following.is_silent();
}

#[test]
fn following_goes_on_over_rotation() {
    let logs = Logs::new();
    logs.write("alidns.log", texts(0..3));
    let following = Following::start(&logs, &["alidns"]);
    following.shows(&texts(0..3));
    logs.append("alidns.log", &text(3));
    rename(&logs, "alidns.log", "alidns-2026-11-20.log");
    logs.append("alidns.log", &text(4));
    following.shows(&texts(3..5));
    following.is_silent();
}

#[test]
fn following_loses_nothing_between_two_looks() {
    let logs = Logs::new();
    logs.write("alidns.log", texts(0..3));
    let following = Following::start(&logs, &["alidns"]);
    following.shows(&texts(0..3));
    for (at, name) in
        [(3, "alidns-2026-11-20.log"), (4, "alidns-2026-11-20@0002.log"), (5, "alidns-2026-11-20@0003.log")]
    {
        logs.append("alidns.log", &text(at));
        rename(&logs, "alidns.log", name);
        compress(&logs.path(name));
    }
    logs.append("alidns.log", &text(6));
    following.shows(&texts(3..7));
    following.is_silent();
}

#[test]
fn following_survives_what_others_do_to_the_file() {
    let logs = Logs::new();
    logs.write("alidns.log.1", "");
    logs.write("alidns.log", texts(0..3));
    let following = Following::start(&logs, &["alidns"]);
    following.shows(&texts(0..3));
    // Moved by logrotate(8), which makes an empty file in its place; the writer learns it later.
    logs.write("alidns.log.1", texts(7..9));
    rename(&logs, "alidns.log.1", "alidns.log.2");
    rename(&logs, "alidns.log", "alidns.log.1");
    logs.write("alidns.log", "");
    following.is_silent();
    logs.append("alidns.log.1", &text(3));
    following.shows(&text(3));
    logs.append("alidns.log", &text(4));
    following.shows(&text(4));
    // Cut to nothing.
    OpenOptions::new().write(true).truncate(true).open(logs.path("alidns.log")).expect("cut");
    following.is_silent();
    logs.append("alidns.log", &text(5));
    following.shows(&text(5));
    // Removed, and made anew.
    fs::remove_file(logs.path("alidns.log")).expect("removed");
    following.is_silent();
    logs.append("alidns.log", &text(6));
    following.shows(&text(6));
    following.is_silent();
}

#[test]
fn following_ends_with_the_range_or_its_reader() {
    let logs = Logs::new();
    logs.write("alidns.log", texts(0..3));
    let mut following = Following::start(&logs, &["alidns", "--until", "2026-11-20 00:00:10"]);
    following.shows(&texts(0..3));
    assert!(following.child.wait().expect("ended").success());
    let mut child = logs.command(&["alidns", "--follow"]).stdout(Stdio::piped()).spawn().expect("started");
    drop(child.stdout.take());
    assert!(child.wait().expect("ended").success());
}

#[test]
fn files_are_read_in_the_order_of_their_rotation_whatever_they_are_called() {
    // First by the hour, then by the day, then by the week.
    let logs = Logs::new();
    let names = ["alidns-2026-11-20T09.log", "alidns-2026-11-20.log", "alidns-2026-11-16.log"];
    for (number, name) in names.iter().enumerate() {
        logs.write(name, texts(100 * number as u64..100 * number as u64 + 100));
    }
    logs.write("alidns.log", texts(300..400));
    let listed: String = names.iter().map(|name| format!("rotated {name}\n")).collect();
    for list in [Some(listed), None] {
        match list {
            Some(list) => drop(logs.write(".pingtest.files", list)),
            None => fs::remove_file(logs.path(".pingtest.files")).expect("removed"),
        }
        assert_eq!(logs.shown(&["alidns"]), texts(0..400));
        assert_eq!(logs.shown(&["alidns", "-n", "150"]), texts(250..400));
        let range = ["--since", "2026-11-20 00:02:30", "--until", "2026-11-20 00:02:40"];
        assert_eq!(logs.shown(&[&["alidns"], &range[..]].concat()), texts(150..160));
    }
}

#[test]
fn a_pipe_is_not_waited_for() {
    let logs = Logs::new();
    let pipe = |name: &str| {
        nix::unistd::mkfifo(&logs.path(name), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    };
    pipe(".pingtest.files");
    pipe("alidns-2026-11-19.log");
    logs.write("alidns.log", text(1));
    assert_eq!(logs.shown(&["alidns"]), text(1));
    fs::remove_file(logs.path("alidns.log")).expect("removed");
    pipe("alidns.log");
    let output = logs.run(&["alidns"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no regular file"), "{output:?}");
}
