//! The report as text: the list of outages, a table of targets, what recurs.
//!
//! Knows figures and how they are put, not where they come from.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};
use std::time::Duration;

use chrono::TimeZone;

use super::figures::{self, Why};
use super::rhythm::{Kind, Rhythm};
use super::words::{Clean, counted, duration, grouped, instant, percent_left, percent_of, spread};
use super::{Report, Row};
use crate::ledger::history::{PastOutage, Probes, Span};
use crate::monitor::finding::Gap;

/// An instant in the list: to the second, as its bounds are known.
const STAMP: &str = "%F %T";
/// An instant that is expected: nobody knows it to the second.
const ABOUT: &str = "%F %H:%M";
/// Targets that are named in a line.
const NAMED: usize = 8;
/// A clock whose period is as near to this is daily.
const DAY: Duration = Duration::from_secs(86_400);
const DAILY_WITHIN: Duration = Duration::from_secs(60);

/// Writes the report, in the time of `zone`.
///
/// # Errors
/// Those of the output.
pub(super) fn write<Z: TimeZone>(report: &Report, zone: &Z, out: &mut dyn Write) -> io::Result<()>
where
    Z::Offset: Display,
{
    let history = report.history;
    let (from, until) = (instant(history.from, STAMP, zone), instant(history.until, STAMP, zone));
    if report.rows.iter().all(|row| row.figures.measured == Duration::ZERO) && report.outages().next().is_none() {
        writeln!(out, "nothing was measured between {from} and {until}")?;
        return never_up(report, out);
    }
    if report.outages().next().is_none() {
        return quiet(report, zone, out);
    }
    write_table(&list(report, zone), out)?;
    writeln!(out)?;
    let shown: Vec<_> = report.rows.iter().filter(|row| report.is_single || row.figures.outages > 0).collect();
    writeln!(out, "{from} to {until}, {}:", duration(history.until - history.from))?;
    write_table(&table(report, &shown), out)?;
    since(report, zone, out)?;
    let is_quiet = |row: &&Row| row.figures.outages == 0 && !row.figures.was_never_up();
    let others = report.rows.iter().filter(is_quiet).count();
    if others > 0 && !report.is_single {
        writeln!(out, "{} without outages", counted(others, "target"))?;
    }
    never_up(report, out)?;
    let told = shown.iter().filter_map(|row| Some((row, row.figures.rhythm?)));
    for (at, (row, rhythm)) in told.enumerate() {
        let (name, sentence) = (report.name(row), sentence(&rhythm, zone));
        writeln!(out, "{}{name}: {sentence}", if at == 0 { "\n" } else { "" })?;
    }
    if report.is_single { shown.iter().try_for_each(|row| details(row, out)) } else { Ok(()) }
}

/// All there is to say where there was no outage.
fn quiet<Z: TimeZone>(report: &Report, zone: &Z, out: &mut dyn Write) -> io::Result<()>
where
    Z::Offset: Display,
{
    let time: Duration = report.rows.iter().map(|row| row.figures.time).sum();
    let measured: Duration = report.rows.iter().map(|row| row.figures.measured).sum();
    let of =
        if report.rows.len() == 1 { String::new() } else { format!(" of {}", counted(report.rows.len(), "target")) };
    let share = percent_left(time.saturating_sub(measured), time);
    let long = duration(report.history.until - report.history.from);
    writeln!(out, "no outages{of}; measured {share} of {long}")?;
    never_up(report, out)?;
    if report.is_single {
        since(report, zone, out)?;
        report.rows.iter().try_for_each(|row| details(row, out))?;
    }
    Ok(())
}

/// Where counts by the minute do not reach back to the beginning.
fn since<Z: TimeZone>(report: &Report, zone: &Z, out: &mut dyn Write) -> io::Result<()>
where
    Z::Offset: Display,
{
    report.history.counts_from.map_or(Ok(()), |from| writeln!(out, "loss since {}", instant(from, ABOUT, zone)))
}

/// Targets that have no figures, because nobody knows whether there is anything to answer.
fn never_up(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let rows: Vec<&Row> = report.rows.iter().filter(|row| row.figures.was_never_up()).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = rows.iter().take(NAMED).map(|row| report.name(row)).collect();
    let more = if rows.len() > NAMED { ", …" } else { "" };
    let were = if rows.len() == 1 { "was" } else { "were" };
    writeln!(out, "{} {were} never up: {}{more}", counted(rows.len(), "target"), names.join(", "))
}

/// The outages of all targets, the newest last.
fn list<Z: TimeZone>(report: &Report, zone: &Z) -> Vec<Vec<String>>
where
    Z::Offset: Display,
{
    let mut outages: Vec<_> = report.outages().collect();
    outages.sort_by_key(|(_, outage)| outage.began);
    let heading = ["began", "ended", "lasted", "target", "cause"].map(str::to_owned).to_vec();
    let line = |(row, outage): (&Row, &PastOutage)| {
        vec![
            instant(outage.began, STAMP, zone),
            outage.ended.map_or_else(|| report.open_word(outage).to_owned(), |ended| instant(ended, STAMP, zone)),
            lasted(report, outage),
            report.name(row),
            format!("{}{}", cause(outage), notes(report, row, outage)),
        ]
    };
    std::iter::once(heading).chain(outages.into_iter().map(line)).collect()
}

fn lasted(report: &Report, outage: &PastOutage) -> String {
    let length = duration(figures::length(outage, report.history));
    let began = outage.began_earliest.map(|earliest| outage.began - earliest);
    let ended = outage.ended.zip(outage.ended_earliest).map(|(ended, earliest)| ended - earliest);
    match began.max(ended) {
        Some(off) => format!("{length} {}", spread(off)),
        None => length,
    }
}

/// `unreachable (Destination Host Unreachable, from 10.0.0.1)`
fn cause(outage: &PastOutage) -> String {
    let from = outage.from.as_ref().map(|from| format!("from {from}"));
    let more: Vec<_> = outage.detail.iter().cloned().chain(from).collect();
    let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
    Clean(&format!("{}{more}", outage.cause.replace('_', " "))).to_string()
}

/// What else is to be known of an outage, each with its separator.
fn notes(report: &Report, row: &Row, outage: &PastOutage) -> String {
    let mut notes = String::new();
    let mut note = |text: String| {
        // Writing to a string cannot fail.
        let _ = write!(notes, "; {text}");
    };
    note(format!("{} lost", grouped(usize::try_from(outage.lost).unwrap_or(usize::MAX))));
    let (unmeasured, reasons) = report.unmeasured(row, outage);
    if unmeasured > Duration::ZERO {
        let why: Vec<_> = reasons.iter().map(|(why, _)| past(*why)).collect();
        let why = if why.is_empty() { String::new() } else { format!(": {}", why.join(", ")) };
        note(format!("of that {} not measured{why}", duration(unmeasured)));
    }
    if outage.fragments > 1 {
        note(format!("merged of {}", outage.fragments));
    }
    if outage.behind > 0 {
        note(format!("{} behind it", counted(outage.behind as usize, "other")));
    }
    if outage.new_id_helped {
        note("a new ICMP identifier helped".to_owned());
    }
    if outage.ended.is_none() && outage.is_abandoned {
        note("nobody saw its end".to_owned());
    } else if outage.ended.is_none() && !report.history.is_live {
        note("pingtest does not run".to_owned());
    }
    notes
}

/// Why something was not measured, in the past tense.
fn past(why: Why) -> &'static str {
    match why {
        Why::NotWatched => "pingtest was stopped",
        Why::NeverUp => "it had never been up",
        Why::Gap(Gap::Suspended) => "the system was suspended",
        Why::Gap(Gap::Stalled) => "pingtest stood still",
        Why::Gap(Gap::NotSent) => "nothing could be sent",
        Why::Gap(Gap::Local) => "packets were dropped here",
        Why::Gap(Gap::NotResolved) => "the name had no address",
        Why::Gap(Gap::Paused) => "it was paused",
        Why::Gap(Gap::BehindParent) => "its parent was down",
    }
}

fn table(report: &Report, rows: &[&Row]) -> Vec<Vec<String>> {
    let heading = ["target", "availability", "coverage", "outages", "total", "longest", "MTBF", "MTTR", "loss"];
    let or_dash = |time: Option<Duration>| time.map_or_else(|| "-".to_owned(), duration);
    let line = |row: &&Row| {
        let figures = &row.figures;
        vec![
            report.name(row),
            percent_left(figures.down, figures.measured),
            percent_left(figures.time.saturating_sub(figures.measured), figures.time),
            grouped(figures.outages),
            duration(figures.down),
            or_dash(figures.longest),
            or_dash(figures.mtbf),
            or_dash(figures.mttr),
            loss(&row.target.probes),
        ]
    };
    std::iter::once(heading.map(str::to_owned).to_vec()).chain(rows.iter().map(line)).collect()
}

fn loss(probes: &Probes) -> String {
    percent_of(probes.lost.saturating_sub(probes.late), probes.sent)
}

/// What recurs, in one sentence.
pub(super) fn sentence<Z: TimeZone>(rhythm: &Rhythm, zone: &Z) -> String
where
    Z::Offset: Display,
{
    let period = format!("{} {}", duration(rhythm.period), spread(rhythm.spread));
    let how = match rhythm.kind {
        Kind::Renewal => format!("{period} after the previous recovery"),
        Kind::Clock if rhythm.period.abs_diff(DAY) <= DAILY_WITHIN => {
            format!("daily at about {} {}", instant(rhythm.last, "%H:%M", zone), spread(rhythm.spread))
        }
        Kind::Clock => format!("every {period}, however long they lasted"),
    };
    let known = rhythm.known.map_or_else(String::new, |known| format!(": looks like {known}"));
    let next = rhythm.next.map(|next| format!("; the next is to be expected about {}", instant(next, ABOUT, zone)));
    format!("{} of {} began {how}{known}{}", rhythm.fitting, counted(rhythm.of, "outage"), next.unwrap_or_default())
}

/// What there is room for where only one target is shown.
fn details(row: &Row, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out)?;
    for (why, time) in &row.figures.not_measured {
        writeln!(out, "not measured {}: {}", duration(*time), past(*why))?;
    }
    let probes = &row.target.probes;
    if probes.sent == 0 {
        return Ok(());
    }
    write!(out, "{}, {} lost", crate::counted::counted(probes.sent, "probe"), probes.lost)?;
    if probes.late > 0 {
        write!(out, " ({} of them late)", probes.late)?;
    }
    write!(out, ", {} loss", loss(probes))?;
    if probes.loss_periods > 0 {
        let mean = probes.lost as f64 / probes.loss_periods as f64;
        write!(
            out,
            ", in {} (RFC 3357), {mean:.1} each",
            counted(usize::try_from(probes.loss_periods).unwrap_or_default(), "loss period")
        )?;
    }
    writeln!(out)?;
    if let [Some(p10), Some(median), Some(p90)] = [0.1, 0.5, 0.9].map(|share| probes.loss_distances.quantile(share)) {
        writeln!(out, "loss distance p10/median/p90 = {p10}/{median}/{p90} probes")?;
    }
    let quantiles = [0.5, 0.9, 0.99, 1.0].map(|share| probes.rtt.quantile(share));
    if let [Some(median), Some(p90), Some(p99), Some(max)] = quantiles.map(|rtt| rtt.map(milliseconds)) {
        writeln!(out, "rtt median/p90/p99/max = {median}/{p90}/{p99}/{max} ms")?;
    }
    Ok(())
}

/// Two figures more than a sketch has are enough.
fn milliseconds(micros: u64) -> String {
    format!("{}.{:03}", micros / 1_000, micros % 1_000)
}

/// Writes rows in columns, two spaces apart.
fn write_table(rows: &[Vec<String>], out: &mut dyn Write) -> io::Result<()> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

impl Report<'_> {
    /// How a target is called: with its host where another one has the same name.
    fn name(&self, row: &Row) -> String {
        let target = row.target;
        // Sorted by name.
        let first = self.history.targets.partition_point(|other| other.name < target.name);
        let is_shared = self.history.targets.get(first + 1).is_some_and(|other| other.name == target.name);
        let name = if is_shared { format!("{} ({})", target.name, target.host) } else { target.name.clone() };
        Clean(&name).to_string()
    }

    /// What stands where an outage has no end.
    fn open_word(&self, outage: &PastOutage) -> &'static str {
        if self.history.is_live && !outage.is_abandoned { "lasts" } else { "not seen" }
    }

    /// How much of an outage was not measured, and why as far as the time shown tells.
    pub(super) fn unmeasured(&self, row: &Row, outage: &PastOutage) -> (Duration, Vec<(Why, Duration)>) {
        let extent = figures::extent(outage, self.history);
        let (from, until) = (extent.from.max(self.history.from), extent.until.min(self.history.until));
        let reasons = row.coverage.unmeasured_in(Span { from, until: until.max(from) });
        let seen: Duration = reasons.iter().map(|(_, time)| *time).sum();
        (outage.unmeasured.max(seen), reasons)
    }
}
