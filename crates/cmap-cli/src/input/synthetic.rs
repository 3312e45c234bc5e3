//! Synthetic entries: random bytes of given sizes, all decided by a seed, and no key twice.

use fastrand::Rng;

use crate::{
    failure::Failure,
    output::{count, grouped},
    packed::{Packed, Totals, Writer},
    progress::Progress,
};

/// More entries no map can hold: a `CMap` reaches 2^42 bytes, in steps of 4.
pub const ENTRIES_MAX: u64 = 1 << 40;
/// What a `CMap` reaches.
const BYTES_MAX: u64 = 1 << 42;
/// Bytes of a key that tell it from others.
const NUMBER_BYTES: usize = 8;
/// Of SplitMix64's finalizer; they are odd.
const MULTIPLIERS: [u64; 2] = [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];

/// Entries to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synthetic {
    entries: u64,
    /// Bytes of each key.
    pub key_bytes: usize,
    /// Bytes of each value.
    pub value_bytes: usize,
    /// Decides them all.
    pub seed: u64,
}

impl Synthetic {
    /// So many entries of these sizes, if there can be so many.
    pub fn new(entries: u64, key_bytes: u64, value_bytes: u64, seed: u64) -> Result<Self, Failure> {
        let refuse = |reason| Err(Failure::Arguments(reason));
        let keys = 1_u64.checked_shl(u32::try_from(key_bytes * 8).unwrap_or(u32::MAX));
        if let Some(keys) = keys.filter(|&keys| keys < entries) {
            return refuse(format!(
                "--entries {entries} --key-size {key_bytes}: {} of {} {}",
                count(keys, "key", "keys"),
                count(key_bytes, "byte", "bytes"),
                if keys == 1 {
                    "is all there is"
                } else {
                    "are all there are"
                },
            ));
        }
        let bytes = u128::from(entries) * u128::from(key_bytes + value_bytes);
        if bytes > u128::from(BYTES_MAX) {
            return refuse(format!(
                "--entries {entries} --key-size {key_bytes} --value-size {value_bytes}: that is {} MiB, \
                 more than {} MiB, all that a map can hold",
                grouped(u64::try_from(bytes >> 20).unwrap_or(u64::MAX)),
                grouped(BYTES_MAX >> 20),
            ));
        }
        Ok(Self {
            entries,
            key_bytes: key_bytes as usize,
            value_bytes: value_bytes as usize,
            seed,
        })
    }

    /// What they add up to.
    pub fn totals(&self) -> Totals {
        Totals::of_sizes(self.entries, self.key_bytes, self.value_bytes)
    }

    /// Makes them.
    pub fn make(&self, progress: &Progress) -> Result<Packed, Failure> {
        let mut writer = Writer::create().map_err(Failure::temporary)?;
        let mut rng = Rng::with_seed(self.seed);
        let (mut key, mut value) = (vec![0; self.key_bytes], vec![0; self.value_bytes]);
        let number_bytes = self.key_bytes.min(NUMBER_BYTES);
        progress.making(self.totals().payload_bytes);
        for number in 0..self.entries {
            let own = scattered(number, self.seed, number_bytes as u32 * 8).to_le_bytes();
            let (first, rest) = key.split_at_mut(number_bytes);
            first.copy_from_slice(&own[..number_bytes]);
            rng.fill(rest);
            rng.fill(&mut value);
            writer.push(&key, &value).map_err(Failure::temporary)?;
            progress.read(number + 1, (key.len() + value.len()) as u64);
        }
        writer.finish().map_err(Failure::temporary)
    }
}

/// Another number of so many bits for each, as if drawn: every step can be undone, so no two numbers become one.
fn scattered(number: u64, seed: u64, bits: u32) -> u64 {
    let mask = u64::MAX.checked_shr(u64::BITS - bits).unwrap_or(0);
    let fold = |number: u64| number ^ (number >> (bits / 2).max(1));
    let first = number.wrapping_add(seed) & mask;
    let multiplied = |number: u64, multiplier| fold(number).wrapping_mul(multiplier) & mask;
    fold(MULTIPLIERS.into_iter().fold(first, multiplied))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{input::tests::Pairs, packed::Entries};
    use std::collections::HashSet;

    fn made(entries: u64, key_bytes: u64, value_bytes: u64, seed: u64) -> Pairs {
        let synthetic = Synthetic::new(entries, key_bytes, value_bytes, seed).unwrap();
        let packed = synthetic.make(&Progress::hidden()).unwrap();
        assert_eq!(
            (packed.totals(), packed.duplicates()),
            (synthetic.totals(), 0)
        );
        let entries = Entries::open(packed.file()).unwrap();
        let owned = |(key, value): (&[u8], &[u8])| (key.to_vec(), value.to_vec());
        (0..entries.len())
            .map(|number| owned(entries.get(number)))
            .collect()
    }

    #[test]
    fn sizes_are_as_asked_for_and_no_key_is_twice() {
        for (entries, key_bytes, value_bytes) in [
            (1, 0, 0),
            (256, 1, 3),
            (65_536, 2, 0),
            (10_000, 3, 1),
            (1_000, 7, 5),
            (1_000, 8, 9),
            (1_000, 20, 64),
        ] {
            let found = made(entries, key_bytes, value_bytes, 7);
            let keys: HashSet<_> = found.iter().map(|(key, _)| key).collect();
            assert_eq!(keys.len() as u64, entries, "keys of {key_bytes} bytes");
            let sizes = (key_bytes as usize, value_bytes as usize);
            assert!(
                found
                    .iter()
                    .all(|(key, value)| (key.len(), value.len()) == sizes)
            );
        }
    }

    #[test]
    fn the_seed_decides_all() {
        let first = made(100, 16, 16, 7);
        assert_eq!(made(100, 16, 16, 7), first);
        let other = made(100, 16, 16, 8);
        assert!(
            other
                .iter()
                .zip(&first)
                .all(|(other, first)| other.0 != first.0 && other.1 != first.1)
        );
    }

    #[test]
    fn every_bit_of_a_key_is_set_in_half_of_them() {
        for key_bytes in [2_u64, 8, 16] {
            let found = made(4_096, key_bytes, 0, 7);
            for bit in 0..key_bytes as usize * 8 {
                let set = found
                    .iter()
                    .filter(|(key, _)| key[bit / 8] >> (bit % 8) & 1 == 1)
                    .count();
                assert!(
                    (1_800..2_300).contains(&set),
                    "bit {bit} of {key_bytes} bytes: {set}"
                );
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_numbers() {
        let refused = |entries, key_bytes, value_bytes| {
            let failure = Synthetic::new(entries, key_bytes, value_bytes, 7).unwrap_err();
            assert_eq!(failure.status(), 2);
            failure.to_string()
        };
        assert_eq!(
            refused(2, 0, 9),
            "--entries 2 --key-size 0: 1 key of 0 bytes is all there is"
        );
        assert_eq!(
            refused(257, 1, 9),
            "--entries 257 --key-size 1: 256 keys of 1 byte are all there are"
        );
        assert_eq!(
            refused(65_537, 2, 9),
            "--entries 65537 --key-size 2: 65 536 keys of 2 bytes are all there are"
        );
        assert_eq!(
            refused(1 << 40, 8, 0),
            "--entries 1099511627776 --key-size 8 --value-size 0: that is 8 388 608 MiB, \
             more than 4 194 304 MiB, all that a map can hold"
        );
        assert!(Synthetic::new(1 << 38, 8, 8, 7).is_ok());
        assert!(refused(ENTRIES_MAX, 65_535, u32::MAX.into()).contains("all that a map can hold"));
    }
}
