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
use crate::monitor::target::{Addr, IpVersion};

/// A few replies of a few bytes.
const BUFFER: usize = 64 << 10;

/// The way to this host and back: over IPv4, or over IPv6 where that is refused.
#[derive(Debug, Default)]
pub(super) struct Loopback {
    socket: Option<Socket>,
    refused: Refused,
}

/// Over which protocol the last try was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Refused {
    #[default]
    V6,
    V4,
}

impl Loopback {
    /// The socket, once there is one.
    pub(super) fn socket(&self) -> Option<&Socket> {
        self.socket.as_ref()
    }

    /// Sends `packet`, an echo request but for its header.
    pub(super) fn send(&mut self, sequence: u16, packet: &mut [u8], shared: &mut Shared) -> Result<(), Errno> {
        let sent = self.try_to_send(sequence, packet, shared);
        if sent.is_err() {
            self.socket = None;
            self.refused = match self.refused {
                Refused::V4 => Refused::V6,
                Refused::V6 => Refused::V4,
            };
        }
        sent
    }

    fn try_to_send(&mut self, sequence: u16, packet: &mut [u8], shared: &mut Shared) -> Result<(), Errno> {
        let (version, ip): (_, IpAddr) = match self.refused {
            Refused::V6 => (IpVersion::V4, Ipv4Addr::LOCALHOST.into()),
            Refused::V4 => (IpVersion::V6, Ipv6Addr::LOCALHOST.into()),
        };
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => open(version, shared)?,
        };
        wire::write_echo_request(version, socket.ident(), sequence, packet);
        let sent = socket.send(packet, Addr::from(ip));
        self.socket = Some(socket);
        sent
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
