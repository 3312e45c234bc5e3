//! Walking through a chunk, for compaction.
//!
//! A walk holds a credit of its own in the chunk's count, taken by compare-and-swap and never from zero, so that the chunk
//! stays while it lasts. Its end proves nothing: what is still counted then may be an append that is not published yet.

use super::entry::{self, Head, Record};
use super::lane::Stretch;
use super::log::{Keeper, Log};
use crate::base::interleave;
use crate::base::sync::Ordering;
use crate::memory::{ChunkId, ChunkState, GRANULE, Location, Pin, Pool};

/// Which chunks compaction may choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victims {
    /// The emptiest of eight.
    Sampled,
    /// The emptiest of all.
    All,
    /// The emptiest of all, also if the last walk left it as it is.
    Again,
}

/// A walk through a victim: it holds a credit, so the chunk stays.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) chunk: ChunkId,
    next: usize,
    end: usize,
}

const CREDIT: u64 = if cfg!(planted_walk_without_credit) {
    0
} else {
    1
};

impl Log {
    /// Chooses a victim and starts a walk through it. `None` if no chunk is worth one.
    ///
    /// `live_max`: a chunk with more live bytes is left alone.
    pub(crate) fn start_walk(
        &self,
        pool: &Pool,
        keeper: &impl Keeper,
        pin: &Pin,
        (victims, live_max): (Victims, usize),
        random: u64,
    ) -> Option<Walk> {
        const SAMPLES: usize = 8;
        let chunks = self.chunks.lock();
        let count = chunks.len();
        let looks = if victims == Victims::Sampled {
            SAMPLES.min(count)
        } else {
            count
        };
        let first = if count == 0 {
            0
        } else {
            random as usize % count
        };
        // Golden-ratio steps: eight places spread over the list.
        let step = if victims == Victims::Sampled {
            (count * 5 / 8).max(1)
        } else {
            1
        };
        let best = (0..looks)
            .map(|look| chunks[(first + look * step) % count])
            .filter_map(|id| Some((Self::worth(pool, id, victims)?, id)))
            .filter(|(live, _)| *live <= live_max as u64)
            .min_by_key(|(live, _)| *live)?;
        let descriptor = pool.descriptor(best.1);
        // The credit: never from zero, which means handed over; and one at a time: two walks would be in each other's way.
        let mut live = descriptor.live.load(Ordering::Relaxed);
        interleave::point();
        while live != 0 && live % GRANULE as u64 == 0 {
            // AcqRel: pairs with the fetch_sub in `lower`.
            match descriptor.live.compare_exchange(
                live,
                live + CREDIT,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    drop(chunks);
                    interleave::point();
                    self.take_holes_away(pool, keeper, best.1, pin);
                    let start = pool.chunk_start(best.1);
                    return Some(Walk {
                        chunk: best.1,
                        next: start,
                        end: start + pool.config().chunk_bytes,
                    });
                }
                Err(now) => live = now,
            }
        }
        None
    }

    fn worth(pool: &Pool, id: ChunkId, victims: Victims) -> Option<u64> {
        let descriptor = pool.descriptor(id);
        let live = descriptor.live.load(Ordering::Relaxed);
        let seen = victims != Victims::Again && live == descriptor.walked.load(Ordering::Relaxed);
        let usable = descriptor.state.load(Ordering::Relaxed) == ChunkState::Sealed as u32
            && Self::is_closed(pool, id)
            && descriptor.pins.load(Ordering::Relaxed) == 0
            && live % GRANULE as u64 == 0;
        (usable && !seen && live != 0).then_some(live)
    }

    fn is_closed(pool: &Pool, id: ChunkId) -> bool {
        // Acquire: pairs with the Release in `close`.
        pool.descriptor(id).open.load(Ordering::Acquire) == 0
    }

    /// The next entry of a walk.
    pub(crate) fn step<'p>(pool: &'p Pool, walk: &mut Walk, pin: &'p Pin) -> Option<Head<'p>> {
        while walk.next < walk.end {
            match Self::look(pool, Location::at(walk.next), pin) {
                Ok(head) => {
                    walk.next += head.bytes;
                    return Some(head);
                }
                Err(pad) => walk.next += pad,
            }
        }
        debug_assert_eq!(walk.next, walk.end, "Within-one-chunk");
        None
    }

    /// What a walk showed at `at`, once more: the walk's credit keeps it. Its value may still be being written.
    pub(crate) fn shown<'p>(pool: &'p Pool, at: Location, pin: &'p Pin) -> Head<'p> {
        let head = Self::look(pool, at, pin).ok();
        head.expect("Counted is broken: what a walk showed is gone")
    }

    /// The entry at `at` in a chunk that is walked, or the bytes of the pad there.
    #[inline(always)]
    fn look<'p>(pool: &'p Pool, at: Location, pin: &'p Pin) -> Result<Head<'p>, usize> {
        if let Some(head) = Self::ordinary_head(pool, at, pin) {
            return Ok(head);
        }
        match Self::record_in_walk(pool, at, pin) {
            Record::Entry { header, key, value } => {
                let len = header + key + value;
                Ok(Head {
                    at,
                    key: &pool.arena().bytes(at, header + key, pin)[header..],
                    len,
                    bytes: entry::space(len),
                })
            }
            Record::Pad { bytes } => Err(bytes),
        }
    }

    /// The head of an entry with the common header; `None` says nothing.
    #[inline(always)]
    fn ordinary_head<'p>(pool: &'p Pool, at: Location, pin: &'p Pin) -> Option<Head<'p>> {
        const HEADER_BYTES: usize = entry::ORDINARY_HEADER_BYTES;
        // To the byte: as in `record_in_walk`.
        let start = pool.arena().short(at, HEADER_BYTES, pin)?;
        let Record::Entry { key, value, .. } = entry::decode_ordinary(start)? else {
            return None;
        };
        let len = HEADER_BYTES + key + value;
        Some(Head {
            at,
            key: &pool.arena().short(at, HEADER_BYTES + key, pin)?[HEADER_BYTES..],
            len,
            bytes: entry::space(len),
        })
    }

    /// Gives the walk's credit back, with the `out` bytes of entries that it moved out: unlinked, all at once. What still
    /// lives is left alone until its count has changed.
    pub(crate) fn end_walk(&self, pool: &Pool, keeper: &impl Keeper, walk: &Walk, out: usize) {
        let descriptor = pool.descriptor(walk.chunk);
        if cfg!(planted_retire_after_walk) && descriptor.live.swap(0, Ordering::Relaxed) != 0 {
            return self.hand_over(pool, keeper, walk.chunk);
        }
        let given_back = CREDIT + out as u64;
        let live = descriptor.live.load(Ordering::Relaxed) - given_back;
        descriptor.walked.store(live, Ordering::Relaxed);
        self.lower(pool, keeper, walk.chunk, given_back);
    }

    /// Closes what lanes still hold of sealed chunks, so that those can be walked.
    pub(crate) fn close_idle(&self, pool: &Pool, keeper: &impl Keeper) {
        let is_sealed = |stretch: &Stretch| {
            pool.descriptor(stretch.chunk).state.load(Ordering::Relaxed)
                == ChunkState::Sealed as u32
        };
        self.close_where(pool, keeper, is_sealed);
    }

    fn close_where(&self, pool: &Pool, keeper: &impl Keeper, which: impl Fn(&Stretch) -> bool) {
        for lane in self.streams.iter().flat_map(|stream| &stream.lanes) {
            let Some(locked) = lane.try_lock() else {
                continue;
            };
            let Some(stretch) = locked.stretch().filter(&which) else {
                continue;
            };
            let locked = if cfg!(planted_stretch_taken_late) {
                drop(locked);
                lane.lock()
            } else {
                locked
            };
            locked.set(None);
            drop(locked);
            self.close(pool, keeper, stretch);
        }
    }

    /// Closes idle lanes and, with `streams`, the open chunks as well, so that they can be compacted.
    pub(crate) fn close_lanes(&self, pool: &Pool, keeper: &impl Keeper, streams: bool) {
        self.close_where(pool, keeper, |_| true);
        for stream in self.streams.iter().filter(|_| streams) {
            let taken = core::mem::take(&mut *stream.open.lock());
            if let Some(chunk) = taken.chunk {
                self.seal(pool, keeper, chunk, taken.next);
            }
        }
    }
}
