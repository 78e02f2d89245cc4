//! One set of socket options and the socket that serves it: opened when first needed, replaced when its device or address went away.
//!
//! It sends, reads and counts for its socket and tells what it met; which probe goes through which slot, it is told.

use std::time::Duration;

use nix::errno::Errno;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::AsFd;
use smallvec::SmallVec;

use super::engine::{Incoming, Notice};
use super::ident::{Ident, Idents};
use super::socket::{BATCH, Buffers, Kind, OpenError, Origin, Queue, Received, Socket, TransmitStamps};
use super::wire::{self, Packet, kind};
use crate::monitor::sample::{IcmpError, Message};
use crate::monitor::target::{Addr, IpVersion};
use crate::monitor::time::{Mono, Now, Stamp, Wall};
use crate::monitor::{Probe, SocketKey};
use crate::watch::Watched;

/// A socket that could not be opened, or whose device or address went away, is tried anew at most this often.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// Batches read from one socket before the others, and the probes that are due, have their turn.
const BATCHES_A_TURN: usize = 64;

/// Pending errors met in a row before the rest waits for the next turn.
const ERRORS_A_TURN: usize = 64;

/// An operator is told of dropped packets at most this often.
const TELL_DROPS_EVERY: Duration = Duration::from_secs(1);

/// What the slots have in common.
#[derive(Debug)]
pub(super) struct Shared {
    /// All open sockets, for waiting; empty while the loop goes by its own cadence.
    pub(super) readiness: Watched,
    pub(super) armed: bool,
    /// Where the sockets' identifiers are from.
    pub(super) idents: Idents,
    /// Receive buffer to ask for, bytes.
    pub(super) buffer: usize,
    pub(super) buffers: Buffers,
    /// Errors read off an error queue while something else was being done.
    pub(super) errors: Vec<QueuedError>,
    /// When packets left, by the kernel, read off an error queue.
    pub(super) departures: Vec<Wall>,
    pub(super) notices: Vec<Notice>,
}

/// A set of options and its socket.
#[derive(Debug)]
pub(super) struct Slot {
    key: SocketKey,
    state: State,
    /// The socket before this one: replies to what went out through it still come in through it.
    former: Option<Held>,
    /// When it was last tried to open a socket.
    tried: Option<Mono>,
    drops: Drops,
    /// The socket was read empty then.
    emptied: Stamp,
    /// The failure that was told the operator.
    announced: Option<OpenError>,
}

#[derive(Debug)]
enum State {
    Closed,
    Failed(OpenError),
    Open(Held),
}

/// A socket, and its identifier.
#[derive(Debug)]
struct Held {
    socket: Socket,
    _ident: Ident,
}

/// Packets dropped for want of room.
#[derive(Debug, Default)]
struct Drops {
    /// The kernel's counter when it was last read.
    counter: u32,
    untold: u32,
    told: Option<Mono>,
}

/// An error that an error queue told of.
#[derive(Debug)]
pub(super) struct QueuedError {
    from: Addr,
    stamped: Option<Wall>,
    earliest: Stamp,
    error: IcmpError,
    destination: Addr,
    sequence: u16,
    /// The beginning of the probe's payload: all that identifies it.
    payload: [u8; 16],
    payload_len: usize,
}

impl Shared {
    /// While the loop wakes for each reply, a message more for each probe costs little.
    pub(super) fn transmit_stamps(&self) -> TransmitStamps {
        if self.armed { TransmitStamps::Wanted } else { TransmitStamps::Unwanted }
    }
}

impl Slot {
    pub(super) fn new(key: SocketKey, now: Stamp) -> Self {
        let (state, drops) = (State::Closed, Drops::default());
        Self { key, state, former: None, tried: None, drops, emptied: now, announced: None }
    }

    /// Opens the socket, unless it is open or was tried less than a second ago.
    pub(super) fn open(&mut self, now: Mono, shared: &mut Shared) -> Result<Kind, OpenError> {
        match &self.state {
            State::Open(open) => return Ok(open.socket.kind()),
            State::Failed(error) if !self.may_try(now) => return Err(*error),
            State::Failed(_) | State::Closed => {}
        }
        match self.new_socket(now, shared) {
            Ok(open) => {
                let kind = open.socket.kind();
                self.install(open, shared);
                Ok(kind)
            }
            Err(error) => {
                self.state = State::Failed(error);
                Err(error)
            }
        }
    }

    /// Sends `packet`, an echo request but for its header. An error of an earlier packet, which a datagram socket holds against the
    /// next one, is read off the queue, and the packet sent again. If the socket's device or address has gone, a new socket is tried.
    ///
    /// # Errors
    /// Why the kernel refused.
    pub(super) fn send(
        &mut self,
        probe: &Probe,
        packet: &mut [u8],
        now: Mono,
        shared: &mut Shared,
    ) -> Result<(), Errno> {
        let State::Open(Held { socket, .. }) = &self.state else { return Err(Errno::EBADF) };
        wire::write_echo_request(socket.version(), socket.ident(), probe.sequence, packet);
        let Err(mut errno) = socket.send(packet, probe.addr) else { return Ok(()) };
        read_errors(socket, self.emptied, shared);
        if socket.kind() == Kind::Datagram {
            match socket.send(packet, probe.addr) {
                Ok(()) => return Ok(()),
                Err(own) => errno = own,
            }
        }
        if self.may_be_stranded(errno) && self.may_try(now) && self.replace(probe, packet, now, shared) {
            return Ok(());
        }
        Err(errno)
    }

    /// Whether the error may mean that the socket itself is of no more use: one bound to a device keeps to the device's index, which
    /// a device made later under the same name does not have; one bound to an address fails once the address has gone.
    fn may_be_stranded(&self, errno: Errno) -> bool {
        let bound = self.key.options.source.is_some() || self.key.options.interface.is_some();
        let gone = [Errno::ENODEV, Errno::ENXIO, Errno::EADDRNOTAVAIL, Errno::ENETUNREACH, Errno::EINVAL, Errno::EBADF];
        bound && gone.contains(&errno)
    }

    /// Tries the packet through a new socket. Only if that sends what the present one could not, it takes its place: the target may
    /// just as well have no route.
    fn replace(&mut self, probe: &Probe, packet: &mut [u8], now: Mono, shared: &mut Shared) -> bool {
        let Ok(open) = self.new_socket(now, shared) else { return false };
        let socket = &open.socket;
        wire::write_echo_request(socket.version(), socket.ident(), probe.sequence, packet);
        let sent = socket.send(packet, probe.addr).is_ok();
        if sent {
            self.install(open, shared);
        }
        sent
    }

    fn may_try(&self, now: Mono) -> bool {
        self.tried.is_none_or(|tried| now - tried >= TRY_EVERY)
    }

    fn new_socket(&mut self, now: Mono, shared: &mut Shared) -> Result<Held, OpenError> {
        self.tried = Some(now);
        let ident = shared.idents.draw();
        let opened = Socket::open(&self.key, ident.number(), shared.buffer).and_then(|socket| {
            let watched = if shared.armed { watch(&shared.readiness, &socket) } else { Ok(()) };
            // Where there are none to be had, our own reading of the clock must do.
            let _ = socket.set_transmit_stamps(shared.transmit_stamps());
            let failed = |errno: rustix::io::Errno| Errno::from_raw(errno.raw_os_error());
            watched.map(|()| socket).map_err(|errno| OpenError { step: "epoll_ctl", errno: failed(errno) })
        });
        if let Some(&error) = opened.as_ref().err().filter(|error| self.announced.as_ref() != Some(*error)) {
            self.announced = Some(error);
            shared.notices.push(Notice::NotOpened(self.key.clone(), error));
        }
        opened.map(|socket| Held { socket, _ident: ident })
    }

    fn install(&mut self, open: Held, shared: &mut Shared) {
        self.drops.counter = 0;
        self.former = match std::mem::replace(&mut self.state, State::Open(open)) {
            State::Open(former) => Some(former),
            State::Closed | State::Failed(_) => None,
        };
        if self.announced.take().is_some() || self.former.is_some() {
            shared.notices.push(Notice::Reopened(self.key.clone()));
        }
    }

    /// The sockets that are open.
    pub(super) fn sockets(&self) -> impl Iterator<Item = &Socket> {
        let open = match &self.state {
            State::Open(open) => Some(open),
            State::Closed | State::Failed(_) => None,
        };
        open.into_iter().chain(&self.former).map(|held| &held.socket)
    }

    /// Hands out everything that has arrived. Returns a reading of the clock before which all that arrived has been handed out;
    /// `None` where no socket is open.
    pub(super) fn receive(
        &mut self,
        shared: &mut Shared,
        clock: &impl Fn() -> Now,
        handle: &mut impl FnMut(&[Incoming<'_>]),
    ) -> Option<Stamp> {
        if let Some(former) = &self.former {
            receive_from(&former.socket, self.emptied, shared, clock, handle);
        }
        let State::Open(Held { socket, .. }) = &self.state else { return None };
        let wall = clock().wall;
        match receive_from(socket, self.emptied, shared, clock, handle) {
            Some(emptied) => {
                self.emptied = emptied;
                Some(emptied)
            }
            None => Some(Stamp { mono: self.emptied.mono, wall }),
        }
    }

    /// Reads off the error queues when packets left.
    pub(super) fn read_departures(&self, shared: &mut Shared) {
        self.sockets().for_each(|socket| read_errors(socket, self.emptied, shared));
    }

    /// Whether the socket has dropped something since this was asked last.
    pub(super) fn has_dropped(&mut self, now: Mono, shared: &mut Shared) -> bool {
        let State::Open(Held { socket, .. }) = &self.state else { return false };
        let Drops { counter, untold, told } = &mut self.drops;
        let total = socket.drops().unwrap_or(*counter);
        let new = total.wrapping_sub(*counter);
        *counter = total;
        *untold += new;
        if *untold > 0 && told.is_none_or(|told| now - told >= TELL_DROPS_EVERY) {
            *told = Some(now);
            shared.notices.push(Notice::Dropped(std::mem::take(untold)));
        }
        new > 0
    }
}

impl QueuedError {
    /// What the error queue tells; `None` for what is no error of a probe's, and on a raw socket, which gets the ICMP message itself
    /// as a packet.
    fn read(socket: &Socket, received: &Received<'_>, earliest: Stamp) -> Option<Self> {
        let offence = received.offence.filter(|_| socket.kind() == Kind::Datagram)?;
        let (kind, code, info) = (offence.kind, offence.code, offence.info);
        let error = match offence.origin {
            Origin::Icmp if kind::V4_ERRORS.contains(&kind) => IcmpError::V4 { kind, code, info },
            Origin::Icmpv6 if kind::V6_ERRORS.contains(&kind) => IcmpError::V6 { kind, code, info },
            Origin::Icmp | Origin::Icmpv6 | Origin::Local | Origin::Departure => return None,
        };
        let quoted = wire::decode_quoted(socket.version(), received.bytes)?;
        let mut payload = [0; 16];
        let payload_len = quoted.payload.len().min(payload.len());
        payload[..payload_len].copy_from_slice(&quoted.payload[..payload_len]);
        Some(Self {
            from: offence.offender?,
            stamped: received.stamped,
            earliest,
            error,
            destination: received.from?,
            sequence: quoted.sequence,
            payload,
            payload_len,
        })
    }

    pub(super) fn incoming(&self, seen: Now) -> Incoming<'_> {
        let message = Message::Error {
            error: self.error,
            destination: self.destination,
            sequence: self.sequence,
            payload: &self.payload[..self.payload_len],
        };
        Incoming { from: self.from, ttl: None, stamped: self.stamped, seen, earliest: self.earliest, message }
    }
}

/// Adds a socket to those that wake the loop.
pub(super) fn watch(readiness: &Watched, socket: &Socket) -> Result<(), rustix::io::Errno> {
    epoll::add(readiness.fd(), socket.as_fd(), EventData::new_u64(0), EventFlags::IN | EventFlags::ERR)
}

/// Reads a socket until it is empty. Returns a reading of the clock from before it was found so; `None` where it was left unfinished.
pub(super) fn receive_from(
    socket: &Socket,
    earliest: Stamp,
    shared: &mut Shared,
    clock: &impl Fn() -> Now,
    handle: &mut impl FnMut(&[Incoming<'_>]),
) -> Option<Stamp> {
    let mut errors = 0;
    for _ in 0..BATCHES_A_TURN + ERRORS_A_TURN {
        let before = clock().stamp();
        match socket.receive(Queue::Packets, &mut shared.buffers) {
            // A batch cut short means nothing: a pending error ends it as well.
            Ok(count) => {
                let seen = clock();
                let received = (0..count).map(|index| shared.buffers.get(index));
                let batch: SmallVec<[_; BATCH]> =
                    received.filter_map(|received| decode(socket, &received, seen, earliest)).collect();
                handle(&batch);
                errors = 0;
            }
            Err(Errno::EAGAIN) => return Some(before),
            Err(_) => {
                errors += 1;
                read_errors(socket, earliest, shared);
            }
        }
        if errors == ERRORS_A_TURN {
            break;
        }
    }
    None
}

/// Reads the error queue empty.
fn read_errors(socket: &Socket, earliest: Stamp, shared: &mut Shared) {
    for _ in 0..ERRORS_A_TURN {
        let count = socket.receive(Queue::Errors, &mut shared.buffers).unwrap_or(0);
        for index in 0..count {
            let received = shared.buffers.get(index);
            match received.offence.map(|offence| offence.origin) {
                Some(Origin::Departure) => shared.departures.extend(received.stamped),
                Some(Origin::Icmp | Origin::Icmpv6 | Origin::Local) | None => {
                    shared.errors.extend(QueuedError::read(socket, &received, earliest));
                }
            }
        }
        if count < BATCH {
            break;
        }
    }
}

/// A packet of ours, if it is one: the identifier is checked here as well, for packets that came before the filter did.
fn decode<'a>(socket: &Socket, received: &Received<'a>, seen: Now, earliest: Stamp) -> Option<Incoming<'a>> {
    let from = received.from?;
    let packet = match socket.version() {
        IpVersion::V4 => wire::decode_v4(received.bytes, socket.framing())?,
        IpVersion::V6 => wire::decode_v6(received.bytes)?,
    };
    let (ident, ttl, message) = match packet {
        Packet::EchoReply { ident, sequence, ttl, payload, checksum } => {
            (ident, ttl, Message::EchoReply { sequence, payload, checksum })
        }
        Packet::Error { error, destination, quoted } => {
            let destination = Addr { ip: destination, scope: 0 };
            let (sequence, payload) = (quoted.sequence, quoted.payload);
            (quoted.ident, None, Message::Error { error, destination, sequence, payload })
        }
    };
    let ttl = ttl.or(received.hops);
    (ident == socket.ident()).then_some(Incoming { from, ttl, stamped: received.stamped, seen, earliest, message })
}
