//! Values of a script: times, probabilities, prefixes, and those that are written as one value or as a table.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use ipnet::IpNet;
use rand_distr::Normal;
use serde::de::value::{F64Deserializer, I64Deserializer, MapAccessDeserializer, StrDeserializer};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::address;

/// A time with its unit, as in `"1.5s"`.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Time(pub(crate) Duration);

/// Units and their nanoseconds; "s" comes behind those that end in it.
const UNITS: [(&str, f64); 6] = [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts = UNITS.iter().find_map(|&(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
        let plain = |number: &str| number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let number = parts.filter(|(number, _)| plain(number)).and_then(|(number, factor)| {
            let number: f64 = number.parse().ok()?;
            Some((number * factor).round() as u64)
        });
        let wrong = || format!("{text:?} is no time: a number with ns, us, ms, s, m or h, as in \"1.5s\"");
        Ok(Self(Duration::from_nanos(number.ok_or_else(wrong)?)))
    }
}

/// How often something happens, from 0 to 1; always, unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, serde::Deserialize)]
#[serde(try_from = "f64")]
pub(crate) struct Probability(pub(crate) f64);

impl Default for Probability {
    fn default() -> Self {
        Self(1.0)
    }
}

impl TryFrom<f64> for Probability {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, String> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(format!("{value} is not from 0 to 1")) }
    }
}

/// A number of things, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "u32")]
pub(crate) struct Count(pub(crate) u32);

impl TryFrom<u32> for Count {
    type Error = &'static str;

    fn try_from(value: u32) -> Result<Self, &'static str> {
        if value > 0 { Ok(Self(value)) } else { Err("0 is not at least 1") }
    }
}

/// A number within bounds; the least if absent.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(try_from = "i64", bound = "T: TryFrom<i64>")]
pub(crate) struct Within<T, const LEAST: u16, const MOST: u16>(pub(crate) T);

impl<T: From<u8>, const MOST: u16> Default for Within<T, 1, MOST> {
    fn default() -> Self {
        Self(T::from(1))
    }
}

impl<T: TryFrom<i64>, const LEAST: u16, const MOST: u16> TryFrom<i64> for Within<T, LEAST, MOST> {
    type Error = String;

    fn try_from(value: i64) -> Result<Self, String> {
        let within = Some(value).filter(|value| (LEAST.into()..=MOST.into()).contains(value));
        let number = within.and_then(|value| T::try_from(value).ok());
        number.map(Self).ok_or_else(|| format!("{value} is not from {LEAST} to {MOST}"))
    }
}

/// The name of a network device. Fewer than the kernel would take: they are written into commands and paths, too.
#[derive(Debug, serde::Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct DeviceName(pub(crate) String);

impl TryFrom<String> for DeviceName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        // Directories, and what sysctls of no single device are called.
        let taken = [".", "..", "all", "default"].contains(&name.as_str());
        if (1..=15).contains(&name.len()) && name.bytes().all(plain) && !taken {
            return Ok(Self(name));
        }
        Err(format!(
            "{name:?} is no device's name: 1 to 15 of a-z, A-Z, 0-9, -, _ and ., but not ., .., all or default"
        ))
    }
}

/// A prefix, or one address.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Prefix(pub(crate) IpNet);

impl TryFrom<String> for Prefix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
        match text.parse::<IpNet>().ok().or_else(address) {
            Some(prefix) if prefix.trunc() == prefix => address::of_hosts(prefix).map(|()| Self(prefix)),
            Some(prefix) => Err(format!("{text:?} has bits behind its length: {} is meant?", prefix.trunc())),
            None => Err(format!("{text:?} is neither a prefix nor an address")),
        }
    }
}

/// How long a reply takes.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(try_from = "BriefOr<Time, DelayTable>")]
pub(crate) enum Delay {
    Constant(Duration),
    Uniform {
        low: Duration,
        high: Duration,
    },
    /// In nanoseconds.
    Normal(Normal<f64>),
    List {
        times: Vec<Duration>,
        then: Then,
    },
}

/// What follows the end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Then {
    Repeat,
    Last,
}

impl Brief for Time {
    const WHAT: &'static str = "a time like \"250ms\"";
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DelayTable {
    uniform: Option<[Time; 2]>,
    normal: Option<NormalTable>,
    list: Option<Vec<Time>>,
    then: Option<Then>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NormalTable {
    mean: Time,
    deviation: Time,
}

impl TryFrom<BriefOr<Time, DelayTable>> for Delay {
    type Error = &'static str;

    fn try_from(written: BriefOr<Time, DelayTable>) -> Result<Self, &'static str> {
        let table = match written {
            BriefOr::Brief(Time(time)) => return Ok(Self::Constant(time)),
            BriefOr::Table(table) => table,
        };
        match (table.uniform, table.normal, table.list, table.then) {
            (Some([Time(low), Time(high)]), None, None, None) if low <= high => Ok(Self::Uniform { low, high }),
            (Some(_), None, None, None) => Err("uniform: the first time is the lower one"),
            (None, Some(NormalTable { mean: Time(mean), deviation: Time(deviation) }), None, None) => {
                let normal = Normal::new(mean.as_nanos() as f64, deviation.as_nanos() as f64);
                normal.map(Self::Normal).map_err(|_| "normal: too large")
            }
            (None, None, Some(times), Some(then)) if !times.is_empty() => {
                Ok(Self::List { times: times.into_iter().map(|Time(time)| time).collect(), then })
            }
            _ => Err("a delay is a time, or has uniform, or normal, or a list of some and then"),
        }
    }
}

/// Which requests are never answered.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(try_from = "BriefOr<Probability, LossTable>")]
pub(crate) enum Loss {
    Independent(Probability),
    GilbertElliott(GilbertElliott),
    Exact(BTreeSet<u64>),
}

/// Losses in bursts: two states, and the probability of loss in each.
#[derive(Debug, Clone, Copy, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GilbertElliott {
    /// From good to bad.
    pub(crate) p: Probability,
    /// From bad to good.
    pub(crate) r: Probability,
    pub(crate) good: Probability,
    pub(crate) bad: Probability,
}

impl Brief for Probability {
    const WHAT: &'static str = "a probability from 0 to 1";
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LossTable {
    gilbert_elliott: Option<GilbertElliott>,
    exact: Option<BTreeSet<NonZeroU64>>,
}

impl TryFrom<BriefOr<Probability, LossTable>> for Loss {
    type Error = &'static str;

    fn try_from(written: BriefOr<Probability, LossTable>) -> Result<Self, &'static str> {
        match written {
            BriefOr::Brief(probability) => Ok(Self::Independent(probability)),
            BriefOr::Table(LossTable { gilbert_elliott: Some(model), exact: None }) => Ok(Self::GilbertElliott(model)),
            BriefOr::Table(LossTable { gilbert_elliott: None, exact: Some(numbers) }) => {
                Ok(Self::Exact(numbers.into_iter().map(NonZeroU64::get).collect()))
            }
            BriefOr::Table(_) => Err("a loss is a probability, or has gilbert_elliott, or exact"),
        }
    }
}

/// A value written as one, or as a table. serde's untagged enums would swallow what is wrong inside.
pub(super) enum BriefOr<B, T> {
    Brief(B),
    Table(T),
}

/// What the one value may be, in words.
pub(super) trait Brief {
    const WHAT: &'static str;
}

impl<'de, B: Brief + Deserialize<'de>, T: Deserialize<'de>> Deserialize<'de> for BriefOr<B, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BriefOrVisitor(PhantomData))
    }
}

struct BriefOrVisitor<B, T>(PhantomData<(B, T)>);

impl<'de, B: Brief + Deserialize<'de>, T: Deserialize<'de>> Visitor<'de> for BriefOrVisitor<B, T> {
    type Value = BriefOr<B, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} or a table", B::WHAT)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        B::deserialize(StrDeserializer::new(text)).map(BriefOr::Brief)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Self::Value, E> {
        B::deserialize(I64Deserializer::new(number)).map(BriefOr::Brief)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
        B::deserialize(F64Deserializer::new(number)).map(BriefOr::Brief)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(BriefOr::Table)
    }
}
