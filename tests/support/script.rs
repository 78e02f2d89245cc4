//! What a scenario file may hold, and the network that does as it says. `tests/scenarios/README.md` tells it to people.

#![allow(dead_code, reason = "each test that includes this file uses its part of it")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use pingtest::config::value::{self, Families};
use pingtest::monitor::Start;
use pingtest::monitor::outage::{Bound, Carried, Cause, DegradedRules, Ending, Outage, Rules, State};
use pingtest::monitor::record::SendError;
use pingtest::monitor::sample::{Checksum, IcmpError};
use pingtest::monitor::target::{Addr, Host, IpVersion, Name, SocketOptions, Target};
use pingtest::monitor::time::Wall;
use serde::{Deserialize, Deserializer};

use super::world::{Content, Found, Network, Packet, Sent};

/// A scenario.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Script {
    /// What it shows.
    #[expect(dead_code, reason = "for the reader of the file")]
    about: String,
    #[serde(default)]
    pub(crate) start: StartAs,
    pub(crate) target: Vec<Settings>,
    #[serde(default)]
    pub(crate) network: Vec<Rule>,
    #[serde(default)]
    pub(crate) names: BTreeMap<String, Answer>,
    /// What an earlier process knew.
    #[serde(default)]
    pub(crate) carried: Vec<Carry>,
    #[serde(default)]
    pub(crate) event: Vec<Event>,
    #[serde(deserialize_with = "span")]
    pub(crate) ends: Duration,
    pub(crate) expect: Expected,
}

/// What must come of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    pub(crate) lines: Option<String>,
    #[serde(default)]
    pub(crate) some_lines: String,
    pub(crate) line_count: Option<usize>,
    pub(crate) counts: Option<BTreeMap<String, String>>,
    /// What was found out, all of it.
    pub(crate) findings: Option<String>,
    #[serde(default)]
    pub(crate) strays: String,
    pub(crate) clock_notices: Option<usize>,
    pub(crate) look_ups: Option<usize>,
    #[serde(default)]
    pub(crate) finished: bool,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StartAs {
    #[default]
    Spread,
    AtOnce,
}

impl From<StartAs> for Start {
    fn from(start: StartAs) -> Self {
        match start {
            StartAs::Spread => Self::Spread,
            StartAs::AtOnce => Self::AtOnce,
        }
    }
}

/// A target as the configuration has it, but for `phase` (0), `count` and `copies`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    host: String,
    name: Option<String>,
    family: Option<String>,
    interval: Option<Span>,
    phase: Option<Span>,
    timeout: Option<Span>,
    size: Option<u16>,
    ttl: Option<u8>,
    resolve_every: Option<Span>,
    count: Option<u64>,
    copies: Option<u32>,
    down_after: Option<u32>,
    up_after: Option<u32>,
    merge_within: Option<Span>,
    suspect_interval: Option<Span>,
    burst: Option<u32>,
    new_id_after: Option<u32>,
    parent: Option<String>,
    degraded_loss: Option<u16>,
    degraded_rtt: Option<Span>,
    degraded_for: Option<Span>,
}

/// What an earlier process knew of a target when it ended, so long before the start.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Carry {
    target: String,
    /// How long before the start its outage began; where it is not given, the target was up.
    down: Option<Span>,
    /// Its state, where it was neither.
    state: Option<String>,
    /// How long before the start that process ended.
    ended: Option<Span>,
    /// How long after it, where the clock was set back.
    ended_after: Option<Span>,
    /// Whether that process was killed, so that this was its last sign of life.
    #[serde(default)]
    killed: bool,
}

impl Carry {
    pub(crate) fn carried(&self, targets: &[Arc<Target>], start: Wall) -> Carried {
        let target = targets.iter().find(|target| target.name.as_str() == self.target).expect("a target of this name");
        let time = |span: Option<Span>| span.map_or(Duration::ZERO, |span| span.0);
        let (before, after) = (time(self.ended), time(self.ended_after));
        let outage = self.down.map(|down| Outage {
            began: Bound { at: start - down.0, earliest: None },
            ended: None,
            lasted: down.0 - before,
            cause: Cause::Unanswered,
            first_seq: 1,
            lost: 3,
            unmeasured: Duration::ZERO,
            fragments: 1,
            new_ids: 0,
            new_id_helped: false,
            behind: 0,
        });
        let word = self.state.as_deref().unwrap_or(if outage.is_some() { "down" } else { "up" });
        let state = State::of_word(word).expect("a state");
        Carried {
            name: target.name.clone(),
            host: target.host.to_string(),
            state,
            outage,
            until: start - before + after,
            ending: if self.killed { Ending::Abrupt } else { Ending::Clean },
        }
    }
}

/// The targets that these settings mean.
pub(crate) fn targets(settings: &[Settings]) -> Vec<Arc<Target>> {
    settings.iter().flat_map(Settings::targets).map(Arc::new).collect()
}

impl Settings {
    fn targets(&self) -> Vec<Target> {
        let first = self.target();
        let Some(copies) = self.copies else { return vec![first] };
        let Host::Address(Addr { ip: IpAddr::V4(ip), .. }) = first.host else { panic!("only IPv4 hosts have copies") };
        let copy = |n| {
            let ip = Ipv4Addr::from_bits(ip.to_bits() + n);
            Target { name: name(&ip.to_string()), host: Host::Address(ip.into()), ..first.clone() }
        };
        (0..copies).map(copy).collect()
    }

    fn target(&self) -> Target {
        let host = value::host(&self.host).unwrap_or_else(|problem| panic!("{}: {problem:?}", self.host));
        let family = match value::family(self.family.as_deref().unwrap_or("any")) {
            Ok(Families::One(family)) => family,
            Ok(Families::Both) | Err(_) => panic!("{:?}: any, ipv4 or ipv6", self.family),
        };
        let span = |given: Option<Span>, default| given.map_or(default, |span| span.0);
        Target {
            name: name(self.name.as_deref().unwrap_or(&self.host)),
            host,
            family,
            interval: span(self.interval, Duration::from_secs(1)),
            phase: span(self.phase, Duration::ZERO),
            timeout: span(self.timeout, Duration::from_secs(2)),
            size: self.size.unwrap_or(56),
            options: SocketOptions { ttl: self.ttl, ..SocketOptions::default() },
            resolve_every: span(self.resolve_every, Duration::from_secs(60)),
            count: self.count,
            rules: self.rules().into(),
        }
    }

    /// Only what is written differs from the defaults, but for the identifier, which stays.
    fn rules(&self) -> Rules {
        let default = Rules::default();
        let span = |given: Option<Span>| given.map(|span| span.0);
        let within = span(self.degraded_for).unwrap_or(Duration::from_secs(60));
        let degraded = DegradedRules { loss: self.degraded_loss, rtt: span(self.degraded_rtt), within };
        Rules {
            down_after: self.down_after.unwrap_or(default.down_after),
            up_after: self.up_after.unwrap_or(default.up_after),
            merge_within: span(self.merge_within).unwrap_or(default.merge_within),
            suspect_interval: span(self.suspect_interval),
            burst: self.burst.unwrap_or(default.burst),
            new_id_after: self.new_id_after,
            parent: self.parent.as_deref().map(name),
            degraded: (degraded.loss.is_some() || degraded.rtt.is_some()).then_some(degraded),
        }
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap_or_else(|| panic!("{text}: no name"))
}

/// What the network does to some probes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Probes to this address; to any where it is not given.
    to: Option<IpAddr>,
    /// Probes of this target; of any where it is not given.
    target: Option<String>,
    /// These numbers; all where it is not given.
    #[serde(default)]
    probes: Numbers,
    /// Probes sent from then on.
    since: Option<Span>,
    /// Probes sent before then.
    until: Option<Span>,
    /// Probes sent in the second part of each period of `up` and `down`.
    flaps: Option<Flaps>,
    /// What comes back; nothing where it is empty.
    answers: Option<Vec<Return>>,
    /// The kernel refuses to send, with this errno.
    errno: Option<i32>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flaps {
    up: Span,
    down: Span,
}

/// One packet that comes back.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Return {
    /// How long after the sending.
    after: Option<Span>,
    /// Who sends it; the address probed where it is not given.
    from: Option<IpAddr>,
    ttl: Option<u8>,
    /// This byte of the payload is inverted.
    flip: Option<usize>,
    /// The payload is cut to so many bytes.
    cut: Option<usize>,
    /// The ICMP checksum is wrong.
    #[serde(default)]
    bad_checksum: bool,
    /// The first eight bytes of the payload are made up.
    #[serde(default)]
    forged: bool,
    /// The sequence number on the wire is another one.
    sequence: Option<u16>,
    /// Without the kernel's receive stamp.
    #[serde(default)]
    unstamped: bool,
    /// It is an ICMP error, `type/code`.
    icmp: Option<String>,
    /// MTU or pointer of the error.
    #[serde(default)]
    info: u32,
    /// So many bytes of the ICMP message are quoted, header included; all where it is not given.
    quote: Option<usize>,
}

impl Rule {
    fn applies(&self, since: Duration, target: &Target, sent: &Sent) -> bool {
        self.to.is_none_or(|to| to == sent.probe.addr.ip)
            && self.target.as_ref().is_none_or(|name| name == target.name.as_str())
            && self.probes.contains(sent.probe.id.seq)
            && self.since.is_none_or(|from| from.0 <= since)
            && self.until.is_none_or(|until| since < until.0)
            && self.flaps.is_none_or(|flaps| flaps.is_down(since))
    }

    fn result(&self, sent: &Sent) -> Result<Vec<Packet>, SendError> {
        match (self.errno, &self.answers) {
            (Some(errno), None) => Err(SendError { errno, text: Errno::from_raw(errno).desc() }),
            (None, Some(answers)) => Ok(answers.iter().map(|answer| answer.packet(sent)).collect()),
            (None, None) | (Some(_), Some(_)) => panic!("a rule has either answers or an errno"),
        }
    }
}

impl Flaps {
    fn is_down(self, since: Duration) -> bool {
        let period = (self.up.0 + self.down.0).as_nanos();
        since.as_nanos() % period >= self.up.0.as_nanos()
    }
}

/// What an ICMP echo message has before its payload.
const HEADER: usize = 8;

impl Return {
    fn packet(&self, sent: &Sent) -> Packet {
        let mut payload = sent.payload.clone();
        if let Some(at) = self.flip {
            payload[at] ^= 0xff;
        }
        if self.forged {
            payload.iter_mut().take(8).for_each(|byte| *byte ^= 0x5a);
        }
        let sequence = self.sequence.unwrap_or(sent.probe.sequence);
        let content = match &self.icmp {
            Some(icmp) => {
                let quoted = self.quote.map_or(payload.len(), |quote| quote.saturating_sub(HEADER));
                payload.truncate(quoted);
                let error = self.error(icmp, sent.probe.addr.version());
                Content::Error { error, destination: sent.probe.addr, sequence, payload }
            }
            None => {
                payload.truncate(self.cut.unwrap_or(payload.len()));
                let checksum = if self.bad_checksum { Checksum::Bad } else { Checksum::Good };
                Content::Echo { sequence, payload, checksum }
            }
        };
        Packet {
            after: self.after.map_or(Duration::from_millis(10), |after| after.0),
            from: self.from.map_or(sent.probe.addr, Addr::from),
            ttl: Some(self.ttl.unwrap_or(64)),
            stamped: !self.unstamped,
            content,
        }
    }

    fn error(&self, icmp: &str, version: IpVersion) -> IcmpError {
        let numbers = icmp.split_once('/').and_then(|(kind, code)| Some((kind.parse().ok()?, code.parse().ok()?)));
        let (kind, code) = numbers.unwrap_or_else(|| panic!("{icmp}: not type/code"));
        match version {
            IpVersion::V4 => IcmpError::V4 { kind, code, info: self.info },
            IpVersion::V6 => IcmpError::V6 { kind, code, info: self.info },
        }
    }
}

/// What the resolver says of a name.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    /// These addresses.
    Found(Vec<String>),
    /// It fails, in these words.
    Failed(String),
}

/// The network and the resolver of a scenario. A probe for which there is no rule is answered after 10 ms, a name of which
/// nothing is said never.
#[derive(Debug)]
pub(crate) struct ScriptedNetwork {
    rules: Vec<Rule>,
    pub(crate) names: BTreeMap<String, Answer>,
    /// How many names were looked up.
    pub(crate) look_ups: usize,
}

/// How long a look-up takes.
const LOOKUP: Duration = Duration::from_millis(5);

impl ScriptedNetwork {
    pub(crate) fn new(rules: Vec<Rule>, names: BTreeMap<String, Answer>) -> Self {
        Self { rules, names, look_ups: 0 }
    }
}

impl Network for ScriptedNetwork {
    fn send(&mut self, since: Duration, target: &Target, sent: &Sent) -> Result<Vec<Packet>, SendError> {
        match self.rules.iter().find(|rule| rule.applies(since, target, sent)) {
            Some(rule) => rule.result(sent),
            None => Ok(vec![Return::default().packet(sent)]),
        }
    }

    fn look_up(&mut self, _: Duration, host: &str) -> Option<(Duration, Found)> {
        self.look_ups += 1;
        let found = match self.names.get(host)? {
            Answer::Found(addrs) => Ok(addrs.iter().map(|addr| address(addr)).collect()),
            Answer::Failed(words) => Err(words.as_str().into()),
        };
        Some((LOOKUP, found))
    }
}

/// An address, or one with the index of its zone: `fe80::1%2`.
fn address(text: &str) -> Addr {
    let (ip, scope) = text.split_once('%').unwrap_or((text, "0"));
    Addr { ip: ip.parse().unwrap(), scope: scope.parse().unwrap() }
}

/// Something happens.
#[derive(Debug, Deserialize)]
pub(crate) struct Event {
    #[serde(deserialize_with = "span")]
    pub(crate) at: Duration,
    #[serde(flatten)]
    pub(crate) action: Action,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    /// The system sleeps.
    Suspend(Span),
    /// The wall clock is set forward.
    SetForward(Span),
    /// The wall clock is set back.
    SetBack(Span),
    /// The loop does not turn.
    Stall(Span),
    /// The sockets of this family lose what they hold.
    Drops(Version),
    /// The resolver says something else from here on.
    Names(BTreeMap<String, Answer>),
    /// The configuration is read again.
    Targets(Vec<Settings>),
    /// The target of this name is not to be probed.
    Pause(String),
    /// It is again.
    Resume(String),
    /// pingtest stops.
    Stop(bool),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Version {
    Ipv4,
    Ipv6,
}

impl From<Version> for IpVersion {
    fn from(version: Version) -> Self {
        match version {
            Version::Ipv4 => Self::V4,
            Version::Ipv6 => Self::V6,
        }
    }
}

/// A duration as the configuration writes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span(pub(crate) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        span(deserializer).map(Self)
    }
}

fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    value::duration(&text).map_err(|problem| serde::de::Error::custom(format!("{problem:?}")))
}

/// Numbers of probes: `3`, `5..7` (both included), `9..`, and such with commas between; empty is all.
#[derive(Debug, Clone, Default)]
struct Numbers(Vec<RangeInclusive<u64>>);

impl Numbers {
    fn contains(&self, seq: u64) -> bool {
        self.0.is_empty() || self.0.iter().any(|range| range.contains(&seq))
    }
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let ranges: Option<_> = text.split(',').map(|part| range(part.trim())).collect();
        ranges.map(Self).ok_or_else(|| serde::de::Error::custom(format!("{text:?}: not like \"3, 5..7, 9..\"")))
    }
}

fn range(text: &str) -> Option<RangeInclusive<u64>> {
    match text.split_once("..") {
        None => text.parse().ok().map(|n| n..=n),
        Some((first, "")) => Some(first.parse().ok()?..=u64::MAX),
        Some((first, last)) => Some(first.parse().ok()?..=last.parse().ok()?),
    }
}
