//! The ledger as `pingtest outages --json` shows it.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::log::nanos;
use crate::support::program;

/// Everything that is kept.
#[derive(Debug, Deserialize)]
pub(crate) struct Kept {
    pub(crate) targets: Vec<KeptTarget>,
}

/// Of a target; keys that no proof asks for are passed over.
#[derive(Debug, Deserialize)]
pub(crate) struct KeptTarget {
    pub(crate) target: String,
    /// In the order in which they began.
    pub(crate) outages: Vec<KeptOutage>,
}

/// One outage; times are ns of the wall clock.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct KeptOutage {
    #[serde(deserialize_with = "instant")]
    pub(crate) began: u64,
    #[serde(deserialize_with = "maybe")]
    pub(crate) began_earliest: Option<u64>,
    #[serde(deserialize_with = "maybe")]
    pub(crate) ended: Option<u64>,
    #[serde(deserialize_with = "maybe")]
    pub(crate) ended_earliest: Option<u64>,
    #[serde(rename = "lasted_s", deserialize_with = "seconds")]
    pub(crate) lasted: Duration,
    #[serde(rename = "unmeasured_s", deserialize_with = "seconds")]
    pub(crate) unmeasured: Duration,
    pub(crate) cause: String,
    pub(crate) lost: u64,
    pub(crate) open: bool,
    pub(crate) abandoned: bool,
    /// How many other targets were behind this one.
    pub(crate) behind: usize,
}

impl Kept {
    /// Reads a ledger, whether somebody writes to it or not.
    pub(crate) fn read(ledger: &Path) -> Self {
        let told = program::run(&["outages", "--json", "--ledger", ledger.to_str().expect("a plain path")]);
        assert_eq!(told.code, Some(0), "{}", told.stderr);
        serde_json::from_str(&told.stdout).unwrap_or_else(|error| panic!("{error}: {}", told.stdout))
    }

    /// The outages of a target, none where there were none.
    pub(crate) fn of(&self, target: &str) -> &[KeptOutage] {
        self.targets.iter().find(|kept| kept.target == target).map_or(&[], |kept| &kept.outages)
    }
}

fn instant<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    String::deserialize(from).map(|stamp| nanos(&stamp))
}

fn maybe<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    Option::<String>::deserialize(from).map(|stamp| stamp.map(|stamp| nanos(&stamp)))
}

fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    f64::deserialize(from).map(Duration::from_secs_f64)
}
