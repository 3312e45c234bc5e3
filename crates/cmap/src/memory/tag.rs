//! Tags: which map a pin protects.

use super::epoch::Domain;
use crate::base::sync::Ordering;

/// See `epoch.rs`: a pin's word.
pub(super) const TAG_BITS: u32 = 12;
pub(super) const TAG_MASK: u64 = (1 << TAG_BITS) - 1;

/// What a pin protects: one map (by its tag), or everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(pub(super) u64);

impl Tag {
    pub(super) const ANY: Self = Self(0);

    /// A tag that no other of the last thousands of maps has. Sharing one is safe; it only delays.
    pub(crate) fn fresh(domain: &Domain) -> Self {
        // Relaxed: only the value matters.
        let n = u64::from(domain.tags.fetch_add(1, Ordering::Relaxed));
        Self(n % TAG_MASK + 1)
    }
}

/// One epoch, as a pin word and the domain's epoch count them.
pub(super) const EPOCH: u64 = 1 << TAG_BITS;

/// A pin's word: a multiple of [`EPOCH`], and a tag.
#[inline]
pub(super) const fn word(epochs: u64, tag: Tag) -> u64 {
    epochs | tag.0
}
