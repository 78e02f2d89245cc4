//! The words by which lines name what happened.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::monitor::record::{AnswerKind, Event};

/// What a line tells of: the value of `outcome` in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Whole, from the target, in time.
    Reply,
    /// No answer within the timeout.
    Lost,
    /// A reply after its loss was written down.
    Late,
    /// A further reply to a probe that had been answered.
    Duplicate,
    /// A reply with another payload than the one sent.
    Damaged,
    /// A reply from somebody else.
    DifferentAddress,
    /// An ICMP error, in time or after the loss was written down.
    Unreachable,
    /// The kernel refused to send.
    NotSent,
    /// Nothing can be said of these probes.
    NotMeasured,
    /// A name leads to another address.
    AddressChanged,
    /// Losses in a row have become an outage.
    OutageBegan,
    /// An outage is over.
    OutageEnded,
    /// The first reply ever, after losses.
    FirstReply,
    /// The writer's own: lines that are missing here.
    NotWritten,
}

/// A word that names no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an outcome: {0:?} (allowed: {words})", words = Outcome::ALL.map(Outcome::as_str).join(", "))]
pub struct BadOutcome(String);

impl Outcome {
    /// Every outcome, in the order of the documentation.
    pub const ALL: [Self; 14] = [
        Self::Reply,
        Self::Lost,
        Self::Late,
        Self::Duplicate,
        Self::Damaged,
        Self::DifferentAddress,
        Self::Unreachable,
        Self::NotSent,
        Self::NotMeasured,
        Self::AddressChanged,
        Self::OutageBegan,
        Self::OutageEnded,
        Self::FirstReply,
        Self::NotWritten,
    ];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reply => "reply",
            Self::Lost => "lost",
            Self::Late => "late",
            Self::Duplicate => "duplicate",
            Self::Damaged => "damaged",
            Self::DifferentAddress => "different_address",
            Self::Unreachable => "unreachable",
            Self::NotSent => "not_sent",
            Self::NotMeasured => "not_measured",
            Self::AddressChanged => "address_changed",
            Self::OutageBegan => "outage_began",
            Self::OutageEnded => "outage_ended",
            Self::FirstReply => "first_reply",
            Self::NotWritten => "not_written",
        }
    }
}

impl From<AnswerKind> for Outcome {
    fn from(kind: AnswerKind) -> Self {
        match kind {
            AnswerKind::Reply => Self::Reply,
            AnswerKind::Late => Self::Late,
            AnswerKind::Duplicate => Self::Duplicate,
            AnswerKind::Damaged => Self::Damaged,
            AnswerKind::DifferentAddress => Self::DifferentAddress,
        }
    }
}

impl From<&Event> for Outcome {
    fn from(event: &Event) -> Self {
        match event {
            Event::Answer(answer) => answer.kind.into(),
            Event::Lost { .. } => Self::Lost,
            Event::Unreachable { .. } => Self::Unreachable,
            Event::NotSent { .. } => Self::NotSent,
            Event::NotMeasured { .. } | Event::NotRunning { .. } => Self::NotMeasured,
            Event::AddressChanged { .. } => Self::AddressChanged,
            Event::OutageBegan { .. } => Self::OutageBegan,
            Event::OutageEnded { .. } => Self::OutageEnded,
            Event::FirstReply(_) => Self::FirstReply,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Outcome {
    type Err = BadOutcome;

    fn from_str(word: &str) -> Result<Self, BadOutcome> {
        let named = Self::ALL.into_iter().find(|outcome| outcome.as_str() == word);
        named.ok_or_else(|| BadOutcome(word.to_owned()))
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // No word needs an escape, so that each can be borrowed.
        <&str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
