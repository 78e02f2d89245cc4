//! Findings as scenarios write them: `12:00:04.005 [web] outage began 12:00:00.000..12:00:02.000 unanswered: 3 lost`.

#![allow(dead_code, reason = "each test that includes this file uses its part of it")]

use std::fmt::Write;

use chrono::DateTime;
use pingtest::monitor::finding::{Finding, FirstReply, What};
use pingtest::monitor::outage::{Bound, Outage};
use pingtest::monitor::time::Wall;

/// One finding to a line.
pub(crate) fn text(findings: &[Finding]) -> String {
    let line = |finding: &Finding| format!("{} [{}] {}\n", time(finding.at), finding.target.name, what(&finding.what));
    findings.iter().map(line).collect()
}

fn what(what: &What) -> String {
    match what {
        What::Watched => "watched".into(),
        What::Unwatched => "unwatched".into(),
        What::StateChanged { from, to } => format!("{from} -> {to}"),
        What::OutageBegan(outage) => format!("outage began {}", shown(outage)),
        What::OutageAmended(outage) => format!("outage amended {}", shown(outage)),
        What::OutageEnded(outage) => format!("outage ended {}", shown(outage)),
        What::FirstReply(FirstReply { seq, after, lost, hint }) => {
            format!("first reply {seq} after {after:?}: {lost} lost, {hint:?}")
        }
        What::AddressChanged { old, new } => format!("address {} -> {}", old.ip, new.ip),
        What::GapBegan { from, why } => format!("gap began {} {}", time(*from), why.word()),
        What::GapEnded { until } => format!("gap ended {}", time(*until)),
    }
}

/// When it began and ended, each from the earliest possible moment on, and what else is not as in most outages.
fn shown(outage: &Outage) -> String {
    let mut text = bound(outage.began);
    if let Some(ended) = outage.ended {
        write!(text, " to {} ({:?})", bound(ended), outage.lasted).unwrap();
    }
    let cause = outage
        .cause
        .detail()
        .map_or(outage.cause.word().into(), |detail| format!("{} ({detail})", outage.cause.word()));
    write!(text, " {cause}: {} lost", outage.lost).unwrap();
    if !outage.unmeasured.is_zero() {
        write!(text, ", {:?} not measured", outage.unmeasured).unwrap();
    }
    if outage.fragments > 1 {
        write!(text, ", {} fragments", outage.fragments).unwrap();
    }
    if outage.new_ids > 0 {
        write!(text, ", {} new ids{}", outage.new_ids, if outage.new_id_helped { ", which helped" } else { "" })
            .unwrap();
    }
    if outage.behind > 0 {
        write!(text, ", {} behind", outage.behind).unwrap();
    }
    text
}

fn bound(bound: Bound) -> String {
    format!("{}..{}", bound.earliest.map(time).unwrap_or_default(), time(bound.at))
}

fn time(at: Wall) -> String {
    DateTime::from_timestamp_nanos(at.as_nanos()).format("%H:%M:%S%.3f").to_string()
}
