//! A record as one line of text or JSON, appended to a buffer; [`parse`] reads such lines back.
//!
//! Pure: it opens no file and reads no clock. The time zone and the names of network interfaces come in from outside, so
//! that a line depends on nothing but its record, its style and those two.
//!
//! Every line is valid UTF-8 and holds no control character but its last byte, the newline: whatever a resolver, a
//! configuration or a time format brings along, each control character or line separator becomes a space.

mod json;
mod outcome;
pub mod parse;
mod stamp;
#[cfg(test)]
mod tests;
mod text;

use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use chrono::{Local, TimeZone};

pub use outcome::{BadOutcome, Outcome};
pub use parse::{Entry, Parser};
pub use stamp::{BadStampFormat, Moment, StampFormat};

use self::json::Json;
use self::text::Text;
use crate::monitor::finding::WarmUp;
use crate::monitor::outage::{Cause, Ending};
use crate::monitor::record::{Reason, Record};
use crate::monitor::target::{Addr, Host, Name};
use crate::monitor::time::Wall;

/// How the lines of one output look.
#[derive(Debug, Clone, PartialEq)]
pub struct Style {
    /// Text or JSON.
    pub format: Format,
    /// The time stamp of text lines; JSON always carries RFC 3339.
    pub stamp: StampFormat,
    /// Whether text lines name their target; JSON lines always do.
    pub labels: Labels,
}

/// What a line is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// iputils' wording after a time stamp.
    Text,
    /// One JSON object.
    Json,
}

/// Whether a text line names its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    /// The file's name tells it.
    None,
    /// `[alidns] ` after the stamp, for a file that several targets share.
    Bracketed,
}

/// Tells the name of the network interface with an index, `None` where there is none. Asked once per address with a zone:
/// whoever hands it in caches.
pub type ZoneNames<'a> = dyn FnMut(u32) -> Option<Arc<str>> + 'a;

/// Records that were not written, as a line of their own says it.
#[derive(Debug, Clone, Copy)]
pub struct Missing<'a> {
    /// Whose records they were; `None` where several targets share the file.
    pub target: Option<&'a Name>,
    /// What the file is called.
    pub label: &'a str,
    /// How many.
    pub count: u64,
    /// Time of the first.
    pub first: Wall,
    /// Time of the last, which stamps the line as well: the sink reads no clock.
    pub last: Wall,
    /// Why they were not written.
    pub cause: &'a str,
}

/// Renders records in one style. Keeps the text of the current second, so that consecutive records are cheap.
#[derive(Debug)]
pub struct Renderer<Z: TimeZone = Local> {
    form: Form<Z>,
}

#[derive(Debug)]
enum Form<Z: TimeZone> {
    Text(Text<Z>),
    Json(Json<Z>),
}

impl<Z: TimeZone> Renderer<Z>
where
    Z::Offset: fmt::Display,
{
    /// A renderer whose stamps are in the local time of `zone`.
    pub fn new(style: &Style, zone: Z) -> Self {
        let form = match style.format {
            Format::Text => Form::Text(Text::new(&style.stamp, style.labels, zone)),
            Format::Json => Form::Json(Json::new(zone)),
        };
        Self { form }
    }

    /// Appends the line of `record` to `out`.
    pub fn record(&mut self, record: &Record, zones: &mut ZoneNames, out: &mut Vec<u8>) {
        match &mut self.form {
            Form::Text(text) => text.record(record, zones, out),
            Form::Json(json) => json.record(record, zones, out),
        }
    }

    /// Appends the line that tells of missing lines to `out`.
    pub fn missing(&mut self, missing: &Missing, out: &mut Vec<u8>) {
        match &mut self.form {
            Form::Text(text) => text.missing(missing, out),
            Form::Json(json) => json.missing(missing, out),
        }
    }
}

/// Whom a probe was meant for, as both the name and the address it had.
struct Peer<'a> {
    name: Option<&'a str>,
    addr: Option<Shown<'a>>,
}

impl<'a> Peer<'a> {
    fn of(record: &'a Record, zones: &mut ZoneNames) -> Self {
        match &record.target.host {
            Host::Address(host) => Self { name: None, addr: Some(Shown::new(record.addr.unwrap_or(*host), zones)) },
            Host::Name(name) if is_zoned_address(name) => Self { name: None, addr: Some(Shown::Literal(name)) },
            Host::Name(name) => Self { name: Some(name), addr: record.addr.map(|addr| Shown::new(addr, zones)) },
        }
    }

    fn write(&self, out: &mut impl Write) -> fmt::Result {
        match (self.name, &self.addr) {
            (Some(name), Some(addr)) => {
                out.write_str(name)?;
                out.write_str(" (")?;
                addr.write(out)?;
                out.write_str(")")
            }
            (Some(name), None) => out.write_str(name),
            (None, Some(addr)) => addr.write(out),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

/// Whether a host is an address with its zone, which says all there is to say: `fe80::1%eth0`.
fn is_zoned_address(host: &str) -> bool {
    host.split_once('%').is_some_and(|(addr, _)| addr.parse::<IpAddr>().is_ok())
}

/// An address as a line shows it.
enum Shown<'a> {
    Literal(&'a str),
    Plain(IpAddr),
    Zoned(IpAddr, Arc<str>),
    /// The interface has gone, so that only its index is known.
    Indexed(IpAddr, u32),
}

impl Shown<'_> {
    fn new(addr: Addr, zones: &mut ZoneNames) -> Self {
        match addr.scope {
            0 => Self::Plain(addr.ip),
            index => zones(index).map_or(Self::Indexed(addr.ip, index), |name| Self::Zoned(addr.ip, name)),
        }
    }

    fn write(&self, out: &mut impl Write) -> fmt::Result {
        match self {
            Self::Literal(text) => out.write_str(text),
            Self::Plain(IpAddr::V4(ip)) => write_v4(*ip, out),
            Self::Plain(ip) => write!(out, "{ip}"),
            Self::Zoned(ip, zone) => write!(out, "{ip}%{zone}"),
            Self::Indexed(ip, index) => write!(out, "{ip}%{index}"),
        }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

fn write_v4(ip: Ipv4Addr, out: &mut impl Write) -> fmt::Result {
    let [first, rest @ ..] = ip.octets();
    write_number(first.into(), out)?;
    rest.iter().try_for_each(|&octet| {
        out.write_str(".")?;
        write_number(octet.into(), out)
    })
}

fn write_number(number: u64, out: &mut impl Write) -> fmt::Result {
    out.write_str(itoa::Buffer::new().format(number))
}

/// Why probes were not measured, in the words of both formats.
struct Words<'a>(&'a Reason);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Reason::Suspended(time) => write!(f, "suspended for {}", Span(*time)),
            Reason::Stalled(time) => write!(f, "stalled for {}", Span(*time)),
            Reason::LocalDrops => f.write_str("local receive buffer overflowed"),
            Reason::NotResolved(text) => write!(f, "not resolved: {text}"),
            Reason::ArrivalUnknown => f.write_str("clock trouble: time of arrival unknown"),
            Reason::Changed => f.write_str("target changed"),
            Reason::Removed => f.write_str("target removed"),
            Reason::Stopped => f.write_str("stopped"),
            Reason::Paused(time) if time.is_zero() => f.write_str("paused"),
            Reason::Paused(time) => write!(f, "paused for {}", Span(*time)),
        }
    }
}

/// For how long pingtest did not run, in the words of both formats.
struct Absence {
    time: Duration,
    ending: Ending,
}

impl Absence {
    /// What its words begin with, and those of no reason.
    const BEGIN: &'static str = "pingtest did not run for ";
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at_most = match self.ending {
            Ending::Clean => "",
            Ending::Abrupt => "up to ",
        };
        write!(f, "{}{at_most}{}", Self::BEGIN, Span(self.time))
    }
}

/// Why a target is down, in the words of both formats.
struct CauseWords<'a> {
    cause: &'a Cause,
    from: Option<Shown<'static>>,
}

impl<'a> CauseWords<'a> {
    fn new(cause: &'a Cause, zones: &mut ZoneNames) -> Self {
        Self { cause, from: cause.from().map(|from| Shown::new(from, zones)) }
    }
}

impl fmt::Display for CauseWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::Unanswered => f.write_str("unanswered")?,
            Cause::Damaged => f.write_str("answers are damaged")?,
            Cause::DifferentAddress(_) => f.write_str("answered by somebody else")?,
            Cause::NotResolved(error) => write!(f, "unanswered and not resolved: {error}")?,
            Cause::Unreachable { error, .. } => error.fmt(f)?,
        }
        self.from.as_ref().map_or(Ok(()), |from| write!(f, " from {from}"))
    }
}

/// What the time until a first reply is typical of.
fn hint_words(hint: WarmUp) -> &'static str {
    match hint {
        WarmUp::BridgeLearning => "a new bridge learns for 15 s before it forwards",
        WarmUp::BridgeListeningAndLearning => "a new bridge listens and learns for 30 s before it forwards",
    }
}

/// A time in whole milliseconds, rounded; bounded as [`micros`] is.
fn rounded_millis(time: Duration) -> u64 {
    const MAX: u128 = 1 << 50;
    ((time.as_micros() + 500) / 1000).min(MAX) as u64
}

/// A duration for the eye: `120 ms` below a second, `41.0 s` from there on.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = (self.0.as_micros() + 500) / 1000;
        if millis < 1000 {
            return write!(f, "{millis} ms");
        }
        let tenths = (millis + 50) / 100;
        write!(f, "{}.{} s", tenths / 10, tenths % 10)
    }
}

/// A round-trip time in whole microseconds, rounded.
///
/// Bounded by 2^50 (35 years), up to which a double of milliseconds tells every microsecond and needs no exponent.
fn micros(rtt: Duration) -> u64 {
    const MAX: u128 = 1 << 50;
    ((rtt.as_nanos() + 500) / 1000).min(MAX) as u64
}

/// Passes text on with a space for each control character and line separator.
struct Printable<W>(W);

impl<W: Write> Write for Printable<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return self.0.write_str(text);
        }
        text.chars().try_for_each(|c| self.0.write_char(if breaks_line(c) { ' ' } else { c }))
    }
}

/// Control characters, and the two separators (U+2028, U+2029) at which some readers break lines.
fn breaks_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// A buffer that formatted text is appended to.
struct Bytes<'a>(&'a mut Vec<u8>);

impl Write for Bytes<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
