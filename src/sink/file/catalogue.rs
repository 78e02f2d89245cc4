//! The rotated files of a directory as far as pingtest made them: which they are, how large, and which have to go.
//!
//! Plain data: it touches no disk and deletes nothing. Files are known by the name they were given when they were rotated, whatever
//! they have been packed into since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::sink::rotation::{Label, Packing, RotatedName};

/// What is known of a rotated file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Bytes on the disk.
    pub(super) size: u64,
    pub(super) packing: Packing,
    pub(super) stage: Stage,
}

/// How far the keeper has got with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Rotated, and nothing else.
    New,
    /// Being synced or packed: hands off.
    Busy,
    /// Nothing is left to be done.
    Done,
    /// It could not be synced or packed; to be tried again.
    Failed,
    /// It cannot be deleted; to be tried again.
    Stuck,
}

/// Grows from one rotation to the next: the only order in time that neither the clock nor another `rotate` can upset.
type Age = u64;

/// The rotated files of a directory.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    files: BTreeMap<Age, (Name, Entry)>,
    by_live: BTreeMap<Arc<str>, Live>,
    /// Those that are [`Stage::New`].
    new: BTreeSet<Age>,
    bytes: u64,
    next: Age,
}

/// What a file was called. Those of a live file share its name.
#[derive(Debug, Clone)]
struct Name {
    live: Arc<str>,
    label: Label,
    number: u32,
}

/// The rotated files of one live file.
#[derive(Debug, Default)]
struct Live {
    ages: BTreeSet<Age>,
    by_label: BTreeMap<(Label, u32), Age>,
}

impl Catalogue {
    /// Adds a file, as the latest unless it is known.
    pub(super) fn insert(&mut self, name: &RotatedName, entry: Entry) {
        let live = match self.by_live.get_key_value(name.live.as_str()) {
            Some((live, _)) => Arc::clone(live),
            None => Arc::from(name.live.as_str()),
        };
        let next = self.next;
        let of_live = self.by_live.entry(Arc::clone(&live)).or_default();
        let age = *of_live.by_label.entry((name.label, name.number)).or_insert(next);
        of_live.ages.insert(age);
        self.next = next.max(age + 1);
        if entry.stage == Stage::New {
            self.new.insert(age);
        } else {
            self.new.remove(&age);
        }
        let before = self.files.insert(age, (Name { live, label: name.label, number: name.number }, entry));
        self.bytes = self.bytes + entry.size - before.map_or(0, |(_, before)| before.size);
    }

    pub(super) fn remove(&mut self, name: &RotatedName) -> Option<Entry> {
        let age = self.age(name)?;
        let (_, entry) = self.files.remove(&age)?;
        self.new.remove(&age);
        self.bytes -= entry.size;
        if let Some(live) = self.by_live.get_mut(name.live.as_str()) {
            live.ages.remove(&age);
            live.by_label.remove(&(name.label, name.number));
            if live.ages.is_empty() {
                self.by_live.remove(name.live.as_str());
            }
        }
        Some(entry)
    }

    /// The file of that name, however it is packed.
    pub(super) fn get(&self, name: &RotatedName) -> Option<Entry> {
        self.files.get(&self.age(name)?).map(|(_, entry)| *entry)
    }

    /// Changes what is known of a file, if it is known.
    pub(super) fn update(&mut self, name: &RotatedName, entry: Entry) {
        if self.get(name).is_some() {
            self.insert(name, entry);
        }
    }

    /// Bytes of all files together.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many files there are.
    pub(super) fn count(&self) -> usize {
        self.files.len()
    }

    /// The number that the next file of a label gets: above all that are there, so that numbers grow with time.
    pub(super) fn next_number(&self, live: &str, label: Label) -> u32 {
        let live = self.by_live.get(live);
        let last = live.and_then(|live| live.by_label.range((label, 0)..=(label, u32::MAX)).next_back());
        last.map_or(1, |((_, number), _)| number.saturating_add(1))
    }

    /// All files, the oldest first.
    pub(super) fn names(&self) -> impl Iterator<Item = RotatedName> + '_ {
        self.files.values().map(|(name, entry)| name.rotated(entry.packing))
    }

    /// The oldest file of those that have got so far.
    pub(super) fn oldest(&self, may_go: impl Fn(Stage) -> bool) -> Option<RotatedName> {
        let found = self.files.values().find(|(_, entry)| may_go(entry.stage));
        found.map(|(name, entry)| name.rotated(entry.packing))
    }

    /// The oldest file that was rotated and not yet taken care of.
    pub(super) fn new_one(&self) -> Option<RotatedName> {
        let (name, entry) = self.files.get(self.new.first()?)?;
        Some(name.rotated(entry.packing))
    }

    /// The names of all live files that have rotated ones.
    pub(super) fn lives(&self) -> Vec<Arc<str>> {
        self.by_live.keys().cloned().collect()
    }

    /// Files beyond the `keep` latest of a live file, the oldest first.
    pub(super) fn surplus(&self, live: &str, keep: usize) -> Vec<RotatedName> {
        let Some(live) = self.by_live.get(live) else { return Vec::new() };
        let beyond = live.ages.iter().take(live.ages.len().saturating_sub(keep));
        let idle = beyond.filter_map(|age| self.files.get(age)).filter(|(_, entry)| entry.stage.is_idle());
        idle.map(|(name, entry)| name.rotated(entry.packing)).collect()
    }

    /// Has what failed be tried again.
    pub(super) fn retry_failed(&mut self) {
        for (age, (_, entry)) in &mut self.files {
            if matches!(entry.stage, Stage::Failed | Stage::Stuck) {
                entry.stage = Stage::New;
                self.new.insert(*age);
            }
        }
    }

    fn age(&self, name: &RotatedName) -> Option<Age> {
        self.by_live.get(name.live.as_str())?.by_label.get(&(name.label, name.number)).copied()
    }
}

impl Name {
    fn rotated(&self, packing: Packing) -> RotatedName {
        RotatedName { label: self.label, number: self.number, live: self.live.to_string(), packing }
    }
}

impl Stage {
    /// Whether nobody is at work on the file, and nothing is known to be in the way of its deletion.
    pub(super) fn is_idle(self) -> bool {
        match self {
            Self::New | Self::Done | Self::Failed => true,
            Self::Busy | Self::Stuck => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(file: &str) -> RotatedName {
        RotatedName::parse(file).unwrap()
    }

    fn catalogue(files: &[&str]) -> Catalogue {
        let mut catalogue = Catalogue::default();
        for file in files {
            set(&mut catalogue, file, Stage::Done);
        }
        catalogue
    }

    fn set(catalogue: &mut Catalogue, file: &str, stage: Stage) {
        let name = parsed(file);
        catalogue.insert(&name, Entry { size: 10, packing: name.packing, stage });
    }

    #[test]
    fn numbers_grow_even_after_the_first_files_of_a_day_are_gone() {
        let mut catalogue = catalogue(&["a-2026-11-22.log.zst", "a-2026-11-22@0002.log", "a-2026-11-23.log"]);
        let day = parsed("a-2026-11-22.log");
        assert_eq!(catalogue.next_number("a", day.label), 3);
        assert!(catalogue.remove(&day).is_some());
        assert_eq!(catalogue.next_number("a", day.label), 3);
        assert_eq!(catalogue.next_number("b", day.label), 1);
        assert_eq!((catalogue.bytes(), catalogue.count()), (20, 2));
    }

    #[test]
    fn the_oldest_of_all_goes_first_and_what_is_in_work_or_cannot_go_stays() {
        let mut catalogue =
            catalogue(&["b-2026-11-21.log", "a-2026-11-22.log", "a-2026-11-22@0002.log", "b-2026-11-23.log.gz"]);
        assert_eq!(catalogue.oldest(Stage::is_idle), Some(parsed("b-2026-11-21.log")));
        assert_eq!(catalogue.surplus("a", 1), [parsed("a-2026-11-22.log")]);
        assert_eq!(catalogue.surplus("b", 1), [parsed("b-2026-11-21.log")]);
        for stage in [Stage::Busy, Stage::Stuck] {
            set(&mut catalogue, "b-2026-11-21.log", stage);
            assert_eq!(catalogue.oldest(Stage::is_idle), Some(parsed("a-2026-11-22.log")));
            assert_eq!(catalogue.surplus("b", 1), []);
        }
        assert_eq!(catalogue.surplus("c", 0), []);
    }

    #[test]
    fn age_is_the_order_of_rotation_and_not_of_names() {
        // First by the hour, then by the day, then by the week; and a clock that was set back.
        let files = ["a-2026-11-22T21.log", "a-2026-11-22.log", "a-2026-11-16.log", "a-2026-11-15.log"];
        let catalogue = catalogue(&files);
        assert_eq!(catalogue.oldest(Stage::is_idle), Some(parsed(files[0])));
        assert_eq!(catalogue.surplus("a", 1), [parsed(files[0]), parsed(files[1]), parsed(files[2])]);
        assert_eq!(catalogue.names().map(|name| name.to_string()).collect::<Vec<_>>(), files);
    }

    #[test]
    fn what_is_new_is_taken_care_of_by_age_and_what_failed_is_tried_again() {
        let mut catalogue = catalogue(&["a-2026-11-21.log", "a-2026-11-22.log"]);
        assert_eq!(catalogue.new_one(), None);
        set(&mut catalogue, "b-2026-11-22.log", Stage::New);
        set(&mut catalogue, "b-2026-11-23.log", Stage::New);
        assert_eq!(catalogue.new_one(), Some(parsed("b-2026-11-22.log")));
        set(&mut catalogue, "b-2026-11-22.log", Stage::Failed);
        assert_eq!(catalogue.new_one(), Some(parsed("b-2026-11-23.log")));
        catalogue.remove(&parsed("b-2026-11-23.log"));
        assert_eq!(catalogue.new_one(), None);
        catalogue.retry_failed();
        assert_eq!(catalogue.new_one(), Some(parsed("b-2026-11-22.log")));
    }
}
