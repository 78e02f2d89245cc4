//! What an earlier process has left: what goes on where it ended, what nobody will see the end of, and counts not yet gathered.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, Row, Statement, Transaction, params};

use super::counts::unpack;
use super::history::Probes;
use super::row::{self, COLUMNS};
use super::store::MinuteWriter;
use crate::monitor::outage::{Carried, Ending, State};
use crate::monitor::target::Label;
use crate::monitor::time::Wall;

/// What is known of a target from before.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    pub(super) carried: Carried,
    /// Whether it has ever been up.
    pub(super) has_been_up: bool,
}

/// Targets watched to the end of the last process that watched them go on; all others are closed, and their open outages abandoned.
pub(super) fn take_over(tx: &Transaction<'_>, configured: &[Label]) -> rusqlite::Result<Vec<Known>> {
    let mut carried = Vec::new();
    let (mut kept, mut lasting) = (BTreeSet::new(), BTreeSet::new());
    let mut finder = Finder::new(tx)?;
    for label in configured {
        let Some(target) = finder.key(label)? else { continue };
        kept.insert(target);
        if let Some(known) = finder.last_known(target, label)? {
            lasting.extend(known.carried.outage.as_ref().map(|outage| (target, outage.began.at.as_nanos())));
            carried.push(known);
        }
    }
    abandon(tx, &lasting)?;
    close_watches(tx, &kept)?;
    Ok(carried)
}

/// Looks targets up. Prepared once: there may be ten thousand.
struct Finder<'c> {
    key: Statement<'c>,
    watch: Statement<'c>,
    outage: Statement<'c>,
}

impl<'c> Finder<'c> {
    fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            key: conn.prepare("SELECT id FROM target WHERE name = ?1 AND host = ?2")?,
            watch: conn.prepare(
                "SELECT watch.until, watch.state, run.until, watch.known IS NOT NULL, run.ended IS NOT NULL
                 FROM watch JOIN run ON run.id = watch.run WHERE watch.target = ?1 ORDER BY watch.run DESC, watch.id DESC LIMIT 1",
            )?,
            outage: conn.prepare(&format!(
                "SELECT {COLUMNS} FROM outage WHERE target = ?1 AND ended IS NULL AND abandoned = 0
                 ORDER BY began DESC LIMIT 1"
            ))?,
        })
    }

    fn key(&mut self, label: &Label) -> rusqlite::Result<Option<i64>> {
        self.key.query_row(params![label.name.as_str(), label.host.to_string()], |row| row.get(0)).optional()
    }

    /// What is carried over of a target; `None` where it was let go before its last process ended.
    fn last_known(&mut self, target: i64, label: &Label) -> rusqlite::Result<Option<Known>> {
        let read = |row: &Row<'_>| {
            let (closed, state): (Option<i64>, Option<String>) = (row.get(0)?, row.get(1)?);
            let ending = if row.get(4)? { Ending::Clean } else { Ending::Abrupt };
            Ok((closed, state, row.get(2)?, row.get(3)?, ending))
        };
        let Some((None, state, until, was_known, ending)) = self.watch.query_row([target], read).optional()? else {
            return Ok(None);
        };
        let outage = self.outage.query_row([target], row::outage).optional()?;
        let state = carried_state(state.as_deref().and_then(State::of_word), outage.is_some());
        let has_been_up = was_known || outage.is_some();
        let (name, host) = (label.name.clone(), label.host.to_string());
        let until = Wall::from_nanos(until);
        Ok(Some(Known { carried: Carried { name, host, state, outage, until, ending }, has_been_up }))
    }
}

/// How a target that was in `last` goes on.
fn carried_state(last: Option<State>, is_in_outage: bool) -> State {
    match (last, is_in_outage) {
        // By order, and nobody has taken it back.
        (Some(State::Paused), _) => State::Paused,
        (_, true) => State::Down,
        // Behind its parent, which was down: it had been up before.
        (Some(State::Up | State::Degraded | State::Behind), false) => State::Up,
        (Some(State::Unknown | State::Suspect | State::Down) | None, false) => State::Unknown,
    }
}

/// They have lasted for as long as their targets were watched, and nobody will see their ends.
fn abandon(tx: &Connection, lasting: &BTreeSet<(i64, i64)>) -> rusqlite::Result<()> {
    let mut find = tx.prepare("SELECT id, target, began FROM outage WHERE ended IS NULL AND abandoned = 0")?;
    let read = |row: &Row<'_>| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)));
    let open: Vec<(i64, (i64, i64))> = find.query_map([], read)?.collect::<rusqlite::Result<_>>()?;
    let mut abandon = tx.prepare(
        "UPDATE outage SET abandoned = 1, lasted = max(lasted, coalesce(
            (SELECT min(coalesce(watch.until, run.until), run.until) FROM watch JOIN run ON run.id = watch.run
             WHERE watch.target = outage.target ORDER BY watch.run DESC, watch.id DESC LIMIT 1) - began, 0))
         WHERE id = ?1",
    )?;
    for (id, _) in open.iter().filter(|(_, which)| !lasting.contains(which)) {
        abandon.execute([id])?;
    }
    Ok(())
}

/// So that a target that comes back one day does not go on where it once was.
fn close_watches(tx: &Connection, kept: &BTreeSet<i64>) -> rusqlite::Result<()> {
    let mut find = tx.prepare("SELECT id FROM target")?;
    let all: Vec<i64> = find.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut close = tx.prepare(
        "UPDATE watch SET until = (SELECT until FROM run WHERE run.id = watch.run) WHERE target = ?1 AND until IS NULL",
    )?;
    for target in all.iter().filter(|&target| !kept.contains(target)) {
        close.execute([target])?;
    }
    Ok(())
}

/// Gathers counts into minutes that an earlier process has left by the second.
pub(super) fn gather_pending(tx: &Transaction<'_>, run: i64) -> rusqlite::Result<()> {
    let minutes = pending(tx, "run <> ?1", run)?;
    let mut writer = MinuteWriter::new(tx)?;
    for ((minute, target), probes) in &minutes {
        writer.write(*minute, *target, probes)?;
    }
    tx.execute("DELETE FROM pending WHERE run <> ?1", [run])?;
    Ok(())
}

/// The counts that are not gathered yet, by minute and target.
pub(super) fn pending(conn: &Connection, which: &str, value: i64) -> rusqlite::Result<BTreeMap<(i64, i64), Probes>> {
    let mut find = conn.prepare(&format!("SELECT minute, counts FROM pending WHERE {which}"))?;
    let mut rows = find.query([value])?;
    let mut minutes = BTreeMap::<(i64, i64), Probes>::new();
    while let Some(row) = rows.next()? {
        let minute = row.get(0)?;
        let counts = row.get_ref(1)?.as_blob().unwrap_or_default();
        unpack(counts).for_each(|(target, count)| minutes.entry((minute, target)).or_default().add(count));
    }
    Ok(minutes)
}
