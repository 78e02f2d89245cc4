//! Stamps read back: chrono reads a second once, and what repeats of its text is compared from there on.
//!
//! chrono reads leniently (spaces, padding, the case of names), so what it has read is written again, and a stamp is what
//! comes out the same to the byte. That also tells where a stamp ends, whatever its format contains.

use std::fmt::Write;

use chrono::format::{DelayedFormat, Fixed, Item, Parsed, parse_and_remainder};
use chrono::{DateTime, Datelike, FixedOffset, MappedLocalTime, NaiveDateTime, Offset, TimeZone, Timelike, Utc};

use super::{Kind, NANOS_PER_SECOND, Piece, StampFormat, Stamper, pieces};
use crate::monitor::time::Wall;
use crate::sink::line::Printable;

/// When a line happened. The bounds differ only where local time passes an hour twice (clocks going back) and the stamp does
/// not tell which of the two passes it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The first instant it can mean.
    pub earliest: Wall,
    /// The last instant it can mean.
    pub latest: Wall,
}

impl StampFormat {
    /// Whether a date and a time of day can be had from its stamps: not from `%H:%M:%S`, which tells no date. Found out by
    /// reading stamps back, one of small numbers and one of large ones.
    pub fn is_readable(&self) -> bool {
        // 2026-01-02T03:04:05Z and 2026-11-22T13:19:57Z.
        const INSTANTS: [Wall; 2] =
            [Wall::from_nanos(1_767_323_045_006_007_008), Wall::from_nanos(1_795_353_597_123_456_789)];
        /// A stamp without seconds means its minute.
        const PRECISION_NANOS: i64 = 60 * NANOS_PER_SECOND;
        INSTANTS.into_iter().all(|at| {
            let mut text = String::new();
            // A stamp that chrono gives up is not read back either.
            let _ = Stamper::new(self, Utc.fix()).write(at, &mut Printable(&mut text));
            text.push(' ');
            let read = StampReader::new(self, Utc.fix()).read(text.as_bytes(), b' ');
            read.is_some_and(|(moment, len)| {
                let behind = at.as_nanos() - moment.earliest.as_nanos();
                len + 1 == text.len() && (0..PRECISION_NANOS).contains(&behind)
            })
        })
    }
}

/// Reads stamps of one format in one time zone.
#[derive(Debug)]
pub(in crate::sink::line) struct StampReader<Z: TimeZone> {
    zone: Z,
    /// None for seconds since the epoch, which need no reading by chrono.
    strftime: Option<Strftime>,
}

#[derive(Debug)]
struct Strftime {
    items: Vec<Item<'static>>,
    /// With the texts of `known`.
    pieces: Vec<Piece>,
    /// What the pieces' texts mean.
    known: Option<Known>,
}

/// A second, or in a format with parts such as `%.f` a single instant.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// Seconds since the epoch.
    earliest: i64,
    latest: i64,
    nanos: u32,
}

impl<Z: TimeZone> StampReader<Z> {
    pub(in crate::sink::line) fn new(format: &StampFormat, zone: Z) -> Self {
        let strftime = match &format.0 {
            Kind::Unix => None,
            Kind::Items(items) => Some(Strftime::new(items)),
        };
        Self { zone, strftime }
    }

    /// The stamp that `line` begins with and `end` follows: its time and its length.
    pub(in crate::sink::line) fn read(&mut self, line: &[u8], end: u8) -> Option<(Moment, usize)> {
        match &mut self.strftime {
            None => read_unix(line, end),
            Some(strftime) => strftime.compare(line, end).or_else(|| strftime.read(line, end, &self.zone)),
        }
    }
}

impl Strftime {
    fn new(items: &[Item<'static>]) -> Self {
        let items: Vec<_> = items.iter().map(readable).collect();
        let mut pieces = pieces(&items);
        if pieces.iter().any(|piece| matches!(piece, Piece::Instant(_))) {
            pieces = vec![Piece::Second { items: items.clone(), text: String::new() }];
        }
        Self { items, pieces, known: None }
    }

    /// Reads a stamp whose pieces say the same as the last one's.
    fn compare(&self, line: &[u8], end: u8) -> Option<(Moment, usize)> {
        let known = self.known?;
        let mut nanos = known.nanos;
        let mut rest = line;
        for piece in &self.pieces {
            match piece {
                Piece::Second { text, .. } => rest = rest.strip_prefix(text.as_bytes())?,
                Piece::Fraction { dot, digits } => {
                    let (fraction, behind) = rest.strip_prefix(dot.as_bytes())?.split_at_checked(*digits)?;
                    // Where there are several, all are cut off, so the most exact is the largest.
                    nanos = nanos.max(read_fraction(fraction)?);
                    rest = behind;
                }
                Piece::Instant(_) | Piece::Unix => return None,
            }
        }
        let moment = Moment { earliest: wall(known.earliest, nanos), latest: wall(known.latest, nanos) };
        (rest.first() == Some(&end)).then(|| (moment, line.len() - rest.len()))
    }

    /// Has chrono read a stamp, and keeps it for comparing.
    fn read<Z: TimeZone>(&mut self, line: &[u8], end: u8, zone: &Z) -> Option<(Moment, usize)> {
        let text = line.utf8_chunks().next()?.valid();
        let mut parsed = Parsed::new();
        parse_and_remainder(&mut parsed, text, self.items.iter()).ok()?;
        let Shown { time, offset, earliest, latest } = Shown::of(&parsed, zone)?;
        // Fractions are read line by line.
        let mut nanos = time.nanosecond();
        for piece in &mut self.pieces {
            match piece {
                Piece::Second { items, text } => {
                    text.clear();
                    let items = items.iter();
                    let stamp = DelayedFormat::new_with_offset(Some(time.date()), Some(time.time()), &offset, items);
                    // Where chrono gives a stamp up, the comparison fails.
                    let _ = write!(Printable(text), "{stamp}");
                }
                Piece::Fraction { .. } => nanos = 0,
                Piece::Instant(_) | Piece::Unix => {}
            }
        }
        self.known = Some(Known { earliest, latest, nanos });
        self.compare(line, end)
    }
}

/// Makes of an item that is written one that can be read: text as it comes out in a line, and of the zone's name, which chrono
/// would skip, the offset that it is.
fn readable(item: &Item<'static>) -> Item<'static> {
    let literal = |text: &str| {
        let mut clean = String::new();
        // A String takes everything.
        let _ = Printable(&mut clean).write_str(text);
        Item::OwnedLiteral(clean.into())
    };
    match item {
        Item::Literal(text) => literal(text),
        Item::OwnedLiteral(text) => literal(text),
        Item::Fixed(Fixed::TimezoneName) => Item::Fixed(Fixed::TimezoneOffsetColon),
        Item::Space(_) | Item::OwnedSpace(_) | Item::Numeric(..) | Item::Fixed(_) | Item::Error => item.clone(),
    }
}

/// The time that a stamp shows, and the seconds since the epoch that it may mean.
struct Shown {
    time: NaiveDateTime,
    offset: FixedOffset,
    earliest: i64,
    latest: i64,
}

impl Shown {
    fn of<Z: TimeZone>(parsed: &Parsed, zone: &Z) -> Option<Self> {
        let told = parsed.offset().and_then(FixedOffset::east_opt);
        if let Some(second) = parsed.timestamp() {
            let utc = DateTime::from_timestamp(second, parsed.nanosecond().unwrap_or(0))?.naive_utc();
            let offset = told.or_else(|| is_near(utc).then(|| zone.offset_from_utc_datetime(&utc).fix()))?;
            return Some(Self { time: utc.checked_add_offset(offset)?, offset, earliest: second, latest: second });
        }
        let time = parsed.to_naive_datetime_with_offset(0).ok().filter(|&time| is_near(time))?;
        let at = |offset: FixedOffset| {
            let second = time.and_utc().timestamp() - i64::from(offset.local_minus_utc());
            Self { time, offset, earliest: second, latest: second }
        };
        // chrono's `Local` takes the first second after an hour that passes twice for ambiguous as well.
        let holds = |offset: FixedOffset| {
            let utc = time.checked_sub_offset(offset);
            utc.is_some_and(|utc| zone.offset_from_utc_datetime(&utc).fix() == offset)
        };
        let offsets = || zone.offset_from_local_datetime(&time).map(|offset| offset.fix());
        Some(match told.map_or_else(offsets, MappedLocalTime::Single) {
            MappedLocalTime::Single(offset) => at(offset),
            MappedLocalTime::Ambiguous(one, other) => match (holds(one), holds(other)) {
                (true, false) => at(one),
                (false, true) => at(other),
                (true, true) | (false, false) => {
                    let (one, other) = (at(one), at(other));
                    Self { earliest: one.earliest.min(other.earliest), latest: one.latest.max(other.latest), ..one }
                }
            },
            MappedLocalTime::None => Self::after_gap(time, zone)?,
        })
    }

    /// The first instant at which the clocks of `zone`, going forward, show more than `time`, which they skip.
    fn after_gap<Z: TimeZone>(time: NaiveDateTime, zone: &Z) -> Option<Self> {
        /// No offset is as large.
        const DAY: i64 = 86_400;
        let offset =
            |second| Some(zone.offset_from_utc_datetime(&DateTime::from_timestamp(second, 0)?.naive_utc()).fix());
        let wanted = time.and_utc().timestamp();
        let (mut before, mut after) = (wanted - DAY, wanted + DAY);
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if middle + i64::from(offset(middle)?.local_minus_utc()) > wanted {
                after = middle;
            } else {
                before = middle;
            }
        }
        Some(Self { time, offset: offset(after)?, earliest: after, latest: after })
    }
}

/// Whether a time is about within reach of 64 bits of nanoseconds; chrono's time zones end not much farther off.
fn is_near(time: NaiveDateTime) -> bool {
    (1600..2300).contains(&time.year())
}

/// `-0.500`: seconds since the epoch, with three decimals.
fn read_unix(line: &[u8], end: u8) -> Option<(Moment, usize)> {
    let len = line.iter().position(|&byte| byte == end)?;
    let (sign, digits) = line[..len].strip_prefix(b"-").map_or((1, &line[..len]), |digits| (-1, digits));
    let (seconds, fraction) = digits.split_last_chunk::<4>()?;
    let millis = fraction.strip_prefix(b".").and_then(read_number)?;
    let nanos = sign * (read_number(seconds)? * 1000 + millis).checked_mul(1_000_000)?;
    Some((Moment { earliest: Wall::from_nanos(nanos), latest: Wall::from_nanos(nanos) }, len))
}

/// The leading digits of a second's fraction as nanoseconds.
fn read_fraction(digits: &[u8]) -> Option<u32> {
    let missing = 9_u32.checked_sub(u32::try_from(digits.len()).ok()?)?;
    u32::try_from(read_number(digits)? * 10_i64.pow(missing)).ok()
}

/// A number of few enough digits that what it is multiplied with leaves it within 64 bits.
fn read_number(digits: &[u8]) -> Option<i64> {
    const MAX_DIGITS: usize = 12;
    let short = (1..=MAX_DIGITS).contains(&digits.len());
    (short && digits.iter().all(u8::is_ascii_digit))
        .then(|| digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

/// At the ends of time a stamp, which is cut off, may mean an instant before them.
fn wall(second: i64, nanos: u32) -> Wall {
    let nanos = i128::from(second) * i128::from(NANOS_PER_SECOND) + i128::from(nanos);
    Wall::from_nanos(nanos.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}
