//! The operations of the model test, as plain data that can be listed, cut and run again; and the keys and values they use.
//!
//! Operations come in moods of some hundred or thousand: growing, churning, draining, so that a run meets splits, rebuilds,
//! compactions and merges rather than one balance of inserts and removes.

use crate::common::mix;
use fastrand::Rng;
use std::collections::HashSet;

/// What kind of call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Get,
    GetWith,
    GetInto,
    ContainsKey,
    ValueLen,
    Insert,
    InsertSwap,
    InsertIfAbsent,
    InsertWith,
    Replace,
    CompareAndSwap,
    Compute,
    GetOrInsertWith,
    FetchAdd,
    Append,
    Remove,
    Take,
    RemoveIf,
    Clear,
    ForEach,
    TryForEach,
    Iter,
    Keys,
    Scan,
    Retain,
    Drain,
    GetRef,
    GetMany,
    InsertMany,
    RemoveMany,
    /// Holds some values pinned while the next `len` operations run.
    Pin,
    Reserve,
    Compact,
    ShrinkToFit,
    Memory,
    Stats,
}

/// One call: its kind, the number of its key, the length of its value or a count, and a number that decides the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    pub kind: Kind,
    pub key: u32,
    pub len: u32,
    pub tag: u32,
}

/// How far the operations of a run reach.
pub struct Reach {
    /// So many different keys.
    pub keys: usize,
    /// Chunks of some KiB, extents from some hundred bytes on: large values may be common.
    pub small: bool,
}

const READS: [Kind; 6] = [
    Kind::GetRef,
    Kind::Get,
    Kind::GetWith,
    Kind::GetInto,
    Kind::ContainsKey,
    Kind::ValueLen,
];
const WRITES: [Kind; 14] = [
    Kind::Insert,
    Kind::Insert,
    Kind::Insert,
    Kind::Insert,
    Kind::InsertSwap,
    Kind::InsertIfAbsent,
    Kind::InsertIfAbsent,
    Kind::InsertWith,
    Kind::Replace,
    Kind::CompareAndSwap,
    Kind::Compute,
    Kind::GetOrInsertWith,
    Kind::FetchAdd,
    Kind::Append,
];
const BATCHES: [Kind; 3] = [Kind::GetMany, Kind::InsertMany, Kind::RemoveMany];
const REMOVES: [Kind; 4] = [Kind::Remove, Kind::Remove, Kind::Take, Kind::RemoveIf];

impl Op {
    /// So many operations; equal for equal `rng` and `reach`.
    pub fn sequence(rng: &mut Rng, reach: &Reach, count: usize) -> Vec<Op> {
        let mut ops = Vec::with_capacity(count);
        while ops.len() < count {
            // Of 100 operations on a key, so many are writes, and so many removes.
            let (writes, removes) = [(60, 10), (35, 35), (10, 70), (45, 45)][rng.usize(..4)];
            // All keys, or a few of them, again and again.
            let range = if rng.u8(..4) == 0 {
                reach.keys.div_ceil(20)
            } else {
                reach.keys
            };
            let length = rng.usize(100..3_000).min(count - ops.len());
            for _ in 0..length {
                let kind = match rng.u32(..1_000) {
                    0..=2 => rare(rng),
                    3..=12 => Kind::Compact,
                    13..=27 => Kind::Pin,
                    28..=37 => BATCHES[rng.usize(..BATCHES.len())],
                    _ => match rng.u8(..100) {
                        dice if dice < writes => WRITES[rng.usize(..WRITES.len())],
                        dice if dice < writes + removes => REMOVES[rng.usize(..REMOVES.len())],
                        _ => READS[rng.usize(..READS.len())],
                    },
                };
                let len = if kind == Kind::Pin {
                    rng.usize(..40)
                } else {
                    value_len(rng, reach.small)
                };
                ops.push(Op {
                    kind,
                    key: rng.usize(..range) as u32,
                    len: len as u32,
                    tag: rng.u32(..),
                });
            }
        }
        ops
    }

    /// The value that this operation writes, in place of what `value` held.
    pub fn value(self, value: &mut Vec<u8>) {
        value.clear();
        let mut word = mix(u64::from(self.tag), u64::from(self.len));
        while value.len() < self.len as usize {
            value.extend_from_slice(&word.to_le_bytes());
            word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        }
        value.truncate(self.len as usize);
    }
}

/// What touches the whole map.
fn rare(rng: &mut Rng) -> Kind {
    match rng.u8(..30) {
        20..=21 => Kind::Iter,
        22..=23 => Kind::Keys,
        24..=26 => Kind::Scan,
        27..=28 => Kind::Retain,
        29 => Kind::Drain,
        0 => Kind::Clear,
        1..=2 => Kind::ShrinkToFit,
        3..=4 => Kind::Reserve,
        5..=8 => Kind::Memory,
        9..=12 => Kind::Stats,
        13..=16 => Kind::TryForEach,
        _ => Kind::ForEach,
    }
}

/// Mostly short; sometimes next to where the layout changes; rarely larger than several chunks.
fn value_len(rng: &mut Rng, small: bool) -> usize {
    if small {
        match rng.u16(..1_000) {
            0..=699 => rng.usize(0..=40),
            700..=899 => rng.usize(0..=300),
            900..=939 => rng.usize(470..=530),
            940..=979 => rng.usize(0..=2_000),
            980..=989 => rng.usize(4_060..=4_110),
            _ => rng.usize(0..=20_000),
        }
    } else {
        match rng.u32(..100_000) {
            0..=84_999 => rng.usize(0..=100),
            85_000..=97_999 => rng.usize(0..=700),
            98_000..=98_999 => rng.usize(0..=5_000),
            99_000..=99_399 => rng.usize(250..=260),
            99_400..=99_599 => rng.usize(16_300..=16_400),
            99_600..=99_799 => rng.usize(65_450..=65_560),
            99_800..=99_990 => rng.usize(0..=200_000),
            _ => rng.usize(2_000_000..=5_000_000),
        }
    }
}

/// So many different keys: short ones, prefixes and extensions of others, the empty one, and some up to the longest allowed.
pub fn keys(rng: &mut Rng, count: usize) -> Vec<Vec<u8>> {
    let mut seen = HashSet::new();
    let mut keys: Vec<Vec<u8>> = Vec::with_capacity(count);
    let mut giants = 0;
    while keys.len() < count {
        let len = match rng.u16(..1_000) {
            0..=9 => 0,
            10..=299 => rng.usize(1..=4),
            300..=899 => rng.usize(5..=40),
            900..=979 => rng.usize(41..=260),
            980..=995 => rng.usize(260..=1_000),
            _ if giants < 3 => {
                giants += 1;
                [65_535, 65_534, 4_096][rng.usize(..3)]
            }
            _ => 8,
        };
        let mut key = match rng.choice(&keys) {
            Some(other) if rng.u8(..4) == 0 => other.clone(),
            _ => Vec::new(),
        };
        // One byte value only, now and then: keys that differ in nothing but their length.
        let fill = [None, None, Some(0), Some(0xff)][rng.usize(..4)];
        key.resize_with(len, || fill.unwrap_or_else(|| rng.u8(..)));
        if seen.insert(key.clone()) {
            keys.push(key);
        }
    }
    keys
}
