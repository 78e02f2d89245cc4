//! Sends probes and receives what comes back, through as few sockets as the targets' options allow: one for each set of options.
//!
//! It reports packets, errors and local drops with their stamps and judges nothing. It opens a socket when it is first needed and
//! anew when its device or address went away; each has an identifier of its own, so that none sees another's replies.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::socket::{BATCH, Buffers, Kind, OpenError, Origin, Queue, Received, Socket};
use super::wire::{self, HEADER_LEN, Packet};
use crate::monitor::record::SendError;
use crate::monitor::sample::{IcmpError, Message};
use crate::monitor::target::{Addr, IpVersion};
use crate::monitor::time::{Mono, Now, Stamp, Wall};
use crate::monitor::{Probe, SocketId, SocketKey};
use crate::watch::Watched;

/// A socket whose device or address went away is opened anew at most this often.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

/// Batches read from one socket before the others, and the probes that are due, have their turn.
const BATCHES_A_TURN: usize = 64;

/// Errors in a row after which a socket is opened anew instead of read again.
const ERRORS_A_TURN: usize = 64;

/// What the kernel charges a receive buffer for one reply beside its payload: 832 bytes on loopback, 2 to 4 KiB with most network
/// cards (they hand out half a page or a page).
const CHARGE: usize = 2304;

/// A stall of this length must fit into the receive buffer.
const STALL: Duration = Duration::from_millis(500);

/// Bounds of the receive buffer asked for, bytes.
const BUFFER: std::ops::RangeInclusive<usize> = (1 << 20)..=(64 << 20);

/// Room for one message besides the payload: the longest IPv4 header and the header of the echo message.
const HEADERS: usize = 60 + HEADER_LEN;

/// Room for one message at least: an ICMP error may quote more than the probes hold (RFC 1812 allows 576 bytes, Linux goes by it).
const MIN_MESSAGE: usize = 1024;

/// What is expected of the engine: how often and how large.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Probes a second, all targets together.
    pub rate: f64,
    /// The largest payload, bytes.
    pub size: usize,
}

/// Sends and receives.
#[derive(Debug)]
pub struct Engine {
    slots: Vec<Option<Slot>>,
    /// All open sockets, for waiting; empty while the loop goes by its own cadence.
    readiness: Watched,
    armed: bool,
    ident: u16,
    buffer: usize,
    buffers: Buffers,
    packet: Vec<u8>,
    errors: Vec<QueuedError>,
    notices: Vec<Notice>,
}

#[derive(Debug)]
struct Slot {
    key: SocketKey,
    state: State,
    /// Kept when the socket is opened anew, so that replies under way still find us.
    ident: u16,
    /// When it was last tried to open it.
    tried: Mono,
    /// The drop counter when it was last read.
    drops: u32,
    /// The socket was read empty then.
    emptied: Mono,
    /// The failure that was told the operator.
    announced: Option<OpenError>,
}

#[derive(Debug)]
enum State {
    Closed,
    Failed(OpenError),
    Open(Socket),
}

/// Something came in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Incoming<'a> {
    /// Who sent it.
    pub from: Addr,
    /// Its time to live or hop limit.
    pub ttl: Option<u8>,
    /// When it arrived, by the kernel.
    pub stamped: Option<Wall>,
    /// Read after it.
    pub seen: Now,
    /// Its socket had been read empty then.
    pub earliest: Mono,
    /// What it is.
    pub message: Message<'a>,
}

/// An error read off an error queue while something else was being done.
#[derive(Debug)]
struct QueuedError {
    from: Addr,
    stamped: Option<Wall>,
    error: IcmpError,
    destination: Addr,
    sequence: u16,
    /// The beginning of the probe's payload: all that identifies it.
    payload: [u8; 16],
    payload_len: usize,
}

/// Something the operator should know.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// A socket could not be opened; it will be tried again.
    NotOpened(SocketKey, OpenError),
    /// A socket was opened, after a failure or because its device or address had gone.
    Reopened(SocketKey),
    /// The system grants less buffer than the load asks for.
    SmallBuffer {
        /// How many replies it holds.
        replies: usize,
        /// How many it should hold.
        wanted: usize,
    },
    /// The kernel dropped this many packets because a receive buffer was full.
    Dropped(u32),
}

impl Engine {
    /// An engine that will tell its probes from other processes' by identifiers from `ident` on. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// Those of epoll_create1(2): out of descriptors or memory.
    pub fn new(ident: u16) -> io::Result<Self> {
        Ok(Self {
            slots: Vec::new(),
            readiness: Watched::new(epoll::create(CreateFlags::CLOEXEC)?)?,
            armed: true,
            ident,
            buffer: *BUFFER.start(),
            buffers: Buffers::new(MIN_MESSAGE),
            packet: Vec::new(),
            errors: Vec::new(),
            notices: Vec::new(),
        })
    }

    /// Prepares for a load: the sockets get buffers for it, as far as the system grants them.
    pub fn set_load(&mut self, load: Load) {
        let replies = wanted_replies(load);
        self.buffer = replies.saturating_mul(CHARGE + load.size).clamp(*BUFFER.start(), *BUFFER.end());
        let message_len = (load.size + HEADERS).max(MIN_MESSAGE);
        if message_len != self.buffers.message_len() {
            self.buffers = Buffers::new(message_len);
        }
        for slot in self.slots.iter().flatten() {
            if let State::Open(socket) = &slot.state {
                socket.set_buffers(self.buffer);
            }
        }
    }

    /// Whether [`Self::readable`] is to wake for what arrives. Under load it is cheaper to look at intervals: stamps are the
    /// kernel's either way.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn set_armed(&mut self, armed: bool) -> io::Result<()> {
        if self.armed == armed {
            return Ok(());
        }
        self.armed = armed;
        for slot in self.slots.iter().flatten() {
            if let State::Open(socket) = &slot.state {
                match armed {
                    true => watch(&self.readiness, socket)?,
                    false => epoll::delete(self.readiness.fd(), socket.as_fd())?,
                }
            }
        }
        Ok(())
    }

    /// Waits until something has arrived. Cancel safe.
    ///
    /// # Errors
    /// Only if the runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        self.readiness.readable().await
    }

    /// Opens the socket of this number, unless it is open or was tried less than a second ago.
    ///
    /// # Errors
    /// What the kernel refused, at this try or the last one.
    pub fn open(&mut self, id: SocketId, key: &SocketKey, now: Mono) -> Result<Kind, OpenError> {
        if self.slots.len() <= id.0 {
            self.slots.resize_with(id.0 + 1, || None);
        }
        let ident = self.ident.wrapping_add((id.0 & 0xffff) as u16);
        let slot = self.slots[id.0].get_or_insert_with(|| Slot::new(key.clone(), ident, now));
        match &slot.state {
            State::Open(socket) => return Ok(socket.kind()),
            State::Failed(error) if now - slot.tried < REOPEN_EVERY => return Err(*error),
            State::Failed(_) | State::Closed => {}
        }
        let opened = slot.open(self.buffer, now);
        self.note_opening(id, opened.err());
        opened
    }

    /// Makes `probe` ready to be sent: everything that takes time. `write_payload` fills its payload.
    pub fn prepare(&mut self, probe: &Probe, write_payload: impl FnOnce(&mut [u8])) {
        self.packet.resize(HEADER_LEN + probe.size, 0);
        write_payload(&mut self.packet[HEADER_LEN..]);
        if let Some(Some(slot)) = self.slots.get(probe.socket.0) {
            wire::write_echo_request(slot.key.version, slot.ident, probe.sequence, &mut self.packet);
        }
    }

    /// Sends the probe prepared last. It tries once more where the first try met an error that is not this probe's, or a socket
    /// whose device or address has gone.
    ///
    /// # Errors
    /// Why the kernel refused.
    pub fn transmit(&mut self, probe: &Probe, now: Mono) -> Result<(), SendError> {
        let first = self.try_send(probe);
        let Err(errno) = first else { return Ok(()) };
        let again = match probe.socket {
            id if self.is_stranded(id, errno) => self.reopen(id, now),
            id => self.drain_errors(id, errno),
        };
        let result = if again { self.try_send(probe) } else { first };
        result.map_err(|errno| SendError { errno: errno as i32, text: errno.desc() })
    }

    /// Hands everything that has arrived to `handle`. Returns a reading of the clock before which all that arrived has been handed
    /// out, on every socket.
    pub fn receive(&mut self, clock: impl Fn() -> Now, mut handle: impl FnMut(&Incoming<'_>)) -> Stamp {
        let start = clock().stamp();
        let mut drained = start;
        for index in 0..self.slots.len() {
            let emptied = self.receive_from(SocketId(index), &clock, &mut handle).unwrap_or(start);
            if emptied.mono < drained.mono {
                drained = emptied;
            }
        }
        let seen = clock();
        for error in self.errors.drain(..) {
            handle(&error.incoming(seen));
        }
        drained
    }

    /// Reports every socket that has dropped something since this was called last.
    pub fn drops(&mut self, mut report: impl FnMut(SocketId)) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(Slot { state: State::Open(socket), drops, .. }) = slot else { continue };
            let Ok(total) = socket.drops() else { continue };
            if total != *drops {
                self.notices.push(Notice::Dropped(total.wrapping_sub(*drops)));
                *drops = total;
                report(SocketId(index));
            }
        }
    }

    /// Moves everything that the operator should know into `notices`.
    pub fn poll_notices(&mut self, notices: &mut Vec<Notice>) {
        notices.append(&mut self.notices);
    }

    fn try_send(&self, probe: &Probe) -> Result<(), Errno> {
        match self.slots.get(probe.socket.0) {
            Some(Some(Slot { state: State::Open(socket), .. })) => socket.send(&self.packet, probe.addr),
            Some(Some(Slot { state: State::Failed(error), .. })) => Err(error.errno),
            Some(Some(Slot { state: State::Closed, .. }) | None) | None => Err(Errno::EBADF),
        }
    }

    /// Whether the error means that the socket itself is of no more use. A socket bound to a device keeps to the device's index,
    /// which a device of the same name made later does not have; one bound to an address fails once the address has gone.
    fn is_stranded(&self, id: SocketId, errno: Errno) -> bool {
        let options = match self.slots.get(id.0) {
            Some(Some(slot)) => &slot.key.options,
            Some(None) | None => return false,
        };
        let bound = options.source.is_some() || options.interface.is_some();
        let gone = matches!(errno, Errno::ENODEV | Errno::ENXIO | Errno::EADDRNOTAVAIL | Errno::EBADF);
        gone || bound && matches!(errno, Errno::ENETUNREACH | Errno::EINVAL)
    }

    /// Opens a stranded socket anew, if the last try is long enough ago. Returns whether it is open now.
    fn reopen(&mut self, id: SocketId, now: Mono) -> bool {
        let Some(Some(slot)) = self.slots.get_mut(id.0) else { return false };
        if now - slot.tried < REOPEN_EVERY {
            return false;
        }
        // The old socket goes first: it holds the identifier.
        slot.state = State::Closed;
        let opened = slot.open(self.buffer, now);
        self.note_opening(id, opened.err());
        if opened.is_ok() {
            self.notices.extend(self.slots[id.0].as_ref().map(|slot| Notice::Reopened(slot.key.clone())));
        }
        opened.is_ok()
    }

    fn note_opening(&mut self, id: SocketId, error: Option<OpenError>) {
        let Some(Some(slot)) = self.slots.get_mut(id.0) else { return };
        match (&slot.state, error) {
            (State::Open(socket), _) => {
                if slot.announced.take().is_some() {
                    self.notices.push(Notice::Reopened(slot.key.clone()));
                }
                if self.armed
                    && let Err(error) = watch(&self.readiness, socket)
                {
                    let error = OpenError { step: "epoll_ctl", errno: Errno::from_raw(error.raw_os_error()) };
                    slot.state = State::Failed(error);
                    self.notices.push(Notice::NotOpened(slot.key.clone(), error));
                    return;
                }
                let replies = socket.receive_buffer() / CHARGE;
                let wanted = self.buffer / CHARGE;
                if replies < wanted {
                    self.notices.push(Notice::SmallBuffer { replies, wanted });
                }
            }
            (State::Closed | State::Failed(_), Some(error)) if slot.announced != Some(error) => {
                slot.announced = Some(error);
                self.notices.push(Notice::NotOpened(slot.key.clone(), error));
            }
            (State::Closed | State::Failed(_), _) => {}
        }
    }

    /// A send failed with `errno`. On a datagram socket that may be the echo of an earlier packet's error: reading it off the queue
    /// clears it, and the probe may be sent again. Returns whether that is so.
    fn drain_errors(&mut self, id: SocketId, errno: Errno) -> bool {
        let Some(Some(Slot { state: State::Open(socket), .. })) = self.slots.get(id.0) else { return false };
        let found = read_errors(socket, &mut self.buffers, &mut self.errors);
        socket.kind() == Kind::Datagram && found.contains(&errno)
    }

    fn receive_from(
        &mut self,
        id: SocketId,
        clock: &impl Fn() -> Now,
        handle: &mut impl FnMut(&Incoming<'_>),
    ) -> Option<Stamp> {
        let Some(Some(slot)) = self.slots.get_mut(id.0) else { return None };
        let State::Open(socket) = &slot.state else { return None };
        let (mut batches, mut errors) = (0, 0);
        while batches < BATCHES_A_TURN && errors < ERRORS_A_TURN {
            let before = clock().stamp();
            let count = match socket.receive(Queue::Packets, &mut self.buffers) {
                Ok(count) => count,
                Err(Errno::EAGAIN) => 0,
                Err(_) => {
                    errors += 1;
                    read_errors(socket, &mut self.buffers, &mut self.errors);
                    continue;
                }
            };
            let seen = clock();
            for index in 0..count {
                let received = self.buffers.get(index);
                let incoming = decode(socket, slot.ident, &received, seen, slot.emptied);
                incoming.iter().for_each(&mut *handle);
            }
            batches += 1;
            if count < BATCH {
                slot.emptied = before.mono;
                return Some(before);
            }
        }
        if errors == ERRORS_A_TURN {
            self.reopen(id, clock().mono);
        }
        Some(Stamp { mono: self.slots[id.0].as_ref()?.emptied, wall: clock().wall })
    }
}

impl Slot {
    fn new(key: SocketKey, ident: u16, now: Mono) -> Self {
        Self { key, state: State::Closed, ident, tried: now, drops: 0, emptied: now, announced: None }
    }

    fn open(&mut self, buffer: usize, now: Mono) -> Result<Kind, OpenError> {
        self.tried = now;
        match Socket::open(&self.key, self.ident, buffer) {
            Ok(socket) => {
                let kind = socket.kind();
                (self.ident, self.drops) = (socket.ident(), 0);
                self.state = State::Open(socket);
                Ok(kind)
            }
            Err(error) => {
                self.state = State::Failed(error);
                Err(error)
            }
        }
    }
}

impl QueuedError {
    /// What the error queue tells; `None` for what did not come from the network, which the send itself has told.
    fn read(socket: &Socket, received: &Received<'_>) -> Option<(Errno, Option<Self>)> {
        let offence = received.offence?;
        let errno = Errno::from_raw(offence.errno);
        // A raw socket also gets the ICMP message itself, as a packet.
        let error = match (socket.kind(), offence.origin) {
            (Kind::Datagram, Origin::Icmp) => {
                IcmpError::V4 { kind: offence.kind, code: offence.code, info: offence.info }
            }
            (Kind::Datagram, Origin::Icmpv6) => {
                IcmpError::V6 { kind: offence.kind, code: offence.code, info: offence.info }
            }
            (Kind::Raw, Origin::Icmp | Origin::Icmpv6) | (_, Origin::Local) => return Some((errno, None)),
        };
        let quoted = wire::decode_quoted(socket.version(), received.bytes);
        let parts = quoted.zip(received.from).zip(offence.offender);
        let queued = parts.map(|((quoted, destination), from)| {
            let mut payload = [0; 16];
            let payload_len = quoted.payload.len().min(payload.len());
            payload[..payload_len].copy_from_slice(&quoted.payload[..payload_len]);
            let (stamped, sequence) = (received.stamped, quoted.sequence);
            Self { from, stamped, error, destination, sequence, payload, payload_len }
        });
        Some((errno, queued))
    }

    fn incoming(&self, seen: Now) -> Incoming<'_> {
        let message = Message::Error {
            error: self.error,
            destination: self.destination,
            sequence: self.sequence,
            payload: &self.payload[..self.payload_len],
        };
        Incoming { from: self.from, ttl: None, stamped: self.stamped, seen, earliest: seen.mono, message }
    }
}

/// Reads the error queue empty. Returns the errors that were in it, by errno.
fn read_errors(socket: &Socket, buffers: &mut Buffers, queued: &mut Vec<QueuedError>) -> Vec<Errno> {
    let mut found = Vec::new();
    for _ in 0..ERRORS_A_TURN {
        let count = socket.receive(Queue::Errors, buffers).unwrap_or(0);
        for index in 0..count {
            if let Some((errno, error)) = QueuedError::read(socket, &buffers.get(index)) {
                found.push(errno);
                queued.extend(error);
            }
        }
        if count < BATCH {
            break;
        }
    }
    found
}

/// A packet of ours, if it is one: the identifier is checked here as well, for packets that came before the filter did.
fn decode<'a>(
    socket: &Socket,
    own_ident: u16,
    received: &Received<'a>,
    seen: Now,
    earliest: Mono,
) -> Option<Incoming<'a>> {
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
    (ident == own_ident).then_some(Incoming { from, ttl, stamped: received.stamped, seen, earliest, message })
}

fn watch(readiness: &Watched, socket: &Socket) -> Result<(), rustix::io::Errno> {
    let wanted = EventFlags::IN | EventFlags::ERR;
    epoll::add(readiness.fd(), socket.as_fd(), EventData::new_u64(0), wanted)
}

/// How many replies must find room in a receive buffer under this load: those of a stall, and at least the replies to one burst.
fn wanted_replies(load: Load) -> usize {
    const AT_LEAST: f64 = 256.0;
    (load.rate * STALL.as_secs_f64()).clamp(AT_LEAST, 1e6) as usize
}
