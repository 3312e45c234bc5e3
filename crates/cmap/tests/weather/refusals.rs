//! Systems that refuse: no huge pages, no giving back, no more mappings, little address space. An error with numbers or no
//! difference at all; nothing that was acknowledged is lost; and all is well when the system is.

use crate::common::{alone, assert_sound, key_bytes, scaled, settle};
use cmap::{CMap, ChunkPool, Error, PoolConfig};
use std::{
    fs, ptr,
    sync::atomic::{AtomicI32, AtomicUsize, Ordering},
};

const MIB: usize = 1 << 20;

/// The advice that the system refuses, by its number; and how often it did.
static REFUSED_ADVICE: AtomicI32 = AtomicI32::new(-1);
static REFUSALS: AtomicUsize = AtomicUsize::new(0);
/// From which call on, and how many, the system gives no access to reserved pages.
static COMMITS_LEFT: AtomicUsize = AtomicUsize::new(usize::MAX);
static COMMITS_REFUSED: AtomicUsize = AtomicUsize::new(0);

fn refuse(error: libc::c_int) -> libc::c_int {
    // SAFETY: it takes nothing.
    let own = unsafe { libc::__errno_location() };
    // SAFETY: the thread's own.
    unsafe { own.write(error) };
    -1
}

/// Stands in for the system's.
///
/// # Safety
/// As `madvise`.
#[unsafe(no_mangle)]
unsafe extern "C" fn madvise(
    at: *mut libc::c_void,
    len: usize,
    advice: libc::c_int,
) -> libc::c_int {
    if advice == REFUSED_ADVICE.load(Ordering::Relaxed) {
        REFUSALS.fetch_add(1, Ordering::Relaxed);
        return refuse(libc::EINVAL);
    }
    // SAFETY: the caller's promise.
    unsafe { libc::syscall(libc::SYS_madvise, at, len, advice) as libc::c_int }
}

/// Stands in for the system's.
///
/// # Safety
/// As `mprotect`.
#[unsafe(no_mangle)]
unsafe extern "C" fn mprotect(
    at: *mut libc::c_void,
    len: usize,
    access: libc::c_int,
) -> libc::c_int {
    let left = COMMITS_LEFT.load(Ordering::Relaxed);
    if left == 0 {
        COMMITS_REFUSED.fetch_add(1, Ordering::Relaxed);
        return refuse(libc::ENOMEM);
    }
    if left != usize::MAX {
        COMMITS_LEFT.store(left - 1, Ordering::Relaxed);
    }
    // SAFETY: the caller's promise.
    unsafe { libc::syscall(libc::SYS_mprotect, at, len, access) as libc::c_int }
}

fn value(n: u64) -> [u8; 500] {
    [n as u8; 500]
}

/// Inserts from `from` on until one is refused, `most` at most. Gives the first that is not there.
fn fill(map: &CMap, from: u64, most: u64) -> (u64, Option<Error>) {
    for n in from..from + most {
        if let Err(error) = map.insert(&key_bytes(n), &value(n)) {
            return (n, Some(error));
        }
    }
    (from + most, None)
}

#[track_caller]
fn assert_all_there(map: &CMap, to: u64) {
    for n in 0..to {
        let right = map.get_with(&key_bytes(n), |found| found == value(n));
        assert_eq!(right, Some(true), "{n} of {to}");
    }
    assert_eq!(map.len() as u64, to);
}

#[test]
fn huge_pages_refused() {
    alone("refusals::huge_pages_refused", || {
        for advice in [
            libc::MADV_HUGEPAGE,
            libc::MADV_NOHUGEPAGE,
            libc::MADV_DONTNEED,
        ] {
            REFUSED_ADVICE.store(advice, Ordering::Relaxed);
            let before = REFUSALS.load(Ordering::Relaxed);
            let pool = ChunkPool::new(PoolConfig::default()).expect("a pool");
            let map = CMap::builder()
                .pool(&pool)
                .speed_over_memory(1.0)
                .build()
                .expect("a map");
            let count = 60_000;
            for _ in 0..2 {
                assert_eq!(fill(&map, 0, count), (count, None));
                assert_all_there(&map, count);
                assert!((0..count).all(|n| map.remove(&key_bytes(n))));
                // An extent reads as zeros where nobody wrote, whoever had it before.
                map.insert(b"extent", &vec![0xee; 3 * MIB])
                    .expect("there is memory");
                map.remove(b"extent");
                map.shrink_to_fit();
                pool.trim();
            }
            settle(&map);
            assert_sound(&map);
            assert_eq!(
                REFUSALS.load(Ordering::Relaxed) > before,
                !cfg!(cmap_portable),
                "whether advice {advice}, of Linux alone, is given"
            );
        }
    });
}

/// The n-th request for memory is refused by the system itself, once and for good.
#[test]
fn commits_refused() {
    alone("refusals::commits_refused", || {
        for n in 0..scaled(400).min(40) {
            let pool = ChunkPool::new(PoolConfig {
                chunk_bytes: 64 << 10,
                ..PoolConfig::default()
            });
            COMMITS_LEFT.store(n, Ordering::Relaxed);
            let map = match pool.and_then(|pool| CMap::builder().pool(&pool).build()) {
                Ok(map) => map,
                Err(error) => {
                    COMMITS_LEFT.store(usize::MAX, Ordering::Relaxed);
                    panic!("a map needs no memory: {error:?}");
                }
            };
            let (to, error) = fill(&map, 0, 100_000);
            let extent = map.insert(b"extent", &[1; 100_000]);
            COMMITS_LEFT.store(usize::MAX, Ordering::Relaxed);
            for error in [error, extent.err()] {
                assert!(
                    matches!(error, Some(Error::OutOfMemory { bytes }) if bytes > 0),
                    "{error:?}"
                );
            }
            assert_all_there(&map, to);
            assert_sound(&map);
            assert_eq!(fill(&map, to, 1_000), (to + 1_000, None));
            assert_all_there(&map, to + 1_000);
        }
        assert!(COMMITS_REFUSED.load(Ordering::Relaxed) > 0);
    });
}

fn address_space() -> usize {
    let sizes = fs::read_to_string("/proc/self/statm").expect("Linux tells a process its sizes");
    let pages = sizes
        .split(' ')
        .next()
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("a number of pages") * 4096
}

fn limit_address_space(bytes: libc::rlim_t) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is ours.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
    limit.rlim_cur = bytes.min(limit.rlim_max);
    // SAFETY: as above.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!((got, set), (0, 0));
}

#[test]
fn a_small_address_space() {
    alone("refusals::a_small_address_space", || {
        for spare in [0, 4, 20, 64, 150] {
            limit_address_space((address_space() + spare * MIB) as libc::rlim_t);
            let map = CMap::new();
            let (to, error) = fill(&map, 0, 1_000_000);
            assert!(
                matches!(error, Some(Error::OutOfMemory { .. })),
                "{spare} MiB: {error:?}"
            );
            assert_all_there(&map, to);
            let absurd = map.insert(b"extent", &[1; 300_000]);
            assert!(
                matches!(absurd, Ok(_) | Err(Error::OutOfMemory { .. })),
                "{absurd:?}"
            );
            map.remove(b"extent");
            // What goes makes room for what comes.
            let gone = to / 2;
            (0..gone).for_each(|n| assert!(map.remove(&key_bytes(n))));
            settle(&map);
            let again = (0..gone)
                .filter(|&n| map.insert(&key_bytes(n), &value(n)).is_ok())
                .count();
            assert!(
                again as u64 >= gone / 2,
                "{again} of {gone} fit again: {:?}",
                map.memory()
            );
            limit_address_space(libc::RLIM_INFINITY);
            println!("refusals::a_small_address_space: {to} entries within {spare} MiB");
            assert!(spare < 64 || to > 1_000, "{to} entries within {spare} MiB");
            assert_sound(&map);
            drop(map);
            // Without the limit a new pool is as large as any.
            let pool = ChunkPool::new(PoolConfig::default()).expect("a pool");
            let map = CMap::builder().pool(&pool).build().expect("a map");
            assert_eq!(fill(&map, 0, 100_000).1, None);
        }
    });
}

/// The system has no mapping left to give, so no page of a reservation can change its access.
#[test]
fn no_mappings_left() {
    alone("refusals::no_mappings_left", || {
        let most = fs::read_to_string("/proc/sys/vm/max_map_count").expect("Linux has a limit");
        let most: usize = most.trim().parse().expect("a number");
        if most > 1 << 20 {
            println!("refusals::no_mappings_left: skipped, {most} are too many to use up");
            return;
        }
        let pool = ChunkPool::new(PoolConfig {
            chunk_bytes: 64 << 10,
            ..PoolConfig::default()
        })
        .expect("a pool");
        let map = CMap::builder().pool(&pool).build().expect("a map");
        let (mut to, error) = fill(&map, 0, 1_000);
        assert_eq!(error, None);
        let len = (2 * most + 16) * 4096;
        // SAFETY: a mapping of our own.
        let pages = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            libc::mmap(ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0)
        };
        assert_ne!(pages, libc::MAP_FAILED);
        let used_up = (0..most).find(|page| {
            let page = pages.wrapping_byte_add(page * 2 * 4096);
            // SAFETY: every second page of our mapping, so that each is one of its own.
            unsafe { libc::syscall(libc::SYS_mprotect, page, 4096, libc::PROT_READ) != 0 }
        });
        let mut refused = 0;
        for _ in 0..20 {
            // What lies beside a committed chunk needs no mapping more; an extent does.
            let extent = map.insert(&to.to_be_bytes(), &vec![1; 100_000 + 4096 * refused]);
            refused += usize::from(matches!(extent, Err(Error::OutOfMemory { .. })));
            map.remove(&to.to_be_bytes());
            to = fill(&map, to, 2_000).0;
            map.shrink_to_fit();
            pool.trim();
        }
        let other = ChunkPool::new(PoolConfig::default());
        // SAFETY: ours, and used by nobody.
        unsafe { libc::munmap(pages, len) };
        assert!(
            used_up.is_some() && (refused > 0 || other.is_err()),
            "{used_up:?}, {refused}"
        );
        assert_all_there(&map, to);
        assert_eq!(fill(&map, to, 50_000), (to + 50_000, None));
        assert_eq!(map.insert(b"extent", &[1; 100_000]).err(), None);
        map.remove(b"extent");
        assert_all_there(&map, to + 50_000);
        settle(&map);
        assert_sound(&map);
    });
}
