//! Outages as pingtest tells of them: in its lines, and in what `pingtest outages --json` makes of its ledger.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::log::nanos;
use crate::support::line::Line;

/// One outage of a target; times are ns of the wall clock.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    /// Number of the first lost probe.
    pub(crate) seq: u64,
    /// When that was sent.
    pub(crate) began: u64,
    /// Why.
    pub(crate) cause: String,
    /// When it was told, the outage being an outage.
    pub(crate) told: u64,
    pub(crate) end: Option<End>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct End {
    /// Number of the answered probe.
    pub(crate) seq: u64,
    /// When its reply arrived: so long after the beginning as the outage is said to have lasted, to the millisecond.
    pub(crate) at: u64,
    /// When that was told: later where the losses were not certain before.
    pub(crate) told: u64,
    /// Probes lost.
    pub(crate) lost: u64,
}

/// Those of each target, in the order of their lines: each ends before the next begins, and is the one that began.
pub(crate) fn of_lines<'a>(lines: impl IntoIterator<Item = &'a Line>) -> BTreeMap<String, Vec<Told>> {
    let mut told = BTreeMap::<_, Vec<Told>>::new();
    for line in lines {
        let of_target = told.entry(line.target.clone()).or_default();
        match line.outcome.as_str() {
            "outage_began" => begin(of_target, line),
            "outage_ended" => end(of_target, line),
            _ => {}
        }
    }
    told
}

fn began(line: &Line) -> u64 {
    nanos(line.sent.as_ref().expect("a line of an outage says when it began"))
}

fn begin(outages: &mut Vec<Told>, line: &Line) {
    assert!(outages.last().is_none_or(|last| last.end.is_some()), "it is down already: {line:?}");
    let (cause, told) = (line.error().to_owned(), nanos(&line.ts));
    outages.push(Told { seq: line.seq(), began: began(line), cause, told, end: None });
}

fn end(outages: &mut [Told], line: &Line) {
    let open = outages.last_mut().filter(|last| last.end.is_none() && last.began == began(line));
    let open = open.unwrap_or_else(|| panic!("no such outage lasts: {line:?}"));
    let lasted = Duration::from_secs_f64(line.lasted_s.expect("it lasted for a time"));
    let at = open.began + u64::try_from(lasted.as_nanos()).expect("minutes");
    let lost = line.count.expect("it is counted");
    open.end = Some(End { seq: line.seq(), at, told: nanos(&line.ts), lost });
}
