//! Random findings, held against a naive account of what they mean.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What may happen to a target, a second after the other.
#[derive(Debug, Clone, Copy)]
enum Step {
    Watch,
    Unwatch,
    Fail,
    Recover,
    Pause,
    Resume,
    Lose,
    Reply,
    Kill,
    Nothing,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Watch),
        Just(Step::Unwatch),
        Just(Step::Fail),
        Just(Step::Recover),
        Just(Step::Pause),
        Just(Step::Resume),
        Just(Step::Lose),
        Just(Step::Reply),
        Just(Step::Kill),
        Just(Step::Nothing),
    ]
}

/// One target as it should be told of.
#[derive(Debug, Default)]
struct Model {
    watched: Option<i64>,
    paused: Option<i64>,
    failed: Option<i64>,
    seq: u64,
    spans: Vec<Span>,
    gaps: Vec<Span>,
    /// By beginning: the end, or that nobody saw it.
    outages: BTreeMap<i64, Option<i64>>,
    sent: u64,
    lost: u64,
}

impl Model {
    fn unwatch(&mut self, second: i64) {
        self.spans.extend(self.watched.take().filter(|&from| from < second).map(|from| span(from, second)));
        self.gaps.extend(self.paused.take().filter(|&from| from < second).map(|from| span(from, second)));
    }
}

/// Plays a step to the ledger and to the model, where it is possible at all.
fn play(life: &mut Life, model: &mut Model, step: Step, second: i64) {
    let is_watched = model.watched.is_some();
    match step {
        Step::Watch if !is_watched => {
            (model.watched, model.seq) = (Some(second), 0);
            life.finding(second, "a", What::Watched);
        }
        Step::Unwatch if is_watched => {
            model.unwatch(second);
            model.failed = None;
            life.finding(second, "a", What::Unwatched);
        }
        Step::Fail if is_watched && model.failed.is_none() => {
            model.failed = Some(second);
            model.outages.insert(second, None);
            life.finding(second, "a", What::OutageBegan(outage(second, None)));
        }
        Step::Recover if is_watched => {
            let Some(began) = model.failed.take() else { return };
            model.outages.insert(began, Some(second));
            life.finding(second, "a", What::OutageEnded(outage(began, Some(second))));
        }
        Step::Pause if is_watched && model.paused.is_none() => {
            model.paused = Some(second);
            life.finding(second, "a", What::GapBegan { from: at(second), why: Gap::Paused });
        }
        Step::Resume if is_watched => {
            let Some(from) = model.paused.take() else { return };
            model.gaps.push(span(from, second));
            life.finding(second, "a", What::GapEnded { until: at(second) });
        }
        Step::Lose if is_watched => {
            (model.seq, model.sent, model.lost) = (model.seq + 1, model.sent + 1, model.lost + 1);
            life.queue.record(&lost(second, "a", model.seq));
        }
        Step::Reply if is_watched => {
            (model.seq, model.sent) = (model.seq + 1, model.sent + 1);
            life.queue.record(&reply(second, "a", model.seq, 500));
        }
        Step::Watch
        | Step::Unwatch
        | Step::Fail
        | Step::Recover
        | Step::Pause
        | Step::Resume
        | Step::Lose
        | Step::Reply
        | Step::Kill
        | Step::Nothing => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_ledger_tells_what_happened(steps in proptest::collection::vec(step(), 1..90)) {
        let bench = Bench::new();
        let mut model = Model::default();
        let mut life = bench.begin(0, &["a"]);
        let mut second = 0;
        for step in steps {
            second += 3;
            play(&mut life, &mut model, step, second);
            life.turn(second);
            if matches!(step, Step::Kill) {
                let was_watched = model.watched.is_some();
                model.unwatch(second);
                drop(life);
                second += 3;
                life = bench.begin(second, &["a"]);
                let carried = life.carried.first().and_then(|known| known.outage.as_ref()).map(|outage| outage.began.at);
                prop_assert_eq!(carried, model.failed.map(at));
                if was_watched {
                    play(&mut life, &mut model, Step::Watch, second);
                    life.turn(second);
                }
            }
        }
        second += 3;
        life.end(second);
        model.unwatch(second);
        let history = bench.read(second);
        prop_assert!(bench.heard().is_empty(), "{:?}", bench.heard());
        let Some(told) = history.targets.first() else {
            prop_assert!(model.spans.is_empty());
            return Ok(());
        };
        // What touches is told as one.
        let seconds = |spans: &[Span]| spans.iter().map(|span| (span.until - span.from).as_secs()).sum::<u64>();
        prop_assert_eq!(seconds(&told.watched), seconds(&model.spans));
        let gaps: Vec<Span> = told.gaps.iter().map(|&(span, _)| span).collect();
        prop_assert_eq!(gaps, model.gaps);
        prop_assert_eq!((told.probes.sent, told.probes.lost), (model.sent, model.lost));
        let outages: BTreeMap<i64, Option<i64>> = told.outages.iter().map(|outage| {
            let second = |at: Wall| at.as_nanos() / 1_000_000_000 - DAY;
            (second(outage.began), outage.ended.map(second))
        }).collect();
        prop_assert_eq!(&outages, &model.outages);
        for outage in &told.outages {
            let lasts = model.failed == Some(outage.began.as_nanos() / 1_000_000_000 - DAY);
            prop_assert_eq!(outage.is_abandoned, outage.ended.is_none() && !lasts);
        }
    }
}
