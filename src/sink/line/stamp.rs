//! Time stamps: a format parsed once, and its text kept for as long as the second lasts.
//!
//! Formatting a wall-clock time costs about a microsecond, and nearly all of it repeats within a second; per line only
//! the digits below the second are written. The offset to UTC changes between seconds only, so it is asked for once each.

mod reader;

use std::fmt::{self, Write};

use chrono::format::{Item, StrftimeItems};
use chrono::{TimeZone, Utc};

pub use self::reader::Moment;
pub(super) use self::reader::StampReader;
use crate::monitor::time::Wall;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// How a time stamp looks: `rfc3339`, `unix`, or strftime(3) text in local time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StampFormat(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Unix,
    Items(Vec<Item<'static>>),
}

/// A text that is no time format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time format: {0:?} (allowed: \"rfc3339\", \"unix\", or strftime text such as \"%F %T%.3f\")")]
pub struct BadStampFormat(String);

impl StampFormat {
    /// What a line begins with unless the user wants something else: `2026-11-22_13:09:57.123`.
    pub const DEFAULT: &str = "%F_%H:%M:%S%.3f";
    /// Microseconds and a numeric offset: `2026-11-22T13:09:57.123456+01:00`.
    const RFC3339: &str = "%Y-%m-%dT%H:%M:%S%.6f%:z";

    /// `rfc3339` (microseconds, numeric offset), `unix` (seconds with three decimals) or strftime text.
    ///
    /// # Errors
    /// Where the text is empty or holds a specifier unknown to chrono's strftime.
    pub fn new(text: &str) -> Result<Self, BadStampFormat> {
        match text {
            "" => Err(BadStampFormat(text.to_owned())),
            "unix" => Ok(Self(Kind::Unix)),
            "rfc3339" => Self::strftime(Self::RFC3339),
            _ => Self::strftime(text),
        }
    }

    /// RFC 3339 with microseconds, as JSON lines carry it.
    pub(super) fn rfc3339() -> Self {
        Self::strftime(Self::RFC3339).expect("chrono knows each specifier of our own format")
    }

    fn strftime(text: &str) -> Result<Self, BadStampFormat> {
        let items = StrftimeItems::new(text).parse_to_owned().map_err(|_| BadStampFormat(text.to_owned()))?;
        Ok(Self(Kind::Items(items)))
    }
}

impl Default for StampFormat {
    /// [`StampFormat::DEFAULT`].
    fn default() -> Self {
        Self::strftime(Self::DEFAULT).expect("chrono knows each specifier of our own format")
    }
}

/// Writes stamps of one format in one time zone.
#[derive(Debug)]
pub(super) struct Stamper<Z: TimeZone> {
    zone: Z,
    pieces: Vec<Piece>,
    /// The second that the pieces' texts are of, since the epoch.
    second: Option<i64>,
}

/// A part of a stamp, by how long its text remains true.
#[derive(Debug)]
enum Piece {
    /// Changes with the second at most.
    Second { items: Vec<Item<'static>>, text: String },
    /// The leading digits of the second's fraction.
    Fraction { dot: &'static str, digits: usize },
    /// Anything else that depends on the fraction, such as `%.f` with its varying length.
    Instant(Item<'static>),
    /// Seconds since the epoch, with three decimals.
    Unix,
}

impl<Z: TimeZone> Stamper<Z>
where
    Z::Offset: fmt::Display,
{
    pub(super) fn new(format: &StampFormat, zone: Z) -> Self {
        let pieces = match &format.0 {
            Kind::Unix => vec![Piece::Unix],
            Kind::Items(items) => pieces(items),
        };
        Self { zone, pieces, second: None }
    }

    /// Writes the stamp of `at`.
    pub(super) fn write(&mut self, at: Wall, out: &mut impl Write) -> fmt::Result {
        let second = at.as_nanos().div_euclid(NANOS_PER_SECOND);
        let nanos = at.as_nanos().rem_euclid(NANOS_PER_SECOND) as u32;
        if self.second.replace(second) != Some(second) {
            self.begin_second(second);
        }
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Second { text, .. } => out.write_str(text),
            Piece::Fraction { dot, digits } => write_fraction(dot, *digits, nanos, out),
            Piece::Instant(item) => write_items(&self.zone, std::slice::from_ref(item), second, nanos, out),
            Piece::Unix => write_unix(at, out),
        })
    }

    fn begin_second(&mut self, second: i64) {
        for piece in &mut self.pieces {
            if let Piece::Second { items, text } = piece {
                text.clear();
                if write_items(&self.zone, items, second, 0, text).is_err() {
                    // chrono may refuse an item at some time, such as RFC 2822 beyond the year 9999: then the stamp lacks it.
                    text.clear();
                }
            }
        }
    }
}

/// Sorts a format's items into pieces, neighbours that last a second into one.
fn pieces(items: &[Item<'static>]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for item in items {
        match (piece(item), pieces.last_mut()) {
            (Piece::Second { .. }, Some(Piece::Second { items, .. })) => items.push(item.clone()),
            (piece, _) => pieces.push(piece),
        }
    }
    pieces
}

/// Finds out by trial what an item shows of the fraction: chrono has half a dozen items for it, some of them private.
fn piece(item: &Item<'static>) -> Piece {
    const NANOS: u32 = 123_456_789;
    let render = |nanos| {
        let mut text = String::new();
        write_items(&Utc, std::slice::from_ref(item), 0, nanos, &mut text).map(|()| text).unwrap_or_default()
    };
    let (whole, fraction) = (render(0), render(NANOS));
    if whole == fraction {
        return Piece::Second { items: vec![item.clone()], text: String::new() };
    }
    let (dot, digits) = fraction.strip_prefix('.').map_or(("", fraction.as_str()), |digits| (".", digits));
    let fixed = whole.len() == fraction.len() && NANOS.to_string().starts_with(digits);
    if fixed { Piece::Fraction { dot, digits: digits.len() } } else { Piece::Instant(item.clone()) }
}

/// Writes items through chrono, at `nanos` of a second since the epoch.
fn write_items<Z: TimeZone>(
    zone: &Z,
    items: &[Item<'static>],
    second: i64,
    nanos: u32,
    out: &mut impl Write,
) -> fmt::Result
where
    Z::Offset: fmt::Display,
{
    match zone.timestamp_opt(second, nanos).single() {
        Some(time) => write!(out, "{}", time.format_with_items(items.iter())),
        // Every instant of 64-bit nanoseconds lies within chrono's years; were it not so, the line would go without a stamp.
        None => Ok(()),
    }
}

/// Writes the first `digits` digits of `nanos`, cut off as strftime does.
fn write_fraction(dot: &str, digits: usize, nanos: u32, out: &mut impl Write) -> fmt::Result {
    let mut text = [b'0'; 9];
    let mut rest = nanos;
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.write_str(dot)?;
    out.write_str(str::from_utf8(&text[..digits]).unwrap_or_default())
}

/// Writes seconds with three decimals, cut off towards the past on either side of the epoch.
fn write_unix(at: Wall, out: &mut impl Write) -> fmt::Result {
    let millis = at.as_nanos().div_euclid(1_000_000);
    let sign = if millis < 0 { "-" } else { "" };
    let millis = millis.unsigned_abs();
    write!(out, "{sign}{}.{:03}", millis / 1000, millis % 1000)
}
