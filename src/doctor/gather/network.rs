//! Opens sockets as the daemon does, probes loopback once, and looks names up.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use nix::errno::Errno;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::CapabilitySet;

use super::super::facts::{Buffer, Family, Loopback, Names, Network, Opened, RefusedOption, WhyRefused};
use crate::clock;
use crate::config::Settings;
use crate::daemon;
use crate::icmp::engine::Load;
use crate::icmp::socket::{Buffers, Kind, OpenError, Queue, Socket};
use crate::icmp::wire::{self, HEADER_LEN, Packet};
use crate::monitor::identity::TargetId;
use crate::monitor::target::{Addr, Family as Wanted, Host, IpVersion, SocketOptions, Target};
use crate::monitor::{Lookup, SocketKey};
use crate::resolve::Resolver;

/// How long loopback may take to answer: microseconds are usual.
const LOOPBACK_WITHIN: Duration = Duration::from_secs(1);

/// How long all names together may take. Look-ups go on side by side.
const NAMES_WITHIN: Duration = Duration::from_secs(4);

/// A socket that little is received through.
const SMALL: usize = 4096;

pub(super) fn look(settings: Option<&Settings>) -> Network {
    // Without a runtime no socket can be opened; without descriptors there is none.
    let runtime = daemon::runtime();
    let _entered = runtime.as_ref().map(|runtime| runtime.enter());
    let targets = settings.map(|settings| &*settings.targets).unwrap_or_default();
    let family = |version| match &runtime {
        Ok(_) => family(version, targets),
        Err(error) => {
            Family { name: name(version), opened: Opened::Failed(error.to_string()), loopback: None, wanted: true }
        }
    };
    let families = [IpVersion::V4, IpVersion::V6].map(family);
    let can_open = families.iter().any(|family| matches!(family.opened, Opened::Raw | Opened::Datagram));
    Network {
        families: families.into(),
        cap_net_raw: rustix::thread::capabilities(None)
            .ok()
            .map(|sets| sets.effective.contains(CapabilitySet::NET_RAW)),
        ping_groups: read("net/ipv4/ping_group_range").and_then(|text| range(&text)),
        options: if can_open { options(targets) } else { Vec::new() },
        buffer: if can_open && !targets.is_empty() { buffer(targets) } else { None },
        ipv6_disabled: read("net/ipv6/conf/all/disable_ipv6").is_some_and(|text| text.trim() == "1"),
    }
}

fn name(version: IpVersion) -> &'static str {
    match version {
        IpVersion::V4 => "IPv4",
        IpVersion::V6 => "IPv6",
    }
}

fn family(version: IpVersion, targets: &[Arc<Target>]) -> Family {
    let (opened, loopback) = match open(version, SocketOptions::default(), SMALL) {
        Ok(socket) => {
            let kind = match socket.kind() {
                Kind::Raw => Opened::Raw,
                Kind::Datagram => Opened::Datagram,
            };
            (kind, Some(probe(&socket)))
        }
        Err(OpenError { errno: Errno::EPERM | Errno::EACCES, .. }) => {
            (Opened::Denied(Errno::EACCES.desc().to_owned()), None)
        }
        Err(OpenError { errno: Errno::EAFNOSUPPORT, .. }) => (Opened::Unsupported, None),
        Err(error) => (Opened::Failed(error.to_string()), None),
    };
    Family { name: name(version), opened, loopback, wanted: targets.iter().any(|target| wants(target, version)) }
}

fn open(version: IpVersion, options: SocketOptions, buffer: usize) -> Result<Socket, OpenError> {
    // Whatever identifier: what is not ours is told by it, and the kernel's filter does so.
    let mut ident = [0; 2];
    let _ = getrandom::fill(&mut ident);
    Socket::open(&SocketKey { version, options, variant: 0 }, u16::from_ne_bytes(ident), buffer)
}

/// Whether a target asks for this version and cannot do with another.
fn wants(target: &Target, version: IpVersion) -> bool {
    match (&target.host, target.family) {
        (Host::Address(addr), _) => addr.version() == version,
        (Host::Name(_), Wanted::Any) => version == IpVersion::V4,
        (Host::Name(_), family) => family.admits(version),
    }
}

/// One echo request to loopback, through this socket.
fn probe(socket: &Socket) -> Loopback {
    const SEQUENCE: u16 = 1;
    const ROOM: usize = 1024;
    let to: IpAddr = match socket.version() {
        IpVersion::V4 => Ipv4Addr::LOCALHOST.into(),
        IpVersion::V6 => Ipv6Addr::LOCALHOST.into(),
    };
    let mut packet = [0; HEADER_LEN + 56];
    wire::write_echo_request(socket.version(), socket.ident(), SEQUENCE, &mut packet);
    if let Err(errno) = socket.send(&packet, Addr::from(to)) {
        return Loopback::NotSent(errno.desc().to_owned());
    }
    let (mut buffers, until) = (Buffers::new(ROOM), clock::monotonic() + LOOPBACK_WITHIN);
    loop {
        while let Ok(received) = socket.receive(Queue::Packets, &mut buffers) {
            if (0..received).any(|index| is_reply(socket, buffers.get(index).bytes)) {
                return Loopback::Answered;
            }
        }
        let left = until - clock::monotonic();
        if left.is_zero() {
            return Loopback::Silent;
        }
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: i64::from(left.subsec_nanos()) };
        // What ends it early is noticed in the next turn.
        let _ = poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&left));
        // An ICMP error on the queue would wake it again and again.
        let _ = socket.receive(Queue::Errors, &mut buffers);
    }
}

fn is_reply(socket: &Socket, bytes: &[u8]) -> bool {
    let packet = match socket.version() {
        IpVersion::V4 => wire::decode_v4(bytes, socket.framing()),
        IpVersion::V6 => wire::decode_v6(bytes),
    };
    match packet {
        Some(Packet::EchoReply { ident, .. }) => ident == socket.ident(),
        Some(Packet::Error { .. }) | None => false,
    }
}

/// Each set of options that some target has and that cannot be had.
fn options(targets: &[Arc<Target>]) -> Vec<RefusedOption> {
    let mut sets: Vec<_> = targets.iter().map(|target| (&target.options, target)).collect();
    sets.sort_by_key(|(options, _)| *options);
    sets.dedup_by_key(|(options, _)| *options);
    let tried = sets.into_iter().filter(|(options, _)| **options != SocketOptions::default()).filter_map(
        |(options, target)| {
            let error = open(version_of(target), options.clone(), SMALL).err()?;
            let (option, why) = refusal(options, &error)?;
            Some(RefusedOption { target: target.name.to_string(), option, why })
        },
    );
    tried.collect()
}

fn version_of(target: &Target) -> IpVersion {
    let by_host = match &target.host {
        Host::Address(addr) => Some(addr.version()),
        Host::Name(_) => None,
    };
    let by_source = target.options.source.map(|source| Addr::from(source).version());
    let by_family = if target.family.admits(IpVersion::V4) { IpVersion::V4 } else { IpVersion::V6 };
    by_source.or(by_host).unwrap_or(by_family)
}

/// Which option it was; `None` where no socket of that kind can be had at all, which is told elsewhere.
fn refusal(options: &SocketOptions, error: &OpenError) -> Option<(String, WhyRefused)> {
    let interface = || options.interface.as_ref().map(|interface| format!("interface {:?}", interface.as_str()));
    let source = || options.source.map(|source| format!("source \"{source}\""));
    let mark = || options.mark.map(|mark| format!("mark {mark}"));
    let is_denied = [Errno::EPERM, Errno::EACCES].contains(&error.errno);
    if error.errno == Errno::ENODEV {
        Some((interface()?, WhyRefused::NoInterface))
    } else if error.errno == Errno::EADDRNOTAVAIL {
        Some((source()?, WhyRefused::NoAddress))
    } else if is_denied {
        let option = if error.step == "open" { interface()? } else { mark()? };
        Some((option, WhyRefused::NotPermitted))
    } else if error.errno == Errno::EAFNOSUPPORT {
        None
    } else {
        Some((interface().or_else(source).or_else(mark)?, WhyRefused::Other(error.to_string())))
    }
}

fn buffer(targets: &[Arc<Target>]) -> Option<Buffer> {
    let rate = targets.iter().map(|target| 1.0 / target.interval.as_secs_f64()).sum();
    let size = targets.iter().map(|target| usize::from(target.size)).max().unwrap_or(0);
    let load = Load { rate, size };
    let opened = [IpVersion::V4, IpVersion::V6].into_iter();
    let socket = opened.filter_map(|version| open(version, SocketOptions::default(), load.buffer()).ok()).next()?;
    Some(Buffer {
        rate,
        replies: load.held_by(socket.receive_buffer()),
        wanted: load.replies(),
        // The kernel grants twice what is asked for (socket(7)).
        needs: load.needs().div_ceil(2),
        rmem_max: read("net/core/rmem_max").and_then(|text| text.trim().parse().ok()),
    })
}

/// A kernel setting, where it can be read.
fn read(key: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/sys/{key}")).ok()
}

fn range(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Looks up every name that a target has, each once.
pub(super) fn names(targets: &[Arc<Target>]) -> Names {
    let hosts: BTreeSet<Arc<str>> = targets
        .iter()
        .filter_map(|target| match &target.host {
            Host::Name(name) => Some(Arc::clone(name)),
            Host::Address(_) => None,
        })
        .collect();
    let hosts: Vec<_> = hosts.into_iter().collect();
    let (tell, told) = mpsc::channel();
    let mut resolver = Resolver::new();
    for (index, host) in hosts.iter().enumerate() {
        let Some(target) = TargetId::new(index) else { break };
        let tell = tell.clone();
        // Nobody may be left to be told.
        resolver
            .look_up(Lookup { target, host: Arc::clone(host) }, move |target, found| drop(tell.send((target, found))));
    }
    drop(tell);
    let (mut waiting, mut failed) = (hosts.iter().collect::<BTreeSet<_>>(), Vec::new());
    let until = clock::monotonic() + NAMES_WITHIN;
    while !waiting.is_empty() {
        let (target, found) = match told.recv_timeout(until - clock::monotonic()) {
            Ok(told) => told,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        };
        let host = &hosts[target.index()];
        waiting.remove(host);
        if let Err(error) = found {
            failed.push((host.to_string(), error.to_string()));
        }
    }
    failed.sort();
    let silent = waiting.into_iter().map(ToString::to_string).collect();
    Names { asked: hosts.len(), failed, silent, within: NAMES_WITHIN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_groups_is_read_as_the_kernel_writes_it() {
        assert_eq!(range("0\t2147483647\n"), Some((0, 2_147_483_647)));
        assert_eq!(range("1\t0\n"), Some((1, 0)));
        assert_eq!(range(""), None);
    }
}
