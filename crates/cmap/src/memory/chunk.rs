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
//! - **Written-once**: an entry's bytes are written by the thread that reserved them, before its location is published
//!   (*Published-last*), and only read from then on.
//! - **Pinned-stays**: nothing that a pin can see is used for anything else before the pin ends.
//! - **Words-are-words**: bytes of a block are only ever accessed as `AtomicU64` while it is a block.

#![allow(unsafe_code)]

use super::epoch::Pin;
use super::location::{ChunkId, Location};
use crate::base::os::Reservation;
use crate::base::sync::{AtomicU32, AtomicU64};

/// A cache line of a block.
pub(crate) type Line = [AtomicU64; 8];

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
    /// References that outlive pins (none in this version).
    pub(crate) pins: AtomicU32,
    /// Place in the list of its log, or of the pool's block chunks.
    pub(crate) place: AtomicU32,
    /// Next in the pool's free list.
    pub(crate) next: AtomicU32,
}

const _: () = assert!(cfg!(cmap_loom) || size_of::<Descriptor>() == 64);

#[cfg(not(cmap_loom))]
pub(crate) use real::Arena;

#[cfg(not(cmap_loom))]
mod real {
    use super::{ChunkId, Descriptor, Line, Location, Pin, Reservation};
    use std::io;

    /// The range and its descriptors.
    #[derive(Debug)]
    pub(crate) struct Arena {
        range: Reservation,
        descriptors: Reservation,
    }

    impl Arena {
        /// Reserves `chunks` chunks of `chunk_bytes`.
        pub(crate) fn new(chunks: usize, chunk_bytes: usize) -> io::Result<Self> {
            let len = chunks
                .checked_mul(chunk_bytes)
                .ok_or(io::ErrorKind::OutOfMemory)?;
            let range = Reservation::new(len, chunk_bytes.max(crate::base::os::page_size()))?;
            let page = crate::base::os::page_size();
            let table = (chunks * size_of::<Descriptor>()).next_multiple_of(page);
            let descriptors = Reservation::new(table, page)?;
            descriptors.commit(0, table)?;
            Ok(Self { range, descriptors })
        }

        /// An arena of nothing.
        pub(crate) fn none() -> Self {
            Self {
                range: Reservation::none(),
                descriptors: Reservation::none(),
            }
        }

        pub(crate) fn range(&self) -> &Reservation {
            &self.range
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

        /// Copies `bytes` to `offset`, in space that the caller reserved and has not published.
        #[inline]
        pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
            let to = self.at(offset, bytes.len());
            // SAFETY: Within-range (in `at`), Written-once: nobody else has this space; `bytes` may be an older entry, but
            // never this one, so they do not overlap.
            unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        }

        /// As [`Arena::write`]; `offset` may be the range's end if there is nothing to copy.
        #[inline]
        pub(crate) fn write_if_any(&self, offset: usize, bytes: &[u8]) {
            if !bytes.is_empty() {
                self.write(offset, bytes);
            }
        }

        /// Copies `len` bytes of the entry at `from`, which the pin can see, to `to`, which the caller reserved.
        #[inline]
        pub(crate) fn copy(&self, from: Location, to: Location, len: usize, pin: &Pin) {
            self.write(to.offset(), self.bytes(from, len, pin));
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

        /// The line of a block at `offset`.
        #[inline]
        pub(crate) fn line<'p>(&'p self, offset: usize, _pin: &'p Pin) -> &'p Line {
            let from = self.at(offset, size_of::<Line>()).cast::<Line>();
            debug_assert!(offset % size_of::<Line>() == 0);
            // SAFETY: Within-range, Words-are-words, Pinned-stays.
            unsafe { &*from }
        }

        /// Asks the processor for the line at `at`.
        #[inline]
        pub(crate) fn prefetch(&self, at: Location) {
            let line = self.range.base().as_ptr().wrapping_add(at.offset());
            super::prefetch(line);
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
    }
}

#[inline]
#[cfg(not(cmap_loom))]
fn prefetch(line: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it reads nothing, whatever the address.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(line.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

#[cfg(cmap_loom)]
pub(crate) use model::Arena;

/// The arena under loom: every block is an array of loom's atomics, every entry a plain copy that loom watches.
#[cfg(cmap_loom)]
mod model {
    use super::{AtomicU32, AtomicU64, ChunkId, Descriptor, Line, Location, Pin};
    use std::collections::HashMap;
    use std::io;
    use std::sync::Mutex;

    struct Written {
        bytes: Box<[u8]>,
        watch: loom::cell::UnsafeCell<()>,
    }

    pub(crate) struct Arena {
        descriptors: Vec<Descriptor>,
        blocks: Mutex<HashMap<usize, &'static [Line]>>,
        entries: Mutex<HashMap<usize, &'static Written>>,
    }

    impl core::fmt::Debug for Arena {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("Arena")
        }
    }

    impl Arena {
        pub(crate) fn new(chunks: usize, _chunk_bytes: usize) -> io::Result<Self> {
            let descriptors = (0..chunks)
                .map(|_| Descriptor {
                    live: AtomicU64::new(0),
                    walked: AtomicU64::new(0),
                    state: AtomicU32::new(0),
                    open: AtomicU32::new(0),
                    pins: AtomicU32::new(0),
                    place: AtomicU32::new(0),
                    next: AtomicU32::new(0),
                })
                .collect();
            Ok(Self {
                descriptors,
                blocks: Mutex::default(),
                entries: Mutex::default(),
            })
        }

        pub(crate) fn none() -> Self {
            Self {
                descriptors: Vec::new(),
                blocks: Mutex::default(),
                entries: Mutex::default(),
            }
        }

        pub(crate) fn bytes<'p>(&'p self, at: Location, len: usize, _pin: &'p Pin) -> &'p [u8] {
            let entries = self.entries.lock().unwrap();
            // An entry is read in parts: find the write that covers `at`.
            let (start, written) = entries
                .iter()
                .filter(|(start, written)| {
                    **start <= at.offset() && at.offset() < **start + written.bytes.len()
                })
                .map(|(start, written)| (*start, *written))
                .max_by_key(|(start, _)| *start)
                .expect("bytes that were written");
            drop(entries);
            written.watch.with(|_| ());
            let from = at.offset() - start;
            let end = (from + len).min(written.bytes.len());
            &written.bytes[from..end]
        }

        pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
            let written = Box::leak(Box::new(Written {
                bytes: bytes.into(),
                watch: loom::cell::UnsafeCell::new(()),
            }));
            if let Some(old) = self.entries.lock().unwrap().insert(offset, written) {
                // Space used again: loom reports it if a reader may still look.
                old.watch.with_mut(|_| ());
            }
            written.watch.with_mut(|_| ());
        }

        pub(crate) fn write_if_any(&self, offset: usize, bytes: &[u8]) {
            if !bytes.is_empty() {
                self.write(offset, bytes);
            }
        }

        pub(crate) fn copy(&self, from: Location, to: Location, len: usize, pin: &Pin) {
            let bytes: Vec<u8> = self.bytes(from, len, pin).to_vec();
            self.write(to.offset(), &bytes);
        }

        pub(crate) fn zero_lines(&self, at: Location, count: usize) {
            let line = |_| core::array::from_fn(|_| AtomicU64::new(0));
            let lines: Box<[Line]> = (0..count).map(line).collect();
            self.blocks
                .lock()
                .unwrap()
                .insert(at.offset(), Box::leak(lines));
        }

        pub(crate) fn lines<'p>(&'p self, at: Location, count: usize, _pin: &'p Pin) -> &'p [Line] {
            &self.blocks.lock().unwrap()[&at.offset()][..count]
        }

        pub(crate) fn line<'p>(&'p self, offset: usize, _pin: &'p Pin) -> &'p Line {
            let blocks = self.blocks.lock().unwrap();
            let block = blocks
                .iter()
                .filter(|(start, _)| **start <= offset)
                .max_by_key(|(start, _)| **start);
            let (start, lines) = block.expect("a line of a block");
            &lines[(offset - start) / 64]
        }

        pub(crate) fn prefetch(&self, _at: Location) {}

        pub(crate) fn descriptor(&self, id: ChunkId) -> &Descriptor {
            &self.descriptors[id.0 as usize]
        }
    }
}
