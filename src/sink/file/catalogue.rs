//! The rotated files of a directory as far as pingtest made them: which they are, how large, and which have to go.
//!
//! Plain data: it touches no disk and deletes nothing. Files are known by the name they were given when they were rotated, whatever
//! they have been packed into since.

use std::collections::BTreeMap;

use crate::sink::rotation::{Label, Packing, RotatedName};

/// Where a file is among those of its live file: by time.
type Place = (Label, u32);

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
}

impl Stage {
    /// Whether nobody is at work on the file.
    pub(super) fn is_idle(self) -> bool {
        self != Self::Busy
    }
}

/// The rotated files of a directory.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    files: BTreeMap<String, BTreeMap<Place, Entry>>,
    bytes: u64,
    count: usize,
}

impl Catalogue {
    pub(super) fn insert(&mut self, name: &RotatedName, entry: Entry) {
        let places = self.files.entry(name.live.clone()).or_default();
        let before = places.insert((name.label, name.number), entry);
        self.bytes = self.bytes + entry.size - before.map_or(0, |before| before.size);
        self.count += usize::from(before.is_none());
    }

    pub(super) fn remove(&mut self, name: &RotatedName) -> Option<Entry> {
        let places = self.files.get_mut(&name.live)?;
        let entry = places.remove(&(name.label, name.number))?;
        if places.is_empty() {
            self.files.remove(&name.live);
        }
        self.bytes -= entry.size;
        self.count -= 1;
        Some(entry)
    }

    /// The file of that name, however it is packed.
    pub(super) fn get(&self, name: &RotatedName) -> Option<Entry> {
        self.files.get(&name.live)?.get(&(name.label, name.number)).copied()
    }

    /// Bytes of all files together.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many files there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The number that the next file of a label gets: above all that are there, so that numbers grow with time.
    pub(super) fn next_number(&self, live: &str, label: Label) -> u32 {
        let places = self.files.get(live);
        let last = places.and_then(|places| places.range((label, 0)..=(label, u32::MAX)).next_back());
        last.map_or(1, |((_, number), _)| number.saturating_add(1))
    }

    /// All files, those of one live file after the other, by time.
    pub(super) fn names(&self) -> impl Iterator<Item = RotatedName> + '_ {
        self.files
            .iter()
            .flat_map(|(live, places)| places.iter().map(move |(place, entry)| name(live, *place, entry.packing)))
    }

    /// The oldest file of those that have got so far.
    pub(super) fn oldest(&self, may_go: impl Fn(Stage) -> bool) -> Option<RotatedName> {
        let first = |(live, places): (&String, &BTreeMap<Place, Entry>)| {
            let first = places.iter().find(|(_, entry)| may_go(entry.stage));
            first.map(|(place, entry)| name(live, *place, entry.packing))
        };
        self.files.iter().filter_map(first).min()
    }

    /// Files beyond the `keep` latest of their live file, the oldest first.
    pub(super) fn surplus(&self, keep: usize) -> Vec<RotatedName> {
        let beyond = |(live, places): (&String, &BTreeMap<Place, Entry>)| {
            let surplus = places.iter().take(places.len().saturating_sub(keep));
            let idle = surplus.filter(|(_, entry)| entry.stage.is_idle());
            idle.map(|(place, entry)| name(live, *place, entry.packing)).collect::<Vec<_>>()
        };
        let mut surplus: Vec<_> = self.files.iter().flat_map(beyond).collect();
        surplus.sort();
        surplus
    }

    /// Has what failed be tried again; says whether anything did.
    pub(super) fn retry_failed(&mut self) -> bool {
        let mut any = false;
        for entry in self.files.values_mut().flat_map(BTreeMap::values_mut) {
            if entry.stage == Stage::Failed {
                entry.stage = Stage::New;
                any = true;
            }
        }
        any
    }
}

fn name(live: &str, (label, number): Place, packing: Packing) -> RotatedName {
    RotatedName { label, number, live: live.to_owned(), packing }
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
            let name = parsed(file);
            catalogue.insert(&name, Entry { size: 10, packing: name.packing, stage: Stage::Done });
        }
        catalogue
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
    fn the_oldest_of_all_goes_first_and_what_is_in_work_stays() {
        let mut catalogue =
            catalogue(&["b-2026-11-21.log", "a-2026-11-22.log", "a-2026-11-22@0002.log", "b-2026-11-23.log.gz"]);
        assert_eq!(catalogue.oldest(Stage::is_idle), Some(parsed("b-2026-11-21.log")));
        let busy = Entry { size: 10, packing: Packing::Plain, stage: Stage::Busy };
        catalogue.insert(&parsed("b-2026-11-21.log"), busy);
        assert_eq!(catalogue.oldest(Stage::is_idle), Some(parsed("a-2026-11-22.log")));
        assert_eq!(catalogue.surplus(1), [parsed("a-2026-11-22.log")]);
    }
}
