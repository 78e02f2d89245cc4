//! Rhythm: whether outages recur by a timer, and by which kind. Silent where the evidence is not there.
//!
//! Two kinds are told apart by what stays constant. A *renewal* timer starts when the connection comes back, such as the lifetime of
//! an IKE security association: constant is the time from a recovery to an onset. A *clock* goes on whatever happens, such as a
//! nightly job: constant is the time between onsets. So both are looked for among the differences of all pairs, which finds a rhythm
//! although other outages fall in between; phase folding would lose a renewal timer, whose phase drifts with every outage.
//!
//! Outages that come in bursts, or at some hours only, make differences agree without any timer. Therefore what is found is held
//! against the same outages with each stretch of up-time blurred by up to a factor of two: that keeps bursts, heavy tails and hours in
//! which nothing was measured, and destroys every rhythm. And it is held against the same outages at about their hours on other days,
//! since those that come in the evenings only are about a day apart without any timer. A rhythm must beat all of these.
//!
//! It knows instants only: neither targets nor time zones.

mod peak;
mod surrogate;

use std::time::Duration;

use self::peak::{Difference, Peak, Scan};
use self::surrogate::Surrogates;
use crate::ledger::history::Span;
use crate::monitor::time::Wall;

/// The newest so many outages are looked at: what recurs shows in them, and the work stays bounded.
const NEWEST: usize = 100;
/// An outage is compared with so many before it: a rhythm survives as many others between two of its beats.
const REACH: usize = 16;
/// Outages closer than this are one: a connection that flaps as it comes back, and half the shortest timer looked for.
const FLAP: Duration = Duration::from_secs(120);
/// Fewer outages than this make no rhythm: three equal stretches may be chance.
const FEWEST: usize = 5;
/// So many outages must fit.
const FEWEST_FITTING: usize = 4;
/// The room for as many may be short by the jitter.
const ROOM: f64 = 1.01;
/// At least this part of the outages must fit, or what recurs explains too little to be told.
const LEAST_SHARE: f64 = 1.0 / 3.0;
/// A bound known less exactly than this is no witness, unless all are known as little.
const WITNESS: Duration = Duration::from_secs(60);
/// Held against so many histories without a rhythm, all of which it must beat: half a per cent of chance.
const SURROGATES: u64 = 199;
/// Periods longer than this, in seconds, may come from hours of the day, and are held against as many histories with the same hours.
const NEARLY_A_DAY: f64 = 0.75 * 86_400.0;
/// Kinds whose scores are in this proportion, or nearer to one, are as likely as each other.
const TIE: f64 = 0.8;
/// A timer that is met as exactly as this, as a part of it, is no chance.
const TIMER_HIT: f64 = 0.002;
/// So many beats may be missing between two outages of a clock, or before its rhythm counts as over.
const MISSING_BEATS: u32 = 3;

/// An outage as the search sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When it began.
    pub onset: Wall,
    /// How much earlier it may have begun.
    pub onset_uncertainty: Duration,
    /// When it ended; `None` where nobody saw it.
    pub recovery: Option<Wall>,
    /// How much earlier it may have ended.
    pub recovery_uncertainty: Duration,
}

/// What stays constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The time from a recovery to the next onset.
    Renewal,
    /// The time from onset to onset.
    Clock,
}

impl Kind {
    /// The word that JSON has for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Renewal => "renewal",
            Self::Clock => "clock",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// What stays constant.
    pub kind: Kind,
    /// How long it is: the median of those that fit.
    pub period: Duration,
    /// None of those that fit is further from it; at least how exactly onsets are known.
    pub spread: Duration,
    /// Outages that fit.
    pub fitting: usize,
    /// Outages that were looked at; those closer than two minutes count as one.
    pub of: usize,
    /// The newest onset that fits.
    pub last: Wall,
    /// When the next one is to be expected; `None` where that has passed without an outage, or one lasts.
    pub next: Option<Wall>,
    /// What such a period is typical of, where half of the outages fit at least.
    pub known: Option<&'static str>,
}

/// Looks for a rhythm in outages, sorted by their onsets. `measured` are the stretches in which outages would have been seen, sorted
/// and apart; `until` is the end of what is known.
pub fn find(events: &[Event], measured: &[Span], until: Wall) -> Option<Rhythm> {
    let resolution = resolution(events);
    let events = witnesses(events, measured, resolution);
    let events = &events[events.len().saturating_sub(NEWEST)..];
    if events.len() < FEWEST {
        return None;
    }
    let beats: Vec<Beat> = events.iter().map(Beat::of).collect();
    let mut scan = Scan::new(resolution.as_secs_f64());
    let peaks = peaks(&beats, &mut scan);
    let (kind, peak) = likelier(peaks)?;
    let mut surrogates = Surrogates::new(&beats, measured);
    let mut beats_ours = |rival: &[Beat]| {
        let rivals = self::peaks(rival, &mut scan);
        rivals.iter().flatten().any(|(_, rival)| rival.score >= peak.score)
    };
    let is_of_hours = peak.period > NEARLY_A_DAY && (0..SURROGATES).any(|seed| beats_ours(surrogates.draw_days(seed)));
    let is_beaten = is_of_hours || (0..SURROGATES).any(|seed| beats_ours(surrogates.draw(seed)));
    if is_beaten { None } else { told(kind, peak, &beats, until, resolution) }
}

/// How exactly bounds are known: mostly the time between probes.
fn resolution(events: &[Event]) -> Duration {
    let mut uncertainties: Vec<_> = events.iter().map(|event| event.onset_uncertainty).collect();
    uncertainties.sort_unstable();
    uncertainties.get(uncertainties.len() / 2).copied().unwrap_or_default()
}

/// The outages whose beginning was seen, flaps made one.
fn witnesses(events: &[Event], measured: &[Span], resolution: Duration) -> Vec<Event> {
    let worst = WITNESS.max(2 * resolution);
    let mut kept: Vec<Event> = Vec::new();
    for event in events {
        let recovery = event.recovery.filter(|_| event.recovery_uncertainty <= worst);
        match kept.last_mut() {
            Some(last) if last.recovery.unwrap_or(last.onset) + FLAP > event.onset => last.recovery = recovery,
            Some(_) | None if event.onset_uncertainty > worst || is_first_sight(event.onset, measured, worst) => {}
            Some(_) | None => kept.push(Event { recovery, ..*event }),
        }
    }
    kept
}

/// Whether measuring had only just begun, after a stretch in which the outage may have begun unseen.
fn is_first_sight(onset: Wall, measured: &[Span], worst: Duration) -> bool {
    let after = measured.partition_point(|span| span.from <= onset);
    let Some(span) = after.checked_sub(1).map(|at| measured[at]) else { return true };
    let unseen = after.checked_sub(2).map_or(Duration::MAX, |at| span.from - measured[at].until);
    unseen > worst && onset - span.from < worst
}

/// An outage, in seconds since the epoch.
#[derive(Debug, Clone, Copy)]
struct Beat {
    onset: f64,
    recovery: Option<f64>,
}

impl Beat {
    fn of(event: &Event) -> Self {
        Self { onset: seconds(event.onset), recovery: event.recovery.map(seconds) }
    }
}

fn seconds(at: Wall) -> f64 {
    at.as_nanos() as f64 / 1e9
}

fn wall(seconds: f64) -> Wall {
    Wall::from_nanos((seconds * 1e9) as i64)
}

/// The strongest agreement among the differences of each kind.
fn peaks(beats: &[Beat], scan: &mut Scan) -> [Option<(Kind, Peak)>; 2] {
    let kinds = [(Kind::Renewal, typical_length(beats)), (Kind::Clock, 0.0)];
    let longest = longest(beats);
    kinds.map(|(kind, apart)| Some((kind, scan.run(differences(kind, beats), apart, longest)?)))
}

/// The longest period, in seconds, of which there is room for enough.
fn longest(beats: &[Beat]) -> f64 {
    let all = beats.first().zip(beats.last()).map_or(0.0, |(first, last)| last.onset - first.onset);
    all * ROOM / (FEWEST_FITTING - 1) as f64
}

/// The median of how long outages lasted, in seconds.
fn typical_length(beats: &[Beat]) -> f64 {
    let mut lengths: Vec<_> = beats.iter().filter_map(|beat| Some(beat.recovery? - beat.onset)).collect();
    lengths.sort_unstable_by(f64::total_cmp);
    lengths.get(lengths.len() / 2).copied().unwrap_or_default()
}

/// The kind whose differences agree more closely. Where outages are all equally long both do, and a timer that is known tells.
fn likelier([renewal, clock]: [Option<(Kind, Peak)>; 2]) -> Option<(Kind, Peak)> {
    let ((_, one), (_, other)) = match (renewal, clock) {
        (Some(renewal), Some(clock)) => (renewal, clock),
        (one, other) => return one.or(other),
    };
    let is_tie = one.score.min(other.score) >= TIE * one.score.max(other.score);
    let is_clock = match (is_tie, off_timer(one.period), off_timer(other.period)) {
        (true, off_one, off_other) if off_one.min(off_other) <= TIMER_HIT => off_other < off_one,
        (true | false, ..) => other.score >= one.score,
    };
    if is_clock { clock } else { renewal }
}

/// How far a period is from the next known timer, as a part of that.
fn off_timer(period: f64) -> f64 {
    TIMERS.iter().map(|(timer, ..)| (period / timer - 1.0).abs()).fold(f64::INFINITY, f64::min)
}

/// The times from each outage to those after it, by what they are counted from.
fn differences(kind: Kind, beats: &[Beat]) -> impl Iterator<Item = Difference> {
    beats.iter().enumerate().flat_map(move |(at, later)| {
        beats[at.saturating_sub(REACH)..at].iter().filter_map(move |earlier| Some(later.onset - origin(kind, earlier)?))
    })
}

fn origin(kind: Kind, beat: &Beat) -> Option<f64> {
    match kind {
        Kind::Renewal => beat.recovery,
        Kind::Clock => Some(beat.onset),
    }
}

/// What can be said of a peak, unless it explains too little.
fn told(kind: Kind, peak: Peak, beats: &[Beat], until: Wall, resolution: Duration) -> Option<Rhythm> {
    let fitting = match kind {
        Kind::Renewal => following(&peak, beats),
        Kind::Clock => chain(&peak, beats),
    };
    if fitting.len() < FEWEST_FITTING || (fitting.len() as f64) < LEAST_SHARE * beats.len() as f64 {
        return None;
    }
    let last = fitting.iter().map(|fit| fit.onset).fold(f64::MIN, f64::max);
    let spread = fitting.iter().map(|fit| fit.off).fold(0.0, f64::max);
    Some(Rhythm {
        kind,
        period: Duration::from_secs_f64(peak.period),
        spread: Duration::from_secs_f64(spread).max(resolution),
        fitting: fitting.len(),
        of: beats.len(),
        last: wall(last),
        next: next(kind, peak.period, last, beats, seconds(until)).map(wall),
        known: known(kind, peak.period, resolution).filter(|_| 2 * fitting.len() >= beats.len()),
    })
}

/// An outage that fits.
#[derive(Debug, Clone, Copy)]
struct Fit {
    /// When it began.
    onset: f64,
    /// How far from the rhythm, in seconds.
    off: f64,
}

/// The outages that a period follows from a recovery.
fn following(peak: &Peak, beats: &[Beat]) -> Vec<Fit> {
    let fit = |at: usize| {
        let onset = beats[at].onset;
        let recoveries = beats[at.saturating_sub(REACH)..at].iter().filter_map(|earlier| earlier.recovery);
        let off = recoveries.map(|recovery| (onset - recovery - peak.period).abs()).min_by(f64::total_cmp)?;
        (off <= peak.tolerance).then_some(Fit { onset, off })
    };
    (0..beats.len()).filter_map(fit).collect()
}

/// The longest row of outages each of which is one period after the one before it, or a few.
fn chain(peak: &Peak, beats: &[Beat]) -> Vec<Fit> {
    // Of each outage: how long a row ends with it, the one before it there, and how far from that.
    let mut rows: Vec<(usize, Option<(usize, f64)>)> = Vec::with_capacity(beats.len());
    for (at, beat) in beats.iter().enumerate() {
        let follows = |earlier: usize| {
            let apart = beat.onset - beats[earlier].onset;
            let periods = (apart / peak.period).round();
            let off = (apart - periods * peak.period).abs();
            let is_near = (1.0..=f64::from(1 + MISSING_BEATS)).contains(&periods) && off <= peak.tolerance;
            is_near.then_some((rows[earlier].0 + 1, Some((earlier, off))))
        };
        let longest = (0..at).filter_map(follows).max_by_key(|(length, _)| *length);
        rows.push(longest.unwrap_or((1, None)));
    }
    let mut at = (0..rows.len()).max_by_key(|&at| rows[at].0);
    let mut fits = Vec::new();
    while let Some(last) = at {
        let before = rows[last].1;
        fits.push(Fit { onset: beats[last].onset, off: before.map_or(0.0, |(_, off)| off) });
        at = before.map(|(earlier, _)| earlier);
    }
    fits
}

fn next(kind: Kind, period: f64, last: f64, beats: &[Beat], until: f64) -> Option<f64> {
    let next = match kind {
        Kind::Renewal => beats.last()?.recovery? + period,
        // A beat that was left out is no end of a clock's rhythm; as many as may be missing, and it is over.
        Kind::Clock => {
            let beats = ((until - last) / period).floor() + 1.0;
            (beats <= f64::from(MISSING_BEATS)).then_some(last + beats * period)?
        }
    };
    (next > until).then_some(next)
}

/// Timers that networks are known for: seconds, and what a renewal and a clock of that period look like.
const TIMERS: [(f64, &str, &str); 11] = [
    (300.0, "a NAT or ARP timeout of 300 s", "something that runs every 5 minutes"),
    (600.0, "a timeout of 600 s", "something that runs every 10 minutes"),
    (900.0, "a timeout of 900 s", "something that runs every quarter of an hour"),
    (1_800.0, "a timeout of 1,800 s", "something that runs every half hour"),
    (3_600.0, "an IPsec SA lifetime of 3,600 s on one side", "something that runs hourly"),
    (7_200.0, "a TCP keep-alive or lease of 7,200 s", "something that runs every 2 hours"),
    (14_400.0, "an ARP timeout of 14,400 s", "something that runs every 4 hours"),
    (28_800.0, "an IKE/SA lifetime of 28,800 s on one side", "something that runs every 8 hours"),
    (43_200.0, "a lease or lifetime of 43,200 s", "something that runs every 12 hours"),
    (
        86_400.0,
        "an IKE lifetime, a DHCP lease or a session limit of 86,400 s",
        "a forced reconnect (PPPoE), a lease or a scheduled job",
    ),
    (604_800.0, "a lease or lifetime of 604,800 s", "something weekly, such as a scheduled job"),
];

/// A known timer must be met within [`TIMER_HIT`], or as exactly as onsets are known, but never further off than this part of it.
const KNOWN_WITHIN: f64 = 0.01;

fn known(kind: Kind, period: f64, resolution: Duration) -> Option<&'static str> {
    let within = |timer: f64| (timer * TIMER_HIT).max(resolution.as_secs_f64().min(timer * KNOWN_WITHIN));
    let (_, renewal, clock) = TIMERS.iter().find(|(timer, ..)| (period - timer).abs() <= within(*timer))?;
    Some(match kind {
        Kind::Renewal => renewal,
        Kind::Clock => clock,
    })
}
