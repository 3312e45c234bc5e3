//! The bytes of a pool: the only file that turns an offset into a reference.
//!
//! ```text
//! range        |  -  | chunk 1 | chunk 2 | ...                 (reserved once, pages come and go)
//! descriptors  |  -  | 64 bytes | 64 bytes | ...               (beside, not inside: counters at equal offsets of
//!                                                               chunks would share one cache set, and be wiped)
//! ```
//!
//! Invariants that the unsafe blocks below cite (stated in ARCHITECTURE.md):
//! - **Within-range**: every access is checked against the range's length; what was never committed faults, it is not read.
//!   The page after the range is never committed, so what is shorter than a page has only its start checked.
//! - **Written-once**: an entry's bytes are written by the thread that reserved them, before its location is published
//!   (*Published-last*), and only read from then on.
//! - **Pinned-stays**: nothing that a pin can see is used for anything else before the pin ends.
//! - **Words-are-words**: bytes of a block are only ever accessed as `AtomicU64` while it is a block.

#![allow(unsafe_code)]

use super::epoch::Pin;
use super::hold::Hold;
use super::location::{ChunkId, Location};
#[cfg(not(any(cmap_loom, cmap_shuttle)))]
use crate::base::os::Reservation;
use crate::base::sync::{AtomicU32, AtomicU64};

/// A cache line of a block.
pub(crate) type Line = [AtomicU64; 8];

/// What is not longer fits a page of any system.
pub(crate) const SHORT_BYTES_MAX: usize = 1024;

/// What a chunk is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum ChunkState {
    /// In the pool.
    Free = 0,
    /// Lanes take stretches of it.
    Open = 1,
    /// Fully dealt out; only its count changes.
    Sealed = 2,
    /// Its count is zero; it waits for pins.
    Retired = 3,
    /// Dealt out in blocks for tables.
    Blocks = 4,
}

/// What is known of a chunk. One cache line each.
#[repr(align(64))]
#[derive(Debug)]
pub(crate) struct Descriptor {
    /// *Counted*: bytes that may still be reachable. See ARCHITECTURE.md.
    pub(crate) live: AtomicU64,
    /// `live` as the last walk left it: no second walk until it has changed.
    pub(crate) walked: AtomicU64,
    /// A [`ChunkState`].
    pub(crate) state: AtomicU32,
    /// Stretches that a lane still appends to.
    pub(crate) open: AtomicU32,
    /// Holds of it: see `hold.rs`.
    pub(crate) pins: AtomicU32,
    /// Place in the list of its log, or of the pool's block chunks.
    pub(crate) place: AtomicU32,
    /// Next in the pool's free list.
    pub(crate) next: AtomicU32,
    /// When it was last retired, and what became of it: for tests, see `age.rs`.
    #[cfg(not(any(cmap_loom, cmap_shuttle)))]
    pub(crate) note: AtomicU64,
}

const _: () = assert!(cfg!(cmap_loom) || size_of::<Descriptor>() == 64);

#[cfg(not(any(cmap_loom, cmap_shuttle)))]
pub(crate) use real::Arena;

#[cfg(not(any(cmap_loom, cmap_shuttle)))]
mod real {
    use super::super::location::GRANULE;
    use super::{
        AtomicU32, ChunkId, Descriptor, Hold, Line, Location, Pin, Reservation, SHORT_BYTES_MAX,
    };
    use std::io;

    /// The range and its descriptors.
    #[derive(Debug)]
    pub(crate) struct Arena {
        range: Reservation,
        descriptors: Reservation,
        /// A word for each extent that could start somewhere: see `hold.rs`.
        extent_pins: Reservation,
    }

    /// Copies bytes, a few of them without a call: the first ones and the last ones, which may be some of the first.
    ///
    /// # Safety
    /// As many bytes at `to` are the caller's to write, and `bytes` are not among them.
    #[inline(always)]
    unsafe fn copy(bytes: &[u8], to: *mut u8) {
        let (from, len) = (bytes.as_ptr(), bytes.len());
        macro_rules! copy_ends {
            ($count:literal) => {{
                let last = len - $count;
                // SAFETY: by the caller; `len` is at least `$count`, and `last + $count` is `len`.
                unsafe {
                    core::ptr::copy_nonoverlapping(from, to, $count);
                    core::ptr::copy_nonoverlapping(from.add(last), to.add(last), $count);
                }
            }};
        }
        match len {
            0 => {}
            1 => copy_ends!(1),
            2..=3 => copy_ends!(2),
            4..=7 => copy_ends!(4),
            8..=15 => copy_ends!(8),
            16..=32 => copy_ends!(16),
            // SAFETY: by the caller.
            _ => unsafe { core::ptr::copy_nonoverlapping(from, to, len) },
        }
    }

    impl Arena {
        /// Reserves `chunks` chunks of `chunk_bytes`, and words for `extents` extents.
        pub(crate) fn new(chunks: usize, chunk_bytes: usize, extents: usize) -> io::Result<Self> {
            let len = chunks
                .checked_mul(chunk_bytes)
                .ok_or(io::ErrorKind::OutOfMemory)?;
            let range = Reservation::new(len, chunk_bytes.max(crate::base::os::page_size()))?;
            let page = crate::base::os::page_size();
            let table = (chunks * size_of::<Descriptor>()).next_multiple_of(page);
            let descriptors = Reservation::new(table, page)?;
            descriptors.commit(0, table)?;
            let words = (extents * size_of::<AtomicU32>()).next_multiple_of(page);
            let extent_pins = Reservation::new(words, page)?;
            extent_pins.commit(0, words)?;
            Ok(Self {
                range,
                descriptors,
                extent_pins,
            })
        }

        /// An arena of nothing.
        pub(crate) fn none() -> Self {
            Self {
                range: Reservation::none(),
                descriptors: Reservation::none(),
                extent_pins: Reservation::none(),
            }
        }

        /// Makes `len` bytes at `offset` readable and writable; asks for huge pages if wanted.
        pub(crate) fn commit(&self, offset: usize, len: usize, huge: bool) -> io::Result<()> {
            self.range.commit(offset, len)?;
            if huge {
                self.range.advise_huge(offset, len);
            }
            self.gone(offset, len);
            Ok(())
        }

        /// Gives the memory behind `len` bytes at `offset`, which nobody needs any more, back to the system.
        pub(crate) fn give_back(&self, offset: usize, len: usize) {
            self.range.give_back(offset, len);
        }

        #[inline]
        fn at(&self, offset: usize, len: usize) -> *mut u8 {
            let size = self.range.len();
            assert!(
                offset < size && len <= size - offset,
                "location outside the pool"
            );
            // SAFETY: Within-range, just checked.
            unsafe { self.range.base().as_ptr().add(offset) }
        }

        /// The `len` bytes at `at`, of an entry that the pin can see.
        #[inline]
        pub(crate) fn bytes<'p>(&'p self, at: Location, len: usize, _pin: &'p Pin) -> &'p [u8] {
            let from = self.at(at.offset(), len);
            // SAFETY: Within-range (in `at`), Written-once, Pinned-stays.
            unsafe { core::slice::from_raw_parts(from, len) }
        }

        /// The `len` bytes at `start`, of an entry that is held.
        #[inline]
        pub(crate) fn held<'h>(&'h self, start: usize, len: usize, _hold: &'h Hold) -> &'h [u8] {
            let from = self.at(start, len);
            // SAFETY: Within-range (in `at`), Written-once, Held-stays.
            unsafe { core::slice::from_raw_parts(from, len) }
        }

        /// Where something shorter than a page starts; `None` outside the range.
        #[inline(always)]
        fn at_short(&self, offset: usize) -> Option<*mut u8> {
            if offset >= self.range.len() {
                return None;
            }
            // SAFETY: Within-range.
            Some(unsafe { self.range.base().as_ptr().add(offset) })
        }

        /// As [`Arena::bytes`], for at most [`SHORT_BYTES_MAX`]; `None` outside the range and nowhere. For a way that must stay
        /// short: one comparison for both, by which the range's end would pass, where nothing is ever committed.
        #[inline(always)]
        pub(crate) fn short<'p>(
            &'p self,
            at: Location,
            len: usize,
            _pin: &'p Pin,
        ) -> Option<&'p [u8]> {
            let from = self.at_short(at.offset().wrapping_sub(GRANULE))?;
            // SAFETY: Within-range: at most the range's end, which is in the reservation.
            let from = unsafe { from.add(GRANULE) };
            let len = len.min(SHORT_BYTES_MAX);
            // SAFETY: Within-range (in `at_short`), Written-once, Pinned-stays.
            Some(unsafe { core::slice::from_raw_parts(from, len) })
        }

        /// Copies `bytes` to `offset`, in space that the caller reserved and has not published.
        #[inline]
        pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
            let to = self.at(offset, bytes.len());
            // SAFETY: Within-range (in `at`), Written-once: nobody else has this space; `bytes` may be an older entry, but
            // never this one, so they do not overlap.
            unsafe { copy(bytes, to) };
        }

        /// Writes `header`, of which `len` bytes count, and `key` behind it, as [`Arena::write`] does. An entry has at least a
        /// granule, and where its header is no shorter than that, more than 256 bytes: so one of two words is written, and
        /// what it has beyond the header is written once more, as the key or the value.
        #[inline(always)]
        pub(crate) fn write_head(&self, offset: usize, header: [u8; 8], len: usize, key: &[u8]) {
            if len < GRANULE {
                self.write(offset, &header[..GRANULE]);
            } else {
                self.write(offset, &header);
            }
            self.write(offset + len, key);
        }

        /// As [`Arena::write`]; `offset` may be the range's end if there is nothing to copy.
        #[inline]
        pub(crate) fn write_if_any(&self, offset: usize, bytes: &[u8]) {
            if !bytes.is_empty() {
                self.write(offset, bytes);
            }
        }

        /// Has `f` write the `len` bytes at `offset`, zeros at first, in space that the caller reserved and has not published.
        pub(crate) fn fill(&self, offset: usize, len: usize, f: impl FnOnce(&mut [u8])) {
            if len == 0 {
                return f(&mut []);
            }
            let to = self.at(offset, len);
            // SAFETY: Within-range (in `at`), Written-once: nobody else has this space.
            unsafe { core::ptr::write_bytes(to, 0, len) };
            // SAFETY: as above, and written just now. Nobody looks at it before it is published.
            f(unsafe { core::slice::from_raw_parts_mut(to, len) });
        }

        /// Copies `len` bytes of the entry at `from`, which the pin can see, to `to`, which the caller reserved.
        #[inline]
        pub(crate) fn copy(&self, from: Location, to: Location, len: usize, pin: &Pin) {
            self.write(to.offset(), self.bytes(from, len, pin));
        }

        /// Where `bytes`, which this arena showed, lie in the range.
        pub(crate) fn offset_of(&self, bytes: &[u8]) -> usize {
            bytes.as_ptr().addr() - self.range.base().as_ptr().addr()
        }

        /// Sets `count` lines at `at` to zero, in a block that belongs to the caller alone.
        pub(crate) fn zero_lines(&self, at: Location, count: usize) {
            let bytes = count * size_of::<Line>();
            let to = self.at(at.offset(), bytes);
            // SAFETY: Within-range; the block was just dealt out to the caller.
            unsafe { core::ptr::write_bytes(to, 0, bytes) };
        }

        /// The `count` lines of the block at `at`.
        #[inline]
        pub(crate) fn lines<'p>(&'p self, at: Location, count: usize, _pin: &'p Pin) -> &'p [Line] {
            let from = self
                .at(at.offset(), count * size_of::<Line>())
                .cast::<Line>();
            debug_assert!(from.is_aligned());
            // SAFETY: Within-range, Words-are-words, Pinned-stays; blocks start at multiples of 64 bytes.
            unsafe { core::slice::from_raw_parts(from, count) }
        }

        /// The line of a block at `offset`; `None` outside the range.
        #[inline(always)]
        pub(crate) fn line<'p>(&'p self, offset: usize, _pin: &'p Pin) -> Option<&'p Line> {
            let from = self.at_short(offset)?.cast::<Line>();
            debug_assert!(offset % size_of::<Line>() == 0);
            // SAFETY: Within-range, Words-are-words, Pinned-stays.
            Some(unsafe { &*from })
        }

        /// `offset..offset + len` was dealt out: exactly these bytes may be used. Only a checker cares.
        #[inline]
        pub(crate) fn dealt(&self, _offset: usize, _len: usize) {
            #[cfg(cmap_asan)]
            super::poison::lift(self.at(_offset, _len), _len);
        }

        /// What lies in `offset..offset + len` was given back, or is new: nobody may use it. Only a checker cares.
        #[inline]
        pub(crate) fn gone(&self, _offset: usize, _len: usize) {
            #[cfg(cmap_asan)]
            super::poison::lay(self.at(_offset, _len), _len);
            #[cfg(cmap_tsan)]
            // ThreadSanitizer reports a look that does not come before this, or the next write.
            // SAFETY: Within-range (in `at`), Pinned-stays: no pin sees these bytes.
            unsafe {
                core::ptr::write_bytes(self.at(_offset, _len), 0xEE, _len)
            };
        }

        /// Has memory put behind a chunk that nobody has.
        pub(crate) fn touch(&self, offset: usize, len: usize) {
            self.dealt(offset, len);
            self.range.touch(offset, len);
            self.gone(offset, len);
        }

        /// Asks the processor for a line.
        #[inline(always)]
        pub(crate) fn prefetch_line(&self, line: &Line) {
            super::prefetch(line.as_ptr().cast());
        }

        /// Asks the processor for the line at `at`.
        #[inline]
        pub(crate) fn prefetch(&self, at: Location) {
            let line = self.range.base().as_ptr().wrapping_add(at.offset());
            super::prefetch(line);
        }

        /// The same of an entry's first two lines: a small one seldom has more.
        #[inline]
        pub(crate) fn prefetch_entry(&self, at: Location) {
            let line = self.range.base().as_ptr().wrapping_add(at.offset());
            super::prefetch(line);
            super::prefetch(line.wrapping_add(size_of::<Line>()));
        }

        /// The same of the two lines after that of `offset`, where the next entry goes: a locked instruction waits until all that
        /// was written before it has arrived.
        #[inline(always)]
        pub(crate) fn prefetch_next(&self, offset: usize) {
            let line = self.range.base().as_ptr().wrapping_add(offset);
            super::prefetch(line.wrapping_add(size_of::<Line>()));
            super::prefetch(line.wrapping_add(2 * size_of::<Line>()));
        }

        #[inline]
        pub(crate) fn descriptor(&self, id: ChunkId) -> &Descriptor {
            let offset = id.0 as usize * size_of::<Descriptor>();
            assert!(offset < self.descriptors.len(), "chunk outside the pool");
            // SAFETY: Within-range, just checked.
            let from = unsafe { self.descriptors.base().as_ptr().add(offset) };
            // SAFETY: committed zeros are a valid `Descriptor` (atomics only), and nothing else is ever put there.
            unsafe { &*from.cast::<Descriptor>() }
        }

        /// The word of extent number `extent`.
        pub(crate) fn extent_pins(&self, extent: usize) -> &AtomicU32 {
            let offset = extent * size_of::<AtomicU32>();
            assert!(offset < self.extent_pins.len(), "extent outside the pool");
            // SAFETY: Within-range, just checked.
            let from = unsafe { self.extent_pins.base().as_ptr().add(offset) };
            // SAFETY: committed zeros are a valid `AtomicU32`, and nothing else is ever put there.
            unsafe { &*from.cast::<AtomicU32>() }
        }
    }
}

#[inline]
#[cfg(not(any(cmap_loom, cmap_shuttle)))]
fn prefetch(line: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it reads nothing, whatever the address.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(line.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// Bytes that AddressSanitizer reports every use of.
#[cfg(cmap_asan)]
mod poison {
    use core::ffi::c_void;

    // SAFETY: as the sanitizer's `asan_interface.h` declares them.
    unsafe extern "C" {
        fn __asan_poison_memory_region(from: *const c_void, len: usize);
        fn __asan_unpoison_memory_region(from: *const c_void, len: usize);
    }

    pub(super) fn lay(from: *mut u8, len: usize) {
        // SAFETY: it changes the sanitizer's own notes only.
        unsafe { __asan_poison_memory_region(from.cast(), len) };
    }

    pub(super) fn lift(from: *mut u8, len: usize) {
        // SAFETY: as above.
        unsafe { __asan_unpoison_memory_region(from.cast(), len) };
    }
}

#[cfg(any(cmap_loom, cmap_shuttle))]
pub(crate) use model::Arena;

/// The arena under a model checker: the words of a block are its atomics, and each part of an entry has a watch. What is given
/// back is overwritten, and never found again. loom demands that this comes after every look at it; under shuttle a look is a
/// step, and one that comes too late is told.
#[cfg(any(cmap_loom, cmap_shuttle))]
mod model {
    use super::super::watch::Watch;
    use super::{AtomicU32, AtomicU64, ChunkId, Descriptor, Hold, Line, Location, Pin};
    use crate::base::sync::step;
    use core::ptr::NonNull;
    use std::collections::BTreeMap;
    use std::io;
    use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

    const GONE: u8 = 0xEE;
    const GONE_WORD: u64 = u64::from_ne_bytes([GONE; 8]);

    struct Part {
        end: usize,
        /// It was not given back.
        is_there: bool,
        watch: Watch,
    }

    /// Bytes of the range, by the chunks that were ever written to.
    struct Memory {
        chunk_bytes: usize,
        chunks: BTreeMap<usize, NonNull<[u8]>>,
        /// What was written at once, by where it starts. They do not overlap.
        parts: BTreeMap<usize, Part>,
        /// By offset. A block that is given back stays in `buried` until the arena is dropped.
        blocks: BTreeMap<usize, NonNull<[Line]>>,
        buried: Vec<NonNull<[Line]>>,
    }

    // SAFETY: the pointers are to boxes of the arena's own, which a checker's threads, all on one thread of the system, share.
    unsafe impl Send for Memory {}

    impl Memory {
        /// Where the parts that overlap `from..to` start.
        fn overlapping(&self, from: usize, to: usize) -> Vec<usize> {
            let before = self.parts.range(..to).rev();
            let overlapping = before.take_while(|(_, part)| part.end > from);
            overlapping.map(|(&start, _)| start).collect()
        }

        /// The address of `at`, which is written or read within one chunk.
        fn address(&mut self, at: usize, len: usize) -> *mut u8 {
            let (number, within) = (at / self.chunk_bytes, at % self.chunk_bytes);
            assert!(within + len <= self.chunk_bytes, "Within-one-chunk");
            let bytes = self.chunk_bytes;
            let chunk = self.chunks.entry(number).or_insert_with(|| {
                let chunk = vec![GONE; bytes].into_boxed_slice();
                NonNull::from(Box::leak(chunk))
            });
            chunk.cast::<u8>().as_ptr().wrapping_add(within)
        }
    }

    impl Drop for Memory {
        fn drop(&mut self) {
            for chunk in core::mem::take(&mut self.chunks).into_values() {
                // SAFETY: leaked from a box in `address`, and the arena is gone.
                drop(unsafe { Box::from_raw(chunk.as_ptr()) });
            }
            let blocks = core::mem::take(&mut self.blocks).into_values();
            for block in blocks.chain(core::mem::take(&mut self.buried)) {
                // SAFETY: leaked from a box in `zero_lines`, and the arena is gone.
                drop(unsafe { Box::from_raw(block.as_ptr()) });
            }
        }
    }

    pub(crate) struct Arena {
        /// Made when they are first asked for: most chunks are never used.
        descriptors: Box<[OnceLock<Descriptor>]>,
        extent_pins: Box<[OnceLock<AtomicU32>]>,
        memory: Mutex<Memory>,
    }

    impl core::fmt::Debug for Arena {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("Arena")
        }
    }

    impl Arena {
        // A `Result`, as where the system may refuse.
        pub(crate) fn new(chunks: usize, chunk_bytes: usize, extents: usize) -> io::Result<Self> {
            Ok(Self {
                descriptors: (0..chunks).map(|_| OnceLock::new()).collect(),
                extent_pins: (0..extents).map(|_| OnceLock::new()).collect(),
                memory: Mutex::new(Memory {
                    chunk_bytes,
                    chunks: BTreeMap::new(),
                    parts: BTreeMap::new(),
                    blocks: BTreeMap::new(),
                    buried: Vec::new(),
                }),
            })
        }

        pub(crate) fn none() -> Self {
            Self::new(0, 1, 0).expect("it asks the system for nothing")
        }

        // There is no system to ask.
        pub(crate) fn commit(&self, _: usize, _: usize, _: bool) -> io::Result<()> {
            Ok(())
        }

        pub(crate) fn give_back(&self, _: usize, _: usize) {}

        pub(crate) fn touch(&self, _: usize, _: usize) {}

        /// After a step: none may come while it is locked.
        fn memory(&self) -> MutexGuard<'_, Memory> {
            step();
            self.memory.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn short<'p>(
            &'p self,
            at: Location,
            len: usize,
            pin: &'p Pin,
        ) -> Option<&'p [u8]> {
            assert!(len <= super::SHORT_BYTES_MAX);
            (at.offset() != 0).then(|| self.bytes(at, len, pin))
        }

        pub(crate) fn bytes<'p>(&'p self, at: Location, len: usize, _pin: &'p Pin) -> &'p [u8] {
            self.look(at.offset(), len)
        }

        pub(crate) fn held<'h>(&'h self, start: usize, len: usize, _hold: &'h Hold) -> &'h [u8] {
            self.look(start, len)
        }

        pub(crate) fn extent_pins(&self, extent: usize) -> &AtomicU32 {
            self.extent_pins[extent].get_or_init(|| AtomicU32::new(0))
        }

        fn look(&self, start: usize, len: usize) -> &[u8] {
            let mut memory = self.memory();
            let first = memory.parts.range(..=start).next_back();
            let (_, first) = first
                .filter(|(_, part)| part.end > start)
                .expect("Written-once is broken: bytes that nobody wrote are read");
            assert!(
                first.is_there,
                "Pinned-stays is broken: bytes that were given back are read"
            );
            for part in memory.overlapping(start, start + len) {
                // loom reports a write that this look does not come after.
                memory.parts[&part].watch.look();
            }
            let from = memory.address(start, len);
            // SAFETY: within a chunk that lives as long as the arena; checked just now that nobody writes meanwhile.
            unsafe { core::slice::from_raw_parts(from, len) }
        }

        pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
            if bytes.is_empty() {
                return;
            }
            let mut memory = self.memory();
            for start in memory.overlapping(offset, offset + bytes.len()) {
                // loom reports a look that does not come before this write.
                let before = memory.parts.remove(&start);
                before.inspect(|part| part.watch.change());
            }
            let part = Part {
                end: offset + bytes.len(),
                is_there: true,
                watch: Watch::new(),
            };
            // As an act of its own: a new watch dates from the thread's last one.
            part.watch.change();
            memory.parts.insert(offset, part);
            let to = memory.address(offset, bytes.len());
            // SAFETY: within a chunk that lives as long as the arena; checked just now that nobody looks meanwhile.
            unsafe { core::ptr::copy(bytes.as_ptr(), to, bytes.len()) };
        }

        pub(crate) fn write_head(&self, offset: usize, header: [u8; 8], len: usize, key: &[u8]) {
            self.write(offset, &header[..len]);
            self.write(offset + len, key);
        }

        pub(crate) fn write_if_any(&self, offset: usize, bytes: &[u8]) {
            self.write(offset, bytes);
        }

        pub(crate) fn fill(&self, offset: usize, len: usize, f: impl FnOnce(&mut [u8])) {
            let mut bytes = vec![0; len];
            f(&mut bytes);
            self.write(offset, &bytes);
        }

        pub(crate) fn copy(&self, from: Location, to: Location, len: usize, pin: &Pin) {
            let bytes: Vec<u8> = self.bytes(from, len, pin).to_vec();
            self.write(to.offset(), &bytes);
        }

        pub(crate) fn zero_lines(&self, at: Location, count: usize) {
            let line = |_| core::array::from_fn(|_| AtomicU64::new(0));
            let lines: Box<[Line]> = (0..count).map(line).collect();
            let lines = NonNull::from(Box::leak(lines));
            let before = self.memory().blocks.insert(at.offset(), lines);
            assert!(before.is_none(), "a block is dealt out once");
        }

        pub(crate) fn lines<'p>(&'p self, at: Location, count: usize, _pin: &'p Pin) -> &'p [Line] {
            let block = self.memory().blocks.get(&at.offset()).copied();
            let block = block.expect("Pinned-stays is broken: a table that was given back is read");
            // SAFETY: it lives as long as the arena.
            let lines: &[Line] = unsafe { block.as_ref() };
            &lines[..count]
        }

        pub(crate) fn dealt(&self, _offset: usize, _len: usize) {}

        /// What lies in `offset..offset + len` is given back: it is overwritten, and never found again.
        pub(crate) fn gone(&self, offset: usize, len: usize) {
            let mut memory = self.memory();
            for start in memory.overlapping(offset, offset + len) {
                let part = memory.parts.get_mut(&start).expect("just found");
                part.is_there = false;
                // loom reports a look that does not come before this.
                part.watch.change();
                let bytes = part.end - start;
                let at = memory.address(start, bytes);
                // SAFETY: within a chunk that lives as long as the arena; checked just now that nobody looks.
                unsafe { at.write_bytes(GONE, bytes) };
            }
            if let Some(mut block) = memory.blocks.remove(&offset) {
                memory.buried.push(block);
                // SAFETY: it lives as long as the arena; Pinned-stays, which is what loom checks here.
                let lines = unsafe { block.as_mut() };
                for word in lines.iter_mut().flatten() {
                    // loom reports an access that does not come before this, and each that comes later.
                    word.with_mut(|word| *word = GONE_WORD);
                }
            }
        }

        pub(crate) fn line<'p>(&'p self, offset: usize, _pin: &'p Pin) -> Option<&'p Line> {
            let blocks = &self.memory().blocks;
            let before = blocks.iter().filter(|(start, _)| **start <= offset);
            let block = before.max_by_key(|(start, _)| **start);
            let (start, block) = block
                .map(|(start, block)| (*start, *block))
                .expect("a line of a block");
            // SAFETY: it lives as long as the arena.
            let lines: &[Line] = unsafe { block.as_ref() };
            Some(&lines[(offset - start) / 64])
        }

        pub(crate) fn prefetch_line(&self, _line: &Line) {}

        pub(crate) fn prefetch(&self, _at: Location) {}

        pub(crate) fn prefetch_entry(&self, _at: Location) {}

        pub(crate) fn prefetch_next(&self, _offset: usize) {}

        pub(crate) fn descriptor(&self, id: ChunkId) -> &Descriptor {
            self.descriptors[id.0 as usize].get_or_init(|| Descriptor {
                live: AtomicU64::new(0),
                walked: AtomicU64::new(0),
                state: AtomicU32::new(0),
                open: AtomicU32::new(0),
                pins: AtomicU32::new(0),
                place: AtomicU32::new(0),
                next: AtomicU32::new(0),
            })
        }
    }
}
