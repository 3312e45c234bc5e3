//! The entries: the `n`-th key and value are computed from `(seed, n)`, so the harness holds none of them.
//!
//! A key is two mixed words. A value is `16 + 48 = 64` bytes, or of mixed length `16 + 480 * u^5` for uniform `u` (mean
//! about 96). The first word of a value depends on `n` alone, the rest also on the version, so an update writes other
//! bytes while a read stays predictable. A read counts the first eight bytes and the length into the checksum: enough to
//! touch the value, and to tell a wrong answer; the tests compare whole values.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::rng::mix;

/// Bytes of a key.
pub const KEY_BYTES: usize = 16;
/// Bytes of a value of fixed size.
pub const VALUE_BYTES: usize = 64;
/// Bytes of the longest value.
pub const VALUE_BYTES_MAX: usize = 496;

/// A key.
pub type Key = [u8; KEY_BYTES];
/// Where a value is made.
pub type Buffer = [u8; VALUE_BYTES_MAX];

/// How long the values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Sizes {
    /// 64 bytes each.
    Fixed,
    /// 16 to 496 bytes, mostly short.
    Mixed,
}

impl Sizes {
    /// As it is written in ids and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Mixed => "mixed",
        }
    }
}

/// The sequence of entries that a seed gives.
#[derive(Clone, Copy)]
pub struct Entries {
    seed: u64,
    sizes: Sizes,
}

impl Entries {
    /// The sequence of `seed`.
    pub const fn new(seed: u64, sizes: Sizes) -> Self {
        Self {
            seed: mix(seed ^ 0x5851_f42d_4c95_7f2d),
            sizes,
        }
    }

    #[inline(always)]
    const fn word(&self, n: u64) -> u64 {
        mix(n ^ self.seed)
    }

    /// The `n`-th key; all are distinct.
    #[inline(always)]
    pub fn key(&self, n: u64) -> Key {
        let first = self.word(n);
        let second = mix(first.wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut key = [0; KEY_BYTES];
        key[..8].copy_from_slice(&first.to_le_bytes());
        key[8..].copy_from_slice(&second.to_le_bytes());
        key
    }

    /// Bytes of the `n`-th value, in each of its versions.
    #[inline(always)]
    pub fn value_len(&self, n: u64) -> usize {
        match self.sizes {
            Sizes::Fixed => VALUE_BYTES,
            Sizes::Mixed => {
                let u = (mix(self.word(n) ^ 0x2545_f491) >> 11) as f64 / (1u64 << 53) as f64;
                16 + (480.0 * u * u * u * u * u) as usize
            }
        }
    }

    /// The `n`-th value in its version `version`.
    #[inline(always)]
    pub fn value<'b>(&self, n: u64, version: u64, buffer: &'b mut Buffer) -> &'b [u8] {
        let len = self.value_len(n);
        self.fill(n, version, &mut buffer[..len.next_multiple_of(8)]);
        &buffer[..len]
    }

    /// The `n`-th value, where values are of fixed size.
    #[inline(always)]
    pub fn fixed_value(&self, n: u64, version: u64) -> [u8; VALUE_BYTES] {
        let mut value = [0; VALUE_BYTES];
        self.fill(n, version, &mut value);
        value
    }

    #[inline(always)]
    fn fill(&self, n: u64, version: u64, bytes: &mut [u8]) {
        let first = self.word(n).wrapping_mul(0xa24b_aed4_963e_e407);
        let mut word = first;
        let step = (first ^ version).wrapping_mul(0x9fb2_1c65_1e98_df25) | 1;
        for chunk in bytes.chunks_exact_mut(8) {
            chunk.copy_from_slice(&word.to_le_bytes());
            word = word.wrapping_add(step);
        }
    }

    /// Bytes of key and value together of the entries `range`.
    pub fn payload(&self, range: std::ops::Range<u64>) -> u64 {
        match self.sizes {
            Sizes::Fixed => (range.end - range.start) * (KEY_BYTES + VALUE_BYTES) as u64,
            Sizes::Mixed => range.map(|n| (KEY_BYTES + self.value_len(n)) as u64).sum(),
        }
    }
}

/// What a read adds to the checksum: the first eight bytes and the length.
#[inline(always)]
pub fn digest(value: &[u8]) -> u64 {
    let head = value
        .first_chunk::<8>()
        .map_or(value.len() as u64, |head| u64::from_le_bytes(*head));
    head.wrapping_add((value.len() as u64) << 48 | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixed_values_average_about_96_bytes() {
        let entries = Entries::new(7, Sizes::Mixed);
        let mean = (0..100_000).map(|n| entries.value_len(n)).sum::<usize>() / 100_000;
        assert!((94..=98).contains(&mean), "{mean}");
        assert!((0..100_000).all(|n| (16..=VALUE_BYTES_MAX).contains(&entries.value_len(n))));
    }

    #[test]
    fn a_version_changes_the_bytes_and_not_the_digest() {
        let entries = Entries::new(7, Sizes::Fixed);
        assert_ne!(entries.fixed_value(5, 0), entries.fixed_value(5, 1));
        assert_eq!(
            digest(&entries.fixed_value(5, 0)),
            digest(&entries.fixed_value(5, 1))
        );
        assert_ne!(
            digest(&entries.fixed_value(5, 0)),
            digest(&entries.fixed_value(6, 0))
        );
    }
}
