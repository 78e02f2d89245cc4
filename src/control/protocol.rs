//! What goes over the socket: one JSON object on one line each way, and then the end.
//!
//! Client and daemon may be of different releases. So either ignores fields that it does not know, takes a default for those that are
//! missing, and shows words that it does not know as they are; a field once given a meaning keeps it. What is refused is refused in
//! words, beside the daemon's version.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// The protocol that is spoken here. Another number would be for a change that the rules above do not cover.
pub const PROTOCOL: u32 = 1;

/// The longest request: room for the names of a dozen targets, and nothing that fills memory.
pub const REQUEST_AT_MOST: usize = 4096;

/// Requests that a daemon of this release knows.
pub const REQUESTS: [&str; 3] = ["status", "pause", "resume"];

/// A text that is borrowed from the line it was read from where it can be: ten thousand targets have a hundred thousand of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request<'a> {
    /// [`PROTOCOL`].
    pub pingtest: u32,
    /// One of [`REQUESTS`].
    #[serde(borrow)]
    pub request: Text<'a>,
    /// `pause`, `resume`: which target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Text<'a>>,
    /// `status`: which targets; all where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Text<'a>>,
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self { pingtest: PROTOCOL, request: Text::default(), target: None, targets: Vec::new() }
    }
}

/// What the daemon answers. `T` is the list of targets: rendered as it is gathered on one side, read into structures on the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct Answer<'a, T = Vec<Target<'a>>> {
    /// [`PROTOCOL`].
    #[serde(default)]
    pub pingtest: u32,
    /// The daemon's version.
    #[serde(default, borrow)]
    pub version: Text<'a>,
    /// Whether it did as asked.
    #[serde(default)]
    pub ok: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Text<'a>>,
    /// When it was asked, RFC 3339. This and what follows are of `status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<Text<'a>>,
    /// When the daemon was started, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Text<'a>>,
    /// The daemon's process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Probes a second, by the intervals of the targets listed that are not paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// How many of the targets listed are in which state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// Replies put down to no target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strays: Option<Strays>,
    /// How the log is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<Health>,
    /// How the ledger is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Health>,
    /// The targets, in the order of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<T>,
}

impl<'a, T> Answer<'a, T> {
    /// An answer of this release that says nothing but whether.
    pub fn new(ok: bool) -> Self {
        Self {
            pingtest: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").into(),
            ok,
            error: None,
            now: None,
            started: None,
            pid: None,
            rate: None,
            counts: None,
            strays: None,
            log: None,
            ledger: None,
            targets: None,
        }
    }
}

/// How many targets are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is named after its state")]
pub struct Counts {
    pub unknown: u64,
    pub up: u64,
    pub degraded: u64,
    pub suspect: u64,
    pub down: u64,
    pub behind: u64,
    pub paused: u64,
}

/// Replies put down to no target; see [`crate::monitor::Strays`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Strays {
    /// From an address or with a number that nobody probes.
    pub foreign: u64,
    /// To a probe of a target that has gone.
    pub stale: u64,
    /// Errors that quote a probe with a made-up tag.
    pub forged: u64,
}

/// How what is written is: the log, the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// What is wrong at present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
    /// What was to be written and was not, since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_written: Option<u64>,
}

/// One target; see [`crate::monitor::snapshot::TargetStatus`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Target<'a> {
    /// Its name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// What is probed, as the configuration says.
    pub host: Text<'a>,
    /// The address probed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addr: Option<Text<'a>>,
    /// A word of [`crate::monitor::outage::State`].
    pub state: Text<'a>,
    /// Since when, RFC 3339; absent where it was carried over from an earlier process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Text<'a>>,
    /// The outage that lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage: Option<Outage<'a>>,
    /// The parent that is down, where the target is behind one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<Text<'a>>,
    /// Why its name leads nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_resolved: Option<Text<'a>>,
    /// Why it is not measured at present, where it is not: a word of [`crate::monitor::finding::Gap`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap: Option<Text<'a>>,
    /// When the newest of the answered probes was sent, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered: Option<Text<'a>>,
    /// Seconds between probes.
    pub interval_s: f64,
    /// Probes that left and count: `replies + lost + in_flight`.
    pub sent: u64,
    /// Answered ones.
    pub replies: u64,
    /// Lost ones.
    pub lost: u64,
    /// Those whose verdict is open.
    pub in_flight: u64,
    /// Share of those judged that were lost, 0 to 1; absent where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Losses taken back by a late reply.
    pub late: u64,
    /// Further replies to an answered probe.
    pub duplicates: u64,
    /// Probes that the kernel refused to send.
    pub not_sent: u64,
    /// Probes of which nothing can be said.
    pub not_measured: u64,
    /// Round-trip times; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<Rtt>,
}

/// Round-trip times, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rtt {
    /// The shortest.
    pub min: f64,
    /// The mean.
    pub avg: f64,
    /// The longest.
    pub max: f64,
    /// That of the newest reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<f64>,
    /// Interarrival jitter (RFC 3550).
    pub jitter: f64,
}

/// An outage that lasts; see [`crate::monitor::outage::Outage`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Outage<'a> {
    /// When its first lost probe was sent, RFC 3339.
    #[serde(borrow)]
    pub began: Text<'a>,
    /// It cannot have begun before, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began_earliest: Option<Text<'a>>,
    /// Seconds it lasts so far.
    pub lasted_s: f64,
    /// Why, in a word: `unanswered`, `damaged`, `different_address`, `not_resolved`, `unreachable`.
    pub cause: Text<'a>,
    /// Further words: the ICMP error, the resolver's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Text<'a>>,
    /// Who sent the ICMP error, or answered instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Text<'a>>,
    /// Number of its first lost probe.
    pub first_seq: u64,
    /// Probes lost in it.
    pub lost: u64,
    /// Seconds of it that were not measured.
    pub unmeasured_s: f64,
    /// Of how many outages it was merged.
    pub fragments: u32,
    /// How often the ICMP identifier was changed in it.
    pub new_ids: u32,
    /// How many other targets are behind this one.
    pub behind: u32,
}
