//! Histories like a given one, but without a rhythm: every stretch of up-time and every outage is blurred; or outages change places with
//! those of other days, each at about its hour.
//!
//! Blurring goes by the time that was measured, so that a nightly stop of the daemon stays where it is: it must not make a rhythm
//! that only the original has. Chance comes from a seed, so that the same history has the same verdict for ever.

use super::{Beat, seconds};
use crate::ledger::history::Span;

/// A stretch is made shorter or longer by up to this factor.
const BLUR: f64 = 2.0;

/// Seconds in a day, of which hours are counted. Which hour is midnight does not matter.
const DAY: f64 = 86_400.0;
/// An outage on another day comes up to so many seconds earlier or later: more than a timer is off, and less than people are.
const BLUR_OF_HOUR: f64 = 1_200.0;

/// Draws histories.
#[derive(Debug)]
pub(super) struct Surrogates {
    beats: Vec<Beat>,
    /// First onset, in seconds measured.
    start: f64,
    /// How long each outage lasted, and how long it was up before the next, in seconds measured.
    stretches: Vec<(f64, f64)>,
    /// Of which outages the end is known.
    is_recovered: Vec<bool>,
    clock: Measured,
    /// Room for the blurred stretches, and for the history drawn.
    blurred: Vec<(f64, f64)>,
    drawn: Vec<Beat>,
}

impl Surrogates {
    /// Histories like that of `beats`.
    pub(super) fn new(beats: &[Beat], measured: &[Span]) -> Self {
        let clock = Measured::new(measured);
        let end = |beat: &Beat| clock.measured(beat.recovery.unwrap_or(beat.onset));
        let onset = |at: usize| beats.get(at).map(|beat| clock.measured(beat.onset));
        let stretch = |(at, beat): (usize, &Beat)| {
            let (began, ended) = (clock.measured(beat.onset), end(beat));
            (ended - began, onset(at + 1).map_or(0.0, |next| (next - ended).max(0.0)))
        };
        Self {
            beats: beats.to_vec(),
            start: onset(0).unwrap_or(0.0),
            stretches: beats.iter().enumerate().map(stretch).collect(),
            is_recovered: beats.iter().map(|beat| beat.recovery.is_some()).collect(),
            blurred: Vec::with_capacity(beats.len()),
            drawn: Vec::with_capacity(beats.len()),
            clock,
        }
    }

    /// The history of a seed.
    pub(super) fn draw(&mut self, seed: u64) -> &[Beat] {
        let mut chance = Chance::new(seed);
        let mut blur = |stretch: f64| stretch * BLUR.powf(2.0 * chance.draw() - 1.0);
        self.blurred.clear();
        self.blurred.extend(self.stretches.iter().map(|&(lasted, up)| (blur(lasted), blur(up))));
        let total = |stretches: &[(f64, f64)]| stretches.iter().map(|(lasted, up)| lasted + up).sum::<f64>();
        // As long as the original: what lies behind the measured time could not have been seen.
        let scale = total(&self.stretches) / total(&self.blurred).max(f64::MIN_POSITIVE);
        self.drawn.clear();
        let mut at = self.start;
        let mut place = Place::default();
        for (&(lasted, up), &is_recovered) in self.blurred.iter().zip(&self.is_recovered) {
            let onset = self.clock.wall(at, &mut place);
            at += lasted * scale;
            let recovery = self.clock.wall(at, &mut place);
            at += up * scale;
            self.drawn.push(Beat { onset, recovery: is_recovered.then_some(recovery) });
        }
        &self.drawn
    }

    /// The history of a seed in which outages have changed places with others of other days, each at about its hour. It has the hours
    /// and the days of the original, and no period but what those make by themselves: who fails in the evenings only does so about a
    /// day apart.
    pub(super) fn draw_days(&mut self, seed: u64) -> &[Beat] {
        let mut chance = Chance::new(seed);
        let noon = self.beats.first().map_or(0.0, |beat| beat.onset);
        // Hours are those around the first outage, lest a job at midnight has two.
        let day = |beat: &Beat| ((beat.onset - noon) / DAY).round() * DAY;
        let mut days: Vec<f64> = self.beats.iter().map(day).collect();
        for last in (1..days.len()).rev() {
            days.swap(last, ((last + 1) as f64 * chance.draw()) as usize);
        }
        self.drawn.clear();
        for (beat, new) in self.beats.iter().zip(days) {
            let onset = beat.onset - day(beat) + new + BLUR_OF_HOUR * (2.0 * chance.draw() - 1.0);
            // Where that was not measured, nobody would have seen it.
            let onset = if self.clock.is_measured(onset) { onset } else { beat.onset };
            let recovery = beat.recovery.map(|recovery| recovery - beat.onset + onset);
            self.drawn.push(Beat { onset, recovery });
        }
        self.drawn.sort_unstable_by(|one, other| one.onset.total_cmp(&other.onset));
        &self.drawn
    }
}

/// A clock that stands still while nothing is measured.
#[derive(Debug)]
struct Measured {
    /// When each stretch begins and ends, in seconds, and what the clock shows at its beginning.
    spans: Vec<(f64, f64, f64)>,
}

/// Where in the stretches the last instant lay.
#[derive(Debug, Default)]
struct Place(usize);

impl Measured {
    fn new(measured: &[Span]) -> Self {
        let mut shown = 0.0;
        let span = |span: &Span| {
            let (from, until) = (seconds(span.from), seconds(span.until));
            let before = shown;
            shown += until - from;
            (from, until, before)
        };
        Self { spans: measured.iter().map(span).collect() }
    }

    /// What it shows at an instant.
    fn measured(&self, at: f64) -> f64 {
        let after = self.spans.partition_point(|(from, ..)| *from <= at);
        let Some(&(from, until, shown)) = after.checked_sub(1).and_then(|at| self.spans.get(at)) else { return 0.0 };
        shown + at.min(until) - from
    }

    fn is_measured(&self, at: f64) -> bool {
        let after = self.spans.partition_point(|(from, ..)| *from <= at);
        after.checked_sub(1).is_some_and(|before| at < self.spans[before].1)
    }

    /// When it shows so much; not before `place`.
    fn wall(&self, measured: f64, place: &mut Place) -> f64 {
        while self.spans.get(place.0 + 1).is_some_and(|(_, _, shown)| *shown <= measured) {
            place.0 += 1;
        }
        self.spans.get(place.0).map_or(measured, |(from, _, shown)| from + (measured - shown))
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): three lines, and the same numbers for ever.
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to 1.
    fn draw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::time::Wall;

    fn span(from: i64, until: i64) -> Span {
        Span { from: Wall::from_nanos(from * 1_000_000_000), until: Wall::from_nanos(until * 1_000_000_000) }
    }

    #[test]
    fn no_drawn_onset_lies_where_nothing_was_measured() {
        let measured: Vec<_> = (0..10).map(|day| span(day * 1_000, day * 1_000 + 300)).collect();
        let beats: Vec<_> = (0..10).map(|at| f64::from(at) * 1_000.0 + 50.0).collect();
        let beats: Vec<_> = beats.iter().map(|&onset| Beat { onset, recovery: Some(onset + 20.0) }).collect();
        let mut surrogates = Surrogates::new(&beats, &measured);
        for seed in 0..100 {
            assert!(surrogates.draw(seed).iter().all(|beat| beat.onset % 1_000.0 <= 300.0));
        }
    }

    #[test]
    fn an_outage_on_another_day_keeps_its_hour_and_is_measured() {
        let measured: Vec<_> = (0..30).map(|day| span(day * 86_400 + 28_800, day * 86_400 + 64_800)).collect();
        let beats: Vec<_> = (0..10).map(|at| f64::from(at) * DAY + 30_000.0).collect();
        let beats: Vec<_> = beats.iter().map(|&onset| Beat { onset, recovery: Some(onset + 20.0) }).collect();
        let mut surrogates = Surrogates::new(&beats, &measured);
        for seed in 0..100 {
            let drawn = surrogates.draw_days(seed);
            assert!(drawn.iter().all(|beat| (beat.onset % DAY - 30_000.0).abs() <= BLUR_OF_HOUR));
            assert!(drawn.iter().all(|beat| beat.recovery.is_some_and(|end| (end - beat.onset - 20.0).abs() < 1e-3)));
            assert!(drawn.is_sorted_by(|one, other| one.onset <= other.onset));
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_history() {
        let beats = [100.0, 400.0, 900.0].map(|onset| Beat { onset, recovery: Some(onset + 20.0) });
        let mut surrogates = Surrogates::new(&beats, &[span(0, 1_000)]);
        let once: Vec<_> = surrogates.draw(7).iter().map(|beat| beat.onset).collect();
        let again: Vec<_> = surrogates.draw(7).iter().map(|beat| beat.onset).collect();
        assert_eq!(once, again);
        assert_eq!(once[0], 100.0);
    }
}
