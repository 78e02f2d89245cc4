//! When systemd's watchdog is fed: only where the loop turned, no packet was left unread and the log got on since the last time. Pure.
//!
//! Never because a target answered, never for want of answers. How far the parts are, it is told; it feeds nothing itself.

use std::fmt;
use std::time::Duration;

use crate::monitor::time::Mono;

/// Looks within the time that systemd gives: one that comes too early, or a packet lost on its way, leaves enough of it.
const LOOKS: u32 = 6;

/// No time is shorter: what hangs cannot be told from what is on its way within less.
const SHORTEST: Duration = Duration::from_millis(600);

/// What must get on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The loop that sends and judges.
    Driver,
    /// What is read from the sockets.
    Receive,
    /// The log's thread.
    Writer,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Driver => "the probing loop",
            Self::Receive => "the receive path",
            Self::Writer => "the log's writer",
        })
    }
}

/// How far each part has come, by the number of the last proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Reading {
    /// The loop turned.
    pub(crate) turned: u64,
    /// A packet was read after the proof had been asked for.
    pub(crate) received: u64,
    /// This host answered a request of our own.
    pub(crate) answered: u64,
    /// The kernel refused to send a request of our own.
    pub(crate) refused: u64,
    /// Nothing came in after it, and nothing waits to be read: the network's doing, or the firewall's.
    pub(crate) silent: u64,
    /// The log's thread came to the mark.
    pub(crate) written: u64,
    /// The log's thread did not come to the mark yet, but wrote, opened or renamed something after the proof had been asked for.
    pub(crate) writing: u64,
}

/// What is to be told of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// A part has made no progress for so long.
    Stalled(Part, Duration),
    /// A part that was said to be stalled goes on.
    GoesOn(Part),
    /// Nothing can be said of the receive path: this host does not answer itself. Told once for as long as it does not.
    Unprovable,
}

/// Whether the watchdog is to be fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feed {
    /// It is.
    Now,
    /// Something did not get on since the last time.
    NotYet,
}

/// Judges by the parts' progress whether the watchdog is to be fed.
#[derive(Debug)]
pub(crate) struct Feeder {
    time: Duration,
    driver: Progress,
    receive: Progress,
    writer: Progress,
    looked: Mono,
    /// This host answered itself.
    answers: Progress,
}

/// How a part gets on.
#[derive(Debug)]
struct Progress {
    part: Part,
    newest: u64,
    /// What it was when the watchdog was fed last.
    fed: u64,
    /// When it was last seen to get on.
    at: Mono,
    is_told: bool,
}

impl Feeder {
    /// `time` is that within which the watchdog must be fed.
    pub(crate) fn new(time: Duration, now: Mono) -> Self {
        let time = time.max(SHORTEST);
        let progress = |part| Progress { part, newest: 0, fed: 0, at: now, is_told: false };
        let [driver, receive, writer] = [Part::Driver, Part::Receive, Part::Writer].map(progress);
        Self { time, driver, receive, writer, looked: now, answers: progress(Part::Receive) }
    }

    /// Time between two looks.
    pub(crate) fn every(&self) -> Duration {
        self.time / LOOKS
    }

    /// Looks at how far the parts have come.
    pub(crate) fn handle_reading(&mut self, reading: &Reading, now: Mono) -> (Feed, Vec<Finding>) {
        self.forgive(now);
        let mut found = Vec::new();
        let patience = self.time / 2;
        let drives = self.driver.get_on(reading.turned, now, &mut found);
        let silent = reading.silent.max(reading.refused);
        self.receive.get_on(reading.received.max(silent), now, &mut found);
        self.answers.get_on(reading.answered, now, &mut Vec::new());
        self.writer.get_on(reading.written.max(reading.writing), now, &mut found);
        if drives {
            // What the loop does not ask for, nobody else can give.
            self.writer.judge(patience, now, &mut found);
            self.receive.judge(patience, now, &mut found);
        }
        self.driver.judge(patience, now, &mut found);
        // The proof before the last one, for that may be under way.
        if drives && silent > reading.answered && silent + 1 >= reading.turned && self.answers.is_late(patience, now) {
            found.push(Finding::Unprovable);
        }
        if ![&self.driver, &self.receive, &self.writer].into_iter().all(Progress::is_hungry) {
            return (Feed::NotYet, found);
        }
        for progress in [&mut self.driver, &mut self.receive, &mut self.writer] {
            progress.fed = progress.newest;
        }
        (Feed::Now, found)
    }

    /// Time in which we did not run ourselves, stopped by a signal or starved, is held against nobody.
    fn forgive(&mut self, now: Mono) {
        let late = (now - self.looked).saturating_sub(self.every());
        self.looked = now;
        if late > self.every() {
            for progress in [&mut self.driver, &mut self.receive, &mut self.writer, &mut self.answers] {
                progress.at = progress.at + late;
            }
        }
    }
}

impl Progress {
    /// Returns whether it got on since the last look.
    fn get_on(&mut self, count: u64, now: Mono, found: &mut Vec<Finding>) -> bool {
        if count <= self.newest {
            return false;
        }
        (self.newest, self.at) = (count, now);
        if std::mem::take(&mut self.is_told) {
            found.push(Finding::GoesOn(self.part));
        }
        true
    }

    fn judge(&mut self, patience: Duration, now: Mono, found: &mut Vec<Finding>) {
        if self.is_late(patience, now) {
            found.push(Finding::Stalled(self.part, now - self.at));
        }
    }

    /// Whether it did not get on for so long, and that was not told.
    fn is_late(&mut self, patience: Duration, now: Mono) -> bool {
        now - self.at >= patience && !std::mem::replace(&mut self.is_told, true)
    }

    /// Whether it got on since the watchdog was fed.
    fn is_hungry(&self) -> bool {
        self.newest > self.fed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(30);

    /// A feeder that is looked at every five seconds, and what the parts last were.
    struct World {
        feeder: Feeder,
        reading: Reading,
        now: Mono,
    }

    impl World {
        fn new() -> Self {
            let now = Mono::from_nanos(1_000_000_000_000);
            Self { feeder: Feeder::new(TIME, now), reading: Reading::default(), now }
        }

        /// All get on but one, and five seconds pass.
        fn look(&mut self, but: Option<Part>) -> (Feed, Vec<Finding>) {
            self.look_after(self.feeder.every(), but)
        }

        fn look_after(&mut self, time: Duration, but: Option<Part>) -> (Feed, Vec<Finding>) {
            let next = self.reading.turned.max(self.reading.received) + 1;
            let Reading { turned, received, answered, written, .. } = &mut self.reading;
            if but != Some(Part::Driver) {
                *turned = next;
                if but != Some(Part::Receive) {
                    (*received, *answered) = (next, next);
                }
                if but != Some(Part::Writer) {
                    *written = next;
                }
            }
            self.now = self.now + time;
            self.feeder.handle_reading(&self.reading, self.now)
        }
    }

    #[test]
    fn it_is_fed_at_each_look_while_all_parts_get_on() {
        let mut world = World::new();
        assert_eq!(world.feeder.every() * LOOKS, TIME);
        (0..1000).for_each(|_| assert_eq!(world.look(None), (Feed::Now, vec![])));
    }

    #[test]
    fn a_part_that_stalls_ends_the_feeding_at_once_and_is_named_once_after_half_the_time() {
        for part in [Part::Driver, Part::Receive, Part::Writer] {
            let mut world = World::new();
            assert_eq!(world.look(None).0, Feed::Now);
            for _ in 0..2 {
                assert_eq!(world.look(Some(part)), (Feed::NotYet, vec![]), "{part}");
            }
            assert_eq!(world.look(Some(part)), (Feed::NotYet, vec![Finding::Stalled(part, TIME / 2)]));
            (0..10).for_each(|_| assert_eq!(world.look(Some(part)), (Feed::NotYet, vec![])));
            assert_eq!(world.look(None), (Feed::Now, vec![Finding::GoesOn(part)]));
        }
    }

    #[test]
    fn one_late_part_and_then_another_are_fed_for_when_both_came() {
        let mut world = World::new();
        world.look(None);
        assert_eq!(world.look(Some(Part::Receive)).0, Feed::NotYet);
        assert_eq!(world.look(Some(Part::Writer)).0, Feed::Now, "each got on since the last time");
        assert_eq!(world.look(Some(Part::Writer)).0, Feed::NotYet);
    }

    #[test]
    fn a_loop_that_hangs_is_not_put_down_to_those_behind_it() {
        let mut world = World::new();
        world.look(None);
        // The others came to a stop one look before.
        world.reading.turned += 1;
        world.now = world.now + world.feeder.every();
        assert_eq!(world.feeder.handle_reading(&world.reading, world.now).0, Feed::NotYet);
        let found: Vec<_> = (0..10).flat_map(|_| world.look(Some(Part::Driver)).1).collect();
        assert_eq!(found, [Finding::Stalled(Part::Driver, TIME / 2)]);
    }

    #[test]
    fn a_host_that_does_not_answer_itself_is_told_once_each_time_and_its_watchdog_is_fed() {
        let mut world = World::new();
        for _ in 0..2 {
            let mut found = Vec::new();
            for _ in 0..10 {
                let number = world.reading.turned + 1;
                (world.reading.turned, world.reading.written, world.reading.silent) = (number, number, number);
                world.now = world.now + world.feeder.every();
                let (feed, more) = world.feeder.handle_reading(&world.reading, world.now);
                assert_eq!(feed, Feed::Now);
                found.extend(more);
            }
            assert_eq!(found, [Finding::Unprovable]);
            assert_eq!(world.look(None), (Feed::Now, vec![]));
            assert_eq!(world.look(Some(Part::Receive)).0, Feed::NotYet, "what waits unread is no silence");
            assert_eq!(world.look(None).0, Feed::Now);
        }
    }

    #[test]
    fn what_the_kernel_refuses_to_send_is_held_against_nobody() {
        let mut world = World::new();
        world.look(None);
        let mut found = Vec::new();
        for _ in 0..10 {
            let number = world.reading.turned + 1;
            (world.reading.turned, world.reading.written, world.reading.refused) = (number, number, number);
            world.now = world.now + world.feeder.every();
            let (feed, more) = world.feeder.handle_reading(&world.reading, world.now);
            assert_eq!(feed, Feed::Now);
            found.extend(more);
        }
        assert_eq!(found, [Finding::Unprovable]);
    }

    #[test]
    fn a_log_that_writes_and_has_not_come_to_the_mark_is_fed_for() {
        let mut world = World::new();
        world.look(None);
        for _ in 0..10 {
            world.reading.writing = world.reading.turned + 1;
            assert_eq!(world.look(Some(Part::Writer)), (Feed::Now, vec![]));
        }
        assert_eq!(world.look(Some(Part::Writer)).0, Feed::NotYet);
    }

    #[test]
    fn a_time_that_is_too_short_for_any_proof_is_looked_at_as_often_as_makes_sense() {
        let feeder = Feeder::new(Duration::from_micros(1), Mono::from_nanos(0));
        assert_eq!(feeder.every(), Duration::from_millis(100));
    }

    #[test]
    fn time_in_which_we_were_stopped_ourselves_is_held_against_nobody() {
        let mut world = World::new();
        world.look(None);
        let found = world.look_after(TIME * 2, Some(Part::Driver));
        assert_eq!(found, (Feed::NotYet, vec![]), "nothing had the time to get on");
        assert_eq!(world.look(None), (Feed::Now, vec![]));
    }
}
