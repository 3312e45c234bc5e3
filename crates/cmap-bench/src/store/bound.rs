//! *bound*: the yardstick that no safe, growable, concurrent store can beat.
//!
//! ```text
//! table   buckets of one cache line: 8 slots of 8 bytes, filled to 60 %; a full bucket spills into the next
//! slot    location (40 bits) | tag: the lowest 24 bits of the hash;   0 = empty, all ones above the tag = removed
//! log     key length (1) | value length (2) | key | value, packed to the byte
//! ```
//!
//! One thread, a size fixed in advance, table and log in one run of huge pages. A value is written over one of the same
//! length; what is removed leaves a hole in the log.
//!
//! Invariants. **Within**: a slot that is neither empty nor removed locates an entry wholly below `tail`, which is within the
//! log. **Alone**: the harness gives *bound* to one thread, checked when it is made; nothing is borrowed between calls.

use std::cell::Cell;
use std::hash::BuildHasher;
use std::slice::from_raw_parts;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Hasher, Plan, Session, Store};
use crate::entry::{Key, VALUE_BYTES};
use crate::pages::Pages;

const LOAD: f64 = 0.60;
const SLOTS: usize = 8;
const TAG_BITS: u32 = 24;
const TAG_MASK: u64 = (1 << TAG_BITS) - 1;
const LOCATION_MAX: u64 = (1 << 40) - 1;
const REMOVED: u64 = LOCATION_MAX << TAG_BITS;
const HEADER_BYTES: usize = 3;
/// Keys that are on their way at once; the memory takes about as many.
const GROUP: usize = 16;

type Bucket = [u64; SLOTS];

/// The yardstick.
pub type Bound = Table<false>;
/// Before a write looks at its bucket, an instruction locks it. That it is so for a map of many threads is no matter of taste: the
/// processor does not begin the loads of one write before such an instruction of another is through, so their misses do not overlap.
pub type LockedBound = Table<true>;

/// Table and log.
pub struct Table<const LOCKS: bool> {
    pages: Pages,
    buckets: usize,
    log_bytes: usize,
    tail: Cell<usize>,
    holes: Cell<bool>,
    hasher: Hasher,
}

// SAFETY: Alone. The harness moves it to the one thread that uses it, and shares it with no other.
unsafe impl<const LOCKS: bool> Sync for Table<LOCKS> {}

/// Where a search ended.
struct Found {
    slot: *mut u64,
    entry: *mut u8,
}

impl<const LOCKS: bool> Table<LOCKS> {
    #[inline(always)]
    fn bucket_of(&self, hash: u64) -> usize {
        ((hash as u128 * self.buckets as u128) >> 64) as usize
    }

    #[inline(always)]
    fn bucket(&self, at: usize) -> *mut Bucket {
        debug_assert!(at < self.buckets);
        // SAFETY: the table is the first `buckets` lines of the pages, and `at` is below it.
        unsafe { self.pages.as_ptr().cast::<Bucket>().add(at) }
    }

    #[inline(always)]
    fn log(&self) -> *mut u8 {
        // SAFETY: the log follows the table within the pages.
        unsafe { self.pages.as_ptr().add(self.buckets * size_of::<Bucket>()) }
    }

    /// The entry at a location, which is one more than its offset.
    #[inline(always)]
    fn entry(&self, location: u64) -> *mut u8 {
        self.log().wrapping_add(location as usize - 1)
    }

    #[inline(always)]
    fn slot(bucket: *mut Bucket, at: usize) -> *mut u64 {
        // SAFETY: callers pass `at < SLOTS`.
        unsafe { bucket.cast::<u64>().add(at) }
    }

    #[inline(always)]
    fn words(bucket: *const Bucket) -> Bucket {
        // SAFETY: a bucket of the table; Alone, so nobody writes it meanwhile.
        unsafe { *bucket }
    }

    /// The slots that may hold this tag, a bit each, without a branch; an empty or a removed one may be among them.
    #[inline(always)]
    fn scan(bucket: *const Bucket, tag: u64) -> u32 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every x86-64 processor has SSE2.
        return unsafe { Self::scan_sse2(bucket, tag) };
        #[cfg(not(target_arch = "x86_64"))]
        Self::words(bucket)
            .into_iter()
            .enumerate()
            .fold(0, |same, (i, word)| {
                same | u32::from(word & TAG_MASK == tag) << i
            })
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "sse2")]
    #[inline]
    fn scan_sse2(bucket: *const Bucket, tag: u64) -> u32 {
        use std::arch::x86_64::*;

        // SAFETY: a bucket of the table, which is aligned to 64; Alone, so nobody writes it meanwhile.
        let words = unsafe { bucket.cast::<[__m128i; SLOTS / 2]>().read() };
        let mask = _mm_set1_epi32(TAG_MASK as i32);
        let tag = _mm_set1_epi32(tag as i32);
        // The lower halves of four words, compared with the tag.
        let same = |a, b| {
            let lower = _mm_shuffle_ps::<0b10_00_10_00>(_mm_castsi128_ps(a), _mm_castsi128_ps(b));
            _mm_cmpeq_epi32(_mm_and_si128(_mm_castps_si128(lower), mask), tag)
        };
        let halves = _mm_packs_epi32(same(words[0], words[1]), same(words[2], words[3]));
        _mm_movemask_epi8(_mm_packs_epi16(halves, _mm_setzero_si128())) as u32
    }

    /// What a write begins with.
    #[inline(always)]
    fn lock(&self, hash: u64) {
        if LOCKS {
            // SAFETY: a word of the table, aligned; Alone.
            let word = unsafe { AtomicU64::from_ptr(self.bucket(self.bucket_of(hash)).cast()) };
            let seen = word.load(Ordering::Relaxed);
            // It changes nothing, and takes what a lock takes.
            let _ = word.compare_exchange(seen, seen, Ordering::Acquire, Ordering::Relaxed);
        }
    }

    #[inline(always)]
    fn is_full(words: Bucket) -> bool {
        words.into_iter().all(|word| word != 0)
    }

    #[inline(always)]
    fn parts<'a>(entry: *const u8) -> (&'a [u8], &'a [u8]) {
        // SAFETY: Within; a header is three bytes.
        let header = unsafe { entry.cast::<[u8; HEADER_BYTES]>().read() };
        let key_len = usize::from(header[0]);
        let value_len = usize::from(u16::from_le_bytes([header[1], header[2]]));
        let at = entry.wrapping_add(HEADER_BYTES);
        // SAFETY: Within; the key follows the header.
        let key = unsafe { from_raw_parts(at, key_len) };
        // SAFETY: Within; the value follows the key. Nothing is borrowed between calls.
        let value = unsafe { from_raw_parts(at.wrapping_add(key_len), value_len) };
        (key, value)
    }

    #[inline(always)]
    fn same(a: &[u8], b: &[u8]) -> bool {
        match (<&[u8; 16]>::try_from(a), <&[u8; 16]>::try_from(b)) {
            (Ok(a), Ok(b)) => a == b,
            _ => a == b,
        }
    }

    #[inline(always)]
    fn find(&self, key: &[u8], hash: u64) -> Option<Found> {
        let tag = hash & TAG_MASK;
        let mut at = self.bucket_of(hash);
        loop {
            let bucket = self.bucket(at);
            let mut same = Self::scan(bucket, tag);
            while same != 0 {
                let slot = Self::slot(bucket, same.trailing_zeros() as usize);
                // SAFETY: a slot of the table.
                let location = unsafe { *slot } >> TAG_BITS;
                if location != 0 && location != LOCATION_MAX {
                    let entry = self.entry(location);
                    if Self::same(Self::parts(entry).0, key) {
                        return Some(Found { slot, entry });
                    }
                }
                same &= same - 1;
            }
            if !Self::is_full(Self::words(bucket)) {
                return None;
            }
            at = if at + 1 == self.buckets { 0 } else { at + 1 };
        }
    }

    #[inline(always)]
    fn prefetch(at: *const u8) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch changes nothing that the program could see, and faults at no address.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }

    #[inline(always)]
    fn append(&self, key: &[u8], value: &[u8]) -> u64 {
        let tail = self.tail.get();
        let end = tail + HEADER_BYTES + key.len() + value.len();
        assert!(
            end <= self.log_bytes,
            "bound is sized for all that is appended"
        );
        let lengths = (value.len() as u16).to_le_bytes();
        let entry = self.entry(tail as u64 + 1);
        // SAFETY: `tail..end` is within the log, and nothing of it is in use yet.
        unsafe {
            entry
                .cast::<[u8; HEADER_BYTES]>()
                .write([key.len() as u8, lengths[0], lengths[1]])
        };
        // SAFETY: as above.
        let at = unsafe { entry.add(HEADER_BYTES) };
        // SAFETY: as above; `key` lies outside the log, or below `tail`.
        unsafe { at.copy_from_nonoverlapping(key.as_ptr(), key.len()) };
        // SAFETY: as above.
        let at = unsafe { at.add(key.len()) };
        // SAFETY: as above.
        unsafe { at.copy_from_nonoverlapping(value.as_ptr(), value.len()) };
        self.tail.set(end);
        tail as u64 + 1
    }

    #[inline(always)]
    fn insert_hashed(&self, key: &[u8], value: &[u8], hash: u64) {
        let tag = hash & TAG_MASK;
        self.lock(hash);
        if let Some(Found { slot, entry }) = self.find(key, hash) {
            let (old_key, old) = Self::parts(entry);
            if old.len() == value.len() {
                let skip = HEADER_BYTES + old_key.len();
                // SAFETY: Within; the value begins after header and key.
                let at = unsafe { entry.add(skip) };
                // SAFETY: Within, and the lengths are the same; Alone, and `old` is used no more.
                unsafe { at.copy_from_nonoverlapping(value.as_ptr(), value.len()) };
            } else {
                self.holes.set(true);
                // SAFETY: a slot of the table.
                unsafe { *slot = self.append(key, value) << TAG_BITS | tag };
            }
            return;
        }
        let location = self.append(key, value);
        let mut at = self.bucket_of(hash);
        loop {
            let bucket = self.bucket(at);
            for i in 0..SLOTS {
                let slot = Self::slot(bucket, i);
                // SAFETY: a slot of the table.
                if unsafe { matches!(*slot, 0 | REMOVED) } {
                    // SAFETY: as above.
                    unsafe { *slot = location << TAG_BITS | tag };
                    return;
                }
            }
            at = if at + 1 == self.buckets { 0 } else { at + 1 };
        }
    }
}

impl<const LOCKS: bool> Store for Table<LOCKS> {
    type Session<'a> = BoundSession<'a, LOCKS>;

    fn new(plan: &Plan) -> Self {
        assert_eq!(plan.threads, 1, "bound is for one thread");
        let slots = (plan.entries as f64 / LOAD) as usize;
        let buckets = slots.div_ceil(SLOTS).max(2);
        let log_bytes = plan.payload_bytes as usize + plan.entries as usize * HEADER_BYTES;
        let pages = Pages::new(buckets * size_of::<Bucket>() + log_bytes);
        Self {
            pages: pages.expect("memory for the table and the log"),
            buckets,
            log_bytes,
            tail: Cell::new(0),
            holes: Cell::new(false),
            hasher: plan.hasher(),
        }
    }

    fn session(&self) -> BoundSession<'_, LOCKS> {
        BoundSession(self)
    }

    #[inline(always)]
    fn get<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let found = self.find(key, self.hasher.hash_one(key))?;
        Some(read(Self::parts(found.entry).1))
    }

    #[inline]
    fn get_copy(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.get(key, <[u8]>::to_vec)
    }

    #[inline]
    fn insert(&self, key: &[u8], value: &[u8]) {
        self.insert_hashed(key, value, self.hasher.hash_one(key));
    }

    fn insert_many(&self, mut entries: impl Iterator<Item = (Key, [u8; VALUE_BYTES])>) {
        let mut group = [(0, [0; 16], [0; VALUE_BYTES]); GROUP];
        loop {
            let mut filled = 0;
            for (place, (key, value)) in group.iter_mut().zip(&mut entries) {
                let hash = self.hasher.hash_one(&key[..]);
                Self::prefetch(self.bucket(self.bucket_of(hash)).cast());
                *place = (hash, key, value);
                filled += 1;
            }
            for (hash, key, value) in &group[..filled] {
                self.insert_hashed(key, value, *hash);
            }
            if filled < GROUP {
                return;
            }
        }
    }

    #[inline]
    fn remove(&self, key: &[u8]) -> bool {
        let hash = self.hasher.hash_one(key);
        self.lock(hash);
        let Some(found) = self.find(key, hash) else {
            return false;
        };
        self.holes.set(true);
        let line = found.slot.map_addr(|at| at & !(size_of::<Bucket>() - 1));
        // A full bucket may have spilled: its place must not look as if it never had.
        let full = Self::is_full(Self::words(line.cast()));
        let left = if full { REMOVED } else { 0 };
        // SAFETY: a slot of the table.
        unsafe { *found.slot = left };
        true
    }

    fn remove_many(&self, keys: &[Key]) -> usize {
        let mut removed = 0;
        for group in keys.chunks(GROUP) {
            for key in group {
                let hash = self.hasher.hash_one(&key[..]);
                Self::prefetch(self.bucket(self.bucket_of(hash)).cast());
            }
            removed += group.iter().filter(|key| self.remove(&key[..])).count();
        }
        removed
    }

    fn for_each(&self, mut visit: impl FnMut(&[u8], &[u8])) -> bool {
        if !self.holes.get() {
            let mut at = 0;
            while at < self.tail.get() {
                let (key, value) = Self::parts(self.entry(at as u64 + 1));
                visit(key, value);
                at += HEADER_BYTES + key.len() + value.len();
            }
            return true;
        }
        for at in 0..self.buckets {
            for i in 0..SLOTS {
                // SAFETY: a slot of the table.
                let word = unsafe { *Self::slot(self.bucket(at), i) };
                if word != 0 && word != REMOVED {
                    let (key, value) = Self::parts(self.entry(word >> TAG_BITS));
                    visit(key, value);
                }
            }
        }
        true
    }
}

/// Reads, alone or in groups.
pub struct BoundSession<'a, const LOCKS: bool>(&'a Table<LOCKS>);

impl<const LOCKS: bool> Session for BoundSession<'_, LOCKS> {
    #[inline]
    fn get<R>(&mut self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.get(key, read)
    }

    #[inline]
    fn get_many(&mut self, keys: &[Key], mut visit: impl FnMut(usize, Option<&[u8]>)) {
        let bound = self.0;
        for (g, group) in keys.chunks(GROUP).enumerate() {
            let mut hashes = [0; GROUP];
            for (hash, key) in hashes.iter_mut().zip(group) {
                *hash = bound.hasher.hash_one(&key[..]);
                Table::<LOCKS>::prefetch(bound.bucket(bound.bucket_of(*hash)).cast());
            }
            for hash in &hashes[..group.len()] {
                let bucket = bound.bucket(bound.bucket_of(*hash));
                let same = Table::<LOCKS>::scan(bucket, *hash & TAG_MASK);
                if same != 0 {
                    // SAFETY: a slot of the table.
                    let word =
                        unsafe { *Table::<LOCKS>::slot(bucket, same.trailing_zeros() as usize) };
                    let entry = bound.entry(word >> TAG_BITS);
                    Table::<LOCKS>::prefetch(entry);
                    // Header, key and the head of the value may cross into the next line.
                    Table::<LOCKS>::prefetch(entry.wrapping_add(HEADER_BYTES + 16 + 8));
                }
            }
            for (i, (key, hash)) in group.iter().zip(&hashes).enumerate() {
                let found = bound.find(key, *hash);
                let value = found.map(|found| Table::<LOCKS>::parts(found.entry).1);
                visit(g * GROUP + i, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Entries, Sizes, digest};
    use crate::store::Variant;

    #[test]
    fn a_full_table_spills_removes_and_finds() {
        const N: u64 = 20_000;
        let entries = Entries::new(3, Sizes::Fixed);
        let plan = Plan {
            seed: 3,
            entries: N * 2,
            payload_bytes: entries.payload(0..N * 2),
            updates: 0,
            threads: 1,
            variant: Variant::Default,
        };
        let bound = Bound {
            // As full as it gets: most buckets spill.
            buckets: (N as usize).div_ceil(7),
            ..Bound::new(&plan)
        };
        for n in 0..N {
            bound.insert(&entries.key(n), &entries.fixed_value(n, 0));
        }
        assert!((0..N).step_by(2).all(|n| bound.remove(&entries.key(n))));
        assert!((0..N).step_by(2).all(|n| !bound.remove(&entries.key(n))));
        for n in N..N + N / 2 {
            bound.insert(&entries.key(n), &entries.fixed_value(n, 0));
        }
        for n in 0..N * 2 {
            let here = (n < N && n % 2 == 1) || (N..N + N / 2).contains(&n);
            let want = here.then(|| digest(&entries.fixed_value(n, 0)));
            assert_eq!(bound.get(&entries.key(n), digest), want, "{n}");
        }
    }
}
