//! The daemon's answer → a table of its targets, the worst first.
//!
//! It computes, and knows neither socket nor terminal.

use std::cmp::Reverse;
use std::fmt::Display;

use chrono::{DateTime, FixedOffset, TimeDelta, TimeZone, Timelike};

use super::layout::{COLUMNS, cut, lay_out, push};
pub use super::layout::{Colour, View};
use super::words::{ago, span, why};
use crate::control::protocol::{Answer, Health, Rtt, Target};
use crate::counted::counted;
use crate::monitor::outage::State;
use crate::printable::printable;

/// The table, with a line above it that sums it up. Times are shown in `zone`.
pub fn render<Z: TimeZone>(answer: &Answer, view: &View, zone: &Z) -> String
where
    Z::Offset: Display,
{
    let targets = answer.targets.as_deref().unwrap_or_default();
    let now = answer.now.as_deref().and_then(time);
    let mut ranked: Vec<Ranked> = targets.iter().map(|target| Ranked::new(target, now)).collect();
    ranked.sort_by_cached_key(Ranked::key);
    let mut head = vec![summary(answer, &ranked, now, zone)];
    head.extend([("log", &answer.log), ("ledger", &answer.ledger)].into_iter().filter_map(trouble));
    // Above the rows is the line of titles, below them how many there is no room for.
    let room = view.height.map_or(usize::MAX, |height| height.saturating_sub(head.len() + 1));
    let shown = if ranked.len() > room { room.saturating_sub(1) } else { ranked.len() };
    let rows: Vec<_> = ranked[..shown].iter().map(|ranked| (ranked.state, cells(ranked, now, zone))).collect();
    let mut out = String::new();
    head.into_iter().for_each(|line| push(cut(line, view.width), &mut out));
    if !ranked.is_empty() {
        lay_out(&rows, view, &mut out);
    }
    if shown < ranked.len() {
        push(format!("… and {} more", ranked.len() - shown), &mut out);
    }
    out
}

/// A target and what it is sorted by.
struct Ranked<'a> {
    target: &'a Target<'a>,
    state: Option<State>,
    since: Option<DateTime<FixedOffset>>,
    lasted: Option<TimeDelta>,
}

impl<'a> Ranked<'a> {
    fn new(target: &'a Target<'a>, now: Option<DateTime<FixedOffset>>) -> Self {
        let since = target.outage.as_ref().map(|outage| &outage.began).or(target.since.as_ref());
        let since = since.and_then(|since| time(since));
        let lasted = match &target.outage {
            Some(outage) => seconds(outage.lasted_s),
            None => since.zip(now).map(|(since, now)| now - since),
        };
        Self { target, state: State::of_word(&target.state), since, lasted }
    }

    /// The worst first; of these the longest down, the most lost, by name.
    fn key(&self) -> (u8, Reverse<Option<TimeDelta>>, Reverse<u64>, &'a str) {
        /// Finer than the share that one probe of a year is.
        const PARTS: f64 = 1e9;
        let down = self.lasted.filter(|_| self.target.outage.is_some());
        let loss = (self.target.loss.unwrap_or(0.0) * PARTS) as u64;
        (rank(self.state), Reverse(down), Reverse(loss), &self.target.name)
    }
}

fn seconds(seconds: f64) -> Option<TimeDelta> {
    // A cast of a float keeps within the bounds of its type.
    TimeDelta::try_milliseconds((seconds * 1e3) as i64)
}

/// A state unknown to this release comes first: it may be worse than any.
fn rank(state: Option<State>) -> u8 {
    match state {
        None => 0,
        Some(State::Down) => 1,
        Some(State::Behind) => 2,
        Some(State::Suspect) => 3,
        Some(State::Degraded) => 4,
        Some(State::Unknown) => 5,
        Some(State::Paused) => 6,
        Some(State::Up) => 7,
    }
}

/// The states from the worst on.
const STATES: [State; 7] =
    [State::Down, State::Behind, State::Suspect, State::Degraded, State::Unknown, State::Paused, State::Up];

fn shown_as(state: State) -> &'static str {
    match state {
        State::Unknown => "never up yet",
        State::Up | State::Degraded | State::Suspect | State::Down | State::Behind | State::Paused => state.word(),
    }
}

/// `212 targets: 3 down, 1 degraded, 208 up; 212 probes/s; 2026-11-22 13:10:02, pingtest 0.1.0 for 2d03h`
fn summary<Z: TimeZone>(answer: &Answer, ranked: &[Ranked], now: Option<DateTime<FixedOffset>>, zone: &Z) -> String
where
    Z::Offset: Display,
{
    let of = |state| ranked.iter().filter(|ranked| ranked.state == state).count();
    let counts = STATES.iter().map(|state| (of(Some(*state)), shown_as(*state))).chain([(of(None), "in other states")]);
    let counts = counts.filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    let counts = counts.collect::<Vec<_>>().join(", ");
    let targets = counted(ranked.len(), "target");
    let colon = if counts.is_empty() { "" } else { ": " };
    let per_second = |rate: String| format!("; {rate} {}/s", if rate == "1" { "probe" } else { "probes" });
    let rate = answer.rate.map(decimals).map(per_second).unwrap_or_default();
    let at = now.map(|now| format!("; {}", local(now, zone))).unwrap_or_default();
    let started = answer.started.as_deref().and_then(time);
    let running = started.zip(now).map(|(started, now)| format!(" for {}", span(now - started))).unwrap_or_default();
    format!("{targets}{colon}{counts}{rate}{at}, pingtest {}{running}", printable(&answer.version))
}

/// `log: cannot write …; 12 not written`, where something is wrong.
fn trouble((what, health): (&str, &Option<Health>)) -> Option<String> {
    let health = health.as_ref()?;
    let lost =
        health.not_written.filter(|count| *count > 0).map(|count| format!("{count} not written since the start"));
    let parts: Vec<_> = health.failing.iter().map(|text| printable(text)).chain(lost).collect();
    (!parts.is_empty()).then(|| format!("{what}: {}", parts.join("; ")))
}

fn cells<Z: TimeZone>(ranked: &Ranked, now: Option<DateTime<FixedOffset>>, zone: &Z) -> [String; COLUMNS]
where
    Z::Offset: Display,
{
    let target = ranked.target;
    let answered = target.answered.as_deref().and_then(time).zip(now).map(|(answered, now)| ago(now - answered));
    let state = ranked.state.map_or_else(|| printable(&target.state), |state| shown_as(state).to_owned());
    [
        state,
        printable(&target.name),
        address(target),
        or_dash(ranked.since.map(|since| local(since, zone))),
        or_dash(ranked.lasted.map(span)),
        or_dash(target.loss.map(|loss| format!("{:.2}%", loss * 100.0))),
        or_dash(target.rtt_ms.map(round_trips)),
        or_dash(answered),
        why(target, ranked.state),
    ]
}

/// `5.12/4.56`: the last and the mean.
fn round_trips(rtt: Rtt) -> String {
    format!("{}/{}", or_dash(rtt.last.map(millis)), millis(rtt.avg))
}

/// Three digits or so, as ping(8) has them.
fn millis(millis: f64) -> String {
    let decimals = match millis {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{millis:.decimals$}")
}

/// `172.17.0.2 (web001)`: the host only where neither name nor address says it.
fn address(target: &Target) -> String {
    let addr = target.addr.as_ref().map(|addr| printable(addr));
    let host =
        (Some(&target.host) != target.addr.as_ref() && target.host != target.name).then(|| printable(&target.host));
    match (addr, host) {
        (Some(addr), Some(host)) => format!("{addr} ({host})"),
        (None, Some(host)) => format!("- ({host})"),
        (addr, None) => or_dash(addr),
    }
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

/// Whole numbers without decimals.
fn decimals(number: f64) -> String {
    if number.fract() == 0.0 { format!("{number:.0}") } else { format!("{number:.1}") }
}

fn time(text: &str) -> Option<DateTime<FixedOffset>> {
    DateTime::parse_from_rfc3339(text).ok()
}

/// `2026-11-22 13:09:57`
fn local<Z: TimeZone>(at: DateTime<FixedOffset>, zone: &Z) -> String
where
    Z::Offset: Display,
{
    let at = at.with_timezone(zone).naive_local();
    at.with_nanosecond(0).unwrap_or(at).to_string()
}
