//! Settings as used: every value valid by its type, every default filled in, every target with a name of its own.
//!
//! The last stage: it takes files as written (`file`), applies the rule of each value (`value`), lets a target inherit
//! from `[defaults]`, and judges what values owe one another. It reads no file and no environment. What is
//! written, and where, is settled in `log`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::error::{Place, Problem};
use super::file::{self, File};
use super::reader::{Field, Written};
use super::value::{self, Families};
use crate::monitor::inflight::WAIT_AT_MOST;
use crate::monitor::outage::Rules;
use crate::monitor::schedule::stable_phase;
use crate::monitor::target::{Addr, Family, Fragmentation, Host, Interface, IpVersion, Name, SocketOptions, Target};

mod judging;
mod keeping;
mod log;
mod names;
mod parents;

pub use judging::DEFAULT_DEGRADED_FOR;
pub use keeping::{
    Action, Control, DEFAULT_HOOK_TIMEOUT, DEFAULT_KEEP_MINUTES, DEFAULT_LEDGER, DEFAULT_SOCKET, Hook, Ledger, Trigger,
};
pub(super) use keeping::{control, hooks, ledger};
pub use log::{
    Compress, DEFAULT_KEEP, DEFAULT_LEVEL, DEFAULT_LOG_DIR, DEFAULT_MAX_SIZE, DEFAULT_MAX_TOTAL, DEFAULT_TIME_FORMAT,
    Diagnostics, Format, Layout, Log, Rotate,
};
pub(super) use log::{diagnostics, log};

use judging::{Judging, Shared};
use names::{Names, SUFFIXES, name, name_or_default, with_suffix};
use parents::Child;

/// Time between two probes of a target that does not say.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
/// How long a probe may stay unanswered where nobody says.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
/// Payload in bytes where nobody says: ping(8)'s, for lines of 64 bytes with the ICMP header.
pub const DEFAULT_SIZE: u16 = 56;
/// Time between two look-ups of a name where nobody says.
pub const DEFAULT_RESOLVE_EVERY: Duration = Duration::from_secs(60);

/// Time between two looks at the default route where nobody says: one takes microseconds and asks nobody.
pub const DEFAULT_GATEWAY_EVERY: Duration = Duration::from_secs(5);

/// Time between two look-ups of `host` where nobody says.
pub fn default_resolve_every(host: &Host) -> Duration {
    if value::is_gateway(host) { DEFAULT_GATEWAY_EVERY } else { DEFAULT_RESOLVE_EVERY }
}

/// A whole configuration, ready for use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// At least one, with unique names, in the order of the files.
    pub targets: Vec<Arc<Target>>,
    /// Where and how records are written.
    pub log: Log,
    /// What the program says of itself.
    pub diagnostics: Diagnostics,
    /// What is remembered.
    pub ledger: Ledger,
    /// Who may ask.
    pub control: Control,
    /// Who is told.
    pub hooks: Vec<Hook>,
    /// The files that were read, the main one first.
    pub files: Vec<PathBuf>,
}

/// The targets of a configuration.
pub(super) struct Targets {
    pub(super) all: Vec<Arc<Target>>,
    pub(super) names: Names,
}

/// Every target of `files`, in their order; all inherit from `defaults`. With `has_gaps` there may be targets in files that could
/// not be read.
pub(super) fn targets(
    defaults: file::Probing,
    files: Vec<File>,
    has_gaps: bool,
    problems: &mut Vec<Problem>,
) -> Targets {
    let defaults = Probing::checked(defaults, problems);
    let mut names = Names::new(has_gaps);
    let written = files.into_iter().flat_map(|file| file.targets);
    let mut rules = Shared::new(defaults.judging.rules());
    let children: Vec<_> =
        written.flat_map(|written| target(written, &defaults, &mut names, &mut rules, problems)).collect();
    Targets { all: parents::settle(children, &names, rules, problems), names }
}

/// What one `[[target]]` becomes: one target, two where its family is `both`, none where its host or name is no good.
fn target(
    written: file::Target,
    defaults: &Probing,
    names: &mut Names,
    rules: &mut Shared,
    problems: &mut Vec<Problem>,
) -> Vec<Child> {
    if matches!(written.host, Field::Unset) {
        problems.push(written.place.problem("is missing: write an address or a host name"));
    }
    let host = written.host.check(|text| value::host(&text), problems);
    let name = written.name.check(|text| name(&text), problems);
    let own = Probing::checked(written.probing, problems);
    let probing = own.or(defaults);
    problems.extend(overlap_problem(&probing));
    problems.extend(suspect_problem(&own, &probing));
    let literal = host.written().and_then(Literal::of);
    if let Some(literal) = &literal {
        problems.extend(literal.family_problem(&own, &probing));
        problems.extend(literal.zone_problem(&probing));
        problems.extend(literal.source_problem(&own, &probing));
    } else {
        problems.extend(source_problem(&own, &probing));
    }
    let name = name_or_default(name, &host, problems);
    let legs = name.as_ref().map(|name| legs(name, &probing, problems)).unwrap_or_default();
    names.has_gaps |= legs.is_empty();
    let Some(name) = name else { return Vec::new() };
    names.reserve(&name, &legs, problems);
    let Some(host) = host.value() else { return Vec::new() };
    let rules = rules.of(probing.judging.rules());
    let child = |(leg, family)| Child {
        parent: probing.judging.parent_of([&name.value, &leg], &own.judging),
        target: probing.target(leg, host.clone(), family, Arc::clone(&rules)),
    };
    legs.into_iter().map(child).collect()
}

/// How to probe, each value checked by itself. Only what other values may contradict keeps its place.
#[derive(Debug)]
struct Probing {
    interval: Field<Duration>,
    timeout: Field<Duration>,
    size: Option<u16>,
    family: Field<Families>,
    ttl: Option<u8>,
    dscp: Option<u8>,
    fragmentation: Option<Fragmentation>,
    source: Field<IpAddr>,
    interface: Field<Interface>,
    mark: Option<u32>,
    resolve_every: Option<Duration>,
    judging: Judging,
}

impl Probing {
    fn checked(written: file::Probing, problems: &mut Vec<Problem>) -> Self {
        Self {
            interval: written.interval.check(|text| value::interval(&text), problems),
            timeout: written.timeout.check(|text| value::timeout(&text), problems),
            size: written.size.check(value::size, problems).into_value(),
            family: written.family.check(|text| value::family(&text), problems),
            ttl: written.ttl.check(value::ttl, problems).into_value(),
            dscp: written.dscp.check(value::dscp, problems).into_value(),
            fragmentation: written.dont_fragment.into_value().map(fragmentation),
            source: written.source.check(|text| value::source(&text), problems),
            interface: written.interface.check(|text| value::interface(&text), problems),
            mark: written.mark.check(value::mark, problems).into_value(),
            resolve_every: written.resolve_every.check(|text| value::resolve_every(&text), problems).into_value(),
            judging: Judging::checked(written.judging, problems),
        }
    }

    fn or(&self, inherited: &Self) -> Self {
        Self {
            interval: self.interval.or(&inherited.interval).clone(),
            timeout: self.timeout.or(&inherited.timeout).clone(),
            size: self.size.or(inherited.size),
            family: self.family.or(&inherited.family).clone(),
            ttl: self.ttl.or(inherited.ttl),
            dscp: self.dscp.or(inherited.dscp),
            fragmentation: self.fragmentation.or(inherited.fragmentation),
            source: self.source.or(&inherited.source).clone(),
            interface: self.interface.or(&inherited.interface).clone(),
            mark: self.mark.or(inherited.mark),
            resolve_every: self.resolve_every.or(inherited.resolve_every),
            judging: self.judging.or(&inherited.judging),
        }
    }

    fn interval(&self) -> Duration {
        self.interval.value().copied().unwrap_or(DEFAULT_INTERVAL)
    }

    /// The target, as yet without a parent.
    fn target(&self, name: Name, host: Host, family: Family, rules: Arc<Rules>) -> Target {
        let interval = self.interval();
        Target {
            phase: stable_phase(name.as_str(), interval),
            name,
            resolve_every: self.resolve_every.unwrap_or_else(|| default_resolve_every(&host)),
            host: value::through(&host, self.interface.value()),
            family,
            interval,
            timeout: self.timeout.value().copied().unwrap_or(DEFAULT_TIMEOUT),
            size: self.size.unwrap_or(DEFAULT_SIZE),
            options: SocketOptions {
                ttl: self.ttl,
                dscp: self.dscp,
                fragmentation: self.fragmentation.unwrap_or_default(),
                source: self.source.value().copied(),
                interface: self.interface.value().cloned(),
                mark: self.mark,
            },
            count: None,
            rules,
        }
    }
}

fn fragmentation(dont_fragment: bool) -> Fragmentation {
    if dont_fragment { Fragmentation::Forbidden } else { Fragmentation::Allowed }
}

/// A host that is an address, with or without a zone, and so has a version which other values may contradict.
struct Literal<'a> {
    place: &'a Place,
    ip: IpAddr,
    has_zone: bool,
}

impl<'a> Literal<'a> {
    fn of(host: &'a Written<Host>) -> Option<Self> {
        let (ip, has_zone) = match &host.value {
            Host::Address(addr) => (addr.ip, false),
            Host::Name(name) => (IpAddr::V6(value::zoned(name)?), true),
        };
        Some(Self { place: &host.place, ip, has_zone })
    }

    /// A family that excludes the address. Told where the target says something of its own.
    fn family_problem(&self, own: &Probing, probing: &Probing) -> Option<Problem> {
        let family = probing.family.written()?;
        let version = version(self.ip);
        if matches!(family.value, Families::One(family) if family.admits(version)) {
            return None;
        }
        Some(match own.family {
            Field::Set(_) => {
                let reason = format!("does not go with an {} address: write \"any\"", spelled(version));
                family.place.problem(reason)
            }
            Field::Unset | Field::Refused => {
                let reason = format!(
                    "is an {} address, which {} does not admit: add family = \"any\"",
                    spelled(version),
                    family.place.quoted()
                );
                self.place.problem(reason)
            }
        })
    }

    /// A source of the other version.
    fn source_problem(&self, own: &Probing, probing: &Probing) -> Option<Problem> {
        let source = probing.source.written()?;
        let version = version(self.ip);
        if version == self::version(source.value) {
            return None;
        }
        let version = spelled(version);
        Some(match own.source {
            Field::Set(_) => source.place.problem(format!("must be an {version} address, as the host is")),
            Field::Unset | Field::Refused => {
                let reason = format!("is an {version} address and cannot be probed from {}", source.place.quoted());
                self.place.problem(reason)
            }
        })
    }

    /// A link-local address that every interface might have: the kernel refuses to send to it (EINVAL).
    fn zone_problem(&self, probing: &Probing) -> Option<Problem> {
        let IpAddr::V6(ip) = self.ip else { return None };
        let ambiguous = ip.is_unicast_link_local() && !self.has_zone && matches!(probing.interface, Field::Unset);
        ambiguous.then(|| self.place.problem(format!("is link-local: write its zone, such as \"{ip}%eth0\"")))
    }
}

/// A source that the family excludes, for a host that is a name. Told where the target says something of its own.
fn source_problem(own: &Probing, probing: &Probing) -> Option<Problem> {
    let (source, family) = (probing.source.written()?, probing.family.written()?);
    if matches!(family.value, Families::One(family) if family.admits(version(source.value))) {
        return None;
    }
    let (here, there) = match (&own.source, &own.family) {
        (Field::Unset, Field::Set(_)) => (&family.place, &source.place),
        (Field::Unset | Field::Refused | Field::Set(_), _) => (&source.place, &family.place),
    };
    Some(here.problem(format!("does not go with {}", there.quoted())))
}

/// More probes in flight than there are sequence numbers on the wire to tell their replies apart.
fn overlap_problem(probing: &Probing) -> Option<Problem> {
    let timeout = probing.timeout.written()?;
    let (pace, named) = probing.judging.shortest_pace(probing.interval());
    let longest = pace * WAIT_AT_MOST;
    (timeout.value > longest).then(|| {
        let reason = format!("must be at most {WAIT_AT_MOST} {named}, {} s here", longest.as_secs());
        timeout.place.problem(reason)
    })
}

/// A `suspect_interval` that makes nothing faster. Told where the target says something of its own.
fn suspect_problem(own: &Probing, probing: &Probing) -> Option<Problem> {
    let suspect = probing.judging.suspect_interval.written()?;
    let interval = probing.interval();
    if suspect.value? < interval {
        return None;
    }
    Some(match (&own.judging.suspect_interval, &own.interval) {
        (Field::Unset, Field::Set(interval)) => {
            let reason = format!("must be more than {}: or add suspect_interval = \"off\"", suspect.place.quoted());
            interval.place.problem(reason)
        }
        (Field::Unset | Field::Refused | Field::Set(_), _) => {
            let reason = format!("must be less than the interval, which is \"{}\" here", value::spelled(interval));
            suspect.place.problem(reason)
        }
    })
}

fn version(ip: IpAddr) -> IpVersion {
    Addr::from(ip).version()
}

fn spelled(version: IpVersion) -> &'static str {
    match version {
        IpVersion::V4 => "IPv4",
        IpVersion::V6 => "IPv6",
    }
}

/// The targets that one `[[target]]` stands for, by name and family.
fn legs(name: &Written<Name>, probing: &Probing, problems: &mut Vec<Problem>) -> Vec<(Name, Family)> {
    match (probing.family.value(), probing.source.value()) {
        (Some(Families::Both), _) => {
            let leg = |&(suffix, family): &(_, _)| Some((with_suffix(&name.value, suffix)?, family));
            let legs: Vec<_> = SUFFIXES.iter().filter_map(leg).collect();
            if legs.is_empty() {
                let reason = format!("must leave room for \".ipv4\": a name has at most {} characters", Name::MAX_LEN);
                problems.push(name.place.problem(reason));
            }
            legs
        }
        (Some(Families::One(Family::Any)) | None, Some(source)) => vec![(name.value.clone(), family_of(*source))],
        (Some(Families::One(family)), _) => vec![(name.value.clone(), *family)],
        (None, None) => vec![(name.value.clone(), Family::Any)],
    }
}

/// A source address reaches its own family only: where any would do, this one is meant.
fn family_of(source: IpAddr) -> Family {
    match version(source) {
        IpVersion::V4 => Family::Ipv4,
        IpVersion::V6 => Family::Ipv6,
    }
}
