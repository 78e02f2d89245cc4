//! Times and causes in words short enough for a table.

use std::fmt::Write;

use chrono::TimeDelta;

use crate::control::protocol::{Outage, Target};
use crate::monitor::outage::State;
use crate::printable::printable;

/// `12s`, `3m12s`, `2h05m`, `3d04h`: two units tell enough. Less than nothing, after a clock was set back, is nothing.
pub(super) fn span(time: TimeDelta) -> String {
    let seconds = time.num_seconds().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        (_, _, _) => format!("{days}d{:02}h", hours % 24),
    }
}

/// `3m12s ago`
pub(super) fn ago(time: TimeDelta) -> String {
    span(time) + " ago"
}

/// Why a target is not up, as far as that is known.
pub(super) fn why(target: &Target, state: Option<State>) -> String {
    let behind = target.behind.as_ref().map(|parent| format!("behind {}", printable(parent)));
    let outage = target.outage.as_ref().map(of_outage);
    let name = target.not_resolved.as_ref().filter(|_| !says_not_resolved(target));
    let name = name.map(|error| format!("not resolved: {}", printable(error)));
    let silent = (state == Some(State::Unknown) && target.lost > 0).then(|| format!("{} lost", target.lost));
    let paused =
        (state == Some(State::Paused)).then(|| format!("by order (pingtest resume {})", printable(&target.name)));
    let degraded = (state == Some(State::Degraded)).then(|| "loss or round-trip time over its threshold".to_owned());
    let unheard =
        (state == Some(State::Suspect) && target.replies == 0).then(|| "not heard of since the start".to_owned());
    let words = [behind, outage, name, silent, paused, degraded, unheard, gap(target)];
    words.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Why nothing is known at present, where no other words say so.
fn gap(target: &Target) -> Option<String> {
    match &**target.gap.as_ref()? {
        "not_sent" => Some("nothing can be sent".to_owned()),
        "local_drops" => Some("replies are dropped here".to_owned()),
        "stalled" => Some("pingtest was stalled".to_owned()),
        "suspended" | "not_resolved" | "paused" | "behind_parent" => None,
        // Of a later release: its word, as it is.
        other => Some(printable(other)),
    }
}

fn says_not_resolved(target: &Target) -> bool {
    target.outage.as_ref().is_some_and(|outage| &*outage.cause == "not_resolved")
}

/// `From 10.0.0.1: Destination Host Unreachable, 191 lost, 41s not measured, 12 targets behind it`
fn of_outage(outage: &Outage) -> String {
    let mut text = format!("{}, {} lost", cause(outage), outage.lost);
    // A String takes everything.
    if outage.unmeasured_s >= 1.0 {
        let _ = write!(text, ", {} not measured", span(TimeDelta::seconds(outage.unmeasured_s as i64)));
    }
    if outage.behind > 0 {
        let _ = write!(text, ", {} behind it", outage.behind);
    }
    text
}

fn cause(outage: &Outage) -> String {
    let detail = outage.detail.as_ref().map(|detail| printable(detail)).unwrap_or_default();
    let from = outage.from.as_ref().map(|from| printable(from)).unwrap_or_default();
    match &*outage.cause {
        "unanswered" => "no answer".to_owned(),
        "damaged" => "answers damaged".to_owned(),
        "different_address" => format!("answered by {from}"),
        "not_resolved" => format!("not resolved: {detail}"),
        "unreachable" => format!("From {from}: {detail}"),
        // Of a later release: its words, as they are.
        other => {
            [printable(other), detail, from].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_its_two_largest_units() {
        let told = [0, 59, 60, 3599, 3600, 86_399, 86_400, 90_000, -5].map(|time| span(TimeDelta::seconds(time)));
        assert_eq!(told, ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d00h", "1d01h", "0s"]);
    }
}
