//! A fork while other threads are in the middle of everything: the child can read, is told that it can do no more, and never
//! waits for a thread that it does not have.

use crate::common::{alone, assert_sound, eventually, key_bytes, scaled, settle};
use cmap::{
    BatchError, Budget, CMap, ChunkPool, Cursor, Error, Maintenance, Op, PoolConfig, internal,
};
use std::{
    collections::HashSet,
    mem::ManuallyDrop,
    panic::{self, AssertUnwindSafe, catch_unwind},
    ptr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);
const SENTENCE: &str =
    "this map was made before the process was forked; in the child it can only be read";
/// Keys that nobody changes.
const STEADY: u64 = 500;

/// Forks. The child runs `body` and exits; the parent fails where that panicked, died, or did not come to an end.
#[track_caller]
fn forked(body: impl FnOnce()) {
    // SAFETY: the child has this thread alone, and ends in `_exit`; whether it may do what it does meanwhile is the question.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "no fork");
    if child == 0 {
        let done = catch_unwind(AssertUnwindSafe(body));
        if let Err(panic) = &done {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            eprintln!(
                "in the child: {:?}",
                said.or(panic.downcast_ref::<&str>().copied())
            );
        }
        // SAFETY: ends the child, without what the parent's threads have left to do.
        unsafe { libc::_exit(done.is_err().into()) }
    }
    let start = Instant::now();
    let mut status = 0;
    // SAFETY: `status` is ours.
    while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
        if start.elapsed() > PATIENCE {
            // SAFETY: our own child.
            unsafe { libc::kill(child, libc::SIGKILL) };
            panic!("the child hangs");
        }
        thread::sleep(Duration::from_micros(200));
    }
    assert_eq!(status, 0, "the child failed");
}

fn steady(n: u64) -> Vec<u8> {
    vec![n as u8; n as usize % 3 * 300 + 40]
}

fn maps() -> Vec<(CMap, ChunkPool)> {
    let config = PoolConfig {
        chunk_bytes: 64 << 10,
        ..PoolConfig::default()
    };
    let pool = ChunkPool::new(config).expect("a pool");
    let builders = [
        CMap::builder(),
        CMap::builder().pool(&pool),
        CMap::builder()
            .max_bytes(32 << 20)
            .maintenance(Maintenance::Thread),
        internal::tiny(),
        internal::tiny_wide(),
    ];
    let map = |builder: cmap::Builder| {
        let map = builder.build().expect("a map");
        (0..STEADY).for_each(|n| assert!(map.insert(&key_bytes(n), &steady(n)).is_ok()));
        (map, pool.clone())
    };
    builders.into_iter().map(map).collect()
}

/// Everything at once, on keys that are not steady, until told to stop.
fn busy(map: &CMap, number: u64, stop: &AtomicBool) {
    let mut rng = fastrand::Rng::with_seed(number);
    while !stop.load(Ordering::Relaxed) {
        let key = key_bytes(rng.u64(STEADY..3 * STEADY));
        match rng.u16(..1_000) {
            0..500 => drop(map.insert(&key, &vec![number as u8; rng.usize(..700)])),
            500..800 => drop(map.take(&key)),
            800..950 => drop(map.pin().get(&key).map(<[u8]>::len)),
            950..960 => drop(map.compact(Budget::bytes(20_000)).moved.to_string()),
            960..965 => map.for_each(|key, _| assert_eq!(key.len(), 16)),
            965 => map.shrink_to_fit(),
            966 => drop(map.insert(&key, &vec![1; 100_000])),
            967 => drop(CMap::new().insert(&key, &[7; 100])),
            _ => assert!(map.contains_key(&key_bytes(rng.u64(..STEADY)))),
        }
    }
}

#[track_caller]
fn panics_with_the_sentence(call: impl FnOnce()) {
    let panic = catch_unwind(AssertUnwindSafe(call)).expect_err("the call came back");
    let said = panic.downcast_ref::<String>().map(String::as_str);
    assert_eq!(
        said.or(panic.downcast_ref::<&str>().copied()),
        Some(SENTENCE)
    );
}

/// A scan shows every steady key, and none twice.
#[track_caller]
fn shows_all(name: &str, scan: impl FnOnce(&mut dyn FnMut(&[u8]))) {
    let mut seen = HashSet::new();
    scan(&mut |key| assert!(seen.insert(key.to_vec()), "{name}: twice: {key:?}"));
    let missed = (0..STEADY).find(|&n| !seen.contains(key_bytes(n).as_slice()));
    assert_eq!(missed, None, "{name}");
}

/// What a child can do with a map of its parent.
fn in_the_child(map: &CMap, pool: &ChunkPool) {
    let pin = map.pin();
    for n in 0..STEADY {
        assert_eq!(map.get(&key_bytes(n)), Some(steady(n)), "{n}");
        assert_eq!(pin.get(&key_bytes(n)), Some(steady(n).as_slice()), "{n}");
    }
    assert!(!map.contains_key(b"absent") && map.len() >= STEADY as usize);
    let keys: &Vec<_> = &(0..STEADY).map(key_bytes).collect();
    let right = |n: usize, value: Option<&[u8]>| assert_eq!(value, Some(&*steady(n as u64)), "{n}");
    assert_eq!(map.get_many(keys, right), keys.len());
    assert_eq!(pin.get_many(keys, right), keys.len());
    for (n, key) in (0..).zip(keys) {
        assert_eq!(map.get_ref(key).as_deref(), Some(&*steady(n)), "{n}");
    }
    shows_all("for_each", |show| map.for_each(|key, _| show(key)));
    shows_all("iter", |show| map.iter().for_each(|(key, _)| show(&key)));
    shows_all("keys", |show| map.keys().for_each(|key| show(&key)));
    shows_all("scan", |show| {
        let mut cursor = Some(Cursor::START);
        while let Some(from) = cursor {
            cursor = map.scan(from, 10, |key, _| show(key));
        }
    });
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(map.get(&key_bytes(1)), Some(steady(1))));
    });

    let key = &key_bytes(1);
    assert_eq!(map.insert(key, b"v"), Err(Error::Forked));
    assert_eq!(map.insert(b"new", b"v"), Err(Error::Forked));
    assert_eq!(map.insert_swap(key, b"v"), Err(Error::Forked));
    assert_eq!(map.insert_if_absent(key, b"v"), Err(Error::Forked));
    assert_eq!(map.replace(key, b"v"), Err(Error::Forked));
    let held = steady(1);
    for (old, new) in [
        (Some(&held[..]), Some(&b"v"[..])),
        (Some(&held), None),
        (None, Some(b"v")),
    ] {
        assert_eq!(map.compare_and_swap(key, old, new), Err(Error::Forked));
    }
    assert_eq!(map.compute(key, |_| Op::Put(b"v")), Err(Error::Forked));
    let removed = map.compute(key, |_| Op::<&[u8]>::Remove);
    assert_eq!(removed, Err(Error::Forked));
    let made = map.get_or_insert_with(b"new", || b"v");
    assert_eq!(made, Err(Error::Forked));
    let written = map.insert_with(key, 1, |place| place.fill(7));
    assert_eq!(written, Err(Error::Forked));
    assert_eq!(map.fetch_add(b"new", 1), Err(Error::Forked));
    assert_eq!(map.append(key, b"v"), Err(Error::Forked));
    let none = BatchError {
        done: 0,
        source: Error::Forked,
    };
    assert_eq!(map.insert_many([(key, b"v"), (key, b"w")]), Err(none));
    assert_eq!(map.reserve(10, 10), Err(Error::Forked));
    panics_with_the_sentence(|| drop(map.remove(key).to_string()));
    panics_with_the_sentence(|| drop(map.take(key)));
    panics_with_the_sentence(|| drop(map.remove_if(key, |_| true).to_string()));
    panics_with_the_sentence(|| drop(map.retain(|_, _| false).to_string()));
    panics_with_the_sentence(|| drop(map.drain().next()));
    panics_with_the_sentence(|| drop(map.remove_many(keys).to_string()));
    panics_with_the_sentence(|| map.clear());
    panics_with_the_sentence(|| drop(map.compact(Budget::all()).moved.to_string()));
    panics_with_the_sentence(|| map.shrink_to_fit());
    assert!(format!("{map:?} {:?} {:?}", map.memory(), map.stats()).contains("CMap"));
    assert_eq!(pool.preallocate(1), Err(Error::Forked));
    assert_eq!((pool.trim(), pool.usage().in_use), (0, 0));
    assert_eq!(
        CMap::builder().pool(pool).build().err(),
        Some(Error::Forked)
    );

    // Dropping does nothing: what a pin shows is still there.
    // SAFETY: the child ends before the parent's copies would be dropped.
    drop(unsafe { ptr::read(map) });
    // SAFETY: as above.
    drop(unsafe { ptr::read(pool) });
    assert!((0..STEADY).all(|n| pin.get(&key_bytes(n)) == Some(steady(n).as_slice())));
}

/// New maps are as good as in any process.
fn new_maps_work() {
    for builder in [
        CMap::builder(),
        CMap::builder().max_bytes(16 << 20),
        internal::tiny(),
    ] {
        let map = builder.build().expect("a map");
        for n in 0..1_000 {
            map.insert(&key_bytes(n), &steady(n))
                .expect("there is memory");
        }
        for n in 0..900 {
            assert_eq!(map.take(&key_bytes(n)), Some(steady(n)));
        }
        // No thread of the parent holds anything back here.
        settle(&map);
        assert_sound(&map);
        map.clear();
        assert_eq!(map.len(), 0);
    }
}

#[test]
fn a_child_reads_and_is_told_so() {
    alone("fork::a_child_reads_and_is_told_so", || {
        // Most panics are wanted; the others are told by `forked`.
        panic::set_hook(Box::new(|_| {}));
        let maps = ManuallyDrop::new(maps());
        let stop = AtomicBool::new(false);
        let forks = scaled(4_000).clamp(20, 200);
        thread::scope(|scope| {
            for (number, (map, _)) in (0..).zip(maps.iter()) {
                let stop = &stop;
                scope.spawn(move || busy(map, number, stop));
            }
            for fork in 0..forks {
                let all = catch_unwind(AssertUnwindSafe(|| {
                    forked(|| {
                        let (map, pool) = &maps[fork % maps.len()];
                        in_the_child(map, pool);
                        new_maps_work();
                        if fork < maps.len() {
                            let newer = CMap::new();
                            newer.insert(b"k", b"v").expect("there is memory");
                            forked(|| {
                                assert_eq!(newer.get(b"k"), Some(b"v".to_vec()));
                                assert_eq!(newer.insert(b"k", b"w"), Err(Error::Forked));
                                new_maps_work();
                            });
                            newer.insert(b"k", b"w").expect("it is not the grandchild");
                        }
                    })
                }));
                if let Err(panic) = all {
                    stop.store(true, Ordering::Relaxed);
                    eprintln!("fork {fork}: {:?}", panic.downcast_ref::<&str>());
                    panic::resume_unwind(panic);
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        println!(
            "fork::a_child_reads_and_is_told_so: {forks} forks amid {} busy threads",
            maps.len()
        );
        drop(panic::take_hook());
        for (map, _) in maps.iter() {
            settle(map);
            // A thread of a map's own may be in the middle of a step.
            if !eventually(|| internal::check(map).is_ok()) {
                assert_sound(map);
            }
        }
    });
}
