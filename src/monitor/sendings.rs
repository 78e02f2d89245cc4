//! Which probe a stamp of the kernel belongs to that says no more than when a packet left.
//!
//! Probes are sent one after the other, each within a time of its own, and the stamp of a packet that the kernel passed on at once lies
//! within that of its probe. The stamp of one that had to queue lies between or in the time of a later one, which it misdates by less
//! than that probe's sending took.

use std::collections::VecDeque;
use std::time::Duration;

use super::identity::ProbeId;
use super::time::Mono;

/// How many are remembered: stamps are read right after a turn's probes were sent, and asked for only while those are few.
const REMEMBER: usize = 64;

/// The latest sendings, oldest first.
#[derive(Debug, Default)]
pub(super) struct Sendings(VecDeque<Sending>);

#[derive(Debug)]
struct Sending {
    id: ProbeId,
    begun: Mono,
    ended: Mono,
}

impl Sendings {
    /// The probe was handed to the kernel at `begun`, which `took` so long.
    pub(super) fn handle_sent(&mut self, id: ProbeId, begun: Mono, took: Duration) {
        if self.0.len() == REMEMBER {
            self.0.pop_front();
        }
        self.0.push_back(Sending { id, begun, ended: begun + took });
    }

    /// The probe that was being sent at `left`.
    pub(super) fn at(&self, left: Mono) -> Option<ProbeId> {
        let sending = self.0.iter().rev().find(|sending| sending.begun <= left)?;
        (left <= sending.ended).then_some(sending.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::identity::TargetId;

    fn at(micros: u64) -> Mono {
        Mono::from_nanos(1_000 * micros)
    }

    fn probe(seq: u64) -> ProbeId {
        ProbeId { target: TargetId::new(0).expect("the first"), seq }
    }

    #[test]
    fn a_stamp_belongs_to_the_probe_in_whose_sending_it_lies() {
        let mut sendings = Sendings::default();
        sendings.handle_sent(probe(1), at(10), Duration::from_micros(5));
        sendings.handle_sent(probe(2), at(20), Duration::from_micros(5));
        let found = [9, 10, 13, 15, 16, 19, 20, 25, 26].map(|micros| sendings.at(at(micros)).map(|id| id.seq));
        assert_eq!(found, [None, Some(1), Some(1), Some(1), None, None, Some(2), Some(2), None]);
    }

    #[test]
    fn the_latest_are_remembered() {
        let mut sendings = Sendings::default();
        for seq in 1..=1_000 {
            sendings.handle_sent(probe(seq), at(10 * seq), Duration::from_micros(5));
        }
        assert_eq!(sendings.at(at(10_000)), Some(probe(1_000)));
        assert_eq!(sendings.at(at(10 * (1_001 - REMEMBER as u64))), Some(probe(1_001 - REMEMBER as u64)));
        assert_eq!(sendings.at(at(10)), None);
    }
}
