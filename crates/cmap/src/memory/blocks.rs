//! Which units of which chunks are free for blocks. Bookkeeping only: no bytes, no locks.
//!
//! Blocks are runs of units; sizes share chunks, so that what one size leaves serves another. The chunk with the lowest
//! number that has room is filled first, so that the others empty and go back to the pool.

use super::limbo::NoHeap;
use super::location::ChunkId;
use super::request::try_slice;

#[derive(Debug)]
struct BlockChunk {
    id: ChunkId,
    used: usize,
    total: usize,
    /// One bit a unit, set = free.
    free: Box<[u64]>,
}

impl BlockChunk {
    /// The first of `count` free units in a row; if `tidily`, of a row of which no single unit is left, in
    /// which only blocks of one would fit.
    fn find(&self, count: usize, tidily: bool) -> Option<usize> {
        if self.total - self.used < count {
            return None;
        }
        let mut before = 0;
        for (number, &word) in self.free.iter().enumerate() {
            let next = self.free.get(number + 1).copied().unwrap_or(0);
            // Bit n says whether unit n + `ahead` is free.
            let ahead = |ahead: usize| word >> ahead | next << (64 - ahead);
            let mut starts = (1..count).fold(word, |starts, n| starts & ahead(n));
            if tidily && count > 1 {
                starts &= !(word << 1 | before >> 63);
                starts &= !ahead(count) | ahead(count + 1);
            }
            if starts != 0 {
                return Some(number * 64 + starts.trailing_zeros() as usize);
            }
            before = word;
        }
        None
    }

    fn flip(&mut self, first: usize, count: usize) {
        for unit in first..first + count {
            self.free[unit / 64] ^= 1 << (unit % 64);
        }
    }

    fn is_free(&self, unit: usize) -> bool {
        self.free[unit / 64] & 1 << (unit % 64) != 0
    }
}

/// Most units of a block.
pub(crate) const BLOCK_UNITS_MAX: usize = 8;

/// The chunks of blocks of one pool.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    /// Emptied places are used again, so a chunk's place never changes.
    chunks: Vec<Option<BlockChunk>>,
    /// No chunk before this place has room for a block: tidily, or at all; by the block's units.
    hints: [[usize; BLOCK_UNITS_MAX + 1]; 2],
    used: usize,
}

impl Blocks {
    /// Takes a block of `count` units: its chunk, and its first unit in it. From the lowest chunk, that others may empty; but
    /// before that, if `tidily`, from the lowest where it leaves no single unit.
    pub(crate) fn take(&mut self, count: usize, tidily: bool) -> Option<(ChunkId, usize)> {
        let found = tidily.then(|| self.take_so(count, true)).flatten();
        found.or_else(|| self.take_so(count, false))
    }

    fn take_so(&mut self, count: usize, tidily: bool) -> Option<(ChunkId, usize)> {
        let hint = &mut self.hints[usize::from(tidily)][count];
        for place in *hint..self.chunks.len() {
            let Some(chunk) = self.chunks[place].as_mut() else {
                continue;
            };
            if let Some(first) = chunk.find(count, tidily) {
                chunk.flip(first, count);
                chunk.used += count;
                self.used += count;
                *hint = place;
                return Some((chunk.id, first));
            }
        }
        *hint = self.chunks.len();
        None
    }

    /// Makes room for [`Blocks::add`], so that it cannot fail.
    pub(crate) fn prepare(&mut self, total: usize) -> Result<Box<[u64]>, NoHeap> {
        let words = total.div_ceil(64);
        let mut free = try_slice(words, |_| u64::MAX)?;
        self.chunks.try_reserve(1).map_err(|_| NoHeap {
            bytes: size_of::<BlockChunk>(),
        })?;
        if total % 64 != 0 {
            free[words - 1] = (1 << (total % 64)) - 1;
        }
        Ok(free)
    }

    /// Takes in a chunk of `total` units. Returns its place.
    pub(crate) fn add(&mut self, id: ChunkId, total: usize, free: Box<[u64]>) -> usize {
        let chunk = Some(BlockChunk {
            id,
            used: 0,
            total,
            free,
        });
        let empty = self.chunks.iter().position(Option::is_none);
        let place = empty.unwrap_or(self.chunks.len());
        if place == self.chunks.len() {
            self.chunks.push(chunk);
        } else {
            self.chunks[place] = chunk;
        }
        self.lower_hints(place);
        place
    }

    fn lower_hints(&mut self, place: usize) {
        for hint in self.hints.as_flattened_mut() {
            *hint = (*hint).min(place);
        }
    }

    /// Gives a block back. `true` if its chunk has no other and is no longer here.
    pub(crate) fn give(&mut self, place: usize, first: usize, count: usize) -> bool {
        let chunk = self.chunks[place]
            .as_mut()
            .expect("a block's chunk is here");
        let taken = (first..first + count).all(|unit| !chunk.is_free(unit));
        assert!(taken, "a block is given back once");
        chunk.flip(first, count);
        chunk.used -= count;
        self.used -= count;
        let is_empty = chunk.used == 0;
        if is_empty {
            self.chunks[place] = None;
        }
        self.lower_hints(place);
        is_empty
    }

    /// Whether the chunks before the one at `place` have room for all that is in it, so that moving its blocks would empty it.
    pub(crate) fn is_sparse(&self, place: usize) -> bool {
        let Some(chunk) = self.chunks.get(place).and_then(Option::as_ref) else {
            return false;
        };
        let before = self.chunks[..place].iter().flatten();
        let room: usize = before.map(|other| other.total - other.used).sum();
        room >= chunk.used
    }

    /// Free units, one by one.
    pub(crate) fn free_units(&self) -> impl Iterator<Item = (ChunkId, usize)> + '_ {
        self.chunks.iter().flatten().flat_map(|chunk| {
            let free = (0..chunk.total).filter(|&unit| chunk.is_free(unit));
            free.map(|unit| (chunk.id, unit))
        })
    }

    /// Units dealt out.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Chunks that hold blocks.
    pub(crate) fn chunk_count(&self) -> usize {
        self.chunks.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(chunks: u32, total: usize) -> Blocks {
        let mut blocks = Blocks::default();
        for id in 0..chunks {
            let free = blocks.prepare(total).expect("memory");
            assert_eq!(blocks.add(ChunkId(id), total, free), id as usize);
        }
        blocks
    }

    #[test]
    fn the_lowest_chunk_fills_first_and_an_empty_one_leaves() {
        let mut blocks = with(2, 70);
        let taken: Vec<_> = (0..71)
            .map(|_| blocks.take(1, true).expect("room"))
            .collect();
        assert_eq!(taken[69], (ChunkId(0), 69));
        assert_eq!(taken[70], (ChunkId(1), 0));
        assert!(!blocks.give(0, 5, 1));
        assert_eq!(blocks.take(1, true), Some((ChunkId(0), 5)));
        assert!(!blocks.is_sparse(1));
        assert!(!blocks.give(0, 7, 1));
        assert!(blocks.is_sparse(1));
        assert!(blocks.give(1, 0, 1));
        assert_eq!((blocks.chunk_count(), blocks.used()), (1, 69));
    }

    #[test]
    fn sizes_share_chunks_and_holes_grow_together() {
        let mut blocks = with(1, 130);
        let twos: Vec<_> = (0..65)
            .map(|_| blocks.take(2, true).expect("room").1)
            .collect();
        assert_eq!(blocks.take(3, true), None);
        blocks.give(0, twos[31], 2);
        assert_eq!(blocks.take(3, true), None, "two in a row are not three");
        blocks.give(0, twos[32], 2);
        assert_eq!(
            blocks.take(3, true),
            Some((ChunkId(0), 62)),
            "across two words"
        );
        assert_eq!(blocks.take(1, true), Some((ChunkId(0), 65)));
        assert_eq!(blocks.used(), 130);
    }

    #[test]
    fn no_single_unit_is_left_if_that_can_be_helped() {
        let mut blocks = with(1, 130);
        for _ in 0..20 {
            let _ = blocks.take(3, true);
        }
        blocks.give(0, 30, 3);
        assert_eq!(
            blocks.take(2, true),
            Some((ChunkId(0), 60)),
            "not where three were"
        );
        assert_eq!(
            blocks.take(2, false),
            Some((ChunkId(0), 30)),
            "to pack them"
        );
        blocks.give(0, 30, 2);
        assert_eq!(blocks.take(3, true), Some((ChunkId(0), 30)));
        for first in (62..124).step_by(2) {
            assert_eq!(
                blocks.take(2, true),
                Some((ChunkId(0), first)),
                "across two words"
            );
        }
        assert_eq!(blocks.take(3, true), Some((ChunkId(0), 124)));
        assert_eq!(
            blocks.take(2, true),
            Some((ChunkId(0), 127)),
            "of the last three"
        );
        assert_eq!(blocks.take(1, true), Some((ChunkId(0), 129)));
        assert_eq!(blocks.used(), 130);
    }

    #[test]
    #[should_panic(expected = "given back once")]
    fn a_block_cannot_be_given_back_twice() {
        let mut blocks = with(1, 8);
        let _ = blocks.take(1, true);
        let _ = blocks.take(1, true);
        let _ = blocks.give(0, 0, 1);
        let _ = blocks.give(0, 0, 1);
    }
}
