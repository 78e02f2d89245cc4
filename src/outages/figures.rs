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
    /// The longest of them, as much of it as was measured.
    pub longest: Option<Duration>,
    /// Mean time to repair: how long those that are over lasted, as far as it was measured.
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
    /// It had not answered once since it was watched.
    NeverUp,
    /// It did, but could not.
    Gap(Gap),
}

impl Why {
    /// The word that JSON has for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotWatched => "not_watched",
            Self::NeverUp => "never_up",
            Self::Gap(gap) => gap.word(),
        }
    }
}

impl Figures {
    /// The figures of a target in a history.
    pub fn of(target: &TargetHistory, history: &History) -> Self {
        Self::covering(target, history, &Coverage::of(target))
    }

    /// The same, where its coverage is known.
    pub fn covering(target: &TargetHistory, history: &History, coverage: &Coverage) -> Self {
        let measured = &coverage.measured;
        let outages: Vec<Span> = target.outages.iter().map(|outage| extent(outage, history)).collect();
        let lengths: Vec<Duration> = outages.iter().map(|outage| coverage.measured_in(*outage)).collect();
        let down = total(&common(&united(outages), measured));
        let (all, time) = (total(measured), history.until - history.from);
        let is_over = |(outage, length): (&PastOutage, &Duration)| outage.ended.map(|_| *length);
        let over: Vec<Duration> = target.outages.iter().zip(&lengths).filter_map(is_over).collect();
        Self {
            time,
            measured: all,
            not_measured: coverage.unmeasured_in(Span { from: history.from, until: history.until.max(history.from) }),
            down,
            outages: target.outages.len(),
            longest: lengths.into_iter().max(),
            mttr: mean(over.iter().sum(), over.len()),
            mtbf: mean(all - down, target.outages.len()),
            rhythm: rhythm::find(&events(target), measured, history.until),
        }
    }

    /// Whether it did not answer once in the time, as far as anybody looked.
    pub fn was_never_up(&self) -> bool {
        self.measured == Duration::ZERO && self.not_measured.iter().any(|(why, _)| *why == Why::NeverUp)
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

/// When a target was measured: watched, up once before, and no gap. Sorted and apart.
pub fn measured(target: &TargetHistory) -> Vec<Span> {
    let gaps = target.gaps.iter().map(|(gap, _)| *gap);
    without(&united(target.watched.clone()), &united(gaps.chain(target.never_up.iter().copied()).collect()))
}

/// From when to when an outage is known to have lasted.
pub fn extent(outage: &PastOutage, history: &History) -> Span {
    let until = match outage.ended {
        Some(ended) => ended,
        None if history.is_live && !outage.is_abandoned => history.until,
        None => outage.began + outage.lasted,
    };
    Span { from: outage.began, until: until.max(outage.began) }
}

/// How long an outage lasted: by clocks that nobody sets where it is over, up to the end of what is known where it is not.
pub fn length(outage: &PastOutage, history: &History) -> Duration {
    match outage.ended {
        Some(_) => outage.lasted,
        None => outage.lasted.max(span_length(&extent(outage, history))),
    }
}

/// What of a target was measured and what was not, by reason: looked into once for each outage, of which there may be thousands.
#[derive(Debug)]
pub struct Coverage {
    watched: Vec<Span>,
    never_up: Vec<Span>,
    gaps: Vec<(Span, Gap)>,
    /// Of each gap, the latest end up to it: gaps are sorted by their beginnings, and may overlap.
    latest: Vec<Wall>,
    measured: Vec<Span>,
}

impl Coverage {
    /// That of a target.
    pub fn of(target: &TargetHistory) -> Self {
        let later = |latest: &mut Wall, (gap, _): &(Span, Gap)| {
            *latest = gap.until.max(*latest);
            Some(*latest)
        };
        let first = target.gaps.first().map_or(Wall::default(), |(gap, _)| gap.until);
        Self {
            watched: united(target.watched.clone()),
            never_up: united(target.never_up.clone()),
            gaps: target.gaps.clone(),
            latest: target.gaps.iter().scan(first, later).collect(),
            measured: measured(target),
        }
    }

    /// How much of a stretch was measured.
    pub fn measured_in(&self, stretch: Span) -> Duration {
        total(&common(&[stretch], touched(&self.measured, stretch)))
    }

    /// How much of a stretch was not, by reason, longest first. Where gaps overlap, the time belongs to the one that began first.
    pub fn unmeasured_in(&self, stretch: Span) -> Vec<(Why, Duration)> {
        let watched = touched(&self.watched, stretch);
        let mut rest = common(&[stretch], watched);
        let mut by_gap = [Duration::ZERO; Gap::ALL.len()];
        for (span, gap) in self.gaps_in(stretch) {
            // What lies before this one is no other's.
            let at = rest.partition_point(|stretch| stretch.until <= span.from);
            rest.drain(..at);
            let before = total(&rest);
            rest = without(&rest, &[*span]);
            let place = Gap::ALL.iter().position(|one| one == gap).unwrap_or_default();
            by_gap[place] += before - total(&rest);
        }
        let gaps: Vec<Span> = self.gaps_in(stretch).iter().map(|(gap, _)| *gap).collect();
        let never_up = without(touched(&self.never_up, stretch), &united(gaps));
        let never_up = total(&common(&common(&[stretch], watched), &never_up));
        let not_watched = total(&without(&[stretch], watched));
        let gaps = Gap::ALL.into_iter().map(Why::Gap).zip(by_gap);
        let mut reasons = vec![(Why::NotWatched, not_watched), (Why::NeverUp, never_up)];
        reasons.extend(gaps);
        reasons.retain(|(_, time)| *time > Duration::ZERO);
        reasons.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        reasons
    }

    fn gaps_in(&self, stretch: Span) -> &[(Span, Gap)] {
        let from = self.latest.partition_point(|latest| *latest <= stretch.from);
        let until = self.gaps.partition_point(|(gap, _)| gap.from < stretch.until);
        self.gaps.get(from..until).unwrap_or_default()
    }
}

/// Those of sorted stretches that may share some time with one.
fn touched(spans: &[Span], stretch: Span) -> &[Span] {
    let from = spans.partition_point(|span| span.until <= stretch.from);
    let until = spans.partition_point(|span| span.from < stretch.until);
    spans.get(from..until).unwrap_or_default()
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
