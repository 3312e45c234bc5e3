//! When tables are replaced: no room, too empty, too loosely packed, or asked for.
//!
//! *No room while a table is less than four fifths full: rebuild it at the same size*, since overflow entries do not come
//! back to a freed home, if that leaves some overflow slots; *else grow it, or split it*. A split goes no deeper than the
//! directory may cost: hashes that are too much alike go to the spill tables.

use super::index::{Context, Index, IndexKeeper};
use super::plan::Plan;
use super::rebuild::NotDone;
use super::shape::{DEPTH_MAX, Shape};
use super::table::{self, TableRef, block_class};
use crate::base::hash::part_below;
use crate::base::sync::{Backoff, Ordering};
use crate::base::trace;
use crate::memory::{Refused, Who};

/// What making room came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// Something has changed for the better: try again.
    Room,
    /// Another thread is at this table: wait a little and try again.
    Busy,
    /// No table would have room for this hash: spill.
    Spill,
}

/// Fullness, in percent, below which a table without room is rebuilt at its size, and to which merging may lead: by the way, and
/// where memory is asked for.
const REBUILD_BELOW: usize = 80;
const MERGE_UP_TO: usize = 65;
const SHRINK_UP_TO: usize = 75;
/// Fullness to be expected at most of a table that is made in advance.
const RESERVE_UP_TO: usize = 72;
/// Fullness below which a table does not grow for keys that a larger or deeper one would not tell apart either: they spill.
const GROW_ALIKE_FROM: usize = 50;
/// A directory may cost this part of the tables, and a page.
const DIRECTORY_SHARE: usize = 16;
const DIRECTORY_FREE: usize = 4096;
impl Index {
    /// Makes room for a new key of `hash`, which found none.
    pub(crate) fn make_room<K: IndexKeeper>(
        &self,
        context: &Context<'_, K>,
        hash: u64,
    ) -> Result<Made, Refused> {
        let table = self.resolve(hash, context.pool, context.pin);
        let Some(structural) = table.try_structural() else {
            table.assert_not_mine();
            return Ok(Made::Busy);
        };
        if self.root(context.pin).find(hash, context.pin) != table.entry {
            return Ok(Made::Busy);
        }
        let (shape, depth) = (table.shape(), table.depth());
        let same = Plan::of_one(shape, depth);
        let fullness = table.count() * 100 / shape.slots();
        let is_worn = fullness < REBUILD_BELOW && !cfg!(planted_no_same_size_rebuild);
        let spread = table.spread(hash);
        let is_divisible = table::is_divisible(table.bucket(spread.bucket), spread.window);
        let (half, top) = (self.geometry.half, self.geometry.top);
        let worn = is_worn.then_some(same.renewing());
        // What loses nothing first, then what may displace.
        let (splits, last) = if !is_divisible && fullness < GROW_ALIKE_FROM {
            ([None; 3], None)
        } else if shape < top {
            let grown = Plan::of_one(Shape(shape.0 + 1), depth);
            ([None; 3], Some(grown))
        } else if depth < DEPTH_MAX && self.may_deepen(context, hash, depth) {
            let halves = Plan::of_two([half; 2], depth + 1);
            // Hashes may lie so unevenly that only the larger shape has room for one half's part: as a rule the half of this
            // key, but the overflow lines are everybody's.
            let is_upper = (hash << depth) >> 63 != 0;
            let uneven = |is_upper: bool| {
                let shapes = if is_upper { [half, top] } else { [top, half] };
                (half != top).then_some(Plan::of_two(shapes, depth + 1))
            };
            let splits = [Some(halves), uneven(is_upper), uneven(!is_upper)];
            (splits, Some(halves))
        } else {
            ([None; 3], None)
        };
        let last = last.map(Plan::displacing);
        // Where none of them has room for this hash, but larger or deeper tables would: one step towards them.
        let deeper = last.filter(|_| is_divisible);
        let plans = [worn].into_iter().chain(splits).chain([last]).flatten();
        let steps = plans.map(|plan| (plan, Some(hash)));
        for (plan, room_for) in steps.chain(deeper.map(|plan| (plan, None))) {
            match self.replace(context, &[table], hash, plan, room_for, Who::Writer) {
                Ok(()) => {
                    structural.keep();
                    let (counter, what) = if plan.tables == 2 {
                        (&self.counters.splits, "split")
                    } else {
                        (&self.counters.rebuilds, "rebuilt")
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                    trace::tables(what, plan.depth);
                    return Ok(Made::Room);
                }
                Err(NotDone::NoRoom) => {}
                Err(NotDone::NoSpill) => {
                    drop(structural);
                    self.grow_spill(context, Who::Writer)?;
                    return Ok(Made::Room);
                }
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
            .take_block(class, shape.lines(), true, who)
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
        let up_to = if thorough { SHRINK_UP_TO } else { MERGE_UP_TO };
        let fits = |count: usize, shape: Shape| count * 100 <= shape.slots() * up_to;
        let count = table.count();
        let sibling = (depth > 0)
            .then(|| self.resolve(hash ^ 1 << (64 - depth), context.pool, context.pin))
            .filter(|sibling| sibling.depth() == depth);
        let half = self.geometry.half;
        if let Some(sibling) = sibling {
            let both = count + sibling.count();
            // One that fits by its count may have no room, where hashes lie unevenly.
            for shape in [half, self.geometry.top] {
                let plan = Plan::of_one(shape, depth - 1).packing();
                let sources = [table, sibling];
                if fits(both, shape) && self.replace_checked(context, &sources, hash, plan)? {
                    return Ok(true);
                }
            }
        }
        let floor = if depth == 0 {
            self.geometry.first
        } else {
            half
        };
        for smaller in (floor.0..shape.0).map(Shape) {
            let plan = Plan::of_one(smaller, depth).packing();
            if fits(count, smaller) && self.replace_checked(context, &[table], hash, plan)? {
                return Ok(true);
            }
        }
        Ok(false)
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
        let most_in_one = (half.slots() * RESERVE_UP_TO / 100).max(1) as f64;
        let mut hash = from;
        let mut backoff = Backoff::new();
        for _ in 0..most {
            let table = self.resolve(hash, context.pool, context.pin);
            let depth = table.depth();
            let below = u64::MAX >> depth;
            let part = part_below(hash | below) - part_below(hash & !below);
            let expected = entries as f64 * part;
            if expected <= most_in_one || depth >= DEPTH_MAX {
                match self.table_and_next(hash, context.pin).1 {
                    Some(next) => hash = next,
                    None => return Ok(None),
                }
                continue;
            }
            let Some(structural) = table.try_structural() else {
                // Another thread replaces it.
                table.assert_not_mine();
                backoff.wait();
                continue;
            };
            if self.root(context.pin).find(hash, context.pin) != table.entry {
                continue;
            }
            let plan = Plan::of_two([half; 2], depth + 1).displacing();
            match self.replace(context, &[table], hash, plan, None, Who::Writer) {
                Ok(()) => {
                    structural.keep();
                    self.counters.splits.fetch_add(1, Ordering::Relaxed);
                    trace::tables("split", plan.depth);
                }
                Err(NotDone::NoRoom) => return Ok(None),
                Err(NotDone::NoSpill) => {
                    drop(structural);
                    self.grow_spill(context, Who::Writer)?;
                }
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
        let plan = Plan::of_one(table.shape(), table.depth()).packing();
        self.replace_checked(context, &[table], hash, plan)
    }
}
