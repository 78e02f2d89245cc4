//! JSON lines: one object each, keys always in the same order, absent where they do not apply.
//!
//! Two events fit the keys only with a word of explanation. `address_changed` has the new address in `addr` and the old one
//! in `error` (`was 172.17.0.2`), for `from` would claim that somebody had sent something. `not_written`, the writer's own,
//! has no `target` where several share the file.
//!
//! `not_measured` has no `seq` where pingtest did not run: numbers belong to the timetable of one process.
//!
//! Of an outage, `sent` is when its first lost probe was sent, `error` its cause, `count` how many probes were lost, and `lasted_s`
//! how long it lasted; `hint` is what the time until a first reply is typical of.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use chrono::TimeZone;
use serde::{Serialize, Serializer};

use super::outcome::Outcome;
use super::stamp::{StampFormat, Stamper};
use super::{
    Absence, CauseWords, Missing, Peer, Printable, Shown, Words, ZoneNames, hint_words, micros, rounded_millis,
};
use crate::monitor::finding::FirstReply;
use crate::monitor::record::{Answer, Event, Reason, Record};
use crate::monitor::sample::IcmpError;
use crate::monitor::target::Addr;
use crate::monitor::time::Wall;

/// Renders JSON lines.
#[derive(Debug)]
pub(super) struct Json<Z: TimeZone> {
    ts: Stamp<Z>,
    sent: Stamp<Z>,
}

impl<Z: TimeZone> Json<Z>
where
    Z::Offset: Display,
{
    pub(super) fn new(zone: Z) -> Self {
        Self { ts: Stamp::new(zone.clone()), sent: Stamp::new(zone) }
    }

    pub(super) fn record(&mut self, record: &Record, zones: &mut ZoneNames, out: &mut Vec<u8>) {
        let line = Line {
            target: Some(record.target.name.as_str()),
            addr: record.addr.and_then(|_| Peer::of(record, zones).addr),
            sent: sent(&record.event).map(|at| self.sent.text(at)),
            ..Line::new(self.ts.text(record.at), Outcome::from(&record.event))
        };
        append(&with_event(line, record, zones), out);
        out.push(b'\n');
    }

    pub(super) fn missing(&mut self, missing: &Missing, out: &mut Vec<u8>) {
        let line = Line {
            target: missing.target.map(|name| name.as_str()),
            count: Some(missing.count),
            error: Some(Error::Text(missing.cause)),
            ..Line::new(self.ts.text(missing.last), Outcome::NotWritten)
        };
        append(&line, out);
        out.push(b'\n');
    }
}

/// A time stamp and the room it is written in.
#[derive(Debug)]
pub(super) struct Stamp<Z: TimeZone> {
    stamper: Stamper<Z>,
    text: String,
}

impl<Z: TimeZone> Stamp<Z>
where
    Z::Offset: Display,
{
    pub(super) fn new(zone: Z) -> Self {
        Self { stamper: Stamper::new(&StampFormat::rfc3339(), zone), text: String::new() }
    }

    pub(super) fn text(&mut self, at: Wall) -> &str {
        self.text.clear();
        // RFC 3339 has a text for every instant of 64-bit nanoseconds.
        let _ = self.stamper.write(at, &mut self.text);
        &self.text
    }
}

/// The keys, in the order they are written.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    pub(super) ts: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) addr: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seq: Option<u64>,
    pub(super) outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rtt_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ttl: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Error<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lasted_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<&'a str>,
}

impl<'a> Line<'a> {
    pub(super) fn new(ts: &'a str, outcome: Outcome) -> Self {
        Self {
            ts,
            target: None,
            addr: None,
            seq: None,
            outcome,
            rtt_ms: None,
            ttl: None,
            bytes: None,
            from: None,
            error: None,
            count: None,
            sent: None,
            lasted_s: None,
            hint: None,
        }
    }
}

fn with_event<'a>(line: Line<'a>, record: &'a Record, zones: &mut ZoneNames) -> Line<'a> {
    match &record.event {
        Event::Answer(answer) => Line {
            seq: Some(answer.seq),
            rtt_ms: Some(millis(answer)),
            ttl: answer.ttl,
            bytes: Some(answer.bytes),
            from: answer.from.and_then(|from| stranger(from, record, zones)),
            ..line
        },
        Event::Lost { seq, .. } => Line { seq: Some(*seq), ..line },
        Event::Unreachable { seq, from, error, .. } => {
            Line { seq: Some(*seq), from: stranger(*from, record, zones), error: Some(Error::Icmp(*error)), ..line }
        }
        Event::NotSent { seq, error } => Line { seq: Some(*seq), error: Some(Error::Text(error.text)), ..line },
        Event::NotMeasured { first, count, reason, .. } => {
            Line { seq: Some(*first), count: Some(*count), error: Some(Error::Reason(reason)), ..line }
        }
        Event::NotRunning { count, time, ending } => {
            let absence = Absence { time: *time, ending: *ending };
            Line { count: Some(*count), error: Some(Error::Absence(absence)), ..line }
        }
        Event::AddressChanged { old, new } => {
            Line { addr: Some(Shown::new(*new, zones)), error: Some(Error::Was(Shown::new(*old, zones))), ..line }
        }
        Event::OutageBegan { seq, cause, .. } => {
            Line { seq: Some(*seq), error: Some(Error::Cause(CauseWords::new(cause, zones))), ..line }
        }
        Event::OutageEnded { seq, lasted, lost, .. } => {
            Line { seq: Some(*seq), count: Some(*lost), lasted_s: Some(seconds(*lasted)), ..line }
        }
        Event::FirstReply(FirstReply { seq, after, lost, hint }) => Line {
            seq: Some(*seq),
            count: Some(*lost),
            lasted_s: Some(seconds(*after)),
            hint: hint.map(hint_words),
            ..line
        },
    }
}

fn sent(event: &Event) -> Option<Wall> {
    match event {
        Event::Answer(answer) => Some(answer.sent),
        Event::Lost { sent, .. } | Event::Unreachable { sent, .. } => Some(*sent),
        Event::OutageBegan { began, .. } | Event::OutageEnded { began, .. } => Some(*began),
        Event::NotSent { .. }
        | Event::NotMeasured { .. }
        | Event::NotRunning { .. }
        | Event::AddressChanged { .. }
        | Event::FirstReply(_) => None,
    }
}

fn millis(answer: &Answer) -> f64 {
    micros(answer.rtt) as f64 / 1000.0
}

/// Seconds to the millisecond, as text shows them.
fn seconds(time: Duration) -> f64 {
    rounded_millis(time) as f64 / 1000.0
}

/// Who sent a packet, unless it was the address probed.
fn stranger<'a>(from: Addr, record: &Record, zones: &mut ZoneNames) -> Option<Shown<'a>> {
    (record.addr != Some(from)).then(|| Shown::new(from, zones))
}

/// Appends a line, without its newline.
pub(super) fn append(line: &Line, out: &mut Vec<u8>) {
    serde_json::to_writer(out, line).expect("a buffer takes every byte and every key is a plain string");
}

/// What stands in `error`.
pub(super) enum Error<'a> {
    Text(&'a str),
    Icmp(IcmpError),
    Reason(&'a Reason),
    Absence(Absence),
    Was(Shown<'a>),
    Cause(CauseWords<'a>),
}

impl Display for Error<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Icmp(error) => error.fmt(f),
            Self::Reason(reason) => Words(reason).fmt(f),
            Self::Absence(absence) => absence.fmt(f),
            Self::Was(addr) => write!(f, "was {addr}"),
            Self::Cause(cause) => cause.fmt(f),
        }
    }
}

impl Serialize for Error<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Clean(self))
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Clean(self))
    }
}

/// Text without control characters: JSON would escape some of them and let others stand.
struct Clean<'a, T>(&'a T);

impl<T: Display> Display for Clean<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Printable(f), "{}", self.0)
    }
}
