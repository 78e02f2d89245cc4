//! What a line tells, under the keys of JSON.
//!
//! Knows neither the time of a line, which is read apart, nor its label.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;

use crate::monitor::target::Name;
use crate::sink::line::outcome::Outcome;
use crate::sink::line::text::{Probes, Seconds, mark, write_rtt};
use crate::sink::line::{Absence, Shown, json};

/// The keys of JSON but for the two times.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Keys<'a> {
    #[serde(borrow)]
    pub(super) target: Option<Value<'a>>,
    #[serde(borrow)]
    pub(super) addr: Option<Value<'a>>,
    pub(super) seq: Option<u64>,
    pub(super) outcome: Outcome,
    pub(super) rtt_ms: Option<f64>,
    pub(super) ttl: Option<u8>,
    pub(super) bytes: Option<usize>,
    #[serde(borrow)]
    pub(super) from: Option<Value<'a>>,
    #[serde(borrow)]
    pub(super) error: Option<Value<'a>>,
    pub(super) count: Option<u64>,
    pub(super) lasted_s: Option<f64>,
    #[serde(borrow)]
    pub(super) hint: Option<Value<'a>>,
}

/// A text, borrowed from the line unless JSON had to escape something in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Value<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'a> Keys<'a> {
    /// None but the outcome.
    pub(super) fn new(outcome: Outcome) -> Self {
        Self {
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
            lasted_s: None,
            hint: None,
        }
    }

    /// The keys of a line in JSON, `None` where it lacks what its outcome needs or names what is no target or no address. Keys
    /// that are not known pass.
    pub(super) fn from_json(line: &'a str) -> Option<Self> {
        let keys: Self = serde_json::from_str(line).ok()?;
        let named = keys.target().is_none_or(|name| Name::new(name).is_some());
        let addressed = [&keys.addr, &keys.from].into_iter().filter_map(text).all(is_address);
        (named && addressed && keys.write_text(&mut Nowhere).is_ok()).then_some(keys)
    }

    pub(super) fn target(&self) -> Option<&str> {
        text(&self.target)
    }

    /// The line in JSON at the time `ts`; `target` is whose it is where that is not known.
    pub(super) fn json<'b>(&'b self, ts: &'b str, target: Option<&'b str>) -> json::Line<'b> {
        json::Line {
            target: self.target().or(target),
            addr: text(&self.addr).map(Shown::Literal),
            seq: self.seq,
            rtt_ms: self.rtt_ms,
            ttl: self.ttl,
            bytes: self.bytes,
            from: text(&self.from).map(Shown::Literal),
            error: text(&self.error).map(json::Error::Text),
            count: self.count,
            lasted_s: self.lasted_s,
            hint: text(&self.hint),
            ..json::Line::new(ts, self.outcome)
        }
    }

    fn lasted(&self) -> Result<Seconds, fmt::Error> {
        Duration::try_from_secs_f64(needed(self.lasted_s)?).map(Seconds).map_err(|_| fmt::Error)
    }

    /// The wording of text, without stamp and label.
    ///
    /// # Errors
    /// Where a key is missing that the wording needs.
    pub(super) fn write_text(&self, out: &mut impl Write) -> fmt::Result {
        let peer = || self.addr.as_ref().or(self.target.as_ref());
        let sender = || self.from.as_ref().or(self.addr.as_ref());
        let error = || needed(self.error.as_ref());
        let seq = || needed(self.seq);
        match self.outcome {
            Outcome::Reply | Outcome::Late | Outcome::Duplicate | Outcome::Damaged | Outcome::DifferentAddress => {
                let sender = needed(sender().or_else(peer))?;
                write!(out, "{} bytes from {sender}: icmp_seq={}", needed(self.bytes)?, seq()?)?;
                if let Some(ttl) = self.ttl {
                    write!(out, " ttl={ttl}")?;
                }
                let rtt = Duration::try_from_secs_f64(needed(self.rtt_ms)? / 1000.0).map_err(|_| fmt::Error)?;
                out.write_str(" time=")?;
                write_rtt(rtt, out)?;
                write!(out, " ms{}", mark(self.outcome))
            }
            Outcome::Lost => write!(out, "no answer from {}: icmp_seq={}", needed(peer())?, seq()?),
            Outcome::Unreachable => write!(out, "From {} icmp_seq={} {}", needed(sender())?, seq()?, error()?),
            Outcome::NotSent => write!(out, "not sent to {}: icmp_seq={} {}", needed(peer())?, seq()?, error()?),
            Outcome::NotMeasured => {
                let (count, peer) = (Probes(needed(self.count)?), needed(peer())?);
                let error = error()?;
                match self.seq {
                    Some(seq) => write!(out, "not measured: {count} to {peer}, icmp_seq={seq} ({error})"),
                    None if error.0.starts_with(Absence::BEGIN) => {
                        write!(out, "not measured: {count} to {peer} ({error})")
                    }
                    None => Err(fmt::Error),
                }
            }
            Outcome::AddressChanged => {
                let (target, new) = (needed(self.target.as_ref())?, needed(self.addr.as_ref())?);
                let old = needed(error()?.0.strip_prefix("was ").filter(|old| is_address(old)))?;
                write!(out, "address of {target} changed: {old} -> {new}")
            }
            Outcome::OutageBegan => {
                write!(out, "outage of {} began: icmp_seq={} {}", needed(peer())?, seq()?, error()?)
            }
            Outcome::OutageEnded => {
                let (peer, lasted, lost) = (needed(peer())?, self.lasted()?, Probes(needed(self.count)?));
                write!(out, "outage of {peer} ended: icmp_seq={} after {lasted} s, {lost} lost", seq()?)
            }
            Outcome::FirstReply => {
                let (peer, after, lost) = (needed(peer())?, self.lasted()?, Probes(needed(self.count)?));
                write!(out, "first reply from {peer}: icmp_seq={} after {after} s, {lost} lost", seq()?)?;
                self.hint.as_ref().map_or(Ok(()), |hint| write!(out, " ({hint})"))
            }
            Outcome::NotWritten => {
                let count = needed(self.count)?;
                let lines = if count == 1 { "line" } else { "lines" };
                write!(out, "not written: {count} {lines} ({})", error()?)
            }
        }
    }
}

/// Whether a text is an address, with or without a zone.
pub(super) fn is_address(text: &str) -> bool {
    let (ip, zone) = text.split_once('%').unwrap_or((text, "0"));
    ip.parse::<IpAddr>().is_ok() && !zone.is_empty() && !zone.contains(char::is_whitespace)
}

fn text<'b>(value: &'b Option<Value<'_>>) -> Option<&'b str> {
    value.as_ref().map(|value| &*value.0)
}

fn needed<T>(key: Option<T>) -> Result<T, fmt::Error> {
    key.ok_or(fmt::Error)
}

/// Takes text and drops it.
struct Nowhere;

impl Write for Nowhere {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        Ok(())
    }
}
