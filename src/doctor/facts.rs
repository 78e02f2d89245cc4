//! What was found on this machine, as plain data: the gatherer makes it, the judge reads it.
//!
//! What could not be found out is `None`, or says why: a sandbox hides much. Nothing here says what is good or bad.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that is judged.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facts {
    pub(super) whom: Whom,
    pub(super) configuration: Configuration,
    pub(super) network: Network,
    pub(super) places: Vec<Place>,
    pub(super) control: Option<Control>,
    pub(super) hooks: Vec<Hook>,
    pub(super) names: Names,
    pub(super) descriptors: Option<Descriptors>,
    pub(super) machine: Machine,
}

/// For whom it is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whom {
    /// The user's name, or its number where it has none.
    pub(super) user: String,
    /// By number, the main one first.
    pub(super) groups: Vec<u32>,
    pub(super) standing: Standing,
}

/// How it comes to be judged for that user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It runs as that user.
    Own,
    /// It runs as root and took the place of the service's user, with the capabilities that the service has.
    InPlace {
        /// Whether CAP_NET_RAW is one of them.
        net_raw: bool,
    },
    /// It runs as somebody who is neither root nor the user of the service that is installed here.
    Bystander {
        /// Whom the service runs as.
        service: String,
    },
    /// It runs as root and could not do so: it is judged for root.
    Refused {
        /// Whose place it wanted.
        wanted: String,
        error: String,
    },
}

/// The configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Configuration {
    /// There is none.
    Missing(PathBuf),
    /// It may not be read.
    Denied(PathBuf),
    /// It was not read in time.
    Hangs(PathBuf),
    /// It has mistakes.
    Bad {
        count: usize,
        /// With its place.
        first: String,
        path: PathBuf,
    },
    /// It can be used.
    Sound {
        path: PathBuf,
        files: usize,
        targets: usize,
        /// A file that everybody may read, where a webhook's address has a secret in it.
        exposed: Option<PathBuf>,
    },
}

impl Configuration {
    /// Where it is, or should be.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Missing(path) | Self::Denied(path) | Self::Hangs(path) => path,
            Self::Bad { path, .. } | Self::Sound { path, .. } => path,
        }
    }
}

/// A version of the internet protocol and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Family {
    /// `IPv4`, `IPv6`
    pub(super) name: &'static str,
    pub(super) opened: Opened,
    /// Whether a probe to this machine's own loopback was answered; `None` where none could be sent for want of a socket.
    pub(super) loopback: Option<Loopback>,
    /// Whether a target wants it by address or by `family`.
    pub(super) wanted: bool,
}

/// What became of opening an ICMP socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Opened {
    Raw,
    Datagram,
    /// Neither kind is allowed.
    Denied(String),
    /// The kernel has no such protocol here.
    Unsupported,
    Failed(String),
}

/// What became of a probe to loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Loopback {
    Answered,
    Silent,
    NotSent(String),
}

/// Sockets and what they are for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Network {
    pub(super) families: Vec<Family>,
    /// Whether CAP_NET_RAW is in effect.
    pub(super) cap_net_raw: Option<bool>,
    /// `net.ipv4.ping_group_range`, both included.
    pub(super) ping_groups: Option<(u32, u32)>,
    pub(super) options: Vec<RefusedOption>,
    pub(super) buffer: Option<Buffer>,
    /// Whether `disable_ipv6` is set for all interfaces.
    pub(super) ipv6_disabled: bool,
}

/// A set of socket options that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RefusedOption {
    /// The first target that has it.
    pub(super) target: String,
    /// `interface "eth9"`
    pub(super) option: String,
    pub(super) why: WhyRefused,
}

/// Why an option cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WhyRefused {
    NotPermitted,
    NoInterface,
    NoAddress,
    Other(String),
}

/// A receive buffer for the configured rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Buffer {
    /// Probes a second.
    pub(super) rate: f64,
    /// Replies that find room.
    pub(super) replies: usize,
    /// Replies that should.
    pub(super) wanted: usize,
    /// What `net.core.rmem_max` must be for that, bytes.
    pub(super) needs: usize,
    /// What it is.
    pub(super) rmem_max: Option<usize>,
}

/// What a file or directory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Log,
    Ledger,
    Diagnostics,
}

/// A directory that is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) role: Role,
    /// The directory.
    pub(super) dir: PathBuf,
    pub(super) state: PlaceState,
}

/// How a directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PlaceState {
    /// A look at it took too long.
    Hangs,
    /// Something else stands there.
    NotADirectory,
    /// It is not there.
    Missing {
        /// The nearest directory above it that is there.
        above: PathBuf,
        /// Why it cannot be made there.
        refused: Option<String>,
        /// Whether the service's unit has systemd make it.
        by_systemd: bool,
    },
    There(Directory),
}

/// A directory that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directory {
    /// Why it cannot be written to.
    pub(super) refused: Option<String>,
    /// Who owns it.
    pub(super) owner: String,
    /// Files of pingtest in it that cannot be written to.
    pub(super) foreign: Option<Foreign>,
    /// Whether the group adm cannot read it, to which the package opens it.
    pub(super) is_shut_to_adm: bool,
    /// A process that holds its lock.
    pub(super) held_by: Option<u32>,
    pub(super) volume: Option<Volume>,
}

/// Files of pingtest that cannot be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Foreign {
    pub(super) count: usize,
    /// One of them.
    pub(super) first: PathBuf,
    /// Whether pingtest does not start without one of them.
    pub(super) is_vital: bool,
}

/// A file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Volume {
    /// Its kind, where that is of note.
    pub(super) kind: Option<VolumeKind>,
    /// Bytes that whoever is not root may still write.
    pub(super) free: u64,
    /// Files that may still be made; `None` where there is no limit.
    pub(super) inodes: Option<u64>,
    /// How much more `log.max_total` allows to be written, bytes; `None` for no limit, or where there is no log.
    pub(super) budget: Option<u64>,
}

/// A kind of file system that is of note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VolumeKind {
    /// In memory.
    Memory,
    /// On another machine.
    Network,
    /// A container's own layer.
    Overlay,
}

/// The control socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) socket: PathBuf,
    pub(super) daemon: Daemon,
    /// The directory of the socket: why no socket can be made in it.
    pub(super) refused: Option<String>,
    /// `control.group` where there is no such group.
    pub(super) unknown_group: Option<String>,
}

/// Who answers on the control socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Daemon {
    Nobody,
    Answers {
        version: String,
        pid: Option<u32>,
    },
    /// Somebody listens who may not be asked, or does not answer.
    Unclear(String),
}

/// A hook's command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hook {
    pub(super) program: String,
    /// Why it cannot be run.
    pub(super) refused: Option<String>,
}

/// Names of targets, looked up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Names {
    pub(super) asked: usize,
    /// Those that lead nowhere, and the resolver's words.
    pub(super) failed: Vec<(String, String)>,
    /// Those without an answer in time.
    pub(super) silent: Vec<String>,
    /// How long they were given.
    pub(super) within: Duration,
}

/// File descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptors {
    /// The hard limit, to which pingtest raises the soft one.
    pub(super) limit: u64,
    /// Log files that it can keep open at a time under that.
    pub(super) files: u64,
    /// Log files that there are.
    pub(super) wanted: u64,
}

/// The rest of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Machine {
    /// Whether systemd is PID 1.
    pub(super) systemd: bool,
    /// Whether journald's socket is there.
    pub(super) journald: bool,
    pub(super) clock: Clock,
    pub(super) unit: Option<Unit>,
    /// By what a container is recognised.
    pub(super) container: Option<String>,
    /// Whether kernel settings can be changed from here at all.
    pub(super) sys_read_only: bool,
    /// How far a time namespace shifts the clocks, seconds: CLOCK_MONOTONIC, CLOCK_BOOTTIME.
    pub(super) time_offsets: Option<(i64, i64)>,
}

/// Whether the wall clock is kept right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Clock {
    Synchronised,
    Unsynchronised,
    Unknown(String),
}

/// What systemd says of the unit that the configuration belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Unit {
    /// `pingtest.service`, `pingtest@office.service`
    pub(super) name: String,
    /// `loaded`, `not-found`, `masked`, …
    pub(super) load: String,
    /// `active`, `inactive`, `failed`, …
    pub(super) active: String,
    /// More exactly: `running`, `auto-restart`, …
    pub(super) sub: String,
    /// `enabled`, `disabled`, …
    pub(super) file: String,
    /// Why it ended: `success`, `exit-code`, …
    pub(super) result: String,
    /// How its process ended last: `exit code 78`, `signal 6`; empty where it never did.
    pub(super) ended: String,
    /// How often systemd has started it anew by itself.
    pub(super) restarts: u64,
    pub(super) user: String,
    /// Whether its processes have CAP_NET_RAW.
    pub(super) net_raw: bool,
    /// Whether they have CAP_NET_ADMIN.
    pub(super) net_admin: bool,
    /// The hard limit on its file descriptors; `None` where systemd does not say.
    pub(super) descriptors: Option<u64>,
    /// `0` or `infinity` where there is none.
    pub(super) watchdog: String,
    /// `LOGS_DIRECTORY`, `STATE_DIRECTORY` and `RUNTIME_DIRECTORY` in its environment.
    pub(super) told: [Option<PathBuf>; 3],
    /// Directories that systemd makes for it, below /var/log, /var/lib and /run.
    pub(super) directories: Vec<PathBuf>,
    /// Whether its sandbox lets it write to nothing but these and `writable` (`ProtectSystem=strict`).
    pub(super) is_strict: bool,
    /// `ReadWritePaths=`
    pub(super) writable: Vec<PathBuf>,
    /// What else its sandbox closes.
    pub(super) closed: Vec<Closed>,
    /// Those of `directories` where something else stands, so that systemd does not start it.
    pub(super) misplaced: Vec<Misplaced>,
}

/// A path that a sandbox closes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) path: PathBuf,
    /// By which setting: `ProtectHome`, `ReadOnlyPaths`, …
    pub(super) by: &'static str,
    /// Whether nothing below it can be opened again, for it is not there at all.
    pub(super) is_hidden: bool,
}

/// What stands where systemd wants a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misplaced {
    pub(super) path: PathBuf,
    /// Where it leads, if it is a symbolic link.
    pub(super) link: Option<PathBuf>,
}

/// Why a sandbox forbids to write somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fence<'a> {
    /// Nothing opens it (`ProtectSystem=strict`).
    NotOpened,
    /// Something closes it.
    Closed(&'a Closed),
}

impl Unit {
    /// Why its sandbox does not have it write below this directory. As in systemd, the longest path counts, and of two settings for the
    /// same one that which closes it.
    pub(super) fn fence(&self, dir: &Path) -> Option<Fence<'_>> {
        let len = |path: &Path| path.components().count();
        let open = self.directories.iter().chain(&self.writable).filter(|open| dir.starts_with(open));
        let open = open.map(|open| len(open)).max();
        let closes = |closed: &&Closed| {
            dir.starts_with(&closed.path) && (closed.is_hidden || open.is_none_or(|open| open <= len(&closed.path)))
        };
        match self.closed.iter().filter(closes).max_by_key(|closed| len(&closed.path)) {
            Some(closed) => Some(Fence::Closed(closed)),
            None => (self.is_strict && open.is_none()).then_some(Fence::NotOpened),
        }
    }

    /// Whether this is one of its own directories, or in one.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.directories.iter().any(|dir| path.starts_with(dir))
    }

    /// Whether systemd knows it.
    pub(super) fn is_loaded(&self) -> bool {
        self.load == "loaded"
    }
}
