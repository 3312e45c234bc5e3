//! What every test binary shares: scaled counts, seeds that are printed and taken back, bounded waiting, child processes,
//! self-checking values, hashers with ill will, and the memory that the process really has.
//!
//! A binary names this folder by `mod common;` (or by `#[path]`), and each uses a part of it only.
#![allow(dead_code, unused_imports)]

mod hasher;
mod process;
mod run;
mod stamp;

pub use hasher::{
    EightBits, Even, Fickle, Meddling, Mixed, MixedTop, OneHash, Panicking, SameBottom, SameTop,
};
pub use process::{alone, alone_until_it_aborts, alone_until_it_exits, resident};
pub use run::{eventually, mix, panic_quietly, scaled, seed, spread, within};
pub use stamp::{STAMP_BYTES, Stamp, key_bytes};

use cmap::{Budget, CMap, internal};
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher};

/// Fails with the invariant's own words if the map, at rest, breaks one.
#[track_caller]
pub fn assert_sound<S: BuildHasher>(map: &CMap<S>) -> internal::Checked {
    match internal::check(map) {
        Ok(checked) => checked,
        Err(broken) => panic!("a named invariant is broken at rest: {broken}"),
    }
}

/// The number of entries, and a sum over them that does not depend on their order: equal for equal content only.
pub fn content<S: BuildHasher>(map: &CMap<S>) -> (usize, u64) {
    let (mut entries, mut sum) = (0, 0_u64);
    map.for_each(|key, value| {
        let mut hasher = DefaultHasher::new();
        (key, value).hash(&mut hasher);
        entries += 1;
        sum = sum.wrapping_add(hasher.finish());
    });
    (entries, sum)
}

/// Compacts until nothing is left to do and nothing waits for a reader.
#[track_caller]
pub fn settle<S: BuildHasher>(map: &CMap<S>) {
    let settled = eventually(|| map.compact(Budget::all()).done && map.memory().retired == 0);
    assert!(
        settled,
        "no end of it: {:?}, {:?}",
        map.memory(),
        map.stats()
    );
}
