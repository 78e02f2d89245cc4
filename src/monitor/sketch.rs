//! How often which size occurred, to two per cent: small, mergeable, and as bytes for keeping.
//!
//! Sizes fall into buckets: each of 0 to 63 has one of its own; above, each power of two is cut into 32. So a quantile is right to 1.6 %.
//! It knows neither units nor times.

/// A distribution of whole numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sketch {
    /// Bucket and count, sorted by bucket. No count is zero; one that would be too large stays at its most.
    buckets: Vec<(u16, u32)>,
}

/// Sizes below this have a bucket each.
const EXACT: u64 = 64;
/// Each power of two from there on is cut into so many buckets, as a power of two itself.
const CUTS_LOG2: u32 = 5;
/// The bucket of the largest number there is.
const LAST_BUCKET: u16 = bucket_of(u64::MAX);

impl Sketch {
    /// Counts one number.
    pub fn add(&mut self, value: u64) {
        self.add_to_bucket(bucket_of(value), 1);
    }

    /// Counts all that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
            return;
        }
        other.buckets.iter().for_each(|&(bucket, count)| self.add_to_bucket(bucket, count));
    }

    /// How many numbers were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|&(_, count)| u64::from(count)).sum()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// The number below or at which the share `share` (0 to 1) of all lies, by nearest rank; 0.5 is the median. Right to 1.6 %, and
    /// exactly below 64. `None` where nothing was counted.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let count = self.count();
        // A float holds all counts that occur; where it does not, the rank is off by less than the buckets are wide.
        let rank = ((share.clamp(0.0, 1.0) * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut below = 0;
        self.buckets.iter().find_map(|&(bucket, count)| {
            below += u64::from(count);
            (below >= rank).then(|| middle_of(bucket))
        })
    }

    /// The mean, right to 1.6 %; `None` where nothing was counted.
    pub fn mean(&self) -> Option<f64> {
        let sum: f64 = self.buckets.iter().map(|&(bucket, count)| middle_of(bucket) as f64 * f64::from(count)).sum();
        (!self.is_empty()).then(|| sum / self.count() as f64)
    }

    /// As bytes: for each bucket its distance from the one before and its count, both in groups of seven bits, the lowest first.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.buckets.len() * 3);
        let mut last = 0;
        for &(bucket, count) in &self.buckets {
            write_varint(&mut bytes, u64::from(bucket - last));
            write_varint(&mut bytes, u64::from(count));
            last = bucket;
        }
        bytes
    }

    /// From [`Sketch::to_bytes`]; `None` where the bytes are something else.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut buckets: Vec<(u16, u32)> = Vec::new();
        while !bytes.is_empty() {
            let distance = u16::try_from(read_varint(&mut bytes)?).ok()?;
            let count = u32::try_from(read_varint(&mut bytes)?).ok()?;
            let bucket = match buckets.last() {
                Some(_) if distance == 0 => return None,
                Some(&(last, _)) => last.checked_add(distance)?,
                None => distance,
            };
            if bucket > LAST_BUCKET || count == 0 {
                return None;
            }
            buckets.push((bucket, count));
        }
        Some(Self { buckets })
    }

    fn add_to_bucket(&mut self, bucket: u16, count: u32) {
        match self.buckets.binary_search_by_key(&bucket, |&(bucket, _)| bucket) {
            Ok(at) => self.buckets[at].1 = self.buckets[at].1.saturating_add(count),
            Err(at) => self.buckets.insert(at, (bucket, count)),
        }
    }
}

const fn bucket_of(value: u64) -> u16 {
    if value < EXACT {
        return value as u16;
    }
    let power = value.ilog2();
    let cut = (value >> (power - CUTS_LOG2)) & ((1 << CUTS_LOG2) - 1);
    // At most 64 + 57 · 32 + 31.
    EXACT as u16 + ((power - EXACT.ilog2()) << CUTS_LOG2) as u16 + cut as u16
}

/// The number in the middle of a bucket: at most half its width, which is a 32nd of its least, from any in it.
fn middle_of(bucket: u16) -> u64 {
    let Some(above) = u64::from(bucket).checked_sub(EXACT) else { return u64::from(bucket) };
    let power = (above >> CUTS_LOG2) as u32 + EXACT.ilog2();
    let width = 1 << (power - CUTS_LOG2);
    let cut = above & ((1 << CUTS_LOG2) - 1);
    (1 << power) + cut * width + width / 2
}

/// Appends a number in groups of seven bits, the lowest first, each but the last marked by its highest bit (LEB128).
pub(crate) fn write_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Takes such a number off the front; `None` where there is none, or one that is too large.
pub(crate) fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        // What the shift would push out makes another number of it.
        let part = u64::from(byte & 0x7f);
        if part << shift >> shift != part {
            return None;
        }
        value |= part << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sketch(values: &[u64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|&value| sketch.add(value));
        sketch
    }

    /// Numbers of all sizes, each power of two as likely as any other.
    fn values() -> impl Strategy<Value = Vec<u64>> {
        let value = (0_u32..64, any::<u64>()).prop_map(|(shift, bits)| bits >> shift);
        proptest::collection::vec(value, 0..200)
    }

    #[test]
    fn an_empty_sketch_knows_nothing() {
        let empty = Sketch::default();
        assert_eq!((empty.count(), empty.quantile(0.5), empty.mean()), (0, None, None));
        assert_eq!(Sketch::from_bytes(&[]), Some(empty));
    }

    #[test]
    fn small_numbers_are_kept_exactly() {
        let all: Vec<u64> = (0..EXACT).collect();
        let sketch = sketch(&all);
        assert_eq!(sketch.quantile(0.0), Some(0));
        assert_eq!(sketch.quantile(0.5), Some(31));
        assert_eq!(sketch.quantile(1.0), Some(63));
        assert_eq!(sketch.mean(), Some(31.5));
    }

    #[test]
    fn every_number_has_a_bucket_and_neighbours_are_in_order() {
        assert_eq!(LAST_BUCKET, 1919);
        for power in 6..64 {
            let (below, at) = ((1_u64 << power) - 1, 1_u64 << power);
            assert_eq!(bucket_of(below) + 1, bucket_of(at), "2^{power}");
        }
    }

    #[test]
    fn bytes_that_are_no_sketch_are_refused() {
        let of_garbage = [
            &[1][..],                              // no count
            &[1, 0],                               // a count of nothing
            &[1, 1, 0, 1],                         // the same bucket twice
            &[0x80, 0x0f, 1],                      // a bucket beyond the last
            &[1, 0x80],                            // cut off
            &[1, 0xff, 0xff, 0xff, 0xff, 0xff, 1], // a count too large
            &[0xff; 30],                           // a number without an end
        ];
        for bytes in of_garbage {
            assert_eq!(Sketch::from_bytes(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_minute_of_round_trip_times_takes_few_bytes() {
        let a_minute: Vec<u64> = (0..60).map(|n| 12_000 + n * 37).collect();
        assert!(sketch(&a_minute).to_bytes().len() <= 24);
    }

    proptest! {
        #[test]
        fn merging_counts_what_adding_all_would(one in values(), other in values()) {
            let mut merged = sketch(&one);
            merged.merge(&sketch(&other));
            prop_assert_eq!(merged, sketch(&[one, other].concat()));
        }

        #[test]
        fn a_quantile_is_right_to_one_part_in_sixty_four(mut all in values(), share in 0.0..=1.0) {
            let found = sketch(&all).quantile(share);
            all.sort_unstable();
            let rank = ((share * all.len() as f64).ceil() as usize).clamp(1, all.len().max(1));
            match (found, all.get(rank - 1)) {
                (Some(found), Some(&right)) => prop_assert!(found.abs_diff(right) <= right / 64, "{found} for {right}"),
                (None, None) => {}
                (found, right) => prop_assert!(false, "{found:?} for {right:?}"),
            }
        }

        #[test]
        fn bytes_bring_back_what_was_counted(all in values()) {
            let sketch = sketch(&all);
            prop_assert_eq!(Sketch::from_bytes(&sketch.to_bytes()), Some(sketch));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Some(sketch) = Sketch::from_bytes(&bytes) {
                prop_assert!(sketch.is_empty() || sketch.quantile(0.99).is_some());
            }
        }
    }
}
