//! `pingtest outages`: its figures against a naive model, its words against golden texts, its JSON against a parser.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use chrono::FixedOffset;
use pingtest::ledger::history::{History, PastOutage, Probes, Span, TargetHistory};
use pingtest::monitor::finding::Gap;
use pingtest::monitor::sketch::Sketch;
use pingtest::monitor::time::Wall;
use pingtest::outages::figures::{Figures, Why, common, measured, total, united, without};
use pingtest::outages::{Format, report};
use proptest::prelude::*;

/// 2026-11-20 00:00 one hour east of Greenwich.
const START: i64 = 1_795_129_200;
const DAY: i64 = 86_400;

fn at(second: i64) -> Wall {
    Wall::from_nanos((START + second) * 1_000_000_000)
}

fn span(from: i64, until: i64) -> Span {
    Span { from: at(from), until: at(until) }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds.unsigned_abs())
}

fn outage(began: i64, ended: Option<i64>) -> PastOutage {
    PastOutage {
        began: at(began),
        began_earliest: Some(at(began - 1)),
        ended: ended.map(at),
        ended_earliest: ended.map(|ended| at(ended - 1)),
        is_abandoned: false,
        lasted: seconds(ended.map_or(5, |ended| ended - began)),
        unmeasured: Duration::ZERO,
        cause: "unanswered".into(),
        detail: None,
        from: None,
        lost: ended.map_or(5, |ended| (ended - began).unsigned_abs()),
        fragments: 1,
        new_ids: 0,
        new_id_helped: false,
        behind: 0,
    }
}

fn target(name: &str, outages: Vec<PastOutage>) -> TargetHistory {
    TargetHistory {
        name: name.into(),
        host: "192.0.2.1".into(),
        outages,
        watched: vec![span(0, DAY)],
        never_up: Vec::new(),
        gaps: Vec::new(),
        probes: Probes::default(),
        addresses: Vec::new(),
    }
}

fn history(targets: Vec<TargetHistory>) -> History {
    History { from: at(0), until: at(DAY), is_live: true, counts_from: None, targets }
}

fn told(history: &History, is_single: bool, format: Format) -> String {
    let zone = FixedOffset::east_opt(3_600).expect("an offset");
    let mut out = Vec::new();
    report(history, is_single, format, &zone, &mut out).expect("written");
    String::from_utf8(out).expect("text")
}

fn text(history: &History) -> String {
    told(history, false, Format::Text)
}

fn sketch(values: &[u64]) -> Sketch {
    let mut sketch = Sketch::default();
    values.iter().for_each(|value| sketch.add(*value));
    sketch
}

#[test]
fn outages_are_listed_with_their_bounds_causes_and_figures() {
    let refused = PastOutage {
        cause: "unreachable".into(),
        detail: Some("Destination Host Unreachable".into()),
        from: Some("10.0.0.1".into()),
        behind: 40,
        ..outage(3_600, Some(3_612))
    };
    let merged = PastOutage {
        unmeasured: seconds(20),
        fragments: 3,
        new_ids: 2,
        new_id_helped: true,
        ..outage(40_000, Some(40_900))
    };
    let mut gateway = target("gw", vec![refused, merged]);
    gateway.gaps = vec![(span(40_100, 40_120), Gap::Suspended)];
    gateway.probes = Probes { sent: 86_380, lost: 912, late: 2, ..Probes::default() };
    let quiet = target("quiet", Vec::new());
    let web = target("web", vec![outage(86_390, None)]);
    let expected = "\
began                ended                lasted            target  cause
2026-11-20 01:00:00  2026-11-20 01:00:12  12.0 s ± 1.0 s    gw      unreachable (Destination Host Unreachable, from 10.0.0.1); 12 lost; 40 others behind it
2026-11-20 11:06:40  2026-11-20 11:21:40  15 m 0 s ± 1.0 s  gw      unanswered; 900 lost; of that 20.0 s not measured: the system was suspended; merged of 3; a new ICMP identifier helped
2026-11-20 23:59:50  lasts                10.0 s ± 1.0 s    web     unanswered; 5 lost

2026-11-20 00:00:00 to 2026-11-21 00:00:00, 1 d 0 h:
target  availability  coverage  outages  total      longest    MTBF       MTTR      loss
gw      98.967 %      99.976 %  2        14 m 52 s  14 m 40 s  11 h 52 m  7 m 26 s  1.054 %
web     99.988 %      100 %     1        10.0 s     10.0 s     1 d 0 h    -         -
1 target without outages
";
    assert_eq!(text(&history(vec![gateway, quiet, web])), expected);
}

#[test]
fn no_outages_are_told_with_the_measured_time() {
    let mut one = target("one", Vec::new());
    one.gaps = vec![(span(0, 86), Gap::Paused)];
    assert_eq!(text(&history(vec![one.clone()])), "no outages; measured 99.900 % of 1 d 0 h\n");
    let both = history(vec![one, target("two", Vec::new())]);
    assert_eq!(text(&both), "no outages of 2 targets; measured 99.950 % of 1 d 0 h\n");
}

#[test]
fn a_time_in_which_nothing_was_measured_has_no_availability() {
    let never = TargetHistory { watched: Vec::new(), ..target("never", Vec::new()) };
    let history = history(vec![never]);
    assert_eq!(text(&history), "nothing was measured between 2026-11-20 00:00:00 and 2026-11-21 00:00:00\n");
    let figures = Figures::of(&history.targets[0], &history);
    assert_eq!((figures.availability(), figures.coverage()), (None, Some(0.0)));
    assert_eq!(figures.not_measured, [(Why::NotWatched, seconds(DAY))]);
}

#[test]
fn a_target_that_was_never_up_is_not_told_as_available() {
    let never_up = vec![span(0, DAY)];
    let dead = TargetHistory {
        probes: Probes { sent: 86_400, lost: 86_400, loss_periods: 1, ..Probes::default() },
        never_up: never_up.clone(),
        ..target("dead", Vec::new())
    };
    let late = TargetHistory { never_up: vec![span(0, DAY / 2)], ..target("late", Vec::new()) };
    let good = target("good", vec![outage(10, Some(20))]);
    let quiet = history(vec![dead.clone(), late.clone()]);
    let told_quiet = "no outages of 2 targets; measured 25.000 % of 1 d 0 h\n1 target was never up: dead\n";
    assert_eq!(text(&quiet), told_quiet);
    let alone = history(vec![dead.clone()]);
    let nothing =
        "nothing was measured between 2026-11-20 00:00:00 and 2026-11-21 00:00:00\n1 target was never up: dead\n";
    assert_eq!(text(&alone), nothing);
    let twin = TargetHistory { name: "twin".into(), never_up, ..dead.clone() };
    let all = history(vec![dead, good, late, twin]);
    let shown = text(&all);
    assert!(shown.ends_with("\n1 target without outages\n2 targets were never up: dead, twin\n"), "{shown}");
    let json: serde_json::Value = serde_json::from_str(&told(&all, false, Format::Json)).expect("JSON");
    let of = |name: &str| json["targets"].as_array().unwrap().iter().find(|one| one["target"] == name).unwrap().clone();
    assert!(of("dead")["availability"].is_null());
    assert_eq!(of("dead")["not_measured_s"], serde_json::json!({ "never_up": 86_400.0 }));
    assert_eq!((&of("late")["availability"], &of("late")["coverage"]), (&1.0.into(), &0.5.into()));
}

#[test]
fn counts_that_do_not_reach_back_say_so() {
    let mut one = target("one", vec![outage(10, Some(20))]);
    one.probes = Probes { sent: 10, lost: 3, loss_periods: 1, loss_distances: sketch(&[1, 4, 4]), ..Probes::default() };
    let history = History { counts_from: Some(at(DAY / 2)), ..history(vec![one]) };
    assert!(text(&history).ends_with("\nloss since 2026-11-20 12:00\n"), "{}", text(&history));
    let shown = told(&history, true, Format::Text);
    assert!(shown.contains("\nloss distance p10/median/p90 = 1/4/4 probes\n"), "{shown}");
    let json: serde_json::Value = serde_json::from_str(&told(&history, false, Format::Json)).expect("JSON");
    assert_eq!(json["counts_from"], "2026-11-20T12:00:00.000000+01:00");
}

#[test]
fn total_longest_and_mean_are_of_the_measured_time() {
    let stopped = PastOutage { unmeasured: seconds(79_990), ..outage(10, Some(80_010)) };
    let mut one = target("one", vec![stopped]);
    one.watched = vec![span(0, 20), span(80_000, DAY)];
    let history = history(vec![one]);
    let figures = Figures::of(&history.targets[0], &history);
    assert_eq!((figures.down, figures.longest, figures.mttr), (seconds(20), Some(seconds(20)), Some(seconds(20))));
    assert!(text(&history).contains("  22 h 13 m ± 1.0 s  one "), "{}", text(&history));
}

#[test]
fn one_target_is_told_of_in_full() {
    let mut one = target("one", vec![outage(100, Some(110))]);
    one.gaps = vec![(span(1_000, 1_030), Gap::Paused), (span(2_000, 2_300), Gap::BehindParent)];
    one.watched = vec![span(0, 50_000), span(60_000, DAY)];
    let loss_distances = sketch(&[1, 1, 40]);
    let rtt = sketch(&[10_000; 50]);
    one.probes = Probes { sent: 76_000, lost: 12, late: 1, loss_periods: 4, loss_distances, rtt };
    let shown = told(&history(vec![one]), true, Format::Text);
    let details: Vec<_> = shown.lines().skip_while(|line| !line.starts_with("not measured")).collect();
    assert_eq!(
        details[..4],
        [
            "not measured 2 h 47 m: pingtest was stopped",
            "not measured 5 m 0 s: its parent was down",
            "not measured 30.0 s: it was paused",
            "76000 probes, 12 lost (1 of them late), 0.015 % loss, in 4 loss periods (RFC 3357), 3.0 each",
        ]
    );
    assert!(details[5].starts_with("rtt median/p90/p99/max = "), "{shown}");
}

#[test]
fn the_timer_of_a_vpn_is_told_in_one_sentence() {
    // Up for 8 h after each recovery, down for some 15 minutes; one outage besides.
    let mut began = 7_200;
    let mut outages = Vec::new();
    for (jitter, lasted) in
        [13, -9, 20, -16, 4, 11, -20, 6, 0].into_iter().zip([900, 720, 1_400, 610, 980, 300, 1_050, 840, 930])
    {
        outages.push(outage(began, Some(began + lasted)));
        began += lasted + 28_800 + jitter;
    }
    outages.insert(3, outage(80_000, Some(80_030)));
    let vpn = TargetHistory { watched: vec![span(0, 3 * DAY + 7_200)], ..target("vpn", outages) };
    let history =
        History { from: at(0), until: at(3 * DAY + 7_200), is_live: true, counts_from: None, targets: vec![vpn] };
    let shown = text(&history);
    let sentence = shown.lines().last().expect("a sentence");
    assert!(sentence.starts_with("vpn: 8 of 10 outages began 8 h 0 m ± "), "{sentence}");
    assert!(
        sentence.contains(" after the previous recovery: looks like an IKE/SA lifetime of 28,800 s on one side"),
        "{sentence}"
    );
    let json: serde_json::Value = serde_json::from_str(&told(&history, false, Format::Json)).expect("JSON");
    let rhythm = &json["targets"][0]["rhythm"];
    assert_eq!((&rhythm["kind"], &rhythm["fitting"], &rhythm["of"]), (&"renewal".into(), &8.into(), &10.into()));
    assert!(sentence.ends_with(rhythm["text"].as_str().expect("text")));
}

#[test]
fn a_daily_outage_is_told_with_its_hour() {
    let outages =
        (0..14).map(|day| outage(day * DAY + 11_520 + day % 3, Some(day * DAY + 11_600 + day * 60))).collect();
    let until = 14 * DAY;
    let line = TargetHistory { watched: vec![span(0, until)], ..target("line", outages) };
    let shown = text(&History { from: at(0), until: at(until), is_live: true, counts_from: None, targets: vec![line] });
    let sentence = "line: 14 of 14 outages began daily at about 03:12 ± 3.0 s: looks like a forced reconnect (PPPoE), a lease or a \
        scheduled job; the next is to be expected about 2026-12-04 03:12";
    assert_eq!(shown.lines().last(), Some(sentence));
}

#[test]
fn what_others_said_moves_nobodys_cursor() {
    let loud = PastOutage { detail: Some("\x1b[2Jhost\u{9b}\nunreachable".into()), ..outage(10, Some(20)) };
    let history = history(vec![target("\x07bell", vec![loud])]);
    for format in [Format::Text, Format::Json] {
        let shown = told(&history, true, format);
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
    }
}

#[test]
fn json_has_every_key_and_whole_times() {
    let mut one = target("one", vec![outage(100, Some(110)), outage(86_000, None)]);
    one.gaps = vec![(span(1_000, 1_030), Gap::Paused)];
    one.probes = Probes { sent: 100, lost: 15, late: 5, loss_periods: 2, ..Probes::default() };
    let shown = told(&history(vec![one]), false, Format::Json);
    assert_eq!(shown.lines().count(), 1);
    let json: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(json["from"], "2026-11-20T00:00:00.000000+01:00");
    let one = &json["targets"][0];
    assert_eq!(one["not_measured_s"], serde_json::json!({ "paused": 30.0 }));
    assert_eq!((&one["measured_s"], &one["total_s"], &one["loss"]), (&86_370.0.into(), &410.0.into(), &0.1.into()));
    assert_eq!((&one["mttr_s"], &one["mtbf_s"], &one["longest_s"]), (&10.0.into(), &42_980.0.into(), &400.0.into()));
    assert!(one["rhythm"].is_null() && one["rtt_ms"].is_null());
    let (over, lasts) = (&one["outages"][0], &one["outages"][1]);
    assert_eq!(over["ended"], "2026-11-20T00:01:50.000000+01:00");
    assert!(lasts["ended"].is_null() && lasts["open"] == true && lasts["lasted_s"] == 400.0);
}

#[test]
fn an_open_outage_lasts_as_long_as_somebody_can_know() {
    let watched = vec![span(0, 1_000), span(2_000, 3_000)];
    let abandoned = PastOutage { is_abandoned: true, lasted: seconds(900), ..outage(100, None) };
    for (one, is_live, down) in [
        (outage(2_900, None), true, 100),
        (outage(2_900, None), false, 5),
        (abandoned.clone(), true, 900),
        (abandoned, false, 900),
    ] {
        let target = TargetHistory { watched: watched.clone(), ..target("one", vec![one]) };
        let history = History { from: at(0), until: at(3_000), is_live, counts_from: None, targets: vec![target] };
        assert_eq!(Figures::of(&history.targets[0], &history).down, seconds(down));
    }
}

#[test]
fn a_ledger_that_cannot_be_read_is_named_and_no_success() {
    let run =
        |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_pingtest")).arg("outages").args(args).output().expect("run");
    let output = run(&["--ledger", "/nonexistent/ledger.db"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("/nonexistent/ledger.db") && said.contains("has the daemon run"), "{said}");
    assert_eq!(run(&["--since", "whenever"]).status.code(), Some(64));
    assert_eq!(run(&["--config", "/nonexistent.toml"]).status.code(), Some(78));
}

/// Seconds of a span, each a whole one.
fn covered(spans: &[(i64, i64)]) -> BTreeSet<i64> {
    spans.iter().flat_map(|&(from, until)| from..until).collect()
}

fn spans(pairs: &[(i64, i64)]) -> Vec<Span> {
    pairs.iter().map(|&(from, until)| span(from, until)).collect()
}

fn stretch() -> impl Strategy<Value = (i64, i64)> {
    (-20_i64..220, 0_i64..60).prop_map(|(from, length)| (from, from + length))
}

/// Stretches within 0 to 200, apart.
fn apart() -> impl Strategy<Value = Vec<(i64, i64)>> {
    prop::collection::vec(stretch(), 0..6).prop_map(|stretches| {
        let seconds: Vec<i64> = covered(&stretches).into_iter().filter(|second| (0..200).contains(second)).collect();
        let mut found: Vec<(i64, i64)> = Vec::new();
        for second in seconds {
            match found.last_mut() {
                Some(last) if last.1 == second => last.1 += 1,
                _ => found.push((second, second + 1)),
            }
        }
        found
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sets_of_stretches_agree_with_sets_of_seconds(
        one in prop::collection::vec(stretch(), 0..8),
        other in prop::collection::vec(stretch(), 0..8),
    ) {
        let (a, b) = (united(spans(&one)), united(spans(&other)));
        let (x, y) = (covered(&one), covered(&other));
        prop_assert_eq!(total(&a), seconds(x.len() as i64));
        prop_assert_eq!(total(&common(&a, &b)), seconds(x.intersection(&y).count() as i64));
        prop_assert_eq!(total(&without(&a, &b)), seconds(x.difference(&y).count() as i64));
        prop_assert!(without(&a, &b).windows(2).all(|pair| pair[0].until <= pair[1].from));
    }

    #[test]
    fn figures_agree_with_counting_seconds(
        watched in apart(),
        mut gaps in prop::collection::vec((stretch(), 0..Gap::ALL.len()), 0..6),
        never_up in apart(),
        mut outages in prop::collection::vec(stretch(), 0..5),
    ) {
        gaps.sort();
        outages.sort();
        let history = History {
            from: at(0),
            until: at(200),
            is_live: false,
            counts_from: None,
            targets: vec![TargetHistory {
                outages: outages.iter().map(|&(began, ended)| outage(began, Some(ended))).collect(),
                watched: spans(&watched),
                never_up: spans(&never_up),
                gaps: gaps.iter().map(|&((from, until), gap)| (span(from, until), Gap::ALL[gap])).collect(),
                ..target("one", Vec::new())
            }],
        };
        let (mut up, mut down, mut not_watched, mut unknown, mut by_gap) = (0, 0, 0, 0, [0; Gap::ALL.len()]);
        for second in 0..200 {
            let holds = |&(from, until): &(i64, i64)| (from..until).contains(&second);
            match gaps.iter().find(|(gap, _)| holds(gap)) {
                _ if !watched.iter().any(holds) => not_watched += 1,
                Some((_, gap)) => by_gap[*gap] += 1,
                None if never_up.iter().any(holds) => unknown += 1,
                None if outages.iter().any(holds) => down += 1,
                None => up += 1,
            }
        }
        let target = &history.targets[0];
        let figures = Figures::of(target, &history);
        prop_assert_eq!(figures.measured, seconds(up + down));
        prop_assert_eq!(total(&measured(target)), figures.measured);
        prop_assert_eq!(figures.down, seconds(down));
        let expected = (up + down > 0).then(|| up as f64 / (up + down) as f64);
        let off = figures.availability().zip(expected).map(|(one, other)| (one - other).abs());
        prop_assert_eq!((figures.availability().is_some(), off.is_some()), (expected.is_some(), expected.is_some()));
        prop_assert!(off.is_none_or(|off| off < 1e-12));
        let time = |why: Why| figures.not_measured.iter().find(|(one, _)| *one == why).map_or(Duration::ZERO, |(_, time)| *time);
        prop_assert_eq!(time(Why::NotWatched), seconds(not_watched));
        prop_assert_eq!(time(Why::NeverUp), seconds(unknown));
        for (gap, expected) in Gap::ALL.into_iter().zip(by_gap) {
            prop_assert_eq!(time(Why::Gap(gap)), seconds(expected));
        }
        let sum: Duration = figures.not_measured.iter().map(|(_, time)| *time).sum();
        prop_assert_eq!(figures.measured + sum, figures.time);
    }
}
