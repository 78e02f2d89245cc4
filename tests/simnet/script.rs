//! Scripts: TOML → what weather there is for whom, or the first mistake with its line and what is allowed.
//!
//! The keys are those of README.md beside this file. It knows nothing of packets; what the keys do is `weather`'s.

mod address;
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

use address::Map;
pub(crate) use address::foreign;
use error_type::ErrorType;
pub(crate) use error_type::{packet_too_big, time_exceeded};
pub(crate) use value::{Count, Delay, DeviceName, GilbertElliott, Loss, Probability, Then, Within};
use value::{Prefix, Time};

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
    pub(crate) name: DeviceName,
    pub(crate) mtu: Within<u16, 1280, 65_535>,
    pub(crate) addresses: Vec<IpNet>,
}

impl Default for Device {
    fn default() -> Self {
        let prober: [IpAddr; 2] = [[192, 0, 2, 1].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()];
        Self { name: DeviceName("sim0".into()), mtu: Within(1500), addresses: prober.map(IpNet::from).to_vec() }
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
#[derive(Debug, Default, PartialEq)]
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
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reorder {
    pub(crate) probability: Probability,
    pub(crate) by: Duration,
}

/// Replies that come more than once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Duplicate {
    pub(crate) probability: Probability,
    pub(crate) copies: u32,
    pub(crate) after: Duration,
}

/// Replies that do not come back as the requests were.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Damage {
    pub(crate) probability: Probability,
    pub(crate) kind: DamageKind,
}

/// What is wrong with a damaged reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DamageKind {
    Flip,
    Checksum,
    Truncate,
}

/// Somebody else who answers.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answerer {
    pub(crate) address: IpAddr,
    #[serde(default)]
    pub(crate) probability: Probability,
}

/// Replies that are none.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Forge {
    pub(crate) probability: Probability,
    pub(crate) kind: ForgeKind,
}

/// What is made up in a forged reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ForgeKind {
    Identifier,
    Sequence,
    Tag,
    Foreign,
}

/// ICMP errors in place of replies.
#[derive(Debug, Clone, Copy, PartialEq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
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
    if file.net.is_empty() {
        return Err(Mistake::at(None, text, "there is no [[net]]: a script has at least one"));
    }
    let prefix = |table: &Spanned<Table>| table.get_ref().prefix.map(|Prefix(prefix)| prefix);
    let map = Map {
        own: file.device.addresses.iter().map(IpNet::addr).collect(),
        prefixes: file.net.iter().filter_map(prefix).collect(),
    };
    let mut nets = Vec::new();
    let mut prefixes = BTreeSet::new();
    for table in file.net {
        let span = table.span();
        let net =
            placed(table, |table| table.net(&map)).map_err(|(span, what)| Mistake::at(Some(span), text, &what))?;
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
    #[serde(default)]
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
    from: Option<Spanned<Answerer>>,
    forge: Option<Spanned<Forge>>,
    error: Option<ErrorTable>,
    router: Option<Spanned<IpAddr>>,
    echo_limit: Option<Rate>,
    silent: Option<bool>,
    down: Option<bool>,
    mtu: Option<Within<u16, 68, 65_535>>,
    hops: Option<Within<u8, 1, 254>>,
    ttl: Option<Within<u8, 1, 255>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReorderTable {
    probability: Probability,
    by: Time,
}

/// One request must not take all memory.
type Copies = Within<u32, 1, 1000>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DuplicateTable {
    probability: Probability,
    #[serde(default)]
    copies: Copies,
    after: Time,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorTable {
    #[serde(rename = "type")]
    kind: Spanned<ErrorType>,
    router: Option<Spanned<IpAddr>>,
    #[serde(default)]
    quote: Quote,
    options: Option<Spanned<bool>>,
    #[serde(default)]
    probability: Probability,
    rate: Option<Rate>,
}

impl Table {
    fn net(mut self, map: &Map) -> Result<Net, Wrong> {
        let Some(Prefix(prefix)) = self.prefix.take() else { return Err(nowhere("[[net]] needs a prefix")) };
        if self.at.is_some() || self.every.is_some() || self.length.is_some() {
            return Err(nowhere("at, every and for are keys of [[net.change]] only"));
        }
        let read = |change| placed(change, |change| change.change(prefix, map));
        let changes = std::mem::take(&mut self.change).into_iter().map(read).collect::<Result<_, _>>();
        let changes = changes.map_err(|(span, what)| (Some(span), what))?;
        Ok(Net { prefix, keys: self.keys(prefix, map)?, changes })
    }

    fn change(self, prefix: IpNet, map: &Map) -> Result<Change, Wrong> {
        if self.prefix.is_some() || !self.change.is_empty() {
            return Err(nowhere("prefix and change are keys of [[net]] only"));
        }
        let when = self.when().map_err(nowhere)?;
        let keys = self.keys(prefix, map)?;
        if keys == Keys::default() {
            return Err(nowhere("[[net.change]] changes nothing: it needs a key of [[net]] but prefix, or down"));
        }
        Ok(Change { when, keys })
    }

    fn when(&self) -> Result<When, &'static str> {
        let [at, every, length] = [self.at, self.every, self.length].map(|time| time.map(|Time(time)| time));
        match (at, every, length) {
            (Some(at), None, None) => Ok(When::From(at)),
            (Some(_), None, Some(Duration::ZERO)) => Err("[[net.change]]: for must be above 0"),
            (Some(at), None, Some(length)) => Ok(When::During { at, end: at + length }),
            (None, Some(period), Some(length)) if !length.is_zero() && length <= period => {
                Ok(When::Every { period, length })
            }
            (None, Some(_), Some(_)) => Err("[[net.change]]: for must be above 0 and at most every"),
            _ => Err("[[net.change]] needs at, or at and for, or every and for"),
        }
    }

    fn keys(self, prefix: IpNet, map: &Map) -> Result<Keys, Wrong> {
        let from = |from: &Answerer| map.sender(prefix, "from.address", from.address);
        let forge = |forge: &Forge| match forge.kind {
            ForgeKind::Foreign => map.stranger(prefix),
            ForgeKind::Identifier | ForgeKind::Sequence | ForgeKind::Tag => Ok(()),
        };
        Ok(Keys {
            delay: self.delay,
            loss: self.loss,
            reorder: self.reorder.map(|ReorderTable { probability, by: Time(by) }| Reorder { probability, by }),
            duplicate: self.duplicate.map(DuplicateTable::into_duplicate),
            damage: self.damage,
            from: checked(self.from, from)?,
            forge: checked(self.forge, forge)?,
            error: self.error.map(|error| error.into_refusal(prefix, map)).transpose()?,
            router: checked(self.router, |&router| map.sender(prefix, "router", router))?,
            echo_limit: self.echo_limit,
            silent: self.silent,
            down: self.down,
            mtu: self.mtu.map(|Within(mtu)| mtu),
            hops: self.hops.map(|Within(hops)| hops),
            ttl: self.ttl.map(|Within(ttl)| ttl),
        })
    }
}

impl DuplicateTable {
    fn into_duplicate(self) -> Duplicate {
        let Self { probability, copies: Within(copies), after: Time(after) } = self;
        Duplicate { probability, copies, after }
    }
}

impl ErrorTable {
    fn into_refusal(self, prefix: IpNet, map: &Map) -> Result<Refusal, Wrong> {
        let v6 = prefix.addr().is_ipv6();
        let options = |&options: &bool| match options && v6 {
            true => Err("error.options: IPv6 has no such options".to_owned()),
            false => Ok(()),
        };
        let router = checked(self.router, |&router| map.sender(prefix, "error.router", router))?;
        let options = checked(self.options, options)?.unwrap_or_default();
        let place = self.kind.span();
        let (kind, code) = self.kind.get_ref().of_family(v6).map_err(|what| (Some(place), what))?;
        let Self { quote, probability, rate, .. } = self;
        Ok(Refusal { kind, code, router, quote, options, probability, rate })
    }
}

fn nowhere(what: &str) -> Wrong {
    (None, what.to_owned())
}

/// The value of a key, if it is right; else its place, and what is wrong.
fn checked<T>(value: Option<Spanned<T>>, check: impl FnOnce(&T) -> Result<(), String>) -> Result<Option<T>, Wrong> {
    let Some(value) = value else { return Ok(None) };
    check(value.get_ref()).map_err(|what| (Some(value.span()), what))?;
    Ok(Some(value.into_inner()))
}
