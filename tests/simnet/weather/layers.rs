//! The keys that hold at one time: those of a prefix under those of its changes.

use std::net::IpAddr;
use std::time::Duration;

use crate::script::{Answerer, Damage, Delay, Duplicate, Forge, Keys, Loss, Net, Rate, Refusal, Reorder};

/// The keys that hold, each from the last layer that has it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Layers<'a> {
    pub(super) delay: Option<&'a Delay>,
    pub(super) loss: Option<&'a Loss>,
    pub(super) reorder: Option<&'a Reorder>,
    pub(super) duplicate: Option<&'a Duplicate>,
    pub(super) damage: Option<&'a Damage>,
    pub(super) from: Option<&'a Answerer>,
    pub(super) forge: Option<&'a Forge>,
    pub(super) error: Option<&'a Refusal>,
    pub(super) router: Option<&'a IpAddr>,
    pub(super) echo_limit: Option<&'a Rate>,
    pub(super) mtu: Option<&'a u16>,
    pub(super) hops: Option<&'a u8>,
    pub(super) ttl: Option<&'a u8>,
    pub(super) silent: bool,
    pub(super) down: bool,
}

impl<'a> Layers<'a> {
    /// Those of `net` at a time.
    pub(super) fn at(net: &'a Net, elapsed: Duration) -> Self {
        let changes = net.changes.iter().filter(|change| change.when.holds(elapsed)).map(|change| &change.keys);
        changes.fold(Self::default().under(&net.keys), |layers, keys| layers.under(keys))
    }

    fn under(self, keys: &'a Keys) -> Self {
        Self {
            delay: keys.delay.as_ref().or(self.delay),
            loss: keys.loss.as_ref().or(self.loss),
            reorder: keys.reorder.as_ref().or(self.reorder),
            duplicate: keys.duplicate.as_ref().or(self.duplicate),
            damage: keys.damage.as_ref().or(self.damage),
            from: keys.from.as_ref().or(self.from),
            forge: keys.forge.as_ref().or(self.forge),
            error: keys.error.as_ref().or(self.error),
            router: keys.router.as_ref().or(self.router),
            echo_limit: keys.echo_limit.as_ref().or(self.echo_limit),
            mtu: keys.mtu.as_ref().or(self.mtu),
            hops: keys.hops.as_ref().or(self.hops),
            ttl: keys.ttl.as_ref().or(self.ttl),
            silent: keys.silent.unwrap_or(self.silent),
            down: keys.down.unwrap_or(self.down),
        }
    }
}
