//! Which probe a stamp of the kernel belongs to that says no more than when a packet left.
//!
//! Probes are sent one after the other, each within a time of its own, and the stamp of a packet that the kernel passed on at once lies
//! within that of its probe. The stamp of one that had to queue lies between or in the time of a later one, which it misdates by less
//! than that probe's sending took; but where no stamp of an earlier one is missing, there is none that it could be but its own.

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
    is_stamped: bool,
}

/// Whether a stamp can be no other packet's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// It can not.
    Certain,
    /// It may be that of a packet sent before.
    Likely,
}

impl Sendings {
    /// The probe was handed to the kernel at `begun`, which `took` so long.
    pub(super) fn handle_sent(&mut self, id: ProbeId, begun: Mono, took: Duration) {
        if self.0.len() == REMEMBER {
            self.0.pop_front();
        }
        self.0.push_back(Sending { id, begun, ended: begun + took, is_stamped: false });
    }

    /// The probe that was being sent at `left`.
    pub(super) fn at(&mut self, left: Mono) -> Option<(ProbeId, Certainty)> {
        let index = self.0.iter().rposition(|sending| sending.begun <= left)?;
        let is_missing = self.0.iter().take(index).any(|sending| !sending.is_stamped);
        let sending = self.0.get_mut(index).filter(|sending| left <= sending.ended)?;
        sending.is_stamped = true;
        Some((sending.id, if is_missing { Certainty::Likely } else { Certainty::Certain }))
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
        let found = [9, 10, 13, 15, 16, 19, 20, 25, 26].map(|micros| sendings.at(at(micros)).map(|(id, _)| id.seq));
        assert_eq!(found, [None, Some(1), Some(1), Some(1), None, None, Some(2), Some(2), None]);
    }

    #[test]
    fn a_stamp_is_certain_where_none_before_it_is_missing() {
        let mut sendings = Sendings::default();
        (1..=3).for_each(|seq| sendings.handle_sent(probe(seq), at(10 * seq), Duration::from_micros(5)));
        assert_eq!(sendings.at(at(22)), Some((probe(2), Certainty::Likely)), "the first may have queued");
        assert_eq!(sendings.at(at(12)), Some((probe(1), Certainty::Certain)));
        assert_eq!(sendings.at(at(32)), Some((probe(3), Certainty::Certain)));
    }

    #[test]
    fn the_latest_are_remembered() {
        let mut sendings = Sendings::default();
        for seq in 1..=1_000 {
            sendings.handle_sent(probe(seq), at(10 * seq), Duration::from_micros(5));
        }
        let oldest = 1_001 - REMEMBER as u64;
        assert_eq!(sendings.at(at(10_000)), Some((probe(1_000), Certainty::Likely)));
        assert_eq!(sendings.at(at(10 * oldest)), Some((probe(oldest), Certainty::Certain)));
        assert_eq!(sendings.at(at(10)), None);
    }
}
