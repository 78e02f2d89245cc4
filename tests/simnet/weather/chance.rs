//! Chance that does not depend on what was drawn before: a number for each matter of each request to each address.

use std::hash::Hasher;
use std::net::IpAddr;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Normal};
use siphasher::sip::SipHasher13;

use crate::script::Probability;

/// What is decided. The numbers are part of what a seed means: never change them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Matter {
    Loss = 1,
    LossState = 2,
    Delay = 3,
    Reorder = 4,
    Duplicate = 5,
    Damage = 6,
    DamagePlace = 7,
    DamageMask = 8,
    From = 9,
    Forge = 10,
    ForgeMask = 11,
    Error = 12,
}

/// The chance of one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chance {
    request: u64,
}

impl Chance {
    /// The chance of the `n`th request to `address` under `seed`.
    pub(super) fn new(seed: u64, address: IpAddr, n: u64) -> Self {
        let mut hasher = SipHasher13::new_with_keys(seed, n);
        match address {
            IpAddr::V4(address) => hasher.write(&address.octets()),
            IpAddr::V6(address) => hasher.write(&address.octets()),
        }
        Self { request: hasher.finish() }
    }

    fn generator(&self, matter: Matter) -> Xoshiro256PlusPlus {
        // Seeds are spread by SplitMix64 before they become the state, so that neighbours have nothing in common.
        Xoshiro256PlusPlus::seed_from_u64(self.request.wrapping_add(matter as u64))
    }

    /// Whether it happens.
    pub(super) fn strikes(&self, matter: Matter, Probability(probability): Probability) -> bool {
        self.fraction(matter) < probability
    }

    /// At least 0, below 1.
    pub(super) fn fraction(&self, matter: Matter) -> f64 {
        self.generator(matter).random()
    }

    /// A number below `limit`, which is not 0.
    pub(super) fn below(&self, matter: Matter, limit: usize) -> usize {
        // Not `usize` itself, which differs between machines.
        self.generator(matter).random_range(0..limit as u64) as usize
    }

    /// A sample of a distribution.
    pub(super) fn sample(&self, matter: Matter, distribution: &Normal<f64>) -> f64 {
        distribution.sample(&mut self.generator(matter))
    }

    /// Bytes none of which is 0.
    pub(super) fn mask(&self, matter: Matter) -> [u8; 8] {
        let mut generator = self.generator(matter);
        std::array::from_fn(|_| generator.random_range(1..=u8::MAX))
    }
}
