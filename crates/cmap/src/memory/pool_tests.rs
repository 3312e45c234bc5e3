//! Tests of the pool: dealing out, taking back, limits, faults.

use super::super::location::{GRANULE, LOCATION_BITS};
use super::super::tag::Tag;
use super::*;

fn pool(max_bytes: Option<usize>) -> Pool {
    Pool::new(Config {
        chunk_bytes: 64 << 10,
        block_bytes: [8 << 10, 12 << 10],
        entry_bytes_max: 16 << 10,
        max_bytes,
        keep_free: None,
        huge_pages: false,
        address_space: 64 << 20,
    })
    .expect("address space")
}

#[test]
fn chunks_come_from_the_pool_and_return_to_it() {
    let pool = pool(None);
    let a = pool
        .take_chunk(Side::Small, Who::Writer, ChunkState::Open)
        .expect("chunk");
    let b = pool
        .take_chunk(Side::Huge, Who::Writer, ChunkState::Open)
        .expect("chunk");
    assert_ne!(a, b);
    assert_eq!(pool.usage().in_use, 128 << 10);
    pool.give_chunk(a, &Quiesced::assert());
    pool.give_chunk(b, &Quiesced::assert());
    assert_eq!(
        (pool.usage().in_use, pool.usage().free),
        (0, 64 << 10),
        "one is kept"
    );
    assert_eq!(pool.trim(), 64 << 10);
    assert_eq!(pool.usage().free, 0);
}

#[test]
fn a_limit_refuses_with_the_numbers_and_spares_the_compactor() {
    let pool = pool(Some(256 << 10));
    for _ in 0..2 {
        pool.take_chunk(Side::Small, Who::Writer, ChunkState::Open)
            .expect("within the limit");
    }
    let refused = pool.take_chunk(Side::Small, Who::Writer, ChunkState::Open);
    assert_eq!(
        refused,
        Err(Refused::Limit {
            needed: 64 << 10,
            available: 0
        })
    );
    assert!(
        pool.take_chunk(Side::Small, Who::Compactor, ChunkState::Open)
            .is_ok()
    );
    assert_eq!(pool.usage().in_use, 192 << 10);
}

/// Not even one that is free and charged already: else each round of compaction could lose one, until none is left for it.
#[test]
fn a_writer_takes_no_free_chunk_of_the_compactors() {
    let pool = pool(Some(256 << 10));
    let take = |who| pool.take_chunk(Side::Small, who, ChunkState::Open);
    let mut taken: Vec<_> = (0..2).map(|_| take(Who::Writer).expect("room")).collect();
    taken.push(take(Who::Compactor).expect("room"));
    pool.give_chunk(taken.swap_remove(0), &Quiesced::assert());
    assert_eq!(pool.usage().free, 64 << 10);
    assert!(matches!(take(Who::Writer), Err(Refused::Limit { .. })));
    assert_eq!(pool.usage().free, 64 << 10, "it is kept");
    assert!(take(Who::Compactor).is_ok());
    pool.give_chunk(taken.swap_remove(0), &Quiesced::assert());
    pool.give_chunk(taken.swap_remove(0), &Quiesced::assert());
    assert!(take(Who::Writer).is_ok());
}

#[test]
fn blocks_are_zeroed_and_their_chunk_returns() {
    let pool = pool(None);
    let pin = domain().pin(Tag::fresh(domain()));
    let at = pool
        .take_block(BlockClass::First, 2, true, Who::Writer)
        .expect("block");
    pool.lines(at, 2, &pin)[1][3].store(9, Ordering::Relaxed);
    pool.give_block(at, BlockClass::First, &Quiesced::assert());
    assert_eq!(pool.chunks_in_use(), 0);
    let again = pool
        .take_block(BlockClass::First, 2, true, Who::Writer)
        .expect("block");
    assert!(
        pool.lines(again, 2, &pin)
            .iter()
            .flatten()
            .all(|word| word.load(Ordering::Relaxed) == 0)
    );
}

#[test]
fn extents_charge_pages_and_come_back_empty() {
    let pool = pool(Some(1 << 20));
    let pin = domain().pin(Tag::fresh(domain()));
    let at = pool.take_extent(100_000, Who::Writer).expect("extent");
    assert!(pool.is_extent(at));
    assert_eq!(
        pool.usage().in_use,
        100_000usize.next_multiple_of(os::page_size())
    );
    pool.arena().dealt(at.offset(), 6);
    pool.arena().write(at.offset(), b"secret");
    pool.give_extent(at, 100_000, &Quiesced::assert());
    assert_eq!(pool.usage().in_use, 0);
    let again = pool.take_extent(200_000, Who::Writer).expect("extent");
    pool.arena().dealt(again.offset(), 6);
    assert_eq!(pool.arena().bytes(again, 6, &pin), [0; 6]);
    assert!(matches!(
        pool.take_extent(2 << 20, Who::Writer),
        Err(Refused::Limit { .. })
    ));
}

#[test]
fn a_failed_request_changes_nothing() {
    let pool = pool(None);
    pool.fail(1, false);
    assert!(
        pool.take_chunk(Side::Small, Who::Writer, ChunkState::Open)
            .is_err()
    );
    assert_eq!(pool.usage().in_use, 0);
    assert!(
        pool.take_chunk(Side::Small, Who::Writer, ChunkState::Open)
            .is_ok()
    );
}

#[test]
fn preallocated_memory_stays_until_it_is_used() {
    let pool = pool(None);
    pool.preallocate(500_000).expect("memory");
    assert_eq!(pool.usage().free, 512 << 10);
    let id = pool
        .take_chunk(Side::Small, Who::Writer, ChunkState::Open)
        .expect("chunk");
    assert_eq!(pool.usage().free, 448 << 10);
    pool.give_chunk(id, &Quiesced::assert());
    assert_eq!(pool.usage().free, 448 << 10);
}

#[test]
fn nowhere_and_what_is_outside_the_range_show_nothing() {
    let (pool, pin) = (pool(None), domain().pin(Tag::fresh(domain())));
    let short = |word| pool.arena().short(Location::of_slot(word), GRANULE, &pin);
    assert_eq!(short(1 << LOCATION_BITS), None);
    assert_eq!(short((64 << 20) / GRANULE as u64 + 1), None);
    let chunk = pool
        .take_chunk(Side::Small, Who::Writer, ChunkState::Open)
        .expect("chunk");
    let start = pool.chunk_start(chunk);
    pool.arena().dealt(start, GRANULE);
    let at = start / GRANULE;
    assert_eq!(short(at as u64), Some(&[0; GRANULE][..]));
}
