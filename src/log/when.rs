//! Times as people write them, in local time.
//!
//! Reads no clock: what `now` means comes in from outside.

use std::time::Duration;

use chrono::{DateTime, Days, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};

use crate::monitor::time::Wall;

/// What is said of a text that is no time.
const ALLOWED: &str = "\"2026-11-20 03:00\" with seconds and decimals as you like, \"2026-11-20\", \"03:00\" (today), \"@1763600000\", \
    RFC 3339, \"now\", \"today\", \"yesterday\", \"-2h\", \"2h ago\"; for --until also \"+2h\" after --since";

/// A bound of a search that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTime {
    /// It is no time at all.
    #[error("not a time: {0:?} (allowed: {ALLOWED})")]
    Unreadable(String),
    /// It counts from `--since`, which is not given.
    #[error("--until {0:?} counts from --since, which is missing")]
    NoSince(String),
    /// The end lies before the beginning.
    #[error("--until lies before --since")]
    Reversed,
}

/// Which bound a time is for: where local time passes an hour twice, both passes are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Since,
    Until,
}

/// What `since` and `until` mean at `now` in the local time of `zone`.
///
/// # Errors
/// See [`BadTime`].
pub(super) fn bounds<Z: TimeZone>(
    since: Option<&str>,
    until: Option<&str>,
    now: Wall,
    zone: &Z,
) -> Result<(Option<Wall>, Option<Wall>), BadTime> {
    let read = |text: &str, bound| instant(text, bound, now, zone).ok_or_else(|| BadTime::Unreadable(text.to_owned()));
    let since = since.map(|text| read(text.trim(), Bound::Since)).transpose()?;
    let until = match until.map(str::trim) {
        None => None,
        Some(text) => Some(match text.strip_prefix('+') {
            Some(after) => {
                let after = duration(after).ok_or_else(|| BadTime::Unreadable(text.to_owned()))?;
                since.ok_or_else(|| BadTime::NoSince(text.to_owned()))? + after
            }
            None => read(text, Bound::Until)?,
        }),
    };
    match (since, until) {
        (Some(since), Some(until)) if until < since => Err(BadTime::Reversed),
        bounds => Ok(bounds),
    }
}

fn instant<Z: TimeZone>(text: &str, bound: Bound, now: Wall, zone: &Z) -> Option<Wall> {
    let today = zone.timestamp_nanos(now.as_nanos()).date_naive();
    let midnight = |date: NaiveDate| local(date.and_time(NaiveTime::MIN), bound, zone);
    match text {
        "now" => return Some(now),
        "today" => return midnight(today),
        "yesterday" => return midnight(today.checked_sub_days(Days::new(1))?),
        _ => {}
    }
    if let Some(seconds) = text.strip_prefix('@') {
        return unix(seconds);
    }
    if let Some(ago) = text.strip_prefix('-').or_else(|| text.strip_suffix("ago").map(str::trim_end)) {
        return Some(now - duration(ago)?);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return wall(&time);
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return midnight(date);
    }
    let naive = match text.split_once([' ', '_', 'T']) {
        Some((date, time)) => NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?.and_time(time_of_day(time)?),
        None => today.and_time(time_of_day(text)?),
    };
    local(naive, bound, zone)
}

fn time_of_day(text: &str) -> Option<NaiveTime> {
    let text = text.trim();
    ["%H:%M:%S%.f", "%H:%M"].iter().find_map(|format| NaiveTime::parse_from_str(text, format).ok())
}

/// The instant at which clocks show `naive`: where they never do, that at which they go on.
fn local<Z: TimeZone>(naive: NaiveDateTime, bound: Bound, zone: &Z) -> Option<Wall> {
    /// No change of the clocks leaves out more than a day (Samoa, 2011).
    const LONGEST_GAP_MINUTES: i64 = 25 * 60;
    let found = shown(naive, zone);
    let chosen = match bound {
        Bound::Since => found.map(|(first, _)| first),
        Bound::Until => found.map(|(_, last)| last),
    };
    let after_gap = || {
        let minute = naive - TimeDelta::nanoseconds(naive.and_utc().timestamp_nanos_opt()?.rem_euclid(60_000_000_000));
        let later = |minutes| shown(minute + TimeDelta::minutes(minutes), zone);
        (1..=LONGEST_GAP_MINUTES).find_map(later).map(|(first, _)| first)
    };
    chosen.or_else(after_gap)
}

/// The first and the last instant at which clocks show `naive`, if there are any.
pub(super) fn shown<Z: TimeZone>(naive: NaiveDateTime, zone: &Z) -> Option<(Wall, Wall)> {
    let (one, other) = match zone.from_local_datetime(&naive) {
        MappedLocalTime::Single(one) => (one.clone(), one),
        // In either order, and the second after the doubled hour is said to be doubled too.
        MappedLocalTime::Ambiguous(one, other) => (one, other),
        MappedLocalTime::None => return None,
    };
    let instants = [one, other].into_iter().filter_map(|time| wall(&time));
    let mut held = instants.filter(|at| zone.timestamp_nanos(at.as_nanos()).naive_local() == naive);
    let (one, other) = (held.next()?, held.next_back());
    Some((one.min(other.unwrap_or(one)), one.max(other.unwrap_or(one))))
}

fn wall<Z: TimeZone>(time: &DateTime<Z>) -> Option<Wall> {
    time.timestamp_nanos_opt().map(Wall::from_nanos)
}

/// Seconds since the epoch, with up to nine decimals.
pub(super) fn unix(text: &str) -> Option<Wall> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    whole
        .parse::<i64>()
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(nanos)
        .map(|nanos| Wall::from_nanos(sign * nanos))
}

/// `2h`, `1h30m`, `1.5d`, `10 min`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let tail = tail.trim_start();
        let (unit, tail) = tail.split_at(tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len()));
        let unit = match unit {
            "ms" => 0.001,
            "s" | "sec" | "second" | "seconds" => 1.0,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86_400.0,
            "w" | "week" | "weeks" => 604_800.0,
            _ => return None,
        };
        sum = sum.checked_add(Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()?)?;
        rest = tail.trim_start();
    }
    (!text.trim().is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use chrono::{FixedOffset, Offset, Utc};

    use super::*;

    /// Clocks that go back from 03:00 to 02:00 on 2026-10-25 and on from 02:00 to 03:00 on 2026-03-29, as in Berlin.
    #[derive(Debug, Clone, Copy)]
    struct Berlin;

    /// When they do, in seconds since the epoch.
    const FORTH: i64 = 1_774_746_000;
    const BACK: i64 = 1_792_890_000;

    fn offset(hours: i32) -> FixedOffset {
        FixedOffset::east_opt(hours * 3600).expect("an offset")
    }

    impl TimeZone for Berlin {
        type Offset = FixedOffset;

        fn from_offset(_: &FixedOffset) -> Self {
            Self
        }
        fn offset_from_local_date(&self, _: &NaiveDate) -> MappedLocalTime<FixedOffset> {
            MappedLocalTime::None
        }
        fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<FixedOffset> {
            let fits = |hours: i32| {
                let utc = *local - TimeDelta::hours(hours.into());
                (self.offset_from_utc_datetime(&utc) == offset(hours)).then(|| offset(hours))
            };
            match (fits(2), fits(1)) {
                (Some(first), Some(second)) => MappedLocalTime::Ambiguous(first, second),
                (Some(one), None) | (None, Some(one)) => MappedLocalTime::Single(one),
                (None, None) => MappedLocalTime::None,
            }
        }
        fn offset_from_utc_date(&self, _: &NaiveDate) -> FixedOffset {
            offset(1)
        }
        fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> FixedOffset {
            let seconds = utc.and_utc().timestamp();
            offset(if (FORTH..BACK).contains(&seconds) { 2 } else { 1 })
        }
    }

    /// 2026-11-22 13:09:57.5 UTC.
    const NOW: Wall = Wall::from_nanos(1_795_352_997_500_000_000);

    fn read<Z: TimeZone>(since: &str, zone: &Z) -> Option<String> {
        let (since, _) = bounds(Some(since), None, NOW, zone).ok()?;
        let at = Utc.timestamp_nanos(since?.as_nanos());
        Some(at.format("%F %T%.f").to_string())
    }

    #[track_caller]
    fn means(text: &str, utc: &str) {
        assert_eq!(read(text, &Utc.fix()).as_deref(), Some(utc), "{text:?}");
    }

    #[test]
    fn a_time_is_understood_in_every_way_it_is_written() {
        means("2026-11-20 03:00", "2026-11-20 03:00:00");
        means("2026-11-20 03:00:01", "2026-11-20 03:00:01");
        means("2026-11-20 03:00:01.25", "2026-11-20 03:00:01.250");
        means("2026-11-20_03:00:00.123", "2026-11-20 03:00:00.123");
        means("2026-11-20T03:00", "2026-11-20 03:00:00");
        means("2026-11-20", "2026-11-20 00:00:00");
        means("03:00", "2026-11-22 03:00:00");
        means("2026-11-20T03:00:00+08:00", "2026-11-19 19:00:00");
        means("2026-11-20T03:00:00.5Z", "2026-11-20 03:00:00.500");
        means("@1763600000", "2025-11-20 00:53:20");
        means("@1763600000.000000001", "2025-11-20 00:53:20.000000001");
        means("now", "2026-11-22 13:09:57.500");
        means("today", "2026-11-22 00:00:00");
        means(" yesterday ", "2026-11-21 00:00:00");
        means("-2h", "2026-11-22 11:09:57.500");
        means("2h ago", "2026-11-22 11:09:57.500");
        means("1h 30 min ago", "2026-11-22 11:39:57.500");
        means("-1.5d", "2026-11-21 01:09:57.500");
    }

    #[test]
    fn what_is_no_time_is_told_with_what_is_one() {
        for text in [
            "",
            "soon",
            "-",
            "ago",
            "-2",
            "-2y",
            "25:00",
            "2026-13-01",
            "@",
            "@x",
            "@1.",
            "+2h",
            "3",
            "2026-11-20 x",
            "@99999999999",
        ] {
            let error = bounds(Some(text), None, NOW, &Utc.fix()).expect_err(text);
            assert_eq!(error, BadTime::Unreadable(text.to_owned()));
            assert!(error.to_string().contains("(allowed: \"2026-11-20 03:00\""), "{error}");
        }
    }

    #[test]
    fn the_end_may_count_from_the_beginning() {
        let (since, until) = bounds(Some("2026-11-20 03:00"), Some("+2h"), NOW, &Utc.fix()).expect("a range");
        assert_eq!(until, since.map(|since| since + Duration::from_secs(7200)));
        assert_eq!(bounds(None, Some("+2h"), NOW, &Utc.fix()), Err(BadTime::NoSince("+2h".into())));
        assert_eq!(bounds(Some("now"), Some("-1s"), NOW, &Utc.fix()), Err(BadTime::Reversed));
    }

    #[test]
    fn an_hour_that_comes_twice_is_meant_as_a_whole() {
        let text = Some("2026-10-25 02:30");
        let (since, until) = bounds(text, text, NOW, &Berlin).expect("a range");
        assert_eq!(since, Some(Wall::from_nanos((BACK - 1800) * 1_000_000_000)));
        assert_eq!(until, Some(Wall::from_nanos((BACK + 1800) * 1_000_000_000)));
    }

    #[test]
    fn an_hour_that_never_comes_means_its_end() {
        for text in ["2026-03-29 02:00", "2026-03-29 02:30:15.5", "2026-03-29 03:00"] {
            assert_eq!(read(text, &Berlin).as_deref(), Some("2026-03-29 01:00:00"), "{text}");
        }
    }
}
