//! From one value to one valid type: each function here is one rule, and its refusal says what is allowed.
//!
//! The configuration file and the arguments of `pingtest ping` obey the same rules through the same functions. They
//! know neither file nor key, nor any other value: what two values owe each other is judged in `settings`.

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use chrono::format::{Item, StrftimeItems};

use crate::monitor::target::{
    Family, Interface, MAX_DSCP, MAX_DURATION, MAX_PAYLOAD, MIN_INTERVAL, MIN_RESOLVE_EVERY, MIN_TIMEOUT, Name,
};

mod host;
mod keeping;
mod outage;

pub(super) use host::zoned;
pub use host::{default_name, host, is_gateway, through};
pub(super) use keeping::{group, hook_timeout, keep_minutes, program, socket, webhook};
pub(super) use outage::{
    burst, degraded_for, degraded_loss, degraded_rtt, in_a_row, merge_within, new_id_after, suspect_interval,
};

/// Why a value was refused: what is allowed, as half a sentence that follows the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(String);

/// The result of a rule.
pub type Result<T> = std::result::Result<T, Refusal>;

/// A refusal for this reason.
pub(super) fn refuse<T>(reason: impl Into<String>) -> Result<T> {
    Err(Refusal(reason.into()))
}

/// A number and its unit, `ms`, `s`, `m`, `h` or `d`, as in `"250ms"` or `"1.5m"`; exact to the nanosecond.
///
/// Refuses signs, exponents, blanks and numbers without a unit.
pub fn duration(text: &str) -> Result<Duration> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let parsed = match UNITS.iter().find(|(symbol, _)| *symbol == unit) {
        Some(&(_, millis)) => times(number, millis * 1_000_000),
        // Only a number that somebody may have typed is worth repeating.
        None if unit.is_empty() && number.len() <= 20 && times(number, 1).is_some() => {
            return refuse(format!("must be a duration with its unit: write \"{number}s\""));
        }
        None => None,
    };
    match parsed {
        Some(nanos) => Ok(Duration::from_nanos(nanos)),
        None => refuse(r#"must be a duration such as "250ms", "1s" or "5m" (ms, s, m, h, d)"#),
    }
}

/// Units of a duration and their length in milliseconds, longest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// `number`, digits with an optional fraction, times `unit`; saturates, for the bounds to refuse what is too long.
fn times(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = whole.parse().unwrap_or(u64::MAX).saturating_mul(unit);
    // 18 digits are finer than a nanosecond of a day and a byte of a TiB, and their product with either fits into 128 bits.
    let kept = &fraction[..fraction.len().min(18)];
    let scale = 10_u128.pow(u32::try_from(kept.len()).unwrap_or(18));
    let part = kept.parse::<u128>().unwrap_or(0) * u128::from(unit) / scale;
    Some(whole.saturating_add(u64::try_from(part).unwrap_or(u64::MAX)))
}

/// Time between two probes: [`MIN_INTERVAL`] to [`MAX_DURATION`].
pub fn interval(text: &str) -> Result<Duration> {
    duration_between(text, MIN_INTERVAL, MAX_DURATION)
}

/// How long a probe may stay unanswered: [`MIN_TIMEOUT`] to [`MAX_DURATION`].
pub fn timeout(text: &str) -> Result<Duration> {
    duration_between(text, MIN_TIMEOUT, MAX_DURATION)
}

/// Time between two look-ups of a name: [`MIN_RESOLVE_EVERY`] to [`MAX_DURATION`].
pub fn resolve_every(text: &str) -> Result<Duration> {
    duration_between(text, MIN_RESOLVE_EVERY, MAX_DURATION)
}

/// A duration within bounds, both included.
pub fn duration_between(text: &str, min: Duration, max: Duration) -> Result<Duration> {
    let duration = duration(text)?;
    if duration < min || duration > max {
        return refuse(format!("must be at least \"{}\" and at most \"{}\"", spelled(min), spelled(max)));
    }
    Ok(duration)
}

/// A duration as a user would write it, in the longest unit that leaves no fraction; a day is `24h`, and nothing `0s`.
pub(super) fn spelled(duration: Duration) -> String {
    let millis = duration.as_millis();
    let fits = |symbol: &str, unit: u64| {
        let whole = millis.is_multiple_of(u128::from(unit));
        whole && if symbol == "d" { millis > u128::from(unit) } else { millis > 0 || symbol == "s" }
    };
    let (symbol, unit) = UNITS.iter().find(|&&(symbol, unit)| fits(symbol, unit)).unwrap_or(&("ms", 1));
    format!("{}{symbol}", millis / u128::from(*unit))
}

/// What `rule` makes of a value that may also be `off`: `None` then.
fn unless_off<T>(text: &str, rule: impl FnOnce(&str) -> Result<T>) -> Result<Option<T>> {
    if text == "off" {
        return Ok(None);
    }
    let or_off = |Refusal(reason)| Refusal(format!("{reason}, or \"off\""));
    rule(text).map(Some).map_err(or_off)
}

/// The path of a file, or `None` for `off`.
pub(super) fn file_or_off(text: &str) -> Result<Option<PathBuf>> {
    unless_off(text, file)
}

/// Time between two orders to the disk to keep what was written: `None` for `off`, else [`MIN_SYNC`] to [`MAX_SYNC`].
pub(super) fn sync(text: &str) -> Result<Option<Duration>> {
    unless_off(text, |text| duration_between(text, MIN_SYNC, MAX_SYNC))
}

/// The shortest time between two orders to the disk: a slow one takes most of it for ten files.
pub(super) const MIN_SYNC: Duration = Duration::from_millis(100);
/// The longest: the system writes everything out within half a minute anyway (`vm.dirty_expire_centisecs`).
pub(super) const MAX_SYNC: Duration = Duration::from_secs(3600);

/// A number and its unit, as in `"100MiB"` or `"1.5GB"`: bytes, rounded down.
///
/// Refuses signs, exponents, blanks, numbers without a unit and units in another case than theirs.
pub(super) fn bytes(text: &str) -> Result<u64> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    // Only a number that somebody may have typed is worth repeating.
    let is_number = number.len() <= 20 && times(number, 1).is_some();
    let meant = BYTE_UNITS.iter().map(|(symbol, _)| symbol).filter(|symbol| means(unit, symbol));
    let meant: Vec<_> = meant.map(|symbol| format!("\"{number}{symbol}\"")).collect();
    match BYTE_UNITS.iter().find(|(symbol, _)| *symbol == unit).map(|&(_, unit)| times(number, unit)) {
        Some(Some(bytes)) => Ok(bytes),
        None if is_number && unit.is_empty() => {
            refuse(format!("must be a size with its unit: write \"{number}B\" or \"{number}MiB\""))
        }
        None if is_number && !meant.is_empty() => {
            refuse(format!("must be a size with its unit in full: write {}", meant.join(" or ")))
        }
        Some(None) | None => {
            refuse(r#"must be a size such as "100MiB" or "1.5GB" (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)"#)
        }
    }
}

/// Whether somebody who wrote `text` may have meant `symbol`: it is the beginning of it, in whatever case.
fn means(text: &str, symbol: &str) -> bool {
    symbol.get(..text.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(text))
}

/// Units of a size in bytes, the binary ones first, largest first.
const BYTE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];

/// Bytes as a user would write them, in the first unit that leaves no fraction.
pub(super) fn bytes_spelled(bytes: u64) -> String {
    let (symbol, unit) = BYTE_UNITS.iter().find(|(_, unit)| bytes.is_multiple_of(*unit)).unwrap_or(&("B", 1));
    format!("{}{symbol}", bytes / unit)
}

/// Bytes at which a live file is rotated: `None` for 0, else [`MIN_MAX_SIZE`] to [`MAX_BYTES`].
pub(super) fn max_size(text: &str) -> Result<Option<NonZeroU64>> {
    limit(text, MIN_MAX_SIZE)
}

/// Bytes of all logs together: `None` for 0, else [`MIN_MAX_TOTAL`] to [`MAX_BYTES`].
pub(super) fn max_total(text: &str) -> Result<Option<NonZeroU64>> {
    limit(text, MIN_MAX_TOTAL)
}

/// The smallest size of a file: a block of most file systems, and room for every line.
pub(super) const MIN_MAX_SIZE: u64 = 4 << 10;
/// The smallest budget: a few files of the smallest size.
pub(super) const MIN_MAX_TOTAL: u64 = 64 << 10;
/// The largest size and budget, a PiB: whoever has more to spare needs no limit.
pub(super) const MAX_BYTES: u64 = 1 << 50;

fn limit(text: &str, min: u64) -> Result<Option<NonZeroU64>> {
    if text == "0" {
        return Ok(None);
    }
    let or_zero = |reason| Refusal(format!("{reason}, or 0 for no limit"));
    match bytes(text) {
        Ok(bytes) if (min..=MAX_BYTES).contains(&bytes) => Ok(NonZeroU64::new(bytes)),
        Ok(_) => Err(or_zero(format!(
            "must be at least \"{}\" and at most \"{}\"",
            bytes_spelled(min),
            bytes_spelled(MAX_BYTES)
        ))),
        Err(Refusal(reason)) => Err(or_zero(reason)),
    }
}

/// Rotated files to keep: `None` for 0, which keeps all, else up to [`MAX_KEEP`].
pub(super) fn keep(number: i128) -> Result<Option<NonZeroU32>> {
    whole_number(number, 0, MAX_KEEP).map(NonZeroU32::new)
}

/// More files than a directory is good for.
pub(super) const MAX_KEEP: u32 = 1_000_000;

/// Payload of an echo request in bytes: 0 to [`MAX_PAYLOAD`].
pub fn size(bytes: i128) -> Result<u16> {
    whole_number(bytes, 0, MAX_PAYLOAD)
}

/// Time to live or hop limit: 1 to 255 (0 would not leave the machine).
pub fn ttl(number: i128) -> Result<u8> {
    whole_number(number, 1, u8::MAX)
}

/// Differentiated services code point: 0 to [`MAX_DSCP`] (RFC 2474).
pub fn dscp(number: i128) -> Result<u8> {
    whole_number(number, 0, MAX_DSCP)
}

/// Firewall mark: any 32 bits (SO_MARK in socket(7)).
pub fn mark(number: i128) -> Result<u32> {
    whole_number(number, 0, u32::MAX)
}

fn whole_number<T: TryFrom<i128> + Ord + std::fmt::Display>(number: i128, min: T, max: T) -> Result<T> {
    match T::try_from(number) {
        Ok(number) if (&min..=&max).contains(&&number) => Ok(number),
        Ok(_) | Err(_) => refuse(format!("must be at least {min} and at most {max}")),
    }
}

/// Which addresses of a host become targets: the configured `family`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// One target, of this family.
    One(Family),
    /// Two targets, one IPv4 and one IPv6, logged apart.
    Both,
}

/// `any`, `ipv4`, `ipv6` or `both`.
pub fn family(text: &str) -> Result<Families> {
    match text {
        "any" => Ok(Families::One(Family::Any)),
        "ipv4" => Ok(Families::One(Family::Ipv4)),
        "ipv6" => Ok(Families::One(Family::Ipv6)),
        "both" => Ok(Families::Both),
        _ => refuse(r#"must be "any", "ipv4", "ipv6" or "both""#),
    }
}

/// A source address: one of this machine's, which only the system can tell.
pub fn source(text: &str) -> Result<IpAddr> {
    match text.parse::<IpAddr>() {
        Ok(ip) if !ip.is_unspecified() && !ip.is_multicast() => Ok(ip),
        Ok(_) | Err(_) => refuse(r#"must be an address of this machine, such as "192.0.2.1" or "2001:db8::1""#),
    }
}

/// The name of a network interface; whether it exists only the system can tell.
pub fn interface(text: &str) -> Result<Interface> {
    Interface::new(text)
        .ok_or_else(|| Refusal("must be the name of an interface, 1 to 15 bytes without \"/\" or blanks".into()))
}

/// A target's name: see [`Name`].
pub fn name(text: &str) -> Result<Name> {
    Name::new(text).ok_or_else(|| {
        Refusal(format!(r#"must be 1 to {} letters, digits, ".", "_", "-" or ":", and not "." or "..""#, Name::MAX_LEN))
    })
}

/// The directory for log files.
pub(super) fn directory(text: &str) -> Result<PathBuf> {
    if text.is_empty() || text.contains('\0') {
        return refuse("must be the path of a directory");
    }
    Ok(text.into())
}

/// The path of a file.
pub(super) fn file(text: &str) -> Result<PathBuf> {
    let path = PathBuf::from(text);
    if path.file_name().is_none() || text.ends_with('/') || text.contains('\0') {
        return refuse("must be the path of a file");
    }
    Ok(path)
}

/// A format for time stamps: `rfc3339`, `unix`, or what strftime(3) and chrono understand.
///
/// Refuses what would break a line, and a text without any `%`: every stamp would be the same.
pub fn time_format(text: &str) -> Result<String> {
    if matches!(text, "rfc3339" | "unix") {
        return Ok(text.into());
    }
    if StrftimeItems::new(text).any(|item| item == Item::Error) {
        return refuse(r#"must be "rfc3339", "unix" or a valid strftime format such as "%F_%H:%M:%S%.3f""#);
    }
    if !text.contains('%') {
        return refuse(
            r#"must be "rfc3339", "unix" or a strftime format with at least one "%", such as "%F_%H:%M:%S%.3f""#,
        );
    }
    if StrftimeItems::new(text).any(breaks_the_line) {
        return refuse("must give one line, without tabs or other control characters");
    }
    Ok(text.into())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "chrono's enum may grow; only these items carry text of ours")]
fn breaks_the_line(item: Item<'_>) -> bool {
    match item {
        Item::Literal(text) | Item::Space(text) => text.contains(char::is_control),
        Item::OwnedLiteral(text) | Item::OwnedSpace(text) => text.contains(char::is_control),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.expect_err("must be refused").to_string()
    }

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        let millis = |text| duration(text).map(|d| d.as_millis());
        assert_eq!(millis("250ms"), Ok(250));
        assert_eq!(millis("0.2s"), Ok(200));
        assert_eq!(millis("1.5m"), Ok(90_000));
        assert_eq!(millis("24h"), millis("1d"));
        assert_eq!(duration("0.0000001s"), Ok(Duration::from_nanos(100)));
    }

    #[test]
    fn what_only_resembles_a_duration_is_refused() {
        for text in
            ["", "s", "1 s", " 1s", "-1s", "+1s", "1e3s", ".5s", "1.s", "1.2.3s", "1S", "1us", "1s1ms", "١s", "1ß"]
        {
            assert!(duration(text).is_err(), "{text:?}");
        }
        assert_eq!(refusal(duration("5")), r#"must be a duration with its unit: write "5s""#);
    }

    #[test]
    fn a_duration_too_long_for_any_clock_is_out_of_bounds_not_wrapped() {
        let huge = "9".repeat(500);
        for text in [format!("{huge}d"), format!("{huge}.{huge}d"), format!("{}ms", u64::MAX)] {
            assert_eq!(refusal(interval(&text)), r#"must be at least "10ms" and at most "24h""#);
        }
        assert_eq!(interval(&format!("1.{huge}s")), Ok(Duration::from_nanos(1_999_999_999)));
    }

    #[test]
    fn bounds_are_included() {
        assert_eq!(interval("10ms"), Ok(MIN_INTERVAL));
        assert_eq!(interval("1d"), Ok(MAX_DURATION));
        assert!(interval("9.999999ms").is_err());
        assert!(interval("86400.000000001s").is_err());
        assert_eq!((size(0), size(65_500)), (Ok(0), Ok(65_500)));
        assert!(size(65_501).is_err() && size(-1).is_err() && size(i128::MAX).is_err());
        assert!(ttl(0).is_err() && ttl(1).is_ok() && ttl(255).is_ok() && ttl(256).is_err());
        assert!(dscp(63).is_ok() && dscp(64).is_err());
        assert!(mark(4_294_967_295).is_ok() && mark(4_294_967_296).is_err());
    }

    #[test]
    fn a_size_is_a_number_and_a_unit() {
        assert_eq!(bytes("100MiB"), Ok(104_857_600));
        assert_eq!(bytes("1.5kB"), Ok(1500));
        assert_eq!((bytes("1TB"), bytes("1TiB")), (Ok(1_000_000_000_000), Ok(1 << 40)));
        assert_eq!((bytes("7B"), bytes("0.9B"), bytes("0MB")), (Ok(7), Ok(0), Ok(0)));
    }

    #[test]
    fn what_only_resembles_a_size_is_refused_with_what_may_have_been_meant() {
        for text in
            ["", "MiB", "1 MiB", " 1MiB", "-1MiB", "+1MiB", "1e3MiB", ".5GB", "1.GB", "1PiB", "1MiBs", "1M1B", "1ß"]
        {
            assert!(refusal(bytes(text)).starts_with("must be a size such as"), "{text:?}");
        }
        for (text, write) in [
            ("100", r#""100B" or "100MiB""#),
            ("100M", r#""100MiB" or "100MB""#),
            ("1.5mi", r#""1.5MiB""#),
            ("100mb", r#""100MB""#),
            ("8K", r#""8KiB" or "8kB""#),
            ("8KB", r#""8kB""#),
            ("8b", r#""8B""#),
        ] {
            assert!(refusal(bytes(text)).ends_with(&format!("write {write}")), "{text}: {}", refusal(bytes(text)));
        }
    }

    #[test]
    fn a_limit_is_a_size_within_bounds_or_zero() {
        assert_eq!((max_size("0"), max_total("0")), (Ok(None), Ok(None)));
        assert_eq!(max_size("4KiB"), Ok(NonZeroU64::new(4096)));
        assert_eq!(max_total("64KiB"), Ok(NonZeroU64::new(65_536)));
        assert_eq!(max_size("1024TiB"), Ok(NonZeroU64::new(MAX_BYTES)));
        let huge = "9".repeat(500);
        for text in ["4095B".into(), "1024.1TiB".into(), "0MiB".into(), "0.1B".into(), format!("{huge}.{huge}TiB")] {
            let bounds = r#"must be at least "4KiB" and at most "1024TiB", or 0 for no limit"#;
            assert_eq!(refusal(max_size(&text)), bounds, "{text}");
        }
        assert!(max_total("65535B").is_err());
        assert_eq!((keep(0), keep(1)), (Ok(None), Ok(NonZeroU32::new(1))));
        assert!(keep(1_000_000).is_ok() && keep(1_000_001).is_err() && keep(-1).is_err());
    }

    #[test]
    fn synchronising_is_off_or_now_and_then() {
        assert_eq!((sync("off"), sync("1s")), (Ok(None), Ok(Some(Duration::from_secs(1)))));
        assert!(sync("100ms").is_ok() && sync("1h").is_ok());
        for text in ["", "0", "OFF", "on", "99ms", "61m"] {
            assert!(refusal(sync(text)).ends_with(r#", or "off""#), "{text:?}");
        }
    }

    #[test]
    fn a_file_has_a_name() {
        assert!(file("a").is_ok() && file("../a/b.txt").is_ok());
        for text in ["", "/", "a/", "..", "a/..", "a\0b"] {
            assert!(file(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_bound_is_spelled_as_one_would_write_it() {
        let spelled = |text| super::spelled(duration(text).expect("a duration"));
        for text in ["0s", "1ms", "1500ms", "1s", "90s", "1m", "1h", "24h", "25h", "2d", "3650d"] {
            assert_eq!(spelled(text), text);
        }
        assert_eq!(spelled("1d"), "24h");
    }

    #[test]
    fn a_time_format_gives_one_line_with_the_time_in_it() {
        for text in ["rfc3339", "unix", "%F_%H:%M:%S%.3f", "%F %T", "[%s]", "%+"] {
            assert_eq!(time_format(text).as_deref(), Ok(text));
        }
        for text in ["", "rfc3399", "%", "%Q", "%F\n", "%F%n", "%F%t%T", "%F\u{1b}", "noon"] {
            assert!(time_format(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_source_is_an_address_somebody_can_have() {
        assert!(source("10.0.0.1").is_ok() && source("2001:db8::1").is_ok());
        for text in ["", "eth0", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "10.0.0.1/24"] {
            assert!(source(text).is_err(), "{text:?}");
        }
    }
}
