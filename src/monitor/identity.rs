//! Whose reply it is: what a probe carries so that its reply can be told from stale, forged and damaged ones.
//!
//! A payload of 16 bytes or more begins with a keyed tag and the probe's number, and goes on with a fixed pattern:
//!
//! ```text
//! 0        8        16                       size
//! | tag    | number | 10 11 12 13 … (index)  |
//! ```
//!
//! The tag is SipHash-2-4 of the number under a key drawn at start, so nobody who has not seen the probe can make its reply,
//! and no reply to an earlier run passes. A shorter payload carries as much of the tag as fits; such a probe is found by the
//! address that answers and its sequence number. This module knows neither sockets nor what a verdict is.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

/// Index of a target within the monitor; never used twice in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(u32);

impl TargetId {
    /// How many targets one run can number: the id has [`Self::BITS`] bits of a probe's number.
    pub const LIMIT: usize = 1 << Self::BITS;
    const BITS: u32 = 24;

    /// The id of the `index`th target; `None` from [`Self::LIMIT`] on.
    pub fn new(index: usize) -> Option<Self> {
        u32::try_from(index).ok().filter(|_| index < Self::LIMIT).map(Self)
    }

    /// The index it was made of.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which probe of which target: what every judgement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId {
    /// The target.
    pub target: TargetId,
    /// The probe's number, from 1: `icmp_seq` in the log. 40 bits last 348 years at 100 probes a second.
    pub seq: u64,
}

const SEQ_BITS: u32 = 64 - TargetId::BITS;

impl ProbeId {
    fn to_wire(self) -> u64 {
        u64::from(self.target.0) << SEQ_BITS | self.seq & ((1 << SEQ_BITS) - 1)
    }

    fn from_wire(number: u64) -> Self {
        let target = TargetId(u32::try_from(number >> SEQ_BITS).unwrap_or(u32::MAX));
        Self { target, seq: number & ((1 << SEQ_BITS) - 1) }
    }
}

/// The smallest payload that names its probe.
pub const FULL_PAYLOAD: usize = TAG_LEN + 8;
const TAG_LEN: usize = 8;

/// How many bits of a tag may differ in a reply that is still taken for a damaged one of ours, for each byte of the tag. A whole
/// tag made up by somebody else differs in 32 bits on average, and in 12 or fewer with a probability of 2·10⁻⁷.
const DAMAGED_BITS_PER_BYTE: f32 = 1.5;

/// The key of this run's tags.
#[derive(Debug, Clone)]
pub struct Identity {
    key: [u8; 16],
}

/// What a payload is, held against the one that was sent; the closer, the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resemblance {
    /// Not made from ours.
    Foreign,
    /// Ours, but altered or cut on its way.
    Damaged,
    /// The same, byte for byte.
    Whole,
}

impl Identity {
    /// An identity under `key`, which must be unpredictable to those who might forge replies.
    pub fn new(key: [u8; 16]) -> Self {
        Self { key }
    }

    /// Writes the payload of `probe` over the whole of `payload`.
    pub fn write_payload(&self, probe: ProbeId, payload: &mut [u8]) {
        for (index, byte) in payload.iter_mut().enumerate() {
            *byte = pattern(index);
        }
        let tag = self.tag(probe);
        let tagged = payload.len().min(TAG_LEN);
        payload[..tagged].copy_from_slice(&tag[..tagged]);
        if let Some(number) = payload.get_mut(TAG_LEN..FULL_PAYLOAD) {
            number.copy_from_slice(&probe.to_wire().to_be_bytes());
        }
    }

    /// The probe that a payload names, if its tag is right; says nothing of what follows the first 16 bytes.
    pub fn read_payload(&self, payload: &[u8]) -> Option<ProbeId> {
        let number = payload.get(TAG_LEN..FULL_PAYLOAD)?.try_into().ok()?;
        let probe = ProbeId::from_wire(u64::from_be_bytes(number));
        (payload[..TAG_LEN] == self.tag(probe)).then_some(probe)
    }

    /// What `payload` is, held against the one of `size` bytes that `probe` was sent with.
    pub fn compare(&self, probe: ProbeId, size: usize, payload: &[u8]) -> Resemblance {
        let tag = self.tag(probe);
        let tagged = size.min(TAG_LEN).min(payload.len());
        let differing: u32 = (0..tagged).map(|i| (payload[i] ^ tag[i]).count_ones()).sum();
        let number = probe.to_wire().to_be_bytes();
        let expected = |i: usize| match i {
            0..TAG_LEN => tag[i],
            TAG_LEN..FULL_PAYLOAD if size >= FULL_PAYLOAD => number[i - TAG_LEN],
            _ => pattern(i),
        };
        if payload.len() == size && payload.iter().enumerate().all(|(i, &byte)| byte == expected(i)) {
            Resemblance::Whole
        } else if differing as f32 <= tagged as f32 * DAMAGED_BITS_PER_BYTE {
            Resemblance::Damaged
        } else {
            Resemblance::Foreign
        }
    }

    /// Whether `quoted`, fewer than [`FULL_PAYLOAD`] bytes of a payload that an ICMP error quotes, begins as the payload of
    /// `size` bytes of `probe` does. A quote of nothing vouches for any probe: RFC 792 asks routers for no more.
    pub fn compare_quoted(&self, probe: ProbeId, size: usize, quoted: &[u8]) -> Resemblance {
        let mut start = [0; FULL_PAYLOAD];
        let sent = &mut start[..size.min(FULL_PAYLOAD)];
        self.write_payload(probe, sent);
        if sent.starts_with(quoted) { Resemblance::Whole } else { Resemblance::Foreign }
    }

    fn tag(&self, probe: ProbeId) -> [u8; TAG_LEN] {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write_u64(probe.to_wire());
        hasher.finish().to_be_bytes()
    }
}

/// The sequence number that `probe` bears on the wire: its own modulo 65,536, as everybody's ping numbers. Where the payload
/// is too short for a tag that tells targets apart, each target counts from a place of its own, so that two targets with one
/// address are seldom in flight with the same number.
pub fn wire_sequence(probe: ProbeId, size: usize) -> u16 {
    /// 2¹⁶ divided by the golden ratio spreads consecutive ids as far apart as can be.
    const SPREAD: u32 = 40_503;
    let offset = if size < TAG_LEN { probe.target.0.wrapping_mul(SPREAD) } else { 0 };
    (probe.seq & 0xffff) as u16 ^ (offset & 0xffff) as u16
}

/// The probe number nearest below or at `newest` that bears `sequence` on the wire; `None` where there was none yet.
pub fn seq_of_wire(target: TargetId, size: usize, sequence: u16, newest: u64) -> Option<u64> {
    let plain = sequence ^ wire_sequence(ProbeId { target, seq: 0 }, size);
    let back = ((newest & 0xffff) as u16).wrapping_sub(plain);
    newest.checked_sub(u64::from(back)).filter(|&seq| seq > 0)
}

/// The target that a payload names, whether its tag is right or not.
pub fn claimed_target(payload: &[u8]) -> Option<TargetId> {
    let number = payload.get(TAG_LEN..FULL_PAYLOAD)?.try_into().ok()?;
    Some(ProbeId::from_wire(u64::from_be_bytes(number)).target)
}

/// The filling after the tag and the number: each byte its own index, as iputils' ping fills.
fn pattern(index: usize) -> u8 {
    (index & 0xff) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity::new(*b"sixteen byte key")
    }

    fn probe(target: usize, seq: u64) -> ProbeId {
        ProbeId { target: TargetId::new(target).expect("small"), seq }
    }

    fn payload(probe: ProbeId, size: usize) -> Vec<u8> {
        let mut payload = vec![0; size];
        identity().write_payload(probe, &mut payload);
        payload
    }

    #[test]
    fn a_whole_payload_names_its_probe() {
        for (target, seq) in [(0, 1), (7, 65_536), (TargetId::LIMIT - 1, (1 << 40) - 1)] {
            let probe = probe(target, seq);
            assert_eq!(identity().read_payload(&payload(probe, 56)), Some(probe));
            assert_eq!(identity().read_payload(&payload(probe, 16)), Some(probe));
        }
    }

    #[test]
    fn every_size_is_whole_against_itself() {
        for size in [0, 1, 7, 8, 15, 16, 17, 56, 1472, 65_500] {
            assert_eq!(
                identity().compare(probe(3, 9), size, &payload(probe(3, 9), size)),
                Resemblance::Whole,
                "{size}"
            );
        }
    }

    #[test]
    fn the_payload_of_another_run_is_foreign() {
        let other = Identity::new(*b"another 16 bytes");
        assert_eq!(other.read_payload(&payload(probe(3, 9), 56)), None);
        assert_eq!(other.compare(probe(3, 9), 56, &payload(probe(3, 9), 56)), Resemblance::Foreign);
    }

    #[test]
    fn any_single_altered_byte_is_damage_and_nothing_worse() {
        for at in 0..56 {
            let mut altered = payload(probe(3, 9), 56);
            altered[at] ^= 0xff;
            assert_eq!(identity().compare(probe(3, 9), 56, &altered), Resemblance::Damaged, "byte {at}");
        }
    }

    #[test]
    fn a_cut_or_lengthened_payload_is_damage() {
        let mut long = payload(probe(3, 9), 56);
        long.push(56);
        assert_eq!(identity().compare(probe(3, 9), 56, &long), Resemblance::Damaged);
        for cut in 0..56 {
            assert_eq!(identity().compare(probe(3, 9), 56, &long[..cut]), Resemblance::Damaged, "cut to {cut}");
        }
    }

    #[test]
    fn a_number_under_a_made_up_tag_is_foreign() {
        let mut forged = payload(probe(3, 9), 56);
        forged[..8].copy_from_slice(&[0x5a; 8]);
        assert_eq!(identity().read_payload(&forged), None);
        assert_eq!(identity().compare(probe(3, 9), 56, &forged), Resemblance::Foreign);
    }

    #[test]
    fn the_wire_sequence_leads_back_to_the_number() {
        for size in [0, 7, 8, 56] {
            for seq in [1_u64, 2, 65_535, 65_536, 65_537, 1 << 33] {
                let wire = wire_sequence(probe(77, seq), size);
                assert_eq!(seq_of_wire(probe(77, 1).target, size, wire, seq + 3), Some(seq), "size {size} seq {seq}");
            }
        }
        assert_eq!(seq_of_wire(probe(77, 1).target, 56, 9, 3), None);
    }
}
