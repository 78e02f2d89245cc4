//! Sends probes and receives what comes back, through as few sockets as the targets' options allow: one for each set of options.
//!
//! It reports packets, errors and local drops with their stamps and judges nothing.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use rustix::event::epoll::{self, CreateFlags};
use rustix::fd::AsFd;

use super::ident::Idents;
use super::loopback::Loopback;
use super::slot::{self, Shared, Slot};
use super::socket::{Buffers, Kind, OpenError};
use super::wire::HEADER_LEN;
use crate::monitor::record::SendError;
use crate::monitor::sample::Message;
use crate::monitor::target::Addr;
use crate::monitor::time::{Mono, Now, Stamp, Wall};
use crate::monitor::{Probe, SocketId, SocketKey};
use crate::watch::Watched;

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
    shared: Shared,
    load: Load,
    packet: Vec<u8>,
    loopback: Loopback,
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
    pub earliest: Stamp,
    /// What it is.
    pub message: Message<'a>,
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
    /// The kernel dropped this many packets because a receive buffer was full. On a raw socket of IPv6 the number includes packets
    /// whose checksum was wrong: the kernel counts both as one.
    Dropped(u32),
}

impl Engine {
    /// An engine that will tell its probes from other processes' by identifiers from `ident` on. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// Those of epoll_create1(2): out of descriptors or memory.
    pub fn new(ident: u16) -> io::Result<Self> {
        let mut shared = Shared {
            readiness: Watched::new(epoll::create(CreateFlags::CLOEXEC)?)?,
            armed: true,
            idents: Idents::new(ident),
            buffer: *BUFFER.start(),
            buffers: Buffers::new(MIN_MESSAGE),
            errors: Vec::new(),
            departures: Vec::new(),
            notices: Vec::new(),
        };
        let loopback = Loopback::new(&mut shared.idents);
        Ok(Self { slots: Vec::new(), shared, load: Load { rate: 0.0, size: 0 }, packet: Vec::new(), loopback })
    }

    /// Prepares for a load: the sockets get buffers for it, as far as the system grants them.
    pub fn set_load(&mut self, load: Load) {
        self.load = load;
        self.shared.buffer = load.buffer();
        let message_len = (load.size + HEADERS).max(MIN_MESSAGE);
        if message_len != self.shared.buffers.message_len() {
            self.shared.buffers = Buffers::new(message_len);
        }
        for socket in self.slots.iter().flatten().flat_map(Slot::sockets) {
            socket.set_buffers(self.shared.buffer);
        }
        self.tell_of_small_buffers();
    }

    /// Whether [`Self::readable`] is to wake for what arrives, and the kernel to stamp what leaves. Under load it is cheaper to look at
    /// intervals, for what arrives is stamped either way, and to take the reading of the clock before each sending for its instant.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn set_armed(&mut self, armed: bool) -> io::Result<()> {
        if self.shared.armed == armed {
            return Ok(());
        }
        self.shared.armed = armed;
        let stamps = self.shared.transmit_stamps();
        for socket in self.slots.iter().flatten().flat_map(Slot::sockets) {
            let _ = socket.set_transmit_stamps(stamps);
            match armed {
                true => slot::watch(&self.shared.readiness, socket)?,
                false => epoll::delete(self.shared.readiness.fd(), socket.as_fd())?,
            }
        }
        Ok(())
    }

    /// Closes every socket that is not `used`.
    pub fn retain(&mut self, used: impl Fn(SocketId) -> bool) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if !used(SocketId(index)) {
                *slot = None;
            }
        }
    }

    /// Waits until something has arrived. Cancel safe.
    ///
    /// # Errors
    /// Only if the runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        self.shared.readiness.readable().await
    }

    /// Opens the socket of this number, unless it is open or was tried less than a second ago.
    ///
    /// # Errors
    /// What the kernel refused, at this try or the last one.
    pub fn open(&mut self, id: SocketId, key: &SocketKey, now: Stamp) -> Result<Kind, OpenError> {
        if self.slots.len() <= id.0 {
            self.slots.resize_with(id.0 + 1, || None);
        }
        let is_new = self.slots[id.0].is_none();
        let slot = self.slots[id.0].get_or_insert_with(|| Slot::new(key.clone(), now));
        let opened = slot.open(now.mono, &mut self.shared);
        if is_new {
            self.tell_of_small_buffers();
        }
        opened
    }

    /// Makes `probe` ready to be sent, before its time is taken: `write_payload` fills its payload.
    pub fn prepare(&mut self, probe: &Probe, write_payload: impl FnOnce(&mut [u8])) {
        self.packet.resize(HEADER_LEN + probe.size, 0);
        write_payload(&mut self.packet[HEADER_LEN..]);
    }

    /// Sends the probe prepared last. It tries once more where the first try met an error that is not this probe's, or a socket
    /// whose device or address has gone.
    ///
    /// # Errors
    /// Why the kernel refused.
    pub fn transmit(&mut self, probe: &Probe, now: Mono) -> Result<(), SendError> {
        let sent = match self.slots.get_mut(probe.socket.0) {
            Some(Some(slot)) => slot.send(probe, &mut self.packet, now, &mut self.shared),
            Some(None) | None => Err(Errno::EBADF),
        };
        sent.map_err(|errno| SendError { errno: errno as i32, text: errno.desc() })
    }

    /// Sends this host an echo request with this payload, through a socket of its own, where [`Self::receive_from_loopback`] finds the reply.
    /// The measurement does not notice: the socket has no target's identifier, and what leaves through it is not stamped.
    ///
    /// # Errors
    /// What the kernel refused over either protocol.
    pub fn send_to_loopback(&mut self, sequence: u16, payload: &[u8]) -> Result<(), Errno> {
        self.packet.resize(HEADER_LEN, 0);
        self.packet.extend_from_slice(payload);
        self.loopback.send(sequence, &mut self.packet, &mut self.shared)
    }

    /// What was sent to this host last got no answer: the next request goes over the other protocol, where that can be had. A host may be
    /// told to answer over neither, one or both.
    pub fn change_loopback(&mut self) {
        self.loopback.change();
    }

    /// Hands the kernel's stamps of what has left to `handle`, as far as they are asked for, with a reading of the clock after them.
    pub fn departures(&mut self, clock: impl Fn() -> Now, mut handle: impl FnMut(Wall, Stamp)) {
        if self.shared.armed {
            self.slots.iter().flatten().for_each(|slot| slot.read_departures(&mut self.shared));
        }
        if !self.shared.departures.is_empty() {
            let seen = clock().stamp();
            self.shared.departures.drain(..).for_each(|left| handle(left, seen));
        }
    }

    /// Hands everything that has arrived to `handle`, in the batches in which it was read. Returns a reading of the clock before which all
    /// that arrived has been handed out, on every socket.
    pub fn receive(&mut self, clock: impl Fn() -> Now, mut handle: impl FnMut(&[Incoming<'_>])) -> Stamp {
        let mut drained = clock().stamp();
        for slot in self.slots.iter_mut().flatten() {
            if let Some(emptied) = slot.receive(&mut self.shared, &clock, &mut handle)
                && emptied.mono < drained.mono
            {
                drained = emptied;
            }
        }
        if !self.shared.errors.is_empty() {
            let seen = clock();
            self.shared.errors.drain(..).for_each(|error| handle(&[error.incoming(seen)]));
        }
        drained
    }

    /// Hands what has come back from this host to `handle`. It is no target's, and a call to each socket: only for who awaits it.
    pub fn receive_from_loopback(&mut self, clock: impl Fn() -> Now, mut handle: impl FnMut(&[Incoming<'_>])) {
        let (now, others) = (clock().stamp(), self.shared.errors.len());
        for socket in self.loopback.sockets() {
            slot::receive_from(socket, now, &mut self.shared, &clock, &mut handle);
        }
        for error in self.shared.errors.drain(others..) {
            handle(&[error.incoming(clock())]);
        }
    }

    /// Whether something has come back from this host that was not read.
    pub fn has_unread_from_loopback(&self) -> bool {
        self.loopback.has_unread()
    }

    /// Reports every socket that has dropped something since this was called last.
    pub fn drops(&mut self, now: Mono, mut report: impl FnMut(SocketId)) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.as_mut().is_some_and(|slot| slot.has_dropped(now, &mut self.shared)) {
                report(SocketId(index));
            }
        }
    }

    /// Moves everything that the operator should know into `notices`.
    pub fn poll_notices(&mut self, notices: &mut Vec<Notice>) {
        notices.append(&mut self.shared.notices);
    }

    /// At every opening and change of load, if what the system grants is too little for the load: told once for all sockets.
    fn tell_of_small_buffers(&mut self) {
        let sockets = self.slots.iter().flatten().flat_map(Slot::sockets);
        let Some(granted) = sockets.map(|socket| socket.receive_buffer()).min() else { return };
        let (replies, wanted) = (self.load.held_by(granted), self.load.replies());
        let notice = Notice::SmallBuffer { replies, wanted };
        if replies < wanted && !self.shared.notices.contains(&notice) {
            self.shared.notices.push(notice);
        }
    }
}

impl Load {
    /// Size of the receive buffer to ask for, bytes.
    pub fn buffer(self) -> usize {
        self.needs().clamp(*BUFFER.start(), *BUFFER.end())
    }

    /// What the buffer is charged for the replies that must find room, bytes.
    pub fn needs(self) -> usize {
        self.replies() * self.charge()
    }

    /// How many replies find room in a receive buffer of this size, as [`super::socket::Socket::receive_buffer`] tells it.
    pub fn held_by(self, buffer: usize) -> usize {
        buffer / self.charge()
    }

    /// How many replies must find room in a receive buffer: those of a stall, and a few whatever the rate.
    pub fn replies(self) -> usize {
        (self.rate * STALL.as_secs_f64()).clamp(8.0, 1e6) as usize
    }

    /// What the buffer is charged for each, bytes.
    fn charge(self) -> usize {
        CHARGE + self.size
    }
}
