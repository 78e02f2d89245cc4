//! The queue between the driver and the ledger's thread: bounded, counted, and never a reason to wait.
//!
//! The thread looks into it once a second and is not woken: what is handed over is laid into a shared box, whose lock the thread holds
//! for as long as it takes to swap two pointers, and where even that is held, the driver comes again with its next batch.

use std::mem;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use super::counts::Tally;
use crate::monitor::finding::Finding;
use crate::monitor::record::Record;
use crate::monitor::time::Wall;

/// Verdicts that may wait: ten seconds of 100,000 a second, while a disk stalls. 48 MB.
pub(super) const TALLIES: usize = 1_000_000;
/// Findings that may wait: ten thousand targets that fail and recover ten times.
pub(super) const FINDINGS: usize = 200_000;
/// Verdicts handed over at once, where nobody flushes before.
const BATCH: usize = 256;
/// Verdicts that one piece of memory has room for.
const ROOM: usize = 4096;
/// Spent pieces kept for reuse: a second of 100,000 verdicts.
const SPENT: usize = 25;

/// What waits, in the order in which it was handed over.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) items: Vec<Item>,
    /// How much found no room.
    pub(super) dropped: Dropped,
}

#[derive(Debug)]
pub(super) enum Item {
    Tallies(Vec<Tally>),
    Findings(Vec<Finding>),
}

/// What was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Findings: what is told of outages, states, gaps.
    pub findings: u64,
    /// Verdicts on probes: they are missing from the counts.
    pub probes: u64,
}

impl Dropped {
    /// Whether nothing was.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }

    pub(super) fn add(&mut self, other: Self) {
        self.findings += other.findings;
        self.probes += other.probes;
    }
}

#[derive(Debug, Default)]
struct Shared {
    batch: Batch,
    waiting: Waiting,
    spent: Vec<Vec<Tally>>,
}

/// When the driver was last seen to get on, ns of the wall clock: read without the lock, and by whoever writes alone.
#[derive(Debug)]
struct Turned(AtomicI64);

impl Turned {
    const NEVER: i64 = i64::MIN;
}

#[derive(Debug, Clone, Copy, Default)]
struct Waiting {
    tallies: usize,
    findings: usize,
}

/// A queue and its far end.
pub(super) fn new() -> (Queue, Inbox) {
    let (alive, ended) = mpsc::sync_channel(0);
    let shared = Arc::new(Mutex::new(Shared::default()));
    let turned = Arc::new(Turned(AtomicI64::new(Turned::NEVER)));
    let queue = Queue {
        shared: Arc::clone(&shared),
        turned: Arc::clone(&turned),
        tallies: Vec::with_capacity(ROOM),
        findings: Vec::new(),
        waiting: Waiting::default(),
        dropped: Dropped::default(),
        alive,
    };
    (queue, Inbox { shared, turned, ended })
}

/// The driver's end of the ledger. Dropping it ends the ledger, after everything has been written.
#[derive(Debug)]
pub struct Queue {
    shared: Arc<Mutex<Shared>>,
    turned: Arc<Turned>,
    tallies: Vec<Tally>,
    findings: Vec<Finding>,
    /// As of the last look into the box.
    waiting: Waiting,
    dropped: Dropped,
    #[expect(dead_code, reason = "its end is the message")]
    alive: SyncSender<()>,
}

impl Queue {
    /// Takes note that the driver gets on: all that came until `at` was seen to. Where it does not for a while, it is not said to have
    /// measured meanwhile.
    pub fn turned(&self, at: Wall) {
        self.turned.0.store(at.as_nanos(), Ordering::Relaxed);
    }

    /// Counts what a record tells of a probe. Never waits. Where too many wait it is counted as missing instead.
    pub fn record(&mut self, record: &Record) {
        let Some(tally) = Tally::of(record) else { return };
        if self.waiting.tallies + self.tallies.len() >= TALLIES {
            self.dropped.probes += 1;
        } else {
            self.tallies.push(tally);
        }
        if self.tallies.len() >= BATCH && self.tallies.len().is_multiple_of(BATCH) {
            self.flush();
        }
    }

    /// Hands over a finding, and all verdicts before it. Never waits. Where too many wait it is counted as missing instead.
    pub fn finding(&mut self, finding: Finding) {
        if self.is_full() {
            // As of the last look.
            self.flush();
        }
        if self.is_full() {
            self.dropped.findings += 1;
        } else {
            self.findings.push(finding);
        }
        self.flush();
    }

    fn is_full(&self) -> bool {
        self.waiting.findings + self.findings.len() >= FINDINGS
    }

    /// Hands over what was collected. Never waits; what cannot be handed over goes with the next.
    pub fn flush(&mut self) {
        let shared = Arc::clone(&self.shared);
        let guard = match shared.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        self.hand_over(guard);
    }

    fn hand_over(&mut self, mut shared: MutexGuard<'_, Shared>) {
        shared.waiting.tallies += self.tallies.len();
        shared.waiting.findings += self.findings.len();
        self.waiting = shared.waiting;
        shared.batch.dropped.add(mem::take(&mut self.dropped));
        if !self.tallies.is_empty() {
            self.hand_over_tallies(&mut shared);
        }
        if !self.findings.is_empty() {
            match shared.batch.items.last_mut() {
                Some(Item::Findings(last)) => last.append(&mut self.findings),
                Some(Item::Tallies(_)) | None => {
                    shared.batch.items.push(Item::Findings(mem::take(&mut self.findings)));
                }
            }
        }
    }

    /// Into the piece of memory that is there as long as it has room, so that no piece ever grows.
    fn hand_over_tallies(&mut self, shared: &mut Shared) {
        match shared.batch.items.last_mut() {
            Some(Item::Tallies(last)) if last.capacity() - last.len() >= self.tallies.len() => {
                last.append(&mut self.tallies);
            }
            Some(Item::Tallies(_) | Item::Findings(_)) | None => {
                let spare = shared.spent.pop().unwrap_or_else(|| Vec::with_capacity(ROOM));
                shared.batch.items.push(Item::Tallies(mem::replace(&mut self.tallies, spare)));
            }
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let shared = Arc::clone(&self.shared);
        self.hand_over(shared.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The thread's end.
#[derive(Debug)]
pub(super) struct Inbox {
    shared: Arc<Mutex<Shared>>,
    turned: Arc<Turned>,
    ended: Receiver<()>,
}

impl Inbox {
    /// Waits until the driver has gone, at most for so long; says whether it has.
    pub(super) fn has_ended_within(&self, patience: Duration) -> bool {
        !matches!(self.ended.recv_timeout(patience), Err(RecvTimeoutError::Timeout))
    }

    /// The driver's last sign of life; `now` where it gave none yet.
    pub(super) fn turned(&self, now: Wall) -> Wall {
        match self.turned.0.load(Ordering::Relaxed) {
            Turned::NEVER => now,
            nanos => Wall::from_nanos(nanos).min(now),
        }
    }

    /// Everything that waits.
    pub(super) fn take(&self) -> Batch {
        let mut shared = self.lock();
        shared.waiting = Waiting::default();
        mem::take(&mut shared.batch)
    }

    /// Gives emptied memory back to be filled again.
    pub(super) fn give_back(&self, mut spent: Vec<Tally>) {
        spent.clear();
        if spent.capacity() < ROOM {
            return;
        }
        spent.shrink_to(ROOM);
        let mut shared = self.lock();
        if shared.spent.len() < SPENT {
            shared.spent.push(spent);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
