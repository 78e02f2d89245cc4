//! The writer thread: takes whatever waits, has it rendered and written, and sleeps with nothing unwritten.
//!
//! It owns the order of things and nothing else: which line goes into which file, and what becomes of an error, is the
//! outputs' business.

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use super::output::{Desk, Sink, Thoroughly};
use super::queue::{Batch, Inbox, Message};
use crate::monitor::record::Record;
use crate::stall::{self, Part};

/// Records taken before anything is written: 2 MiB of lines, after which a larger write(2) costs no less per line, while the
/// first of them have waited long enough.
const DRAIN: usize = 16_384;
/// Time between two tries to write what failed: soon enough after a full disk was cleared, rare enough not to load one.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// Time between two looks at what others did to the files: a file that is gone is to be missed within a second.
const LOOK_EVERY: Duration = Duration::from_millis(900);

/// The writer thread's state.
pub(super) struct Thread {
    inbox: Inbox,
    sinks: Vec<Sink>,
    desk: Desk,
    /// Records taken and not yet rendered.
    taken: Vec<Record>,
    /// How many were rendered and not yet written.
    rendered: usize,
    /// Stands behind what was taken.
    mark: Option<u64>,
    /// When to try again to write what failed.
    retry_at: Option<Instant>,
    /// When to look at the files.
    look_at: Instant,
}

impl Thread {
    pub(super) fn new(inbox: Inbox, sinks: Vec<Sink>, desk: Desk) -> Self {
        Self {
            inbox,
            sinks,
            desk,
            taken: Vec::new(),
            rendered: 0,
            mark: None,
            retry_at: None,
            look_at: now() + LOOK_EVERY,
        }
    }

    /// Works until the driver's end of the queue is gone and all is written.
    pub(super) fn run(mut self) {
        loop {
            let patience = self.patience();
            match self.inbox.wait(patience) {
                Ok(message) => self.take_all(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            stall::here(Part::Writer);
            self.write();
            if let Some(mark) = self.mark.take() {
                self.inbox.reached(mark);
            }
            self.do_what_is_due();
        }
        let leftover = self.inbox.leftover();
        self.take(leftover);
        self.finish();
        self.inbox.all_written();
        self.sync();
        self.sinks.iter().for_each(Sink::retire);
    }

    /// How long to wait for a message: for ever where nothing is to be done meanwhile.
    fn patience(&mut self) -> Option<Duration> {
        let now = now();
        if !self.sinks.iter().any(Sink::is_failing) {
            self.retry_at = None;
        } else if self.retry_at.is_none() {
            self.retry_at = Some(now + RETRY_EVERY);
        }
        let look_at = self.sinks.iter().any(Sink::is_exposed).then_some(self.look_at);
        let due = self.sinks.iter().filter_map(Sink::sync_at).chain(self.retry_at).chain(look_at).min()?;
        Some(due.saturating_duration_since(now))
    }

    fn do_what_is_due(&mut self) {
        let now = now();
        if now >= self.look_at {
            self.look_at = now + LOOK_EVERY;
            self.sinks.iter_mut().for_each(|sink| sink.look(Thoroughly::No, &mut self.desk));
            self.desk.look = self.desk.look.wrapping_add(1);
        }
        self.sinks.iter_mut().for_each(|sink| sink.sync(now));
        if self.retry_at.is_some_and(|at| now >= at) {
            self.retry_at = None;
            self.sinks.iter_mut().for_each(|sink| sink.retry(&mut self.desk));
        }
    }

    fn take_all(&mut self, first: Message) {
        if self.inbox.reopen_wanted() {
            self.reopen();
        }
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Batch(batch) => self.take(batch),
                Message::Replace(sinks) => self.replace(sinks),
                Message::Wake => {}
            }
            next = if self.taken.len() < DRAIN { self.inbox.next() } else { None };
        }
    }

    fn take(&mut self, batch: Batch) {
        let Batch { mut records, missed, mark } = batch;
        self.mark = mark.or(self.mark);
        self.taken.append(&mut records);
        self.inbox.give_back(records);
        if !missed.is_empty() {
            // They went missing after these records and before those of the next batch.
            self.render();
            self.sinks.iter_mut().for_each(|sink| sink.missed(&missed, &mut self.desk));
        }
    }

    fn render(&mut self) {
        // In the order in which they were judged, never sorted by time: a clock set back would put a reply before its loss.
        for sink in &mut self.sinks {
            self.taken.iter().for_each(|record| sink.record(record, &mut self.desk));
        }
        self.inbox.rendered(self.taken.len());
        self.rendered += self.taken.len();
        self.taken.clear();
        self.taken.shrink_to(DRAIN);
    }

    fn write(&mut self) {
        self.render();
        self.sinks.iter_mut().for_each(|sink| sink.write(&mut self.desk));
        self.inbox.written(std::mem::take(&mut self.rendered));
    }

    fn reopen(&mut self) {
        self.sinks.iter_mut().for_each(|sink| sink.reopen(&mut self.desk));
        self.desk.close_all();
    }

    fn replace(&mut self, sinks: Vec<Sink>) {
        self.write();
        let mut before = std::mem::take(&mut self.sinks);
        for mut sink in sinks {
            // Lines that wait for a disk go on waiting where only the limits are other ones.
            match before.iter().position(|known| known.goes_on_as(&sink)) {
                Some(index) => {
                    let mut known = before.swap_remove(index);
                    known.take_over(Some(&sink));
                    self.sinks.push(known);
                }
                None => {
                    sink.take_over(None);
                    self.sinks.push(sink);
                }
            }
        }
        for sink in &mut before {
            sink.finish(&mut self.desk);
            sink.sync_now(&mut self.desk);
        }
        self.desk.close_all();
    }

    fn sync(&mut self) {
        self.sinks.iter_mut().for_each(|sink| sink.sync_now(&mut self.desk));
    }

    /// Writes what can be written, for the last time.
    fn finish(&mut self) {
        self.write();
        self.sinks.iter_mut().for_each(|sink| sink.finish(&mut self.desk));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "paces tries to write and labels nothing, so no clock need agree with it"
)]
fn now() -> Instant {
    Instant::now()
}
