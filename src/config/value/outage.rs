//! Rules of the values by which losses become an outage.

use std::time::Duration;

use super::{Result, duration, duration_between, refuse, unless_off, whole_number};
use crate::monitor::outage::MAX_IN_A_ROW;
use crate::monitor::target::{MAX_DURATION, MIN_INTERVAL};

/// The shortest time over which thresholds are judged: below it there is hardly a probe to judge by.
const MIN_DEGRADED_FOR: Duration = Duration::from_secs(1);

/// Losses or replies in a row: 1 to [`MAX_IN_A_ROW`].
pub(crate) fn in_a_row(number: i128) -> Result<u32> {
    whole_number(number, 1, MAX_IN_A_ROW)
}

/// Probes of a burst: 0, which is none, to [`MAX_IN_A_ROW`].
pub(crate) fn burst(number: i128) -> Result<u32> {
    whole_number(number, 0, MAX_IN_A_ROW)
}

/// Losses in a row after which the identifier changes: `None` for `off`, else as [`in_a_row`].
pub(crate) fn new_id_after(text: &str) -> Result<Option<u32>> {
    let rule = |text: &str| match text.parse() {
        Ok(number) => in_a_row(number),
        Err(_) => refuse(format!("must be a whole number from 1 to {MAX_IN_A_ROW}")),
    };
    unless_off(text, rule)
}

/// How close outages are one: up to [`MAX_DURATION`].
pub(crate) fn merge_within(text: &str) -> Result<Duration> {
    duration_between(text, Duration::ZERO, MAX_DURATION)
}

/// Time between probes while suspect: `None` for `off`, else what an interval may be.
pub(crate) fn suspect_interval(text: &str) -> Result<Option<Duration>> {
    unless_off(text, |text| duration_between(text, MIN_INTERVAL, MAX_DURATION))
}

/// Losses per thousand probes: `None` for `off`, else `0.1%` to `100%`.
pub(crate) fn degraded_loss(text: &str) -> Result<Option<u16>> {
    let rule = |text: &str| match text.strip_suffix('%').and_then(per_mille) {
        Some(share @ 1..=1000) => Ok(share),
        None if per_mille(text).is_some() => refuse(format!("must be a share with its sign: write \"{text}%\"")),
        Some(_) | None => refuse(r#"must be a share from "0.1%" to "100%", with one digit behind the point at most"#),
    };
    unless_off(text, rule)
}

/// Tenths of a number that has one digit behind its point, or none.
fn per_mille(number: &str) -> Option<u16> {
    let (whole, tenths) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole, 3) || !digits(tenths, 1) {
        return None;
    }
    Some(whole.parse::<u16>().ok()? * 10 + tenths.parse::<u16>().ok()?)
}

/// A mean round-trip time that is too long: `None` for `off`, else more than nothing and up to [`MAX_DURATION`].
pub(crate) fn degraded_rtt(text: &str) -> Result<Option<Duration>> {
    let rule = |text: &str| match duration(text)? {
        rtt if rtt.is_zero() || rtt > MAX_DURATION => refuse(r#"must be more than "0ms" and at most "24h""#),
        rtt => Ok(rtt),
    };
    unless_off(text, rule)
}

/// Over which time thresholds are judged: a second to [`MAX_DURATION`].
pub(crate) fn degraded_for(text: &str) -> Result<Duration> {
    duration_between(text, MIN_DEGRADED_FOR, MAX_DURATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_exact_to_a_tenth_of_a_percent() {
        for (text, share) in [("0.1%", 1), ("1%", 10), ("020%", 200), ("20.5%", 205), ("100%", 1000), ("100.0%", 1000)]
        {
            assert_eq!(degraded_loss(text), Ok(Some(share)), "{text}");
        }
        assert_eq!(degraded_loss("off"), Ok(None));
        for text in ["", "%", "0%", "0.0%", "100.1%", "1000%", "20", "20 %", "-1%", "1.25%", ".5%", "1.%", "99999%"] {
            assert!(degraded_loss(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_identifier_changes_after_a_number_of_losses_or_never() {
        assert_eq!(
            (new_id_after("off"), new_id_after("1"), new_id_after("1000")),
            (Ok(None), Ok(Some(1)), Ok(Some(1000)))
        );
        for text in ["0", "1001", "-1", "", "never", "99999999999999999999999999999999999999999999"] {
            assert!(new_id_after(text).is_err_and(|refusal| refusal.to_string().ends_with(r#"or "off""#)), "{text:?}");
        }
    }

    #[test]
    fn a_round_trip_may_be_shorter_than_a_millisecond_but_not_nothing() {
        assert_eq!(degraded_rtt("0.05ms"), Ok(Some(Duration::from_micros(50))));
        for text in ["0ms", "0.0000001ms", "25h"] {
            assert!(degraded_rtt(text).is_err(), "{text:?}");
        }
    }
}
