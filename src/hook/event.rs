//! What a hook tells: a finding as JSON and as environment variables, pure.
//!
//! It knows neither who is told nor how. The words are those of the configuration and of JSON lines.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeZone};
use serde::Serialize;

use crate::config::Trigger;
use crate::monitor::finding::{self, Finding, WarmUp, What};
use crate::monitor::outage::{self, State};
use crate::monitor::target::Addr;
use crate::monitor::time::Wall;

/// Each variable that a command may find; one that does not apply is absent.
pub(super) const VARIABLES: [&str; 11] = [
    "PINGTEST_EVENT",
    "PINGTEST_TARGET",
    "PINGTEST_HOST",
    "PINGTEST_ADDR",
    "PINGTEST_CAUSE",
    "PINGTEST_BEGAN",
    "PINGTEST_ENDED",
    "PINGTEST_LASTED",
    "PINGTEST_OLD",
    "PINGTEST_NEW",
    "PINGTEST_MISSED",
];

/// The trigger that a finding pulls, if any.
pub(super) fn trigger(what: &What) -> Option<Trigger> {
    match what {
        What::OutageBegan(_) => Some(Trigger::OutageBegan),
        What::OutageEnded(_) => Some(Trigger::OutageEnded),
        What::FirstReply(_) => Some(Trigger::FirstReply),
        What::AddressChanged { .. } => Some(Trigger::AddressChanged),
        What::StateChanged { to: State::Degraded, .. } => Some(Trigger::DegradedBegan),
        What::StateChanged { from: State::Degraded, .. } => Some(Trigger::DegradedEnded),
        What::Watched
        | What::Unwatched
        | What::StateChanged { .. }
        | What::OutageAmended(_)
        | What::GapBegan { .. }
        | What::GapEnded { .. } => None,
    }
}

/// Something a hook is to tell of.
#[derive(Debug, Clone)]
pub(super) struct Event {
    /// Which of the hook's triggers it was.
    pub(super) trigger: Trigger,
    /// What was found.
    pub(super) finding: Arc<Finding>,
    /// When it was handed over.
    pub(super) since: Instant,
}

/// An event in words.
#[derive(Debug)]
pub(super) struct Told {
    /// One JSON object, without an end of line.
    pub(super) json: String,
    /// Of [`VARIABLES`] those that apply.
    pub(super) variables: BTreeMap<&'static str, String>,
}

/// Puts an event into words. `missed` is how many this hook could not be told of before it; `zone_name` the name of an interface.
pub(super) fn told<Z>(event: &Event, missed: u64, zone: &Z, zone_name: fn(u32) -> Option<Arc<str>>) -> Told
where
    Z: TimeZone<Offset: fmt::Display>,
{
    let words = Words { stamp: |at| rfc3339(at, zone), zone_name };
    let body = words.body(event, missed);
    Told { variables: variables(&body), json: json(&body) }
}

fn json(body: &Body) -> String {
    serde_json::to_string(body).expect("maps with text as keys, and numbers")
}

/// Microseconds and a numeric offset, as JSON lines have it; empty for a time that no calendar has.
fn rfc3339<Z: TimeZone<Offset: fmt::Display>>(at: Wall, zone: &Z) -> String {
    let at = DateTime::from_timestamp_nanos(at.as_nanos());
    at.with_timezone(zone).to_rfc3339_opts(SecondsFormat::Micros, false)
}

/// Seconds, to the microsecond.
fn seconds(time: Duration) -> f64 {
    Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)).as_secs_f64()
}

#[derive(Serialize)]
struct Body {
    event: &'static str,
    ts: String,
    target: String,
    host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    addr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outage: Option<Outage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_reply: Option<FirstReply>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missed: Option<u64>,
}

#[derive(Serialize)]
struct Outage {
    began: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    began_earliest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_earliest: Option<String>,
    lasted_s: f64,
    cause: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    lost: u64,
    unmeasured_s: f64,
    fragments: u32,
    new_ids: u32,
    new_id_helped: bool,
    behind: u32,
}

#[derive(Serialize)]
struct FirstReply {
    after_s: f64,
    lost: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

/// How times and addresses are written.
struct Words<S> {
    stamp: S,
    zone_name: fn(u32) -> Option<Arc<str>>,
}

impl<S: Fn(Wall) -> String> Words<S> {
    fn body(&self, Event { trigger, finding, .. }: &Event, missed: u64) -> Body {
        let Finding { at, target, addr, what } = &**finding;
        let mut body = Body {
            event: trigger.word(),
            ts: (self.stamp)(*at),
            target: target.name.to_string(),
            host: target.host.to_string(),
            addr: addr.map(|addr| self.addr(addr)),
            outage: None,
            first_reply: None,
            old: None,
            new: None,
            missed: (missed > 0).then_some(missed),
        };
        match what {
            What::OutageBegan(outage) | What::OutageAmended(outage) | What::OutageEnded(outage) => {
                body.outage = Some(self.outage(outage));
            }
            What::FirstReply(first) => body.first_reply = Some(first_reply(first)),
            What::AddressChanged { old, new } => (body.old, body.new) = (Some(self.addr(*old)), Some(self.addr(*new))),
            What::StateChanged { from, to } => {
                (body.old, body.new) = (Some(from.word().into()), Some(to.word().into()));
            }
            What::Watched | What::Unwatched | What::GapBegan { .. } | What::GapEnded { .. } => {}
        }
        body
    }

    fn outage(&self, outage: &outage::Outage) -> Outage {
        Outage {
            began: (self.stamp)(outage.began.at),
            began_earliest: outage.began.earliest.map(&self.stamp),
            ended: outage.ended.map(|ended| (self.stamp)(ended.at)),
            ended_earliest: outage.ended.and_then(|ended| ended.earliest).map(&self.stamp),
            lasted_s: seconds(outage.lasted),
            cause: outage.cause.word(),
            detail: outage.cause.detail(),
            from: outage.cause.from().map(|from| self.addr(from)),
            lost: outage.lost,
            unmeasured_s: seconds(outage.unmeasured),
            fragments: outage.fragments,
            new_ids: outage.new_ids,
            new_id_helped: outage.new_id_helped,
            behind: outage.behind,
        }
    }

    fn addr(&self, Addr { ip, scope }: Addr) -> String {
        match scope {
            0 => ip.to_string(),
            scope => match (self.zone_name)(scope) {
                Some(zone) => format!("{ip}%{zone}"),
                None => format!("{ip}%{scope}"),
            },
        }
    }
}

fn first_reply(first: &finding::FirstReply) -> FirstReply {
    let hint = first.hint.map(|hint| match hint {
        WarmUp::BridgeLearning => "bridge_learning",
        WarmUp::BridgeListeningAndLearning => "bridge_listening_and_learning",
    });
    FirstReply { after_s: seconds(first.after), lost: first.lost, hint }
}

fn variables(body: &Body) -> BTreeMap<&'static str, String> {
    let outage = body.outage.as_ref();
    let values = [
        Some(body.event.to_owned()),
        Some(body.target.clone()),
        Some(body.host.clone()),
        body.addr.clone(),
        outage.map(|outage| outage.cause.to_owned()),
        outage.map(|outage| outage.began.clone()),
        outage.and_then(|outage| outage.ended.clone()),
        outage.map(|outage| outage.lasted_s.to_string()),
        body.old.clone(),
        body.new.clone(),
        body.missed.map(|missed| missed.to_string()),
    ];
    VARIABLES.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?))).collect()
}

#[cfg(test)]
mod tests;
