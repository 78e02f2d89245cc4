//! Every probe of every target accounted for: told of once, or among the lines that the log itself says are missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::support::journal::Journal;
use crate::support::line::{self, Line};

/// The lines of one life of the program against the journal.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) lines: usize,
    /// Probes that reached the network.
    pub(crate) requests: usize,
    /// Those of them that no line tells of, and when they reached it, ns, the oldest first.
    pub(crate) missing: Vec<u64>,
    /// When the oldest that is told of reached it.
    pub(crate) oldest_told: u64,
    /// Numbers that no line tells of and that never reached the network: a stall's line may stand for several.
    unsent: u64,
    /// Numbers that two lines tell of.
    doubled: Vec<(IpAddr, u64)>,
    /// Lines that are missing, by the log's own word.
    pub(crate) not_written: u64,
    /// Its words.
    pub(crate) causes: BTreeSet<String>,
}

impl Account {
    /// Reads lines, all of which must be whole.
    pub(crate) fn new(lines: &[String], journal: &Journal) -> Self {
        let mut account = Self { lines: lines.len(), oldest_told: u64::MAX, ..Self::default() };
        let mut told: BTreeMap<IpAddr, Told> = journal.hosts.keys().map(|&addr| (addr, Told::default())).collect();
        for line in lines.iter().map(|line| line::parse_one(line)) {
            if line.outcome == "not_written" {
                account.not_written += line.count.expect("it is counted");
                account.causes.insert(line.error().to_owned());
                continue;
            }
            if line.is_finding() {
                continue;
            }
            let addr = line.target.parse().expect("targets are named by their addresses");
            let told: &mut Told = told.get_mut(&addr).unwrap_or_else(|| panic!("nothing was sent there: {line:?}"));
            account.doubled.extend(told.add(&line).into_iter().map(|seq| (addr, seq)));
        }
        for (addr, told) in told {
            // No run here counts as far as numbers on the wire do.
            let requests =
                journal.hosts[&addr].iter().map(|request| (u64::from(request.sequence), request.at)).collect();
            account.add_target(told, &requests);
        }
        account.missing.sort_unstable();
        account
    }

    fn add_target(&mut self, told: Told, requests: &BTreeMap<u64, u64>) {
        let last = requests.keys().chain(&told.seqs).max().copied().unwrap_or(0);
        let mut untold: Vec<u64> = (1..=last).filter(|seq| !told.seqs.contains(seq)).collect();
        // What was under way at the stop has one line together.
        if let Some((first, count)) = told.stopped {
            let under_way = untold.partition_point(|&seq| seq < first);
            untold.drain(under_way..untold.len().min(under_way + count as usize));
        }
        self.requests += requests.len();
        self.unsent += untold.iter().filter(|seq| !requests.contains_key(seq)).count() as u64;
        self.missing.extend(untold.iter().filter_map(|seq| requests.get(seq)));
        let oldest = told.seqs.iter().find_map(|seq| requests.get(seq)).copied();
        self.oldest_told = self.oldest_told.min(oldest.unwrap_or(u64::MAX));
    }

    /// No probe is told of twice, and as many lines are missing as the log says.
    pub(crate) fn adds_up(&self) -> bool {
        let missing = self.missing.len() as u64;
        self.doubled.is_empty() && (missing..=missing + self.unsent).contains(&self.not_written)
    }

    /// Nor is any missing.
    pub(crate) fn is_whole(&self) -> bool {
        self.adds_up() && self.missing.is_empty() && self.not_written == 0
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lines, requests, missing, unsent, not_written, causes, doubled, .. } = self;
        write!(
            f,
            "{requests} probes, {lines} lines; without a line {} probes and {unsent} numbers never sent; ",
            missing.len()
        )?;
        write!(f, "by the log's word {not_written} {causes:?}; told twice {}", doubled.len())?;
        doubled.first().map_or(Ok(()), |(addr, seq)| write!(f, ", such as {addr} number {seq}"))
    }
}

/// What is told of a target.
#[derive(Debug, Default)]
struct Told {
    seqs: BTreeSet<u64>,
    /// Of the probes under way at the stop, the first number and how many.
    stopped: Option<(u64, u64)>,
}

impl Told {
    /// Gives the numbers that were told of before.
    fn add(&mut self, line: &Line) -> Vec<u64> {
        if line.error() == "stopped" {
            self.stopped = Some((line.seq(), line.count.expect("it is counted")));
            return Vec::new();
        }
        line.seqs().filter(|&seq| !self.seqs.insert(seq)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::journal::Request;

    fn account(seqs: &[u16], lines: &[&str]) -> Account {
        let request = |&sequence: &u16| Request { at: sequence.into(), sequence, bytes: 64, answers: Vec::new() };
        let addr = "10.1.0.7".parse().expect("an address");
        let journal =
            Journal { hosts: BTreeMap::from([(addr, seqs.iter().map(request).collect())]), ..Journal::default() };
        let line = |rest: &&str| format!("{{\"ts\":\"2026-11-22T13:09:57+01:00\",\"target\":\"10.1.0.7\",{rest}}}");
        Account::new(&lines.iter().map(line).collect::<Vec<_>>(), &journal)
    }

    #[test]
    fn a_probe_without_a_line_is_missing_unless_it_was_under_way_at_the_stop() {
        let stopped = r#""seq":3,"outcome":"not_measured","count":2,"error":"stopped""#;
        let told =
            account(&[1, 2, 3, 4, 5], &[r#""seq":2,"outcome":"reply""#, r#""seq":4,"outcome":"reply""#, stopped]);
        assert_eq!((told.missing, told.oldest_told, told.unsent), (vec![1], 2, 0));
    }

    #[test]
    fn as_many_must_be_missing_as_the_log_says() {
        let missing = r#""outcome":"not_written","count":1,"error":"No space left on device""#;
        let reply = r#""seq":2,"outcome":"reply""#;
        let adds_up = [&[reply, missing][..], &[reply], &[reply, reply, missing]];
        assert_eq!(adds_up.map(|lines| account(&[1, 2], lines).adds_up()), [true, false, false]);
    }
}
