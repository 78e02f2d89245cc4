//! What the daemon knows → the line that answers `status`.
//!
//! Targets are rendered one by one into the text: ten thousand of them are never held twice.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeZone};
use serde::{Serialize, Serializer};

use super::Snapshot;
use super::protocol::{Answer, Counts, Outage, Rtt, Strays, Target, Text};
use crate::monitor::outage::{self, Cause, State};
use crate::monitor::snapshot::TargetStatus;
use crate::monitor::target::{Addr, Host, Name};
use crate::monitor::time::Wall;
use crate::monitor::window;

/// Bytes that a target takes, roughly: so much room is made at once.
const TARGET_BYTES: usize = 512;

/// Names told where one is none.
const NAMES_TOLD: usize = 10;

/// The answer to `status`: of the targets named `wanted`, or of all where none is named. Times are in `zone`.
pub(super) fn status<Z: TimeZone>(snapshot: &Snapshot, wanted: &[String], zone: &Z) -> Vec<u8>
where
    Z::Offset: Display,
{
    match chosen(&snapshot.targets, wanted) {
        Ok(chosen) => listed(snapshot, &chosen, zone),
        Err(unknown) => refusal(&no_such_target(unknown, &snapshot.targets)),
    }
}

/// An answer that grants an order.
pub(super) fn granted() -> Vec<u8> {
    line(&Answer::<()>::new(true), 0)
}

/// An answer that refuses.
pub(super) fn refusal(error: &str) -> Vec<u8> {
    line(&Answer::<()> { error: Some(error.into()), ..Answer::new(false) }, 0)
}

/// `there is no target "alidsn" (there are: alidns, web001, …)`, those first that begin alike.
pub(super) fn no_such_target(unknown: &str, targets: &[TargetStatus]) -> String {
    let alike = |name: &str| iter::zip(name.bytes(), unknown.bytes()).take_while(|(a, b)| a == b).count();
    let mut names: Vec<_> = targets.iter().map(|target| target.target.name.as_str()).collect();
    names.sort_by_key(|name| (usize::MAX - alike(name), *name));
    let more = if names.len() > NAMES_TOLD { ", …" } else { "" };
    names.truncate(NAMES_TOLD);
    format!("there is no target {unknown:?} (there are: {}{more})", names.join(", "))
}

/// The targets of these names, or the first name that is none.
fn chosen<'a, 'w>(targets: &'a [TargetStatus], wanted: &'w [String]) -> Result<Vec<&'a TargetStatus>, &'w str> {
    if wanted.is_empty() {
        return Ok(targets.iter().collect());
    }
    let known = targets.iter().map(|target| &target.target.name).collect();
    let mut names = BTreeSet::new();
    for name in wanted {
        let meant = meant_by(name, &known);
        if meant.is_empty() {
            return Err(name);
        }
        names.extend(meant);
    }
    Ok(targets.iter().filter(|target| names.contains(&target.target.name)).collect())
}

/// What the configuration adds to the name of a target of both families for each of its legs.
const LEGS: [&str; 2] = [".ipv4", ".ipv6"];

/// The legs of a target of both families of this name.
pub(super) fn legs(name: &str, targets: &[TargetStatus]) -> Vec<Name> {
    legs_among(name, |leg| targets.iter().any(|target| target.target.name == *leg))
}

fn legs_among(name: &str, is_known: impl Fn(&Name) -> bool) -> Vec<Name> {
    LEGS.iter().filter_map(|suffix| Name::new(&format!("{name}{suffix}"))).filter(is_known).collect()
}

/// The target of this name, or the legs of that which the configuration calls so.
fn meant_by(name: &str, known: &BTreeSet<&Name>) -> Vec<Name> {
    match Name::new(name).filter(|name| known.contains(name)) {
        Some(name) => vec![name],
        None => legs_among(name, |leg| known.contains(leg)),
    }
}

fn listed<Z: TimeZone>(snapshot: &Snapshot, targets: &[&TargetStatus], zone: &Z) -> Vec<u8>
where
    Z::Offset: Display,
{
    let words = Words { zone, zone_names: zone_names(snapshot) };
    let crate::monitor::Strays { foreign, stale, forged } = snapshot.strays;
    let answer = Answer {
        now: Some(words.time(snapshot.now)),
        started: Some(words.time(snapshot.started)),
        pid: Some(std::process::id()),
        rate: Some(rounded(rate(targets), 1e3)),
        counts: Some(counts(targets)),
        strays: Some(Strays { foreign, stale, forged }),
        log: snapshot.log.clone(),
        ledger: snapshot.ledger.clone(),
        targets: Some(Listed { targets, words: &words }),
        ..Answer::new(true)
    };
    line(&answer, targets.len() * TARGET_BYTES)
}

fn line(answer: &impl Serialize, bytes: usize) -> Vec<u8> {
    let mut line = Vec::with_capacity(bytes + TARGET_BYTES);
    // Memory takes everything, and every key is a text.
    let _ = serde_json::to_writer(&mut line, answer);
    line.push(b'\n');
    line
}

fn rate(targets: &[&TargetStatus]) -> f64 {
    let probed = targets.iter().filter(|target| target.state != State::Paused && !target.interval.is_zero());
    // Not `sum`, to which nothing is -0.
    probed.fold(0.0, |rate, target| rate + target.interval.as_secs_f64().recip())
}

fn counts(targets: &[&TargetStatus]) -> Counts {
    targets.iter().fold(Counts::default(), |mut counts, target| {
        *match target.state {
            State::Unknown => &mut counts.unknown,
            State::Up => &mut counts.up,
            State::Degraded => &mut counts.degraded,
            State::Suspect => &mut counts.suspect,
            State::Down => &mut counts.down,
            State::Behind => &mut counts.behind,
            State::Paused => &mut counts.paused,
        } += 1;
        counts
    })
}

/// Renders targets while they are written.
struct Listed<'a, Z: TimeZone> {
    targets: &'a [&'a TargetStatus],
    words: &'a Words<'a, Z>,
}

impl<Z: TimeZone> Serialize for Listed<'_, Z>
where
    Z::Offset: Display,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.targets.iter().map(|target| self.words.target(target)))
    }
}

/// Each interface's name is asked for once: ten thousand link-local addresses lie behind a few.
fn zone_names(snapshot: &Snapshot) -> HashMap<u32, Arc<str>> {
    let addrs = snapshot.targets.iter().flat_map(addrs);
    let scopes: BTreeSet<u32> = addrs.map(|addr| addr.scope).filter(|scope| *scope != 0).collect();
    scopes.into_iter().filter_map(|scope| Some((scope, (snapshot.zone_name)(scope)?))).collect()
}

fn addrs(target: &TargetStatus) -> impl Iterator<Item = Addr> {
    let from = target.outage.as_ref().and_then(|outage| match &outage.cause {
        Cause::DifferentAddress(from) | Cause::Unreachable { from, .. } => Some(*from),
        Cause::Unanswered | Cause::Damaged | Cause::NotResolved(_) => None,
    });
    target.addr.into_iter().chain(from)
}

/// Writes times in a zone and addresses with theirs.
struct Words<'z, Z: TimeZone> {
    zone: &'z Z,
    zone_names: HashMap<u32, Arc<str>>,
}

impl<Z: TimeZone> Words<'_, Z>
where
    Z::Offset: Display,
{
    fn target<'a>(&self, status: &'a TargetStatus) -> Target<'a> {
        let window = &status.window;
        Target {
            name: status.target.name.as_str().into(),
            host: host(&status.target.host),
            addr: status.addr.map(|addr| self.addr(addr)),
            state: status.state.word().into(),
            since: status.since.map(|since| self.time(since)),
            outage: status.outage.as_ref().map(|outage| self.outage(outage)),
            behind: status.behind.as_ref().map(|parent| parent.as_str().into()),
            not_resolved: status.not_resolved.as_deref().map(Text::from),
            gap: status.gap.map(|gap| Text::from(gap.word())),
            answered: status.answered.map(|answered| self.time(answered)),
            interval_s: status.interval.as_secs_f64(),
            sent: window.sent,
            replies: window.replies,
            lost: window.lost.total(),
            in_flight: window.in_flight,
            loss: window.loss().map(|loss| rounded(loss, 1e6)),
            late: window.late,
            duplicates: window.duplicates,
            not_sent: window.not_sent,
            not_measured: window.not_measured,
            rtt_ms: rtt(&window.rtt),
        }
    }

    fn outage<'a>(&self, outage: &'a outage::Outage) -> Outage<'a> {
        let (cause, detail, from) = match &outage.cause {
            Cause::Unanswered => ("unanswered", None, None),
            Cause::Damaged => ("damaged", None, None),
            Cause::DifferentAddress(from) => ("different_address", None, Some(*from)),
            Cause::NotResolved(why) => ("not_resolved", Some(Text::from(&**why)), None),
            Cause::Unreachable { error, from } => ("unreachable", Some(error.to_string().into()), Some(*from)),
        };
        Outage {
            began: self.time(outage.began.at),
            began_earliest: outage.began.earliest.map(|earliest| self.time(earliest)),
            lasted_s: rounded(outage.lasted.as_secs_f64(), 1e6),
            cause: cause.into(),
            detail,
            from: from.map(|from| self.addr(from)),
            first_seq: outage.first_seq,
            lost: outage.lost,
            unmeasured_s: rounded(outage.unmeasured.as_secs_f64(), 1e6),
            fragments: outage.fragments,
            new_ids: outage.new_ids,
            behind: outage.behind,
        }
    }

    /// As JSON lines have it: microseconds and a numeric offset.
    fn time(&self, at: Wall) -> Text<'static> {
        let time = DateTime::from_timestamp_nanos(at.as_nanos()).with_timezone(self.zone);
        time.to_rfc3339_opts(SecondsFormat::Micros, false).into()
    }

    fn addr(&self, addr: Addr) -> Text<'static> {
        match (addr.scope, self.zone_names.get(&addr.scope)) {
            (0, _) => addr.ip.to_string(),
            (_, Some(name)) => format!("{}%{name}", addr.ip),
            // An interface that has gone leaves its number.
            (scope, None) => format!("{}%{scope}", addr.ip),
        }
        .into()
    }
}

fn host(host: &Host) -> Text<'_> {
    match host {
        Host::Address(addr) => addr.ip.to_string().into(),
        Host::Name(name) => (&**name).into(),
    }
}

fn rtt(rtt: &window::Rtt) -> Option<Rtt> {
    let avg = rtt.mean()?;
    Some(Rtt {
        min: millis(rtt.min()),
        avg: millis(avg),
        max: millis(rtt.max()),
        last: Some(millis(rtt.last())),
        jitter: millis(rtt.jitter()),
    })
}

/// Milliseconds, to the microsecond.
fn millis(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1e3, 1e3)
}

fn rounded(number: f64, parts: f64) -> f64 {
    (number * parts).round() / parts
}
