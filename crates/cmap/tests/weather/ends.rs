//! Threads and processes that end, with pins held, garbage waiting, or a thread-local that still uses the map.

use crate::common::{alone, alone_until_it_exits, assert_sound, key_bytes, scaled, settle, within};
use cmap::{Budget, CMap, internal};
use std::{
    cell::RefCell,
    mem,
    sync::{
        Arc, Barrier, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// Threads end by the thousand, each leaving garbage; some keep a pin for ever. Records are used again, garbage is freed.
#[test]
fn short_lived_threads() {
    alone("ends::short_lived_threads", || {
        const AT_ONCE: u64 = 4;
        const LEAKED: usize = 16;
        let map = Arc::new(internal::tiny().build().expect("tiny"));
        let held = Arc::new(CMap::new());
        held.insert(b"key", b"held").expect("there is memory");
        let count = scaled(2_000_000).min(100_000) as u64;
        let before = internal::records();
        let leak_every = (count / LEAKED as u64).max(1);
        for first in (0..count).step_by(AT_ONCE as usize) {
            let run = |n: u64| {
                let (map, held) = (map.clone(), held.clone());
                thread::spawn(move || {
                    let pin = map.pin();
                    map.insert(&key_bytes(n % 64), &[n as u8; 90])
                        .expect("there is memory");
                    assert!(pin.get(&key_bytes(n % 64)).is_some());
                    if n % leak_every == 0 {
                        mem::forget(held.pin());
                    }
                    map.remove(&key_bytes((n + 32) % 64));
                })
            };
            let threads: Vec<_> = (first..(first + AT_ONCE).min(count)).map(run).collect();
            threads
                .into_iter()
                .for_each(|thread| thread.join().expect("no panic"));
        }
        let records = internal::records() - before;
        println!("ends::short_lived_threads: {count} threads, {records} records");
        // The last of a thread may run after it was joined.
        assert!(
            records <= 2 * AT_ONCE as usize + 2 * LEAKED,
            "{records} records"
        );
        settle(&map);
        assert_sound(&map);
        // The pins that stayed hold what they may look at, and no more.
        for n in 0..20_000_u32 {
            held.insert(b"key", &n.to_le_bytes())
                .expect("there is memory");
        }
        assert_eq!(held.get(b"key"), Some(19_999_u32.to_le_bytes().to_vec()));
    });
}

type Last = Box<dyn FnOnce()>;

/// Runs what it holds when its thread's locals go.
struct AtTheEnd(RefCell<Option<Last>>);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        if let Some(last) = self.0.take() {
            last();
        }
    }
}

thread_local! {
    static AT_THE_END: AtTheEnd = const { AtTheEnd(RefCell::new(None)) };
}

/// A thread-local's destructor uses the map, be it before the map's own thread-local goes or after.
#[test]
fn thread_locals_that_use_the_map() {
    for map_first in [true, false] {
        let ends = Arc::new(AtomicUsize::new(0));
        let map = Arc::new(internal::tiny().build().expect("tiny"));
        for n in 0..200 {
            map.insert(&key_bytes(n), &[n as u8; 60])
                .expect("there is memory");
        }
        for n in 0..200 {
            let (mine, ends) = (map.clone(), ends.clone());
            let thread = thread::spawn(move || {
                if map_first {
                    assert!(mine.contains_key(&key_bytes(n)));
                }
                let last = mine.clone();
                AT_THE_END.with(|at_the_end| {
                    at_the_end.0.replace(Some(Box::new(move || {
                        let pins: [_; 6] = std::array::from_fn(|_| last.pin());
                        assert_eq!(pins[5].get(&key_bytes(n)), Some([n as u8; 60].as_slice()));
                        assert!(last.insert(b"last", &[n as u8; 100]).is_ok());
                        assert!(last.remove(&key_bytes(n)) && !last.contains_key(&key_bytes(n)));
                        last.for_each(|_, value| assert!(value.len() >= 60));
                        last.compact(Budget::bytes(1_000));
                        drop(pins);
                        ends.fetch_add(1, Ordering::Relaxed);
                    })));
                });
                assert!(mine.contains_key(&key_bytes(n)));
            });
            thread.join().expect("no panic");
        }
        assert_eq!((ends.load(Ordering::Relaxed), map.len()), (200, 1));
        settle(&map);
        assert_sound(&map);
    }
}

static MAP: OnceLock<CMap> = OnceLock::new();

/// The process exits while threads are inside a map of a static.
#[test]
fn an_exit_amid_pinned_threads() {
    alone_until_it_exits("ends::an_exit_amid_pinned_threads", || {
        let map = MAP.get_or_init(CMap::new);
        let inside = Arc::new(Barrier::new(5));
        for number in 0..4_u64 {
            let inside = inside.clone();
            thread::spawn(move || {
                let pin = map.pin();
                map.insert(&key_bytes(number), &[1; 50])
                    .expect("there is memory");
                let value = pin.get(&key_bytes(number)).expect("just inserted");
                inside.wait();
                for n in 0.. {
                    assert_eq!(value, [1; 50]);
                    map.insert(&key_bytes(n % 1_000 + 10), &[n as u8; 300])
                        .expect("there is memory");
                    map.remove(&key_bytes((n + number) % 1_000 + 10));
                }
            });
        }
        inside.wait();
        thread::sleep(Duration::from_millis(20));
        std::process::exit(0);
    });
}

/// 64 threads share one core: nobody starves, nobody spins for ever.
#[test]
fn many_threads_on_one_core() {
    alone("ends::many_threads_on_one_core", || {
        // SAFETY: all zeros is a mask of no core.
        let mut mask: libc::cpu_set_t = unsafe { mem::zeroed() };
        // SAFETY: it takes nothing.
        let core = unsafe { libc::sched_getcpu() };
        let core = usize::try_from(core).expect("Linux says which");
        // SAFETY: a core that there is has a bit.
        unsafe { libc::CPU_SET(core, &mut mask) };
        // SAFETY: the mask is ours, and as long as we say.
        let set = unsafe { libc::sched_setaffinity(0, mem::size_of_val(&mask), &raw const mask) };
        assert_eq!(set, 0);
        assert_eq!(thread::available_parallelism().map_or(0, |n| n.get()), 1);
        within(Duration::from_secs(120), "64 threads on one core", || {
            for map in [CMap::new(), internal::tiny().build().expect("tiny")] {
                thread::scope(|scope| {
                    for number in 0..64_u64 {
                        let map = &map;
                        scope.spawn(move || {
                            for n in 0..scaled(20_000) as u64 {
                                let own = key_bytes(((number + 1) << 32) | (n % 20));
                                let value = [n as u8; 40];
                                map.insert(&own, &value).expect("there is memory");
                                assert_eq!(map.get_with(&own, |found| found == value), Some(true));
                                map.insert(&key_bytes(n % 50), &value)
                                    .expect("there is memory");
                                if n % 3 == 0 {
                                    assert!(map.remove(&own));
                                }
                            }
                        });
                    }
                });
                settle(&map);
                assert_sound(&map);
            }
        });
    });
}
