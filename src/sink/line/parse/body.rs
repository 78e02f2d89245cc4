//! The wording of text lines, read back.
//!
//! A host's name comes from the configuration and holds no spaces, but a resolver's words and the kernel's may be anything: so
//! what stands before such words is looked for from the front, and the numbers at the end of an answer from the end.

use std::str::FromStr;

use super::keys::{Keys, is_address};
use crate::sink::line::Absence;
use crate::sink::line::outcome::Outcome;
use crate::sink::line::text::mark;

/// What follows the stamp and the label of a line that begins with `stamp`.
pub(super) fn keys<'a>(body: &'a str, stamp: &str) -> Option<Keys<'a>> {
    answer(body)
        .or_else(|| lost(body.strip_prefix("no answer from ")?))
        .or_else(|| unreachable(body.strip_prefix("From ")?))
        .or_else(|| not_sent(body.strip_prefix("not sent to ")?))
        .or_else(|| not_measured(body.strip_prefix("not measured: ")?))
        .or_else(|| not_running(body.strip_prefix("not measured: ")?))
        .or_else(|| address_changed(body.strip_prefix("address of ")?))
        .or_else(|| outage(body.strip_prefix("outage of ")?))
        .or_else(|| first_reply(body.strip_prefix("first reply from ")?))
        .or_else(|| not_written(body.strip_prefix("not written: ")?, stamp))
}

/// `64 bytes from web001 (172.17.0.2): icmp_seq=1 ttl=118 time=5.12 ms (DUP!)`
fn answer(body: &str) -> Option<Keys<'_>> {
    let (bytes, rest) = body.split_once(' ')?;
    let bytes = number(bytes)?;
    let (rest, outcome) = marked(rest.strip_prefix("bytes from ")?);
    let (rest, rtt) = rest.strip_suffix(" ms")?.rsplit_once(" time=")?;
    let (peer, numbers) = rest.rsplit_once(": icmp_seq=")?;
    let (seq, ttl) = match numbers.split_once(" ttl=") {
        Some((seq, ttl)) => (seq, Some(number(ttl)?)),
        None => (numbers, None),
    };
    let keys =
        Keys { seq: Some(number(seq)?), rtt_ms: Some(decimal(rtt)?), ttl, bytes: Some(bytes), ..Keys::new(outcome) };
    let peer = Peer::of(peer);
    if let (Outcome::DifferentAddress, Peer::Address(stranger)) = (outcome, &peer) {
        // An address alone, for whoever answered has no name.
        return Some(Keys { from: Some((*stranger).into()), ..keys });
    }
    Some(with_peer(keys, peer))
}

/// Takes the mark off the end of an answer.
fn marked(answer: &str) -> (&str, Outcome) {
    [Outcome::Late, Outcome::Duplicate, Outcome::Damaged, Outcome::DifferentAddress]
        .into_iter()
        .find_map(|outcome| Some((answer.strip_suffix(mark(outcome))?, outcome)))
        .unwrap_or((answer, Outcome::Reply))
}

/// `223.5.5.5: icmp_seq=2 timeout=2000 ms`, or without the timeout.
fn lost(rest: &str) -> Option<Keys<'_>> {
    let (peer, numbers) = rest.rsplit_once(": icmp_seq=")?;
    let seq = match numbers.split_once(" timeout=") {
        Some((seq, timeout)) => decimal(timeout.strip_suffix(" ms")?).map(|_| seq)?,
        None => numbers,
    };
    Some(with_peer(Keys { seq: Some(number(seq)?), ..Keys::new(Outcome::Lost) }, Peer::of(peer)))
}

/// `10.0.0.1 icmp_seq=5 Destination Host Unreachable (LATE)`
fn unreachable(rest: &str) -> Option<Keys<'_>> {
    let (from, rest) = rest.split_once(" icmp_seq=")?;
    let (seq, error) = rest.split_once(' ')?;
    let error = error.strip_suffix(" (LATE)").unwrap_or(error);
    is_address(from).then_some(Keys {
        seq: Some(number(seq)?),
        from: Some(from.into()),
        error: Some(error.into()),
        ..Keys::new(Outcome::Unreachable)
    })
}

/// `223.5.5.5: icmp_seq=6 Network is unreachable`
fn not_sent(rest: &str) -> Option<Keys<'_>> {
    let (peer, rest) = rest.split_once(": icmp_seq=")?;
    let (seq, error) = rest.split_once(' ')?;
    let keys = Keys { seq: Some(number(seq)?), error: Some(error.into()), ..Keys::new(Outcome::NotSent) };
    Some(with_peer(keys, Peer::of(peer)))
}

/// `41 probes to 223.5.5.5, icmp_seq=7..47 (suspended for 41.0 s)`, or with the first number alone.
fn not_measured(rest: &str) -> Option<Keys<'_>> {
    let (count, rest) = counted(rest, "probe")?;
    let (peer, rest) = rest.strip_prefix(" to ")?.split_once(", icmp_seq=")?;
    let (range, reason) = rest.strip_suffix(')')?.split_once(" (")?;
    let first = match range.split_once("..") {
        Some((first, last)) => number::<u64>(last).map(|_| first)?,
        None => range,
    };
    let keys = Keys {
        seq: Some(number(first)?),
        error: Some(reason.into()),
        count: Some(count),
        ..Keys::new(Outcome::NotMeasured)
    };
    Some(with_peer(keys, Peer::of(peer)))
}

/// `12 probes to 223.5.5.5 (pingtest did not run for up to 12.3 s)`
fn not_running(rest: &str) -> Option<Keys<'_>> {
    let (count, rest) = counted(rest, "probe")?;
    let rest = rest.strip_prefix(" to ")?.strip_suffix(')')?;
    let (peer, _) = rest.split_once(&format!(" ({}", Absence::BEGIN))?;
    let error = rest.get(peer.len() + " (".len()..)?;
    let keys = Keys { error: Some(error.into()), count: Some(count), ..Keys::new(Outcome::NotMeasured) };
    Some(with_peer(keys, Peer::of(peer)))
}

/// `web001 changed: 172.17.0.2 -> 172.17.0.3`
fn address_changed(rest: &str) -> Option<Keys<'_>> {
    let (rest, new) = rest.rsplit_once(" -> ")?;
    let (_, old) = rest.rsplit_once(" changed: ")?;
    (is_address(old) && is_address(new)).then(|| Keys {
        addr: Some(new.into()),
        error: Some(format!("was {old}").into()),
        ..Keys::new(Outcome::AddressChanged)
    })
}

/// `223.5.5.5 began: icmp_seq=2 unanswered, sent STAMP`, or `223.5.5.5 ended: icmp_seq=304 after 302.077 s, 302 probes lost, began
/// STAMP`; or without the stamp.
fn outage(rest: &str) -> Option<Keys<'_>> {
    let (outcome, (peer, rest)) = match rest.split_once(" began: icmp_seq=") {
        Some(parts) => (Outcome::OutageBegan, parts),
        None => (Outcome::OutageEnded, rest.split_once(" ended: icmp_seq=")?),
    };
    let keys = with_peer(Keys::new(outcome), Peer::of(peer));
    let (seq, rest) = rest.split_once(' ')?;
    let keys = Keys { seq: Some(number(seq)?), ..keys };
    if outcome == Outcome::OutageBegan {
        let cause = rest.rsplit_once(", sent ").map_or(rest, |(cause, _)| cause);
        return Some(Keys { error: Some(cause.into()), ..keys });
    }
    let lost = rest.rsplit_once(", began ").map_or(rest, |(lost, _)| lost);
    after(lost, keys)
}

/// `web001 (172.17.0.2): icmp_seq=17 after 16.010 s, 16 probes lost`, perhaps with a hint in brackets.
fn first_reply(rest: &str) -> Option<Keys<'_>> {
    let (peer, rest) = rest.split_once(": icmp_seq=")?;
    let (rest, hint) = match rest.split_once(" (") {
        Some((rest, hint)) => (rest, Some(hint.strip_suffix(')')?.into())),
        None => (rest, None),
    };
    let (seq, rest) = rest.split_once(' ')?;
    let keys = Keys { seq: Some(number(seq)?), hint, ..Keys::new(Outcome::FirstReply) };
    after(rest, with_peer(keys, Peer::of(peer)))
}

/// `after 302.077 s, 302 probes lost`
fn after<'a>(text: &str, keys: Keys<'a>) -> Option<Keys<'a>> {
    let (time, lost) = text.strip_prefix("after ")?.split_once(" s, ")?;
    let (count, rest) = counted(lost, "probe")?;
    (rest == " lost").then_some(())?;
    Some(Keys { lasted_s: Some(decimal(time)?), count: Some(count), ..keys })
}

/// `37 lines to alidns.log, between STAMP and STAMP (log queue full)`, whose second stamp is the line's own, or
/// `37 lines (log queue full)`.
fn not_written<'a>(rest: &'a str, stamp: &str) -> Option<Keys<'a>> {
    let (count, rest) = counted(rest, "line")?;
    let cause = match rest.strip_prefix(" to ") {
        Some(rest) => rest.split_once(", between ")?.1.split_once(&format!(" and {stamp} ("))?.1,
        None => rest.strip_prefix(" (")?,
    };
    let error = cause.strip_suffix(')')?.into();
    Some(Keys { error: Some(error), count: Some(count), ..Keys::new(Outcome::NotWritten) })
}

/// The number before `thing` in singular or plural, and what follows.
fn counted<'a>(text: &'a str, thing: &str) -> Option<(u64, &'a str)> {
    let (count, rest) = text.split_once(' ')?;
    let (count, rest) = (number(count)?, rest.strip_prefix(thing)?);
    let rest = if count == 1 { rest } else { rest.strip_prefix('s')? };
    Some((count, rest))
}

/// Whom a line names.
enum Peer<'a> {
    Address(&'a str),
    /// `web001 (172.17.0.2)`: the address.
    Both(&'a str),
    /// A name alone.
    Name,
}

impl<'a> Peer<'a> {
    fn of(text: &'a str) -> Self {
        let in_brackets = || text.strip_suffix(')')?.rsplit_once(" (").map(|(_, addr)| addr);
        if is_address(text) {
            return Self::Address(text);
        }
        in_brackets().filter(|addr| is_address(addr)).map_or(Self::Name, Self::Both)
    }
}

fn with_peer<'a>(keys: Keys<'a>, peer: Peer<'a>) -> Keys<'a> {
    match peer {
        Peer::Address(addr) | Peer::Both(addr) => Keys { addr: Some(addr.into()), ..keys },
        Peer::Name => keys,
    }
}

/// Digits and nothing else.
fn number<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Digits, and perhaps a point and more of them.
fn decimal(text: &str) -> Option<f64> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    (digits(whole) && digits(fraction)).then(|| text.parse().ok())?
}
