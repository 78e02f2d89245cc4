//! Lines of JSON as the program writes them: the keys of the contract and no others.

use chrono::{DateTime, FixedOffset};
use serde::Deserialize;

/// One line.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    pub(crate) ts: String,
    #[serde(default)]
    pub(crate) target: String,
    pub(crate) addr: Option<String>,
    pub(crate) seq: Option<u64>,
    pub(crate) outcome: String,
    pub(crate) rtt_ms: Option<f64>,
    pub(crate) ttl: Option<u8>,
    pub(crate) bytes: Option<usize>,
    pub(crate) from: Option<String>,
    error: Option<String>,
    pub(crate) count: Option<u64>,
    pub(crate) sent: Option<String>,
    /// How long an outage lasted, or it took until a first reply.
    #[allow(dead_code, reason = "for the proofs")]
    pub(crate) lasted_s: Option<f64>,
    #[allow(dead_code, reason = "a key of the contract that no test asks for")]
    pub(crate) hint: Option<String>,
}

impl Line {
    /// Whether it tells this of the target.
    pub(crate) fn is(&self, target: &str, outcome: &str) -> bool {
        self.target == target && self.outcome == outcome
    }

    /// Whether it tells what was found out about the target, and not of a probe: that has a line of its own.
    pub(crate) fn is_finding(&self) -> bool {
        matches!(self.outcome.as_str(), "address_changed" | "outage_began" | "outage_ended" | "first_reply")
    }

    /// Whether it tells for how long pingtest did not run, of probes that have no number.
    pub(crate) fn is_absence(&self) -> bool {
        self.outcome == "not_measured" && self.seq.is_none()
    }

    /// Its number; every line but a change of address and an absence has one.
    pub(crate) fn seq(&self) -> u64 {
        self.seq.unwrap_or_else(|| panic!("no number: {self:?}"))
    }

    /// Its words, empty where it has none.
    pub(crate) fn error(&self) -> &str {
        self.error.as_deref().unwrap_or_default()
    }

    /// When its probe left; `None` where it speaks of none that did.
    pub(crate) fn sent_at(&self) -> Option<DateTime<FixedOffset>> {
        let parse =
            |sent: &String| DateTime::parse_from_rfc3339(sent).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        self.sent.as_ref().map(parse)
    }

    /// The numbers it speaks of: more than one where it stands for several probes without a gap, none where pingtest did not run.
    pub(crate) fn seqs(&self) -> std::ops::Range<u64> {
        if self.is_absence() {
            return 1..1;
        }
        self.seq()..self.seq() + self.count.unwrap_or(1)
    }
}

/// All whole lines of a text; one that is being written is not there yet.
pub(crate) fn parse(text: &str) -> Vec<Line> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(parse_one).collect()
}

/// One whole line.
pub(crate) fn parse_one(line: &str) -> Line {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Every number of the target's from 1 to the last occurs, and none twice.
pub(crate) fn assert_every_slot_has_one_outcome(lines: &[Line], target: &str) {
    let outcomes = lines.iter().filter(|line| line.target == target && !line.is_finding());
    let mut seqs: Vec<_> = outcomes.flat_map(Line::seqs).collect();
    seqs.sort_unstable();
    assert!(!seqs.is_empty() && seqs.iter().copied().eq(1..=seqs.len() as u64), "{target}: {seqs:?}");
}
