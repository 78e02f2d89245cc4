//! What is kept and what is deleted: so many files, so many bytes, the oldest first, and nothing that somebody else put there.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use crate::shelf::{self, Shelf, State};
use crate::stage::{self, Stage, say};
use crate::support::program;
use crate::support::wait::{self, PATIENCE};
use crate::weather::{FAIR, Weather};

/// Ten files of a hundred lines a second each, 22 KiB.
const WEATHER: Weather = Weather { kinds: FAIR, targets_of_each: 10, interval: "10ms" };
const MAX_SIZE: u64 = 16 << 10;

/// Rotated files that are to be seen before it is enough.
const ENOUGH: usize = 100;

#[test]
fn keep_leaves_the_newest_files_of_each_name_and_what_others_put_there() {
    let rotated = play("keep = 3", "keep = 3\nmax_total = \"1GiB\"", |_, _| ());
    let Some((shelf, _dir)) = rotated else { return };
    for (name, files) in shelf::by_name(&past(&shelf)) {
        // The last was rotated as the program stopped, perhaps, and the next one will see to it.
        assert!(files.len() <= 4, "{name} has {files:?}");
    }
}

#[test]
fn max_total_leaves_the_newest_files_and_what_others_put_there() {
    const MAX_TOTAL: u64 = 512 << 10;
    /// The live files, which are written before anybody looks, and one that is being packed.
    const SLACK: u64 = 11 * MAX_SIZE;
    let check = |shelf: &Shelf, when: &str| {
        let total = shelf.size(&[shelf.names(State::Live), past(shelf)].concat());
        assert!(total <= MAX_TOTAL + SLACK, "{total} bytes {when}");
    };
    let played = play("max_total = 512 KiB", "keep = 0\nmax_total = \"512KiB\"", check);
    let Some((shelf, _dir)) = played else { return };
    check(&shelf, "at the end");
    assert!(!past(&shelf).is_empty(), "nothing is left");
}

/// Plays until enough has been rotated, looking at every step.
fn play(what: &str, limits: &str, look: impl Fn(&Shelf, &str)) -> Option<(Shelf, tempfile::TempDir)> {
    let _turn = stage::together();
    let network = Stage::new(&WEATHER.script())?;
    let dir = program::directory();
    let logs = dir.path().join("logs");
    let shelf = Shelf::new(&logs);
    fs::create_dir(&logs).expect("it is ours");
    let foreign = Foreign::furnish(&logs, dir.path());
    // Uncompressed, so that few lines make many bytes.
    let keys = format!("layout = \"per-target\"\nmax_size = \"{MAX_SIZE}B\"\ncompress = \"none\"\n{limits}");
    let pingtest = shelf.start(&network.namespace, &keys, &WEATHER.config());
    let mut seen = BTreeSet::new();
    let enough = || {
        for name in past(&shelf) {
            seen.insert(name);
        }
        look(&shelf, "meanwhile");
        (seen.len() >= ENOUGH).then_some(())
    };
    wait::until(4 * PATIENCE, enough).unwrap_or_else(|| panic!("too few rotated files:\n{}", pingtest.text("stderr")));
    let told = shelf::deletions(&shelf::stop(pingtest).stderr);
    foreign.assert_untouched();
    let left = past(&shelf);
    let deleted: Vec<_> = seen.into_iter().filter(|name| !left.contains(name)).collect();
    say(&format!("{what}: of {ENOUGH} rotated files {} were deleted", deleted.len()));
    assert!(deleted.len() >= ENOUGH / 4, "only {deleted:?} were deleted");
    assert_told_in_order(&deleted, &told);
    assert_newest_are_left(&deleted, &left);
    Some((shelf, dir))
}

/// What pingtest has rotated.
fn past(shelf: &Shelf) -> Vec<String> {
    Foreign::without([shelf.names(State::Rotated), shelf.names(State::Packed)].concat())
}

/// Each is told once, those of a live file in the order of their age.
fn assert_told_in_order(deleted: &[String], told: &str) {
    for (name, files) in shelf::by_name(deleted) {
        let places: Vec<_> =
            files.iter().map(|file| told.match_indices(file.as_str()).map(|(at, _)| at).collect::<Vec<_>>()).collect();
        assert!(places.iter().all(|places| places.len() == 1), "not told once each: {files:?}\n{told}");
        assert!(places.is_sorted(), "{name}: not the oldest first: {files:?}\n{told}");
    }
}

fn assert_newest_are_left(deleted: &[String], left: &[String]) {
    let left = shelf::by_name(left);
    for (name, deleted) in shelf::by_name(deleted) {
        let oldest_left = left.get(name).map(|left| shelf::stem(left[0]));
        let newest_deleted = deleted.last().map(|newest| shelf::stem(newest));
        assert!(
            oldest_left.is_none_or(|oldest| newest_deleted < Some(oldest)),
            "{name}: {newest_deleted:?}, {oldest_left:?}"
        );
    }
}

/// What pingtest has not written: like its own by name, and none of its business.
struct Foreign {
    before: Vec<(PathBuf, Metadata)>,
}

impl Foreign {
    const FILES: [&str; 5] = [
        "10.1.0.1-backup.log",
        "10.1.0.1-2020-01-01.log",
        "10.1.0.1-2020-01-01@0002.log.zst",
        "other.log.zst",
        "10.1.0.1.log.1",
    ];
    const DIRECTORY: &str = "10.1.0.1-2020-01-02.log";
    const LINK: &str = "10.1.0.1-2020-01-03.log";
    const TEXT: &str = "somebody else's\n";

    fn furnish(logs: &Path, beside: &Path) -> Self {
        let others = beside.join("others");
        fs::write(&others, Self::TEXT).expect("the directory is ours");
        Self::FILES.iter().for_each(|name| fs::write(logs.join(name), Self::TEXT).expect("the directory is ours"));
        let inside = logs.join(Self::DIRECTORY);
        fs::create_dir(&inside)
            .and_then(|()| fs::write(inside.join("file"), Self::TEXT))
            .expect("the directory is ours");
        symlink(&others, logs.join(Self::LINK)).expect("the directory is ours");
        let files = Self::FILES.iter().map(|name| logs.join(name));
        let all = files.chain([inside.join("file"), logs.join(Self::LINK), others]);
        let meta = |path: &PathBuf| fs::symlink_metadata(path).expect("it is there");
        Self { before: all.map(|path| (path.clone(), meta(&path))).collect() }
    }

    fn without(names: Vec<String>) -> Vec<String> {
        let is_foreign = |name: &String| {
            Self::FILES.contains(&name.as_str()) || [Self::DIRECTORY, Self::LINK].contains(&name.as_str())
        };
        names.into_iter().filter(|name| !is_foreign(name)).collect()
    }

    fn assert_untouched(&self) {
        for (path, before) in &self.before {
            let now = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let of = |meta: &Metadata| (meta.ino(), meta.len(), meta.mode(), meta.mtime_nsec());
            assert_eq!(of(&now), of(before), "{}", path.display());
            assert_eq!(fs::read_to_string(path).expect("it is there"), Self::TEXT, "{}", path.display());
        }
    }
}
