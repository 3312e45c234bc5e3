//! Compaction: moving the living out of mostly dead chunks.
//!
//! A step takes the next entries of a walk, asks the index of each whether it is still there, and relocates those that are.
//! Nothing of the map is locked between entries, and nothing retires a chunk but its count: the end of a walk proves nothing.
//! Writers do most of it one entry at a time, in the shadow of their own cache misses. Victim: the emptiest of eight samples. Source: R. Sears' and J. Ousterhout's log cleaning; power of choices.

use core::hash::BuildHasher;
use std::time::Duration;

use super::generation::Generation;
use super::store::Store;
use super::walks::{Held, Next, Walker};
use crate::base::interleave;
use crate::base::sync::{Instant, Ordering, prefer_next, rest};
use crate::base::trace;
use crate::index::{Glance, Home};
use crate::log::{Log, Victims, Walk};
use crate::memory::Pin;

/// Entries relocated, and looked at, by one step at most.
const RELOCATIONS_MAX: usize = 32;
const LOOKS_MAX: usize = 128;
/// Bytes that one step copies at most, but for a single larger entry.
const STEP_BYTES: usize = 32 << 10;
/// Entries looked at, and the largest one relocated, while a writer waits for a line.
const MEANWHILE_LOOKS: usize = 2;
const MEANWHILE_BYTES: usize = 1 << 10;

/// Which chunks are worth a walk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    pub(super) victims: Victims,
    /// A chunk with more live bytes is left alone.
    pub(super) live_max: usize,
    pub(super) random: u64,
}

/// What became of the next entry of a walk.
enum Advance {
    /// So many bytes were copied; none where the entry was dead.
    On(usize),
    /// It is larger than what was asked for.
    Larger,
    /// No memory for it.
    Blocked,
    End,
}

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

    /// One step: at most `bytes` copied, by a walk that nobody is at, or a new one.
    pub(super) fn compact_step(
        &self,
        generation: &Generation,
        pin: &Pin,
        search: Search,
        bytes: usize,
    ) -> Step {
        let mut is_busy = false;
        for seat in generation.walks.all() {
            match seat.try_lock() {
                Some(held) if held.walker.is_some() => {
                    return self.walk_on(generation, pin, held, bytes);
                }
                Some(_) => {}
                None => is_busy = true,
            }
        }
        let Some(mut held) = generation.walks.own().try_lock() else {
            return Step::Busy;
        };
        // Somebody who shares the seat may have started one since we looked.
        let is_free = held.walker.is_none() || cfg!(planted_walk_overwritten);
        match is_free.then(|| self.start(generation, pin, &mut held, search)) {
            None | Some(Some(true)) => self.walk_on(generation, pin, held, bytes),
            Some(Some(false)) if !is_busy => Step::Idle,
            Some(_) => Step::Busy,
        }
    }

    /// What a writer owes: works off what was granted the last time and not spent since, and grants it `bytes` more.
    pub(super) fn compact_own(
        &self,
        generation: &Generation,
        pin: &Pin,
        search: Search,
        bytes: usize,
    ) -> Step {
        let walks = &generation.walks;
        let Some(mut held) = walks.own().try_lock() else {
            prefer_next();
            return Step::Busy;
        };
        if held.walker.is_none() {
            // One that was left alone first: no chunk stays half moved because its thread has nothing more to write.
            *held.walker = walks.abandoned(search.random);
        }
        if held.walker.is_none() {
            let started = self.start(generation, pin, &mut held, search);
            if started != Some(true) {
                *held.walker = walks.any_other();
            }
            if held.walker.is_none() {
                return started.map_or(Step::Busy, |_| Step::Idle);
            }
        }
        let left = held.take_granted();
        held.grant(bytes);
        if left == 0 {
            return Step::Worked { moved: 0, bytes: 0 };
        }
        self.walk_on(generation, pin, held, left)
    }

    /// Starts a walk in an empty seat. `Some(false)`: no chunk is worth one. `None`: there are enough of them.
    fn start(
        &self,
        generation: &Generation,
        pin: &Pin,
        held: &mut Held<'_>,
        search: Search,
    ) -> Option<bool> {
        let (log, walks) = (&generation.log, &generation.walks);
        // The chunks that a limit keeps for survivors are enough for one walk.
        let more = if self.pool.is_limited() {
            0
        } else {
            log.chunk_count() / self.tuning.chunks_a_walk
        };
        if !walks.enter(1 + more) {
            return None;
        }
        log.close_idle(&self.pool, self);
        let Search {
            victims,
            live_max,
            random,
        } = search;
        let walk = log.start_walk(&self.pool, self, pin, (victims, live_max), random);
        *held.walker = walk.map(Walker::new);
        let is_started = held.walker.is_some();
        if is_started {
            self.counts.compactions.fetch_add(1, Ordering::Relaxed);
        } else {
            walks.leave();
        }
        Some(is_started)
    }

    /// Goes on with the seat's walk; ends it where it is through.
    fn walk_on(
        &self,
        generation: &Generation,
        pin: &Pin,
        mut held: Held<'_>,
        bytes: usize,
    ) -> Step {
        let (mut moved, mut copied, mut looks) = (0, 0, 0);
        let budget = bytes.min(STEP_BYTES);
        while looks < LOOKS_MAX && moved < RELOCATIONS_MAX && (copied < budget || copied == 0) {
            let Some(walker) = held.walker.as_mut() else {
                break;
            };
            match self.advance(generation, pin, walker, usize::MAX) {
                Advance::On(bytes) => {
                    looks += 1;
                    moved += usize::from(bytes > 0);
                    copied += bytes;
                }
                Advance::End => {
                    self.finish(generation, held);
                    return Step::Worked {
                        moved,
                        bytes: copied,
                    };
                }
                Advance::Larger | Advance::Blocked => {
                    self.note(walker);
                    held.take_granted();
                    return Step::Blocked;
                }
            }
        }
        if let Some(walker) = held.walker.as_mut() {
            self.note(walker);
        }
        Step::Worked {
            moved,
            bytes: copied,
        }
    }

    /// Relocates the next entry of a walk if it is alive, and not larger than `most`.
    #[inline]
    fn advance(
        &self,
        generation: &Generation,
        pin: &Pin,
        walker: &mut Walker,
        most: usize,
    ) -> Advance {
        let show = |walk: &mut Walk| {
            let head = Log::step(&self.pool, walk, pin)?;
            let hash = self.hash(head.key);
            let home = generation.index.home_of(&self.pool, pin, hash);
            home.prefetch(&self.pool);
            Some(Next::of(&head, hash))
        };
        let Some(next) = walker.first(show) else {
            return Advance::End;
        };
        let bytes = next.bytes as usize;
        debug_assert_eq!(Log::shown(&self.pool, next.at, pin).bytes, bytes);
        if bytes > most {
            return Advance::Larger;
        }
        let moved = match self.relocate(generation, pin, &next) {
            Ok(true) => bytes,
            Ok(false) => 0,
            // It stays the next one, until there is memory for it.
            Err(_) => return Advance::Blocked,
        };
        interleave::point();
        // Before anything is shown: the hasher may panic.
        walker.out += moved;
        walker.unnoted.0 += u64::from(moved > 0);
        walker.unnoted.1 += moved as u64;
        walker.pass(show);
        Advance::On(moved)
    }

    /// Ends the seat's walk, if it has one, and then tells so.
    pub(super) fn finish(&self, generation: &Generation, mut held: Held<'_>) {
        let Some(mut walker) = held.walker.take() else {
            return;
        };
        self.note(&mut walker);
        generation
            .log
            .end_walk(&self.pool, self, &walker.walk, walker.out);
        generation.walks.leave();
        drop(held);
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

    fn note(&self, walker: &mut Walker) {
        let (moved, bytes) = core::mem::take(&mut walker.unnoted);
        // Relaxed, both: figures.
        self.counts.relocations.fetch_add(moved, Ordering::Relaxed);
        self.counts.bytes_moved.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Compacts, if that was granted, while the processor fetches what the caller looks at next: the bucket at `home`, and then
    /// the entry that is probably meant.
    #[inline(always)]
    pub(super) fn compact_meanwhile(&self, generation: &Generation, pin: &Pin, home: Home<'_>) {
        if generation.walks.own().is_granted() {
            self.compact_granted(generation, pin, home);
        }
    }

    #[inline(never)]
    fn compact_granted(&self, generation: &Generation, pin: &Pin, home: Home<'_>) {
        let Some(held) = generation.walks.own().try_lock() else {
            prefer_next();
            return;
        };
        let held = self.compact_a_little(generation, pin, held);
        if let Glance::Likely(at) = home.glance() {
            self.pool.arena().prefetch_entry(at);
            if let Some(held) = held {
                self.compact_a_little(generation, pin, held);
            }
        }
    }

    /// Relocates one entry. Gives the seat back where there is more to be done.
    fn compact_a_little<'g>(
        &self,
        generation: &'g Generation,
        pin: &Pin,
        mut held: Held<'g>,
    ) -> Option<Held<'g>> {
        for _ in 0..MEANWHILE_LOOKS {
            match self.advance(generation, pin, held.walker.as_mut()?, MEANWHILE_BYTES) {
                Advance::On(0) => {}
                Advance::On(bytes) => return (held.spend(bytes) > 0).then_some(held),
                Advance::End => {
                    self.finish(generation, held);
                    return None;
                }
                Advance::Larger => {
                    held.set_aside();
                    return None;
                }
                Advance::Blocked => {
                    held.take_granted();
                    return None;
                }
            }
        }
        Some(held)
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
                let log = &generation.log;
                if thorough || matches!(until, Until::Nothing) {
                    log.give_holes_up(&self.pool, self, thorough, &pin);
                }
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
            let search = Search {
                victims,
                live_max: self.live_max(dead_share),
                random,
            };
            match self.compact_step(generation, &pin, search, most.max(1)) {
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
