//! When the time of a log file is over, and what the file is called from then on.
//!
//! Pure: instants and the time zone come in from outside, and nothing here knows of a disk. A rotated file carries the local time
//! at which its stretch began, so that names sort as the lines in them do; the live file's name never changes.

use std::fmt;

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeZone, Timelike};

use crate::monitor::time::Wall;

/// How often a file is rotated by local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotate {
    /// At each full hour. An hour that the clocks pass twice makes two files.
    Hourly,
    /// At midnight, however long the day was.
    Daily,
    /// At the midnight before Monday (ISO 8601).
    Weekly,
    /// By size only.
    Never,
}

/// How far the clock may be set back before a file is too young for what is written to it. Less than that is disorder within a file,
/// and no reason to cut it: the switch from daylight-saving time is an hour, a correction by NTP seconds.
const SET_BACK: i64 = 2 * 3600 * NANOS;
const NANOS: i64 = 1_000_000_000;

/// The stretch of local time that a file was begun in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// Time of its first line.
    at: Wall,
    /// Grows from one stretch to the next.
    stretch: i64,
}

impl Begun {
    /// Time of the first line.
    pub fn at(&self) -> Wall {
        self.at
    }
}

/// Tells stretches of local time apart. Keeps the current second's, for the offset to UTC changes between seconds only.
#[derive(Debug)]
pub struct Calendar<Z: TimeZone> {
    zone: Z,
    rotate: Rotate,
    second: Option<(i64, i64)>,
}

impl<Z: TimeZone> Calendar<Z> {
    /// A calendar of the local time of `zone`.
    pub fn new(rotate: Rotate, zone: Z) -> Self {
        Self { zone, rotate, second: None }
    }

    /// A file whose first line is of `at`.
    pub fn begin(&mut self, at: Wall) -> Begun {
        Begun { at, stretch: self.stretch(at) }
    }

    /// Whether a line of `at` belongs to another file than the one that was begun then.
    pub fn is_over(&mut self, file: Begun, at: Wall) -> bool {
        let stretch = self.stretch(at);
        match self.rotate {
            Rotate::Never => false,
            Rotate::Hourly | Rotate::Daily | Rotate::Weekly => {
                // What comes a little late, or after a clock was set back a little, is no reason for a file of its own.
                stretch > file.stretch
                    || stretch < file.stretch && at.as_nanos() < file.at.as_nanos().saturating_sub(SET_BACK)
            }
        }
    }

    /// What a file that was begun at `at` is called by.
    pub fn label(&self, at: Wall) -> Label {
        let local = self.local(at);
        let date = local.date_naive();
        match self.rotate {
            Rotate::Hourly => Label { date, hour: Some(local.hour() as u8) },
            Rotate::Daily | Rotate::Never => Label { date, hour: None },
            Rotate::Weekly => Label { date: monday(date), hour: None },
        }
    }

    fn stretch(&mut self, at: Wall) -> i64 {
        let second = at.as_nanos().div_euclid(NANOS);
        match self.second {
            Some((known, stretch)) if known == second => stretch,
            Some(_) | None => {
                let stretch = self.stretch_of(at, second);
                self.second = Some((second, stretch));
                stretch
            }
        }
    }

    fn stretch_of(&self, at: Wall, second: i64) -> i64 {
        let local = self.local(at);
        match self.rotate {
            // By the instant at which it began: local time may show the same hour again.
            Rotate::Hourly => second - i64::from(local.minute() * 60 + local.second()),
            Rotate::Daily => local.date_naive().num_days_from_ce().into(),
            Rotate::Weekly => monday(local.date_naive()).num_days_from_ce().into(),
            Rotate::Never => 0,
        }
    }

    fn local(&self, at: Wall) -> DateTime<Z> {
        self.zone.timestamp_nanos(at.as_nanos())
    }
}

fn monday(date: NaiveDate) -> NaiveDate {
    let days = Days::new(date.weekday().num_days_from_monday().into());
    date.checked_sub_days(days).unwrap_or(date)
}

/// The local time in the name of a rotated file: `2026-11-22` or `2026-11-22T13`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    date: NaiveDate,
    hour: Option<u8>,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = (self.date.year(), self.date.month(), self.date.day());
        write!(f, "{year:04}-{month:02}-{day:02}")?;
        self.hour.map_or(Ok(()), |hour| write!(f, "T{hour:02}"))
    }
}

impl Label {
    /// Whether it is of an hour.
    pub fn has_hour(&self) -> bool {
        self.hour.is_some()
    }

    /// Reads what [`fmt::Display`] writes.
    fn parse(text: &str) -> Option<Self> {
        let (date, hour) = text.split_at_checked(10)?;
        let hour = match hour {
            "" => None,
            _ => Some(hour.strip_prefix('T')?.parse().ok().filter(|hour| *hour < 24)?),
        };
        Some(Self { date: date.parse().ok()?, hour })
    }
}

/// How a rotated file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// With zstd (RFC 8878), in frames of whole lines.
    Zstd,
    /// With gzip (RFC 1952).
    Gzip,
}

impl Packing {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Zstd, Self::Gzip];

    /// What it adds to a name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }
}

/// The name of a rotated file. Names order by time, and sort so in a directory listing of the C locale and of others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RotatedName {
    /// The local time at which its stretch began.
    pub label: Label,
    /// Which of the files of that stretch, from 1; only further ones show it: `alidns-2026-11-22@0002.log`.
    pub number: u32,
    /// The live file's name without `.log`.
    pub live: String,
    /// How it is packed.
    pub packing: Packing,
}

/// What every log's name ends with before it is packed.
pub const SUFFIX: &str = ".log";

impl RotatedName {
    /// Reads a name that pingtest could have given, and no other.
    pub fn parse(file: &str) -> Option<Self> {
        let packing = Packing::ALL.into_iter().rev().find(|packing| file.ends_with(packing.suffix()))?;
        let stem = file.strip_suffix(packing.suffix())?.strip_suffix(SUFFIX)?;
        let (stem, number) = match stem.rsplit_once('@') {
            Some((stem, number)) => (stem, number.parse().ok()?),
            None => (stem, 1),
        };
        // A label holds two dashes of its own.
        let (at, _) = stem.rmatch_indices('-').nth(2)?;
        let label = Label::parse(&stem[at + 1..])?;
        let name = Self { label, number, live: stem[..at].to_owned(), packing };
        (!name.live.is_empty() && name.to_string() == file).then_some(name)
    }

    /// The same file, packed otherwise.
    pub fn packed(&self, packing: Packing) -> Self {
        Self { packing, ..self.clone() }
    }
}

impl fmt::Display for RotatedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.live, self.label)?;
        if self.number != 1 {
            write!(f, "@{:04}", self.number)?;
        }
        write!(f, "{SUFFIX}{}", self.packing.suffix())
    }
}

#[cfg(test)]
mod tests {
    use chrono::FixedOffset;

    use super::*;

    fn calendar(rotate: Rotate) -> Calendar<FixedOffset> {
        Calendar::new(rotate, FixedOffset::east_opt(3600).unwrap())
    }

    /// An instant by its text in UTC.
    fn at(text: &str) -> Wall {
        Wall::from_nanos(text.parse::<DateTime<chrono::Utc>>().unwrap().timestamp_nanos_opt().unwrap())
    }

    #[test]
    fn names_are_read_back_and_sort_by_time() {
        let names = [
            "web-2026-11-21.log.zst",
            "web-2026-11-22.log.zst",
            "web-2026-11-22@0002.log.gz",
            "web-2026-11-22@0010.log",
            "web-2026-11-22@1000.log",
            "web-2026-11-22T00.log",
            "web-2026-11-22T13.log",
            "web-2026-11-22T13@0002.log",
            "web-2026-11-23.log",
        ];
        assert!(names.is_sorted(), "as ls sorts them");
        let parsed: Vec<_> = names.iter().map(|name| RotatedName::parse(name).unwrap()).collect();
        assert!(parsed.is_sorted());
        assert_eq!(parsed.iter().map(ToString::to_string).collect::<Vec<_>>(), names);
        assert!(parsed.iter().all(|name| name.live == "web"));
        assert_eq!(RotatedName::parse("a-b_c.d:e-2026-11-22.log").unwrap().live, "a-b_c.d:e");
    }

    #[test]
    fn what_pingtest_would_not_call_a_file_is_none_of_its() {
        let names = [
            "",
            "web.log",
            "web-2026-11-22",
            "web-2026-11-22.txt",
            "web-2026-11-22.log.bz2",
            "web-2026-11-22.log.zst.part",
            "web-2026-13-01.log",
            "web-2026-02-29.log",
            "web-2026-1-01.log",
            "web-20261122.log",
            "web-2026-11-22T24.log",
            "web-2026-11-22T1.log",
            "web-2026-11-22t13.log",
            "web-2026-11-22@1.log",
            "web-2026-11-22@0001.log",
            "web-2026-11-22@2.log",
            "web-2026-11-22@.log",
            "web-2026-11-22@00002.log",
            "web-2026-11-22@99999999999.log",
            "web2026-11-22.log",
            "-2026-11-22.log",
            "web-2026-11-2\u{661}.log",
            "web-backup.log",
        ];
        for name in names {
            assert_eq!(RotatedName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_day_ends_at_local_midnight_and_a_week_on_sunday() {
        let mut days = calendar(Rotate::Daily);
        let file = days.begin(at("2026-11-22T10:00:00Z"));
        assert!(!days.is_over(file, at("2026-11-22T22:59:59.999Z")));
        assert!(days.is_over(file, at("2026-11-22T23:00:00Z")));
        assert_eq!(days.label(file.at()).to_string(), "2026-11-22");
        let mut weeks = calendar(Rotate::Weekly);
        let file = weeks.begin(at("2026-11-18T10:00:00Z"));
        assert!(!weeks.is_over(file, at("2026-11-22T22:59:59Z")));
        assert!(weeks.is_over(file, at("2026-11-22T23:00:00Z")));
        assert_eq!(weeks.label(file.at()).to_string(), "2026-11-16");
    }

    #[test]
    fn a_clock_set_back_a_little_does_not_end_a_file_and_set_back_far_does() {
        let mut hours = calendar(Rotate::Hourly);
        let file = hours.begin(at("2026-11-22T10:00:00Z"));
        assert!(!hours.is_over(file, at("2026-11-22T08:00:00Z")));
        assert!(hours.is_over(file, at("2026-11-22T07:59:59Z")));
        let mut never = calendar(Rotate::Never);
        let file = never.begin(at("2026-11-22T10:00:00Z"));
        assert!(!never.is_over(file, at("2036-11-22T10:00:00Z")) && !never.is_over(file, at("1970-01-01T00:00:00Z")));
    }
}
