//! So many a second: a bucket of tokens, full at the start.

use std::time::Duration;

use crate::script::Rate;

/// What has been taken from a bucket, as the time at which it will be full again.
#[derive(Debug, Default)]
pub(super) struct Limit {
    full_at: Duration,
}

impl Limit {
    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, rate: Rate, now: Duration) -> bool {
        let token = Duration::from_secs(1) / rate.per_second.0;
        let full_at = self.full_at.max(now) + token;
        let there = full_at - now <= token * rate.burst.0;
        if there {
            self.full_at = full_at;
        }
        there
    }
}
