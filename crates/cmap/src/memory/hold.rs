//! Holds: memory that stays beyond every pin, for values that are handed out without a copy.
//!
//! Each chunk, and each extent, has a word:
//! ```text
//! 31     30                 0
//! | GONE | holds             |     GONE: its owner has given it up; the last hold gives it to the pool
//! ```
//! A hold is taken under a pin that sees the thing in use, or from another hold. The owner gives a thing up when no pin sees
//! it any more: from then on the holds only fall. So either the owner finds none and gives the thing to the pool at once,
//! or the hold that ends last does, and nobody else (**Held-stays**).

use super::epoch::{Pin, Quiesced};
use super::location::{ChunkId, Location};
use super::pool::Pool;
use crate::base::sync::{Arc, AtomicU32, AtomicUsize, Ordering};

const GONE: u32 = 1 << 31;

/// From where a map's holds come, and what only they keep.
pub(crate) struct Holder {
    pool: Arc<Pool>,
    /// Bytes, and whole chunks among them, that were given up and wait for holds.
    bytes: AtomicUsize,
    chunks: AtomicUsize,
}

/// A promise that some bytes of one entry stay. It can go anywhere and outlive the map.
pub(crate) struct Hold {
    holder: Arc<Holder>,
    thing: Thing,
    /// Where its bytes are in the pool's range.
    start: usize,
    len: usize,
}

#[derive(Clone, Copy)]
enum Thing {
    Chunk(ChunkId),
    /// Of an entry of so many bytes.
    Extent(Location, usize),
}

impl Holder {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self {
            pool,
            bytes: AtomicUsize::new(0),
            chunks: AtomicUsize::new(0),
        }
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Bytes that nothing but holds keeps.
    pub(crate) fn bytes(&self) -> usize {
        // Relaxed, here and below: figures.
        self.bytes.load(Ordering::Relaxed)
    }

    /// Chunks among them.
    pub(crate) fn chunks(&self) -> usize {
        self.chunks.load(Ordering::Relaxed)
    }

    /// Holds `len` bytes from offset `start` on, of the entry of `bytes` at `at`, which the pin can see.
    pub(crate) fn hold(
        this: &Arc<Self>,
        (at, bytes): (Location, usize),
        (start, len): (usize, usize),
        _pin: &Pin,
    ) -> Hold {
        let thing = if this.pool.is_extent(at) {
            Thing::Extent(at, bytes)
        } else {
            Thing::Chunk(this.pool.chunk_of(at))
        };
        take(this.word(thing));
        Hold {
            holder: this.clone(),
            thing,
            start,
            len,
        }
    }

    /// Gives a chunk to the pool, or leaves that to its last hold. Whether the pool has it.
    pub(crate) fn give_chunk(&self, id: ChunkId, no_pin_sees_it: &Quiesced) -> bool {
        self.give_up(Thing::Chunk(id), no_pin_sees_it)
    }

    /// The same with the extent of an entry of `bytes`.
    pub(crate) fn give_extent(&self, at: Location, bytes: usize, no_pin_sees_it: &Quiesced) {
        self.give_up(Thing::Extent(at, bytes), no_pin_sees_it);
    }

    fn word(&self, thing: Thing) -> &AtomicU32 {
        match thing {
            Thing::Chunk(id) => &self.pool.descriptor(id).pins,
            Thing::Extent(at, _) => self.pool.extent_pins(at),
        }
    }

    /// What it is charged, and how many chunks that is.
    fn size(&self, thing: Thing) -> (usize, usize) {
        match thing {
            Thing::Chunk(_) => (self.pool.config().chunk_bytes, 1),
            Thing::Extent(_, bytes) => (self.pool.extent_bytes(bytes), 0),
        }
    }

    fn give_up(&self, thing: Thing, no_pin_sees_it: &Quiesced) -> bool {
        let word = self.word(thing);
        // Acquire: pairs with the Release in `Hold::drop`: what the holds read comes before what the pool does.
        let is_free = cfg!(planted_hold_ignored) || word.load(Ordering::Acquire) == 0 || {
            let (bytes, chunks) = self.size(thing);
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            self.chunks.fetch_add(chunks, Ordering::Relaxed);
            // AcqRel: pairs with itself and with `Hold::drop`: one of us comes last, after all others.
            let is_last = word.fetch_or(GONE, Ordering::AcqRel) == 0;
            if is_last {
                self.uncount(thing);
            }
            is_last
        };
        if is_free {
            self.give(thing, no_pin_sees_it);
        }
        is_free
    }

    fn uncount(&self, thing: Thing) {
        let (bytes, chunks) = self.size(thing);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.chunks.fetch_sub(chunks, Ordering::Relaxed);
    }

    fn give(&self, thing: Thing, no_pin_sees_it: &Quiesced) {
        let word = self.word(thing);
        // Relaxed: the thing is ours, and the next to have it comes through the pool's mutex.
        if word.load(Ordering::Relaxed) != 0 {
            word.store(0, Ordering::Relaxed);
        }
        match thing {
            Thing::Chunk(id) => self.pool.give_chunk(id, no_pin_sees_it),
            Thing::Extent(at, bytes) => self.pool.give_extent(at, bytes, no_pin_sees_it),
        }
    }
}

fn take(word: &AtomicU32) {
    // Relaxed: whoever gives the thing up comes after the end of our pin, or of the hold that we are made from.
    let before = word.fetch_add(1, Ordering::Relaxed) & !GONE;
    assert!(
        before < GONE / 2,
        "at most a thousand million references to the values of one chunk"
    );
}

impl Hold {
    /// The bytes.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        let arena = self.holder.pool.arena();
        arena.held(self.start, self.len, self)
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        take(self.holder.word(self.thing));
        Self {
            holder: self.holder.clone(),
            ..*self
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let holder = &self.holder;
        if holder.pool.is_foreign() {
            // A forked child: nothing is given back, and the pool's mutex may be locked for ever.
            return;
        }
        let order = if cfg!(planted_relaxed_release) {
            Ordering::Relaxed
        } else {
            // AcqRel: pairs with itself and with `give_up`: what we read comes before what the last one does.
            Ordering::AcqRel
        };
        if holder.word(self.thing).fetch_sub(1, order) == GONE | 1 {
            holder.uncount(self.thing);
            // Given up after its grace period, and ours was the last hold.
            holder.give(self.thing, &Quiesced::assert());
        }
    }
}
