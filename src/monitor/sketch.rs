//! How often which size occurred, to two per cent: small, mergeable, and as bytes for keeping.
//!
//! Sizes fall into buckets: each of 0 to 63 has one of its own; above, each power of two is cut into 32. So a quantile is right to 1.6 %.

/// A distribution of whole numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sketch {
    /// Bucket and count, sorted by bucket.
    buckets: Vec<(u16, u32)>,
}
