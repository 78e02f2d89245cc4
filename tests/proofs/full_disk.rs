//! Disks without room: rotated files are given up before lines, lines wait before they are given up, and those are counted.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::account::Account;
use crate::disk::Disk;
use crate::pace::Pace;
use crate::shelf::{self, Shelf, State};
use crate::stage::{self, Stage, say};
use crate::support::line;
use crate::support::program::Program;
use crate::support::wait::{self, PATIENCE};
use crate::weather::{FAIR, Weather};

/// A thousand lines a second, 215 KiB.
const STEADY: Weather = Weather { kinds: FAIR, targets_of_each: 100, interval: "100ms" };
/// Ten times as many: 16 MiB are full after eight seconds.
const FAST: Weather = Weather { kinds: FAIR, targets_of_each: 1000, interval: "100ms" };

const NEVER_ROTATED: &str = "layout = \"combined\"\nrotate = \"never\"";
const FULL: &str = "No space left on device";

/// Nobody looks at a disk more seldom than this to find that there is room.
const NOTICED_WITHIN: u64 = 3_000_000_000;

/// Lines stand in a file in the order in which they were judged: a probe may overtake another by the network's delay and a stall. ns.
const EDGE: u64 = 500_000_000;

#[test]
fn a_full_disk_in_memory_costs_its_oldest_rotated_files_and_no_other_line() {
    let Some(disk) = Disk::in_memory() else { return };
    give_up_oldest("in memory", &disk, "none");
}

#[test]
fn a_full_ext4_costs_its_oldest_rotated_files_and_no_other_line() {
    let Some(disk) = Disk::on_loop(16) else { return };
    give_up_oldest("ext4", &disk, "none");
}

#[test]
fn a_full_ext4_costs_its_oldest_packed_files_and_no_other_line() {
    let Some(disk) = Disk::on_loop(16) else { return };
    give_up_oldest("ext4, packed", &disk, "zstd");
}

fn give_up_oldest(what: &str, disk: &Disk, compress: &str) {
    let _turn = stage::together();
    let Some(network) = Stage::new(&STEADY.script()) else { return };
    let shelf = Shelf::new(&disk.path().join("logs"));
    let keys = format!("layout = \"combined\"\nmax_size = \"64KiB\"\nkeep = 0\ncompress = \"{compress}\"");
    let pingtest = shelf.start(&network.namespace, &keys, &STEADY.config());
    let past = || [shelf.names(State::Rotated), shelf.names(State::Packed)].concat();
    wait::until(PATIENCE, || (past().len() >= 8).then_some(())).expect("files are rotated");
    let before: BTreeSet<_> = past().iter().map(|name| shelf::stem(name).to_owned()).collect();
    disk.fill();
    let is_there = |stem: &String| past().iter().any(|name| shelf::stem(name) == stem);
    wait::until(PATIENCE, || (before.iter().filter(|stem| !is_there(stem)).count() >= 2).then_some(()))
        .unwrap_or_else(|| panic!("nothing is given up:\n{}", pingtest.text("stderr")));
    let ended = shelf::stop(pingtest);
    let account = Account::new(&shelf.found().lines, &network.end());
    let given_up: Vec<_> = before.iter().filter(|stem| !is_there(stem)).collect();
    say(&format!("full disk, {what}: gave up {} of {} files seen before; {account}", given_up.len(), before.len()));
    assert!(
        before.iter().zip(&given_up).all(|(oldest, given_up)| oldest == *given_up),
        "not the oldest: {given_up:?} of {before:?}"
    );
    let told = shelf::deletions(&ended.stderr);
    let places: Vec<_> = given_up.iter().map(|stem| told.find(&format!("{stem}.log"))).collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{given_up:?} are not told in order:\n{}",
        ended.stderr
    );
    assert_eq!(account.not_written, 0, "{account}");
    let newest = account.missing.last().expect("what was given up has no lines");
    assert!(*newest <= account.oldest_told + EDGE, "a line is missing that was not in the oldest files: {account}");
}

#[test]
fn with_nothing_to_give_up_on_a_disk_in_memory_what_found_no_room_is_counted_to_the_line() {
    let Some(disk) = Disk::in_memory() else { return };
    overflow("in memory", &disk, "combined");
}

#[test]
fn with_nothing_to_give_up_on_ext4_what_found_no_room_is_counted_to_the_line() {
    let Some(disk) = Disk::on_loop(64) else { return };
    overflow("ext4", &disk, "combined");
}

#[test]
fn with_nothing_to_give_up_what_found_no_room_in_a_thousand_files_is_counted_to_the_line() {
    let Some(disk) = Disk::on_loop(64) else { return };
    overflow("ext4, a thousand files", &disk, "per-target");
}

/// Full for so long that what waits in memory finds no room there either.
fn overflow(what: &str, disk: &Disk, layout: &str) {
    const TIME: Duration = Duration::from_secs(12);
    /// What waits, what it was copied from, and the queue before it.
    const WAITING: u64 = 64 << 20;
    let _turn = stage::alone();
    let Some(network) = Stage::new(&FAST.script()) else { return };
    let shelf = Shelf::new(&disk.path().join("logs"));
    let keys = format!("layout = \"{layout}\"\nrotate = \"never\"");
    let pingtest = shelf.start(&network.namespace, &keys, &FAST.config());
    await_lines(&shelf, &pingtest);
    let memory = stage::peak_memory(pingtest.id());
    let filled = wait::wall_nanos();
    disk.fill();
    wait::pause(TIME);
    let cleared = wait::wall_nanos();
    disk.make_room();
    let told = || shelf.readable().iter().any(|line| line.contains("\"not_written\"")).then_some(());
    wait::until(PATIENCE, told).unwrap_or_else(|| panic!("it does not tell:\n{}", pingtest.text("stderr")));
    let memory = stage::peak_memory(pingtest.id()) - memory;
    let ended = shelf::stop(pingtest);
    let (found, journal) = (shelf.found(), network.end());
    let account = Account::new(&found.lines, &journal);
    let [before, during] = [0..filled, filled..cleared].map(|span| Pace::new(&journal, span));
    say(&format!(
        "disk full for {TIME:?}, {what}: {account}; {} MiB of memory; times between a target's probes before: {before}, meanwhile: {during}",
        memory >> 20
    ));
    assert!(account.adds_up(), "it does not add up: {account}");
    assert!(account.not_written > 0 && found.torn.is_empty(), "{account}, {:?}", found.torn);
    assert!(account.causes.iter().all(|cause| cause == FULL), "{account}");
    let (first, last) = (account.missing[0], account.missing[account.missing.len() - 1]);
    assert!(
        first >= filled && last <= cleared + NOTICED_WITHIN,
        "missing from {first} to {last}, full from {filled} to {cleared}"
    );
    assert!(memory <= WAITING, "{memory} bytes more than before");
    during.assert_like(&before, 10_000.0);
    assert_eq!(ended.stderr.matches(FULL).count(), 1, "told once:\n{}", ended.stderr);
}

/// Too short each time for anything to be given up, and cut off amid a line nearly every time.
#[test]
fn a_disk_that_is_full_now_and_then_costs_no_line() {
    const EPISODES: usize = 5;
    let _turn = stage::together();
    for (what, disk) in [("in memory", Disk::in_memory()), ("ext4", Disk::on_loop(32))] {
        let (Some(disk), Some(network)) = (disk, Stage::new(&STEADY.script())) else { return };
        let shelf = Shelf::new(&disk.path().join("logs"));
        let pingtest = shelf.start(&network.namespace, NEVER_ROTATED, &STEADY.config());
        await_lines(&shelf, &pingtest);
        for episode in 1..=EPISODES {
            disk.fill();
            pingtest.wait_for("stderr", "word of the full disk", |text| text.matches(FULL).count() >= episode);
            disk.make_room();
            pingtest.wait_for("stderr", "word of its end", |text| text.matches("is written again").count() >= episode);
        }
        let ended = shelf::stop(pingtest);
        let found = shelf.found();
        let account = Account::new(&found.lines, &network.end());
        say(&format!("full {EPISODES} times, {what}: {account}"));
        assert!(account.is_whole() && found.torn.is_empty(), "{account}, {:?}", found.torn);
        assert_eq!(ended.stderr.matches(FULL).count(), EPISODES, "each told once:\n{}", ended.stderr);
    }
}

#[test]
fn stopped_on_a_full_disk_it_says_how_many_lines_are_lost() {
    let _turn = stage::together();
    let (Some(disk), Some(network)) = (Disk::in_memory(), Stage::new(&STEADY.script())) else { return };
    let shelf = Shelf::new(&disk.path().join("logs"));
    let pingtest = shelf.start(&network.namespace, NEVER_ROTATED, &STEADY.config());
    await_lines(&shelf, &pingtest);
    disk.fill();
    pingtest.wait_for("stderr", "word of the full disk", |text| text.contains(FULL));
    let stderr = shelf::stop(pingtest).stderr;
    let told = stderr.lines().find_map(|line| {
        [" line is lost", " lines are lost"]
            .iter()
            .find_map(|end| line.strip_suffix(end))?
            .rsplit(' ')
            .next()?
            .parse()
            .ok()
    });
    let told: u64 = told.unwrap_or_else(|| panic!("not told:\n{stderr}"));
    let found = shelf.found();
    let account = Account::new(&found.lines, &network.end());
    say(&format!("stopped on a full disk: {told} lines are lost; {account}"));
    assert!(found.torn.is_empty(), "{:?}", found.torn);
    // The probes that were under way had a line each; the network saw them as well.
    assert!(told > 0 && account.missing.len() as u64 >= told, "{told} told; {account}");
    let targets = u64::from(STEADY.targets_of_each);
    assert!(account.missing.len() as u64 <= told + targets, "{told} told; {account}");
}

#[test]
fn killed_on_a_full_disk_it_leaves_no_torn_line_once_there_is_room() {
    let _turn = stage::together();
    for disk in [Disk::in_memory(), Disk::on_loop(16)] {
        let (Some(disk), Some(network)) = (disk, Stage::new(&STEADY.script())) else { return };
        let shelf = Shelf::new(&disk.path().join("logs"));
        let pingtest = shelf.start(&network.namespace, NEVER_ROTATED, &STEADY.config());
        await_lines(&shelf, &pingtest);
        disk.fill();
        pingtest.wait_for("stderr", "word of the full disk", |text| text.contains(FULL));
        let readable = shelf.readable();
        shelf::kill(pingtest);
        let torn = shelf.found().torn;
        disk.make_room();
        let before = shelf.readable().len();
        let pingtest = shelf.start(&network.namespace, NEVER_ROTATED, &STEADY.config());
        wait::until(PATIENCE, || (shelf.readable().len() > before).then_some(())).expect("it goes on");
        shelf::stop(pingtest);
        let found = shelf.found();
        say(&format!("killed on a full disk: it left {torn:?}"));
        assert!(found.torn.is_empty(), "{:?}", found.torn);
        found.lines.iter().for_each(|line| drop(line::parse_one(line)));
        assert!(readable.is_subset(&found.lines.into_iter().collect()), "lines are lost");
    }
}

fn await_lines(shelf: &Shelf, pingtest: &Program) {
    wait::until(PATIENCE, || (shelf.readable().len() >= 1000).then_some(()))
        .unwrap_or_else(|| panic!("no thousand lines:\n{}", pingtest.text("stderr")));
}
