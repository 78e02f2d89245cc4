//! Files that are rotated, packed, deleted, taken away by somebody else and given up for want of room.

use chrono::{DateTime, Local, TimeZone};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::*;
use crate::monitor::time::Wall;
use crate::sink::archive::Archive;
use crate::sink::rotation::RotatedName;

const DAILY: Keeping = Keeping { rotate: Rotate::Daily, ..KEEPING };

#[test]
fn a_file_is_rotated_when_its_day_is_over_and_named_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::start(&[kept(dir.path(), DAILY)], limits(8, 1000));
    log.write([at(1, 10, reply("web", 1)), at(1, 23, reply("web", 2)), at(2, 0, reply("web", 3))]);
    // What comes a little late is no reason to go back.
    log.write([at(1, 23, reply("web", 4)), at(3, 0, reply("web", 5)), at(3, 0, reply("db", 6))]);
    assert_eq!(log.stop(), [""; 0]);
    assert_eq!(names(dir.path()), ["db.log", "web-2026-01-01.log", "web-2026-01-02.log", "web.log"]);
    assert_eq!(seqs(&dir.path().join("web-2026-01-01.log")), [1, 2]);
    assert_eq!(seqs(&dir.path().join("web-2026-01-02.log")), [3, 4]);
    assert_eq!(seqs(&dir.path().join("web.log")), [5]);
}

#[test]
fn a_file_is_rotated_between_lines_when_it_is_large_and_further_ones_of_the_day_are_numbered() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::start(&[kept(dir.path(), Keeping { max_size: NonZeroU64::new(200), ..DAILY })], limits(8, 1000));
    log.write((1..=14).map(|seq| at(1, 12, reply("web", seq))));
    log.stop();
    let rotated = [1, 2, 3, 4].map(|number| match number {
        1 => "web-2026-01-01.log".to_owned(),
        _ => format!("web-2026-01-01@{number:04}.log"),
    });
    let rotated = [rotated.as_slice(), &["web.log".to_owned()]].concat();
    assert_eq!(names(dir.path()), rotated);
    let all: Vec<_> = rotated.iter().flat_map(|name| seqs(&dir.path().join(name))).collect();
    assert_eq!(all, (1..=14).collect::<Vec<_>>());
    assert!(rotated[..4].iter().all(|name| fs::metadata(dir.path().join(name)).unwrap().len() < 280));
}

#[test]
fn what_an_earlier_process_left_is_rotated_by_its_first_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.log");
    let begun = moment(1, 8).timestamp();
    fs::write(
        &path,
        format!("{begun}.000 64 bytes from 192.0.2.1: icmp_seq=1 ttl=64 time=0.500 ms\n{begun}.000 64 by"),
    )
    .unwrap();
    let mut log = Log::start(&[kept(dir.path(), DAILY)], limits(8, 1000));
    log.write([at(2, 8, reply("web", 2))]);
    log.stop();
    assert_eq!(seqs(&dir.path().join("web-2026-01-01.log")), [1]);
    assert_eq!(seqs(&path), [2]);
}

#[test]
fn rotated_files_are_packed_and_the_next_process_goes_on_numbering() {
    for (packing, suffix) in [(Packing::Zstd, ".zst"), (Packing::Gzip, ".gz")] {
        let dir = tempfile::tempdir().unwrap();
        let output = kept(dir.path(), Keeping { max_size: NonZeroU64::new(200), packing, ..DAILY });
        for round in [1, 101] {
            let mut log = Log::start_soon(std::slice::from_ref(&output));
            log.write((round..round + 4).map(|seq| at(1, 12, reply("web", seq))));
            wait(|| {
                names(dir.path()).iter().filter(|name| name.ends_with(suffix)).count() == usize::from(round > 1) + 1
            });
            assert_eq!(log.stop(), [""; 0]);
        }
        let rotated = [format!("web-2026-01-01.log{suffix}"), format!("web-2026-01-01@0002.log{suffix}")];
        assert_eq!(names(dir.path()), [rotated[0].as_str(), &rotated[1], "web.log"]);
        let text: Vec<_> = rotated.iter().map(|name| unpacked(&dir.path().join(name))).collect();
        assert_eq!(text.concat().lines().count() + seqs(&dir.path().join("web.log")).len(), 8);
    }
}

#[test]
fn only_the_latest_are_kept_and_only_what_was_rotated_here_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let foreign = ["web-2020-01-01.log", "web-2020-01-02.log.zst", "web-backup.log", "web2-2026-01-01.log"];
    foreign.iter().for_each(|name| fs::write(dir.path().join(name), "theirs\n").unwrap());
    symlink("web-backup.log", dir.path().join("web-2019-01-01.log")).unwrap();
    let keep = Keeping { keep: NonZeroU32::new(2), ..DAILY };
    let mut log = Log::start(&[kept(dir.path(), keep)], limits(8, 1000));
    for day in 1..=5 {
        log.write([at(day, 12, reply("web", day.into()))]);
    }
    // What is not listed is told of once there is time for it: before or after the first deletions.
    let (mut deleted, mut unlisted) = (Vec::new(), Vec::new());
    while deleted.len() < 2 || unlisted.is_empty() {
        let notice = log.notice();
        match notice.strip_prefix("Deleted for Number(2): ") {
            Some(names) => deleted.extend(names.split(' ').map(str::to_owned)),
            None => unlisted.push(notice),
        }
    }
    assert_eq!(deleted, ["web-2026-01-01.log", "web-2026-01-02.log"]);
    assert_eq!(unlisted, [format!("Unlisted {}: 3", dir.path().display())]);
    assert_eq!(log.stop(), [""; 0]);
    let mut left =
        [foreign.as_slice(), &["web-2019-01-01.log", "web-2026-01-03.log", "web-2026-01-04.log", "web.log"]].concat();
    left.sort_unstable();
    assert_eq!(names(dir.path()), left);
}

#[test]
fn all_files_together_stay_within_their_budget_the_oldest_go_first() {
    let dir = tempfile::tempdir().unwrap();
    let keeping = Keeping { max_size: NonZeroU64::new(1000), max_total: NonZeroU64::new(4000), ..DAILY };
    let mut log = Log::start(&[kept(dir.path(), keeping)], limits(8, 1000));
    for seq in 1..=100 {
        log.write([at(1, 12, reply(["web", "db"][seq as usize % 2], seq))]);
    }
    let total = || {
        names(dir.path())
            .iter()
            .map(|name| fs::metadata(dir.path().join(name)).map_or(0, |meta| meta.len()))
            .sum::<u64>()
    };
    log.flush_until(|| seqs_there(dir.path()).contains(&100) && total() <= 4000);
    log.stop();
    let left = seqs_there(dir.path());
    assert_eq!(left, (101 - left.len() as u64..=100).collect::<Vec<_>>(), "the latest lines are there without a gap");
    assert!(left.len() > 30, "no more is deleted than has to be");
}

#[test]
fn a_live_file_that_outgrows_the_budget_is_rotated_for_its_sake() {
    let dir = tempfile::tempdir().unwrap();
    let keeping = Keeping { max_total: NonZeroU64::new(64 << 10), packing: Packing::Zstd, ..KEEPING };
    let mut log = Log::start(&[kept(dir.path(), keeping)], limits(8, 10_000));
    log.write((1..=1500).map(|seq| at(1, 12, reply("web", seq))));
    // The keeper looks at the limits when it starts, and then every so often: here it is asked to.
    log.expect_lines(&dir.path().join("web.log"), 1500);
    log.control.replace(&[kept(dir.path(), keeping)]).unwrap();
    log.write([at(1, 12, reply("web", 1501))]);
    wait(|| names(dir.path()).contains(&"web-2026-01-01.log.zst".to_owned()));
    log.stop();
}

#[test]
fn a_second_log_in_the_same_directory_is_refused_and_one_file_in_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::per_target(dir.path());
    let error = Writer::spawn(&[per_target(dir.path())], limits(8, 8), |_| None, |_| {}).unwrap_err();
    let told = format!(
        "cannot write to {}: another pingtest (process {}) writes there; give each a directory of its own",
        dir.path().display(),
        std::process::id()
    );
    assert_eq!(error.to_string(), told);
    let mut other = Log::start(&[shared(&dir.path().join("other"))], limits(8, 8));
    other.write([reply("web", 1)]);
    other.stop();
    log.stop();
    Log::start_soon(&[per_target(dir.path())]).stop();
}

#[test]
fn a_lock_that_somebody_deleted_is_taken_again_and_one_that_another_took_stops_the_writing() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join(".pingtest.lock");
    let mut log = Log::per_target(dir.path());
    log.write([reply("web", 1)]);
    fs::remove_file(&lock).unwrap();
    wait(|| lock.exists());
    log.write([reply("web", 2)]);
    log.expect_lines(&dir.path().join("web.log"), 2);

    fs::remove_file(&lock).unwrap();
    let taken = Writer::spawn(&[per_target(dir.path())], limits(8, 8), |_| None, |_| {}).unwrap();
    wait(|| {
        log.queue.push(reply("web", 3));
        log.queue.flush();
        log.notices.try_recv().is_ok_and(|notice| notice.contains("another pingtest"))
    });
    drop(taken.queue);
    wait(|| fs::read_to_string(dir.path().join("web.log")).unwrap().contains("icmp_seq=3 "));
    assert_eq!(log.notice(), format!("Recovered {}: 0", dir.path().display()));
    log.stop();
}

#[test]
fn a_deleted_file_is_made_anew_with_what_was_written_to_it_since() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.log");
    let mut log = Log::per_target(dir.path());
    log.write([reply("web", 1)]);
    log.expect_lines(&path, 1);
    let deleted = File::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    // Whether it is written to the deleted file or, where that was noticed already, to the new one: it is there.
    log.write([reply("web", 2)]);
    assert!(log.notice().starts_with(&format!("Replaced {}", path.display())));
    wait(|| fs::read_to_string(&path).is_ok_and(|text| text.contains("icmp_seq=2 ")));
    log.write([reply("web", 3)]);
    assert_eq!(log.stop(), [""; 0]);
    let seqs = seqs(&path);
    assert!(seqs.ends_with(&[2, 3]), "{seqs:?}");
    drop(deleted);
}

#[test]
fn a_directory_that_cannot_be_made_anew_is_not_said_to_be_and_is_written_to_once_somebody_makes_it() {
    let dir = tempfile::tempdir().unwrap();
    let (logs, other) = (dir.path().join("logs"), dir.path().join("other"));
    let mut log = Log::start(&[kept(&logs, DAILY)], limits(8, 1000));
    log.write([reply("web", 1)]);
    log.expect_lines(&logs.join("web.log"), 1);
    fs::write(&other, "").unwrap();
    renameat_with(CWD, &logs, CWD, &other, RenameFlags::EXCHANGE).unwrap();
    fs::remove_dir_all(&other).unwrap();
    let mut seq = 1;
    let mut told = None;
    wait(|| {
        seq += 1;
        log.write([reply("web", seq)]);
        told = log.notices.try_recv().ok();
        told.is_some()
    });
    assert!(told.as_ref().is_some_and(|told| told.starts_with("Failed ")), "{told:?}");
    fs::remove_file(&logs).unwrap();
    fs::create_dir_all(&logs).unwrap();
    assert_eq!(log.notice(), format!("Recovered {}: 0", logs.display()));
    log.write([reply("web", seq + 1)]);
    assert_eq!(log.stop(), [""; 0]);
    assert!(seqs(&logs.join("web.log")).ends_with(&[seq, seq + 1]));
}

#[test]
fn a_directory_that_is_deleted_or_moved_away_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (logs, away) = (dir.path().join("logs"), dir.path().join("away"));
    let mut log = Log::start(&[kept(&logs, Keeping { max_size: NonZeroU64::new(200), ..DAILY })], limits(8, 1000));
    log.write((1..=9).map(|seq| reply("web", seq)));
    log.expect_lines(&logs.join("web.log"), 1);
    fs::rename(&logs, &away).unwrap();
    assert_eq!(log.notice(), format!("Replaced {}: 0", logs.join("web.log").display()));
    log.write([reply("web", 10)]);
    log.expect_lines(&logs.join("web.log"), 1);
    assert_eq!(names(&logs), ["web.log"]);
    fs::remove_dir_all(&logs).unwrap();
    log.notice();
    log.write((11..=17).map(|seq| reply("web", seq)));
    assert_eq!(log.stop(), [""; 0]);
    assert_eq!(seqs_there(&away), (1..=9).collect::<Vec<_>>());
    let there = seqs_there(&logs);
    assert!(there == (10..=17).collect::<Vec<_>>() || there == (11..=17).collect::<Vec<_>>(), "{there:?}");
}

#[test]
fn a_file_that_copytruncate_has_emptied_goes_on_from_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.log");
    let mut log = Log::start(&[kept(dir.path(), Keeping { max_size: NonZeroU64::new(400), ..DAILY })], limits(8, 1000));
    log.write((1..=6).map(|seq| reply("web", seq)));
    log.expect_lines(&path, 6);
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    log.write((7..=12).map(|seq| reply("web", seq)));
    log.stop();
    assert_eq!(seqs(&path), (7..=12).collect::<Vec<_>>(), "what was copied away does not count");
}

#[test]
fn on_a_full_disk_the_oldest_files_are_given_up_before_a_line_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir) else {
        writeln!(io::stderr(), "skipped: mounting a tmpfs needs root").unwrap();
        return;
    };
    let output = kept(disk.path(), Keeping { max_size: NonZeroU64::new(4096), ..DAILY });
    let mut log = Log::start(&[output], limits(8, 100_000));
    let losses = log.control.losses();
    for first in (1..=3000).step_by(25) {
        log.write((first..first + 25).map(|seq| at(1, 12, reply("web", seq))));
        // Between a write that the full disk cut off and its repair a reader may see a torn line.
        let last = format!("icmp_seq={} ", first + 24);
        let texts =
            || names(disk.path()).into_iter().filter_map(|name| fs::read_to_string(disk.path().join(name)).ok());
        log.flush_until(|| texts().any(|text| text.contains(&last)));
    }
    let notices = log.stop();
    // Where the keeper is at a file, it is waited for, which is told as any other trouble.
    let expected = ["Deleted for DiskFull: web-2026-01-01", "Failed ", "Recovered "];
    assert!(notices.iter().all(|notice| expected.iter().any(|start| notice.starts_with(start))), "{notices:?}");
    assert_eq!(losses.write_failed(), 0);
    let left = seqs_there(disk.path());
    let latest = left.iter().rev().zip((1..=3000).rev()).take_while(|(left, expected)| **left == *expected).count();
    assert!(latest > 150, "{left:?}: for a file of 4 KiB and a line takes two pages");
}

#[test]
fn a_clock_that_was_set_back_is_noted_for_whoever_searches_by_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::start(&[kept(dir.path(), DAILY)], limits(8, 1000));
    log.write([at(1, 12, reply("web", 1)), at(1, 11, reply("web", 2)), at(1, 13, reply("web", 3))]);
    // Days back, it is another file's time.
    log.write([at(3, 0, reply("web", 4)), at(2, 0, reply("web", 5))]);
    log.stop();
    let listed = fs::read_to_string(dir.path().join(LISTED)).unwrap();
    let noted = |from: DateTime<Local>, to: DateTime<Local>| {
        format!("set-back {}.000000000 {}.000000000", from.timestamp(), to.timestamp())
    };
    let expected = [
        noted(moment(1, 12), moment(1, 11)),
        "rotated web-2026-01-01.log".into(),
        noted(moment(3, 0), moment(2, 0)),
        "rotated web-2026-01-03.log".into(),
    ];
    assert_eq!(listed.lines().collect::<Vec<_>>(), expected);
    assert_eq!(seqs(&dir.path().join("web.log")), [5]);
}

#[test]
fn what_a_killed_process_left_half_packed_is_settled_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let output = kept(dir.path(), DAILY);
    let mut log = Log::start(&[output], limits(8, 1000));
    (1..=3).for_each(|day| log.write([at(day, 12, reply("web", day.into()))]));
    log.stop();
    let path = |name: &str| dir.path().join(name);
    fs::write(path(".web-2026-01-01.log.zst.part"), "half").unwrap();
    let copy = path("copy.log");
    fs::copy(path("web-2026-01-02.log"), &copy).unwrap();
    crate::sink::archive::pack(&copy, Packing::Zstd, &|| false).unwrap();
    fs::rename(path("copy.log.zst"), path("web-2026-01-02.log.zst")).unwrap();
    let log = Log::start_soon(&[kept(dir.path(), Keeping { packing: Packing::Zstd, ..DAILY })]);
    wait(|| names(dir.path()) == ["web-2026-01-01.log.zst", "web-2026-01-02.log.zst", "web.log"]);
    assert_eq!(log.stop(), [""; 0]);
    assert!(!path(".web-2026-01-01.log.zst.part").exists());
}

#[test]
fn files_that_cannot_be_synced_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("web.log");
    symlink("web.log", &link).unwrap();
    let files = vec![link.clone(), dir.path().join("gone.log"), link.clone()];
    let batch = syncer::Batch { dir: dir.path().to_owned(), files, others: false };
    let error = format!("NotSynced {}: Too many levels of symbolic links (os error 40)", link.display());
    assert_eq!(batch.sync().map(|failed| words(failed.into())), Some(error));
}

#[test]
fn the_oldest_are_those_rotated_first_whatever_they_are_called() {
    let dir = tempfile::tempdir().unwrap();
    let keep = Keeping { keep: NonZeroU32::new(2), ..DAILY };
    let mut log = Log::start(&[kept(dir.path(), Keeping { rotate: Rotate::Hourly, ..keep })], limits(8, 1000));
    log.write((1..=4).map(|hour| at(6, hour as u32, reply("web", hour))));
    assert_eq!(log.notices(1), "Deleted for Number(2): web-2026-01-06T01.log");
    log.control.replace(&[kept(dir.path(), Keeping { rotate: Rotate::Weekly, ..keep })]).unwrap();
    log.write([at(12, 0, reply("web", 5)), at(20, 0, reply("web", 6))]);
    assert_eq!(log.notices(2), "Deleted for Number(2): web-2026-01-06T02.log web-2026-01-06T03.log");
    log.stop();
    assert_eq!(names(dir.path()), ["web-2026-01-05.log", "web-2026-01-12.log", "web.log"]);
}

#[test]
fn other_limits_hold_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::start(&[kept(dir.path(), DAILY)], limits(8, 1000));
    (1..=4).for_each(|day| log.write([at(day, 12, reply("web", day.into()))]));
    wait(|| names(dir.path()).len() == 4);
    log.control.replace(&[kept(dir.path(), Keeping { keep: NonZeroU32::new(1), ..DAILY })]).unwrap();
    assert_eq!(log.notices(2), "Deleted for Number(1): web-2026-01-01.log web-2026-01-02.log");
    log.stop();
}

#[test]
fn a_list_that_somebody_deleted_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join(LISTED);
    let mut log = Log::start(&[kept(dir.path(), DAILY)], limits(8, 1000));
    log.write([at(1, 0, reply("web", 1)), at(2, 0, reply("web", 2))]);
    log.expect_lines(&dir.path().join("web-2026-01-01.log"), 1);
    fs::remove_file(&list).unwrap();
    wait(|| list.exists());
    log.write([at(3, 0, reply("web", 3))]);
    log.stop();
    assert_eq!(fs::read_to_string(list).unwrap(), "rotated web-2026-01-01.log\nrotated web-2026-01-02.log\n");
}

#[test]
fn a_pipe_or_a_link_in_place_of_the_list_or_the_lock_is_refused_by_its_name() {
    for name in [LISTED, ".pingtest.lock"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let refused =
            || Writer::spawn(&[per_target(dir.path())], limits(8, 8), |_| None, |_| {}).unwrap_err().to_string();
        assert_eq!(refused(), format!("cannot write to {}: {name}: it is no regular file", dir.path().display()));
        fs::remove_file(&path).unwrap();
        symlink("/etc/passwd", &path).unwrap();
        assert!(refused().contains(&format!("{name}: Too many levels of symbolic links")), "{}", refused());
    }
}

#[test]
fn a_full_disk_that_deleting_does_not_help_keeps_most_of_its_files() {
    /// Lines of a day: 1.4 MiB.
    const DAY: u64 = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::of_size(dir, "20m") else {
        writeln!(io::stderr(), "skipped: mounting a tmpfs needs root").unwrap();
        return;
    };
    let mut log = Log::start(&[kept(disk.path(), DAILY)], limits(8, 200_000));
    (0..8).for_each(|day| log.write((1..=DAY).map(|seq| at(day as u32 + 1, 12, reply("web", day * DAY + seq)))));
    wait(|| seqs_there(disk.path()).len() as u64 == 8 * DAY);
    // Somebody who takes whatever room there is: what is deleted is held open.
    let held: Vec<_> = names(disk.path()).iter().map(|name| File::open(disk.path().join(name)).unwrap()).collect();
    assert_eq!(held.len(), 8);
    let mut filler = File::create(disk.path().join("filler")).unwrap();
    while filler.write(&[0; 4096]).is_ok() {}
    log.write((1..=3000).map(|seq| at(8, 12, reply("web", 8 * DAY + seq))));
    // Some tries to write, one a second.
    let notices: Vec<_> = std::iter::from_fn(|| log.notices.recv_timeout(Duration::from_secs(3)).ok()).collect();
    assert!(notices.iter().any(|notice| notice.starts_with("Failed ")), "{notices:?}");
    let deleted = notices.iter().filter(|notice| notice.starts_with("Deleted for DiskFull")).count();
    assert!((1..=2).contains(&deleted), "of seven: {notices:?}");
    drop(held);
    log.stop();
}

#[test]
fn lines_that_wait_for_a_full_disk_outlast_other_limits() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir) else {
        writeln!(io::stderr(), "skipped: mounting a tmpfs needs root").unwrap();
        return;
    };
    let filler = disk.path().join("filler");
    let mut log = Log::start(&[kept(disk.path(), DAILY)], limits(8, 1000));
    fs::write(&filler, vec![0; 48 * 1024]).unwrap();
    log.write((1..=400).map(|seq| at(1, 12, reply("web", seq))));
    assert!(log.notice().ends_with("No space left on device (os error 28)"));
    log.control.replace(&[kept(disk.path(), Keeping { keep: NonZeroU32::new(1), ..DAILY })]).unwrap();
    log.write([at(1, 12, reply("web", 401))]);
    fs::remove_file(&filler).unwrap();
    assert_eq!(log.notice(), format!("Recovered {}: 0", disk.path().display()));
    log.stop();
    assert_eq!(seqs(&disk.path().join("web.log")), (1..=401).collect::<Vec<_>>());
}

#[test]
fn what_was_truncated_does_not_count_and_is_saved_when_it_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.log");
    let mut log = Log::start(&[kept(dir.path(), KEEPING)], limits(8, 10_000));
    log.write((1..=1000).map(|seq| at(1, 12, reply("web", seq))));
    log.expect_lines(&path, 1000);
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    log.write([at(1, 12, reply("web", 1001))]);
    log.expect_lines(&path, 1);
    fs::remove_file(&path).unwrap();
    assert!(!log.notice().ends_with(": 0"), "its line is saved");
    log.expect_lines(&path, 1);
    log.stop();
}

#[test]
fn a_file_that_somebody_put_in_place_of_the_live_one_is_not_rotated_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("web.log"), dir.path().join("other"));
    let mut log = Log::start(&[kept(dir.path(), DAILY)], limits(8, 1000));
    log.write([at(1, 12, reply("web", 1))]);
    log.expect_lines(&path, 1);
    // As an editor does it.
    fs::copy(&path, &other).unwrap();
    fs::rename(&other, &path).unwrap();
    log.write([at(1, 13, reply("web", 2)), at(2, 0, reply("web", 3))]);
    assert!(log.notice().starts_with("Replaced "));
    log.write([at(2, 1, reply("web", 4))]);
    log.stop();
    let mut there = seqs_there(dir.path());
    // What was written since the last look is saved, though the copy has it as well.
    there.dedup();
    assert_eq!(there, [1, 2, 3, 4]);
}

/// The same record at an hour of a day in January 2026, local time.
fn at(day: u32, hour: u32, record: Record) -> Record {
    Record { at: Wall::from_nanos(moment(day, hour).timestamp_nanos_opt().unwrap()), ..record }
}

fn moment(day: u32, hour: u32) -> DateTime<Local> {
    Local.with_ymd_and_hms(2026, 1, day, hour, 0, 0).unwrap()
}

/// What is in a directory, hidden files aside.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

/// The numbers of all lines in a directory, sorted.
fn seqs_there(dir: &Path) -> Vec<u64> {
    let is_log = |name: &&String| name.ends_with(".log") || RotatedName::parse(name).is_some();
    // A file may go while it is read, and its last line may be read while it is written.
    let text = |name: &String| fs::read_to_string(dir.join(name)).ok();
    let whole = |text: String| text.rfind('\n').map(|end| text[..=end].to_owned());
    let texts: Vec<_> = names(dir).iter().filter(is_log).filter_map(text).filter_map(whole).collect();
    let mut seqs = seqs_of(&texts.concat().lines().map(str::to_owned).collect::<Vec<_>>());
    seqs.sort_unstable();
    seqs
}

fn unpacked(path: &Path) -> String {
    let mut text = String::new();
    Archive::open(path).unwrap().read_to_string(&mut text).unwrap();
    text
}

impl Log {
    /// Starts a log where another may still be on its way out.
    fn start_soon(outputs: &[Output]) -> Self {
        let mut log = None;
        wait(|| {
            let (tell, notices) = mpsc::channel();
            let notify = move |notice| tell.send(words(notice)).unwrap();
            let started = Writer::spawn(outputs, limits(8, 1000), |_| None, notify);
            log = started.ok().map(|Writer { queue, control, thread }| Self { queue, control, thread, notices });
            log.is_some()
        });
        log.unwrap()
    }

    /// The next notices of deletions, joined to what one of so many files would be.
    fn notices(&self, files: usize) -> String {
        let first = self.notice();
        let (why, names) = first.rsplit_once(": ").unwrap();
        let mut names: Vec<_> = names.split(' ').map(str::to_owned).collect();
        while names.len() < files {
            let next = self.notice();
            names.extend(next.rsplit_once(": ").unwrap().1.split(' ').map(str::to_owned));
        }
        format!("{why}: {}", names.join(" "))
    }
}
