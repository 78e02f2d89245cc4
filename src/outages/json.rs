//! The report as one JSON object, keys always in the same order; `null` where there is no such figure.

use std::fmt::Display;
use std::io::{self, Write};
use std::time::Duration;

use chrono::TimeZone;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::figures::{self, Why};
use super::rhythm::Rhythm;
use super::words::{Clean, instant};
use super::{Report, Row, show};
use crate::ledger::history::{PastOutage, Probes};
use crate::monitor::sketch::Sketch;
use crate::monitor::time::Wall;

/// As JSON lines have it: microseconds and a numeric offset.
const RFC3339: &str = "%Y-%m-%dT%H:%M:%S%.6f%:z";

/// Writes the report, in the time of `zone`.
///
/// # Errors
/// Those of the output.
pub(super) fn write<Z: TimeZone>(report: &Report, zone: &Z, out: &mut dyn Write) -> io::Result<()>
where
    Z::Offset: Display,
{
    let stamp = |at: Wall| instant(at, RFC3339, zone);
    let object = Object {
        from: stamp(report.history.from),
        until: stamp(report.history.until),
        live: report.history.is_live,
        counts_from: report.history.counts_from.map(stamp),
        targets: report.rows.iter().map(|row| target(report, row, zone)).collect(),
    };
    serde_json::to_writer(&mut *out, &object)?;
    writeln!(out)
}

#[derive(Serialize)]
struct Object {
    from: String,
    until: String,
    live: bool,
    counts_from: Option<String>,
    targets: Vec<Target>,
}

#[derive(Serialize)]
struct Target {
    target: String,
    host: String,
    availability: Option<f64>,
    coverage: Option<f64>,
    measured_s: f64,
    not_measured_s: NotMeasured,
    outages: Vec<Outage>,
    total_s: f64,
    longest_s: Option<f64>,
    mtbf_s: Option<f64>,
    mttr_s: Option<f64>,
    sent: u64,
    lost: u64,
    late: u64,
    loss: Option<f64>,
    loss_periods: i64,
    loss_distance: Option<Distance>,
    rtt_ms: Option<Rtt>,
    rhythm: Option<Recurring>,
}

#[derive(Serialize)]
struct Outage {
    began: String,
    began_earliest: Option<String>,
    ended: Option<String>,
    ended_earliest: Option<String>,
    lasted_s: f64,
    unmeasured_s: f64,
    cause: String,
    detail: Option<String>,
    from: Option<String>,
    lost: u64,
    fragments: u32,
    new_ids: u32,
    new_id_helped: bool,
    behind: u32,
    open: bool,
    abandoned: bool,
}

#[derive(Serialize)]
struct Distance {
    p10: Option<u64>,
    p50: Option<u64>,
    p90: Option<u64>,
}

#[derive(Serialize)]
struct Rtt {
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
    max: Option<f64>,
}

#[derive(Serialize)]
struct Recurring {
    kind: &'static str,
    period_s: f64,
    spread_s: f64,
    fitting: usize,
    of: usize,
    next: Option<String>,
    text: String,
}

/// Seconds by reason.
struct NotMeasured(Vec<(Why, Duration)>);

impl Serialize for NotMeasured {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (why, time) in &self.0 {
            map.serialize_entry(why.word(), &seconds(*time))?;
        }
        map.end()
    }
}

fn target<Z: TimeZone>(report: &Report, row: &Row, zone: &Z) -> Target
where
    Z::Offset: Display,
{
    let (figures, probes) = (&row.figures, &row.target.probes);
    Target {
        target: clean(&row.target.name),
        host: clean(&row.target.host),
        availability: figures.availability(),
        coverage: figures.coverage(),
        measured_s: seconds(figures.measured),
        not_measured_s: NotMeasured(figures.not_measured.clone()),
        outages: row.target.outages.iter().map(|one| outage(report, row, one, zone)).collect(),
        total_s: seconds(figures.down),
        longest_s: figures.longest.map(seconds),
        mtbf_s: figures.mtbf.map(seconds),
        mttr_s: figures.mttr.map(seconds),
        sent: probes.sent,
        lost: probes.lost,
        late: probes.late,
        loss: loss(probes),
        loss_periods: probes.loss_periods.max(0),
        loss_distance: distance(&probes.loss_distances),
        rtt_ms: rtt(&probes.rtt),
        rhythm: figures.rhythm.as_ref().map(|rhythm| recurring(rhythm, zone)),
    }
}

fn outage<Z: TimeZone>(report: &Report, row: &Row, outage: &PastOutage, zone: &Z) -> Outage
where
    Z::Offset: Display,
{
    let stamp = |at: Wall| instant(at, RFC3339, zone);
    Outage {
        began: stamp(outage.began),
        began_earliest: outage.began_earliest.map(stamp),
        ended: outage.ended.map(stamp),
        ended_earliest: outage.ended_earliest.map(stamp),
        lasted_s: seconds(figures::length(outage, report.history)),
        unmeasured_s: seconds(report.unmeasured(row, outage).0),
        cause: clean(&outage.cause),
        detail: outage.detail.as_deref().map(clean),
        from: outage.from.as_deref().map(clean),
        lost: outage.lost,
        fragments: outage.fragments,
        new_ids: outage.new_ids,
        new_id_helped: outage.new_id_helped,
        behind: outage.behind,
        open: outage.ended.is_none(),
        abandoned: outage.is_abandoned,
    }
}

fn recurring<Z: TimeZone>(rhythm: &Rhythm, zone: &Z) -> Recurring
where
    Z::Offset: Display,
{
    Recurring {
        kind: rhythm.kind.word(),
        period_s: seconds(rhythm.period),
        spread_s: seconds(rhythm.spread),
        fitting: rhythm.fitting,
        of: rhythm.of,
        next: rhythm.next.map(|next| instant(next, RFC3339, zone)),
        text: show::sentence(rhythm, zone),
    }
}

fn loss(probes: &Probes) -> Option<f64> {
    (probes.sent > 0).then(|| probes.lost.saturating_sub(probes.late) as f64 / probes.sent as f64)
}

fn distance(distances: &Sketch) -> Option<Distance> {
    let [p10, p50, p90] = [0.1, 0.5, 0.9].map(|share| distances.quantile(share));
    (distances.count() > 0).then_some(Distance { p10, p50, p90 })
}

fn rtt(rtt: &Sketch) -> Option<Rtt> {
    let [p50, p90, p99, max] =
        [0.5, 0.9, 0.99, 1.0].map(|share| rtt.quantile(share).map(|micros| micros as f64 / 1_000.0));
    (rtt.count() > 0).then_some(Rtt { p50, p90, p99, max })
}

/// Seconds, to the microsecond.
fn seconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e6
}

fn clean(text: &str) -> String {
    Clean(text).to_string()
}
