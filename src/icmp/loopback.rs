//! A socket for echo requests of our own to this host: what comes back proves that what comes in is read.
//!
//! It goes the way of every other socket from the kernel's queue to whoever is handed the packets. What the answer proves, and to whom,
//! this module does not know.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::errno::Errno;

use super::slot::{self, Shared};
use super::socket::Socket;
use super::wire;
use crate::monitor::SocketKey;
use crate::monitor::target::IpVersion;

/// A few replies of a few bytes.
const BUFFER: usize = 64 << 10;

/// The way to this host and back.
#[derive(Debug)]
pub(super) struct Loopback {
    socket: Option<Socket>,
    /// Something was sent and nothing came back yet.
    is_awaited: bool,
    /// Over which protocol it is tried first.
    first: IpVersion,
}

impl Default for Loopback {
    fn default() -> Self {
        Self { socket: None, is_awaited: false, first: IpVersion::V4 }
    }
}

impl Loopback {
    /// The socket, while an answer is to come: in between, reading it would cost each turn of the loop a call.
    pub(super) fn awaited(&self) -> Option<&Socket> {
        self.socket.as_ref().filter(|_| self.is_awaited)
    }

    /// The socket was read, and something had come or not.
    pub(super) fn handle_received(&mut self, has_come: bool) {
        self.is_awaited &= !has_come;
    }

    /// Tries the other protocol first from here on: what was sent last got no answer.
    pub(super) fn change(&mut self) {
        self.first = other(self.first);
    }

    /// Sends `packet`, an echo request but for its header, over whichever protocol takes it.
    ///
    /// # Errors
    /// Why both refused; what the second met.
    pub(super) fn send(&mut self, sequence: u16, packet: &mut [u8], shared: &mut Shared) -> Result<(), Errno> {
        let first = self.first;
        let mut send = |version| self.send_over(version, sequence, packet, shared);
        send(first).or_else(|_| send(other(first)))
    }

    fn send_over(
        &mut self,
        version: IpVersion,
        sequence: u16,
        packet: &mut [u8],
        shared: &mut Shared,
    ) -> Result<(), Errno> {
        let socket = match self.socket.take().filter(|socket| socket.version() == version) {
            Some(socket) => socket,
            None => open(version, shared)?,
        };
        wire::write_echo_request(version, socket.ident(), sequence, packet);
        let ip: IpAddr = match version {
            IpVersion::V4 => Ipv4Addr::LOCALHOST.into(),
            IpVersion::V6 => Ipv6Addr::LOCALHOST.into(),
        };
        socket.send(packet, ip.into())?;
        (self.socket, self.is_awaited) = (Some(socket), true);
        Ok(())
    }
}

fn other(version: IpVersion) -> IpVersion {
    match version {
        IpVersion::V4 => IpVersion::V6,
        IpVersion::V6 => IpVersion::V4,
    }
}

/// It always wakes the loop, which under load looks by itself: a few packets in a minute.
fn open(version: IpVersion, shared: &mut Shared) -> Result<Socket, Errno> {
    let ident = shared.next_ident;
    shared.next_ident = ident.wrapping_add(1);
    let key = SocketKey { version, options: Default::default(), variant: 0 };
    let socket = Socket::open(&key, ident, BUFFER).map_err(|error| error.errno)?;
    slot::watch(&shared.readiness, &socket).map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
    Ok(socket)
}
