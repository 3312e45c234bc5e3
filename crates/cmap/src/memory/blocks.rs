//! Which blocks of which chunks are free. Bookkeeping only: no bytes, no locks.
//!
//! A chunk of blocks holds blocks of one size. The one with the lowest number that has room is filled first, so that the
//! others empty and go back to the pool.

use super::limbo::NoHeap;
use super::location::ChunkId;

#[derive(Debug)]
struct BlockChunk {
    id: ChunkId,
    class: u8,
    used: u32,
    total: u32,
    /// One bit a block, set = free.
    free: Box<[u64]>,
}

/// The chunks of blocks of one pool.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    /// Emptied places are used again, so a chunk's place never changes.
    chunks: Vec<Option<BlockChunk>>,
    /// No chunk of the class before this place has a free block.
    hint: [usize; 2],
    used: [usize; 2],
}

impl Blocks {
    /// Takes a free block of `class`: its chunk, and its number in it.
    pub(crate) fn take(&mut self, class: u8) -> Option<(ChunkId, usize)> {
        let hint = self.hint[class as usize];
        for place in hint..self.chunks.len() {
            let Some(chunk) = self.chunks[place].as_mut() else {
                continue;
            };
            if chunk.class != class || chunk.used == chunk.total {
                continue;
            }
            self.hint[class as usize] = place;
            let word = chunk.free.iter().position(|&bits| bits != 0)?;
            let bit = chunk.free[word].trailing_zeros() as usize;
            chunk.free[word] &= !(1 << bit);
            chunk.used += 1;
            self.used[class as usize] += 1;
            return Some((chunk.id, word * 64 + bit));
        }
        self.hint[class as usize] = self.chunks.len();
        None
    }

    /// Makes room for [`Blocks::add`], so that it cannot fail.
    pub(crate) fn prepare(&mut self, total: usize) -> Result<Box<[u64]>, NoHeap> {
        let words = total.div_ceil(64);
        let mut free = Vec::new();
        free.try_reserve_exact(words)
            .map_err(|_| NoHeap { bytes: words * 8 })?;
        self.chunks.try_reserve(1).map_err(|_| NoHeap {
            bytes: size_of::<BlockChunk>(),
        })?;
        free.resize(words, u64::MAX);
        if total % 64 != 0 {
            free[words - 1] = (1 << (total % 64)) - 1;
        }
        Ok(free.into_boxed_slice())
    }

    /// Takes in a chunk of `total` blocks. Returns its place.
    pub(crate) fn add(&mut self, id: ChunkId, class: u8, total: usize, free: Box<[u64]>) -> usize {
        let chunk = Some(BlockChunk {
            id,
            class,
            used: 0,
            total: total as u32,
            free,
        });
        let place = self
            .chunks
            .iter()
            .position(Option::is_none)
            .unwrap_or(self.chunks.len());
        if place == self.chunks.len() {
            self.chunks.push(chunk);
        } else {
            self.chunks[place] = chunk;
        }
        self.hint[class as usize] = self.hint[class as usize].min(place);
        place
    }

    /// Gives a block back. `true` if its chunk has no other and is no longer here.
    pub(crate) fn give(&mut self, place: usize, number: usize) -> bool {
        let chunk = self.chunks[place]
            .as_mut()
            .expect("a block's chunk is here");
        let (word, bit) = (number / 64, 1u64 << (number % 64));
        assert!(chunk.free[word] & bit == 0, "a block is given back once");
        chunk.free[word] |= bit;
        chunk.used -= 1;
        let class = chunk.class as usize;
        self.used[class] -= 1;
        self.hint[class] = self.hint[class].min(place);
        let empty = chunk.used == 0;
        if empty {
            self.chunks[place] = None;
        }
        empty
    }

    /// Whether moving a block out of the chunk at `place` would fill chunks before it and help to empty this one.
    pub(crate) fn is_sparse(&self, place: usize) -> bool {
        let Some(chunk) = self.chunks.get(place).and_then(Option::as_ref) else {
            return false;
        };
        let room: u32 = self.chunks[..place]
            .iter()
            .flatten()
            .filter(|other| other.class == chunk.class)
            .map(|other| other.total - other.used)
            .sum();
        room >= chunk.used
    }

    /// Free blocks of the chunk at `place`, as runs of numbers.
    pub(crate) fn free_blocks(&self) -> impl Iterator<Item = (ChunkId, u8, usize)> + '_ {
        self.chunks.iter().flatten().flat_map(|chunk| {
            (0..chunk.total as usize)
                .filter(|number| chunk.free[number / 64] & (1 << (number % 64)) != 0)
                .map(|number| (chunk.id, chunk.class, number))
        })
    }

    /// Blocks dealt out of each class.
    pub(crate) fn used(&self) -> [usize; 2] {
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

    fn with(chunks: u32, class: u8, total: usize) -> Blocks {
        let mut blocks = Blocks::default();
        for id in 0..chunks {
            let free = blocks.prepare(total).expect("memory");
            assert_eq!(blocks.add(ChunkId(id), class, total, free), id as usize);
        }
        blocks
    }

    #[test]
    fn the_lowest_chunk_fills_first_and_an_empty_one_leaves() {
        let mut blocks = with(2, 0, 70);
        let taken: Vec<_> = (0..71).map(|_| blocks.take(0).expect("room")).collect();
        assert_eq!(taken[69], (ChunkId(0), 69));
        assert_eq!(taken[70], (ChunkId(1), 0));
        assert!(!blocks.give(0, 5));
        assert_eq!(blocks.take(0), Some((ChunkId(0), 5)));
        assert!(!blocks.is_sparse(1));
        assert!(!blocks.give(0, 7));
        assert!(blocks.is_sparse(1));
        assert!(blocks.give(1, 0));
        assert_eq!((blocks.chunk_count(), blocks.used()), (1, [69, 0]));
    }

    #[test]
    fn classes_do_not_mix() {
        let mut blocks = with(1, 1, 3);
        assert_eq!(blocks.take(0), None);
        assert!(blocks.take(1).is_some());
    }

    #[test]
    #[should_panic(expected = "given back once")]
    fn a_block_cannot_be_given_back_twice() {
        let mut blocks = with(1, 0, 8);
        let _ = blocks.take(0);
        let _ = blocks.take(0);
        let _ = blocks.give(0, 0);
        let _ = blocks.give(0, 0);
    }
}
