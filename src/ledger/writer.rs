//! The ledger's thread: once a second it takes what waits and writes it, and where it cannot, it keeps it for the next time.
//!
//! Findings are kept in memory until they are in the file, up to a limit. Counts are kept by the minute: what a killed process loses is
//! at most what came since the last second was written.

use std::mem;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::carry::Known;
use super::counts::{Count, Minutes, Tally, minute_of};
use super::error::{Cure, Error};
use super::place::{self, Lock};
use super::queue::{Dropped, FINDINGS, Inbox, Item};
use super::roster::Roster;
use super::store::{Run, Second, Sign, Store};
use super::{Notice, Settings};
use crate::monitor::finding::Finding;
use crate::monitor::outage::Carried;
use crate::monitor::target::Label;
use crate::monitor::time::Wall;

/// Time between two writings: with the writing itself, a killed process loses less than a second.
const EVERY: Duration = Duration::from_millis(900);
/// Time until a ledger that another process holds is tried again at the start.
const AGAIN_AFTER: Duration = Duration::from_millis(20);
/// How long the end waits for the log's: less than the ledger itself is waited for.
const LOG_ENDS_WITHIN: Duration = Duration::from_millis(500);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Writings that pass until a ledger that could not be opened is tried again: ten seconds.
const REOPEN_AFTER: u32 = 11;
/// Outages that last whose losses are written at a time: where more last, each has its turn.
const LOSSES_AT_A_TIME: usize = 1000;
/// Writings between two words about a queue that overflows: a minute.
const TELL_EVERY: u32 = 67;
/// A clock that goes further between two writings was set.
const LEAP: Duration = Duration::from_secs(60);
/// Old minutes are deleted only where the clock has not been set for so many writings, ten minutes: one that is a year ahead for a while,
/// before it is told the time, would make all of them old.
const STEADY: u32 = 667;
/// Findings written in one transaction: a fifth of a second's work.
const AT_A_TIME: usize = 10_000;
/// Verdicts that may wait for a disk one by one: 5 MB.
const COUNTS: usize = 200_000;
/// Counts of a target in a minute that may wait for a disk: ten minutes of ten thousand targets, 60 MB.
const MINUTES: usize = 100_000;

/// The thread's state.
pub(super) struct Thread<C, N> {
    settings: Settings,
    clock: C,
    notify: N,
    lock: Option<Lock>,
    store: Option<Store>,
    /// What this process is called in the file it wrote last.
    run: Option<Run>,
    /// The file it wrote last, by device and inode.
    written: Option<(u64, u64)>,
    roster: Roster,
    /// Findings that are not in the file yet.
    findings: Vec<Finding>,
    /// Verdicts since the last writing: minute, target, what they add.
    counts: Vec<(i64, usize, Count)>,
    minutes: Minutes,
    /// What was given up in this spell of trouble.
    given_up: Dropped,
    /// Whether trouble was told of, and not yet its end.
    is_failing: bool,
    /// Writings to go until the ledger is opened again.
    reopen_in: u32,
    /// The time of day at the last writing, and for how many the clock has not been set.
    last: Wall,
    steady: u32,
    /// What found no room in the queue and was not told of yet.
    behind: Dropped,
    /// Writings to go until it is told of.
    quiet_for: u32,
}

impl<C: Fn() -> Wall, N: Fn(Notice)> Thread<C, N> {
    pub(super) fn new(settings: Settings, clock: C, notify: N) -> Self {
        Self {
            settings,
            clock,
            notify,
            lock: None,
            store: None,
            run: None,
            written: None,
            roster: Roster::default(),
            findings: Vec::new(),
            counts: Vec::new(),
            minutes: Minutes::default(),
            given_up: Dropped::default(),
            is_failing: false,
            reopen_in: 0,
            last: Wall::default(),
            steady: 0,
            behind: Dropped::default(),
            quiet_for: 0,
        }
    }

    /// Opens the ledger for the first time, with as much `patience` for another process to let go of it; nothing is carried over where
    /// that fails.
    pub(super) fn begin(&mut self, configured: &[Label], patience: Duration) -> Vec<Carried> {
        let deadline = now() + patience;
        let mut opened = self.open(configured, (self.clock)());
        while opened.as_ref().is_err_and(Error::is_busy) && now() < deadline {
            pause();
            opened = self.open(configured, (self.clock)());
        }
        match opened {
            Ok(known) => {
                self.roster.carry(configured, &known);
                known.into_iter().map(|known| known.carried).collect()
            }
            Err(error) => {
                self.fail(error);
                Vec::new()
            }
        }
    }

    /// Works until the driver's end of the queue is gone and all is written.
    /// `is_logged` says then whether the log has every line: it ends at the same time, and is waited for a while.
    pub(super) fn run(mut self, inbox: Inbox, is_logged: impl Fn() -> bool) {
        // The first comes soon: a process that is killed early was there all the same.
        let mut due = now() + EVERY / 10;
        while !inbox.has_ended_within(due.saturating_duration_since(now())) {
            self.turn(&inbox);
            // After a writing that took long, the next is not owed at once.
            due = (due + EVERY).max(now() + EVERY / 2);
        }
        let deadline = now() + LOG_ENDS_WITHIN;
        while !is_logged() && now() < deadline {
            thread::park_timeout(LOOK_EVERY);
        }
        self.end(&inbox, if is_logged() { Lines::Written } else { Lines::Unknown });
    }

    /// Takes what waits and writes it.
    pub(super) fn turn(&mut self, inbox: &Inbox) {
        self.take_all(inbox);
        self.write_all(inbox);
        self.tell_of_drops();
    }

    /// Takes what waits and writes all of it, for the last time.
    pub(super) fn end(mut self, inbox: &Inbox, lines: Lines) {
        self.take_all(inbox);
        self.quiet_for = 0;
        self.tell_of_drops();
        self.finish(inbox, lines);
    }

    fn take_all(&mut self, inbox: &Inbox) {
        let batch = inbox.take();
        self.behind.add(batch.dropped);
        for item in batch.items {
            match item {
                Item::Tallies(tallies) => {
                    tallies.iter().for_each(|tally| self.count(tally));
                    inbox.give_back(tallies);
                }
                Item::Findings(findings) => findings.into_iter().for_each(|finding| self.hear(finding)),
            }
        }
    }

    fn count(&mut self, tally: &Tally) {
        let minute = minute_of(tally.at);
        let Self { roster, minutes, counts, .. } = self;
        let add = |target, count| {
            minutes.add(minute, target, count);
            counts.push((minute, target, count));
        };
        if roster.count(tally, add).is_err() {
            // Its finding found no room.
            self.given_up.probes += 1;
        }
    }

    fn hear(&mut self, finding: Finding) {
        let minute = minute_of(finding.at);
        self.roster.hear(&finding, |target, count| self.minutes.add(minute, target, count));
        if self.findings.len() < FINDINGS {
            self.findings.push(finding);
        } else {
            self.given_up.findings += 1;
        }
    }

    /// Writes what can be written. An error leaves all of it for the next time. Where verdicts become too many, they are in their minutes
    /// still, which are written when they are over: only a killed process would lose them.
    fn write_all(&mut self, inbox: &Inbox) {
        let now = (self.clock)();
        let until = inbox.turned(now);
        let is_set = (now - self.last).max(self.last - now) > LEAP;
        (self.last, self.steady) = (now, if is_set { 0 } else { self.steady.saturating_add(1) });
        match self.reopened(now).and_then(|()| self.write(now, until, Sign::OfLife)) {
            Ok(()) => self.recover(),
            Err(Trouble::Waiting) => {}
            Err(Trouble::Error(error)) => self.fail(error),
        }
        if self.counts.len() > COUNTS {
            self.counts = Vec::new();
        }
        self.given_up.probes += self.minutes.limit(MINUTES);
    }

    fn reopened(&mut self, now: Wall) -> Result<(), Trouble> {
        if self.store.as_ref().is_some_and(|store| !store.is_in_place()) {
            (self.notify)(Notice::TakenAway { path: self.settings.path.clone() });
            // Its lock may have been taken away with it.
            (self.store, self.lock) = (None, None);
            self.reopen_in = 0;
        }
        if self.store.is_some() {
            return Ok(());
        }
        if self.reopen_in > 0 {
            self.reopen_in -= 1;
            return Err(Trouble::Waiting);
        }
        // What is carried over now is known too late: whoever went on anew has begun anew, and nobody saw the end of what was open.
        self.open(&[], now)?;
        Ok(())
    }

    fn open(&mut self, configured: &[Label], now: Wall) -> Result<Vec<Known>, Error> {
        self.reopen_in = REOPEN_AFTER;
        if self.lock.is_none() {
            self.lock = Some(Lock::take(&self.settings.path)?);
        }
        let (store, carried) = match self.try_open(configured, now) {
            Err(error) if error.cure() == Cure::Replace => {
                self.set_aside(error, now)?;
                self.try_open(configured, now)?
            }
            opened => opened?,
        };
        self.roster.forget_keys();
        let is_another = self.run.is_some_and(|run| run != store.run());
        if is_another {
            let rest = mem::take(&mut self.findings);
            self.findings = self.roster.standings(now);
            self.findings.extend(rest);
        }
        self.run = Some(store.run());
        self.written = store.identity();
        self.store = Some(store);
        self.reopen_in = 0;
        Ok(carried)
    }

    fn try_open(&self, configured: &[Label], now: Wall) -> Result<(Store, Vec<Known>), Error> {
        Store::open(&self.settings.path, self.run, configured, now, self.settings.version)
    }

    /// Only what is known to have been a database: a path mistyped may be anybody's file.
    fn set_aside(&self, error: Error, now: Wall) -> Result<(), Error> {
        let path = &self.settings.path;
        let is_own = self.written.is_some() && place::identity(path) == self.written;
        if !is_own && !place::begins_as_database(path) {
            return Err(Error::Foreign { path: path.clone() });
        }
        let to = place::set_aside(path, now)?;
        (self.notify)(Notice::SetAside { to, error });
        Ok(())
    }

    /// Writes what waits, and that this process measured `until` then.
    fn write(&mut self, now: Wall, until: Wall, sign: Sign) -> Result<(), Trouble> {
        let Some(store) = &mut self.store else { return Err(Trouble::Waiting) };
        store.enter(&mut self.roster)?;
        while !self.findings.is_empty() {
            let some = self.findings.len().min(AT_A_TIME);
            store.write_findings(&self.roster, &self.findings[..some])?;
            self.findings.drain(..some).for_each(|finding| self.roster.settle(&finding));
        }
        self.findings.shrink_to(AT_A_TIME);
        let lost = self.roster.unwritten(LOSSES_AT_A_TIME);
        store.write_losses(&lost)?;
        self.roster.note_written(&lost);
        let current = minute_of(now);
        let is_over = |&minute: &i64| sign != Sign::OfLife || minute != current;
        let over: Vec<i64> = self.minutes.all().into_iter().filter(is_over).collect();
        let second = Second { until, counts: &self.counts, over: &over, minutes: &self.minutes };
        store.write_second(&self.roster, &second, sign)?;
        over.into_iter().for_each(|minute| self.minutes.remove(minute));
        self.counts.clear();
        if sign == Sign::OfLife && self.steady >= STEADY {
            store.prune(minute_of(now - self.settings.keep_minutes))?;
        }
        Ok(())
    }

    fn finish(mut self, inbox: &Inbox, lines: Lines) {
        let now = (self.clock)();
        let (until, sign) = match lines {
            Lines::Written => (now, Sign::OfEnd),
            Lines::Unknown => (inbox.turned(now), Sign::Cut),
        };
        self.roster.end(|target, count| self.minutes.add(minute_of(now), target, count));
        self.reopen_in = 0;
        match self.reopened(now).and_then(|()| self.write(now, until, sign)) {
            Ok(()) => self.recover(),
            Err(trouble) => {
                self.given_up.add(Dropped { findings: self.findings.len() as u64, probes: self.minutes.sent() });
                if let Trouble::Error(error) = trouble {
                    self.fail(error);
                }
                (self.notify)(Notice::Abandoned { path: self.path(), given_up: self.given_up });
            }
        }
    }

    /// At once where there were none for a while, and then no more often than that.
    fn tell_of_drops(&mut self) {
        self.quiet_for = self.quiet_for.saturating_sub(1);
        if !self.behind.is_nothing() && self.quiet_for == 0 {
            self.quiet_for = TELL_EVERY;
            (self.notify)(Notice::Behind { path: self.path(), dropped: mem::take(&mut self.behind) });
        }
    }

    fn recover(&mut self) {
        if mem::take(&mut self.is_failing) {
            (self.notify)(Notice::Recovered { path: self.path(), given_up: mem::take(&mut self.given_up) });
        }
    }

    fn fail(&mut self, error: Error) {
        match error.cure() {
            Cure::Retry => {}
            Cure::Reopen => self.store = None,
            Cure::Replace => {
                self.store = None;
                let now = (self.clock)();
                self.reopen_in = 0;
                match self.set_aside(error, now) {
                    Ok(()) => return,
                    Err(error) => return self.tell(error),
                }
            }
        }
        self.tell(error);
    }

    /// Once for each spell.
    fn tell(&mut self, error: Error) {
        if !mem::replace(&mut self.is_failing, true) {
            (self.notify)(Notice::Failed { error });
        }
    }

    #[cfg(test)]
    pub(super) fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    fn path(&self) -> PathBuf {
        self.settings.path.clone()
    }
}

/// Whether the log has every line when the ledger ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    Written,
    /// It hangs or is slow: what it was handed last counts as not measured.
    Unknown,
}

/// Why nothing was written.
enum Trouble {
    /// It is not time to try again.
    Waiting,
    Error(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "at the start, for two seconds at most: nothing is probed yet, and a lock sends no word"
)]
fn pause() {
    thread::sleep(AGAIN_AFTER);
}

#[expect(clippy::disallowed_methods, reason = "paces writings and labels nothing, so no clock need agree with it")]
fn now() -> Instant {
    Instant::now()
}
