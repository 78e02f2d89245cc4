//! pingtest's log, as its reader understands it: the last line of a probe is its outcome, duplicates aside.
//!
//! It reads JSON lines of targets that are named as their addresses are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::path::Path;

use chrono::DateTime;

use crate::support::line::{self, Line};
use crate::truth::Outcome;

/// What was told of all targets.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Of each target.
    pub(crate) targets: BTreeMap<IpAddr, Told>,
    /// Lines that are missing, by the log's own word.
    pub(crate) not_written: u64,
    /// When pingtest gave up what was in flight, ns.
    pub(crate) stopped: Option<u64>,
    /// How many lines there are.
    pub(crate) lines: u64,
}

/// What was told of a target.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Of each probe, but for those that the machine was too late to send or too slow in sending.
    pub(crate) probes: BTreeMap<u64, Probe>,
    /// Those: the first number of each line, and the one behind the last.
    pub(crate) stalled: BTreeMap<u64, u64>,
    /// The probes given up when pingtest stopped: the first number, and how many. Those between that are decided do not count.
    pub(crate) stopped: Option<(u64, u64)>,
    /// What came back, by the lines that tell of it, in their order.
    pub(crate) arrivals: Vec<Arrival>,
}

/// A line that tells of a packet.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) seq: u64,
    /// `None` for a duplicate.
    pub(crate) outcome: Option<Outcome>,
    /// When its probe left, ns.
    pub(crate) sent: u64,
    pub(crate) rtt_ms: Option<f64>,
    pub(crate) ttl: Option<u8>,
    pub(crate) bytes: Option<usize>,
    pub(crate) from: Option<IpAddr>,
    /// Its words, empty where it has none.
    pub(crate) error: Box<str>,
}

/// What was told of a probe.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe {
    pub(crate) outcome: Outcome,
    pub(crate) duplicates: u32,
    /// Of the reply.
    pub(crate) rtt_ms: Option<f64>,
}

impl Log {
    /// Reads a log whose program has ended.
    pub(crate) fn read(path: &Path) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut log = Self::default();
        for text in BufReader::with_capacity(1 << 20, file).lines() {
            let text = text.expect("the log is text");
            log.add(&line::parse_one(&text));
        }
        log
    }

    fn add(&mut self, line: &Line) {
        self.lines += 1;
        if line.outcome == "not_written" {
            self.not_written += line.count.expect("it is counted");
            return;
        }
        if line.is_finding() || line.is_absence() {
            return;
        }
        let addr = line.target.parse().expect("targets are named by their addresses");
        let told = self.targets.entry(addr).or_default();
        told.arrivals.extend(Arrival::new(line));
        match outcome(line) {
            Some(Outcome::Stopped) => {
                self.stopped = self.stopped.max(Some(nanos(&line.ts)));
                told.stopped = Some((line.seq(), line.count.expect("it is counted")));
            }
            Some(Outcome::Stalled) => drop(told.stalled.insert(line.seqs().start, line.seqs().end)),
            outcome => line.seqs().for_each(|seq| told.add(seq, outcome, line.rtt_ms)),
        }
    }
}

impl Arrival {
    /// `None` where no packet came.
    fn new(line: &Line) -> Option<Self> {
        use Outcome::{Damaged, DifferentAddress, Late, Reply, Unreachable};
        let outcome = outcome(line);
        let came = matches!(outcome, None | Some(Reply | Late | Damaged | DifferentAddress | Unreachable));
        came.then(|| Self {
            seq: line.seq(),
            outcome,
            sent: nanos(line.sent.as_ref().expect("its probe was sent")),
            rtt_ms: line.rtt_ms,
            ttl: line.ttl,
            bytes: line.bytes,
            from: line.from.as_ref().map(|from| from.parse().expect("an address")),
            error: line.error().into(),
        })
    }
}

impl Told {
    fn add(&mut self, seq: u64, outcome: Option<Outcome>, rtt_ms: Option<f64>) {
        let fresh = Probe { outcome: Outcome::Absent, duplicates: 0, rtt_ms };
        let probe = self.probes.entry(seq).or_insert(fresh);
        match outcome {
            Some(outcome) => (probe.outcome, probe.rtt_ms) = (outcome, rtt_ms),
            None => probe.duplicates += 1,
        }
    }

    /// Whether the machine was too late to send this probe, or too slow in sending it.
    pub(crate) fn is_stalled(&self, seq: u64) -> bool {
        self.stalled.range(..=seq).next_back().is_some_and(|(_, &end)| seq < end)
    }

    /// The number of the first probe that left.
    pub(crate) fn first_sent(&self) -> Option<u64> {
        let decided = self.probes.iter().find(|(_, probe)| probe.outcome != Outcome::NotSent).map(|(&seq, _)| seq);
        decided.into_iter().chain(self.stopped.map(|(first, _)| first)).min()
    }
}

/// `None` for a duplicate, which is no outcome.
fn outcome(line: &Line) -> Option<Outcome> {
    Some(match line.outcome.as_str() {
        "reply" => Outcome::Reply,
        "late" => Outcome::Late,
        "duplicate" => return None,
        "lost" => Outcome::Lost,
        "damaged" => Outcome::Damaged,
        "different_address" => Outcome::DifferentAddress,
        "unreachable" => Outcome::Unreachable,
        "not_sent" => Outcome::NotSent,
        "not_measured" => reason(line.error()),
        other => panic!("an unexpected line: {other}"),
    })
}

fn reason(words: &str) -> Outcome {
    match words {
        "stopped" => Outcome::Stopped,
        "local receive buffer overflowed" => Outcome::Overflowed,
        stalled if stalled.starts_with("stalled ") => Outcome::Stalled,
        _ => Outcome::OtherReason,
    }
}

pub(crate) fn nanos(stamp: &str) -> u64 {
    let stamp = DateTime::parse_from_rfc3339(stamp).expect("JSON lines bear RFC 3339 stamps");
    stamp.timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).expect("this century")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str]) -> Log {
        let mut log = Log::default();
        for rest in lines {
            let text = format!("{{\"ts\":\"2026-11-22T13:09:57.123456+01:00\",\"target\":\"10.1.0.7\",{rest}}}");
            log.add(&line::parse_one(&text));
        }
        log
    }

    #[test]
    fn the_last_line_of_a_probe_is_its_outcome_duplicates_aside() {
        let log = told(&[
            r#""seq":1,"outcome":"lost""#,
            r#""seq":1,"outcome":"late","rtt_ms":1200.5,"ttl":57,"sent":"2026-11-22T13:09:56+01:00""#,
            r#""seq":1,"outcome":"duplicate","rtt_ms":1300.5,"ttl":58,"sent":"2026-11-22T13:09:56+01:00""#,
            r#""seq":2,"outcome":"not_measured","count":3,"error":"stalled for 120 ms""#,
        ]);
        let target = &log.targets[&"10.1.0.7".parse::<IpAddr>().expect("an address")];
        let first = target.probes[&1];
        assert_eq!((first.outcome, first.duplicates, first.rtt_ms), (Outcome::Late, 1, Some(1200.5)));
        let arrivals: Vec<_> = target.arrivals.iter().map(|arrival| (arrival.outcome, arrival.ttl)).collect();
        assert_eq!(arrivals, [(Some(Outcome::Late), Some(57)), (None, Some(58))]);
        let stalled: Vec<_> = (1..6).filter(|&seq| target.is_stalled(seq)).collect();
        assert_eq!((stalled, target.probes.len(), target.first_sent()), (vec![2, 3, 4], 1, Some(1)));
    }

    #[test]
    fn probes_given_up_at_the_end_are_known_by_their_first_number_and_how_many() {
        let log = told(&[r#""seq":7,"outcome":"not_measured","count":2,"error":"stopped""#]);
        let target = &log.targets[&"10.1.0.7".parse::<IpAddr>().expect("an address")];
        assert_eq!((target.stopped, log.stopped), (Some((7, 2)), Some(1_795_349_397_123_456_000)));
    }
}
