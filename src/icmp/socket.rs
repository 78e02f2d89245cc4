//! One ICMP socket and what the kernel can tell through it: the only file that speaks to the kernel without a safe wrapper.
//!
//! surge-ping opens the socket; everything a ping monitor needs beyond an open socket is set and read beneath it: kernel receive
//! stamps, batched receive with control messages, packet filters, the error queue, the drop counter. No `Client`: its stamps are
//! taken in user space, it hides late and duplicate replies, and it sees no errors on datagram sockets.
//!
//! This module knows nothing of probes.

#![allow(unsafe_code, reason = "recvmmsg(2) with control messages and some socket options have no sound safe wrapper")]

use std::fmt;
use std::io::{self, IoSlice};
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, getsockname, sendmsg, setsockopt, sockopt,
};
use rustix::net::SendFlags;
use rustix::net::addr::SocketAddrArg;
use socket2::{SockFilter, SockRef, Type};
use surge_ping::{AsyncSocket, Config, ICMP};

use super::filter;
use super::wire::{Framing, kind};
use crate::monitor::SocketKey;
use crate::monitor::target::{Addr, Fragmentation, IpVersion, SocketOptions};
use crate::monitor::time::Wall;

/// Which kind of ICMP socket it is, and so who may open it and what comes through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// raw(7): needs CAP_NET_RAW. The identifier is ours to choose; errors arrive as packets.
    Raw,
    /// The ping socket of icmp(7): needs the group to be within `net.ipv4.ping_group_range`. The kernel sets the identifier, passes
    /// on our own replies only, and puts errors on the error queue.
    Datagram,
}

/// An open socket.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    version: IpVersion,
    kind: Kind,
    ident: u16,
    source: Option<IpAddr>,
}

/// A socket could not be opened or not be set up as its options ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {}", errno.desc())]
pub struct OpenError {
    /// What was tried: the option or call.
    pub step: &'static str,
    /// Why it failed.
    pub errno: Errno,
}

impl Socket {
    /// Opens a socket as `key` asks, raw if that is allowed, else datagram. `ident` is the identifier wanted, `buffer` the size of
    /// the receive and send buffers in bytes, as far as the system grants it. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// What the kernel refused, and why: EPERM or EACCES where neither kind is allowed, ENODEV for a missing interface,
    /// EADDRNOTAVAIL for a source that is not ours, EPERM for a mark without CAP_NET_ADMIN.
    pub fn open(key: &SocketKey, ident: u16, buffer: usize) -> Result<Self, OpenError> {
        let opened = match Self::open_as(key, Type::RAW, 0) {
            Ok((_, Type::DGRAM)) | Err(_) => Self::open_as(key, Type::DGRAM, ident).or_else(|error| {
                if error.errno == Errno::EADDRINUSE { Self::open_as(key, Type::DGRAM, 0) } else { Err(error) }
            }),
            raw => raw,
        };
        let (fd, socket_type) = opened?;
        let kind = if socket_type == Type::RAW { Kind::Raw } else { Kind::Datagram };
        let mut socket = Self { fd, version: key.version, kind, ident, source: key.options.source };
        socket.set_options(&key.options, buffer)?;
        match kind {
            Kind::Raw => socket.set_filters()?,
            Kind::Datagram => socket.ident = socket.bound_ident()?,
        }
        Ok(socket)
    }

    fn open_as(key: &SocketKey, socket_type: Type, ident: u16) -> Result<(OwnedFd, Type), OpenError> {
        let icmp = match key.version {
            IpVersion::V4 => ICMP::V4,
            IpVersion::V6 => ICMP::V6,
        };
        let mut config = Config::builder().kind(icmp).sock_type_hint(socket_type);
        if key.options.source.is_some() || socket_type == Type::DGRAM {
            config = config.bind(bind_address(key, ident));
        }
        if let Some(interface) = &key.options.interface {
            config = config.interface(interface.as_str());
        }
        if let Some(ttl) = key.options.ttl {
            config = config.ttl(ttl.into());
        }
        let opened = AsyncSocket::new(&config.build()).map_err(failed("open"))?;
        // SAFETY: `opened` owns the descriptor and outlives this borrow of it.
        let borrowed = unsafe { BorrowedFd::borrow_raw(opened.get_native_sock()) };
        // The duplicate is free of the runtime's registration, which ends with `opened`.
        let fd = borrowed.try_clone_to_owned().map_err(failed("dup"))?;
        Ok((fd, opened.get_type()))
    }

    fn set_options(&self, options: &SocketOptions, buffer: usize) -> Result<(), OpenError> {
        setsockopt(&self.fd, sockopt::ReceiveTimestampns, &true).map_err(refused("SO_TIMESTAMPNS"))?;
        self.set_buffers(buffer);
        if let Some(mark) = options.mark {
            setsockopt(&self.fd, sockopt::Mark, &mark).map_err(refused("SO_MARK"))?;
        }
        match self.version {
            IpVersion::V4 => self.set_v4_options(options),
            IpVersion::V6 => self.set_v6_options(options),
        }
    }

    fn set_v4_options(&self, options: &SocketOptions) -> Result<(), OpenError> {
        // Without it, raw sockets hide local drops (ENOBUFS) and datagram sockets hide ICMP errors.
        setsockopt(&self.fd, sockopt::Ipv4RecvErr, &true).map_err(refused("IP_RECVERR"))?;
        if self.kind == Kind::Datagram {
            setsockopt(&self.fd, sockopt::Ipv4RecvTtl, &true).map_err(refused("IP_RECVTTL"))?;
        }
        if let Some(dscp) = options.dscp {
            setsockopt(&self.fd, sockopt::Ipv4Tos, &tos(dscp)).map_err(refused("IP_TOS"))?;
        }
        match options.fragmentation {
            Fragmentation::Allowed => Ok(()),
            Fragmentation::Forbidden => {
                self.set(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &libc::IP_PMTUDISC_DO, "IP_MTU_DISCOVER")
            }
        }
    }

    fn set_v6_options(&self, options: &SocketOptions) -> Result<(), OpenError> {
        setsockopt(&self.fd, sockopt::Ipv6RecvErr, &true).map_err(refused("IPV6_RECVERR"))?;
        setsockopt(&self.fd, sockopt::Ipv6RecvHopLimit, &true).map_err(refused("IPV6_RECVHOPLIMIT"))?;
        if let Some(dscp) = options.dscp {
            setsockopt(&self.fd, sockopt::Ipv6TClass, &tos(dscp)).map_err(refused("IPV6_TCLASS"))?;
        }
        match options.fragmentation {
            Fragmentation::Allowed => Ok(()),
            Fragmentation::Forbidden => {
                setsockopt(&self.fd, sockopt::Ipv6DontFrag, &true).map_err(refused("IPV6_DONTFRAG"))?;
                let (level, name) = (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER);
                self.set(level, name, &libc::IPV6_PMTUDISC_DO, "IPV6_MTU_DISCOVER")
            }
        }
    }

    /// As large as asked, where CAP_NET_ADMIN allows; else up to `net.core.rmem_max` and `wmem_max`. What was granted,
    /// [`Self::receive_buffer`] tells.
    pub fn set_buffers(&self, bytes: usize) {
        if setsockopt(&self.fd, sockopt::RcvBufForce, &bytes).is_err() {
            let _ = setsockopt(&self.fd, sockopt::RcvBuf, &bytes);
        }
        if setsockopt(&self.fd, sockopt::SndBufForce, &bytes).is_err() {
            let _ = setsockopt(&self.fd, sockopt::SndBuf, &bytes);
        }
    }

    /// Whether the kernel is to stamp what leaves, just before the driver of the network device gets it
    /// (Documentation/networking/timestamping.rst). The stamps come through the error queue.
    ///
    /// # Errors
    /// EINVAL from kernels built without it.
    pub fn set_transmit_stamps(&self, wanted: TransmitStamps) -> Result<(), OpenError> {
        // The stamp alone, without the packet it belongs to.
        let all =
            libc::SOF_TIMESTAMPING_SOFTWARE | libc::SOF_TIMESTAMPING_TX_SOFTWARE | libc::SOF_TIMESTAMPING_OPT_TSONLY;
        let flags = match wanted {
            TransmitStamps::Wanted => all,
            TransmitStamps::Unwanted => 0,
        };
        self.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &flags, "SO_TIMESTAMPING")
    }

    /// By type before the packet is copied for us (raw(7), ICMP_FILTER: a set bit blocks), by identifier after that.
    fn set_filters(&self) -> Result<(), OpenError> {
        match self.version {
            IpVersion::V4 => {
                let passed = kind::V4_ERRORS.iter().fold(1 << kind::V4_ECHO_REPLY, |bits: u32, kind| bits | 1 << kind);
                self.set(libc::SOL_RAW, ICMP_FILTER, &!passed, "ICMP_FILTER")?;
            }
            IpVersion::V6 => {
                let mut blocked = [u32::MAX; 8];
                for kind in kind::V6_ERRORS.iter().chain([&kind::V6_ECHO_REPLY]) {
                    blocked[usize::from(kind / 32)] &= !(1 << (kind % 32));
                }
                self.set(libc::IPPROTO_ICMPV6, ICMP6_FILTER, &blocked, "ICMP6_FILTER")?;
            }
        }
        let program =
            filter::program(self.version, self.ident).map(|(code, jt, jf, k)| SockFilter::new(code, jt, jf, k));
        SockRef::from(&self.fd).attach_filter(&program).map_err(failed("SO_ATTACH_FILTER"))
    }

    fn bound_ident(&self) -> Result<u16, OpenError> {
        let name: SockaddrStorage = getsockname(self.fd.as_raw_fd()).map_err(refused("getsockname"))?;
        let v4 = name.as_sockaddr_in().map(SockaddrIn::port);
        Ok(v4.or(name.as_sockaddr_in6().map(SockaddrIn6::port)).unwrap_or(0))
    }

    fn set<T>(&self, level: i32, name: i32, value: &T, step: &'static str) -> Result<(), OpenError> {
        let len = mem::size_of::<T>() as libc::socklen_t;
        // SAFETY: `value` points to `len` readable bytes, and the kernel only reads them.
        let result = unsafe { libc::setsockopt(self.fd.as_raw_fd(), level, name, ptr::from_ref(value).cast(), len) };
        Errno::result(result).map(drop).map_err(refused(step))
    }

    /// The identifier its probes bear and its replies carry.
    pub fn ident(&self) -> u16 {
        self.ident
    }

    /// Raw or datagram.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// For which protocol.
    pub fn version(&self) -> IpVersion {
        self.version
    }

    /// How received messages are framed.
    pub fn framing(&self) -> Framing {
        match (self.kind, self.version) {
            (Kind::Raw, IpVersion::V4) => Framing::Ipv4Header,
            (Kind::Raw, IpVersion::V6) | (Kind::Datagram, IpVersion::V4 | IpVersion::V6) => Framing::Bare,
        }
    }

    /// Sends one packet at once.
    ///
    /// # Errors
    /// Those of sendto(2). On a datagram socket also an error that an earlier packet met on its way and that was not read off the
    /// error queue: then this packet was not sent and may be sent again.
    pub fn send(&self, packet: &[u8], to: Addr) -> Result<(), Errno> {
        loop {
            let sent = match (to.ip, self.source) {
                (IpAddr::V4(ip), _) => send_to(&self.fd, packet, &SocketAddrV4::new(ip, 0)),
                (IpAddr::V6(ip), Some(IpAddr::V6(source))) => {
                    send_from(&self.fd, packet, source, SocketAddrV6::new(ip, 0, 0, to.scope))
                }
                (IpAddr::V6(ip), Some(IpAddr::V4(_)) | None) => {
                    send_to(&self.fd, packet, &SocketAddrV6::new(ip, 0, 0, to.scope))
                }
            };
            match sent {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Reads what has arrived, up to the buffers' number of messages. Fewer than that means nothing: a pending error ends a batch.
    ///
    /// # Errors
    /// EAGAIN where there is nothing; else a pending error of the socket, which this call has cleared: the error queue tells more.
    pub fn receive(&self, queue: Queue, buffers: &mut Buffers) -> Result<usize, Errno> {
        let flags = match queue {
            Queue::Packets => libc::MSG_DONTWAIT,
            Queue::Errors => libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE,
        };
        buffers.receive(self.fd.as_fd(), flags)
    }

    /// How many packets the kernel has dropped because the receive buffer was full, since the socket was opened (SO_MEMINFO). On a
    /// raw socket of IPv6 also those whose checksum was wrong, whoever they were for.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn drops(&self) -> Result<u32, Errno> {
        let mut info = [0_u32; libc::SK_MEMINFO_DROPS as usize + 1];
        let mut len = mem::size_of_val(&info) as libc::socklen_t;
        let (fd, value) = (self.fd.as_raw_fd(), info.as_mut_ptr().cast());
        // SAFETY: `value` points to `len` writable bytes; the kernel writes no more and sets `len` to what it wrote.
        Errno::result(unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, value, &mut len) })?;
        Ok(info[libc::SK_MEMINFO_DROPS as usize])
    }

    /// Size of the receive buffer as the kernel accounts it, bytes (socket(7): twice what was asked for).
    pub fn receive_buffer(&self) -> usize {
        nix::sys::socket::getsockopt(&self.fd, sockopt::RcvBuf).unwrap_or(0)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Sends from an address that the packet itself names (ipv6(7), IPV6_PKTINFO), which the kernel holds against the addresses it has:
/// EINVAL where it is not among them. To whom a socket is bound, it looks only once in IPv6, and goes on sending from an address that
/// has gone.
fn send_from(fd: &OwnedFd, packet: &[u8], source: Ipv6Addr, to: SocketAddrV6) -> Result<usize, Errno> {
    let info = libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: source.octets() }, ipi6_ifindex: 0 };
    let controls = [ControlMessage::Ipv6PacketInfo(&info)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    sendmsg(fd.as_raw_fd(), &[IoSlice::new(packet)], &controls, flags, Some(&SockaddrIn6::from(to)))
}

/// Through rustix, which makes the system call without the C library's point of cancellation: this is called for each probe.
fn send_to(fd: &OwnedFd, packet: &[u8], to: &impl SocketAddrArg) -> Result<usize, Errno> {
    let sent = rustix::net::sendto(fd, packet, SendFlags::DONTWAIT | SendFlags::NOSIGNAL, to);
    sent.map_err(|errno| Errno::from_raw(errno.raw_os_error()))
}

// linux/icmp.h and linux/icmpv6.h; the libc crate has neither.
const ICMP_FILTER: i32 = 1;
const ICMP6_FILTER: i32 = 1;

/// The six bits of the code point stand above the two of ECN (RFC 2474, RFC 3168).
fn tos(dscp: u8) -> i32 {
    i32::from(dscp) << 2
}

/// A datagram socket's "port" is its identifier.
fn bind_address(key: &SocketKey, ident: u16) -> SocketAddr {
    let unspecified: IpAddr = match key.version {
        IpVersion::V4 => Ipv4Addr::UNSPECIFIED.into(),
        IpVersion::V6 => Ipv6Addr::UNSPECIFIED.into(),
    };
    match key.options.source.unwrap_or(unspecified) {
        IpAddr::V4(ip) => SocketAddrV4::new(ip, ident).into(),
        IpAddr::V6(ip) => {
            let interface = key.options.interface.as_ref().filter(|_| ip.is_unicast_link_local());
            let scope = interface.and_then(|name| nix::net::if_::if_nametoindex(name.as_str()).ok());
            SocketAddrV6::new(ip, ident, 0, scope.unwrap_or(0)).into()
        }
    }
}

fn failed(step: &'static str) -> impl Fn(io::Error) -> OpenError {
    move |error| {
        // surge-ping words a refusal itself and drops the errno.
        let by_kind = if error.kind() == io::ErrorKind::PermissionDenied { Errno::EACCES } else { Errno::EIO };
        OpenError { step, errno: error.raw_os_error().map_or(by_kind, Errno::from_raw) }
    }
}

fn refused(step: &'static str) -> impl Fn(Errno) -> OpenError {
    move |errno| OpenError { step, errno }
}

/// Whether the kernel is asked when packets leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransmitStamps {
    /// It is, which costs a message on the error queue each.
    Wanted,
    /// It is not.
    Unwanted,
}

/// Which queue of a socket to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// What arrived.
    Packets,
    /// What went wrong with packets sent earlier (ip(7), IP_RECVERR).
    Errors,
}

/// How many messages one call reads: what a grid step brings at 10,000 probes a second.
pub const BATCH: usize = 64;

/// Space for one message's control data: a time stamp, a hop limit, an extended error with its offender, rounded up.
const CONTROL_LEN: usize = 192;

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

/// Room for a batch of messages.
pub struct Buffers {
    data: Vec<u8>,
    message_len: usize,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    headers: Vec<libc::mmsghdr>,
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers").field("message_len", &self.message_len).finish_non_exhaustive()
    }
}

/// One message of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Received<'a> {
    /// Its bytes, as many as there was room for.
    pub bytes: &'a [u8],
    /// Its sender; in the error queue, where the packet that met the error was going.
    pub from: Option<Addr>,
    /// When it arrived, by the kernel (SO_TIMESTAMPNS); in the error queue, of a packet that left, when it did.
    pub stamped: Option<Wall>,
    /// Its time to live or hop limit.
    pub hops: Option<u8>,
    /// In the error queue: what went wrong.
    pub offence: Option<Offence>,
}

/// What the error queue tells of an error (ip(7), `struct sock_extended_err`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offence {
    /// errno(3).
    pub errno: i32,
    /// Whether an ICMP message told of it or this host noticed by itself.
    pub origin: Origin,
    /// ICMP type.
    pub kind: u8,
    /// ICMP code.
    pub code: u8,
    /// MTU or pointer.
    pub info: u32,
    /// Who sent the ICMP message.
    pub offender: Option<Addr>,
}

/// Where an error comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An ICMP message.
    Icmp,
    /// An ICMPv6 message.
    Icmpv6,
    /// This host.
    Local,
    /// No error at all: the packet left.
    Departure,
}

impl Buffers {
    /// Room for [`BATCH`] messages of `message_len` bytes each.
    pub fn new(message_len: usize) -> Self {
        // SAFETY: all-zero bytes are a valid sockaddr_storage and a valid mmsghdr with null pointers.
        let (name, header) = unsafe { (mem::zeroed(), mem::zeroed()) };
        Self {
            data: vec![0; message_len * BATCH],
            message_len,
            names: vec![name; BATCH],
            controls: vec![Control([0; CONTROL_LEN]); BATCH],
            headers: vec![header; BATCH],
        }
    }

    /// Bytes of one message there is room for.
    pub fn message_len(&self) -> usize {
        self.message_len
    }

    fn receive(&mut self, fd: BorrowedFd<'_>, flags: i32) -> Result<usize, Errno> {
        let mut vectors = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH];
        let rooms = self.data.chunks_exact_mut(self.message_len).zip(&mut self.names).zip(&mut self.controls);
        for ((header, vector), ((data, name), control)) in self.headers.iter_mut().zip(&mut vectors).zip(rooms) {
            *vector = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
            header.msg_hdr.msg_name = ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            // Its type, and that of the flags below, is not the same in every C library.
            header.msg_hdr.msg_controllen = CONTROL_LEN as _;
            header.msg_hdr.msg_flags = 0;
        }
        let (headers, count) = (self.headers.as_mut_ptr(), BATCH as libc::c_uint);
        // SAFETY: `headers` points to `count` headers whose every pointer was set above to memory of the length set beside it,
        // which lives until after the call; with no timeout the kernel keeps none of them.
        let received = unsafe { libc::recvmmsg(fd.as_raw_fd(), headers, count, flags as _, ptr::null_mut()) };
        Errno::result(received).map(|received| received as usize)
    }

    /// The `index`th message of the batch read last.
    pub fn get(&self, index: usize) -> Received<'_> {
        let header = &self.headers[index];
        let start = index * self.message_len;
        let len = (header.msg_len as usize).min(self.message_len);
        let name_len = (header.msg_hdr.msg_namelen as usize).min(mem::size_of::<libc::sockaddr_storage>());
        let mut received = Received {
            bytes: &self.data[start..start + len],
            from: read_address(&bytes_of(&self.names[index])[..name_len]),
            stamped: None,
            hops: None,
            offence: None,
        };
        let control_len = (header.msg_hdr.msg_controllen as u64).min(CONTROL_LEN as u64) as usize;
        for (level, kind, data) in ControlMessages(&self.controls[index].0[..control_len]) {
            received.read_control(level, kind, data);
        }
        received
    }
}

impl Received<'_> {
    fn read_control(&mut self, level: i32, kind: i32, data: &[u8]) {
        match (level, kind) {
            // `struct scm_timestamping` begins with the stamp by software.
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS | libc::SCM_TIMESTAMPING) => self.stamped = read_timespec(data),
            (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                self.hops = read_i32(data, 0).and_then(|hops| u8::try_from(hops).ok());
            }
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                self.offence = read_offence(data);
            }
            _ => {}
        }
    }
}

/// The control messages of one message (cmsg(3)): a header of length, level and type, the data, padding to eight bytes.
struct ControlMessages<'a>(&'a [u8]);

impl<'a> Iterator for ControlMessages<'a> {
    type Item = (i32, i32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        const HEADER_LEN: usize = mem::size_of::<libc::cmsghdr>();
        const ALIGN: usize = mem::size_of::<usize>();
        let len = usize::from_ne_bytes(*self.0.first_chunk()?);
        let (level, kind) = (read_i32(self.0, ALIGN)?, read_i32(self.0, ALIGN + 4)?);
        let data = self.0.get(HEADER_LEN..len)?;
        self.0 = self.0.get(len.next_multiple_of(ALIGN)..).unwrap_or_default();
        Some((level, kind, data))
    }
}

fn read_i32(data: &[u8], at: usize) -> Option<i32> {
    data.get(at..)?.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes))
}

// The control messages and time stamps read here are those of a 64-bit system.
const _: () = assert!(mem::size_of::<libc::timespec>() == 16 && mem::size_of::<usize>() == 8, "64-bit Linux only");

fn read_timespec(data: &[u8]) -> Option<Wall> {
    let (seconds, rest) = data.split_first_chunk()?;
    let (seconds, nanos) = (i64::from_ne_bytes(*seconds), i64::from_ne_bytes(*rest.first_chunk()?));
    Some(Wall::from_nanos(seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?))
}

/// `struct sock_extended_err`: errno, origin, type, code, padding, info, data; then the offender's address.
fn read_offence(data: &[u8]) -> Option<Offence> {
    let (errno, rest) = data.split_first_chunk()?;
    let &[origin, kind, code, _, a, b, c, d, _, _, _, _, ref offender @ ..] = rest else { return None };
    let origin = match origin {
        libc::SO_EE_ORIGIN_ICMP => Origin::Icmp,
        libc::SO_EE_ORIGIN_ICMP6 => Origin::Icmpv6,
        libc::SO_EE_ORIGIN_TIMESTAMPING => Origin::Departure,
        _ => Origin::Local,
    };
    let (errno, info) = (i32::from_ne_bytes(*errno), u32::from_ne_bytes([a, b, c, d]));
    Some(Offence { errno, origin, kind, code, info, offender: read_address(offender) })
}

/// `struct sockaddr_in` or `sockaddr_in6`: family, port, then in IPv6 the flow, the address, in IPv6 the scope.
fn read_address(data: &[u8]) -> Option<Addr> {
    let (family, rest) = data.split_first_chunk()?;
    match i32::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET => rest.get(2..)?.first_chunk::<4>().map(|ip| Ipv4Addr::from(*ip).into()),
        libc::AF_INET6 => {
            let (ip, rest) = rest.get(6..)?.split_first_chunk::<16>()?;
            let scope = u32::from_ne_bytes(*rest.first_chunk()?);
            Some(Addr { ip: Ipv6Addr::from(*ip).into(), scope })
        }
        _ => None,
    }
}

fn bytes_of(name: &libc::sockaddr_storage) -> &[u8] {
    // SAFETY: the storage was zeroed when it was made, so each of its bytes is initialised, and any byte is a valid u8.
    unsafe { std::slice::from_raw_parts(ptr::from_ref(name).cast(), mem::size_of::<libc::sockaddr_storage>()) }
}
