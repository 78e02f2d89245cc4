//! The ledger as it is read, by whoever may, while it is written or not: rows → [`History`].
//!
//! All of it is read in one transaction, so that it is of one moment.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::carry::pending;
use super::counts::{MINUTE, minute_of};
use super::error::Error;
use super::history::{History, PastOutage, Probes, Span, TargetHistory};
use super::row::{self, COLUMNS};
use super::schema;
use super::store::probes_of;
use crate::monitor::finding::Gap;
use crate::monitor::time::Wall;

/// What is asked of the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// From when on; `None`: from its beginning.
    pub since: Option<Wall>,
    /// Until when; `None`: until the last sign of life of the process that writes it.
    pub until: Option<Wall>,
    /// The targets of this name only.
    pub target: Option<String>,
    /// The time of day: tells whether that process lives.
    pub now: Wall,
    /// Whether distributions are wanted as well.
    pub sketches: Sketches,
}

/// Whether distributions are read: of ten thousand targets and many days, they are most of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sketches {
    /// They are.
    Read,
    /// They stay empty.
    Skip,
}

/// A process that has not written for so long does not live: it writes each second, and a full disk or a busy machine may hold it up.
const SILENCE: Duration = Duration::from_secs(5);

/// Counts that begin this long after the watching are all there were: the first verdict takes its time.
const FIRST_COUNT: Duration = Duration::from_secs(120);

/// Reads what the ledger tells of a time.
///
/// # Errors
/// Where there is none, where it cannot be read, and where its version is not known here.
pub fn read(path: &Path, query: &Query) -> Result<History, Error> {
    let conn = schema::open_to_read(path)?;
    Reader::read(&conn, query).map_err(|error| Error::sqlite(path, error))
}

struct Reader<'a> {
    conn: &'a Connection,
    query: &'a Query,
    time: Span,
    /// By key.
    targets: BTreeMap<i64, TargetHistory>,
}

/// The last run: when the ledger began to watch what is asked for, its last sign of life, and whether it has said that it ends.
struct LastRun {
    began: Wall,
    until: Wall,
    has_ended: bool,
}

impl Reader<'_> {
    fn read(conn: &Connection, query: &Query) -> rusqlite::Result<History> {
        // Nothing is written: dropping it ends it.
        let tx = conn.unchecked_transaction()?;
        let last = last_run(&tx, query)?.unwrap_or(LastRun { began: query.now, until: query.now, has_ended: true });
        let from = query.since.unwrap_or(last.began);
        let is_live = !last.has_ended && query.now - last.until < SILENCE && last.until - query.now < SILENCE;
        // Nobody knows the future.
        let latest = if is_live { last.until } else { last.until.max(query.now) };
        let until = query.until.map_or(last.until, |until| until.min(latest)).max(from);
        let mut reader = Reader { conn: &tx, query, time: Span { from, until }, targets: BTreeMap::new() };
        reader.read_targets()?;
        reader.read_watched()?;
        reader.read_gaps()?;
        reader.read_outages()?;
        reader.read_addresses()?;
        reader.read_minutes()?;
        reader.read_pending()?;
        let counts_from = reader.counts_from()?;
        Ok(History { from, until, is_live, counts_from, targets: reader.watched_targets() })
    }

    fn read_targets(&mut self) -> rusqlite::Result<()> {
        let mut find = self.conn.prepare("SELECT id, name, host FROM target WHERE ?1 IS NULL OR name = ?1")?;
        let of = |row: &Row<'_>| {
            let (name, host) = (row.get(1)?, row.get(2)?);
            let (outages, watched, never_up, gaps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            let (probes, addresses) = (Probes::default(), Vec::new());
            Ok((row.get(0)?, TargetHistory { name, host, outages, watched, never_up, gaps, probes, addresses }))
        };
        self.targets = find.query_map([&self.query.target], of)?.collect::<rusqlite::Result<_>>()?;
        Ok(())
    }

    fn read_watched(&mut self) -> rusqlite::Result<()> {
        let (span, wanted) = (span_of("watch"), self.wanted("watch"));
        let sql = format!(
            "SELECT watch.target, {span}, watch.known FROM watch JOIN run ON run.id = watch.run
             WHERE run.until >= ?1 AND run.began <= ?2 AND {wanted}"
        );
        let time = self.time;
        self.each(&sql, |target, row| {
            let (began, until, known): (_, i64, Option<i64>) = (row.get(1)?, row.get(2)?, row.get(3)?);
            target.watched.extend(clip(time, began, until));
            target.never_up.extend(clip(time, began, known.unwrap_or(until).min(until)));
            Ok(())
        })?;
        for target in self.targets.values_mut() {
            merge(&mut target.watched);
            merge(&mut target.never_up);
        }
        Ok(())
    }

    fn read_gaps(&mut self) -> rusqlite::Result<()> {
        let (span, wanted) = (span_of("gap"), self.wanted("gap"));
        let sql = format!(
            "SELECT gap.target, {span}, gap.why FROM gap JOIN run ON run.id = gap.run
             WHERE run.until >= ?1 AND run.began <= ?2 AND {wanted}"
        );
        let time = self.time;
        self.each(&sql, |target, row| {
            let why: String = row.get(3)?;
            let why = Gap::ALL.into_iter().find(|gap| gap.word() == why);
            target.gaps.extend(clip(time, row.get(1)?, row.get(2)?).zip(why));
            Ok(())
        })?;
        self.targets.values_mut().for_each(|target| target.gaps.sort_by_key(|&(span, _)| span));
        Ok(())
    }

    /// An outage that is over and has lost nothing was none: each of its losses was taken back by a late reply.
    fn read_outages(&mut self) -> rusqlite::Result<()> {
        let wanted = self.wanted("outage");
        let sql = format!(
            "SELECT {COLUMNS} FROM outage
             WHERE began <= ?2 AND iif(ended IS NULL, abandoned = 0 OR began + lasted >= ?1, ended >= ?1)
                 AND (ended IS NULL OR lost > 0) AND {wanted}
             ORDER BY began"
        );
        self.each(&sql, |target, row| {
            let outage: PastOutage = row::past_outage(row)?;
            target.outages.push(outage);
            Ok(())
        })
    }

    fn read_addresses(&mut self) -> rusqlite::Result<()> {
        let wanted = self.wanted("address");
        let sql =
            format!("SELECT target, at, old, new FROM address WHERE at BETWEEN ?1 AND ?2 AND {wanted} ORDER BY id");
        self.each(&sql, |target, row| {
            target.addresses.push((Wall::from_nanos(row.get(1)?), row.get(2)?, row.get(3)?));
            Ok(())
        })
    }

    fn read_minutes(&mut self) -> rusqlite::Result<()> {
        let sketches = match self.query.sketches {
            Sketches::Read => "loss_distances, rtt",
            Sketches::Skip => "NULL, NULL",
        };
        let what = format!("SELECT target, sent, lost, late, loss_periods, {sketches} FROM");
        let Some((first, last)) = self.minutes()? else { return Ok(()) };
        let sql = match self.query.target {
            None => format!("{what} minute WHERE minute BETWEEN ?1 AND ?2"),
            // Sorted by time, the table finds one target's row in each minute at once, but not all of them.
            Some(_) => format!(
                "WITH RECURSIVE time (at) AS (SELECT ?1 UNION ALL SELECT at + {MINUTE} FROM time WHERE at < ?2)
                 {what} time CROSS JOIN minute ON minute.minute = time.at AND {}",
                self.wanted("minute")
            ),
        };
        self.each_between(&sql, first, last, |target, row| {
            target.probes.merge(&probes_of(row, 1)?);
            Ok(())
        })
    }

    /// The first and the last minute of the time that have a row.
    fn minutes(&self) -> rusqlite::Result<Option<(i64, i64)>> {
        let edge = |which: &str| {
            let sql = format!("SELECT {which}(minute) FROM minute WHERE minute >= ?1 AND minute < ?2");
            let bounds = [minute_of(self.time.from), self.time.until.as_nanos()];
            self.conn.query_row(&sql, bounds, |row| row.get::<_, Option<i64>>(0))
        };
        Ok(edge("min")?.zip(edge("max")?))
    }

    /// Since when there are counts, unless there are for as long as anything was watched.
    fn counts_from(&self) -> rusqlite::Result<Option<Wall>> {
        let first = self.targets.values().filter_map(|target| target.watched.first()).map(|span| span.from).min();
        let sql = "SELECT min(minute) FROM (SELECT min(minute) AS minute FROM minute UNION ALL SELECT min(minute) FROM pending)";
        let oldest: Option<i64> = self.conn.query_row(sql, [], |row| row.get(0))?;
        let missing = |(oldest, first): &(Wall, Wall)| *oldest - *first > FIRST_COUNT;
        Ok(oldest.map(Wall::from_nanos).zip(first).filter(missing).map(|(oldest, _)| oldest))
    }

    fn read_pending(&mut self) -> rusqlite::Result<()> {
        for ((minute, target), probes) in pending(self.conn, "minute >= ?1", minute_of(self.time.from))? {
            let Some(target) = self.targets.get_mut(&target) else { continue };
            if minute < self.time.until.as_nanos() {
                target.probes.merge(&probes);
            }
        }
        if self.query.sketches == Sketches::Skip {
            for target in self.targets.values_mut() {
                target.probes.loss_distances = Default::default();
                target.probes.rtt = Default::default();
            }
        }
        Ok(())
    }

    fn each(
        &mut self,
        sql: &str,
        take: impl FnMut(&mut TargetHistory, &Row<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        self.each_between(sql, self.time.from.as_nanos(), self.time.until.as_nanos(), take)
    }

    /// Hands over each row, whose first column is its target's key.
    fn each_between(
        &mut self,
        sql: &str,
        first: i64,
        last: i64,
        mut take: impl FnMut(&mut TargetHistory, &Row<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let mut find = self.conn.prepare(sql)?;
        let mut rows = find.query(params![first, last])?;
        while let Some(row) = rows.next()? {
            if let Some(target) = self.targets.get_mut(&row.get(0)?) {
                take(target, row)?;
            }
        }
        Ok(())
    }

    /// The condition by which a table's rows are those of the targets asked for.
    fn wanted(&self, table: &str) -> String {
        if self.query.target.is_none() {
            return "1".to_owned();
        }
        let keys: Vec<String> = self.targets.keys().map(i64::to_string).collect();
        format!("{table}.target IN ({})", keys.join(", "))
    }

    fn watched_targets(self) -> Vec<TargetHistory> {
        let mut targets: Vec<TargetHistory> =
            self.targets.into_values().filter(|target| !target.watched.is_empty()).collect();
        targets.sort_by(|one, other| (&one.name, &one.host).cmp(&(&other.name, &other.host)));
        targets
    }
}

fn last_run(conn: &Connection, query: &Query) -> rusqlite::Result<Option<LastRun>> {
    let of = |row: &Row<'_>| {
        let until = Wall::from_nanos(row.get(0)?);
        Ok(LastRun { began: until, until, has_ended: row.get(1)? })
    };
    let sql = "SELECT until, ended IS NOT NULL FROM run ORDER BY id DESC LIMIT 1";
    let Some(last) = conn.query_row(sql, [], of).optional()? else { return Ok(None) };
    let began = first_watch(conn, query)?.map_or(last.began, Wall::from_nanos);
    Ok(Some(LastRun { began, ..last }))
}

/// When what is asked for was watched first. Before that pingtest was but starting, or had no such target.
fn first_watch(conn: &Connection, query: &Query) -> rusqlite::Result<Option<i64>> {
    let first = match &query.target {
        None => "(SELECT max(run.began, min(watch.began)) FROM watch WHERE watch.run = run.id)",
        Some(_) => {
            "(SELECT max(run.began, min(watch.began)) FROM watch JOIN target ON target.id = watch.target
              WHERE target.name = ?1 AND watch.run = run.id)"
        }
    };
    let sql =
        format!("SELECT {first} AS first FROM run WHERE first IS NOT NULL AND ?1 IS ?1 ORDER BY run.began LIMIT 1");
    conn.query_row(&sql, [&query.target], |row| row.get(0)).optional()
}

/// The two columns that bound a table's row: it cannot reach beyond its run, and without an end it lasts as long.
fn span_of(table: &str) -> String {
    format!("max({table}.began, run.began), min(coalesce({table}.until, run.until), run.until)")
}

/// The part of a stretch that lies in the time; `None` where nothing of it does.
fn clip(time: Span, from: i64, until: i64) -> Option<Span> {
    let (from, until) = (Wall::from_nanos(from).max(time.from), Wall::from_nanos(until).min(time.until));
    (from < until).then_some(Span { from, until })
}

/// Sorts stretches and joins those that touch.
fn merge(spans: &mut Vec<Span>) {
    spans.sort_unstable();
    spans.dedup_by(|next, last| {
        let touches = next.from <= last.until;
        if touches {
            last.until = last.until.max(next.until);
        }
        touches
    });
}
