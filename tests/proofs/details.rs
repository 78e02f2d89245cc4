//! What lines say beside the outcome: time, time to live, length, sender and words, each held against the journal and the weather.
//!
//! A line is about the first answer in the journal that says what the line does; a duplicate's, about the next whole reply. That the
//! outcome itself is right, the matrix shows.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use crate::log::{Arrival, Log, Told};
use crate::matrix;
use crate::support::journal::{Answer, Journal, Kind, Request};
use crate::truth::{self, Outcome, Rules, Word};
use crate::weather::Target;

/// The network reads the clock after a request has left and before its answer does, and a line rounds: by no more than this may a
/// line's time be shorter than the journal's, or its probe have left after it arrived. Microseconds.
const SHORT: f64 = 50.0;
/// On its way from the network's reading of the clock to the kernel's stamp, an answer waits for a busy machine no longer.
/// Microseconds.
const LONG: f64 = 50_000.0;

/// How many lines were compared, and what of them is wrong.
#[derive(Debug, Default)]
pub(crate) struct Details {
    compared: u64,
    /// By what is wrong; a line may be wrong in several.
    wrong: BTreeMap<&'static str, u64>,
    /// The first line of each.
    examples: BTreeMap<&'static str, String>,
    /// Round-trip times less the journal's, which lack the way to the network and back, µs, sorted.
    excess: Vec<f64>,
}

impl Details {
    /// What may be wrong with a line. The first: no such packet was sent.
    const ALL: [&'static str; 7] = ["packet", "sent", "rtt_ms", "ttl", "bytes", "from", "error"];

    /// Holds a log against a journal.
    pub(crate) fn new(targets: impl Iterator<Item = Target>, journal: &Journal, log: &Log) -> Self {
        let mut details = Self::default();
        for target in targets {
            let requests = journal.hosts.get(&target.addr).map_or(&[][..], Vec::as_slice);
            if let Some(told) = log.targets.get(&target.addr) {
                details.add_target(&target, requests, told);
            }
        }
        details.excess.sort_by(f64::total_cmp);
        details
    }

    /// How many lines were compared.
    pub(crate) fn compared(&self) -> u64 {
        self.compared
    }

    /// How many details are wrong, with an example of each.
    pub(crate) fn wrong(&self) -> (u64, String) {
        let examples = self.examples.iter().map(|(detail, example)| format!("{detail}: {example}\n"));
        (self.wrong.values().sum(), examples.collect())
    }

    fn add_target(&mut self, target: &Target, requests: &[Request], told: &Told) {
        let requests = matrix::by_number(requests, &target.rules, told);
        let mut duplicates = BTreeMap::<u64, usize>::new();
        for line in &told.arrivals {
            let nth =
                line.outcome.map_or_else(|| *duplicates.entry(line.seq).and_modify(|n| *n += 1).or_insert(1), |_| 0);
            let request = requests.get(&line.seq).copied();
            let answer = request.and_then(|request| meant(line.outcome, nth, request, &target.rules));
            self.compared += 1;
            let wrong = match request.zip(answer) {
                Some((request, answer)) => {
                    self.excess.extend(line.rtt_ms.map(|rtt| rtt * 1e3 - micros(request.at, answer.at)));
                    mistakes(line, target, request, answer)
                }
                None => vec!["packet"],
            };
            for detail in wrong {
                *self.wrong.entry(detail).or_default() += 1;
                let example = || format!("{} ({}): {line:?} is told of {request:?}", target.addr, target.kind.name);
                self.examples.entry(detail).or_insert_with(example);
            }
        }
    }
}

/// The answer that a line is about.
fn meant<'a>(outcome: Option<Outcome>, nth: usize, request: &'a Request, rules: &Rules) -> Option<&'a Answer> {
    let said = match outcome {
        None | Some(Outcome::Reply | Outcome::Late) => Word::Whole,
        Some(cause) => Word::Cause(cause),
    };
    request.answers.iter().filter(|answer| truth::word(answer, rules) == said).nth(nth)
}

/// What is wrong with a line.
fn mistakes(line: &Arrival, target: &Target, request: &Request, answer: &Answer) -> Vec<&'static str> {
    let is_error = answer.kind == Kind::Error;
    let at_least = micros(request.at, answer.at) - SHORT;
    let at_most = micros(line.sent, answer.at) + LONG;
    let rtt = line.rtt_ms.map(|rtt| rtt * 1e3);
    let whole = usize::from(target.rules.size) + 8;
    let length =
        |bytes: usize| if answer.kind == Kind::Truncated { (8..whole).contains(&bytes) } else { bytes == whole };
    let right = [
        ("sent", micros(line.sent, request.at) >= -SHORT),
        ("rtt_ms", rtt.map_or(is_error, |rtt| !is_error && (at_least..=at_most).contains(&rtt))),
        ("ttl", line.ttl == (!is_error).then_some(target.kind.ttl)),
        ("bytes", request.bytes == whole && line.bytes.map_or(is_error, |bytes| !is_error && length(bytes))),
        ("from", line.from == answer.from),
        ("error", *line.error == *answer.error.map_or("", |error| words(target.addr, error))),
    ];
    right.into_iter().filter(|(_, right)| !right).map(|(detail, _)| detail).collect()
}

/// What iputils' ping says to the ICMP errors of the weather; its only `mtu` is 1300, and nothing points anywhere.
fn words(asked: IpAddr, (kind, code): (u8, u8)) -> &'static str {
    match (asked.is_ipv4(), kind, code) {
        (true, 3, 0) => "Destination Net Unreachable",
        (true, 3, 1) => "Destination Host Unreachable",
        (true, 3, 3) => "Destination Port Unreachable",
        (true, 3, 4) => "Frag needed and DF set (mtu = 1300)",
        (true, 3, 7) => "Destination Host Unknown",
        (true, 3, 9) => "Destination Net Prohibited",
        (true, 3, 10) => "Destination Host Prohibited",
        (true, 11, 0) => "Time to live exceeded",
        (true, 12, 0) => "Parameter problem: pointer = 0",
        (false, 1, 0) => "Destination unreachable: No route",
        (false, 1, 3) => "Destination unreachable: Address unreachable",
        (false, 2, 0) => "Packet too big: mtu=1300",
        (false, 3, 0) => "Time exceeded: Hop limit",
        _ => panic!("no words for type {kind} code {code} of {asked}: add them here"),
    }
}

/// From one moment to another, in microseconds; negative if that was before.
fn micros(from: u64, to: u64) -> f64 {
    (to.cast_signed() - from.cast_signed()) as f64 / 1e3
}

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "details: {} lines compared, {} wrong (", self.compared, self.wrong().0)?;
        for (index, detail) in Self::ALL.into_iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{detail} {}", self.wrong.get(detail).unwrap_or(&0))?;
        }
        let share = |share: f64| {
            let last = self.excess.len().saturating_sub(1);
            self.excess.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
        };
        let [min, median, p99, max] = [0.0, 0.5, 0.99, 1.0].map(share);
        write!(f, "); times over the journal's: min {min:.1}, median {median:.1}, p99 {p99:.1}, max {max:.1} µs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weather::{MIXED, Weather};

    const SENT: u64 = 1_800_000_000_000_000_000;

    /// The mistakes of a line on a reply 20 ms after its request, as `change` makes them.
    fn mistakes_of(change: impl FnOnce(&mut Arrival, &mut Answer)) -> Vec<&'static str> {
        let target = Weather { kinds: MIXED, targets_of_each: 1, interval: "1s" }.targets().next().expect("a target");
        let at = SENT + 100_000;
        let mut answer = Answer { at: at + 20_000_000, kind: Kind::Reply, from: None, error: None };
        let request = Request { at, sequence: 1, bytes: 64, answers: Vec::new() };
        let (outcome, rtt_ms) = (Some(Outcome::Reply), Some(20.15));
        let (ttl, bytes, from) = (Some(64), Some(64), None);
        let mut line = Arrival { seq: 1, outcome, sent: SENT, rtt_ms, ttl, bytes, from, error: "".into() };
        change(&mut line, &mut answer);
        mistakes(&line, &target, &request, &answer)
    }

    #[test]
    fn each_detail_of_a_reply_is_compared() {
        assert!(mistakes_of(|_, _| {}).is_empty());
        assert_eq!(mistakes_of(|line, _| line.sent += 200_000), ["sent"]);
        assert_eq!(mistakes_of(|line, _| line.rtt_ms = Some(19.9)), ["rtt_ms"]);
        assert_eq!(mistakes_of(|line, _| line.rtt_ms = Some(71.0)), ["rtt_ms"]);
        assert_eq!(mistakes_of(|line, _| line.rtt_ms = None), ["rtt_ms"]);
        assert_eq!(mistakes_of(|line, _| line.ttl = Some(65)), ["ttl"]);
        assert_eq!(mistakes_of(|line, _| line.bytes = Some(63)), ["bytes"]);
        assert_eq!(mistakes_of(|line, _| line.from = "10.9.9.9".parse().ok()), ["from"]);
        assert_eq!(mistakes_of(|line, _| line.error = "Destination Net Unreachable".into()), ["error"]);
        let cut = |bytes| mistakes_of(|line, answer| (line.bytes, answer.kind) = (Some(bytes), Kind::Truncated));
        assert_eq!((cut(63).len(), cut(64).len(), cut(7).len()), (0, 1, 1));
    }

    #[test]
    fn an_error_is_known_by_its_sender_and_its_words_and_has_no_time() {
        let error = |words: &'static str, from: &'static str| {
            mistakes_of(|line, answer| {
                (answer.kind, answer.error, answer.from) = (Kind::Error, Some((3, 0)), "10.1.9.1".parse().ok());
                (line.rtt_ms, line.ttl, line.bytes) = (None, None, None);
                (line.error, line.from) = (words.into(), from.parse().ok());
            })
        };
        assert!(error("Destination Net Unreachable", "10.1.9.1").is_empty());
        assert_eq!(error("Destination Host Unreachable", "10.1.9.1"), ["error"]);
        assert_eq!(error("Destination Net Unreachable", "10.1.9.2"), ["from"]);
    }
}
