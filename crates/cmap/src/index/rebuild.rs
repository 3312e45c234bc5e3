//! Replacing tables: growing, splitting, rebuilding at the same size, shrinking, merging, moving.
//!
//! One procedure for all. The thread takes the tables' structural words, makes the new tables, reads again the keys whose
//! hashes the slots do not give back (before any bucket is locked), **freezes every bucket for good**, copies, and publishes
//! by one store per directory entry. Writers that meet a frozen bucket wait and resolve anew; readers go on. Whatever fails
//! before the publication (no memory, no room, a hasher that panics) thaws the buckets, and nothing has changed.
//!
//! Source: extendible hashing (R. Fagin et al. 1979); splits of small tables as in Dash and Dragonfly.

use core::ops::RangeInclusive;

use super::directory::Directory;
use super::filling::Filling;
use super::index::{Context, Index, IndexKeeper};
use super::locked::rehash_all;
use super::plan::Plan;
use super::shape::{SLOTS, Shape};
use super::slot;
use super::table::{Structural, Table, TableRef, block_class};
use crate::base::interleave;
use crate::base::sync::{AtomicU64, Ordering};
use crate::base::trace;
use crate::memory::{Location, Refused, Who};

/// Most keys in spill tables that a rebuild reads again.
const SPILLED_HASHES_MAX: usize = 4096;
/// Most entries that a table may displace when it grows: as many as overflow lines hold. The larger of two shapes has more of
/// these than each of the halves that it splits into, and keys that come in hash order fill them all from one end.
const DISPLACED_MAX: usize = Shape::OVERFLOW_MAX * SLOTS;
/// Rounds of reading keys again before a freeze; after them the last few are read under it.
const ROUNDS: usize = 3;

/// Why a plan was not carried out.
pub(super) enum NotDone {
    Refused(Refused),
    NoRoom,
    /// Nor have the spill tables room for what would be displaced.
    NoSpill,
}

impl From<Refused> for NotDone {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// New tables that nobody else has; given back if they are not published.
struct Fresh<'a, 'p, K: IndexKeeper> {
    context: &'a Context<'p, K>,
    tables: Vec<TableRef>,
}

impl<K: IndexKeeper> Drop for Fresh<'_, '_, K> {
    fn drop(&mut self) {
        for table in self.tables.drain(..) {
            let (at, class, _) = table.block(self.context.pool);
            self.context
                .pool
                .give_block(at, class, &crate::memory::Quiesced::unseen());
            self.context.keeper.unpromise();
        }
    }
}

/// Frozen buckets; thawed if the tables are not replaced.
struct Frozen<'a, 'p> {
    sources: &'a [Table<'p>],
    /// How many buckets of each are frozen.
    counts: [usize; 2],
}

impl Frozen<'_, '_> {
    fn thaw(&mut self) {
        for (source, count) in self.sources.iter().zip(&mut self.counts) {
            for bucket in 0..*count {
                source.thaw(bucket);
            }
            *count = 0;
        }
    }
}

impl Drop for Frozen<'_, '_> {
    fn drop(&mut self) {
        self.thaw();
    }
}

/// Entries that have no place in new, larger tables, and go to the spill tables: else a few keys with hashes too much alike
/// could keep a table from growing for ever, and all its other keys would have to spill. Taken back unless it is kept.
struct Displaced<'a, 'p, K> {
    index: &'a Index,
    context: &'a Context<'p, K>,
    /// Each with its hash, once it is in the spill tables.
    entries: [Option<(Location, u64)>; DISPLACED_MAX],
    /// How many there may be.
    room: usize,
    count: usize,
    /// How many of them are in the spill tables.
    spilled: usize,
}

impl<'a, 'p, K> Displaced<'a, 'p, K> {
    fn new(index: &'a Index, context: &'a Context<'p, K>, room: usize) -> Self {
        Self {
            index,
            context,
            entries: [None; DISPLACED_MAX],
            room,
            count: 0,
            spilled: 0,
        }
    }

    /// `false`: they are too many.
    #[cold]
    #[inline(never)]
    fn add(&mut self, at: Location, target: &Filling<'_>, hash: u64) -> bool {
        let Some(place) = self.entries[..self.room].get_mut(self.count) else {
            return false;
        };
        *place = Some((at, 0));
        self.count += 1;
        target.mark_bucket_spilled(hash);
        true
    }

    /// Under the freeze, which is the lock of all their buckets. `false`: the chain has no room.
    fn spill(&mut self) -> bool {
        let Context {
            pool,
            pin,
            rehash,
            second,
            ..
        } = *self.context;
        for (at, hash) in self.entries[..self.count].iter_mut().flatten() {
            // What a slot gave back of it has not all of the bits that the spill filter looks at. A panic thaws.
            *hash = rehash(*at);
            let (at, hashes) = (*at, (*hash, second(*at)));
            if !self.index.spill.insert(pool, pin, hashes, at) {
                return false;
            }
            self.spilled += 1;
        }
        // Release: as in `Locked::insert_spilled`.
        let spills = &self.index.counters.spills;
        spills.fetch_add(self.spilled as u64, Ordering::Release);
        true
    }

    /// The new tables are published.
    fn keep(mut self) {
        self.spilled = 0;
    }
}

impl<K> Drop for Displaced<'_, '_, K> {
    fn drop(&mut self) {
        let Context {
            pool, pin, second, ..
        } = *self.context;
        for &(at, hash) in self.entries[..self.spilled].iter().flatten() {
            let hashes = (hash, second(at));
            self.index.spill.take_back(pool, pin, hashes, at);
        }
    }
}

/// The words of a source's slots that do not give their hashes back, without flags, and the hashes of their keys, read again.
struct Copied {
    words: Vec<u64>,
    hashes: Vec<u64>,
}

impl Copied {
    fn try_new(slots: usize) -> Result<Self, Refused> {
        let mut copied = Self {
            words: Vec::new(),
            hashes: Vec::new(),
        };
        for list in [&mut copied.words, &mut copied.hashes] {
            list.try_reserve_exact(slots)
                .map_err(|_| Refused::System { bytes: slots * 8 })?;
            list.resize(slots, 0);
        }
        Ok(copied)
    }
}

impl Index {
    pub(super) fn replace_checked<K: IndexKeeper>(
        &self,
        context: &Context<'_, K>,
        sources: &[Table<'_>],
        hash: u64,
        plan: Plan,
    ) -> Result<bool, Refused> {
        let mut rights: [Option<Structural<'_>>; 2] = [None, None];
        for (right, source) in rights.iter_mut().zip(sources) {
            *right = source.try_structural();
            if right.is_none() {
                return Ok(false);
            }
        }
        let root = self.root(context.pin);
        let depth = sources[0].depth();
        let hashes = [
            hash,
            if depth == 0 {
                hash
            } else {
                hash ^ 1 << (64 - depth)
            },
        ];
        let are_current = sources
            .iter()
            .zip(hashes)
            .all(|(source, hash)| root.find(hash, context.pin) == source.entry);
        if !are_current {
            return Ok(false);
        }
        match self.replace(context, sources, hash, plan, None, Who::Writer) {
            Ok(()) => {
                for right in rights.into_iter().flatten() {
                    right.keep();
                }
                let (counter, what) = if sources.len() == 2 {
                    (&self.counters.merges, "merged")
                } else {
                    (&self.counters.rebuilds, "rebuilt")
                };
                counter.fetch_add(1, Ordering::Relaxed);
                trace::tables(what, plan.depth);
                Ok(true)
            }
            Err(NotDone::NoRoom | NotDone::NoSpill) => Ok(false),
            Err(NotDone::Refused(refused)) => Err(refused),
        }
    }

    /// Replaces `sources`, whose structural words the caller holds, by new tables. `hash` is one of theirs; `room_for` one
    /// that must find room.
    pub(super) fn replace<K: IndexKeeper>(
        &self,
        context: &Context<'_, K>,
        sources: &[Table<'_>],
        hash: u64,
        plan: Plan,
        room_for: Option<u64>,
        who: Who,
    ) -> Result<(), NotDone> {
        if plan.depth > sources[0].depth() {
            self.deepen(context, hash, plan.depth, who)?;
        }
        let unknown =
            |source: &Table<'_>| (source.slot_lines().len() - known_buckets(source, plan)) * SLOTS;
        let mut copies = [
            Copied::try_new(unknown(&sources[0]))?,
            Copied::try_new(sources.get(1).map_or(0, unknown))?,
        ];
        let fresh = self.make_tables(context, plan, who)?;
        let prefixes = prefixes_of(plan, hash);

        // Acquire: pairs with the Release of those who spill: whom it counts is found in the chain.
        let spills = self.counters.spills.load(Ordering::Acquire);
        let spilled = self.spilled_hashes(context, sources);
        // Read again what must be, outside every lock; then freeze, and see what changed meanwhile.
        let mut frozen = Frozen {
            sources,
            counts: [0; 2],
        };
        for round in 0.. {
            for (source, copy) in sources.iter().zip(&mut copies) {
                read_again(context, source, plan, copy);
            }
            interleave::point();
            let changed = freeze(context, &mut frozen, &mut copies, plan, round + 1 == ROUNDS);
            if !changed {
                break;
            }
            frozen.thaw();
        }
        interleave::point();

        let target = |number: usize| Table::of(fresh.tables[number], context.pool, context.pin);
        let mut targets = Targets {
            tables: [target(0), target(plan.tables - 1)].map(Filling::new),
            prefixes,
            split: prefixes[0] ^ prefixes[1],
            count: plan.tables,
        };
        let is_spilled = !self.spill.is_empty();
        // Relaxed: the freeze comes after every spill from these buckets.
        let is_exact = spilled.is_some() && self.counters.spills.load(Ordering::Relaxed) == spills;
        let spilled = spilled.unwrap_or_default();
        let most = if plan.displaces { DISPLACED_MAX } else { 0 };
        let mut displaced = Displaced::new(self, context, most);
        for ((source, copy), side) in sources.iter().zip(&copies).zip(0..) {
            let source_prefix = side_hash(hash, source.depth(), side);
            for bucket in 0..known_buckets(source, plan) {
                let recovered = source
                    .shape()
                    .recovery(source.depth(), source_prefix, bucket);
                for slot in source.bucket(bucket) {
                    // Relaxed: frozen.
                    let word = slot.load(Ordering::Relaxed);
                    let hash = || recovered(slot::window_of(word));
                    if !targets.place(&mut displaced, word, hash) {
                        return Err(NotDone::NoRoom);
                    }
                }
            }
            let most = if cfg!(planted_overflow_not_copied) {
                (source.shape().primary() - known_buckets(source, plan)) * SLOTS
            } else {
                usize::MAX
            };
            for (&word, &hash) in copy.words.iter().zip(&copy.hashes).take(most) {
                if !targets.place(&mut displaced, word, || hash) {
                    return Err(NotDone::NoRoom);
                }
            }
            for hash in spilled.iter().filter(|_| is_exact) {
                if source.has(source_prefix, *hash) {
                    targets.of(*hash).mark_bucket_spilled(*hash);
                }
            }
            for bucket in (0..source.shape().primary()).filter(|_| is_spilled && !is_exact) {
                // Relaxed: frozen.
                if source.bucket(bucket)[0].load(Ordering::Relaxed) & slot::SPILL != 0 {
                    let range = source.shape().range(source.depth(), source_prefix, bucket);
                    targets.mark_spilled(&range);
                }
            }
        }
        if room_for.is_some_and(|hash| !targets.of(hash).has_room(hash)) {
            return Err(NotDone::NoRoom);
        }
        if plan.renews && !targets.tables[0].has_slack() {
            return Err(NotDone::NoRoom);
        }
        if !cfg!(planted_displaced_late) && !displaced.spill() {
            return Err(NotDone::NoSpill);
        }
        interleave::point();
        self.publish(context, sources, fresh, &prefixes, frozen);
        if cfg!(planted_displaced_late) {
            displaced.spill();
        }
        displaced.keep();
        Ok(())
    }

    /// The hashes of the keys in the spill tables, so that the new tables' flags say no more than is so, and misses of other
    /// keys do not look there. `None` where they are too many, or there is no memory: then flags are carried over.
    fn spilled_hashes<K>(
        &self,
        context: &Context<'_, K>,
        sources: &[Table<'_>],
    ) -> Option<Vec<u64>> {
        let mut hashes = Vec::new();
        if !sources.iter().any(Table::is_spilled) {
            return Some(hashes);
        }
        hashes.try_reserve_exact(SPILLED_HASHES_MAX).ok()?;
        for at in self.spilled(context.pool, context.pin) {
            if hashes.len() == SPILLED_HASHES_MAX {
                return None;
            }
            hashes.push((context.rehash)(at));
        }
        Some(hashes)
    }

    fn make_tables<'a, 'p, K: IndexKeeper>(
        &self,
        context: &'a Context<'p, K>,
        plan: Plan,
        who: Who,
    ) -> Result<Fresh<'a, 'p, K>, Refused> {
        let mut fresh = Fresh {
            context,
            tables: Vec::new(),
        };
        fresh
            .tables
            .try_reserve_exact(plan.tables)
            .map_err(|_| Refused::System {
                bytes: plan.tables * 8,
            })?;
        for &shape in &plan.shapes[..plan.tables] {
            let class = block_class(context.pool, shape);
            context.keeper.promise()?;
            let at = context
                .pool
                .take_block(class, shape.lines(), !plan.packs, who)
                .inspect_err(|_| context.keeper.unpromise())?;
            fresh.tables.push(TableRef::new(at, plan.depth, shape));
        }
        Ok(fresh)
    }

    fn publish<K: IndexKeeper>(
        &self,
        context: &Context<'_, K>,
        sources: &[Table<'_>],
        mut fresh: Fresh<'_, '_, K>,
        prefixes: &[u64; 2],
        frozen: Frozen<'_, '_>,
    ) {
        let lock = self.directory_lock.lock();
        let root = self.root(context.pin);
        // Lower hashes first (here and in `set`): a scan that still finds the old table at its cursor then knows that all of
        // the table after the cursor is as it was, since nobody can have written to a successor.
        for (&table, &prefix) in fresh.tables.iter().zip(prefixes) {
            // A merge may reach above the directory that held its sources.
            let holder = root.holder(prefix, context.pin);
            let holder = if table.depth() < holder.above() {
                root
            } else {
                holder
            };
            holder.set(prefix, table);
            interleave::point();
        }
        drop(lock);
        // Frozen for good: a writer that gets the lock of a bucket has, by that, looked whether the table is current.
        if cfg!(planted_no_revalidation) {
            drop(frozen);
        } else {
            core::mem::forget(frozen);
        }
        for table in fresh.tables.drain(..) {
            self.count_table(context, table, true);
        }
        for source in sources {
            self.count_table(context, source.entry, false);
            context.keeper.retire_table(source.entry);
        }
    }

    pub(super) fn count_table<K>(&self, context: &Context<'_, K>, table: TableRef, is_new: bool) {
        let (_, _, bytes) = table.block(context.pool);
        // Relaxed: figures.
        if is_new {
            self.tables.fetch_add(1, Ordering::Relaxed);
            self.table_bytes.fetch_add(bytes, Ordering::Relaxed);
        } else {
            self.tables.fetch_sub(1, Ordering::Relaxed);
            self.table_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Gives the directory entries for tables of `depth` at `hash`.
    fn deepen<K: IndexKeeper>(
        &self,
        context: &Context<'_, K>,
        hash: u64,
        depth: u32,
        who: Who,
    ) -> Result<(), Refused> {
        let most = self.geometry.root_bits_max;
        loop {
            let lock = self.directory_lock.lock();
            let root = self.root(context.pin);
            let holder = root.holder(hash, context.pin);
            if depth <= holder.above() + holder.bits() {
                return Ok(());
            }
            let is_root = holder.above() == 0;
            let descends = is_root && holder.bits() == most;
            let (above, bits) = if descends {
                (most, 1)
            } else {
                (holder.above(), holder.bits() + 1)
            };
            let bytes = Directory::bytes_for(above, bits, most);
            context.keeper.promise()?;
            context
                .pool
                .charge_heap(bytes, who)
                .inspect_err(|_| context.keeper.unpromise())?;
            let changed = if descends {
                holder.descend(hash, holder.find(hash, context.pin))
            } else {
                holder.doubled(most).map(|longer| {
                    if is_root {
                        self.root.swap(Some(longer))
                    } else {
                        root.replace_below(hash, longer)
                    }
                })
            };
            let before = changed.map_err(|none| {
                context.pool.uncharge_heap(bytes);
                context.keeper.unpromise();
                Refused::from(none)
            })?;
            drop(lock);
            self.directory_bytes.fetch_add(bytes, Ordering::Relaxed);
            if let Some(before) = before {
                self.directory_bytes
                    .fetch_sub(before.get().bytes(), Ordering::Relaxed);
                context.keeper.retire_directory(before);
            }
        }
    }
}

/// A hash of source number `side`: of two siblings, the second differs in the last bit of the prefix.
fn side_hash(hash: u64, depth: u32, side: usize) -> u64 {
    if side == 0 {
        hash
    } else {
        hash ^ 1 << (64 - depth)
    }
}

/// The prefixes of the plan's tables at `hash`, the lower one first. If there is but one table, it stands there twice.
fn prefixes_of(plan: Plan, hash: u64) -> [u64; 2] {
    if plan.depth == 0 {
        return [0; 2];
    }
    let prefix = hash & (u64::MAX << (64 - plan.depth));
    let last = 1 << (64 - plan.depth);
    match plan.tables {
        2 if cfg!(planted_upper_half_first) => [prefix, prefix ^ last],
        2 => [prefix & !last, prefix | last],
        _ => [prefix; 2],
    }
}

/// The tables of a plan, being filled, and the prefixes of their hashes.
struct Targets<'p> {
    tables: [Filling<'p>; 2],
    prefixes: [u64; 2],
    /// The bit of a hash that tells two tables apart; 0 if there is but one.
    split: u64,
    count: usize,
}

impl<'p> Targets<'p> {
    #[inline(always)]
    fn of(&mut self, hash: u64) -> &mut Filling<'p> {
        // A hasher that lies may lead nowhere: any table is as good.
        let is_second = (hash ^ self.prefixes[0]) & self.split != 0;
        &mut self.tables[usize::from(is_second)]
    }

    /// Copies a slot's entry, if there is one, to where its hash belongs. What finds no room there is displaced; `false`: it
    /// may not be.
    #[inline(always)]
    fn place<K>(
        &mut self,
        displaced: &mut Displaced<'_, '_, K>,
        word: u64,
        hash: impl Fn() -> u64,
    ) -> bool {
        let Some(at) = Location::of_word(word) else {
            return true;
        };
        let hash = hash();
        let target = self.of(hash);
        target.place(hash, at, word & slot::AUX) || displaced.add(at, target, hash)
    }

    /// Sets SPILL wherever there may be hashes of `range`.
    fn mark_spilled(&self, range: &RangeInclusive<u64>) {
        let tables = self.tables[..self.count].iter();
        for (table, prefix) in tables.zip(self.prefixes) {
            table.mark_spilled(range, prefix);
        }
    }
}

/// How many buckets of `source`, all or none, have slots that give back enough of a hash to place its entry by `plan`.
fn known_buckets(source: &Table<'_>, plan: Plan) -> usize {
    let known = source.shape().bits_known(source.depth());
    let is_enough = |shape: Shape| known >= shape.bits_needed(plan.depth);
    let is_known = cfg!(planted_keys_not_read_again) || plan.shapes.into_iter().all(is_enough);
    if is_known {
        source.shape().primary()
    } else {
        0
    }
}

/// The slots of `source` whose keys must be read again, each with its flags.
fn unknown_slots<'p>(source: &Table<'p>, plan: Plan) -> impl Iterator<Item = (&'p AtomicU64, u64)> {
    let (known, primary) = (known_buckets(source, plan), source.shape().primary());
    let lines = source.slot_lines().iter().enumerate().skip(known);
    lines.flat_map(move |(line, slots)| {
        let flags = if line < primary { slot::FLAGS } else { 0 };
        slots.iter().map(move |slot| (slot, flags))
    })
}

/// Copies the words that must be read again, and reads those keys.
fn read_again<K>(context: &Context<'_, K>, source: &Table<'_>, plan: Plan, copy: &mut Copied) {
    for ((slot, flags), word) in unknown_slots(source, plan).zip(&mut copy.words) {
        // Acquire: pairs with the Release of the slot's store (Published-last): the key is about to be read.
        *word = slot.load(Ordering::Acquire) & !flags;
    }
    rehash_all(context, &copy.words, &mut copy.hashes);
}

/// Freezes all buckets and completes the copies. `true`: some key that must be read again changed meanwhile, and `last`
/// did not allow to read it under the freeze.
fn freeze<K>(
    context: &Context<'_, K>,
    frozen: &mut Frozen<'_, '_>,
    copies: &mut [Copied; 2],
    plan: Plan,
    last: bool,
) -> bool {
    let sources = frozen.sources;
    for (side, source) in sources.iter().enumerate() {
        for bucket in 0..source.shape().primary() {
            source.freeze(bucket);
            frozen.counts[side] += 1;
        }
    }
    for (source, copy) in sources.iter().zip(copies.iter_mut()) {
        let copied = copy.words.iter_mut().zip(&mut copy.hashes);
        for ((slot, flags), (before, hash)) in unknown_slots(source, plan).zip(copied) {
            // Acquire: pairs with the Release of the slot's store: its key may have to be read.
            let word = slot.load(Ordering::Acquire) & !flags;
            if word == *before {
                continue;
            }
            *before = word;
            let Some(at) = Location::of_word(word) else {
                continue;
            };
            if !last {
                return true;
            }
            // Writers at this table have outrun us: read this one while they wait. A panic thaws.
            *hash = (context.rehash)(at);
        }
    }
    false
}
