//! What became of a probe, worked out from the journal alone: an independent reading of README.md, "What each line means".
//!
//! | the journal says | the truth is | for |
//! |---|---|---|
//! | `reply`, `duplicate` | whole: `reply` within the timeout, else `late`; a further one is a `duplicate` | the first whole reply decides |
//! | `damaged_flip`, `truncated` | `damaged` | the payload is not the one sent |
//! | `damaged_checksum`, IPv4 | `damaged` | raw sockets get packets before the kernel checks their ICMP checksum |
//! | `damaged_checksum`, IPv6 | not measured | the kernel drops it on every raw socket and counts it as dropped for want of room |
//! | `other_address` and its duplicates, 16 bytes and more | `different_address` | the whole tag names the probe |
//! | `other_address`, less | nothing | a short payload is found by the address that answers |
//! | `error`, quoting ICMP's first eight bytes or more | `unreachable` | address and number name the probe |
//! | `error`, quoting the IP header alone | nothing | it names an address, but no probe |
//! | `forged_identifier`, `forged_sequence`, `forged_tag` | nothing | not the packet that was asked for |
//! | `forged_foreign` | as `other_address` | a whole reply, but somebody else's |
//!
//! Nothing by the timeout is `lost`, and a cause that comes after that is still told. A whole reply takes any loss back: the probe is
//! `late` then. Whatever is undecided when pingtest stops is not measured (stopped).
//!
//! The journal's clock and pingtest's readings are moments apart. So a probe is judged with its timeout and the stop a little earlier
//! and a little later as well, and where that makes a difference either outcome is the truth.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::support::journal::{Answer, Kind, Request};

/// What became of a probe, or was told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Reply,
    Late,
    Lost,
    Damaged,
    DifferentAddress,
    Unreachable,
    /// Not measured: pingtest was stopped.
    Stopped,
    /// Not measured: a packet was dropped on its last step, as a full receive buffer does.
    Overflowed,
    /// Not measured: the machine was too late to send it.
    Stalled,
    /// The kernel refused it.
    NotSent,
    /// Not measured for a reason that no weather here gives.
    OtherReason,
    /// It never reached the network, or is not in the log.
    Absent,
}

impl Outcome {
    /// All of them, in the order of the matrix.
    pub(crate) const ALL: [Self; 12] = [
        Self::Reply,
        Self::Late,
        Self::Lost,
        Self::Damaged,
        Self::DifferentAddress,
        Self::Unreachable,
        Self::Stopped,
        Self::Overflowed,
        Self::Stalled,
        Self::NotSent,
        Self::OtherReason,
        Self::Absent,
    ];
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reply => "reply",
            Self::Late => "late",
            Self::Lost => "lost",
            Self::Damaged => "damaged",
            Self::DifferentAddress => "diff.addr",
            Self::Unreachable => "unreach.",
            Self::Stopped => "stopped",
            Self::Overflowed => "overflow",
            Self::Stalled => "stalled",
            Self::NotSent => "not sent",
            Self::OtherReason => "other",
            Self::Absent => "absent",
        })
    }
}

/// What there is to know of a target beside the journal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rules {
    /// Payload, bytes.
    pub(crate) size: u16,
    /// How long a probe waits.
    pub(crate) timeout: Duration,
    /// Over which protocol.
    pub(crate) family: Family,
    /// What the ICMP errors of its network quote.
    pub(crate) quote: Quote,
}

/// The version of the internet protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// How much of a probe an ICMP error quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quote {
    /// ICMP's first eight bytes at least.
    Probe,
    /// The IP header alone.
    Header,
}

/// What may rightly be told of a probe: more than one only where it was decided on the very edge.
pub(crate) type Verdicts = BTreeSet<Verdict>;

/// An outcome, and how many further replies there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    pub(crate) duplicates: u32,
}

/// How far apart the journal's and pingtest's reading of the same moment may be: a slice or two of a busy machine's scheduler. The
/// weather keeps farther away from every deadline.
const EDGE: u64 = 50_000_000;

/// What became of `request`; `stopped` is when pingtest was, ns.
pub(crate) fn judge(request: &Request, rules: &Rules, stopped: u64) -> Verdicts {
    let timeout = u64::try_from(rules.timeout.as_nanos()).expect("seconds");
    let (deadlines, stops) = (readings(request, request.at + timeout), readings(request, stopped));
    let pairs = deadlines.iter().flat_map(|&deadline| stops.iter().map(move |&stop| (deadline, stop)));
    pairs.map(|(deadline, stop)| decide(request, rules, deadline, stop)).collect()
}

/// All readings of a moment that make a difference: the earliest, the latest, and those that part one answer from the next.
fn readings(request: &Request, moment: u64) -> Vec<u64> {
    let window = moment.saturating_sub(EDGE)..=moment.saturating_add(EDGE);
    let between = request.answers.iter().map(|answer| answer.at).filter(|at| window.contains(at));
    between.chain([*window.start(), *window.end()]).collect()
}

/// What an answer says of its probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// A whole reply.
    Whole,
    /// Why it is lost.
    Cause(Outcome),
    /// Nothing, but the socket's counter of dropped packets has risen.
    Dropped,
    /// Nothing.
    Nothing,
}

fn decide(request: &Request, rules: &Rules, deadline: u64, stop: u64) -> Verdict {
    let (mut decided, mut duplicates, mut silence) = (None, 0, Outcome::Lost);
    for answer in request.answers.iter().filter(|answer| answer.at <= stop) {
        let word = word(answer, rules);
        let overdue = answer.at > deadline;
        decided = match (decided, word) {
            (Some(Outcome::Reply | Outcome::Late), Word::Whole) => {
                duplicates += 1;
                decided
            }
            (None, Word::Whole) if !overdue => Some(Outcome::Reply),
            (_, Word::Whole) => Some(Outcome::Late),
            (None, Word::Cause(cause)) => Some(cause),
            (_, Word::Dropped) => {
                silence = Outcome::Overflowed;
                decided
            }
            (_, Word::Cause(_) | Word::Nothing) => decided,
        };
    }
    let undecided = if deadline <= stop { silence } else { Outcome::Stopped };
    Verdict { outcome: decided.unwrap_or(undecided), duplicates }
}

/// What `answer` says of its probe.
pub(crate) fn word(answer: &Answer, rules: &Rules) -> Word {
    /// From here on, a payload names its probe.
    const NAMED: u16 = 16;
    let strange = if rules.size >= NAMED { Word::Cause(Outcome::DifferentAddress) } else { Word::Nothing };
    match answer.kind {
        Kind::Reply | Kind::Duplicate if answer.from.is_some() => strange,
        Kind::Reply | Kind::Duplicate => Word::Whole,
        Kind::OtherAddress | Kind::ForgedForeign => strange,
        Kind::DamagedChecksum if rules.family == Family::V6 => Word::Dropped,
        // How much is left of a tag, the journal does not say: no weather damages what comes from another address.
        Kind::DamagedFlip | Kind::DamagedChecksum | Kind::Truncated => {
            assert!(answer.from.is_none(), "damaged and from another address: nobody can tell what it is");
            Word::Cause(Outcome::Damaged)
        }
        Kind::Error if rules.quote == Quote::Probe => Word::Cause(Outcome::Unreachable),
        Kind::Error | Kind::ForgedIdentifier | Kind::ForgedSequence | Kind::ForgedTag => Word::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { size: 56, timeout: Duration::from_secs(1), family: Family::V4, quote: Quote::Probe };
    const SECOND: u64 = 1_000_000_000;

    /// The outcomes of a probe sent at second 10 that is answered by these, each so many ms after it.
    fn outcomes(rules: Rules, answers: &[(u64, Kind)], stopped: u64) -> Vec<(Outcome, u32)> {
        let at = 10 * SECOND;
        let answer = |&(after, kind)| Answer { at: at + after * 1_000_000, kind, from: None, error: None };
        let answers = answers.iter().map(answer).collect();
        let verdicts = judge(&Request { at, sequence: 1, bytes: 64, answers }, &rules, stopped);
        verdicts.into_iter().map(|verdict| (verdict.outcome, verdict.duplicates)).collect()
    }

    fn outcome(rules: Rules, answers: &[(u64, Kind)]) -> (Outcome, u32) {
        let outcomes = outcomes(rules, answers, 100 * SECOND);
        assert_eq!(outcomes.len(), 1, "{outcomes:?}");
        outcomes[0]
    }

    #[test]
    fn the_first_whole_reply_decides_by_the_timeout_and_further_ones_are_counted() {
        assert_eq!(outcome(RULES, &[(20, Kind::Reply)]), (Outcome::Reply, 0));
        assert_eq!(outcome(RULES, &[(20, Kind::Reply), (21, Kind::Duplicate)]), (Outcome::Reply, 1));
        assert_eq!(outcome(RULES, &[(1200, Kind::Reply), (1300, Kind::Duplicate)]), (Outcome::Late, 1));
        assert_eq!(outcome(RULES, &[]), (Outcome::Lost, 0));
    }

    #[test]
    fn a_cause_is_told_before_and_after_the_loss_and_taken_back_by_a_whole_reply() {
        assert_eq!(outcome(RULES, &[(20, Kind::Error)]), (Outcome::Unreachable, 0));
        assert_eq!(outcome(RULES, &[(1500, Kind::Error), (1600, Kind::Truncated)]), (Outcome::Unreachable, 0));
        assert_eq!(outcome(RULES, &[(20, Kind::DamagedFlip), (30, Kind::Reply)]), (Outcome::Late, 0));
        assert_eq!(outcome(RULES, &[(20, Kind::Reply), (30, Kind::Error)]), (Outcome::Reply, 0));
    }

    #[test]
    fn what_names_no_probe_says_nothing() {
        assert_eq!(outcome(Rules { quote: Quote::Header, ..RULES }, &[(20, Kind::Error)]), (Outcome::Lost, 0));
        assert_eq!(outcome(Rules { size: 8, ..RULES }, &[(20, Kind::OtherAddress)]), (Outcome::Lost, 0));
        assert_eq!(outcome(RULES, &[(20, Kind::OtherAddress)]), (Outcome::DifferentAddress, 0));
        assert_eq!(outcome(RULES, &[(20, Kind::ForgedTag)]), (Outcome::Lost, 0));
    }

    #[test]
    fn what_is_undecided_when_pingtest_stops_is_not_measured() {
        assert_eq!(outcomes(RULES, &[(900, Kind::Reply)], 10 * SECOND + SECOND / 2), [(Outcome::Stopped, 0)]);
        assert_eq!(outcomes(RULES, &[(900, Kind::Reply)], 11 * SECOND - SECOND / 200), [(Outcome::Reply, 0)]);
    }

    #[test]
    fn on_the_edge_either_is_the_truth() {
        let answered = [(Outcome::Reply, 0), (Outcome::Late, 0)];
        assert_eq!(outcomes(RULES, &[(990, Kind::Reply)], 100 * SECOND), answered);
        assert_eq!(outcomes(RULES, &[], 11 * SECOND), [(Outcome::Lost, 0), (Outcome::Stopped, 0)]);
        let twice = [(20, Kind::Reply), (30, Kind::Duplicate)];
        let told = [(Outcome::Reply, 0), (Outcome::Reply, 1), (Outcome::Stopped, 0)];
        assert_eq!(outcomes(RULES, &twice, 10 * SECOND + SECOND / 40), told);
    }
}
