//! The default hasher, and the second hash that separates keys whose first hashes are equal.
//!
//! The index consumes the top bits of a hash (directory), the next ones (bucket) and the ones after (window), so a hasher
//! must avalanche: foldhash *quality* does, foldhash *fast* does not. Source: foldhash 0.2, O. Peters.

use core::hash::{BuildHasher, Hasher};

/// The default hasher state: foldhash *quality*, with a seed drawn anew for every map.
///
/// It makes collisions hard to find by accident and without the seed. It is only *minimally* resistant to an attacker who
/// can observe timings or iteration order; for keys that such an attacker chooses pass
/// [`std::hash::RandomState`] (SipHash-1-3) to [`Builder::hasher`](crate::Builder::hasher). Whatever the hasher answers,
/// the map stays memory-safe, and equal hashes never mix up keys.
///
/// ```
/// use cmap::{CMap, RandomState};
/// let reproducible = CMap::builder().hasher(RandomState::with_seed(7)).build()?;
/// reproducible.insert(b"k", b"v")?;
/// # Ok::<(), cmap::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RandomState(foldhash::quality::SeedableRandomState);

impl RandomState {
    /// A state that hashes the same way in every process and run.
    ///
    /// For tests and comparisons; a seed that an attacker knows protects from nothing.
    ///
    /// ```
    /// use std::hash::BuildHasher;
    /// let [a, b] = [cmap::RandomState::with_seed(7), cmap::RandomState::with_seed(7)];
    /// assert_eq!(a.hash_one("key"), b.hash_one("key"));
    /// ```
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self(foldhash::quality::SeedableRandomState::with_seed(
            seed,
            foldhash::SharedSeed::global_fixed(),
        ))
    }
}

impl Default for RandomState {
    fn default() -> Self {
        if cfg!(planted_one_seed) {
            return Self::with_seed(0);
        }
        Self(foldhash::quality::SeedableRandomState::random())
    }
}

impl BuildHasher for RandomState {
    type Hasher = KeyHasher;

    #[inline]
    fn build_hasher(&self) -> KeyHasher {
        KeyHasher(self.0.build_hasher())
    }
}

/// The hasher that [`RandomState`] builds.
///
/// ```
/// use std::hash::{BuildHasher, Hasher};
/// let mut hasher: cmap::KeyHasher = cmap::RandomState::with_seed(7).build_hasher();
/// hasher.write(b"key");
/// let hash = hasher.finish();
/// # let _ = hash;
/// ```
#[derive(Clone)]
pub struct KeyHasher(foldhash::quality::FoldHasher<'static>);

impl core::fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("KeyHasher(..)")
    }
}

impl Hasher for KeyHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

/// The hash of a key under the map's hasher. Foreign code: it may panic or lie. It must not write to the map: a rebuild
/// hashes keys while it keeps others from its table, so a write that waits for the same table would wait for itself
/// (and panics).
#[inline]
pub(crate) fn of_key<S: BuildHasher>(state: &S, key: &[u8]) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write(key);
    staggered(hasher.finish())
}

/// The greater of a hash and its halves exchanged: so hashes lie the denser the greater they are. Tables grow one after another
/// then, not all at once, and together they are as full at one size of the map as at another. The idea is that of spiral
/// storage: G. N. N. Martin, 1979. The simplest uneven density is chosen, since every call pays for it.
#[inline(always)]
fn staggered(hash: u64) -> u64 {
    hash.max(hash.rotate_left(32))
}

/// The part of all hashes that lie below `hash`.
pub(crate) fn part_below(hash: u64) -> f64 {
    (hash as f64 / u64::MAX as f64).powi(2)
}

/// The hash that has this part of all hashes below it.
#[cfg(feature = "rayon")]
pub(crate) fn with_part_below(part: f64) -> u64 {
    (part.sqrt() * u64::MAX as f64) as u64
}

/// A schedule is played again in another process, where hashes must be the same.
#[cfg(cmap_shuttle)]
use foldhash::quality::FixedState as Keyed;
#[cfg(not(cmap_shuttle))]
use foldhash::quality::RandomState as Keyed;

/// The second hash, keyed by the process and independent of the map's hasher: what tells apart keys of equal first hash.
#[inline]
pub(crate) fn second(key: &[u8]) -> u64 {
    static SECOND: std::sync::OnceLock<Keyed> = std::sync::OnceLock::new();
    let mut hasher = SECOND.get_or_init(Keyed::default).build_hasher();
    hasher.write(key);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_per_state_and_repeat_on_request() {
        let (a, b) = (RandomState::default(), RandomState::default());
        assert_ne!(of_key(&a, b"key"), of_key(&b, b"key"));
        assert_eq!(
            of_key(&RandomState::with_seed(3), b"key"),
            of_key(&RandomState::with_seed(3), b"key")
        );
        assert_ne!(
            of_key(&RandomState::with_seed(3), b"key"),
            of_key(&RandomState::with_seed(4), b"key")
        );
    }

    #[test]
    fn hashes_lie_as_densely_as_is_said() {
        const COUNT: u64 = 1 << 18;
        let state = RandomState::with_seed(1);
        let mut hashes: Vec<_> = (0..COUNT)
            .map(|n| of_key(&state, &n.to_le_bytes()))
            .collect();
        hashes.sort_unstable();
        for (below, &hash) in hashes.iter().enumerate() {
            let part = below as f64 / COUNT as f64;
            assert!(
                (part_below(hash) - part).abs() < 0.005,
                "{part} below {hash:#x}"
            );
        }
    }

    #[test]
    fn second_hash_is_stable_and_spreads() {
        assert_eq!(second(b"a"), second(b"a"));
        assert_ne!(second(b"a"), second(b"b"));
    }
}
