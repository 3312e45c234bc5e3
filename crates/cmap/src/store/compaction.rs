//! Compaction: moving the living out of mostly dead chunks.
//!
//! A step takes the next entries of the current walk, asks the index of each whether it is still there, and relocates those
//! that are. Nothing is locked between entries, and nothing retires a chunk but its count: the end of a walk proves
//! nothing. Victim: the emptiest of eight samples. Source: R. Sears' and J. Ousterhout's log cleaning; power of choices.

use core::hash::BuildHasher;
use std::time::Duration;

use super::generation::Generation;
use super::store::Store;
use crate::base::interleave;
use crate::base::sync::{Instant, Ordering, rest};
use crate::base::trace;
use crate::index::Home;
use crate::log::{Head, Log, Victims};
use crate::memory::Pin;

/// Entries relocated, and looked at, by one step at most.
const RELOCATIONS_MAX: usize = 32;
const LOOKS_MAX: usize = 128;
/// Bytes that one step copies at most, but for a single larger entry.
const STEP_BYTES: usize = 32 << 10;

/// How far a caller wants compaction to go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Bytes(usize),
    Time(Duration),
    Nothing,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) moved: usize,
    pub(crate) bytes: usize,
    pub(crate) freed: usize,
    /// Nothing is left to do at this target.
    pub(crate) is_all: bool,
    /// Another thread was compacting.
    pub(crate) is_busy: bool,
}

/// What one step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Worked {
        moved: usize,
        bytes: usize,
    },
    /// No chunk is worth a walk.
    Idle,
    /// Another thread is at it.
    Busy,
    /// No memory for survivors.
    Blocked,
}

impl<S: BuildHasher> Store<S> {
    /// Bytes of the log in chunks and extents, and how many of them are dead.
    pub(super) fn dead_bytes(&self, generation: &Generation) -> (usize, usize) {
        let sums = generation.log.sums(&self.pool);
        // No compaction wins the ends of extents' pages.
        let held = sums.live + generation.log.extent_ends();
        (sums.mapped, sums.mapped.saturating_sub(held))
    }

    /// A chunk with more live bytes is not worth its copying when a dead share of `share`/256 is tolerated.
    pub(super) fn live_max(&self, share: usize) -> usize {
        self.pool.config().chunk_bytes / 512 * (512 - share)
    }

    /// One step: at most `bytes` copied, out of a chunk with at most `live_max` live.
    pub(super) fn compact_step(
        &self,
        generation: &Generation,
        pin: &Pin,
        victims: Victims,
        bytes: usize,
        live_max: usize,
        random: u64,
    ) -> Step {
        let Some(mut walk) = generation.walk.try_lock() else {
            return Step::Busy;
        };
        let log = &generation.log;
        if walk.is_none() {
            log.close_idle(&self.pool, self);
            let Some(started) = log.start_walk(&self.pool, victims, live_max, random) else {
                return Step::Idle;
            };
            self.counts.compactions.fetch_add(1, Ordering::Relaxed);
            *walk = Some(started);
        }
        let Some(current) = walk.as_mut() else {
            return Step::Idle;
        };

        // Look ahead: hash the next entries and ask the processor for their buckets, then relocate them.
        let mut batch: [Option<(Head<'_>, u64, Home<'_>)>; RELOCATIONS_MAX] =
            [None; RELOCATIONS_MAX];
        let (mut moved, mut copied, mut looks) = (0, 0, 0);
        let budget = bytes.min(STEP_BYTES);
        while looks < LOOKS_MAX && moved < RELOCATIONS_MAX && (copied < budget || copied == 0) {
            let mut count = 0;
            let mut ahead = 0;
            let most = (RELOCATIONS_MAX - moved).min(LOOKS_MAX - looks);
            while count < most && (copied + ahead < budget || count == 0) {
                let Some(head) = Log::step(&self.pool, current, pin) else {
                    break;
                };
                let hash = self.hash(head.key);
                let home = generation.index.home_of(&self.pool, pin, hash);
                home.prefetch(&self.pool);
                batch[count] = Some((head, hash, home));
                ahead += head.bytes;
                count += 1;
            }
            if count == 0 {
                let finished = walk.take();
                drop(walk);
                if let Some(finished) = finished {
                    log.end_walk(&self.pool, self, &finished);
                    let counts = &self.counts;
                    trace::compacted(|| {
                        [
                            &counts.compactions,
                            &counts.relocations,
                            &counts.bytes_moved,
                        ]
                        .map(|count| count.load(Ordering::Relaxed))
                    });
                }
                return Step::Worked {
                    moved,
                    bytes: copied,
                };
            }
            let before = (moved, copied);
            let mut blocked_at = None;
            for &(ref head, hash, home) in batch[..count].iter().flatten() {
                looks += 1;
                match self.relocate(generation, pin, hash, home, head) {
                    Ok(true) => {
                        moved += 1;
                        copied += head.bytes;
                    }
                    Ok(false) => {}
                    Err(_) => {
                        blocked_at = Some(head.at);
                        break;
                    }
                }
            }
            interleave::point();
            log.moved_out(&self.pool, self, current, copied - before.1);
            let counts = &self.counts;
            // Relaxed, both: figures.
            counts
                .relocations
                .fetch_add((moved - before.0) as u64, Ordering::Relaxed);
            counts
                .bytes_moved
                .fetch_add((copied - before.1) as u64, Ordering::Relaxed);
            if let Some(at) = blocked_at {
                // Come back to this entry when there is memory for it.
                current.rewind(at);
                return Step::Blocked;
            }
        }
        Step::Worked {
            moved,
            bytes: copied,
        }
    }

    /// Compacts down to a dead share of `dead_share`/256, or until `until`.
    pub(crate) fn compact(&self, until: Until, dead_share: usize, thorough: bool) -> Done {
        /// How often to let the thread finish that is at a step.
        const BUSY_MAX: u32 = 100;
        let mut done = Done::default();
        let mut waits = 0;
        let started = Instant::now();
        let freed_before = self.counts.chunks_freed.load(Ordering::Relaxed);
        let chunk = self.pool.config().chunk_bytes;
        let victims = if thorough {
            Victims::Again
        } else {
            Victims::All
        };
        // Each walk either frees something or marks its chunk as seen; `Again` looks at each chunk once more at most.
        let mut walks_left = {
            let pin = self.pin();
            let count = self.generation.load(&pin).map_or(0, |generation| {
                if thorough {
                    generation.log.close_lanes(&self.pool, self, true);
                }
                generation.log.chunk_count()
            });
            4 * count + 8
        };
        loop {
            while self.reclaim() {}
            let is_over = match until {
                Until::Bytes(most) => done.bytes >= most,
                Until::Time(most) => started.elapsed() >= most,
                Until::Nothing => false,
            };
            let pin = self.pin();
            let Some(generation) = self.generation.load(&pin) else {
                done.is_all = true;
                break;
            };
            let (mapped, dead) = self.dead_bytes(generation);
            let open = generation.log.open_bytes(&self.pool);
            // Beyond two passes nothing would be gained: what is left is the ends of stretches.
            done.is_all =
                dead.saturating_sub(open) * 256 <= mapped * dead_share || done.bytes > 2 * mapped;
            if is_over || done.is_all || walks_left == 0 {
                break;
            }
            let most = match until {
                Until::Bytes(most) => most - done.bytes,
                _ => STEP_BYTES,
            };
            let compactions = self.counts.compactions.load(Ordering::Relaxed);
            let random = started.elapsed().as_nanos() as u64;
            let (most, live_max) = (most.max(1), self.live_max(dead_share));
            match self.compact_step(generation, &pin, victims, most, live_max, random) {
                Step::Worked { moved, bytes } => {
                    done.moved += moved;
                    done.bytes += bytes;
                }
                Step::Idle => {
                    done.is_all = true;
                    break;
                }
                Step::Blocked => break,
                Step::Busy => {
                    done.is_busy = true;
                    waits += 1;
                    if waits > BUSY_MAX {
                        break;
                    }
                    drop(pin);
                    rest(Duration::ZERO);
                }
            }
            if self.counts.compactions.load(Ordering::Relaxed) != compactions {
                walks_left -= 1;
            }
        }
        while self.reclaim() {}
        let freed = self.counts.chunks_freed.load(Ordering::Relaxed) - freed_before;
        done.freed = freed as usize * chunk;
        done
    }
}
