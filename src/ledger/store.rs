//! The open database: what is written into which table, a transaction at a time. A transaction that fails has changed nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Statement, Transaction, params};

use super::carry::{self, Known};
use super::counts::{Count, Minutes, pack};
use super::error::Error;
use super::history::Probes;
use super::place::{boot_id, identity};
use super::roster::{Lost, Roster};
use super::row::{self, signed};
use super::schema;
use crate::monitor::finding::{Finding, What};
use crate::monitor::outage::State;
use crate::monitor::sketch::Sketch;
use crate::monitor::target::Label;
use crate::monitor::time::Wall;

/// A ledger, and the run that is written into it.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    conn: Connection,
    run: Run,
    identity: Option<(u64, u64)>,
}

/// A process of pingtest in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    key: i64,
    began: Wall,
}

/// What a second brings: besides findings, which may be too many for one transaction.
#[derive(Debug)]
pub(super) struct Second<'a> {
    /// The last sign of life.
    pub(super) until: Wall,
    /// Verdicts: minute, target, what they add.
    pub(super) counts: &'a [(i64, usize, Count)],
    /// Minutes that are over.
    pub(super) over: &'a [i64],
    pub(super) minutes: &'a Minutes,
}

/// Whether the process stops by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    OfLife,
    OfEnd,
    /// It stops, and nobody knows that the log has all its lines: it ends as one that is killed.
    Cut,
}

/// Pages given back to the system at a time, so that it takes no longer than some milliseconds.
const PAGES_AT_A_TIME: i64 = 500;
/// Free pages that are kept for what comes: 16 MB, more than a minute of ten thousand targets.
const SPARE_PAGES: i64 = 4096;

impl Store {
    /// Opens the ledger, and takes over what an earlier process left of the targets that are configured; or goes on with `run`, where
    /// it is in there.
    pub(super) fn open(
        path: &Path,
        run: Option<Run>,
        configured: &[Label],
        now: Wall,
        version: &str,
    ) -> Result<(Self, Vec<Known>), Error> {
        let mut conn = schema::open_to_write(path)?;
        let (run, carried) =
            begin(&mut conn, run, configured, now, version).map_err(|error| Error::sqlite(path, error))?;
        let identity = identity(path);
        Ok((Self { path: path.to_owned(), conn, run, identity }, carried))
    }

    pub(super) fn run(&self) -> Run {
        self.run
    }

    /// Its device and inode, as it was opened.
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        self.identity
    }

    /// Whether the file in the directory is still the one that is open.
    pub(super) fn is_in_place(&self) -> bool {
        identity(&self.path) == self.identity
    }

    /// Enters the targets that have no key yet.
    pub(super) fn enter(&mut self, roster: &mut Roster) -> Result<(), Error> {
        let lacking = |(_, entry): &(usize, &super::roster::Entry)| entry.key.is_none();
        if !roster.entries().iter().enumerate().any(|both| lacking(&both)) {
            return Ok(());
        }
        let entered = enter(&mut self.conn, roster).map_err(|error| Error::sqlite(&self.path, error))?;
        entered.into_iter().for_each(|(number, key)| roster.set_key(number, key));
        Ok(())
    }

    /// Writes how much was lost in outages that last, in one transaction.
    pub(super) fn write_losses(&mut self, lost: &[Lost]) -> Result<(), Error> {
        let write = |conn: &mut Connection| {
            let tx = conn.transaction()?;
            let mut update = tx
                .prepare("UPDATE outage SET lost = max(lost, ?3) WHERE target = ?1 AND began = ?2 AND ended IS NULL")?;
            for lost in lost {
                update.execute([lost.target, lost.began.as_nanos(), signed(lost.lost)])?;
            }
            drop(update);
            tx.commit()
        };
        if lost.is_empty() {
            return Ok(());
        }
        write(&mut self.conn).map_err(|error| Error::sqlite(&self.path, error))
    }

    /// Writes findings, in one transaction.
    pub(super) fn write_findings(&mut self, roster: &Roster, findings: &[Finding]) -> Result<(), Error> {
        let run = self.run.key;
        let write = |conn: &mut Connection| {
            let tx = conn.transaction()?;
            let mut pen = Pen::new(&tx, run)?;
            findings.iter().try_for_each(|finding| pen.write(roster, finding))?;
            drop(pen);
            tx.commit()
        };
        write(&mut self.conn).map_err(|error| Error::sqlite(&self.path, error))
    }

    /// Writes the counts of a second and a sign of life, in one transaction.
    pub(super) fn write_second(&mut self, roster: &Roster, second: &Second<'_>, sign: Sign) -> Result<(), Error> {
        let run = self.run.key;
        write_second(&mut self.conn, run, roster, second, sign).map_err(|error| Error::sqlite(&self.path, error))
    }

    /// Deletes the earliest minute where it began before `keep_from`: one at a time, so that no transaction is long.
    pub(super) fn prune(&mut self, keep_from: i64) -> Result<(), Error> {
        prune(&self.conn, keep_from).map_err(|error| Error::sqlite(&self.path, error))
    }

    /// Has the file itself hold all that was written.
    #[cfg(test)]
    pub(super) fn checkpoint(&self) {
        self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        // What is remembered of the file would hide what became of it.
        self.conn.execute_batch("PRAGMA cache_size = 0; PRAGMA shrink_memory").unwrap();
    }

    /// Limits the file's size, as a full disk would.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: i64) {
        self.conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    }
}

fn begin(
    conn: &mut Connection,
    run: Option<Run>,
    configured: &[Label],
    now: Wall,
    version: &str,
) -> rusqlite::Result<(Run, Vec<Known>)> {
    if let Some(run) = run
        && is_there(conn, run)?
    {
        return Ok((run, Vec::new()));
    }
    let tx = conn.transaction()?;
    let carried = carry::take_over(&tx, configured)?;
    let sql = "INSERT INTO run (began, until, version, boot_id) VALUES (?1, ?1, ?2, ?3)";
    tx.execute(sql, params![now.as_nanos(), version, boot_id()])?;
    let run = Run { key: tx.last_insert_rowid(), began: now };
    carry::gather_pending(&tx, run.key)?;
    tx.commit()?;
    Ok((run, carried))
}

fn is_there(conn: &Connection, run: Run) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM run WHERE id = ?1 AND began = ?2";
    let found = conn.query_row(sql, params![run.key, run.began.as_nanos()], |_| Ok(()));
    found.optional().map(|found| found.is_some())
}

fn enter(conn: &mut Connection, roster: &Roster) -> rusqlite::Result<Vec<(usize, i64)>> {
    let tx = conn.transaction()?;
    let mut insert = tx.prepare("INSERT INTO target (name, host) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    let mut find = tx.prepare("SELECT id FROM target WHERE name = ?1 AND host = ?2")?;
    let mut entered = Vec::new();
    for (number, entry) in roster.entries().iter().enumerate().filter(|(_, entry)| entry.key.is_none()) {
        let what = params![entry.label.name.as_str(), entry.host];
        insert.execute(what)?;
        entered.push((number, find.query_row(what, |row| row.get(0))?));
    }
    drop((insert, find));
    tx.commit()?;
    Ok(entered)
}

fn write_second(
    conn: &mut Connection,
    run: i64,
    roster: &Roster,
    second: &Second<'_>,
    sign: Sign,
) -> rusqlite::Result<()> {
    let tx = conn.transaction()?;
    let ended = (sign == Sign::OfEnd).then_some("clean");
    tx.execute("UPDATE run SET until = ?2, ended = ?3 WHERE id = ?1", params![run, second.until.as_nanos(), ended])?;
    write_pending(&tx, run, roster, second)?;
    let mut writer = MinuteWriter::new(&tx)?;
    for &minute in second.over {
        for (number, probes) in second.minutes.of(minute) {
            if let Some(key) = roster.entries()[number].key {
                writer.write(minute, key, probes)?;
            }
        }
        tx.execute("DELETE FROM pending WHERE run = ?1 AND minute = ?2", [run, minute])?;
    }
    drop(writer);
    tx.commit()
}

fn write_pending(tx: &Transaction<'_>, run: i64, roster: &Roster, second: &Second<'_>) -> rusqlite::Result<()> {
    let mut insert = tx.prepare("INSERT INTO pending (run, minute, counts) VALUES (?1, ?2, ?3)")?;
    let minutes: BTreeSet<i64> = second.counts.iter().map(|&(minute, _, _)| minute).collect();
    for minute in minutes.into_iter().filter(|minute| !second.over.contains(minute)) {
        let mut bytes = Vec::new();
        for &(_, number, count) in second.counts.iter().filter(|&&(of, _, _)| of == minute) {
            if let Some(key) = roster.entries()[number].key {
                pack(&mut bytes, key, count);
            }
        }
        insert.execute(params![run, minute, bytes])?;
    }
    Ok(())
}

fn prune(conn: &Connection, keep_from: i64) -> rusqlite::Result<()> {
    let earliest: Option<i64> = conn.query_row("SELECT min(minute) FROM minute", [], |row| row.get(0))?;
    if let Some(earliest) = earliest.filter(|&minute| minute < keep_from) {
        conn.execute("DELETE FROM minute WHERE minute = ?1", [earliest])?;
    }
    let free: i64 = conn.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
    if free > SPARE_PAGES {
        conn.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES_AT_A_TIME})"))?;
    }
    Ok(())
}

/// Adds counts to minutes.
pub(super) struct MinuteWriter<'tx> {
    insert: Statement<'tx>,
    find: Statement<'tx>,
    replace: Statement<'tx>,
}

impl<'tx> MinuteWriter<'tx> {
    pub(super) fn new(tx: &'tx Transaction<'_>) -> rusqlite::Result<Self> {
        const VALUES: &str = "minute (minute, target, sent, lost, late, loss_periods, loss_distances, rtt)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        Ok(Self {
            insert: tx.prepare(&format!("INSERT OR IGNORE INTO {VALUES}"))?,
            find: tx.prepare(
                "SELECT sent, lost, late, loss_periods, loss_distances, rtt FROM minute WHERE minute = ?1 AND target = ?2",
            )?,
            replace: tx.prepare(&format!("REPLACE INTO {VALUES}"))?,
        })
    }

    /// A minute that is in the file already, by an earlier process or because the clock was set back, gets more.
    pub(super) fn write(&mut self, minute: i64, target: i64, probes: &Probes) -> rusqlite::Result<()> {
        if execute(&mut self.insert, minute, target, probes)? > 0 {
            return Ok(());
        }
        let mut all = self.find.query_row([minute, target], |row| probes_of(row, 0))?;
        all.merge(probes);
        execute(&mut self.replace, minute, target, &all).map(drop)
    }
}

fn execute(statement: &mut Statement<'_>, minute: i64, target: i64, probes: &Probes) -> rusqlite::Result<usize> {
    statement.execute(params![
        minute,
        target,
        signed(probes.sent),
        signed(probes.lost),
        signed(probes.late),
        probes.loss_periods,
        probes.loss_distances.to_bytes(),
        probes.rtt.to_bytes(),
    ])
}

/// Counts from the six columns from `first` on. A sketch that cannot be understood is empty.
pub(super) fn probes_of(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Probes> {
    let number = |at| row.get::<_, i64>(first + at).map(row::unsigned::<u64>);
    let sketch = |at| {
        let value = row.get_ref(first + at)?;
        Ok::<_, rusqlite::Error>(value.as_blob().ok().and_then(Sketch::from_bytes).unwrap_or_default())
    };
    Ok(Probes {
        sent: number(0)?,
        lost: number(1)?,
        late: number(2)?,
        loss_periods: row.get(first + 3)?,
        loss_distances: sketch(4)?,
        rtt: sketch(5)?,
    })
}

/// Whether a target in this state is up, or was before. Behind its parent or paused it may not have been.
pub(super) fn has_been_up(state: State) -> bool {
    match state {
        State::Up | State::Degraded | State::Down => true,
        State::Unknown | State::Suspect | State::Behind | State::Paused => false,
    }
}

/// Writes findings within a transaction.
struct Pen<'tx> {
    run: i64,
    watch: Statement<'tx>,
    unwatch: Statement<'tx>,
    outage: Statement<'tx>,
    abandon: Statement<'tx>,
    abandon_others: Statement<'tx>,
    state: Statement<'tx>,
    watch_state: Statement<'tx>,
    first_reply: Statement<'tx>,
    gap: Statement<'tx>,
    end_gap: Statement<'tx>,
    address: Statement<'tx>,
    /// Targets that were let go in this transaction: how they stood before says nothing.
    let_go: BTreeSet<usize>,
}

impl<'tx> Pen<'tx> {
    fn new(tx: &'tx Transaction<'_>, run: i64) -> rusqlite::Result<Self> {
        Ok(Self {
            run,
            watch: tx.prepare("INSERT INTO watch (target, run, began, state, known) VALUES (?1, ?2, ?3, ?4, ?5)")?,
            unwatch: tx.prepare("UPDATE watch SET until = ?3 WHERE target = ?1 AND run = ?2 AND until IS NULL")?,
            outage: tx.prepare(row::UPSERT)?,
            abandon: tx.prepare(
                "UPDATE outage SET abandoned = 1, lasted = max(lasted, ?2 - began)
                 WHERE target = ?1 AND ended IS NULL AND abandoned = 0",
            )?,
            abandon_others: tx.prepare(
                "UPDATE outage SET abandoned = 1 WHERE target = ?1 AND ended IS NULL AND abandoned = 0 AND began <> ?2",
            )?,
            state: tx.prepare("INSERT INTO state (target, at, state) VALUES (?1, ?2, ?3)")?,
            watch_state: tx.prepare(
                "UPDATE watch SET state = ?3, known = coalesce(known, iif(?4, began, NULL)) WHERE target = ?1 AND run = ?2 AND until IS NULL",
            )?,
            first_reply: tx.prepare(
                // Not where it is known from an earlier process.
                "UPDATE watch SET known = ?3 WHERE target = ?1 AND run = ?2 AND until IS NULL AND coalesce(known >= began, 1)",
            )?,
            gap: tx.prepare("INSERT INTO gap (target, run, began, why) VALUES (?1, ?2, ?3, ?4)")?,
            end_gap: tx.prepare(
                // By those that are open: a target may have thousands that are not.
                "UPDATE gap INDEXED BY gap_open SET until = ?3 WHERE target = ?1 AND run = ?2 AND until IS NULL",
            )?,
            address: tx.prepare("INSERT INTO address (target, at, old, new) VALUES (?1, ?2, ?3, ?4)")?,
            let_go: BTreeSet::new(),
        })
    }

    fn write(&mut self, roster: &Roster, finding: &Finding) -> rusqlite::Result<()> {
        let Some(number) = roster.number(&finding.target) else { return Ok(()) };
        let Some(target) = roster.entries()[number].key else { return Ok(()) };
        let (run, at) = (self.run, finding.at.as_nanos());
        match &finding.what {
            What::Watched => {
                let goes_on = !self.let_go.contains(&number);
                let state = roster.state(number).filter(|_| goes_on).map(State::word);
                let known = roster.known(number).filter(|_| goes_on).map(Wall::as_nanos);
                self.watch.execute(params![target, run, at, state, known])?;
            }
            What::Unwatched => {
                self.unwatch.execute([target, run, at])?;
                self.end_gap.execute([target, run, at])?;
                self.abandon.execute([target, at])?;
                self.let_go.insert(number);
            }
            What::StateChanged { to, .. } => {
                self.state.execute(params![target, at, to.word()])?;
                self.watch_state.execute(params![target, run, to.word(), has_been_up(*to)])?;
            }
            What::OutageBegan(outage) => {
                row::upsert(&mut self.outage, target, outage)?;
                // An end that was never written, for want of room: there is but one at a time.
                self.abandon_others.execute([target, outage.began.at.as_nanos()])?;
            }
            What::OutageAmended(outage) | What::OutageEnded(outage) => {
                row::upsert(&mut self.outage, target, outage)?;
            }
            What::GapBegan { from, why } => {
                self.gap.execute(params![target, run, from.as_nanos(), why.word()])?;
            }
            What::GapEnded { until } => {
                self.end_gap.execute([target, run, until.as_nanos()])?;
            }
            What::AddressChanged { old, new } => {
                self.address.execute(params![target, at, row::text(*old), row::text(*new)])?;
            }
            // It had lost probes before: until now it was never up.
            What::FirstReply(_) => {
                self.first_reply.execute([target, run, at])?;
            }
        }
        Ok(())
    }
}
