//! Figures of a target's history: availability of the measured time, how much of the time that is, how often and how long it was down.
//!
//! Everything is a set of stretches of time. Down is what lies in an outage and was measured; what was not measured is neither up nor
//! down, and is told by its reason. It knows nothing of how figures are shown.

use std::time::Duration;

use super::rhythm::{self, Event, Rhythm};
use crate::ledger::history::{History, PastOutage, Span, TargetHistory};
use crate::monitor::finding::Gap;
use crate::monitor::time::Wall;

/// Figures of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// How long the time is that was asked for.
    pub time: Duration,
    /// How much of it was measured.
    pub measured: Duration,
    /// How much of it was not, by reason, longest first.
    pub not_measured: Vec<(Why, Duration)>,
    /// How much of what was measured it was down.
    pub down: Duration,
    /// Outages that touch the time.
    pub outages: usize,
    /// The longest of them, as it is listed.
    pub longest: Option<Duration>,
    /// Mean time to repair: how long those that are over lasted.
    pub mttr: Option<Duration>,
    /// Mean time between failures: measured time up for each outage.
    pub mtbf: Option<Duration>,
    /// Its rhythm, where it has one.
    pub rhythm: Option<Rhythm>,
}

/// Why a time was not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Pingtest did not run, or not with this target.
    NotWatched,
    /// It did, but could not.
    Gap(Gap),
}

impl Why {
    /// The word that JSON has for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotWatched => "not_watched",
            Self::Gap(gap) => gap.word(),
        }
    }
}

impl Figures {
    /// The figures of a target in a history.
    pub fn of(target: &TargetHistory, history: &History) -> Self {
        let measured = measured(target);
        let outages: Vec<Span> = target.outages.iter().map(|outage| extent(outage, target, history)).collect();
        let down = total(&common(&united(outages), &measured));
        let (all, time) = (total(&measured), history.until - history.from);
        let ended: Vec<_> = target.outages.iter().filter(|outage| outage.ended.is_some()).collect();
        Self {
            time,
            measured: all,
            not_measured: not_measured(target, history),
            down,
            outages: target.outages.len(),
            longest: target.outages.iter().map(|outage| length(outage, target, history)).max(),
            mttr: mean(ended.iter().map(|outage| outage.lasted).sum(), ended.len()),
            mtbf: mean(all - down, target.outages.len()),
            rhythm: rhythm::find(&events(target), &measured, history.until),
        }
    }

    /// The share of the measured time in which it was up, 0 to 1; `None` where nothing was measured.
    pub fn availability(&self) -> Option<f64> {
        // Counted from what is smaller, so that a second in a year shows.
        share(self.down, self.measured).map(|down| 1.0 - down)
    }

    /// The share of the time that was measured, 0 to 1; `None` where the time has no length.
    pub fn coverage(&self) -> Option<f64> {
        share(self.measured, self.time)
    }
}

/// When a target was measured: watched, and no gap. Sorted and apart.
pub fn measured(target: &TargetHistory) -> Vec<Span> {
    let gaps = united(target.gaps.iter().map(|(gap, _)| *gap).collect());
    without(&united(target.watched.clone()), &gaps)
}

/// From when to when an outage is known to have lasted.
pub fn extent(outage: &PastOutage, target: &TargetHistory, history: &History) -> Span {
    let written = outage.began + outage.lasted;
    let until = match (outage.ended, outage.is_abandoned) {
        (Some(ended), _) => ended,
        (None, true) => target
            .watched
            .iter()
            .find(|span| span.until >= written)
            .map_or(written, |span| if span.from <= written { span.until } else { written }),
        (None, false) if history.is_live => history.until,
        (None, false) => written,
    };
    Span { from: outage.began, until: until.max(outage.began) }
}

/// How long an outage lasted: by clocks that nobody sets where it is over, up to the end of what is known where it is not.
pub fn length(outage: &PastOutage, target: &TargetHistory, history: &History) -> Duration {
    match outage.ended {
        Some(_) => outage.lasted,
        None => outage.lasted.max(span_length(&extent(outage, target, history))),
    }
}

/// How much of an outage falls to which reason not to measure, longest first.
pub fn unmeasured_in(extent: Span, target: &TargetHistory) -> Vec<(Why, Duration)> {
    reasons(&[extent], target)
}

fn not_measured(target: &TargetHistory, history: &History) -> Vec<(Why, Duration)> {
    reasons(&[Span { from: history.from, until: history.until.max(history.from) }], target)
}

/// How much of some stretches was not measured, by reason. Where gaps overlap, the time belongs to the one that began first.
fn reasons(stretches: &[Span], target: &TargetHistory) -> Vec<(Why, Duration)> {
    let watched = united(target.watched.clone());
    let mut rest = common(stretches, &watched);
    let mut by_gap = [Duration::ZERO; Gap::ALL.len()];
    for (span, gap) in &target.gaps {
        // Gaps are sorted: what lies before this one is no other's.
        let at = rest.partition_point(|stretch| stretch.until <= span.from);
        rest.drain(..at);
        let before = total(&rest);
        rest = without(&rest, &[*span]);
        let place = Gap::ALL.iter().position(|one| one == gap).unwrap_or_default();
        by_gap[place] += before - total(&rest);
    }
    let not_watched = total(&without(stretches, &watched));
    let gaps = Gap::ALL.into_iter().map(Why::Gap).zip(by_gap);
    let mut reasons: Vec<_> = std::iter::once((Why::NotWatched, not_watched)).chain(gaps).collect();
    reasons.retain(|(_, time)| *time > Duration::ZERO);
    reasons.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    reasons
}

/// Outages as the search for a rhythm sees them.
fn events(target: &TargetHistory) -> Vec<Event> {
    let uncertainty = |at: Wall, earliest: Option<Wall>| earliest.map_or(Duration::ZERO, |earliest| at - earliest);
    let event = |outage: &PastOutage| Event {
        onset: outage.began,
        onset_uncertainty: uncertainty(outage.began, outage.began_earliest),
        recovery: outage.ended,
        recovery_uncertainty: outage.ended.map_or(Duration::ZERO, |ended| uncertainty(ended, outage.ended_earliest)),
    };
    target.outages.iter().map(event).collect()
}

fn share(part: Duration, whole: Duration) -> Option<f64> {
    (whole > Duration::ZERO).then(|| part.as_secs_f64() / whole.as_secs_f64())
}

fn mean(total: Duration, count: usize) -> Option<Duration> {
    total.checked_div(u32::try_from(count).unwrap_or(u32::MAX))
}

fn span_length(span: &Span) -> Duration {
    span.until - span.from
}

/// How long stretches are that lie apart.
pub fn total(spans: &[Span]) -> Duration {
    spans.iter().map(span_length).sum()
}

/// Stretches sorted, those that touch made one, those without length left out.
pub fn united(mut spans: Vec<Span>) -> Vec<Span> {
    spans.retain(|span| span.from < span.until);
    spans.sort_unstable();
    let mut united: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match united.last_mut() {
            Some(last) if span.from <= last.until => last.until = last.until.max(span.until),
            Some(_) | None => united.push(span),
        }
    }
    united
}

/// What lies in both; both sorted and apart, as is the result.
pub fn common(one: &[Span], other: &[Span]) -> Vec<Span> {
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    let mut found = Vec::new();
    while let (Some(&&a), Some(&&b)) = (one.peek(), other.peek()) {
        let span = Span { from: a.from.max(b.from), until: a.until.min(b.until) };
        if span.from < span.until {
            found.push(span);
        }
        if a.until <= b.until {
            one.next();
        } else {
            other.next();
        }
    }
    found
}

/// What lies in `spans` and not in `holes`; both sorted and apart, as is the result.
pub fn without(spans: &[Span], holes: &[Span]) -> Vec<Span> {
    let mut found = Vec::new();
    let mut next = 0;
    for span in spans {
        let mut from = span.from;
        while let Some(hole) = holes.get(next).filter(|hole| hole.from < span.until) {
            if from < hole.from {
                found.push(Span { from, until: hole.from });
            }
            from = from.max(hole.until);
            if hole.until > span.until {
                // It may reach into the next stretch.
                break;
            }
            next += 1;
        }
        if from < span.until {
            found.push(Span { from, until: span.until });
        }
    }
    found
}
