//! Replacing tables: growing, splitting, rebuilding at the same size, shrinking, merging, moving.
//!
//! One procedure for all. The thread takes the tables' structural words, makes the new tables, reads again the keys whose
//! hashes the slots do not give back (before any bucket is locked), **freezes every bucket for good**, copies, and publishes
//! by one store per directory entry. Writers that meet a frozen bucket wait and resolve anew; readers go on. Whatever fails
//! before the publication (no memory, no room, a hasher that panics) thaws the buckets, and nothing has changed.
//!
//! Source: extendible hashing (R. Fagin et al. 1979); splits of small tables as in Dash and Dragonfly.

use super::directory::Directory;
use super::index::{BUCKET_ENTRIES_MAX, Context, Index, IndexKeeper};
use super::locked::rehash_all;
use super::shape::{DEPTH_MAX, SLOTS, Shape, Spread};
use super::slot;
use super::table::{Structural, Table, TableRef, block_class};
use crate::base::sync::Ordering;
use crate::memory::{Location, Refused, Who};

/// What making room came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// The directory leads elsewhere now: try again.
    Room,
    /// Another thread is at this table: wait a little and try again.
    Busy,
    /// No table would have room for this hash: spill.
    Spill,
}

/// Fullness, in percent, below which a table without room is rebuilt at its size, and to which merging may lead.
const REBUILD_BELOW: usize = 75;
const MERGE_UP_TO: usize = 65;
/// A directory may cost this part of the tables, and a page.
const DIRECTORY_SHARE: usize = 16;
const DIRECTORY_FREE: usize = 4096;
/// Rounds of reading keys again before a freeze; after them the last few are read under it.
const ROUNDS: usize = 3;

/// What tables become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    shape: Shape,
    depth: u32,
    tables: usize,
}

/// Why a plan was not carried out.
enum NotDone {
    Refused(Refused),
    NoRoom,
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

/// The words of a source's slots, and the hashes of those that need reading again.
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
    /// Makes room for a new key of `hash`, which found none.
    pub(crate) fn make_room<K: IndexKeeper>(
        &self,
        context: &Context<'_, K>,
        hash: u64,
    ) -> Result<Made, Refused> {
        let table = self.resolve(hash, context.pool, context.pin);
        let Some(structural) = table.try_structural() else {
            return Ok(Made::Busy);
        };
        if self.root(context.pin).find(hash, context.pin) != table.entry {
            return Ok(Made::Busy);
        }
        let (shape, depth) = (table.shape(), table.depth());
        let same = Plan {
            shape,
            depth,
            tables: 1,
        };
        let is_worn = table.count() * 100 < shape.slots() * REBUILD_BELOW
            && !cfg!(planted_no_same_size_rebuild);
        let mut plans = [is_worn.then_some(same), None];
        plans[1] = if shape < self.geometry.top {
            Some(Plan {
                shape: Shape(shape.0 + 1),
                ..same
            })
        } else if depth < DEPTH_MAX && self.may_deepen(context, hash, depth) {
            Some(Plan {
                shape: self.geometry.half,
                depth: depth + 1,
                tables: 2,
            })
        } else {
            None
        };
        for plan in plans.into_iter().flatten() {
            match self.replace(context, &[table], hash, plan, Some(hash), Who::Writer) {
                Ok(()) => {
                    structural.keep();
                    let counter = if plan.tables == 2 {
                        &self.counters.splits
                    } else {
                        &self.counters.rebuilds
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                    return Ok(Made::Room);
                }
                Err(NotDone::NoRoom) => {}
                Err(NotDone::Refused(refused)) => return Err(refused),
            }
        }
        Ok(Made::Spill)
    }

    /// Whether the directory may have entries for tables of `depth + 1`: hashes that are too much alike stop at a share.
    fn may_deepen<K>(&self, context: &Context<'_, K>, hash: u64, depth: u32) -> bool {
        let holder = self.root(context.pin).holder(hash, context.pin);
        let bits = depth + 1 - holder.above();
        let bytes = self.directory_bytes() + (8 << bits.min(32)) / 2;
        bits <= holder.bits() || bytes <= self.table_bytes() / DIRECTORY_SHARE + DIRECTORY_FREE
    }

    /// Makes a spill table at the chain's head, where the others have no line free for `second`.
    pub(crate) fn grow_spill<K: IndexKeeper>(
        &self,
        context: &Context<'_, K>,
        who: Who,
    ) -> Result<(), Refused> {
        let shape = self.geometry.half;
        context.keeper.promise()?;
        let class = block_class(context.pool, shape);
        let at = context
            .pool
            .take_block(class, shape.lines(), who)
            .inspect_err(|_| context.keeper.unpromise())?;
        let lock = self.directory_lock.lock();
        self.spill.push(context.pool, context.pin, at, shape);
        drop(lock);
        self.count_table(context, TableRef::new(at, 0, shape), true);
        Ok(())
    }

    /// Retires one spill table that no entry is in.
    pub(crate) fn trim_spill<K: IndexKeeper>(&self, context: &Context<'_, K>) -> bool {
        if self.spill.is_empty() {
            return false;
        }
        let lock = self.directory_lock.lock();
        let Some(table) = self.spill.unlink_empty(context.pool, context.pin) else {
            return false;
        };
        drop(lock);
        self.count_table(context, table, false);
        context.keeper.retire_table(table);
        true
    }

    /// Merges or shrinks the table of `hash` if it and its sibling have become empty enough. `true` if it did.
    pub(crate) fn try_merge<K: IndexKeeper>(
        &self,
        context: &Context<'_, K>,
        hash: u64,
        random: u64,
        thorough: bool,
    ) -> Result<bool, Refused> {
        let table = self.resolve(hash, context.pool, context.pin);
        if !thorough && !table.looks_sparse(random) {
            return Ok(false);
        }
        let (shape, depth) = (table.shape(), table.depth());
        let fits = |count: usize, shape: Shape| count * 100 <= shape.slots() * MERGE_UP_TO;
        let count = table.count();
        let sibling = (depth > 0)
            .then(|| self.resolve(hash ^ 1 << (64 - depth), context.pool, context.pin))
            .filter(|sibling| sibling.depth() == depth);
        let half = self.geometry.half;
        if let Some(sibling) = sibling {
            let both = count + sibling.count();
            let shape = [half, self.geometry.top]
                .into_iter()
                .find(|&shape| fits(both, shape));
            if let Some(shape) = shape {
                let plan = Plan {
                    shape,
                    depth: depth - 1,
                    tables: 1,
                };
                return self.replace_checked(context, &[table, sibling], hash, plan);
            }
        }
        let floor = if depth == 0 {
            self.geometry.first
        } else {
            half
        };
        let smaller = (floor.0..shape.0)
            .map(Shape)
            .find(|&smaller| fits(count, smaller));
        match smaller {
            Some(shape) => self.replace_checked(
                context,
                &[table],
                hash,
                Plan {
                    shape,
                    depth,
                    tables: 1,
                },
            ),
            None => Ok(false),
        }
    }

    /// Makes tables enough for `entries`: splits at most `most` of them, from that of hash `from` on. Returns where to go on.
    pub(crate) fn reserve<K: IndexKeeper>(
        &self,
        context: &Context<'_, K>,
        entries: usize,
        from: u64,
        most: usize,
    ) -> Result<Option<u64>, Refused> {
        let half = self.geometry.half;
        let tables = entries.div_ceil(half.slots() * REBUILD_BELOW / 100);
        let depth = tables.next_power_of_two().trailing_zeros().min(DEPTH_MAX);
        let mut hash = from;
        for _ in 0..most {
            let table = self.resolve(hash, context.pool, context.pin);
            if depth == 0 || table.depth() >= depth {
                match self.table_and_next(hash, context.pin).1 {
                    Some(next) => hash = next,
                    None => return Ok(None),
                }
                continue;
            }
            let Some(structural) = table.try_structural() else {
                continue;
            };
            if self.root(context.pin).find(hash, context.pin) != table.entry {
                continue;
            }
            let plan = Plan {
                shape: half,
                depth: table.depth() + 1,
                tables: 2,
            };
            match self.replace(context, &[table], hash, plan, None, Who::Writer) {
                Ok(()) => structural.keep(),
                Err(NotDone::NoRoom) => return Ok(None),
                Err(NotDone::Refused(refused)) => return Err(refused),
            }
        }
        Ok(Some(hash))
    }

    /// Moves the table of `hash` to a fuller chunk of blocks, so that its own can empty.
    pub(crate) fn move_table<K: IndexKeeper>(
        &self,
        context: &Context<'_, K>,
        hash: u64,
    ) -> Result<bool, Refused> {
        let table = self.resolve(hash, context.pool, context.pin);
        if !context.pool.is_sparse(table.entry.at()) {
            return Ok(false);
        }
        let plan = Plan {
            shape: table.shape(),
            depth: table.depth(),
            tables: 1,
        };
        self.replace_checked(context, &[table], hash, plan)
    }

    fn replace_checked<K: IndexKeeper>(
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
                let counter = if sources.len() == 2 {
                    &self.counters.merges
                } else {
                    &self.counters.rebuilds
                };
                counter.fetch_add(1, Ordering::Relaxed);
                Ok(true)
            }
            Err(NotDone::NoRoom) => Ok(false),
            Err(NotDone::Refused(refused)) => Err(refused),
        }
    }

    /// Replaces `sources`, whose structural words the caller holds, by new tables. `hash` is one of theirs; `room_for` one
    /// that must find room.
    fn replace<K: IndexKeeper>(
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
        let mut copies = [
            Copied::try_new(sources[0].shape().slots())?,
            Copied::try_new(0)?,
        ];
        if let Some(second) = sources.get(1) {
            copies[1] = Copied::try_new(second.shape().slots())?;
        }
        let fresh = self.make_tables(context, plan, who)?;
        let prefix = if plan.depth == 0 {
            0
        } else {
            hash & (u64::MAX << (64 - plan.depth))
        };
        let prefixes = [
            prefix,
            if plan.tables == 2 {
                prefix ^ 1 << (64 - plan.depth)
            } else {
                prefix
            },
        ];

        // Read again what must be, outside every lock; then freeze, and see what changed meanwhile.
        let mut frozen = Frozen {
            sources,
            counts: [0; 2],
        };
        for round in 0.. {
            for (source, copy) in sources.iter().zip(&mut copies) {
                read_again(context, source, plan, copy);
            }
            let changed = freeze(
                context,
                &mut frozen,
                &mut copies,
                hash,
                plan,
                round + 1 == ROUNDS,
            );
            if !changed {
                break;
            }
            frozen.thaw();
        }

        let target = |number: usize| Table::of(fresh.tables[number], context.pool, context.pin);
        let targets = [target(0), target(plan.tables - 1)];
        let targets = &targets[..plan.tables];
        let is_spilled = !self.spill.is_empty();
        for ((source, copy), side) in sources.iter().zip(&copies).zip(0..) {
            let source_prefix = side_hash(hash, source.depth(), side);
            let aux_and_hash = copy.words.iter().zip(&copy.hashes);
            for (&word, &hash) in aux_and_hash {
                let Some(at) = Location::of_word(word) else {
                    continue;
                };
                let target = target_of(targets, &prefixes, plan.depth, hash);
                if !target.place(hash, at, word & slot::AUX) {
                    return Err(NotDone::NoRoom);
                }
            }
            for bucket in (0..source.shape().primary()).filter(|_| is_spilled) {
                // Relaxed: frozen.
                if source.bucket(bucket)[0].load(Ordering::Relaxed) & slot::SPILL != 0 {
                    let range = source.shape().range(source.depth(), source_prefix, bucket);
                    for (target, prefix) in targets.iter().zip(prefixes) {
                        target.mark_spilled(&range, prefix);
                    }
                }
            }
        }
        if room_for
            .is_some_and(|hash| !target_of(targets, &prefixes, plan.depth, hash).has_room(hash))
        {
            return Err(NotDone::NoRoom);
        }
        self.publish(context, sources, fresh, &prefixes, frozen);
        Ok(())
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
        let class = block_class(context.pool, plan.shape);
        for _ in 0..plan.tables {
            context.keeper.promise()?;
            let at = context
                .pool
                .take_block(class, plan.shape.lines(), who)
                .inspect_err(|_| context.keeper.unpromise())?;
            fresh.tables.push(TableRef::new(at, plan.depth, plan.shape));
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
        for (&table, &prefix) in fresh.tables.iter().zip(prefixes) {
            // A merge may reach above the directory that held its sources.
            let holder = root.holder(prefix, context.pin);
            let holder = if table.depth() < holder.above() {
                root
            } else {
                holder
            };
            holder.set(prefix, table);
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

    fn count_table<K>(&self, context: &Context<'_, K>, table: TableRef, is_new: bool) {
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

fn target_of<'t, 'p>(
    targets: &'t [Table<'p>],
    prefixes: &[u64; 2],
    depth: u32,
    hash: u64,
) -> &'t Table<'p> {
    let mask = if depth == 0 {
        0
    } else {
        u64::MAX << (64 - depth)
    };
    // A hasher that lies may lead nowhere: any table is as good.
    let number = usize::from(targets.len() == 2 && hash & mask == prefixes[1]);
    &targets[number]
}

/// Whether a primary slot of `source` gives back enough of the hash to place its entry by `plan`.
fn is_known(source: &Table<'_>, plan: Plan) -> bool {
    source.shape().bits_known(source.depth()) >= plan.shape.bits_needed(plan.depth)
}

/// Copies the words that must be read again, and reads those keys.
fn read_again<K>(context: &Context<'_, K>, source: &Table<'_>, plan: Plan, copy: &mut Copied) {
    let from = if is_known(source, plan) {
        source.shape().primary() * SLOTS
    } else {
        0
    };
    for (n, slot) in source.slot_lines().iter().flatten().enumerate().skip(from) {
        // Acquire: pairs with the Release of the slot's store (Published-last): the key is about to be read.
        copy.words[n] = slot.load(Ordering::Acquire);
    }
    rehash_all(context, &copy.words[from..], &mut copy.hashes[from..]);
}

/// Freezes all buckets and completes the copies. `true`: some key that must be read again changed meanwhile, and `last`
/// did not allow to read it under the freeze.
fn freeze<K>(
    context: &Context<'_, K>,
    frozen: &mut Frozen<'_, '_>,
    copies: &mut [Copied; 2],
    hash: u64,
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
    for ((side, source), copy) in sources.iter().enumerate().zip(copies.iter_mut()) {
        let shape = source.shape();
        let prefix = side_hash(hash, source.depth(), side);
        let known = if is_known(source, plan) {
            shape.primary() * SLOTS
        } else {
            0
        };
        for (n, slot) in source.slot_lines().iter().flatten().enumerate() {
            // Acquire: pairs with the Release of the slot's store: its key may have to be read.
            let word = slot.load(Ordering::Acquire);
            let flags = if n < shape.primary() * SLOTS {
                slot::FLAGS
            } else {
                0
            };
            if n < known {
                copy.words[n] = word & !flags;
                if Location::of_word(word).is_some() {
                    let spread = Spread {
                        bucket: n / SLOTS,
                        window: slot::window_of(word),
                    };
                    copy.hashes[n] = shape.recover(source.depth(), prefix, spread);
                }
                continue;
            }
            let is_same = (word ^ copy.words[n]) & !flags == 0;
            copy.words[n] = word & !flags;
            if is_same {
                continue;
            }
            let Some(at) = Location::of_word(word) else {
                continue;
            };
            if !last {
                return true;
            }
            // Writers at this table have outrun us: read this one while they wait. A panic thaws.
            copy.hashes[n] = (context.rehash)(at);
        }
    }
    false
}

/// The locations of a bucket's entries at one instant: its words are read until they stay the same twice, then under its
/// lock. Also whether keys of it may be in the spill tables.
pub(super) fn collect(
    table: &Table<'_>,
    bucket: usize,
    out: &mut [Option<Location>; BUCKET_ENTRIES_MAX],
) -> (usize, bool) {
    const TRIES: usize = 4;
    let mut before = [None; BUCKET_ENTRIES_MAX];
    let mut last = read_bucket(table, bucket, &mut before);
    for _ in 0..TRIES {
        let now = read_bucket(table, bucket, out);
        if now == last && out[..now.0] == before[..now.0] {
            return now;
        }
        before = *out;
        last = now;
    }
    let first = &table.bucket(bucket)[0];
    let mut backoff = crate::base::sync::Backoff::new();
    loop {
        let word = first.load(Ordering::Relaxed);
        if word & slot::LOCK == 0 {
            // Acquire: pairs with the Release of the last unlock.
            if first
                .compare_exchange(
                    word,
                    word | slot::LOCK,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                )
                .is_ok()
            {
                let now = read_bucket(table, bucket, out);
                table.thaw(bucket);
                return now;
            }
        } else {
            // A frozen bucket does not change; a held one does soon.
            let now = read_bucket(table, bucket, out);
            let again = read_bucket(table, bucket, &mut before);
            if now == again && out[..now.0] == before[..again.0] {
                return now;
            }
        }
        backoff.wait();
    }
}

fn read_bucket(
    table: &Table<'_>,
    bucket: usize,
    out: &mut [Option<Location>; BUCKET_ENTRIES_MAX],
) -> (usize, bool) {
    let home = table.bucket(bucket);
    let mut count = 0;
    let mut lines = 0u64;
    let mut spilled = false;
    for (n, slot) in home.iter().enumerate() {
        // Acquire: pairs with the Release of the slot's store (Published-last).
        let word = slot.load(Ordering::Acquire);
        if n == 0 {
            spilled = word & slot::SPILL != 0;
        } else {
            let [a, b] = table.choices(bucket, n - 1);
            for (number, flag) in [(a, slot::LINE_A), (b, slot::LINE_B)] {
                lines |= number
                    .filter(|_| word & flag != 0)
                    .map_or(0, |number| 1 << number);
            }
        }
        if let Some(at) = Location::of_word(word) {
            out[count] = Some(at);
            count += 1;
        }
    }
    for (number, line) in table.overflow_lines().iter().enumerate() {
        if lines & 1 << number == 0 {
            continue;
        }
        for slot in line {
            // Acquire: as above.
            let word = slot.load(Ordering::Acquire);
            if word != 0 && slot::home_of(word) == bucket {
                out[count] = Location::of_word(word);
                count += 1;
            }
        }
    }
    (count, spilled)
}
