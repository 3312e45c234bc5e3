//! The pool: one reserved range, dealt out in chunks, blocks and extents, within a limit.
//!
//! ```text
//! 0        1                quarter                  three quarters            end
//! | unused | chunks of small pages ->|  extents ->            |<- chunks of huge pages |
//! ```
//! Small pages and huge ones come from opposite ends and never change side: each change would be a mapping of its own to
//! the system. Every byte that may be resident is *charged* first; a charge beyond the limit is refused with the numbers.
//! Two chunks of a limit are the compactor's alone, so that it can always finish.
//!
//! Everything here is a slow path (once per chunk, table or extent), under one mutex.

use super::blocks::{BLOCK_UNITS_MAX, Blocks};
use super::chunk::{Arena, ChunkState, Descriptor, Line};
use super::epoch::{Pin, Quiesced, domain};
use super::extents::{Extents, NoRun};
use super::location::{ChunkId, Location};
use super::request::{BlockClass, Config, Refused, Side, Usage, Who};
use crate::base::os;
use crate::base::sync::{AtomicU32, AtomicU64, AtomicUsize, Mutex, Ordering};

/// Extents start at multiples of this many bytes, or less.
const EXTENT_UNIT_MAX: usize = 64 << 10;

const NONE: u32 = 0;

fn extent_unit(chunk_bytes: usize) -> usize {
    (chunk_bytes / 32).min(EXTENT_UNIT_MAX).max(os::page_size())
}

#[derive(Debug)]
struct State {
    /// Never committed: small pages from here up, huge pages from there down.
    fresh: core::ops::Range<u32>,
    /// Heads of free lists: resident, and given back to the system, by side.
    resident: [u32; 2],
    returned: [u32; 2],
    resident_bytes: usize,
    /// Resident bytes that somebody asked to keep (`preallocate`).
    promised_bytes: usize,
    chunks_in_use: usize,
    blocks: Blocks,
    extents: Extents,
    /// Charged: chunks, resident free chunks, extents, heap.
    charged: usize,
}

/// Makes the n-th request for memory fail, for tests of what happens then.
#[derive(Debug, Default)]
struct Faults {
    requests: u64,
    fail_at: u64,
    sticky: bool,
}

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Pool {
    config: Config,
    arena: Arena,
    chunk_shift: u32,
    chunk_count: u32,
    extent_region: core::ops::Range<usize>,
    extent_unit: usize,
    state: Mutex<State>,
    /// A copy of what the mutex protects, for figures.
    charged: AtomicUsize,
    given_back: AtomicU64,
    faults: Mutex<Faults>,
    /// The fork count at birth: in a forked child the mutex may be locked for ever.
    born: u32,
}

impl Pool {
    /// Reserves the range; halves it where refused.
    pub(crate) fn new(config: Config) -> Result<Self, Refused> {
        assert!(config.chunk_bytes.is_power_of_two());
        assert!(
            config
                .block_bytes
                .iter()
                .all(|b| b % 64 == 0 && *b <= config.chunk_bytes)
        );
        let this_many = |bytes: &usize| bytes / config.block_bytes[0].min(config.block_bytes[1]);
        assert!(
            config
                .block_bytes
                .iter()
                .map(this_many)
                .all(|n| n <= BLOCK_UNITS_MAX / 2)
        );
        if !domain().prepare() {
            return Err(Refused::System {
                bytes: config.chunk_bytes,
            });
        }
        const CHUNKS_MIN: usize = 16;
        let chunk_bytes = config.chunk_bytes;
        let mut chunks = (config.address_space / chunk_bytes)
            .clamp(CHUNKS_MIN, (1 << 42) / chunk_bytes)
            .min(1 << 30);
        let extent_unit = extent_unit(chunk_bytes);
        let arena = loop {
            match Arena::new(chunks, chunk_bytes, chunks / 2 * chunk_bytes / extent_unit) {
                Ok(arena) => break arena,
                Err(_) if chunks > CHUNKS_MIN => chunks = (chunks / 2).max(CHUNKS_MIN),
                Err(_) => {
                    return Err(Refused::System {
                        bytes: chunks * chunk_bytes,
                    });
                }
            }
        };
        Ok(Self::of(config, arena, chunks))
    }

    fn of(config: Config, arena: Arena, chunks: usize) -> Self {
        let chunk_bytes = config.chunk_bytes;
        let quarter = chunks / 4;
        let region = quarter * chunk_bytes..3 * quarter * chunk_bytes;
        let extent_unit = extent_unit(chunk_bytes);
        let state = State {
            fresh: 1..(chunks as u32).max(1),
            resident: [NONE; 2],
            returned: [NONE; 2],
            resident_bytes: 0,
            promised_bytes: 0,
            chunks_in_use: 0,
            blocks: Blocks::default(),
            extents: Extents::new(region.len() / extent_unit),
            charged: 0,
        };
        Self {
            config,
            arena,
            chunk_shift: chunk_bytes.trailing_zeros(),
            chunk_count: chunks as u32,
            extent_region: region,
            extent_unit,
            state: Mutex::new(state),
            charged: AtomicUsize::new(0),
            given_back: AtomicU64::new(0),
            faults: Mutex::new(Faults::default()),
            born: domain().forks(),
        }
    }

    /// As [`Pool::new`]; where even the smallest range is refused, a pool that has nothing to give.
    pub(crate) fn new_or_none(config: Config) -> Self {
        Self::new(config).unwrap_or_else(|_| Self::of(config, Arena::none(), 0))
    }

    /// Whether it has nothing to give.
    pub(crate) fn is_none(&self) -> bool {
        self.chunk_count == 0
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn is_foreign(&self) -> bool {
        self.born != domain().forks()
    }

    #[inline]
    pub(crate) fn arena(&self) -> &Arena {
        &self.arena
    }

    #[inline]
    pub(crate) fn chunk_of(&self, at: Location) -> ChunkId {
        ChunkId((at.offset() >> self.chunk_shift) as u32)
    }

    pub(crate) fn chunk_start(&self, id: ChunkId) -> usize {
        (id.0 as usize) << self.chunk_shift
    }

    #[inline]
    pub(crate) fn is_extent(&self, at: Location) -> bool {
        self.extent_region.contains(&at.offset())
    }

    #[inline]
    pub(crate) fn descriptor(&self, id: ChunkId) -> &Descriptor {
        self.arena.descriptor(id)
    }

    /// The word that counts the holds of an extent.
    pub(super) fn extent_pins(&self, at: Location) -> &AtomicU32 {
        let start = (at.offset() - self.extent_region.start) / self.extent_unit;
        self.arena.extent_pins(start)
    }

    // --- charging ---

    /// Charges `bytes`, giving back free chunks where that makes room.
    fn charge(&self, state: &mut State, bytes: usize, who: Who) -> Result<(), Refused> {
        while self.charge_more(state, bytes, who).is_err() {
            if !self.return_one(state) {
                return self.charge_more(state, bytes, who);
            }
        }
        Ok(())
    }

    /// How much may be in use when a charge of `who` is made.
    fn ceiling(&self, who: Who) -> usize {
        let own = 2 * self.config.chunk_bytes * usize::from(who == Who::Writer);
        let max = self.config.max_bytes.unwrap_or(isize::MAX as usize);
        max.saturating_sub(own)
    }

    fn charge_more(&self, state: &mut State, bytes: usize, who: Who) -> Result<(), Refused> {
        let available = self.ceiling(who).saturating_sub(state.charged);
        if bytes > available {
            return Err(Refused::Limit {
                needed: bytes,
                available,
            });
        }
        state.charged += bytes;
        self.charged.store(state.charged, Ordering::Relaxed);
        Ok(())
    }

    fn uncharge(&self, state: &mut State, bytes: usize) {
        debug_assert!(state.charged >= bytes);
        state.charged -= bytes;
        self.charged.store(state.charged, Ordering::Relaxed);
    }

    /// Charges memory that is not the pool's own (directories, generations on the heap).
    pub(crate) fn charge_heap(&self, bytes: usize, who: Who) -> Result<(), Refused> {
        self.charge(&mut self.state.lock(), bytes, who)
    }

    pub(crate) fn uncharge_heap(&self, bytes: usize) {
        self.uncharge(&mut self.state.lock(), bytes);
    }

    fn request(&self, bytes: usize) -> Result<(), Refused> {
        let mut faults = self.faults.lock();
        faults.requests += 1;
        let hit = faults.fail_at != 0
            && (faults.requests == faults.fail_at
                || faults.sticky && faults.requests > faults.fail_at);
        if hit {
            Err(Refused::System { bytes })
        } else {
            Ok(())
        }
    }

    /// Makes the `n`-th request from now fail (`sticky`: and all later ones); `0` heals.
    pub(crate) fn fail(&self, n: usize, sticky: bool) {
        let mut faults = self.faults.lock();
        faults.fail_at = if n == 0 {
            0
        } else {
            faults.requests + n as u64
        };
        faults.sticky = sticky;
    }

    /// Requests made so far.
    pub(crate) fn requests(&self) -> u64 {
        self.faults.lock().requests
    }

    // --- chunks ---

    fn push(&self, head: &mut u32, id: u32) {
        // Relaxed, here and below: `next` belongs to the pool's mutex.
        self.arena
            .descriptor(ChunkId(id))
            .next
            .store(*head, Ordering::Relaxed);
        *head = id;
    }

    fn pop(&self, head: &mut u32) -> Option<u32> {
        let id = *head;
        if id == NONE {
            return None;
        }
        *head = self
            .arena
            .descriptor(ChunkId(id))
            .next
            .load(Ordering::Relaxed);
        Some(id)
    }

    fn side_of(&self, id: u32) -> usize {
        usize::from(id >= self.chunk_count / 2)
    }

    /// Gives one resident free chunk back to the system. `false` if there is none.
    fn return_one(&self, state: &mut State) -> bool {
        for side in [1, 0] {
            let Some(id) = self.pop(&mut state.resident[side]) else {
                continue;
            };
            self.give_back(
                id as usize * self.config.chunk_bytes,
                self.config.chunk_bytes,
            );
            self.push(&mut state.returned[side], id);
            state.resident_bytes -= self.config.chunk_bytes;
            state.promised_bytes = state.promised_bytes.min(state.resident_bytes);
            self.uncharge(state, self.config.chunk_bytes);
            return true;
        }
        false
    }

    fn give_back(&self, offset: usize, len: usize) {
        self.given_back.fetch_add(len as u64, Ordering::Relaxed);
        self.arena.give_back(offset, len);
    }

    fn commit(&self, offset: usize, len: usize, huge: bool) -> Result<(), Refused> {
        self.request(len)?;
        self.arena
            .commit(offset, len, huge)
            .map_err(|_| Refused::System { bytes: len })
    }

    /// A chunk nobody uses, charged. Its bytes are whatever they were.
    pub(crate) fn take_chunk(
        &self,
        side: Side,
        who: Who,
        as_what: ChunkState,
    ) -> Result<ChunkId, Refused> {
        let mut state = self.state.lock();
        let id = self.take_chunk_locked(&mut state, side, who)?;
        #[cfg(not(any(cmap_loom, cmap_shuttle)))]
        self.arena.descriptor(id).note_taken();
        // Relaxed: whoever gets to know the chunk does so through something that synchronises.
        self.arena
            .descriptor(id)
            .state
            .store(as_what as u32, Ordering::Relaxed);
        Ok(id)
    }

    fn take_chunk_locked(
        &self,
        state: &mut State,
        side: Side,
        who: Who,
    ) -> Result<ChunkId, Refused> {
        let chunk = self.config.chunk_bytes;
        let huge = usize::from(side == Side::Huge && self.config.huge_pages);
        // Free ones are charged too, but the compactor's two chunks are no writer's for that.
        let available = (self.ceiling(who) + state.resident_bytes).saturating_sub(state.charged);
        let needed = chunk;
        if needed > available {
            return Err(Refused::Limit { needed, available });
        }
        for side in [huge, 1 - huge] {
            if let Some(id) = self.pop(&mut state.resident[side]) {
                state.resident_bytes -= chunk;
                state.promised_bytes = state.promised_bytes.saturating_sub(chunk);
                state.chunks_in_use += 1;
                return Ok(ChunkId(id));
            }
        }
        self.charge(state, chunk, who)?;
        let id = self
            .untouched(state, huge)
            .inspect_err(|_| self.uncharge(state, chunk))?;
        state.chunks_in_use += 1;
        Ok(ChunkId(id))
    }

    /// A chunk without memory behind it: one that was given back, or one never used.
    fn untouched(&self, state: &mut State, huge: usize) -> Result<u32, Refused> {
        let chunk = self.config.chunk_bytes;
        for side in [huge, 1 - huge] {
            if state.returned[side] != NONE {
                self.request(chunk)?;
                return self
                    .pop(&mut state.returned[side])
                    .ok_or(Refused::System { bytes: chunk });
            }
            let quarter = self.chunk_count / 4;
            let id = if side == 0 {
                state.fresh.start
            } else {
                state.fresh.end - 1
            };
            let within = if side == 0 {
                id < quarter
            } else {
                id > 0 && id >= 3 * quarter
            };
            if within {
                self.commit(
                    id as usize * chunk,
                    chunk,
                    side == 1 && self.config.huge_pages,
                )?;
                if side == 0 {
                    state.fresh.start += 1;
                } else {
                    state.fresh.end -= 1;
                }
                return Ok(id);
            }
        }
        Err(Refused::System { bytes: chunk })
    }

    /// Takes back a chunk that no pin sees.
    pub(crate) fn give_chunk(&self, id: ChunkId, _no_pin_sees_it: &Quiesced) {
        self.give_chunk_locked(&mut self.state.lock(), id);
    }

    fn give_chunk_locked(&self, state: &mut State, id: ChunkId) {
        let chunk = self.config.chunk_bytes;
        self.arena.gone(self.chunk_start(id), chunk);
        #[cfg(not(any(cmap_loom, cmap_shuttle)))]
        self.arena.descriptor(id).note_given_back();
        self.arena
            .descriptor(id)
            .state
            .store(ChunkState::Free as u32, Ordering::Relaxed);
        state.chunks_in_use -= 1;
        let side = self.side_of(id.0);
        self.push(&mut state.resident[side], id.0);
        state.resident_bytes += chunk;
        if state.resident_bytes > self.keep(state).max(state.promised_bytes) {
            self.return_one(state);
        }
    }

    fn keep(&self, state: &State) -> usize {
        let chunk = self.config.chunk_bytes;
        self.config
            .keep_free
            .unwrap_or_else(|| chunk.max(state.chunks_in_use * chunk / 50))
    }

    // --- blocks ---

    /// Bytes of the unit of which both sizes of blocks are multiples.
    fn unit_bytes(&self) -> usize {
        let [mut a, mut b] = self.config.block_bytes;
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    }

    fn units(&self, class: BlockClass) -> usize {
        self.config.block_bytes[class as usize] / self.unit_bytes()
    }

    /// A block whose first `lines` lines are zero; taken `tidily` by who makes more of them, not by who makes fewer.
    pub(crate) fn take_block(
        &self,
        class: BlockClass,
        lines: usize,
        tidily: bool,
        who: Who,
    ) -> Result<Location, Refused> {
        let mut state = self.state.lock();
        self.request(lines * size_of::<Line>())?;
        let count = self.units(class);
        let (id, first) = match state.blocks.take(count, tidily) {
            Some(block) => block,
            None => {
                let total = self.config.chunk_bytes / self.unit_bytes();
                let free = state.blocks.prepare(total)?;
                let side = if state.blocks.chunk_count() == 0 {
                    Side::Small
                } else {
                    Side::Huge
                };
                let id = self.take_chunk_locked(&mut state, side, who)?;
                let descriptor = self.arena.descriptor(id);
                descriptor
                    .state
                    .store(ChunkState::Blocks as u32, Ordering::Relaxed);
                let place = state.blocks.add(id, total, free);
                descriptor.place.store(place as u32, Ordering::Relaxed);
                state.blocks.take(count, tidily).ok_or(Refused::System {
                    bytes: lines * size_of::<Line>(),
                })?
            }
        };
        drop(state);
        let at = Location::at(self.chunk_start(id) + first * self.unit_bytes());
        self.arena.dealt(at.offset(), lines * size_of::<Line>());
        self.arena.zero_lines(at, lines);
        Ok(at)
    }

    /// Takes back a block that no pin sees.
    pub(crate) fn give_block(&self, at: Location, class: BlockClass, _no_pin_sees_it: &Quiesced) {
        let mut state = self.state.lock();
        let id = self.chunk_of(at);
        self.arena
            .gone(at.offset(), self.config.block_bytes[class as usize]);
        let first = (at.offset() - self.chunk_start(id)) / self.unit_bytes();
        let place = self.arena.descriptor(id).place.load(Ordering::Relaxed);
        if state.blocks.give(place as usize, first, self.units(class)) {
            self.give_chunk_locked(&mut state, id);
        }
    }

    /// Whether a table at `at` should move so that its chunk can empty.
    pub(crate) fn is_sparse(&self, at: Location) -> bool {
        let place = self
            .arena
            .descriptor(self.chunk_of(at))
            .place
            .load(Ordering::Relaxed);
        self.state.lock().blocks.is_sparse(place as usize)
    }

    // --- extents ---

    fn extent_units(&self, bytes: usize) -> usize {
        bytes.div_ceil(self.extent_unit)
    }

    /// Bytes that an extent for an entry of `bytes` is charged: whole pages.
    pub(crate) fn extent_bytes(&self, bytes: usize) -> usize {
        bytes.next_multiple_of(os::page_size())
    }

    /// An extent for an entry of `bytes`.
    pub(crate) fn take_extent(&self, bytes: usize, who: Who) -> Result<Location, Refused> {
        let mut state = self.state.lock();
        let charged = self.extent_bytes(bytes);
        self.charge(&mut state, charged, who)?;
        self.take_extent_locked(&mut state, bytes)
            .inspect_err(|_| self.uncharge(&mut state, charged))
    }

    fn take_extent_locked(&self, state: &mut State, bytes: usize) -> Result<Location, Refused> {
        let count = self.extent_units(bytes);
        let start = state.extents.find(count).map_err(|none| match none {
            NoRun::Heap(none) => none.into(),
            NoRun::Region => Refused::System { bytes },
        })?;
        let base = self.extent_region.start;
        let end = start + count;
        if end > state.extents.reached() {
            let from = state.extents.reached().max(start);
            self.commit(
                base + from * self.extent_unit,
                (end - from) * self.extent_unit,
                false,
            )?;
        } else {
            self.request(bytes)?;
        }
        state.extents.take(start, count);
        Ok(Location::at(base + start * self.extent_unit))
    }

    /// Takes back the extent of an entry of `bytes` that no pin sees.
    pub(crate) fn give_extent(&self, at: Location, bytes: usize, _no_pin_sees_it: &Quiesced) {
        let charged = self.extent_bytes(bytes);
        // Before anybody else can have the addresses.
        self.arena.gone(at.offset(), charged);
        self.give_back(at.offset(), charged);
        let mut state = self.state.lock();
        let start = (at.offset() - self.extent_region.start) / self.extent_unit;
        state.extents.give(start, self.extent_units(bytes));
        self.uncharge(&mut state, charged);
    }

    // --- for owners and figures ---

    /// Makes `bytes` resident and keeps them free until they are used.
    pub(crate) fn preallocate(&self, bytes: usize) -> Result<(), Refused> {
        let chunk = self.config.chunk_bytes;
        let wanted = bytes
            .checked_next_multiple_of(chunk)
            .ok_or(Refused::System { bytes })?;
        let mut made = 0;
        loop {
            let mut state = self.state.lock();
            if state.resident_bytes >= state.promised_bytes + wanted {
                state.promised_bytes += wanted;
                return Ok(());
            }
            match self.make_free(&mut state) {
                Ok(id) => {
                    drop(state);
                    // Nobody else has it, so nobody waits while its pages are made.
                    self.arena.touch(id as usize * chunk, chunk);
                    let mut state = self.state.lock();
                    let side = self.side_of(id);
                    self.push(&mut state.resident[side], id);
                    state.resident_bytes += chunk;
                    made += 1;
                }
                Err(refused) => {
                    // As it was: what this call made resident goes back.
                    for _ in 0..made {
                        self.return_one(&mut state);
                    }
                    return Err(refused);
                }
            }
        }
    }

    /// A charged chunk that is in no list. Nothing free is given back for it.
    fn make_free(&self, state: &mut State) -> Result<u32, Refused> {
        let chunk = self.config.chunk_bytes;
        self.charge_more(state, chunk, Who::Writer)?;
        self.untouched(state, usize::from(self.config.huge_pages))
            .inspect_err(|_| self.uncharge(state, chunk))
    }

    /// Makes one chunk resident if none is, off a writer's path.
    pub(crate) fn touch_ahead(&self) {
        let mut state = self.state.lock();
        if state.resident_bytes == 0 && state.chunks_in_use > 0 {
            let chunk = self.config.chunk_bytes;
            let promised = state.promised_bytes;
            drop(state);
            if self.preallocate(chunk).is_ok() {
                // Kept as any free chunk is, not promised.
                state = self.state.lock();
                state.promised_bytes = promised.min(state.resident_bytes);
            }
        }
    }

    /// Gives every free resident chunk back to the system, and the pages of free blocks. Returns the bytes.
    pub(crate) fn trim(&self) -> usize {
        let mut state = self.state.lock();
        let mut bytes = 0;
        state.promised_bytes = 0;
        while self.return_one(&mut state) {
            bytes += self.config.chunk_bytes;
        }
        let (page, unit_bytes) = (os::page_size(), self.unit_bytes());
        for (id, unit) in state.blocks.free_units() {
            let start = self.chunk_start(id) + unit * unit_bytes;
            if start % page == 0 && unit_bytes % page == 0 {
                self.give_back(start, unit_bytes);
            }
        }
        bytes
    }

    /// Bytes, now.
    pub(crate) fn usage(&self) -> Usage {
        let state = self.state.lock();
        Usage {
            in_use: state.charged - state.resident_bytes,
            free: state.resident_bytes,
            reserved: self.chunk_count as usize * self.config.chunk_bytes,
        }
    }

    /// Bytes of block chunks, and of the blocks in use in them.
    pub(crate) fn block_usage(&self) -> (usize, usize) {
        let state = self.state.lock();
        let used = state.blocks.used() * self.unit_bytes();
        (state.blocks.chunk_count() * self.config.chunk_bytes, used)
    }

    /// Chunks dealt out, those for blocks included.
    pub(crate) fn chunks_in_use(&self) -> usize {
        self.state.lock().chunks_in_use
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.config.max_bytes.is_some()
    }

    /// Charged bytes as a share of the limit, in 1/256; 0 without a limit.
    pub(crate) fn pressure(&self) -> usize {
        self.config.max_bytes.map_or(0, |max| {
            self.charged.load(Ordering::Relaxed).saturating_mul(256) / max
        })
    }

    /// The lines of a block.
    #[inline]
    pub(crate) fn lines<'p>(&'p self, at: Location, count: usize, pin: &'p Pin) -> &'p [Line] {
        self.arena.lines(at, count, pin)
    }
}

#[cfg(all(test, not(any(cmap_loom, cmap_shuttle))))]
#[path = "pool_tests.rs"]
mod tests;
