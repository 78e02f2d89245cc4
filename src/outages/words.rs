//! Figures and times as people read them. Knows nothing of outages.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use chrono::TimeZone;

use crate::monitor::time::Wall;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Decimals of a per cent: five minutes in a year are 0.001 %.
const DECIMALS: u32 = 3;
/// The most decimals it may take until what is not whole does not look whole.
const MOST_DECIMALS: u32 = 12;

/// A time in its two largest units: `12.3 s`, `5 m 12 s`, `8 h 0 m`, `3 d 4 h`.
pub(super) fn duration(time: Duration) -> String {
    // Rounded first, so that 59.96 s are a minute.
    let tenths = (time.as_millis() + 50) / 100;
    if tenths < u128::from(MINUTE) * 10 {
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    let seconds = time.as_secs() + u64::from(time.subsec_millis() >= 500);
    if seconds < HOUR {
        return format!("{} m {} s", seconds / MINUTE, seconds % MINUTE);
    }
    let minutes = (seconds + MINUTE / 2) / MINUTE;
    if minutes < DAY / MINUTE {
        return format!("{} h {} m", minutes / 60, minutes % 60);
    }
    let hours = (seconds + HOUR / 2) / HOUR;
    format!("{} d {} h", hours / 24, hours % 24)
}

/// How far something may be off: `± 1.0 s`, `± 20 s`.
pub(super) fn spread(time: Duration) -> String {
    if time < Duration::from_secs(10) || time >= Duration::from_secs(MINUTE) {
        return format!("± {}", duration(time));
    }
    format!("± {:.0} s", time.as_secs_f64())
}

/// What of a whole is left without a part, in per cent, rounded down: what is not all of it never looks like it. `99.982 %`.
pub(super) fn percent_left(part: Duration, whole: Duration) -> String {
    let (part, whole) = (part.as_nanos().min(whole.as_nanos()), whole.as_nanos());
    percent(whole - part, whole, Round::Down)
}

/// A part of a count in per cent, rounded up: what is not nothing never looks like it. `0.018 %`.
pub(super) fn percent_of(part: u64, whole: u64) -> String {
    percent(u128::from(part), u128::from(whole), Round::Up)
}

#[derive(Debug, Clone, Copy)]
enum Round {
    Down,
    Up,
}

fn percent(part: u128, whole: u128, round: Round) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    if part == 0 || part >= whole {
        return if part == 0 { "0 %" } else { "100 %" }.to_owned();
    }
    let digits = |decimals: u32| {
        let hundred = 100 * 10_u128.pow(decimals);
        let scaled = part.saturating_mul(hundred);
        let value = match round {
            Round::Down => scaled / whole,
            Round::Up => scaled.div_ceil(whole),
        };
        // A part that is neither nothing nor all shows it, and by how much, whichever way it is rounded.
        let is_told = match round {
            Round::Down => value > 0 && value < hundred - 1,
            Round::Up => value > 1 && value < hundred,
        };
        is_told.then_some((value, decimals))
    };
    let nearly = match round {
        Round::Down => 1,
        Round::Up => 100 * 10_u128.pow(MOST_DECIMALS) - 1,
    };
    let (value, decimals) = (DECIMALS..=MOST_DECIMALS).find_map(digits).unwrap_or((nearly, MOST_DECIMALS));
    let scale = 10_u128.pow(decimals);
    format!("{}.{:0width$} %", value / scale, value % scale, width = decimals as usize)
}

/// A number with separators: `28,800`.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A word in the number that fits: `1 outage`, `2 outages`.
pub(super) fn counted(count: usize, word: &str) -> String {
    format!("{} {word}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// An instant in strftime text, in the time of `zone`.
pub(super) fn instant<Z: TimeZone>(at: Wall, format: &str, zone: &Z) -> String
where
    Z::Offset: Display,
{
    zone.timestamp_nanos(at.as_nanos()).format(format).to_string()
}

/// Text without control characters and line separators: what others said must not move anybody's cursor.
pub(super) struct Clean<'a>(pub(super) &'a str);

impl Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let breaks = crate::printable::steers;
        self.0.chars().try_for_each(|c| f.write_char(if breaks(c) { ' ' } else { c }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_duration_has_two_units() {
        let times = [0.04, 12.34, 59.96, 312.0, 3_599.6, 28_800.0, 86_399.0, 273_600.0];
        let shown = ["0.0 s", "12.3 s", "1 m 0 s", "5 m 12 s", "1 h 0 m", "8 h 0 m", "1 d 0 h", "3 d 4 h"];
        assert_eq!(times.map(|time| duration(seconds(time))), shown);
    }

    #[test]
    fn what_is_not_all_never_looks_like_it() {
        let whole = seconds(1_000_000.0);
        let down = [0.0, 4.0, 180.0, 0.002, 1_000_000.0];
        let shown = ["100 %", "99.9996 %", "99.982 %", "99.9999998 %", "0 %"];
        assert_eq!(down.map(|down| percent_left(seconds(down), whole)), shown);
        assert_eq!(percent_left(Duration::ZERO, Duration::ZERO), "-");
        assert_eq!(percent_of(1, 3), "33.334 %");
        assert_eq!(percent_of(999_999, 1_000_000), "99.9999 %");
        assert_eq!(percent_of(u64::MAX - 1, u64::MAX), "99.999999999999 %");
    }

    #[test]
    fn a_number_is_grouped_by_thousands() {
        assert_eq!([0, 999, 28_800, 1_000_000].map(grouped), ["0", "999", "28,800", "1,000,000"]);
    }

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(Clean("a\x1b[2Jb\u{9b}c\u{2028}d\n").to_string(), "a [2Jb c d ");
    }
}
