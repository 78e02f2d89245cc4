//! The queue between the driver and the writer thread: bounded, counted, and never a reason to wait.
//!
//! Records travel in batches, one message for each turn of the driver's loop, and spent batches travel back to be filled
//! again, so that neither side allocates once warm. This module knows nothing of files.

use std::collections::BTreeMap;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::Losses;
use super::output::Sink;
use crate::monitor::record::Record;
use crate::monitor::target::Name;
use crate::monitor::time::Wall;

/// Messages that may wait. The bound that counts is the one on records: a batch that finds no slot stays with the driver and
/// grows, so this need only cover the turns of the driver's loop while the writer is inside one `write(2)`.
const SLOTS: usize = 1024;
/// Records that a batch kept for reuse has room for: several turns of the driver's loop.
const ROOM: usize = 4096;
/// Spent batches kept for reuse: more than driver and writer have under way at a time unless the writer is behind.
const SPENT: usize = 16;

/// What the writer thread is sent.
#[derive(Debug)]
pub(super) enum Message {
    /// Records to be written.
    Batch(Batch),
    /// Write to these from here on.
    Replace(Vec<Sink>),
    /// Look at the flags.
    Wake,
}

/// Records, and what went missing after them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    pub(super) missed: Vec<Missed>,
    /// Stands behind them.
    pub(super) mark: Option<u64>,
}

/// Records of one target that were dropped.
#[derive(Debug)]
pub(super) struct Missed {
    pub(super) name: Name,
    pub(super) gap: Gap,
}

/// How many records are missing, and from when to when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) count: u64,
    pub(super) first: Wall,
    pub(super) last: Wall,
}

impl Gap {
    pub(super) fn one(at: Wall) -> Self {
        Self { count: 1, first: at, last: at }
    }

    pub(super) fn join(self, other: Self) -> Self {
        Self { count: self.count + other.count, first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

/// What both ends and the operator see.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Records sent and not yet rendered.
    waiting: AtomicUsize,
    /// Records sent of which no line was written or put by yet.
    unwritten: AtomicUsize,
    /// The newest mark before which all was written, or put by for a later try.
    marked: AtomicU64,
    steps: Arc<Steps>,
    reopen: AtomicBool,
    written: AtomicBool,
    /// What the driver could not send any more when it let go.
    leftover: Mutex<Batch>,
    losses: Arc<Losses>,
}

/// Counts what the writer has asked of the disk and got an answer to, whatever that was: one that is slow still gets on.
#[derive(Debug, Default)]
pub(super) struct Steps(AtomicU64);

impl Steps {
    /// A call to the file system has returned.
    pub(super) fn step(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Shared {
    pub(super) fn steps(&self) -> u64 {
        self.steps.count()
    }

    pub(super) fn ask_to_reopen(&self) {
        self.reopen.store(true, Ordering::Release);
    }

    fn sent(&self, count: usize) {
        self.waiting.fetch_add(count, Ordering::Relaxed);
        self.unwritten.fetch_add(count, Ordering::Relaxed);
    }

    fn not_sent(&self, count: usize) {
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        self.unwritten.fetch_sub(count, Ordering::Relaxed);
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn marked(&self) -> u64 {
        self.marked.load(Ordering::Relaxed)
    }

    pub(super) fn is_written(&self) -> bool {
        self.written.load(Ordering::Acquire)
    }

    pub(super) fn losses(&self) -> &Arc<Losses> {
        &self.losses
    }
}

/// A queue for `limit` records and its far end.
pub(super) fn new(limit: usize) -> (Queue, Inbox) {
    let (to_writer, messages) = mpsc::sync_channel(SLOTS);
    let (to_driver, spent) = mpsc::sync_channel(SPENT);
    let shared = Arc::new(Shared::default());
    let queue = Queue {
        messages: Arc::new(to_writer),
        spent,
        shared: Arc::clone(&shared),
        limit,
        batch: Vec::new(),
        spare: Vec::new(),
        missed: BTreeMap::new(),
        mark: None,
        sent: 0,
        taken: 0,
    };
    (queue, Inbox { messages, spent: to_driver, shared })
}

/// The driver's end of the log. Dropping it ends the log, after everything has been written.
#[derive(Debug)]
pub struct Queue {
    /// Shared so that a `Control` can send without keeping the log alive.
    messages: Arc<SyncSender<Message>>,
    spent: Receiver<Vec<Record>>,
    shared: Arc<Shared>,
    limit: usize,
    batch: Vec<Record>,
    spare: Vec<Record>,
    missed: BTreeMap<Name, Gap>,
    mark: Option<u64>,
    /// Records handed over so far, and those of them that the writer was done with when it was looked last.
    sent: usize,
    taken: usize,
}

impl Queue {
    /// Collects a record for the next [`Queue::flush`]. Where too many are waiting it is counted and dropped instead.
    pub fn push(&mut self, record: Record) {
        if self.missed.is_empty() && self.load() < self.limit {
            self.batch.push(record);
        } else {
            self.miss(&record);
        }
    }

    /// Puts a mark behind what was collected. It goes with the next [`Queue::flush`], and `Control::marked` tells when the writer has come
    /// to it.
    pub fn mark(&mut self, mark: u64) {
        self.mark = Some(mark);
    }

    /// Hands the collected records to the writer, and with them what is to be told of those that found no room. Never blocks.
    /// Returns whether all went; what is left stays collected and is to be flushed again, even if nothing is added to it.
    pub fn flush(&mut self) -> bool {
        let missed = self.take_missed();
        if self.batch.is_empty() && missed.is_empty() && self.mark.is_none() {
            return self.missed.is_empty();
        }
        let spare = self.spare();
        let batch = Batch { records: mem::replace(&mut self.batch, spare), missed, mark: self.mark.take() };
        let count = batch.records.len();
        // Counted before it is sent: the writer may be done with it before `try_send` returns.
        self.shared.sent(count);
        self.sent = self.sent.wrapping_add(count);
        if let Err(error) = self.messages.try_send(Message::Batch(batch)) {
            self.shared.not_sent(count);
            self.sent = self.sent.wrapping_sub(count);
            self.take_back(error);
        }
        self.batch.is_empty() && self.missed.is_empty() && self.mark.is_none()
    }

    /// Whether the writer is done with something since this was asked last, or with all there was: one that hangs in write(2) has taken
    /// records of which no file has a line.
    pub fn is_taken_from(&mut self) -> bool {
        let unwritten = self.shared.unwritten.load(Ordering::Relaxed);
        let taken = self.sent.wrapping_sub(unwritten);
        mem::replace(&mut self.taken, taken) != taken || unwritten == 0
    }

    pub(super) fn messages(&self) -> Weak<SyncSender<Message>> {
        Arc::downgrade(&self.messages)
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn load(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed) + self.batch.len()
    }

    fn miss(&mut self, record: &Record) {
        let gap = Gap::one(record.at);
        self.missed.entry(record.target.name.clone()).and_modify(|known| *known = known.join(gap)).or_insert(gap);
        self.shared.losses.add_queue_full(1);
    }

    /// What is missing, once half the room is free again: fewer and longer gaps, each told of once.
    fn take_missed(&mut self) -> Vec<Missed> {
        if self.missed.is_empty() || self.load() > self.limit / 2 {
            return Vec::new();
        }
        mem::take(&mut self.missed).into_iter().map(|(name, gap)| Missed { name, gap }).collect()
    }

    fn spare(&mut self) -> Vec<Record> {
        match self.spent.try_recv() {
            Ok(spent) => spent,
            Err(_) => mem::take(&mut self.spare),
        }
    }

    fn take_back(&mut self, error: TrySendError<Message>) {
        let (message, ended) = match error {
            TrySendError::Full(message) => (message, false),
            TrySendError::Disconnected(message) => (message, true),
        };
        let Message::Batch(batch) = message else { return };
        self.mark = batch.mark.filter(|_| !ended);
        self.missed.extend(batch.missed.into_iter().map(|missed| (missed.name, missed.gap)));
        self.spare = mem::replace(&mut self.batch, batch.records);
        if ended {
            self.shared.losses.add_queue_full(self.batch.len() as u64);
            self.batch.clear();
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.flush();
        let missed = mem::take(&mut self.missed).into_iter().map(|(name, gap)| Missed { name, gap }).collect();
        let mut leftover = self.shared.leftover.lock().unwrap_or_else(PoisonError::into_inner);
        *leftover = Batch { records: mem::take(&mut self.batch), missed, mark: None };
    }
}

/// The writer's end of the log.
#[derive(Debug)]
pub(super) struct Inbox {
    messages: Receiver<Message>,
    spent: SyncSender<Vec<Record>>,
    shared: Arc<Shared>,
}

impl Inbox {
    /// Waits for a message, for ever or for so long.
    pub(super) fn wait(&self, patience: Option<Duration>) -> Result<Message, RecvTimeoutError> {
        match patience {
            Some(patience) => self.messages.recv_timeout(patience),
            None => self.messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// A message that is there already.
    pub(super) fn next(&self) -> Option<Message> {
        self.messages.try_recv().ok()
    }

    /// What the driver could not send before it let go.
    pub(super) fn leftover(&self) -> Batch {
        let mut leftover = self.shared.leftover.lock().unwrap_or_else(PoisonError::into_inner);
        // It was never counted as sent, and will be counted as rendered.
        self.shared.sent(leftover.records.len());
        mem::take(&mut leftover)
    }

    /// Sends an emptied batch back to be filled again.
    pub(super) fn give_back(&self, mut spent: Vec<Record>) {
        // What a stall has swollen is not to be carried along.
        spent.shrink_to(ROOM);
        // Where enough are on their way back it is freed, here rather than in the driver.
        let _ = self.spent.try_send(spent);
    }

    /// Makes room for as many records as were rendered.
    pub(super) fn rendered(&self, count: usize) {
        self.shared.waiting.fetch_sub(count, Ordering::Relaxed);
    }

    /// Of so many records the lines are written, or put by for a later try.
    pub(super) fn written(&self, count: usize) {
        self.shared.unwritten.fetch_sub(count, Ordering::Relaxed);
    }

    /// All that came before this mark was written, or put by for a later try.
    pub(super) fn reached(&self, mark: u64) {
        self.shared.marked.store(mark, Ordering::Relaxed);
    }

    /// Whether the files are to be reopened; asked and answered once.
    pub(super) fn reopen_wanted(&self) -> bool {
        self.shared.reopen.swap(false, Ordering::Acquire)
    }

    /// Says that all has been written.
    pub(super) fn all_written(&self) {
        self.shared.written.store(true, Ordering::Release);
    }

    pub(super) fn losses(&self) -> &Arc<Losses> {
        &self.shared.losses
    }

    pub(super) fn steps(&self) -> &Arc<Steps> {
        &self.shared.steps
    }
}
