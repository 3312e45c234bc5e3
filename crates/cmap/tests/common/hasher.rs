//! Hashers with ill will: each maps keys to hashes in a way that a user's own hasher might, and none may do harm. And
//! [`Even`], for tests of how full tables are.

use super::run::mix;
use std::{
    cell::Cell,
    hash::{BuildHasher, Hasher},
    sync::atomic::{AtomicU64, Ordering},
};

/// Mixes what is written, and hands it to `shape` at the end.
pub struct Shaped {
    state: u64,
    shape: fn(u64) -> u64,
}

impl Shaped {
    fn new(shape: fn(u64) -> u64) -> Self {
        Self { state: 0, shape }
    }
}

impl Hasher for Shaped {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.state = mix(
                self.state,
                u64::from_le_bytes(word.try_into().expect("eight bytes")),
            );
        }
        let mut last = [0; 8];
        last[..words.remainder().len()].copy_from_slice(words.remainder());
        self.state = mix(
            mix(self.state, u64::from_le_bytes(last)),
            bytes.len() as u64,
        );
    }

    fn finish(&self) -> u64 {
        (self.shape)(self.state)
    }
}

/// All keys have one hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneHash;

impl BuildHasher for OneHash {
    type Hasher = Shaped;
    fn build_hasher(&self) -> Shaped {
        Shaped::new(|_| 0x5555_5555_5555_5555)
    }
}

/// 256 different hashes, spread over all 64 bits.
#[derive(Clone, Copy, Debug, Default)]
pub struct EightBits;

impl BuildHasher for EightBits {
    type Hasher = Shaped;
    fn build_hasher(&self) -> Shaped {
        Shaped::new(|hash| (hash & 0xff) * 0x0101_0101_0101_0101)
    }
}

/// All hashes share their top 30 bits: no directory can tell the keys apart. They are ones, so that the map leaves them there.
#[derive(Clone, Copy, Debug, Default)]
pub struct SameTop;

impl BuildHasher for SameTop {
    type Hasher = Shaped;
    fn build_hasher(&self) -> Shaped {
        Shaped::new(|hash| (hash >> 30) | (0x3fff_ffff << 34))
    }
}

/// Hashes that lie evenly in the index, as the map's own do not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Even;

impl BuildHasher for Even {
    type Hasher = Shaped;
    fn build_hasher(&self) -> Shaped {
        Shaped::new(even)
    }
}

/// The lower half is less than the upper one, so the map does not exchange them.
fn even(hash: u64) -> u64 {
    let high = hash >> 32;
    high << 32 | ((hash & 0xffff_ffff) * high) >> 32
}

/// Answers differently each time that it is asked.
#[derive(Debug, Default)]
pub struct Fickle(AtomicU64);

impl BuildHasher for Fickle {
    type Hasher = FickleHasher;
    fn build_hasher(&self) -> FickleHasher {
        FickleHasher(mix(self.0.fetch_add(1, Ordering::Relaxed), 7))
    }
}

/// One answer of a [`Fickle`]; what is written does not matter to it.
pub struct FickleHasher(u64);

impl Hasher for FickleHasher {
    fn write(&mut self, _: &[u8]) {}
    fn finish(&self) -> u64 {
        self.0
    }
}

thread_local! {
    static CALLS_TO_PANIC: Cell<u32> = const { Cell::new(0) };
}

/// Hashes well, and panics on the n-th call by the thread that armed it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Panicking;

impl Panicking {
    /// The `calls`-th hash from here on by this thread panics; 0 disarms.
    pub fn arm(calls: u32) {
        CALLS_TO_PANIC.set(calls);
    }

    /// Disarms, and says whether it was still armed: nothing has panicked since.
    pub fn disarm() -> bool {
        CALLS_TO_PANIC.replace(0) != 0
    }
}

impl BuildHasher for Panicking {
    type Hasher = Shaped;
    fn build_hasher(&self) -> Shaped {
        match CALLS_TO_PANIC.get() {
            0 => {}
            1 => {
                CALLS_TO_PANIC.set(0);
                super::panic_quietly("the hasher panics, as armed");
            }
            calls => CALLS_TO_PANIC.set(calls - 1),
        }
        Shaped::new(|hash| hash)
    }
}

/// Hashes well, but for keys that begin with an `=`, which all have one hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mixed;

impl Mixed {
    /// The hash of every key that begins with an `=`.
    pub const EQUAL: u64 = 0x5555_5555_5555_5555;
}

/// As [`Mixed`], but keys that begin with an `=` share the top 30 bits only.
#[derive(Clone, Copy, Debug, Default)]
pub struct MixedTop;

/// Spreads keys well, but for those that begin with an `=`.
pub struct MixedHasher {
    shaped: Shaped,
    alike: fn(u64) -> u64,
}

impl MixedHasher {
    fn new(alike: fn(u64) -> u64) -> Self {
        let shaped = Shaped::new(|hash| hash);
        Self { shaped, alike }
    }
}

impl BuildHasher for Mixed {
    type Hasher = MixedHasher;
    fn build_hasher(&self) -> MixedHasher {
        MixedHasher::new(|_| Mixed::EQUAL)
    }
}

impl BuildHasher for MixedTop {
    type Hasher = MixedHasher;
    fn build_hasher(&self) -> MixedHasher {
        MixedHasher::new(|hash| (hash >> 30) | (0x3fff_ffff << 34))
    }
}

impl Hasher for MixedHasher {
    fn write(&mut self, bytes: &[u8]) {
        if bytes.first() == Some(&b'=') {
            self.shaped.shape = self.alike;
        }
        self.shaped.write(bytes);
    }

    fn finish(&self) -> u64 {
        self.shaped.finish()
    }
}

/// The lowest sixteen bits of every hash are the same, and odd.
#[derive(Clone, Copy, Debug, Default)]
pub struct SameBottom;

impl BuildHasher for SameBottom {
    type Hasher = Shaped;
    fn build_hasher(&self) -> Shaped {
        Shaped::new(|hash| (even(hash) & !0xffff) | 0x5555)
    }
}

/// What a [`Meddling`] hasher does to its own map.
type Meddle = fn();

thread_local! {
    static MEDDLE: Cell<Option<Meddle>> = const { Cell::new(None) };
}

/// Hashes well, and calls what its thread armed it with, but not from within such a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meddling;

impl Meddling {
    pub fn arm(meddle: Option<Meddle>) {
        MEDDLE.set(meddle);
    }
}

impl BuildHasher for Meddling {
    type Hasher = Shaped;
    fn build_hasher(&self) -> Shaped {
        if let Some(meddle) = MEDDLE.take() {
            /// Arms it again, however the call ends.
            struct Again(Meddle);
            impl Drop for Again {
                fn drop(&mut self) {
                    MEDDLE.set(Some(self.0));
                }
            }
            let _again = Again(meddle);
            meddle();
        }
        Shaped::new(|hash| hash)
    }
}
