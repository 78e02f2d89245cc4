//! The confusion matrix: what became of the probes against what was told of them.
//!
//! A probe that never reached the network is `absent` there, and rightly told if it was not sent or stalled. One that did may be told
//! stalled as well, if its sending took so long that nobody can tell when it left: that is no error, but it is counted.
//!
//! It compares and counts; what the truth is, `truth` has found out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::net::IpAddr;

use crate::log::{Log, Told};
use crate::support::journal::{Journal, Request};
use crate::truth::{self, Outcome, Rules, Verdict};
use crate::weather::Target;

/// Truth by told, counted over probes.
#[derive(Debug, Default)]
pub(crate) struct Matrix {
    cells: BTreeMap<(Outcome, Outcome), u64>,
    /// Further replies, as they were and as they were told.
    duplicates: (u64, u64),
    /// Probes decided on the very edge, where either outcome is the truth.
    edges: u64,
    /// Probes that reached the network and are called not measured, for the machine was too slow in sending them.
    doubtful: u64,
    /// Everything that is not as it was.
    errors: u64,
    /// The first of them of each kind of weather, in words.
    examples: BTreeMap<&'static str, String>,
}

impl Matrix {
    /// Holds a log against a journal.
    pub(crate) fn new(targets: impl Iterator<Item = Target>, journal: &Journal, log: &Log) -> Self {
        let mut matrix = Self::default();
        let mut unknown: BTreeSet<&IpAddr> = journal.hosts.keys().chain(log.targets.keys()).collect();
        let stopped = log.stopped.unwrap_or(u64::MAX);
        for target in targets {
            unknown.remove(&target.addr);
            let requests = journal.hosts.get(&target.addr).map_or(&[][..], Vec::as_slice);
            matrix.add_target(&target, requests, log.targets.get(&target.addr).unwrap_or(&Told::default()), stopped);
        }
        assert!(unknown.is_empty(), "nobody was to probe {unknown:?}");
        matrix
    }

    /// How many probes reached the network.
    pub(crate) fn probes(&self) -> u64 {
        let sent = self.cells.iter().filter(|((truth, _), _)| *truth != Outcome::Absent);
        sent.map(|(_, count)| count).sum()
    }

    /// How many probes were told something else than became of them, with an example of each kind of weather.
    pub(crate) fn errors(&self) -> (u64, String) {
        let examples = self.examples.iter().map(|(kind, example)| format!("{kind}: {example}\n"));
        (self.errors, examples.collect())
    }

    /// How many of the probes that reached the network are called not measured, for the machine was too slow in sending them.
    pub(crate) fn doubtful(&self) -> u64 {
        self.doubtful
    }

    /// How many probes became this and were told that.
    pub(crate) fn cell(&self, truth: Outcome, told: Outcome) -> u64 {
        self.cells.get(&(truth, told)).copied().unwrap_or(0)
    }

    /// How many probes were told this, whatever became of them.
    pub(crate) fn told(&self, told: Outcome) -> u64 {
        self.cells.iter().filter(|((_, cell), _)| *cell == told).map(|(_, count)| count).sum()
    }

    fn add_target(&mut self, target: &Target, requests: &[Request], told: &Told, stopped: u64) {
        let requests = by_number(requests, &target.rules, told);
        let seqs: BTreeSet<u64> = requests.keys().chain(told.probes.keys()).copied().collect();
        let stalled: u64 = told.stalled.iter().map(|(first, end)| end - first).sum();
        let seen = requests.keys().filter(|&&seq| told.is_stalled(seq)).count() as u64;
        *self.cells.entry((Outcome::Absent, Outcome::Stalled)).or_default() += stalled - seen;
        let (mut given_up, stopped_count) = (0, told.stopped.map_or(0, |(_, count)| count));
        for seq in seqs {
            let told = told_of(told, seq);
            given_up += u64::from(told.outcome == Outcome::Stopped);
            self.add_probe(target, seq, requests.get(&seq).copied(), told, stopped);
        }
        self.add_unseen(target, stopped_count.saturating_sub(given_up));
        if given_up > stopped_count {
            self.complain(
                target,
                format!("{}: {given_up} undecided, {stopped_count} given up at the end", target.addr),
            );
        }
    }

    /// Probes that were given up at the end and never reached the network: they have no line and no request of their own.
    fn add_unseen(&mut self, target: &Target, count: u64) {
        *self.cells.entry((Outcome::Absent, Outcome::Stopped)).or_default() += count;
        if count > 0 {
            self.complain(
                target,
                format!("{}: {count} given up at the end that never reached the network", target.addr),
            );
            self.errors += count - 1;
        }
    }

    fn add_probe(&mut self, target: &Target, seq: u64, request: Option<&Request>, told: Verdict, stopped: u64) {
        let not_sent = Verdict { outcome: Outcome::NotSent, duplicates: 0 };
        let truths = request.map_or([not_sent].into(), |request| truth::judge(request, &target.rules, stopped));
        self.edges += u64::from(truths.len() > 1);
        let truth = truths.get(&told).or(truths.first()).copied().unwrap_or(told);
        let row = if request.is_some() { truth.outcome } else { Outcome::Absent };
        *self.cells.entry((row, told.outcome)).or_default() += 1;
        if told.outcome == Outcome::Stalled {
            self.doubtful += 1;
            return;
        }
        self.duplicates.0 += u64::from(truth.duplicates);
        self.duplicates.1 += u64::from(told.duplicates);
        if truth != told {
            self.complain(target, format!("{} seq {seq}: {told:?} is told of {request:?}, {truths:?}", target.addr));
        }
    }

    fn complain(&mut self, target: &Target, example: String) {
        self.errors += 1;
        self.examples.entry(target.kind.name).or_insert(example);
    }
}

fn told_of(told: &Told, seq: u64) -> Verdict {
    let given_up = told.stopped.is_some_and(|(first, _)| seq >= first);
    let silent = if given_up { Outcome::Stopped } else { Outcome::Absent };
    match told.probes.get(&seq) {
        _ if told.is_stalled(seq) => Verdict { outcome: Outcome::Stalled, duplicates: 0 },
        Some(probe) => Verdict { outcome: probe.outcome, duplicates: probe.duplicates },
        None => Verdict { outcome: silent, duplicates: 0 },
    }
}

/// The requests by the numbers that their probes have in the log. On the wire they bear these modulo 2¹⁶, and no run here counts that
/// far; with less than eight bytes of payload a target counts from a place of its own, which its first probe tells.
pub(crate) fn by_number<'a>(requests: &'a [Request], rules: &Rules, told: &Told) -> BTreeMap<u64, &'a Request> {
    let first = requests.first().map_or(0, |request| u64::from(request.sequence));
    let offset = if rules.size < 8 { first ^ told.first_sent().unwrap_or(first) } else { 0 };
    requests.iter().map(|request| (u64::from(request.sequence) ^ offset, request)).collect()
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filled = || self.cells.iter().filter(|(_, count)| **count > 0).map(|(cell, _)| cell);
        let rows = Outcome::ALL.into_iter().filter(|&row| filled().any(|(truth, _)| *truth == row));
        let columns: Vec<_> =
            Outcome::ALL.into_iter().filter(|&column| filled().any(|(_, told)| *told == column)).collect();
        let heading = columns.iter().fold(format!("{:>12}", "truth \\ told"), |mut line, column| {
            let _ = write!(line, " {column:>9}");
            line
        });
        writeln!(f, "{heading}")?;
        for row in rows {
            write!(f, "{row:>12}")?;
            columns.iter().try_for_each(|&column| write!(f, " {:>9}", self.cell(row, column)))?;
            writeln!(f)?;
        }
        let (were, told) = self.duplicates;
        writeln!(f, "duplicates: {were} there were, {told} were told; decided on the edge: {}", self.edges)?;
        write!(
            f,
            "{} probes reached the network; {} were told otherwise than became of them; {} ({:.3} %) are called stalled",
            self.probes(),
            self.errors,
            self.doubtful,
            self.doubtful as f64 * 100.0 / self.probes().max(1) as f64
        )
    }
}
