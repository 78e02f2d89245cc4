//! Scripts: TOML → what weather there is for whom, or the first mistake with its line and what is allowed.
//!
//! The keys are those of README.md beside this file. It knows nothing of packets; what the keys do is `weather`'s.

mod error_type;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;

use error_type::ErrorType;
pub(crate) use error_type::{packet_too_big, time_exceeded};
use value::{Count, Prefix, Time};
pub(crate) use value::{Delay, GilbertElliott, Loss, Probability, Then};

/// A whole script.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) device: Device,
    pub(crate) nets: Vec<Net>,
}

/// The device, and the addresses of whoever probes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) mtu: u32,
    pub(crate) addresses: Vec<IpNet>,
}

impl Default for Device {
    fn default() -> Self {
        let prober: [IpAddr; 2] = [[192, 0, 2, 1].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()];
        Self { name: "sim0".into(), mtu: 1500, addresses: prober.map(IpNet::from).to_vec() }
    }
}

/// A prefix and its weather.
#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) prefix: IpNet,
    pub(crate) keys: Keys,
    pub(crate) changes: Vec<Change>,
}

/// Keys that hold for some of the time.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) when: When,
    pub(crate) keys: Keys,
}

/// When a change holds, counted from `ready`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum When {
    From(Duration),
    During { at: Duration, end: Duration },
    Every { period: Duration, length: Duration },
}

impl When {
    /// Whether it holds at this time.
    pub(crate) fn holds(self, elapsed: Duration) -> bool {
        match self {
            Self::From(at) => elapsed >= at,
            Self::During { at, end } => (at..end).contains(&elapsed),
            Self::Every { period, length } => {
                let into_period = elapsed.as_nanos() % period.as_nanos();
                elapsed >= period && into_period < length.as_nanos()
            }
        }
    }
}

/// What the weather is made of; a key left out is one of the layer below.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    pub(crate) delay: Option<Delay>,
    pub(crate) loss: Option<Loss>,
    pub(crate) reorder: Option<Reorder>,
    pub(crate) duplicate: Option<Duplicate>,
    pub(crate) damage: Option<Damage>,
    pub(crate) from: Option<Answerer>,
    pub(crate) forge: Option<Forge>,
    pub(crate) error: Option<Refusal>,
    pub(crate) router: Option<IpAddr>,
    pub(crate) echo_limit: Option<Rate>,
    pub(crate) silent: Option<bool>,
    pub(crate) down: Option<bool>,
    pub(crate) mtu: Option<u16>,
    pub(crate) hops: Option<u8>,
    pub(crate) ttl: Option<u8>,
}

/// Replies that wait longer, so that others overtake them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reorder {
    pub(crate) probability: Probability,
    pub(crate) by: Duration,
}

/// Replies that come more than once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Duplicate {
    pub(crate) probability: Probability,
    pub(crate) copies: u32,
    pub(crate) after: Duration,
}

/// Replies that do not come back as the requests were.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Damage {
    pub(crate) probability: Probability,
    pub(crate) kind: DamageKind,
}

/// What is wrong with a damaged reply.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DamageKind {
    Flip,
    Checksum,
    Truncate,
}

/// Somebody else who answers.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answerer {
    pub(crate) address: IpAddr,
    #[serde(default)]
    pub(crate) probability: Probability,
}

/// Replies that are none.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Forge {
    pub(crate) probability: Probability,
    pub(crate) kind: ForgeKind,
}

/// What is made up in a forged reply.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ForgeKind {
    Identifier,
    Sequence,
    Tag,
    Foreign,
}

/// ICMP errors in place of replies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal {
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) router: Option<IpAddr>,
    pub(crate) quote: Quote,
    pub(crate) options: bool,
    pub(crate) probability: Probability,
    pub(crate) rate: Option<Rate>,
}

/// How much of the request an ICMP error shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Quote {
    #[default]
    Full,
    Minimal,
    Header,
}

/// So many a second, and so many at once.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rate {
    pub(crate) per_second: Count,
    pub(crate) burst: Count,
}

/// The first mistake in a script.
#[derive(Debug)]
pub(crate) struct Mistake {
    line: Option<usize>,
    what: String,
}

impl Mistake {
    fn at(span: Option<Range<usize>>, text: &str, what: &str) -> Self {
        let line = span.map(|span| text.as_bytes()[..span.start].iter().filter(|&&byte| byte == b'\n').count() + 1);
        Self { line, what: what.trim_end().replace('\n', ", ") }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{line}: {}", self.what),
            None => write!(f, " {}", self.what),
        }
    }
}

/// Reads a script.
pub(crate) fn parse(text: &str) -> Result<Script, Mistake> {
    let file: File = toml::from_str(text).map_err(|error| Mistake::at(error.span(), text, error.message()))?;
    let mut nets = Vec::new();
    let mut prefixes = BTreeSet::new();
    for table in file.net {
        let span = table.span();
        let net = placed(table, Table::net).map_err(|(span, what)| Mistake::at(Some(span), text, &what))?;
        if !prefixes.insert(net.prefix) {
            return Err(Mistake::at(Some(span), text, &format!("{} has a [[net]] already", net.prefix)));
        }
        nets.push(net);
    }
    Ok(Script { seed: file.seed, device: file.device, nets })
}

/// What is wrong and, where a table within knows it, its place.
type Wrong = (Option<Range<usize>>, String);

/// What `read` makes of a table; if it is wrong and nobody within knows the place, it is that of the table.
fn placed<T>(table: Spanned<Table>, read: impl FnOnce(Table) -> Result<T, Wrong>) -> Result<T, (Range<usize>, String)> {
    let span = table.span();
    read(table.into_inner()).map_err(|(within, what)| (within.unwrap_or(span), what))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    device: Device,
    net: Vec<Spanned<Table>>,
}

/// `[[net]]` or `[[net.change]]`. They share nearly all keys; those of the other are refused behind the parser.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    prefix: Option<Prefix>,
    #[serde(default)]
    change: Vec<Spanned<Table>>,
    at: Option<Time>,
    every: Option<Time>,
    #[serde(rename = "for")]
    length: Option<Time>,
    delay: Option<Delay>,
    loss: Option<Loss>,
    reorder: Option<ReorderTable>,
    duplicate: Option<DuplicateTable>,
    damage: Option<Damage>,
    from: Option<Answerer>,
    forge: Option<Forge>,
    error: Option<ErrorTable>,
    router: Option<IpAddr>,
    echo_limit: Option<Rate>,
    silent: Option<bool>,
    down: Option<bool>,
    mtu: Option<u16>,
    hops: Option<u8>,
    ttl: Option<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReorderTable {
    probability: Probability,
    by: Time,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DuplicateTable {
    probability: Probability,
    #[serde(default)]
    copies: Count,
    after: Time,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorTable {
    #[serde(rename = "type")]
    kind: ErrorType,
    router: Option<IpAddr>,
    #[serde(default)]
    quote: Quote,
    #[serde(default)]
    options: bool,
    #[serde(default)]
    probability: Probability,
    rate: Option<Rate>,
}

impl Table {
    fn net(mut self) -> Result<Net, Wrong> {
        let nowhere = |what: &str| (None, what.to_owned());
        let Some(Prefix(prefix)) = self.prefix.take() else { return Err(nowhere("[[net]] needs a prefix")) };
        if self.at.is_some() || self.every.is_some() || self.length.is_some() {
            return Err(nowhere("at, every and for are keys of [[net.change]] only"));
        }
        let read = |change| placed(change, |change| change.change(prefix).map_err(|what| (None, what)));
        let changes = std::mem::take(&mut self.change).into_iter().map(read).collect::<Result<_, _>>();
        let changes = changes.map_err(|(span, what)| (Some(span), what))?;
        let keys = self.keys(prefix).map_err(|what| (None, what))?;
        Ok(Net { prefix, keys, changes })
    }

    fn change(self, prefix: IpNet) -> Result<Change, String> {
        if self.prefix.is_some() || !self.change.is_empty() {
            return Err("prefix and change are keys of [[net]] only".into());
        }
        Ok(Change { when: self.when()?, keys: self.keys(prefix)? })
    }

    fn when(&self) -> Result<When, String> {
        let [at, every, length] = [self.at, self.every, self.length].map(|time| time.map(|Time(time)| time));
        match (at, every, length) {
            (Some(at), None, None) => Ok(When::From(at)),
            (Some(at), None, Some(length)) => Ok(When::During { at, end: at + length }),
            (None, Some(period), Some(length)) if !length.is_zero() && length <= period => {
                Ok(When::Every { period, length })
            }
            (None, Some(_), Some(_)) => Err("[[net.change]]: for must be above 0 and at most every".into()),
            _ => Err("[[net.change]] needs at, or at and for, or every and for".into()),
        }
    }

    fn keys(self, prefix: IpNet) -> Result<Keys, String> {
        for (key, address) in [("from.address", self.from.map(|from| from.address)), ("router", self.router)] {
            same_family(prefix, key, address)?;
        }
        Ok(Keys {
            delay: self.delay,
            loss: self.loss,
            reorder: self.reorder.map(|ReorderTable { probability, by: Time(by) }| Reorder { probability, by }),
            duplicate: self.duplicate.map(DuplicateTable::into_duplicate),
            damage: self.damage,
            from: self.from,
            forge: self.forge,
            error: self.error.map(|error| error.into_refusal(prefix)).transpose()?,
            router: self.router,
            echo_limit: self.echo_limit,
            silent: self.silent,
            down: self.down,
            mtu: self.mtu,
            hops: self.hops,
            ttl: self.ttl,
        })
    }
}

impl DuplicateTable {
    fn into_duplicate(self) -> Duplicate {
        let Self { probability, copies: Count(copies), after: Time(after) } = self;
        Duplicate { probability, copies, after }
    }
}

impl ErrorTable {
    fn into_refusal(self, prefix: IpNet) -> Result<Refusal, String> {
        same_family(prefix, "error.router", self.router)?;
        let Self { router, quote, options, probability, rate, .. } = self;
        if options && is_v6(prefix) {
            return Err("error.options: IPv6 has no such options".into());
        }
        let (kind, code) = self.kind.of_family(is_v6(prefix))?;
        Ok(Refusal { kind, code, router, quote, options, probability, rate })
    }
}

fn is_v6(prefix: IpNet) -> bool {
    prefix.addr().is_ipv6()
}

fn same_family(prefix: IpNet, key: &str, address: Option<IpAddr>) -> Result<(), String> {
    match address {
        Some(address) if address.is_ipv6() != is_v6(prefix) => {
            Err(format!("{key}: {address} and {prefix} are not of the same family"))
        }
        _ => Ok(()),
    }
}
