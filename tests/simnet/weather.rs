//! The rules: a request and the time → which answers there are, and when. Pure: time comes in, and chance is drawn from the seed, the
//! address, the number of the request and what is decided, so that neither other addresses nor other keys change a decision.
//!
//! It knows no packets: an answer says what is to be built, not how.

mod chance;
mod layers;
mod limit;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::script::{
    self, Damage, DamageKind, Delay, Forge, ForgeKind, GilbertElliott, Loss, Net, Quote, Script, Then,
};
use chance::{Chance, Matter};
use layers::Layers;
use limit::Limit;

/// What replies start with.
const FULL_TTL: u8 = 64;
/// What is told to be small enough where packets are too big for no link of the script: the least that IPv6 allows.
const LEAST_MTU: u16 = 1280;

/// What the rules have to know of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) dst: IpAddr,
    pub(crate) ttl: u8,
    /// Length of the whole packet.
    pub(crate) length: usize,
    /// Length of what follows the ICMP header.
    pub(crate) payload: usize,
}

/// What becomes of a request.
#[derive(Debug, PartialEq)]
pub(crate) struct Decision {
    /// How many requests to this address there were, this one included.
    pub(crate) n: u64,
    pub(crate) fate: Fate,
}

/// Answers in the order in which they are due, or why there are none.
#[derive(Debug, PartialEq)]
pub(crate) enum Fate {
    Answers(Vec<Answer>),
    Nothing(Why),
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    Loss,
    Silent,
    Down,
    Limited,
}

/// One answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// How long after the request.
    pub(crate) delay: Duration,
    pub(crate) from: IpAddr,
    pub(crate) ttl: u8,
    pub(crate) kind: Kind,
}

/// What kind of answer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Echo(Echo),
    Error(IcmpError),
}

/// A reply, and what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Echo {
    Reply,
    Duplicate,
    OtherAddress,
    /// `mask` is laid over the byte of the payload at `at`.
    Flip {
        at: usize,
        mask: u8,
    },
    /// Likewise, and the checksum does not know.
    Checksum {
        at: usize,
        mask: u8,
    },
    /// So many bytes of the payload are left.
    Truncate {
        keep: usize,
    },
    /// `mask` is laid over the identifier.
    ForgedIdentifier {
        mask: u16,
    },
    /// `mask` is laid over the sequence number.
    ForgedSequence {
        mask: u16,
    },
    /// `mask` is laid over the first bytes of the payload.
    ForgedTag {
        mask: [u8; 8],
    },
    ForgedForeign,
}

/// An ICMP error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IcmpError {
    pub(crate) kind: u8,
    pub(crate) code: u8,
    /// What packets too big are told to be at most; 0 for others.
    pub(crate) mtu: u16,
    pub(crate) quote: Quote,
    /// Whether the quoted packet shows IP options.
    pub(crate) options: bool,
}

/// The weather of a script, and how far it has come.
#[derive(Debug)]
pub(crate) struct Weather {
    seed: u64,
    nets: Vec<Place>,
    by_prefix: HashMap<IpNet, usize>,
    /// Lengths of prefixes that occur, of either family.
    lengths: BTreeSet<u8>,
    addresses: HashMap<IpAddr, Address>,
}

#[derive(Debug)]
struct Place {
    net: Net,
    errors: Limit,
    echoes: Limit,
}

#[derive(Debug)]
struct Address {
    place: usize,
    requests: u64,
    /// The state of Gilbert and Elliott's model.
    bad: bool,
}

impl Weather {
    /// The weather at `ready`.
    pub(crate) fn new(script: Script) -> Self {
        let by_prefix = script.nets.iter().enumerate().map(|(index, net)| (net.prefix, index)).collect();
        let lengths = script.nets.iter().map(|net| net.prefix.prefix_len()).collect();
        let place = |net| Place { net, errors: Limit::default(), echoes: Limit::default() };
        let nets = script.nets.into_iter().map(place).collect();
        Self { seed: script.seed, nets, by_prefix, lengths, addresses: HashMap::new() }
    }

    /// Decides what becomes of a request that came `elapsed` after `ready`; `None` where no prefix holds its destination.
    pub(crate) fn decide(&mut self, asked: &Asked, elapsed: Duration) -> Option<Decision> {
        if !self.addresses.contains_key(&asked.dst) {
            let place = self.place_of(asked.dst)?;
            self.addresses.insert(asked.dst, Address { place, requests: 0, bad: false });
        }
        let address = self.addresses.get_mut(&asked.dst)?;
        let place = &mut self.nets[address.place];
        address.requests += 1;
        let chance = Chance::new(self.seed, asked.dst, address.requests);
        let layers = Layers::at(&place.net, elapsed);
        let mut case = Case { asked, elapsed, chance, layers, n: address.requests };
        let fate = case.fate(&mut address.bad, &mut place.errors, &mut place.echoes);
        Some(Decision { n: address.requests, fate: fate.map_or_else(Fate::Nothing, Fate::Answers) })
    }

    fn place_of(&self, address: IpAddr) -> Option<usize> {
        let prefix = |&length: &u8| Some(IpNet::new(address, length).ok()?.trunc());
        self.lengths.iter().rev().filter_map(prefix).find_map(|prefix| self.by_prefix.get(&prefix)).copied()
    }
}

/// A request under the weather that it meets.
struct Case<'a> {
    asked: &'a Asked,
    elapsed: Duration,
    chance: Chance,
    layers: Layers<'a>,
    n: u64,
}

impl Case<'_> {
    /// In the order of the way: the line, the routers on it, the host.
    fn fate(&mut self, bad: &mut bool, errors: &mut Limit, echoes: &mut Limit) -> Result<Vec<Answer>, Why> {
        let lost = self.is_lost(bad);
        if self.layers.down {
            return Err(Why::Down);
        }
        if lost {
            return Err(Why::Loss);
        }
        if let Some(error) = self.word_on_the_way() {
            return Ok(vec![error]);
        }
        if let Some(error) = self.refusal(errors)? {
            return Ok(vec![error]);
        }
        if self.layers.silent {
            return Err(Why::Silent);
        }
        if self.layers.echo_limit.is_some_and(|&rate| !echoes.take(rate, self.elapsed)) {
            return Err(Why::Limited);
        }
        Ok(self.replies())
    }

    /// The state of Gilbert and Elliott's model goes on with each request, whatever else becomes of that.
    fn is_lost(&self, bad: &mut bool) -> bool {
        match self.layers.loss {
            None => false,
            Some(&Loss::Independent(probability)) => self.chance.strikes(Matter::Loss, probability),
            Some(Loss::Exact(numbers)) => numbers.contains(&self.n),
            Some(&Loss::GilbertElliott(GilbertElliott { p, r, good, bad: worse })) => {
                let turns = self.chance.strikes(Matter::LossState, if *bad { r } else { p });
                *bad ^= turns;
                self.chance.strikes(Matter::Loss, if *bad { worse } else { good })
            }
        }
    }

    /// What a router on the way says of a packet that has too few hops left, or is too large.
    fn word_on_the_way(&self) -> Option<Answer> {
        if self.layers.hops.is_some_and(|&hops| self.asked.ttl < hops) {
            return Some(self.routers_word(script::time_exceeded(self.asked.dst), 0));
        }
        let mtu = *self.layers.mtu?;
        let too_big = self.asked.length > usize::from(mtu);
        too_big.then(|| self.routers_word(script::packet_too_big(self.asked.dst), mtu))
    }

    fn routers_word(&self, (kind, code): (u8, u8), mtu: u16) -> Answer {
        let router = self.layers.router.copied().or_else(|| self.layers.error.and_then(|error| error.router));
        let error = IcmpError { kind, code, mtu, quote: Quote::Full, options: false };
        self.answer(self.delay(), router.unwrap_or(self.asked.dst), Kind::Error(error))
    }

    /// The error of the script in place of a reply, where there is one for this request.
    fn refusal(&self, errors: &mut Limit) -> Result<Option<Answer>, Why> {
        let error = self.layers.error.filter(|error| self.chance.strikes(Matter::Error, error.probability));
        let Some(error) = error else { return Ok(None) };
        if error.rate.is_some_and(|rate| !errors.take(rate, self.elapsed)) {
            return Err(Why::Limited);
        }
        let too_big = (error.kind, error.code) == script::packet_too_big(self.asked.dst);
        let mtu = if too_big { self.layers.mtu.copied().unwrap_or(LEAST_MTU) } else { 0 };
        let router = error.router.or(self.layers.router.copied()).unwrap_or(self.asked.dst);
        let (kind, code, quote, options) = (error.kind, error.code, error.quote, error.options);
        Ok(Some(self.answer(self.delay(), router, Kind::Error(IcmpError { kind, code, mtu, quote, options }))))
    }

    /// The reply, with what goes before and what comes after it.
    fn replies(&self) -> Vec<Answer> {
        let dst = self.asked.dst;
        let other = self.layers.from.filter(|from| self.chance.strikes(Matter::From, from.probability));
        let from = other.map_or(dst, |other| other.address);
        let plain = if from == dst { Echo::Reply } else { Echo::OtherAddress };
        let delay = self.delay() + self.reordering();
        let forged = self.forgery().map(|kind| {
            let from = if kind == Echo::ForgedForeign { script::foreign(dst) } else { from };
            self.answer(delay, from, Kind::Echo(kind))
        });
        let reply = self.answer(delay, from, Kind::Echo(self.damage().unwrap_or(plain)));
        let duplicates = self.duplicates().map(|after| self.answer(delay + after, from, Kind::Echo(Echo::Duplicate)));
        forged.into_iter().chain([reply]).chain(duplicates).collect()
    }

    fn answer(&self, delay: Duration, from: IpAddr, kind: Kind) -> Answer {
        let travelled = self.layers.hops.map_or(FULL_TTL, |&hops| FULL_TTL.saturating_sub(hops).max(1));
        Answer { delay, from, ttl: self.layers.ttl.copied().unwrap_or(travelled), kind }
    }

    fn delay(&self) -> Duration {
        match self.layers.delay {
            None => Duration::ZERO,
            Some(&Delay::Constant(delay)) => delay,
            Some(&Delay::Uniform { low, high }) => low + (high - low).mul_f64(self.chance.fraction(Matter::Delay)),
            // A float that is negative becomes 0.
            Some(Delay::Normal(normal)) => Duration::from_nanos(self.chance.sample(Matter::Delay, normal) as u64),
            Some(Delay::List { times, then }) => {
                let last = times.len() as u64 - 1;
                let index = match then {
                    Then::Repeat => (self.n - 1) % times.len() as u64,
                    Then::Last => (self.n - 1).min(last),
                };
                times[index as usize]
            }
        }
    }

    fn reordering(&self) -> Duration {
        let reorder = self.layers.reorder.filter(|reorder| self.chance.strikes(Matter::Reorder, reorder.probability));
        reorder.map_or(Duration::ZERO, |reorder| reorder.by)
    }

    /// How long after the reply its duplicates come.
    fn duplicates(&self) -> impl Iterator<Item = Duration> {
        let struck = |duplicate: &&script::Duplicate| self.chance.strikes(Matter::Duplicate, duplicate.probability);
        let duplicate = self.layers.duplicate.copied().filter(|duplicate| struck(&duplicate));
        duplicate.into_iter().flat_map(|duplicate| (1..=duplicate.copies).map(move |copy| duplicate.after * copy))
    }

    /// There is nothing to damage in an empty payload.
    fn damage(&self) -> Option<Echo> {
        let &Damage { probability, kind } = self.layers.damage?;
        if self.asked.payload == 0 || !self.chance.strikes(Matter::Damage, probability) {
            return None;
        }
        let at = self.chance.below(Matter::DamagePlace, self.asked.payload);
        let [mask, ..] = self.chance.mask(Matter::DamageMask);
        Some(match kind {
            DamageKind::Flip => Echo::Flip { at, mask },
            DamageKind::Checksum => Echo::Checksum { at, mask },
            DamageKind::Truncate => Echo::Truncate { keep: at },
        })
    }

    /// A tag cannot be made up where there is none.
    fn forgery(&self) -> Option<Echo> {
        let &Forge { probability, kind } = self.layers.forge?;
        if !self.chance.strikes(Matter::Forge, probability) {
            return None;
        }
        let mask = self.chance.mask(Matter::ForgeMask);
        let short = u16::from_be_bytes([mask[0], mask[1]]);
        match kind {
            ForgeKind::Identifier => Some(Echo::ForgedIdentifier { mask: short }),
            ForgeKind::Sequence => Some(Echo::ForgedSequence { mask: short }),
            ForgeKind::Tag => (self.asked.payload > 0).then_some(Echo::ForgedTag { mask }),
            ForgeKind::Foreign => Some(Echo::ForgedForeign),
        }
    }
}
