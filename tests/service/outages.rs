//! What `pingtest outages --json` tells on the machine.

use std::fmt;

use serde_json::Value;

use crate::station::Station;

/// The report.
#[derive(Debug)]
pub(crate) struct Figures(Value);

/// What it says of a target.
pub(crate) struct Target<'a> {
    pub(crate) coverage: f64,
    value: &'a Value,
}

impl Figures {
    /// Asks for it, with these arguments besides.
    pub(crate) fn read(station: &Station, args: &[&str]) -> Self {
        let text = station.machine.ok(&[&["pingtest", "outages", "--json"], args].concat());
        Self(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    /// That of a target.
    pub(crate) fn of(&self, name: &str) -> Target<'_> {
        let targets = self.0["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
        let value = targets.iter().find(|target| target["target"] == name);
        let value = value.unwrap_or_else(|| panic!("nothing of {name}: {}", self.0));
        Target { coverage: value["coverage"].as_f64().unwrap_or_else(|| panic!("no coverage: {value}")), value }
    }
}

impl Target<'_> {
    /// Seconds not measured for this reason.
    pub(crate) fn not_measured_s(&self, why: &str) -> f64 {
        self.value["not_measured_s"][why].as_f64().unwrap_or(0.0)
    }

    /// How many outages there were.
    pub(crate) fn outages(&self) -> usize {
        self.value["outages"].as_array().map_or(0, Vec::len)
    }

    /// Probes lost.
    pub(crate) fn lost(&self) -> u64 {
        self.value["lost"].as_u64().expect("it is counted")
    }
}

impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value)
    }
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { coverage, value } = self;
        write!(
            f,
            "coverage {:.3} %, not measured {} s, {} outages",
            coverage * 100.0,
            value["not_measured_s"],
            self.outages()
        )
    }
}
