//! Text lines: iputils' wording after the time stamp, so that scripts written for ping(8) go on working.
//!
//! Knows the wording and nothing else; what a record means was decided in the monitor.

use std::fmt::{self, Write};
use std::time::Duration;

use chrono::TimeZone;

use super::outcome::Outcome;
use super::stamp::{StampFormat, Stamper};
use super::{
    Absence, Bytes, CauseWords, Labels, Missing, Peer, Printable, Shown, Words, ZoneNames, hint_words, micros,
    rounded_millis, write_number,
};
use crate::monitor::finding::FirstReply;
use crate::monitor::record::{Answer, Event, Lateness, Record};
use crate::monitor::target::Name;
use crate::monitor::time::Wall;

/// Renders text lines.
#[derive(Debug)]
pub(super) struct Text<Z: TimeZone> {
    stamp: Stamper<Z>,
    labels: Labels,
}

impl<Z: TimeZone> Text<Z>
where
    Z::Offset: fmt::Display,
{
    pub(super) fn new(stamp: &StampFormat, labels: Labels, zone: Z) -> Self {
        Self { stamp: Stamper::new(stamp, zone), labels }
    }

    pub(super) fn record(&mut self, record: &Record, zones: &mut ZoneNames, out: &mut Vec<u8>) {
        let mut since = String::new();
        if let Some(began) = began(&record.event) {
            // As below.
            let _ = self.stamp.write(began, &mut since);
        }
        self.line(record.at, Some(&record.target.name), out, |line| write_event(record, &since, zones, line));
    }

    pub(super) fn missing(&mut self, missing: &Missing, out: &mut Vec<u8>) {
        let (mut first, mut last) = (String::new(), String::new());
        // Writing to a String fails only where chrono gives a stamp up; what it wrote stands.
        let _ = self.stamp.write(missing.first, &mut first);
        let _ = self.stamp.write(missing.last, &mut last);
        self.line(missing.last, missing.target, out, |line| write_missing(missing, &first, &last, line));
    }

    /// One line: stamp, label, and what `body` writes.
    fn line(
        &mut self,
        at: Wall,
        target: Option<&Name>,
        out: &mut Vec<u8>,
        body: impl FnOnce(&mut Printable<Bytes>) -> fmt::Result,
    ) {
        let mut line = Printable(Bytes(out));
        // The buffer takes everything; where chrono gives a stamp up, the line goes on without it.
        let _ = self.stamp.write(at, &mut line);
        let _ = write_label(self.labels, target, &mut line);
        let _ = body(&mut line);
        out.push(b'\n');
    }
}

fn write_label(labels: Labels, target: Option<&Name>, line: &mut impl Write) -> fmt::Result {
    line.write_str(" ")?;
    match (labels, target) {
        (Labels::Bracketed, Some(name)) => ["[", name.as_str(), "] "].iter().try_for_each(|part| line.write_str(part)),
        (Labels::Bracketed, None) | (Labels::None, _) => Ok(()),
    }
}

/// `since` is the stamp of what [`began`].
fn write_event(record: &Record, since: &str, zones: &mut ZoneNames, line: &mut impl Write) -> fmt::Result {
    match &record.event {
        Event::Answer(answer) => write_answer(record, answer, zones, line),
        Event::Lost { seq, sent: _, timeout } => {
            write!(line, "no answer from {}: icmp_seq={seq} timeout={}", Peer::of(record, zones), Millis(*timeout))
        }
        Event::Unreachable { seq, sent: _, from, error, lateness } => {
            write!(line, "From {} icmp_seq={seq} {error}{}", Shown::new(*from, zones), late_mark(*lateness))
        }
        Event::NotSent { seq, error } => {
            write!(line, "not sent to {}: icmp_seq={seq} {}", Peer::of(record, zones), error.text)
        }
        Event::NotMeasured { first, last, count, reason } => {
            write!(line, "not measured: {} to {}, icmp_seq={first}", Probes(*count), Peer::of(record, zones))?;
            if first != last {
                write!(line, "..{last}")?;
            }
            write!(line, " ({})", Words(reason))
        }
        Event::NotRunning { count, time, ending } => {
            let (peer, absence) = (Peer::of(record, zones), Absence { time: *time, ending: *ending });
            write!(line, "not measured: {} to {peer} ({absence})", Probes(*count))
        }
        Event::AddressChanged { old, new } => {
            let (old, new) = (Shown::new(*old, zones), Shown::new(*new, zones));
            write!(line, "address of {} changed: {old} -> {new}", record.target.host)
        }
        Event::OutageBegan { seq, began: _, cause } => {
            let cause = CauseWords::new(cause, zones);
            write!(line, "outage of {} began: icmp_seq={seq} {cause}, sent {since}", Peer::of(record, zones))
        }
        Event::OutageEnded { seq, began: _, lasted, lost } => {
            let (peer, lasted) = (Peer::of(record, zones), Seconds(*lasted));
            write!(
                line,
                "outage of {peer} ended: icmp_seq={seq} after {lasted} s, {} lost, began {since}",
                Probes(*lost)
            )
        }
        Event::FirstReply(FirstReply { seq, after, lost, hint }) => {
            let (peer, after) = (Peer::of(record, zones), Seconds(*after));
            write!(line, "first reply from {peer}: icmp_seq={seq} after {after} s, {} lost", Probes(*lost))?;
            hint.map_or(Ok(()), |hint| write!(line, " ({})", hint_words(hint)))
        }
    }
}

/// When the outage began that a line tells of.
fn began(event: &Event) -> Option<Wall> {
    match event {
        Event::OutageBegan { began, .. } | Event::OutageEnded { began, .. } => Some(*began),
        Event::Answer(_)
        | Event::Lost { .. }
        | Event::Unreachable { .. }
        | Event::NotSent { .. }
        | Event::NotMeasured { .. }
        | Event::NotRunning { .. }
        | Event::AddressChanged { .. }
        | Event::FirstReply(_) => None,
    }
}

/// Nearly all lines are answers: this goes without the machinery of `write!`, which takes half of a line's time.
fn write_answer(record: &Record, answer: &Answer, zones: &mut ZoneNames, line: &mut impl Write) -> fmt::Result {
    write_number(answer.bytes as u64, line)?;
    line.write_str(" bytes from ")?;
    match answer.from {
        Some(from) => Shown::new(from, zones).write(line)?,
        None => Peer::of(record, zones).write(line)?,
    }
    line.write_str(": icmp_seq=")?;
    write_number(answer.seq, line)?;
    if let Some(ttl) = answer.ttl {
        line.write_str(" ttl=")?;
        write_number(ttl.into(), line)?;
    }
    line.write_str(" time=")?;
    write_rtt(answer.rtt, line)?;
    line.write_str(" ms")?;
    line.write_str(mark(answer.kind.into()))
}

/// What stands behind an answer that is more or less than a reply.
pub(super) fn mark(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Late => " (LATE)",
        Outcome::Duplicate => " (DUP!)",
        Outcome::Damaged => " (DAMAGED)",
        Outcome::DifferentAddress => " (DIFFERENT ADDRESS!)",
        Outcome::Reply
        | Outcome::Lost
        | Outcome::Unreachable
        | Outcome::NotSent
        | Outcome::NotMeasured
        | Outcome::AddressChanged
        | Outcome::OutageBegan
        | Outcome::OutageEnded
        | Outcome::FirstReply
        | Outcome::NotWritten => "",
    }
}

fn late_mark(lateness: Lateness) -> &'static str {
    match lateness {
        Lateness::InTime => "",
        Lateness::AfterLoss => " (LATE)",
    }
}

fn write_missing(missing: &Missing, first: &str, last: &str, line: &mut impl Write) -> fmt::Result {
    let Missing { label, count, cause, .. } = missing;
    let lines = if *count == 1 { "line" } else { "lines" };
    write!(line, "not written: {count} {lines} to {label}, between {first} and {last} ({cause})")
}

/// A round-trip time in milliseconds with as many decimals as iputils shows, rounded where it rounds (`gather_statistics`
/// in its ping_common.c).
pub(super) fn write_rtt(rtt: Duration, line: &mut impl Write) -> fmt::Result {
    let (value, decimals) = match micros(rtt) {
        t @ 99_950.. => ((t + 500) / 1000, 0),
        t @ 9_995.. => ((t + 50) / 100, 1),
        t @ 1_000.. => ((t + 5) / 10, 2),
        t => (t, 3),
    };
    let scale = 10_u64.pow(decimals);
    write_number(value / scale, line)?;
    if decimals == 0 {
        return Ok(());
    }
    // The one that stands before the leading zeroes is not written.
    let mut digits = itoa::Buffer::new();
    line.write_str(".")?;
    line.write_str(&digits.format(scale + value % scale)[1..])
}

/// So many probes: `1 probe`, `2 probes`.
pub(super) struct Probes(pub(super) u64);

impl fmt::Display for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, if self.0 == 1 { "probe" } else { "probes" })
    }
}

/// Seconds to the millisecond: `302.077`.
pub(super) struct Seconds(pub(super) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = rounded_millis(self.0);
        write!(f, "{}.{:03}", millis / 1000, millis % 1000)
    }
}

/// A duration as whole milliseconds, with decimals only where it has them: `2000 ms`, `1.5 ms`.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_millis())?;
        let mut fraction = self.0.subsec_nanos() % 1_000_000;
        let mut digits = 6;
        while fraction != 0 && fraction.is_multiple_of(10) {
            fraction /= 10;
            digits -= 1;
        }
        if fraction != 0 {
            write!(f, ".{fraction:0digits$}")?;
        }
        f.write_str(" ms")
    }
}
