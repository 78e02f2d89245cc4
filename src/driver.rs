//! The one loop: what is due, what came in, what was resolved, what was ordered → the monitor → what is to be done.
//!
//! It runs on a thread of its own and awaits nothing but its own wake-up: no look-up, no file, no lock. No rule lives here. Each
//! turn goes the same way: clocks, orders, probes, packets, judgements, look-ups, records. Packets come after probes because the
//! replies of a near host are there by then.

mod proof;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use self::proof::{Hearing, Proving};
pub use self::proof::{Progress, Proof};
use crate::clock::{self, Alarm};
use crate::icmp::engine::{self, Engine, Incoming, Load};
use crate::monitor::finding::Finding;
use crate::monitor::identity::{Identity, TargetId};
use crate::monitor::outage::Carried;
use crate::monitor::record::{Record, SendError};
use crate::monitor::sample::{Arrival, Sample};
use crate::monitor::schedule::LOADED;
use crate::monitor::snapshot::{Tally, TargetStatus};
use crate::monitor::target::{Addr, Name, Target};
use crate::monitor::time::{Mono, Now, Stamp, Wall};
use crate::monitor::{self, Lookup, Monitor, Probe, Start, Strays, UnknownTarget};
use crate::stall::{self, Part};

/// Under load, records are handed over when there are this many or the oldest might be older than this at the next turn, whichever
/// is first: waking the log's thread for each handful costs more than writing their lines.
const FLUSH_RECORDS: usize = 256;
const FLUSH_WITHIN: Duration = Duration::from_millis(10);

/// Targets whose status is gathered in one turn: a tenth of a millisecond.
const STATUS_A_TURN: usize = 256;

/// Targets that are counted in one turn: it takes a tenth of the time.
const COUNTED_A_TURN: usize = 1024;

/// Drop counters are read this often even while nothing is lost, so that an old overflow is not held against a later loss.
const WATCH_DROPS_EVERY: Duration = Duration::from_secs(1);

/// However little there is to do, the loop turns this often, so that whoever looks knows whether it hangs.
const TURN_WITHIN: Duration = Duration::from_millis(500);

/// What the loop is told.
#[derive(Debug)]
pub enum Command {
    /// These targets are wanted from here on.
    Targets(Vec<Arc<Target>>),
    /// A look-up has ended.
    Resolved(TargetId, Result<Vec<Addr>, Arc<str>>),
    /// Tell what is known of every target.
    Status(oneshot::Sender<Status>),
    /// Tell what all targets add up to, as they are after the orders before this one. Whoever asked before and has no answer yet gets none.
    Tally(oneshot::Sender<Tally>),
    /// Show that the loop turns, that what comes in is read, and that records are taken.
    Prove(Proof),
    /// Probe the target of this name no more, or again.
    Pause(Name, Pause, oneshot::Sender<Result<(), UnknownTarget>>),
    /// Finish.
    Stop,
}

/// Whether a target is to be probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// It is not.
    Begin,
    /// It is again.
    End,
}

/// What is known of every target.
#[derive(Debug)]
pub struct Status {
    /// When it was asked for.
    pub now: Now,
    /// The targets, in the order in which they were added. Each is as it was when its turn came: a status is gathered in many turns
    /// of the loop, between which probes are sent.
    pub targets: Vec<TargetStatus>,
    /// Replies put down to no target.
    pub strays: Strays,
}

/// What the loop has to tell its operator.
#[derive(Debug)]
pub enum Notice {
    /// About targets and clocks.
    Monitor(monitor::Notice),
    /// About sockets.
    Engine(engine::Notice),
}

/// Where the loop leaves what it has. None of this may make it wait.
pub trait Outlet: Send {
    /// All that came until then was seen to.
    fn turned(&mut self, at: Wall);
    /// A line to be written.
    fn record(&mut self, record: Record);
    /// A mark behind the records so far; it is passed on with them.
    fn mark(&mut self, mark: u64);
    /// Passes on what it was given so far. Returns whether all of it went.
    fn flush(&mut self) -> Flushed;
    /// Something was found out about a target.
    fn finding(&mut self, finding: Finding);
    /// Something the operator should know.
    fn notice(&mut self, notice: Notice);
    /// A name to be looked up; the answer comes as [`Command::Resolved`].
    fn look_up(&mut self, lookup: Lookup);
}

/// Whether an outlet could pass on what it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing is left.
    All,
    /// There was no room for some of it: it is to be flushed again, even if nothing is added.
    SomeLeft,
}

/// What the loop needs to begin.
#[derive(Debug)]
pub struct Setup<O> {
    /// The targets to begin with.
    pub targets: Vec<Arc<Target>>,
    /// What an earlier process knew of them.
    pub carried: Vec<Carried>,
    /// When they start.
    pub start: Start,
    /// What tells our probes from others'.
    pub secrets: Secrets,
    /// Orders and answers.
    pub commands: UnboundedReceiver<Command>,
    /// Where everything goes.
    pub outlet: O,
}

/// Random numbers drawn at start.
#[derive(Debug, Clone, Copy)]
pub struct Secrets {
    /// The key of the probes' tags.
    pub key: [u8; 16],
    /// The identifier of the first socket; the others count on from it.
    pub ident: u16,
    /// What requests of our own to this host begin with.
    pub proof: [u8; Proof::TAG],
}

/// A loop under way.
#[derive(Debug)]
pub struct Running {
    /// Its thread.
    pub thread: JoinHandle<()>,
    /// The targets and their counts when it has ended; an error where it could not go on. Closed without a word where it panicked.
    pub ended: oneshot::Receiver<io::Result<Monitor>>,
}

/// Starts the loop on a thread of its own.
///
/// # Errors
/// Where no thread can be had (pthread_create(3)).
pub fn spawn<O: Outlet + 'static>(setup: Setup<O>) -> io::Result<Running> {
    let (report, ended) = oneshot::channel();
    let thread = thread::Builder::new().name("driver".into()).spawn(move || {
        // Nobody listens any more where the program is past its deadline for stopping.
        let _ = report.send(run(setup));
    })?;
    Ok(Running { thread, ended })
}

fn run<O: Outlet>(setup: Setup<O>) -> io::Result<Monitor> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async { Driver::new(setup)?.run().await })
}

struct Driver<O> {
    monitor: Monitor,
    engine: Engine,
    alarm: Alarm,
    commands: UnboundedReceiver<Command>,
    outlet: O,
    loaded: bool,
    /// Whether every target has a last probe, so that the loop ends by itself.
    finite: bool,
    drops_watched: Mono,
    unflushed: Unflushed,
    asked: VecDeque<Asked>,
    counting: Option<Counting>,
    /// What was to be proved last; none where nobody ever asks.
    proving: Option<Proving>,
    hearing: Hearing,
    /// Losses are not judged at present.
    is_deaf: bool,
    tag: [u8; Proof::TAG],
    records: Vec<Record>,
    notices: Vec<monitor::Notice>,
    engine_notices: Vec<engine::Notice>,
}

/// A status that is being gathered.
struct Asked {
    answer: oneshot::Sender<Status>,
    status: Status,
    next: usize,
}

impl Asked {
    fn new(answer: oneshot::Sender<Status>, now: Now) -> Self {
        Self { answer, status: Status { now, targets: Vec::new(), strays: Strays::default() }, next: 0 }
    }
}

/// A tally that is being made.
struct Counting {
    answer: oneshot::Sender<Tally>,
    tally: Tally,
    next: usize,
}

/// Records handed out and not flushed yet.
#[derive(Debug, Default)]
struct Unflushed {
    count: usize,
    since: Mono,
}

/// Why the loop woke.
enum Wake {
    Due,
    Command(Command),
}

/// Whether there is another turn.
#[derive(PartialEq, Eq)]
enum Flow {
    GoOn,
    Stop,
}

impl<O: Outlet> Driver<O> {
    fn new(setup: Setup<O>) -> io::Result<Self> {
        let Setup { targets, carried, start, secrets, commands, outlet } = setup;
        let now = clock::now();
        let mut driver = Self {
            monitor: Monitor::new(Identity::new(secrets.key), start, now),
            engine: Engine::new(secrets.ident)?,
            alarm: Alarm::new()?,
            commands,
            outlet,
            loaded: false,
            finite: false,
            drops_watched: now.mono,
            unflushed: Unflushed::default(),
            asked: VecDeque::new(),
            counting: None,
            proving: None,
            hearing: Hearing::default(),
            is_deaf: false,
            tag: secrets.proof,
            records: Vec::new(),
            notices: Vec::new(),
            engine_notices: Vec::new(),
        };
        driver.set_targets(&targets, now)?;
        driver.monitor.handle_carried(&carried, now);
        Ok(driver)
    }

    async fn run(mut self) -> io::Result<Monitor> {
        let ended = self.turns().await;
        let monitor = self.finish();
        ended.map(|()| monitor)
    }

    async fn turns(&mut self) -> io::Result<()> {
        let mut wake = Wake::Due;
        while self.turn(wake)? == Flow::GoOn {
            wake = self.wait().await?;
        }
        Ok(())
    }

    async fn wait(&mut self) -> io::Result<Wake> {
        tokio::select! {
            biased;
            command = self.commands.recv() => Ok(Wake::Command(command.unwrap_or(Command::Stop))),
            alarm = self.alarm.wait() => alarm.map(|()| Wake::Due),
            readable = self.engine.readable() => readable.map(|()| Wake::Due),
        }
    }

    fn turn(&mut self, wake: Wake) -> io::Result<Flow> {
        stall::here(Part::Driver);
        let now = clock::now();
        self.monitor.handle_clock(now);
        let mut flow = match wake {
            Wake::Due => Flow::GoOn,
            Wake::Command(command) => self.handle_command(command, now)?,
        };
        while flow == Flow::GoOn
            && let Ok(command) = self.commands.try_recv()
        {
            flow = self.handle_command(command, now)?;
        }
        let grid = self.monitor.grid().step();
        if self.monitor.poll_deadline().is_some_and(|due| now.mono - due > grid) {
            // After a stall, what waits comes first, before there is more of it and before its lines are out of order.
            self.receive();
        }
        if flow == Flow::GoOn {
            self.send_due(now);
        }
        let drained = self.receive();
        if self.proving.as_ref().is_some_and(Proving::is_awaited) {
            self.hear_back();
        }
        self.judge(drained, now);
        while let Some(lookup) = self.monitor.poll_lookup(now.mono) {
            self.outlet.look_up(lookup);
        }
        self.hand_out(now);
        self.prove(now.mono);
        self.gather_status();
        self.count();
        let deadline = self.deadline(now);
        self.alarm.set(Some(deadline), now)?;
        Ok(if self.finite && self.monitor.is_finished() { Flow::Stop } else { flow })
    }

    fn receive(&mut self) -> Stamp {
        if stall::is_ordered(Part::Receive) {
            return clock::now().stamp();
        }
        let (monitor, proving, hearing) = (&mut self.monitor, &mut self.proving, &mut self.hearing);
        self.engine.receive(clock::now, |batch| {
            monitor.prepare_for(batch.iter().filter_map(|incoming| incoming.message.payload()));
            batch.iter().for_each(|incoming| monitor.handle_sample(&sample(incoming)));
            if let (Some(proving), Some(last)) = (proving.as_mut(), batch.last()) {
                proving.hears_others();
                hearing.handle_packets(last.seen.stamp().mono, false);
            }
        })
    }

    /// Reads what this host has answered itself. The monitor is told nothing of it.
    fn hear_back(&mut self) {
        let Some(proving) = self.proving.as_mut().filter(|_| !stall::is_ordered(Part::Receive)) else { return };
        let hearing = &mut self.hearing;
        self.engine.receive_from_loopback(clock::now, |batch| {
            batch.iter().for_each(|incoming| proving.hears_back(&incoming.message));
            if let Some(last) = batch.last() {
                hearing.handle_packets(last.seen.stamp().mono, proving.is_answered());
            }
        });
    }

    fn handle_command(&mut self, command: Command, now: Now) -> io::Result<Flow> {
        match command {
            Command::Targets(targets) => self.set_targets(&targets, now)?,
            Command::Resolved(target, result) => {
                self.monitor.handle_resolved(target, result.as_deref().map_err(Arc::clone), now);
            }
            Command::Status(answer) => self.asked.push_back(Asked::new(answer, now)),
            Command::Tally(answer) => {
                self.counting = Some(Counting { answer, tally: Tally::default(), next: 0 });
            }
            Command::Prove(proof) => self.begin_proof(proof, now.mono),
            Command::Pause(name, pause, answer) => {
                let done = match pause {
                    Pause::Begin => self.monitor.handle_pause(&name, now),
                    Pause::End => self.monitor.handle_resume(&name, now),
                };
                // Whoever asked may have gone.
                let _ = answer.send(done);
            }
            Command::Stop => return Ok(Flow::Stop),
        }
        Ok(Flow::GoOn)
    }

    fn set_targets(&mut self, targets: &[Arc<Target>], now: Now) -> io::Result<()> {
        self.monitor.handle_targets(targets, now);
        let rate = self.monitor.rate();
        let size = targets.iter().map(|target| usize::from(target.size)).max().unwrap_or(0);
        self.loaded = rate >= LOADED;
        self.finite = targets.iter().all(|target| target.count.is_some());
        self.engine.set_load(Load { rate, size });
        self.engine.set_armed(!self.loaded)?;
        let used = self.monitor.sockets_in_use();
        self.engine.retain(|socket| used.contains(&socket));
        for socket in used {
            if let Some(key) = self.monitor.socket_key(socket) {
                // What is in the way is told, and tried again when there is something to be sent.
                let _ = self.engine.open(socket, key, now.stamp());
            }
        }
        Ok(())
    }

    /// The reply may be there before the turn is over.
    fn begin_proof(&mut self, proof: Proof, now: Mono) {
        if self.proving.as_ref().is_some_and(|last| !last.is_answered()) {
            self.engine.change_loopback();
        }
        let proving = Proving::new(self.tag, proof, self.proving.as_ref(), now);
        let sent = self.engine.send_to_loopback(proving.sequence(), &proving.payload());
        self.proving = Some(proving.sent(sent.is_ok()));
    }

    /// Says how far it has come with what was to be proved.
    fn prove(&mut self, now: Mono) {
        let Some(proving) = &mut self.proving else { return };
        if proving.is_overdue(now) && !self.engine.has_unread_from_loopback() {
            proving.handle_silence();
        }
        if let Some(mark) = proving.handle_turn() {
            self.outlet.mark(mark);
            self.flush();
        }
    }

    /// Before a loss is judged, the sockets are asked whether they have dropped something: its reply may have been among that. Where we may
    /// be deaf it is not judged at all, and what is in flight is not measured should the watchdog end this process.
    fn judge(&mut self, drained: Stamp, now: Now) {
        let judging = self.monitor.next_judgement().is_some_and(|judged| judged <= drained.mono);
        if judging || now.mono - self.drops_watched >= WATCH_DROPS_EVERY {
            self.drops_watched = now.mono;
            let monitor = &mut self.monitor;
            // Read after the probes of this turn have left: what overflowed may have been their replies.
            let at = clock::monotonic();
            self.engine.drops(at, |socket| monitor.handle_drops(socket, at));
        }
        self.is_deaf = judging && self.is_deaf(now);
        if !self.is_deaf {
            self.outlet.turned(drained.wall);
        }
        if judging && !self.is_deaf {
            self.monitor.handle_expiry(drained);
        }
    }

    /// Whether what this host has answered itself is not heard. Over loopback the answer is there as soon as the request has been sent; where
    /// none is, it is not we that are deaf.
    fn is_deaf(&mut self, now: Now) -> bool {
        let Some(proving) = &self.proving else { return false };
        if self.hearing.poll_request(now.mono) {
            match self.engine.send_to_loopback(proving.sequence(), &proving.payload()) {
                Ok(()) => {
                    self.receive();
                    self.hear_back();
                    if !self.engine.has_unread_from_loopback() {
                        self.hearing.handle_silence(now.mono);
                    }
                }
                Err(_) => self.hearing.handle_refusal(now.mono),
            }
        }
        self.hearing.is_doubtful(now.mono)
    }

    fn send_due(&mut self, now: Now) {
        self.monitor.prepare(now.mono);
        while let Some(probe) = self.monitor.poll_probe(now) {
            let (sent, result) = self.send(&probe, now);
            let took = clock::monotonic() - sent.mono;
            self.monitor.handle_sent(&probe, sent, took, result);
        }
        let monitor = &mut self.monitor;
        self.engine.departures(clock::now, |left, seen| {
            let wall = clock::stamp(left);
            monitor.handle_left(Stamp { mono: seen.mono_at(wall), wall });
        });
    }

    fn send(&mut self, probe: &Probe, now: Now) -> (Stamp, Result<(), SendError>) {
        let opened = match self.monitor.socket_key(probe.socket) {
            Some(key) => self.engine.open(probe.socket, key, now.stamp()),
            None => return (now.stamp(), Err(SendError { errno: 0, text: "no socket" })),
        };
        if let Err(error) = opened {
            return (now.stamp(), Err(SendError { errno: error.errno as i32, text: error.errno.desc() }));
        }
        let monitor = &self.monitor;
        self.engine.prepare(probe, |payload| monitor.write_payload(probe, payload));
        let mono = clock::monotonic();
        let result = self.engine.transmit(probe, mono);
        (Stamp { mono, wall: now.wall_at(mono) }, result)
    }

    fn hand_out(&mut self, now: Now) {
        self.monitor.poll_records(&mut self.records);
        if self.unflushed.count == 0 {
            self.unflushed.since = now.mono;
        }
        self.unflushed.count += self.records.len();
        self.records.drain(..).for_each(|record| self.outlet.record(record));
        // One turn may come a little early and the next a little late.
        let at_next_turn = now.mono - self.unflushed.since + self.monitor.grid().step() * 3 / 2;
        let ripe = self.unflushed.count >= FLUSH_RECORDS || at_next_turn >= FLUSH_WITHIN;
        if self.unflushed.count > 0 && (ripe || !self.loaded) {
            self.flush();
        }
        self.monitor.poll_findings().into_iter().for_each(|finding| self.outlet.finding(finding));
        self.monitor.poll_notices(&mut self.notices);
        self.notices.drain(..).for_each(|notice| self.outlet.notice(Notice::Monitor(notice)));
        self.engine.poll_notices(&mut self.engine_notices);
        self.engine_notices.drain(..).for_each(|notice| self.outlet.notice(Notice::Engine(notice)));
    }

    /// Goes on with the status that was asked for first, by as much as delays no probe noticeably.
    fn gather_status(&mut self) {
        let Some(asked) = self.asked.front_mut() else { return };
        match self.monitor.snapshot(asked.next, STATUS_A_TURN, &mut asked.status.targets, asked.status.now) {
            Some(next) => asked.next = next,
            None => {
                if let Some(Asked { answer, mut status, .. }) = self.asked.pop_front() {
                    status.strays = self.monitor.strays();
                    // Whoever asked may have gone.
                    let _ = answer.send(status);
                }
            }
        }
    }

    /// Goes on with the tally that was asked for.
    fn count(&mut self) {
        let Some(Counting { answer, mut tally, next }) = self.counting.take() else { return };
        match self.monitor.tally(next, COUNTED_A_TURN, &mut tally) {
            Some(next) => self.counting = Some(Counting { answer, tally, next }),
            None => {
                // Whoever asked may have gone.
                let _ = answer.send(tally);
            }
        }
    }

    fn flush(&mut self) {
        self.unflushed.count = match self.outlet.flush() {
            Flushed::All => 0,
            Flushed::SomeLeft => 1,
        };
    }

    /// When to wake at the latest: for the monitor, for records that wait, and under load for the replies to what is in flight.
    fn deadline(&mut self, now: Now) -> Mono {
        // What is not judged may be due for long.
        let due = self.monitor.poll_deadline().filter(|due| !self.is_deaf || *due > now.mono);
        let look = self.is_deaf || self.unflushed.count > 0 || self.loaded && self.monitor.has_open_probes();
        let grid = self.monitor.grid();
        let look = look.then(|| grid.ceil(now.mono + grid.step() / 2));
        let status = (!self.asked.is_empty() || self.counting.is_some()).then_some(now.mono);
        let proof = self.proving.as_ref().and_then(|proving| proving.overdue_at(now.mono));
        let sign_of_life = now.mono + TURN_WITHIN;
        due.into_iter().chain(look).chain(status).chain(proof).fold(sign_of_life, Mono::min)
    }

    /// One last look at the sockets, then the end of everything in flight.
    fn finish(mut self) -> Monitor {
        self.receive();
        let now = clock::now();
        self.monitor.handle_stop(now);
        self.hand_out(now);
        self.flush();
        self.monitor
    }
}

/// A packet with its times on our clocks.
fn sample<'a>(incoming: &Incoming<'a>) -> Sample<'a> {
    let Incoming { from, ttl, stamped, seen, earliest, message } = *incoming;
    let stamped = stamped.map(clock::stamp);
    Sample { from, arrival: Arrival { stamped, seen: seen.stamp(), earliest }, ttl, message }
}
