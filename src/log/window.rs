//! Which lines are wanted, and how far around them to look.
//!
//! Lines are in the order of judgement, so that stamps are out of order by up to a second; by more where the clock was set back,
//! which the daemon notes, and where local time passes an hour twice. A search by time holds only outside of such stretches: a bound
//! that lies in one moves to its edge.

use std::io::{self, BufRead, Read};
use std::path::Path;
use std::time::Duration;

use chrono::{Local, TimeZone};

use super::when::{self, BadTime};
use crate::clock;
use crate::monitor::time::Wall;
use crate::sink::line::Moment;

/// How far stamps are out of order at most.
const DISORDER: Duration = Duration::from_secs(1);
/// What the daemon knows of its files, by their directory.
const NOTES: &str = crate::sink::file::LISTED;
/// Notes larger than this are none of ours: in bytes, a set-back a minute for a year.
const MAX_NOTES: u64 = 32 << 20;

/// The lines that are wanted: from one instant to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Range {
    since: Option<Wall>,
    until: Option<Wall>,
}

impl Range {
    /// The range that two texts mean, in local time.
    ///
    /// # Errors
    /// See [`BadTime`].
    pub fn parse(since: Option<&str>, until: Option<&str>) -> Result<Self, BadTime> {
        let (since, until) = when::bounds(since, until, clock::now().wall, &Local)?;
        Ok(Self { since, until })
    }

    #[cfg(test)]
    pub(super) fn new(since: Option<Wall>, until: Option<Wall>) -> Self {
        Self { since, until }
    }

    /// From when; `None` from the beginning on.
    pub fn since(&self) -> Option<Wall> {
        self.since
    }

    /// Until when; `None` without an end.
    pub fn until(&self) -> Option<Wall> {
        self.until
    }

    /// Whether it has no bounds.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it has a beginning.
    pub(super) fn has_beginning(&self) -> bool {
        self.since.is_some()
    }

    pub(super) fn contains(&self, at: Wall) -> bool {
        self.since.is_none_or(|since| since <= at) && self.until.is_none_or(|until| at <= until)
    }

    /// Whether no line that is written from `now` on can be wanted.
    pub(super) fn is_over(&self, now: Wall) -> bool {
        self.until.is_some_and(|until| until + DISORDER < now)
    }

    /// The stretch to be searched for it.
    pub(super) fn window<Z: TimeZone>(&self, set_backs: &SetBacks, zone: &Z) -> Window {
        let from = self.since.map(|since| settled(since - DISORDER, |at| earlier(at, set_backs, zone)));
        let to = self.until.map(|until| settled(until + DISORDER, |at| later(at, set_backs, zone)));
        Window { from, to }
    }
}

/// The stretch to be searched: what lies before `from` or after `to` is not wanted, and neither is anything before or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Window {
    from: Option<Wall>,
    to: Option<Wall>,
}

impl Window {
    /// The instant from which on lines may be wanted, if not all are.
    pub(super) fn from(&self) -> Option<Wall> {
        self.from
    }

    /// Whether neither a line of `moment` nor any after it is wanted.
    pub(super) fn is_behind(&self, moment: Moment) -> bool {
        self.to.is_some_and(|to| to < moment.earliest)
    }
}

/// Moves a bound until it lies where it is.
fn settled(mut at: Wall, step: impl Fn(Wall) -> Wall) -> Wall {
    loop {
        let next = step(at);
        if next == at {
            return at;
        }
        at = next;
    }
}

fn earlier<Z: TimeZone>(at: Wall, set_backs: &SetBacks, zone: &Z) -> Wall {
    let before_set_backs = set_backs.around(at).map(|back| back.to - DISORDER - Duration::from_nanos(1)).min();
    let before_fold = fold(at, zone).map(|(first, second)| first - (second - first));
    [before_set_backs, before_fold].into_iter().flatten().fold(at, Wall::min)
}

fn later<Z: TimeZone>(at: Wall, set_backs: &SetBacks, zone: &Z) -> Wall {
    let after_set_backs = set_backs.around(at).map(|back| back.from + DISORDER + Duration::from_nanos(1)).max();
    let after_fold = fold(at, zone).map(|(first, second)| second + (second - first));
    [after_set_backs, after_fold].into_iter().flatten().fold(at, Wall::max)
}

/// The two instants at which clocks show what they show at `at`, where there are two.
fn fold<Z: TimeZone>(at: Wall, zone: &Z) -> Option<(Wall, Wall)> {
    let (first, second) = when::shown(zone.timestamp_nanos(at.as_nanos()).naive_local(), zone)?;
    (first < second).then_some((first, second))
}

/// The clock was set back between two lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SetBack {
    /// Stamp of the last line before.
    from: Wall,
    /// Stamp of the first line after.
    to: Wall,
}

/// All that is known of the clock having been set back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct SetBacks(Vec<SetBack>);

impl SetBacks {
    /// Those that the daemon has noted in `dir`. Without its notes there are none.
    pub(super) fn read(dir: &Path) -> Self {
        let path = dir.join(NOTES);
        // A pipe would have to be waited for.
        let is_file = std::fs::metadata(&path).is_ok_and(|meta| meta.is_file());
        let Some(file) = is_file.then(|| std::fs::File::open(&path).ok()).flatten() else { return Self::default() };
        let mut text = Vec::new();
        // What can be read of it counts.
        let _ = io::BufReader::new(file).take(MAX_NOTES).read_to_end(&mut text);
        Self::parse(&text)
    }

    fn parse(text: &[u8]) -> Self {
        let lines = text.lines().map_while(Result::ok);
        Self(lines.filter_map(|line| SetBack::parse(&line)).collect())
    }

    /// Those during which the clock passed `at` twice.
    fn around(&self, at: Wall) -> impl Iterator<Item = &SetBack> {
        self.0.iter().filter(move |back| back.to - DISORDER <= at && at <= back.from + DISORDER)
    }
}

impl SetBack {
    /// `set-back FROM TO`, in seconds since the epoch.
    fn parse(line: &str) -> Option<Self> {
        let (from, to) = line.strip_prefix("set-back ")?.split_once(' ')?;
        Some(Self { from: when::unix(from)?, to: when::unix(to)? })
    }
}

/// Tells which of two instants a stamp means, from the lines before it: time does not go back unless that was noted.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    set_backs: SetBacks,
    last: Option<Wall>,
}

impl Resolver {
    pub(super) fn new(set_backs: SetBacks) -> Self {
        Self { set_backs, last: None }
    }

    /// Forgets the lines so far: what comes is not after them.
    pub(super) fn restart(&mut self) {
        self.last = None;
    }

    /// The instant of the next line.
    pub(super) fn resolve(&mut self, moment: Moment) -> Wall {
        let at = match self.last {
            Some(last) if moment.earliest != moment.latest => self.choose(moment, last),
            Some(_) | None => moment.earliest,
        };
        self.last = Some(at);
        at
    }

    fn choose(&self, Moment { earliest, latest }: Moment, last: Wall) -> Wall {
        let distance = |a: Wall, b: Wall| a.as_nanos().abs_diff(b.as_nanos());
        let is_near = |a, b| distance(a, b) <= DISORDER.as_nanos() as u64;
        // Set back from here: the line lies where the clock was set to, if it can.
        let set_to = self.set_backs.0.iter().filter(|back| is_near(back.from, last)).map(|back| back.to);
        if let Some(found) = set_to.flat_map(|to| [earliest, latest].into_iter().find(|&at| is_near(at, to))).next() {
            return found;
        }
        if earliest + DISORDER >= last { earliest } else { latest }
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    const fn at(seconds: i64) -> Wall {
        Wall::from_nanos(seconds * 1_000_000_000)
    }

    fn one(seconds: i64) -> Moment {
        Moment { earliest: at(seconds), latest: at(seconds) }
    }

    fn two(first: i64) -> Moment {
        Moment { earliest: at(first), latest: at(first + 3600) }
    }

    fn window(since: i64, until: i64, notes: &str) -> (i64, i64) {
        let range = Range::new(Some(at(since)), Some(at(until)));
        let window = range.window(&SetBacks::parse(notes.as_bytes()), &Utc);
        let seconds = |at: Option<Wall>| at.expect("a bound").as_nanos().div_euclid(1_000_000_000);
        (seconds(window.from), seconds(window.to))
    }

    #[test]
    fn the_window_is_a_second_wider_than_the_range() {
        assert_eq!(window(1000, 2000, ""), (999, 2001));
        assert_eq!(Range::default().window(&SetBacks::default(), &Utc), Window::default());
    }

    #[test]
    fn a_bound_within_a_set_back_moves_out_of_it() {
        let notes = "set-back 1500.000000000 1200.000000000\n";
        assert_eq!(window(1000, 2000, notes), (999, 2001));
        assert_eq!(window(1300, 2000, notes), (1198, 2001));
        assert_eq!(window(1000, 1300, notes), (999, 1501));
        assert_eq!(window(1300, 1400, notes), (1198, 1501));
        assert_eq!(window(1600, 1700, notes), (1599, 1701));
    }

    #[test]
    fn set_backs_that_overlap_are_left_one_after_the_other() {
        let notes = "set-back 1500.0 1200.0\nset-back 1250.0 900.0\n";
        assert_eq!(window(1400, 1450, notes), (898, 1501));
        assert_eq!(window(950, 1000, notes), (898, 1501));
    }

    #[test]
    fn notes_of_other_things_are_not_for_us() {
        let notes = b"rotated alidns-2026-11-22.log\nset-back x 1\nset-back 1 \n\xff\xfe\n";
        assert_eq!(SetBacks::parse(notes), SetBacks::default());
        assert_eq!(SetBacks::read(Path::new("/nonexistent")), SetBacks::default());
    }

    #[test]
    fn an_hour_that_comes_twice_is_told_apart_by_the_lines_before() {
        let mut resolver = Resolver::new(SetBacks::default());
        let hours = [one(900), two(1000), two(4599), two(1000), two(3000), two(4599), one(8300)];
        assert_eq!(hours.map(|moment| resolver.resolve(moment)), [900, 1000, 4599, 4600, 6600, 8199, 8300].map(at));
    }

    #[test]
    fn a_little_disorder_is_no_second_hour() {
        let mut resolver = Resolver::new(SetBacks::default());
        assert_eq!(
            [two(1001), two(1000), two(1002)].map(|moment| resolver.resolve(moment)),
            [1001, 1000, 1002].map(at)
        );
    }

    #[test]
    fn a_clock_set_back_within_the_hour_is_believed_where_it_was_noted() {
        let mut resolver = Resolver::new(SetBacks::parse(b"set-back 3000.0 1500.0"));
        assert_eq!(
            [two(3000), two(1500), two(1600)].map(|moment| resolver.resolve(moment)),
            [3000, 1500, 1600].map(at)
        );
    }
}
