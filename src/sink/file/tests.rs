//! Real files: written at once, in order, whole, and after every kind of trouble.

mod keeping;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::monitor::record::Record;
use crate::sink::fixture::{reply, style};
use crate::sink::line::{Format, Labels, Style};

#[test]
fn a_line_can_be_read_without_waiting_for_another() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::per_target(dir.path());
    for seq in 1..4 {
        log.write([reply("web", seq)]);
        log.expect_lines(&dir.path().join("web.log"), seq as usize);
    }
    assert_eq!(
        fs::read_to_string(dir.path().join("web.log")).unwrap().lines().next(),
        Some("0.001 64 bytes from 192.0.2.1: icmp_seq=1 ttl=64 time=0.500 ms")
    );
}

#[test]
fn more_targets_than_descriptors_have_a_file_each() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::start(&[per_target(dir.path())], limits(2, 1000));
    for seq in 1..=20 {
        log.write((0..30).map(|target| reply(&format!("t{target}"), seq)));
    }
    log.stop();
    for target in 0..30 {
        assert_eq!(seqs(&dir.path().join(format!("t{target}.log"))), (1..=20).collect::<Vec<_>>());
    }
}

#[test]
fn missing_directories_are_made() {
    let dir = tempfile::tempdir().unwrap();
    let (logs, file) = (dir.path().join("a/b"), dir.path().join("c/d/all.log"));
    let mut log = Log::start(&[per_target(&logs), shared(&file)], limits(8, 1000));
    log.write([reply("web", 1)]);
    log.stop();
    assert_eq!(seqs(&logs.join("web.log")), [1]);
    assert_eq!(seqs(&file), [1]);
}

#[test]
fn an_unusable_place_is_refused_by_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for output in [per_target(&file), per_target(&file.join("sub")), shared(dir.path()), shared(&file.join("x.log"))] {
        let error = Writer::spawn(&[output], limits(8, 8), |_| None, |_| {}).unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot write to {}", dir.path().display())), "{error}");
    }
}

#[test]
fn a_torn_last_line_is_cut_off_a_file_of_one_s_own_and_ended_in_a_shared_one() {
    let dir = tempfile::tempdir().unwrap();
    let [torn, fragment, whole, common] =
        ["torn.log", "fragment.log", "whole.log", "common"].map(|name| dir.path().join(name));
    for file in [&torn, &common] {
        fs::write(file, "0.000 whole\n0.000 64 bytes fr").unwrap();
    }
    fs::write(&fragment, "0.000 64 bytes fr").unwrap();
    fs::write(&whole, "0.000 whole\n").unwrap();
    let mut log = Log::start(&[per_target(dir.path()), shared(&common)], limits(8, 1000));
    log.write([reply("torn", 1), reply("fragment", 1), reply("whole", 1)]);
    log.stop();
    let line = "0.001 64 bytes from 192.0.2.1: icmp_seq=1 ttl=64 time=0.500 ms\n";
    assert_eq!(fs::read_to_string(torn).unwrap(), format!("0.000 whole\n{line}"));
    assert_eq!(fs::read_to_string(fragment).unwrap(), line);
    assert_eq!(fs::read_to_string(whole).unwrap(), format!("0.000 whole\n{line}"));
    assert_eq!(fs::read_to_string(common).unwrap(), format!("0.000 whole\n0.000 64 bytes fr\n{line}{line}{line}"));
}

#[test]
fn records_are_written_in_the_order_of_their_judgement_whatever_the_clock_says() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("all.log");
    let mut log = Log::start(&[shared(&file)], limits(8, 1000));
    log.write([reply("b", 2), reply("a", 3), reply("a", 1), reply("b", 3)]);
    log.stop();
    assert_eq!(seqs(&file), [2, 3, 1, 3]);
}

#[test]
fn several_outputs_have_each_its_own_style() {
    let dir = tempfile::tempdir().unwrap();
    let (text, json) = (dir.path().join("text"), dir.path().join("json"));
    let bracketed = Style { labels: Labels::Bracketed, ..style() };
    let outputs = [
        Output { place: Place::File { path: text.clone() }, style: bracketed },
        Output { place: Place::File { path: json.clone() }, style: Style { format: Format::Json, ..style() } },
    ];
    let mut log = Log::start(&outputs, limits(1, 1000));
    log.write([reply("web", 1)]);
    log.stop();
    assert!(fs::read_to_string(text).unwrap().starts_with("0.001 [web] 64 bytes"));
    assert!(fs::read_to_string(json).unwrap().contains(r#""target":"web""#));
}

#[test]
fn records_without_room_are_noted_in_their_target_s_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::start(&[per_target(dir.path())], limits(8, 4));
    log.write((1..=4).map(|seq| reply("a", seq)).chain((5..=7).map(|seq| reply("a", seq))).chain([reply("b", 8)]));
    log.expect_lines(&dir.path().join("a.log"), 4);
    log.flush_until(|| dir.path().join("b.log").exists());
    log.write([reply("a", 9)]);
    assert_eq!(log.control.losses().queue_full(), 4);
    log.stop();
    assert_eq!(
        lines(&dir.path().join("a.log"))[4..],
        [
            "0.007 not written: 3 lines to a.log, between 0.005 and 0.007 (log queue full)",
            "0.009 64 bytes from 192.0.2.1: icmp_seq=9 ttl=64 time=0.500 ms"
        ]
    );
    assert_eq!(
        lines(&dir.path().join("b.log")),
        ["0.008 not written: 1 line to b.log, between 0.008 and 0.008 (log queue full)"]
    );
}

#[test]
fn records_without_room_are_noted_once_in_a_shared_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("all.log");
    let mut log = Log::start(&[shared(&file)], limits(8, 2));
    log.write((1..=9).map(|seq| reply(&format!("t{seq}"), seq)));
    log.stop();
    assert_eq!(lines(&file)[2..], ["0.009 not written: 7 lines to all.log, between 0.003 and 0.009 (log queue full)"]);
}

#[test]
fn a_mark_is_come_to_when_what_was_handed_over_before_is_written_or_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("all.log");
    for (place, written) in [(file.as_path(), 3), (Path::new("/dev/full"), 0)] {
        let mut log = Log::start(&[shared(place)], limits(8, 1000));
        (1..=3).for_each(|seq| log.queue.push(reply("web", seq)));
        log.queue.mark(7);
        assert!(log.queue.flush());
        wait(|| log.control.marked() == 7);
        if written > 0 {
            assert_eq!(lines(place).len(), written);
        }
        log.queue.mark(8);
        assert!(log.queue.flush(), "a mark goes by itself as well");
        wait(|| log.control.marked() == 8);
        log.stop();
    }
}

#[test]
fn a_writer_that_takes_nothing_is_told_from_one_that_does_or_has_nothing_to_do() {
    let (mut queue, inbox) = queue::new(1000);
    let hand_over = |queue: &mut Queue| {
        queue.push(reply("web", 1));
        assert!(queue.flush());
    };
    assert!(queue.is_taken_from(), "there is nothing");
    hand_over(&mut queue);
    hand_over(&mut queue);
    assert!(!queue.is_taken_from());
    inbox.rendered(2);
    assert!(!queue.is_taken_from(), "rendered is not written");
    inbox.written(1);
    assert!(queue.is_taken_from(), "one of two");
    assert!(!queue.is_taken_from());
    hand_over(&mut queue);
    assert!(!queue.is_taken_from(), "what is added is not taken");
    inbox.rendered(1);
    inbox.written(2);
    assert!(queue.is_taken_from() && queue.is_taken_from());
}

#[test]
fn a_mark_that_finds_no_room_stays_behind_the_records_and_goes_with_them() {
    let (mut queue, inbox) = queue::new(100_000);
    let mut seq = 0;
    let is_full = |queue: &mut Queue, seq: &mut u64| {
        *seq += 1;
        queue.push(reply("web", *seq));
        !queue.flush()
    };
    while !is_full(&mut queue, &mut seq) {}
    queue.mark(7);
    assert!(!queue.flush());
    let mut taken = 0;
    while let Some(Message::Batch(batch)) = inbox.next() {
        taken += batch.records.len() as u64;
        assert_eq!(batch.mark, None);
    }
    assert!(queue.flush());
    let Some(Message::Batch(last)) = inbox.next() else { panic!("nothing was flushed") };
    assert_eq!((taken + last.records.len() as u64, last.mark), (seq, Some(7)));
}

#[test]
fn what_was_pushed_is_written_before_the_log_ends() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("all.log");
    let mut log = Log::start(&[shared(&file)], limits(8, 100_000));
    // More batches than the queue has slots, so that some stay with the driver.
    (1..=5000).for_each(|seq| log.write([reply("web", seq)]));
    log.queue.push(reply("web", 5001));
    log.stop();
    assert_eq!(seqs(&file), (1..=5001).collect::<Vec<_>>());
}

#[test]
fn outputs_are_replaced_between_two_records() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old.log"), dir.path().join("new.log"));
    let mut log = Log::start(&[shared(&old)], limits(8, 1000));
    log.write([reply("web", 1), reply("web", 2)]);
    assert!(matches!(log.control.replace(&[shared(&old.join("x"))]), Err(Error::Unusable { .. })));
    log.write([reply("web", 3)]);
    log.control.replace(&[shared(&new)]).unwrap();
    log.write([reply("web", 4)]);
    let control = log.control.clone();
    log.stop();
    assert_eq!(seqs(&old), [1, 2, 3]);
    assert_eq!(seqs(&new), [4]);
    assert!(matches!(control.replace(&[shared(&old)]), Err(Error::Ended)));
}

#[test]
fn files_are_reopened_on_demand() {
    let dir = tempfile::tempdir().unwrap();
    let (live, rotated) = (dir.path().join("web.log"), dir.path().join("web.log.1"));
    let mut log = Log::per_target(dir.path());
    log.write([reply("web", 1)]);
    log.expect_lines(&live, 1);
    fs::rename(&live, &rotated).unwrap();
    log.write([reply("web", 2)]);
    log.expect_lines(&rotated, 2);
    log.control.reopen();
    log.write([reply("web", 3)]);
    log.expect_lines(&live, 1);
    log.stop();
    assert_eq!(seqs(&rotated), [1, 2]);
    assert_eq!(seqs(&live), [3]);
}

#[test]
fn a_full_disk_is_reported_once_and_ends_nothing() {
    let mut log = Log::start(&[shared(Path::new("/dev/full"))], limits(8, 1000));
    for seq in 1..=3 {
        log.write([reply("web", seq)]);
    }
    assert_eq!(log.notice(), "Failed /dev/full: No space left on device (os error 28)");
    let losses = log.control.losses();
    assert_eq!(log.stop(), ["Abandoned /dev/full: 3"]);
    assert_eq!(losses.write_failed(), 3);
}

#[test]
fn lines_are_kept_within_bounds_until_they_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let (link, file) = (dir.path().join("web.log"), dir.path().join("real"));
    symlink("/dev/full", &link).unwrap();
    let mut log = Log::start(&[per_target(dir.path())], limits(8, 1_000_000));
    log.write((1..=10_000).map(|seq| reply("web", seq)));
    assert!(log.notice().starts_with("Failed "));
    let losses = log.control.losses();
    log.write((10_001..=300_000).map(|seq| reply("web", seq)));
    wait(|| losses.write_failed() > 20_000);
    fs::remove_file(&link).unwrap();
    symlink(&file, &link).unwrap();
    log.control.reopen();
    let recovered = log.notice();
    assert_eq!(log.notice(), format!("Replaced {}: 0", link.display()), "only what is written is there anew");
    let lost = losses.write_failed();
    assert_eq!(recovered, format!("Recovered {}: {lost}", dir.path().display()));
    log.write([reply("web", 400_000)]);
    assert_eq!(log.stop(), [""; 0]);

    let lines = lines(&file);
    let kept = 300_000 - lost;
    assert!((15..17).contains(&(lines[..kept as usize].concat().len() >> 20)), "about 16 MiB are kept");
    assert_eq!(seqs_of(&lines[..kept as usize]), (1..=kept).collect::<Vec<_>>());
    let first = kept + 1;
    assert_eq!(
        lines[kept as usize],
        format!(
            "300.000 not written: {lost} lines to web.log, between {}.{:03} and 300.000 (No space left on device)",
            first / 1000,
            first % 1000
        )
    );
    assert_eq!(seqs_of(&lines[kept as usize + 1..]), [400_000]);
}

#[test]
fn a_disk_that_fills_up_amid_a_line_loses_and_cuts_none() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir) else {
        writeln!(io::stderr(), "skipped: mounting a tmpfs needs root").unwrap();
        return;
    };
    let (filler, file) = (disk.path().join("filler"), disk.path().join("web.log"));
    let mut log = Log::per_target(disk.path());
    fs::write(&filler, vec![0; 48 * 1024]).unwrap();
    log.write((1..=800).map(|seq| reply("web", seq)));
    assert!(log.notice().ends_with("No space left on device (os error 28)"));
    // Torn lines are repaired on the spot.
    assert!(fs::read(&file).unwrap().ends_with(b"\n"));
    fs::remove_file(&filler).unwrap();
    assert_eq!(log.notice(), format!("Recovered {}: 0", disk.path().display()));
    log.stop();
    assert_eq!(seqs(&file), (1..=800).collect::<Vec<_>>());
}

#[test]
fn a_log_that_is_emptied_to_make_room_begins_with_a_whole_line() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir) else {
        writeln!(io::stderr(), "skipped: mounting a tmpfs needs root").unwrap();
        return;
    };
    let file = disk.path().join("web.log");
    let mut log = Log::start(&[shared(&file)], limits(8, 1000));
    fs::write(disk.path().join("filler"), vec![0; 48 * 1024]).unwrap();
    log.write((1..=400).map(|seq| reply("web", seq)));
    assert!(log.notice().ends_with("No space left on device (os error 28)"));
    let full = fs::read_to_string(&file).unwrap();
    assert!(!full.ends_with('\n'), "the disk was full amid a line");
    let torn = full.lines().count() as u64;
    File::options().write(true).open(&file).unwrap().set_len(0).unwrap();
    assert_eq!(log.notice(), format!("Recovered {}: 0", file.display()));
    log.stop();
    assert_eq!(seqs(&file), (torn..=400).collect::<Vec<_>>());
}

#[test]
fn a_reader_beside_the_writer_sees_whole_lines_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all.log");
    let mut log = Log::start(&[shared(&path)], limits(8, 100_000));
    let mut file = File::open(&path).unwrap();
    let reader = thread::spawn(move || {
        let (mut text, mut seen) = (String::new(), 0);
        wait(|| {
            file.read_to_string(&mut text).unwrap();
            let end = text.rfind('\n').map_or(0, |last| last + 1);
            for line in text.drain(..end).as_str().lines() {
                seen += 1;
                assert_eq!(line.split(' ').nth(5), Some(format!("icmp_seq={seen}").as_str()), "{line}");
                assert!(line.ends_with(" time=0.500 ms"), "{line}");
            }
            seen == 20_000
        });
    });
    for seq in (1..=20_000).step_by(20) {
        log.write((seq..seq + 20).map(|seq| reply("web", seq)));
    }
    log.stop();
    reader.join().unwrap();
}

/// A log and what it tells of itself.
struct Log {
    queue: Queue,
    control: Control,
    thread: JoinHandle<()>,
    notices: Receiver<String>,
}

impl Log {
    fn per_target(dir: &Path) -> Self {
        Self::start(&[per_target(dir)], limits(8, 1000))
    }

    fn start(outputs: &[Output], limits: Limits) -> Self {
        let (tell, notices) = mpsc::channel();
        let notify = move |notice| tell.send(words(notice)).unwrap();
        let Writer { queue, control, thread } = Writer::spawn(outputs, limits, |_| None, notify).unwrap();
        Self { queue, control, thread, notices }
    }

    fn write(&mut self, records: impl IntoIterator<Item = Record>) {
        records.into_iter().for_each(|record| self.queue.push(record));
        self.queue.flush();
    }

    fn notice(&self) -> String {
        self.notices.recv_timeout(PATIENCE).unwrap()
    }

    fn expect_lines(&self, path: &Path, count: usize) {
        wait(|| fs::read_to_string(path).is_ok_and(|text| text.lines().count() == count));
    }

    fn flush_until(&mut self, done: impl Fn() -> bool) {
        wait(|| {
            self.queue.flush();
            done()
        });
    }

    /// Ends the log; returns the notices nobody asked for.
    fn stop(self) -> Vec<String> {
        drop(self.queue);
        wait(|| self.thread.is_finished());
        self.thread.join().unwrap();
        self.notices.try_iter().collect()
    }
}

/// For what the keeper does at the lowest priority, with a disk to wait for, on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(120);

fn wait(mut done: impl FnMut() -> bool) {
    const TICK: Duration = Duration::from_millis(2);
    for _ in 0..PATIENCE.as_millis() / TICK.as_millis() {
        if done() {
            return;
        }
        thread::park_timeout(TICK);
    }
    panic!("waited in vain");
}

fn words(notice: Notice) -> String {
    match notice {
        Notice::Failed { path, error } => format!("Failed {}: {error}", path.display()),
        Notice::Recovered { path, not_written } => format!("Recovered {}: {not_written}", path.display()),
        Notice::Abandoned { path, not_written } => format!("Abandoned {}: {not_written}", path.display()),
        Notice::Replaced { path, files: 1, saved } => format!("Replaced {}: {saved}", path.display()),
        Notice::Replaced { path, files, saved } => format!("Replaced {} and others, {files}: {saved}", path.display()),
        Notice::NotRotated { path, error } => format!("NotRotated {}: {error}", path.display()),
        Notice::NotPacked { path, error } => format!("NotPacked {}: {error}", path.display()),
        Notice::NotDeleted { path, error } => format!("NotDeleted {}: {error}", path.display()),
        Notice::NotSynced { path, error, .. } => format!("NotSynced {}: {error}", path.display()),
        Notice::Unlisted { dir, files } => format!("Unlisted {}: {files}", dir.display()),
        Notice::Deleted { paths, why, .. } => {
            let names = paths.iter().map(|path| path.file_name().unwrap().to_string_lossy());
            format!("Deleted for {why:?}: {}", names.collect::<Vec<_>>().join(" "))
        }
        Notice::StdoutClosed => "StdoutClosed".into(),
    }
}

fn per_target(dir: &Path) -> Output {
    kept(dir, KEEPING)
}

/// A directory of one's own with a file for each target.
fn kept(dir: &Path, keeping: Keeping) -> Output {
    Output { place: Place::Directory { dir: dir.to_owned(), layout: Layout::PerTarget, keeping }, style: style() }
}

/// No rotation, no limits.
const KEEPING: Keeping =
    Keeping { rotate: Rotate::Never, max_size: None, keep: None, max_total: None, packing: Packing::Plain, sync: None };

fn shared(path: &Path) -> Output {
    Output { place: Place::File { path: path.to_owned() }, style: style() }
}

fn limits(open_files: usize, waiting: usize) -> Limits {
    Limits { open_files: NonZeroUsize::new(open_files).unwrap(), waiting }
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'), "{text:?}");
    text.lines().map(str::to_owned).collect()
}

fn seqs(path: &Path) -> Vec<u64> {
    seqs_of(&lines(path))
}

fn seqs_of(lines: &[String]) -> Vec<u64> {
    let seq = |line: &String| line.split("icmp_seq=").nth(1)?.split(' ').next()?.parse().ok();
    lines.iter().map(|line| seq(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

/// A file system of 64 KiB, or of another size.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(dir: TempDir) -> Option<Self> {
        Self::of_size(dir, "64k")
    }

    fn of_size(dir: TempDir, size: &str) -> Option<Self> {
        let size = format!("size={size}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).output();
        mount.is_ok_and(|output| output.status.success()).then(|| Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}
