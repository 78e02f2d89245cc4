//! Where differences agree: the period at which there are far more of them than around it.
//!
//! For each difference P as a candidate: c others lie within a width of P, and e were to be expected there by how many lie between
//! P / 1.5 and 1.5 P. Its score is the log-likelihood ratio of c events where e are expected, c ln(c/e) − (c − e). Widths down to a
//! sixteenth of the widest are tried, so that what agrees more closely scores more.

/// The time from one outage to another, in seconds.
pub(super) type Difference = f64;

/// The shortest period told, in seconds: below are flapping and the time it takes to recover.
const SHORTEST: f64 = 240.0;
/// The widest deviation from a period, as a part of it: the jitter that key exchanges add to their lifetimes by design.
const WIDEST: f64 = 0.01;
/// The widest deviation is at least so many seconds: detection and recovery take their time.
const WIDEST_AT_LEAST: f64 = 60.0;
/// And at most so many seconds: timers are more exact than the habits of people, who make rhythms of their own.
const WIDEST_AT_MOST: f64 = 600.0;
/// The closest agreement that counts, in seconds, and in steps of the time between probes: closer ones are made by counting in those.
const CLOSEST: f64 = 5.0;
const CLOSEST_STEPS: f64 = 2.0;
/// Each width is this part of the one before.
const NARROWER: f64 = 0.25;
/// How many widths are tried.
const WIDTHS: usize = 3;
/// What is expected at a period is told by the differences from it divided by this to it times this.
const BAND: f64 = 1.5;
/// The widest deviation is at most this part of a period, a fifth of the band: a wider one would say nothing about agreement.
const BAND_PART: f64 = (BAND - 1.0 / BAND) / 10.0;
/// So many differences must agree.
const FEWEST: usize = 3;
/// A period may be the multiple of another that so large a part of its differences agrees on.
const FUNDAMENTAL: f64 = 0.5;
/// The highest multiple looked into.
const MULTIPLES: u32 = 8;
/// What fits may be this much further off than what made the peak.
const SKIRT: f64 = 2.0;

/// An agreement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Peak {
    /// How unlikely it is; comparable among equally many outages.
    pub(super) score: f64,
    /// On what, in seconds.
    pub(super) period: f64,
    /// How far from it fits, in seconds.
    pub(super) tolerance: f64,
}

/// Looks for peaks; keeps its memory from one search to the next.
#[derive(Debug)]
pub(super) struct Scan {
    /// In seconds.
    closest: f64,
    /// In seconds.
    longest: f64,
    sorted: Vec<Difference>,
}

impl Scan {
    /// A search among differences of instants known to `resolution` seconds.
    pub(super) fn new(resolution: f64) -> Self {
        Self { closest: CLOSEST.max(CLOSEST_STEPS * resolution), longest: 0.0, sorted: Vec::new() }
    }

    /// The highest peak at a period of at most `longest` seconds. Over several beats, `apart` seconds come to each period but the
    /// last.
    pub(super) fn run(
        &mut self,
        differences: impl Iterator<Item = Difference>,
        apart: f64,
        longest: f64,
    ) -> Option<Peak> {
        self.longest = longest;
        let relevant = SHORTEST / BAND..longest * BAND + WIDEST_AT_MOST;
        self.sorted.clear();
        self.sorted.extend(differences.filter(|difference| relevant.contains(difference)));
        self.sorted.sort_unstable_by(f64::total_cmp);
        let narrowings = (0..WIDTHS).map(|step| NARROWER.powi(step as i32));
        let peak = narrowings
            .filter_map(|narrowing| self.highest(narrowing))
            .max_by(|one, other| one.score.total_cmp(&other.score))?;
        Some(self.fundamental(self.centred(peak), apart))
    }

    /// How far from a period counts as agreement, in seconds.
    fn width(&self, period: f64, narrowing: f64) -> f64 {
        let widest = (period * WIDEST).max(WIDEST_AT_LEAST.min(period * BAND_PART)).min(WIDEST_AT_MOST);
        (widest * narrowing).max(self.closest)
    }

    fn highest(&self, narrowing: f64) -> Option<Peak> {
        let sorted = &self.sorted;
        let (mut band, mut window) = (Sliding::default(), Sliding::default());
        let mut highest: Option<Peak> = None;
        for &period in sorted.iter().filter(|&&period| (SHORTEST..=self.longest).contains(&period)) {
            let width = self.width(period, narrowing);
            let around = band.count(sorted, period / BAND, period * BAND);
            let agreeing = window.count(sorted, period - width, period + width) - 1;
            if agreeing + 1 < FEWEST {
                continue;
            }
            let expected = around as f64 * 2.0 * width / (period * (BAND - 1.0 / BAND));
            let score = likelihood(agreeing as f64, expected);
            if highest.is_none_or(|highest| score > highest.score) {
                highest = Some(Peak { score, period, tolerance: width });
            }
        }
        highest
    }

    /// The peak at the median of what made it.
    fn centred(&self, peak: Peak) -> Peak {
        let made = self.within(peak.period, peak.tolerance);
        let period = made.get(made.len() / 2).copied().unwrap_or(peak.period);
        let tolerance = (SKIRT * peak.tolerance).min(self.width(period, 1.0)).max(peak.tolerance);
        Peak { period, tolerance, ..peak }
    }

    /// A peak of which this one is but the multiple, or itself.
    fn fundamental(&self, peak: Peak, apart: f64) -> Peak {
        let own = self.within(peak.period, peak.tolerance).len() as f64;
        let part = |multiple: u32| {
            let period = (peak.period + apart) / f64::from(multiple) - apart;
            let tolerance = peak.tolerance.min(self.width(period, 1.0));
            let made = self.within(period, tolerance);
            let enough = period >= SHORTEST && made.len() >= FEWEST && made.len() as f64 >= FUNDAMENTAL * own;
            enough.then(|| Peak { period: made[made.len() / 2], tolerance, ..peak })
        };
        (2..=MULTIPLES).rev().find_map(part).unwrap_or(peak)
    }

    fn within(&self, period: f64, width: f64) -> &[Difference] {
        let from = self.sorted.partition_point(|&difference| difference < period - width);
        let to = self.sorted.partition_point(|&difference| difference <= period + width);
        &self.sorted[from..to]
    }
}

fn likelihood(found: f64, expected: f64) -> f64 {
    if found > expected { found * (found / expected).ln() - (found - expected) } else { 0.0 }
}

/// Counts sorted numbers between bounds that both only grow.
#[derive(Debug, Default)]
struct Sliding {
    from: usize,
    to: usize,
}

impl Sliding {
    fn count(&mut self, sorted: &[f64], least: f64, most: f64) -> usize {
        while sorted.get(self.from).is_some_and(|&number| number < least) {
            self.from += 1;
        }
        while sorted.get(self.to).is_some_and(|&number| number <= most) {
            self.to += 1;
        }
        self.to - self.from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peak(differences: &[f64]) -> Option<Peak> {
        Scan::new(1.0).run(differences.iter().copied(), 0.0, 10_000.0)
    }

    #[test]
    fn differences_that_agree_are_a_peak_at_their_median() {
        let found = peak(&[3_600.0, 3_605.0, 3_601.0, 3_602.0, 900.0, 5_000.0, 9_000.0]).expect("a peak");
        assert_eq!(found.period, 3_602.0);
    }

    #[test]
    fn a_closer_agreement_scores_more() {
        let close = peak(&[3_600.0, 3_605.0, 3_601.0, 3_602.0]).expect("a peak");
        let wide = peak(&[3_600.0, 3_630.0, 3_620.0, 3_655.0]).expect("a peak");
        assert!(close.score > wide.score, "{close:?} {wide:?}");
    }

    #[test]
    fn a_multiple_gives_way_to_what_it_is_a_multiple_of() {
        let found = peak(&[1_800.0, 1_801.0, 1_805.0, 3_600.0, 3_601.0, 3_602.0, 3_603.0]).expect("a peak");
        assert_eq!(found.period, 1_801.0);
    }

    #[test]
    fn nothing_agrees_with_nothing() {
        assert_eq!(peak(&[]), None);
        assert_eq!(peak(&[1_000.0, 2_000.0]), None);
    }
}
