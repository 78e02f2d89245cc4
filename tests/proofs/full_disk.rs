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

/// Nobody looks at a disk more seldom than this to find that there is room.
const NOTICED_WITHIN: u64 = 3_000_000_000;

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
    let places: Vec<_> = given_up.iter().map(|stem| ended.stderr.find(&format!("{stem}.log"))).collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{given_up:?} are not told in order:\n{}",
        ended.stderr
    );
    assert_eq!(account.not_written, 0, "{account}");
    let newest = account.missing.last().expect("what was given up has no lines");
    assert!(*newest <= account.oldest_told + EDGE, "a line is missing that was not in the oldest files: {account}");
}

/// Lines stand in a file in the order in which they were judged: a probe may overtake another by the network's delay and a stall. ns.
const EDGE: u64 = 500_000_000;

#[test]
fn with_nothing_to_give_up_on_a_disk_in_memory_what_found_no_room_is_counted_to_the_line() {
    let Some(disk) = Disk::in_memory() else { return };
    overflow("in memory", &disk);
}

#[test]
fn with_nothing_to_give_up_on_ext4_what_found_no_room_is_counted_to_the_line() {
    let Some(disk) = Disk::on_loop(64) else { return };
    overflow("ext4", &disk);
}

/// Full for so long that what waits in memory finds no room there either.
fn overflow(what: &str, disk: &Disk) {
    const FULL: Duration = Duration::from_secs(12);
    /// What waits, what it was copied from, and the queue before it.
    const WAITING: u64 = 64 << 20;
    let _turn = stage::alone();
    let Some(network) = Stage::new(&FAST.script()) else { return };
    let shelf = Shelf::new(&disk.path().join("logs"));
    let pingtest = shelf.start(&network.namespace, NEVER_ROTATED, &FAST.config());
    await_lines(&shelf, &pingtest);
    let memory = stage::peak_memory(pingtest.id());
    let filled = wait::wall_nanos();
    disk.fill();
    wait::pause(FULL);
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
        "disk full for {FULL:?}, {what}: {account}; {} MiB of memory; times between a target's probes before: {before}, meanwhile: {during}",
        memory >> 20
    ));
    assert!(account.adds_up(), "it does not add up: {account}");
    assert!(account.not_written > 0 && found.torn.is_empty(), "{account}, {:?}", found.torn);
    assert!(account.causes.iter().all(|cause| cause == "No space left on device"), "{account}");
    let (first, last) = (account.missing[0], account.missing[account.missing.len() - 1]);
    assert!(
        first >= filled && last <= cleared + NOTICED_WITHIN,
        "missing from {first} to {last}, full from {filled} to {cleared}"
    );
    assert!(memory <= WAITING, "{memory} bytes more than before");
    during.assert_like(&before, 10_000.0);
    assert_eq!(ended.stderr.matches("No space left on device").count(), 1, "told once:\n{}", ended.stderr);
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
        pingtest.wait_for("stderr", "word of the full disk", |text| text.contains("No space left on device"));
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
