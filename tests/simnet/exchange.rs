//! The loop: requests from the device → decisions → answers to the device when they are due, and all of it into the journal. One
//! thread; no rule lives here.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};

use crate::Failure;
use crate::journal::{AnswerEvent, Counts, ErrorEvent, Event, Journal, RequestEvent, kind_word, why_word};
use crate::packet::Request;
use crate::tun::Tun;
use crate::weather::{Answer, Decision, Fate, Kind, Weather};

/// Requests taken between two looks at what is due and whether to stop.
const BATCH: usize = 64;
/// No packet is larger.
const LARGEST: usize = 1 << 16;
/// So long may a line stay in memory.
const FLUSH_EVERY: Duration = Duration::from_millis(100);

/// A moment by both clocks: what is due goes by the one that nobody sets, the journal by the one of packet captures.
#[derive(Debug, Clone, Copy)]
struct Moment {
    monotonic: Duration,
    real: Duration,
}

impl Moment {
    fn now() -> Self {
        Self { monotonic: read_clock(ClockId::Monotonic), real: read_clock(ClockId::Realtime) }
    }
}

fn read_clock(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::try_from(time).unwrap_or_default()
}

fn nanoseconds(real: Duration) -> u64 {
    u64::try_from(real.as_nanos()).unwrap_or(u64::MAX)
}

/// An answer that is not due yet.
struct Pending {
    packet: Vec<u8>,
    event: AnswerEvent,
}

/// The device and all that belongs to it at work.
pub(crate) struct Exchange {
    tun: Tun,
    stop: SignalFd,
    weather: Weather,
    journal: Journal,
    ready: Duration,
    /// By when they are due and in which order they were decided on.
    pending: BTreeMap<(Duration, u64), Pending>,
    decided: u64,
    counts: Counts,
    flushed: Duration,
}

impl Exchange {
    /// Ready from now on.
    pub(crate) fn new(tun: Tun, stop: SignalFd, weather: Weather, mut journal: Journal) -> Result<Self, Failure> {
        let Moment { monotonic: ready, real } = Moment::now();
        journal.write(&Event::Ready { at: nanoseconds(real) }).map_err(Failure::Journal)?;
        let (pending, counts) = (BTreeMap::new(), Counts::default());
        Ok(Self { tun, stop, weather, journal, ready, pending, decided: 0, counts, flushed: ready })
    }

    /// Answers until it is told to stop; then the journal is whole.
    pub(crate) fn run(mut self) -> Result<Counts, Failure> {
        let mut buffer = vec![0; LARGEST];
        let mut busy = false;
        while !self.wait(busy)? {
            busy = self.take_requests(&mut buffer)?;
            self.send_due(read_clock(ClockId::Monotonic))?;
            self.flush_now_and_then()?;
        }
        self.journal.write(&Event::End(self.counts)).map_err(Failure::Journal)?;
        self.journal.finish().map_err(Failure::Journal)?;
        Ok(self.counts)
    }

    /// Waits for whatever comes first; `true` if that is the order to stop.
    fn wait(&self, busy: bool) -> Result<bool, Failure> {
        let timeout = if busy { Duration::ZERO } else { self.until_next() };
        let timeout = Timespec::try_from(timeout).map_err(|_| Failure::Device(io::ErrorKind::InvalidInput.into()))?;
        let mut ready =
            [PollFd::from_borrowed_fd(self.tun.as_fd(), PollFlags::IN), PollFd::new(&self.stop, PollFlags::IN)];
        match poll(&mut ready, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(!ready[1].revents().is_empty()),
            Err(error) => Err(Failure::Device(error.into())),
        }
    }

    fn until_next(&self) -> Duration {
        let due = self.pending.first_key_value().map(|((due, _), _)| *due);
        let flush = self.flushed + FLUSH_EVERY;
        due.unwrap_or(flush).min(flush).saturating_sub(read_clock(ClockId::Monotonic))
    }

    /// Takes what waits; `true` if there may be more.
    fn take_requests(&mut self, buffer: &mut [u8]) -> Result<bool, Failure> {
        for _ in 0..BATCH {
            let Some(packet) = self.tun.receive(buffer).map_err(Failure::Device)? else { return Ok(false) };
            let now = Moment::now();
            self.take_packet(packet, now)?;
            // What is due does not wait for the end of a burst.
            self.send_due(now.monotonic)?;
        }
        Ok(true)
    }

    fn take_packet(&mut self, packet: &[u8], now: Moment) -> Result<(), Failure> {
        let request = Request::decode(packet);
        let decided = request.and_then(|request| {
            let decision = self.weather.decide(&request.asked(), now.monotonic.saturating_sub(self.ready))?;
            Some((request, decision))
        });
        let Some((request, Decision { n, fate })) = decided else {
            self.counts.unanswerable += 1;
            return Ok(());
        };
        self.counts.requests += 1;
        self.write_request(&request, n, &fate, now)?;
        match fate {
            Fate::Answers(answers) => answers.iter().try_for_each(|answer| self.answer(&request, n, answer, now)),
            Fate::Nothing(_) => Ok(()),
        }
    }

    fn write_request(&mut self, request: &Request<'_>, n: u64, fate: &Fate, now: Moment) -> Result<(), Failure> {
        let (fate, why) = match fate {
            Fate::Answers(answers) => (answers.iter().map(|answer| kind_word(answer.kind)).collect(), None),
            Fate::Nothing(why) => (Vec::new(), Some(why_word(*why))),
        };
        let &Request { src, dst, ttl, ident, seq, .. } = request;
        let (at, bytes) = (nanoseconds(now.real), request.bytes());
        let event = RequestEvent { at, src, dst, ident, seq, n, bytes, ttl, fate: &fate, why };
        self.journal.write(&Event::Request(event)).map_err(Failure::Journal)
    }

    /// Sends an answer, or keeps it until it is due.
    fn answer(&mut self, request: &Request<'_>, n: u64, answer: &Answer, now: Moment) -> Result<(), Failure> {
        let packet = request.answer(answer);
        let &Request { dst, ident, seq, .. } = request;
        let due = nanoseconds(now.real + answer.delay);
        let (kind, error) = (kind_word(answer.kind), error_event(answer));
        let event = AnswerEvent { at: 0, due, dst, ident, seq, n, kind, from: answer.from, error };
        let pending = Pending { packet, event };
        if answer.delay.is_zero() {
            return self.send(pending);
        }
        self.decided += 1;
        self.pending.insert((now.monotonic + answer.delay, self.decided), pending);
        Ok(())
    }

    fn send_due(&mut self, now: Duration) -> Result<(), Failure> {
        while let Some(first) = self.pending.first_entry().filter(|first| first.key().0 <= now) {
            let pending = first.remove();
            self.send(pending)?;
        }
        Ok(())
    }

    fn send(&mut self, Pending { packet, event }: Pending) -> Result<(), Failure> {
        let at = nanoseconds(read_clock(ClockId::Realtime));
        self.tun.send(&packet).map_err(Failure::Device)?;
        self.counts.answers += 1;
        self.journal.write(&Event::Answer(AnswerEvent { at, ..event })).map_err(Failure::Journal)
    }

    fn flush_now_and_then(&mut self) -> Result<(), Failure> {
        let now = read_clock(ClockId::Monotonic);
        if now < self.flushed + FLUSH_EVERY {
            return Ok(());
        }
        self.flushed = now;
        self.journal.flush().map_err(Failure::Journal)
    }
}

fn error_event(answer: &Answer) -> Option<ErrorEvent> {
    match answer.kind {
        Kind::Error(error) => Some(ErrorEvent { kind: error.kind, code: error.code, router: answer.from }),
        Kind::Echo(_) => None,
    }
}
