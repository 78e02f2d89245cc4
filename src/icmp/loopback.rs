//! Sockets for echo requests of our own to this host, one for each protocol: what comes back proves that what comes in is read.
//!
//! They are opened when first needed and kept, each with an identifier that is never another's. What the answer proves, and to whom, this
//! module does not know.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::errno::Errno;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;

use super::ident::{Ident, Idents};
use super::slot::{self, Shared};
use super::socket::Socket;
use super::wire;
use crate::monitor::SocketKey;
use crate::monitor::target::IpVersion;

/// A few replies of a few bytes.
const BUFFER: usize = 64 << 10;

/// The ways to this host and back; the first is tried first.
#[derive(Debug)]
pub(super) struct Loopback([Way; 2]);

/// Over one protocol.
#[derive(Debug)]
struct Way {
    version: IpVersion,
    ident: Ident,
    socket: Option<Socket>,
}

impl Loopback {
    pub(super) fn new(idents: &mut Idents) -> Self {
        Self([IpVersion::V4, IpVersion::V6].map(|version| Way { version, ident: idents.draw(), socket: None }))
    }

    /// The sockets that are open.
    pub(super) fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.0.iter().filter_map(|way| way.socket.as_ref())
    }

    /// Whether something came in that nobody has read.
    pub(super) fn has_unread(&self) -> bool {
        let is_readable = |socket: &Socket| {
            let mut asked = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
            let answered = poll(&mut asked, Some(&Timespec::default()));
            answered.is_ok() && asked[0].revents().contains(PollFlags::IN)
        };
        self.sockets().any(is_readable)
    }

    /// Tries the other protocol first from here on: what was sent last got no answer.
    pub(super) fn change(&mut self) {
        self.0.reverse();
    }

    /// Sends `packet`, an echo request but for its header, over whichever protocol takes it.
    ///
    /// # Errors
    /// Why both refused; what the second met.
    pub(super) fn send(&mut self, sequence: u16, packet: &mut [u8], shared: &mut Shared) -> Result<(), Errno> {
        let [first, second] = &mut self.0;
        first.send(sequence, packet, shared).or_else(|_| second.send(sequence, packet, shared))
    }
}

impl Way {
    fn send(&mut self, sequence: u16, packet: &mut [u8], shared: &mut Shared) -> Result<(), Errno> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.open(shared)?,
        };
        wire::write_echo_request(self.version, socket.ident(), sequence, packet);
        let ip: IpAddr = match self.version {
            IpVersion::V4 => Ipv4Addr::LOCALHOST.into(),
            IpVersion::V6 => Ipv6Addr::LOCALHOST.into(),
        };
        let sent = socket.send(packet, ip.into());
        self.socket = Some(socket);
        sent
    }

    /// It always wakes the loop, which under load looks by itself: a few packets in a minute.
    fn open(&self, shared: &Shared) -> Result<Socket, Errno> {
        let key = SocketKey { version: self.version, options: Default::default(), variant: 0 };
        let socket = Socket::open(&key, self.ident.number(), BUFFER).map_err(|error| error.errno)?;
        slot::watch(&shared.readiness, &socket).map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
        Ok(socket)
    }
}
