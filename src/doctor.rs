//! `pingtest doctor`: what would stop pingtest on this machine, what would make it measure less than it could, and what to do about it.
//!
//! `gather` looks, with a deadline on everything that may hang, and changes nothing; `judge` is pure and has one table of checks; `show`
//! prints. It starts no daemon and sends nothing but a probe to loopback and look-ups of the configured names.

mod facts;
mod gather;
mod judge;
mod show;

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

pub use self::show::{Colour, Format};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The configuration.
    pub config: PathBuf,
    /// How findings are printed.
    pub format: Format,
}

/// How bad a finding is, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// pingtest would not start, or measure or write nothing.
    Problem,
    /// It would run, but something would be missing.
    Warning,
    /// Worth to know.
    Note,
    /// As it should be.
    Ok,
}

/// What was found, what that means and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Which check it is of.
    pub check: &'static str,
    /// What was found.
    pub found: String,
    /// What it means; empty where that goes without saying.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub means: String,
    /// What to do, the first choice first; mostly commands.
    #[serde(rename = "do", skip_serializing_if = "Vec::is_empty")]
    pub cures: Vec<String>,
}

/// Whether pingtest would run here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing would stop it.
    Fit,
    /// Something would.
    Unfit,
}

/// Looks, judges, and prints what there is to say.
///
/// # Errors
/// Those of `out`.
pub fn run(request: &Request, out: &mut dyn Write) -> io::Result<Verdict> {
    let facts = gather::facts(&request.config);
    let findings = judge::judge(&facts);
    show::show(&findings, &facts.whom.user, request.format, out)?;
    let is_unfit = findings.iter().any(|finding| finding.level == Level::Problem);
    Ok(if is_unfit { Verdict::Unfit } else { Verdict::Fit })
}
