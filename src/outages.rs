//! `pingtest outages`: what the ledger tells of outages: when, how long, how often, why, and whether they recur.
//!
//! Reads the ledger and nothing else; the daemon need not run. All figures come from [`figures`] and [`rhythm`], which are pure.

pub mod figures;
mod json;
pub mod rhythm;
mod show;
mod words;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;

use chrono::{Local, TimeZone};

use self::figures::{Coverage, Figures};
use crate::clock;
use crate::ledger::history::{History, PastOutage, TargetHistory};
use crate::ledger::{self, Query, Sketches};
use crate::monitor::time::Wall;

/// What `pingtest outages` is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The ledger's file.
    pub ledger: PathBuf,
    /// From when; from its beginning where nobody says.
    pub since: Option<Wall>,
    /// Until when; until its end where nobody says.
    pub until: Option<Wall>,
    /// Only this target.
    pub target: Option<String>,
    /// How it is told.
    pub format: Format,
}

/// How a report is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One object for programs.
    Json,
}

/// Why nothing was told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ledger cannot be read.
    #[error("{0} (has the daemon run with this ledger, and may you read it?)")]
    Ledger(#[source] ledger::Error),
    /// It knows nothing of the target.
    #[error("the ledger {path} knows nothing of {name} in this time", path = .0.display(), name = .1)]
    NoSuchTarget(PathBuf, String),
    /// Whoever was to read the report does not.
    #[error("cannot write: {0}")]
    Output(#[source] io::Error),
}

/// Tells on `out` what is asked for, in local time.
///
/// # Errors
/// See [`Error`].
pub fn run(request: &Request, out: &mut dyn Write) -> Result<(), Error> {
    let Request { since, until, target, .. } = request.clone();
    let single = target.clone();
    // Without a target, a table of text shows no more than sums.
    let sketches = match (&target, request.format) {
        (Some(_), _) | (None, Format::Json) => Sketches::Read,
        (None, Format::Text) => Sketches::Skip,
    };
    let query = Query { since, until, target, now: clock::now().wall, sketches };
    let history = ledger::read(&request.ledger, &query).map_err(Error::Ledger)?;
    if let Some(name) = single.filter(|_| history.targets.is_empty()) {
        return Err(Error::NoSuchTarget(request.ledger.clone(), name));
    }
    report(&history, request.target.is_some(), request.format, &Local, out).map_err(Error::Output)
}

/// Tells of a history, in the time of `zone`. Where `is_single`, one target was asked for, and more is told of it.
///
/// # Errors
/// Those of the output.
pub fn report<Z: TimeZone>(
    history: &History,
    is_single: bool,
    format: Format,
    zone: &Z,
    out: &mut dyn Write,
) -> io::Result<()>
where
    Z::Offset: Display,
{
    let report = Report::new(history, is_single);
    match format {
        Format::Text => show::write(&report, zone, out),
        Format::Json => json::write(&report, zone, out),
    }?;
    out.flush()
}

/// A history and its figures.
struct Report<'a> {
    history: &'a History,
    /// Each target, the worst availability first, those of which nothing was measured last.
    rows: Vec<Row<'a>>,
    is_single: bool,
}

/// A target and its figures.
struct Row<'a> {
    target: &'a TargetHistory,
    figures: Figures,
    coverage: Coverage,
}

impl<'a> Row<'a> {
    fn new(target: &'a TargetHistory, history: &History) -> Self {
        let coverage = Coverage::of(target);
        Self { target, figures: Figures::covering(target, history, &coverage), coverage }
    }
}

impl<'a> Report<'a> {
    fn new(history: &'a History, is_single: bool) -> Self {
        let mut rows: Vec<_> = history.targets.iter().map(|target| Row::new(target, history)).collect();
        let key = |row: &Row| row.figures.availability().unwrap_or(f64::INFINITY);
        rows.sort_by(|one, other| key(one).total_cmp(&key(other)));
        Self { history, rows, is_single }
    }

    /// Every outage, by target.
    fn outages(&self) -> impl Iterator<Item = (&Row<'a>, &'a PastOutage)> {
        self.rows.iter().flat_map(|row| row.target.outages.iter().map(move |outage| (row, outage)))
    }
}
