//! How often the search for a rhythm is wrong, over thousands of seeded histories: alarms where there is none, and rhythms that are
//! missed or told wrong.
//!
//! Outages last as the facts of the field have them: lognormal, median 5 minutes, sigma 1. Figures are printed
//! (`cargo test --test rhythm -- --nocapture`).

#![expect(clippy::print_stdout, clippy::disallowed_macros, reason = "the figures are what this is run for")]

use std::time::Duration;

use pingtest::ledger::history::Span;
use pingtest::monitor::time::Wall;
use pingtest::outages::rhythm::{self, Event, Kind, Rhythm};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp1, LogNormal, Pareto};

/// A Monday at midnight.
const START: f64 = 1_795_996_800.0;
const DAY: f64 = 86_400.0;

/// Onsets and lengths, in seconds, and what was measured.
struct Past {
    outages: Vec<(f64, f64)>,
    measured: Vec<(f64, f64)>,
    /// Time between probes, by which bounds are known.
    interval: f64,
}

impl Past {
    fn over(days: f64, outages: Vec<(f64, f64)>) -> Self {
        Self { outages, measured: vec![(0.0, days * DAY)], interval: 1.0 }
    }

    fn rhythm(&self) -> Option<Rhythm> {
        let until = self.measured.last().expect("something is measured").1;
        let measured: Vec<_> =
            self.measured.iter().map(|&(from, until)| Span { from: wall(from), until: wall(until) }).collect();
        let is_measured = |at: f64| self.measured.iter().any(|&(from, until)| from <= at && at < until);
        let mut outages: Vec<_> = self.outages.iter().copied().filter(|&(onset, _)| is_measured(onset)).collect();
        outages.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let mut events: Vec<Event> = Vec::new();
        let mut free = 0.0;
        for (onset, lasted) in outages {
            if onset < free + self.interval {
                continue;
            }
            free = onset + lasted.max(self.interval);
            let is_seen = free < until && is_measured(free);
            events.push(Event {
                onset: wall(probed(onset, self.interval)),
                onset_uncertainty: Duration::from_secs_f64(self.interval),
                recovery: is_seen.then(|| wall(probed(free, self.interval))),
                recovery_uncertainty: Duration::from_secs_f64(self.interval),
            });
        }
        rhythm::find(&events, &measured, wall(until))
    }
}

/// The next probe after an instant.
fn probed(at: f64, interval: f64) -> f64 {
    (at / interval).ceil() * interval
}

fn wall(seconds: f64) -> Wall {
    Wall::from_nanos(((START + seconds) * 1e9) as i64)
}

fn length(rng: &mut SmallRng) -> f64 {
    LogNormal::new(300_f64.ln(), 1.0).expect("a distribution").sample(rng)
}

fn with_lengths(onsets: impl IntoIterator<Item = f64>, rng: &mut SmallRng) -> Vec<(f64, f64)> {
    onsets.into_iter().map(|onset| (onset, length(rng))).collect()
}

fn uniform(count: usize, days: f64, rng: &mut SmallRng) -> Vec<(f64, f64)> {
    let onsets: Vec<f64> = (0..count).map(|_| rng.random_range(0.0..days * DAY)).collect();
    with_lengths(onsets, rng)
}

/// Up-time drawn one after the other, scaled so that about `count` outages fill the time.
fn gaps(count: usize, days: f64, rng: &mut SmallRng, draw: impl Fn(&mut SmallRng) -> f64) -> Vec<(f64, f64)> {
    let drawn: Vec<(f64, f64)> = (0..=count).map(|_| (draw(rng), length(rng))).collect();
    let down: f64 = drawn.iter().map(|(_, lasted)| lasted).sum();
    let scale = (days * DAY - down).max(DAY / 24.0) / drawn.iter().map(|(gap, _)| gap).sum::<f64>();
    let mut at = 0.0;
    let outage = |(gap, lasted): (f64, f64)| {
        let onset = at + gap * scale;
        at = onset + lasted;
        (onset, lasted)
    };
    drawn.into_iter().map(outage).take(count).collect()
}

/// Bursts of outages that last seconds, seconds or minutes apart.
fn bursts(bursts: usize, each: usize, apart: f64, days: f64, rng: &mut SmallRng) -> Vec<(f64, f64)> {
    let mut outages = Vec::new();
    for _ in 0..bursts {
        let mut at = rng.random_range(0.0..days * DAY);
        for _ in 0..each {
            let lasted = rng.random_range(2.0..apart);
            outages.push((at, lasted));
            let gap: f64 = Exp1.sample(rng);
            at += lasted + apart * gap;
        }
    }
    outages
}

/// A timer that starts at each recovery of its own, until the time is over.
fn renewal(period: f64, jitter: f64, days: f64, rng: &mut SmallRng) -> Vec<(f64, f64)> {
    let mut outages = Vec::new();
    let mut at = rng.random_range(0.0..period);
    while at < days * DAY {
        let lasted = length(rng);
        outages.push((at, lasted));
        at += lasted + period + rng.random_range(-jitter..jitter);
    }
    outages
}

/// A renewal timer that any outage starts again.
fn restarted(period: f64, jitter: f64, days: f64, others: &[(f64, f64)], rng: &mut SmallRng) -> Vec<(f64, f64)> {
    let mut others = others.to_vec();
    others.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let mut outages = Vec::new();
    let mut due = rng.random_range(0.0..period);
    loop {
        let (onset, lasted) = match others.first() {
            Some(&other) if other.0 < due => others.remove(0),
            _ => (due, length(rng)),
        };
        if onset >= days * DAY {
            return outages;
        }
        others.retain(|(other, _)| *other > onset + lasted);
        outages.push((onset, lasted));
        due = onset + lasted + period + rng.random_range(-jitter..jitter);
    }
}

fn clock(period: f64, jitter: f64, days: f64, rng: &mut SmallRng) -> Vec<(f64, f64)> {
    let phase = rng.random_range(0.0..period);
    let beats = (0..).map(|beat| phase + f64::from(beat) * period).take_while(|at| *at < days * DAY);
    let onsets: Vec<f64> = beats.map(|at| (at + rng.random_range(-jitter..jitter)).max(0.0)).collect();
    with_lengths(onsets, rng)
}

fn mixed(mut outages: Vec<(f64, f64)>, others: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    outages.extend(others);
    outages
}

/// In how many of `count` seeded histories a rhythm is told.
fn alarms(what: &str, count: u64, past: impl Fn(&mut SmallRng) -> Past) -> (u64, u64) {
    let rng = |seed| SmallRng::seed_from_u64(seed);
    let found: Vec<Rhythm> = (0..count).filter_map(|seed| past(&mut rng(seed)).rhythm()).collect();
    println!("{what:<60} {:>4} of {count:>5}  {:.2} %", found.len(), 100.0 * found.len() as f64 / count as f64);
    for rhythm in found.iter().take(3) {
        println!(
            "      {:?} {:?} ± {:?}, {} of {}",
            rhythm.kind, rhythm.period, rhythm.spread, rhythm.fitting, rhythm.of
        );
    }
    (found.len() as u64, count)
}

#[test]
fn random_outages_have_a_rhythm_at_most_once_in_a_hundred() {
    let mut all = Vec::new();
    for (count, days) in
        [(4, 1.0), (6, 2.0), (9, 3.0), (12, 3.0), (12, 30.0), (20, 7.0), (40, 7.0), (60, 1.0), (60, 30.0)]
    {
        let what = format!("{count} outages, uniform over {days} d");
        all.push(alarms(&what, 400, |rng| Past::over(days, uniform(count, days, rng))));
    }
    for (count, days) in [(12, 3.0), (40, 14.0)] {
        let what = format!("{count} outages, exponential up-time, {days} d");
        all.push(alarms(&what, 400, |rng| Past::over(days, gaps(count, days, rng, |rng| Exp1.sample(rng)))));
        let what = format!("{count} outages, up-time Pareto 1.2, {days} d");
        let pareto = Pareto::new(1.0, 1.2).expect("a distribution");
        all.push(alarms(&what, 400, |rng| Past::over(days, gaps(count, days, rng, |rng| pareto.sample(rng)))));
        let what = format!("{count} outages, up-time lognormal sigma 2, {days} d");
        let wide = LogNormal::new(0.0, 2.0).expect("a distribution");
        all.push(alarms(&what, 400, |rng| Past::over(days, gaps(count, days, rng, |rng| wide.sample(rng)))));
    }
    for (number, each, apart, days) in [
        (1, 30, 60.0, 3.0),
        (1, 30, 300.0, 3.0),
        (2, 20, 120.0, 3.0),
        (3, 8, 600.0, 7.0),
        (6, 6, 30.0, 7.0),
        (6, 6, 300.0, 7.0),
    ] {
        let what = format!("{number} bursts of {each} outages about {apart} s apart, {days} d");
        all.push(alarms(&what, 400, |rng| Past::over(days, bursts(number, each, apart, days, rng))));
    }
    let office =
        |days: u32| (0..days).map(|day| (f64::from(day) * DAY + 28_800.0, f64::from(day) * DAY + 64_800.0)).collect();
    for (count, days) in [(40, 14), (120, 30)] {
        let what = format!("{count} outages, the daemon stopped every night, {days} d");
        all.push(alarms(&what, 400, |rng| Past {
            outages: uniform(count, f64::from(days), rng),
            measured: office(days),
            interval: 1.0,
        }));
    }
    for (count, days, interval) in [(12, 3.0, 60.0), (40, 7.0, 60.0), (40, 7.0, 300.0)] {
        let what = format!("{count} outages, uniform over {days} d, probed every {interval} s");
        all.push(alarms(&what, 400, |rng| Past { interval, ..Past::over(days, uniform(count, days, rng)) }));
    }
    for (count, days, from, to, histories) in [
        (20, 14, 18, 22, 400),
        (20, 14, 20, 22, 400),
        (20, 14, 20, 21, 400),
        (40, 30, 18, 22, 200),
        (40, 30, 20, 21, 200),
    ] {
        let what = format!("{count} outages, between {from} and {to} o'clock only, {days} d");
        let evening = |rng: &mut SmallRng| {
            let hour = rng.random_range(f64::from(from)..f64::from(to));
            f64::from(rng.random_range(0..days)) * DAY + hour * 3_600.0
        };
        all.push(alarms(&what, histories, |rng| {
            let onsets: Vec<f64> = (0..count).map(|_| evening(rng)).collect();
            Past::over(f64::from(days), with_lengths(onsets, rng))
        }));
    }
    let (found, of) = all.iter().fold((0, 0), |(found, of), (one, count)| (found + one, of + count));
    println!("{:<60} {found:>4} of {of:>5}  {:.2} %", "together", 100.0 * found as f64 / of as f64);
    assert!(of >= 5_000 && found * 100 <= of, "{found} false alarms in {of} histories");
    // No way of being random stands out: each stays below what 1 % may come to by chance, three standard deviations up.
    let most = |of: u64| (of as f64 * 0.01 + 3.0 * (of as f64 * 0.01 * 0.99).sqrt()) as u64;
    assert!(all.iter().all(|&(found, of)| found <= most(of)), "{all:?}");
}

/// How often a rhythm is told, with the right period, and of the right kind besides; in parts of a thousand.
fn told(what: &str, count: u64, (kind, period): (Kind, f64), past: impl Fn(&mut SmallRng) -> Past) -> [u64; 3] {
    let found: Vec<Option<Rhythm>> = (0..count).map(|seed| past(&mut SmallRng::seed_from_u64(seed)).rhythm()).collect();
    let is_right = |rhythm: &Rhythm| (rhythm.period.as_secs_f64() / period - 1.0).abs() <= 0.01;
    let told = found.iter().flatten().count();
    let right = found.iter().flatten().filter(|rhythm| is_right(rhythm)).count();
    let kinds = found.iter().flatten().filter(|rhythm| is_right(rhythm) && rhythm.kind == kind).count();
    for rhythm in found.iter().flatten().filter(|rhythm| !is_right(rhythm)).take(3) {
        println!(
            "      {:?} {:?} ± {:?}, {} of {}",
            rhythm.kind, rhythm.period, rhythm.spread, rhythm.fitting, rhythm.of
        );
    }
    let parts = [told, right, kinds].map(|part| part as u64 * 1_000 / count);
    println!("{what:<60} told {:>4} ‰  period {:>4} ‰  kind {:>4} ‰", parts[0], parts[1], parts[2]);
    parts
}

#[test]
fn a_rhythm_is_found_with_its_period_and_kind() {
    const EIGHT: (Kind, f64) = (Kind::Renewal, 28_800.0);
    const HOUR: (Kind, f64) = (Kind::Renewal, 3_600.0);
    const DAILY: (Kind, f64) = (Kind::Clock, DAY);
    let own = told("renewal 8 h ± 30 s, 3 d, 3 random outages", 1_000, EIGHT, |rng| {
        Past::over(3.0, mixed(renewal(28_800.0, 30.0, 3.0, rng), uniform(3, 3.0, rng)))
    });
    let any = told("renewal 8 h ± 30 s restarted by 3 random outages, 3 d", 200, EIGHT, |rng| {
        let others = uniform(3, 3.0, rng);
        Past::over(3.0, restarted(28_800.0, 30.0, 3.0, &others, rng))
    });
    let hourly = told("renewal 1 h ± 30 s, 1 d", 100, HOUR, |rng| Past::over(1.0, renewal(3_600.0, 30.0, 1.0, rng)));
    let pure = told("renewal 8 h ± 30 s, 4 d", 100, EIGHT, |rng| Past::over(4.0, renewal(28_800.0, 30.0, 4.0, rng)));
    let week = told("daily ± 30 s, 7 d", 100, DAILY, |rng| Past::over(7.0, clock(DAY, 30.0, 7.0, rng)));
    let fortnight = told("daily ± 30 s, 14 d", 100, DAILY, |rng| Past::over(14.0, clock(DAY, 30.0, 14.0, rng)));
    for (what, parts) in [("own", own), ("any", any), ("hourly", hourly), ("pure", pure), ("fortnight", fortnight)] {
        assert!(parts.iter().all(|part| *part >= 990), "{what}: {parts:?}");
    }
    assert!(week[1] >= 990, "{week:?}");
}

/// Then either kind's differences agree, and only the period tells.
#[test]
fn the_kind_is_told_although_all_outages_are_equally_long() {
    let lasting =
        |lasted: f64, outages: Vec<(f64, f64)>| outages.into_iter().map(|(onset, _)| (onset, lasted)).collect();
    let daily = told("daily ± 2 s, 14 d, each lasts 300 s", 40, (Kind::Clock, DAY), |rng| {
        Past::over(14.0, lasting(300.0, clock(DAY, 2.0, 14.0, rng)))
    });
    let eight = told("renewal 8 h ± 2 s, 4 d, each lasts 900 s", 40, (Kind::Renewal, 28_800.0), |rng| {
        let mut at = rng.random_range(0.0..28_800.0);
        let mut onsets = Vec::new();
        while at < 4.0 * DAY {
            onsets.push((at, 900.0));
            at += 29_700.0 + rng.random_range(-2.0..2.0);
        }
        Past::over(4.0, onsets)
    });
    assert_eq!((daily[2], eight[2]), (1_000, 1_000));
}

/// What is hard: printed, and held only against being wrong.
#[test]
fn what_is_told_of_a_rhythm_that_is_hard_to_see_is_right() {
    const EIGHT: (Kind, f64) = (Kind::Renewal, 28_800.0);
    const DAILY: (Kind, f64) = (Kind::Clock, DAY);
    let missing = |outages: Vec<(f64, f64)>, rng: &mut SmallRng| -> Vec<(f64, f64)> {
        outages.into_iter().filter(|_| rng.random_bool(0.7)).collect()
    };
    let mut all = Vec::new();
    for days in [2.0, 3.0, 7.0] {
        all.push(told(&format!("renewal 8 h ± 30 s, {days} d"), 40, EIGHT, |rng| {
            Past::over(days, renewal(28_800.0, 30.0, days, rng))
        }));
        all.push(told(&format!("renewal 8 h ± 30 s, {days} d, 10 random outages"), 40, EIGHT, |rng| {
            Past::over(days, mixed(renewal(28_800.0, 30.0, days, rng), uniform(10, days, rng)))
        }));
        let eight = (Kind::Clock, 28_800.0);
        all.push(told(&format!("clock 8 h ± 30 s, {days} d"), 40, eight, |rng| {
            Past::over(days, clock(28_800.0, 30.0, days, rng))
        }));
    }
    for days in [7.0, 14.0] {
        all.push(told(&format!("daily ± 30 s, {days} d, 30 % missing, 3 random outages"), 40, DAILY, |rng| {
            let beats = clock(DAY, 30.0, days, rng);
            Past::over(days, mixed(missing(beats, rng), uniform(3, days, rng)))
        }));
        all.push(told(
            &format!("clock 8 h ± 30 s, {days} d, 30 % missing, 3 random"),
            40,
            (Kind::Clock, 28_800.0),
            |rng| {
                let beats = clock(28_800.0, 30.0, days, rng);
                Past::over(days, mixed(missing(beats, rng), uniform(3, days, rng)))
            },
        ));
    }
    for [told, right, _] in all {
        assert!(right * 100 >= told * 90, "of {told} told {right} had the right period");
    }
}
