//! When probes are due.
//!
//! Nothing here reads a clock or knows what a probe is: only positions in time, computed from plain data.

use std::time::Duration;

/// Where within its interval a target's probes lie: at least zero, less than `interval` (zero for an empty interval).
///
/// A pure function of the name, so that the answer is the same after every restart and in every release, and adding a
/// target moves no other. The positions of many names spread evenly, so that a thousand targets do not all send at
/// once.
pub fn stable_phase(name: &str, interval: Duration) -> Duration {
    let span = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
    // hash / 2^64 is a fraction in [0, 1): multiply, then shift, and no modulo favours the low end.
    let scaled = (u128::from(hash(name.as_bytes())) * u128::from(span)) >> 64;
    Duration::from_nanos(u64::try_from(scaled).unwrap_or(u64::MAX))
}

/// FNV-1a (64 bits), then MurmurHash3's finaliser: FNV alone leaves the high bits of short, similar names nearly equal,
/// and the high bits are what [`stable_phase`] uses.
fn hash(bytes: &[u8]) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut h = bytes.iter().fold(OFFSET_BASIS, |h, &byte| (h ^ u64::from(byte)).wrapping_mul(PRIME));
    h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    h = (h ^ (h >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_name_keeps_its_phase_in_every_release() {
        assert_eq!(stable_phase("alidns", SECOND), Duration::from_nanos(710_803_589));
    }

    #[test]
    fn ten_thousand_similar_names_spread_evenly_over_a_second() {
        let mut buckets = [0_u32; 100];
        for i in 0..10_000 {
            let phase = stable_phase(&format!("web{i:05}"), SECOND);
            buckets[phase.as_millis() as usize / 10] += 1;
        }
        // 100 a bucket expected, standard deviation 10: five of them either way.
        assert!(buckets.iter().all(|n| (50..=150).contains(n)), "{buckets:?}");
    }

    #[test]
    fn a_phase_is_less_than_its_interval() {
        for interval in [Duration::ZERO, Duration::from_nanos(1), SECOND, Duration::MAX] {
            let phase = stable_phase("x", interval);
            assert!(phase < interval || interval.is_zero(), "{phase:?} of {interval:?}");
        }
    }

    #[test]
    fn a_phase_scales_with_its_interval() {
        let (short, long) = (stable_phase("web001", SECOND), stable_phase("web001", 60 * SECOND));
        assert!(long.abs_diff(60 * short) < Duration::from_nanos(60));
    }
}
