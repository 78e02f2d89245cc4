//! Clocks, a network and a resolver in virtual time around the rules, driven turn by turn as `pingtest::driver` drives them.
//!
//! It keeps the books twice: each turn's records are held against the windows by a [`Ledger`]. What the network does to a probe
//! and when something happens, it is told; it knows no scenario.

#![allow(dead_code, reason = "each test that includes this file uses its part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pingtest::driver::{Command, Pause};
use pingtest::monitor::finding::Finding;
use pingtest::monitor::identity::Identity;
use pingtest::monitor::outage::Carried;
use pingtest::monitor::record::{Record, SendError};
use pingtest::monitor::sample::{Arrival, Checksum, IcmpError, Message, Sample};
use pingtest::monitor::target::{Addr, IpVersion, Target};
use pingtest::monitor::time::{Boot, Mono, Now, Stamp, Wall};
use pingtest::monitor::{Lookup, Monitor, Notice, Probe, SocketId, Start};

use super::ledger::Ledger;

/// How often drop counters are read although nothing is lost: the driver's `WATCH_DROPS_EVERY`.
const WATCH_DROPS_EVERY: Duration = Duration::from_secs(1);

/// What answers.
pub(crate) trait Network {
    /// A probe is sent at `since` after the start: what comes back, or why it could not be sent.
    fn send(&mut self, since: Duration, target: &Target, sent: &Sent) -> Result<Vec<Packet>, SendError>;

    /// A name is looked up: what comes of it after a while; `None` where the resolver keeps silent.
    fn look_up(&mut self, since: Duration, host: &str) -> Option<(Duration, Found)>;
}

/// What the resolver found, or its words.
pub(crate) type Found = Result<Vec<Addr>, Arc<str>>;

/// A probe as it is on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// The probe.
    pub(crate) probe: Probe,
    /// Its payload.
    pub(crate) payload: Vec<u8>,
}

/// A packet on its way to us.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    /// How long it takes to arrive.
    pub(crate) after: Duration,
    /// Who sent it.
    pub(crate) from: Addr,
    /// Time to live it will arrive with.
    pub(crate) ttl: Option<u8>,
    /// Whether the kernel stamps it.
    pub(crate) stamped: bool,
    /// What it says.
    pub(crate) content: Content,
}

/// What a packet says: `sample::Message`, owned.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// An echo reply.
    Echo {
        /// Sequence number on the wire.
        sequence: u16,
        /// All after the header.
        payload: Vec<u8>,
        /// Whether the checksum is right.
        checksum: Checksum,
    },
    /// An ICMP error.
    Error {
        /// What it says.
        error: IcmpError,
        /// Where the quoted probe went.
        destination: Addr,
        /// The quoted sequence number.
        sequence: u16,
        /// As much of the payload as is quoted.
        payload: Vec<u8>,
    },
}

/// The three clocks. They start apart, so that a mix-up of two does not go unnoticed.
#[derive(Debug, Clone, Copy)]
struct Clocks {
    boot: Boot,
    suspended: Duration,
    wall: Wall,
}

/// When the world begins on CLOCK_BOOTTIME: 100 s after boot, so that a suspend may last longer than the monotonic clock has run.
const START: Boot = Boot::from_nanos(100_000_000_000);

/// Midday, so that a step of hours stays within the day: 2026-11-22T12:00:00Z.
const MIDDAY: Wall = Wall::from_nanos(1_795_348_800_000_000_000);

impl Clocks {
    fn now(&self) -> Now {
        let mono = Mono::from_nanos(self.boot.as_nanos()) - self.suspended;
        Now { mono, wall: self.wall, boot: self.boot }
    }

    fn advance_to(&mut self, boot: Boot) {
        self.wall = self.wall + (boot - self.boot);
        self.boot = self.boot.max(boot);
    }
}

/// A packet in the socket, not read yet.
#[derive(Debug)]
struct Arrived {
    stamp: Wall,
    packet: Packet,
}

/// Ordered by time, and by the order of their making within one instant.
type Agenda<T> = BTreeMap<(Boot, u64), T>;

/// Everything around the rules, and the rules.
pub(crate) struct World<N> {
    monitor: Monitor,
    network: N,
    clocks: Clocks,
    flying: Agenda<Packet>,
    socket: Vec<Arrived>,
    /// When the socket was last read empty.
    emptied: Stamp,
    orders: Agenda<Command>,
    alarm: Option<Boot>,
    made: u64,
    /// Families whose sockets have dropped something that their counters have not told yet.
    dropped: Vec<IpVersion>,
    drops_watched: Mono,
    ended: bool,
    ledger: Ledger,
    records: Vec<Record>,
    notices: Vec<Notice>,
    findings: Vec<Finding>,
}

impl<N: Network> World<N> {
    /// A world with these targets, at the end of the driver's preparations.
    pub(crate) fn new(start: Start, targets: &[Arc<Target>], network: N) -> Self {
        let clocks = Clocks { boot: START, suspended: Duration::ZERO, wall: MIDDAY };
        let now = clocks.now();
        let mut world = Self {
            monitor: Monitor::new(Identity::new(*b"sixteen byte key"), start, now),
            network,
            clocks,
            flying: Agenda::new(),
            socket: Vec::new(),
            emptied: now.stamp(),
            orders: Agenda::new(),
            alarm: Some(START),
            made: 0,
            dropped: Vec::new(),
            drops_watched: now.mono,
            ended: false,
            ledger: Ledger::default(),
            records: Vec::new(),
            notices: Vec::new(),
            findings: Vec::new(),
        };
        world.set_targets(targets);
        world
    }

    /// The rules.
    pub(crate) fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// The network.
    pub(crate) fn network(&mut self) -> &mut N {
        &mut self.network
    }

    /// Everything written down so far.
    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    /// Everything the operator was told so far.
    pub(crate) fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Everything found out so far.
    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What an earlier process knew; to be told before the first turn.
    pub(crate) fn carry(&mut self, carried: impl Fn(Wall) -> Vec<Carried>) {
        let carried = carried(MIDDAY);
        let down = carried.iter().filter(|carried| carried.outage.is_some());
        down.for_each(|carried| self.ledger.handle_carried_outage(&carried.name));
        self.monitor.handle_carried(&carried, self.clocks.now());
    }

    /// Time since the start, suspends included.
    pub(crate) fn since(&self) -> Duration {
        self.clocks.boot - START
    }

    /// Whether the driver's loop has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Lets the loop turn, whenever something is due, until `since` after the start.
    pub(crate) fn run_until(&mut self, since: Duration) {
        let end = START + since;
        while !self.ended
            && let Some(wake) = self.next_wake().filter(|&wake| wake <= end)
        {
            self.pass(wake - self.clocks.boot);
            self.turn();
        }
        self.pass(end - self.clocks.boot);
    }

    /// Time passes and the loop does not turn; what arrives waits in the socket.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.clocks.boot + time;
        while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((at, _), packet) = entry.remove_entry();
            self.clocks.advance_to(at);
            self.socket.push(Arrived { stamp: self.clocks.wall, packet });
        }
        self.clocks.advance_to(end);
    }

    /// The system sleeps: CLOCK_MONOTONIC stands still, and what arrives meanwhile is lost.
    pub(crate) fn suspend(&mut self, time: Duration) {
        let end = self.clocks.boot + time;
        self.flying = self.flying.split_off(&(end, 0));
        self.clocks.suspended += time;
        self.clocks.advance_to(end);
    }

    /// The wall clock is set forward.
    pub(crate) fn set_forward(&mut self, by: Duration) {
        self.clocks.wall = self.clocks.wall + by;
    }

    /// The wall clock is set back.
    pub(crate) fn set_back(&mut self, by: Duration) {
        self.clocks.wall = self.clocks.wall - by;
    }

    /// The sockets of a family lose what they hold, for want of room.
    pub(crate) fn drop_packets(&mut self, version: IpVersion) {
        self.socket.retain(|arrived| arrived.packet.from.version() != version);
        self.dropped.push(version);
    }

    /// The driver is told something, in its next turn after `after`.
    pub(crate) fn order(&mut self, after: Duration, command: Command) {
        let key = self.agenda_key(after);
        self.orders.insert(key, command);
    }

    /// A packet sets out.
    pub(crate) fn launch(&mut self, packet: Packet) {
        let key = self.agenda_key(packet.after);
        self.flying.insert(key, packet);
    }

    /// One turn of the loop, in the order of `driver::Driver::turn`.
    pub(crate) fn turn(&mut self) {
        let now = self.clocks.now();
        self.monitor.handle_clock(now);
        let mut stop = false;
        while let Some(entry) = self.orders.first_entry().filter(|entry| !stop && entry.key().0 <= self.clocks.boot) {
            match entry.remove() {
                Command::Targets(targets) => self.set_targets(&targets),
                Command::Resolved(id, found) => {
                    self.monitor.handle_resolved(id, found.as_deref().map_err(Arc::clone), now);
                }
                Command::Status(_) | Command::Tally(_) | Command::Prove(_) => {}
                Command::Pause(name, pause, _) => {
                    let done = match pause {
                        Pause::Begin => self.monitor.handle_pause(&name, now),
                        Pause::End => self.monitor.handle_resume(&name, now),
                    };
                    // A reload in the same turn may have removed it.
                    let _ = done;
                }
                Command::Stop => stop = true,
            }
        }
        if self.monitor.poll_deadline().is_some_and(|due| now.mono - due > self.monitor.grid().step()) {
            self.receive();
        }
        self.send_due(now);
        let drained = self.receive();
        self.judge(drained, now);
        while let Some(lookup) = self.monitor.poll_lookup(now.mono) {
            self.look_up(&lookup);
        }
        self.hand_out();
        let finite = self.monitor.targets().all(|(target, ..)| target.count.is_some());
        if stop || finite && self.monitor.is_finished() {
            self.receive();
            self.monitor.handle_stop(now);
            self.hand_out();
            self.ended = true;
        }
        self.alarm = self.monitor.poll_deadline().map(|due| now.boot_at(due));
    }

    /// When the loop wakes next: by its alarm, which runs on CLOCK_BOOTTIME, by a packet or by an order.
    fn next_wake(&mut self) -> Option<Boot> {
        let alarm = self.alarm.map(|alarm| alarm.max(self.clocks.boot));
        let readable = (!self.socket.is_empty()).then_some(self.clocks.boot);
        let packet = self.flying.first_key_value().map(|(key, _)| key.0);
        let order = self.orders.first_key_value().map(|(key, _)| key.0.max(self.clocks.boot));
        [alarm, readable, packet, order].into_iter().flatten().min()
    }

    fn agenda_key(&mut self, after: Duration) -> (Boot, u64) {
        self.made += 1;
        (self.clocks.boot + after, self.made)
    }

    fn set_targets(&mut self, targets: &[Arc<Target>]) {
        self.monitor.handle_targets(targets, self.clocks.now());
        // The records of what ends here belong to the books that are closed here.
        self.hand_out_unchecked();
        self.ledger.handle_targets(targets);
    }

    fn receive(&mut self) -> Stamp {
        let now = self.clocks.now();
        for Arrived { stamp, packet } in self.socket.drain(..) {
            let stamped = packet.stamped.then_some(stamp);
            let arrival = Arrival { stamped, seen: now.stamp(), earliest: self.emptied };
            let message = packet.content.message();
            self.monitor.handle_sample(&Sample { from: packet.from, arrival, ttl: packet.ttl, message });
        }
        self.emptied = now.stamp();
        now.stamp()
    }

    fn judge(&mut self, drained: Stamp, now: Now) {
        let judging = self.monitor.next_judgement().is_some_and(|judged| judged <= drained.mono);
        if judging || now.mono - self.drops_watched >= WATCH_DROPS_EVERY {
            self.drops_watched = now.mono;
            let dropped = std::mem::take(&mut self.dropped);
            for socket in (0..).map(SocketId) {
                let Some(key) = self.monitor.socket_key(socket) else { break };
                if dropped.contains(&key.version) {
                    self.monitor.handle_drops(socket, now.mono);
                }
            }
        }
        if judging {
            self.monitor.handle_expiry(drained);
        }
    }

    fn send_due(&mut self, now: Now) {
        while let Some(probe) = self.monitor.poll_probe(now) {
            let mut payload = vec![0; probe.size];
            self.monitor.write_payload(&probe, &mut payload);
            let target = Arc::clone(self.target(&probe));
            self.ledger.handle_probe(&target, probe.id.seq, now);
            let sent = Sent { probe, payload };
            let result = match self.network.send(self.clocks.boot - START, &target, &sent) {
                Ok(packets) => {
                    packets.into_iter().for_each(|packet| self.launch(packet));
                    Ok(())
                }
                Err(error) => Err(error),
            };
            self.monitor.handle_sent(&probe, now.stamp(), Duration::ZERO, result);
        }
    }

    fn look_up(&mut self, lookup: &Lookup) {
        let found = self.network.look_up(self.clocks.boot - START, &lookup.host);
        if let Some((after, found)) = found {
            self.order(after, Command::Resolved(lookup.target, found));
        }
    }

    fn hand_out(&mut self) {
        self.hand_out_unchecked();
        self.ledger.check(&self.monitor);
    }

    fn hand_out_unchecked(&mut self) {
        let from = self.records.len();
        self.monitor.poll_records(&mut self.records);
        let now = self.clocks.now();
        self.records[from..].iter().for_each(|record| self.ledger.handle_record(record, now.mono));
        self.monitor.poll_notices(&mut self.notices);
        let from = self.findings.len();
        self.findings.extend(self.monitor.poll_findings());
        self.findings[from..].iter().for_each(|finding| self.ledger.handle_finding(finding));
    }

    fn target(&self, probe: &Probe) -> &Arc<Target> {
        self.monitor.target(probe.id.target).expect("a target that sends is there")
    }
}

impl Content {
    fn message(&self) -> Message<'_> {
        match self {
            Self::Echo { sequence, payload, checksum } => {
                Message::EchoReply { sequence: *sequence, payload, checksum: *checksum }
            }
            Self::Error { error, destination, sequence, payload } => {
                Message::Error { error: *error, destination: *destination, sequence: *sequence, payload }
            }
        }
    }
}
